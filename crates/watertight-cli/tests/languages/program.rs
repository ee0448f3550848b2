//! The program under test, with the runtimes that `cargo xtask runtimes` has built.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

/// The program, with a compile cache that all tests share and nothing of this terminal.
pub(crate) fn watertight(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watertight"));
    command
        .args(args)
        .env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .env("XDG_RUNTIME_DIR", env!("CARGO_TARGET_TMPDIR"))
        .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
        .env("WATERTIGHT_RUNTIMES", runtimes())
        .env_remove("WATERTIGHT_LOG")
        .stdin(Stdio::null());
    command
}

/// Where the runtimes are.
pub(crate) fn runtimes() -> PathBuf {
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".local/share/watertight/runtimes"));
    env::var_os("WATERTIGHT_RUNTIMES").map(PathBuf::from).or_else(home).expect("HOME is set")
}

/// A package that `cargo xtask runtimes --for-tests` has installed.
pub(crate) fn packages(language: &str) -> PathBuf {
    let folder = runtimes().join("test-packages").join(language);
    assert!(folder.is_dir(), "no {}: run `cargo xtask runtimes --for-tests`", folder.display());
    folder
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("the script writes text")
    }
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    let output = watertight(args).output().expect("the program can be started");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { code: output.status.code(), stdout: output.stdout, stderr }
}

/// Compiles the runtime of an app, once for all tests that run at the same time.
pub(crate) fn ready(app: &Path) {
    let lock = fs::File::create(concat!(env!("CARGO_TARGET_TMPDIR"), "/languages.lock")).expect("a file to lock");
    flock(&lock, FlockOperation::LockExclusive).expect("it can be locked");
    let compiled = run(&["compile", app.to_str().expect("test paths are text")]);
    assert_eq!(compiled.code, Some(0), "run `cargo xtask runtimes --for-tests` first: {}", compiled.stderr);
}

/// A server in one process.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    events: BufReader<ChildStdout>,
}

impl Server {
    /// Starts `watertight serve APP` on a free port of loopback, and waits until it says that it serves.
    pub(crate) fn start(app: &Path) -> Self {
        ready(app);
        let app = app.to_str().expect("test paths are text");
        let mut command = watertight(&["serve", app, "--listen", "127.0.0.1:0", "--workers", "0", "--format", "json"]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the program can be started");
        let events = BufReader::new(process.stdout.take().expect("it was piped"));
        let mut server = Self { process, address: SocketAddr::from(([0, 0, 0, 0], 0)), events };
        let serving = server.next("serving", |_| true);
        server.address = serving["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        server
    }

    /// The next event of this kind that the test is looking for; those before it are gone.
    pub(crate) fn next(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            let read = self.events.read_line(&mut line).expect("events are text");
            assert_ne!(read, 0, "the server ended before a `{kind}` that was wanted");
            let event: Value = serde_json::from_str(&line).expect("each line is one JSON object");
            if event["event"] == kind && wanted(&event) {
                return event;
            }
        }
    }

    /// The next line of the log that holds this text.
    pub(crate) fn log(&mut self, text: &str) {
        self.next("log", |event| event["line"].as_str().is_some_and(|line| line.contains(text)));
    }

    /// What was logged before the next request was answered.
    pub(crate) fn lines_until_request(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.events.read_line(&mut line).expect("events are text");
            assert_ne!(read, 0, "the server ended before a request was answered");
            let event: Value = serde_json::from_str(&line).expect("each line is one JSON object");
            match event["event"].as_str() {
                Some("request") => return lines,
                Some("log") => lines.push(event["line"].as_str().unwrap_or_default().to_owned()),
                Some(_) | None => {}
            }
        }
    }

    /// Bytes of memory that the server has now.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says so");
        let kib: u64 = anonymous.trim().trim_end_matches(" kB").parse().expect("it is a number");
        kib << 10
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
