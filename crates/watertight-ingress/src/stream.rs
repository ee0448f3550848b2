//! HTTP/2 streams: each in a task of its own, and cut when the client stops taking its answer.
//!
//! On HTTP/2 a client can stop reading one stream while its connection lives: the socket never fills, so the wire
//! cannot see it, and the body is not polled, so the body cannot see it. What can is the task that drives the stream. The
//! body notes when it handed over a chunk ([`Stall::offered`]) and when it was asked for the next ([`Stall::taken`]); the
//! task watches the note and, when it grows old, drops the stream, which sends the client a reset.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// Since when a stream's last chunk waits to be taken.
#[derive(Debug)]
pub(crate) struct Stall {
    born: Instant,
    /// Nanoseconds since `born`, plus one; 0 while nothing waits.
    since: AtomicU64,
}

tokio::task_local! {
    /// The stream whose task is running: hyper gives a service no other way to learn which stream it answers.
    static CURRENT: Arc<Stall>;
}

impl Stall {
    fn new() -> Self {
        Self { born: Instant::now(), since: AtomicU64::new(0) }
    }

    /// The stall of the stream being driven, on HTTP/2.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// A chunk was handed over.
    pub(crate) fn offered(&self) {
        let nanos = u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
        self.since.store(nanos + 1, Relaxed);
    }

    /// The next one was asked for.
    pub(crate) fn taken(&self) {
        self.since.store(0, Relaxed);
    }

    fn since(&self) -> Option<Instant> {
        self.since.load(Relaxed).checked_sub(1).map(|nanos| self.born + Duration::from_nanos(nanos))
    }
}

/// Runs the streams of a connection.
#[derive(Clone, Debug)]
pub(crate) struct StreamTasks {
    pub(crate) write_timeout: Duration,
}

impl<F> hyper::rt::Executor<F> for StreamTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Watched {
            stream: Some(Box::pin(stream)),
            stall: Arc::new(Stall::new()),
            timer: None,
            write_timeout: self.write_timeout,
        });
    }
}

/// A stream with an eye on its client.
struct Watched<F> {
    stream: Option<Pin<Box<F>>>,
    stall: Arc<Stall>,
    timer: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = self.get_mut();
        let Some(stream) = &mut me.stream else { return Poll::Ready(()) };
        if CURRENT.sync_scope(Arc::clone(&me.stall), || stream.as_mut().poll(cx)).is_ready() {
            me.stream = None;
            return Poll::Ready(());
        }
        let Some(since) = me.stall.since() else { return Poll::Pending };
        let at = since + me.write_timeout;
        let timer = me.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        tracing::debug!("a client stopped taking its answer: stream reset");
        me.stream = None;
        Poll::Ready(())
    }
}
