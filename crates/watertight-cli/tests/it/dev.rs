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

use rustix::process::Signal;
use watertight_testkit::guest;

use crate::{
    client::{get, get_raw},
    files::AppFolder,
    program::{send, watertight},
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
        send(i32::try_from(self.process.id()).expect("process ids are small"), Signal::INT);
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
