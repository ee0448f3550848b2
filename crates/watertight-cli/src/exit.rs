//! Exit codes: the one table of what they mean (invariant 10). `docs/exit-codes.md` shows the same table, and a test keeps it so.
//!
//! Where there is a convention, it is followed: 2 for usage, BSD's `sysexits.h` from 64 on, 128 + n for what is like a signal.
//! `watertight run` passes on the exit code of its command, which may be any of these.

use watertight::{
    LoadError, NodeError, ReadError, ServeError, model::failure::FailureKind, supervisor::SuperviseError,
};

/// One row of the table.
macro_rules! exits {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $meaning:literal;)*) => {
        /// How `watertight` ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum Exit { $($(#[$doc])* $variant = $code,)* }

        impl Exit {
            /// Every exit code, in order.
            const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The one with this code.
            pub(crate) fn of(code: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|exit| *exit as u8 == code)
            }

            /// Its name in JSON.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, for the docs.
            #[cfg(test)]
            const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

exits! {
    Done = 0, "done", "It did what was asked; a server was told to stop and drained.";
    Failed = 1, "failed", "`run`: the command said that it failed.";
    Usage = 2, "usage", "The arguments are wrong.";
    Unmet = 3, "unmet", "`drill`: something was not as expected, or a load fails without any fault. `replay`: answers differ.";
    NotBuilt = 4, "not-built", "`build`: a component could not be made; what its tools said was shown.";
    Rejected = 65, "rejected", "The app is not sound: its manifest, its files or how its components fit together. Every problem was shown. `replay`: the recording cannot be used, or not with this build.";
    NotFound = 66, "not-found", "There is no app at that path, or no such postmortem, or it cannot be read.";
    NoNode = 67, "no-node", "`ps`, `top`, `tap`, `record`, `reload`, `restart`, `eject`, `faults`: no node runs, or none of that name; or it does not answer.";
    NoListen = 69, "no-listen", "The address or the admin socket cannot be listened on, or no worker could start.";
    Internal = 70, "internal", "Something that should not happen: please report it.";
    NoCapacity = 71, "no-capacity", "This machine cannot have the pools that the app asks for; the message names the number to change.";
    NoTool = 72, "no-tool", "`build`: a tool that is needed is not on this machine; the message says how to get it.";
    NoCache = 73, "no-cache", "The folder of the compile cache cannot be used.";
    NoOutput = 74, "no-output", "The output cannot be written, as when the disk is full. A reader that goes away is no error.";
    NotReloaded = 75, "not-reloaded", "`reload`: the app is sound, but its workers could not start, or the node is stopping; what was in place before serves on.";
    AppDown = 76, "app-down", "A worker, or `serve --workers 0`: the app gave up on its residents. Another worker takes the place of one; nothing that of one process.";
    BadTls = 78, "bad-tls", "The TLS certificate or its key cannot be used.";
    Deadline = 124, "deadline", "`run`: the call did not end within its deadline or its cpu budget.";
    Interrupted = 130, "interrupted", "`run`, `build`: it was interrupted by SIGINT (Ctrl-C).";
    Trapped = 134, "trapped", "`run`: the component trapped, or failed in another way that is its own fault.";
    Memory = 137, "memory", "`run`: the component asked for more than its memory budget.";
    Terminated = 143, "terminated", "`run`: it was ended by SIGTERM.";
}

impl From<&NodeError> for Exit {
    fn from(error: &NodeError) -> Self {
        match error {
            NodeError::Read(
                ReadError::Missing(_)
                | ReadError::NoManifest { .. }
                | ReadError::Neither(_)
                | ReadError::Unreadable { .. },
            ) => Self::NotFound,
            NodeError::Rejected(_) => Self::Rejected,
            NodeError::Cache(_) => Self::NoCache,
            NodeError::Load(problems) => problems.iter().map(Self::from).max().unwrap_or(Self::Internal),
            NodeError::Incomplete(_) => Self::Internal,
        }
    }
}

impl From<&LoadError> for Exit {
    fn from(error: &LoadError) -> Self {
        match error {
            LoadError::Compile(_) | LoadError::Edge(_) | LoadError::Link { .. } => Self::Rejected,
            LoadError::Pool(_) | LoadError::Engine { .. } => Self::NoCapacity,
        }
    }
}

impl From<&ServeError> for Exit {
    fn from(error: &ServeError) -> Self {
        match error {
            ServeError::NoRoutes(_)
            | ServeError::NoHandler(_)
            | ServeError::NoFunctions(_, _)
            | ServeError::Route(_) => Self::Rejected,
            ServeError::Listen(_) | ServeError::Io(_) => Self::NoListen,
            ServeError::Tls(_) => Self::BadTls,
        }
    }
}

impl From<&SuperviseError> for Exit {
    fn from(error: &SuperviseError) -> Self {
        match error {
            SuperviseError::NeverStarted(_) | SuperviseError::Io(_) => Self::NoListen,
        }
    }
}

impl From<FailureKind> for Exit {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Deadline | FailureKind::Cpu => Self::Deadline,
            FailureKind::Memory => Self::Memory,
            FailureKind::Trap
            | FailureKind::StackOverflow
            | FailureKind::BadValue
            | FailureKind::Exit
            | FailureKind::DeadHandle
            | FailureKind::WallLost
            | FailureKind::Down
            | FailureKind::Injected => Self::Trapped,
            FailureKind::NoCapacity | FailureKind::QueueFull | FailureKind::BreakerOpen | FailureKind::Shed => {
                Self::NoCapacity
            }
            FailureKind::HostPanic | FailureKind::Host => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_have_this_table() {
        let rows =
            Exit::ALL.iter().map(|exit| format!("| {} | `{}` | {} |\n", *exit as u8, exit.name(), exit.meaning()));
        let table: String = rows.collect();
        let docs = include_str!("../../../docs/exit-codes.md");
        assert!(docs.contains(&table), "docs/exit-codes.md must have these rows:\n{table}");
        assert_eq!(docs.matches("\n| ").count(), Exit::ALL.len() + 1, "a row for each code, and the head");
    }
}
