//! `watertight runtime`: the language runtimes that scripts run on.

use std::fs;

use serde::Serialize;
use watertight::{RuntimeError, Runtimes, runtimes::InstalledRuntime};

use super::table::table;
use crate::{
    args::{Format, Runtime, RuntimeAction},
    exit::Exit,
    failure::Failure,
    runtimes, terminal,
};

/// A runtime, as machines are told of it.
#[derive(Serialize)]
struct Shown {
    name: String,
    language: String,
    version: String,
    extensions: Vec<String>,
    protocol: watertight_model::script::Protocol,
    bytes: u64,
}

impl From<&InstalledRuntime> for Shown {
    fn from(runtime: &InstalledRuntime) -> Self {
        let InstalledRuntime { name, spec, component } = runtime;
        Self {
            name: name.clone(),
            language: spec.language.clone(),
            version: spec.version.clone(),
            extensions: spec.extensions.clone(),
            protocol: spec.protocol,
            bytes: fs::metadata(component).map_or(0, |found| found.len()),
        }
    }
}

pub(crate) fn runtime(args: &Runtime) -> Result<(), Failure> {
    let runtimes = runtimes::runtimes(&args.runtimes);
    match &args.action {
        None | Some(RuntimeAction::List) => list(&runtimes, args.format),
        Some(RuntimeAction::Add { file }) => {
            let added = runtimes.add(file)?;
            match args.format {
                Format::Text => terminal::print(&format!("{}\n", added.component.display())),
                Format::Json => terminal::print_json(&Shown::from(&added)),
            }
        }
        Some(RuntimeAction::Remove { name }) => Ok(runtimes.remove(name)?),
    }
}

fn list(runtimes: &Runtimes, format: Format) -> Result<(), Failure> {
    let mut shown = Vec::new();
    for found in runtimes.list() {
        match found {
            Ok(runtime) => shown.push(Shown::from(&runtime)),
            Err(error) => terminal::tell(&format!("warning: {error}\n")),
        }
    }
    if format == Format::Json {
        return terminal::print_json(&serde_json::json!({ "folder": runtimes.folder(), "runtimes": shown }));
    }
    let mut text = String::new();
    match runtimes.folder() {
        Some(folder) if shown.is_empty() => text = format!("no runtimes in {}\n", folder.display()),
        Some(folder) => {
            text = format!("{}\n", folder.display());
            let head = ["NAME", "LANGUAGE", "VERSION", "FILES", "HTTP", "SIZE"];
            table(&mut text, &head, shown.iter().map(row));
        }
        None => text.push_str("no folder for runtimes\n"),
    }
    terminal::print(&text)
}

fn row(runtime: &Shown) -> Vec<String> {
    let endings: Vec<_> = runtime.extensions.iter().map(|ending| format!(".{ending}")).collect();
    vec![
        runtime.name.clone(),
        runtime.language.clone(),
        runtime.version.clone(),
        endings.join(" "),
        runtime.protocol.name().to_owned(),
        format!("{} KiB", runtime.bytes >> 10),
    ]
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        let exit = match error {
            RuntimeError::NoFolder | RuntimeError::BadName(_) => Exit::Usage,
            RuntimeError::Unknown(_) => Exit::NotFound,
            RuntimeError::Spec { .. } | RuntimeError::NotAComponent(_) | RuntimeError::Snapshot { .. } => {
                Exit::Rejected
            }
            RuntimeError::Io { .. } => Exit::NotFound,
        };
        Self::new(exit, error.to_string())
    }
}
