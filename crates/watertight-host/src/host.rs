//! The host of an app: links WASI into every component's linker and furnishes every cell with its grants.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use wasmtime::{
    Engine,
    component::{Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtxBuilder, p2::bindings::LinkOptions};
use wasmtime_wasi_http::WasiHttpCtx;
use watertight_model::{
    app::{App, Component},
    usage::DiskUsage,
};
use watertight_runtime::{CellCore, Host, HostResource};

use crate::{
    cell::{Held, HostCell},
    clocks, command,
    disk::{Disks, SharedLedgers},
    env, filesystem,
    filesystem::{Files, Writable},
    http,
    http::held::Messages,
    logging::{self, Log},
    outbound::Outbound,
    random,
    report::Reporter,
    resources, sockets,
    sockets::Sockets,
    stdio,
    stdio::{Console, Tail},
};

/// Handles to host resources that one cell may hold, and bytes of its memory for each: what the host keeps for a handle stays small beside
/// that. One more traps the guest.
const MAX_HANDLES_PER_CELL: usize = 16 * 1024;
const BYTES_PER_HANDLE: usize = 4 << 10;

/// So many handles it may always hold.
const LEAST_HANDLES: usize = 1024;

/// Bytes that the headers of one message may take in the host's memory; more is an error the guest sees.
const MAX_HEADER_BYTES: usize = 128 * 1024;

/// WASI for the components of one app.
#[derive(Debug)]
pub struct WasiHost {
    app: Arc<App>,
    base_dir: PathBuf,
    console: Option<Console>,
    writable: Arc<Writable>,
}

impl WasiHost {
    /// A host that finds granted folders relative to `base_dir`, the manifest's folder.
    #[must_use]
    pub fn new(app: Arc<App>, base_dir: impl Into<PathBuf>) -> Self {
        Self { app, base_dir: base_dir.into(), console: None, writable: Arc::default() }
    }

    /// Counts what guests write together with the other processes that have these ledgers.
    #[must_use]
    pub fn with_ledgers(mut self, ledgers: SharedLedgers) -> Self {
        self.writable = Arc::new(Writable::new(Disks::new(ledgers)));
        self
    }

    /// Connects one component to a console: for `watertight run`.
    #[must_use]
    pub fn with_console(mut self, console: Console) -> Self {
        self.console = Some(console);
        self
    }
}

impl Host<HostCell> for WasiHost {
    fn link(&self, component: &Component, linker: &mut Linker<HostCell>) -> wasmtime::Result<()> {
        self.writable.count(component, &self.base_dir)?;
        let p3 = has_async(linker.engine());
        let mut options = LinkOptions::default();
        options.network_error_code(true);
        wasmtime_wasi::p2::add_to_linker_with_options_async(linker, &options)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
        if p3 {
            wasmtime_wasi::p3::add_to_linker(linker)?;
            wasmtime_wasi_http::p3::add_to_linker(linker)?;
        }
        // Ours stand before wasmtime-wasi's: they check and count, then call those. The linker stays open to the app's own
        // components, which may stand in for an interface of the host.
        linker.allow_shadowing(true);
        filesystem::link(linker, p3)?;
        sockets::link(linker, p3)?;
        http::held::link(linker, p3)?;
        logging::link(linker)?;
        command::link_exit(linker, p3)
    }

    fn furnish(&self, component: &Component, core: CellCore<HostCell>) -> wasmtime::Result<HostCell> {
        let reporter = Reporter::of_cell(Arc::clone(&self.app), component.id, &core);
        let counted = Sockets::new(Arc::clone(&reporter), Arc::clone(core.account()));
        let console = self.console.as_ref().filter(|console| console.is_for(component.id));

        let mut builder = WasiCtxBuilder::new();
        env::from_grant(&mut builder, component, console.map_or(&[], Console::args));
        let tail = Tail::default();
        stdio::from_grant(&mut builder, &reporter, core.account(), console, &tail);
        let log = Log::from_grant(&reporter, core.account(), &tail);
        filesystem::from_grant(&mut builder, component, &self.base_dir)?;
        sockets::from_grant(&mut builder, &counted);
        clocks::from_grant(&mut builder);
        random::from_grant(&mut builder);
        let mut wasi = builder.build();

        let mut table = ResourceTable::new();
        let handles = component.budget.memory.as_usize() / BYTES_PER_HANDLE;
        table.set_max_capacity(handles.clamp(LEAST_HANDLES, MAX_HANDLES_PER_CELL));
        let files = Files::new(Arc::clone(&reporter), &self.writable, &self.base_dir, &mut wasi, &mut table)?;
        let held = Arc::new(Held { files: files.held(), sockets: Arc::clone(&counted) });
        let weak = Arc::downgrade(&held);
        core.account().set_holdings(weak);
        let mut wasi_http = WasiHttpCtx::new();
        wasi_http.set_field_size_limit(MAX_HEADER_BYTES);
        let outbound = Outbound::from_grant(reporter, Arc::clone(&counted), Arc::clone(core.account()));
        Ok(HostCell {
            core,
            table,
            wasi,
            wasi_http,
            outbound,
            files,
            sockets: counted,
            _held: held,
            messages: Messages::default(),
            streams: HashMap::new(),
            log,
            tail,
        })
    }

    fn disks(&self) -> Vec<DiskUsage> {
        self.writable.disks.usage()
    }

    fn resources(&self) -> &[HostResource] {
        resources::movable()
    }
}

/// Whether components on this engine may use component-model async, and so WASI 0.3. An engine does not say; a linker does.
fn has_async(engine: &Engine) -> bool {
    let mut linker = Linker::<HostCell>::new(engine);
    linker.root().func_wrap_concurrent("probe", |_, (): ()| Box::pin(async { Ok(()) })).is_ok()
}
