//! Adding an import to a component: its world says so, its WIT has the interface, and the manifest who meets it.
//!
//! Everything is worked out and tried on a copy before a file changes; comments and the order of things stay. What is there already is
//! left alone, so that adding twice does what adding once does.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use toml_edit::{Array, DocumentMut, Item, Table, value};
use watertight_model::manifest::{Maker, Manifest};
use wit_component::{DecodedWasm, OutputToString, WitPrinter};
use wit_parser::{InterfaceId, PackageId, Resolve, WorldItem};

use crate::wit;

/// What was added.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Interfaces that are imported now.
    pub imports: Vec<String>,
    /// The component that meets them, if the manifest has to say so.
    pub uses: Option<String>,
    /// Files that were written.
    pub files: Vec<PathBuf>,
}

/// Why nothing was added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The app has no such component.
    #[error("the app has no component `{0}`")]
    UnknownComponent(String),
    /// Nothing that could be added.
    #[error("`{0}` is no component of the app, no .wasm file, and no WIT")]
    Unknown(String),
    /// It cannot be imported.
    #[error("{0}")]
    Unfit(String),
    /// It cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The manifest that an import is added to.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its folder.
    pub base: &'a Path,
    /// What it says.
    pub text: &'a str,
    /// The same, parsed.
    pub manifest: &'a Manifest,
}

/// Interfaces, and who offers them.
struct Offer {
    resolve: Resolve,
    interfaces: Vec<InterfaceId>,
    /// A package that only holds the others together.
    made_up: Option<PackageId>,
    by: Option<By>,
}

/// A component that offers interfaces.
struct By {
    name: String,
    /// Its file, if the manifest has no such component yet.
    source: Option<String>,
}

/// Has the component `to` import what `what` exports: a component of the app, a `.wasm` file, or WIT.
///
/// # Errors
/// When that cannot be; then nothing has changed.
pub fn add(place: Place<'_>, what: &str, to: &str) -> Result<Added, AddError> {
    if !place.manifest.sources().any(|(name, _)| name == to) {
        return Err(AddError::UnknownComponent(to.to_owned()));
    }
    let offer = offer(place, what)?;
    let names: Vec<String> = offer.interfaces.iter().filter_map(|id| offer.resolve.id_of(*id)).collect();
    if names.is_empty() {
        return Err(AddError::Unfit(format!("`{what}` exports no interface that another component could import")));
    }
    let mut writes: Vec<(PathBuf, String)> = Vec::new();
    let mut added = Added::default();
    if let Some((folder, world)) = wit_of(place, to) {
        let changed = changed_wit(&folder, world.as_deref(), &offer, &names)?;
        added.imports = changed.0;
        writes.extend(changed.1);
    }
    if let Some(by) = &offer.by
        && let Some(text) = changed_manifest(place.text, to, by)?
    {
        added.uses = Some(by.name.clone());
        writes.push((place.path.to_owned(), text));
    }
    for (path, text) in &writes {
        put(path, text).map_err(|error| AddError::Io { path: path.clone(), error })?;
    }
    added.files = writes.into_iter().map(|(path, _)| path).collect();
    Ok(added)
}

/// Where the WIT of a component is, if a recipe says so.
fn wit_of(place: Place<'_>, component: &str) -> Option<(PathBuf, Option<String>)> {
    let (_, _, spec) = place.manifest.builds().find(|(name, ..)| *name == component)?;
    match &spec.maker {
        Maker::Recipe { wit, world, .. } => Some((place.base.join(&spec.folder).join(wit), world.clone())),
        Maker::Command { .. } => None,
    }
}

fn offer(place: Place<'_>, what: &str) -> Result<Offer, AddError> {
    if let Some((name, source)) = place.manifest.sources().find(|(name, _)| *name == what) {
        let by = By { name: name.to_owned(), source: None };
        // What it will be counts, not what it was when it was last built.
        if let Some((folder, world)) = wit_of(place, name) {
            let wit::World { resolve, world, .. } = wit::read(&folder, world.as_deref()).map_err(AddError::Unfit)?;
            let interfaces = exported(&resolve, world);
            return Ok(Offer { resolve, interfaces, made_up: None, by: Some(by) });
        }
        return Ok(Offer { by: Some(by), ..of_wasm(&place.base.join(source))? });
    }
    let path = Path::new(what);
    if path.extension().is_some_and(|kind| kind == "wasm") && path.is_file() {
        let offer = of_wasm(path)?;
        if offer.made_up.is_none() {
            return Ok(offer);
        }
        let name = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase().replace('.', "-"));
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (file, base) = (whole(path), whole(place.base));
        let source = file.strip_prefix(&base).unwrap_or(&file).display().to_string();
        let by = By { name: name.unwrap_or_default(), source: Some(source) };
        return Ok(Offer { by: Some(by), ..offer });
    }
    if !path.exists() {
        return Err(AddError::Unknown(what.to_owned()));
    }
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let (package, _) = resolve.push_path(path).map_err(|error| AddError::Unfit(format!("{what}: {error:#}")))?;
    let worlds: Vec<_> = resolve.packages[package].worlds.values().copied().collect();
    let mut interfaces: Vec<_> = worlds.iter().flat_map(|world| exported(&resolve, *world)).collect();
    if interfaces.is_empty() {
        interfaces = resolve.packages[package].interfaces.values().copied().collect();
    }
    Ok(Offer { resolve, interfaces, made_up: None, by: None })
}

fn of_wasm(path: &Path) -> Result<Offer, AddError> {
    let bytes = fs::read(path).map_err(|error| AddError::Io { path: path.to_owned(), error })?;
    let unfit = |error| AddError::Unfit(format!("{} is no component: {error:#}", path.display()));
    match wit_component::decode(&bytes).map_err(unfit)? {
        DecodedWasm::WitPackage(resolve, package) => {
            let interfaces = resolve.packages[package].interfaces.values().copied().collect();
            Ok(Offer { resolve, interfaces, made_up: None, by: None })
        }
        DecodedWasm::Component(resolve, world) => {
            let interfaces = exported(&resolve, world);
            let made_up = resolve.worlds[world].package;
            Ok(Offer { resolve, interfaces, made_up, by: None })
        }
    }
}

/// The interfaces that a world exports, but those of WASI: triggers call these.
fn exported(resolve: &Resolve, world: wit_parser::WorldId) -> Vec<InterfaceId> {
    let items = resolve.worlds[world].exports.values();
    let interfaces = items.filter_map(|item| match item {
        WorldItem::Interface { id, .. } => Some(*id),
        WorldItem::Function(_) | WorldItem::Type { .. } => None,
    });
    interfaces.filter(|id| resolve.id_of(*id).is_some_and(|name| !name.starts_with("wasi:"))).collect()
}

type Writes = Vec<(PathBuf, String)>;

/// The interfaces that the world does not import yet, and the files with which it does.
fn changed_wit(
    folder: &Path,
    world: Option<&str>,
    offer: &Offer,
    names: &[String],
) -> Result<(Vec<String>, Writes), AddError> {
    let own = wit::read(folder, world).map_err(AddError::Unfit)?;
    let imported: Vec<String> =
        own.resolve.worlds[own.world].imports.keys().map(|key| own.resolve.name_world_key(key)).collect();
    let new: Vec<String> = names.iter().filter(|name| !imported.contains(name)).cloned().collect();
    if new.is_empty() {
        return Ok((new, Writes::new()));
    }
    let known = |name: &wit_parser::PackageName| own.resolve.packages.iter().any(|(_, known)| known.name == *name);
    let mut writes = Writes::new();
    for (id, package) in offer.resolve.packages.iter() {
        if offer.made_up == Some(id) || known(&package.name) {
            continue;
        }
        let mut printer = WitPrinter::new(OutputToString::default());
        let printed = printer.print(&offer.resolve, id, &[]);
        printed.map_err(|error| AddError::Unfit(format!("{}: {error:#}", package.name)))?;
        let wit_parser::PackageName { namespace, name, version } = &package.name;
        let version = version.as_ref().map_or_else(String::new, |version| format!("-{version}"));
        let file = folder.join("deps").join(format!("{namespace}-{name}{version}.wit"));
        writes.push((file, String::from(printer.output)));
    }
    let (file, text) = with_imports(folder, &own.name, &new)?;
    writes.push((file, text));
    tried(folder, &writes, &own.name)?;
    Ok((new, writes))
}

/// The file that has the world, with more imports in it.
fn with_imports(folder: &Path, world: &str, names: &[String]) -> Result<(PathBuf, String), AddError> {
    let reading = |error| AddError::Io { path: folder.to_owned(), error };
    for entry in fs::read_dir(folder).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        if path.extension().is_none_or(|kind| kind != "wit") {
            continue;
        }
        let mut text = fs::read_to_string(&path).map_err(reading)?;
        if let Some(at) = body_of(&text, world) {
            let lines: String = names.iter().map(|name| format!("\n  import {name};")).collect();
            text.insert_str(at, &lines);
            return Ok((path, text));
        }
    }
    Err(AddError::Unfit(format!("no file of {} has the world `{world}`", folder.display())))
}

/// Where the body of a world begins.
fn body_of(text: &str, world: &str) -> Option<usize> {
    let mut words: [&str; 2] = ["", ""];
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let letter = rest.chars().next()?;
        let word =
            rest.find(|letter: char| !(letter.is_alphanumeric() || "-_%".contains(letter))).unwrap_or(rest.len());
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
        } else if word > 0 {
            words = [words[1], &rest[..word]];
            at += word;
        } else {
            at += letter.len_utf8();
            if letter == '{' && words[0] == "world" && words[1].trim_start_matches('%') == world {
                return Some(at);
            }
        }
    }
    None
}

/// Whether the WIT is sound with these files in it.
fn tried(folder: &Path, writes: &Writes, world: &str) -> Result<(), AddError> {
    let copying = |error| AddError::Io { path: folder.to_owned(), error };
    let copy = tempfile::tempdir().map_err(copying)?;
    copied(folder, copy.path()).map_err(copying)?;
    for (path, text) in writes {
        let inside = path.strip_prefix(folder).unwrap_or(path);
        put(&copy.path().join(inside), text).map_err(copying)?;
    }
    let unfit = |why| AddError::Unfit(format!("the interfaces do not fit into {}: {why}", folder.display()));
    wit::read(copy.path(), Some(world)).map(drop).map_err(unfit)
}

fn copied(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

/// The manifest with `by` among what `to` uses, and among the components; none if it says so already.
fn changed_manifest(text: &str, to: &str, by: &By) -> Result<Option<String>, AddError> {
    let unfit = |what: String| AddError::Unfit(what);
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| unfit(error.to_string()))?;
    let components = document.get_mut("component").and_then(Item::as_table_like_mut);
    let components = components.ok_or_else(|| unfit("the manifest has no components".to_owned()))?;
    let mut changed = false;
    if let Some(source) = &by.source
        && !components.contains_key(&by.name)
    {
        let mut table = Table::new();
        table.insert("source", value(source));
        components.insert(&by.name, Item::Table(table));
        changed = true;
    }
    let user = components.get_mut(to).and_then(Item::as_table_like_mut);
    let user = user.ok_or_else(|| AddError::UnknownComponent(to.to_owned()))?;
    let uses = user.entry("uses").or_insert_with(|| value(Array::new())).as_array_mut();
    let uses = uses.ok_or_else(|| unfit(format!("`uses` of `{to}` is no array")))?;
    if !uses.iter().any(|used| used.as_str() == Some(by.name.as_str())) {
        uses.push(by.name.as_str());
        changed = true;
    }
    Ok(changed.then(|| document.to_string()))
}

/// Writes a file whole, or not at all.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = tempfile::Builder::new().prefix(".watertight-").tempdir_in(folder)?;
    let new = temporary.path().join("new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_is_found_whatever_stands_around_it() {
        let text = "package a:b;\n// world app {\n/* world app { */\ninterface world-app { f: func(); }\nworld %app{ }\nworld apps { }";
        let at = body_of(text, "app").expect("it is there");
        assert!(text[..at].ends_with("world %app{"), "{}", &text[..at]);
        assert_eq!(body_of(text, "ap"), None);
        assert!(body_of(text, "apps").is_some_and(|at| text[at..].starts_with(" }")));
    }

    #[test]
    fn the_manifest_keeps_its_comments_and_says_nothing_twice() {
        let text = "# mine\n[component.web] # too\nsource = \"web.wasm\"\nuses = [\"a\"] # these\n\n[component.b]\nsource = \"b.wasm\"\n";
        let known = By { name: "b".to_owned(), source: None };
        let changed = changed_manifest(text, "web", &known).expect("it is sound").expect("it is new");
        assert_eq!(changed, text.replace("[\"a\"]", "[\"a\", \"b\"]"));
        assert_eq!(changed_manifest(&changed, "web", &known).expect("it is sound"), None);
        let new = By { name: "c".to_owned(), source: Some("lib/c.wasm".to_owned()) };
        let changed = changed_manifest(text, "b", &new).expect("it is sound").expect("it is new");
        assert!(changed.contains("source = \"b.wasm\"\nuses = [\"c\"]\n"), "{changed}");
        assert!(changed.contains("[component.c]\nsource = \"lib/c.wasm\"\n"), "{changed}");
    }
}
