//! Metrics: what a node says of itself as Prometheus and its kin read it, in the text format 0.0.4 and in OpenMetrics 1.0.
//!
//! They are the numbers of [`crate::status`], written anew whenever somebody asks; nothing is gathered for them alone. How many series
//! there are is bounded by the app's graph: components, edges, routes, budgets and kinds of failure, never by what guests or
//! clients send.

mod families;
mod text;

use std::future::pending;

use http::HeaderMap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use watertight_model::usage::PoolUse;
use watertight_observe::{Metric, MetricsExporter};

use self::families::{Families, Kind};
use crate::{
    admin::Steward,
    status::{
        BudgetUse, ComponentStatus, ComponentsStatus, EdgeStatus, MachineStatus, NodeStatus, RouteStatus, WorkerState,
    },
};

pub(crate) use self::text::Dialect;

/// What a client that sends these headers reads best.
pub(crate) fn dialect(headers: &HeaderMap) -> Dialect {
    let accepts = headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let open = accepts.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("application/openmetrics-text"))
    });
    if open { Dialect::OpenMetrics } else { Dialect::Prometheus }
}

/// The metrics of a node.
pub(crate) fn render(node: &NodeStatus, status: &ComponentsStatus, dialect: Dialect) -> String {
    text::write(&families(node, status), dialect)
}

/// The same as data.
fn families(node: &NodeStatus, status: &ComponentsStatus) -> Vec<Metric> {
    let mut families = Families::default();
    of_node(&mut families, node, status);
    of_routes(&mut families, &status.routes);
    of_components(&mut families, &status.components);
    of_edges(&mut families, &status.components);
    families.0
}

/// Sends a node's metrics to a collector again and again, and once more when it is closing: then with what there is, or, where its workers
/// are gone, with what there was when it was told to stop.
pub(crate) async fn send(mut exporter: MetricsExporter, steward: impl Steward, closing: &CancellationToken) {
    let mut ticks = tokio::time::interval(exporter.every());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = Told::default();
    let mut last = None;
    let gather = async || tokio::join!(steward.node(), steward.components());
    // The first one is at once, when there is nothing to say.
    ticks.tick().await;
    // Without the signals there is only what the workers say while they go.
    let mut stops = [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| signal(kind).ok());
    let [terminate, interrupt] = &mut stops;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let (node, status) = gather().await;
                told.send(&mut exporter, &node, &status).await;
            }
            () = heard(terminate) => last = Some(gather().await),
            () = heard(interrupt) => last = Some(gather().await),
            () = closing.cancelled() => break,
        }
    }
    let now = gather().await;
    let final_ones = if now.1.components.is_empty() { last } else { Some(now) };
    if let Some((node, status)) = final_ones {
        told.send(&mut exporter, &node, &status).await;
    }
}

async fn heard(stop: &mut Option<Signal>) {
    match stop {
        Some(stop) => drop(stop.recv().await),
        None => pending().await,
    }
}

/// Whether it was told that metrics are not sent.
#[derive(Default)]
struct Told(bool);

impl Told {
    async fn send(&mut self, exporter: &mut MetricsExporter, node: &NodeStatus, status: &ComponentsStatus) {
        match exporter.send(&node.app, &node.version, &families(node, status)).await {
            Ok(()) => self.0 = false,
            Err(error) if !self.0 => {
                self.0 = true;
                tracing::warn!(%error, "metrics are not sent");
            }
            Err(_) => {}
        }
    }
}

fn of_node(families: &mut Families, node: &NodeStatus, status: &ComponentsStatus) {
    let mut family = families.family("watertight_app", Kind::Info, "The app that the node runs.");
    family.value(&[("app", &node.app), ("version", &node.version)], 1);
    let mut family = families.family("watertight_uptime_seconds", Kind::Gauge, "Since the node started.");
    family.seconds(&[], node.uptime_ms.saturating_mul(1_000_000));
    let mut family =
        families.family("watertight_generation", Kind::Gauge, "Versions of the app so far: 1 before the first reload.");
    family.value(&[], node.generation.into());
    let mut family =
        families.family("watertight_worker_up", Kind::Gauge, "Whether the worker serves, and answered this time.");
    for worker in &node.workers {
        let up = worker.state == WorkerState::Serving && !status.unanswered.contains(&worker.worker);
        family.value(&[("worker", &worker.worker.to_string())], up.into());
    }
    let mut family =
        families.family("watertight_worker_restarts", Kind::Counter, "Processes that took the place of another.");
    for worker in &node.workers {
        family.value(&[("worker", &worker.worker.to_string())], worker.restarts.into());
    }
    let mut family = families.family("watertight_worker_resident_bytes", Kind::Gauge, "What the worker has in memory.");
    for worker in &node.workers {
        if let Some(bytes) = worker.rss_bytes {
            family.value(&[("worker", &worker.worker.to_string())], bytes);
        }
    }
    of_machine(families, &status.machine);
    let help = "Spans and lines of logs that a collector has taken.";
    families.family("watertight_otlp_exported", Kind::Counter, help).value(&[], status.otlp.exported);
    let help = "Spans, lines of logs and events that no collector got.";
    families.family("watertight_otlp_dropped", Kind::Counter, help).value(&[], status.otlp.dropped);
    let mut family = families.family("watertight_disk_bytes", Kind::Gauge, "Bytes in a folder that guests write to.");
    for disk in &status.disks {
        family.value(&[("folder", &disk.host.to_string_lossy())], disk.bytes);
    }
    let mut family = families.family("watertight_disk_files", Kind::Gauge, "Files in a folder that guests write to.");
    for disk in &status.disks {
        family.value(&[("folder", &disk.host.to_string_lossy())], disk.files);
    }
}

/// One number of each pool.
type OfPool = fn(&PoolUse) -> u64;

fn of_machine(families: &mut Families, machine: &MachineStatus) {
    let pools: [(_, _, OfPool); 2] = [
        ("watertight_pool_used", "Slots of the workers' pools that are in use.", |pool| pool.used),
        ("watertight_pool_limit", "Slots that there are, in all workers together.", |pool| pool.limit),
    ];
    for (name, help, read) in pools {
        let mut family = families.family(name, Kind::Gauge, help);
        for pool in &machine.pools {
            family.value(&[("engine", &pool.engine), ("slots", &pool.slots)], read(pool));
        }
    }
    for (name, kind, help, value) in [
        (
            "watertight_mappings",
            Kind::Gauge,
            "Memory mappings of the process of the node that has most.",
            machine.mappings,
        ),
        ("watertight_mappings_limit", Kind::Gauge, "What each process may have of them.", machine.mappings_limit),
        (
            "watertight_compile_cache_hits",
            Kind::Counter,
            "Components whose code was in the compile cache, in all processes that run.",
            machine.cache_hits,
        ),
        ("watertight_compile_cache_misses", Kind::Counter, "Components that were compiled.", machine.cache_misses),
        ("watertight_compile_cache_bytes", Kind::Gauge, "What the compile cache takes.", machine.cache_bytes),
    ] {
        families.family(name, kind, help).value(&[], value);
    }
}

/// The classes of a status, as [`RouteStatus::classes`] has them.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

fn route_labels(route: &RouteStatus) -> [(&'static str, &str); 2] {
    [("route", &route.route), ("component", &route.component)]
}

fn of_routes(families: &mut Families, routes: &[RouteStatus]) {
    let mut family =
        families.family("watertight_http_requests", Kind::Counter, "Requests by the class of their status.");
    for route in routes {
        let [path, component] = route_labels(route);
        for (class, count) in CLASSES.iter().zip(route.classes) {
            family.value(&[path, component, ("status", class)], count);
        }
    }
    let help = "From the request's head to the answer's last byte.";
    let mut family = families.family("watertight_http_request_duration_seconds", Kind::Histogram, help);
    for route in routes {
        family.histogram(&route_labels(route), &route.latency);
    }
    let help = "Bytes of the requests' bodies that were read.";
    let mut family = families.family("watertight_http_request_bytes", Kind::Counter, help);
    for route in routes {
        family.value(&route_labels(route), route.bytes_in);
    }
    let help = "Bytes of the answers' bodies that were written.";
    let mut family = families.family("watertight_http_response_bytes", Kind::Counter, help);
    for route in routes {
        family.value(&route_labels(route), route.bytes_out);
    }
}

/// One number of each component.
type OfComponent = (&'static str, Kind, &'static str, fn(&ComponentStatus) -> u64);

const COMPONENT: [OfComponent; 8] = [
    ("watertight_component_cells", Kind::Gauge, "Cells that live.", |component| component.cells),
    ("watertight_component_cells_started", Kind::Counter, "Cells that came to life.", |component| component.started),
    ("watertight_component_cells_ejected", Kind::Counter, "Cells that failed and were thrown out.", |component| {
        component.ejected
    }),
    ("watertight_component_cells_demoted", Kind::Counter, "Cells that went on at lower priority.", |component| {
        component.demoted
    }),
    ("watertight_component_restarts", Kind::Counter, "Residents that were restarted.", |component| component.restarts),
    (
        "watertight_component_recycled",
        Kind::Counter,
        "Residents that were replaced although they had not failed.",
        |component| component.recycled,
    ),
    ("watertight_component_denied", Kind::Counter, "Uses that the manifest does not grant.", |component| {
        component.denied
    }),
    (
        "watertight_component_up",
        Kind::Gauge,
        "Whether it can be called: not while its residents are down.",
        |component| u64::from(component.state != "down"),
    ),
];

/// One number of each budget.
type OfBudget = (&'static str, &'static str, fn(&BudgetUse) -> u64);

const BUDGET: [OfBudget; 3] = [
    ("watertight_component_budget_used", "What all its cells use of a budget.", |usage| usage.used),
    ("watertight_component_budget_most", "What the one of them uses that uses most.", |usage| usage.most),
    ("watertight_component_budget_limit", "What each of them may use.", |usage| usage.limit),
];

fn of_components(families: &mut Families, components: &[ComponentStatus]) {
    for (name, kind, help, read) in COMPONENT {
        let mut family = families.family(name, kind, help);
        for component in components {
            family.value(&[("component", &component.name)], read(component));
        }
    }
    let help = "Time its cells spent in its code.";
    let mut family = families.family("watertight_component_cpu_seconds", Kind::Counter, help);
    for component in components {
        family.seconds(&[("component", &component.name)], component.cpu_ns);
    }
    let help = "Calls from outside: requests and invocations, from admission to the answer's last byte.";
    let mut family = families.family("watertight_component_root_duration_seconds", Kind::Histogram, help);
    for component in components {
        family.histogram(&[("component", &component.name)], &component.latency);
    }
    for (name, help, read) in BUDGET {
        let mut family = families.family(name, Kind::Gauge, help);
        for component in components {
            for usage in &component.usage {
                family.value(&[("component", &component.name), ("budget", &usage.budget)], read(usage));
            }
        }
    }
}

fn edge_labels<'a>(from: &'a ComponentStatus, edge: &'a EdgeStatus) -> [(&'static str, &'a str); 3] {
    [("from", &from.name), ("to", &edge.to), ("import", &edge.import)]
}

/// One number of each edge.
type OfEdge = (&'static str, Kind, &'static str, fn(&EdgeStatus) -> u64);

const EDGE: [OfEdge; 5] = [
    ("watertight_edge_cancelled", Kind::Counter, "Calls that nobody waited for any longer.", |edge| edge.cancelled),
    ("watertight_edge_request_bytes", Kind::Counter, "Bytes of arguments.", |edge| edge.bytes_in),
    ("watertight_edge_response_bytes", Kind::Counter, "Bytes of results.", |edge| edge.bytes_out),
    ("watertight_edge_breaker_openings", Kind::Counter, "Times that a breaker opened.", |edge| edge.openings),
    (
        "watertight_edge_breakers_open",
        Kind::Gauge,
        "Breakers that let no calls through: each worker has one.",
        |edge| edge.open,
    ),
];

fn of_edges(families: &mut Families, components: &[ComponentStatus]) {
    let edges = || components.iter().flat_map(|from| from.edges.iter().map(move |edge| (from, edge)));
    let help = "Calls over an edge, from admission to answer.";
    let mut family = families.family("watertight_edge_call_duration_seconds", Kind::Histogram, help);
    for (from, edge) in edges() {
        family.histogram(&edge_labels(from, edge), &edge.latency);
    }
    let mut family = families.family("watertight_edge_failures", Kind::Counter, "Calls that failed, by how.");
    for (from, edge) in edges() {
        let [from, to, import] = edge_labels(from, edge);
        for (kind, count) in &edge.failures {
            family.value(&[from, to, import, ("kind", kind)], *count);
        }
    }
    for (name, kind, help, read) in EDGE {
        let mut family = families.family(name, kind, help);
        for (from, edge) in edges() {
            family.value(&edge_labels(from, edge), read(edge));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use watertight_observe::Latency;

    use super::*;

    fn status() -> (NodeStatus, ComponentsStatus) {
        let node = r#"{"app":"pr\"ess","version":"0.1.0","pid":1,"url":"","since":"","uptime_ms":1500,"generation":1,
            "workers":[{"worker":0,"state":"serving","state_ms":0,"restarts":0,"generation":1,"answers":true,"rss_bytes":1024}]}"#;
        let latency = Latency { counts: vec![1, 0, 2], sum_ns: 7_500 };
        let edge = EdgeStatus {
            import: "press:markdown/render".into(),
            to: "markdown".into(),
            failures: BTreeMap::from([("trap".into(), 2)]),
            latency: latency.clone(),
            bytes_in: 64,
            ..EdgeStatus::default()
        };
        let web = ComponentStatus { name: "web".into(), edges: vec![edge], latency, ..ComponentStatus::default() };
        let route = RouteStatus { route: "/a\\b\n...".into(), classes: [0, 0, 3, 0, 0, 1], ..RouteStatus::default() };
        let status = ComponentsStatus { components: vec![web], routes: vec![route], ..ComponentsStatus::default() };
        (serde_json::from_str(node).expect("it is a node"), status)
    }

    #[test]
    fn prometheus_reads_totals_buckets_and_escapes() {
        let (node, status) = status();
        insta::assert_snapshot!(render(&node, &status, Dialect::Prometheus));
    }

    #[test]
    fn openmetrics_names_families_without_their_suffix_and_ends() {
        let (node, status) = status();
        let text = render(&node, &status, Dialect::OpenMetrics);
        assert!(text.contains("# TYPE watertight_edge_failures counter\n"), "{text}");
        assert!(text.contains("watertight_edge_failures_total{from=\"web\""), "{text}");
        assert!(text.contains("# TYPE watertight_app info\n") && text.contains("watertight_app_info{"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn a_client_gets_openmetrics_if_it_reads_that() {
        let asked = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::ACCEPT, http::HeaderValue::from_static(accept));
            dialect(&headers)
        };
        assert_eq!(asked("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"), Dialect::OpenMetrics);
        assert_eq!(asked("text/plain"), Dialect::Prometheus);
        assert_eq!(dialect(&HeaderMap::new()), Dialect::Prometheus);
    }
}
