//! `watertight runtime`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::{CacheDir, Format, RuntimesDir};

/// Show, add and remove the language runtimes that scripts run on.
///
/// A runtime is a component with an interpreter in it, and a TOML beside it that says which files it runs. See docs/languages.md.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight runtime list
  watertight runtime add build/python.toml
  watertight runtime add ghcr.io/acme/python:3.14
  watertight runtime build python.toml
  watertight runtime remove python")]
pub(crate) struct Runtime {
    #[command(subcommand)]
    pub(crate) action: Option<RuntimeAction>,

    #[command(flatten)]
    pub(crate) runtimes: RuntimesDir,

    /// How to show it.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RuntimeAction {
    /// List all.
    List,
    /// Add one, in the place of one with the same name.
    Add {
        /// Its TOML, beside which the component lies; or its name in an OCI registry, host/repository:tag, which may end in
        /// @sha256:…
        #[arg(value_name = "TOML|NAME", value_hint = ValueHint::FilePath)]
        source: String,
    },
    /// Make one by the `[build]` of its TOML, and add it.
    Build {
        /// Its TOML.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Make it even if nothing has changed.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        cache: CacheDir,
    },
    /// Remove one.
    Remove {
        /// Its name.
        name: String,
    },
}
