//! What a drill found: how an app served its routes while faults were injected, beside how it did without; and whether that is what
//! was [expected](Expectation). Numbers and text only: the crates above make the load and count.

mod expect;
mod histogram;
mod picture;

use std::{collections::BTreeMap, time::Duration};

pub use self::{
    expect::{Expectation, MAX_EXPECTATIONS, Verdict},
    histogram::Histogram,
    picture::svg,
};
use crate::{failure::FailureKind, fault::FaultKind};

/// Everything that a drill found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// The app's name.
    pub app: String,
    /// Its version.
    pub version: String,
    /// The faults, as they could be written again.
    pub faults: Vec<String>,
    /// The seed: with the same one the same calls fail.
    pub seed: u64,
    /// Requests in flight at once.
    pub concurrency: u32,
    /// One for each load, in the order in which they were asked for.
    pub routes: Vec<Route>,
    /// Every component with cells of its own, in the manifest's order.
    pub components: Vec<Part>,
    /// What the process held before and after the faults.
    pub held: Vec<Held>,
    /// What was expected, and what there was.
    pub expectations: Vec<Verdict>,
}

/// How one load was served.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Route {
    /// `GET /page`.
    pub load: String,
    /// Without faults.
    pub baseline: Tally,
    /// With them.
    pub drill: Tally,
}

/// Requests of one load, by how they ended.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Tally {
    /// All of them.
    pub requests: u64,
    /// Answered with 2xx or 3xx, and nothing failed on the way.
    pub served: u64,
    /// Answered with 2xx or 3xx although a call failed on the way.
    pub degraded: u64,
    /// Answered with 4xx or 5xx, broken off, or not at all.
    pub failed: u64,
    /// How many had which status; 0 is an answer that broke off, or none.
    pub statuses: BTreeMap<u16, u64>,
    /// From the request to the last byte of its answer, whatever that was.
    pub latency: Latency,
    /// For how long requests were made.
    #[serde(rename = "took_ms", serialize_with = "crate::budget::millis")]
    pub took: Duration,
}

/// How long the slowest of so many requests took.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Latency {
    /// Half of them took no longer.
    #[serde(rename = "p50_ms", serialize_with = "fractions")]
    pub p50: Duration,
    /// Nine of ten.
    #[serde(rename = "p90_ms", serialize_with = "fractions")]
    pub p90: Duration,
    /// Ninety-nine of a hundred.
    #[serde(rename = "p99_ms", serialize_with = "fractions")]
    pub p99: Duration,
    /// All of them.
    #[serde(rename = "max_ms", serialize_with = "fractions")]
    pub max: Duration,
}

/// What befell one component while faults were injected.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Calls that entered it, or tried to.
    pub calls: u64,
    /// Those a drill did something to, by what it did.
    pub injected: BTreeMap<FaultKind, u64>,
    /// Those that failed because of that, by kind.
    pub struck: BTreeMap<&'static str, u64>,
    /// Those that failed by themselves, by kind.
    pub failed: BTreeMap<&'static str, u64>,
    /// Cells that were thrown out.
    pub ejected: u64,
    /// Residents that were restarted.
    pub restarts: u64,
    /// How often a breaker of an edge to it opened.
    pub breakers_opened: u64,
}

/// Something that a process holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// What: `cells`, `files`, `threads`, `mappings`, `rss-kib`.
    pub what: &'static str,
    /// Before the faults, after a run without.
    pub before: u64,
    /// After them, once all was quiet.
    pub after: u64,
    /// What it may grow by without being called a leak: an allocator keeps some, and threads start when they are first needed.
    pub slack: u64,
}

impl Report {
    /// Whether everything was as expected.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.expectations.iter().all(|verdict| verdict.holds)
    }

    /// How many kinds of things there are more of than before.
    #[must_use]
    pub fn leaks(&self) -> u64 {
        self.held.iter().filter(|held| held.leaked()).count() as u64
    }
}

impl Held {
    /// Whether there is more of it than can be explained.
    #[must_use]
    pub fn leaked(&self) -> bool {
        self.after > self.before.saturating_add(self.slack)
    }
}

impl Tally {
    /// Requests a second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        let millis = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        self.requests.saturating_mul(1000) / millis.max(1)
    }
}

impl Part {
    /// Counts a failed call.
    pub fn count_failure(&mut self, kind: FailureKind, injected: Option<FaultKind>) {
        let place = if injected.is_some() { &mut self.struck } else { &mut self.failed };
        *place.entry(kind.name()).or_default() += 1;
    }
}

/// A part of a whole, in percent; none of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// A share as people read it: `99.95%`, never rounded up to all.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    let Some(percent) = share(part, whole) else { return "-".to_owned() };
    let hundredths = (percent * 100.0).floor() / 100.0;
    let text = format!("{hundredths:.2}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A time as people read it: `1.25 ms`, with three digits.
#[must_use]
pub fn short_time(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    match millis {
        millis if millis >= 10_000.0 => format!("{:.1} s", millis / 1e3),
        millis if millis >= 1000.0 => format!("{:.2} s", millis / 1e3),
        millis if millis >= 100.0 => format!("{millis:.0} ms"),
        millis if millis >= 10.0 => format!("{millis:.1} ms"),
        millis => format!("{millis:.2} ms"),
    }
}

fn fractions<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1e6).round() / 1e3)
}
