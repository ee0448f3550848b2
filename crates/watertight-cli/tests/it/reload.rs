//! Reloading: `watertight reload` and SIGHUP, seen by clients and by who asks for it.

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet};
use watertight_testkit::guest;

use crate::{
    client::get,
    files::{AppFolder, site},
    program::{Ended, Server, ended, send, watertight},
};

/// Requests over one connection that is kept.
const MOST_OVER_ONE: usize = 1000;

/// What `/run/4` is answered with by the first version of the site, and by the second.
const ANSWERS: [&str; 2] = ["ok 5", "ok 4"];

/// A site of its own in a folder that has room for admin sockets, too.
fn start(workers: &str) -> (AppFolder, Server) {
    let app = site("ok");
    let server = Server::start_in(app.path(), &["--workers", workers], app.path());
    (app, server)
}

/// Puts the second version of the site where the first one was.
fn renew(app: &AppFolder) {
    app.write("counter.wasm", guest::built("counter"));
    replace(app, "1.2.3", "2.0.0");
    replace(app, "ok.wasm", "counter.wasm");
}

fn replace(app: &AppFolder, from: &str, to: &str) {
    let manifest = std::fs::read_to_string(app.path().join("watertight.toml")).expect("it is there");
    assert!(manifest.contains(from), "{from} in {manifest}");
    app.write("watertight.toml", manifest.replace(from, to));
}

fn reload(runtime: &Path, args: &[&str]) -> Ended {
    ended(watertight(&["reload"]).args(args).env("XDG_RUNTIME_DIR", runtime))
}

fn node(runtime: &Path) -> Value {
    let seen = ended(watertight(&["ps", "--format", "json"]).env("XDG_RUNTIME_DIR", runtime));
    let seen: Value = serde_json::from_str(&seen.stdout).expect("it is one JSON object");
    seen["nodes"][0].clone()
}

/// Clients that ask without a break until they are told to stop: over connections that they keep for as long as the server does, or
/// over a new one each time.
struct Load {
    enough: Arc<AtomicBool>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for keeps in [true, true, true, false] {
            let enough = Arc::clone(&enough);
            clients.spawn(async move {
                let mut answers = Vec::new();
                // Until the new version has answered, too: a client that never hears of it shows itself by not coming to an end.
                while !enough.load(Ordering::Relaxed) || answers.last().is_none_or(|last| last == ANSWERS[0]) {
                    ask(address, keeps, &mut answers).await;
                }
                answers
            });
        }
        Self { enough, clients }
    }

    /// What each client was answered, in order.
    async fn end(self) -> Vec<Vec<String>> {
        self.enough.store(true, Ordering::Relaxed);
        self.clients.join_all().await
    }
}

/// Asks over one connection, for as long as it is kept. Any failure at all is the server's.
async fn ask(address: SocketAddr, keeps: bool, answers: &mut Vec<String>) {
    let stream = TcpStream::connect(address).await.expect("a connection is taken");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("the server speaks HTTP");
    tokio::spawn(connection);
    loop {
        let request = Request::get("/run/4").header(header::HOST, "a").body(Empty::<Bytes>::new());
        let answer = sender.send_request(request.expect("it is sound")).await.expect("a request is answered");
        let last = answer.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.expect("an answer is whole").to_bytes();
        answers.push(String::from_utf8_lossy(&body).into_owned());
        if last || !keeps || answers.len().is_multiple_of(MOST_OVER_ONE) {
            return;
        }
        sender.ready().await.expect("a connection is kept that is not said to be the last");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_under_load_drops_no_request_and_refuses_no_connection() {
    for workers in ["2", "0"] {
        let (app, server) = start(workers);
        let load = Load::start(server.address);
        renew(&app);
        let folder = app.path().to_owned();
        let done = tokio::task::spawn_blocking(move || reload(&folder, &[])).await.expect("it ends");
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stdout.starts_with("site 2.0.0 serves now (generation 2, after "), "{done:?}");
        for _ in 0..4 {
            assert_eq!(get(server.address, "/run/4").await.expect("it answers"), (200, ANSWERS[1].to_owned()));
        }
        for answers in load.end().await {
            let old = answers.iter().filter(|answer| *answer == ANSWERS[0]).count();
            let new = answers.iter().filter(|answer| *answer == ANSWERS[1]).count();
            assert_eq!(old + new, answers.len(), "{answers:?}");
            assert!(old > 0 && new > 0, "--workers {workers}: {old} old, {new} new");
        }
        let node = node(app.path());
        assert_eq!((&node["version"], &node["generation"]), (&"2.0.0".into(), &2.into()), "{node}");
        server.stop();
    }
}

#[tokio::test]
async fn sighup_reloads_as_well_and_a_request_in_flight_is_answered_by_the_version_that_took_it() {
    for workers in ["1", "0"] {
        let app = site("sleep");
        let mut server = Server::start_in(app.path(), &["--workers", workers, "--verbose"], app.path());
        let address = server.address;
        let request = tokio::spawn(async move { get(address, "/run/1500").await });
        let mut server = tokio::task::spawn_blocking(move || {
            server.next("cell-started", |event| event["component"] == "behaviour");
            server
        })
        .await
        .expect("the cell starts");
        app.write("counter.wasm", guest::built("counter"));
        replace(&app, "sleep.wasm", "counter.wasm");
        server.signal(Signal::HUP);
        let mut server = tokio::task::spawn_blocking(move || {
            let done = server.next("reload", |_| true);
            assert_eq!((&done["change"], &done["generation"]), (&"done".into(), &2.into()), "{done}");
            server
        })
        .await
        .expect("it is reloaded");
        assert_eq!(get(address, "/run/7").await.expect("it answers"), (200, "ok 7".to_owned()), "the new one serves");
        let answer = request.await.expect("the client does not panic").expect("it answers");
        assert_eq!(answer, (200, "ok 1500".to_owned()), "--workers {workers}");
        if workers == "1" {
            let gone = server.next("worker", |event| event["change"] == "ended");
            assert_eq!(gone["how"], "exit status: 0", "the old worker has drained: {gone}");
        }
        server.stop();
    }
}

#[tokio::test]
async fn a_bad_app_never_replaces_a_good_one_and_all_that_is_wrong_is_shown() {
    for workers in ["1", "0"] {
        let (app, mut server) = start(workers);
        let before = node(app.path())["workers"].clone();
        replace(&app, "source = \"ok.wasm\"", "source = \"gone.wasm\"\nlifetime = \"eternal\"");
        let done = reload(app.path(), &["site"]);
        assert_eq!(done.code, Some(65), "{done:?}");
        for part in ["gone.wasm", "eternal", "2 problems", "site was not reloaded; what was in place before serves on"]
        {
            assert!(done.stderr.contains(part), "{part} in {done:?}");
        }
        let done = reload(app.path(), &["--format", "json"]);
        let error: Value = serde_json::from_str(&done.stderr).expect("it is one JSON object");
        assert_eq!((done.code, error["error"]["problems"].as_array().map(Vec::len)), (Some(65), Some(2)), "{error}");
        assert_eq!(server.next("reload", |_| true)["change"], "failed");

        // Nor does one that is not there, or does not compile.
        for (file, content, code) in
            [("watertight.toml", "this is no manifest", 65), ("ok.wasm", "nor WebAssembly", 65)]
        {
            app.write(file, content);
            assert_eq!(reload(app.path(), &[]).code, Some(code), "{file}");
        }
        assert_eq!(get(server.address, "/run/4").await.expect("it answers"), (200, ANSWERS[0].to_owned()));
        let after = node(app.path())["workers"].clone();
        assert_eq!((&after[0]["pid"], &after[0]["generation"]), (&before[0]["pid"], &1.into()));
        server.stop();
    }
}

#[tokio::test]
async fn reloads_at_once_are_done_one_after_the_other_and_all_are_answered() {
    let (app, server) = start("1");
    renew(&app);
    let asked = (0..4).map(|_| {
        let folder = app.path().to_owned();
        tokio::task::spawn_blocking(move || reload(&folder, &["--format", "json"]))
    });
    for done in asked.collect::<Vec<_>>() {
        let done = done.await.expect("it ends");
        assert_eq!(done.code, Some(0), "{done:?}");
        let done: Value = serde_json::from_str(&done.stdout).expect("it is one JSON object");
        assert_eq!(done["reloaded"][0]["version"], "2.0.0");
    }
    assert_eq!(get(server.address, "/run/4").await.expect("it answers"), (200, ANSWERS[1].to_owned()));
    server.stop();
}

#[tokio::test]
async fn a_node_that_drains_is_not_reloaded() {
    let app = site("sleep");
    let mut server = Server::start_in(app.path(), &["--workers", "1", "--verbose"], app.path());
    let address = server.address;
    let request = tokio::spawn(async move { get(address, "/run/1500").await });
    let mut server = tokio::task::spawn_blocking(move || {
        server.next("cell-started", |event| event["component"] == "behaviour");
        server
    })
    .await
    .expect("the cell starts");
    server.signal(Signal::TERM);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let done = reload(app.path(), &[]);
    assert_eq!(done.code, Some(75), "{done:?}");
    assert!(done.stderr.contains("the app was not reloaded: the node is stopping"), "{done:?}");
    assert_eq!(request.await.expect("the client does not panic").expect("it answers").0, 200);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[tokio::test]
async fn a_worker_that_dies_after_a_reload_is_replaced_by_one_of_the_new_version() {
    let (app, mut server) = start("1");
    server.next_worker();
    renew(&app);
    assert_eq!(reload(app.path(), &[]).code, Some(0));
    let worker = server.next_worker();
    // What is in the files now is nobody's.
    app.write("watertight.toml", "this is no manifest");
    send(worker, Signal::KILL);
    server.next_worker();
    assert_eq!(get(server.address, "/run/4").await.expect("it answers"), (200, ANSWERS[1].to_owned()));
    server.stop();
}

#[test]
fn which_node_is_reloaded_is_said_where_several_run() {
    let app = site("ok");
    assert_eq!(reload(app.path(), &[]).code, Some(67));
    let servers = [(); 2].map(|()| Server::start_in(app.path(), &["--workers", "0"], app.path()));
    let unclear = reload(app.path(), &[]);
    assert_eq!(unclear.code, Some(2), "{unclear:?}");
    assert!(unclear.stderr.contains("several nodes run: site ("), "{unclear:?}");
    let one = reload(app.path(), &[&servers[1].process.id().to_string()]);
    assert_eq!((one.code, one.stdout.lines().count()), (Some(0), 1), "{one:?}");
    let both = reload(app.path(), &["site"]);
    assert_eq!((both.code, both.stdout.lines().count()), (Some(0), 2), "{both:?}");
    for server in servers {
        server.stop();
    }
}

#[test]
fn a_signal_to_stop_is_obeyed_while_the_app_is_compiled() {
    let press = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/press"));
    let cache = tempfile::tempdir().expect("the temporary folder is writable");
    let text = |path: &Path| path.to_str().expect("test paths are text").to_owned();
    let args = ["serve", &text(press), "--listen", "127.0.0.1:0", "--cache-dir", &text(cache.path())];
    let process = watertight(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let pid = i32::try_from(process.id()).expect("process ids are small");
    // As the first process of a container has it: what is not asked for is not delivered.
    while !minds(pid, Signal::TERM) {
        std::thread::yield_now();
    }
    send(pid, Signal::TERM);
    let ended = process.wait_with_output().expect("it is our child");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(!said.contains("serves on"), "{said}");
}

/// Whether a process handles a signal itself.
fn minds(pid: i32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("Linux says so");
    let caught = u64::from_str_radix(caught.trim(), 16).expect("it is a number");
    caught >> (signal.as_raw() - 1) & 1 == 1
}
