//! The composition root: from an app's files to a node that runs it, one line for each step.
//!
//! ```text
//! AppSource ── check ──▶ CheckedApp ── compile ──▶ CompiledNode ── start ──▶ Node ── serve, invoke, run
//!   read                  sound                     compiled, pools planned    engines running
//! ```
//!
//! [`NodeBuilder`] goes the whole way; the steps are public for programs that show what happens on it.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};
use tokio_util::task::TaskTracker;
use watertight_host::{Console, HostCell, SharedLedgers, WasiHost};
use watertight_ingress::HttpConfig;
use watertight_model::{
    app::{App, Component, ComponentId, SourceKind, Sources, Wall},
    event::{EventSink, NoSink},
    failure::CallError,
    fault::FaultPlan,
    grant::DirMode,
    health::ComponentHealth,
    problem::Problem,
    usage::Usage,
};
use watertight_observe::Tally;
use watertight_runtime::{
    CacheError, CompileCache, CompiledApp, LoadError, NoProgress, PoolPlan, Progress, RunningApp, StandIns,
};

use crate::{
    ears::Ears,
    ferry::{NodeFerry, Quayside},
    inspect::inspect,
    invoke::{self, Export, InvokeError, Val},
    postmortem::Postmortems,
    serve::{self, ServeError, Server, TlsFiles},
    snapshots,
    source::{AppSource, CheckedApp, ReadError, Rejected},
    status::Watch,
};

/// How long [`Node::shutdown`] waits for what guests still do after their answers.
const AFTER_LIMIT: Duration = Duration::from_secs(5);

/// An app whose components are compiled, with the pools they need.
#[derive(Debug)]
pub struct CompiledNode {
    compiled: CompiledApp,
    /// What was compiled: scripts that could be loaded are.
    sources: Sources,
    base: PathBuf,
    warnings: Vec<Problem>,
    ledgers: SharedLedgers,
    postmortems: Option<PathBuf>,
}

/// A running app: its components can be called, and its routes served. Needs a Tokio runtime; one thread is enough.
pub struct Node {
    running: RunningApp<HostCell>,
    compiled: CompiledNode,
    /// What guests still do after their answers.
    after: TaskTracker,
    /// It goes last: what has failed until then is written.
    _postmortems: Option<Postmortems>,
}

/// The app gave up on its residents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AppDown(String);

impl AppDown {
    pub(crate) async fn wait(running: &RunningApp<HostCell>) -> Self {
        running.down().await;
        let reason = running.health().into_iter().find_map(|component| component.reason);
        Self(reason.unwrap_or_else(|| "the app gave up".to_owned()))
    }
}

/// Why an app does not run: everything that is wrong, as far as it could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Nothing that could be an app is there.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The app is not sound.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// Compiled code has no place to go.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The app cannot be loaded: every reason.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Load(Vec<LoadError>),
    /// The builder was not told which app, or where compiled code goes.
    #[error("the node was not told {0}")]
    Incomplete(&'static str),
}

impl CheckedApp {
    /// Compiles every component, or takes it from the cache, and plans the pools for these roots: the components that are
    /// entered from outside, each with how many calls at once. [`CheckedApp::all_roots`] are those of a server.
    ///
    /// # Errors
    /// Every component that cannot be compiled, and every pool that this machine cannot have.
    pub fn compile(
        &self,
        cache: CompileCache,
        roots: &[(ComponentId, u32)],
        progress: &dyn Progress,
    ) -> Result<CompiledNode, NodeError> {
        let sources =
            if self.snapshots { snapshots::with_scripts(self, &cache, progress) } else { self.sources.clone() };
        let compiled =
            CompiledApp::compile(Arc::clone(&self.app), &sources, cache, roots, progress).map_err(NodeError::Load)?;
        Ok(CompiledNode {
            compiled,
            sources,
            base: self.base.clone(),
            warnings: self.warnings.clone(),
            ledgers: SharedLedgers::default(),
            postmortems: None,
        })
    }

    /// The components that are entered from outside when the app is served or embedded: those of its routes, and those that no
    /// other component uses; each with its own concurrency.
    #[must_use]
    pub fn all_roots(&self) -> Vec<(ComponentId, u32)> {
        let app = &self.app;
        let entered = |id| app.http.iter().any(|trigger| trigger.component == id);
        let used = |id| app.edges_to(id).next().is_some();
        app.components
            .iter()
            .filter(|component| component.wall == Wall::Cell && (entered(component.id) || !used(component.id)))
            .map(|component| (component.id, component.calls_at_once()))
            .collect()
    }

    /// Every component that can be entered, once: enough for a single call of any export.
    #[must_use]
    pub fn each_once(&self) -> Vec<(ComponentId, u32)> {
        let cells = self.app.components.iter().filter(|component| component.wall == Wall::Cell);
        cells.map(|component| (component.id, 1)).collect()
    }

    /// The components that are commands: they export `wasi:cli/run`, or are core modules that will.
    #[must_use]
    pub fn commands(&self) -> Vec<ComponentId> {
        let exports_run = |id: ComponentId| {
            let bytes = self.sources.get(&id).map_or(&[][..], |bytes| bytes);
            inspect(bytes).is_ok_and(|seen| seen.exports.iter().any(|export| export.starts_with("wasi:cli/run@")))
        };
        let is_command = |component: &&Component| {
            component.wall == Wall::Cell && (component.kind == SourceKind::CommandModule || exports_run(component.id))
        };
        self.app.components.iter().filter(is_command).map(|component| component.id).collect()
    }
}

impl CompiledNode {
    /// What each engine will set aside.
    #[must_use]
    pub fn pools(&self) -> &[PoolPlan] {
        self.compiled.pools()
    }

    /// The bytes of the components as they were compiled, with their scripts in them where that can be: for [`AppSource::loaded`].
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The checked app.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        self.compiled.app()
    }

    /// What counts the folders that guests write to, for several processes that serve this app: made once, and kept by the process that
    /// starts those.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn ledgers(&self) -> io::Result<SharedLedgers> {
        let dirs = self.app().components.iter().flat_map(|component| &component.grants.dirs);
        SharedLedgers::keep(dirs.filter(|dir| dir.mode == DirMode::Rw).map(|dir| self.base.join(&dir.host)))
    }

    /// Counts what guests write together with other processes.
    #[must_use]
    pub fn with_ledgers(self, ledgers: SharedLedgers) -> Self {
        Self { ledgers, ..self }
    }

    /// Has a folder written for failed cells, at most once a second, in this one: what failed and why, the stack, what led there, the
    /// cell's memory. See [`crate::postmortem`].
    #[must_use]
    pub fn with_postmortems(self, folder: impl Into<PathBuf>) -> Self {
        Self { postmortems: Some(folder.into()), ..self }
    }

    /// Has these answer the imports that they are for.
    pub(crate) fn with_stand_ins(self, stand_ins: StandIns) -> Self {
        Self { compiled: self.compiled.with_stand_ins(stand_ins), ..self }
    }

    /// Starts the engines and links every component to the host and to the others. `console` is for the one component that is
    /// run as a command.
    ///
    /// # Errors
    /// Every edge that cannot be put in place, every import that nobody meets, an engine that cannot start.
    pub fn start(mut self, console: Option<Console>, events: Arc<dyn EventSink>) -> Result<Node, NodeError> {
        catch_file_size_signal();
        let mut host = WasiHost::new(Arc::clone(self.app()), &self.base).with_ledgers(self.ledgers.clone());
        if let Some(console) = console {
            host = host.with_console(console);
        }
        let postmortems = self.postmortems.clone().and_then(|folder| Postmortems::start(folder, Arc::clone(&events)));
        if let Some(postmortems) = &postmortems {
            self.compiled = self.compiled.with_morgue(postmortems.morgue());
        }
        let running = self.compiled.start(Arc::new(host), events).map_err(NodeError::Load)?;
        Ok(Node { running, compiled: self, after: TaskTracker::new(), _postmortems: postmortems })
    }
}

/// Keeps a guest that writes past `ulimit -f` from ending the process by a signal: it gets an error then. What is caught once stays caught.
fn catch_file_size_signal() {
    if Handle::try_current().is_ok() {
        // Refused for signals that no program may catch, which this is not.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
    }
}

impl Node {
    /// Begins with nothing: an app and a place for compiled code are needed, the rest has defaults.
    #[must_use]
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// The checked app.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        self.running.app()
    }

    /// What runs.
    pub(crate) fn running(&self) -> &RunningApp<HostCell> {
        &self.running
    }

    /// Problems of the manifest that keep nothing from running.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.compiled.warnings
    }

    /// What each engine has set aside.
    #[must_use]
    pub fn pools(&self) -> &[PoolPlan] {
        self.compiled.pools()
    }

    /// What the cells use, by component.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.running.usage()
    }

    /// Calls that begin from now on suffer the faults of this plan, or none: see [`crate::drill`].
    pub fn set_faults(&self, plan: Option<FaultPlan>) {
        self.running.set_faults(plan);
    }

    /// The faults that calls suffer.
    #[must_use]
    pub fn faults(&self) -> Option<Arc<FaultPlan>> {
        self.running.faults()
    }

    /// What tells how this node is, counted by the tally that its events go through. It does not keep the node running.
    pub(crate) fn watch(&self, tally: Arc<Tally>, ears: Arc<Ears>) -> Watch {
        Watch { app: Arc::clone(self.app()), running: self.running.view(), tally, ears }
    }

    /// Starts the residents, and waits until each is up, or could not be started the first time. Without this they start with the
    /// first call. The runtime that they are started in keeps them: it has to last as long as the node.
    pub async fn warm(&self) {
        self.running.warm().await;
    }

    /// Waits until the app has given up on its residents, by the `intensity` that its manifest gives it, and says why. Calls that
    /// need none of them go on; the others fail. Without that key this never ends.
    pub async fn down(&self) -> AppDown {
        AppDown::wait(&self.running).await
    }

    /// How each component is: where its residents are, and what became of those before.
    #[must_use]
    pub fn health(&self) -> Vec<ComponentHealth> {
        self.running.health()
    }

    /// What takes calls of components that a node has once to the process that has them.
    pub(crate) fn ferry(&self) -> Arc<NodeFerry> {
        let ferry = NodeFerry::new(Arc::clone(self.app()), self.running.view());
        self.running.set_ferry(Arc::new(Quayside(Arc::clone(&ferry))));
        ferry
    }

    /// Every function that can be invoked.
    #[must_use]
    pub fn exports(&self) -> Vec<Export> {
        invoke::exports(&self.running)
    }

    /// Finds an exported function: `ns:pkg/interface#function` with or without a version, or the name of a function that the
    /// world itself exports; `component` chooses between several that export it.
    ///
    /// # Errors
    /// When nobody exports it, or several do.
    pub fn export(&self, function: &str, component: Option<&str>) -> Result<Export, InvokeError> {
        invoke::find(self.exports(), function, component)
    }

    /// Calls an exported function in a call tree of its own, under its component's budgets.
    ///
    /// # Errors
    /// When the arguments have other types than the parameters, or the call fails.
    pub async fn invoke(&self, export: &Export, arguments: &[Val]) -> Result<Option<Val>, InvokeError> {
        invoke::call(&self.running, export, arguments.to_vec()).await
    }

    /// Calls an exported function as text: `ns:pkg/interface#function(arguments in WAVE)`. The result is WAVE too; `None` where the
    /// function returns nothing.
    ///
    /// # Errors
    /// As [`Node::export`] and [`Node::invoke`], and when the text is not WAVE or a value has no text.
    pub async fn invoke_text(&self, call: &str, component: Option<&str>) -> Result<Option<String>, InvokeError> {
        let (function, arguments) = invoke::split_call(call)?;
        let export = self.export(function, component)?;
        let arguments = invoke::read_arguments(&export, arguments)?;
        let result = self.invoke(&export, &arguments).await?;
        result.map(|result| invoke::write_value(&export, &result)).transpose()
    }

    /// Runs the command that a component exports (`wasi:cli/run`), and returns its exit code.
    ///
    /// # Errors
    /// When the component exports none, or fails in another way than by its exit code.
    pub async fn run(&self, component: ComponentId) -> Result<i32, RunError> {
        let name = || self.app().component(component).name.clone();
        let command = watertight_host::command::Command::find(self.running.instance_pre(component).component())
            .ok_or_else(|| RunError::NoCommand(name()))?;
        let root = self.running.enter(component).await?;
        Ok(command.run(root).await?)
    }

    /// The routes and what answers them, for serving on sockets of the caller's own.
    ///
    /// # Errors
    /// When the app has no routes.
    pub fn site(&self) -> Result<serve::Site, ServeError> {
        serve::Site::new(&self.running, &self.after)
    }

    /// Serves the app's routes on an address, in this process and on the runtime of the caller. Port 0 chooses a free one.
    ///
    /// # Errors
    /// When the app has no routes, the address cannot be had, or the certificate cannot be used.
    pub fn serve(&self, address: &str, http: HttpConfig, tls: Option<&TlsFiles>) -> Result<Server, ServeError> {
        serve::start(self.site()?, address, http, tls)
    }

    /// Waits for what guests still do after their answers, for a few seconds, stops the residents in the reverse of the order of their
    /// start, and ends the node. Servers are stopped before.
    pub async fn shutdown(self) {
        self.after.close();
        // What does not end within its time is cut off when the node is dropped.
        let _ = tokio::time::timeout(AFTER_LIMIT, self.after.wait()).await;
        let _ = tokio::time::timeout(AFTER_LIMIT, self.running.stop()).await;
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("app", &self.app().name).finish_non_exhaustive()
    }
}

/// Why a command gave no exit code.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The component is no command.
    #[error("component `{0}` is no command: it does not export wasi:cli/run; call one of its functions with --invoke")]
    NoCommand(String),
    /// It failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Where a node's events go, once its app is known.
type EventsFor = Box<dyn FnOnce(&Arc<App>) -> Arc<dyn EventSink>>;

/// Makes a [`Node`].
#[derive(Default)]
pub struct NodeBuilder {
    source: Option<Result<AppSource, ReadError>>,
    cache: Option<PathBuf>,
    events: Option<EventsFor>,
    postmortems: Option<PathBuf>,
}

impl NodeBuilder {
    /// The app: a folder with a `watertight.toml`, a manifest, or a `.wasm` file.
    #[must_use]
    pub fn app(self, path: impl AsRef<std::path::Path>) -> Self {
        Self { source: Some(AppSource::read(path.as_ref())), ..self }
    }

    /// The app, from somewhere else than files.
    #[must_use]
    pub fn source(self, source: AppSource) -> Self {
        Self { source: Some(Ok(source)), ..self }
    }

    /// The folder of the compile cache: shared by any number of processes, only as trustworthy as who can write to it.
    #[must_use]
    pub fn cache_dir(self, folder: impl Into<PathBuf>) -> Self {
        Self { cache: Some(folder.into()), ..self }
    }

    /// Where postmortems of failed cells go; without this there are none.
    #[must_use]
    pub fn postmortem_dir(self, folder: impl Into<PathBuf>) -> Self {
        Self { postmortems: Some(folder.into()), ..self }
    }

    /// Where events go; nowhere by default. A sink must be quick: see [`watertight_observe::Bus`].
    #[must_use]
    pub fn events(self, sink: Arc<dyn EventSink>) -> Self {
        self.events_for(move |_| sink)
    }

    /// Where events go, for sinks that need the app to name what events number.
    #[must_use]
    pub fn events_for(self, make: impl FnOnce(&Arc<App>) -> Arc<dyn EventSink> + 'static) -> Self {
        Self { events: Some(Box::new(make)), ..self }
    }

    /// Checks, compiles and starts the app.
    ///
    /// # Errors
    /// Everything that is wrong with the first step that fails.
    pub fn load(self) -> Result<Node, NodeError> {
        let checked = self.source.ok_or(NodeError::Incomplete("which app to run"))??.check()?;
        let cache = self.cache.ok_or(NodeError::Incomplete("where compiled code goes: give a cache_dir"))?;
        let events = self.events.map_or_else(|| Arc::new(NoSink) as Arc<dyn EventSink>, |make| make(&checked.app));
        let roots = checked.all_roots();
        let mut node = checked.compile(CompileCache::open(&cache)?, &roots, &NoProgress)?;
        node.postmortems = self.postmortems;
        node.start(None, events)
    }
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder").field("cache", &self.cache).finish_non_exhaustive()
    }
}
