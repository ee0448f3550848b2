//! What a guest of WASI 0.3 writes to a file that is counted: its stream is read chunk by chunk, one chunk on its way at a time.

use std::{
    fs::File,
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};
use wasmtime::{
    StoreContextMut,
    component::{Source, StreamConsumer, StreamResult},
};
use wasmtime_wasi::p3::bindings::filesystem::types::ErrorCode;

use watertight_runtime::Charge;

use super::newer;
use crate::{
    cell::HostCell,
    filesystem::{
        STREAM_BYTES,
        counted::{self, Offset, Place},
    },
};

/// Bytes that one write takes at most.
const MAX_WRITE_BYTES: usize = STREAM_BYTES;

/// How the writing ended.
pub(super) type End = Result<(), ErrorCode>;

pub(super) struct FileWriter {
    place: Arc<Place>,
    file: Arc<File>,
    offset: Offset,
    buffer: Vec<u8>,
    writing: Option<JoinHandle<(Vec<u8>, io::Result<usize>)>>,
    end: Option<oneshot::Sender<End>>,
    /// The bytes of the write on its way.
    _buffer: Charge,
}

impl FileWriter {
    /// `room` is for [`STREAM_BYTES`].
    pub(super) fn new(place: Place, file: Arc<File>, offset: Offset, end: oneshot::Sender<End>, room: Charge) -> Self {
        let place = Arc::new(place);
        Self { place, file, offset, buffer: Vec::new(), writing: None, end: Some(end), _buffer: room }
    }

    fn end(&mut self, end: End) {
        if let Some(tell) = self.end.take() {
            // The guest may have dropped the future: nobody asks then.
            let _ = tell.send(end);
        }
    }
}

impl StreamConsumer<HostCell> for FileWriter {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, HostCell>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let this = &mut *self;
        if this.writing.is_none() {
            let bytes = source.remaining();
            let mut buffer = std::mem::take(&mut this.buffer);
            buffer.clear();
            buffer.extend_from_slice(&bytes[..bytes.len().min(MAX_WRITE_BYTES)]);
            let (place, file, offset) = (Arc::clone(&this.place), Arc::clone(&this.file), this.offset);
            this.writing = Some(spawn_blocking(move || {
                let written = counted::write(&place, &file, offset, &buffer);
                (buffer, written)
            }));
        }
        let Some(task) = &mut this.writing else { return Poll::Pending };
        if finish {
            // Undone if it has not begun; else it ends, and what it wrote counts as read.
            task.abort();
        }
        let ended = ready!(Pin::new(task).poll(cx));
        this.writing = None;
        match ended {
            Ok((buffer, Ok(written))) => {
                this.buffer = buffer;
                source.mark_read(written);
                if let Offset::At(offset) = &mut this.offset {
                    *offset = offset.saturating_add(written as u64);
                }
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Ok((_, Err(error))) => {
                this.end(Err(newer(counted::code(&error))));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Err(error) if error.is_cancelled() => Poll::Ready(Ok(StreamResult::Cancelled)),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}
