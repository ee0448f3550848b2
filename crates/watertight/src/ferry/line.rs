//! The caller's end of a line: many calls at once over one stream, each with a number of its own.
//!
//! When the stream ends, or the other end talks nonsense, every call under way is lost with it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::UnixStream,
    sync::{mpsc, oneshot},
};
use watertight_model::failure::CallError;
use watertight_runtime::FarCall;

use super::wire::{self, ToCaller, ToKeeper};

/// Messages that wait to be written; who has more to say waits.
const MAX_UNWRITTEN: usize = 64;

type Answer = Result<Vec<u8>, CallError>;

/// Who waits for which call's answer.
type Waiting = HashMap<u64, oneshot::Sender<Answer>>;

/// Calls go in here. Clones are of the same line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    next: Arc<AtomicU64>,
    unwritten: mpsc::Sender<Vec<u8>>,
    /// None once the line is dead.
    waiting: Arc<Mutex<Option<Waiting>>>,
}

impl Line {
    /// Over a stream to the keeper; needs a runtime.
    pub(super) fn open(stream: UnixStream) -> Self {
        let (incoming, outgoing) = stream.into_split();
        let (unwritten, messages) = mpsc::channel(MAX_UNWRITTEN);
        let line = Self { next: Arc::default(), unwritten, waiting: Arc::new(Mutex::new(Some(HashMap::new()))) };
        tokio::spawn(write(outgoing, messages));
        tokio::spawn(line.clone().read(incoming));
        line
    }

    pub(super) fn is_open(&self) -> bool {
        self.waiting.lock().is_some() && !self.unwritten.is_closed()
    }

    /// Makes a call; none if the line dies first. Dropping the future takes it back.
    pub(super) async fn call(&self, call: FarCall) -> Option<Answer> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().as_mut()?.insert(id, sender);
        let mut asked = Asked { line: self, id, done: false };
        self.unwritten.send(ToKeeper::Call(id, call).write()).await.ok()?;
        let answer = answer.await.ok();
        asked.done = true;
        answer
    }

    async fn read(self, mut incoming: impl AsyncRead + Unpin) {
        while let Ok(Some(bytes)) = wire::next(&mut incoming).await {
            let Ok(ToCaller { id, result }) = ToCaller::read(bytes) else {
                tracing::warn!("the worker that has the node's components talks nonsense: its line is cut");
                break;
            };
            let asked = self.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&id));
            if let Some(asked) = asked {
                // Who asked may have given up.
                let _ = asked.send(result);
            }
        }
        // Everyone who waits learns it by this.
        *self.waiting.lock() = None;
    }
}

/// A call that waits for its answer.
struct Asked<'a> {
    line: &'a Line,
    id: u64,
    done: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Some(waiting) = self.line.waiting.lock().as_mut() {
            waiting.remove(&self.id);
        }
        // Where there is no room to say so, it ends by its deadline.
        let _ = self.line.unwritten.try_send(ToKeeper::TakeBack(self.id).write());
    }
}

/// Writes messages until nobody has any more, or the stream takes none.
async fn write(mut outgoing: impl AsyncWrite + Unpin, mut messages: mpsc::Receiver<Vec<u8>>) {
    while let Some(message) = messages.recv().await {
        if outgoing.write_all(&message).await.is_err() {
            return;
        }
    }
}
