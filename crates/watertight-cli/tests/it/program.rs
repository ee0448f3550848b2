//! The program under test: run to its end, or started as a server whose address is read from what it prints.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The program, with a compile cache that all tests share and nothing of this terminal.
pub(crate) fn watertight(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watertight"));
    command
        .args(args)
        .env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .env("XDG_RUNTIME_DIR", env!("CARGO_TARGET_TMPDIR"))
        .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
        .env_remove("WATERTIGHT_LOG")
        .stdin(Stdio::null());
    command
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program to its end.
pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the program can be started");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes text");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the program with these arguments to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    ended(&mut watertight(args))
}

/// A server that runs, and the events it prints.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) serving: Value,
    events: BufReader<ChildStdout>,
}

impl Server {
    /// Starts `watertight serve APP` on a free port of loopback, and waits until it says that it serves.
    pub(crate) fn start(app: &Path, args: &[&str]) -> Self {
        Self::start_in(app, args, Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// The same, with admin sockets in this folder.
    pub(crate) fn start_in(app: &Path, args: &[&str], runtime: &Path) -> Self {
        let app = app.to_str().expect("test paths are text");
        let mut command = watertight(&["serve", app, "--listen", "127.0.0.1:0", "--format", "json"]);
        command.args(args).env("XDG_RUNTIME_DIR", runtime).stdout(Stdio::piped());
        Self::from(&mut command)
    }

    /// Starts this command of a server that prints its events as JSON, and waits until it says that it serves.
    pub(crate) fn from(command: &mut Command) -> Self {
        let mut process = command.spawn().expect("the program can be started");
        let stdout = process.stdout.take().expect("it was piped");
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { process, address, serving: Value::Null, events: BufReader::new(stdout) };
        server.serving = server.next("serving", |_| true);
        server.address = server.serving["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
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

    /// The next worker that comes to serve.
    pub(crate) fn next_worker(&mut self) -> i32 {
        let started = self.next("worker", |event| event["change"] == "started");
        started["worker_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a process id")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(i32::try_from(self.process.id()).expect("process ids are small"), signal);
    }

    /// Waits for the end, and returns what was printed since.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.events.read_to_string(&mut rest).expect("events are text");
        (self.process.wait().expect("it is our child"), rest)
    }

    /// Asks for the end, and waits for it.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let (status, rest) = self.wait();
        assert_eq!(status.code(), Some(0), "{rest}");
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a failed test. The workers end when their supervisor is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("the process is there");
}
