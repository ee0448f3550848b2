//! What browsers talk to: it passes requests on to the child, or tells what is wrong with the app.
//!
//! Requests that come before the first build is done wait for it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{body::Incoming, client, server, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use watertight::supervisor::parse_address;

use super::{Standing, backend::Log, page};
use crate::{exit::Exit, failure::Failure};

/// What the child answers when a cell has failed; it keeps the cause to its log.
const FAILED: [&[u8]; 2] = [b"the service failed to answer\n", b"no answer in time\n"];

type Answer = Response<Either<Full<Bytes>, Incoming>>;

pub(super) struct Front {
    listener: TcpListener,
    address: SocketAddr,
    standing: watch::Receiver<Standing>,
    log: Log,
}

impl Front {
    pub(super) async fn bind(listen: &str, standing: watch::Receiver<Standing>, log: Log) -> Result<Self, Failure> {
        let address = parse_address(listen)?;
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let message = format!("cannot listen on {address}: {error}");
            Failure::new(Exit::NoListen, message).help("choose another address with --listen")
        })?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, standing, log })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
    pub(super) async fn run(self) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let (standing, log) = (self.standing.clone(), self.log.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| answer(request, standing.clone(), log.clone()));
                let mut builder = server::conn::http1::Builder::new();
                builder.timer(TokioTimer::new());
                // A client that goes away, or speaks no HTTP, is told nothing more.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    mut standing: watch::Receiver<Standing>,
    log: Log,
) -> Result<Answer, hyper::Error> {
    let html = wants_html(request.headers());
    let now = match standing.wait_for(|standing| !matches!(standing, Standing::Starting)).await {
        Ok(now) => now.clone(),
        Err(_) => Standing::Starting,
    };
    match now {
        Standing::Serving(address) => Ok(pass(request, address, html, &log).await),
        Standing::Broken { title, text } => Ok(told(html, StatusCode::INTERNAL_SERVER_ERROR, &title, &text)),
        Standing::Starting => Ok(told(html, StatusCode::BAD_GATEWAY, "watertight dev is ending", "")),
    }
}

/// Passes a request on, and adds what is known to an answer that tells of a failure.
async fn pass(request: Request<Incoming>, address: SocketAddr, html: bool, log: &Log) -> Answer {
    let mark = log.mark();
    let response = match forward(request, address).await {
        Ok(response) => response,
        Err(why) => {
            let text = format!("{why}\n\n{}", log.since(mark));
            return told(html, StatusCode::BAD_GATEWAY, "the app does not answer", &text);
        }
    };
    let status = response.status();
    if !status.is_server_error() || !is_short(response.headers()) {
        return response.map(Either::Right);
    }
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if !FAILED.contains(&body.as_ref()) {
        return Response::from_parts(parts, Either::Left(Full::new(body)));
    }
    // The log is written beside the answer: what belongs to it may be a moment behind.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    told(html, status, "a component failed", &log.since(mark))
}

async fn forward(request: Request<Incoming>, address: SocketAddr) -> Result<Response<Incoming>, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let handshake = client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| error.to_string())
}

/// Whether it is a few bytes of text, as the child's own answers are.
fn is_short(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    length.is_some_and(|length| length <= 64)
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accepted| accepted.to_str().ok());
    accepted.into_iter().any(|accepted| accepted.contains("text/html"))
}

fn told(html: bool, status: StatusCode, title: &str, text: &str) -> Answer {
    let (kind, body) = if html {
        ("text/html; charset=utf-8", page::html(title, text))
    } else {
        ("text/plain; charset=utf-8", format!("{title}\n\n{text}"))
    };
    let mut response = Response::new(Either::Left(Full::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
