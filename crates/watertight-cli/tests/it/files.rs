//! Apps for tests: a manifest and guests in a temporary folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use watertight_testkit::guest;

/// A folder with an app in it.
pub(crate) struct AppFolder(TempDir);

impl AppFolder {
    /// A manifest, and copies of the guests it names.
    pub(crate) fn new(manifest: &str, guests: &[&str]) -> Self {
        let folder = Self(tempfile::tempdir().expect("the temporary folder is writable"));
        folder.write("watertight.toml", manifest);
        for guest in guests {
            folder.write(&format!("{guest}.wasm"), guest::built(guest));
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn text(&self) -> &str {
        self.0.path().to_str().expect("test paths are text")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).expect("the temporary folder is writable");
        path
    }
}

/// The path of a built guest.
pub(crate) fn built(name: &str) -> String {
    guest::path(name).to_str().expect("test paths are text").to_owned()
}

/// A site that calls another component, whose behaviour is the test's.
pub(crate) fn site(behaviour: &str) -> AppFolder {
    site_with(behaviour, "")
}

/// The same, with more keys for that component.
pub(crate) fn site_with(behaviour: &str, keys: &str) -> AppFolder {
    let manifest = format!(
        r#"
[app]
name = "site"
version = "1.2.3"

[component.web]
source = "http-behave.wasm"
uses = ["behaviour"]
budget = {{ deadline = "20s" }}

[component.behaviour]
source = "{behaviour}.wasm"
budget = {{ memory = "16MiB", cpu = "300ms", deadline = "10s", concurrency = 32 }}
{keys}

[[trigger.http]]
route = "/run/..."
component = "web"
"#
    );
    AppFolder::new(&manifest, &["http-behave", behaviour])
}
