//! Calls with the very frames that crossed, for who writes them down: a tap ([`tap`](crate::tap)) that keeps whole frames.
//!
//! It copies what crosses the edges that somebody records, and nothing else; how much waits to be taken is bounded, and what does not fit
//! is dropped and counted. No file is known here: a disk that is slow or full is the matter of who takes.

use watertight_model::{
    app::{EdgeId, FunctionId},
    event::Call,
    trace::SpanId,
};

use crate::{
    app::RunningApp,
    host::CellData,
    tap::{About, Caught, Start, TapFilter, Tapped, TooManyTaps},
};

/// The largest frame that is recorded; of a call with a larger one it is only told that there was one.
pub const MAX_RECORDED_FRAME: usize = 2 << 20;

/// Calls that wait to be taken, and bytes of their frames.
pub(crate) const MAX_RECORDING: usize = 1 << 16;
pub(crate) const MAX_RECORDING_BYTES: usize = 64 << 20;

/// A call, with what crossed.
#[derive(Clone, Debug)]
pub struct RecordedCall {
    /// What it was, and how it ended.
    pub call: Call,
    /// When it began, in nanoseconds since 1970.
    pub began_ns: u64,
    /// Itself and what it is part of; 0 where it began before anybody recorded.
    pub span: SpanId,
    /// What it is part of.
    pub parent: SpanId,
    /// Its arguments.
    pub arguments: RecordedFrame,
    /// What its caller got: the results, or what the manifest sets for a failure; none where that was a trap.
    pub results: RecordedFrame,
}

/// What is known of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedFrame {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// It held handles, streams or futures, which mean nothing outside their cells.
    Handles,
    /// It had more bytes than [`MAX_RECORDED_FRAME`]: so many.
    TooLarge(u64),
    /// There was none.
    None,
}

/// What was recorded since the last look.
#[derive(Debug, Default)]
pub struct Recorded {
    /// In the order in which they ended.
    pub calls: Vec<RecordedCall>,
    /// How many there was no room for.
    pub dropped: u64,
}

/// The types of a function, written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Those of its parameters, as a tuple.
    pub parameters: String,
    /// That of its result, as a tuple of none or one.
    pub results: String,
    /// Its values hold handles, streams or futures.
    pub handles: bool,
}

impl<T: CellData> RunningApp<T> {
    /// Takes what was recorded since the last look, as much as comes to `most` bytes of frames, and at least one call; the first look
    /// begins. `filter` is asked then. It lasts as a tap does, and is closed as one.
    ///
    /// # Errors
    /// When there are too many taps.
    pub fn record_calls(
        &self,
        id: u64,
        most: usize,
        filter: impl FnOnce() -> TapFilter,
    ) -> Result<Recorded, TooManyTaps> {
        let whole = || TapFilter { whole: true, ..filter() };
        let (caught, dropped) = self.0.taps().look(id, most, whole)?;
        Ok(Recorded { calls: caught.into_iter().filter_map(recorded).collect(), dropped })
    }

    /// The types of a function that crosses.
    #[must_use]
    pub fn described(&self, edge: EdgeId, function: FunctionId) -> Option<Described> {
        self.0.types().get(&(edge, function)).map(crate::membrane::FunctionTypes::described)
    }
}

fn recorded(caught: Caught) -> Option<RecordedCall> {
    let Caught { about: About { of, began_ns, span, parent, .. }, arguments, results } = caught;
    let Tapped::Call(call) = of else { return None };
    let (arguments, results) = (frame(arguments), frame(results));
    Some(RecordedCall { call, began_ns, span, parent, arguments, results })
}

fn frame(kept: Start) -> RecordedFrame {
    match kept {
        Start { handles: true, .. } => RecordedFrame::Handles,
        Start { bytes: Some(bytes), .. } => RecordedFrame::Bytes(bytes),
        Start { bytes: None, whole: 0, .. } => RecordedFrame::None,
        Start { bytes: None, whole, .. } => RecordedFrame::TooLarge(whole as u64),
    }
}
