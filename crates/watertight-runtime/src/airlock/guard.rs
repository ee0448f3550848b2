//! What stands before an edge: its breaker, and its gate. One for all functions of the edge, in each worker.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use watertight_model::{
    app::{App, Edge, EdgeId, Limit},
    breaker::{Breaker, BreakerState, Ended, Pass, Step},
    event::{Event, EventSink},
    failure::{CallError, FailureKind},
};

use crate::{
    clock::Moment,
    failure,
    gate::{Admitted, Gate},
};

/// Lets calls over one edge through, or turns them away.
pub(crate) struct Guard {
    edge: EdgeId,
    callee: String,
    /// The edge's table in the manifest.
    key: String,
    breaker: Option<Mutex<Breaker>>,
    gate: Option<(Gate, Limit)>,
}

/// A call that was let through. The breaker is told how it ended by [`Through::settle`]; if that is not called, there is no telling.
#[must_use]
pub(crate) struct Through<'a> {
    guard: &'a Guard,
    events: &'a Arc<dyn EventSink>,
    pass: Option<Pass>,
    _admitted: Option<Admitted<'a>>,
}

impl Guard {
    /// None where the manifest says nothing of the kind.
    pub(crate) fn of(app: &App, edge: &Edge) -> Option<Arc<Self>> {
        if edge.breaker.is_none() && edge.limit.is_none() {
            return None;
        }
        let importer = &app.component(edge.importer).name;
        let gate = edge.limit.map(|limit| (Gate::new(limit.concurrency, limit.queue), limit));
        Some(Arc::new(Self {
            edge: edge.id,
            callee: app.component(edge.exporter).name.clone(),
            key: format!("component.{importer}.edge.\"{}\"", edge.import),
            breaker: edge.breaker.map(|spec| Mutex::new(Breaker::new(spec))),
            gate,
        }))
    }

    /// Lets a call through that can be made now, or in time.
    pub(crate) async fn admit<'a>(
        &'a self,
        events: &'a Arc<dyn EventSink>,
        deadline: Moment,
    ) -> Result<Through<'a>, CallError> {
        // An open breaker turns calls away before they wait; one that opened while they waited, after that.
        if let Some(refused) = self.breaker.as_ref().and_then(|breaker| breaker.lock().refuses(now())) {
            return Err(self.open(refused));
        }
        let admitted = match &self.gate {
            Some((gate, limit)) => {
                let full = |kind| failure::turned_away(kind, &self.callee, *limit, &self.key);
                Some(gate.enter(deadline).await.map_err(full)?)
            }
            None => None,
        };
        let pass = self.breaker.as_ref().map(|breaker| self.step(breaker, Step::Ask, events)).transpose()?;
        Ok(Through { guard: self, events, pass: pass.flatten(), _admitted: admitted })
    }

    /// Takes a step of the breaker, tells of a change, and gives the pass that was asked for.
    fn step(
        &self,
        breaker: &Mutex<Breaker>,
        step: Step,
        events: &Arc<dyn EventSink>,
    ) -> Result<Option<Pass>, CallError> {
        let reply = breaker.lock().step(now(), step);
        if let Some(state) = reply.change {
            events.emit(Event::Breaker { edge: self.edge, state });
        }
        reply.pass.transpose().map_err(|refused| self.open(refused))
    }

    fn open(&self, refused: std::time::Duration) -> CallError {
        let detail = match refused.as_millis() {
            0 => "its breaker is half-open, and another call finds out whether it is well".to_owned(),
            millis => {
                format!("its breaker is open for another {millis}ms: too many calls failed ({}.breaker)", self.key)
            }
        };
        CallError { kind: FailureKind::BreakerOpen, component: self.callee.clone(), detail }
    }
}

impl Through<'_> {
    /// Tells the breaker how the call ended.
    pub(crate) fn settle<R>(mut self, result: &Result<R, CallError>) {
        self.end(match result {
            Ok(_) => Ended::Well,
            Err(error) if error.kind.trips() => Ended::Badly,
            Err(_) => Ended::Untold,
        });
    }

    fn end(&mut self, ended: Ended) {
        if let (Some(pass), Some(breaker)) = (self.pass.take(), &self.guard.breaker) {
            // Only who asks can be refused.
            let _ = self.guard.step(breaker, Step::Ended(pass, ended), self.events);
        }
    }
}

impl Drop for Through<'_> {
    fn drop(&mut self) {
        self.end(Ended::Untold);
    }
}

/// The time since any moment that stays the same.
fn now() -> std::time::Duration {
    std::time::Duration::from_nanos(Moment::now().as_nanos())
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.breaker.as_ref().map_or(BreakerState::Closed, |breaker| breaker.lock().state());
        f.debug_struct("Guard").field("edge", &self.edge).field("breaker", &state).finish_non_exhaustive()
    }
}
