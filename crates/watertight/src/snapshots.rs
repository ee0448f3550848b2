//! Scripts that are loaded once: for each script that answers requests, a snapshot of its runtime with the script in it, kept in the
//! cache by what went into it.
//!
//! What is in the script's folder when an app is started is what runs, until it is started or reloaded anew. A script that does
//! something while it is loaded that belongs to each request is loaded in each request, as it would be without this; so is one
//! whose folder is too large to be looked through. Nothing here fails an app.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use watertight_host::snapshot::{Mounted, Snapshot, snapshot};
use watertight_model::{
    app::{Component, Sources, Wall},
    grant::DirMode,
    modules::describe,
    script::Script,
};
use watertight_runtime::{CompileCache, Progress, engine_for_snapshots};

use crate::source::CheckedApp;

/// Files that a script's folder may hold.
const MAX_FILES: usize = 20_000;

/// Bytes that they may have.
const MAX_BYTES: u64 = 512 << 20;

/// Folders below one another.
const MAX_DEPTH: usize = 32;

/// What a component begins with, and no reason for having none does.
const MAGIC: &[u8] = b"\0asm";

/// The bytes of every component, those of scripts that answer requests with the script in them where that can be.
pub(crate) fn with_scripts(checked: &CheckedApp, cache: &CompileCache, progress: &dyn Progress) -> Sources {
    let mut sources = checked.sources.clone();
    for component in &checked.app.components {
        let routed = checked.app.http.iter().any(|trigger| trigger.component == component.id);
        let (Some(script), Some(bytes)) = (&component.script, checked.sources.get(&component.id)) else { continue };
        if !routed || component.wall != Wall::Cell {
            continue;
        }
        match loaded(checked, component, script, bytes, cache) {
            Some(Ok(ready)) => drop(sources.insert(component.id, ready)),
            Some(Err(why)) => progress.loaded_each_time(component, &why),
            None => {}
        }
    }
    sources
}

/// The runtime with the script in it, or why there is none; nothing where the runtime takes no snapshots.
fn loaded(
    checked: &CheckedApp,
    component: &Component,
    script: &Script,
    bytes: &[u8],
    cache: &CompileCache,
) -> Option<Result<Arc<[u8]>, String>> {
    let spec = script.snapshot.as_ref()?;
    let folder = checked.base.join(&script.folder);
    let dirs = component.grants.dirs.iter().filter(|dir| dir.mode == DirMode::Rw);
    let changing = dirs.filter_map(|dir| checked.base.join(&dir.host).canonicalize().ok()).collect();
    let mut hasher = blake3::Hasher::new();
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes()).update(blake3::hash(bytes).as_bytes());
    for text in [&spec.init, &script.entry] {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    let variables: Vec<&str> = component.grants.env.keys().map(String::as_str).collect();
    for name in &variables {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
    }
    // What is imported when it is loaded has these functions.
    let modules = describe(&checked.app, component.id).ok()?;
    hasher.update(&(modules.len() as u64).to_le_bytes()).update(&modules);
    let content = Content { changing, files: 0, bytes: 0 };
    if let Err(error) = content.hash(&folder, &mut hasher) {
        return Some(Err(error.to_string()));
    }
    let key = hasher.finalize().to_hex();
    let kept = cache.kept(&key).unwrap_or_else(|| {
        let mounted = Mounted { folder: &folder, script, variables: &variables, modules: &modules };
        let taken = match take(bytes, &spec.init, Some(mounted)) {
            Ok(Snapshot::Taken(bytes)) => bytes,
            Ok(Snapshot::Declined(why)) => why.into_bytes(),
            Err(error) => error.into_bytes(),
        };
        cache.keep(&key, &taken);
        taken
    });
    if kept.starts_with(MAGIC) { Some(Ok(kept.into())) } else { Some(Err(String::from_utf8_lossy(&kept).into_owned())) }
}

/// Takes the snapshot of a runtime itself.
///
/// # Errors
/// Why there is none.
pub(crate) fn of_runtime(bytes: &[u8], init: &str) -> Result<Vec<u8>, String> {
    match take(bytes, init, None)? {
        Snapshot::Taken(bytes) => Ok(bytes),
        Snapshot::Declined(why) => Err(why),
    }
}

/// On a thread with a runtime of its own: whoever compiles an app may be in one.
fn take(bytes: &[u8], init: &str, mounted: Option<Mounted<'_>>) -> Result<Snapshot, String> {
    thread::scope(|scope| {
        let taken = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let engine = engine_for_snapshots().map_err(|error| format!("{error:#}"))?;
            let taken = runtime.block_on(snapshot(&engine, bytes, init, mounted));
            taken.map_err(|error| error.to_string())
        });
        taken.join().unwrap_or_else(|_| Err("the runtime cannot be captured".to_owned()))
    })
}

/// What is in a folder, but for what the script itself changes.
struct Content {
    changing: BTreeSet<PathBuf>,
    files: usize,
    bytes: u64,
}

impl Content {
    fn hash(mut self, folder: &Path, hasher: &mut blake3::Hasher) -> io::Result<()> {
        self.add(folder, 0, hasher)
    }

    fn add(&mut self, folder: &Path, depth: usize, hasher: &mut blake3::Hasher) -> io::Result<()> {
        if self.changing.contains(&folder.canonicalize()?) {
            return Ok(());
        }
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self.files += 1;
            let name = entry.file_name();
            // Nobody loads what is in there, and it changes with every commit.
            if name == ".git" {
                continue;
            }
            let (path, kind) = (entry.path(), entry.file_type()?);
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_encoded_bytes());
            if kind.is_dir() {
                hasher.update(b"d");
                self.add(&path, depth + 1, hasher)?;
                hasher.update(b"e");
            } else if kind.is_symlink() {
                hasher.update(b"l").update(fs::read_link(&path)?.as_os_str().as_encoded_bytes());
            } else if kind.is_file() {
                self.bytes = self.bytes.saturating_add(entry.metadata()?.len());
                if self.files > MAX_FILES || self.bytes > MAX_BYTES || depth > MAX_DEPTH {
                    return Err(io::Error::other("its folder holds too much to be looked through"));
                }
                let content = fs::read(&path)?;
                hasher.update(b"f").update(&(content.len() as u64).to_le_bytes()).update(&content);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(folder: &Path, changing: &[&Path]) -> String {
        let mut hasher = blake3::Hasher::new();
        let changing = changing.iter().map(|path| path.canonicalize().expect("it is there")).collect();
        Content { changing, files: 0, bytes: 0 }.hash(folder, &mut hasher).expect("it is small");
        hasher.finalize().to_hex().to_string()
    }

    #[test]
    fn a_folder_is_known_by_what_is_in_it() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("it is writable");
        fs::create_dir(folder.path().join("data")).expect("it is writable");
        write("app.py", "1");
        let data = folder.path().join("data");
        let before = hash(folder.path(), &[&data]);
        write("data/note", "what the script writes");
        assert_eq!(hash(folder.path(), &[&data]), before);
        assert_ne!(hash(folder.path(), &[]), before);
        write("app.py", "2");
        assert_ne!(hash(folder.path(), &[&data]), before);
        write("app.py", "1");
        assert_eq!(hash(folder.path(), &[&data]), before);
        fs::rename(folder.path().join("app.py"), folder.path().join("b.py")).expect("it is writable");
        assert_ne!(hash(folder.path(), &[&data]), before);
    }
}
