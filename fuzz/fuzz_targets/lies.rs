//! Memory that a callee passes off as values of rich types: what comes through the membrane is what Wasmtime reads there, or both reject it.

#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use watertight_fuzz::crossing;

fuzz_target!(|bytes: &[u8]| {
    // Bytes of which nothing can be made are no find.
    let _ = crossing::hostile(&mut Unstructured::new(bytes));
});
