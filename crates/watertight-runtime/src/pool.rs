//! Pool sizes: how many cells, memories and tables a process sets aside, computed from the app and from what the machine allows.

use std::fmt;

use watertight_model::{
    app::{App, ComponentId, Edge, Lifetime, Wall},
    budget::ByteSize,
};

use crate::{compile::Needs, engine::EngineKind};

/// Memory mappings that one live cell takes, measured: `cargo xtask bench cells` prints it.
pub const MAPPINGS_PER_CELL: u64 = 4;

/// Mappings that the process needs besides: its own, the compiled code's, stacks.
const MAPPINGS_RESERVED: u64 = 4096;

/// Address space that one linear memory takes: its reservation and its guard.
const MEMORY_SLOT: u64 = (4 << 30) + (32 << 20);

/// Address space that pools may take together: three quarters of what user space has on x86-64 and most of arm64.
const ADDRESS_SPACE: u64 = 96 << 40;

/// Elements that every table may grow to at least.
const MIN_TABLE_ELEMENTS: usize = 20_000;

/// Core instances that one component may consist of.
const CORE_INSTANCES_PER_CELL: u32 = 256;

/// Bytes of a linear memory that stay resident when its cell ends, at least and at most: what the next cell writes to again is put back by
/// copying, which costs a tenth of the page faults that it saves. An interpreter writes to about a megabyte.
const KEPT: (u64, u64) = (64 << 10, 2 << 20);

/// The part of the machine's memory that all workers together may keep that way, with one worker for each core.
const KEPT_PART: u64 = 4;

/// What one engine sets aside.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PoolPlan {
    /// Which engine.
    pub engine: EngineKind,
    /// Cells that can live at once.
    pub cells: u32,
    /// Linear memories.
    pub memories: u32,
    /// Tables.
    pub tables: u32,
    /// Garbage-collected heaps.
    pub gc_heaps: u32,
    /// The largest linear memory, in bytes.
    pub memory_bytes: usize,
    /// What stays resident of a linear memory that nobody uses, in bytes.
    pub kept_bytes: usize,
    /// The largest table, in elements.
    pub table_elements: usize,
    /// Core instances in one cell.
    pub core_instances_per_cell: u32,
    /// How many cells each component counts for, and why.
    pub shares: Vec<Share>,
}

/// One component's part of a pool.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Share {
    /// The component's name.
    pub component: String,
    /// Its cells.
    pub cells: u32,
    /// What bounds them.
    pub because: String,
}

/// What the machine allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineLimits {
    /// `vm.max_map_count`.
    pub mappings: u64,
    /// `RLIMIT_AS`, or all of the address space.
    pub address_space: u64,
    /// The memory that there is for each core, in bytes.
    pub memory_for_each_core: u64,
}

/// A pool that the machine cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Too many memory mappings.
    #[error(
        "{cells} cells at once need {needed} memory mappings, and the kernel allows {allowed}: \
         set vm.max_map_count to {needed}, or lower the concurrency of {largest} (now {concurrency}) to about {fits}"
    )]
    Mappings {
        /// Cells asked for.
        cells: u64,
        /// Mappings needed.
        needed: u64,
        /// Mappings allowed.
        allowed: u64,
        /// The component with the most cells.
        largest: String,
        /// Its cells.
        concurrency: u32,
        /// What would fit.
        fits: u64,
    },
    /// Too much address space.
    #[error(
        "{memories} linear memories need {needed_gib} GiB of address space, and there are {allowed_gib}: \
         lower the concurrency of {largest}, or raise the address-space limit (ulimit -v)"
    )]
    AddressSpace {
        /// Linear memories asked for.
        memories: u64,
        /// Address space needed.
        needed_gib: u64,
        /// Address space allowed.
        allowed_gib: u64,
        /// The component with the most cells.
        largest: String,
    },
    /// A component that needs more than its budget before it runs.
    #[error(
        "component `{component}` starts with {} of memory, more than its budget of {}: \
         raise component.{component}.budget.memory", ByteSize(*needed), ByteSize(*budget)
    )]
    Memory {
        /// Which component.
        component: String,
        /// What it needs.
        needed: u64,
        /// What it may have.
        budget: u64,
    },
}

impl MachineLimits {
    /// Reads the limits of this machine and process.
    #[must_use]
    pub fn read() -> Self {
        let mappings = std::fs::read_to_string("/proc/sys/vm/max_map_count")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(65_530);
        let address_space = rustix::process::getrlimit(rustix::process::Resource::As)
            .current
            .map_or(ADDRESS_SPACE, |limit| limit.min(ADDRESS_SPACE));
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        Self { mappings, address_space, memory_for_each_core: memory() / cores }
    }
}

/// The memory of this machine, or less where a control group says so; none where nothing is known.
fn memory() -> u64 {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let meminfo = read("/proc/meminfo");
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let total = total.and_then(|kib| kib.parse::<u64>().ok()).map_or(0, |kib| kib.saturating_mul(1024));
    read("/sys/fs/cgroup/memory.max").trim().parse().map_or(total, |limit: u64| limit.min(total))
}

/// Computes what each engine sets aside. `roots` are the components that root calls enter, each with how many at once.
///
/// # Errors
/// Every way in which the machine cannot have it.
pub(crate) fn plan(
    app: &App,
    needs: &[Needs],
    roots: &[(ComponentId, u32)],
    machine: MachineLimits,
) -> Result<Vec<PoolPlan>, Vec<PoolError>> {
    let mut problems = Vec::new();
    let mut plans: Vec<PoolPlan> = Vec::new();
    for component in app.components.iter().filter(|component| component.wall == Wall::Cell) {
        let need = &needs[component.id.0 as usize];
        let budget = component.budget.memory.0;
        if need.memory_bytes > budget {
            let name = component.name.clone();
            problems.push(PoolError::Memory { component: name, needed: need.memory_bytes, budget });
        }
        let share = share(app, component.id, roots);
        let engine = if need.asynchronous { EngineKind::Async } else { EngineKind::Sync };
        let place = plans.iter().position(|plan| plan.engine == engine).unwrap_or_else(|| {
            plans.push(PoolPlan::empty(engine));
            plans.len() - 1
        });
        plans[place].add(share, need, component.budget.memory.as_usize());
    }
    let memories = plans.iter().map(|plan| u64::from(plan.memories)).sum::<u64>().max(1);
    let kept = (machine.memory_for_each_core / KEPT_PART / memories).clamp(KEPT.0, KEPT.1);
    for plan in &mut plans {
        plan.kept_bytes = usize::try_from(kept).unwrap_or(usize::MAX);
    }
    problems.extend(plans_fit(&plans, machine));
    if problems.is_empty() { Ok(plans) } else { Err(problems) }
}

/// How many cells of a component live at once.
fn share(app: &App, id: ComponentId, roots: &[(ComponentId, u32)]) -> Share {
    let component = app.component(id);
    let own = component.budget.concurrency;
    let (cells, because) = match component.lifetime {
        Lifetime::Call => (own, "its own concurrency".to_owned()),
        Lifetime::Resident => {
            let (cells, instances) = (component.residence.most_cells(), component.residence.instances);
            let because =
                if cells > instances { "its instances, and one that takes another's place" } else { "its instances" };
            (cells, because.to_owned())
        }
        Lifetime::Request => {
            let reaching: Vec<_> = roots.iter().filter(|(root, _)| reaches(app, *root, id)).collect();
            let trees = reaching.iter().map(|(_, trees)| *trees).fold(0, u32::saturating_add).max(1);
            let names: Vec<_> = reaching.iter().map(|(root, _)| app.component(*root).name.as_str()).collect();
            (trees, format!("one in each call tree of {}", names.join(", ")))
        }
    };
    Share { component: component.name.clone(), cells, because }
}

fn reaches(app: &App, from: ComponentId, to: ComponentId) -> bool {
    let mut seen = vec![false; app.components.len()];
    let mut next = vec![from];
    while let Some(id) = next.pop() {
        if id == to {
            return true;
        }
        if !std::mem::replace(&mut seen[id.0 as usize], true) {
            next.extend(app.edges_from(id).flat_map(Edge::callees));
        }
    }
    false
}

fn plans_fit(plans: &[PoolPlan], machine: MachineLimits) -> Vec<PoolError> {
    let cells: u64 = plans.iter().map(|plan| u64::from(plan.cells)).sum();
    let memories: u64 = plans.iter().map(|plan| u64::from(plan.memories)).sum();
    let largest = plans.iter().flat_map(|plan| &plan.shares).max_by_key(|share| share.cells);
    let Some(largest) = largest else { return Vec::new() };
    let mut problems = Vec::new();
    let needed = cells * MAPPINGS_PER_CELL + MAPPINGS_RESERVED;
    if needed > machine.mappings {
        let room = machine.mappings.saturating_sub(MAPPINGS_RESERVED) / MAPPINGS_PER_CELL;
        problems.push(PoolError::Mappings {
            cells,
            needed,
            allowed: machine.mappings,
            largest: largest.component.clone(),
            concurrency: largest.cells,
            fits: u64::from(largest.cells) * room / cells.max(1),
        });
    }
    let space = memories.saturating_mul(MEMORY_SLOT);
    if space > machine.address_space {
        problems.push(PoolError::AddressSpace {
            memories,
            needed_gib: space >> 30,
            allowed_gib: machine.address_space >> 30,
            largest: largest.component.clone(),
        });
    }
    problems
}

impl PoolPlan {
    fn empty(engine: EngineKind) -> Self {
        Self {
            engine,
            cells: 0,
            memories: 0,
            tables: 0,
            gc_heaps: 0,
            memory_bytes: 1 << 16,
            kept_bytes: 0,
            table_elements: MIN_TABLE_ELEMENTS,
            core_instances_per_cell: CORE_INSTANCES_PER_CELL,
            shares: Vec::new(),
        }
    }

    fn add(&mut self, share: Share, need: &Needs, budget: usize) {
        let heaps = u32::from(need.gc);
        self.cells = self.cells.saturating_add(share.cells);
        self.memories = self.memories.saturating_add(share.cells.saturating_mul(need.memories + heaps));
        self.tables = self.tables.saturating_add(share.cells.saturating_mul(need.tables));
        self.gc_heaps = self.gc_heaps.saturating_add(share.cells.saturating_mul(heaps));
        self.memory_bytes = self.memory_bytes.max(budget.next_multiple_of(1 << 16)).min(4 << 30);
        self.table_elements = self.table_elements.max(need.table_elements.saturating_mul(2));
        self.shares.push(share);
    }
}

impl fmt::Display for PoolPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cells, {} memories of up to {} MiB, {} tables",
            self.cells,
            self.memories,
            self.memory_bytes >> 20,
            self.tables
        )
    }
}
