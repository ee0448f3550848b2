//! Cutting a cell short: what ends a call that is still running when its cell has to go, because a resident is to stop, or because an
//! operator throws it out.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
};

use tokio::sync::Notify;
use watertight_model::failure::FailureKind;

use crate::failure::{Interrupted, ThrownOut};

/// Shared by a cell and whoever may end it.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    /// Its cell is to finish what it has.
    leaving: AtomicBool,
    made: AtomicBool,
    /// It was thrown out.
    ejected: AtomicBool,
    told: Notify,
}

impl Cut {
    /// Says that the cell is to finish what it has: it is not worth waiting for others.
    pub(crate) fn announce(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    /// Ends whatever the cell is doing: at the guest's next tick, or at once where it waits.
    pub(crate) fn make(&self) {
        self.made.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
    }

    /// The same for a cell that is thrown out, whatever it is doing: it fails, and is never entered again.
    pub(crate) fn eject(&self) {
        self.ejected.store(true, Ordering::SeqCst);
        self.make();
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    /// What a guest breaks off with once the cut is made.
    pub(crate) fn error(&self) -> wasmtime::Error {
        if self.is_ejected() { ThrownOut.into() } else { Interrupted { kind: FailureKind::Down }.into() }
    }

    /// Waits until the cut is made.
    pub(crate) async fn until_made(&self) {
        let told = self.told.notified();
        if !self.is_made() {
            told.await;
        }
    }

    pub(crate) fn is_made(&self) -> bool {
        self.made.load(Ordering::SeqCst)
    }

    /// What comes of `guest`, or nothing once the cut is made.
    pub(crate) async fn unless_made<F: Future>(&self, mut guest: Pin<&mut F>) -> Option<F::Output> {
        // It hears of every cut that is made after this line, polled or not.
        let mut told = pin!(self.told.notified());
        poll_fn(|cx| {
            if let Poll::Ready(output) = guest.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if told.as_mut().poll(cx).is_ready() || self.is_made() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}
