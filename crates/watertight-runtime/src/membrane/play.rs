#![expect(clippy::wildcard_enum_match_arm, reason = "Wasmtime's types, which grow with the component model")]
//! A component played alone: its functions called with frames that were recorded, and its own calls answered by what was.
//!
//! ```text
//!   recorded arguments ── admit ──▶ a fresh cell ── its imports ──▶ Answers ── admit ──▶ recorded results
//!                                        └──▶ results
//! ```
//!
//! What comes from a recording is hostile: a frame is let in only if lifting would have made it of some values of the very types that this
//! build has. Functions with handles cannot be played: what their handles stand for is gone.

use std::{collections::BTreeSet, fmt, sync::Arc};

use futures_util::FutureExt as _;
use wasmtime::{
    StoreContextMut,
    component::{
        Accessor, Component, ComponentExportIndex, Linker, LinkerInstance,
        types::{ComponentFunc, ComponentItem},
    },
};
use watertight_model::{
    app::ComponentId,
    failure::{CallError, FailureKind},
};

use super::{
    Frame, admit,
    link::{ExportedFunction, Shape, by_arity, define_resource, flat_parameters, new_resource},
    plan::Plan,
    raw::Values,
    types::FunctionTypes,
};
use crate::{app::RunningApp, failure::DependencyFailed, host::CellData, record::Described};

/// Bytes of the text of values by which they are compared: more than a frame's may have.
const MAX_COMPARED: usize = 256 << 20;

/// Answers the calls that a component makes while it is played.
pub trait Answers: Send + Sync + 'static {
    /// The results of a call, or why there are none: then the component traps. `shown` gives the arguments in WAVE, with at most so many
    /// bytes before they are cut.
    ///
    /// # Errors
    /// Why it cannot be answered, for people.
    fn answer(
        &self,
        import: &str,
        function: &str,
        arguments: &[u8],
        shown: &dyn Fn(usize) -> String,
    ) -> Result<Vec<u8>, String>;

    /// What was answered is no value of the function's results.
    fn misfit(&self, import: &str, function: &str, why: String);
}

/// The imports of a component that is played, which no other component meets.
#[derive(Clone)]
pub struct StandIns {
    /// Their names.
    pub imports: BTreeSet<String>,
    /// What answers them.
    pub answers: Arc<dyn Answers>,
}

/// A function of a component, to be played.
pub struct Part {
    component: ComponentId,
    export: ExportedFunction,
    driven: bool,
    types: FunctionTypes,
    parameters: Plan,
}

/// Why a function was not played.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The frame is not of its parameters.
    #[error("the recorded arguments are no values of its parameters: {0}")]
    Arguments(String),
    /// It failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// One function that stands in for an import.
struct StandIn {
    import: String,
    name: String,
    types: FunctionTypes,
    results: Plan,
    handles: bool,
    answers: Arc<dyn Answers>,
}

/// Defines stand-ins for imports in a component's linker.
pub(crate) fn stand_in<T: CellData>(
    linker: &mut Linker<T>,
    component: &Component,
    stand_ins: &StandIns,
) -> wasmtime::Result<()> {
    let engine = component.engine().clone();
    let mut known = Vec::new();
    for (name, import) in component.component_type().imports(&engine) {
        let wanted = stand_ins.imports.contains(name);
        match import.ty {
            ComponentItem::ComponentInstance(instance) => {
                for (item, export) in instance.exports(&engine) {
                    match export.ty {
                        ComponentItem::Resource(ty) if !known.contains(&ty) => {
                            known.push(ty);
                            if wanted {
                                define_resource(&mut linker.instance(name)?, item, new_resource())?;
                            }
                        }
                        ComponentItem::ComponentFunc(ty) if wanted => {
                            define(&mut linker.instance(name)?, component, (name, item), &ty, stand_ins)?;
                        }
                        _ => {}
                    }
                }
            }
            ComponentItem::ComponentFunc(ty) if wanted => {
                define(&mut linker.root(), component, (name, name), &ty, stand_ins)?;
            }
            ComponentItem::Resource(ty) => known.push(ty),
            _ => {}
        }
    }
    Ok(())
}

fn define<T: CellData>(
    place: &mut LinkerInstance<'_, T>,
    component: &Component,
    (import, name): (&str, &str),
    ty: &ComponentFunc,
    stand_ins: &StandIns,
) -> wasmtime::Result<()> {
    let types = FunctionTypes::of(ty, &component.component_type().instance_type())?;
    let stand_in = Arc::new(StandIn {
        import: import.to_owned(),
        name: name.to_owned(),
        results: Plan::compile(types.results, &component.component_type().instance_type())?,
        handles: types.described().handles,
        types,
        answers: Arc::clone(&stand_ins.answers),
    });
    let shape = Shape { parameters: flat_parameters(ty), returns: ty.results().len() > 0, asynchronous: ty.async_() };
    by_arity!(define_as(place, name, shape, stand_in))
}

fn define_as<T: CellData, const PARAMETERS: usize, const RESULTS: usize>(
    place: &mut LinkerInstance<'_, T>,
    name: &str,
    asynchronous: bool,
    stand_in: Arc<StandIn>,
) -> wasmtime::Result<()> {
    if asynchronous {
        place.func_wrap_concurrent(name, move |_: &Accessor<T>, arguments: Values<PARAMETERS>| {
            let answered = stand_in.answer(&arguments.0).map(Values::<RESULTS>);
            Box::pin(async move { answered })
        })
    } else {
        place.func_wrap_async(name, move |_: StoreContextMut<'_, T>, arguments: Values<PARAMETERS>| {
            let answered = stand_in.answer(&arguments.0).map(Values::<RESULTS>);
            Box::new(async move { answered })
        })
    }
}

impl StandIn {
    fn answer(&self, arguments: &Frame) -> wasmtime::Result<Frame> {
        if self.handles {
            let why = "handles cross in it, which cannot be played".to_owned();
            self.answers.misfit(&self.import, &self.name, why.clone());
            return Err(self.failed(why));
        }
        let shown = |limit| self.types.parameters_text(&arguments.bytes, arguments.bytes.len(), limit);
        let results = self.answers.answer(&self.import, &self.name, &arguments.bytes, &shown);
        admit(results.map_err(|why| self.failed(why))?, &self.results.shape).map_err(|error| {
            let why = format!("its recorded results are no values of its type here: {error}");
            self.answers.misfit(&self.import, &self.name, why.clone());
            self.failed(why)
        })
    }

    /// It has no answer: its caller traps, as where a dependency fails.
    fn failed(&self, detail: String) -> wasmtime::Error {
        let component = format!("{}#{}", self.import, self.name);
        DependencyFailed(CallError { kind: FailureKind::Trap, component, detail }).into()
    }
}

impl Part {
    /// The types of its values.
    #[must_use]
    pub fn described(&self) -> Described {
        self.types.described()
    }

    /// Its arguments in WAVE, with at most so many bytes before they are cut.
    #[must_use]
    pub fn arguments_text(&self, frame: &[u8], limit: usize) -> String {
        self.types.parameters_text(frame, frame.len(), limit)
    }

    /// Whether two frames of its results hold the same values: they may differ in what no guest can tell apart, the bits of a NaN.
    #[must_use]
    pub fn same_results(&self, one: &[u8], other: &[u8]) -> bool {
        one == other || self.results_text(one, MAX_COMPARED) == self.results_text(other, MAX_COMPARED)
    }

    /// Its result in WAVE; nothing where it has none.
    #[must_use]
    pub fn results_text(&self, frame: &[u8], limit: usize) -> String {
        self.types.results_text(frame, frame.len(), limit)
    }
}

impl<T: CellData> RunningApp<T> {
    /// A function that a component exports, by the full name of its interface, or as a function of the world where that is its own name;
    /// none where there is no such function, or its values cannot cross.
    #[must_use]
    pub fn part(&self, component: ComponentId, export: &str, name: &str) -> Option<Part> {
        let loaded = self.0.component(component);
        let compiled = loaded.pre.component();
        let (index, ty) = exported(compiled, export, name)?;
        let types = FunctionTypes::of(&ty, &compiled.component_type().instance_type()).ok()?;
        let parameters = Plan::compile(types.parameters, &compiled.component_type().instance_type()).ok()?;
        let export = ExportedFunction::new(0, index, &ty, None);
        Some(Part { component, export, driven: loaded.driven, types, parameters })
    }

    /// Calls a function with a frame, in a fresh cell and under its component's budgets, and gives the frame of its results.
    ///
    /// # Errors
    /// When the frame is not of its parameters, or the call fails.
    pub async fn play(&self, part: &Part, arguments: &[u8]) -> Result<Vec<u8>, PlayError> {
        let arguments = admit(arguments.to_vec(), &part.parameters.shape)
            .map_err(|error| PlayError::Arguments(error.to_string()))?;
        let root = self.enter(part.component).await?;
        let (export, driven) = (part.export.clone(), part.driven);
        let mut results = root
            .run(move |store, instance| {
                async move {
                    if !driven {
                        let typed = export.resolve(store, &instance)?;
                        return typed.call(store, arguments).await;
                    }
                    let call = async |accessor: &Accessor<T>| {
                        export.call_concurrent(accessor, instance, arguments, None).await
                    };
                    store.run_concurrent(call).await?
                }
                .boxed()
            })
            .await?;
        Ok(results.take_bytes())
    }
}

/// Finds an exported function.
fn exported(component: &Component, export: &str, name: &str) -> Option<(ComponentExportIndex, ComponentFunc)> {
    let (ty, engine) = (component.component_type(), component.engine());
    match ty.get_export(engine, export)?.ty {
        ComponentItem::ComponentFunc(function) => Some((component.get_export_index(None, export)?, function)),
        ComponentItem::ComponentInstance(interface) => {
            let ComponentItem::ComponentFunc(function) = interface.get_export(engine, name)?.ty else { return None };
            let interface = component.get_export_index(None, export)?;
            Some((component.get_export_index(Some(&interface), name)?, function))
        }
        _ => None,
    }
}

impl fmt::Debug for StandIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandIns").field("imports", &self.imports).finish_non_exhaustive()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("export", &self.export).finish_non_exhaustive()
    }
}
