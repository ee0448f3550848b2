//! The roster, by scripts of what happens when.

use proptest::prelude::*;

use super::*;

/// Runs a script of what happens when, and says what was ordered after each, as text.
struct Script {
    roster: Roster,
    zero: Instant,
}

impl Script {
    fn new(count: usize) -> Self {
        let zero = Instant::now();
        Self { roster: Roster::new(count, Policy::default(), zero), zero }
    }

    fn orders(&mut self, millis: u64, happened: Happened) -> Vec<Order> {
        self.roster.step(happened, self.zero + Duration::from_millis(millis))
    }

    fn at(&mut self, millis: u64, happened: Happened) -> String {
        self.orders(millis, happened).iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// The same, with the turn of each process.
    fn exactly(&mut self, millis: u64, happened: Happened) -> String {
        self.orders(millis, happened).iter().map(exact_name).collect::<Vec<_>>().join(", ")
    }

    fn wakes_at(&self) -> Option<u128> {
        self.roster.wake_at().map(|at| (at - self.zero).as_millis())
    }

    /// Who has a place.
    fn who(&self, slot: Slot) -> Who {
        self.roster.places[slot].who()
    }

    fn prepared(&mut self, millis: u64, slot: Slot) -> String {
        self.at(millis, Happened::Prepared(self.who(slot)))
    }

    fn seated(&mut self, millis: u64, slot: Slot) -> String {
        self.at(millis, Happened::Seated(self.who(slot)))
    }

    fn complained(&mut self, millis: u64, slot: Slot, why: &str) -> String {
        self.at(millis, Happened::Complained(self.who(slot), why.to_owned()))
    }

    fn ended(&mut self, millis: u64, slot: Slot) -> String {
        self.at(millis, ended(self.who(slot)))
    }

    /// Two workers that serve since 0.
    fn two_serving() -> Self {
        let mut script = Self::new(2);
        script.at(0, Happened::Begin);
        for slot in 0..2 {
            script.prepared(0, slot);
            script.seated(0, slot);
        }
        script
    }

    /// A replacement that serves at once.
    fn comes_back(&mut self, millis: u64, slot: Slot) {
        assert_eq!(self.prepared(millis, slot), format!("seat {slot}"));
        assert_eq!(self.seated(millis, slot), format!("tell started {slot}"));
    }

    /// A successor that serves at once: what is ordered then.
    fn takes_over(&mut self, millis: u64, slot: Slot, turn: u32) -> String {
        let who = Who { slot, turn };
        assert_eq!(self.exactly(millis, Happened::Prepared(who)), format!("seat {slot}.{turn}"));
        self.exactly(millis, Happened::Seated(who))
    }
}

fn name(order: &Order) -> String {
    named(order, |who| who.slot.to_string())
}

fn exact_name(order: &Order) -> String {
    named(order, |who| format!("{}.{}", who.slot, who.turn))
}

fn named(order: &Order, show: impl Fn(&Who) -> String) -> String {
    match order {
        Order::Spawn(who, FIRST_EDITION) => format!("spawn {}", show(who)),
        Order::Spawn(who, edition) => format!("spawn {} of edition {edition}", show(who)),
        Order::Seat(who) => format!("seat {}", show(who)),
        Order::CloseSocket(slot) => format!("close {slot}"),
        Order::Terminate(who) => format!("terminate {}", show(who)),
        Order::Retire(who) => format!("retire {}", show(who)),
        Order::Kill(who) => format!("kill {}", show(who)),
        Order::TellStarted(who) => format!("tell started {}", show(who)),
        Order::TellEnded(who, how) => format!("tell ended {} ({how})", show(who)),
        Order::TellReload(edition, ReloadEnd::Done) => format!("reloaded {edition}"),
        Order::TellReload(edition, ReloadEnd::RolledBack(why)) => format!("rolled back {edition}: {why}"),
        Order::TellReload(edition, ReloadEnd::Refused(why)) => format!("refused {edition}: {why}"),
        Order::Finish(Finish::Stopped { killed }) => format!("stopped, {killed} killed"),
        Order::Finish(Finish::NeverStarted(why)) => format!("never started: {why}"),
    }
}

fn ended(who: Who) -> Happened {
    Happened::Ended(who, "killed".to_owned())
}

#[test]
fn workers_are_started_seated_and_announced() {
    let mut script = Script::new(2);
    assert_eq!(script.at(0, Happened::Begin), "spawn 0, spawn 1");
    assert_eq!(script.prepared(5, 1), "seat 1");
    assert_eq!(script.seated(5, 1), "tell started 1");
    assert_eq!(script.prepared(6, 0), "seat 0");
    assert_eq!(script.seated(6, 0), "tell started 0");
    assert_eq!(script.wakes_at(), None);
}

#[test]
fn a_worker_that_ends_is_replaced_at_once_and_its_socket_kept() {
    let mut script = Script::two_serving();
    assert_eq!(script.ended(60_000, 0), "spawn 0, tell ended 0 (killed)");
    script.comes_back(60_010, 0);
    assert_eq!(script.ended(120_000, 0), "spawn 0, tell ended 0 (killed)", "it was healthy in between");
}

#[test]
fn quick_ends_in_a_row_rest_longer_up_to_a_bound() {
    let mut script = Script::two_serving();
    let mut now = 0;
    let mut rests = Vec::new();
    for _ in 0..10 {
        let orders = script.ended(now, 0);
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
    assert_eq!(script.ended(now, 0), "spawn 0, tell ended 0 (killed)", "a healthy period clears the record");
}

#[test]
fn a_socket_does_not_keep_connections_waiting_for_a_long_rest_while_another_worker_serves() {
    let mut script = Script::two_serving();
    let mut closed = None;
    let mut now = 0;
    for _ in 0..8 {
        let orders = script.ended(now, 0);
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
    assert_eq!(script.ended(20_000, 0), "spawn 0, tell ended 0 (killed)");
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
        let orders = script.ended(now * 11_000, 0);
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
    script.complained(1, 0, "no such file");
    assert_eq!(script.ended(2, 0), "tell ended 0 (killed: no such file)");
    script.complained(3, 1, "no such file");
    assert_eq!(script.ended(4, 1), "tell ended 1 (killed: no such file), never started: no such file");
}

#[test]
fn a_worker_that_fails_to_start_gets_another_chance_once_another_serves() {
    let mut script = Script::new(2);
    script.at(0, Happened::Begin);
    assert_eq!(script.ended(1, 0), "tell ended 0 (killed)");
    script.comes_back(2, 1);
    assert_eq!(script.wakes_at(), Some(102));
    assert_eq!(script.at(102, Happened::Tick), "spawn 0");
    script.comes_back(103, 0);
}

#[test]
fn a_worker_that_is_never_ready_is_killed_and_replaced() {
    let mut script = Script::two_serving();
    script.ended(20_000, 0);
    assert_eq!(script.at(21_000, Happened::Tick), "close 0");
    assert_eq!(script.wakes_at(), Some(320_000));
    assert_eq!(script.at(320_000, Happened::Tick), "kill 0");
    assert_eq!(script.ended(320_001, 0), "tell ended 0 (killed: not ready in time)");
    assert_eq!(script.at(320_101, Happened::Tick), "spawn 0");
}

#[test]
fn a_socket_that_cannot_be_bound_again_counts_as_a_quick_end() {
    let mut script = Script::two_serving();
    script.ended(20_000, 0);
    script.at(21_000, Happened::Tick);
    assert_eq!(script.prepared(22_000, 0), "seat 0");
    let failed = Happened::SeatFailed { who: script.who(0), bound: false, why: "taken".to_owned() };
    assert_eq!(script.at(22_000, failed), "kill 0");
    assert_eq!(script.ended(22_001, 0), "tell ended 0 (killed: taken)");
    assert_eq!(script.wakes_at(), Some(22_101));
}

#[test]
fn a_stop_closes_sockets_then_asks_then_kills() {
    let mut script = Script::two_serving();
    assert_eq!(script.at(1000, Happened::Stop), "close 0, close 1, terminate 0, terminate 1");
    assert_eq!(script.ended(1100, 0), "tell ended 0 (killed)");
    assert_eq!(script.wakes_at(), Some(26_000));
    assert_eq!(script.at(26_000, Happened::Tick), "kill 1");
    assert_eq!(script.wakes_at(), None);
    assert_eq!(script.ended(26_001, 1), "tell ended 1 (killed), stopped, 1 killed");
}

#[test]
fn a_stop_can_be_made_immediate() {
    let mut script = Script::two_serving();
    script.at(1000, Happened::Stop);
    assert_eq!(script.at(1001, Happened::Stop), "", "asking again changes nothing");
    assert_eq!(script.at(1001, Happened::StopNow), "kill 0, kill 1");
    script.ended(1002, 0);
    assert_eq!(script.ended(1002, 1), "tell ended 1 (killed), stopped, 2 killed");
}

#[test]
fn a_stop_while_workers_rest_or_start_ends_too() {
    let mut script = Script::two_serving();
    script.ended(1, 0);
    script.comes_back(2, 0);
    script.ended(3, 0);
    assert_eq!(script.at(4, Happened::Stop), "close 0, close 1, terminate 1");
    assert_eq!(script.ended(5, 1), "tell ended 1 (killed), stopped, 0 killed");
    let mut starting = Script::new(1);
    starting.at(0, Happened::Begin);
    assert_eq!(starting.at(1, Happened::Stop), "close 0, terminate 0");
    assert_eq!(starting.prepared(2, 0), "", "too late");
    assert_eq!(starting.ended(3, 0), "tell ended 0 (killed), stopped, 0 killed");
}

#[test]
fn a_reload_replaces_one_worker_after_the_other_and_the_new_one_serves_before_the_old_one_drains() {
    let mut script = Script::two_serving();
    assert_eq!(script.exactly(1000, Happened::Reload(2)), "spawn 0.2 of edition 2");
    assert_eq!(script.takes_over(1500, 0, 2), "retire 0.1, spawn 1.2 of edition 2, tell started 0.2");
    assert_eq!(script.takes_over(2000, 1, 2), "retire 1.1, tell started 1.2, reloaded 2");
    // The old ones drain beside them, for so long and no longer.
    assert_eq!(script.exactly(2100, ended(Who { slot: 0, turn: 1 })), "tell ended 0.1 (killed)");
    assert_eq!(script.wakes_at(), Some(27_000));
    assert_eq!(script.exactly(27_000, Happened::Tick), "kill 1.1");
    assert_eq!(script.wakes_at(), None);
    assert_eq!(script.exactly(27_001, ended(Who { slot: 1, turn: 1 })), "tell ended 1.1 (killed)");
    // Who dies now is replaced by one of the new edition.
    assert_eq!(
        script.exactly(30_000, ended(Who { slot: 0, turn: 2 })),
        "spawn 0.3 of edition 2, tell ended 0.2 (killed)"
    );
}

#[test]
fn a_newcomer_that_cannot_start_changes_nothing() {
    let mut script = Script::two_serving();
    script.exactly(1000, Happened::Reload(2));
    let newcomer = Who { slot: 0, turn: 2 };
    script.at(1100, Happened::Complained(newcomer, "no room".to_owned()));
    assert_eq!(script.exactly(1200, ended(newcomer)), "tell ended 0.2 (killed: no room), rolled back 2: no room");
    assert_eq!(script.wakes_at(), None, "the old ones serve on");
    assert_eq!(script.exactly(1300, Happened::Reload(3)), "spawn 0.3 of edition 3", "the next one is another try");
}

#[test]
fn a_later_newcomer_that_cannot_start_brings_the_old_ones_back() {
    let mut script = Script::two_serving();
    script.exactly(1000, Happened::Reload(2));
    script.takes_over(1100, 0, 2);
    let second = Who { slot: 1, turn: 2 };
    assert_eq!(script.exactly(1200, ended(second)), "spawn 0.3, tell ended 1.2 (killed)");
    // Going back is tried again and again: half of the workers must not stay with an app that does not start.
    assert_eq!(script.exactly(1300, ended(Who { slot: 0, turn: 3 })), "tell ended 0.3 (killed)");
    assert_eq!(script.wakes_at(), Some(1400));
    assert_eq!(script.exactly(1400, Happened::Tick), "spawn 0.4");
    assert_eq!(script.takes_over(1500, 0, 4), "retire 0.2, tell started 0.4, rolled back 2: killed");
}

#[test]
fn a_newcomer_that_is_never_ready_is_killed_and_the_reload_rolled_back() {
    let mut script = Script::two_serving();
    script.exactly(1000, Happened::Reload(2));
    assert_eq!(script.wakes_at(), Some(301_000));
    assert_eq!(script.exactly(301_000, Happened::Tick), "kill 0.2");
    let told = script.exactly(301_001, ended(Who { slot: 0, turn: 2 }));
    assert_eq!(told, "tell ended 0.2 (killed: not ready in time), rolled back 2: not ready in time");
}

#[test]
fn workers_that_die_during_a_reload_are_replaced_by_the_edition_of_their_place() {
    let mut script = Script::two_serving();
    script.exactly(1000, Happened::Reload(2));
    script.takes_over(1100, 0, 2);
    // One that was replaced already, and one whose turn it is: its successor takes over from the replacement, too.
    assert_eq!(
        script.exactly(1200, ended(Who { slot: 0, turn: 2 })),
        "spawn 0.3 of edition 2, tell ended 0.2 (killed)"
    );
    assert_eq!(script.exactly(1300, ended(Who { slot: 1, turn: 1 })), "spawn 1.3, tell ended 1.1 (killed)");
    assert_eq!(script.takes_over(1400, 1, 2), "terminate 1.3, tell started 1.2, reloaded 2");
    assert_eq!(script.exactly(1500, ended(Who { slot: 1, turn: 3 })), "tell ended 1.3 (killed)");
    assert_eq!(script.takes_over(1600, 0, 3), "tell started 0.3");
}

#[test]
fn a_newcomer_that_served_once_and_does_not_start_again_rolls_the_reload_back() {
    let mut script = Script::two_serving();
    script.exactly(1000, Happened::Reload(2));
    script.takes_over(1100, 0, 2);
    script.exactly(1200, ended(Who { slot: 0, turn: 2 }));
    // What starts for the other place is of no use any more either.
    let orders = script.exactly(1300, ended(Who { slot: 0, turn: 3 }));
    assert_eq!(orders, "kill 1.2, tell ended 0.3 (killed)");
    assert_eq!(script.exactly(1301, ended(Who { slot: 1, turn: 2 })), "spawn 0.4, tell ended 1.2 (killed)");
    assert_eq!(script.takes_over(1350, 0, 4), "tell started 0.4, rolled back 2: killed");
    assert_eq!(script.wakes_at(), Some(26_100), "but for the first one's drain, nothing is due");
}

#[test]
fn a_worker_that_rests_is_replaced_by_its_successor() {
    let mut script = Script::two_serving();
    script.at(1, ended(Who { slot: 0, turn: 1 }));
    script.at(2, ended(Who { slot: 0, turn: 2 }));
    assert_eq!(script.wakes_at(), Some(102), "it rests");
    assert_eq!(script.exactly(3, Happened::Reload(2)), "spawn 0.3 of edition 2");
    assert_eq!(script.takes_over(50, 0, 3), "spawn 1.2 of edition 2, tell started 0.3");
}

#[test]
fn reloads_are_refused_during_another_before_anyone_serves_and_at_the_end() {
    let mut script = Script::new(1);
    script.at(0, Happened::Begin);
    assert_eq!(script.at(1, Happened::Reload(2)), "refused 2: no worker serves yet");
    script.comes_back(2, 0);
    script.at(3, Happened::Reload(3));
    assert_eq!(script.at(4, Happened::Reload(4)), "refused 4: another reload is under way");
    script.takes_over(5, 0, 2);
    assert_eq!(script.at(6, Happened::Stop), "close 0, terminate 0, terminate 0");
    assert_eq!(script.at(7, Happened::Reload(5)), "refused 5: the node is stopping");
}

#[test]
fn a_stop_ends_a_reload_and_everyone_who_takes_part_in_it() {
    let mut script = Script::two_serving();
    script.exactly(1000, Happened::Reload(2));
    script.takes_over(1100, 0, 2);
    let orders = script.exactly(1200, Happened::Stop);
    assert_eq!(
        orders,
        "close 0, close 1, terminate 0.1, terminate 0.2, terminate 1.2, terminate 1.1, refused 2: the node is stopping"
    );
    for who in [(0, 2), (1, 2), (1, 1)] {
        assert!(!script.exactly(1300, ended(Who { slot: who.0, turn: who.1 })).contains("stopped"));
    }
    assert_eq!(script.exactly(26_100, Happened::Tick), "kill 0.1");
    assert_eq!(script.exactly(26_101, ended(Who { slot: 0, turn: 1 })), "tell ended 0.1 (killed), stopped, 1 killed");
}

/// Something that may happen next: which process it concerns is chosen among those there are.
#[derive(Clone, Copy, Debug)]
enum Move {
    Ends(usize),
    Prepares(usize),
    Reloads,
    Nothing,
}

fn moves() -> impl Strategy<Value = Vec<(u64, Move)>> {
    let one = prop_oneof![
        4 => (0_usize..8).prop_map(Move::Ends),
        6 => (0_usize..8).prop_map(Move::Prepares),
        1 => Just(Move::Reloads),
        1 => Just(Move::Nothing),
    ];
    prop::collection::vec((0_u64..3000, one), 1..200)
}

/// Processes as the supervisor would have them: started when ordered, and gone when they say so.
#[derive(Default)]
struct Processes {
    starting: Vec<Who>,
    seated: Vec<Who>,
    told_to_go: Vec<Who>,
    reloads: Vec<Edition>,
}

impl Processes {
    fn obey(&mut self, roster: &mut Roster, happened: Happened, now: Instant) {
        for order in roster.step(happened, now) {
            match order {
                Order::Spawn(who, _) => self.starting.push(who),
                Order::Seat(who) => {
                    self.starting.retain(|other| *other != who);
                    self.seated.push(who);
                    self.obey(roster, Happened::Seated(who), now);
                }
                Order::Terminate(who) | Order::Retire(who) | Order::Kill(who) => self.told_to_go.push(who),
                Order::TellReload(edition, end) => {
                    assert!(!matches!(end, ReloadEnd::Refused(_)) || self.reloads.len() > 1, "{end:?}");
                    self.reloads.retain(|other| *other != edition);
                }
                Order::CloseSocket(_) | Order::TellStarted(_) | Order::TellEnded(..) => {}
                Order::Finish(finish) => panic!("nobody asked for {finish:?}"),
            }
        }
    }

    fn end(&mut self, roster: &mut Roster, who: Who, now: Instant) {
        for list in [&mut self.starting, &mut self.seated, &mut self.told_to_go] {
            list.retain(|other| *other != who);
        }
        self.obey(roster, ended(who), now);
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_socket_stays_open_and_every_end_leads_on(moves in moves()) {
        let mut now = Instant::now();
        let mut roster = Roster::new(3, Policy::default(), now);
        let mut processes = Processes::default();
        processes.obey(&mut roster, Happened::Begin, now);
        let first = processes.starting[0];
        processes.obey(&mut roster, Happened::Prepared(first), now);
        let mut edition = FIRST_EDITION;
        for (millis, moved) in moves {
            now += Duration::from_millis(millis);
            processes.obey(&mut roster, Happened::Tick, now);
            match moved {
                Move::Ends(index) => {
                    let all: Vec<_> = processes.starting.iter().chain(&processes.seated).copied().collect();
                    if let Some(who) = all.get(index % all.len().max(1)) {
                        processes.end(&mut roster, *who, now);
                    }
                }
                Move::Prepares(index) => {
                    if let Some(who) = processes.starting.get(index % processes.starting.len().max(1)).copied() {
                        processes.obey(&mut roster, Happened::Prepared(who), now);
                    }
                }
                Move::Reloads => {
                    edition += 1;
                    processes.reloads.push(edition);
                    processes.obey(&mut roster, Happened::Reload(edition), now);
                }
                Move::Nothing => {}
            }
            prop_assert!(roster.places.iter().any(|place| place.socket_open));
            prop_assert!(roster.places.iter().filter(|place| place.successor.is_some()).count() <= 1);
            prop_assert!(processes.reloads.len() <= 1);
            for place in &roster.places {
                let serves = matches!(place.state, State::Serving { .. });
                prop_assert!(place.socket_open || !serves);
                // Every process has its part, and whoever has none was told to go.
                let held = matches!(place.state, State::Serving { .. } | State::Starting { .. });
                let known = usize::from(held) + usize::from(place.successor.is_some()) + place.leaving.len();
                let running = processes.starting.iter().chain(&processes.seated).filter(|who| who.slot == place.slot);
                prop_assert_eq!(running.count(), known);
            }
        }
        // Left alone with workers that start, it comes to rest: everyone serves, and of one edition.
        for _ in 0..100 {
            now += Duration::from_secs(11);
            processes.obey(&mut roster, Happened::Tick, now);
            for who in std::mem::take(&mut processes.told_to_go) {
                processes.end(&mut roster, who, now);
            }
            for who in processes.starting.clone() {
                processes.obey(&mut roster, Happened::Prepared(who), now);
            }
        }
        prop_assert!(roster.reload.is_none() && processes.reloads.is_empty());
        for place in &roster.places {
            let serves = matches!(place.state, State::Serving { .. });
            prop_assert!(serves && place.leaving.is_empty());
            prop_assert_eq!(place.edition, roster.edition);
        }
    }
}
