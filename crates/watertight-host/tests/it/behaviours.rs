//! Every behaviour guest behind a caller, at every lifetime: what the caller is told, and how the cell ended.

use wasmtime::component::Val;
use watertight_model::{
    event::{CellEnd, Event},
    failure::FailureKind,
};
use watertight_runtime::LoadError;

use crate::graph::{Graph, error_text, load, ok_value, pair, try_load};

const RUN: &str = "watertight:test/behave#run";
const LIFETIMES: [&str; 3] = ["call", "request", "resident"];

fn relay(callee: &str, keys: &str) -> Graph {
    pair("relay", callee, keys)
}

async fn run(app: &Graph, n: u32) -> crate::graph::Called {
    app.call("caller", RUN, vec![Val::U32(n)]).await
}

#[tokio::test]
async fn a_behaviour_that_fails_is_an_error_to_its_caller_at_every_lifetime() {
    for (guest, budget, n, kind) in [
        ("trap", "", 0, FailureKind::Trap),
        ("overflow", "", 0, FailureKind::StackOverflow),
        ("spin", "cpu = \"8ms\"", 0, FailureKind::Cpu),
        ("spin", "cpu = \"1h\", deadline = \"30ms\"", 0, FailureKind::Deadline),
        ("sleep", "deadline = \"30ms\"", 2_000, FailureKind::Deadline),
        ("eat-memory-trap", "memory = \"2MiB\"", 0, FailureKind::Memory),
        ("eat-gc", "memory = \"2MiB\"", 0, FailureKind::Memory),
        ("start-trap", "", 0, FailureKind::Trap),
        ("start-spin", "cpu = \"8ms\"", 0, FailureKind::Cpu),
        ("start-spin", "cpu = \"1h\", deadline = \"30ms\"", 0, FailureKind::Deadline),
        ("exit", "", 0, FailureKind::Exit),
        ("exit", "", 7, FailureKind::Exit),
        ("leak-pollables", "", 0, FailureKind::Memory),
    ] {
        for lifetime in LIFETIMES {
            let app = relay(guest, &format!("lifetime = \"{lifetime}\"\nbudget = {{ {budget} }}"));
            for round in 0..2 {
                let seen = run(&app, n).await;
                let named = format!("{guest} {{ {budget} }} as {lifetime}, round {round}: {seen:?}");
                // One that never came to life has no cell to end; a resident was tried before the call, and the call is told so.
                let stillborn = guest.starts_with("start-");
                let told = if stillborn && lifetime == "resident" { FailureKind::Down } else { kind };
                let start = format!("callee: {told}: ");
                assert!(error_text(&seen).is_some_and(|text| text.starts_with(&start)), "{named}");
                let ends = if stillborn { Vec::new() } else { vec![CellEnd::Ejected(kind); round + 1] };
                assert_eq!(app.ends("callee"), ends, "{named}");
            }
        }
    }
}

#[tokio::test]
async fn a_behaviour_that_copes_with_a_refusal_keeps_its_cell() {
    for (guest, budget, text) in [
        ("eat-memory", "memory = \"2MiB\"", "memory.grow was refused"),
        ("eat-table", "memory = \"2MiB\"", "table.grow was refused"),
        ("fail", "", "asked to fail"),
        ("open-sockets", "sockets = 2", "2 made, then new-socket-limit"),
        ("open-files", "", "no folder"),
    ] {
        for lifetime in LIFETIMES {
            let app = relay(guest, &format!("lifetime = \"{lifetime}\"\nbudget = {{ {budget} }}"));
            let seen = run(&app, 0).await;
            assert!(error_text(&seen).is_some_and(|error| error.contains(text)), "{guest} as {lifetime}: {seen:?}");
            let ends = if lifetime == "resident" { vec![] } else { vec![CellEnd::Done] };
            assert_eq!(app.ends("callee"), ends, "{guest} as {lifetime}");
        }
    }
}

#[tokio::test]
async fn a_cell_lives_as_long_as_its_lifetime_says() {
    // Ten calls in one call tree, then ten in another.
    for (lifetime, started) in [("call", [10, 20]), ("request", [1, 2]), ("resident", [1, 1])] {
        let app = pair("bench-caller", "bench-callee", &format!("lifetime = \"{lifetime}\""));
        let callee = app.app.app().find("callee").expect("it is there").id;
        for expected in started {
            let called = app.call("caller", "watertight:test/laps#add", vec![Val::U32(10)]).await;
            assert!(called.is_ok(), "{called:?}");
            let cells = app
                .events
                .all()
                .into_iter()
                .filter(|event| matches!(event, Event::CellStarted { component, .. } if *component == callee));
            assert_eq!(cells.count(), expected, "{lifetime}");
        }
    }
    // What it keeps in memory goes with it.
    for (lifetime, sums) in [("call", [5, 5]), ("request", [5, 5]), ("resident", [5, 10])] {
        let app = relay("counter", &format!("lifetime = \"{lifetime}\""));
        for sum in sums {
            let seen = run(&app, 5).await;
            assert_eq!(ok_value(&seen), Some(&Val::U32(sum)), "{lifetime}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_fused_component_has_no_cell_of_its_own() {
    let app = relay("counter", "wall = \"fused\"");
    assert_eq!(ok_value(&run(&app, 5).await), Some(&Val::U32(5)));
    let events = app.events.all();
    let started = events.iter().filter(|event| matches!(event, Event::CellStarted { .. })).count();
    let crossed = events.iter().filter(|event| matches!(event, Event::Call(_))).count();
    assert_eq!((started, crossed), (1, 0));
}

#[tokio::test]
async fn memory_is_the_sum_of_memories_tables_and_gc_heap() {
    // One page of memory, and 8 bytes for each element of the table.
    for (guest, memory, n, fits) in [
        ("eat-memory", "4MiB", 3, true),
        ("eat-memory", "4MiB", 4, false),
        ("eat-table", "128KiB", 8, true),
        ("eat-table", "128KiB", 9, false),
        ("eat-table", "192KiB", 16, true),
        ("eat-gc", "16MiB", 4, true),
        ("eat-gc", "4MiB", 4, false),
    ] {
        let app = relay(guest, &format!("budget = {{ memory = \"{memory}\" }}"));
        let seen = run(&app, n).await;
        assert_eq!(ok_value(&seen).is_some(), fits, "{guest} {n} in {memory}: {seen:?}");
        assert_eq!(error_text(&seen).is_some(), !fits, "{guest} {n} in {memory}: {seen:?}");
    }
}

#[tokio::test]
async fn a_component_that_starts_larger_than_its_budget_does_not_load() {
    let manifest = |memory: &str| {
        format!(
            "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
             [component.callee]\nsource = \"callee.wasm\"\nbudget = {{ memory = \"{memory}\" }}\n"
        )
    };
    let guests = [("caller", "relay"), ("callee", "start-big")];
    let problems = try_load(&manifest("1023MiB"), &guests).err().expect("it does not fit");
    assert!(matches!(problems[..], [LoadError::Pool(_)]), "{problems:?}");
    assert!(problems[0].to_string().contains("raise component.callee.budget.memory"), "{problems:?}");
    let app = load(&manifest("1GiB"), &guests);
    assert_eq!(ok_value(&run(&app, 0).await), Some(&Val::U32(16384)));
}

#[tokio::test]
async fn calls_over_the_concurrency_wait_in_the_queue_and_the_rest_is_turned_away() {
    for lifetime in ["call", "request"] {
        let app = relay("sleep", &format!("lifetime = \"{lifetime}\"\nbudget = {{ concurrency = 2, queue = 1 }}"));
        let calls = futures_util::future::join_all((0..5).map(|_| run(&app, 80))).await;
        let full = calls.iter().filter(|call| error_text(call).is_some_and(|text| text.contains("queue-full"))).count();
        let slept = calls.iter().filter(|call| ok_value(call).is_some()).count();
        assert_eq!((slept, full), (3, 2), "{lifetime}: {calls:?}");
        assert!(ok_value(&run(&app, 1).await).is_some(), "{lifetime}: the places are free again");
    }
}

// What sleeps past a deadline here sleeps for less than any caller's own: were the deadline ignored, it would return.

#[tokio::test]
async fn waiting_in_the_queue_ends_at_the_deadline() {
    let manifest = "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
                    [component.caller.edge.\"watertight:test/behave\"]\ndeadline = \"100ms\"\n\
                    [component.callee]\nsource = \"callee.wasm\"\nbudget = { concurrency = 1, queue = 8 }\n";
    let app = load(manifest, &[("caller", "relay"), ("callee", "sleep")]);
    let calls = futures_util::future::join_all((0..4).map(|_| run(&app, 2_000))).await;
    // One of them runs, and perhaps another for the moment that it has left.
    let of = |kind: &str| {
        let start = format!("callee: {kind}: ");
        calls.iter().filter(|call| error_text(call).is_some_and(|text| text.starts_with(&start))).count()
    };
    assert_eq!(of("deadline") + of("shed"), 4, "{calls:?}");
    assert!(of("shed") >= 2, "{calls:?}");
    assert!(ok_value(&run(&app, 1).await).is_some(), "the place is free again");
}

#[tokio::test]
async fn a_deadline_of_the_caller_leaves_it_time_for_the_error() {
    let manifest = "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\nbudget = { deadline = \"1s\" }\n\
                    [component.callee]\nsource = \"callee.wasm\"\nbudget = { deadline = \"1h\", cpu = \"1h\" }\n";
    for callee in ["sleep", "spin"] {
        let app = load(manifest, &[("caller", "relay"), ("callee", callee)]);
        let seen = run(&app, if callee == "spin" { 0 } else { 2_000 }).await;
        assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: deadline: ")), "{callee}: {seen:?}");
    }
}

#[tokio::test]
async fn every_proposal_of_webassembly_is_on() {
    for (guest, answer) in [
        ("uses-simd", 400),
        ("uses-relaxed-simd", 201),
        ("uses-multi-memory", 100),
        ("uses-memory64", 100),
        ("uses-tail-call", 100),
        ("uses-exceptions", 100),
        ("uses-gc", 100),
        ("uses-function-references", 101),
        ("uses-bulk-memory", 100),
    ] {
        for lifetime in LIFETIMES {
            let app = relay(guest, &format!("lifetime = \"{lifetime}\""));
            let seen = run(&app, 100).await;
            assert_eq!(ok_value(&seen), Some(&Val::U32(answer)), "{guest} as {lifetime}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn values_of_every_type_come_back_as_they_went() {
    for lifetime in LIFETIMES {
        let app = pair("types-user", "types", &format!("lifetime = \"{lifetime}\""));
        let seen = app.call("caller", "watertight:test/types-check#all", vec![Val::U32(20)]).await;
        let Some(Val::U32(count)) = ok_value(&seen) else { panic!("{lifetime}: {seen:?}") };
        assert!(*count > 100, "{count}");
    }
}

#[tokio::test]
async fn text_crosses_between_all_encodings() {
    let texts = ["", "plain", "straße", "z\u{0}z", "Ελλάδα", "日本語", "\u{1f600}\u{10ffff}", "\u{e9}\u{ff}\u{100}"]
        .map(str::to_owned);
    let long = "aé日\u{1f600}".repeat(800);
    for from in ["utf8", "utf16", "latin1"] {
        for to in ["utf8", "utf16", "latin1"] {
            let app = pair(&format!("text-relay-{from}"), &format!("text-{to}"), "");
            for text in texts.iter().chain([&long]) {
                let echo = app.call("caller", "watertight:test/text#echo", vec![Val::String(text.clone())]).await;
                assert_eq!(echo, Ok(Some(Val::String(text.clone()))), "{from} to {to}");
            }
            let all = Val::List(texts.iter().cloned().map(Val::String).collect());
            let back = app.call("caller", "watertight:test/text#all", vec![all.clone()]).await;
            assert_eq!(back, Ok(Some(all)), "{from} to {to}");
        }
    }
}
