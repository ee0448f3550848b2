//! What cells use of their budgets, seen from outside: while they live, and in the event of their end.

use std::sync::Arc;

use watertight_model::{
    app::{Component, Lifetime},
    budget::ByteSize,
    event::Event,
    usage::CellUsage,
};

use crate::app::{Bench, Plan};

const BEHAVE: &str = "watertight:test/behave";

async fn run(bench: &Bench, n: u32) -> Result<u32, String> {
    bench.call::<_, (Result<u32, String>,)>(BEHAVE, "run", (n,)).await.expect("it returns").0
}

fn resident(component: &mut Component) {
    component.lifetime = Lifetime::Resident;
}

/// What the cells that are gone had used.
fn ended(bench: &Bench) -> Vec<CellUsage> {
    let usage = |event| if let Event::CellEnded { usage, .. } = event { Some(usage) } else { None };
    bench.events.all().into_iter().filter_map(usage).collect()
}

#[tokio::test]
async fn memory_is_seen_while_a_cell_lives_and_its_peak_when_it_is_gone() {
    let bench = Plan::of("eat-memory", resident).start();
    assert_eq!(bench.app.usage().components[0].cells, 0);
    run(&bench, 8).await.expect("it is within its budget");
    let seen = bench.app.usage().components[0];
    assert_eq!((seen.cells, seen.running, seen.waiting), (1, 0, 0));
    assert!((8 << 20..9 << 20).contains(&seen.total.memory_bytes), "{seen:?}");
    assert!(seen.total.cpu.as_nanos() > 0, "{seen:?}");
    assert_eq!(seen.total, seen.most);

    let bench = Plan::of("eat-memory", |_| {}).start();
    run(&bench, 8).await.expect("it is within its budget");
    assert_eq!(bench.app.usage().components[0].cells, 0, "its request is over");
    let [usage] = ended(&bench)[..] else { panic!("one cell has ended") };
    assert!((8 << 20..9 << 20).contains(&usage.memory_peak_bytes), "{usage:?}");
    assert!(usage.cpu.as_nanos() > 0, "{usage:?}");
}

#[tokio::test]
async fn what_was_dropped_of_a_log_is_told_once_at_the_end() {
    let bench = Plan::of("write-logs", |component| {
        component.grants.stdio = true;
        component.budget.log = ByteSize(1000);
    })
    .start();
    // A KiB to each stream.
    run(&bench, 1).await.expect("writes succeed");
    let [usage] = ended(&bench)[..] else { panic!("one cell has ended") };
    assert_eq!(usage.log_bytes, 1000);
    let cut = |event| if let Event::LogCut { bytes, .. } = event { Some(bytes) } else { None };
    let cut: Vec<u64> = bench.events.all().into_iter().filter_map(cut).collect();
    assert_eq!(cut, [usage.log_dropped_bytes]);
    assert!(cut[0] >= 24, "{cut:?}");
}

#[tokio::test]
async fn a_cell_that_is_gone_keeps_nothing_alive() {
    // Whatever a cell has reports to the events.
    let bench = Plan::of("write-logs", |component| component.grants.stdio = true).start();
    run(&bench, 1).await.expect("writes succeed");
    let before = Arc::strong_count(&bench.events);
    for _ in 0..20 {
        run(&bench, 1).await.expect("writes succeed");
    }
    assert_eq!(Arc::strong_count(&bench.events), before);
}
