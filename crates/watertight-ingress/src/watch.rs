//! When a connection has waited long enough: the watchdog's eyes and its decision.
//!
//! [`Vitals`] are what the parts of a connection note as they work: plain atomic stores, because they happen on every
//! request and timers must not. [`due`] decides from them, purely; the connection's one lazily armed timer asks it.
//!
//! ```text
//!            first byte              head complete            answer ended
//!  fresh/idle ---------> reading head -------------> serving -------------> idle
//!    |  idle_timeout        |  header_timeout           |  (body and stream timeouts are the exchange's)
//!    v                      v                           v
//!  goodbye, then cut       cut            any of them: a full socket for write_timeout -> cut
//! ```

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use crate::config::{FRESH_GRACE, GOODBYE, HttpConfig};

/// What a connection's parts note for its watchdog. Times are nanoseconds since `born`, plus one; 0 is "not so".
#[derive(Debug)]
pub(crate) struct Vitals {
    born: Instant,
    in_flight: AtomicU32,
    seen_request: AtomicBool,
    last_ended: AtomicU64,
    bytes_of_next: AtomicBool,
    stalled_since: AtomicU64,
    unread: AtomicBool,
    draining: AtomicBool,
    lingering_since: AtomicU64,
}

impl Vitals {
    pub(crate) fn new(born: Instant) -> Self {
        Self {
            born,
            in_flight: AtomicU32::new(0),
            seen_request: AtomicBool::new(false),
            last_ended: AtomicU64::new(0),
            bytes_of_next: AtomicBool::new(false),
            stalled_since: AtomicU64::new(0),
            unread: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            lingering_since: AtomicU64::new(0),
        }
    }

    /// A request's head is complete.
    pub(crate) fn exchange_began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.seen_request.store(true, Relaxed);
        self.bytes_of_next.store(false, Relaxed);
        self.unread.store(false, Relaxed);
    }

    /// Its answer is handed over or given up. `unread`: the client may still be sending a body that nobody reads.
    pub(crate) fn exchange_ended(&self, now: Instant, unread: bool) {
        self.last_ended.store(self.stamp(now), Relaxed);
        if unread {
            self.unread.store(true, Relaxed);
        }
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Bytes came in.
    pub(crate) fn received(&self) {
        if self.in_flight.load(Relaxed) == 0 {
            self.bytes_of_next.store(true, Relaxed);
        }
    }

    /// The socket takes no more bytes.
    pub(crate) fn write_blocked(&self) {
        if self.stalled_since.load(Relaxed) == 0 {
            self.stalled_since.store(self.stamp(Instant::now()), Relaxed);
        }
    }

    /// The socket took bytes.
    pub(crate) fn wrote(&self) {
        if self.stalled_since.load(Relaxed) != 0 {
            self.stalled_since.store(0, Relaxed);
        }
    }

    /// The server drains: the next answer is the last one.
    pub(crate) fn drains(&self) {
        self.draining.store(true, Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Whether a request body was left unread: closing now would reset the connection before the answer is read.
    pub(crate) fn should_linger(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// Our side is closed; what the client still sends is thrown away.
    pub(crate) fn lingering(&self) {
        if self.lingering_since.load(Relaxed) == 0 {
            self.lingering_since.store(self.stamp(Instant::now()), Relaxed);
        }
    }

    /// What the watchdog decides on. `head_since` is the watchdog's own note, because reading a clock for every packet
    /// would cost more than asking once when the packet did not complete a head.
    pub(crate) fn look(&self, protocol: Protocol, head_since: &mut Option<Instant>) -> Sight {
        let in_flight = self.in_flight.load(Relaxed) > 0;
        if in_flight || !self.bytes_of_next.load(Relaxed) {
            *head_since = None;
        } else if head_since.is_none() {
            *head_since = Some(Instant::now());
        }
        Sight {
            protocol,
            born: self.born,
            in_flight,
            seen_request: self.seen_request.load(Relaxed),
            last_ended: self.instant(self.last_ended.load(Relaxed)),
            head_since: *head_since,
            stalled_since: self.instant(self.stalled_since.load(Relaxed)),
            lingering_since: self.instant(self.lingering_since.load(Relaxed)),
        }
    }

    fn stamp(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX - 1) + 1
    }

    fn instant(&self, stamp: u64) -> Option<Instant> {
        stamp.checked_sub(1).map(|nanos| self.born + Duration::from_nanos(nanos))
    }
}

/// Which protocol a connection speaks, once that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Not known yet: handshakes and the first bytes.
    Unknown,
    /// HTTP/1.
    H1,
    /// HTTP/2.
    H2,
}

/// A connection at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    pub(crate) protocol: Protocol,
    pub(crate) born: Instant,
    pub(crate) in_flight: bool,
    pub(crate) seen_request: bool,
    pub(crate) last_ended: Option<Instant>,
    pub(crate) head_since: Option<Instant>,
    pub(crate) stalled_since: Option<Instant>,
    pub(crate) lingering_since: Option<Instant>,
}

/// What was asked of a connection that should end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Farewell {
    /// When the server began to drain.
    pub(crate) draining_since: Option<Instant>,
    /// How long it waits then for one more request.
    pub(crate) patience: Duration,
    /// When the connection was told to finish.
    pub(crate) told: Option<Instant>,
}

/// What the watchdog does when the time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing is awaited from the client.
    Never,
    /// Tell the connection to finish.
    Finish(Instant),
    /// Drop it.
    Cut(Instant, &'static str),
}

impl Due {
    pub(crate) fn at(self) -> Option<Instant> {
        match self {
            Self::Never => None,
            Self::Finish(at) | Self::Cut(at, _) => Some(at),
        }
    }
}

/// What a connection has coming, and when.
pub(crate) fn due(sight: &Sight, farewell: &Farewell, limits: &HttpConfig) -> Due {
    if let Some(since) = sight.lingering_since {
        return Due::Cut(since + GOODBYE, "closed");
    }
    if let Some(since) = sight.stalled_since {
        return Due::Cut(since + limits.write_timeout, "the client stopped reading");
    }
    if sight.in_flight {
        return Due::Never;
    }
    if let Some(since) = sight.head_since
        && sight.protocol == Protocol::H1
    {
        return Due::Cut(since + limits.header_timeout, "a request's head did not arrive in time");
    }
    let idle_since = sight.last_ended.unwrap_or(sight.born);
    if let Some(told) = farewell.told {
        // The last answer may have ended long after the telling, and still be on its way out.
        return Due::Cut(told.max(idle_since) + GOODBYE, "closed");
    }
    let regular = match sight.protocol {
        Protocol::Unknown => Due::Cut(sight.born + limits.header_timeout, "the first request did not arrive in time"),
        Protocol::H1 if !sight.seen_request => {
            Due::Cut(sight.born + limits.header_timeout, "the first request did not arrive in time")
        }
        Protocol::H1 | Protocol::H2 => Due::Finish(idle_since + limits.idle_timeout),
    };
    match (farewell.draining_since, regular.at()) {
        (Some(since), Some(at)) if !sight.seen_request => {
            let until = since + FRESH_GRACE.max(farewell.patience);
            if until < at { Due::Finish(until) } else { regular }
        }
        // Of HTTP/2 a client learns which of its requests were taken, whenever it is told.
        (Some(since), _) if sight.protocol == Protocol::H2 => Due::Finish(since),
        (Some(since), at) => {
            let until = since + farewell.patience;
            if at.is_some_and(|at| at < until) { regular } else { Due::Finish(until) }
        }
        (None, _) => regular,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    /// One second is one unit: header 10, idle 75, write 30.
    fn check(at: impl Fn(&mut Sight, &mut Farewell, Instant), expected: &str) {
        let born = Instant::now();
        let mut sight = Sight {
            protocol: Protocol::H1,
            born,
            in_flight: false,
            seen_request: false,
            last_ended: None,
            head_since: None,
            stalled_since: None,
            lingering_since: None,
        };
        let mut farewell = Farewell::default();
        at(&mut sight, &mut farewell, born);
        let seconds = |at: Instant| (at - born).as_secs_f32();
        let found = match due(&sight, &farewell, &HttpConfig::default()) {
            Due::Never => "never".to_owned(),
            Due::Finish(at) => format!("finish at {}", seconds(at)),
            Due::Cut(at, _) => format!("cut at {}", seconds(at)),
        };
        assert_eq!(found, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn each_state_of_a_connection_has_its_deadline() {
        check(|_, _, _| {}, "cut at 10");
        check(|s, _, _| s.protocol = Protocol::Unknown, "cut at 10");
        check(|s, _, _| s.protocol = Protocol::H2, "finish at 75");
        check(|s, _, born| s.head_since = Some(born + S(3)), "cut at 13");
        check(
            |s, _, born| {
                s.seen_request = true;
                s.last_ended = Some(born + S(5));
            },
            "finish at 80",
        );
        check(|s, _, _| s.in_flight = true, "never");
        check(
            |s, _, born| {
                s.in_flight = true;
                s.stalled_since = Some(born + S(4));
            },
            "cut at 34",
        );
        check(|s, _, born| s.lingering_since = Some(born + S(1)), "cut at 3");
        check(
            |s, _, born| {
                // Pings and window updates are bytes too, but no request's head.
                s.protocol = Protocol::H2;
                s.head_since = Some(born + S(3));
            },
            "finish at 75",
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_draining_server_waits_for_requests_but_not_for_idle_clients() {
        check(|_, f, born| f.draining_since = Some(born + S(2)), "finish at 2.5");
        check(|_, f, born| f.draining_since = Some(born + S(9)), "finish at 9.5");
        check(|_, f, born| f.draining_since = Some(born + S(10)), "cut at 10");
        check(
            |s, f, born| {
                s.seen_request = true;
                f.draining_since = Some(born + S(2));
            },
            "finish at 2",
        );
        check(
            |s, f, born| {
                s.in_flight = true;
                f.draining_since = Some(born + S(2));
            },
            "never",
        );
        check(
            |s, f, born| {
                s.seen_request = true;
                f.told = Some(born + S(2));
            },
            "cut at 4",
        );
        check(
            |s, f, born| {
                s.seen_request = true;
                s.last_ended = Some(born + S(7));
                f.told = Some(born + S(2));
            },
            "cut at 9",
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_draining_server_with_patience_waits_for_one_more_request() {
        let patient = |f: &mut Farewell, born| {
            f.draining_since = Some(born + S(2));
            f.patience = S(5);
        };
        check(|_, f, born| patient(f, born), "finish at 7");
        check(
            |s, f, born| {
                s.seen_request = true;
                patient(f, born);
            },
            "finish at 7",
        );
        // Not longer than without a drain, and not for clients that can tell which requests were taken.
        check(
            |s, f, born| {
                s.seen_request = true;
                patient(f, born);
                f.patience = S(100);
            },
            "finish at 75",
        );
        check(
            |s, f, born| {
                (s.seen_request, s.protocol) = (true, Protocol::H2);
                patient(f, born);
            },
            "finish at 2",
        );
    }
}
