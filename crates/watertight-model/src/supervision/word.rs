//! What a steward is told, what it has done, and what it says of that.

use std::{fmt, time::Duration};

use super::{GroupId, Intensity, Standing};
use crate::{app::ComponentId, failure::FailureKind};

/// A place for one resident cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance {
    /// Of which component.
    pub component: ComponentId,
    /// Its number among that component's, from 0.
    pub number: u32,
}

/// One cell in such a place, from the order to start it until it is gone. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run(pub u64);

/// How a cell ended that nobody had told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Of its own will: its guest called `exit` with status 0.
    Normal,
    /// It failed, or could not be started.
    Failed(FailureKind),
    /// Its caller was cut off in the middle of a call: nobody's failure, but the cell cannot go on.
    CutOff,
}

/// Why a cell that has not failed is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wear {
    /// It has had its calls.
    Calls,
    /// It is old.
    Age,
    /// It holds much memory.
    Memory,
    /// An operator wants a fresh one.
    Asked,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The app begins.
    Begin,
    /// A cell is up.
    Started(Run),
    /// A cell could not be started.
    NotStarted(Run, FailureKind),
    /// A cell ended that nobody had told to.
    Ended(Run, End),
    /// A cell is due to be replaced.
    Worn(Run, Wear),
    /// An operator wants fresh cells of a component.
    Asked(ComponentId),
    /// A cell that was told to stop, or was replaced, is gone.
    Gone(Run),
    /// Time has passed.
    Tick,
    /// The app is to stop.
    Stop,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Tell the calls of a component where they stand.
    Stand(ComponentId, Standing),
    /// Start a cell: [`Happened::Started`] or [`Happened::NotStarted`] follows, or, if it is stopped meanwhile, [`Happened::Gone`].
    Start(Instance, Run),
    /// Give a cell no more calls, and end it when it has finished those it has: [`Happened::Gone`] follows.
    Stop(Instance, Run),
    /// The same for a cell that was replaced: there is no hurry.
    Retire(Instance, Run),
    /// Let everybody know.
    Tell(Subject, Change),
    /// Every resident has been started, or tried.
    Ready,
    /// It is over.
    Finish(Finish),
}

/// How it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// As asked.
    Stopped,
    /// The app gave up.
    Down,
}

/// Who changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// One resident.
    Instance {
        /// Of which component.
        component: ComponentId,
        /// Its number among that component's, from 0.
        number: u32,
    },
    /// A component with all its residents.
    Component(ComponentId),
    /// A group with all its members.
    Group(GroupId),
    /// The app with all its residents.
    App,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is up.
    Started,
    /// It is gone, as it was told.
    Stopped,
    /// It ended, and is not started again.
    Ended {
        /// How.
        end: End,
    },
    /// It is restarted.
    Restarting {
        /// How it, or the member on whose account it is restarted, ended.
        end: End,
        /// Which restart this is within the intensity's time; 0 where it does not count.
        attempt: u32,
        /// How long it waits before.
        backoff: Duration,
    },
    /// A fresh cell took its place.
    Recycled {
        /// Why.
        why: Wear,
    },
    /// No fresh cell could be started to take its place: it goes on, and another try follows.
    Kept {
        /// Why not.
        failure: FailureKind,
    },
    /// It made too many restarts in too little time.
    GaveUp {
        /// How the last cell ended.
        end: End,
        /// How many were allowed.
        intensity: Intensity,
        /// How long it rests before it is started again, where nobody above it decides otherwise.
        rest: Option<Duration>,
    },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("exit 0"),
            Self::Failed(kind) => write!(f, "{kind}"),
            Self::CutOff => f.write_str("its caller was cut off"),
        }
    }
}

impl fmt::Display for Wear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calls => "calls",
            Self::Age => "age",
            Self::Memory => "memory",
            Self::Asked => "asked for",
        })
    }
}
