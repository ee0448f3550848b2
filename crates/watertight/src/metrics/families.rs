//! Families of metrics, as they are put together.

use watertight_observe::{Latency, Metric, MetricPoint, MetricValue};

pub(super) use watertight_observe::MetricKind as Kind;

/// All that a node says.
#[derive(Debug, Default)]
pub(super) struct Families(pub(super) Vec<Metric>);

/// A family, to which samples can be added.
#[derive(Debug)]
pub(super) struct Family<'a>(&'a mut Vec<MetricPoint>);

/// The labels of a sample.
type Labels<'a> = &'a [(&'static str, &'a str)];

impl Families {
    /// Begins a family. Its name is without the suffix that its samples may have.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_> {
        self.0.push(Metric { name, kind, help, points: Vec::new() });
        Family(&mut self.0.last_mut().expect("one was just put there").points)
    }
}

impl Family<'_> {
    /// Adds a whole number.
    pub(super) fn value(&mut self, labels: Labels<'_>, value: u64) {
        self.point(labels, MetricValue::Count(value));
    }

    /// Adds a time that is given in nanoseconds.
    pub(super) fn seconds(&mut self, labels: Labels<'_>, nanos: u64) {
        self.point(labels, MetricValue::Nanos(nanos));
    }

    /// Adds a histogram of times.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, latency: &Latency) {
        self.point(labels, MetricValue::Latency(latency.clone()));
    }

    fn point(&mut self, labels: Labels<'_>, value: MetricValue) {
        let labels = labels.iter().map(|(name, of)| (*name, (*of).to_owned())).collect();
        self.0.push(MetricPoint { labels, value });
    }
}
