//! What a crossing costs, beside the same call fused into one store and beside Wasmtime's dynamic calls between two stores.
//!
//! `cargo bench --package watertight-runtime --bench membrane`; `cargo xtask bench membrane` prints the ratios.

#[path = "../tests/cells/bare.rs"]
#[expect(dead_code, reason = "tests ask for more than benches")]
mod bare;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bare::Harness;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use wasmtime::{
    Config, Engine, Store,
    component::{Component, Instance, Linker, Val},
};
use watertight_model::{app::ComponentId, failure::FailureKind};
use watertight_runtime::{Morgue, Remains};
use watertight_testkit::guest;

/// Calls `times` times in one root call, so that only the crossing counts.
fn laps(runtime: &Runtime, app: &Harness, function: &str, size: Option<u32>, times: u64) -> Duration {
    let times = u32::try_from(times).unwrap_or(u32::MAX);
    let arguments = size.into_iter().chain([times]).map(Val::U32).collect();
    let began = Instant::now();
    let called = runtime.block_on(app.call("caller", &format!("watertight:test/laps#{function}"), arguments));
    let took = began.elapsed();
    called.expect("the bench's guests do not fail");
    took
}

/// Takes no postmortem; but what they need is kept.
struct Closed;

impl Morgue for Closed {
    fn admits(&self, _: ComponentId, _: FailureKind) -> bool {
        false
    }

    fn take(&self, _: Remains) {}
}

fn app(wall: &str, morgue: Option<Arc<dyn Morgue>>) -> Harness {
    // A fused component shares its importer's budget.
    let budget = "budget = { cpu = \"1h\", deadline = \"1h\", memory = \"512MiB\" }";
    let own = if wall == "cell" { budget } else { "" };
    let manifest = format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n{budget}\n\
         [component.callee]\nsource = \"callee.wasm\"\nwall = \"{wall}\"\n{own}"
    );
    let guests = [("caller", guest::built("bench-caller")), ("callee", guest::built("bench-callee"))];
    bare::load_for(&manifest, &guests, morgue)
}

/// The peer: two stores, and `Val` between them, as an embedder would write it first.
struct Dynamic {
    store: Store<Callee>,
    caller: Instance,
}

struct Callee(Option<Store<()>>);

impl Dynamic {
    fn new(runtime: &Runtime) -> Self {
        let mut config = Config::new();
        config.concurrency_support(false);
        let engine = Engine::new(&config).expect("an engine");
        let component = |name| Component::from_binary(&engine, &guest::built(name)).expect("a component");
        let (caller, callee) = (component("bench-caller"), component("bench-callee"));
        runtime.block_on(async {
            let mut inner = Store::new(&engine, ());
            let instance = Linker::new(&engine).instantiate_async(&mut inner, &callee).await.expect("an instance");
            let mut linker = Linker::<Callee>::new(&engine);
            for (interface, name) in [("arith", "add"), ("blob", "echo"), ("people", "echo")] {
                let interface = format!("watertight:test/{interface}");
                let index = instance.get_export_index(&mut inner, None, &interface).expect("the interface");
                let index = instance.get_export_index(&mut inner, Some(&index), name).expect("the function");
                let function = instance.get_func(&mut inner, index).expect("a function");
                let mut place = linker.instance(&interface).expect("a place");
                let define = place.func_new_async(name, move |mut caller, _, arguments, results| {
                    Box::new(async move {
                        let mut inner = caller.data_mut().0.take().expect("one call at a time");
                        let called = function.call_async(&mut inner, arguments, results).await;
                        caller.data_mut().0 = Some(inner);
                        called
                    })
                });
                define.expect("a function");
            }
            let mut store = Store::new(&engine, Callee(Some(inner)));
            let caller = linker.instantiate_async(&mut store, &caller).await.expect("an instance");
            Self { store, caller }
        })
    }

    fn laps(&mut self, runtime: &Runtime, name: &str, size: Option<u32>, times: u64) -> Duration {
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        let arguments: Vec<_> = size.into_iter().chain([times]).map(Val::U32).collect();
        let index = self.caller.get_export_index(&mut self.store, None, "watertight:test/laps").expect("the interface");
        let index = self.caller.get_export_index(&mut self.store, Some(&index), name).expect("the function");
        let function = self.caller.get_func(&mut self.store, index).expect("a function");
        let mut results = [Val::Bool(false)];
        let began = Instant::now();
        let called = runtime.block_on(function.call_async(&mut self.store, &arguments, &mut results));
        let took = began.elapsed();
        called.expect("the bench's guests do not fail");
        took
    }
}

const CASES: [(&str, Option<u32>); 6] = [
    ("add", None),
    ("blob", Some(16)),
    ("blob", Some(1 << 10)),
    ("blob", Some(64 << 10)),
    ("blob", Some(1 << 20)),
    ("people", Some(100)),
];

fn crossings(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (cell, fused) = (app("cell", None), app("fused", None));
    let kept = app("cell", Some(Arc::new(Closed)));
    let mut dynamic = Dynamic::new(&runtime);
    for (function, size) in CASES {
        let mut group =
            criterion.benchmark_group(size.map_or(function.to_owned(), |size| format!("{function} {size}")));
        group.bench_function(BenchmarkId::from_parameter("cell"), |bench| {
            bench.iter_custom(|times| laps(&runtime, &cell, function, size, times));
        });
        group.bench_function(BenchmarkId::from_parameter("cell, kept for postmortems"), |bench| {
            bench.iter_custom(|times| laps(&runtime, &kept, function, size, times));
        });
        group.bench_function(BenchmarkId::from_parameter("fused"), |bench| {
            bench.iter_custom(|times| laps(&runtime, &fused, function, size, times));
        });
        // A megabyte by `Val` takes a tenth of a second, and says nothing new.
        if size.is_none_or(|size| size < 1 << 20) {
            group.bench_function(BenchmarkId::from_parameter("val"), |bench| {
                bench.iter_custom(|times| dynamic.laps(&runtime, function, size, times));
            });
        }
        group.finish();
    }
}

fn fresh_cell(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let app = app("cell", None);
    criterion.bench_function("fresh cell/enter, call, drop", |bench| {
        bench
            .iter(|| runtime.block_on(app.call("callee", "watertight:test/arith#add", vec![Val::U32(1), Val::U32(2)])));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = crossings, fresh_cell
}
criterion_main!(benches);
