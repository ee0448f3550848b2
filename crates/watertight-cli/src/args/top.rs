//! A running node at a glance, in a terminal.

use std::time::Duration;

use clap::{ArgAction, Args, ValueHint};
use watertight_model::manifest::quantity;

use super::Format;

/// Watch the components of a running node and the calls between them.
///
/// Rates, times, failures, cpu and memory of the last ten seconds, summed up over the workers. Enter opens a component or an edge with
/// its times, policies and last failures; ? shows the keys. When the node is started anew, it is followed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight top
  watertight top press
  watertight top --once
  watertight top --format json | jq '.edges[] | select(.failed_rate > 0)'")]
pub(crate) struct Top {
    /// App, process id, or path of an admin socket; not needed where one node runs.
    #[arg(value_name = "APP|PID|SOCKET", value_hint = ValueHint::AnyPath)]
    pub(crate) node: Option<String>,

    /// How often to look.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = quantity::duration)]
    pub(crate) every: Duration,

    /// Look twice, print what happened in between, and end.
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) once: bool,

    /// How to show it; JSON is for once.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
