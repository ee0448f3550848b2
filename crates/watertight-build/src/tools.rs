//! Finding tools, and saying how to get those that are not there.

use std::{
    env,
    ffi::OsStr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// A tool that a build needs and that this machine does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Missing {
    /// What it is called.
    pub tool: String,
    /// What it is for, or why the one that is there will not do.
    pub why: String,
    /// Commands of a shell that get it; any of them will do.
    pub get: Vec<String>,
}

/// The first of these programs that is in one of the folders or on the PATH.
pub(crate) fn find(names: &[&str], folders: &[PathBuf]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = folders.iter().cloned().chain(env::split_paths(&path)).collect();
    names.iter().find_map(|name| places.iter().map(|place| place.join(name)).find(|file| is_program(file)))
}

/// Every program of this name on the PATH, the first before the others.
pub(crate) fn all_on_path(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|place| place.join(name)).filter(|file| is_program(file)).collect()
}

/// The program that a variable names, as a path or as a name on the PATH.
pub(crate) fn from_env(variable: &str) -> Option<PathBuf> {
    let value = env::var_os(variable).filter(|value| !value.is_empty())?;
    if Path::new(&value).components().count() > 1 {
        return Some(value.into());
    }
    find(&[value.to_str()?], &[])
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// A word of a shell's command line.
pub(crate) fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
