//! Kinds of events, and which of them a sink wants. What nobody wants is dropped before it costs anything.

use watertight_model::{
    event::{CellEnd, Event, Outcome},
    supervision::{Change, End},
};

/// What an event is about, as finely as sinks choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A call that returned or was cut off by its caller.
    Call,
    /// A call that failed.
    CallFailed,
    /// A root call that returned or was cut off.
    Root,
    /// A root call that failed.
    RootFailed,
    /// A cell came to life.
    CellStarted,
    /// A cell's lifetime was over.
    CellEnded,
    /// A cell failed and was thrown out.
    CellEjected,
    /// Why a cell failed.
    Failure,
    /// A postmortem was written.
    Postmortem,
    /// A call goes on at lower priority.
    Demoted,
    /// A use that was not granted.
    Denied,
    /// A line that a guest wrote.
    Log,
    /// Lines of a guest that were dropped.
    LogCut,
    /// An HTTP exchange.
    Request,
    /// A trace.
    Trace,
    /// A worker process, or all of them: reloads, faults that are set.
    Worker,
    /// A resident started, stopped or was replaced, without a failure.
    Resident,
    /// A resident is restarted, or will not be; a group or the app gave up.
    ResidentFailed,
    /// A breaker.
    Breaker,
    /// Events were lost.
    Dropped,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::Call,
        Self::CallFailed,
        Self::Root,
        Self::RootFailed,
        Self::CellStarted,
        Self::CellEnded,
        Self::CellEjected,
        Self::Failure,
        Self::Postmortem,
        Self::Demoted,
        Self::Denied,
        Self::Log,
        Self::LogCut,
        Self::Request,
        Self::Trace,
        Self::Worker,
        Self::Resident,
        Self::ResidentFailed,
        Self::Breaker,
        Self::Dropped,
    ];

    /// Its name, where kinds are chosen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::CallFailed => "call-failed",
            Self::Root => "root",
            Self::RootFailed => "root-failed",
            Self::CellStarted => "cell-started",
            Self::CellEnded => "cell-ended",
            Self::CellEjected => "cell-ejected",
            Self::Failure => "failure",
            Self::Postmortem => "postmortem",
            Self::Demoted => "demoted",
            Self::Denied => "denied",
            Self::Log => "log",
            Self::LogCut => "log-cut",
            Self::Request => "request",
            Self::Trace => "trace",
            Self::Worker => "worker",
            Self::Resident => "resident",
            Self::ResidentFailed => "resident-failed",
            Self::Breaker => "breaker",
            Self::Dropped => "dropped",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let by_outcome = |outcome, fine, failed| match outcome {
            Outcome::Ok | Outcome::Cancelled => fine,
            Outcome::Failed(_) => failed,
        };
        match event {
            Event::Call(call) => by_outcome(call.outcome, Self::Call, Self::CallFailed),
            Event::Root(root) => by_outcome(root.outcome, Self::Root, Self::RootFailed),
            Event::CellStarted { .. } => Self::CellStarted,
            Event::CellEnded { end: CellEnd::Done, .. } => Self::CellEnded,
            Event::CellEnded { end: CellEnd::Ejected(_), .. } => Self::CellEjected,
            Event::Failure(_) => Self::Failure,
            Event::Postmortem(_) => Self::Postmortem,
            Event::Demoted { .. } => Self::Demoted,
            Event::Denied { .. } => Self::Denied,
            Event::Log { .. } => Self::Log,
            Event::LogCut { .. } => Self::LogCut,
            Event::Request(_) => Self::Request,
            Event::Trace(_) => Self::Trace,
            Event::Worker { .. } | Event::Reload(_) | Event::Faults(_) => Self::Worker,
            Event::Supervised { change, .. } => match change {
                Change::Started
                | Change::Stopped
                | Change::Recycled { .. }
                | Change::Restarting { end: End::CutOff, .. } => Self::Resident,
                Change::Restarting { .. } | Change::Kept { .. } | Change::Ended { .. } | Change::GaveUp { .. } => {
                    Self::ResidentFailed
                }
            },
            Event::Breaker { .. } => Self::Breaker,
            Event::Dropped { .. } => Self::Dropped,
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Interest(u32);

impl Interest {
    /// Every kind.
    #[must_use]
    pub fn all() -> Self {
        Self::in_kinds(&Kind::ALL)
    }

    /// These kinds.
    #[must_use]
    pub fn in_kinds(kinds: &[Kind]) -> Self {
        Self(kinds.iter().fold(0, |bits, kind| bits | bit(*kind)))
    }

    /// These kinds, and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These kinds, but not those.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether a kind is among them.
    #[must_use]
    pub fn has(self, kind: Kind) -> bool {
        self.0 & bit(kind) != 0
    }
}

const fn bit(kind: Kind) -> u32 {
    1 << kind as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_bit_of_its_own() {
        for kind in Kind::ALL {
            let alone = Interest::in_kinds(&[kind]);
            assert_eq!(Kind::ALL.into_iter().filter(|other| alone.has(*other)).collect::<Vec<_>>(), [kind]);
            assert!(Interest::all().has(kind));
            assert!(!Interest::default().has(kind));
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
    }
}
