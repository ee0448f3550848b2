//! Guests that outrun their slice: whatever they were in the middle of goes on as if nothing had happened.

use http::Method;
use http_body_util::BodyExt as _;
use std::time::Duration;
use wasmtime::component::Val;
use watertight_host::http::AnswerError;
use watertight_model::{
    app::{Component, HttpHandler},
    event::{CellEnd, Event},
    failure::FailureKind,
};

use crate::{
    app::Bench,
    graph::{Graph, error_text, load, ok_value},
    serve::{ANSWER, CHUNK, FINISH, Rests, ask, end, of, request, text},
};

/// Spins for much longer than a slice of a millisecond, on any machine.
const SPIN: &str = "(local.set $response (i32.const 200000000))
    (loop $spin (br_if $spin (local.tee $response (i32.sub (local.get $response) (i32.const 1)))))";

const SPIN_FOR_EVER: &str = "(loop $for-ever (br $for-ever))";

fn short_slice(component: &mut Component) {
    component.budget.slice = Duration::from_millis(1);
    (component.budget.cpu, component.budget.deadline) = (Duration::from_mins(1), Duration::from_mins(1));
}

fn demoted(bench: &Bench) -> usize {
    bench.events.all().iter().filter(|event| matches!(event, Event::Demoted { .. })).count()
}

#[tokio::test]
async fn an_answer_is_whole_wherever_its_guest_runs() {
    let bench = of(&format!("{SPIN} {ANSWER} {} {SPIN} {} {FINISH}", CHUNK.repeat(50), CHUNK.repeat(50)), short_slice);
    let rests = Rests::default();
    let answer = ask(&bench, HttpHandler::P2, request(Method::GET, "/"), &rests).await.expect("it answers");
    assert_eq!(demoted(&bench), 1);
    assert_eq!(text(answer).await.expect("it ends"), "chunk\n".repeat(100));
    for rest in rests.take() {
        rest.await;
    }
    assert_eq!(end(&bench), Some(CellEnd::Done));
}

#[tokio::test]
async fn a_failure_at_lower_priority_breaks_the_answer_off() {
    let bench = of(&format!("{ANSWER} {CHUNK} {CHUNK} {SPIN} unreachable"), short_slice);
    let answer = ask(&bench, HttpHandler::P2, request(Method::GET, "/"), &Rests::default()).await.expect("it answers");
    let error = answer.into_body().collect().await.expect_err("it traps");
    assert!(matches!(&error, AnswerError::Guest(error) if error.kind == FailureKind::Trap), "{error}");
    assert_eq!(demoted(&bench), 1);
    assert_eq!(end(&bench), Some(CellEnd::Ejected(FailureKind::Trap)));
}

#[tokio::test]
async fn what_a_guest_does_after_its_answer_goes_on_at_lower_priority() {
    let bench = of(&format!("{ANSWER} {CHUNK} {FINISH} {SPIN}"), short_slice);
    let rests = Rests::default();
    let answer = ask(&bench, HttpHandler::P2, request(Method::GET, "/"), &rests).await.expect("it answers");
    assert_eq!(text(answer).await.expect("it ends"), "chunk\n");
    for rest in rests.take() {
        rest.await;
    }
    assert_eq!(demoted(&bench), 1);
    assert_eq!(end(&bench), Some(CellEnd::Done));
}

#[tokio::test]
async fn a_client_that_goes_away_takes_a_guest_at_lower_priority_with_it() {
    let bench = of(&format!("{ANSWER} {CHUNK} {SPIN_FOR_EVER}"), short_slice);
    let answer = ask(&bench, HttpHandler::P2, request(Method::GET, "/"), &Rests::default()).await.expect("it answers");
    let mut body = answer.into_body();
    let first = body.frame().await.expect("it goes on").expect("it is sound");
    assert_eq!(first.data_ref().expect("bytes"), "chunk\n");
    let _ = tokio::time::timeout(Duration::from_millis(50), body.frame()).await;
    while demoted(&bench) == 0 {
        let _ = tokio::time::timeout(Duration::from_millis(5), body.frame()).await;
    }
    drop(body);
    // It is dropped at once where it waits for its turn, else after it.
    while end(&bench).is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A caller with time, and a callee with a task of its own and a short slice.
fn later(lifetime: &str, cpu: &str) -> Graph {
    let manifest = format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
         budget = {{ cpu = \"1m\", deadline = \"1m\", slice = \"1h\" }}\n\
         [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"{lifetime}\"\n\
         budget = {{ slice = \"1ms\", cpu = \"{cpu}\", deadline = \"1m\" }}\n"
    );
    load(&manifest, &[("caller", "later-user"), ("callee", "later")])
}

/// How often the callee was over its own slice.
fn callee_demoted(app: &Graph) -> usize {
    let callees =
        |event: &Event| matches!(event, Event::Demoted { component, whose, .. } if (component.0, whose.0) == (1, 1));
    app.events.all().into_iter().filter(callees).count()
}

async fn scene(app: &Graph, name: &str, arguments: &[Val]) -> crate::graph::Called {
    app.call("caller", &format!("watertight:later/later-scenes#{name}"), arguments.to_vec()).await
}

#[tokio::test]
async fn a_cell_with_a_task_of_its_own_outruns_its_slice_alone_and_comes_back() {
    for lifetime in ["request", "resident"] {
        let app = later(lifetime, "1m");
        let (text, turned) = ("ab".repeat(2 << 20), Val::String("ba".repeat(2 << 20)));
        // It cannot be told twice of a cell that did not come back. Ticks may be rare on a busy machine: it has several tries.
        for _ in 0..50 {
            let seen = scene(&app, "turned", &[Val::String(text.clone())]).await;
            assert!(ok_value(&seen) == Some(&turned), "{lifetime}: another text");
            if callee_demoted(&app) >= 2 {
                break;
            }
        }
        assert!(callee_demoted(&app) >= 2, "{lifetime}");
    }
}

#[tokio::test]
async fn a_cell_with_a_task_of_its_own_keeps_its_budgets_at_lower_priority() {
    for lifetime in ["request", "resident"] {
        let app = later(lifetime, "100ms");
        let seen = scene(&app, "spun", &[]).await;
        assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: cpu: ")), "{lifetime}: {seen:?}");
        assert!(callee_demoted(&app) > 0, "{lifetime}");
        let seen = scene(&app, "one", &[Val::U32(1), Val::U32(2), Val::U32(1)]).await;
        assert_eq!(seen, Ok(Some(Val::U32(3))), "{lifetime}: a fresh cell answers");
    }
}

#[tokio::test]
async fn a_call_tree_that_ends_takes_its_tasks_at_lower_priority_with_it() {
    let app = later("request", "1m");
    {
        let mut call = std::pin::pin!(scene(&app, "spun", &[]));
        let cut = tokio::time::timeout(Duration::from_millis(100), &mut call).await;
        assert!(cut.is_err(), "it spins for longer: {cut:?}");
    }
    app.settle().await;
    assert_eq!(app.alive(), 0);
}
