//! The language runtimes of this machine: a folder with a TOML and a component for each.
//!
//! ```text
//! RUNTIMES/python.toml    language, version, endings: see `RuntimeSpec`
//! RUNTIMES/python.wasm    the component
//! ```
//!
//! It is read when an app is; nothing is fetched. A file that does not describe a runtime is passed over when a script looks for one,
//! and shown by [`Runtimes::list`]. Whoever can write to the folder decides what runs an app's scripts, with the rights of those.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use watertight_model::script::{MAX_SPEC_BYTES, RuntimeSpec, SpecError};

use crate::snapshots;

/// Runtimes that one folder may hold.
const MAX_RUNTIMES: usize = 256;

/// A folder of runtimes, which need not exist.
#[derive(Clone, Debug, Default)]
pub struct Runtimes {
    folder: Option<PathBuf>,
}

/// A runtime in the folder.
#[derive(Clone, Debug)]
pub struct InstalledRuntime {
    /// What it is called: its file's name.
    pub name: String,
    /// What it says of itself.
    pub spec: RuntimeSpec,
    /// Its component.
    pub component: PathBuf,
}

/// Why a runtime cannot be added, removed or used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no folder to keep it in.
    #[error("there is no folder for runtimes: set WATERTIGHT_RUNTIMES, XDG_DATA_HOME or HOME, or give --runtimes")]
    NoFolder,
    /// No runtime has this name.
    #[error("there is no runtime `{0}`; `watertight runtime list` shows those that are there")]
    Unknown(String),
    /// A name that is none.
    #[error("{} cannot name a runtime: name the file after it, in lower-case letters, digits and `-`: python.toml", .0.display())]
    BadName(PathBuf),
    /// The TOML is not what it has to be.
    #[error("{} does not describe a runtime: {error}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SpecError,
    },
    /// The component is not one.
    #[error("{} is not a component", .0.display())]
    NotAComponent(PathBuf),
    /// Its interpreter does not make itself ready.
    #[error("{}: {reason}", path.display())]
    Snapshot {
        /// The component.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The system refuses.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Runtimes {
    /// The runtimes in a folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()) }
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// All of them by name, and what keeps a file from being one.
    #[must_use]
    pub fn list(&self) -> Vec<Result<InstalledRuntime, RuntimeError>> {
        let Some(entries) = self.folder.as_ref().and_then(|folder| fs::read_dir(folder).ok()) else {
            return Vec::new();
        };
        let mut files: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
            .take(MAX_RUNTIMES)
            .collect();
        files.sort();
        files.iter().map(|file| read(file)).collect()
    }

    /// The runtime of files with this ending: the first by name, where several have it.
    #[must_use]
    pub fn find(&self, ending: &str) -> Option<InstalledRuntime> {
        self.list().into_iter().flatten().find(|runtime| runtime.spec.runs(ending))
    }

    /// Adds a runtime: copies a TOML and its component, in the place of one with the same name. Where the TOML says how, it takes the
    /// snapshot of its interpreter.
    ///
    /// # Errors
    /// When either is not what it has to be, or cannot be written.
    pub fn add(&self, toml: &Path) -> Result<InstalledRuntime, RuntimeError> {
        let mut runtime = read(toml)?;
        let bytes = fs::read(&runtime.component).map_err(|error| failed(&runtime.component, error))?;
        if bytes.get(..8) != Some(b"\0asm\x0d\0\x01\0".as_slice()) {
            return Err(RuntimeError::NotAComponent(runtime.component));
        }
        let bytes = match &mut runtime.spec.snapshot {
            Some(spec) if !spec.taken => {
                spec.taken = true;
                let path = runtime.component.clone();
                let taken = snapshots::of_runtime(&bytes, &spec.init);
                taken.map_err(|reason| RuntimeError::Snapshot { path, reason })?
            }
            Some(_) | None => bytes,
        };
        let folder = self.folder.as_ref().ok_or(RuntimeError::NoFolder)?;
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        let component = format!("{}.wasm", runtime.name);
        runtime.spec.component = PathBuf::from(&component);
        runtime.spec.build = None;
        runtime.component = folder.join(component);
        let spec = runtime.spec.to_toml().map_err(|error| failed(toml, io::Error::other(error)))?;
        // The component first: a runtime is there as soon as its TOML is.
        put(folder, &runtime.component, &bytes)?;
        put(folder, &folder.join(format!("{}.toml", runtime.name)), spec.as_bytes())?;
        Ok(runtime)
    }

    /// What a TOML says, whether its component is there or not.
    ///
    /// # Errors
    /// When it does not describe a runtime.
    pub fn describe(toml: &Path) -> Result<InstalledRuntime, RuntimeError> {
        read(toml)
    }

    /// Removes a runtime.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), RuntimeError> {
        let unknown = || RuntimeError::Unknown(name.to_owned());
        let folder = self.folder.as_ref().filter(|_| is_name(name)).ok_or_else(unknown)?;
        let toml = folder.join(format!("{name}.toml"));
        if !toml.is_file() {
            return Err(unknown());
        }
        fs::remove_file(&toml).map_err(|error| failed(&toml, error))?;
        let component = folder.join(format!("{name}.wasm"));
        match fs::remove_file(&component) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&component, error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl InstalledRuntime {
    /// The bytes of its component.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(&self) -> Result<Arc<[u8]>, RuntimeError> {
        fs::read(&self.component).map(Arc::from).map_err(|error| failed(&self.component, error))
    }
}

fn read(toml: &Path) -> Result<InstalledRuntime, RuntimeError> {
    let name = toml.file_stem().and_then(|name| name.to_str()).filter(|name| is_name(name));
    let name = name.ok_or_else(|| RuntimeError::BadName(toml.into()))?.to_owned();
    let mut text = String::new();
    let file = fs::File::open(toml).map_err(|error| failed(toml, error))?;
    file.take(MAX_SPEC_BYTES).read_to_string(&mut text).map_err(|error| failed(toml, error))?;
    let spec = RuntimeSpec::parse(&text).map_err(|error| RuntimeError::Spec { path: toml.into(), error })?;
    let component = toml.with_file_name(&spec.component);
    Ok(InstalledRuntime { name, spec, component })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Puts a whole file in place of what was there.
fn put(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), RuntimeError> {
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(folder, error))?;
    file.write_all(bytes).map_err(|error| failed(path, error))?;
    file.persist(path).map_err(|error| failed(path, error.error))?;
    Ok(())
}

fn failed(path: &Path, error: io::Error) -> RuntimeError {
    RuntimeError::Io { path: path.into(), error }
}

#[cfg(test)]
mod tests {
    use watertight_testkit::guest;

    use super::*;

    const SPEC: &str = "language = \"Test\"\nversion = \"1\"\nextensions = [\"tst\"]\nprotocol = \"none\"\n\
                        component = \"built.wasm\"\n";

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("the temporary folder is writable")
    }

    fn write(folder: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("the temporary folder is writable");
        path
    }

    #[test]
    fn a_runtime_is_added_found_and_removed() {
        let (from, to) = (folder(), folder());
        let toml = write(&from, "test.toml", SPEC);
        write(&from, "built.wasm", guest::built("http-hello"));
        let runtimes = Runtimes::at(to.path().join("made"));
        assert!(runtimes.list().is_empty());
        runtimes.add(&toml).expect("it is a runtime");
        let found = runtimes.find("tst").expect("it was added");
        assert_eq!((found.name.as_str(), found.spec.language.as_str()), ("test", "Test"));
        assert_eq!(*found.read().expect("it was copied"), *guest::built("http-hello"));
        assert!(runtimes.find("py").is_none());
        runtimes.remove("test").expect("it is there");
        assert!(runtimes.list().is_empty());
        assert!(runtimes.remove("test").expect_err("it is gone").to_string().contains("no runtime `test`"));
        assert!(runtimes.remove("../test").is_err());
    }

    #[test]
    fn what_is_no_runtime_is_not_added_and_hides_no_other() {
        let (from, to) = (folder(), folder());
        let toml = write(&from, "test.toml", SPEC);
        let runtimes = Runtimes::at(to.path());
        let refused = |toml: &Path| runtimes.add(toml).expect_err("it is no runtime").to_string();
        assert!(refused(&toml).contains("built.wasm"), "the component is missing");
        write(&from, "built.wasm", "text");
        assert!(refused(&toml).ends_with("is not a component"));
        assert!(refused(&write(&from, "No Name.toml", SPEC)).contains("cannot name a runtime"));
        assert!(refused(&write(&from, "bad.toml", "x = 1")).contains("does not describe a runtime"));
        write(&to, "a.toml", "x = 1");
        write(&from, "built.wasm", guest::built("http-hello"));
        runtimes.add(&toml).expect("it is a runtime now");
        assert!(runtimes.list()[0].is_err());
        assert_eq!(runtimes.find("tst").expect("it was added").name, "test");
    }
}
