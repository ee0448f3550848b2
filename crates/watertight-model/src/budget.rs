//! Budgets: what one component may spend. There is no unlimited one (invariant 5).

use std::{fmt, time::Duration};

/// The limits of one component. Memory, log, files, sockets and requests are per cell; cpu and deadline per call tree and call;
/// concurrency and queue per worker process.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Budget {
    /// The sum over a cell's linear memories, tables and GC heap, and what the host keeps for it: buffers, bodies, headers, frames.
    #[serde(rename = "memory_bytes")]
    pub memory: ByteSize,
    /// Time spent running guest code, for one cell in one call tree.
    #[serde(rename = "cpu_ms", serialize_with = "crate::budget::millis")]
    pub cpu: Duration,
    /// Cpu after which it goes on at lower priority: of one cell in one call tree, and of the whole call tree that begins with it.
    #[serde(rename = "slice_ms", serialize_with = "crate::budget::millis")]
    pub slice: Duration,
    /// Time on the clock for one call, from admission to answer.
    #[serde(rename = "deadline_ms", serialize_with = "crate::budget::millis")]
    pub deadline: Duration,
    /// Cells of this component running a call at once, per worker.
    pub concurrency: u32,
    /// Calls that may wait for one of those, per worker.
    pub queue: u32,
    /// Bytes one cell may write to stdout, stderr and logs.
    #[serde(rename = "log_bytes")]
    pub log: ByteSize,
    /// Files and folders one cell may hold open.
    pub files: u32,
    /// Sockets one cell may hold open.
    pub sockets: u32,
    /// Outbound HTTP requests one cell may have in flight.
    pub requests: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(64),
            cpu: Duration::from_millis(500),
            slice: Duration::from_millis(10),
            deadline: Duration::from_secs(5),
            concurrency: 256,
            queue: 1024,
            log: ByteSize::mib(1),
            files: 64,
            sockets: 16,
            requests: 16,
        }
    }
}

impl Budget {
    /// What a script without a manifest may spend: an interpreter needs more than a component that was compiled.
    #[must_use]
    pub fn of_script() -> Self {
        Self {
            memory: ByteSize::mib(256),
            cpu: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
            ..Self::default()
        }
    }
}

/// A number of bytes, written as `64MiB`, `1GiB`, `512KiB`, `4096B`, or decimal `10MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many mebibytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The number as a `usize`, saturating.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        match bytes {
            0 => f.write_str("0B"),
            n if n % (1 << 40) == 0 => write!(f, "{}TiB", n >> 40),
            n if n % (1 << 30) == 0 => write!(f, "{}GiB", n >> 30),
            n if n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n if n % (1 << 10) == 0 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

pub(crate) fn millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1000.0)
}
