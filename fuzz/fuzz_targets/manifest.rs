//! Any text as a manifest, with nothing behind its names and then with a guest behind each: it is an app or a list of problems, each of
//! which can be shown, never a panic.

#![no_main]

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use libfuzzer_sys::fuzz_target;
use miette::{GraphicalReportHandler, GraphicalTheme};
use watertight_model::{
    app::App,
    blast::Blast,
    check::{Files, HostInterfaces, check},
    manifest::Manifest,
    picture,
    report::Report,
};

static GUESTS: LazyLock<Vec<Arc<[u8]>>> = LazyLock::new(|| {
    ["relay", "ok", "counter", "http-hello", "command"]
        .map(|name| Arc::from(watertight_testkit::guest::built(name)))
        .to_vec()
});

fuzz_target!(|text: &str| {
    let manifest = Manifest::parse("watertight.toml", text);
    show(&manifest, &Files::default());
    let sources = manifest.sources().zip(GUESTS.iter().cycle());
    let sources = sources.map(|((name, _), guest)| (name.to_owned(), Ok(Arc::clone(guest)))).collect();
    let folders = manifest.folders().map(|folder| (PathBuf::from(folder), Ok(()))).collect();
    show(&manifest, &Files { sources, folders });
});

fn show(manifest: &Manifest, files: &Files) {
    let (app, problems) = check(manifest, files, &HostInterfaces::wasi());
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::none());
    for problem in &problems {
        let mut text = String::new();
        handler.render_report(&mut text, problem).expect("a problem can be shown");
    }
    if let Some(app) = app {
        describe(&app);
    }
}

fn describe(app: &App) {
    let _ = Report::of(app);
    let _ = Blast::of(app);
    let _ = picture::dot(app);
    let _ = picture::svg(app);
}
