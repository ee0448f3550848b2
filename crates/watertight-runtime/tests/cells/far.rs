//! Components that a node has once, called from another process: two apps stand in for two processes, and what carries calls between
//! them for the stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use proptest::prelude::*;
use wasmtime::component::Val;
use watertight_model::{
    app::ComponentId,
    event::{Event, Outcome},
    failure::{CallError, FailureKind},
};
use watertight_runtime::{FarCall, Ferry, ReceiveError, RunningApp};
use watertight_testkit::guest;
use wit_component::StringEncoding;

use crate::{
    any_type::{Ty, app_of, run},
    bare::{self, Bare, Harness},
    oracle::{any_encoding, any_type, any_value},
};

const BEHAVE: &str = "watertight:test/behave";

/// What the other process does to the bytes of results.
type Spoil = Arc<dyn Fn(&mut Vec<u8>) + Send + Sync>;

/// Carries calls to another app.
struct Between {
    there: RunningApp<Bare>,
    spoil: Spoil,
    carried: Arc<AtomicU64>,
}

impl Ferry for Between {
    fn is_here(&self) -> bool {
        false
    }

    fn carry(&self, call: FarCall) -> BoxFuture<'static, Result<Vec<u8>, CallError>> {
        self.carried.fetch_add(1, Ordering::Relaxed);
        let (received, spoil) = (self.there.receive(call), Arc::clone(&self.spoil));
        let results = async move {
            let mut results = received.await.map_err(|error| match error {
                ReceiveError::Failed(error) => error,
                ReceiveError::Hostile(why) => panic!("the membrane sends what cannot be a call: {why}"),
            })?;
            spoil(&mut results);
            Ok(results)
        };
        results.boxed()
    }
}

/// One app that calls, and one that is called.
struct Two {
    here: Harness,
    there: Harness,
    carried: Arc<AtomicU64>,
}

impl Two {
    fn new(make: impl Fn() -> Harness, spoil: Spoil) -> Self {
        let (here, there) = (make(), make());
        let carried = Arc::new(AtomicU64::new(0));
        here.app.set_ferry(Arc::new(Between { there: there.app.clone(), spoil, carried: Arc::clone(&carried) }));
        Self { here, there, carried }
    }

    fn of(callee: &str, keys: &str) -> Self {
        let manifest = manifest(keys);
        let guests = [("caller", guest::built("relay")), ("callee", guest::built(callee))];
        Self::new(|| bare::load(&manifest, &guests), Arc::new(|_| {}))
    }

    async fn run(&self, n: u32) -> String {
        let results = self.here.call("caller", &format!("{BEHAVE}#run"), vec![Val::U32(n)]).await;
        format!("{:?}", results.expect("the caller lives"))
    }
}

fn manifest(keys: &str) -> String {
    format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
         [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"resident\"\nscope = \"node\"\n{keys}"
    )
}

fn ok(value: u32) -> String {
    format!("{:?}", [Val::Result(Ok(Some(Box::new(Val::U32(value)))))])
}

#[tokio::test]
async fn calls_go_to_the_one_process_that_has_the_component() {
    let two = Two::of("counter", "");
    assert_eq!(two.run(1).await, ok(1));
    assert_eq!(two.run(2).await, ok(3), "its cell stays");
    // Who has it is called there like any other.
    let there = two.there.call("callee", &format!("{BEHAVE}#run"), vec![Val::U32(4)]).await;
    assert_eq!(format!("{:?}", there.expect("it returns")), ok(7), "it is one cell");
    assert_eq!(two.carried.load(Ordering::Relaxed), 2);
    let callee = two.here.app.app().find("callee").expect("it is in the app").id;
    let cells = |events: Vec<Event>| {
        events
            .iter()
            .filter(|event| matches!(event, Event::CellStarted { component, .. } if *component == callee))
            .count()
    };
    assert_eq!((cells(two.here.events.take()), cells(two.there.events.take())), (0, 1));
}

#[tokio::test]
async fn failures_come_back_as_what_they_are_and_the_other_process_goes_on() {
    for (callee, keys, kind) in [
        ("trap", "", FailureKind::Trap),
        ("overflow", "", FailureKind::StackOverflow),
        ("spin", "budget = { cpu = \"20ms\" }\n", FailureKind::Cpu),
        ("spin", "budget = { cpu = \"1h\", deadline = \"20ms\" }\n", FailureKind::Deadline),
        ("eat-memory-trap", "budget = { memory = \"2MiB\" }\n", FailureKind::Memory),
    ] {
        let two = Two::of(callee, keys);
        for _ in 0..2 {
            let said = two.run(0).await;
            assert!(said.contains(&format!("callee: {kind}: ")), "{callee}: {said}");
        }
        let failed = |event: &Event| matches!(event, Event::Call(call) if call.outcome == Outcome::Failed(kind));
        assert_eq!(two.here.events.count(failed), 2, "who calls tells of it");
    }
}

#[tokio::test]
async fn a_callers_deadline_holds_in_the_other_process() {
    let manifest = "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\nbudget = { deadline = \"300ms\" }\n\
        [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"resident\"\nscope = \"node\"\n\
        budget = { deadline = \"1h\", cpu = \"1h\" }\n";
    let guests = [("caller", guest::built("relay")), ("callee", guest::built("spin"))];
    let two = Two::new(|| bare::load(manifest, &guests), Arc::new(|_| {}));
    let began = Instant::now();
    assert!(two.run(0).await.contains("callee: deadline: "));
    assert!(began.elapsed() < Duration::from_secs(30), "long before its own deadline");
    // It was stopped there, too: its cell is gone.
    tokio::time::timeout(Duration::from_secs(30), async {
        while two.there.alive() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("nothing runs there any more");
}

#[tokio::test]
async fn results_that_lie_are_found_out_and_the_caller_lives() {
    for spoil in
        [|bytes: &mut Vec<u8>| bytes.clear(), |bytes: &mut Vec<u8>| bytes.push(0), |bytes: &mut Vec<u8>| bytes[0] = 7]
    {
        let guests = [("caller", guest::built("relay")), ("callee", guest::built("counter"))];
        let two = Two::new(|| bare::load(&manifest(""), &guests), Arc::new(spoil));
        let said = two.run(1).await;
        assert!(said.contains("callee: bad-value: "), "{said}");
    }
}

#[tokio::test]
async fn calls_that_cannot_be_are_refused_without_being_made() {
    let two = Two::of("counter", "");
    let callee = two.there.app.app().find("callee").expect("it is in the app").id;
    let caller = two.there.app.app().find("caller").expect("it is in the app").id;
    let call = |component, function, sabotage, arguments: &[u8]| FarCall {
        component,
        function,
        remaining: Duration::from_secs(5),
        sabotage,
        trace: None,
        arguments: arguments.to_vec(),
    };
    for hostile in [
        call(ComponentId(99), 0, 0, &[0; 4]),
        call(caller, 0, 0, &[0; 4]),
        call(callee, 99, 0, &[0; 4]),
        call(callee, 0, 9, &[0; 4]),
        call(callee, 0, 0, &[]),
        call(callee, 0, 0, &[0; 5]),
    ] {
        let what = format!("{hostile:?}");
        let received = two.there.app.receive(hostile).await;
        assert!(matches!(received, Err(ReceiveError::Hostile(_))), "{what}: {received:?}");
    }
    assert_eq!(two.there.alive(), 0, "nothing ran");
    two.there.app.receive(call(callee, 0, 0, &[1, 0, 0, 0])).await.expect("this one can be");
}

const ANY: &str = "[component.caller]\nsource = \"caller.wasm\"\nlifetime = \"resident\"\nuses = [\"callee\"]\n\
    [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"resident\"\nscope = \"node\"\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_value_of_any_type_crosses_to_another_process_and_back(
        (ty, values) in any_type().prop_flat_map(|ty: Ty| {
            let values = prop::collection::vec(any_value(&ty), 0..4);
            (Just(ty), values)
        }),
        (callers, callees) in (any_encoding(), any_encoding()),
    ) {
        let two = Two::new(|| app_of(ANY, &ty, callers, callees), Arc::new(|_| {}));
        let sent = Val::List(values);
        let got = run(two.here.call("caller", "t:t/i#echo", vec![sent.clone()])).map_err(|error| error.to_string());
        prop_assert_eq!(format!("{got:?}"), format!("{:?}", Ok::<_, String>(vec![sent])));
        prop_assert_eq!(two.carried.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn whatever_another_process_answers_the_caller_gets_values_of_its_type_or_a_failure(
        (ty, values) in any_type().prop_flat_map(|ty: Ty| {
            let values = prop::collection::vec(any_value(&ty), 1..4);
            (Just(ty), values)
        }),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let spoil = move |bytes: &mut Vec<u8>| {
            for (place, byte) in changes.iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
        };
        let two = Two::new(|| app_of(ANY, &ty, StringEncoding::UTF8, StringEncoding::UTF8), Arc::new(spoil));
        run(async {
            // It traps for a failure, because there is no error to return: that is the worst there is.
            let spoilt = two.here.call("caller", "t:t/i#echo", vec![Val::List(values)]).await;
            if let Err(error) = spoilt {
                assert_eq!(error.kind, FailureKind::Trap, "{error}");
            }
        });
    }
}
