//! Limits seen from the client of a server: admission, deadlines, and what failures leave behind in a worker.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    client::{get, get_raw},
    files::{AppFolder, site_with},
    program::Server,
};

/// A site whose handler takes `budget`, with a dependency that sleeps.
fn sleepy(budget: &str) -> AppFolder {
    sleepy_route(budget, "")
}

/// The same, with more keys for its route.
fn sleepy_route(budget: &str, route: &str) -> AppFolder {
    let manifest = format!(
        "[app]\nname = \"sleepy\"\n[component.web]\nsource = \"http-behave.wasm\"\nuses = [\"sleep\"]\n\
         budget = {{ {budget} }}\n[component.sleep]\nsource = \"sleep.wasm\"\nbudget = {{ deadline = \"1h\" }}\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n{route}\n"
    );
    AppFolder::new(&manifest, &["http-behave", "sleep"])
}

async fn statuses(address: std::net::SocketAddr, count: usize, path: &'static str) -> Vec<u16> {
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..count {
        asked.spawn(async move { get(address, path).await.expect("it answers").0 });
    }
    let mut statuses = asked.join_all().await;
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn requests_over_concurrency_and_queue_are_told_to_come_back() {
    told_to_come_back(&sleepy("concurrency = 2, queue = 1")).await;
}

#[tokio::test]
async fn requests_over_the_concurrency_and_queue_of_their_route_are_told_to_come_back() {
    told_to_come_back(&sleepy_route("concurrency = 64", "concurrency = 2\nqueue = 1")).await;
}

async fn told_to_come_back(app: &AppFolder) {
    let mut server = Server::start(app.path(), &["--workers", "0", "--verbose"]);
    let address = server.address;
    let running: Vec<_> = (0..2).map(|_| tokio::spawn(get(address, "/run/1500"))).collect();
    let mut server = tokio::task::spawn_blocking(move || {
        for _ in 0..2 {
            server.next("cell-started", |event| event["component"] == "sleep");
        }
        server
    })
    .await
    .expect("they start");
    let queued = tokio::spawn(get(address, "/run/1"));
    // Of those that come now, one at most finds the queue still empty.
    let answers = three(address).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 503")).collect();
    assert!(refused.len() >= 2, "{answers:?}");
    for answer in refused {
        assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: "), "{answer}");
    }
    for request in running {
        assert_eq!(request.await.expect("it ends").expect("it answers").0, 200);
    }
    let queued = queued.await.expect("it ends").expect("it answers").0;
    assert!(queued == 200 || answers.iter().any(|answer| answer.starts_with("HTTP/1.1 200")), "one waited");
    assert_eq!(statuses(address, 2, "/run/1").await, [200, 200], "the places are free again");
    server.signal(rustix::process::Signal::TERM);
    server.wait();
}

async fn three(address: std::net::SocketAddr) -> Vec<String> {
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..3 {
        asked.spawn(async move { get_raw(address, "/run/1").await });
    }
    asked.join_all().await
}

#[tokio::test]
async fn a_request_past_its_deadline_is_a_gateway_timeout() {
    let app = sleepy("deadline = \"150ms\"");
    let server = Server::start(app.path(), &["--workers", "0"]);
    // A function with an error hears of it in time; one without takes its caller with it.
    let (status, body) = get(server.address, "/run/60000").await.expect("it answers");
    assert_eq!((status, body.contains("deadline")), (502, true), "{body}");
    let (status, _) = get(server.address, "/plain/60000").await.expect("it answers");
    assert!(matches!(status, 500 | 502 | 504), "{status}");
    assert_eq!(get(server.address, "/idle").await.expect("it answers").0, 200);
    server.stop();
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    rss_kib: usize,
    files: usize,
    mappings: usize,
}

impl Held {
    fn by(pid: i32) -> Self {
        let of = |name: &str| Path::new("/proc").join(pid.to_string()).join(name);
        let status = fs::read_to_string(of("status")).expect("it runs");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux has it");
        Self {
            rss_kib: rss.trim().trim_end_matches(" kB").parse().expect("a number"),
            files: fs::read_dir(of("fd")).expect("it runs").count(),
            mappings: fs::read_to_string(of("maps")).expect("it runs").lines().count(),
        }
    }
}

#[tokio::test]
async fn failing_requests_leave_a_worker_as_it_was() {
    for behaviour in ["trap", "overflow", "eat-memory-trap", "spin"] {
        let app = site_with(behaviour, "lifetime = \"request\"");
        let manifest = fs::read_to_string(app.path().join("watertight.toml")).expect("it is there");
        app.write("watertight.toml", manifest.replace("300ms", "10ms"));
        let mut server = Server::start(app.path(), &["--workers", "1"]);
        let worker = server.next_worker();
        let ask = async |count: usize| {
            let mut seen = BTreeSet::new();
            for _ in 0..count / 8 {
                seen.extend(statuses(server.address, 8, "/run/0").await);
            }
            assert_eq!(Vec::from_iter(seen), [502], "{behaviour}");
        };
        ask(64).await;
        let before = Held::by(worker);
        ask(160).await;
        let after = Held::by(worker);
        // Connections that are still being closed count.
        assert!(after.files <= before.files + 8, "{behaviour}: {before:?}, then {after:?}");
        assert!(after.mappings <= before.mappings + 64, "{behaviour}: {before:?}, then {after:?}");
        assert!(after.rss_kib <= before.rss_kib + (16 << 10), "{behaviour}: {before:?}, then {after:?}");
        server.stop();
    }
}
