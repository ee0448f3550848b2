//! What is told of what happens, and to whom.

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum, ValueHint};
use watertight_model::manifest::quantity;
use watertight_observe::{OtlpConfig, OtlpError};

#[derive(Clone, Copy, Debug, Args, serde::Serialize, serde::Deserialize)]
pub(crate) struct EventsArgs {
    /// Events as text for people (stderr), or as one JSON object a line (stdout; stderr for `run`).
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// Also tell of every call and cell.
    #[arg(long, short, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,

    /// Tell only of failures, refused uses and workers.
    #[arg(long, short, action = ArgAction::SetTrue, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
pub(crate) enum Format {
    /// Text for people.
    #[default]
    Text,
    /// JSON for machines.
    Json,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "OpenTelemetry")]
pub(crate) struct OtlpArgs {
    /// Collector that gets traces, logs and metrics over OTLP: http://HOST:4318. $OTEL_EXPORTER_OTLP_ENDPOINT if not given; the other
    /// variables of OpenTelemetry are heeded, too.
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,

    /// Share of the traces that is kept from the start, of those that their callers have not decided on: 0 to 1. A trace in which
    /// something fails is kept in any case.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    trace_ratio: Option<f64>,
}

impl OtlpArgs {
    /// What is sent where, if anything.
    pub(crate) fn config(&self) -> Result<Option<OtlpConfig>, OtlpError> {
        OtlpConfig::read(self.otlp.as_deref(), self.trace_ratio, |name| std::env::var(name).ok())
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("from 0 to 1".to_owned()) }
}

/// Show the calls between the components of a running node as they happen.
///
/// They stand below what they are part of: what came from outside, and the calls that it led to. Each has its time, the bytes of its
/// arguments and results, and how it ended. Nothing is slowed down but what is shown; a node that is too fast for the reader drops
/// calls here and says how many.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight tap
  watertight tap press --edge web->markdown --values
  watertight tap --failed --format json | jq '{to, function, outcome}'
  watertight tap --slow 10ms --count 20")]
pub(crate) struct Tap {
    /// App, process id, or path of an admin socket; not needed where one node runs.
    #[arg(value_name = "APP|PID|SOCKET", value_hint = ValueHint::AnyPath)]
    pub(crate) node: Option<String>,

    /// Only calls of this edge; a side that is left out may be any component.
    #[arg(long, value_name = "CALLER->CALLEE", allow_hyphen_values = true)]
    pub(crate) edge: Option<String>,

    /// Only calls of this function.
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,

    /// Only calls that fail.
    #[arg(long)]
    pub(crate) failed: bool,

    /// Only calls that take at least so long.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
    pub(crate) slow: Option<Duration>,

    /// Also arguments and results in WAVE, cut where they are long; not those of components with `redact`.
    #[arg(long)]
    pub(crate) values: bool,

    /// End after so many.
    #[arg(long, short, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// How to show them.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
