//! Postmortems: what is taken down when a cell fails, and what is made of it.
//!
//! ```text
//!   the call's thread                          a thread of the morgue
//!   fail ──▶ admits? ──▶ Remains ── take ──▶   examine ──▶ Report, stack, core dump
//!            its turn    bytes and numbers                 names, lines, values as text
//! ```
//!
//! What fails by the thousand fails as fast as ever: until its turn a failure costs one question. [`crossings`] is all that calls
//! pay that do not fail.

mod core;
mod crossings;
mod stack;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use wasmtime::Store;
use watertight_model::{
    app::{App, Component, ComponentId, EdgeId, FunctionId, Sources},
    event::{CellId, Outcome, TreeId},
    failure::{CallError, FailureKind},
    fault::FaultKind,
    postmortem::{
        AppName, Core, Crossing as Told, Fused, Limit, MAX_LOG_BYTES, MAX_VALUE_BYTES, Reason, Report, SCHEMA,
        StackFrame, Suspect, Use,
    },
};

pub(crate) use self::crossings::{Begin, Crossings};
use self::crossings::{History, Kept};
use crate::{clock::Moment, host::CellData, membrane::FunctionTypes};

/// Who keeps postmortems.
pub trait Morgue: Send + Sync + 'static {
    /// Whether it takes a postmortem of this component now. A `true` uses up the turn. It is asked at every failure, and must be quick.
    fn admits(&self, component: ComponentId, kind: FailureKind) -> bool;

    /// Takes what is left of a cell. It must not wait; [`Remains::examine`] is for a thread of its own.
    fn take(&self, remains: Remains);
}

/// What is left of a failed cell.
pub struct Remains {
    archive: Arc<Archive>,
    component: ComponentId,
    cell: CellId,
    call: Option<CallTree>,
    error: CallError,
    at: SystemTime,
    now: Moment,
    stack: Vec<StackFrame>,
    history: History,
    used: Use,
    log: Vec<u8>,
    core: Result<Vec<u8>, String>,
    injected: Option<FaultKind>,
}

/// The call tree that a failed cell served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTree {
    pub(crate) id: TreeId,
    pub(crate) root: ComponentId,
    pub(crate) began: Moment,
}

/// A postmortem, ready to be written.
#[derive(Debug)]
pub struct Postmortem {
    /// Everything but the next two. Its `id` is for whoever keeps it to give.
    pub report: Report,
    /// The stack as text.
    pub backtrace: String,
    /// The core dump.
    pub core: Option<Vec<u8>>,
}

/// What an app's postmortems need to know of it.
pub(crate) struct Archive {
    pub(crate) morgue: Arc<dyn Morgue>,
    app: Arc<App>,
    /// The components as they were compiled.
    bytes: Arc<BTreeMap<ComponentId, Arc<[u8]>>>,
    hashes: Arc<Hashes>,
    types: Arc<Types>,
}

/// The types of the functions that cross.
pub(crate) type Types = HashMap<(EdgeId, FunctionId), FunctionTypes>;

/// BLAKE3 of each component's file.
pub(crate) type Hashes = BTreeMap<ComponentId, String>;

/// Digests of components as they were assembled are theirs where nothing had to be done to the files.
pub(crate) fn hashes(sources: &Sources, assembled: &BTreeMap<ComponentId, (Arc<[u8]>, blake3::Hash)>) -> Arc<Hashes> {
    let hash = |id: &ComponentId, bytes: &Arc<[u8]>| match assembled.get(id) {
        Some((same, digest)) if Arc::ptr_eq(same, bytes) => *digest,
        _ => blake3::hash(bytes),
    };
    Arc::new(sources.iter().map(|(id, bytes)| (*id, hash(id, bytes).to_hex().to_string())).collect())
}

/// A failed cell, as far as it can be looked at.
pub(crate) struct Body<'a, T: 'static> {
    pub(crate) error: &'a wasmtime::Error,
    pub(crate) classified: &'a CallError,
    pub(crate) store: &'a mut Store<T>,
    pub(crate) call: Option<CallTree>,
    pub(crate) crossings: Option<&'a Crossings>,
    /// Calls that run, and wait.
    pub(crate) load: (u32, u32),
    pub(crate) cpu: Duration,
    /// The fault that was injected into the call that it failed in.
    pub(crate) injected: Option<FaultKind>,
}

impl Archive {
    pub(crate) fn new(
        morgue: Arc<dyn Morgue>,
        app: Arc<App>,
        bytes: Arc<BTreeMap<ComponentId, Arc<[u8]>>>,
        hashes: Arc<Hashes>,
        types: Arc<Types>,
    ) -> Arc<Self> {
        Arc::new(Self { morgue, app, bytes, hashes, types })
    }

    /// Takes down what is left of a failed cell, if it is its turn.
    pub(crate) fn receive<T: CellData>(self: &Arc<Self>, body: Body<'_, T>) {
        let core = body.store.data().core();
        let (component, cell) = (core.component(), core.id());
        if !self.morgue.admits(component, body.classified.kind) {
            return;
        }
        let now = Moment::now();
        let history = body.crossings.map(Crossings::history).unwrap_or_default();
        let began =
            history.crossings.iter().rev().find(|crossing| crossing.to == 0 && self.leads_to(crossing.edge, component));
        let began = began.map(|crossing| crossing.began).or(body.call.map(|call| call.began));
        let used = Use {
            cell: core.account().usage(),
            cpu: body.cpu,
            on_the_clock: began.map_or(Duration::ZERO, |began| now.since(began)),
            running: body.load.0,
            waiting: body.load.1,
        };
        let spec = self.app.component(component);
        let log = if spec.redact { Vec::new() } else { body.store.data().log_tail() };
        let core = if self.app.redacts_memory(component) {
            Err("`redact` in the manifest keeps it out".to_owned())
        } else {
            core::dump(body.error, body.store, &spec.name)
        };
        self.morgue.take(Remains {
            component,
            cell,
            call: body.call,
            error: body.classified.clone(),
            at: SystemTime::now(),
            now,
            stack: stack::frames(body.error),
            history,
            used,
            log,
            core,
            injected: body.injected,
            archive: Arc::clone(self),
        });
    }

    fn leads_to(&self, edge: EdgeId, component: ComponentId) -> bool {
        self.app.edge(edge).callees().contains(&component)
    }

    fn leads_from(&self, edge: EdgeId) -> ComponentId {
        self.app.edge(edge).importer
    }

    fn hash(&self, id: ComponentId) -> String {
        self.hashes.get(&id).cloned().unwrap_or_default()
    }
}

impl Remains {
    /// The component.
    #[must_use]
    pub fn component(&self) -> ComponentId {
        self.component
    }

    /// How it failed.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.error.kind
    }

    /// When it failed.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// Finds out what it all means: names, source lines, values as text. It takes milliseconds, for a large component many.
    #[must_use]
    pub fn examine(mut self) -> Postmortem {
        let archive = Arc::clone(&self.archive);
        let spec = archive.app.component(self.component);
        stack::explain(&mut self.stack, archive.bytes.get(&self.component).map_or(&[], |bytes| bytes));
        let (core, kept) = match std::mem::replace(&mut self.core, Err(String::new())) {
            Ok(bytes) => (Core::Kept { file: CORE_FILE.to_owned(), bytes: bytes.len() as u64 }, Some(bytes)),
            Err(why) => (Core::LeftOut { why }, None),
        };
        let report = self.report(&archive, spec, core);
        let backtrace = match &report.no_stack {
            Some(why) => format!("{}: {}\n{why}\n", spec.name, report.failure.detail),
            None => format!("{}: {}\n{}", spec.name, report.failure.detail, stack::text(&report.stack)),
        };
        Postmortem { report, backtrace, core: kept }
    }

    fn report(&self, archive: &Archive, spec: &Component, core: Core) -> Report {
        let no_stack =
            self.stack.is_empty().then(|| "no stack: the cell was not in its own code when it failed".to_owned());
        Report {
            schema: SCHEMA,
            id: String::new(),
            time: String::new(),
            pid: std::process::id(),
            watertight: env!("CARGO_PKG_VERSION").to_owned(),
            wasmtime: WASMTIME.to_owned(),
            app: AppName { name: archive.app.name.clone(), version: archive.app.version.clone() },
            failure: Reason::new(&self.error, spec, self.injected),
            component: Suspect {
                name: spec.name.clone(),
                source: spec.source.to_string_lossy().into_owned(),
                blake3: archive.hash(spec.id),
                fused: spec.fused.iter().map(|id| archive.fused(*id)).collect(),
                lifetime: spec.lifetime.to_string(),
                cell: self.cell.0,
            },
            tree: self.call.map(|call| call.id.0),
            path: self.path(archive),
            stack: self.stack.clone(),
            no_stack,
            crossings: self.crossings(archive),
            crossings_before: self.history.before,
            limits: Limit::all(spec, &self.used),
            log: last_lines(&self.log),
            core,
            redacted: archive.app.redacts_memory(spec.id)
                || self.history.crossings.iter().any(|crossing| crossing.redacted),
        }
    }

    /// From the root of the call tree to the component that failed.
    fn path(&self, archive: &Archive) -> Vec<String> {
        let name = |id| archive.app.component(id).name.clone();
        let (from, to) = (|edge| archive.leads_from(edge), |edge, id: &ComponentId| archive.leads_to(edge, *id));
        let path = self.history.path_to(self.component, from, to);
        let mut names: Vec<String> = path.iter().map(|crossing| name(archive.leads_from(crossing.edge))).collect();
        if let Some(call) = self.call
            && names.is_empty()
            && call.root != self.component
        {
            names.push(name(call.root));
        }
        names.push(name(self.component));
        names
    }

    fn crossings(&self, archive: &Archive) -> Vec<Told> {
        let (from, to) = (|edge| archive.leads_from(edge), |edge, id: &ComponentId| archive.leads_to(edge, *id));
        let depths = self.history.depths(from, to);
        self.history.crossings.iter().zip(depths).map(|(kept, depth)| self.told(archive, kept, depth)).collect()
    }

    fn told(&self, archive: &Archive, kept: &Kept, depth: u32) -> Told {
        let edge = archive.app.edge(kept.edge);
        let function = edge.functions.get(kept.function.0 as usize);
        let types = archive.types.get(&(kept.edge, kept.function));
        let running = kept.to == 0;
        let (outcome, failure) = match kept.outcome {
            _ if running => ("running", None),
            Outcome::Ok => ("ok", None),
            Outcome::Failed(kind) => ("failed", Some(kind.name().to_owned())),
            Outcome::Cancelled => ("cancelled", None),
        };
        let took = if running { self.now.since(kept.began) } else { kept.took };
        let whole = usize::try_from(kept.bytes_in).unwrap_or(usize::MAX);
        let arguments = types.map(|types| types.parameters_text(&kept.arguments, whole, MAX_VALUE_BYTES));
        Told {
            depth,
            from: archive.app.component(edge.importer).name.clone(),
            to: archive.app.component(edge.exporter).name.clone(),
            import: edge.import.clone(),
            function: function.map_or_else(|| "?".to_owned(), |function| function.name.clone()),
            arguments: arguments.filter(|_| !kept.redacted),
            duration_ns: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            bytes_in: kept.bytes_in,
            bytes_out: if running { 0 } else { kept.bytes_out },
            outcome: outcome.to_owned(),
            failure,
        }
    }
}

impl Archive {
    fn fused(&self, id: ComponentId) -> Fused {
        Fused { name: self.app.component(id).name.clone(), blake3: self.hash(id) }
    }
}

/// The name of a core dump beside its report.
pub const CORE_FILE: &str = "core.wasm";

/// The engine's release, which the workspace pins.
const WASMTIME: &str = "48.0.8";

/// Lines of a log that a report keeps.
const MAX_LOG_LINES: usize = 50;

/// The last lines of what a cell wrote.
fn last_lines(log: &[u8]) -> Vec<String> {
    let tail = &log[log.len().saturating_sub(MAX_LOG_BYTES)..];
    let text = String::from_utf8_lossy(tail);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(MAX_LOG_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

impl fmt::Debug for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remains")
            .field("component", &self.component)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("app", &self.app.name).finish_non_exhaustive()
    }
}
