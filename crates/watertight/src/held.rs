//! What this process holds of the system: memory, mappings, files, threads. Who counts before and after sees what leaks.

use std::{fs, io};

/// What a process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Memory in RAM, in KiB.
    pub rss_kib: u64,
    /// Open files and sockets.
    pub files: u64,
    /// Mappings of memory.
    pub mappings: u64,
    /// Threads.
    pub threads: u64,
}

impl Held {
    /// What this process holds now. It reads some files under `/proc`, and counts none of them.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub fn now() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).ok_or(io::ErrorKind::InvalidData)
        };
        let mappings = fs::read_to_string("/proc/self/maps")?;
        // The folder that is read is open itself.
        let files = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1);
        Ok(Self {
            rss_kib: number("VmRSS:")?,
            files: files as u64,
            mappings: mappings.lines().count() as u64,
            threads: number("Threads:")?,
        })
    }
}
