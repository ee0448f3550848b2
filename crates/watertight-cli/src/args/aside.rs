//! What is asked for by shells and by `serve` itself.

use std::path::PathBuf;

use clap::Args;

/// Print a script that completes commands in a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight completions bash > ~/.local/share/bash-completion/completions/watertight
  watertight completions fish > ~/.config/fish/completions/watertight.fish")]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// A worker of `serve`, which starts it.
#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// Where its orders lie.
    pub(crate) orders: PathBuf,
}
