//! Serving by several processes: what the supervisor does before it starts workers, and what a worker does with its orders.
//!
//! The supervisor checks and compiles everything first, so that what is wrong with an app is told once, and workers find their
//! code in the cache. It never runs a guest itself.

use std::{io, path::Path, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use watertight_model::{
    app::App,
    event::{Event, EventSink, WorkerChange},
};
use watertight_runtime::{CompileCache, NoProgress};

use crate::{
    node::NodeError,
    orders::{Orders, OrdersError},
    serve::{ServeError, TlsFiles},
    supervisor::{Listeners, Policy, SeatError, Stopped, SuperviseError, Supervisor, WorkerProgram, WorkerSeat},
};

/// From the end of the drain to the end of a worker: events are flushed, cells dropped.
const LEAVE: Duration = Duration::from_secs(5);

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
    /// The system refuses.
    #[error("a worker cannot start: {0}")]
    Io(#[from] io::Error),
}

/// Runs one worker for each of `listeners` until SIGTERM or SIGINT, then drains. `command` is what starts a worker in this
/// executable; the place of its orders is added to it. The app was checked and compiled before.
///
/// # Errors
/// When no worker ever served.
pub async fn supervise<X: Serialize + DeserializeOwned>(
    listeners: Listeners,
    orders: Orders<X>,
    command: &str,
    events: Arc<dyn EventSink>,
) -> Result<Stopped, SuperviseError> {
    let policy = Policy { stop_timeout: orders.http.drain_timeout + LEAVE, ..Policy::default() };
    let posted = orders.post()?;
    let program = WorkerProgram::this_executable([command.into(), posted.path().into_os_string()]);
    let tell = |worker, change: WorkerChange| events.emit(Event::Worker { worker, change });
    Supervisor::new(listeners, program, policy).run(tell).await
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
        Ok((node, server)) => {
            let post = seat.ready().await?;
            let listener = tokio::net::TcpListener::from_std(post.listener)?;
            server.serve(listener, post.dismissed).await;
            node.shutdown().await;
            Ok(())
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
) -> Result<(crate::Node, watertight_ingress::HttpServer<impl watertight_ingress::Handler>), WorkerError> {
    let checked = orders.app.check().map_err(NodeError::from)?;
    let tls = orders.tls.as_ref().map(TlsFiles::load).transpose().map_err(ServeError::from)?;
    let events = events(&checked.app, orders.extra);
    let cache = CompileCache::open(&orders.cache).map_err(NodeError::from)?;
    let node = checked.compile(cache, &checked.all_roots(), &NoProgress)?.start(None, events)?;
    let server = node.site()?.server(orders.http, tls.as_ref());
    Ok((node, server))
}
