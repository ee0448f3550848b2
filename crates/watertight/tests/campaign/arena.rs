//! A node for one version of WASI and one lifetime: a callee of every class, a caller for every policy, and a neighbour that has
//! nothing to do with any of it.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use watertight::{
    AppSource, Export, Node, Val,
    model::{app::EdgeId, event::EventSink, fault::FaultPlan},
};
use watertight_testkit::guest;

use crate::{
    fault::{Class, Fault},
    guests::Wasi,
    policy::{Answer, LAME, Policy, SPARE},
};

/// The most calls in flight at once.
pub(crate) const MAX_AT_ONCE: usize = 32;

/// The deadline of late callees, in milliseconds.
pub(crate) const LATE_MS: u64 = 12;

/// A folder that is full with less than what is put there.
const DISK: &str = ", dirs = [{ host = \"disk\", guest = \"/disk\", mode = \"rw\", quota = \"64KiB\" }]";

/// Residents that are restarted at once, whatever happens.
const RESIDENCE: &str =
    "instances = 8\nintensity = { max = 65536, within = \"1ms\" }\nbackoff = { first = \"1ms\", most = \"1ms\" }\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Call,
    Request,
    Resident,
}

impl Lifetime {
    pub(crate) const ALL: [Self; 3] = [Self::Call, Self::Request, Self::Resident];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Request => "request",
            Self::Resident => "resident",
        }
    }
}

/// A running node of the campaign.
pub(crate) struct Arena {
    pub(crate) node: Node,
    pub(crate) lifetime: Lifetime,
    /// For each class, then for each policy, the function that calls.
    callers: Vec<Caller>,
    neighbour: Export,
}

struct Caller {
    class: Class,
    policy: Policy,
    function: Export,
    /// Where calls go, and where streams do.
    target: EdgeId,
    sink: EdgeId,
}

impl Arena {
    pub(crate) fn start(
        wasi: Wasi,
        lifetime: Lifetime,
        cache: &Path,
        base: PathBuf,
        events: Arc<dyn EventSink>,
    ) -> Self {
        std::fs::create_dir(base.join("disk")).expect("the folder is ours");
        let (manifest, sources) = app(wasi, lifetime);
        let source = AppSource::in_memory(&manifest, sources, base);
        let node = Node::builder().source(source).cache_dir(cache).events(events).load();
        let node = node.unwrap_or_else(|error| panic!("the campaign's app is not sound: {error}\n{manifest}"));
        let all = Class::ALL.into_iter().flat_map(|class| Policy::ALL.map(|policy| (class, policy)));
        let callers = all.map(|(class, policy)| {
            let name = relay(class, policy);
            let function = node.export("watertight:campaign/drive#run", Some(&name)).expect("relays have it");
            let id = node.app().find(&name).expect("it is there").id;
            let edge = |import: &str| {
                let found = node.app().edges_from(id).find(|edge| edge.import == import);
                found.expect("a relay has both").id
            };
            let (target, sink) = (edge("watertight:campaign/target"), edge("watertight:campaign/sink"));
            Caller { class, policy, function, target, sink }
        });
        let callers = callers.collect();
        let neighbour = node.export("watertight:test/behave#plain", Some("neighbour")).expect("it has it");
        Self { node, lifetime, callers, neighbour }
    }

    fn caller(&self, class: Class, policy: Policy) -> &Caller {
        let found = self.callers.iter().find(|caller| (caller.class, caller.policy) == (class, policy));
        found.expect("there is one for each")
    }

    pub(crate) fn edge(&self, fault: &Fault, policy: Policy) -> EdgeId {
        let caller = self.caller(fault.class, policy);
        if fault.is_of_a_stream() { caller.sink } else { caller.target }
    }

    /// Makes the call that meets the fault.
    pub(crate) async fn call(&self, fault: &Fault, policy: Policy) -> Answer {
        let arguments = [Val::U32(fault.code), Val::String(fault.text.to_owned())];
        Answer::of(self.node.invoke(&self.caller(fault.class, policy).function, &arguments).await)
    }

    /// Whether a call of this class runs in its callee.
    pub(crate) fn is_busy(&self, class: Class) -> bool {
        let id = self.node.app().find(class.name()).expect("it is there").id;
        self.node.usage().components.iter().any(|used| used.component == id && used.running > 0)
    }

    /// What is wrong with the neighbour's answer, if anything.
    pub(crate) async fn ask_neighbour(&self) -> Option<String> {
        match self.node.invoke(&self.neighbour, &[Val::U32(41)]).await {
            Ok(Some(Val::U32(42))) => None,
            other => Some(format!("the neighbour says {other:?}")),
        }
    }

    /// Has the callee of a fault suffer what is to be injected, or nothing.
    pub(crate) fn inject(&self, fault: Option<(&Fault, u64)>) {
        let plan = fault.and_then(|(fault, seed)| Some((fault.injected?, fault.class.name(), seed)));
        let plan = plan.map(|(faults, callee, seed)| {
            FaultPlan::parse(self.node.app(), "campaign", [format!("{callee}: {faults}")], seed).expect("it is sound")
        });
        self.node.set_faults(plan);
    }
}

/// The name of who calls a class under a policy.
pub(crate) fn relay(class: Class, policy: Policy) -> String {
    format!("{}-{}", class.name(), policy.name())
}

/// The bytes of components, by name.
type Sources = Vec<(String, Arc<[u8]>)>;

fn app(wasi: Wasi, lifetime: Lifetime) -> (String, Sources) {
    let mut manifest = "[app]\nname = \"campaign\"\n".to_owned();
    let mut sources = Sources::new();
    let mut add = |name: &str, bytes: &Arc<[u8]>, keys: &str| {
        // A `String` takes all it is given.
        let _ = writeln!(manifest, "[component.{name}]\nsource = \"{name}.wasm\"\n{keys}");
        sources.push((name.to_owned(), Arc::clone(bytes)));
    };
    let [saboteur, stillborn, relay_bytes, spare, lame]: [Arc<[u8]>; 5] =
        [wasi.saboteur(), wasi.stillborn(), wasi.relay(), wasi.spare(), wasi.lame()].map(Arc::from);
    for class in Class::ALL {
        let (bytes, cpu, grants) = match class {
            Class::Calm => (&saboteur, "10s", DISK),
            Class::Late | Class::Broken | Class::Busy => (&saboteur, "10s", ""),
            Class::Hog => (&saboteur, "2ms", ""),
            Class::Stillborn => (&stillborn, "10s", ""),
        };
        let residence = if lifetime == Lifetime::Resident && class != Class::Stillborn { RESIDENCE } else { "" };
        let keys = format!(
            "lifetime = \"{}\"\n{residence}grants = {{ stdio = true{grants} }}\n\
             budget = {{ memory = \"2MiB\", cpu = \"{cpu}\", deadline = \"10s\", concurrency = {MAX_AT_ONCE} }}\n",
            lifetime.name()
        );
        add(class.name(), bytes, &keys);
        for policy in Policy::ALL {
            let limits = match class {
                Class::Late => format!("deadline = \"{LATE_MS}ms\"\n"),
                Class::Broken => "breaker = { failures = 1, within = \"24h\", open-for = \"24h\" }\n".to_owned(),
                Class::Busy => "concurrency = 1\nqueue = 0\n".to_owned(),
                Class::Calm | Class::Hog | Class::Stillborn => String::new(),
            };
            let name = relay(class, policy);
            let keys = format!(
                "uses = [\"{}\"]\ngrants = {{ stdio = true }}\nbudget = {{ cpu = \"20s\", deadline = \"20s\", concurrency = {MAX_AT_ONCE} }}\n\
                 [component.{name}.edge.\"watertight:campaign/target\"]\n{limits}{}\n\
                 [component.{name}.edge.\"watertight:campaign/sink\"]\n{limits}{}\n",
                class.name(),
                policy.keys(),
                if policy.is_for_streams() { policy.keys() } else { String::new() },
            );
            add(&name, &relay_bytes, &keys);
        }
    }
    add(SPARE, &spare, "");
    add(LAME, &lame, "");
    add("neighbour", &Arc::from(guest::built("ok")), "lifetime = \"resident\"\n");
    (manifest, sources)
}
