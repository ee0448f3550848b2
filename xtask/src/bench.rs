//! `cargo xtask bench [NAME] [--json]`: measures what the project promises, beside peers, in one run on one machine.
//!
//! It prints one line for each case: what was measured, beside what, and whether the target is met. A target that is missed fails
//! nothing: it is for people to judge. A peer that is not on the machine is named in the line it is missing from. Everything
//! is bounded in count and time, on 127.0.0.1, and every server that was started is ended.

mod app;
mod cells;
mod http;
mod languages;
mod load;
mod membrane;
mod observe;
mod server;
mod spinners;
mod table;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use self::{server::Wasmtime, table::Table};

/// What `cargo xtask bench` was asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One bench; all of them by default
    name: Option<Name>,
    /// Print one JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// The release build is there, and this is it
    #[arg(long, hide = true)]
    built: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Crossings between two cells, beside the same calls fused and by `Val`; a fresh cell
    Membrane,
    /// What 10,000 live idle cells take
    Cells,
    /// HTTP with a fresh cell for each request, beside `wasmtime serve`
    Http,
    /// Whether others are served while guests spin
    Spinners,
    /// A fresh interpreter for each request, beside the native one's process
    Languages,
    /// What it costs to be seen: events, metrics, traces, a tap
    Observe,
}

/// Where things are.
struct Place {
    repository: PathBuf,
    /// The build's folder, with `release` and `criterion` in it.
    target: PathBuf,
    /// Files of this run; gone after it.
    scratch: tempfile::TempDir,
    wasmtime: Option<Wasmtime>,
}

/// Runs benches and prints what they measured.
pub(crate) fn run(args: &Args) -> Result<()> {
    let target = target_folder()?;
    if !args.built {
        return rerun_in_release(args, &target);
    }
    let place = Place {
        repository: repository(),
        target,
        scratch: tempfile::tempdir().context("no folder for the files of the benches")?,
        wasmtime: Wasmtime::find(),
    };
    match &place.wasmtime {
        Some(peer) => note(&format!("peer: {} at {}", peer.version, peer.binary.display())),
        None => note("peer missing: there is no `wasmtime` on PATH, and $WASMTIME names none"),
    }
    let mut table = Table::new(args.json);
    let wanted = |name| args.name.is_none_or(|only| only == name);
    if wanted(Name::Membrane) {
        membrane::run(&place, &mut table)?;
    }
    if wanted(Name::Cells) {
        cells::run(&place, &mut table)?;
    }
    if wanted(Name::Http) {
        http::run(&place, &mut table)?;
    }
    if wanted(Name::Spinners) {
        spinners::run(&place, &mut table)?;
    }
    if wanted(Name::Languages) {
        languages::run(&place, &mut table)?;
    }
    if wanted(Name::Observe) {
        observe::run(&place, &mut table)?;
    }
    table.finish();
    Ok(())
}

/// The load generator shares the machine with the servers, so it must be as quick as they are: it runs from the same release build.
fn rerun_in_release(args: &Args, target: &Path) -> Result<()> {
    let mut build = crate::cargo();
    build.args(["build", "--release"]).args(PACKAGES).current_dir(repository());
    run_to_end(&mut build)?;
    let mut again = Command::new(target.join("release/xtask"));
    again.args(["bench", "--built"]);
    if let Some(name) = args.name.as_ref().and_then(clap::ValueEnum::to_possible_value) {
        again.arg(name.get_name());
    }
    if args.json {
        again.arg("--json");
    }
    run_to_end(&mut again)
}

/// Always built together: alone, each would have other features of their dependencies, and those would be compiled again.
pub(crate) const PACKAGES: [&str; 6] =
    ["--package", "watertight-cli", "--package", "watertight-runtime", "--package", "xtask"];

/// A bench of `watertight-runtime`, built beside the rest.
fn cargo_bench(place: &Place, name: &str) -> Command {
    let mut command = crate::cargo();
    command.args(["bench", "--quiet"]).args(PACKAGES).args(["--bench", name]).current_dir(&place.repository);
    command
}

fn run_to_end(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// The folder that this program was built into, two levels up: `target/debug/xtask`.
fn target_folder() -> Result<PathBuf> {
    let me = std::env::current_exe().context("where this program is cannot be found out")?;
    me.ancestors().nth(2).map(Path::to_owned).with_context(|| format!("{} is in no target folder", me.display()))
}

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Tells whoever waits, beside the output.
#[expect(clippy::print_stderr, reason = "progress is for people")]
fn note(text: &str) {
    eprintln!("{text}");
}
