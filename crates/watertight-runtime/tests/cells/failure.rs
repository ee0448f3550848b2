//! A callee that fails is contained: its caller lives and sees what the function's type lets it see.

use wasmtime::component::Val;
use watertight_model::{
    event::{CellEnd, Event},
    failure::FailureKind,
};
use watertight_testkit::guest;

use crate::bare;

fn relay(callee: &str, budget: &str, lifetime: &str) -> bare::Harness {
    let manifest = format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
         [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"{lifetime}\"\n{budget}"
    );
    bare::load(&manifest, &[("caller", guest::built("relay")), ("callee", guest::built(callee))])
}

async fn expect_contained(callee: &str, budget: &str, kind: FailureKind) {
    for lifetime in ["call", "request", "resident"] {
        let app = relay(callee, budget, lifetime);
        let results = app.call("caller", "watertight:test/behave#run", vec![Val::U32(0)]).await;
        let results = results.unwrap_or_else(|error| panic!("{callee} as {lifetime}: the caller failed: {error}"));
        let [Val::Result(Err(Some(text)))] = &results[..] else { panic!("{callee} as {lifetime}: {results:?}") };
        let Val::String(text) = &**text else { panic!("not a text: {text:?}") };
        assert!(text.starts_with(&format!("callee: {kind}: ")), "{callee} as {lifetime}: {text}");
        let ends: Vec<_> = app
            .events
            .take()
            .into_iter()
            .filter_map(|event| {
                let Event::CellEnded { component, end, .. } = event else { return None };
                (component.0 == 1).then_some(end)
            })
            .collect();
        assert_eq!(ends, [CellEnd::Ejected(kind)], "{callee} as {lifetime}");

        let quiet = app.call("caller", "watertight:test/behave#quiet", vec![Val::U32(0)]).await;
        assert_eq!(quiet.expect("the caller lives"), [Val::Result(Err(None))]);
        let bare = app.call("caller", "watertight:test/behave#bare", vec![Val::U32(0)]).await;
        assert_eq!(bare.expect("the caller lives"), [Val::Result(Err(None))]);
        let plain = app.call("caller", "watertight:test/behave#plain", vec![Val::U32(0)]).await;
        let error = plain.expect_err("there is no error to return");
        assert_eq!(error.kind, FailureKind::Trap);
        assert_eq!(error.component, "caller");
        assert!(error.detail.contains("dependency callee"), "{error}");
    }
}

#[tokio::test]
async fn a_trap_is_contained() {
    expect_contained("trap", "", FailureKind::Trap).await;
}

#[tokio::test]
async fn a_stack_overflow_is_contained() {
    expect_contained("overflow", "", FailureKind::StackOverflow).await;
}

#[tokio::test]
async fn a_spinning_callee_is_stopped_by_its_cpu_budget() {
    expect_contained("spin", "budget = { cpu = \"8ms\" }", FailureKind::Cpu).await;
}

#[tokio::test]
async fn a_spinning_callee_is_stopped_by_its_deadline() {
    expect_contained("spin", "budget = { cpu = \"1h\", deadline = \"20ms\" }", FailureKind::Deadline).await;
}

#[tokio::test]
async fn a_callee_that_eats_memory_is_stopped_by_its_memory_budget() {
    expect_contained("eat-memory-trap", "budget = { memory = \"2MiB\" }", FailureKind::Memory).await;
}
