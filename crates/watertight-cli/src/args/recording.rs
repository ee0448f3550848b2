//! `watertight record` and `watertight replay`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueHint};
use watertight_model::manifest::quantity;

use super::{CacheDir, Format};

/// Write the calls that cross edges of a running node to a file, with all that crossed.
///
/// It ends after the time or the number of calls that is given, or with Ctrl-C. Nothing waits for the file: what comes faster than it is
/// written is left out and counted. The file holds what the components were given and answered; it is for its owner's eyes only. Several
/// edges may be given: to replay a component that calls others, record its own edges, too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight record press --edge web->markdown -o markdown.rec
  watertight record --edge '->markdown' --edge 'markdown->' --for 1m -o markdown.rec
  watertight record --edge web->markdown --function render --count 1000 -o markdown.rec
  watertight replay markdown.rec --component build/markdown.wasm")]
pub(crate) struct Record {
    /// App, process id, or path of an admin socket; not needed where one node runs.
    #[arg(value_name = "APP|PID|SOCKET", value_hint = ValueHint::AnyPath)]
    pub(crate) node: Option<String>,

    /// Calls of this edge; a side that is left out may be any component. May be given again.
    #[arg(long = "edge", value_name = "CALLER->CALLEE", required = true, allow_hyphen_values = true)]
    pub(crate) edges: Vec<String>,

    /// Only calls of this function.
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,

    /// End after so long.
    #[arg(long = "for", value_name = "TIME", value_parser = quantity::duration)]
    pub(crate) time: Option<Duration>,

    /// End after so many calls.
    #[arg(long, short, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// The file: a new one, or a device.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// Also calls of components whose values the manifest keeps to itself with `redact`.
    #[arg(long)]
    pub(crate) with_redacted: bool,

    /// How to say what was recorded.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Call a new build of a component as a recording says, and compare its answers.
///
/// The component runs alone, each call in a fresh cell, with nothing granted but its output; what it asks other components is answered from
/// the recording, where that was recorded. Exit code 3 says that answers differ, 65 that nothing could be compared.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight replay markdown.rec --component build/markdown.wasm
  watertight replay markdown.rec --component new.wasm --of markdown --format json | jq .differences")]
pub(crate) struct Replay {
    /// A file of `watertight record`.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// The new build.
    #[arg(long, value_name = "WASM", value_hint = ValueHint::FilePath)]
    pub(crate) component: PathBuf,

    /// The component that it is a build of; not needed where the file is called like it, or only one was recorded.
    #[arg(long, value_name = "NAME")]
    pub(crate) of: Option<String>,

    /// Make at most so many calls.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    /// Show at most so many differences.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) show: usize,

    /// How to show what was found.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) cache: CacheDir,
}
