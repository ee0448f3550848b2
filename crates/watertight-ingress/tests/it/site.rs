//! A server on loopback whose handler does what the path says, and clients for it.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use watertight_ingress::{
    Access, Arrival, BodyError, Drain, Drained, Handler, HttpConfig, HttpServer, Refusal, RequestBody, Router,
    TlsConfig,
};
use watertight_model::{event, failure::FailureKind};

/// Every route the tests use; the handler goes by the path.
const ROUTES: [&str; 2] = ["/...", "/exact"];

/// A running server.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Drain,
    pub(crate) state: Arc<State>,
    server: JoinHandle<Drained>,
}

/// What the handler and the test share.
#[derive(Default)]
pub(crate) struct State {
    records: Mutex<Vec<Record>>,
    recorded: Notify,
    /// `/wait` signals here that it runs, and goes on when it may.
    pub(crate) waiting: Notify,
    pub(crate) go: Notify,
    /// Handlers alive now, for finding those that were dropped.
    running: Mutex<usize>,
}

/// An access record, kept.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) event: event::Request,
    pub(crate) complete: bool,
}

impl Site {
    pub(crate) async fn start(config: HttpConfig) -> Self {
        Self::start_with(config, None).await
    }

    pub(crate) async fn start_with(config: HttpConfig, tls: Option<&TlsConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State::default());
        let router = Router::new(ROUTES).expect("the routes are valid");
        let mut server = HttpServer::new(config, router, ByPath(Arc::clone(&state)));
        if let Some(tls) = tls {
            server = server.with_tls(tls);
        }
        let shutdown = Drain::new();
        let token = shutdown.clone();
        let server = tokio::spawn(async move { server.serve(listener, token).await });
        Self { address, shutdown, state, server }
    }

    pub(crate) async fn stopped(self) -> Drained {
        self.server.await.expect("the server does not panic")
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket takes the option");
        stream
    }

    /// Sends bytes and reads until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("the server reads");
        read_to_end(&mut stream).await
    }

    pub(crate) async fn h1(&self) -> conn::http1::SendRequest<Full<Bytes>> {
        let (sender, connection) =
            conn::http1::handshake(TokioIo::new(self.connect().await)).await.expect("the handshake works");
        tokio::spawn(connection);
        sender
    }

    pub(crate) async fn h2(&self) -> conn::http2::SendRequest<Full<Bytes>> {
        h2_over(self.connect().await).await
    }

    /// Waits until so many requests were settled, and returns them.
    pub(crate) async fn records(&self, count: usize) -> Vec<Record> {
        loop {
            let recorded = self.state.recorded.notified();
            let records = self.state.records.lock().clone();
            if records.len() >= count {
                return records;
            }
            recorded.await;
        }
    }

    pub(crate) fn running(&self) -> usize {
        *self.state.running.lock()
    }
}

pub(crate) async fn h2_over<S>(stream: S) -> conn::http2::SendRequest<Full<Bytes>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) =
        conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("the handshake works");
    tokio::spawn(connection);
    sender
}

pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is a way to close, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head of an answer, and so much of the body as came along.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut answer).await.expect("the server answers"), 0, "closed before an answer");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://site.test{path}"))
        .header("host", "site.test")
        .body(Full::default())
        .expect("the request is valid")
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("http://site.test{path}"))
        .header("host", "site.test")
        .body(Full::new(body.into()))
        .expect("the request is valid")
}

/// Status and body of an answer.
pub(crate) async fn read(response: Response<Incoming>) -> (u16, Bytes) {
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.expect("the body is whole").to_bytes())
}

type SiteBody = UnsyncBoxBody<Bytes, BodyError>;

struct ByPath(Arc<State>);

struct Running<'a>(&'a State);

impl<'a> Running<'a> {
    fn new(state: &'a State) -> Self {
        *state.running.lock() += 1;
        Self(state)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.running.lock() -= 1;
    }
}

impl Handler for ByPath {
    type Body = SiteBody;
    type Note = ();

    async fn handle(
        &self,
        arrival: Arrival,
        request: Request<RequestBody>,
        (): &mut (),
    ) -> Result<Response<SiteBody>, Refusal> {
        let _running = Running::new(&self.0);
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/echo" => Ok(Response::new(request.into_body().map_err(Into::into).boxed_unsync())),
            "/count" => match request.into_body().collect().await {
                Ok(body) => Ok(text(format!("{} bytes", body.to_bytes().len()))),
                // As a guest that traps on what it did not expect.
                Err(_) => Err(FailureKind::Trap.into()),
            },
            "/wait" => {
                self.0.waiting.notify_one();
                self.0.go.notified().await;
                Ok(text("waited"))
            }
            "/endless" => Ok(Response::new(Endless.boxed_unsync())),
            "/pushed" => Ok(text(vec![b'x'; 1 << 20])),
            "/broken" => Ok(Response::new(Broken(Some(Bytes::from_static(b"half"))).boxed_unsync())),
            "/empty" => {
                let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
            "/switch" => {
                let mut response = text("");
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                Ok(response)
            }
            "/panic" => panic!("a handler's bug"),
            "/head" => Ok(text(format!(
                "{} {} {:?} {}",
                if arrival.secure { "https" } else { "http" },
                request.uri(),
                request.headers().get("host"),
                arrival.route.0
            ))),
            _ => match path.strip_prefix("/fail/") {
                Some(name) => {
                    let kind = FailureKind::ALL.into_iter().find(|kind| kind.name() == name);
                    Err(kind.expect("the test names a kind of failure").into())
                }
                None => Ok(text("hello")),
            },
        }
    }

    fn settled(&self, access: &Access<'_>, (): ()) {
        self.0.records.lock().push(Record { event: access.into(), complete: access.complete });
        self.0.recorded.notify_waiters();
    }
}

fn text(text: impl Into<Bytes>) -> Response<SiteBody> {
    Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed_unsync())
}

/// A body that never ends and always has more.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        static CHUNK: [u8; 16 << 10] = [b'e'; 16 << 10];
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK)))))
    }
}

/// A body that fails after its first chunk.
struct Broken(Option<Bytes>);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(self.0.take().map(Frame::data).ok_or_else(|| "the guest trapped".into())))
    }
}
