//! JavaScript guests: bundled by esbuild, made a component with QuickJS inside by componentize-qjs, both from npm.
//!
//! A guest is a folder with `package.json` (its own dependencies, with a lock file), `index.js`, and the world to implement
//! under `"world"` in `package.json`; its WIT is the folder `wit` two levels up. Two builds differ in some hundred bytes: the snapshot
//! of QuickJS holds hash seeds.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::debian::run;

/// esbuild and componentize-qjs, installed.
pub(super) struct Tools {
    bin: PathBuf,
}

impl Tools {
    /// Installs what is missing below `tools`.
    pub(super) fn ready(tools: &Path) -> Result<Self> {
        let folder = tools.join("script");
        let bin = folder.join("node_modules/.bin");
        if !bin.join("componentize-qjs").exists() || !bin.join("esbuild").exists() {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join("package.json"), "{\"private\":true}\n")?;
            run(npm("install").current_dir(&folder).args(["componentize-qjs", "esbuild"]))?;
        }
        Ok(Self { bin })
    }

    /// Builds the component of one folder.
    pub(super) fn build(&self, folder: &Path, wit: &Path) -> Result<Vec<u8>> {
        let package = std::fs::read_to_string(folder.join("package.json"))?;
        let package: serde_json::Value = serde_json::from_str(&package)?;
        let world =
            package["world"].as_str().with_context(|| format!("{}/package.json has no \"world\"", folder.display()))?;

        // Built from a copy: node_modules has no business beside the sources.
        let scratch = tempfile::tempdir()?;
        for name in ["package.json", "package-lock.json", "index.js"] {
            std::fs::copy(folder.join(name), scratch.path().join(name))
                .with_context(|| format!("{} needs {name}", folder.display()))?;
        }
        run(npm("ci").current_dir(scratch.path()))?;
        let (bundle, out) = (scratch.path().join("bundle.js"), scratch.path().join("guest.wasm"));
        run(Command::new(self.bin.join("esbuild")).current_dir(scratch.path()).arg("index.js").args([
            "--bundle",
            "--minify",
            "--format=esm",
            "--target=es2022",
            "--legal-comments=inline",
            "--log-level=error",
            "--outfile=bundle.js",
        ]))?;
        run(Command::new(self.bin.join("componentize-qjs"))
            .current_dir(scratch.path())
            // Without `--sync` every export would need the engine with component-model async.
            .args(["--stub-wasi", "--sync", "--opt-size", "--wit"])
            .arg(wit)
            .args(["-n", world, "--js"])
            .arg(&bundle)
            .arg("-o")
            .arg(&out))?;
        let mut bytes = std::fs::read(&out)?;
        rename(&mut bytes, PUBLISHER, NEUTRAL);
        Ok(bytes)
    }
}

/// Where the QuickJS inside was built: its panic messages name these folders.
const PUBLISHER: &[u8; 20] = b"/home/runner/.cargo/";
const NEUTRAL: &[u8; 20] = b"/componentize-qjs///";

/// Same length, so nothing else moves.
fn rename(bytes: &mut [u8], from: &[u8; 20], to: &[u8; 20]) {
    for at in 0..bytes.len().saturating_sub(from.len()) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
}

fn npm(verb: &str) -> Command {
    let mut command = Command::new("npm");
    command.args([verb, "--no-audit", "--no-fund", "--no-update-notifier", "--silent"]);
    command
}
