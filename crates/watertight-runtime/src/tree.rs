//! A call tree: the cells that belong to one root call, and how a call gets hold of the one it needs.
//!
//! A cell is on loan to one call at a time; a second caller waits its turn within its deadline. No lock is held while guest code
//! runs. A cell that failed, or was cut off in the middle of a call, is dropped instead of going back.

use std::{
    borrow::Borrow,
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use watertight_model::{
    app::{ComponentId, Lifetime},
    event::{CellId, TreeId},
    failure::{CallError, FailureKind},
};

use crate::{
    app::LoadedApp,
    cell::Cell,
    clock::Moment,
    driver::{Answer, Done, Driver, Work},
    failure,
    gate::Admitted,
    host::CellData,
    inject::Sabotage,
    membrane::{self, ExportedFunction, Frame, Lent, Proxy},
    meter,
    slice::Slice,
};

/// Runs at lower priority that a call tree calls back when it ends; more of them hear of the end when they have their turn.
const MAX_REMEMBERED: usize = 64;

static NEXT_TREE: AtomicU64 = AtomicU64::new(1);

/// The cells of one root call.
pub(crate) struct Tree<T: CellData> {
    pub(crate) id: TreeId,
    pub(crate) app: Arc<LoadedApp<T>>,
    /// The component that the root call enters.
    pub(crate) root: ComponentId,
    /// The root call's run, which all cells of the tree are charged to.
    pub(crate) slice: Arc<Slice>,
    /// Runs that went on at lower priority.
    demoted: Mutex<Vec<Weak<Slice>>>,
    /// One for each component.
    slots: Box<[Slot<T>]>,
    over: AtomicBool,
    told: Notify,
}

/// Where one cell rests between calls.
pub(crate) struct Slot<T: CellData> {
    state: Mutex<SlotState<T>>,
    freed: Notify,
    /// The cell of a component with component-model async.
    driver: tokio::sync::Mutex<Option<Driver<T>>>,
}

struct SlotState<T: CellData> {
    resting: Option<Box<Cell<T>>>,
    /// The cell on loan, or a cell yet to be made.
    lent: Option<Option<CellId>>,
}

impl<T: CellData> Default for Slot<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(SlotState { resting: None, lent: None }),
            freed: Notify::new(),
            driver: tokio::sync::Mutex::new(None),
        }
    }
}

/// A cell on loan for one call, which its component's gate admitted. `H` holds the call tree: by reference within a call,
/// shared at the root.
pub(crate) struct Loan<T: CellData, H: Borrow<Tree<T>>> {
    cell: Option<Box<Cell<T>>>,
    tree: H,
    component: ComponentId,
    home: Home,
}

/// The cell that is to be called.
pub(crate) enum Callee<'t, T: CellData> {
    /// It is the call's own while it lasts.
    Lent(Loan<T, &'t Tree<T>>),
    /// It has a task of its own, which several calls may share.
    Driven {
        driver: Driver<T>,
        component: ComponentId,
        tree: &'t Arc<Tree<T>>,
        sabotage: Option<Sabotage>,
        _admitted: Admitted<'t>,
    },
}

/// Where a cell goes after the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    /// It is dropped.
    Nowhere,
    /// Its slot in the call tree.
    Tree,
    /// Its component's residents.
    Residents,
}

impl<T: CellData> Tree<T> {
    pub(crate) fn new(app: Arc<LoadedApp<T>>, root: ComponentId) -> Arc<Self> {
        let slots = app.model().components.iter().map(|_| Slot::default()).collect();
        let id = TreeId(NEXT_TREE.fetch_add(1, Ordering::Relaxed));
        let slice = Slice::new(app.spec(root).budget.slice);
        let (over, told) = (AtomicBool::new(false), Notify::new());
        Arc::new(Self { id, app, root, slice, demoted: Mutex::default(), slots, over, told })
    }

    /// Keeps in mind that a run of this tree goes on at lower priority, so that it hears of the end in time.
    pub(crate) fn remember(&self, run: &Arc<Slice>) {
        let mut demoted = self.demoted.lock();
        demoted.retain(|run| run.strong_count() > 0);
        if demoted.len() < MAX_REMEMBERED {
            demoted.push(Arc::downgrade(run));
        }
    }

    /// Ends the tree: its root call is over, or was cut off. Cells with a task of their own stop.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.told.notify_waiters();
        for run in std::mem::take(&mut *self.demoted.lock()) {
            if let Some(run) = run.upgrade() {
                run.call_back();
            }
        }
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) {
        let told = self.told.notified();
        if !self.over.load(Ordering::Acquire) {
            told.await;
        }
    }

    /// Gets the cell of a component that this call tree uses, or a fresh one. `holder` is this tree, as the loan will hold it.
    pub(crate) async fn check_out<H: Borrow<Self>>(
        self: &Arc<Self>,
        holder: H,
        component: ComponentId,
        deadline: Moment,
    ) -> Result<Loan<T, H>, CallError> {
        let refused = |kind| failure::budget(kind, self.app.spec(component));
        let loaded = self.app.component(component);
        let admitted = loaded.gate.enter(deadline).await.map_err(refused)?;
        let (cell, home) = match self.app.spec(component).lifetime {
            Lifetime::Call => (None, Home::Nowhere),
            Lifetime::Request => (self.slot(component).take(deadline).await.map_err(refused)?, Home::Tree),
            Lifetime::Resident => (loaded.residents.take(), Home::Residents),
        };
        admitted.keep();
        let mut loan = Loan { cell, tree: holder, component, home };
        // What another call tree left behind may break a resident; then this one gets a fresh cell.
        if loan.cell.is_some() && loan.begin(self, deadline).await.is_err() {
            loan.discard();
        }
        if loan.cell.is_none() {
            loan.renew(Cell::start(&self.app, component, deadline).await?);
            loan.begin(self, deadline).await?;
        }
        Ok(loan)
    }

    /// The cell that a call of this tree goes to, if it is there and nothing has to be waited for: the common case.
    pub(crate) fn callee_at_rest(self: &Arc<Self>, component: ComponentId, deadline: Moment) -> Option<Callee<'_, T>> {
        let loaded = self.app.component(component);
        if loaded.driven || self.app.spec(component).lifetime != Lifetime::Request {
            return None;
        }
        let admitted = loaded.gate.enter_now()?;
        let Some(mut cell) = self.slot(component).take_resting() else {
            admitted.forgo();
            return None;
        };
        cell.join(Arc::clone(self), deadline);
        admitted.keep();
        Some(Callee::Lent(Loan { cell: Some(cell), tree: self, component, home: Home::Tree }))
    }

    /// Gets the cell that a call of this tree goes to.
    pub(crate) async fn callee(
        self: &Arc<Self>,
        component: ComponentId,
        deadline: Moment,
    ) -> Result<Callee<'_, T>, CallError> {
        let loaded = self.app.component(component);
        if !loaded.driven {
            return Ok(Callee::Lent(self.check_out(&**self, component, deadline).await?));
        }
        let refused = |kind| failure::budget(kind, self.app.spec(component));
        let admitted = loaded.gate.enter(deadline).await.map_err(refused)?;
        let driver = self.driver(component, deadline).await?;
        Ok(Callee::Driven { driver, component, tree: self, sabotage: None, _admitted: admitted })
    }

    /// The driver of the cell that a call of this tree goes to.
    async fn driver(&self, component: ComponentId, deadline: Moment) -> Result<Driver<T>, CallError> {
        let loaded = self.app.component(component);
        match self.app.spec(component).lifetime {
            Lifetime::Call => Ok(Driver::start(Cell::start(&self.app, component, deadline).await?)),
            Lifetime::Request => self.living(&self.slot(component).driver, component, deadline).await,
            Lifetime::Resident => self.living(&loaded.residents.driver, component, deadline).await,
        }
    }

    /// The driver in this place, or a fresh one where there is none or its cell has failed.
    async fn living(
        &self,
        place: &tokio::sync::Mutex<Option<Driver<T>>>,
        component: ComponentId,
        deadline: Moment,
    ) -> Result<Driver<T>, CallError> {
        let waited = meter::until(place.lock(), deadline).await;
        let mut place = waited.ok_or_else(|| failure::budget(FailureKind::Deadline, self.app.spec(component)))?;
        if let Some(driver) = place.as_ref().filter(|driver| driver.lives()) {
            return Ok(driver.clone());
        }
        let driver = Driver::start(Cell::start(&self.app, component, deadline).await?);
        *place = Some(driver.clone());
        Ok(driver)
    }

    /// Has a driver do something. A resident cell that went with another call tree is replaced.
    async fn have_done(
        self: &Arc<Self>,
        driver: &mut Driver<T>,
        component: ComponentId,
        mut work: Work,
        deadline: Moment,
    ) -> Done {
        loop {
            match driver.work(self, work, deadline).await {
                Answer::Done(done) => return done,
                Answer::Unserved(unserved) => work = unserved,
            }
            if Moment::now() >= deadline {
                return Done::failed(failure::budget(FailureKind::Deadline, self.app.spec(component)));
            }
            *driver = match self.driver(component, deadline).await {
                Ok(driver) => driver,
                Err(error) => return Done::failed(error),
            };
        }
    }

    /// Drops a resource in the cell that made it, if that still lives.
    pub(crate) async fn drop_resource(self: &Arc<Self>, proxy: Proxy, deadline: Moment) -> Result<(), CallError> {
        let component = self.app.component(proxy.component);
        if !component.driven {
            let mut maker = self.check_out_exactly(proxy.component, proxy.cell, deadline).await?;
            return maker.drop_resource(proxy.resource, deadline).await;
        }
        let place = match self.app.spec(proxy.component).lifetime {
            Lifetime::Call | Lifetime::Request => &self.slot(proxy.component).driver,
            Lifetime::Resident => &component.residents.driver,
        };
        let driver = place.lock().await.clone().filter(|driver| driver.cell() == proxy.cell);
        if let Some(driver) = driver {
            driver.work(self, Work::Drop(proxy.resource), deadline).await;
        }
        Ok(())
    }

    /// Gets the one cell with this id, if it still lives.
    async fn check_out_exactly(
        self: &Arc<Self>,
        component: ComponentId,
        id: CellId,
        deadline: Moment,
    ) -> Result<Loan<T, &Self>, CallError> {
        let refused = |kind| failure::budget(kind, self.app.spec(component));
        let loaded = self.app.component(component);
        let admitted = loaded.gate.enter(deadline).await.map_err(refused)?;
        let (cell, home) = match self.app.spec(component).lifetime {
            Lifetime::Call => (None, Home::Nowhere),
            Lifetime::Request => (self.slot(component).take_exactly(id, deadline).await.map_err(refused)?, Home::Tree),
            Lifetime::Resident => {
                (loaded.residents.take_exactly(id, deadline).await.map_err(refused)?, Home::Residents)
            }
        };
        let cell = Some(cell.ok_or_else(|| refused(FailureKind::DeadHandle))?);
        admitted.keep();
        let mut loan = Loan { cell, tree: &**self, component, home };
        loan.begin(self, deadline).await?;
        Ok(loan)
    }

    fn slot(&self, component: ComponentId) -> &Slot<T> {
        &self.slots[component.0 as usize]
    }
}

impl<T: CellData> Callee<'_, T> {
    /// Has the call that comes next fail.
    pub(crate) fn sabotage(&mut self, with: Sabotage) {
        match self {
            Self::Lent(loan) => loan.sabotage(with),
            Self::Driven { sabotage, .. } => *sabotage = Some(with),
        }
    }

    /// Calls an exported function: packed arguments in, packed results out. `began` is now, or a moment ago.
    pub(crate) async fn call(
        &mut self,
        function: &ExportedFunction,
        mut arguments: Frame,
        deadline: Moment,
        began: Moment,
    ) -> Done {
        let loan = match self {
            Self::Driven { driver, tree, component, sabotage, .. } => {
                let work = Work::Call(function.clone(), arguments, sabotage.take());
                return Box::pin(tree.have_done(driver, *component, work, deadline)).await;
            }
            Self::Lent(loan) => loan,
        };
        let mut lent = Lent::default();
        let unpacked = membrane::unpack(&mut arguments, &mut loan.store, &mut lent);
        let called = match unpacked {
            Ok(()) => loan.call(function, arguments, deadline, began).await,
            Err(kind) => Err(failure::budget(kind, loan.spec())),
        };
        let back = membrane::take_back(lent, &mut loan.store);
        let results = called.and_then(|mut results| match membrane::pack(&mut results, &mut loan.store) {
            Ok(_) => Ok(results),
            Err(kind) => Err(failure::budget(kind, loan.spec())),
        });
        Done { results, back }
    }
}

impl<T: CellData> Slot<T> {
    fn take_resting(&self) -> Option<Box<Cell<T>>> {
        let mut state = self.state.lock();
        let cell = state.resting.take()?;
        state.lent = Some(Some(cell.id()));
        Some(cell)
    }

    /// Takes the resting cell, or the right to make one.
    async fn take(&self, deadline: Moment) -> Result<Option<Box<Cell<T>>>, FailureKind> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock();
                if state.lent.is_none() {
                    let cell = state.resting.take();
                    state.lent = Some(cell.as_ref().map(|cell| cell.id()));
                    return Ok(cell);
                }
            }
            meter::until(freed, deadline).await.ok_or(FailureKind::Deadline)?;
        }
    }

    async fn take_exactly(&self, id: CellId, deadline: Moment) -> Result<Option<Box<Cell<T>>>, FailureKind> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock();
                match state.lent {
                    Some(lent) if lent == Some(id) => {}
                    Some(_) => return Ok(None),
                    None if state.resting.as_ref().is_some_and(|cell| cell.id() == id) => {
                        state.lent = Some(Some(id));
                        return Ok(state.resting.take());
                    }
                    None => return Ok(None),
                }
            }
            meter::until(freed, deadline).await.ok_or(FailureKind::Deadline)?;
        }
    }

    fn give_back(&self, cell: Option<Box<Cell<T>>>) {
        let mut state = self.state.lock();
        state.lent = None;
        state.resting = cell;
        drop(state);
        // All of them: one that waits for a cell that is gone would keep the news to itself.
        self.freed.notify_waiters();
    }
}

impl<T: CellData, H: Borrow<Tree<T>>> Loan<T, H> {
    async fn begin(&mut self, tree: &Arc<Tree<T>>, deadline: Moment) -> Result<(), CallError> {
        self.join(Arc::clone(tree), deadline);
        self.begin_tree(tree, deadline).await
    }

    /// Puts a fresh cell where there is none.
    fn renew(&mut self, cell: Box<Cell<T>>) {
        if self.home == Home::Residents {
            self.tree.borrow().app.component(self.component).residents.lend(cell.id());
        }
        self.cell = Some(cell);
    }

    /// Lets a broken resident go.
    fn discard(&mut self) {
        let id = self.cell.take().map(|cell| cell.id());
        self.tree.borrow().app.component(self.component).residents.give_back(id, None);
    }
}

impl<T: CellData, H: Borrow<Tree<T>>> Deref for Loan<T, H> {
    type Target = Cell<T>;

    fn deref(&self) -> &Cell<T> {
        self.cell.as_ref().expect("a loan has its cell until it is dropped")
    }
}

impl<T: CellData, H: Borrow<Tree<T>>> DerefMut for Loan<T, H> {
    fn deref_mut(&mut self) -> &mut Cell<T> {
        self.cell.as_mut().expect("a loan has its cell until it is dropped")
    }
}

impl<T: CellData, H: Borrow<Tree<T>>> Drop for Loan<T, H> {
    fn drop(&mut self) {
        let tree = self.tree.borrow();
        let mut cell = self.cell.take();
        if let Some(cell) = &mut cell {
            cell.leave();
        }
        let id = cell.as_ref().map(|cell| cell.id());
        let sound = cell.filter(|cell| cell.is_sound());
        let loaded = tree.app.component(self.component);
        match self.home {
            Home::Nowhere => drop(sound),
            Home::Tree => tree.slot(self.component).give_back(sound),
            Home::Residents => loaded.residents.give_back(id, sound),
        }
        loaded.gate.leave();
    }
}

impl<T: CellData> fmt::Debug for Tree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("id", &self.id).finish_non_exhaustive()
    }
}
