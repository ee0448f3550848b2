//! The content folder: pages in `*.md`, pictures in `pictures/`. Names that could lead elsewhere do not exist.

use crate::wasi::filesystem::preopens::get_directories;
use crate::wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use crate::wasi::io::streams::StreamError;

/// More than this is no page and no picture of a page.
const LARGEST: u64 = 8 << 20;

/// The names of all pages, in order.
pub(crate) fn pages() -> Vec<String> {
    let mut names = Vec::new();
    if let Some(entries) = folder().and_then(|folder| folder.read_directory().ok()) {
        while let Ok(Some(entry)) = entries.read_directory_entry() {
            names.extend(entry.name.strip_suffix(".md").map(str::to_owned));
        }
    }
    names.sort();
    names
}

/// The source of one page.
pub(crate) fn source(name: &str) -> Option<String> {
    let bytes = read(&format!("{}.md", plain(name)?))?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The bytes of one picture.
pub(crate) fn picture(name: &str) -> Option<Vec<u8>> {
    read(&format!("pictures/{}", plain(name)?))
}

fn plain(name: &str) -> Option<&str> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.is_empty() && !name.starts_with('.') && name.chars().all(good)).then_some(name)
}

fn folder() -> Option<Descriptor> {
    get_directories().into_iter().find_map(|(descriptor, name)| (name == "/content").then_some(descriptor))
}

fn read(path: &str) -> Option<Vec<u8>> {
    let file = folder()?.open_at(PathFlags::empty(), path, OpenFlags::empty(), DescriptorFlags::READ).ok()?;
    let size = file.stat().ok()?.size.min(LARGEST);
    let stream = file.read_via_stream(0).ok()?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).ok()?);
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(part) => bytes.extend(part),
            Err(StreamError::Closed) => return Some(bytes),
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
        if bytes.len() as u64 > LARGEST {
            return None;
        }
    }
}
