//! Values of any type, and memory passed off as them, through two membranes; Wasmtime says what must arrive.

#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use watertight_fuzz::crossing;

fuzz_target!(|bytes: &[u8]| {
    // Bytes of which nothing can be made are no find.
    let _ = crossing::any(&mut Unstructured::new(bytes));
});
