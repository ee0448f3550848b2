//! `watertight dev`: builds, serves, watches, builds anew and swaps.
//!
//! ```text
//!  browser ──▶ front (this process) ──▶ `watertight serve` (a child) ──▶ its workers
//!                 │ while the app is broken: what is wrong with it, instead
//!                 ▼
//!  files change ─▶ build ─▶ the child reloads, which drops no request
//! ```
//!
//! The child is what runs in production too, and knows nothing of this: pages that tell causes are made here and nowhere else.

mod backend;
mod cause;
mod front;
mod page;

use std::{path::PathBuf, time::Duration};

use tokio::sync::watch;
use watertight::Signals;
use watertight_build::{BuildError, Job, Made, Outcome, Workshop};
use watertight_model::manifest::{Manifest, oci::OciSource};

use self::{backend::Backend, front::Front};
use super::build;
use crate::{
    args::{Dev, Format},
    exit::Exit,
    failure::Failure,
    terminal::{self, Look},
};

/// How often files are looked at.
const TICK: Duration = Duration::from_millis(200);

/// What a request meets.
#[derive(Clone, Debug)]
enum Standing {
    /// It waits: the app was never built yet.
    Starting,
    /// It is passed on to this address.
    Serving(std::net::SocketAddr),
    /// It is told this.
    Broken { title: String, text: String },
}

/// What is looked at for changes.
struct Watched {
    workshop: Workshop,
    jobs: Vec<Job>,
    files: Vec<PathBuf>,
    sources: Vec<(String, OciSource)>,
}

impl Watched {
    fn stamp(&self) -> String {
        self.workshop.stamp(&self.jobs, &self.files)
    }
}

pub(crate) fn dev(args: Dev) -> Result<(), Failure> {
    super::runtime()?.block_on(async {
        let mut signals = Signals::mind()?;
        let (standing, seen) = watch::channel(Standing::Starting);
        let mut backend = Backend::new(&args, super::cache_folder(args.cache.clone())?)?;
        let front = Front::bind(&args.listen, seen, backend.log()).await?;
        terminal::tell(&format!("watertight dev: http://{} (Ctrl-C ends it)\n", front.address()));
        let front = tokio::spawn(front.run());
        let ended = work(&args, &mut signals, &mut backend, &standing).await;
        front.abort();
        backend.stop().await;
        match ended {
            Err(failure) if failure.exit() == Exit::Interrupted => Ok(()),
            ended => ended,
        }
    })
}

/// Round after round, until a signal.
async fn work(
    args: &Dev,
    signals: &mut Signals,
    backend: &mut Backend,
    standing: &watch::Sender<Standing>,
) -> Result<(), Failure> {
    loop {
        let (watched, read) = look(args)?;
        let stamp = watched.stamp();
        match read {
            Ok(()) => round(&watched, signals, backend, standing).await?,
            Err(failure) => broken(standing, "the manifest is not sound", &failure),
        }
        loop {
            tokio::select! {
                () = signals.stopped() => return Ok(()),
                () = tokio::time::sleep(TICK) => {}
            }
            if watched.stamp() != stamp {
                break;
            }
        }
    }
}

/// What there is to watch, and what is wrong with the manifest, which is watched all the same.
fn look(args: &Dev) -> Result<(Watched, Result<(), Failure>), Failure> {
    let mut workshop = Workshop {
        base: PathBuf::new(),
        records: super::cache_folder(args.cache.clone())?.join("builds"),
        parallel: build::cores(),
        anew: false,
    };
    match build::manifest(&args.app) {
        Ok((file, manifest)) => {
            workshop.base = file.base;
            let jobs = workshop.jobs(&manifest);
            let name = file.path.file_name().map(PathBuf::from);
            let files = name.into_iter().chain(as_they_are(&manifest)).collect();
            let sources = manifest.fetched().map(|(name, source)| (name.to_owned(), source.clone())).collect();
            Ok((Watched { workshop, jobs, files, sources }, Ok(())))
        }
        Err(failure) if failure.exit() == Exit::Rejected => {
            let file = if args.app.is_dir() { args.app.join(watertight::source::MANIFEST) } else { args.app.clone() };
            let base = file.parent().map(PathBuf::from).unwrap_or_default();
            let files = file.file_name().map(PathBuf::from).into_iter().collect();
            workshop.base = base;
            Ok((Watched { workshop, jobs: Vec::new(), files, sources: Vec::new() }, Err(failure)))
        }
        Err(failure) => Err(failure),
    }
}

/// The files of components that are not built here.
fn as_they_are(manifest: &Manifest) -> impl Iterator<Item = PathBuf> {
    let built: Vec<_> = manifest.builds().map(|(name, _, _)| name).collect();
    manifest.sources().filter(move |(name, _)| !built.contains(name)).map(|(_, source)| source.to_owned())
}

/// Builds, and puts in place what came of it.
async fn round(
    watched: &Watched,
    signals: &mut Signals,
    backend: &mut Backend,
    standing: &watch::Sender<Standing>,
) -> Result<(), Failure> {
    let came = build::fetch::all(signals, &watched.workshop, &watched.sources, Format::Text).await?;
    let made = build::interruptible(signals, watched.workshop.clone(), watched.jobs.clone(), Format::Text).await?;
    if let Some(failure) = build::fetch::why_not(&came, build::why_not(&made)) {
        terminal::tell(&failure.to_text(Look::of_stderr()));
        let text = format!("{}\n{}", said(&made), failure.to_text(Look::Plain));
        standing.send_replace(Standing::Broken { title: "the build failed".to_owned(), text });
        return Ok(());
    }
    match backend.renew().await {
        Ok(address) => drop(standing.send_replace(Standing::Serving(address))),
        Err(text) => {
            let title = "the app does not run".to_owned();
            standing.send_replace(Standing::Broken { title, text });
        }
    }
    Ok(())
}

fn broken(standing: &watch::Sender<Standing>, title: &str, failure: &Failure) {
    terminal::tell(&failure.to_text(Look::of_stderr()));
    let text = failure.to_text(Look::Plain);
    standing.send_replace(Standing::Broken { title: title.to_owned(), text });
}

/// What the tools of failed builds said.
fn said(made: &[Made]) -> String {
    let outputs = made.iter().filter_map(|made| match &made.outcome {
        Outcome::Failed(BuildError::Tool { command, how, output }) => {
            Some(format!("{}: {command} {how}\n\n{output}\n", made.component))
        }
        Outcome::Failed(_) | Outcome::Built { .. } | Outcome::Unchanged { .. } | Outcome::Left => None,
    });
    outputs.collect()
}
