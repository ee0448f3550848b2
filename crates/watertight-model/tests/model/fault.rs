//! Fault plans: what is read, what is refused and where, and that the shares come out as they were asked for.

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use proptest::prelude::*;
use watertight_model::{
    app::{App, ComponentId, EdgeId},
    fault::{Fault, FaultPlan, MAX_FAULT_RULES, Stream},
    problem::{Code, Problem},
};

use crate::apps::{rendered, sound};

fn app() -> App {
    sound(
        "[app]\nname = \"t\"\n\
         [component.web]\nsource = \"web.wasm\"\nuses = [\"thumbnail\", \"markdown\"]\n\
         [component.feed]\nsource = \"feed.wasm\"\nuses = [\"thumbnail\"]\n\
         [component.thumbnail]\nsource = \"thumbnail.wasm\"\n\
         [component.markdown]\nsource = \"markdown.wasm\"\nwall = \"fused\"\n",
        &[
            ("web", "import press:image/thumbnail@0.1.0; import press:text/markdown@0.1.0;"),
            ("feed", "import press:image/thumbnail@0.1.0;"),
            ("thumbnail", "export press:image/thumbnail@0.1.0;"),
            ("markdown", "export press:text/markdown@0.1.0;"),
        ],
    )
}

fn parse(app: &App, texts: &[&str]) -> Result<FaultPlan, Vec<Problem>> {
    FaultPlan::parse(app, "--fault", texts, 7)
}

/// How often each fault befalls a million calls.
fn tally(plan: &FaultPlan, stream: Stream) -> Vec<(Fault, usize)> {
    let mut seen: Vec<(Fault, usize)> = Vec::new();
    for fault in (0..1_000_000).filter_map(|number| plan.fault(stream, number)) {
        match seen.iter_mut().find(|(known, _)| *known == fault) {
            Some((_, count)) => *count += 1,
            None => seen.push((fault, 1)),
        }
    }
    seen
}

#[test]
fn a_plan_says_again_what_was_written() {
    let app = app();
    for (written, said) in [
        (
            &["thumbnail: trap 10%, delay 200ms 5%, spin 1%, oom 1%, error 5%"][..],
            &["thumbnail: trap 10%, delay 200ms 5%, spin 1%, oom 1%, error 5%"][..],
        ),
        (&[" web -> thumbnail :trap   0.5% ;; feed:error 100%;"], &["web->thumbnail: trap 0.5%", "feed: error 100%"]),
        (&["thumbnail: trap 0.0001%", "thumbnail: oom 99.9999%"], &["thumbnail: trap 0.0001%, oom 99.9999%"]),
        (&["web: delay 1.5s 33.3300%"], &["web: delay 1.5s 33.33%"]),
    ] {
        let plan = parse(&app, written).unwrap_or_else(|problems| panic!("{written:?}: {}", rendered(&problems)));
        assert_eq!(plan.rules(&app), said);
        let again = parse(&app, &plan.rules(&app).iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(again.ok(), Some(plan), "{written:?}");
    }
}

#[test]
fn the_shares_come_out_as_they_were_asked_for() {
    let app = app();
    let plan = parse(&app, &["thumbnail: trap 10%, delay 200ms 5%, error 0.1%"]).expect("it is sound");
    for stream in [Stream::Edge(EdgeId(0)), Stream::Edge(EdgeId(1)), Stream::Root(ComponentId(2))] {
        assert!(plan.touches(stream));
        let seen = tally(&plan, stream);
        for (fault, wanted) in
            [(Fault::Trap, 100_000), (Fault::Delay(Duration::from_millis(200)), 50_000), (Fault::Error, 1000)]
        {
            let count = seen.iter().find(|(known, _)| *known == fault).map_or(0, |(_, count)| *count);
            assert!(count.abs_diff(wanted) < wanted / 5, "{fault}: {count} of {wanted}");
        }
        assert_eq!(seen.len(), 3);
    }
    for untouched in [Stream::Root(ComponentId(0)), Stream::Edge(EdgeId(99)), Stream::Root(ComponentId(99))] {
        assert!(!plan.touches(untouched));
        assert_eq!(plan.fault(untouched, 0), None);
    }
}

#[test]
fn a_rule_for_an_edge_stands_in_place_of_that_for_its_component() {
    let app = app();
    let plan = parse(&app, &["thumbnail: trap 100%; web->thumbnail: oom 50%"]).expect("it is sound");
    let edge = |importer: &str| {
        let importer = app.find(importer).expect("it is there").id;
        Stream::Edge(app.edges_from(importer).next().expect("it calls one").id)
    };
    assert_eq!(tally(&plan, edge("feed")), [(Fault::Trap, 1_000_000)]);
    let [(Fault::Oom, count)] = tally(&plan, edge("web"))[..] else {
        panic!("it runs out of memory, or nothing happens")
    };
    assert!(count.abs_diff(500_000) < 5000, "{count}");
}

#[test]
fn the_same_seed_gives_the_same_faults_and_another_gives_others() {
    let app = app();
    let with = |seed| {
        let plan = FaultPlan::parse(&app, "--fault", ["thumbnail: trap 50%"], seed).expect("it is sound");
        assert_eq!(plan.seed(), seed);
        let stream = |stream| (0..200).map(|number| plan.fault(stream, number).is_some()).collect::<Vec<_>>();
        (stream(Stream::Edge(EdgeId(0))), stream(Stream::Edge(EdgeId(1))), stream(Stream::Root(ComponentId(2))))
    };
    let (first, second, root) = with(1);
    assert_eq!(with(1), (first.clone(), second.clone(), root.clone()));
    assert!(first != second && first != root && second != root, "streams are apart");
    for seed in [0, 2, u64::MAX] {
        assert_ne!(with(seed).0, first, "{seed}");
    }
}

const WRONG: &[(&str, &[&str])] = &[
    ("faults_without_a_plan", &[" ; "]),
    ("faults_without_a_target", &["trap 10%"]),
    (
        "faults_of_components_that_are_not_there",
        &["thumbnial: trap 10%; : trap 1%; other: oom 1%; web->: oom 1%; markdown: trap 1%"],
    ),
    ("faults_of_edges_that_are_not_there", &["thumbnail->web: trap 1%", "web->feed: trap 1%"]),
    (
        "faults_that_cannot_be",
        &[
            "thumbnail: trp 1%, panic 1%, , trap, delay 5%, delay 1s, delay 5 5%, trap 1% 2%, error 5, spin x%, oom 1.%, \
           trap 0%, trap 101%, trap 0.00001%, trap 99999999999999999999999%, delay 0s 1%",
        ],
    ),
    ("faults_of_more_than_all_calls", &["thumbnail: trap 60%, oom 40.0001%", "web: trap 60%; web: oom 60%"]),
];

#[test]
fn everything_that_is_wrong_with_a_plan_is_told_with_its_place() {
    let app = app();
    for (name, texts) in WRONG {
        let problems = parse(&app, texts).expect_err("it is wrong");
        insta::assert_snapshot!(*name, rendered(&problems));
        for problem in &problems {
            assert!(problem.next_step().is_some(), "{name}: `{problem}` names no next step");
        }
    }
    let many: Vec<String> = (0..100).map(|_| "thumbnail: trap 0.1%".to_owned()).collect();
    assert!(FaultPlan::parse(&app, "--fault", &many, 0).is_err(), "a target has a bound");
    const { assert!(MAX_FAULT_RULES < 1000) };
}

/// The kinds of problems that plans have.
pub(crate) fn codes() -> BTreeSet<Code> {
    let app = app();
    let wrong = WRONG.iter().filter_map(|(_, texts)| parse(&app, texts).err());
    wrong.flatten().map(|problem| problem.code()).collect()
}

proptest! {
    #[test]
    fn any_text_is_a_plan_or_a_problem(text in "[ a-z>:;,%0-9.-]{0,40}|.{0,20}|(web|thumbnail|->|:|;|,|trap|delay|1s|5%| ){0,12}") {
        static APP: LazyLock<App> = LazyLock::new(app);
        if let Ok(plan) = parse(&APP, &[&text]) {
            prop_assert!(!plan.rules(&APP).is_empty());
        }
    }
}
