//! The resident cells of one component, each in a seat: who may call which of them, and what they wait for.
//!
//! The app's steward decides which cells are there (`supervise`); calls only borrow them. A cell without component-model async is lent
//! to one call at a time. One with it belongs to its driver, and gets the call when it has the fewest in flight. What ends in a seat is
//! told to the steward after it is gone, so that its place in the pool is free.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use wasmtime::component::ResourceAny;
use watertight_model::{
    app::ComponentId,
    event::CellId,
    failure::FailureKind,
    supervision::{DownReason, End, Happened, Recycle, Run, Standing, Wear},
    usage::CellUsage,
};

use crate::{account::Account, cell::Cell, clock::Moment, cut::Cut, driver::Driver, host::CellData, meter};

/// Resources that wait to be dropped in a resident cell; past this, the cell keeps them until it ends.
const MAX_BURIED: usize = 1 << 16;

pub(crate) struct Residents<T: CellData> {
    state: Mutex<State<T>>,
    freed: Notify,
    /// Calls fail at once: what `state` says too, for those who only ask.
    down: AtomicBool,
    recycle: Recycle,
    /// To the steward. A cell says at most a handful of things in its life, so what waits there is bounded by the cells there were
    /// since it last looked; and who drops a cell cannot wait.
    tell: mpsc::UnboundedSender<Happened>,
}

struct State<T: CellData> {
    seats: Vec<Seat<T>>,
    standing: Standing,
    /// Counts calls: whose turn was how long ago.
    turn: u64,
    /// Resources whose holders died, to be dropped when their cell is entered next.
    buried: Vec<(CellId, ResourceAny)>,
    closed: bool,
}

/// One resident cell.
struct Seat<T: CellData> {
    run: Run,
    number: u32,
    cell: CellId,
    held: Held<T>,
    account: Arc<Account>,
    cut: Arc<Cut>,
    since: Moment,
    calls: u64,
    in_flight: u32,
    /// Call trees that hold on to it.
    bound: u32,
    turn: u64,
    /// It gets no more calls, but of those that are bound to it.
    leaving: bool,
    worn: bool,
}

enum Held<T: CellData> {
    Resting(Box<Cell<T>>),
    Lent,
    Driven(Driver<T>),
}

/// A call that wants a cell.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) which: Which,
    pub(crate) deadline: Moment,
    /// How its caller is ended, if that is a resident: one that is to stop does not wait for others.
    pub(crate) caller: Option<Arc<Cut>>,
}

/// Which cell a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Any,
    /// The one in this seat; any other if it is gone.
    Rather(Run),
    /// This one and no other.
    Exactly(CellId),
}

/// Why a call gets no cell.
#[derive(Debug)]
pub(crate) enum Refused {
    /// None is there, and none will be soon.
    Down(String),
    /// None was free within the deadline.
    Late,
    /// The one that was asked for is gone.
    Dead,
}

/// A cell, taken out of its seat for one call.
pub(crate) struct Taken<T: CellData> {
    pub(crate) run: Run,
    pub(crate) cell: Box<Cell<T>>,
}

/// One seat, as it is seen from outside.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) number: u32,
    pub(crate) cell: CellId,
    pub(crate) since: Moment,
    pub(crate) calls: u64,
    pub(crate) in_flight: u32,
    pub(crate) leaving: bool,
    pub(crate) usage: CellUsage,
}

impl<T: CellData> Residents<T> {
    pub(crate) fn new(recycle: Recycle, tell: mpsc::UnboundedSender<Happened>) -> Self {
        let state = State { seats: Vec::new(), standing: Standing::Open, turn: 0, buried: Vec::new(), closed: false };
        Self { state: Mutex::new(state), freed: Notify::new(), down: AtomicBool::new(false), recycle, tell }
    }

    /// Puts a fresh cell into a seat.
    pub(crate) fn seat(&self, run: Run, number: u32, cell: Box<Cell<T>>) {
        let (id, account, cut) = (cell.id(), Arc::clone(cell.account()), cell.cut().cloned().unwrap_or_default());
        self.add(run, number, id, Held::Resting(cell), account, cut);
    }

    /// The same for one that belongs to its driver.
    pub(crate) fn seat_driver(&self, run: Run, number: u32, driver: Driver<T>, account: Arc<Account>, cut: Arc<Cut>) {
        let id = driver.cell();
        self.add(run, number, id, Held::Driven(driver), account, cut);
    }

    fn add(&self, run: Run, number: u32, cell: CellId, held: Held<T>, account: Arc<Account>, cut: Arc<Cut>) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            drop(held);
            return;
        }
        state.seats.push(Seat {
            run,
            number,
            cell,
            held,
            account,
            cut,
            since: Moment::now(),
            calls: 0,
            in_flight: 0,
            bound: 0,
            turn: 0,
            leaving: false,
            worn: false,
        });
        drop(state);
        self.freed.notify_waiters();
    }

    /// Takes a cell that rests, the one that was called last: its memory is warm.
    pub(crate) async fn take(&self, wanted: Wanted) -> Result<Taken<T>, Refused> {
        self.wait(wanted, |state, which| {
            let free = |seat: &&mut Seat<T>| matches!(seat.held, Held::Resting(_)) && seat.fits(which);
            let seat = state.seats.iter_mut().filter(free).max_by_key(|seat| seat.turn)?;
            let Held::Resting(cell) = std::mem::replace(&mut seat.held, Held::Lent) else { return None };
            seat.begin_call(&mut state.turn);
            Some(Taken { run: seat.run, cell })
        })
        .await
    }

    /// Chooses the driver that has the fewest calls in flight; among several, the one whose last call is the longest ago.
    pub(crate) async fn choose(&self, wanted: Wanted) -> Result<(Run, Driver<T>), Refused> {
        self.wait(wanted, |state, which| {
            let lives = |seat: &&mut Seat<T>| match &seat.held {
                Held::Driven(driver) => driver.lives() && seat.fits(which),
                Held::Resting(_) | Held::Lent => false,
            };
            let seat = state.seats.iter_mut().filter(lives).min_by_key(|seat| (seat.in_flight, seat.turn))?;
            let Held::Driven(driver) = &seat.held else { return None };
            let driver = driver.clone();
            seat.begin_call(&mut state.turn);
            Some((seat.run, driver))
        })
        .await
    }

    async fn wait<R>(
        &self,
        Wanted { mut which, deadline, caller }: Wanted,
        mut attempt: impl FnMut(&mut State<T>, Which) -> Option<R>,
    ) -> Result<R, Refused> {
        loop {
            let freed = self.freed.notified();
            let there = {
                let mut state = self.state.lock();
                if let Some(got) = attempt(&mut state, which) {
                    return Ok(got);
                }
                let there = state.seats.iter().any(|seat| seat.fits(which));
                match which {
                    Which::Exactly(_) if !there => return Err(Refused::Dead),
                    Which::Rather(_) if !there => {
                        which = Which::Any;
                        continue;
                    }
                    Which::Any | Which::Rather(_) | Which::Exactly(_) => {}
                }
                if let (Standing::Down(why), false) = (&state.standing, there) {
                    return Err(Refused::Down(why.to_string()));
                }
                there
            };
            if !there && caller.as_ref().is_some_and(|caller| caller.is_announced()) {
                return Err(Refused::Down("it is being restarted, and so is its caller".to_owned()));
            }
            if meter::until(freed, deadline).await.is_none() {
                return Err(if there { Refused::Late } else { Refused::restarting() });
            }
        }
    }

    /// Whether calls fail at once, and why.
    pub(crate) fn down(&self) -> Option<String> {
        if !self.down.load(Ordering::SeqCst) {
            return None;
        }
        let state = self.state.lock();
        match &state.standing {
            Standing::Down(why) if state.seats.iter().all(|seat| seat.leaving) => Some(why.to_string()),
            Standing::Down(_) | Standing::Open => None,
        }
    }

    /// Gives a cell back after its call.
    pub(crate) fn give_back(&self, run: Run, cell: Box<Cell<T>>) {
        let mut state = self.state.lock();
        let place = state.seats.iter().position(|seat| seat.run == run);
        let surplus = match place {
            Some(place) => {
                state.seats[place].held = Held::Resting(cell);
                self.end_call(&mut state, place)
            }
            None => Some(Held::Resting(cell)),
        };
        drop(state);
        self.let_go(run, surplus);
    }

    /// A call that a driver had is over.
    pub(crate) fn called(&self, run: Run) {
        let mut state = self.state.lock();
        let place = state.seats.iter().position(|seat| seat.run == run);
        let surplus = place.and_then(|place| self.end_call(&mut state, place));
        drop(state);
        // Its driver ends when it has nothing left to do, and says so itself.
        drop(surplus);
    }

    /// Counts the end of a call; what comes back is to be let go, outside the lock.
    fn end_call(&self, state: &mut State<T>, place: usize) -> Option<Held<T>> {
        let seat = &mut state.seats[place];
        seat.in_flight = seat.in_flight.saturating_sub(1);
        if !seat.worn
            && !seat.leaving
            && let Some(wear) = self.wear(seat)
        {
            seat.worn = true;
            // Nobody listens any more when the app ends.
            let _ = self.tell.send(Happened::Worn(seat.run, wear));
        }
        state.vacate_if_done(place)
    }

    fn wear(&self, seat: &Seat<T>) -> Option<Wear> {
        if self.recycle.calls.is_some_and(|calls| seat.calls >= u64::from(calls)) {
            return Some(Wear::Calls);
        }
        let memory = self.recycle.memory?;
        (seat.account.memory_bytes() >= memory.0).then_some(Wear::Memory)
    }

    /// A cell has ended, and is dropped already. `None` is one that had to.
    pub(crate) fn ended(&self, run: Run, end: Option<End>) {
        let mut state = self.state.lock();
        let place = state.seats.iter().position(|seat| seat.run == run);
        let seat = place.map(|place| state.seats.swap_remove(place));
        drop(state);
        let told = match seat.is_some_and(|seat| !seat.leaving) {
            true => Happened::Ended(run, end.unwrap_or(End::CutOff)),
            false => Happened::Gone(run),
        };
        let _ = self.tell.send(told);
        self.freed.notify_waiters();
    }

    /// Gives a cell no more calls, and lets it go when it has none left.
    pub(crate) fn leave(&self, run: Run, hurry: bool) {
        let mut state = self.state.lock();
        let Some(place) = state.seats.iter().position(|seat| seat.run == run) else {
            drop(state);
            // It has ended meanwhile, and said so.
            return;
        };
        let seat = &mut state.seats[place];
        seat.leaving = true;
        if hurry {
            seat.bound = 0;
            seat.cut.announce();
        }
        let surplus = state.vacate_if_done(place);
        drop(state);
        self.let_go(run, surplus);
    }

    /// Ends a cell that is still busy.
    pub(crate) fn cut(&self, run: Run) {
        let state = self.state.lock();
        if let Some(seat) = state.seats.iter().find(|seat| seat.run == run) {
            seat.cut.make();
        }
    }

    /// Throws out its cells, or this one: those that rest are gone when this returns, the others end at their next step. Says how many.
    pub(crate) fn eject(&self, which: Option<CellId>) -> u64 {
        let mut gone = Vec::new();
        let mut count = 0;
        let mut state = self.state.lock();
        let meant = |seat: &Seat<T>| which.is_none_or(|cell| cell == seat.cell);
        for seat in state.seats.iter().filter(|seat| meant(seat)) {
            count += 1;
            seat.cut.eject();
        }
        let mut place = 0;
        while let Some(seat) = state.seats.get(place) {
            if meant(seat) && matches!(seat.held, Held::Resting(_)) {
                gone.push(state.seats.swap_remove(place));
            } else {
                place += 1;
            }
        }
        drop(state);
        for seat in gone {
            drop(seat.held);
            let failed = Happened::Ended(seat.run, End::Failed(FailureKind::WallLost));
            // Nobody listens any more when the app ends.
            let _ = self.tell.send(if seat.leaving { Happened::Gone(seat.run) } else { failed });
        }
        self.freed.notify_waiters();
        count
    }

    /// Has its cells replaced by fresh ones, when those have finished that are there.
    pub(crate) fn restart(&self, component: ComponentId) -> u64 {
        let count = self.state.lock().seats.iter().filter(|seat| !seat.leaving).count();
        let _ = self.tell.send(Happened::Asked(component));
        count as u64
    }

    /// A call tree holds on to a cell, for the handles that it has from it.
    pub(crate) fn bind(&self, run: Run) {
        if let Some(seat) = self.state.lock().seats.iter_mut().find(|seat| seat.run == run) {
            seat.bound += 1;
        }
    }

    pub(crate) fn unbind(&self, run: Run) {
        let mut state = self.state.lock();
        let Some(place) = state.seats.iter().position(|seat| seat.run == run) else { return };
        state.seats[place].bound = state.seats[place].bound.saturating_sub(1);
        let surplus = state.vacate_if_done(place);
        drop(state);
        self.let_go(run, surplus);
    }

    fn let_go(&self, run: Run, held: Option<Held<T>>) {
        match held {
            None => {}
            // Its driver says when it is gone.
            Some(Held::Driven(driver)) => drop(driver),
            Some(held @ (Held::Resting(_) | Held::Lent)) => {
                drop(held);
                let _ = self.tell.send(Happened::Gone(run));
            }
        }
        self.freed.notify_waiters();
    }

    /// Tells calls where they stand.
    pub(crate) fn stand(&self, standing: Standing) {
        self.down.store(standing != Standing::Open, Ordering::SeqCst);
        self.state.lock().standing = standing;
        self.look_again();
    }

    /// Has every call that waits look at where it stands.
    pub(crate) fn look_again(&self) {
        self.freed.notify_waiters();
    }

    /// Every seat, as it is now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let state = self.state.lock();
        let seen = state.seats.iter().map(|seat| Seen {
            number: seat.number,
            cell: seat.cell,
            since: seat.since,
            calls: seat.calls,
            in_flight: seat.in_flight,
            leaving: seat.leaving,
            usage: seat.account.usage(),
        });
        seen.collect()
    }

    /// Keeps a resource whose holder died, for its owner to drop.
    pub(crate) fn bury(&self, cell: CellId, resource: ResourceAny) {
        let mut state = self.state.lock();
        if state.buried.len() < MAX_BURIED {
            state.buried.push((cell, resource));
        }
    }

    /// Lets go of what a cell that is gone has to drop.
    pub(crate) fn forget(&self, id: CellId) {
        self.state.lock().buried.retain(|(cell, _)| *cell != id);
    }

    /// The resources that one cell has to drop.
    pub(crate) fn buried(&self, cell: CellId) -> Vec<ResourceAny> {
        let mut state = self.state.lock();
        if state.buried.is_empty() {
            return Vec::new();
        }
        let (mine, others) = std::mem::take(&mut state.buried).into_iter().partition(|(owner, _)| *owner == cell);
        state.buried = others;
        let mine: Vec<(CellId, ResourceAny)> = mine;
        mine.into_iter().map(|(_, resource)| resource).collect()
    }

    /// Lets every cell go, now or when its call ends.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.standing = Standing::Down(DownReason::Stopped);
        let seats = std::mem::take(&mut state.seats);
        drop(state);
        drop(seats);
    }
}

impl<T: CellData> State<T> {
    /// Takes out of its seat what has to go and has nothing left to do.
    fn vacate_if_done(&mut self, place: usize) -> Option<Held<T>> {
        let seat = &self.seats[place];
        if !seat.leaving || seat.in_flight > 0 || seat.bound > 0 || matches!(seat.held, Held::Lent) {
            return None;
        }
        match seat.held {
            // The seat stays until the driver has ended: the cell is not gone yet.
            Held::Driven(_) => Some(std::mem::replace(&mut self.seats[place].held, Held::Lent)),
            Held::Resting(_) | Held::Lent => Some(self.seats.swap_remove(place).held),
        }
    }
}

impl<T: CellData> Seat<T> {
    fn fits(&self, which: Which) -> bool {
        match which {
            Which::Any => !self.leaving,
            Which::Rather(run) => self.run == run,
            Which::Exactly(cell) => self.cell == cell,
        }
    }

    fn begin_call(&mut self, turn: &mut u64) {
        *turn += 1;
        self.turn = *turn;
        self.calls += 1;
        self.in_flight += 1;
    }
}

impl Refused {
    fn restarting() -> Self {
        Self::Down("it is being restarted, and was not up within the deadline".to_owned())
    }

    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Down(_) => FailureKind::Down,
            Self::Late => FailureKind::Deadline,
            Self::Dead => FailureKind::DeadHandle,
        }
    }
}
