//! Serving by several processes: the supervisor's part. It posts orders, starts workers, answers who asks after the node, and puts new
//! versions of the app in place.
//!
//! The app was checked and compiled before, so that what is wrong with it is told once, and workers find their code in the cache.
//! No guest runs here.

use std::{
    future::{Future, pending},
    io,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use watertight_model::{
    app::{App, Component},
    event::{Event, EventSink, WorkerChange},
};

use crate::{
    admin::{self, Doors, Steward},
    control::{Answer, Ask},
    faults::{FaultBoard, FaultOrders, FaultsError, FaultsStatus, FaultsWanted, RejectFaults, Spread},
    orders::Orders,
    reload::{ReadAnew, ReloadError, ReloadHandle, Reloaded, Reloads},
    signals::Signals,
    status::{About, ComponentsStatus, NodeStatus, WorkerState},
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
        let (reload, reloads) = Reloads::new(signals.hangup);
        let faults = FaultBoard::new(about.clone(), Arc::clone(&events), reject, handle.clone());
        let office = Office { about: about.clone(), supervisor: handle.clone(), reload, faults: faults.clone() };
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
        tokio::select! {
            stopped = supervisor.run_with(signals.stop, tell) => stopped,
            never = pin!(reloading) => never,
            never = pin!(faults.mind()) => never,
            never = pin!(answer(admin, office)) => never,
        }
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

/// Answers those who ask after a node, for as long as it is polled.
pub(crate) async fn answer<N>(admin: Doors, steward: impl Steward) -> N {
    admin::serve(admin, steward).await;
    pending().await
}

/// A supervisor's answers to those who ask after its node.
#[derive(Clone)]
struct Office {
    about: About,
    supervisor: SupervisorHandle,
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

impl Steward for Office {
    async fn node(&self) -> NodeStatus {
        let workers = self.supervisor.ask_all(Ask::State, ANSWER_TIME).await;
        self.about.node(workers.into_iter().map(|(status, _)| status).collect(), self.faults.status())
    }

    async fn components(&self) -> ComponentsStatus {
        let mut sum = ComponentsStatus::default();
        for (status, answer) in self.supervisor.ask_all(Ask::State, ANSWER_TIME).await {
            match answer {
                Some(Answer::State(report)) => sum.add(report),
                Some(Answer::Done | Answer::Tapped(_) | Answer::Refused(_)) | None => {
                    sum.unanswered.push(status.worker)
                }
            }
        }
        sum
    }

    async fn tap(&self, wanted: &TapWanted) -> TapTaken {
        let mut sum = TapTaken::default();
        for (status, answer) in self.supervisor.ask_all(Ask::Tap(wanted.clone()), ANSWER_TIME).await {
            match answer {
                Some(Answer::Tapped(taken)) => sum.add(taken),
                Some(Answer::Done | Answer::State(_) | Answer::Refused(_)) | None => sum.unanswered.push(status.worker),
            }
        }
        sum
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
