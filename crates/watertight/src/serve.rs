//! From a request to a component and back, in this process: the app's routes, their handlers, and a server around them.
//!
//! It joins two crates that do not know each other: `watertight-ingress` speaks HTTP and knows no guests, `watertight-host`
//! runs guests and knows no sockets. A request runs in its connection's own task; nothing is handed between threads.

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Empty, Full};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use watertight_host::{
    HostCell,
    http::{self as guest_http, AnswerBody, Handler as GuestHandler},
};
use watertight_ingress::{
    Access, Arrival, CallAnswer, Drain, Drained, Handler, HttpConfig, HttpServer, Refusal, RequestBody, RouteError,
    Router, TlsConfig, TlsError,
};
use watertight_model::{
    app::HttpTrigger,
    event::{self, Event, TreeId},
};
use watertight_runtime::RunningApp;

use crate::{
    public::Functions,
    spanning::Spanning,
    supervisor::{ListenError, Listeners, parse_address},
};

/// The routes of an app and what answers them.
pub struct Site {
    router: Router,
    handlers: Handlers,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TlsFiles {
    /// The certificate, the server's own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why an app cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nothing would ever be answered.
    #[error(
        "app `{0}` has no routes: add a [[trigger.http]] with a route and a component that exports wasi:http/incoming-handler or wasi:http/handler"
    )]
    NoRoutes(String),
    /// A routed component has no handler.
    #[error("component `{0}` has a route, but exports no HTTP handler")]
    NoHandler(String),
    /// A component whose functions a route calls does not have them.
    #[error("component `{0}` has a route that calls its functions: {1}")]
    NoFunctions(String, String),
    /// The routes cannot be told apart.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system refuses.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
}

impl TlsFiles {
    /// Reads and checks both files.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn load(&self) -> Result<TlsConfig, TlsError> {
        TlsConfig::load(&self.cert, &self.key)
    }
}

impl Site {
    pub(crate) fn new(running: &RunningApp<HostCell>, after: &TaskTracker) -> Result<Self, ServeError> {
        let app = running.app();
        if app.http.is_empty() {
            return Err(ServeError::NoRoutes(app.name.clone()));
        }
        let router = Router::new(app.http.iter().map(|trigger| &trigger.route))?;
        let route = |(number, trigger): (usize, &HttpTrigger)| {
            let name = || app.component(trigger.component).name.clone();
            let Some(version) = trigger.handler() else {
                let functions = running.public(number).map_err(|why| ServeError::NoFunctions(name(), why))?;
                return Ok(Route::Functions(Functions::new(trigger, functions)));
            };
            let component = running.instance_pre(trigger.component).component();
            let handler = GuestHandler::find(component, version).ok_or_else(|| ServeError::NoHandler(name()))?;
            Ok(Route::Handler(handler))
        };
        let routes = app.http.iter().enumerate().map(|(n, t)| route((n, t))).collect::<Result<_, ServeError>>()?;
        let tracker = after.clone();
        let after: watertight_host::http::After = Arc::new(move |rest| drop(tracker.spawn(rest)));
        Ok(Self { router, handlers: Handlers { running: running.clone(), routes, after } })
    }

    /// Answers a request that came over no connection, to its last byte.
    pub(crate) async fn answer(&self, request: Request<Empty<Bytes>>) -> Answered {
        let Some(route) = self.router.find(request.uri().path()) else {
            return Answered { tree: None, status: Refusal::NoRoute.answer().0, whole: true };
        };
        let number = route.0 as usize;
        let Route::Handler(handler) = &self.handlers.routes[number] else {
            return Answered { tree: None, status: CallAnswer::NotPost.response().status(), whole: true };
        };
        let root = match self.handlers.running.enter_by(number, None).await {
            Ok(root) => root,
            Err(error) => return Answered { tree: None, status: Refusal::from(&error).answer().0, whole: true },
        };
        let tree = Some(root.tree());
        match guest_http::serve(root, *handler, request, false, &self.handlers.after).await {
            Ok(response) => {
                let status = response.status();
                Answered { tree, status, whole: to_the_end(response.into_body()).await }
            }
            Err(error) => Answered { tree, status: refusal(&error).answer().0, whole: true },
        }
    }

    /// A server for this site.
    #[must_use]
    pub fn server(self, http: HttpConfig, tls: Option<&TlsConfig>) -> HttpServer<impl Handler + use<>> {
        let server = HttpServer::new(http, self.router, self.handlers);
        match tls {
            Some(tls) => server.with_tls(tls),
            None => server,
        }
    }

    /// Serves on the first of these sockets, on the caller's runtime.
    ///
    /// # Errors
    /// When the runtime does not take the socket.
    pub fn server_on(
        self,
        listeners: Listeners,
        http: HttpConfig,
        tls: Option<&TlsConfig>,
    ) -> Result<Server, ServeError> {
        let listener = listeners.into_first().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        self.server_at(listener, http, tls)
    }

    /// Serves on a listening socket in non-blocking mode.
    pub(crate) fn server_at(
        self,
        listener: std::net::TcpListener,
        http: HttpConfig,
        tls: Option<&TlsConfig>,
    ) -> Result<Server, ServeError> {
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let shutdown = Drain::new();
        let running = self.handlers.running.clone();
        let (server, stop) = (self.server(http, tls), shutdown.clone());
        let task = tokio::spawn(async move {
            // Connections wait in the socket until the residents are there.
            running.warm().await;
            server.serve(listener, stop).await
        });
        Ok(Server { address, shutdown, task })
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("router", &self.router).finish_non_exhaustive()
    }
}

/// What became of a request that came over no connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    /// Its call tree, if it had one.
    pub(crate) tree: Option<TreeId>,
    pub(crate) status: StatusCode,
    /// Whether the answer was there to its last byte.
    pub(crate) whole: bool,
}

/// Reads a body to its end, and says whether that was where it should be.
async fn to_the_end(mut body: AnswerBody) -> bool {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return false;
        }
    }
    true
}

fn refusal(error: &guest_http::ServeError) -> Refusal {
    match error {
        guest_http::ServeError::Call(error) => Refusal::from(error),
        guest_http::ServeError::NoAnswer => Refusal::BadAnswer("the guest ended without an answer"),
        guest_http::ServeError::Refused(_) => Refusal::BadAnswer("the guest answered with an error"),
        guest_http::ServeError::NoHost => Refusal::Malformed("no host"),
    }
}

struct Handlers {
    running: RunningApp<HostCell>,
    routes: Vec<Route>,
    after: watertight_host::http::After,
}

/// What answers the requests of one route.
enum Route {
    Handler(GuestHandler),
    Functions(Functions),
}

impl Handler for Handlers {
    type Body = Either<AnswerBody, Full<Bytes>>;
    type Note = Option<Spanning>;

    async fn handle(
        &self,
        arrival: Arrival,
        request: Request<RequestBody>,
        note: &mut Option<Spanning>,
    ) -> Result<Response<Self::Body>, Refusal> {
        let number = arrival.route.0 as usize;
        *note = Spanning::begin(&self.running, request.headers());
        let recording = note.as_ref().map(|spanning| (Arc::clone(&spanning.recording), spanning.span));
        match &self.routes[number] {
            Route::Handler(handler) => {
                let root = self.running.enter_by(number, recording).await.map_err(|error| {
                    tracing::debug!(%error, "not admitted");
                    Refusal::from(&error)
                })?;
                let answer = guest_http::serve(root, *handler, request, arrival.secure, &self.after).await;
                let answer = answer.map_err(|error| {
                    tracing::debug!(%error, "no answer");
                    refusal(&error)
                })?;
                Ok(answer.map(Either::Left))
            }
            Route::Functions(functions) => {
                let answer = functions.call(&self.running, number, request, recording).await;
                Ok(answer.response().map(|body| Either::Right(Full::new(body))))
            }
        }
    }

    fn settled(&self, access: &Access<'_>, note: Option<Spanning>) {
        let mut request = event::Request::from(access);
        if let Some(spanning) = note {
            request.trace = Some(spanning.recording.trace());
            spanning.end(&request, access.secure);
        }
        self.running.events().emit(Event::Request(request));
    }
}

/// A server that runs on the caller's runtime. Dropping it cuts every connection; [`Server::stop`] drains them.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shutdown: Drain,
    task: JoinHandle<Drained>,
}

/// Listens and serves.
pub(crate) fn start(site: Site, address: &str, http: HttpConfig, tls: Option<&TlsFiles>) -> Result<Server, ServeError> {
    let tls = tls.map(TlsFiles::load).transpose()?;
    site.server_on(Listeners::bind(parse_address(address)?, 1)?, http, tls.as_ref())
}

impl Server {
    /// The address it listens on, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets requests in flight finish within the drain's time, and says how many were cut.
    pub async fn stop(self) -> Drained {
        self.stop_patiently(Duration::ZERO).await
    }

    /// The same, but waits so long for one more request on each connection that is idle: for a server whose place another has.
    pub(crate) async fn stop_patiently(mut self, patience: Duration) -> Drained {
        self.shutdown.patiently(patience);
        // The server's task ends by itself; one that was lost with its runtime has cut nothing that still was.
        (&mut self.task).await.unwrap_or(Drained { cut: 0 })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
