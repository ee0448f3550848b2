//! The four doors of `watertight:test/behave` around one function `fn(u32) -> Result<u32, String>`.

/// Exports the function; its `err` becomes each door's own way to fail.
#[macro_export]
macro_rules! doors {
    ($act:path) => {
        struct Doors;

        impl exports::watertight::test::behave::Guest for Doors {
            fn run(n: u32) -> Result<u32, String> {
                $act(n)
            }

            fn quiet(n: u32) -> Result<u32, ()> {
                $act(n).map_err(drop)
            }

            fn bare(n: u32) -> Result<(), ()> {
                $act(n).map(drop).map_err(drop)
            }

            fn plain(n: u32) -> u32 {
                $act(n).unwrap_or_else(|_| core::arch::wasm32::unreachable())
            }
        }

        export!(Doors);
    };
}
