//! What a component is made from, as one hash: the same hash, the same component.
//!
//! Names and contents count, times and owners do not. What is made along the way (`target`, `node_modules`, …) is left out where a
//! whole folder is an input, and so is every component: else a build would change its own inputs.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use blake3::Hasher;

/// Files that one component may be made from: more are not sources.
const MAX_FILES: usize = 50_000;

/// Names that are left out of folders, besides hidden ones.
const LEFT_OUT: [&str; 6] = ["target", "node_modules", "__pycache__", "venv", "watertight.toml", "watertight.lock"];

/// Files that a package manager writes while it builds, where they are missing or out of date.
const LOCKS: [&str; 2] = ["Cargo.lock", "package-lock.json"];

/// Why it is not known what a component is made from.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// An input that is not there.
    #[error("there is no input `{}`: correct `inputs`", .0.display())]
    Missing(PathBuf),
    /// One that cannot be read.
    #[error("cannot read the input {}: {error}", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Too many.
    #[error("{} holds more than {MAX_FILES} files: name the ones it is made from in `inputs`", .0.display())]
    TooMany(PathBuf),
}

/// What of a file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Contents,
    /// Size and time: cheap, and enough to see that there is something to look at.
    Times,
}

/// Sums up inputs, one after the other.
#[derive(Debug)]
pub(crate) struct Fingerprint {
    all: Hasher,
    /// The same without what a package manager writes while it builds.
    but_locks: Hasher,
    files: usize,
    by: By,
}

impl Fingerprint {
    pub(crate) fn new() -> Self {
        let mut hasher = Hasher::new();
        // Changes with what a build means.
        hasher.update(b"watertight build 1\0");
        Self { all: hasher.clone(), but_locks: hasher, files: 0, by: By::Contents }
    }

    /// One that tells only whether files were written.
    pub(crate) fn of_times() -> Self {
        Self { by: By::Times, ..Self::new() }
    }

    /// Something that is no file.
    pub(crate) fn word(&mut self, word: &str) {
        self.add(word, &[], false);
    }

    /// A word, and what belongs to it; of a lock, or not.
    fn add(&mut self, word: &str, bytes: &[u8], lock: bool) {
        for hasher in [Some(&mut self.all), (!lock).then_some(&mut self.but_locks)].into_iter().flatten() {
            hasher.update(&(word.len() as u64).to_le_bytes()).update(word.as_bytes()).update(bytes);
        }
    }

    /// An input: a file, or a folder with all that is in it.
    pub(crate) fn input(&mut self, folder: &Path, input: &Path) -> Result<(), InputError> {
        let path = folder.join(input);
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => self.folder(&path, input),
            Ok(_) => self.file(&path, input, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(InputError::Missing(input.to_owned())),
            Err(error) => Err(InputError::Unreadable { path, error }),
        }
    }

    pub(crate) fn finish(&self) -> String {
        self.all.finalize().to_hex().to_string()
    }

    /// The sum without the locks in its folders.
    pub(crate) fn finish_but_locks(&self) -> String {
        self.but_locks.finalize().to_hex().to_string()
    }

    fn folder(&mut self, path: &Path, name: &Path) -> Result<(), InputError> {
        let unreadable = |error| InputError::Unreadable { path: path.to_owned(), error };
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
        let mut entries: Vec<_> = entries.into_iter().filter(|entry| counts(&entry.path())).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, name) = (entry.path(), name.join(entry.file_name()));
            let kind = entry.file_type().map_err(unreadable)?;
            let lock = LOCKS.iter().any(|lock| name.ends_with(lock));
            if kind.is_dir() {
                self.folder(&path, &name)?;
            } else if kind.is_file() {
                self.file(&path, &name, lock)?;
            } else if kind.is_symlink() {
                // Where it leads, and what is there if that is a file: following folders might never end.
                let target = fs::read_link(&path).map_err(unreadable)?;
                self.add(&target.to_string_lossy(), &[], lock);
                if path.is_file() {
                    self.file(&path, &name, lock)?;
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &Path, lock: bool) -> Result<(), InputError> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(InputError::TooMany(path.parent().unwrap_or(path).to_owned()));
        }
        let mut content = Hasher::new();
        let hashed = match self.by {
            By::Contents => fs::File::open(path).and_then(|file| content.update_reader(file).map(|_| ())),
            By::Times => fs::metadata(path).map(|metadata| {
                let seen = (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino());
                content.update(format!("{seen:?}").as_bytes());
            }),
        };
        hashed.map_err(|error| InputError::Unreadable { path: path.to_owned(), error })?;
        self.add(&name.to_string_lossy(), content.finalize().as_bytes(), lock);
        Ok(())
    }
}

/// Whether what a folder holds is an input.
fn counts(path: &Path) -> bool {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else { return false };
    !name.starts_with('.') && !LEFT_OUT.contains(&name.as_ref()) && !name.ends_with(".wasm")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(folder: &Path, inputs: &[&str]) -> Result<String, InputError> {
        let mut sum = Fingerprint::new();
        for input in inputs {
            sum.input(folder, Path::new(input))?;
        }
        Ok(sum.finish())
    }

    #[test]
    fn names_and_contents_count_and_what_builds_leave_behind_does_not() {
        let folder = tempfile::tempdir().expect("there is room");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder is ours");
            fs::write(path, text).expect("the folder is ours");
        };
        let now = || of(folder.path(), &["."]).expect("they can be read");
        write("src/a.rs", "a");
        let first = now();
        for (name, text) in
            [("target/x", "1"), (".git/x", "1"), ("a.wasm", "1"), ("js/node_modules/x", "1"), ("watertight.toml", "1")]
        {
            write(name, text);
        }
        fs::remove_dir_all(folder.path().join("js")).expect("the folder is ours");
        assert_eq!(now(), first);
        write("src/a.rs", "b");
        let second = now();
        assert_ne!(second, first);
        write("src/b.rs", "b");
        fs::remove_file(folder.path().join("src/a.rs")).expect("it is there");
        assert_ne!(now(), second, "another name");
        write("src/b.rs", "a");
        write("src/a.rs", "a");
        fs::remove_file(folder.path().join("src/b.rs")).expect("it is there");
        assert_eq!(now(), first, "as it was");
    }

    #[test]
    fn links_are_followed_to_files_and_not_into_folders() {
        let folder = tempfile::tempdir().expect("there is room");
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, folder.path().join(name)).expect("the folder is ours");
        };
        fs::write(folder.path().join(".hidden"), "1").expect("the folder is ours");
        link(".", "round");
        link("gone", "nowhere");
        link(".hidden", "there");
        let first = of(folder.path(), &["."]).expect("they can be read");
        fs::write(folder.path().join(".hidden"), "2").expect("the folder is ours");
        assert_ne!(of(folder.path(), &["."]).expect("they can be read"), first);
        assert!(matches!(of(folder.path(), &["gone.c"]), Err(InputError::Missing(_))));
    }
}
