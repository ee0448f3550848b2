//! Gives resources of the host away and takes them in: input streams, owned and borrowed.

wit_bindgen::generate!({ path: "../../../wit", world: "hand-guest", generate_all });

use exports::watertight::test::hand::Guest;
use wasi::filesystem::preopens::get_directories;
use wasi::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasi::io::streams::{InputStream, StreamError};

struct Hand;

impl Guest for Hand {
    fn give(path: String) -> Result<InputStream, String> {
        if path.is_empty() {
            return Ok(wasi::cli::stdin::get_stdin());
        }
        let (folder, _) = get_directories().into_iter().next().ok_or("no folder was granted")?;
        let file = folder
            .open_at(PathFlags::empty(), &path, OpenFlags::empty(), DescriptorFlags::READ)
            .map_err(|code| format!("open: {}", code.name()))?;
        file.read_via_stream(0).map_err(|code| format!("read: {}", code.name()))
    }

    fn take(s: InputStream) -> Result<u64, String> {
        let mut count = 0;
        loop {
            match s.blocking_read(4096) {
                Ok(part) => count += part.len() as u64,
                Err(StreamError::Closed) => return Ok(count),
                Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
            }
        }
    }

    fn sip(s: &InputStream, most: u64) -> Result<Vec<u8>, String> {
        s.blocking_read(most).map_err(|error| format!("{error:?}"))
    }

    fn echo(s: InputStream) -> InputStream {
        s
    }
}

export!(Hand);
