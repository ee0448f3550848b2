//! Rust guests: `wasm32-unknown-unknown` components, with nothing in them but what their WIT says.
//!
//! rustup has no wasm standard library of its own in every mirror, so the compiler and the standard library's source come as one
//! pair from Debian (`rustc-web`, `rust-web-src`: kept current for the browsers) and cargo builds `std` from it. The linker,
//! `rust-lld`, comes with the project's own Rust toolchain; what it links is a module, which `encode` makes a component.
//! Debian replaces these packages in place, so no version is named here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::debian::{Unpacked, run};

const TARGET: &str = "wasm32-unknown-unknown";

/// The pair of compiler and standard library, unpacked.
pub(super) struct Toolchain {
    folder: PathBuf,
    linker: PathBuf,
}

impl Toolchain {
    /// Unpacks what is missing below `tools`.
    pub(super) fn ready(tools: &Path) -> Result<Self> {
        let folder = tools.join("rust");
        if !folder.join("root/usr/bin/rustc").exists() {
            let debian = Unpacked::new(&folder)?;
            let mut names = debian.closure("libllvm22")?;
            names.extend(["rustc-web", "libstd-rust-web-dev", "rust-web-src"].map(str::to_owned));
            names.insert(debian.dependency("libstd-rust-web-dev", "libstd-rust-web-")?);
            debian.unpack(names)?;
        }
        let sysroot = run(Command::new("rustc").args(["--print", "sysroot"]))?;
        let linker = host_tools(Path::new(sysroot.trim()))?.join("rust-lld");
        ensure!(linker.exists(), "the Rust toolchain has no {}", linker.display());
        Ok(Self { folder, linker })
    }

    /// Builds one package of a workspace; gives its core module. One at a time: together, a feature that one package asks
    /// for would end up in all, and a guest's bytes would depend on its company.
    pub(super) fn build(&self, workspace: &Path, package: &str, remap: &[(PathBuf, &str)]) -> Result<PathBuf> {
        let root = self.folder.join("root/usr");
        let target = self.folder.join("target");
        let mut flags = vec!["-Zunstable-options".to_owned(), "-Cpanic=immediate-abort".to_owned()];
        flags.push(format!("--remap-path-prefix={}=/rust", self.folder.display()));
        // Where the names of the standard library's files stay, in debug information, they are as in any other build.
        flags.push(format!("--remap-path-prefix={}=/rustc/web", root.join("lib/rustlib/src/rust").display()));
        flags.extend(remap.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())));

        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .current_dir(workspace)
            .args(["build", "--release", "--quiet", "--locked", "--target", TARGET])
            .args(["-Zbuild-std=std", "-Zbuild-std-features=optimize_for_size"])
            .arg("--target-dir")
            .arg(&target)
            .args(["-p", package])
            .env("RUSTC", root.join("bin/rustc"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("LD_LIBRARY_PATH", root.join("lib/x86_64-linux-gnu"))
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &self.linker)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTC_WRAPPER");
        // Its messages are for a person: let them through.
        let status = command.status().context("cannot run cargo")?;
        ensure!(status.success(), "the guest {package} in {} does not build", workspace.display());
        Ok(target.join(TARGET).join("release").join(format!("{}.wasm", package.replace('-', "_"))))
    }
}

/// `lib/rustlib/HOST/bin` of a toolchain.
fn host_tools(sysroot: &Path) -> Result<PathBuf> {
    let rustlib = sysroot.join("lib/rustlib");
    let hosts = std::fs::read_dir(&rustlib).with_context(|| format!("no {}", rustlib.display()))?;
    let bin = hosts.filter_map(Result::ok).map(|host| host.path().join("bin")).find(|bin| bin.exists());
    bin.with_context(|| format!("no host tools in {}", rustlib.display()))
}
