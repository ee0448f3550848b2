//! Use: what cells hold and have spent of their budgets, to be shown beside them. Plain numbers, read without stopping anybody: each is
//! right by itself, and all of them need not be of the same instant.

use std::{path::PathBuf, time::Duration};

use crate::app::ComponentId;

/// What an app uses: in one process, or in all of a node's after [`Usage::add`].
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// By component, each once.
    pub components: Vec<ComponentUsage>,
    /// The folders that guests write to, each once.
    pub disks: Vec<DiskUsage>,
}

/// What the cells of one component use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ComponentUsage {
    /// Which component.
    pub component: ComponentId,
    /// Cells that live.
    pub cells: u32,
    /// Calls that run, of its `concurrency`.
    pub running: u32,
    /// Calls that wait, of its `queue`.
    pub waiting: u32,
    /// Its cells together.
    pub total: CellUsage,
    /// Of each thing, what the one cell uses that uses most of it: the number to hold against the budget.
    pub most: CellUsage,
}

/// What one cell uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CellUsage {
    /// Bytes that count for `budget.memory`.
    pub memory_bytes: u64,
    /// The most that those ever were.
    pub memory_peak_bytes: u64,
    /// Time spent running its code, since it came to life.
    #[serde(rename = "cpu_ns", with = "nanos")]
    pub cpu: Duration,
    /// Files and folders it holds open.
    pub files: u32,
    /// Sockets it holds open.
    pub sockets: u32,
    /// Outbound HTTP requests of it in flight.
    pub requests: u32,
    /// Bytes it wrote to its log, those that were dropped not counted.
    pub log_bytes: u64,
    /// Bytes of its log that were dropped, because `budget.log` was spent.
    pub log_dropped_bytes: u64,
}

/// What lies in one folder that guests write to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DiskUsage {
    /// The folder, as the manifest names it.
    pub host: PathBuf,
    /// Bytes that count for `quota`.
    pub bytes: u64,
    /// Files and folders that count for `files`.
    pub files: u64,
    /// The largest `quota` that a component has in it.
    pub quota_bytes: u64,
    /// The largest `files` that a component has in it.
    pub quota_files: u64,
}

impl Usage {
    /// Adds what another process of the same app uses. Processes count a folder together, so there the larger number is the newer one.
    pub fn add(&mut self, other: &Self) {
        for theirs in &other.components {
            match self.components.iter_mut().find(|ours| ours.component == theirs.component) {
                Some(ours) => ours.add(theirs),
                None => self.components.push(*theirs),
            }
        }
        for theirs in &other.disks {
            match self.disks.iter_mut().find(|ours| ours.host == theirs.host) {
                Some(ours) => {
                    ours.bytes = ours.bytes.max(theirs.bytes);
                    ours.files = ours.files.max(theirs.files);
                }
                None => self.disks.push(theirs.clone()),
            }
        }
    }
}

impl ComponentUsage {
    /// No cells.
    #[must_use]
    pub fn none(component: ComponentId) -> Self {
        let (total, most) = (CellUsage::default(), CellUsage::default());
        Self { component, cells: 0, running: 0, waiting: 0, total, most }
    }

    /// Counts one more cell.
    pub fn count(&mut self, cell: &CellUsage) {
        self.cells = self.cells.saturating_add(1);
        self.total = self.total.combined(cell, u64::saturating_add);
        self.most = self.most.combined(cell, u64::max);
    }

    fn add(&mut self, other: &Self) {
        self.cells = self.cells.saturating_add(other.cells);
        self.running = self.running.saturating_add(other.running);
        self.waiting = self.waiting.saturating_add(other.waiting);
        self.total = self.total.combined(&other.total, u64::saturating_add);
        self.most = self.most.combined(&other.most, u64::max);
    }
}

impl CellUsage {
    fn combined(&self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        let few = |ours: u32, theirs: u32| u32::try_from(with(ours.into(), theirs.into())).unwrap_or(u32::MAX);
        Self {
            memory_bytes: with(self.memory_bytes, other.memory_bytes),
            memory_peak_bytes: with(self.memory_peak_bytes, other.memory_peak_bytes),
            cpu: Duration::from_nanos(with(nanos::of(self.cpu), nanos::of(other.cpu))),
            files: few(self.files, other.files),
            sockets: few(self.sockets, other.sockets),
            requests: few(self.requests, other.requests),
            log_bytes: with(self.log_bytes, other.log_bytes),
            log_dropped_bytes: with(self.log_dropped_bytes, other.log_dropped_bytes),
        }
    }
}

mod nanos {
    use std::time::Duration;

    use serde::Deserialize as _;

    pub(super) fn of(duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn serialize<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(of(*duration))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}

/// How much of a pool is in use: of an engine's cells, memories, tables or garbage-collected heaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct PoolUse {
    /// Which engine: `sync` or `async`.
    pub engine: String,
    /// Of what: `cells`, `memories`, `tables`, `gc-heaps`.
    pub slots: String,
    /// So many are in use.
    pub used: u64,
    /// Of so many.
    pub limit: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(memory: u64, files: u32) -> CellUsage {
        CellUsage { memory_bytes: memory, files, cpu: Duration::from_nanos(memory), ..CellUsage::default() }
    }

    #[test]
    fn cells_add_up_and_the_largest_of_each_stands_out() {
        let mut used = ComponentUsage::none(ComponentId(1));
        for (memory, files) in [(10, 1), (30, 0), (20, u32::MAX)] {
            used.count(&cell(memory, files));
        }
        assert_eq!(used.cells, 3);
        assert_eq!(used.total, cell(60, u32::MAX));
        assert_eq!(used.most, cell(30, u32::MAX));
    }

    #[test]
    fn what_processes_use_adds_up_but_a_folder_is_one() {
        let disk = |bytes| DiskUsage { host: "data".into(), bytes, files: 1, quota_bytes: 100, quota_files: 10 };
        let mut one = ComponentUsage::none(ComponentId(0));
        one.count(&cell(5, 1));
        let mut node = Usage::default();
        for bytes in [7, 9, 8] {
            node.add(&Usage { components: vec![one], disks: vec![disk(bytes)] });
        }
        assert_eq!((node.components[0].cells, node.components[0].total.memory_bytes), (3, 15));
        assert_eq!(node.components[0].most.memory_bytes, 5);
        assert_eq!(node.disks, [disk(9)]);
    }
}
