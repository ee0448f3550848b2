//! What browsers talk to: it passes requests on to the child, or tells what is wrong with the app.
//!
//! Requests that come before the first build is done wait for it.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    client, server,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use watertight::supervisor::parse_address;

use super::{
    Standing,
    backend::Log,
    cause::Cause,
    page::{self, Wrong},
};
use crate::{exit::Exit, failure::Failure};

/// What the child answers when a cell has failed or cannot be had, and what scripts answer that raised an exception: the cause is in the log.
const FAILED: [&str; 5] = [
    "the service failed to answer",
    "no answer in time",
    "the service went away, try again",
    "the service is at its limit, try again later",
    "Internal Server Error",
];

/// How far the log may be behind an answer.
const BEHIND: Duration = Duration::from_secs(1);

/// Such answers are no longer than this.
const MAX_FAILED_BYTES: usize = 256;

type Answer = Response<Either<Full<Bytes>, Passed>>;

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
        Standing::Broken { title, text } => {
            Ok(told(html, Wrong::App, StatusCode::INTERNAL_SERVER_ERROR, &title, &text))
        }
        Standing::Starting => Ok(told(html, Wrong::Request, StatusCode::BAD_GATEWAY, "watertight dev is ending", "")),
    }
}

/// Passes a request on, and adds what is known to an answer that tells of a failure.
async fn pass(request: Request<Incoming>, address: SocketAddr, html: bool, log: &Log) -> Answer {
    let mark = log.mark();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = match forward(request, address).await {
        Ok(response) => response,
        Err(why) => {
            let text = format!("{why}\n\n{}", log.since(mark));
            return told(html, Wrong::App, StatusCode::BAD_GATEWAY, "the app does not answer", &text);
        }
    };
    let status = response.status();
    if !status.is_server_error() {
        return response.map(|rest| Either::Right(Passed { first: None, rest }));
    }
    let (head, rest) = response.into_parts();
    let (first, rest) = beginning(rest).await;
    let (None, Some(said)) = (&rest, failure(&first)) else {
        let body = match rest {
            Some(rest) => Either::Right(Passed { first: Some(first).filter(|first| !first.is_empty()), rest }),
            None => Either::Left(Full::new(first)),
        };
        return Response::from_parts(head, body);
    };
    let mut lines = log.until(mark, &format!(" {} {method} {path}", status.as_u16()), BEHIND).await;
    // A postmortem is written beside all else.
    if lines.iter().any(|line| line.contains(" failed: ")) {
        lines = log.until(mark, " postmortem of its ", BEHIND / 2).await;
    }
    let Cause { title, text } = Cause::of(&lines);
    match said {
        Said::Text => told(html, Wrong::Request, status, &title, &text),
        Said::Json(mut answer) => {
            answer["error"]["message"] = title.into();
            answer["error"]["cause"] = text.into();
            let mut head = head;
            // It is longer now.
            head.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(head, Either::Left(Full::from(answer.to_string())))
        }
    }
}

/// How an answer says that a component failed.
enum Said {
    Text,
    /// To a client that called a function.
    Json(serde_json::Value),
}

fn failure(body: &[u8]) -> Option<Said> {
    let text = std::str::from_utf8(body).ok()?;
    if FAILED.contains(&text.trim_end()) {
        return Some(Said::Text);
    }
    let answer: serde_json::Value = serde_json::from_str(text).ok()?;
    let known = answer["error"]["message"].as_str().is_some_and(|message| FAILED.contains(&message));
    known.then_some(Said::Json(answer))
}

/// The first bytes of a body, more than those of a failure if there are, and what is left of it if there may be more.
async fn beginning(mut body: Incoming) -> (Bytes, Option<Incoming>) {
    let mut first = BytesMut::new();
    while first.len() <= MAX_FAILED_BYTES {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    first.extend_from_slice(&data);
                }
            }
            // A body that breaks off does so where it is passed on.
            Some(Err(_)) => break,
            None => return (first.freeze(), None),
        }
    }
    (first.freeze(), Some(body))
}

/// A body that is passed on, whose beginning may have been looked at.
pub(super) struct Passed {
    first: Option<Bytes>,
    rest: Incoming,
}

impl Body for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let me = self.get_mut();
        match me.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut me.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.size_hint();
        if let (Some(first), Some(exact)) = (&self.first, hint.exact()) {
            hint.set_exact(exact + first.len() as u64);
        }
        hint
    }
}

async fn forward(request: Request<Incoming>, address: SocketAddr) -> Result<Response<Incoming>, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let handshake = client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| error.to_string())
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accepted| accepted.to_str().ok());
    accepted.into_iter().any(|accepted| accepted.contains("text/html"))
}

fn told(html: bool, wrong: Wrong, status: StatusCode, title: &str, text: &str) -> Answer {
    let (kind, body) = if html {
        ("text/html; charset=utf-8", page::html(wrong, title, text))
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
