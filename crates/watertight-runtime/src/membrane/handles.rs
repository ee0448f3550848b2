//! Handles on their way through the membrane.
//!
//! A handle to a resource that another cell made is a proxy: the holder's store has a host resource whose representation is an
//! index into the holder's own list of proxies, so that no guest can name what it was not given. `own` moves the entry, `borrow`
//! lends it for one call, dropping the proxy drops the original, and when the maker dies the proxy leads nowhere. A host
//! resource moves from one store's table to the other's.

use std::sync::Arc;

use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{Accessor, ResourceAny, ResourceType},
};
use watertight_model::{
    app::ComponentId,
    event::CellId,
    failure::{CallError, FailureKind},
};

use super::{Frame, Handle, Malformed, host_resource};
use crate::{
    cell::{Cell, CellCore, MAX_PROXIES_PER_CELL},
    clock::Moment,
    failure,
    host::CellData,
    tree::{Loan, Tree},
};

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

/// Access to a caller's store in the middle of its call.
pub(crate) trait CallerStore<T: CellData>: Send {
    fn with<R>(&mut self, run: impl FnOnce(&mut T) -> R) -> R;

    /// The call tree that the caller runs in, and the caller's own deadline.
    fn tree(&mut self) -> wasmtime::Result<(Arc<Tree<T>>, Moment)> {
        self.with(|data| {
            let core = data.core();
            let tree = core.tree.as_ref().ok_or_else(|| wasmtime::Error::msg("a cell at rest made a call"))?;
            Ok((Arc::clone(tree), core.deadline))
        })
    }
}

impl<T: CellData> CallerStore<T> for StoreContextMut<'_, T> {
    fn with<R>(&mut self, run: impl FnOnce(&mut T) -> R) -> R {
        run(self.as_context_mut().data_mut())
    }
}

impl<T: CellData> CallerStore<T> for &Accessor<T> {
    fn with<R>(&mut self, run: impl FnOnce(&mut T) -> R) -> R {
        Accessor::with(*self, |mut access| run(access.data_mut()))
    }
}

/// What the callee has only for the call.
#[derive(Debug, Default)]
pub(super) struct Lent {
    proxies: Vec<usize>,
    /// Host resources: their type, the index in the caller's table, the index in the callee's.
    host: Vec<(ResourceType, u32, u32)>,
}

/// Turns the handles of arguments into the callee's.
pub(super) fn carry_in<T: CellData>(
    arguments: &mut Frame,
    caller: &mut impl CallerStore<T>,
    callee: &mut Loan<T>,
) -> Result<Lent, CallError> {
    let mut lent = Lent::default();
    if arguments.handles.is_empty() {
        return Ok(lent);
    }
    let id = callee.id();
    let mut failed = None;
    for handle in &mut arguments.handles {
        let carried = caller.with(|data| match *handle {
            Handle::Proxy { rep, owned } => {
                let proxy = take(data.core_mut(), rep, owned).ok_or(FailureKind::DeadHandle)?;
                if proxy.cell == id {
                    return Ok(Handle::Guest(proxy.resource));
                }
                if proxy.component == callee.component() {
                    return Err(FailureKind::DeadHandle);
                }
                let rep = keep(callee.store.data_mut().core_mut(), proxy)?;
                if !owned {
                    lent.proxies.push(rep as usize);
                }
                Ok(Handle::Proxy { rep, owned })
            }
            Handle::Host { rep, owned, ty } => {
                let moved = move_host(data, ty, rep, callee.store.data_mut())?;
                if !owned {
                    lent.host.push((ty, rep, moved));
                }
                Ok(Handle::Host { rep: moved, owned, ty })
            }
            // A component cannot import what its caller made: the graph would have a cycle.
            Handle::Guest(_) => Err(FailureKind::BadValue),
        });
        match carried {
            Ok(carried) => *handle = carried,
            Err(kind) => {
                failed = Some(kind);
                break;
            }
        }
    }
    match failed {
        None => Ok(lent),
        Some(kind) => {
            let error = failure::budget(kind, callee.spec());
            give_back(lent, caller, callee)?;
            Err(error)
        }
    }
}

/// Takes back what the callee had for the call only, whether or not the call succeeded.
pub(super) fn give_back<T: CellData>(
    lent: Lent,
    caller: &mut impl CallerStore<T>,
    callee: &mut Cell<T>,
) -> Result<(), CallError> {
    for rep in lent.proxies {
        callee.store.data_mut().core_mut().proxies.try_remove(rep);
    }
    // The caller's table gives out the place that was freed last first, so in reverse each resource gets its old place.
    for (ty, original, moved) in lent.host.into_iter().rev() {
        let back = caller.with(|data| move_host(callee.store.data_mut(), ty, moved, data));
        if back != Ok(original) {
            return Err(CallError {
                kind: FailureKind::Host,
                component: callee.spec().name.clone(),
                detail: "a borrowed host resource was in use by the caller when it came back".into(),
            });
        }
    }
    Ok(())
}

/// Turns the handles of results into the caller's.
pub(super) fn carry_out<T: CellData>(
    results: &mut Frame,
    caller: &mut impl CallerStore<T>,
    callee: &mut Loan<T>,
) -> Result<(), CallError> {
    let maker = (callee.component(), callee.id());
    for handle in &mut results.handles {
        let carried = caller.with(|data| match *handle {
            Handle::Guest(resource) => {
                let rep = keep(data.core_mut(), Proxy { component: maker.0, cell: maker.1, resource })?;
                Ok(Handle::Proxy { rep, owned: true })
            }
            Handle::Proxy { rep, owned } => {
                let proxy = take(callee.store.data_mut().core_mut(), rep, owned).ok_or(FailureKind::DeadHandle)?;
                if proxy.cell == data.core().id() {
                    return Ok(Handle::Guest(proxy.resource));
                }
                Ok(Handle::Proxy { rep: keep(data.core_mut(), proxy)?, owned })
            }
            Handle::Host { rep, owned, ty } => {
                Ok(Handle::Host { rep: move_host(callee.store.data_mut(), ty, rep, data)?, owned, ty })
            }
        });
        *handle = carried.map_err(|kind| failure::budget(kind, callee.spec()))?;
    }
    Ok(())
}

/// Drops the original of a proxy that its holder dropped. A maker that died has dropped it already.
pub(super) async fn drop_proxy<T: CellData>(mut holder: impl CallerStore<T>, rep: u32) -> wasmtime::Result<()> {
    let Some(proxy) = holder.with(|data| take(data.core_mut(), rep, true)) else {
        return Err(Malformed::Handle.into());
    };
    let (tree, deadline) = holder.tree()?;
    let deadline = super::shrink(Moment::now(), deadline, tree.app.spec(proxy.component).budget.deadline);
    // A destructor that fails poisons its own cell; who dropped the handle has no result to see it in.
    if let Ok(mut maker) = tree.check_out_exactly(proxy.component, proxy.cell, deadline).await {
        let _ = maker.drop_resource(proxy.resource, deadline).await;
    }
    Ok(())
}

fn take<T: CellData>(core: &mut CellCore<T>, rep: u32, owned: bool) -> Option<Proxy> {
    let rep = rep as usize;
    if owned { core.proxies.try_remove(rep) } else { core.proxies.get(rep).copied() }
}

fn keep<T: CellData>(core: &mut CellCore<T>, proxy: Proxy) -> Result<u32, FailureKind> {
    if core.proxies.len() >= MAX_PROXIES_PER_CELL {
        return Err(FailureKind::Memory);
    }
    u32::try_from(core.proxies.insert(proxy)).map_err(|_| FailureKind::Memory)
}

fn move_host<T: CellData>(from: &mut T, ty: ResourceType, rep: u32, to: &mut T) -> Result<u32, FailureKind> {
    let resource = host_resource(ty).ok_or(FailureKind::Host)?;
    (resource.carry)(from.table(), rep, to.table()).map_err(|_| FailureKind::BadValue)
}
