//! Reloading: one at a time, whoever asks for it and however many do.
//!
//! ```text
//!  SIGHUP, POST /v1/reload ──▶ Reloads ── read, check, compile (a thread) ──▶ put in place ──▶ answer to all who asked before it began
//! ```
//!
//! Whoever asks while one is under way gets an answer about the next one: what was changed after the files were read is in none.

use std::{fmt, io, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    time::Instant,
};
use watertight_model::event::{Event, EventSink, ReloadEnd};

use crate::{node::CompiledNode, orders::Orders};

/// Requests for a reload that wait.
const MAX_WAITING: usize = 32;

/// Reads an app anew, as it is now: checks it and compiles it. It is called on a thread of its own.
pub type ReadAnew<X> = Arc<dyn Fn() -> Result<Anew<X>, Rejection> + Send + Sync>;

/// An app that was read anew and is sound.
#[derive(Debug)]
pub struct Anew<X> {
    /// What workers need to know of it.
    pub orders: Orders<X>,
    /// The app, compiled.
    pub node: CompiledNode,
    /// What people should be told of it all the same.
    pub warnings: String,
}

/// An app that cannot take the place of the one that runs: everything that is wrong with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rejection {
    /// In one line.
    pub message: String,
    /// For people, with the places in its files.
    pub text: String,
    /// How `watertight check` would end.
    pub exit: u8,
    /// For machines.
    pub problems: serde_json::Value,
}

/// A reload that was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// The app's name.
    pub app: String,
    /// The app's own version.
    pub version: String,
    /// How many there have been: 1 was before the first reload.
    pub generation: u32,
    /// From the request to the last worker's replacement.
    pub took_ms: u64,
    /// What people should be told of the app all the same.
    pub warnings: String,
}

/// Why an app goes on as it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReloadError {
    /// The app is not sound.
    #[error("the app was not reloaded: {}", .0.message)]
    Rejected(Rejection),
    /// It is sound, and yet it could not be started.
    #[error("the app was not reloaded, and the one before it serves on: {0}")]
    RolledBack(String),
    /// It is not the time.
    #[error("the app was not reloaded: {0}")]
    Refused(String),
}

/// Asks for reloads. Clones ask the same one.
#[derive(Clone, Debug)]
pub(crate) struct ReloadHandle {
    wanted: mpsc::Sender<Waiting>,
}

type Answer = Result<Reloaded, ReloadError>;
type Waiting = oneshot::Sender<Answer>;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Reloads {
    wanted: mpsc::Receiver<Waiting>,
    hangup: Signal,
    _handle: ReloadHandle,
}

impl ReloadHandle {
    /// Asks for a reload, and waits for its end.
    pub(crate) async fn reload(&self) -> Answer {
        let (waiting, answer) = oneshot::channel();
        if self.wanted.try_send(waiting).is_err() {
            return Err(ReloadError::Refused(format!("{MAX_WAITING} requests wait for one already")));
        }
        answer.await.unwrap_or_else(|_| Err(ReloadError::Refused("the node is stopping".to_owned())))
    }
}

impl Reloads {
    /// SIGHUP asks for one, too.
    pub(crate) fn new(hangup: Signal) -> (ReloadHandle, Self) {
        let (wanted, taken) = mpsc::channel(MAX_WAITING);
        let handle = ReloadHandle { wanted };
        (handle.clone(), Self { wanted: taken, hangup, _handle: handle })
    }

    /// Does one after the other, for as long as it is polled: reads the app anew and has `put` put it in place, which says the
    /// generation's number.
    pub(crate) async fn work<X: Send + 'static, N>(
        mut self,
        read: &ReadAnew<X>,
        events: &dyn EventSink,
        mut put: impl AsyncFnMut(Orders<X>, CompiledNode) -> Result<u32, ReloadError>,
    ) -> N {
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                _ = self.hangup.recv() => {}
                Some(asked) = self.wanted.recv() => waiting.push(asked),
            }
            while let Ok(asked) = self.wanted.try_recv() {
                waiting.push(asked);
            }
            let began = Instant::now();
            let answer = match on_a_thread(Arc::clone(read)).await {
                Ok(Anew { orders, node, warnings }) => {
                    let (app, version) = (node.app().name.clone(), node.app().version.clone());
                    let put = put(orders, node).await;
                    put.map(|generation| Reloaded {
                        app,
                        version,
                        generation,
                        took_ms: millis(began.elapsed()),
                        warnings,
                    })
                }
                Err(error) => Err(error),
            };
            events.emit(Event::Reload(match &answer {
                Ok(done) => ReloadEnd::Done { generation: done.generation, version: done.version.clone() },
                Err(error) => ReloadEnd::Failed { why: error.to_string() },
            }));
            for asked in waiting {
                // Who asked may be gone.
                let _ = asked.send(answer.clone());
            }
        }
    }
}

/// Reads on a thread that nothing waits for at the end of the process.
async fn on_a_thread<X: Send + 'static>(read: ReadAnew<X>) -> Result<Anew<X>, ReloadError> {
    let (done, result) = oneshot::channel();
    let run = move || drop(done.send(read()));
    let refused = |error: &dyn fmt::Display| ReloadError::Refused(format!("cannot start a thread: {error}"));
    let started: io::Result<_> = std::thread::Builder::new().name("reload".to_owned()).spawn(run);
    started.map_err(|error| refused(&error))?;
    match result.await {
        Ok(read) => read.map_err(ReloadError::Rejected),
        Err(_) => Err(ReloadError::Refused("reading the app panicked: please report it".to_owned())),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
