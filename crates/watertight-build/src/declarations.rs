//! Types for TypeScript and for editors: what a component in JavaScript imports and exports, as modules by their names.
//!
//! A component that was built has values as jco does them; a script has them as its runtime does. Both are told apart here, and nowhere do
//! declarations change what runs.

use std::{collections::BTreeSet, fmt::Write as _};

use watertight_model::{
    app::{App, ComponentId, Sources},
    modules::edges_by_name,
};
use wit_parser::{Function, FunctionKind, InterfaceId, Resolve, TypeDefKind, TypeOwner, WorldId, WorldItem};

use crate::esm::{Dialect, EsmError, Types, camel, comment, component, outcome, parameter, pascal};

/// How a file begins.
const HEAD: &str = "// Made by `watertight bindings`: what is changed here is lost.\n";

/// The modules of a world, each declared by its name.
pub(crate) fn of_world(resolve: &Resolve, world: WorldId) -> String {
    let world = &resolve.worlds[world];
    let mut out = HEAD.to_owned();
    let mut declared: Vec<InterfaceId> = Vec::new();
    for (said, items) in [("imported", &world.imports), ("exported", &world.exports)] {
        for (key, item) in items {
            let name = resolve.name_world_key(key);
            match item {
                WorldItem::Interface { id, .. } => {
                    let own = resolve.interfaces[*id].name.as_deref().unwrap_or(&name);
                    let more = match said {
                        "exported" => format!(
                            "Exported: /** @type {{typeof import(\"{name}\")}} *\u{2f} export const {} = {{ … }};",
                            camel(own)
                        ),
                        _ => format!("Imported: import {{ … }} from \"{name}\";"),
                    };
                    if declared.contains(id) {
                        let _ = writeln!(out, "\n// {more}");
                        continue;
                    }
                    declared.push(*id);
                    let _ = writeln!(out, "\n// {more}");
                    interface(resolve, *id, &name, Dialect::Component, &mut out);
                }
                WorldItem::Function(function) => {
                    let _ = writeln!(out, "\n// {said}");
                    let _ = writeln!(out, "declare module \"{name}\" {{");
                    let types = Types { resolve, spaces: &space(resolve, None), dialect: Dialect::Component };
                    functions(&types, [function], true, &mut out);
                    out.push_str("}\n");
                }
                WorldItem::Type { .. } => {}
            }
        }
    }
    out
}

/// The modules that a script may import, from the components that meet its imports; none where there are no such.
///
/// # Errors
/// When one of those cannot be read.
pub fn script_declarations(app: &App, script: ComponentId, sources: &Sources) -> Result<Option<String>, EsmError> {
    let mut out = HEAD.to_owned();
    let mut declared: BTreeSet<String> = BTreeSet::new();
    let named = edges_by_name(app, script);
    for (name, edge) in &named {
        if *name != edge.import {
            // Without its version it means the same.
            let _ = writeln!(out, "\ndeclare module \"{name}\" {{\n  export * from \"{}\";\n}}", edge.import);
            continue;
        }
        let exporter = component(app, edge.exporter, sources, None)?;
        let resolve = &exporter.resolve;
        let exports = resolve.worlds[exporter.world].exports.iter();
        let interface =
            exports.filter(|(key, _)| resolve.name_world_key(key) == edge.export).find_map(|(_, item)| match item {
                WorldItem::Interface { id, .. } => Some(*id),
                WorldItem::Function(_) | WorldItem::Type { .. } => None,
            });
        let Some(id) = interface else { continue };
        let callable = |name: &str| edge.functions.iter().any(|function| function.name == name);
        out.push('\n');
        interface_of(resolve, id, name, Dialect::Script, &callable, &mut out);
        declared.insert((*name).to_owned());
        // Types that come from other interfaces are mentioned by those.
        let mut needed = Vec::new();
        let types = Types { resolve, spaces: &|_| String::new(), dialect: Dialect::Script };
        for function in resolve.interfaces[id].functions.values().filter(|function| callable(&function.name)) {
            let mentioned = function.params.iter().map(|param| &param.ty).chain(&function.result);
            mentioned.for_each(|ty| types.needed(ty, &mut needed));
        }
        for ty in needed {
            if let TypeOwner::Interface(other) = resolve.types[ty].owner
                && other != id
                && let Some(name) = resolve.id_of(other)
                && declared.insert(name.clone())
            {
                out.push('\n');
                interface_of(resolve, other, &name, Dialect::Script, &|_| false, &mut out);
            }
        }
    }
    Ok(if named.is_empty() { None } else { Some(out) })
}

fn interface(resolve: &Resolve, id: InterfaceId, name: &str, dialect: Dialect, out: &mut String) {
    interface_of(resolve, id, name, dialect, &|_| true, out);
}

fn interface_of(
    resolve: &Resolve,
    id: InterfaceId,
    name: &str,
    dialect: Dialect,
    callable: &dyn Fn(&str) -> bool,
    out: &mut String,
) {
    let spaces = space(resolve, Some(id));
    let types = Types { resolve, spaces: &spaces, dialect };
    let interface = &resolve.interfaces[id];
    comment(&interface.docs, &[], "", out);
    let _ = writeln!(out, "declare module \"{name}\" {{");
    for id in interface.types.values() {
        if matches!(resolve.types[*id].kind, TypeDefKind::Resource) {
            resource(&types, interface.functions.values(), *id, out);
        } else {
            types.declaration(*id, "  ", out);
        }
    }
    let free = interface.functions.values().filter(|f| f.kind.resource().is_none() && callable(&f.name));
    functions(&types, free, false, out);
    out.push_str("}\n");
}

/// Where the types of an interface are, seen from another one.
fn space(resolve: &Resolve, own: Option<InterfaceId>) -> impl Fn(TypeOwner) -> String + use<'_> {
    move |owner| match owner {
        TypeOwner::Interface(id) if Some(id) != own => {
            resolve.id_of(id).map_or_else(String::new, |name| format!("import(\"{name}\")"))
        }
        TypeOwner::Interface(_) | TypeOwner::World(_) | TypeOwner::None => String::new(),
    }
}

fn functions<'a>(types: &Types<'_>, all: impl IntoIterator<Item = &'a Function>, default: bool, out: &mut String) {
    for function in all {
        let (text, throws) = signature(types, function, 0);
        comment(&function.docs, throws.as_slice(), "  ", out);
        let default = if default { "default " } else { "" };
        let _ = writeln!(out, "  export {default}function {}{text};", parameter(&function.name));
    }
}

/// A resource as a class.
fn resource<'a>(types: &Types<'_>, all: impl Iterator<Item = &'a Function>, id: wit_parser::TypeId, out: &mut String) {
    let Some(name) = types.resolve.types[id].name.as_deref().map(pascal) else { return };
    comment(&types.resolve.types[id].docs, &[], "  ", out);
    let _ = writeln!(out, "  export class {name} {{");
    let mut made = false;
    for function in all.filter(|function| function.kind.resource() == Some(id)) {
        let skip = usize::from(matches!(function.kind, FunctionKind::Method(_) | FunctionKind::AsyncMethod(_)));
        let (text, throws) = signature(types, function, skip);
        comment(&function.docs, throws.as_slice(), "    ", out);
        let _ = match function.kind {
            FunctionKind::Constructor(_) => {
                made = true;
                writeln!(
                    out,
                    "    constructor{};",
                    text.rsplit_once(": ").map_or(text.as_str(), |(parameters, _)| parameters)
                )
            }
            FunctionKind::Static(_) | FunctionKind::AsyncStatic(_) => {
                writeln!(out, "    static {}{text};", camel(function.item_name()))
            }
            FunctionKind::Method(_)
            | FunctionKind::AsyncMethod(_)
            | FunctionKind::Freestanding
            | FunctionKind::AsyncFreestanding => {
                writeln!(out, "    {}{text};", camel(function.item_name()))
            }
        };
    }
    if !made {
        out.push_str("    private constructor();\n");
    }
    out.push_str("  }\n");
}

/// `(text: string): string`, and what it throws.
fn signature(types: &Types<'_>, function: &Function, skip: usize) -> (String, Option<String>) {
    let parameters = types.parameters(&function.params[skip.min(function.params.len())..]);
    let (result, error) = outcome(types, function);
    let result = result.map_or_else(|| "void".to_owned(), |ty| types.script(&ty));
    let result = if function.kind.is_async() { format!("Promise<{result}>") } else { result };
    let throws = error.map(|error| match error {
        Some(error) => format!("@throws {{{}}} as `payload`", types.script(&error)),
        None => "@throws".to_owned(),
    });
    (format!("({parameters}): {result}"), throws)
}
