//! Every state of a resident beside every event, and every state of its group: what is done, and what state follows.

use std::fmt::Write as _;

use watertight_model::{
    failure::FailureKind,
    supervision::{Happened, InstanceState, Run, Wear},
};

use super::{
    TRAP,
    house::{Cell, House, app},
    ms,
};

/// A group of two, one for all, and a resident beside it, in an app that goes down.
fn house() -> House {
    House::new(&app(
        "[app]\nname = \"t\"\nrest = \"10s\"\n\
         [component.a]\nsource = \"a.wasm\"\nlifetime = \"resident\"\nintensity = { max = 1 }\nrecycle = { calls = 9 }\n\
         [component.b]\nsource = \"b.wasm\"\nlifetime = \"resident\"\nrestart = \"transient\"\n\
         [component.t]\nsource = \"t.wasm\"\nlifetime = \"resident\"\nrestart = \"temporary\"\n\
         [group.g]\nmembers = [\"a\", \"b\"]\nstrategy = \"one-for-all\"\nintensity = { max = 0 }\n",
        &[("a", ""), ("b", ""), ("t", "")],
    ))
}

fn begun() -> House {
    let mut house = house();
    house.happens(Happened::Begin);
    house
}

fn up() -> House {
    let mut house = begun();
    house.settle();
    house
}

/// A house whose group restarts: its last member stops first.
fn stopping() -> House {
    let mut house = up();
    house.ends("a/0", TRAP);
    house
}

type State = (&'static str, fn() -> House);

const STATES: [State; 13] = [
    ("before the app begins", house),
    ("a starts, b waits", begun),
    ("all up", up),
    ("a renewing", || {
        let mut house = up();
        let run = house.run("a/0");
        house.happens(Happened::Worn(run, Wear::Calls));
        house
    }),
    ("a replaced, the old one has calls yet", || {
        let mut house = up();
        let run = house.run("a/0");
        house.happens(Happened::Worn(run, Wear::Calls));
        let started = house.next().expect("the fresh one starts");
        house.happens(started);
        house
    }),
    ("the group stops", stopping),
    ("the group backs off", || {
        let mut house = stopping();
        house.settle();
        house
    }),
    ("the group starts again", || {
        let mut house = stopping();
        house.settle();
        house.now += ms(10);
        house.happens(Happened::Tick);
        house
    }),
    ("b is done", || {
        let mut house = up();
        house.ends("b/0", watertight_model::supervision::End::Normal);
        house
    }),
    ("t is done", || {
        let mut house = up();
        house.ends("t/0", TRAP);
        house
    }),
    ("the group gives up", || {
        let mut house = up();
        house.ends("a/0", TRAP);
        house.pass(ms(10));
        house.ends("a/0", TRAP);
        house
    }),
    ("the group rests", || {
        let mut house = up();
        house.ends("a/0", TRAP);
        house.pass(ms(10));
        house.ends("a/0", TRAP);
        house.settle();
        house
    }),
    ("the app stops", || {
        let mut house = up();
        house.happens(Happened::Stop);
        house
    }),
];

/// An event, and the cell that it is about: the one of a component that is in the first of these states.
#[derive(Clone, Copy)]
enum About {
    Nobody(Happened),
    Cell(&'static str, &'static [Cell], fn(Run) -> Happened),
}

const ALIVE: &[Cell] = &[Cell::Up, Cell::Starting, Cell::Stopping];

const EVENTS: [(&str, About); 16] = [
    ("begin", About::Nobody(Happened::Begin)),
    ("a starts", About::Cell("a", &[Cell::Starting, Cell::Stopping], Happened::Started)),
    ("a does not start", About::Cell("a", &[Cell::Starting], |run| Happened::NotStarted(run, FailureKind::Cpu))),
    ("a fails", About::Cell("a", ALIVE, |run| Happened::Ended(run, TRAP))),
    ("a exits", About::Cell("a", ALIVE, |run| Happened::Ended(run, watertight_model::supervision::End::Normal))),
    ("a is cut off", About::Cell("a", ALIVE, |run| Happened::Ended(run, watertight_model::supervision::End::CutOff))),
    ("a is worn", About::Cell("a", ALIVE, |run| Happened::Worn(run, Wear::Memory))),
    ("a is gone", About::Cell("a", &[Cell::Stopping], Happened::Gone)),
    ("b fails", About::Cell("b", ALIVE, |run| Happened::Ended(run, TRAP))),
    ("b exits", About::Cell("b", ALIVE, |run| Happened::Ended(run, watertight_model::supervision::End::Normal))),
    ("b is gone", About::Cell("b", &[Cell::Stopping], Happened::Gone)),
    ("t fails", About::Cell("t", ALIVE, |run| Happened::Ended(run, TRAP))),
    ("t exits", About::Cell("t", ALIVE, |run| Happened::Ended(run, watertight_model::supervision::End::Normal))),
    ("10 ms pass", About::Nobody(Happened::Tick)),
    ("10 s pass", About::Nobody(Happened::Tick)),
    ("stop", About::Nobody(Happened::Stop)),
];

fn states(house: &House) -> String {
    let names = ["a", "b", "t"].map(|name| (name, house.app.find(name).expect("it is there").id));
    let states = names.map(|(name, id)| {
        let states: Vec<(u32, InstanceState)> = house.steward.states(id).collect();
        let [(0, state)] = states[..] else { panic!("{name} has one resident") };
        format!("{name} {state}")
    });
    states.join(", ")
}

#[test]
fn every_event_in_every_state() {
    let mut table = String::new();
    for (name, make) in STATES {
        let before = states(&make());
        writeln!(table, "{name}: {before}").expect("a string takes it");
        for (event, about) in EVENTS {
            let mut house = make();
            house.log();
            let happened = match about {
                About::Nobody(happened) => happened,
                About::Cell(component, wanted, happened) => {
                    let id = house.app.find(component).expect("it is there").id;
                    let of_it = || house.cells.iter().filter(|(_, (instance, _))| instance.component == id);
                    let in_state = |wanted: &Cell| of_it().find(|(_, (_, cell))| cell == wanted).map(|(run, _)| *run);
                    let Some(run) = wanted.iter().find_map(in_state) else { continue };
                    happened(run)
                }
            };
            house.now += match event {
                "10 ms pass" => ms(10),
                "10 s pass" => ms(10_000),
                _ => ms(0),
            };
            let deeds = house.happens(happened);
            let done: Vec<_> = deeds.iter().map(|deed| house.line(deed)).collect();
            let (done, after) = (done.join(" · "), states(&house));
            let after = if after == before { String::new() } else { format!("  => {after}") };
            writeln!(table, "  {event:16}  {}{after}", if done.is_empty() { "-" } else { &done })
                .expect("a string takes it");
        }
    }
    insta::assert_snapshot!("every_event_in_every_state", table);
}
