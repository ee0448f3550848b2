//! `cargo xtask fuzz [TARGET]`: runs the fuzz targets of `fuzz/`, each for so many seconds, and fails if one finds something.
//!
//! It needs rustup's nightly toolchain. cargo-fuzz is installed by name where it is missing. What a run learns stays in `fuzz/corpus`,
//! what it finds in `fuzz/artifacts`; neither is checked in.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

/// What `cargo xtask fuzz` was asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The target to run; all of them by default
    target: Option<String>,
    /// How long each of them runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Runs the targets one after the other, going on after a find, so that one run tells everything.
#[expect(clippy::print_stdout, reason = "what was found is the output of this chore")]
pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = crate::guests::repository().join("fuzz");
    let mut targets = targets(&folder)?;
    if let Some(wanted) = &args.target {
        ensure!(targets.contains(wanted), "no target `{wanted}`; there are {}", targets.join(", "));
        targets.retain(|target| target == wanted);
    }
    have_cargo_fuzz()?;
    let mut found = Vec::new();
    for target in &targets {
        let status = command(&folder, target, args.seconds)?.status().context("cannot run cargo fuzz")?;
        println!("{target}: {}", if status.success() { "nothing found" } else { "FOUND SOMETHING, see above" });
        if !status.success() {
            found.push(target.as_str());
        }
    }
    ensure!(found.is_empty(), "found something in {}", found.join(", "));
    Ok(())
}

/// The targets, by the files of `fuzz/fuzz_targets`.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let files = fs::read_dir(folder.join("fuzz_targets")).context("cannot list fuzz/fuzz_targets")?;
    let mut targets = Vec::new();
    for file in files {
        let path = file?.path();
        targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    targets.sort();
    Ok(targets)
}

/// One run of one target: from what earlier runs learned and from the seeds.
fn command(folder: &Path, target: &str, seconds: u32) -> Result<Command> {
    let corpus = folder.join("corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    // Components start from the guests.
    let seeds = match target {
        "component" => folder.join("../guests/built"),
        _ => folder.join("corpus-seeds").join(target),
    };
    // Why without a sanitizer: docs/fuzzing.md.
    let mut cargo = rustup_cargo();
    cargo.args(["+nightly", "fuzz", "run", "--sanitizer", "none", "--fuzz-dir"]).arg(folder).arg(target);
    cargo.arg(corpus).arg(seeds).arg("--");
    cargo.arg(format!("-max_total_time={seconds}"));
    cargo.args(["-timeout=60", "-rss_limit_mb=4096", "-max_len=65536"]);
    let words = folder.join(format!("{target}.dict"));
    if words.exists() {
        cargo.arg(format!("-dict={}", words.display()));
    }
    Ok(cargo)
}

fn have_cargo_fuzz() -> Result<()> {
    let there = rustup_cargo().args(["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let installed = rustup_cargo().args(["install", "--locked", "cargo-fuzz"]).status();
    match installed {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("cargo-fuzz is not there and cannot be installed: run `cargo install --locked cargo-fuzz`"),
    }
}

/// Rustup's `cargo`, which takes a toolchain; the one that runs this chore is of one toolchain only.
fn rustup_cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    cargo
}
