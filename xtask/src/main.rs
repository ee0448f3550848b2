//! The project's chores: `cargo xtask CHORE`. This file only finds the chore.

mod bench;
mod campaign;
mod fuzz;
mod guests;
mod languages;
mod runtimes;
mod test;
mod tidy;

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
