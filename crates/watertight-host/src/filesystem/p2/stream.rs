//! The output stream of a file that is counted, in WASI 0.2. One write is on its way at a time; the next one waits for it.

use std::{fs::File, io, mem, sync::Arc};

use bytes::Bytes;
use wasmtime_wasi::{
    async_trait,
    p2::{DynInputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult},
    runtime::{AbortOnDropJoinHandle, spawn_blocking},
};

use watertight_runtime::Charge;

use crate::filesystem::{
    STREAM_BYTES,
    counted::{self, Offset, Place},
};

/// Bytes that one write takes at most.
const MAX_WRITE_BYTES: usize = STREAM_BYTES;

pub(super) struct FileWriter {
    place: Arc<Place>,
    file: Arc<File>,
    offset: Offset,
    state: State,
    /// The bytes of the write on its way.
    _buffer: Charge,
}

enum State {
    Ready,
    Writing(AbortOnDropJoinHandle<io::Result<usize>>),
    /// The last write failed with this.
    Failed(io::Error),
    Closed,
}

impl FileWriter {
    /// `buffer` is for [`STREAM_BYTES`].
    pub(super) fn new(place: Place, file: Arc<File>, offset: Offset, buffer: Charge) -> Self {
        Self { place: Arc::new(place), file, offset, state: State::Ready, _buffer: buffer }
    }

    /// The error of the last write, which is told once and closes the stream.
    fn failed(&mut self) -> StreamError {
        match mem::replace(&mut self.state, State::Closed) {
            State::Failed(error) => StreamError::LastOperationFailed(error.into()),
            State::Ready | State::Writing(_) | State::Closed => StreamError::Closed,
        }
    }

    /// Notes how a write ended.
    fn ended(&mut self, written: io::Result<usize>) {
        self.state = match written {
            Ok(written) => {
                if let Offset::At(offset) = &mut self.offset {
                    *offset = offset.saturating_add(written as u64);
                }
                State::Ready
            }
            Err(error) => State::Failed(error),
        };
    }
}

/// Writes all there is, or as much as there is room for before the error.
fn write_all(place: &Place, file: &File, mut offset: Offset, bytes: &[u8]) -> io::Result<usize> {
    let mut total = 0;
    while total < bytes.len() {
        let written = counted::write(place, file, offset, &bytes[total..])?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if let Offset::At(at) = &mut offset {
            *at = at.saturating_add(written as u64);
        }
        total += written;
    }
    Ok(total)
}

#[async_trait]
impl OutputStream for FileWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.state {
            State::Ready if bytes.len() <= MAX_WRITE_BYTES => {
                let (place, file, offset) = (Arc::clone(&self.place), Arc::clone(&self.file), self.offset);
                self.state = State::Writing(spawn_blocking(move || write_all(&place, &file, offset, &bytes)));
                Ok(())
            }
            State::Closed => Err(StreamError::Closed),
            State::Ready | State::Writing(_) | State::Failed(_) => {
                Err(StreamError::Trap(wasmtime::Error::msg("more was written than check-write allowed")))
            }
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        match self.state {
            // A write that has ended is in the file already.
            State::Ready | State::Writing(_) => Ok(()),
            State::Failed(_) | State::Closed => Err(self.failed()),
        }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match self.state {
            State::Ready => Ok(MAX_WRITE_BYTES),
            State::Writing(_) => Ok(0),
            State::Failed(_) | State::Closed => Err(self.failed()),
        }
    }

    async fn cancel(&mut self) {
        // A write that has begun ends; so a guest that drops streams leaves no more of them behind than it had.
        if let State::Writing(task) = mem::replace(&mut self.state, State::Closed) {
            task.cancel().await;
        }
    }
}

#[async_trait]
impl Pollable for FileWriter {
    async fn ready(&mut self) {
        if let State::Writing(task) = &mut self.state {
            let written = task.await;
            self.ended(written);
        }
    }
}

/// An input stream that counts as memory for what it has read ahead.
pub(super) struct Reader {
    pub(super) stream: DynInputStream,
    pub(super) _buffer: Charge,
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.stream.read(size)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.stream.blocking_read(size).await
    }

    fn skip(&mut self, count: usize) -> StreamResult<usize> {
        self.stream.skip(count)
    }

    async fn blocking_skip(&mut self, count: usize) -> StreamResult<usize> {
        self.stream.blocking_skip(count).await
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}
