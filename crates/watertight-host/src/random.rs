//! Random numbers: cryptographically secure ones, and quick ones. Every guest has both, without a grant.

use wasmtime_wasi::WasiCtxBuilder;

/// Bytes that one call returns at most; a longer request traps. The host allocates them before the guest's memory does.
const MAX_RANDOM_BYTES: u64 = 16 << 20;

/// Gives a cell its sources of random numbers, each seeded for this cell alone.
pub(crate) fn from_grant(wasi: &mut WasiCtxBuilder) {
    wasi.max_random_size(MAX_RANDOM_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime_wasi::p2::bindings::random::{insecure_seed::Host as _, random::Host as _};

    fn context() -> wasmtime_wasi::WasiCtx {
        let mut builder = WasiCtxBuilder::new();
        from_grant(&mut builder);
        builder.build()
    }

    #[test]
    fn two_cells_draw_different_numbers() {
        let (mut one, mut two) = (context(), context());
        assert_ne!(one.random().get_random_u64().expect("a number"), two.random().get_random_u64().expect("a number"));
        assert_ne!(one.random().insecure_seed().expect("a seed"), two.random().insecure_seed().expect("a seed"));
    }

    #[test]
    fn one_call_does_not_make_the_host_allocate_without_end() {
        let mut context = context();
        assert_eq!(context.random().get_random_bytes(1024).expect("within the bound").len(), 1024);
        assert!(context.random().get_random_bytes(MAX_RANDOM_BYTES + 1).is_err());
    }
}
