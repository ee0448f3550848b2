//! What a process takes of the machine: slots of its pools, memory mappings, compiled code.

use std::{
    fs::File,
    io::Read as _,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use watertight_model::usage::PoolUse;
use watertight_runtime::{CacheCounts, cache_counts};

/// How long the number of mappings is good: to count them, all of them are read.
const COUNTED: Duration = Duration::from_secs(5);

/// What the processes of a node take of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineStatus {
    /// The pools, summed up over the workers.
    pub pools: Vec<PoolUse>,
    /// Memory mappings of the process that has most.
    pub mappings: u64,
    /// What each process may have of them: `vm.max_map_count`.
    pub mappings_limit: u64,
    /// Components whose code was in the compile cache, in all processes.
    pub cache_hits: u64,
    /// Those that were compiled.
    pub cache_misses: u64,
    /// Bytes in the compile cache.
    pub cache_bytes: u64,
}

impl MachineStatus {
    /// What this process takes.
    pub(crate) fn here(pools: Vec<PoolUse>) -> Self {
        let CacheCounts { hits, misses, bytes } = cache_counts();
        Self {
            pools,
            mappings: mappings(),
            mappings_limit: mappings_limit(),
            cache_hits: hits,
            cache_misses: misses,
            cache_bytes: bytes,
        }
    }

    /// Adds what another process takes.
    pub(crate) fn add(&mut self, other: Self) {
        self.mappings = self.mappings.max(other.mappings);
        self.mappings_limit = self.mappings_limit.max(other.mappings_limit);
        self.cache_hits += other.cache_hits;
        self.cache_misses += other.cache_misses;
        // It is the same for all.
        self.cache_bytes = self.cache_bytes.max(other.cache_bytes);
        self.add_pools(other.pools);
    }

    /// Adds another version of the app in the same process.
    pub(crate) fn add_pools(&mut self, pools: Vec<PoolUse>) {
        for theirs in pools {
            let same = |ours: &&mut PoolUse| (&ours.engine, &ours.slots) == (&theirs.engine, &theirs.slots);
            match self.pools.iter_mut().find(same) {
                Some(ours) => {
                    ours.used += theirs.used;
                    ours.limit += theirs.limit;
                }
                None => self.pools.push(theirs),
            }
        }
    }
}

/// The memory mappings of this process: a line of `/proc/self/maps` each.
fn mappings() -> u64 {
    static KNOWN: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
    let mut known = KNOWN.lock();
    if let Some((at, count)) = *known
        && at.elapsed() < COUNTED
    {
        return count;
    }
    let count = count_lines().unwrap_or(0);
    *known = Some((Instant::now(), count));
    count
}

fn count_lines() -> Option<u64> {
    let mut file = File::open("/proc/self/maps").ok()?;
    let (mut piece, mut count) = (vec![0; 64 << 10], 0);
    loop {
        match file.read(&mut piece).ok()? {
            0 => return Some(count),
            read => count += piece[..read].iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}

fn mappings_limit() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}
