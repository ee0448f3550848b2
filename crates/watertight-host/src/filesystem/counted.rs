//! What changes a folder that is granted for writing: each function makes the change and counts it, in one step under the folder's
//! lock. They wait for the disk and for each other, so they run on a thread for that ([`blocking`]), and once begun they end, also where
//! their guest is cut off: the sum stays right.
//!
//! The change itself is wasmtime-wasi's where a path is involved: no path leads out of the folder. Over the quota nothing is changed, and the
//! guest gets `quota`.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use futures_util::FutureExt as _;
use rustix::{
    fs::fstat,
    io::{Errno, ReadWriteFlags, pwritev2},
};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{
    FsPerms,
    filesystem::{Descriptor, Dir, OpenMode, WasiFilesystemCtx, WasiFilesystemCtxView},
    p2::{
        FsResult,
        bindings::filesystem::types::{
            DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags,
        },
    },
};

use super::{file_of, quota_denial};
use crate::{
    disk::{Amount, BLOCK, Counted, Disk, Key, Locked, charged},
    report::Reporter,
};

/// Takes the folder's lock, or ends the call with the system's error.
macro_rules! locked {
    ($quota:expr) => {
        match $quota.disk.lock() {
            Ok(locked) => locked,
            Err(error) => return Ok(Err(code(&error))),
        }
    };
}

/// Bytes that one step writes at most, for others to have their turn.
const MAX_STEP_BYTES: usize = 1 << 20;

/// What a call has to say: a value, an error that the guest sees, or one that traps.
pub(super) type Outcome<T> = wasmtime::Result<Result<T, ErrorCode>>;

/// A folder granted for writing, with the limits of the grant.
#[derive(Debug)]
pub(crate) struct Quota {
    pub(super) disk: Arc<Disk>,
    pub(super) limits: Amount,
    pub(super) reporter: Arc<Reporter>,
    /// Which grant of the component it is.
    pub(super) root: usize,
}

impl Quota {
    /// The error for who wants more than there is room for; reported.
    fn spent(&self) -> ErrorCode {
        self.reporter.deny(quota_denial(self.reporter.component(), self.root));
        ErrorCode::Quota
    }
}

/// Does what waits on a thread that may. A guest that is cut off before it began leaves it undone.
pub(super) async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    wasmtime_wasi::runtime::spawn_blocking(work).await
}

/// The error that WASI has for one of the system's.
pub(super) fn code(error: &io::Error) -> ErrorCode {
    if Errno::from_io_error(error) == Some(Errno::DQUOT) { ErrorCode::Quota } else { ErrorCode::from(error) }
}

/// An error like that of a disk whose own quota is spent.
fn quota_error() -> io::Error {
    Errno::DQUOT.into()
}

/// Where an open file is counted, and as which.
pub(crate) type Place = (Arc<Quota>, Key);

/// Where bytes go in a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Offset {
    At(u64),
    End,
}

/// Writes as many bytes as there is room for, and says how many; an error where there is none for the first.
pub(super) fn write((quota, key): &Place, file: &File, offset: Offset, bytes: &[u8]) -> io::Result<usize> {
    let mut locked = quota.disk.lock()?;
    let before = file.metadata()?.len();
    let start = match offset {
        Offset::At(start) => start,
        Offset::End => before,
    };
    let bytes = &bytes[..bytes.len().min(MAX_STEP_BYTES)];
    let end = start.saturating_add(bytes.len() as u64);
    let wanted = charged(end).saturating_sub(charged(before));
    let room = locked.room(Amount::bytes(wanted), quota.limits).bytes / BLOCK * BLOCK;
    // What lies in blocks that count already needs no room.
    let fits = charged(before).saturating_add(room).min(end).max(before.min(end)).saturating_sub(start);
    let fits = usize::try_from(fits).unwrap_or(usize::MAX).min(bytes.len());
    if fits == 0 && !bytes.is_empty() {
        quota.spent();
        return Err(quota_error());
    }
    let written = match offset {
        Offset::At(start) => file.write_at(&bytes[..fits], start),
        Offset::End => append(file, &bytes[..fits]),
    };
    // Also where it failed, which may have been in the middle.
    locked.resized(*key, before, file.metadata()?.len());
    written
}

/// Appends, wherever the end is by then: others than guests may write there too.
fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    match pwritev2(file, &[IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND) {
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => file.write_at(bytes, fstat(file)?.st_size.try_into().unwrap_or(0)),
        written => Ok(written?),
    }
}

/// Makes a file longer or shorter.
pub(super) fn set_size((quota, key): &Place, file: &File, size: u64) -> Result<(), ErrorCode> {
    let work = || -> io::Result<bool> {
        let mut locked = quota.disk.lock()?;
        let before = file.metadata()?.len();
        let more = Amount::bytes(charged(size).saturating_sub(charged(before)));
        if !locked.fits(more, quota.limits) {
            return Ok(false);
        }
        let done = file.set_len(size);
        locked.resized(*key, before, file.metadata()?.len());
        done.map(|()| true)
    };
    match work() {
        Ok(true) => Ok(()),
        Ok(false) => Err(quota.spent()),
        Err(error) => Err(code(&error)),
    }
}

/// How a file is to be opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) path: PathFlags,
    pub(super) open: OpenFlags,
    pub(super) flags: DescriptorFlags,
}

impl Opening {
    /// Whether the folder must be granted for writing.
    pub(super) fn writes(&self) -> bool {
        self.open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE) || self.flags.contains(DescriptorFlags::WRITE)
    }
}

/// Opens what lies at a path, and makes or empties it if so asked. It is counted where `quota` says from then on.
pub(super) fn open(
    quota: &Arc<Quota>,
    counted: &Counted<Place>,
    dir: &Dir,
    path: &str,
    how: Opening,
) -> Outcome<Descriptor> {
    let mut there = There::of(dir)?;
    let dir = there.dir();
    let changes = how.open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
    let mut locked = if changes { locked!(quota) } else { quota.disk.hold() };
    let before = if changes { there.stat(there.dir(), how.path, path)? } else { Err(ErrorCode::NoEntry) };
    let makes = how.open.contains(OpenFlags::CREATE) && before.is_err();
    if makes && !locked.fits(Amount::NAME, quota.limits) {
        return Ok(Err(quota.spent()));
    }
    let opened = there.run(async |view| view.open_at(dir, how.path, path.to_owned(), how.open, how.flags).await)?;
    let opened = match opened {
        Ok(opened) => there.table.delete(opened)?,
        Err(code) => return Ok(Err(code)),
    };
    let key = there.key(file_of(&opened))?;
    if let Descriptor::File(file) = &opened {
        locked.opened(key, &file.file);
        match (before, file.file.metadata()) {
            (Err(ErrorCode::NoEntry), _) if makes => locked.made(Amount::NAME),
            (Ok(before), Ok(now)) => locked.resized(key, before.size, now.len()),
            // Whatever it was before, it could not be looked at.
            (_, _) if changes => locked.doubt(),
            (_, _) => {}
        }
    }
    counted.add(file_of(&opened), (Arc::clone(quota), key));
    Ok(Ok(opened))
}

pub(super) fn create_directory(quota: &Quota, dir: &Dir, path: &str) -> Outcome<()> {
    let mut there = There::of(dir)?;
    let dir = there.dir();
    let mut locked = locked!(quota);
    if !locked.fits(Amount::FOLDER, quota.limits) {
        return there.no_room(quota, dir, path);
    }
    let made = there.run(async |view| view.create_directory_at(dir, path.to_owned()).await)?;
    if made.is_ok() {
        locked.made(Amount::FOLDER);
    }
    Ok(made)
}

pub(super) fn remove_directory(quota: &Quota, dir: &Dir, path: &str) -> Outcome<()> {
    let mut there = There::of(dir)?;
    let dir = there.dir();
    let mut locked = locked!(quota);
    let removed = there.run(async |view| view.remove_directory_at(dir, path.to_owned()).await)?;
    if removed.is_ok() {
        locked.gone(Amount::FOLDER);
    }
    Ok(removed)
}

pub(super) fn symlink(quota: &Quota, dir: &Dir, target: &str, path: &str) -> Outcome<()> {
    let mut there = There::of(dir)?;
    let dir = there.dir();
    let link = Amount::file(target.len() as u64);
    let mut locked = locked!(quota);
    if !locked.fits(link, quota.limits) {
        return there.no_room(quota, dir, path);
    }
    let made = there.run(async |view| view.symlink_at(dir, target.to_owned(), path.to_owned()).await)?;
    if made.is_ok() {
        locked.made(link);
    }
    Ok(made)
}

/// Gives a file in `from` another name, in `to`; both lie in the same granted folder.
pub(super) fn link(quota: &Quota, from: (&Dir, &str), to: (&Dir, &str), flags: PathFlags) -> Outcome<()> {
    let mut there = There::of_two(from.0, to.0)?;
    let (dir, other) = (there.dir(), there.other());
    let mut locked = locked!(quota);
    if !locked.fits(Amount::NAME, quota.limits) {
        return there.no_room(quota, other, to.1);
    }
    let linked = there.run(async |view| view.link_at(dir, flags, from.1.to_owned(), other, to.1.to_owned()).await)?;
    if linked.is_ok() {
        locked.made(Amount::NAME);
    }
    Ok(linked)
}

pub(super) fn unlink(quota: &Quota, dir: &Dir, path: &str) -> Outcome<()> {
    let mut there = There::of(dir)?;
    let dir = there.dir();
    let mut locked = locked!(quota);
    let before = there.look(there.dir(), path)?;
    let removed = there.run(async |view| view.unlink_file_at(dir, path.to_owned()).await)?;
    if removed.is_ok() {
        before.forget(&mut locked);
    }
    Ok(removed)
}

/// Moves what is at a path to another one, in place of what is there; both lie in the same granted folder.
pub(super) fn rename(quota: &Quota, from: (&Dir, &str), to: (&Dir, &str)) -> Outcome<()> {
    let mut there = There::of_two(from.0, to.0)?;
    let (dir, other) = (there.dir(), there.other());
    let mut locked = locked!(quota);
    let moved = there.look(there.dir(), from.1)?;
    let replaced = there.look(there.other(), to.1)?;
    let done = there.run(async |view| view.rename_at(dir, from.1.to_owned(), other, to.1.to_owned()).await)?;
    // Two names of one file both stay.
    if done.is_ok() && !moved.is_same(&replaced) {
        replaced.forget(&mut locked);
    }
    Ok(done)
}

/// What lay at a path before a change.
enum Found {
    Nothing,
    Folder(Key),
    File(Key, DescriptorStat),
    /// It could not be looked at.
    Unknown,
}

impl Found {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(one) | Self::File(one, _), Self::Folder(other) | Self::File(other, _)) => one == other,
            (Self::Nothing | Self::Unknown, _) | (_, Self::Nothing | Self::Unknown) => false,
        }
    }

    /// Stops counting it.
    fn forget(&self, locked: &mut Locked<'_>) {
        match self {
            Self::Nothing => {}
            Self::Folder(_) => locked.gone(Amount::FOLDER),
            Self::File(key, found) => locked.deleted(*key, found.size, found.link_count),
            Self::Unknown => locked.doubt(),
        }
    }
}

/// One or two folders, with wasmtime-wasi's functions on this thread.
struct There {
    ctx: WasiFilesystemCtx,
    table: ResourceTable,
    dirs: [u32; 2],
}

impl There {
    fn of(dir: &Dir) -> wasmtime::Result<Self> {
        let mut there = Self { ctx: WasiFilesystemCtx::default(), table: ResourceTable::new(), dirs: [0; 2] };
        let dir = there.add(dir.dir.try_clone()?, dir)?;
        there.dirs = [dir; 2];
        Ok(there)
    }

    fn of_two(dir: &Dir, other: &Dir) -> wasmtime::Result<Self> {
        let mut there = Self::of(dir)?;
        there.dirs[1] = there.add(other.dir.try_clone()?, other)?;
        Ok(there)
    }

    /// This thread may wait for it.
    fn add(&mut self, file: File, like: &Dir) -> wasmtime::Result<u32> {
        let dir = Dir::new(file, like.perms, like.open_mode, true);
        Ok(self.table.push(Descriptor::Dir(dir))?.rep())
    }

    /// The second folder, where paths are looked at.
    fn other(&self) -> Resource<Descriptor> {
        Resource::new_borrow(self.dirs[1])
    }

    /// The first folder.
    fn dir(&self) -> Resource<Descriptor> {
        Resource::new_borrow(self.dirs[0])
    }

    /// Runs something to its end.
    fn run<R>(&mut self, work: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>) -> FsResult<R>) -> Outcome<R> {
        let mut view = WasiFilesystemCtxView { ctx: &mut self.ctx, table: &mut self.table };
        match work(&mut view).now_or_never() {
            Some(Ok(value)) => Ok(Ok(value)),
            Some(Err(error)) => error.downcast().map(Err),
            None => Err(wasmtime::Error::msg("a call that may wait on its thread did not")),
        }
    }

    fn stat(&mut self, dir: Resource<Descriptor>, flags: PathFlags, path: &str) -> Outcome<DescriptorStat> {
        self.run(async |view| view.stat_at(dir, flags, path.to_owned()).await)
    }

    /// What lies at a path, links not followed.
    fn look(&mut self, dir: Resource<Descriptor>, path: &str) -> wasmtime::Result<Found> {
        let flags = PathFlags::empty();
        let found = match self.stat(Resource::new_borrow(dir.rep()), flags, path)? {
            Ok(found) => found,
            Err(ErrorCode::NoEntry) => return Ok(Found::Nothing),
            Err(_) => return Ok(Found::Unknown),
        };
        let key = self.run(async |view| view.metadata_hash_at(dir, flags, path.to_owned()).await)?;
        Ok(match key {
            Ok(key) if matches!(found.type_, DescriptorType::Directory) => Found::Folder(Key(key.lower, key.upper)),
            Ok(key) => Found::File(Key(key.lower, key.upper), found),
            Err(_) => Found::Unknown,
        })
    }

    /// Which file this is.
    fn key(&mut self, file: &File) -> wasmtime::Result<Key> {
        // As a folder, because this thread may wait for it.
        let file = Dir::new(file.try_clone()?, FsPerms::ReadOnly, OpenMode::READ, true);
        let file = Resource::<Descriptor>::new_borrow(self.table.push(Descriptor::Dir(file))?.rep());
        match self.run(async |view| view.metadata_hash(file).await)? {
            Ok(key) => Ok(Key(key.lower, key.upper)),
            Err(code) => Err(wasmtime::Error::msg(format!("an open file cannot be looked at: {code:?}"))),
        }
    }

    /// What to say where there is no room to make something.
    fn no_room(&mut self, quota: &Quota, dir: Resource<Descriptor>, path: &str) -> Outcome<()> {
        // A program that only makes sure of a folder goes by this error.
        let exists = self.stat(dir, PathFlags::empty(), path)?.is_ok();
        Ok(Err(if exists { ErrorCode::Exist } else { quota.spent() }))
    }
}
