//! Who runs, and for how long: each poll of guest code is timed and charged to its cell, less what nested cells took.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::clock::Moment;

thread_local! {
    /// Nanoseconds that cells nested in the one running now took, in its current poll.
    static NESTED: Cell<u64> = const { Cell::new(0) };
    /// When the current poll of the cell running now began.
    static SINCE: Cell<Option<Moment>> = const { Cell::new(None) };
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
        let running = SINCE.get().map_or(0, |since| now.nanos_since(since).saturating_sub(NESTED.get()));
        self.spent.load(Ordering::Relaxed) + running
    }

    pub(crate) fn reset(&self) {
        self.before.fetch_add(self.spent.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// What was ever spent, but for a poll in progress.
    pub(crate) fn total_nanos(&self) -> u64 {
        self.before.load(Ordering::Relaxed) + self.spent.load(Ordering::Relaxed)
    }
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
        let began = this.began.take().unwrap_or_else(Moment::now);
        let outer_nested = NESTED.replace(0);
        let outer_since = SINCE.replace(Some(began));
        let result = this.guest.poll(cx);
        let took = Moment::now().nanos_since(began);
        this.account.spent.fetch_add(took.saturating_sub(NESTED.get()), Ordering::Relaxed);
        NESTED.set(outer_nested + took);
        SINCE.set(outer_since);
        result
    }
}

/// Waits for `future` until `deadline`. A future that is ready at once costs no timer.
pub(crate) async fn until<F: Future>(future: F, deadline: Moment) -> Option<F::Output> {
    let mut future = pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout_at(deadline.instant().into(), future).await.ok(),
    }
}
