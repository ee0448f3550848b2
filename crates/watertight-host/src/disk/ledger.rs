//! The ledger of a folder: what lies in it, kept up to date change by change, under one lock for all who make them.
//!
//! Where several processes write to a folder, the sum stands in a file in memory that the supervisor made and no path leads to. Who
//! holds the lock on that file (`flock`, which the kernel takes from the dead) changes the folder and the sum. While it does, the
//! file says `busy`; so the next one knows that the sum is right, or that it must be made anew.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use rustix::{
    fs::{FlockOperation, MemfdFlags, flock, memfd_create},
    time::{ClockId, clock_gettime},
};

use super::{Amount, charged, walk};

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

/// Which file it is, in wasmtime-wasi's terms: a hash of its identity, which it gives for an open file and for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) u64, pub(crate) u64);

impl Key {
    /// For a folder, whose size does not change.
    pub(crate) const NONE: Self = Self(0, 0);
}

/// The sum, as it stands in the shared file: numbers of 8 bytes, little-endian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// Of the folder that was counted; 0 and 0 for none.
    identity: [u64; 2],
    bytes: u64,
    files: u64,
    /// What was deleted and is open.
    orphaned: u64,
    /// Goes up with each deletion of a file's last name.
    deletions: u64,
    /// Goes up with each count from the start: what was deleted and is open is added again by who has it open.
    epoch: u64,
    /// Somebody is changing the folder, or died of it.
    busy: u64,
    /// When it was last counted, in milliseconds since the machine started, and how long that took.
    counted_at: u64,
    counted_in: u64,
}

const STATE_BYTES: usize = 10 * 8;

impl State {
    fn encode(&self) -> [u8; STATE_BYTES] {
        let [device, inode] = self.identity;
        let fields = [
            device,
            inode,
            self.bytes,
            self.files,
            self.orphaned,
            self.deletions,
            self.epoch,
            self.busy,
            self.counted_at,
            self.counted_in,
        ];
        let mut encoded = [0; STATE_BYTES];
        for (place, field) in encoded.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        encoded
    }

    fn decode(encoded: &[u8; STATE_BYTES]) -> Self {
        let field = |index: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&encoded[index * 8..][..8]);
            u64::from_le_bytes(bytes)
        };
        Self {
            identity: [field(0), field(1)],
            bytes: field(2),
            files: field(3),
            orphaned: field(4),
            deletions: field(5),
            epoch: field(6),
            busy: field(7),
            counted_at: field(8),
            counted_in: field(9),
        }
    }

    fn amount(&self) -> Amount {
        Amount { bytes: self.bytes.saturating_add(self.orphaned), files: self.files }
    }
}

/// What lies in one folder.
#[derive(Debug)]
pub(crate) struct Ledger {
    root: File,
    identity: Identity,
    shared: Option<File>,
    recount_after: Duration,
    mine: Mutex<Mine>,
}

/// This process's part.
#[derive(Debug, Default)]
struct Mine {
    /// The sum; where it is shared, as it was when this process last looked.
    state: State,
    /// Files in the folder that are open here.
    open: HashMap<Key, OpenFile>,
    /// How many there may be before those that are closed are looked for.
    sweep_at: usize,
    /// Which of those were deleted.
    orphans: Vec<Key>,
    /// What this process has looked at of the shared state.
    seen_deletions: u64,
    seen_epoch: u64,
}

#[derive(Debug, Default)]
struct OpenFile {
    handles: Vec<Weak<File>>,
    /// What it counts as, if it was deleted.
    orphaned: Option<u64>,
}

impl OpenFile {
    fn is_open(&self) -> bool {
        self.handles.iter().any(|handle| handle.strong_count() > 0)
    }
}

/// Fewer are not worth a sweep.
const MIN_SWEEP: usize = 64;

/// The time on a clock that all processes share.
fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let ms = Duration::try_from(now).map_or(0, |now| now.as_millis());
    u64::try_from(ms).unwrap_or(u64::MAX)
}

impl Ledger {
    /// Counts what lies in `root`, unless those that share the ledger have done so.
    pub(super) fn new(
        root: File,
        identity: Identity,
        shared: Option<File>,
        recount_after: Duration,
    ) -> io::Result<Self> {
        let ledger = Self { root, identity, shared, recount_after, mine: Mutex::default() };
        let mut locked = ledger.lock()?;
        if locked.is_uncounted() {
            locked.recount()?;
        }
        drop(locked);
        Ok(ledger)
    }

    /// Takes the lock of this process and of all others, and catches up with what they did.
    pub(super) fn lock(&self) -> io::Result<Locked<'_>> {
        let mut locked = self.hold();
        if let Some(shared) = &self.shared {
            retried(|| flock(shared, FlockOperation::LockExclusive))?;
            locked.shared = Some(Flocked(shared));
            locked.mine.state = read(shared)?;
            shared.write_all_at(&1u64.to_le_bytes(), BUSY_AT)?;
        }
        let died = locked.mine.state.busy != 0;
        locked.mine.state.busy = 0;
        locked.mine.settle();
        if died && !locked.is_uncounted() {
            // If it cannot be counted, the numbers are as good as there are.
            let _ = locked.recount();
        }
        Ok(locked)
    }

    /// Takes the lock of this process alone: for what changes no sum.
    pub(super) fn hold(&self) -> Locked<'_> {
        Locked { shared: None, mine: self.mine.lock(), ledger: self }
    }

    /// What lies in the folder. Waits for nobody where the ledger is shared.
    pub(super) fn amount(&self) -> Amount {
        match &self.shared {
            Some(shared) => read(shared).unwrap_or_default().amount(),
            None => {
                let mut mine = self.mine.lock();
                mine.settle();
                mine.state.amount()
            }
        }
    }

    /// Looks at what other processes deleted, and gives back what was closed.
    pub(super) fn catch_up(&self) {
        let Some(shared) = &self.shared else { return };
        let Ok(state) = read(shared) else { return };
        let behind = {
            let mine = self.mine.lock();
            !mine.orphans.is_empty() || state.deletions != mine.seen_deletions || state.epoch != mine.seen_epoch
        };
        if behind && let Ok(mut locked) = self.lock() {
            locked.mine.find_orphans();
        }
    }
}

const BUSY_AT: u64 = 7 * 8;

fn read(shared: &File) -> io::Result<State> {
    let mut encoded = [0; STATE_BYTES];
    shared.read_exact_at(&mut encoded, 0)?;
    Ok(State::decode(&encoded))
}

fn retried(mut call: impl FnMut() -> rustix::io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

impl Mine {
    /// Adds what is deleted and open here where the sum was made anew, and gives back what has been closed.
    fn settle(&mut self) {
        if self.state.epoch != self.seen_epoch {
            self.seen_epoch = self.state.epoch;
            for orphan in &self.orphans {
                let size = self.open.get(orphan).and_then(|file| file.orphaned).unwrap_or(0);
                self.state.orphaned = self.state.orphaned.saturating_add(size);
            }
        }
        self.orphans.retain(|orphan| {
            let Some(file) = self.open.get(orphan) else { return false };
            let open = file.is_open();
            if !open {
                self.state.orphaned = self.state.orphaned.saturating_sub(file.orphaned.unwrap_or(0));
                self.open.remove(orphan);
            }
            open
        });
    }

    /// Looks for open files that others deleted.
    fn find_orphans(&mut self) {
        self.seen_deletions = self.state.deletions;
        for (key, file) in self.open.iter_mut().filter(|(_, file)| file.orphaned.is_none()) {
            let Some(handle) = file.handles.iter().find_map(Weak::upgrade) else { continue };
            if let Ok(found) = handle.metadata()
                && found.nlink() == 0
            {
                let size = charged(found.len());
                file.orphaned = Some(size);
                self.orphans.push(*key);
                self.state.orphaned = self.state.orphaned.saturating_add(size);
            }
        }
    }
}

/// Unlocks the shared file.
struct Flocked<'a>(&'a File);

/// The folder, kept from all others.
pub(crate) struct Locked<'a> {
    shared: Option<Flocked<'a>>,
    mine: MutexGuard<'a, Mine>,
    ledger: &'a Ledger,
}

impl Locked<'_> {
    /// Whether this fits beside what is there. What others freed meanwhile is found when it does not.
    pub(crate) fn fits(&mut self, more: Amount, limits: Amount) -> bool {
        self.room(more, limits) == more
    }

    /// As much of this as fits beside what is there.
    pub(crate) fn room(&mut self, wanted: Amount, limits: Amount) -> Amount {
        let room = self.left(limits).least(wanted);
        if room == wanted || !self.may_recount() {
            return room;
        }
        let _ = self.recount();
        self.left(limits).least(wanted)
    }

    fn left(&self, limits: Amount) -> Amount {
        let used = self.mine.state.amount();
        Amount { bytes: limits.bytes.saturating_sub(used.bytes), files: limits.files.saturating_sub(used.files) }
    }

    /// Counts something that was made.
    pub(crate) fn made(&mut self, what: Amount) {
        let state = &mut self.mine.state;
        state.bytes = state.bytes.saturating_add(what.bytes);
        state.files = state.files.saturating_add(what.files);
    }

    /// Stops counting something that is gone for good.
    pub(crate) fn gone(&mut self, what: Amount) {
        let state = &mut self.mine.state;
        if state.bytes < what.bytes || state.files < what.files {
            // Others had put it there.
            self.doubt();
        }
        let state = &mut self.mine.state;
        state.bytes = state.bytes.saturating_sub(what.bytes);
        state.files = state.files.saturating_sub(what.files);
    }

    /// Stops counting a name that was deleted, and its file unless that has other names or is open here.
    pub(crate) fn deleted(&mut self, key: Key, size: u64, names: u64) {
        self.gone(Amount::NAME);
        if names > 1 {
            return;
        }
        let size = charged(size);
        self.gone(Amount::bytes(size));
        let mine = &mut *self.mine;
        mine.state.deletions = mine.state.deletions.wrapping_add(1);
        if let Some(file) = mine.open.get_mut(&key).filter(|file| file.is_open()) {
            file.orphaned = Some(size);
            mine.orphans.push(key);
            mine.state.orphaned = mine.state.orphaned.saturating_add(size);
        }
    }

    /// Counts an open file as large as it is now.
    pub(crate) fn resized(&mut self, key: Key, before: u64, after: u64) {
        let (before, after) = (charged(before), charged(after));
        let mine = &mut *self.mine;
        let open = mine.open.get_mut(&key);
        let sum = match open.and_then(|file| file.orphaned.as_mut()) {
            Some(orphaned) => {
                *orphaned = after;
                &mut mine.state.orphaned
            }
            None => &mut mine.state.bytes,
        };
        *sum = sum.saturating_sub(before).saturating_add(after);
    }

    /// Follows a file for as long as it is open.
    pub(crate) fn opened(&mut self, key: Key, file: &Arc<File>) {
        let mine = &mut *self.mine;
        if mine.open.len() >= mine.sweep_at {
            mine.open.retain(|_, file| file.orphaned.is_some() || file.is_open());
            mine.sweep_at = (mine.open.len() * 2).max(MIN_SWEEP);
        }
        let open = mine.open.entry(key).or_default();
        if !open.is_open()
            && let Some(size) = open.orphaned.take()
        {
            // Another file had this identity, which was free again when the last handle to it was gone.
            mine.state.orphaned = mine.state.orphaned.saturating_sub(size);
            mine.orphans.retain(|orphan| *orphan != key);
        }
        open.handles.retain(|handle| handle.strong_count() > 0);
        open.handles.push(Arc::downgrade(file));
    }

    /// Has the folder counted anew as soon as may be: something happened that the sum does not know.
    pub(crate) fn doubt(&mut self) {
        self.mine.state.counted_at = 0;
        self.mine.state.counted_in = 0;
    }

    fn may_recount(&self) -> bool {
        let state = &self.mine.state;
        let after = u64::try_from(self.ledger.recount_after.as_millis()).unwrap_or(u64::MAX);
        let after = after.max(state.counted_in.saturating_mul(20));
        // Only what the sum of all processes will be built on.
        let alone = self.shared.is_some() || self.ledger.shared.is_none();
        alone && now_ms().saturating_sub(state.counted_at) >= after
    }

    fn is_uncounted(&self) -> bool {
        let Identity { device, inode } = self.ledger.identity;
        self.mine.state.identity != [device, inode]
    }

    fn recount(&mut self) -> io::Result<()> {
        let began = now_ms();
        let counted = walk::count(&self.ledger.root);
        let Identity { device, inode } = self.ledger.identity;
        let mine = &mut *self.mine;
        // Also where it failed, so that it is not tried over and over.
        mine.state.counted_at = now_ms();
        mine.state.counted_in = mine.state.counted_at.saturating_sub(began);
        let amount = counted?;
        mine.state.identity = [device, inode];
        (mine.state.bytes, mine.state.files) = (amount.bytes, amount.files);
        mine.find_orphans();
        mine.state.epoch = mine.state.epoch.wrapping_add(1);
        mine.state.orphaned = 0;
        mine.settle();
        Ok(())
    }
}

impl Amount {
    fn least(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), files: self.files.min(other.files) }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let Some(Flocked(shared)) = self.shared.take() else { return };
        // Who panics leaves the mark: the next one counts anew.
        if !std::thread::panicking() {
            let _ = shared.write_all_at(&self.mine.state.encode(), 0);
        }
        let _ = flock(shared, FlockOperation::Unlock);
    }
}

/// Ledgers that processes share: which file in memory counts which folder.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct SharedLedgers(Vec<(PathBuf, PathBuf)>);

/// The files of the ledgers that this process made, for those it starts: one for each folder, whichever version of an app writes to it.
static KEPT: Mutex<Vec<(PathBuf, File)>> = Mutex::new(Vec::new());

impl SharedLedgers {
    /// Makes ledgers for these folders, or takes those that this process made before. A folder that is not there is left out.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn keep(folders: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let mut kept = KEPT.lock();
        let mut ledgers = Self::default();
        for folder in folders {
            let Ok(canonical) = folder.canonicalize() else { continue };
            let place = match kept.iter().position(|(kept, _)| *kept == canonical) {
                Some(place) => place,
                None => {
                    // Without CLOEXEC: it is there for the processes that this one starts.
                    let file = File::from(memfd_create("watertight-ledger", MemfdFlags::empty())?);
                    file.set_len(STATE_BYTES as u64)?;
                    kept.push((canonical.clone(), file));
                    kept.len() - 1
                }
            };
            let path = PathBuf::from(format!("/proc/self/fd/{}", kept[place].1.as_raw_fd()));
            ledgers.0.push((canonical, path));
        }
        Ok(ledgers)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Opens the ledger of a folder, so that this process has a lock of its own on it.
    pub(super) fn open(&self, canonical: &Path) -> io::Result<Option<File>> {
        let path = self.0.iter().find(|(folder, _)| folder == canonical).map(|(_, path)| path);
        path.map(|path| File::options().read(true).write(true).open(path)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LIMITS: Amount = Amount { bytes: 3 * 4096, files: 3 };

    fn ledger(folder: &Path, shared: Option<&File>, recount_after: Duration) -> Ledger {
        let root = File::open(folder).expect("it is a folder");
        let identity = Identity::of(&root.metadata().expect("it is open"));
        let shared = shared.map(|file| file.try_clone().expect("it is open"));
        Ledger::new(root, identity, shared, recount_after).expect("it can be counted")
    }

    fn memory() -> File {
        let file = File::from(memfd_create("ledger", MemfdFlags::CLOEXEC).expect("there is memory"));
        file.set_len(STATE_BYTES as u64).expect("there is memory");
        file
    }

    #[test]
    fn what_others_take_away_is_noticed_when_a_guest_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["a", "b", "c"] {
            fs::write(folder.path().join(name), "x").expect("it is ours");
        }
        let (now, later) = (Duration::ZERO, Duration::from_secs(1000));
        let (eager, lazy) = (ledger(folder.path(), None, now), ledger(folder.path(), None, later));
        assert!(!eager.lock().expect("a lock").fits(Amount::NAME, LIMITS));
        fs::remove_file(folder.path().join("a")).expect("it is ours");
        assert!(eager.lock().expect("a lock").fits(Amount::file(1), LIMITS));
        assert!(!lazy.lock().expect("a lock").fits(Amount::NAME, LIMITS), "it was counted a moment ago");
        // It noticed itself that its sum is wrong.
        let mut locked = lazy.lock().expect("a lock");
        locked.doubt();
        assert!(locked.fits(Amount::file(1), LIMITS));
        assert!(!locked.fits(Amount::file(4097), LIMITS));
    }

    #[test]
    fn who_dies_in_the_middle_of_a_change_leaves_a_mark_and_the_next_one_counts_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("a"), "x").expect("it is ours");
        let shared = memory();
        let ledger = ledger(folder.path(), Some(&shared), Duration::from_secs(1000));
        let right = Amount { bytes: 4096, files: 1 };
        assert_eq!(ledger.amount(), right);
        drop(ledger.lock().expect("a lock"));
        let wrong = State { bytes: 17, files: 99, orphaned: 5, ..read(&shared).expect("it is open") };
        for busy in [0, 1] {
            shared.write_all_at(&State { busy, ..wrong }.encode(), 0).expect("it is open");
            drop(ledger.lock().expect("a lock"));
            let found = ledger.amount();
            assert_eq!(found == right, busy == 1, "{found:?}");
        }
        let panicked = std::thread::scope(|scope| {
            let work = || {
                let mut locked = ledger.lock().expect("a lock");
                locked.made(Amount::NAME);
                panic!("in the middle of a change");
            };
            scope.spawn(work).join()
        });
        assert!(panicked.is_err());
        drop(ledger.lock().expect("the lock is free"));
        assert_eq!(ledger.amount(), right);
    }

    #[test]
    fn the_first_of_several_counts_for_all() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("a"), "x").expect("it is ours");
        let shared = memory();
        let one = ledger(folder.path(), Some(&shared), Duration::ZERO);
        fs::write(folder.path().join("b"), "x").expect("it is ours");
        let other = ledger(folder.path(), Some(&shared), Duration::ZERO);
        assert_eq!(other.amount().files, 1);
        other.lock().expect("a lock").made(Amount::file(1));
        assert_eq!(one.amount(), Amount { bytes: 2 * 4096, files: 2 });
    }

    #[test]
    fn a_file_with_the_identity_of_one_that_is_gone_is_counted_for_itself() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ledger = ledger(folder.path(), None, Duration::from_secs(1000));
        let handle = || Arc::new(File::open("/dev/null").expect("every Unix has it"));
        let (key, old, new) = (Key(1, 2), handle(), handle());
        let mut locked = ledger.lock().expect("a lock");
        locked.opened(key, &old);
        locked.made(Amount::file(4096));
        locked.deleted(key, 4096, 1);
        // The kernel gives the number to the next file as soon as the last handle is closed, whoever holds the lock.
        drop(old);
        locked.opened(key, &new);
        locked.made(Amount::NAME);
        locked.resized(key, 0, 8192);
        drop(locked);
        assert_eq!(ledger.amount(), Amount { bytes: 8192, files: 1 });
    }
}
