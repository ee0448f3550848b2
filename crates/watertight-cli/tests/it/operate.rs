//! `watertight eject` and `watertight restart`: cells that are thrown out or replaced while others go on.

use serde_json::Value;

use crate::{
    client::get,
    files::AppFolder,
    nodes::socket_of,
    program::{Ended, Server, ended, watertight},
};

/// A page that calls a behaviour, which has time enough.
fn app(behaviour: &str, keys: &str) -> AppFolder {
    let manifest = format!(
        r#"
[app]
name = "operated"
version = "1.2.3"

[component.web]
source = "http-behave.wasm"
uses = ["behaviour"]
budget = {{ deadline = "60s" }}
[component.behaviour]
source = "{behaviour}.wasm"
budget = {{ cpu = "50s", deadline = "50s" }}
{keys}
[[trigger.http]]
route = "/..."
component = "web"
"#
    );
    AppFolder::new(&manifest, &["http-behave", behaviour])
}

fn start(app: &AppFolder, workers: &str) -> (Server, String) {
    let server = Server::start_in(app.path(), &["--workers", workers], app.path());
    let socket = socket_of(&server).to_str().expect("test paths are text").to_owned();
    (server, socket)
}

fn told(socket: &str, args: &[&str]) -> Ended {
    ended(watertight(args).args(["--node", socket]))
}

fn told_json(socket: &str, args: &[&str]) -> Value {
    let ended = told(socket, &[args, &["--format", "json"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("it is one JSON object")
}

/// The cells of a component, once there is one.
async fn cells(socket: &str, component: &str) -> Vec<Value> {
    loop {
        let request = format!("GET /v1/cells?component={component} HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = crate::nodes::raw(socket.as_ref(), request.as_bytes()).await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("it is an answer");
        let told: Value = serde_json::from_str(body).expect("it is JSON");
        match told["cells"].as_array() {
            Some(cells) if !cells.is_empty() => return cells.clone(),
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_cell_that_runs_or_waits_is_thrown_out_and_its_caller_gets_an_error() {
    for (behaviour, path, workers) in [("spin", "/run/0", "0"), ("spin", "/run/0", "2"), ("sleep", "/run/40000", "1")] {
        let app = app(behaviour, "");
        let (mut server, socket) = start(&app, workers);
        let asked = tokio::spawn(get(server.address, path));
        let cell = cells(&socket, "behaviour").await[0]["name"].as_str().expect("it has a name").to_owned();
        let done = told_json(&socket, &["eject", "behaviour", "--cell", &cell]);
        assert_eq!(done["ejected"][0]["cells"], 1, "{done}");
        let (status, text) = asked.await.expect("it was asked").expect("it answers");
        assert_eq!(status, 502, "{text}");
        assert!(text.starts_with("err") && text.contains("wall-lost") && text.contains("threw"), "{text}");
        let failed = server.next("failure", |_| true);
        assert_eq!((&failed["component"], &failed["failure"]), (&"behaviour".into(), &"wall-lost".into()));
        let gone = told(&socket, &["eject", "behaviour", "--cell", &cell]);
        assert!(gone.code == Some(2) && gone.stderr.contains("has no cell"), "{gone:?}");
        server.stop();
    }
}

#[tokio::test]
async fn all_cells_of_a_component_that_serves_requests_are_thrown_out_and_the_next_request_is_served() {
    let app = app("sleep", "");
    let (server, socket) = start(&app, "1");
    let asked: Vec<_> = (0..3).map(|_| tokio::spawn(get(server.address, "/run/40000"))).collect();
    while cells(&socket, "web").await.len() < 3 {}
    let done = told(&socket, &["eject", "web"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "web: 3 cells thrown out\n"), "{done:?}");
    for asked in asked {
        assert_eq!(asked.await.expect("it was asked").expect("it answers").0, 502);
    }
    assert_eq!(get(server.address, "/run/1").await.expect("it answers").0, 200);
    server.stop();
}

#[tokio::test]
async fn a_resident_that_is_thrown_out_or_replaced_begins_anew() {
    let recycled = "lifetime = \"resident\"\nrecycle = { calls = 1000 }";
    for (keys, workers) in [("lifetime = \"resident\"", "1"), ("lifetime = \"resident\"", "0"), (recycled, "1")] {
        let app = app("counter", keys);
        let (server, socket) = start(&app, workers);
        let count = async |n: u32| get(server.address, &format!("/run/{n}")).await.expect("it answers").1;
        assert_eq!((count(2).await, count(3).await), ("ok 2".to_owned(), "ok 5".to_owned()));
        let cell = cells(&socket, "behaviour").await;
        assert_eq!((&cell[0]["resident"], &cell[0]["calls"]), (&0.into(), &2.into()), "{cell:?}");
        let done = told_json(&socket, &["eject", "behaviour"]);
        assert_eq!(done["ejected"][0]["cells"], 1, "{done}");
        assert_eq!(count(7).await, "ok 7");
        let done = told_json(&socket, &["restart", "behaviour"]);
        assert_eq!(
            (&done["restarted"][0]["component"], &done["restarted"][0]["cells"]),
            (&"behaviour".into(), &1.into())
        );
        // Where the fresh one comes first, the old one may have the call.
        while count(1).await != "ok 1" {}
        server.stop();
    }
}

#[tokio::test]
async fn a_component_that_was_given_up_is_started_again_at_once() {
    let keys = "lifetime = \"resident\"\nintensity = { max = 1, within = \"1h\" }";
    let app = app("crash", keys);
    let (server, socket) = start(&app, "1");
    for _ in 0..3 {
        assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
    }
    let down = get(server.address, "/run/5").await.expect("it answers");
    assert!(down.0 == 502 && down.1.contains("down"), "{down:?}");
    let done = told(&socket, &["restart", "behaviour"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    while get(server.address, "/run/5").await.expect("it answers").1 != "ok 6" {}
    server.stop();
}

#[test]
fn a_component_that_is_not_there_is_told_with_the_nearest_name() {
    let app = app("ok", "");
    let (server, socket) = start(&app, "0");
    for command in ["eject", "restart"] {
        let wrong = told(&socket, &[command, "behavior"]);
        assert!(wrong.code == Some(2) && wrong.stderr.contains("did you mean `behaviour`?"), "{wrong:?}");
    }
    let wrong = told(&socket, &["eject", "behaviour", "--cell", "one"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("PID-NUMBER"), "{wrong:?}");
    let nothing = told(&socket, &["restart", "web"]);
    assert!(nothing.code == Some(0) && nothing.stdout.contains("nothing to replace"), "{nothing:?}");
    server.stop();
    let none = told("nobody", &["eject", "web"]);
    assert_eq!(none.code, Some(67), "{none:?}");
}
