//! A cell's memory budget: one sum over its linear memories, tables and GC heap.

use wasmtime::ResourceLimiter;

/// What an element of a table costs: a pointer.
const TABLE_ELEMENT_BYTES: usize = 8;

/// Counts what a store's guests grow, and refuses growth past the budget. A refused `memory.grow` gives the guest -1, as the
/// specification says; what the guest does then is up to it.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    budget: usize,
    used: usize,
    denied: bool,
}

impl MemoryLimit {
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, used: 0, denied: false }
    }

    /// Whether growth was ever refused: a trap after that is put down to the budget.
    pub(crate) fn denied(&self) -> bool {
        self.denied
    }

    fn grow(&mut self, by: usize) -> bool {
        match self.used.checked_add(by) {
            Some(used) if used <= self.budget => self.used = used,
            _ => {
                self.denied = true;
                return false;
            }
        }
        true
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
