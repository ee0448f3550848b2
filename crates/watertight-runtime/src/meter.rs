//! Who runs, and for how long: each poll of guest code is timed and charged to its cell, less what nested cells took.
//!
//! The clock is the system's monotonic one: it is cheap to read, and the threads that poll guests are seldom made to wait for a core.
//! One of lower priority is; what it charges is its own time on a processor.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use rustix::time::{ClockId, clock_gettime};

use crate::{
    clock::{self, Moment},
    slice::Awaited,
};

thread_local! {
    /// Nanoseconds that cells nested in the one running now took, in its current poll. Outside of any, all that this thread spent.
    static NESTED: Cell<u64> = const { Cell::new(0) };
    /// When the current poll of the cell running now began.
    static SINCE: Cell<Option<Reading>> = const { Cell::new(None) };
    static THREAD_CLOCK: Cell<bool> = const { Cell::new(false) };
}

/// From now on, guests that this thread polls are charged its time on a processor.
pub(crate) fn charge_by_thread_clock() {
    THREAD_CLOCK.set(true);
}

/// Nanoseconds that this thread spent running guests. Only differences mean anything, and only outside of every guest.
pub(crate) fn nanos_on_this_thread() -> u64 {
    NESTED.get()
}

/// What the clock says that this thread charges by.
#[derive(Clone, Copy, Debug)]
struct Reading(u64);

impl Reading {
    fn now() -> Self {
        Self::at(Moment::now())
    }

    /// `now` is now, or a moment ago.
    fn at(now: Moment) -> Self {
        if THREAD_CLOCK.get() {
            return Self(clock::nanos_of(clock_gettime(ClockId::ThreadCPUTime)));
        }
        Self(now.as_nanos())
    }

    fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Nanoseconds that one cell ran.
#[derive(Debug, Default)]
pub(crate) struct CpuAccount {
    spent: AtomicU64,
    /// What was spent before the budget last began anew.
    before: AtomicU64,
}

impl CpuAccount {
    /// What was spent until `now`, the poll in progress included. Ask only from within that poll.
    pub(crate) fn spent_nanos(&self, now: Moment) -> u64 {
        self.spent.load(Ordering::Relaxed) + running_nanos(now).saturating_sub(NESTED.get())
    }

    pub(crate) fn reset(&self) {
        self.before.fetch_add(self.spent.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// What was spent of the budget, but for a poll in progress.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// What was ever spent, but for a poll in progress.
    pub(crate) fn total_nanos(&self) -> u64 {
        self.before.load(Ordering::Relaxed) + self.spent.load(Ordering::Relaxed)
    }
}

/// How long the current poll of the cell running now has lasted, with what is nested in it.
pub(crate) fn running_nanos(now: Moment) -> u64 {
    SINCE.get().map_or(0, |since| Reading::at(now).nanos_since(since))
}

pin_project! {
    /// Guest code whose polls are charged to a cell.
    pub(crate) struct Metered<'a, F> {
        #[pin]
        guest: F,
        account: &'a CpuAccount,
        // A moment ago, for the first poll: every reading of the clock counts in a crossing.
        began: Option<Moment>,
    }
}

impl<'a, F> Metered<'a, F> {
    /// `guest` must not panic when polled: the account would not be closed.
    pub(crate) fn new(guest: F, account: &'a CpuAccount, began: Moment) -> Self {
        Self { guest, account, began: Some(began) }
    }
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let began = this.began.take().map_or_else(Reading::now, Reading::at);
        let outer_nested = NESTED.replace(0);
        let outer_since = SINCE.replace(Some(began));
        let result = this.guest.poll(cx);
        let took = Reading::now().nanos_since(began);
        this.account.spent.fetch_add(took.saturating_sub(NESTED.get()), Ordering::Relaxed);
        NESTED.set(outer_nested + took);
        SINCE.set(outer_since);
        result
    }
}

/// Waits for `future` until `deadline`. A future that is ready at once costs no timer. The run that this is a part of is called back
/// from lower priority when the deadline passes.
pub(crate) async fn until<F: Future>(future: F, deadline: Moment) -> Option<F::Output> {
    let mut future = pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => {
            let _awaited = Awaited::until(deadline);
            tokio::time::timeout_at(deadline.instant().into(), future).await.ok()
        }
    }
}
