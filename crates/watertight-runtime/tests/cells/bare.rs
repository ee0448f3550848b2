//! A host that offers nothing, and apps of guests on it: what most tests of the runtime need.

use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use wasmtime::component::{Linker, ResourceTable, Val};
use watertight_model::{
    app::{App, Component, Sources},
    check::{Files, HostInterfaces, check},
    event::{Event, EventSink, NoSink},
    failure::CallError,
    manifest::Manifest,
    problem::Problem,
};
use watertight_runtime::{
    CellCore, CellData, CompileCache, CompiledApp, Host, HostResource, LoadError, Morgue, NoProgress, RunningApp,
};

/// A cell's state: the runtime's own and a table of resources.
pub(crate) struct Bare {
    core: CellCore<Self>,
    table: ResourceTable,
}

impl Bare {
    pub(crate) fn new(core: CellCore<Self>) -> Self {
        Self { core, table: ResourceTable::new() }
    }
}

impl CellData for Bare {
    fn core(&self) -> &CellCore<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut CellCore<Self> {
        &mut self.core
    }

    fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

/// A host that offers nothing.
pub(crate) struct NoHost;

impl Host<Bare> for NoHost {
    fn link(&self, _: &Component, _: &mut Linker<Bare>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn furnish(&self, _: &Component, core: CellCore<Bare>) -> wasmtime::Result<Bare> {
        Ok(Bare::new(core))
    }

    fn resources(&self) -> &[HostResource] {
        &[]
    }
}

/// Keeps every event.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Event>>);

impl EventSink for Recorder {
    fn emit(&self, event: Event) {
        self.0.lock().push(event);
    }
}

impl Recorder {
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock())
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().iter().filter(|event| wanted(event)).count()
    }
}

/// A running app, and what happened in it.
pub(crate) struct Harness {
    pub(crate) app: RunningApp<Bare>,
    pub(crate) events: Arc<Recorder>,
    _cache: tempfile::TempDir,
}

type Guests<'a> = &'a [(&'a str, Vec<u8>)];

fn check_text(manifest: &str, guests: Guests<'_>, offered: &HostInterfaces) -> (Option<App>, Vec<Problem>) {
    let text = format!("[app]\nname = \"test\"\nversion = \"0.0.0\"\n{manifest}");
    let manifest = Manifest::parse("watertight.toml", &text);
    let sources = guests.iter().map(|(name, bytes)| ((*name).to_owned(), Ok(Arc::from(bytes.as_slice()))));
    let files = Files { sources: sources.collect(), ..Files::default() };
    check(&manifest, &files, offered)
}

/// What is wrong with a manifest.
pub(crate) fn problems(manifest: &str, guests: Guests<'_>) -> Vec<String> {
    let (_, problems) = check_text(manifest, guests, &HostInterfaces::wasi());
    problems.iter().map(|problem| problem.message().to_owned()).collect()
}

/// Checks a manifest whose components' bytes are given by name.
pub(crate) fn checked(manifest: &str, guests: Guests<'_>) -> (Arc<App>, Sources) {
    checked_for(manifest, guests, &HostInterfaces::wasi())
}

fn checked_for(manifest: &str, guests: Guests<'_>, offered: &HostInterfaces) -> (Arc<App>, Sources) {
    let (app, problems) = check_text(manifest, guests, offered);
    let app = app.unwrap_or_else(|| panic!("the test's manifest is not sound: {problems:#?}"));
    let bytes = |name: &str| guests.iter().find(|(guest, _)| *guest == name).expect("given").1.as_slice();
    let sources = app.components.iter().map(|component| (component.id, Arc::from(bytes(&component.name)))).collect();
    (Arc::new(app), sources)
}

/// Loads an app. Every component can be entered.
pub(crate) fn try_load(manifest: &str, guests: Guests<'_>) -> Result<Harness, Vec<LoadError>> {
    let events = Arc::new(Recorder::default());
    let (app, cache) =
        start(checked(manifest, guests), Arc::new(NoHost), Arc::clone(&events) as Arc<dyn EventSink>, None)?;
    Ok(Harness { app, events, _cache: cache })
}

/// Loads an app on a host that offers something.
pub(crate) fn load_with(
    manifest: &str,
    guests: Guests<'_>,
    offered: &HostInterfaces,
    host: Arc<dyn Host<Bare>>,
) -> Harness {
    let events = Arc::new(Recorder::default());
    let started = start(checked_for(manifest, guests, offered), host, Arc::clone(&events) as Arc<dyn EventSink>, None);
    let (app, cache) = started.unwrap_or_else(|problems| panic!("the app does not load: {problems:#?}"));
    Harness { app, events, _cache: cache }
}

/// Loads an app whose events go to `sink`.
fn start(
    (app, sources): (Arc<App>, Sources),
    host: Arc<dyn Host<Bare>>,
    sink: Arc<dyn EventSink>,
    morgue: Option<Arc<dyn Morgue>>,
) -> Result<(RunningApp<Bare>, tempfile::TempDir), Vec<LoadError>> {
    // A cache that the tests of one run share would hide what is compiled anew; each gets its own.
    let folder = tempfile::tempdir().expect("a folder for the cache");
    let cache = CompileCache::open(folder.path()).expect("a cache");
    let roots: Vec<_> = app.components.iter().map(|component| (component.id, 8)).collect();
    let mut compiled = CompiledApp::compile(app, &sources, cache, &roots, &NoProgress)?;
    if let Some(morgue) = morgue {
        compiled = compiled.with_morgue(morgue);
    }
    Ok((compiled.start(host, sink)?, folder))
}

/// Loads an app whose events go nowhere.
pub(crate) fn load_quietly(manifest: &str, guests: Guests<'_>) -> Harness {
    load_for(manifest, guests, None)
}

/// Loads an app whose events go nowhere, and its failed cells there.
pub(crate) fn load_for(manifest: &str, guests: Guests<'_>, morgue: Option<Arc<dyn Morgue>>) -> Harness {
    load_into(manifest, guests, |_| Arc::new(NoSink), morgue)
}

/// Loads an app whose events go to the sink that is made for it, and its failed cells there.
pub(crate) fn load_into(
    manifest: &str,
    guests: Guests<'_>,
    sink: impl FnOnce(&App) -> Arc<dyn EventSink>,
    morgue: Option<Arc<dyn Morgue>>,
) -> Harness {
    let checked = checked(manifest, guests);
    let sink = sink(&checked.0);
    let (app, cache) = start(checked, Arc::new(NoHost), sink, morgue)
        .unwrap_or_else(|problems| panic!("the app does not load: {problems:#?}"));
    Harness { app, events: Arc::default(), _cache: cache }
}

pub(crate) fn load(manifest: &str, guests: Guests<'_>) -> Harness {
    try_load(manifest, guests).unwrap_or_else(|problems| panic!("the app does not load: {problems:#?}"))
}

impl Harness {
    /// Cells that started and have not ended.
    pub(crate) fn alive(&self) -> usize {
        let started = self.events.count(|event| matches!(event, Event::CellStarted { .. }));
        started - self.events.count(|event| matches!(event, Event::CellEnded { .. }))
    }

    /// Calls an exported function by `interface#function` in a call tree of its own.
    pub(crate) async fn call(
        &self,
        component: &str,
        function: &str,
        arguments: Vec<Val>,
    ) -> Result<Vec<Val>, CallError> {
        let component = self.app.app().find(component).expect("a component of the test's app").id;
        let root = self.app.enter(component).await?;
        let (interface, name) = function.rsplit_once('#').expect("interface#function");
        let (interface, name) = (interface.to_owned(), name.to_owned());
        root.run(move |store, instance| {
            async move {
                let interface = instance.get_export_index(&mut *store, None, &interface).expect("the interface");
                let index = instance.get_export_index(&mut *store, Some(&interface), &name).expect("the function");
                let function = instance.get_func(&mut *store, index).expect("a function");
                let count = function.ty(&mut *store).results().len();
                let mut results = vec![Val::Bool(false); count];
                function.call_async(&mut *store, &arguments, &mut results).await?;
                Ok(results)
            }
            .boxed()
        })
        .await
    }
}
