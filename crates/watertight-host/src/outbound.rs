//! `grants.http`: outbound requests, to granted origins only.
//!
//! An origin is a scheme, a host and a port, as the guest writes them in its request; the host is not resolved before it is
//! compared, and a redirect is an answer like any other: the guest may follow it to another granted origin. A request to
//! anything else never opens a connection and fails with `HTTP-request-denied`; one over `budget.requests` fails with
//! `connection-limit-reached`. The same hook serves WASI 0.2 and 0.3.

use std::{
    net::Ipv6Addr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderName,
    uri::{Authority, Scheme},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request,
};
use watertight_model::{
    app::Component,
    budget::ByteSize,
    event::Denial,
    grant::{HttpGrant, HttpScheme},
};

use watertight_runtime::{Account, Charge};

use crate::{
    http::held::{BODY_BYTES, CHUNK_BYTES, CHUNKS},
    report::{Reporter, budget_of, list_with, quoted},
    sockets::{RequestSlot, Sockets},
    spanning::Spanning,
};

/// What hyper reads ahead for one connection at most, or has yet to write.
const BUFFER_BYTES: usize = (8 << 10) + 100 * (4 << 10);

/// What a request in flight counts as: the buffers of its connection in both directions, and what its body hands over.
const CONNECTION_BYTES: usize = 2 * BUFFER_BYTES + BODY_BYTES;

/// What `wasi:http` asks when a guest sends a request.
pub(crate) struct Outbound {
    reporter: Arc<Reporter>,
    sockets: Arc<Sockets>,
    account: Arc<Account>,
}

/// What a request has for as long as it is in flight.
type Held = (RequestSlot, Charge);

/// The end of an exchange, when its connection is done.
type Connection = Box<dyn Future<Output = Result<(), Error>> + Send>;
/// An exchange: the answer's head, and what drives the rest of it.
pub(crate) type Exchange = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Connection), Error>> + Send>;

impl Outbound {
    pub(crate) fn from_grant(reporter: Arc<Reporter>, sockets: Arc<Sockets>, account: Arc<Account>) -> Self {
        Self { reporter, sockets, account }
    }

    fn admit(&self, uri: &http::Uri) -> Result<Held, Error> {
        decide(self.reporter.component(), uri).map_err(|refusal| match refusal {
            Refusal::Malformed => Error::HttpRequestUriInvalid,
            Refusal::Denied(denial) => {
                self.reporter.deny(denial);
                Error::HttpRequestDenied
            }
        })?;
        let slot = self.sockets.request().ok_or(Error::ConnectionLimitReached)?;
        let charge = self.account.charge(CONNECTION_BYTES).ok_or_else(|| {
            self.reporter.deny(no_memory(self.reporter.component()));
            Error::ConnectionLimitReached
        })?;
        Ok((slot, charge))
    }
}

/// Headers that belong to a connection and not to a message; no guest sets or sees them.
static FORBIDDEN: [HeaderName; 9] = DEFAULT_FORBIDDEN_HEADERS;

impl WasiHttpHooks for Outbound {
    // Asked for every header of every message: the default allocates each time.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        FORBIDDEN.contains(name)
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Exchange {
        let slot = self.admit(request.uri());
        let spanning =
            self.reporter.span().map(|within| Spanning::begin(within, self.reporter.component().id, &mut request));
        Box::new(async move {
            let slot = Arc::new(slot?);
            let sent = default_send_request(request, options).await;
            if let Some(spanning) = spanning {
                spanning.end(sent.as_ref().ok().map(|(response, _)| response.status()));
            }
            let (response, connection) = sent?;
            let held = Arc::clone(&slot);
            let response = response.map(|body| HeldBody { body: Box::pin(body), _held: held }.boxed_unsync());
            let connection = async move {
                let end = connection.await;
                drop(slot);
                end
            };
            Ok((response, Box::new(connection) as Connection))
        })
    }
}

/// A response body that keeps its request's place in the budget.
struct HeldBody<B> {
    body: Pin<Box<B>>,
    _held: Arc<Held>,
}

impl<B: Body<Data = Bytes, Error = Error>> Body for HeldBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request for which the component has no memory left.
fn no_memory(component: &Component) -> Denial {
    let memory = component.budget.memory;
    let more = ByteSize(memory.0.saturating_mul(2));
    Denial {
        grant: "memory",
        attempt: format!("send a request, whose buffers do not fit into its {memory} of memory"),
        remedy: budget_of(component, "memory", format!("\"{more}\"")),
    }
}

#[derive(Debug, PartialEq)]
enum Refusal {
    Malformed,
    Denied(Denial),
}

/// Whether a request may go where its URI says.
fn decide(component: &Component, uri: &http::Uri) -> Result<(), Refusal> {
    let authority = uri.authority().ok_or(Refusal::Malformed)?;
    let scheme = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => HttpScheme::Http,
        Some(scheme) if *scheme == Scheme::HTTPS => HttpScheme::Https,
        Some(_) | None => return Err(Refusal::Malformed),
    };
    let (host, port) = host_and_port(authority, scheme).ok_or(Refusal::Malformed)?;
    // A grant holds an IPv6 address in its one canonical form.
    let canonical =
        host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).and_then(|ip| ip.parse::<Ipv6Addr>().ok());
    let host = canonical.map_or_else(|| host.to_owned(), |ip| format!("[{ip}]"));
    let granted = &component.grants.http;
    if granted.iter().any(|grant| grant.covers(scheme, &host, port)) {
        return Ok(());
    }
    let origin = HttpGrant { scheme, host, port }.to_string();
    Err(Refusal::Denied(Denial {
        grant: "http",
        attempt: format!("send a request to {}", quoted(&origin)),
        remedy: list_with(component, "http", granted, &origin),
    }))
}

/// The host and the port that a connection will be opened to. `None` where a reader could see another one in it.
fn host_and_port(authority: &Authority, scheme: HttpScheme) -> Option<(&str, u16)> {
    let own_port = match scheme {
        HttpScheme::Http => 80,
        HttpScheme::Https => 443,
    };
    let (host, text) = (authority.host(), authority.as_str());
    match (text.strip_prefix(host)?, authority.port_u16()) {
        ("", None) if !host.is_empty() => Some((host, own_port)),
        (rest, Some(port)) if !host.is_empty() && rest.strip_prefix(':')?.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((host, port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Recorder, app};
    use http_body_util::Empty;
    use watertight_model::app::ComponentId;

    fn grant(scheme: HttpScheme, host: &str, port: u16) -> HttpGrant {
        HttpGrant { scheme, host: host.into(), port }
    }

    fn granted(component: &mut Component) {
        component.grants.http = vec![
            grant(HttpScheme::Https, "api.example.com", 443),
            grant(HttpScheme::Http, "127.0.0.1", 8080),
            grant(HttpScheme::Https, "*.cdn.test", 443),
            grant(HttpScheme::Http, "[::1]", 80),
        ];
    }

    #[test]
    fn a_request_goes_to_granted_origins_only() {
        let app = app(granted);
        for (uri, allowed) in [
            ("https://api.example.com/x", true),
            ("https://API.Example.com:443/x", true),
            ("http://api.example.com/x", false),
            ("https://api.example.com:8443/x", false),
            ("https://api.example.com.evil.test/", false),
            ("https://evil.test/api.example.com", false),
            ("http://127.0.0.1:8080/", true),
            ("http://127.0.0.1/", false),
            ("https://a.cdn.test/", true),
            ("https://cdn.test/", false),
            ("https://acdn.test/", false),
            ("http://[::1]/", true),
            ("http://[0:0:0:0:0:0:0:1]/", true),
            ("http://[::1]:81/", false),
            ("https://api.example.com@evil.test/", false),
            ("https://evil.test@api.example.com/", false),
            ("https://api.example.com:443@evil.test:443/", false),
            ("/relative", false),
        ] {
            let parsed: http::Uri = uri.parse().expect("a URI");
            let decision = decide(&app.components[0], &parsed);
            assert_eq!(decision.is_ok(), allowed, "{uri}: {decision:?}");
        }
    }

    #[test]
    fn a_refused_origin_names_the_line_that_allows_it() {
        let app = app(|component| component.grants.http = vec![grant(HttpScheme::Https, "api.example.com", 443)]);
        let uri = "http://10.0.0.1:9000/secret?token=1".parse().expect("a URI");
        assert_eq!(
            decide(&app.components[0], &uri),
            Err(Refusal::Denied(Denial {
                grant: "http",
                attempt: r#"send a request to "http://10.0.0.1:9000""#.into(),
                remedy: r#"component.web.grants.http = ["https://api.example.com", "http://10.0.0.1:9000"]"#.into(),
            }))
        );
    }

    /// What becomes of a request to this URI, while `held` others are in flight.
    async fn sent(
        component: impl FnOnce(&mut Component),
        uri: &str,
        held: usize,
    ) -> (Result<(), Error>, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        let reporter = Reporter::new(app(component), ComponentId(0), recorder.clone());
        let account = Account::new(reporter.component());
        let sockets = Sockets::new(Arc::clone(&reporter), Arc::clone(&account));
        let slots: Vec<_> = (0..held).map(|_| sockets.request().expect("within the budget")).collect();
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = http::Request::builder().uri(uri).body(body).expect("a request");
        let mut outbound = Outbound::from_grant(reporter, sockets, account);
        let exchange = Pin::from(outbound.send_request(request, None, Box::new(async { Ok(()) }))).await;
        drop(slots);
        (exchange.map(|_| ()), recorder)
    }

    #[tokio::test]
    async fn a_refused_request_opens_no_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let uri = format!("http://{}/", listener.local_addr().expect("it is bound"));
        let (result, recorder) = sent(|_| {}, &uri, 0).await;
        assert!(matches!(result, Err(Error::HttpRequestDenied)), "{result:?}");
        assert_eq!(recorder.denials().len(), 1);
        let accepted = futures_util::FutureExt::now_or_never(listener.accept());
        assert!(accepted.is_none(), "nobody connected");
    }

    #[tokio::test]
    async fn a_request_whose_buffers_do_not_fit_into_memory_is_refused() {
        let (result, recorder) = sent(
            |component| {
                component.grants.http = vec![grant(HttpScheme::Http, "127.0.0.1", 1)];
                component.budget.memory = ByteSize(256 << 10);
            },
            "http://127.0.0.1:1/",
            0,
        )
        .await;
        assert!(matches!(result, Err(Error::ConnectionLimitReached)), "{result:?}");
        assert_eq!(recorder.remedies(), ["component.web.budget.memory = \"512KiB\""]);
    }

    #[tokio::test]
    async fn a_request_over_the_budget_of_requests_is_refused() {
        let (result, recorder) = sent(
            |component| {
                component.grants.http = vec![grant(HttpScheme::Http, "127.0.0.1", 1)];
                component.budget.requests = 2;
            },
            "http://127.0.0.1:1/",
            2,
        )
        .await;
        assert!(matches!(result, Err(Error::ConnectionLimitReached)), "{result:?}");
        assert_eq!(recorder.remedies(), ["component.web.budget.requests = 8"]);
    }
}
