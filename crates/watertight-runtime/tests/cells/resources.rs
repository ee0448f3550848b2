//! Handles cross as proxies: what the scenes see must be what they see when everything is fused into one store.

use wasmtime::component::Val;
use watertight_model::event::{CellEnd, Event};
use watertight_testkit::guest;

use crate::bare::{self, Harness};

fn things(wall: &str, lifetime: &str) -> Harness {
    let owner = if wall == "cell" { format!("lifetime = \"{lifetime}\"") } else { String::new() };
    let manifest = format!(
        "[component.user]\nsource = \"user.wasm\"\nuses = [\"things\"]\n\
         [component.things]\nsource = \"things.wasm\"\nwall = \"{wall}\"\n{owner}"
    );
    bare::load(&manifest, &[("user", guest::built("things-user")), ("things", guest::built("things"))])
}

fn shelf(wall: &str) -> Harness {
    let manifest = format!(
        "[component.user]\nsource = \"user.wasm\"\nuses = [\"things\", \"shelf\"]\n\
         [component.shelf]\nsource = \"shelf.wasm\"\nuses = [\"things\"]\nwall = \"{wall}\"\n\
         [component.things]\nsource = \"things.wasm\"\nwall = \"{wall}\"\n"
    );
    bare::load(
        &manifest,
        &[("user", guest::built("shelf-user")), ("shelf", guest::built("shelf")), ("things", guest::built("things"))],
    )
}

fn fine(results: &[Val]) -> bool {
    matches!(results, [Val::Result(Ok(_))])
}

#[tokio::test]
async fn every_scene_sees_what_it_sees_in_one_store() {
    let fused = things("fused", "request");
    let scenes = [
        ("simple", vec![Val::U32(5), Val::U32(4)]),
        ("statics", vec![]),
        ("borrows", vec![]),
        ("lists", vec![Val::U32(9)]),
        ("nested", vec![]),
        ("drops", vec![Val::U32(11)]),
        ("leak", vec![Val::U32(3)]),
    ];
    for lifetime in ["request", "resident"] {
        for (scene, arguments) in &scenes {
            let name = format!("watertight:test/scenes#{scene}");
            // A resident owner remembers what earlier scenes dropped, so each scene gets an app of its own.
            let apart = things("cell", lifetime);
            let expected = fused.call("user", &name, arguments.clone()).await.expect("fused");
            let seen = apart.call("user", &name, arguments.clone()).await.expect("apart");
            assert!(fine(&expected), "{scene} fused: {expected:?}");
            assert_eq!(seen, expected, "{scene} with a {lifetime} owner");
        }
    }
}

#[tokio::test]
async fn a_third_component_hands_on_what_it_got() {
    let arguments = || vec![Val::U32(6)];
    let name = "watertight:test/shelf-scenes#hand-on";
    let expected = shelf("fused").call("user", name, arguments()).await.expect("fused");
    let seen = shelf("cell").call("user", name, arguments()).await.expect("apart");
    assert!(fine(&expected), "{expected:?}");
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_proxy_leads_nowhere_when_its_maker_has_died() {
    let app = things("cell", "request");
    // The scene kills the counter's cell, uses the counter again, and joins both errors it got.
    let seen = app.call("user", "watertight:test/scenes#after-death", vec![]).await.expect("the user lives");
    let [Val::Result(Err(Some(text)))] = &seen[..] else { panic!("{seen:?}") };
    let Val::String(text) = &**text else { panic!("not a text: {text:?}") };
    assert!(text.starts_with("things: trap: "), "{text}");
    assert!(text.ends_with("things: dead-handle: the cell that made this resource is gone"), "{text}");
    let ejected = app.events.take().into_iter().filter(
        |event| matches!(event, Event::CellEnded { component, end: CellEnd::Ejected(_), .. } if component.0 == 1),
    );
    assert_eq!(ejected.count(), 1);
}

#[tokio::test]
async fn a_resident_drops_what_its_dead_callers_held() {
    let app = things("cell", "resident");
    for _ in 0..3 {
        app.call("user", "watertight:test/scenes#leak", vec![Val::U32(100)]).await.expect("it leaks");
    }
    // The next call to the owner buries what the three callers left behind.
    let alive = app.call("things", "watertight:test/things#[static]counter.alive", vec![]).await.expect("it counts");
    assert_eq!(alive, [Val::U32(0)]);
}

#[tokio::test]
async fn a_cell_for_each_call_cannot_hand_out_handles() {
    let text = "[component.user]\nsource = \"user.wasm\"\nuses = [\"things\"]\n\
                [component.things]\nsource = \"things.wasm\"\nlifetime = \"call\"\n";
    let problems = bare::problems(text, &[("user", guest::built("things-user")), ("things", guest::built("things"))]);
    assert!(
        problems.iter().any(|problem| problem.contains("lives for one call, but exports the resource `counter`")),
        "{problems:?}"
    );
}
