//! The app graph: components, the edges between them, and what starts a call tree.
//!
//! An [`App`] is immutable and already checked: every edge has an exporter whose functions have the importer's types, the
//! graph has no cycle, every route has a handler. Only [the checker](crate::check) makes one.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use crate::{
    budget::Budget,
    grant::Grants,
    supervision::{Residence, Supervision},
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
    /// A deadline shorter than the callee's own.
    pub deadline: Option<Duration>,
    /// The functions that cross, in the import's order.
    pub functions: Vec<Function>,
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
    /// What the caller sees when the callee fails.
    pub on_failure: OnFailure,
    /// The error type of a `result` that no failure can be turned into, so that `on_failure` is [`OnFailure::Trap`] although the
    /// function has an error to return.
    pub unmapped_error: Option<String>,
}

/// What a caller sees of a failed callee, decided at load from the function's result type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The function returns `result<_, string>`: the error is the failure's message.
    ErrorText,
    /// The function returns `result<_>` or `result`: the error has no payload.
    ErrorEmpty,
    /// There is no error to return: the caller traps too.
    Trap,
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
    /// An exact path, or a prefix ending in `/...`.
    pub route: String,
    /// The component that handles it.
    pub component: ComponentId,
    /// Which version of the handler interface it exports.
    pub handler: HttpHandler,
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

    /// The edge with this index.
    #[must_use]
    pub fn edge(&self, id: EdgeId) -> &Edge {
        &self.edges[id.0 as usize]
    }

    /// The edges that leave a component.
    pub fn edges_from(&self, importer: ComponentId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.importer == importer)
    }

    /// The edges that enter a component.
    pub fn edges_to(&self, exporter: ComponentId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.exporter == exporter)
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
