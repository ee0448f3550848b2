//! Asking a supervisor while it runs: its task answers what it knows, and passes on what its workers are to answer.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::roster::WorkerSight;
use crate::{
    control::{Answer, Ask},
    status::WorkerStatus,
};

/// Requests that wait for a supervisor's task; it takes them at once.
const MAX_REQUESTS: usize = 64;

/// Asks a running supervisor. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct SupervisorHandle {
    requests: mpsc::Sender<Request>,
}

/// What a supervisor's task is asked.
#[derive(Debug)]
pub(super) enum Request {
    /// Asks every worker that has a process.
    AskAll { ask: Ask, reply: oneshot::Sender<Vec<Asked>> },
}

/// A worker, and its answer once it comes.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) sight: WorkerSight,
    pub(super) pid: Option<u32>,
    pub(super) answer: Option<oneshot::Receiver<Answer>>,
}

impl SupervisorHandle {
    pub(super) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, taken) = mpsc::channel(MAX_REQUESTS);
        (Self { requests }, taken)
    }

    /// Asks every worker at once, and waits so long for the answers. Nobody waits for one that does not answer: it has none.
    pub async fn ask_all(&self, ask: Ask, within: Duration) -> Vec<(WorkerStatus, Option<Answer>)> {
        let deadline = Instant::now() + within;
        let (reply, asked) = oneshot::channel();
        if self.requests.send(Request::AskAll { ask, reply }).await.is_err() {
            return Vec::new();
        }
        let mut answers = Vec::new();
        // They were all asked before: waiting for one costs the others nothing.
        for Asked { sight, pid, answer } in asked.await.unwrap_or_default() {
            let answer = match answer {
                Some(answer) => timeout_at(deadline, answer).await.ok().and_then(Result::ok),
                None => None,
            };
            let status = WorkerStatus {
                worker: u32::try_from(sight.slot).unwrap_or(u32::MAX),
                pid,
                state: sight.state,
                state_ms: u64::try_from(sight.since.as_millis()).unwrap_or(u64::MAX),
                restarts: sight.restarts,
                generation: 1,
                answers: answer.is_some(),
                rss_bytes: pid.and_then(resident_bytes),
            };
            answers.push((status, answer));
        }
        answers
    }
}

/// What a process has in memory.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
