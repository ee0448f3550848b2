//! Who works, who rests and who is let go: the supervisor's decisions, without processes, sockets or clocks (invariant 8).
//!
//! ```text
//!             prepared, seated                      stop
//!  Starting -------------------> Serving     any ---------> Leaving ---> Gone
//!   ^  |  \                        |
//!   |  |   \ first start of all    | ends
//!   |  |    `---> Held <-.         v
//!   |  `-- ends ----------`--> Resting
//!   `------------- due -----------'
//! ```
//!
//! A worker that ends is replaced at once; one that keeps ending soon after its start rests longer each time. Its listening
//! socket stays open meanwhile, so that connections wait for the replacement, but not for long while others could
//! serve them: then it is closed, and bound again when the replacement is ready. At least one socket is open until the stop.

use std::time::{Duration, Instant};

use crate::status::WorkerState;

/// A worker's place, from 0.
pub(crate) type Slot = usize;

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
    /// From the stop until workers that still drain are killed.
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
    Prepared(Slot),
    /// It got its listening socket.
    Seated(Slot),
    /// It could not get one.
    SeatFailed {
        /// Whose.
        slot: Slot,
        /// Whether there is a socket.
        bound: bool,
        /// What went wrong.
        why: String,
    },
    /// A worker says why it will not serve.
    Complained(Slot, String),
    /// A worker's process is gone, or could not be started.
    Ended(Slot, String),
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
    /// Start a process.
    Spawn(Slot),
    /// Give the worker its listening socket, bound anew if it was closed.
    Seat(Slot),
    /// Close a listening socket.
    CloseSocket(Slot),
    /// Ask a worker to drain and end.
    Terminate(Slot),
    /// End a worker.
    Kill(Slot),
    /// Say that a worker serves.
    TellStarted(Slot),
    /// Say that a worker is gone, and how.
    TellEnded(Slot, String),
    /// It is over.
    Finish(Finish),
}

impl Order {
    /// Deeds, then news, then the end.
    fn rank(&self) -> u8 {
        match self {
            Self::Spawn(_) | Self::Seat(_) | Self::CloseSocket(_) | Self::Terminate(_) | Self::Kill(_) => 0,
            Self::TellStarted(_) | Self::TellEnded(..) => 1,
            Self::Finish(_) => 2,
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

/// All workers.
#[derive(Debug)]
pub(crate) struct Roster {
    policy: Policy,
    workers: Vec<Worker>,
    /// Whether any worker ever served.
    proven: bool,
    /// Since when at least one serves.
    serving_since: Option<Instant>,
    stopping: Option<Stopping>,
}

/// A worker, for people.
#[derive(Clone, Debug)]
pub(crate) struct WorkerSight {
    pub(crate) slot: Slot,
    pub(crate) state: WorkerState,
    /// For how long.
    pub(crate) since: Duration,
    pub(crate) restarts: u32,
}

#[derive(Debug)]
struct Worker {
    state: State,
    /// What people are told of that, and since when it is so.
    shown: (WorkerState, Instant),
    starts: u32,
    /// Since when nobody serves its socket.
    idle_since: Instant,
    socket_open: bool,
    quick_ends: u32,
    complaint: Option<String>,
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
        let worker = || Worker {
            state: State::Held,
            shown: (State::Held.shown(), now),
            starts: 0,
            idle_since: now,
            socket_open: true,
            quick_ends: 0,
            complaint: None,
        };
        let workers = std::iter::repeat_with(worker).take(count).collect();
        Self { policy, workers, proven: false, serving_since: None, stopping: None }
    }

    /// What follows from what happened.
    pub(crate) fn step(&mut self, happened: Happened, now: Instant) -> Vec<Order> {
        let mut orders = Vec::new();
        match happened {
            Happened::Begin => {
                for slot in 0..self.workers.len() {
                    self.start(slot, now, &mut orders);
                }
            }
            Happened::Prepared(slot) => self.prepared(slot, &mut orders),
            Happened::Seated(slot) => self.seated(slot, now, &mut orders),
            Happened::SeatFailed { slot, bound, why } => {
                self.workers[slot].socket_open = bound;
                self.workers[slot].complaint = Some(why);
                orders.push(Order::Kill(slot));
            }
            Happened::Complained(slot, why) => self.workers[slot].complaint = Some(why),
            Happened::Ended(slot, how) => self.ended(slot, how, now, &mut orders),
            Happened::Tick => self.tick(now, &mut orders),
            Happened::Stop => self.stop(now, &mut orders),
            Happened::StopNow => {
                self.stop(now, &mut orders);
                self.kill_leaving(&mut orders);
            }
        }
        if self.stopping.is_none() {
            self.note_serving(now);
            self.release_sockets(now, &mut orders);
        }
        for worker in &mut self.workers {
            if worker.state.shown() != worker.shown.0 {
                worker.shown = (worker.state.shown(), now);
            }
        }
        // Who hears of an end may rely on what follows from it being done.
        orders.sort_by_key(Order::rank);
        orders
    }

    /// Whether a stop was asked for.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// How its workers are.
    pub(crate) fn sight(&self, now: Instant) -> Vec<WorkerSight> {
        let sight = |(slot, worker): (Slot, &Worker)| {
            let (state, since) = worker.shown;
            WorkerSight { slot, state, since: now - since, restarts: worker.starts.saturating_sub(1) }
        };
        self.workers.iter().enumerate().map(sight).collect()
    }

    /// When to call `step` with [`Happened::Tick`], if nothing happens before.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        if let Some(stopping) = &self.stopping {
            return stopping.kill_at;
        }
        let timers = self.workers.iter().filter_map(|worker| match worker.state {
            State::Starting { since } => Some(since + self.policy.start_timeout),
            State::Resting { until } => Some(until),
            State::Serving { .. } | State::Held | State::Leaving | State::Gone => None,
        });
        let releases = self.workers.iter().filter_map(|worker| self.release_at(worker));
        timers.chain(releases).min()
    }

    fn start(&mut self, slot: Slot, now: Instant, orders: &mut Vec<Order>) {
        self.workers[slot].state = State::Starting { since: now };
        self.workers[slot].starts = self.workers[slot].starts.saturating_add(1);
        orders.push(Order::Spawn(slot));
    }

    fn prepared(&mut self, slot: Slot, orders: &mut Vec<Order>) {
        if matches!(self.workers[slot].state, State::Starting { .. }) {
            orders.push(Order::Seat(slot));
        }
    }

    fn seated(&mut self, slot: Slot, now: Instant, orders: &mut Vec<Order>) {
        self.workers[slot].socket_open = true;
        self.workers[slot].complaint = None;
        self.workers[slot].state = State::Serving { since: now };
        orders.push(Order::TellStarted(slot));
        if !self.proven {
            self.proven = true;
            // What kept others from starting is theirs alone: they get their chances.
            for held in 0..self.workers.len() {
                if self.workers[held].state == State::Held {
                    self.workers[held].state = State::Resting { until: now + self.policy.first_rest };
                }
            }
        }
    }

    fn ended(&mut self, slot: Slot, how: String, now: Instant, orders: &mut Vec<Order>) {
        let worker = &mut self.workers[slot];
        let complaint = worker.complaint.take();
        let told = complaint.as_ref().map_or_else(|| how.clone(), |why| format!("{how}: {why}"));
        orders.push(Order::TellEnded(slot, told));
        match worker.state {
            State::Serving { since } => {
                worker.idle_since = now;
                if now - since >= self.policy.healthy_after {
                    worker.quick_ends = 0;
                }
                self.replace(slot, now, orders);
            }
            State::Starting { .. } if self.proven => self.replace(slot, now, orders),
            State::Starting { .. } => {
                worker.quick_ends += 1;
                worker.state = State::Held;
                if self.workers.iter().all(|worker| worker.state == State::Held) {
                    orders.push(Order::Finish(Finish::NeverStarted(complaint.unwrap_or(how))));
                }
            }
            State::Resting { .. } | State::Held | State::Leaving | State::Gone => {
                worker.state = State::Gone;
                self.finish_if_gone(orders);
            }
        }
    }

    fn replace(&mut self, slot: Slot, now: Instant, orders: &mut Vec<Order>) {
        let worker = &mut self.workers[slot];
        worker.quick_ends += 1;
        match self.policy.rest_after(worker.quick_ends) {
            None => self.start(slot, now, orders),
            Some(rest) => worker.state = State::Resting { until: now + rest },
        }
    }

    fn tick(&mut self, now: Instant, orders: &mut Vec<Order>) {
        if let Some(stopping) = &mut self.stopping {
            if stopping.kill_at.is_some_and(|at| at <= now) {
                self.kill_leaving(orders);
            }
            return;
        }
        for slot in 0..self.workers.len() {
            match self.workers[slot].state {
                State::Resting { until } if until <= now => self.start(slot, now, orders),
                State::Starting { since } if since + self.policy.start_timeout <= now => {
                    self.workers[slot].complaint = Some("not ready in time".to_owned());
                    // Asked once: its end is what goes on from here.
                    self.workers[slot].state = State::Starting { since: now };
                    orders.push(Order::Kill(slot));
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
        self.stopping = Some(Stopping { kill_at: Some(now + self.policy.stop_timeout), killed: 0 });
        // First the sockets: a worker takes what queued on its own copy, and nothing new comes after that.
        for slot in 0..self.workers.len() {
            self.close_socket(slot, orders);
        }
        for (slot, worker) in self.workers.iter_mut().enumerate() {
            match worker.state {
                State::Starting { .. } | State::Serving { .. } => {
                    worker.state = State::Leaving;
                    orders.push(Order::Terminate(slot));
                }
                State::Resting { .. } | State::Held => worker.state = State::Gone,
                State::Leaving | State::Gone => {}
            }
        }
        self.finish_if_gone(orders);
    }

    fn kill_leaving(&mut self, orders: &mut Vec<Order>) {
        let leaving = (0..self.workers.len()).filter(|slot| self.workers[*slot].state == State::Leaving);
        let before = orders.len();
        orders.extend(leaving.map(Order::Kill));
        if let Some(stopping) = &mut self.stopping {
            stopping.kill_at = None;
            stopping.killed = orders.len() - before;
        }
    }

    fn finish_if_gone(&self, orders: &mut Vec<Order>) {
        if let Some(stopping) = &self.stopping
            && self.workers.iter().all(|worker| worker.state == State::Gone)
        {
            orders.push(Order::Finish(Finish::Stopped { killed: stopping.killed }));
        }
    }

    fn note_serving(&mut self, now: Instant) {
        let any = self.workers.iter().any(|worker| matches!(worker.state, State::Serving { .. }));
        self.serving_since = any.then(|| self.serving_since.unwrap_or(now));
    }

    fn release_sockets(&mut self, now: Instant, orders: &mut Vec<Order>) {
        for slot in 0..self.workers.len() {
            if self.release_at(&self.workers[slot]).is_some_and(|at| at <= now) {
                self.close_socket(slot, orders);
            }
        }
    }

    /// When a worker's socket must stop taking connections that others would serve.
    fn release_at(&self, worker: &Worker) -> Option<Instant> {
        let others_since = self.serving_since.filter(|_| worker.socket_open)?;
        let waited_since = worker.idle_since.max(others_since);
        match worker.state {
            // Known to take too long: not one connection more.
            State::Resting { until } if until > waited_since + self.policy.hold => Some(waited_since),
            State::Resting { .. } | State::Starting { .. } | State::Held => Some(waited_since + self.policy.hold),
            State::Serving { .. } | State::Leaving | State::Gone => None,
        }
    }

    fn close_socket(&mut self, slot: Slot, orders: &mut Vec<Order>) {
        if std::mem::take(&mut self.workers[slot].socket_open) {
            orders.push(Order::CloseSocket(slot));
        }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a script of `milliseconds event` lines and returns what was ordered after each, as text.
    struct Script {
        roster: Roster,
        zero: Instant,
    }

    impl Script {
        fn new(count: usize) -> Self {
            let zero = Instant::now();
            Self { roster: Roster::new(count, Policy::default(), zero), zero }
        }

        fn at(&mut self, millis: u64, happened: Happened) -> String {
            let orders = self.roster.step(happened, self.zero + Duration::from_millis(millis));
            orders.iter().map(name).collect::<Vec<_>>().join(", ")
        }

        fn wakes_at(&self) -> Option<u128> {
            self.roster.wake_at().map(|at| (at - self.zero).as_millis())
        }

        /// Two workers that serve since 0.
        fn two_serving() -> Self {
            let mut script = Self::new(2);
            script.at(0, Happened::Begin);
            for slot in 0..2 {
                script.at(0, Happened::Prepared(slot));
                script.at(0, Happened::Seated(slot));
            }
            script
        }

        /// A replacement that serves at once.
        fn comes_back(&mut self, millis: u64, slot: Slot) {
            assert_eq!(self.at(millis, Happened::Prepared(slot)), format!("seat {slot}"));
            assert_eq!(self.at(millis, Happened::Seated(slot)), format!("tell started {slot}"));
        }
    }

    fn name(order: &Order) -> String {
        match order {
            Order::Spawn(slot) => format!("spawn {slot}"),
            Order::Seat(slot) => format!("seat {slot}"),
            Order::CloseSocket(slot) => format!("close {slot}"),
            Order::Terminate(slot) => format!("terminate {slot}"),
            Order::Kill(slot) => format!("kill {slot}"),
            Order::TellStarted(slot) => format!("tell started {slot}"),
            Order::TellEnded(slot, how) => format!("tell ended {slot} ({how})"),
            Order::Finish(Finish::Stopped { killed }) => format!("stopped, {killed} killed"),
            Order::Finish(Finish::NeverStarted(why)) => format!("never started: {why}"),
        }
    }

    fn ended(slot: Slot) -> Happened {
        Happened::Ended(slot, "killed".to_owned())
    }

    #[test]
    fn workers_are_started_seated_and_announced() {
        let mut script = Script::new(2);
        assert_eq!(script.at(0, Happened::Begin), "spawn 0, spawn 1");
        assert_eq!(script.at(5, Happened::Prepared(1)), "seat 1");
        assert_eq!(script.at(5, Happened::Seated(1)), "tell started 1");
        assert_eq!(script.at(6, Happened::Prepared(0)), "seat 0");
        assert_eq!(script.at(6, Happened::Seated(0)), "tell started 0");
        assert_eq!(script.wakes_at(), None);
    }

    #[test]
    fn a_worker_that_ends_is_replaced_at_once_and_its_socket_kept() {
        let mut script = Script::two_serving();
        assert_eq!(script.at(60_000, ended(0)), "spawn 0, tell ended 0 (killed)");
        script.comes_back(60_010, 0);
        assert_eq!(script.at(120_000, ended(0)), "spawn 0, tell ended 0 (killed)", "it was healthy in between");
    }

    #[test]
    fn quick_ends_in_a_row_rest_longer_up_to_a_bound() {
        let mut script = Script::two_serving();
        let mut now = 0;
        let mut rests = Vec::new();
        for _ in 0..10 {
            let orders = script.at(now, ended(0));
            if !orders.contains("spawn") {
                let due = u64::try_from(script.wakes_at().expect("it rests")).expect("small");
                rests.push(due - now);
                now = due;
                assert!(script.at(now, Happened::Tick).contains("spawn 0"));
            }
            script.comes_back(now, 0);
        }
        assert_eq!(rests, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        now += 10_000;
        assert_eq!(script.at(now, ended(0)), "spawn 0, tell ended 0 (killed)", "a healthy period clears the record");
    }

    #[test]
    fn a_socket_does_not_keep_connections_waiting_for_a_long_rest_while_another_worker_serves() {
        let mut script = Script::two_serving();
        let mut closed = None;
        let mut now = 0;
        for _ in 0..8 {
            let orders = script.at(now, ended(0));
            if orders.contains("close 0") {
                closed = script.wakes_at().map(|due| due - u128::from(now));
                break;
            }
            if !orders.contains("spawn") {
                now = u64::try_from(script.wakes_at().expect("it rests")).expect("small");
                script.at(now, Happened::Tick);
            }
            script.comes_back(now, 0);
        }
        assert_eq!(closed, Some(1600), "the first rest longer than the hold");
        // The replacement gets a new socket once it is ready, not before.
        assert_eq!(script.at(now + 1600, Happened::Tick), "spawn 0");
        script.comes_back(now + 1700, 0);
    }

    #[test]
    fn a_socket_is_released_when_a_replacement_takes_too_long_to_start() {
        let mut script = Script::two_serving();
        assert_eq!(script.at(20_000, ended(0)), "spawn 0, tell ended 0 (killed)");
        assert_eq!(script.wakes_at(), Some(21_000));
        assert_eq!(script.at(21_000, Happened::Tick), "close 0");
        script.comes_back(22_000, 0);
    }

    #[test]
    fn the_last_socket_stays_open_however_long_the_rest() {
        let mut script = Script::new(1);
        script.at(0, Happened::Begin);
        script.comes_back(0, 0);
        for now in 0..20 {
            let orders = script.at(now * 11_000, ended(0));
            assert!(!orders.contains("close"), "{orders}");
            if !orders.contains("spawn") {
                script.at(now * 11_000 + 10_500, Happened::Tick);
            }
            script.comes_back(now * 11_000 + 10_900, 0);
        }
    }

    #[test]
    fn when_no_worker_ever_starts_the_supervisor_gives_up_with_the_reason() {
        let mut script = Script::new(2);
        script.at(0, Happened::Begin);
        script.at(1, Happened::Complained(0, "no such file".to_owned()));
        assert_eq!(script.at(2, ended(0)), "tell ended 0 (killed: no such file)");
        script.at(3, Happened::Complained(1, "no such file".to_owned()));
        assert_eq!(script.at(4, ended(1)), "tell ended 1 (killed: no such file), never started: no such file");
    }

    #[test]
    fn a_worker_that_fails_to_start_gets_another_chance_once_another_serves() {
        let mut script = Script::new(2);
        script.at(0, Happened::Begin);
        assert_eq!(script.at(1, ended(0)), "tell ended 0 (killed)");
        script.comes_back(2, 1);
        assert_eq!(script.wakes_at(), Some(102));
        assert_eq!(script.at(102, Happened::Tick), "spawn 0");
        script.comes_back(103, 0);
    }

    #[test]
    fn a_worker_that_is_never_ready_is_killed_and_replaced() {
        let mut script = Script::two_serving();
        script.at(20_000, ended(0));
        assert_eq!(script.at(21_000, Happened::Tick), "close 0");
        assert_eq!(script.wakes_at(), Some(320_000));
        assert_eq!(script.at(320_000, Happened::Tick), "kill 0");
        assert_eq!(script.at(320_001, ended(0)), "tell ended 0 (killed: not ready in time)");
        assert_eq!(script.at(320_101, Happened::Tick), "spawn 0");
    }

    #[test]
    fn a_socket_that_cannot_be_bound_again_counts_as_a_quick_end() {
        let mut script = Script::two_serving();
        script.at(20_000, ended(0));
        script.at(21_000, Happened::Tick);
        assert_eq!(script.at(22_000, Happened::Prepared(0)), "seat 0");
        let failed = Happened::SeatFailed { slot: 0, bound: false, why: "taken".to_owned() };
        assert_eq!(script.at(22_000, failed), "kill 0");
        assert_eq!(script.at(22_001, ended(0)), "tell ended 0 (killed: taken)");
        assert_eq!(script.wakes_at(), Some(22_101));
    }

    #[test]
    fn a_stop_closes_sockets_then_asks_then_kills() {
        let mut script = Script::two_serving();
        assert_eq!(script.at(1000, Happened::Stop), "close 0, close 1, terminate 0, terminate 1");
        assert_eq!(script.at(1100, ended(0)), "tell ended 0 (killed)");
        assert_eq!(script.wakes_at(), Some(26_000));
        assert_eq!(script.at(26_000, Happened::Tick), "kill 1");
        assert_eq!(script.wakes_at(), None);
        assert_eq!(script.at(26_001, ended(1)), "tell ended 1 (killed), stopped, 1 killed");
    }

    #[test]
    fn a_stop_can_be_made_immediate() {
        let mut script = Script::two_serving();
        script.at(1000, Happened::Stop);
        assert_eq!(script.at(1001, Happened::Stop), "", "asking again changes nothing");
        assert_eq!(script.at(1001, Happened::StopNow), "kill 0, kill 1");
        script.at(1002, ended(0));
        assert_eq!(script.at(1002, ended(1)), "tell ended 1 (killed), stopped, 2 killed");
    }

    #[test]
    fn a_stop_while_workers_rest_or_start_ends_too() {
        let mut script = Script::two_serving();
        script.at(1, ended(0));
        script.comes_back(2, 0);
        script.at(3, ended(0));
        assert_eq!(script.at(4, Happened::Stop), "close 0, close 1, terminate 1");
        assert_eq!(script.at(5, ended(1)), "tell ended 1 (killed), stopped, 0 killed");
        let mut starting = Script::new(1);
        starting.at(0, Happened::Begin);
        assert_eq!(starting.at(1, Happened::Stop), "close 0, terminate 0");
        assert_eq!(starting.at(2, Happened::Prepared(0)), "", "too late");
        assert_eq!(starting.at(3, ended(0)), "tell ended 0 (killed), stopped, 0 killed");
    }

    proptest! {
        #[test]
        fn whatever_happens_a_socket_stays_open_and_every_end_leads_on(
            moves in prop::collection::vec((0_usize..3, 0_u64..3000, any::<bool>()), 1..200),
        ) {
            let zero = Instant::now();
            let mut now = zero;
            let mut roster = Roster::new(3, Policy::default(), now);
            roster.step(Happened::Begin, now);
            roster.step(Happened::Prepared(0), now);
            roster.step(Happened::Seated(0), now);
            for (slot, millis, ends) in moves {
                now += Duration::from_millis(millis);
                roster.step(Happened::Tick, now);
                match roster.workers[slot].state {
                    State::Serving { .. } if ends => { roster.step(ended(slot), now); }
                    State::Starting { .. } if ends => { roster.step(ended(slot), now); }
                    State::Starting { .. } => {
                        let orders = roster.step(Happened::Prepared(slot), now);
                        prop_assert_eq!(orders, vec![Order::Seat(slot)]);
                        roster.step(Happened::Seated(slot), now);
                    }
                    State::Serving { .. } => {}
                    State::Resting { until } => prop_assert!(until > now && until <= now + Policy::default().longest_rest),
                    State::Held | State::Leaving | State::Gone => prop_assert!(false, "nobody asked for this"),
                }
                prop_assert!(roster.workers.iter().any(|worker| worker.socket_open));
                for worker in &roster.workers {
                    let serves = matches!(worker.state, State::Serving { .. });
                    prop_assert!(worker.socket_open || !serves);
                }
            }
        }
    }
}
