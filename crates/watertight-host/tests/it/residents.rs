//! Residents on the real runtime: restarts, groups, instances and recycling, as the events and the callers see them.

use std::time::Duration;

use watertight_testkit::guest;

use crate::graph::{Called, Graph, error_text, load, ok_value, pair, try_load_bytes};
use futures_util::future::join_all;
use wasmtime::component::Val;
use watertight_model::{
    event::{CellEnd, Event, Outcome},
    failure::FailureKind,
    health::{ComponentHealth, HealthState},
    supervision::{Change, End, InstanceState, Subject, Wear},
};

const RUN: &str = "watertight:test/behave#run";

fn resident(guest: &str, keys: &str) -> Graph {
    pair("relay", guest, &format!("lifetime = \"resident\"\n{keys}"))
}

async fn run(app: &Graph, n: u32) -> Called {
    app.call("caller", RUN, vec![Val::U32(n)]).await
}

/// The text of the error that a call got.
async fn told(app: &Graph, n: u32) -> String {
    let seen = run(app, n).await;
    error_text(&seen).map_or_else(|| format!("{seen:?}"), str::to_owned)
}

fn health(app: &Graph, component: &str) -> ComponentHealth {
    let mut all = app.app.health().into_iter();
    all.find(|health| health.component == component).expect("every component has its health")
}

/// What was said of residents, each in a few words.
fn said(app: &Graph) -> Vec<String> {
    let name = |id| app.app.app().component(id).name.clone();
    let said = |event| {
        let Event::Supervised { of, change } = event else { return None };
        let of = match of {
            Subject::Instance { component, number } => format!("{}/{number}", name(component)),
            Subject::Component(component) => name(component),
            Subject::Group(group) => app.app.app().supervision.group(group).name.clone(),
            Subject::App => "app".to_owned(),
        };
        Some(match change {
            Change::Started => format!("{of} started"),
            Change::Stopped => format!("{of} stopped"),
            Change::Ended { end } => format!("{of} ended: {end}"),
            Change::Restarting { end, attempt, .. } => format!("{of} restarting {attempt}: {end}"),
            Change::Recycled { why } => format!("{of} recycled: {why}"),
            Change::Kept { failure } => format!("{of} kept: {failure}"),
            Change::GaveUp { end, .. } => format!("{of} gave up: {end}"),
        })
    };
    app.events.all().into_iter().filter_map(said).collect()
}

/// Lets the runtime's tasks run until something holds.
async fn until(app: &Graph, what: &str, holds: impl Fn(&Graph) -> bool) {
    for _ in 0..2000 {
        if holds(app) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} never came: {:?}", said(app));
}

async fn until_said(app: &Graph, what: &str, times: usize) {
    until(app, what, |app| said(app).iter().filter(|said| *said == what).count() >= times).await;
}

fn cells_started(app: &Graph, component: &str) -> usize {
    let id = app.app.app().find(component).expect("it is there").id;
    let started = |event: &Event| matches!(event, Event::CellStarted { component, .. } if *component == id);
    app.events.all().iter().filter(|event| started(event)).count()
}

#[tokio::test]
async fn residents_are_there_before_the_first_call() {
    let app = resident("ok", "instances = 3");
    app.app.warm().await;
    assert_eq!(said(&app), ["callee/0 started", "callee/1 started", "callee/2 started"]);
    assert_eq!((cells_started(&app, "callee"), cells_started(&app, "caller")), (3, 0));
    let health = health(&app, "callee");
    assert_eq!((health.state, health.instances.len()), (HealthState::Up, 3));
    // As many calls at once as there are cells: no other cell is ever made.
    let calls = join_all((0..12).map(|_| run(&app, 1))).await;
    assert!(calls.iter().all(|seen| ok_value(seen) == Some(&Val::U32(2))), "{calls:?}");
    assert_eq!(cells_started(&app, "callee"), 3);
}

#[tokio::test]
async fn there_are_as_many_calls_at_once_as_instances() {
    for (instances, turned_away) in [(1, 3), (2, 2), (4, 0)] {
        let app = resident("sleep", &format!("instances = {instances}\nbudget = {{ queue = 0 }}"));
        let calls = join_all((0..4).map(|_| run(&app, 100))).await;
        let full = calls.iter().filter(|seen| error_text(seen).is_some_and(|text| text.contains("queue-full")));
        assert_eq!(full.clone().count(), turned_away, "{instances}: {calls:?}");
        let limit = format!("{instances} call{} running and 0 waiting", if instances == 1 { "" } else { "s" });
        for text in full.filter_map(error_text) {
            assert!(text.contains(&limit) && text.contains("raise component.callee.instances"), "{text}");
        }
    }
}

#[tokio::test]
async fn whether_a_resident_is_restarted_is_for_its_restart_to_say() {
    // The guest leaves by `exit`, well with 0; its caller is told that in any case.
    for (restart, after_zero, after_one) in
        [("permanent", "exit", "exit"), ("transient", "down", "exit"), ("temporary", "down", "down")]
    {
        for (status, next) in [(0, after_zero), (1, after_one)] {
            let app = resident("exit", &format!("restart = \"{restart}\""));
            let first = told(&app, status).await;
            assert!(first.starts_with("callee: exit: "), "{restart}, {status}: {first}");
            let second = told(&app, status).await;
            assert!(second.starts_with(&format!("callee: {next}: ")), "{restart}, {status}: {second}");
            if next == "down" {
                let ended = if status == 0 { "exit 0" } else { "exit" };
                let text = format!("callee: down: it ended ({ended}), and its restart is \"{restart}\"");
                assert_eq!(second, text);
                assert_eq!(health(&app, "callee").instances[0].state, InstanceState::Done);
            }
        }
    }
}

#[tokio::test]
async fn a_resident_that_fails_too_often_is_given_up_and_calls_are_told_at_once() {
    for (keys, restarts) in [("", 3), ("intensity = { max = 1, within = \"1m\" }", 1), ("intensity = { max = 0 }", 0)] {
        let app = resident("trap", keys);
        for call in 0..=restarts {
            let text = told(&app, 0).await;
            assert!(text.starts_with("callee: trap: "), "{keys}, call {call}: {text}");
        }
        until_said(&app, "callee gave up: trap", 1).await;
        let within = if keys.contains("1m") { "60s" } else { "5s" };
        let plural = if restarts == 1 { "" } else { "s" };
        let why = format!(
            "component.callee gave up after {restarts} restart{plural} within {within}, the last time for: trap; \
             it is started again after 30s (component.callee.intensity, app.rest)"
        );
        assert_eq!(told(&app, 0).await, format!("callee: down: {why}"));
        let health = health(&app, "callee");
        assert_eq!((health.state, health.reason), (HealthState::Down, Some(why)));
        assert_eq!((health.restarts, health.last_failure), (restarts, Some(FailureKind::Trap)));
        assert_eq!(app.ends("callee").len() as u64, restarts + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_gave_up_is_started_again_after_its_rest() {
    let app = load(
        "rest = \"10m\"\n[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
         [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"resident\"\nintensity = { max = 0 }\n",
        &[("caller", "relay"), ("callee", "exit")],
    );
    assert!(told(&app, 1).await.starts_with("callee: exit: "));
    until_said(&app, "callee gave up: exit", 1).await;
    tokio::time::sleep(Duration::from_secs(599)).await;
    assert_eq!(health(&app, "callee").state, HealthState::Down);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(health(&app, "callee").state, HealthState::Up);
    assert!(told(&app, 1).await.starts_with("callee: exit: "));
}

#[tokio::test]
async fn calls_wait_for_a_restart_within_their_deadline() {
    // A backoff that is long is waited for as long as the caller may; one that is short is not noticed.
    for (backoff, deadline, expected) in [("1h", "100ms", "down"), ("1ms", "30s", "trap")] {
        let keys = format!(
            "backoff = {{ first = \"{backoff}\", most = \"{backoff}\" }}\nbudget = {{ deadline = \"{deadline}\" }}"
        );
        let app = resident("trap", &keys);
        assert!(told(&app, 0).await.starts_with("callee: trap: "));
        let text = told(&app, 0).await;
        assert!(text.starts_with(&format!("callee: {expected}: ")), "{backoff}: {text}");
        if expected == "down" {
            assert_eq!(text, "callee: down: it is being restarted, and was not up within the deadline");
            let health = health(&app, "callee");
            assert_eq!((health.state, health.instances[0].state), (HealthState::Starting, InstanceState::BackingOff));
        }
    }
}

#[tokio::test]
async fn a_resident_that_cannot_start_is_given_up_and_holds_up_nobody() {
    let app = load(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
         [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"resident\"\n\
         [component.other]\nsource = \"other.wasm\"\nlifetime = \"resident\"\n",
        &[("caller", "relay"), ("callee", "start-trap"), ("other", "ok")],
    );
    app.app.warm().await;
    assert_eq!(said(&app), ["callee/0 restarting 1: trap", "other/0 started"]);
    let text = told(&app, 0).await;
    assert!(text.starts_with("callee: down: component.callee gave up after 3 restarts"), "{text}");
}

#[tokio::test]
async fn a_caller_that_goes_away_costs_a_resident_its_cell_but_is_nobodys_failure() {
    let app = resident("sleep", "intensity = { max = 0 }");
    for round in 1..=3 {
        {
            let call = std::pin::pin!(run(&app, 60_000));
            let cut = tokio::time::timeout(Duration::from_millis(50), call).await;
            assert!(cut.is_err(), "it sleeps");
        }
        until_said(&app, "callee/0 started", round + 1).await;
        assert_eq!(ok_value(&run(&app, 1).await), Some(&Val::U32(1)));
    }
    assert_eq!(health(&app, "callee").last_failure, None);
    assert_eq!(said(&app)[1], format!("callee/0 restarting 0: {}", End::CutOff));
}

const MEMBERS: &str = "members = [\"a\", \"b\", \"c\"]\n";

#[tokio::test]
async fn a_group_is_stopped_in_reverse_and_started_in_order() {
    for (strategy, expected) in [
        ("one-for-one", vec!["b/0 restarting 1: exit", "b/0 started"]),
        (
            "one-for-all",
            vec![
                "b/0 restarting 1: exit",
                "g restarting 1: exit",
                "c/0 stopped",
                "a/0 stopped",
                "a/0 started",
                "b/0 started",
                "c/0 started",
            ],
        ),
        (
            "rest-for-one",
            vec!["b/0 restarting 1: exit", "g restarting 1: exit", "c/0 stopped", "b/0 started", "c/0 started"],
        ),
    ] {
        let app = with_group(&format!("[group.g]\n{MEMBERS}strategy = \"{strategy}\"\n"));
        app.app.warm().await;
        let before = said(&app).len();
        assert_eq!(said(&app), ["a/0 started", "b/0 started", "c/0 started"], "{strategy}");
        assert!(told(&app, 1).await.starts_with("b: exit: "));
        until(&app, strategy, |app| said(app).len() == before + expected.len()).await;
        assert_eq!(said(&app)[before..], expected, "{strategy}");
    }
}

/// Three residents, of which `b` leaves by `exit` when it is called; and a group of them.
fn with_group(group: &str) -> Graph {
    group_of(group, "")
}

/// The same with keys of the app's.
fn group_of(group: &str, top: &str) -> Graph {
    let member = |name: &str, keys: &str| {
        format!("[component.{name}]\nsource = \"{name}.wasm\"\nlifetime = \"resident\"\n{keys}\n")
    };
    let manifest = format!(
        "{top}\n[component.caller]\nsource = \"caller.wasm\"\nuses = [\"b\"]\n{}{}{}{group}",
        member("a", ""),
        member("b", "intensity = { max = 1 }"),
        member("c", ""),
    );
    load(&manifest, &[("caller", "relay"), ("a", "counter"), ("b", "exit"), ("c", "counter")])
}

#[tokio::test]
async fn a_failure_goes_up_to_the_group_and_from_there_to_the_app() {
    let group = format!("[group.g]\n{MEMBERS}intensity = {{ max = 1 }}\n");
    // Without an intensity of the app's, the group rests, and the rest of the app never hears of it.
    let app = with_group(&group);
    for _ in 0..4 {
        assert!(told(&app, 1).await.starts_with("b: exit: "));
    }
    until_said(&app, "c/0 stopped", 1).await;
    until_said(&app, "a/0 stopped", 1).await;
    let text = told(&app, 1).await;
    assert!(text.starts_with("b: down: group.g gave up after 1 restart within 5s, the last time for: exit;"), "{text}");
    for name in ["a", "b", "c"] {
        assert_eq!(health(&app, name).state, HealthState::Down, "{name}");
        assert_eq!(health(&app, name).group.as_deref(), Some("g"));
    }
    // With one, the app is down in the end.
    let app = group_of(&group, "intensity = { max = 0 }");
    for _ in 0..4 {
        assert!(told(&app, 1).await.starts_with("b: exit: "));
    }
    tokio::time::timeout(Duration::from_secs(20), app.app.down()).await.expect("the app gives up");
    let text = told(&app, 1).await;
    assert_eq!(text, "b: down: the app gave up after 0 restarts within 5s, the last time for: exit (app.intensity)");
    assert_eq!(said(&app).last().map(String::as_str), Some("a/0 stopped"));
    assert_eq!(app.app.usage().components.iter().map(|used| used.cells).sum::<u32>(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_busy_when_its_group_restarts_is_cut_short() {
    let app = load(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"b\"]\n\
         [component.a]\nsource = \"a.wasm\"\nlifetime = \"resident\"\nbudget = { deadline = \"10m\" }\n\
         [component.b]\nsource = \"b.wasm\"\nlifetime = \"resident\"\n\
         [group.g]\nmembers = [\"a\", \"b\"]\nstrategy = \"one-for-all\"\n",
        &[("caller", "relay"), ("a", "sleep"), ("b", "exit")],
    );
    app.app.warm().await;
    let sleeper = app.call("a", RUN, vec![Val::U32(300_000)]);
    let (slept, _) = futures_util::join!(sleeper, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        told(&app, 1).await
    });
    let cut = slept.expect_err("it does not sleep for so long");
    assert_eq!((cut.kind, cut.detail.as_str()), (FailureKind::Down, "it was stopped in the middle of the call"));
    until_said(&app, "b/0 started", 2).await;
    assert_eq!(app.ends("a"), [CellEnd::Ejected(FailureKind::Down)]);
    assert_eq!(health(&app, "a").last_failure, None, "it is not its own failure");
}

/// Calls its dependency twice, whatever comes of it; how often that failed.
fn stubborn() -> Vec<u8> {
    guest::component(
        "package a:b; interface i { twice: func() -> u32; } world w { import watertight:test/behave; export i; }",
        "w",
        r#"(module
            (import "watertight:test/behave" "bare" (func $bare (param i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "a:b/i#twice") (result i32)
                (i32.add (call $bare (i32.const 1)) (call $bare (i32.const 1)))))"#,
    )
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_restarted_with_the_one_it_calls_does_not_wait_for_it() {
    let app = try_load_bytes(
        "[component.a]\nsource = \"a.wasm\"\nuses = [\"b\"]\nlifetime = \"resident\"\nbudget = { deadline = \"10m\" }\n\
         [component.b]\nsource = \"b.wasm\"\nlifetime = \"resident\"\nbudget = { deadline = \"9m\" }\n\
         [group.g]\nmembers = [\"b\", \"a\"]\nstrategy = \"one-for-all\"\n",
        &[("a", stubborn()), ("b", guest::built("exit"))],
    );
    let app = app.unwrap_or_else(|problems| panic!("the app does not load: {problems:#?}"));
    let failures = app.call("a", "a:b/i#twice", vec![]).await;
    assert!(matches!(failures, Ok(Some(Val::U32(2)))), "{failures:?}");
    until_said(&app, "a/0 started", 2).await;
    assert_eq!(app.ends("a"), [CellEnd::Done], "it was not cut short");
    let outcomes = app.events.all().into_iter().filter_map(|event| match event {
        Event::Call(call) => Some(call.outcome),
        _ => None,
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), [Outcome::Failed(FailureKind::Exit), Outcome::Failed(FailureKind::Down)]);
}

#[test]
fn residents_outlive_the_runtime_that_they_were_started_in() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is room");
    for (caller, callee) in [("relay", "counter"), ("later-user", "later")] {
        let app = pair(caller, callee, "lifetime = \"resident\"\ninstances = 2");
        for round in 1..=3_u32 {
            runtime().block_on(async {
                match callee {
                    "counter" => assert_eq!(ok_value(&run(&app, 1).await), Some(&Val::U32(round))),
                    _ => {
                        let one = [Val::U32(1), Val::U32(2), Val::U32(0)];
                        let one = app.call("caller", &format!("{LATER}one"), one.to_vec()).await;
                        assert!(matches!(one, Ok(Some(Val::U32(3)))), "{one:?}");
                    }
                }
            });
        }
        runtime().block_on(async {
            app.app.warm().await;
            until(&app, "both", |app| health(app, "callee").state == HealthState::Up).await;
            app.app.stop().await;
        });
        assert_eq!(app.alive(), 0, "{callee}");
    }
}

#[tokio::test]
async fn a_stop_ends_residents_in_the_reverse_of_their_start() {
    let app = with_group(&format!("[group.g]\n{MEMBERS}"));
    app.app.warm().await;
    app.app.stop().await;
    assert_eq!(said(&app)[3..], ["c/0 stopped", "b/0 stopped", "a/0 stopped"]);
    assert_eq!(told(&app, 1).await, "b: down: the app is stopping");
    assert_eq!(app.alive(), 0);
}

#[tokio::test]
async fn a_cell_that_had_its_calls_is_replaced_and_no_call_fails_for_it() {
    let app = resident("counter", "recycle = { calls = 3 }");
    for _ in 0..10 {
        // The fresh one takes a moment to come, and calls go on meanwhile.
        let calls = join_all((0..8).map(|_| run(&app, 1))).await;
        assert!(calls.iter().all(|seen| ok_value(seen).is_some()), "{calls:?}");
    }
    until_said(&app, "callee/0 recycled: calls", 1).await;
    let counted = async || match ok_value(&run(&app, 0).await) {
        Some(Val::U32(counted)) => *counted,
        other => panic!("not a count: {other:?}"),
    };
    let mut highest = 0;
    for _ in 0..30 {
        let before = said(&app).len();
        for _ in 0..3 {
            let seen = run(&app, 1).await;
            assert!(ok_value(&seen).is_some(), "{seen:?}");
        }
        until(&app, "the next one", |app| said(app).len() > before).await;
        highest = highest.max(counted().await);
    }
    assert!(highest < 60, "cells are replaced, and forget: {highest}");
    let health = health(&app, "callee");
    assert!(health.recycled >= 30, "{health:?}");
    assert_eq!(health.last_failure, None);
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_is_old_is_replaced() {
    let app = resident("counter", "recycle = { age = \"1h\" }");
    assert_eq!(ok_value(&run(&app, 5).await), Some(&Val::U32(5)));
    tokio::time::sleep(Duration::from_secs(3500)).await;
    assert_eq!(ok_value(&run(&app, 5).await), Some(&Val::U32(10)), "it is not old yet");
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(ok_value(&run(&app, 5).await), Some(&Val::U32(5)), "{:?}", said(&app));
    assert_eq!(said(&app), ["callee/0 started", "callee/0 recycled: age"]);
}

#[tokio::test]
async fn a_cell_that_holds_much_memory_is_replaced() {
    let app = resident("eat-memory", "recycle = { memory = \"4MiB\" }\nbudget = { memory = \"32MiB\" }");
    assert!(ok_value(&run(&app, 1).await).is_some());
    assert!(ok_value(&run(&app, 1).await).is_some());
    assert_eq!(health(&app, "callee").recycled, 0);
    assert!(ok_value(&run(&app, 8).await).is_some());
    until_said(&app, "callee/0 recycled: memory", 1).await;
    assert!(health(&app, "callee").instances[0].usage.memory_bytes < 2 << 20);
    assert!(said(&app).iter().all(|said| said.ends_with("started") || said.ends_with(&Wear::Memory.to_string())));
}

#[tokio::test]
async fn a_call_tree_keeps_the_resident_whose_handles_it_has_until_it_ends() {
    // Each scene makes many calls with handles; the owner is due to be replaced after the first, and there are others.
    for keys in ["recycle = { calls = 1 }", "instances = 3", "instances = 3\nrecycle = { calls = 1 }"] {
        let manifest = format!(
            "[component.user]\nsource = \"user.wasm\"\nuses = [\"things\"]\n\
             [component.things]\nsource = \"things.wasm\"\nlifetime = \"resident\"\n{keys}\n"
        );
        let app = load(&manifest, &[("user", "things-user"), ("things", "things")]);
        for (round, scene) in ["simple", "borrows", "lists", "nested"].into_iter().enumerate() {
            let arguments = match scene {
                "simple" => vec![Val::U32(5), Val::U32(4)],
                "lists" => vec![Val::U32(9)],
                _ => vec![],
            };
            let seen = app.call("user", &format!("watertight:test/scenes#{scene}"), arguments).await;
            assert!(ok_value(&seen).is_some(), "{keys}, {scene}: {seen:?}");
            if keys.contains("recycle") {
                let recycled = |app: &Graph| said(app).iter().filter(|said| said.contains("recycled")).count();
                until(&app, "a fresh one", |app| recycled(app) > round).await;
            }
        }
        // What was replaced goes with the last call tree that had its handles.
        let instances = if keys.contains("instances") { 3 } else { 1 };
        let things = app.app.app().find("things").expect("it is there").id;
        until(&app, "the end of what was replaced", |app| {
            let usage = app.app.usage();
            usage.components.iter().any(|used| used.component == things && used.cells == instances)
        })
        .await;
    }
}

const LATER: &str = "watertight:later/later-scenes#";

#[tokio::test]
async fn a_call_goes_to_the_resident_with_the_fewest_in_flight_and_then_to_the_one_that_has_rested_longest() {
    let app = pair("later-user", "later", "lifetime = \"resident\"\ninstances = 3");
    app.app.warm().await;
    let calls = || health(&app, "callee").instances.iter().map(|of| of.calls).collect::<Vec<_>>();
    assert_eq!(calls(), [0, 0, 0]);
    // Six in flight at once, from one call tree.
    let sum = app.call("caller", &format!("{LATER}many"), vec![Val::U32(6), Val::U32(50)]).await;
    assert!(sum.is_ok(), "{sum:?}");
    assert_eq!(calls(), [2, 2, 2]);
    for round in 1..=4_u64 {
        let one = app.call("caller", &format!("{LATER}one"), vec![Val::U32(1), Val::U32(2), Val::U32(0)]).await;
        assert!(matches!(one, Ok(Some(Val::U32(3)))), "{one:?}");
        let calls = calls();
        assert_eq!(
            (calls.iter().sum::<u64>(), calls.iter().max()),
            (6 + round, Some(&(2 + round.div_ceil(3)))),
            "{calls:?}"
        );
    }
    assert_eq!(cells_started(&app, "callee"), 3);
}

#[tokio::test]
async fn residents_with_async_functions_are_restarted_and_recycled_as_others_are() {
    let app = pair("later-user", "later", "lifetime = \"resident\"\nrecycle = { calls = 4 }\nintensity = { max = 1 }");
    let exploded = async || app.call("caller", &format!("{LATER}exploded"), vec![Val::U32(0)]).await;
    for _ in 0..4 {
        let one = app.call("caller", &format!("{LATER}one"), vec![Val::U32(1), Val::U32(2), Val::U32(0)]).await;
        assert!(matches!(one, Ok(Some(Val::U32(3)))), "{one:?}");
    }
    until_said(&app, "callee/0 recycled: calls", 1).await;
    until(&app, "the end of the old one", |app| app.ends("callee") == [CellEnd::Done]).await;
    for _ in 0..2 {
        let seen = exploded().await;
        assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: trap: ")), "{seen:?}");
    }
    until_said(&app, "callee gave up: trap", 1).await;
    let seen = exploded().await;
    assert!(
        error_text(&seen).is_some_and(|text| text.starts_with("callee: down: component.callee gave up")),
        "{seen:?}"
    );
    assert_eq!(app.ends("callee").len(), 3);
}

#[tokio::test]
async fn a_root_call_borrows_a_resident_with_async_functions_as_a_whole() {
    let app = pair("later-user", "later", "lifetime = \"resident\"");
    app.app.warm().await;
    let add = |n| app.call("callee", "watertight:later/later#add", vec![Val::U32(n), Val::U32(1), Val::U32(5)]);
    let many = format!("{LATER}many");
    let through = app.call("caller", &many, vec![Val::U32(4), Val::U32(5)]);
    let (sums, many) = futures_util::join!(join_all((0..8).map(add)), through);
    for (n, sum) in (0..8_u32).zip(sums) {
        assert!(matches!(sum, Ok(Some(Val::U32(sum))) if sum == n + 1), "{sum:?}");
    }
    assert!(many.is_ok(), "{many:?}");
    let exploded = app.call("callee", "watertight:later/later#explode", vec![Val::U32(0)]).await;
    assert_eq!(exploded.expect_err("it traps").kind, FailureKind::Trap);
    until_said(&app, "callee/0 started", 2).await;
    assert_eq!(cells_started(&app, "callee"), 2);
}

#[tokio::test]
async fn a_thousand_failures_leave_nothing_behind() {
    let keys =
        "instances = 4\nintensity = { max = 65536, within = \"1ms\" }\nbackoff = { first = \"1ms\", most = \"1ms\" }";
    let app = resident("trap", keys);
    for _ in 0..125 {
        let calls = join_all((0..8).map(|_| run(&app, 0))).await;
        assert!(calls.iter().all(|seen| error_text(seen).is_some_and(|text| text.starts_with("callee: trap: "))));
    }
    until(&app, "the last restart", |app| cells_started(app, "callee") == 1004).await;
    assert_eq!(app.ends("callee").len(), 1000);
    let callee = app.app.app().find("callee").expect("it is there").id;
    let usage = app.app.usage();
    let used = usage.components.iter().find(|used| used.component == callee).expect("it is there");
    assert_eq!((used.cells, used.running, used.waiting), (4, 0, 0));
    assert_eq!(health(&app, "callee").restarts, 1000);
}
