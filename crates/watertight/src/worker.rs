//! Serving by several processes: a worker's part. It loads what its orders say from the cache, where the supervisor has put it, and
//! serves on the socket that it is given.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;
use watertight_model::{app::App, event::EventSink};
use watertight_observe::Tally;
use watertight_runtime::{CompileCache, NoProgress};

use crate::{
    control::{Answer, Ask, Desk},
    ears::Ears,
    ferry::{MAX_PLACEMENTS, Placement},
    node::{AppDown, NodeError},
    orders::{Orders, OrdersError},
    serve::{ServeError, TlsFiles},
    status::Watch,
    supervisor::{SeatError, WorkerSeat},
};

/// From the end of the drain to the end of a worker: events are flushed, cells dropped.
pub(crate) const LEAVE: Duration = Duration::from_secs(5);

/// Why a worker did not serve.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It has no supervisor.
    #[error(transparent)]
    Seat(#[from] SeatError),
    /// It does not know what to do.
    #[error(transparent)]
    Orders(#[from] OrdersError),
    /// The app cannot be loaded, although the supervisor could.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The app cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The app gave up on its residents: another worker is to begin anew.
    #[error(transparent)]
    Down(#[from] AppDown),
    /// The system refuses.
    #[error("a worker cannot start: {0}")]
    Io(#[from] io::Error),
}

/// A worker's answers to its supervisor.
struct WorkerDesk {
    watch: Watch,
    placements: mpsc::Sender<Placement>,
}

impl Desk for WorkerDesk {
    fn answer(&self, ask: Ask) -> Answer {
        match ask {
            Ask::State => Answer::State(self.watch.report()),
            Ask::Faults(orders) => {
                self.watch.set_faults(orders.as_ref());
                Answer::Done
            }
            Ask::Tap(wanted) => Answer::Tapped(self.watch.tap(&wanted)),
            Ask::Events(wanted) => Answer::Happened(self.watch.events(&wanted)),
            Ask::Cells(component) => Answer::Cells(self.watch.cells(component.as_deref())),
            Ask::Eject(component, cell) => Answer::Operated(self.watch.eject(&component, cell)),
            Ask::Restart(component) => Answer::Operated(self.watch.restart(&component)),
            Ask::Record(wanted) => Answer::Recorded(self.watch.record(&wanted)),
        }
    }

    fn place(&self, placement: Placement) {
        // It is heeded for as long as the worker serves.
        let _ = self.placements.try_send(placement);
    }
}

/// Is a worker: reads its orders, loads the app from the cache, takes its socket and serves until dismissed. `events` gets the
/// app and what the supervisor's program added. Needs a runtime of one thread.
///
/// # Errors
/// Why it did not serve; the supervisor was told.
pub async fn work<X: Serialize + DeserializeOwned>(
    orders: &Path,
    events: impl FnOnce(&Arc<App>, X) -> Arc<dyn EventSink>,
) -> Result<(), WorkerError> {
    let orders = match Orders::<X>::read(orders) {
        Ok(orders) => orders,
        Err(error) => {
            WorkerSeat::take(LEAVE)?.decline(&error.to_string());
            return Err(error.into());
        }
    };
    let http = orders.http.clone();
    let seat = WorkerSeat::take(http.drain_timeout + LEAVE)?;
    match prepare(orders, events) {
        Ok((node, server, watch)) => {
            let (placements, heeded) = mpsc::channel(MAX_PLACEMENTS);
            let ferry = node.ferry();
            tokio::spawn(Arc::clone(&ferry).heed(heeded));
            seat.open_desk(Arc::new(WorkerDesk { watch, placements }));
            // The residents are up before the first request.
            node.warm().await;
            let post = seat.ready().await?;
            let listener = tokio::net::TcpListener::from_std(post.listener)?;
            let dismissed = post.dismissed.clone();
            let dismissed = async { (dismissed.begun().await, Instant::now()).1 };
            let served = async { tokio::join!(server.serve(listener, post.dismissed.clone()), dismissed).1 };
            let mut served = std::pin::pin!(served);
            let (since, down) = tokio::select! {
                since = &mut served => (since, None),
                down = node.down() => {
                    // What needs no resident may finish; who comes next waits in the socket for the next worker.
                    post.dismissed.now();
                    (served.await, Some(down))
                }
            };
            // Others may drain longer, and call what is here until they are done.
            if down.is_none() {
                ferry.linger(http.drain_timeout.saturating_sub(since.elapsed())).await;
            }
            node.shutdown().await;
            down.map_or(Ok(()), |down| Err(down.into()))
        }
        Err(error) => {
            seat.decline(&error.to_string());
            Err(error)
        }
    }
}

/// Everything that can fail, before the worker says that it is ready.
fn prepare<X>(
    orders: Orders<X>,
    events: impl FnOnce(&Arc<App>, X) -> Arc<dyn EventSink>,
) -> Result<(crate::Node, watertight_ingress::HttpServer<impl watertight_ingress::Handler>, Watch), WorkerError> {
    let checked = orders.app.check().map_err(NodeError::from)?;
    let tls = orders.tls.as_ref().map(TlsFiles::load).transpose().map_err(ServeError::from)?;
    let ears = Ears::new(&checked.app, events(&checked.app, orders.extra));
    let tally = Arc::new(Tally::new(&checked.app, Arc::clone(&ears) as Arc<dyn EventSink>));
    let cache = CompileCache::open(&orders.cache).map_err(NodeError::from)?;
    let mut node = checked.compile(cache, &checked.all_roots(), &NoProgress)?.with_ledgers(orders.ledgers);
    if let Some(folder) = orders.postmortems {
        node = node.with_postmortems(folder);
    }
    let node = node.start(None, Arc::clone(&tally) as Arc<dyn EventSink>)?;
    let watch = node.watch(tally, ears);
    let server = node.site()?.server(orders.http, tls.as_ref());
    Ok((node, server, watch))
}
