//! Time on the clock, as the runtime counts it: nanoseconds of the system's monotonic clock.

use std::{
    cell::Cell,
    sync::LazyLock,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// The same point in time on both clocks: the standard library's does not give its number away.
static START: LazyLock<(Moment, Instant)> = LazyLock::new(|| (Moment::now(), Instant::now()));

thread_local! {
    static LATEST: Cell<Moment> = const { Cell::new(Moment(0)) };
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Reads the clock; about 20 ns.
    pub(crate) fn now() -> Self {
        let now = Self(nanos_of(clock_gettime(ClockId::Monotonic)));
        LATEST.set(now);
        now
    }

    /// The moment that this thread read last: for what has just ended.
    pub(crate) fn latest() -> Self {
        LATEST.get()
    }

    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }

    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    pub(crate) fn instant(self) -> Instant {
        // Ten years are as good as never, and fit the platform's clock.
        const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
        let (moment, instant) = *START;
        instant + Duration::from_nanos(self.nanos_since(moment)).min(FAR)
    }
}

pub(crate) fn nanos_of(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
