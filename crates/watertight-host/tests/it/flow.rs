//! Async functions, streams and futures of WASI 0.3 between two cells: what the scenes see must be what they see in one store,
//! and no cell outlives its call tree, however the other side ends.

use std::{pin::pin, time::Duration};

use wasmtime::component::Val;
use watertight_model::{
    event::{CellEnd, Event},
    failure::FailureKind,
};

use crate::graph::{Graph, error_text, load, ok_value, pair};

const SIZES: [u32; 4] = [0, 1, 64 << 10, 1 << 20];

fn flow(keys: &str) -> Graph {
    pair("flow-user", "flow", keys)
}

fn later(keys: &str) -> Graph {
    pair("later-user", "later", keys)
}

async fn scene(app: &Graph, name: &str, arguments: &[Val]) -> crate::graph::Called {
    let interface = if name.starts_with("later") { "later-scenes" } else { "flow-scenes" };
    let name = name.trim_start_matches("later.").trim_start_matches("flow.");
    app.call("caller", &format!("watertight:later/{interface}#{name}"), arguments.to_vec()).await
}

async fn expect_no_cell_left(app: &Graph, what: &str) {
    app.settle().await;
    assert_eq!(app.alive(), 0, "{what}: cells are left");
}

#[tokio::test]
async fn every_scene_with_streams_sees_what_it_sees_in_one_store() {
    let fused = flow("wall = \"fused\"");
    let text = "all the words of a text, each of them alone ".repeat(200);
    let mut scenes: Vec<(&str, Vec<Val>)> = Vec::new();
    for size in SIZES {
        for scene in ["flow.given", "flow.got", "flow.both", "flow.passed"] {
            scenes.push((scene, vec![Val::U32(size)]));
        }
    }
    scenes.push(("flow.words", vec![Val::String(text)]));
    scenes.push(("flow.words", vec![Val::String(String::new())]));
    scenes.push(("flow.futures", vec![Val::U32(1), Val::U32(u32::MAX)]));
    for lifetime in ["request", "resident"] {
        let app = flow(&format!("lifetime = \"{lifetime}\""));
        for (name, arguments) in &scenes {
            let what = format!("{name} {:?} with a {lifetime} callee", arguments.first());
            let expected = scene(&fused, name, arguments).await;
            let seen = scene(&app, name, arguments).await;
            assert!(ok_value(&expected).is_some(), "{what}, fused: {expected:?}");
            assert_eq!(seen, expected, "{what}");
        }
        if lifetime == "request" {
            expect_no_cell_left(&app, lifetime).await;
        }
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_stops_its_writer() {
    for lifetime in ["request", "resident"] {
        let app = flow(&format!("lifetime = \"{lifetime}\""));
        for size in [0, 10, 64 << 10, 1 << 20] {
            let seen = scene(&app, "flow.dropped", &[Val::U32(size)]).await;
            let Some(Val::U64(written)) = ok_value(&seen) else { panic!("{size} with a {lifetime} callee: {seen:?}") };
            // What had left the writer when the reader went: all of a little, and never all of much.
            let bound = if size <= 10 { u64::from(size) } else { 512 << 10 };
            assert!((u64::from(size.min(10))..=bound.max(64 << 10)).contains(written), "{size}: {written}");
        }
    }
}

#[tokio::test]
async fn a_writer_that_dies_ends_its_stream() {
    for lifetime in ["request", "resident"] {
        let app = flow(&format!("lifetime = \"{lifetime}\""));
        for size in [0, 1, 64 << 10] {
            let seen = scene(&app, "flow.torn", &[Val::U32(size)]).await;
            let Some(Val::U64(came)) = ok_value(&seen) else { panic!("{size} with a {lifetime} callee: {seen:?}") };
            assert!(*came <= u64::from(size), "{size}: {came}");
        }
        app.settle().await;
        assert_eq!(app.ends("callee"), [CellEnd::Ejected(FailureKind::Trap); 3], "with a {lifetime} callee");
        let again = scene(&app, "flow.got", &[Val::U32(1000)]).await;
        assert!(ok_value(&again).is_some(), "the next one has a fresh cell: {again:?}");
    }
}

#[tokio::test]
async fn async_functions_are_called_one_by_one_and_many_at_once() {
    let fused = later("wall = \"fused\"");
    let scenes = [
        ("later.one", vec![Val::U32(1), Val::U32(2), Val::U32(0)]),
        ("later.one", vec![Val::U32(1), Val::U32(2), Val::U32(20)]),
        ("later.many", vec![Val::U32(0), Val::U32(1)]),
        ("later.many", vec![Val::U32(1), Val::U32(1)]),
        ("later.many", vec![Val::U32(40), Val::U32(10)]),
        ("later.many", vec![Val::U32(40), Val::U32(0)]),
        ("later.many", vec![Val::U32(200), Val::U32(1)]),
        ("later.turned", vec![Val::String("straße".into())]),
        ("later.turned", vec![Val::String(String::new())]),
    ];
    for lifetime in ["call", "request", "resident"] {
        let app = later(&format!("lifetime = \"{lifetime}\""));
        for (name, arguments) in &scenes {
            let expected = scene(&fused, name, arguments).await;
            let seen = scene(&app, name, arguments).await;
            assert!(expected.is_ok(), "{name} {arguments:?} fused: {expected:?}");
            assert_eq!(seen, expected, "{name} {arguments:?} with a {lifetime} callee");
        }
        if lifetime != "resident" {
            expect_no_cell_left(&app, lifetime).await;
        }
    }
}

#[tokio::test]
async fn an_async_callee_that_fails_gives_its_caller_the_error() {
    for lifetime in ["call", "request", "resident"] {
        let app = later(&format!(
            "lifetime = \"{lifetime}\"\nbudget = {{ cpu = \"100ms\", slice = \"1s\", deadline = \"2s\" }}"
        ));
        for ms in [0, 5] {
            let seen = scene(&app, "later.exploded", &[Val::U32(ms)]).await;
            assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: trap: ")), "{lifetime}: {seen:?}");
        }
        let seen = scene(&app, "later.spun", &[]).await;
        assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: cpu: ")), "{lifetime}: {seen:?}");
        let seen = scene(&app, "later.one", &[Val::U32(1), Val::U32(2), Val::U32(1)]).await;
        assert_eq!(seen, Ok(Some(Val::U32(3))), "{lifetime}: a fresh cell answers");
        app.settle().await;
        let ejected = [FailureKind::Trap, FailureKind::Trap, FailureKind::Cpu].map(CellEnd::Ejected);
        assert_eq!(app.ends("callee")[..3], ejected, "with a {lifetime} callee");
    }
}

#[tokio::test]
async fn an_async_callee_that_is_late_is_cut_off_at_its_deadline() {
    for lifetime in ["call", "request", "resident"] {
        let app = later(&format!("lifetime = \"{lifetime}\"\nbudget = {{ cpu = \"1h\", deadline = \"60ms\" }}"));
        for (name, arguments) in [("later.exploded", &[Val::U32(2_000)][..]), ("later.spun", &[])] {
            let seen = scene(&app, name, arguments).await;
            let text = error_text(&seen);
            assert!(text.is_some_and(|text| text.starts_with("callee: deadline: ")), "{name}, {lifetime}: {seen:?}");
        }
        app.settle().await;
        // On a busy machine the caller's side may see first that time is over, and the one that spins is cut off from there.
        let ends = app.ends("callee");
        assert!(ends.len() == 2 && ends.contains(&CellEnd::Ejected(FailureKind::Deadline)), "{lifetime}: {ends:?}");
        expect_no_cell_left(&app, lifetime).await;
    }
}

#[tokio::test]
async fn a_deadline_on_the_edge_is_shorter_than_the_callees_own() {
    let manifest = "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
                    [component.caller.edge.\"watertight:later/later\"]\ndeadline = \"60ms\"\n\
                    [component.callee]\nsource = \"callee.wasm\"\nbudget = { deadline = \"1h\" }\n";
    let app = load(manifest, &[("caller", "later-user"), ("callee", "later")]);
    let seen = scene(&app, "later.exploded", &[Val::U32(2_000)]).await;
    assert!(error_text(&seen).is_some_and(|text| text.starts_with("callee: deadline: ")), "{seen:?}");
}

#[tokio::test]
async fn a_caller_that_is_cut_off_in_the_middle_leaves_no_cell_behind() {
    for lifetime in ["call", "request", "resident"] {
        let app = later(&format!("lifetime = \"{lifetime}\""));
        for (name, arguments) in [
            ("later.one", &[Val::U32(1), Val::U32(2), Val::U32(60_000)][..]),
            ("later.many", &[Val::U32(9), Val::U32(60_000)]),
        ] {
            let mut call = pin!(scene(&app, name, arguments));
            let cut = tokio::time::timeout(Duration::from_millis(60), &mut call).await;
            assert!(cut.is_err(), "{name} waits for a minute: {cut:?}");
        }
        if lifetime == "resident" {
            let seen = scene(&app, "later.one", &[Val::U32(1), Val::U32(2), Val::U32(1)]).await;
            assert_eq!(seen, Ok(Some(Val::U32(3))), "the resident serves on");
        } else {
            expect_no_cell_left(&app, lifetime).await;
        }
    }
    let app = flow("");
    for name in ["flow.given", "flow.got", "flow.both", "flow.passed"] {
        {
            let mut call = pin!(scene(&app, name, &[Val::U32(64 << 20)]));
            let cut = tokio::time::timeout(Duration::from_millis(30), &mut call).await;
            assert!(cut.is_err(), "{name}: {cut:?}");
        }
        expect_no_cell_left(&app, name).await;
    }
}

#[tokio::test]
async fn a_component_for_each_call_cannot_return_streams() {
    use watertight_model::check::{Files, HostInterfaces, check};
    let text = "[app]\nname = \"test\"\n[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
                [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"call\"\n";
    let built = |name| Ok(watertight_testkit::guest::built(name).into());
    let sources = [("caller".to_owned(), built("flow-user")), ("callee".to_owned(), built("flow"))].into();
    let manifest = watertight_model::manifest::Manifest::parse("watertight.toml", text);
    let (app, problems) = check(&manifest, &Files { sources, ..Files::default() }, &HostInterfaces::wasi());
    assert!(app.is_none());
    assert!(problems.iter().any(|problem| problem.message().contains("lives for one call")), "{problems:#?}");
}

/// The most that a cell of the callee had as memory in a scene.
async fn peak(name: &str, arguments: &[Val]) -> u64 {
    let app = flow("");
    let seen = scene(&app, name, arguments).await;
    assert!(ok_value(&seen).is_some(), "{name}: {seen:?}");
    app.settle().await;
    let callee = app.app.app().find("callee").expect("it is in the app").id;
    let peaks = app.events.all().into_iter().filter_map(|event| match event {
        Event::CellEnded { component, usage, .. } if component == callee => Some(usage.memory_peak_bytes),
        _ => None,
    });
    peaks.max().expect("it has ended")
}

#[tokio::test]
async fn a_stream_between_two_cells_counts_as_memory_of_who_gives_it() {
    let (without, with) =
        (peak("flow.futures", &[Val::U32(1), Val::U32(2)]).await, peak("flow.got", &[Val::U32(1)]).await);
    assert!(with >= without + (192 << 10), "{without} without a stream, {with} with one");
    let tight = flow(&format!("budget = {{ memory = \"{}B\" }}", with - 1));
    let seen = format!("{:?}", scene(&tight, "flow.got", &[Val::U32(1)]).await);
    assert!(seen.contains("callee: memory: "), "{seen}");
}
