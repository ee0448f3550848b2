//! Replacing every worker by one of a new edition: place by place, the new one serving before the old one drains.
//!
//! ```text
//!            all replaced
//!  forward ---------------> done
//!     |  a newcomer ends before it serves            all as before
//!     `--------------------------------------> back ---------------> rolled back
//!                                               |  ^
//!                                               `--' one cannot be started: later again
//! ```
//!
//! What dies meanwhile is replaced as ever: by the edition that its place has. A stop ends a reload where it stands.

use std::time::Instant;

use super::{Edition, Leaver, Order, Place, Roster, Slot, State, Successor, Who};

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReloadEnd {
    /// Every worker has the new edition.
    Done,
    /// One of the new edition could not serve, and why; every worker has the old one.
    RolledBack(String),
    /// It was not begun, or not ended, and why.
    Refused(&'static str),
}

/// A reload under way.
#[derive(Debug)]
pub(super) struct Reload {
    /// The new edition.
    edition: Edition,
    /// What all shall have: the new edition, or the old one on the way back.
    goal: Edition,
    /// Why it goes back.
    failure: Option<String>,
    /// Tries on the way back that failed in a row.
    failed_tries: u32,
    retry_at: Option<Instant>,
}

impl Reload {
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }
}

impl Roster {
    pub(super) fn begin_reload(&mut self, edition: Edition, orders: &mut Vec<Order>) {
        let obstacle = match (&self.stopping, &self.reload, self.proven) {
            (Some(_), ..) => Some(STOPPING),
            (None, Some(_), _) => Some("another reload is under way"),
            (None, None, false) => Some("no worker serves yet"),
            (None, None, true) => None,
        };
        match obstacle {
            Some(why) => orders.push(Order::TellReload(edition, ReloadEnd::Refused(why))),
            None => {
                self.reload = Some(Reload { edition, goal: edition, failure: None, failed_tries: 0, retry_at: None });
            }
        }
    }

    /// Starts the next successor, if none is under way, or ends the reload if none is needed.
    pub(super) fn go_on_with_reload(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let Some(reload) = &mut self.reload else { return };
        if self.places.iter().any(|place| place.successor.is_some()) || reload.retry_at.is_some_and(|at| at > now) {
            return;
        }
        reload.retry_at = None;
        let goal = reload.goal;
        if let Some(place) = self.places.iter_mut().find(|place| place.edition != goal) {
            let turn = place.next_turn();
            place.successor = Some(Successor { turn, edition: goal, since: now, complaint: None });
            orders.push(Order::Spawn(Who { slot: place.slot, turn }, goal));
            return;
        }
        let (edition, failure) = (reload.edition, reload.failure.take());
        self.edition = goal;
        self.reload = None;
        let end = failure.map_or(ReloadEnd::Done, ReloadEnd::RolledBack);
        orders.push(Order::TellReload(edition, end));
    }

    pub(super) fn successor_ended(&mut self, who: Who, how: String, now: Instant, orders: &mut Vec<Order>) {
        let Some(Successor { edition, complaint, .. }) = self.places[who.slot].successor.take() else { return };
        let told = complaint.as_ref().map_or_else(|| how.clone(), |why| format!("{how}: {why}"));
        orders.push(Order::TellEnded(who, told));
        let Some(reload) = &mut self.reload else { return };
        if reload.failure.is_none() {
            self.turn_back(complaint.unwrap_or(how), orders);
        } else if edition == reload.goal {
            reload.failed_tries = reload.failed_tries.saturating_add(1);
            reload.retry_at = self.policy.rest_after(reload.failed_tries.saturating_add(1)).map(|rest| now + rest);
        }
    }

    /// A worker that took over in this reload ended, and the one after it ended before it served.
    pub(super) fn newcomer_failed(&mut self, slot: Slot, why: String, orders: &mut Vec<Order>) {
        let is_new = |reload: &Reload| reload.failure.is_none() && self.places[slot].edition == reload.edition;
        if self.reload.as_ref().is_some_and(is_new) {
            self.turn_back(why, orders);
        }
    }

    fn turn_back(&mut self, why: String, orders: &mut Vec<Order>) {
        let old = self.edition;
        if let Some(reload) = &mut self.reload {
            reload.goal = old;
            reload.failure = Some(why);
        }
        // Nobody will have what it brings.
        let successors = self.places.iter().filter_map(|place| Some((place.slot, place.successor.as_ref()?)));
        orders.extend(successors.map(|(slot, successor)| Order::Kill(Who { slot, turn: successor.turn })));
    }

    pub(super) fn stop_reload(&mut self, orders: &mut Vec<Order>) {
        if let Some(reload) = self.reload.take() {
            orders.push(Order::TellReload(reload.edition, ReloadEnd::Refused(STOPPING)));
        }
    }
}

const STOPPING: &str = "the node is stopping";

impl Place {
    /// If this is the successor, the place is its own from now on, and who had it drains.
    pub(super) fn take_over(&mut self, who: Who, kill_at: Instant, now: Instant, orders: &mut Vec<Order>) {
        let Some(successor) = self.successor.take_if(|successor| successor.turn == who.turn) else { return };
        let predecessor = match self.state {
            State::Serving { .. } => Some(Order::Retire(self.who())),
            State::Starting { .. } => Some(Order::Terminate(self.who())),
            State::Resting { .. } | State::Held | State::Leaving | State::Gone => None,
        };
        if let Some(order) = predecessor {
            orders.push(order);
            self.leaving.push(Leaver { turn: self.turn, edition: self.edition, since: now, kill_at: Some(kill_at) });
        }
        self.turn = successor.turn;
        self.edition = successor.edition;
        self.quick_ends = 0;
        self.restarts = 0;
    }
}

impl Successor {
    /// It is not needed any more.
    pub(super) fn leaves(self, kill_at: Instant, now: Instant) -> Leaver {
        Leaver { turn: self.turn, edition: self.edition, since: now, kill_at: Some(kill_at) }
    }
}
