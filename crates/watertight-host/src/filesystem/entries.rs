//! The entries of a folder. They are read at once, so that no descriptor stays open for them and no thread waits for who reads them, and
//! count as memory until the stream is dropped: a folder may have any number of them.

use std::{fs::File, io, vec};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use watertight_runtime::Charge;

use super::counted::code;

/// An entry: what it is, and its name.
pub(super) type Entry = (FileType, String);

/// What a guest of WASI 0.2 holds a `directory-entry-stream` of.
pub(crate) struct Entries {
    left: vec::IntoIter<Result<Entry, ErrorCode>>,
    _charge: Charge,
}

/// What an entry takes besides its name.
const ENTRY_BYTES: usize = size_of::<Result<Entry, ErrorCode>>() + 16;

/// What is charged at once.
const STEP_BYTES: usize = 16 << 10;

impl Entries {
    /// Reads all entries of a folder. It waits for the disk. `charge` grows with them.
    pub(super) fn read(folder: &File, mut charge: Charge) -> Result<Self, ErrorCode> {
        let (mut entries, mut used) = (Vec::new(), 0);
        // A granted folder is open as a place only, which cannot be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = openat(folder, c".", flags, Mode::empty()).and_then(Dir::new);
        let listed = listed.map_err(|error| code(&io::Error::from(error)))?;
        for entry in listed {
            let entry = entry.map_err(|error| code(&io::Error::from(error)))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            used += ENTRY_BYTES + name.to_bytes().len();
            if used > charge.bytes() && !charge.grow(STEP_BYTES) {
                return Err(ErrorCode::InsufficientMemory);
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                kind = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(kind, |found| FileType::from_raw_mode(found.st_mode));
            }
            entries.push(match name.to_str() {
                Ok(name) => Ok((kind, name.to_owned())),
                Err(_) => Err(ErrorCode::IllegalByteSequence),
            });
        }
        Ok(Self { left: entries.into_iter(), _charge: charge })
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>, ErrorCode> {
        self.left.next().transpose()
    }
}
