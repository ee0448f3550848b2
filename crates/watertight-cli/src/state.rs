//! Where postmortems go when nobody says: the user's state folder, by the XDG base directory specification.

use std::{env, path::PathBuf};

use crate::args::PostmortemArgs;

/// The folder that was given, or `$XDG_STATE_HOME/watertight/postmortem`, or `~/.local/state/watertight/postmortem`.
pub(crate) fn folder(given: Option<PathBuf>) -> Option<PathBuf> {
    // Relative paths in these are to be ignored, says the specification.
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = given
        .or_else(|| absolute("XDG_STATE_HOME").map(|state| state.join("watertight/postmortem")))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state/watertight/postmortem")))?;
    Some(std::path::absolute(&folder).unwrap_or(folder))
}

/// Where postmortems are to go, if there is a place: an app runs without.
pub(crate) fn wanted(args: &PostmortemArgs) -> Option<PathBuf> {
    if args.no_postmortem {
        return None;
    }
    let folder = folder(args.postmortem_dir.clone());
    if folder.is_none() {
        tracing::warn!(
            "no postmortems: neither XDG_STATE_HOME nor HOME is set; choose a folder with --postmortem-dir, or --no-postmortem"
        );
    }
    folder
}
