//! The admin address: the admin socket's answers over TCP, for metrics, and for people with a browser. There is none unless asked for.
//!
//! A browser lets any page on the web send requests to any address, so who asks is not known by where it asks from:
//!
//! - Without a token, nothing can be told, only asked; and the address must be a loopback one.
//! - On a loopback address, the request must name it so: a name that somebody has made to point there is refused.
//! - A request from another page is refused, whatever it asks for.
//!
//! The page itself says nothing of the node, and is given to anyone; it asks for the token where one is needed.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header, uri::Authority};
use subtle::ConstantTimeEq as _;
use watertight_ingress::local::{LocalBody, LocalHandler};

use super::{
    Rights, refused,
    routes::{self, Access},
};

/// The fewest characters of a token.
const MIN_TOKEN: usize = 16;

/// An address that takes connections, and that nobody serves yet.
#[derive(Debug)]
pub struct AdminAddress {
    listener: std::net::TcpListener,
    address: SocketAddr,
    token: Option<Token>,
}

/// What one must know to tell a node something, or to ask it from elsewhere.
#[derive(Clone)]
pub struct Token(Arc<str>);

/// Why there is no admin address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Whoever can reach it would see everything.
    #[error(
        "{0} can be reached from other machines, so it needs a token: --admin-token-file FILE, or a loopback address"
    )]
    Open(SocketAddr),
    /// The token can be guessed.
    #[error(
        "a token has at least {MIN_TOKEN} characters, of those that can be seen in ASCII: `openssl rand -hex 32` makes one"
    )]
    Token,
    /// The system refuses.
    #[error("cannot listen on {address} for --admin: {error}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

impl Token {
    /// A token of this text, without the space around it.
    ///
    /// # Errors
    /// When it is too short, or cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let fits = text.len() >= MIN_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err(AddressError::Token) }
    }

    fn is(&self, said: &str) -> bool {
        self.0.as_bytes().ct_eq(said.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl AdminAddress {
    /// Listens.
    ///
    /// # Errors
    /// When others could reach it without a token, it is taken, or the system refuses.
    pub fn bind(address: SocketAddr, token: Option<Token>) -> Result<Self, AddressError> {
        if !address.ip().is_loopback() && token.is_none() {
            return Err(AddressError::Open(address));
        }
        let failed = |error| AddressError::Io { address, error };
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, token })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its parts, for a runtime.
    pub(super) fn listen<H>(self, handler: H) -> io::Result<(tokio::net::TcpListener, Guarded<H>)> {
        let guard = Guarded { handler, loopback: self.address.ip().is_loopback(), token: self.token };
        Ok((tokio::net::TcpListener::from_std(self.listener)?, guard))
    }
}

/// Answers those who may ask.
#[derive(Clone)]
pub(super) struct Guarded<H> {
    handler: H,
    loopback: bool,
    token: Option<Token>,
}

impl<H: LocalHandler> LocalHandler for Guarded<H> {
    async fn answer(&self, mut request: Request<Bytes>) -> Response<LocalBody> {
        let refusal = refusal(&request, self.loopback, self.token.as_ref());
        let mut response = match refusal {
            Some((status, why)) => refused(status, why),
            None => {
                let tell = self.token.as_ref().is_some_and(|token| holds(request.headers(), token));
                request.extensions_mut().insert(Rights { tell, token: self.token.is_some() });
                self.handler.answer(request).await
            }
        };
        let headers = response.headers_mut();
        for (name, value) in HARDENED {
            headers.insert(name, header::HeaderValue::from_static(value));
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What every answer to a browser says: it shows this page alone, loads nothing from elsewhere, and keeps nothing.
const HARDENED: [(header::HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Why a request is not answered, if it is not.
fn refusal<B>(request: &Request<B>, loopback: bool, token: Option<&Token>) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if loopback && !host.is_some_and(names_loopback) {
        return Some((StatusCode::FORBIDDEN, "ask by the address itself, or by localhost: other names are refused"));
    }
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let is_ours = |origin: &str| origin.split_once("://").is_some_and(|(_, from)| Some(from) == host);
    if origin.is_some_and(|origin| !is_ours(origin)) {
        return Some((StatusCode::FORBIDDEN, "requests from other pages are refused"));
    }
    let holds = token.is_some_and(|token| holds(headers, token));
    let access = routes::access(request.method(), request.uri().path());
    let freely = match access {
        Access::Open => true,
        Access::Read => loopback,
        Access::Secret | Access::Tell => false,
    };
    match token {
        _ if holds || freely => None,
        Some(_) => Some((StatusCode::UNAUTHORIZED, "the token is missing or another one")),
        // Where there is no token, the address is a loopback one.
        None if access == Access::Secret => Some((
            StatusCode::FORBIDDEN,
            "what cells were called with is for who holds the token: start the node with --admin-token-file",
        )),
        None => Some((
            StatusCode::FORBIDDEN,
            "nothing can be told over this address: start the node with --admin-token-file",
        )),
    }
}

/// Whether one of the tokens that a request comes with is the one.
fn holds(headers: &HeaderMap, token: &Token) -> bool {
    said(headers).any(|said| token.is(said))
}

/// The tokens that a request comes with.
fn said(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
    values.filter_map(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    })
}

/// Whether a request's `Host` is one that only this machine can mean.
fn names_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn asked(method: &Method, headers: &[(&str, &str)], loopback: bool, token: bool) -> Option<u16> {
        let path = if method == Method::POST { "/v1/components/web/eject" } else { "/v1/node" };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("it is a request");
        let token = token.then(|| Token::new(TOKEN).expect("it is long enough"));
        refusal(&request, loopback, token.as_ref()).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn on_this_machine_anyone_may_ask_and_nobody_tells_without_the_token() {
        let here = ("host", "127.0.0.1:9100");
        let bearer = ("authorization", "Bearer 0123456789abcdef");
        assert_eq!(asked(&Method::GET, &[here], true, false), None);
        assert_eq!(asked(&Method::GET, &[here], true, true), None);
        assert_eq!(asked(&Method::POST, &[here], true, false), Some(403));
        assert_eq!(asked(&Method::POST, &[here], true, true), Some(401));
        assert_eq!(asked(&Method::POST, &[here, ("authorization", "Bearer 0123456789abcdeX")], true, true), Some(401));
        assert_eq!(asked(&Method::POST, &[here, bearer], true, true), None);
    }

    #[test]
    fn from_elsewhere_nothing_goes_without_the_token() {
        let there = ("host", "node.example:9100");
        assert_eq!(asked(&Method::GET, &[there], false, true), Some(401));
        assert_eq!(asked(&Method::GET, &[there, ("authorization", "bearer 0123456789abcdef")], false, true), None);
        assert_eq!(asked(&Method::GET, &[there, ("authorization", "Basic 0123456789abcdef")], false, true), Some(401));
        let page = Request::get("/").header("host", "node.example").body(()).expect("it is a request");
        assert_eq!(refusal(&page, false, Some(&Token::new(TOKEN).expect("it is long enough"))), None);
    }

    #[test]
    fn names_that_point_here_and_other_pages_are_refused() {
        for host in ["127.0.0.1:9100", "localhost:9100", "[::1]:9100", "127.1.2.3"] {
            assert_eq!(asked(&Method::GET, &[("host", host)], true, false), None, "{host}");
        }
        for host in ["evil.example:9100", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1.evil.example"] {
            assert_eq!(asked(&Method::GET, &[("host", host)], true, false), Some(403), "{host}");
        }
        assert_eq!(asked(&Method::GET, &[], true, false), Some(403));
        let here = ("host", "localhost:9100");
        assert_eq!(asked(&Method::GET, &[here, ("origin", "http://localhost:9100")], true, false), None);
        for origin in ["http://evil.example", "null", "http://localhost:9101", "http://localhost:9100.evil.example"] {
            assert_eq!(asked(&Method::GET, &[here, ("origin", origin)], true, false), Some(403), "{origin}");
        }
    }

    #[test]
    fn an_address_for_others_needs_a_token_that_cannot_be_guessed() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        assert!(matches!(AdminAddress::bind(everywhere, None), Err(AddressError::Open(_))));
        assert!(matches!(Token::new("short"), Err(AddressError::Token)));
        assert!(matches!(Token::new("0123456789 abcdef"), Err(AddressError::Token)));
        assert_eq!(format!("{:?}", Token::new(TOKEN)), "Ok(Token(..))");
        let here = AdminAddress::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None).expect("a port is free");
        assert!(matches!(AdminAddress::bind(here.address(), None), Err(AddressError::Io { .. })));
    }
}
