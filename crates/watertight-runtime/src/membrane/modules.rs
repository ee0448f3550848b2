//! Calls by name: the interface that a script's component imports to call what its `uses` export (`watertight_model::modules`).
//!
//! A call is found by its names, its arguments are made a frame ([`super::cbor`]), and then it is [`EdgeFunction::cross`] as for any other. Only
//! what the caller sees of a failure differs: an answer that says so, which its language makes an exception, unless the manifest sets
//! something else.

use std::{collections::HashMap, fmt, sync::Arc};

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, LinkerInstance, Lower, WasmList, WasmStr},
};
use watertight_model::failure::{CallError, FailureKind};

use super::{
    EdgeFunction, Frame,
    cbor::{Author, Returned},
    frame::MAX_FRAME_BYTES,
    handles::StoreAccess,
    types::FunctionTypes,
};
use crate::{
    airlock::Seen,
    failure::{self, DependencyFailed},
    host::CellData,
};

/// A call by name that did not return.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub struct CallFailed {
    /// `type` for arguments that the function does not take or names that there are not, `error` for an error that it returned, else how it failed.
    pub kind: String,
    /// What went wrong, for people.
    pub message: String,
    /// The error that it returned, in CBOR; else empty.
    pub payload: Vec<u8>,
}

impl CallFailed {
    /// A mistake of the caller.
    fn mistake(message: String) -> Self {
        Self { kind: "type".to_owned(), message, payload: Vec::new() }
    }

    fn of(error: &CallError) -> Self {
        Self { kind: error.kind.to_string(), message: error.to_string(), payload: Vec::new() }
    }
}

/// A function that is called by name.
pub(super) struct Named {
    pub(super) function: EdgeFunction,
    pub(super) name: String,
    pub(super) types: FunctionTypes,
    /// The names of its parameters.
    pub(super) parameters: Vec<String>,
}

/// What one component may call by name.
#[derive(Default)]
pub(super) struct Modules {
    /// What it is told of them.
    pub(super) description: Vec<u8>,
    /// By every name of a module the functions, by theirs.
    pub(super) named: HashMap<String, Arc<HashMap<String, Named>>>,
    /// The memory that a cell of it may have.
    pub(super) memory: usize,
}

/// Defines the interface.
pub(super) fn define<T: CellData>(place: &mut LinkerInstance<'_, T>, modules: Modules) -> wasmtime::Result<()> {
    let modules = Arc::new(modules);
    let described = Arc::clone(&modules);
    place.func_wrap("describe", move |_: StoreContextMut<'_, T>, (): ()| Ok((described.description.clone(),)))?;
    place.func_wrap_async(
        "call",
        move |mut caller: StoreContextMut<'_, T>, (module, function, arguments): (WasmStr, WasmStr, WasmList<u8>)| {
            let modules = Arc::clone(&modules);
            Box::new(async move {
                let (module, function) = (module.to_str(&caller)?, function.to_str(&caller)?);
                let found = match modules.find(&module, &function) {
                    Ok(found) => found,
                    Err(message) => return Ok((Err(CallFailed::mistake(message)),)),
                };
                let arguments = arguments.as_le_slice(&caller);
                let frame = found.types.arguments(arguments, &found.parameters, modules.memory, Author::Script);
                let frame = match frame {
                    Ok(frame) => frame,
                    Err(refused) => return Ok((Err(CallFailed::mistake(format!("{}: {refused}", found.name))),)),
                };
                drop((module, function));
                found.call(&mut caller, frame, modules.memory).await.map(|answer| (answer,))
            })
        },
    )
}

impl Modules {
    /// A function, or why there is none.
    fn find(&self, module: &str, function: &str) -> Result<&Named, String> {
        let Some(functions) = self.named.get(module) else {
            return Err(format!("there is no module `{module}`: list the component that exports it in `uses`"));
        };
        functions.get(function).ok_or_else(|| format!("the module `{module}` has no function `{function}`"))
    }
}

impl Named {
    async fn call<T: CellData>(
        &self,
        caller: &mut StoreContextMut<'_, T>,
        arguments: Frame,
        memory: usize,
    ) -> wasmtime::Result<Result<Vec<u8>, CallFailed>> {
        let frame = match self.function.cross(&mut *caller, arguments).await? {
            Ok(frame) => frame,
            Err(error) => match &self.function.seen {
                Seen::Exception => return Ok(Err(CallFailed::of(&error))),
                Seen::Trap => return Err(DependencyFailed(error).into()),
                Seen::Error(template) | Seen::Value(template) => template.fill(&error.to_string()),
            },
        };
        let limit = memory.min(MAX_FRAME_BYTES);
        let overdrawn = |caller: &mut StoreContextMut<'_, T>| {
            let (tree, _) = caller.tree()?;
            let error = failure::overdrawn(tree.app.spec(StoreAccess::component(caller)));
            Ok(Err(CallFailed::of(&error)))
        };
        match self.types.returned(&frame.bytes, limit) {
            Ok(Some(Returned::Value(value))) => {
                // It is copied into the caller's memory; until then there are both.
                let room = caller.with(|store| store.data().core().account().charge(value.len()));
                if room.is_none() { overdrawn(caller) } else { Ok(Ok(value)) }
            }
            Ok(Some(Returned::Error { value, text })) => {
                let name = &self.name;
                let message = if text.is_empty() { format!("{name} failed") } else { text };
                Ok(Err(CallFailed { kind: "error".to_owned(), message, payload: value }))
            }
            Ok(None) => {
                let detail = "it returned what is no value of its type".to_owned();
                let component = self.name.clone();
                Ok(Err(CallFailed::of(&CallError { kind: FailureKind::BadValue, component, detail })))
            }
            Err(_) => overdrawn(caller),
        }
    }
}

impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Modules").field("named", &self.named.keys()).finish_non_exhaustive()
    }
}
