//! Events: the one schema of what happened, for every sink. They flow one way; nothing waits for a sink (invariant 13).
//!
//! An event names components, edges and functions by index; a sink that shows them to people has the [`App`](crate::app::App) at hand.

use std::time::Duration;

use crate::{
    app::{ComponentId, EdgeId, FunctionId},
    breaker::BreakerState,
    failure::FailureKind,
    fault::FaultKind,
    supervision::{Change, Subject},
    trace::{Sampling, Trace, TraceContext, TraceId},
    usage::CellUsage,
};

/// The cells and the deadline that belong to one root call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct TreeId(pub u64);

/// One running instance of a component, unique within its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct CellId(pub u64);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A call crossed a membrane and ended.
    Call(Call),
    /// A root call ended: a request, a command, an invocation from outside.
    Root(Root),
    /// A cell came to life.
    CellStarted {
        /// Which cell.
        cell: CellId,
        /// Of which component.
        component: ComponentId,
    },
    /// A cell is gone.
    CellEnded {
        /// Which cell.
        cell: CellId,
        /// Of which component.
        component: ComponentId,
        /// Why.
        end: CellEnd,
        /// The fault that was injected into the call that it failed in.
        #[serde(skip_serializing_if = "Option::is_none")]
        injected: Option<FaultKind>,
        /// What it used. What it held is gone with it, but for the peak of its memory.
        usage: CellUsage,
    },
    /// A cell failed and is thrown out: the one time that says why in words.
    Failure(Failure),
    /// What is known of a failed cell was written down.
    Postmortem(Postmortem),
    /// A cell goes on at lower priority, with the call it runs: a slice is spent.
    Demoted {
        /// Which cell.
        cell: CellId,
        /// Of which component.
        component: ComponentId,
        /// Whose slice: this component's, or that of the one the call tree began with.
        whose: ComponentId,
    },
    /// A component tried what the manifest does not grant.
    Denied {
        /// Who tried.
        component: ComponentId,
        /// What it tried, and the line that would allow it.
        denial: Denial,
    },
    /// A component wrote to stdout, stderr or its log.
    Log {
        /// Who wrote.
        component: ComponentId,
        /// Which stream.
        stream: LogStream,
        /// One line, without its line end; of its log one message, which may have several.
        line: String,
        /// What its log calls the part of it that wrote it.
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<String>,
        /// The span that it wrote it in, where somebody traces.
        #[serde(skip_serializing_if = "Option::is_none")]
        trace: Option<TraceContext>,
    },
    /// What a cell wrote to its log beyond its budget was dropped: told once, when the cell is gone.
    LogCut {
        /// Which cell.
        cell: CellId,
        /// Of which component.
        component: ComponentId,
        /// How much.
        bytes: u64,
    },
    /// A request was answered, or broken off: the access line.
    Request(Request),
    /// What this process saw of a trace that is kept.
    Trace(Box<Trace>),
    /// A worker process started, ended or was replaced.
    Worker {
        /// The worker's number, from 0.
        worker: u32,
        /// What happened to it.
        change: WorkerChange,
    },
    /// The app was to be replaced by a newer version of itself.
    Reload(ReloadEnd),
    /// Faults were set on the node that runs, or are over.
    Faults(FaultsChange),
    /// Who keeps the residents started, restarted, replaced or gave up on one.
    Supervised {
        /// Whom it concerns.
        of: Subject,
        /// What happened.
        change: Change,
    },
    /// The breaker of an edge opened, closed, or lets a call through to see.
    Breaker {
        /// Which edge.
        edge: EdgeId,
        /// What it is since.
        state: BreakerState,
    },
    /// Events were dropped because this sink was too slow.
    Dropped {
        /// How many since the last such event.
        count: u64,
    },
}

/// One crossing.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Call {
    /// The call tree.
    pub tree: TreeId,
    /// The edge that was crossed.
    pub edge: EdgeId,
    /// The function of that edge.
    pub function: FunctionId,
    /// From admission to answer.
    #[serde(rename = "duration_ns", serialize_with = "nanos")]
    pub duration: Duration,
    /// Bytes of the arguments' frame.
    pub bytes_in: u64,
    /// Bytes of the results' frame.
    pub bytes_out: u64,
    /// How it ended in the callee; if it was made more than once, the last time.
    pub outcome: Outcome,
    /// How many times it was made; 0 where it was turned away each time.
    pub attempts: u32,
    /// How the fallback fared, if it was called.
    pub fallback: Option<Outcome>,
    /// What the caller got of it.
    pub seen: Seen,
    /// The fault that was injected into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<FaultKind>,
}

/// What a caller got of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// What the callee returned.
    Results,
    /// What the fallback returned.
    Fallback,
    /// The value that the manifest sets.
    Value,
    /// The failure, as the function's error.
    Error,
    /// Nothing: it failed too.
    Trap,
}

/// One root call.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Root {
    /// Its call tree.
    pub tree: TreeId,
    /// The component that was entered.
    pub component: ComponentId,
    /// From admission to the last byte of the answer.
    #[serde(rename = "duration_ns", serialize_with = "nanos")]
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// The fault that was injected into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<FaultKind>,
}

/// Why a cell failed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    /// The call tree it served; none where it failed before it could serve any.
    pub tree: Option<TreeId>,
    /// The cell.
    pub cell: CellId,
    /// Of which component.
    pub component: ComponentId,
    /// What happened.
    pub kind: FailureKind,
    /// One line for people, and the next step where there is one.
    pub detail: String,
    /// The span that it failed in, where somebody traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
    /// Whether the cell was the root of its call tree: who started that call is told by its answer, too.
    pub root: bool,
    /// The fault that was injected into the call that it failed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<FaultKind>,
}

/// Where a postmortem lies.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Postmortem {
    /// The component that failed.
    pub component: ComponentId,
    /// What happened.
    pub kind: FailureKind,
    /// Its folder.
    pub folder: std::path::PathBuf,
    /// The source line that failed, where it is known: `src/lib.rs:41`.
    pub at: Option<String>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It returned.
    Ok,
    /// It failed.
    Failed(FailureKind),
    /// The caller was cut off before it ended.
    Cancelled,
}

/// Why a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellEnd {
    /// Its lifetime was over.
    Done,
    /// It failed and was thrown out.
    Ejected(FailureKind),
}

/// A use that was not granted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Denial {
    /// The key under `grants`: `http`, `tcp`, `dns`, `dirs`, …
    pub grant: &'static str,
    /// What was tried: `connect to 10.0.0.1:22`.
    pub attempt: String,
    /// What to write in the manifest to allow it: `grants.tcp = ["10.0.0.1:22"]`.
    pub remedy: String,
}

/// Where a guest wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogStream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// Its log (`wasi:logging`), at this level.
    Log(LogLevel),
}

/// How much a message of a log matters to who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Each step.
    Trace,
    /// For who looks for a mistake.
    Debug,
    /// What goes as it should.
    Info,
    /// What may become one.
    Warn,
    /// A mistake.
    Error,
    /// One that nothing goes on after.
    Critical,
}

impl LogStream {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log(_) => "log",
        }
    }
}

impl LogLevel {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// One HTTP exchange.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Request {
    /// The request's method.
    pub method: String,
    /// Path and query, as the client wrote them.
    pub path: String,
    /// The status that was sent; 0 where the connection broke before one was.
    pub status: u16,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: &'static str,
    /// The client's address.
    pub client: std::net::IpAddr,
    /// The route that matched, as an index into [`App::http`](crate::app::App::http).
    pub route: Option<u32>,
    /// Bytes of the request's body that were read.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were written.
    pub bytes_out: u64,
    /// From the request's head to the answer's last byte.
    #[serde(rename = "duration_ns", serialize_with = "nanos")]
    pub duration: Duration,
    /// The trace that it is part of, where somebody traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceId>,
}

/// What happened to a worker.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerChange {
    /// It serves.
    Started {
        /// Its process id.
        pid: u32,
    },
    /// It is gone.
    Ended {
        /// Its process id, if it came to have one.
        pid: Option<u32>,
        /// How: an exit code or a signal.
        how: String,
    },
}

/// What became of a reload.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum ReloadEnd {
    /// The new version serves.
    Done {
        /// How many there have been: 1 was before the first reload.
        generation: u32,
        /// The app's own version.
        version: String,
    },
    /// The old one serves on.
    Failed {
        /// Why, in one line.
        why: String,
    },
}

/// What became of the faults of a node that runs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum FaultsChange {
    /// Calls suffer these from now on, and no others.
    Set {
        /// The faults, one target each.
        rules: Vec<String>,
        /// Chooses which calls.
        seed: u64,
        /// After so long they end by themselves.
        #[serde(rename = "for_ms", serialize_with = "millis")]
        lasting: Duration,
    },
    /// Somebody took them away.
    Cleared,
    /// Their time was over.
    Over,
}

fn millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn nanos<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// Something that takes events. It must be quick and must not wait: a sink that cannot keep up drops and counts (invariant 13).
pub trait EventSink: Send + Sync + 'static {
    /// Takes one event.
    fn emit(&self, event: Event);

    /// Which traces it wants to be kept from the start, if it wants any. It is asked once, when an app is loaded: without an answer,
    /// nothing is traced.
    fn sampling(&self) -> Option<Sampling> {
        None
    }
}

/// A sink for nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl EventSink for NoSink {
    fn emit(&self, _: Event) {}
}
