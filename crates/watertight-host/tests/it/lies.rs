//! Guests that lie about values, memory and handles, across the membrane: never a panic, a hang or a wrong value. What is
//! true and what is a lie is what Wasmtime itself says of the two in one store.

use std::fmt::Write as _;

use wasmtime::component::Val;
use watertight_model::{
    event::{Event, Outcome},
    failure::{CallError, FailureKind},
};

use crate::graph::{Called, Graph, load, pair};

const FUNCTIONS: [&str; 8] = ["text", "bytes", "words", "letter", "choice", "shapes", "maybe", "outcome"];

const LIES: [u32; 25] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 21, 22, 23, 24, 25, 26, 30, 31, 255, 0x103, u32::MAX];

/// Lies about memory: `realloc`.
const MEMORY_LIES: [u32; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

const BUDGET: &str = "budget = { cpu = \"150ms\", deadline = \"30s\", slice = \"1h\", memory = \"16MiB\" }";

/// Two liars apart, and an honest neighbour that lives as long as the app.
fn apart(lifetime: &str) -> Graph {
    // A resident that is thrown out again and again is not to be given up.
    let kept = if lifetime == "resident" {
        "intensity = { max = 1000 }\nbackoff = { first = \"1ms\", most = \"1ms\" }\n"
    } else {
        ""
    };
    let manifest = format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n{BUDGET}\n\
         [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"{lifetime}\"\n{kept}{BUDGET}\n\
         [component.neighbour]\nsource = \"neighbour.wasm\"\nlifetime = \"resident\"\n"
    );
    load(&manifest, &[("caller", "liar-caller"), ("callee", "liar"), ("neighbour", "counter")])
}

fn fused() -> Graph {
    let manifest = format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n{BUDGET}\n\
         [component.callee]\nsource = \"callee.wasm\"\nwall = \"fused\"\n"
    );
    load(&manifest, &[("caller", "liar-caller"), ("callee", "liar")])
}

/// How the last crossing ended.
fn crossing(app: &Graph) -> Option<Outcome> {
    let mut calls = app.events.all().into_iter().filter_map(|event| match event {
        Event::Call(call) => Some(call.outcome),
        _ => None,
    });
    calls.next_back()
}

async fn lie(app: &Graph, who: &str, what: usize, lie: u32, memory: u32) -> Called {
    let what = u32::try_from(what).expect("a few");
    let arguments = vec![Val::U32(what), Val::U32(lie), Val::U32(memory)];
    app.call("caller", &format!("watertight:test/lies-told#{who}"), arguments).await
}

/// What a lie may be called. A lie about memory can also trap or spin in the liar's own code.
fn fair(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::BadValue | FailureKind::Trap | FailureKind::Cpu | FailureKind::Memory)
}

#[tokio::test]
async fn a_lie_about_a_value_is_told_by_neither_side() {
    let (oracle, app) = (fused(), apart("request"));
    let mut wrong = String::new();
    for who in ["hear", "tell"] {
        for (what, function) in FUNCTIONS.iter().enumerate() {
            for told in LIES {
                check(&oracle, &app, who, (what, function), told, 0, &mut wrong).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn a_lie_about_memory_is_told_by_neither_side() {
    let (oracle, app) = (fused(), apart("request"));
    let mut wrong = String::new();
    for who in ["hear", "tell"] {
        for (what, function) in FUNCTIONS.iter().enumerate() {
            for memory in MEMORY_LIES {
                check(&oracle, &app, who, (what, function), 0, memory, &mut wrong).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

async fn check(
    oracle: &Graph,
    app: &Graph,
    who: &str,
    (what, function): (usize, &str),
    told: u32,
    memory: u32,
    wrong: &mut String,
) {
    let expected = lie(oracle, who, what, told, memory).await;
    let seen = lie(app, who, what, told, memory).await;
    let crossed = crossing(app);
    let sound = match (&expected, &seen) {
        (Ok(expected), Ok(seen)) => expected == seen,
        (Err(_), Err(error)) => fair(error.kind),
        // The callee lied, and its function has an error for that: the caller lives and reads the case `err`.
        (Err(_), Ok(seen)) => who == "hear" && function == "outcome" && *seen == Some(Val::U32(1)),
        (Ok(_), Err(_)) => false,
    };
    let kind = crossed.is_some_and(|outcome| matches!(outcome, Outcome::Ok | Outcome::Failed(_)));
    if !(sound && kind) {
        let _ = writeln!(
            wrong,
            "{who} {function} lie {told} realloc {memory}: one store {expected:?}, apart {seen:?}, crossing {crossed:?}"
        );
    }
    let neighbour = app.call("neighbour", "watertight:test/behave#plain", vec![Val::U32(0)]).await;
    if neighbour != Ok(Some(Val::U32(0))) {
        let _ = writeln!(wrong, "{who} {function} lie {told} realloc {memory}: the neighbour says {neighbour:?}");
    }
}

#[tokio::test]
async fn a_callee_that_lies_is_called_a_liar_and_thrown_out() {
    for lifetime in ["call", "request", "resident"] {
        // A cell for each call forgets what lie it was to tell.
        if lifetime == "call" {
            continue;
        }
        let app = apart(lifetime);
        for (what, lies) in
            [(0, &[1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12][..]), (3, &[1, 2, 3, 4]), (4, &[1, 2, 3]), (7, &[1, 2, 3])]
        {
            for told in lies {
                let heard = lie(&app, "hear", what, *told, 0).await;
                let named = format!("{} lie {told} with a {lifetime} callee: {heard:?}", FUNCTIONS[what]);
                assert_eq!(crossing(&app), Some(Outcome::Failed(FailureKind::BadValue)), "{named}");
                match heard {
                    Ok(value) => assert!(what == 7 && value == Some(Val::U32(1)), "{named}"),
                    Err(error) => assert!(what != 7 && error.detail.contains("callee: bad-value: "), "{named}"),
                }
                let honest = lie(&app, "hear", what, 0, 0).await;
                assert!(honest.is_ok(), "{named}; then honestly: {honest:?}");
            }
        }
        let thrown = app
            .ends("callee")
            .into_iter()
            .filter(|end| matches!(end, watertight_model::event::CellEnd::Ejected(FailureKind::BadValue)));
        assert_eq!(thrown.count(), 21, "each lie costs a {lifetime} callee its cell");
    }
}

#[tokio::test]
async fn lies_about_handles_are_seen_through() {
    let keys = |wall: &str| format!("{wall}\n");
    for (caller, callee, who, lies) in [
        ("handles-liar-caller", "handles-liar", "tell", 0..=5_u32),
        ("handles-liar-caller", "handles-liar", "hear", 0..=3),
    ] {
        let fused = pair(caller, callee, &keys("wall = \"fused\""));
        for lifetime in ["request", "resident"] {
            let app = pair(caller, callee, &keys(&format!("lifetime = \"{lifetime}\"")));
            for told in lies.clone() {
                let name = format!("watertight:test/handles-told#{who}");
                let expected = fused.call("caller", &name, vec![Val::U32(told)]).await;
                let seen = app.call("caller", &name, vec![Val::U32(told)]).await;
                let named = format!("{who} lie {told} with a {lifetime} callee: fused {expected:?}, apart {seen:?}");
                match (&expected, &seen) {
                    (Ok(expected), Ok(seen)) => assert_eq!(expected, seen, "{named}"),
                    (Err(_), Err(error)) => assert!(named_right(&app, error), "{named}"),
                    _ => panic!("{named}"),
                }
            }
        }
    }
}

/// The one who lied is told a liar: the caller by its own failure, the callee by the crossing's.
fn named_right(app: &Graph, error: &CallError) -> bool {
    error.kind == FailureKind::BadValue || crossing(app) == Some(Outcome::Failed(FailureKind::BadValue))
}

#[tokio::test]
async fn a_borrow_that_is_never_given_back_fails_the_one_who_kept_it() {
    let manifest = |wall: &str| {
        format!(
            "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"owner\", \"keeper\"]\n\
             [component.keeper]\nsource = \"keeper.wasm\"\nuses = [\"owner\"]\n{wall}\n\
             [component.owner]\nsource = \"owner.wasm\"\n{wall}\n"
        )
    };
    let guests = [("caller", "borrow-keeper-caller"), ("keeper", "borrow-keeper"), ("owner", "handles-liar")];
    let (fused, app) = (load(&manifest("wall = \"fused\""), &guests), load(&manifest(""), &guests));
    for function in ["read", "keep", "read"] {
        let name = format!("watertight:test/keeper-told#{function}");
        let expected = fused.call("caller", &name, vec![]).await;
        let seen = app.call("caller", &name, vec![]).await;
        assert_eq!(expected.is_ok(), function == "read", "{function}: {expected:?}");
        assert_eq!(seen.is_ok(), function == "read", "{function}: {seen:?}");
        if function == "read" {
            assert_eq!(seen, expected);
        }
    }
}
