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
mod process;
mod roster;
mod seat;

use std::{collections::VecDeque, future::pending, io, time::Instant};

use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};
use watertight_model::event::WorkerChange;

use self::{
    handle::{Asked, Request},
    process::Process,
    roster::{Finish, Happened, Order, Roster, Slot},
};

pub(crate) use self::handle::resident_bytes;
pub use self::{
    handle::SupervisorHandle,
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
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
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
                Some(request) = hands.requests.recv() => {
                    hands.serve(request, &roster);
                    continue;
                }
                _ = terminate.recv() => Happened::Stop,
                _ = interrupt.recv() => if roster.is_stopping() { Happened::StopNow } else { Happened::Stop },
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
    program: WorkerProgram,
    processes: Vec<Option<Process>>,
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
        let processes = std::iter::repeat_with(|| None).take(listeners.count()).collect();
        let (teller, told) = mpsc::channel(64);
        let watchers = JoinSet::new();
        Self { listeners, program, processes, watchers, told, teller, requests, _handle: handle, tell }
    }

    /// Answers a request, or has it answered; waits for nobody.
    fn serve(&self, request: Request, roster: &Roster) {
        match request {
            Request::AskAll { ask, reply } => {
                let asked = roster.sight(Instant::now()).into_iter().zip(&self.processes).map(|(sight, process)| {
                    let pid = process.as_ref().map(|process| process.pid);
                    let answer = process.as_ref().and_then(|process| process.ask(ask.clone()).ok());
                    Asked { sight, pid, answer }
                });
                // Who asked may be gone.
                let _ = reply.send(asked.collect());
            }
        }
    }

    /// Tells the roster what happened, does what it orders, and so on until there is nothing more to do.
    fn work(&mut self, roster: &mut Roster, happened: Happened) -> Option<Finish> {
        // Watchers whose process ended have nothing more to say.
        while self.watchers.try_join_next().is_some() {}
        let mut news = VecDeque::from([happened]);
        while let Some(happened) = news.pop_front() {
            if let Happened::Ended(slot, _) = &happened {
                self.processes[*slot] = None;
            }
            for order in roster.step(happened, Instant::now()) {
                if let Order::Finish(finish) = order {
                    return Some(finish);
                }
                news.extend(self.carry_out(order));
            }
        }
        None
    }

    fn carry_out(&mut self, order: Order) -> Option<Happened> {
        match order {
            Order::Spawn(slot) => return self.spawn(slot),
            Order::Seat(slot) => return Some(self.seat(slot)),
            Order::CloseSocket(slot) => self.listeners.close(slot),
            Order::Terminate(slot) => self.signal(slot, Signal::TERM),
            Order::Kill(slot) => self.signal(slot, Signal::KILL),
            Order::TellStarted(slot) => {
                if let Some(process) = &self.processes[slot] {
                    (self.tell)(number(slot), WorkerChange::Started { pid: process.pid });
                }
            }
            Order::TellEnded(slot, how) => (self.tell)(number(slot), WorkerChange::Ended { how }),
            Order::Finish(_) => {}
        }
        None
    }

    fn spawn(&mut self, slot: Slot) -> Option<Happened> {
        match Process::spawn(&self.program, slot, self.teller.clone(), &mut self.watchers) {
            Ok(process) => {
                self.processes[slot] = Some(process);
                None
            }
            Err(error) => Some(Happened::Ended(slot, format!("cannot start a process: {error}"))),
        }
    }

    fn seat(&mut self, slot: Slot) -> Happened {
        let failed = |bound, why| Happened::SeatFailed { slot, bound, why };
        let listener = match self.listeners.ensure_open(slot) {
            Ok(listener) => listener,
            Err(error) => return failed(false, error.to_string()),
        };
        match self.processes[slot].as_ref().map(|process| process.seat(slot, listener)) {
            Some(Ok(())) => Happened::Seated(slot),
            Some(Err(error)) => failed(true, format!("cannot hand over the listening socket: {error}")),
            None => failed(true, "the worker is gone".to_owned()),
        }
    }

    fn signal(&self, slot: Slot, signal: Signal) {
        if let Some(process) = &self.processes[slot] {
            process.signal(signal);
        }
    }
}

fn number(slot: Slot) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}
