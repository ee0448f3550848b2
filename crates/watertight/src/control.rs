//! What a supervisor and a worker say to each other over the Unix stream between them: frames of JSON, each after its length.
//!
//! ```text
//!  supervisor ── Seat (with the listening socket), Ask(State), Retire ──▶ worker
//!             ◀── Ready, Failed(why), Answer(..) ──────────────────────
//! ```
//!
//! Both directions are bounded: what is longer than it may be ends the conversation. It carries no guest's calls, and whoever
//! has nothing to say for long is asked again, never waited for.

use std::{collections::VecDeque, io};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    ears::{EventsTaken, EventsWanted},
    faults::FaultOrders,
    ferry::Placement,
    operate::CellStatus,
    record::{RecordTaken, RecordWanted},
    status::WorkerReport,
    tap::{TapTaken, TapWanted},
};

/// The longest frame that a worker reads. It fits an empty socket buffer in one piece, so that it is sent whole or not at all.
pub(crate) const MAX_TO_WORKER: usize = 16 << 10;

/// The longest frame that a supervisor reads: the state of some ten thousand components and edges.
pub(crate) const MAX_TO_SUPERVISOR: usize = 8 << 20;

/// Bytes of a frame's length.
const LENGTH: usize = 4;

/// What a supervisor says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// Serve; the listening socket comes with it.
    Seat {
        /// The worker's number.
        worker: u32,
    },
    /// Have the components that the node has once.
    Keep,
    /// Another worker calls those over the socket that comes with it.
    Caller,
    /// Call those over the socket that comes with it.
    Keeper,
    /// Drain and end; there is no hurry, because another serves in its place.
    Retire,
    /// Answer this.
    Ask {
        /// What the answer must have.
        id: u64,
        /// What is asked.
        ask: Ask,
    },
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToSupervisor {
    /// It can serve.
    Ready,
    /// It will not serve, and why.
    Failed(String),
    /// An answer.
    Answer {
        /// To which question.
        id: u64,
        /// The answer.
        answer: Answer,
    },
}

/// What a worker can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// What its components have done and hold.
    State,
    /// Have calls suffer these faults from now on, or none.
    Faults(Option<FaultOrders>),
    /// What a tap has seen.
    Tap(TapWanted),
    /// What has happened.
    Events(EventsWanted),
    /// Its cells, of one component or of all.
    Cells(Option<String>),
    /// Throw out the cells of a component, or this one: its process, and its number there.
    Eject(String, Option<(u32, u64)>),
    /// Have the residents of a component replaced.
    Restart(String),
    /// What was recorded.
    Record(RecordWanted),
}

/// What a worker answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::State`].
    State(WorkerReport),
    /// To [`Ask::Faults`]: so it is.
    Done,
    /// To [`Ask::Tap`].
    Tapped(TapTaken),
    /// To [`Ask::Events`].
    Happened(EventsTaken),
    /// To [`Ask::Cells`].
    Cells(Vec<CellStatus>),
    /// To [`Ask::Eject`] and [`Ask::Restart`]: so many cells.
    Operated(u64),
    /// To [`Ask::Record`].
    Recorded(RecordTaken),
    /// It cannot, and why: it is still loading, for instance.
    Refused(String),
}

/// What answers a worker's supervisor. It is asked on a thread of its own, whatever the guests are doing, and must not wait.
pub(crate) trait Desk: Send + Sync + 'static {
    /// Answers.
    fn answer(&self, ask: Ask) -> Answer;

    /// Heeds who has the components that the node has once.
    fn place(&self, placement: Placement);
}

/// A frame that must not be sent or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a message of {0} bytes is longer than it may be")]
    TooLong(usize),
    #[error("a message that is none: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// A message as it goes over the wire.
pub(crate) fn frame(message: &impl Serialize, most: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; LENGTH];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - LENGTH;
    let stated = u32::try_from(length).ok().filter(|_| length <= most).ok_or(FrameError::TooLong(length))?;
    bytes[..LENGTH].copy_from_slice(&stated.to_le_bytes());
    Ok(bytes)
}

/// Puts together what came in pieces.
#[derive(Debug)]
pub(crate) struct Frames {
    bytes: VecDeque<u8>,
    most: usize,
}

impl Frames {
    /// No frame may be longer than this.
    pub(crate) fn new(most: usize) -> Self {
        Self { bytes: VecDeque::new(), most }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next message that is there whole.
    pub(crate) fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let mut stated = [0; LENGTH];
        if self.bytes.len() < LENGTH {
            return Ok(None);
        }
        for (to, from) in stated.iter_mut().zip(&self.bytes) {
            *to = *from;
        }
        let length = usize::try_from(u32::from_le_bytes(stated)).unwrap_or(usize::MAX);
        if length > self.most {
            return Err(FrameError::TooLong(length));
        }
        if self.bytes.len() - LENGTH < length {
            return Ok(None);
        }
        self.bytes.drain(..LENGTH);
        let message: Vec<u8> = self.bytes.drain(..length).collect();
        Ok(Some(serde_json::from_slice(&message)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_arrive_in_order_however_they_are_cut() {
        let said = (0..20).map(|id| ToWorker::Ask { id, ask: Ask::State }).collect::<Vec<_>>();
        let wire: Vec<u8> =
            said.iter().flat_map(|message| frame(message, MAX_TO_WORKER).expect("it is short")).collect();
        for piece in [1, 3, 7, 1000] {
            let mut frames = Frames::new(MAX_TO_WORKER);
            let mut heard = Vec::new();
            for bytes in wire.chunks(piece) {
                frames.push(bytes);
                while let Some(message) = frames.next::<ToWorker>().expect("it is sound") {
                    heard.push(message);
                }
            }
            assert_eq!(format!("{heard:?}"), format!("{said:?}"));
        }
    }

    #[test]
    fn what_is_too_long_is_neither_sent_nor_waited_for() {
        assert!(matches!(frame(&"x".repeat(100), 50), Err(FrameError::TooLong(102))));
        let mut frames = Frames::new(50);
        frames.push(&51_u32.to_le_bytes());
        assert!(matches!(frames.next::<ToWorker>(), Err(FrameError::TooLong(51))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut frames = Frames::new(64);
            frames.push(&bytes);
            while let Ok(Some(_)) = frames.next::<ToSupervisor>() {}
        }
    }
}
