//! Where language runtimes are when nobody says: `$WATERTIGHT_RUNTIMES`, or the user's data folder, by the XDG base directory
//! specification.

use std::{env, path::PathBuf};

use watertight::Runtimes;

use crate::args::RuntimesDir;

/// The folder that was given, or `$WATERTIGHT_RUNTIMES`, `$XDG_DATA_HOME/watertight/runtimes`, `~/.local/share/watertight/runtimes`.
pub(crate) fn runtimes(given: &RuntimesDir) -> Runtimes {
    // Relative paths in these are to be ignored, says the specification.
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let named = || env::var_os("WATERTIGHT_RUNTIMES").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = given
        .runtimes
        .clone()
        .or_else(named)
        .or_else(|| absolute("XDG_DATA_HOME").map(|data| data.join("watertight/runtimes")))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share/watertight/runtimes")));
    folder.map_or_else(Runtimes::default, Runtimes::at)
}
