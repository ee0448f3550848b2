//! Injected faults: carries a [`FaultPlan`] out, so that an app can be seen to fail before it does.
//!
//! A fault is as real as it can be: the callee's cell is entered, and breaks off inside the guest, or spends its cpu budget under the
//! same meter; what follows is what follows any failure. Without a plan, a call pays for one look at a flag.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::RwLock;
use wasmtime::{AsContextMut, UpdateDeadline, component::Accessor};
use watertight_model::{
    app::{App, Component},
    failure::{CallError, FailureKind},
    fault::{Fault, FaultKind, FaultPlan, Stream},
};

use crate::{
    cell::CellCore,
    clock::Moment,
    engine::TICK,
    failure::{self, Interrupted},
    host::CellData,
};

/// The faults of one loaded app.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Whether there is a plan: all that most calls ever look at.
    set: AtomicBool,
    armed: RwLock<Option<Arc<Armed>>>,
}

/// A plan, and how many calls of each stream it has seen.
#[derive(Debug)]
struct Armed {
    plan: Arc<FaultPlan>,
    /// It ends by itself then.
    until: Option<Instant>,
    edges: Box<[AtomicU64]>,
    fallbacks: Box<[AtomicU64]>,
    roots: Box<[AtomicU64]>,
}

impl Faults {
    /// Calls that begin from now on follow this plan, for so long, or none. Counting begins anew.
    pub(crate) fn set(&self, app: &App, plan: Option<FaultPlan>, until: Option<Instant>) {
        let counts = |count| std::iter::repeat_with(AtomicU64::default).take(count).collect();
        let armed = plan.map(|plan| {
            let (edges, fallbacks) = (counts(app.edges.len()), counts(app.components.len()));
            Arc::new(Armed { plan: Arc::new(plan), until, edges, fallbacks, roots: counts(app.components.len()) })
        });
        let mut place = self.armed.write();
        self.set.store(armed.is_some(), Ordering::Relaxed);
        *place = armed;
    }

    /// The plan, if there is one.
    pub(crate) fn plan(&self) -> Option<Arc<FaultPlan>> {
        self.armed.read().as_ref().filter(|armed| !armed.is_over()).map(|armed| Arc::clone(&armed.plan))
    }

    /// What befalls the call that is made now.
    pub(crate) fn draw(&self, stream: Stream) -> Option<Fault> {
        if self.set.load(Ordering::Relaxed) { self.draw_armed(stream) } else { None }
    }

    #[cold]
    fn draw_armed(&self, stream: Stream) -> Option<Fault> {
        let armed = self.armed.read().clone()?;
        if armed.is_over() {
            self.end(&armed);
            return None;
        }
        let count = match stream {
            Stream::Edge(edge) => armed.edges.get(edge.0 as usize),
            Stream::Fallback(component) => armed.fallbacks.get(component.0 as usize),
            Stream::Root(component) => armed.roots.get(component.0 as usize),
        };
        armed.plan.fault(stream, count?.fetch_add(1, Ordering::Relaxed))
    }

    /// Puts away a plan whose time is over, unless another has its place already.
    fn end(&self, over: &Arc<Armed>) {
        let mut place = self.armed.write();
        if place.as_ref().is_some_and(|armed| Arc::ptr_eq(armed, over)) {
            self.set.store(false, Ordering::Relaxed);
            *place = None;
        }
    }
}

impl Armed {
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// What is done to a cell so that the call it is about to run fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// It breaks off as soon as the guest runs.
    BreakOff(FailureKind),
    /// It runs until it is stopped.
    Spin,
    /// Its call begins late, which is all.
    Late,
}

/// Does the part of a fault that comes before the call, and says what is to be done to the cell.
pub(crate) async fn begin(fault: Fault, callee: &Component, deadline: Moment) -> Result<Option<Sabotage>, CallError> {
    match fault {
        Fault::Trap => Ok(Some(Sabotage::BreakOff(FailureKind::Trap))),
        Fault::Oom => Ok(Some(Sabotage::BreakOff(FailureKind::Memory))),
        Fault::Spin => Ok(Some(Sabotage::Spin)),
        Fault::Error => Err(failure::budget(FailureKind::Injected, callee)),
        Fault::Delay(time) => {
            let over = Moment::now().plus(time);
            tokio::time::sleep_until(over.min(deadline).instant().into()).await;
            if over < deadline { Ok(Some(Sabotage::Late)) } else { Err(failure::budget(FailureKind::Deadline, callee)) }
        }
    }
}

/// A fault broke off a guest.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it was made to fail with {kind}")]
pub(crate) struct Injected {
    pub(crate) kind: FailureKind,
}

/// Does to an entered cell what its core was told. What breaks off does so at the guest's next step, in `tick`; the rest fails here.
pub(crate) async fn strike<T: CellData>(mut store: impl AsContextMut<Data = T>) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    match store.data().core().sabotage {
        // The epoch is always past this one: the guest looks up when it enters its first function.
        Some(Sabotage::BreakOff(_)) => store.set_epoch_deadline(0),
        Some(Sabotage::Spin) => {
            store.data_mut().core_mut().sabotage = None;
            loop {
                turn(store.data_mut().core_mut())?.await;
            }
        }
        Some(Sabotage::Late) | None => {}
    }
    Ok(())
}

/// As [`strike`], on the engine with component-model async, where other calls may be running in the cell.
pub(crate) async fn strike_within<T: CellData>(accessor: &Accessor<T>, sabotage: Sabotage) -> wasmtime::Result<()> {
    accessor.with(|mut access| sabotage.mark(access.data_mut().core_mut()));
    match sabotage {
        Sabotage::Late => {}
        Sabotage::BreakOff(_) => accessor.with(|mut access| {
            access.as_context_mut().set_epoch_deadline(0);
        }),
        Sabotage::Spin => loop {
            accessor.with(|mut access| access.data_mut().core_mut().sabotage = None);
            accessor.with(|mut access| turn(access.data_mut().core_mut()))?.await;
        },
    }
    Ok(())
}

/// Spins for as long as a guest does between two ticks, and asks what it would be told: to stop, or to let others run.
fn turn<T: CellData>(core: &mut CellCore<T>) -> wasmtime::Result<impl Future<Output = ()> + Send + use<T>> {
    let over = Moment::now().plus(TICK);
    while Moment::now() < over {
        std::hint::spin_loop();
    }
    let update = core.tick()?;
    Ok(async move {
        // A tick that lets others run always says how.
        if let UpdateDeadline::YieldCustom(_, others) = update {
            others.await;
        }
    })
}

impl Sabotage {
    /// The fault that it comes of.
    const fn fault(self) -> FaultKind {
        match self {
            Self::BreakOff(FailureKind::Memory) => FaultKind::Oom,
            Self::BreakOff(_) => FaultKind::Trap,
            Self::Spin => FaultKind::Spin,
            Self::Late => FaultKind::Delay,
        }
    }

    /// Has a cell's next call suffer this, and its events say so.
    pub(crate) fn mark<T: CellData>(self, core: &mut CellCore<T>) {
        core.injected = Some(self.fault());
        core.sabotage = Some(self).filter(|sabotage| *sabotage != Self::Late);
    }

    /// What the guest breaks off with.
    pub(crate) fn error(self) -> wasmtime::Error {
        match self {
            Self::BreakOff(kind) => Injected { kind }.into(),
            // It is stopped by its budgets.
            Self::Spin | Self::Late => Interrupted { kind: FailureKind::Cpu }.into(),
        }
    }
}
