//! The child that serves: `watertight serve` on a free port of loopback, reloaded when there is something new.
//!
//! What it says is passed on, and its last lines are kept for pages that tell of a failure.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use watertight::admin::{AdminClient, AdminError};

use crate::{args::Dev, exit::Exit, failure::Failure, terminal};

/// Lines of the child's log that are kept.
const MAX_LINES: usize = 200;

/// How long the child may take to drain.
const LEAVE: Duration = Duration::from_secs(5);

/// The last lines of the child's log, and how many there have been.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<(u64, VecDeque<String>)>>);

impl Log {
    fn push(&self, line: String) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.0 += 1;
        log.1.push_back(line);
        if log.1.len() > MAX_LINES {
            log.1.pop_front();
        }
    }

    /// How many lines there have been.
    pub(super) fn mark(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// The lines since a mark, as far as they are kept.
    pub(super) fn lines(&self, mark: u64) -> Vec<String> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = usize::try_from(log.0.saturating_sub(mark)).unwrap_or(MAX_LINES);
        log.1.iter().skip(log.1.len().saturating_sub(new)).cloned().collect()
    }

    /// The same as text.
    pub(super) fn since(&self, mark: u64) -> String {
        self.lines(mark).into_iter().map(|line| line + "\n").collect()
    }

    /// The lines since a mark, once one of them holds this text, or it has been waited for long enough.
    pub(super) async fn until(&self, mark: u64, text: &str, within: Duration) -> Vec<String> {
        let until = tokio::time::Instant::now() + within;
        loop {
            let lines = self.lines(mark);
            if lines.iter().any(|line| line.contains(text)) || tokio::time::Instant::now() > until {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The child, if it runs.
pub(super) struct Backend {
    app: PathBuf,
    cache: PathBuf,
    verbose: bool,
    folder: tempfile::TempDir,
    log: Log,
    running: Option<Running>,
}

struct Running {
    child: Child,
    address: SocketAddr,
}

impl Backend {
    pub(super) fn new(args: &Dev, cache: PathBuf) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("watertight-dev-").tempdir()?;
        let (app, verbose) = (args.app.clone(), args.verbose);
        Ok(Self { app, cache, verbose, folder, log: Log::default(), running: None })
    }

    pub(super) fn log(&self) -> Log {
        self.log.clone()
    }

    /// Has the child serve the app as it is now; says where, or all that is wrong with it.
    pub(super) async fn renew(&mut self) -> Result<SocketAddr, String> {
        if let Some(running) = &mut self.running {
            if running.child.try_wait().is_ok_and(|ended| ended.is_none()) {
                let client = AdminClient::new(self.folder.path().join("admin.sock"));
                return match client.reload().await {
                    Ok(_) => Ok(running.address),
                    // The child has said it in its log, too.
                    Err(AdminError::Refused { rejection: Some(rejection), .. }) => Err(rejection.text),
                    Err(error) => Err(error.to_string()),
                };
            }
            self.running = None;
        }
        self.start().await.map_err(|failure| failure.messages().join("\n"))
    }

    async fn start(&mut self) -> Result<SocketAddr, Failure> {
        let mark = self.log.mark();
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg(&self.app).args(["--listen", "127.0.0.1:0", "--workers", "1", "--admin-socket"]);
        command.arg(self.folder.path().join("admin.sock")).arg("--cache-dir").arg(&self.cache);
        if self.verbose {
            command.arg("--verbose");
        }
        // In a group of its own: Ctrl-C is for this process to handle.
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0).spawn()?;
        let (told, serving) = oneshot::channel();
        if let Some(stderr) = child.stderr.take() {
            let log = self.log.clone();
            std::thread::Builder::new().name("log".to_owned()).spawn(move || pass_on(stderr, &log, told))?;
        }
        match serving.await {
            Ok(address) => {
                self.running = Some(Running { child, address });
                Ok(address)
            }
            Err(_) => {
                let _ = child.wait();
                Err(Failure::new(Exit::Rejected, self.log.since(mark)))
            }
        }
    }

    /// Has the child drain and end.
    pub(super) async fn stop(&mut self) {
        let Some(Running { mut child, .. }) = self.running.take() else { return };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let until = tokio::time::Instant::now() + LEAVE;
        while tokio::time::Instant::now() < until && child.try_wait().is_ok_and(|ended| ended.is_none()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Passes the child's log on, keeps its last lines, and tells of the address that it serves on.
fn pass_on(stderr: ChildStderr, log: &Log, told: oneshot::Sender<SocketAddr>) {
    let mut told = Some(told);
    for line in BufReader::new(stderr).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        let address = line.split_once(" serves on http://").and_then(|(_, address)| address.trim().parse().ok());
        match (address, told.take()) {
            (Some(address), Some(told)) => drop(told.send(address)),
            (_, still) => told = still,
        }
        terminal::tell(&format!("{line}\n"));
        log.push(line);
    }
}
