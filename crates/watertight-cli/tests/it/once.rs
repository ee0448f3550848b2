//! Components that a node has once: one worker has them, and the others call them there.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    client::{Answer, get},
    files::{AppFolder, site_with},
    program::{Server, ended, send, watertight},
};

const ONCE: &str = "lifetime = \"resident\"\nscope = \"node\"";

fn start(behaviour: &str, keys: &str, workers: &str) -> (AppFolder, Server) {
    let app = site_with(behaviour, &format!("{ONCE}\n{keys}"));
    let server = Server::start_in(app.path(), &["--workers", workers], app.path());
    (app, server)
}

fn node(app: &AppFolder) -> Value {
    let seen = ended(watertight(&["ps", "--format", "json"]).env("XDG_RUNTIME_DIR", app.path()));
    let seen: Value = serde_json::from_str(&seen.stdout).expect("it is one JSON object");
    seen["nodes"][0].clone()
}

/// The process of the worker that has the node's components.
fn keeper(app: &AppFolder) -> i32 {
    let node = node(app);
    let keepers: Vec<_> =
        node["workers"].as_array().expect("a list").iter().filter(|it| it["keeper"] == true).collect();
    assert_eq!(keepers.len(), 1, "{node}");
    keepers[0]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a process id")
}

/// The number after `ok`.
fn counted(answer: Answer) -> u32 {
    let (status, text) = answer.expect("it answers");
    assert_eq!(status, 200, "{text}");
    text.strip_prefix("ok ").and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test]
async fn every_worker_calls_the_same_cell() {
    for (scope, workers, same) in [("node", "3", true), ("worker", "3", false), ("node", "0", true)] {
        let app = site_with("counter", &format!("lifetime = \"resident\"\nscope = \"{scope}\""));
        let mut server = Server::start_in(app.path(), &["--workers", workers], app.path());
        for _ in 0..workers.parse().expect("a number") {
            server.next_worker();
        }
        // Connections are spread over the workers: thirty on one would be one in 10^14.
        let mut counts = BTreeSet::new();
        for _ in 0..30 {
            counts.insert(counted(get(server.address, "/run/1").await));
        }
        assert_eq!(counts == (1..=30).collect(), same, "scope = {scope}, --workers {workers}: {counts:?}");
        let node = node(&app);
        let behaviour = &node["components"].as_array().expect("a list")[1];
        assert_eq!((&behaviour["scope"], &behaviour["calls"]), (&scope.into(), &30.into()), "{behaviour}");
        assert_eq!(behaviour["cells"] == 1, same, "{behaviour}");
        server.stop();
    }
}

#[tokio::test]
async fn when_its_worker_dies_calls_under_way_are_lost_and_it_is_placed_anew() {
    let (app, mut server) = start("sleep", "instances = 12", "3");
    for _ in 0..3 {
        server.next_worker();
    }
    let address = server.address;
    // More than it takes at once: some are under way over the stream, whichever worker took their connections.
    let requests: Vec<_> = (0..12).map(|_| tokio::spawn(get(address, "/run/6000"))).collect();
    let under_way = async {
        while node(&app)["components"][0]["started"].as_u64().is_none_or(|started| started < 12) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    under_way.await;
    let began = Instant::now();
    let dead = keeper(&app);
    send(dead, Signal::KILL);
    let mut lost = 0;
    for request in requests {
        // Those whose connection was the dead worker's go with it.
        if let Ok((status, text)) = request.await.expect("the client does not panic")
            && text.contains("behaviour: wall-lost: ")
        {
            assert_eq!(status, 502);
            lost += 1;
        }
    }
    assert!(lost > 0, "somebody called it from another worker");
    assert!(began.elapsed() < Duration::from_secs(60));
    // The lines end before the supervisor has seen the end of the process.
    while keeper(&app) == dead {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..6 {
        assert_eq!(counted(get(address, "/run/1").await), 1, "it is there again, for all of them");
    }
    server.stop();
}

#[tokio::test]
async fn calls_that_wait_for_the_next_worker_are_answered_there_also_by_itself() {
    // One at a time: a call that is let out must not keep its own place from itself.
    let (app, mut server) = start("counter", "", "2");
    for _ in 0..2 {
        server.next_worker();
    }
    let address = server.address;
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let mut failures = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    match get(address, "/run/1").await {
                        Ok((200, _)) | Err(_) => {}
                        Ok((_, text)) => failures.push(text),
                    }
                }
                failures
            })
        })
        .collect();
    for _ in 0..3 {
        let dead = keeper(&app);
        send(dead, Signal::KILL);
        server.next_worker();
        while keeper(&app) == dead {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        counted(get(address, "/run/1").await);
    }
    over.store(true, Ordering::SeqCst);
    for client in clients {
        let failures = client.await.expect("the client does not panic");
        let others: Vec<_> = failures.iter().filter(|text| !text.contains("behaviour: wall-lost: ")).collect();
        assert!(others.is_empty(), "{others:?}");
    }
    server.stop();
}

#[tokio::test]
async fn failures_and_deadlines_are_those_of_any_callee() {
    for (behaviour, path, part) in [
        ("trap", "/run/0", "behaviour: trap: "),
        ("spin", "/run/0", "behaviour: cpu: "),
        ("sleep", "/run/60000", "behaviour: deadline: "),
    ] {
        let app = site_with(behaviour, ONCE);
        // Only who is to pass it gets a short one: on a busy machine, cpu time takes its time.
        if behaviour == "sleep" {
            let manifest = std::fs::read_to_string(app.path().join("watertight.toml")).expect("it is there");
            app.write("watertight.toml", manifest.replace("deadline = \"10s\"", "deadline = \"1s\""));
        }
        let server = Server::start_in(app.path(), &["--workers", "2"], app.path());
        // As often as it may be restarted.
        for _ in 0..3 {
            let (status, text) = get(server.address, path).await.expect("it answers");
            assert_eq!(status, 502, "{text}");
            assert!(text.contains(part), "{part} in {text}");
        }
        server.stop();
    }
}

#[tokio::test]
async fn a_reload_gives_the_new_version_its_own_and_loses_no_call() {
    let (app, mut server) = start("sleep", "instances = 8", "2");
    for _ in 0..2 {
        server.next_worker();
    }
    let address = server.address;
    let requests: Vec<_> = (0..8).map(|_| tokio::spawn(get(address, "/run/1200"))).collect();
    while node(&app)["components"][0]["started"].as_u64().is_none_or(|started| started < 8) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = keeper(&app);
    let done = ended(watertight(&["reload"]).env("XDG_RUNTIME_DIR", app.path()));
    assert_eq!(done.code, Some(0), "{done:?}");
    let node = node(&app);
    let workers = node["workers"].as_array().expect("a list").iter();
    let keepers: Vec<_> = workers.filter(|worker| worker["keeper"] == true && worker["state"] == "serving").collect();
    assert_eq!(keepers.len(), 1, "{node}");
    assert_ne!(keepers[0]["pid"], before);
    assert_eq!(counted(get(address, "/run/1").await), 1);
    for request in requests {
        assert_eq!(counted(request.await.expect("the client does not panic")), 1200);
    }
    server.stop();
}

#[test]
fn what_cannot_be_reached_from_another_process_is_refused_with_function_and_type() {
    let manifest = "[app]\nname = \"things\"\n[component.user]\nsource = \"things-user.wasm\"\nuses = [\"things\"]\n\
        [component.things]\nsource = \"things.wasm\"\nlifetime = \"resident\"\nscope = \"node\"\n";
    let app = AppFolder::new(manifest, &["things-user", "things"]);
    let refused = ended(&mut watertight(&["check", app.text()]));
    assert_eq!(refused.code, Some(65), "{refused:?}");
    for part in ["cannot cross from `user` to `things` in another process", "func("] {
        assert!(refused.stderr.contains(part), "{part} in {refused:?}");
    }
}
