//! What holds whatever happens, in any order.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use proptest::prelude::*;
use watertight_model::{
    app::App,
    failure::FailureKind,
    supervision::{Change, Deed, End, Finish, Happened, Instance, Run, Standing, Subject, Wear, limits},
};

use super::house::{Cell, House, app};

/// Every strategy, nested; every restart type; several instances; recycling.
const MANIFEST: &str = "
[component.a]
source = \"a.wasm\"
lifetime = \"resident\"
instances = 2
intensity = { max = 2, within = \"1s\" }
backoff = { first = \"5ms\", most = \"40ms\" }
recycle = { calls = 10, age = \"3s\" }
[component.b]
source = \"b.wasm\"
lifetime = \"resident\"
restart = \"transient\"
[component.c]
source = \"c.wasm\"
lifetime = \"resident\"
restart = \"temporary\"
instances = 2
[component.d]
source = \"d.wasm\"
lifetime = \"resident\"
recycle = { memory = \"1MiB\" }
[component.e]
source = \"e.wasm\"
lifetime = \"resident\"
intensity = { max = 1, within = \"1s\" }
[group.inner]
members = [\"b\", \"c\", \"d\"]
strategy = \"rest-for-one\"
intensity = { max = 1, within = \"1s\" }
[group.outer]
members = [\"a\", \"inner\"]
strategy = \"one-for-all\"
intensity = { max = 1, within = \"2s\" }
";

const COMPONENTS: [(&str, &str); 5] = [("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")];

static RESTING: LazyLock<App> = LazyLock::new(|| app(MANIFEST, &COMPONENTS));
static MORTAL: LazyLock<App> = LazyLock::new(|| {
    let head = "[app]\nname = \"t\"\nintensity = { max = 1, within = \"2s\" }\n";
    app(&format!("{head}{MANIFEST}"), &COMPONENTS)
});

#[derive(Clone, Debug)]
enum Step {
    /// A cell that is up ends.
    End(prop::sample::Index, End),
    /// A cell that starts or stops gets there; or does not start.
    Go(prop::sample::Index, bool),
    Worn(prop::sample::Index),
    Pass(u64),
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        6 => Just(End::Failed(FailureKind::Trap)),
        1 => Just(End::Normal),
        1 => Just(End::CutOff),
    ];
    prop_oneof![
        6 => (any::<prop::sample::Index>(), end).prop_map(|(which, end)| Step::End(which, end)),
        20 => (any::<prop::sample::Index>(), prop::bool::weighted(0.9)).prop_map(|(which, well)| Step::Go(which, well)),
        2 => any::<prop::sample::Index>().prop_map(Step::Worn),
        4 => (0..2000_u64).prop_map(Step::Pass),
        4 => (0..60_u64).prop_map(Step::Pass),
    ]
}

/// Takes the steps, and looks at everything that is done.
struct Watch {
    house: House,
    /// Cells that were told to start and are not gone, with those that still take calls.
    taking: BTreeMap<Run, Instance>,
    finished: Option<Finish>,
    starts: Vec<(Duration, Instance)>,
}

impl Watch {
    fn begin(app: &App) -> Self {
        let mut watch = Self { house: House::new(app), taking: BTreeMap::new(), finished: None, starts: Vec::new() };
        watch.tell(Happened::Begin);
        watch
    }

    fn tell(&mut self, happened: Happened) {
        let deeds = self.house.happens(happened);
        for deed in &deeds {
            assert_eq!(self.finished, None, "{deed:?} after the end");
            match deed {
                Deed::Start(instance, run) => {
                    self.starts_in_order(*instance);
                    self.starts.push((self.house.now, *instance));
                    assert!(self.taking.insert(*run, *instance).is_none(), "a run is started once");
                }
                Deed::Stop(instance, run) => {
                    self.stops_in_order(*instance, *run);
                    self.taking.remove(run);
                }
                Deed::Retire(_, run) => drop(self.taking.remove(run)),
                Deed::Finish(finish) => {
                    assert!(self.house.is_empty(), "nothing is left at the end");
                    self.finished = Some(*finish);
                }
                Deed::Stand(..) | Deed::Tell(..) | Deed::Ready => {}
            }
        }
        self.bounded();
    }

    /// Cells of a component never outgrow its part of the pool.
    fn bounded(&self) {
        for component in &self.house.app.components {
            let cells = self.house.cells.values().filter(|(instance, _)| instance.component == component.id).count();
            assert!(cells <= component.residence.most_cells() as usize, "{cells} cells of {}", component.name);
        }
    }

    /// In the order of the start, as the manifest of these tests has it.
    fn place(instance: Instance) -> (u32, u32) {
        (instance.component.0, instance.number)
    }

    /// `d` starts when `b` is up, or will not be. What is temporary, as `c`, starts again by itself where its caller was cut off.
    fn starts_in_order(&self, instance: Instance) {
        if instance.component.0 != 3 {
            return;
        }
        for (run, other) in &self.taking {
            let earlier = other.component.0 == 1;
            if earlier {
                assert_eq!(self.house.cells[run].1, Cell::Up, "{other:?} is not up yet, and {instance:?} starts");
            }
        }
    }

    /// A cell that is told to stop for good is the last of its group that runs.
    fn stops_in_order(&self, instance: Instance, run: Run) {
        let group = |instance: Instance| instance.component.0 <= 3;
        // A fresh cell that is not needed any more stops alone.
        let alone = self.taking.iter().any(|(other, of)| *of == instance && *other != run);
        if alone || !group(instance) {
            return;
        }
        for (later, (other, cell)) in &self.house.cells {
            let awaited =
                group(*other) && Self::place(*other) > Self::place(instance) && self.taking.contains_key(later);
            assert!(!awaited || *cell == Cell::Stopping, "{other:?} runs, and {instance:?} is told to stop first");
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::End(which, end) => {
                let up: Vec<Run> = self.in_state(&[Cell::Up]);
                if !up.is_empty() {
                    let run = *which.get(&up);
                    self.house.cells.remove(&run);
                    self.taking.remove(&run);
                    self.tell(Happened::Ended(run, *end));
                }
            }
            Step::Go(which, well) => {
                let going: Vec<Run> = self.in_state(&[Cell::Starting, Cell::Stopping]);
                if !going.is_empty() {
                    let run = *which.get(&going);
                    self.go(run, *well);
                }
            }
            Step::Worn(which) => {
                let up: Vec<Run> = self.in_state(&[Cell::Up]);
                if !up.is_empty() {
                    self.tell(Happened::Worn(*which.get(&up), Wear::Calls));
                }
            }
            Step::Pass(millis) => {
                self.house.now += Duration::from_millis(*millis);
                self.tell(Happened::Tick);
            }
            Step::Stop => self.tell(Happened::Stop),
        }
    }

    fn go(&mut self, run: Run, well: bool) {
        let (instance, cell) = self.house.cells[&run];
        match cell {
            Cell::Starting if well => {
                self.house.cells.insert(run, (instance, Cell::Up));
                self.tell(Happened::Started(run));
            }
            Cell::Starting => {
                self.house.cells.remove(&run);
                self.taking.remove(&run);
                self.tell(Happened::NotStarted(run, FailureKind::Cpu));
            }
            Cell::Stopping | Cell::Up => {
                self.house.cells.remove(&run);
                self.tell(Happened::Gone(run));
            }
        }
    }

    fn in_state(&self, states: &[Cell]) -> Vec<Run> {
        self.house.cells.iter().filter(|(_, (_, cell))| states.contains(cell)).map(|(run, _)| *run).collect()
    }

    /// Lets everything come to rest, for a long time.
    fn rest(&mut self) {
        for _ in 0..200 {
            while let Some(run) = self.in_state(&[Cell::Starting, Cell::Stopping]).first().copied() {
                self.go(run, true);
            }
            self.house.now += Duration::from_secs(1);
            self.tell(Happened::Tick);
        }
        while let Some(run) = self.in_state(&[Cell::Starting, Cell::Stopping]).first().copied() {
            self.go(run, true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_all_residents_come_back_and_a_stop_leaves_nothing(steps in prop::collection::vec(step(), 0..200)) {
        let mut watch = Watch::begin(&RESTING);
        steps.iter().for_each(|step| watch.take(step));
        watch.rest();
        prop_assert_eq!(watch.finished, None);
        for component in &watch.house.app.components {
            let states: Vec<_> = watch.house.steward.states(component.id).map(|(_, state)| state.to_string()).collect();
            let fine = states.iter().all(|state| state == "up" || (state == "done" && ["b", "c"].contains(&component.name.as_str())));
            prop_assert!(fine, "{}: {states:?}", component.name);
        }
        watch.tell(Happened::Stop);
        watch.rest();
        prop_assert_eq!(watch.finished, Some(Finish::Stopped));
    }

    #[test]
    fn an_app_with_an_intensity_ends_or_comes_back(steps in prop::collection::vec(step(), 0..300), stop in any::<bool>()) {
        let mut watch = Watch::begin(&MORTAL);
        for step in &steps {
            if watch.finished.is_some() {
                break;
            }
            watch.take(step);
        }
        if stop && watch.finished.is_none() {
            watch.take(&Step::Stop);
        }
        watch.rest();
        match watch.finished {
            Some(_) => {
                prop_assert!(watch.house.is_empty());
                let down = |standing: &Standing| matches!(standing, Standing::Down(_));
                prop_assert!(watch.house.standing.values().all(down));
            }
            None => prop_assert!(!stop && watch.house.is_up("a/0") && watch.house.is_up("e/0")),
        }
    }

    /// One component fails as fast as it can, the others never: nested limits are what `check` says.
    #[test]
    fn a_cell_that_keeps_failing_is_never_restarted_more_often_than_its_limits_say(
        waits in prop::collection::vec(0..400_u64, 1..300),
        starts_well in prop::bool::weighted(0.7),
    ) {
        let app = app(
            "[component.a]\nsource = \"a.wasm\"\nlifetime = \"resident\"\nintensity = { max = 2, within = \"1s\" }\n\
             backoff = { first = \"1ms\", most = \"2ms\" }\n\
             [component.b]\nsource = \"b.wasm\"\nlifetime = \"resident\"\n\
             [group.g]\nmembers = [\"a\", \"b\"]\nstrategy = \"one-for-all\"\nintensity = { max = 3, within = \"2s\" }\n",
            &[("a", ""), ("b", "")],
        );
        let component = app.find("a").expect("it is there");
        let limit = limits(&app, component).expect("it is restarted");
        prop_assert_eq!((limit.restarts, limit.within), (11, Duration::from_secs(1)));
        let mut watch = Watch::begin(&app);
        for wait in waits {
            let going: Vec<Run> = watch.in_state(&[Cell::Starting, Cell::Stopping]);
            for run in going {
                let fails = watch.house.cells[&run].0.component == component.id;
                watch.go(run, starts_well || !fails);
            }
            let up: Vec<Run> = watch.in_state(&[Cell::Up]);
            for run in up {
                if watch.house.cells.get(&run).is_some_and(|(instance, _)| instance.component == component.id) {
                    watch.house.cells.remove(&run);
                    watch.taking.remove(&run);
                    watch.tell(Happened::Ended(run, End::Failed(FailureKind::Trap)));
                }
            }
            watch.take(&Step::Pass(wait / 10));
        }
        let starts: Vec<Duration> =
            watch.starts.iter().filter(|(_, of)| of.component == component.id).map(|(at, _)| *at).collect();
        for (index, from) in starts.iter().enumerate() {
            let within = starts[index..].iter().take_while(|at| **at - *from <= limit.within).count() as u64;
            prop_assert!(within <= limit.restarts + 1, "{within} starts from {from:?}: {starts:?}");
        }
    }
}

#[test]
fn a_change_is_told_of_whom_it_concerns() {
    let mut house = House::new(&RESTING);
    house.happens(Happened::Begin);
    house.settle();
    let run = house.run("e/0");
    let deeds = house.happens(Happened::Ended(run, End::Failed(FailureKind::Trap)));
    let e = house.app.find("e").expect("it is there").id;
    let told = Subject::Instance { component: e, number: 0 };
    assert!(deeds.iter().any(|deed| matches!(deed, Deed::Tell(of, Change::Restarting { .. }) if *of == told)));
}
