//! Asking a registry: GET, redirects, and the tokens that it wants to see.

use std::{env, fs, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Answers that send elsewhere, or ask who it is, before there is one with content.
const MAX_STEPS: usize = 8;

/// Bytes of an answer with a token.
const MAX_TOKEN_BYTES: u64 = 1 << 20;

/// For a connection and the head of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// For a whole answer.
const LONG_PATIENCE: Duration = Duration::from_mins(30);

/// One repository of one registry.
pub(super) struct Wire {
    host: String,
    base: String,
    /// What the registry wants to see; no other host ever does.
    authorization: Option<String>,
    tls: TlsConnector,
}

impl Wire {
    pub(super) fn new(host: &str, repository: &str) -> Result<Self, String> {
        let scheme = if is_this_machine(host) { "http" } else { "https" };
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            host: host.to_owned(),
            base: format!("{scheme}://{host}/v2/{repository}/"),
            authorization: None,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// The content of a path of the repository.
    pub(super) async fn get(&mut self, path: &str, accept: &str, most: u64) -> Result<Bytes, String> {
        let mut uri: Uri = format!("{}{path}", self.base).parse().map_err(|_| format!("`{path}` is no path"))?;
        let mut asked = false;
        for _ in 0..MAX_STEPS {
            let ours = uri.authority().is_some_and(|authority| authority.as_str() == self.host);
            let authorization = self.authorization.clone().filter(|_| ours);
            let response = self.ask(&uri, accept, authorization).await?;
            match response.status() {
                StatusCode::OK => return read(response, most).await,
                StatusCode::UNAUTHORIZED if ours && !asked => {
                    asked = true;
                    self.authorization = Some(self.authorized(response.headers()).await?);
                }
                status if status.is_redirection() => uri = next(&uri, response.headers())?,
                StatusCode::NOT_FOUND => return Err("the registry has no such repository, tag or digest".to_owned()),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err("the registry refuses: log in with `docker login`".to_owned());
                }
                status => return Err(format!("the registry answers {status}")),
            }
        }
        Err("the registry sends from one place to the next".to_owned())
    }

    /// What to show a registry that asks.
    async fn authorized(&self, headers: &HeaderMap) -> Result<String, String> {
        let challenge = headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let challenge = challenge.ok_or("the registry refuses, and does not say what it wants to see")?;
        let basic = credentials(&self.host).map(|credentials| format!("Basic {credentials}"));
        let Some(parameters) = challenge.strip_prefix("Bearer ") else {
            return basic.ok_or_else(|| "the registry refuses: log in with `docker login`".to_owned());
        };
        let realm = parameter(parameters, "realm").ok_or("the registry does not say where tokens are had")?;
        let query: Vec<String> = ["service", "scope"]
            .iter()
            .filter_map(|name| Some(format!("{name}={}", escaped(parameter(parameters, name)?))))
            .collect();
        let joint = if realm.contains('?') { '&' } else { '?' };
        let uri: Uri = format!("{realm}{joint}{}", query.join("&")).parse().map_err(|_| "the realm is no address")?;
        if uri.scheme_str() != Some("https") && !uri.authority().is_some_and(|host| is_this_machine(host.as_str())) {
            return Err(format!("tokens are not asked for without encryption: {realm}"));
        }
        let response = self.ask(&uri, "application/json", basic).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("the registry gives no token: {}", response.status()));
        }
        let answer: serde_json::Value = serde_json::from_slice(&read(response, MAX_TOKEN_BYTES).await?)
            .map_err(|error| format!("the registry's token: {error}"))?;
        let token = answer["token"].as_str().or_else(|| answer["access_token"].as_str());
        token.map(|token| format!("Bearer {token}")).ok_or_else(|| "the registry gives no token".to_owned())
    }

    /// One request over a connection of its own.
    async fn ask(&self, uri: &Uri, accept: &str, authorization: Option<String>) -> Result<Response<Incoming>, String> {
        let authority = uri.authority().ok_or_else(|| format!("`{uri}` has no host"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_this_machine(authority.as_str()) => false,
            _ => return Err(format!("`{uri}` is not encrypted")),
        };
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = authority.host().trim_matches(['[', ']']);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::get(path).header(header::HOST, authority.as_str()).header(header::ACCEPT, accept);
        request = request.header(header::USER_AGENT, concat!("watertight/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let exchange = async {
            let stream = TcpStream::connect((host, port)).await.map_err(|error| format!("{authority}: {error}"))?;
            if !secure {
                return sent(stream, request).await;
            }
            let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
            let stream = self.tls.connect(name, stream).await.map_err(|error| format!("{authority}: {error}"))?;
            sent(stream, request).await
        };
        timeout(PATIENCE, exchange).await.map_err(|_| format!("{authority} does not answer"))?
    }
}

async fn sent(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| error.to_string())
}

async fn read(response: Response<Incoming>, most: u64) -> Result<Bytes, String> {
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    let whole = timeout(LONG_PATIENCE, Limited::new(response.into_body(), limit).collect()).await;
    let whole = whole.map_err(|_| "the registry takes too long".to_owned())?;
    whole.map(http_body_util::Collected::to_bytes).map_err(|error| format!("the answer broke off: {error}"))
}

/// Where an answer sends to.
fn next(from: &Uri, headers: &HeaderMap) -> Result<Uri, String> {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or("the registry sends elsewhere, and does not say where")?;
    let absolute = if location.starts_with('/') {
        format!(
            "{}://{}{location}",
            from.scheme_str().unwrap_or("https"),
            from.authority().map_or("", |host| host.as_str())
        )
    } else {
        location.to_owned()
    };
    absolute.parse().map_err(|_| format!("the registry sends to `{location}`"))
}

/// Whether a host is this machine, with which nobody can listen.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A parameter of a challenge: `name="value"`.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What `docker login` keeps for a host: already as the header wants it.
fn credentials(host: &str) -> Option<String> {
    let folder = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".docker")))?;
    let config: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("config.json")).ok()?).ok()?;
    let auths = &config["auths"];
    [host.to_owned(), format!("https://{host}")].iter().find_map(|name| auths[name]["auth"].as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_encryption() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "[::1]:5000", "127.9.9.9"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["ghcr.io", "localhost.example.com", "10.0.0.1:5000", "[::2]:1", "127.0.0.1.example.com"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn challenges_are_read() {
        let challenge = r#"realm="https://auth.example/token",service="registry",scope="repository:a/b:pull""#;
        assert_eq!(parameter(challenge, "realm"), Some("https://auth.example/token"));
        assert_eq!(parameter(challenge, "scope").map(escaped).as_deref(), Some("repository%3Aa%2Fb%3Apull"));
        assert_eq!(parameter(challenge, "error"), None);
    }
}
