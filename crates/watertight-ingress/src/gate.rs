//! Admission: so many at once, so many waiting, the rest told to come back.
//!
//! A [`Gate`] never runs anything itself. Who holds an [`Admitted`] was let in; dropping it lets the next one in, in the
//! order of arrival.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::refusal::{RETRY_AFTER_DEFAULT, Refusal};

/// Bounds how many run and how many wait.
#[derive(Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
    queue: u32,
    waiting: AtomicU32,
    retry_after: Duration,
}

/// Proof of having been let in. Hold it while the work lasts.
#[derive(Debug)]
#[must_use = "dropping it gives the place away"]
pub struct Admitted {
    _place: OwnedSemaphorePermit,
}

impl Gate {
    /// A gate that lets `concurrency` in at once (at least one) and lets `queue` more wait.
    #[must_use]
    pub fn new(concurrency: u32, queue: u32) -> Self {
        Self {
            places: Arc::new(Semaphore::new(concurrency.max(1) as usize)),
            queue,
            waiting: AtomicU32::new(0),
            retry_after: RETRY_AFTER_DEFAULT,
        }
    }

    /// Says `retry_after` to those it turns away.
    #[must_use]
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Waits for a place until `deadline`. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] at once when the queue is full, or at the deadline when no place came free: either way
    /// nothing was started, and coming back later is safe.
    pub async fn admit(&self, deadline: Instant) -> Result<Admitted, Refusal> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Admitted { _place: place });
        }
        let overloaded = Refusal::Overloaded { retry_after: self.retry_after };
        let _ticket = Ticket::take(&self.waiting, self.queue).ok_or(overloaded)?;
        match tokio::time::timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(Admitted { _place: place }),
            // The semaphore is never closed, so this is the deadline.
            Ok(Err(_)) | Err(_) => Err(overloaded),
        }
    }

    /// How many wait now.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A place in the queue, given back when dropped, also when the waiting future is.
struct Ticket<'a>(&'a AtomicU32);

impl<'a> Ticket<'a> {
    fn take(waiting: &'a AtomicU32, queue: u32) -> Option<Self> {
        let room = |now| (now < queue).then(|| now + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok().map(|_| Self(waiting))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use futures_util::{FutureExt, pin_mut};

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test(start_paused = true)]
    async fn the_gate_admits_so_many_queues_so_many_and_refuses_the_rest() {
        let gate = Gate::new(2, 1).retry_after(Duration::from_secs(7));
        let first = gate.admit(later()).await.expect("a place is free");
        let _second = gate.admit(later()).await.expect("a place is free");
        let third = gate.admit(later());
        pin_mut!(third);
        assert!(third.as_mut().now_or_never().is_none(), "the third waits");
        assert_eq!(gate.waiting(), 1);
        let refused = gate.admit(later()).await.err();
        assert_eq!(refused, Some(Refusal::Overloaded { retry_after: Duration::from_secs(7) }));
        drop(first);
        let _third = third.await.expect("the freed place goes to the one who waited");
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_the_deadline() {
        let gate = Gate::new(1, 1);
        let _held = gate.admit(later()).await.expect("a place is free");
        let soon = Instant::now() + Duration::from_millis(50);
        assert!(matches!(gate.admit(soon).await, Err(Refusal::Overloaded { .. })));
        assert_eq!(Instant::now(), soon);
        assert_eq!(gate.waiting(), 0, "its place in the queue is free again");
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_the_queue() {
        let gate = Gate::new(1, 1);
        let _held = gate.admit(later()).await.expect("a place is free");
        {
            let waits = gate.admit(later());
            pin_mut!(waits);
            let waits: std::pin::Pin<&mut dyn Future<Output = _>> = waits;
            assert!(waits.now_or_never().is_none());
        }
        assert_eq!(gate.waiting(), 0);
    }
}
