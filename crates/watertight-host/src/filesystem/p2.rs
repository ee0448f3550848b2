//! The functions of `wasi:filesystem` 0.2 that count or report, and leave the rest to wasmtime-wasi.

use std::{io, sync::Arc};

use rustix::fs::FileType;
use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource, ResourceType},
};
use wasmtime_wasi::{
    FsPerms,
    filesystem::{Descriptor, WasiFilesystemCtxView, WasiFilesystemView as _},
    p2::{
        DynInputStream, DynOutputStream, FsResult,
        bindings::filesystem::types::{
            DescriptorFlags, DescriptorType, DirectoryEntry, ErrorCode, Filesize, Host as _, HostDescriptor,
            NewTimestamp, OpenFlags, PathFlags,
        },
        pipe::ClosedInputStream,
    },
};

use watertight_runtime::CellData as _;

use self::stream::{FileWriter, Reader};
use super::{
    Handle, Pair, STREAM_BYTES,
    counted::{self, Offset, Opening, blocking},
    entries::Entries,
    file_of,
};
use crate::cell::HostCell;

mod stream;

/// The interface, in the version that wasmtime-wasi links; older 0.2 imports find it too.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

/// Defines a function that changes a folder: reported when the folder is read-only and then left to wasmtime-wasi, else counted.
macro_rules! change {
    ($types:ident, $name:literal, $method:ident, $attempt:literal, $path:ident, ($($arg:ident: $ty:ty),*), |$quota:ident, $dir:ident| $counted:expr) => {
        $types.func_wrap_async($name, |mut store, (fd, $($arg),*): (Resource<Descriptor>, $($ty),*)| {
            Box::new(async move {
                let cell: &mut HostCell = store.data_mut();
                cell.files.note_write(&Handle::get(&cell.table, &fd)?, $attempt, &$path);
                if let Some(($quota, $dir)) = cell.counted_dir(&fd)? {
                    return Ok((blocking(move || $counted).await?,));
                }
                let mut view = cell.filesystem();
                let result = view.$method(fd, $($arg),*).await;
                Ok((settle(&mut view, result)?,))
            })
        })?;
    };
}

/// Defines a function that changes two folders, likewise.
macro_rules! change_two {
    ($types:ident, $name:literal, $method:ident, $attempt:literal, ($from:ident, $folder:ident, $to:ident $(, $flags:ident: $flags_ty:ty)?), |$quota:ident, $dir:ident, $other:ident| $counted:expr) => {
        $types.func_wrap_async($name, |mut store, (fd, $($flags,)? $from, $folder, $to): (Resource<Descriptor>, $($flags_ty,)? String, Resource<Descriptor>, String)| {
            Box::new(async move {
                let cell: &mut HostCell = store.data_mut();
                cell.files.note_write(&Handle::get(&cell.table, &fd)?, $attempt, &$from);
                match cell.counted_pair(&fd, &$folder)? {
                    Pair::Together($quota, $dir, $other) => return Ok((blocking(move || $counted).await?,)),
                    Pair::Apart => return Ok((Err(ErrorCode::CrossDevice),)),
                    Pair::Uncounted => {}
                }
                let mut view = cell.filesystem();
                let result = view.$method(fd, $($flags,)? $from, $folder, $to).await;
                Ok((settle(&mut view, result)?,))
            })
        })?;
    };
}

pub(super) fn link(linker: &mut Linker<HostCell>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store,
         (fd, path_flags, path, open_flags, flags): (
            Resource<Descriptor>,
            PathFlags,
            String,
            OpenFlags,
            DescriptorFlags,
        )| {
            let how = Opening { path: path_flags, open: open_flags, flags };
            Box::new(async move { Ok((open_at(store.data_mut(), fd, path, how).await?,)) })
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
        |quota, dir, other| counted::link(&quota, (&dir, &from), (&other, &to), flags));
    types.func_wrap_async(
        "[method]descriptor.set-times-at",
        |mut store,
         (fd, flags, path, accessed, modified): (
            Resource<Descriptor>,
            PathFlags,
            String,
            NewTimestamp,
            NewTimestamp,
        )| {
            Box::new(async move {
                let cell: &mut HostCell = store.data_mut();
                cell.files.note_write(&Handle::get(&cell.table, &fd)?, "set the times of", &path);
                let mut view = cell.filesystem();
                let result = view.set_times_at(fd, flags, path, accessed, modified).await;
                Ok((settle(&mut view, result)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.set-size",
        |mut store, (fd, size): (Resource<Descriptor>, Filesize)| {
            Box::new(async move {
                let cell: &mut HostCell = store.data_mut();
                if let Some((place, file)) = cell.counted_file(&fd)? {
                    return Ok((blocking(move || counted::set_size(&place, &file, size)).await,));
                }
                let mut view = cell.filesystem();
                let result = view.set_size(fd, size).await;
                Ok((settle(&mut view, result)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.write",
        |mut store, (fd, bytes, offset): (Resource<Descriptor>, Vec<u8>, Filesize)| {
            Box::new(async move {
                let cell: &mut HostCell = store.data_mut();
                if let Some((place, file)) = cell.counted_file(&fd)? {
                    let offset = Offset::At(offset);
                    let written = blocking(move || counted::write(&place, &file, offset, &bytes)).await;
                    return Ok((written.map(|written| written as Filesize).map_err(|error| counted::code(&error)),));
                }
                let mut view = cell.filesystem();
                let result = view.write(fd, bytes, offset).await;
                Ok((settle(&mut view, result)?,))
            })
        },
    )?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        |mut store: StoreContextMut<'_, HostCell>, (fd, offset): (Resource<Descriptor>, Filesize)| {
            let writer = writer(store.data_mut(), fd, Offset::At(offset), |view, fd| view.write_via_stream(fd, offset));
            Ok((writer?,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        |mut store: StoreContextMut<'_, HostCell>, (fd,): (Resource<Descriptor>,)| {
            Ok((writer(store.data_mut(), fd, Offset::End, |view, fd| view.append_via_stream(fd))?,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.read-via-stream",
        |mut store: StoreContextMut<'_, HostCell>, (fd, offset): (Resource<Descriptor>, Filesize)| {
            let cell = store.data_mut();
            let Some(buffer) = cell.core().account().charge(STREAM_BYTES) else {
                return Ok((Err(ErrorCode::InsufficientMemory),));
            };
            let mut view = cell.filesystem();
            let opened = view.read_via_stream(fd, offset);
            let opened = settle(&mut view, opened)?;
            if let Ok(opened) = &opened {
                let stream = cell.table.get_mut::<DynInputStream>(opened)?;
                // Nothing reads from what stands in for it.
                let inner = std::mem::replace(stream, Box::new(ClosedInputStream));
                *stream = Box::new(Reader { stream: inner, _buffer: buffer });
            }
            Ok((opened,))
        },
    )?;
    types.resource("directory-entry-stream", ResourceType::host::<Entries>(), |mut store, rep| {
        let cell: &mut HostCell = store.data_mut();
        cell.table.delete(Resource::<Entries>::new_own(rep))?;
        Ok(())
    })?;
    types.func_wrap_async("[method]descriptor.read-directory", |mut store, (fd,): (Resource<Descriptor>,)| {
        Box::new(async move { Ok((read_directory(store.data_mut(), fd).await?,)) })
    })?;
    types.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store: StoreContextMut<'_, HostCell>, (entries,): (Resource<Entries>,)| {
            let next = store.data_mut().table.get_mut(&entries)?.next();
            Ok((next.map(|entry| entry.map(|(kind, name)| DirectoryEntry { type_: descriptor_type(kind), name })),))
        },
    )?;
    types.func_wrap(
        "filesystem-error-code",
        |mut store: StoreContextMut<'_, HostCell>, (error,): (Resource<wasmtime::Error>,)| {
            let cell = store.data_mut();
            let found = cell.table.get(&error)?.downcast_ref::<io::Error>().map(counted::code);
            Ok((match found {
                Some(code) => Some(code),
                None => cell.filesystem().filesystem_error_code(error)?,
            },))
        },
    )
}

async fn open_at(
    cell: &mut HostCell,
    fd: Resource<Descriptor>,
    path: String,
    how: Opening,
) -> wasmtime::Result<Result<Resource<Descriptor>, ErrorCode>> {
    let parent = Handle::get(&cell.table, &fd)?;
    let writes = how.writes();
    if writes {
        cell.files.note_write(&parent, "write", &path);
    }
    let Some(opening) = cell.files.reserve() else { return Ok(Err(ErrorCode::Quota)) };
    let result = match cell.counted_dir(&fd)? {
        Some((quota, dir)) => {
            let (writable, path) = (cell.files.writable(), path.clone());
            match blocking(move || counted::open(&quota, &writable.open, &dir, &path, how)).await? {
                Ok(opened) => cell.table.push(opened).map_err(|_| ErrorCode::InsufficientMemory),
                Err(code) => Err(code),
            }
        }
        None => {
            let mut view = cell.filesystem();
            let result = view.open_at(fd, how.path, path.clone(), how.open, how.flags).await;
            settle(&mut view, result)?
        }
    };
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
}

/// The entries of a folder, as far as there is memory for them.
async fn read_directory(
    cell: &mut HostCell,
    fd: Resource<Descriptor>,
) -> wasmtime::Result<Result<Resource<Entries>, ErrorCode>> {
    let folder = match cell.table.get(&fd)? {
        Descriptor::Dir(dir) => Arc::clone(&dir.dir),
        Descriptor::File(_) => return Ok(Err(ErrorCode::NotDirectory)),
    };
    let Some(charge) = cell.core().account().charge(0) else { return Ok(Err(ErrorCode::InsufficientMemory)) };
    Ok(match blocking(move || Entries::read(&folder, charge)).await {
        Ok(entries) => cell.table.push(entries).map_err(|_| ErrorCode::InsufficientMemory),
        Err(code) => Err(code),
    })
}

fn descriptor_type(kind: FileType) -> DescriptorType {
    match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::Fifo | FileType::Socket | FileType::Unknown => DescriptorType::Unknown,
    }
}

/// A stream that writes to a file: ours where the file is counted, wasmtime-wasi's to say why it cannot be written to.
fn writer(
    cell: &mut HostCell,
    fd: Resource<Descriptor>,
    offset: Offset,
    other: impl FnOnce(&mut WasiFilesystemCtxView<'_>, Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>>,
) -> wasmtime::Result<Result<Resource<DynOutputStream>, ErrorCode>> {
    if let Some((place, file)) = cell.counted_file(&fd)? {
        let Some(buffer) = cell.core().account().charge(STREAM_BYTES) else {
            return Ok(Err(ErrorCode::InsufficientMemory));
        };
        let stream: DynOutputStream = Box::new(FileWriter::new(place, file, offset, buffer));
        return Ok(cell.table.push(stream).map_err(|_| ErrorCode::InsufficientMemory));
    }
    let mut view = cell.filesystem();
    let result = other(&mut view, fd);
    settle(&mut view, result)
}

/// Tells an error that the guest sees from one that traps.
fn settle<T>(view: &mut WasiFilesystemCtxView<'_>, result: FsResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => view.convert_error_code(error).map(Err),
    }
}
