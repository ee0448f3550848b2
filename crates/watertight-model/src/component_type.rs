//! What a component imports and exports, read from its bytes.
//!
//! The types come from wasmparser's validator, which is fuzzed and takes any bytes; nothing here runs or compiles anything, and
//! function bodies are left to the engine, which validates them anyway when it compiles. Types are expanded into trees of our own,
//! so that those of two components can be compared; handles name their resource by where the component got it from.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of wasmparser are foreign, and grow with the formats it reads"
)]

use std::{collections::HashMap, sync::Arc};

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentExternalKind, Encoding, Parser, Payload, PrimitiveValType,
    ValidPayload, Validator, WasmFeatures,
    component_types::{
        ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType, ComponentFuncTypeId,
        ComponentValType, ResourceId,
    },
    types::Types,
};

use crate::app::SourceKind;

/// The type of one component.
#[derive(Clone, Debug)]
pub(crate) struct ComponentType {
    pub(crate) kind: SourceKind,
    pub(crate) imports: Vec<Extern>,
    pub(crate) exports: Vec<Extern>,
    /// Where each resource it handles comes from; handles in types are indices into this.
    pub(crate) resources: Vec<ResourceOrigin>,
    /// Whether it uses component-model async in its types or its canonical functions.
    pub(crate) asynchronous: bool,
}

/// One import or export.
#[derive(Clone, Debug)]
pub(crate) struct Extern {
    pub(crate) name: String,
    pub(crate) item: Item,
    /// Whether it is no import of the component itself, which calls it by name.
    pub(crate) by_name: bool,
}

/// What an import or export is.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// An instance of an interface.
    Interface(Interface),
    /// A function.
    Function(FunctionType),
    /// A type that is not a resource: a name, nothing that anybody has to give.
    TypeName,
    /// Something no edge can carry, by its noun.
    Unsupported(&'static str),
}

/// The type of an instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interface {
    pub(crate) functions: Vec<(String, FunctionType)>,
    /// Its resources, by their names.
    pub(crate) resources: Vec<(String, ResourceIndex)>,
    /// The first of its exports that no edge can carry: name and noun.
    pub(crate) unsupported: Option<(String, &'static str)>,
}

impl Interface {
    /// Whether anything crosses it: an interface of mere type names needs nobody to meet it.
    pub(crate) fn is_empty(&self) -> bool {
        self.functions.is_empty() && self.resources.is_empty() && self.unsupported.is_none()
    }
}

/// The type of a function.
#[derive(Clone, Debug)]
pub(crate) struct FunctionType {
    pub(crate) asynchronous: bool,
    pub(crate) params: Vec<(String, Ty)>,
    pub(crate) result: Option<Ty>,
}

/// A resource of one component, as an index into [`ComponentType::resources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResourceIndex(pub(crate) usize);

/// Where a component got a resource type from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResourceOrigin {
    /// Whether it is imported; else the component defines it.
    pub(crate) imported: bool,
    /// The interface that holds it, as the component names it; empty for one held by none.
    pub(crate) interface: String,
    /// Its name there.
    pub(crate) name: String,
}

/// A type, expanded; shared where the component shares it.
pub(crate) type Ty = Arc<TyNode>;

/// A type and the name it goes by.
#[derive(Clone, Debug)]
pub(crate) struct TyNode {
    pub(crate) name: Option<String>,
    pub(crate) shape: Shape,
}

/// What a type is.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Primitive(&'static str),
    Record(Vec<(String, Ty)>),
    Variant(Vec<(String, Option<Ty>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    Tuple(Vec<Ty>),
    List(Ty),
    FixedList(Ty, u32),
    Map(Ty, Ty),
    Option(Ty),
    Result(Option<Ty>, Option<Ty>),
    Own(ResourceIndex),
    Borrow(ResourceIndex),
    Stream(Option<Ty>),
    Future(Option<Ty>),
}

/// Why bytes are no component: what the file is, and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotAComponent {
    pub(crate) what: String,
    pub(crate) next_step: &'static str,
}

/// Reads the type of a component, or of a command module of WASI preview 1.
pub(crate) fn read(bytes: &[u8]) -> Result<ComponentType, NotAComponent> {
    let refuse = |what: &str, next_step| Err(NotAComponent { what: what.to_owned(), next_step });
    if bytes.is_empty() {
        return refuse("is empty", "build the component again");
    }
    if !bytes.starts_with(b"\0asm") {
        return match std::str::from_utf8(bytes).map(str::trim_start) {
            Ok(text) if text.starts_with(['(', ';']) => refuse(
                "is WebAssembly text (`.wat`), not a binary",
                "turn it into one: wasm-tools parse FILE.wat -o FILE.wasm",
            ),
            Ok(text)
                if text.starts_with("package ") || text.starts_with("interface ") || text.starts_with("world ") =>
            {
                refuse("is WIT, which describes a component but is none", "name the component's `.wasm` file")
            }
            _ if b"\0asm".starts_with(bytes) => refuse("is cut off", "build or copy it again"),
            _ => refuse("is not WebAssembly: it does not begin with `\\0asm`", "name the component's `.wasm` file"),
        };
    }
    match bytes.get(4..8) {
        Some([_, _, 0, 0]) => core_module(bytes),
        Some(_) => component(bytes),
        None => refuse("is cut off", "build or copy it again"),
    }
}

fn invalid(error: &wasmparser::BinaryReaderError, bytes: &[u8]) -> NotAComponent {
    let cut_off = error.message().contains("unexpected end") && error.offset() >= bytes.len().saturating_sub(1);
    if cut_off || error.message().starts_with("unexpected end-of-file") {
        return NotAComponent {
            what: format!("is cut off after {} bytes", bytes.len()),
            next_step: "build or copy it again",
        };
    }
    NotAComponent {
        what: format!("is not valid WebAssembly: {} (at byte {})", error.message(), error.offset()),
        next_step: "build or copy it again; `wasm-tools validate --features all FILE` says the same",
    }
}

/// A core module is taken only if the preview 1 adapter can make a command of it.
fn core_module(bytes: &[u8]) -> Result<ComponentType, NotAComponent> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut is_command = false;
    let mut foreign = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| invalid(&error, bytes))?;
        validator.payload(&payload).map_err(|error| invalid(&error, bytes))?;
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(|error| invalid(&error, bytes))?;
                    if import.module != "wasi_snapshot_preview1" {
                        foreign.get_or_insert_with(|| import.module.to_owned());
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    is_command |= export.map_err(|error| invalid(&error, bytes))?.name == "_start";
                }
            }
            _ => {}
        }
    }
    let next_step =
        "make a component of it: wasm-tools component new FILE.wasm -o COMPONENT.wasm, or build for wasm32-wasip2";
    match (is_command, foreign) {
        (true, None) => Ok(ComponentType {
            kind: SourceKind::CommandModule,
            imports: Vec::new(),
            exports: Vec::new(),
            resources: Vec::new(),
            asynchronous: false,
        }),
        (true, Some(module)) => Err(NotAComponent {
            what: format!("is a core module that imports `{module}`, and not a component"),
            next_step,
        }),
        (false, _) => Err(NotAComponent { what: "is a core module, not a component".to_owned(), next_step }),
    }
}

fn component(bytes: &[u8]) -> Result<ComponentType, NotAComponent> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut depth = 0_u32;
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut asynchronous = false;
    let mut types = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| invalid(&error, bytes))?;
        if let Payload::Version { encoding: Encoding::Component, num, .. } = &payload
            && *num != 0x0d
        {
            return Err(NotAComponent {
                what: format!("is a component of an unknown version ({num})"),
                next_step: "build it with current tools",
            });
        }
        match validator.payload(&payload).map_err(|error| invalid(&error, bytes))? {
            ValidPayload::End(ended) if depth == 1 => types = Some(ended),
            ValidPayload::Ok | ValidPayload::Parser(_) | ValidPayload::Func(_, _) | ValidPayload::End(_) => {}
        }
        match payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(|error| invalid(&error, bytes))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(|error| invalid(&error, bytes))?;
                    if export.kind != ComponentExternalKind::Type {
                        exports.push(export.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    asynchronous |= is_async(&function.map_err(|error| invalid(&error, bytes))?);
                }
            }
            _ => {}
        }
    }
    let Some(types) = types else {
        return Err(NotAComponent { what: "is cut off".to_owned(), next_step: "build or copy it again" });
    };
    let mut expander = Expander::new(&types);
    let imports = imports.into_iter().filter_map(|name| expander.import(name)).collect();
    let exports = exports.into_iter().filter_map(|name| expander.export(name)).collect();
    let asynchronous = asynchronous || expander.asynchronous;
    let resources = expander.origins;
    Ok(ComponentType { kind: SourceKind::Component, imports, exports, resources, asynchronous })
}

/// Whether a canonical function exists only with component-model async.
fn is_async(function: &CanonicalFunction) -> bool {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options.contains(&CanonicalOption::Async)
        }
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => false,
        _ => true,
    }
}

/// Turns the validator's types into trees.
struct Expander<'a> {
    types: &'a Types,
    known: HashMap<ComponentDefinedTypeId, Ty>,
    names: HashMap<ComponentDefinedTypeId, String>,
    resources: HashMap<ResourceId, ResourceIndex>,
    origins: Vec<ResourceOrigin>,
    asynchronous: bool,
}

impl<'a> Expander<'a> {
    fn new(types: &'a Types) -> Self {
        Self {
            types,
            known: HashMap::new(),
            names: HashMap::new(),
            resources: HashMap::new(),
            origins: Vec::new(),
            asynchronous: false,
        }
    }

    fn import(&mut self, name: String) -> Option<Extern> {
        let entity = self.types.component_item_for_import(&name)?.ty;
        let item = self.item(true, &name, entity);
        Some(Extern { name, item, by_name: false })
    }

    fn export(&mut self, name: String) -> Option<Extern> {
        let entity = self.types.component_item_for_export(&name)?.ty;
        let item = self.item(false, &name, entity);
        Some(Extern { name, item, by_name: false })
    }

    fn item(&mut self, imported: bool, name: &str, entity: ComponentEntityType) -> Item {
        match entity {
            ComponentEntityType::Func(id) => Item::Function(self.function(id)),
            ComponentEntityType::Instance(id) => {
                let exports = &self.types[id].exports;
                // Types first: functions may come before the type that names a part of them.
                let mut interface = Interface::default();
                for (item_name, item) in exports {
                    match item.ty {
                        ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(id), .. } => {
                            let origin =
                                ResourceOrigin { imported, interface: name.to_owned(), name: item_name.clone() };
                            interface.resources.push((item_name.clone(), self.resource(id.resource(), || origin)));
                        }
                        ComponentEntityType::Type { created: ComponentAnyTypeId::Defined(id), .. } => {
                            self.names.insert(id, item_name.clone());
                        }
                        _ => {}
                    }
                }
                for (item_name, item) in exports {
                    if let ComponentEntityType::Func(id) = item.ty {
                        interface.functions.push((item_name.clone(), self.function(id)));
                    } else if let Some(noun) = unsupported(&item.ty) {
                        interface.unsupported.get_or_insert_with(|| (item_name.clone(), noun));
                    }
                }
                Item::Interface(interface)
            }
            ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(id), .. } => {
                let origin = ResourceOrigin { imported, interface: String::new(), name: name.to_owned() };
                self.resource(id.resource(), || origin);
                Item::Unsupported("a resource outside any interface")
            }
            ComponentEntityType::Type { created: ComponentAnyTypeId::Defined(id), .. } => {
                self.names.insert(id, name.to_owned());
                Item::TypeName
            }
            ComponentEntityType::Type { .. } => Item::TypeName,
            other => Item::Unsupported(unsupported(&other).unwrap_or("an item")),
        }
    }

    fn resource(&mut self, id: ResourceId, origin: impl FnOnce() -> ResourceOrigin) -> ResourceIndex {
        let next = ResourceIndex(self.origins.len());
        *self.resources.entry(id).or_insert_with(|| {
            self.origins.push(origin());
            next
        })
    }

    fn function(&mut self, id: ComponentFuncTypeId) -> FunctionType {
        let function = &self.types[id];
        self.asynchronous |= function.async_;
        FunctionType {
            asynchronous: function.async_,
            params: function.params.iter().map(|(name, ty)| (name.as_str().to_owned(), self.ty(ty))).collect(),
            result: function.result.as_ref().map(|ty| self.ty(ty)),
        }
    }

    fn ty(&mut self, ty: &ComponentValType) -> Ty {
        match ty {
            ComponentValType::Primitive(primitive) => {
                let shape = self.primitive(*primitive);
                Arc::new(TyNode { name: None, shape })
            }
            ComponentValType::Type(id) => {
                if let Some(known) = self.known.get(id) {
                    return Arc::clone(known);
                }
                let shape = self.shape(*id);
                let ty = Arc::new(TyNode { name: self.names.get(id).cloned(), shape });
                self.known.insert(*id, Arc::clone(&ty));
                ty
            }
        }
    }

    /// The recursion is as deep as the type, which the validator bounds (100).
    fn shape(&mut self, id: ComponentDefinedTypeId) -> Shape {
        let types = self.types;
        match &types[id] {
            ComponentDefinedType::Primitive(primitive) => self.primitive(*primitive),
            ComponentDefinedType::Record(record) => {
                Shape::Record(record.fields.iter().map(|(name, ty)| (name.as_str().to_owned(), self.ty(ty))).collect())
            }
            ComponentDefinedType::Variant(variant) => Shape::Variant(
                variant
                    .cases
                    .iter()
                    .map(|(name, case)| (name.as_str().to_owned(), self.optional(case.ty.as_ref())))
                    .collect(),
            ),
            ComponentDefinedType::Enum(cases) => {
                Shape::Enum(cases.iter().map(|case| case.as_str().to_owned()).collect())
            }
            ComponentDefinedType::Flags(flags) => {
                Shape::Flags(flags.iter().map(|flag| flag.as_str().to_owned()).collect())
            }
            ComponentDefinedType::Tuple(tuple) => Shape::Tuple(tuple.types.iter().map(|ty| self.ty(ty)).collect()),
            ComponentDefinedType::List { element, .. } => Shape::List(self.ty(element)),
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                Shape::FixedList(self.ty(element), *length)
            }
            ComponentDefinedType::Map { key, value, .. } => Shape::Map(self.ty(key), self.ty(value)),
            ComponentDefinedType::Option { ty, .. } => Shape::Option(self.ty(ty)),
            ComponentDefinedType::Result { ok, err, .. } => {
                Shape::Result(self.optional(ok.as_ref()), self.optional(err.as_ref()))
            }
            ComponentDefinedType::Own(id) => Shape::Own(self.inner_resource(id.resource())),
            ComponentDefinedType::Borrow(id) => Shape::Borrow(self.inner_resource(id.resource())),
            ComponentDefinedType::Stream { ty, .. } => {
                self.asynchronous = true;
                Shape::Stream(self.optional(ty.as_ref()))
            }
            ComponentDefinedType::Future { ty, .. } => {
                self.asynchronous = true;
                Shape::Future(self.optional(ty.as_ref()))
            }
        }
    }

    fn optional(&mut self, ty: Option<&ComponentValType>) -> Option<Ty> {
        ty.map(|ty| self.ty(ty))
    }

    /// A resource in a handle; one that no interface names is the component's own and nobody else's.
    fn inner_resource(&mut self, id: ResourceId) -> ResourceIndex {
        self.resource(id, || ResourceOrigin { imported: false, interface: String::new(), name: "resource".to_owned() })
    }

    fn primitive(&mut self, primitive: PrimitiveValType) -> Shape {
        Shape::Primitive(match primitive {
            PrimitiveValType::Bool => "bool",
            PrimitiveValType::S8 => "s8",
            PrimitiveValType::U8 => "u8",
            PrimitiveValType::S16 => "s16",
            PrimitiveValType::U16 => "u16",
            PrimitiveValType::S32 => "s32",
            PrimitiveValType::U32 => "u32",
            PrimitiveValType::S64 => "s64",
            PrimitiveValType::U64 => "u64",
            PrimitiveValType::F32 => "f32",
            PrimitiveValType::F64 => "f64",
            PrimitiveValType::Char => "char",
            PrimitiveValType::String => "string",
            PrimitiveValType::ErrorContext => {
                self.asynchronous = true;
                "error-context"
            }
        })
    }
}

/// What no edge can carry.
fn unsupported(entity: &ComponentEntityType) -> Option<&'static str> {
    match entity {
        ComponentEntityType::Module(_) => Some("a core module"),
        ComponentEntityType::Component(_) => Some("a component"),
        ComponentEntityType::Instance(_) => Some("an instance within an instance"),
        ComponentEntityType::Value(_) => Some("a value"),
        ComponentEntityType::Func(_) | ComponentEntityType::Type { .. } => None,
    }
}
