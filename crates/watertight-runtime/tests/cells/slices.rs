//! Slices: who has spent one goes on at lower priority, and nobody else does; what must not wait there does not.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use rustix::process::getpriority_process;
use semver::Version;
use wasmtime::{
    StoreContextMut,
    component::{Linker, Val},
};
use watertight_model::{
    app::Component,
    check::HostInterfaces,
    event::{CellEnd, Event, Outcome},
    failure::{CallError, FailureKind},
};
use watertight_runtime::{CellCore, Host, HostResource};
use watertight_testkit::guest;

use crate::bare::{self, Bare, Harness};

/// What guests see of the thread they run on, and a way to stop it.
#[derive(Default)]
struct Threads {
    held: Arc<Held>,
}

/// A thread that is made to wait.
#[derive(Default)]
struct Held {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waits: bool,
    released: bool,
}

impl Held {
    fn wait_for(&self, until: impl Fn(&State) -> bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !until(&state) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits here until [`Held::release`].
    fn hold(&self) {
        self.change(|state| state.waits = true);
        self.wait_for(|state| state.released);
    }

    fn release(&self) {
        self.change(|state| state.released = true);
    }

    fn waits(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waits
    }
}

impl Host<Bare> for Threads {
    fn link(&self, _: &Component, linker: &mut Linker<Bare>) -> wasmtime::Result<()> {
        let held = Arc::clone(&self.held);
        let mut thread = linker.instance("a:host/thread@1.0.0")?;
        thread.func_wrap("nice", |_: StoreContextMut<'_, Bare>, (): ()| Ok((getpriority_process(None)?,)))?;
        thread.func_wrap("hold", move |_: StoreContextMut<'_, Bare>, (): ()| {
            held.hold();
            Ok(())
        })
    }

    fn furnish(&self, _: &Component, core: CellCore<Bare>) -> wasmtime::Result<Bare> {
        Ok(Bare::new(core))
    }

    fn resources(&self) -> &[HostResource] {
        &[]
    }
}

/// Spins so many million turns (0: for ever) and says how nice its thread is; or spins until that is as nice as can be, and stops it.
fn spinner() -> Vec<u8> {
    guest::component(
        "package a:b;
         interface i { spin: func(millions: u32, hold: bool) -> s32; }
         world w { import a:host/thread@1.0.0; export i; }
         package a:host@1.0.0 { interface thread { nice: func() -> s32; hold: func(); } }",
        "w",
        r#"(module
            (import "a:host/thread@1.0.0" "nice" (func $nice (result i32)))
            (import "a:host/thread@1.0.0" "hold" (func $hold))
            (func (export "a:b/i#spin") (param $millions i32) (param $hold i32) (result i32) (local $turns i64)
                (local.set $turns (i64.mul (i64.extend_i32_u (local.get $millions)) (i64.const 1000000)))
                (loop $again
                    (local.set $turns (i64.sub (local.get $turns) (i64.const 1)))
                    (br_if $again (i32.eqz (local.get $millions)))
                    (br_if $again (i64.gt_s (local.get $turns) (i64.const 0)))
                    (br_if $again (i32.and (local.get $hold) (i32.ne (call $nice) (i32.const 19)))))
                (if (local.get $hold) (then (call $hold)))
                (call $nice)))"#,
    )
}

/// Many times the longest slice that a test lets be spent, on any machine.
const LONG: u32 = 200;

const FOR_EVER: u32 = 0;

const SPIN: &str = "a:b/i#spin";

struct Site {
    app: Arc<Harness>,
    held: Arc<Held>,
}

/// An app of spinners, each with a budget, beside a `caller` that calls `callee`, which spins.
fn site(budgets: &[(&str, &str)]) -> Site {
    let table = |(name, budget): &(&str, &str)| {
        let uses = if *name == "caller" { "uses = [\"callee\"]\n" } else { "" };
        format!(
            "[component.{name}]
source = \"{name}.wasm\"
{uses}budget = {{ cpu = \"1m\", {budget} }}
"
        )
    };
    let manifest: String = budgets.iter().map(table).collect();
    let bytes = |name: &str| match name {
        "caller" => guest::built("relay"),
        "callee" => guest::built("spin"),
        _ => spinner(),
    };
    let guests: Vec<_> = budgets.iter().map(|(name, _)| (*name, bytes(name))).collect();
    let threads = Threads::default();
    let held = Arc::clone(&threads.held);
    let offered = HostInterfaces::new([("a:host".to_owned(), Version::new(1, 0, 0))]);
    let app = bare::load_with(&manifest, &guests, &offered, Arc::new(threads));
    Site { app: Arc::new(app), held }
}

impl Site {
    /// Spins, and says how nice its thread was in the end.
    async fn spin(&self, component: &str, millions: u32, hold: bool) -> Result<i32, CallError> {
        let results = self.app.call(component, SPIN, vec![Val::U32(millions), Val::Bool(hold)]).await?;
        let [Val::S32(nice)] = results[..] else { panic!("not a niceness: {results:?}") };
        Ok(nice)
    }

    /// Has a guest that outran its slice stop the thread of lower priority, until the test releases it.
    async fn stop_the_other_thread(&self, component: &'static str) -> tokio::task::JoinHandle<Result<i32, CallError>> {
        let site = Self { app: Arc::clone(&self.app), held: Arc::clone(&self.held) };
        let task = tokio::spawn(async move { site.spin(component, 1, true).await });
        while !self.held.waits() {
            assert!(!task.is_finished(), "it does not stop the thread");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        task
    }

    /// Waits until so many guests have outrun their slices.
    async fn demoted(&self, count: usize) {
        while self.app.events.count(|event| matches!(event, Event::Demoted { .. })) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn ended(&self, wanted: CellEnd) -> usize {
        self.app.events.count(|event| matches!(event, Event::CellEnded { end, .. } if *end == wanted))
    }
}

#[tokio::test]
async fn beyond_its_slice_a_guest_goes_on_at_lower_priority() {
    let site = site(&[("web", "slice = \"1ms\", deadline = \"1m\""), ("patient", "slice = \"1h\", deadline = \"1m\"")]);
    let here = getpriority_process(None).expect("this thread has a priority");

    assert_eq!(site.spin("patient", LONG, false).await.expect("it answers"), here, "it is within its slice");
    assert_eq!(site.app.events.count(|event| matches!(event, Event::Demoted { .. })), 0);

    assert_eq!(site.spin("web", LONG, false).await.expect("it answers"), 19);
    let demoted = site.app.events.take().into_iter().find_map(demoted_by);
    assert_eq!(demoted, Some((0, 0)), "the event says which component, and whose slice");
    assert_eq!(getpriority_process(None).expect("it still has one"), here, "nobody else is slower");
}

#[tokio::test]
async fn a_callee_has_its_own_slice_and_shares_that_of_the_component_the_request_began_with() {
    for (callers, callees, whose) in [("1h", "1ms", Some(1)), ("1ms", "1h", Some(0)), ("1h", "1h", None)] {
        let (caller, callee) =
            (format!("slice = \"{callers}\", deadline = \"1m\""), format!("slice = \"{callees}\", deadline = \"1m\""));
        let site = site(&[("caller", &caller), ("callee", &callee)]);
        let called = site.app.call("caller", "watertight:test/behave#plain", vec![Val::U32(LONG)]).await;
        assert_eq!(called.expect("it answers"), [Val::U32(LONG)]);
        let seen = site.app.events.take().into_iter().find_map(demoted_by);
        assert_eq!(seen, whose.map(|whose| (1, whose)), "slices of {callers} and {callees}");
    }
}

#[tokio::test]
async fn what_a_component_does_when_it_starts_counts_too() {
    let manifest = "[component.web]\nsource = \"web.wasm\"\nbudget = { slice = \"1ms\", cpu = \"100ms\" }";
    let app = bare::load(manifest, &[("web", guest::built("start-spin"))]);
    let error = app.call("web", "watertight:test/behave#plain", vec![Val::U32(0)]).await.expect_err("it spins");
    assert_eq!(error.kind, FailureKind::Cpu, "{error}");
    assert_eq!(app.events.count(|event| matches!(event, Event::Demoted { .. })), 1);
}

#[tokio::test]
async fn the_cpu_budget_holds_at_lower_priority() {
    let manifest =
        "[component.web]\nsource = \"web.wasm\"\nbudget = { slice = \"1ms\", cpu = \"100ms\", deadline = \"1m\" }";
    let app = bare::load(manifest, &[("web", guest::built("spin"))]);
    let error = app.call("web", "watertight:test/behave#plain", vec![Val::U32(FOR_EVER)]).await.expect_err("it spins");
    assert_eq!(error.kind, FailureKind::Cpu, "{error}");
}

/// The thread of lower priority does not run at all: the deadline is kept by who waits, and the cells go at once.
#[tokio::test]
async fn deadlines_are_kept_while_the_other_thread_has_no_core() {
    let site = site(&[
        ("stopper", "slice = \"1ms\", deadline = \"1s\""),
        ("web", "slice = \"1ms\", deadline = \"300ms\""),
        ("caller", "slice = \"1ms\", deadline = \"1m\""),
        ("callee", "slice = \"1ms\", deadline = \"300ms\""),
    ]);
    let stopper = site.stop_the_other_thread("stopper").await;

    let error = site.spin("web", FOR_EVER, false).await.expect_err("it spins");
    assert_eq!(error.kind, FailureKind::Deadline, "{error}");
    assert_eq!(site.ended(CellEnd::Ejected(FailureKind::Deadline)), 1, "its cell is gone");

    let called = site.app.call("caller", "watertight:test/behave#run", vec![Val::U32(FOR_EVER)]).await;
    let called = called.expect("its caller has time for the error");
    let [Val::Result(Err(Some(text)))] = &called[..] else { panic!("not an error: {called:?}") };
    assert!(matches!(&**text, Val::String(text) if text.starts_with("callee: deadline: ")), "{text:?}");

    let error = stopper.await.expect("the task ends").expect_err("it is past its deadline");
    assert_eq!(error.kind, FailureKind::Deadline, "the one that stops the thread is given up: {error}");
    let failed =
        |event: &Event| matches!(event, Event::Root(root) if root.outcome == Outcome::Failed(FailureKind::Deadline));
    assert_eq!(site.app.events.count(failed), 2);
    assert_eq!(site.app.alive(), 1, "its remains are still there");
    site.held.release();
    while site.app.alive() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn dropping_a_call_at_lower_priority_drops_its_cells() {
    let site =
        site(&[("stopper", "slice = \"1ms\", deadline = \"1m\""), ("web", "slice = \"1ms\", deadline = \"1m\"")]);
    let stopper = site.stop_the_other_thread("stopper").await;
    {
        let spinning = site.spin("web", FOR_EVER, false).fuse();
        tokio::select! {
            ended = spinning => panic!("it spins for ever: {ended:?}"),
            () = site.demoted(2) => {}
        }
    }
    assert_eq!(site.app.alive(), 1, "only the one that stops the thread is left");
    site.held.release();
    assert_eq!(stopper.await.expect("the task ends").expect("it answers"), 19);
    assert_eq!(site.app.alive(), 0);
}

/// Whose cell was demoted, and whose slice it had spent.
fn demoted_by(event: Event) -> Option<(u32, u32)> {
    if let Event::Demoted { component, whose, .. } = event { Some((component.0, whose.0)) } else { None }
}
