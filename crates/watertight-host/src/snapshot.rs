//! Snapshots: a component whose interpreter has made itself ready once, so that every cell starts where that ended.
//!
//! The component is instantiated, its function `init` is called, and its memory and globals become those that it starts with. In
//! this one cell it has its script's folder, read-only, if there is a script, and nothing else that a grant could give: no environment,
//! network, other files. What belongs to each cell must not be frozen in: with a script, a snapshot is only good if neither a clock
//! nor a source of random numbers was asked, nothing was sent, and no file was left open.
//!
//! It fails when the component traps, runs for too long, or is put together in a way that cannot be captured: several memories,
//! modules that are instantiated twice, instructions that change tables.

use std::{
    fs::File,
    io::Read as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use component_init_transform::Invoker;
use futures_util::FutureExt as _;
use wasmtime::{
    Engine, Store, StoreContextMut, StoreLimits, StoreLimitsBuilder,
    component::{Component, Instance, Lift, Linker, Resource, ResourceTable},
    error::Context as _,
};
use wasmtime_wasi::{
    FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
    filesystem::{Descriptor, WasiFilesystemView as _},
    p2::{bindings::filesystem::preopens, pipe::MemoryOutputPipe},
};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};
use watertight_model::{
    modules::MODULES,
    script::{FOLDER, Script},
};
use watertight_runtime::CallFailed;

use crate::outbound::Exchange;

/// How long an interpreter may take to make itself ready.
const MAX_TIME: Duration = Duration::from_secs(120);

/// The memory it may take for that.
const MAX_MEMORY: usize = 1 << 30;

/// What it may say about it.
const MAX_STDERR: usize = 64 << 10;

/// A script to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Mounted<'a> {
    /// The folder that it lies in.
    pub folder: &'a Path,
    /// The script.
    pub script: &'a Script,
    /// The variables that its cells will have: it is told that they are there, and not what they hold.
    pub variables: &'a [&'a str],
    /// What it is told of the modules that it may call.
    pub modules: &'a [u8],
}

/// A component that starts ready, or why its script is loaded anew in each cell.
#[derive(Debug)]
pub enum Snapshot {
    /// The component.
    Taken(Vec<u8>),
    /// It did something that belongs to each cell.
    Declined(String),
}

/// A snapshot that cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("no snapshot: {error:#}{}", said(stderr))]
pub struct SnapshotError {
    error: wasmtime::Error,
    /// What the guest wrote to its standard error stream.
    stderr: String,
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it said: {}", stderr.trim_end()) }
}

/// Takes a snapshot of a component after its function `init`, and with a script of what lies in `folder`, after it has loaded that.
///
/// # Errors
/// When the component cannot be captured, or its function fails.
pub async fn snapshot(
    engine: &Engine,
    component: &[u8],
    init: &str,
    script: Option<Mounted<'_>>,
) -> Result<Snapshot, SnapshotError> {
    let seen = Arc::new(Seen::default());
    let stderr = MemoryOutputPipe::new(MAX_STDERR);
    let failed = |error| SnapshotError { error, stderr: text_of(&stderr) };
    let with_script = script.is_some();
    let spec = script.and_then(|mounted| mounted.script.snapshot.as_ref());
    let forgets_files = spec.is_some_and(|spec| spec.forgets_files);
    let cell = Cell::new(script, &seen, stderr.clone()).map_err(failed)?;
    let (engine, init, result) = (engine.clone(), init.to_owned(), Arc::clone(&seen));
    let bytes = component_init_transform::initialize(component, move |instrumented| {
        async move {
            let ready = Ready::make(&engine, &instrumented, &init, cell, &result).await;
            ready.map(|ready| Box::new(ready) as Box<dyn Invoker>).map_err(foreign)
        }
        .boxed()
    });
    let bytes = bytes.await.map_err(|error| failed(wasmtime::Error::msg(format!("{error:#}"))))?;
    Ok(match seen.complaint(forgets_files).filter(|_| with_script) {
        None => Snapshot::Taken(bytes),
        Some(why) => Snapshot::Declined(format!("{why}{}", said(&text_of(&stderr)))),
    })
}

fn text_of(stderr: &MemoryOutputPipe) -> String {
    String::from_utf8_lossy(&stderr.contents()).into_owned()
}

/// An error as the other crate wants it.
#[expect(clippy::needless_pass_by_value, reason = "it stands where a function of the value is wanted")]
fn foreign(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

/// What the guest did while it made itself ready.
#[derive(Debug, Default)]
struct Seen {
    clock: AtomicBool,
    random: AtomicBool,
    sent: AtomicBool,
    called: AtomicBool,
    folders: AtomicU32,
    refused: AtomicBool,
}

impl Seen {
    /// The first time, the runtime begins to load the script: what it did before that was its own doing.
    fn looks_for_files(&self) {
        if self.folders.fetch_add(1, Ordering::Relaxed) == 0 {
            self.random.store(false, Ordering::Relaxed);
            self.clock.store(false, Ordering::Relaxed);
        }
    }

    /// Why this is not to be frozen in.
    fn complaint(&self, forgets_files: bool) -> Option<&'static str> {
        let cases = [
            (&self.clock, "it asks what time it is"),
            (&self.random, "it draws random numbers"),
            (&self.sent, "it sends requests"),
            (&self.called, "it calls another component"),
            (&self.refused, "while it is loaded it fails, or does something that belongs to each request"),
        ];
        let first = cases.into_iter().find(|(seen, _)| seen.load(Ordering::Relaxed)).map(|(_, why)| why);
        // Once for the runtime itself. A second time it is the guest's C library, which keeps handles of this cell.
        let kept = !forgets_files && self.folders.load(Ordering::Relaxed) > 1;
        first.or(kept.then_some("it opens files while it is loaded"))
    }
}

/// An empty map.
const NO_MODULES: &[u8] = &[0xa0];

/// The state of the one cell.
struct Cell {
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    nobody: Nobody,
    limits: StoreLimits,
    seen: Arc<Seen>,
    began: Instant,
    modules: Vec<u8>,
}

impl Cell {
    fn new(script: Option<Mounted<'_>>, seen: &Arc<Seen>, stderr: MemoryOutputPipe) -> wasmtime::Result<Self> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stderr(stderr);
        let modules = script.map_or(NO_MODULES, |script| script.modules).to_vec();
        if let Some(Mounted { folder, script, variables, .. }) = script {
            wasi.arg(&script.entry);
            for name in variables {
                wasi.env(name, "");
            }
            wasi.preopened_dir(folder, FOLDER, FsPerms::ReadOnly)?;
        }
        let limits = StoreLimitsBuilder::new().memory_size(MAX_MEMORY).trap_on_grow_failure(false).build();
        let (seen, began) = (Arc::clone(seen), Instant::now());
        let (wasi, http, table) = (wasi.build(), WasiHttpCtx::new(), ResourceTable::new());
        Ok(Self { wasi, table, http, nobody: Nobody(Arc::clone(&seen)), limits, seen, began, modules })
    }
}

impl WasiHttpView for Cell {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.nobody, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Whom requests go to: a script that sends some while it is loaded means them for each cell.
struct Nobody(Arc<Seen>);

impl WasiHttpHooks for Nobody {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Exchange {
        self.0.sent.store(true, Ordering::Relaxed);
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl WasiView for Cell {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Folders and their paths, as the one result of a function.
type Folders = (Vec<(Resource<Descriptor>, String)>,);

/// Links WASI, with eyes on what must not be frozen in.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Cell>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    linker.allow_shadowing(true);
    let mut random = linker.instance("wasi:random/random@0.2.12")?;
    random.func_wrap("get-random-bytes", |cx: StoreContextMut<'_, Cell>, (count,): (u64,)| {
        cx.data().seen.random.store(true, Ordering::Relaxed);
        let mut bytes = Vec::new();
        File::open("/dev/urandom")?.take(count.min(1 << 20)).read_to_end(&mut bytes)?;
        Ok((bytes,))
    })?;
    random.func_wrap("get-random-u64", |cx: StoreContextMut<'_, Cell>, (): ()| {
        cx.data().seen.random.store(true, Ordering::Relaxed);
        Ok((0_u64,))
    })?;
    linker.instance("wasi:clocks/monotonic-clock@0.2.12")?.func_wrap(
        "now",
        |cx: StoreContextMut<'_, Cell>, (): ()| {
            cx.data().seen.clock.store(true, Ordering::Relaxed);
            Ok((u64::try_from(cx.data().began.elapsed().as_nanos()).unwrap_or(u64::MAX),))
        },
    )?;
    linker.instance("wasi:clocks/wall-clock@0.2.12")?.func_wrap("now", |cx: StoreContextMut<'_, Cell>, (): ()| {
        cx.data().seen.clock.store(true, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime {
            seconds: now.as_secs(),
            nanoseconds: now.subsec_nanos(),
        },))
    })?;
    linker.instance("wasi:filesystem/preopens@0.2.12")?.func_wrap(
        "get-directories",
        |mut cx: StoreContextMut<'_, Cell>, (): ()| -> wasmtime::Result<Folders> {
            cx.data().seen.looks_for_files();
            Ok((preopens::Host::get_directories(&mut cx.data_mut().filesystem())?,))
        },
    )?;
    let mut modules = linker.instance(MODULES)?;
    modules.func_wrap("describe", |cx: StoreContextMut<'_, Cell>, (): ()| Ok((cx.data().modules.clone(),)))?;
    modules.func_wrap("call", |cx: StoreContextMut<'_, Cell>, _: (String, String, Vec<u8>)| {
        cx.data().seen.called.store(true, Ordering::Relaxed);
        let message = "nothing is called while a snapshot is taken".to_owned();
        let failed = CallFailed { kind: "host".to_owned(), message, payload: Vec::new() };
        Ok((Err::<Vec<u8>, _>(failed),))
    })?;
    Ok(linker)
}

/// The cell after its function has returned: what it has is read out.
struct Ready {
    store: Store<Cell>,
    instance: Instance,
    #[expect(dead_code, reason = "it watches until this is gone")]
    watchdog: Watchdog,
}

impl Ready {
    async fn make(engine: &Engine, bytes: &[u8], init: &str, cell: Cell, seen: &Seen) -> wasmtime::Result<Self> {
        let component = Component::new(engine, bytes)?;
        let linker = linker(engine)?;
        let mut store = Store::new(engine, cell);
        store.limiter(|cell| &mut cell.limits);
        store.set_epoch_deadline(1);
        // Its whole memory is read out by one call.
        store.set_hostcall_fuel(MAX_MEMORY);
        // It is no fault of the interpreter how long a busy machine compiles it.
        let watchdog = Watchdog::start(engine);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        let function = instance
            .get_typed_func::<(), (bool,)>(&mut store, init)
            .with_context(|| format!("it exports no function `{init}` that returns a bool"))?;
        let (good,) = function.call_async(&mut store, ()).await?;
        seen.refused.store(!good, Ordering::Relaxed);
        Ok(Self { store, instance, watchdog })
    }

    async fn read<R: Lift + Send + Sync + 'static>(&mut self, function: &str) -> anyhow::Result<R> {
        let function = self.instance.get_typed_func::<(), (R,)>(&mut self.store, function).map_err(foreign)?;
        Ok(function.call_async(&mut self.store, ()).await.map_err(foreign)?.0)
    }
}

#[async_trait]
impl Invoker for Ready {
    async fn call_s32(&mut self, function: &str) -> anyhow::Result<i32> {
        self.read(function).await
    }

    async fn call_s64(&mut self, function: &str) -> anyhow::Result<i64> {
        self.read(function).await
    }

    async fn call_f32(&mut self, function: &str) -> anyhow::Result<f32> {
        self.read(function).await
    }

    async fn call_f64(&mut self, function: &str) -> anyhow::Result<f64> {
        self.read(function).await
    }

    async fn call_list_u8(&mut self, function: &str) -> anyhow::Result<Vec<u8>> {
        self.read(function).await
    }
}

/// Stops an interpreter that does not come to an end. Dropped, it goes away.
struct Watchdog(#[expect(dead_code, reason = "its end is the message")] mpsc::Sender<()>);

impl Watchdog {
    fn start(engine: &Engine) -> Self {
        let (sender, ended) = mpsc::channel();
        let engine = engine.clone();
        thread::spawn(move || {
            if ended.recv_timeout(MAX_TIME) == Err(mpsc::RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        });
        Self(sender)
    }
}
