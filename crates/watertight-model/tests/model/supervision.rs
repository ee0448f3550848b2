//! The steward of residents: scripts of what happens, and what it does; every state beside every event; and what holds whatever
//! happens.

mod house;
mod laws;
mod table;

use std::time::Duration;

use watertight_model::{
    failure::FailureKind,
    supervision::{Chance, Deed, End, Happened, Scope, Steward, Wear, limits},
};

use self::house::{House, app};

const TRAP: End = End::Failed(FailureKind::Trap);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn residents_start_one_after_the_other_and_what_others_need_comes_first() {
    let mut house = House::of(&app(
        "[component.web]\nsource = \"web.wasm\"\nuses = [\"cache\"]\n\
         [component.cache]\nsource = \"cache.wasm\"\nlifetime = \"resident\"\nuses = [\"db\"]\ninstances = 2\n\
         [component.db]\nsource = \"db.wasm\"\nlifetime = \"resident\"\n",
        &[
            ("web", "import fc: func();"),
            ("cache", "import fd: func(); export fc: func();"),
            ("db", "export fd: func();"),
        ],
    ));
    house.happens(Happened::Begin);
    house.settle();
    assert_eq!(
        house.log(),
        "start db/0 · db/0 started · start cache/0 · cache/0 started · start cache/1 · cache/1 started · ready"
    );
    house.happens(Happened::Stop);
    house.settle();
    assert_eq!(
        house.log(),
        "db down: the app is stopping · cache down: the app is stopping · stop cache/1 · cache/1 stopped · stop cache/0 · \
         cache/0 stopped · stop db/0 · db/0 stopped · stopped"
    );
    assert!(house.steward.is_over() && house.is_empty());
}

#[test]
fn a_permanent_resident_is_restarted_after_any_end_a_transient_one_after_a_failure_and_a_temporary_one_never() {
    for (restart, normal, failed) in
        [("permanent", true, true), ("transient", false, true), ("temporary", false, false)]
    {
        for (end, restarted) in [(End::Normal, normal), (TRAP, failed), (End::CutOff, true)] {
            let mut house = House::resident(&format!("restart = \"{restart}\""));
            house.ends("db/0", end);
            house.pass(ms(1000));
            let case = format!("{restart} {end:?}: {}", house.log());
            assert_eq!(house.is_up("db/0"), restarted, "{case}");
            assert_eq!(house.down("db").is_none(), restarted, "{case}");
            if !restarted {
                let why = format!("it ended ({end}), and its restart is \"{restart}\"");
                assert_eq!(house.down("db"), Some(why), "{case}");
            }
        }
    }
}

#[test]
fn each_restart_waits_twice_as_long_as_the_one_before_and_chance_shortens_it_by_up_to_a_half() {
    let keys = "intensity = { max = 10, within = \"10s\" }\nbackoff = { first = \"100ms\", most = \"500ms\" }";
    let mut house = House::resident(keys);
    for wait in [100, 200, 400, 500, 500] {
        house.ends("db/0", TRAP);
        house.pass(ms(wait - 1));
        assert!(!house.is_up("db/0"), "before {wait} ms: {}", house.log());
        house.pass(ms(1));
        assert!(house.is_up("db/0"), "after {wait} ms: {}", house.log());
    }
    // A quiet time of the intensity's length, and it begins anew.
    house.pass(ms(10_001));
    house.chance = u32::MAX;
    house.ends("db/0", TRAP);
    house.pass(ms(49));
    assert!(!house.is_up("db/0"));
    house.pass(ms(2));
    assert!(house.is_up("db/0"), "{}", house.log());
}

#[test]
fn restarts_beyond_the_intensity_are_given_up_and_tried_again_after_a_rest() {
    let mut house =
        House::resident("intensity = { max = 2, within = \"1s\" }\nbackoff = { first = \"1ms\", most = \"1ms\" }");
    for _ in 0..2 {
        house.ends("db/0", TRAP);
        house.pass(ms(1));
        assert!(house.is_up("db/0"));
    }
    house.log();
    house.ends("db/0", TRAP);
    let why = "component.db gave up after 2 restarts within 1s, the last time for: trap; it is started again after 30s (component.db.intensity, app.rest)";
    assert_eq!(house.log(), format!("db down: {why} · db gave up"));
    house.pass(ms(29_999));
    assert_eq!(house.down("db").as_deref(), Some(why));
    house.pass(ms(1));
    assert_eq!(house.log(), "db open · start db/0 · db/0 started");
}

#[test]
fn a_restart_as_old_as_the_window_counts_and_an_older_one_does_not() {
    for (pause, up) in [(1000, false), (1001, true)] {
        let mut house =
            House::resident("intensity = { max = 1, within = \"1s\" }\nbackoff = { first = \"1ms\", most = \"1ms\" }");
        house.ends("db/0", TRAP);
        house.pass(ms(pause));
        house.ends("db/0", TRAP);
        house.pass(ms(100));
        assert_eq!(house.is_up("db/0"), up, "after {pause} ms: {}", house.log());
    }
}

#[test]
fn a_cell_whose_caller_was_cut_off_is_replaced_at_once_and_is_nobodys_failure() {
    let mut house = House::resident("intensity = { max = 0 }");
    for _ in 0..100 {
        house.ends("db/0", End::CutOff);
        house.settle();
        assert!(house.is_up("db/0"), "{}", house.log());
    }
    house.ends("db/0", TRAP);
    assert!(house.down("db").is_some(), "with a max of 0, the first failure is one too many");
}

#[test]
fn a_resident_that_cannot_start_has_failed_and_holds_nobody_up() {
    let mut house = House::new(&app(
        "[component.a]\nsource = \"a.wasm\"\nlifetime = \"resident\"\nintensity = { max = 1 }\n\
         [component.b]\nsource = \"b.wasm\"\nlifetime = \"resident\"\n",
        &[("a", ""), ("b", "")],
    ));
    house.broken = vec!["a/0".to_owned()];
    house.happens(Happened::Begin);
    house.settle();
    assert_eq!(house.log(), "start a/0 · a/0 restarting 1 (trap) · start b/0 · b/0 started · ready");
    house.pass(ms(10));
    assert!(house.down("a").is_some_and(|why| why.contains("component.a gave up after 1 restart")), "{}", house.log());
    house.broken.clear();
    house.pass(ms(30_000));
    assert!(house.is_up("a/0"));
}

/// Three members in a group, of which `b` ends.
fn group(strategy: &str) -> House {
    let member = |name: &str| format!("[component.{name}]\nsource = \"{name}.wasm\"\nlifetime = \"resident\"\n");
    let manifest = format!(
        "{}{}{}{}[group.g]\nmembers = [\"a\", \"b\", \"c\"]\nstrategy = \"{strategy}\"\nintensity = {{ max = 1 }}\n",
        member("a"),
        member("b"),
        member("c"),
        member("x"),
    );
    let mut house = House::of(&app(&manifest, &[("a", ""), ("b", ""), ("c", ""), ("x", "")]));
    house.happens(Happened::Begin);
    house.settle();
    house.log();
    house
}

#[test]
fn a_strategy_says_who_is_restarted_with_a_member_that_ends() {
    let all = "start a/0 · a/0 started · start b/0 · b/0 started · start c/0 · c/0 started";
    for (strategy, stops, starts) in [
        ("one-for-one", "b/0 restarting 1 (trap)", "start b/0 · b/0 started"),
        (
            "one-for-all",
            "b/0 restarting 1 (trap) · g restarting 1 (trap) · stop c/0 · c/0 stopped · stop a/0 · a/0 stopped",
            all,
        ),
        (
            "rest-for-one",
            "b/0 restarting 1 (trap) · g restarting 1 (trap) · stop c/0 · c/0 stopped",
            "start b/0 · b/0 started · start c/0 · c/0 started",
        ),
    ] {
        let mut house = group(strategy);
        house.ends("b/0", TRAP);
        house.settle();
        assert_eq!(house.log(), stops, "{strategy}");
        house.pass(ms(10));
        assert_eq!(house.log(), starts, "{strategy}");
    }
}

#[test]
fn a_group_that_restarts_too_often_ends_its_members_and_gives_up() {
    let mut house = group("one-for-one");
    // The component's own three restarts, the group's one, three more, and then the group gives up.
    for _ in 0..7 {
        house.ends("b/0", TRAP);
        house.pass(ms(100));
        assert!(house.is_up("b/0"), "{}", house.log());
    }
    house.log();
    house.ends("b/0", TRAP);
    house.settle();
    let why = "group.g gave up after 1 restart within 5s, the last time for: trap; it is started again after 30s (group.g.intensity, app.rest)";
    assert_eq!(
        house.log(),
        format!(
            "a down: {why} · b down: {why} · c down: {why} · b gave up · g gave up · stop c/0 · c/0 stopped · stop a/0 · a/0 stopped"
        )
    );
    assert!(house.is_up("x/0"), "what is not in the group goes on");
    house.pass(ms(30_000));
    assert_eq!(
        house.log(),
        "a open · b open · c open · start a/0 · a/0 started · start b/0 · b/0 started · start c/0 · c/0 started"
    );
}

#[test]
fn a_failure_goes_up_from_group_to_group_to_the_app_and_then_everything_stops() {
    let mut house = House::of(&app(
        "[app]\nname = \"t\"\nintensity = { max = 0 }\n\
         [component.a]\nsource = \"a.wasm\"\nlifetime = \"resident\"\nintensity = { max = 0 }\n\
         [component.b]\nsource = \"b.wasm\"\nlifetime = \"resident\"\n\
         [group.inner]\nmembers = [\"a\"]\nintensity = { max = 0 }\n\
         [group.outer]\nmembers = [\"inner\", \"b\"]\nintensity = { max = 0 }\n",
        &[("a", ""), ("b", "")],
    ));
    house.happens(Happened::Begin);
    house.settle();
    house.log();
    house.ends("a/0", TRAP);
    house.settle();
    let why = "the app gave up after 0 restarts within 5s, the last time for: trap (app.intensity)";
    assert_eq!(
        house.log(),
        format!(
            "a down: {why} · b down: {why} · a gave up · inner gave up · outer gave up · app gave up · stop b/0 · b/0 stopped · down"
        )
    );
    assert!(house.steward.is_over() && house.is_empty());
    assert_eq!(house.happens(Happened::Begin), [], "nothing is done after the end");
}

#[test]
fn a_temporary_member_is_not_restarted_with_its_group_but_with_what_holds_that() {
    let mut house = House::of(&app(
        "[component.a]\nsource = \"a.wasm\"\nlifetime = \"resident\"\nintensity = { max = 1 }\n\
         [component.t]\nsource = \"t.wasm\"\nlifetime = \"resident\"\nrestart = \"temporary\"\n\
         [group.g]\nmembers = [\"a\", \"t\"]\nstrategy = \"one-for-all\"\nintensity = { max = 0 }\n",
        &[("a", ""), ("t", "")],
    ));
    house.happens(Happened::Begin);
    house.settle();
    house.ends("a/0", TRAP);
    house.pass(ms(100));
    assert!(house.is_up("a/0") && !house.is_up("t/0"), "{}", house.log());
    assert!(house.down("t").is_some());
    house.ends("a/0", TRAP);
    house.pass(ms(30_000));
    assert!(house.is_up("a/0") && house.is_up("t/0"), "the group begins anew with all its members: {}", house.log());
}

#[test]
fn a_worn_cell_is_replaced_before_it_goes_and_one_at_a_time() {
    let mut house = House::resident("instances = 2\nrecycle = { age = \"1m\", calls = 10 }");
    let (first, second) = (house.run("db/0"), house.run("db/1"));
    house.happens(Happened::Worn(second, Wear::Calls));
    assert_eq!(house.log(), "start db/1");
    house.happens(Happened::Worn(first, Wear::Memory));
    house.settle();
    assert_eq!(
        house.log(),
        "retire db/1 · db/1 recycled for its calls · start db/0 · retire db/0 · db/0 recycled for its memory"
    );
    house.pass(ms(59_999));
    assert_eq!(house.log(), "");
    house.pass(ms(2));
    assert_eq!(
        house.log(),
        "start db/0 · retire db/0 · db/0 recycled for its age · start db/1 · retire db/1 · db/1 recycled for its age"
    );
}

#[test]
fn a_cell_that_cannot_be_replaced_goes_on_and_another_try_follows() {
    let mut house = House::resident("recycle = { calls = 10 }");
    house.broken = vec!["db/0".to_owned()];
    let run = house.run("db/0");
    house.happens(Happened::Worn(run, Wear::Calls));
    house.settle();
    assert_eq!(house.log(), "start db/0 · db/0 kept (trap)");
    assert!(house.is_up("db/0") && house.run("db/0") == run);
    house.broken.clear();
    house.pass(ms(4_999));
    assert_eq!(house.log(), "");
    house.pass(ms(1));
    assert_eq!(house.log(), "start db/0 · retire db/0 · db/0 recycled for its calls");
}

#[test]
fn a_stop_ends_what_starts_and_what_was_replaced_too() {
    let mut house = House::resident("recycle = { calls = 10 }");
    let run = house.run("db/0");
    house.happens(Happened::Worn(run, Wear::Calls));
    // The fresh one starts, and is not up yet.
    house.happens(Happened::Stop);
    house.settle();
    assert!(house.steward.is_over() && house.is_empty(), "{}", house.log());
}

#[test]
fn limits_multiply() {
    let app = app(
        "[app]\nname = \"t\"\nintensity = { max = 1, within = \"1h\" }\n\
         [component.a]\nsource = \"a.wasm\"\nlifetime = \"resident\"\nintensity = { max = 3, within = \"5s\" }\n\
         [component.t]\nsource = \"t.wasm\"\nlifetime = \"resident\"\nrestart = \"temporary\"\n\
         [component.w]\nsource = \"w.wasm\"\n\
         [group.g]\nmembers = [\"a\"]\nintensity = { max = 5, within = \"1m\" }\n",
        &[("a", ""), ("t", ""), ("w", "")],
    );
    let of = |name: &str| limits(&app, app.find(name).expect("it is there"));
    let a = of("a").expect("it is restarted");
    assert_eq!(a.to_string(), "at most (3+1) x (5+1) x (1+1) - 1 = 47 restarts within 5s, then the app is down");
    assert_eq!((of("t"), of("w")), (None, None));
}

#[test]
fn what_the_node_has_once_is_kept_apart_from_what_each_worker_has() {
    let keys = |scope: &str| format!("lifetime = \"resident\"\nscope = \"{scope}\"\n");
    let (worker, node) = (keys("worker"), keys("node"));
    let app = app(
        &format!(
            "[component.a]\nsource = \"a.wasm\"\n{worker}[component.b]\nsource = \"b.wasm\"\n{node}\
             [component.c]\nsource = \"c.wasm\"\n{node}[component.d]\nsource = \"d.wasm\"\n{worker}\
             [group.here]\nmembers = [\"d\"]\n[group.there]\nmembers = [\"inner\"]\n[group.inner]\nmembers = [\"c\"]\n"
        ),
        &[("a", ""), ("b", ""), ("c", ""), ("d", "")],
    );
    let started = |scope| {
        let mut steward = Steward::new(&app, scope);
        let mut started = Vec::new();
        let mut news = vec![Happened::Begin];
        while let Some(happened) = news.pop() {
            for deed in steward.step(happened, Duration::ZERO, Chance::default()) {
                if let Deed::Start(instance, run) = deed {
                    started.push(app.component(instance.component).name.clone());
                    news.push(Happened::Started(run));
                }
            }
        }
        started.sort();
        started
    };
    assert_eq!(started(Scope::Worker), ["a", "d"]);
    assert_eq!(started(Scope::Node), ["b", "c"]);
}
