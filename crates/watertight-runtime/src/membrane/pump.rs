//! Pumps: streams and futures between two stores (WASI 0.3).
//!
//! The readable end that a guest gives away is connected to a bounded channel; in the other store a new stream or future is fed from
//! it. A pump is cut when either side goes: the writer sees its reader dropped, the reader the end of the stream.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::PollSender;
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{
        Destination, FutureAny, FutureConsumer, FutureProducer, FutureReader, Source, StreamAny, StreamConsumer,
        StreamProducer, StreamReader, StreamResult, VecBuffer,
    },
};

use watertight_model::failure::FailureKind;

use super::{
    Frame,
    plan::Payload,
    raw::{Element, Item},
};
use crate::{
    account::{Account, Charge},
    failure::Interrupted,
    host::CellData,
};

/// Chunks in a pump at most, and items in a chunk.
const MAX_CHUNKS: usize = 2;
const MAX_BYTES: usize = 64 << 10;
const MAX_ITEMS: usize = 256;

/// What a stream on its way counts as memory of the cell that gives it: the chunks in the pump, and the one being written there or read.
const PUMP_BYTES: usize = (MAX_CHUNKS + 1) * MAX_BYTES;

/// The readable end of a stream or future, in a store's terms.
#[derive(Debug)]
pub(crate) enum Reader {
    Stream(StreamAny),
    Future(FutureAny),
}

/// A stream or future between two stores.
#[derive(Debug)]
pub(crate) struct Pump {
    from: Mutex<mpsc::Receiver<Chunk>>,
    future: bool,
    /// Both ends have it: the last one gives it back.
    room: Option<Arc<Charge>>,
}

/// Items on their way.
#[derive(Debug)]
pub(crate) enum Chunk {
    Bytes(Vec<u8>),
    Values(Vec<Frame>),
}

/// How many ends of pumps a store has: a cell whose call has returned runs on until there are none.
#[derive(Debug, Default)]
pub(crate) struct Pumps {
    open: AtomicUsize,
    closed: Notify,
}

/// One end of a pump is open.
#[derive(Debug)]
struct Open(Arc<Pumps>);

impl Pumps {
    fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    pub(crate) fn any(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Waits for one of them to close.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.closed.notify_one();
    }
}

/// Runs `$run` with `$item` as the type that stands for elements of a payload.
macro_rules! by_payload {
    ($payload:expr, $item:ident => $run:expr) => {
        match $payload {
            Payload { byte: true, .. } => {
                type $item = u8;
                $run
            }
            Payload { size: 1, align: 1, .. } => by_payload!(@ $item, 1, 1 => $run),
            Payload { size: 2, align: 1, .. } => by_payload!(@ $item, 2, 1 => $run),
            Payload { size: 2, align: 2, .. } => by_payload!(@ $item, 2, 2 => $run),
            Payload { size: 4, align: 2, .. } => by_payload!(@ $item, 4, 2 => $run),
            Payload { size: 4, align: 4, .. } => by_payload!(@ $item, 4, 4 => $run),
            Payload { size: 8, align: 4, .. } => by_payload!(@ $item, 8, 4 => $run),
            Payload { size: 8, align: 8, .. } => by_payload!(@ $item, 8, 8 => $run),
            Payload { size: 12, align: 4, .. } => by_payload!(@ $item, 12, 4 => $run),
            Payload { size: 16, align: 4, .. } => by_payload!(@ $item, 16, 4 => $run),
            Payload { size: 16, align: 8, .. } => by_payload!(@ $item, 16, 8 => $run),
            Payload { size: 20, align: 4, .. } => by_payload!(@ $item, 20, 4 => $run),
            Payload { size: 24, align: 4, .. } => by_payload!(@ $item, 24, 4 => $run),
            Payload { size: 24, align: 8, .. } => by_payload!(@ $item, 24, 8 => $run),
            Payload { size: 32, align: 4, .. } => by_payload!(@ $item, 32, 4 => $run),
            Payload { size: 32, align: 8, .. } => by_payload!(@ $item, 32, 8 => $run),
            Payload { size: 40, align: 8, .. } => by_payload!(@ $item, 40, 8 => $run),
            Payload { .. } => Err(wasmtime::Error::msg("no pump carries elements of this size")),
        }
    };
    (@ $item:ident, $size:literal, $align:literal => $run:expr) => {{
        type $item = Element<$size, $align>;
        $run
    }};
}

/// Whether a pump carries elements of this size and alignment: the list above, in one place for load time.
pub(super) fn carries(payload: Payload) -> bool {
    let sized: wasmtime::Result<()> = by_payload!(payload, _Item => Ok(()));
    sized.is_ok()
}

impl Reader {
    /// Connects the end in this store to a pump.
    pub(super) fn connect<T: CellData>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        payload: Payload,
    ) -> wasmtime::Result<Pump> {
        let (to, from) = mpsc::channel(MAX_CHUNKS);
        let open = store.data().core().pumps.open();
        let room = match self {
            Self::Stream(_) => {
                let room = store.data().core().account().charge(PUMP_BYTES);
                Some(Arc::new(room.ok_or(Interrupted { kind: FailureKind::Memory })?))
            }
            // It has one value, which counts by itself.
            Self::Future(_) => None,
        };
        by_payload!(payload, Elements => {
            let outlet =
                Outlet::<Elements> { to: PollSender::new(to), _open: open, _room: room.clone(), items: PhantomData };
            match self {
                Self::Stream(stream) => {
                    stream.clone().try_into_stream_reader::<Elements>()?.pipe(store.as_context_mut(), outlet)?;
                    Ok(Pump { from: Mutex::new(from), future: false, room })
                }
                Self::Future(future) => {
                    future.clone().try_into_future_reader::<Elements>()?.pipe(store.as_context_mut(), outlet)?;
                    Ok(Pump { from: Mutex::new(from), future: true, room })
                }
            }
        })
    }
}

impl Pump {
    /// Feeds a new stream or future of this store from the pump.
    pub(super) fn connect<T: CellData>(
        self,
        store: &mut StoreContextMut<'_, T>,
        payload: Payload,
    ) -> wasmtime::Result<Reader> {
        let open = store.data().core().pumps.open();
        let from = self.from.into_inner();
        by_payload!(payload, Elements => {
            let inlet = Inlet::<Elements> { from, _open: open, _room: self.room, items: PhantomData };
            if self.future {
                let reader = FutureReader::new(store.as_context_mut(), inlet)?;
                Ok(Reader::Future(reader.try_into_future_any(store.as_context_mut())?))
            } else {
                let reader = StreamReader::new(store.as_context_mut(), inlet)?;
                Ok(Reader::Stream(reader.try_into_stream_any(store.as_context_mut())?))
            }
        })
    }
}

/// Takes items out of a store.
struct Outlet<I> {
    to: PollSender<Chunk>,
    _open: Open,
    _room: Option<Arc<Charge>>,
    items: PhantomData<fn() -> I>,
}

impl<T: CellData, I: Item> StreamConsumer<T> for Outlet<I> {
    type Item = I;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, T>,
        mut source: Source<'_, I>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        match self.to.poll_reserve(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Ready(Ok(())) => {}
        }
        let ready = source.remaining(store.as_context_mut()).min(I::MOST);
        if ready > 0 {
            let items = read(&mut source, &mut store, ready)?;
            // The receiver may have gone since the place was reserved; the next poll sees it.
            let _ = self.to.send_item(I::chunk(items));
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Reads up to `most` items, and no more once they are large: a guest can name the same megabyte in each.
fn read<T: CellData, I: Item>(
    source: &mut Source<'_, I>,
    store: &mut StoreContextMut<'_, T>,
    most: usize,
) -> wasmtime::Result<Vec<I>> {
    let (mut items, mut bytes) = (Vec::new(), 0);
    while items.len() < most && bytes < MAX_BYTES {
        let mut batch = Vec::with_capacity(I::BATCH.min(most - items.len()));
        source.read(store.as_context_mut(), &mut batch)?;
        if batch.is_empty() {
            break;
        }
        bytes += batch.iter().map(I::bytes).sum::<usize>();
        batch.iter_mut().try_for_each(|item| item.charge(store.data().core().account()))?;
        items.append(&mut batch);
    }
    Ok(items)
}

impl<T: CellData, I: Item> FutureConsumer<T> for Outlet<I> {
    type Item = I;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, T>,
        mut source: Source<'_, I>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut items = Vec::with_capacity(1);
        source.read(store.as_context_mut(), &mut items)?;
        items.iter_mut().try_for_each(|item: &mut I| item.charge(store.data().core().account()))?;
        if matches!(self.to.poll_reserve(cx), Poll::Ready(Ok(()))) {
            let _ = self.to.send_item(I::chunk(items));
        }
        Poll::Ready(Ok(()))
    }
}

/// Puts items into a store.
struct Inlet<I> {
    from: mpsc::Receiver<Chunk>,
    _open: Open,
    _room: Option<Arc<Charge>>,
    items: PhantomData<fn() -> I>,
}

impl<T: CellData, I: Item> StreamProducer<T> for Inlet<I> {
    type Item = I;
    type Buffer = VecBuffer<I>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, T>,
        mut destination: Destination<'a, I, VecBuffer<I>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(store.as_context_mut()) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        match self.from.poll_recv(cx) {
            Poll::Ready(Some(chunk)) => {
                destination.set_buffer(I::items(chunk).into());
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(None) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The writer of a future is gone, and nothing will ever come: its reader cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("a future was dropped by the other side before it had a value")]
struct FutureCut;

impl<T: CellData, I: Item> FutureProducer<T> for Inlet<I> {
    type Item = I;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'_, T>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<I>>> {
        match self.from.poll_recv(cx) {
            Poll::Ready(Some(chunk)) => match I::items(chunk).pop() {
                Some(item) => Poll::Ready(Ok(Some(item))),
                None => Poll::Ready(Err(FutureCut.into())),
            },
            Poll::Ready(None) => Poll::Ready(Err(FutureCut.into())),
            Poll::Pending if finish => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Item for u8 {
    const MOST: usize = MAX_BYTES;
    const BATCH: usize = MAX_BYTES;

    fn bytes(&self) -> usize {
        1
    }

    fn charge(&mut self, _: &Arc<Account>) -> Result<(), Interrupted> {
        Ok(())
    }

    fn chunk(items: Vec<Self>) -> Chunk {
        Chunk::Bytes(items)
    }

    fn items(chunk: Chunk) -> Vec<Self> {
        match chunk {
            Chunk::Bytes(bytes) => bytes,
            Chunk::Values(_) => Vec::new(),
        }
    }
}

impl<const SIZE: usize, const ALIGN: u32> Item for Element<SIZE, ALIGN> {
    const MOST: usize = MAX_ITEMS;
    const BATCH: usize = 1;

    fn bytes(&self) -> usize {
        self.0.bytes.len()
    }

    fn charge(&mut self, account: &Arc<Account>) -> Result<(), Interrupted> {
        self.0.charge(account)
    }

    fn chunk(items: Vec<Self>) -> Chunk {
        Chunk::Values(items.into_iter().map(|item| item.0).collect())
    }

    fn items(chunk: Chunk) -> Vec<Self> {
        match chunk {
            Chunk::Values(frames) => frames.into_iter().map(Self).collect(),
            Chunk::Bytes(_) => Vec::new(),
        }
    }
}
