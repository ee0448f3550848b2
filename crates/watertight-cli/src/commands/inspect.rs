//! `watertight inspect`: what a file imports and exports.

use std::fs;

use watertight::inspect::inspect as look;

use crate::{
    args::{Format, Inspect},
    exit::Exit,
    failure::Failure,
    terminal,
};

pub(crate) fn inspect(args: &Inspect) -> Result<(), Failure> {
    let shown = args.file.display();
    let bytes =
        fs::read(&args.file).map_err(|error| Failure::new(Exit::NotFound, format!("cannot read {shown}: {error}")))?;
    let seen = look(&bytes).map_err(|error| Failure::new(Exit::Rejected, format!("{shown}: {error}")))?;
    match args.format {
        Format::Text => terminal::print(&seen.wit),
        Format::Json => terminal::print_json(&seen),
    }
}
