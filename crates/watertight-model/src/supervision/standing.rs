//! Where calls to a resident component stand: they wait for a cell, or fail at once and are told why.

use std::{fmt, time::Duration};

use super::{End, Intensity, Restart};

/// Where calls to a component stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A cell is there, or will be: a call waits for it within its deadline.
    Open,
    /// No cell will be there for some time: a call fails at once.
    Down(DownReason),
}

/// Why a component has no cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// Too many restarts.
    GaveUp {
        /// Who gave up: the component, or a group it is in, as the manifest's key: `component.db`, `group.store`.
        key: String,
        /// How many restarts were allowed.
        intensity: Intensity,
        /// How the last cell ended.
        end: End,
        /// How long it rests before it is started again.
        rest: Duration,
    },
    /// It ended, and is not restarted.
    Ended {
        /// How.
        end: End,
        /// Why not.
        restart: Restart,
    },
    /// The whole app gave up.
    App {
        /// How many restarts were allowed.
        intensity: Intensity,
        /// How the last cell ended.
        end: End,
    },
    /// The app was told to stop.
    Stopped,
}

/// What one resident is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// It waits for its turn to start.
    Waiting,
    /// It starts.
    Starting,
    /// It is up.
    Up,
    /// It is up, and a fresh cell starts that will take its place.
    Renewing,
    /// It ended, and waits to be restarted.
    BackingOff,
    /// It finishes its calls, to end then.
    Stopping,
    /// Its component or group gave up.
    Down,
    /// It ended, and is not restarted.
    Done,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GaveUp { key, intensity, end, rest } => write!(
                f,
                "{key} gave up after {intensity}, the last time for: {end}; it is started again after {rest:?} ({key}.intensity, app.rest)"
            ),
            Self::Ended { end, restart } => write!(f, "it ended ({end}), and its restart is \"{restart}\""),
            Self::App { intensity, end } => {
                write!(f, "the app gave up after {intensity}, the last time for: {end} (app.intensity)")
            }
            Self::Stopped => f.write_str("the app is stopping"),
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Renewing => "renewing",
            Self::BackingOff => "backing-off",
            Self::Stopping => "stopping",
            Self::Down => "down",
            Self::Done => "done",
        })
    }
}
