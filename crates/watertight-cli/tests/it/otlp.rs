//! OpenTelemetry: what a collector gets of a node, and that a node does not mind one that takes nothing.

use std::{fs, net::SocketAddr, time::Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{logs::v1::LogRecord, trace::v1::Span};
use tokio::net::{TcpListener, TcpStream};

use watertight_testkit::guest;

use crate::{
    client::get,
    collector::{Collector, Got, attribute},
    files::{AppFolder, site},
    program::{Server, run, watertight},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Sends a request that is part of a trace.
async fn get_within(address: SocketAddr, path: &str, sampled: bool) -> u16 {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", address.to_string())
        .header("traceparent", format!("00-{TRACE}-{PARENT}-0{}", u8::from(sampled)))
        .header("tracestate", "vendor=1")
        .body(Empty::<Bytes>::new())
        .expect("it is a request");
    let answer = sender.send_request(request).await.expect("it answers");
    let status = answer.status().as_u16();
    drop(answer.into_body().collect().await.expect("it answers to the end"));
    status
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named<'g>(got: &'g Got, name: &str) -> Option<&'g Span> {
    got.spans.iter().find(|span| span.name == name)
}

/// A page of five components, whose one half calls the other through two more.
fn chain() -> AppFolder {
    let manifest = r#"
[app]
name = "chain"
version = "1.2.3"

[component.web]
source = "http-behave.wasm"
uses = ["first"]
[component.first]
source = "relay.wasm"
uses = ["second"]
[component.second]
source = "relay.wasm"
uses = ["third"]
[component.third]
source = "relay.wasm"
uses = ["last"]
[component.last]
source = "trap.wasm"

[[trigger.http]]
route = "/..."
component = "web"
"#;
    AppFolder::new(manifest, &["http-behave", "relay", "trap"])
}

#[tokio::test]
async fn a_collector_gets_every_crossing_of_a_page_with_its_parent_over_http_and_grpc() {
    for grpc in [false, true] {
        let collector = Collector::start(grpc).await;
        let app = chain();
        let mut command = watertight(&["serve", app.text(), "--listen", "127.0.0.1:0", "--format", "json"]);
        command
            .args(["--workers", if grpc { "0" } else { "2" }, "--otlp", &collector.url()])
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", if grpc { "grpc" } else { "http/protobuf" })
            .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=sesame")
            .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
            .stdout(std::process::Stdio::piped());
        let mut server = Server::from(&mut command);
        assert_eq!(get_within(server.address, "/run/7?q=1", true).await, 502);
        let request = server.next("request", |_| true);
        assert_eq!(request["trace"], TRACE);

        let names = ["GET /...", "web", "first.run", "second.run", "third.run", "last.run"];
        let (parents, resource, key) = collector
            .until(|got| {
                let spans: Option<Vec<_>> = names.iter().map(|name| named(got, name).cloned()).collect();
                Some((spans?, got.resources.first()?.clone(), got.headers.first()?.get("api-key")?.clone()))
            })
            .await;
        assert_eq!(key, "sesame");
        let about = |key| attribute(&resource.attributes, key);
        assert_eq!(
            (about("service.name").as_deref(), about("service.version").as_deref()),
            (Some("chain"), Some("1.2.3"))
        );
        assert_eq!(about("deployment.environment.name").as_deref(), Some("test"));
        assert!(parents.iter().all(|span| hex(&span.trace_id) == TRACE && span.trace_state == "vendor=1"));
        assert_eq!(hex(&parents[0].parent_span_id), PARENT);
        for pair in parents.windows(2) {
            assert_eq!(pair[1].parent_span_id, pair[0].span_id, "{} calls {}", pair[0].name, pair[1].name);
        }
        let of = |place: usize, key| attribute(&parents[place].attributes, key).unwrap_or_default();
        assert_eq!(
            (of(0, "http.request.method"), of(0, "url.path"), of(0, "url.query")),
            ("GET".into(), "/run/7".into(), "q=1".into())
        );
        assert_eq!((of(0, "http.route"), of(0, "http.response.status_code")), ("/...".into(), "502".into()));
        assert_eq!((of(5, "watertight.caller"), of(5, "watertight.component")), ("third".into(), "last".into()));
        assert_eq!((of(5, "watertight.function"), of(5, "error.type")), ("run".into(), "trap".into()));
        assert!(parents.iter().all(|span| span.end_time_unix_nano > span.start_time_unix_nano));
        // The line that tells of the failure hangs on the span that failed.
        let failed = |line: &&LogRecord| line.event_name == "watertight.failure";
        let line = collector.until(|got| got.lines.iter().find(failed).cloned()).await;
        assert_eq!((hex(&line.trace_id), &line.span_id), (TRACE.to_owned(), &parents[5].span_id));
        server.stop();
    }
}

#[tokio::test]
async fn a_collector_with_tls_is_trusted_by_its_certificate_and_by_nothing_else() {
    for grpc in [false, true] {
        let (collector, certificate) = Collector::secure(grpc).await;
        let app = site("ok");
        let file = app.write("collector.pem", certificate);
        let socket = app.path().join("admin.sock");
        let socket = socket.to_str().expect("test paths are text");
        let start = |trusted: bool| {
            let mut command = watertight(&["serve", app.text(), "--listen", "127.0.0.1:0", "--format", "json"]);
            let url = format!("https://localhost:{}", collector.address.port());
            command
                .args(["--workers", "1", "--otlp", &url, "--admin-socket", socket])
                .env("OTEL_EXPORTER_OTLP_PROTOCOL", if grpc { "grpc" } else { "http/protobuf" })
                .stdout(std::process::Stdio::piped());
            if trusted {
                command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", &file);
            }
            Server::from(&mut command)
        };
        let server = start(false);
        assert_eq!(get(server.address, "/run/1").await.expect("it answers").0, 200);
        let began = Instant::now();
        while otlp(socket, "dropped") == 0 {
            assert!(began.elapsed().as_secs() < 60, "what cannot be sent is counted");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(otlp(socket, "exported"), 0);
        server.stop();
        let server = start(true);
        assert_eq!(get_within(server.address, "/run/1", true).await, 200);
        let trace = collector.until(|got| named(got, "behaviour.run").map(|span| hex(&span.trace_id))).await;
        assert_eq!(trace, TRACE);
        server.stop();
    }
}

/// What a node says that it has sent.
fn otlp(socket: &str, key: &str) -> u64 {
    let told = run(&["ps", socket, "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).expect("it is a document");
    told["nodes"][0]["otlp"][key].as_u64().unwrap_or(0)
}

#[tokio::test]
async fn what_nobody_samples_is_sent_when_it_fails_and_only_then() {
    let collector = Collector::start(false).await;
    let app = chain();
    let server = Server::start(app.path(), &["--workers", "1", "--otlp", &collector.url(), "--trace-ratio", "0"]);
    assert_eq!(get(server.address, "/idle").await.expect("it answers").0, 200);
    assert_eq!(get_within(server.address, "/run/7", false).await, 502);
    collector.until(|got| named(got, "last.run").map(|_| ())).await;
    server.stop();
    let requests = collector.until(|got| Some(got.spans.iter().filter(|span| span.name == "GET /...").count())).await;
    assert_eq!(requests, 1, "the one that failed");
}

#[tokio::test]
async fn lines_of_guests_carry_their_trace_and_metrics_come() {
    let collector = Collector::start(false).await;
    let manifest = r#"
[app]
name = "chatty"
version = "1.2.3"

[component.web]
source = "http-behave.wasm"
uses = ["writer"]
[component.writer]
source = "write-logs.wasm"
grants.stdio = true

[[trigger.http]]
route = "/..."
component = "web"
"#;
    let app = AppFolder::new(manifest, &["http-behave", "write-logs"]);
    let mut command =
        watertight(&["serve", app.text(), "--listen", "127.0.0.1:0", "--format", "json", "--workers", "2"]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .stdout(std::process::Stdio::piped());
    let server = Server::from(&mut command);
    assert_eq!(get_within(server.address, "/run/1", true).await, 200);
    let (line, span) =
        collector.until(|got| Some((got.lines.first()?.clone(), named(got, "writer.run")?.clone()))).await;
    assert_eq!((hex(&line.trace_id), &line.span_id), (TRACE.to_owned(), &span.span_id));
    assert_eq!(attribute(&line.attributes, "watertight.component").as_deref(), Some("writer"));
    let stream = |line: &LogRecord| attribute(&line.attributes, "log.iostream");
    let stderr = |line: &&LogRecord| stream(line).as_deref() == Some("stderr");
    let line = collector.until(|got| got.lines.iter().find(stderr).cloned()).await;
    assert_eq!((hex(&line.trace_id), &line.span_id), (TRACE.to_owned(), &span.span_id));
    let wanted = ["watertight_edge_call_duration_seconds", "watertight_otlp_exported", "watertight_http_requests"];
    collector
        .until(|got| wanted.iter().all(|name| got.metrics.iter().any(|metric| metric.name == *name)).then_some(()))
        .await;
    server.stop();
}

#[tokio::test]
async fn metrics_are_sent_once_more_when_the_node_stops() {
    for workers in ["0", "2"] {
        let collector = Collector::start(false).await;
        let app = site("ok");
        // Long before the next time that they would be sent.
        let mut command = watertight(&["serve", app.text(), "--listen", "127.0.0.1:0", "--format", "json"]);
        command
            .args(["--workers", workers, "--otlp", &collector.url()])
            .env("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
            .stdout(std::process::Stdio::piped());
        let server = Server::from(&mut command);
        for _ in 0..3 {
            assert_eq!(get(server.address, "/run/1").await.expect("it answers").0, 200);
        }
        tokio::task::spawn_blocking(|| server.stop()).await.expect("it stops");
        collector
            .until(|got| got.metrics.iter().any(|metric| metric.name == "watertight_http_requests").then_some(()))
            .await;
    }
}

/// A call that goes from one process of the node to another, and on from there.
#[tokio::test]
async fn a_trace_goes_on_in_another_process() {
    let collector = Collector::start(false).await;
    let manifest = r#"
[app]
name = "far"
version = "1.2.3"

[component.web]
source = "http-behave.wasm"
uses = ["relay"]
[component.relay]
source = "relay.wasm"
uses = ["last"]
lifetime = "resident"
scope = "node"
[component.last]
source = "ok.wasm"

[[trigger.http]]
route = "/..."
component = "web"
"#;
    let app = AppFolder::new(manifest, &["http-behave", "relay", "ok"]);
    let mut server = Server::start(app.path(), &["--workers", "2", "--otlp", &collector.url()]);
    for _ in 0..2 {
        server.next_worker();
    }
    let processes = |got: &Got| {
        let of = |name: &str| -> Vec<Span> { got.spans.iter().filter(|span| span.name == name).cloned().collect() };
        (of("web"), of("relay.run"), of("last.run"))
    };
    // Whichever worker takes a connection: one of them calls the other.
    for _ in 0..12 {
        assert_eq!(get_within(server.address, "/run/7", true).await, 200);
    }
    let (webs, relays, lasts) = collector
        .until(|got| {
            let (webs, relays, lasts) = processes(got);
            (webs.len() == 12 && relays.len() == 12 && lasts.len() == 12).then_some((webs, relays, lasts))
        })
        .await;
    let parent_of = |span: &Span, among: &[Span]| {
        among.iter().filter(|other| other.span_id == span.parent_span_id && other.trace_id == span.trace_id).count()
    };
    assert!(relays.iter().all(|relay| parent_of(relay, &webs) == 1), "{relays:#?}");
    assert!(lasts.iter().all(|last| parent_of(last, &relays) == 1), "{lasts:#?}");
    assert!(lasts.iter().all(|last| hex(&last.trace_id) == TRACE));
    let pids = collector
        .until(|got| {
            let pids: std::collections::BTreeSet<_> =
                got.resources.iter().filter_map(|of| attribute(&of.attributes, "process.pid")).collect();
            (pids.len() > 1).then_some(pids)
        })
        .await;
    assert_eq!(pids.len(), 2, "both workers have told of their part");
    server.stop();
}

/// A component whose functions write two lines to its log as one message, at the level that they are called with.
fn writer() -> Vec<u8> {
    let wit =
        "package test:writer; world writer { import wasi:logging/logging@0.1.0-draft; export watertight:test/behave; }";
    let core = r#"(module
        (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 64) "dbtwo\0alines")
        (func $do (param i32)
          (call $log (local.get 0) (i32.const 64) (i32.const 2) (i32.const 66) (i32.const 9)))
        (func (export "watertight:test/behave#run") (param i32) (result i32) (call $do (local.get 0)) (i32.const 0))
        (func (export "watertight:test/behave#quiet") (param i32) (result i32) (call $do (local.get 0)) (i32.const 0))
        (func (export "watertight:test/behave#bare") (param i32) (result i32) (call $do (local.get 0)) (i32.const 0))
        (func (export "watertight:test/behave#plain") (param i32) (result i32) (call $do (local.get 0)) (i32.const 0)))"#;
    guest::component(wit, "writer", core)
}

#[tokio::test]
async fn a_guest_log_comes_with_its_level_its_context_and_its_trace() {
    let collector = Collector::start(false).await;
    let manifest = r#"
[app]
name = "logging"
version = "1.2.3"

[component.web]
source = "http-behave.wasm"
uses = ["writer"]
[component.writer]
source = "writer.wasm"
grants.stdio = true

[[trigger.http]]
route = "/..."
component = "web"
"#;
    let app = AppFolder::new(manifest, &["http-behave"]);
    app.write("writer.wasm", writer());
    let mut server = Server::start(app.path(), &["--workers", "1", "--otlp", &collector.url()]);
    assert_eq!(get_within(server.address, "/run/4", true).await, 200);
    let told = server.next("log", |event| event["stream"] == "log");
    assert_eq!((&told["level"], &told["context"]), (&"error".into(), &"db".into()), "{told}");
    assert_eq!((&told["line"], &told["component"]), (&"two\nlines".into(), &"writer".into()), "{told}");
    assert_eq!(told["trace"], TRACE);
    let (line, span) =
        collector.until(|got| Some((got.lines.first()?.clone(), named(got, "writer.run")?.clone()))).await;
    assert_eq!((hex(&line.trace_id), &line.span_id), (TRACE.to_owned(), &span.span_id));
    assert_eq!((line.severity_number, line.severity_text.as_str()), (17, "ERROR"));
    assert_eq!(attribute(&line.attributes, "watertight.log.context").as_deref(), Some("db"));
    server.stop();
}

#[tokio::test]
async fn a_collector_that_is_slow_or_away_costs_nothing_but_what_was_meant_for_it() {
    // One that takes connections and never says a word, and one that is not there.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let away = gone.local_addr().expect("it has one");
    drop(gone);
    for place in [silent.local_addr().expect("it has one"), away] {
        let app = site("ok");
        let url = format!("http://{place}");
        let socket = app.path().join("admin.sock");
        let socket = socket.to_str().expect("test paths are text");
        let mut command = watertight(&["serve", app.text(), "--listen", "127.0.0.1:0", "--format", "json"]);
        command
            .args(["--workers", "1", "--otlp", &url, "--admin-socket", socket])
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
            .stdout(std::process::Stdio::piped());
        let server = Server::from(&mut command);
        let began = Instant::now();
        for _ in 0..50 {
            assert_eq!(get(server.address, "/run/1").await.expect("it answers").0, 200);
        }
        assert!(began.elapsed().as_secs() < 30, "requests do not wait for a collector");
        let lost = loop {
            let lost = otlp(socket, "dropped");
            if lost > 0 {
                break lost;
            }
            assert!(began.elapsed().as_secs() < 60, "what is lost is counted");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        assert!(lost >= 1);
        server.stop();
    }
}

#[test]
fn what_is_no_collector_is_refused_before_anything_listens() {
    let app = site("ok");
    let said = run(&["serve", app.text(), "--otlp", "localhost:4318"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("no address of a collector"), "{said:?}");
    let said = run(&["serve", app.text(), "--otlp", "http://localhost:4318", "--trace-ratio", "2"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    let _ = fs::metadata(app.path());
}
