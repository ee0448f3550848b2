//! The manifest: what `watertight.toml` says, before anything is known of the components it names.
//!
//! [`Manifest::parse`] takes any text and always returns: what it could not read is a problem that it keeps, and
//! [`check`](crate::check::check) hands back together with its own. So a manifest with problems can be looked at, but no
//! [`App`](crate::app::App) ever comes of it.

mod building;
pub mod keys;
pub mod oci;
mod policy;
pub mod quantity;
mod reach;
mod reader;
mod residence;
mod schema;

use std::{collections::BTreeMap, ops::Range, path::PathBuf, sync::Arc};

use miette::NamedSource;
use toml::{Spanned, de::DeTable};

pub use self::{
    building::{BuildSpec, Maker, Recipe},
    schema::schema,
};
use self::{
    keys::MEMORY_MIN,
    reach::Flaw,
    reader::{Reader, Table},
};
pub(crate) use self::{
    policy::{EdgeSpec, OnFailureSpec, PolicySpec},
    reader::nearest,
    residence::{GroupSpec, TopSpec},
};
use crate::{
    app::{Lifetime, Limit, Wall},
    budget::Budget,
    grant::{DEFAULT_FILES, DEFAULT_QUOTA, DirGrant, DirMode, Grants},
    problem::{Code, Problem, SourceText},
    supervision::Residence,
};

/// A value and where it stands in the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }
}

/// What a manifest says.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub(crate) source: SourceText,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) components: Vec<ComponentSpec>,
    pub(crate) http: Vec<TriggerSpec>,
    pub(crate) groups: Vec<GroupSpec>,
    pub(crate) top: TopSpec,
    pub(crate) problems: Vec<Problem>,
    /// The text is not TOML: what could be read of it says little about what is missing.
    pub(crate) broken: bool,
    /// There is no manifest, only a file.
    pub(crate) single: bool,
}

/// What a manifest says of one component.
#[derive(Clone, Debug)]
pub(crate) struct ComponentSpec {
    pub(crate) name: At<String>,
    /// Its path, or its name in a registry.
    pub(crate) source: Option<At<String>>,
    pub(crate) oci: Option<oci::OciSource>,
    pub(crate) lifetime: Lifetime,
    pub(crate) wall: Wall,
    pub(crate) uses: Vec<At<String>>,
    pub(crate) grants: Grants,
    pub(crate) dirs: Vec<At<PathBuf>>,
    /// Those of them that are granted for writing.
    pub(crate) writable: Vec<At<PathBuf>>,
    pub(crate) budget: Budget,
    pub(crate) edges: Vec<EdgeSpec>,
    pub(crate) residence: Residence,
    pub(crate) redact: bool,
    pub(crate) build: Option<BuildSpec>,
    /// Which of `lifetime`, `grants` and `budget` were given, and where.
    pub(crate) given: Vec<At<&'static str>>,
    /// The same of the keys that are for residents.
    pub(crate) resident_keys: Vec<At<&'static str>>,
}

/// What a manifest says of one route.
#[derive(Clone, Debug)]
pub(crate) struct TriggerSpec {
    pub(crate) route: At<String>,
    pub(crate) component: At<String>,
    /// What of it everybody may call, in the place of its handler; with the place where the list begins.
    pub(crate) exports: Option<At<Vec<At<String>>>>,
    pub(crate) limit: Option<Limit>,
}

impl Manifest {
    /// Reads a manifest; `file` is how people are told of it. Problems are kept, and handed out by
    /// [`check`](crate::check::check).
    #[must_use]
    pub fn parse(file: &str, text: &str) -> Self {
        let source: SourceText = Arc::new(NamedSource::new(file, Arc::from(text)).with_language("TOML"));
        let mut reader = Reader { source: Arc::clone(&source), problems: Vec::new() };
        let (tree, errors) = DeTable::parse_recoverable(text);
        let broken = !errors.is_empty();
        for error in &errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            let problem = Problem::new(Code::Syntax, format!("not TOML: {}", error.message()));
            reader.report(problem.help("see https://toml.io for how tables, keys and strings are written"), span, "");
        }
        let tree = Spanned::new(tree.span(), toml::de::DeValue::Table(tree.into_inner()));
        let mut manifest = Self {
            source,
            name: String::new(),
            version: String::new(),
            components: Vec::new(),
            http: Vec::new(),
            groups: Vec::new(),
            top: TopSpec { intensity: None, rest: None },
            problems: Vec::new(),
            broken,
            single: false,
        };
        if let Some(top) = reader.table("", &tree) {
            manifest.read(&mut reader, top);
        }
        manifest.problems = reader.problems;
        if broken {
            // What the damaged lines hide would be reported as missing.
            manifest.problems.retain(|problem| !matches!(problem.code(), Code::MissingKey | Code::NoComponents));
        }
        manifest
    }

    /// The app's name, empty if the manifest has none that can be read.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The components and the path of each one's bytes, relative to the manifest: what to read before
    /// [`check`](crate::check::check).
    pub fn sources(&self) -> impl Iterator<Item = (&str, &std::path::Path)> {
        self.components.iter().filter(|component| component.oci.is_none()).filter_map(|component| {
            let source = component.source.as_ref()?;
            Some((component.name.value.as_str(), std::path::Path::new(&source.value)))
        })
    }

    /// The components that are made from something, the path of each one's bytes, and how to make them.
    pub fn builds(&self) -> impl Iterator<Item = (&str, &std::path::Path, &BuildSpec)> {
        self.components.iter().filter(|component| component.oci.is_none()).filter_map(|component| {
            let source = component.source.as_ref()?;
            Some((component.name.value.as_str(), std::path::Path::new(&source.value), component.build.as_ref()?))
        })
    }

    /// The components that are fetched from a registry.
    pub fn fetched(&self) -> impl Iterator<Item = (&str, &oci::OciSource)> {
        self.components.iter().filter_map(|component| Some((component.name.value.as_str(), component.oci.as_ref()?)))
    }

    /// What is wrong with the manifest itself; what is wrong with what it names is for [`check`](crate::check::check).
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The host folders that grants name, relative to the manifest: what to look up before [`check`](crate::check::check).
    pub fn folders(&self) -> impl Iterator<Item = &std::path::Path> {
        self.components.iter().flat_map(|component| component.dirs.iter().map(|dir| dir.value.as_path()))
    }

    fn read(&mut self, reader: &mut Reader, top: Table<'_>) {
        match top.span_of("app") {
            Some(_) => {
                if let Some(app) = reader.inner(top, "app") {
                    self.read_app(reader, app);
                }
            }
            None => {
                let problem = Problem::new(Code::MissingKey, "the manifest has no `[app]`");
                reader.report(problem.help("begin it with:\n[app]\nname = \"my-app\""), 0..0, "");
            }
        }
        let components = reader.named(top, "component");
        let unreadable = reader.problems.iter().any(|problem| problem.code() == Code::WrongValue);
        if components.is_empty() && !unreadable {
            let problem = Problem::new(Code::NoComponents, "the app has no components")
                .help("add one:\n[component.web]\nsource = \"web.wasm\"");
            reader.report(problem, 0..0, "");
        }
        for (name, table) in components {
            check_name(reader, "component", &name);
            self.components.push(read_component(reader, name, table));
        }
        self.groups = residence::read_groups(reader, top);
        if let Some(trigger) = reader.inner(top, "trigger") {
            for table in reader.tables(trigger, "http") {
                let route = reader.required_text(table, "route");
                let component = reader.required_text(table, "component");
                let route = route.filter(|route| reader.parsed(Code::BadRoute, route, reach::route).is_some());
                let limit = policy::read_limit(reader, table, "a route");
                let exports = table.span_of("exports").map(|span| {
                    let listed = reader.list(table, "exports");
                    At::new(without_repeats(reader, listed), span)
                });
                if let (Some(route), Some(component)) = (route, component) {
                    self.http.push(TriggerSpec { route, component, exports, limit });
                }
            }
        }
    }

    fn read_app(&mut self, reader: &mut Reader, app: Table<'_>) {
        if let Some(name) = reader.required_text(app, "name") {
            check_name(reader, "app", &name);
            self.name = name.value;
        }
        self.top = residence::read_top(reader, app);
        let version = reader.text(app, "version");
        self.version = version.map_or_else(
            || "0.0.0".to_owned(),
            |version| {
                if let Err(error) = semver::Version::parse(&version.value) {
                    let problem =
                        Problem::new(Code::BadVersion, format!("`{}` is not a version: {error}", version.value));
                    reader.report(problem.help("write three numbers: \"0.1.0\""), version.span, "");
                }
                version.value
            },
        );
    }
}

/// The longest name of an app or a component: it ends up in file names, events and terminals.
const NAME_MAX: usize = 63;

fn check_name(reader: &mut Reader, of: &str, name: &At<String>) {
    let text = &name.value;
    let fits = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.len() <= NAME_MAX
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'));
    if fits {
        return;
    }
    let problem =
        Problem::new(Code::BadName, format!("`{text}` cannot name {} {of}", if of == "app" { "an" } else { "a" }))
            .help(format!(
                "a name is at most {NAME_MAX} lower-case letters, digits, `-` and `_`, and begins with a letter"
            ));
    reader.report(problem, name.span.clone(), "");
}

fn read_component(reader: &mut Reader, name: At<String>, table: Table<'_>) -> ComponentSpec {
    let (source, oci) = match reader.text_or(table, "source") {
        Some(Ok(path)) => (Some(path).filter(|path| path_fits(reader, path)), None),
        Some(Err(table)) => oci::read_source(reader, table).unzip(),
        None => (None, None),
    };
    let lifetimes = [Lifetime::Call, Lifetime::Request, Lifetime::Resident];
    let lifetime = reader.choice(table, "lifetime").map_or_else(Lifetime::default, |choice| lifetimes[choice.value]);
    let wall =
        reader.choice(table, "wall").map_or_else(Wall::default, |choice| [Wall::Cell, Wall::Fused][choice.value]);
    let listed = reader.list(table, "uses");
    let uses = without_repeats(reader, listed);
    let (grants, folders) = match reader.inner(table, "grants") {
        Some(grants) => read_grants(reader, grants),
        None => (Grants::default(), Folders::default()),
    };
    let Folders { all: dirs, writable } = folders;
    let budget = reader.inner(table, "budget").map_or_else(Budget::default, |budget| read_budget(reader, budget));
    let edges = reader.named(table, "edge");
    let edges = edges.into_iter().map(|(import, table)| policy::read_edge(reader, import, table)).collect();
    let residence = residence::read_residence(reader, table);
    let redact = reader.flag(table, "redact").unwrap_or(false);
    let build = building::read_build(reader, table, source.as_ref());
    let given =
        |keys: &[&'static str]| keys.iter().filter_map(|key| Some(At::new(*key, table.span_of(key)?))).collect();
    let (resident_keys, given) = (given(&residence::KEYS), given(&["lifetime", "grants", "budget"]));
    ComponentSpec {
        name,
        source,
        oci,
        lifetime,
        wall,
        uses,
        grants,
        dirs,
        writable,
        budget,
        edges,
        residence,
        redact,
        build,
        given,
        resident_keys,
    }
}

fn read_budget(reader: &mut Reader, table: Table<'_>) -> Budget {
    let default = Budget::default();
    Budget {
        memory: reader.size(table, "memory", MEMORY_MIN).unwrap_or(default.memory),
        cpu: reader.duration(table, "cpu").map_or(default.cpu, |cpu| cpu.value),
        slice: reader.duration(table, "slice").map_or(default.slice, |slice| slice.value),
        deadline: reader.duration(table, "deadline").map_or(default.deadline, |deadline| deadline.value),
        concurrency: reader.count(table, "concurrency").unwrap_or(default.concurrency),
        queue: reader.count(table, "queue").unwrap_or(default.queue),
        log: reader.size(table, "log", 1).unwrap_or(default.log),
        files: reader.count(table, "files").unwrap_or(default.files),
        sockets: reader.count(table, "sockets").unwrap_or(default.sockets),
        requests: reader.count(table, "requests").unwrap_or(default.requests),
    }
}

/// The host's folders that grants name.
#[derive(Default)]
struct Folders {
    all: Vec<At<PathBuf>>,
    writable: Vec<At<PathBuf>>,
}

fn read_grants(reader: &mut Reader, table: Table<'_>) -> (Grants, Folders) {
    let (dirs, folders) = read_dirs(reader, table);
    let grants = Grants {
        env: read_env(reader, table),
        args: reader
            .list(table, "args")
            .into_iter()
            .filter(|arg| reader.parsed(Code::BadText, arg, without_nul).is_some())
            .map(|arg| arg.value)
            .collect(),
        http: read_list(reader, table, "http", Code::BadUrl, reach::origin),
        tcp: read_list(reader, table, "tcp", Code::BadAddress, reach::address),
        udp: read_list(reader, table, "udp", Code::BadAddress, reach::address),
        dns: read_list(reader, table, "dns", Code::BadHost, reach::host_name),
        dirs,
        stdio: reader.flag(table, "stdio").unwrap_or(false),
    };
    (grants, folders)
}

/// Entries that are parsed one by one; one that says the same as an earlier one is reported and dropped.
fn read_list<T: PartialEq>(
    reader: &mut Reader,
    table: Table<'_>,
    name: &'static str,
    code: Code,
    parse: fn(&str) -> Result<T, Flaw>,
) -> Vec<T> {
    let mut taken: Vec<T> = Vec::new();
    for item in reader.list(table, name) {
        let Some(value) = reader.parsed(code, &item, parse) else { continue };
        if taken.contains(&value) {
            repeated(reader, &item);
        } else {
            taken.push(value);
        }
    }
    taken
}

fn without_repeats(reader: &mut Reader, items: Vec<At<String>>) -> Vec<At<String>> {
    let mut taken: Vec<At<String>> = Vec::new();
    for item in items {
        if taken.iter().any(|earlier| earlier.value == item.value) {
            repeated(reader, &item);
        } else {
            taken.push(item);
        }
    }
    taken
}

fn repeated(reader: &mut Reader, item: &At<String>) {
    let problem = Problem::warning(Code::Repeated, format!("`{}` is listed twice", item.value));
    reader.report(problem.help("drop one of the two"), item.span.clone(), "again");
}

fn read_env(reader: &mut Reader, table: Table<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, value) in reader.texts(table, "env") {
        let named = reader.parsed(Code::BadText, &name, |name| match name {
            "" => Err(Flaw { what: "the variable has no name".to_owned(), next_step: "name it".to_owned() }),
            name if name.contains('=') => Err(Flaw {
                what: format!("the variable's name `{name}` holds a `=`"),
                next_step: "write the name on the left and the value on the right: env = { NAME = \"value\" }"
                    .to_owned(),
            }),
            name => without_nul(name),
        });
        let valued = reader.parsed(Code::BadText, &value, without_nul);
        if named.is_some() && valued.is_some() {
            env.insert(name.value, value.value);
        }
    }
    env
}

fn without_nul(text: &str) -> Result<(), Flaw> {
    if !text.contains('\0') {
        return Ok(());
    }
    Err(Flaw {
        what: "the text holds a NUL character".to_owned(),
        next_step: "drop it: a guest's C library would cut the text there".to_owned(),
    })
}

fn path_fits(reader: &mut Reader, path: &At<String>) -> bool {
    let checked = reader.parsed(Code::BadPath, path, |path| {
        if path.is_empty() {
            return Err(Flaw {
                what: "the path is empty".to_owned(),
                next_step: "name a file or folder, relative to the manifest".to_owned(),
            });
        }
        if let Some((scheme, _)) = path.split_once("://") {
            return Err(Flaw {
                what: format!("`{path}` is a URL"),
                next_step: format!("fetch it first, and name the file: nothing is loaded over {scheme}"),
            });
        }
        without_nul(path)
    });
    checked.is_some()
}

fn read_dirs(reader: &mut Reader, table: Table<'_>) -> (Vec<DirGrant>, Folders) {
    let mut grants: Vec<DirGrant> = Vec::new();
    let mut folders = Folders::default();
    for table in reader.tables(table, "dirs") {
        let host = reader.required_text(table, "host").filter(|host| path_fits(reader, host));
        let guest = reader.required_text(table, "guest");
        let mode = reader
            .choice(table, "mode")
            .map_or_else(DirMode::default, |choice| [DirMode::Ro, DirMode::Rw][choice.value]);
        if let Some(host) = &host {
            let folder = At::new(PathBuf::from(&host.value), host.span.clone());
            if mode == DirMode::Rw {
                folders.writable.push(folder.clone());
            }
            folders.all.push(folder);
        }
        let quota = reader.size(table, "quota", 1).unwrap_or(DEFAULT_QUOTA);
        let files = reader.count(table, "files").unwrap_or(DEFAULT_FILES);
        if mode == DirMode::Ro {
            for key in ["quota", "files"] {
                let Some(span) = table.span_of(key) else { continue };
                let what = format!("`{key}` has no effect on a folder that is only read");
                let problem = Problem::warning(Code::NoEffect, what).help("drop it, or write mode = \"rw\"");
                reader.report(problem, span, "");
            }
        }
        let Some(guest) = guest else { continue };
        let Some(path) = reader.parsed(Code::BadPath, &guest, reach::guest_path) else { continue };
        if let Some(earlier) = grants.iter().find(|earlier| overlap(&earlier.guest, &path)) {
            let what = if earlier.guest == path {
                format!("the guest path `{path}` is given twice")
            } else {
                format!("the guest paths `{}` and `{path}` overlap", earlier.guest)
            };
            let problem =
                Problem::new(Code::OverlappingDirs, what).help("give each folder a guest path beside the others");
            reader.report(problem, guest.span, "");
            continue;
        }
        // Kept even without a host folder, so that later paths are compared with it.
        let host = host.map(|host| PathBuf::from(host.value)).unwrap_or_default();
        grants.push(DirGrant { host, guest: path, mode, quota, files });
    }
    (grants, folders)
}

/// Whether one guest path is the other or lies in it.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let holds = |outer: &str, inner: &str| {
        outer == "/" || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    holds(a, b) || holds(b, a)
}
