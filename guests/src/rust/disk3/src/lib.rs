//! Does to files what it is told, over WASI 0.3, and says of each step what came of it: the steps are those of `disk`, but for `write`.

wit_bindgen::generate!({ path: "../../../wit-async", world: "disk3", generate_all });

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use exports::watertight::later::disk::Guest;
use wasi::filesystem::{
    preopens::get_directories,
    types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags},
};

struct Disk;

thread_local! {
    static OPEN: RefCell<HashMap<String, Rc<Descriptor>>> = RefCell::default();
}

type Said = Result<String, String>;

/// In the words of WASI 0.2.
fn failed(code: ErrorCode) -> String {
    let name = match code {
        ErrorCode::Quota => "quota",
        ErrorCode::Exist => "exist",
        ErrorCode::NoEntry => "no-entry",
        ErrorCode::CrossDevice => "cross-device",
        ErrorCode::NotEmpty => "not-empty",
        ErrorCode::NotPermitted => "not-permitted",
        ErrorCode::InsufficientSpace => "insufficient-space",
        ErrorCode::InsufficientMemory => "insufficient-memory",
        ErrorCode::FileTooLarge => "file-too-large",
        other => return format!("{other:?}"),
    };
    name.to_owned()
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

async fn open(path: &str, letters: &str) -> Result<Descriptor, String> {
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
    folder.open_at(PathFlags::SYMLINK_FOLLOW, inside, how, flags).await.map_err(failed)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn named(name: &str) -> Result<Rc<Descriptor>, String> {
    OPEN.with_borrow(|open| open.get(name).cloned()).ok_or_else(|| format!("{name} is not open"))
}

/// Writes all, as far as it is taken.
async fn pour(file: &Descriptor, offset: Option<u64>, count: u64) -> Said {
    let (mut writer, reader) = wit_stream::new();
    let end = match offset {
        Some(offset) => file.write_via_stream(reader, offset),
        None => file.append_via_stream(reader),
    };
    writer.write_all(vec![b'x'; count as usize]).await;
    drop(writer);
    done(end.await)
}

async fn step(line: &str) -> Said {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["open", name, path, letters] => {
            let file = open(path, letters).await?;
            OPEN.with_borrow_mut(|open| open.insert(name.to_owned(), Rc::new(file)));
            Ok("ok".to_owned())
        }
        ["close", name] => {
            let closed = OPEN.with_borrow_mut(|open| open.remove(name));
            closed.map(|_| "ok".to_owned()).ok_or_else(|| format!("{name} is not open"))
        }
        ["stream", name, offset, count] => pour(&*named(name)?, Some(number(offset)?), number(count)?).await,
        ["append", name, count] => pour(&*named(name)?, None, number(count)?).await,
        ["size", name, size] => done(named(name)?.set_size(number(size)?).await),
        ["mkdir", path] => {
            let (at, path) = folder(path)?;
            done(at.create_directory_at(path).await)
        }
        ["rmdir", path] => {
            let (at, path) = folder(path)?;
            done(at.remove_directory_at(path).await)
        }
        ["unlink", path] => {
            let (at, path) = folder(path)?;
            done(at.unlink_file_at(path).await)
        }
        ["stat", path] => {
            let (at, path) = folder(path)?;
            at.stat_at(PathFlags::empty(), path).await.map(|found| found.size.to_string()).map_err(failed)
        }
        ["rename", from, to] => {
            let ((from, old), (to, new)) = (folder(from)?, folder(to)?);
            done(from.rename_at(old, &to, new).await)
        }
        ["link", from, to] => {
            let ((from, old), (to, new)) = (folder(from)?, folder(to)?);
            done(from.link_at(PathFlags::empty(), old, &to, new).await)
        }
        ["symlink", text, path] => {
            let (at, path) = folder(path)?;
            done(at.symlink_at(text.to_owned(), path).await)
        }
        ["many", count, path] => {
            for made in 0..number(count)? {
                if let Err(error) = open(&format!("{path}{made}"), "xw").await {
                    return Ok(format!("{made} {error}"));
                }
            }
            Ok(count.to_owned())
        }
        _ => Err(format!("no step: {line}")),
    }
}

impl Guest for Disk {
    async fn run(script: Vec<String>) -> Vec<String> {
        let mut said = Vec::new();
        for line in script {
            said.push(step(&line).await.unwrap_or_else(|error| error));
        }
        said
    }
}

export!(Disk);
