//! What a `.wasm` file imports and exports, as WIT. Nothing is compiled or run.

use wit_component::{DecodedWasm, OutputToString, WitPrinter};

/// What a file is, from the outside.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Inspected {
    /// What its bytes hold.
    pub kind: InspectedKind,
    /// Names of its imports.
    pub imports: Vec<String>,
    /// Names of its exports.
    pub exports: Vec<String>,
    /// Its world, and the interfaces that this names, as WIT.
    pub wit: String,
}

/// What the bytes of a file hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InspectedKind {
    /// A component.
    Component,
    /// Interfaces only: nothing that runs.
    WitPackage,
}

/// Why a file has no WIT.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It is a core module.
    #[error(
        "it is a core module, not a component: `watertight run` takes one of WASI preview 1; for the rest: wasm-tools component new"
    )]
    CoreModule,
    /// It is something else, or broken.
    #[error("it is not a component: {0}")]
    NotAComponent(String),
}

/// Looks at the bytes of a file.
///
/// # Errors
/// When they hold no component.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, InspectError> {
    if bytes.get(..8) == Some(b"\0asm\x01\0\0\0") {
        return Err(InspectError::CoreModule);
    }
    let failed = |error: &dyn std::fmt::Display| InspectError::NotAComponent(format!("{error:#}"));
    let decoded = wit_component::decode(bytes).map_err(|error| failed(&error))?;
    let resolve = decoded.resolve();
    let (kind, imports, exports) = match &decoded {
        DecodedWasm::WitPackage(..) => (InspectedKind::WitPackage, Vec::new(), Vec::new()),
        DecodedWasm::Component(_, world) => {
            let world = &resolve.worlds[*world];
            let name = |key| resolve.name_world_key(key);
            let imports = world.imports.keys().map(name).collect();
            (InspectedKind::Component, imports, world.exports.keys().map(name).collect())
        }
    };
    let others: Vec<_> = resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != decoded.package()).collect();
    let mut printer = WitPrinter::new(OutputToString::default());
    printer.print(resolve, decoded.package(), &others).map_err(|error| failed(&error))?;
    Ok(Inspected { kind, imports, exports, wit: String::from(printer.output) })
}

#[cfg(test)]
mod tests {
    use watertight_testkit::guest;

    use super::*;

    #[test]
    fn a_component_is_shown_as_wit() {
        let seen = inspect(&guest::built("http-hello")).expect("it is a component");
        assert_eq!(seen.kind, InspectedKind::Component);
        assert!(seen.exports.iter().any(|export| export.starts_with("wasi:http/incoming-handler@0.2")), "{seen:?}");
        assert!(seen.wit.contains("export wasi:http/incoming-handler@0.2"), "{}", seen.wit);
        assert!(seen.wit.contains("interface incoming-handler {"), "{}", seen.wit);
    }

    #[test]
    fn what_is_no_component_is_refused_by_what_it_is() {
        let refused = |bytes: &[u8]| inspect(bytes).expect_err("it is no component").to_string();
        assert!(refused(&guest::built("command-p1")).starts_with("it is a core module"));
        let hello = guest::built("http-hello");
        for bytes in [&b""[..], b"\0asm", b"package a:b;", &hello[..hello.len() / 2]] {
            assert!(refused(bytes).starts_with("it is not a component"), "{}", refused(bytes));
        }
    }
}
