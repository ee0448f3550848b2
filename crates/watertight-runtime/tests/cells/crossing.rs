//! Values and resources cross between two stores.

use wasmtime::component::Val;
use watertight_model::event::{Event, Outcome};
use watertight_testkit::guest;

use crate::bare;

const RELAY: &str = r#"
[component.caller]
source = "caller.wasm"
uses = ["callee"]
[component.callee]
source = "callee.wasm"
"#;

#[tokio::test]
async fn a_call_crosses_and_is_reported() {
    let app = bare::load(RELAY, &[("caller", guest::built("relay")), ("callee", guest::built("ok"))]);
    let results = app.call("caller", "watertight:test/behave#run", vec![Val::U32(7)]).await.expect("it works");
    let direct = app.call("callee", "watertight:test/behave#run", vec![Val::U32(7)]).await.expect("it works");
    assert_eq!(results, direct);
    let calls: Vec<_> = app
        .events
        .take()
        .into_iter()
        .filter_map(|event| if let Event::Call(call) = event { Some(call) } else { None })
        .collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].outcome, Outcome::Ok);
    assert_eq!(calls[0].bytes_in, 4);
}

#[tokio::test]
async fn laps_of_bytes_and_records_cross() {
    let app = bare::load(RELAY, &[("caller", guest::built("bench-caller")), ("callee", guest::built("bench-callee"))]);
    let call = |function: &'static str, arguments: Vec<u32>| {
        let arguments = arguments.into_iter().map(Val::U32).collect();
        app.call("caller", function, arguments)
    };
    let add = call("watertight:test/laps#add", vec![10]).await.expect("it works");
    assert!(matches!(add[..], [Val::U32(_)]));
    assert_eq!(call("watertight:test/laps#blob", vec![65536, 3]).await.expect("it works"), [Val::U64(3 * 65536)]);
    assert_eq!(call("watertight:test/laps#people", vec![100, 3]).await.expect("it works"), [Val::U64(300)]);
}
