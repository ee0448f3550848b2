//! `cargo xtask test`: every test of the workspace, with nextest where it is installed, and the code in the documents.
//!
//! It goes on after a failure, so that one run tells everything, and fails if any of it failed.

use std::{
    ffi::{OsStr, OsString},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// What `cargo xtask test` was asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What nextest (or `cargo test`) gets besides, such as `-p watertight-model` or a part of a test's name; then the code in
    /// the documents is left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let nextest = has_nextest();
    let runner: &[&str] = if nextest { &["nextest", "run", "--no-fail-fast"] } else { &["test", "--no-fail-fast"] };
    if !args.rest.is_empty() {
        return pass(succeeds(runner, &args.rest)?);
    }
    // What the tests of scripts run on.
    crate::runtimes::for_tests()?;
    crate::languages::run()?;
    let tests = succeeds(runner, &["--workspace"])?;
    // `cargo test` has run them already.
    let documents = !nextest || succeeds(&["test", "--doc", "--no-fail-fast"], &["--workspace"])?;
    pass(tests && documents)
}

fn pass(passed: bool) -> Result<()> {
    ensure!(passed, "some tests failed; they are named above");
    Ok(())
}

fn succeeds(command: &[&str], rest: &[impl AsRef<OsStr>]) -> Result<bool> {
    let mut cargo = cargo();
    let status = cargo.args(command).args(rest).status().context("cannot run cargo")?;
    Ok(status.success())
}

fn has_nextest() -> bool {
    let probe = cargo().args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

fn cargo() -> Command {
    crate::cargo()
}
