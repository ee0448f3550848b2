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
//! one that was left alone for some seconds goes with the next call, or with the next look at any tap. A tap that records
//! ([`record`](crate::record)) keeps whole frames, and more of them.

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
    clock::Moment,
    host::CellData,
    membrane::Frame,
    record::{MAX_RECORDED_FRAME, MAX_RECORDING, MAX_RECORDING_BYTES},
    trace::cut_off,
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
    /// Whole, as they crossed: for [`RunningApp::record_calls`]. Those that are redacted, too: who asks for that has a reason.
    pub whole: bool,
}

impl TapFilter {
    /// How many calls may wait for who looks, and how many bytes of their frames.
    fn room(&self) -> (usize, usize) {
        if self.whole { (MAX_RECORDING, MAX_RECORDING_BYTES) } else { (MAX_WAITING, MAX_WAITING_BYTES) }
    }

    /// What is kept of frames.
    fn kept(&self, redacted: bool) -> Kept {
        match (self.whole, self.values && !redacted) {
            (true, _) => Kept::Whole,
            (false, true) => Kept::Start,
            (false, false) => Kept::Nothing,
        }
    }
}

/// How much of a frame is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Nothing,
    Start,
    Whole,
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
pub(crate) struct Caught {
    pub(crate) about: About,
    pub(crate) arguments: Start,
    pub(crate) results: Start,
}

/// What was kept of a frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// Its start, or all of it; none where that is not wanted, or too much.
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) whole: usize,
    /// It has handles, which mean something in their cells only.
    pub(crate) handles: bool,
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
    /// What is told of it if it is cut off.
    tree: TreeId,
    function: (EdgeId, FunctionId),
    bytes_in: u64,
    began: Moment,
}

/// A call that begins.
pub(crate) struct Beginning<'a> {
    pub(crate) tree: TreeId,
    pub(crate) function: (EdgeId, FunctionId),
    pub(crate) at: Moment,
    pub(crate) arguments: &'a Frame,
    pub(crate) redacted: bool,
    /// What it is part of, and itself.
    pub(crate) spans: (SpanId, SpanId),
}

impl Taps {
    pub(crate) fn any(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Begins to watch a call, if a tap wants it.
    #[cold]
    pub(crate) fn watch(&self, beginning: Beginning<'_>) -> Option<Box<Watched>> {
        let Beginning { tree, function, at: began, arguments, redacted, spans: (parent, span) } = beginning;
        let wants =
            |tap: &&Arc<Tap>| tap.filter.functions.as_ref().is_none_or(|functions| functions.contains(&function));
        let taps: Vec<_> = self.taps.read().iter().filter(wants).cloned().collect();
        let kept = taps.iter().map(|tap| tap.filter.kept(redacted)).max().unwrap_or(Kept::Nothing);
        if taps.is_empty() {
            return None;
        }
        let (arguments, bytes_in) = (Start::of(arguments, kept), arguments.len());
        Some(Box::new(Watched { taps, arguments, redacted, parent, span, tree, function, bytes_in, began }))
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
                || Caught { about: about.clone(), arguments: Start::default(), results: Start::default() },
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

    /// Takes what a tap has, as much as comes to so many bytes, and at least one call; the first look makes it.
    pub(crate) fn look(
        &self,
        id: u64,
        most: usize,
        filter: impl FnOnce() -> TapFilter,
    ) -> Result<(Vec<Caught>, u64), TooManyTaps> {
        self.sweep();
        let known = self.taps.read().iter().find(|tap| tap.id == id).cloned();
        if let Some(tap) = known {
            let mut waiting = tap.waiting.lock();
            waiting.looked = Instant::now();
            let (mut taken, mut bytes) = (Vec::new(), 0_usize);
            while let Some(next) = waiting.calls.front().map(Caught::bytes)
                && taken.len() < MAX_TAKEN
                && (taken.is_empty() || bytes.saturating_add(next) <= most)
            {
                bytes += next;
                taken.extend(waiting.calls.pop_front());
            }
            waiting.bytes -= bytes;
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
    fn catch(&self, caught: impl FnOnce() -> Caught, about: &About) {
        let (outcome, took) = about.of.outcome();
        let wanted = (!self.filter.failed || matches!(outcome, Outcome::Failed(_)))
            && self.filter.slow.is_none_or(|slow| took >= slow);
        if !wanted {
            return;
        }
        let caught = caught();
        let bytes = caught.bytes();
        let (most, most_bytes) = self.filter.room();
        let mut waiting = self.waiting.lock();
        if waiting.calls.len() >= most || waiting.bytes + bytes > most_bytes {
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
            let caught = || {
                let kept = tap.filter.kept(self.redacted);
                let results = results.map(|results| Start::of(results, kept)).unwrap_or_default();
                Caught { about: about.clone(), arguments: self.arguments.less(kept), results }
            };
            tap.catch(caught, &about);
        }
    }
}

/// A call whose caller was cut off.
impl Drop for Watched {
    fn drop(&mut self) {
        if !self.taps.is_empty() {
            let (edge, function) = self.function;
            let took = Moment::now().since(self.began);
            self.tell(Call { bytes_in: self.bytes_in, ..cut_off(self.tree, edge, function, took) }, None);
        }
    }
}

impl Start {
    fn of(frame: &Frame, kept: Kept) -> Self {
        let whole = frame.bytes.len();
        let bytes = match kept {
            Kept::Nothing => None,
            Kept::Start => Some(frame.bytes[..whole.min(MAX_FRAME_START)].to_vec()),
            Kept::Whole => (whole <= MAX_RECORDED_FRAME).then(|| frame.bytes.clone()),
        };
        Self { bytes, whole, handles: !frame.handles.is_empty() }
    }

    /// The same, of which no more is kept than this.
    fn less(&self, kept: Kept) -> Self {
        let bytes = self.bytes.as_deref();
        let bytes = match kept {
            Kept::Nothing => None,
            Kept::Start => bytes.map(|bytes| bytes[..bytes.len().min(MAX_FRAME_START)].to_vec()),
            Kept::Whole => bytes.map(<[u8]>::to_vec),
        };
        Self { bytes, ..*self }
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
        let (caught, dropped) = self.0.taps().look(id, MAX_WAITING_BYTES, filter)?;
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
