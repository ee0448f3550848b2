//! Apps of several guests, from a manifest's text as a user writes it, on the real runtime with this crate's host.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use wasmtime::component::Val;
use watertight_host::{HostCell, WasiHost};
use watertight_model::{
    check::{Files, HostInterfaces, check},
    event::{CellEnd, Event},
    failure::CallError,
    manifest::Manifest,
};
use watertight_runtime::{CompileCache, CompiledApp, LoadError, NoProgress, RunningApp};
use watertight_testkit::guest;

use crate::app::Recorder;

/// A running app, and what happened in it.
pub(crate) struct Graph {
    pub(crate) app: RunningApp<HostCell>,
    pub(crate) events: Arc<Recorder>,
}

/// Loads an app whose components are built guests: `manifest` has the tables, `guests` says which component is which guest.
pub(crate) fn try_load(manifest: &str, guests: &[(&str, &str)]) -> Result<Graph, Vec<LoadError>> {
    let guests: Vec<_> = guests.iter().map(|(name, built)| (*name, guest::built(built))).collect();
    try_load_bytes(manifest, &guests)
}

/// The same, with components from anywhere.
pub(crate) fn try_load_bytes(manifest: &str, guests: &[(&str, Vec<u8>)]) -> Result<Graph, Vec<LoadError>> {
    try_load_for(manifest, guests, Recorder::default())
}

/// The same, with events that go there.
pub(crate) fn try_load_for(
    manifest: &str,
    guests: &[(&str, Vec<u8>)],
    events: Recorder,
) -> Result<Graph, Vec<LoadError>> {
    let text = format!("[app]\nname = \"test\"\nversion = \"0.0.0\"\n{manifest}");
    let manifest = Manifest::parse("watertight.toml", &text);
    let bytes: BTreeMap<String, Arc<[u8]>> =
        guests.iter().map(|(name, bytes)| ((*name).to_owned(), Arc::from(bytes.as_slice()))).collect();
    let sources = bytes.iter().map(|(name, bytes)| (name.clone(), Ok(Arc::clone(bytes)))).collect();
    let (app, problems) = check(&manifest, &Files { sources, ..Files::default() }, &HostInterfaces::wasi());
    let app = Arc::new(app.unwrap_or_else(|| panic!("the test's manifest is not sound: {problems:#?}")));
    let sources = app.components.iter().map(|component| (component.id, Arc::clone(&bytes[&component.name]))).collect();
    // Shared by all tests of a run: what it holds is found by content.
    let cache = CompileCache::open(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache")).expect("a cache");
    let roots: Vec<_> = app.components.iter().map(|component| (component.id, 8)).collect();
    let compiled = CompiledApp::compile(Arc::clone(&app), &sources, cache, &roots, &NoProgress)?;
    let events = Arc::new(events);
    let app = compiled.start(Arc::new(WasiHost::new(app, "")), events.clone())?;
    Ok(Graph { app, events })
}

pub(crate) fn load(manifest: &str, guests: &[(&str, &str)]) -> Graph {
    try_load(manifest, guests).unwrap_or_else(|problems| panic!("the app does not load: {problems:#?}"))
}

/// A caller and its callee, with more keys for the callee. The caller has time enough on any machine.
pub(crate) fn pair(caller: &str, callee: &str, keys: &str) -> Graph {
    let manifest = format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
         budget = {{ cpu = \"1m\", deadline = \"1m\", slice = \"1m\" }}\n\
         [component.callee]\nsource = \"callee.wasm\"\n{keys}\n"
    );
    load(&manifest, &[("caller", caller), ("callee", callee)])
}

/// How a call went: its one result, or nothing; or how it failed.
pub(crate) type Called = Result<Option<Val>, CallError>;

impl Graph {
    /// Calls `interface#function` of a component in a call tree of its own.
    pub(crate) async fn call(&self, component: &str, function: &str, arguments: Vec<Val>) -> Called {
        let component = self.app.app().find(component).expect("a component of the test's app").id;
        let (interface, function) = function.rsplit_once('#').expect("interface#function");
        let code = self.app.instance_pre(component).component();
        let interface = code.get_export_index(None, interface).expect("the interface is exported");
        let function = code.get_export_index(Some(&interface), function).expect("the function is exported");
        let root = self.app.enter(component).await?;
        root.run(move |store, instance| {
            async move {
                let function = instance.get_func(&mut *store, function).expect("it is a function");
                let mut results = vec![Val::Bool(false); function.ty(&mut *store).results().len()];
                function.call_async(&mut *store, &arguments, &mut results).await?;
                Ok(results.pop())
            }
            .boxed()
        })
        .await
    }

    /// Lets the runtime's own tasks run until every cell that started has ended, or a second has passed.
    pub(crate) async fn settle(&self) {
        for _ in 0..200 {
            if self.alive() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Cells that started and have not ended.
    pub(crate) fn alive(&self) -> usize {
        let mut alive = std::collections::BTreeSet::new();
        for event in self.events.all() {
            match event {
                Event::CellStarted { cell, .. } => assert!(alive.insert(cell.0), "{cell:?} started twice"),
                Event::CellEnded { cell, .. } => {
                    assert!(alive.remove(&cell.0), "{cell:?} ended without having started")
                }
                _ => {}
            }
        }
        alive.len()
    }

    /// How the cells of a component ended so far.
    pub(crate) fn ends(&self, component: &str) -> Vec<CellEnd> {
        let id = self.app.app().find(component).expect("a component of the test's app").id;
        let ended = |event| match event {
            Event::CellEnded { component, end, .. } if component == id => Some(end),
            _ => None,
        };
        self.events.all().into_iter().filter_map(ended).collect()
    }
}

/// The text of `err(text)`.
pub(crate) fn error_text(called: &Called) -> Option<&str> {
    match called {
        Ok(Some(Val::Result(Err(Some(text))))) => match &**text {
            Val::String(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The value of `ok(value)`.
pub(crate) fn ok_value(called: &Called) -> Option<&Val> {
    match called {
        Ok(Some(Val::Result(Ok(Some(value))))) => Some(value),
        _ => None,
    }
}
