//! Spans of what one call tree goes through, while it does: where nobody traces, a crossing looks at one pointer.
//!
//! ```text
//!   request ── record ──▶ Recording ◀── begin, end ── every crossing
//!                            │ last holder lets go
//!                            ▼ kept from the start, or something failed?
//!                        Event::Trace, or nothing
//! ```
//!
//! A recording is held by the call tree, and by whoever began it and has more to say: it tells when the last of them is done. So that a
//! trace can be kept because something failed in it, the spans of every call tree are taken down: in bounded room, which a thread uses
//! again. How many are kept for that reason alone is bounded, too: when everything fails, a hundred a second say so as well as all.

use std::{
    cell::{Cell, RefCell},
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use watertight_model::{
    app::{EdgeId, FunctionId},
    event::{Call, Event, EventSink, Outcome, Root, Seen, TreeId},
    trace::{MAX_TRACE_STATE, Sampling, Sent, Span, SpanId, SpanOf, Trace, TraceContext, TraceId},
};

use crate::clock::Moment;

/// Spans of one call tree that are taken down; further ones only if they fail, and only so many of those.
const MAX_SPANS: usize = 512;
const MAX_FAILED_SPANS: usize = 64;

/// Room for spans that a thread keeps for its next call trees, and how much of it.
const SPARE_LISTS: usize = 8;
const SPARE_SPANS: usize = 64;

/// Traces a second that are kept only because something failed in them.
const MAX_FAILED_A_SECOND: u64 = 100;

thread_local! {
    static SPARE: RefCell<Vec<Vec<Kept>>> = const { RefCell::new(Vec::new()) };
    static CHANCE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
}

/// What a loaded app traces.
#[derive(Debug)]
pub(crate) struct Tracing {
    sampling: Sampling,
    quota: Arc<Quota>,
}

/// How many traces were kept this second because something failed: the second, and in the lower 16 bits how many.
#[derive(Debug, Default)]
struct Quota(AtomicU64);

/// What is taken down of one call tree.
pub struct Recording {
    trace: TraceId,
    state: Option<Box<str>>,
    /// The span of another process that this is part of.
    parent: Option<SpanId>,
    sampled: bool,
    /// Where ids of spans are drawn from, and how many were.
    seed: u64,
    drawn: AtomicU64,
    began: Moment,
    began_ns: u64,
    events: Arc<dyn EventSink>,
    /// None where only ids are wanted, and nothing is told.
    quota: Option<Arc<Quota>>,
    spans: Mutex<Spans>,
}

#[derive(Debug, Default)]
struct Spans {
    kept: Vec<Kept>,
    lost: u64,
    failed: bool,
}

/// A span that has begun.
#[derive(Debug)]
struct Kept {
    id: SpanId,
    parent: Option<SpanId>,
    began: Moment,
    of: Of,
}

#[derive(Debug)]
enum Of {
    /// A crossing that goes on.
    Crossing(TreeId, EdgeId, FunctionId),
    Done(SpanOf),
}

/// A crossing whose span has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Began {
    pub(crate) span: SpanId,
    pub(crate) parent: SpanId,
    at: Moment,
    /// Its place among the spans, if there was room.
    place: Option<usize>,
}

/// Which span a cell works in, for what has no hold of the cell's store: what it writes, and the requests that it sends.
#[derive(Debug, Default)]
pub struct Traced(Mutex<Option<(Arc<Recording>, SpanId)>>);

impl Tracing {
    /// What these events are wanted for; `None` where nobody traces.
    pub(crate) fn wanted(events: &Arc<dyn EventSink>) -> Option<Self> {
        events.sampling().map(|sampling| Self { sampling, quota: Arc::default() })
    }

    /// Begins the part of a trace that a call tree is, or a trace.
    pub(crate) fn record(
        &self,
        from: Option<TraceContext>,
        state: Option<&str>,
        events: &Arc<dyn EventSink>,
    ) -> Arc<Recording> {
        let trace = from.map_or_else(|| TraceId(u128::from(chance()) << 64 | u128::from(chance())), |from| from.trace);
        let state = state.filter(|state| from.is_some() && state.len() <= MAX_TRACE_STATE);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Arc::new(Recording {
            trace,
            state: state.map(Into::into),
            parent: from.map(|from| from.span),
            sampled: from.map_or_else(|| self.sampling.keeps(trace), |from| from.sampled),
            seed: chance(),
            drawn: AtomicU64::new(0),
            began: Moment::now(),
            began_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            events: Arc::clone(events),
            quota: Some(Arc::clone(&self.quota)),
            spans: Mutex::new(Spans { kept: SPARE.with_borrow_mut(Vec::pop).unwrap_or_default(), ..Spans::default() }),
        })
    }
}

impl Recording {
    /// One that only gives spans their ids.
    pub(crate) fn of_ids(events: &Arc<dyn EventSink>) -> Arc<Self> {
        Arc::new(Self {
            trace: TraceId(1),
            state: None,
            parent: None,
            sampled: false,
            seed: chance(),
            drawn: AtomicU64::new(0),
            began: Moment::latest(),
            began_ns: 0,
            events: Arc::clone(events),
            quota: None,
            spans: Mutex::default(),
        })
    }

    /// The trace.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    /// What is passed on of other vendors'.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The span of another process that all this is part of.
    #[must_use]
    pub fn parent(&self) -> Option<SpanId> {
        self.parent
    }

    /// What one of its spans tells whom it calls.
    #[must_use]
    pub fn context(&self, span: SpanId) -> TraceContext {
        TraceContext { trace: self.trace, span, sampled: self.sampled }
    }

    /// An id for a span that is yet to be told of.
    #[must_use]
    pub fn draw(&self) -> SpanId {
        let number = self.drawn.fetch_add(1, Relaxed);
        SpanId(mix(self.seed.wrapping_add(number.wrapping_mul(GOLDEN))).max(1))
    }

    /// Adds a span that took so long until now.
    pub fn add(&self, id: SpanId, parent: Option<SpanId>, of: SpanOf) {
        if self.quota.is_none() {
            return;
        }
        let began = Moment::now().minus(of.duration());
        self.spans.lock().add(Kept { id, parent, began, of: Of::Done(of) });
    }

    /// Adds a request that was sent, within a span.
    pub fn sent(&self, id: SpanId, within: SpanId, sent: Sent) {
        self.add(id, Some(within), SpanOf::Sent(sent));
    }

    pub(crate) fn root(&self, id: SpanId, parent: Option<SpanId>, root: Root) {
        self.add(id, parent, SpanOf::Root(root));
    }

    pub(crate) fn begin(&self, parent: SpanId, tree: TreeId, edge: EdgeId, function: FunctionId, at: Moment) -> Began {
        let span = self.draw();
        if self.quota.is_none() {
            return Began { span, parent, at, place: None };
        }
        let mut spans = self.spans.lock();
        let place = spans.kept.len();
        let of = Of::Crossing(tree, edge, function);
        let place = (place < MAX_SPANS).then(|| {
            spans.kept.push(Kept { id: span, parent: Some(parent), began: at, of });
            place
        });
        Began { span, parent, at, place }
    }

    pub(crate) fn end(&self, began: Began, call: Call) {
        if self.quota.is_none() {
            return;
        }
        let of = SpanOf::Call(call);
        let mut spans = self.spans.lock();
        match began.place {
            None => {
                let Began { span: id, parent, at: began, .. } = began;
                spans.add(Kept { id, parent: Some(parent), began, of: Of::Done(of) });
            }
            Some(place) => {
                spans.failed |= of.failed();
                if let Some(kept) = spans.kept.get_mut(place) {
                    kept.of = Of::Done(of);
                }
            }
        }
    }
}

impl Spans {
    fn add(&mut self, kept: Kept) {
        let failed = matches!(&kept.of, Of::Done(of) if of.failed());
        self.failed |= failed;
        // What is told at the end, of requests and roots, is what the rest hangs on.
        let hangs = matches!(&kept.of, Of::Done(SpanOf::Request { .. } | SpanOf::Root(_)));
        let most = if failed || hangs { MAX_SPANS + MAX_FAILED_SPANS } else { MAX_SPANS };
        if self.kept.len() < most { self.kept.push(kept) } else { self.lost += 1 }
    }
}

impl Quota {
    /// Whether one more may be kept in this second.
    fn take(&self, now_ns: u64) -> bool {
        let second = now_ns / 1_000_000_000;
        let more = |state: u64| {
            let taken = if state >> 16 == second { state & 0xffff } else { 0 };
            (taken < MAX_FAILED_A_SECOND).then_some(second << 16 | (taken + 1))
        };
        self.0.fetch_update(Relaxed, Relaxed, more).is_ok()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Spans { mut kept, lost, failed } = std::mem::take(self.spans.get_mut());
        let wanted = |quota: &Arc<Quota>| self.sampled || (failed && quota.take(self.began_ns));
        if self.quota.as_ref().is_some_and(wanted) {
            let now = Moment::now();
            let mut spans: Vec<Span> = kept.drain(..).map(|kept| self.told(kept, now)).collect();
            // What is told at its end began before.
            spans.sort_by_key(|span| span.began_ns);
            let (id, state, sampled) = (self.trace, self.state.take(), self.sampled);
            self.events.emit(Event::Trace(Box::new(Trace { id, state, sampled, spans, lost })));
        }
        kept.clear();
        if (1..=SPARE_SPANS).contains(&kept.capacity()) {
            // At the end of a thread there is nobody to keep it for.
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < SPARE_LISTS {
                    spare.push(kept);
                }
            });
        }
    }
}

impl Recording {
    fn told(&self, kept: Kept, now: Moment) -> Span {
        let Kept { id, parent, began, of } = kept;
        let of = match of {
            Of::Done(of) => of,
            Of::Crossing(tree, edge, function) => SpanOf::Call(cut_off(tree, edge, function, now.since(began))),
        };
        let began_ns = match began >= self.began {
            true => self.began_ns.saturating_add(began.nanos_since(self.began)),
            false => self.began_ns.saturating_sub(self.began.nanos_since(began)),
        };
        Span { id, parent, began_ns, of }
    }
}

/// A crossing whose caller was cut off.
pub(crate) fn cut_off(tree: TreeId, edge: EdgeId, function: FunctionId, duration: Duration) -> Call {
    Call {
        tree,
        edge,
        function,
        duration,
        bytes_in: 0,
        bytes_out: 0,
        outcome: Outcome::Cancelled,
        attempts: 1,
        fallback: None,
        seen: Seen::Trap,
        injected: None,
    }
}

impl Traced {
    /// What the cell works in now.
    #[must_use]
    pub fn now(&self) -> Option<(Arc<Recording>, SpanId)> {
        self.0.lock().clone()
    }

    pub(crate) fn set(&self, recording: &Arc<Recording>, span: SpanId) {
        *self.0.lock() = Some((Arc::clone(recording), span));
    }

    pub(crate) fn clear(&self) {
        let before = self.0.lock().take();
        // It may be the last, and tell.
        drop(before);
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("trace", &self.trace).field("sampled", &self.sampled).finish_non_exhaustive()
    }
}

/// 2^64 divided by the golden ratio: SplitMix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Chance enough to tell traces apart; never 0.
fn chance() -> u64 {
    CHANCE.with(|state| {
        state.set(state.get().wrapping_add(GOLDEN));
        mix(state.get()).max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told(Mutex<Vec<Trace>>);

    impl EventSink for Told {
        fn emit(&self, event: Event) {
            if let Event::Trace(trace) = event {
                self.0.lock().push(*trace);
            }
        }

        fn sampling(&self) -> Option<Sampling> {
            Some(Sampling::ratio(0.0))
        }
    }

    fn call(outcome: Outcome) -> Call {
        Call { outcome, ..cut_off(TreeId(1), EdgeId(0), FunctionId(0), Duration::ZERO) }
    }

    fn begin(recording: &Recording) -> Began {
        recording.begin(SpanId(7), TreeId(1), EdgeId(0), FunctionId(0), Moment::now())
    }

    fn told(run: impl Fn(&Tracing, &Arc<dyn EventSink>)) -> Vec<Trace> {
        let told = Arc::new(Told::default());
        let events = Arc::clone(&told) as Arc<dyn EventSink>;
        run(&Tracing::wanted(&events).expect("it is asked for"), &events);
        std::mem::take(&mut told.0.lock())
    }

    #[test]
    fn what_nobody_asked_for_is_told_only_if_something_failed() {
        let failed = Outcome::Failed(watertight_model::failure::FailureKind::Trap);
        for (outcome, expected) in [(Outcome::Ok, 0), (failed, 1)] {
            let traces = told(|tracing, events| {
                let recording = tracing.record(None, None, events);
                let (outer, inner) = (begin(&recording), begin(&recording));
                recording.end(inner, call(outcome));
                recording.end(outer, call(Outcome::Ok));
            });
            assert_eq!(traces.len(), expected);
            assert!(traces.iter().all(|trace| trace.spans.len() == 2 && !trace.sampled));
        }
    }

    #[test]
    fn a_caller_that_keeps_its_trace_decides_and_what_it_cut_off_is_told() {
        let from = TraceContext { trace: TraceId(5), span: SpanId(6), sampled: true };
        let traces = told(|tracing, events| {
            let recording = tracing.record(Some(from), Some("vendor=1"), events);
            assert_eq!((recording.parent(), recording.state()), (Some(SpanId(6)), Some("vendor=1")));
            begin(&recording);
        });
        assert_eq!((traces[0].id, traces[0].sampled), (TraceId(5), true));
        assert!(matches!(traces[0].spans[0].of, SpanOf::Call(Call { outcome: Outcome::Cancelled, .. })));
    }

    #[test]
    fn a_call_tree_without_end_takes_bounded_room_and_failures_find_some() {
        let from = TraceContext { trace: TraceId(5), span: SpanId(6), sampled: true };
        let traces = told(|tracing, events| {
            let recording = tracing.record(Some(from), None, events);
            for _ in 0..10_000 {
                recording.end(begin(&recording), call(Outcome::Ok));
            }
            for _ in 0..10_000 {
                recording.end(begin(&recording), call(Outcome::Failed(watertight_model::failure::FailureKind::Trap)));
            }
        });
        assert_eq!(traces[0].spans.len(), MAX_SPANS + MAX_FAILED_SPANS);
        assert_eq!(traces[0].lost, 20_000 - (MAX_SPANS + MAX_FAILED_SPANS) as u64);
        let failed = traces[0].spans.iter().filter(|span| span.of.failed()).count();
        assert_eq!(failed, MAX_FAILED_SPANS);
        let mut ids: Vec<_> = traces[0].spans.iter().map(|span| span.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), traces[0].spans.len(), "every span has an id of its own");
    }

    #[test]
    fn when_everything_fails_a_bounded_number_of_traces_says_so() {
        let quota = Quota::default();
        let second = 1_000_000_000;
        let taken = |at| (0..1000).filter(|_| quota.take(at)).count() as u64;
        assert_eq!(
            (taken(5 * second), taken(5 * second + 1), taken(6 * second)),
            (MAX_FAILED_A_SECOND, 0, MAX_FAILED_A_SECOND)
        );
    }
}
