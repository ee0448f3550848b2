//! Opens its first folder `n` times and keeps every handle (0: until it is refused); says how far it came.

wit_bindgen::generate!({ path: "../../../wit", world: "behave-wasi", generate_all });

use wasi::filesystem::preopens::get_directories;
use wasi::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

fn act(n: u32) -> Result<u32, String> {
    let (folder, _) = get_directories().into_iter().next().ok_or("no folder was granted")?;
    let mut kept = Vec::new();
    while n == 0 || kept.len() < n as usize {
        match folder.open_at(PathFlags::empty(), ".", OpenFlags::DIRECTORY, DescriptorFlags::READ) {
            Ok(descriptor) => kept.push(descriptor),
            Err(code) => return Err(format!("{} opened, then {}", kept.len(), code.name())),
        }
    }
    Ok(n)
}

doors::doors!(act);
