//! The folder that postmortems lie in: put there, found again, and the oldest removed when they take too much room.
//!
//! Several processes share it. Each writes into a folder of its own name and renames that, and whoever finds something gone that it
//! was about to remove is content. Memory and log lines are in there, so it is for its owner alone.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use watertight_model::postmortem::Report;
use watertight_observe::Timestamp;
use watertight_runtime::{CORE_FILE, Postmortem};

/// The files of one postmortem, beside [`CORE_FILE`].
const REPORT_FILE: &str = "report.json";
const BACKTRACE_FILE: &str = "backtrace.txt";

/// Bytes that the postmortems of one app may take.
const MAX_APP_BYTES: u64 = 256 << 20;

/// Postmortems of one app, however small.
const MAX_APP_POSTMORTEMS: usize = 1000;

/// The longest report that is read.
const MAX_REPORT_BYTES: u64 = 4 << 20;

/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// What a folder that is being written begins with. No name of a component does.
const UNFINISHED: &str = ".new-";

/// After this, a folder that is being written is one whose writer was killed.
const ABANDONED: Duration = Duration::from_secs(60);

/// The longest name of an app or component in a path.
const MAX_NAME: usize = 100;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder of postmortems.
#[derive(Clone, Debug)]
pub struct Shelf {
    root: PathBuf,
    /// [`MAX_APP_BYTES`]; tests have less.
    most: u64,
}

/// One postmortem.
#[derive(Clone, Debug)]
pub struct Kept {
    /// `APP/COMPONENT/TIME-PID`.
    pub id: String,
    /// Where it lies.
    pub folder: PathBuf,
}

/// Postmortems cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The folder is not there, or not to be used.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// A report is none.
    #[error("{} is no report of a postmortem: {error}", path.display())]
    NoReport {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: serde_json::Error,
    },
}

impl Shelf {
    /// A folder, which need not be there.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, most: MAX_APP_BYTES }
    }

    /// Writes one down and says where it lies; then removes the oldest while there is too much.
    pub(super) fn put(&self, mut postmortem: Postmortem, at: SystemTime) -> Result<PathBuf, ShelfError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| ShelfError::Io { path, error }
        };
        let report = &mut postmortem.report;
        let (app, component) = (safe(&report.app.name), safe(&report.component.name));
        report.time = Timestamp(at).to_string();
        let name = format!("{}-{}", report.time.replace(['-', ':'], ""), report.pid);
        report.id = format!("{app}/{component}/{name}");
        own_folder(&self.root).map_err(failed(&self.root))?;
        let app = self.root.join(app);
        let home = app.join(component);
        make(&home).map_err(failed(&home))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unfinished = app.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let place = home.join(name);
        let written = write(&unfinished, &postmortem).and_then(|()| fs::rename(&unfinished, &place));
        if written.is_err() {
            // Half a postmortem takes room that another may need.
            let _ = fs::remove_dir_all(&unfinished);
        }
        written.map_err(failed(&place))?;
        make_room(&app, self.most, &place);
        Ok(place)
    }

    /// Every postmortem, the newest first.
    ///
    /// # Errors
    /// When the folder cannot be read; one that is not there is empty.
    pub fn list(&self) -> Result<Vec<Kept>, ShelfError> {
        let mut kept = Vec::new();
        for app in folders(&self.root).map_err(|error| ShelfError::Io { path: self.root.clone(), error })? {
            for folder in of_app(&app) {
                let parts: Vec<_> = folder.strip_prefix(&self.root).unwrap_or(&folder).iter().collect();
                let id = parts.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
                kept.push(Kept { id, folder });
            }
        }
        kept.sort_by(|a, b| b.folder.file_name().cmp(&a.folder.file_name()).then_with(|| a.id.cmp(&b.id)));
        Ok(kept)
    }

    /// The newest that is meant: any by `latest`, or by its name, the start of its time, its app, its component, or its folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn find(&self, which: &str) -> Result<Option<Kept>, ShelfError> {
        let path = Path::new(which);
        if which.contains('/') && path.join(REPORT_FILE).is_file() {
            return Ok(Some(Kept { id: which.to_owned(), folder: path.to_owned() }));
        }
        let means = |kept: &Kept| {
            let parts: Vec<_> = kept.id.split('/').collect();
            which == "latest"
                || kept.id == which
                || kept.id.strip_prefix(which).is_some_and(|rest| rest.starts_with('/'))
                || parts.first() == Some(&which)
                || parts.get(1) == Some(&which)
                || parts.last().is_some_and(|time| time.starts_with(which))
        };
        Ok(self.list()?.into_iter().find(means))
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Kept {
    /// Reads its report.
    ///
    /// # Errors
    /// When there is none, or none that this release can read.
    pub fn report(&self) -> Result<Report, ShelfError> {
        let path = self.folder.join(REPORT_FILE);
        let text = read(&path).map_err(|error| ShelfError::Io { path: path.clone(), error })?;
        serde_json::from_str(&text).map_err(|error| ShelfError::NoReport { path, error })
    }

    /// The file of its stack, as text.
    #[must_use]
    pub fn backtrace(&self) -> PathBuf {
        self.folder.join(BACKTRACE_FILE)
    }

    /// The file of its core dump, if there is one.
    #[must_use]
    pub fn core(&self) -> PathBuf {
        self.folder.join(CORE_FILE)
    }
}

/// A name as a part of a path. Names of apps and components are checked by the manifest; a path should not depend on it.
fn safe(name: &str) -> String {
    let mut safe = String::new();
    for (place, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => safe.push(char::from(byte)),
            b'.' if place > 0 => safe.push('.'),
            _ => safe.push_str(&format!("%{byte:02X}")),
        }
    }
    safe.truncate(MAX_NAME);
    if safe.is_empty() { "%".to_owned() } else { safe }
}

/// Makes a folder for its owner alone.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes the folder of all, or checks that nobody else can put something there for us to follow.
fn own_folder(root: &Path) -> io::Result<()> {
    make(root)?;
    let found = fs::metadata(root)?;
    if found.uid() != 0 && found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("it belongs to another user, {}", found.uid())));
    }
    if found.mode() & 0o022 != 0 {
        return Err(io::Error::other("others than its owner can write to it: chmod go-w"));
    }
    Ok(())
}

fn write(folder: &Path, postmortem: &Postmortem) -> io::Result<()> {
    make(folder)?;
    let file = |name: &str, bytes: &[u8]| -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name))?;
        file.write_all(bytes)
    };
    let mut report = serde_json::to_vec_pretty(&postmortem.report)?;
    report.push(b'\n');
    file(REPORT_FILE, &report)?;
    file(BACKTRACE_FILE, postmortem.backtrace.as_bytes())?;
    postmortem.core.as_ref().map_or(Ok(()), |core| file(CORE_FILE, core))
}

fn read(path: &Path) -> io::Result<String> {
    // Whoever opens a pipe waits for somebody to write.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_REPORT_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The folders in a folder; none where it is not there.
fn folders(of: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(of) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let folders = entries.take(MAX_ENTRIES).flatten().filter(|entry| entry.file_type().is_ok_and(|ty| ty.is_dir()));
    Ok(folders.map(|entry| entry.path()).collect())
}

/// The postmortems of an app.
fn of_app(app: &Path) -> Vec<PathBuf> {
    let components = folders(app).unwrap_or_default().into_iter().filter(|folder| !is_unfinished(folder));
    components.flat_map(|component| folders(&component).unwrap_or_default()).collect()
}

fn is_unfinished(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()))
}

/// Removes postmortems of an app until they take no more than they may: the oldest of the component that has most, but never the one
/// that has just been written.
fn make_room(app: &Path, most: u64, newest: &Path) {
    for folder in folders(app).unwrap_or_default().into_iter().filter(|folder| is_unfinished(folder)) {
        let age = fs::metadata(&folder).and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_dir_all(&folder);
        }
    }
    let sized = |folder: PathBuf| {
        let bytes = size(&folder);
        (folder, bytes)
    };
    let mut kept: Vec<(PathBuf, u64)> = of_app(app).into_iter().map(sized).collect();
    kept.sort_by(|a, b| a.0.file_name().cmp(&b.0.file_name()));
    for folder in surplus(kept, most, MAX_APP_POSTMORTEMS, newest) {
        // Another process may have been quicker.
        let _ = fs::remove_dir_all(folder);
    }
}

/// What one component has.
#[derive(Default)]
struct Share {
    bytes: u64,
    /// What may go of it, with its age, the oldest first.
    may_go: VecDeque<(usize, PathBuf, u64)>,
}

/// Which of these have to go; they are given from the oldest to the newest.
fn surplus(kept: Vec<(PathBuf, u64)>, most_bytes: u64, most: usize, newest: &Path) -> Vec<PathBuf> {
    let (mut left, mut bytes) = (kept.len(), kept.iter().map(|(_, size)| size).sum::<u64>());
    let mut components: BTreeMap<PathBuf, Share> = BTreeMap::new();
    for (age, (folder, size)) in kept.into_iter().enumerate() {
        let share = components.entry(folder.parent().unwrap_or(Path::new("")).to_owned()).or_default();
        share.bytes += size;
        if folder != newest {
            share.may_go.push_back((age, folder, size));
        }
    }
    let mut gone = Vec::new();
    while left > most || bytes > most_bytes {
        let fullest = components.values_mut().max_by_key(|share| {
            let oldest = share.may_go.front().map(|(age, ..)| Reverse(*age));
            oldest.map(|oldest| (share.bytes, oldest))
        });
        let Some(share) = fullest else { break };
        let Some((_, folder, size)) = share.may_go.pop_front() else { break };
        share.bytes -= size;
        bytes -= size;
        left -= 1;
        gone.push(folder);
    }
    gone
}

fn size(folder: &Path) -> u64 {
    let Ok(files) = fs::read_dir(folder) else { return 0 };
    files.take(MAX_ENTRIES).flatten().filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_never_leads_out_of_the_folder() {
        for (name, part) in [
            ("thumbnail-2_b", "thumbnail-2_b"),
            ("my.app", "my.app"),
            ("..", "%2E."),
            (".new-1", "%2Enew-1"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
            ("a\0b\n", "a%00b%0A"),
            ("é", "%C3%A9"),
            ("", "%"),
        ] {
            assert_eq!(safe(name), part);
        }
        assert!(safe(&"/".repeat(1000)).len() <= MAX_NAME);
    }

    fn postmortem(component: &str, core: usize) -> Postmortem {
        let report = serde_json::json!({
            "schema": 1, "id": "", "time": "", "pid": std::process::id(), "watertight": "", "wasmtime": "",
            "app": { "name": "app", "version": "" },
            "failure": { "kind": "trap", "blame": "callee", "detail": "", "next": null, "retry": true },
            "component": { "name": component, "source": "", "blake3": "", "fused": [], "lifetime": "call", "cell": 1 },
            "tree": null, "path": [], "stack": [], "no_stack": null, "crossings": [], "crossings_before": 0,
            "limits": [], "log": [], "core": { "left-out": { "why": "" } }, "redacted": false, "key-of-a-later-release": 1,
        });
        let report = serde_json::from_value(report).expect("keys of later releases are let pass");
        Postmortem { report, backtrace: String::new(), core: Some(vec![0; core]) }
    }

    /// A shelf for so many bytes.
    fn shelf(most: u64) -> (tempfile::TempDir, Shelf) {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let shelf = Shelf { root: folder.path().join("shelf"), most };
        (folder, shelf)
    }

    fn times() -> impl Iterator<Item = SystemTime> {
        (0..).map(|number| SystemTime::UNIX_EPOCH + Duration::from_secs(number))
    }

    #[test]
    fn however_many_there_are_the_oldest_of_who_has_most_go_at_once() {
        let kept = |component: &str, age: u64| (PathBuf::from(format!("app/{component}/{age:06}")), 10);
        let mut all: Vec<_> = (0..20_000).map(|age| kept(if age % 4 == 0 { "rare" } else { "loud" }, age)).collect();
        let newest = all[19_999].0.clone();
        let gone: BTreeSet<PathBuf> = surplus(all.clone(), u64::MAX, 1_000, &newest).into_iter().collect();
        assert_eq!(gone.len(), 19_000);
        all.retain(|(folder, _)| !gone.contains(folder));
        assert!(all.iter().filter(|(folder, _)| folder.starts_with("app/rare")).count() >= 500, "both have as many");
        assert_eq!(all.last().map(|(folder, _)| folder.clone()), Some(newest), "the newest stays");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nobody_waits_for_a_pipe() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("report.json");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .expect("a pipe can be made");
        assert!(read(&pipe).is_err());
    }

    #[test]
    fn what_is_put_is_found_and_the_oldest_goes_when_there_is_too_much() {
        let (_folder, shelf) = shelf(10_000);
        for (component, at) in ["rare", "loud", "loud", "loud", "loud"].into_iter().zip(times()) {
            let core = if component == "rare" { 100 } else { 3000 };
            shelf.put(postmortem(component, core), at).expect("there is room on the disk");
        }
        let ids = || -> Vec<_> { shelf.list().expect("it can be read").into_iter().map(|kept| kept.id).collect() };
        let pid = std::process::id();
        let named = |component: &str, second: u32| format!("app/{component}/19700101T00000{second}.000Z-{pid}");
        assert_eq!(ids(), [named("loud", 4), named("loud", 3), named("rare", 0)]);
        for (which, found) in [
            ("latest", Some(named("loud", 4))),
            ("app", Some(named("loud", 4))),
            ("rare", Some(named("rare", 0))),
            ("app/rare", Some(named("rare", 0))),
            ("19700101T000003", Some(named("loud", 3))),
            ("rar", None),
            ("../app", None),
        ] {
            assert_eq!(shelf.find(which).expect("it can be read").map(|kept| kept.id), found, "{which}");
        }
        let kept = shelf.find("rare").expect("it can be read").expect("it is there");
        assert_eq!(kept.report().expect("it is whole").id, named("rare", 0));
    }

    #[test]
    fn processes_that_share_a_folder_leave_nothing_half_done() {
        let (_folder, shelf) = shelf(20_000);
        std::thread::scope(|scope| {
            for worker in 0..4_u32 {
                let shelf = &shelf;
                scope.spawn(move || {
                    for at in times().take(40) {
                        let mut postmortem = postmortem("loud", 1000);
                        postmortem.report.pid = worker;
                        shelf.put(postmortem, at).expect("there is room on the disk");
                    }
                });
            }
        });
        let kept = shelf.list().expect("it can be read");
        assert!(!kept.is_empty());
        assert!(kept.iter().all(|kept| kept.report().is_ok()), "whatever is there is whole");
        let app = shelf.root().join("app");
        assert_eq!(folders(&app).expect("it is there"), [app.join("loud")]);
    }

    #[test]
    fn the_oldest_of_who_has_most_goes_first() {
        let kept = |names: &[(&str, u64)]| -> Vec<(PathBuf, u64)> {
            names.iter().map(|(name, bytes)| (PathBuf::from(name), *bytes)).collect()
        };
        let all = kept(&[("rare/1", 10), ("loud/2", 40), ("loud/3", 40), ("loud/4", 40)]);
        let newest = Path::new("loud/4");
        assert_eq!(surplus(all.clone(), 130, 10, newest), [] as [PathBuf; 0]);
        assert_eq!(surplus(all.clone(), 100, 10, newest), [PathBuf::from("loud/2")]);
        assert_eq!(surplus(all.clone(), 1000, 2, newest), [PathBuf::from("loud/2"), PathBuf::from("loud/3")]);
        assert_eq!(surplus(all, 0, 10, newest).len(), 3, "never what has just been written");
    }
}
