//! Calls of components that a node has once: from the workers that call them to the one that has them, its keeper.
//!
//! ```text
//!  caller's worker ── line: a Unix stream, many calls at once ──▶ keeper's worker
//!       NodeFerry ──── wire ────────────────────────────────────▶ quay ── RunningApp::receive
//! ```
//!
//! The supervisor makes the streams and says who is the keeper; nobody else can connect. When the keeper dies, the calls that are
//! under way fail with `wall-lost`, and those that come wait for the next keeper within their deadline. Both ends take what comes over
//! a line for hostile.

mod line;
mod quay;
mod wire;

use std::{
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout_at,
};
use watertight_host::HostCell;
use watertight_model::{
    app::{App, ComponentId},
    failure::{CallError, FailureKind},
};
use watertight_runtime::{AppView, FarCall, Ferry, ReceiveError};

use self::line::Line;

/// What the supervisor says about who has the node's components.
#[derive(Debug)]
pub(crate) enum Placement {
    /// This worker has them.
    Keep,
    /// Calls of another worker come here.
    Caller(OwnedFd),
    /// Calls go there.
    Keeper(OwnedFd),
}

/// Placements that wait to be heeded: the supervisor says little.
pub(crate) const MAX_PLACEMENTS: usize = 1 << 12;

/// One worker's part.
pub(crate) struct NodeFerry {
    app: Arc<App>,
    running: AppView<HostCell>,
    place: watch::Sender<Place>,
    /// Workers whose calls come here.
    callers: watch::Sender<usize>,
}

/// Who has the node's components, as far as this worker knows.
#[derive(Clone, Debug)]
enum Place {
    /// Nobody, or it has not been said yet.
    Nobody,
    /// This worker.
    Here,
    /// The worker at the other end.
    There(Line),
}

impl NodeFerry {
    pub(crate) fn new(app: Arc<App>, running: AppView<HostCell>) -> Arc<Self> {
        Arc::new(Self { app, running, place: watch::Sender::new(Place::Nobody), callers: watch::Sender::new(0) })
    }

    /// Heeds what the supervisor says, for as long as it is polled.
    pub(crate) async fn heed(self: Arc<Self>, mut placements: mpsc::Receiver<Placement>) {
        let mut quays = JoinSet::new();
        loop {
            let placement = tokio::select! {
                Some(placement) = placements.recv() => placement,
                Some(_) = quays.join_next(), if !quays.is_empty() => {
                    self.callers.send_replace(quays.len());
                    continue;
                }
                else => return,
            };
            match placement {
                Placement::Keep => {
                    self.place.send_replace(Place::Here);
                    if let Some(running) = self.running.running() {
                        running.begin();
                    }
                }
                Placement::Keeper(socket) => match stream(socket) {
                    Ok(stream) => drop(self.place.send_replace(Place::There(Line::open(stream)))),
                    Err(error) => tracing::warn!(%error, "no line to the worker that has the node's components"),
                },
                Placement::Caller(socket) => match stream(socket) {
                    Ok(stream) => {
                        quays.spawn(quay::serve(stream, self.running.clone()));
                        self.callers.send_replace(quays.len());
                    }
                    Err(error) => tracing::warn!(%error, "no line from another worker"),
                },
            }
        }
    }

    /// Waits until no other worker calls what is here any more, but not longer than this.
    pub(crate) async fn linger(&self, within: Duration) {
        let mut callers = self.callers.subscribe();
        // What goes on calling after that has drained for too long itself.
        let _ = tokio::time::timeout(within, callers.wait_for(|callers| *callers == 0)).await;
    }

    /// Makes a call wherever the component is by the time that it has a place.
    async fn call(self: Arc<Self>, mut call: FarCall) -> Result<Vec<u8>, CallError> {
        let deadline = Instant::now() + call.remaining;
        let mut place = self.place.subscribe();
        let found = {
            let settled = place.wait_for(|place| match place {
                Place::Nobody => false,
                Place::Here => true,
                Place::There(line) => line.is_open(),
            });
            match timeout_at(deadline.into(), settled).await {
                Ok(Ok(place)) => place.clone(),
                Ok(Err(_)) | Err(_) => return Err(self.lost(call.component, NOBODY)),
            }
        };
        call.remaining = deadline.saturating_duration_since(Instant::now());
        match found {
            Place::There(line) => {
                let component = call.component;
                line.call(call).await.unwrap_or_else(|| Err(self.lost(component, GONE)))
            }
            Place::Here | Place::Nobody => {
                let Some(running) = self.running.running() else { return Err(self.lost(call.component, NOBODY)) };
                let component = call.component;
                running.receive(call).await.map_err(|error| match error {
                    ReceiveError::Failed(error) => error,
                    ReceiveError::Hostile(why) => self.lost(component, why),
                })
            }
        }
    }

    fn lost(&self, component: ComponentId, why: &str) -> CallError {
        let component = self.app.component(component).name.clone();
        CallError { kind: FailureKind::WallLost, component, detail: why.to_owned() }
    }
}

/// What is said of a call whose other end died.
const GONE: &str = "the worker that has it is gone; another gets it";

/// What is said of a call that found nobody to go to.
const NOBODY: &str = "no worker has it yet, and the deadline passed";

/// The ferry as calls know it.
pub(crate) struct Quayside(pub(crate) Arc<NodeFerry>);

impl Ferry for Quayside {
    fn is_here(&self) -> bool {
        matches!(*self.0.place.borrow(), Place::Here)
    }

    fn carry(&self, call: FarCall) -> BoxFuture<'static, Result<Vec<u8>, CallError>> {
        Box::pin(Arc::clone(&self.0).call(call))
    }
}

impl std::fmt::Debug for NodeFerry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeFerry").field("place", &*self.place.borrow()).finish_non_exhaustive()
    }
}

fn stream(socket: OwnedFd) -> std::io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
