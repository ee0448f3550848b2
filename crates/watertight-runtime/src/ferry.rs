//! Calls between the processes of a node: from one whose cells call a component that the node has once, to the one that has it.
//!
//! ```text
//!  EdgeFunction ── Callee::Away ── Ferry::carry ──▶ (another process) ──▶ RunningApp::receive ── its own cells
//! ```
//!
//! What carries the bytes is not known here. Both ends take them for hostile: arguments and results are let in by `membrane::foreign`
//! only. The deadline travels as the time that is left, and begins anew where it arrives. A call that comes here never goes on to a
//! third process.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use watertight_model::{
    app::ComponentId,
    failure::{CallError, FailureKind},
    trace::{SpanId, TraceContext},
};

use crate::{
    app::{LoadedApp, RunningApp},
    clock::Moment,
    demote::Demotable,
    driver::Done,
    failure,
    host::CellData,
    inject::Sabotage,
    membrane::{self, ExportedFunction, Frame, Malformed},
    root::late,
    supervise::Office,
    tree::{self, Tree},
};

/// A call on its way to another process.
#[derive(Debug)]
pub struct FarCall {
    /// The component that is called.
    pub component: ComponentId,
    /// Which of the functions that others call it by: the same number in every process that runs this app.
    pub function: u32,
    /// How much time it has.
    pub remaining: Duration,
    /// What a drill does to it: see [`FarCall::sabotage`].
    pub sabotage: u8,
    /// The trace that it is part of, where somebody traces.
    pub trace: Option<TraceContext>,
    /// Its arguments.
    pub arguments: Vec<u8>,
}

/// What takes calls to the process that has a component.
pub trait Ferry: Send + Sync + 'static {
    /// Whether this process has them all.
    fn is_here(&self) -> bool;

    /// Takes a call there, and brings its results. Dropping the future takes the call back.
    fn carry(&self, call: FarCall) -> BoxFuture<'static, Result<Vec<u8>, CallError>>;
}

/// Why a call that came from another process has no results.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// No process that runs the same app and means well sends this.
    #[error("a call that cannot be: {0}")]
    Hostile(&'static str),
    /// It failed as calls do.
    #[error(transparent)]
    Failed(#[from] CallError),
}

impl FarCall {
    /// What a drill does to it, as a number.
    pub(crate) fn coded(sabotage: Option<Sabotage>) -> u8 {
        match sabotage {
            None => 0,
            Some(Sabotage::Spin) => 1,
            Some(Sabotage::BreakOff(FailureKind::Memory)) => 2,
            Some(Sabotage::BreakOff(_)) => 3,
            Some(Sabotage::Late) => 4,
        }
    }

    /// What such a number means.
    fn decoded(code: u8) -> Option<Option<Sabotage>> {
        match code {
            0 => Some(None),
            1 => Some(Some(Sabotage::Spin)),
            2 => Some(Some(Sabotage::BreakOff(FailureKind::Memory))),
            3 => Some(Some(Sabotage::BreakOff(FailureKind::Trap))),
            4 => Some(Some(Sabotage::Late)),
            _ => None,
        }
    }
}

/// What a call that goes away is about.
pub(crate) struct Errand {
    pub(crate) component: ComponentId,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) span: Option<SpanId>,
    pub(crate) deadline: Moment,
}

/// Takes a call to where its component is: packed arguments out, results in.
pub(crate) async fn carry<T: CellData>(
    ferry: &Arc<dyn Ferry>,
    tree: &Tree<T>,
    function: &ExportedFunction,
    errand: Errand,
    mut arguments: Frame,
) -> Done {
    let Errand { component, sabotage, span, deadline } = errand;
    let spec = tree.app.spec(component);
    let failed = |kind| Done::failed(failure::budget(kind, spec));
    let Some(crossing) = &function.crossing else { return failed(FailureKind::Host) };
    let call = FarCall {
        component,
        function: u32::try_from(function.slot).unwrap_or(u32::MAX),
        remaining: deadline.since(Moment::now()),
        sabotage: FarCall::coded(sabotage),
        trace: span.and_then(|span| tree.recording.as_ref().map(|(recording, _)| recording.context(span))),
        arguments: arguments.take_bytes(),
    };
    let carried = crate::meter::until(ferry.carry(call), deadline.plus(crate::driver::GRACE)).await;
    // Until now they were on their way.
    drop(arguments);
    // The other side keeps to the deadline too, and says more; it only gets a moment longer to say it.
    let Some(carried) = carried else { return failed(FailureKind::Deadline) };
    let malformed = |error: Malformed| CallError {
        kind: FailureKind::BadValue,
        component: spec.name.clone(),
        detail: error.to_string(),
    };
    let results = carried.and_then(|bytes| membrane::admit(bytes, &crossing.results.shape).map_err(malformed));
    Done { results, back: Vec::new() }
}

impl<T: CellData> RunningApp<T> {
    /// Has calls of components that the node has once go by this ferry from now on. There is one.
    pub fn set_ferry(&self, ferry: Arc<dyn Ferry>) {
        self.0.set_ferry(ferry);
    }

    /// Makes a call that came from another process. Past its slice, it goes on in another thread.
    ///
    /// # Errors
    /// How it failed, or that it is no call that could be.
    pub fn receive(&self, call: FarCall) -> impl Future<Output = Result<Vec<u8>, ReceiveError>> + Send + use<T> {
        let app = Arc::clone(&self.0);
        async move { receive(app, call).await }
    }
}

async fn receive<T: CellData>(app: Arc<LoadedApp<T>>, call: FarCall) -> Result<Vec<u8>, ReceiveError> {
    let FarCall { component, function, remaining, sabotage, trace, arguments } = call;
    let hostile = ReceiveError::Hostile;
    let model = app.model();
    let spec = model.components.get(component.0 as usize).filter(|spec| spec.is_for_the_node());
    let spec = spec.ok_or(hostile("of a component that is not for the node"))?;
    let export = app.component(component).exports.get(function as usize);
    let export = export.ok_or(hostile("of a function that there is not"))?.clone();
    let crossing = export.crossing.clone().ok_or(hostile("of a function that does not cross"))?;
    let sabotage = FarCall::decoded(sabotage).ok_or(hostile("with a fault that there is not"))?;
    let arguments = membrane::admit(arguments, &crossing.parameters.shape);
    let arguments = arguments.map_err(|_| hostile("with arguments that are not of its type"))?;
    // Whoever sends it has no more to give than the component itself allows.
    let deadline = Moment::now().plus(remaining.min(spec.budget.deadline));
    Office::begin(&app);
    let busy = app.engines().busy();
    // Its spans are part of the crossing's, which the other process tells of.
    let recording = trace.and_then(|from| Some((app.record(Some(from), None)?, from.span)));
    let tree = Tree::new(Arc::clone(&app), component, recording);
    let _ended = Ended(Arc::clone(&tree));
    let making = Demotable::new(Arc::clone(&tree.slice), deadline, {
        let tree = Arc::clone(&tree);
        async move {
            let _busy = busy;
            let mut callee = tree.callee_here(component, tree::Errand::default(), deadline).await?;
            if let Some(sabotage) = sabotage {
                callee.sabotage(sabotage);
            }
            let span = trace.map(|from| from.span);
            callee.call(&export, arguments, deadline, Moment::now(), span).await.results
        }
    });
    Ok(making.await.unwrap_or_else(|| late(&tree)).map(|mut results| results.take_bytes())?)
}

/// Ends a call tree, also when it was cut off.
struct Ended<T: CellData>(Arc<Tree<T>>);

impl<T: CellData> Drop for Ended<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl fmt::Debug for dyn Ferry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ferry")
    }
}
