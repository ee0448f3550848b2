//! The gate of a component: so many calls at once, so many waiting, the rest turned away.

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
pub(crate) struct Admitted<G: AsRef<Gate>>(G);

impl Gate {
    pub(crate) fn new(limit: u32, queue: u32) -> Self {
        Self { limit, queue, running: AtomicU32::new(0), waiting: AtomicU32::new(0), freed: Notify::new() }
    }

    fn try_enter(&self) -> bool {
        self.running
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |running| (running < self.limit).then_some(running + 1))
            .is_ok()
    }

    /// Enters if that takes no waiting.
    pub(crate) fn enter_now<G: AsRef<Self>>(gate: G) -> Result<Admitted<G>, G> {
        if gate.as_ref().try_enter() { Ok(Admitted(gate)) } else { Err(gate) }
    }

    /// Enters, or waits in the queue until the deadline.
    pub(crate) async fn enter<G: AsRef<Self>>(gate: G, deadline: Moment) -> Result<Admitted<G>, FailureKind> {
        let this = gate.as_ref();
        if !this.try_enter() {
            this.wait(deadline).await?;
        }
        Ok(Admitted(gate))
    }

    async fn wait(&self, deadline: Moment) -> Result<(), FailureKind> {
        let queued = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < self.queue).then_some(waiting + 1)
        });
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

impl<G: AsRef<Gate>> Drop for Admitted<G> {
    fn drop(&mut self) {
        let gate = self.0.as_ref();
        gate.running.fetch_sub(1, Ordering::Release);
        if gate.waiting.load(Ordering::Relaxed) > 0 {
            gate.freed.notify_one();
        }
    }
}

struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
