//! Rust: Cargo, for `wasm32-wasip2`, or for `wasm32-unknown-unknown` with a standard library that is built on the way.
//!
//! The first is what rustup offers. The second needs the library's source and nothing else: for toolchains that have no WebAssembly
//! targets, such as a distribution's. It has no files, clock or environment in `std`; what WIT says works the same.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Site, in_folder, missing};
use crate::{
    cancel::Cancel,
    encode::{self, Kind},
    make::{BuildError, run},
    tools::{all_on_path, find, from_env},
};

const WASI: &str = "wasm32-wasip2";
const BARE: &str = "wasm32-unknown-unknown";

#[derive(Debug)]
pub(crate) struct Kit {
    cargo: PathBuf,
    rustc: PathBuf,
    library: Library,
}

#[derive(Debug)]
enum Library {
    /// It is there, for WASI.
    Ready,
    /// Its source is; with this linker.
    Source { linker: PathBuf },
}

#[derive(serde::Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(serde::Deserialize)]
struct Package {
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(serde::Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

impl Kit {
    pub(super) fn find(folder: &Path) -> Result<Self, BuildError> {
        let get_cargo = ["curl https://sh.rustup.rs -sSf | sh".to_owned(), "apt install cargo".to_owned()];
        let Some(cargo) = from_env("CARGO").or_else(|| find(&["cargo"], &[])) else {
            return Err(missing("cargo", "builds Rust", get_cargo));
        };
        let compilers: Vec<PathBuf> = from_env("RUSTC").into_iter().chain(all_on_path("rustc")).collect();
        let roots: Vec<_> = compilers.iter().map(|rustc| sysroot(rustc, folder)).collect();
        let library = |root: &Path| root.join("lib/rustlib");
        for (rustc, root) in compilers.iter().zip(&roots) {
            let Some(root) = root else { continue };
            if library(root).join(WASI).join("lib").is_dir() {
                return Ok(Self { cargo, rustc: rustc.clone(), library: Library::Ready });
            }
            if library(root).join("src/rust/library/std").is_dir() {
                let lld = roots.iter().flatten().find_map(|root| rust_lld(&library(root)));
                let linker = lld.or_else(|| find(&["wasm-ld", "rust-lld"], &[]));
                let Some(linker) = linker else {
                    return Err(missing("wasm-ld", "links WebAssembly", ["apt install lld".to_owned()]));
                };
                return Ok(Self { cargo, rustc: rustc.clone(), library: Library::Source { linker } });
            }
        }
        let get = [
            in_folder(folder, &format!("rustup target add {WASI}")),
            "apt install rustc-web rust-web-src lld, then set RUSTC=/usr/bin/rustc".to_owned(),
        ];
        Err(missing(&format!("Rust's standard library for {WASI}"), "no rustc on the PATH has it, or its source", get))
    }

    pub(super) fn make(&self, site: &Site<'_>) -> Result<(), BuildError> {
        let manifest = site.folder.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(BuildError::Wit(format!("there is no {}: name its folder in `folder`", manifest.display())));
        }
        let target = match &self.library {
            Library::Ready => WASI,
            Library::Source { .. } => BARE,
        };
        let mut command = Command::new(&self.cargo);
        command.current_dir(site.folder).args(["build", "--release", "--target", target]).env("RUSTC", &self.rustc);
        if let Library::Source { linker } = &self.library {
            command
                .args(["-Zbuild-std=std,panic_abort"])
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        run(&mut command, site.cancel)?;
        let made = self.artifact(site, target)?;
        let unreadable = |error| BuildError::Write { path: made.clone(), error };
        let bytes = fs::read(&made).map_err(unreadable)?;
        let bytes = match encode::kind(&bytes) {
            Kind::Module => encode::component(&bytes).map_err(BuildError::Wit)?,
            Kind::Component | Kind::NotWasm => bytes,
        };
        fs::write(site.output, bytes).map_err(|error| BuildError::Write { path: site.output.to_owned(), error })
    }

    /// The file that Cargo has made.
    fn artifact(&self, site: &Site<'_>, target: &str) -> Result<PathBuf, BuildError> {
        let mut command = Command::new(&self.cargo);
        command.current_dir(site.folder).args(["metadata", "--no-deps", "--format-version", "1"]);
        let said = run(&mut command, site.cancel)?;
        let json = said.lines().find(|line| line.starts_with('{')).unwrap_or_default();
        let strange = |why: String| BuildError::Wit(format!("cargo metadata: {why}"));
        let metadata: Metadata = serde_json::from_str(json).map_err(|error| strange(error.to_string()))?;
        let here = site.folder.canonicalize().unwrap_or_else(|_| site.folder.to_owned());
        let package = metadata.packages.iter().find(|package| package.manifest_path.parent() == Some(&here));
        let package = package.ok_or_else(|| strange(format!("{} is not the manifest of a package", here.display())))?;
        let release = metadata.target_directory.join(target).join("release");
        let is = |target: &&Target, kind: &str| target.crate_types.iter().any(|of| of == kind);
        let library = package.targets.iter().find(|target| is(target, "cdylib"));
        let program = package.targets.iter().find(|target| is(target, "bin"));
        match (library, program) {
            (Some(library), _) => Ok(release.join(format!("{}.wasm", library.name.replace('-', "_")))),
            (None, Some(program)) => Ok(release.join(format!("{}.wasm", program.name))),
            (None, None) => Err(BuildError::Wit(
                "the package makes neither a `cdylib` nor a program: add crate-type = [\"cdylib\"] to [lib]".to_owned(),
            )),
        }
    }
}

/// Where a compiler's own things are; rustup's differs by folder.
fn sysroot(rustc: &Path, folder: &Path) -> Option<PathBuf> {
    let mut command = Command::new(rustc);
    let ran = Cancel::default().run(command.current_dir(folder).args(["--print", "sysroot"])).ok()??;
    ran.status.success().then(|| PathBuf::from(ran.output.trim()))
}

/// The linker that comes with rustup's toolchains.
fn rust_lld(library: &Path) -> Option<PathBuf> {
    let hosts = fs::read_dir(library).ok()?;
    hosts.flatten().map(|host| host.path().join("bin/rust-lld")).find(|linker| linker.is_file())
}
