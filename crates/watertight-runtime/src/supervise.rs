//! Keeping the residents of one app: the task that does what its steward decides (invariant 8).
//!
//! It begins with the app's first call, or when the app is warmed, because only then there is a runtime to run on. It ends when the app
//! does; where its runtime ends before, the next call begins it anew on its own. It never runs a guest itself: cells are started in tasks
//! of their own, so that one that is slow to start holds up nobody.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedMutexGuard, mpsc, watch},
    task::{AbortHandle, Id, JoinSet},
    time::Instant,
};
use watertight_model::{
    app::{App, ComponentId},
    event::Event,
    failure::{CallError, FailureKind},
    supervision::{Chance, Deed, End, Finish, Happened, Instance, Run, Scope, Steward},
};

use crate::{
    app::{LoadedApp, root_deadline},
    cell::Cell,
    driver::{Driver, Farewell},
    host::CellData,
};

/// How long a resident that is to stop may finish the calls it has; then they are cut. OTP gives its workers as much.
const DRAIN: Duration = Duration::from_secs(5);

/// The office of an app's steward: what its task and those who ask share.
#[derive(Debug)]
pub(crate) struct Office {
    steward: Mutex<Steward>,
    /// What the task listens to, for as long as it lives.
    told: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Happened>>>,
    tell: mpsc::UnboundedSender<Happened>,
    /// The task lives, or there is nothing for one to do.
    kept: AtomicBool,
    /// The moment that the steward's time is counted from.
    base: OnceLock<Instant>,
    progress: watch::Sender<Progress>,
}

/// How far an app's residents have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    /// Not all have been started.
    Starting,
    /// Each is up, or was tried.
    Ready,
    /// It is over.
    Over(bool),
}

impl Office {
    pub(crate) fn new(app: &App, scope: Scope) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let any = app.components.iter().any(|spec| spec.is_resident() && spec.residence.scope == scope);
        let progress = watch::Sender::new(if any { Progress::Starting } else { Progress::Ready });
        Self {
            steward: Mutex::new(Steward::new(app, scope)),
            told: Arc::new(tokio::sync::Mutex::new(told)),
            tell,
            kept: AtomicBool::new(!any),
            base: OnceLock::new(),
            progress,
        }
    }

    /// Where seats tell of what happens in them.
    pub(crate) fn teller(&self) -> mpsc::UnboundedSender<Happened> {
        self.tell.clone()
    }

    /// Begins, if it has not begun: with what the node has once, if this process has it.
    pub(crate) fn begin<T: CellData>(app: &Arc<LoadedApp<T>>) {
        Self::begin_of(app, Scope::Worker);
        if app.keeps() {
            Self::begin_of(app, Scope::Node);
        }
    }

    fn begin_of<T: CellData>(app: &Arc<LoadedApp<T>>, scope: Scope) {
        let office = app.office(scope);
        if office.kept.load(Ordering::Acquire) {
            return;
        }
        // Of two that come at once, one gets it.
        if let Ok(told) = Arc::clone(&office.told).try_lock_owned() {
            office.kept.store(true, Ordering::Release);
            // Made here, so that it says so if the runtime ends before the task had a turn.
            let hands = Hands::new(Arc::downgrade(app), scope);
            tokio::spawn(keep(hands, told));
        }
    }

    /// Waits until every resident has been started, or tried.
    pub(crate) async fn ready(&self) {
        self.reached(|progress| *progress >= Progress::Ready).await;
    }

    /// Asks every resident to stop, in the reverse of the order of their start, and waits for it.
    pub(crate) async fn stop(&self) {
        // Without a task, nothing that could be stopped in order is left.
        if self.base.get().is_some() && self.told.try_lock().is_err() && self.tell.send(Happened::Stop).is_ok() {
            self.reached(|progress| matches!(progress, Progress::Over(_))).await;
        }
    }

    /// Waits until the app has given up.
    pub(crate) async fn down(&self) {
        self.reached(|progress| *progress == Progress::Over(true)).await;
    }

    async fn reached(&self, wanted: impl FnMut(&Progress) -> bool) {
        // The sender lives as long as this.
        let _ = self.progress.subscribe().wait_for(wanted).await;
    }

    /// Looks at the steward.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Steward) -> R) -> R {
        look(&self.steward.lock())
    }
}

/// The task.
async fn keep<T: CellData>(mut hands: Hands<T>, mut told: OwnedMutexGuard<mpsc::UnboundedReceiver<Happened>>) {
    let app = Weak::clone(&hands.app);
    let mut happened = Some(Happened::Begin);
    while let Some(now) = happened {
        {
            let Some(app) = app.upgrade() else { return };
            if hands.act(&app, now) {
                hands.over = true;
                return;
            }
        }
        happened = hands.next(&app, &mut told).await;
    }
}

/// What carries out deeds: the cells that start, and those that were told to stop.
struct Hands<T: CellData> {
    app: Weak<LoadedApp<T>>,
    scope: Scope,
    starting: JoinSet<Result<Box<Cell<T>>, CallError>>,
    starts: HashMap<Id, Start>,
    /// When to cut whom, in that order.
    hurried: VecDeque<(Instant, ComponentId, Run)>,
    wake_at: Option<Instant>,
    chance: RandomState,
    steps: u64,
    /// There is nothing left to do, ever.
    over: bool,
}

/// A cell that starts.
struct Start {
    instance: Instance,
    run: Run,
    handle: AbortHandle,
    /// It is not wanted any more.
    stopped: bool,
}

impl<T: CellData> Hands<T> {
    fn new(app: Weak<LoadedApp<T>>, scope: Scope) -> Self {
        Self {
            app,
            scope,
            starting: JoinSet::new(),
            starts: HashMap::new(),
            hurried: VecDeque::new(),
            wake_at: None,
            chance: RandomState::new(),
            steps: 0,
            over: false,
        }
    }

    /// Lets the steward decide, and does what it says; says whether it is over.
    fn act(&mut self, app: &Arc<LoadedApp<T>>, happened: Happened) -> bool {
        let office = app.office(self.scope);
        self.steps += 1;
        let bits = self.chance.hash_one(self.steps);
        let chance = Chance::from_bits(u32::try_from(bits >> 32).unwrap_or(0));
        let base = *office.base.get_or_init(Instant::now);
        let (deeds, wake_at) = {
            let mut steward = office.steward.lock();
            let deeds = steward.step(happened, base.elapsed(), chance);
            (deeds, steward.wake_at())
        };
        self.wake_at = wake_at.map(|at| base + at);
        for deed in deeds {
            match deed {
                Deed::Stand(component, standing) => app.component(component).residents.stand(standing),
                Deed::Start(instance, run) => self.start(app, instance, run),
                Deed::Stop(instance, run) => self.stop(app, instance, run),
                Deed::Retire(instance, run) => app.component(instance.component).residents.leave(run, false),
                Deed::Tell(of, change) => app.events().emit(Event::Supervised { of, change }),
                Deed::Ready => {
                    office.progress.send_replace(Progress::Ready);
                }
                Deed::Finish(finish) => {
                    office.progress.send_replace(Progress::Over(finish == Finish::Down));
                    return true;
                }
            }
        }
        false
    }

    fn start(&mut self, app: &Arc<LoadedApp<T>>, instance: Instance, run: Run) {
        let app = Arc::clone(app);
        let handle = self.starting.spawn(async move {
            let _busy = app.engines().busy();
            let component = instance.component;
            Cell::start(&app, component, root_deadline(app.spec(component))).await
        });
        self.starts.insert(handle.id(), Start { instance, run, handle, stopped: false });
    }

    fn stop(&mut self, app: &LoadedApp<T>, instance: Instance, run: Run) {
        if let Some(start) = self.starts.values_mut().find(|start| start.run == run) {
            start.stopped = true;
            start.handle.abort();
            return;
        }
        app.component(instance.component).residents.leave(run, true);
        // It may be busy with a call to another that is stopped with it.
        app.model().components.iter().for_each(|spec| app.component(spec.id).residents.look_again());
        self.hurried.push_back((Instant::now() + DRAIN, instance.component, run));
    }

    /// Waits for the next thing to happen; none when the app has gone.
    async fn next(
        &mut self,
        app: &Weak<LoadedApp<T>>,
        told: &mut mpsc::UnboundedReceiver<Happened>,
    ) -> Option<Happened> {
        let timers = self.wake_at.into_iter().chain(self.hurried.front().map(|(at, ..)| *at));
        let wake_at = timers.min();
        tokio::select! {
            happened = told.recv() => happened,
            Some(started) = self.starting.join_next_with_id() => {
                let (id, started) = match started {
                    Ok((id, started)) => (id, Some(started)),
                    Err(lost) => (lost.id(), None),
                };
                self.started(&app.upgrade()?, id, started)
            }
            () = sleep_until(wake_at) => {
                let app = app.upgrade()?;
                while let Some((_, component, run)) = self.hurried.pop_front_if(|(at, ..)| *at <= Instant::now()) {
                    app.component(component).residents.cut(run);
                }
                Some(Happened::Tick)
            }
        }
    }

    /// A start is over; `None` is one that was stopped, or panicked.
    fn started(
        &mut self,
        app: &Arc<LoadedApp<T>>,
        id: Id,
        started: Option<Result<Box<Cell<T>>, CallError>>,
    ) -> Option<Happened> {
        let Some(Start { instance, run, stopped, .. }) = self.starts.remove(&id) else { return Some(Happened::Tick) };
        if stopped {
            drop(started);
            return Some(Happened::Gone(run));
        }
        let cell = match started {
            Some(Ok(cell)) => cell,
            Some(Err(error)) => return Some(Happened::NotStarted(run, error.kind)),
            None => return Some(Happened::NotStarted(run, FailureKind::HostPanic)),
        };
        let loaded = app.component(instance.component);
        if loaded.driven {
            let (account, cut) = (Arc::clone(cell.account()), cell.cut().cloned().unwrap_or_default());
            let driver = Driver::start(cell, Some(Farewell::new(app, instance.component, run)));
            loaded.residents.seat_driver(run, instance.number, driver, account, cut);
        } else {
            loaded.residents.seat(run, instance.number, cell);
        }
        Some(Happened::Started(run))
    }
}

impl<T: CellData> Drop for Hands<T> {
    /// Its runtime has gone, if it was not over: the next task finds that what was starting never came.
    fn drop(&mut self) {
        let Some(app) = self.app.upgrade().filter(|_| !self.over) else { return };
        let office = app.office(self.scope);
        for Start { run, stopped, .. } in self.starts.values() {
            let lost = if *stopped { Happened::Gone(*run) } else { Happened::Ended(*run, End::CutOff) };
            let _ = office.tell.send(lost);
        }
        office.kept.store(false, Ordering::Release);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
