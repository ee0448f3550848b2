//! An app that is loaded: every component compiled and linked, every edge in place, ready for root calls.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::Instant,
};

use wasmtime::{
    Engine,
    component::{Component, InstancePre, Linker, types::ComponentItem},
};
use watertight_model::{
    app::{self as model, App, ComponentId, Sources, Wall},
    event::EventSink,
    failure::CallError,
    fault::FaultPlan,
    health::ComponentHealth,
    supervision::Scope,
    trace::{SpanId, TraceContext},
    usage::{ComponentUsage, PoolUse, Usage},
};

use crate::{
    account::Living,
    cache::{CompileCache, Origin},
    clock::Moment,
    compile::{self, CompileError, Needs},
    engine::{self, EngineKind, Engines},
    ferry::Ferry,
    gate::Gate,
    health,
    host::{CellData, Host},
    inject::Faults,
    membrane::{self, EdgeError, ExportedFunction, Proxy, ResourceIds, StandIns, Undertaker},
    pool::{self, MachineLimits, PoolError, PoolPlan},
    postmortem::{self, Archive, Hashes, Morgue, Types},
    resident::Residents,
    root::Root,
    supervise::Office,
    tap::Taps,
    trace::{Recording, Tracing},
};

/// Components of one app, assembled and compiled, with the pools they need. Nothing runs yet.
pub struct CompiledApp {
    app: Arc<App>,
    bytes: Arc<BTreeMap<ComponentId, Arc<[u8]>>>,
    digests: Arc<BTreeMap<ComponentId, blake3::Hash>>,
    hashes: Arc<Hashes>,
    morgue: Option<Arc<dyn Morgue>>,
    stand_ins: Option<StandIns>,
    needs: Vec<Needs>,
    pools: Vec<PoolPlan>,
    cache: CompileCache,
}

/// A running app from outside: it can be asked how it is, and does not keep it running.
pub struct AppView<T: CellData>(Weak<LoadedApp<T>>);

/// An app whose components can be entered. Clones share it; when the last one goes, its resident cells do too.
pub struct RunningApp<T: CellData>(pub(crate) Arc<LoadedApp<T>>);

pub(crate) struct LoadedApp<T: CellData> {
    model: Arc<App>,
    components: Vec<Loaded<T>>,
    /// The gates of the routes.
    routes: Vec<Option<Gate>>,
    engines: Engines,
    host: Arc<dyn Host<T>>,
    events: Arc<dyn EventSink>,
    faults: Faults,
    tracing: Option<Tracing>,
    taps: Taps,
    types: Arc<Types>,
    digests: Arc<BTreeMap<ComponentId, blake3::Hash>>,
    /// Who keeps the residents of this process, and who those that the node has once.
    offices: [Office; 2],
    /// Residents whose resources a call tree may hold.
    binding: Vec<ComponentId>,
    archive: Option<Arc<Archive>>,
    ferry: OnceLock<Arc<dyn Ferry>>,
}

/// One component of a loaded app.
pub(crate) struct Loaded<T: CellData> {
    pub(crate) pre: InstancePre<T>,
    pub(crate) exports: Vec<ExportedFunction>,
    pub(crate) gate: Gate,
    /// Lets calls out to the process that has the component, where the node has it once. Not the same as `gate`: a call that waits for a process
    /// to have it may find that it is this one, and enters there.
    pub(crate) away: Gate,
    pub(crate) residents: Residents<T>,
    pub(crate) living: Arc<Living>,
    /// Its cells have a task each: it uses component-model async.
    pub(crate) driven: bool,
    /// It exports resources: a call tree holds on to the resident that it got them from.
    pub(crate) hands_out: bool,
}

/// Why an app cannot be loaded: everything that is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A component cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The machine cannot have the pools.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// An edge cannot be put in place.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// An import that neither an edge nor the host meets, or meets with another type.
    #[error("component `{component}` cannot be linked: {error:#}")]
    Link {
        /// Which component.
        component: String,
        /// What Wasmtime said.
        error: wasmtime::Error,
    },
    /// An engine cannot start.
    #[error("the {engine:?} engine cannot start: {error:#}")]
    Engine {
        /// Which one.
        engine: EngineKind,
        /// What Wasmtime said.
        error: wasmtime::Error,
    },
}

/// What compiling tells about its progress.
pub trait Progress {
    /// A component is about to be compiled.
    fn compiling(&self, component: &model::Component, bytes: usize);
    /// A component is ready.
    fn ready(&self, component: &model::Component, origin: Origin);
    /// A script has to be loaded in each request, which may take long each time: there is no snapshot of it, and this is why.
    fn loaded_each_time(&self, _component: &model::Component, _why: &str) {}
}

impl CompiledApp {
    /// Assembles and compiles every component, and computes the pools for `roots`: the components that root calls enter, each with how
    /// many at once.
    ///
    /// # Errors
    /// Every component that is not valid, and every pool that the machine cannot have.
    pub fn compile(
        app: Arc<App>,
        sources: &Sources,
        cache: CompileCache,
        roots: &[(ComponentId, u32)],
        progress: &dyn Progress,
    ) -> Result<Self, Vec<LoadError>> {
        let mut problems = Vec::new();
        let mut assembled = BTreeMap::new();
        let mut needs = vec![Needs::default(); app.components.len()];
        for component in app.components.iter().filter(|component| component.wall == Wall::Cell) {
            let made = compile::assemble(&app, component.id, sources).map_err(LoadError::from).and_then(|bytes| {
                let digest = blake3::hash(&bytes);
                Ok((read_needs(component, &bytes, &digest, &cache, progress)?, (bytes, digest)))
            });
            match made {
                Ok((need, made)) => {
                    needs[component.id.0 as usize] = need;
                    assembled.insert(component.id, made);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let pools = pool::plan(&app, &needs, roots, MachineLimits::read())
            .map_err(|problems| problems.into_iter().map(LoadError::from).collect::<Vec<_>>())?;
        let hashes = postmortem::hashes(sources, &assembled);
        let digests = Arc::new(assembled.iter().map(|(id, (_, digest))| (*id, *digest)).collect());
        let bytes = Arc::new(assembled.into_iter().map(|(id, (bytes, _))| (id, bytes)).collect());
        Ok(Self { app, bytes, digests, hashes, morgue: None, stand_ins: None, needs, pools, cache })
    }

    /// Has what is left of failed cells taken there. Nobody takes it otherwise, and nothing is kept for it.
    #[must_use]
    pub fn with_morgue(self, morgue: Arc<dyn Morgue>) -> Self {
        Self { morgue: Some(morgue), ..self }
    }

    /// Has these answer the imports that they are for, of every component: nobody else meets those.
    #[must_use]
    pub fn with_stand_ins(self, stand_ins: StandIns) -> Self {
        Self { stand_ins: Some(stand_ins), ..self }
    }

    /// What each component needs, by id.
    #[must_use]
    pub fn needs(&self) -> &[Needs] {
        &self.needs
    }

    /// What each engine will set aside.
    #[must_use]
    pub fn pools(&self) -> &[PoolPlan] {
        &self.pools
    }

    /// The checked app.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Starts the engines, links every component to the host and to each other.
    ///
    /// # Errors
    /// Every edge whose types cannot cross, every import that nobody meets, an engine that cannot start.
    pub fn start<T: CellData>(
        &self,
        host: Arc<dyn Host<T>>,
        events: Arc<dyn EventSink>,
    ) -> Result<RunningApp<T>, Vec<LoadError>> {
        membrane::register_host_resources(host.resources());
        let first = self.pools.first().map_or(EngineKind::Sync, |pool| pool.engine);
        let engines = Engines::start(&self.pools, self.morgue.is_some())
            .map_err(|error| vec![LoadError::Engine { engine: first, error }])?;
        let components = self.load(&engines)?;
        let offices = [Office::new(&self.app, Scope::Worker), Office::new(&self.app, Scope::Node)];
        let mut crossing = Types::new();
        let linked = self.link_all(&components, &*host, &offices, &mut crossing);
        if linked.is_err() {
            components.iter().for_each(forget_plans);
        }
        let components = linked?;
        let (model, crossing) = (Arc::clone(&self.app), Arc::new(crossing));
        let binds = |spec: &&model::Component| spec.is_resident() && components[spec.id.0 as usize].hands_out;
        let binding = model.components.iter().filter(binds).map(|spec| spec.id).collect();
        let archive = self.morgue.as_ref().map(|morgue| {
            let (bytes, hashes) = (Arc::clone(&self.bytes), Arc::clone(&self.hashes));
            Archive::new(Arc::clone(morgue), Arc::clone(&model), bytes, hashes, Arc::clone(&crossing))
        });
        let gate = |limit: model::Limit| Gate::new(limit.concurrency, limit.queue);
        let routes = self.app.http.iter().map(|route| route.limit.map(gate)).collect();
        Ok(RunningApp(Arc::new(LoadedApp {
            model,
            components,
            routes,
            engines,
            host,
            tracing: Tracing::wanted(&events),
            taps: Taps::default(),
            types: crossing,
            digests: Arc::clone(&self.digests),
            events,
            faults: Faults::default(),
            offices,
            binding,
            archive,
            ferry: OnceLock::new(),
        })))
    }

    /// Links every component that has cells.
    fn link_all<T: CellData>(
        &self,
        components: &[Component],
        host: &dyn Host<T>,
        offices: &[Office; 2],
        crossing: &mut Types,
    ) -> Result<Vec<Loaded<T>>, Vec<LoadError>> {
        let mut exports: Vec<Vec<ExportedFunction>> = vec![Vec::new(); components.len()];
        let mut ids = ResourceIds::default();
        let mut problems = Vec::new();
        let mut linked: Vec<Option<InstancePre<T>>> = Vec::new();
        for spec in &self.app.components {
            let pre = (spec.wall == Wall::Cell)
                .then(|| self.link(spec, components, host, &mut exports, &mut ids, crossing))
                .transpose();
            linked.push(pre.unwrap_or_else(|problem| {
                problems.push(problem);
                None
            }));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        // A fused component has no cells; its place is taken by what it is fused into, and nothing ever asks for it.
        let stand_in = linked.iter().flatten().next().cloned();
        Ok(linked
            .into_iter()
            .zip(exports)
            .zip(&self.app.components)
            .filter_map(|((pre, exports), spec)| {
                let pre = pre.or_else(|| stand_in.clone())?;
                Some(Loaded {
                    hands_out: hands_out(pre.component()),
                    pre,
                    exports,
                    gate: Gate::new(spec.calls_at_once(), spec.budget.queue),
                    away: Gate::new(spec.calls_at_once(), spec.budget.queue),
                    residents: Residents::new(spec.residence.recycle, offices[of(spec.residence.scope)].teller()),
                    living: Arc::default(),
                    driven: self.needs[spec.id.0 as usize].asynchronous,
                })
            })
            .collect())
    }

    /// Loads the compiled code of every component that has cells; the others get the first one's, which nothing asks for.
    fn load(&self, engines: &Engines) -> Result<Vec<Component>, Vec<LoadError>> {
        let mut problems = Vec::new();
        let mut components: Vec<Option<Component>> = Vec::new();
        for spec in &self.app.components {
            let kind = kind(&self.needs[spec.id.0 as usize]);
            let loaded = match (self.bytes.get(&spec.id), self.digests.get(&spec.id), engines.get(kind)) {
                (Some(bytes), Some(digest), Some(engine)) => Some(self.cache.load(engine, bytes, digest)),
                _ => None,
            };
            components.push(match loaded.transpose() {
                Ok(loaded) => loaded.map(|(component, _)| component),
                Err(error) => {
                    problems.push(CompileError::Invalid { component: spec.name.clone(), error }.into());
                    None
                }
            });
        }
        let Some(first) = components.iter().flatten().next().cloned() else { return Err(problems) };
        if problems.is_empty() {
            Ok(components.into_iter().map(|component| component.unwrap_or_else(|| first.clone())).collect())
        } else {
            Err(problems)
        }
    }

    fn link<T: CellData>(
        &self,
        spec: &model::Component,
        components: &[Component],
        host: &dyn Host<T>,
        exports: &mut [Vec<ExportedFunction>],
        ids: &mut ResourceIds,
        crossing: &mut Types,
    ) -> Result<InstancePre<T>, LoadError> {
        let component = &components[spec.id.0 as usize];
        let failed = |error| LoadError::Link { component: spec.name.clone(), error };
        let mut linker = Linker::new(component.engine());
        // An app's own component may stand in for an interface of the host.
        linker.allow_shadowing(true);
        host.link(spec, &mut linker).map_err(failed)?;
        if let Some(stand_ins) = &self.stand_ins {
            membrane::stand_in(&mut linker, component, stand_ins).map_err(failed)?;
        }
        membrane::link(&mut linker, &self.app, spec, components, exports, ids, crossing)?;
        linker.instantiate_pre(component).map_err(failed)
    }
}

/// Which of the two offices keeps the residents of a scope.
fn of(scope: Scope) -> usize {
    match scope {
        Scope::Worker => 0,
        Scope::Node => 1,
    }
}

/// Whether a component exports resources.
fn hands_out(component: &Component) -> bool {
    let engine = component.engine();
    component.component_type().exports(engine).any(|(_, export)| match export.ty {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).any(|(_, export)| matches!(export.ty, ComponentItem::Resource(_)))
        }
        ComponentItem::Resource(_) => true,
        ComponentItem::ComponentFunc(_)
        | ComponentItem::CoreFunc(_)
        | ComponentItem::Module(_)
        | ComponentItem::Component(_)
        | ComponentItem::Type(_) => false,
    })
}

/// Bytes of a page of linear memory.
const WASM_PAGE: u64 = 64 << 10;

fn kind(needs: &Needs) -> EngineKind {
    if needs.asynchronous { EngineKind::Async } else { EngineKind::Sync }
}

/// Compiles a component into the cache, and reads off what it needs.
fn read_needs(
    spec: &model::Component,
    bytes: &[u8],
    digest: &blake3::Hash,
    cache: &CompileCache,
    progress: &dyn Progress,
) -> Result<Needs, LoadError> {
    let (asynchronous, gc) = compile::uses(bytes);
    let mut needs = Needs { asynchronous, gc, ..Needs::default() };
    let invalid = |error| CompileError::Invalid { component: spec.name.clone(), error };
    let engine = engine::compiler(kind(&needs)).map_err(invalid)?;
    if !cache.holds(&engine, digest) {
        progress.compiling(spec, bytes.len());
    }
    let (component, origin) = cache.load(&engine, bytes, digest).map_err(invalid)?;
    progress.ready(spec, origin);
    if let Some(required) = component.resources_required() {
        needs.memories = required.num_memories;
        // In pages, whatever its name says.
        needs.memory_bytes = required.max_initial_memory_size.unwrap_or(0).saturating_mul(WASM_PAGE);
        needs.tables = required.num_tables;
        needs.table_elements = usize::try_from(required.max_initial_table_size.unwrap_or(0)).unwrap_or(usize::MAX);
    }
    Ok(needs)
}

impl<T: CellData> RunningApp<T> {
    /// Enters the app at a component: waits for admission, makes a call tree and a cell.
    ///
    /// # Errors
    /// When the component's queue is full, its deadline passes while waiting, or no cell can be made.
    pub async fn enter(&self, component: ComponentId) -> Result<Root<T>, CallError> {
        Root::enter(&self.0, component, None, None).await
    }

    /// Enters the app by one of its routes, which may have a limit of its own. What happens is taken down in `recording`, within a span.
    ///
    /// # Errors
    /// As for [`RunningApp::enter`].
    pub async fn enter_by(
        &self,
        route: usize,
        recording: Option<(Arc<Recording>, SpanId)>,
    ) -> Result<Root<T>, CallError> {
        Root::enter(&self.0, self.app().http[route].component, Some(route), recording).await
    }

    /// Begins to take down what comes of a request that is part of a trace, or begins one; `None` where nobody traces.
    #[must_use]
    pub fn record(&self, from: Option<TraceContext>, state: Option<&str>) -> Option<Arc<Recording>> {
        if self.is_traced() { self.0.record(from, state) } else { None }
    }

    /// Whether anybody traces.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.0.is_traced()
    }

    /// The checked app.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        self.0.model()
    }

    /// The BLAKE3 digest of a component's bytes, with what is fused into it; none where it has no cells.
    #[must_use]
    pub fn digest(&self, component: ComponentId) -> Option<blake3::Hash> {
        self.0.digests.get(&component).copied()
    }

    /// Where events go.
    #[must_use]
    pub fn events(&self) -> &Arc<dyn EventSink> {
        self.0.events()
    }

    /// What the app uses in this process, by component. It takes a lock for each component for as long as copying a pointer for each cell
    /// takes, and costs the cells nothing.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let components = self.0.model.components.iter().zip(&self.0.components);
        let components = components.filter(|(spec, _)| spec.wall == Wall::Cell).map(|(spec, loaded)| {
            let (running, waiting) = loaded.gate.load();
            let mut used = ComponentUsage { running, waiting, ..ComponentUsage::none(spec.id) };
            for account in loaded.living.all() {
                used.count(&account.usage());
            }
            used
        });
        Usage { components: components.collect(), disks: self.0.host.disks() }
    }

    /// How much of each pool of this process is in use.
    #[must_use]
    pub fn pool_use(&self) -> Vec<PoolUse> {
        self.0.engines.pool_use()
    }

    /// Calls that begin from now on suffer the faults of this plan, or none. Which call meets which is decided by the plan and by the
    /// number of calls since.
    pub fn set_faults(&self, plan: Option<FaultPlan>) {
        self.0.faults.set(self.app(), plan, None);
    }

    /// The same, until this time has come: then the faults end by themselves.
    pub fn set_faults_until(&self, plan: FaultPlan, until: Instant) {
        self.0.faults.set(self.app(), Some(plan), Some(until));
    }

    /// The faults that calls suffer.
    #[must_use]
    pub fn faults(&self) -> Option<Arc<FaultPlan>> {
        self.0.faults.plan()
    }

    /// Starts the residents, and waits until each is up or could not be started the first time. Needs a Tokio runtime, which has to
    /// last as long as the app. What is not warmed begins with the first call.
    pub async fn warm(&self) {
        Office::begin(&self.0);
        self.0.office(Scope::Worker).ready().await;
        if self.0.keeps() {
            self.0.office(Scope::Node).ready().await;
        }
    }

    /// Starts the residents that were not started yet, and waits for nothing: those that the node has once, when this process comes to
    /// have them. Needs a Tokio runtime.
    pub fn begin(&self) {
        Office::begin(&self.0);
    }

    /// Stops the residents, in the reverse of the order of their start: each finishes the calls it has, for some seconds.
    pub async fn stop(&self) {
        self.0.office(Scope::Worker).stop().await;
        self.0.office(Scope::Node).stop().await;
    }

    /// Waits until the app as a whole has given up on its residents, by the intensity that the manifest gives it.
    pub async fn down(&self) {
        tokio::select! {
            () = self.0.office(Scope::Worker).down() => {}
            () = self.0.office(Scope::Node).down() => {}
        }
    }

    /// How each component is whose cells are in this process.
    #[must_use]
    pub fn health(&self) -> Vec<ComponentHealth> {
        let here = |spec: &&model::Component| !spec.is_for_the_node() || self.0.keeps();
        let cells = self.0.model.components.iter().filter(|spec| spec.wall == Wall::Cell).filter(here);
        cells.map(|spec| health::of(&self.0, spec)).collect()
    }

    /// A component, linked and ready to be instantiated: for looking up its exports once.
    #[must_use]
    pub fn instance_pre(&self, component: ComponentId) -> &InstancePre<T> {
        &self.0.component(component).pre
    }

    /// The exports of a component's world, by name.
    #[must_use]
    pub fn exports(&self, component: ComponentId) -> Vec<(String, ComponentItem)> {
        let pre = self.instance_pre(component);
        let engine: &Engine = pre.engine();
        let ty = pre.component().component_type();
        ty.exports(engine).map(|(name, export)| (name.to_owned(), export.ty)).collect()
    }
}

impl<T: CellData> RunningApp<T> {
    /// A view of it that does not keep it running.
    #[must_use]
    pub fn view(&self) -> AppView<T> {
        AppView(Arc::downgrade(&self.0))
    }
}

impl<T: CellData> AppView<T> {
    /// The app, if it still runs. Whoever keeps this keeps it running.
    #[must_use]
    pub fn running(&self) -> Option<RunningApp<T>> {
        self.0.upgrade().map(RunningApp)
    }
}

impl<T: CellData> Clone for AppView<T> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<T: CellData> fmt::Debug for AppView<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AppView").finish()
    }
}

impl<T: CellData> Clone for RunningApp<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: CellData> LoadedApp<T> {
    pub(crate) fn model(&self) -> &Arc<App> {
        &self.model
    }

    pub(crate) fn spec(&self, id: ComponentId) -> &model::Component {
        self.model.component(id)
    }

    /// The gate of a route that has one.
    pub(crate) fn route(&self, route: usize) -> Option<&Gate> {
        self.routes.get(route)?.as_ref()
    }

    pub(crate) fn component(&self, id: ComponentId) -> &Loaded<T> {
        &self.components[id.0 as usize]
    }

    pub(crate) fn host(&self) -> &dyn Host<T> {
        &*self.host
    }

    pub(crate) fn events(&self) -> &Arc<dyn EventSink> {
        &self.events
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn is_traced(&self) -> bool {
        self.tracing.is_some()
    }

    /// Begins to take down a call tree, where somebody traces.
    pub(crate) fn record(&self, from: Option<TraceContext>, state: Option<&str>) -> Option<Arc<Recording>> {
        match &self.tracing {
            Some(tracing) => Some(tracing.record(from, state, &self.events)),
            // Who looks at calls wants to know what they are part of.
            None => self.taps.any().then(|| Recording::of_ids(&self.events)),
        }
    }

    pub(crate) fn taps(&self) -> &Taps {
        &self.taps
    }

    /// The types of the functions that cross.
    pub(crate) fn types(&self) -> &Types {
        &self.types
    }

    pub(crate) fn office(&self, scope: Scope) -> &Office {
        &self.offices[of(scope)]
    }

    /// Whether this process has the components that the node has once.
    pub(crate) fn keeps(&self) -> bool {
        self.ferry.get().is_none_or(|ferry| ferry.is_here())
    }

    pub(crate) fn binding(&self) -> &[ComponentId] {
        &self.binding
    }

    /// What postmortems need, where they are kept.
    pub(crate) fn archive(&self) -> Option<&Arc<Archive>> {
        self.archive.as_ref()
    }

    pub(crate) fn set_ferry(&self, ferry: Arc<dyn Ferry>) {
        // There is one: a second would take the calls of the first.
        let _ = self.ferry.set(ferry);
    }

    /// What takes calls of a component to another process, if they go there.
    pub(crate) fn ferry(&self, component: ComponentId) -> Option<&Arc<dyn Ferry>> {
        if !self.spec(component).is_for_the_node() {
            return None;
        }
        self.ferry.get().filter(|ferry| !ferry.is_here())
    }

    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Takes over a proxy whose holder is gone. Only a resident maker outlives it, and drops the original later.
    pub(crate) fn abandon(&self, proxy: Proxy) {
        if self.spec(proxy.component).lifetime == model::Lifetime::Resident {
            self.component(proxy.component).residents.bury(proxy.cell, proxy.resource);
        }
    }
}

impl<T: CellData> Undertaker for LoadedApp<T> {
    fn bury(&self, proxy: Proxy) {
        self.abandon(proxy);
    }
}

/// Forgets the plans of a component that is not used any more.
fn forget_plans(component: &Component) {
    membrane::forget(component.component_type().instance_type().types);
}

impl<T: CellData> Drop for LoadedApp<T> {
    fn drop(&mut self) {
        for component in &self.components {
            component.residents.close();
            forget_plans(component.pre.component());
        }
    }
}

impl<T: CellData> fmt::Debug for RunningApp<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunningApp").field(&self.0.model.name).finish()
    }
}

impl fmt::Debug for CompiledApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledApp").field("app", &self.app.name).field("pools", &self.pools).finish_non_exhaustive()
    }
}

/// Progress for nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn compiling(&self, _: &model::Component, _: usize) {}
    fn ready(&self, _: &model::Component, _: Origin) {}
}

/// The deadline of a root call: the component's own, from now.
pub(crate) fn root_deadline(spec: &model::Component) -> Moment {
    Moment::now().plus(spec.budget.deadline)
}
