//! The functions of `wasi:filesystem` 0.2 that count or report, and leave the work to wasmtime-wasi.

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::{
    FsPerms,
    filesystem::{Descriptor, WasiFilesystemCtxView, WasiFilesystemView as _},
    p2::{
        FsResult,
        bindings::filesystem::types::{
            DescriptorFlags, ErrorCode, Host as _, HostDescriptor, NewTimestamp, OpenFlags, PathFlags,
        },
    },
};

use super::{Handle, file_of};
use crate::cell::HostCell;

/// The interface, in the version that wasmtime-wasi links; older 0.2 imports find it too.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

/// Defines a function that changes a folder: reported when the folder is read-only, then left to wasmtime-wasi.
macro_rules! change {
    ($types:ident, $name:literal, $method:ident, $attempt:literal, $path:ident, ($($arg:ident: $ty:ty),*)) => {
        $types.func_wrap_async($name, |mut store, (fd, $($arg),*): (Resource<Descriptor>, $($ty),*)| {
            Box::new(async move {
                let cell: &mut HostCell = store.data_mut();
                cell.files.note_write(&Handle::get(&cell.table, &fd)?, $attempt, &$path);
                let mut view = cell.filesystem();
                let result = view.$method(fd, $($arg),*).await;
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
            Box::new(async move { Ok((open_at(store.data_mut(), fd, path_flags, path, open_flags, flags).await?,)) })
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
    cell: &mut HostCell,
    fd: Resource<Descriptor>,
    path_flags: PathFlags,
    path: String,
    open_flags: OpenFlags,
    flags: DescriptorFlags,
) -> wasmtime::Result<Result<Resource<Descriptor>, ErrorCode>> {
    let parent = Handle::get(&cell.table, &fd)?;
    let writes =
        open_flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE) || flags.contains(DescriptorFlags::WRITE);
    if writes {
        cell.files.note_write(&parent, "write", &path);
    }
    let Some(opening) = cell.files.reserve() else { return Ok(Err(ErrorCode::Quota)) };
    let mut view = cell.filesystem();
    let result = view.open_at(fd, path_flags, path.clone(), open_flags, flags).await;
    let result = settle(&mut view, result)?;
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

/// Tells an error that the guest sees from one that traps.
fn settle<T>(view: &mut WasiFilesystemCtxView<'_>, result: FsResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => view.convert_error_code(error).map(Err),
    }
}
