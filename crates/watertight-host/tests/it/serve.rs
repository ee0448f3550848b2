//! Requests to guests, and what comes back.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use watertight_host::http::{After, AnswerBody, AnswerError, Handler, Rest, ServeError, serve};
use watertight_model::{
    app::{Component, ComponentId, HttpHandler, OnFailure},
    event::{CellEnd, Event},
    failure::FailureKind,
};

use crate::app::{Bench, Plan};

/// A guest that answers in the way that `steps` say. Its locals: the outparam, the answer's body and its stream.
fn handler(steps: &str) -> Vec<u8> {
    watertight_testkit::guest::component(
        "package a:b;
         world w {
           import wasi:http/types@0.2.12;
           import wasi:io/streams@0.2.12;
           import wasi:io/poll@0.2.12;
           import wasi:clocks/monotonic-clock@0.2.12;
           import wasi:cli/stdout@0.2.12;
           export wasi:http/incoming-handler@0.2.12;
         }",
        "w",
        &format!(
            r#"(module
                (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
                (import "wasi:http/types@0.2.12" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
                (import "wasi:http/types@0.2.12" "[method]outgoing-response.body" (func $body (param i32 i32)))
                (import "wasi:http/types@0.2.12" "[static]response-outparam.set"
                    (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
                (import "wasi:http/types@0.2.12" "[method]outgoing-body.write" (func $stream (param i32 i32)))
                (import "wasi:http/types@0.2.12" "[static]outgoing-body.finish" (func $finish (param i32 i32 i32 i32)))
                (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush"
                    (func $write (param i32 i32 i32 i32)))
                (import "wasi:io/streams@0.2.12" "[resource-drop]output-stream" (func $drop-stream (param i32)))
                (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
                (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $sleep (param i64) (result i32)))
                (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
                (memory (export "memory") 1)
                (data (i32.const 1024) "chunk\n")
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
                (func $error (param $out i32)
                    (call $set (local.get $out) (i32.const 1) (i32.const 0)
                        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
                (func $chunk (param $stream i32)
                    (call $write (local.get $stream) (i32.const 1024) (i32.const 6) (i32.const 64)))
                (func $nap (call $block (call $sleep (i64.const 5000000))))
                (func (export "wasi:http/incoming-handler@0.2.12#handle") (param $request i32) (param $out i32)
                    (local $response i32) (local $body i32) (local $stream i32)
                    {steps})
                (func $answer (param $out i32) (result i32) (local $response i32) (local $body i32)
                    (local.set $response (call $response (call $fields)))
                    (call $body (local.get $response) (i32.const 64))
                    (local.set $body (i32.load (i32.const 68)))
                    (call $set (local.get $out) (i32.const 0) (local.get $response)
                        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
                    (local.get $body))
                (func $open (param $body i32) (result i32)
                    (call $stream (local.get $body) (i32.const 64))
                    (i32.load (i32.const 68))))"#
        ),
    )
}

/// Answers, and opens the body's stream.
pub(crate) const ANSWER: &str =
    "(local.set $body (call $answer (local.get $out))) (local.set $stream (call $open (local.get $body)))";
pub(crate) const CHUNK: &str = "(call $chunk (local.get $stream))";
pub(crate) const FINISH: &str = "(call $drop-stream (local.get $stream)) (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 64))";

/// The rests of guests, kept until the test runs them.
#[derive(Clone, Default)]
pub(crate) struct Rests(Arc<Mutex<Vec<Rest>>>);

impl Rests {
    pub(crate) fn after(&self) -> After {
        let rests = Arc::clone(&self.0);
        Arc::new(move |rest| rests.lock().push(rest))
    }

    pub(crate) fn take(&self) -> Vec<Rest> {
        std::mem::take(&mut self.0.lock())
    }
}

pub(crate) fn request(method: Method, uri: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "site.test")
        .body(Full::new(Bytes::new()))
        .expect("a request")
}

pub(crate) async fn ask(
    bench: &Bench,
    version: HttpHandler,
    request: Request<Full<Bytes>>,
    rests: &Rests,
) -> Result<Response<AnswerBody>, ServeError> {
    let handler = Handler::find(bench.app.instance_pre(ComponentId(0)).component(), version).expect("it is exported");
    let root = bench.app.enter(ComponentId(0)).await?;
    serve(root, handler, request, false, &rests.after()).await
}

pub(crate) async fn text(answer: Response<AnswerBody>) -> Result<String, AnswerError> {
    let bytes = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(crate) fn of(steps: &str, change: impl FnOnce(&mut Component)) -> Bench {
    Plan::with(handler(steps), change).start()
}

/// How the one cell ended; `None` while it lives.
pub(crate) fn end(bench: &Bench) -> Option<CellEnd> {
    bench
        .events
        .all()
        .into_iter()
        .find_map(|event| if let Event::CellEnded { end, .. } = event { Some(end) } else { None })
}

#[tokio::test]
async fn a_guest_answers_with_status_headers_and_body() {
    let bench = Plan::of("http-hello", |_| {}).start();
    for round in 0..2 {
        let rests = Rests::default();
        let answer = ask(&bench, HttpHandler::P2, request(Method::GET, "/a?b=c"), &rests).await.expect("it answers");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/plain");
        assert_eq!(text(answer).await.expect("it ends"), "hello GET /a?b=c 1\n", "round {round} has a cell of its own");
        for rest in rests.take() {
            rest.await;
        }
    }
    assert_eq!(end(&bench), Some(CellEnd::Done));
}

#[tokio::test]
async fn a_guest_of_wasi_0_3_answers_too() {
    let bench = Plan::of("http3-hello", |component| component.asynchronous = true).start();
    let rests = Rests::default();
    let answer = ask(&bench, HttpHandler::P3, request(Method::GET, "/a?b=c"), &rests).await.expect("it answers");
    assert_eq!(answer.status(), StatusCode::OK);
    let text = text(answer).await.expect("it ends");
    assert!(text.contains("/a?b=c"), "{text}");
    for rest in rests.take() {
        rest.await;
    }
    assert_eq!(end(&bench), Some(CellEnd::Done));
}

#[tokio::test]
async fn a_request_without_a_host_is_the_clients_mistake() {
    let bench = Plan::of("http-hello", |_| {}).start();
    let mut nameless = request(Method::GET, "/");
    nameless.headers_mut().clear();
    let error = ask(&bench, HttpHandler::P2, nameless, &Rests::default()).await.expect_err("it names no host");
    assert!(matches!(error, ServeError::NoHost), "{error}");
    assert_eq!(error.kind(), None);
}

#[tokio::test]
async fn middleware_hands_request_and_answer_on_to_another_cell() {
    let bench = Plan::of("http-middle", |_| {})
        .and("next", "http-hello", |_| {})
        .edge("wasi:http/incoming-handler@0.2.12", &[("handle", OnFailure::Trap)])
        .start();
    let rests = Rests::default();
    let answer = ask(&bench, HttpHandler::P2, request(Method::GET, "/middle"), &rests).await.expect("it answers");
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let answer = ask(&bench, HttpHandler::P2, request(Method::POST, "/on"), &rests).await.expect("it answers");
    assert_eq!(text(answer).await.expect("it ends"), "hello POST /on 1\n");
}

#[tokio::test]
async fn a_guest_that_ends_without_an_answer_is_an_error() {
    let error =
        ask(&of("", |_| {}), HttpHandler::P2, request(Method::GET, "/"), &Rests::default()).await.expect_err("none");
    assert!(matches!(error, ServeError::NoAnswer), "{error}");
}

#[tokio::test]
async fn a_guest_that_answers_with_an_error_is_an_error() {
    let bench = of("(call $error (local.get $out))", |_| {});
    let error = ask(&bench, HttpHandler::P2, request(Method::GET, "/"), &Rests::default()).await.expect_err("none");
    assert!(matches!(&error, ServeError::Refused(code) if code.contains("DnsTimeout")), "{error}");
}

#[tokio::test]
async fn a_guest_that_traps_before_its_answer_is_an_error() {
    let bench = of("unreachable", |_| {});
    let error = ask(&bench, HttpHandler::P2, request(Method::GET, "/"), &Rests::default()).await.expect_err("none");
    assert_eq!(error.kind(), Some(FailureKind::Trap), "{error}");
    assert_eq!(end(&bench), Some(CellEnd::Ejected(FailureKind::Trap)));
}

#[tokio::test]
async fn a_guest_that_traps_in_its_body_breaks_the_body_off() {
    let bench = of(&format!("{ANSWER} {CHUNK} {CHUNK} unreachable"), |_| {});
    let answer = ask(&bench, HttpHandler::P2, request(Method::GET, "/"), &Rests::default()).await.expect("it answers");
    let mut body = answer.into_body();
    let mut read = Vec::new();
    let error = loop {
        match body.frame().await.expect("the body does not end well") {
            Ok(frame) => read.extend_from_slice(frame.data_ref().expect("bytes")),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, AnswerError::Guest(error) if error.kind == FailureKind::Trap), "{error}");
    assert!(b"chunk\nchunk\n".starts_with(&read), "{read:?}");
    assert!(body.frame().await.is_none(), "nothing comes after an error");
}

#[tokio::test]
async fn a_body_is_written_as_it_is_read() {
    let steps = format!("{ANSWER} {} {FINISH}", CHUNK.repeat(100));
    let bench = of(&steps, |_| {});
    let rests = Rests::default();
    let answer = ask(&bench, HttpHandler::P2, request(Method::GET, "/"), &rests).await.expect("it answers");
    assert!(end(&bench).is_none(), "the guest waits for its reader");
    assert_eq!(text(answer).await.expect("it ends"), "chunk\n".repeat(100));
    for rest in rests.take() {
        rest.await;
    }
    assert_eq!(end(&bench), Some(CellEnd::Done));
}

#[tokio::test]
async fn what_a_guest_does_after_its_answer_is_handed_over() {
    let work = "(call $nap) (call $chunk (call $stdout))";
    let bench = of(&format!("{ANSWER} {CHUNK} {FINISH} {work}"), |component| component.grants.stdio = true);
    let rests = Rests::default();
    let answer = ask(&bench, HttpHandler::P2, request(Method::GET, "/"), &rests).await.expect("it answers");
    assert_eq!(text(answer).await.expect("it ends"), "chunk\n");
    assert_eq!(bench.events.lines(), []);
    for rest in rests.take() {
        rest.await;
    }
    assert_eq!(bench.events.lines().len(), 1, "the work was done");
    assert_eq!(end(&bench), Some(CellEnd::Done));
}

#[tokio::test]
async fn the_answer_to_head_lets_the_guest_end() {
    let steps = format!("{ANSWER} {CHUNK} {CHUNK} {CHUNK} {FINISH}");
    let bench = of(&steps, |_| {});
    let rests = Rests::default();
    let answer = ask(&bench, HttpHandler::P2, request(Method::HEAD, "/"), &rests).await.expect("it answers");
    drop(answer);
    let rests = rests.take();
    assert_eq!(rests.len(), 1);
    for rest in rests {
        rest.await;
    }
    assert!(end(&bench).is_some());
}

#[tokio::test]
async fn a_client_that_goes_away_takes_the_guest_with_it() {
    let bench = of(&format!("{ANSWER} (loop $on {CHUNK} (br $on))"), |_| {});
    let rests = Rests::default();
    let answer = ask(&bench, HttpHandler::P2, request(Method::GET, "/"), &rests).await.expect("it answers");
    let mut body = answer.into_body();
    let first = body.frame().await.expect("it goes on").expect("it is sound");
    assert_eq!(first.data_ref().expect("bytes"), "chunk\n");
    assert!(!body.is_end_stream());
    drop(body);
    assert!(rests.take().is_empty(), "nothing of it goes on");
    assert!(end(&bench).is_some());
}

#[tokio::test]
async fn a_request_body_that_breaks_off_does_not_break_the_host() {
    let bench = Plan::of("http-hello", |_| {}).start();
    let handler =
        Handler::find(bench.app.instance_pre(ComponentId(0)).component(), HttpHandler::P2).expect("it is exported");
    let root = bench.app.enter(ComponentId(0)).await.expect("it starts");
    let body =
        http_body_util::StreamBody::new(futures_util::stream::iter([Err::<http_body::Frame<Bytes>, _>("broken")]));
    let request = request(Method::POST, "/").map(|_| body);
    let answer = serve(root, handler, request, true, &Rests::default().after()).await.expect("it does not read it");
    assert_eq!(answer.status(), StatusCode::OK);
}

/// The body type is fit for a server: it is `Send`, and its error goes into a box.
#[test]
fn the_answer_fits_a_server() {
    fn fits<B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin>() {}
    fits::<AnswerBody>();
}
