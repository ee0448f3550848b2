//! The account of one cell: what it holds and has spent of its budgets. It is shared by all that holds something for the cell, also
//! where its store cannot be reached, and read from outside without stopping the cell. A budget is refused here or nowhere.

use std::{
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use slab::Slab;
use wasmtime::ResourceLimiter;
use watertight_model::{app::Component, event::CellId, usage::CellUsage};

use crate::{clock::Moment, cut::Cut, meter::CpuAccount};

/// What an element of a table costs: a pointer.
const TABLE_ELEMENT_BYTES: usize = 8;

/// What one cell holds and has spent.
pub struct Account {
    since: Moment,
    /// How the cell is ended from outside, if it is no resident: those have one that they share with their seat.
    cut: Cut,
    memory: Memory,
    cpu: Arc<CpuAccount>,
    logged: AtomicU64,
    log_dropped: AtomicU64,
    holdings: OnceLock<Weak<dyn Holdings>>,
}

/// What the host holds for one cell.
pub trait Holdings: Send + Sync {
    /// Adds up what it holds now.
    fn count_into(&self, usage: &mut CellUsage);
}

/// The sum that `budget.memory` limits: linear memories, tables and GC heap, and what the host keeps for the cell.
#[derive(Debug)]
struct Memory {
    budget: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    /// A guest was refused growth.
    denied: AtomicBool,
}

impl Memory {
    fn take(&self, bytes: usize) -> bool {
        let taken =
            self.used.fetch_update(Relaxed, Relaxed, |used| used.checked_add(bytes).filter(|sum| *sum <= self.budget));
        match taken {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Relaxed);
                true
            }
            Err(_) => false,
        }
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

impl Account {
    /// An account with the budget of a component.
    #[must_use]
    pub fn new(component: &Component) -> Arc<Self> {
        let memory = Memory {
            budget: component.budget.memory.as_usize(),
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            denied: AtomicBool::new(false),
        };
        Arc::new(Self {
            since: Moment::now(),
            cut: Cut::default(),
            memory,
            cpu: Arc::default(),
            logged: AtomicU64::new(0),
            log_dropped: AtomicU64::new(0),
            holdings: OnceLock::new(),
        })
    }

    /// Since when the cell lives.
    pub(crate) fn since(&self) -> Moment {
        self.since
    }

    pub(crate) fn cut(&self) -> &Cut {
        &self.cut
    }

    pub(crate) fn cpu(&self) -> &Arc<CpuAccount> {
        &self.cpu
    }

    /// Counts bytes that the host keeps for the cell as its memory, for as long as the charge lives; `None` where the budget does not
    /// have them.
    #[must_use]
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        self.memory.take(bytes).then(|| Charge { account: Arc::clone(self), bytes })
    }

    /// Takes up to `wanted` bytes of the log's budget, counts the rest as dropped, and says how many it took.
    pub fn log(&self, budget: u64, wanted: usize) -> usize {
        let mut fits = 0;
        // It never fails: what does not fit is none of it.
        let _ = self.logged.fetch_update(Relaxed, Relaxed, |logged| {
            fits = usize::try_from(budget.saturating_sub(logged)).map_or(wanted, |left| left.min(wanted));
            Some(logged + fits as u64)
        });
        if fits < wanted {
            self.log_dropped.fetch_add((wanted - fits) as u64, Relaxed);
        }
        fits
    }

    /// Bytes of the log that were dropped.
    #[must_use]
    pub fn log_dropped(&self) -> u64 {
        self.log_dropped.load(Relaxed)
    }

    /// Has the host's part counted in [`Account::usage`], for as long as it lives; once. It is the cell that keeps it: what the host holds
    /// is charged to this account, so that each would keep the other.
    pub fn set_holdings(&self, holdings: Weak<dyn Holdings>) {
        let _ = self.holdings.set(holdings);
    }

    /// Whether a guest was ever refused growth: a trap after that is put down to the budget.
    pub(crate) fn memory_denied(&self) -> bool {
        self.memory.denied.load(Relaxed)
    }

    /// Bytes that count for `budget.memory` now.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.used.load(Relaxed) as u64
    }

    /// What the cell uses now.
    #[must_use]
    pub fn usage(&self) -> CellUsage {
        let mut usage = CellUsage {
            memory_bytes: self.memory.used.load(Relaxed) as u64,
            memory_peak_bytes: self.memory.peak.load(Relaxed) as u64,
            cpu: Duration::from_nanos(self.cpu.total_nanos()),
            log_bytes: self.logged.load(Relaxed),
            log_dropped_bytes: self.log_dropped.load(Relaxed),
            ..CellUsage::default()
        };
        if let Some(holdings) = self.holdings.get().and_then(Weak::upgrade) {
            holdings.count_into(&mut usage);
        }
        usage
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("memory", &self.memory).field("cpu", &self.cpu).finish_non_exhaustive()
    }
}

/// Bytes that count as a cell's memory until this is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// Counts more bytes; `false`, and nothing changes, where the budget does not have them.
    #[must_use]
    pub fn grow(&mut self, by: usize) -> bool {
        let grown = self.account.memory.take(by);
        if grown {
            self.bytes += by;
        }
        grown
    }

    /// As many bytes again; `None` where the budget does not have them.
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        self.account.charge(self.bytes)
    }

    /// Counts this many bytes instead; `false`, and nothing changes, where the budget does not have them.
    #[must_use]
    pub fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.account.memory.give_back(self.bytes - bytes);
        self.bytes = bytes;
        true
    }

    /// How many bytes it stands for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.memory.give_back(self.bytes);
    }
}

/// Puts what a store's guests grow on their cell's account. A refused `memory.grow` gives the guest -1, as the specification says; what
/// the guest does then is up to it.
#[derive(Debug)]
pub(crate) struct MemoryLimit(pub(crate) Arc<Account>);

impl MemoryLimit {
    fn grow(&self, by: usize) -> bool {
        let memory = &self.0.memory;
        let grown = memory.take(by);
        if !grown {
            memory.denied.store(true, Relaxed);
        }
        grown
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        // Past its own maximum it does not grow, and costs nothing.
        Ok(most.is_none_or(|most| desired <= most) && self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(most.is_none_or(|most| desired <= most) && self.grow(bytes))
    }
}

/// The accounts of a component's cells that live.
#[derive(Debug, Default)]
pub(crate) struct Living(Mutex<Slab<(CellId, Arc<Account>)>>);

/// A place among the living, until it is dropped.
#[derive(Debug)]
pub(crate) struct Alive {
    among: Arc<Living>,
    place: usize,
}

impl Living {
    pub(crate) fn add(self: &Arc<Self>, cell: CellId, account: Arc<Account>) -> Alive {
        Alive { among: Arc::clone(self), place: self.0.lock().insert((cell, account)) }
    }

    /// The accounts, to be read without the lock.
    pub(crate) fn all(&self) -> Vec<Arc<Account>> {
        self.0.lock().iter().map(|(_, (_, account))| Arc::clone(account)).collect()
    }

    /// The same, with whose they are; not more than so many.
    pub(crate) fn named(&self, most: usize) -> Vec<(CellId, Arc<Account>)> {
        self.0.lock().iter().take(most).map(|(_, named)| named.clone()).collect()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.among.0.lock().try_remove(self.place);
    }
}
