//! `watertight dev`: what a browser sees while an app is built, broken, mended and swapped.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use http::Request;
use rustix::process::Signal;
use watertight_testkit::guest;

use crate::{
    client::{call, get, get_raw, send},
    files::AppFolder,
    program::{self, Server, watertight},
};

/// An app that is copied from files; `state` says whether that works.
fn app() -> AppFolder {
    let script = r#"test "$(cat state)" = good || { echo "state:1: <not> good" >&2; exit 1; }; cp behaviour {output}"#;
    let manifest = format!(
        "[app]\nname = \"site\"\n[component.web]\nsource = \"http-behave.wasm\"\nuses = [\"behaviour\"]\n\
         [component.behaviour]\nsource = \"behaviour.wasm\"\n[component.behaviour.build]\n\
         command = [\"sh\", \"-c\", '''{script}''']\ninputs = [\"state\", \"behaviour\"]\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n"
    );
    let app = AppFolder::new(&manifest, &["http-behave"]);
    app.write("behaviour", guest::built("ok"));
    app.write("state", "good");
    app
}

/// `watertight dev` while it runs.
struct Dev {
    process: Child,
    address: SocketAddr,
    said: Arc<Mutex<String>>,
}

impl Dev {
    fn start(app: &AppFolder) -> Self {
        let mut command = watertight(&["dev", app.text(), "--listen", "127.0.0.1:0"]);
        let mut process = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(process.stderr.take().expect("it was piped")).lines();
        let first = lines.next().expect("it says something").expect("it is text");
        let address = first.split("http://").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        let said = Arc::new(Mutex::new(String::new()));
        let theirs = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                theirs.lock().expect("nobody panics").push_str(&format!("{line}\n"));
            }
        });
        Self { process, address: address.unwrap_or_else(|| panic!("an address in {first}")), said }
    }

    fn said(&self) -> String {
        self.said.lock().expect("nobody panics").clone()
    }

    /// Asks until it is answered so.
    async fn until(&self, wanted: impl Fn(&str) -> bool) -> String {
        let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
        loop {
            let answer = get_raw(self.address, "/run/4").await;
            if wanted(&answer) {
                return answer;
            }
            assert!(std::time::Instant::now() < until, "{answer}\n{}", self.said());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    fn stop(mut self) {
        program::send(i32::try_from(self.process.id()).expect("process ids are small"), Signal::INT);
        assert_eq!(self.process.wait().expect("it is our child").code(), Some(0), "{}", self.said());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_is_edited_is_what_answers_next() {
    let manifest = "[app]\nname = \"site\"\n[component.web]\nsource = \"index.php\"\n\
                    [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n";
    let app = AppFolder::new(manifest, &[]);
    app.write("_part.php", "<?php const PART = 'one';");
    app.write("index.php", "<?php require '_part.php'; echo 'part ' . PART;");
    let dev = Dev::start(&app);
    dev.until(|answer| answer.contains("part one")).await;
    app.write("_part.php", "<?php const PART = 'two';");
    dev.until(|answer| answer.contains("part two")).await;
    app.write("index.php", "<?php require '_part.php'; echo 'whole ' . PART;");
    dev.until(|answer| answer.contains("whole two")).await;
    dev.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_built_and_swapped_in_and_no_request_is_dropped() {
    let app = app();
    let dev = Dev::start(&app);
    // The first one waits for the build.
    assert_eq!(get(dev.address, "/run/4").await.expect("it answers"), (200, "ok 5".to_owned()), "{}", dev.said());
    let enough = Arc::new(AtomicBool::new(false));
    let (address, stop) = (dev.address, Arc::clone(&enough));
    let load = tokio::spawn(async move {
        let mut answers = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            answers.push(get(address, "/run/4").await.expect("it answers"));
        }
        answers
    });
    app.write("behaviour", guest::built("counter"));
    dev.until(|answer| answer.contains("\r\nok 4\r\n")).await;
    enough.store(true, Ordering::Relaxed);
    let answers = load.await.expect("no panic");
    let good = |answer: &(u16, String)| answer.0 == 200 && ["ok 5", "ok 4"].contains(&answer.1.as_str());
    assert!(answers.iter().all(good), "{answers:?}");
    dev.stop();
}

#[tokio::test]
async fn a_request_that_fails_is_answered_with_the_cause_and_only_here() {
    let manifest = "[app]\nname = \"site\"\n[component.web]\nsource = \"http-behave.wasm\"\nuses = [\"behaviour\"]\n\
                    [component.behaviour]\nsource = \"trap.wasm\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n\
                    [[trigger.http]]\nroute = \"/rpc/...\"\ncomponent = \"behaviour\"\nexports = [\"watertight:test/behave\"]\n";
    let app = AppFolder::new(manifest, &["http-behave", "trap"]);
    let dev = Dev::start(&app);
    let ask = |address, path: &'static str, accept: &'static str| async move {
        let answer =
            send(address, Request::get(path).header("accept", accept).body(String::new()).expect("it is sound")).await;
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    };
    let (status, text) = ask(dev.address, "/plain/1", "*/*").await;
    assert!(status == 500 && text.starts_with("behaviour failed: trap: "), "{text}\n{}", dev.said());
    assert!(text.contains("more: watertight postmortem show ") && text.contains("web failed: trap: "), "{text}");
    let (status, page) = ask(dev.address, "/plain/1", "text/html,*/*;q=0.8").await;
    assert!(status == 500 && page.contains("<h1>behaviour failed: trap: "), "{page}");
    assert!(page.contains("more: watertight postmortem ") && !page.contains("http-equiv=\"refresh\""), "{page}");
    // Whoever called a function gets JSON, as everywhere.
    let (status, answer) = call(dev.address, "/rpc/watertight:test/behave/plain", "[1]").await;
    let error = &answer["error"];
    assert_eq!((status, &error["kind"]), (500, &"trap".into()), "{answer}");
    assert!(error["message"].as_str().is_some_and(|text| text.starts_with("behaviour failed: trap: ")), "{answer}");
    assert!(error["cause"].as_str().is_some_and(|text| text.contains("more: watertight postmortem ")), "{answer}");
    // What the app itself has to say is left alone.
    let (status, text) = ask(dev.address, "/run/1", "text/html").await;
    assert!(status == 502 && text.starts_with("err "), "{text}");
    dev.stop();

    let server = Server::start(app.path(), &["--workers", "1"]);
    assert_eq!(ask(server.address, "/plain/1", "text/html").await, (500, "the service failed to answer\n".to_owned()));
    let (_, answer) = call(server.address, "/rpc/watertight:test/behave/plain", "[1]").await;
    assert_eq!(answer["error"], serde_json::json!({ "kind": "trap", "message": "the service failed to answer" }));
    server.stop();
}

#[tokio::test]
async fn an_exception_of_a_script_is_shown_with_its_traceback_and_only_here() {
    let manifest = "[app]\nname = \"site\"\n[component.web]\nsource = \"index.php\"\ngrants = { stdio = true }\n\
                    [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n";
    let app = AppFolder::new(manifest, &[]);
    app.write("index.php", "<?php\nfunction inner() { throw new Exception('no <luck>'); }\ninner();\n");
    let dev = Dev::start(&app);
    let text = dev.until(|answer| answer.contains("500")).await;
    assert!(text.contains("web raised Exception: no <luck> in /app/index.php:2"), "{text}");
    assert!(text.contains("#0 /app/index.php(3): inner()"), "{text}");
    let page =
        send(dev.address, Request::get("/").header("accept", "text/html").body(String::new()).expect("it is sound"))
            .await;
    let page = String::from_utf8_lossy(page.body()).into_owned();
    assert!(page.contains("<h1>web raised Exception: no &lt;luck&gt; in /app/index.php:2</h1>"), "{page}");
    dev.stop();
    let server = Server::start(app.path(), &["--workers", "1"]);
    assert_eq!(get(server.address, "/").await.expect("it answers"), (500, "Internal Server Error\n".to_owned()));
    server.stop();
}

#[tokio::test]
async fn a_build_that_fails_is_shown_in_the_browser_until_it_is_mended() {
    let app = app();
    app.write("state", "bad");
    let dev = Dev::start(&app);
    let answer = dev.until(|_| true).await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("the build failed"), "{answer}");
    assert!(answer.contains("state:1: <not> good"), "a client that is no browser gets text: {answer}");
    assert!(answer.contains("content-type: text/plain"), "{answer}");
    app.write("state", "good");
    dev.until(|answer| answer.contains("\r\nok 5\r\n")).await;
    assert!(dev.said().contains("state:1: <not> good"), "{}", dev.said());

    // So is a manifest that is not sound, and an app that cannot run.
    let manifest = fs::read_to_string(app.path().join("watertight.toml")).expect("it is there");
    app.write("watertight.toml", manifest.replace("uses =", "usses ="));
    dev.until(|answer| answer.contains("did you mean `uses`?")).await;
    app.write("watertight.toml", manifest.replace("uses =", "#uses ="));
    dev.until(|answer| answer.contains("the app does not run") && answer.contains("behave")).await;
    app.write("watertight.toml", manifest);
    dev.until(|answer| answer.contains("\r\nok 5\r\n")).await;
    dev.stop();
}
