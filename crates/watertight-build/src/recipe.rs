//! Recipes: how a component is made with the usual tools of a language.
//!
//! Each first finds its tools ([`Kit::find`]), so that all that is missing is known before anything is made, and then uses them.

mod c;
mod go;
mod js;
mod python;
mod rust;

use std::path::{Component, Path, PathBuf};

use watertight_model::manifest::Recipe;

use crate::{
    cancel::Cancel,
    make::BuildError,
    tools::{Missing, quoted},
};

/// The tools of one recipe, found.
#[derive(Debug)]
pub(crate) enum Kit {
    Rust(rust::Kit),
    Python(python::Kit),
    Js(js::Kit),
    C(c::Kit),
    Go(go::Kit),
}

/// What one component is made from, and where to.
pub(crate) struct Site<'a> {
    /// Where its sources are.
    pub(crate) folder: &'a Path,
    /// The file it begins with, relative to that.
    pub(crate) main: Option<&'a Path>,
    /// The folder of its WIT.
    pub(crate) wit: &'a Path,
    /// The world in it.
    pub(crate) world: Option<&'a str>,
    /// Where the component goes.
    pub(crate) output: &'a Path,
    /// A folder for what is needed on the way; it is gone afterwards.
    pub(crate) scratch: &'a Path,
    pub(crate) cancel: &'a Cancel,
}

impl Site<'_> {
    /// The file that it begins with, which must be there: this one, where the manifest names none.
    fn main_or<'s>(&'s self, usual: &'s str) -> Result<&'s Path, BuildError> {
        let main = self.main.unwrap_or(Path::new(usual));
        if self.folder.join(main).is_file() {
            return Ok(main);
        }
        let what = format!("there is no {}: name the file it begins with in `main`", main.display());
        Err(BuildError::Wit(what))
    }
}

impl Kit {
    /// Finds the tools, or says what is missing.
    pub(crate) fn find(
        recipe: Recipe,
        base: &Path,
        folder: &Path,
        wit: &Path,
        world: Option<&str>,
    ) -> Result<Self, BuildError> {
        match recipe {
            Recipe::Rust => rust::Kit::find(folder).map(Self::Rust),
            Recipe::Python => python::Kit::find(base, folder).map(Self::Python),
            Recipe::Js => js::Kit::find(folder, wit, world).map(Self::Js),
            Recipe::C => c::Kit::find().map(Self::C),
            Recipe::Go => go::Kit::find().map(Self::Go),
        }
    }

    /// Makes the component.
    pub(crate) fn make(&self, site: &Site<'_>) -> Result<(), BuildError> {
        match self {
            Self::Rust(kit) => kit.make(site),
            Self::Python(kit) => kit.make(site),
            Self::Js(kit) => kit.make(site),
            Self::C(kit) => kit.make(site),
            Self::Go(kit) => kit.make(site),
        }
    }
}

pub(crate) use self::{
    c::bindings as c_bindings,
    go::{bindings as go_bindings, module_name as go_module},
};

fn missing(tool: &str, why: &str, get: impl IntoIterator<Item = String>) -> BuildError {
    BuildError::Missing(vec![Missing { tool: tool.to_owned(), why: why.to_owned(), get: get.into_iter().collect() }])
}

/// A command that is to be run in this folder.
fn in_folder(folder: &Path, command: &str) -> String {
    let folder: PathBuf = folder.components().filter(|part| *part != Component::CurDir).collect();
    if folder.as_os_str().is_empty() {
        return command.to_owned();
    }
    format!("(cd {} && {command})", quoted(folder.as_os_str()))
}

/// As tools need it that run elsewhere.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
