//! Where events go: the [`Bus`] takes them from the node and hands them to sinks, each on a thread of its own.
//!
//! Events flow one way (invariant 13): a call never waits for a sink. A sink that is too slow loses events, and is told how many.
//! Nothing here decides anything, and losing every sink stops nothing.
//!
//! ```text
//! node ── emit ──▶ Bus ──▶ queue ──▶ thread ──▶ HumanLog ──▶ stderr
//!                   ├────▶ queue ──▶ thread ──▶ JsonLines ─▶ stdout
//!                   └────▶ queue ──▶ thread ──▶ Otlp ──────▶ a collector
//! ```

mod bus;
mod clean;
mod flood;
mod human;
mod json;
mod kind;
mod latency;
mod lines;
mod metric;
mod names;
pub mod otlp;
mod tally;
mod timestamp;

pub use self::{
    bus::{Bus, Record, Sink},
    clean::clean,
    human::{Detail, HumanLog, HumanStyle},
    json::JsonLines,
    kind::{Interest, Kind},
    latency::{LATENCY_BOUNDS, Latency},
    metric::{Metric, MetricKind, MetricPoint, MetricValue},
    otlp::{MetricsExporter, Otlp, OtlpConfig, OtlpError, otlp_counts},
    tally::{ComponentCounts, OutcomeCounts, RequestCounts, Tally},
    timestamp::Timestamp,
};
