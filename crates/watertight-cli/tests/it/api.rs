//! The admin API as its own document has it: what is answered, what is refused, and events as they happen.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    admin::{TOKEN, admin_of, ask, raw},
    client::get,
    files::{AppFolder, site, site_with},
    program::Server,
};

/// A node with an admin address and a token.
fn start(app: &AppFolder, workers: &str) -> (Server, SocketAddr) {
    let token = app.write("token", TOKEN);
    let token = token.to_str().expect("test paths are text");
    let state = app.path().join("postmortems");
    let state = state.to_str().expect("test paths are text");
    let args = ["--workers", workers, "--admin", "127.0.0.1:0", "--admin-token-file", token, "--postmortem-dir", state];
    let server = Server::start(app.path(), &args);
    let admin = admin_of(&server);
    (server, admin)
}

/// A request with the token, and a body.
async fn tell(admin: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}",
        body.len()
    );
    let answer = raw(admin, &head, body.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("it is an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it has a status");
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// Holds a value against a schema of the document: types, what must be there, and that nothing is there that the document does not have.
fn compare(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("references are within the document");
        let schema = document.pointer(pointer).unwrap_or_else(|| panic!("{reference} is not there"));
        return compare(document, schema, value, at);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let one = &schema["type"];
    let types = one.as_array().cloned().unwrap_or_else(|| vec![one.clone()]);
    assert!(types.contains(&json!(kind)), "{at} is {value}, not {types:?}");
    if let Some(known) = schema["enum"].as_array() {
        assert!(known.contains(value), "{at} is {value}, not one of {known:?}");
    }
    match value {
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                compare(document, &schema["items"], item, &format!("{at}[{place}]"));
            }
        }
        Value::Object(fields) if schema["properties"].is_object() => {
            let properties = schema["properties"].as_object().expect("just looked");
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                assert!(fields.contains_key(name), "{at} has no {name}: {value}");
            }
            for (name, field) in fields {
                let schema = properties.get(name).unwrap_or_else(|| panic!("{at}.{name} is not in the document"));
                compare(document, schema, field, &format!("{at}.{name}"));
            }
        }
        Value::Object(fields) if schema["additionalProperties"].is_object() => {
            for (name, field) in fields {
                compare(document, &schema["additionalProperties"], field, &format!("{at}.{name}"));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {}
    }
}

#[tokio::test]
async fn every_answer_is_as_the_document_has_it() {
    for workers in ["0", "2"] {
        let app = site_with("counter", "lifetime = \"resident\"");
        let (server, admin) = start(&app, workers);
        let (_, document) = tell(admin, "GET", "/v1/openapi.json", "").await;
        assert_eq!(document["openapi"], "3.1.0");
        // Somebody looks at calls from here on.
        tell(admin, "GET", "/v1/calls", "").await;
        let tap = r#"{"id":7,"values":true}"#;
        tell(admin, "POST", "/v1/tap", tap).await;
        let record = r#"{"id":8,"edges":["->behaviour"]}"#;
        tell(admin, "POST", "/v1/record", record).await;
        for path in ["/run/1", "/run/2", "/none"] {
            get(server.address, path).await.expect("it answers");
        }
        let faults = r#"{"faults":["behaviour: trap 100%"],"for_ms":60000}"#;
        let mut seen = BTreeSet::new();
        for (method, path, body, documented) in [
            ("GET", "/v1/openapi.json", "", "/v1/openapi.json"),
            ("GET", "/v1/rights", "", "/v1/rights"),
            ("GET", "/v1/apps", "", "/v1/apps"),
            ("GET", "/v1/cells", "", "/v1/cells"),
            ("GET", "/v1/cells?component=behaviour", "", "/v1/cells"),
            ("GET", "/v1/calls", "", "/v1/calls"),
            ("POST", "/v1/tap", tap, "/v1/tap"),
            ("POST", "/v1/record", record, "/v1/record"),
            ("POST", "/v1/components/behaviour/restart", "", "/v1/components/{name}/restart"),
            ("POST", "/v1/components/behaviour/eject", "{}", "/v1/components/{name}/eject"),
            ("POST", "/v1/reload", "", "/v1/reload"),
            ("PUT", "/v1/faults", faults, "/v1/faults"),
            ("GET", "/v1/faults", "", "/v1/faults"),
            ("GET", "/run/1", "", ""),
            ("GET", "/v1/node", "", "/v1/node"),
            ("DELETE", "/v1/faults", "", "/v1/faults"),
            ("GET", "/v1/components", "", "/v1/components"),
            ("GET", "/v1/components/web", "", "/v1/components/{name}"),
            ("GET", "/v1/edges", "", "/v1/edges"),
        ] {
            if documented.is_empty() {
                // While faults are set: a postmortem is left.
                get(server.address, path).await.expect("it answers");
                continue;
            }
            let (status, answer) = tell(admin, method, path, body).await;
            assert_eq!(status, 200, "{method} {path}: {answer}");
            let operation = &document["paths"][documented][method.to_lowercase()];
            let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            assert!(schema.is_object(), "{method} {documented} is not in the document");
            compare(&document, schema, &answer, &format!("{method} {path}"));
            seen.insert((documented, method));
            if path == "/v1/calls" {
                let trees = answer["trees"].as_array().expect("a list");
                let whole = trees.iter().find(|tree| tree["calls"].as_array().is_some_and(|calls| calls.len() == 2));
                let whole = whole.unwrap_or_else(|| panic!("no request with its call in {answer}"));
                assert_eq!((&whole["calls"][0]["to"], &whole["calls"][1]["to"]), (&json!("web"), &json!("behaviour")));
                assert_eq!(whole["calls"][1]["parent"], whole["calls"][0]["span"], "{whole}");
                assert!(whole["calls"][1].get("arguments").is_none(), "{whole}");
            }
        }
        let (status, listed) = loop {
            let listed = tell(admin, "GET", "/v1/postmortems?component=behaviour", "").await;
            if listed.1["postmortems"] != json!([]) {
                break listed;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(status, 200);
        let schema = json!({ "$ref": "#/components/schemas/Postmortems" });
        compare(&document, &schema, &listed, "GET /v1/postmortems");
        let id = listed["postmortems"][0]["id"].as_str().expect("it has a name").replace('%', "%25");
        let (status, report) = tell(admin, "GET", &format!("/v1/postmortems/{id}"), "").await;
        assert_eq!((status, &report["component"]["name"]), (200, &json!("behaviour")), "{report}");
        seen.extend([("/v1/postmortems", "GET"), ("/v1/postmortems/{id}", "GET")]);
        // The page, the metrics and the events are no JSON, and have tests of their own.
        seen.extend([("/", "GET"), ("/metrics", "GET"), ("/v1/events", "GET")]);
        for (path, methods) in document["paths"].as_object().expect("it has paths") {
            for method in methods.as_object().expect("a path has methods").keys() {
                let method = method.to_uppercase();
                assert!(seen.contains(&(path.as_str(), method.as_str())), "{method} {path} was not tried");
            }
        }
        server.stop();
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_what_would_be_right() {
    let app = site("ok");
    let (server, admin) = start(&app, "0");
    for (method, path, body, status, part) in [
        ("GET", "/v1/components/behavior", "", 404, "did you mean `behaviour`?"),
        ("POST", "/v1/components/behavior/eject", "", 404, "did you mean `behaviour`?"),
        ("POST", "/v1/components/nothing-like-it/restart", "", 404, "it has web, behaviour"),
        ("GET", "/v1/cells?component=x", "", 404, "no component `x`"),
        ("GET", "/v1/cells?name=web", "", 400, "no `name` here"),
        ("GET", "/v1/events?component=x", "", 404, "no component `x`"),
        ("GET", "/v1/events?kinds=failures", "", 400, "resident-failed"),
        ("GET", "/v1/postmortems/site/web/never", "", 404, "no postmortem"),
        ("GET", "/v1/postmortems/..%2f..%2fetc/passwd", "", 404, "no postmortem"),
        ("GET", "/v1/nothing", "", 404, "/v1/openapi.json"),
        ("POST", "/v1/components/web/eject", "{\"cells\":1}", 400, "which cell"),
        ("POST", "/v1/components/web/eject", "{\"cell\":\"1-1\"}", 404, "has no cell 1-1"),
        ("POST", "/v1/tap", "{]", 400, "which calls"),
    ] {
        let (got, answer) = tell(admin, method, path, body).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(got == status && message.contains(part), "{method} {path}: {got} {answer}");
    }
    for (method, path, allowed) in [
        ("POST", "/v1/node", "GET, HEAD"),
        ("GET", "/v1/components/web/eject", "POST"),
        ("POST", "/v1/faults", "GET, HEAD, PUT, DELETE"),
        ("DELETE", "/v1/components/web/restart", "POST"),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {TOKEN}");
        let answer = raw(admin, &head, b"").await;
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains(&format!("allow: {allowed}\r\n")), "{answer}");
    }
    server.stop();
}

#[tokio::test]
async fn what_changes_something_or_shows_values_is_for_who_holds_the_token() {
    let app = site("ok");
    let (server, admin) = start(&app, "0");
    let tells = [
        ("POST", "/v1/components/web/eject"),
        ("POST", "/v1/components/web/restart"),
        ("POST", "/v1/reload"),
        ("PUT", "/v1/faults"),
        ("DELETE", "/v1/faults"),
        ("POST", "/v1/tap"),
        ("GET", "/v1/postmortems/a/b/c"),
    ];
    for (method, path) in tells {
        assert_eq!(ask(admin, method, path, "").await.0, 401, "{method} {path}");
        let wrong = "\r\nAuthorization: Bearer another0another0";
        assert_eq!(ask(admin, method, path, wrong).await.0, 401, "{method} {path}");
        let foreign = format!("\r\nAuthorization: Bearer {TOKEN}\r\nOrigin: http://evil.example");
        assert_eq!(ask(admin, method, path, &foreign).await.0, 403, "{method} {path}");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99999999"
        );
        let large = raw(admin, &head, &[b' '; 1024]).await;
        assert!(large.starts_with("HTTP/1.1 413"), "{method} {path}: {large}");
    }
    assert_eq!(ask(admin, "GET", "/v1/events?kinds=log", "").await.0, 403);
    let rights = async |more: &str| {
        let (_, body) = ask(admin, "GET", "/v1/rights", more).await;
        serde_json::from_str::<Value>(&body).expect("it is JSON")
    };
    assert_eq!(rights("").await, json!({ "tell": false, "token": true }));
    let holding = format!("\r\nAuthorization: Bearer {TOKEN}");
    assert_eq!(rights(&holding).await, json!({ "tell": true, "token": true }));
    server.stop();

    let open = Server::start(app.path(), &["--workers", "0", "--admin", "127.0.0.1:0"]);
    for (method, path) in tells {
        assert_eq!(ask(admin_of(&open), method, path, "").await.0, 403, "{method} {path}");
    }
    open.stop();
    fs::remove_file(app.path().join("token")).expect("it was there");
}

/// Events as they come.
struct Following(BufReader<TcpStream>);

impl Following {
    /// Begins to follow: when this returns, what happens from now on is told.
    fn start(admin: SocketAddr, query: &str) -> Self {
        let mut stream = TcpStream::connect(admin).expect("the node listens");
        let request = format!(
            "GET /v1/events?{query} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {TOKEN}\r\nAccept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the node reads");
        let mut following = Self(BufReader::new(stream));
        let mut head = String::new();
        while !head.ends_with("what happens from now on\n") {
            assert_ne!(following.0.read_line(&mut head).expect("it is text"), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
        following
    }

    /// The next event and its data; nothing at the end, which is one that was meant.
    fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).expect("it is text"), 0, "the end was not told");
            if let Some(told) = line.trim_end().strip_prefix("event: ") {
                told.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).expect("it is JSON");
                return Some((name, data)).filter(|(name, _)| name != "end");
            }
        }
    }

    /// What comes after the end: the body's own end, and nothing else.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.0, &mut rest).expect("it is text");
        rest
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_told_as_they_happen_by_every_process_until_the_node_stops() {
    for workers in ["0", "2"] {
        let app = site("trap");
        let (mut server, admin) = start(&app, workers);
        // One that comes later is heard from its first tenth of a second on.
        (0..workers.parse().expect("a number")).for_each(|_: u32| {
            server.next_worker();
        });
        let mut failures = Following::start(admin, "kinds=failure,worker");
        let mut of_web = Following::start(admin, "kinds=all&component=web");
        for _ in 0..4 {
            assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
        }
        let mut failed = 0;
        while failed < 4 {
            let (name, data) = failures.next().expect("the node runs");
            if name != "worker" {
                assert_eq!((name.as_str(), &data["component"]), ("failure", &json!("behaviour")), "{data}");
                assert!(data["time"].is_string() && data["detail"].is_string(), "{data}");
                failed += 1;
            }
        }
        let (mut calls, mut roots) = (0, 0);
        while calls < 4 || roots < 4 {
            let (name, data) = of_web.next().expect("the node runs");
            calls += u32::from(name == "call-failed");
            roots += u32::from(name == "root");
            assert!(
                data["component"] == "web" || data["edge"].as_str().is_some_and(|edge| edge.contains("web")),
                "{data}"
            );
        }
        assert_eq!(tell(admin, "POST", "/v1/reload", "").await.0, 200);
        while failures.next().expect("the node runs").1["event"] != "reload" {}
        let stopping = tokio::task::spawn_blocking(move || server.stop());
        while failures.next().is_some() {}
        assert_eq!(failures.rest().replace(['\r', '\n'], ""), "0", "the body's last, empty piece");
        while of_web.next().is_some() {}
        stopping.await.expect("it stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_loses_events_and_nobody_else_anything() {
    let app = site("ok");
    let (server, admin) = start(&app, "1");
    let mut stuck = Following::start(admin, "kinds=all");
    let asked = async |n: u32| {
        for _ in 0..n {
            assert_eq!(get(server.address, "/run/1").await.expect("it answers").0, 200);
        }
    };
    // Far more than its queue has room for, and the connection.
    tokio::join!(asked(900), asked(900), asked(900), asked(900));
    let (_, node) = tell(admin, "GET", "/v1/node", "").await;
    assert_eq!(node["workers"][0]["answers"], true, "{node}");
    let mut told = 0;
    let dropped = loop {
        let (name, data) = stuck.next().expect("the node runs");
        if name == "dropped" {
            break data["count"].as_u64().unwrap_or(0);
        }
        told += 1;
        // Each request has seven events at least.
        if told >= 3600 * 7 {
            break u64::MAX;
        }
    };
    assert!(dropped > 0, "what was lost is told");
    drop(stuck);
    server.stop();
}

#[tokio::test]
async fn only_so_many_follow_and_a_place_is_free_when_one_goes() {
    let app = site("ok");
    let (server, admin) = start(&app, "0");
    let mut following: Vec<_> = (0..16).map(|_| Following::start(admin, "")).collect();
    let holding = format!("\r\nAuthorization: Bearer {TOKEN}");
    let (status, why) = ask(admin, "GET", "/v1/events", &holding).await;
    assert!(status == 503 && why.contains("16 follow"), "{why}");
    assert_eq!(ask(admin, "GET", "/v1/node", "").await.0, 200, "others are answered");
    following.pop();
    loop {
        let head = format!("GET /v1/events HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        let mut stream = TcpStream::connect(admin).expect("the node listens");
        stream.write_all(head.as_bytes()).expect("the node reads");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("it is text");
        if line.starts_with("HTTP/1.1 200") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop();
}
