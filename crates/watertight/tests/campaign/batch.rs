//! A batch: the same call many times, and everything that can be wrong with it.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use watertight::model::{
    app::{ComponentId, Lifetime},
    event::{CellEnd, Outcome, Seen},
    failure::FailureKind,
};

use crate::{
    arena::{self, Arena, LATE_MS},
    fault::{Class, End, FAULTS, Fault},
    policy::{self, Answer, LAME, Policy, SPARE},
    witness::{self, Witness},
};

/// How much later than its deadline a call may end.
const LATENESS: Duration = Duration::from_millis(20);

/// A call that takes its callee's time until it is given up.
const BLOCKER: Fault = Fault { code: 8, class: Class::Busy, ..FAULTS[0] };

/// A call that opens a breaker.
const BREAKER: Fault = Fault { code: 1, class: Class::Broken, ..FAULTS[0] };

/// After so many calls the neighbour is asked.
const NEIGHBOUR_EVERY: usize = 16;

/// Longer than any call that is cut off gets.
const CUT_AFTER: Duration = Duration::from_millis(4);

/// Longer than any call may take, its caller and the wait for it included.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// How long cells may take to go that have a task of their own.
const SETTLE: Duration = Duration::from_secs(2);

/// Breaches of one kind that a batch tells of.
const MAX_TOLD: usize = 3;

pub(crate) struct Batch<'a> {
    pub(crate) arena: &'a Arena,
    pub(crate) witness: &'a Witness,
    pub(crate) fault: &'a Fault,
    pub(crate) policy: Policy,
    pub(crate) seed: u64,
}

/// What came of a batch.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) calls: usize,
    /// How often who called got what.
    pub(crate) errors: usize,
    pub(crate) values: usize,
    pub(crate) failures: usize,
    pub(crate) cut: usize,
    pub(crate) ejected: usize,
    /// How much later than its deadline the latest call ended, but for the time in which there was no core for us.
    pub(crate) late: Duration,
    pub(crate) leaked: usize,
    pub(crate) breaches: Vec<String>,
}

impl Ended {
    fn breach(&mut self, what: impl Into<String>) {
        self.breaches.push(what.into());
    }
}

impl Batch<'_> {
    /// Makes so many calls.
    pub(crate) async fn run(&self, calls: usize) -> Ended {
        let mut ended = Ended { calls, ..Ended::default() };
        let cells = self.cells();
        let mut blocker = Box::pin(self.arena.call(&BLOCKER, self.policy));
        self.prepare(blocker.as_mut()).await;
        self.arena.inject(Some((self.fault, self.seed)));
        let answers = stream::iter(0..calls).map(|number| self.one(number)).buffer_unordered(self.fault.at_once());
        let mut answers = std::pin::pin!(answers);
        let (mut unfair, mut strange) = (0, 0);
        while let Some((answer, starved, neighbour)) = answers.next().await {
            match answer {
                Answer::Value(_) => ended.values += 1,
                Answer::Error(_) => ended.errors += 1,
                Answer::Failed(_) => ended.failures += 1,
                Answer::None => ended.cut += 1,
            }
            let (relay, callee) = (arena::relay(self.fault.class, self.policy), self.fault.class.name());
            if let Some(wrong) = self.policy.judge(self.fault, (&relay, callee), (self.strays(), starved), &answer) {
                unfair += 1;
                if unfair <= MAX_TOLD {
                    ended.breach(wrong);
                }
            }
            if let Some(wrong) = neighbour {
                strange += 1;
                if strange <= MAX_TOLD {
                    ended.breach(wrong);
                }
            }
        }
        if unfair.max(strange) > MAX_TOLD {
            ended.breach(format!("and so on, {unfair} times, and {strange} times with the neighbour"));
        }
        self.arena.inject(None);
        drop(blocker);
        self.settle(&mut ended, cells).await;
        self.look(&mut ended, self.witness.take());
        ended
    }

    /// What has to be so before the first call: a breaker that is open, or a call that takes the only place and is given up when
    /// the batch ends.
    async fn prepare(&self, mut blocker: std::pin::Pin<&mut impl Future<Output = Answer>>) {
        match self.fault.class {
            Class::Broken => drop(self.arena.call(&BREAKER, self.policy).await),
            Class::Busy => {
                while !self.arena.is_busy(Class::Busy) {
                    let ended = tokio::time::timeout(Duration::from_millis(1), &mut blocker).await;
                    assert!(ended.is_err(), "a sleeper ended: {ended:?}");
                }
            }
            Class::Calm | Class::Hog | Class::Late | Class::Stillborn => return,
        }
        drop(self.witness.take());
    }

    /// Other ways in which a call may fail here. Calls of residents may have to wait for one, and not long enough.
    fn strays(&self) -> &'static [FailureKind] {
        match (self.arena.lifetime, self.fault.end) {
            (_, End::Says(_) | End::Returns | End::CallerFails(_) | End::CutOff | End::Refused(_)) => &[],
            (arena::Lifetime::Resident, _) => &[FailureKind::Down, FailureKind::Shed, FailureKind::Deadline],
            (arena::Lifetime::Call | arena::Lifetime::Request, _) => &[],
        }
    }

    /// Whether a fallback within a short deadline may have had no time: the system kept us waiting for much of it.
    fn starves_fallbacks(&self, kept_waiting: Duration) -> bool {
        let short = self.fault.class == Class::Late && self.policy.fallback().is_some();
        short && kept_waiting > Duration::from_millis(LATE_MS) / 2
    }

    /// One call, and whether it may have had no time for a fallback; now and then the neighbour is asked.
    async fn one(&self, number: usize) -> (Answer, bool, Option<String>) {
        let began = Instant::now();
        self.witness.begin();
        let after = match self.fault.end {
            End::CutOff => {
                CUT_AFTER.mul_f64(f64::from(u32::try_from((self.seed ^ number as u64) % 100).unwrap_or(0)) / 100.0)
            }
            _ => HANGS_AFTER,
        };
        let called = tokio::time::timeout(after, self.arena.call(self.fault, self.policy)).await;
        let answer = called.unwrap_or(Answer::None);
        let starved = self.starves_fallbacks(self.witness.kept_waiting(began.elapsed()));
        let neighbour = if number.is_multiple_of(NEIGHBOUR_EVERY) { self.arena.ask_neighbour().await } else { None };
        (answer, starved, neighbour)
    }

    /// Cells that live, but for residents.
    fn cells(&self) -> usize {
        let app = self.arena.node.app();
        let transient = |id: ComponentId| app.component(id).lifetime != Lifetime::Resident;
        let usage = self.arena.node.usage();
        usage.components.iter().filter(|used| transient(used.component)).map(|used| used.cells as usize).sum()
    }

    /// Waits until the cells that were made are gone again.
    async fn settle(&self, ended: &mut Ended, before: usize) {
        let until = Instant::now() + SETTLE;
        while self.cells() > before
            || (self.fault.class == Class::Calm && self.witness.ended() < self.expected_ejections(ended))
        {
            if Instant::now() > until {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ended.leaked = self.cells().saturating_sub(before);
        if ended.leaked > 0 {
            ended.breach(format!("{} cells are left", ended.leaked));
        }
    }

    fn expected_ejections(&self, ended: &Ended) -> usize {
        match self.fault.end {
            End::Fails(_) => ended.calls * self.policy.attempts(self.fault.end) as usize,
            _ => 0,
        }
    }

    /// Holds the events against what should have happened.
    fn look(&self, ended: &mut Ended, seen: witness::Batch) {
        let edge = self.arena.edge(self.fault, self.policy);
        // The blocker is given up, and told of or not.
        let blocked = self.fault.class == Class::Busy;
        let all = seen.calls.iter().filter(|seen| !(blocked && seen.call.outcome == Outcome::Cancelled));
        let (calls, others): (Vec<&witness::Seen>, Vec<&witness::Seen>) = all.partition(|seen| seen.edge == edge);
        let crossed = match self.fault.end {
            // It failed on its way out, or was cut off at some point.
            End::CallerFails(_) => 0,
            End::CutOff => calls.len(),
            _ => ended.calls,
        };
        if calls.len() != crossed || !others.is_empty() {
            ended.breach(format!("{} and {} events tell of {crossed} calls", calls.len(), others.len()));
        }
        let mut unfair = 0;
        for seen in &calls {
            if let Some(late) = seen.call.duration.checked_sub(self.deadline()) {
                let late = late.saturating_sub(seen.kept_waiting);
                ended.late = ended.late.max(late);
            }
            if !self.is_fair(seen) {
                unfair += 1;
                if unfair <= MAX_TOLD {
                    ended.breach(format!("an event says {:?}", seen.call));
                }
            }
        }
        if ended.late > LATENESS {
            ended.breach(format!("a call ended {:?} after its deadline", ended.late));
        }
        self.look_at_cells(ended, &seen);
    }

    /// The longest that a call over this edge may take.
    fn deadline(&self) -> Duration {
        match self.fault.class {
            Class::Late => {
                let attempts = self.policy.attempts(self.fault.end);
                Duration::from_millis(LATE_MS) * attempts + policy::BACKOFF * ((1 << (attempts - 1)) - 1)
            }
            Class::Calm | Class::Hog | Class::Stillborn | Class::Broken | Class::Busy => Duration::from_secs(10),
        }
    }

    fn is_fair(&self, seen: &witness::Seen) -> bool {
        let call = &seen.call;
        let most = self.policy.attempts(self.fault.end);
        let failed = |kind: FailureKind| {
            let strayed =
                call.attempts <= most && matches!(call.outcome, Outcome::Failed(kind) if self.strays().contains(&kind));
            let late_fallback = self.starves_fallbacks(seen.kept_waiting)
                && call.fallback == Some(Outcome::Failed(FailureKind::Deadline))
                && call.seen == self.policy.seen_without_fallback();
            ((call.outcome == Outcome::Failed(kind) && call.attempts == most) || strayed)
                && (late_fallback || (call.seen == self.policy.seen() && call.fallback == self.policy.fallback()))
        };
        let fine = call.outcome == Outcome::Ok && call.seen == Seen::Results && call.fallback.is_none();
        let marked = call.injected.is_some() == self.fault.injected.is_some();
        match self.fault.end {
            End::Fails(kind) | End::TurnedAway(kind) => failed(kind) && marked,
            End::Refused(kind) => failed(kind),
            End::Says(_) | End::Returns => fine && call.attempts == 1 && marked,
            End::Sometimes(kind) => {
                let retried = call.attempts == self.policy.attempts(End::Fails(kind));
                let lost = call.outcome == Outcome::Failed(kind) && retried;
                let lost = lost || matches!(call.outcome, Outcome::Failed(kind) if self.strays().contains(&kind));
                (fine || (lost && call.seen == self.policy.seen()))
                    && (call.injected.is_some() || (fine && call.attempts == 1))
            }
            End::CallerFails(_) => false,
            End::CutOff => matches!(call.outcome, Outcome::Cancelled),
        }
    }

    /// Each failure of a cell throws out that cell, and no other.
    fn look_at_cells(&self, ended: &mut Ended, seen: &witness::Batch) {
        let app = self.arena.node.app();
        let callee = app.find(self.fault.class.name()).expect("it is there").id;
        let of_callee = seen.ended.iter().filter(|(component, _)| *component == callee);
        let ejected: Vec<_> = of_callee
            .filter_map(|(_, end)| if let CellEnd::Ejected(kind) = end { Some(*kind) } else { None })
            .collect();
        ended.ejected = ejected.len();
        let resident = self.arena.lifetime == arena::Lifetime::Resident;
        let (kind, fair) = match self.fault.end {
            End::Fails(kind) => {
                let all = self.expected_ejections(ended);
                // Who waits for a resident until the deadline has met no cell; nor has who spent all of its time on making one.
                let some = resident || matches!(self.fault.class, Class::Hog | Class::Late);
                let fair = if some { ejected.len() <= all } else { ejected.len() == all };
                (Some(kind), fair)
            }
            End::Sometimes(kind) => (Some(kind), true),
            _ => (None, ejected.is_empty()),
        };
        if !fair || ejected.iter().any(|ejected| Some(*ejected) != kind) {
            ended.breach(format!(
                "{} cells were thrown out, the first on account of {:?}",
                ejected.len(),
                ejected.first()
            ));
        }
        // Who called goes where it fails itself, and a fallback that is made to; nobody else. Of a callee of another class, what an
        // earlier batch left may go only now.
        let callees = Class::ALL.map(|class| app.find(class.name()).expect("it is there").id);
        let relay = app.find(&arena::relay(self.fault.class, self.policy)).expect("it is there").id;
        let [lame, spare] = [LAME, SPARE].map(|name| app.find(name).expect("it is there").id);
        let starved = seen.calls.iter().any(|seen| self.starves_fallbacks(seen.kept_waiting));
        for (component, end) in &seen.ended {
            let own_fault = callees.contains(component)
                || (*component == relay && ended.failures > 0)
                || (*component == lame && self.policy.fallback().is_some_and(|outcome| outcome != Outcome::Ok))
                || (*component == spare && starved && *end == CellEnd::Ejected(FailureKind::Deadline));
            if let (CellEnd::Ejected(kind), false) = (end, own_fault) {
                ended.breach(format!("a cell of `{}` was thrown out: {kind}", app.component(*component).name));
                break;
            }
        }
    }
}
