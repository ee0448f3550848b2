//! From a component's bytes to compiled code: what it needs is read off, a core module is made a component, fused
//! dependencies are composed in, and the compiler runs once for each content.

use std::{collections::BTreeMap, sync::Arc};

use wac_graph::{CompositionGraph, EncodeOptions, types::Package};
use wasi_preview1_component_adapter_provider as adapter;
use wasmparser::{Parser, Payload, ValidPayload, Validator, WasmFeatures};
use watertight_model::app::{App, ComponentId, Sources};

/// What a component needs from the engine and the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Needs {
    /// Component-model async.
    pub asynchronous: bool,
    /// A garbage-collected heap.
    pub gc: bool,
    /// Linear memories in one cell.
    pub memories: u32,
    /// The largest that a linear memory is from the start, in bytes.
    pub memory_bytes: u64,
    /// Tables in one cell.
    pub tables: u32,
    /// The largest that a table is from the start, in elements.
    pub table_elements: usize,
}

/// Why a component cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The bytes are not valid WebAssembly, or use what no engine here has.
    #[error("component `{component}` is not valid: {error:#}")]
    Invalid {
        /// Which component.
        component: String,
        /// What is wrong, with the offset in the file.
        error: wasmtime::Error,
    },
    /// A core module that cannot become a component.
    #[error("component `{component}` is a core module that does not fit the WASI preview 1 adapter: {error}")]
    Adapt {
        /// Which component.
        component: String,
        /// What is wrong.
        error: String,
    },
    /// A fused dependency that cannot be composed in.
    #[error("`{dependency}` cannot be fused into `{component}`: {error}")]
    Fuse {
        /// The importer.
        component: String,
        /// The fused component.
        dependency: String,
        /// What is wrong.
        error: String,
    },
}

/// The features that every engine here has.
fn features() -> WasmFeatures {
    WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL | WasmFeatures::CM_MAP | WasmFeatures::CM_FIXED_LENGTH_LISTS
}

/// Whether a component uses component-model async, and a garbage-collected heap, found by validating it without them:
/// exceptions and references to the host live on that heap too. Function bodies are not looked at: they cannot use what the types
/// around them do not mention.
pub(crate) fn uses(bytes: &[u8]) -> (bool, bool) {
    let all = features() | WasmFeatures::CM_ASYNC;
    let asynchronous = !validates(bytes, features()) && validates(bytes, all);
    let heap = WasmFeatures::GC | WasmFeatures::GC_TYPES | WasmFeatures::EXCEPTIONS;
    let gc = !validates(bytes, all.difference(heap));
    (asynchronous, gc)
}

fn validates(bytes: &[u8], features: WasmFeatures) -> bool {
    let mut validator = Validator::new_with_features(features);
    Parser::new(0).parse_all(bytes).all(|payload| {
        payload.is_ok_and(|payload| {
            validator.payload(&payload).is_ok_and(|valid| match valid {
                ValidPayload::Func(..) | ValidPayload::Ok | ValidPayload::Parser(_) | ValidPayload::End(_) => true,
            })
        })
    })
}

/// The bytes of a component as they will be compiled: adapted from a core module, with its fused dependencies inside.
pub(crate) fn assemble(app: &App, id: ComponentId, sources: &Sources) -> Result<Arc<[u8]>, CompileError> {
    let component = app.component(id);
    let whole = sources.get(&id).filter(|bytes| component.fused.is_empty() && !Parser::is_core_wasm(bytes));
    if let Some(bytes) = whole {
        return Ok(Arc::clone(bytes));
    }
    let bytes = adapt(&component.name, source(sources, id))?;
    let mut parts: BTreeMap<ComponentId, Vec<u8>> = BTreeMap::new();
    for fused in &component.fused {
        parts.insert(*fused, adapt(&app.component(*fused).name, source(sources, *fused))?);
    }
    // Innermost last: what one of them imports from another is met when its turn comes.
    let bytes = component.fused.iter().rev().try_fold(bytes, |socket, fused| {
        plug(socket, parts.remove(fused).unwrap_or_default()).map_err(|error| CompileError::Fuse {
            component: component.name.clone(),
            dependency: app.component(*fused).name.clone(),
            error,
        })
    })?;
    Ok(bytes.into())
}

fn source(sources: &Sources, id: ComponentId) -> &[u8] {
    sources.get(&id).map_or(&[], |bytes| bytes)
}

/// Composes `plug` into `socket` where it meets imports.
fn plug(socket: Vec<u8>, plug: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut graph = CompositionGraph::new();
    let mut register = |name, bytes: Vec<u8>| {
        let package =
            Package::from_bytes(name, None, bytes, graph.types_mut()).map_err(|error| format!("{error:#}"))?;
        graph.register_package(package).map_err(|error| error.to_string())
    };
    let socket = register("socket", socket)?;
    let plug = register("plug", plug)?;
    wac_graph::plug(&mut graph, vec![plug], socket).map_err(|error| error.to_string())?;
    graph.encode(EncodeOptions::default()).map_err(|error| error.to_string())
}

/// Makes a core module of WASI preview 1 a component; leaves a component as it is.
fn adapt(name: &str, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
    if !Parser::is_core_wasm(bytes) {
        return Ok(bytes.to_vec());
    }
    let failed = |error: String| CompileError::Adapt { component: name.into(), error };
    let adapter = if exports_start(bytes) {
        adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    wit_component::ComponentEncoder::default()
        .module(bytes)
        .and_then(|encoder| encoder.adapter(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| failed(format!("{error:#}")))
}

fn exports_start(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).any(|payload| match payload {
        Ok(Payload::ExportSection(exports)) => {
            exports.into_iter().any(|export| export.is_ok_and(|export| export.name == "_start"))
        }
        _ => false,
    })
}
