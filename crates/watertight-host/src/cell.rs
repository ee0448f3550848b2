//! The state of a cell: the runtime's part, and each capability's.

use std::{collections::HashMap, sync::Arc};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use watertight_model::usage::CellUsage;
use watertight_runtime::{CellCore, CellData, Holdings};

use crate::{
    filesystem::{Files, OpenFiles},
    http::held::Messages,
    logging::Log,
    outbound::Outbound,
    sockets::{Sockets, Spent},
    stdio::Tail,
};

/// The state in a cell's store: what the guest may reach, and what it holds of it.
pub struct HostCell {
    pub(crate) core: CellCore<Self>,
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) wasi_http: WasiHttpCtx,
    pub(crate) outbound: Outbound,
    pub(crate) files: Files,
    pub(crate) sockets: Arc<Sockets>,
    /// Told to who asks, for as long as the cell lives.
    pub(crate) _held: Arc<Held>,
    pub(crate) messages: Messages,
    /// For each connected socket of WASI 0.3, by its handle: held by its streams.
    pub(crate) streams: HashMap<u32, Arc<()>>,
    pub(crate) tail: Tail,
    pub(crate) log: Log,
}

/// What the host holds for one cell, for whoever asks from outside.
pub(crate) struct Held {
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) sockets: Arc<Sockets>,
}

impl Holdings for Held {
    fn count_into(&self, usage: &mut CellUsage) {
        usage.files = few(self.files.count());
        (usage.sockets, usage.requests) = self.sockets.count();
    }
}

fn few(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl HostCell {
    /// Whether one more socket fits into the budget; reported when not.
    pub(crate) fn socket_fits(&mut self) -> Result<(), Spent> {
        self.recount_sockets();
        self.sockets.room()?;
        if self.has_room() { Ok(()) } else { Err(Spent::Sockets) }
    }

    /// Whether a call that makes up to three handles finds places for them.
    fn has_room(&mut self) -> bool {
        let places = [(); 3].map(|()| self.table.push(()));
        let room = places.iter().all(Result::is_ok);
        for place in places.into_iter().flatten() {
            // It was made just now.
            let _ = self.table.delete(place);
        }
        room
    }

    /// A place for one lookup of a name.
    pub(crate) fn looking_up(&mut self) -> Result<Arc<()>, Spent> {
        self.recount_sockets();
        self.sockets.lookup()
    }

    /// Counts the sockets that the guest holds.
    pub(crate) fn recount_sockets(&mut self) {
        self.sockets.recount(&mut self.table);
    }
}

impl std::fmt::Debug for HostCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostCell").field("core", &self.core).finish_non_exhaustive()
    }
}

impl CellData for HostCell {
    fn core(&self) -> &CellCore<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut CellCore<Self> {
        &mut self.core
    }

    fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    fn log_tail(&self) -> Vec<u8> {
        self.tail.last()
    }
}

impl WasiView for HostCell {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for HostCell {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.wasi_http }
    }
}
