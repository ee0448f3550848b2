//! From an HTTP request to a root cell, and from the guest's answer to an HTTP response.
//!
//! The guest is driven by the one who waits for the answer: first by [`serve`], in the connection's own task, then by the
//! response's body, as it is read. So nothing is handed between tasks, and a client that goes away takes its guest with it. What
//! the guest still does after the answer's last byte is handed to [`After`].
//!
//! ```text
//! serve ──▶ guest runs ──▶ answer's head ──▶ AnswerBody: guest runs on ──▶ last byte ──▶ After: guest runs to its end
//!             │ fails: ServeError               │ fails: the body breaks off
//! ```

use std::{fmt, fmt::Write as _, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Request, Response, Uri, header::HOST, uri::Scheme};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use wasmtime::component::{Component, ComponentExportIndex};
use wasmtime_wasi_http::{Error, WasiBody};
use watertight_model::{
    app::HttpHandler,
    failure::{CallError, FailureKind},
};
use watertight_runtime::Root;

use crate::cell::HostCell;

mod body;
pub(crate) mod held;
mod p2;
mod p3;

pub use self::body::{AnswerBody, AnswerError};

/// What a guest does after its answer: it ends by itself, within the call's deadline. The owner of such tasks runs it.
pub type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who runs the [`Rest`] of a guest.
pub type After = Arc<dyn Fn(Rest) + Send + Sync>;

/// Where a component's handler is. Looked up once, when the component is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    version: HttpHandler,
    function: ComponentExportIndex,
}

impl Handler {
    /// The handler that a component exports in this version of WASI; `None` where it does not.
    #[must_use]
    pub fn find(component: &Component, version: HttpHandler) -> Option<Self> {
        // The oldest release: an export of any later compatible one is found by it.
        let interface = match version {
            HttpHandler::P2 => "wasi:http/incoming-handler@0.2.0",
            HttpHandler::P3 => "wasi:http/handler@0.3.0",
        };
        let interface = component.get_export_index(None, interface)?;
        let function = component.get_export_index(Some(&interface), "handle")?;
        Some(Self { version, function })
    }
}

/// Why a request got no answer from its guest.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The call failed before there was an answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The guest ended without giving an answer.
    #[error("the guest ended without an answer")]
    NoAnswer,
    /// The guest gave an error instead of an answer.
    #[error("the guest answered with the error {0}")]
    Refused(String),
    /// The request names no host: neither its target nor a `Host` header does.
    #[error("the request names no host")]
    NoHost,
}

impl ServeError {
    /// The kind of failure this is, for events. A request without a host is the client's fault and has none.
    #[must_use]
    pub fn kind(&self) -> Option<FailureKind> {
        match self {
            Self::Call(error) => Some(error.kind),
            Self::NoAnswer | Self::Refused(_) => Some(FailureKind::BadValue),
            Self::NoHost => None,
        }
    }
}

/// Hands a request to a guest and waits for the head of its answer.
///
/// `secure` says whether the request came over TLS: the guest sees it as the scheme.
///
/// # Errors
/// When the guest fails, ends or refuses before it answered. A failure after that ends the answer's body with an error.
pub async fn serve<B>(
    root: Root<HostCell>,
    handler: Handler,
    request: Request<B>,
    secure: bool,
    after: &After,
) -> Result<Response<AnswerBody>, ServeError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let request = complete(request, secure)?;
    // The answer to HEAD has no body that anybody would read.
    let bodiless = request.method() == Method::HEAD;
    let (answer, answered) = oneshot::channel();
    match handler.version {
        HttpHandler::P2 => {
            let scheme = if secure { p2::HTTPS } else { p2::HTTP };
            let call = root.run(move |store, instance| {
                p2::call(store, instance, handler.function, request, scheme, answer).boxed()
            });
            drive(Box::pin(call), answered, None, bodiless, after).await
        }
        HttpHandler::P3 => {
            let (reading, read) = oneshot::channel();
            let call = root
                .run(move |store, instance| p3::call(store, instance, handler.function, request, answer, read).boxed());
            drive(Box::pin(call), answered, Some(reading), bodiless, after).await
        }
    }
}

/// What a guest answers: a response, or the error code it gave in its place.
type Answer = Result<Response<WasiBody>, String>;

/// Bytes of a guest's own error that are kept of it.
const MAX_TOLD_BYTES: usize = 1 << 10;

/// What a guest's error says. A guest may make it as long as its memory.
fn told(code: &impl fmt::Debug) -> String {
    let mut told = Told(String::new());
    // What is too much is left out.
    let _ = write!(told, "{code:?}");
    told.0
}

struct Told(String);

impl fmt::Write for Told {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TOLD_BYTES - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

/// A running guest.
type Guest = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

/// Runs the guest until it has answered.
async fn drive(
    mut guest: Guest,
    mut answered: oneshot::Receiver<Answer>,
    reading: Option<oneshot::Sender<()>>,
    bodiless: bool,
    after: &After,
) -> Result<Response<AnswerBody>, ServeError> {
    // Most guests have answered and ended when they first stop: the guest is polled first, and its end spares the rest.
    let (answer, guest) = tokio::select! {
        biased;
        ended = &mut guest => {
            ended?;
            (answered.try_recv().map_err(|_| ServeError::NoAnswer)?, None)
        }
        answer = &mut answered => match answer {
            Ok(answer) => (answer, Some(guest)),
            // It cannot answer any more: it fails, or ends without one.
            Err(_) => {
                guest.await?;
                return Err(ServeError::NoAnswer);
            }
        },
    };
    let response = answer.map_err(ServeError::Refused)?;
    Ok(body::answer(response, guest, reading, bodiless, after))
}

/// The request as a guest sees it: with scheme and authority, and a body whose errors WASI knows.
fn complete<B>(request: Request<B>, secure: bool) -> Result<Request<WasiBody>, ServeError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let (mut head, body) = request.into_parts();
    let mut uri = head.uri.into_parts();
    if uri.authority.is_none() {
        let host = head.headers.get(HOST).map(HeaderValue::as_bytes).ok_or(ServeError::NoHost)?;
        uri.authority = Some(host.try_into().map_err(|_| ServeError::NoHost)?);
    }
    uri.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    if uri.path_and_query.is_none() {
        uri.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    }
    head.uri = Uri::from_parts(uri).map_err(|_| ServeError::NoHost)?;
    let body = body.map_err(|error| Error::InternalError(Some(error.to_string()))).boxed_unsync();
    Ok(Request::from_parts(head, body))
}
