//! Where compiled code goes when nobody says: the user's cache folder, by the XDG base directory specification.

use std::{env, path::PathBuf};

use crate::{exit::Exit, failure::Failure};

/// The folder that was given, or `$XDG_CACHE_HOME/watertight`, or `~/.cache/watertight`.
pub(crate) fn folder(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    // Relative paths in these are to be ignored, says the specification.
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    given
        .or_else(|| absolute("XDG_CACHE_HOME").map(|cache| cache.join("watertight")))
        .or_else(|| absolute("HOME").map(|home| home.join(".cache/watertight")))
        .ok_or_else(|| {
            Failure::new(Exit::NoCache, "there is no place for compiled code: neither XDG_CACHE_HOME nor HOME is set")
                .help("choose a folder with --cache-dir")
        })
}
