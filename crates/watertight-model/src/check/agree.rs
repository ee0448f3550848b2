//! Whether both sides of an edge mean the same types.
//!
//! Every function of the import must be in the export with the same type, fully expanded. A handle names a resource by its origin: the
//! cell and component that defines it, or the host. Two interfaces of the same name from two components are two resources, however
//! alike they look. A component fused into two cells defines its resources once in each.

use std::collections::BTreeSet;

use super::{
    Checker,
    resolve::{Link, Met},
};
use crate::{
    app::Wall,
    component_type::{ComponentType, FunctionType, Interface, Item, ResourceIndex},
    problem::{Code, Problem},
    signature::{Difference, difference, expanded},
    version::ExternName,
};

/// Where a resource is defined, in the whole app.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// By a component, in the cell of `cell`.
    Defined { cell: usize, component: usize, resource: usize },
    /// By the host, in this interface.
    Host { interface: String, resource: String },
    /// Somewhere that another problem hides: it is taken to be the right one.
    Hidden,
}

impl Checker<'_> {
    /// Compares the two sides of every edge.
    pub(super) fn agreement(&mut self, links: &[Link], members: &[Vec<usize>]) {
        let mut said = BTreeSet::new();
        for (cell, members) in members.iter().enumerate() {
            for member in members.iter().chain([&cell]) {
                for link in links.iter().filter(|link| link.importer == *member) {
                    for problem in self.link_agreement(cell, link, links) {
                        if said.insert(problem.message().to_owned()) {
                            self.report(problem, link.span.clone(), "");
                        }
                    }
                }
            }
        }
    }

    fn link_agreement(&self, cell: usize, link: &Link, links: &[Link]) -> Vec<Problem> {
        let Met::By { component: exporter, export } = link.met else { return Vec::new() };
        let (Some(importer_type), Some(exporter_type)) = (&self.types[link.importer], &self.types[exporter]) else {
            return Vec::new();
        };
        let pair = Pair { checker: self, links, cell, importer: link.importer, exporter, importer_type, exporter_type };
        let import = &importer_type.imports[link.import];
        let base = ExternName::parse(&import.name).base;
        match (&import.item, &exporter_type.exports[export].item) {
            (Item::Interface(import), Item::Interface(export)) => pair.interfaces(base, import, export),
            (Item::Function(import), Item::Function(export)) => {
                pair.functions(base, base, import, export).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Compares one function of an import with that of a component that stands in for who meets it.
    pub(super) fn stand_in_agreement(&self, link: &Link, function: &str, links: &[Link]) -> Vec<Problem> {
        let Met::By { component: exporter, export } = link.met else { return Vec::new() };
        let (Some(importer_type), Some(exporter_type)) = (&self.types[link.importer], &self.types[exporter]) else {
            return Vec::new();
        };
        let cell = link.importer;
        let pair = Pair { checker: self, links, cell, importer: link.importer, exporter, importer_type, exporter_type };
        let import = &importer_type.imports[link.import];
        let base = ExternName::parse(&import.name).base;
        match (&import.item, &exporter_type.exports[export].item) {
            (Item::Interface(import), Item::Interface(export)) => {
                let mut alone = import.clone();
                alone.functions.retain(|(name, _)| name == function);
                alone.resources.clear();
                pair.interfaces(base, &alone, export)
            }
            (Item::Function(import), Item::Function(export)) => {
                pair.functions(base, base, import, export).into_iter().collect()
            }
            _ => {
                let message = format!("`{}` exports `{base}` as something else", self.name(exporter));
                vec![Problem::new(Code::TypeMismatch, message).help(SAME_WIT)]
            }
        }
    }

    /// The origin of a resource that a component handles, in the cell of `cell`.
    fn origin(&self, cell: usize, component: usize, resource: ResourceIndex, links: &[Link]) -> Origin {
        let (mut cell, mut component, mut resource) = (cell, component, resource);
        // Each step follows one edge, and a graph without circles has no longer way; circles are reported elsewhere.
        for _ in 0..=self.types.len() {
            let Some(known) = &self.types[component] else { return Origin::Hidden };
            let Some(origin) = known.resources.get(resource.0) else { return Origin::Hidden };
            if !origin.imported {
                return Origin::Defined { cell, component, resource: resource.0 };
            }
            let met = links
                .iter()
                .find(|link| link.importer == component && known.imports[link.import].name == origin.interface)
                .map(|link| link.met);
            match met {
                Some(Met::By { component: exporter, export }) => {
                    let Some(exporter_type) = &self.types[exporter] else { return Origin::Hidden };
                    let Item::Interface(interface) = &exporter_type.exports[export].item else { return Origin::Hidden };
                    let Some((_, found)) = interface.resources.iter().find(|(name, _)| *name == origin.name) else {
                        return Origin::Hidden;
                    };
                    if self.spec(exporter).wall != Wall::Fused {
                        cell = exporter;
                    }
                    (component, resource) = (exporter, *found);
                }
                Some(Met::Host) => {
                    let interface = ExternName::parse(&origin.interface);
                    let series = interface
                        .version
                        .as_ref()
                        .map_or_else(String::new, |version| format!("@{}.{}", version.major, version.minor));
                    return Origin::Host {
                        interface: format!("{}{series}", interface.base),
                        resource: origin.name.clone(),
                    };
                }
                Some(Met::Nobody) | None => return Origin::Hidden,
            }
        }
        Origin::Hidden
    }

    fn origin_text(&self, origin: &Origin) -> String {
        match origin {
            Origin::Defined { cell, component, resource } => {
                let defined = self.types[*component].as_ref().and_then(|known| known.resources.get(*resource));
                let name = defined.map_or("resource", |origin| origin.name.as_str());
                let mut text = match defined.map(|origin| origin.interface.as_str()) {
                    None | Some("") => format!("`{name}` of `{}`", self.name(*component)),
                    Some(interface) => format!("`{name}` of `{}` ({interface})", self.name(*component)),
                };
                if cell != component {
                    text.push_str(&format!(", fused into `{}`", self.name(*cell)));
                }
                text
            }
            Origin::Host { interface, resource } => format!("`{resource}` of the host ({interface})"),
            Origin::Hidden => "an unknown resource".to_owned(),
        }
    }
}

/// The two sides of one edge, seen from one cell.
struct Pair<'a> {
    checker: &'a Checker<'a>,
    links: &'a [Link],
    cell: usize,
    importer: usize,
    exporter: usize,
    importer_type: &'a ComponentType,
    exporter_type: &'a ComponentType,
}

impl Pair<'_> {
    fn interfaces(&self, base: &str, import: &Interface, export: &Interface) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some((name, noun)) = &import.unsupported {
            let message = format!("`{}` imports `{base}` with `{name}`, {noun}", self.importer_name());
            problems
                .push(Problem::new(Code::Unsupported, message).help("an edge carries functions and resources only"));
        }
        for (name, _) in &import.resources {
            if !export.resources.iter().any(|(other, _)| other == name) {
                let message = format!(
                    "`{}` imports the resource `{name}` of `{base}`, and `{}` does not export it",
                    self.importer_name(),
                    self.exporter_name()
                );
                problems.push(Problem::new(Code::TypeMismatch, message).help(SAME_WIT));
            }
        }
        for (name, function) in &import.functions {
            match export.functions.iter().find(|(other, _)| other == name) {
                Some((_, found)) => problems.extend(self.functions(base, name, function, found)),
                None => {
                    let message = format!(
                        "`{}` imports a function of `{base}` that `{}` does not export:\n  {}",
                        self.importer_name(),
                        self.exporter_name(),
                        expanded(self.importer_type, name, function)
                    );
                    problems.push(Problem::new(Code::TypeMismatch, message).help(SAME_WIT));
                }
            }
        }
        problems
    }

    fn functions(&self, base: &str, name: &str, import: &FunctionType, export: &FunctionType) -> Option<Problem> {
        let importer_cell = self.cell;
        let exporter_cell =
            if self.checker.spec(self.exporter).wall == Wall::Fused { self.cell } else { self.exporter };
        let origins = |import: ResourceIndex, export: ResourceIndex| {
            (
                self.checker.origin(importer_cell, self.importer, import, self.links),
                self.checker.origin(exporter_cell, self.exporter, export, self.links),
            )
        };
        let mut same = |import: ResourceIndex, export: ResourceIndex| {
            let (import, export) = origins(import, export);
            import == Origin::Hidden || export == Origin::Hidden || import == export
        };
        let full_name = if base == name { format!("`{base}`") } else { format!("`{base}#{name}`") };
        match difference(import, export, &mut same)? {
            Difference::Type(what) => {
                let (importer, exporter) = (self.importer_name(), self.exporter_name());
                let width = importer.len().max(exporter.len());
                let message = format!(
                    "`{importer}` and `{exporter}` disagree on {full_name}: {what}\n  {importer:width$} imports {}\n  {exporter:width$} exports {}",
                    expanded(self.importer_type, name, import),
                    expanded(self.exporter_type, name, export),
                );
                Some(Problem::new(Code::TypeMismatch, message).help(SAME_WIT))
            }
            Difference::Resource { path, import, export } => {
                let (import, export) = origins(import, export);
                let message = format!(
                    "`{}` and `{}` mean different resources in {full_name}, {path}: {}, and {}",
                    self.importer_name(),
                    self.exporter_name(),
                    self.checker.origin_text(&import),
                    self.checker.origin_text(&export),
                );
                Some(
                    Problem::new(Code::ResourceMismatch, message)
                        .help("let both get the resource from the same component: change `uses`, or choose with `edge.\"…\".from`"),
                )
            }
        }
    }

    fn importer_name(&self) -> &str {
        self.checker.name(self.importer)
    }

    fn exporter_name(&self) -> &str {
        self.checker.name(self.exporter)
    }
}

const SAME_WIT: &str = "build both against the same WIT";
