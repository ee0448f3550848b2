//! Asking a supervisor while it runs: its task answers what it knows, and passes on what its workers are to answer.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::{process::WorkerProgram, roster::WorkerSight};
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
    /// Replaces every worker.
    Renew { program: WorkerProgram, reply: oneshot::Sender<Renewal> },
}

/// How the replacement of every worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// All of them are of the new program.
    Done {
        /// How many programs there have been, this one included.
        generation: u32,
    },
    /// One of the new program could not start; all are of the old one.
    RolledBack {
        /// Why it could not.
        why: String,
    },
    /// It was not done, and all are as they were, or end.
    Refused {
        /// Why.
        why: &'static str,
    },
}

/// A worker, and its answer once it comes.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) sight: WorkerSight,
    pub(super) pid: Option<u32>,
    pub(super) keeper: bool,
    pub(super) answer: Option<oneshot::Receiver<Answer>>,
}

impl SupervisorHandle {
    pub(super) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, taken) = mpsc::channel(MAX_REQUESTS);
        (Self { requests }, taken)
    }

    /// Replaces every worker by one of another program: one after the other, each serving before the one that it replaces drains.
    pub async fn renew(&self, program: WorkerProgram) -> Renewal {
        let (reply, end) = oneshot::channel();
        let stopped = Renewal::Refused { why: "the node is stopping" };
        match self.requests.send(Request::Renew { program, reply }).await {
            Ok(()) => end.await.unwrap_or(stopped),
            Err(_) => stopped,
        }
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
        for Asked { sight, pid, keeper, answer } in asked.await.unwrap_or_default() {
            let answer = match answer {
                Some(answer) => timeout_at(deadline, answer).await.ok().and_then(Result::ok),
                None => None,
            };
            let status = WorkerStatus {
                worker: u32::try_from(sight.who.slot).unwrap_or(u32::MAX),
                pid,
                state: sight.state,
                state_ms: u64::try_from(sight.since.as_millis()).unwrap_or(u64::MAX),
                restarts: sight.restarts,
                generation: sight.edition,
                answers: answer.is_some(),
                keeper,
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
