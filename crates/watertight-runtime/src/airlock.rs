//! The airlock: what is done about a failed call before its caller sees it, and what the caller sees in the end.
//!
//! ```text
//!   attempt ──fails──▶ wait, attempt again ──fails──▶ fallback ──fails──▶ a value, an error, or a trap of the caller
//!      └────────────────────────┴─ returns ──────────────┴──────────▶ results
//! ```
//!
//! Before each attempt stand the edge's breaker and gate: see [`Guard`]. What they turn away is a failure like any other.
//! All of it happens within the caller's time: what is left of that is divided evenly between the attempt at hand and what may have to
//! follow, and what one does not use is there for the next. Every attempt has a fresh cell, and the same arguments.

mod guard;

use std::{
    cell::Cell,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use watertight_model::{
    app::Retry,
    event::{self, Outcome},
    failure::CallError,
    fault::FaultKind,
    supervision::Chance,
    trace::SpanId,
};

pub(crate) use self::guard::Guard;
use crate::{
    clock::Moment,
    failure::DependencyFailed,
    host::CellData,
    membrane::{Attempt, Callable, Frame, StoreAccess, Template, discard},
    tree::Tree,
};

/// What a manifest has done about failures of one function.
#[derive(Debug)]
pub(crate) struct Airlock {
    guard: Option<Arc<Guard>>,
    retry: Option<Retry>,
    fallback: Option<Callable>,
}

/// What came of a call in the end.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) result: Result<Frame, CallError>,
    /// How the callee fared, the last time.
    pub(crate) outcome: Outcome,
    pub(crate) attempts: u32,
    /// How the fallback fared, if it was called.
    pub(crate) fallback: Option<Outcome>,
    /// What a drill did to the last attempt that it did something to.
    pub(crate) injected: Option<FaultKind>,
}

/// What the caller of one function gets when all has failed.
#[derive(Debug)]
pub(crate) enum Seen {
    /// The function returns its error.
    Error(Template),
    /// The function returns what the manifest sets.
    Value(Template),
    /// The caller calls by name, and is told.
    Exception,
    /// The caller traps.
    Trap,
}

impl Airlock {
    /// None where there is nothing to do.
    pub(crate) fn new(
        guard: Option<Arc<Guard>>,
        retry: Option<Retry>,
        fallback: Option<Callable>,
    ) -> Option<Box<Self>> {
        let needed = guard.is_some() || retry.is_some() || fallback.is_some();
        needed.then(|| Box::new(Self { guard, retry, fallback }))
    }

    /// Calls, and does about a failure what there is to be done.
    pub(crate) async fn pass<T: CellData>(
        &self,
        callee: &Callable,
        caller: &mut impl StoreAccess<T>,
        tree: &Arc<Tree<T>>,
        arguments: Frame,
        deadline: Moment,
        span: Option<SpanId>,
    ) -> Passed {
        let mut arguments = arguments;
        let (mut tries, mut attempts, mut injected) = (0, 0, None);
        let failed = loop {
            let later = self.stages_after(tries);
            let until = share(callee, deadline, later + 1);
            let next = if later > 0 { arguments.again() } else { None };
            tries += 1;
            let attempt = self.attempt(callee, caller, tree, arguments, (until, span), &mut attempts).await;
            injected = attempt.injected.or(injected);
            let passed = Passed { attempts, injected, ..Passed::once(attempt) };
            let (Some(next), Err(error)) = (next, &passed.result) else { return passed };
            arguments = next;
            if !self.tries_again(error, tries, deadline).await {
                break passed;
            }
        };
        match &self.fallback {
            None => failed,
            Some(fallback) => {
                let until = share(fallback, deadline, 1);
                failed.or(fallback.call(caller, tree, arguments, until, Moment::latest(), span).await)
            }
        }
    }

    /// Makes the call once, if it is let through, and counts it then.
    async fn attempt<T: CellData>(
        &self,
        callee: &Callable,
        caller: &mut impl StoreAccess<T>,
        tree: &Arc<Tree<T>>,
        mut arguments: Frame,
        (deadline, span): (Moment, Option<SpanId>),
        attempts: &mut u32,
    ) -> Attempt {
        let Some(guard) = &self.guard else {
            *attempts += 1;
            return callee.call(caller, tree, arguments, deadline, Moment::latest(), span).await;
        };
        let through = match guard.admit(tree.app.events(), deadline).await {
            Ok(through) => through,
            Err(error) => {
                discard(&mut arguments, caller);
                return Attempt { result: Err(error), injected: None };
            }
        };
        *attempts += 1;
        let attempt = callee.call(caller, tree, arguments, deadline, Moment::now(), span).await;
        through.settle(&attempt.result);
        attempt
    }

    /// What may follow the attempt after so many: attempts, and the fallback.
    fn stages_after(&self, tries: u32) -> u32 {
        let retries = self.retry.map_or(0, |retry| retry.attempts.saturating_sub(tries));
        retries + u32::from(self.fallback.is_some())
    }

    /// Waits until it is time for another attempt, if there is to be one.
    async fn tries_again(&self, error: &CallError, tries: u32, deadline: Moment) -> bool {
        let Some(retry) = self.retry.filter(|retry| tries <= retry.attempts && error.kind.retry()) else {
            return false;
        };
        let wait = retry.wait(tries, chance());
        // A wait that takes more than the attempt's share of the time leaves nothing for it.
        let share = deadline.since(Moment::now()) / self.stages_after(tries - 1).max(1);
        if wait >= share {
            return false;
        }
        tokio::time::sleep(wait).await;
        true
    }
}

/// The deadline of a call that begins now and has to share what is left with others.
fn share(callee: &Callable, deadline: Moment, between: u32) -> Moment {
    let now = Moment::now();
    now.plus(callee.deadline.min(deadline.since(now) / between))
}

/// Chance enough for callers that failed together not to come again together.
fn chance() -> Chance {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8) | 1);
    }
    let mut bits = STATE.get();
    bits ^= bits << 13;
    bits ^= bits >> 7;
    bits ^= bits << 17;
    STATE.set(bits);
    Chance::from_bits(u32::try_from(bits >> 32).unwrap_or(0))
}

impl Passed {
    /// A call that was made once, and about which nothing was done.
    pub(crate) fn once(Attempt { result, injected }: Attempt) -> Self {
        let outcome = outcome(&result);
        Self { result, outcome, attempts: 1, fallback: None, injected }
    }

    /// A call that could not be made.
    pub(crate) fn never(error: CallError) -> Self {
        let outcome = Outcome::Failed(error.kind);
        Self { result: Err(error), outcome, attempts: 0, fallback: None, injected: None }
    }

    /// A call that failed, and what the fallback made of it.
    fn or(mut self, stood_in: Attempt) -> Self {
        self.fallback = Some(outcome(&stood_in.result));
        self.injected = stood_in.injected.or(self.injected);
        self.result = match (self.result, stood_in.result) {
            (Err(error), Err(other)) => {
                Err(CallError { detail: format!("{}; its fallback failed too: {other}", error.detail), ..error })
            }
            (_, stood_in) => stood_in,
        };
        self
    }
}

fn outcome(result: &Result<Frame, CallError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ok,
        Err(error) => Outcome::Failed(error.kind),
    }
}

impl Seen {
    /// Turns a failure into what the caller sees.
    pub(crate) fn of(&self, error: CallError) -> Result<Frame, DependencyFailed> {
        match self {
            Self::Error(template) | Self::Value(template) => Ok(template.fill(&error.to_string())),
            Self::Exception | Self::Trap => Err(DependencyFailed(error)),
        }
    }

    /// What the caller gets instead of results; none where that is a trap, or another answer than the function's own.
    pub(crate) fn instead(&self, error: &CallError) -> Option<Frame> {
        match self {
            Self::Error(template) | Self::Value(template) => Some(template.fill(&error.to_string())),
            Self::Exception | Self::Trap => None,
        }
    }

    /// The same for an event.
    pub(crate) fn event(&self, passed: &Passed) -> event::Seen {
        match (&passed.result, passed.fallback, self) {
            (Ok(_), Some(_), _) => event::Seen::Fallback,
            (Ok(_), None, _) => event::Seen::Results,
            (Err(_), _, Self::Error(_) | Self::Exception) => event::Seen::Error,
            (Err(_), _, Self::Value(_)) => event::Seen::Value,
            (Err(_), _, Self::Trap) => event::Seen::Trap,
        }
    }
}
