//! Modules: what a script calls of other components, by name instead of by an import of its type.
//!
//! A language runtime is one component for every script, and cannot import what each of them calls. It imports one interface, [`MODULES`],
//! which tells it what there is and takes calls by name. So the interfaces that the components in `uses` export become imports of the script's
//! component, with their types; from there on they are edges as any other. Only values cross such an edge: a function that takes or
//! returns handles or streams is left out.

use crate::{
    app::{App, ComponentId, Edge},
    cbor::{TooLong, Writer},
    version::ExternName,
};

/// The interface that a component imports to call others by name.
pub const MODULES: &str = "watertight:runtime/modules@0.1.0";

/// Whether an import is that interface.
#[must_use]
pub fn is_modules(import: &str) -> bool {
    ExternName::parse(import).met_by(&ExternName::parse(MODULES))
}

/// The most bytes that a description may take.
const MAX_DESCRIPTION_BYTES: usize = 1 << 20;

/// Where the functions of others are, for a component that calls them by name.
#[must_use]
pub fn edges_by_name(app: &App, importer: ComponentId) -> Vec<(&str, &Edge)> {
    let edges: Vec<_> = app.edges_from(importer).filter(|edge| edge.by_name).collect();
    let mut names: Vec<_> = edges.iter().map(|edge| (edge.import.as_str(), *edge)).collect();
    for edge in &edges {
        let base = ExternName::parse(&edge.import).base;
        let same = |other: &&&Edge| ExternName::parse(&other.import).base == base;
        // Without a version where there is only one.
        if base != edge.import && edges.iter().filter(same).count() == 1 {
            names.push((base, edge));
        }
    }
    names
}

/// What a component is told of the modules that it may call: a CBOR map of their names, each with a map of its functions, each with a
/// map of `parameters`, their names in order, and `signature`, its line of WIT.
///
/// # Errors
/// When that is more than a description may be.
pub fn describe(app: &App, importer: ComponentId) -> Result<Vec<u8>, TooLong> {
    let mut out = Writer::new(MAX_DESCRIPTION_BYTES);
    let named = edges_by_name(app, importer);
    out.map(named.len());
    for (name, edge) in named {
        out.text(name);
        out.map(edge.functions.len());
        for function in &edge.functions {
            out.text(&function.name);
            out.map(2);
            out.text("parameters");
            out.array(function.parameters.len());
            function.parameters.iter().for_each(|parameter| out.text(parameter));
            out.text("signature");
            out.text(&function.signature);
        }
    }
    out.finish()
}
