//! What live cells take: 10,000 idle ones in one process, and the making of one.
//!
//! `cargo bench --package watertight-runtime --bench cells` prints a line for each number: case, value and unit, with tabs between.
//! `cargo xtask bench cells` sets them beside their targets. It is no criterion bench: memory is measured once.

#[path = "../tests/cells/bare.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod bare;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use tokio::runtime::Runtime;
use watertight_model::{app::ComponentId, event::NoSink};
use watertight_runtime::{CompileCache, CompiledApp, NoProgress, Root, RunningApp};
use watertight_testkit::guest;

use bare::{Bare, NoHost};

/// Cells alive at once.
const CELLS: u32 = 10_000;

/// Cells made one after another, for the time that one takes: so many times so many.
const BATCHES: usize = 400;
const BATCH: u32 = 50;

/// A Rust component of about 30 KiB.
const GUEST: &str = "types";

const MANIFEST: &str = "[component.guest]\nsource = \"guest.wasm\"\n\
     budget = { concurrency = 10000, deadline = \"10m\", cpu = \"10m\", memory = \"16MiB\" }\n";

fn main() -> Result<()> {
    // `cargo test` runs benches too, without this, to see that they build.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let bytes = guest::built(GUEST);
    print("size of the component", bytes.len() as f64 / KIB, "KiB");
    let (app, sources) = bare::checked(MANIFEST, &[("guest", bytes)]);
    let guest = app.find("guest").context("the manifest's component")?.id;
    let compiled =
        CompiledApp::compile(app, &sources, CompileCache::open(folder.path())?, &[(guest, CELLS)], &NoProgress)
            .map_err(|problems| anyhow::anyhow!("the app does not compile: {problems:?}"))?;
    let app = compiled
        .start(Arc::new(NoHost), Arc::new(NoSink))
        .map_err(|problems| anyhow::anyhow!("the app does not start: {problems:?}"))?;
    // The first cell brings in code and data that all share.
    call(&runtime, &mut enter(&runtime, &app, guest)?)?;

    fresh(&runtime, &app, guest)?;
    for failing in ["trap", "overflow"] {
        self::failing(&runtime, folder.path(), failing)?;
    }
    live(&runtime, &app, guest)
}

/// Makes cells and keeps them.
fn live(runtime: &Runtime, app: &RunningApp<Bare>, guest: ComponentId) -> Result<()> {
    let empty = Usage::now()?;
    print("the empty node", empty.resident / MIB, "MiB");
    let began = Instant::now();
    let mut roots = (0..CELLS).map(|_| enter(runtime, app, guest)).collect::<Result<Vec<_>>>()?;
    let took = began.elapsed();
    let idle = Usage::now()?;
    print("10,000 live idle cells", (idle.resident - empty.resident) / MIB, "MiB");
    print("a live idle cell", (idle.resident - empty.resident) / KIB / f64::from(CELLS), "KiB");
    print("mappings of a live cell", (idle.mappings - empty.mappings) / f64::from(CELLS), "mappings");
    print("a cell more, in a pool never used", micros(took, CELLS), "us");
    roots.iter_mut().try_for_each(|root| call(runtime, root))?;
    let called = Usage::now()?;
    print("10,000 live cells that were called", (called.resident - empty.resident) / MIB, "MiB");
    drop(roots);
    let dropped = Usage::now()?;
    print("kept after they are gone", (dropped.resident - empty.resident) / MIB, "MiB");
    print("mappings kept for each", (dropped.mappings - empty.mappings) / f64::from(CELLS), "mappings");
    Ok(())
}

/// Makes cells one after another.
fn fresh(runtime: &Runtime, app: &RunningApp<Bare>, guest: ComponentId) -> Result<()> {
    let called = each(|| call(runtime, &mut enter(runtime, app, guest)?))?;
    print("fresh cell: enter, call, drop", called, "us");
    print("fresh cell: enter, drop", each(|| enter(runtime, app, guest).map(drop))?, "us");
    Ok(())
}

/// Makes cells that fail, one after another: what a failure costs, while nobody writes it down.
fn failing(runtime: &Runtime, cache: &std::path::Path, name: &str) -> Result<()> {
    let manifest = "[component.guest]\nsource = \"guest.wasm\"\n";
    let (app, sources) = bare::checked(manifest, &[("guest", guest::built(name))]);
    let guest = app.find("guest").context("the manifest's component")?.id;
    let compiled = CompiledApp::compile(app, &sources, CompileCache::open(cache)?, &[(guest, 1)], &NoProgress)
        .map_err(|problems| anyhow::anyhow!("the app does not compile: {problems:?}"))?;
    let app = compiled
        .start(Arc::new(NoHost), Arc::new(NoSink))
        .map_err(|problems| anyhow::anyhow!("the app does not start: {problems:?}"))?;
    let fail = || {
        let root = enter(runtime, &app, guest)?;
        let failed = runtime.block_on(root.run(|store, instance| {
            async move {
                let interface = instance.get_export_index(&mut *store, None, "watertight:test/behave");
                let name = interface.and_then(|at| instance.get_export_index(&mut *store, Some(&at), "plain"));
                let name = name.ok_or_else(|| wasmtime::Error::msg("the guest has no such function"))?;
                let function = instance.get_typed_func::<(u32,), (u32,)>(&mut *store, name)?;
                function.call_async(&mut *store, (0,)).await
            }
            .boxed()
        }));
        anyhow::ensure!(failed.is_err(), "the guest is made to fail");
        Ok(())
    };
    print(&format!("fresh cell: enter, {name}, drop"), each(fail)?, "us");
    Ok(())
}

/// The microseconds that one cell takes: the median of batches, because other programs interrupt some of them.
fn each(mut make: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        let began = Instant::now();
        (0..BATCH).try_for_each(|_| make())?;
        batches.push(micros(began.elapsed(), BATCH));
    }
    batches.sort_by(f64::total_cmp);
    Ok(batches[batches.len() / 2])
}

fn enter(runtime: &Runtime, app: &RunningApp<Bare>, guest: ComponentId) -> Result<Root<Bare>> {
    Ok(runtime.block_on(app.enter(guest))?)
}

/// One small call.
fn call(runtime: &Runtime, root: &mut Root<Bare>) -> Result<()> {
    let instance = root.instance();
    let store = root.store();
    let called = async {
        let interface = instance.get_export_index(&mut *store, None, "watertight:test/types");
        let name = interface.and_then(|interface| instance.get_export_index(&mut *store, Some(&interface), "u32s"));
        let name = name.ok_or_else(|| wasmtime::Error::msg("the guest has no such function"))?;
        let function = instance.get_typed_func::<(u32,), (u32,)>(&mut *store, name)?;
        store.set_epoch_deadline(1_000_000);
        function.call_async(&mut *store, (7,)).await
    };
    let called = runtime.block_on(called);
    let (back,) = called.map_err(|error| anyhow::anyhow!("the guest failed: {error:#}"))?;
    anyhow::ensure!(back == 7, "the guest gave back {back}");
    Ok(())
}

/// What this process takes.
struct Usage {
    /// Bytes.
    resident: f64,
    mappings: f64,
}

impl Usage {
    fn now() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        let resident = kibibytes.context("the kernel names no VmRSS")?.parse::<f64>()? * KIB;
        let mappings = std::fs::read_to_string("/proc/self/maps")?.lines().count() as f64;
        Ok(Self { resident, mappings })
    }
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

fn micros(took: Duration, times: u32) -> f64 {
    took.as_secs_f64() * 1e6 / f64::from(times)
}

#[expect(clippy::print_stdout, reason = "the numbers are the output of this bench")]
fn print(case: &str, value: f64, unit: &str) {
    println!("{case}\t{value:.3}\t{unit}");
}
