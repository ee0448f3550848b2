//! `watertight serve`: a supervisor with its workers, or a server in this one process.
//!
//! Everything that can be wrong is found before anything listens. The first thing said is said when requests are answered.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Once},
    time::SystemTime,
};

use watertight::{
    Alone, CompileCache, CompiledNode, Orders, ServeError,
    admin::AdminSocket,
    status::About,
    supervisor::{Listeners, parse_address},
    worker,
};
use watertight_model::event::{Event, EventSink, WorkerChange};
use watertight_observe::{Bus, Timestamp};

use crate::{
    args::{EventsArgs, Format, Serve},
    events,
    failure::Failure,
    nodes,
    progress::CompileProgress,
    terminal::{self, Look},
};

pub(crate) fn serve(args: &Serve) -> Result<(), Failure> {
    events::show_tracing(args.events.verbose);
    let address = parse_address(&args.listen)?;
    let (source, checked) = super::checked(&args.app)?;
    if checked.app.http.is_empty() {
        return Err(ServeError::NoRoutes(checked.app.name.clone()).into());
    }
    if let Some(tls) = args.tls() {
        tls.load().map_err(ServeError::from)?;
    }
    let folder = super::cache_folder(args.cache.clone())?;
    let progress = CompileProgress::new(&checked.app, Look::of_stderr());
    let node = checked.compile(CompileCache::open(&folder)?, &checked.all_roots(), &progress)?;
    let bus = events::of_server(args.events, &checked.app)?;
    let workers = args.workers.map_or_else(cores, usize::from);
    let listeners = Listeners::bind(address, workers.max(1))?;
    let admin = nodes::socket(args.admin_socket.as_deref(), &checked.app.name)?;
    let banner = Banner {
        admin: admin.as_ref().map(|socket| socket.path().to_owned()),
        address: listeners.address(),
        secure: args.tls().is_some(),
        workers,
        compiled: progress.compiled() + progress.unkept(),
        cached: progress.cached(),
        cache: folder.clone(),
        format: args.format(),
    };
    let served = if workers == 0 {
        in_this_process(args, node, listeners, admin, &bus, &banner)
    } else {
        let orders = Orders { app: source, cache: folder, http: args.http(), tls: args.tls(), extra: args.events };
        with_workers(orders, &node, listeners, admin, &bus, banner)
    };
    events::finish(&bus);
    served
}

/// The supervisor's part: it holds sockets and processes, and no guest.
fn with_workers(
    orders: Orders<EventsArgs>,
    node: &CompiledNode,
    listeners: Listeners,
    admin: Option<AdminSocket>,
    bus: &Arc<Bus>,
    banner: Banner,
) -> Result<(), Failure> {
    let admin = admin.map(|socket| (socket, About::new(node.app(), banner.url())));
    let events = Arc::new(Announcing {
        said: Once::new(),
        format: banner.format,
        text: banner.text(node),
        bus: Arc::clone(bus),
    });
    let stopped = super::runtime()?.block_on(worker::supervise(listeners, orders, "worker", events, admin))?;
    if stopped.killed > 0 {
        tracing::warn!("{} workers did not drain in time and were killed", stopped.killed);
    }
    Ok(())
}

/// Everything in one process: for debuggers, and where there can be only one.
fn in_this_process(
    args: &Serve,
    node: CompiledNode,
    listeners: Listeners,
    admin: Option<AdminSocket>,
    bus: &Arc<Bus>,
    banner: &Banner,
) -> Result<(), Failure> {
    let text = banner.text(&node);
    let admin = admin.map(|socket| (socket, About::new(node.app(), banner.url())));
    let alone = Alone { node, listeners, http: args.http(), tls: args.tls(), admin };
    let serving = alone.run(Arc::clone(bus) as Arc<dyn EventSink>, || say(args.format(), &text));
    let drained = super::runtime()?.block_on(serving)?;
    if drained.cut > 0 {
        tracing::warn!("{} connections did not drain in time and were cut", drained.cut);
    }
    Ok(())
}

/// Says that requests are answered when the first worker serves, and passes events on.
struct Announcing {
    said: Once,
    format: Format,
    text: String,
    bus: Arc<Bus>,
}

impl EventSink for Announcing {
    fn emit(&self, event: Event) {
        if matches!(event, Event::Worker { change: WorkerChange::Started { .. }, .. }) {
            self.said.call_once(|| say(self.format, &self.text));
        }
        self.bus.emit(event);
    }
}

/// What is said at the start.
struct Banner {
    address: SocketAddr,
    secure: bool,
    workers: usize,
    compiled: usize,
    cached: usize,
    cache: PathBuf,
    admin: Option<PathBuf>,
    format: Format,
}

fn say(format: Format, text: &str) {
    match format {
        Format::Text => terminal::tell(text),
        // A reader that is gone already reads no events either; the server serves.
        Format::Json => drop(terminal::print(text)),
    }
}

impl Banner {
    fn url(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.address)
    }

    fn text(&self, node: &CompiledNode) -> String {
        let app = node.app();
        let url = self.url();
        let components: Vec<_> = app.components.iter().map(|component| component.name.as_str()).collect();
        let Self { workers, compiled, cached, .. } = self;
        let cache = self.cache.display();
        if self.format == Format::Json {
            let line = serde_json::json!({
                "time": Timestamp(SystemTime::now()).to_string(), "pid": std::process::id(), "event": "serving",
                "url": url, "address": self.address, "workers": workers, "app": app.name, "version": app.version,
                "components": components, "pools": node.pools(), "admin": self.admin,
                "cache": { "dir": self.cache, "compiled": compiled, "cached": cached },
            });
            return format!("{line}\n");
        }
        let mut text = format!("{} {} serves on {url}\n", app.name, app.version);
        // A `String` takes all it is given.
        let _ = match workers {
            0 => writeln!(text, "  workers     none: in this process ({})", std::process::id()),
            1 => writeln!(text, "  workers     1 process"),
            n => writeln!(text, "  workers     {n} processes"),
        };
        let _ = writeln!(text, "  components  {}", components.join(", "));
        for (index, pool) in node.pools().iter().enumerate() {
            let head = if index == 0 { "pools" } else { "" };
            let each = if *workers == 0 { "" } else { ", in each worker" };
            let _ = writeln!(text, "  {head:<11} {pool}{each}");
        }
        let _ = writeln!(text, "  cache       {compiled} compiled now, {cached} there already, in {cache}");
        if let Some(socket) = &self.admin {
            let _ = writeln!(text, "  admin       {}", socket.display());
        }
        text
    }
}

/// One worker for each core that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
