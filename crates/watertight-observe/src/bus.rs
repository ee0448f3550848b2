//! The bus: takes events without ever waiting, and feeds each sink from a bounded queue on a thread of its own.
//!
//! ```text
//! emit ─▶ wanted by anybody? ─▶ per sink: wanted? room? ─▶ queue     full: dropped += 1
//!                                                           │
//!                                        thread: takes all of it at once, then reports what was dropped
//! ```

use std::{
    collections::VecDeque,
    fmt, io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Condvar, Mutex};
use watertight_model::{
    event::{Event, EventSink, FaultsChange, ReloadEnd, WorkerChange},
    trace::{Sampling, Span, SpanOf},
};

use crate::kind::{Interest, Kind};

/// Events that wait for one sink; as many again may be in its hands.
const MAX_EVENTS: usize = 16 * 1024;

/// Bytes that those events may take, the text in them included.
const MAX_BYTES: usize = 8 << 20;

/// How long a sink's thread lets events gather once the first has come: a wake-up for each would cost more than the event.
const GATHER: Duration = Duration::from_millis(3);

/// An event and when it was emitted.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: SystemTime,
    /// What.
    pub event: Event,
}

/// Something that shows, writes or keeps events. It runs on a thread of its own and may block there.
pub trait Sink: Send + 'static {
    /// Which kinds it wants; it gets no others, except [`Event::Dropped`].
    fn interest(&self) -> Interest;

    /// Which traces it wants to be kept from the start, if it wants any.
    fn sampling(&self) -> Option<Sampling> {
        None
    }

    /// Takes one event.
    fn take(&mut self, record: &Record);

    /// Nothing more comes for now: what was gathered should go out.
    fn flush(&mut self) {}

    /// When it wants to be flushed although nothing came.
    fn wake(&self) -> Option<Instant> {
        None
    }

    /// Nothing more comes at all.
    fn finish(&mut self) {}
}

/// Hands events to sinks.
#[derive(Default)]
pub struct Bus {
    interest: Interest,
    sampling: Option<Sampling>,
    queues: Vec<(Interest, Arc<Queue>)>,
}

/// What waits for one sink.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// For the sink's thread: something came, or nothing will any more.
    came: Condvar,
    /// For [`Bus::finish`]: the thread is done.
    done: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Record>,
    bytes: usize,
    dropped: u64,
    /// The thread waits to be told.
    idle: bool,
    closed: bool,
    ended: bool,
}

impl Bus {
    /// A bus without sinks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sink, and starts its thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn add(&mut self, name: &str, mut sink: impl Sink) -> io::Result<()> {
        let (interest, sampling) = (sink.interest(), sink.sampling());
        let queue = Arc::new(Queue::default());
        let feed = Arc::clone(&queue);
        std::thread::Builder::new().name(format!("events-{name}")).spawn(move || {
            // Also when the sink panics: nobody waits for it then.
            let ended = Ended(feed);
            ended.0.run(&mut sink);
        })?;
        self.interest = self.interest.and(interest);
        self.sampling = self.sampling.max(sampling);
        self.queues.push((interest, queue));
        Ok(())
    }

    /// Takes no more events, and waits until the sinks have what was emitted, but not longer than this. A sink that is stuck
    /// keeps its thread; the end of the process takes it.
    pub fn finish(&self, within: Duration) {
        let deadline = Instant::now() + within;
        for (_, queue) in &self.queues {
            queue.close();
        }
        for (_, queue) in &self.queues {
            let mut state = queue.state.lock();
            while !state.ended && !queue.done.wait_until(&mut state, deadline).timed_out() {}
        }
    }
}

impl EventSink for Bus {
    fn emit(&self, event: Event) {
        let kind = Kind::of(&event);
        if !self.interest.has(kind) {
            return;
        }
        let record = Record { at: SystemTime::now(), event };
        let mut wanting = self.queues.iter().filter(|(interest, _)| interest.has(kind)).map(|(_, queue)| queue);
        // All but the last get a copy.
        if let Some(last) = wanting.next_back() {
            wanting.for_each(|queue| queue.push(record.clone()));
            last.push(record);
        }
    }

    fn sampling(&self) -> Option<Sampling> {
        self.sampling
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for (_, queue) in &self.queues {
            queue.close();
        }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("sinks", &self.queues.len()).finish_non_exhaustive()
    }
}

impl Queue {
    fn push(&self, record: Record) {
        let weight = weight(&record);
        let mut state = self.state.lock();
        if state.closed || state.waiting.len() >= MAX_EVENTS || state.bytes + weight > MAX_BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes += weight;
        state.waiting.push_back(record);
        if std::mem::take(&mut state.idle) {
            self.came.notify_one();
        }
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.came.notify_one();
    }

    fn run(&self, sink: &mut impl Sink) {
        let mut batch = VecDeque::new();
        while let Some(dropped) = self.take_all(&mut batch, sink.wake()) {
            for record in batch.drain(..) {
                sink.take(&record);
            }
            if dropped > 0 {
                sink.take(&Record { at: SystemTime::now(), event: Event::Dropped { count: dropped } });
            }
            sink.flush();
        }
        sink.finish();
    }

    /// Waits for events, but not longer than until then, and takes all there are; says how many were dropped since. `None` at the end.
    fn take_all(&self, batch: &mut VecDeque<Record>, until: Option<Instant>) -> Option<u64> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && state.dropped == 0 {
            if state.closed {
                return None;
            }
            state.idle = true;
            match until {
                None => self.came.wait(&mut state),
                Some(until) if self.came.wait_until(&mut state, until).timed_out() => {
                    state.idle = false;
                    return Some(std::mem::take(&mut state.dropped));
                }
                Some(_) => {}
            }
        }
        state.idle = false;
        if !state.closed {
            // Only the end cuts this short: nobody notifies a thread that is not idle.
            self.came.wait_for(&mut state, GATHER);
        }
        std::mem::swap(&mut state.waiting, batch);
        state.bytes = 0;
        Some(std::mem::take(&mut state.dropped))
    }
}

/// Says that a sink's thread is over, however it ends.
struct Ended(Arc<Queue>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.ended = true;
        state.closed = true;
        state.waiting = VecDeque::new();
        self.0.done.notify_all();
    }
}

/// What a record takes in memory.
fn weight(record: &Record) -> usize {
    let text = match &record.event {
        Event::Failure(failure) => failure.detail.len(),
        Event::Postmortem(postmortem) => {
            postmortem.folder.as_os_str().len() + postmortem.at.as_ref().map_or(0, String::len)
        }
        Event::Denied { denial, .. } => denial.attempt.len() + denial.remedy.len(),
        Event::Log { line, context, .. } => line.len() + context.as_ref().map_or(0, String::len),
        Event::Request(request) => request.method.len() + request.path.len(),
        Event::Trace(trace) => size_of_val(trace.spans.as_slice()) + trace.spans.iter().map(texts).sum::<usize>(),
        Event::Reload(ReloadEnd::Failed { why }) => why.len(),
        Event::Worker { change: WorkerChange::Ended { how, .. }, .. } => how.len(),
        Event::Faults(FaultsChange::Set { rules, .. }) => rules.iter().map(String::len).sum(),
        Event::Worker { change: WorkerChange::Started { .. }, .. }
        | Event::Reload(ReloadEnd::Done { .. })
        | Event::Faults(FaultsChange::Cleared | FaultsChange::Over)
        | Event::Call(_)
        | Event::Root(_)
        | Event::CellStarted { .. }
        | Event::CellEnded { .. }
        | Event::LogCut { .. }
        | Event::Supervised { .. }
        | Event::Demoted { .. }
        | Event::Breaker { .. }
        | Event::Dropped { .. } => 0,
    };
    size_of::<Record>() + text
}

/// The text in a span.
fn texts(span: &Span) -> usize {
    match &span.of {
        SpanOf::Request { request, .. } => request.method.len() + request.path.len(),
        SpanOf::Sent(sent) => sent.method.len() + sent.url.len(),
        SpanOf::Root(_) | SpanOf::Call(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use watertight_model::{
        app::ComponentId,
        event::{CellId, LogStream},
    };

    use super::*;

    /// Waits for leave before each event, and passes on what it got.
    struct Guarded {
        interest: Interest,
        leave: mpsc::Receiver<()>,
        got: mpsc::Sender<Event>,
    }

    impl Sink for Guarded {
        fn interest(&self) -> Interest {
            self.interest
        }

        fn take(&mut self, record: &Record) {
            // A test that is over gives no more leave, and takes no more events.
            let _ = self.leave.recv();
            let _ = self.got.send(record.event.clone());
        }
    }

    fn guarded(interest: Interest) -> (Bus, mpsc::Sender<()>, mpsc::Receiver<Event>) {
        let (leave, wait) = mpsc::channel();
        let (got, events) = mpsc::channel();
        let mut bus = Bus::new();
        bus.add("test", Guarded { interest, leave: wait, got }).expect("a thread can be started");
        (bus, leave, events)
    }

    fn line(length: usize) -> Event {
        Event::Log {
            component: ComponentId(0),
            stream: LogStream::Stdout,
            line: "x".repeat(length),
            context: None,
            trace: None,
        }
    }

    fn waiting(bus: &Bus) -> (usize, usize) {
        let state = bus.queues[0].1.state.lock();
        (state.waiting.len(), state.bytes)
    }

    #[test]
    fn a_sink_that_never_reads_neither_blocks_nor_grows_memory() {
        let (bus, _leave, _events) = guarded(Interest::all());
        for _ in 0..5 * MAX_EVENTS {
            bus.emit(line(0));
        }
        assert!(waiting(&bus).0 <= MAX_EVENTS);
        let (bus, _leave, _events) = guarded(Interest::all());
        for _ in 0..1000 {
            bus.emit(line(64 << 10));
        }
        assert!(waiting(&bus).1 <= MAX_BYTES);
        bus.finish(Duration::ZERO);
    }

    #[test]
    fn what_a_slow_sink_lost_is_counted_and_reported_when_there_is_room_again() {
        let (bus, leave, events) = guarded(Interest::all());
        let emitted = 3 * MAX_EVENTS as u64;
        for _ in 0..emitted {
            bus.emit(line(0));
        }
        drop(leave);
        bus.finish(Duration::from_secs(60));
        let (mut taken, mut lost) = (0, 0);
        for event in events {
            if let Event::Dropped { count } = event {
                lost += count;
            } else {
                taken += 1;
            }
        }
        assert!(lost > 0, "the queue holds {MAX_EVENTS}, and the thread's hands as many");
        assert_eq!(taken + lost, emitted);
    }

    #[test]
    fn a_sink_gets_what_it_wants_and_nothing_else() {
        let (bus, leave, events) = guarded(Interest::in_kinds(&[Kind::Log]));
        drop(leave);
        bus.emit(Event::CellStarted { cell: CellId(1), component: ComponentId(0) });
        bus.emit(line(3));
        bus.finish(Duration::from_secs(60));
        assert_eq!(events.iter().collect::<Vec<_>>(), [line(3)]);
    }

    #[test]
    fn a_stuck_sink_does_not_keep_the_others_from_theirs() {
        let (mut bus, _leave, _events) = guarded(Interest::all());
        let (leave, wait) = mpsc::channel();
        let (got, events) = mpsc::channel();
        drop(leave);
        bus.add("other", Guarded { interest: Interest::all(), leave: wait, got }).expect("a thread can be started");
        bus.emit(line(1));
        assert_eq!(events.recv(), Ok(line(1)));
    }

    #[test]
    fn a_sink_that_panics_ends_alone() {
        struct Panics;
        impl Sink for Panics {
            fn interest(&self) -> Interest {
                Interest::all()
            }
            fn take(&mut self, _: &Record) {
                std::panic::resume_unwind(Box::new("a sink's bug"));
            }
        }
        let mut bus = Bus::new();
        bus.add("panics", Panics).expect("a thread can be started");
        bus.emit(line(1));
        bus.finish(Duration::from_secs(60));
        bus.emit(line(1));
        assert_eq!(waiting(&bus).0, 0);
    }
}
