//! A folder without a manifest as an app: its scripts become routes, its other files are served as they are.
//!
//! ```text
//! index.py          /                 style.css       /style.css
//! about.mjs         /about            img/            /img/...
//! api/index.lua     /api and /api/
//! api/[id].lua      /api/[id]         _lib.py         no route: for the others to import
//! [...rest].py      /...              shop.php        /shop and /shop.php, because pages in PHP name each other so
//! ```
//!
//! It writes the manifest that a person would have written, so that everything else is as with one. It follows no links out of the
//! folder and reads no script.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use watertight_model::script::{self, Protocol, Script};

use crate::runtimes::{InstalledRuntime, Runtimes};

/// Scripts that one folder may hold.
const MAX_SCRIPTS: usize = 256;

/// Folders below one another.
const MAX_DEPTH: usize = 8;

/// Folders that hold what scripts import.
const PACKAGES: [&str; 3] = ["node_modules", "site-packages", "__pycache__"];

/// A folder as an app.
pub(crate) struct FolderApp {
    pub(crate) manifest: String,
    pub(crate) sources: BTreeMap<String, Arc<[u8]>>,
    pub(crate) scripts: BTreeMap<String, Script>,
}

/// Makes an app of a folder; none where nothing in it can be served.
///
/// # Errors
/// When the folder or a runtime cannot be read.
pub(crate) fn read(folder: &Path, runtimes: &Runtimes) -> io::Result<Option<FolderApp>> {
    let installed: Vec<_> = runtimes.list().into_iter().flatten().collect();
    let of = |ending: &str| installed.iter().find(|runtime| runtime.spec.runs(ending));
    let serves = |path: &Path| {
        let runtime = of(&script::ending(path)?)?;
        (!matches!(runtime.spec.protocol, Protocol::Files | Protocol::None)).then_some(runtime)
    };
    let mut scripts = Vec::new();
    walk(folder, Path::new(""), 0, &mut |path| {
        if let Some(runtime) = serves(path) {
            scripts.push((path.to_owned(), runtime));
        }
        scripts.len() < MAX_SCRIPTS
    })?;
    let files = installed.iter().find(|runtime| runtime.spec.protocol == Protocol::Files);
    if scripts.is_empty() && (files.is_none() || !folder.join("index.html").is_file()) {
        return Ok(None);
    }
    let mut app = FolderApp { manifest: head(folder), sources: BTreeMap::new(), scripts: BTreeMap::new() };
    let mut everything_is_taken = false;
    for (path, runtime) in scripts {
        let routes = routes(&path, runtime.spec.protocol);
        everything_is_taken |= routes.iter().any(|route| route == "/...");
        app.add(&path, runtime, &routes)?;
    }
    if let Some(runtime) = files.filter(|_| !everything_is_taken) {
        app.add(Path::new("index.html"), runtime, &["/...".to_owned()])?;
    }
    Ok(Some(app))
}

impl FolderApp {
    fn add(&mut self, path: &Path, runtime: &InstalledRuntime, routes: &[String]) -> io::Result<()> {
        let name = self.name_for(path, runtime);
        let bytes = runtime.read().map_err(io::Error::other)?;
        let source = quoted(&path.to_string_lossy());
        // A `String` takes all it is given.
        let _ = write!(
            self.manifest,
            "\n[component.{name}]\nsource = {source}\ngrants = {{ stdio = true }}\n\
             budget = {{ memory = \"256MiB\", cpu = \"10s\", deadline = \"30s\" }}\n"
        );
        for route in routes {
            let _ = write!(self.manifest, "\n[[trigger.http]]\nroute = {}\ncomponent = \"{name}\"\n", quoted(route));
        }
        self.scripts.insert(name.clone(), runtime.spec.script(path));
        self.sources.insert(name, bytes);
        Ok(())
    }

    /// A name that no other component has.
    fn name_for(&self, path: &Path, runtime: &InstalledRuntime) -> String {
        let plain = |text: &str| -> String {
            let letters = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
            letters.collect::<String>().trim_matches('-').chars().take(48).collect()
        };
        let base = if runtime.spec.protocol == Protocol::Files {
            "files".to_owned()
        } else {
            plain(&path.with_extension("").to_string_lossy())
        };
        let base =
            if base.starts_with(|first: char| first.is_ascii_lowercase()) { base } else { format!("script-{base}") };
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        std::iter::once(base.clone()).chain(numbered).find(|name| !self.sources.contains_key(name)).unwrap_or(base)
    }
}

fn head(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(48).collect();
    let name = if name.starts_with(|first: char| first.is_ascii_lowercase()) { name } else { "site".to_owned() };
    format!("[app]\nname = \"{name}\"\n")
}

/// Text as TOML has it: JSON's escapes are TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What a script answers, by where it lies.
fn routes(path: &Path, protocol: Protocol) -> Vec<String> {
    let parent: String = path
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .filter_map(|part| {
            if let Component::Normal(name) = part {
                Some(format!("/{}", part_of(&name.to_string_lossy())))
            } else {
                None
            }
        })
        .collect();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut routes = match &*stem {
        "index" if parent.is_empty() => vec!["/".to_owned()],
        "index" => vec![parent.clone(), format!("{parent}/")],
        any if is_any(any) => return vec![format!("{parent}/{any}")],
        rest if rest.strip_prefix("[...").is_some_and(|name| is_any(&format!("[{name}"))) => {
            return vec![format!("{parent}/...")];
        }
        name => vec![format!("{parent}/{}", part_of(name))],
    };
    if protocol == Protocol::Cgi {
        routes.push(format!("{parent}/{}", part_of(&path.file_name().unwrap_or_default().to_string_lossy())));
    }
    routes
}

/// Whether a name is one in brackets, which stands for any.
fn is_any(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let fits = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_');
    inner.is_some_and(|inner| !inner.is_empty() && inner.bytes().all(fits))
}

/// A name as a part of a route: as clients write it.
fn part_of(name: &str) -> String {
    if is_any(name) {
        return name.to_owned();
    }
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@".contains(&letter);
    name.bytes()
        .map(|letter| if plain(letter) { char::from(letter).to_string() } else { format!("%{letter:02X}") })
        .collect()
}

/// Tells of every file that may be a route, in a fixed order, until it is told that this is enough.
fn walk(root: &Path, below: &Path, depth: usize, found: &mut dyn FnMut(&Path) -> bool) -> io::Result<bool> {
    let mut entries = fs::read_dir(root.join(below))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        let path: PathBuf = below.join(&name);
        if shown.starts_with(['.', '_']) || PACKAGES.contains(&&*shown) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < MAX_DEPTH && !walk(root, &path, depth + 1, found)? {
            return Ok(false);
        }
        if kind.is_file() && !found(&path) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_script_lies_is_what_it_answers() {
        for (path, expected) in [
            ("index.py", &["/"][..]),
            ("about.mjs", &["/about"]),
            ("api/index.lua", &["/api", "/api/"]),
            ("api/[id].lua", &["/api/[id]"]),
            ("api/[id]/posts.lua", &["/api/[id]/posts"]),
            ("api/[id]/index.lua", &["/api/[id]", "/api/[id]/"]),
            ("api/[...path].lua", &["/api/..."]),
            ("[...any].py", &["/..."]),
            ("a/b/c.py", &["/a/b/c"]),
            ("a b/é[1].py", &["/a%20b/%C3%A9%5B1%5D"]),
            ("[...].py", &["/%5B...%5D"]),
        ] {
            assert_eq!(routes(Path::new(path), Protocol::Wsgi), expected, "{path}");
        }
        for (path, expected) in [
            ("index.php", &["/", "/index.php"][..]),
            ("api/index.php", &["/api", "/api/", "/api/index.php"]),
            ("shop.php", &["/shop", "/shop.php"]),
            ("api/[id].php", &["/api/[id]"]),
        ] {
            assert_eq!(routes(Path::new(path), Protocol::Cgi), expected, "{path}");
        }
    }
}
