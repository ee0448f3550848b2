//! The text formats for metrics: [Prometheus 0.0.4](https://prometheus.io/docs/instrumenting/exposition_formats/) and
//! [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/), which differ in names and in how they end.

use std::fmt::Write as _;

use watertight_observe::Latency;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Prometheus,
    OpenMetrics,
}

impl Dialect {
    /// What it is called in HTTP.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// A text that grows by families.
#[derive(Debug)]
pub(super) struct Text {
    dialect: Dialect,
    text: String,
}

/// A family, to which samples can be added.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    /// The name that its samples have.
    name: String,
}

/// The labels of a sample.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    pub(super) const fn new(dialect: Dialect) -> Self {
        Self { dialect, text: String::new() }
    }

    /// Begins a family. Its name is without the suffix that its samples may have.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        let suffix = match kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        let sample = format!("{name}{suffix}");
        let (family, word) = match (self.dialect, kind) {
            (Dialect::OpenMetrics, Kind::Info) => (name, "info"),
            (Dialect::OpenMetrics, Kind::Counter) => (name, "counter"),
            (Dialect::Prometheus, Kind::Counter) => (sample.as_str(), "counter"),
            (Dialect::Prometheus, Kind::Info) => (sample.as_str(), "gauge"),
            (_, Kind::Gauge) => (name, "gauge"),
            (_, Kind::Histogram) => (name, "histogram"),
        };
        // Writing to a string does not fail.
        let _ = write!(self.text, "# HELP {family} {help}\n# TYPE {family} {word}\n");
        Family { text: &mut self.text, name: sample }
    }

    pub(super) fn finish(mut self) -> String {
        if self.dialect == Dialect::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    /// Adds a whole number.
    pub(super) fn value(&mut self, labels: Labels<'_>, value: u64) {
        self.sample("", labels, None, &value.to_string());
    }

    /// Adds a time that is given in nanoseconds.
    pub(super) fn seconds(&mut self, labels: Labels<'_>, nanos: u64) {
        self.sample("", labels, None, &seconds(nanos));
    }

    /// Adds a histogram of times with these bounds, in nanoseconds.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, bounds: &[u64], latency: &Latency) {
        let mut below: u64 = 0;
        for (place, bound) in bounds.iter().enumerate() {
            below = below.saturating_add(latency.counts.get(place).copied().unwrap_or(0));
            self.sample("_bucket", labels, Some(&seconds(*bound)), &below.to_string());
        }
        let all = latency.calls().to_string();
        self.sample("_bucket", labels, Some("+Inf"), &all);
        self.sample("_sum", labels, None, &seconds(latency.sum_ns));
        self.sample("_count", labels, None, &all);
    }

    fn sample(&mut self, suffix: &str, labels: Labels<'_>, le: Option<&str>, value: &str) {
        self.text.push_str(&self.name);
        self.text.push_str(suffix);
        let mut open = '{';
        for (name, of) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            self.text.push(open);
            self.text.push_str(name);
            self.text.push_str("=\"");
            for letter in of.chars() {
                match letter {
                    '\\' => self.text.push_str(r"\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str(r"\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        self.text.push_str(value);
        self.text.push('\n');
    }
}

/// Seconds, exactly: `0.0000025`, `1.0`.
fn seconds(nanos: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let mut text = format!("{}.{:09}", nanos / SECOND, nanos % SECOND);
    let whole = text.find('.').map_or(0, |point| point + 2);
    text.truncate(text.trim_end_matches('0').len().max(whole));
    text
}
