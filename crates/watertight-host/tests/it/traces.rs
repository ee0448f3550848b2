//! Traces of call trees: which call was made for which, whatever kind of component is in between.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wasmtime::component::Val;
use watertight_model::{
    event::{Event, Outcome},
    trace::{SpanId, SpanOf, Trace},
};
use watertight_testkit::guest;

use crate::{
    app::Recorder,
    graph::{Graph, try_load_for},
};

/// Five components: two of WASI 0.3 that call another one, of which one calls two of WASI 0.2, too.
fn five(share: f64, keys: &str) -> Graph {
    let manifest = format!(
        "[component.user]\nsource = \"user.wasm\"\nuses = [\"between\"]\nbudget = {{ deadline = \"1m\" }}\n\
         [component.between]\nsource = \"between.wasm\"\nuses = [\"later\", \"relay\"]\n{keys}\n\
         [component.later]\nsource = \"later.wasm\"\n{keys}\n\
         [component.relay]\nsource = \"relay.wasm\"\nuses = [\"ok\"]\n\
         [component.ok]\nsource = \"ok.wasm\"\n"
    );
    let guests =
        [("user", "later-user"), ("between", "later-relay"), ("later", "later"), ("relay", "relay"), ("ok", "ok")];
    let guests = guests.map(|(name, built)| (name, guest::built(built)));
    let loaded = try_load_for(&manifest, &guests, Recorder::of_traces(share));
    loaded.unwrap_or_else(|problems| panic!("the app does not load: {problems:#?}"))
}

impl Graph {
    async fn scene(&self, function: &str, arguments: Vec<Val>) -> Vec<Trace> {
        // What it gives is not what this is about.
        let _ = self.call("user", &format!("watertight:later/later-scenes#{function}"), arguments).await;
        self.settle().await;
        let trace = |event| if let Event::Trace(trace) = event { Some(*trace) } else { None };
        self.events.all().into_iter().filter_map(trace).collect()
    }

    /// What a span is about: `caller->callee.function`, or the component that was entered.
    fn name(&self, of: &SpanOf) -> String {
        let app = self.app.app();
        match of {
            SpanOf::Root(root) => app.component(root.component).name.clone(),
            SpanOf::Call(call) => {
                let edge = &app.edges[call.edge.0 as usize];
                let (from, to) = (&app.component(edge.importer).name, &app.component(edge.exporter).name);
                format!("{from}->{to}.{}", edge.functions[call.function.0 as usize].name)
            }
            SpanOf::Request { .. } | SpanOf::Sent(_) => "http".to_owned(),
        }
    }

    /// The names of the spans below a span, each with those below it.
    fn below(&self, trace: &Trace, parent: Option<SpanId>) -> Vec<String> {
        let children = trace.spans.iter().filter(|span| span.parent == parent);
        let mut names: Vec<_> = children
            .map(|span| {
                let below = self.below(trace, Some(span.id));
                let name = self.name(&span.of);
                if below.is_empty() { name } else { format!("{name}({})", below.join(" ")) }
            })
            .collect();
        names.sort();
        names
    }
}

const ONE: &str = "user->between.add(between->later.add between->relay.run(relay->ok.run))";

#[tokio::test]
async fn every_call_has_the_right_parent_in_any_kind_of_component_and_among_many_at_once() {
    for keys in ["", "lifetime = \"resident\"", "lifetime = \"call\""] {
        let app = five(1.0, keys);
        let traces = app.scene("many", vec![Val::U32(3), Val::U32(20)]).await;
        assert_eq!(traces.len(), 1, "{keys}");
        assert_eq!(app.below(&traces[0], None), [format!("user({ONE} {ONE} {ONE})")], "{keys}");
        let begins: BTreeMap<_, _> = traces[0].spans.iter().map(|span| (span.id, span.began_ns)).collect();
        let parents =
            |span: &watertight_model::trace::Span| span.parent.and_then(|parent| begins.get(&parent).copied());
        assert!(traces[0].spans.iter().all(|span| parents(span).is_none_or(|parent| parent <= span.began_ns)));
    }
}

#[tokio::test]
async fn a_trace_that_nobody_wants_is_kept_when_something_failed_in_it() {
    let app = five(0.0, "");
    assert_eq!(app.scene("one", vec![Val::U32(1), Val::U32(2), Val::U32(0)]).await, []);
    let traces = app.scene("exploded", vec![Val::U32(1)]).await;
    assert_eq!(traces.len(), 1);
    assert!(!traces[0].sampled);
    let calls =
        traces[0].spans.iter().filter(|span| matches!(&span.of, SpanOf::Call(call) if call.outcome != Outcome::Ok));
    assert_eq!(calls.count(), 1, "`explode` gives its caller an error, which that hands on");
    assert_eq!(app.below(&traces[0], None), ["user(user->between.explode(between->later.explode))"]);
}

#[tokio::test]
async fn a_request_that_a_component_sends_is_part_of_its_trace_and_says_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("somebody connects");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a request"));
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
        stream.write_all(answer).await.expect("it is open");
        String::from_utf8(head).expect("it is text")
    });
    let manifest = format!(
        "[component.user]\nsource = \"dial.wasm\"\ngrants.http = [\"http://{address}\"]\nbudget = {{ deadline = \"1m\" }}\n"
    );
    let guests = [("user", guest::built("dial"))];
    let app = try_load_for(&manifest, &guests, Recorder::of_traces(1.0));
    let app = app.unwrap_or_else(|problems| panic!("the app does not load: {problems:#?}"));
    let url = vec![Val::String(format!("http://{address}/"))];
    app.call("user", "watertight:test/dial#http", url).await.expect("it returns");
    app.settle().await;
    let head = serving.await.expect("it served").to_lowercase();
    let said = head.lines().find_map(|line| line.strip_prefix("traceparent:")).expect("it is said").trim();
    let trace = |event| if let Event::Trace(trace) = event { Some(*trace) } else { None };
    let trace = app.events.all().into_iter().find_map(trace).expect("it is told");
    let sent = trace.spans.iter().find(|span| matches!(span.of, SpanOf::Sent(_))).expect("it was sent");
    let root = trace.spans.iter().find(|span| matches!(span.of, SpanOf::Root(_))).expect("it was called");
    assert_eq!(sent.parent, Some(root.id));
    assert_eq!(said, format!("00-{}-{}-01", trace.id, sent.id));
}
