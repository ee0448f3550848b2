//! What is taken down of a failed cell, by a morgue that takes all.

use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::component::Val;
use watertight_model::{app::ComponentId, failure::FailureKind};
use watertight_runtime::{Morgue, Postmortem, Remains};
use watertight_testkit::guest;

use crate::bare::{self, Harness};

/// Takes every failed cell.
#[derive(Default)]
struct All(Mutex<Vec<Remains>>);

impl Morgue for All {
    fn admits(&self, _: ComponentId, _: FailureKind) -> bool {
        true
    }

    fn take(&self, remains: Remains) {
        self.0.lock().push(remains);
    }
}

impl All {
    /// What became of the cells that have failed since the last time.
    fn examined(&self) -> Vec<Postmortem> {
        std::mem::take(&mut *self.0.lock()).into_iter().map(Remains::examine).collect()
    }
}

fn load(manifest: &str, guests: &[(&str, Vec<u8>)]) -> (Harness, Arc<All>) {
    let all = Arc::new(All::default());
    let app = bare::load_for(manifest, guests, Some(Arc::clone(&all) as Arc<dyn Morgue>));
    (app, all)
}

/// A component that traps in a function of this core module, which may have more in it.
fn trapping(more: &str) -> Vec<u8> {
    guest::wat(&format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (data (i32.const 70) "in the memory")
                {more}
                (func (export "fail") unreachable))
            (core instance $i (instantiate $m))
            (func $fail (canon lift (core func $i "fail")))
            (instance $door (export "fail" (func $fail)))
            (export "test:fail/door" (instance $door)))"#
    ))
}

/// The names of a core dump's custom sections. It must be a module that is valid but for them.
fn sections(core: &[u8]) -> Vec<String> {
    let payloads = wasmparser::Parser::new(0).parse_all(core);
    payloads
        .filter_map(|payload| {
            let wasmparser::Payload::CustomSection(section) = payload.expect("it is WebAssembly") else { return None };
            Some(section.name().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn a_core_dump_is_made_of_any_globals_and_of_composed_components() {
    for more in [
        "",
        "(global (ref null exn) (ref.null exn))",
        "(global (mut externref) (ref.null extern)) (global v128 (v128.const i64x2 1 2)) (global f64 (f64.const 1.5))",
        "(memory 2) (global (mut i64) (i64.const -1)) (table 3 funcref)",
    ] {
        let manifest = "[component.guest]\nsource = \"guest.wasm\"\n";
        let (app, all) = load(manifest, &[("guest", trapping(more))]);
        app.call("guest", "test:fail/door#fail", Vec::new()).await.expect_err("it traps");
        let [postmortem] = &all.examined()[..] else { panic!("{more}: there is one") };
        let core = postmortem.core.as_ref().unwrap_or_else(|| panic!("{more}: {:?}", postmortem.report.core));
        assert_eq!(sections(core), ["core", "coremodules", "coreinstances", "corestack"], "{more}");
        assert!(core.windows(13).any(|bytes| bytes == b"in the memory"), "{more}");
    }
    let manifest = "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
                    [component.callee]\nsource = \"callee.wasm\"\nwall = \"fused\"\n";
    let (app, all) = load(manifest, &[("caller", guest::built("relay")), ("callee", guest::built("trap"))]);
    app.call("caller", "watertight:test/behave#run", vec![Val::U32(0)]).await.expect_err("there is no wall");
    let [postmortem] = &all.examined()[..] else { panic!("there is one") };
    assert_eq!(sections(postmortem.core.as_ref().expect("it is small")).len(), 4);
    let fused: Vec<_> = postmortem.report.component.fused.iter().map(|fused| fused.name.as_str()).collect();
    assert_eq!(fused, ["callee"]);
}

#[tokio::test]
async fn a_memory_that_is_too_large_is_left_out_with_the_reason() {
    let manifest = "[component.guest]\nsource = \"guest.wasm\"\n";
    let (app, all) = load(manifest, &[("guest", trapping("(memory 513)"))]);
    app.call("guest", "test:fail/door#fail", Vec::new()).await.expect_err("it traps");
    let [postmortem] = &all.examined()[..] else { panic!("there is one") };
    assert!(postmortem.core.is_none());
    let why = format!("{:?}", postmortem.report.core);
    assert!(why.contains("up to 32 MiB are kept"), "{why}");
}

#[tokio::test]
async fn arguments_of_any_length_are_shown_as_far_as_they_were_kept() {
    let manifest = "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
                    [component.callee]\nsource = \"callee.wasm\"\nbudget = { memory = \"2MiB\" }\n";
    let guests = [("caller", guest::built("bench-caller")), ("callee", guest::built("bench-callee"))];
    let (app, all) = load(manifest, &guests);
    let laps = vec![Val::U32(4 << 20), Val::U32(1)];
    app.call("caller", "watertight:test/laps#blob", laps).await.expect_err("four megabytes do not fit");
    let postmortems = all.examined();
    let report = &postmortems.first().expect("the callee's").report;
    assert_eq!((report.failure.kind.as_str(), report.component.name.as_str()), ("memory", "callee"));
    let crossing = report.crossings.first().expect("the call");
    let arguments = crossing.arguments.as_ref().expect("nothing is redacted");
    assert!(arguments.starts_with("([") && arguments.ends_with('…') && arguments.len() < 300, "{arguments}");
    assert!(crossing.bytes_in > 4 << 20, "{crossing:?}");
    assert_eq!(postmortems.len(), 1, "a failure that goes from cell to cell is told by the first");
}

#[tokio::test]
async fn the_path_leads_to_a_fallback_that_failed_too() {
    let manifest = "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"first\"]\n\
                    [component.caller.edge.\"watertight:test/behave\"]\nfrom = \"first\"\n\
                    on-failure = { fallback = \"second\" }\n\
                    [component.first]\nsource = \"first.wasm\"\n\
                    [component.second]\nsource = \"second.wasm\"\n";
    let guests =
        [("caller", guest::built("relay")), ("first", guest::built("trap")), ("second", guest::built("overflow"))];
    let (app, all) = load(manifest, &guests);
    app.call("caller", "watertight:test/behave#run", vec![Val::U32(0)]).await.expect("its error is a value");
    let paths: Vec<_> = all.examined().into_iter().map(|one| (one.report.failure.kind, one.report.path)).collect();
    let path = |last: &str| vec!["caller".to_owned(), last.to_owned()];
    assert_eq!(paths, [("trap".to_owned(), path("first")), ("stack-overflow".to_owned(), path("second"))]);
}
