//! What an operator does to the cells of a node that runs.

use clap::{Args, ValueHint};

use super::Format;

/// Throw out the cells of a component of a running node.
///
/// They fail as if they had failed by themselves, with `wall-lost`: what runs is broken off, its callers get what the manifest says,
/// what ran leaves a postmortem, and residents are restarted. Who calls them lives on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight eject thumbnail
  watertight eject thumbnail --node press --format json
  watertight eject db --cell 4711-23      as `GET /v1/cells` calls it")]
pub(crate) struct Eject {
    /// The component.
    pub(crate) component: String,

    /// Only this cell: its process, and its number there.
    #[arg(long, value_name = "PID-NUMBER")]
    pub(crate) cell: Option<String>,

    #[command(flatten)]
    pub(crate) at: At,
}

/// Have the residents of a component of a running node replaced by fresh ones.
///
/// Those that are there finish the calls they have, for up to 5 seconds where the fresh ones have to wait for their place; calls that
/// come meanwhile wait, within their deadline. A component that was given up is started at once. Components that are not resident have
/// nothing to replace: every request makes its own cells.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight restart db
  watertight restart db --node press --format json")]
pub(crate) struct Restart {
    /// The component.
    pub(crate) component: String,

    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct At {
    /// App, process id, or path of an admin socket; not needed where one node runs.
    #[arg(long, short, value_name = "APP|PID|SOCKET", value_hint = ValueHint::AnyPath)]
    pub(crate) node: Option<String>,

    /// How to show what was done.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
