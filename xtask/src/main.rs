//! The project's chores: `cargo xtask CHORE`. This file only finds the chore.

mod guests;

use clap::Parser;

/// The project's chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Rebuild the checked-in guests and examples from source
    Guests(guests::Args),
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Guests(args) => guests::run(&args),
    }
}
