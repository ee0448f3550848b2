//! Faults on a node that runs: `watertight faults` and `/v1/faults`, seen by clients and in the node's events.

use std::{net::SocketAddr, path::Path};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::get,
    files::{AppFolder, site},
    nodes::{raw, socket_of},
    program::{Ended, Server, ended, send, watertight},
};

/// Requests that are asked for at least: enough that the kernel has chosen each of two workers.
const ENOUGH: usize = 40;

fn start(workers: &str) -> (AppFolder, TempDir, Server) {
    let (app, runtime) = (site("ok"), tempfile::tempdir().expect("the temporary folder is writable"));
    let server = Server::start_in(app.path(), &["--workers", workers], runtime.path());
    (app, runtime, server)
}

fn faults(runtime: &Path, args: &[&str]) -> Ended {
    ended(watertight(&["faults"]).args(args).env("XDG_RUNTIME_DIR", runtime))
}

/// What `faults` says of the one node that runs, as JSON.
fn told(runtime: &Path, args: &[&str]) -> Value {
    let ended = faults(runtime, &[args, &["--format", "json"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told: Value = serde_json::from_str(&ended.stdout).expect("it is one JSON object");
    told["nodes"][0].clone()
}

/// The statuses of some requests, each once.
async fn statuses(address: SocketAddr) -> Vec<u16> {
    let mut seen = Vec::new();
    for _ in 0..ENOUGH {
        seen.push(get(address, "/run/1").await.expect("it answers").0);
    }
    seen.sort_unstable();
    seen.dedup();
    seen
}

#[tokio::test]
async fn faults_strike_in_every_worker_also_in_those_that_come_later_until_they_are_cleared() {
    for workers in ["2", "0"] {
        let (_app, runtime, mut server) = start(workers);
        let runtime = runtime.path();
        assert_eq!(statuses(server.address).await, [200]);
        assert_eq!(told(runtime, &["show"])["faults"], serde_json::json!([]));

        let set = told(runtime, &["set", "behaviour: trap 60%, error 40%", "--seed", "7"]);
        assert_eq!((&set["app"], &set["seed"], &set["for_ms"]), (&"site".into(), &7.into(), &300_000.into()), "{set}");
        assert_eq!(set["faults"], serde_json::json!(["behaviour: trap 60%, error 40%"]));
        assert_eq!(set["unanswered"], Value::Null, "{set}");
        let event = server.next("faults", |_| true);
        assert_eq!((&event["change"], &event["for_ms"]), (&"set".into(), &300_000.into()), "{event}");
        assert_eq!(statuses(server.address).await, [502]);

        let shown = faults(runtime, &["show", "--node", "site"]).stdout;
        assert!(
            shown.contains("injects faults for ") && shown.contains("more, seed 7\n  behaviour: trap 60%"),
            "{shown}"
        );
        let ps = ended(watertight(&["ps"]).env("XDG_RUNTIME_DIR", runtime)).stdout;
        assert!(ps.contains("FAULTS ARE INJECTED for ") && ps.contains(": behaviour: trap 60%, error 40%"), "{ps}");

        if workers == "2" {
            let ps = ended(watertight(&["ps", "--format", "json"]).env("XDG_RUNTIME_DIR", runtime)).stdout;
            let ps: Value = serde_json::from_str(&ps).expect("it is one JSON object");
            let pid = ps["nodes"][0]["workers"][0]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
            send(pid.expect("it has a process"), Signal::KILL);
            server.next_worker();
            assert_eq!(statuses(server.address).await, [502], "a worker that took another's place has them");
        }
        let reloaded = ended(watertight(&["reload"]).env("XDG_RUNTIME_DIR", runtime));
        assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
        assert_eq!(statuses(server.address).await, [502], "a new version of the app has them");

        let cleared = faults(runtime, &["clear"]);
        assert_eq!(cleared.code, Some(0), "{cleared:?}");
        assert!(cleared.stdout.contains("injects no faults"), "{cleared:?}");
        assert_eq!(server.next("faults", |_| true)["change"], "cleared");
        assert_eq!(statuses(server.address).await, [200]);
        server.stop();
    }
}

#[tokio::test]
async fn faults_end_by_themselves() {
    for workers in ["1", "0"] {
        let (_app, runtime, mut server) = start(workers);
        let set = told(runtime.path(), &["set", "web: error 100%", "--for", "700ms"]);
        assert_eq!(set["for_ms"], 700, "{set}");
        assert_eq!(server.next("faults", |event| event["change"] != "set")["change"], "over");
        assert_eq!(statuses(server.address).await, [200]);
        assert_eq!(told(runtime.path(), &[])["faults"], serde_json::json!([]));
        server.stop();
    }
}

#[tokio::test]
async fn a_stopped_worker_is_said_not_to_have_answered_and_has_nothing_of_what_is_over() {
    let (_app, runtime, mut server) = start("1");
    let worker = server.next_worker();
    send(worker, Signal::STOP);
    let set = told(runtime.path(), &["set", "web: error 100%"]);
    assert_eq!(set["unanswered"], serde_json::json!([0]), "{set}");
    let cleared = faults(runtime.path(), &["clear"]);
    assert!(cleared.stdout.contains("worker 0 did not answer"), "{cleared:?}");
    send(worker, Signal::CONT);
    // Questions are answered in their order.
    let seen = ended(watertight(&["ps", "--format", "json"]).env("XDG_RUNTIME_DIR", runtime.path()));
    assert!(seen.stdout.contains("\"answers\":true"), "{seen:?}");
    assert_eq!(statuses(server.address).await, [200]);
    server.stop();
}

#[tokio::test]
async fn everything_that_is_wrong_with_faults_is_said_and_those_before_stay() {
    let (_app, runtime, server) = start("1");
    let runtime = runtime.path();
    told(runtime, &["set", "behaviour: error 100%"]);
    let wrong = faults(runtime, &["set", "behavior: trap 5%; web: trip 1%", "web: trap 101%"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    for said in ["did you mean `behaviour`?", "`trip` is not a fault", "at most 100%", "those before stay as they were"]
    {
        assert!(wrong.stderr.contains(said), "{said} in {}", wrong.stderr);
    }
    let wrong = faults(runtime, &["set", "behavior: trap 5%; web: trip 1%", "--format", "json"]);
    let error: Value =
        serde_json::from_str(wrong.stdout.lines().chain(wrong.stderr.lines()).last().unwrap_or_default())
            .expect("it is one JSON object");
    assert_eq!((&error["error"]["exit"], error["error"]["problems"].as_array().map(Vec::len)), (&2.into(), Some(2)));
    for args in [
        &["set"][..],
        &["set", "web: trap 1%", "--for", "25h"],
        &["set", "web: trap 1%", "--for", "0s"],
        &["set", "web: trap 1%", "--for", "30"],
        &["set", "web: trap 1%", "--seed", "99999999999999999999"],
        &["set", ""],
        &["unset"],
    ] {
        assert_eq!(faults(runtime, args).code, Some(2), "{args:?}");
    }
    let none = faults(runtime, &["clear", "--node", "press"]);
    assert_eq!(none.code, Some(67), "{none:?}");

    let socket = socket_of(&server);
    let request = |method: &str, body: &str| {
        format!("{method} /v1/faults HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let rules = (0..200).map(|at| format!("\"web: {}\"", "delay 1ms 0.0001%, ".repeat(60 + at % 2) + "trap 1%"));
    let long = format!("{{\"faults\": [{}]}}", rules.collect::<Vec<_>>().join(", "));
    for (method, body, status) in [
        ("PUT", "", "400"),
        ("PUT", "[]", "400"),
        ("PUT", r#"{"faults": "web: trap 1%"}"#, "400"),
        ("PUT", r#"{"faults": ["web: trap 1%"], "for": "1s"}"#, "400"),
        ("PUT", r#"{"faults": ["web: trap 1%"], "for_ms": -1}"#, "400"),
        ("PUT", r#"{"faults": ["web: trap 1%"], "for_ms": 0}"#, "422"),
        ("PUT", r#"{"faults": ["web: trap 1%"], "for_ms": 18446744073709551615}"#, "422"),
        ("PUT", r#"{"faults": []}"#, "422"),
        ("PUT", &long, "422"),
        ("POST", r#"{"faults": ["web: trap 1%"]}"#, "405"),
    ] {
        let answer = raw(&socket, request(method, body).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
    }
    assert_eq!(told(runtime, &[])["faults"], serde_json::json!(["behaviour: error 100%"]));
    assert_eq!(statuses(server.address).await, [502]);
    server.stop();
}

#[tokio::test]
async fn faults_of_a_component_that_a_reload_takes_away_lie_idle() {
    let (app, runtime, server) = start("2");
    let runtime = runtime.path();
    told(runtime, &["set", "behaviour: error 100%; web: delay 1ms 1%"]);
    let manifest = std::fs::read_to_string(app.path().join("watertight.toml")).expect("it is there");
    app.write("watertight.toml", manifest.replace("behaviour", "other"));
    assert_eq!(ended(watertight(&["reload"]).env("XDG_RUNTIME_DIR", runtime)).code, Some(0));
    assert_eq!(statuses(server.address).await, [200]);
    let shown = told(runtime, &[]);
    assert_eq!(shown["idle"], serde_json::json!(["behaviour: error 100%"]), "{shown}");
    assert_eq!(shown["faults"].as_array().map(Vec::len), Some(2), "{shown}");
    assert!(faults(runtime, &[]).stdout.contains("behaviour: error 100%  (not in this version of the app)"));
    server.stop();
}

#[tokio::test]
async fn events_and_postmortems_say_that_a_failure_was_injected() {
    let (app, runtime) = (site("ok"), tempfile::tempdir().expect("the temporary folder is writable"));
    let folder = runtime.path().join("postmortems");
    let folder = folder.to_str().expect("test paths are text");
    for (fault, failure) in [("trap", "trap"), ("oom", "memory"), ("spin", "cpu")] {
        let args = ["--workers", "1", "--verbose", "--postmortem-dir", folder];
        let mut server = Server::start_in(app.path(), &args, runtime.path());
        told(runtime.path(), &["set", &format!("behaviour: {fault} 100%")]);
        assert_eq!(get(server.address, "/run/1").await.expect("it answers").0, 502);
        for (kind, of) in [("failure", "behaviour"), ("cell-ended", "behaviour")] {
            let event = server.next(kind, |event| event["component"] == of);
            assert_eq!((&event["injected"], &event["failure"]), (&fault.into(), &failure.into()), "{event}");
        }
        server.stop();
        let shown = ended(&mut watertight(&["postmortem", "show", "behaviour", "--postmortem-dir", folder]));
        let said = format!("fault   {fault}, injected on purpose");
        assert!(shown.stdout.contains(&said) && !shown.stdout.contains("  next  "), "{shown:?}");
    }
}
