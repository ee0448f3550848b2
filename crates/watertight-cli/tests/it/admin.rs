//! The admin address: metrics that Prometheus accepts, the page, and who is refused.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    process::{Command, Stdio},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::get,
    files::site,
    program::{Server, run},
};

pub(crate) const TOKEN: &str = "d0c5a7e1f00dcafe";

/// A request as it is written, and the answer as it comes.
pub(crate) async fn raw(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the node listens");
    // A request that is refused early may not be taken whole.
    let _ = stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await;
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, more: &str) -> (u16, String) {
    let answer = raw(address, &format!("{method} {path} HTTP/1.1\r\nHost: {address}{more}"), b"").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("it is an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it has a status");
    (status, body.to_owned())
}

/// Where the admin address of a node is.
pub(crate) fn admin_of(server: &Server) -> SocketAddr {
    let url = server.serving["admin_url"].as_str().expect("it says where its admin address is");
    url.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("it is a URL")
}

/// What `promtool check metrics` says of a text: Debian's package `prometheus` has it.
fn promtool(metrics: &str) -> (Option<i32>, String) {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is on PATH: apt-get install prometheus");
    tool.stdin.take().expect("it was piped").write_all(metrics.as_bytes()).expect("it reads");
    let output = tool.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// The values of the samples that begin so and have this in them.
fn samples<'m>(metrics: &'m str, begin: &'m str, part: &'m str) -> impl Iterator<Item = f64> + 'm {
    let found = metrics.lines().filter(move |line| line.starts_with(begin) && line.contains(part));
    found.filter_map(|line| line.rsplit(' ').next()?.parse().ok())
}

#[tokio::test]
async fn prometheus_accepts_the_metrics_and_they_count_every_worker() {
    for workers in ["0", "2"] {
        let app = site("trap");
        let server = Server::start(app.path(), &["--workers", workers, "--admin", "127.0.0.1:0"]);
        for _ in 0..6 {
            assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
        }
        let (status, text) = ask(admin_of(&server), "GET", "/metrics", "").await;
        assert_eq!(status, 200, "{text}");
        let (code, said) = promtool(&text);
        assert_eq!(code, Some(0), "{said}");
        let sum = |begin, part| samples(&text, begin, part).sum::<f64>();
        assert!((sum("watertight_edge_failures_total{", "kind=\"trap\"") - 6.0).abs() < 0.5, "{text}");
        assert!((sum("watertight_edge_call_duration_seconds_count{", "") - 6.0).abs() < 0.5, "{text}");
        assert!((sum("watertight_http_requests_total{", "status=\"5xx\"") - 6.0).abs() < 0.5, "{text}");
        assert!((sum("watertight_generation ", "") - 1.0).abs() < 0.5, "{text}");
        // Every slot that was used is free again; one may be on its way still.
        let (used, limit) =
            (sum("watertight_pool_used{", "slots=\"cells\""), sum("watertight_pool_limit{", "slots=\"cells\""));
        assert!(limit >= 32.0 && used < limit / 2.0, "{used} of {limit}");
        let (mappings, allowed) = (sum("watertight_mappings ", ""), sum("watertight_mappings_limit ", ""));
        assert!(mappings > 50.0 && mappings < allowed, "{mappings} of {allowed}");
        let looked =
            sum("watertight_compile_cache_hits_total ", "") + sum("watertight_compile_cache_misses_total ", "");
        assert!(looked >= 2.0 && sum("watertight_compile_cache_bytes ", "") > 1000.0, "{text}");

        let accept = "\r\nAccept: application/openmetrics-text; version=1.0.0";
        let (status, text) = ask(admin_of(&server), "GET", "/metrics", accept).await;
        assert_eq!((status, text.ends_with("# EOF\n")), (200, true), "{text}");
        server.stop();
    }
}

#[tokio::test]
async fn without_a_token_the_admin_address_can_be_asked_from_here_alone_and_told_nothing() {
    let app = site("trap");
    let server = Server::start(app.path(), &["--workers", "0", "--admin", "127.0.0.1:0"]);
    let admin = admin_of(&server);
    assert_eq!(ask(admin, "GET", "/v1/node", "").await.0, 200);
    let (status, page) = ask(admin, "GET", "/", "").await;
    assert_eq!(status, 200);
    assert!(page.starts_with("<!doctype html>"), "{page}");
    assert_eq!(ask(admin, "POST", "/v1/reload", "").await.0, 403);
    assert_eq!(ask(admin, "GET", "/v1/node", "\r\nOrigin: http://evil.example").await.0, 403);
    let rebound = raw(admin, "GET /v1/node HTTP/1.1\r\nHost: evil.example", b"").await;
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
    server.stop();
}

#[tokio::test]
async fn with_the_token_a_node_can_be_told_and_without_it_or_with_too_much_it_refuses() {
    let app = site("trap");
    let file = app.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).expect("the temporary folder is writable");
    let file = file.to_str().expect("test paths are text");
    let args = ["--workers", "0", "--admin", "127.0.0.1:0", "--admin-token-file", file];
    let server = Server::start(app.path(), &args);
    let admin = admin_of(&server);
    let holding = format!("\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0");
    assert_eq!(ask(admin, "DELETE", "/v1/faults", "").await.0, 401);
    assert_eq!(ask(admin, "DELETE", "/v1/faults", "\r\nAuthorization: Bearer another0another0").await.0, 401);
    assert_eq!(ask(admin, "DELETE", "/v1/faults", &holding).await.0, 200);
    let large = format!(
        "PUT /v1/faults HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99999999"
    );
    let answer = raw(admin, &large, &[b' '; 1024]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    server.stop();
}

#[test]
fn an_admin_address_that_cannot_be_had_is_refused_with_the_reason() {
    let app = site("trap");
    let app = app.path().to_str().expect("test paths are text");
    let serve = |args: &[&str]| run(&[&["serve", app, "--listen", "127.0.0.1:0"], args].concat());
    let open = serve(&["--admin", "0.0.0.0:0"]);
    assert_eq!(open.code, Some(2), "{open:?}");
    assert!(open.stderr.contains("needs a token"), "{open:?}");
    let none = serve(&["--admin", "127.0.0.1:0", "--admin-token-file", "/nowhere/at/all"]);
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.stderr.contains("/nowhere/at/all"), "{none:?}");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = holder.local_addr().expect("it is bound").to_string();
    let taken = serve(&["--admin", &taken]);
    assert_eq!(taken.code, Some(69), "{taken:?}");
    assert!(taken.stderr.contains("--admin"), "{taken:?}");
}
