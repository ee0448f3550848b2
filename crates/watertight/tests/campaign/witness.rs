//! Who sees what happened: keeps the events of the batch at hand. It also is the host function that panics: a line that a guest
//! logs makes it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use watertight::model::{
    app::{ComponentId, EdgeId},
    event::{Call, CellEnd, Event, EventSink},
};

use crate::guests::PANIC;

/// Events of one batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) calls: Vec<Seen>,
    pub(crate) ended: Vec<(ComponentId, CellEnd)>,
}

/// A crossing, and for how much of its time the machine had no core for us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) call: Call,
    pub(crate) edge: EdgeId,
    pub(crate) kept_waiting: Duration,
}

/// The sink of a node's events.
#[derive(Debug)]
pub(crate) struct Witness {
    batch: Mutex<Batch>,
    waits: Waits,
}

impl Witness {
    pub(crate) fn new() -> Self {
        Self { batch: Mutex::default(), waits: Waits::new() }
    }

    /// Takes what there is, and forgets it.
    pub(crate) fn take(&self) -> Batch {
        self.waits.forget();
        std::mem::take(&mut self.batch.lock())
    }

    /// So many cells ended so far.
    pub(crate) fn ended(&self) -> usize {
        self.batch.lock().ended.len()
    }

    /// A call begins: until when the system kept us waiting is noted.
    pub(crate) fn begin(&self) {
        self.waits.note();
    }

    /// For how much of the time just past there was no core for us.
    pub(crate) fn kept_waiting(&self, past: Duration) -> Duration {
        self.waits.within(past)
    }
}

impl EventSink for Witness {
    fn emit(&self, event: Event) {
        match event {
            Event::Call(call) => {
                let kept_waiting = self.waits.within(call.duration);
                self.batch.lock().calls.push(Seen { call, edge: call.edge, kept_waiting });
            }
            Event::CellEnded { component, end, .. } => self.batch.lock().ended.push((component, end)),
            Event::Log { line, .. } if line == PANIC => panic!("{PANIC}"),
            _ => {}
        }
    }
}

/// How long the threads that run guests waited for a core, as Linux counts it. A call that is late by no more than that is not late: a
/// busy machine is no fault of ours.
#[derive(Debug)]
struct Waits {
    /// This thread, and the others that matter.
    schedstats: Mutex<Vec<File>>,
    /// When, by a clock of our own, and how long until then.
    notes: Mutex<Vec<(Instant, Duration)>>,
}

/// The thread where guests go on that are over their slice, and the one that has them look up, as Linux cuts its name off.
const OTHERS: [&str; 2] = ["watertight-low", "watertight-tick"];

impl Waits {
    fn new() -> Self {
        let waits = Self { schedstats: Mutex::default(), notes: Mutex::default() };
        waits.forget();
        waits
    }

    /// The second number of each: nanoseconds on a run queue.
    fn waited(&self) -> Duration {
        let mut text = [0; 64];
        let schedstats = self.schedstats.lock();
        let nanos = schedstats.iter().map(|file| {
            let read = file.read_at(&mut text, 0).unwrap_or(0);
            let numbers = std::str::from_utf8(&text[..read]).unwrap_or_default();
            numbers.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0_u64)
        });
        Duration::from_nanos(nanos.sum()) + PULSE.stood_still()
    }

    fn note(&self) {
        self.notes.lock().push((Instant::now(), self.waited()));
    }

    /// Begins anew, with the threads that there are now.
    fn forget(&self) {
        let me = rustix::thread::gettid().as_raw_nonzero().to_string();
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let runs_guests = |task: &fs::DirEntry| {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            task.file_name().to_str() == Some(&me) || OTHERS.contains(&name.trim_end())
        };
        let found = tasks.filter(runs_guests).filter_map(|task| File::open(task.path().join("schedstat")).ok());
        *self.schedstats.lock() = found.collect();
        self.notes.lock().clear();
    }

    /// How much of the time just past was spent waiting: at most, as far as notes were made.
    fn within(&self, past: Duration) -> Duration {
        let began = Instant::now().checked_sub(past);
        let notes = self.notes.lock();
        let before = notes.iter().rev().find(|(at, _)| began.is_none_or(|began| *at <= began)).or(notes.first());
        self.waited().saturating_sub(before.map_or(Duration::ZERO, |(_, waited)| *waited))
    }
}

/// A thread that does nothing but look at the clock. Where it does not get to, the whole machine stands still.
#[derive(Debug)]
pub(crate) struct Pulse {
    total_nanos: AtomicU64,
    longest_nanos: AtomicU64,
}

pub(crate) static PULSE: LazyLock<&'static Pulse> = LazyLock::new(|| {
    let pulse: &'static Pulse =
        Box::leak(Box::new(Pulse { total_nanos: AtomicU64::new(0), longest_nanos: AtomicU64::new(0) }));
    thread::Builder::new().name("pulse".to_owned()).spawn(|| pulse.run()).expect("one more thread can be had");
    pulse
});

/// How often it looks, and from how much more on it has not got to it.
const BEAT: Duration = Duration::from_millis(20);
const STANDSTILL: Duration = Duration::from_secs(1);

impl Pulse {
    fn run(&self) {
        let mut last = Instant::now();
        loop {
            thread::sleep(BEAT);
            let now = Instant::now();
            let more = now.duration_since(last).saturating_sub(BEAT);
            last = now;
            if more > STANDSTILL {
                let nanos = u64::try_from(more.as_nanos()).unwrap_or(u64::MAX);
                self.total_nanos.fetch_add(nanos, Ordering::SeqCst);
                self.longest_nanos.fetch_max(nanos, Ordering::SeqCst);
            }
        }
    }

    fn stood_still(&self) -> Duration {
        Duration::from_nanos(self.total_nanos.load(Ordering::SeqCst))
    }

    /// The longest that the machine stood still.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_nanos.load(Ordering::SeqCst))
    }
}
