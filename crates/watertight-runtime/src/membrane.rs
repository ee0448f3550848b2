//! The membrane: the only way from one cell to another (invariant 4). [`EdgeFunction::call`] is its heart.
//!
//! ```text
//!   caller's store                    frame                     callee's store
//!   memory, values  ── lift ──▶  bytes + handles  ── lower ──▶  memory, values
//!                   ◀─ lower ──                   ◀── lift ───
//! ```
//!
//! [`plan`] says how a type is laid out, [`lift`] and [`lower`] move it, [`handles`] turns one cell's handles into
//! another's, [`pump`] carries streams and futures, [`template`] makes the values that a manifest sets, [`text`] shows values to people, [`raw`] is how
//! Wasmtime calls all this, and [`link`] puts it in place when an app is loaded.

mod frame;
mod handles;
mod lift;
mod link;
mod lower;
mod malformed;
mod plan;
mod plans;
mod pump;
mod raw;
mod template;
#[cfg_attr(not(test), allow(dead_code, reason = "for postmortems, which show the calls before a failure"))]
mod text;
mod types;

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;
use wasmtime::component::ResourceType;
use watertight_model::{
    app::{ComponentId, EdgeId, FunctionId},
    event::{Call, Event, Outcome},
    failure::CallError,
    fault::{Fault, Stream},
};

pub use self::link::{EdgeError, Uncarried};
pub(crate) use self::{
    frame::Frame,
    handles::{Entry, Lent, Proxy, StoreAccess, pack, restore, take_back, unpack},
    link::{ExportedFunction, ResourceIds, TypedExport, link},
    malformed::Malformed,
    plans::forget,
    pump::Pumps,
    template::Template,
    types::FunctionTypes,
};
use crate::{
    clock::Moment,
    driver::Done,
    failure::{self, Seen},
    host::{CellData, HostResource},
    inject,
    tree::Tree,
};

/// One function of one edge.
#[derive(Debug)]
pub(crate) struct EdgeFunction {
    edge: EdgeId,
    function: FunctionId,
    exporter: ComponentId,
    export: ExportedFunction,
    /// The smaller of the edge's own deadline and the callee's.
    deadline: Duration,
    /// What the caller gets when a call has failed.
    seen: Seen,
    #[allow(dead_code, reason = "for postmortems, which show the calls before a failure")]
    types: FunctionTypes,
}

impl EdgeFunction {
    /// Calls the function in the callee's own cell. What the caller gets when that fails is decided by the airlock.
    async fn call<T: CellData>(&self, mut caller: impl StoreAccess<T>, arguments: Frame) -> wasmtime::Result<Frame> {
        let began = Moment::now();
        let (tree, callers_deadline) = caller.tree()?;
        let deadline = shrink(began, callers_deadline, self.deadline);
        let bytes_in = arguments.len();

        let fault = tree.app.faults().draw(Stream::Edge(self.edge));
        let result = self.carry(&mut caller, &tree, arguments, deadline, began, fault).await;

        let (outcome, bytes_out) = match &result {
            Ok(results) => (Outcome::Ok, results.len()),
            Err(error) => (Outcome::Failed(error.kind), 0),
        };
        tree.app.events().emit(Event::Call(Call {
            tree: tree.id,
            edge: self.edge,
            function: self.function,
            duration: Moment::latest().since(began),
            bytes_in,
            bytes_out,
            outcome,
            injected: fault.map(Fault::kind),
        }));
        match result {
            Ok(results) => Ok(results),
            Err(error) => Ok(self.seen.of(error)?),
        }
    }

    /// Takes the arguments to the callee's cell and brings the results back.
    async fn carry<T: CellData>(
        &self,
        caller: &mut impl StoreAccess<T>,
        tree: &Arc<Tree<T>>,
        mut arguments: Frame,
        deadline: Moment,
        began: Moment,
        fault: Option<Fault>,
    ) -> Result<Frame, CallError> {
        let failed = |kind| failure::budget(kind, tree.app.spec(self.exporter));
        let (began, sabotage) = match fault {
            None => (began, None),
            Some(fault) => {
                let sabotage = Box::pin(inject::begin(fault, tree.app.spec(self.exporter), deadline)).await?;
                (Moment::now(), sabotage)
            }
        };
        let (mut callee, began) = match tree.callee_at_rest(self.exporter, deadline) {
            Some(callee) => (callee, began),
            None => (Box::pin(tree.callee(self.exporter, deadline)).await?, Moment::now()),
        };
        if let Some(sabotage) = sabotage {
            callee.sabotage(sabotage);
        }
        let borrowed = pack(&mut arguments, caller).map_err(failed)?;
        let Done { results, back } = callee.call(&self.export, arguments, deadline, began).await;
        let restored = restore(borrowed, back, caller).map_err(failed);
        // A callee that broke off may have nothing to give back; how it broke says more.
        let mut results = results?;
        restored?;
        unpack(&mut results, caller, &mut Lent::default()).map_err(failed)?;
        Ok(results)
    }
}

/// The part of its remaining time that a caller keeps, to deal with the failure of what it calls.
const RESERVE_SHARE: u32 = 8;
const MAX_RESERVE: Duration = Duration::from_millis(100);

/// The callee's deadline: its own, but always early enough for the caller to see it pass.
fn shrink(now: Moment, callers: Moment, own: Duration) -> Moment {
    let remaining = callers.since(now);
    let reserve = (remaining / RESERVE_SHARE).min(MAX_RESERVE);
    now.plus(own.min(remaining - reserve))
}

/// The host resources that may cross, of every app in this process: they are types, so the list only grows by new kinds.
static HOST_RESOURCES: RwLock<Vec<HostResource>> = RwLock::new(Vec::new());

/// Makes host resources known before the first plan is compiled.
pub(crate) fn register_host_resources(resources: &[HostResource]) {
    let mut known = HOST_RESOURCES.write();
    for resource in resources {
        if !known.iter().any(|other| other.ty == resource.ty) {
            known.push(*resource);
        }
    }
}

fn host_resource(ty: ResourceType) -> Option<HostResource> {
    HOST_RESOURCES.read().iter().find(|resource| resource.ty == ty).copied()
}
