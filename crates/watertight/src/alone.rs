//! Serving in this one process: for debuggers, and where there can be only one. It can be asked and told what a supervisor can be.
//!
//! A reload starts the new version beside the old one, on the same socket; then the old one drains.

use std::{
    future::{Future, pending},
    io,
    net::TcpListener,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use watertight_ingress::{Drained, HttpConfig};
use watertight_model::{app::App, event::EventSink};
use watertight_observe::Tally;

use crate::{
    CompiledNode, Node,
    admin::{self, Doors, Steward},
    ears::{Ears, EventsTaken, EventsWanted},
    faults::{FaultBoard, FaultOrders, FaultsError, FaultsStatus, FaultsWanted, RejectFaults, Spread},
    node::{AppDown, NodeError},
    operate::{CellName, CellsStatus, Operated},
    record::{RecordTaken, RecordWanted},
    reload::{ReadAnew, ReloadError, ReloadHandle, Reloaded, Reloads},
    serve::{ServeError, Server, TlsFiles},
    signals::{Signals, StopSignal, StopSignals},
    status::{About, ComponentsStatus, MachineStatus, NodeStatus, Watch, WorkerState, WorkerStatus},
    supervisor::{Listeners, PATIENCE, resident_bytes},
    tap::{TapTaken, TapWanted},
    together::{close, never},
};

/// Where the events of an app go: sinks name what events number by it.
type EventsFor<'a> = &'a (dyn Fn(&Arc<App>) -> Arc<dyn EventSink> + Sync);

/// What one process serves, and how.
pub struct Alone<X> {
    /// The app.
    pub node: CompiledNode,
    /// Where; the first socket alone.
    pub listeners: Listeners,
    /// The limits of the HTTP server.
    pub http: HttpConfig,
    /// Certificate and key.
    pub tls: Option<TlsFiles>,
    /// Where to ask after the node.
    pub admin: Doors,
    /// What it is called there.
    pub about: About,
    /// What reads the app anew.
    pub read: ReadAnew<X>,
    /// What tells what is wrong with faults.
    pub reject: RejectFaults,
}

/// Why one process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// The app cannot be loaded.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The app cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The app gave up on its residents. Nobody starts it again.
    #[error(transparent)]
    Down(#[from] AppDown),
    /// The system refuses.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
}

impl<X: Send + 'static> Alone<X> {
    /// Serves until SIGTERM or SIGINT, then drains; a second SIGINT ends it at once. SIGHUP reloads the app. `ready` is called when
    /// requests are answered.
    ///
    /// # Errors
    /// Why it did not serve.
    pub async fn run(
        self,
        mut signals: Signals,
        events: EventsFor<'_>,
        ready: impl FnOnce(),
    ) -> Result<Drained, AloneError> {
        let Self { node, listeners, http, tls, admin, about, read, reject } = self;
        let socket = listeners.into_first().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        let stage = Stage { socket, http, tls, events };
        let ears = Ears::new(node.app(), events(node.app()));
        let news: Arc<dyn EventSink> = Arc::clone(&ears) as Arc<dyn EventSink>;
        let first = stage.start(node, 1)?;
        let (reload, reloads) = Reloads::new(signals.hangup);
        let shown = Shown(Arc::new(Mutex::new(vec![first.watched()])));
        let faults = FaultBoard::new(about.clone(), Arc::clone(&news), reject, shown.clone());
        let office = Office { about: about.clone(), shown, ears, reload, faults: faults.clone() };
        let playing = Mutex::new(Some(first));
        let leaving = Mutex::new(JoinSet::new());
        let renewed = Notify::new();
        ready();
        let mut generation = 1;
        let reloading = reloads.work(&read, &*news, async |_, node| {
            let app = Arc::clone(node.app());
            let failed = |error: AloneError| ReloadError::RolledBack(error.to_string());
            let next = stage.start(node, generation + 1).map_err(failed)?;
            generation += 1;
            about.renew(&app);
            next.watch.set_faults(faults.orders().as_ref());
            office.shown.0.lock().push(next.watched());
            renewed.notify_one();
            if let Some(last) = playing.lock().replace(next) {
                let shown = Arc::clone(&office.shown.0);
                leaving.lock().spawn(async move {
                    let generation = last.generation;
                    let drained = last.leave(PATIENCE).await;
                    shown.lock().retain(|watched| watched.generation != generation);
                    drained
                });
            }
            Ok(generation)
        });
        let closing = CancellationToken::new();
        let mut answering = pin!(admin::serve(admin, office.clone(), closing.clone()));
        let down = tokio::select! {
            never = pin!(reloading) => never,
            never = pin!(faults.mind()) => never,
            never = never(answering.as_mut()) => never,
            down = down(&office.shown, &renewed) => Some(down),
            _ = signals.stop.next() => None,
        };
        let (playing, leaving) = (playing.lock().take(), std::mem::take(&mut *leaving.lock()));
        let drained = tokio::select! {
            drained = end(playing, leaving, signals.stop) => drained,
            never = never(answering.as_mut()) => never,
        };
        close(&closing, answering).await;
        down.map_or(Ok(drained), |down| Err(down.into()))
    }
}

/// Waits until the version that serves gives up on its residents.
async fn down(shown: &Shown, renewed: &Notify) -> AppDown {
    loop {
        let running = shown.0.lock().last().and_then(|watched| watched.watch.running.running());
        let down = async {
            match &running {
                Some(running) => AppDown::wait(running).await,
                None => pending().await,
            }
        };
        tokio::select! {
            down = down => return down,
            () = renewed.notified() => {}
        }
    }
}

/// Drains what serves and what drains already; a second Ctrl-C wants it over.
async fn end(playing: Option<Playing>, mut leaving: JoinSet<Drained>, mut signals: StopSignals) -> Drained {
    let mut all = Drained { cut: 0 };
    let drained = async {
        if let Some(playing) = playing {
            all.cut += playing.leave(Duration::ZERO).await.cut;
        }
        while let Some(drained) = leaving.join_next().await {
            all.cut += drained.map_or(0, |drained| drained.cut);
        }
    };
    let interrupted = async { while signals.next().await != StopSignal::Interrupt {} };
    tokio::select! { () = drained => {}, () = interrupted => {} }
    all
}

impl<X> std::fmt::Debug for Alone<X> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alone").field("node", &self.node).field("admin", &self.admin).finish_non_exhaustive()
    }
}

/// What every version of the app serves with.
struct Stage<'a> {
    socket: TcpListener,
    http: HttpConfig,
    tls: Option<TlsFiles>,
    events: EventsFor<'a>,
}

/// A version of the app that serves.
struct Playing {
    generation: u32,
    since: Instant,
    node: Node,
    server: Server,
    watch: Watch,
}

impl Stage<'_> {
    fn start(&self, node: CompiledNode, generation: u32) -> Result<Playing, AloneError> {
        let tls = self.tls.as_ref().map(TlsFiles::load).transpose().map_err(ServeError::from)?;
        let ears = Ears::new(node.app(), (self.events)(node.app()));
        let tally = Arc::new(Tally::new(node.app(), Arc::clone(&ears) as Arc<dyn EventSink>));
        let node = node.start(None, Arc::clone(&tally) as Arc<dyn EventSink>)?;
        let watch = node.watch(tally, ears);
        let server = node.site()?.server_at(self.socket.try_clone()?, self.http.clone(), tls.as_ref())?;
        Ok(Playing { generation, since: Instant::now(), node, server, watch })
    }
}

impl Playing {
    fn watched(&self) -> Watched {
        Watched { generation: self.generation, since: self.since, watch: self.watch.clone() }
    }

    async fn leave(self, patience: Duration) -> Drained {
        let drained = self.server.stop_patiently(patience).await;
        self.node.shutdown().await;
        drained
    }
}

/// A version of the app, to be asked after.
#[derive(Clone)]
struct Watched {
    generation: u32,
    since: Instant,
    watch: Watch,
}

/// What serves comes last; what is before it drains.
#[derive(Clone)]
struct Shown(Arc<Mutex<Vec<Watched>>>);

impl Spread for Shown {
    async fn spread(&self, orders: Option<FaultOrders>) -> Vec<u32> {
        for watched in self.0.lock().iter() {
            watched.watch.set_faults(orders.as_ref());
        }
        Vec::new()
    }
}

#[derive(Clone)]
struct Office {
    about: About,
    shown: Shown,
    /// What is told of the node as a whole.
    ears: Arc<Ears>,
    reload: ReloadHandle,
    faults: FaultBoard<Shown>,
}

impl Steward for Office {
    fn about(&self) -> &About {
        &self.about
    }

    async fn node(&self) -> NodeStatus {
        let shown = self.shown.0.lock().clone();
        let newest = shown.iter().map(|watched| watched.generation).max();
        let pid = std::process::id();
        let worker = |watched: &Watched| WorkerStatus {
            worker: 0,
            pid: Some(pid),
            state: if Some(watched.generation) == newest { WorkerState::Serving } else { WorkerState::Draining },
            state_ms: u64::try_from(watched.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            restarts: 0,
            generation: watched.generation,
            answers: true,
            keeper: false,
            rss_bytes: resident_bytes(pid),
        };
        self.about.node(shown.iter().rev().map(worker).collect(), self.faults.status())
    }

    async fn components(&self) -> ComponentsStatus {
        let mut sum = ComponentsStatus::default();
        for watched in self.shown.0.lock().clone() {
            let mut report = watched.watch.report();
            // What is the process's, not the version's, counts once.
            let pools = std::mem::take(&mut report.machine.pools);
            let machine = std::mem::take(&mut report.machine);
            sum.add(report);
            sum.machine = MachineStatus { pools: std::mem::take(&mut sum.machine.pools), ..machine };
            sum.machine.add_pools(pools);
        }
        sum
    }

    async fn tap(&self, wanted: &TapWanted) -> TapTaken {
        let mut sum = TapTaken::default();
        for watched in self.shown.0.lock().clone() {
            sum.add(watched.watch.tap(wanted));
        }
        sum
    }

    async fn record(&self, wanted: &RecordWanted) -> RecordTaken {
        let mut sum = RecordTaken::default();
        for watched in self.shown.0.lock().clone() {
            sum.add(watched.watch.record(wanted));
        }
        sum
    }

    async fn events(&self, wanted: &EventsWanted) -> EventsTaken {
        let mut sum = self.ears.take(wanted);
        for watched in self.shown.0.lock().clone() {
            sum.add(watched.watch.events(wanted));
        }
        sum
    }

    async fn cells(&self, component: Option<&str>) -> CellsStatus {
        let shown = self.shown.0.lock().clone();
        let cells = shown.iter().flat_map(|watched| watched.watch.cells(component)).collect();
        CellsStatus { cells, unanswered: Vec::new() }
    }

    async fn eject(&self, component: &str, cell: Option<CellName>) -> Operated {
        let cell = cell.map(|cell| (cell.pid, cell.cell));
        let shown = self.shown.0.lock().clone();
        let cells = shown.iter().map(|watched| watched.watch.eject(component, cell)).sum();
        Operated { component: component.to_owned(), cells, unanswered: Vec::new() }
    }

    async fn restart(&self, component: &str) -> Operated {
        let shown = self.shown.0.lock().clone();
        let cells = shown.iter().map(|watched| watched.watch.restart(component)).sum();
        Operated { component: component.to_owned(), cells, unanswered: Vec::new() }
    }

    fn reload(&self) -> impl Future<Output = Result<Reloaded, ReloadError>> + Send {
        self.reload.reload()
    }

    fn faults(&self) -> FaultsStatus {
        self.faults.status()
    }

    fn set_faults(&self, wanted: &FaultsWanted) -> impl Future<Output = Result<FaultsStatus, FaultsError>> + Send {
        self.faults.set(wanted)
    }

    fn clear_faults(&self) -> impl Future<Output = FaultsStatus> + Send {
        self.faults.clear()
    }
}
