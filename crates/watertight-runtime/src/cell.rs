//! A cell: one instance of a component, alone in its own store. It is entered for one call at a time, under the component's
//! budgets, and never again after it failed (invariants 4, 5 and 6).

use std::{
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use slab::Slab;
use wasmtime::{
    Store, UpdateDeadline,
    component::{Accessor, GuestTaskId, Instance, ResourceAny},
};
use watertight_model::{
    app::{App, Component, ComponentId, Lifetime},
    event::{CellEnd, CellId, Denial, Event, EventSink, Failure, LogStream},
    failure::{CallError, FailureKind},
    fault::FaultKind,
    supervision::End,
    trace::{SpanId, TraceContext},
};

use crate::{
    account::{Account, Alive, MemoryLimit},
    app::LoadedApp,
    clock::{Moment, nanos},
    cut::Cut,
    driver::Found,
    failure::{self, DependencyFailed, ExitStatus, Interrupted, ThrownOut},
    host::CellData,
    inject::{self, Sabotage},
    membrane::{self, Adopted, ExportedFunction, Frame, Lent, Proxy, Pumps, TypedExport},
    meter::{self, CpuAccount, Metered},
    postmortem::{Body, CallTree},
    slice::{self, Slice},
    trace::Traced,
    tree::Tree,
};

/// The runtime's part of a cell's state.
pub struct CellCore<T: CellData> {
    id: CellId,
    component: ComponentId,
    events: Arc<dyn EventSink>,
    pub(crate) tree: Option<Arc<Tree<T>>>,
    pub(crate) deadline: Moment,
    account: Arc<Account>,
    pub(crate) memory: MemoryLimit,
    pub(crate) proxies: Slab<Proxy>,
    pub(crate) pumps: Arc<Pumps>,
    /// Host resources that other cells gave it.
    pub(crate) adopted: Adopted,
    /// What calls in flight have only for as long as they last, and where it goes if the cell breaks.
    pub(crate) lent: Slab<(Lent, Found)>,
    /// The cell's instance, once it has one.
    pub(crate) instance: Option<Instance>,
    cpu: Arc<CpuAccount>,
    cpu_budget: u64,
    /// Nanoseconds of cpu after which it goes on at lower priority.
    slice: u64,
    /// How it is ended while it runs, if it is a resident; else its account has it.
    pub(crate) cut: Option<Arc<Cut>>,
    denied: Vec<String>,
    /// What a drill does to the next call.
    pub(crate) sabotage: Option<Sabotage>,
    /// The fault that was injected into the call that runs.
    pub(crate) injected: Option<FaultKind>,
    /// The span that it works in, where that is recorded.
    span: SpanId,
    /// The spans of calls in flight, where it may have several.
    tasks: Vec<(GuestTaskId, SpanId)>,
    /// For those who have no hold of the store; none where nobody traces.
    traced: Option<Arc<Traced>>,
}

/// Denials that one cell reports, so that a guest cannot flood the log with new ones.
const MAX_DENIALS_PER_CELL: usize = 32;

/// Handles of any kind that the guests of one cell may hold; one more traps. One for so many bytes of its memory, but never less than that.
const MAX_HANDLES_PER_CELL: usize = 1 << 16;
const BYTES_PER_HANDLE: usize = 1 << 10;
const LEAST_HANDLES: usize = 1 << 12;

/// Tasks, calls in flight, and ends of streams and futures (three for each pair) that one cell may have; one more traps. Likewise.
const MAX_TASKS_PER_CELL: usize = 1 << 14;
const BYTES_PER_TASK: usize = 4 << 10;
const LEAST_TASKS: usize = 1 << 10;

/// Bytes that a guest may hand to the host in one call, times its memory, and besides.
const HOST_CALL_TIMES_MEMORY: usize = 2;
const HOST_CALL_BYTES: usize = 1 << 20;
const MAX_HOST_CALL_BYTES: usize = 128 << 20;

/// Proxies to other cells' resources that one cell may hold.
pub(crate) const MAX_PROXIES_PER_CELL: usize = 1 << 16;

/// What a guest has at least before a tick makes it yield, in nanoseconds: ticks come when they come.
const LEAST_TURN: u64 = 500_000;

/// Longer than any deadline.
const MAX_RUN: Duration = Duration::from_secs(365 * 24 * 3600);

static NEXT_CELL: AtomicU64 = AtomicU64::new(1);

impl<T: CellData> CellCore<T> {
    pub(crate) fn new(component: &Component, events: Arc<dyn EventSink>, traced: bool) -> Self {
        let account = Account::new(component);
        Self {
            id: CellId(NEXT_CELL.fetch_add(1, Ordering::Relaxed)),
            component: component.id,
            events,
            tree: None,
            deadline: Moment::now(),
            memory: MemoryLimit(Arc::clone(&account)),
            proxies: Slab::new(),
            pumps: Arc::default(),
            adopted: Adopted::default(),
            lent: Slab::new(),
            instance: None,
            cpu: Arc::clone(account.cpu()),
            account,
            cpu_budget: nanos(component.budget.cpu),
            slice: nanos(component.budget.slice),
            cut: component.is_resident().then(Arc::default),
            denied: Vec::new(),
            sabotage: None,
            injected: None,
            span: SpanId(0),
            tasks: Vec::new(),
            traced: traced.then(Arc::default),
        }
    }

    /// The cell's id.
    #[must_use]
    pub fn id(&self) -> CellId {
        self.id
    }

    /// The component this is a cell of.
    #[must_use]
    pub fn component(&self) -> ComponentId {
        self.component
    }

    /// When the call that this cell is busy with must have ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline.instant()
    }

    /// Reports a use that was not granted, once per cell and remedy.
    pub fn deny(&mut self, denial: Denial) {
        if self.denied.len() < MAX_DENIALS_PER_CELL && !self.denied.contains(&denial.remedy) {
            self.denied.push(denial.remedy.clone());
            self.events.emit(Event::Denied { component: self.component, denial });
        }
    }

    /// Reports a line that the guest wrote.
    pub fn log(&self, stream: LogStream, line: String) {
        self.events.emit(Event::Log { component: self.component, stream, line, context: None, trace: self.context() });
    }

    /// The span that it works in, where somebody traces.
    fn context(&self) -> Option<TraceContext> {
        let (recording, span) = self.traced.as_ref()?.now()?;
        Some(recording.context(span))
    }

    /// What the cell holds and has spent.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Which span it works in at any time; `None` where nobody traces.
    #[must_use]
    pub fn traced(&self) -> Option<&Arc<Traced>> {
        self.traced.as_ref()
    }

    pub(crate) fn span(&self) -> SpanId {
        self.span
    }

    /// Whether it has several calls in flight.
    pub(crate) fn has_tasks_apart(&self) -> bool {
        self.tasks.len() > 1
    }

    /// The span of one of its calls in flight.
    pub(crate) fn span_of(&self, task: GuestTaskId) -> Option<SpanId> {
        self.tasks.iter().find(|(other, _)| *other == task).map(|(_, span)| *span)
    }

    /// Works in this span from now on.
    fn works_in(&mut self, span: SpanId) {
        self.span = span;
        if let (Some(traced), Some((recording, _))) =
            (&self.traced, self.tree.as_ref().and_then(|tree| tree.recording.as_ref()))
        {
            traced.set(recording, span);
        }
    }

    /// Makes a call, maybe beside others.
    pub(crate) fn began_task(&mut self, task: GuestTaskId, span: SpanId) {
        self.tasks.push((task, span));
        self.works_in(span);
    }

    pub(crate) fn ended_task(&mut self, task: GuestTaskId) {
        self.tasks.retain(|(other, _)| *other != task);
        if let Some((_, span)) = self.tasks.last() {
            self.works_in(*span);
        }
    }

    /// Where this cell's events go.
    #[must_use]
    pub fn events(&self) -> &Arc<dyn EventSink> {
        &self.events
    }

    /// Says why this cell is thrown out.
    fn tell_failure(&self, error: &CallError) {
        if error.kind.poisons() {
            let tree = self.tree.as_deref();
            self.events.emit(Event::Failure(Failure {
                tree: tree.map(|tree| tree.id),
                cell: self.id,
                component: self.component,
                kind: error.kind,
                detail: error.detail.clone(),
                trace: self.context(),
                root: tree.is_some_and(|tree| tree.root == self.component),
                injected: self.injected,
            }));
        }
    }

    /// What a running guest is told at each tick of the epoch: go on after the others had their turn, or stop. One that is over its
    /// slice goes on elsewhere.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        if let Some(sabotage) = self.sabotage.take() {
            return Err(sabotage.error());
        }
        let now = Moment::now();
        let stop = |kind| Err(Interrupted { kind }.into());
        let cut = ending(self.cut.as_ref(), &self.account);
        if cut.is_made() {
            return Err(cut.error());
        }
        if now >= self.deadline {
            return stop(FailureKind::Deadline);
        }
        let spent = self.cpu.spent_nanos(now);
        if spent > self.cpu_budget {
            return stop(FailureKind::Cpu);
        }
        let tree = self.tree.as_deref();
        if spent > self.slice {
            self.outrun(slice::outrun(now, self.slice), self.component);
        } else if let Some(tree) = tree.filter(|tree| tree.slice.is_spent()) {
            self.outrun(slice::outrun(now, 0), tree.root);
        } else if meter::running_nanos(now) < LEAST_TURN {
            return Ok(UpdateDeadline::Continue(1));
        }
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    }

    /// Tells of a run that is over because the slice of `whose` is spent.
    fn outrun(&self, run: Option<Arc<Slice>>, whose: ComponentId) {
        let Some(run) = run else { return };
        if let Some(tree) = &self.tree {
            tree.remember(&run);
        }
        self.events.emit(Event::Demoted { cell: self.id, component: self.component, whose });
    }
}

impl<T: CellData> fmt::Debug for CellCore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CellCore").field("id", &self.id).field("component", &self.component).finish_non_exhaustive()
    }
}

/// One running instance.
pub(crate) struct Cell<T: CellData> {
    // Dropped before the rest: the store's resources may log on their way out.
    pub(crate) store: Store<T>,
    pub(crate) instance: Instance,
    id: CellId,
    app: Weak<LoadedApp<T>>,
    model: Arc<App>,
    component: ComponentId,
    cpu: Arc<CpuAccount>,
    cut: Option<Arc<Cut>>,
    account: Arc<Account>,
    _alive: Alive,
    exports: Box<[Option<TypedExport>]>,
    /// A call is running, or was cut off in the middle.
    entered: bool,
    end: CellEnd,
    /// It ended of its own will.
    exited: bool,
}

impl<T: CellData> Cell<T> {
    /// Makes a fresh cell, within a deadline and the component's budgets.
    pub(crate) async fn start(
        app: &Arc<LoadedApp<T>>,
        component: ComponentId,
        deadline: Moment,
    ) -> Result<Box<Self>, CallError> {
        let loaded = app.component(component);
        let spec = app.spec(component);
        let mut core = CellCore::new(spec, Arc::clone(app.events()), app.is_traced());
        core.deadline = deadline;
        let (id, cpu, account) = (core.id, Arc::clone(&core.cpu), Arc::clone(&core.account));
        let cut = core.cut.clone();
        let data = app.host().furnish(spec, core).map_err(|error| failure::classify(&error, spec, false))?;
        let mut store = Store::new(loaded.pre.engine(), data);
        store.limiter(|data| &mut data.core_mut().memory);
        bound(&mut store, spec);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| store.data_mut().core_mut().tick());
        let made =
            run(pin!(loaded.pre.instantiate_async(&mut store)), &cpu, account.cut(), deadline, Moment::now()).await;
        let instance = made.map_err(|error| settle(&error, &mut store, spec, Some(&**app)))?;
        store.data_mut().core_mut().instance = Some(instance);
        app.events().emit(Event::CellStarted { cell: id, component });
        let exports = loaded.exports.iter().map(|_| None).collect();
        Ok(Box::new(Self {
            store,
            instance,
            id,
            app: Arc::downgrade(app),
            model: Arc::clone(app.model()),
            component,
            cpu,
            cut,
            _alive: loaded.living.add(id, Arc::clone(&account)),
            account,
            exports,
            entered: false,
            end: CellEnd::Done,
            exited: false,
        }))
    }

    pub(crate) fn id(&self) -> CellId {
        self.id
    }

    pub(crate) fn component(&self) -> ComponentId {
        self.component
    }

    pub(crate) fn spec(&self) -> &Component {
        self.model.component(self.component)
    }

    /// What it ever spent, between two calls.
    pub(crate) fn spent_nanos(&self) -> u64 {
        self.cpu.total_nanos()
    }

    /// Whether it may be entered again.
    pub(crate) fn is_sound(&self) -> bool {
        !self.entered && matches!(self.end, CellEnd::Done) && !self.is_ejected()
    }

    /// Whether it was thrown out, by an operator. It fails at its next step if it runs, and is not entered again if it rests.
    pub(crate) fn is_ejected(&self) -> bool {
        ending(self.cut.as_ref(), &self.account).is_ejected()
    }

    /// How it ended, if it may not be entered again.
    pub(crate) fn fate(&self) -> Option<End> {
        match self.end {
            CellEnd::Ejected(_) if self.exited => Some(End::Normal),
            CellEnd::Ejected(kind) => Some(End::Failed(kind)),
            CellEnd::Done if self.is_ejected() => Some(End::Failed(FailureKind::WallLost)),
            CellEnd::Done => self.entered.then_some(End::CutOff),
        }
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// How to end it while it runs, if it is a resident.
    pub(crate) fn cut(&self) -> Option<&Arc<Cut>> {
        self.cut.as_ref()
    }

    /// Gives the cell to a call tree until [`Cell::leave`].
    pub(crate) fn join(&mut self, tree: Arc<Tree<T>>, deadline: Moment) {
        let core = self.store.data_mut().core_mut();
        let span = tree.recording.as_ref().map(|(_, span)| *span);
        core.tree = Some(tree);
        core.deadline = deadline;
        if let Some(span) = span {
            core.works_in(span);
        }
    }

    /// Works in this span from now on.
    pub(crate) fn works_in(&mut self, span: SpanId) {
        self.store.data_mut().core_mut().works_in(span);
    }

    /// Takes the cell out of its call tree.
    pub(crate) fn leave(&mut self) {
        let core = self.store.data_mut().core_mut();
        core.tree = None;
        if let Some(traced) = &core.traced {
            core.tasks.clear();
            traced.clear();
        }
    }

    /// Gives it up in the middle of a call, whose caller has gone: it may not be entered again.
    pub(crate) fn abandon(&mut self) {
        self.entered = true;
    }

    /// Gives back what calls in flight had been lent, before a broken cell goes.
    pub(crate) fn save_lent(&mut self) {
        for (_, (lent, found)) in std::mem::take(&mut self.store.data_mut().core_mut().lent) {
            found.put(membrane::take_back(lent, &mut self.store));
        }
    }

    /// Prepares a cell that outlives call trees for one that it has joined: the cpu budget begins anew, and what the holders of its
    /// resources left behind when they died is dropped. An error says that this broke the cell.
    pub(crate) async fn begin_tree(&mut self, tree: &Tree<T>, deadline: Moment) -> Result<(), CallError> {
        if self.spec().lifetime != Lifetime::Resident {
            return Ok(());
        }
        self.cpu.reset();
        for resource in tree.app.component(self.component).residents.buried(self.id) {
            self.drop_resource(resource, deadline).await?;
        }
        Ok(())
    }

    /// Keeps a resource to be dropped when the next call tree begins.
    pub(crate) fn bury(&self, resource: ResourceAny) {
        if let Some(app) = self.app.upgrade() {
            app.abandon(Proxy { component: self.component, cell: self.id, resource });
        }
    }

    /// Calls an exported function: lowers the arguments, runs it, lifts the results. `began` is now, or a moment ago.
    pub(crate) async fn call(
        &mut self,
        function: &ExportedFunction,
        arguments: Frame,
        deadline: Moment,
        began: Moment,
    ) -> Result<Frame, CallError> {
        let typed = match self.exports[function.slot] {
            Some(typed) => typed,
            None => {
                let typed = function.resolve(&mut self.store, &self.instance).map_err(|error| self.fail(&error))?;
                self.exports[function.slot] = Some(typed);
                typed
            }
        };
        self.enter();
        if self.is_sabotaged() {
            Box::pin(self.struck(deadline)).await?;
        }
        let called = run(
            pin!(typed.call(&mut self.store, arguments)),
            &self.cpu,
            ending(self.cut.as_ref(), &self.account),
            deadline,
            began,
        )
        .await;
        let counted = called.and_then(|mut results| {
            results.charge(&self.account)?;
            Ok(results)
        });
        self.left(counted)
    }

    /// Drops a resource that this cell made.
    pub(crate) async fn drop_resource(&mut self, resource: ResourceAny, deadline: Moment) -> Result<(), CallError> {
        self.enter();
        let dropped = run(
            pin!(resource.resource_drop_async(&mut self.store)),
            &self.cpu,
            ending(self.cut.as_ref(), &self.account),
            deadline,
            Moment::now(),
        )
        .await;
        self.left(dropped)
    }

    /// Runs whatever the host wants to run in this cell, under the same budgets.
    pub(crate) async fn run_host<R>(
        &mut self,
        deadline: Moment,
        run_in: impl for<'a> FnOnce(&'a mut Store<T>, Instance) -> BoxFuture<'a, wasmtime::Result<R>>,
    ) -> Result<R, CallError> {
        self.enter();
        if self.is_sabotaged() {
            Box::pin(self.struck(deadline)).await?;
        }
        let ran = run(
            pin!(run_in(&mut self.store, self.instance)),
            &self.cpu,
            ending(self.cut.as_ref(), &self.account),
            deadline,
            Moment::now(),
        )
        .await;
        self.left(ran)
    }

    /// Runs a driver's calls, each of which keeps to its own deadline, on the engine with component-model async.
    pub(crate) async fn run_concurrent<R>(
        &mut self,
        calls: impl AsyncFnOnce(&Accessor<T>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        self.enter();
        let far = Moment::now().plus(MAX_RUN);
        let ran = run(
            pin!(async { self.store.run_concurrent(calls).await? }),
            &self.cpu,
            ending(self.cut.as_ref(), &self.account),
            far,
            Moment::now(),
        )
        .await;
        self.left(ran)
    }

    /// Has the next call fail.
    pub(crate) fn sabotage(&mut self, sabotage: Sabotage) {
        sabotage.mark(self.store.data_mut().core_mut());
    }

    fn is_sabotaged(&self) -> bool {
        self.store.data().core().sabotage.is_some()
    }

    /// Does to the entered cell what a drill wants.
    async fn struck(&mut self, deadline: Moment) -> Result<(), CallError> {
        let struck = run(
            pin!(inject::strike(&mut self.store)),
            &self.cpu,
            ending(self.cut.as_ref(), &self.account),
            deadline,
            Moment::now(),
        )
        .await;
        match struck {
            Ok(()) => Ok(()),
            Err(error) => self.left(Err(error)),
        }
    }

    fn enter(&mut self) {
        self.entered = true;
        self.store.set_epoch_deadline(1);
    }

    fn left<R>(&mut self, result: wasmtime::Result<R>) -> Result<R, CallError> {
        self.entered = false;
        if result.is_ok() {
            self.store.data_mut().core_mut().injected = None;
        }
        result.map_err(|error| self.fail(&error))
    }

    /// Classifies a failure and remembers whether it poisoned the cell.
    pub(crate) fn fail(&mut self, error: &wasmtime::Error) -> CallError {
        // Whatever broke a guest off in the middle has broken the cell.
        let interrupted = error.is::<Interrupted>();
        self.exited = error.downcast_ref::<ExitStatus>().is_some_and(|status| status.0 == 0);
        let app = self.app.upgrade();
        let error = settle(error, &mut self.store, self.model.component(self.component), app.as_deref());
        if error.kind.poisons() || interrupted {
            self.end = CellEnd::Ejected(error.kind);
        }
        error
    }
}

impl<T: CellData> Drop for Cell<T> {
    fn drop(&mut self) {
        if self.end == CellEnd::Done && self.is_ejected() {
            // It was thrown out while it rested, or before it came to its next step.
            self.end = CellEnd::Ejected(FailureKind::WallLost);
            let thrown_out = failure::classify(&ThrownOut.into(), self.spec(), false);
            self.store.data().core().tell_failure(&thrown_out);
        }
        let core = self.store.data_mut().core_mut();
        let (proxies, events) = (std::mem::take(&mut core.proxies), Arc::clone(&core.events));
        let injected = core.injected.filter(|_| self.end != CellEnd::Done);
        let outlives_trees = self.spec().lifetime == Lifetime::Resident;
        if (outlives_trees || !proxies.is_empty())
            && let Some(app) = self.app.upgrade()
        {
            for (_, proxy) in proxies {
                app.abandon(proxy);
            }
            app.component(self.component).residents.forget(self.id);
        }
        let usage = self.account.usage();
        if usage.log_dropped_bytes > 0 {
            let (cell, component, bytes) = (self.id, self.component, usage.log_dropped_bytes);
            events.emit(Event::LogCut { cell, component, bytes });
        }
        events.emit(Event::CellEnded { cell: self.id, component: self.component, end: self.end, injected, usage });
    }
}

impl<T: CellData> fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("id", &self.id).field("component", &self.component).finish_non_exhaustive()
    }
}

/// Classifies a failure, and where that is the end of the cell, tells of it and takes down what is left.
fn settle<T: CellData>(
    error: &wasmtime::Error,
    store: &mut Store<T>,
    spec: &Component,
    app: Option<&LoadedApp<T>>,
) -> CallError {
    let core = store.data().core();
    let classified = failure::classify(error, spec, core.account.memory_denied());
    if !classified.kind.poisons() {
        return classified;
    }
    core.tell_failure(&classified);
    // Of a failure that went from cell to cell, the first one tells.
    let inherited = error.downcast_ref::<DependencyFailed>().is_some_and(|first| first.0.kind.poisons());
    if let Some(app) = app
        && let Some(archive) = app.archive()
        && !inherited
    {
        let tree = core.tree.clone();
        archive.receive(Body {
            error,
            classified: &classified,
            call: tree.as_deref().map(|tree| CallTree { id: tree.id, root: tree.root, began: tree.began }),
            crossings: tree.as_deref().and_then(|tree| tree.crossings.as_ref()),
            load: app.component(spec.id).gate.load(),
            cpu: core.cpu.spent(),
            injected: core.injected,
            store,
        });
    }
    classified
}

/// Bounds what a cell's guests can make Wasmtime keep for them.
fn bound<T: CellData>(store: &mut Store<T>, spec: &Component) {
    let memory = spec.budget.memory.as_usize();
    store.set_max_component_handles((memory / BYTES_PER_HANDLE).clamp(LEAST_HANDLES, MAX_HANDLES_PER_CELL));
    let most = memory.saturating_mul(HOST_CALL_TIMES_MEMORY).saturating_add(HOST_CALL_BYTES);
    store.set_hostcall_fuel(most.min(MAX_HOST_CALL_BYTES));
    if let Some(tasks) = store.concurrent_resource_table() {
        tasks.set_max_capacity((memory / BYTES_PER_TASK).clamp(LEAST_TASKS, MAX_TASKS_PER_CELL));
    }
}

/// What ends a cell: what it shares with its seat if it is a resident, else its account's.
pub(crate) fn ending<'c>(of_resident: Option<&'c Arc<Cut>>, account: &'c Account) -> &'c Cut {
    of_resident.map_or(account.cut(), |cut| &**cut)
}

/// Runs guest code: its time is charged to `cpu`, it is given up when the deadline passes or it is cut, and a panic in it becomes an
/// error.
async fn run<R>(
    guest: Pin<&mut impl Future<Output = wasmtime::Result<R>>>,
    cpu: &CpuAccount,
    cut: &Cut,
    deadline: Moment,
    began: Moment,
) -> wasmtime::Result<R> {
    let metered = Metered::new(AssertUnwindSafe(guest).catch_unwind(), cpu, began);
    let ended = match meter::until(cut.unless_made(pin!(metered)), deadline).await {
        Some(None) => return Err(cut.error()),
        Some(ended) => ended,
        None => None,
    };
    match ended {
        Some(Ok(result)) => result,
        Some(Err(_panic)) => Err(Interrupted { kind: FailureKind::HostPanic }.into()),
        None => Err(Interrupted { kind: FailureKind::Deadline }.into()),
    }
}
