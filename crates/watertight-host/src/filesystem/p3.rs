//! The functions of `wasi:filesystem` 0.3 that count or report, and leave the rest to wasmtime-wasi.

use tokio::sync::oneshot;
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{Access, Accessor, FutureReader, Linker, Resource, StreamReader},
};
use wasmtime_wasi::{
    FsPerms,
    filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView},
    p2::bindings::filesystem::types as p2,
    p3::{
        bindings::filesystem::types::{
            DescriptorFlags, DirectoryEntry, ErrorCode, Filesize, Host as _, HostDescriptorWithStore, NewTimestamp,
            OpenFlags, PathFlags,
        },
        filesystem::FilesystemResult,
    },
};

use watertight_runtime::{CellData as _, Charge};

use self::{
    listing::Listing,
    stream::{End, FileWriter},
};
use super::{
    Handle, Pair, STREAM_BYTES,
    counted::{self, Offset, Opening, blocking},
    file_of,
};
use crate::{cell::HostCell, follow::follow};

mod listing;
mod stream;

/// The interface, in the version that wasmtime-wasi links.
const TYPES: &str = "wasi:filesystem/types@0.3.0";

/// Defines a function that changes a folder: reported when the folder is read-only and then left to wasmtime-wasi, else counted.
macro_rules! change {
    ($types:ident, $name:literal, $method:ident, $attempt:literal, $path:ident, ($($arg:ident: $ty:ty),*), |$quota:ident, $dir:ident| $counted:expr) => {
        $types.func_wrap_concurrent($name, |accessor: &Accessor<HostCell>, (fd, $($arg),*): (Resource<Descriptor>, $($ty),*)| {
            Box::pin(async move {
                let Some(_held) = hold(accessor, $path.len()) else { return Ok((Err(ErrorCode::InsufficientMemory),)) };
                let counted = accessor.with(|mut access| {
                    let cell = access.get();
                    cell.files.note_write(&Handle::get(&cell.table, &fd)?, $attempt, &$path);
                    cell.counted_dir(&fd)
                })?;
                if let Some(($quota, $dir)) = counted {
                    return Ok((blocking(move || $counted).await?.map_err(newer),));
                }
                let view = accessor.with_getter::<WasiFilesystem>(HostCell::filesystem);
                let result = WasiFilesystem::$method(&view, fd, $($arg),*).await;
                Ok((settle(accessor, result)?,))
            })
        })?;
    };
}

/// Defines a function that changes two folders, likewise.
macro_rules! change_two {
    ($types:ident, $name:literal, $method:ident, $attempt:literal, ($from:ident, $folder:ident, $to:ident $(, $flags:ident: $flags_ty:ty)?), |$quota:ident, $dir:ident, $other:ident| $counted:expr) => {
        $types.func_wrap_concurrent($name, |accessor: &Accessor<HostCell>, (fd, $($flags,)? $from, $folder, $to): (Resource<Descriptor>, $($flags_ty,)? String, Resource<Descriptor>, String)| {
            Box::pin(async move {
                let Some(_held) = hold(accessor, $from.len() + $to.len()) else { return Ok((Err(ErrorCode::InsufficientMemory),)) };
                let pair = accessor.with(|mut access| {
                    let cell = access.get();
                    cell.files.note_write(&Handle::get(&cell.table, &fd)?, $attempt, &$from);
                    cell.counted_pair(&fd, &$folder)
                })?;
                match pair {
                    Pair::Together($quota, $dir, $other) => {
                        return Ok((blocking(move || $counted).await?.map_err(newer),));
                    }
                    Pair::Apart => return Ok((Err(ErrorCode::CrossDevice),)),
                    Pair::Uncounted => {}
                }
                let view = accessor.with_getter::<WasiFilesystem>(HostCell::filesystem);
                let result = WasiFilesystem::$method(&view, fd, $($flags,)? $from, $folder, $to).await;
                Ok((settle(accessor, result)?,))
            })
        })?;
    };
}

/// Defines a function that only looks at a path, which wasmtime-wasi does.
macro_rules! look {
    ($types:ident, $name:literal, $method:ident, $path:ident, ($($arg:ident: $ty:ty),*)) => {
        $types.func_wrap_concurrent($name, |accessor: &Accessor<HostCell>, (fd, $($arg),*): (Resource<Descriptor>, $($ty),*)| {
            Box::pin(async move {
                let Some(_held) = hold(accessor, $path.len()) else { return Ok((Err(ErrorCode::InsufficientMemory),)) };
                let view = accessor.with_getter::<WasiFilesystem>(HostCell::filesystem);
                let result = WasiFilesystem::$method(&view, fd, $($arg),*).await;
                Ok((settle(accessor, result)?,))
            })
        })?;
    };
}

/// Counts the paths of a call as memory for as long as it lasts: a guest may make any number of calls at once.
fn hold(accessor: &Accessor<HostCell>, bytes: usize) -> Option<Charge> {
    accessor.with(|mut access| access.get().core().account().charge(bytes))
}

pub(super) fn link(linker: &mut Linker<HostCell>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_concurrent(
        "[method]descriptor.open-at",
        |accessor: &Accessor<HostCell>,
         (fd, path_flags, path, open_flags, flags): (
            Resource<Descriptor>,
            PathFlags,
            String,
            OpenFlags,
            DescriptorFlags,
        )| {
            Box::pin(async move {
                let Some(_held) = hold(accessor, path.len()) else { return Ok((Err(ErrorCode::InsufficientMemory),)) };
                Ok((open_at(accessor, fd, path_flags, path, open_flags, flags).await?,))
            })
        },
    )?;
    change!(types, "[method]descriptor.create-directory-at", create_directory_at, "create", path, (path: String),
        |quota, dir| counted::create_directory(&quota, &dir, &path));
    change!(types, "[method]descriptor.remove-directory-at", remove_directory_at, "remove", path, (path: String),
        |quota, dir| counted::remove_directory(&quota, &dir, &path));
    change!(types, "[method]descriptor.unlink-file-at", unlink_file_at, "remove", path, (path: String),
        |quota, dir| counted::unlink(&quota, &dir, &path));
    change!(types, "[method]descriptor.symlink-at", symlink_at, "link", to, (from: String, to: String),
        |quota, dir| counted::symlink(&quota, &dir, &from, &to));
    change_two!(types, "[method]descriptor.rename-at", rename_at, "rename", (from, folder, to), |quota, dir, other| {
        counted::rename(&quota, (&dir, &from), (&other, &to))
    });
    change_two!(types, "[method]descriptor.link-at", link_at, "link", (from, folder, to, flags: PathFlags),
        |quota, dir, other| counted::link(&quota, (&dir, &from), (&other, &to), older_path_flags(flags)));
    types.func_wrap_concurrent(
        "[method]descriptor.set-times-at",
        |accessor: &Accessor<HostCell>,
         (fd, flags, path, accessed, modified): (
            Resource<Descriptor>,
            PathFlags,
            String,
            NewTimestamp,
            NewTimestamp,
        )| {
            Box::pin(async move {
                let Some(_held) = hold(accessor, path.len()) else { return Ok((Err(ErrorCode::InsufficientMemory),)) };
                accessor.with(|mut access| {
                    let cell = access.get();
                    cell.files.note_write(&Handle::get(&cell.table, &fd)?, "set the times of", &path);
                    wasmtime::error::Ok(())
                })?;
                let view = accessor.with_getter::<WasiFilesystem>(HostCell::filesystem);
                let result = WasiFilesystem::set_times_at(&view, fd, flags, path, accessed, modified).await;
                Ok((settle(accessor, result)?,))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.set-size",
        |accessor: &Accessor<HostCell>, (fd, size): (Resource<Descriptor>, Filesize)| {
            Box::pin(async move {
                if let Some((place, file)) = accessor.with(|mut access| access.get().counted_file(&fd))? {
                    let done = blocking(move || counted::set_size(&place, &file, size)).await;
                    return Ok((done.map_err(newer),));
                }
                let view = accessor.with_getter::<WasiFilesystem>(HostCell::filesystem);
                let result = WasiFilesystem::set_size(&view, fd, size).await;
                Ok((settle(accessor, result)?,))
            })
        },
    )?;
    look!(types, "[method]descriptor.stat-at", stat_at, path, (flags: PathFlags, path: String));
    look!(types, "[method]descriptor.readlink-at", readlink_at, path, (path: String));
    look!(types, "[method]descriptor.metadata-hash-at", metadata_hash_at, path, (flags: PathFlags, path: String));
    types.func_wrap(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, HostCell>, (fd,): (Resource<Descriptor>,)| Ok((list(&mut store, &fd)?,)),
    )?;
    types.func_wrap(
        "[method]descriptor.read-via-stream",
        |mut store: StoreContextMut<'_, HostCell>, (fd, offset): (Resource<Descriptor>, Filesize)| {
            Ok((read(&mut store, fd, offset)?,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        |mut store: StoreContextMut<'_, HostCell>,
         (fd, data, offset): (Resource<Descriptor>, StreamReader<u8>, Filesize)| {
            if let Some(place) = store.data().counted_file(&fd)? {
                return Ok((write(&mut store, place, data, Offset::At(offset))?,));
            }
            let access = Access::<_, WasiFilesystem>::new(store.as_context_mut(), HostCell::filesystem);
            Ok((WasiFilesystem::write_via_stream(access, fd, data, offset)?,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        |mut store: StoreContextMut<'_, HostCell>, (fd, data): (Resource<Descriptor>, StreamReader<u8>)| {
            if let Some(place) = store.data().counted_file(&fd)? {
                return Ok((write(&mut store, place, data, Offset::End)?,));
            }
            let access = Access::<_, WasiFilesystem>::new(store.as_context_mut(), HostCell::filesystem);
            Ok((WasiFilesystem::append_via_stream(access, fd, data)?,))
        },
    )
}

/// Reads a file as a stream, whose buffer counts as memory.
fn read(
    store: &mut StoreContextMut<'_, HostCell>,
    fd: Resource<Descriptor>,
    offset: Filesize,
) -> wasmtime::Result<(StreamReader<u8>, FutureReader<End>)> {
    let Some(room) = store.data().core().account().charge(STREAM_BYTES) else {
        let nothing = StreamReader::new(store.as_context_mut(), std::iter::empty())?;
        return Ok((nothing, FutureReader::new(store.as_context_mut(), async { wasmtime::error::Ok(spent()) })?));
    };
    let access = Access::<_, WasiFilesystem>::new(store.as_context_mut(), HostCell::filesystem);
    let (stream, end) = WasiFilesystem::read_via_stream(access, fd, offset)?;
    Ok((stream, follow(store.as_context_mut(), end, room)?))
}

/// The entries of a folder as a stream, as far as there is memory for them.
fn list(
    store: &mut StoreContextMut<'_, HostCell>,
    fd: &Resource<Descriptor>,
) -> wasmtime::Result<(StreamReader<DirectoryEntry>, FutureReader<End>)> {
    let cell = store.data();
    let folder = match cell.table.get(fd)? {
        Descriptor::Dir(dir) => Ok(std::sync::Arc::clone(&dir.dir)),
        Descriptor::File(_) => Err(ErrorCode::NotDirectory),
    };
    let listing =
        folder.and_then(|folder| Ok((folder, cell.core().account().charge(0).ok_or(ErrorCode::InsufficientMemory)?)));
    let (tell, told) = oneshot::channel();
    let entries = match listing {
        Ok((folder, charge)) => StreamReader::new(store.as_context_mut(), Listing::new(folder, charge, tell))?,
        Err(code) => {
            // It is there: it is asked for below.
            let _ = tell.send(Err(code));
            StreamReader::new(store.as_context_mut(), std::iter::empty())?
        }
    };
    Ok((entries, FutureReader::new(store.as_context_mut(), told)?))
}

/// How a stream ends for which there is no memory.
fn spent() -> End {
    Err(ErrorCode::InsufficientMemory)
}

/// Writes a stream to a file that is counted.
fn write(
    store: &mut StoreContextMut<'_, HostCell>,
    (place, file): (counted::Place, std::sync::Arc<std::fs::File>),
    data: StreamReader<u8>,
    offset: Offset,
) -> wasmtime::Result<FutureReader<End>> {
    let Some(room) = store.data().core().account().charge(STREAM_BYTES) else {
        let mut data = data;
        data.close(store.as_context_mut())?;
        return FutureReader::new(store.as_context_mut(), async { wasmtime::error::Ok(spent()) });
    };
    let (tell, told) = oneshot::channel();
    data.pipe(store.as_context_mut(), FileWriter::new(place, file, offset, tell, room))?;
    FutureReader::new(store.as_context_mut(), told)
}

async fn open_at(
    accessor: &Accessor<HostCell>,
    fd: Resource<Descriptor>,
    path_flags: PathFlags,
    path: String,
    open_flags: OpenFlags,
    flags: DescriptorFlags,
) -> wasmtime::Result<Result<Resource<Descriptor>, ErrorCode>> {
    let how = older(path_flags, open_flags, flags);
    let writes = how.writes();
    let (parent, opening, counted, writable) = accessor.with(|mut access| {
        let cell = access.get();
        let parent = Handle::get(&cell.table, &fd)?;
        if writes {
            cell.files.note_write(&parent, "write", &path);
        }
        wasmtime::error::Ok((parent, cell.files.reserve(), cell.counted_dir(&fd)?, cell.files.writable()))
    })?;
    let Some(opening) = opening else { return Ok(Err(ErrorCode::Quota)) };
    let result = match counted {
        Some((quota, dir)) => {
            let path = path.clone();
            match blocking(move || counted::open(&quota, &writable.open, &dir, &path, how)).await? {
                Ok(opened) => {
                    let pushed = accessor.with(|mut access| access.get().table.push(opened));
                    pushed.map_err(|_| ErrorCode::InsufficientMemory)
                }
                Err(code) => Err(newer(code)),
            }
        }
        None => {
            let view = accessor.with_getter::<WasiFilesystem>(HostCell::filesystem);
            let result = WasiFilesystem::open_at(&view, fd, path_flags, path.clone(), open_flags, flags).await;
            settle(accessor, result)?
        }
    };
    accessor.with(|mut access| {
        let cell = access.get();
        match &result {
            Ok(opened) => {
                let opened = cell.table.get(opened)?;
                cell.files.opened(opening, file_of(opened), &parent.file);
            }
            Err(ErrorCode::NotPermitted) if !(writes && parent.perms == FsPerms::ReadOnly) => {
                cell.files.note_escape(&parent, &path);
            }
            Err(_) => {}
        }
        Ok(result)
    })
}

/// Tells an error that the guest sees from one that traps.
fn settle<T>(accessor: &Accessor<HostCell>, result: FilesystemResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => accessor.with(|mut access| access.get().filesystem().convert_error_code(error)).map(Err),
    }
}

/// Names of flags and errors that both versions of WASI have.
macro_rules! same {
    ($from:expr, $old:ident => $new:ident: $($name:ident)*) => {{
        let mut to = p2::$old::empty();
        $(if $from.contains($new::$name) { to |= p2::$old::$name; })*
        to
    }};
    ($from:expr, $($name:ident)*) => {
        match $from {
            $(p2::ErrorCode::$name => ErrorCode::$name,)*
            p2::ErrorCode::WouldBlock => ErrorCode::Other(Some("it would block".into())),
        }
    };
}

fn older_path_flags(flags: PathFlags) -> p2::PathFlags {
    same!(flags, PathFlags => PathFlags: SYMLINK_FOLLOW)
}

/// What is asked for, in the terms of WASI 0.2.
fn older(path: PathFlags, open: OpenFlags, flags: DescriptorFlags) -> Opening {
    Opening {
        path: older_path_flags(path),
        open: same!(open, OpenFlags => OpenFlags: CREATE DIRECTORY EXCLUSIVE TRUNCATE),
        flags: same!(flags, DescriptorFlags => DescriptorFlags: READ WRITE FILE_INTEGRITY_SYNC DATA_INTEGRITY_SYNC
            REQUESTED_WRITE_SYNC MUTATE_DIRECTORY),
    }
}

/// An error in the terms of WASI 0.3.
fn newer(code: p2::ErrorCode) -> ErrorCode {
    same!(code, Access Already BadDescriptor Busy Deadlock Quota Exist FileTooLarge IllegalByteSequence InProgress
        Interrupted Invalid Io IsDirectory Loop TooManyLinks MessageSize NameTooLong NoDevice NoEntry NoLock
        InsufficientMemory InsufficientSpace NotDirectory NotEmpty NotRecoverable Unsupported NoTty NoSuchDevice
        Overflow NotPermitted Pipe ReadOnly InvalidSeek TextFileBusy CrossDevice)
}
