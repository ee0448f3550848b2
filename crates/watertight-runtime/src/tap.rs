//! Taps: calls as they happen, for who wants to see them, with the bytes that crossed.
//!
//! ```text
//!   every call ── is there a tap? ── no: one look at a flag
//!                       │ yes, and it wants this edge
//!                       ▼
//!               copies the start of the frames ──▶ the tap's buffer, bounded ◀── taken and decoded by who looks
//! ```
//!
//! Nothing is decoded on the way of a call. A buffer that is full drops and counts. A tap lasts as long as somebody takes what it has:
//! one that was left alone for some seconds goes with the next call, or with the next look at any tap.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Mutex, RwLock};
use watertight_model::{
    app::{EdgeId, FunctionId},
    event::{Call, Outcome, Root, TreeId},
    trace::SpanId,
};

use crate::{
    app::{LoadedApp, RunningApp},
    host::CellData,
    membrane::Frame,
};

/// Taps at once.
const MAX_TAPS: usize = 16;

/// Calls that wait in a tap's buffer, and bytes of their frames.
const MAX_WAITING: usize = 8192;
const MAX_WAITING_BYTES: usize = 4 << 20;

/// Bytes of each frame that are kept.
const MAX_FRAME_START: usize = 2048;

/// Bytes of the text of each value.
const MAX_TEXT: usize = 512;

/// Calls that are taken at once.
const MAX_TAKEN: usize = 1024;

/// How long a tap lasts that nobody looks at.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// Which calls a tap wants.
#[derive(Clone, Debug, Default)]
pub struct TapFilter {
    /// Those of these functions; all where there are none, and what root calls come to.
    pub functions: Option<Vec<(EdgeId, FunctionId)>>,
    /// Only those that failed.
    pub failed: bool,
    /// Only those that took so long.
    pub slow: Option<Duration>,
    /// With arguments and results.
    pub values: bool,
}

/// The taps of an app.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    /// Whether there is any: all that most calls ever look at.
    open: AtomicBool,
    taps: RwLock<Vec<Arc<Tap>>>,
}

#[derive(Debug)]
struct Tap {
    id: u64,
    filter: TapFilter,
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    calls: VecDeque<Caught>,
    bytes: usize,
    dropped: u64,
    looked: Instant,
}

/// A call that went over a tapped edge.
#[derive(Clone, Debug)]
struct Caught {
    about: About,
    arguments: Start,
    results: Start,
}

/// The start of a frame.
#[derive(Clone, Debug, Default)]
struct Start {
    bytes: Option<Vec<u8>>,
    whole: usize,
}

/// What a call came to.
#[derive(Clone, Debug)]
pub struct TappedCall {
    /// What it is about.
    pub about: About,
    /// Its arguments in WAVE, where they were wanted and are not redacted.
    pub arguments: Option<String>,
    /// Its results; none where it has none, too.
    pub results: Option<String>,
}

/// What a tap tells of.
#[derive(Clone, Debug)]
pub struct About {
    /// What came to pass.
    pub of: Tapped,
    /// When it began, in nanoseconds since 1970.
    pub began_ns: u64,
    /// Itself and what it is part of; 0 where that is not known.
    pub span: SpanId,
    /// What it is part of.
    pub parent: SpanId,
    /// Its values are not shown.
    pub redacted: bool,
}

/// A call over an edge, or a root call.
#[derive(Clone, Copy, Debug)]
pub enum Tapped {
    /// Over an edge.
    Call(Call),
    /// From outside.
    Root(Root),
}

impl Tapped {
    /// Its call tree.
    #[must_use]
    pub fn tree(&self) -> TreeId {
        match self {
            Self::Call(call) => call.tree,
            Self::Root(root) => root.tree,
        }
    }

    fn outcome(&self) -> (Outcome, Duration) {
        match self {
            Self::Call(call) => (call.outcome, call.duration),
            Self::Root(root) => (root.outcome, root.duration),
        }
    }
}

/// What a tap has caught since the last look.
#[derive(Debug, Default)]
pub struct Catch {
    /// In the order in which they ended.
    pub calls: Vec<TappedCall>,
    /// How many there was no room for.
    pub dropped: u64,
}

/// There are as many taps as there may be.
#[derive(Debug, thiserror::Error)]
#[error("there are {MAX_TAPS} taps on this node already")]
pub struct TooManyTaps;

/// A call that goes over a tapped edge.
#[derive(Debug)]
pub(crate) struct Watched {
    taps: Vec<Arc<Tap>>,
    arguments: Start,
    redacted: bool,
    parent: SpanId,
    span: SpanId,
}

impl Taps {
    pub(crate) fn any(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Begins to watch a call, if a tap wants it.
    #[cold]
    pub(crate) fn watch(
        &self,
        (edge, function): (EdgeId, FunctionId),
        arguments: &Frame,
        redacted: bool,
        (parent, span): (SpanId, SpanId),
    ) -> Option<Box<Watched>> {
        let wants = |tap: &&Arc<Tap>| {
            tap.filter.functions.as_ref().is_none_or(|functions| functions.contains(&(edge, function)))
        };
        let taps: Vec<_> = self.taps.read().iter().filter(wants).cloned().collect();
        let values = taps.iter().any(|tap| tap.filter.values);
        let arguments = Start::of(&arguments.bytes, values && !redacted);
        (!taps.is_empty()).then(|| Box::new(Watched { taps, arguments, redacted, parent, span }))
    }

    /// Tells of a root call, where all calls are wanted.
    pub(crate) fn root(&self, root: Root, span: SpanId) {
        if !self.any() {
            return;
        }
        let taps: Vec<_> = self.taps.read().iter().filter(|tap| tap.filter.functions.is_none()).cloned().collect();
        let about = About {
            of: Tapped::Root(root),
            began_ns: unix_before(root.duration),
            span,
            parent: SpanId(0),
            redacted: false,
        };
        for tap in taps {
            tap.catch(
                |_| Caught { about: about.clone(), arguments: Start::default(), results: Start::default() },
                &about,
            );
        }
    }

    /// Takes away the taps that nobody looks at.
    pub(crate) fn sweep(&self) {
        if self.any() {
            self.retain(|tap| tap.waiting.lock().looked.elapsed() < FORGOTTEN);
        }
    }

    fn retain(&self, keep: impl Fn(&Tap) -> bool) {
        let mut taps = self.taps.write();
        taps.retain(|tap| keep(tap));
        self.open.store(!taps.is_empty(), Relaxed);
    }

    fn look(&self, id: u64, filter: impl FnOnce() -> TapFilter) -> Result<(Vec<Caught>, u64), TooManyTaps> {
        self.sweep();
        let known = self.taps.read().iter().find(|tap| tap.id == id).cloned();
        if let Some(tap) = known {
            let mut waiting = tap.waiting.lock();
            waiting.looked = Instant::now();
            let count = waiting.calls.len().min(MAX_TAKEN);
            let taken: Vec<_> = waiting.calls.drain(..count).collect();
            waiting.bytes -= taken.iter().map(Caught::bytes).sum::<usize>();
            return Ok((taken, std::mem::take(&mut waiting.dropped)));
        }
        let waiting = Waiting { calls: VecDeque::new(), bytes: 0, dropped: 0, looked: Instant::now() };
        let tap = Tap { id, filter: filter(), waiting: Mutex::new(waiting) };
        let mut taps = self.taps.write();
        if taps.len() >= MAX_TAPS {
            return Err(TooManyTaps);
        }
        taps.push(Arc::new(tap));
        self.open.store(true, Relaxed);
        Ok((Vec::new(), 0))
    }
}

impl Tap {
    fn catch(&self, caught: impl FnOnce(bool) -> Caught, about: &About) {
        let (outcome, took) = about.of.outcome();
        let wanted = (!self.filter.failed || matches!(outcome, Outcome::Failed(_)))
            && self.filter.slow.is_none_or(|slow| took >= slow);
        if !wanted {
            return;
        }
        let caught = caught(self.filter.values);
        let bytes = caught.bytes();
        let mut waiting = self.waiting.lock();
        if waiting.calls.len() >= MAX_WAITING || waiting.bytes + bytes > MAX_WAITING_BYTES {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes += bytes;
        waiting.calls.push_back(caught);
    }
}

impl Watched {
    /// The call has ended.
    pub(crate) fn end(mut self, call: Call, results: Option<&Frame>, taps: &Taps) {
        self.tell(call, results);
        self.taps.clear();
        taps.sweep();
    }

    fn tell(&self, call: Call, results: Option<&Frame>) {
        let about = About {
            of: Tapped::Call(call),
            began_ns: unix_before(call.duration),
            span: self.span,
            parent: self.parent,
            redacted: self.redacted,
        };
        for tap in &self.taps {
            let caught = |values: bool| {
                let shown = values && !self.redacted;
                let arguments = if shown { self.arguments.clone() } else { Start::default() };
                let results = results.map(|results| Start::of(&results.bytes, shown)).unwrap_or_default();
                Caught { about: about.clone(), arguments, results }
            };
            tap.catch(caught, &about);
        }
    }
}

impl Start {
    fn of(frame: &[u8], wanted: bool) -> Self {
        let bytes = wanted.then(|| frame[..frame.len().min(MAX_FRAME_START)].to_vec());
        Self { bytes, whole: frame.len() }
    }

    fn len(&self) -> usize {
        self.bytes.as_ref().map_or(0, Vec::len)
    }
}

impl Caught {
    fn bytes(&self) -> usize {
        self.arguments.len() + self.results.len()
    }
}

fn unix_before(duration: Duration) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(duration).as_nanos()).unwrap_or(u64::MAX)
}

impl<T: CellData> RunningApp<T> {
    /// Takes what a tap has caught since the last look; the first look makes it. `filter` is asked then. It is for a thread that is no
    /// call's: values are decoded here.
    ///
    /// # Errors
    /// When there are too many.
    pub fn tap(&self, id: u64, filter: impl FnOnce() -> TapFilter) -> Result<Catch, TooManyTaps> {
        let (caught, dropped) = self.0.taps().look(id, filter)?;
        let calls = caught.into_iter().map(|caught| self.0.decoded(caught)).collect();
        Ok(Catch { calls, dropped })
    }

    /// Takes a tap away.
    pub fn close_tap(&self, id: u64) {
        self.0.taps().retain(|tap| tap.id != id);
    }

    /// How many taps there are that somebody looks at.
    #[must_use]
    pub fn taps(&self) -> usize {
        self.0.taps().sweep();
        self.0.taps().taps.read().len()
    }
}

impl<T: CellData> LoadedApp<T> {
    fn decoded(&self, caught: Caught) -> TappedCall {
        let Caught { about, arguments, results } = caught;
        let types = match &about.of {
            Tapped::Call(call) => self.types().get(&(call.edge, call.function)),
            Tapped::Root(_) => None,
        };
        let (arguments, results) = match types {
            None => (None, None),
            Some(types) => (
                arguments.bytes.map(|bytes| types.parameters_text(&bytes, arguments.whole, MAX_TEXT)),
                results.bytes.map(|bytes| types.results_text(&bytes, results.whole, MAX_TEXT)),
            ),
        };
        TappedCall { about, arguments, results: results.filter(|text| !text.is_empty()) }
    }
}
