//! The circuit breaker of an edge: when too many calls have failed, no more are made for a while. A pure state machine.
//!
//! ```text
//!              too many failures                    open-for has passed
//!   ┌────────┐ ─────────────────▶ ┌──────┐ ───────────────────────────▶ ┌───────────┐
//!   │ closed │                    │ open │   the next call is the probe │ half-open │ ◀╮ the probe
//!   └────────┘                    └──────┘ ◀─────────────────────────── └───────────┘ ─╯ tells nothing
//!       ▲                                        the probe fails              │
//!       ╰─────────────────────────── the probe returns ───────────────────────╯
//! ```
//!
//! Who wants to call asks, holds the [`Pass`] that it gets while the call runs, and gives it back with how the call ended. A pass
//! from before the last change says nothing about the callee of today, and changes nothing.

use std::{collections::VecDeque, fmt, time::Duration};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct BreakerSpec {
    /// What opens it.
    #[serde(flatten)]
    pub trip: Trip,
    /// Only calls that ended within this time count.
    #[serde(rename = "within_ms", serialize_with = "crate::budget::millis")]
    pub within: Duration,
    /// How long it stays open before a probe is let through.
    #[serde(rename = "open_for_ms", serialize_with = "crate::budget::millis")]
    pub open_for: Duration,
}

/// What opens a breaker.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trip {
    /// So many failures, one after another.
    Failures(u32),
    /// A share of failed calls.
    Ratio {
        /// More than 0, at most 1.
        ratio: f64,
        /// Of at least so many calls.
        calls: u32,
    },
}

/// Whether a breaker lets calls through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// It does.
    Closed,
    /// It does not.
    Open,
    /// It lets one through at a time, to see how that one fares.
    HalfOpen,
}

/// The permission to make one call.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the breaker waits to hear how the call ended"]
pub struct Pass(u64);

/// What happens to a breaker.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Somebody wants to make a call.
    Ask,
    /// A call ended.
    Ended(Pass, Ended),
}

/// How a call ended, as far as the callee is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The callee answered.
    Well,
    /// It failed: see [`FailureKind::trips`](crate::failure::FailureKind::trips).
    Badly,
    /// There is no telling: the caller was cut off, or the callee was never reached.
    Untold,
}

/// What a breaker says to a step.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// To [`Step::Ask`]: the permission, or how long it will be open yet; zero while a probe runs, which may take any time.
    pub pass: Option<Result<Pass, Duration>>,
    /// The state it is in since this step, if that is another.
    pub change: Option<BreakerState>,
}

/// A breaker. Time is counted from any moment that stays the same.
#[derive(Debug)]
pub struct Breaker {
    spec: BreakerSpec,
    state: State,
    /// Counts changes and probes: what passes are good for.
    epoch: u64,
}

#[derive(Debug)]
enum State {
    Closed(Record),
    Open { until: Duration },
    HalfOpen { probing: bool },
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(spec: BreakerSpec) -> Self {
        Self { spec, state: State::Closed(Record::new(&spec)), epoch: 0 }
    }

    /// The state it is in. An open one becomes half-open only when somebody asks.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How long it will be open yet, if it is: nobody needs to ask before.
    #[must_use]
    pub fn refuses(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Open { until } => until.checked_sub(now).filter(|rest| !rest.is_zero()),
            State::HalfOpen { probing: true } => Some(Duration::ZERO),
            State::Closed(_) | State::HalfOpen { probing: false } => None,
        }
    }

    /// Takes a step.
    pub fn step(&mut self, now: Duration, step: Step) -> Reply {
        let before = self.state();
        let pass = match step {
            Step::Ask => Some(self.ask(now)),
            Step::Ended(pass, ended) => {
                if pass.0 == self.epoch {
                    self.ended(now, ended);
                }
                None
            }
        };
        let after = self.state();
        Reply { pass, change: (after != before).then_some(after) }
    }

    fn ask(&mut self, now: Duration) -> Result<Pass, Duration> {
        if let Some(rest) = self.refuses(now) {
            return Err(rest);
        }
        if self.state() != BreakerState::Closed {
            self.become_state(State::HalfOpen { probing: true });
        }
        Ok(Pass(self.epoch))
    }

    fn ended(&mut self, now: Duration, ended: Ended) {
        match (&mut self.state, ended) {
            (State::Closed(_), Ended::Untold) | (State::Open { .. }, _) => {}
            (State::Closed(record), Ended::Well | Ended::Badly) => {
                if record.note(&self.spec, now, ended == Ended::Badly) {
                    self.open(now);
                }
            }
            (State::HalfOpen { .. }, Ended::Well) => self.become_state(State::Closed(Record::new(&self.spec))),
            (State::HalfOpen { .. }, Ended::Badly) => self.open(now),
            (State::HalfOpen { .. }, Ended::Untold) => self.become_state(State::HalfOpen { probing: false }),
        }
    }

    fn open(&mut self, now: Duration) {
        self.become_state(State::Open { until: now.saturating_add(self.spec.open_for) });
    }

    fn become_state(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

/// How calls ended of late.
#[derive(Debug)]
enum Record {
    /// When the failures were that no success came after; at most as many as open the breaker.
    Failures(VecDeque<Duration>),
    /// Counts of calls by when they ended.
    Calls(Box<[Slot; SLOTS]>),
}

/// Into how many parts the window of a ratio is divided: one slides out as the next begins.
const SLOTS: usize = 10;

/// The calls that ended in one part of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which part, counted from the beginning of time.
    number: u128,
    calls: u32,
    failed: u32,
}

impl Record {
    fn new(spec: &BreakerSpec) -> Self {
        match spec.trip {
            Trip::Failures(_) => Self::Failures(VecDeque::new()),
            Trip::Ratio { .. } => Self::Calls(Box::default()),
        }
    }

    /// Notes a call, and says whether it was one failure too many.
    fn note(&mut self, spec: &BreakerSpec, now: Duration, failed: bool) -> bool {
        match (self, spec.trip) {
            (Self::Failures(times), Trip::Failures(most)) => {
                if !failed {
                    times.clear();
                    return false;
                }
                let since = now.saturating_sub(spec.within);
                times.push_back(now);
                times.retain(|time| *time >= since);
                times.len() >= most as usize
            }
            (Self::Calls(slots), Trip::Ratio { ratio, calls }) => {
                let number = now.as_nanos() / (spec.within.as_nanos() / SLOTS as u128).max(1);
                let slot = &mut slots[usize::try_from(number % SLOTS as u128).unwrap_or(0)];
                if slot.number != number {
                    *slot = Slot { number, ..Slot::default() };
                }
                slot.calls = slot.calls.saturating_add(1);
                slot.failed = slot.failed.saturating_add(u32::from(failed));
                let recent = || slots.iter().filter(|slot| slot.number + SLOTS as u128 > number);
                let all: u64 = recent().map(|slot| u64::from(slot.calls)).sum();
                let bad: u64 = recent().map(|slot| u64::from(slot.failed)).sum();
                #[expect(clippy::cast_precision_loss, reason = "a share of so many calls is exact enough")]
                let share = bad as f64 / all as f64;
                failed && all >= u64::from(calls) && share >= ratio
            }
            // A record is made for its own spec.
            (Self::Failures(_), Trip::Ratio { .. }) | (Self::Calls(_), Trip::Failures(_)) => false,
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        })
    }
}
