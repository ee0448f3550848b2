//! A node inside a program: load, invoke, serve, shut down. Events are the oracle.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::{BodyExt, Full};
use watertight::{
    AppSource, CompileCache, HttpConfig, InvokeError, NoProgress, Node, NodeError, Val,
    model::{
        event::{Event, EventSink, NoSink, Outcome},
        failure::FailureKind,
    },
};
use watertight_testkit::guest;

/// Keeps every event.
#[derive(Default)]
struct Kept(Mutex<Vec<Event>>);

impl EventSink for Kept {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl Kept {
    fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// A site whose handler calls another component, of this behaviour.
fn site(behaviour: &str) -> AppSource {
    let manifest = "[app]\nname = \"site\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"behaviour\"]\nbudget = { slice = \"1s\" }\n\
                    [component.behaviour]\nsource = \"behaviour.wasm\"\nbudget = { cpu = \"50ms\", slice = \"1s\", memory = \"8MiB\" }\n\
                    [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n";
    let components = [("web", "http-behave"), ("behaviour", behaviour)];
    let components = components.map(|(name, built)| (name.to_owned(), Arc::from(guest::built(built))));
    AppSource::in_memory(manifest, components, ".")
}

fn load(source: AppSource) -> (Node, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let sink = Arc::clone(&kept) as Arc<dyn EventSink>;
    let node = Node::builder().source(source).cache_dir(cache()).events(sink).load();
    (node.expect("the app is sound"), kept)
}

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let stream = tokio::net::TcpStream::connect(address).await.expect("the server listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    let request = http::Request::get(path).header("host", "site.test").body(Full::<bytes::Bytes>::default());
    let response = sender.send_request(request.expect("the request is sound")).await.expect("it answers");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("the body is whole").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn an_export_is_called_with_values_and_with_text() {
    let (node, kept) = load(site("ok"));
    let run = node.export("watertight:test/behave#run", None).expect("it is exported");
    for number in [1, 41] {
        let returned = node.invoke(&run, &[Val::U32(number)]).await.expect("it returns");
        assert_eq!(returned, Some(Val::Result(Ok(Some(Box::new(Val::U32(number + 1)))))));
    }
    let text = node.invoke_text("behave#plain(1)", Some("behaviour")).await.expect("it returns");
    assert_eq!(text.as_deref(), Some("2"));
    let roots =
        kept.all().into_iter().filter(|event| matches!(event, Event::Root(root) if root.outcome == Outcome::Ok));
    assert_eq!(roots.count(), 3);
    node.shutdown().await;
}

#[tokio::test]
async fn a_failed_call_says_who_failed_and_why_and_the_next_one_works() {
    let (node, kept) = load(site("spin"));
    let failed = node.invoke_text("run(0)", None).await.expect_err("it spins");
    let InvokeError::Call(failed) = failed else { panic!("it is the call that fails: {failed}") };
    assert_eq!((failed.component.as_str(), failed.kind), ("behaviour", FailureKind::Cpu));
    assert_eq!(node.invoke_text("run(1)", None).await.expect("one million turns are few"), Some("ok(1)".to_owned()));
    let ends = kept.all();
    assert!(
        ends.iter()
            .any(|event| matches!(event, Event::Root(root) if root.outcome == Outcome::Failed(FailureKind::Cpu)))
    );
}

#[tokio::test]
async fn arguments_that_do_not_fit_never_reach_a_guest() {
    let (node, kept) = load(site("ok"));
    let run = node.export("run", None).expect("it is exported");
    for arguments in [&[][..], &[Val::U32(1), Val::U32(2)]] {
        let refused = node.invoke(&run, arguments).await.expect_err("they do not fit");
        assert!(matches!(refused, InvokeError::Arguments { .. }), "{refused}");
    }
    assert_eq!(kept.all(), [], "nothing started");
    assert!(matches!(node.export("walk", None), Err(InvokeError::Unknown { .. })));
    assert!(matches!(node.export("run", Some("web")), Err(InvokeError::Unknown { .. })));
}

#[tokio::test]
async fn routes_are_served_inside_the_program_until_it_stops() {
    let (node, kept) = load(site("ok"));
    let server = node.serve("127.0.0.1:0", HttpConfig::default(), None).expect("loopback has a free port");
    let address = server.address();
    assert_eq!(get(address, "/run/6").await, (200, "ok 7".to_owned()));
    assert_eq!(server.stop().await.cut, 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is closed");
    node.shutdown().await;
    let events = kept.all();
    assert!(events.iter().any(|event| matches!(event, Event::Request(request) if request.status == 200)));
    assert!(events.iter().any(|event| matches!(event, Event::Call(call) if call.outcome == Outcome::Ok)));
}

#[tokio::test]
async fn a_failure_that_nobody_can_be_told_of_is_a_500_and_the_site_goes_on() {
    let (node, _kept) = load(site("trap"));
    let server = node.serve("127.0.0.1:0", HttpConfig::default(), None).expect("loopback has a free port");
    assert_eq!(get(server.address(), "/plain/1").await.0, 500);
    assert_eq!(get(server.address(), "/run/1").await.0, 502);
    assert_eq!(get(server.address(), "/idle").await, (200, "idle".to_owned()));
    server.stop().await;
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text =
        "[app]\nname = \"x\"\n[component.a]\nsource = \"a.wasm\"\nuses = [\"c\"]\n[component.b]\nsource = \"b.wasm\"\n";
    let source = AppSource::in_memory(text, [("b".to_owned(), Arc::from(&b"nothing"[..]))], ".");
    let error = Node::builder().source(source).cache_dir(cache()).load().expect_err("it is wrong");
    let NodeError::Rejected(rejected) = error else { panic!("the manifest is wrong: {error}") };
    assert_eq!(rejected.0.iter().filter(|problem| problem.is_error()).count(), 3, "{rejected}");
    assert!(matches!(Node::builder().load(), Err(NodeError::Incomplete(_))));
    let forgotten = Node::builder().source(site("ok")).load().expect_err("it was told no cache");
    assert!(forgotten.to_string().contains("cache_dir"), "{forgotten}");
}

#[test]
fn roots_are_what_is_entered_from_outside() {
    let checked = site("ok").check().expect("it is sound");
    let named = |roots: Vec<(watertight::model::app::ComponentId, u32)>| -> Vec<(String, u32)> {
        roots.into_iter().map(|(id, at_once)| (checked.app.component(id).name.clone(), at_once)).collect()
    };
    assert_eq!(named(checked.all_roots()), [("web".to_owned(), 256)]);
    assert_eq!(named(checked.each_once()), [("web".to_owned(), 1), ("behaviour".to_owned(), 1)]);
    assert_eq!(checked.commands(), []);
    for command in ["command", "command3", "command-p1"] {
        let checked = AppSource::single("c.wasm", guest::built(command)).check().expect("it is sound");
        assert_eq!(checked.commands().len(), 1, "{command}");
    }
}

#[test]
fn two_nodes_share_a_cache() {
    let start = || {
        let checked = site("ok").check().expect("it is sound");
        let cache = CompileCache::open(&cache()).expect("the folder is writable");
        let compiled = checked.compile(cache, &checked.all_roots(), &NoProgress).expect("it compiles");
        compiled.start(None, Arc::new(NoSink)).expect("it starts").pools().to_vec()
    };
    let other = std::thread::spawn(start);
    assert_eq!(start(), other.join().expect("the other starts too"));
}
