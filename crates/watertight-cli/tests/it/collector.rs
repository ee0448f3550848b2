//! A collector of the test's own: it takes OTLP over HTTP or gRPC on loopback, decodes it by OpenTelemetry's own definitions, and keeps it.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::Metric,
    resource::v1::Resource,
    trace::v1::Span,
};
use parking_lot::Mutex;
use prost::Message as _;
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

/// What a collector got.
#[derive(Default)]
pub(crate) struct Got {
    pub(crate) spans: Vec<Span>,
    pub(crate) lines: Vec<LogRecord>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) headers: Vec<HeaderMap>,
}

/// A collector that runs as long as the test's runtime.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Got>>,
    came: Arc<Notify>,
}

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

impl Collector {
    pub(crate) async fn start(grpc: bool) -> Self {
        Self::with(grpc, None).await
    }

    /// One that speaks TLS, and its certificate in PEM.
    pub(crate) async fn secure(grpc: bool) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key can be made");
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).expect("it is a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS needs")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("the certificate is sound");
        config.alpn_protocols = vec![if grpc { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        (Self::with(grpc, Some(TlsAcceptor::from(Arc::new(config)))).await, made.cert.pem())
    }

    async fn with(grpc: bool, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has one");
        let (got, came) = (Arc::<Mutex<Got>>::default(), Arc::<Notify>::default());
        let (into, told) = (Arc::clone(&got), Arc::clone(&came));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (into, told) = (Arc::clone(&into), Arc::clone(&told));
                let service = service_fn(move |request| take(request, Arc::clone(&into), Arc::clone(&told)));
                let tls = tls.clone();
                // A client that goes away has said what it had to say.
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, grpc, service).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, grpc, service).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, got, came }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has come, once there is what the test waits for.
    pub(crate) async fn until<R>(&self, mut wanted: impl FnMut(&Got) -> Option<R>) -> R {
        let found = async {
            loop {
                let came = self.came.notified();
                if let Some(found) = wanted(&self.got.lock()) {
                    return found;
                }
                came.await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| {
            let got = self.got.lock();
            panic!("what was wanted did not come; spans: {:#?}, lines: {:#?}", got.spans, got.lines)
        })
    }
}

async fn serve<S>(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, grpc: bool, service: S)
where
    S: Service<Request<Incoming>, Response = Response<BoxBody<Bytes, Infallible>>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let stream = TokioIo::new(stream);
    match grpc {
        true => drop(http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await),
        false => drop(http1::Builder::new().serve_connection(stream, service).await),
    }
}

async fn take(
    request: Request<Incoming>,
    got: Arc<Mutex<Got>>,
    came: Arc<Notify>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let grpc = head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc");
    let message = if grpc { body.slice(5..) } else { body };
    {
        let mut got = got.lock();
        got.headers.push(head.headers);
        let path = head.uri.path().to_ascii_lowercase();
        if path.contains("trace") {
            let message = ExportTraceServiceRequest::decode(message).expect("it is a message");
            for of in message.resource_spans {
                got.resources.extend(of.resource);
                got.spans.extend(of.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        } else if path.contains("logs") {
            let message = ExportLogsServiceRequest::decode(message).expect("it is a message");
            got.lines.extend(
                message.resource_logs.into_iter().flat_map(|of| of.scope_logs).flat_map(|scope| scope.log_records),
            );
        } else {
            let message = ExportMetricsServiceRequest::decode(message).expect("it is a message");
            got.metrics.extend(
                message.resource_metrics.into_iter().flat_map(|of| of.scope_metrics).flat_map(|scope| scope.metrics),
            );
        }
    }
    came.notify_waiters();
    if !grpc {
        return Ok(Response::new(Full::new(Bytes::new()).boxed()));
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(response.body(body.boxed()).expect("it is a response"))
}

/// The text of an attribute.
#[expect(clippy::wildcard_enum_match_arm, reason = "OpenTelemetry's values, which grow")]
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("nothing of this kind is sent: {other:?}"),
    }
}
