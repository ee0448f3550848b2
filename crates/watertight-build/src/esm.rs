//! A module for browsers and Node.js that calls what an app's routes let everybody call, with its types.
//!
//! Types are those of the components as they are built; what their WIT says of them is taken from its source, where that is known. The
//! module needs nothing but `fetch`. It is written beside other files of its folder, and only over what this wrote before.

mod names;
mod types;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use watertight_model::app::{App, ComponentId, EdgeShape, HttpTrigger, PublicInterface, Sources};
use wit_component::DecodedWasm;
use wit_parser::{
    Docs, Function, InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldId, WorldItem, WorldKey,
};

use self::names::shortest;
pub(crate) use self::{
    names::{camel, parameter, pascal},
    types::{Dialect, Types, comment},
};
use crate::wit;

/// The files of a module, and what is in them.
pub type Module = BTreeMap<&'static str, String>;

/// How a module begins: what does not is not overwritten.
const MARK: &str = "// Made by `watertight bindings --esm`: what is changed here is lost.\n";

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum EsmError {
    /// No route calls a function.
    #[error("no route of `{app}` calls functions, and a module would have nothing to call")]
    Nothing {
        /// The app.
        app: String,
        /// What could be called: a component, and one of its exports.
        could: Option<(String, String)>,
    },
    /// A component that cannot be read.
    #[error("`{component}` cannot be read: {why}")]
    Unreadable {
        /// Which one.
        component: String,
        /// Why not.
        why: String,
    },
    /// Somebody else's file is in the way.
    #[error("{} is not one that this command wrote", .0.display())]
    InTheWay(PathBuf),
    /// It cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Makes the module of an app. `wit` has the folders in which the WIT of components is, each with the name of its world.
///
/// # Errors
/// When there is nothing to call, or a component cannot be read.
pub fn esm(
    app: &App,
    sources: &Sources,
    wit: &BTreeMap<ComponentId, (PathBuf, Option<String>)>,
) -> Result<Module, EsmError> {
    let mut components: BTreeMap<ComponentId, Component> = BTreeMap::new();
    for trigger in app.http.iter().filter(|trigger| !trigger.functions().is_empty()) {
        if let Entry::Vacant(new) = components.entry(trigger.component) {
            new.insert(component(app, trigger.component, sources, wit.get(&trigger.component))?);
        }
    }
    if components.is_empty() {
        return Err(EsmError::Nothing { app: app.name.clone(), could: could(app, sources) });
    }
    let mut writer = Writer::new(app, &components);
    writer.write();
    let package = format!(
        "{{\n  \"name\": \"{}\",\n  \"version\": \"{}\",\n  \"type\": \"module\",\n  \"exports\": {{\n    \".\": {{ \"types\": \
         \"./index.d.ts\", \"default\": \"./index.js\" }}\n  }},\n  \"types\": \"./index.d.ts\"\n}}\n",
        app.name, app.version
    );
    Ok(Module::from([
        ("index.js", format!("{MARK}{}{}", include_str!("esm/client.js"), writer.js)),
        ("index.d.ts", format!("{MARK}{}{}", include_str!("esm/client.d.ts"), writer.ts)),
        ("package.json", package),
    ]))
}

/// Puts a module into a folder.
///
/// # Errors
/// When it cannot be written, or something else is there under its names.
pub fn write_module(module: &Module, folder: &Path) -> Result<(), EsmError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| EsmError::Write { path, error }
    };
    let index = folder.join("index.js");
    let ours = fs::read_to_string(&index).map(|text| text.starts_with(MARK)).unwrap_or(false);
    if let Some(other) = module.keys().map(|name| folder.join(name)).find(|path| !ours && path.exists()) {
        return Err(EsmError::InTheWay(other));
    }
    fs::create_dir_all(folder).map_err(failed(folder))?;
    for (name, text) in module {
        let path = folder.join(name);
        fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}

/// A component, as far as its types go.
pub(crate) struct Component {
    pub(crate) resolve: Resolve,
    pub(crate) world: WorldId,
}

pub(crate) fn component(
    app: &App,
    id: ComponentId,
    sources: &Sources,
    wit: Option<&(PathBuf, Option<String>)>,
) -> Result<Component, EsmError> {
    let name = app.component(id).name.clone();
    let unreadable = |why: String| EsmError::Unreadable { component: name.clone(), why };
    let bytes = sources.get(&id).ok_or_else(|| unreadable("its bytes are not there".to_owned()))?;
    match wit_component::decode(bytes).map_err(|error| unreadable(format!("{error:#}")))? {
        DecodedWasm::Component(mut resolve, world) => {
            // A component is complete without it: what cannot be read there is left out.
            if let Some(Ok(source)) = wit.map(|(folder, world)| wit::read(folder, world.as_deref())) {
                annotate(&mut resolve, world, &source);
            }
            Ok(Component { resolve, world })
        }
        DecodedWasm::WitPackage(..) => Err(unreadable("it is WIT".to_owned())),
    }
}

/// Takes over what the source says of interfaces, functions and types, which is not in a built component.
fn annotate(resolve: &mut Resolve, world: WorldId, source: &wit::World) {
    let known =
        source.resolve.interfaces.iter().filter_map(|(id, interface)| Some((source.resolve.id_of(id)?, interface)));
    let known: BTreeMap<String, &wit_parser::Interface> = known.collect();
    let names: Vec<_> = resolve.interfaces.iter().filter_map(|(id, _)| Some((id, resolve.id_of(id)?))).collect();
    for (id, theirs) in names.iter().filter_map(|(id, name)| Some((*id, *known.get(name)?))) {
        let interface = &mut resolve.interfaces[id];
        interface.docs = theirs.docs.clone();
        for (name, function) in &mut interface.functions {
            said(&mut function.docs, theirs.functions.get(name).map(|function| &function.docs));
        }
        let types: Vec<_> = interface.types.iter().map(|(name, id)| (name.clone(), *id)).collect();
        for (name, id) in types {
            if let Some(other) = theirs.types.get(&name) {
                annotate_type(&mut resolve.types[id], &source.resolve.types[*other]);
            }
        }
    }
    let theirs = &source.resolve.worlds[source.world];
    for (key, item) in &mut resolve.worlds[world].exports {
        if let (WorldKey::Name(name), WorldItem::Function(function)) = (key, item)
            && let Some(WorldItem::Function(other)) = theirs.exports.get(&WorldKey::Name(name.clone()))
        {
            function.docs = other.docs.clone();
        }
    }
}

fn annotate_type(ours: &mut wit_parser::TypeDef, theirs: &wit_parser::TypeDef) {
    ours.docs = theirs.docs.clone();
    match (&mut ours.kind, &theirs.kind) {
        (TypeDefKind::Record(ours), TypeDefKind::Record(theirs)) => {
            for field in &mut ours.fields {
                let same = theirs.fields.iter().find(|other| other.name == field.name);
                said(&mut field.docs, same.map(|other| &other.docs));
            }
        }
        (TypeDefKind::Variant(ours), TypeDefKind::Variant(theirs)) => {
            for case in &mut ours.cases {
                let same = theirs.cases.iter().find(|other| other.name == case.name);
                said(&mut case.docs, same.map(|other| &other.docs));
            }
        }
        _ => {}
    }
}

fn said(ours: &mut Docs, theirs: Option<&Docs>) {
    if let Some(theirs) = theirs {
        *ours = theirs.clone();
    }
}

/// Something that everybody could be let call.
fn could(app: &App, sources: &Sources) -> Option<(String, String)> {
    // A script's component is the runtime that runs it.
    app.components.iter().filter(|component| component.script.is_none()).find_map(|component| {
        let DecodedWasm::Component(resolve, world) = wit_component::decode(sources.get(&component.id)?).ok()? else {
            return None;
        };
        let mut names =
            resolve.worlds[world].exports.iter().filter(|(_, item)| !matches!(item, WorldItem::Type { .. }));
        let name =
            names.find_map(|(key, _)| Some(resolve.name_world_key(key)).filter(|name| !name.starts_with("wasi:")));
        Some((component.name.clone(), name?))
    })
}

/// What the client has as one of its properties, or directly.
struct Group<'a> {
    trigger: &'a HttpTrigger,
    public: &'a PublicInterface,
    component: &'a Component,
    /// None for a function of the world.
    interface: Option<InterfaceId>,
}

/// The owner of types, in one component.
type Owner = (ComponentId, TypeOwner);

struct Writer<'a> {
    app: &'a App,
    components: &'a BTreeMap<ComponentId, Component>,
    groups: Vec<Group<'a>>,
    /// The name of each group, and of the owners of types.
    names: Vec<String>,
    spaces: Vec<(Owner, String)>,
    js: String,
    ts: String,
}

impl<'a> Writer<'a> {
    fn new(app: &'a App, components: &'a BTreeMap<ComponentId, Component>) -> Self {
        let groups: Vec<Group<'a>> = app
            .http
            .iter()
            .flat_map(|trigger| {
                trigger.functions().iter().filter_map(|public| {
                    let component = components.get(&trigger.component)?;
                    let exports = &component.resolve.worlds[component.world].exports;
                    let (_, item) =
                        exports.iter().find(|(key, _)| component.resolve.name_world_key(key) == public.export)?;
                    let interface = match item {
                        WorldItem::Interface { id, .. } => Some(*id),
                        WorldItem::Function(_) | WorldItem::Type { .. } => None,
                    };
                    Some(Group { trigger, public, component, interface })
                })
            })
            .collect();
        let mut writer = Self {
            app,
            components,
            groups,
            names: Vec::new(),
            spaces: Vec::new(),
            js: String::new(),
            ts: String::new(),
        };
        writer.name();
        writer
    }

    /// Names the groups, and the other interfaces that have types of theirs.
    fn name(&mut self) {
        let mut owners: Vec<Owner> = Vec::new();
        for group in &self.groups {
            if let Some(id) = group.interface {
                owners.push((group.trigger.component, TypeOwner::Interface(id)));
            }
        }
        let groups = owners.len();
        for (component, id) in self.needed() {
            let owner = (component, self.components[&component].resolve.types[id].owner);
            if matches!(owner.1, TypeOwner::Interface(_)) && !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        let candidates: Vec<_> = owners.iter().map(|owner| self.candidates(*owner)).collect();
        let names = shortest(&candidates);
        let mut of_groups = names[..groups].iter();
        self.names = self
            .groups
            .iter()
            .map(|group| match group.interface {
                Some(_) => of_groups.next().cloned().unwrap_or_default(),
                None => camel(&group.public.export),
            })
            .collect();
        for (owner, name) in owners.into_iter().zip(names) {
            if !self.spaces.iter().any(|(other, _)| *other == owner) {
                self.spaces.push((owner, pascal(&kebab(&name))));
            }
        }
    }

    /// What an interface could be called, from short to long.
    fn candidates(&self, (component, owner): Owner) -> Vec<String> {
        let TypeOwner::Interface(id) = owner else { return Vec::new() };
        let resolve = &self.components[&component].resolve;
        let interface = resolve.interfaces[id].name.clone().unwrap_or_default();
        let package = resolve.interfaces[id].package.map(|id| &resolve.packages[id].name);
        let (namespace, package) = package.map_or(("", ""), |name| (&*name.namespace, &*name.name));
        let of = &self.app.component(component).name;
        [
            interface.clone(),
            format!("{package}-{interface}"),
            format!("{namespace}-{package}-{interface}"),
            format!("{of}-{namespace}-{package}-{interface}"),
        ]
        .map(|name| camel(&name))
        .to_vec()
    }

    /// Every named type that a function mentions, with what it needs before it.
    fn needed(&self) -> Vec<(ComponentId, TypeId)> {
        let mut all = Vec::new();
        for (id, component) in self.components {
            let mut found = Vec::new();
            let types = Types { resolve: &component.resolve, spaces: &|_| String::new(), dialect: Dialect::Script };
            for group in self.groups.iter().filter(|group| group.trigger.component == *id) {
                for function in group.functions() {
                    let mentioned = function.params.iter().map(|param| &param.ty).chain(&function.result);
                    mentioned.for_each(|ty| types.needed(ty, &mut found));
                }
            }
            all.extend(found.into_iter().map(|ty| (*id, ty)));
        }
        all
    }

    fn write(&mut self) {
        let needed = self.needed();
        let (mut js, mut ts) = (String::new(), String::new());
        for (component, id) in &needed {
            let (space, resolve) = (self.space(*component), &self.components[component].resolve);
            let types = Types { resolve, spaces: &space, dialect: Dialect::Script };
            if let (Some(name), Some(codec)) = (types.constant(*id), types.written(&resolve.types[*id])) {
                let _ = writeln!(js, "const {name} = {codec};");
            }
        }
        for (index, group) in self.groups.iter().enumerate() {
            let Some(id) = group.interface else { continue };
            let name = pascal(&kebab(&self.names[index]));
            ts.push('\n');
            comment(&group.component.resolve.interfaces[id].docs, &[], "", &mut ts);
            let _ = writeln!(ts, "export interface {name} {{");
            for function in group.functions() {
                self.signature(group, function, &mut ts);
            }
            ts.push_str("}\n");
        }
        for (owner, name) in self.spaces.iter().map(|(owner, name)| (*owner, Some(name))).chain(self.worlds()) {
            let space = self.space(owner.0);
            let types = Types { resolve: &self.components[&owner.0].resolve, spaces: &space, dialect: Dialect::Script };
            let mut declared = String::new();
            for (_, id) in needed.iter().filter(|(component, _)| *component == owner.0) {
                if types.resolve.types[*id].owner == owner.1 {
                    types.declaration(*id, if name.is_some() { "  " } else { "" }, &mut declared);
                }
            }
            if !declared.is_empty() {
                let _ = match name {
                    Some(name) => writeln!(ts, "\nexport declare namespace {name} {{\n{declared}}}"),
                    None => writeln!(ts, "\n{declared}"),
                };
            }
        }
        js.push_str("\n/** Makes a client of the app. */\nexport const createClient = (options) => {\n  const call = caller(options);\n  return {\n");
        ts.push_str("\n/** What the app lets everybody call. */\nexport interface Client {\n");
        for (index, group) in self.groups.iter().enumerate() {
            let name = &self.names[index];
            if group.interface.is_none() {
                group.functions().for_each(|function| {
                    self.signature(group, function, &mut ts);
                    self.call(group, function, "    ", &mut js);
                });
                continue;
            }
            let _ = writeln!(ts, "  readonly {name}: {};", pascal(&kebab(name)));
            let _ = writeln!(js, "    {name}: {{");
            group.functions().for_each(|function| self.call(group, function, "      ", &mut js));
            js.push_str("    },\n");
        }
        js.push_str("  };\n};\n");
        ts.push_str("}\n");
        (self.js, self.ts) = (js, ts);
    }

    /// The worlds that have types of their own.
    fn worlds(&self) -> impl Iterator<Item = (Owner, Option<&String>)> {
        let worlds = self.components.iter().flat_map(|(id, component)| {
            let worlds: Vec<_> =
                component.resolve.worlds.iter().map(|(world, _)| (*id, TypeOwner::World(world))).collect();
            worlds
        });
        worlds.map(|owner| (owner, None))
    }

    /// The namespaces of the types of one component.
    fn space(&self, component: ComponentId) -> impl Fn(TypeOwner) -> String + use<'_, 'a> {
        move |owner| {
            let known = self.spaces.iter().find(|(other, _)| *other == (component, owner));
            known.map(|(_, name)| name.clone()).unwrap_or_default()
        }
    }

    /// A function in TypeScript.
    fn signature(&self, group: &Group<'_>, function: &Function, out: &mut String) {
        let space = self.space(group.trigger.component);
        let types = Types { resolve: &group.component.resolve, spaces: &space, dialect: Dialect::Script };
        let (result, error) = outcome(&types, function);
        let throws = error.map(|error| match error {
            Some(error) => {
                format!("@throws {{CallError<{}>}} what the function returns as its error", types.script(&error))
            }
            None => "@throws {CallError<null>} when the function says that it failed".to_owned(),
        });
        comment(&function.docs, throws.as_slice(), "  ", out);
        let result = result.map_or_else(|| "void".to_owned(), |ty| types.script(&ty));
        let _ =
            writeln!(out, "  {}({}): Promise<{result}>;", camel(&function.name), types.parameters(&function.params));
    }

    /// A function in JavaScript.
    fn call(&self, group: &Group<'_>, function: &Function, inside: &str, out: &mut String) {
        let space = self.space(group.trigger.component);
        let types = Types { resolve: &group.component.resolve, spaces: &space, dialect: Dialect::Script };
        let names: Vec<_> = function.params.iter().map(|param| parameter(&param.name)).collect();
        let or_null = |codec: Option<String>| codec.unwrap_or_else(|| "null".to_owned());
        let mut codecs: Vec<_> = function.params.iter().map(|param| or_null(types.codec(&param.ty))).collect();
        codecs.truncate(codecs.iter().rposition(|codec| codec != "null").map_or(0, |last| last + 1));
        let (result, error) = outcome(&types, function);
        let result = result.map_or(Some("nothing".to_owned()), |ty| types.codec(&ty));
        let error = error.flatten().and_then(|ty| types.codec(&ty));
        let prefix = group.trigger.route.trim_end_matches("...");
        let path = match group.public.shape {
            EdgeShape::Interface => format!("{prefix}{}/{}", group.public.export, function.name),
            EdgeShape::Function => format!("{prefix}{}", group.public.export),
        };
        let (given, names) = (names.join(", "), camel(&function.name));
        let more = match (result, error) {
            (None, None) => String::new(),
            (result, None) => format!(", {}", or_null(result)),
            (result, error) => format!(", {}, {}", or_null(result), or_null(error)),
        };
        let _ =
            writeln!(out, "{inside}{names}: ({given}) => call(\"{path}\", [{given}], [{}]{more}),", codecs.join(", "));
    }
}

impl Group<'_> {
    /// Its functions that can be called.
    fn functions(&self) -> impl Iterator<Item = &Function> {
        let found: Vec<&Function> = match self.interface {
            Some(id) => self.component.resolve.interfaces[id].functions.values().collect(),
            None => {
                let exports = self.component.resolve.worlds[self.component.world].exports.values();
                exports
                    .filter_map(|item| if let WorldItem::Function(function) = item { Some(function) } else { None })
                    .collect()
            }
        };
        let public = |function: &&Function| self.public.functions.iter().any(|public| public.name == function.name);
        found.into_iter().filter(public)
    }
}

/// What a function returns when it goes well, and, if it says whether it did, its error.
pub(crate) fn outcome(types: &Types<'_>, function: &Function) -> (Option<Type>, Option<Option<Type>>) {
    match function.result.as_ref().and_then(|ty| types.outcome(ty)) {
        Some((ok, error)) => (ok, Some(error)),
        None => (function.result, None),
    }
}

/// `maxWidth` as `max-width`.
fn kebab(camel: &str) -> String {
    let parts = camel.chars().map(|letter| {
        if letter.is_ascii_uppercase() { format!("-{}", letter.to_ascii_lowercase()) } else { letter.to_string() }
    });
    parts.collect()
}
