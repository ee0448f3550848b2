//! Health: what an app's components look like from outside at one moment. Plain values, to be sent and shown.

use crate::{
    app::{ComponentId, Lifetime},
    event::CellId,
    failure::FailureKind,
    supervision::InstanceState,
    usage::CellUsage,
};

/// How one component of a running app is.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ComponentHealth {
    /// Its index.
    pub id: ComponentId,
    /// Its name.
    pub component: String,
    /// How long its cells live.
    pub lifetime: Lifetime,
    /// The group it is in.
    pub group: Option<String>,
    /// How it is as a whole.
    pub state: HealthState,
    /// Why it is not up, for people.
    pub reason: Option<String>,
    /// Its residents, one for each instance; empty where cells do not stay.
    pub instances: Vec<InstanceHealth>,
    /// Restarts since the app began.
    pub restarts: u64,
    /// Cells that were replaced although they had not failed.
    pub recycled: u64,
    /// How the last resident that failed did.
    pub last_failure: Option<FailureKind>,
}

/// How a component is as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// Its cells are made as they are needed.
    OnDemand,
    /// Every resident is up.
    Up,
    /// Some residents are up.
    Partial,
    /// No resident is up, but one will be: it starts, or is being restarted.
    Starting,
    /// No resident is up, and calls fail at once.
    Down,
}

/// One resident.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct InstanceHealth {
    /// Its number among the component's residents, from 0.
    pub number: u32,
    /// What it is doing.
    pub state: InstanceState,
    /// Its cell, if it has one.
    pub cell: Option<CellId>,
    /// For how long it has been up.
    pub age_ms: u64,
    /// Calls that it has begun.
    pub calls: u64,
    /// Calls that it is busy with.
    pub in_flight: u32,
    /// What its cell uses.
    pub usage: CellUsage,
}
