//! Metrics as data: what the text formats and OTLP both say, each in its way.

use crate::latency::Latency;

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Times, by how long they are.
    Histogram,
    /// Its labels are all there is to it.
    Info,
}

/// A family of metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, without a suffix that a format adds to it.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// What it says, in a sentence.
    pub help: &'static str,
    /// One for each set of labels.
    pub points: Vec<MetricPoint>,
}

/// One number, or one histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPoint {
    /// What sets it apart from the others of its family.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: MetricValue,
}

/// What a point says.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// A whole number.
    Count(u64),
    /// A time, in nanoseconds; formats say it in seconds.
    Nanos(u64),
    /// Times within [`LATENCY_BOUNDS`](crate::LATENCY_BOUNDS).
    Latency(Latency),
}
