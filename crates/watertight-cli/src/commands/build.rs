//! `watertight build`: makes the components that say how they are made.

pub(super) mod fetch;
mod telling;

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use watertight::{ManifestFile, Signals};
use watertight_build::{BuildError, Cancel, Job, Made, Missing, Outcome, Workshop};
use watertight_model::manifest::{Manifest, oci::OciSource};

use self::telling::Telling;
use crate::{
    args::{Build, Format},
    exit::Exit,
    failure::{self, Failure},
    terminal::{self, Look},
};

/// How long tools may take to end when they are asked to.
const GRACE: Duration = Duration::from_secs(2);

pub(crate) fn build(args: Build) -> Result<(), Failure> {
    let Prepared { app, workshop, jobs, sources } = prepare(&args)?;
    let (fetched, made) = super::runtime()?.block_on(async {
        let mut signals = Signals::mind()?;
        let fetched = fetch::all(&mut signals, &workshop, &sources, args.format).await?;
        Ok::<_, Failure>((fetched, interruptible(&mut signals, workshop, jobs, args.format).await?))
    })?;
    let count = |wanted: fn(&Outcome) -> bool| made.iter().filter(|made| wanted(&made.outcome)).count();
    let built = count(|outcome| matches!(outcome, Outcome::Built { .. }));
    let unchanged = count(|outcome| matches!(outcome, Outcome::Unchanged { .. }));
    if args.format == Format::Json {
        let components: Vec<_> = fetched.iter().map(fetch::document).chain(made.iter().map(document)).collect();
        terminal::print_json(&json!({ "app": app, "built": built, "unchanged": unchanged, "components": components }))?;
    }
    if let Some(failure) = fetch::why_not(&fetched, why_not(&made)) {
        return Err(failure);
    }
    let (new, kept) = fetch::count(&fetched);
    let more = if new > 0 { format!(", {new} fetched") } else { String::new() };
    match args.format {
        Format::Text => terminal::print(&format!("{app}: {built} built{more}, {} unchanged\n", unchanged + kept)),
        Format::Json => Ok(()),
    }
}

/// An app's manifest, without errors in itself.
pub(super) fn manifest(app: &Path) -> Result<(ManifestFile, Manifest), Failure> {
    let Some(file) = ManifestFile::read(app)? else {
        let message = format!("{} is a component already: there is nothing to build", app.display());
        return Err(Failure::new(Exit::Usage, message).help("name the folder of an app, or its manifest"));
    };
    let manifest = Manifest::parse(&file.path.display().to_string(), &file.text);
    if manifest.problems().iter().any(watertight_model::problem::Problem::is_error) {
        return Err(watertight::Rejected(manifest.problems().to_vec()).into());
    }
    Ok((file, manifest))
}

/// What there is to do.
struct Prepared {
    /// The app's name.
    app: String,
    workshop: Workshop,
    jobs: Vec<Job>,
    sources: Vec<(String, OciSource)>,
}

/// Reads what there is to do.
fn prepare(args: &Build) -> Result<Prepared, Failure> {
    let (file, manifest) = manifest(&args.app)?;
    terminal::tell(&failure::problems_text(manifest.problems(), Look::of_stderr()));
    let workshop = Workshop {
        base: file.base,
        records: super::cache_folder(args.cache.clone())?.join("builds"),
        parallel: args.jobs.map_or_else(cores, usize::from),
        anew: args.force,
    };
    let mut sources: Vec<_> = manifest.fetched().map(|(name, source)| (name.to_owned(), source.clone())).collect();
    let jobs = workshop.jobs(&manifest);
    let jobs = if args.component.is_empty() {
        jobs
    } else {
        let (remote, local): (Vec<_>, Vec<_>) =
            args.component.iter().cloned().partition(|name| sources.iter().any(|(known, _)| known == name));
        sources.retain(|(name, _)| remote.contains(name));
        if local.is_empty() { Vec::new() } else { named(jobs, manifest.name(), &local)? }
    };
    Ok(Prepared { app: manifest.name().to_owned(), workshop, jobs, sources })
}

/// Those of the jobs that were named; all if none was.
pub(super) fn named(mut jobs: Vec<Job>, app: &str, names: &[String]) -> Result<Vec<Job>, Failure> {
    if let Some(unknown) = names.iter().find(|name| jobs.iter().all(|job| job.component != **name)) {
        let message = format!("{app} has no component `{unknown}` with a `build`");
        let known: Vec<_> = jobs.iter().map(|job| format!("`{}`", job.component)).collect();
        let help = match known.as_slice() {
            [] => "none of its components has one: scripts run as they are, and other files are taken as they are"
                .to_owned(),
            known => format!("those with one: {}", known.join(", ")),
        };
        return Err(Failure::new(Exit::Usage, message).help(help));
    }
    if !names.is_empty() {
        jobs.retain(|job| names.contains(&job.component));
    }
    Ok(jobs)
}

/// What the tool said that failed.
pub(super) fn output(made: &Made) -> Option<&str> {
    match &made.outcome {
        Outcome::Failed(BuildError::Tool { output, .. }) => Some(output),
        Outcome::Failed(_) | Outcome::Unchanged { .. } | Outcome::Built { .. } | Outcome::Left => None,
    }
}

/// Makes them on threads of their own, until a signal says otherwise.
pub(super) async fn interruptible(
    signals: &mut Signals,
    workshop: Workshop,
    jobs: Vec<Job>,
    format: Format,
) -> Result<Vec<Made>, Failure> {
    let cancel = Arc::new(Cancel::default());
    let (done, mut made) = oneshot::channel();
    let theirs = Arc::clone(&cancel);
    std::thread::Builder::new().name("build".to_owned()).spawn(move || {
        let telling = Telling::new(jobs.len(), format, Look::of_stderr());
        drop(done.send(workshop.make(&jobs, &theirs, &telling)));
    })?;
    let panicked = |_| Failure::new(Exit::Internal, "the build panicked");
    tokio::select! {
        made = &mut made => return made.map_err(panicked),
        () = signals.stopped() => {}
    }
    cancel.cancel();
    if tokio::time::timeout(GRACE, &mut made).await.is_err() {
        cancel.kill();
        let _ = made.await;
    }
    Err(Failure::new(Exit::Interrupted, "interrupted"))
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// All that kept components from being made.
pub(super) fn why_not(made: &[Made]) -> Option<Failure> {
    let failed = || {
        made.iter().filter_map(|made| match &made.outcome {
            Outcome::Failed(error) => Some((made.component.as_str(), error)),
            Outcome::Unchanged { .. } | Outcome::Built { .. } | Outcome::Left => None,
        })
    };
    let mut missing: Vec<(&Missing, Vec<&str>)> = Vec::new();
    let mut messages = Vec::new();
    for (component, error) in failed() {
        let BuildError::Missing(tools) = error else {
            messages.push(format!("`{component}` was not built: {}", in_short(error)));
            continue;
        };
        for tool in tools {
            match missing.iter_mut().find(|(known, _)| *known == tool) {
                Some((_, components)) => components.push(component),
                None => missing.push((tool, vec![component])),
            }
        }
    }
    let exit = if missing.is_empty() { Exit::NotBuilt } else { Exit::NoTool };
    messages.extend(missing.iter().map(|(tool, components)| lacking(tool, components)));
    let failure = Failure::of_messages(exit, messages)?;
    let advice = missing.is_empty().then_some("what its tools said is above; nothing of it was put in place");
    Some(match advice {
        Some(advice) if failed().any(|(_, error)| matches!(error, BuildError::Tool { .. })) => failure.help(advice),
        _ => failure,
    })
}

/// Without what the tool said, which was shown.
fn in_short(error: &BuildError) -> String {
    if let BuildError::Tool { command, how, .. } = error {
        return format!("`{command}` {how}");
    }
    error.to_string()
}

fn lacking(tool: &Missing, components: &[&str]) -> String {
    let names: Vec<_> = components.iter().map(|name| format!("`{name}`")).collect();
    let mut text = format!("{} is missing, for {}: {}", tool.tool, names.join(", "), tool.why);
    for (index, command) in tool.get.iter().enumerate() {
        text.push_str(&format!("\n  {} {command}", if index == 0 { "get it:" } else { "or:    " }));
    }
    text
}

fn document(made: &Made) -> Value {
    let mut document = json!({ "name": made.component, "file": Path::new(&made.source) });
    let mut put = |key: &str, value: Value| document[key] = value;
    match &made.outcome {
        Outcome::Unchanged { bytes } => {
            put("state", "unchanged".into());
            put("bytes", (*bytes).into());
        }
        Outcome::Built { bytes, took } => {
            put("state", "built".into());
            put("bytes", (*bytes).into());
            put("took_ms", u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into());
        }
        Outcome::Left => put("state", "left".into()),
        Outcome::Failed(error) => {
            put("state", "failed".into());
            put("error", in_short(error).into());
            if let BuildError::Tool { output, .. } = error {
                put("output", output.as_str().into());
            }
            if let BuildError::Missing(missing) = error {
                put("missing", json!(missing));
            }
        }
    }
    document
}
