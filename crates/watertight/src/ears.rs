//! Events for those who follow a node that runs: each has a queue of its own in every process, and comes to take what is in it.
//!
//! ```text
//!   tally ──▶ Ears ──▶ the bus
//!              │ is anybody listening? ── no: one look at a flag
//!              ▼
//!          a queue for each ear, bounded ◀── taken by who follows, again and again
//! ```
//!
//! As with a tap, nobody keeps a list of who listens: the first time makes the ear, and one that nobody comes to is gone after some time.
//! A queue that is full drops and counts (invariant 13).

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use watertight_model::{
    app::App,
    event::{Event, EventSink},
    trace::Sampling,
};
use watertight_observe::{Interest, JsonLines, Kind, Record};

/// Who listens at once.
pub(crate) const MAX_EARS: usize = 16;

/// Events that wait for one of them.
const MAX_WAITING: usize = 4096;

/// Events that are taken at once; what is taken goes to the supervisor in one message.
const MAX_TAKEN: usize = 1024;

/// Bytes of the lines that are taken at once.
const MAX_TAKEN_BYTES: usize = 1 << 20;

/// How long an ear lasts that nobody comes to: longer than a reader may be stuck.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Which events somebody wants.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EventsWanted {
    /// Who: chance enough not to meet another's.
    pub id: u64,
    /// Which kinds.
    pub kinds: Interest,
    /// Nobody wants any more of them.
    pub close: bool,
}

/// What has happened since somebody asked last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventsTaken {
    /// The events.
    pub events: Vec<EventTaken>,
    /// Events that there was no room for.
    pub dropped: u64,
    /// There are as many who listen as there may be.
    pub refused: bool,
}

/// One event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventTaken {
    /// When, in nanoseconds since 1970.
    pub at_ns: u64,
    /// Its kind.
    pub kind: String,
    /// All of it, as a line of JSON.
    pub line: String,
}

/// Hears the events of one process, and passes them on.
pub(crate) struct Ears {
    next: Arc<dyn EventSink>,
    /// Whether anybody listens: all that most events ever look at.
    open: AtomicBool,
    ears: Mutex<Vec<Ear>>,
    lines: Mutex<JsonLines<io::Sink>>,
}

struct Ear {
    id: u64,
    kinds: Interest,
    waiting: VecDeque<Record>,
    dropped: u64,
    asked: Instant,
}

impl Ears {
    /// Hears the events of an app that go there.
    pub(crate) fn new(app: &Arc<App>, next: Arc<dyn EventSink>) -> Arc<Self> {
        let lines = JsonLines::new(io::sink(), Arc::clone(app), Interest::all(), std::process::id());
        Arc::new(Self { next, open: AtomicBool::new(false), ears: Mutex::default(), lines: Mutex::new(lines) })
    }

    #[cold]
    fn hear(&self, event: &Event) {
        let kind = Kind::of(event);
        let mut ears = self.ears.lock();
        for ear in ears.iter_mut().filter(|ear| ear.kinds.has(kind)) {
            if ear.waiting.len() >= MAX_WAITING {
                ear.dropped += 1;
            } else {
                ear.waiting.push_back(Record { at: SystemTime::now(), event: event.clone() });
            }
        }
        self.retain(&mut ears, |ear| ear.asked.elapsed() < FORGOTTEN);
    }

    fn retain(&self, ears: &mut Vec<Ear>, keep: impl FnMut(&Ear) -> bool) {
        ears.retain(keep);
        self.open.store(!ears.is_empty(), Relaxed);
    }

    /// What has happened since it was asked last. It is for a thread that is no call's: events become text here.
    pub(crate) fn take(&self, wanted: &EventsWanted) -> EventsTaken {
        let mut ears = self.ears.lock();
        self.retain(&mut ears, |ear| !(wanted.close && ear.id == wanted.id) && ear.asked.elapsed() < FORGOTTEN);
        if wanted.close {
            return EventsTaken::default();
        }
        let Some(ear) = ears.iter_mut().find(|ear| ear.id == wanted.id) else {
            if ears.len() >= MAX_EARS {
                return EventsTaken { refused: true, ..EventsTaken::default() };
            }
            let (id, kinds) = (wanted.id, wanted.kinds);
            ears.push(Ear { id, kinds, waiting: VecDeque::new(), dropped: 0, asked: Instant::now() });
            self.open.store(true, Relaxed);
            return EventsTaken::default();
        };
        ear.asked = Instant::now();
        let count = ear.waiting.len().min(MAX_TAKEN);
        let records: Vec<_> = ear.waiting.drain(..count).collect();
        let mut dropped = std::mem::take(&mut ear.dropped);
        drop(ears);
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut lines = self.lines.lock();
        for record in records {
            let line = lines.line(&record).filter(|line| bytes + line.len() <= MAX_TAKEN_BYTES);
            let Some(line) = line else {
                dropped += 1;
                continue;
            };
            bytes += line.len();
            let at = record.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let at_ns = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
            events.push(EventTaken { at_ns, kind: Kind::of(&record.event).name().to_owned(), line });
        }
        EventsTaken { events, dropped, refused: false }
    }
}

impl EventSink for Ears {
    fn emit(&self, event: Event) {
        if self.open.load(Relaxed) {
            self.hear(&event);
        }
        self.next.emit(event);
    }

    fn sampling(&self) -> Option<Sampling> {
        self.next.sampling()
    }
}

impl fmt::Debug for Ears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ears").field("open", &self.open).finish_non_exhaustive()
    }
}

impl EventsTaken {
    /// Adds what another process has told.
    pub(crate) fn add(&mut self, other: Self) {
        self.events.extend(other.events);
        self.dropped += other.dropped;
        self.refused |= other.refused;
    }

    /// In the order in which it happened.
    pub(crate) fn sorted(mut self) -> Self {
        self.events.sort_by_key(|event| event.at_ns);
        self
    }
}

#[cfg(test)]
mod tests {
    use watertight_model::event::NoSink;

    use super::*;
    use crate::AppSource;

    fn ears() -> Arc<Ears> {
        let source = AppSource::single("hello.wasm", watertight_testkit::guest::built("http-hello"));
        Ears::new(&source.check().expect("it is sound").app, Arc::new(NoSink))
    }

    fn wanted(id: u64, kinds: &[Kind]) -> EventsWanted {
        EventsWanted { id, kinds: Interest::in_kinds(kinds), close: false }
    }

    #[test]
    fn who_listens_hears_what_it_wants_and_a_full_queue_drops_and_counts() {
        let ears = ears();
        let (failures, all) = (wanted(1, &[Kind::Failure]), wanted(2, &Kind::ALL));
        ears.emit(Event::Dropped { count: 1 });
        assert!(ears.take(&failures).events.is_empty() && ears.take(&all).events.is_empty(), "from now on");
        for count in 0..MAX_WAITING as u64 + 5 {
            ears.emit(Event::Dropped { count });
        }
        assert!(ears.take(&failures).events.is_empty());
        let taken = ears.take(&all);
        assert_eq!((taken.events.len(), taken.dropped), (MAX_TAKEN, 5));
        assert!(taken.events[3].line.contains("\"count\":3"), "{:?}", taken.events[3]);
        ears.take(&EventsWanted { close: true, ..all });
        ears.take(&EventsWanted { close: true, ..failures });
        assert!(!ears.open.load(Relaxed), "nobody listens any more");
    }

    #[test]
    fn there_are_only_so_many_ears() {
        let ears = ears();
        let refused = |id| ears.take(&wanted(id, &Kind::ALL)).refused;
        assert!((0..MAX_EARS as u64).all(|id| !refused(id)));
        assert!(refused(99) && !refused(3));
    }
}
