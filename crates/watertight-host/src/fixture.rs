//! For this crate's tests: an app of one component, and a sink that keeps what it gets.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use watertight_model::{
    app::{App, Component, ComponentId, Lifetime, SourceKind, Wall},
    budget::Budget,
    event::{Denial, Event, EventSink, LogStream},
    grant::Grants,
    supervision::{Residence, Supervision},
};

/// An app whose one component is called `web`, changed by the test.
pub(crate) fn app(change: impl FnOnce(&mut Component)) -> Arc<App> {
    let mut component = Component {
        id: ComponentId(0),
        name: "web".into(),
        source: PathBuf::from("web.wasm"),
        wall: Wall::Cell,
        lifetime: Lifetime::Request,
        grants: Grants::default(),
        budget: Budget::default(),
        residence: Residence::default(),
        fused: Vec::new(),
        fused_edges: Vec::new(),
        asynchronous: false,
        kind: SourceKind::Component,
        script: None,
        redact: false,
    };
    change(&mut component);
    Arc::new(App {
        name: "test".into(),
        version: "0.1.0".into(),
        components: vec![component],
        edges: Vec::new(),
        http: Vec::new(),
        supervision: Supervision::default(),
    })
}

/// Every event so far.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Event>>);

impl EventSink for Recorder {
    fn emit(&self, event: Event) {
        self.0.lock().push(event);
    }
}

impl Recorder {
    /// What was denied.
    pub(crate) fn denials(&self) -> Vec<Denial> {
        self.0
            .lock()
            .iter()
            .filter_map(|event| if let Event::Denied { denial, .. } = event { Some(denial.clone()) } else { None })
            .collect()
    }

    /// The lines to write in the manifest.
    pub(crate) fn remedies(&self) -> Vec<String> {
        self.denials().into_iter().map(|denial| denial.remedy).collect()
    }

    /// What was written.
    pub(crate) fn lines(&self) -> Vec<(LogStream, String)> {
        self.0
            .lock()
            .iter()
            .filter_map(
                |event| if let Event::Log { stream, line, .. } = event { Some((*stream, line.clone())) } else { None },
            )
            .collect()
    }
}
