//! `cargo xtask languages`: installs the tools that tests build guests with, as a user would: by package name.
//!
//! They go to `$WATERTIGHT_TOOLCHAINS` (default `~/.cache/watertight/toolchains`), where the tests look for them; only clang is
//! installed into the system, and only where there is none. What is there already stays as it is.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::guests::{self, debian::Unpacked, installed_by};

/// What componentizes JavaScript, what bundles it, and what checks types.
const NPM: [&str; 4] = ["@bytecodealliance/componentize-js", "componentize-qjs", "esbuild", "typescript"];

/// A compiler for WebAssembly with all it needs.
const APT: [&str; 4] = ["clang", "lld", "wasi-libc", "libclang-rt-dev-wasm32"];

/// Go, which is one folder without dependencies, from a newer Debian than most machines have.
const GO_ARCHIVE: &str =
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main";
const GO: [&str; 2] = ["golang-1.24-go", "golang-1.24-src"];

/// Installs what is missing.
pub(crate) fn run() -> Result<()> {
    let folder = guests::tools_folder()?;
    python(&folder.join("python"))?;
    javascript(&folder.join("javascript"))?;
    clang()?;
    go(&folder.join("go"))?;
    guests::rust_ready(&folder)
}

fn python(folder: &Path) -> Result<()> {
    if folder.join("bin/componentize-py").exists() {
        return Ok(());
    }
    let made = installed_by(Command::new("python3").args(["-m", "venv"]).arg(folder));
    if made.is_err() {
        apt(&["python3-venv"])?;
        installed_by(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    }
    installed_by(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "componentize-py"]))
}

fn javascript(folder: &Path) -> Result<()> {
    if NPM.iter().all(|name| folder.join("node_modules").join(name).exists()) {
        return Ok(());
    }
    if Command::new("npm").arg("--version").output().is_err() {
        apt(&["nodejs", "npm"])?;
    }
    // Anew: where npm puts a package depends on what is there already, and componentize-js relies on one that is not its own.
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("package.json"), "{\"private\":true}\n")?;
    installed_by(
        Command::new("npm").current_dir(folder).args(["install", "--no-audit", "--no-fund", "--silent"]).args(NPM),
    )
}

fn go(folder: &Path) -> Result<()> {
    if folder.join("root/usr/lib/go-1.24/bin/go").exists() {
        return Ok(());
    }
    Unpacked::of(folder, GO_ARCHIVE)?.unpack(GO.map(str::to_owned))
}

fn clang() -> Result<()> {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if has("clang") && has("wasm-ld") && Path::new("/usr/include/wasm32-wasi").exists() {
        return Ok(());
    }
    apt(&APT)
}

fn apt(packages: &[&str]) -> Result<()> {
    let root = installed_by(Command::new("test").args(["-w", "/"])).is_ok();
    let apt = || {
        let mut command = Command::new(if root { "apt-get" } else { "sudo" });
        if !root {
            command.arg("apt-get");
        }
        command
    };
    installed_by(apt().args(["update", "-q"]))?;
    installed_by(apt().args(["install", "-qy", "--no-install-recommends"]).args(packages))
}
