//! Dependencies that fail, thousands of times: each caller gets its error, and the process stays as small as it was.
//!
//! `WATERTIGHT_LEAK_CALLS` sets how many calls there are of each kind.

use std::{fs, path::PathBuf, sync::Arc};

use futures_util::{StreamExt as _, stream};
use watertight::{AppSource, Node, Val};
use watertight_testkit::guest;

/// Calls of each behaviour, unless the environment says otherwise.
const CALLS: usize = 250;

/// Calls in flight at once.
const AT_ONCE: usize = 16;

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    rss_kib: usize,
    files: usize,
    mappings: usize,
}

impl Held {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux has it");
        Self {
            rss_kib: rss.trim().trim_end_matches(" kB").parse().expect("a number"),
            files: fs::read_dir("/proc/self/fd").expect("Linux has it").count(),
            mappings: fs::read_to_string("/proc/self/maps").expect("Linux has it").lines().count(),
        }
    }

    /// Whether this is what `before` was, but for what an allocator keeps, and slots of the pool, which keep up to 2 MiB each.
    fn is_like(self, before: Self) -> bool {
        self.files <= before.files
            && self.mappings <= before.mappings + 64
            && self.rss_kib <= before.rss_kib + (20 << 10)
    }
}

/// Behaviours that fail: each with the argument that makes it, and what its caller is told.
const BEHAVIOURS: [(&str, u32, &str); 12] = [
    ("trap", 0, "trap"),
    ("overflow", 0, "stack-overflow"),
    ("eat-memory-trap", 0, "memory"),
    ("eat-memory", 0, "memory.grow was refused"),
    ("eat-table", 0, "table.grow was refused"),
    ("eat-gc", 0, "memory"),
    ("spin", 0, "cpu"),
    ("start-trap", 0, "trap"),
    ("start-spin", 0, "cpu"),
    ("exit", 1, "exit"),
    ("leak-pollables", 0, "memory"),
    ("open-sockets", 0, "new-socket-limit"),
];

fn node(behaviour: &str, lifetime: &str) -> Node {
    // Only those that spin use their cpu up; the others must not fail of it on a busy machine.
    let cpu = if behaviour.contains("spin") { "cpu = \"3ms\", slice = \"1ms\"," } else { "" };
    // As many residents as calls at once, and none that is ever given up; but one that cannot start is, and calls are told why.
    let kept = match (lifetime, behaviour.starts_with("start-")) {
        ("resident", false) => {
            "instances = 32\nintensity = { max = 65536, within = \"1ms\" }\nbackoff = { first = \"1ms\", most = \"1ms\" }\n"
        }
        _ => "",
    };
    let manifest = format!(
        "[app]\nname = \"leaks\"\n\
         [component.relay]\nsource = \"relay.wasm\"\nuses = [\"callee\"]\nbudget = {{ concurrency = 32 }}\n\
         [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"{lifetime}\"\n{kept}\
         budget = {{ memory = \"2MiB\", {cpu} concurrency = 32, sockets = 4 }}\n"
    );
    let components = [("relay", "relay"), ("callee", behaviour)];
    let components = components.map(|(name, built)| (name.to_owned(), Arc::from(guest::built(built))));
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let source = AppSource::in_memory(&manifest, components, ".");
    Node::builder().source(source).cache_dir(cache).load().expect("the app is sound")
}

/// Makes so many calls, and says what was wrong with the first that did not end in the error it should.
async fn fail(node: &Node, calls: usize, argument: u32, told: &str) {
    let run = node.export("watertight:test/behave#run", Some("relay")).expect("it is exported");
    let run = &run;
    let call = async |_| node.invoke(run, &[Val::U32(argument)]).await;
    let ended = stream::iter(0..calls).map(call).buffer_unordered(AT_ONCE);
    ended
        .for_each(async |ended| {
            // A value means that the caller lived, and so that it heard of the failure before its own deadline.
            let Ok(Some(Val::Result(Err(Some(text))))) = &ended else { panic!("not an error as a value: {ended:?}") };
            let Val::String(text) = &**text else { panic!("not a text: {text:?}") };
            assert!(text.contains(told), "{told} in {text}");
        })
        .await;
}

#[tokio::test]
async fn thousands_of_failures_leave_nothing_behind() {
    let calls = std::env::var("WATERTIGHT_LEAK_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(CALLS);
    let mut grown = Vec::new();
    // The thread for guests beyond their slice comes with the first of them, and stays.
    let spinning = node("spin", "request");
    fail(&spinning, 64, 0, "cpu").await;
    spinning.shutdown().await;
    for (behaviour, argument, told) in BEHAVIOURS {
        for lifetime in ["request", "resident"] {
            let node = node(behaviour, lifetime);
            // A quarter warms up: pools, allocator, threads of the runtime.
            fail(&node, calls.div_ceil(4).max(64), argument, told).await;
            let before = Held::now();
            fail(&node, calls, argument, told).await;
            let after = Held::now();
            if !after.is_like(before) {
                grown.push(format!("{behaviour} as {lifetime}: {before:?}, then {after:?}"));
            }
            node.shutdown().await;
        }
    }
    assert!(grown.is_empty(), "{grown:#?}");
}
