//! What a failed call leaves behind: nothing that was given away stays with a resident that made it, and nothing that was only lent is lost to
//! who lent it.

use wasmtime::component::Val;
use watertight_model::{
    app::{Lifetime, OnFailure},
    fault::FaultPlan,
    grant::{DirGrant, DirMode},
};
use watertight_testkit::guest;

use crate::{
    app::Plan,
    graph::{Graph, load},
};

const SHELF: &str = "\
[component.caller]\nsource = \"caller.wasm\"\nuses = [\"things\", \"shelf\"]\n\
[component.things]\nsource = \"things.wasm\"\nlifetime = \"resident\"\n\
[component.shelf]\nsource = \"shelf.wasm\"\nuses = [\"things\"]\n";

/// How many counters live in the one resident that makes them.
async fn alive(app: &Graph) -> u32 {
    let counted = app.call("things", "watertight:test/things#[static]counter.alive", Vec::new()).await;
    let Ok(Some(Val::U32(alive))) = counted else { panic!("it counts: {counted:?}") };
    alive
}

#[tokio::test]
async fn a_handle_that_never_arrives_is_dropped_by_its_resident_maker() {
    for fault in ["error", "trap", "oom", "delay 1h"] {
        for lifetime in ["call", "request", "resident"] {
            let app = load(
                &format!("{SHELF}lifetime = \"{lifetime}\"\nbudget = {{ deadline = \"100ms\" }}\n"),
                &[("caller", "shelf-user"), ("things", "things"), ("shelf", "shelf")],
            );
            let faults = format!("shelf: {fault} 100%");
            let plan = FaultPlan::parse(app.app.app(), "faults", [faults.as_str()], 1).expect("the plan is sound");
            app.app.set_faults(Some(plan));
            // It makes a counter and puts it on the shelf.
            let played = app.call("caller", "watertight:test/shelf-scenes#hand-on", vec![Val::U32(3)]).await;
            assert!(!matches!(played, Ok(Some(Val::Result(Ok(_))))), "{fault}: {played:?}");
            app.app.set_faults(None);
            assert_eq!(alive(&app).await, 0, "after {fault} in a {lifetime} shelf");
        }
    }
}

/// A component with component-model async that traps when it is lent a folder.
fn trapper() -> Vec<u8> {
    let wit = "package a:b; world trapper { import wasi:filesystem/types@0.3.0; export watertight:later/keeper; }";
    let module = r#"(module
        (memory (export "memory") 1)
        (func (export "watertight:later/keeper#hold") (param i32) (result i32) unreachable))"#;
    guest::component(wit, "trapper", module)
}

#[tokio::test]
async fn what_was_lent_to_a_cell_that_broke_comes_back() {
    let base = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(base.path().join("file"), "hello").expect("it is ours");
    for lifetime in [Lifetime::Call, Lifetime::Request, Lifetime::Resident] {
        let bench = Plan::of("lender3", |component| {
            component.grants.dirs = vec![DirGrant::new(".", "/", DirMode::Ro)];
        })
        .and_bytes("trapper", trapper(), |component| component.lifetime = lifetime)
        .edge("watertight:later/keeper", &[("hold", OnFailure::ErrorText)])
        .base_dir(base.path())
        .start();
        let lent = bench.call::<_, (Result<String, String>,)>("watertight:later/lends", "lend", ()).await;
        let (lent,) = lent.expect("it returns");
        let lent = lent.expect("the folder is there afterwards");
        assert!(lent.starts_with("Err(\"trapper: trap: ") && lent.ends_with("then 5 bytes"), "{lent}");
    }
}
