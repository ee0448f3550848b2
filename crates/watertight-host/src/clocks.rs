//! Clocks: the wall clock and a monotonic one that starts with the cell. Every guest has both, without a grant.

use wasmtime_wasi::WasiCtxBuilder;

/// Gives a cell its clocks. They are wasmtime-wasi's own: the host's wall clock, and a monotonic clock that begins at zero, so
/// that no guest learns how long the host has been up.
pub(crate) fn from_grant(_: &mut WasiCtxBuilder) {}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime_wasi::{
        ResourceTable,
        clocks::WasiClocksCtxView,
        p2::bindings::clocks::{monotonic_clock, wall_clock},
    };

    #[test]
    fn every_guest_has_clocks() {
        let mut builder = WasiCtxBuilder::new();
        from_grant(&mut builder);
        let (mut wasi, mut table) = (builder.build(), ResourceTable::new());
        let mut view = WasiClocksCtxView { ctx: wasi.clocks(), table: &mut table };
        assert!(wall_clock::Host::now(&mut view).expect("a time").seconds > 0);
        let first = monotonic_clock::Host::now(&mut view).expect("a time");
        assert!(first < 60_000_000_000, "the monotonic clock starts with the cell");
    }
}
