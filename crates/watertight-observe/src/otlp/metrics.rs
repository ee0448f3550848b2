//! Metrics over OTLP: whoever has them says them, and they go out as cumulative sums, gauges and histograms.

use std::{io, time::SystemTime};

use super::{
    config::{OtlpConfig, OtlpError},
    encode::{SCHEMA, resource, scope, text, unix_nanos},
    exporter::{Exporter, Signal},
    proto::{
        ExportMetrics, Gauge, Histogram, HistogramPoint, KeyValue, Message as _, MetricMessage, NumberPoint,
        ResourceMetrics, ScopeMetrics, Signed, Sum, Temporality,
    },
};
use crate::{
    latency::{LATENCY_BOUNDS, Latency},
    metric::{Metric, MetricKind, MetricPoint, MetricValue},
};

/// Sends metrics.
#[derive(Debug)]
pub struct MetricsExporter {
    config: OtlpConfig,
    exporter: Exporter,
    began: u64,
}

impl MetricsExporter {
    /// Sends there. `None` where metrics go nowhere.
    ///
    /// # Errors
    /// When the system refuses what a client needs.
    pub fn new(config: &OtlpConfig) -> io::Result<Option<Self>> {
        let exporter = Exporter::new(config)?;
        let made = exporter.takes(Signal::Metrics);
        let began = unix_nanos(SystemTime::now());
        Ok(made.then(|| Self { config: config.clone(), exporter, began }))
    }

    /// How often it wants to be given them.
    #[must_use]
    pub const fn every(&self) -> std::time::Duration {
        self.config.metrics_every
    }

    /// Sends what a node says of itself now. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the collector does not take it; the next ones say as much.
    pub async fn send(&mut self, app: &str, version: &str, metrics: &[Metric]) -> Result<(), OtlpError> {
        let now = unix_nanos(SystemTime::now());
        let metrics = metrics.iter().filter(|metric| !metric.points.is_empty());
        let metrics = metrics.map(|metric| message(metric, self.began, now)).collect();
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: SCHEMA.to_owned() }];
        let resource = Some(resource(&self.config, app, version, None));
        let of = ResourceMetrics { resource, scope_metrics, schema_url: SCHEMA.to_owned() };
        let body = ExportMetrics { resource_metrics: vec![of] }.encode();
        self.exporter.send(Signal::Metrics, body, None).await
    }
}

fn message(metric: &Metric, began: u64, now: u64) -> MetricMessage {
    let seconds = metric.points.iter().any(|point| !matches!(point.value, MetricValue::Count(_)));
    let unit = match metric.name {
        _ if seconds => "s",
        name if name.ends_with("_bytes") => "By",
        _ => "1",
    };
    let number = |point: &MetricPoint| {
        let whole = |count: u64| Some(Signed(i64::try_from(count).unwrap_or(i64::MAX)));
        let (double, int) = match &point.value {
            MetricValue::Count(count) => (None, whole(*count)),
            MetricValue::Nanos(nanos) => (Some(in_seconds(*nanos)), None),
            MetricValue::Latency(latency) => (None, whole(latency.calls())),
        };
        let attributes = labels(point);
        NumberPoint { attributes, start_time_unix_nano: began, time_unix_nano: now, double, int }
    };
    let aggregation_temporality = Temporality::Cumulative as u8;
    let (name, description, unit) = (metric.name.to_owned(), metric.help.to_owned(), unit.to_owned());
    let message = MetricMessage { name, description, unit, ..MetricMessage::default() };
    match metric.kind {
        MetricKind::Gauge | MetricKind::Info => {
            MetricMessage { gauge: Some(Gauge { data_points: metric.points.iter().map(number).collect() }), ..message }
        }
        MetricKind::Counter => {
            let data_points = metric.points.iter().map(number).collect();
            MetricMessage { sum: Some(Sum { data_points, aggregation_temporality, is_monotonic: true }), ..message }
        }
        MetricKind::Histogram => {
            let data_points = metric.points.iter().filter_map(|point| histogram(point, began, now)).collect();
            MetricMessage { histogram: Some(Histogram { data_points, aggregation_temporality }), ..message }
        }
    }
}

fn histogram(point: &MetricPoint, began: u64, now: u64) -> Option<HistogramPoint> {
    let MetricValue::Latency(latency) = &point.value else { return None };
    Some(HistogramPoint {
        attributes: labels(point),
        start_time_unix_nano: began,
        time_unix_nano: now,
        count: latency.calls(),
        sum: Some(in_seconds(latency.sum_ns)),
        bucket_counts: buckets(latency),
        explicit_bounds: LATENCY_BOUNDS.iter().map(|bound| in_seconds(*bound)).collect(),
    })
}

fn buckets(latency: &Latency) -> Vec<u64> {
    (0..=LATENCY_BOUNDS.len()).map(|place| latency.counts.get(place).copied().unwrap_or(0)).collect()
}

fn labels(point: &MetricPoint) -> Vec<KeyValue> {
    point.labels.iter().map(|(name, value)| text(name, value)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "seconds need not be exact to the nanosecond after a hundred days")]
fn in_seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
