//! What a node says of itself: the documents that the admin socket gives and `watertight ps` shows.
//!
//! They only ever get more keys. A worker reports on its own components; a node sums its workers up by the components' names, because
//! during a reload two versions of an app are at work.

pub(crate) mod graph;
mod machine;
mod routes;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use watertight_host::HostCell;
use watertight_model::{
    app::{App, Component, Edge},
    health::{ComponentHealth, HealthState},
    usage::{ComponentUsage, DiskUsage, Usage},
};
use watertight_observe::{LATENCY_BOUNDS, Latency, OutcomeCounts, Tally, Timestamp, otlp_counts};
use watertight_runtime::AppView;

use crate::{
    ears::{Ears, EventsTaken, EventsWanted},
    faults::{FaultOrders, FaultsStatus},
    operate::{self, CellStatus},
    record::{self, RecordTaken, RecordWanted},
    tap::{self, TapTaken, TapWanted},
};

pub use self::{
    graph::{AppRoute, AppStatus, AppsStatus, ComponentDetail, EdgeDetail, EdgesStatus},
    machine::MachineStatus,
    routes::RouteStatus,
};

/// A node: `GET /v1/node`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The app's name.
    pub app: String,
    /// The app's own version.
    pub version: String,
    /// The process id of the supervisor, or of the one process.
    pub pid: u32,
    /// Where it serves.
    pub url: String,
    /// When it started, in UTC, as in RFC 3339.
    pub since: String,
    /// How long ago that was.
    pub uptime_ms: u64,
    /// How many versions of the app it has had: 1 before the first reload.
    pub generation: u32,
    /// The faults that its calls suffer, if any are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<FaultsStatus>,
    /// The processes that serve: one that is the node itself where there is no supervisor.
    pub workers: Vec<WorkerStatus>,
}

/// What is known of a node by itself. Clones are of the same one.
#[derive(Clone, Debug)]
pub struct About {
    /// The app, as it is now.
    app: Arc<Mutex<Arc<App>>>,
    url: String,
    postmortems: Option<PathBuf>,
    since: (SystemTime, Instant),
}

impl About {
    /// A node that starts now, and serves an app at a place.
    #[must_use]
    pub fn new(app: &Arc<App>, url: impl Into<String>) -> Self {
        let (app, since) = (Arc::new(Mutex::new(Arc::clone(app))), (SystemTime::now(), Instant::now()));
        Self { app, url: url.into(), postmortems: None, since }
    }

    /// What failed cells leave behind is put there.
    #[must_use]
    pub fn with_postmortems(self, folder: Option<PathBuf>) -> Self {
        Self { postmortems: folder, ..self }
    }

    /// Where it is put.
    pub(crate) fn postmortems(&self) -> Option<PathBuf> {
        self.postmortems.clone()
    }

    /// Another version of the app is in place.
    pub(crate) fn renew(&self, app: &Arc<App>) {
        *self.app.lock() = Arc::clone(app);
    }

    /// The app, as it is now.
    pub(crate) fn app(&self) -> Arc<App> {
        Arc::clone(&self.app.lock())
    }

    /// The node with these workers and faults.
    pub(crate) fn node(&self, workers: Vec<WorkerStatus>, faults: FaultsStatus) -> NodeStatus {
        let (since, began) = self.since;
        let app = self.app();
        NodeStatus {
            app: app.name.clone(),
            version: app.version.clone(),
            pid: std::process::id(),
            url: self.url.clone(),
            since: Timestamp(since).to_string(),
            uptime_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            generation: workers.iter().map(|worker| worker.generation).max().unwrap_or(1),
            faults: Some(faults).filter(|faults| !faults.faults.is_empty()),
            workers,
        }
    }
}

/// A process that serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its number, from 0.
    pub worker: u32,
    /// Its process id, if there is one.
    #[serde(default)]
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: WorkerState,
    /// For how long.
    pub state_ms: u64,
    /// How often another process had to take its place.
    pub restarts: u32,
    /// Which version of the app it has.
    pub generation: u32,
    /// Whether it answered in time.
    pub answers: bool,
    /// Whether it has the components that the node has once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeper: bool,
    /// What it has in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerState {
    /// It loads the app.
    Starting,
    /// It serves.
    Serving,
    /// It ended, and waits to be started again.
    Resting,
    /// It finishes what it has, and ends.
    Draining,
    /// It is gone for good.
    Gone,
}

/// The components of a node: `GET /v1/components`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentsStatus {
    /// Summed up over the workers that answered.
    pub components: Vec<ComponentStatus>,
    /// How requests were answered, by route.
    #[serde(default)]
    pub routes: Vec<RouteStatus>,
    /// The upper bounds of the counts of latencies, in nanoseconds; what took longer is counted in one more place.
    #[serde(default)]
    pub latency_bounds_ns: Vec<u64>,
    /// The workers that did not.
    pub unanswered: Vec<u32>,
    /// The folders that guests write to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskUsage>,
    /// What went to a collector, and what did not.
    #[serde(default)]
    pub otlp: OtlpStatus,
    /// Taps that somebody looks at, in the worker that has most.
    #[serde(default)]
    pub taps: usize,
    /// What its processes take of the machine.
    #[serde(default)]
    pub machine: MachineStatus,
}

/// What went to a collector of OpenTelemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtlpStatus {
    /// Spans and lines of logs that it has taken.
    pub exported: u64,
    /// Spans, lines of logs and events that it did not get.
    pub dropped: u64,
}

/// What one worker says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Its components, in the manifest's order.
    pub components: Vec<ComponentStatus>,
    /// How requests were answered, by route.
    #[serde(default)]
    pub routes: Vec<RouteStatus>,
    /// The folders that guests write to.
    #[serde(default)]
    pub disks: Vec<DiskUsage>,
    /// What went to a collector, and what did not.
    #[serde(default)]
    pub otlp: OtlpStatus,
    /// Taps that somebody looks at.
    #[serde(default)]
    pub taps: usize,
    /// What it takes of the machine.
    #[serde(default)]
    pub machine: MachineStatus,
}

/// A component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// `cell` or `fused`.
    pub wall: String,
    /// `call`, `request` or `resident`.
    pub lifetime: String,
    /// `worker` or `node`: whether each worker has its own residents, or the node has them once.
    pub scope: String,
    /// `on-demand` where its cells are made as they are needed; else how its residents are: `up`, `partial`, `starting` or `down`.
    pub state: String,
    /// Why it is not up, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Residents that were restarted.
    pub restarts: u64,
    /// Residents that were replaced although they had not failed.
    pub recycled: u64,
    /// Cells that are alive.
    pub cells: u64,
    /// Cells that came to life.
    pub started: u64,
    /// Cells that failed and were thrown out.
    pub ejected: u64,
    /// Calls into it: over edges, and from outside.
    pub calls: u64,
    /// Those among them that failed, by how.
    pub failures: BTreeMap<String, u64>,
    /// Those among them that nobody waited for any longer.
    pub cancelled: u64,
    /// Cells that went on at lower priority, because a slice was spent.
    pub demoted: u64,
    /// Uses that the manifest does not grant.
    pub denied: u64,
    /// How long the calls took that came from outside, from admission to the last byte of the answer.
    pub latency: Latency,
    /// Nanoseconds that its cells spent in its code: those that are gone, and those that live.
    pub cpu_ns: u64,
    /// What it uses of its budgets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usage: Vec<BudgetUse>,
    /// The edges that leave it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<EdgeStatus>,
}

/// One edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgeStatus {
    /// The import.
    pub import: String,
    /// The component that meets it.
    pub to: String,
    /// Calls over it.
    pub calls: u64,
    /// Those among them that failed, by how.
    pub failures: BTreeMap<String, u64>,
    /// Those among them that nobody waited for any longer.
    pub cancelled: u64,
    /// How long they took, from admission to answer.
    pub latency: Latency,
    /// Bytes of arguments that went over it.
    pub bytes_in: u64,
    /// Bytes of results that came back.
    pub bytes_out: u64,
    /// How often its breakers have opened: each worker has one.
    pub openings: u64,
    /// How many of them let no calls through now.
    pub open: u64,
}

/// What is used of one budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetUse {
    /// The budget's key: `memory`, `files`, `concurrency`, ….
    pub budget: String,
    /// In use now, over all cells and workers.
    pub used: u64,
    /// What the one that uses most has: a cell, or a worker for `concurrency` and `queue`.
    pub most: u64,
    /// What each of those may have.
    pub limit: u64,
    /// Whether these are bytes.
    pub bytes: bool,
}

/// What tells how a running node is, without keeping it running.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) app: Arc<App>,
    pub(crate) running: AppView<HostCell>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) ears: Arc<Ears>,
}

impl Watch {
    /// Has calls suffer these faults from now on, or none.
    pub(crate) fn set_faults(&self, orders: Option<&FaultOrders>) {
        let Some(running) = self.running.running() else { return };
        match orders.and_then(|orders| orders.plan(&self.app)) {
            Some((plan, until)) => running.set_faults_until(plan, until),
            None => running.set_faults(None),
        }
    }

    /// How it is.
    pub(crate) fn report(&self) -> WorkerReport {
        let usage = self.running.running().map(|running| running.usage()).unwrap_or_default();
        let health = self.running.running().map(|running| running.health()).unwrap_or_default();
        let component = |spec: &Component| {
            let used = usage.components.iter().find(|used| used.component == spec.id);
            let usage = used.map(|used| uses(spec, used)).unwrap_or_default();
            let mut status = ComponentStatus { usage, ..self.counted(spec) };
            let living = used.map_or(Duration::ZERO, |used| used.total.cpu);
            status.cpu_ns = status.cpu_ns.saturating_add(u64::try_from(living.as_nanos()).unwrap_or(u64::MAX));
            if let Some(health) = health.iter().find(|health| health.id == spec.id) {
                status.healthy(health);
            }
            status
        };
        let sent = otlp_counts();
        WorkerReport {
            components: self.app.components.iter().map(component).collect(),
            routes: routes::counted(&self.app, &self.tally),
            disks: usage.disks.clone(),
            otlp: OtlpStatus { exported: sent.exported, dropped: sent.dropped },
            taps: self.running.running().map_or(0, |running| running.taps()),
            machine: MachineStatus::here(self.running.running().map(|running| running.pool_use()).unwrap_or_default()),
        }
    }

    /// What a tap has seen.
    pub(crate) fn tap(&self, wanted: &TapWanted) -> TapTaken {
        self.running.running().map(|running| tap::look(&running, wanted)).unwrap_or_default()
    }

    /// What has happened.
    pub(crate) fn events(&self, wanted: &EventsWanted) -> EventsTaken {
        self.ears.take(wanted)
    }

    /// Its cells, of one component or of all.
    pub(crate) fn cells(&self, component: Option<&str>) -> Vec<CellStatus> {
        self.running.running().map(|running| operate::cells(&running, component)).unwrap_or_default()
    }

    /// Throws out the cells of a component, or one; says how many.
    pub(crate) fn eject(&self, component: &str, cell: Option<(u32, u64)>) -> u64 {
        self.running.running().map_or(0, |running| operate::eject(&running, component, cell))
    }

    /// Has the residents of a component replaced; says how many there are.
    pub(crate) fn restart(&self, component: &str) -> u64 {
        self.running.running().map_or(0, |running| operate::restart(&running, component))
    }

    /// What was recorded.
    pub(crate) fn record(&self, wanted: &RecordWanted) -> RecordTaken {
        self.running.running().map(|running| record::look(&running, wanted)).unwrap_or_default()
    }

    /// What the events tell of a component.
    fn counted(&self, spec: &Component) -> ComponentStatus {
        let counts = self.tally.component(spec.id);
        let mut status = ComponentStatus {
            name: spec.name.clone(),
            wall: spec.wall.to_string(),
            lifetime: spec.lifetime.to_string(),
            scope: if spec.is_for_the_node() { "node" } else { "worker" }.to_owned(),
            cells: counts.started - counts.ended,
            started: counts.started,
            ejected: counts.ejected,
            demoted: counts.demoted,
            denied: counts.denied,
            latency: counts.roots.latency.clone(),
            cpu_ns: counts.cpu_ns,
            ..ComponentStatus::default()
        };
        let mut add = |outcomes: OutcomeCounts| {
            status.calls += outcomes.calls;
            status.cancelled += outcomes.cancelled;
            sum(&mut status.failures, named(outcomes.failures));
        };
        add(counts.roots);
        add(counts.stood_in);
        let to_it = self.app.edges.iter().filter(|edge| edge.exporter == spec.id);
        to_it.for_each(|edge| add(self.tally.edge(edge.id)));
        let edge = |edge: &Edge| {
            let outcomes = self.tally.edge(edge.id);
            let (openings, open) = self.tally.breaker(edge.id);
            EdgeStatus {
                import: edge.import.clone(),
                to: self.app.component(edge.exporter).name.clone(),
                calls: outcomes.calls,
                cancelled: outcomes.cancelled,
                failures: named(outcomes.failures),
                latency: outcomes.latency,
                bytes_in: outcomes.bytes_in,
                bytes_out: outcomes.bytes_out,
                openings,
                open: open.into(),
            }
        };
        status.edges = self.app.edges_from(spec.id).map(edge).collect();
        status
    }
}

/// What the cells of a component use of its budgets, where they are of a kind that is held rather than spent.
fn uses(spec: &Component, used: &ComponentUsage) -> Vec<BudgetUse> {
    let budget = &spec.budget;
    let row = |key: &str, used: u64, most: u64, limit: u64| BudgetUse {
        budget: key.to_owned(),
        used,
        most,
        limit,
        bytes: matches!(key, "memory" | "log"),
    };
    let (total, most) = (&used.total, &used.most);
    let (running, waiting) = (used.running.into(), used.waiting.into());
    vec![
        row("memory", total.memory_bytes, most.memory_bytes, budget.memory.0),
        row("files", total.files.into(), most.files.into(), budget.files.into()),
        row("sockets", total.sockets.into(), most.sockets.into(), budget.sockets.into()),
        row("requests", total.requests.into(), most.requests.into(), budget.requests.into()),
        row("log", total.log_bytes, most.log_bytes, budget.log.0),
        row("concurrency", running, running, budget.concurrency.into()),
        row("queue", waiting, waiting, budget.queue.into()),
    ]
}

impl Default for ComponentsStatus {
    fn default() -> Self {
        Self {
            components: Vec::new(),
            routes: Vec::new(),
            latency_bounds_ns: LATENCY_BOUNDS.to_vec(),
            unanswered: Vec::new(),
            disks: Vec::new(),
            otlp: OtlpStatus::default(),
            taps: 0,
            machine: MachineStatus::default(),
        }
    }
}

impl ComponentsStatus {
    /// Adds what one worker says.
    pub fn add(&mut self, report: WorkerReport) {
        for theirs in report.components {
            match self.components.iter_mut().find(|ours| ours.name == theirs.name) {
                Some(ours) => ours.add(theirs),
                None => self.components.push(theirs),
            }
        }
        routes::add(&mut self.routes, report.routes);
        let (ours, theirs) = (std::mem::take(&mut self.disks), report.disks);
        let mut disks = Usage { components: Vec::new(), disks: ours };
        disks.add(&Usage { components: Vec::new(), disks: theirs });
        self.disks = disks.disks;
        self.taps = self.taps.max(report.taps);
        self.machine.add(report.machine);
        self.otlp.exported += report.otlp.exported;
        self.otlp.dropped += report.otlp.dropped;
    }
}

impl ComponentStatus {
    /// Failed calls of any kind.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn healthy(&mut self, health: &ComponentHealth) {
        self.state = state_name(health.state).to_owned();
        self.reason.clone_from(&health.reason);
        self.restarts = health.restarts;
        self.recycled = health.recycled;
    }

    /// Adds the same component of another worker.
    fn add(&mut self, other: Self) {
        let Self {
            name: _,
            wall,
            lifetime,
            scope,
            state,
            reason,
            restarts,
            recycled,
            cells,
            started,
            ejected,
            calls,
            failures,
            cancelled,
            demoted,
            denied,
            latency,
            cpu_ns,
            usage,
            edges,
        } = other;
        // The newest version of the app has its say.
        (self.wall, self.lifetime, self.scope) = (wall, lifetime, scope);
        // What is not up somewhere is what there is to see.
        if rank(&state) > rank(&self.state) {
            (self.state, self.reason) = (state, reason);
        }
        self.restarts += restarts;
        self.recycled += recycled;
        self.cells += cells;
        self.started += started;
        self.ejected += ejected;
        self.calls += calls;
        self.cancelled += cancelled;
        self.demoted += demoted;
        self.denied += denied;
        self.latency.add(&latency);
        self.cpu_ns = self.cpu_ns.saturating_add(cpu_ns);
        sum(&mut self.failures, failures);
        for theirs in usage {
            match self.usage.iter_mut().find(|ours| ours.budget == theirs.budget) {
                Some(ours) => ours.add(&theirs),
                None => self.usage.push(theirs),
            }
        }
        for theirs in edges {
            match self.edges.iter_mut().find(|ours| ours.import == theirs.import && ours.to == theirs.to) {
                Some(ours) => ours.add(theirs),
                None => self.edges.push(theirs),
            }
        }
    }
}

impl EdgeStatus {
    /// Failed calls of any kind.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.cancelled += other.cancelled;
        self.openings += other.openings;
        self.open += other.open;
        self.latency.add(&other.latency);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        sum(&mut self.failures, other.failures);
    }
}

fn state_name(state: HealthState) -> &'static str {
    match state {
        HealthState::OnDemand => "on-demand",
        HealthState::Up => "up",
        HealthState::Partial => "partial",
        HealthState::Starting => "starting",
        HealthState::Down => "down",
    }
}

/// How much there is to see in a state.
fn rank(state: &str) -> usize {
    ["", "on-demand", "up", "starting", "partial", "down"].iter().position(|known| *known == state).unwrap_or(0)
}

impl BudgetUse {
    fn add(&mut self, other: &Self) {
        self.used += other.used;
        self.most = self.most.max(other.most);
        self.limit = other.limit;
    }
}

fn named(failures: BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    failures.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
}

fn sum(ours: &mut BTreeMap<String, u64>, theirs: BTreeMap<String, u64>) {
    for (kind, count) in theirs {
        *ours.entry(kind).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, calls: u64, trap: u64) -> ComponentStatus {
        let failures = BTreeMap::from([("trap".to_owned(), trap)]);
        let edge = EdgeStatus {
            import: "a:b/c".to_owned(),
            to: "d".to_owned(),
            calls,
            failures: failures.clone(),
            cancelled: 1,
            openings: 1,
            ..EdgeStatus::default()
        };
        let usage = BudgetUse { budget: "memory".to_owned(), used: calls, most: calls, limit: 9, bytes: true };
        let name = name.to_owned();
        let one = ComponentStatus {
            name,
            cells: 1,
            started: 2,
            ejected: 1,
            calls,
            failures,
            cancelled: 1,
            demoted: 2,
            ..ComponentStatus::default()
        };
        ComponentStatus { edges: vec![edge], usage: vec![usage], ..one }
    }

    #[test]
    fn workers_are_summed_up_by_the_names_of_their_components() {
        let mut node = ComponentsStatus::default();
        node.add(WorkerReport {
            components: vec![component("web", 3, 1), component("old", 1, 0)],
            ..WorkerReport::default()
        });
        node.add(WorkerReport {
            components: vec![component("new", 5, 0), component("web", 4, 2)],
            ..WorkerReport::default()
        });
        let names = node.components.iter().map(|component| component.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["web", "old", "new"]);
        let web = &node.components[0];
        assert_eq!((web.cells, web.started, web.ejected, web.calls, web.cancelled), (2, 4, 2, 7, 2));
        assert_eq!((web.failed(), web.demoted), (3, 4));
        assert_eq!((web.edges.len(), web.edges[0].calls, web.edges[0].failed()), (1, 7, 3));
        assert_eq!((web.usage.len(), web.usage[0].used, web.usage[0].most, web.usage[0].limit), (1, 7, 4, 9));
    }

    #[test]
    fn a_report_of_another_version_is_read_as_far_as_it_goes() {
        let report: WorkerReport =
            serde_json::from_str(r#"{"components":[{"name":"web","calls":2,"later":true}]}"#).expect("it is JSON");
        assert_eq!((report.components[0].calls, report.components[0].cells), (2, 0));
    }
}
