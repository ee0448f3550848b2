//! Bodies on their way in and out: counted, bounded, and never waited for without end.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::{BodyError, Refusal, config::HttpConfig, exchange::Exchange, exchange::Handler, stream::Stall};

/// The body of a request, as the handler reads it.
pub struct RequestBody {
    incoming: Incoming,
    /// `None` where there is no body, which is most requests: nothing to count, nothing allocated.
    meter: Option<Box<Meter>>,
}

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// It is longer than the limit.
    #[error("request body longer than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The client stopped sending.
    #[error("no byte of the request body for {0:?}")]
    Stalled(Duration),
    /// The connection broke, or the framing is wrong.
    #[error("request body broken off: {0}")]
    Broken(#[from] hyper::Error),
}

struct Meter {
    tally: Arc<Tally>,
    limit: u64,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

/// What the exchange knows of its request's body, which the handler holds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    bytes: AtomicU64,
    ended: AtomicBool,
    refused: AtomicU8,
}

const TOO_LARGE: u8 = 1;
const STALLED: u8 = 2;

impl Tally {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Whether the last byte was read.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// What the body did wrong, if it did: the client's fault, whatever the handler made of it.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self.refused.load(Relaxed) {
            TOO_LARGE => Some(Refusal::BodyTooLarge),
            STALLED => Some(Refusal::BodyStalled),
            _ => None,
        }
    }
}

impl RequestBody {
    /// Bounds `incoming`. The tally is absent where there is no body.
    pub(crate) fn new(incoming: Incoming, limits: &HttpConfig) -> (Self, Option<Arc<Tally>>) {
        if incoming.is_end_stream() {
            return (Self { incoming, meter: None }, None);
        }
        let tally = Arc::new(Tally::default());
        let meter = Meter {
            tally: Arc::clone(&tally),
            limit: limits.max_body_bytes,
            timeout: limits.body_timeout,
            timer: None,
            waiting: false,
        };
        (Self { incoming, meter: Some(Box::new(meter)) }, Some(tally))
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("size", &self.incoming.size_hint()).finish_non_exhaustive()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let me = self.get_mut();
        let polled = Pin::new(&mut me.incoming).poll_frame(cx);
        let Some(meter) = &mut me.meter else { return polled.map_err(RequestBodyError::Broken) };
        match polled {
            Poll::Pending => meter.poll_stalled(cx).map(|error| Some(Err(error))),
            Poll::Ready(Some(Ok(frame))) => {
                meter.waiting = false;
                let checked = meter.count(frame);
                if me.incoming.is_end_stream() {
                    meter.tally.ended.store(true, Relaxed);
                }
                Poll::Ready(Some(checked))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                meter.tally.ended.store(true, Relaxed);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Meter {
    fn count(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, RequestBodyError> {
        let Some(data) = frame.data_ref() else { return Ok(frame) };
        let total = self.tally.bytes.load(Relaxed).saturating_add(data.len() as u64);
        self.tally.bytes.store(total, Relaxed);
        if total > self.limit {
            self.tally.refused.store(TOO_LARGE, Relaxed);
            return Err(RequestBodyError::TooLarge { limit: self.limit });
        }
        Ok(frame)
    }

    /// The clock runs only while the handler waits: a guest that takes its time is not the client's fault.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<RequestBodyError> {
        let timeout = self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + timeout);
        }
        ready!(timer.as_mut().poll(cx));
        self.tally.refused.store(STALLED, Relaxed);
        Poll::Ready(RequestBodyError::Stalled(timeout))
    }
}

/// The body of an answer, as the connection writes it. Holds the exchange open until the last byte is handed over.
pub(crate) struct Outgoing<H: Handler> {
    source: Source<H::Body>,
    exchange: Exchange<H>,
    /// On HTTP/2: notes a client that takes no more of this stream.
    stall: Option<Arc<Stall>>,
}

enum Source<B> {
    Handler(B),
    Text(Bytes),
}

impl<H: Handler> Outgoing<H> {
    pub(crate) fn new(body: H::Body, exchange: Exchange<H>) -> Self {
        Self { source: Source::Handler(body), exchange, stall: Stall::current() }
    }

    pub(crate) fn text(text: Bytes, exchange: Exchange<H>) -> Self {
        Self { source: Source::Text(text), exchange, stall: Stall::current() }
    }
}

impl<H: Handler> Body for Outgoing<H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let me = self.get_mut();
        if let Some(stall) = &me.stall {
            stall.taken();
        }
        let frame = match &mut me.source {
            Source::Text(text) if text.is_empty() => None,
            Source::Text(text) => Some(Ok(Frame::data(std::mem::take(text)))),
            Source::Handler(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(Into::into)),
        };
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                me.exchange.wrote(bytes as u64, me.source.is_end_stream());
                if let Some(stall) = &me.stall {
                    stall.offered();
                }
            }
            None => me.exchange.wrote(0, true),
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Handler(body) => body.size_hint(),
            Source::Text(text) => SizeHint::with_exact(text.len() as u64),
        }
    }
}

impl<B: Body> Source<B> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Handler(body) => body.is_end_stream(),
            Self::Text(text) => text.is_empty(),
        }
    }
}
