//! A collector of the test's own: it takes OTLP over HTTP or gRPC on loopback, decodes it, and keeps it.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::Notify};
use watertight_observe::otlp::proto::{
    ExportLogs, ExportMetrics, ExportTraces, KeyValue, LogRecord, Message as _, MetricMessage, Resource, Span,
};

/// What a collector got.
#[derive(Default)]
pub(crate) struct Got {
    pub(crate) spans: Vec<Span>,
    pub(crate) lines: Vec<LogRecord>,
    pub(crate) metrics: Vec<MetricMessage>,
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
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has one");
        let (got, came) = (Arc::<Mutex<Got>>::default(), Arc::<Notify>::default());
        let (into, told) = (Arc::clone(&got), Arc::clone(&came));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (into, told) = (Arc::clone(&into), Arc::clone(&told));
                let service = service_fn(move |request| take(request, Arc::clone(&into), Arc::clone(&told)));
                // A client that goes away has said what it had to say.
                tokio::spawn(async move {
                    let stream = TokioIo::new(stream);
                    match grpc {
                        true => drop(http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await),
                        false => drop(http1::Builder::new().serve_connection(stream, service).await),
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

async fn take(
    request: Request<Incoming>,
    got: Arc<Mutex<Got>>,
    came: Arc<Notify>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let grpc = head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc");
    let message = if grpc { body.slice(5..) } else { body };
    {
        let mut got = got.lock();
        got.headers.push(head.headers);
        let path = head.uri.path().to_ascii_lowercase();
        if path.contains("trace") {
            let message = ExportTraces::decode(&message).expect("it is a message");
            for of in message.resource_spans {
                got.resources.extend(of.resource);
                got.spans.extend(of.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        } else if path.contains("logs") {
            let message = ExportLogs::decode(&message).expect("it is a message");
            got.lines.extend(
                message.resource_logs.into_iter().flat_map(|of| of.scope_logs).flat_map(|scope| scope.log_records),
            );
        } else {
            let message = ExportMetrics::decode(&message).expect("it is a message");
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
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    value.text.clone().or_else(|| value.int.map(|number| number.to_string()))
}
