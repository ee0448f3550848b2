//! The functions of `wasi:filesystem` 0.3 that count or report, and leave the work to wasmtime-wasi.

use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::{
    FsPerms,
    filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView},
    p3::{
        bindings::filesystem::types::{
            DescriptorFlags, ErrorCode, Host as _, HostDescriptorWithStore, NewTimestamp, OpenFlags, PathFlags,
        },
        filesystem::FilesystemResult,
    },
};

use super::{Handle, file_of};
use crate::cell::HostCell;

/// The interface, in the version that wasmtime-wasi links.
const TYPES: &str = "wasi:filesystem/types@0.3.0";

/// Defines a function that changes a folder: reported when the folder is read-only, then left to wasmtime-wasi.
macro_rules! change {
    ($types:ident, $name:literal, $method:ident, $attempt:literal, $path:ident, ($($arg:ident: $ty:ty),*)) => {
        $types.func_wrap_concurrent($name, |accessor: &Accessor<HostCell>, (fd, $($arg),*): (Resource<Descriptor>, $($ty),*)| {
            Box::pin(async move {
                accessor.with(|mut access| {
                    let cell = access.get();
                    cell.files.note_write(&Handle::get(&cell.table, &fd)?, $attempt, &$path);
                    wasmtime::error::Ok(())
                })?;
                let view = accessor.with_getter::<WasiFilesystem>(HostCell::filesystem);
                let result = WasiFilesystem::$method(&view, fd, $($arg),*).await;
                Ok((settle(accessor, result)?,))
            })
        })?;
    };
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
            Box::pin(async move { Ok((open_at(accessor, fd, path_flags, path, open_flags, flags).await?,)) })
        },
    )?;
    change!(types, "[method]descriptor.create-directory-at", create_directory_at, "create", path, (path: String));
    change!(types, "[method]descriptor.remove-directory-at", remove_directory_at, "remove", path, (path: String));
    change!(types, "[method]descriptor.unlink-file-at", unlink_file_at, "remove", path, (path: String));
    change!(types, "[method]descriptor.symlink-at", symlink_at, "link", to, (from: String, to: String));
    change!(types, "[method]descriptor.rename-at", rename_at, "rename", from,
        (from: String, folder: Resource<Descriptor>, to: String));
    change!(types, "[method]descriptor.link-at", link_at, "link", from,
        (flags: PathFlags, from: String, folder: Resource<Descriptor>, to: String));
    change!(types, "[method]descriptor.set-times-at", set_times_at, "set the times of", path,
        (flags: PathFlags, path: String, accessed: NewTimestamp, modified: NewTimestamp));
    Ok(())
}

async fn open_at(
    accessor: &Accessor<HostCell>,
    fd: Resource<Descriptor>,
    path_flags: PathFlags,
    path: String,
    open_flags: OpenFlags,
    flags: DescriptorFlags,
) -> wasmtime::Result<Result<Resource<Descriptor>, ErrorCode>> {
    let writes =
        open_flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE) || flags.contains(DescriptorFlags::WRITE);
    let (parent, opening) = accessor.with(|mut access| {
        let cell = access.get();
        let parent = Handle::get(&cell.table, &fd)?;
        if writes {
            cell.files.note_write(&parent, "write", &path);
        }
        wasmtime::error::Ok((parent, cell.files.reserve()))
    })?;
    let Some(opening) = opening else { return Ok(Err(ErrorCode::Quota)) };
    let view = accessor.with_getter::<WasiFilesystem>(HostCell::filesystem);
    let result = WasiFilesystem::open_at(&view, fd, path_flags, path.clone(), open_flags, flags).await;
    let result = settle(accessor, result)?;
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
