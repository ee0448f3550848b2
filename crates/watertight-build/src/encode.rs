//! From what a compiler leaves to a component.

use wasi_preview1_component_adapter_provider as adapter;
use wit_component::ComponentEncoder;

/// What the import of WASI preview 1 is called.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Component,
    Module,
    NotWasm,
}

pub(crate) fn kind(bytes: &[u8]) -> Kind {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Kind::Module,
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Kind::Component,
        _ => Kind::NotWasm,
    }
}

/// A component of a core module that carries its world. One that imports WASI preview 1 gets the adapter for it.
pub(crate) fn component(module: &[u8]) -> Result<Vec<u8>, String> {
    adapted(module, adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
}

/// The same, with this adapter.
pub(crate) fn adapted(module: &[u8], adapter: &[u8]) -> Result<Vec<u8>, String> {
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.adapter(PREVIEW1, adapter))
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| format!("{error:#}"))
}
