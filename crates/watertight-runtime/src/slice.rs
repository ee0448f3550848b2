//! Slices: how long guests run at the pace of everybody else, and what is remembered of a run that is over its own.
//!
//! A *run* is what the runtime polls by itself: a root call, or the task of a driver. Guests yield at every tick. One that has spent
//! its component's slice, or runs in a call tree that has spent the slice of the component it began with, is *over*, and
//! [`crate::demote`] moves its run to the thread that gets what is left over. What must not wait there is called back: a run whose
//! deadline passes, so that the guest that called in vain has time for its error; one whose call tree has ended, so
//! that its cells go; a driver that has done the job it was over with.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::{
    clock::{Moment, nanos},
    leftover, meter,
};

/// How long a run that was called back keeps its pace, whatever it has spent.
const EXCUSE: Duration = Duration::from_millis(20);

/// What one poll counts at most: guests yield at every tick, so a longer one waited for a core, and did not use one.
const MAX_TURN: Duration = Duration::from_millis(2);

/// What is known of one run.
pub(crate) struct Slice {
    /// Nanoseconds that the run may take before its call tree is over.
    limit: u64,
    spent: AtomicU64,
    over: AtomicBool,
    /// Until then, it is not over.
    excused: AtomicU64,
    /// The deadlines that guests of this run wait for, and the earliest of them.
    deadlines: Mutex<Vec<Moment>>,
    earliest: AtomicU64,
    /// Who is to be told that the run is called back, or has an earlier deadline.
    owner: AtomicWaker,
}

thread_local! {
    /// The run that this thread polls.
    static CURRENT: RefCell<Option<Arc<Slice>>> = const { RefCell::new(None) };
}

impl Slice {
    /// A run that may take so long, with all the cells of its call tree.
    pub(crate) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            limit: nanos(limit),
            spent: AtomicU64::new(0),
            over: AtomicBool::new(false),
            excused: AtomicU64::new(0),
            deadlines: Mutex::default(),
            earliest: AtomicU64::new(u64::MAX),
            owner: AtomicWaker::new(),
        })
    }

    /// Adds what another run spent in this one's call tree.
    pub(crate) fn charge(&self, nanos: u64) {
        self.spent.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Whether the call tree has spent its slice. The poll in progress is not counted yet: it lasts no longer than a tick.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed) > self.limit
    }

    /// Whether the run is to go on at lower priority.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Says that the run is over, if it took `least` at all: what a guest is charged may hold waits for a core. `false` where it was
    /// said already, the run is excused, or there is no lower priority.
    fn outrun(&self, now: Moment, least: u64) -> bool {
        self.spent.load(Ordering::Relaxed) > least
            && now.as_nanos() >= self.excused.load(Ordering::Relaxed)
            && leftover::is_there()
            && !self.over.swap(true, Ordering::SeqCst)
    }

    /// Calls the run back, to go on as if it had spent nothing for a moment.
    pub(crate) fn call_back(&self) {
        self.excused.store(Moment::now().plus(EXCUSE).as_nanos(), Ordering::Relaxed);
        self.release();
    }

    /// Lets the run come back: what it was over with is done.
    pub(crate) fn release(&self) {
        if self.over.swap(false, Ordering::SeqCst) {
            self.owner.wake();
        }
    }

    /// Who polls the run, and wants to know when it is called back.
    pub(crate) fn register_owner(&self, waker: &Waker) {
        self.owner.register(waker);
    }

    pub(crate) fn wake_owner(&self) {
        self.owner.wake();
    }

    /// The earliest deadline that a guest of this run waits for.
    pub(crate) fn earliest_deadline(&self) -> Moment {
        Moment::from_nanos(self.earliest.load(Ordering::SeqCst))
    }

    fn change_deadlines(&self, change: impl FnOnce(&mut Vec<Moment>)) {
        let mut deadlines = self.deadlines.lock();
        change(&mut deadlines);
        let earliest = deadlines.iter().min().map_or(u64::MAX, |earliest| earliest.as_nanos());
        let before = self.earliest.swap(earliest, Ordering::SeqCst);
        drop(deadlines);
        // Its owner sleeps until the deadline it knows: a later one can wait, an earlier one cannot.
        if earliest < before && self.is_over() {
            self.owner.wake();
        }
    }

    /// Polls the run, as the one that this thread polls now.
    pub(crate) fn poll<R>(
        self: &Arc<Self>,
        run: Pin<&mut (impl Future<Output = R> + ?Sized)>,
        cx: &mut Context<'_>,
    ) -> Poll<R> {
        let _outer = Outer(CURRENT.replace(Some(Arc::clone(self))));
        let before = meter::nanos_on_this_thread();
        let polled = run.poll(cx);
        self.charge((meter::nanos_on_this_thread() - before).min(nanos(MAX_TURN)));
        polled
    }
}

/// The run that was polled around this one: none, unless an embedder's host function blocks on a root call of its own.
struct Outer(Option<Arc<Slice>>);

impl Drop for Outer {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Says that the run that this thread polls is over, if it took `least` at all. Returns the run, if that is news.
pub(crate) fn outrun(now: Moment, least: u64) -> Option<Arc<Slice>> {
    CURRENT.with_borrow(|current| current.as_ref().filter(|run| run.outrun(now, least)).map(Arc::clone))
}

/// A deadline that a guest waits for: while it does, its run is called back when the deadline passes.
pub(crate) struct Awaited {
    slice: Option<Arc<Slice>>,
    deadline: Moment,
}

impl Awaited {
    pub(crate) fn until(deadline: Moment) -> Self {
        let slice = CURRENT.with_borrow(Option::clone);
        if let Some(slice) = &slice {
            slice.change_deadlines(|deadlines| deadlines.push(deadline));
        }
        Self { slice, deadline }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(slice) = &self.slice {
            slice.change_deadlines(|deadlines| {
                if let Some(place) = deadlines.iter().position(|deadline| *deadline == self.deadline) {
                    deadlines.swap_remove(place);
                }
            });
        }
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice").field("spent", &self.spent).field("over", &self.over).finish_non_exhaustive()
    }
}
