//! What was made last, so that it need not be made again: one small file for each component, in the user's cache.
//!
//! A record says which inputs a component was made from, and what came out. It is believed only if the component is still that.
//! Losing one costs a build.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Of what it was made from.
    pub(crate) inputs: String,
    /// Of what it is.
    pub(crate) output: String,
    /// Its size.
    pub(crate) bytes: u64,
}

impl Record {
    /// The record of the component at `source`, if there is one that can be read.
    pub(crate) fn read(records: &Path, source: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file(records, source)).ok()?).ok()
    }

    /// Keeps it in the place of the one before.
    pub(crate) fn write(&self, records: &Path, source: &Path) -> io::Result<()> {
        fs::create_dir_all(records)?;
        let mut temporary = tempfile::NamedTempFile::new_in(records)?;
        temporary.write_all(&serde_json::to_vec(self)?)?;
        temporary.persist(file(records, source))?;
        Ok(())
    }

    /// Whether the component at `source` is what came out.
    pub(crate) fn describes(&self, source: &Path) -> bool {
        fs::metadata(source).is_ok_and(|metadata| metadata.len() == self.bytes)
            && fs::read(source).is_ok_and(|bytes| hash(&bytes) == self.output)
    }
}

pub(crate) fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn file(records: &Path, source: &Path) -> PathBuf {
    let whole = source.parent().and_then(|folder| folder.canonicalize().ok());
    let source = whole.zip(source.file_name()).map_or_else(|| source.to_owned(), |(folder, name)| folder.join(name));
    records.join(format!("{}.json", hash(source.as_os_str().as_encoded_bytes())))
}
