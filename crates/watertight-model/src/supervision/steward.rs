//! The steward of an app's residents: it decides what starts, what stops and what follows from an end, with OTP's semantics. It holds
//! no cells, waits for nothing and reads no clock (invariants 1 and 8).
//!
//! ```text
//!            start           started                      stop
//!  waiting ─────────▶ starting ─────▶ up ◀──▶ renewing   any ─────▶ stopping ──▶ gone: waiting again, done, or it is over
//!     ▲                  │            │          │
//!     │   backoff over   │ not started│ ended    │
//!     └──── backing off ◀┴────────────┴──────────┘──▶ done (transient, temporary) or down (gave up)
//! ```
//!
//! Whatever is restarted is a *batch*: an unbroken range of places that are first all stopped, the last one first, then rest until the
//! backoff is over, then start one after the other. A batch that begins swallows those within it; one that begins within another
//! takes its places out of it. So nothing is ever between two batches, or in both.

mod look;

use std::{ops::Range, sync::Arc, time::Duration};

pub use self::look::Record;
use super::{
    Chance, Change, Deed, DownReason, End, Finish, Happened, Recycle, Restart, Run, Scope, Standing, Strategy, Subject,
    Wear,
    lineage::{APP, Lineage, NodeId, Place, What},
};
use crate::{
    app::{App, ComponentId},
    failure::FailureKind,
};

/// Keeps the residents of one app.
#[derive(Clone, Debug)]
pub struct Steward {
    lineage: Lineage,
    berths: Vec<Berth>,
    batches: Vec<Batch>,
    accounts: Vec<Account>,
    rest: Duration,
    next_run: u64,
    /// When the last step was made.
    now: Duration,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The app has not begun.
    Idle,
    /// The first batch is at work.
    Starting,
    Running,
    Over,
}

/// What is in one place.
#[derive(Clone, Debug, Default)]
struct Berth {
    current: Option<Current>,
    /// A cell that starts, to take the current one's place.
    fresh: Option<Run>,
    /// Cells that are to go.
    leaving: Vec<Leaving>,
    goal: Goal,
    worn: Option<Wear>,
    /// It was filled before: filling it is a restart.
    begun: bool,
    /// After a fresh cell could not be started.
    renew_from: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    run: Run,
    up_since: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    run: Run,
    /// It was told to stop, and not only that it was replaced.
    hurried: bool,
    /// Its batch waits for it to be gone.
    awaited: bool,
}

/// What is to become of a place.
#[derive(Clone, Debug, Default)]
enum Goal {
    /// To be filled when its batch comes to it.
    #[default]
    Waiting,
    /// To stay as it is.
    Kept,
    /// To be emptied by its batch; then it waits, or is done.
    Doomed { afterwards: Option<DownReason> },
    /// To stay empty.
    Done(DownReason),
}

/// Places that are restarted together.
#[derive(Clone, Debug)]
struct Batch {
    places: Range<Place>,
    until: Duration,
    /// What calls are told until it starts them again.
    down: Option<DownReason>,
    finish: Option<Finish>,
    /// The one that the app began with.
    first: bool,
}

/// What is remembered of one component.
#[derive(Clone, Debug)]
struct Account {
    component: ComponentId,
    node: NodeId,
    told: Standing,
    record: Record,
}

impl Steward {
    /// The steward of an app that has not begun: of the residents of this scope.
    #[must_use]
    pub fn new(app: &App, scope: Scope) -> Self {
        let lineage = Lineage::of(app, scope);
        let accounts = lineage.components().map(|(component, node)| Account {
            component,
            node,
            told: Standing::Open,
            record: Record::default(),
        });
        Self {
            accounts: accounts.collect(),
            berths: vec![Berth::default(); lineage.places.len()],
            lineage,
            batches: Vec::new(),
            rest: app.supervision.rest,
            next_run: 0,
            now: Duration::ZERO,
            progress: Progress::Idle,
        }
    }

    /// What follows from what happened. `now` is the time since any fixed moment; `chance` shortens a backoff that begins now.
    pub fn step(&mut self, happened: Happened, now: Duration, chance: Chance) -> Vec<Deed> {
        let mut deeds = Vec::new();
        self.now = now;
        if self.progress == Progress::Over {
            return deeds;
        }
        match happened {
            Happened::Begin => self.begin(),
            Happened::Started(run) => self.started(run, &mut deeds),
            Happened::NotStarted(run, kind) => self.ended(run, End::Failed(kind), chance, &mut deeds),
            Happened::Ended(run, end) => self.ended(run, end, chance, &mut deeds),
            Happened::Worn(run, wear) => self.worn(run, wear),
            Happened::Asked(component) => self.asked(component),
            Happened::Gone(run) => self.gone(run, &mut deeds),
            Happened::Tick => {}
            Happened::Stop => self.finish(Finish::Stopped, &DownReason::Stopped),
        }
        self.settle(&mut deeds);
        self.stand(&mut deeds);
        // Who hears that a component gave up finds that its calls know.
        deeds.sort_by_key(|deed| !matches!(deed, Deed::Stand(..)));
        deeds
    }

    /// When to call `step` with [`Happened::Tick`], if nothing happens before.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let rests = self.batches.iter().map(|batch| batch.until);
        let wears = self.berths.iter().enumerate().filter_map(|(place, berth)| {
            let up_since = berth.current.and_then(|current| current.up_since)?;
            match berth.worn {
                Some(_) => Some(berth.renew_from),
                None => Some(up_since + self.lineage.places[place].residence.recycle.age?),
            }
        });
        rests.chain(wears).filter(|at| *at > self.now).min()
    }

    /// Whether it is over: nothing is left, and nothing will be.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.progress == Progress::Over
    }

    fn begin(&mut self) {
        if self.progress == Progress::Idle {
            self.progress = Progress::Starting;
            let places = 0..self.berths.len();
            self.batches.push(Batch { places, until: self.now, down: None, finish: None, first: true });
        }
    }

    fn started(&mut self, run: Run, deeds: &mut Vec<Deed>) {
        let Some(place) = self.place_of(run) else { return };
        let up = Current { run, up_since: Some(self.now) };
        let instance = self.lineage.places[place].instance;
        let berth = &mut self.berths[place];
        if berth.fresh == Some(run) {
            berth.fresh = None;
            let doomed = matches!(berth.goal, Goal::Doomed { .. });
            if let Some(old) = berth.current.replace(up) {
                berth.leaving.push(Leaving { run: old.run, hurried: doomed, awaited: doomed });
                deeds.push(if doomed { Deed::Stop(instance, old.run) } else { Deed::Retire(instance, old.run) });
            }
            let why = berth.worn.take().unwrap_or(Wear::Age);
            self.account(place).record.recycled += 1;
            self.tell(place, Change::Recycled { why }, deeds);
        } else if berth.current.is_some_and(|current| current.run == run && current.up_since.is_none()) {
            berth.current = Some(up);
            self.tell(place, Change::Started, deeds);
        }
    }

    /// A fresh cell could not be started: the worn one stays, until another try.
    fn keep(&mut self, place: Place, failure: FailureKind, deeds: &mut Vec<Deed>) {
        let again = self.lineage.places[place].residence.backoff.most;
        self.berths[place].fresh = None;
        self.berths[place].renew_from = self.now + again;
        self.tell(place, Change::Kept { failure }, deeds);
    }

    fn worn(&mut self, run: Run, wear: Wear) {
        let Some(place) = self.place_of(run) else { return };
        // The pool has room for the fresh cell only where recycling was asked for.
        let recycled = self.lineage.places[place].residence.recycle != Recycle::default();
        let berth = &mut self.berths[place];
        if recycled && berth.current.is_some_and(|current| current.run == run) {
            berth.worn.get_or_insert(wear);
        }
    }

    /// An operator wants fresh cells. They come before the old ones go where the pool has room for both, else after; and at once where
    /// the component had ended, or was given up.
    fn asked(&mut self, component: ComponentId) {
        let begun = matches!(self.progress, Progress::Starting | Progress::Running);
        let over = self.batches.iter().any(|batch| batch.finish.is_some());
        let Some(account) = self.accounts.iter().find(|account| account.component == component) else { return };
        if !begun || over {
            return;
        }
        let node = account.node;
        let places = self.lineage.nodes[node].places.clone();
        let gently = places.clone().all(|place| {
            let berth = &self.berths[place];
            let up = berth.current.is_some_and(|current| current.up_since.is_some());
            up && matches!(berth.goal, Goal::Kept) && self.lineage.places[place].residence.recycle != Recycle::default()
        });
        if gently {
            for place in places {
                self.berths[place].worn.get_or_insert(Wear::Asked);
                self.berths[place].renew_from = self.now;
            }
        } else {
            self.lineage.forget_restarts(node);
            self.batch(places, node, Duration::ZERO);
        }
    }

    fn gone(&mut self, run: Run, deeds: &mut Vec<Deed>) {
        let Some(place) = self.place_of(run) else { return };
        let leaving = &mut self.berths[place].leaving;
        if let Some(index) = leaving.iter().position(|leaving| leaving.run == run)
            && leaving.swap_remove(index).awaited
        {
            self.tell(place, Change::Stopped, deeds);
        }
    }

    /// A cell ended that nobody had told to.
    fn ended(&mut self, run: Run, end: End, chance: Chance, deeds: &mut Vec<Deed>) {
        let Some(place) = self.place_of(run) else { return };
        let berth = &mut self.berths[place];
        if berth.fresh == Some(run) {
            return match end {
                End::Failed(kind) => self.keep(place, kind, deeds),
                // Nobody's failure: it is tried again at once.
                End::Normal | End::CutOff => berth.fresh = None,
            };
        }
        if berth.current.is_none_or(|current| current.run != run) {
            return self.gone(run, deeds);
        }
        berth.current = None;
        berth.worn = None;
        if !matches!(berth.goal, Goal::Kept) {
            return;
        }
        if let End::Failed(kind) = end {
            self.account(place).record.last_failure = Some(kind);
        }
        let restart = self.lineage.places[place].residence.restart;
        match (restart, end) {
            (_, End::CutOff) => self.restart(place, end, 0, Duration::ZERO, deeds),
            (Restart::Permanent, _) | (Restart::Transient, End::Failed(_)) => self.count(place, end, chance, deeds),
            (Restart::Transient, End::Normal) | (Restart::Temporary, _) => {
                self.dismiss_fresh(place, deeds);
                self.berths[place].goal = Goal::Done(DownReason::Ended { end, restart });
                self.tell(place, Change::Ended { end }, deeds);
            }
        }
    }

    /// Counts a restart of a cell against its component's intensity.
    fn count(&mut self, place: Place, end: End, chance: Chance, deeds: &mut Vec<Deed>) {
        let placed = &self.lineage.places[place];
        let (node, residence) = (placed.node, Arc::clone(&placed.residence));
        let window = &mut self.lineage.nodes[node].window;
        let before = window.count(residence.intensity, self.now);
        let backoff = residence.backoff.after(before, chance);
        if window.admit(residence.intensity, self.now) {
            let attempt = u32::try_from(before + 1).unwrap_or(u32::MAX);
            self.restart(place, end, attempt, backoff, deeds);
        } else {
            self.give_up(node, end, backoff, deeds);
        }
    }

    /// Restarts a cell, and with it whatever its group's strategy says.
    fn restart(&mut self, place: Place, end: End, attempt: u32, backoff: Duration, deeds: &mut Vec<Deed>) {
        let node = self.lineage.places[place].node;
        let group = self.lineage.nodes[node].parent;
        let scope = self.lineage.scope(group, node);
        let change = Change::Restarting { end, attempt, backoff };
        self.tell(place, change, deeds);
        // A temporary member is not restarted on its own account; one that was cut off is only replaced.
        let temporary = self.lineage.places[place].residence.restart == Restart::Temporary;
        if temporary || self.lineage.nodes[group].strategy() == Strategy::OneForOne {
            self.dismiss_fresh(place, deeds);
            self.batch(place..place + 1, node, backoff);
        } else {
            if let Some(id) = self.lineage.nodes[group].group() {
                deeds.push(Deed::Tell(Subject::Group(id), change));
            }
            self.batch(scope, group, backoff);
        }
    }

    /// A supervisor made too many restarts: it ends what is under it and fails to the one above.
    fn give_up(&mut self, node: NodeId, end: End, backoff: Duration, deeds: &mut Vec<Deed>) {
        let (parent, key) = (self.lineage.nodes[node].parent, self.lineage.nodes[node].key());
        let Some(intensity) = self.lineage.nodes[node].intensity() else { return };
        let above = self.lineage.nodes[parent].intensity();
        let rest = above.is_none().then_some(self.rest);
        self.say(node, Change::GaveUp { end, intensity, rest }, deeds);
        self.lineage.forget_restarts(node);
        let Some(above) = above else {
            let places = self.lineage.nodes[node].places.clone();
            self.batch(places, parent, self.rest);
            if let Some(batch) = self.batches.last_mut() {
                batch.down = Some(DownReason::GaveUp { key, intensity, end, rest: self.rest });
            }
            return;
        };
        let before = self.lineage.nodes[parent].window.count(above, self.now);
        if self.lineage.nodes[parent].window.admit(above, self.now) {
            let attempt = u32::try_from(before + 1).unwrap_or(u32::MAX);
            let change = Change::Restarting { end, attempt, backoff };
            let alone = self.lineage.nodes[parent].strategy() == Strategy::OneForOne;
            self.say(if alone { node } else { parent }, change, deeds);
            self.batch(self.lineage.scope(parent, node), parent, backoff);
        } else if parent == APP {
            self.say(APP, Change::GaveUp { end, intensity: above, rest: None }, deeds);
            self.finish(Finish::Down, &DownReason::App { intensity: above, end });
        } else {
            self.give_up(parent, end, backoff, deeds);
        }
    }

    /// Stops everything, for good.
    fn finish(&mut self, finish: Finish, why: &DownReason) {
        if self.batches.iter().any(|batch| batch.finish.is_some()) {
            return;
        }
        for berth in &mut self.berths {
            berth.goal = Goal::Doomed { afterwards: Some(why.clone()) };
            berth.leaving.iter_mut().for_each(|leaving| leaving.awaited = true);
        }
        self.batches.clear();
        let (places, first) = (0..self.berths.len(), self.progress != Progress::Running);
        self.batches.push(Batch { places, until: self.now, down: Some(why.clone()), finish: Some(finish), first });
    }

    /// Begins a batch: what runs in these places is stopped, and what may be is started after `wait`. `supervisor` is who restarts;
    /// its own temporary members are not restarted, as in OTP, but those of others below it begin anew.
    fn batch(&mut self, places: Range<Place>, supervisor: NodeId, wait: Duration) {
        let within = |batch: &Batch| places.start <= batch.places.start && batch.places.end <= places.end;
        let first = self.batches.iter().any(|batch| within(batch) && batch.first);
        self.batches.retain(|batch| !within(batch));
        // One cell that is restarted does not wait for one that it took the place of before.
        let alone = places.len() == 1 && matches!(self.lineage.nodes[supervisor].what, What::Component { .. });
        for place in places.clone() {
            let placed = &self.lineage.places[place];
            let temporary =
                placed.residence.restart == Restart::Temporary && self.lineage.nodes[placed.node].parent == supervisor;
            let berth = &mut self.berths[place];
            for leaving in &mut berth.leaving {
                leaving.awaited |= !alone;
            }
            berth.goal = match std::mem::take(&mut berth.goal) {
                Goal::Done(why) if temporary => Goal::Done(why),
                Goal::Kept if temporary => {
                    let why = DownReason::Ended { end: End::CutOff, restart: Restart::Temporary };
                    Goal::Doomed { afterwards: Some(why) }
                }
                Goal::Doomed { afterwards } if temporary => Goal::Doomed { afterwards },
                Goal::Kept | Goal::Doomed { .. } => Goal::Doomed { afterwards: None },
                Goal::Waiting | Goal::Done(_) => Goal::Waiting,
            };
        }
        let until = self.now + wait;
        self.batches.push(Batch { places, until, down: None, finish: None, first });
    }

    /// Does whatever can be done now.
    fn settle(&mut self, deeds: &mut Vec<Deed>) {
        let mut index = 0;
        while index < self.batches.len() {
            if !(self.empty(index, deeds) && self.fill(index, deeds)) {
                index += 1;
                continue;
            }
            let batch = self.batches.remove(index);
            index = 0;
            if batch.first {
                self.progress = Progress::Running;
                deeds.push(Deed::Ready);
            }
            if let Some(finish) = batch.finish {
                self.progress = Progress::Over;
                self.batches.clear();
                deeds.push(Deed::Finish(finish));
            }
        }
        if self.progress != Progress::Over {
            self.renew(deeds);
        }
    }

    /// Stops what is doomed in a batch, the last one first; says whether all of it is gone.
    fn empty(&mut self, index: usize, deeds: &mut Vec<Deed>) -> bool {
        for place in self.batches[index].places.clone().rev() {
            let Goal::Doomed { afterwards } = &self.berths[place].goal else { continue };
            let afterwards = afterwards.clone();
            self.stop(place, deeds);
            let berth = &mut self.berths[place];
            if berth.leaving.iter().any(|leaving| leaving.awaited) {
                return false;
            }
            berth.worn = None;
            berth.goal = afterwards.map_or(Goal::Waiting, Goal::Done);
        }
        true
    }

    /// Tells what is in a place to stop, once, and lets it be known when all of it is gone.
    fn stop(&mut self, place: Place, deeds: &mut Vec<Deed>) {
        let instance = self.lineage.places[place].instance;
        let berth = &mut self.berths[place];
        let running = berth.current.take().map(|current| current.run);
        for run in running.into_iter().chain(berth.fresh.take()) {
            berth.leaving.push(Leaving { run, hurried: false, awaited: true });
        }
        for leaving in berth.leaving.iter_mut().filter(|leaving| leaving.awaited && !leaving.hurried) {
            leaving.hurried = true;
            deeds.push(Deed::Stop(instance, leaving.run));
        }
    }

    /// Starts what waits in a batch, one after the other, once its rest is over; says whether nothing is left to start.
    fn fill(&mut self, index: usize, deeds: &mut Vec<Deed>) -> bool {
        let batch = &mut self.batches[index];
        if batch.finish.is_some() {
            return true;
        }
        if self.now < batch.until {
            return false;
        }
        batch.down = None;
        let range = batch.places.clone();
        for place in range.clone() {
            let inner = |other: &Batch| other.places.contains(&place) && other.places.len() < range.len();
            if self.batches.iter().any(inner) {
                continue;
            }
            let berth = &self.berths[place];
            if berth.current.is_some_and(|current| current.up_since.is_none()) {
                return false;
            }
            if matches!(berth.goal, Goal::Waiting) {
                self.start(place, deeds);
                return false;
            }
        }
        true
    }

    fn start(&mut self, place: Place, deeds: &mut Vec<Deed>) {
        let run = self.new_run();
        let berth = &mut self.berths[place];
        berth.current = Some(Current { run, up_since: None });
        berth.goal = Goal::Kept;
        let again = std::mem::replace(&mut berth.begun, true);
        self.account(place).record.restarts += u64::from(again);
        deeds.push(Deed::Start(self.lineage.places[place].instance, run));
    }

    /// Starts fresh cells for worn ones, one at a time for each component.
    fn renew(&mut self, deeds: &mut Vec<Deed>) {
        for account in 0..self.accounts.len() {
            let places = self.lineage.nodes[self.accounts[account].node].places.clone();
            let mut berths = self.berths[places.clone()].iter();
            if berths.any(|berth| berth.fresh.is_some() || !berth.leaving.is_empty()) {
                continue;
            }
            let due = places.clone().find(|place| self.is_due(*place));
            if let Some(place) = due {
                let run = self.new_run();
                let berth = &mut self.berths[place];
                berth.fresh = Some(run);
                berth.worn.get_or_insert(Wear::Age);
                deeds.push(Deed::Start(self.lineage.places[place].instance, run));
            }
        }
    }

    fn is_due(&self, place: Place) -> bool {
        let berth = &self.berths[place];
        let Some(up_since) = berth.current.and_then(|current| current.up_since) else { return false };
        let age = self.lineage.places[place].residence.recycle.age;
        let old = age.is_some_and(|age| self.now.saturating_sub(up_since) >= age);
        matches!(berth.goal, Goal::Kept) && (old || berth.worn.is_some()) && self.now >= berth.renew_from
    }

    /// Tells calls where they stand, where that has changed.
    fn stand(&mut self, deeds: &mut Vec<Deed>) {
        for account in 0..self.accounts.len() {
            let standing = self.standing_at(self.accounts[account].node);
            if standing != self.accounts[account].told {
                self.accounts[account].told = standing.clone();
                deeds.push(Deed::Stand(self.accounts[account].component, standing));
            }
        }
    }

    fn dismiss_fresh(&mut self, place: Place, deeds: &mut Vec<Deed>) {
        if let Some(run) = self.berths[place].fresh.take() {
            self.berths[place].leaving.push(Leaving { run, hurried: true, awaited: false });
            deeds.push(Deed::Stop(self.lineage.places[place].instance, run));
        }
    }

    fn place_of(&self, run: Run) -> Option<Place> {
        self.berths.iter().position(|berth| {
            berth.current.is_some_and(|current| current.run == run)
                || berth.fresh == Some(run)
                || berth.leaving.iter().any(|leaving| leaving.run == run)
        })
    }

    fn new_run(&mut self) -> Run {
        self.next_run += 1;
        Run(self.next_run)
    }

    fn account(&mut self, place: Place) -> &mut Account {
        let node = self.lineage.places[place].node;
        let index = self.accounts.iter().position(|account| account.node == node).unwrap_or(0);
        &mut self.accounts[index]
    }

    fn tell(&self, place: Place, change: Change, deeds: &mut Vec<Deed>) {
        let super::Instance { component, number } = self.lineage.places[place].instance;
        deeds.push(Deed::Tell(Subject::Instance { component, number }, change));
    }

    /// Tells of a supervisor.
    fn say(&self, node: NodeId, change: Change, deeds: &mut Vec<Deed>) {
        let subject = match &self.lineage.nodes[node].what {
            What::App { .. } => Subject::App,
            What::Group(group) => Subject::Group(group.id),
            What::Component { id, .. } => Subject::Component(*id),
        };
        deeds.push(Deed::Tell(subject, change));
    }
}
