//! The ways to fail, and what each is.

use watertight::model::failure::FailureKind;

use crate::{guests::TEXT_FOR_A_LIE, policy::Policy};

/// One way to fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// What the callee is asked for.
    pub(crate) code: u32,
    pub(crate) text: &'static str,
    /// Which callee is asked.
    pub(crate) class: Class,
    pub(crate) end: End,
    /// What is injected meanwhile, in percent of the callee's calls.
    pub(crate) injected: Option<&'static str>,
}

/// Callees that differ in what they may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Time enough for anything.
    Calm,
    /// Very little cpu.
    Hog,
    /// A very short deadline.
    Late,
    /// It fails before it lives.
    Stillborn,
    /// Its breakers open with the first failure, and stay open.
    Broken,
    /// It takes one call at a time, and lets nobody wait.
    Busy,
}

/// How a call of the callee ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It fails in this way, and its cell with it.
    Fails(FailureKind),
    /// It fails without its cell having been entered, or before there was one.
    TurnedAway(FailureKind),
    /// The edge does not let it through.
    Refused(FailureKind),
    /// It returns an error of its own: nothing has failed.
    Says(&'static str),
    /// It returns the length of the text.
    Returns,
    /// The caller lies, and fails itself. The callee is not entered.
    CallerFails(FailureKind),
    /// Some of its attempts fail in this way.
    Sometimes(FailureKind),
    /// Who called gives up and goes in the middle of it.
    CutOff,
}

impl Class {
    pub(crate) const ALL: [Self; 6] = [Self::Calm, Self::Hog, Self::Late, Self::Stillborn, Self::Broken, Self::Busy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Hog => "hog",
            Self::Late => "late",
            Self::Stillborn => "stillborn",
            Self::Broken => "broken",
            Self::Busy => "busy",
        }
    }
}

const fn fault(name: &'static str, code: u32, class: Class, end: End) -> Fault {
    Fault { name, code, text: "some text", class, end, injected: None }
}

const fn fails(name: &'static str, code: u32, kind: FailureKind) -> Fault {
    fault(name, code, Class::Calm, End::Fails(kind))
}

const fn injected(name: &'static str, plan: &'static str, class: Class, end: End) -> Fault {
    Fault { injected: Some(plan), ..fault(name, 0, class, end) }
}

/// Every fault. Most are the callee's own doing; the last are a drill's.
pub(crate) const FAULTS: &[Fault] = &[
    fault("none", 0, Class::Calm, End::Returns),
    fails("unreachable", 1, FailureKind::Trap),
    fails("division by zero", 2, FailureKind::Trap),
    fails("load out of bounds", 3, FailureKind::Trap),
    fails("stack overflow", 4, FailureKind::StackOverflow),
    fails("oom by memory", 5, FailureKind::Memory),
    fails("oom by table", 6, FailureKind::Memory),
    fault("spin", 7, Class::Hog, End::Fails(FailureKind::Cpu)),
    fault("spin past deadline", 7, Class::Late, End::Fails(FailureKind::Deadline)),
    fault("sleep past deadline", 8, Class::Late, End::Fails(FailureKind::Deadline)),
    fails("host panic", 9, FailureKind::HostPanic),
    Fault { text: TEXT_FOR_A_LIE, ..fails("bad realloc", 10, FailureKind::BadValue) },
    fails("result beyond memory", 11, FailureKind::BadValue),
    fails("invalid UTF-8", 12, FailureKind::BadValue),
    fails("bad discriminant", 13, FailureKind::BadValue),
    fails("dropped handle", 14, FailureKind::BadValue),
    fails("foreign handle", 15, FailureKind::BadValue),
    fails("guest exit", 16, FailureKind::Exit),
    fails("results beyond memory", 17, FailureKind::BadValue),
    fails("lying length", 18, FailureKind::BadValue),
    fault("trap at start", 0, Class::Stillborn, End::TurnedAway(FailureKind::Trap)),
    fault("breaker open", 0, Class::Broken, End::Refused(FailureKind::BreakerOpen)),
    fault("queue full", 0, Class::Busy, End::Refused(FailureKind::QueueFull)),
    fault("disk full", 50, Class::Calm, End::Says("disk full")),
    fault("error of its own", 52, Class::Calm, End::Says("not asked to fail")),
    fault("socket refusal", 51, Class::Calm, End::Says("socket refused")),
    fault("caller's bad pointer", 100, Class::Calm, End::CallerFails(FailureKind::BadValue)),
    fault("caller's invalid UTF-8", 101, Class::Calm, End::CallerFails(FailureKind::BadValue)),
    fault("caller's lying length", 102, Class::Calm, End::CallerFails(FailureKind::BadValue)),
    fault("caller's dropped handle", 103, Class::Calm, End::CallerFails(FailureKind::BadValue)),
    fault("caller's foreign handle", 104, Class::Calm, End::CallerFails(FailureKind::BadValue)),
    fails("trap in mid-stream", 60, FailureKind::Trap),
    fault("caller gone in mid-stream", 61, Class::Calm, End::Returns),
    fault("late in mid-stream", 62, Class::Late, End::Fails(FailureKind::Deadline)),
    fault("cut off in mid-stream", 62, Class::Calm, End::CutOff),
    fault("cut off while it sleeps", 8, Class::Calm, End::CutOff),
    fault("cut off while it spins", 7, Class::Calm, End::CutOff),
    injected("injected trap", "trap 100%", Class::Calm, End::Fails(FailureKind::Trap)),
    injected("injected oom", "oom 100%", Class::Calm, End::Fails(FailureKind::Memory)),
    injected("injected spin", "spin 100%", Class::Hog, End::Fails(FailureKind::Cpu)),
    injected("injected error", "error 100%", Class::Calm, End::TurnedAway(FailureKind::Injected)),
    injected("injected delay", "delay 1h 100%", Class::Late, End::TurnedAway(FailureKind::Deadline)),
    injected("injected trap, half", "trap 50%", Class::Calm, End::Sometimes(FailureKind::Trap)),
];

impl Fault {
    /// Whether a stream is given away with it.
    pub(crate) fn is_of_a_stream(&self) -> bool {
        matches!(self.code, 60..=62 | 103..=104)
    }

    pub(crate) fn meets(&self, policy: Policy) -> bool {
        !self.is_of_a_stream() || policy.is_for_streams()
    }

    /// Whether a call of it costs milliseconds.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self.class, Class::Hog | Class::Late) || self.end == End::CutOff
    }

    /// Calls of it in flight at once. More that end at the same moment would keep each other waiting, and that is no lateness of the
    /// runtime's; those that are cut off end at moments of their own.
    pub(crate) fn at_once(&self) -> usize {
        match (self.class, self.code, self.end) {
            (Class::Hog, ..) | (Class::Late, 7, _) => 2,
            (_, 7, End::CutOff) => 2,
            (_, _, End::CutOff) => 32,
            _ => 8,
        }
    }
}
