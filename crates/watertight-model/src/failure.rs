//! How a call fails: one closed list, with who is to blame, whether the cell may go on, and whether a retry can help.

use std::fmt;

/// Why a call did not return what its function promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The guest trapped: `unreachable`, an access out of bounds, an integer error, an uncaught exception.
    Trap,
    /// The guest's stack ran out.
    StackOverflow,
    /// The call did not end within its deadline.
    Deadline,
    /// The guest ran longer than its cpu budget.
    Cpu,
    /// The guest broke off because its memory budget was spent.
    Memory,
    /// The guest broke the canonical ABI, in what it returned or in what it passed on: a pointer, length, discriminant, `char`, string or handle that cannot be.
    BadValue,
    /// The guest called `exit`.
    Exit,
    /// A handle whose cell has died or that was already given away.
    DeadHandle,
    /// The component could not be instantiated within the pool.
    NoCapacity,
    /// Too many calls wait for this component already.
    QueueFull,
    /// A host function panicked.
    HostPanic,
    /// The callee called back into a cell that is busy with the call it came from, or another thing that the host refuses.
    Host,
    /// The process or node that held the cell is gone, or an operator threw the cell out.
    WallLost,
    /// The edge's breaker is open: too many calls failed lately.
    BreakerOpen,
    /// The call would have waited longer than its deadline, and was turned away at once.
    Shed,
    /// The component is not running: it is being restarted, or was given up.
    Down,
    /// A drill made it fail.
    Injected,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The component that called.
    Caller,
    /// The component that was called.
    Callee,
    /// The node.
    Host,
    /// A limit of the manifest.
    Budget,
    /// What stands between the two.
    Wall,
}

impl FailureKind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 17] = [
        Self::Trap,
        Self::StackOverflow,
        Self::Deadline,
        Self::Cpu,
        Self::Memory,
        Self::BadValue,
        Self::Exit,
        Self::DeadHandle,
        Self::NoCapacity,
        Self::QueueFull,
        Self::HostPanic,
        Self::Host,
        Self::WallLost,
        Self::BreakerOpen,
        Self::Shed,
        Self::Down,
        Self::Injected,
    ];

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::Trap | Self::StackOverflow | Self::BadValue | Self::Exit | Self::BreakerOpen | Self::Down => {
                Blame::Callee
            }
            Self::DeadHandle => Blame::Caller,
            Self::Deadline | Self::Cpu | Self::Memory | Self::QueueFull | Self::NoCapacity | Self::Shed => {
                Blame::Budget
            }
            Self::HostPanic | Self::Host | Self::Injected => Blame::Host,
            Self::WallLost => Blame::Wall,
        }
    }

    /// Whether the callee's cell may never be entered again (invariant 6).
    #[must_use]
    pub const fn poisons(self) -> bool {
        match self {
            Self::Trap
            | Self::StackOverflow
            | Self::Deadline
            | Self::Cpu
            | Self::Memory
            | Self::BadValue
            | Self::Exit
            | Self::HostPanic
            | Self::Host
            | Self::WallLost => true,
            Self::DeadHandle
            | Self::NoCapacity
            | Self::QueueFull
            | Self::BreakerOpen
            | Self::Shed
            | Self::Down
            | Self::Injected => false,
        }
    }

    /// Whether the same call could succeed in a fresh cell.
    #[must_use]
    pub const fn retry(self) -> bool {
        match self {
            Self::Trap
            | Self::StackOverflow
            | Self::Deadline
            | Self::Memory
            | Self::BadValue
            | Self::Exit
            | Self::NoCapacity
            | Self::QueueFull
            | Self::HostPanic
            | Self::Host
            | Self::WallLost
            | Self::Injected => true,
            // As much cpu would be spent again; a handle stays dead; the others say that trying is of no use now.
            Self::Cpu | Self::DeadHandle | Self::BreakerOpen | Self::Shed | Self::Down => false,
        }
    }

    /// Whether it counts against the callee in the breaker of an edge. What was turned away before the callee was reached does not, nor
    /// what the caller itself did wrong.
    #[must_use]
    pub const fn trips(self) -> bool {
        match self {
            Self::Trap
            | Self::StackOverflow
            | Self::Deadline
            | Self::Cpu
            | Self::Memory
            | Self::BadValue
            | Self::Exit
            | Self::NoCapacity
            | Self::HostPanic
            | Self::Host
            | Self::WallLost
            | Self::Down
            | Self::Injected => true,
            Self::DeadHandle | Self::QueueFull | Self::BreakerOpen | Self::Shed => false,
        }
    }

    /// Its name in events and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::StackOverflow => "stack-overflow",
            Self::Deadline => "deadline",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::BadValue => "bad-value",
            Self::Exit => "exit",
            Self::DeadHandle => "dead-handle",
            Self::NoCapacity => "no-capacity",
            Self::QueueFull => "queue-full",
            Self::HostPanic => "host-panic",
            Self::Host => "host",
            Self::WallLost => "wall-lost",
            Self::BreakerOpen => "breaker-open",
            Self::Shed => "shed",
            Self::Down => "down",
            Self::Injected => "injected",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failed call: what happened, to which component, and a line for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{component}: {kind}: {detail}")]
pub struct CallError {
    /// What happened.
    pub kind: FailureKind,
    /// The name of the component it happened in.
    pub component: String,
    /// One line for people: what exactly, and the next step where there is one.
    pub detail: String,
}
