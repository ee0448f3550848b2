//! Postmortems: what is known of a failed cell, as it is written to `report.json` and read again, also by other releases.
//!
//! Keys are only ever added; [`SCHEMA`] counts up when one changes its meaning. Whatever a guest had a say in (names, values, log lines)
//! is here as it was: who shows it makes it harmless.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    app::Component,
    budget::ByteSize,
    failure::{Blame, CallError, FailureKind},
    fault::FaultKind,
    usage::CellUsage,
};

/// The version of [`Report`] that this release writes.
pub const SCHEMA: u32 = 1;

/// Crossings that a report tells of.
pub const MAX_CROSSINGS: usize = 32;

/// Bytes that the arguments of one crossing may take in a report before they are cut.
pub const MAX_VALUE_BYTES: usize = 256;

/// Bytes of a cell's last log lines that a report keeps.
pub const MAX_LOG_BYTES: usize = 4096;

/// Everything about one failed cell, except its stack as text and its memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`] of the release that wrote it.
    pub schema: u32,
    /// Its name: `APP/COMPONENT/TIME-PID`, which is its folder too.
    pub id: String,
    /// When the cell failed: RFC 3339, UTC.
    pub time: String,
    /// The process it failed in.
    pub pid: u32,
    /// Who wrote this.
    pub watertight: String,
    /// The engine.
    pub wasmtime: String,
    /// The app.
    pub app: AppName,
    /// What happened.
    pub failure: Reason,
    /// What failed.
    pub component: Suspect,
    /// The call tree's number within its process, where the cell served one.
    pub tree: Option<u64>,
    /// The components that led to it, from the root of the call tree to the one that failed.
    pub path: Vec<String>,
    /// The stack, innermost first.
    pub stack: Vec<StackFrame>,
    /// Why there is no stack.
    pub no_stack: Option<String>,
    /// The last crossings of the call tree, in the order they began.
    pub crossings: Vec<Crossing>,
    /// Crossings that the call tree had before those.
    pub crossings_before: u64,
    /// What the cell used, beside its limits.
    pub limits: Vec<Limit>,
    /// What the cell wrote last, line by line.
    pub log: Vec<String>,
    /// Its memory.
    pub core: Core,
    /// Whether `redact` in the manifest left values out.
    pub redacted: bool,
}

/// Which app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppName {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
}

/// What happened, classified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The name of a [`FailureKind`].
    pub kind: String,
    /// Whose fault it is: `caller`, `callee`, `host`, `budget` or `wall`.
    pub blame: String,
    /// One line for people.
    pub detail: String,
    /// What to do about it, where that can be said.
    pub next: Option<String>,
    /// Whether the same call could succeed in a fresh cell.
    pub retry: bool,
    /// The fault that was injected into the call, by a drill or on the running node: `trap`, `oom`, `spin`, `delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injected: Option<String>,
}

/// The component that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Its name in the manifest.
    pub name: String,
    /// Its file, as the manifest names it.
    pub source: String,
    /// BLAKE3 of that file: what `b3sum` prints.
    pub blake3: String,
    /// Components composed into its cell.
    pub fused: Vec<Fused>,
    /// How long its cells live.
    pub lifetime: String,
    /// The cell's number within its process.
    pub cell: u64,
}

/// A component that was part of the failed cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fused {
    /// Its name in the manifest.
    pub name: String,
    /// BLAKE3 of its file.
    pub blake3: String,
}

/// One frame of the stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackFrame {
    /// The core module it is in, where that has a name.
    pub module: Option<String>,
    /// The function's index in that module.
    pub index: u32,
    /// The function's name, demangled.
    pub function: Option<String>,
    /// Where it was: bytes from the start of the component.
    pub offset: Option<u64>,
    /// The same in the source, innermost first, where the component has debug information: more than one where functions were inlined.
    pub lines: Vec<SourceLine>,
}

/// A place in a source file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// The function, demangled.
    pub function: Option<String>,
    /// The file, as the compiler knew it.
    pub file: Option<String>,
    /// From 1.
    pub line: Option<u32>,
    /// From 1.
    pub column: Option<u32>,
}

/// One call from component to component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    /// How many of the crossings before it it was part of.
    pub depth: u32,
    /// The caller.
    pub from: String,
    /// The callee.
    pub to: String,
    /// The interface.
    pub import: String,
    /// The function.
    pub function: String,
    /// The arguments in WAVE, cut; `None` where `redact` leaves them out.
    pub arguments: Option<String>,
    /// From its begin to its end, or to the failure.
    pub duration_ns: u64,
    /// Bytes of the arguments.
    pub bytes_in: u64,
    /// Bytes of the results.
    pub bytes_out: u64,
    /// `ok`, `failed`, `cancelled`, or `running` when the cell failed.
    pub outcome: String,
    /// How it failed.
    pub failure: Option<String>,
}

/// One limit of the manifest, and what the cell used of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The last part of its key: `memory`.
    pub name: String,
    /// Where it stands in the manifest: `component.thumbnail.budget.memory`.
    pub key: String,
    /// What was used.
    pub used: u64,
    /// What there was.
    pub limit: u64,
    /// Of what.
    pub unit: Unit,
}

/// What a [`Limit`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Microseconds.
    Micros,
    /// Things.
    Count,
}

/// The cell's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Core {
    /// It lies beside the report.
    Kept {
        /// `core.wasm`.
        file: String,
        /// Its size.
        bytes: u64,
    },
    /// It does not.
    LeftOut {
        /// Why.
        why: String,
    },
}

/// What a cell and its component used when the cell failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// The cell.
    pub cell: CellUsage,
    /// Time it ran in this call tree.
    pub cpu: std::time::Duration,
    /// Time since the call of the cell began.
    pub on_the_clock: std::time::Duration,
    /// Calls of the component that ran in the process.
    pub running: u32,
    /// Calls that waited for it.
    pub waiting: u32,
}

impl Reason {
    /// Of a failure of this component, into whose call a fault may have been injected.
    #[must_use]
    pub fn new(error: &CallError, component: &Component, injected: Option<FaultKind>) -> Self {
        let blame = match error.kind.blame() {
            Blame::Caller => "caller",
            Blame::Callee => "callee",
            Blame::Host => "host",
            Blame::Budget => "budget",
            Blame::Wall => "wall",
        };
        Self {
            kind: error.kind.name().to_owned(),
            blame: blame.to_owned(),
            detail: error.detail.clone(),
            // A fault that was injected says nothing of the limits.
            next: if injected.is_some() { None } else { next_step(error.kind, component) },
            injected: injected.map(|fault| fault.name().to_owned()),
            retry: error.kind.retry(),
        }
    }
}

impl Limit {
    /// The limits of a component, with what was used of each.
    #[must_use]
    pub fn all(component: &Component, used: &Use) -> Vec<Self> {
        let (budget, cell) = (&component.budget, &used.cell);
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let rows = [
            ("memory", cell.memory_peak_bytes, budget.memory.0, Unit::Bytes),
            ("cpu", micros(used.cpu), micros(budget.cpu), Unit::Micros),
            ("deadline", micros(used.on_the_clock), micros(budget.deadline), Unit::Micros),
            ("log", cell.log_bytes, budget.log.0, Unit::Bytes),
            ("files", cell.files.into(), budget.files.into(), Unit::Count),
            ("sockets", cell.sockets.into(), budget.sockets.into(), Unit::Count),
            ("concurrency", used.running.into(), budget.concurrency.into(), Unit::Count),
            ("queue", used.waiting.into(), budget.queue.into(), Unit::Count),
        ];
        let limit = |(name, used, limit, unit): (&str, u64, u64, Unit)| Self {
            name: name.to_owned(),
            key: format!("component.{}.budget.{name}", component.name),
            used,
            limit,
            unit,
        };
        rows.into_iter().map(limit).collect()
    }
}

impl SourceLine {
    /// Whether it is in the language's own library, and so seldom the place to look at.
    #[must_use]
    pub fn is_of_library(&self) -> bool {
        const PARTS: [&str; 5] = ["/rustc/", "/library/std/", "/library/core/", "/library/alloc/", "/wasi-libc/"];
        self.file
            .as_deref()
            .is_none_or(|file| PARTS.iter().any(|part| file.contains(part)) || file.starts_with("library/"))
    }
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file.as_deref().unwrap_or("?"))?;
        for part in [self.line, self.column].into_iter().map_while(|part| part) {
            write!(f, ":{part}")?;
        }
        Ok(())
    }
}

impl Report {
    /// The source line to look at first: the innermost one that is not the language's own.
    #[must_use]
    pub fn at(&self) -> Option<&SourceLine> {
        let lines = || self.stack.iter().flat_map(|frame| &frame.lines).filter(|line| line.file.is_some());
        lines().find(|line| !line.is_of_library()).or_else(|| lines().next())
    }
}

/// What to do about a failure of this component, where that can be said.
fn next_step(kind: FailureKind, component: &Component) -> Option<String> {
    let (name, budget) = (&component.name, &component.budget);
    let more = |key: &str, value: String| Some(format!("component.{name}.budget.{key} = \"{value}\""));
    match kind {
        FailureKind::Memory => more("memory", ByteSize(budget.memory.0.saturating_mul(2)).to_string()),
        FailureKind::Cpu => more("cpu", format!("{}ms", budget.cpu.as_millis().saturating_mul(2))),
        FailureKind::Deadline => more("deadline", format!("{}ms", budget.deadline.as_millis().saturating_mul(2)))
            .map(|line| format!("{line}, or a later deadline for its caller")),
        FailureKind::StackOverflow => {
            Some("look for a recursion that does not end: the stack of a guest is 512KiB".to_owned())
        }
        FailureKind::BadValue => {
            Some("it broke the canonical ABI: build it anew with current bindings, and suspect its memory".to_owned())
        }
        FailureKind::Exit => Some("a component that others call has to return: look for a call of exit".to_owned()),
        FailureKind::HostPanic => Some("this is a bug of watertight: please report it with this folder".to_owned()),
        FailureKind::Trap
        | FailureKind::DeadHandle
        | FailureKind::NoCapacity
        | FailureKind::QueueFull
        | FailureKind::Host
        | FailureKind::WallLost
        | FailureKind::BreakerOpen
        | FailureKind::Shed
        | FailureKind::Down
        | FailureKind::Injected => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_look_at_is_not_the_librarys() {
        let line =
            |file: &str, line| SourceLine { file: Some(file.to_owned()), line: Some(line), ..SourceLine::default() };
        for (files, first) in [
            (&["/rustc/abc/library/core/src/panicking.rs", "src/lib.rs"][..], Some("src/lib.rs:7")),
            (&["library/std/src/sys.rs"], Some("library/std/src/sys.rs:7")),
            (&[], None),
        ] {
            let lines: Vec<_> = files.iter().map(|file| line(file, 7)).collect();
            let at = lines.iter().find(|line| !line.is_of_library()).or_else(|| lines.first());
            assert_eq!(at.map(ToString::to_string).as_deref(), first);
        }
    }
}
