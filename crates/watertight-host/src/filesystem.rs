//! `grants.dirs` and `budget.files`: the folders a guest sees, what may lie in them, and how many files it may hold open.
//!
//! Paths are resolved by wasmtime-wasi beneath the granted folder: no `..` and no symbolic link leads out of it. What is added
//! here: a refused use is reported with the manifest line that allows it, and every open file is counted, for as long as the
//! operating system has it open: a stream that a guest made from a file counts after the file's own handle is gone.
//!
//! In a folder granted for writing everything that changes it goes through [`counted`], which holds it against the grant's quota.
//! Over a budget or a quota a guest gets the error `quota`, and nothing was opened or changed.

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
    filesystem::{Descriptor, Dir, WasiFilesystemCtxView},
    p2::bindings::filesystem::preopens::Host as _,
};
use watertight_model::{
    app::Component,
    event::Denial,
    grant::{DEFAULT_FILES, DEFAULT_QUOTA, DirGrant, DirMode},
};

use self::counted::{Place, Quota};
use crate::{
    cell::HostCell,
    disk::{Amount, Counted, Disks, Key},
    report::{Reporter, budget_of, quoted, setting},
};

mod counted;
pub(crate) mod entries;
mod p2;
mod p3;

/// What the buffer of a stream to or from a file takes, and counts as memory for as long as the stream is there.
pub(crate) const STREAM_BYTES: usize = 64 << 10;

/// The folders that the cells of an app write to, and the files they have open in them.
#[derive(Debug, Default)]
pub(crate) struct Writable {
    pub(crate) disks: Arc<Disks>,
    open: Counted<Place>,
}

impl Writable {
    pub(crate) fn new(disks: Arc<Disks>) -> Self {
        Self { disks, open: Counted::default() }
    }

    /// Counts what lies in the folders that a component may write to. One that is not there is counted when a cell first finds it.
    ///
    /// # Errors
    /// When a folder cannot be counted, or lies in another one that is granted for writing.
    pub(crate) fn count(&self, component: &Component, base_dir: &Path) -> wasmtime::Result<()> {
        for grant in component.grants.dirs.iter().filter(|grant| grant.mode == DirMode::Rw) {
            let path = base_dir.join(&grant.host);
            if let Ok(dir) = File::open(&path) {
                self.disks.at(&path, &dir, grant)?;
            }
        }
        Ok(())
    }
}

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
    writable: Arc<Writable>,
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
        writable: &Arc<Writable>,
        base_dir: &Path,
        wasi: &mut WasiCtx,
        table: &mut ResourceTable,
    ) -> wasmtime::Result<Self> {
        let mut roots = Vec::new();
        let grants = &reporter.component().grants.dirs;
        if !grants.is_empty() {
            let opened = (WasiFilesystemCtxView { ctx: wasi.filesystem(), table }).get_directories()?;
            for (root, ((resource, _), grant)) in opened.into_iter().zip(grants).enumerate() {
                let descriptor = table.delete(resource)?;
                let dir = file_of(&descriptor);
                if grant.mode == DirMode::Rw {
                    let disk = writable.disks.at(&base_dir.join(&grant.host), dir, grant)?;
                    let limits = Amount { bytes: grant.quota.0, files: grant.files.into() };
                    let quota = Quota { disk, limits, reporter: Arc::clone(&reporter), root };
                    writable.open.add(dir, (Arc::new(quota), Key::NONE));
                }
                roots.push(Arc::downgrade(dir));
            }
        }
        Ok(Self { reporter, roots, open: Arc::default(), writable: Arc::clone(writable) })
    }

    /// Where what is open for writing is counted.
    fn writable(&self) -> Arc<Writable> {
        Arc::clone(&self.writable)
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

impl HostCell {
    /// The folder behind a descriptor and where it is counted, if its guest may write to it.
    fn counted_dir(&self, fd: &Resource<Descriptor>) -> wasmtime::Result<Option<(Arc<Quota>, Dir)>> {
        match self.table.get(fd)? {
            Descriptor::Dir(dir) if dir.perms == FsPerms::ReadWrite => {
                Ok(Some((self.counted(&dir.dir)?.0, dir.clone())))
            }
            Descriptor::Dir(_) | Descriptor::File(_) => Ok(None),
        }
    }

    /// The file behind a descriptor and where it is counted, if its guest may write to it.
    fn counted_file(&self, fd: &Resource<Descriptor>) -> wasmtime::Result<Option<(Place, Arc<File>)>> {
        match self.table.get(fd)? {
            Descriptor::File(file) if file.perms == FsPerms::ReadWrite => {
                Ok(Some((self.counted(&file.file)?, Arc::clone(&file.file))))
            }
            Descriptor::Dir(_) | Descriptor::File(_) => Ok(None),
        }
    }

    /// Two folders that a guest may write to, for what is moved from one to the other.
    fn counted_pair(&self, from: &Resource<Descriptor>, to: &Resource<Descriptor>) -> wasmtime::Result<Pair> {
        let (Some((from, dir)), Some((to, other))) = (self.counted_dir(from)?, self.counted_dir(to)?) else {
            return Ok(Pair::Uncounted);
        };
        Ok(if Arc::ptr_eq(&from.disk, &to.disk) { Pair::Together(to, dir, other) } else { Pair::Apart })
    }

    fn counted(&self, file: &Arc<File>) -> wasmtime::Result<Place> {
        // Every descriptor comes from a granted folder; one that did not must not be written to.
        let unknown = || wasmtime::Error::msg("a file is open for writing in a folder that nobody counts");
        self.files.writable.open.find(file).ok_or_else(unknown)
    }
}

/// How two folders are counted.
enum Pair {
    /// The guest may not write to both.
    Uncounted,
    /// Each by itself, like two disks: what lies in one can be copied to the other.
    Apart,
    /// Together.
    Together(Arc<Quota>, Dir, Dir),
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

/// More in a folder than its grant allows: which of the two limits it was is for the reader to see in `ps`.
fn quota_denial(component: &Component, root: usize) -> Denial {
    let dirs = &component.grants.dirs;
    let (guest, limits) = dirs
        .get(root)
        .map_or(("", String::new()), |dir| (dir.guest.as_str(), format!("{} in {} files", dir.quota, dir.files)));
    let entries = dirs.iter().enumerate().map(|(index, dir)| {
        let mut dir = dir.clone();
        if index == root {
            dir.quota.0 = dir.quota.0.saturating_mul(2);
            dir.files = dir.files.saturating_mul(2).max(8);
        }
        let mode = dir.mode;
        entry(&dir, mode)
    });
    Denial {
        grant: "dirs",
        attempt: format!("keep more than {limits} in {guest}"),
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
    let mut entry = format!(r#"{{ host = {host}, guest = {}, mode = "{mode}""#, quoted(&dir.guest));
    if dir.quota != DEFAULT_QUOTA {
        entry.push_str(&format!(r#", quota = "{}""#, dir.quota));
    }
    if dir.files != DEFAULT_FILES {
        entry.push_str(&format!(", files = {}", dir.files));
    }
    entry.push_str(" }");
    entry
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
        DirGrant::new(host, guest, mode)
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
        let files = Files { reporter, roots: Vec::new(), open: Arc::default(), writable: Arc::default() };
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
