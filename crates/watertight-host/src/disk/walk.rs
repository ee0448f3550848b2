//! Counting what lies in a folder, by looking at all of it.
//!
//! A guest chose what there is: any names, links in circles, and folders in folders as deep as it likes. So no link is followed, no path is
//! ever put together, and one folder is open at a time. The walk ends after [`MAX_ENTRIES`]. It fails where another program moves folders about
//! meanwhile; guests are kept from that by the lock.

use std::{
    collections::HashSet,
    ffi::CString,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};

use super::{Amount, BLOCK, charged};

/// The most names that are looked at.
const MAX_ENTRIES: u64 = 1 << 20;

/// How often it is tried, where another program keeps changing the folder.
const ATTEMPTS: usize = 3;

/// A folder whose inner folders are still to be looked at.
struct Frame {
    identity: (u64, u64),
    inner: Vec<CString>,
}

/// Counts what lies in a folder.
pub(super) fn count(root: &File) -> io::Result<Amount> {
    let mut last = io::Error::other("it was not tried");
    for _ in 0..ATTEMPTS {
        match count_once(root) {
            Ok(amount) => return Ok(amount),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn count_once(root: &File) -> io::Result<Amount> {
    let mut walk = Walk { amount: Amount::default(), linked: HashSet::new() };
    let mut here = openat(root, c".", FOLDER, Mode::empty())?;
    let mut above = vec![walk.read(&here)?];
    while let Some(frame) = above.last_mut() {
        match frame.inner.pop() {
            Some(name) => {
                // What cannot be entered cannot be written to, either.
                let Ok(inner) = openat(&here, &name, FOLDER, Mode::empty()) else { continue };
                above.push(walk.read(&inner)?);
                here = inner;
            }
            None => {
                above.pop();
                let Some(outer) = above.last() else { break };
                here = openat(&here, c"..", FOLDER, Mode::empty())?;
                if identity(&fstat(&here)?) != outer.identity {
                    return Err(io::Error::other("another program moves its folders about"));
                }
            }
        }
    }
    Ok(walk.amount)
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

struct Walk {
    amount: Amount,
    /// Files with several names that were counted already.
    linked: HashSet<(u64, u64)>,
}

impl Walk {
    fn read(&mut self, folder: &OwnedFd) -> io::Result<Frame> {
        let mut inner = Vec::new();
        for entry in Dir::read_from(folder.as_fd())? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.amount.files += 1;
            if self.amount.files > MAX_ENTRIES {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    format!("more than {MAX_ENTRIES} files lie in it; grant a smaller folder"),
                ));
            }
            // It may be gone already.
            let Ok(found) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                self.amount.bytes += BLOCK;
                inner.push(name.to_owned());
            } else if found.st_nlink <= 1 || self.linked.insert(identity(&found)) {
                self.amount.bytes = self.amount.bytes.saturating_add(charged(found.st_size.try_into().unwrap_or(0)));
            }
        }
        Ok(Frame { identity: identity(&fstat(folder)?), inner })
    }
}

fn identity(found: &Stat) -> (u64, u64) {
    (found.st_dev, found.st_ino)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn counted(path: &std::path::Path) -> Amount {
        count(&File::open(path).expect("it is a folder")).expect("it can be counted")
    }

    #[test]
    fn files_count_by_size_in_blocks_folders_and_links_by_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        assert_eq!(counted(path), Amount::default());
        fs::write(path.join("empty"), "").expect("it is ours");
        fs::write(path.join("small"), "x").expect("it is ours");
        fs::write(path.join("block"), [0; 4096]).expect("it is ours");
        fs::create_dir_all(path.join("a/b")).expect("it is ours");
        fs::write(path.join("a/b/two"), [0; 4097]).expect("it is ours");
        symlink("/etc", path.join("away")).expect("it is ours");
        symlink("..", path.join("a/b/round")).expect("it is ours");
        assert_eq!(counted(path), Amount { bytes: 4096 * (1 + 1 + 2 + 2 + 2), files: 8 });
    }

    #[test]
    fn a_hole_counts_and_a_second_name_does_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        File::create(path.join("hole")).expect("it is ours").set_len(1 << 30).expect("it is ours");
        fs::create_dir(path.join("inner")).expect("it is ours");
        fs::hard_link(path.join("hole"), path.join("inner/name")).expect("it is ours");
        assert_eq!(counted(path), Amount { bytes: (1 << 30) + 4096, files: 3 });
    }

    #[test]
    fn folders_in_folders_without_end_are_counted_with_one_of_them_open() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut here = OwnedFd::from(File::open(folder.path()).expect("it is a folder"));
        const DEPTH: u64 = 3000;
        for _ in 0..DEPTH {
            // The path of the last one is longer than any path may be.
            rustix::fs::mkdirat(&here, "folder", Mode::RWXU).expect("it is ours");
            here = openat(&here, "folder", FOLDER, Mode::empty()).expect("it is there");
        }
        assert_eq!(counted(folder.path()), Amount { bytes: 4096 * DEPTH, files: DEPTH });
    }
}
