//! Does to files what it is told, over WASI 0.2, and says of each step what came of it.
//!
//! | step | what it does |
//! |---|---|
//! | `open NAME PATH FLAGS` | opens: `c` make, `x` only if new, `t` empty, `r` read, `w` write, `d` a folder |
//! | `close NAME` | closes |
//! | `write NAME OFFSET COUNT` | `descriptor.write`, once; how many went |
//! | `stream NAME OFFSET COUNT`, `append NAME COUNT` | through a stream, all |
//! | `size NAME SIZE` | sets the size |
//! | `mkdir`, `rmdir`, `unlink`, `stat PATH` | a path |
//! | `rename`, `link FROM TO`, `symlink TEXT PATH` | two |
//! | `many COUNT PATH` | makes so many empty files; how many it made |

wit_bindgen::generate!({ path: "../../../wit", world: "disk-guest", generate_all });

use std::{cell::RefCell, collections::HashMap};

use exports::watertight::test::disk::Guest;
use wasi::filesystem::{
    preopens::get_directories,
    types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags, filesystem_error_code},
};
use wasi::io::streams::{OutputStream, StreamError};

struct Disk;

thread_local! {
    static OPEN: RefCell<HashMap<String, Descriptor>> = RefCell::default();
}

type Said = Result<String, String>;

fn failed(code: ErrorCode) -> String {
    code.name().to_owned()
}

fn done(result: Result<(), ErrorCode>) -> Said {
    result.map(|()| "ok".to_owned()).map_err(failed)
}

/// The preopened folder that holds the path, and the path inside it.
fn folder(path: &str) -> Result<(Descriptor, String), String> {
    for (descriptor, name) in get_directories() {
        if let Some(rest) = path.strip_prefix(name.trim_end_matches('/'))
            && (rest.is_empty() || rest.starts_with('/'))
        {
            let inside = rest.trim_start_matches('/');
            return Ok((descriptor, if inside.is_empty() { ".".to_owned() } else { inside.to_owned() }));
        }
    }
    Err(format!("no folder holds {path}"))
}

fn open(path: &str, letters: &str) -> Result<Descriptor, String> {
    let (mut how, mut flags) = (OpenFlags::empty(), DescriptorFlags::empty());
    for letter in letters.chars() {
        match letter {
            'c' => how = how | OpenFlags::CREATE,
            'x' => how = how | OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
            't' => how = how | OpenFlags::TRUNCATE,
            'd' => how = how | OpenFlags::DIRECTORY,
            'r' => flags = flags | DescriptorFlags::READ,
            'w' => flags = flags | DescriptorFlags::WRITE,
            _ => return Err(format!("no flag {letter}")),
        }
    }
    let (folder, inside) = folder(path)?;
    folder.open_at(PathFlags::SYMLINK_FOLLOW, &inside, how, flags).map_err(failed)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn with<R>(name: &str, act: impl FnOnce(&Descriptor) -> Result<R, String>) -> Result<R, String> {
    OPEN.with_borrow(|open| act(open.get(name).ok_or_else(|| format!("{name} is not open"))?))
}

fn stream_error(error: StreamError) -> String {
    match error {
        StreamError::Closed => "closed".to_owned(),
        StreamError::LastOperationFailed(error) => {
            filesystem_error_code(&error).map_or_else(|| error.to_debug_string(), failed)
        }
    }
}

/// Writes as a C library does: as much as may be written at once, then waits for it.
fn pour(stream: &OutputStream, count: u64) -> Said {
    let mut left = count;
    while left > 0 {
        stream.subscribe().block();
        let most = stream.check_write().map_err(stream_error)?.min(left);
        stream.write(&vec![b'x'; most as usize]).map_err(stream_error)?;
        stream.blocking_flush().map_err(stream_error)?;
        left -= most;
    }
    Ok("ok".to_owned())
}

fn step(line: &str) -> Said {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["open", name, path, letters] => {
            let file = open(path, letters)?;
            OPEN.with_borrow_mut(|open| open.insert(name.to_owned(), file));
            Ok("ok".to_owned())
        }
        ["close", name] => {
            let closed = OPEN.with_borrow_mut(|open| open.remove(name));
            closed.map(|_| "ok".to_owned()).ok_or_else(|| format!("{name} is not open"))
        }
        ["write", name, offset, count] => {
            let bytes = vec![b'x'; number(count)? as usize];
            with(name, |file| file.write(&bytes, number(offset)?).map_err(failed)).map(|count| count.to_string())
        }
        ["stream", name, offset, count] => {
            let stream = with(name, |file| file.write_via_stream(number(offset)?).map_err(failed))?;
            pour(&stream, number(count)?)
        }
        ["append", name, count] => {
            let stream = with(name, |file| file.append_via_stream().map_err(failed))?;
            pour(&stream, number(count)?)
        }
        ["size", name, size] => with(name, |file| done(file.set_size(number(size)?))),
        ["mkdir", path] => folder(path).and_then(|(at, path)| done(at.create_directory_at(&path))),
        ["rmdir", path] => folder(path).and_then(|(at, path)| done(at.remove_directory_at(&path))),
        ["unlink", path] => folder(path).and_then(|(at, path)| done(at.unlink_file_at(&path))),
        ["stat", path] => {
            let (at, path) = folder(path)?;
            at.stat_at(PathFlags::empty(), &path).map(|found| found.size.to_string()).map_err(failed)
        }
        ["rename", from, to] => {
            let ((from, old), (to, new)) = (folder(from)?, folder(to)?);
            done(from.rename_at(&old, &to, &new))
        }
        ["link", from, to] => {
            let ((from, old), (to, new)) = (folder(from)?, folder(to)?);
            done(from.link_at(PathFlags::empty(), &old, &to, &new))
        }
        ["symlink", text, path] => folder(path).and_then(|(at, path)| done(at.symlink_at(text, &path))),
        ["many", count, path] => {
            for made in 0..number(count)? {
                if let Err(error) = open(&format!("{path}{made}"), "xw") {
                    return Ok(format!("{made} {error}"));
                }
            }
            Ok(count.to_owned())
        }
        _ => Err(format!("no step: {line}")),
    }
}

impl Guest for Disk {
    fn run(script: Vec<String>) -> Vec<String> {
        script.iter().map(|line| step(line).unwrap_or_else(|error| error)).collect()
    }
}

export!(Disk);
