//! A root call: what a trigger holds while a request, a command or an invocation runs.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use wasmtime::{Store, component::Instance};
use watertight_model::{
    app::ComponentId,
    event::{Event, Outcome, Root as RootEnded, TreeId},
    failure::CallError,
};

use crate::{
    app::{LoadedApp, root_deadline},
    clock::Moment,
    engine::Busy,
    host::CellData,
    tree::{Loan, Tree},
};

/// A cell at the root of a call tree, admitted and ready to be entered. Dropping it ends the tree.
pub struct Root<T: CellData> {
    loan: Loan<T, Arc<Tree<T>>>,
    ended: Ended<T>,
    deadline: Moment,
    _busy: Busy,
}

/// Says how the root call ended, also when it was cut off.
struct Ended<T: CellData> {
    tree: Arc<Tree<T>>,
    component: ComponentId,
    began: Moment,
    outcome: Outcome,
}

impl<T: CellData> Root<T> {
    pub(crate) async fn enter(app: &Arc<LoadedApp<T>>, component: ComponentId) -> Result<Self, CallError> {
        let began = Moment::now();
        let busy = app.engines().busy();
        let tree = Tree::new(Arc::clone(app), component);
        let deadline = root_deadline(app.spec(component));
        let mut ended = Ended { tree: Arc::clone(&tree), component, began, outcome: Outcome::Cancelled };
        match tree.check_out(Arc::clone(&tree), component, deadline).await {
            Ok(loan) => Ok(Self { loan, ended, deadline, _busy: busy }),
            Err(error) => {
                ended.outcome = Outcome::Failed(error.kind);
                Err(error)
            }
        }
    }

    /// The call tree's id.
    #[must_use]
    pub fn tree(&self) -> TreeId {
        self.ended.tree.id
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

    /// Runs something in the cell, under its budgets, and ends the call tree.
    ///
    /// # Errors
    /// How it failed; the cell is ejected then.
    pub async fn run<R>(
        mut self,
        run_in: impl for<'a> FnOnce(&'a mut Store<T>, Instance) -> BoxFuture<'a, wasmtime::Result<R>> + Send,
    ) -> Result<R, CallError> {
        let result = self.loan.run_host(self.deadline, run_in).await;
        self.ended.outcome = match &result {
            Ok(_) => Outcome::Ok,
            Err(error) => Outcome::Failed(error.kind),
        };
        result
    }
}

impl<T: CellData> Drop for Ended<T> {
    fn drop(&mut self) {
        self.tree.end();
        self.tree.app.events().emit(Event::Root(RootEnded {
            tree: self.tree.id,
            component: self.component,
            duration: Moment::now().since(self.began),
            outcome: self.outcome,
        }));
    }
}

impl<T: CellData> fmt::Debug for Root<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("tree", &self.tree()).finish_non_exhaustive()
    }
}
