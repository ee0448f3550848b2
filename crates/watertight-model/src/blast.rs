//! The blast radius: if a component fails, who fails with it, who is told, and what it could have reached.
//!
//! This is the worst case that the types and the manifest allow, not a forecast: a caller counts as falling if it imports one function whose
//! failure it cannot be told of, whether it calls that function or not. The whole graph is looked at; nothing is run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    app::{App, Component, ComponentId, Edge, Function, OnFailure, Wall},
    grant::Grants,
};

/// The blast radius of every component of an app, in the app's order.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Blast {
    /// One for each component.
    pub radii: Vec<Radius>,
}

/// What the failure of one component does, and what it could do itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Radius {
    /// The component that fails.
    pub component: String,
    /// Who fails with it, nearest first: callers that a function of theirs gives no error to return, and what shares its store.
    pub falls: Vec<Fall>,
    /// Who gets its failure, or that of a component that falls with it, as an error to deal with, or something else in place of an answer; and
    /// does not fall.
    pub told: Vec<Told>,
    /// Everybody else.
    pub untouched: Vec<String>,
    /// What becomes of each route.
    pub routes: Vec<RouteFate>,
    /// What it may reach itself.
    pub reach: Reach,
    /// What it may reach by asking others, nearest first.
    pub through: Vec<Through>,
}

/// A component that fails with another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fall {
    /// Who falls.
    pub component: String,
    /// The component whose failure takes it down: the one that failed first, or one that fell before.
    pub with: String,
    /// The functions whose failure it cannot be told of; none where the two share a store.
    pub functions: Vec<FunctionName>,
}

/// A component that gets an error.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Told {
    /// Who is told.
    pub component: String,
    /// Of whose failure.
    pub of: String,
    /// The functions that return the error.
    pub functions: Vec<FunctionName>,
}

/// A function of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct FunctionName {
    /// The import it belongs to; for a bare function, its own name.
    pub import: String,
    /// Its name.
    pub function: String,
}

/// What becomes of a route.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RouteFate {
    /// The route.
    pub route: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a route when a component fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Its request fails.
    Lost,
    /// It is answered, by a component that got an error, or that uses one that did.
    Degraded,
    /// It does not notice.
    Untouched,
}

/// What grants allow, as a manifest writes them. Arguments and the values of the environment are not listed: they may be secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reach {
    /// Names of environment variables.
    pub env: Vec<String>,
    /// Origins.
    pub http: Vec<String>,
    /// Addresses of TCP.
    pub tcp: Vec<String>,
    /// Addresses of UDP.
    pub udp: Vec<String>,
    /// Host names.
    pub dns: Vec<String>,
    /// Folders: `content (ro)`.
    pub dirs: Vec<String>,
    /// The log and the terminal.
    pub stdio: bool,
}

/// What a component may reach by calling another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Through {
    /// The components on the way, the one that is reached last.
    pub path: Vec<String>,
    /// What that one may reach.
    pub reach: Reach,
}

impl Blast {
    /// Looks at an app.
    #[must_use]
    pub fn of(app: &App) -> Self {
        Self { radii: app.components.iter().map(|component| radius(app, component)).collect() }
    }

    /// The radius of the component with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Radius> {
        self.radii.iter().find(|radius| radius.component == name)
    }
}

impl Reach {
    /// What these grants allow.
    #[must_use]
    pub fn of(grants: &Grants) -> Self {
        Self {
            env: grants.env.keys().cloned().collect(),
            http: grants.http.iter().map(ToString::to_string).collect(),
            tcp: grants.tcp.iter().map(ToString::to_string).collect(),
            udp: grants.udp.iter().map(ToString::to_string).collect(),
            dns: grants.dns.clone(),
            dirs: grants.dirs.iter().map(|dir| format!("{} ({})", dir.host.display(), dir.mode)).collect(),
            stdio: grants.stdio,
        }
    }

    /// Whether there is nothing to reach.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn join(&mut self, other: &Self) {
        for (mine, others) in [
            (&mut self.env, &other.env),
            (&mut self.http, &other.http),
            (&mut self.tcp, &other.tcp),
            (&mut self.udp, &other.udp),
            (&mut self.dns, &other.dns),
            (&mut self.dirs, &other.dirs),
        ] {
            for item in others {
                if !mine.contains(item) {
                    mine.push(item.clone());
                }
            }
        }
        self.stdio |= other.stdio;
    }
}

fn radius(app: &App, failed: &Component) -> Radius {
    let (down, falls) = falls(app, failed);
    let told = told(app, &down);
    let touched: BTreeSet<&str> = falls
        .iter()
        .map(|fall| fall.component.as_str())
        .chain(told.iter().map(|told| told.component.as_str()))
        .collect();
    let untouched =
        app.components.iter().filter(|other| other.id != failed.id && !touched.contains(other.name.as_str()));
    Radius {
        component: failed.name.clone(),
        untouched: untouched.map(|other| other.name.clone()).collect(),
        routes: routes(app, &down, &told),
        reach: own_reach(app, failed),
        through: through(app, failed),
        falls,
        told,
    }
}

/// Who is down in the end, and how each came to it.
fn falls(app: &App, failed: &Component) -> (BTreeSet<ComponentId>, Vec<Fall>) {
    let mut down = BTreeSet::from([failed.id]);
    let mut falls = Vec::new();
    let mut queue = VecDeque::from([failed.id]);
    while let Some(id) = queue.pop_front() {
        let name = &app.component(id).name;
        for other in sharing_store(app, id) {
            if down.insert(other) {
                falls.push(Fall {
                    component: app.component(other).name.clone(),
                    with: name.clone(),
                    functions: Vec::new(),
                });
                queue.push_back(other);
            }
        }
        for (importer, functions) in callers(app, id, |edge, function| takes_down(edge, function, &down)) {
            if down.insert(importer) {
                falls.push(Fall { component: app.component(importer).name.clone(), with: name.clone(), functions });
                queue.push_back(importer);
            }
        }
    }
    (down, falls)
}

fn told(app: &App, down: &BTreeSet<ComponentId>) -> Vec<Told> {
    let mut told = Vec::new();
    for id in down {
        for (importer, functions) in callers(app, *id, |edge, _| edge.exporter == *id) {
            if !down.contains(&importer) {
                let (component, of) = (app.component(importer).name.clone(), app.component(*id).name.clone());
                told.push(Told { component, of, functions });
            }
        }
    }
    told
}

/// The components in the same store: a fused one's hosts, and what is fused into those.
fn sharing_store(app: &App, id: ComponentId) -> Vec<ComponentId> {
    let holds = |cell: &&Component| cell.id == id || cell.fused.contains(&id);
    let cells = app.components.iter().filter(|cell| cell.wall != Wall::Fused).filter(holds);
    cells.flat_map(|cell| cell.fused.iter().copied().chain([cell.id])).filter(|other| *other != id).collect()
}

/// Whether a call of a function takes the caller down: when who meets it is down, and who stands in for that, and there is nothing to return.
fn takes_down(edge: &Edge, function: &Function, down: &BTreeSet<ComponentId>) -> bool {
    function.on_failure == OnFailure::Trap
        && down.contains(&edge.exporter)
        && function.fallback.as_ref().is_none_or(|fallback| down.contains(&fallback.component))
}

/// Who calls a component, as a fallback too, by functions of a certain kind.
fn callers(
    app: &App,
    id: ComponentId,
    by: impl Fn(&Edge, &Function) -> bool,
) -> BTreeMap<ComponentId, Vec<FunctionName>> {
    let mut callers: BTreeMap<ComponentId, Vec<FunctionName>> = BTreeMap::new();
    for edge in app.edges_to(id) {
        let functions = edge.functions.iter().filter(|function| by(edge, function));
        let names: Vec<_> = functions
            .map(|function| FunctionName { import: edge.import.clone(), function: function.name.clone() })
            .collect();
        if !names.is_empty() {
            callers.entry(edge.importer).or_default().extend(names);
        }
    }
    callers
}

fn routes(app: &App, down: &BTreeSet<ComponentId>, told: &[Told]) -> Vec<RouteFate> {
    let told: BTreeSet<&str> = told.iter().map(|told| told.component.as_str()).collect();
    let fate = |handler: ComponentId| {
        if down.contains(&handler) {
            return Fate::Lost;
        }
        let shaken = |id: &ComponentId| told.contains(app.component(*id).name.as_str());
        let below = ways(app, handler);
        if below.keys().chain([&handler]).any(shaken) { Fate::Degraded } else { Fate::Untouched }
    };
    app.http.iter().map(|trigger| RouteFate { route: trigger.route.clone(), fate: fate(trigger.component) }).collect()
}

/// What a component's grants allow; a fused one has those of the cells it is composed into.
fn own_reach(app: &App, component: &Component) -> Reach {
    let mut reach = Reach::of(&component.grants);
    for cell in app.components.iter().filter(|cell| cell.fused.contains(&component.id)) {
        reach.join(&Reach::of(&cell.grants));
    }
    reach
}

fn through(app: &App, component: &Component) -> Vec<Through> {
    let mut ways: Vec<Vec<ComponentId>> = ways(app, component.id).into_values().collect();
    ways.sort_by_key(|way| (way.len(), way.clone()));
    ways.into_iter()
        .filter_map(|way| {
            let reach = own_reach(app, app.component(*way.last()?));
            let path = way.iter().map(|id| app.component(*id).name.clone()).collect();
            Some(Through { path, reach })
        })
        .collect()
}

/// Every component that can be called from one, directly or not, with the shortest way there.
fn ways(app: &App, from: ComponentId) -> BTreeMap<ComponentId, Vec<ComponentId>> {
    let mut ways: BTreeMap<ComponentId, Vec<ComponentId>> = BTreeMap::new();
    let mut queue = VecDeque::from([(from, Vec::new())]);
    while let Some((id, way)) = queue.pop_front() {
        // A fused component calls by the edges of the cells it is in.
        let cells = app.components.iter().filter(|cell| cell.fused.contains(&id)).map(|cell| cell.id);
        for edge in cells.chain([id]).flat_map(|cell| app.edges_from(cell)) {
            for callee in edge.callees() {
                if callee != from && !ways.contains_key(&callee) {
                    let mut longer: Vec<ComponentId> = way.clone();
                    longer.push(callee);
                    ways.insert(callee, longer.clone());
                    queue.push_back((callee, longer));
                }
            }
        }
    }
    ways
}
