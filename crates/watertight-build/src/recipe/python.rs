//! Python: componentize-py puts CPython, the standard library and what the program imports into one component.
//!
//! It is looked for in the project's virtual environment first. Pure Python packages that are installed there are found, too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Site, absolute, in_folder, missing};
use crate::{
    make::{BuildError, run},
    tools::find,
    wit,
};

const MAIN: &str = "app.py";

#[derive(Debug)]
pub(crate) struct Kit {
    componentize_py: PathBuf,
    packages: Option<PathBuf>,
}

impl Kit {
    pub(super) fn find(base: &Path, folder: &Path) -> Result<Self, BuildError> {
        let mut environments: Vec<PathBuf> = [folder, base].map(|place| absolute(&place.join(".venv"))).into();
        environments.extend(std::env::var_os("VIRTUAL_ENV").map(PathBuf::from));
        let programs: Vec<_> = environments.iter().map(|environment| environment.join("bin")).collect();
        let packages = environments.iter().find_map(|environment| site_packages(environment));
        match find(&["componentize-py"], &programs) {
            Some(componentize_py) => Ok(Self { componentize_py, packages }),
            None => {
                let install = ".venv/bin/pip install componentize-py";
                let fresh = in_folder(folder, &format!("python3 -m venv .venv && {install}"));
                Err(missing("componentize-py", "makes components from Python", [fresh]))
            }
        }
    }

    /// componentize-py itself.
    pub(crate) fn program(&self) -> &Path {
        &self.componentize_py
    }

    pub(super) fn make(&self, site: &Site<'_>) -> Result<(), BuildError> {
        let world = wit::read(site.wit, site.world).map_err(BuildError::Wit)?;
        let main = site.main_or(MAIN)?;
        let module = main.with_extension("").to_string_lossy().replace('/', ".");
        if module == world.name.replace('-', "_") {
            let what = format!("{} and the world `{}` have one name: rename the file", main.display(), world.name);
            return Err(BuildError::Wit(what));
        }
        let mut command = Command::new(&self.componentize_py);
        command.current_dir(site.folder).arg("-d").arg(absolute(site.wit)).args(["-w", &world.name]);
        command.args(["componentize", &module, "-p", "."]);
        if let Some(packages) = &self.packages {
            command.arg("-p").arg(packages);
        }
        command.arg("-o").arg(site.output);
        // It imports the program to see what it needs, which leaves bytecode.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        run(&mut command, site.cancel).map(drop)
    }
}

/// Where a virtual environment keeps its packages.
fn site_packages(environment: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(environment.join("lib")).ok()?;
    versions.flatten().map(|version| version.path().join("site-packages")).find(|packages| packages.is_dir())
}
