//! One supervisor and its worker processes: a worker that dies costs its own requests and nothing else.
//!
//! The supervisor binds one listening socket per worker on one address (`SO_REUSEPORT`: the kernel spreads connections
//! over them) and keeps them open. Each worker is this executable again, gets its socket when it is ready, and serves with one
//! thread. When a worker dies, its queued connections wait in the socket for the replacement; the port never closes.
//!
//! The supervisor never touches a connection, a guest or a manifest. What it decides is in `roster`, as a pure state
//! machine; one task here carries it out (invariant 8). It fails only where no worker ever serves.
//!
//! ```text
//!  supervisor  roster (decides) <-> run (acts) -- process --- Unix socket ---  seat  worker
//!              listen (sockets) ------------------ socket as a message ------>
//! ```

mod handle;
mod listen;
mod placement;
mod process;
mod roster;
mod seat;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::pending,
    io,
    time::Instant,
};

use rustix::process::Signal;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use watertight_model::event::WorkerChange;

use self::{
    handle::{Asked, Request},
    placement::{Deed, Placement},
    process::Process,
    roster::{Edition, FIRST_EDITION, Finish, Happened, Order, ReloadEnd, Roster, Who},
};

use crate::{
    control::Ask,
    faults::FaultOrders,
    signals::{Signals, StopSignal, StopSignals},
};

pub(crate) use self::{handle::resident_bytes, seat::PATIENCE};
pub use self::{
    handle::{Renewal, SupervisorHandle},
    listen::{ListenError, Listeners, parse_address},
    process::WorkerProgram,
    roster::Policy,
    seat::{SeatError, WorkerPost, WorkerSeat},
};

/// Workers behind one address.
#[derive(Debug)]
pub struct Supervisor {
    listeners: Listeners,
    program: WorkerProgram,
    policy: Policy,
    requests: mpsc::Receiver<Request>,
    handle: SupervisorHandle,
}

/// How a supervisor ended that was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Workers that did not drain in time and were killed.
    pub killed: usize,
}

/// Why a supervisor gave up.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// No worker ever came to serve; the reason is the last one's.
    #[error("no worker could start: {0}")]
    NeverStarted(String),
    /// The system refuses what a supervisor needs.
    #[error("cannot supervise workers: {0}")]
    Io(#[from] io::Error),
}

impl Supervisor {
    /// One worker for each of `listeners`.
    #[must_use]
    pub fn new(listeners: Listeners, program: WorkerProgram, policy: Policy) -> Self {
        let (handle, requests) = SupervisorHandle::new();
        Self { listeners, program, policy, requests, handle }
    }

    /// What asks and tells it things while it runs.
    #[must_use]
    pub fn handle(&self) -> SupervisorHandle {
        self.handle.clone()
    }

    /// Runs until SIGTERM or SIGINT, then drains; a second SIGINT kills. `tell` hears what happens to each worker and
    /// must not block. Dropping the future kills the workers.
    ///
    /// # Errors
    /// Where no worker ever served.
    pub async fn run(self, tell: impl FnMut(u32, WorkerChange)) -> Result<Stopped, SuperviseError> {
        self.run_with(Signals::mind()?.stop, tell).await
    }

    /// The same, with signals that are minded already.
    pub(crate) async fn run_with(
        self,
        mut signals: StopSignals,
        tell: impl FnMut(u32, WorkerChange),
    ) -> Result<Stopped, SuperviseError> {
        let mut roster = Roster::new(self.listeners.count(), self.policy.clone(), Instant::now());
        let mut hands = Hands::new(self, tell);
        let mut finished = hands.work(&mut roster, Happened::Begin);
        while finished.is_none() {
            let wake_at = roster.wake_at();
            let timer = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => pending().await,
                }
            };
            let happened = tokio::select! {
                Some(happened) = hands.told.recv() => happened,
                Some(request) = hands.requests.recv() => match hands.serve(request, &roster) {
                    Some(happened) => happened,
                    None => continue,
                },
                signal = signals.next() => match signal {
                    StopSignal::Interrupt if roster.is_stopping() => Happened::StopNow,
                    StopSignal::Interrupt | StopSignal::Terminate => Happened::Stop,
                },
                () = timer => Happened::Tick,
            };
            finished = hands.work(&mut roster, happened);
        }
        match finished {
            Some(Finish::NeverStarted(why)) => Err(SuperviseError::NeverStarted(why)),
            Some(Finish::Stopped { killed }) => Ok(Stopped { killed }),
            None => Ok(Stopped { killed: 0 }),
        }
    }
}

/// What carries out orders: the only part that holds processes and sockets.
struct Hands<T> {
    listeners: Listeners,
    programs: BTreeMap<Edition, WorkerProgram>,
    editions: Edition,
    processes: HashMap<Who, Process>,
    /// Of what edition each of those is whose app has components that the node has once.
    crew: HashMap<Who, Edition>,
    placement: Placement,
    /// What workers are told that start while faults are set, and since when.
    faults: Option<(FaultOrders, Instant)>,
    /// Who waits for the end of a reload.
    renewals: HashMap<Edition, oneshot::Sender<Renewal>>,
    watchers: JoinSet<()>,
    told: mpsc::Receiver<Happened>,
    teller: mpsc::Sender<Happened>,
    requests: mpsc::Receiver<Request>,
    /// Keeps the channel of requests open.
    _handle: SupervisorHandle,
    tell: T,
}

impl<T: FnMut(u32, WorkerChange)> Hands<T> {
    fn new(supervisor: Supervisor, tell: T) -> Self {
        let Supervisor { listeners, program, policy: _, requests, handle } = supervisor;
        let (teller, told) = mpsc::channel(64);
        Self {
            listeners,
            programs: BTreeMap::from([(FIRST_EDITION, program)]),
            editions: FIRST_EDITION,
            processes: HashMap::new(),
            crew: HashMap::new(),
            placement: Placement::default(),
            faults: None,
            renewals: HashMap::new(),
            watchers: JoinSet::new(),
            told,
            teller,
            requests,
            _handle: handle,
            tell,
        }
    }

    /// Answers a request, or has it answered; waits for nobody.
    fn serve(&mut self, request: Request, roster: &Roster) -> Option<Happened> {
        match request {
            Request::AskAll { ask, reply } => {
                if let Ask::Faults(orders) = &ask {
                    self.faults = orders.clone().map(|orders| (orders, Instant::now()));
                }
                let asked = roster.sight(Instant::now()).into_iter().map(|sight| {
                    let process = self.processes.get(&sight.who);
                    let pid = process.map(|process| process.pid);
                    let answer = process.and_then(|process| process.ask(ask.clone()).ok());
                    let keeper = self.placement.keeps(sight.who);
                    Asked { sight, pid, keeper, answer }
                });
                // Who asked may be gone.
                let _ = reply.send(asked.collect());
                None
            }
            Request::Renew { program, reply } => {
                self.editions += 1;
                self.programs.insert(self.editions, program);
                self.renewals.insert(self.editions, reply);
                Some(Happened::Reload(self.editions))
            }
        }
    }

    /// Tells the roster what happened, does what it orders, and so on until there is nothing more to do.
    fn work(&mut self, roster: &mut Roster, happened: Happened) -> Option<Finish> {
        // Watchers whose process ended have nothing more to say.
        while self.watchers.try_join_next().is_some() {}
        let mut news = VecDeque::from([happened]);
        while let Some(happened) = news.pop_front() {
            let ended = if let Happened::Ended(who, _) = &happened {
                self.crew.remove(who);
                let deeds = self.placement.leaves(*who);
                self.place(deeds);
                self.processes.remove(who)
            } else {
                None
            };
            for order in roster.step(happened, Instant::now()) {
                if let Order::Finish(finish) = order {
                    return Some(finish);
                }
                news.extend(self.carry_out(order, ended.as_ref().map(|process| process.pid)));
            }
        }
        None
    }

    /// `ended` is the process whose end this follows from.
    fn carry_out(&mut self, order: Order, ended: Option<u32>) -> Option<Happened> {
        match order {
            Order::Spawn(who, edition) => return self.spawn(who, edition),
            Order::Seat(who) => return Some(self.seat(who)),
            Order::CloseSocket(slot) => self.listeners.close(slot),
            Order::Terminate(who) => {
                self.placement.drains(who);
                self.signal(who, Signal::TERM);
            }
            Order::Retire(who) => {
                self.placement.drains(who);
                let told = self.processes.get(&who).map(Process::retire);
                if told.is_some_and(|told| told.is_err()) {
                    self.signal(who, Signal::TERM);
                }
            }
            Order::Kill(who) => self.signal(who, Signal::KILL),
            Order::TellStarted(who) => {
                if let Some(process) = self.processes.get(&who) {
                    (self.tell)(number(who), WorkerChange::Started { pid: process.pid });
                }
            }
            Order::TellEnded(who, how) => (self.tell)(number(who), WorkerChange::Ended { pid: ended, how }),
            Order::TellReload(edition, end) => self.renewed(edition, end),
            Order::Finish(_) => {}
        }
        None
    }

    fn renewed(&mut self, edition: Edition, end: ReloadEnd) {
        // Orders of which none will be carried out again are let go: those before a success, or those that failed.
        match end {
            ReloadEnd::Done => self.programs.retain(|other, _| *other >= edition),
            ReloadEnd::RolledBack(_) | ReloadEnd::Refused(_) => drop(self.programs.remove(&edition)),
        }
        if let Some(waiting) = self.renewals.remove(&edition) {
            // Who asked for it may be gone.
            let _ = waiting.send(match end {
                ReloadEnd::Done => Renewal::Done { generation: edition },
                ReloadEnd::RolledBack(why) => Renewal::RolledBack { why },
                ReloadEnd::Refused(why) => Renewal::Refused { why },
            });
        }
    }

    fn spawn(&mut self, who: Who, edition: Edition) -> Option<Happened> {
        let failed = |why: &dyn std::fmt::Display| Some(Happened::Ended(who, format!("cannot start a process: {why}")));
        let Some(program) = self.programs.get(&edition) else { return failed(&"its orders are gone") };
        match Process::spawn(program, who, self.teller.clone(), &mut self.watchers) {
            Ok(process) => {
                if program.for_the_node {
                    self.crew.insert(who, edition);
                }
                self.processes.insert(who, process);
                None
            }
            Err(error) => failed(&error),
        }
    }

    fn seat(&mut self, who: Who) -> Happened {
        // Before its first request: what that calls must have a place.
        let crew = self.crew.get(&who).copied();
        let deeds = crew.map(|edition| self.placement.joins(edition, who)).unwrap_or_default();
        self.place(deeds);
        self.tell_faults(who);
        let failed = |bound, why| Happened::SeatFailed { who, bound, why };
        let listener = match self.listeners.ensure_open(who.slot) {
            Ok(listener) => listener,
            Err(error) => return failed(false, error.to_string()),
        };
        match self.processes.get(&who).map(|process| process.seat(who, listener)) {
            Some(Ok(())) => Happened::Seated(who),
            Some(Err(error)) => failed(true, format!("cannot hand over the listening socket: {error}")),
            None => failed(true, "the worker is gone".to_owned()),
        }
    }

    /// A worker that comes to serve while faults are set has them from its first call on.
    fn tell_faults(&self, who: Who) {
        let left = self.faults.as_ref().and_then(|(orders, since)| orders.after(since.elapsed()));
        let told = left.and_then(|orders| Some(self.processes.get(&who)?.ask(Ask::Faults(Some(orders)))));
        if let Some(Err(error)) = told {
            tracing::warn!(%error, ?who, "a worker cannot be told which faults are set");
        }
    }

    /// What cannot be told to a worker that is gone follows from its end.
    fn place(&self, deeds: Vec<Deed>) {
        for deed in deeds {
            let placed = match deed {
                Deed::Keep(who) => self.processes.get(&who).map(Process::keep),
                Deed::Connect { caller, keeper } => {
                    let both = self.processes.get(&caller).zip(self.processes.get(&keeper));
                    both.map(|(caller, keeper)| caller.connect(keeper))
                }
            };
            if let Some(Err(error)) = placed {
                tracing::warn!(%error, ?deed, "a worker cannot be told who has the node's components");
            }
        }
    }

    fn signal(&self, who: Who, signal: Signal) {
        if let Some(process) = self.processes.get(&who) {
            process.signal(signal);
        }
    }
}

fn number(who: Who) -> u32 {
    u32::try_from(who.slot).unwrap_or(u32::MAX)
}
