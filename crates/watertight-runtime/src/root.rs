//! A root call: what a trigger holds while a request, a command or an invocation runs.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use wasmtime::{Store, component::Instance};
use watertight_model::{
    app::{Component, ComponentId},
    event::{Event, Outcome, Root as RootEnded, TreeId},
    failure::{CallError, FailureKind},
    fault::{Fault, FaultKind, Stream},
    trace::SpanId,
};

use crate::{
    app::{LoadedApp, root_deadline},
    clock::Moment,
    demote::Demotable,
    engine::Busy,
    failure,
    host::CellData,
    inject,
    supervise::Office,
    trace::Recording,
    tree::{Loan, Tree},
};

/// A cell at the root of a call tree, admitted and ready to be entered. Dropping it ends the tree.
pub struct Root<T: CellData> {
    loan: Loan<T, Arc<Tree<T>>>,
    ended: Ended<T>,
    deadline: Moment,
    busy: Busy,
}

/// Says how the root call ended, also when it was cut off.
struct Ended<T: CellData> {
    tree: Arc<Tree<T>>,
    component: ComponentId,
    began: Moment,
    outcome: Outcome,
    injected: Option<FaultKind>,
    /// The span that it is part of.
    within: Option<SpanId>,
    /// The route that admitted it, where that has a gate.
    route: Option<usize>,
}

impl<T: CellData> Root<T> {
    pub(crate) async fn enter(
        app: &Arc<LoadedApp<T>>,
        component: ComponentId,
        route: Option<usize>,
        recording: Option<(Arc<Recording>, SpanId)>,
    ) -> Result<Self, CallError> {
        let began = Moment::now();
        Office::begin(app);
        let busy = app.engines().busy();
        let (recording, within) = match recording {
            Some((recording, within)) => (Some(recording), Some(within)),
            None => (app.record(None, None), None),
        };
        let recording = recording.map(|recording| {
            let span = recording.draw();
            (recording, span)
        });
        let tree = Tree::new(Arc::clone(app), component, recording);
        let deadline = root_deadline(app.spec(component));
        let fault = app.faults().draw(Stream::Root(component));
        let injected = fault.map(Fault::kind);
        let mut ended = Ended {
            tree: Arc::clone(&tree),
            component,
            began,
            outcome: Outcome::Cancelled,
            injected,
            within,
            route: None,
        };
        if let Some(route) = route
            && let Err(error) = ended.admit(route, deadline).await
        {
            ended.outcome = Outcome::Failed(error.kind);
            return Err(error);
        }
        // Guest code runs here already: what a component does when it is instantiated.
        let entering = Demotable::new(Arc::clone(&tree.slice), deadline, {
            let tree = Arc::clone(&tree);
            async move { Self::check_out(&tree, component, deadline, fault).await }
        });
        match entering.await.unwrap_or_else(|| late(&tree)) {
            Ok(loan) => Ok(Self { loan, ended, deadline, busy }),
            Err(error) => {
                ended.outcome = Outcome::Failed(error.kind);
                Err(error)
            }
        }
    }

    /// Gets the cell, once what a drill has in store for it has begun.
    async fn check_out(
        tree: &Arc<Tree<T>>,
        component: ComponentId,
        deadline: Moment,
        fault: Option<Fault>,
    ) -> Result<Loan<T, Arc<Tree<T>>>, CallError> {
        let sabotage = match fault {
            Some(fault) => Box::pin(inject::begin(fault, tree.app.spec(component), deadline)).await?,
            None => None,
        };
        let mut loan = tree.check_out(Arc::clone(tree), component, deadline).await?;
        if let Some(sabotage) = sabotage {
            loan.sabotage(sabotage);
        }
        Ok(loan)
    }

    /// The call tree's id.
    #[must_use]
    pub fn tree(&self) -> TreeId {
        self.ended.tree.id
    }

    /// Whose cell it is.
    pub(crate) fn spec(&self) -> &Component {
        self.ended.tree.app.spec(self.ended.component)
    }

    /// Whether the component uses component-model async.
    pub(crate) fn is_driven(&self) -> bool {
        self.ended.tree.app.component(self.ended.component).driven
    }

    /// The cell's store.
    pub fn store(&mut self) -> &mut Store<T> {
        &mut self.loan.store
    }

    /// The cell's instance.
    #[must_use]
    pub fn instance(&self) -> Instance {
        self.loan.instance
    }

    /// Runs something in the cell, under its budgets, and ends the call tree. Past its slice, it goes on in another thread.
    ///
    /// # Errors
    /// How it failed; the cell is ejected then.
    pub async fn run<R: Send + 'static>(
        self,
        run_in: impl for<'a> FnOnce(&'a mut Store<T>, Instance) -> BoxFuture<'a, wasmtime::Result<R>> + Send + 'static,
    ) -> Result<R, CallError> {
        let Self { mut loan, mut ended, deadline, busy } = self;
        // The cell comes back with the result, wherever it ran: who reads what the cell wrote must hear how it failed before the store
        // is dropped and what was written ends.
        let running = Demotable::new(Arc::clone(&ended.tree.slice), deadline, async move {
            let _busy = busy;
            let result = loan.run_host(deadline, run_in).await;
            (result, loan)
        });
        let (result, _loan) = running.await.map_or_else(|| (late(&ended.tree), None), |(ran, loan)| (ran, Some(loan)));
        ended.outcome = match &result {
            Ok(_) => Outcome::Ok,
            Err(error) => Outcome::Failed(error.kind),
        };
        result
    }
}

/// The end of a root call that was given up at lower priority.
pub(crate) fn late<T: CellData, R>(tree: &Tree<T>) -> Result<R, CallError> {
    Err(failure::budget(FailureKind::Deadline, tree.app.spec(tree.root)))
}

impl<T: CellData> Ended<T> {
    /// Waits for a place among the requests of its route, and keeps it.
    async fn admit(&mut self, route: usize, deadline: Moment) -> Result<(), CallError> {
        let app = &self.tree.app;
        let (Some(gate), Some(limit)) = (app.route(route), app.model().http[route].limit) else { return Ok(()) };
        let refused = |kind| {
            let key = format!("[[trigger.http]] `{}`", app.model().http[route].route);
            failure::turned_away(kind, &app.spec(self.component).name, limit, &key)
        };
        gate.enter(deadline).await.map_err(refused)?.keep();
        self.route = Some(route);
        Ok(())
    }
}

impl<T: CellData> Drop for Ended<T> {
    fn drop(&mut self) {
        self.tree.end();
        if let Some(gate) = self.route.and_then(|route| self.tree.app.route(route)) {
            gate.leave();
        }
        let root = RootEnded {
            tree: self.tree.id,
            component: self.component,
            duration: Moment::now().since(self.began),
            outcome: self.outcome,
            injected: self.injected,
        };
        if let Some((recording, span)) = &self.tree.recording {
            recording.root(*span, self.within, root);
        }
        let span = self.tree.recording.as_ref().map_or(SpanId(0), |(_, span)| *span);
        self.tree.app.taps().root(root, span);
        self.tree.app.events().emit(Event::Root(root));
    }
}

impl<T: CellData> fmt::Debug for Root<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("tree", &self.tree()).finish_non_exhaustive()
    }
}
