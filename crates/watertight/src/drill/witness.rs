//! Who sees what happens during a drill: a sink of events that counts by component, and remembers in which call trees something failed.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use watertight_model::{
    app::{App, Component, ComponentId},
    breaker::BreakerState,
    drill::Part,
    event::{self, CellEnd, Event, EventSink, Outcome, TreeId},
    fault::FaultKind,
    supervision::{Change, Subject},
};

/// Call trees with failures that nobody has asked about yet. A drill asks about each as soon as it ends.
const MAX_TREES: usize = 1 << 16;

/// Counts what happens to the components of one app.
#[derive(Debug)]
pub struct Witness {
    app: Arc<App>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    parts: Vec<Part>,
    /// How many calls failed in a call tree, so that their callers got something else than they asked for.
    failures: HashMap<TreeId, u32>,
}

impl Witness {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(app: &Arc<App>) -> Self {
        let witness = Self { app: Arc::clone(app), seen: Mutex::default() };
        witness.begin();
        witness
    }

    /// Forgets what was before.
    pub(super) fn begin(&self) {
        let part = |component: &Component| Part { name: component.name.clone(), ..Part::default() };
        *self.seen.lock() = Seen { parts: self.app.components.iter().map(part).collect(), failures: HashMap::new() };
    }

    /// How many calls failed in a call tree that has ended. It is told once.
    pub(super) fn failures(&self, tree: TreeId) -> u32 {
        self.seen.lock().failures.remove(&tree).unwrap_or(0)
    }

    /// What befell each component, by its index.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.seen.lock().parts.clone()
    }
}

impl Seen {
    fn ended(&mut self, component: ComponentId, outcome: Outcome, injected: Option<FaultKind>) {
        let Some(part) = self.parts.get_mut(component.0 as usize) else { return };
        part.calls += 1;
        if let Some(fault) = injected {
            *part.injected.entry(fault).or_default() += 1;
        }
        if let Outcome::Failed(kind) = outcome {
            part.count_failure(kind, injected);
        }
    }

    fn part(&mut self, component: ComponentId) -> Option<&mut Part> {
        self.parts.get_mut(component.0 as usize)
    }
}

impl EventSink for Witness {
    fn emit(&self, event: Event) {
        match event {
            Event::Call(call) => {
                let Some(edge) = self.app.edges.get(call.edge.0 as usize) else { return };
                let mut seen = self.seen.lock();
                seen.ended(edge.exporter, call.outcome, call.injected);
                let function = edge.functions.get(call.function.0 as usize);
                let fallback = function.and_then(|function| function.fallback.as_ref()).map(|other| other.component);
                if let (Some(fallback), Some(outcome)) = (fallback, call.fallback) {
                    seen.ended(fallback, outcome, None);
                }
                let failed = call.seen != event::Seen::Results;
                if failed && (seen.failures.len() < MAX_TREES || seen.failures.contains_key(&call.tree)) {
                    *seen.failures.entry(call.tree).or_default() += 1;
                }
            }
            Event::Root(root) => self.seen.lock().ended(root.component, root.outcome, root.injected),
            Event::CellEnded { component, end: CellEnd::Ejected(_), .. } => {
                if let Some(part) = self.seen.lock().part(component) {
                    part.ejected += 1;
                }
            }
            Event::Breaker { edge, state: BreakerState::Open } => {
                let Some(edge) = self.app.edges.get(edge.0 as usize) else { return };
                if let Some(part) = self.seen.lock().part(edge.exporter) {
                    part.breakers_opened += 1;
                }
            }
            Event::Supervised { of: Subject::Instance { component, .. }, change: Change::Restarting { .. } } => {
                if let Some(part) = self.seen.lock().part(component) {
                    part.restarts += 1;
                }
            }
            Event::CellStarted { .. }
            | Event::CellEnded { .. }
            | Event::Failure(_)
            | Event::Postmortem(_)
            | Event::Demoted { .. }
            | Event::Denied { .. }
            | Event::Log { .. }
            | Event::LogCut { .. }
            | Event::Request(_)
            | Event::Trace(_)
            | Event::Worker { .. }
            | Event::Supervised { .. }
            | Event::Breaker { .. }
            | Event::Reload(_)
            | Event::Faults(_)
            | Event::Dropped { .. } => {}
        }
    }
}
