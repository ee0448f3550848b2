//! Serving by several processes: the supervisor's part. It posts orders, starts workers, answers who asks after the node, and puts new
//! versions of the app in place.
//!
//! The app was checked and compiled before, so that what is wrong with it is told once, and workers find their code in the cache.
//! No guest runs here.

use std::{
    future::{Future, pending},
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use watertight_model::{
    app::{App, Component},
    event::{Event, EventSink, WorkerChange},
};

use crate::{
    admin::{self, Doors, Steward},
    control::{Answer, Ask},
    ears::{Ears, EventsTaken, EventsWanted},
    faults::{FaultBoard, FaultOrders, FaultsError, FaultsStatus, FaultsWanted, RejectFaults, Spread},
    operate::{CellName, CellsStatus, Operated},
    orders::Orders,
    record::{RecordTaken, RecordWanted},
    reload::{ReadAnew, ReloadError, ReloadHandle, Reloaded, Reloads},
    signals::Signals,
    status::{About, ComponentsStatus, MachineStatus, NodeStatus, WorkerState},
    supervisor::{Listeners, Policy, Renewal, Stopped, SuperviseError, Supervisor, SupervisorHandle, WorkerProgram},
    tap::{TapTaken, TapWanted},
    worker::LEAVE,
};

/// How long a worker may take to say how it is.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// What several processes serve, and how.
pub struct Together<X> {
    /// Where: a socket for each worker.
    pub listeners: Listeners,
    /// What they serve.
    pub orders: Orders<X>,
    /// The app in it, checked.
    pub app: Arc<App>,
    /// What starts a worker in this executable; the place of its orders is added to it.
    pub command: String,
    /// Where to ask after the node.
    pub admin: Doors,
    /// What it is called there.
    pub about: About,
    /// What reads the app anew.
    pub read: ReadAnew<X>,
    /// What tells what is wrong with faults.
    pub reject: RejectFaults,
}

impl<X: Serialize + DeserializeOwned + Send + 'static> Together<X> {
    /// Runs one worker for each socket until SIGTERM or SIGINT, then drains. SIGHUP reloads the app.
    ///
    /// # Errors
    /// When no worker ever served.
    pub async fn run(self, signals: Signals, events: Arc<dyn EventSink>) -> Result<Stopped, SuperviseError> {
        let Self { listeners, orders, app, command, admin, about, read, reject } = self;
        let policy = Policy { stop_timeout: orders.http.drain_timeout + LEAVE, ..Policy::default() };
        let supervisor = Supervisor::new(listeners, program(&command, orders, &app)?, policy);
        let handle = supervisor.handle();
        let ears = Ears::new(&app, events);
        let events: Arc<dyn EventSink> = Arc::clone(&ears) as Arc<dyn EventSink>;
        let (reload, reloads) = Reloads::new(signals.hangup);
        let faults = FaultBoard::new(about.clone(), Arc::clone(&events), reject, handle.clone());
        let office = Office { about: about.clone(), supervisor: handle.clone(), ears, reload, faults: faults.clone() };
        let told = Arc::clone(&events);
        let tell = move |worker, change: WorkerChange| told.emit(Event::Worker { worker, change });
        let reloading = reloads.work(&read, &*events, async |orders, node| {
            let app = Arc::clone(node.app());
            // It only had to be seen that it compiles: the workers load it from the cache.
            drop(node);
            let program = program(&command, orders, &app).map_err(|error| ReloadError::Refused(error.to_string()))?;
            match handle.renew(program).await {
                Renewal::Done { generation } => {
                    about.renew(&app);
                    Ok(generation)
                }
                Renewal::RolledBack { why } => Err(ReloadError::RolledBack(why)),
                Renewal::Refused { why } => Err(ReloadError::Refused(why.to_owned())),
            }
        });
        let closing = CancellationToken::new();
        let mut answering = pin!(admin::serve(admin, office, closing.clone()));
        let stopped = tokio::select! {
            stopped = supervisor.run_with(signals.stop, tell) => stopped,
            never = pin!(reloading) => never,
            never = pin!(faults.mind()) => never,
            never = never(answering.as_mut()) => never,
        };
        close(&closing, answering).await;
        stopped
    }
}

impl<X> std::fmt::Debug for Together<X> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together")
            .field("listeners", &self.listeners)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

fn program<X: Serialize + DeserializeOwned>(command: &str, orders: Orders<X>, app: &App) -> io::Result<WorkerProgram> {
    let posted = orders.post()?;
    let program = WorkerProgram::this_executable([command.into(), posted.path().into_os_string()]);
    Ok(program.keeping(posted).for_the_node(app.components.iter().any(Component::is_for_the_node)))
}

/// Answers those who ask after a node, for as long as it is polled; they are answered until it is closed.
pub(crate) async fn never<N>(answering: Pin<&mut impl Future<Output = ()>>) -> N {
    answering.await;
    pending().await
}

/// How long those who ask after a node that has stopped may take to hear of it.
const CLOSING: Duration = Duration::from_secs(1);

/// Answers who has asked already, and nobody else.
pub(crate) async fn close(closing: &CancellationToken, answering: Pin<&mut impl Future<Output = ()>>) {
    closing.cancel();
    // Whoever does not take the rest by then is cut off.
    let _ = tokio::time::timeout(CLOSING, answering).await;
}

/// A supervisor's answers to those who ask after its node.
#[derive(Clone)]
struct Office {
    about: About,
    supervisor: SupervisorHandle,
    /// What the supervisor itself tells of.
    ears: Arc<Ears>,
    reload: ReloadHandle,
    faults: FaultBoard<SupervisorHandle>,
}

impl Spread for SupervisorHandle {
    async fn spread(&self, orders: Option<FaultOrders>) -> Vec<u32> {
        let answers = self.ask_all(Ask::Faults(orders), ANSWER_TIME).await;
        let unanswered = answers.into_iter().filter(|(_, answer)| answer.is_none());
        // One that has no process, or is still loading, is told before it serves.
        unanswered.filter(|(status, _)| status.state == WorkerState::Serving).map(|(status, _)| status.worker).collect()
    }
}

impl Office {
    /// Asks every worker; `add` says whether an answer is one to this. Says who did not answer.
    async fn each(&self, ask: Ask, mut add: impl FnMut(Answer) -> bool) -> Vec<u32> {
        let mut unanswered = Vec::new();
        for (status, answer) in self.supervisor.ask_all(ask, ANSWER_TIME).await {
            if !answer.is_some_and(&mut add) {
                unanswered.push(status.worker);
            }
        }
        unanswered
    }

    async fn operate(&self, component: &str, ask: Ask) -> Operated {
        let mut cells = 0;
        let add = |answer| {
            let Answer::Operated(count) = answer else { return false };
            cells += count;
            true
        };
        let unanswered = self.each(ask, add).await;
        Operated { component: component.to_owned(), cells, unanswered }
    }
}

impl Steward for Office {
    fn about(&self) -> &About {
        &self.about
    }

    async fn node(&self) -> NodeStatus {
        let workers = self.supervisor.ask_all(Ask::State, ANSWER_TIME).await;
        self.about.node(workers.into_iter().map(|(status, _)| status).collect(), self.faults.status())
    }

    async fn components(&self) -> ComponentsStatus {
        let mut sum = ComponentsStatus::default();
        let add = |answer| {
            let Answer::State(report) = answer else { return false };
            sum.add(report);
            true
        };
        sum.unanswered = self.each(Ask::State, add).await;
        // The supervisor compiled what the workers found in the cache.
        sum.machine.add(MachineStatus::here(Vec::new()));
        sum
    }

    async fn tap(&self, wanted: &TapWanted) -> TapTaken {
        let mut sum = TapTaken::default();
        let add = |answer| {
            let Answer::Tapped(taken) = answer else { return false };
            sum.add(taken);
            true
        };
        sum.unanswered = self.each(Ask::Tap(wanted.clone()), add).await;
        sum
    }

    async fn record(&self, wanted: &RecordWanted) -> RecordTaken {
        let mut sum = RecordTaken::default();
        let add = |answer| {
            let Answer::Recorded(taken) = answer else { return false };
            sum.add(taken);
            true
        };
        sum.unanswered = self.each(Ask::Record(wanted.clone()), add).await;
        sum
    }

    async fn events(&self, wanted: &EventsWanted) -> EventsTaken {
        let mut sum = self.ears.take(wanted);
        let add = |answer| {
            let Answer::Happened(taken) = answer else { return false };
            sum.add(taken);
            true
        };
        self.each(Ask::Events(wanted.clone()), add).await;
        sum
    }

    async fn cells(&self, component: Option<&str>) -> CellsStatus {
        let mut cells = Vec::new();
        let add = |answer| {
            let Answer::Cells(theirs) = answer else { return false };
            cells.extend(theirs);
            true
        };
        let unanswered = self.each(Ask::Cells(component.map(str::to_owned)), add).await;
        CellsStatus { cells, unanswered }
    }

    async fn eject(&self, component: &str, cell: Option<CellName>) -> Operated {
        let cell = cell.map(|cell| (cell.pid, cell.cell));
        self.operate(component, Ask::Eject(component.to_owned(), cell)).await
    }

    async fn restart(&self, component: &str) -> Operated {
        self.operate(component, Ask::Restart(component.to_owned())).await
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
