//! Routes that call functions: values of all types as JSON, failures, and what is not to be called.

use http::Request;
use serde_json::{Value, json};

use crate::{
    client::{call, get, send},
    files::AppFolder,
    program::{Server, run},
};

/// An app whose functions of `types` and of this behaviour everybody may call.
fn app(behaviour: &str, route: &str) -> AppFolder {
    let manifest = format!(
        "[app]\nname = \"app\"\n[component.types]\nsource = \"types.wasm\"\n\
         [component.behaviour]\nsource = \"{behaviour}.wasm\"\nbudget = {{ memory = \"4MiB\", deadline = \"1s\", cpu = \"1h\" }}\n\
         [[trigger.http]]\nroute = \"/types/...\"\ncomponent = \"types\"\nexports = [\"watertight:test/types\"]\n\
         [[trigger.http]]\nroute = \"/calls/...\"\ncomponent = \"behaviour\"\nexports = [\"watertight:test/behave\"]\n{route}"
    );
    AppFolder::new(&manifest, &["types", behaviour])
}

#[tokio::test]
async fn values_of_every_type_go_there_and_back_as_json() {
    let app = app("ok", "");
    let server = Server::start(app.path(), &["--workers", "1"]);
    let big = "é\n\"\u{1F30A}".repeat(10_000);
    for (function, given, got) in [
        ("bools", json!(true), None),
        ("u8s", json!(255), None),
        ("s8s", json!(-128), None),
        ("u64s", json!("18446744073709551615"), None),
        ("u64s", json!(7), Some(json!("7"))),
        ("s64s", json!("-9223372036854775808"), None),
        ("f32s", json!(0.1), None),
        ("f64s", json!(1e300), None),
        ("f64s", json!("NaN"), None),
        ("f64s", json!("-Infinity"), None),
        ("chars", json!("\u{1F30A}"), None),
        ("strings", json!(big), None),
        ("bytes", json!("AAEC/w=="), None),
        ("bytes", json!([0, 1, 2, 255]), Some(json!("AAEC/w=="))),
        ("list-list", json!([["a"], [], ["b", "c"]]), None),
        ("mixeds", json!({ "a": 1, "b": "2", "c": true, "d": 0.5, "e": "x", "f": -3 }), None),
        ("persons", json!({ "name": "Ada", "age": null, "tags": ["x"], "home": { "x": 1, "y": -1 } }), None),
        (
            "persons",
            json!({ "home": { "y": 2, "x": 1 }, "tags": [], "name": "Ada" }),
            Some(json!({ "name": "Ada", "age": null, "tags": [], "home": { "x": 1, "y": 2 } })),
        ),
        ("tuples", json!([1, "two", 3.5, { "x": 4, "y": 5 }]), None),
        ("colours", json!("green"), None),
        ("shapes", json!({ "tag": "nothing" }), None),
        ("shapes", json!("nothing"), Some(json!({ "tag": "nothing" }))),
        ("shapes", json!({ "tag": "many", "val": [{ "tag": "of", "val": "red" }, { "tag": "grey", "val": 9 }] }), None),
        ("nines", json!(["f0", "f8"]), None),
        ("options", json!(null), None),
        ("option-options", json!({ "tag": "some", "val": null }), None),
        ("result-list", json!([{ "tag": "ok", "val": null }, { "tag": "err", "val": "/w==" }]), None),
    ] {
        let path = format!("/types/watertight:test/types/{function}");
        let answer = call(server.address, &path, &json!([given]).to_string()).await;
        assert_eq!(answer, (200, got.unwrap_or(given)), "{function}");
    }
    let numbers = json!((1..=16).collect::<Vec<_>>()).to_string();
    let sum = call(server.address, "/types/watertight:test/types/sixteen", &numbers).await;
    assert_eq!(sum, (200, json!("136")));
    assert_eq!(call(server.address, "/types/watertight%3Atest%2Ftypes/nothing", "[]").await, (200, Value::Null));
    server.stop();
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_refused_with_the_place() {
    let app = app("ok", "");
    let server = Server::start(app.path(), &["--workers", "1"]);
    for (function, arguments, said) in [
        ("u8s", "[256]", "u8s: `v` is to be a u8, from 0 to 255, and is 256"),
        ("u8s", "[\"1\"]", "u8s: `v` is to be a u8, and is the text \"1\""),
        ("u64s", "[\"18446744073709551616\"]", "from 0 to 18446744073709551615"),
        ("u64s", "[\"1e3\"]", "`v` is to be a u64, and is the text \"1e3\""),
        ("u8s", "[1, 2]", "it takes one argument (`v`), and 2 were given"),
        ("u8s", "{}", "the arguments are not one array"),
        ("u8s", "[1", "it is not JSON: "),
        ("u8s", "", "it is not JSON: "),
        ("bytes", "[\"???\"]", "`v` is to be bytes in base64"),
        ("persons", "[{\"name\": \"Ada\", \"tags\": [], \"home\": {\"x\": 1}}]", "`v.home` lacks the field `y`"),
        ("colours", "[\"blau\"]", "`v` is to be one of `red`, `green`, `blue`, and is the text \"blau\""),
        ("chars", "[\"ab\"]", "`v` is to be text of one letter"),
    ] {
        let path = format!("/types/watertight:test/types/{function}");
        let (status, answer) = call(server.address, &path, arguments).await;
        let error = &answer["error"];
        assert!(status == 400 && error["kind"] == "type", "{function}{arguments}: {status} {answer}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(said)), "{function}{arguments}: {answer}");
    }
    // A client's mistakes are no failures of the component.
    let log = server.stop();
    assert!(!log.contains("\"failed\""), "{log}");
}

#[tokio::test]
async fn an_error_is_told_whole_and_a_failure_by_its_kind() {
    for (behaviour, function, status, error) in [
        ("fail", "run", 422, json!({ "kind": "error", "message": "asked to fail", "payload": "asked to fail" })),
        ("fail", "quiet", 422, json!({ "kind": "error", "message": "quiet failed", "payload": null })),
        ("trap", "run", 500, json!({ "kind": "trap", "message": "the service failed to answer" })),
        ("spin", "plain", 504, json!({ "kind": "deadline", "message": "no answer in time" })),
        ("eat-memory-trap", "plain", 500, json!({ "kind": "memory", "message": "the service failed to answer" })),
    ] {
        let app = app(behaviour, "");
        let mut server = Server::start(app.path(), &["--workers", "0"]);
        let path = format!("/calls/watertight:test/behave/{function}");
        let answer = call(server.address, &path, "[0]").await;
        assert_eq!(answer, (status, json!({ "error": error })), "{behaviour}");
        let request = server.next("request", |_| true);
        assert_eq!((&request["route"], &request["status"]), (&json!("/calls/..."), &json!(status)), "{behaviour}");
        server.stop();
    }
    let slow = app("sleep", "concurrency = 1\nqueue = 0\n");
    let server = Server::start(slow.path(), &["--workers", "0"]);
    let path = "/calls/watertight:test/behave/plain";
    let (one, other) = tokio::join!(call(server.address, path, "[300]"), call(server.address, path, "[300]"));
    let busy = if one.0 == 200 { other } else { one };
    assert_eq!((busy.0, &busy.1["error"]["kind"]), (503, &json!("queue-full")));
    server.stop();
}

#[tokio::test]
async fn nothing_is_called_that_the_manifest_does_not_name_or_by_other_means_than_posted_json() {
    let app = app("ok", "");
    let server = Server::start(app.path(), &["--workers", "1"]);
    for path in ["/types/watertight:test/behave/run", "/calls/watertight:test/behave/walk", "/calls/", "/calls/run"] {
        let (status, answer) = call(server.address, path, "[1]").await;
        assert_eq!((status, &answer["error"]["kind"]), (404, &json!("unknown")), "{path}");
    }
    let path = "/calls/watertight:test/behave/run";
    assert_eq!(get(server.address, path).await.expect("it answers").0, 405);
    let plain = Request::post(path).header("content-type", "text/plain").body("[1]".to_owned());
    assert_eq!(send(server.address, plain.expect("it is sound")).await.status(), 415);
    let large = format!("[1{}]", " ".repeat(6 << 20));
    let (status, answer) = call(server.address, path, &large).await;
    assert_eq!((status, &answer["error"]["kind"]), (413, &json!("too-large")));
    assert_eq!(call(server.address, path, "[1]").await, (200, json!(2)));
    server.stop();
}

#[tokio::test]
async fn functions_of_wasi_0_3_are_called_as_well() {
    let manifest = "[app]\nname = \"app\"\n[component.later]\nsource = \"later.wasm\"\n[[trigger.http]]\nroute = \"/rpc/...\"\n\
                    component = \"later\"\nexports = [\"watertight:later/later\"]\n";
    let app = AppFolder::new(manifest, &["later"]);
    let server = Server::start(app.path(), &["--workers", "0"]);
    let (status, sum) = call(server.address, "/rpc/watertight:later/later/add", "[40, 2, 1]").await;
    assert_eq!((status, sum), (200, json!(42)));
    let (status, answer) = call(server.address, "/rpc/watertight:later/later/explode", "[1]").await;
    assert_eq!((status, &answer["error"]["kind"]), (500, &json!("trap")), "{answer}");
    server.stop();
}

#[test]
fn check_shows_what_everybody_may_call() {
    let app = app("ok", "");
    let checked = run(&["check", app.path().to_str().expect("test paths are text")]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(
        checked.stdout.contains("POST /calls/watertight:test/behave/run: func(n: u32) -> result<u32, string>"),
        "{}",
        checked.stdout
    );
}
