//! Plays scenes with host resources that cross between it and another component.

wit_bindgen::generate!({ path: "../../../wit", world: "hand-user", generate_all });

use exports::watertight::test::hand_scenes::Guest;
use wasi::filesystem::preopens::get_directories;
use wasi::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasi::io::streams::{InputStream, StreamError};
use watertight::test::hand;

struct User;

fn open(path: &str) -> Result<InputStream, String> {
    let (folder, _) = get_directories().into_iter().next().ok_or("no folder was granted")?;
    let file = folder
        .open_at(PathFlags::empty(), path, OpenFlags::empty(), DescriptorFlags::READ)
        .map_err(|code| format!("open: {}", code.name()))?;
    file.read_via_stream(0).map_err(|code| format!("read: {}", code.name()))
}

fn drain(stream: &InputStream) -> Result<String, String> {
    let mut all = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(part) => all.extend(part),
            Err(StreamError::Closed) => return Ok(String::from_utf8_lossy(&all).into_owned()),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}

impl Guest for User {
    fn given(path: String) -> Result<String, String> {
        drain(&hand::give(&path)?)
    }

    fn taken(path: String) -> Result<u64, String> {
        hand::take(open(&path)?)
    }

    fn sipped(path: String) -> Result<String, String> {
        let stream = open(&path)?;
        let mut all = hand::sip(&stream, 3)?;
        all.extend(hand::sip(&stream, 3)?);
        Ok(format!("{}{}", String::from_utf8_lossy(&all), drain(&stream)?))
    }

    fn echoed(path: String) -> Result<String, String> {
        drain(&hand::echo(open(&path)?))
    }

    fn kept(path: String, count: u32) -> Result<u32, String> {
        for kept in 0..count {
            std::mem::forget(hand::give(&path).map_err(|error| format!("{kept}, then {error}"))?);
        }
        Ok(count)
    }

    fn had(path: String, count: u32) -> Result<u32, String> {
        for _ in 0..count {
            drop(hand::give(&path)?);
        }
        Ok(count)
    }
}

export!(User);
