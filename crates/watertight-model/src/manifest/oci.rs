//! Components in OCI registries: how they are named, what pins them, and where they are kept once they were fetched.
//!
//! ```text
//!  tag ── watertight.lock ──▶ digest of an OCI manifest ──▶ digest of its layer ──▶ the component
//! ```
//!
//! Each arrow is checked when the app is read, so that what runs is what was pinned, whoever wrote the files in between.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use serde::Deserialize;

use super::{
    At,
    reader::{Reader, Table},
};
use crate::problem::{Code, Problem};

/// The name of the file that pins tags.
pub const LOCK: &str = "watertight.lock";

/// Where fetched components are kept, relative to the manifest.
pub const FOLDER: &str = ".watertight/oci";

/// Types of a layer that is a component: of the CNCF's artifact, and of an older tool.
const LAYERS: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];

/// Type of the layer of a runtime's TOML, beside that of its component.
pub const RUNTIME_LAYER: &str = "application/vnd.watertight.runtime.v1+toml";

/// A component in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciSource {
    /// As the manifest has it.
    pub text: String,
    /// The registry's host, with its port.
    pub host: String,
    /// The repository in it.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The digest that the manifest pins it to.
    pub digest: Option<String>,
}

/// What `watertight.lock` pins.
pub type Lock = BTreeMap<String, String>;

/// The layer of an OCI manifest that is a component.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Layer {
    /// Of its bytes.
    pub digest: String,
    /// So many.
    pub size: u64,
    #[serde(rename = "mediaType")]
    media_type: String,
}

impl OciSource {
    /// Reads a name: `host[:port]/repository[:tag]`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, rest) = text.split_once('/')?;
        let (repository, tag) = rest.split_once(':').unwrap_or((rest, "latest"));
        let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        let in_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let in_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_host = host == "localhost" || host.contains(['.', ':']);
        let named =
            |part: &str| part.starts_with(|first: char| first.is_ascii_alphanumeric()) && part.bytes().all(in_name);
        let fits = is_host
            && host.bytes().all(in_host)
            && repository.split('/').all(named)
            && (1..=128).contains(&tag.len())
            && tag.bytes().all(in_tag);
        let (host, repository, tag) = (host.to_owned(), repository.to_owned(), tag.to_owned());
        fits.then(|| Self { text: text.to_owned(), host, repository, tag, digest: None })
    }

    /// Reads a name that may pin what it names: `host[:port]/repository[:tag][@sha256:…]`.
    #[must_use]
    pub fn parse_pinned(text: &str) -> Option<Self> {
        let Some((name, digest)) = text.split_once('@') else { return Self::parse(text) };
        let source = Self::parse(name).filter(|_| is_digest(digest))?;
        Some(Self { text: text.to_owned(), digest: Some(digest.to_owned()), ..source })
    }

    /// What it is pinned to.
    #[must_use]
    pub fn pinned<'a>(&'a self, lock: &'a Lock) -> Option<&'a str> {
        self.digest.as_deref().or_else(|| lock.get(&self.text).map(String::as_str))
    }
}

/// Whether a text is a digest of SHA-256.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// Where something with this digest is kept, relative to the manifest.
#[must_use]
pub fn place(digest: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(digest.replace(':', "-"))
}

/// The component's layer in an OCI manifest.
///
/// # Errors
/// When there is not exactly one, in words.
pub fn layer(manifest: &[u8]) -> Result<Layer, String> {
    the_layer(manifest, &LAYERS, "WebAssembly")
}

/// The layer of a runtime's TOML in an OCI manifest.
///
/// # Errors
/// When there is not exactly one, in words.
pub fn runtime_layer(manifest: &[u8]) -> Result<Layer, String> {
    the_layer(manifest, &[RUNTIME_LAYER], "runtime's TOML")
}

fn the_layer(manifest: &[u8], kinds: &[&str], what: &str) -> Result<Layer, String> {
    #[derive(Deserialize)]
    struct OciManifest {
        #[serde(default)]
        layers: Vec<Layer>,
    }
    let manifest: OciManifest =
        serde_json::from_slice(manifest).map_err(|error| format!("its manifest is none of OCI: {error}"))?;
    let mut layers = manifest.layers.into_iter().filter(|layer| kinds.contains(&layer.media_type.as_str()));
    match (layers.next(), layers.next()) {
        (Some(layer), None) if is_digest(&layer.digest) => Ok(layer),
        (Some(layer), None) => Err(format!("the digest `{}` is none of SHA-256", layer.digest)),
        (None, _) => Err(format!("it holds no {what}")),
        (Some(_), Some(_)) => Err(format!("it holds more than one {what}")),
    }
}

/// Reads `watertight.lock`.
///
/// # Errors
/// When it is damaged, in words.
pub fn read_lock(text: &str) -> Result<Lock, String> {
    #[derive(Deserialize)]
    struct Pins {
        #[serde(default)]
        oci: Lock,
    }
    let pins: Pins = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    match pins.oci.values().find(|digest| !is_digest(digest)) {
        Some(wrong) => Err(format!("`{wrong}` is no digest")),
        None => Ok(pins.oci),
    }
}

/// Writes it.
#[must_use]
pub fn lock_text(lock: &Lock) -> String {
    let mut text = "# What tags meant when they were fetched. Written by `watertight build`; keep it with the manifest.\n\n[oci]\n".to_owned();
    for (name, digest) in lock {
        // A `String` takes all it is given; neither of these holds a quote.
        let _ = writeln!(text, "\"{name}\" = \"{digest}\"");
    }
    text
}

pub(super) fn read_source(reader: &mut Reader, table: Table<'_>) -> Option<(At<String>, OciSource)> {
    let name = reader.required_text(table, "oci");
    let digest = reader.text(table, "digest");
    let digest = match digest {
        Some(digest) if !is_digest(&digest.value) => {
            let problem = Problem::new(Code::BadText, format!("`{}` is not a digest", digest.value))
                .help("write sha256: and 64 hexadecimal digits, as the registry shows it");
            reader.report(problem, digest.span, "");
            None
        }
        digest => digest.map(|digest| digest.value),
    };
    let name = name?;
    match OciSource::parse(&name.value) {
        Some(source) => Some((name, OciSource { digest, ..source })),
        None => {
            let problem = Problem::new(Code::BadText, format!("`{}` names nothing in a registry", name.value))
                .help("write host, repository and tag: \"ghcr.io/press/markdown:1.2.0\"");
            reader.report(problem, name.span, "");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_repository_and_tag() {
        let parts = |text: &str| OciSource::parse(text).map(|source| (source.host, source.repository, source.tag));
        let of = |host: &str, repository: &str, tag: &str| Some((host.into(), repository.into(), tag.into()));
        assert_eq!(parts("ghcr.io/press/markdown:1.2.0"), of("ghcr.io", "press/markdown", "1.2.0"));
        assert_eq!(parts("localhost/a"), of("localhost", "a", "latest"));
        assert_eq!(parts("127.0.0.1:5000/a/b"), of("127.0.0.1:5000", "a/b", "latest"));
        for bad in [
            "",
            "a",
            "press/markdown",
            "ghcr.io/",
            "ghcr.io/A",
            "ghcr.io/a:",
            "ghcr.io/a:b c",
            "https://ghcr.io/a",
            "ghcr.io/../a",
            "u@h.io/a",
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_may_hold_its_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let pinned = OciSource::parse_pinned(&format!("ghcr.io/a:1@{digest}")).expect("it is one");
        assert_eq!((pinned.tag.as_str(), pinned.digest), ("1", Some(digest)));
        assert_eq!(OciSource::parse_pinned("ghcr.io/a").expect("it is one").digest, None);
        assert_eq!(OciSource::parse_pinned("ghcr.io/a@sha256:1"), None);
    }

    #[test]
    fn a_lock_is_read_as_it_was_written_and_damage_is_told() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let lock = Lock::from([("ghcr.io/a:1".to_owned(), digest)]);
        assert_eq!(read_lock(&lock_text(&lock)), Ok(lock));
        assert_eq!(read_lock(""), Ok(Lock::new()));
        assert!(read_lock("[oci]\na = \"sha256:1\"").is_err());
        assert!(read_lock("[[").is_err());
    }

    #[test]
    fn a_manifest_has_one_component() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let layer_of = |kinds: &[&str]| {
            let layers = kinds.iter().map(|kind| serde_json::json!({ "mediaType": kind, "digest": digest, "size": 3 }));
            layer(serde_json::json!({ "layers": layers.collect::<Vec<_>>() }).to_string().as_bytes())
        };
        assert_eq!(layer_of(&["text/plain", "application/wasm"]).map(|layer| layer.size), Ok(3));
        assert!(layer_of(&["application/wasm", "application/wasm"]).is_err());
        assert!(layer_of(&["text/plain"]).is_err());
        assert!(layer(b"{}").is_err() && layer(b"no").is_err());
    }
}
