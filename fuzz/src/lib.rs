//! What the fuzz targets share: values of any type made from the fuzzer's bytes, and apps of guests that lie.
//!
//! The oracle is Wasmtime: [`crossing`] compares what comes through two membranes with what Wasmtime's own dynamic calls give. The apps
//! and the harness are those of the runtime's tests, included here as they are.

#[path = "../../crates/watertight-runtime/tests/cells/any_type.rs"]
mod any_type;
#[path = "../../crates/watertight-runtime/tests/cells/bare.rs"]
#[allow(dead_code, reason = "the runtime's tests need more of it")]
mod bare;
pub mod crossing;
mod values;
