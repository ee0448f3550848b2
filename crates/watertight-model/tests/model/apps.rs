//! Apps for tests: a manifest, and components that are worlds of WIT with nothing behind them.

use std::{collections::BTreeMap, sync::Arc};

use watertight_model::{
    app::App,
    check::{Files, FolderError, HostInterfaces, SourceError, check as check_manifest},
    manifest::Manifest,
    problem::Problem,
};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

/// What worlds of tests import and export.
const PACKAGES: &str = include_str!("packages.wit");

/// The component of a world, by its body: `import press:image/thumbnail; export log: func(line: string);`.
pub(crate) fn component(world: &str) -> Vec<u8> {
    let text = format!("package test:app;\nworld under-test {{ {world} }}\n{PACKAGES}");
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let package = resolve.push_source("test.wit", &text).expect("the test's WIT parses");
    let id = resolve.select_world(&[package], Some("under-test")).expect("the world is there");
    let asynchronous = world.contains("@0.3") || world.contains("async");
    let mangling =
        if asynchronous { ManglingAndAbi::Legacy(LiftLowerAbi::AsyncCallback) } else { ManglingAndAbi::Standard32 };
    let mut module = dummy_module(&resolve, id, mangling);
    embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8).expect("the metadata fits");
    let encoder = ComponentEncoder::default().module(&module).expect("the dummy module is one");
    encoder.validate(true).encode().expect("the world can be encoded")
}

/// The bytes of a source: text that begins with `(` is WAT, with `!` the bytes after it, anything else the body of a world.
pub(crate) fn bytes(source: &str) -> Vec<u8> {
    if source.starts_with('(') {
        wat::parse_str(source).expect("the test's WAT parses")
    } else if let Some(raw) = source.strip_prefix('!') {
        raw.as_bytes().to_vec()
    } else {
        component(source)
    }
}

/// Checks an app; folders named `content` exist, components that are not given are missing files.
pub(crate) fn check(manifest: &str, components: &[(&str, &str)]) -> (Option<App>, Vec<Problem>) {
    let built: Vec<_> = components.iter().map(|(name, source)| (*name, bytes(source))).collect();
    check_bytes(manifest, &built)
}

/// The same with the components' bytes.
pub(crate) fn check_bytes(manifest: &str, components: &[(&str, Vec<u8>)]) -> (Option<App>, Vec<Problem>) {
    let manifest = Manifest::parse("watertight.toml", manifest);
    let sources = manifest.sources().map(|(name, _)| {
        let found = components.iter().find(|(known, _)| *known == name);
        let neighbours = vec!["web.wasm".to_owned(), "markdown.wasm".to_owned()];
        let bytes = found.map(|(_, bytes)| Arc::from(bytes.as_slice()));
        (name.to_owned(), bytes.ok_or(SourceError::Missing { neighbours }))
    });
    let folders = manifest.folders().map(|path| {
        let state = match path.to_str() {
            Some("content" | "cache") => Ok(()),
            Some("web.wasm") => Err(FolderError::NotAFolder),
            Some("locked") => Err(FolderError::Unreadable("permission denied".to_owned())),
            _ => Err(FolderError::Missing),
        };
        (path.to_owned(), state)
    });
    let files =
        Files { sources: sources.collect(), scripts: BTreeMap::new(), folders: folders.collect::<BTreeMap<_, _>>() };
    check_manifest(&manifest, &files, &HostInterfaces::wasi())
}

/// An app that must be sound.
pub(crate) fn sound(manifest: &str, components: &[(&str, &str)]) -> App {
    let (app, problems) = check(manifest, components);
    assert!(problems.is_empty(), "{}", rendered(&problems));
    app.expect("an app without problems is there")
}

/// Problems as a terminal shows them.
pub(crate) fn rendered(problems: &[Problem]) -> String {
    use miette::{GraphicalReportHandler, GraphicalTheme};
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(120);
    let mut text = String::new();
    for problem in problems {
        handler.render_report(&mut text, problem).expect("rendering into a string cannot fail");
    }
    text
}
