//! The text formats for metrics: [Prometheus 0.0.4](https://prometheus.io/docs/instrumenting/exposition_formats/) and
//! [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/), which differ in names and in how they end.

use std::fmt::Write as _;

use watertight_observe::{LATENCY_BOUNDS, Latency, Metric, MetricKind, MetricPoint, MetricValue};

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

/// All families as text.
pub(super) fn write(families: &[Metric], dialect: Dialect) -> String {
    let mut text = Text { dialect, text: String::new() };
    families.iter().for_each(|metric| text.family(metric));
    text.finish()
}

/// A text that grows by families.
struct Text {
    dialect: Dialect,
    text: String,
}

impl Text {
    fn family(&mut self, metric: &Metric) {
        let name = metric.name;
        let suffix = match metric.kind {
            MetricKind::Counter => "_total",
            MetricKind::Info => "_info",
            MetricKind::Gauge | MetricKind::Histogram => "",
        };
        let sample = format!("{name}{suffix}");
        let (family, word) = match (self.dialect, metric.kind) {
            (Dialect::OpenMetrics, MetricKind::Info) => (name, "info"),
            (Dialect::OpenMetrics, MetricKind::Counter) => (name, "counter"),
            (Dialect::Prometheus, MetricKind::Counter) => (sample.as_str(), "counter"),
            (Dialect::Prometheus, MetricKind::Info) => (sample.as_str(), "gauge"),
            (_, MetricKind::Gauge) => (name, "gauge"),
            (_, MetricKind::Histogram) => (name, "histogram"),
        };
        // Writing to a string does not fail.
        let _ = write!(self.text, "# HELP {family} {}\n# TYPE {family} {word}\n", metric.help);
        for point in &metric.points {
            match &point.value {
                MetricValue::Count(count) => self.sample(&sample, "", point, None, &count.to_string()),
                MetricValue::Nanos(nanos) => self.sample(&sample, "", point, None, &seconds(*nanos)),
                MetricValue::Latency(latency) => self.histogram(&sample, point, latency),
            }
        }
    }

    fn histogram(&mut self, name: &str, point: &MetricPoint, latency: &Latency) {
        let mut below: u64 = 0;
        for (place, bound) in LATENCY_BOUNDS.iter().enumerate() {
            below = below.saturating_add(latency.counts.get(place).copied().unwrap_or(0));
            self.sample(name, "_bucket", point, Some(&seconds(*bound)), &below.to_string());
        }
        let all = latency.calls().to_string();
        self.sample(name, "_bucket", point, Some("+Inf"), &all);
        self.sample(name, "_sum", point, None, &seconds(latency.sum_ns));
        self.sample(name, "_count", point, None, &all);
    }

    fn finish(mut self) -> String {
        if self.dialect == Dialect::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn sample(&mut self, name: &str, suffix: &str, point: &MetricPoint, le: Option<&str>, value: &str) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut open = '{';
        let labels = point.labels.iter().map(|(name, of)| (*name, of.as_str()));
        for (name, of) in labels.chain(le.map(|le| ("le", le))) {
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
