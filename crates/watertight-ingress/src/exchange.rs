//! One request and its answer: from a complete head to the last byte, and the access record at the end.
//!
//! Checks come in the order in which they are cheap; the first that fails answers and the handler never hears of it. The
//! handler runs in the task that drives the connection (HTTP/1) or the stream (HTTP/2): when the client goes away, the
//! handler's future is dropped.

use std::{
    future::Future,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, HOST},
};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    BodyError, Refusal, RequestBody, RouteId,
    body::{Outgoing, Tally},
    server::Shared,
    watch::Vitals,
};

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The body of its answers; `UnsyncBoxBody<Bytes, _>` does.
    type Body: Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static;

    /// What it keeps with a request, from its answer to the access record.
    type Note: Default + Send + Unpin + 'static;

    /// Answers one request. Runs in the connection's own task: it is dropped when the client goes away, and what it
    /// leaves to do after the answer's head belongs into the body or a task of the handler's.
    fn handle(
        &self,
        arrival: Arrival,
        request: Request<RequestBody>,
        note: &mut Self::Note,
    ) -> impl Future<Output = Result<Response<Self::Body>, Refusal>> + Send;

    /// Told once for each request, when its answer is handed over, refused or broken off. Must not block.
    fn settled(&self, access: &Access<'_>, note: Self::Note) {
        let _ = (access, note);
    }
}

/// What is known of a request beside itself.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The route that matched.
    pub route: RouteId,
    /// Who sent it.
    pub client: SocketAddr,
    /// Whether it came over TLS: its scheme is `https`.
    pub secure: bool,
    /// When its head was complete: deadlines count from here.
    pub at: Instant,
}

/// The access record of one request.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's target.
    pub uri: &'a Uri,
    /// The request's protocol.
    pub version: Version,
    /// The route that matched, if any.
    pub route: Option<RouteId>,
    /// Who sent it.
    pub client: SocketAddr,
    /// The status of the answer; `None` where the client left before there was one.
    pub status: Option<StatusCode>,
    /// Bytes of the request's body that the handler read.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were handed to the connection.
    pub bytes_out: u64,
    /// From the request's complete head to the answer's last byte.
    pub duration: Duration,
    /// Whether the whole answer was handed to the connection.
    pub complete: bool,
    /// Whether it came over TLS.
    pub secure: bool,
}

impl From<&Access<'_>> for watertight_model::event::Request {
    fn from(access: &Access<'_>) -> Self {
        Self {
            method: access.method.as_str().to_owned(),
            path: access.uri.path_and_query().map_or_else(|| access.uri.to_string(), |path| path.as_str().to_owned()),
            status: access.status.map_or(0, |status| status.as_u16()),
            version: version_name(access.version),
            client: plain_ip(access.client.ip()),
            route: access.route.map(|route| route.0),
            bytes_in: access.bytes_in,
            bytes_out: access.bytes_out,
            duration: access.duration,
            trace: None,
        }
    }
}

/// What all requests of a connection share.
pub(crate) struct Peer<H: Handler> {
    pub(crate) shared: Arc<Shared<H>>,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) secure: bool,
}

/// A request in flight. Dropping it, wherever that happens, writes the access record.
pub(crate) struct Exchange<H: Handler> {
    peer: Arc<Peer<H>>,
    method: Method,
    uri: Uri,
    version: Version,
    route: Option<RouteId>,
    began: Instant,
    status: Option<StatusCode>,
    tally: Option<Arc<Tally>>,
    bytes_out: u64,
    complete: bool,
    note: H::Note,
}

/// Answers one request: the service that hyper calls.
pub(crate) async fn answer<H: Handler>(peer: Arc<Peer<H>>, request: Request<Incoming>) -> Response<Outgoing<H>> {
    let is_http1 = request.version() < Version::HTTP_2;
    let vitals = Arc::clone(&peer.vitals);
    let mut response = respond(peer, request).await;
    // Its client must not send another request here. HTTP/2 has frames to say so.
    if is_http1 && vitals.is_draining() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn respond<H: Handler>(peer: Arc<Peer<H>>, request: Request<Incoming>) -> Response<Outgoing<H>> {
    let (mut head, incoming) = request.into_parts();
    let mut exchange = Exchange::begin(Arc::clone(&peer), &head);
    let declared = incoming.size_hint().lower();
    let (body, tally) = RequestBody::new(incoming, &peer.shared.config);
    exchange.tally = tally;

    let route = match admit(&peer, &mut head, declared) {
        Ok(route) => route,
        Err(refusal) => return exchange.refuse(refusal),
    };
    exchange.route = Some(route);
    let arrival = Arrival { route, client: peer.client, secure: peer.secure, at: exchange.began };
    match peer.shared.handler.handle(arrival, Request::from_parts(head, body), &mut exchange.note).await {
        // Every 1xx would end the exchange for hyper; 101 would hand the connection over.
        Ok(response) if response.status().is_informational() => {
            exchange.refuse(Refusal::BadAnswer("a final status is needed"))
        }
        Ok(response) => exchange.send(response),
        Err(refusal) => {
            let by_client = exchange.tally.as_ref().and_then(|tally| tally.refusal());
            exchange.refuse(by_client.unwrap_or(refusal))
        }
    }
}

/// The checks that need no handler, and the route.
fn admit<H: Handler>(peer: &Peer<H>, head: &mut http::request::Parts, declared_body: u64) -> Result<RouteId, Refusal> {
    let config = &peer.shared.config;
    // HTTP/1 heads are counted while they are parsed; hyper does not count those of HTTP/2.
    if head.headers.len() > config.max_headers as usize {
        return Err(Refusal::HeadTooLarge);
    }
    if head.method == Method::CONNECT {
        return Err(Refusal::Method);
    }
    if declared_body > config.max_body_bytes {
        return Err(Refusal::BodyTooLarge);
    }
    ensure_authority(head, peer.local)?;
    peer.shared.router.find(head.uri.path()).ok_or(Refusal::NoRoute)
}

/// A request always names a host by the time a guest sees it (RFC 9110 section 7.2).
fn ensure_authority(head: &mut http::request::Parts, local: SocketAddr) -> Result<(), Refusal> {
    if head.uri.authority().is_some() {
        return Ok(());
    }
    match single_host(&head.headers)? {
        Some(_) => Ok(()),
        // HTTP/1.0 may leave it out, and health checkers do: they mean the address they dialled.
        None if head.version == Version::HTTP_10 => {
            let host = HeaderValue::try_from(local.to_string()).map_err(|_| Refusal::Malformed("no host"))?;
            head.headers.insert(HOST, host);
            Ok(())
        }
        None => Err(Refusal::Malformed("no host")),
    }
}

/// Two `Host` headers are how one request is made to mean two things to two servers.
fn single_host(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() { Err(Refusal::Malformed("more than one host")) } else { Ok(first) }
}

impl<H: Handler> Exchange<H> {
    fn begin(peer: Arc<Peer<H>>, head: &http::request::Parts) -> Self {
        peer.vitals.exchange_began();
        Self {
            peer,
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            route: None,
            began: Instant::now(),
            status: None,
            tally: None,
            bytes_out: 0,
            complete: false,
            note: H::Note::default(),
        }
    }

    fn send(mut self, response: Response<H::Body>) -> Response<Outgoing<H>> {
        self.answered(response.status(), response.body().is_end_stream());
        response.map(|body| Outgoing::new(body, self))
    }

    fn refuse(mut self, refusal: Refusal) -> Response<Outgoing<H>> {
        let mut response = refusal.response();
        // What is left of the body would have to be read before the next request: say that it will not be.
        if self.version < Version::HTTP_2 && self.tally.as_ref().is_some_and(|tally| !tally.ended()) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.answered(response.status(), false);
        response.map(|text| Outgoing::text(text, self))
    }

    fn answered(&mut self, status: StatusCode, bodiless: bool) {
        self.status = Some(status);
        self.complete = bodiless
            || self.method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    }

    /// So many bytes of the answer were handed to the connection.
    pub(crate) fn wrote(&mut self, bytes: u64, last: bool) {
        self.bytes_out += bytes;
        self.complete |= last;
    }
}

impl<H: Handler> Drop for Exchange<H> {
    fn drop(&mut self) {
        let now = Instant::now();
        let unread = self.tally.as_ref().is_some_and(|tally| !tally.ended());
        self.peer.vitals.exchange_ended(now, unread);
        let note = std::mem::take(&mut self.note);
        let access = Access {
            method: &self.method,
            uri: &self.uri,
            version: self.version,
            route: self.route,
            client: self.peer.client,
            status: self.status,
            bytes_in: self.tally.as_ref().map_or(0, |tally| tally.bytes()),
            bytes_out: self.bytes_out,
            duration: now.saturating_duration_since(self.began),
            complete: self.complete,
            secure: self.peer.secure,
        };
        self.peer.shared.handler.settled(&access, note);
    }
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// A client of a dual-stack listener that came over IPv4, as people write it.
fn plain_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(six) => Ipv6Addr::to_ipv4_mapped(&six).map_or(ip, IpAddr::V4),
    }
}
