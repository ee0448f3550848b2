//! What it costs a crossing to be seen: by nobody, by metrics, by traces, by a tap on another edge.
//!
//! `cargo bench --package watertight-runtime --bench observe`; `cargo xtask bench observe` prints the ratios.

#[path = "../tests/cells/bare.rs"]
#[expect(dead_code, reason = "tests ask for more than benches")]
mod bare;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use bare::Harness;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use watertight_model::{
    app::{EdgeId, FunctionId},
    event::{Call, Event, EventSink, NoSink, Outcome, Seen, TreeId},
    trace::Sampling,
};
use watertight_observe::{Bus, Tally};
use watertight_runtime::{TapFilter, Val};
use watertight_testkit::guest;

/// Bytes that cross in each direction.
const SIZE: u32 = 64;

/// Wants some traces, and does nothing with them.
struct Traces(f64);

impl EventSink for Traces {
    fn emit(&self, event: Event) {
        black_box(event);
    }

    fn sampling(&self) -> Option<Sampling> {
        Some(Sampling::ratio(self.0))
    }
}

fn app(sink: impl FnOnce(&watertight_model::app::App) -> Arc<dyn EventSink>) -> Harness {
    let budget = "budget = { cpu = \"1h\", deadline = \"1h\", memory = \"512MiB\" }";
    let manifest = format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n{budget}\n\
         [component.callee]\nsource = \"callee.wasm\"\n{budget}"
    );
    let guests = [("caller", guest::built("bench-caller")), ("callee", guest::built("bench-callee"))];
    bare::load_into(&manifest, &guests, sink, None)
}

/// Calls `times` times in root calls of a hundred each, as a request may.
fn laps(runtime: &Runtime, app: &Harness, times: u64) -> Duration {
    const EACH: u64 = 100;
    let mut took = Duration::ZERO;
    for _ in 0..times.div_ceil(EACH) {
        let arguments = vec![Val::U32(SIZE), Val::U32(u32::try_from(EACH).unwrap_or(1))];
        let began = Instant::now();
        let called = runtime.block_on(app.call("caller", "watertight:test/laps#blob", arguments));
        took += began.elapsed();
        called.expect("the bench's guests do not fail");
    }
    took.mul_f64(times as f64 / (times.div_ceil(EACH) * EACH) as f64)
}

/// The one that is not the edge of the calls that are measured, of those to the callee.
fn elsewhere(app: &Harness) -> TapFilter {
    let edge = app.app.app().edges.iter().find(|edge| edge.import.contains("arith")).map(|edge| edge.id);
    TapFilter { functions: edge.map(|edge| vec![(edge, FunctionId(0))]), values: true, ..TapFilter::default() }
}

fn crossings(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let nobody = app(|_| Arc::new(NoSink));
    let metrics = app(|app| Arc::new(Tally::new(app, Arc::new(Bus::new()))));
    let traced = app(|app| Arc::new(Tally::new(app, Arc::new(Traces(0.01)))));
    let tapped = app(|app| Arc::new(Tally::new(app, Arc::new(Bus::new()))));
    let mut group = criterion.benchmark_group("observe 64B");
    for (name, app) in [("nobody", &nobody), ("metrics", &metrics), ("traces 1%", &traced), ("tap elsewhere", &tapped)]
    {
        group.bench_function(BenchmarkId::from_parameter(name), |bench| {
            bench.iter_custom(|times| {
                if name == "tap elsewhere" {
                    tapped.app.tap(1, || elsewhere(&tapped)).expect("it is the only one");
                }
                laps(&runtime, app, times)
            });
        });
    }
    group.finish();
}

fn event(criterion: &mut Criterion) {
    let bus: Arc<dyn EventSink> = Arc::new(Bus::new());
    let call = Call {
        tree: TreeId(1),
        edge: EdgeId(0),
        function: FunctionId(0),
        duration: Duration::from_nanos(400),
        bytes_in: 64,
        bytes_out: 64,
        outcome: Outcome::Ok,
        attempts: 1,
        fallback: None,
        seen: Seen::Results,
        injected: None,
    };
    criterion.bench_function("event/no sinks", |bench| bench.iter(|| bus.emit(Event::Call(black_box(call)))));
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = crossings, event
}
criterion_main!(benches);
