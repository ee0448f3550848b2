//! The membrane: the only way from one cell to another (invariant 4). [`EdgeFunction::call`] is its heart.
//!
//! ```text
//!   caller's store                    frame                     callee's store
//!   memory, values  ── lift ──▶  bytes + handles  ── lower ──▶  memory, values
//!                   ◀─ lower ──                   ◀── lift ───
//! ```
//!
//! [`plan`] says how a type is laid out, [`lift`] and [`lower`] move it, [`handles`] turns one cell's handles into
//! another's, [`pump`] carries streams and futures, [`template`] makes the values that a manifest sets, [`text`] shows values to people and [`describe`] types, [`play`] has a component called alone, [`cbor`] is the form of values for
//! callers that call by name ([`modules`]) and, by way of JSON, for those from outside ([`public`]), [`raw`] is how
//! Wasmtime calls all this, and [`link`] puts it in place when an app is loaded.

mod cbor;
mod describe;
mod foreign;
mod frame;
mod handles;
mod lift;
mod link;
mod lower;
mod malformed;
mod modules;
mod plan;
mod plans;
mod play;
mod public;
mod pump;
mod raw;
mod template;
mod text;
mod types;

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;
use wasmtime::component::ResourceType;
use watertight_model::{
    app::{ComponentId, EdgeId, FunctionId},
    event::{Call, Event},
    failure::{CallError, FailureKind},
    fault::{Fault, FaultKind, Stream},
    trace::SpanId,
};

pub(crate) use self::{
    foreign::admit,
    frame::Frame,
    handles::{Adopted, Entry, Lent, Proxy, StoreAccess, Undertaker, discard, maker, pack, restore, take_back, unpack},
    link::{ExportedFunction, ResourceIds, TypedExport, link},
    malformed::Malformed,
    plans::forget,
    play::stand_in,
    public::Public,
    pump::Pumps,
    template::Template,
    types::FunctionTypes,
};
pub use self::{
    link::{EdgeError, Uncarried},
    modules::CallFailed,
    play::{Answers, Part, PlayError, StandIns},
    public::PublicResult,
};
use crate::{
    airlock::{Airlock, Passed, Seen},
    clock::Moment,
    driver::Done,
    failure,
    host::{CellData, HostResource},
    inject,
    postmortem::Begin,
    tap::Beginning,
    tree::{Errand, Tree},
};

/// One function of one edge.
#[derive(Debug)]
pub(crate) struct EdgeFunction {
    edge: EdgeId,
    function: FunctionId,
    callee: Callable,
    /// What is done about a failure before the caller sees it; none where the manifest has nothing done.
    airlock: Option<Box<Airlock>>,
    /// What the caller gets in the end.
    seen: Seen,
    /// Its values are not kept for postmortems.
    redact: bool,
}

/// A function of a component, as an edge calls it.
#[derive(Debug)]
pub(crate) struct Callable {
    component: ComponentId,
    export: ExportedFunction,
    /// The smallest of the function's own deadline, the edge's and the callee's.
    pub(crate) deadline: Duration,
    /// From where drills draw its faults.
    faults: Stream,
}

impl EdgeFunction {
    /// Calls the function in the callee's own cell. What happens when that fails, and what the caller gets then, is decided by the airlock.
    async fn call<T: CellData>(&self, mut caller: impl StoreAccess<T>, arguments: Frame) -> wasmtime::Result<Frame> {
        match self.cross(&mut caller, arguments).await? {
            Ok(results) => Ok(results),
            Err(error) => Ok(self.seen.of(error)?),
        }
    }

    /// The same but for the end: a failure that the airlock can do nothing more about is returned.
    async fn cross<T: CellData>(
        &self,
        caller: &mut impl StoreAccess<T>,
        mut arguments: Frame,
    ) -> wasmtime::Result<Result<Frame, CallError>> {
        let began = Moment::now();
        let (tree, callers_deadline) = caller.tree()?;
        let deadline = shrink(began, callers_deadline);
        let bytes_in = arguments.len();
        let (edge, function) = (self.edge, self.function);
        let recording = tree.recording.as_ref().map(|(recording, _)| recording);
        let spanning = recording.map(|recording| recording.begin(caller.span(), tree.id, edge, function, began));
        let span = spanning.map(|began| began.span);
        let taps = tree.app.taps();
        let watched = match taps.any() {
            false => None,
            true => {
                let spans = spanning.map_or((SpanId(0), SpanId(0)), |began| (began.parent, began.span));
                taps.watch(Beginning {
                    tree: tree.id,
                    function: (edge, function),
                    at: began,
                    arguments: &arguments,
                    redacted: self.redact,
                    spans,
                })
            }
        };
        let crossing = tree.crossings.as_ref().map(|crossings| {
            crossings.begin(&Begin { edge, function, at: began, arguments: &arguments.bytes, redact: self.redact })
        });

        let overdrawn = arguments.counts().then(|| charge(&mut arguments, caller, &tree)).transpose();
        let passed = match (overdrawn, &self.airlock) {
            (Err(error), _) => Passed::never(error),
            (Ok(_), None) => {
                let deadline = deadline.min(began.plus(self.callee.deadline));
                Passed::once(self.callee.call(caller, &tree, arguments, deadline, began, span).await)
            }
            (Ok(_), Some(airlock)) => {
                Box::pin(airlock.pass(&self.callee, caller, &tree, arguments, deadline, span)).await
            }
        };

        let duration = Moment::latest().since(began);
        let bytes_out = passed.result.as_ref().map_or(0, Frame::len);
        if let Some(crossing) = crossing {
            crossing.end(duration, bytes_out, passed.outcome);
        }
        let call = Call {
            tree: tree.id,
            edge,
            function,
            duration,
            bytes_in,
            bytes_out,
            outcome: passed.outcome,
            attempts: passed.attempts,
            fallback: passed.fallback,
            injected: passed.injected,
            seen: self.seen.event(&passed),
        };
        if let (Some(recording), Some(began)) = (recording, spanning) {
            recording.end(began, call);
        }
        if let Some(watched) = watched {
            let shown = passed.result.as_ref().err().and_then(|error| self.seen.instead(error));
            watched.end(call, passed.result.as_ref().ok().or(shown.as_ref()), taps);
        }
        tree.app.events().emit(Event::Call(call));
        Ok(passed.result)
    }
}

/// A failure to pack what the caller gives, or to unpack what it gets: where there is no room, it is in its own tables and budgets.
fn callers<T: CellData>(
    kind: FailureKind,
    caller: &mut impl StoreAccess<T>,
    tree: &Tree<T>,
    otherwise: impl FnOnce(FailureKind) -> CallError,
) -> CallError {
    if kind == FailureKind::Memory {
        return failure::overdrawn(tree.app.spec(caller.component()));
    }
    otherwise(kind)
}

/// Counts arguments as memory of the cell they come from.
fn charge<T: CellData>(
    arguments: &mut Frame,
    caller: &mut impl StoreAccess<T>,
    tree: &Tree<T>,
) -> Result<(), CallError> {
    let charged = caller.with(|store| arguments.charge(store.data().core().account()));
    charged.map_err(|_| {
        discard(arguments, caller);
        failure::overdrawn(tree.app.spec(caller.component()))
    })
}

/// How one call fared.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) result: Result<Frame, CallError>,
    /// What a drill did to it.
    pub(crate) injected: Option<FaultKind>,
}

impl Callable {
    /// Makes the call, and does to it what a drill wants. `began` is now, or a moment ago.
    pub(crate) async fn call<T: CellData>(
        &self,
        caller: &mut impl StoreAccess<T>,
        tree: &Arc<Tree<T>>,
        arguments: Frame,
        deadline: Moment,
        began: Moment,
        span: Option<SpanId>,
    ) -> Attempt {
        let fault = tree.app.faults().draw(self.faults);
        let result = self.carry(caller, tree, arguments, deadline, (began, span), fault).await;
        Attempt { result, injected: fault.map(Fault::kind) }
    }

    /// Takes the arguments to the callee's cell and brings the results back.
    async fn carry<T: CellData>(
        &self,
        caller: &mut impl StoreAccess<T>,
        tree: &Arc<Tree<T>>,
        mut arguments: Frame,
        deadline: Moment,
        (began, span): (Moment, Option<SpanId>),
        fault: Option<Fault>,
    ) -> Result<Frame, CallError> {
        let failed = |kind| failure::budget(kind, tree.app.spec(self.component));
        let (began, sabotage) = match fault {
            None => (began, None),
            Some(fault) => match Box::pin(inject::begin(fault, tree.app.spec(self.component), deadline)).await {
                Ok(sabotage) => (Moment::now(), sabotage),
                Err(error) => {
                    discard(&mut arguments, caller);
                    return Err(error);
                }
            },
        };
        let (mut callee, began) = match tree.callee_at_rest(self.component, deadline) {
            Some(callee) => (callee, began),
            None => {
                let maker = maker(&arguments, caller, self.component);
                let errand = Errand { maker, caller: caller.with(|store| store.data().core().cut.clone()) };
                match Box::pin(tree.callee(self.component, errand, deadline)).await {
                    Ok(callee) => (callee, Moment::now()),
                    Err(error) => {
                        discard(&mut arguments, caller);
                        return Err(error);
                    }
                }
            }
        };
        if let Some(sabotage) = sabotage {
            callee.sabotage(sabotage);
        }
        let borrowed = pack(&mut arguments, caller).map_err(|kind| callers(kind, caller, tree, failed))?;
        let Done { results, back } = callee.call(&self.export, arguments, deadline, began, span).await;
        let restored = restore(borrowed, back, caller).map_err(failed);
        // A callee that broke off may have nothing to give back; how it broke says more.
        let mut results = results?;
        restored?;
        unpack(&mut results, caller, &mut Lent::default()).map_err(|kind| callers(kind, caller, tree, failed))?;
        Ok(results)
    }
}

/// The part of its remaining time that a caller keeps, to deal with the failure of what it calls.
const RESERVE_SHARE: u32 = 8;
const MAX_RESERVE: Duration = Duration::from_millis(100);

/// The latest deadline of what a caller calls: always early enough for it to see that pass.
fn shrink(now: Moment, callers: Moment) -> Moment {
    let remaining = callers.since(now);
    let reserve = (remaining / RESERVE_SHARE).min(MAX_RESERVE);
    now.plus(remaining - reserve)
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
