//! The project's chores: `cargo xtask CHORE`. This file only finds the chore.

mod bench;
mod campaign;
mod fuzz;
mod guests;
mod languages;
mod runtimes;
mod test;
mod tidy;

use std::process::Command;

use clap::Parser;

/// The project's chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Measure, beside peers
    Bench(bench::Args),
    /// Make everything fail in every way, and see that callers get what they should
    Campaign(campaign::Args),
    /// Run the fuzz targets
    Fuzz(fuzz::Args),
    /// Rebuild the checked-in guests and examples from source
    Guests(guests::Args),
    /// Install what the tests build guests with, by package name
    Languages,
    /// Build the language runtimes from packages, and add them
    Runtimes(runtimes::Args),
    /// Run every test of the workspace, and the code in the documents
    Test(test::Args),
    /// Check the rules that no compiler checks
    Tidy,
}

/// Cargo, as the user would run it. What it tells the programs that it runs, such as this one, some build scripts look at (ring's does), and
/// with it they and all that needs them would be compiled anew.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        cargo.env_remove(name);
    }
    cargo
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Bench(args) => bench::run(&args),
        Chore::Campaign(args) => campaign::run(&args),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Guests(args) => guests::run(&args),
        Chore::Languages => languages::run(),
        Chore::Runtimes(args) => runtimes::run(&args),
        Chore::Test(args) => test::run(&args),
        Chore::Tidy => tidy::run(),
    }
}
