//! Drivers: the task of a cell whose component uses component-model async.
//!
//! Such a cell may have several calls in flight, and goes on working after a call has returned while streams or futures are
//! open. So its store belongs to one task, which takes jobs, and to nobody else (invariant 8); a root call borrows the cell from it as a
//! whole. The task ends when the last sender of jobs is gone, or when the cell fails; then every call in flight fails with it.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Accessor, ResourceAny};
use watertight_model::{
    app::{ComponentId, Lifetime},
    event::CellId,
    failure::{CallError, FailureKind},
    supervision::{End, Run},
    trace::SpanId,
};

use crate::{
    app::LoadedApp,
    cell::{Cell, ending},
    clock::Moment,
    demote::Demotable,
    failure::{self, Interrupted},
    host::CellData,
    inject::{self, Sabotage},
    membrane::{self, Entry, ExportedFunction, Frame, Lent},
    meter,
    slice::Slice,
    tree::Tree,
};

/// Calls that wait for a driver to take them; its component's gate lets no more in than may run.
const MAX_JOBS: usize = 64;

/// A cell in the hands of its own task.
pub(crate) struct Driver<T: CellData> {
    jobs: mpsc::Sender<Job<T>>,
    component: ComponentId,
    cell: CellId,
    /// How the cell failed, once it has.
    obituary: Arc<Mutex<Option<CallError>>>,
}

/// A call that a driver is to make.
struct Job<T: CellData> {
    tree: Weak<Tree<T>>,
    deadline: Moment,
    work: Work,
    done: oneshot::Sender<Answer>,
    /// For [`Work::Lend`]: where the cell goes.
    lend: Option<oneshot::Sender<Borrowed<T>>>,
    /// For [`Work::Call`]: where host resources go that were only lent, if the cell breaks.
    found: Found,
}

/// Host resources that were saved from a broken cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found(Arc<Mutex<Vec<Entry>>>);

impl Found {
    pub(crate) fn put(&self, entries: Vec<Entry>) {
        *self.0.lock() = entries;
    }

    fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// What a driver is asked to do.
pub(crate) enum Work {
    /// The span is the crossing's.
    Call(ExportedFunction, Frame, Option<Sabotage>, Option<SpanId>),
    Drop(ResourceAny),
    /// Let a root call have the cell.
    Lend,
}

/// A cell on loan from its driver, who waits for it.
pub(crate) struct Borrowed<T: CellData> {
    pub(crate) cell: Box<Cell<T>>,
    pub(crate) back: oneshot::Sender<Box<Cell<T>>>,
}

/// What a driver has to say to a job.
pub(crate) enum Answer {
    /// It is done.
    Done(Done),
    /// The cell went for no fault of this job, before it had its turn: another driver may take it.
    Unserved(Work),
}

/// What came of a job.
pub(crate) struct Done {
    /// The results, packed.
    pub(crate) results: Result<Frame, CallError>,
    /// Host resources that the callee had only for the call.
    pub(crate) back: Vec<Entry>,
}

impl<T: CellData> Clone for Driver<T> {
    fn clone(&self) -> Self {
        Self {
            jobs: self.jobs.clone(),
            component: self.component,
            cell: self.cell,
            obituary: Arc::clone(&self.obituary),
        }
    }
}

impl<T: CellData> Driver<T> {
    /// Gives a cell a task of its own. `farewell` is dropped with what it was told, after the cell is gone.
    pub(crate) fn start(cell: Box<Cell<T>>, farewell: Option<Farewell<T>>) -> Self {
        let (jobs, queue) = mpsc::channel(MAX_JOBS);
        let obituary = Arc::new(Mutex::new(None));
        let driver = Self { jobs, component: cell.component(), cell: cell.id(), obituary: Arc::clone(&obituary) };
        // Its calls have deadlines, the task has none.
        let (slice, far) = (Slice::new(Duration::MAX), Moment::from_nanos(u64::MAX));
        let task = drive(farewell, cell, queue, obituary, Arc::clone(&slice));
        tokio::spawn(Demotable::new(slice, far, task));
        driver
    }

    pub(crate) fn cell(&self) -> CellId {
        self.cell
    }

    /// Whether its cell can still be entered.
    pub(crate) fn lives(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// Has the cell do something.
    pub(crate) async fn work(&self, tree: &Arc<Tree<T>>, work: Work, deadline: Moment) -> Answer {
        let (done, answer) = oneshot::channel();
        let found = Found::default();
        let job = Job { tree: Arc::downgrade(tree), deadline, work, done, lend: None, found: found.clone() };
        let answered = async {
            match self.jobs.send(job).await {
                Ok(()) => {}
                Err(mpsc::error::SendError(job)) => return Ok(Answer::Unserved(job.work)),
            }
            if let Ok(answer) = answer.await {
                return Ok(answer);
            }
            // The cell broke. Its driver writes the obituary, and then goes.
            self.jobs.closed().await;
            Err(self.obituary.lock().clone())
        };
        let failed = |kind| failure::budget(kind, tree.app.spec(self.component));
        // The driver keeps to the deadline too, and says more; it only gets a moment longer to say it.
        Answer::Done(match meter::until(answered, deadline.plus(GRACE)).await {
            Some(Ok(answer)) => return answer,
            Some(Err(obituary)) => {
                let error = obituary.unwrap_or_else(|| failed(FailureKind::DeadHandle));
                Done { back: found.take(), ..Done::failed(error) }
            }
            None => Done::failed(failed(FailureKind::Deadline)),
        })
    }
}

impl<T: CellData> Driver<T> {
    /// Borrows the cell, when it has come to rest. None where the cell is gone, or does not rest within the deadline.
    pub(crate) async fn borrow(
        &self,
        tree: &Arc<Tree<T>>,
        deadline: Moment,
    ) -> Result<Option<Borrowed<T>>, FailureKind> {
        let ((done, _answer), (lend, lent)) = (oneshot::channel(), oneshot::channel());
        let job = Job {
            tree: Arc::downgrade(tree),
            deadline,
            work: Work::Lend,
            done,
            lend: Some(lend),
            found: Found::default(),
        };
        let asked = async {
            self.jobs.send(job).await.ok()?;
            lent.await.ok()
        };
        meter::until(asked, deadline).await.ok_or(FailureKind::Deadline)
    }
}

/// Tells a resident's seat that its driver has ended; it has to be the last thing that the driver lets go of.
pub(crate) struct Farewell<T: CellData> {
    app: Weak<LoadedApp<T>>,
    component: ComponentId,
    run: Run,
    end: Option<End>,
}

impl<T: CellData> Farewell<T> {
    pub(crate) fn new(app: &Arc<LoadedApp<T>>, component: ComponentId, run: Run) -> Self {
        Self { app: Arc::downgrade(app), component, run, end: None }
    }
}

impl<T: CellData> Drop for Farewell<T> {
    fn drop(&mut self) {
        if let Some(app) = self.app.upgrade() {
            app.component(self.component).residents.ended(self.run, self.end);
        }
    }
}

impl Answer {
    fn dropped() -> Self {
        Self::Done(Done { results: Ok(Frame::default()), back: Vec::new() })
    }
}

impl Done {
    pub(crate) fn failed(error: CallError) -> Self {
        Self { results: Err(error), back: Vec::new() }
    }
}

/// How much later than the driver its caller gives up.
pub(crate) const GRACE: Duration = Duration::from_millis(5);

/// The driver's task.
async fn drive<T: CellData>(
    // Dropped last: arguments go in the reverse of their order.
    mut farewell: Option<Farewell<T>>,
    cell: Box<Cell<T>>,
    queue: mpsc::Receiver<Job<T>>,
    obituary: Arc<Mutex<Option<CallError>>>,
    slice: Arc<Slice>,
) {
    let mut queue = Queue { incoming: queue, later: VecDeque::new() };
    let (cut, account) = (cell.cut().cloned(), Arc::clone(cell.account()));
    let mut resting = Some(cell);
    loop {
        let job = tokio::select! {
            biased;
            job = queue.next() => job,
            () = ending(cut.as_ref(), &account).until_made() => {
                if let Some(farewell) = &mut farewell {
                    farewell.end = resting.as_ref().and_then(|cell| cell.fate());
                }
                drop(resting);
                return queue.hand_back(None);
            }
        };
        let Some(job) = job else { return };
        let Some(cell) = resting.take() else { return queue.hand_back(Some(job)) };
        let (cell, unserved) = serve(cell, job, &mut queue, &obituary, &slice).await;
        match cell {
            Some(cell) if cell.is_sound() => resting = Some(cell),
            // It is in the middle of a call, or has failed, and cannot be entered again. Whoever borrowed it may have lost it.
            broken => {
                if let Some(farewell) = &mut farewell {
                    farewell.end = broken.as_ref().and_then(|cell| cell.fate());
                }
                drop(broken);
                return queue.hand_back(unserved);
            }
        }
    }
}

/// Does a job, and those of the same call tree that come meanwhile. A job that comes back was not begun.
async fn serve<T: CellData>(
    mut cell: Box<Cell<T>>,
    job: Job<T>,
    queue: &mut Queue<T>,
    obituary: &Mutex<Option<CallError>>,
    slice: &Slice,
) -> (Option<Box<Cell<T>>>, Option<Job<T>>) {
    let Some(tree) = job.tree.upgrade() else {
        if let Work::Drop(resource) = job.work {
            cell.bury(resource);
        }
        return (Some(cell), None);
    };
    if let Some(lend) = job.lend {
        let (back, returned) = oneshot::channel();
        return match lend.send(Borrowed { cell, back }) {
            Ok(()) => (returned.await.ok(), None),
            // Who wanted it has given up.
            Err(unused) => (Some(unused.cell), None),
        };
    }
    // The root call may end before this does: without ticks a guest that spins would keep the thread for ever.
    let _busy = tree.app.engines().busy();
    cell.join(Arc::clone(&tree), job.deadline);
    if let Err(error) = cell.begin_tree(&tree, job.deadline).await {
        // What another call tree left behind broke it: this one has done nothing yet.
        *obituary.lock() = Some(error);
        return (Some(cell), Some(job));
    }
    let spent = cell.spent_nanos();
    let ran = match job.work {
        Work::Lend => Ok(Ran::Out),
        Work::Drop(resource) => {
            let dropped = cell.drop_resource(resource, job.deadline).await;
            // Who dropped the handle has gone on already, or does not mind.
            let _ = job.done.send(Answer::dropped());
            dropped.map(|()| Ran::Out)
        }
        Work::Call(function, arguments, sabotage, span) => {
            let Job { deadline, done, found, .. } = job;
            let first = Call { function, arguments, sabotage, span, deadline, done, found };
            let calls = cell.run_concurrent(async |accessor| run_calls(accessor, first, &tree, queue).await);
            // From out here: while a guest spins, nothing inside is asked.
            tokio::select! {
                biased;
                ran = calls => ran,
                () = tree.ended() => Ok(Ran::CutOff),
            }
        }
    };
    tree.slice.charge(cell.spent_nanos().saturating_sub(spent));
    if cell.spec().lifetime == Lifetime::Resident {
        // What comes next may be another call tree's.
        slice.release();
    }
    match ran {
        Ok(Ran::Out) => cell.leave(),
        Ok(Ran::CutOff) => cell.abandon(),
        Err(error) => {
            cell.save_lent();
            *obituary.lock() = Some(error);
        }
    }
    (Some(cell), None)
}

/// How a run of calls ended, if none failed.
pub(crate) enum Ran {
    /// Every call has returned.
    Out,
    /// The call tree has ended before them: nobody waits for what they return.
    CutOff,
}

/// Jobs, those put off first.
struct Queue<T: CellData> {
    incoming: mpsc::Receiver<Job<T>>,
    later: VecDeque<Job<T>>,
}

impl<T: CellData> Queue<T> {
    async fn next(&mut self) -> Option<Job<T>> {
        match self.later.pop_front() {
            Some(job) => Some(job),
            None => self.incoming.recv().await,
        }
    }

    /// Gives back what was not begun, `first` before the others.
    fn hand_back(mut self, first: Option<Job<T>>) {
        self.incoming.close();
        let waiting = first.into_iter().chain(std::mem::take(&mut self.later));
        for job in waiting.chain(std::iter::from_fn(|| self.incoming.try_recv().ok())) {
            let _ = job.done.send(Answer::Unserved(job.work));
        }
    }
}

/// A call in flight.
struct Call {
    function: ExportedFunction,
    arguments: Frame,
    sabotage: Option<Sabotage>,
    span: Option<SpanId>,
    deadline: Moment,
    done: oneshot::Sender<Answer>,
    found: Found,
}

/// Runs a call and those of the same call tree that come meanwhile, until none is left and no pump is open. What cannot run
/// beside them is put off: the calls of other call trees, and destructors, which want the store alone.
async fn run_calls<T: CellData>(
    accessor: &Accessor<T>,
    first: Call,
    tree: &Arc<Tree<T>>,
    queue: &mut Queue<T>,
) -> wasmtime::Result<Ran> {
    let pumps = accessor.with(|mut access| Arc::clone(&access.data_mut().core().pumps));
    let mut last_deadline = first.deadline;
    let mut running = FuturesUnordered::new();
    running.push(run_call(accessor, tree, first));
    let mut open = true;
    while !running.is_empty() || pumps.any() {
        tokio::select! {
            biased;
            Some(ended) = running.next(), if !running.is_empty() => ended?,
            job = queue.incoming.recv(), if open => match job {
                Some(Job { tree: of, deadline, work: Work::Call(function, arguments, sabotage, span), done, found, .. }) if std::ptr::eq(of.as_ptr(), Arc::as_ptr(tree)) => {
                    last_deadline = last_deadline.max(deadline);
                    accessor.with(|mut access| access.data_mut().core_mut().deadline = last_deadline);
                    running.push(run_call(accessor, tree, Call { function, arguments, sabotage, span, deadline, done, found }));
                }
                Some(Job { tree, deadline, work: work @ Work::Drop(_), done, .. }) => {
                    // Who drops a handle may be the one that these calls wait for, and must not wait for them.
                    let _ = done.send(Answer::dropped());
                    queue.later.push_back(Job { tree, deadline, work, done: oneshot::channel().0, lend: None, found: Found::default() });
                }
                Some(job) => queue.later.push_back(job),
                None => open = false,
            },
            () = pumps.closed() => {}
            () = tokio::time::sleep_until(last_deadline.instant().into()), if running.is_empty() => {
                return Err(Interrupted { kind: FailureKind::Deadline }.into());
            }
        }
    }
    Ok(Ran::Out)
}

/// Runs one call. An error of the guest breaks the whole cell, and the caller learns from the obituary; what is wrong with handles
/// fails the call alone.
async fn run_call<T: CellData>(accessor: &Accessor<T>, tree: &Tree<T>, running: Call) -> wasmtime::Result<()> {
    let Call { function, arguments, sabotage, span, deadline, done, found } = running;
    let called = meter::until(call(accessor, &function, arguments, sabotage, span, found), deadline).await;
    let Called { results, back } =
        called.unwrap_or_else(|| Called::broken(Interrupted { kind: FailureKind::Deadline }.into()));
    let results = results?.map_err(|kind| {
        let component = accessor.with(|mut access| access.data_mut().core().component());
        failure::budget(kind, tree.app.spec(component))
    });
    // A caller that was cut off has no use for it.
    let _ = done.send(Answer::Done(Done { results, back }));
    Ok(())
}

struct Called {
    results: wasmtime::Result<Result<Frame, FailureKind>>,
    back: Vec<Entry>,
}

impl Called {
    fn broken(error: wasmtime::Error) -> Self {
        Self { results: Err(error), back: Vec::new() }
    }
}

async fn call<T: CellData>(
    accessor: &Accessor<T>,
    function: &ExportedFunction,
    mut arguments: Frame,
    sabotage: Option<Sabotage>,
    span: Option<SpanId>,
    found: Found,
) -> Called {
    let mut store = accessor;
    let mut lent = Lent::default();
    if let Err(kind) = membrane::unpack(&mut arguments, &mut store, &mut lent) {
        return Called { results: Ok(Err(kind)), back: membrane::take_back(lent, &mut store) };
    }
    let instance = accessor.with(|mut access| access.data_mut().core().instance);
    let Some(instance) = instance else { return Called::broken(wasmtime::Error::msg("the cell has no instance")) };
    let struck = match sabotage {
        Some(sabotage) => inject::strike_within(accessor, sabotage).await,
        None => Ok(()),
    };
    // A cell that breaks gives back what it was lent, too.
    let place = lent.any().then(|| {
        let lent = (std::mem::take(&mut lent), found);
        accessor.with(|mut access| access.data_mut().core_mut().lent.insert(lent))
    });
    let called = match struck {
        Ok(()) => function.call_concurrent(accessor, instance, arguments, span).await.and_then(|mut results| {
            let account = accessor.with(|mut access| Arc::clone(access.data_mut().core().account()));
            results.charge(&account)?;
            accessor.with(|mut access| access.data_mut().core_mut().injected = None);
            Ok(results)
        }),
        Err(error) => Err(error),
    };
    let mut results = match called {
        Ok(results) => results,
        Err(error) => return Called::broken(error),
    };
    if let Some(place) = place {
        let kept = accessor.with(|mut access| access.data_mut().core_mut().lent.try_remove(place));
        lent = kept.map(|(lent, _)| lent).unwrap_or_default();
    }
    let back = membrane::take_back(lent, &mut store);
    let results = membrane::pack(&mut results, &mut store).map(|_| results);
    Called { results: Ok(results), back }
}
