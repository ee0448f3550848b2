//! The app of a node as its graph: what `check` says of its components and edges, with what they do.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use watertight_model::{app::App, report::Report};

use super::{ComponentStatus, ComponentsStatus, EdgeStatus};

/// The apps of a node: `GET /v1/apps`. A node has one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AppsStatus {
    /// The apps.
    pub apps: Vec<AppStatus>,
}

/// An app.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AppStatus {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// How many versions of it the node has had: 1 before the first reload.
    pub generation: u32,
    /// The names of its components, in the manifest's order.
    pub components: Vec<String>,
    /// Its routes, and the components that answer.
    pub routes: Vec<AppRoute>,
}

/// A route of an app.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AppRoute {
    /// An exact path, or a prefix ending in `/...`.
    pub route: String,
    /// The component that answers.
    pub component: String,
}

/// One component, and what the manifest says of it: `GET /v1/components/NAME`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ComponentDetail {
    /// What it does.
    pub status: ComponentStatus,
    /// What it may: grants and budgets, as `watertight check --format json` shows them.
    pub spec: Value,
    /// Who calls it.
    pub callers: Vec<String>,
    /// The upper bounds of the counts of latencies, in nanoseconds.
    pub latency_bounds_ns: Vec<u64>,
}

/// The edges of an app: `GET /v1/edges`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgesStatus {
    /// The edges.
    pub edges: Vec<EdgeDetail>,
    /// The upper bounds of the counts of latencies, in nanoseconds.
    pub latency_bounds_ns: Vec<u64>,
    /// The workers that did not answer.
    pub unanswered: Vec<u32>,
}

/// An edge, and what the manifest says of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgeDetail {
    /// The component that calls.
    pub from: String,
    /// What it does.
    pub status: EdgeStatus,
    /// What is done about calls that fail, as `watertight check --format json` shows it.
    pub spec: Value,
}

/// The app itself.
pub(crate) fn app(app: &App, generation: u32) -> AppStatus {
    let name = |id| app.component(id).name.clone();
    let route = |trigger: &watertight_model::app::HttpTrigger| AppRoute {
        route: trigger.route.clone(),
        component: name(trigger.component),
    };
    AppStatus {
        name: app.name.clone(),
        version: app.version.clone(),
        generation,
        components: app.components.iter().map(|component| component.name.clone()).collect(),
        routes: app.http.iter().map(route).collect(),
    }
}

/// One component of it, of which it is known that it is there.
pub(crate) fn component(app: &App, all: ComponentsStatus, name: &str) -> ComponentDetail {
    let callers: Vec<_> = all
        .components
        .iter()
        .filter(|component| component.edges.iter().any(|edge| edge.to == name))
        .map(|component| component.name.clone())
        .collect();
    let spec = Report::of(app).components.into_iter().find(|component| component.name == name);
    ComponentDetail {
        status: all.components.into_iter().find(|component| component.name == name).unwrap_or_default(),
        // What is plain data always has a text.
        spec: spec.and_then(|spec| serde_json::to_value(spec).ok()).unwrap_or_default(),
        callers,
        latency_bounds_ns: all.latency_bounds_ns,
    }
}

/// Its edges.
pub(crate) fn edges(app: &App, all: ComponentsStatus) -> EdgesStatus {
    let specs = Report::of(app).edges;
    let mut edges = Vec::new();
    for component in all.components {
        for status in component.edges {
            let is = |spec: &&watertight_model::report::EdgeReport| {
                spec.importer == component.name && spec.exporter == status.to && spec.import == status.import
            };
            let spec = specs.iter().find(is).and_then(|spec| serde_json::to_value(spec).ok()).unwrap_or_default();
            edges.push(EdgeDetail { from: component.name.clone(), status, spec });
        }
    }
    EdgesStatus { edges, latency_bounds_ns: all.latency_bounds_ns, unanswered: all.unanswered }
}
