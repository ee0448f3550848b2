//! CPython, by componentize-py from PyPI: the wheel has the interpreter and its library in it, and takes the snapshot itself.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

use super::{Sources, output};
use crate::guests::entries;

/// It decides the version of CPython.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// What tests try as it comes from PyPI.
const PACKAGES: [&str; 3] = ["bottle==0.13.4", "jinja2==3.1.6", "starlette==1.10.0"];

pub(super) fn build(sources: &Sources, tools: &Path, out: &Path) -> Result<()> {
    let packages = tools.join(COMPONENTIZE_PY);
    let program = packages.join("bin/componentize-py");
    if !program.exists() {
        install(&packages, &[COMPONENTIZE_PY])?;
    }
    // Built from a copy: it writes beside what it reads.
    let scratch = tempfile::tempdir()?;
    let (wit, modules) = (scratch.path().join("wit"), scratch.path().join("modules"));
    sources.wit_folder(&wit)?;
    fs::create_dir(&modules)?;
    for file in entries(&sources.own)?.iter().filter(|file| file.extension().is_some_and(|ending| ending == "py")) {
        fs::copy(file, modules.join(file.file_name().unwrap_or_default()))?;
    }
    let mut componentize = Command::new("python3");
    componentize.arg(program).arg("-d").arg(&wit).args(["-w", "script", "componentize", "-p"]).arg(&modules);
    output(componentize.args(["shell", "-o"]).arg(out).current_dir(scratch.path()).env("PYTHONPATH", &packages))?;
    Ok(())
}

pub(super) fn packages_for_tests(folder: &Path) -> Result<()> {
    if !folder.join("starlette").exists() {
        install(folder, &PACKAGES)?;
    }
    Ok(())
}

/// Into a folder of its own: that needs no virtual environment, and touches no Python of the system.
fn install(folder: &Path, packages: &[&str]) -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
    output(pip.arg(folder).args(packages))?;
    Ok(())
}
