//! The admin socket: what a running node says of itself and can be told, as HTTP and JSON over a Unix socket of its owner's, and over a
//! TCP address where one is given.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/node` | [`NodeStatus`](crate::status::NodeStatus): the app, its version, its workers |
//! | `GET /v1/components` | [`ComponentsStatus`](crate::status::ComponentsStatus): every component, summed up over the workers |
//! | `GET /v1/faults` | [`FaultsStatus`]: the faults that calls suffer, and for how much longer |
//! | `PUT /v1/faults` | the same, once every worker has those of the body, a [`FaultsWanted`], in place of those before |
//! | `DELETE /v1/faults` | the same, once no worker has any |
//! | `GET /` | a page that shows the app's graph, alive |
//! | `GET /metrics` | the same numbers as Prometheus reads them, or as OpenMetrics where the client asks for that |
//! | `POST /v1/tap` | [`TapTaken`]: the calls that the tap of the body, a [`TapWanted`], has seen since it was asked last |
//! | `POST /v1/reload` | [`Reloaded`](crate::Reloaded), once every worker has the app as it is in its files now |
//!
//! An error is `{"error": {"message": …}}` with a status of its own. Paths are versioned: keys are added to answers, never
//! taken away. It knows neither sockets of clients nor guests; [`Steward`] is who has the answers.

mod address;
mod client;
mod socket;

use std::future::Future;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use watertight_ingress::local::{self, LocalHandler};
use watertight_observe::MetricsExporter;

use crate::{
    faults::{FaultsError, FaultsStatus, FaultsWanted},
    metrics,
    reload::{Rejection, ReloadError, Reloaded},
    status::{ComponentsStatus, NodeStatus},
    tap::{TapTaken, TapWanted},
};

pub use self::{
    address::{AddressError, AdminAddress, Token},
    client::{AdminClient, AdminError},
    socket::{AdminSocket, FoundNode, SocketError, nodes, private_folder, user},
};

/// Who looks after a node: its supervisor, or the one process that it is.
pub trait Steward: Clone + Send + Sync + 'static {
    /// What the node is.
    fn node(&self) -> impl Future<Output = NodeStatus> + Send;

    /// What its components do.
    fn components(&self) -> impl Future<Output = ComponentsStatus> + Send;

    /// What a tap has seen since it was asked last.
    fn tap(&self, wanted: &TapWanted) -> impl Future<Output = TapTaken> + Send;

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

/// Answers at the doors until the future is dropped; then the socket's file is gone, too.
pub async fn serve(doors: Doors, steward: impl Steward) {
    let admin = Admin(steward.clone());
    let at_socket = async {
        match doors.socket.map(AdminSocket::listen) {
            Some(Ok((listener, _file))) => local::serve(listener, admin.clone()).await,
            Some(Err(error)) => {
                tracing::warn!(%error, "this node cannot be asked: its admin socket cannot be listened on")
            }
            None => {}
        }
    };
    let at_address = async {
        match doors.address.map(|address| address.listen(admin.clone())) {
            Some(Ok((listener, guarded))) => local::serve_tcp(listener, guarded).await,
            Some(Err(error)) => tracing::warn!(%error, "the admin address cannot be listened on"),
            None => {}
        }
    };
    let outwards = async {
        if let Some(exporter) = doors.metrics {
            Box::pin(metrics::send(exporter, steward.clone())).await;
        }
    };
    tokio::join!(at_socket, at_address, outwards);
}

/// The page: it is in one piece, asks for the rest, and shows it.
const PAGE: &str = include_str!("admin/page.html");

#[derive(Clone)]
struct Admin<S>(S);

impl<S: Steward> LocalHandler for Admin<S> {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let Self(steward) = self;
        // What only asks for the head gets that: the rest is left out on the way.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        match (method, request.uri().path()) {
            (&Method::GET, "/v1/node") => json(StatusCode::OK, &steward.node().await),
            (&Method::GET, "/v1/components") => json(StatusCode::OK, &steward.components().await),
            (&Method::GET, address::PAGE) => text(PAGE, "text/html; charset=utf-8"),
            (&Method::GET, "/metrics") => {
                let dialect = metrics::dialect(request.headers());
                let (node, components) = tokio::join!(steward.node(), steward.components());
                text(metrics::render(&node, &components, dialect), dialect.content_type())
            }
            (&Method::POST, "/v1/tap") => match serde_json::from_slice(request.body()) {
                Ok(wanted) => json(StatusCode::OK, &steward.tap(&wanted).await),
                Err(error) => refused(StatusCode::BAD_REQUEST, &format!("this does not say which calls: {error}")),
            },
            (&Method::POST, "/v1/reload") => reloaded(steward.reload().await),
            (&Method::GET, "/v1/faults") => json(StatusCode::OK, &steward.faults()),
            (&Method::PUT, "/v1/faults") => match serde_json::from_slice(request.body()) {
                Ok(wanted) => faults_set(steward.set_faults(&wanted).await),
                Err(error) => refused(StatusCode::BAD_REQUEST, &format!("this does not say which faults: {error}")),
            },
            (&Method::DELETE, "/v1/faults") => json(StatusCode::OK, &steward.clear_faults().await),
            (_, "/v1/faults") => refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "this can be read with GET, set with PUT, and taken away with DELETE",
            ),
            (_, "/v1/tap") => refused(StatusCode::METHOD_NOT_ALLOWED, "this can only be asked with POST"),
            (_, "/v1/reload") => refused(StatusCode::METHOD_NOT_ALLOWED, "this can only be done, with POST"),
            (_, address::PAGE | "/v1/node" | "/v1/components" | "/metrics") => {
                refused(StatusCode::METHOD_NOT_ALLOWED, "this can only be read, with GET")
            }
            (_, path) => refused(StatusCode::NOT_FOUND, &format!("there is nothing at {path}")),
        }
    }
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

fn refused(status: StatusCode, message: &str) -> Response<Bytes> {
    json(status, &Refused { error: Why { message: message.to_owned(), rejection: None } })
}

fn reloaded(result: Result<Reloaded, ReloadError>) -> Response<Bytes> {
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

fn faults_set(result: Result<FaultsStatus, FaultsError>) -> Response<Bytes> {
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

fn text(body: impl Into<Bytes>, kind: &'static str) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn json(status: StatusCode, document: &impl Serialize) -> Response<Bytes> {
    let (status, body) = match serde_json::to_vec(document) {
        Ok(body) => (status, body),
        // The documents are plain data, which always has a text.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string().into_bytes()),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
