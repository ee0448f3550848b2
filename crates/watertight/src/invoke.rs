//! Calling any export from outside: found by a name as people write it, with values or with WAVE text.
//!
//! A call goes through the same door as a request: admitted by its component, in a call tree of its own, under its budgets.

use std::fmt;

use futures_util::FutureExt as _;
use wasm_wave::untyped::UntypedFuncCall;
use watertight_host::HostCell;
use watertight_model::{
    app::{ComponentId, Wall},
    failure::CallError,
};
use watertight_runtime::{
    RunningApp,
    types::{ComponentFunc, ComponentItem, Type},
};

pub use watertight_runtime::Val;

/// A function that can be invoked.
#[derive(Clone)]
pub struct Export {
    component: ComponentId,
    component_name: String,
    interface: Option<String>,
    function: String,
    ty: ComponentFunc,
}

/// Why an invocation has no result.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// The text is no call.
    #[error("`{0}` is not a call: write ns:pkg/interface#function(arguments), with the arguments in WAVE")]
    NotACall(String),
    /// Nobody exports it.
    #[error("nobody exports `{wanted}`{}", candidates(known))]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Several export it.
    #[error("`{wanted}` could be several: {}; give the whole name, or choose with --component", found.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Who exports it.
        found: Vec<String>,
    },
    /// The arguments do not fit.
    #[error("the arguments do not fit {signature}: {why}")]
    Arguments {
        /// The function and its parameters.
        signature: String,
        /// What is wrong.
        why: String,
    },
    /// A parameter or the result has no text.
    #[error("{0} takes or returns a resource, a stream, a future or a map, which cannot be written as text")]
    NoText(String),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Names that a message lists.
const MAX_LISTED: usize = 40;

fn candidates(known: &[String]) -> String {
    match known {
        [] => ": the app exports no functions".to_owned(),
        known if known.len() > MAX_LISTED => format!("; among what there is: {} …", known[..MAX_LISTED].join(", ")),
        known => format!("; there is: {}", known.join(", ")),
    }
}

impl Export {
    /// Whose it is.
    #[must_use]
    pub fn component(&self) -> ComponentId {
        self.component
    }

    /// The interface that holds it, with its version; `None` where the world does.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// Its name.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.function
    }

    /// Its types.
    #[must_use]
    pub fn ty(&self) -> &ComponentFunc {
        &self.ty
    }

    /// Whether `wanted` means this: the whole name, or one without version, package or interface.
    fn answers_to(&self, wanted: &str) -> bool {
        let (wanted_interface, function) = match wanted.rsplit_once('#') {
            Some((interface, function)) => (Some(interface), function),
            None => (None, wanted),
        };
        if function != self.function {
            return false;
        }
        let Some(wanted) = wanted_interface else { return true };
        let Some(interface) = &self.interface else { return false };
        let bare = interface.split_once('@').map_or(interface.as_str(), |(bare, _)| bare);
        let short = bare.rsplit_once('/').map_or(bare, |(_, short)| short);
        wanted == interface || wanted == bare || wanted == short
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Export({}: {self})", self.component_name)
    }
}

/// Every function that components with cells of their own export.
pub(crate) fn exports(running: &RunningApp<HostCell>) -> Vec<Export> {
    let mut found = Vec::new();
    for component in running.app().components.iter().filter(|component| component.wall == Wall::Cell) {
        let engine = running.instance_pre(component.id).engine();
        let mut add = |interface: Option<&str>, function: &str, ty: ComponentFunc| {
            found.push(Export {
                component: component.id,
                component_name: component.name.clone(),
                interface: interface.map(str::to_owned),
                function: function.to_owned(),
                ty,
            });
        };
        for (name, item) in running.exports(component.id) {
            match item {
                ComponentItem::ComponentFunc(ty) => add(None, &name, ty),
                ComponentItem::ComponentInstance(instance) => {
                    for (function, export) in instance.exports(engine) {
                        if let ComponentItem::ComponentFunc(ty) = export.ty {
                            add(Some(&name), function, ty);
                        }
                    }
                }
                ComponentItem::CoreFunc(_)
                | ComponentItem::Module(_)
                | ComponentItem::Component(_)
                | ComponentItem::Type(_)
                | ComponentItem::Resource(_) => {}
            }
        }
    }
    found
}

/// The one export that a name means.
pub(crate) fn find(exports: Vec<Export>, wanted: &str, component: Option<&str>) -> Result<Export, InvokeError> {
    let named = |export: &Export| format!("{export} of {}", export.component_name);
    let mine = |export: &Export| component.is_none_or(|component| component == export.component_name);
    let (mut found, others): (Vec<_>, Vec<_>) =
        exports.into_iter().filter(mine).partition(|export| export.answers_to(wanted));
    match (found.pop(), found.is_empty()) {
        (Some(export), true) => Ok(export),
        (Some(last), false) => {
            let found = found.iter().chain([&last]).map(named).collect();
            Err(InvokeError::Ambiguous { wanted: wanted.to_owned(), found })
        }
        (None, _) => Err(InvokeError::Unknown { wanted: wanted.to_owned(), known: others.iter().map(named).collect() }),
    }
}

/// Takes `name(arguments)` apart.
pub(crate) fn split_call(call: &str) -> Result<(&str, &str), InvokeError> {
    let call = call.trim();
    match call.find('(') {
        Some(open) if call.ends_with(')') && open > 0 => Ok((call[..open].trim_end(), &call[open..])),
        _ => Err(InvokeError::NotACall(call.to_owned())),
    }
}

/// Reads arguments: `(1, "two")`.
pub(crate) fn read_arguments(export: &Export, arguments: &str) -> Result<Vec<Val>, InvokeError> {
    let failed = |why: String| InvokeError::Arguments { signature: signature(export), why };
    let types: Vec<Type> = export.ty.params().map(|(_, ty)| ty).collect();
    if !types.iter().all(has_text) {
        return Err(InvokeError::NoText(export.to_string()));
    }
    // WAVE has no names with `:` and `#`: any other does.
    let text = format!("f{arguments}");
    let call = UntypedFuncCall::parse(&text).map_err(|error| failed(error.to_string()))?;
    let values: Vec<Val> = call.to_wasm_params(&types).map_err(|error| failed(error.to_string()))?;
    Ok(values)
}

/// Writes a result.
pub(crate) fn write_value(export: &Export, value: &Val) -> Result<String, InvokeError> {
    let no_text = || InvokeError::NoText(export.to_string());
    if !export.ty.results().all(|ty| has_text(&ty)) {
        return Err(no_text());
    }
    wasm_wave::to_string(value).map_err(|_| no_text())
}

/// Calls an export.
pub(crate) async fn call(
    running: &RunningApp<HostCell>,
    export: &Export,
    arguments: Vec<Val>,
) -> Result<Option<Val>, InvokeError> {
    if arguments.len() != export.ty.params().len() {
        let why = format!("{} were given", arguments.len());
        return Err(InvokeError::Arguments { signature: signature(export), why });
    }
    let component = running.instance_pre(export.component).component();
    let place = match &export.interface {
        Some(interface) => component
            .get_export_index(None, interface)
            .and_then(|interface| component.get_export_index(Some(&interface), &export.function)),
        None => component.get_export_index(None, &export.function),
    };
    let unknown = || InvokeError::Unknown { wanted: export.to_string(), known: Vec::new() };
    let place = place.ok_or_else(unknown)?;
    let mut results = vec![Val::Bool(false); export.ty.results().len()];
    let root = running.enter(export.component).await?;
    let mut results = root
        .run(move |store, instance| {
            async move {
                let function = instance
                    .get_func(&mut *store, place)
                    .ok_or_else(|| std::io::Error::other("the export is not a function"))?;
                function.call_async(&mut *store, &arguments, &mut results).await?;
                Ok(results)
            }
            .boxed()
        })
        .await?;
    Ok(results.pop())
}

fn signature(export: &Export) -> String {
    let params: Vec<_> = export.ty.params().map(|(name, ty)| format!("{name}: {}", type_name(&ty))).collect();
    format!("{export}({})", params.join(", "))
}

fn type_name(ty: &Type) -> String {
    if has_text(ty) { wasm_wave::wasm::DisplayType(ty).to_string() } else { "…".to_owned() }
}

/// Whether values of a type can be written as WAVE.
fn has_text(ty: &Type) -> bool {
    let optional = |ty: Option<Type>| ty.is_none_or(|ty| has_text(&ty));
    match ty {
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Float32
        | Type::Float64
        | Type::Char
        | Type::String
        | Type::Enum(_)
        | Type::Flags(_) => true,
        Type::List(list) => has_text(&list.ty()),
        Type::FixedLengthList(list) => has_text(&list.ty()),
        Type::Record(record) => record.fields().all(|field| has_text(&field.ty)),
        Type::Tuple(tuple) => tuple.types().all(|ty| has_text(&ty)),
        Type::Variant(variant) => variant.cases().all(|case| optional(case.ty)),
        Type::Option(option) => has_text(&option.ty()),
        Type::Result(result) => optional(result.ok()) && optional(result.err()),
        Type::Map(_) | Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_name_and_arguments() {
        for (call, expected) in [
            ("f()", Some(("f", "()"))),
            (" a:b/c@1.0.0#f(1, \"(\") ", Some(("a:b/c@1.0.0#f", "(1, \"(\")"))),
            ("f", None),
            ("(1)", None),
            ("f(1", None),
            ("", None),
        ] {
            assert_eq!(split_call(call).ok(), expected, "{call}");
        }
    }
}
