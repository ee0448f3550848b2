//! What a caller gets of a callee that fails, as the manifest says it: every policy at every lifetime, in order, and in time.

use std::time::{Duration, Instant};

use wasmtime::component::Val;
use watertight_model::{
    breaker::BreakerState,
    event::{Call, Event, Outcome, Seen},
    failure::FailureKind,
};
use watertight_testkit::guest;

use crate::graph::{Called, Graph, error_text, load, ok_value, try_load_bytes};

const LIFETIMES: [&str; 3] = ["call", "request", "resident"];

/// A caller of `callee`, with `lite` beside it, which answers `n + 1`. `keys` are for the callee, `edge` for the edge between.
fn app(callee: &str, keys: &str, edge: &str) -> Graph {
    load(&manifest(keys, edge), &[("caller", "relay"), ("callee", callee), ("lite", "ok")])
}

fn manifest(keys: &str, edge: &str) -> String {
    format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\nbudget = {{ cpu = \"1m\", deadline = \"1m\" }}\n\
         [component.callee]\nsource = \"callee.wasm\"\n{keys}\n[component.lite]\nsource = \"lite.wasm\"\n\
         [component.caller.edge.\"watertight:test/behave\"]\n{edge}\n"
    )
}

async fn call(app: &Graph, function: &str, n: u32) -> Called {
    app.call("caller", &format!("watertight:test/behave#{function}"), vec![Val::U32(n)]).await
}

/// The calls over edges so far, each as it ended.
fn calls(app: &Graph) -> Vec<Call> {
    let call = |event| if let Event::Call(call) = event { Some(call) } else { None };
    app.events.all().into_iter().filter_map(call).collect()
}

fn result(value: Result<u32, &str>) -> Val {
    Val::Result(match value {
        Ok(number) => Ok(Some(Box::new(Val::U32(number)))),
        Err(text) => Err(Some(Box::new(Val::String(text.into())))),
    })
}

#[tokio::test]
async fn a_value_that_the_manifest_sets_is_what_a_caller_gets() {
    let edge = "function.run.on-failure = { return = 'ok(7)' }\nfunction.quiet.on-failure = { return = 'ok(8)' }\n\
                function.bare.on-failure = { return = 'ok' }\nfunction.plain.on-failure = { return = '9' }";
    for lifetime in LIFETIMES {
        let app = app("trap", &format!("lifetime = \"{lifetime}\""), edge);
        let nothing = Val::Result(Ok(None));
        let eight = Val::Result(Ok(Some(Box::new(Val::U32(8)))));
        for (function, value) in [("run", result(Ok(7))), ("quiet", eight), ("bare", nothing), ("plain", Val::U32(9))] {
            assert_eq!(call(&app, function, 1).await, Ok(Some(value)), "{function} as {lifetime}");
        }
        for call in calls(&app) {
            let seen = (call.outcome, call.seen, call.attempts, call.fallback);
            assert_eq!(seen, (Outcome::Failed(FailureKind::Trap), Seen::Value, 1, None), "{lifetime}");
        }
    }
}

#[tokio::test]
async fn an_error_that_the_manifest_names_holds_the_failures_message_where_none_is_written() {
    let callee = app("trap", "", "function.run.on-failure = { return = 'err' }");
    let seen = call(&callee, "run", 1).await;
    assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: trap: ")), "{seen:?}");
    let callee = app("trap", "", "function.run.on-failure = { return = 'err(\"not now\")' }");
    assert_eq!(error_text(&call(&callee, "run", 1).await), Some("not now"));
}

#[tokio::test]
async fn a_caller_that_is_to_trap_traps_although_it_could_be_told() {
    for lifetime in LIFETIMES {
        let app = app("trap", &format!("lifetime = \"{lifetime}\""), "on-failure = \"trap\"");
        for function in ["run", "quiet", "bare", "plain"] {
            let error = call(&app, function, 1).await.expect_err("the caller traps");
            assert_eq!(
                (error.kind, error.component.as_str()),
                (FailureKind::Trap, "caller"),
                "{function} as {lifetime}"
            );
        }
        assert!(calls(&app).iter().all(|call| call.seen == Seen::Trap));
    }
}

#[tokio::test]
async fn a_fallback_answers_for_a_callee_that_failed() {
    for lifetime in LIFETIMES {
        let app = app("trap", &format!("lifetime = \"{lifetime}\""), "on-failure = { fallback = \"lite\" }");
        assert_eq!(call(&app, "run", 4).await, Ok(Some(result(Ok(5)))), "{lifetime}");
        assert_eq!(call(&app, "plain", 4).await, Ok(Some(Val::U32(5))), "{lifetime}");
        for call in calls(&app) {
            let seen = (call.outcome, call.seen, call.attempts, call.fallback);
            assert_eq!(seen, (Outcome::Failed(FailureKind::Trap), Seen::Fallback, 1, Some(Outcome::Ok)), "{lifetime}");
        }
    }
}

#[tokio::test]
async fn a_fallback_that_fails_too_leaves_the_value_or_the_error_of_both() {
    let guests = [("caller", "relay"), ("callee", "trap"), ("lite", "exit")];
    let edge = "function.run.on-failure = { fallback = \"lite\" }\n\
                function.plain.on-failure = { fallback = \"lite\", return = '3' }";
    let app = load(&manifest("", edge), &guests);
    assert_eq!(call(&app, "plain", 1).await, Ok(Some(Val::U32(3))));
    let seen = call(&app, "run", 1).await;
    let text = error_text(&seen).expect("it can be told");
    assert!(text.starts_with("callee: trap: ") && text.contains("its fallback failed too: lite: exit: "), "{text}");
    let exited = Some(Outcome::Failed(FailureKind::Exit));
    assert!(calls(&app).iter().all(|call| call.fallback == exited));
}

/// Calls `counter`, which stays, and traps until that has been called more than `n` times.
fn flaky() -> Vec<u8> {
    guest::component(
        "package a:b; world w { import watertight:test/behave; export watertight:test/behave; }",
        "w",
        r#"(module
            (import "watertight:test/behave" "plain" (func $count (param i32) (result i32)))
            (memory (export "memory") 1)
            (func $try (param $n i32) (result i32) (local $count i32)
                (local.set $count (call $count (i32.const 1)))
                (if (i32.le_u (local.get $count) (local.get $n)) (then unreachable))
                (i32.store (i32.const 4) (local.get $count))
                (i32.store8 (i32.const 0) (i32.const 0))
                (i32.const 0))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "watertight:test/behave#run") (param i32) (result i32) (call $try (local.get 0)))
            (func (export "watertight:test/behave#quiet") (param i32) (result i32) (call $try (local.get 0)))
            (func (export "watertight:test/behave#bare") (param i32) (result i32) (call $try (local.get 0)))
            (func (export "watertight:test/behave#plain") (param i32) (result i32)
                (i32.load (i32.add (call $try (local.get 0)) (i32.const 4)))))"#,
    )
}

fn flaky_app(lifetime: &str, edge: &str) -> Graph {
    let keys = format!("lifetime = \"{lifetime}\"\nuses = [\"counter\"]");
    let manifest = manifest(&keys, edge) + "[component.counter]\nsource = \"counter.wasm\"\nlifetime = \"resident\"\n";
    let guests = [
        ("caller", guest::built("relay")),
        ("callee", flaky()),
        ("lite", guest::built("ok")),
        ("counter", guest::built("counter")),
    ];
    try_load_bytes(&manifest, &guests).unwrap_or_else(|problems| panic!("the app does not load: {problems:#?}"))
}

#[tokio::test]
async fn a_call_is_made_again_in_a_fresh_cell_until_it_succeeds() {
    for (lifetime, idempotent) in
        [("call", ""), ("request", "idempotent = [\"run\"]"), ("resident", "idempotent = [\"run\"]")]
    {
        let app = flaky_app(lifetime, &format!("retry = {{ attempts = 3, backoff = \"1ms\" }}\n{idempotent}"));
        assert_eq!(ok_value(&call(&app, "run", 2).await), Some(&Val::U32(3)), "{lifetime}");
        let of_edge = calls(&app).into_iter().find(|call| call.attempts > 1).expect("it was made more than once");
        assert_eq!((of_edge.attempts, of_edge.outcome, of_edge.seen), (3, Outcome::Ok, Seen::Results), "{lifetime}");
        let ejected = app.ends("callee").iter().filter(|end| **end != watertight_model::event::CellEnd::Done).count();
        assert_eq!(ejected, 2, "{lifetime}: every attempt that failed cost a cell");
    }
}

#[tokio::test]
async fn attempts_come_to_an_end_and_then_the_fallback_has_its_turn() {
    let app = flaky_app("call", "retry = { attempts = 2, backoff = \"1ms\" }\non-failure = { fallback = \"lite\" }");
    assert_eq!(ok_value(&call(&app, "run", 1000).await), Some(&Val::U32(1001)));
    let last = *calls(&app).last().expect("it crossed");
    let seen = (last.attempts, last.outcome, last.fallback, last.seen);
    assert_eq!(seen, (3, Outcome::Failed(FailureKind::Trap), Some(Outcome::Ok), Seen::Fallback));
}

#[tokio::test]
async fn there_is_a_wait_between_two_attempts() {
    let app = flaky_app("call", "retry = { attempts = 2, backoff = \"100ms\" }");
    let began = Instant::now();
    assert_eq!(ok_value(&call(&app, "run", 2).await), Some(&Val::U32(3)));
    // 100 ms and 200 ms, less up to a half.
    assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_another_attempt_cannot_help_is_not_tried_again() {
    let keys = "lifetime = \"call\"\nbudget = { cpu = \"20ms\" }";
    let app = app(
        "spin",
        keys,
        "retry = { attempts = 5, backoff = \"1ms\" }\non-failure = { return = 'err(\"no\")' }\n\
        function.quiet.on-failure = \"error\"\nfunction.bare.on-failure = \"error\"\nfunction.plain.on-failure = \"trap\"",
    );
    assert_eq!(error_text(&call(&app, "run", 0).await), Some("no"));
    assert_eq!(calls(&app)[0].attempts, 1, "as much cpu would be spent again");
}

#[tokio::test]
async fn a_chain_keeps_to_the_time_of_its_caller_and_leaves_some_for_the_fallback() {
    let manifest = manifest(
        "lifetime = \"call\"",
        "retry = { attempts = 2, backoff = \"1ms\" }\non-failure = { fallback = \"lite\" }",
    )
    .replace("deadline = \"1m\"", "deadline = \"800ms\"");
    let app = load(&manifest, &[("caller", "relay"), ("callee", "sleep"), ("lite", "ok")]);
    let began = Instant::now();
    assert_eq!(ok_value(&call(&app, "run", 5_000).await), Some(&Val::U32(5_001)));
    assert!(began.elapsed() < Duration::from_millis(820), "{:?}", began.elapsed());
    let seen = calls(&app)[0];
    assert_eq!((seen.attempts, seen.outcome), (3, Outcome::Failed(FailureKind::Deadline)));
}

#[tokio::test]
async fn the_deadline_of_a_function_goes_before_that_of_its_edge() {
    let edge = "deadline = \"30s\"\nfunction.run.deadline = \"30ms\"";
    let app = app("sleep", "budget = { deadline = \"1m\" }", edge);
    let seen = call(&app, "run", 2_000).await;
    assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: deadline: ")), "{seen:?}");
    assert!(ok_value(&call(&app, "quiet", 60).await).is_some(), "the edge's own is longer");
}

fn breaker_states(app: &Graph) -> Vec<BreakerState> {
    let state = |event| if let Event::Breaker { state, .. } = event { Some(state) } else { None };
    app.events.all().into_iter().filter_map(state).collect()
}

#[tokio::test]
async fn a_breaker_opens_lets_one_call_try_and_closes() {
    let open_for = Duration::from_millis(100);
    let breaker = "breaker = { failures = 2, within = \"1m\", open-for = \"100ms\" }";
    let app = flaky_app("call", breaker);
    let cells = || app.ends("callee").len();
    let error = async || {
        let seen = call(&app, "run", 3).await;
        error_text(&seen).map(|text| text.split(": ").nth(1).unwrap_or_default().to_owned())
    };
    assert_eq!(error().await.as_deref(), Some("trap"));
    assert_eq!(error().await.as_deref(), Some("trap"));
    assert_eq!(breaker_states(&app), [BreakerState::Open]);
    assert_eq!(error().await.as_deref(), Some("breaker-open"));
    assert_eq!(cells(), 2, "the callee was not reached");
    let refused = calls(&app).pop().expect("it was told");
    assert_eq!((refused.attempts, refused.outcome), (0, Outcome::Failed(FailureKind::BreakerOpen)));

    tokio::time::sleep(open_for).await;
    assert_eq!(error().await.as_deref(), Some("trap"), "one call tries");
    assert_eq!(error().await.as_deref(), Some("breaker-open"));
    assert_eq!(cells(), 3);

    tokio::time::sleep(open_for).await;
    assert_eq!(ok_value(&call(&app, "run", 3).await), Some(&Val::U32(4)), "and now it is well");
    assert_eq!(ok_value(&call(&app, "run", 3).await), Some(&Val::U32(5)));
    let states =
        [BreakerState::Open, BreakerState::HalfOpen, BreakerState::Open, BreakerState::HalfOpen, BreakerState::Closed];
    assert_eq!(breaker_states(&app), states);
}

#[tokio::test]
async fn failures_that_are_far_apart_do_not_open_a_breaker() {
    let app = app("trap", "lifetime = \"call\"", "breaker = { failures = 2, within = \"30ms\" }");
    for _ in 0..4 {
        assert!(call(&app, "run", 1).await.is_ok());
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(breaker_states(&app), []);
}

#[tokio::test]
async fn of_many_calls_at_once_a_half_open_breaker_lets_one_try() {
    let edge = "deadline = \"40ms\"\nbreaker = { failures = 1, open-for = \"60ms\" }";
    let app = app("sleep", "lifetime = \"call\"\nbudget = { cpu = \"1m\" }", edge);
    assert!(error_text(&call(&app, "run", 2_000).await).is_some());
    tokio::time::sleep(Duration::from_millis(70)).await;
    let seen = futures_util::future::join_all((0..5).map(|_| call(&app, "run", 5))).await;
    assert_eq!(seen.iter().filter(|call| ok_value(call).is_some()).count(), 1, "{seen:?}");
    assert_eq!(breaker_states(&app), [BreakerState::Open, BreakerState::HalfOpen, BreakerState::Closed]);
}

#[tokio::test]
async fn a_probe_whose_caller_is_gone_makes_room_for_another() {
    let edge = "breaker = { failures = 1, open-for = \"30ms\" }\nfunction.quiet.deadline = \"20ms\"";
    let app = app("sleep", "lifetime = \"call\"\nbudget = { cpu = \"1m\" }", edge);
    assert!(call(&app, "quiet", 2_000).await.is_ok(), "it is told of the deadline");
    tokio::time::sleep(Duration::from_millis(40)).await;
    let gone = tokio::time::timeout(Duration::from_millis(20), call(&app, "run", 4_000)).await;
    assert!(gone.is_err(), "the probe was running");
    assert!(ok_value(&call(&app, "run", 1).await).is_some());
    assert_eq!(breaker_states(&app), [BreakerState::Open, BreakerState::HalfOpen, BreakerState::Closed]);
}

#[tokio::test]
async fn a_breaker_by_ratio_counts_deadlines_and_every_function_of_its_edge() {
    let edge = "deadline = \"20ms\"\nbreaker = { ratio = 0.5, calls = 4, open-for = \"1m\" }";
    let app = app("sleep", "budget = { cpu = \"1m\" }", edge);
    for (function, n) in [("run", 1), ("quiet", 1), ("run", 2_000), ("quiet", 2_000)] {
        assert!(call(&app, function, n).await.is_ok());
    }
    assert_eq!(breaker_states(&app), [BreakerState::Open]);
    let seen = call(&app, "run", 1).await;
    assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: breaker-open: ")), "{seen:?}");
}

#[tokio::test]
async fn an_open_breaker_leads_to_the_fallback_without_another_attempt() {
    let edge = "breaker = { failures = 1, open-for = \"1m\" }\nretry = { attempts = 3, backoff = \"1ms\" }\n\
                on-failure = { fallback = \"lite\" }";
    let app = app("trap", "lifetime = \"call\"", edge);
    for _ in 0..3 {
        assert_eq!(ok_value(&call(&app, "run", 1).await), Some(&Val::U32(2)));
    }
    // The first call opens it, and its own second attempt is turned away.
    let attempts: Vec<_> = calls(&app).iter().map(|call| call.attempts).collect();
    assert_eq!(attempts, [1, 0, 0]);
    assert_eq!(app.ends("callee").len(), 1);
}

#[tokio::test]
async fn an_edge_lets_so_many_calls_across_so_many_wait_and_turns_the_rest_away() {
    let app = app("sleep", "", "concurrency = 2\nqueue = 1");
    let seen = futures_util::future::join_all((0..5).map(|_| call(&app, "run", 80))).await;
    let full = |call: &&Called| {
        error_text(call)
            .is_some_and(|text| text.starts_with("callee: queue-full: ") && text.contains("component.caller.edge"))
    };
    let slept = seen.iter().filter(|call| ok_value(call).is_some()).count();
    assert_eq!((slept, seen.iter().filter(full).count()), (3, 2), "{seen:?}");
    assert!(ok_value(&call(&app, "run", 1).await).is_some(), "the places are free again");
}

#[tokio::test]
async fn a_call_that_would_wait_past_its_deadline_is_shed_at_once() {
    // Of the edge, and of the component.
    for (keys, edge) in [
        ("", "deadline = \"1s\"\nconcurrency = 1\nqueue = 8"),
        ("budget = { concurrency = 1, queue = 8 }", "deadline = \"1s\""),
    ] {
        let app = app("sleep", keys, edge);
        assert!(ok_value(&call(&app, "run", 400).await).is_some(), "and so it is known what calls take");
        let seen = futures_util::future::join_all((0..5).map(|_| call(&app, "run", 400))).await;
        let shed = |call: &Call| call.outcome == Outcome::Failed(FailureKind::Shed);
        let shed: Vec<_> = calls(&app).into_iter().filter(shed).collect();
        assert!(shed.len() >= 2, "{seen:?}");
        let at_once = |call: &&Call| call.duration < Duration::from_millis(400);
        assert!(shed.iter().filter(at_once).count() >= 2, "{shed:?}");
        let told = seen.iter().filter(|call| error_text(call).is_some_and(|text| text.starts_with("callee: shed: ")));
        assert_eq!(told.count(), shed.len(), "{seen:?}");
    }
}

/// Answers at once, whatever it is asked.
fn later_lite() -> Vec<u8> {
    guest::component(
        "package a:b; world w { import wasi:clocks/monotonic-clock@0.3.0; export watertight:later/later; }",
        "w",
        r#"(module
            (memory (export "memory") 1)
            (data (i32.const 8) "\00\00\00\00\07\00\00\00")
            (data (i32.const 16) "\00\00\00\00\20\00\00\00\04\00\00\00")
            (data (i32.const 32) "lite")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "watertight:later/later#add") (param i32 i32 i32) (result i32) (i32.const 7))
            (func (export "watertight:later/later#turn") (param i32 i32 i32) (result i32) (i32.const 16))
            (func (export "watertight:later/later#explode") (param i32) (result i32) (i32.const 8))
            (func (export "watertight:later/later#spin") (result i32) (i32.const 8)))"#,
    )
}

/// `later-user` calls `later`, with component-model async, and `lite` beside it.
fn later_app(keys: &str, edge: &str) -> Graph {
    let manifest = format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\nbudget = {{ cpu = \"1m\", deadline = \"1m\" }}\n\
         [component.callee]\nsource = \"callee.wasm\"\n{keys}\n[component.lite]\nsource = \"lite.wasm\"\n\
         [component.caller.edge.\"watertight:later/later\"]\n{edge}\n"
    );
    let guests = [("caller", guest::built("later-user")), ("callee", guest::built("later")), ("lite", later_lite())];
    try_load_bytes(&manifest, &guests).unwrap_or_else(|problems| panic!("the app does not load: {problems:#?}"))
}

async fn scene(app: &Graph, function: &str, arguments: Vec<Val>) -> Called {
    app.call("caller", &format!("watertight:later/later-scenes#{function}"), arguments).await
}

#[tokio::test]
async fn with_component_model_async_every_policy_is_the_same() {
    let ms = || vec![Val::U32(1)];
    for lifetime in LIFETIMES {
        let keys = format!("lifetime = \"{lifetime}\"\nbudget = {{ cpu = \"30ms\" }}");
        let app = later_app(
            &keys,
            "function.explode.on-failure = { return = 'ok(5)' }\nfunction.spin.on-failure = \"error\"",
        );
        assert_eq!(scene(&app, "exploded", ms()).await, Ok(Some(result(Ok(5)))), "{lifetime}");
        let seen = scene(&app, "spun", vec![]).await;
        assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: cpu: ")), "{lifetime}: {seen:?}");

        let app = later_app(&keys, "on-failure = { fallback = \"lite\" }\ndeadline = \"40ms\"");
        assert_eq!(scene(&app, "exploded", ms()).await, Ok(Some(result(Ok(7)))), "{lifetime}");
        let sum = |ms| vec![Val::U32(1), Val::U32(2), Val::U32(ms)];
        assert_eq!(scene(&app, "one", sum(1)).await, Ok(Some(Val::U32(3))), "{lifetime}");
        assert_eq!(scene(&app, "one", sum(5_000)).await, Ok(Some(Val::U32(7))), "{lifetime}");
        let last = calls(&app).pop().expect("it crossed");
        assert_eq!((last.outcome, last.seen), (Outcome::Failed(FailureKind::Deadline), Seen::Fallback), "{lifetime}");

        let app = later_app(&keys, "on-failure = \"trap\"");
        assert!(scene(&app, "exploded", ms()).await.is_err(), "{lifetime}");

        let edge = "retry = { attempts = 2, backoff = \"1ms\" }\nidempotent = [\"explode\"]\n\
                    breaker = { failures = 3, open-for = \"1m\" }\nconcurrency = 4";
        let app = later_app(&keys, edge);
        let seen = scene(&app, "exploded", ms()).await;
        assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: trap: ")), "{lifetime}: {seen:?}");
        assert_eq!(calls(&app)[0].attempts, 3, "{lifetime}");
        assert_eq!(breaker_states(&app), [BreakerState::Open], "{lifetime}");
        let seen = scene(&app, "exploded", ms()).await;
        assert!(
            error_text(&seen).is_some_and(|text| text.starts_with("callee: breaker-open: ")),
            "{lifetime}: {seen:?}"
        );
    }
}

#[tokio::test]
async fn with_component_model_async_an_edge_bounds_the_calls_of_one_caller() {
    let app = later_app("", "concurrency = 2\nqueue = 64");
    assert!(scene(&app, "many", vec![Val::U32(8), Val::U32(5)]).await.is_ok());
    let app = later_app("", "concurrency = 1\nqueue = 0\nfunction.add.on-failure = { return = '1000' }");
    let Ok(Some(Val::U32(sum))) = scene(&app, "many", vec![Val::U32(8), Val::U32(50)]).await else {
        panic!("the set value answers for those that are turned away");
    };
    assert!(sum >= 7000, "{sum}");
}
