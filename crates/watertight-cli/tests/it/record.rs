//! `watertight record` and `watertight replay`: what crossed is written down, and another build is called as that says.

use std::{fs, path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use watertight_testkit::guest;

use crate::{
    client::get,
    files::{AppFolder, built, site_with},
    program::{Ended, Server, run, watertight},
};

/// A page that calls through a relay.
fn app() -> AppFolder {
    let manifest = r#"
[app]
name = "recorded"
version = "1.2.3"

[component.web]
source = "http-behave.wasm"
uses = ["relay"]
[component.relay]
source = "relay.wasm"
uses = ["behaviour"]
[component.behaviour]
source = "fail.wasm"
budget = { memory = "16MiB", deadline = "10s" }
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

/// Records while requests are made, and says what was told of it.
async fn recorded(server: &Server, paths: &[&str], socket: &str, file: &Path, args: &[&str]) -> Value {
    let mut command = watertight(&["record", socket, "--format", "json", "-o"]);
    let process = command.arg(file).args(args).stdout(Stdio::piped()).spawn().expect("the program can be started");
    let waiting = tokio::task::spawn_blocking(move || process.wait_with_output().expect("it ends"));
    while !waiting.is_finished() {
        for path in paths {
            get(server.address, path).await.expect("it answers");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let output = waiting.await.expect("it was run");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("it is an object")
}

fn replay(file: &Path, component: &str, args: &[&str]) -> Ended {
    let file = file.to_str().expect("test paths are text");
    run(&[&["replay", file, "--component", component], args].concat())
}

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[tokio::test]
async fn the_same_build_answers_the_same_and_another_one_is_told_by_its_answers() {
    for workers in ["0", "2"] {
        let app = app();
        let (server, socket) = start(&app, workers);
        let file = app.path().join("calls.rec");
        let told =
            recorded(&server, &["/run/7", "/plain/9"], &socket, &file, &["--edge", "->behaviour", "--count", "20"])
                .await;
        assert_eq!((&told["calls"], &told["dropped"], &told["app"]), (&20.into(), &0.into(), &"recorded".into()));
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("it is there").permissions());
        assert_eq!(mode & 0o777, 0o600, "it holds what crossed");

        let same = replay(&file, &built("fail"), &["--format", "json"]);
        let found = report(&same);
        assert_eq!(same.code, Some(0), "{same:?}");
        assert_eq!((&found["compared"], &found["same"], &found["differ"]), (&20.into(), &20.into(), &0.into()));
        assert_eq!(found["recorded_digests"], serde_json::json!([found["digest"]]), "it is the same build");
        assert!(found["now"]["p50_ns"].as_u64().is_some_and(|time| time > 0), "{found}");

        let other = replay(&file, &built("ok"), &["--format", "json", "--show", "100"]);
        let found = report(&other);
        assert_eq!((other.code, &found["differ"]), (Some(3), &20.into()), "{other:?}");
        let differences = found["differences"].as_array().expect("they are listed");
        let of = |function: &str| {
            let is = |found: &&Value| found["function"].as_str().is_some_and(|name| name.ends_with(function));
            differences.iter().find(is).unwrap_or_else(|| panic!("no {function} in {found}"))
        };
        let (ran, plain) = (of("#run"), of("#plain"));
        assert_eq!(
            (&ran["arguments"], &ran["recorded"], &ran["now"]),
            (&"(7)".into(), &"err(\"asked to fail\")".into(), &"ok(8)".into())
        );
        assert_eq!((&plain["recorded"], &plain["now"]), (&"failed: trap".into(), &"10".into()));

        let trap = replay(&file, &built("trap"), &["--limit", "4"]);
        assert_eq!(trap.code, Some(3), "{trap:?}");
        assert!(trap.stdout.contains("now   failed: trap") && trap.stdout.contains("past the limit"), "{trap:?}");
        server.stop();
    }
}

#[tokio::test]
async fn what_the_component_asks_others_is_answered_from_the_recording_if_it_was_recorded() {
    let app = app();
    let (server, socket) = start(&app, "1");
    let (whole, half) = (app.path().join("whole.rec"), app.path().join("half.rec"));
    let both = ["--edge", "->relay", "--edge", "relay->", "--for", "1s"];
    recorded(&server, &["/run/7", "/bare/1", "/plain/3"], &socket, &whole, &both).await;
    let found = replay(&whole, &built("relay"), &["--format", "json"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let told = report(&found);
    assert_eq!(told["same"], told["compared"]);
    assert!(told["compared"].as_u64().is_some_and(|compared| compared >= 3), "{told}");

    recorded(&server, &["/run/7"], &socket, &half, &["--edge", "->relay", "--count", "3"]).await;
    let found = replay(&half, &built("relay"), &[]);
    assert_eq!(found.code, Some(65), "{found:?}");
    assert!(found.stdout.contains("watertight:test/behave"), "{found:?}");
    assert!(found.stdout.contains("record `--edge 'relay->'`, too"), "{found:?}");
    // One that asks nobody needs no answers.
    let alone = replay(&half, &built("fail"), &[]);
    assert_eq!(alone.code, Some(0), "{alone:?}");
    server.stop();
}

#[tokio::test]
async fn a_recording_that_is_cut_off_or_damaged_is_used_as_far_as_it_goes() {
    let app = app();
    let (server, socket) = start(&app, "1");
    let file = app.path().join("calls.rec");
    recorded(&server, &["/run/7"], &socket, &file, &["--edge", "->behaviour", "--count", "20"]).await;
    server.stop();
    let bytes = fs::read(&file).expect("it is there");
    let cut = app.write("cut.rec", &bytes[..bytes.len() / 2]);
    let told = report(&replay(&cut, &built("fail"), &["--format", "json"]));
    let compared = told["compared"].as_u64().expect("a number");
    assert!((1..20).contains(&compared), "{told}");
    assert_eq!(told["broken_off"], true);
    assert!(told["damage"].as_str().is_some_and(|damage| damage.contains("cut off")), "{told}");
    let mut changed = bytes.clone();
    let place = bytes.len() * 3 / 4;
    changed[place] ^= 1;
    let damaged = app.write("damaged.rec", &changed);
    let told = replay(&damaged, &built("fail"), &[]);
    assert!(told.code == Some(0) && told.stdout.contains("is damaged from byte"), "{told:?}");

    let other = app.write("other.rec", guest::built("ok"));
    let empty = app.write("empty.rec", "");
    for file in [other, empty] {
        let told = replay(&file, &built("fail"), &[]);
        assert!(told.code == Some(65) && told.stderr.contains("no recording"), "{told:?}");
    }
    let told = replay(Path::new("nowhere.rec"), &built("fail"), &[]);
    assert_eq!(told.code, Some(66), "{told:?}");
    let told = replay(&file, &built("http-hello"), &[]);
    assert!(told.code == Some(65) && told.stderr.contains("it has no `watertight:test/behave"), "{told:?}");
    let told = replay(&file, "nowhere.wasm", &[]);
    assert_eq!(told.code, Some(66), "{told:?}");
    let told = replay(&file, &built("fail"), &["--of", "web"]);
    assert!(told.code == Some(2) && told.stderr.contains("`behaviour`"), "{told:?}");
}

#[tokio::test]
async fn a_disk_that_takes_no_more_ends_a_recording_and_is_told() {
    let app = app();
    let (server, socket) = start(&app, "1");
    let told = run(&["record", &socket, "--edge", "->behaviour", "--for", "1m", "-o", "/dev/full"]);
    assert!(told.code == Some(74) && told.stderr.contains("cannot write /dev/full"), "{told:?}");
    let file = app.write("there.rec", "a diary");
    let told = run(&["record", &socket, "--edge", "->behaviour", "-o", file.to_str().expect("text")]);
    assert!(told.code == Some(74) && told.stderr.contains("nothing is written over"), "{told:?}");
    assert_eq!(fs::read_to_string(file).expect("it is there"), "a diary");
    let told = run(&["record", &socket, "--edge", "web->nobody", "-o", "never.rec"]);
    assert!(told.code == Some(2) && told.stderr.contains("no component `nobody`"), "{told:?}");
    assert!(!Path::new("never.rec").exists());
    server.stop();
}

#[tokio::test]
async fn values_that_the_manifest_redacts_are_recorded_only_if_asked_for_and_never_shown() {
    let app = site_with("ok", "redact = true");
    let (server, socket) = start(&app, "1");
    let file = app.path().join("calls.rec");
    let path = file.to_str().expect("test paths are text");
    let told = run(&["record", &socket, "--edge", "->behaviour", "-o", path]);
    assert!(told.code == Some(2) && told.stderr.contains("--with-redacted"), "{told:?}");
    let args = ["--edge", "->behaviour", "--with-redacted", "--count", "3"];
    recorded(&server, &["/run/7777"], &socket, &file, &args).await;
    let told = replay(&file, &built("fail"), &[]);
    assert!(told.code == Some(3) && told.stdout.contains("(redacted)"), "{told:?}");
    assert!(!told.stdout.contains("7777") && !told.stdout.contains("7778"), "{told:?}");
    server.stop();
}

#[tokio::test]
async fn calls_with_handles_are_counted_and_not_replayed() {
    let manifest = r#"
[app]
name = "handed"
[component.web]
source = "http-middle.wasm"
uses = ["hello"]
[component.hello]
source = "http-hello.wasm"
[[trigger.http]]
route = "/..."
component = "web"
"#;
    let app = AppFolder::new(manifest, &["http-middle", "http-hello"]);
    let (server, socket) = start(&app, "1");
    let file = app.path().join("calls.rec");
    recorded(&server, &["/"], &socket, &file, &["--edge", "web->hello", "--count", "4"]).await;
    let told = replay(&file, &built("http-hello"), &["--of", "hello"]);
    assert_eq!(told.code, Some(65), "{told:?}");
    assert!(told.stdout.contains("4 were not compared: handles, streams or futures"), "{told:?}");
    server.stop();
}

#[tokio::test]
async fn a_recording_that_is_killed_leaves_what_it_has_and_the_node_as_it_was() {
    let app = app();
    let (server, socket) = start(&app, "1");
    let file = app.path().join("calls.rec");
    let mut command = watertight(&["record", &socket, "--edge", "->behaviour", "-o"]);
    let mut process = command.arg(&file).spawn().expect("the program can be started");
    while fs::metadata(&file).map_or(0, |file| file.len()) < 4096 {
        get(server.address, "/run/7").await.expect("it answers");
    }
    process.kill().expect("it runs");
    process.wait().expect("it was ours");
    let told = report(&replay(&file, &built("fail"), &["--format", "json"]));
    assert!(told["same"].as_u64().is_some_and(|same| same > 0), "{told}");
    assert_eq!((&told["differ"], &told["broken_off"]), (&0.into(), &true.into()));
    get(server.address, "/run/7").await.expect("it answers");
    server.stop();
}
