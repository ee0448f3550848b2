//! What the runtime asks of its host: state for every cell, functions for every linker, and which resources may move.
//!
//! The runtime knows nothing of WASI: `watertight-host` implements these traits for it, and the tests implement them for bare cells.

use std::any::Any;

use wasmtime::component::{Linker, Resource, ResourceTable, ResourceTableError, ResourceType};
use watertight_model::{app::Component, usage::DiskUsage};

use crate::cell::CellCore;

/// The state in a cell's store. It wraps the runtime's own part, [`CellCore`].
pub trait CellData: Send + Sized + 'static {
    /// The runtime's part.
    fn core(&self) -> &CellCore<Self>;
    /// The runtime's part, to change.
    fn core_mut(&mut self) -> &mut CellCore<Self>;
    /// The table of host resources that guests of this store hold handles to.
    fn table(&mut self) -> &mut ResourceTable;

    /// What the guest wrote last to its standard streams, for a postmortem.
    fn log_tail(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// The host of an app: what its components can reach besides each other.
pub trait Host<T: CellData>: Send + Sync + 'static {
    /// Defines in `linker` every function that `component` may import from the host. Called once for each component of an app.
    ///
    /// # Errors
    /// When a definition clashes with another one in the linker.
    fn link(&self, component: &Component, linker: &mut Linker<T>) -> wasmtime::Result<()>;

    /// Makes the state of one fresh cell, with this component's grants and nothing else.
    ///
    /// # Errors
    /// When a grant cannot be had any more, such as a folder that is gone.
    fn furnish(&self, component: &Component, core: CellCore<T>) -> wasmtime::Result<T>;

    /// What lies in the folders that guests write to.
    fn disks(&self) -> Vec<DiskUsage> {
        Vec::new()
    }

    /// The host resources that may cross a membrane, moving from one table to the other.
    fn resources(&self) -> &[HostResource];
}

/// An entry out of its table.
pub(crate) type Taken = Box<dyn Any + Send>;

/// A host resource type that may cross a membrane.
#[derive(Clone, Copy, Debug)]
pub struct HostResource {
    /// Its WIT name, for messages: `wasi:io/streams/input-stream`.
    pub name: &'static str,
    pub(crate) ty: ResourceType,
    pub(crate) take: fn(&mut ResourceTable, u32) -> Result<Taken, ResourceTableError>,
    pub(crate) put: fn(&mut ResourceTable, Taken) -> Result<u32, ResourceTableError>,
    /// What the host keeps with it at most.
    pub(crate) buffers: usize,
}

impl HostResource {
    /// The resource whose table entries have the Rust type `R`.
    #[must_use]
    pub fn of<R: Send + 'static>(name: &'static str) -> Self {
        Self { name, ty: ResourceType::host::<R>(), take: take::<R>, put: put::<R>, buffers: 0 }
    }

    /// The same, counting as so many bytes of memory of the cell that it was given to: what the host keeps with it counted for the cell that
    /// made it, which may be gone long before.
    #[must_use]
    pub fn with_buffers(self, bytes: usize) -> Self {
        Self { buffers: bytes, ..self }
    }
}

/// Takes one entry out of a table. It fails, leaving the table as it was, when the entry still has children there.
fn take<R: Send + 'static>(table: &mut ResourceTable, rep: u32) -> Result<Taken, ResourceTableError> {
    Ok(Box::new(table.delete(Resource::<R>::new_own(rep))?))
}

fn put<R: Send + 'static>(table: &mut ResourceTable, entry: Taken) -> Result<u32, ResourceTableError> {
    let entry = entry.downcast::<R>().map_err(|_| ResourceTableError::WrongType)?;
    Ok(table.push(*entry)?.rep())
}
