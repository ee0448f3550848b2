//! HTTP/1.1 for who looks after a node: small requests, each on a connection of its own.
//!
//! Over a Unix socket, only the owner of the process, or root, is answered; whatever the socket's file says. Over TCP, who may ask is the
//! handler's business. Requests are bounded in number, size and time
//! before anyone looks at them. How long an answer takes is the handler's business: it may compile an app.

use std::{future::Future, io, path::Path, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, client::conn::http1 as client, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::geteuid;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    task::JoinSet,
    time::timeout,
};

/// Requests at once; more wait in the kernel.
const MAX_CONNECTIONS: usize = 16;

/// Bytes of a request's line and headers.
const MAX_HEAD: usize = 16 << 10;

/// Bytes of a request's body.
const MAX_REQUEST: usize = 256 << 10;

/// Bytes of an answer that a client reads.
const MAX_ANSWER: usize = 64 << 20;

/// Until a request is there whole.
const REQUEST_TIME: Duration = Duration::from_secs(2);

/// Until an answer is taken whole.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The rest after the system had no connection to give.
const REST: Duration = Duration::from_millis(100);

/// What answers requests.
pub trait LocalHandler: Clone + Send + Sync + 'static {
    /// Answers one.
    fn answer(&self, request: Request<Bytes>) -> impl Future<Output = Response<Bytes>> + Send;
}

/// Answers requests over a Unix socket until the future is dropped.
pub async fn serve(listener: UnixListener, handler: impl LocalHandler) {
    serve_on(handler, async || Ok(Some(listener.accept().await?.0).filter(is_ours))).await;
}

/// Answers requests over TCP until the future is dropped, whoever they are from.
pub async fn serve_tcp(listener: TcpListener, handler: impl LocalHandler) {
    serve_on(handler, async || Ok(Some(listener.accept().await?.0))).await;
}

/// Answers who is accepted; `None` is not answered.
async fn serve_on<S>(handler: impl LocalHandler, accept: impl AsyncFn() -> io::Result<Option<S>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let full = connections.len() >= MAX_CONNECTIONS;
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accept(), if !full => match accepted {
                Ok(Some(stream)) => drop(connections.spawn(answer_one(stream, handler.clone()))),
                Ok(None) => {}
                Err(_) => tokio::time::sleep(REST).await,
            },
        }
    }
}

/// Whether the other end is a process of this one's user, or of root.
fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == geteuid().as_raw() || peer.uid() == 0)
}

async fn answer_one<S: AsyncRead + AsyncWrite + Unpin>(stream: S, handler: impl LocalHandler) {
    let (answered, answering) = tokio::sync::oneshot::channel::<()>();
    let answered = std::sync::Mutex::new(Some(answered));
    let service = service_fn(|request: Request<Incoming>| {
        let handler = handler.clone();
        let answered = answered.lock().ok().and_then(|mut answered| answered.take());
        async move {
            let answer = match timeout(REQUEST_TIME, read(request)).await {
                Ok(Ok(request)) => handler.answer(request).await,
                Ok(Err(status)) => plain(status),
                Err(_) => plain(StatusCode::REQUEST_TIMEOUT),
            };
            drop(answered);
            Ok::<_, std::convert::Infallible>(answer.map(Full::new))
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let too_slow = async {
        // The sender is dropped, not used.
        let _ = answering.await;
        tokio::time::sleep(ANSWER_TIME).await;
    };
    // What goes wrong with a connection is for the client to notice.
    tokio::select! { _ = connection => {}, () = too_slow => {} }
}

async fn read(request: Request<Incoming>) -> Result<Request<Bytes>, StatusCode> {
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > MAX_REQUEST as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => Ok(Request::from_parts(head, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::BAD_REQUEST),
    }
}

fn plain(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// There is no such socket, or nobody listens on it.
    #[error("nobody answers at {path}: {error}")]
    Unreachable {
        /// The socket.
        path: String,
        /// The cause.
        error: io::Error,
    },
    /// The answer broke off, or was none.
    #[error("no answer from {path}: {why}")]
    Broken {
        /// The socket.
        path: String,
        /// What happened.
        why: String,
    },
    /// It did not come in time.
    #[error("no answer from {0} in time")]
    TooSlow(String),
}

/// Sends one request to the socket at `path`, and waits so long for the whole answer.
///
/// # Errors
/// When there is none.
pub async fn ask(path: &Path, request: Request<Bytes>, within: Duration) -> Result<Response<Bytes>, LocalError> {
    let name = || path.display().to_string();
    let broken = |why: &dyn std::fmt::Display| LocalError::Broken { path: name(), why: why.to_string() };
    let asked = async {
        let stream =
            UnixStream::connect(path).await.map_err(|error| LocalError::Unreachable { path: name(), error })?;
        let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        let mut request = request.map(Full::new);
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("watertight"));
        let answer = async {
            let (head, body) = sender.send_request(request).await.map_err(|error| broken(&error))?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| broken(&error))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // It may end as soon as it has handed over the answer.
            _ = connection => answer.await,
        }
    };
    timeout(within, asked).await.map_err(|_| LocalError::TooSlow(name()))?
}
