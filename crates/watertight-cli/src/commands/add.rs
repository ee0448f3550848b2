//! `watertight add`: has a component import what another one exports.

use watertight_build::{AddError, Place};

use super::build;
use crate::{args::Add, exit::Exit, failure::Failure, terminal};

pub(crate) fn add(args: &Add) -> Result<(), Failure> {
    let (file, manifest) = build::manifest(&args.app)?;
    let place = Place { path: &file.path, base: &file.base, text: &file.text, manifest: &manifest };
    let added = watertight_build::add(place, &args.what, &args.to).map_err(|error| {
        let exit = match error {
            AddError::UnknownComponent(_) => Exit::Usage,
            AddError::Unknown(_) => Exit::NotFound,
            AddError::Unfit(_) => Exit::Rejected,
            AddError::Io { .. } => Exit::NoOutput,
        };
        Failure::new(exit, error.to_string()).help("nothing was changed")
    })?;
    let to = &args.to;
    let mut text: String = added.imports.iter().map(|name| format!("{to} imports {name}\n")).collect();
    text.extend(added.uses.iter().map(|name| format!("{to} uses {name}\n")));
    text.extend(added.files.iter().map(|file| format!("  {}\n", file.display())));
    if added.files.is_empty() {
        text = format!("{to} has it already: nothing was changed\n");
    }
    terminal::print(&text)
}
