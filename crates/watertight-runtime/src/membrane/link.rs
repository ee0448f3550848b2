#![expect(clippy::wildcard_enum_match_arm, reason = "Wasmtime's types, which grow with the component model")]
//! Putting the membrane in place: for every import that another component meets, functions and resources in the linker.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use wasmtime::{
    Store, StoreContextMut,
    component::{
        Accessor, Component, ComponentExportIndex, Instance, Linker, LinkerInstance, ResourceType, Type, TypedFunc,
        types::{ComponentFunc, ComponentItem},
    },
};
use watertight_model::{
    app::{App, ComponentId, Edge, EdgeShape, Function, FunctionId, OnFailure},
    fault::Stream,
    modules::{describe, edges_by_name, is_modules},
    trace::SpanId,
    value::Value,
};

use super::{
    Callable, EdgeFunction, Frame,
    handles::drop_proxy,
    modules::{self, Modules, Named},
    plan::{MAX_FLAT_PARAMS, Plan},
    raw::{FEW, FewParams, Params, Values},
    template::{Misfit, Template},
    types::FunctionTypes,
};
use crate::{
    airlock::{Airlock, Guard, Seen},
    host::CellData,
    postmortem::Types,
};

/// Why an edge cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The components are not what the checked graph says they are.
    #[error("component `{component}` has no {what} `{name}`: its file has changed since the check")]
    Missing {
        /// Which component.
        component: String,
        /// Import, export or function.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A type that no membrane carries yet.
    #[error(transparent)]
    Uncarried(#[from] Box<Uncarried>),
    /// The value that a caller is to get of a failure cannot be made.
    #[error("`{function}` of `{import}`, which `{importer}` calls: {error}; change `return` in its `on-failure`")]
    Value {
        /// The caller.
        importer: String,
        /// The interface.
        import: String,
        /// The function.
        function: String,
        /// Why not.
        error: String,
    },
    /// What a script is told of the modules that it may call.
    #[error("`{importer}` uses more than a script can be told of: {error}")]
    Described {
        /// The caller.
        importer: String,
        /// Why not.
        error: String,
    },
    /// Wasmtime refused a definition.
    #[error("`{import}` of `{importer}`: {error}")]
    Linker {
        /// The interface.
        import: String,
        /// The caller.
        importer: String,
        /// What it said.
        error: wasmtime::Error,
    },
}

/// A function whose type no membrane carries yet.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{function}` of `{import}`, `{signature}`, cannot cross between `{importer}` and `{exporter}`: {reason}; \
     `wall = \"fused\"` on `{exporter}` carries it inside one store"
)]
pub struct Uncarried {
    /// The function.
    pub function: String,
    /// Its type.
    pub signature: String,
    /// The interface.
    pub import: String,
    /// The caller.
    pub importer: String,
    /// The callee.
    pub exporter: String,
    /// Which part of the type, and why.
    pub reason: String,
}

/// A function that a component exports to an edge.
#[derive(Clone, Debug)]
pub(crate) struct ExportedFunction {
    /// Where its typed form is kept in each cell.
    pub(crate) slot: usize,
    index: ComponentExportIndex,
    /// Core values that its parameters take.
    parameters: usize,
    /// Core values that its results take, at most 1 where the function is not async.
    results: usize,
    /// How its values are laid out, where they may come from another process.
    pub(crate) crossing: Option<Arc<Crossing>>,
}

/// The layout of a function's values.
pub(crate) struct Crossing {
    pub(crate) parameters: Plan,
    pub(crate) results: Plan,
}

impl fmt::Debug for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crossing").finish_non_exhaustive()
    }
}

/// An exported function of one cell, ready to be called.
#[derive(Clone, Copy)]
pub(crate) struct TypedExport(Typed);

/// By how many core values go in, and whether one comes out: the result, or where it is.
#[derive(Clone, Copy)]
enum Typed {
    FewToNone(TypedFunc<FewParams, Values<0>>),
    FewToOne(TypedFunc<FewParams, Values<1>>),
    ManyToNone(TypedFunc<Params, Values<0>>),
    ManyToOne(TypedFunc<Params, Values<1>>),
}

impl ExportedFunction {
    /// A function that is kept in this slot of each cell.
    pub(super) fn new(
        slot: usize,
        index: ComponentExportIndex,
        function: &ComponentFunc,
        crossing: Option<Arc<Crossing>>,
    ) -> Self {
        let results = function.results().map(|ty| flat_count(&ty)).fold(0, usize::saturating_add);
        // An async function returns up to 16 values as they are, any other at most one; more lie in memory, behind one pointer.
        let results = match results {
            0 => 0,
            2..=MAX_FLAT_PARAMS if function.async_() => results,
            _ => 1,
        };
        Self { slot, index, parameters: flat_parameters(function), results, crossing }
    }

    /// Finds the function in a cell.
    pub(crate) fn resolve<T>(&self, store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<TypedExport> {
        let function = instance
            .get_func(&mut *store, self.index)
            .ok_or_else(|| wasmtime::Error::msg("an export that was there at load is gone"))?;
        Ok(TypedExport(match (self.parameters <= FEW, self.results > 0) {
            (true, false) => Typed::FewToNone(function.typed(store)?),
            (true, true) => Typed::FewToOne(function.typed(store)?),
            (false, false) => Typed::ManyToNone(function.typed(store)?),
            (false, true) => Typed::ManyToOne(function.typed(store)?),
        }))
    }
}

impl ExportedFunction {
    /// Calls the function of a cell that may have other calls in flight.
    pub(crate) async fn call_concurrent<T: CellData>(
        &self,
        accessor: &Accessor<T>,
        instance: Instance,
        arguments: Frame,
        span: Option<SpanId>,
    ) -> wasmtime::Result<Frame> {
        let function = accessor
            .with(|access| instance.get_func(access, self.index))
            .ok_or_else(|| wasmtime::Error::msg("an export that was there at load is gone"))?;
        let arguments = Values(arguments);
        macro_rules! by_arity {
            ($($n:literal)*) => {
                match self.results {
                    $($n => {
                        let typed = accessor.with(|access| function.typed::<Params, Values<$n>>(access))?;
                        let Some(span) = span else { return Ok(typed.call_concurrent(accessor, arguments).await?.0) };
                        let call = accessor.with(|mut access| {
                            let call = typed.start_call_concurrent(&mut access, arguments)?;
                            access.data_mut().core_mut().began_task(call.task(), span);
                            wasmtime::error::Ok(call)
                        })?;
                        let task = call.task();
                        let results = typed.finish_call_concurrent(accessor, call).await?.0;
                        accessor.with(|mut access| access.data_mut().core_mut().ended_task(task));
                        results
                    })*
                    _ => return Err(wasmtime::Error::msg("more results than pass flat")),
                }
            };
        }
        Ok(by_arity!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16))
    }
}

impl TypedExport {
    pub(crate) async fn call<T: Send>(self, store: &mut Store<T>, arguments: Frame) -> wasmtime::Result<Frame> {
        Ok(match self.0 {
            Typed::FewToNone(function) => function.call_async(store, Values(arguments)).await?.0,
            Typed::FewToOne(function) => function.call_async(store, Values(arguments)).await?.0,
            Typed::ManyToNone(function) => function.call_async(store, Values(arguments)).await?.0,
            Typed::ManyToOne(function) => function.call_async(store, Values(arguments)).await?.0,
        })
    }
}

/// Numbers for the resources that components define, the same in every linker of an app.
#[derive(Debug, Default)]
pub(crate) struct ResourceIds(HashMap<(u32, String, String), u32>);

static NEXT_RESOURCE: AtomicU32 = AtomicU32::new(0);

/// A resource that nobody else defines.
pub(super) fn new_resource() -> ResourceType {
    ResourceType::host_dynamic(NEXT_RESOURCE.fetch_add(1, Ordering::Relaxed))
}

impl ResourceIds {
    fn proxy(&mut self, edge: &Edge, name: &str) -> ResourceType {
        let key = (edge.exporter.0, edge.export.clone(), name.to_owned());
        let id = *self.0.entry(key).or_insert_with(|| NEXT_RESOURCE.fetch_add(1, Ordering::Relaxed));
        ResourceType::host_dynamic(id)
    }
}

/// Defines every import of `importer` that an edge meets. `components` are those of the app, by id; `exports` collects the functions
/// that each of them is called by, `crossing` their types.
pub(crate) fn link<T: CellData>(
    linker: &mut Linker<T>,
    app: &App,
    importer: &watertight_model::app::Component,
    components: &[Component],
    exports: &mut [Vec<ExportedFunction>],
    ids: &mut ResourceIds,
    crossing: &mut Types,
) -> Result<(), EdgeError> {
    let component = &components[importer.id.0 as usize];
    let engine = component.engine().clone();
    // A type that an earlier import defined is only mentioned again by a later one.
    let mut known = Vec::new();
    for (name, import) in component.component_type().imports(&engine) {
        let edge = app.edges_from(importer.id).find(|edge| edge.import == name);
        let mut placing = edge.map(|edge| {
            let guard = Guard::of(app, edge);
            Placing { app, edge, guard, typed_by: component, components, exports, crossing: &mut *crossing }
        });
        let failed = |error| EdgeError::Linker { import: name.into(), importer: importer.name.clone(), error };
        match (import.ty, &mut placing) {
            (ComponentItem::ComponentInstance(_), None) if is_modules(name) => {
                let modules = by_name(app, importer, components, exports, crossing)?;
                modules::define(&mut linker.instance(name).map_err(failed)?, modules).map_err(failed)?;
            }
            (ComponentItem::ComponentInstance(instance), placing) => {
                let mut place = match placing {
                    Some(_) => Some(linker.instance(name).map_err(failed)?),
                    None => None,
                };
                for (item, export) in instance.exports(&engine) {
                    match export.ty {
                        ComponentItem::Resource(ty) if !known.contains(&ty) => {
                            known.push(ty);
                            if let (Some(place), Some(placing)) = (&mut place, &placing) {
                                define_resource(place, item, ids.proxy(placing.edge, item)).map_err(failed)?;
                            }
                        }
                        ComponentItem::ComponentFunc(ty) => {
                            if let (Some(place), Some(placing)) = (&mut place, placing.as_mut()) {
                                placing.function(place, item, &ty)?;
                            }
                        }
                        _ => {}
                    }
                }
            }
            (ComponentItem::ComponentFunc(ty), Some(placing)) => {
                placing.function(&mut linker.root(), name, &ty)?;
            }
            (ComponentItem::Resource(ty), _) => known.push(ty),
            _ => {}
        }
    }
    Ok(())
}

/// What a component calls by name: its edges that are no imports.
fn by_name(
    app: &App,
    importer: &watertight_model::app::Component,
    components: &[Component],
    exports: &mut [Vec<ExportedFunction>],
    crossing: &mut Types,
) -> Result<Modules, EdgeError> {
    let mut made: HashMap<u32, Arc<HashMap<String, Named>>> = HashMap::new();
    for edge in app.edges_from(importer.id).filter(|edge| edge.by_name) {
        let typed_by = &components[edge.exporter.0 as usize];
        let guard = Guard::of(app, edge);
        let mut placing = Placing { app, edge, guard, typed_by, components, exports, crossing: &mut *crossing };
        let mut functions = HashMap::new();
        for function in &edge.functions {
            let ComponentItem::ComponentFunc(ty) = placing.exported(edge.exporter, &edge.export, &function.name)?
            else {
                return Err(placing.missing(edge.exporter, "function", &function.name));
            };
            let (edge_function, types) = placing.edge_function(&function.name, &ty)?;
            let named = Named {
                function: edge_function,
                name: function.name.clone(),
                types,
                parameters: function.parameters.clone(),
            };
            functions.insert(function.name.clone(), named);
        }
        made.insert(edge.id.0, Arc::new(functions));
    }
    let names = edges_by_name(app, importer.id).into_iter();
    let named = names.filter_map(|(name, edge)| Some((name.to_owned(), Arc::clone(made.get(&edge.id.0)?)))).collect();
    let description = describe(app, importer.id)
        .map_err(|error| EdgeError::Described { importer: importer.name.clone(), error: error.to_string() })?;
    Ok(Modules { description, named, memory: importer.budget.memory.as_usize() })
}

/// One edge being put in place.
struct Placing<'a> {
    app: &'a App,
    edge: &'a Edge,
    guard: Option<Arc<Guard>>,
    /// Whose types the functions are given in: the importer's, or the exporter's where the importer has none.
    typed_by: &'a Component,
    components: &'a [Component],
    exports: &'a mut [Vec<ExportedFunction>],
    crossing: &'a mut Types,
}

impl Placing<'_> {
    fn function<T: CellData>(
        &mut self,
        place: &mut LinkerInstance<'_, T>,
        name: &str,
        ty: &ComponentFunc,
    ) -> Result<(), EdgeError> {
        let edge = self.edge;
        let (function, _) = self.edge_function(name, ty)?;
        let shape =
            Shape { parameters: flat_parameters(ty), returns: ty.results().len() > 0, asynchronous: ty.async_() };
        define(place, name, shape, function).map_err(|error| EdgeError::Linker {
            import: edge.import.clone(),
            importer: self.app.component(edge.importer).name.clone(),
            error,
        })
    }

    /// One function of the edge, and its types.
    fn edge_function(&mut self, name: &str, ty: &ComponentFunc) -> Result<(EdgeFunction, FunctionTypes), EdgeError> {
        let edge = self.edge;
        let types = self.carried(name, ty)?;
        let Some(known) = edge.functions.iter().position(|function| function.name == name) else {
            return Err(self.missing(edge.importer, "function", name));
        };
        let spec = &edge.functions[known];
        let fallback = spec.fallback.as_ref();
        let id = FunctionId(u32::try_from(known).unwrap_or(u32::MAX));
        let function = EdgeFunction {
            edge: edge.id,
            function: id,
            callee: Callable {
                faults: Stream::Edge(edge.id),
                ..self.callable(edge.exporter, &edge.export, spec, &types)?
            },
            airlock: Airlock::new(
                self.guard.clone(),
                spec.retry,
                fallback.map(|other| self.callable(other.component, &other.export, spec, &types)).transpose()?,
            ),
            seen: self.seen(spec, &types)?,
            redact: self.app.redacts(edge),
        };
        self.crossing.insert((edge.id, id), types.clone());
        Ok((function, types))
    }

    /// A function of a component, with its deadline over this edge.
    fn callable(
        &mut self,
        component: ComponentId,
        export: &str,
        function: &Function,
        types: &FunctionTypes,
    ) -> Result<Callable, EdgeError> {
        let crossing = self.crossing(component, &function.name, types)?;
        let budget = self.app.component(component).budget.deadline;
        let deadline = function.deadline.map_or(budget, |own| own.min(budget));
        Ok(Callable {
            component,
            export: self.export(component, export, &function.name, crossing)?,
            deadline,
            faults: Stream::Fallback(component),
        })
    }

    /// How the values of a function are laid out that may be called from another process.
    fn crossing(
        &self,
        callee: ComponentId,
        name: &str,
        types: &FunctionTypes,
    ) -> Result<Option<Arc<Crossing>>, EdgeError> {
        if !self.app.component(callee).is_for_the_node() {
            return Ok(None);
        }
        let component = self.typed_by.component_type();
        let plan = |tuple| {
            let plan = Plan::compile(tuple, &component.instance_type()).map_err(|reason| reason.to_string())?;
            if plan.shape.has_handles() { Err("handles cannot cross to another process".to_owned()) } else { Ok(plan) }
        };
        let refused = |reason| EdgeError::from(Box::new(self.uncarried(name, callee, reason)));
        let (parameters, results) = (plan(types.parameters).map_err(refused)?, plan(types.results).map_err(refused)?);
        Ok(Some(Arc::new(Crossing { parameters, results })))
    }

    /// Finds the function in its component, and gives it a slot in its cells.
    fn export(
        &mut self,
        id: ComponentId,
        export: &str,
        name: &str,
        crossing: Option<Arc<Crossing>>,
    ) -> Result<ExportedFunction, EdgeError> {
        let edge = self.edge;
        let component = &self.components[id.0 as usize];
        let index = match edge.shape {
            EdgeShape::Interface => component
                .get_export_index(None, export)
                .and_then(|interface| component.get_export_index(Some(&interface), name)),
            EdgeShape::Function => component.get_export_index(None, export),
        };
        let index = index.ok_or_else(|| self.missing(id, "export", name))?;
        let ComponentItem::ComponentFunc(function) = self.exported(id, export, name)? else {
            return Err(self.missing(id, "export", name));
        };
        let exports = &mut self.exports[id.0 as usize];
        let function = ExportedFunction::new(exports.len(), index, &function, crossing);
        exports.push(function.clone());
        Ok(function)
    }

    /// The type of what a component exports as one function of the edge.
    fn exported(&self, id: ComponentId, export: &str, name: &str) -> Result<ComponentItem, EdgeError> {
        let component = &self.components[id.0 as usize];
        let (ty, engine) = (component.component_type(), component.engine());
        let item = match self.edge.shape {
            EdgeShape::Interface => ty.get_export(engine, export).and_then(|interface| match interface.ty {
                ComponentItem::ComponentInstance(interface) => {
                    interface.get_export(engine, name).map(|function| function.ty)
                }
                _ => None,
            }),
            EdgeShape::Function => ty.get_export(engine, export).map(|function| function.ty),
        };
        item.ok_or_else(|| self.missing(id, "export", name))
    }

    /// What the caller gets in the end, when a call has failed.
    fn seen(&self, function: &Function, types: &FunctionTypes) -> Result<Seen, EdgeError> {
        let (seen, value): (fn(Template) -> Seen, _) = match &function.on_failure {
            OnFailure::Trap => return Ok(Seen::Trap),
            OnFailure::Exception => return Ok(Seen::Exception),
            OnFailure::ErrorText => (Seen::Error, Some(Value::error(Some(Value::Message)))),
            OnFailure::ErrorEmpty => (Seen::Error, Some(Value::error(None))),
            OnFailure::Return(returned) => (Seen::Value, returned.value.clone()),
        };
        let misfit = |error: Misfit| EdgeError::Value {
            importer: self.app.component(self.edge.importer).name.clone(),
            import: self.edge.import.clone(),
            function: function.name.clone(),
            error: error.to_string(),
        };
        Template::new(value.as_ref(), types).map(seen).map_err(misfit)
    }

    /// Refuses what no membrane carries yet.
    fn carried(&self, name: &str, ty: &ComponentFunc) -> Result<FunctionTypes, EdgeError> {
        FunctionTypes::of(ty, &self.typed_by.component_type().instance_type())
            .map_err(|reason| Box::new(self.uncarried(name, self.edge.exporter, format!("{reason:#}"))).into())
    }

    fn uncarried(&self, name: &str, callee: ComponentId, reason: String) -> Uncarried {
        Uncarried {
            function: name.into(),
            signature: signature(self.edge, name),
            import: self.edge.import.clone(),
            importer: self.app.component(self.edge.importer).name.clone(),
            exporter: self.app.component(callee).name.clone(),
            reason,
        }
    }

    fn missing(&self, component: watertight_model::app::ComponentId, what: &'static str, name: &str) -> EdgeError {
        EdgeError::Missing { component: self.app.component(component).name.clone(), what, name: name.into() }
    }
}

fn signature(edge: &Edge, name: &str) -> String {
    let known = edge.functions.iter().find(|function| function.name == name);
    known.map_or_else(String::new, |function| function.signature.clone())
}

pub(super) fn define_resource<T: CellData>(
    place: &mut LinkerInstance<'_, T>,
    name: &str,
    ty: ResourceType,
) -> wasmtime::Result<()> {
    place.resource_async(name, ty, |holder: StoreContextMut<'_, T>, rep| Box::new(drop_proxy(holder, rep)))
}

/// What Wasmtime wants to know of a function as types.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Core values that the parameters take.
    pub(super) parameters: usize,
    pub(super) returns: bool,
    pub(super) asynchronous: bool,
}

/// Calls what defines a function in a linker with the numbers of core values that its parameters and results take.
macro_rules! by_arity {
    ($define:ident($place:expr, $name:expr, $shape:expr, $function:expr)) => {
        by_arity!($define($place, $name, $shape, $function) 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    ($define:ident($place:expr, $name:expr, $shape:expr, $function:expr) $($n:literal)*) => {
        match ($shape.parameters, $shape.returns) {
            $(($n, false) => $define::<T, $n, 0>($place, $name, $shape.asynchronous, $function),
              ($n, true) => $define::<T, $n, 1>($place, $name, $shape.asynchronous, $function),)*
            // More than flat parameters go through memory.
            (_, false) => $define::<T, 0, 0>($place, $name, $shape.asynchronous, $function),
            (_, true) => $define::<T, 0, 1>($place, $name, $shape.asynchronous, $function),
        }
    };
}
pub(super) use by_arity;

fn define<T: CellData>(
    place: &mut LinkerInstance<'_, T>,
    name: &str,
    shape: Shape,
    function: EdgeFunction,
) -> wasmtime::Result<()> {
    let function = Arc::new(function);
    by_arity!(define_as(place, name, shape, function))
}

fn define_as<T: CellData, const PARAMETERS: usize, const RESULTS: usize>(
    place: &mut LinkerInstance<'_, T>,
    name: &str,
    asynchronous: bool,
    function: Arc<EdgeFunction>,
) -> wasmtime::Result<()> {
    if asynchronous {
        place.func_wrap_concurrent(name, move |caller: &Accessor<T>, arguments: Values<PARAMETERS>| {
            let function = Arc::clone(&function);
            Box::pin(async move { function.call(caller, arguments.0).await.map(Values::<RESULTS>) })
        })
    } else {
        place.func_wrap_async(name, move |caller: StoreContextMut<'_, T>, arguments: Values<PARAMETERS>| {
            let function = Arc::clone(&function);
            Box::new(async move { function.call(caller, arguments.0).await.map(Values::<RESULTS>) })
        })
    }
}

/// How many core values the parameters of a function take.
pub(super) fn flat_parameters(function: &ComponentFunc) -> usize {
    function.params().map(|(_, ty)| flat_count(&ty)).fold(0, usize::saturating_add)
}

/// How many core values a type flattens to; more than [`MAX_FLAT_PARAMS`] are all the same.
fn flat_count(ty: &Type) -> usize {
    let sum = |types: &mut dyn Iterator<Item = Type>| {
        types.map(|ty| flat_count(&ty)).fold(0, usize::saturating_add).min(MAX_FLAT_PARAMS + 1)
    };
    let widest = |types: &mut dyn Iterator<Item = Option<Type>>| {
        types.flatten().map(|ty| flat_count(&ty)).max().unwrap_or(0).saturating_add(1)
    };
    match ty {
        Type::String | Type::List(_) | Type::Map(_) => 2,
        Type::Record(record) => sum(&mut record.fields().map(|field| field.ty)),
        Type::Tuple(tuple) => sum(&mut tuple.types()),
        Type::Variant(variant) => widest(&mut variant.cases().map(|case| case.ty)),
        Type::Option(option) => widest(&mut [Some(option.ty())].into_iter()),
        Type::Result(result) => widest(&mut [result.ok(), result.err()].into_iter()),
        Type::Flags(flags) => match flags.names().len() {
            0 => 0,
            names => names.div_ceil(32),
        },
        Type::FixedLengthList(list) => {
            usize::try_from(list.len()).unwrap_or(usize::MAX).saturating_mul(flat_count(&list.ty()))
        }
        _ => 1,
    }
}
