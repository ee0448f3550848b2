//! Bindings for people to read and editors to complete: what a build makes on its way, in a folder that stays.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use watertight_model::manifest::{Maker, Recipe};
use wit_bindgen_core::WorldGenerator as _;

use crate::{
    cancel::Cancel,
    declarations,
    make::{BuildError, Job, Workshop, run},
    recipe::Kit,
    wit,
};

/// The folder of bindings, beside what a component is made from.
const FOLDER: &str = "bindings";

/// What became of the bindings of one component.
#[derive(Debug, PartialEq, Eq)]
pub enum Bindings {
    /// They are in this folder.
    Written(PathBuf),
    /// There are none to write: why.
    None(&'static str),
}

impl Workshop {
    /// Writes the bindings of a component, in the place of those before.
    ///
    /// # Errors
    /// When its WIT is not sound, or a tool is missing or fails.
    pub fn bindings(&self, job: &Job, cancel: &Cancel) -> Result<Bindings, BuildError> {
        let Maker::Recipe { recipe, wit: wit_folder, world, .. } = job.maker() else {
            return Ok(Bindings::None("a command makes it: its own tools know"));
        };
        let wit_folder = job.folder.join(wit_folder);
        let found = wit::read(&wit_folder, world.as_deref()).map_err(BuildError::Wit)?;
        let writing = |error| BuildError::Write { path: job.folder.join(FOLDER), error };
        let scratch = tempfile::Builder::new().prefix(".watertight-").tempdir_in(&job.folder).map_err(writing)?;
        let fresh = scratch.path().join(FOLDER);
        match recipe {
            Recipe::Rust => {
                let mut found = found;
                let mut files = wit_bindgen_core::Files::default();
                let options = wit_bindgen_rust::Opts { format: true, generate_all: true, ..Default::default() };
                let made = options.build().generate(&mut found.resolve, found.world, &mut files);
                made.map_err(|error| BuildError::Wit(format!("{error:#}")))?;
                fs::create_dir_all(&fresh).map_err(writing)?;
                for (name, content) in files.iter() {
                    fs::write(fresh.join(name), content).map_err(writing)?;
                }
            }
            Recipe::Js => {
                fs::create_dir_all(&fresh).map_err(writing)?;
                let declared = declarations::of_world(&found.resolve, found.world);
                fs::write(fresh.join(format!("{}.d.ts", found.name)), declared).map_err(writing)?;
            }
            Recipe::C => {
                fs::create_dir_all(&fresh).map_err(writing)?;
                for (name, content) in crate::recipe::c_bindings(found)?.iter() {
                    fs::write(fresh.join(name), content).map_err(writing)?;
                }
            }
            Recipe::Go => {
                let mut found = found;
                let module = crate::recipe::go_module(&job.folder)?;
                for (path, content) in crate::recipe::go_bindings(&module, &mut found)? {
                    let path = scratch.path().join(path);
                    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(writing)?;
                    fs::write(path, content).map_err(writing)?;
                }
            }
            Recipe::Python => {
                let kit = Kit::find(*recipe, &self.base, &job.folder, &wit_folder, world.as_deref())?;
                let Kit::Python(kit) = kit else { return Ok(Bindings::None("it has no recipe")) };
                let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                let mut command = Command::new(kit.program());
                command.arg("-d").arg(absolute(&wit_folder)).args(["-w", &found.name, "bindings"]).arg(&fresh);
                run(&mut command, cancel)?;
            }
        }
        let place = job.folder.join(FOLDER);
        if place.exists() {
            fs::rename(&place, scratch.path().join("before")).map_err(writing)?;
        }
        fs::rename(&fresh, &place).map_err(writing)?;
        Ok(Bindings::Written(place))
    }
}
