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
use tokio::sync::{Notify, oneshot};
use watertight_model::{
    app::{ComponentId, Lifetime},
    event::{CellId, TreeId},
    failure::{CallError, FailureKind},
    supervision::Run,
    trace::SpanId,
};

use crate::{
    app::LoadedApp,
    cell::Cell,
    clock::Moment,
    cut::Cut,
    driver::{Answer, Borrowed, Done, Driver, Work},
    failure,
    ferry::{self, Ferry},
    gate::Admitted,
    host::CellData,
    inject::Sabotage,
    membrane::{self, ExportedFunction, Frame, Lent, Proxy},
    meter,
    postmortem::Crossings,
    resident::{Refused, Residents, Taken, Wanted, Which},
    slice::Slice,
    trace::Recording,
};

/// Runs at lower priority that a call tree calls back when it ends; more of them hear of the end when they have their turn.
const MAX_REMEMBERED: usize = 64;

static NEXT_TREE: AtomicU64 = AtomicU64::new(1);

/// The cells of one root call.
pub(crate) struct Tree<T: CellData> {
    pub(crate) id: TreeId,
    pub(crate) app: Arc<LoadedApp<T>>,
    /// The component that the root call enters, and when it did.
    pub(crate) root: ComponentId,
    pub(crate) began: Moment,
    /// What crossed in it, where postmortems are kept.
    pub(crate) crossings: Option<Crossings>,
    /// Where its spans are taken down, and the span that its first cell works in, where somebody traces.
    pub(crate) recording: Option<(Arc<Recording>, SpanId)>,
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
    bound: Bound,
}

/// Which resident this tree holds on to, so that the handles it has from one are good for its next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Free,
    To(Run),
    /// The tree has ended.
    Over,
}

impl<T: CellData> Default for Slot<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(SlotState { resting: None, lent: None, bound: Bound::Free }),
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
    home: Home<T>,
}

/// The cell that is to be called.
pub(crate) enum Callee<'t, T: CellData> {
    /// It is the call's own while it lasts.
    Lent(Loan<T, &'t Tree<T>>),
    /// It has a task of its own, which several calls may share.
    Driven {
        driver: Chosen<'t, T>,
        component: ComponentId,
        tree: &'t Arc<Tree<T>>,
        sabotage: Option<Sabotage>,
        _admitted: Admitted<'t>,
    },
    /// It is in another process.
    Away {
        ferry: &'t Arc<dyn Ferry>,
        component: ComponentId,
        tree: &'t Tree<T>,
        sabotage: Option<Sabotage>,
        _admitted: Admitted<'t>,
    },
}

/// Who calls, and for what, as far as residents care.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errand {
    /// The resident that made a resource among the arguments.
    pub(crate) maker: Option<CellId>,
    /// How the caller is ended, if it is a resident itself.
    pub(crate) caller: Option<Arc<Cut>>,
}

/// A driver, and the seat that counts its calls where it has one.
pub(crate) struct Chosen<'t, T: CellData> {
    driver: Driver<T>,
    seat: Option<(&'t Residents<T>, Run)>,
}

/// Where a cell goes after the call.
enum Home<T: CellData> {
    /// It is dropped.
    Nowhere,
    /// Its slot in the call tree.
    Tree,
    /// Its seat among its component's residents.
    Seat(Run),
    /// The driver that has this seat.
    Driver(Run, oneshot::Sender<Box<Cell<T>>>),
}

impl<T: CellData> Tree<T> {
    pub(crate) fn new(
        app: Arc<LoadedApp<T>>,
        root: ComponentId,
        recording: Option<(Arc<Recording>, SpanId)>,
    ) -> Arc<Self> {
        let slots = app.model().components.iter().map(|_| Slot::default()).collect();
        let id = TreeId(NEXT_TREE.fetch_add(1, Ordering::Relaxed));
        let slice = Slice::new(app.spec(root).budget.slice);
        let crossings = app.archive().map(|_| Crossings::default());
        let (began, over, told) = (Moment::latest(), AtomicBool::new(false), Notify::new());
        let demoted = Mutex::default();
        Arc::new(Self { id, app, root, slice, demoted, began, crossings, recording, slots, over, told })
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
        for component in self.app.binding() {
            let bound = std::mem::replace(&mut self.slot(*component).state.lock().bound, Bound::Over);
            if let Bound::To(run) = bound {
                self.app.component(*component).residents.unbind(run);
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
    pub(crate) async fn check_out<H: Borrow<Self> + Clone>(
        self: &Arc<Self>,
        holder: H,
        component: ComponentId,
        deadline: Moment,
    ) -> Result<Loan<T, H>, CallError> {
        let refused = |kind| failure::budget(kind, self.app.spec(component));
        let loaded = self.app.component(component);
        let lifetime = self.app.spec(component).lifetime;
        if lifetime == Lifetime::Resident {
            return self.check_out_resident(holder, component, &Errand::default(), deadline).await;
        }
        let admitted = loaded.gate.enter(deadline).await.map_err(refused)?;
        let (cell, home) = match lifetime {
            Lifetime::Call | Lifetime::Resident => (None, Home::Nowhere),
            Lifetime::Request => (self.slot(component).take(deadline).await.map_err(refused)?, Home::Tree),
        };
        admitted.keep();
        let mut loan = Loan { cell, tree: holder, component, home };
        if loan.cell.is_none() {
            loan.cell = Some(Cell::start(&self.app, component, deadline).await?);
        }
        loan.begin(self, deadline).await?;
        Ok(loan)
    }

    /// Gets a resident cell of a component; one of many, or the one that made a resource.
    async fn check_out_resident<H: Borrow<Self> + Clone>(
        self: &Arc<Self>,
        holder: H,
        component: ComponentId,
        errand: &Errand,
        deadline: Moment,
    ) -> Result<Loan<T, H>, CallError> {
        let loaded = self.app.component(component);
        loop {
            let admitted = self.admit(component, errand, deadline).await?;
            let taken = match loaded.driven {
                true => self.borrow(component, errand, deadline).await,
                false => {
                    let taken = loaded.residents.take(self.wanted(component, errand, deadline)).await;
                    taken.map(|Taken { run, cell }| (run, cell, Home::Seat(run)))
                }
            };
            let (run, cell, home) = taken.map_err(|refused| failure::refused(refused, self.app.spec(component)))?;
            admitted.keep();
            let mut loan = Loan { cell: Some(cell), tree: holder.clone(), component, home };
            self.bind(component, run);
            match loan.begin(self, deadline).await {
                Ok(()) => return Ok(loan),
                Err(error) if errand.maker.is_some() || Moment::now() >= deadline => return Err(error),
                // What another call tree left behind has broken it: another one has to do.
                Err(_) => {}
            }
        }
    }

    /// Lets a call to a resident in, unless there is none and will be none.
    async fn admit(
        &self,
        component: ComponentId,
        errand: &Errand,
        deadline: Moment,
    ) -> Result<Admitted<'_>, CallError> {
        let loaded = self.app.component(component);
        let spec = self.app.spec(component);
        if errand.maker.is_none()
            && let Some(why) = loaded.residents.down()
        {
            return Err(failure::refused(Refused::Down(why), spec));
        }
        loaded.gate.enter(deadline).await.map_err(|kind| failure::budget(kind, spec))
    }

    /// Borrows a resident from its driver.
    async fn borrow(
        self: &Arc<Self>,
        component: ComponentId,
        errand: &Errand,
        deadline: Moment,
    ) -> Result<(Run, Box<Cell<T>>, Home<T>), Refused> {
        let residents = &self.app.component(component).residents;
        loop {
            let (run, driver) = residents.choose(self.wanted(component, errand, deadline)).await?;
            let chosen = Chosen { driver, seat: Some((residents, run)) };
            match chosen.driver.borrow(self, deadline).await {
                // The loan ends the call now.
                Ok(Some(Borrowed { cell, back })) => {
                    chosen.keep();
                    return Ok((run, cell, Home::Driver(run, back)));
                }
                // It has ended, and its seat goes with it.
                Ok(None) => {}
                Err(_deadline) => return Err(Refused::Late),
            }
        }
    }

    /// Which resident a call of this tree goes to: the maker of what it is about, else the one that the tree holds on to.
    fn wanted(&self, component: ComponentId, errand: &Errand, deadline: Moment) -> Wanted {
        let which = match errand.maker {
            Some(maker) => Which::Exactly(maker),
            None if self.app.component(component).hands_out => match self.slot(component).state.lock().bound {
                Bound::To(run) => Which::Rather(run),
                Bound::Free | Bound::Over => Which::Any,
            },
            None => Which::Any,
        };
        Wanted { which, deadline, caller: errand.caller.clone() }
    }

    /// Holds on to a resident that hands out resources.
    fn bind(&self, component: ComponentId, run: Run) {
        let loaded = self.app.component(component);
        if !loaded.hands_out {
            return;
        }
        let mut state = self.slot(component).state.lock();
        let before = state.bound;
        if before == Bound::Over || before == Bound::To(run) {
            return;
        }
        state.bound = Bound::To(run);
        drop(state);
        loaded.residents.bind(run);
        if let Bound::To(before) = before {
            loaded.residents.unbind(before);
        }
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

    /// Gets the cell that a call of this tree goes to, wherever it is: the one that made a resource among its arguments, if any did.
    pub(crate) async fn callee(
        self: &Arc<Self>,
        component: ComponentId,
        errand: Errand,
        deadline: Moment,
    ) -> Result<Callee<'_, T>, CallError> {
        let Some(ferry) = self.app.ferry(component) else { return self.callee_here(component, errand, deadline).await };
        let refused = |kind| failure::budget(kind, self.app.spec(component));
        // So many calls are under way from here at most, and the others wait here. It counts them all where it is.
        let admitted = self.app.component(component).away.enter(deadline).await.map_err(refused)?;
        Ok(Callee::Away { ferry, component, tree: self, sabotage: None, _admitted: admitted })
    }

    /// Gets the cell in this process that a call of this tree goes to.
    pub(crate) async fn callee_here(
        self: &Arc<Self>,
        component: ComponentId,
        errand: Errand,
        deadline: Moment,
    ) -> Result<Callee<'_, T>, CallError> {
        let loaded = self.app.component(component);
        let resident = self.app.spec(component).lifetime == Lifetime::Resident;
        if !loaded.driven {
            return Ok(Callee::Lent(match resident {
                true => self.check_out_resident(&**self, component, &errand, deadline).await?,
                false => self.check_out(&**self, component, deadline).await?,
            }));
        }
        let admitted = match resident {
            true => self.admit(component, &errand, deadline).await?,
            false => {
                let refused = |kind| failure::budget(kind, self.app.spec(component));
                loaded.gate.enter(deadline).await.map_err(refused)?
            }
        };
        let driver = self.driver(component, &errand, deadline).await?;
        Ok(Callee::Driven { driver, component, tree: self, sabotage: None, _admitted: admitted })
    }

    /// The driver of the cell that a call of this tree goes to.
    async fn driver(
        &self,
        component: ComponentId,
        errand: &Errand,
        deadline: Moment,
    ) -> Result<Chosen<'_, T>, CallError> {
        let loaded = self.app.component(component);
        let driver = match self.app.spec(component).lifetime {
            Lifetime::Call => Driver::start(Cell::start(&self.app, component, deadline).await?, None),
            Lifetime::Request => self.living(&self.slot(component).driver, component, deadline).await?,
            Lifetime::Resident => {
                let chosen = loaded.residents.choose(self.wanted(component, errand, deadline)).await;
                let (run, driver) = chosen.map_err(|refused| failure::refused(refused, self.app.spec(component)))?;
                let chosen = Chosen { driver, seat: Some((&loaded.residents, run)) };
                self.bind(component, run);
                return Ok(chosen);
            }
        };
        Ok(Chosen { driver, seat: None })
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
        let driver = Driver::start(Cell::start(&self.app, component, deadline).await?, None);
        *place = Some(driver.clone());
        Ok(driver)
    }

    /// Has a driver do something. A resident cell that went with another call tree is replaced.
    async fn have_done<'t>(
        self: &'t Arc<Self>,
        chosen: &mut Chosen<'t, T>,
        component: ComponentId,
        mut work: Work,
        deadline: Moment,
    ) -> Done {
        loop {
            match chosen.driver.work(self, work, deadline).await {
                Answer::Done(done) => return done,
                Answer::Unserved(unserved) => work = unserved,
            }
            if Moment::now() >= deadline {
                return Done::failed(failure::budget(FailureKind::Deadline, self.app.spec(component)));
            }
            *chosen = match self.driver(component, &Errand::default(), deadline).await {
                Ok(chosen) => chosen,
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
        let chosen = match self.app.spec(proxy.component).lifetime {
            Lifetime::Call | Lifetime::Request => {
                let driver = self.slot(proxy.component).driver.lock().await.clone();
                driver.filter(|driver| driver.cell() == proxy.cell).map(|driver| Chosen { driver, seat: None })
            }
            Lifetime::Resident => {
                let errand = Errand { maker: Some(proxy.cell), caller: None };
                let chosen = component.residents.choose(self.wanted(proxy.component, &errand, deadline)).await.ok();
                chosen.map(|(run, driver)| Chosen { driver, seat: Some((&component.residents, run)) })
            }
        };
        if let Some(chosen) = chosen {
            chosen.driver.work(self, Work::Drop(proxy.resource), deadline).await;
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
        if self.app.spec(component).lifetime == Lifetime::Resident {
            return self
                .check_out_resident(&**self, component, &Errand { maker: Some(id), caller: None }, deadline)
                .await;
        }
        let admitted = loaded.gate.enter(deadline).await.map_err(refused)?;
        let (cell, home) = match self.app.spec(component).lifetime {
            Lifetime::Call | Lifetime::Resident => (None, Home::Nowhere),
            Lifetime::Request => (self.slot(component).take_exactly(id, deadline).await.map_err(refused)?, Home::Tree),
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
            Self::Driven { sabotage, .. } | Self::Away { sabotage, .. } => *sabotage = Some(with),
        }
    }

    /// Calls an exported function: packed arguments in, packed results out. `began` is now, or a moment ago; `span` is the crossing's.
    pub(crate) async fn call(
        &mut self,
        function: &ExportedFunction,
        mut arguments: Frame,
        deadline: Moment,
        began: Moment,
        span: Option<SpanId>,
    ) -> Done {
        let loan = match self {
            Self::Driven { driver, tree, component, sabotage, .. } => {
                let work = Work::Call(function.clone(), arguments, sabotage.take(), span);
                return Box::pin(tree.have_done(driver, *component, work, deadline)).await;
            }
            Self::Away { ferry, component, tree, sabotage, .. } => {
                let errand = ferry::Errand { component: *component, sabotage: sabotage.take(), span, deadline };
                return Box::pin(ferry::carry(ferry, tree, function, errand, arguments)).await;
            }
            Self::Lent(loan) => loan,
        };
        if let Some(span) = span {
            loan.works_in(span);
        }
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
        let cell = state.resting.take_if(|cell| cell.is_sound())?;
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
                    let thrown_out = state.resting.take_if(|cell| cell.is_ejected());
                    let cell = state.resting.take();
                    state.lent = Some(cell.as_ref().map(|cell| cell.id()));
                    drop(state);
                    drop(thrown_out);
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
                    None if state.resting.as_ref().is_some_and(|cell| cell.id() == id && !cell.is_ejected()) => {
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
        let loaded = tree.app.component(self.component);
        match (std::mem::replace(&mut self.home, Home::Nowhere), cell) {
            (Home::Nowhere, cell) => drop(cell),
            (Home::Tree, cell) => tree.slot(self.component).give_back(cell.filter(|cell| cell.is_sound())),
            (Home::Seat(run), Some(cell)) => match cell.fate() {
                None => loaded.residents.give_back(run, cell),
                end => {
                    drop(cell);
                    loaded.residents.ended(run, end);
                }
            },
            (Home::Driver(run, back), Some(cell)) => {
                // Its driver looks whether it is sound; one that is gone has no use for it.
                let _ = back.send(cell);
                loaded.residents.called(run);
            }
            (Home::Seat(_) | Home::Driver(..), None) => {}
        }
        loaded.gate.leave();
    }
}

impl<T: CellData> Chosen<'_, T> {
    /// Lets somebody else end the call.
    fn keep(mut self) {
        self.seat = None;
    }
}

impl<T: CellData> Drop for Chosen<'_, T> {
    fn drop(&mut self) {
        if let Some((residents, run)) = self.seat {
            residents.called(run);
        }
    }
}

impl<T: CellData> fmt::Debug for Tree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("id", &self.id).finish_non_exhaustive()
    }
}
