//! Fetching components from OCI registries: a manifest, and the one layer of it that is a component.
//!
//! It speaks the pull part of the OCI distribution specification over HTTPS; over plain HTTP only with this machine. What comes is
//! believed only if its SHA-256 is the digest that was asked for, and is kept under that digest, so that it is never fetched again.
//! Credentials are those that `docker login` keeps; without any it asks as anyone may.

mod wire;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use watertight_model::{
    manifest::oci::{self, Layer, Lock, OciSource},
    script::RuntimeSpec,
};

use self::wire::Wire;

/// Bytes of an OCI manifest.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// Bytes of a runtime's TOML.
const MAX_RUNTIME_BYTES: u64 = 64 << 10;

/// Bytes of a component.
const MAX_COMPONENT_BYTES: u64 = 512 << 20;

/// Kinds of manifests that are understood.
const MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// What became of a component in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is there already; so many bytes.
    Kept(u64),
    /// It came; so many bytes.
    New(u64),
}

/// Why it did not come.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The registry could not be asked, or would not answer.
    #[error("cannot fetch {name}: {why}")]
    Registry {
        /// The component's name there.
        name: String,
        /// Why.
        why: String,
    },
    /// It is something else.
    #[error("{name} is refused: its digest is {is}, and not {wanted}")]
    Digest {
        /// The component's name there.
        name: String,
        /// What came.
        is: String,
        /// What was pinned.
        wanted: String,
    },
    /// It is no component.
    #[error("{name}: {why}")]
    NoComponent {
        /// The component's name there.
        name: String,
        /// Why.
        why: String,
    },
    /// The lock file is damaged.
    #[error("{}: {why}: correct it, or remove it to look up all tags again", oci::LOCK)]
    Lock {
        /// Why.
        why: String,
    },
    /// The system would not let it be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// An app's fetched components, and what pins them.
#[derive(Debug)]
pub struct Store {
    base: PathBuf,
    lock: Lock,
    anew: bool,
}

impl Store {
    /// That of the manifest in this folder. `anew` looks up tags again, and mistrusts what was kept.
    ///
    /// # Errors
    /// When the lock file is damaged.
    pub fn open(base: &Path, anew: bool) -> Result<Self, FetchError> {
        let lock = match fs::read_to_string(base.join(oci::LOCK)) {
            Ok(text) => oci::read_lock(&text).map_err(|why| FetchError::Lock { why })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Lock::new(),
            Err(error) => return Err(FetchError::Lock { why: error.to_string() }),
        };
        Ok(Self { base: base.to_owned(), lock, anew })
    }

    /// Makes sure of a component. Without a network if it was fetched before.
    ///
    /// # Errors
    /// When it does not come, or is not what was pinned; then nothing is kept of it.
    pub async fn fetch(&mut self, source: &OciSource) -> Result<Fetched, FetchError> {
        let pinned = if self.anew { source.digest.as_deref() } else { source.pinned(&self.lock) };
        if let Some(digest) = pinned
            && let Some(size) = self.kept(digest)
        {
            return Ok(Fetched::Kept(size));
        }
        let mut wire = Asking::of(source)?;
        let (manifest, digest) = wire.manifest(pinned).await?;
        let layer = oci::layer(&manifest).map_err(|why| FetchError::NoComponent { name: source.text.clone(), why })?;
        let bytes = wire.layer(&layer, MAX_COMPONENT_BYTES).await?;
        self.keep(&layer.digest, &bytes)?;
        self.keep(&digest, &manifest)?;
        if source.digest.is_none() && self.lock.get(&source.text) != Some(&digest) {
            self.lock.insert(source.text.clone(), digest);
            self.put(Path::new(oci::LOCK), oci::lock_text(&self.lock).as_bytes())?;
        }
        Ok(Fetched::New(bytes.len() as u64))
    }

    /// The size of a component that was fetched before and is what it was.
    fn kept(&self, digest: &str) -> Option<u64> {
        let read = |digest: &str| {
            let bytes = fs::read(self.base.join(oci::place(digest))).ok()?;
            (sha256(&bytes) == digest).then_some(bytes)
        };
        let layer = oci::layer(&read(digest)?).ok()?;
        Some(read(&layer.digest)?.len() as u64)
    }

    fn keep(&self, digest: &str, bytes: &[u8]) -> Result<(), FetchError> {
        self.put(&oci::place(digest), bytes)
    }

    /// Writes a file whole, or not at all.
    fn put(&self, name: &Path, bytes: &[u8]) -> Result<(), FetchError> {
        let path = self.base.join(name);
        let write = || {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let temporary = tempfile::Builder::new().prefix(".watertight-").tempdir_in(folder)?;
            let new = temporary.path().join("new");
            fs::write(&new, bytes)?;
            fs::rename(&new, &path)
        };
        write().map_err(|error| FetchError::Write { path: path.clone(), error })
    }
}

/// Fetches a language runtime into a folder: a TOML and its component, named after the last part of the repository. Gives the TOML.
///
/// # Errors
/// When it does not come, is not what was pinned, or is no runtime.
pub async fn fetch_runtime(source: &OciSource, into: &Path) -> Result<PathBuf, FetchError> {
    let none = |why| FetchError::NoComponent { name: source.text.clone(), why };
    let mut wire = Asking::of(source)?;
    let (manifest, _) = wire.manifest(source.digest.as_deref()).await?;
    let (toml, component) = (oci::runtime_layer(&manifest).map_err(none)?, oci::layer(&manifest).map_err(none)?);
    let text = wire.layer(&toml, MAX_RUNTIME_BYTES).await?;
    let told = std::str::from_utf8(&text).map_err(|_| none("its TOML is not UTF-8".to_owned()))?;
    let spec = RuntimeSpec::parse(told).map_err(|error| none(error.to_string()))?;
    let bytes = wire.layer(&component, MAX_COMPONENT_BYTES).await?;
    let name = source.repository.rsplit('/').next().unwrap_or_default();
    let toml = into.join(format!("{name}.toml"));
    for (path, bytes) in [(into.join(&spec.component), bytes), (toml.clone(), text)] {
        fs::write(&path, bytes).map_err(|error| FetchError::Write { path, error })?;
    }
    Ok(toml)
}

/// A registry that is asked for one thing, whose every answer is compared with its digest.
struct Asking<'a> {
    source: &'a OciSource,
    wire: Wire,
}

impl<'a> Asking<'a> {
    fn of(source: &'a OciSource) -> Result<Self, FetchError> {
        let wire = Wire::new(&source.host, &source.repository);
        let failed = |why| FetchError::Registry { name: source.text.clone(), why };
        Ok(Self { source, wire: wire.map_err(failed)? })
    }

    /// The manifest that is pinned, or else tagged, and its digest.
    async fn manifest(&mut self, pinned: Option<&str>) -> Result<(Bytes, String), FetchError> {
        let path = format!("manifests/{}", pinned.unwrap_or(&self.source.tag));
        let manifest = self.get(&path, MANIFESTS, MAX_MANIFEST_BYTES).await?;
        let digest = sha256(&manifest);
        fits(self.source, &digest, pinned.unwrap_or(&digest))?;
        Ok((manifest, digest))
    }

    async fn layer(&mut self, layer: &Layer, most: u64) -> Result<Bytes, FetchError> {
        let bytes = self.get(&format!("blobs/{}", layer.digest), "*/*", most).await?;
        fits(self.source, &sha256(&bytes), &layer.digest)?;
        Ok(bytes)
    }

    async fn get(&mut self, path: &str, accept: &str, most: u64) -> Result<Bytes, FetchError> {
        let failed = |why| FetchError::Registry { name: self.source.text.clone(), why };
        self.wire.get(path, accept, most).await.map_err(failed)
    }
}

fn fits(source: &OciSource, is: &str, wanted: &str) -> Result<(), FetchError> {
    if is == wanted {
        return Ok(());
    }
    Err(FetchError::Digest { name: source.text.clone(), is: is.to_owned(), wanted: wanted.to_owned() })
}

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
