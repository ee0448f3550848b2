//! `grants.dirs` and `budget.files`: the folders a guest sees, and how many files it may hold open.
//!
//! Paths are resolved by wasmtime-wasi beneath the granted folder: no `..` and no symbolic link leads out of it. What is added
//! here: a refused use is reported with the manifest line that allows it, and every open file is counted, for as long as the
//! operating system has it open: a stream that a guest made from a file counts after the file's own handle is gone.
//!
//! Over the budget a guest gets the error `quota`, and nothing was opened.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use wasmtime::{
    component::{Linker, Resource, ResourceTable},
    error::Context as _,
};
use wasmtime_wasi::{
    FsPerms, WasiCtx, WasiCtxBuilder,
    filesystem::{Descriptor, WasiFilesystemCtxView},
    p2::bindings::filesystem::preopens::Host as _,
};
use watertight_model::{
    app::Component,
    event::Denial,
    grant::{DirGrant, DirMode},
};

use crate::{
    cell::HostCell,
    report::{Reporter, budget_of, quoted, setting},
};

mod p2;
mod p3;

/// Opens the granted folders for one cell.
///
/// # Errors
/// When a folder is gone or cannot be opened.
pub(crate) fn from_grant(wasi: &mut WasiCtxBuilder, component: &Component, base_dir: &Path) -> wasmtime::Result<()> {
    for dir in &component.grants.dirs {
        let perms = match dir.mode {
            DirMode::Ro => FsPerms::ReadOnly,
            DirMode::Rw => FsPerms::ReadWrite,
        };
        let host = base_dir.join(&dir.host);
        wasi.preopened_dir(&host, &dir.guest, perms).with_context(|| {
            format!(
                "folder {} of component `{}` cannot be opened; create it, or take it out of its grants",
                host.display(),
                component.name
            )
        })?;
    }
    Ok(())
}

/// Puts the counting and reporting functions over those that [`crate::host`] linked before.
pub(crate) fn link(linker: &mut Linker<HostCell>, p3: bool) -> wasmtime::Result<()> {
    p2::link(linker)?;
    if p3 { p3::link(linker) } else { Ok(()) }
}

/// The open files of one cell.
pub(crate) struct Files {
    reporter: Arc<Reporter>,
    /// The granted folders, in the order of the grants.
    roots: Vec<Weak<File>>,
    open: Arc<OpenFiles>,
}

/// The files that are open or being opened.
#[derive(Default)]
pub(crate) struct OpenFiles {
    open: Mutex<Vec<Open>>,
    /// One clone for each file that is being opened.
    opening: Arc<()>,
}

impl OpenFiles {
    /// How many there are, the granted folders not among them.
    pub(crate) fn count(&self) -> usize {
        let mut open = self.open.lock();
        open.retain(|open| open.file.strong_count() > 0);
        open.len() + Arc::strong_count(&self.opening) - 1
    }
}

struct Open {
    file: Weak<File>,
    root: Option<usize>,
}

/// A place for one file, kept until it is open.
pub(crate) struct Opening {
    _place: Arc<()>,
}

impl Files {
    /// Learns the granted folders from the context that [`from_grant`] filled.
    pub(crate) fn new(
        reporter: Arc<Reporter>,
        wasi: &mut WasiCtx,
        table: &mut ResourceTable,
    ) -> wasmtime::Result<Self> {
        let mut roots = Vec::new();
        if !reporter.component().grants.dirs.is_empty() {
            for (resource, _) in (WasiFilesystemCtxView { ctx: wasi.filesystem(), table }).get_directories()? {
                roots.push(Arc::downgrade(file_of(&table.delete(resource)?)));
            }
        }
        Ok(Self { reporter, roots, open: Arc::default() })
    }

    /// What is open, to be counted from outside.
    pub(crate) fn held(&self) -> Arc<OpenFiles> {
        Arc::clone(&self.open)
    }

    /// A place for one more open file; `None`, reported, when the budget is spent.
    pub(crate) fn reserve(&self) -> Option<Opening> {
        let component = self.reporter.component();
        let limit = component.budget.files;
        if self.open.count() < limit as usize {
            return Some(Opening { _place: Arc::clone(&self.open.opening) });
        }
        self.reporter.deny(Denial {
            grant: "files",
            attempt: format!("hold more than {limit} files open"),
            remedy: budget_of(component, "files", limit.saturating_mul(2).max(8)),
        });
        None
    }

    /// Counts a file that was opened beneath another one.
    fn opened(&self, opening: Opening, file: &Arc<File>, parent: &Arc<File>) {
        let open = Open { file: Arc::downgrade(file), root: self.root_of(parent) };
        self.open.open.lock().push(open);
        drop(opening);
    }

    /// The grant that a handle came from; none where another cell handed it over.
    fn root_of(&self, file: &Arc<File>) -> Option<usize> {
        let is = |known: &Weak<File>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(file));
        self.roots
            .iter()
            .position(is)
            .or_else(|| self.open.open.lock().iter().find(|open| is(&open.file)).and_then(|open| open.root))
    }

    /// Reports a change that a read-only folder refuses.
    fn note_write(&self, parent: &Handle, attempt: &str, path: &str) {
        if let (FsPerms::ReadOnly, Some(root)) = (parent.perms, self.root_of(&parent.file)) {
            self.reporter.deny(read_only(self.reporter.component(), root, attempt, path));
        }
    }

    /// Reports a path that leads out of its folder.
    fn note_escape(&self, parent: &Handle, path: &str) {
        if let Some(root) = self.root_of(&parent.file) {
            self.reporter.deny(outside(self.reporter.component(), root, path));
        }
    }
}

/// What a descriptor stands for.
struct Handle {
    file: Arc<File>,
    perms: FsPerms,
}

impl Handle {
    fn get(table: &ResourceTable, fd: &Resource<Descriptor>) -> wasmtime::Result<Self> {
        let descriptor = table.get(fd)?;
        let perms = match descriptor {
            Descriptor::File(file) => file.perms,
            Descriptor::Dir(dir) => dir.perms,
        };
        Ok(Self { file: Arc::clone(file_of(descriptor)), perms })
    }
}

fn file_of(descriptor: &Descriptor) -> &Arc<File> {
    match descriptor {
        Descriptor::File(file) => &file.file,
        Descriptor::Dir(dir) => &dir.dir,
    }
}

/// A write to a folder that is granted read-only.
fn read_only(component: &Component, root: usize, attempt: &str, path: &str) -> Denial {
    let dirs = &component.grants.dirs;
    let guest = dirs.get(root).map_or("", |dir| dir.guest.as_str());
    let entries =
        dirs.iter().enumerate().map(|(index, dir)| entry(dir, if index == root { DirMode::Rw } else { dir.mode }));
    Denial {
        grant: "dirs",
        attempt: format!("{attempt} {} in {guest}, which is read-only", quoted(path)),
        remedy: setting(component, "grants", "dirs", &list(entries)),
    }
}

/// A path out of a granted folder.
fn outside(component: &Component, root: usize, path: &str) -> Denial {
    let dirs = &component.grants.dirs;
    let guest = dirs.get(root).map_or("", |dir| dir.guest.as_str());
    let entries = dirs
        .iter()
        .map(|dir| entry(dir, dir.mode))
        .chain([r#"{ host = "THE FOLDER", guest = "/its/path/for/the/guest", mode = "ro" }"#.to_owned()]);
    Denial {
        grant: "dirs",
        attempt: format!("open {} from {guest}, which leads out of it", quoted(path)),
        remedy: setting(component, "grants", "dirs", &list(entries)),
    }
}

fn entry(dir: &DirGrant, mode: DirMode) -> String {
    let host = quoted(&dir.host.to_string_lossy());
    format!(r#"{{ host = {host}, guest = {}, mode = "{mode}" }}"#, quoted(&dir.guest))
}

fn list(entries: impl Iterator<Item = String>) -> String {
    format!("[{}]", entries.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Recorder, app};
    use watertight_model::app::ComponentId;

    fn dir(host: &str, guest: &str, mode: DirMode) -> DirGrant {
        DirGrant { host: host.into(), guest: guest.into(), mode }
    }

    #[test]
    fn a_write_to_a_read_only_folder_names_the_line_that_allows_it() {
        let app = app(|component| {
            component.grants.dirs = vec![dir("content", "/content", DirMode::Ro), dir("cache", "/cache", DirMode::Ro)];
        });
        let denial = read_only(&app.components[0], 1, "create", "a.txt");
        assert_eq!(denial.attempt, r#"create "a.txt" in /cache, which is read-only"#);
        assert_eq!(
            denial.remedy,
            r#"component.web.grants.dirs = [{ host = "content", guest = "/content", mode = "ro" }, { host = "cache", guest = "/cache", mode = "rw" }]"#
        );
    }

    #[test]
    fn a_file_counts_until_its_last_handle_is_gone() {
        let recorder = Arc::new(Recorder::default());
        let reporter = Reporter::new(app(|component| component.budget.files = 2), ComponentId(0), recorder.clone());
        let files = Files { reporter, roots: Vec::new(), open: Arc::default() };
        let null = || Arc::new(File::open("/dev/null").expect("every Unix has it"));
        let (parent, first) = (null(), null());

        let opening = files.reserve().expect("none is open");
        files.opened(opening, &first, &parent);
        let stream = Arc::clone(&first);
        drop(first);
        let second = files.reserve().expect("one is open");
        assert!(files.reserve().is_none(), "one is open and one is being opened");
        assert_eq!(recorder.remedies(), ["component.web.budget.files = 8"]);
        drop(second);
        drop(stream);
        let (_a, _b) = (files.reserve().expect("none is open"), files.reserve().expect("one is being opened"));
    }

    #[test]
    fn a_folder_that_is_gone_is_named() {
        let app = app(|component| component.grants.dirs = vec![dir("no-such-folder", "/data", DirMode::Ro)]);
        let base = tempfile::tempdir().expect("a temporary folder");
        let error =
            from_grant(&mut WasiCtxBuilder::new(), &app.components[0], base.path()).expect_err("it does not exist");
        assert!(error.to_string().contains("no-such-folder"), "{error}");
    }
}
