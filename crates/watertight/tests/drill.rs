//! What a drill says of leaks: nothing of what idles, everything of what stays.

use std::{fs::File, sync::Arc, time::Duration};

use watertight::{
    AppSource, CompileCache, NoProgress,
    drill::{self, Drill, Witness},
    model::{
        drill::Report,
        event::{CellEnd, Event, EventSink},
        fault::FaultPlan,
    },
};
use watertight_testkit::guest;

/// Each failed cell leaves one of these behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leak {
    Nothing,
    Thread,
    File,
    Memory,
}

/// A sink that leaks, in place of code of the host that does.
struct Leaky {
    witness: Arc<Witness>,
    leak: Leak,
}

impl EventSink for Leaky {
    fn emit(&self, event: Event) {
        if matches!(event, Event::CellEnded { end: CellEnd::Ejected(_), .. }) {
            match self.leak {
                Leak::Nothing => {}
                Leak::Thread => drop(std::thread::spawn(|| {
                    loop {
                        std::thread::park()
                    }
                })),
                Leak::File => std::mem::forget(File::open("/dev/null").expect("it is there")),
                Leak::Memory => drop(Box::leak(vec![1_u8; 1 << 20].into_boxed_slice())),
            }
        }
        self.witness.emit(event);
    }
}

/// A site under drill, beside work on threads of the runtime.
fn drilled(leak: Leak) -> Report {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let manifest = r#"
[app]
name = "site"
[component.web]
source = "http-behave.wasm"
uses = ["behaviour"]
[component.behaviour]
source = "ok.wasm"
[[trigger.http]]
route = "/run/..."
component = "web"
"#;
    let components = [("web", "http-behave"), ("behaviour", "ok")];
    let components = components.map(|(name, built)| (name.to_owned(), Arc::from(guest::built(built))));
    let source = AppSource::in_memory(manifest, components, folder.path());
    let checked = source.check().expect("the app is sound");
    let cache = CompileCache::open(concat!(env!("CARGO_TARGET_TMPDIR"), "/cache").as_ref()).expect("it is writable");
    let node = checked.compile(cache, &checked.all_roots(), &NoProgress).expect("it compiles");
    let witness = drill::witness(node.app());
    let plan = FaultPlan::parse(node.app(), "faults", ["behaviour: trap 50%"], 1).expect("they are sound");
    let drill = Drill {
        loads: vec!["GET /run/1".parse().expect("a load")],
        plan,
        concurrency: 4,
        time: Duration::from_millis(200),
        expectations: Vec::new(),
    };
    drill::runtime().expect("the system has threads").block_on(async {
        let events = Arc::new(Leaky { witness: Arc::clone(&witness), leak });
        let node = node.start(None, events).expect("it starts");
        // As guests that read files do: more at once than ever before, while there are faults.
        let mut busy = false;
        let report = drill.run(&node, &witness, |progress| {
            if progress.phase == drill::Phase::Drill && !busy {
                busy = true;
                for _ in 0..20 {
                    drop(tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(20))));
                }
            }
        });
        let report = report.await.expect("the app answers");
        node.shutdown().await;
        report
    })
}

#[test]
fn threads_that_idle_have_not_leaked_and_what_stays_has() {
    for (leak, leaked) in [
        (Leak::Nothing, &[][..]),
        (Leak::File, &["files"]),
        (Leak::Memory, &["rss-kib"]),
        (Leak::Thread, &["threads", "mappings"]),
    ] {
        let report = drilled(leak);
        let ejected = report.components[1].ejected;
        assert!(ejected > 0, "{report:?}");
        let found: Vec<_> = report.held.iter().filter(|held| held.leaked()).map(|held| held.what).collect();
        assert!(leaked.iter().all(|what| found.contains(what)), "{leak:?}, {ejected} cells: {:?}", report.held);
        assert!(leak != Leak::Nothing || found.is_empty(), "{:?}", report.held);
    }
}
