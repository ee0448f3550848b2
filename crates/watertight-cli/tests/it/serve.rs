//! `watertight serve`: protocols, routes, drain, workers.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use rustls_pki_types::CertificateDer;
use watertight_testkit::guest;

use crate::{
    client::{get, get_http2, get_tls},
    files::{AppFolder, site, site_with},
    program::{Server, ended, send, watertight},
};

const GREETING: &str = "hello GET /x?y=1 1\n";

fn hello() -> PathBuf {
    guest::path("http-hello")
}

#[tokio::test]
async fn a_single_file_serves_every_path_over_http_1_and_2() {
    let server = Server::start(&hello(), &["--workers", "2"]);
    assert_eq!(server.serving["workers"], 2);
    assert_eq!(server.serving["components"][0], "http-hello");
    for _ in 0..4 {
        assert_eq!(get(server.address, "/x?y=1").await.expect("it answers"), (200, GREETING.to_owned()));
        assert_eq!(get_http2(server.address, "/x?y=1").await.expect("it answers"), (200, GREETING.to_owned()));
    }
    let log = server.stop();
    assert_eq!(log.matches(r#""event":"request""#).count(), 8, "{log}");
}

#[tokio::test]
async fn a_handler_of_wasi_0_3_serves_as_well() {
    let mut server = Server::start(&guest::path("http3-hello"), &["--workers", "0"]);
    assert_eq!(get(server.address, "/a").await.expect("it answers"), (200, "hello /a 1\n".to_owned()));
    let request = server.next("request", |_| true);
    assert_eq!((&request["path"], &request["status"]), (&"/a".into(), &200.into()));
    server.stop();
}

#[tokio::test]
async fn tls_serves_both_protocols() {
    let folder = AppFolder::new("", &[]);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key can be made");
    let cert = folder.write("cert.pem", made.cert.pem());
    let key = folder.write("key.pem", made.signing_key.serialize_pem());
    let path = |path: &Path| path.to_str().expect("test paths are text").to_owned();
    let server = Server::start(&hello(), &["--workers", "1", "--tls-cert", &path(&cert), "--tls-key", &path(&key)]);
    assert!(server.serving["url"].as_str().is_some_and(|url| url.starts_with("https://")), "{}", server.serving);
    for protocol in ["h2", "http/1.1"] {
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let answer = get_tls(server.address, "/x?y=1", certificate, protocol).await.expect("it answers");
        assert_eq!(answer, (200, GREETING.to_owned()));
    }
    server.stop();
}

#[tokio::test]
async fn requests_cross_to_another_component_and_failures_come_back_as_errors() {
    for (behaviour, status, body) in [
        ("ok", 200, "ok 5"),
        ("fail", 502, "err asked to fail"),
        ("trap", 502, "trap"),
        ("overflow", 502, "stack"),
        ("spin", 502, "cpu"),
    ] {
        let number = if behaviour == "ok" { 4 } else { 0 };
        let app = site(behaviour);
        let mut server = Server::start(app.path(), &["--workers", "0"]);
        let answer = get(server.address, &format!("/run/{number}")).await.expect("it answers");
        assert_eq!(answer.0, status, "{behaviour}: {answer:?}");
        assert!(answer.1.contains(body), "{behaviour}: {answer:?}");
        if !matches!(behaviour, "ok" | "fail") {
            let failed = server.next("call", |event| event["outcome"] == "failed");
            assert_eq!(failed["edge"], "web->behaviour");
            assert_eq!(failed["function"], "run");
        }
        server.stop();
    }
}

#[tokio::test]
async fn a_path_without_a_route_is_not_found() {
    let app = site("ok");
    let mut server = Server::start(app.path(), &["--workers", "1"]);
    assert_eq!(get(server.address, "/").await.expect("it answers").0, 404);
    assert_eq!(server.next("request", |_| true)["route"], serde_json::Value::Null);
    server.stop();
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_end() {
    for workers in ["0", "2"] {
        let app = site("sleep");
        let mut server = Server::start(app.path(), &["--workers", workers, "--verbose"]);
        let address = server.address;
        let request = tokio::spawn(async move { get(address, "/run/700").await });
        // The blocking wait for the event must not keep the request from being sent.
        let mut server = tokio::task::spawn_blocking(move || {
            server.next("cell-started", |event| event["component"] == "behaviour");
            server
        })
        .await
        .expect("the cell starts");
        server.signal(Signal::TERM);
        let answer = request.await.expect("the client does not panic").expect("it answers");
        assert_eq!(answer, (200, "ok 700".to_owned()), "--workers {workers}");
        let (status, rest) = server.wait();
        assert_eq!(status.code(), Some(0), "{rest}");
        assert!(rest.contains(r#""path":"/run/700","status":200"#), "{rest}");
    }
}

#[tokio::test]
async fn guests_that_spin_never_stop_others_from_being_served() {
    const SPINNERS: usize = 16;
    let manifest = "[app]\nname = \"spinners\"\n[component.web]\nsource = \"http-behave.wasm\"\nuses = [\"spin\"]\n\
                    budget = { deadline = \"1h\", cpu = \"1h\" }\n[component.spin]\nsource = \"spin.wasm\"\n\
                    budget = { deadline = \"1h\", cpu = \"1h\" }\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n";
    let app = AppFolder::new(manifest, &["http-behave", "spin"]);
    let mut server = Server::start(app.path(), &["--workers", "0", "--verbose"]);
    let address = server.address;
    let mut spinners = tokio::task::JoinSet::new();
    for _ in 0..SPINNERS {
        spinners.spawn(async move { get(address, "/run/0").await });
    }
    let server = tokio::task::spawn_blocking(move || {
        for _ in 0..SPINNERS {
            server.next("cell-started", |event| event["component"] == "spin");
        }
        server
    });
    let server = server.await.expect("the cells start");
    for _ in 0..8 {
        assert_eq!(get(address, "/idle").await.expect("it answers"), (200, "idle".to_owned()));
    }
    assert!(spinners.try_join_next().is_none(), "all of them still spin");
    drop(server);
}

#[tokio::test]
async fn what_a_guest_writes_is_in_the_log_if_it_may_and_else_the_line_to_add_is() {
    let app = site_with("write-logs", "grants = { stdio = true }");
    let mut server = Server::start(app.path(), &["--workers", "0"]);
    assert_eq!(get(server.address, "/run/1").await.expect("it answers").0, 200);
    for stream in ["stdout", "stderr"] {
        assert_eq!(server.next("log", |event| event["stream"] == stream)["component"], "behaviour");
    }
    server.stop();

    let app = site("write-logs");
    let mut server = Server::start(app.path(), &["--workers", "0"]);
    assert_eq!(get(server.address, "/run/1").await.expect("it answers").0, 200);
    let denied = server.next("denied", |_| true);
    assert_eq!(denied["remedy"], "component.behaviour.grants.stdio = true");
    assert!(!server.stop().contains(r#""event":"log""#));
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_the_port_stays_open() {
    let mut server = Server::start(&hello(), &["--workers", "2"]);
    let mut workers = vec![server.next_worker(), server.next_worker()];
    for _ in 0..3 {
        send(workers.remove(0), Signal::KILL);
        let gone = server.next("worker", |event| event["change"] == "ended");
        assert!(gone["how"].as_str().is_some_and(|how| how.contains("SIGKILL")), "{gone}");
        for _ in 0..8 {
            assert_eq!(get(server.address, "/x?y=1").await.expect("it answers").0, 200);
        }
        workers.push(server.next_worker());
    }
    server.stop();
}

#[tokio::test]
async fn a_replaced_worker_serves_the_app_as_it_was_checked() {
    let app = site("ok");
    let mut server = Server::start(app.path(), &["--workers", "1"]);
    app.write("watertight.toml", "this is no manifest");
    app.write("http-behave.wasm", "nor is this WebAssembly");
    let worker = server.next_worker();
    send(worker, Signal::KILL);
    server.next_worker();
    assert_eq!(get(server.address, "/run/4").await.expect("it answers").0, 200);
    server.stop();
}

#[tokio::test]
async fn both_signals_stop_both_kinds_of_server() {
    for workers in ["0", "1"] {
        for signal in [Signal::TERM, Signal::INT] {
            let mut server = Server::start(&hello(), &["--workers", workers]);
            assert_eq!(get(server.address, "/").await.expect("it answers").0, 200);
            server.signal(signal);
            let (status, rest) = server.wait();
            assert_eq!(status.code(), Some(0), "--workers {workers}, {signal:?}: {rest}");
        }
    }
}

#[tokio::test]
async fn the_log_for_people_is_on_stderr_and_names_the_address() {
    use std::{
        io::{BufRead as _, BufReader, Read as _},
        process::Stdio,
    };
    let path = hello();
    let args = ["serve", path.to_str().expect("test paths are text"), "--listen", "localhost:0", "--workers", "1"];
    let mut process = watertight(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stderr = BufReader::new(process.stderr.take().expect("it was piped"));
    let mut first = String::new();
    stderr.read_line(&mut first).expect("the log is text");
    let address = first.trim().strip_prefix("http-hello 0.0.0 serves on http://").expect("the address comes first");
    assert_eq!(get(address.parse().expect("an address"), "/x?y=1").await.expect("it answers").0, 200);
    send(i32::try_from(process.id()).expect("process ids are small"), Signal::TERM);
    let mut log = String::new();
    stderr.read_to_string(&mut log).expect("the log is text");
    for part in ["workers     1 process", "components  http-hello", "pools       256 cells", "cache", "200 GET /x?y=1"]
    {
        assert!(log.contains(part), "{part} in {log}");
    }
    assert!(!log.contains('\u{1b}'), "no colours in a pipe: {log}");
    assert_eq!(process.wait().expect("it is our child").code(), Some(0));
    let mut stdout = String::new();
    process.stdout.take().expect("it was piped").read_to_string(&mut stdout).expect("it is text");
    assert_eq!(stdout, "");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
    };
    let server = Server::start(&hello(), &["--workers", "0", "--max-body", "1KiB"]);
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    write!(stream, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\nconnection: close\r\n\r\n")
        .expect("it reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"HTTP/1.1 413");
    drop(stream);
    server.stop();
}

#[test]
fn a_command_that_is_for_the_supervisor_says_so() {
    let ended = ended(&mut watertight(&["worker", "/dev/null"]));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("use `watertight serve`"), "{ended:?}");
}

/// A site that is down once the one resident that it has has failed.
fn gives_up() -> AppFolder {
    let manifest = "[app]\nname = \"site\"\nintensity = { max = 0 }\n\
                    [component.web]\nsource = \"http-behave.wasm\"\nuses = [\"behaviour\"]\n\
                    [component.behaviour]\nsource = \"trap.wasm\"\nlifetime = \"resident\"\nintensity = { max = 0 }\n\
                    [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n";
    AppFolder::new(manifest, &["http-behave", "trap"])
}

#[tokio::test]
async fn a_worker_whose_app_gave_up_on_its_residents_makes_room_for_another() {
    let app = gives_up();
    let mut server = Server::start(app.path(), &["--workers", "1", "--verbose"]);
    let address = server.address;
    let server = tokio::task::spawn_blocking(move || {
        // Before any request.
        server.next("supervised", |event| event["change"] == "started");
        server
    });
    let mut server = server.await.expect("the resident starts");
    assert_eq!(get(address, "/run/0").await.expect("it answers").0, 502);
    let server = tokio::task::spawn_blocking(move || {
        let ended = server.next("worker", |event| event["change"] == "ended");
        assert!(ended["how"].as_str().is_some_and(|how| how.contains("exit status: 76")), "{ended}");
        server.next("worker", |event| event["change"] == "started");
        server
    });
    let server = server.await.expect("another worker starts");
    assert_eq!(get(address, "/idle").await.expect("it answers"), (200, "idle".to_owned()));
    server.stop();
}

#[tokio::test]
async fn one_process_whose_app_gave_up_ends_and_says_why() {
    let app = gives_up();
    let mut command =
        watertight(&["serve", app.text(), "--listen", "127.0.0.1:0", "--format", "json", "--workers", "0"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut server = Server::from(&mut command);
    assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
    let mut said = server.process.stderr.take().expect("it was piped");
    let ended = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut said, &mut text).expect("it is text");
        (server.wait().0.code(), text)
    });
    let (code, said) = ended.await.expect("it ends");
    assert_eq!(code, Some(76), "{said}");
    assert!(said.contains("the app gave up after 0 restarts"), "{said}");
}
