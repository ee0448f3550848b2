//! Tries what a guest may do with files, environment, arguments, standard streams, clocks and random numbers, and reports.

wit_bindgen::generate!({ path: "../../../wit", world: "reach-guest", generate_all });

use exports::watertight::test::reach::Guest;
use wasi::cli::{environment, stderr, stdin, stdout};
use wasi::filesystem::preopens::get_directories;
use wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasi::io::streams::{InputStream, OutputStream, StreamError};

struct Reach;

/// The preopened folder that holds the path, and the path inside it.
fn folder(path: &str) -> Result<(Descriptor, String), String> {
    for (descriptor, name) in get_directories() {
        let name = name.trim_end_matches('/');
        if let Some(rest) = path.strip_prefix(name)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            let inside = rest.trim_start_matches('/');
            return Ok((descriptor, if inside.is_empty() { ".".to_owned() } else { inside.to_owned() }));
        }
    }
    Err(format!("no folder holds {path}"))
}

fn open(path: &str, how: OpenFlags, flags: DescriptorFlags) -> Result<Descriptor, String> {
    let (folder, inside) = folder(path)?;
    folder.open_at(PathFlags::SYMLINK_FOLLOW, &inside, how, flags).map_err(|code| format!("open: {}", code.name()))
}

fn drain(stream: &InputStream) -> Result<String, String> {
    let mut all = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(part) => all.extend(part),
            Err(StreamError::Closed) => return Ok(String::from_utf8_lossy(&all).into_owned()),
            Err(StreamError::LastOperationFailed(error)) => return Err(format!("read: {}", error.to_debug_string())),
        }
    }
}

fn print(stream: &OutputStream, text: &str) -> Result<(), String> {
    for part in text.as_bytes().chunks(4096) {
        stream.blocking_write_and_flush(part).map_err(|error| format!("write: {error:?}"))?;
    }
    Ok(())
}

impl Guest for Reach {
    fn env() -> Vec<(String, String)> {
        environment::get_environment()
    }

    fn args() -> Vec<String> {
        environment::get_arguments()
    }

    fn preopens() -> Vec<String> {
        get_directories().into_iter().map(|(_, name)| name).collect()
    }

    fn read(path: String) -> Result<String, String> {
        let file = open(&path, OpenFlags::empty(), DescriptorFlags::READ)?;
        drain(&file.read_via_stream(0).map_err(|code| format!("read: {}", code.name()))?)
    }

    fn write(path: String, text: String) -> Result<(), String> {
        let file = open(&path, OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE)?;
        print(&file.write_via_stream(0).map_err(|code| format!("write: {}", code.name()))?, &text)
    }

    fn entries(path: String) -> Result<Vec<String>, String> {
        let folder = open(&path, OpenFlags::DIRECTORY, DescriptorFlags::READ)?;
        let entries = folder.read_directory().map_err(|code| format!("list: {}", code.name()))?;
        let mut names = Vec::new();
        while let Some(entry) = entries.read_directory_entry().map_err(|code| format!("list: {}", code.name()))? {
            names.push(entry.name);
        }
        names.sort();
        Ok(names)
    }

    fn stdin() -> Result<String, String> {
        drain(&stdin::get_stdin())
    }

    fn stdout(text: String) -> Result<(), String> {
        print(&stdout::get_stdout(), &text)
    }

    fn stderr(text: String) -> Result<(), String> {
        print(&stderr::get_stderr(), &text)
    }

    fn random(bytes: u32) -> Vec<u8> {
        wasi::random::random::get_random_bytes(bytes.into())
    }

    fn wall_clock() -> u64 {
        wasi::clocks::wall_clock::now().seconds
    }

    fn monotonic_clock() -> u64 {
        wasi::clocks::monotonic_clock::now()
    }
}

export!(Reach);
