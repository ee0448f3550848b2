//! The two engines of a process: one without component-model async, whose crossings are three times as cheap, and one with it.
//!
//! [`config`] is the only place that makes a `wasmtime::Config` (invariant 3).

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
};

use watertight_model::usage::PoolUse;

use crate::pool::PoolPlan;

/// Which of the two engines a component runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// Without component-model async: WASI 0.2.
    Sync,
    /// With it: WASI 0.3 streams, futures and async functions.
    Async,
}

/// Bytes of each table that stay resident when a cell ends, and of each memory where the kernel does not tell which pages were written to:
/// more costs `memset`, less costs page faults.
const KEEP_RESIDENT: usize = 64 << 10;

/// The stack of a guest, in bytes.
const WASM_STACK: usize = 512 << 10;

/// The stack of the fiber that a guest and the host functions it calls run on, in bytes.
const FIBER_STACK: usize = 2 << 20;

/// How large the memory that a component starts with may be to be mapped whatever there is in it. A larger one is only where half of it is not
/// zero; else its data is copied into each cell. The memory of an interpreter has holes.
const MAX_SPARSE_IMAGE: u64 = 128 << 20;

/// How often a running guest looks whether it may go on.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks without a root call after which the ticker sleeps.
const IDLE_TICKS: u32 = 50;

/// The one configuration, without a pool for compiling, with one for running. `cores` attaches a core dump to what fails in a guest:
/// 1 us more for a trap, and a second walk over a stack that overflowed.
fn config(kind: EngineKind, pool: Option<&PoolPlan>, cores: bool) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.concurrency_support(kind == EngineKind::Async);
    config.wasm_component_model_async(kind == EngineKind::Async);
    config.max_wasm_stack(WASM_STACK);
    config.async_stack_size(FIBER_STACK);
    // Every proposal that Wasmtime supports at tier 1.
    config.wasm_simd(true);
    config.wasm_relaxed_simd(true);
    config.relaxed_simd_deterministic(true);
    config.wasm_bulk_memory(true);
    config.wasm_multi_memory(true);
    config.wasm_memory64(true);
    config.wasm_tail_call(true);
    config.wasm_exceptions(true);
    config.wasm_function_references(true);
    config.wasm_gc(true);
    config.wasm_component_model_map(true);
    config.wasm_component_model_fixed_length_lists(true);
    // Source lines are looked up when a postmortem is written: here they would be for every error, and grow the compiled code.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.memory_guaranteed_dense_image_size(MAX_SPARSE_IMAGE);
    config.coredump_on_trap(cores);
    if let Some(plan) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(plan)));
    }
    config
}

fn pooling(plan: &PoolPlan) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(plan.cells)
        .total_core_instances(plan.cells.saturating_mul(plan.core_instances_per_cell))
        .total_memories(plan.memories)
        .total_tables(plan.tables)
        .total_stacks(plan.cells)
        .total_gc_heaps(plan.gc_heaps)
        .max_core_instances_per_component(plan.core_instances_per_cell)
        .max_memories_per_component(plan.memories.max(1))
        .max_memories_per_module(plan.memories.max(1))
        .max_tables_per_component(plan.tables.max(1))
        .max_tables_per_module(plan.tables.max(1))
        .max_core_instance_size(MAX_INSTANCE_BYTES)
        .max_component_instance_size(MAX_INSTANCE_BYTES)
        .max_memory_size(plan.memory_bytes)
        .table_elements(plan.table_elements)
        .max_unused_warm_slots(plan.cells)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        // Only what was written to is put back.
        pool.pagemap_scan(Enabled::Yes).linear_memory_keep_resident(plan.kept_bytes);
    }
    pool
}

/// What one instance's own bookkeeping may take, in bytes: interpreters linked from many modules need a lot.
const MAX_INSTANCE_BYTES: usize = 4 << 20;

/// An engine that only compiles: it has no pool.
pub(crate) fn compiler(kind: EngineKind) -> wasmtime::Result<Engine> {
    Engine::new(&config(kind, None, false))
}

/// An engine that runs one cell without a pool, to take a snapshot of it. Nothing moves its epoch but who asked for it.
///
/// # Errors
/// When this machine has none.
pub fn engine_for_snapshots() -> wasmtime::Result<Engine> {
    let mut config = config(EngineKind::Sync, None, false);
    // What runs once is not worth optimising.
    config.cranelift_opt_level(OptLevel::None);
    Engine::new(&config)
}

/// The engines of a process, and the thread that moves their epochs on.
pub(crate) struct Engines {
    running: Vec<(PoolPlan, Engine)>,
    ticker: Ticker,
}

impl Engines {
    /// Starts the engines that are needed, each with its pool; with `cores` for who keeps core dumps.
    pub(crate) fn start(plans: &[PoolPlan], cores: bool) -> wasmtime::Result<Self> {
        let running = plans
            .iter()
            .map(|plan| Ok((plan.clone(), Engine::new(&config(plan.engine, Some(plan), cores))?)))
            .collect::<wasmtime::Result<Vec<_>>>()?;
        let ticker = Ticker::start(running.iter().map(|(_, engine)| engine.clone()).collect());
        Ok(Self { running, ticker })
    }

    pub(crate) fn get(&self, kind: EngineKind) -> Option<&Engine> {
        self.running.iter().find(|(plan, _)| plan.engine == kind).map(|(_, engine)| engine)
    }

    /// How much of each pool is in use.
    pub(crate) fn pool_use(&self) -> Vec<PoolUse> {
        let mut pools = Vec::new();
        for (plan, engine) in &self.running {
            let Some(metrics) = engine.pooling_allocator_metrics() else { continue };
            for (slots, used, limit) in [
                ("cells", metrics.component_instances(), plan.cells),
                ("memories", metrics.memories() as u64, plan.memories),
                ("tables", metrics.tables() as u64, plan.tables),
                ("gc-heaps", metrics.gc_heaps() as u64, plan.gc_heaps),
            ] {
                let engine = match plan.engine {
                    EngineKind::Sync => "sync",
                    EngineKind::Async => "async",
                };
                let (engine, slots) = (engine.to_owned(), slots.to_owned());
                pools.push(PoolUse { engine, slots, used, limit: limit.into() });
            }
        }
        pools
    }

    /// Keeps the epochs moving until the guard is dropped.
    pub(crate) fn busy(&self) -> Busy {
        self.ticker.busy()
    }
}

impl fmt::Debug for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.running.iter().map(|(plan, _)| plan.engine)).finish()
    }
}

/// Moves the epochs on while root calls run, and sleeps when none do.
struct Ticker {
    shared: Arc<Ticking>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Ticking {
    busy: AtomicUsize,
    asleep: AtomicBool,
    stopped: AtomicBool,
    lock: Mutex<()>,
    woken: Condvar,
}

/// A root call is running.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Ticking>);

impl Ticker {
    fn start(engines: Vec<Engine>) -> Self {
        let shared = Arc::new(Ticking::default());
        let ticking = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("watertight-ticker".into()).spawn(move || ticking.run(&engines));
        Self { shared, thread: thread.ok() }
    }

    fn busy(&self) -> Busy {
        self.shared.busy.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.shared.wake();
        }
        Busy(Arc::clone(&self.shared))
    }
}

impl Ticking {
    fn run(&self, engines: &[Engine]) {
        let mut idle = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
            for engine in engines {
                engine.increment_epoch();
            }
            idle = if self.busy.load(Ordering::SeqCst) > 0 { 0 } else { idle + 1 };
            if idle >= IDLE_TICKS {
                self.sleep();
                idle = 0;
            }
        }
    }

    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.busy.load(Ordering::SeqCst) == 0 && !self.stopped.load(Ordering::SeqCst) {
            guard = self.woken.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    fn wake(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.woken.notify_one();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            // The ticker does not panic; and if it did, there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}
