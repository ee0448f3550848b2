#![expect(unsafe_code, reason = "loads compiled code from the cache, which Wasmtime must take on trust")]
//! The compile cache: compiled code on disk, by what it was compiled from.
//!
//! ```text
//! DIR/v1/<hash of engine and component>/<hash of the code>.cwasm
//! DIR/v1/kept-<hash of what it was made from>/<hash of the bytes>.bytes
//! ```
//!
//! The name of an entry is the checksum of its content, so a damaged or foreign entry never has the right name: it is removed
//! and made anew. Entries are written to a temporary file and renamed, so several processes can share a cache. The file that was
//! checked is the file that is mapped: both go through one descriptor. The folder is only as trustworthy as those who can write to it:
//! it is created for its owner alone.
//!
//! Whoever writes an entry removes others when all of them take more than `MAX_CACHE_BYTES`, those first that were not used for the
//! longest time: an entry is as young as its files. One that a process has mapped stays mapped, and is made anew when it is asked for again.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use wasmtime::{Engine, component::Component};

/// What all entries may take on disk: some twenty scripts in the largest interpreter, each with its snapshot and the code of that.
const MAX_CACHE_BYTES: u64 = 4 << 30;

/// Compiled code on disk.
#[derive(Clone, Debug)]
pub struct CompileCache {
    root: PathBuf,
    most_bytes: u64,
    checked: Arc<Mutex<Checked>>,
}

/// Compiled code that this process has checked, by its folder: the file that was checked stays open.
type Checked = BTreeMap<PathBuf, (PathBuf, Arc<File>)>;

/// The cache folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the compile cache in {}: {error}; choose another folder with --cache-dir", path.display())]
pub struct CacheError {
    path: PathBuf,
    error: io::Error,
}

/// Where compiled code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An entry was there.
    Cached,
    /// It was compiled, and an entry written.
    Compiled,
    /// It was compiled, and no entry could be written: the next start compiles it again.
    Unkept,
}

/// What this process found in compile caches, and what it had to compile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Components whose code was there.
    pub hits: u64,
    /// Components that were compiled.
    pub misses: u64,
    /// Bytes in the cache, when it was looked at last.
    pub bytes: u64,
}

static HITS: AtomicU64 = AtomicU64::new(0);
static MISSES: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// What this process found in compile caches so far.
#[must_use]
pub fn cache_counts() -> CacheCounts {
    CacheCounts { hits: HITS.load(Relaxed), misses: MISSES.load(Relaxed), bytes: BYTES.load(Relaxed) }
}

impl CompileCache {
    /// Opens a cache, creating its folder.
    ///
    /// # Errors
    /// When the folder cannot be created, or belongs to others: whoever can write to it can have any code run.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let root = folder.join("v1");
        let failed = |error| CacheError { path: folder.into(), error };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(failed)?;
        let found = fs::metadata(&root).map_err(failed)?;
        let owner = found.uid();
        if owner != 0 && owner != rustix::process::geteuid().as_raw() {
            return Err(failed(io::Error::other(format!("it belongs to another user, {owner}"))));
        }
        if found.mode() & 0o022 != 0 {
            return Err(failed(io::Error::other("others than its owner can write to it: chmod go-w")));
        }
        let cache = Self { root, most_bytes: MAX_CACHE_BYTES, checked: Arc::default() };
        BYTES.store(cache.entries().iter().map(|entry| entry.bytes).sum(), Relaxed);
        Ok(cache)
    }

    /// Keeps no more than this, and always the entry that was written last.
    #[must_use]
    pub fn at_most(self, bytes: u64) -> Self {
        Self { most_bytes: bytes, ..self }
    }

    /// Whether a sound entry for the component with this digest is there, without loading it.
    #[must_use]
    pub(crate) fn holds(&self, engine: &Engine, digest: &blake3::Hash) -> bool {
        self.checked_entry(&self.folder(engine, digest)).is_some()
    }

    /// Loads the compiled code of a component, compiling it where there is no sound entry. A cache that cannot be written to
    /// is reported, and costs the next start a compile, nothing else.
    pub(crate) fn load(
        &self,
        engine: &Engine,
        bytes: &[u8],
        digest: &blake3::Hash,
    ) -> wasmtime::Result<(Component, Origin)> {
        let folder = self.folder(engine, digest);
        if let Some(component) = self.load_entry(engine, &folder) {
            HITS.fetch_add(1, Relaxed);
            return Ok((component, Origin::Cached));
        }
        MISSES.fetch_add(1, Relaxed);
        let code = engine.precompile_component(bytes)?;
        self.write(&folder, &code, "cwasm");
        if let Some(component) = self.load_entry(engine, &folder) {
            return Ok((component, Origin::Compiled));
        }
        // SAFETY: the compiler of this very engine has just made these bytes.
        let component = unsafe { Component::deserialize(engine, &code) }?;
        Ok((component, Origin::Unkept))
    }

    /// What was kept under this key.
    #[must_use]
    pub fn kept(&self, key: &str) -> Option<Vec<u8>> {
        let (_, mut file) = self.sound_entry(&self.root.join(format!("kept-{key}")), "bytes")?;
        let mut bytes = Vec::new();
        io::Seek::rewind(&mut file).ok()?;
        file.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Keeps bytes that took long to make, under a key that tells what they were made from.
    pub fn keep(&self, key: &str, bytes: &[u8]) {
        self.write(&self.root.join(format!("kept-{key}")), bytes, "bytes");
    }

    /// Writes an entry, and makes room for it.
    fn write(&self, folder: &Path, bytes: &[u8], kind: &str) {
        if let Err(error) = write(folder, bytes, kind) {
            tracing::warn!(folder = %folder.display(), %error, "cannot write to the compile cache");
        }
        let mut entries = self.entries();
        entries.sort_by_key(|entry| entry.used);
        let mut all: u64 = entries.iter().map(|entry| entry.bytes).sum();
        for entry in entries.iter().filter(|entry| entry.folder != folder) {
            if all <= self.most_bytes {
                break;
            }
            tracing::debug!(entry = %entry.folder.display(), bytes = entry.bytes, "making room in the compile cache");
            // Another process may be writing to it just now: then that one makes it anew.
            let _ = fs::remove_dir_all(&entry.folder);
            all -= entry.bytes;
        }
        BYTES.store(all, Relaxed);
    }

    fn entries(&self) -> Vec<Entry> {
        fs::read_dir(&self.root).into_iter().flatten().flatten().map(Entry::read).collect()
    }

    fn load_entry(&self, engine: &Engine, folder: &Path) -> Option<Component> {
        let (path, file) = self.checked_entry(folder)?;
        let same_file = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: the checksum says that this open file holds what `write` put there after compiling for an engine with the same
        // compatibility hash; only the owner of the folder can make a file of that name with other content.
        let component = unsafe { Component::deserialize_file(engine, same_file) };
        if component.is_err() {
            self.checked().remove(folder);
            remove(&path);
        }
        component.ok()
    }

    /// Finds an entry of compiled code, and looks at its content once in this process.
    fn checked_entry(&self, folder: &Path) -> Option<(PathBuf, Arc<File>)> {
        if let Some(known) = self.checked().get(folder) {
            return Some(known.clone());
        }
        let (path, file) = self.sound_entry(folder, "cwasm")?;
        let entry = (path, Arc::new(file));
        self.checked().insert(folder.to_owned(), entry.clone());
        Some(entry)
    }

    fn checked(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the entry whose content has the hash that is its name, and removes those whose has not.
    fn sound_entry(&self, folder: &Path, kind: &str) -> Option<(PathBuf, File)> {
        fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| {
            if path.extension()? != kind {
                return None;
            }
            let expected = path.file_stem()?.to_str()?.to_owned();
            let mut file = File::open(&path).ok()?;
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(&mut file).ok()?;
            if hasher.finalize().to_hex().as_str() == expected {
                // A cache that cannot be written to is not made room in either.
                let _ = file.set_modified(SystemTime::now());
                return Some((path, file));
            }
            tracing::warn!(entry = %path.display(), "removing a damaged entry from the compile cache");
            remove(&path);
            None
        })
    }

    fn folder(&self, engine: &Engine, digest: &blake3::Hash) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        let mut engine_hash = Blake(&mut hasher);
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut engine_hash);
        hasher.update(digest.as_bytes());
        self.root.join(hasher.finalize().to_hex().as_str())
    }
}

/// A folder of the cache.
struct Entry {
    folder: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Entry {
    fn read(found: fs::DirEntry) -> Self {
        let mut entry = Self { folder: found.path(), bytes: 0, used: UNIX_EPOCH };
        for file in fs::read_dir(&entry.folder).into_iter().flatten().flatten().flat_map(|file| file.metadata()) {
            entry.bytes += file.len();
            entry.used = entry.used.max(file.modified().unwrap_or(UNIX_EPOCH));
        }
        entry
    }
}

fn write(folder: &Path, code: &[u8], kind: &str) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(code)?;
    file.as_file().sync_all()?;
    file.as_file().set_modified(SystemTime::now())?;
    let name = format!("{}.{kind}", blake3::hash(code).to_hex());
    file.persist(folder.join(name)).map_err(|error| error.error)?;
    Ok(())
}

fn remove(path: &Path) {
    // Another process may have been quicker; an entry that stays is found damaged again.
    let _ = fs::remove_file(path);
}

/// Feeds what is hashed to BLAKE3: the standard library's hashers are not the same from one release to the next.
struct Blake<'a>(&'a mut blake3::Hasher);

impl std::hash::Hasher for Blake<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut short = [0; 8];
        // An extendable output never runs dry.
        let _ = self.0.finalize_xof().read(&mut short);
        u64::from_le_bytes(short)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        CompileCache::open(folder.path()).expect("it is the owner's alone");
        let open_to_all = fs::Permissions::from_mode(0o777);
        fs::set_permissions(folder.path().join("v1"), open_to_all).expect("it is ours");
        let error = CompileCache::open(folder.path()).expect_err("anybody could have code run");
        assert!(error.to_string().contains("others than its owner can write to it"), "{error}");
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_makes_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = CompileCache::open(folder.path()).expect("it is ours").at_most(3 * 100);
        for key in ["a", "b", "c"] {
            cache.keep(key, &[7; 100]);
        }
        let there = || ["a", "b", "c", "d", "e"].map(|key| cache.root.join(format!("kept-{key}")).exists());
        assert_eq!(there(), [true, true, true, false, false]);
        assert_eq!(cache.kept("a"), Some(vec![7; 100]));
        cache.keep("d", &[7; 100]);
        assert_eq!(there(), [true, false, true, true, false], "`a` was used after `b`");
        cache.keep("e", &[7; 1000]);
        assert_eq!(there(), [false, false, false, false, true], "what was just made stays");
        assert_eq!(cache.kept("e"), Some(vec![7; 1000]));
    }
}
