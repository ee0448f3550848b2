//! One connection: its handshakes, its protocol, and the watchdog that ends it.
//!
//! A connection is one task. It polls hyper, looks at the vitals, and keeps one timer that is only touched when a
//! deadline comes nearer: a busy connection sets none. Errors of a connection end that connection and are logged at debug
//! level, because clients cause them at will.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    config::{DEFAULT_MAX_HEADERS, HttpConfig},
    drain::Drain,
    exchange::{Handler, Peer, answer},
    server::Shared,
    stream::StreamTasks,
    tls::ALPN_H2,
    watch::{Due, Farewell, Protocol, Vitals, due},
    wire::Wire,
};

/// Serves one connection until it ends. Never fails: what goes wrong is the client's to notice.
pub(crate) async fn serve<H, S>(
    shared: Arc<Shared<H>>,
    socket: S,
    (client, local): (SocketAddr, SocketAddr),
    tls: Option<Arc<ServerConfig>>,
    drain: &Drain,
) where
    H: Handler,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let vitals = Arc::new(Vitals::new(Instant::now()));
    let mut wire = Wire::new(socket, Arc::clone(&vitals));
    let peer = Arc::new(Peer { shared, vitals, client, local, secure: tls.is_some() });
    let config = &peer.shared.config;
    let watch = |protocol| Watchdog::new(&peer.vitals, config, protocol, drain);
    if let Some(tls) = tls {
        let Some(stream) = watch(Protocol::Unknown).over(TlsAcceptor::from(tls).accept(wire)).await else { return };
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(ALPN_H2) => Protocol::H2,
            Some(_) | None => Protocol::H1,
        };
        speak(protocol, stream, &peer, watch(protocol)).await;
    } else {
        let Some(protocol) = watch(Protocol::Unknown).over(wire.sniff()).await else { return };
        speak(protocol, wire, &peer, watch(protocol)).await;
    }
}

async fn speak<H, I>(protocol: Protocol, io: I, peer: &Arc<Peer<H>>, watchdog: Watchdog<'_>)
where
    H: Handler,
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let config = &peer.shared.config;
    let service = {
        let peer = Arc::clone(peer);
        service_fn(move |request: Request<Incoming>| {
            let peer = Arc::clone(&peer);
            async move { Ok::<_, Infallible>(answer(peer, request).await) }
        })
    };
    let io = TokioIo::new(io);
    match protocol {
        Protocol::H2 => {
            let connection = http2(config).serve_connection(io, service);
            watchdog.guard(connection, http2::Connection::graceful_shutdown).await;
        }
        Protocol::H1 | Protocol::Unknown => {
            let connection = http1(config).serve_connection(io, service);
            watchdog.guard(connection, http1::Connection::graceful_shutdown).await;
        }
    }
}

fn http1(config: &HttpConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The watchdog keeps the time. Pipelined answers are not gathered: with `pipeline_flush`, hyper buffers an answer's
    // whole body for a client that does not read (invariant 11).
    builder
        .header_read_timeout(None)
        .max_header_size(config.max_header_bytes as usize)
        .max_buf_size(config.max_buffer_bytes.max(config.max_header_bytes).max(8192) as usize);
    if config.max_headers != DEFAULT_MAX_HEADERS {
        builder.max_headers(config.max_headers as usize);
    }
    builder
}

fn http2(config: &HttpConfig) -> http2::Builder<StreamTasks> {
    let mut builder = http2::Builder::new(StreamTasks { write_timeout: config.write_timeout });
    builder.max_concurrent_streams(config.max_streams).max_header_list_size(config.max_header_bytes);
    builder
}

/// Ends a connection when it has waited long enough, and hands it the server's farewell.
struct Watchdog<'a> {
    vitals: &'a Vitals,
    config: &'a HttpConfig,
    protocol: Protocol,
    drain: &'a Drain,
    farewell: Farewell,
    head_since: Option<Instant>,
}

impl<'a> Watchdog<'a> {
    fn new(vitals: &'a Vitals, config: &'a HttpConfig, protocol: Protocol, drain: &'a Drain) -> Self {
        Self { vitals, config, protocol, drain, farewell: Farewell::default(), head_since: None }
    }

    /// Runs a handshake. `None` where it failed or took too long.
    async fn over<T, E: std::fmt::Display>(self, handshake: impl Future<Output = Result<T, E>>) -> Option<T> {
        let mut result = None;
        let connection = async { handshake.await.map(|done| result = Some(done)) };
        // A handshake cannot be hurried: being told to finish, it is given up.
        self.guard_with(pin!(connection), |_| Parting::Done).await;
        result
    }

    /// Runs a connection to its end.
    async fn guard<C, E>(self, connection: C, finish: fn(Pin<&mut C>))
    where
        C: Future<Output = Result<(), E>>,
        E: std::fmt::Display,
    {
        self.guard_with(pin!(connection), |connection| {
            finish(connection);
            Parting::Underway
        })
        .await;
    }

    async fn guard_with<C, E>(mut self, mut connection: Pin<&mut C>, finish: impl Fn(Pin<&mut C>) -> Parting)
    where
        C: Future<Output = Result<(), E>>,
        E: std::fmt::Display,
    {
        let armed = Instant::now() + self.config.idle_timeout;
        let mut timer = pin!(sleep_until(armed));
        let mut drain = pin!(self.drain.begun());
        let mut hurry = pin!(self.drain.hurried());
        let () = std::future::poll_fn(move |cx| {
            if self.farewell.draining_since.is_none() && drain.as_mut().poll(cx).is_ready() {
                self.farewell.draining_since = Some(Instant::now());
                self.farewell.patience = self.drain.patience();
                self.vitals.drains();
            }
            if !self.farewell.patience.is_zero() && hurry.as_mut().poll(cx).is_ready() {
                self.farewell.patience = Duration::ZERO;
            }
            loop {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                    return Poll::Ready(());
                }
                match self.look(timer.as_mut(), cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Verdict::Cut(why)) => {
                        tracing::debug!(why, "connection cut");
                        return Poll::Ready(());
                    }
                    Poll::Ready(Verdict::Finish) => {
                        self.farewell.told = Some(Instant::now());
                        if matches!(finish(connection.as_mut()), Parting::Done) {
                            return Poll::Ready(());
                        }
                    }
                }
            }
        })
        .await;
    }

    /// Looks at the vitals, and sets the timer where something comes due before it would ring.
    fn look(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Verdict> {
        loop {
            let sight = self.vitals.look(self.protocol, &mut self.head_since);
            if self.farewell.draining_since.is_some() && self.farewell.told.is_none() && sight.in_flight {
                // Requests in flight go on; what follows them does not.
                return Poll::Ready(Verdict::Finish);
            }
            let due = due(&sight, &self.farewell, self.config);
            if let Some(at) = due.at()
                && at < timer.deadline()
            {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match due {
                Due::Cut(at, why) if at <= now => return Poll::Ready(Verdict::Cut(why)),
                Due::Finish(at) if at <= now => return Poll::Ready(Verdict::Finish),
                // Armed for something that did not come to pass.
                Due::Cut(at, _) | Due::Finish(at) => timer.as_mut().reset(at),
                Due::Never => timer.as_mut().reset(now + self.config.idle_timeout),
            }
        }
    }
}

/// What the watchdog decided.
enum Verdict {
    Finish,
    Cut(&'static str),
}

/// Whether a connection that was told to finish still has something to say.
enum Parting {
    Done,
    Underway,
}
