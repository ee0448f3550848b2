//! A steward and a world around it that does what it says: cells that start, stop and go, and a log of all of it.

use std::{collections::BTreeMap, time::Duration};

use watertight_model::{
    app::App,
    failure::FailureKind,
    supervision::{Chance, Change, Deed, End, Finish, Happened, Instance, Run, Scope, Standing, Steward, Subject},
};

use crate::apps::sound;

/// An app; one without `[app]` is called `t`.
pub(crate) fn app(manifest: &str, components: &[(&str, &str)]) -> App {
    let manifest =
        if manifest.starts_with("[app]") { manifest.to_owned() } else { format!("[app]\nname = \"t\"\n{manifest}") };
    sound(&manifest, components)
}

/// A cell, as far as a steward sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Starting,
    Up,
    Stopping,
}

pub(crate) struct House {
    pub(crate) app: App,
    pub(crate) steward: Steward,
    pub(crate) now: Duration,
    /// Places whose cells cannot start.
    pub(crate) broken: Vec<String>,
    pub(crate) chance: u32,
    pub(crate) cells: BTreeMap<Run, (Instance, Cell)>,
    pub(crate) standing: BTreeMap<String, Standing>,
    log: Vec<String>,
}

impl House {
    pub(crate) fn new(app: &App) -> Self {
        Self {
            app: app.clone(),
            steward: Steward::new(app, Scope::Worker),
            now: Duration::ZERO,
            broken: Vec::new(),
            chance: 0,
            cells: BTreeMap::new(),
            standing: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    pub(crate) fn of(app: &App) -> Self {
        Self::new(app)
    }

    /// An app of one resident, `db`, with these keys, that is up.
    pub(crate) fn resident(keys: &str) -> Self {
        let manifest = format!("[component.db]\nsource = \"db.wasm\"\nlifetime = \"resident\"\n{keys}\n");
        let mut house = Self::new(&app(&manifest, &[("db", "")]));
        house.happens(Happened::Begin);
        house.settle();
        house.log();
        house
    }

    /// Tells the steward, and notes what it does.
    pub(crate) fn happens(&mut self, happened: Happened) -> Vec<Deed> {
        let deeds = self.steward.step(happened, self.now, Chance::from_bits(self.chance));
        for deed in &deeds {
            self.note(deed);
            match deed {
                Deed::Start(instance, run) => drop(self.cells.insert(*run, (*instance, Cell::Starting))),
                Deed::Stop(_, run) | Deed::Retire(_, run) => {
                    self.cells.get_mut(run).expect("only what was started is stopped").1 = Cell::Stopping;
                }
                Deed::Stand(component, standing) => {
                    let name = self.app.component(*component).name.clone();
                    self.standing.insert(name, standing.clone());
                }
                Deed::Tell(..) | Deed::Ready | Deed::Finish(_) => {}
            }
        }
        deeds
    }

    /// Lets everything come to rest that needs no time.
    pub(crate) fn settle(&mut self) {
        while let Some(happened) = self.next() {
            self.happens(happened);
        }
    }

    /// What a cell does next by itself.
    pub(crate) fn next(&mut self) -> Option<Happened> {
        let (run, (instance, cell)) = self.cells.iter().find(|(_, (_, cell))| *cell != Cell::Up)?;
        let (run, instance, cell) = (*run, *instance, *cell);
        let fails = self.broken.contains(&self.name(instance));
        match cell {
            Cell::Starting if !fails => {
                self.cells.insert(run, (instance, Cell::Up));
                Some(Happened::Started(run))
            }
            Cell::Starting => {
                self.cells.remove(&run);
                Some(Happened::NotStarted(run, FailureKind::Trap))
            }
            Cell::Stopping | Cell::Up => {
                self.cells.remove(&run);
                Some(Happened::Gone(run))
            }
        }
    }

    /// Lets time pass, tick by tick.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.settle();
        let until = self.now + time;
        while let Some(at) = self.steward.wake_at().filter(|at| *at <= until) {
            self.now = at;
            self.happens(Happened::Tick);
            self.settle();
        }
        self.now = until;
        self.happens(Happened::Tick);
        self.settle();
    }

    /// Ends the cell in a place.
    pub(crate) fn ends(&mut self, place: &str, end: End) {
        let run = self.run(place);
        self.cells.remove(&run);
        self.happens(Happened::Ended(run, end));
    }

    /// The cell in a place: the latest that is up.
    pub(crate) fn run(&self, place: &str) -> Run {
        let up = |(_, (instance, cell)): &(&Run, &(Instance, Cell))| self.name(*instance) == place && *cell == Cell::Up;
        *self.cells.iter().rfind(up).unwrap_or_else(|| panic!("{place} is not up")).0
    }

    pub(crate) fn is_up(&self, place: &str) -> bool {
        self.cells.values().any(|(instance, cell)| self.name(*instance) == place && *cell == Cell::Up)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Why calls to a component fail at once, if they do.
    pub(crate) fn down(&self, component: &str) -> Option<String> {
        match self.standing.get(component)? {
            Standing::Down(why) => Some(why.to_string()),
            Standing::Open => None,
        }
    }

    /// What was done since the last look.
    pub(crate) fn log(&mut self) -> String {
        std::mem::take(&mut self.log).join(" · ")
    }

    fn name(&self, instance: Instance) -> String {
        format!("{}/{}", self.app.component(instance.component).name, instance.number)
    }

    fn note(&mut self, deed: &Deed) {
        let line = self.line(deed);
        self.log.push(line);
    }

    /// A deed in a few words.
    pub(crate) fn line(&self, deed: &Deed) -> String {
        match deed {
            Deed::Start(instance, _) => format!("start {}", self.name(*instance)),
            Deed::Stop(instance, _) => format!("stop {}", self.name(*instance)),
            Deed::Retire(instance, _) => format!("retire {}", self.name(*instance)),
            Deed::Stand(component, Standing::Open) => format!("{} open", self.app.component(*component).name),
            Deed::Stand(component, Standing::Down(why)) => {
                format!("{} down: {why}", self.app.component(*component).name)
            }
            Deed::Tell(of, change) => format!("{} {}", self.subject(*of), changed(*change)),
            Deed::Ready => "ready".to_owned(),
            Deed::Finish(Finish::Stopped) => "stopped".to_owned(),
            Deed::Finish(Finish::Down) => "down".to_owned(),
        }
    }

    fn subject(&self, of: Subject) -> String {
        match of {
            Subject::Instance { component, number } => self.name(Instance { component, number }),
            Subject::Component(component) => self.app.component(component).name.clone(),
            Subject::Group(group) => self.app.supervision.group(group).name.clone(),
            Subject::App => "app".to_owned(),
        }
    }
}

fn changed(change: Change) -> String {
    match change {
        Change::Started => "started".to_owned(),
        Change::Stopped => "stopped".to_owned(),
        Change::Ended { end } => format!("ended ({end})"),
        Change::Restarting { end, attempt, .. } => format!("restarting {attempt} ({end})"),
        Change::Recycled { why } => format!("recycled for its {why}"),
        Change::Kept { failure } => format!("kept ({failure})"),
        Change::GaveUp { .. } => "gave up".to_owned(),
    }
}
