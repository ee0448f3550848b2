//! Apps of checked-in guests, started on the real runtime with this crate's host.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use wasmtime::component::{ComponentNamedList, Lift, Lower};
use watertight_host::{Console, HostCell, SharedLedgers, WasiHost};
use watertight_model::{
    app::{App, Component, ComponentId, Edge, EdgeId, EdgeShape, Function, Lifetime, OnFailure, SourceKind, Wall},
    budget::Budget,
    event::{Event, EventSink, LogStream},
    failure::CallError,
    grant::Grants,
    supervision::{Residence, Supervision},
    trace::Sampling,
};
use watertight_runtime::{CompileCache, CompiledApp, LoadError, NoProgress, RunningApp};
use watertight_testkit::guest;

/// An app under test.
pub(crate) struct Bench {
    pub(crate) app: RunningApp<HostCell>,
    pub(crate) events: Arc<Recorder>,
    _folder: tempfile::TempDir,
}

/// Every event so far, and which traces are wanted.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Event>>, Option<Sampling>);

impl EventSink for Recorder {
    fn emit(&self, event: Event) {
        self.0.lock().push(event);
    }

    fn sampling(&self) -> Option<Sampling> {
        self.1
    }
}

impl Recorder {
    /// One that wants this share of the traces.
    pub(crate) fn of_traces(share: f64) -> Self {
        Self(Mutex::default(), Some(Sampling::ratio(share)))
    }

    pub(crate) fn all(&self) -> Vec<Event> {
        self.0.lock().clone()
    }

    /// The lines to write in the manifest.
    pub(crate) fn remedies(&self) -> Vec<String> {
        self.all()
            .into_iter()
            .filter_map(|event| if let Event::Denied { denial, .. } = event { Some(denial.remedy) } else { None })
            .collect()
    }

    /// What was logged.
    pub(crate) fn lines(&self) -> Vec<(LogStream, String)> {
        self.all()
            .into_iter()
            .filter_map(|event| if let Event::Log { stream, line, .. } = event { Some((stream, line)) } else { None })
            .collect()
    }
}

/// What the test makes of the app before it starts.
pub(crate) struct Plan {
    components: Vec<(Vec<u8>, Component)>,
    edges: Vec<Edge>,
    base_dir: PathBuf,
    console: Option<Console>,
    ledgers: SharedLedgers,
}

impl Plan {
    /// An app of one guest, called `web`.
    pub(crate) fn of(guest: &str, change: impl FnOnce(&mut Component)) -> Self {
        Self::with(guest::built(guest), change)
    }

    /// An app of one component with these bytes, called `web`.
    pub(crate) fn with(bytes: Vec<u8>, change: impl FnOnce(&mut Component)) -> Self {
        let plan = Self {
            components: Vec::new(),
            edges: Vec::new(),
            base_dir: PathBuf::new(),
            console: None,
            ledgers: SharedLedgers::default(),
        };
        plan.add("web", bytes, change)
    }

    /// One more component.
    pub(crate) fn and(self, name: &str, guest: &str, change: impl FnOnce(&mut Component)) -> Self {
        self.add(name, guest::built(guest), change)
    }

    /// One more component, with these bytes.
    pub(crate) fn and_bytes(self, name: &str, bytes: Vec<u8>, change: impl FnOnce(&mut Component)) -> Self {
        self.add(name, bytes, change)
    }

    fn add(mut self, name: &str, bytes: Vec<u8>, change: impl FnOnce(&mut Component)) -> Self {
        let id = ComponentId(u32::try_from(self.components.len()).expect("a few"));
        let mut component = Component {
            id,
            name: name.into(),
            source: PathBuf::from(format!("{name}.wasm")),
            wall: Wall::Cell,
            lifetime: Lifetime::Request,
            grants: Grants::default(),
            budget: Budget { concurrency: 4, ..Budget::default() },
            residence: Residence::default(),
            fused: Vec::new(),
            fused_edges: Vec::new(),
            asynchronous: false,
            kind: SourceKind::Component,
            script: None,
            redact: false,
        };
        change(&mut component);
        self.components.push((bytes, component));
        self
    }

    /// An import of the first component, met by the second.
    pub(crate) fn edge(mut self, interface: &str, functions: &[(&str, OnFailure)]) -> Self {
        self.edges.push(Edge {
            id: EdgeId(0),
            importer: ComponentId(0),
            exporter: ComponentId(1),
            import: interface.into(),
            export: interface.into(),
            shape: EdgeShape::Interface,
            by_name: false,
            deadline: None,
            breaker: None,
            limit: None,
            functions: functions
                .iter()
                .map(|(name, on_failure)| Function {
                    name: (*name).into(),
                    signature: String::new(),
                    parameters: Vec::new(),
                    deadline: None,
                    retry: None,
                    fallback: None,
                    on_failure: on_failure.clone(),
                    said: true,
                    unmapped_error: None,
                })
                .collect(),
        });
        self
    }

    pub(crate) fn base_dir(mut self, base_dir: impl Into<PathBuf>) -> Self {
        self.base_dir = base_dir.into();
        self
    }

    pub(crate) fn ledgers(mut self, ledgers: SharedLedgers) -> Self {
        self.ledgers = ledgers;
        self
    }

    pub(crate) fn console(mut self, console: Console) -> Self {
        self.console = Some(console);
        self
    }

    pub(crate) fn start(self) -> Bench {
        self.try_start().unwrap_or_else(|problems| panic!("the app does not start: {problems}"))
    }

    /// Starts it, or says what is wrong.
    pub(crate) fn try_start(self) -> Result<Bench, String> {
        let sources: BTreeMap<_, Arc<[u8]>> =
            self.components.iter().map(|(bytes, component)| (component.id, bytes.as_slice().into())).collect();
        let app = Arc::new(App {
            name: "test".into(),
            version: "0.1.0".into(),
            components: self.components.into_iter().map(|(_, component)| component).collect(),
            edges: self.edges,
            http: Vec::new(),
            supervision: Supervision::default(),
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = CompileCache::open(folder.path()).expect("the folder is ours");
        let compiled = CompiledApp::compile(Arc::clone(&app), &sources, cache, &[(ComponentId(0), 4)], &NoProgress)
            .unwrap_or_else(|problems| panic!("the app does not compile: {problems:?}"));
        let events = Arc::new(Recorder::default());
        let mut host = WasiHost::new(app, self.base_dir).with_ledgers(self.ledgers);
        if let Some(console) = self.console {
            host = host.with_console(console);
        }
        let said = |problems: Vec<LoadError>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let app = compiled.start(Arc::new(host), events.clone()).map_err(said)?;
        Ok(Bench { app, events, _folder: folder })
    }
}

impl Bench {
    /// Calls an export of the first component.
    pub(crate) async fn call<P, R>(&self, interface: &str, function: &str, params: P) -> Result<R, CallError>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let component = self.app.instance_pre(ComponentId(0)).component();
        let interface = component.get_export_index(None, interface).expect("the interface is exported");
        let function = component.get_export_index(Some(&interface), function).expect("the function is exported");
        let root = self.app.enter(ComponentId(0)).await?;
        root.run(move |store, instance| {
            async move {
                let function = instance.get_typed_func::<P, R>(&mut *store, &function)?;
                function.call_async(store, params).await
            }
            .boxed()
        })
        .await
    }
}
