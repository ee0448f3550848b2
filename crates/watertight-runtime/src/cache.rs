#![expect(unsafe_code, reason = "loads compiled code from the cache, which Wasmtime must take on trust")]
//! The compile cache: compiled code on disk, by what it was compiled from.
//!
//! ```text
//! DIR/v1/<hash of engine and component>/<hash of the code>.cwasm
//! ```
//!
//! The name of an entry is the checksum of its content, so a damaged or foreign entry never has the right name: it is removed
//! and made anew. Entries are written to a temporary file and renamed, so several processes can share a cache. The file that was
//! checked is the file that is mapped: both go through one descriptor. The folder is only as trustworthy as those who can write to it:
//! it is created for its owner alone.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use wasmtime::{Engine, component::Component};

/// Compiled code on disk.
#[derive(Clone, Debug)]
pub struct CompileCache {
    root: PathBuf,
}

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
        Ok(Self { root })
    }

    /// Whether a sound entry for this component is there, without loading it.
    #[must_use]
    pub(crate) fn holds(&self, engine: &Engine, bytes: &[u8]) -> bool {
        self.sound_entry(&self.folder(engine, bytes), "cwasm").is_some()
    }

    /// Loads the compiled code of a component, compiling it where there is no sound entry. A cache that cannot be written to
    /// is reported, and costs the next start a compile, nothing else.
    pub(crate) fn load(&self, engine: &Engine, bytes: &[u8]) -> wasmtime::Result<(Component, Origin)> {
        let folder = self.folder(engine, bytes);
        if let Some(component) = self.load_entry(engine, &folder) {
            return Ok((component, Origin::Cached));
        }
        let code = engine.precompile_component(bytes)?;
        if let Err(error) = write(&folder, &code, "cwasm") {
            tracing::warn!(folder = %folder.display(), %error, "cannot write to the compile cache");
        }
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
        let folder = self.root.join(format!("kept-{key}"));
        if let Err(error) = write(&folder, bytes, "bytes") {
            tracing::warn!(folder = %folder.display(), %error, "cannot write to the compile cache");
        }
    }

    fn load_entry(&self, engine: &Engine, folder: &Path) -> Option<Component> {
        let (path, file) = self.sound_entry(folder, "cwasm")?;
        let same_file = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: the checksum says that this open file holds what `write` put there after compiling for an engine with the same
        // compatibility hash; only the owner of the folder can make a file of that name with other content.
        let component = unsafe { Component::deserialize_file(engine, same_file) };
        if component.is_err() {
            remove(&path);
        }
        component.ok()
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
                return Some((path, file));
            }
            tracing::warn!(entry = %path.display(), "removing a damaged entry from the compile cache");
            remove(&path);
            None
        })
    }

    fn folder(&self, engine: &Engine, bytes: &[u8]) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        let mut engine_hash = Blake(&mut hasher);
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut engine_hash);
        hasher.update(bytes);
        self.root.join(hasher.finalize().to_hex().as_str())
    }
}

fn write(folder: &Path, code: &[u8], kind: &str) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(code)?;
    file.as_file().sync_all()?;
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
}
