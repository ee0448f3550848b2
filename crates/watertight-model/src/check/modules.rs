//! What a script may call: the interfaces that the components in its `uses` export become imports of its runtime, as if it were built with
//! them. Whatever is said of edges is then said of these.
//!
//! A function whose values a script cannot hold is left out, with a warning that names it.

use std::ops::Range;

use super::{Checker, any_part, list};
use crate::{
    app::Wall,
    component_type::{ComponentType, Extern, FunctionType, Interface, Item, Shape},
    modules::is_modules,
    problem::{Code, Problem},
    version::ExternName,
};

/// The interface that a component imports to call others by name, without its version.
pub(super) const INTERFACE: &str = "watertight:runtime/modules";

impl Checker<'_> {
    /// Adds to each component that calls others by name what there is to call.
    pub(super) fn modules(&mut self, uses: &[Vec<(usize, Range<usize>)>]) {
        for (importer, uses) in uses.iter().enumerate() {
            let calls = self.types[importer].as_ref().is_some_and(calls_by_name);
            if !calls || self.spec(importer).wall == Wall::Fused {
                continue;
            }
            let mut found: Vec<Extern> = Vec::new();
            for (exporter, span) in uses {
                for (export, left_out) in self.callable(*exporter) {
                    if !left_out.is_empty() {
                        self.left_out(importer, *exporter, &export.name, &left_out, span.clone());
                    }
                    let known = found.iter().position(|known| known.name == export.name);
                    match known {
                        _ if matches!(&export.item, Item::Interface(interface) if interface.is_empty()) => {}
                        None => found.push(export),
                        // Both have it: which of them is meant is decided as for any import, and that one's types are taken.
                        Some(known) if self.is_chosen(importer, &export.name, *exporter) => found[known] = export,
                        Some(_) => {}
                    }
                }
            }
            if let Some(component) = &mut self.types[importer] {
                component.imports.extend(found);
            }
        }
    }

    /// What a component exports to be called by name, and for each interface the functions that cannot be.
    fn callable(&self, exporter: usize) -> Vec<(Extern, Vec<String>)> {
        let exports = self.types[exporter].iter().flat_map(|component| &component.exports);
        let interfaces = exports.filter_map(|export| match &export.item {
            // What the host starts a component by is for the host.
            Item::Interface(_) if export.name.starts_with("wasi:") => None,
            Item::Interface(interface) => {
                let (functions, left_out): (Vec<_>, Vec<_>) =
                    interface.functions.iter().cloned().partition(|(_, function)| is_of_values(function));
                let item = Item::Interface(Interface { functions, ..Interface::default() });
                let left_out = left_out.into_iter().map(|(name, _)| name).collect();
                Some((Extern { name: export.name.clone(), item, by_name: true }, left_out))
            }
            Item::Function(_) | Item::TypeName | Item::Unsupported(_) => None,
        });
        interfaces.collect()
    }

    /// Whether the manifest says that this component meets an import.
    fn is_chosen(&self, importer: usize, import: &str, exporter: usize) -> bool {
        let import = ExternName::parse(import);
        let edges = self.spec(importer).edges.iter();
        let mut meant = edges.filter(|edge| import.meant_by(&ExternName::parse(&edge.import.value)));
        meant.any(|edge| edge.from.as_ref().is_some_and(|from| from.value == self.name(exporter)))
    }

    fn left_out(&mut self, importer: usize, exporter: usize, interface: &str, left_out: &[String], span: Range<usize>) {
        let (verb, rest) =
            if left_out.len() == 1 { ("takes or returns", "it is") } else { ("take or return", "they are") };
        let message = format!(
            "{} of `{interface}` {verb} handles or streams, which the script `{}` cannot hold: {rest} left out",
            list(left_out.iter().map(String::as_str)),
            self.name(importer),
        );
        let help = format!("give `{}` functions that take and return values, for scripts to call", self.name(exporter));
        self.report(Problem::warning(Code::Unsupported, message).help(help), span, "");
    }

    /// A script has a store of its own, and what it calls another one.
    pub(super) fn fused_module(&mut self, importer: usize, exporter: usize, span: Range<usize>) {
        let (script, module) = (self.name(importer), self.name(exporter));
        let message =
            format!("`{script}` is a script and calls `{module}` by name: `{module}` cannot be fused into it");
        let problem = Problem::new(Code::FusedSetting, message).help(format!("give `{module}` wall = \"cell\""));
        self.report(problem, span, "");
    }
}

/// Whether a component calls others by name.
pub(super) fn calls_by_name(component: &ComponentType) -> bool {
    component.imports.iter().any(|import| is_modules(&import.name))
}

/// Whether nothing but values goes in and out.
pub(super) fn is_of_values(function: &FunctionType) -> bool {
    let other = |shape: &Shape| {
        matches!(
            shape,
            Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_) | Shape::Primitive("error-context")
        )
    };
    !function.params.iter().map(|(_, ty)| ty).chain(&function.result).any(|ty| any_part(ty, &other))
}
