//! Which crate may depend on which. Invariants 1 and 2, and the arrows of ARCHITECTURE.md, which point downward only.
//!
//! `deny.toml` says the same of the engine, for the whole tree; here it is per crate and without a tool to install.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::Breach;

/// What each crate of the workspace may use of the others, and whether it may use the engine.
const ALLOWED: &[(&str, &[&str], Engine)] = &[
    ("watertight-model", &[], Engine::No),
    ("watertight-build", &["watertight-model"], Engine::No),
    ("watertight-observe", &["watertight-model"], Engine::No),
    ("watertight-ingress", &["watertight-model"], Engine::No),
    ("watertight-runtime", &["watertight-model"], Engine::Yes),
    ("watertight-host", &["watertight-model", "watertight-runtime"], Engine::Yes),
    (
        "watertight",
        &["watertight-host", "watertight-ingress", "watertight-model", "watertight-observe", "watertight-runtime"],
        Engine::No,
    ),
    ("watertight-cli", &["watertight", "watertight-build", "watertight-model", "watertight-observe"], Engine::No),
    ("watertight-testkit", &["watertight-model"], Engine::No),
    ("xtask", &[], Engine::No),
];

/// All that the model uses: none of it waits, or touches files, the network, the clock, the environment or chance.
const MODEL_USES: &[&str] =
    &["miette", "semver", "serde", "serde_json", "strsim", "thiserror", "toml", "wasm-wave", "wasmparser"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Yes,
    No,
}

/// A package of the workspace, as Cargo describes it.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, serde::Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Asks Cargo for the packages of the workspace.
pub(super) fn packages(repository: &Path) -> Result<Vec<Package>> {
    #[derive(serde::Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(repository)
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(out.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&out.stderr));
    let metadata: Metadata = serde_json::from_slice(&out.stdout).context("cargo metadata is not what it was")?;
    Ok(metadata.packages)
}

pub(super) fn check(packages: &[Package]) -> Vec<Breach> {
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Breach> {
    let name = package.name.as_str();
    let breach = |what| Breach { place: format!("crate {name}"), what };
    let Some((_, ours, engine)) = ALLOWED.iter().find(|(known, ..)| *known == name) else {
        return vec![breach("is new: say in xtask/src/tidy/dependencies.rs what it may use".to_owned())];
    };
    let shipped = package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
    let wrong = |dependency: &Dependency| {
        let other = dependency.name.as_str();
        if other.starts_with("watertight") && !ours.contains(&other) {
            Some(format!("uses {other}, which is not below it"))
        } else if is_engine(other) && *engine == Engine::No {
            Some(format!("uses {other}: only the runtime and the host know the engine (invariant 2)"))
        } else if name == "watertight-model" && !MODEL_USES.contains(&other) {
            Some(format!("uses {other}: the model is pure; add it to MODEL_USES only if it is too (invariant 1)"))
        } else {
            None
        }
    };
    shipped.filter_map(wrong).map(breach).collect()
}

fn is_engine(name: &str) -> bool {
    ["wasmtime", "cranelift", "wiggle"].iter().any(|prefix| name == *prefix || name.starts_with(&format!("{prefix}-")))
}

#[cfg(test)]
mod tests {
    use super::{super::told, *};

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
        };
        Package { name: name.to_owned(), dependencies: dependencies.iter().map(dependency).collect() }
    }

    #[test]
    fn a_crate_uses_only_what_is_below_it() {
        let cases = [
            (package("watertight-ingress", &[("watertight-model", None), ("hyper", None)]), 0),
            (package("watertight-ingress", &[("watertight-runtime", None)]), 1),
            (package("watertight-ingress", &[("wasmtime", None)]), 1),
            (package("watertight-ingress", &[("wasmtime", Some("dev")), ("watertight-testkit", Some("dev"))]), 0),
            (package("watertight-host", &[("wasmtime-wasi", None), ("watertight-testkit", None)]), 1),
            (package("watertight-model", &[("serde", None), ("tokio", None), ("cc", Some("build"))]), 2),
            (package("watertight-lattice", &[]), 1),
        ];
        for (package, expected) in cases {
            let found = told(check(&[package]));
            assert_eq!(found.len(), expected, "{found:?}");
        }
    }
}
