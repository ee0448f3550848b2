//! The `watertight` command: from arguments to a plan that the library carries out, and from its results to text and exit codes.
//!
//! It decides nothing that would be worth testing without a terminal.

mod args;
mod cache;
mod commands;
mod events;
mod exit;
mod failure;
mod nodes;
mod progress;
mod runtimes;
mod state;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{exit::Exit, terminal::Look};

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout and is a success; a reader that went away is none of our concern.
            let _ = error.print();
            return code(if error.use_stderr() { Exit::Usage } else { Exit::Done });
        }
    };
    let json = cli.command.speaks_json();
    match commands::carry_out(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            terminal::tell(&if json { format!("{}\n", failure.to_json()) } else { failure.to_text(Look::of_stderr()) });
            code(failure.exit())
        }
    }
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}
