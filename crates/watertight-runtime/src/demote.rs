//! Demotion: a run of guests goes on at lower priority once it is over its slice, and comes back when it is called.
//!
//! ```text
//!              over its slice                       polled by turns
//!   home ───────────────────────▶ seat: resting ◀───────────────────▶ taken
//!     ▲                             │    │                              │
//!     └─── called back ─────────────┘    └─── dropped by its owner      └──▶ done: the owner gets the result
//! ```
//!
//! The owner polls a [`Demotable`] and need not know where it runs. A run that is moved is polled by the thread of
//! [`crate::leftover`], in the context of the Tokio runtime it came from. It waits in a *seat* between its polls, and from there
//! the owner can take it back or drop it at once, without asking that thread, which may not be on a core for a while. Only a run
//! that is being polled has to be waited for, and then no longer than until its deadline: after that the owner goes on without it,
//! and the run is dropped where it is.

use std::{
    any::Any,
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{runtime::Handle, task::AbortHandle, time::Sleep};

use crate::{clock::Moment, leftover, slice::Slice};

/// How much longer than to its deadline the owner waits for a run that is being polled elsewhere.
const GRACE: Duration = Duration::from_millis(5);

/// A run of guests. It ends with `None` where its deadline passed while it could not be had back.
pub(crate) struct Demotable<R> {
    slice: Arc<Slice>,
    deadline: Moment,
    place: Place<R>,
}

enum Place<R> {
    Home(BoxFuture<'static, R>),
    Moved(Moved<R>),
    Over,
}

/// A run on the other thread, as its owner sees it.
struct Moved<R> {
    seat: Arc<Seat<R>>,
    task: AbortHandle,
    wake: Pin<Box<Sleep>>,
}

/// Where a moved run waits for its turn.
struct Seat<R>(Mutex<Sitting<R>>);

enum Sitting<R> {
    Resting(BoxFuture<'static, R>),
    /// It is being polled.
    Taken,
    Done(R),
    Panicked(Box<dyn Any + Send>),
    /// Its owner has it back, or wants nothing of it any more.
    Left,
}

impl<R: Send + 'static> Demotable<R> {
    pub(crate) fn new(slice: Arc<Slice>, deadline: Moment, run: impl Future<Output = R> + Send + 'static) -> Self {
        Self { slice, deadline, place: Place::Home(Box::pin(run)) }
    }
}

impl<R: Send + 'static> Future for Demotable<R> {
    type Output = Option<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let this = &mut *self;
        loop {
            match &mut this.place {
                Place::Home(run) => {
                    let polled = this.slice.poll(run.as_mut(), cx);
                    if let Poll::Ready(result) = polled {
                        this.place = Place::Over;
                        return Poll::Ready(Some(result));
                    }
                    if !this.slice.is_over() {
                        return Poll::Pending;
                    }
                    let Some((home, low)) = Handle::try_current().ok().zip(leftover::handle()) else {
                        return Poll::Pending;
                    };
                    let Place::Home(run) = mem::replace(&mut this.place, Place::Over) else { continue };
                    this.place = Place::Moved(Moved::start(run, Arc::clone(&this.slice), home, low));
                }
                Place::Moved(moved) => match ready!(moved.poll(&this.slice, this.deadline, cx)) {
                    End::Done(result) => {
                        this.place = Place::Over;
                        return Poll::Ready(result);
                    }
                    End::Back(run) => this.place = Place::Home(run),
                },
                Place::Over => return Poll::Pending,
            }
        }
    }
}

/// What becomes of a moved run.
enum End<R> {
    Done(Option<R>),
    Back(BoxFuture<'static, R>),
}

impl<R: Send + 'static> Moved<R> {
    fn start(run: BoxFuture<'static, R>, slice: Arc<Slice>, home: Handle, low: &Handle) -> Self {
        let wake = {
            let _home = home.enter();
            Box::pin(tokio::time::sleep_until(slice.earliest_deadline().instant().into()))
        };
        let seat = Arc::new(Seat(Mutex::new(Sitting::Resting(run))));
        let sitting = Arc::clone(&seat);
        let task = low.spawn(poll_fn(move |cx| sitting.poll(&slice, &home, cx))).abort_handle();
        Self { seat, task, wake }
    }

    fn poll(&mut self, slice: &Slice, deadline: Moment, cx: &mut Context<'_>) -> Poll<End<R>> {
        slice.register_owner(cx.waker());
        loop {
            match self.seat.leave_if(|| !slice.is_over()) {
                Some(Sitting::Done(result)) => return Poll::Ready(End::Done(Some(result))),
                Some(Sitting::Resting(run)) => return Poll::Ready(End::Back(run)),
                Some(Sitting::Panicked(panic)) => resume_unwind(panic),
                Some(Sitting::Taken | Sitting::Left) | None => {}
            }
            let (now, over) = (Moment::now(), slice.is_over());
            let next = if over { slice.earliest_deadline().min(deadline) } else { deadline.plus(GRACE) };
            if next <= now && !over {
                return Poll::Ready(End::Done(None));
            }
            if next <= now {
                slice.call_back();
                continue;
            }
            self.wake.as_mut().reset(next.instant().into());
            ready!(self.wake.as_mut().poll(cx));
        }
    }
}

impl<R> Drop for Moved<R> {
    fn drop(&mut self) {
        // One that rests is dropped here and now, with its cells.
        let left = self.seat.leave();
        self.task.abort();
        drop(left);
    }
}

impl<R> Seat<R> {
    /// Takes what can be had: the end of the run, or the run itself where it rests and is `wanted`.
    fn leave_if(&self, wanted: impl FnOnce() -> bool) -> Option<Sitting<R>> {
        let mut sitting = self.0.lock();
        let there = match &*sitting {
            Sitting::Done(_) | Sitting::Panicked(_) => true,
            Sitting::Resting(_) => wanted(),
            Sitting::Taken | Sitting::Left => false,
        };
        there.then(|| mem::replace(&mut *sitting, Sitting::Left))
    }

    /// Takes whatever is there; a run that is being polled is dropped after it.
    fn leave(&self) -> Sitting<R> {
        mem::replace(&mut *self.0.lock(), Sitting::Left)
    }

    /// The run's turn.
    fn poll(&self, slice: &Arc<Slice>, home: &Handle, cx: &mut Context<'_>) -> Poll<()> {
        let mut run = {
            let mut sitting = self.0.lock();
            match mem::replace(&mut *sitting, Sitting::Taken) {
                Sitting::Resting(run) => run,
                over @ (Sitting::Taken | Sitting::Done(_) | Sitting::Panicked(_) | Sitting::Left) => {
                    *sitting = over;
                    return Poll::Ready(());
                }
            }
        };
        let polled = {
            let _home = home.enter();
            catch_unwind(AssertUnwindSafe(|| slice.poll(run.as_mut(), cx)))
        };
        let next = match polled {
            Ok(Poll::Pending) => Sitting::Resting(run),
            Ok(Poll::Ready(result)) => Sitting::Done(result),
            Err(panic) => Sitting::Panicked(panic),
        };
        let goes_on = matches!(next, Sitting::Resting(_));
        let unwanted = self.sit(next);
        // Its owner has given it up: whatever it holds is dropped outside the lock.
        let given_up = unwanted.is_some();
        drop(unwanted);
        if given_up {
            return Poll::Ready(());
        }
        if goes_on && slice.is_over() {
            return Poll::Pending;
        }
        slice.wake_owner();
        if goes_on { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Puts down what came of a turn, or gives it back where nobody wants it.
    fn sit(&self, next: Sitting<R>) -> Option<Sitting<R>> {
        let mut sitting = self.0.lock();
        match &*sitting {
            Sitting::Left => Some(next),
            Sitting::Resting(_) | Sitting::Taken | Sitting::Done(_) | Sitting::Panicked(_) => {
                *sitting = next;
                None
            }
        }
    }
}
