//! The command line: what can be asked for, and how it is explained. Parsing only; nothing here does anything.

mod aside;
mod events;
mod operate;
mod recording;
mod runtime;
mod top;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use watertight::{HttpConfig, TlsFiles, drill::Load};
use watertight_model::{budget::ByteSize, manifest::quantity};

pub(crate) use self::{
    aside::{Completions, Worker},
    events::{EventsArgs, Format, OtlpArgs, Tap},
    operate::{At, Eject, Restart},
    recording::{Record, Replay},
    runtime::{Runtime, RuntimeAction},
    top::Top,
};

/// Run an application as a graph of isolated WebAssembly components.
#[derive(Debug, Parser)]
#[command(
    name = "watertight",
    version,
    max_term_width = 100,
    after_help = "\
APP is a folder, with a watertight.toml or with scripts, a manifest, a single .wasm file, or a script such as app.py.

Examples:
  watertight check examples/press      what would run, and what fails if a part of it fails
  watertight serve examples/press      serve it on http://127.0.0.1:8080
  watertight run tool.wasm -- --help   run a command

Exit codes are listed in docs/exit-codes.md."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Ps(Ps),
    Reload(Reload),
    Restart(Restart),
    Eject(Eject),
    Run(Run),
    New(New),
    Build(Build),
    Dev(Dev),
    Add(Add),
    Bindings(Bindings),
    Check(Check),
    Compile(Compile),
    Drill(Drill),
    Faults(Faults),
    Inspect(Inspect),
    Postmortem(Postmortem),
    Record(Record),
    Replay(Replay),
    Runtime(Runtime),
    Tap(Tap),
    Top(Top),
    /// Print the JSON Schema of the manifest, for editors.
    #[command(after_help = "\
Example:
  watertight schema > watertight.schema.json

Then begin the manifest with: #:schema ./watertight.schema.json")]
    Schema,
    Completions(Completions),
    #[command(hide = true)]
    Worker(Worker),
}

/// Serve an app's routes over HTTP.
///
/// One supervisor and one worker process per core accept on one address. A worker that dies costs its own requests, and is
/// replaced. SIGTERM and SIGINT drain: requests in flight finish, then it ends. SIGHUP reloads the app, as `watertight reload` does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight serve examples/press
  watertight serve hello.wasm --listen 0.0.0.0:80 --workers 4
  watertight serve APP --listen [::]:443 --tls-cert cert.pem --tls-key key.pem
  watertight serve APP --format json | jq 'select(.event == \"request\")'
  watertight serve APP --workers 0      one process, for a debugger")]
pub(crate) struct Serve {
    /// Folder with a watertight.toml, manifest, .wasm file or script.
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) app: PathBuf,

    /// Address to listen on: IP:PORT or localhost:PORT. Port 0 chooses a free one.
    #[arg(long, short, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,

    /// Certificate chain in PEM, the server's own first: serves HTTPS only.
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,

    /// Private key of the certificate in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    tls_key: Option<PathBuf>,

    /// Worker processes; 0 serves in this one process. One per core if not given.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(..=1024))]
    pub(crate) workers: Option<u16>,

    /// Socket on which the node can be asked and told things; $XDG_RUNTIME_DIR/watertight/APP-PID.sock if not given.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) admin_socket: Option<PathBuf>,

    /// Address for metrics, and for browsers that look at the node: IP:PORT or localhost:PORT. None if not given.
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<String>,

    /// File with the token that one must know to tell the node something over its admin address, or to ask it from elsewhere.
    #[arg(long, value_name = "FILE", requires = "admin", value_hint = ValueHint::FilePath)]
    pub(crate) admin_token_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) cache: CacheDir,

    #[command(flatten)]
    pub(crate) runtimes: RuntimesDir,

    #[command(flatten)]
    pub(crate) postmortems: PostmortemArgs,

    #[command(flatten)]
    pub(crate) events: EventsArgs,

    #[command(flatten)]
    pub(crate) otlp: OtlpArgs,

    #[command(flatten)]
    limits: Limits,
}

impl Serve {
    pub(crate) fn format(&self) -> Format {
        self.events.format
    }

    pub(crate) fn tls(&self) -> Option<TlsFiles> {
        Some(TlsFiles { cert: self.tls_cert.clone()?, key: self.tls_key.clone()? })
    }

    pub(crate) fn http(&self) -> HttpConfig {
        let limits = &self.limits;
        HttpConfig {
            max_body_bytes: limits.max_body.0,
            max_header_bytes: u32::try_from(limits.max_headers.0).unwrap_or(u32::MAX),
            max_connections: limits.max_connections,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            body_timeout: limits.body_timeout,
            write_timeout: limits.write_timeout,
            drain_timeout: limits.drain_timeout,
            ..HttpConfig::default()
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Bytes of a request's body; more is answered with 413.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = quantity::size)]
    max_body: ByteSize,

    /// Bytes of a request's line and headers; more is answered with 431.
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = header_size)]
    max_headers: ByteSize,

    /// Open connections of one worker; more wait.
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,

    /// From a connection's start, or a request's first byte, to the end of its headers.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = quantity::duration)]
    header_timeout: Duration,

    /// Without a request on an open connection.
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = quantity::duration)]
    idle_timeout: Duration,

    /// Without a byte of a body that the app waits for; then 408.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = quantity::duration)]
    body_timeout: Duration,

    /// Without a byte taken by a client that an answer waits for.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = quantity::duration)]
    write_timeout: Duration,

    /// From the signal to stop until requests in flight are cut.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = quantity::duration)]
    drain_timeout: Duration,
}

fn header_size(text: &str) -> Result<ByteSize, String> {
    let size = quantity::size(text)?;
    if (8 << 10..=1 << 20).contains(&size.0) { Ok(size) } else { Err("between 8KiB and 1MiB".to_owned()) }
}

/// Show the nodes of this user that run, and how their components are.
///
/// Without an argument, all of them. A number is the process id of a node; a path is its admin socket; anything else is the
/// name of an app.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight ps
  watertight ps press
  watertight ps 4711 --format json | jq '.nodes[].components[] | {name, calls, failures}'")]
pub(crate) struct Ps {
    /// App, process id, or path of an admin socket.
    #[arg(value_name = "APP|PID|SOCKET", value_hint = ValueHint::AnyPath)]
    pub(crate) node: Option<String>,

    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Have a node put its app in place as it is in its files now.
///
/// The node reads, checks and compiles the app. If anything is wrong with it, all of that is shown, and what was in place before serves
/// on. Else the workers are replaced one after the other; no request is dropped. SIGHUP does the same. The address and the other
/// options of serve stay as they are: to change those, start it anew.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight reload
  watertight reload press
  watertight reload 4711 --format json")]
pub(crate) struct Reload {
    /// App, process id, or path of an admin socket; not needed where one node runs.
    #[arg(value_name = "APP|PID|SOCKET", value_hint = ValueHint::AnyPath)]
    pub(crate) node: Option<String>,

    /// How to show what was done.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Run a command, or call one exported function.
///
/// A command is a component that exports wasi:cli/run, or a core module of WASI preview 1. It gets the terminal's standard
/// streams if its manifest grants stdio (a single file needs no manifest), and its exit code is passed on.
#[derive(Debug, Args)]
#[command(after_help = "\
A .wasm file that is run as a command without a manifest gets 10 minutes and as much cpu time, and otherwise the default budget.

Examples:
  watertight run tool.wasm -- --verbose input.txt
  watertight run tool.wasm --memory 1GiB --deadline 1h
  watertight run examples/press --invoke 'press:markdown/render#render(\"# Hello\")'
  watertight run math.wasm --invoke 'add(1, 2)'

WAVE, the notation of arguments and results, looks like this:
  1, \"text\", [1, 2], (1, \"a\"), { name: \"x\", age: 3 }, some(1), none, ok(1), err(\"why\"), a-case, {flag-a, flag-b}")]
pub(crate) struct Run {
    /// Folder with a watertight.toml, manifest, .wasm file or script.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) app: PathBuf,

    /// Call an exported function and print its result: 'ns:pkg/interface#function(arguments in WAVE)'. The version, the package
    /// and the interface may be left out where only one fits.
    #[arg(long, value_name = "CALL", conflicts_with = "args")]
    pub(crate) invoke: Option<String>,

    /// The component to run or to call, where several could be meant.
    #[arg(long, value_name = "NAME")]
    pub(crate) component: Option<String>,

    /// Time on the clock, instead of the manifest's.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
    pub(crate) deadline: Option<Duration>,

    /// Time spent in the component's code, instead of the manifest's.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
    pub(crate) cpu: Option<Duration>,

    /// Memory, instead of the manifest's.
    #[arg(long, value_name = "SIZE", value_parser = quantity::size)]
    pub(crate) memory: Option<ByteSize>,

    #[command(flatten)]
    pub(crate) cache: CacheDir,

    #[command(flatten)]
    pub(crate) runtimes: RuntimesDir,

    #[command(flatten)]
    pub(crate) postmortems: PostmortemArgs,

    #[command(flatten)]
    pub(crate) events: EventsArgs,

    /// Arguments of the command.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

/// Make a project that builds and runs as it is.
///
/// It has a manifest, its interfaces in WIT, a component with a test, and a README with the commands to go on with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight new shop --lang python
  watertight new markdown --lang rust --kind library")]
pub(crate) struct New {
    /// Folder to make; its last part is the name of the app.
    #[arg(value_name = "NAME", value_hint = ValueHint::DirPath)]
    pub(crate) path: PathBuf,

    /// Language.
    #[arg(long, value_enum)]
    pub(crate) lang: LanguageArg,

    /// What it is to be.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) kind: KindArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LanguageArg {
    /// With Cargo and wit-bindgen.
    Rust,
    /// With componentize-py.
    Python,
    /// With componentize-js, or componentize-qjs.
    Js,
    /// With clang.
    C,
    /// With Go 1.24 or newer.
    Go,
    /// A script, run as it is.
    Php,
    /// A script, run as it is.
    Ruby,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// It answers HTTP.
    #[default]
    Http,
    /// It is run.
    Command,
    /// Other components call it.
    Library,
}

/// Make the components that say how they are made.
///
/// What a component is made from is compared with the last time; only what has changed is made anew. Tools that are missing are all told
/// before anything is made, and how to get them. Components are made several at a time, and put in place whole.
#[derive(Debug, Args)]
#[command(after_help = "\
A component says how it is made in its [component.NAME.build]: see docs/building.md.

Examples:
  watertight build
  watertight build shop --component web
  watertight build shop --format json | jq '.components[] | {name, state, bytes}'")]
pub(crate) struct Build {
    /// Folder with a watertight.toml, or manifest.
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) app: PathBuf,

    /// Only this component; may be given again.
    #[arg(long, value_name = "NAME")]
    pub(crate) component: Vec<String>,

    /// Also what has not changed.
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) force: bool,

    /// How many are made at a time; one per core if not given.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,

    #[command(flatten)]
    pub(crate) cache: CacheDir,

    /// How to show what was done.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Build and serve an app while you work on it.
///
/// When a file that a component is made from changes, the component is made anew and takes the place of the one before; no request is
/// dropped. What goes wrong is shown here and in the browser. Not for production: failures tell their causes to every client.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight dev
  watertight dev shop --listen 127.0.0.1:9000")]
pub(crate) struct Dev {
    /// Folder with a watertight.toml, or manifest.
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) app: PathBuf,

    /// Address to listen on: IP:PORT or localhost:PORT. Port 0 chooses a free one.
    #[arg(long, short, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,

    #[command(flatten)]
    pub(crate) cache: CacheDir,

    /// Also tell of every call and cell.
    #[arg(long, short, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,
}

/// Have a component import what another one exports.
///
/// The interface is copied into the component's WIT, its world imports it, and the manifest says who meets it. Comments stay as they are.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight add markdown --to web             another component of the app
  watertight add ../lib/markdown.wasm --to web  a component that it has not yet
  watertight add ../wit/clock.wit --to web      an interface")]
pub(crate) struct Add {
    /// Component of the app, .wasm file, or file or folder of WIT.
    #[arg(value_name = "WHAT", value_hint = ValueHint::AnyPath)]
    pub(crate) what: String,

    /// The component that is to import it.
    #[arg(long, value_name = "COMPONENT")]
    pub(crate) to: String,

    /// Folder with a watertight.toml, or manifest.
    #[arg(long, value_name = "APP", default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) app: PathBuf,
}

/// Write the bindings of components, for editors and people.
///
/// They go to the folder `bindings` beside what a component is made from. A build makes its own and needs none of these.
///
/// With --esm: an ES module for browsers and Node.js, with types for TypeScript, that calls what routes of the app let everybody call.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight bindings
  watertight bindings shop --component web
  watertight bindings --esm shop -o web/shop-client")]
pub(crate) struct Bindings {
    /// Folder with a watertight.toml, or manifest.
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) app: PathBuf,

    /// Only this component; may be given again.
    #[arg(long, value_name = "NAME")]
    pub(crate) component: Vec<String>,

    /// Write a client of the app: an ES module that calls its public functions over HTTP.
    #[arg(long, conflicts_with = "component")]
    pub(crate) esm: bool,

    /// The folder of that module; APP/client if not given.
    #[arg(long, short, value_name = "DIR", requires = "esm", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) runtimes: RuntimesDir,
}

/// Check an app, and show what would run.
///
/// Every problem is shown at once, with its place and the next step. For a sound app: each component's wall, grants and
/// budget; what callers see when a call fails; the blast radius of each component; the pools that a worker sets aside.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight check
  watertight check examples/press --format json | jq .report.blast
  watertight check examples/press --format svg > press.svg")]
pub(crate) struct Check {
    /// Folder with a watertight.toml, manifest, .wasm file or script.
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) app: PathBuf,

    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: CheckFormat,

    #[command(flatten)]
    pub(crate) cache: CacheDir,

    #[command(flatten)]
    pub(crate) runtimes: RuntimesDir,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// A graph for Graphviz.
    Dot,
    /// A picture.
    Svg,
}

/// Compile an app's components into the cache.
///
/// Starting the app then needs no compiler: in an image, do this when it is built.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight compile examples/press
  watertight compile examples/press --cache-dir /srv/press/cache")]
pub(crate) struct Compile {
    /// Folder with a watertight.toml, manifest, .wasm file or script.
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) app: PathBuf,

    #[command(flatten)]
    pub(crate) cache: CacheDir,

    #[command(flatten)]
    pub(crate) runtimes: RuntimesDir,

    /// How to show what was done.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Rehearse failures: run an app under load, and inject faults.
///
/// The app runs in this process, first without faults and then with them, each time under the same load, which comes over no
/// connection. The report says how each load was served: whole, degraded (answered although a call failed on the way), or not; how
/// much slower; what was thrown out and restarted; and what leaked. See docs/drill.md.
#[derive(Debug, Args)]
#[command(after_help = "\
Faults are given by component, or by edge, as shares of its calls:
  trap 10%          the callee traps
  oom 1%            the callee runs out of memory
  spin 1%           the callee runs until its cpu budget or its deadline is spent
  delay 200ms 5%    the call begins so much later
  error 5%          the call fails without the callee being entered

Expectations hold if they hold for every load:
  availability, served, degraded, failed    a share: availability>=99.9%
  p50, p90, p99, max                        a time, or times that without faults: p99<=250ms, p99<=3x
  leaks, restarts, ejected, breakers        a count: leaks=0

Examples:
  watertight drill examples/press --fault 'thumbnail: trap 20%; highlight: trap 20%'
  watertight drill APP --load 'GET /page' --for 30s --fault 'web->db: delay 200ms 5%, error 1%' --expect 'availability>=99.9%'
  watertight drill APP --fault 'db: trap 10%' --format svg > drill.svg")]
pub(crate) struct Drill {
    /// Folder with a watertight.toml, manifest, .wasm file or script.
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) app: PathBuf,

    /// Faults of a component or an edge; may be given again.
    #[arg(long = "fault", value_name = "FAULTS", required = true)]
    pub(crate) faults: Vec<String>,

    /// A request to make, such as 'GET /page'; may be given again. All are made in turn. Without it: GET of every route.
    #[arg(long = "load", value_name = "REQUEST")]
    pub(crate) loads: Vec<Load>,

    /// How long, once without faults and once with them.
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = quantity::duration)]
    pub(crate) time: Duration,

    /// Requests in flight at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) concurrency: u32,

    /// What must hold, such as 'availability>=99.9%'; may be given again. The exit code says whether it does.
    #[arg(long, value_name = "EXPECTATION")]
    pub(crate) expect: Vec<String>,

    /// Chooses which calls fail: the same one chooses the same. By chance if not given.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,

    /// How to show what was found.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: DrillFormat,

    #[command(flatten)]
    pub(crate) cache: CacheDir,

    #[command(flatten)]
    pub(crate) runtimes: RuntimesDir,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DrillFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// A picture.
    Svg,
}

/// Inject faults into a node that runs, for a while.
///
/// Its calls fail as they do in a drill, in every worker, until the time is over or the faults are cleared; workers that are replaced
/// meanwhile have them, too, and so has the app after a reload. Real requests fail: `watertight ps` and the node's log say that faults
/// are injected. See docs/drill.md.
#[derive(Debug, Args)]
#[command(after_help = "\
Faults are the same as for `watertight drill`: trap, oom, spin, delay and error, each with a share of the calls.

Examples:
  watertight faults set 'thumbnail: trap 10%, delay 200ms 5%' --for 30s
  watertight faults set 'web->db: error 1%' --node press
  watertight faults
  watertight faults clear")]
pub(crate) struct Faults {
    #[command(subcommand)]
    pub(crate) action: Option<FaultsAction>,

    /// App, process id, or path of an admin socket; to set and to clear, not needed where one node runs.
    #[arg(long, short, value_name = "APP|PID|SOCKET", global = true, value_hint = ValueHint::AnyPath)]
    pub(crate) node: Option<String>,

    /// How to show it.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FaultsAction {
    /// Show what is set, and for how much longer. It is what `watertight faults` does.
    Show,
    Set(FaultsSet),
    /// Take away what is set.
    Clear,
}

/// Set faults, in place of those before.
///
/// They end by themselves: after 5 minutes, or the time that is given, at most 24 hours. To have them last longer, set them again.
#[derive(Debug, Args)]
pub(crate) struct FaultsSet {
    /// Faults of components and edges: 'thumbnail: trap 10%; web->db: delay 200ms 5%'.
    #[arg(required = true, value_name = "FAULTS")]
    pub(crate) faults: Vec<String>,

    /// After how long they end by themselves; 5m if not given.
    #[arg(long = "for", value_name = "TIME", value_parser = quantity::duration)]
    pub(crate) time: Option<Duration>,

    /// Chooses which calls fail: the same one chooses the same, counted in each worker. By chance if not given.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
}

/// Show a component's imports and exports as WIT.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight inspect web.wasm
  watertight inspect web.wasm --format json | jq .imports")]
pub(crate) struct Inspect {
    /// A component.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RuntimesDir {
    /// Folder of language runtimes; $WATERTIGHT_RUNTIMES or $XDG_DATA_HOME/watertight/runtimes if not given.
    #[arg(long, value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    pub(crate) runtimes: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PostmortemArgs {
    /// Folder of postmortems; $XDG_STATE_HOME/watertight/postmortem if not given. They hold what is in a cell's memory.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) postmortem_dir: Option<PathBuf>,

    /// Write no postmortems of failed cells.
    #[arg(long, action = ArgAction::SetTrue, conflicts_with = "postmortem_dir")]
    pub(crate) no_postmortem: bool,
}

/// Show what failed cells have left behind.
///
/// A cell that fails leaves, at most once a second, a folder: why it failed, where in its source, the calls that led there with
/// their arguments, what it used of its limits, its last log lines, its memory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watertight postmortem                      list them, the newest first
  watertight postmortem show                 the newest
  watertight postmortem show thumbnail       the newest of one component
  watertight postmortem show --format json | jq .stack")]
pub(crate) struct Postmortem {
    #[command(subcommand)]
    pub(crate) action: Option<PostmortemAction>,

    /// Folder of postmortems, as it was given to serve or run.
    #[arg(long, value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    pub(crate) postmortem_dir: Option<PathBuf>,

    /// How to show it.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PostmortemAction {
    /// List all, the newest first.
    List,
    /// Show one.
    Show {
        /// `latest`, a name from the list or the start of its time, an app, a component, or a folder; of several the newest.
        #[arg(default_value = "latest", value_hint = ValueHint::DirPath)]
        which: String,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CacheDir {
    /// Folder of compiled code; $XDG_CACHE_HOME/watertight if not given. Whoever can write to it can run code.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) cache_dir: Option<PathBuf>,
}

impl Command {
    /// Whether a machine reads what this command says, also when it fails.
    pub(crate) fn speaks_json(&self) -> bool {
        match self {
            Self::Serve(serve) => serve.events.format == Format::Json,
            Self::Ps(ps) => ps.format == Format::Json,
            Self::Reload(reload) => reload.format == Format::Json,
            Self::Restart(restart) => restart.at.format == Format::Json,
            Self::Eject(eject) => eject.at.format == Format::Json,
            Self::Run(run) => run.events.format == Format::Json,
            Self::Build(build) => build.format == Format::Json,
            Self::Check(check) => check.format == CheckFormat::Json,
            Self::Compile(compile) => compile.format == Format::Json,
            Self::Faults(faults) => faults.format == Format::Json,
            Self::Drill(drill) => drill.format == DrillFormat::Json,
            Self::Inspect(inspect) => inspect.format == Format::Json,
            Self::Postmortem(postmortem) => postmortem.format == Format::Json,
            Self::Record(record) => record.format == Format::Json,
            Self::Replay(replay) => replay.format == Format::Json,
            Self::Tap(tap) => tap.format == Format::Json,
            Self::Top(top) => top.format == Format::Json,
            Self::Runtime(runtime) => runtime.format == Format::Json,
            Self::New(_)
            | Self::Dev(_)
            | Self::Add(_)
            | Self::Bindings(_)
            | Self::Schema
            | Self::Completions(_)
            | Self::Worker(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
