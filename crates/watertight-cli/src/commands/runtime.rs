//! `watertight runtime`: the language runtimes that scripts run on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;
use watertight::{RuntimeError, Runtimes, Signals, runtimes::InstalledRuntime};
use watertight_build::{Job, Workshop};
use watertight_model::manifest::oci::OciSource;

use super::table::table;
use crate::{
    args::{CacheDir, Format, Runtime, RuntimeAction},
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
        Some(RuntimeAction::Add { source }) => match OciSource::parse_pinned(source) {
            Some(oci) if !Path::new(source).exists() => {
                let folder = tempfile::tempdir()?;
                let toml = super::runtime()?.block_on(fetched(&oci, folder.path()))?;
                added(&runtimes, &toml, args.format)
            }
            None if !source.ends_with(".toml") && !Path::new(source).exists() => {
                let message = format!("`{source}` is neither a runtime's TOML nor the name of one in a registry");
                Err(Failure::new(Exit::Usage, message)
                    .help("a name in a registry is host/repository:tag, and may end in @sha256:…"))
            }
            Some(_) | None => added(&runtimes, Path::new(source), args.format),
        },
        Some(RuntimeAction::Build { file, force, cache }) => {
            built(file, *force, cache)?;
            added(&runtimes, file, args.format)
        }
        Some(RuntimeAction::Remove { name }) => Ok(runtimes.remove(name)?),
    }
}

fn added(runtimes: &Runtimes, toml: &Path, format: Format) -> Result<(), Failure> {
    let added = runtimes.add(toml)?;
    match format {
        Format::Text => terminal::print(&format!("{}\n", added.component.display())),
        Format::Json => terminal::print_json(&Shown::from(&added)),
    }
}

/// Fetches a runtime from a registry, until a signal.
async fn fetched(source: &OciSource, into: &Path) -> Result<PathBuf, Failure> {
    let mut signals = Signals::mind()?;
    tokio::select! {
        toml = watertight_build::fetch_runtime(source, into) => {
            toml.map_err(|error| Failure::new(Exit::NotBuilt, error.to_string()))
        }
        () = signals.stopped() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}

/// Makes a runtime's component, in its place beside the TOML.
fn built(toml: &Path, force: bool, cache: &CacheDir) -> Result<(), Failure> {
    let InstalledRuntime { name, spec, component } = Runtimes::describe(toml)?;
    let Some(build) = spec.build else {
        let message = format!("{} has no [build]: nothing says how its component is made", toml.display());
        return Err(Failure::new(Exit::Usage, message)
            .help("write `build.command`, or add what is there already with `watertight runtime add`"));
    };
    let base = toml.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let job = Job::of_command(&name, component, base.join(&build.folder), build.command);
    let records = super::cache_folder(cache.clone())?.join("builds");
    let workshop = Workshop { base: base.to_owned(), records, parallel: 1, anew: force };
    let made = super::runtime()?.block_on(async {
        let mut signals = Signals::mind()?;
        super::build::interruptible(&mut signals, workshop, vec![job], Format::Text).await
    })?;
    super::build::why_not(&made).map_or(Ok(()), Err)
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
