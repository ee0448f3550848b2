//! How long requests took, in as much memory as one number for each bucket, however many there were. A time is off by at most a
//! sixty-fourth.

use std::time::Duration;

use super::Latency;

/// Buckets for each power of two.
const STEPS: u32 = 64;
const STEP_BITS: u32 = STEPS.ilog2();

/// Times above are counted as this: 2^46 ns are 19 hours.
const MAX_NANOS: u64 = 1 << 46;

/// Counts times.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; bucket(MAX_NANOS) + 1], count: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(MAX_NANOS);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(time);
    }

    /// The time that so many of a hundred did not exceed.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.count.saturating_mul(percent)).div_ceil(100);
        let mut passed = 0;
        let found = self.buckets.iter().position(|count| {
            passed += count;
            passed >= wanted
        });
        match found {
            Some(bucket) if self.count > 0 => Duration::from_nanos(most(bucket)).min(self.max),
            _ => Duration::ZERO,
        }
    }

    /// What a report shows of it.
    #[must_use]
    pub fn latency(&self) -> Latency {
        Latency { p50: self.percentile(50), p90: self.percentile(90), p99: self.percentile(99), max: self.max }
    }
}

/// The bucket of a time: exact up to `STEPS` nanoseconds, then so many for each power of two.
fn bucket(nanos: u64) -> usize {
    let octave = nanos.max(1).ilog2().saturating_sub(STEP_BITS);
    let within = nanos >> octave;
    usize::try_from(u64::from(octave * STEPS) + within).unwrap_or(usize::MAX)
}

/// The longest time in a bucket.
fn most(bucket: usize) -> u64 {
    let (bucket, steps) = (bucket as u64, u64::from(STEPS));
    if bucket < 2 * steps {
        return bucket;
    }
    let octave = bucket / steps - 1;
    ((bucket - octave * steps + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_bucket_that_holds_it() {
        let mut last = 0;
        for nanos in (0..5000).chain((13..46).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 7])) {
            let bucket = bucket(nanos);
            assert!(bucket >= last && bucket <= last + 64, "{nanos}: {bucket} after {last}");
            last = bucket;
            let most = most(bucket);
            assert!(most >= nanos && most - nanos <= nanos / 64, "{nanos}: {most}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_times() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.latency(), Latency::default());
        for millis in 1..=1000 {
            histogram.add(Duration::from_millis(millis));
        }
        let latency = histogram.latency();
        for (found, wanted) in [(latency.p50, 500), (latency.p90, 900), (latency.p99, 990)] {
            let off = found.as_secs_f64() * 1e3 - f64::from(wanted);
            assert!((0.0..f64::from(wanted) / 60.0).contains(&off), "{found:?} is not {wanted} ms");
        }
        assert_eq!(latency.max, Duration::from_secs(1));
        histogram.add(Duration::MAX);
        assert_eq!(histogram.percentile(100), Duration::from_nanos(most(bucket(MAX_NANOS))));
    }
}
