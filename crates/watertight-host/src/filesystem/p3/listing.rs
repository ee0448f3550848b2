//! A stream of the entries of a folder.

use std::{
    fs::File,
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustix::fs::FileType;
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{Destination, StreamProducer, StreamResult},
};
use wasmtime_wasi::{
    p2::bindings::filesystem::types as p2,
    p3::bindings::filesystem::types::{DescriptorType, DirectoryEntry},
};
use watertight_runtime::Charge;

use super::{newer, stream::End};
use crate::{cell::HostCell, filesystem::entries::Entries};

/// Reads the folder when the guest first wants an entry.
pub(super) struct Listing {
    state: State,
    end: Option<oneshot::Sender<End>>,
}

enum State {
    Unread(Option<(Arc<File>, Charge)>),
    Reading(JoinHandle<Result<Entries, p2::ErrorCode>>),
    Read(Entries),
}

impl Listing {
    /// `charge` grows with what is read.
    pub(super) fn new(folder: Arc<File>, charge: Charge, end: oneshot::Sender<End>) -> Self {
        Self { state: State::Unread(Some((folder, charge))), end: Some(end) }
    }

    fn end(&mut self, end: Result<(), p2::ErrorCode>) -> Poll<wasmtime::Result<StreamResult>> {
        if let Some(tell) = self.end.take() {
            // The guest may have dropped the future: nobody asks then.
            let _ = tell.send(end.map_err(newer));
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl StreamProducer<HostCell> for Listing {
    type Item = DirectoryEntry;
    type Buffer = Option<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, HostCell>,
        mut destination: Destination<'a, DirectoryEntry, Option<DirectoryEntry>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(store.as_context_mut()) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Unread(folder) => {
                    let Some((folder, charge)) = folder.take() else { return this.end(Err(p2::ErrorCode::Io)) };
                    this.state = State::Reading(spawn_blocking(move || Entries::read(&folder, charge)));
                }
                State::Reading(task) => match (Pin::new(task).poll(cx), finish) {
                    // It ends by itself, and is there the next time.
                    (Poll::Pending, true) => return Poll::Ready(Ok(StreamResult::Cancelled)),
                    (Poll::Pending, false) => return Poll::Pending,
                    (Poll::Ready(read), _) => match read? {
                        Ok(entries) => this.state = State::Read(entries),
                        Err(code) => return this.end(Err(code)),
                    },
                },
                State::Read(entries) => {
                    return match entries.next() {
                        Ok(Some((kind, name))) => {
                            destination.set_buffer(Some(DirectoryEntry { type_: descriptor_type(kind), name }));
                            Poll::Ready(Ok(StreamResult::Completed))
                        }
                        Ok(None) => this.end(Ok(())),
                        Err(code) => this.end(Err(code)),
                    };
                }
            }
        }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let _ = self.end(Ok(()));
    }
}

fn descriptor_type(kind: FileType) -> DescriptorType {
    match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::Unknown => DescriptorType::Other(None),
    }
}
