//! Following a stream of WASI 0.3 to its end, by the future that WASI returns beside it: what is kept for the stream goes then, and the
//! guest gets a future of its own.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{ComponentType, FutureConsumer, FutureReader, Lift, Lower, Source},
};

use crate::cell::HostCell;

/// Keeps `kept` until `end` is told, and hands that on.
pub(crate) fn follow<K, E>(
    mut store: StoreContextMut<'_, HostCell>,
    end: FutureReader<E>,
    kept: K,
) -> wasmtime::Result<FutureReader<E>>
where
    K: Send + Unpin + 'static,
    E: ComponentType + Lift + Lower + Send + Sync + Unpin + 'static,
{
    let (tell, told) = oneshot::channel();
    end.pipe(store.as_context_mut(), Follower { ends: Some((kept, tell)) })?;
    FutureReader::new(store, told)
}

struct Follower<K, E> {
    ends: Option<(K, oneshot::Sender<E>)>,
}

impl<K, E> FutureConsumer<HostCell> for Follower<K, E>
where
    K: Send + Unpin + 'static,
    E: Lift + Send + Unpin + 'static,
{
    type Item = E;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, HostCell>,
        mut source: Source<'_, E>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut end = None;
        source.read(store, &mut end)?;
        if let (Some((kept, tell)), Some(end)) = (self.ends.take(), end) {
            drop(kept);
            // The guest may have dropped the future: nobody asks then.
            let _ = tell.send(end);
        }
        Poll::Ready(Ok(()))
    }
}
