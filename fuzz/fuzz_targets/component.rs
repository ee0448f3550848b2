//! Any bytes as a component: checked, and compiled if the checker takes them. Never a panic.

#![no_main]

use std::{path::Path, sync::Arc};

use libfuzzer_sys::fuzz_target;
use watertight_model::{
    check::{HostInterfaces, single},
    picture,
    report::Report,
};
use watertight_runtime::{CompileCache, CompiledApp, NoProgress};

fuzz_target!(|bytes: &[u8]| {
    let bytes: Arc<[u8]> = Arc::from(bytes);
    let (app, _) = single(Path::new("app.wasm"), Ok(Arc::clone(&bytes)), &HostInterfaces::wasi());
    let Some(app) = app.map(Arc::new) else { return };
    let _ = Report::of(&app);
    let _ = picture::svg(&app);
    let sources = app.components.iter().map(|component| (component.id, Arc::clone(&bytes))).collect();
    let roots: Vec<_> = app.components.iter().map(|component| (component.id, 1)).collect();
    let folder = tempfile::tempdir().expect("a folder for the cache");
    let cache = CompileCache::open(folder.path()).expect("a cache");
    // What the engine does not compile is refused, as any other component that is not valid.
    let _ = CompiledApp::compile(app, &sources, cache, &roots, &NoProgress);
});
