//! The checker: a manifest and the bytes it names become an [`App`], or a list of everything that is wrong.
//!
//! Pure: the shell reads the files ([`Manifest::sources`]) and looks up the folders ([`Manifest::folders`]), and passes both as
//! data. Every step goes on after a problem, and keeps silent about what only follows from another problem; an app comes out
//! only if there is no error at all. This is the one place where grants are minted (invariant 7).

mod agree;
mod build;
mod cycle;
mod fused;
mod groups;
mod modules;
mod policy;
mod resolve;
mod scope;
mod trigger;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use miette::NamedSource;
use semver::Version;

use crate::{
    app::{App, Lifetime, Wall},
    budget::Budget,
    component_type::{self, ComponentType, Item, Shape, Ty},
    grant::Grants,
    manifest::{At, ComponentSpec, Manifest, TopSpec, TriggerSpec, nearest, overlap},
    problem::{Code, Problem, SourceText},
    script::{self, Script},
    supervision::Residence,
    version::{ExternName, compatible},
};

/// What the shell found of the files that a manifest names.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The bytes of each component, by its name: see [`Manifest::sources`].
    pub sources: BTreeMap<String, Result<Arc<[u8]>, SourceError>>,
    /// The scripts among them, whose bytes are those of the runtime that runs them.
    pub scripts: BTreeMap<String, Script>,
    /// The host folders that grants name, by their path in the manifest: see [`Manifest::folders`].
    pub folders: BTreeMap<PathBuf, Result<(), FolderError>>,
}

/// Why a component's bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// There is no such file.
    Missing {
        /// The names of `.wasm` files near it, relative to the manifest, for "did you mean".
        neighbours: Vec<String>,
    },
    /// It is a folder.
    Folder,
    /// The system would not let it be read: why.
    Unreadable(String),
    /// A script, and no runtime for it.
    NoRuntime {
        /// The language that it is written in.
        language: String,
    },
    /// It was fetched, and is not what it should be: why.
    Damaged(String),
}

/// Why a host folder cannot be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderError {
    /// There is no such folder.
    Missing,
    /// It is something else.
    NotAFolder,
    /// The system would not let it be opened: why.
    Unreadable(String),
}

/// The log of a guest: a draft, which is in use with and without its version.
pub const LOGGING: [&str; 2] = ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];

/// What the host offers to every component: packages (`wasi:cli`) or single interfaces (`wasi:http/types`), and their versions.
#[derive(Clone, Debug, Default)]
pub struct HostInterfaces {
    offered: BTreeMap<String, Vec<Version>>,
    /// Imports that are met by their full names.
    named: BTreeSet<String>,
}

impl HostInterfaces {
    /// From pairs of a package or interface and a version.
    pub fn new(offered: impl IntoIterator<Item = (String, Version)>) -> Self {
        let mut host = Self::default();
        for (name, version) in offered {
            host.offered.entry(name).or_default().push(version);
        }
        host
    }

    /// WASI 0.2 and 0.3 as Wasmtime 48 offers them, and what language runtimes import.
    #[must_use]
    pub fn wasi() -> Self {
        let p2 = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];
        let p3 = ["cli", "clocks", "filesystem", "http", "random", "sockets"];
        let p2 = p2.map(|package| (format!("wasi:{package}"), Version::new(0, 2, 12)));
        let p3 = p3.map(|package| (format!("wasi:{package}"), Version::new(0, 3, 0)));
        let modules = (modules::INTERFACE.to_owned(), Version::new(0, 1, 0));
        Self::new(p2.into_iter().chain(p3).chain([modules])).also(LOGGING.map(str::to_owned))
    }

    /// The same, and these imports by their full names, whatever they are.
    #[must_use]
    pub fn also(mut self, imports: impl IntoIterator<Item = String>) -> Self {
        self.named.extend(imports);
        self
    }

    /// Whether the host meets an import of this name.
    #[must_use]
    pub fn meets_import(&self, name: &str) -> bool {
        self.named.contains(name) || self.meets(&ExternName::parse(name))
    }

    /// Whether the host meets an import. Within one compatible series it does so in both directions: a guest built against a
    /// later patch of WASI runs as long as it uses nothing newer, which the runtime checks when it links.
    pub(crate) fn meets(&self, import: &ExternName<'_>) -> bool {
        let Some(wanted) = &import.version else { return false };
        self.versions(import).any(|version| compatible(version, wanted))
    }

    pub(crate) fn versions<'a>(&'a self, import: &ExternName<'_>) -> impl Iterator<Item = &'a Version> {
        [import.base, import.package()].into_iter().filter_map(|name| self.offered.get(name)).flatten()
    }
}

/// Checks an app. Problems come in the order of the manifest's text; the app is there only if none of them is an error.
#[must_use]
pub fn check(manifest: &Manifest, files: &Files, host: &HostInterfaces) -> (Option<App>, Vec<Problem>) {
    let scripts = &files.scripts;
    let mut checker = Checker { manifest, host, scripts, types: Vec::new(), problems: manifest.problems.clone() };
    if !manifest.broken {
        checker.folders(files);
        checker.mounts();
        checker.nested_folders();
        checker.sources(files);
    }
    let app = if manifest.broken { None } else { checker.app() };
    let mut problems = checker.problems;
    problems.sort_by_key(|problem| problem.offset().unwrap_or(usize::MAX));
    let sound = !problems.iter().any(Problem::is_error);
    (app.filter(|_| sound), problems)
}

/// Checks an app of one component with the default lifetime and wall, and no grant but its output: what a single
/// `.wasm` file is, or a script with the bytes of its runtime. It answers every path if it exports an HTTP handler.
#[must_use]
pub fn single(
    file: &Path,
    bytes: Result<Arc<[u8]>, SourceError>,
    script: Option<Script>,
    host: &HostInterfaces,
) -> (Option<App>, Vec<Problem>) {
    let name = name_from(file);
    let source: SourceText = Arc::new(NamedSource::new(file.to_string_lossy(), Arc::from("")));
    let nowhere = |text: &str| At::new(text.to_owned(), 0..0);
    let handles_http = match &bytes {
        Ok(bytes) => component_type::read(bytes).is_ok_and(|component| trigger::handler(&component, host).is_some()),
        Err(_) => false,
    };
    let route = TriggerSpec { route: nowhere("/..."), component: nowhere(&name), exports: None, limit: None };
    let component = ComponentSpec {
        name: nowhere(&name),
        source: Some(nowhere(&file.to_string_lossy())),
        oci: None,
        lifetime: Lifetime::default(),
        wall: Wall::default(),
        uses: Vec::new(),
        // Whoever names a file on a command line wants to see what it prints, and has no manifest to say so in.
        grants: Grants { stdio: true, ..Grants::default() },
        dirs: Vec::new(),
        writable: Vec::new(),
        budget: if script.is_some() { Budget::of_script() } else { Budget::default() },
        edges: Vec::new(),
        residence: Residence::default(),
        redact: false,
        build: None,
        given: Vec::new(),
        resident_keys: Vec::new(),
    };
    let manifest = Manifest {
        source,
        name: name.clone(),
        version: "0.0.0".to_owned(),
        components: vec![component],
        http: if handles_http { vec![route] } else { Vec::new() },
        groups: Vec::new(),
        top: TopSpec { intensity: None, rest: None },
        problems: Vec::new(),
        broken: false,
        single: true,
    };
    let scripts = script.into_iter().map(|script| (name.clone(), script)).collect();
    let files = Files { sources: BTreeMap::from([(name, bytes)]), scripts, folders: BTreeMap::new() };
    check(&manifest, &files, host)
}

/// The name of a file without its ending, made into a component's name.
fn name_from(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(63).collect();
    if name.starts_with(|first: char| first.is_ascii_lowercase()) { name } else { "app".to_owned() }
}

/// One run of the checker.
struct Checker<'a> {
    manifest: &'a Manifest,
    host: &'a HostInterfaces,
    scripts: &'a BTreeMap<String, Script>,
    /// The type of each component; none where its bytes are not to be had, which is reported.
    types: Vec<Option<ComponentType>>,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn report(&mut self, problem: Problem, span: Range<usize>, label: impl Into<String>) {
        self.problems.push(problem.at(&self.manifest.source, span, label));
    }

    fn spec(&self, component: usize) -> &ComponentSpec {
        &self.manifest.components[component]
    }

    fn name(&self, component: usize) -> &str {
        &self.spec(component).name.value
    }

    fn name_span(&self, component: usize) -> Range<usize> {
        self.spec(component).name.span.clone()
    }

    /// The component of this name; if there is none, that is reported.
    fn component(&mut self, name: &At<String>) -> Option<usize> {
        let names = || self.manifest.components.iter().map(|component| component.name.value.as_str());
        if let Some(found) = names().position(|known| known == name.value) {
            return Some(found);
        }
        let help = match nearest(&name.value, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the components are {}", list(names())),
        };
        let problem = Problem::new(Code::UnknownComponent, format!("the app has no component `{}`", name.value));
        self.report(problem.help(help), name.span.clone(), "no such component");
        None
    }

    fn folders(&mut self, files: &Files) {
        for component in &self.manifest.components {
            for dir in &component.dirs {
                let shown = dir.value.display();
                let problem = match files.folders.get(&dir.value) {
                    Some(Ok(())) => continue,
                    None | Some(Err(FolderError::Missing)) => {
                        Problem::new(Code::MissingFolder, format!("there is no folder `{shown}`"))
                            .help("create it, or correct the path; it is relative to the manifest")
                    }
                    Some(Err(FolderError::NotAFolder)) => {
                        Problem::new(Code::MissingFolder, format!("`{shown}` is not a folder"))
                            .help("grant the folder that holds it")
                    }
                    Some(Err(FolderError::Unreadable(why))) => {
                        Problem::new(Code::MissingFolder, format!("the folder `{shown}` cannot be opened: {why}"))
                            .help("let the user that runs watertight open it")
                    }
                };
                self.report(problem, dir.span.clone(), "");
            }
        }
    }

    /// A script's folder has its place among the folders that the guest sees.
    fn mounts(&mut self) {
        for component in &self.manifest.components {
            if !self.scripts.contains_key(&component.name.value) {
                continue;
            }
            let taken = component.grants.dirs.iter().find(|dir| overlap(&dir.guest, script::FOLDER));
            let Some(taken) = taken else { continue };
            let what =
                format!("the guest path `{}` overlaps `{}`, where the script's folder is", taken.guest, script::FOLDER);
            let problem = Problem::new(Code::OverlappingDirs, what).help("give the folder a guest path beside it");
            let span = component.dirs.first().map_or_else(|| component.name.span.clone(), |dir| dir.span.clone());
            self.report(problem, span, "");
        }
    }

    /// A folder that is written to is counted, and what lies in two of them would be counted twice. Links are followed when the app is loaded.
    fn nested_folders(&mut self) {
        let folders = self.manifest.components.iter().flat_map(|component| &component.writable);
        let folders: Vec<_> = folders.map(|folder| (plain(&folder.value), folder)).collect();
        for (index, (path, folder)) in folders.iter().enumerate() {
            let nested = |earlier: &&(PathBuf, &At<PathBuf>)| {
                earlier.0 != *path && (earlier.0.starts_with(path) || path.starts_with(&earlier.0))
            };
            let Some((_, earlier)) = folders[..index].iter().find(nested) else { continue };
            let (one, other) = (earlier.value.display(), folder.value.display());
            let what = format!("`{one}` and `{other}` are both granted for writing, and one lies in the other");
            let problem = Problem::new(Code::OverlappingDirs, what)
                .help("each has a quota of its own: grant the outer one alone, or two that lie beside each other");
            self.report(problem, folder.span.clone(), "");
        }
    }

    fn sources(&mut self, files: &Files) {
        for index in 0..self.manifest.components.len() {
            let read = self.source(index, files);
            self.types.push(read);
        }
    }

    fn source(&mut self, index: usize, files: &Files) -> Option<ComponentType> {
        let source = self.spec(index).source.clone()?;
        let path = &source.value;
        let problem = match files.sources.get(self.name(index)) {
            Some(Ok(bytes)) => match component_type::read(bytes) {
                Ok(component) => return Some(component),
                Err(flaw) => Problem::new(Code::NotAComponent, format!("`{path}` {}", flaw.what)).help(flaw.next_step),
            },
            None | Some(Err(SourceError::Missing { .. })) if self.spec(index).oci.is_some() => {
                Problem::new(Code::MissingFile, format!("`{path}` was not fetched yet"))
                    .help("fetch it: watertight build")
            }
            Some(Err(SourceError::Damaged(why))) => {
                Problem::new(Code::MissingFile, format!("`{path}` is not what was fetched: {why}"))
                    .help("fetch it again: watertight build --force")
            }
            None => missing(path, &[]),
            Some(Err(SourceError::Missing { .. })) if self.spec(index).build.is_some() => {
                Problem::new(Code::MissingFile, format!("there is no file `{path}` yet"))
                    .help("make it: watertight build")
            }
            Some(Err(SourceError::Missing { neighbours })) => missing(path, neighbours),
            Some(Err(SourceError::Folder)) => {
                Problem::new(Code::MissingFile, format!("`{path}` is a folder")).help("name the `.wasm` file in it")
            }
            Some(Err(SourceError::Unreadable(why))) => {
                Problem::new(Code::MissingFile, format!("`{path}` cannot be read: {why}"))
                    .help("let the user that runs watertight read it")
            }
            Some(Err(SourceError::NoRuntime { language })) => {
                Problem::new(Code::NoRuntime, format!("`{path}` is {language}, and there is no runtime for it")).help(
                    "add one: watertight runtime add FILE.toml; those that are there: watertight runtime list; \
                     how to build one: docs/languages.md",
                )
            }
        };
        self.report(problem, source.span, "");
        None
    }
}

fn missing(path: &str, neighbours: &[String]) -> Problem {
    let help = match nearest(path, neighbours.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if neighbours.is_empty() => "build it, or correct the path; it is relative to the manifest".to_owned(),
        None => format!("there are {}", list(neighbours.iter().map(String::as_str))),
    };
    Problem::new(Code::MissingFile, format!("there is no file `{path}`")).help(help)
}

/// `a`, `b` and `c`.
fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
    }
}

/// Whether a part of a type satisfies a test.
fn any_part(ty: &Ty, test: &dyn Fn(&Shape) -> bool) -> bool {
    if test(&ty.shape) {
        return true;
    }
    let optional = |ty: &Option<Ty>| ty.as_ref().is_some_and(|ty| any_part(ty, test));
    match &ty.shape {
        Shape::Primitive(_) | Shape::Enum(_) | Shape::Flags(_) | Shape::Own(_) | Shape::Borrow(_) => false,
        Shape::Record(fields) => fields.iter().any(|(_, ty)| any_part(ty, test)),
        Shape::Variant(cases) => cases.iter().any(|(_, ty)| optional(ty)),
        Shape::Tuple(types) => types.iter().any(|ty| any_part(ty, test)),
        Shape::List(ty) | Shape::FixedList(ty, _) | Shape::Option(ty) => any_part(ty, test),
        Shape::Map(key, value) => any_part(key, test) || any_part(value, test),
        Shape::Result(ok, err) => optional(ok) || optional(err),
        Shape::Stream(ty) | Shape::Future(ty) => optional(ty),
    }
}

/// The noun of an import or export.
fn noun(item: &Item) -> &'static str {
    match item {
        Item::Interface(_) => "an interface",
        Item::Function(_) => "a function",
        Item::TypeName => "a type",
        Item::Unsupported(noun) => noun,
    }
}

/// A path without `.` and, as far as its text tells, without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            Component::ParentDir | Component::Normal(_) | Component::RootDir | Component::Prefix(_) => plain.push(part),
        }
    }
    plain
}
