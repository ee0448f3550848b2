//! `watertight tap`: what it shows of a node's calls, what it leaves out, and that nothing of it is left.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Stdio},
};

use serde_json::Value;

use crate::{
    client::get,
    files::{AppFolder, site_with},
    program::{Ended, Server, ended, run, watertight},
};

/// A tap that runs.
struct Tapping {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Tapping {
    fn start(node: &str, args: &[&str]) -> Self {
        let mut command = watertight(&["tap", node]);
        let mut process = command.args(args).stdout(Stdio::piped()).spawn().expect("the program can be started");
        let lines = BufReader::new(process.stdout.take().expect("it was piped"));
        Self { process, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it is text");
        line
    }

    fn call(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"))
    }
}

impl Drop for Tapping {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A page that calls through a relay.
fn app() -> AppFolder {
    let manifest = r#"
[app]
name = "tapped"
version = "1.2.3"

[component.web]
source = "http-behave.wasm"
uses = ["relay"]
[component.relay]
source = "relay.wasm"
uses = ["behaviour"]
[component.behaviour]
source = "fail.wasm"
[[trigger.http]]
route = "/..."
component = "web"
"#;
    AppFolder::new(manifest, &["http-behave", "relay", "fail"])
}

fn start(app: &AppFolder, workers: &str) -> (Server, String) {
    let socket = app.path().join("admin.sock").to_str().expect("test paths are text").to_owned();
    (Server::start(app.path(), &["--workers", workers, "--admin-socket", &socket]), socket)
}

/// Sends requests until the tap has seen one: it takes a moment until it is there.
async fn until_seen(server: &Server, path: &str, socket: &str, args: &[&str]) -> Vec<Value> {
    let mut command = watertight(&["tap", socket, "--format", "json"]);
    let tap = command.args(args).stdout(Stdio::piped()).spawn().expect("the program can be started");
    let waiting = tokio::task::spawn_blocking(move || tap.wait_with_output().expect("it ends"));
    while !waiting.is_finished() {
        get(server.address, path).await.expect("it answers");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let output = waiting.await.expect("it was run");
    let text = String::from_utf8(output.stdout).expect("it is text");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
}

#[tokio::test]
async fn calls_come_with_their_values_and_what_they_are_part_of_from_every_worker() {
    for workers in ["0", "2"] {
        let app = app();
        let (server, socket) = start(&app, workers);
        let calls = until_seen(&server, "/run/7", &socket, &["--values", "--count", "12"]).await;
        assert_eq!(calls.len(), 12);
        let inner = calls.iter().find(|call| call["to"] == "behaviour").expect("it was called");
        assert_eq!(
            (&inner["from"], &inner["function"], &inner["outcome"]),
            (&"relay".into(), &"run".into(), &"ok".into())
        );
        assert_eq!((&inner["arguments"], &inner["results"]), (&"(7)".into(), &"err(\"asked to fail\")".into()));
        let outer = calls.iter().find(|call| call["span"] == inner["parent"]).expect("it was called, too");
        assert_eq!((&outer["to"], &outer["tree"]), (&"relay".into(), &inner["tree"]));
        let root = calls.iter().find(|call| call["span"] == outer["parent"]).expect("something came from outside");
        assert_eq!((&root["to"], &root["from"]), (&"web".into(), &Value::Null));
        server.stop();
    }
}

#[tokio::test]
async fn only_what_is_wanted_is_shown() {
    let app = app();
    let (server, socket) = start(&app, "1");
    let only =
        until_seen(&server, "/run/7", &socket, &["--edge", "relay->behaviour", "--values", "--count", "3"]).await;
    assert_eq!(only.len(), 3);
    assert!(only.iter().all(|call| call["to"] == "behaviour"), "{only:?}");
    let failed = until_seen(&server, "/plain/7", &socket, &["--failed", "--edge", "->behaviour", "--count", "2"]).await;
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().all(|call| call["outcome"] == "trap"), "{failed:?}");
    assert!(failed.iter().all(|call| call.get("arguments").is_none()), "{failed:?}");
    let wrong = |args: &[&str]| -> Ended { ended(watertight(&["tap", &socket]).args(args)) };
    let said = wrong(&["--edge", "web->nobody"]);
    assert!(said.code == Some(2) && said.stderr.contains("no component `nobody`"), "{said:?}");
    let said = wrong(&["--edge", "web->relay", "--function", "walk"]);
    assert!(said.code == Some(2) && said.stderr.contains("no edge"), "{said:?}");
    server.stop();
}

#[tokio::test]
async fn values_of_a_component_that_redacts_them_are_never_shown() {
    let app = site_with("ok", "redact = true");
    let (server, socket) = start(&app, "1");
    let private = until_seen(&server, "/run/7", &socket, &["--function", "run", "--values", "--count", "2"]).await;
    assert_eq!(private.len(), 2);
    assert!(private.iter().all(|call| call["redacted"] == true && call.get("arguments").is_none()), "{private:?}");
    server.stop();
}

#[tokio::test]
async fn several_taps_see_the_same_and_one_that_is_killed_leaves_the_node_as_it_was() {
    let app = app();
    let (server, socket) = start(&app, "1");
    let args = ["--format", "json", "--function", "run"];
    let (mut first, mut second) = (Tapping::start(&socket, &args), Tapping::start(&socket, &args));
    let seen = tokio::task::spawn_blocking(move || {
        let seen = (first.call(), second.call());
        // Killed, not asked to end.
        drop(first);
        (seen, second.call(), second)
    });
    while !seen.is_finished() {
        get(server.address, "/run/1").await.expect("it answers");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let ((one, other), more, second) = seen.await.expect("both were shown");
    assert_eq!(
        (&one["function"], &other["function"], &more["function"]),
        (&"run".into(), &"run".into(), &"run".into())
    );
    drop(second);
    let told = run(&["ps", &socket, "--format", "json"]);
    let taps =
        |told: &Ended| serde_json::from_str::<Value>(&told.stdout).expect("a document")["nodes"][0]["taps"].as_u64();
    assert!(taps(&told).is_some(), "{told:?}");
    let began = std::time::Instant::now();
    while taps(&run(&["ps", &socket, "--format", "json"])) != Some(0) {
        assert!(began.elapsed().as_secs() < 60, "nobody looks any more");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    server.stop();
}

#[tokio::test]
async fn a_call_that_is_cut_off_is_seen_when_it_is() {
    let app = site_with("sleep", "");
    let (server, socket) = start(&app, "1");
    let mut command = watertight(&["tap", &socket, "--format", "json", "--edge", "->behaviour", "--count", "1"]);
    let tap = command.stdout(Stdio::piped()).spawn().expect("the program can be started");
    let waiting = tokio::task::spawn_blocking(move || tap.wait_with_output().expect("it ends"));
    while !waiting.is_finished() {
        // The client goes away long before the callee has slept.
        let request = get(server.address, "/run/9000");
        let _ = tokio::time::timeout(std::time::Duration::from_millis(100), request).await;
    }
    let output = waiting.await.expect("it was run").stdout;
    let call: Value = serde_json::from_slice(&output).expect("it is an object");
    assert_eq!((&call["to"], &call["outcome"]), (&"behaviour".into(), &"cancelled".into()), "{call}");
    server.stop();
}

#[tokio::test]
async fn people_see_calls_below_what_they_are_part_of() {
    let app = app();
    let (server, socket) = start(&app, "1");
    let mut tap = Tapping::start(&socket, &["--values", "--count", "3"]);
    let shown = tokio::task::spawn_blocking(move || (0..5).map(|_| tap.line()).collect::<Vec<_>>());
    while !shown.is_finished() {
        get(server.address, "/run/7").await.expect("it answers");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let shown = shown.await.expect("it was shown");
    let places: Vec<_> = ["web", "relay.run", "(7) →", "behaviour.run", "(7) →"]
        .iter()
        .zip(&shown)
        .map(|(part, line)| line.find(part).unwrap_or_else(|| panic!("no `{part}` in {shown:#?}")))
        .collect();
    assert!(places[0] < places[1] && places[1] < places[3], "{shown:#?}");
    server.stop();
}
