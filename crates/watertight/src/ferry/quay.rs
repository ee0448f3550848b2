//! The keeper's end of a line: makes the calls of one other worker, as many at once as there are, in whatever order they end.
//!
//! A caller that sends what cannot be a call is cut off, and every call of its that is under way with it.

use std::collections::HashMap;

use tokio::{
    net::UnixStream,
    sync::mpsc,
    task::{AbortHandle, Id, JoinError, JoinSet},
};
use watertight_host::HostCell;
use watertight_model::failure::{CallError, FailureKind};
use watertight_runtime::{AppView, FarCall, ReceiveError};

use super::{
    line,
    wire::{self, ToCaller, ToKeeper},
};

/// Calls of one other worker at once. Its own gates let fewer out.
const MAX_CALLS: usize = 1 << 14;

/// Answers that wait to be written; calls that have one more wait with it.
const MAX_UNWRITTEN: usize = 64;

/// Serves the calls that come over a stream until it ends.
pub(super) async fn serve(stream: UnixStream, running: AppView<HostCell>) {
    let (mut incoming, outgoing) = stream.into_split();
    let (answers, unwritten) = mpsc::channel(MAX_UNWRITTEN);
    let writing = tokio::spawn(line::write(outgoing, unwritten));
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
    answers: mpsc::Sender<Vec<u8>>,
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

async fn make(
    running: AppView<HostCell>,
    answers: mpsc::Sender<Vec<u8>>,
    id: u64,
    call: FarCall,
) -> Result<(), &'static str> {
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
    // Where the line is gone, nobody waits for it.
    let _ = answers.send(ToCaller { id, result }.write()).await;
    Ok(())
}
