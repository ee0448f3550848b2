//! What an operator does to the cells of a node that runs: sees them, throws them out, has residents replaced.
//!
//! A process does it at once, on a thread that is no call's, and waits for no guest: see `watertight_runtime`'s `eject`.

use std::fmt;

use serde::{Deserialize, Serialize};
use watertight_host::HostCell;
use watertight_model::{
    app::{App, Component, Wall},
    event::CellId,
};
use watertight_runtime::{LivingCell, RunningApp};

/// Cells of one component in one process that are listed.
const MAX_CELLS: usize = 500;

/// A cell, unique within its node: `PID-CELL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellName {
    /// Its process.
    pub pid: u32,
    /// Its number there.
    pub cell: u64,
}

/// A cell that lives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CellStatus {
    /// What it is called: `PID-CELL`.
    pub name: String,
    /// Its component.
    pub component: String,
    /// Its process.
    pub pid: u32,
    /// How long it lives.
    pub age_ms: u64,
    /// What it has in memory, by its budget.
    pub memory_bytes: u64,
    /// The most that it had.
    pub memory_peak_bytes: u64,
    /// Nanoseconds that it spent in its code.
    pub cpu_ns: u64,
    /// Its number among the residents of its component, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident: Option<u32>,
    /// Calls that it has had, if it is a resident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Calls that it has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// It gets no more calls: another takes its place.
    pub leaving: bool,
}

/// The cells that live: `GET /v1/cells`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CellsStatus {
    /// The cells, of each component the first 500 of each worker.
    pub cells: Vec<CellStatus>,
    /// The workers that did not answer.
    pub unanswered: Vec<u32>,
}

/// Cells to throw out: `POST /v1/components/NAME/eject`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EjectWanted {
    /// Only this one, as `GET /v1/cells` calls it; all if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
}

/// What was done to the cells of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operated {
    /// The component.
    pub component: String,
    /// Its cells that were thrown out, or are being replaced.
    pub cells: u64,
    /// The workers that did not say that they did it.
    pub unanswered: Vec<u32>,
}

impl CellName {
    /// Reads what [`CellStatus::name`] says.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (pid, cell) = text.split_once('-')?;
        Some(Self { pid: pid.parse().ok()?, cell: cell.parse().ok()? })
    }
}

impl fmt::Display for CellName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pid, self.cell)
    }
}

/// Finds a component by its name, or says which was meant.
pub(crate) fn component<'a>(app: &'a App, name: &str) -> Result<&'a Component, String> {
    app.find(name).ok_or_else(|| {
        let help = match app.nearest(name) {
            Some(near) => format!(": did you mean `{near}`?"),
            None => format!("; it has {}", listed(app)),
        };
        format!("the app has no component `{name}`{help}")
    })
}

/// Components that are named where none is near.
const MAX_LISTED: usize = 10;

fn listed(app: &App) -> String {
    let names: Vec<_> = app.components.iter().take(MAX_LISTED).map(|component| component.name.as_str()).collect();
    let more = if app.components.len() > MAX_LISTED { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

/// A component that has cells of its own, or why it has none.
pub(crate) fn with_cells<'a>(app: &'a App, component: &'a Component) -> Result<&'a Component, String> {
    match component.wall {
        Wall::Cell => Ok(component),
        Wall::Fused => {
            let holder = app.components.iter().find(|other| other.fused.contains(&component.id));
            let holder = holder.map(|holder| format!(" of `{}`", holder.name)).unwrap_or_default();
            Err(format!("`{}` is fused: it has no cells but those{holder}", component.name))
        }
    }
}

/// Throws out what is meant in this process.
pub(crate) fn eject(running: &RunningApp<HostCell>, name: &str, cell: Option<(u32, u64)>) -> u64 {
    let Some(component) = running.app().find(name) else { return 0 };
    match cell {
        Some((pid, _)) if pid != std::process::id() => 0,
        Some((_, cell)) => running.eject(component.id, Some(CellId(cell))),
        None => running.eject(component.id, None),
    }
}

/// Has what is meant replaced in this process.
pub(crate) fn restart(running: &RunningApp<HostCell>, name: &str) -> u64 {
    running.app().find(name).map_or(0, |component| running.restart(component.id))
}

/// The cells of this process, of one component or of all.
pub(crate) fn cells(running: &RunningApp<HostCell>, name: Option<&str>) -> Vec<CellStatus> {
    let app = running.app();
    let meant = app.components.iter().filter(|component| name.is_none_or(|name| component.name == name));
    meant.flat_map(|component| running.cells(component.id, MAX_CELLS)).map(|cell| told(app, &cell)).collect()
}

fn told(app: &App, living: &LivingCell) -> CellStatus {
    let LivingCell { cell, component, age, usage, resident } = living;
    let pid = std::process::id();
    CellStatus {
        name: CellName { pid, cell: cell.0 }.to_string(),
        component: app.component(*component).name.clone(),
        pid,
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        memory_bytes: usage.memory_bytes,
        memory_peak_bytes: usage.memory_peak_bytes,
        cpu_ns: u64::try_from(usage.cpu.as_nanos()).unwrap_or(u64::MAX),
        resident: resident.map(|resident| resident.number),
        calls: resident.map(|resident| resident.calls),
        in_flight: resident.map(|resident| resident.in_flight),
        leaving: resident.is_some_and(|resident| resident.leaving),
    }
}
