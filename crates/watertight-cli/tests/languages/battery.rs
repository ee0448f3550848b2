//! What every language has to do, by one script each that answers the same paths and one that is a command.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use bytes::Bytes;
use http::Request;
use tempfile::TempDir;

use crate::{
    client::Client,
    program::{Server, run, watertight},
};

/// Requests in a row that may not make the server grow.
const MANY: usize = 1000;

/// What a thousand requests may leave, for the allocator's sake.
const SLACK: u64 = 24 << 20;

/// Interpreters at once.
const AT_ONCE: usize = 128;

/// Memory that each of them may take, generously.
const EACH: u64 = 4 << 20;

/// An app of `scripts/site.ENDING` with a folder granted at `/data`, one variable, and nothing else.
pub(crate) fn site(ending: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    copy(folder.path(), &format!("site.{ending}"));
    fs::create_dir(folder.path().join("data")).expect("the temporary folder is writable");
    let manifest = format!(
        r#"
[app]
name = "site"

[component.web]
source = "site.{ending}"
budget = {{ memory = "256MiB", cpu = "30s", deadline = "60s" }}

[component.web.grants]
stdio = true
env = {{ COLOUR = "blue" }}
dirs = [{{ host = "data", guest = "/data", mode = "rw" }}]

[[trigger.http]]
route = "/..."
component = "web"
"#
    );
    fs::write(folder.path().join("watertight.toml"), manifest).expect("the temporary folder is writable");
    folder
}

fn copy(folder: &Path, name: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/languages/scripts").join(name);
    fs::copy(&from, folder.join(name)).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

pub(crate) fn answers_requests(ending: &str) {
    let folder = site(ending);
    let mut server = Server::start(folder.path());
    let mut client = Client::new(server.address);

    let hello = client.send(Request::get("/hello?name=w%C3%B6rld"), Bytes::new());
    assert_eq!(hello.status(), 200, "{hello:?}");
    assert_eq!(hello.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(String::from_utf8_lossy(hello.body()), "hello wörld");

    let sent = Request::post("/echo").header("content-type", "application/x-test").header("x-asked", "yes");
    let every_byte: Vec<u8> = (0..=255).collect();
    let echo = client.send(sent, every_byte.clone());
    assert_eq!(echo.body(), &every_byte, "binary is not touched");
    assert_eq!(echo.headers()["content-type"], "application/x-test");
    assert_eq!(echo.headers()["x-asked"], "yes");

    let large: Vec<u8> = (0..10_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let echo = client.send(Request::post("/echo"), large.clone());
    assert_eq!(echo.status(), 200);
    assert!(*echo.body() == large, "ten megabytes came back, {} bytes", echo.body().len());

    assert_eq!(client.get("/missing").0, 404, "a status of the script's own");

    let failed = client.get("/boom?secret");
    assert_eq!(failed.0, 500);
    assert!(!failed.1.contains("kaboom") && !failed.1.contains("site."), "the client learns nothing: {}", failed.1);
    server.log("kaboom");
    assert_eq!(client.get("/hello?name=again"), (200, "hello again".to_owned()));
}

pub(crate) fn reaches_what_is_granted_and_nothing_else(ending: &str) {
    let folder = site(ending);
    let server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    assert_eq!(client.get("/write?text=gr%C3%BCn"), (200, "written".to_owned()));
    assert_eq!(fs::read_to_string(folder.path().join("data/note.txt")).expect("it was written"), "grün");
    fs::write(folder.path().join("data/note.txt"), "from outside").expect("the folder is ours");
    assert_eq!(client.get("/read"), (200, "from outside".to_owned()));
    assert_eq!(client.get("/variables"), (200, "COLOUR=blue".to_owned()));
    let own = client.get("/own");
    assert!(own.1.starts_with("read ") && own.1.ends_with("denied"), "its own folder is read-only: {}", own.1);
    assert_eq!(client.get("/passwd"), (200, "denied".to_owned()));
    assert_eq!(client.get("/dial"), (200, "denied".to_owned()));
}

pub(crate) fn every_request_has_its_own_state_clock_and_chance(ending: &str) {
    let folder = site(ending);
    let server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    let mut seen: Vec<String> = (0..4).map(|_| client.get("/chance").1).collect();
    for text in &seen {
        assert_eq!(text.split(' ').count(), 3, "a clock and two random numbers: {text}");
    }
    for column in 0..3 {
        let mut values: Vec<_> = seen.iter().map(|text| text.split(' ').nth(column)).collect();
        values.sort();
        values.dedup();
        assert_eq!(values.len(), 4, "column {column} of {seen:?}");
    }
    seen.sort();
    for _ in 0..3 {
        assert_eq!(client.get("/count"), (200, "1".to_owned()), "nothing is left of the request before");
    }
}

pub(crate) fn a_thousand_requests_leave_nothing_behind(ending: &str) {
    let folder = site(ending);
    let mut server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    let mut ask = || assert_eq!(client.get("/hello?name=n"), (200, "hello n".to_owned()));
    (0..MANY / 10).for_each(|_| ask());
    let before = server.memory();
    (0..MANY).for_each(|_| ask());
    let after = server.memory();
    assert!(after < before + SLACK, "{before} bytes became {after}");
    assert!(server.process.try_wait().expect("it is our child").is_none());
}

/// As many interpreters at once, each in the middle of a request.
pub(crate) fn many_wait_at_once(ending: &str) {
    let folder = site(ending);
    let server = Server::start(folder.path());
    let before = server.memory();
    let head = "POST /echo HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: 5\r\n\r\n";
    let mut waiting: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).expect("the server listens");
            stream.write_all(head.as_bytes()).expect("it reads");
            stream
        })
        .collect();
    // One more is answered while the others wait.
    assert_eq!(Client::new(server.address).get("/hello?name=n"), (200, "hello n".to_owned()));
    for (index, stream) in waiting.iter_mut().enumerate() {
        let mut answer = String::new();
        stream.write_all(format!("{index:05}").as_bytes()).expect("it reads");
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("{index:05}")), "{answer}");
    }
    let after = server.memory();
    assert!(after < before + AT_ONCE as u64 * EACH, "{AT_ONCE} at once made {before} bytes {after}");
}

pub(crate) fn runs_as_a_command(ending: &str) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    copy(folder.path(), &format!("command.{ending}"));
    let script = folder.path().join(format!("command.{ending}"));
    crate::program::ready(&script);
    let script = script.to_str().expect("test paths are text");

    let echo = run(&["run", script, "--", "echo", "two words", "ü"]);
    assert_eq!((echo.code, echo.text()), (Some(0), "two words ü\n"), "{}", echo.stderr);

    let mut cat = watertight(&["run", script, "--", "cat"]);
    let input: Vec<u8> = (0..=255_u8).cycle().take(100_000).collect();
    let mut process = cat
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut stdin = process.stdin.take().expect("it was piped");
    let sent = input.clone();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &sent));
    let output = process.wait_with_output().expect("it ends");
    writer.join().expect("it does not panic").expect("it reads");
    assert!(output.stdout == input, "binary goes through, {} bytes", output.stdout.len());

    assert_eq!(run(&["run", script, "--", "exit", "7"]).code, Some(7));
    let failed = run(&["run", script, "--", "fail"]);
    // As the language itself has it.
    assert_eq!(failed.code, Some(if ending == "php" { 255 } else { 1 }), "{}", failed.stderr);
    assert!(failed.stderr.contains("kaboom"), "{}", failed.stderr);
    let denied = run(&["run", script, "--", "reach"]);
    assert_eq!(denied.text(), "denied denied denied\n", "{}", denied.stderr);
}

/// The tests of one language.
#[macro_export]
macro_rules! battery {
    ($ending:literal) => {
        #[test]
        fn it_answers_requests() {
            $crate::battery::answers_requests($ending);
        }

        #[test]
        fn it_reaches_what_is_granted_and_nothing_else() {
            $crate::battery::reaches_what_is_granted_and_nothing_else($ending);
        }

        #[test]
        fn every_request_has_its_own_state_clock_and_chance() {
            $crate::battery::every_request_has_its_own_state_clock_and_chance($ending);
        }

        #[test]
        fn a_thousand_requests_leave_nothing_behind() {
            $crate::battery::a_thousand_requests_leave_nothing_behind($ending);
        }

        #[test]
        fn many_wait_at_once() {
            $crate::battery::many_wait_at_once($ending);
        }

        #[test]
        fn it_runs_as_a_command() {
            $crate::battery::runs_as_a_command($ending);
        }
    };
}
