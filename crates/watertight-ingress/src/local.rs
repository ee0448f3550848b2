//! HTTP/1.1 for who looks after a node: small requests, each on a connection of its own.
//!
//! Over a Unix socket, only the owner of the process, or root, is answered; whatever the socket's file says. Over TCP, who may ask is the
//! handler's business. Requests are bounded in number, size and time
//! before anyone looks at them. How long an answer takes is the handler's business: it may compile an app, or go on for as long as
//! something happens. Who does not take what comes is cut off.

use std::{
    future::Future,
    io,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame};
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
use tokio_util::sync::CancellationToken;

/// Requests at once; more wait in the kernel.
const MAX_CONNECTIONS: usize = 48;

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

/// Until more of an answer that goes on is taken; it has something to say more often than that.
const STUCK_TIME: Duration = Duration::from_secs(30);

/// The rest after the system had no connection to give.
const REST: Duration = Duration::from_millis(100);

/// What answers requests.
pub trait LocalHandler: Clone + Send + Sync + 'static {
    /// Answers one.
    fn answer(&self, request: Request<Bytes>) -> impl Future<Output = Response<LocalBody>> + Send;
}

/// What an answer consists of.
pub enum LocalBody {
    /// It is there.
    Whole(Bytes),
    /// It comes by and by, and is asked for only as fast as the client takes it.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl From<Bytes> for LocalBody {
    fn from(whole: Bytes) -> Self {
        Self::Whole(whole)
    }
}

impl std::fmt::Debug for LocalBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole(..)",
            Self::Stream(_) => "Stream(..)",
        })
    }
}

/// Answers requests over a Unix socket until the future is dropped, or `closing` and those are answered that have come.
pub async fn serve(listener: UnixListener, handler: impl LocalHandler, closing: &CancellationToken) {
    serve_on(handler, closing, async || Ok(Some(listener.accept().await?.0).filter(is_ours))).await;
}

/// The same over TCP, whoever they are from.
pub async fn serve_tcp(listener: TcpListener, handler: impl LocalHandler, closing: &CancellationToken) {
    serve_on(handler, closing, async || Ok(Some(listener.accept().await?.0))).await;
}

/// Answers who is accepted; `None` is not answered.
async fn serve_on<S>(
    handler: impl LocalHandler,
    closing: &CancellationToken,
    accept: impl AsyncFn() -> io::Result<Option<S>>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connections = JoinSet::new();
    while !closing.is_cancelled() {
        let full = connections.len() >= MAX_CONNECTIONS;
        tokio::select! {
            () = closing.cancelled() => {}
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accept(), if !full => match accepted {
                Ok(Some(stream)) => drop(connections.spawn(answer_one(stream, handler.clone()))),
                Ok(None) => {}
                Err(_) => tokio::time::sleep(REST).await,
            },
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Whether the other end is a process of this one's user, or of root.
fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == geteuid().as_raw() || peer.uid() == 0)
}

async fn answer_one<S: AsyncRead + AsyncWrite + Unpin>(stream: S, handler: impl LocalHandler) {
    let (answered, answering) = tokio::sync::oneshot::channel::<Option<Arc<AtomicU64>>>();
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
            let taken = matches!(answer.body(), LocalBody::Stream(_)).then(Arc::<AtomicU64>::default);
            if let Some(answered) = answered {
                // Who listens is there for as long as the connection.
                let _ = answered.send(taken.clone());
            }
            Ok::<_, std::convert::Infallible>(answer.map(|body| Taking { body, taken }))
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let too_slow = async {
        let Ok(Some(taken)) = answering.await else { return tokio::time::sleep(ANSWER_TIME).await };
        let mut before = u64::MAX;
        while before != taken.load(Relaxed) {
            before = taken.load(Relaxed);
            tokio::time::sleep(STUCK_TIME).await;
        }
    };
    // What goes wrong with a connection is for the client to notice.
    tokio::select! { _ = connection => {}, () = too_slow => {} }
}

/// An answer's body on its way, and how often more of it was asked for.
struct Taking {
    body: LocalBody,
    taken: Option<Arc<AtomicU64>>,
}

impl http_body::Body for Taking {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        if let Some(taken) = &self.taken {
            taken.fetch_add(1, Relaxed);
        }
        match &mut self.body {
            LocalBody::Whole(whole) if whole.is_empty() => Poll::Ready(None),
            LocalBody::Whole(whole) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(whole))))),
            LocalBody::Stream(stream) => {
                stream.as_mut().poll_next(cx).map(|next| next.map(|data| Ok(Frame::data(data))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.body, LocalBody::Whole(whole) if whole.is_empty())
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match &self.body {
            LocalBody::Whole(whole) => http_body::SizeHint::with_exact(whole.len() as u64),
            LocalBody::Stream(_) => http_body::SizeHint::default(),
        }
    }
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

fn plain(status: StatusCode) -> Response<LocalBody> {
    let mut response = Response::new(LocalBody::Whole(Bytes::new()));
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
    let asked = async {
        let (head, mut following) = begin(path, request).await?.into_parts();
        Ok(Response::from_parts(head, following.rest().await?))
    };
    timeout(within, asked).await.map_err(|_| LocalError::TooSlow(path.display().to_string()))?
}

/// Sends one request, and waits so long for the head of the answer; what follows is read by and by.
///
/// # Errors
/// When there is none.
pub async fn follow(path: &Path, request: Request<Bytes>, within: Duration) -> Result<Response<Following>, LocalError> {
    timeout(within, begin(path, request)).await.map_err(|_| LocalError::TooSlow(path.display().to_string()))?
}

/// The body of an answer, as it comes. Dropping it breaks off.
pub struct Following {
    connection: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: bool,
    body: Incoming,
    path: String,
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Following {
    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, LocalError> {
        loop {
            let frame = {
                let Self { connection, over, body, .. } = self;
                tokio::select! {
                    frame = body.frame() => frame,
                    // It may end as soon as it has handed over the answer.
                    () = connection, if !*over => {
                        *over = true;
                        continue;
                    }
                }
            };
            match frame.transpose().map_err(|error| broken(&self.path, &error))? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// All that is left, if it is not too much.
    ///
    /// # Errors
    /// When it breaks off, or is.
    pub async fn rest(&mut self) -> Result<Bytes, LocalError> {
        let mut rest = Vec::new();
        while let Some(data) = self.next().await? {
            if rest.len() + data.len() > MAX_ANSWER {
                return Err(broken(&self.path, &"it is too long"));
            }
            rest.extend_from_slice(&data);
        }
        Ok(rest.into())
    }
}

fn broken(path: &str, why: &dyn std::fmt::Display) -> LocalError {
    LocalError::Broken { path: path.to_owned(), why: why.to_string() }
}

async fn begin(path: &Path, request: Request<Bytes>) -> Result<Response<Following>, LocalError> {
    let name = path.display().to_string();
    let unreachable = |error| LocalError::Unreachable { path: name.clone(), error };
    let stream = UnixStream::connect(path).await.map_err(unreachable)?;
    let (mut sender, connection) =
        client::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&name, &error))?;
    let mut request = request.map(Full::new);
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("watertight"));
    let mut connection: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async { drop(connection.await) });
    let mut over = false;
    let answer = {
        let mut answer = std::pin::pin!(sender.send_request(request));
        tokio::select! {
            answer = &mut answer => answer,
            () = &mut connection => {
                over = true;
                answer.await
            }
        }
    };
    let (head, body) = answer.map_err(|error| broken(&name, &error))?.into_parts();
    Ok(Response::from_parts(head, Following { connection, over, body, path: name }))
}
