//! From what a person names to an app: a folder, a manifest, a `.wasm` file or a script is read once, whole, and checked.
//!
//! This is the one place that reads an app's files; what it read is what runs, whatever happens to the files later. Scripts are
//! the exception: their runtime is read here, and reads them itself, each time it runs one. It decides
//! nothing about them: that is the checker's part.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use watertight_model::{
    app::{App, Sources},
    check::{self, Files, FolderError, HostInterfaces, SourceError},
    manifest::{
        Manifest,
        oci::{self, Lock, OciSource},
    },
    problem::Problem,
    script::{self, Script},
};

use crate::{
    folder::{self, FolderApp},
    runtimes::Runtimes,
};

/// The manifest's name in an app's folder.
pub const MANIFEST: &str = "watertight.toml";

/// Bytes that a manifest may have: more is not a manifest.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// Names of files that a message lists.
const MAX_NEIGHBOURS: usize = 32;

/// What an app is made of, read and not yet checked.
#[derive(Clone, Debug)]
pub struct AppSource {
    form: Form,
    base: PathBuf,
}

#[derive(Clone, Debug)]
enum Form {
    Manifest {
        /// How people are told of it.
        file: String,
        text: String,
        sources: BTreeMap<String, Result<Arc<[u8]>, SourceError>>,
        scripts: BTreeMap<String, Script>,
    },
    Single {
        file: PathBuf,
        bytes: Result<Arc<[u8]>, SourceError>,
        script: Option<Script>,
    },
}

/// Nothing that could be an app is there.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file or folder.
    #[error("there is no file or folder {}", .0.display())]
    Missing(PathBuf),
    /// A folder without a manifest.
    #[error("the folder {} has no {MANIFEST}{}", path.display(), listed(wasm))]
    NoManifest {
        /// The folder.
        path: PathBuf,
        /// The `.wasm` files in it.
        wasm: Vec<String>,
    },
    /// A file that is neither text nor WebAssembly.
    #[error("{} is neither a manifest, WebAssembly nor a script: name a folder with a {MANIFEST}, a manifest, a .wasm file or a script", .0.display())]
    Neither(PathBuf),
    /// The system would not let it be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn listed(wasm: &[String]) -> String {
    match wasm {
        [] => ": create one, or name a .wasm file".to_owned(),
        some => format!(": create one, or name one of its files: {}", some.join(", ")),
    }
}

/// An app that is sound, and what its components are made of.
#[derive(Clone, Debug)]
pub struct CheckedApp {
    /// The app.
    pub app: Arc<App>,
    /// The bytes of its components.
    pub sources: Sources,
    /// The folder that granted folders are relative to.
    pub base: PathBuf,
    /// Problems that keep nothing from running.
    pub warnings: Vec<Problem>,
    /// Whether scripts that answer requests are loaded once, when the app is compiled, instead of in each request.
    pub snapshots: bool,
}

/// An app that is not sound: everything that is wrong with it, at least one error.
#[derive(Debug, thiserror::Error)]
#[error("{}", summary(.0))]
pub struct Rejected(pub Vec<Problem>);

fn summary(problems: &[Problem]) -> String {
    let errors: Vec<_> = problems.iter().filter(|problem| problem.is_error()).map(Problem::message).collect();
    errors.join("; ")
}

impl AppSource {
    /// Reads an app: a folder with a `watertight.toml`, a manifest, or a single `.wasm`. Files that a manifest names and
    /// that cannot be read are problems for [`AppSource::check`] to tell.
    ///
    /// # Errors
    /// When there is nothing at `path` that could be an app.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        Self::read_with(path, &Runtimes::default())
    }

    /// Reads an app whose scripts, or which as a single script, these runtimes run.
    ///
    /// # Errors
    /// When there is nothing at `path` that could be an app.
    pub fn read_with(path: &Path, runtimes: &Runtimes) -> Result<Self, ReadError> {
        let unreadable = |error| unreadable(path, error);
        if path.is_file()
            && !is_wasm(path).map_err(unreadable)?
            && let Some(name) = path.file_name()
            && let Some(found) = run_by(Path::new(name), runtimes)
        {
            let (bytes, script) =
                found.map_or_else(|error| (Err(error), None), |(bytes, script)| (Ok(bytes), Some(script)));
            return Ok(Self { form: Form::Single { file: path.to_owned(), bytes, script }, base: parent(path) });
        }
        if path.is_dir()
            && !path.join(MANIFEST).is_file()
            && let Some(FolderApp { manifest, sources, scripts }) = folder::read(path, runtimes).map_err(unreadable)?
        {
            let sources = sources.into_iter().map(|(name, bytes)| (name, Ok(bytes))).collect();
            let file = path.join(MANIFEST).display().to_string();
            return Ok(Self { form: Form::Manifest { file, text: manifest, sources, scripts }, base: path.to_owned() });
        }
        let Some(ManifestFile { path, base, text }) = ManifestFile::read(path)? else {
            let bytes = fs::read(path).map_err(unreadable)?;
            let form = Form::Single { file: path.to_owned(), bytes: Ok(bytes.into()), script: None };
            return Ok(Self { form, base: parent(path) });
        };
        let file = path.display().to_string();
        let (mut sources, mut scripts) = (BTreeMap::new(), BTreeMap::new());
        let manifest = Manifest::parse(&file, &text);
        for (component, source) in manifest.sources() {
            let read = read_source(&base, source, runtimes).map(|(bytes, script)| {
                scripts.extend(script.map(|script| (component.to_owned(), script)));
                bytes
            });
            sources.insert(component.to_owned(), read);
        }
        let lock = read_lock(&base);
        for (component, source) in manifest.fetched() {
            sources.insert(component.to_owned(), read_fetched(&base, source, &lock));
        }
        Ok(Self { form: Form::Manifest { file, text, sources, scripts }, base })
    }

    /// An app of a manifest's text and the bytes of its components, by their names. Granted folders are relative to `base`.
    pub fn in_memory(
        manifest: impl Into<String>,
        components: impl IntoIterator<Item = (String, Arc<[u8]>)>,
        base: impl Into<PathBuf>,
    ) -> Self {
        let sources = components.into_iter().map(|(name, bytes)| (name, Ok(bytes))).collect();
        let (file, text, scripts) = (MANIFEST.to_owned(), manifest.into(), BTreeMap::new());
        Self { form: Form::Manifest { file, text, sources, scripts }, base: base.into() }
    }

    /// An app of one component, with defaults; it is named after `file`, which need not exist.
    pub fn single(file: impl Into<PathBuf>, bytes: impl Into<Arc<[u8]>>) -> Self {
        let file = file.into();
        let base = parent(&file);
        Self { form: Form::Single { file, bytes: Ok(bytes.into()), script: None }, base }
    }

    /// Whether this is a single `.wasm` or script, without a manifest to say what it may do.
    #[must_use]
    pub fn is_single(&self) -> bool {
        matches!(self.form, Form::Single { .. })
    }

    /// Checks the app.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn check(&self) -> Result<CheckedApp, Rejected> {
        let host = HostInterfaces::wasi();
        let (app, warnings, sources) = match &self.form {
            Form::Single { file, bytes, script } => {
                let (app, problems) = check::single(file, bytes.clone(), script.clone(), &host);
                let name = app.as_ref().and_then(|app| app.components.first()).map(|component| component.name.clone());
                (app, problems, BTreeMap::from([(name.unwrap_or_default(), bytes.clone())]))
            }
            Form::Manifest { file, text, sources, scripts } => {
                let manifest = Manifest::parse(file, text);
                let folders = manifest.folders().map(|path| (path.to_owned(), look_up(&self.base.join(path))));
                let (sources, scripts) = (sources.clone(), scripts.clone());
                let files = Files { sources, scripts, folders: folders.collect() };
                let (app, problems) = check::check(&manifest, &files, &host);
                (app, problems, files.sources)
            }
        };
        let Some(app) = app else { return Err(Rejected(warnings)) };
        let bytes = app.components.iter().filter_map(|component| {
            let bytes = sources.get(&component.name)?.as_ref().ok()?;
            Some((component.id, Arc::clone(bytes)))
        });
        let sources = bytes.collect();
        Ok(CheckedApp { app: Arc::new(app), sources, base: self.base.clone(), warnings, snapshots: true })
    }

    /// The same app with these bytes for its components, which need not be looked at again for what their scripts do while they are loaded.
    #[must_use]
    pub fn loaded(mut self, app: &App, ready: &Sources) -> Self {
        let found = |name: &str| {
            let component = app.components.iter().find(|component| component.name == name)?;
            ready.get(&component.id).cloned()
        };
        let keep = |script: &mut Script| script.snapshot = None;
        match &mut self.form {
            Form::Single { bytes, script, .. } => {
                if let Some(ready) = app.components.first().and_then(|component| found(&component.name)) {
                    *bytes = Ok(ready);
                    script.iter_mut().for_each(keep);
                }
            }
            Form::Manifest { sources, scripts, .. } => {
                for (name, bytes) in sources.iter_mut() {
                    if let Some(ready) = found(name) {
                        *bytes = Ok(ready);
                    }
                }
                scripts.values_mut().for_each(keep);
            }
        }
        self
    }

    /// What another process needs to check the same app: the parts, with their bytes. Only for an app that was checked:
    /// files that could not be read are left out.
    pub(crate) fn parts(&self) -> (SourceParts, Vec<Arc<[u8]>>) {
        let mut blobs = Vec::new();
        let mut named = Vec::new();
        let mut keep = |name: &str, bytes: &Result<Arc<[u8]>, SourceError>| {
            if let Ok(bytes) = bytes {
                named.push((name.to_owned(), bytes.len() as u64));
                blobs.push(Arc::clone(bytes));
            }
        };
        let (file, manifest, scripts) = match &self.form {
            Form::Single { file, bytes, script } => {
                keep("", bytes);
                let scripts = script.iter().map(|script| (String::new(), script.clone()));
                (file.clone(), None, scripts.collect())
            }
            Form::Manifest { file, text, sources, scripts } => {
                sources.iter().for_each(|(name, bytes)| keep(name, bytes));
                (PathBuf::from(file), Some(text.clone()), scripts.clone())
            }
        };
        (SourceParts { file, manifest, scripts, base: self.base.clone(), blobs: named }, blobs)
    }

    /// Puts together what [`AppSource::parts`] took apart.
    pub(crate) fn from_parts(parts: SourceParts, blobs: Vec<Arc<[u8]>>) -> Self {
        let SourceParts { file, manifest, mut scripts, base, blobs: named } = parts;
        let mut named = named.into_iter().map(|(name, _)| name).zip(blobs.into_iter().map(Ok));
        let form = match manifest {
            Some(text) => Form::Manifest { file: file.display().to_string(), text, sources: named.collect(), scripts },
            None => {
                let missing = Err(SourceError::Missing { neighbours: Vec::new() });
                let bytes = named.next().map_or(missing, |(_, bytes)| bytes);
                Form::Single { file, bytes, script: scripts.remove("") }
            }
        };
        Self { form, base }
    }
}

/// An app's source without the bytes of its components.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SourceParts {
    file: PathBuf,
    manifest: Option<String>,
    /// The scripts among the components; that of a single one has no name.
    scripts: BTreeMap<String, Script>,
    base: PathBuf,
    /// Names and lengths of the components' bytes.
    pub(crate) blobs: Vec<(String, u64)>,
}

/// A manifest's text, and where it is.
#[derive(Clone, Debug)]
pub struct ManifestFile {
    /// The file.
    pub path: PathBuf,
    /// Its folder, which paths in it are relative to.
    pub base: PathBuf,
    /// What it says.
    pub text: String,
}

impl ManifestFile {
    /// Reads the manifest of an app; there is none for a single `.wasm`.
    ///
    /// # Errors
    /// When there is nothing at `path` that could be an app.
    pub fn read(path: &Path) -> Result<Option<Self>, ReadError> {
        let unreadable = |error| unreadable(path, error);
        if fs::metadata(path).map_err(unreadable)?.is_dir() {
            let manifest = path.join(MANIFEST);
            return if manifest.is_file() {
                Self::read(&manifest)
            } else {
                Err(ReadError::NoManifest { path: path.to_owned(), wasm: wasm_files(path, Path::new("")) })
            };
        }
        if is_wasm(path).map_err(unreadable)? {
            return Ok(None);
        }
        if fs::metadata(path).map_err(unreadable)?.len() > MAX_MANIFEST_BYTES {
            return Err(ReadError::Neither(path.to_owned()));
        }
        let text = fs::read(path).map_err(unreadable)?;
        let text = String::from_utf8(text).map_err(|_| ReadError::Neither(path.to_owned()))?;
        Ok(Some(Self { path: path.to_owned(), base: parent(path), text }))
    }
}

fn unreadable(path: &Path, error: io::Error) -> ReadError {
    if error.kind() == io::ErrorKind::NotFound {
        ReadError::Missing(path.to_owned())
    } else {
        ReadError::Unreadable { path: path.to_owned(), error }
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A file is WebAssembly by its name or by its first bytes: what is wrong with it is then told in those terms.
fn is_wasm(path: &Path) -> io::Result<bool> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wasm")) {
        return Ok(true);
    }
    let mut magic = [0; 4];
    match io::Read::read_exact(&mut fs::File::open(path)?, &mut magic) {
        Ok(()) => Ok(&magic == b"\0asm"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The bytes of a runtime, and the script that it runs.
type RunBy = Result<(Arc<[u8]>, Script), SourceError>;

/// A script's runtime, if a file is a script by its ending.
fn run_by(file: &Path, runtimes: &Runtimes) -> Option<RunBy> {
    let ending = script::ending(file)?;
    let Some(runtime) = runtimes.find(&ending) else {
        let language = script::language(&ending)?.to_owned();
        return Some(Err(SourceError::NoRuntime { language }));
    };
    let bytes = runtime.read().map_err(|error| SourceError::Unreadable(error.to_string()));
    Some(bytes.map(|bytes| (bytes, runtime.spec.script(file))))
}

fn read_source(base: &Path, source: &Path, runtimes: &Runtimes) -> Result<(Arc<[u8]>, Option<Script>), SourceError> {
    let path = base.join(source);
    if path.is_file()
        && let Some(found) = run_by(source, runtimes)
    {
        return found.map(|(bytes, script)| (bytes, Some(script)));
    }
    match fs::read(&path) {
        Ok(bytes) => Ok((bytes.into(), None)),
        Err(_) if path.is_dir() => Err(SourceError::Folder),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            let folder = source.parent().unwrap_or(Path::new(""));
            Err(SourceError::Missing { neighbours: wasm_files(base, folder) })
        }
        Err(error) => Err(SourceError::Unreadable(error.to_string())),
    }
}

/// What tags are pinned to; damage shows itself in every component that needs it.
fn read_lock(base: &Path) -> Result<Lock, SourceError> {
    match fs::read_to_string(base.join(oci::LOCK)) {
        Ok(text) => oci::read_lock(&text).map_err(|why| SourceError::Damaged(format!("{}: {why}", oci::LOCK))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lock::new()),
        Err(error) => Err(SourceError::Damaged(format!("{}: {error}", oci::LOCK))),
    }
}

/// A component that was fetched before: nothing is fetched here. Every digest on the way to it is checked.
fn read_fetched(base: &Path, source: &OciSource, lock: &Result<Lock, SourceError>) -> Result<Arc<[u8]>, SourceError> {
    let missing = || SourceError::Missing { neighbours: Vec::new() };
    let digest = match (&source.digest, lock) {
        (Some(digest), _) => digest.as_str(),
        (None, Ok(lock)) => source.pinned(lock).ok_or_else(missing)?,
        (None, Err(error)) => return Err(error.clone()),
    };
    let kept = |digest: &str| match fs::read(base.join(oci::place(digest))) {
        Ok(bytes) if sha256(&bytes) == digest => Ok(bytes),
        Ok(bytes) => Err(SourceError::Damaged(format!("its digest is {}, and not {digest}", sha256(&bytes)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
        Err(error) => Err(SourceError::Unreadable(error.to_string())),
    };
    let layer = oci::layer(&kept(digest)?).map_err(SourceError::Damaged)?;
    kept(&layer.digest).map(Into::into)
}

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// The `.wasm` files in a folder under `base`, relative to `base`.
fn wasm_files(base: &Path, folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(base.join(folder)) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| folder.join(entry.file_name()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .map(|path| path.display().to_string())
        .take(MAX_NEIGHBOURS)
        .collect();
    names.sort();
    names
}

fn look_up(folder: &Path) -> Result<(), FolderError> {
    let Err(error) = fs::read_dir(folder) else { return Ok(()) };
    if error.kind() == io::ErrorKind::NotFound {
        return Err(FolderError::Missing);
    }
    let is_something_else = error.kind() == io::ErrorKind::NotADirectory;
    Err(if is_something_else { FolderError::NotAFolder } else { FolderError::Unreadable(error.to_string()) })
}

#[cfg(test)]
mod tests {
    use watertight_testkit::guest;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("the temporary folder is writable")
    }

    fn write(folder: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("the temporary folder is writable");
        path
    }

    fn rejected(path: &Path) -> String {
        AppSource::read(path).expect("it is there").check().expect_err("it is wrong").to_string()
    }

    #[test]
    fn a_folder_a_manifest_and_a_file_are_apps() {
        let folder = folder();
        let wasm = write(&folder, "hello.wasm", guest::built("http-hello"));
        let text = "[app]\nname = \"hello\"\n[component.web]\nsource = \"hello.wasm\"\n\
                    [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n";
        let manifest = write(&folder, MANIFEST, text);
        let other = write(&folder, "other.txt", text);
        for (path, component) in [(folder.path(), "web"), (&manifest, "web"), (&other, "web"), (&wasm, "hello")] {
            let source = AppSource::read(path).expect("it is there");
            assert_eq!(source.is_single(), component == "hello");
            let checked = source.check().expect("it is sound");
            assert_eq!(checked.app.components[0].name, component, "{}", path.display());
            assert_eq!(checked.sources.len(), 1);
            assert_eq!(checked.base, folder.path());
            assert_eq!(checked.app.http.len(), 1);
        }
    }

    #[test]
    fn what_is_no_app_is_said_with_the_next_step() {
        let folder = folder();
        let read = |path: &Path| AppSource::read(path).expect_err("it is no app").to_string();
        assert!(read(&folder.path().join("gone")).starts_with("there is no file or folder "));
        assert!(read(folder.path()).contains("create one, or name a .wasm file"));
        write(&folder, "b.wasm", "");
        assert!(read(folder.path()).ends_with("create one, or name one of its files: b.wasm"));
        assert!(
            read(&write(&folder, "picture.png", [0xff, 0xfe, 0x00]))
                .contains("neither a manifest, WebAssembly nor a script")
        );
    }

    #[test]
    fn what_is_wrong_with_the_files_is_told_at_once() {
        let folder = folder();
        let hello = guest::built("http-hello");
        assert!(rejected(&write(&folder, "cut.wasm", &hello[..hello.len() / 2])).contains("is cut off"));
        fs::create_dir(folder.path().join("dir")).expect("the temporary folder is writable");
        write(&folder, "file", "");
        let manifest = "[app]\nname = \"a\"\n[component.a]\nsource = \"cutt.wasm\"\n[component.b]\nsource = \"dir\"\n\
                        grants = { dirs = [{ host = \"gone\", guest = \"/a\" }, { host = \"file\", guest = \"/b\" }] }\n";
        let message = rejected(&write(&folder, "watertight.toml", manifest));
        for part in ["no file `cutt.wasm`", "`dir` is a folder", "no folder `gone`", "`file` is not a folder"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }

    #[test]
    fn an_app_survives_being_taken_apart() {
        let folder = folder();
        let wasm = write(&folder, "hello.wasm", guest::built("http-hello"));
        let text = "[app]\nname = \"hello\"\n[component.web]\nsource = \"hello.wasm\"\n";
        let manifest = write(&folder, MANIFEST, text);
        for path in [manifest, wasm] {
            let source = AppSource::read(&path).expect("it is there");
            let checked = source.check().expect("it is sound");
            fs::remove_file(&path).expect("it was there");
            let (parts, blobs) = source.parts();
            let again = AppSource::from_parts(parts, blobs).check().expect("it is still sound");
            assert_eq!(format!("{:?}", again.app), format!("{:?}", checked.app));
            assert_eq!(again.sources, checked.sources);
        }
    }
}
