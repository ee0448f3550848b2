//! OpenTelemetry: traces and logs as a sink, metrics for who gathers them, over OTLP.
//!
//! ```text
//! Bus ── queue, bounded ──▶ thread: Otlp ── encode ──▶ Exporter ── HTTP/protobuf or gRPC ──▶ collector
//! ```
//!
//! What is gathered goes out once a second, or when a batch is full. A collector that is slow or away costs what does not fit into the
//! queue meanwhile, and what was on its way: all of it is counted ([`otlp_counts`]), and a call never waits.

mod config;
mod encode;
mod exporter;
mod metrics;
mod proto;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;
use watertight_model::{app::App, event::Event, trace::Sampling};

pub use self::{
    config::{OtlpConfig, OtlpError, Protocol},
    metrics::MetricsExporter,
};
use self::{
    encode::Encoder,
    exporter::{Exporter, Signal},
};
use crate::{
    bus::{Record, Sink},
    kind::{Interest, Kind},
};

/// Spans, or lines, that go out together.
const MAX_BATCH: usize = 512;

/// How long they gather.
const GATHER: Duration = Duration::from_secs(1);

/// How long the rest may take at the end.
const FAREWELL: Duration = Duration::from_millis(1500);

/// How often a collector that does not take anything is complained of.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// What this process has sent, and what it could not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtlpCounts {
    /// Spans and lines of logs that a collector has taken.
    pub exported: u64,
    /// Spans, lines of logs and events that were dropped.
    pub dropped: u64,
}

static EXPORTED: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What this process has sent so far over OTLP, and what it could not.
#[must_use]
pub fn otlp_counts() -> OtlpCounts {
    OtlpCounts { exported: EXPORTED.load(Relaxed), dropped: DROPPED.load(Relaxed) }
}

/// Sends traces, guests' logs and failures to a collector.
#[derive(Debug)]
pub struct Otlp {
    encoder: Encoder,
    exporter: Exporter,
    sampling: Sampling,
    runtime: Runtime,
    /// Since when something waits to be sent.
    since: Option<Instant>,
    complained: Option<Instant>,
}

impl Otlp {
    /// Sends what happens in an app there.
    ///
    /// # Errors
    /// When the system refuses what a client needs.
    pub fn new(config: &OtlpConfig, app: &Arc<App>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            encoder: Encoder::new(config, Arc::clone(app)),
            exporter: Exporter::new(config)?,
            sampling: Sampling::ratio(config.ratio),
            runtime,
            since: None,
            complained: None,
        })
    }

    /// Sends what is there, and says what became of it.
    fn send(&mut self, within: Option<Duration>) {
        self.since = None;
        for (signal, count, body) in [
            (Signal::Traces, self.encoder.spans(), self.encoder.take_traces()),
            (Signal::Logs, self.encoder.lines(), self.encoder.take_logs()),
        ] {
            let Some(body) = body else { continue };
            match self.runtime.block_on(self.exporter.send(signal, body, within)) {
                Ok(()) => drop(EXPORTED.fetch_add(count as u64, Relaxed)),
                Err(error) => {
                    DROPPED.fetch_add(count as u64, Relaxed);
                    self.complain(&error);
                }
            }
        }
    }

    fn complain(&mut self, error: &OtlpError) {
        if self.complained.is_none_or(|before| before.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            tracing::warn!(%error, "traces and logs are lost");
        }
    }
}

impl Sink for Otlp {
    fn interest(&self) -> Interest {
        Interest::in_kinds(&[Kind::Trace, Kind::Log, Kind::Failure, Kind::Denied])
    }

    fn sampling(&self) -> Option<Sampling> {
        Some(self.sampling)
    }

    fn take(&mut self, record: &Record) {
        if let Event::Dropped { count } = &record.event {
            DROPPED.fetch_add(*count, Relaxed);
            return;
        }
        self.encoder.add(record);
        self.since.get_or_insert_with(Instant::now);
        if self.encoder.spans().max(self.encoder.lines()) >= MAX_BATCH {
            self.send(None);
        }
    }

    fn wake(&self) -> Option<Instant> {
        self.since.map(|since| since + GATHER)
    }

    fn flush(&mut self) {
        if self.wake().is_some_and(|at| at <= Instant::now()) {
            self.send(None);
        }
    }

    fn finish(&mut self) {
        self.send(Some(FAREWELL));
    }
}
