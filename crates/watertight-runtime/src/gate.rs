//! A gate: so many calls at once, so many waiting, the rest turned away. Components have one each, and edges that the manifest limits.
//!
//! Who leaves looks whether anybody waits, and who waits looks whether anybody left: both in one order that all threads see
//! (`SeqCst`), so that one of the two sees the other.
//!
//! A call that could not end in time is turned away at once, before it waits: its place in the queue and the pace at which calls left of
//! late say how long it would wait. The pace is measured only while the gate is full, when it means something, and with the clock that
//! was read last, so that a gate with room costs nothing.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::Notify;
use watertight_model::failure::FailureKind;

use crate::clock::Moment;

/// Admits calls.
#[derive(Debug)]
pub(crate) struct Gate {
    limit: u32,
    queue: u32,
    running: AtomicU32,
    waiting: AtomicU32,
    freed: Notify,
    /// When the gate became full, or a call left while it was.
    full_since: AtomicU64,
    /// Nanoseconds from one call's leaving to the next one's while the gate was full: a running mean. 0 until it was full.
    pace: AtomicU64,
}

/// Proof that a call was admitted; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Admitted<'a>(&'a Gate);

/// The weight of the last call in the pace.
const PACE_SHARE: u64 = 4;

impl Gate {
    pub(crate) fn new(limit: u32, queue: u32) -> Self {
        Self {
            limit,
            queue,
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            freed: Notify::new(),
            full_since: AtomicU64::new(0),
            pace: AtomicU64::new(0),
        }
    }

    fn try_enter(&self) -> bool {
        let entered = self
            .running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |running| (running < self.limit).then_some(running + 1));
        if entered.is_ok_and(|before| before + 1 == self.limit) {
            self.full_since.store(Moment::latest().as_nanos(), Ordering::Relaxed);
        }
        entered.is_ok()
    }

    /// Enters if that takes no waiting, and nobody waits.
    pub(crate) fn enter_now(&self) -> Option<Admitted<'_>> {
        // Lazily: dropping a proof frees a place, so there must be none where nobody entered.
        (self.waiting.load(Ordering::Relaxed) == 0 && self.try_enter()).then(|| Admitted(self))
    }

    /// Enters, or waits in the queue for as long as the call could still end by its deadline.
    pub(crate) async fn enter(&self, deadline: Moment) -> Result<Admitted<'_>, FailureKind> {
        match self.enter_now() {
            Some(admitted) => Ok(admitted),
            None => {
                self.wait(deadline).await?;
                Ok(Admitted(self))
            }
        }
    }

    /// How many calls run, and how many wait.
    pub(crate) fn load(&self) -> (u32, u32) {
        (self.running.load(Ordering::Relaxed), self.waiting.load(Ordering::Relaxed))
    }

    /// Frees the place of a call whose proof was turned into something that outlives it.
    pub(crate) fn leave(&self) {
        if self.running.fetch_sub(1, Ordering::SeqCst) == self.limit {
            self.measure(Moment::latest());
        }
        self.tell();
    }

    /// Lets the first of those that wait know that there is a place.
    fn tell(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    /// Notes that a call leaves a full gate. What others write in between costs the mean a little, and nothing else.
    fn measure(&self, now: Moment) {
        let since = self.full_since.swap(now.as_nanos(), Ordering::Relaxed);
        let took = now.as_nanos().saturating_sub(since).max(1);
        let mean = match self.pace.load(Ordering::Relaxed) {
            0 => took,
            mean => mean - mean / PACE_SHARE + took / PACE_SHARE,
        };
        self.pace.store(mean.max(1), Ordering::Relaxed);
    }

    /// How long the call at this place in the queue would wait, and the least time that it needs then: half of what calls take, since
    /// they do not all take the same.
    fn estimate(&self, place: u32) -> (Duration, Duration) {
        let pace = self.pace.load(Ordering::Relaxed);
        // The call that leaves next has been running for a while.
        let wait = pace.saturating_mul(place.into()).saturating_sub(pace / 2);
        let needs = pace.saturating_mul(self.limit.into()) / 2;
        (Duration::from_nanos(wait), Duration::from_nanos(needs))
    }

    async fn wait(&self, deadline: Moment) -> Result<(), FailureKind> {
        let queued = self
            .waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| (waiting < self.queue).then_some(waiting + 1));
        let Ok(before) = queued else { return Err(FailureKind::QueueFull) };
        let place = Waiting(&self.waiting);
        let (wait, needs) = self.estimate(before + 1);
        let latest = deadline.minus(needs);
        if Moment::now().plus(wait) > latest {
            return Err(FailureKind::Shed);
        }
        // A place that is free while others wait is on its way to the first of them.
        let mut mine = before == 0;
        loop {
            let freed = self.freed.notified();
            if std::mem::replace(&mut mine, true) && self.try_enter() {
                return Ok(());
            }
            if tokio::time::timeout_at(latest.instant().into(), freed).await.is_err() {
                return Err(FailureKind::Shed);
            }
            if Moment::now() > latest {
                // It came too late for this one; the next may have more time.
                drop(place);
                self.tell();
                return Err(FailureKind::Shed);
            }
        }
    }
}

impl Admitted<'_> {
    /// Keeps the place until [`Gate::leave`].
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }

    /// Gives the place back that no call has used: it says nothing of how long calls take.
    pub(crate) fn forgo(self) {
        let Self(gate) = self;
        std::mem::forget(self);
        gate.running.fetch_sub(1, Ordering::SeqCst);
        gate.tell();
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    fn soon(millis: u64) -> Moment {
        Moment::now().plus(Duration::from_millis(millis))
    }

    /// A gate of which a call left every so many milliseconds while it was full.
    fn paced(limit: u32, queue: u32, millis: u64) -> Gate {
        let gate = Gate::new(limit, queue);
        gate.pace.store(millis * 1_000_000, Ordering::Relaxed);
        gate
    }

    #[tokio::test]
    async fn so_many_enter_so_many_wait_and_the_rest_is_turned_away() {
        let gate = Gate::new(2, 1);
        let first = gate.enter(soon(60_000)).await.expect("there is room");
        let _second = gate.enter(soon(60_000)).await.expect("there is room");
        let mut third = pin!(gate.enter(soon(60_000)));
        assert!(third.as_mut().now_or_never().is_none(), "it waits");
        assert_eq!(gate.enter(soon(60_000)).await.map(drop), Err(FailureKind::QueueFull));
        assert_eq!(gate.load(), (2, 1));
        drop(first);
        let _third = third.await.expect("a place is free");
        assert_eq!(gate.load(), (2, 0));
    }

    #[tokio::test]
    async fn who_waits_till_its_deadline_is_shed_and_leaves_the_queue() {
        let gate = Gate::new(1, 1);
        let _held = gate.enter(soon(60_000)).await.expect("there is room");
        assert_eq!(gate.enter(soon(20)).await.map(drop), Err(FailureKind::Shed));
        assert_eq!(gate.load(), (1, 0));
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_the_queue() {
        let gate = Gate::new(1, 1);
        let _held = gate.enter(soon(60_000)).await.expect("there is room");
        {
            let waits = pin!(gate.enter(soon(60_000)));
            assert!(waits.now_or_never().is_none());
        }
        assert_eq!(gate.load(), (1, 0));
    }

    #[tokio::test]
    async fn a_call_that_could_not_end_in_time_does_not_wait_at_all() {
        // Calls take 4 s, and one of the two leaves every 2 s. The first in the queue waits for 1 s and has 2 s more to run.
        let gate = paced(2, 8, 2_000);
        let _held = [gate.enter(soon(60_000)).await, gate.enter(soon(60_000)).await];
        assert_eq!(
            gate.enter(soon(2_900)).now_or_never().map(|entered| entered.map(drop)),
            Some(Err(FailureKind::Shed))
        );
        let mut first = pin!(gate.enter(soon(3_500)));
        assert!(first.as_mut().now_or_never().is_none(), "it waits");
        // The next one in the queue waits for 2 s more.
        assert_eq!(
            gate.enter(soon(3_500)).now_or_never().map(|entered| entered.map(drop)),
            Some(Err(FailureKind::Shed))
        );
        let mut second = pin!(gate.enter(soon(5_500)));
        assert!(second.as_mut().now_or_never().is_none(), "it waits");
        assert_eq!(gate.load(), (2, 2));
    }

    #[tokio::test]
    async fn a_gate_with_room_sheds_nobody() {
        let gate = paced(2, 8, 3_600_000);
        let _held = gate.enter(soon(60_000)).await.expect("there is room");
        assert!(gate.enter(soon(1)).await.is_ok());
    }

    #[tokio::test]
    async fn who_comes_later_does_not_overtake_who_waits() {
        let gate = Gate::new(1, 8);
        let held = gate.enter(soon(60_000)).await.expect("there is room");
        let mut waits = pin!(gate.enter(soon(60_000)));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(held);
        assert!(gate.enter_now().is_none(), "the place belongs to the one that waits");
        let mut later = pin!(gate.enter(soon(60_000)));
        assert!(later.as_mut().now_or_never().is_none());
        drop(waits.await.expect("a place is free"));
        assert!(later.await.is_ok());
    }

    #[tokio::test]
    async fn the_pace_follows_what_calls_take() {
        let gate = Gate::new(1, 8);
        for _ in 0..20 {
            let admitted = gate.enter(soon(60_000)).await.expect("there is room");
            tokio::time::sleep(Duration::from_millis(3)).await;
            let _ = Moment::now();
            drop(admitted);
        }
        let (_, needs) = gate.estimate(1);
        assert!(needs >= Duration::from_millis(1), "half of at least 3 ms: {needs:?}");
    }
}
