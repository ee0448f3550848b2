//! How long calls take: counts by duration, in the same bounds everywhere, so that they can be summed up over workers and shown as a
//! Prometheus histogram.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// The upper bounds of the counts, inclusive, in nanoseconds: from 1 µs to 50 s, three for each power of ten. Longer calls are counted
/// in one more place.
pub const LATENCY_BOUNDS: [u64; 24] = {
    let mut bounds = [0; 24];
    let (mut at, mut power) = (0, 1_000);
    while at < bounds.len() {
        bounds[at] = power;
        bounds[at + 1] = power / 10 * 25;
        bounds[at + 2] = power * 5;
        at += 3;
        power *= 10;
    }
    bounds
};

const PLACES: usize = LATENCY_BOUNDS.len() + 1;

/// Counts durations while others read.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; PLACES],
    sum: AtomicU64,
}

/// How long calls took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Calls in each place of [`LATENCY_BOUNDS`], and above all of them. Places at the end without any are left out.
    pub counts: Vec<u64>,
    /// All durations together, in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    pub(crate) fn count(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let place = LATENCY_BOUNDS.partition_point(|bound| *bound < nanos);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(nanos, Relaxed);
    }

    pub(crate) fn read(&self) -> Latency {
        let mut counts: Vec<u64> = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        counts.truncate(counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        Latency { counts, sum_ns: self.sum.load(Relaxed) }
    }
}

impl Latency {
    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds those of another worker, or of another edge.
    pub fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            // No more than there are places: the other may be of another version, or another process.
            self.counts.resize(other.counts.len().min(PLACES), 0);
        }
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *ours = ours.saturating_add(*theirs);
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// What came since an earlier reading of the same counts.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |place: usize| earlier.counts.get(place).copied().unwrap_or(0);
        Self {
            counts: self.counts.iter().enumerate().map(|(place, count)| count.saturating_sub(before(place))).collect(),
            sum_ns: self.sum_ns.saturating_sub(earlier.sum_ns),
        }
    }

    /// The duration within which this share of the calls ended (`0.99`), as far as the counts tell: between two bounds, a line is drawn.
    /// `None` without calls.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let calls = self.calls();
        if calls == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "shares of more than 2^53 calls need not be exact")]
        let wanted = share.clamp(0.0, 1.0) * calls as f64;
        let (mut below, mut from) = (0.0, 0);
        for (place, count) in self.counts.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let here = *count as f64;
            let Some(to) = LATENCY_BOUNDS.get(place).copied() else { break };
            if here > 0.0 && below + here >= wanted {
                #[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^53")]
                let nanos = from as f64 + (to - from) as f64 * ((wanted - below) / here).clamp(0.0, 1.0);
                return Some(Duration::from_secs_f64(nanos / 1e9));
            }
            below += here;
            from = to;
        }
        // All that is known of the slowest is that they took longer than the last bound.
        LATENCY_BOUNDS.last().map(|last| Duration::from_nanos(*last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(durations: &[Duration]) -> Latency {
        let histogram = Histogram::default();
        durations.iter().for_each(|duration| histogram.count(*duration));
        histogram.read()
    }

    #[test]
    fn the_bounds_rise_from_a_microsecond_to_fifty_seconds() {
        assert!(LATENCY_BOUNDS.is_sorted());
        assert_eq!(&LATENCY_BOUNDS[..4], [1_000, 2_500, 5_000, 10_000]);
        assert_eq!(LATENCY_BOUNDS.last(), Some(&50_000_000_000));
    }

    #[test]
    fn a_duration_counts_at_the_first_bound_that_it_does_not_exceed() {
        let read = of(&[Duration::ZERO, Duration::from_micros(1), Duration::from_nanos(1001), Duration::from_hours(1)]);
        assert_eq!((read.counts[0], read.counts[1], read.counts[24], read.calls()), (2, 1, 1, 4));
    }

    #[test]
    fn quantiles_lie_between_the_bounds_around_them() {
        let mut durations = vec![Duration::from_micros(3); 98];
        durations.extend([Duration::from_millis(30); 2]);
        let read = of(&durations);
        let micros = |share| read.quantile(share).map_or(0, |duration| duration.as_micros());
        assert!((2..=5).contains(&micros(0.5)), "{}", micros(0.5));
        assert!((25_000..=50_000).contains(&micros(0.99)), "{}", micros(0.99));
        assert_eq!(Latency::default().quantile(0.5), None);
        assert_eq!(of(&[Duration::from_hours(1)]).quantile(0.5), Some(Duration::from_secs(50)));
    }

    #[test]
    fn workers_add_up_and_what_is_new_can_be_told() {
        let mut both = of(&[Duration::from_micros(1)]);
        let before = both.clone();
        both.add(&of(&[Duration::from_millis(1); 3]));
        assert_eq!((both.calls(), both.sum_ns), (4, 3_001_000));
        assert_eq!(both.since(&before).calls(), 3);
        both.add(&Latency { counts: vec![u64::MAX; 1000], sum_ns: u64::MAX });
        assert_eq!(both.counts.len(), PLACES);
    }
}
