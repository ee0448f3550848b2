//! The keeper's end of a line: makes the calls of one other worker, as many at once as there are, in whatever order they end.
//!
//! A caller that sends what cannot be a call is cut off, and every call of its that is under way with it.

use std::{collections::HashMap, sync::Arc};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{AbortHandle, Id, JoinError, JoinSet},
};
use watertight_host::HostCell;
use watertight_model::failure::{CallError, FailureKind};
use watertight_runtime::{AppView, FarCall, ReceiveError};

use super::wire::{self, ToCaller, ToKeeper};

/// Calls of one other worker at once. Its own gates let fewer out.
const MAX_CALLS: usize = 1 << 14;

/// Answers that wait to be written; calls that have one more wait with it.
const MAX_UNWRITTEN: usize = 64;

/// Bytes of results that wait for one other worker, in either place. There is room for the largest one twice.
const MAX_UNWRITTEN_BYTES: usize = 256 << 20;

/// What their room is counted in.
const UNIT_BYTES: usize = 1 << 10;

/// Serves the calls that come over a stream until it ends.
pub(super) async fn serve(stream: UnixStream, running: AppView<HostCell>) {
    let (mut incoming, outgoing) = stream.into_split();
    let (answers, unwritten) = Answers::new(MAX_UNWRITTEN_BYTES);
    let writing = tokio::spawn(write(outgoing, unwritten));
    let mut calls = Calls { running, answers, under_way: JoinSet::new(), by_id: HashMap::new(), ids: HashMap::new() };
    // Whoever reads a message must not be cut off in the middle of it.
    let (pass, mut messages) = mpsc::channel(1);
    let reading = tokio::spawn(async move {
        while let Ok(Some(bytes)) = wire::next(&mut incoming).await {
            if pass.send(bytes).await.is_err() {
                return;
            }
        }
    });
    loop {
        let heard = tokio::select! {
            message = messages.recv() => match message {
                Some(bytes) => calls.hear(bytes),
                None => break,
            },
            Some(ended) = calls.under_way.join_next_with_id(), if !calls.under_way.is_empty() => calls.ended(&ended),
        };
        if let Err(why) = heard {
            tracing::warn!(why, "another worker sends what cannot be a call: its line is cut");
            break;
        }
    }
    reading.abort();
    calls.under_way.shutdown().await;
    writing.abort();
}

/// The calls under way.
struct Calls {
    running: AppView<HostCell>,
    answers: Answers,
    under_way: JoinSet<Result<(), &'static str>>,
    by_id: HashMap<u64, AbortHandle>,
    ids: HashMap<Id, u64>,
}

type Ended = Result<(Id, Result<(), &'static str>), JoinError>;

impl Calls {
    fn hear(&mut self, bytes: Vec<u8>) -> Result<(), &'static str> {
        match ToKeeper::read(bytes).map_err(|_| "a message that is none")? {
            ToKeeper::TakeBack(id) => {
                if let Some(call) = self.by_id.remove(&id) {
                    call.abort();
                }
                Ok(())
            }
            ToKeeper::Call(..) if self.under_way.len() >= MAX_CALLS => Err("more calls than its gates let out"),
            ToKeeper::Call(id, _) if self.by_id.contains_key(&id) => Err("two calls of one number"),
            ToKeeper::Call(id, call) => {
                let making = make(self.running.clone(), self.answers.clone(), id, call);
                let handle = self.under_way.spawn(making);
                self.ids.insert(handle.id(), id);
                self.by_id.insert(id, handle);
                Ok(())
            }
        }
    }

    fn ended(&mut self, ended: &Ended) -> Result<(), &'static str> {
        let task = match ended {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        if let Some(id) = self.ids.remove(&task) {
            self.by_id.remove(&id);
        }
        // One that was taken back, or panicked in the host, has no answer: its caller waits for none, or until its deadline.
        ended.as_ref().map_or(Ok(()), |(_, result)| *result)
    }
}

async fn make(running: AppView<HostCell>, answers: Answers, id: u64, call: FarCall) -> Result<(), &'static str> {
    let result = match running.running() {
        Some(running) => match running.receive(call).await {
            Ok(results) => Ok(results),
            Err(ReceiveError::Failed(error)) => Err(error),
            Err(ReceiveError::Hostile(why)) => return Err(why),
        },
        None => Err(CallError {
            kind: FailureKind::WallLost,
            component: String::new(),
            detail: "the worker that has it is about to end".to_owned(),
        }),
    };
    answers.put(ToCaller { id, result }).await;
    Ok(())
}

/// Where answers wait to be written. Clones are of the same line.
#[derive(Clone)]
struct Answers {
    unwritten: mpsc::Sender<Unwritten>,
    room: Arc<Semaphore>,
}

/// An answer that waits, and its room until it is written.
struct Unwritten {
    message: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Answers {
    fn new(most: usize) -> (Self, mpsc::Receiver<Unwritten>) {
        let (unwritten, answers) = mpsc::channel(MAX_UNWRITTEN);
        (Self { unwritten, room: Arc::new(Semaphore::new(most / UNIT_BYTES)) }, answers)
    }

    /// Has an answer written. Results for which there is no room, because the other worker does not take those it asked for, are dropped,
    /// and their call has failed.
    async fn put(&self, mut answer: ToCaller) {
        let mut taken = None;
        if let Ok(results) = &answer.result {
            let units = u32::try_from(results.len() / UNIT_BYTES + 1).unwrap_or(u32::MAX);
            match Arc::clone(&self.room).try_acquire_many_owned(units) {
                Ok(room) => taken = Some(room),
                Err(_) => answer.result = Err(crowded()),
            }
        }
        // Where the line is gone, nobody waits for it.
        let _ = self.unwritten.send(Unwritten { message: answer.write(), _room: taken }).await;
    }
}

fn crowded() -> CallError {
    CallError {
        kind: FailureKind::QueueFull,
        component: String::new(),
        detail: format!(
            "{} MiB of results wait for the calling worker, which does not take them",
            MAX_UNWRITTEN_BYTES >> 20
        ),
    }
}

/// Writes answers until nobody has any more, or the stream takes none.
async fn write(mut outgoing: impl AsyncWrite + Unpin, mut answers: mpsc::Receiver<Unwritten>) {
    while let Some(answer) = answers.recv().await {
        if outgoing.write_all(&answer.message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn results_that_nobody_takes_are_kept_up_to_so_many_bytes() {
        let (answers, mut unwritten) = Answers::new(4 * UNIT_BYTES);
        let put = |id| {
            let answer = ToCaller { id, result: Ok(vec![0; UNIT_BYTES]) };
            answers.put(answer).now_or_never().expect("there are places");
        };
        (0..3).for_each(put);
        let mut failure = || {
            let answer = unwritten.try_recv().expect("each is answered");
            ToCaller::read(answer.message[4..].to_vec()).expect("it is sound").result.err().map(|error| error.kind)
        };
        assert_eq!([failure(), failure(), failure()], [None, None, Some(FailureKind::QueueFull)]);
        // What was written has made room.
        put(3);
        assert_eq!(failure(), None);
    }
}
