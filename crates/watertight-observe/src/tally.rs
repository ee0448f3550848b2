//! The tally: counts what happens, by component and edge, on its way to other sinks. Nothing waits for it and nothing is lost to it: a
//! few relaxed additions for each event, so that it can stand before the [`Bus`](crate::Bus), which drops.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use watertight_model::{
    app::{App, ComponentId, Edge, EdgeId},
    breaker::BreakerState,
    event::{CellEnd, Event, EventSink, Outcome, Request},
    failure::FailureKind,
    trace::Sampling,
};

use crate::latency::{Histogram, Latency};

/// Counts events of one process, and passes them on.
pub struct Tally {
    next: Arc<dyn EventSink>,
    components: Box<[ComponentTally]>,
    edges: Box<[Outcomes]>,
    /// For each function of each edge: who stands in.
    fallbacks: Box<[Box<[Option<ComponentId>]>]>,
    /// The routes in their order, then what matched none.
    routes: Box<[RouteTally]>,
    breakers: Box<[BreakerTally]>,
}

/// What one component has done in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentCounts {
    /// Calls from outside that entered it.
    pub roots: OutcomeCounts,
    /// Calls that it got as a fallback. How long they took is that of the whole call.
    pub stood_in: OutcomeCounts,
    /// Cells that came to life.
    pub started: u64,
    /// Cells that are gone.
    pub ended: u64,
    /// Cells among those that failed and were thrown out.
    pub ejected: u64,
    /// Cells that went on at lower priority, because a slice was spent.
    pub demoted: u64,
    /// Uses that the manifest does not grant, once for each cell and remedy.
    pub denied: u64,
    /// Nanoseconds that cells which are gone spent in its code.
    pub cpu_ns: u64,
}

/// How calls ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// All of them.
    pub calls: u64,
    /// Those whose caller was cut off before.
    pub cancelled: u64,
    /// Those that failed, by how.
    pub failures: BTreeMap<&'static str, u64>,
    /// How long they took.
    pub latency: Latency,
    /// Bytes that went to the callee.
    pub bytes_in: u64,
    /// Bytes that came back.
    pub bytes_out: u64,
}

/// How requests were answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// By the class of their status, from `1xx` to `5xx`; first, those that were broken off before there was one.
    pub classes: [u64; 6],
    /// From the request's head to the answer's last byte.
    pub latency: Latency,
    /// Bytes of the requests' bodies that were read.
    pub bytes_in: u64,
    /// Bytes of the answers' bodies that were written.
    pub bytes_out: u64,
}

#[derive(Debug, Default)]
struct RouteTally {
    classes: [AtomicU64; 6],
    latency: Histogram,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

#[derive(Debug, Default)]
struct ComponentTally {
    roots: Outcomes,
    stood_in: Outcomes,
    started: AtomicU64,
    ended: AtomicU64,
    ejected: AtomicU64,
    demoted: AtomicU64,
    denied: AtomicU64,
    cpu_ns: AtomicU64,
}

#[derive(Debug, Default)]
struct BreakerTally {
    openings: AtomicU64,
    open: AtomicBool,
}

#[derive(Debug, Default)]
struct Outcomes {
    latency: Histogram,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    cancelled: AtomicU64,
    failures: [AtomicU64; FailureKind::ALL.len()],
}

impl Tally {
    /// Counts the events of an app on their way to `next`.
    #[must_use]
    pub fn new(app: &App, next: Arc<dyn EventSink>) -> Self {
        Self {
            next,
            components: app.components.iter().map(|_| ComponentTally::default()).collect(),
            edges: app.edges.iter().map(|_| Outcomes::default()).collect(),
            fallbacks: app.edges.iter().map(fallbacks).collect(),
            routes: (0..=app.http.len()).map(|_| RouteTally::default()).collect(),
            breakers: app.edges.iter().map(|_| BreakerTally::default()).collect(),
        }
    }

    /// What a component has done so far.
    #[must_use]
    pub fn component(&self, id: ComponentId) -> ComponentCounts {
        let Some(tally) = self.components.get(id.0 as usize) else { return ComponentCounts::default() };
        // A cell that starts meanwhile must not make more of them end than have started.
        let ended = tally.ended.load(Relaxed);
        ComponentCounts {
            roots: tally.roots.counts(),
            stood_in: tally.stood_in.counts(),
            started: tally.started.load(Relaxed).max(ended),
            ended,
            ejected: tally.ejected.load(Relaxed),
            demoted: tally.demoted.load(Relaxed),
            denied: tally.denied.load(Relaxed),
            cpu_ns: tally.cpu_ns.load(Relaxed),
        }
    }

    /// How the calls over an edge have ended so far.
    #[must_use]
    pub fn edge(&self, id: EdgeId) -> OutcomeCounts {
        self.edges.get(id.0 as usize).map(Outcomes::counts).unwrap_or_default()
    }

    /// How the requests to a route were answered so far: it is an index into [`App::http`], and `None` those that matched no route.
    #[must_use]
    pub fn route(&self, route: Option<u32>) -> RequestCounts {
        self.routes.get(self.place(route)).map(RouteTally::counts).unwrap_or_default()
    }

    fn place(&self, route: Option<u32>) -> usize {
        let none = self.routes.len() - 1;
        route.and_then(|route| usize::try_from(route).ok()).map_or(none, |route| route.min(none))
    }

    /// How often the breaker of an edge has opened so far, and whether it lets no calls through now.
    #[must_use]
    pub fn breaker(&self, id: EdgeId) -> (u64, bool) {
        let tally = self.breakers.get(id.0 as usize);
        tally.map_or((0, false), |tally| (tally.openings.load(Relaxed), tally.open.load(Relaxed)))
    }

    fn count(&self, event: &Event) {
        let component = |id: &ComponentId| self.components.get(id.0 as usize);
        let add = |counter: Option<&AtomicU64>| {
            if let Some(counter) = counter {
                counter.fetch_add(1, Relaxed);
            }
        };
        match event {
            Event::Call(call) => {
                if let Some(edge) = self.edges.get(call.edge.0 as usize) {
                    edge.count(call.outcome, call.duration);
                    edge.bytes_in.fetch_add(call.bytes_in, Relaxed);
                    edge.bytes_out.fetch_add(call.bytes_out, Relaxed);
                }
                if let Some(outcome) = call.fallback {
                    let functions = self.fallbacks.get(call.edge.0 as usize);
                    let stand_in = functions.and_then(|functions| *functions.get(call.function.0 as usize)?);
                    if let Some(tally) = stand_in.as_ref().and_then(component) {
                        tally.stood_in.count(outcome, call.duration);
                    }
                }
            }
            Event::Root(root) => {
                if let Some(tally) = component(&root.component) {
                    tally.roots.count(root.outcome, root.duration);
                }
            }
            Event::CellStarted { component: id, .. } => add(component(id).map(|tally| &tally.started)),
            Event::CellEnded { component: id, end, usage, .. } => {
                if let Some(tally) = component(id) {
                    let cpu = u64::try_from(usage.cpu.as_nanos()).unwrap_or(u64::MAX);
                    tally.cpu_ns.fetch_add(cpu, Relaxed);
                    tally.ended.fetch_add(1, Relaxed);
                    tally.ejected.fetch_add(u64::from(matches!(end, CellEnd::Ejected(_))), Relaxed);
                }
            }
            Event::Breaker { edge, state, .. } => {
                if let Some(tally) = self.breakers.get(edge.0 as usize) {
                    tally.open.store(*state != BreakerState::Closed, Relaxed);
                    tally.openings.fetch_add(u64::from(*state == BreakerState::Open), Relaxed);
                }
            }
            Event::Demoted { component: id, .. } => add(component(id).map(|tally| &tally.demoted)),
            Event::Denied { component: id, .. } => add(component(id).map(|tally| &tally.denied)),
            Event::Request(request) => {
                if let Some(route) = self.routes.get(self.place(request.route)) {
                    route.count(request);
                }
            }
            Event::Log { .. }
            | Event::LogCut { .. }
            | Event::Trace(_)
            | Event::Worker { .. }
            | Event::Reload(_)
            | Event::Faults(_)
            | Event::Supervised { .. }
            | Event::Failure(_)
            | Event::Postmortem(_)
            | Event::Dropped { .. } => {}
        }
    }
}

/// Who stands in for each function of an edge.
fn fallbacks(edge: &Edge) -> Box<[Option<ComponentId>]> {
    edge.functions.iter().map(|function| function.fallback.as_ref().map(|fallback| fallback.component)).collect()
}

impl EventSink for Tally {
    fn emit(&self, event: Event) {
        self.count(&event);
        self.next.emit(event);
    }

    fn sampling(&self) -> Option<Sampling> {
        self.next.sampling()
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").field("components", &self.components.len()).finish_non_exhaustive()
    }
}

impl RouteTally {
    fn count(&self, request: &Request) {
        if let Some(class) = self.classes.get(usize::from(request.status / 100)) {
            class.fetch_add(1, Relaxed);
        }
        self.latency.count(request.duration);
        self.bytes_in.fetch_add(request.bytes_in, Relaxed);
        self.bytes_out.fetch_add(request.bytes_out, Relaxed);
    }

    fn counts(&self) -> RequestCounts {
        RequestCounts {
            classes: std::array::from_fn(|class| self.classes.get(class).map_or(0, |count| count.load(Relaxed))),
            latency: self.latency.read(),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
        }
    }
}

impl Outcomes {
    fn count(&self, outcome: Outcome, duration: Duration) {
        self.latency.count(duration);
        match outcome {
            Outcome::Ok => {}
            Outcome::Cancelled => {
                self.cancelled.fetch_add(1, Relaxed);
            }
            Outcome::Failed(kind) => {
                let place = FailureKind::ALL.iter().position(|other| *other == kind);
                if let Some(counter) = place.and_then(|place| self.failures.get(place)) {
                    counter.fetch_add(1, Relaxed);
                }
            }
        }
    }

    fn counts(&self) -> OutcomeCounts {
        let failures =
            FailureKind::ALL.iter().zip(&self.failures).map(|(kind, count)| (kind.name(), count.load(Relaxed)));
        let failures = failures.filter(|(_, count)| *count > 0).collect();
        let cancelled = self.cancelled.load(Relaxed);
        // Each call is counted here first: no more of them have failed than there are.
        let latency = self.latency.read();
        let (bytes_in, bytes_out) = (self.bytes_in.load(Relaxed), self.bytes_out.load(Relaxed));
        OutcomeCounts { calls: latency.calls(), cancelled, failures, latency, bytes_in, bytes_out }
    }
}
