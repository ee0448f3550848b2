//! Who works, who rests and who is let go: the supervisor's decisions, without processes, sockets or clocks (invariant 8).
//!
//! ```text
//!             prepared, seated                      stop
//!  Starting -------------------> Serving     any ---------> Leaving ---> Gone
//!   ^  |  \                        |  \
//!   |  |   \ first start of all    |   `-- successor seated --> drains beside it, until it is gone
//!   |  |    `---> Held <-.         | ends
//!   |  `-- ends ----------`--> Resting
//!   `------------- due -----------'
//! ```
//!
//! A worker that ends is replaced at once; one that keeps ending soon after its start rests longer each time. Its listening
//! socket stays open meanwhile, so that connections wait for the replacement, but not for long while others could
//! serve them: then it is closed, and bound again when the replacement is ready. At least one socket is open until the stop.
//!
//! [`reload`] says how all workers are replaced by those of a new edition of the orders, one place after the other.

mod reload;

use std::time::{Duration, Instant};

use self::reload::Reload;
pub(crate) use self::reload::ReloadEnd;
use crate::status::WorkerState;

/// A worker's place, from 0.
pub(crate) type Slot = usize;

/// Which orders a worker has: each reload has a higher number than what was before.
pub(crate) type Edition = u32;

/// The edition that a node begins with.
pub(crate) const FIRST_EDITION: Edition = 1;

/// One process: the so-manieth at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Who {
    /// Its place.
    pub(crate) slot: Slot,
    /// Counted from 1.
    pub(crate) turn: u32,
}

/// How patient the supervisor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Serving this long clears a worker's record of quick ends.
    pub healthy_after: Duration,
    /// The rest after the second quick end in a row; doubled with each further one. The first is not followed by any.
    pub first_rest: Duration,
    /// The longest rest.
    pub longest_rest: Duration,
    /// From a worker's start until it is ready; then it is killed and replaced.
    pub start_timeout: Duration,
    /// How long connections may queue for a worker that does not serve, while others do.
    pub hold: Duration,
    /// From the stop, or a worker's replacement, until what still drains is killed.
    pub stop_timeout: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            healthy_after: Duration::from_secs(10),
            first_rest: Duration::from_millis(100),
            longest_rest: Duration::from_secs(10),
            start_timeout: Duration::from_secs(300),
            hold: Duration::from_secs(1),
            stop_timeout: Duration::from_secs(25),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// The supervisor begins.
    Begin,
    /// A worker says that it is ready to serve.
    Prepared(Who),
    /// It got its listening socket.
    Seated(Who),
    /// It could not get one.
    SeatFailed {
        /// Who.
        who: Who,
        /// Whether there is a socket.
        bound: bool,
        /// What went wrong.
        why: String,
    },
    /// A worker says why it will not serve.
    Complained(Who, String),
    /// A worker's process is gone, or could not be started.
    Ended(Who, String),
    /// Orders of a new edition lie ready: all workers shall have them.
    Reload(Edition),
    /// Time has passed.
    Tick,
    /// Stop, and let requests finish.
    Stop,
    /// Stop at once, also while stopping.
    StopNow,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Start a process with these orders.
    Spawn(Who, Edition),
    /// Give the worker its listening socket, bound anew if it was closed.
    Seat(Who),
    /// Close a listening socket.
    CloseSocket(Slot),
    /// Ask a worker to drain and end.
    Terminate(Who),
    /// The same, of one whose successor serves: there is no hurry.
    Retire(Who),
    /// End a worker.
    Kill(Who),
    /// Say that a worker serves.
    TellStarted(Who),
    /// Say that a worker is gone, and how.
    TellEnded(Who, String),
    /// Say what became of a reload. Orders that no worker has any more are not needed again.
    TellReload(Edition, ReloadEnd),
    /// It is over.
    Finish(Finish),
}

impl Order {
    /// Deeds, then news, then the end.
    fn rank(&self) -> u8 {
        match self {
            Self::Spawn(..)
            | Self::Seat(_)
            | Self::CloseSocket(_)
            | Self::Terminate(_)
            | Self::Retire(_)
            | Self::Kill(_) => 0,
            Self::TellStarted(_) | Self::TellEnded(..) => 1,
            Self::TellReload(..) => 2,
            Self::Finish(_) => 3,
        }
    }
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// As asked, with so many workers killed because they did not drain in time.
    Stopped { killed: usize },
    /// No worker ever served; why the last one did not.
    NeverStarted(String),
}

/// A worker, for people.
#[derive(Clone, Debug)]
pub(crate) struct WorkerSight {
    pub(crate) who: Who,
    pub(crate) edition: Edition,
    pub(crate) state: WorkerState,
    /// For how long.
    pub(crate) since: Duration,
    pub(crate) restarts: u32,
}

/// All workers.
#[derive(Debug)]
pub(crate) struct Roster {
    policy: Policy,
    places: Vec<Place>,
    /// Whether any worker ever served.
    proven: bool,
    /// Since when at least one serves.
    serving_since: Option<Instant>,
    /// What workers that end are replaced by, where no reload says otherwise.
    edition: Edition,
    reload: Option<Reload>,
    stopping: Option<Stopping>,
}

/// One worker's place: who has it, who is to have it next, and who had it before.
#[derive(Debug)]
struct Place {
    slot: Slot,
    state: State,
    /// The process that has it, or had it last.
    turn: u32,
    edition: Edition,
    /// What people are told of that, and since when it is so.
    shown: (WorkerState, Instant),
    turns: u32,
    restarts: u32,
    /// Since when nobody serves its socket.
    idle_since: Instant,
    socket_open: bool,
    quick_ends: u32,
    complaint: Option<String>,
    successor: Option<Successor>,
    leaving: Vec<Leaver>,
}

/// A process that starts, to take over from one that serves.
#[derive(Debug)]
struct Successor {
    turn: u32,
    edition: Edition,
    since: Instant,
    complaint: Option<String>,
}

/// A process that drains, after its successor took over.
#[derive(Debug)]
struct Leaver {
    turn: u32,
    edition: Edition,
    since: Instant,
    /// When it is killed; none once it was.
    kill_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting { since: Instant },
    Serving { since: Instant },
    Resting { until: Instant },
    Held,
    Leaving,
    Gone,
}

#[derive(Debug)]
struct Stopping {
    kill_at: Option<Instant>,
    killed: usize,
}

impl Roster {
    /// `count` workers whose sockets are open already.
    pub(crate) fn new(count: usize, policy: Policy, now: Instant) -> Self {
        let places = (0..count).map(|slot| Place::new(slot, now)).collect();
        Self {
            policy,
            places,
            proven: false,
            serving_since: None,
            edition: FIRST_EDITION,
            reload: None,
            stopping: None,
        }
    }

    /// What follows from what happened.
    pub(crate) fn step(&mut self, happened: Happened, now: Instant) -> Vec<Order> {
        let mut orders = Vec::new();
        match happened {
            Happened::Begin => {
                for slot in 0..self.places.len() {
                    self.start(slot, now, &mut orders);
                }
            }
            Happened::Prepared(who) => self.prepared(who, &mut orders),
            Happened::Seated(who) => self.seated(who, now, &mut orders),
            Happened::SeatFailed { who, bound, why } => {
                self.places[who.slot].socket_open = bound;
                self.places[who.slot].complain(who, why);
                orders.push(Order::Kill(who));
            }
            Happened::Complained(who, why) => self.places[who.slot].complain(who, why),
            Happened::Ended(who, how) => self.ended(who, how, now, &mut orders),
            Happened::Reload(edition) => self.begin_reload(edition, &mut orders),
            Happened::Tick => self.tick(now, &mut orders),
            Happened::Stop => self.stop(now, &mut orders),
            Happened::StopNow => {
                self.stop(now, &mut orders);
                self.kill_leaving(&mut orders);
            }
        }
        if self.stopping.is_none() {
            self.go_on_with_reload(now, &mut orders);
            self.note_serving(now);
            self.release_sockets(now, &mut orders);
        }
        for place in &mut self.places {
            place.note_shown(now);
        }
        // Who hears of an end may rely on what follows from it being done.
        orders.sort_by_key(Order::rank);
        orders
    }

    /// Whether a stop was asked for.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// How its workers are: each place's own, its successor, and who drains.
    pub(crate) fn sight(&self, now: Instant) -> Vec<WorkerSight> {
        self.places.iter().flat_map(|place| place.sight(now)).collect()
    }

    /// When to call `step` with [`Happened::Tick`], if nothing happens before.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let leavers = self.places.iter().flat_map(|place| &place.leaving).filter_map(|leaver| leaver.kill_at);
        if let Some(stopping) = &self.stopping {
            return stopping.kill_at.into_iter().chain(leavers).min();
        }
        let timers = self.places.iter().filter_map(|place| match place.state {
            State::Starting { since } => Some(since + self.policy.start_timeout),
            State::Resting { until } => Some(until),
            State::Serving { .. } | State::Held | State::Leaving | State::Gone => None,
        });
        let successors = self.places.iter().filter_map(|place| place.successor.as_ref());
        let successors = successors.map(|successor| successor.since + self.policy.start_timeout);
        let releases = self.places.iter().filter_map(|place| self.release_at(place));
        let retry = self.reload.as_ref().and_then(Reload::retry_at);
        timers.chain(releases).chain(successors).chain(leavers).chain(retry).min()
    }

    fn start(&mut self, slot: Slot, now: Instant, orders: &mut Vec<Order>) {
        let place = &mut self.places[slot];
        place.restarts = place.restarts.saturating_add(u32::from(place.turns > 0));
        place.turn = place.next_turn();
        place.state = State::Starting { since: now };
        orders.push(Order::Spawn(place.who(), place.edition));
    }

    fn prepared(&mut self, who: Who, orders: &mut Vec<Order>) {
        let place = &self.places[who.slot];
        let starts = place.turn == who.turn && matches!(place.state, State::Starting { .. });
        if starts || place.successor.as_ref().is_some_and(|successor| successor.turn == who.turn) {
            orders.push(Order::Seat(who));
        }
    }

    fn seated(&mut self, who: Who, now: Instant, orders: &mut Vec<Order>) {
        self.places[who.slot].take_over(who, now + self.policy.stop_timeout, now, orders);
        let place = &mut self.places[who.slot];
        place.socket_open = true;
        place.complaint = None;
        place.state = State::Serving { since: now };
        place.shown = (WorkerState::Serving, now);
        orders.push(Order::TellStarted(who));
        if !self.proven {
            self.proven = true;
            // What kept others from starting is theirs alone: they get their chances.
            for held in self.places.iter_mut().filter(|place| place.state == State::Held) {
                held.state = State::Resting { until: now + self.policy.first_rest };
            }
        }
    }

    fn ended(&mut self, who: Who, how: String, now: Instant, orders: &mut Vec<Order>) {
        let place = &mut self.places[who.slot];
        if place.leaving.iter().any(|leaver| leaver.turn == who.turn) {
            place.leaving.retain(|leaver| leaver.turn != who.turn);
            orders.push(Order::TellEnded(who, how));
            return self.finish_if_gone(orders);
        }
        if place.successor.as_ref().is_some_and(|successor| successor.turn == who.turn) {
            return self.successor_ended(who, how, now, orders);
        }
        if place.turn != who.turn {
            return;
        }
        let complaint = place.complaint.take();
        let told = complaint.as_ref().map_or_else(|| how.clone(), |why| format!("{how}: {why}"));
        orders.push(Order::TellEnded(who, told));
        match place.state {
            State::Serving { since } => {
                place.idle_since = now;
                if now - since >= self.policy.healthy_after {
                    place.quick_ends = 0;
                }
                self.replace(who.slot, now, orders);
            }
            State::Starting { .. } if self.proven => {
                self.replace(who.slot, now, orders);
                self.newcomer_failed(who.slot, complaint.unwrap_or(how), orders);
            }
            State::Starting { .. } => {
                place.quick_ends += 1;
                place.state = State::Held;
                if self.places.iter().all(|place| place.state == State::Held) {
                    orders.push(Order::Finish(Finish::NeverStarted(complaint.unwrap_or(how))));
                }
            }
            State::Resting { .. } | State::Held | State::Leaving | State::Gone => {
                place.state = State::Gone;
                self.finish_if_gone(orders);
            }
        }
    }

    fn replace(&mut self, slot: Slot, now: Instant, orders: &mut Vec<Order>) {
        let place = &mut self.places[slot];
        place.quick_ends += 1;
        match self.policy.rest_after(place.quick_ends) {
            None => self.start(slot, now, orders),
            Some(rest) => place.state = State::Resting { until: now + rest },
        }
    }

    fn tick(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let before = orders.len();
        for place in &mut self.places {
            place.kill_overdue(now, orders);
        }
        if let Some(stopping) = &mut self.stopping {
            stopping.killed += orders.len() - before;
            if stopping.kill_at.is_some_and(|at| at <= now) {
                self.kill_leaving(orders);
            }
            return;
        }
        for slot in 0..self.places.len() {
            let place = &mut self.places[slot];
            if let Some(successor) = &mut place.successor
                && successor.since + self.policy.start_timeout <= now
            {
                successor.complaint = Some(TOO_SLOW.to_owned());
                // Asked once: its end is what goes on from here.
                successor.since = now;
                orders.push(Order::Kill(Who { slot, turn: successor.turn }));
            }
            match place.state {
                State::Resting { until } if until <= now => self.start(slot, now, orders),
                State::Starting { since } if since + self.policy.start_timeout <= now => {
                    place.complaint = Some(TOO_SLOW.to_owned());
                    place.state = State::Starting { since: now };
                    orders.push(Order::Kill(place.who()));
                }
                State::Starting { .. }
                | State::Serving { .. }
                | State::Resting { .. }
                | State::Held
                | State::Leaving
                | State::Gone => {}
            }
        }
    }

    fn stop(&mut self, now: Instant, orders: &mut Vec<Order>) {
        if self.stopping.is_some() {
            return;
        }
        let kill_at = now + self.policy.stop_timeout;
        self.stopping = Some(Stopping { kill_at: Some(kill_at), killed: 0 });
        self.stop_reload(orders);
        // First the sockets: a worker takes what queued on its own copy, and nothing new comes after that.
        for slot in 0..self.places.len() {
            self.close_socket(slot, orders);
        }
        for place in &mut self.places {
            // Who was told that there is no hurry is told that there is.
            orders.extend(
                place.leaving.iter().map(|leaver| Order::Terminate(Who { slot: place.slot, turn: leaver.turn })),
            );
            if let Some(successor) = place.successor.take() {
                orders.push(Order::Terminate(Who { slot: place.slot, turn: successor.turn }));
                place.leaving.push(successor.leaves(kill_at, now));
            }
            match place.state {
                State::Starting { .. } | State::Serving { .. } => {
                    place.state = State::Leaving;
                    orders.push(Order::Terminate(place.who()));
                }
                State::Resting { .. } | State::Held => place.state = State::Gone,
                State::Leaving | State::Gone => {}
            }
        }
        self.finish_if_gone(orders);
    }

    /// Ends everyone who drains, and counts them, where the stop's time is over.
    fn kill_leaving(&mut self, orders: &mut Vec<Order>) {
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.kill_at.take().is_none() {
            return;
        }
        for place in &mut self.places {
            if place.state == State::Leaving {
                orders.push(Order::Kill(place.who()));
                stopping.killed += 1;
            }
            let slot = place.slot;
            for leaver in &mut place.leaving {
                if leaver.kill_at.take().is_some() {
                    orders.push(Order::Kill(Who { slot, turn: leaver.turn }));
                    stopping.killed += 1;
                }
            }
        }
    }

    fn finish_if_gone(&self, orders: &mut Vec<Order>) {
        if let Some(stopping) = &self.stopping
            && self.places.iter().all(|place| place.state == State::Gone && place.leaving.is_empty())
        {
            orders.push(Order::Finish(Finish::Stopped { killed: stopping.killed }));
        }
    }

    fn note_serving(&mut self, now: Instant) {
        let any = self.places.iter().any(|place| matches!(place.state, State::Serving { .. }));
        self.serving_since = any.then(|| self.serving_since.unwrap_or(now));
    }

    fn release_sockets(&mut self, now: Instant, orders: &mut Vec<Order>) {
        for slot in 0..self.places.len() {
            if self.release_at(&self.places[slot]).is_some_and(|at| at <= now) {
                self.close_socket(slot, orders);
            }
        }
    }

    /// When a worker's socket must stop taking connections that others would serve.
    fn release_at(&self, place: &Place) -> Option<Instant> {
        let others_since = self.serving_since.filter(|_| place.socket_open)?;
        let waited_since = place.idle_since.max(others_since);
        match place.state {
            // Known to take too long: not one connection more.
            State::Resting { until } if until > waited_since + self.policy.hold => Some(waited_since),
            State::Resting { .. } | State::Starting { .. } | State::Held => Some(waited_since + self.policy.hold),
            State::Serving { .. } | State::Leaving | State::Gone => None,
        }
    }

    fn close_socket(&mut self, slot: Slot, orders: &mut Vec<Order>) {
        if std::mem::take(&mut self.places[slot].socket_open) {
            orders.push(Order::CloseSocket(slot));
        }
    }
}

/// What is said of a worker that takes too long to start.
const TOO_SLOW: &str = "not ready in time";

impl Place {
    fn new(slot: Slot, now: Instant) -> Self {
        Self {
            slot,
            state: State::Held,
            turn: 0,
            edition: FIRST_EDITION,
            shown: (State::Held.shown(), now),
            turns: 0,
            restarts: 0,
            idle_since: now,
            socket_open: true,
            quick_ends: 0,
            complaint: None,
            successor: None,
            leaving: Vec::new(),
        }
    }

    fn who(&self) -> Who {
        Who { slot: self.slot, turn: self.turn }
    }

    fn next_turn(&mut self) -> u32 {
        self.turns += 1;
        self.turns
    }

    fn complain(&mut self, who: Who, why: String) {
        match &mut self.successor {
            Some(successor) if successor.turn == who.turn => successor.complaint = Some(why),
            _ if self.turn == who.turn => self.complaint = Some(why),
            _ => {}
        }
    }

    fn note_shown(&mut self, now: Instant) {
        if self.state.shown() != self.shown.0 {
            self.shown = (self.state.shown(), now);
        }
    }

    fn kill_overdue(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let slot = self.slot;
        let overdue = self.leaving.iter_mut().filter(|leaver| leaver.kill_at.is_some_and(|at| at <= now));
        orders.extend(overdue.map(|leaver| {
            leaver.kill_at = None;
            Order::Kill(Who { slot, turn: leaver.turn })
        }));
    }

    fn sight(&self, now: Instant) -> impl Iterator<Item = WorkerSight> {
        let sight = move |turn, edition, state, since: Instant| WorkerSight {
            who: Who { slot: self.slot, turn },
            edition,
            state,
            since: now.saturating_duration_since(since),
            restarts: self.restarts,
        };
        let (state, since) = self.shown;
        let leaving = self.leaving.iter();
        let leaving =
            leaving.map(move |leaver| sight(leaver.turn, leaver.edition, WorkerState::Draining, leaver.since));
        let successor = self.successor.as_ref();
        let successor = successor.map(|next| sight(next.turn, next.edition, WorkerState::Starting, next.since));
        [sight(self.turn, self.edition, state, since)].into_iter().chain(successor).chain(leaving)
    }
}

impl State {
    fn shown(self) -> WorkerState {
        match self {
            Self::Starting { .. } => WorkerState::Starting,
            Self::Serving { .. } => WorkerState::Serving,
            Self::Resting { .. } | Self::Held => WorkerState::Resting,
            Self::Leaving => WorkerState::Draining,
            Self::Gone => WorkerState::Gone,
        }
    }
}

impl Policy {
    /// How long to rest after so many quick ends in a row.
    fn rest_after(&self, quick_ends: u32) -> Option<Duration> {
        let doublings = quick_ends.checked_sub(2)?;
        let rest = self.first_rest.saturating_mul(2_u32.saturating_pow(doublings));
        Some(rest.min(self.longest_rest))
    }
}

#[cfg(test)]
mod tests;
