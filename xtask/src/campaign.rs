//! `cargo xtask campaign`: every way to fail, under every policy, at every lifetime, for both versions of WASI, many times over.
//!
//! The campaign is a test of `watertight`, which CI runs with fewer calls; this runs it optimised, with as many as asked for. It
//! prints how far it is, then a table, and fails if anything was not as the manifest says.

use anyhow::{Context as _, Result, ensure};

use crate::bench::PACKAGES;

/// What `cargo xtask campaign` was asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Calls to make, at least
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// Chooses the order: the same one chooses the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The debug build, as in CI
    #[arg(long)]
    debug: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut cargo = crate::cargo();
    cargo.args(["test", "--quiet"]);
    if !args.debug {
        cargo.arg("--release");
    }
    cargo.args(PACKAGES).args(["--package", "watertight", "--test", "campaign", "--", "--nocapture"]);
    cargo.env("WATERTIGHT_CAMPAIGN_CALLS", args.calls.to_string());
    cargo.env("WATERTIGHT_CAMPAIGN_SEED", args.seed.to_string());
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "something was not as it should be; it is told above");
    Ok(())
}
