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
use watertight_observe::Tally;
use watertight_runtime::{CompileCache, NoProgress};

use crate::{
    admin::{self, AdminSocket, Steward},
    control::{Answer, Ask, Desk},
    node::NodeError,
    orders::{Orders, OrdersError},
    serve::{ServeError, TlsFiles},
    status::{About, ComponentsStatus, NodeStatus, Watch},
    supervisor::{
        Listeners, Policy, SeatError, Stopped, SuperviseError, Supervisor, SupervisorHandle, WorkerProgram, WorkerSeat,
    },
};

/// How long a worker may take to say how it is.
const ANSWER_TIME: Duration = Duration::from_secs(1);

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
/// executable; the place of its orders is added to it. The app was checked and compiled before. `admin` is where to ask after the
/// node, and what it is called there.
///
/// # Errors
/// When no worker ever served.
pub async fn supervise<X: Serialize + DeserializeOwned>(
    listeners: Listeners,
    orders: Orders<X>,
    command: &str,
    events: Arc<dyn EventSink>,
    admin: Option<(AdminSocket, About)>,
) -> Result<Stopped, SuperviseError> {
    let policy = Policy { stop_timeout: orders.http.drain_timeout + LEAVE, ..Policy::default() };
    let posted = orders.post()?;
    let program = WorkerProgram::this_executable([command.into(), posted.path().into_os_string()]);
    let tell = |worker, change: WorkerChange| events.emit(Event::Worker { worker, change });
    let supervisor = Supervisor::new(listeners, program, policy);
    let handle = supervisor.handle();
    let asked = async {
        if let Some((socket, about)) = admin {
            admin::serve(socket, Office { about, supervisor: handle }).await;
        }
        std::future::pending().await
    };
    let asked = std::pin::pin!(asked);
    tokio::select! { stopped = supervisor.run(tell) => stopped, never = asked => never }
}

/// A supervisor's answers to those who ask after its node.
#[derive(Clone)]
struct Office {
    about: About,
    supervisor: SupervisorHandle,
}

impl Steward for Office {
    async fn node(&self) -> NodeStatus {
        let workers = self.supervisor.ask_all(Ask::State, ANSWER_TIME).await;
        self.about.node(workers.into_iter().map(|(status, _)| status).collect())
    }

    async fn components(&self) -> ComponentsStatus {
        let mut sum = ComponentsStatus::default();
        for (status, answer) in self.supervisor.ask_all(Ask::State, ANSWER_TIME).await {
            match answer {
                Some(Answer::State(report)) => sum.add(report),
                Some(Answer::Refused(_)) | None => sum.unanswered.push(status.worker),
            }
        }
        sum
    }
}

/// A worker's answers to its supervisor.
struct WorkerDesk(Watch);

impl Desk for WorkerDesk {
    fn answer(&self, ask: Ask) -> Answer {
        match ask {
            Ask::State => Answer::State(self.0.report()),
        }
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
        Ok((node, server, desk)) => {
            seat.open_desk(Arc::new(desk));
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
) -> Result<(crate::Node, watertight_ingress::HttpServer<impl watertight_ingress::Handler>, WorkerDesk), WorkerError> {
    let checked = orders.app.check().map_err(NodeError::from)?;
    let tls = orders.tls.as_ref().map(TlsFiles::load).transpose().map_err(ServeError::from)?;
    let tally = Arc::new(Tally::new(&checked.app, events(&checked.app, orders.extra)));
    let cache = CompileCache::open(&orders.cache).map_err(NodeError::from)?;
    let node = checked
        .compile(cache, &checked.all_roots(), &NoProgress)?
        .start(None, Arc::clone(&tally) as Arc<dyn EventSink>)?;
    let desk = WorkerDesk(node.watch(tally));
    let server = node.site()?.server(orders.http, tls.as_ref());
    Ok((node, server, desk))
}
