//! Injected faults: each is a failure like any other to the caller and to the cell, and marked in the events. Without a plan
//! nothing fails.

use std::time::Duration;

use wasmtime::component::Val;
use watertight_model::{
    event::{CellEnd, Event, Outcome},
    failure::FailureKind,
    fault::{FaultKind, FaultPlan},
};
use watertight_testkit::guest;

use crate::bare::{self, Harness};

/// A caller and a callee that answers `n + 1`, for WASI 0.2 or with component-model async.
fn pair(asynchronous: bool, keys: &str) -> Harness {
    pair_with(asynchronous, keys, "")
}

/// The same, but the callee does something before it answers `run`.
fn pair_with(asynchronous: bool, keys: &str, before: &str) -> Harness {
    let func = if asynchronous { "async func" } else { "func" };
    let wit = format!(
        "package a:b;
         interface i {{ run: {func}(n: u32) -> result<u32, string>; plain: {func}(n: u32) -> u32; }}
         world callee {{ export i; }}
         world relay {{ import i; export i; }}"
    );
    let callee = guest::component(
        &wit,
        "callee",
        &r#"(module
            (memory (export "memory") 1)
            (func $more (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
            (func (export "a:b/i#run") (param i32) (result i32)
                BEFORE
                (i32.store (i32.const 0) (i32.const 0))
                (i32.store (i32.const 4) (call $more (local.get 0)))
                (i32.const 0))
            (func (export "a:b/i#plain") (param i32) (result i32) (call $more (local.get 0))))"#
            .replace("BEFORE", before),
    );
    let relay = guest::component(
        &wit,
        "relay",
        r#"(module
            (import "a:b/i" "run" (func $run (param i32 i32)))
            (import "a:b/i" "plain" (func $plain (param i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "a:b/i#run") (param i32) (result i32)
                (call $run (local.get 0) (i32.const 16))
                (i32.const 16))
            (func (export "a:b/i#plain") (param i32) (result i32) (call $plain (local.get 0))))"#,
    );
    let manifest = format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
         [component.callee]\nsource = \"callee.wasm\"\n{keys}\n"
    );
    bare::load(&manifest, &[("caller", relay), ("callee", callee)])
}

fn inject(app: &Harness, faults: &str) {
    let plan = FaultPlan::parse(app.app.app(), "faults", [faults], 1).expect("the plan is sound");
    app.app.set_faults(Some(plan));
}

/// What `run` of a component says: a number, or an error.
async fn run(app: &Harness, component: &str) -> Result<u32, String> {
    match app.call(component, "a:b/i#run", vec![Val::U32(1)]).await {
        Ok(results) => {
            let [Val::Result(result)] = &results[..] else { panic!("not a result: {results:?}") };
            match result.as_ref().map(Option::as_deref).map_err(Option::as_deref) {
                Ok(Some(Val::U32(value))) => Ok(*value),
                Err(Some(Val::String(text))) => Err(text.clone()),
                Ok(_) | Err(_) => panic!("neither a number nor a text: {results:?}"),
            }
        }
        Err(error) => Err(format!("failed: {error}")),
    }
}

/// How the crossings ended, and what a drill did to them.
fn crossings(events: &[Event]) -> Vec<(Outcome, Option<FaultKind>)> {
    let crossed = events.iter().filter_map(|event| if let Event::Call(call) = event { Some(call) } else { None });
    crossed.map(|call| (call.outcome, call.injected)).collect()
}

fn ends(app: &Harness, events: &[Event]) -> Vec<CellEnd> {
    let callee = app.app.app().find("callee").expect("it is there").id;
    let ended = events.iter().filter_map(|event| {
        let Event::CellEnded { component, end, .. } = event else { return None };
        (*component == callee).then_some(*end)
    });
    ended.collect()
}

const CASES: [(&str, FaultKind, FailureKind, bool); 5] = [
    ("trap 100%", FaultKind::Trap, FailureKind::Trap, true),
    ("oom 100%", FaultKind::Oom, FailureKind::Memory, true),
    ("spin 100%", FaultKind::Spin, FailureKind::Cpu, true),
    ("error 100%", FaultKind::Error, FailureKind::Injected, false),
    ("delay 1h 100%", FaultKind::Delay, FailureKind::Deadline, false),
];

#[tokio::test]
async fn each_fault_is_a_failure_that_its_caller_is_told_of_and_that_costs_the_cell_that_ran() {
    for asynchronous in [false, true] {
        for lifetime in ["call", "request", "resident"] {
            let app = pair(
                asynchronous,
                &format!("lifetime = \"{lifetime}\"\nbudget = {{ cpu = \"20ms\", deadline = \"500ms\" }}"),
            );
            assert_eq!(run(&app, "caller").await, Ok(2));
            for (faults, injected, kind, entered) in CASES {
                let named = format!("{faults} as {lifetime}, async: {asynchronous}");
                app.events.take();
                inject(&app, &format!("callee: {faults}"));
                let told = run(&app, "caller").await.expect_err(&named);
                assert!(told.starts_with(&format!("callee: {kind}: ")), "{named}: {told}");
                app.app.set_faults(None);
                assert_eq!(run(&app, "caller").await, Ok(2), "{named}: then all is well");
                // The task of a cell with component-model async ends after its call.
                tokio::time::sleep(Duration::from_millis(20)).await;

                let events = app.events.take();
                let expected = [(Outcome::Failed(kind), Some(injected)), (Outcome::Ok, None)];
                assert_eq!(crossings(&events), expected, "{named}");
                let ejected = ends(&app, &events).into_iter().filter(|end| *end == CellEnd::Ejected(kind)).count();
                assert_eq!(ejected, usize::from(entered), "{named}: {events:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_delay_within_the_deadline_only_takes_its_time() {
    let app = pair(false, "");
    inject(&app, "callee: delay 30ms 100%");
    assert_eq!(run(&app, "caller").await, Ok(2));
    let events = app.events.take();
    assert_eq!(crossings(&events), [(Outcome::Ok, Some(FaultKind::Delay))]);
    let waited =
        events.iter().any(|event| matches!(event, Event::Call(call) if call.duration >= Duration::from_millis(30)));
    assert!(waited, "{events:?}");
}

#[tokio::test]
async fn a_call_from_outside_suffers_the_faults_of_its_component() {
    for asynchronous in [false, true] {
        let app = pair(asynchronous, "budget = { cpu = \"20ms\", deadline = \"1s\" }");
        for (faults, injected, kind, entered) in CASES {
            let named = format!("{faults}, async: {asynchronous}");
            app.events.take();
            inject(&app, &format!("callee: {faults}"));
            let told = run(&app, "callee").await.expect_err(&named);
            assert!(told.starts_with(&format!("failed: callee: {kind}: ")), "{named}: {told}");
            let events = app.events.take();
            let marked = events.iter().any(|event| {
                matches!(event, Event::Root(root) if root.injected == Some(injected) && root.outcome == Outcome::Failed(kind))
            });
            assert!(marked, "{named}: {events:?}");
            let expected = if entered { vec![CellEnd::Ejected(kind)] } else { vec![] };
            assert_eq!(ends(&app, &events), expected, "{named}");
        }
    }
}

#[tokio::test]
async fn a_spinning_cell_with_a_task_of_its_own_ends_although_its_caller_is_gone() {
    let app = pair_with(true, "budget = { cpu = \"1m\", deadline = \"1m\" }", "(loop $again (br $again))");
    let cut = tokio::time::timeout(Duration::from_millis(10), run(&app, "caller")).await;
    assert!(cut.is_err(), "{cut:?}");
    // Long enough for the clock of the guests to stop, if nobody kept it going.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ends(&app, &app.events.take()).len(), 1, "its cell is gone");
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_calls() {
    let app = pair(false, "");
    let mut seen = Vec::new();
    for _ in 0..2 {
        inject(&app, "caller->callee: trap 30%, error 20%");
        for _ in 0..50 {
            // Whether it is told an error or a number is what the events say, too.
            drop(run(&app, "caller").await);
        }
        seen.push(crossings(&app.events.take()));
    }
    assert_eq!(seen[0], seen[1]);
    let struck = seen[0].iter().filter(|(_, injected)| injected.is_some()).count();
    assert!((10..40).contains(&struck), "{struck} of 50");
    let plan = app.app.faults().expect("it was set");
    assert_eq!(plan.rules(app.app.app()), ["caller->callee: trap 30%, error 20%"]);
    app.app.set_faults(None);
    assert!(app.app.faults().is_none());
}
