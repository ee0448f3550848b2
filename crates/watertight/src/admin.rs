//! The admin API: what a running node says of itself and can be told, as HTTP and JSON over a Unix socket of its owner's, and over a
//! TCP address where one is given.
//!
//! What there is stands in the table of `routes`, and in `openapi.json` for those outside; a test compares the two, and both with what is
//! answered. An error is `{"error": {"message": …}}` with a status of its own. Paths are versioned: keys are added to answers, never
//! taken away. It knows neither sockets of clients nor guests; [`Steward`] is who has the answers.

mod address;
mod client;
mod events;
mod postmortems;
mod recent;
mod routes;
mod socket;

use std::future::Future;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;
use watertight_ingress::local::{self, LocalBody, LocalHandler};
use watertight_model::app::App;
use watertight_observe::MetricsExporter;

use self::{
    events::{Followers, Query},
    recent::Recent,
    routes::{Found, What},
};
use crate::{
    ears::{EventsTaken, EventsWanted},
    faults::{FaultsError, FaultsStatus, FaultsWanted},
    metrics,
    operate::{self, CellName, CellsStatus, EjectWanted, Operated},
    record::{RecordTaken, RecordWanted},
    reload::{Rejection, ReloadError, Reloaded},
    status::{About, AppsStatus, ComponentsStatus, NodeStatus, graph},
    tap::{TapTaken, TapWanted},
};

pub use self::{
    address::{AddressError, AdminAddress, Token},
    client::{AdminClient, AdminError, EventStream},
    postmortems::{PostmortemStatus, PostmortemsStatus},
    recent::{CallTreeStatus, CallsStatus},
    socket::{AdminSocket, FoundNode, SocketError, nodes, private_folder, user},
};

/// Who looks after a node: its supervisor, or the one process that it is.
pub trait Steward: Clone + Send + Sync + 'static {
    /// The node by itself.
    fn about(&self) -> &About;

    /// What the node is.
    fn node(&self) -> impl Future<Output = NodeStatus> + Send;

    /// What its components do.
    fn components(&self) -> impl Future<Output = ComponentsStatus> + Send;

    /// What a tap has seen since it was asked last.
    fn tap(&self, wanted: &TapWanted) -> impl Future<Output = TapTaken> + Send;

    /// What has happened since somebody asked last.
    fn events(&self, wanted: &EventsWanted) -> impl Future<Output = EventsTaken> + Send;

    /// The cells that live, of one component or of all.
    fn cells(&self, component: Option<&str>) -> impl Future<Output = CellsStatus> + Send;

    /// Throws out the cells of a component, or one of them.
    fn eject(&self, component: &str, cell: Option<CellName>) -> impl Future<Output = Operated> + Send;

    /// Has the residents of a component replaced.
    fn restart(&self, component: &str) -> impl Future<Output = Operated> + Send;

    /// What was recorded since it was asked last.
    fn record(&self, wanted: &RecordWanted) -> impl Future<Output = RecordTaken> + Send;

    /// Puts the app in place as it is in its files now.
    fn reload(&self) -> impl Future<Output = Result<Reloaded, ReloadError>> + Send;

    /// The faults that its calls suffer.
    fn faults(&self) -> FaultsStatus;

    /// Has its calls suffer these, in place of those before.
    fn set_faults(&self, wanted: &FaultsWanted) -> impl Future<Output = Result<FaultsStatus, FaultsError>> + Send;

    /// Has them suffer none.
    fn clear_faults(&self) -> impl Future<Output = FaultsStatus> + Send;
}

/// Where a node can be asked and told things.
#[derive(Debug, Default)]
pub struct Doors {
    /// For processes of its user.
    pub socket: Option<AdminSocket>,
    /// For who reads its metrics, and for browsers.
    pub address: Option<AdminAddress>,
    /// For a collector that its metrics are sent to.
    pub metrics: Option<MetricsExporter>,
}

/// Answers at the doors until `closing`, and until those have their answers who asked before; then the socket's file is gone, too.
pub async fn serve(doors: Doors, steward: impl Steward, closing: CancellationToken) {
    let admin =
        Admin { steward: steward.clone(), followers: Followers::new(closing.clone()), recent: Recent::default() };
    let at_socket = async {
        match doors.socket.map(AdminSocket::listen) {
            Some(Ok((listener, _file))) => local::serve(listener, OfOwner(admin.clone()), &closing).await,
            Some(Err(error)) => {
                tracing::warn!(%error, "this node cannot be asked: its admin socket cannot be listened on")
            }
            None => {}
        }
    };
    let at_address = async {
        match doors.address.map(|address| address.listen(admin.clone())) {
            Some(Ok((listener, guarded))) => local::serve_tcp(listener, guarded, &closing).await,
            Some(Err(error)) => tracing::warn!(%error, "the admin address cannot be listened on"),
            None => {}
        }
    };
    let outwards = async {
        if let Some(exporter) = doors.metrics {
            Box::pin(metrics::send(exporter, steward.clone(), &closing)).await;
        }
        closing.cancelled().await;
    };
    tokio::join!(at_socket, at_address, outwards);
}

/// The page: it is in one piece, asks for the rest, and shows it.
const PAGE: &str = include_str!("admin/page.html");

/// What there is, for machines and for those who write clients.
const DOCUMENT: &str = include_str!("admin/openapi.json");

/// What answers, of somebody who may ask.
#[derive(Clone)]
struct Admin<S> {
    steward: S,
    followers: Followers,
    recent: Recent,
}

/// The same at the admin socket: its owner needs no token.
#[derive(Clone)]
struct OfOwner<H>(H);

impl<H: LocalHandler> LocalHandler for OfOwner<H> {
    async fn answer(&self, mut request: Request<Bytes>) -> Response<LocalBody> {
        request.extensions_mut().insert(Rights { tell: true, token: false });
        self.0.answer(request).await
    }
}

/// What somebody may do: `GET /v1/rights`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rights {
    /// Change something, and see what cells were called with.
    pub tell: bool,
    /// A token would make a difference: the node has one.
    pub token: bool,
}

impl<S: Steward> LocalHandler for Admin<S> {
    async fn answer(&self, request: Request<Bytes>) -> Response<LocalBody> {
        let path = request.uri().path();
        match routes::find(request.method(), path) {
            Found::Route(what, part) => self.answer_to(what, part, &request).await,
            Found::OtherMethod(allowed) => {
                let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, &format!("{path} is for {allowed}"));
                // The methods of the table are text.
                if let Ok(allowed) = HeaderValue::from_str(&allowed) {
                    response.headers_mut().insert(header::ALLOW, allowed);
                }
                response
            }
            Found::Nothing => {
                let help = "what there is says /v1/openapi.json";
                refused(StatusCode::NOT_FOUND, &format!("there is nothing at {path}: {help}"))
            }
        }
    }
}

impl<S: Steward> Admin<S> {
    async fn answer_to(&self, what: What, part: &str, request: &Request<Bytes>) -> Response<LocalBody> {
        let steward = &self.steward;
        let app = steward.about().app();
        match what {
            What::Page => text(PAGE, "text/html; charset=utf-8"),
            What::Document => text(DOCUMENT, "application/json"),
            What::Rights => ok(&rights(request)),
            What::Node => ok(&steward.node().await),
            What::Apps => ok(&AppsStatus { apps: vec![graph::app(&app, steward.node().await.generation)] }),
            What::Components => ok(&steward.components().await),
            What::Component => match operate::component(&app, part) {
                Ok(component) => ok(&graph::component(&app, steward.components().await, &component.name)),
                Err(why) => refused(StatusCode::NOT_FOUND, &why),
            },
            What::Edges => ok(&graph::edges(&app, steward.components().await)),
            What::Metrics => {
                let dialect = metrics::dialect(request.headers());
                let (node, components) = tokio::join!(steward.node(), steward.components());
                text(metrics::render(&node, &components, dialect), dialect.content_type())
            }
            What::Cells => match component_of(&app, request) {
                Ok(component) => ok(&steward.cells(component.as_deref()).await),
                Err((status, why)) => refused(status, &why),
            },
            What::Calls => ok(&self.recent.look(steward).await),
            What::Events => self.events(&app, request).await,
            What::Postmortems => match component_of(&app, request) {
                Ok(component) => {
                    let (folder, name) = (steward.about().postmortems(), app.name.clone());
                    aside(move || ok(&postmortems::list(folder, &name, component.as_deref()))).await
                }
                Err((status, why)) => refused(status, &why),
            },
            What::Postmortem => {
                let (folder, name, id) = (
                    steward.about().postmortems(),
                    app.name.clone(),
                    percent_decode_str(part).decode_utf8_lossy().into_owned(),
                );
                aside(move || match postmortems::show(folder, &name, &id) {
                    Some(report) => ok(&report),
                    None => refused(StatusCode::NOT_FOUND, &format!("there is no postmortem `{id}` of this app")),
                })
                .await
            }
            What::Tap => match read::<TapWanted>(request.body(), "which calls") {
                Ok(wanted) => ok(&steward.tap(&wanted).await),
                Err(why) => refused(StatusCode::BAD_REQUEST, &why),
            },
            What::Record => match read::<RecordWanted>(request.body(), "which calls") {
                Ok(wanted) => ok(&steward.record(&wanted).await),
                Err(why) => refused(StatusCode::BAD_REQUEST, &why),
            },
            What::Eject => self.eject(part, request.body()).await,
            What::Restart => match operate::component(&app, part) {
                Ok(component) => match operate::with_cells(&app, component) {
                    Ok(component) => ok(&steward.restart(&component.name).await),
                    Err(why) => refused(StatusCode::CONFLICT, &why),
                },
                Err(why) => refused(StatusCode::NOT_FOUND, &why),
            },
            What::Reload => reloaded(steward.reload().await),
            What::Faults => ok(&steward.faults()),
            What::SetFaults => match read(request.body(), "which faults") {
                Ok(wanted) => faults_set(steward.set_faults(&wanted).await),
                Err(why) => refused(StatusCode::BAD_REQUEST, &why),
            },
            What::ClearFaults => ok(&steward.clear_faults().await),
        }
    }

    async fn events(&self, app: &App, request: &Request<Bytes>) -> Response<LocalBody> {
        let query = match Query::read(request.uri().query(), rights(request).tell) {
            Ok(query) => query,
            Err((status, why)) => return refused(status, &why),
        };
        match query.component().map(|name| operate::component(app, name)) {
            Some(Err(why)) => refused(StatusCode::NOT_FOUND, &why),
            Some(Ok(_)) | None => self.followers.follow(self.steward.clone(), query).await,
        }
    }

    async fn eject(&self, name: &str, body: &[u8]) -> Response<LocalBody> {
        let app = self.steward.about().app();
        let wanted = match body {
            [] => EjectWanted::default(),
            body => match read(body, "which cell") {
                Ok(wanted) => wanted,
                Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
            },
        };
        let component = match operate::component(&app, name) {
            Ok(component) => component,
            Err(why) => return refused(StatusCode::NOT_FOUND, &why),
        };
        if let Err(why) = operate::with_cells(&app, component) {
            return refused(StatusCode::CONFLICT, &why);
        }
        let Some(said) = wanted.cell else { return ok(&self.steward.eject(name, None).await) };
        let Some(cell) = CellName::parse(&said) else {
            let why = format!("`{said}` is no cell: they are called PID-NUMBER, and GET /v1/cells lists them");
            return refused(StatusCode::BAD_REQUEST, &why);
        };
        let done = self.steward.eject(name, Some(cell)).await;
        if done.cells == 0 && done.unanswered.is_empty() {
            return refused(
                StatusCode::NOT_FOUND,
                &format!("`{name}` has no cell {cell}: it may have ended meanwhile"),
            );
        }
        ok(&done)
    }
}

/// What somebody may do who was let in.
fn rights(request: &Request<Bytes>) -> Rights {
    request.extensions().get().copied().unwrap_or_default()
}

/// The component that a query is about, if it is about one.
fn component_of(app: &App, request: &Request<Bytes>) -> Result<Option<String>, (StatusCode, String)> {
    let mut component = None;
    for (key, value) in pairs(request.uri().query()) {
        if key != "component" {
            return Err((StatusCode::BAD_REQUEST, format!("there is no `{key}` here: component")));
        }
        operate::component(app, &value).map_err(|why| (StatusCode::NOT_FOUND, why))?;
        component = Some(value);
    }
    Ok(component)
}

/// The pairs of a query.
fn pairs(query: Option<&str>) -> impl Iterator<Item = (String, String)> + '_ {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned()
}

/// Reads files on a thread that may wait for them.
async fn aside(answer: impl FnOnce() -> Response<LocalBody> + Send + 'static) -> Response<LocalBody> {
    let read = tokio::task::spawn_blocking(answer).await;
    read.unwrap_or_else(|error| refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
}

fn read<D: DeserializeOwned>(body: &[u8], what: &str) -> Result<D, String> {
    serde_json::from_slice(body).map_err(|error| format!("this does not say {what}: {error}"))
}

/// What is said instead of an answer.
#[derive(Serialize, Deserialize)]
pub(crate) struct Refused {
    error: Why,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Why {
    message: String,
    /// What is wrong with the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejection: Option<Rejection>,
}

fn refused(status: StatusCode, message: &str) -> Response<LocalBody> {
    json(status, &Refused { error: Why { message: message.to_owned(), rejection: None } })
}

fn reloaded(result: Result<Reloaded, ReloadError>) -> Response<LocalBody> {
    let error = match result {
        Ok(reloaded) => return json(StatusCode::OK, &reloaded),
        Err(error) => error,
    };
    let message = error.to_string();
    let (status, rejection) = match error {
        ReloadError::Rejected(rejection) => (StatusCode::UNPROCESSABLE_ENTITY, Some(rejection)),
        ReloadError::RolledBack(_) => (StatusCode::CONFLICT, None),
        ReloadError::Refused(_) => (StatusCode::SERVICE_UNAVAILABLE, None),
    };
    json(status, &Refused { error: Why { message, rejection } })
}

fn faults_set(result: Result<FaultsStatus, FaultsError>) -> Response<LocalBody> {
    let error = match result {
        Ok(status) => return json(StatusCode::OK, &status),
        Err(error) => error,
    };
    let message = error.to_string();
    let rejection = match error {
        FaultsError::Rejected(rejection) => Some(rejection),
        FaultsError::Refused(_) => None,
    };
    json(StatusCode::UNPROCESSABLE_ENTITY, &Refused { error: Why { message, rejection } })
}

fn text(body: impl Into<Bytes>, kind: &'static str) -> Response<LocalBody> {
    let mut response = Response::new(LocalBody::Whole(body.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn ok(document: &impl Serialize) -> Response<LocalBody> {
    json(StatusCode::OK, document)
}

fn json(status: StatusCode, document: &impl Serialize) -> Response<LocalBody> {
    let (status, body) = match serde_json::to_vec(document) {
        Ok(body) => (status, body),
        // The documents are plain data, which always has a text.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string().into_bytes()),
    };
    let mut response = Response::new(LocalBody::Whole(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
