//! The gate of a component: so many calls at once, so many waiting, the rest turned away.
//!
//! Who leaves looks whether anybody waits, and who waits looks whether anybody left: both in one order that all threads see
//! (`SeqCst`), so that one of the two sees the other.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;
use watertight_model::failure::FailureKind;

use crate::clock::Moment;

/// Admits calls to one component of one process.
#[derive(Debug)]
pub(crate) struct Gate {
    limit: u32,
    queue: u32,
    running: AtomicU32,
    waiting: AtomicU32,
    freed: Notify,
}

/// Proof that a call was admitted; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Admitted<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(limit: u32, queue: u32) -> Self {
        Self { limit, queue, running: AtomicU32::new(0), waiting: AtomicU32::new(0), freed: Notify::new() }
    }

    fn try_enter(&self) -> bool {
        self.running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |running| (running < self.limit).then_some(running + 1))
            .is_ok()
    }

    /// Enters if that takes no waiting.
    pub(crate) fn enter_now(&self) -> Option<Admitted<'_>> {
        // Lazily: dropping a proof frees a place, so there must be none where nobody entered.
        self.try_enter().then(|| Admitted(self))
    }

    /// Enters, or waits in the queue until the deadline.
    pub(crate) async fn enter(&self, deadline: Moment) -> Result<Admitted<'_>, FailureKind> {
        if !self.try_enter() {
            self.wait(deadline).await?;
        }
        Ok(Admitted(self))
    }

    /// How many calls run, and how many wait.
    pub(crate) fn load(&self) -> (u32, u32) {
        (self.running.load(Ordering::Relaxed), self.waiting.load(Ordering::Relaxed))
    }

    /// Frees the place of a call whose proof was turned into something that outlives it.
    pub(crate) fn leave(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    async fn wait(&self, deadline: Moment) -> Result<(), FailureKind> {
        let queued = self
            .waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| (waiting < self.queue).then_some(waiting + 1));
        if queued.is_err() {
            return Err(FailureKind::QueueFull);
        }
        let _place = Waiting(&self.waiting);
        loop {
            let freed = self.freed.notified();
            if self.try_enter() {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline.instant().into(), freed).await.is_err() {
                return Err(FailureKind::Deadline);
            }
        }
    }
}

impl Admitted<'_> {
    /// Keeps the place until [`Gate::leave`].
    pub(crate) fn keep(self) {
        std::mem::forget(self);
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
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
