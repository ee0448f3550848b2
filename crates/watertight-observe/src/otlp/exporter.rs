//! The client of a collector: one connection that is kept, one request at a time.
//!
//! HTTP: `POST` with the message as its body. gRPC: the same over HTTP/2, with the message's length before it and the status in the
//! trailers, or in the headers where there is no answer at all. What fails is not sent again: what comes next is newer.

use std::{io, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::config::{OtlpConfig, OtlpError, Protocol};

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    /// Its method in gRPC.
    const fn method(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

/// Sends messages.
pub(super) struct Exporter {
    traces: Option<Uri>,
    logs: Option<Uri>,
    metrics: Option<Uri>,
    protocol: Protocol,
    headers: HeaderMap,
    timeout: Duration,
    tls: TlsConnector,
    /// The connection that is kept, and where to.
    open: Option<(String, Sender)>,
}

enum Sender {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter")
            .field("traces", &self.traces)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl Exporter {
    /// Nothing is connected yet.
    pub(super) fn new(config: &OtlpConfig) -> io::Result<Self> {
        let uri = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let named = HeaderName::try_from(name.to_ascii_lowercase()).ok().zip(HeaderValue::try_from(value).ok());
            let (name, value) = named.ok_or_else(|| io::Error::other(format!("`{name}` cannot be a header")))?;
            headers.append(name, value);
        }
        let roots = match &config.certificate {
            Some(file) => trusted(file).map_err(|why| io::Error::other(format!("`{file}`: {why}")))?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = match config.protocol {
            Protocol::Http => vec![b"http/1.1".to_vec()],
            Protocol::Grpc => vec![b"h2".to_vec()],
        };
        Ok(Self {
            traces: uri(&config.traces),
            logs: uri(&config.logs),
            metrics: uri(&config.metrics),
            protocol: config.protocol,
            headers,
            timeout: config.timeout,
            tls: TlsConnector::from(Arc::new(tls)),
            open: None,
        })
    }

    /// Whether a signal goes anywhere.
    pub(super) fn takes(&self, signal: Signal) -> bool {
        self.place(signal).is_some()
    }

    fn place(&self, signal: Signal) -> Option<&Uri> {
        match signal {
            Signal::Traces => self.traces.as_ref(),
            Signal::Logs => self.logs.as_ref(),
            Signal::Metrics => self.metrics.as_ref(),
        }
    }

    /// Sends one message; it is over in time, however it ends.
    pub(super) async fn send(
        &mut self,
        signal: Signal,
        message: Vec<u8>,
        within: Option<Duration>,
    ) -> Result<(), OtlpError> {
        let Some(uri) = self.place(signal).cloned() else { return Ok(()) };
        let authority = uri.authority().map_or_else(String::new, ToString::to_string);
        let limit = within.map_or(self.timeout, |within| within.min(self.timeout));
        let sent = timeout(limit, self.exchange(signal, &uri, &authority, message)).await;
        let sent = sent.unwrap_or(Err(OtlpError::TooSlow(authority)));
        if sent.is_err() {
            // A connection that something went wrong on is not used again.
            self.open = None;
        }
        sent
    }

    async fn exchange(
        &mut self,
        signal: Signal,
        uri: &Uri,
        authority: &str,
        message: Vec<u8>,
    ) -> Result<(), OtlpError> {
        let failed = |error: &dyn std::fmt::Display| OtlpError::Unreachable(authority.to_owned(), error.to_string());
        let request = self.request(signal, uri, authority, message).map_err(|error| failed(&error))?;
        let mut sender = match self.open.take() {
            Some((to, sender)) if to == authority && sender.is_open() => sender,
            Some(_) | None => self.connect(uri, authority).await?,
        };
        let response = match &mut sender {
            Sender::Http(sender) => sender.send_request(request).await,
            Sender::Grpc(sender) => sender.send_request(request).await,
        };
        let (head, body) = response.map_err(|error| failed(&error))?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| failed(&error))?;
        let refused = |why: String| Err(OtlpError::Refused(authority.to_owned(), why));
        if !head.status.is_success() {
            return refused(head.status.to_string());
        }
        if self.protocol == Protocol::Grpc {
            let status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
            let status = status.or_else(|| head.headers.get("grpc-status")).map(HeaderValue::as_bytes);
            if status.is_some_and(|status| status != b"0") {
                return refused(format!("gRPC status {}", String::from_utf8_lossy(status.unwrap_or_default())));
            }
        }
        self.open = Some((authority.to_owned(), sender));
        Ok(())
    }

    fn request(
        &self,
        signal: Signal,
        uri: &Uri,
        authority: &str,
        message: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let (request, body) = match self.protocol {
            Protocol::Http => {
                let path = uri.path_and_query().map_or("/", |path| path.as_str());
                let request = Request::post(path).header(header::HOST, authority);
                (request.header(header::CONTENT_TYPE, "application/x-protobuf"), Bytes::from(message))
            }
            Protocol::Grpc => {
                let scheme = uri.scheme_str().unwrap_or("http");
                let request = Request::post(format!("{scheme}://{authority}{}", signal.method()));
                let request = request.version(Version::HTTP_2).header(header::TE, "trailers");
                let mut framed = BytesMut::with_capacity(message.len() + 5);
                // Not compressed; a batch is far shorter than this can say.
                framed.put_u8(0);
                framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
                framed.put_slice(&message);
                (request.header(header::CONTENT_TYPE, "application/grpc"), framed.freeze())
            }
        };
        let mut request = request
            .header(header::USER_AGENT, concat!("watertight/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }

    async fn connect(&self, uri: &Uri, authority: &str) -> Result<Sender, OtlpError> {
        let failed = |error: &dyn std::fmt::Display| OtlpError::Unreachable(authority.to_owned(), error.to_string());
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, port)).await.map_err(|error| failed(&error))?;
        if !secure {
            return self.shake(stream).await.map_err(|error| failed(&error));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| failed(&error))?;
        self.shake(stream).await.map_err(|error| failed(&error))
    }

    async fn shake(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Sender, hyper::Error> {
        Ok(match self.protocol {
            Protocol::Http => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                // It ends with the sender, or with the other side.
                tokio::spawn(connection);
                Sender::Http(sender)
            }
            Protocol::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                Sender::Grpc(sender)
            }
        })
    }
}

/// The certificates in a file, each of which is trusted.
fn trusted(file: &str) -> Result<RootCertStore, String> {
    let text = std::fs::read(file).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(roots) }
}

impl Sender {
    fn is_open(&self) -> bool {
        match self {
            Self::Http(sender) => !sender.is_closed(),
            Self::Grpc(sender) => !sender.is_closed(),
        }
    }
}
