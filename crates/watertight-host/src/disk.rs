//! The folders that guests write to: what lies in each is counted, and held against the `quota` and `files` of a grant.
//!
//! ```text
//! amount = for each file, once however many names it has: its size, in steps of 4 KiB    ≤ quota
//!        + for each folder: 4 KiB
//!          names of files, folders and links                                             ≤ files
//! ```
//!
//! The size is the one that `ls` shows, so a hole counts as if it was filled: filling it later needs nothing more, and what the disk
//! holds is never more than what counts (but for the folders' own lists of names). A file that was deleted while it is open counts
//! until it is closed.
//!
//! A folder is counted by a [`walk`] when the app is loaded, and from then on every change that a guest makes is added up: the change
//! and its sum are one step under the folder's lock, which all cells of all workers share (a [`ledger`]). A worker that dies in the middle of a step
//! leaves a mark, and the next one counts anew. What others than guests do to the folder is seen when it is next counted: at the latest
//! when a guest is refused something, though not more often than every [`RECOUNT_AFTER`].
//!
//! Workers see each other's open files late: what one worker deletes while another has it open is missing from the sum for up to
//! [`WATCH_EVERY`], and counts once for each of them after that. So the sum may exceed the quota by what guests write in that time.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use watertight_model::{grant::DirGrant, usage::DiskUsage};

mod ledger;
mod walk;

pub use self::ledger::SharedLedgers;
use self::ledger::{Identity, Ledger};
pub(crate) use self::ledger::{Key, Locked};

/// A folder is not counted anew more often than this, nor for more than a twentieth of the time.
const RECOUNT_AFTER: Duration = Duration::from_secs(10);

/// How often a worker looks for files of its own that another one deleted.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// What files are counted in.
pub(crate) const BLOCK: u64 = 4096;

/// What a file or a link of this size counts as.
pub(crate) fn charged(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX)
}

/// Something that lies in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

impl Amount {
    /// A name for what is counted already.
    pub(crate) const NAME: Self = Self { bytes: 0, files: 1 };
    /// An empty folder.
    pub(crate) const FOLDER: Self = Self { bytes: BLOCK, files: 1 };

    /// A file or a link of this size.
    pub(crate) fn file(size: u64) -> Self {
        Self { bytes: charged(size), files: 1 }
    }

    /// More bytes.
    pub(crate) fn bytes(bytes: u64) -> Self {
        Self { bytes, files: 0 }
    }
}

/// A folder that guests write to.
#[derive(Debug)]
pub(crate) struct Disk {
    /// As the manifest names it.
    name: PathBuf,
    /// Where it was found.
    canonical: PathBuf,
    identity: Identity,
    ledger: Ledger,
    /// The most that a grant allows.
    most: Mutex<Amount>,
}

/// Why a folder cannot be written to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("folder {} cannot be counted: {error}", .path.display())]
    Uncounted { path: PathBuf, error: io::Error },
    #[error(
        "folders {} and {} are both granted for writing, and one lies in the other: what counts for which? Grant the outer one alone, \
         or two that lie beside each other", .0.display(), .1.display()
    )]
    Nested(PathBuf, PathBuf),
}

impl Disk {
    /// Takes the folder's lock, of this process and of all others. It waits for them: not for a thread that runs guests.
    pub(crate) fn lock(&self) -> io::Result<Locked<'_>> {
        self.ledger.lock()
    }

    /// Keeps this process from changing the folder meanwhile.
    pub(crate) fn hold(&self) -> Locked<'_> {
        self.ledger.hold()
    }

    fn usage(&self) -> DiskUsage {
        let (amount, most) = (self.ledger.amount(), *self.most.lock());
        DiskUsage {
            host: self.name.clone(),
            bytes: amount.bytes,
            files: amount.files,
            quota_bytes: most.bytes,
            quota_files: most.files,
        }
    }
}

/// The folders that the guests of an app write to.
#[derive(Debug, Default)]
pub(crate) struct Disks {
    known: Mutex<Vec<Arc<Disk>>>,
    shared: SharedLedgers,
}

impl Disks {
    /// Counts together with other processes, where those have a ledger for the folder.
    pub(crate) fn new(shared: SharedLedgers) -> Arc<Self> {
        let disks = Arc::new(Self { known: Mutex::default(), shared });
        if !disks.shared.is_empty() {
            let watched = Arc::downgrade(&disks);
            // Without it files that others delete are seen late; nothing else fails.
            let _ = std::thread::Builder::new().name("watertight-disks".into()).spawn(move || watch(&watched));
        }
        disks
    }

    /// The folder at this path, which was opened as `dir`. It is counted when it is seen for the first time: that takes about a second
    /// for 500,000 files.
    pub(crate) fn at(&self, path: &Path, dir: &File, grant: &DirGrant) -> Result<Arc<Disk>, DiskError> {
        let uncounted = |error| DiskError::Uncounted { path: path.to_owned(), error };
        let identity = Identity::of(&dir.metadata().map_err(uncounted)?);
        let mut known = self.known.lock();
        let disk = match known.iter().find(|disk| disk.identity == identity) {
            Some(disk) => Arc::clone(disk),
            None => {
                let canonical = path.canonicalize().map_err(uncounted)?;
                // Another folder stood here before.
                known.retain(|disk| disk.canonical != canonical);
                let nested = |disk: &&Arc<Disk>| {
                    disk.canonical.starts_with(&canonical) || canonical.starts_with(&disk.canonical)
                };
                if let Some(other) = known.iter().find(nested) {
                    return Err(DiskError::Nested(other.name.clone(), grant.host.clone()));
                }
                let shared = self.shared.open(&canonical).map_err(uncounted)?;
                let root = dir.try_clone().map_err(uncounted)?;
                let ledger = Ledger::new(root, identity, shared, RECOUNT_AFTER).map_err(uncounted)?;
                let (name, most) = (grant.host.clone(), Mutex::default());
                let disk = Arc::new(Disk { name, canonical, identity, ledger, most });
                known.push(Arc::clone(&disk));
                disk
            }
        };
        let mut most = disk.most.lock();
        most.bytes = most.bytes.max(grant.quota.0);
        most.files = most.files.max(grant.files.into());
        drop(most);
        Ok(disk)
    }

    /// What lies in each.
    pub(crate) fn usage(&self) -> Vec<DiskUsage> {
        self.known.lock().iter().map(|disk| disk.usage()).collect()
    }
}

/// Looks for what other processes deleted, for as long as the app runs.
fn watch(disks: &Weak<Disks>) {
    loop {
        std::thread::sleep(WATCH_EVERY);
        let Some(disks) = disks.upgrade() else { return };
        let known = disks.known.lock().clone();
        for disk in known {
            disk.ledger.catch_up();
        }
    }
}

/// Where the open files of an app's cells are counted, for as long as they are open.
#[derive(Debug)]
pub(crate) struct Counted<Q>(Mutex<Files<Q>>);

#[derive(Debug)]
struct Files<Q> {
    /// By where the file is in memory, which the weak pointer keeps from being another's.
    known: HashMap<usize, (Weak<File>, Q)>,
    /// How many there may be before those that are closed are looked for.
    sweep_at: usize,
}

/// Fewer are not worth a sweep.
const MIN_SWEEP: usize = 64;

impl<Q> Default for Counted<Q> {
    fn default() -> Self {
        Self(Mutex::new(Files { known: HashMap::new(), sweep_at: MIN_SWEEP }))
    }
}

impl<Q: Clone> Counted<Q> {
    pub(crate) fn add(&self, file: &Arc<File>, place: Q) {
        let mut files = self.0.lock();
        if files.known.len() >= files.sweep_at {
            files.known.retain(|_, (file, _)| file.strong_count() > 0);
            files.sweep_at = (files.known.len() * 2).max(MIN_SWEEP);
        }
        files.known.insert(Arc::as_ptr(file).addr(), (Arc::downgrade(file), place));
    }

    pub(crate) fn find(&self, file: &Arc<File>) -> Option<Q> {
        let files = self.0.lock();
        files.known.get(&Arc::as_ptr(file).addr()).map(|(_, place)| place.clone())
    }
}
