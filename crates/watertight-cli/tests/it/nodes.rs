//! Nodes seen from outside: `watertight ps` and the admin socket.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::{
    client::get,
    files::{built, site, site_with},
    program::{Ended, Server, ended, send, watertight},
};

/// A folder for admin sockets, of this test alone.
fn runtime() -> TempDir {
    tempfile::tempdir().expect("the temporary folder is writable")
}

fn ps(runtime: &Path, args: &[&str]) -> Ended {
    ended(watertight(&["ps"]).args(args).env("XDG_RUNTIME_DIR", runtime))
}

fn ps_json(runtime: &Path, args: &[&str]) -> Value {
    let ended = ps(runtime, &[args, &["--format", "json"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("it is one JSON object")
}

pub(crate) fn socket_of(server: &Server) -> PathBuf {
    server.serving["admin"].as_str().expect("it says where its admin socket is").into()
}

fn named<'v>(list: &'v Value, key: &str, name: &str) -> &'v Value {
    let found = list.as_array().and_then(|list| list.iter().find(|item| item[key] == name));
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// One request over the socket as it is written, and the answer as it comes.
pub(crate) async fn raw(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).await.expect("the node listens");
    // A request that is refused early may not be taken whole.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn ps_shows_calls_failures_and_cells_summed_up_over_the_workers() {
    for workers in ["0", "2"] {
        let runtime = runtime();
        let app = site("trap");
        let server = Server::start_in(app.path(), &["--workers", workers], runtime.path());
        for _ in 0..6 {
            assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
        }
        let seen = ps_json(runtime.path(), &[]);
        let node = &seen["nodes"][0];
        assert_eq!(
            (&node["app"], &node["version"], &node["pid"]),
            (&"site".into(), &"1.2.3".into(), &server.process.id().into())
        );
        assert_eq!(node["url"], server.serving["url"]);
        let processes = node["workers"].as_array().expect("a list");
        assert_eq!(processes.len(), workers.parse::<usize>().expect("a number").max(1));
        for worker in processes {
            assert_eq!(
                (&worker["state"], &worker["answers"], &worker["restarts"]),
                (&"serving".into(), &true.into(), &0.into())
            );
            assert!(worker["rss_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{worker}");
        }
        let web = named(&node["components"], "name", "web");
        let behaviour = named(&node["components"], "name", "behaviour");
        assert_eq!((&web["calls"], &web["started"], &web["cells"]), (&6.into(), &6.into(), &0.into()), "{web}");
        assert_eq!((&behaviour["calls"], &behaviour["ejected"]), (&6.into(), &6.into()), "{behaviour}");
        assert_eq!(behaviour["failures"], serde_json::json!({ "trap": 6 }));
        assert_eq!((&web["edges"][0]["to"], &web["edges"][0]["failures"]["trap"]), (&"behaviour".into(), &6.into()));

        let text = ps(runtime.path(), &["site"]).stdout;
        for part in [
            "site 1.2.3  pid ",
            "WORKER",
            "serving",
            "behaviour  request   on-demand  0      0         6      6       6",
            "failed 6 times: trap",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        server.stop();
    }
}

#[tokio::test]
async fn two_nodes_of_one_app_run_at_once_and_each_is_found() {
    let runtime = runtime();
    let app = site("ok");
    let servers = [(); 2].map(|()| Server::start_in(app.path(), &["--workers", "0"], runtime.path()));
    assert_eq!(ps_json(runtime.path(), &["site"])["nodes"].as_array().map(Vec::len), Some(2));
    let pid = servers[1].process.id();
    let one = ps_json(runtime.path(), &[&pid.to_string()]);
    assert_eq!((one["nodes"].as_array().map(Vec::len), &one["nodes"][0]["pid"]), (Some(1), &pid.into()));
    let socket = socket_of(&servers[0]);
    let by_path = ps_json(runtime.path(), &[socket.to_str().expect("test paths are text")]);
    assert_eq!(by_path["nodes"][0]["pid"], servers[0].process.id());
    for server in servers {
        server.stop();
    }
}

#[test]
fn without_a_node_ps_says_so() {
    let runtime = runtime();
    for (args, part) in [
        (&[][..], "no node runs"),
        (&["press"], "no node runs an app called press"),
        (&["17"], "no node is process 17"),
    ] {
        let ended = ps(runtime.path(), args);
        assert_eq!(ended.code, Some(67), "{ended:?}");
        assert!(ended.stderr.contains(part), "{ended:?}");
    }
}

#[tokio::test]
async fn the_socket_is_the_owners_and_is_gone_with_its_node() {
    let runtime = runtime();
    let server = Server::start_in(site("ok").path(), &["--workers", "1"], runtime.path());
    let socket = socket_of(&server);
    let found = fs::symlink_metadata(&socket).expect("it is there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let folder = fs::metadata(runtime.path().join("watertight")).expect("it is there");
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    server.stop();
    assert!(!socket.exists());

    // One that is killed leaves its socket behind: it is not taken for a node, and the next who looks clears it away.
    let mut server = Server::start_in(site("ok").path(), &["--workers", "0"], runtime.path());
    let socket = socket_of(&server);
    server.process.kill().expect("it runs");
    server.process.wait().expect("it is our child");
    assert!(socket.exists());
    assert_eq!(ps(runtime.path(), &[]).code, Some(67));
    assert!(!socket.exists());
}

#[test]
fn a_socket_of_ones_own_choosing_must_be_free() {
    let runtime = runtime();
    let path = runtime.path().join("mine.sock");
    let text = path.to_str().expect("test paths are text");
    let server = Server::start(site("ok").path(), &["--workers", "0", "--admin-socket", text]);
    assert_eq!(socket_of(&server), path);
    assert_eq!(ps_json(runtime.path(), &[text])["nodes"][0]["pid"], server.process.id());
    server.stop();
    let _taken = UnixListener::bind(&path).expect("it is free again");
    let app = site("ok");
    let refused = ended(&mut watertight(&["serve", app.text(), "--listen", "127.0.0.1:0", "--admin-socket", text]));
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.stderr.contains("another process listens on"), "{refused:?}");
}

#[tokio::test]
async fn a_worker_that_does_not_answer_is_shown_and_keeps_nobody_waiting() {
    let runtime = runtime();
    let mut server = Server::start_in(site("ok").path(), &["--workers", "2"], runtime.path());
    let workers = [server.next_worker(), server.next_worker()];
    send(workers[0], Signal::STOP);
    let seen = ps_json(runtime.path(), &[]);
    let node = &seen["nodes"][0];
    let silent = node["workers"].as_array().and_then(|list| list.iter().find(|worker| worker["pid"] == workers[0]));
    assert_eq!(silent.expect("it is listed")["answers"], false, "{node}");
    assert_eq!(node["unanswered"].as_array().map(Vec::len), Some(1), "{node}");
    assert!(ps(runtime.path(), &[]).stdout.contains("silent"));
    send(workers[0], Signal::CONT);
    server.stop();
}

#[tokio::test]
async fn requests_that_are_none_are_refused_and_the_node_goes_on() {
    let runtime = runtime();
    let server = Server::start_in(site("ok").path(), &["--workers", "0"], runtime.path());
    let socket = socket_of(&server);
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(20_000));
    let body = b"POST /v1/node HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n";
    for (request, status) in [
        (&b"GET /v1/nothing HTTP/1.1\r\nhost: a\r\n\r\n"[..], "404"),
        (b"DELETE /v1/node HTTP/1.1\r\nhost: a\r\n\r\n", "405"),
        (b"this is not HTTP\r\n\r\n", "400"),
        (long.as_bytes(), "431"),
        (body, "413"),
    ] {
        let answer = raw(&socket, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
    }
    assert!(raw(&socket, b"GET /v1/node HTTP/1.1\r\nhost: a\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    // Idle connections take no more than their number: others are answered when those are given up.
    let idle: Vec<_> = (0..20).map(|_| std::os::unix::net::UnixStream::connect(&socket)).collect();
    assert_eq!(ps(runtime.path(), &[]).code, Some(0));
    drop(idle);
    server.stop();
}

#[tokio::test]
async fn ps_counts_what_went_on_at_lower_priority() {
    let runtime = runtime();
    let app = site("spin");
    let server = Server::start_in(app.path(), &["--workers", "2"], runtime.path());
    for _ in 0..2 {
        assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
    }
    let seen = ps_json(runtime.path(), &[]);
    let components = &seen["nodes"][0]["components"];
    let demoted = |name| named(components, "name", name)["demoted"].as_u64().expect("a number");
    assert_eq!(demoted("behaviour"), 2, "{components}");
    let text = ps(runtime.path(), &[]).stdout;
    assert!(text.contains("behaviour went on at lower priority 2 times"), "{text}");
    server.stop();
}

#[tokio::test]
async fn ps_shows_residents_that_are_down_and_breakers_that_are_open() {
    let runtime = runtime();
    let app = crate::files::site_with(
        "trap",
        "lifetime = \"resident\"\nintensity = { max = 1, within = \"1h\" }\n\n[component.web.edge.\"watertight:test/behave\"]\n\
         breaker = { failures = 2, within = \"1h\", open-for = \"1h\" }",
    );
    let server = Server::start_in(app.path(), &["--workers", "1"], runtime.path());
    for _ in 0..4 {
        assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
    }
    let seen = ps_json(runtime.path(), &[]);
    let components = &seen["nodes"][0]["components"];
    let behaviour = named(components, "name", "behaviour");
    assert_eq!((&behaviour["state"], &behaviour["restarts"]), (&"down".into(), &1.into()), "{behaviour}");
    let edge = &named(components, "name", "web")["edges"][0];
    assert_eq!((&edge["open"], &edge["openings"]), (&1.into(), &1.into()), "{edge}");
    let text = ps(runtime.path(), &[]).stdout;
    for part in ["behaviour is down: ", "web calls behaviour no more: the breaker is open"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    server.stop();
}

#[tokio::test]
async fn a_fallback_counts_the_calls_that_it_got_and_no_others() {
    for (behaviour, failed, stood_in) in [("ok", 0, 0), ("trap", 4, 4)] {
        let runtime = runtime();
        let keys = "[component.web.edge.\"watertight:test/behave\"]\nfrom = \"behaviour\"\n\
                    on-failure = { fallback = \"lite\" }\n[component.lite]\nsource = \"lite.wasm\"\n";
        let app = site_with(behaviour, keys);
        std::fs::copy(built("ok"), app.path().join("lite.wasm")).expect("it is built");
        let server = Server::start_in(app.path(), &["--workers", "0"], runtime.path());
        for _ in 0..4 {
            assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 200);
        }
        let seen = ps_json(runtime.path(), &[]);
        let components = &seen["nodes"][0]["components"];
        let calls = |name| named(components, "name", name)["calls"].clone();
        assert_eq!((calls("behaviour"), calls("lite")), (4.into(), stood_in.into()), "{components}");
        let failures = |name| named(components, "name", name)["failures"]["trap"].as_u64().unwrap_or(0);
        assert_eq!((failures("behaviour"), failures("lite")), (failed, 0), "{components}");
        server.stop();
    }
}
