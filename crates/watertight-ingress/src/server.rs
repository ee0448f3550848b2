//! The server: accepts connections, gives each a task, and drains when told to.
//!
//! It never binds and never decides when to stop: the caller does both. Nothing that a client does ends it.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    accept::{AcceptBackoff, After},
    config::HttpConfig,
    connection,
    drain::Drain,
    exchange::Handler,
    route::Router,
    tls::TlsConfig,
};

/// An HTTP/1.1 and HTTP/2 server for one listening socket.
pub struct HttpServer<H: Handler> {
    shared: Arc<Shared<H>>,
    tls: Option<Arc<ServerConfig>>,
}

/// What all connections share.
pub(crate) struct Shared<H> {
    pub(crate) config: HttpConfig,
    pub(crate) router: Router,
    pub(crate) handler: H,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because the drain's time was over.
    pub cut: usize,
}

impl<H: Handler> fmt::Debug for HttpServer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer")
            .field("config", &self.shared.config)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl<H: Handler> HttpServer<H> {
    /// A server in the clear: HTTP/1.1, and HTTP/2 for clients that begin with its preface.
    #[must_use]
    pub fn new(config: HttpConfig, router: Router, handler: H) -> Self {
        Self { shared: Arc::new(Shared { config, router, handler }), tls: None }
    }

    /// Over TLS only; the client chooses the protocol in the handshake.
    #[must_use]
    pub fn with_tls(mut self, tls: &TlsConfig) -> Self {
        self.tls = Some(tls.server());
        self
    }

    /// Serves until `shutdown`, then drains: connections already queued are still taken, requests in flight go on for up
    /// to [`HttpConfig::drain_timeout`], and what is left is cut. Dropping the future cuts at once.
    pub async fn serve(&self, listener: TcpListener, shutdown: Drain) -> Drained {
        let mut connections = JoinSet::new();
        let mut backoff = AcceptBackoff::default();
        loop {
            let full = connections.len() >= self.shared.config.max_connections as usize;
            tokio::select! {
                biased;
                () = shutdown.begun() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept(), if !full => match accepted {
                    Ok((socket, client)) => {
                        backoff.succeeded();
                        self.start(&mut connections, socket, client, &shutdown);
                    }
                    Err(error) => match backoff.failed(&error) {
                        After::Continue => {}
                        After::Wait { wait, first } => rest(&error, wait, first, &shutdown).await,
                    },
                },
            }
        }
        self.take_queued(&listener, &mut connections, &shutdown);
        drop(listener);
        drain(connections, self.shared.config.drain_timeout).await
    }

    /// Takes the connections that the kernel accepted before the listener closes: closing would reset them.
    fn take_queued(&self, listener: &TcpListener, connections: &mut JoinSet<()>, shutdown: &Drain) {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while connections.len() < self.shared.config.max_connections as usize
            && let std::task::Poll::Ready(Ok((socket, client))) = listener.poll_accept(&mut context)
        {
            self.start(connections, socket, client, shutdown);
        }
    }

    fn start(&self, connections: &mut JoinSet<()>, socket: TcpStream, client: SocketAddr, shutdown: &Drain) {
        // Answers are written whole: waiting for more to send with them (Nagle) only delays their ends.
        let (Ok(()), Ok(local)) = (socket.set_nodelay(true), socket.local_addr()) else { return };
        let (shared, tls, drain) = (Arc::clone(&self.shared), self.tls.clone(), shutdown.clone());
        connections.spawn(async move { connection::serve(shared, socket, (client, local), tls, &drain).await });
    }
}

async fn rest(error: &io::Error, wait: Duration, first: bool, shutdown: &Drain) {
    if first {
        tracing::warn!(%error, "cannot accept connections; trying again (raise the limit on open files: ulimit -n)");
    }
    tokio::select! { () = sleep(wait) => {}, () = shutdown.begun() => {} }
}

/// Waits for connections to end, then cuts.
async fn drain(mut connections: JoinSet<()>, timeout: Duration) -> Drained {
    let deadline = Instant::now() + timeout;
    while let Ok(Some(_)) = timeout_at(deadline, connections.join_next()).await {}
    let cut = connections.len();
    connections.shutdown().await;
    Drained { cut }
}
