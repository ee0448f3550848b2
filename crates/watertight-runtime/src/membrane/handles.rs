//! Handles on their way through the membrane: packed in one store's terms into parcels, unpacked in the other's.
//!
//! A handle to a resource that another cell made is a proxy: the holder's store has a host resource whose representation is an
//! index into the holder's own list of proxies, so that no guest can name what it was not given. `own` moves the entry, `borrow`
//! lends it for one call, dropping the proxy drops the original, and when the maker dies the proxy leads nowhere. A host
//! resource moves from one store's table to the other's. A stream or future becomes a pump.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use wasmtime::{
    AsContextMut as _, Store, StoreContextMut,
    component::{Accessor, Resource, ResourceAny, ResourceType},
};
use watertight_model::{
    app::{ComponentId, Lifetime},
    event::CellId,
    failure::FailureKind,
    trace::SpanId,
};

use super::{
    Frame, Malformed, host_resource,
    plan::Payload,
    pump::{self, Pump},
};
use crate::{
    account::Charge,
    cell::{CellCore, MAX_PROXIES_PER_CELL},
    clock::Moment,
    failure::Interrupted,
    host::{CellData, Taken},
    tree::Tree,
};

/// A handle in a frame.
#[derive(Debug)]
pub(crate) enum Handle {
    /// In a store's terms: a resource that the component of this store made.
    Guest { resource: ResourceAny, owned: bool },
    /// In a store's terms: a proxy, by its index in the cell's list of them.
    Proxy { rep: u32, owned: bool },
    /// In a store's terms: a host resource, by its index in the store's resource table.
    Host { rep: u32, owned: bool, ty: ResourceType },
    /// In a store's terms: the readable end of a stream or future.
    Reader(pump::Reader, Payload),
    /// Between two stores.
    Parcel(Parcel),
}

/// A handle between two stores.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// A resource, wherever it lives.
    Resource { passing: Passing, owned: bool },
    /// A host resource, taken out of its table.
    Host { entry: Entry, owned: bool },
    /// A stream or future.
    Pump(Pump, Payload),
}

/// A resource that lives in another cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxy {
    /// The component that made it.
    pub(crate) component: ComponentId,
    /// The cell that made it.
    pub(crate) cell: CellId,
    /// The handle in that cell's store.
    pub(crate) resource: ResourceAny,
}

/// A resource on its way. One that was given away and never arrives is dropped by its maker: when a call fails before its arguments are
/// there, or nobody is left to take its results.
#[derive(Debug)]
pub(crate) struct Passing {
    proxy: Proxy,
    /// Who sees to that. None where the maker goes with the call tree, or keeps the resource anyway.
    undertaker: Option<Weak<dyn Undertaker>>,
}

/// Has makers drop what nobody holds any more.
pub(crate) trait Undertaker: Send + Sync {
    fn bury(&self, proxy: Proxy);
}

impl Passing {
    fn of<T: CellData>(proxy: Proxy, owned: bool, core: &CellCore<T>) -> Self {
        let undertaker = match &core.tree {
            Some(tree) if owned && tree.app.spec(proxy.component).lifetime == Lifetime::Resident => {
                Some(Arc::downgrade(&tree.app) as Weak<dyn Undertaker>)
            }
            _ => None,
        };
        Self { proxy, undertaker }
    }

    fn arrived(mut self) -> Proxy {
        self.undertaker = None;
        self.proxy
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Some(undertaker) = self.undertaker.take().and_then(|undertaker| undertaker.upgrade()) {
            undertaker.bury(self.proxy);
        }
    }
}

/// A host resource out of its table.
#[derive(Debug)]
pub(crate) struct Entry {
    ty: ResourceType,
    value: Mutex<Taken>,
}

/// Access to a store, from within a call of its guest or while its guest is at rest.
pub(crate) trait StoreAccess<T: CellData> {
    fn with<R>(&mut self, run: impl FnOnce(StoreContextMut<'_, T>) -> R) -> R;

    /// Which component the cell is of.
    fn component(&mut self) -> ComponentId {
        self.with(|store| store.data().core().component())
    }

    /// The call tree that the cell runs in, and its own deadline.
    fn tree(&mut self) -> wasmtime::Result<(Arc<Tree<T>>, Moment)> {
        self.with(|store| {
            let core = store.data().core();
            let tree = core.tree.as_ref().ok_or_else(|| wasmtime::Error::msg("a cell at rest made a call"))?;
            Ok((Arc::clone(tree), core.deadline))
        })
    }

    /// The span that the guest works in that calls now.
    fn span(&mut self) -> SpanId {
        self.with(|mut store| {
            if !store.data().core().has_tasks_apart() {
                return store.data().core().span();
            }
            // Who called it, from the youngest on.
            let stack: Vec<_> = store.async_call_stack().map(Iterator::collect).unwrap_or_default();
            let core = store.data().core();
            stack.into_iter().find_map(|task| core.span_of(task)).unwrap_or_else(|| core.span())
        })
    }
}

impl<T: CellData> StoreAccess<T> for StoreContextMut<'_, T> {
    fn with<R>(&mut self, run: impl FnOnce(StoreContextMut<'_, T>) -> R) -> R {
        run(self.as_context_mut())
    }
}

impl<T: CellData> StoreAccess<T> for Store<T> {
    fn with<R>(&mut self, run: impl FnOnce(StoreContextMut<'_, T>) -> R) -> R {
        run(self.as_context_mut())
    }
}

impl<T: CellData> StoreAccess<T> for &Accessor<T> {
    fn with<R>(&mut self, run: impl FnOnce(StoreContextMut<'_, T>) -> R) -> R {
        Accessor::with(*self, |mut access| run(access.as_context_mut()))
    }
}

/// Where the host resources that a caller lent belong in its table, in the order in which they were taken.
pub(crate) type Borrowed = Vec<u32>;

/// What a callee has only for the call.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    proxies: Vec<usize>,
    host: Vec<(ResourceType, u32)>,
    /// What it did not come to have, because another handle could not be unpacked.
    unopened: Vec<Entry>,
}

impl Lent {
    /// Whether there is anything that a caller misses.
    pub(crate) fn any(&self) -> bool {
        !self.proxies.is_empty() || !self.host.is_empty()
    }
}

/// The cell of a component that made a resource among a frame's handles: of several residents, a call has to go to that one.
pub(crate) fn maker<T: CellData>(
    frame: &Frame,
    store: &mut impl StoreAccess<T>,
    component: ComponentId,
) -> Option<CellId> {
    frame.handles.iter().find_map(|handle| {
        let Handle::Proxy { rep, .. } = handle else { return None };
        let proxy = store.with(|store| store.data().core().proxies.get(*rep as usize).copied())?;
        (proxy.component == component).then_some(proxy.cell)
    })
}

/// Packs the handles of a frame that was lifted from this store.
pub(crate) fn pack<T: CellData>(frame: &mut Frame, store: &mut impl StoreAccess<T>) -> Result<Borrowed, FailureKind> {
    let mut borrowed = Vec::new();
    let packed = pack_all(frame, store, &mut borrowed);
    if let Err(kind) = packed {
        restore(borrowed, lent_in(frame), store)?;
        discard(frame, store);
        return Err(kind);
    }
    Ok(borrowed)
}

/// Takes the host resources that are only lent out of a frame.
fn lent_in(frame: &mut Frame) -> Vec<Entry> {
    let taken = frame.handles.iter_mut().filter_map(|handle| {
        if !matches!(handle, Handle::Parcel(Parcel::Host { owned: false, .. })) {
            return None;
        }
        match std::mem::replace(handle, OPENED) {
            Handle::Parcel(Parcel::Host { entry, .. }) => Some(entry),
            Handle::Guest { .. }
            | Handle::Proxy { .. }
            | Handle::Host { .. }
            | Handle::Reader(..)
            | Handle::Parcel(_) => None,
        }
    });
    taken.collect()
}

/// Stands in a frame for a parcel that was opened; nobody looks at it.
const OPENED: Handle = Handle::Proxy { rep: u32::MAX, owned: false };

/// Drops what a frame in this store's terms gives away, and nobody will get: its guest has the handles no more.
pub(crate) fn discard<T: CellData>(frame: &mut Frame, store: &mut impl StoreAccess<T>) {
    for handle in std::mem::take(&mut frame.handles) {
        store.with(|mut store| match handle {
            Handle::Guest { resource, owned: true } => {
                let core = store.data().core();
                let proxy = Proxy { component: core.component(), cell: core.id(), resource };
                drop(Passing::of(proxy, true, core));
            }
            Handle::Proxy { rep, owned: true } => {
                if let Some(proxy) = take(store.data_mut().core_mut(), rep, true) {
                    drop(Passing::of(proxy, true, store.data().core()));
                }
            }
            // One that is in use there stays.
            Handle::Host { rep, owned: true, ty } => drop(Entry::take(store.data_mut(), ty, rep)),
            // Its writer sees the reader go.
            Handle::Reader(reader, payload) => drop(reader.connect(&mut store, payload)),
            Handle::Guest { .. } | Handle::Proxy { .. } | Handle::Host { .. } | Handle::Parcel(_) => {}
        });
    }
}

fn pack_all<T: CellData>(
    frame: &mut Frame,
    store: &mut impl StoreAccess<T>,
    borrowed: &mut Borrowed,
) -> Result<(), FailureKind> {
    for handle in &mut frame.handles {
        let parcel = store.with(|mut store| match handle {
            Handle::Guest { resource, owned } => {
                let core = store.data().core();
                let proxy = Proxy { component: core.component(), cell: core.id(), resource: *resource };
                Ok(Parcel::Resource { passing: Passing::of(proxy, *owned, core), owned: *owned })
            }
            Handle::Proxy { rep, owned } => {
                let core = store.data_mut().core_mut();
                let proxy = take(core, *rep, *owned).ok_or(FailureKind::DeadHandle)?;
                Ok(Parcel::Resource { passing: Passing::of(proxy, *owned, core), owned: *owned })
            }
            Handle::Host { rep, owned, ty } => {
                let entry = Entry::take(store.data_mut(), *ty, *rep)?;
                if !*owned {
                    keep_place(store.data_mut(), *rep)?;
                    borrowed.push(*rep);
                }
                Ok(Parcel::Host { entry, owned: *owned })
            }
            Handle::Reader(reader, payload) => {
                let pump =
                    reader.connect(&mut store, *payload).map_err(|error| failed(&error, FailureKind::BadValue))?;
                Ok(Parcel::Pump(pump, *payload))
            }
            Handle::Parcel(_) => Err(FailureKind::Host),
        })?;
        *handle = Handle::Parcel(parcel);
    }
    Ok(())
}

/// Unpacks the handles of a frame that will be lowered into this store. What is lent for the call is noted in `lent`, also when a
/// later handle fails.
pub(crate) fn unpack<T: CellData>(
    frame: &mut Frame,
    store: &mut impl StoreAccess<T>,
    lent: &mut Lent,
) -> Result<(), FailureKind> {
    let unpacked = unpack_all(frame, store, lent);
    if unpacked.is_err() {
        lent.unopened.extend(lent_in(frame));
        discard(frame, store);
    }
    unpacked
}

fn unpack_all<T: CellData>(
    frame: &mut Frame,
    store: &mut impl StoreAccess<T>,
    lent: &mut Lent,
) -> Result<(), FailureKind> {
    for handle in &mut frame.handles {
        // Every parcel is opened once.
        let parcel = match std::mem::replace(handle, OPENED) {
            Handle::Parcel(parcel) => parcel,
            Handle::Guest { .. } | Handle::Proxy { .. } | Handle::Host { .. } | Handle::Reader(..) => {
                return Err(FailureKind::Host);
            }
        };
        *handle = store.with(|mut store| match parcel {
            Parcel::Resource { passing, owned } => {
                let core = store.data_mut().core_mut();
                if passing.proxy.cell == core.id() {
                    return Ok(Handle::Guest { resource: passing.arrived().resource, owned });
                }
                // Another cell of this component made it, and is gone.
                if passing.proxy.component == core.component() {
                    return Err(FailureKind::DeadHandle);
                }
                let rep = keep(core, passing)?;
                if !owned {
                    lent.proxies.push(rep as usize);
                }
                Ok(Handle::Proxy { rep, owned })
            }
            Parcel::Host { entry, owned } => {
                let ty = entry.ty;
                let rep = entry.put(store.data_mut()).map_err(|entry| {
                    lent.unopened.extend((!owned).then_some(entry));
                    FailureKind::Memory
                })?;
                if !owned {
                    lent.host.push((ty, rep));
                } else if !adopt(store.data_mut(), ty, rep) {
                    drop(Entry::take(store.data_mut(), ty, rep));
                    return Err(FailureKind::Memory);
                }
                Ok(Handle::Host { rep, owned, ty })
            }
            Parcel::Pump(pump, payload) => {
                let reader = pump.connect(&mut store, payload).map_err(|error| failed(&error, FailureKind::Host))?;
                Ok(Handle::Reader(reader, payload))
            }
        })?;
    }
    Ok(())
}

/// What the host keeps with the resources that a cell was given. Which of them are gone is seen when there is no room for one more.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    /// What is kept with each, by its place in the table.
    resources: HashMap<u32, usize>,
    charge: Option<Charge>,
}

/// Counts a host resource, in the table already, as memory of the cell that it was given to; `false` where there is none.
fn adopt<T: CellData>(data: &mut T, ty: ResourceType, rep: u32) -> bool {
    let buffers = host_resource(ty).map_or(0, |resource| resource.buffers);
    if buffers == 0 {
        return true;
    }
    let Adopted { mut resources, mut charge } = std::mem::take(&mut data.core_mut().adopted);
    charge = charge.or_else(|| data.core().account().charge(0));
    // What had its place before is gone.
    let before = resources.insert(rep, buffers).unwrap_or(0);
    let fits = charge.as_mut().is_some_and(|charge| {
        charge.resize((charge.bytes() + buffers).saturating_sub(before)) || {
            resources.retain(|rep, _| data.table().get_any_mut(*rep).is_ok());
            charge.resize(resources.values().sum())
        }
    });
    if !fits {
        resources.remove(&rep);
    }
    data.core_mut().adopted = Adopted { resources, charge };
    fits
}

/// Takes from a callee what it had for the call only, whether or not the call succeeded.
pub(crate) fn take_back<T: CellData>(lent: Lent, store: &mut impl StoreAccess<T>) -> Vec<Entry> {
    store.with(|mut store| {
        for rep in lent.proxies {
            store.data_mut().core_mut().proxies.try_remove(rep);
        }
        let had = lent.host.into_iter().filter_map(|(ty, rep)| Entry::take(store.data_mut(), ty, rep).ok());
        had.chain(lent.unopened).collect()
    })
}

/// Gives the caller back the host resources that it lent, each in its old place.
pub(crate) fn restore<T: CellData>(
    borrowed: Borrowed,
    entries: Vec<Entry>,
    store: &mut impl StoreAccess<T>,
) -> Result<(), FailureKind> {
    if borrowed.len() != entries.len() {
        return Err(FailureKind::Host);
    }
    for (place, entry) in borrowed.into_iter().zip(entries) {
        store.with(|mut store| {
            let table = store.data_mut().table();
            table.delete(Resource::<Away>::new_own(place)).map_err(|_| FailureKind::Host)?;
            let back = entry.put(store.data_mut()).map_err(|_| FailureKind::Memory)?;
            if back == place { Ok(()) } else { Err(FailureKind::Host) }
        })?;
    }
    Ok(())
}

/// Stands in a table where a host resource belongs that is lent to another cell: with component-model async, this one runs on
/// meanwhile, and what it makes must not get the place.
struct Away;

/// Keeps the place of the entry that was just taken: the table gives out the place that was freed last first.
fn keep_place<T: CellData>(data: &mut T, rep: u32) -> Result<(), FailureKind> {
    let place = data.table().push(Away).map_err(|_| FailureKind::Memory)?;
    if place.rep() == rep { Ok(()) } else { Err(FailureKind::Host) }
}

/// What kept a pump from being connected: a spent budget says so itself.
fn failed(error: &wasmtime::Error, otherwise: FailureKind) -> FailureKind {
    error.downcast_ref::<Interrupted>().map_or(otherwise, |interrupted| interrupted.kind)
}

/// Drops the original of a proxy that its holder dropped. A maker that died has dropped it already.
pub(super) async fn drop_proxy<T: CellData>(mut holder: impl StoreAccess<T>, rep: u32) -> wasmtime::Result<()> {
    let Some(proxy) = holder.with(|mut store| take(store.data_mut().core_mut(), rep, true)) else {
        return Err(Malformed::Handle.into());
    };
    let (tree, deadline) = holder.tree()?;
    let now = Moment::now();
    let deadline = super::shrink(now, deadline).min(now.plus(tree.app.spec(proxy.component).budget.deadline));
    // A destructor that fails poisons its own cell; who dropped the handle has no result to see it in.
    let _ = tree.drop_resource(proxy, deadline).await;
    Ok(())
}

impl Entry {
    fn take<T: CellData>(data: &mut T, ty: ResourceType, rep: u32) -> Result<Self, FailureKind> {
        let resource = host_resource(ty).ok_or(FailureKind::Host)?;
        let value = (resource.take)(data.table(), rep).map_err(|_| FailureKind::BadValue)?;
        Ok(Self { ty, value: Mutex::new(value) })
    }

    /// Puts it into a table. One that is full gives it back.
    fn put<T: CellData>(self, data: &mut T) -> Result<u32, Self> {
        let Some(resource) = host_resource(self.ty) else { return Err(self) };
        // The table would not give it back.
        let Ok(place) = data.table().push(Away) else { return Err(self) };
        let _ = data.table().delete(place);
        let Self { ty, value } = self;
        (resource.put)(data.table(), value.into_inner()).map_err(|_| Self { ty, value: Mutex::new(Box::new(Away)) })
    }
}

fn take<T: CellData>(core: &mut CellCore<T>, rep: u32, owned: bool) -> Option<Proxy> {
    let rep = rep as usize;
    if owned { core.proxies.try_remove(rep) } else { core.proxies.get(rep).copied() }
}

fn keep<T: CellData>(core: &mut CellCore<T>, passing: Passing) -> Result<u32, FailureKind> {
    if core.proxies.len() >= MAX_PROXIES_PER_CELL {
        return Err(FailureKind::Memory);
    }
    u32::try_from(core.proxies.insert(passing.arrived())).map_err(|_| FailureKind::Memory)
}
