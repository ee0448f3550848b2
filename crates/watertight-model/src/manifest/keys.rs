//! The one table of manifest keys. The reader takes its unknown-key check from it, `schema` the JSON Schema, and
//! `docs/manifest.md` is tested against it: a key that is not here does not exist.

mod building;
mod kind;
mod limits;

pub use self::kind::{Form, Kind};

/// One key of the manifest.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The table it stands in: empty for the top level, `*` for a name the user chooses, `[]` for each entry of an array.
    pub place: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its value when it is not given; none for a key that must be, or that has no effect then.
    pub default: Option<&'static str>,
    /// Whether it must be given.
    pub required: bool,
    /// What it means, in one sentence or two.
    pub meaning: &'static str,
    /// What happens when a guest goes beyond it.
    pub exceeded: &'static str,
    /// A value, as TOML.
    pub example: &'static str,
}

impl Key {
    /// What it means, and what happens to a guest that goes beyond it.
    #[must_use]
    pub fn description(&self) -> String {
        let mut beyond = self.exceeded.chars();
        match beyond.next() {
            None => self.meaning.to_owned(),
            Some(first) => format!("{} Beyond it: {}{}", self.meaning, first.to_lowercase(), beyond.as_str()),
        }
    }
}

/// The keys at one place, in the order of the documentation.
pub fn keys_at(place: &str) -> impl Iterator<Item = &'static Key> + use<'_> {
    KEYS.iter().filter(move |key| key.place == place)
}

/// The key with this name at this place.
#[must_use]
pub fn key(place: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.place == place && key.name == name)
}

/// The shortest and longest time that can be written.
pub(crate) const DURATION_BOUNDS: (std::time::Duration, std::time::Duration) =
    (std::time::Duration::from_millis(1), std::time::Duration::from_hours(24));

/// The largest size that can be written: far above any machine, far below where sums overflow.
pub(crate) const SIZE_MAX: u64 = 1 << 44;

/// The largest count of restarts: each is remembered for its time.
pub(crate) const MAX_RESTARTS: u32 = 65_536;

/// The most times that a failed call is made again.
pub(crate) const MAX_RETRIES: u32 = 10;

/// The largest count of failures or calls that opens a breaker: the times of failures are remembered.
pub(crate) const MAX_BREAKER_FAILURES: u32 = 1000;
pub(crate) const MAX_BREAKER_CALLS: u32 = 1_000_000;

/// The least memory that is of any use to a guest: one page.
pub(crate) const MEMORY_MIN: u64 = 1 << 16;

const KEY: Key = Key {
    place: "",
    name: "",
    kind: Kind::Flag,
    default: None,
    required: false,
    meaning: "",
    exceeded: "",
    example: "",
};

const COMPONENT: &str = "component.*";
const GRANTS: &str = "component.*.grants";
const DIRS: &str = "component.*.grants.dirs[]";
const BUDGET: &str = "component.*.budget";
const BUILD: &str = "component.*.build";
const SOURCE: &str = "component.*.source";
const EDGE: &str = "component.*.edge.*";
const FUNCTION: &str = "component.*.edge.*.function.*";
const ON_FAILURE: &str = "component.*.edge.*.on-failure";
const RETRY: &str = "component.*.edge.*.retry";
const BREAKER: &str = "component.*.edge.*.breaker";
const HTTP: &str = "trigger.http[]";
const GROUP: &str = "group.*";
const INTENSITY: &str = "component.*.intensity";
const GROUP_INTENSITY: &str = "group.*.intensity";
const APP_INTENSITY: &str = "app.intensity";
const BACKOFF: &str = "component.*.backoff";
const RECYCLE: &str = "component.*.recycle";

/// Every key.
pub const KEYS: &[Key] = &{
    // In this order a misplaced key is sent home: `memory` to the budget and not to what recycles.
    let parts = [limits::KEYS, APP, building::KEYS];
    let mut all = [KEY; APP.len() + limits::KEYS.len() + building::KEYS.len()];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            all[at] = parts[part][index];
            index += 1;
            at += 1;
        }
        part += 1;
    }
    all
};

/// Those that say what an app is made of, and how its parts are kept.
const APP: &[Key] = &[
    Key {
        name: "app",
        kind: Kind::Table("app"),
        required: true,
        meaning: "What the app is called, and when it as a whole gives up.",
        example: "{ name = \"press\" }",
        ..KEY
    },
    Key {
        name: "component",
        kind: Kind::Named(COMPONENT),
        required: true,
        meaning: "The components of the app, each under a name of its own.",
        example: "{ web = { source = \"web.wasm\" } }",
        ..KEY
    },
    Key {
        name: "trigger",
        kind: Kind::Table("trigger"),
        meaning: "What starts components from outside.",
        example: "{ http = [{ route = \"/...\", component = \"web\" }] }",
        ..KEY
    },
    Key {
        name: "group",
        kind: Kind::Named(GROUP),
        default: Some("{}"),
        meaning: "Resident components that are started, stopped and restarted together, each group under a name of its own.",
        example: "{ store = { members = [\"db\", \"cache\"] } }",
        ..KEY
    },
    Key {
        place: "app",
        name: "name",
        kind: Kind::Text(Form::Name),
        required: true,
        meaning: "The app's name, in logs and events: lower-case letters, digits, `-` and `_`.",
        example: "\"press\"",
        ..KEY
    },
    Key {
        place: "app",
        name: "version",
        kind: Kind::Text(Form::Version),
        default: Some("\"0.0.0\""),
        meaning: "The app's own version.",
        example: "\"0.1.0\"",
        ..KEY
    },
    Key {
        place: "app",
        name: "intensity",
        kind: Kind::Table(APP_INTENSITY),
        meaning: "How many of its residents and groups that gave up the app restarts.",
        exceeded: "The app is down: the worker process ends, and the supervisor replaces it. Without this key the app never goes down; what gave up rests instead.",
        example: "{ max = 3, within = \"1m\" }",
        ..KEY
    },
    Key {
        place: "app",
        name: "rest",
        kind: Kind::Text(Form::Duration),
        default: Some("\"30s\""),
        meaning: "How long a resident or a group that gave up is down before it is started again, where the app has no `intensity`.",
        example: "\"5m\"",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "source",
        kind: Kind::TextOr(Form::Path, SOURCE),
        required: true,
        meaning: "The component's `.wasm` file, relative to the manifest, or where it is published.",
        example: "\"web.wasm\"",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "lifetime",
        kind: Kind::Choice(&["call", "request", "resident"]),
        default: Some("\"request\""),
        meaning: "How long a cell of it lives: one call, one request with everything it sets off, or from the app's start until it fails.",
        example: "\"resident\"",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "scope",
        kind: Kind::Choice(&["worker", "node"]),
        default: Some("\"worker\""),
        meaning: "Only for residents: whether each worker has its own cells of it, or one worker has them for the whole node.",
        example: "\"node\"",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "redact",
        kind: Kind::Flag,
        default: Some("false"),
        meaning: "Leaves what it is given, writes and holds in its memory out of postmortems: the arguments of every edge that touches it, its log lines, its core dumps, and those of its neighbours.",
        example: "true",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "instances",
        kind: Kind::Count(1, 4096),
        default: Some("1"),
        meaning: "Only for residents: how many cells of it there are, in each worker; in the node with `scope = \"node\"`.",
        exceeded: "Calls wait in the queue.",
        example: "4",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "restart",
        kind: Kind::Choice(&["permanent", "transient", "temporary"]),
        default: Some("\"permanent\""),
        meaning: "Only for residents: whether a cell that ended is started again: always, only after a failure, or never.",
        example: "\"transient\"",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "intensity",
        kind: Kind::Table(INTENSITY),
        default: Some("{}"),
        meaning: "Only for residents: how many restarts are made in how much time.",
        exceeded: "The component gives up: its group decides what follows, or the app.",
        example: "{ max = 10, within = \"1m\" }",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "backoff",
        kind: Kind::Table(BACKOFF),
        default: Some("{}"),
        meaning: "Only for residents: how long to wait before a restart, shortened at random by up to a half.",
        example: "{ first = \"50ms\", most = \"10s\" }",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "recycle",
        kind: Kind::Table(RECYCLE),
        default: Some("{}"),
        meaning: "Only for residents: when a cell is replaced by a fresh one although nothing is wrong with it. No call fails for that.",
        example: "{ calls = 10000, age = \"1h\" }",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "wall",
        kind: Kind::Choice(&["cell", "fused"]),
        default: Some("\"cell\""),
        meaning: "How strong its isolation is: a store of its own, or composed into its importer's store without any.",
        example: "\"fused\"",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "uses",
        kind: Kind::List(Form::Name),
        default: Some("[]"),
        meaning: "The components that may meet its imports; each import is met by the one of them that exports it.",
        example: "[\"markdown\", \"thumbnail\"]",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "grants",
        kind: Kind::Table(GRANTS),
        default: Some("{}"),
        meaning: "What it may reach. Nothing is granted by default.",
        example: "{ stdio = true }",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "budget",
        kind: Kind::Table(BUDGET),
        default: Some("{}"),
        meaning: "What it may spend. Every budget has a finite default.",
        example: "{ memory = \"64MiB\" }",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "build",
        kind: Kind::Table(BUILD),
        meaning: "How its `source` is made, by `watertight build`. Without it the file is taken as it is.",
        example: "{ recipe = \"python\" }",
        ..KEY
    },
    Key {
        place: COMPONENT,
        name: "edge",
        kind: Kind::Named(EDGE),
        default: Some("{}"),
        meaning: "Settings of single imports, each under the import's name; its version may be left out where only one fits.",
        example: "{ \"press:image/thumbnail\" = { deadline = \"300ms\" } }",
        ..KEY
    },
    Key {
        place: EDGE,
        name: "from",
        kind: Kind::Text(Form::Name),
        meaning: "Which component of `uses` meets this import, where several could.",
        example: "\"thumbnail\"",
        ..KEY
    },
    Key {
        place: EDGE,
        name: "deadline",
        kind: Kind::Text(Form::Duration),
        meaning: "A deadline for calls over this edge, shorter than the callee's own.",
        exceeded: "The callee's cell is thrown out and the caller told.",
        example: "\"300ms\"",
        ..KEY
    },
    Key {
        place: EDGE,
        name: "on-failure",
        kind: Kind::ChoiceOr(&["error", "trap"], ON_FAILURE),
        meaning: "What the caller sees of a failed call, in every function: its error, a trap of its own, a value, or what a fallback answers. Without it: the error where the function has one that a failure can be turned into, else a trap.",
        example: "{ return = 'err(unavailable)' }",
        ..KEY
    },
    Key {
        place: EDGE,
        name: "retry",
        kind: Kind::Table(RETRY),
        meaning: "Whether failed calls are made again: where the callee has `lifetime = \"call\"`, and functions listed in `idempotent`.",
        example: "{ attempts = 2, backoff = \"5ms\" }",
        ..KEY
    },
    Key {
        place: EDGE,
        name: "idempotent",
        kind: Kind::List(Form::Any),
        default: Some("[]"),
        meaning: "Functions that may be called twice although the callee keeps its cell from call to call: twice does what once does.",
        example: "[\"resize\"]",
        ..KEY
    },
    Key {
        place: EDGE,
        name: "breaker",
        kind: Kind::Table(BREAKER),
        meaning: "When calls over this edge stop for a while because too many have failed. Every worker counts for itself.",
        exceeded: "The call fails with `breaker-open` without reaching the callee; after `open-for` one call at a time finds out whether it is well again.",
        example: "{ failures = 5, within = \"10s\", open-for = \"5s\" }",
        ..KEY
    },
    Key {
        place: EDGE,
        name: "concurrency",
        kind: Kind::Count(1, 65_536),
        meaning: "Calls that cross this edge at once, in each worker, however many the callee could take.",
        exceeded: "Calls wait in the edge's queue.",
        example: "32",
        ..KEY
    },
    Key {
        place: EDGE,
        name: "queue",
        kind: Kind::Count(0, 1_048_576),
        default: Some("64"),
        meaning: "Calls that may wait for one of those, in each worker.",
        exceeded: "The call fails at once with `queue-full`; one that would wait past its deadline, with `shed`.",
        example: "16",
        ..KEY
    },
    Key {
        place: EDGE,
        name: "function",
        kind: Kind::Named(FUNCTION),
        default: Some("{}"),
        meaning: "Settings of single functions, each under the function's name. They go before those of the edge.",
        example: "{ resize = { deadline = \"100ms\" } }",
        ..KEY
    },
    Key {
        place: FUNCTION,
        name: "deadline",
        kind: Kind::Text(Form::Duration),
        meaning: "A deadline for calls of this function, shorter than the callee's own.",
        exceeded: "The callee's cell is thrown out and the caller told.",
        example: "\"100ms\"",
        ..KEY
    },
    Key {
        place: FUNCTION,
        name: "on-failure",
        kind: Kind::ChoiceOr(&["error", "trap"], ON_FAILURE),
        meaning: "What the caller sees of a failed call of this function.",
        example: "{ return = 'err(too-busy)' }",
        ..KEY
    },
    Key {
        place: FUNCTION,
        name: "retry",
        kind: Kind::Table(RETRY),
        meaning: "Whether failed calls of this function are made again.",
        example: "{ attempts = 1 }",
        ..KEY
    },
    Key {
        place: ON_FAILURE,
        name: "return",
        kind: Kind::Text(Form::Any),
        meaning: "The value that the function returns, in WAVE; empty for a function that returns nothing. Where the error is a variant and its case takes a string, `err(that-case)` alone fills in the failure's message. With a fallback: what it returns when that fails too.",
        example: "'err(unavailable)'",
        ..KEY
    },
    Key {
        place: ON_FAILURE,
        name: "fallback",
        kind: Kind::Text(Form::Name),
        meaning: "A component with the same export, which gets the same call. It need not be listed in `uses`.",
        example: "\"thumbnail-lite\"",
        ..KEY
    },
    Key {
        place: RETRY,
        name: "attempts",
        kind: Kind::Count(1, MAX_RETRIES),
        required: true,
        meaning: "How many times more a failed call is made, each time in a fresh cell, within the caller's time.",
        example: "2",
        ..KEY
    },
    Key {
        place: RETRY,
        name: "backoff",
        kind: Kind::Text(Form::Duration),
        default: Some("\"5ms\""),
        meaning: "How long to wait before the first of them, twice as long before each further one; chance takes up to a half off.",
        example: "\"20ms\"",
        ..KEY
    },
    Key {
        place: BREAKER,
        name: "failures",
        kind: Kind::Count(1, MAX_BREAKER_FAILURES),
        meaning: "Opens it after so many failures, one after another. Either this or `ratio`.",
        example: "5",
        ..KEY
    },
    Key {
        place: BREAKER,
        name: "ratio",
        kind: Kind::Share,
        meaning: "Opens it when this share of the calls failed. Either this or `failures`.",
        example: "0.5",
        ..KEY
    },
    Key {
        place: BREAKER,
        name: "calls",
        kind: Kind::Count(1, MAX_BREAKER_CALLS),
        default: Some("20"),
        meaning: "The least number of calls of which a `ratio` means anything.",
        example: "50",
        ..KEY
    },
    Key {
        place: BREAKER,
        name: "within",
        kind: Kind::Text(Form::Duration),
        default: Some("\"10s\""),
        meaning: "Only calls that ended within this time count.",
        example: "\"1m\"",
        ..KEY
    },
    Key {
        place: BREAKER,
        name: "open-for",
        kind: Kind::Text(Form::Duration),
        default: Some("\"5s\""),
        meaning: "How long it stays open before a call is let through to see.",
        example: "\"10s\"",
        ..KEY
    },
    Key {
        place: "trigger",
        name: "http",
        kind: Kind::Tables(HTTP),
        default: Some("[]"),
        meaning: "Which path of HTTP starts which component.",
        example: "[{ route = \"/...\", component = \"web\" }]",
        ..KEY
    },
    Key {
        place: HTTP,
        name: "route",
        kind: Kind::Text(Form::Route),
        required: true,
        meaning: "A path, in which a part in brackets stands for any one part (`/users/[id]`), or a prefix ending in `/...`. Of several that fit, the one that is more exact from the left takes a path.",
        exceeded: "A path that no route covers is answered 404.",
        example: "\"/...\"",
        ..KEY
    },
    Key {
        place: HTTP,
        name: "component",
        kind: Kind::Text(Form::Name),
        required: true,
        meaning: "The component that handles it: it exports `wasi:http/incoming-handler` (0.2) or `wasi:http/handler` (0.3), or what `exports` names.",
        example: "\"web\"",
        ..KEY
    },
    Key {
        place: HTTP,
        name: "exports",
        kind: Kind::List(Form::Any),
        meaning: "Interfaces and functions that the component exports, for everybody to call: `POST` to the route, the interface and the function, with an array of arguments in JSON. Without it the component's HTTP handler answers.",
        exceeded: "What is not named cannot be called: it is answered 404.",
        example: "[\"press:markdown/render\"]",
        ..KEY
    },
    Key {
        place: HTTP,
        name: "concurrency",
        kind: Kind::Count(1, 65_536),
        meaning: "Requests of this route at once, in each worker, besides what its component's own `concurrency` allows.",
        exceeded: "Requests wait in the route's queue.",
        example: "32",
        ..KEY
    },
    Key {
        place: HTTP,
        name: "queue",
        kind: Kind::Count(0, 1_048_576),
        default: Some("64"),
        meaning: "Requests that may wait for one of those, in each worker.",
        exceeded: "The request is answered 503 with Retry-After; so is one that would wait past its deadline.",
        example: "16",
        ..KEY
    },
    Key {
        place: INTENSITY,
        name: "max",
        kind: Kind::Count(0, MAX_RESTARTS),
        default: Some("3"),
        meaning: "So many restarts.",
        example: "10",
        ..KEY
    },
    Key {
        place: INTENSITY,
        name: "within",
        kind: Kind::Text(Form::Duration),
        default: Some("\"5s\""),
        meaning: "The time in which they are counted.",
        example: "\"1m\"",
        ..KEY
    },
    Key {
        place: BACKOFF,
        name: "first",
        kind: Kind::Text(Form::Duration),
        default: Some("\"10ms\""),
        meaning: "Before the first restart; each further one within the intensity's time waits twice as long.",
        example: "\"50ms\"",
        ..KEY
    },
    Key {
        place: BACKOFF,
        name: "most",
        kind: Kind::Text(Form::Duration),
        default: Some("\"5s\""),
        meaning: "No restart waits longer than this.",
        example: "\"10s\"",
        ..KEY
    },
    Key {
        place: RECYCLE,
        name: "calls",
        kind: Kind::Count(1, u32::MAX),
        meaning: "After so many calls.",
        example: "10000",
        ..KEY
    },
    Key {
        place: RECYCLE,
        name: "age",
        kind: Kind::Text(Form::Duration),
        meaning: "After so much time.",
        example: "\"1h\"",
        ..KEY
    },
    Key {
        place: RECYCLE,
        name: "memory",
        kind: Kind::Text(Form::Size),
        meaning: "Once it holds so much memory after a call.",
        example: "\"32MiB\"",
        ..KEY
    },
    Key {
        place: GROUP,
        name: "members",
        kind: Kind::List(Form::Name),
        required: true,
        meaning: "Resident components, or other groups, in the order in which they start; they stop in the reverse order.",
        example: "[\"db\", \"cache\"]",
        ..KEY
    },
    Key {
        place: GROUP,
        name: "strategy",
        kind: Kind::Choice(&["one-for-one", "one-for-all", "rest-for-one"]),
        default: Some("\"one-for-one\""),
        meaning: "Who is restarted when a member ends: that one, all of them, or that one and those that start after it.",
        example: "\"one-for-all\"",
        ..KEY
    },
    Key {
        place: GROUP,
        name: "intensity",
        kind: Kind::Table(GROUP_INTENSITY),
        default: Some("{}"),
        meaning: "How many members that gave up the group restarts in how much time.",
        exceeded: "The group ends its members and gives up itself.",
        example: "{ max = 5, within = \"1m\" }",
        ..KEY
    },
    Key {
        place: GROUP_INTENSITY,
        name: "max",
        kind: Kind::Count(0, MAX_RESTARTS),
        default: Some("3"),
        meaning: "So many restarts.",
        example: "10",
        ..KEY
    },
    Key {
        place: GROUP_INTENSITY,
        name: "within",
        kind: Kind::Text(Form::Duration),
        default: Some("\"5s\""),
        meaning: "The time in which they are counted.",
        example: "\"1m\"",
        ..KEY
    },
    Key {
        place: APP_INTENSITY,
        name: "max",
        kind: Kind::Count(0, MAX_RESTARTS),
        default: Some("3"),
        meaning: "So many restarts.",
        example: "10",
        ..KEY
    },
    Key {
        place: APP_INTENSITY,
        name: "within",
        kind: Kind::Text(Form::Duration),
        default: Some("\"5s\""),
        meaning: "The time in which they are counted.",
        example: "\"1m\"",
        ..KEY
    },
];
