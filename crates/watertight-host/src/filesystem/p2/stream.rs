//! The output stream of a file that is counted, in WASI 0.2. One write is on its way at a time; the next one waits for it.

use std::{fs::File, io, mem, sync::Arc};

use bytes::Bytes;
use wasmtime_wasi::{
    async_trait,
    p2::{OutputStream, Pollable, StreamError, StreamResult},
    runtime::{AbortOnDropJoinHandle, spawn_blocking},
};

use crate::filesystem::counted::{self, Offset, Place};

/// Bytes that one write takes at most.
const MAX_WRITE_BYTES: usize = 64 * 1024;

pub(super) struct FileWriter {
    place: Arc<Place>,
    file: Arc<File>,
    offset: Offset,
    state: State,
}

enum State {
    Ready,
    Writing(AbortOnDropJoinHandle<io::Result<usize>>),
    /// The last write failed with this.
    Failed(io::Error),
    Closed,
}

impl FileWriter {
    pub(super) fn new(place: Place, file: Arc<File>, offset: Offset) -> Self {
        Self { place: Arc::new(place), file, offset, state: State::Ready }
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
