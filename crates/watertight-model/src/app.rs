//! The app graph: components, the edges between them, and what starts a call tree.
//!
//! An [`App`] is immutable and already checked: every edge has an exporter whose functions have the importer's types, the
//! graph has no cycle, every route has a handler. Only [the checker](crate::check) makes one.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use crate::{
    breaker::BreakerSpec,
    budget::Budget,
    grant::Grants,
    manifest::nearest,
    script::Script,
    supervision::{Backoff, Chance, Residence, Supervision},
    value::Value,
    version::ExternName,
};

/// A component of one app, as an index into [`App::components`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ComponentId(pub u32);

/// An edge of one app, as an index into [`App::edges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct EdgeId(pub u32);

/// A function of one edge, as an index into [`Edge::functions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct FunctionId(pub u32);

/// A checked app.
#[derive(Clone, Debug)]
pub struct App {
    /// The app's name, for logs and cache folders.
    pub name: String,
    /// The app's own version, as the manifest gives it.
    pub version: String,
    /// Every component, in the manifest's order.
    pub components: Vec<Component>,
    /// Every edge. Edges into a fused component are not here: they vanish when it is composed into its importers.
    pub edges: Vec<Edge>,
    /// Which route starts which component.
    pub http: Vec<HttpTrigger>,
    /// Who restarts its residents, and when that ends.
    pub supervision: Supervision,
}

/// One component of an app.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its index.
    pub id: ComponentId,
    /// Its name in the manifest.
    pub name: String,
    /// Where its bytes come from, relative to the manifest.
    pub source: PathBuf,
    /// How strong its isolation is.
    pub wall: Wall,
    /// How long a cell of it lives.
    pub lifetime: Lifetime,
    /// What it may reach.
    pub grants: Grants,
    /// What it may spend.
    pub budget: Budget,
    /// How its residents are kept, where it has any.
    pub residence: Residence,
    /// Components composed into this one's cells, innermost first: its fused dependencies.
    pub fused: Vec<ComponentId>,
    /// How those are wired to each other and to this one.
    pub fused_edges: Vec<FusedEdge>,
    /// Whether it, or anything fused into it, uses component-model async: the async engine then runs it. It is decided from the
    /// component's types and canonical functions; the runtime checks again.
    pub asynchronous: bool,
    /// What its bytes hold.
    pub kind: SourceKind,
    /// The script that its bytes, a language runtime, run.
    pub script: Option<Script>,
    /// What it is given and holds, or anything fused into it, is for no eyes: not for those of a postmortem either.
    pub redact: bool,
}

/// What the bytes of a source hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A component.
    #[default]
    Component,
    /// A core module of WASI preview 1 with a `_start`: the runtime adapts it into a component that exports `wasi:cli/run`.
    CommandModule,
}

/// One import met inside a cell, by a component composed into it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FusedEdge {
    /// Whose import it is: the cell's own component, or another that is fused into it.
    pub importer: ComponentId,
    /// The fused component that meets it.
    pub exporter: ComponentId,
    /// The import's full name in the importer.
    pub import: String,
    /// The export's full name in the exporter.
    pub export: String,
}

/// One import (an interface, or a bare function) of one component, met by the export of another.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Its index.
    pub id: EdgeId,
    /// The caller.
    pub importer: ComponentId,
    /// The callee.
    pub exporter: ComponentId,
    /// The import's full name in the importer, with its version: `press:image/thumbnail@0.1.0`.
    pub import: String,
    /// The export's full name in the exporter; its version may be a newer compatible one.
    pub export: String,
    /// Whether the import is an interface or a bare function.
    pub shape: EdgeShape,
    /// Whether the importer is told of it and calls it by name, instead of importing it by its type: [`crate::modules`].
    pub by_name: bool,
    /// A deadline shorter than the callee's own.
    pub deadline: Option<Duration>,
    /// When no more calls are made for a while.
    pub breaker: Option<BreakerSpec>,
    /// How many calls there may be at once.
    pub limit: Option<Limit>,
    /// The functions that cross, in the import's order.
    pub functions: Vec<Function>,
}

/// How many calls may be made at once, in each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Limit {
    /// Calls that run.
    pub concurrency: u32,
    /// Calls that wait for one of those to end.
    pub queue: u32,
}

/// Whether an edge carries an interface or one function of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeShape {
    /// An instance of an interface.
    Interface,
    /// A function imported by the world itself.
    Function,
}

/// One function of an edge.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name in the component's type: `render`, `[method]counter.incr`.
    pub name: String,
    /// Its WIT signature, for people.
    pub signature: String,
    /// The names of its parameters.
    pub parameters: Vec<String>,
    /// A deadline shorter than the callee's own: this function's, or the edge's.
    pub deadline: Option<Duration>,
    /// Whether a failed call is made again.
    pub retry: Option<Retry>,
    /// Who is called instead when that has failed too.
    pub fallback: Option<Fallback>,
    /// What the caller sees in the end.
    pub on_failure: OnFailure,
    /// Whether the manifest says so; else it follows from the function's type.
    pub said: bool,
    /// The error type of a `result` that no failure can be turned into, so that `on_failure` is [`OnFailure::Trap`] although the
    /// function has an error to return.
    pub unmapped_error: Option<String>,
}

/// Calls that are made again, each in a fresh cell with the same arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Retry {
    /// How many times more at most.
    pub attempts: u32,
    /// How long to wait before the first of them; before each further one twice as long. Chance takes up to a half off.
    #[serde(rename = "backoff_ms", serialize_with = "crate::budget::millis")]
    pub backoff: Duration,
}

impl Retry {
    /// The longest wait between two attempts.
    const MOST: Duration = Duration::from_secs(60);

    /// How long to wait after so many attempts that failed, the first call included.
    #[must_use]
    pub fn wait(self, failed: u32, chance: Chance) -> Duration {
        let backoff = Backoff { first: self.backoff, most: Self::MOST.max(self.backoff) };
        backoff.after(failed.saturating_sub(1) as usize, chance)
    }
}

/// Another component that has the same function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Which one.
    pub component: ComponentId,
    /// The full name of its export that holds the function.
    pub export: String,
}

/// What a caller sees of a failed callee in the end. The manifest says it, or the function's result type.
#[derive(Clone, Debug, PartialEq)]
pub enum OnFailure {
    /// The function returns `result<_, string>`: the error is the failure's message.
    ErrorText,
    /// The function returns `result<_>` or `result`: the error has no payload.
    ErrorEmpty,
    /// The function returns what the manifest sets.
    Return(Returned),
    /// The caller, which calls by name, gets the failure beside all that the function can return: an exception of its language.
    Exception,
    /// The caller traps too.
    Trap,
}

/// What a manifest sets for a function to return.
#[derive(Clone, Debug, PartialEq)]
pub struct Returned {
    /// As the manifest writes it.
    pub wave: String,
    /// The value; none for a function that returns nothing.
    pub value: Option<Value>,
}

/// How strong the isolation of a component is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wall {
    /// Composed into its importer's store: no isolation.
    Fused,
    /// A store of its own.
    #[default]
    Cell,
}

/// How long a cell lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetime {
    /// A fresh cell for every call.
    Call,
    /// One cell for a call tree.
    #[default]
    Request,
    /// Cells that are there from the app's start, until they fail.
    Resident,
}

/// A route that starts a component.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HttpTrigger {
    /// A path, in which `[id]` stands for any one part, or a prefix ending in `/...`.
    pub route: String,
    /// The component that handles it.
    pub component: ComponentId,
    /// What of it answers.
    pub answer: Answer,
    /// How many of its requests there may be at once, besides what the component allows.
    pub limit: Option<Limit>,
}

/// What of a component answers the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Answer {
    /// Its HTTP handler, of this version.
    Handler(HttpHandler),
    /// Functions that it exports: each request calls one.
    Functions(Vec<PublicInterface>),
}

/// An export of a component whose functions a route calls: an interface, or one function of the world.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PublicInterface {
    /// The export's full name, with its version.
    pub export: String,
    /// Whether it is an interface or a bare function.
    pub shape: EdgeShape,
    /// What can be called, in the interface's order.
    pub functions: Vec<PublicFunction>,
}

/// A function that a route calls.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PublicFunction {
    /// Its name.
    pub name: String,
    /// Its WIT signature, for people.
    pub signature: String,
    /// The names of its parameters.
    pub parameters: Vec<String>,
}

/// Which HTTP handler interface a component exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum HttpHandler {
    /// `wasi:http/incoming-handler` of WASI 0.2.
    #[serde(rename = "wasi:http/incoming-handler@0.2")]
    P2,
    /// `wasi:http/handler` of WASI 0.3.
    #[serde(rename = "wasi:http/handler@0.3")]
    P3,
}

impl App {
    /// The component with this index.
    #[must_use]
    pub fn component(&self, id: ComponentId) -> &Component {
        &self.components[id.0 as usize]
    }

    /// The component with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }

    /// The component whose name is nearest to a wrong one.
    #[must_use]
    pub fn nearest(&self, wrong: &str) -> Option<&str> {
        nearest(wrong, self.components.iter().map(|component| component.name.as_str()))
    }

    /// The edge with this index.
    #[must_use]
    pub fn edge(&self, id: EdgeId) -> &Edge {
        &self.edges[id.0 as usize]
    }

    /// Whether the values that cross an edge are not to be written down.
    #[must_use]
    pub fn redacts(&self, edge: &Edge) -> bool {
        edge.parties().any(|party| self.component(party).redact)
    }

    /// Whether the memory of a component's cells is not to be written down: a neighbour has there what it gave and was given.
    #[must_use]
    pub fn redacts_memory(&self, id: ComponentId) -> bool {
        let mut touching = self.edges.iter().filter(|edge| edge.parties().any(|party| party == id));
        self.component(id).redact || touching.any(|edge| self.redacts(edge))
    }

    /// The edges that leave a component.
    pub fn edges_from(&self, importer: ComponentId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.importer == importer)
    }

    /// The edges over which a component is called, as a fallback too.
    pub fn edges_to(&self, callee: ComponentId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.callees().contains(&callee))
    }
}

impl HttpTrigger {
    /// The handler that answers, if one does.
    #[must_use]
    pub const fn handler(&self) -> Option<HttpHandler> {
        match &self.answer {
            Answer::Handler(handler) => Some(*handler),
            Answer::Functions(_) => None,
        }
    }

    /// The functions that it calls, if it does.
    #[must_use]
    pub fn functions(&self) -> &[PublicInterface] {
        match &self.answer {
            Answer::Handler(_) => &[],
            Answer::Functions(interfaces) => interfaces,
        }
    }

    /// What it calls, each with the paths below its prefix that mean it: the whole name, and the one without a version where only one fits.
    #[must_use]
    pub fn calls(&self) -> Vec<(Vec<String>, &PublicInterface, &PublicFunction)> {
        let interfaces = self.functions();
        let mut calls = Vec::new();
        for interface in interfaces {
            let base = ExternName::parse(&interface.export).base;
            let alone = interfaces.iter().filter(|other| ExternName::parse(&other.export).base == base).count() == 1;
            let mut names = vec![interface.export.as_str()];
            if alone && base != interface.export {
                names.push(base);
            }
            for function in &interface.functions {
                let path = |name: &&str| match interface.shape {
                    EdgeShape::Interface => format!("{name}/{}", function.name),
                    EdgeShape::Function => (*name).to_owned(),
                };
                calls.push((names.iter().map(path).collect(), interface, function));
            }
        }
        calls
    }
}

impl Edge {
    /// Who is called over it: the exporter, then the fallbacks, each once.
    #[must_use]
    pub fn callees(&self) -> Vec<ComponentId> {
        let mut callees = vec![self.exporter];
        for fallback in self.functions.iter().filter_map(|function| function.fallback.as_ref()) {
            if !callees.contains(&fallback.component) {
                callees.push(fallback.component);
            }
        }
        callees
    }
}

impl Edge {
    /// Everyone who sees what crosses.
    pub fn parties(&self) -> impl Iterator<Item = ComponentId> {
        self.callees().into_iter().chain([self.importer])
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fused => "fused",
            Self::Cell => "cell",
        })
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "call",
            Self::Request => "request",
            Self::Resident => "resident",
        })
    }
}

/// The bytes of every component of an app, by id.
pub type Sources = BTreeMap<ComponentId, std::sync::Arc<[u8]>>;
