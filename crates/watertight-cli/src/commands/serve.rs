//! `watertight serve`: a supervisor with its workers, or a server in this one process.
//!
//! Everything that can be wrong is found before anything listens. The first thing said is said when requests are answered. A signal to
//! stop is obeyed from the first moment on, while components are compiled, too.

mod banner;
mod prepare;

use std::{fmt::Display, fs::File, io::Read as _, path::Path, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use watertight::{
    Alone, Signals, Together,
    admin::{AdminAddress, Doors, Token},
    status::About,
    supervisor::{Listeners, parse_address},
};
use watertight_model::event::EventSink;
use watertight_observe::{Bus, MetricsExporter};

use self::{
    banner::{Announcing, Banner, say},
    prepare::{Prepared, prepare, read_anew},
};
use crate::{
    args::Serve,
    commands::faults::reject,
    events::{self, Wanted},
    exit::Exit,
    failure::Failure,
    nodes,
};

pub(crate) fn serve(args: Serve) -> Result<(), Failure> {
    events::show_tracing(args.events.verbose);
    let address = parse_address(&args.listen)?;
    let collector = args.otlp.config().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let metrics = collector.as_ref().map(MetricsExporter::new).transpose()?.flatten();
    let admin = args.admin.as_deref().map(parse_address).transpose()?;
    let token = args.admin_token_file.as_deref().map(read_token).transpose()?;
    let args = Arc::new(args);
    super::runtime()?.block_on(async {
        let mut signals = Signals::mind()?;
        let prepared = tokio::select! {
            prepared = prepare_aside(Arc::clone(&args)) => prepared?,
            () = signals.stopped() => return Ok(()),
        };
        let workers = args.workers.map_or_else(cores, usize::from);
        let listeners = Listeners::bind(address, workers.max(1))?;
        let address = admin.map(|address| AdminAddress::bind(address, token)).transpose()?;
        let doors = Doors { socket: None, address, metrics };
        Box::pin(serve_on(&args, signals, prepared, listeners, doors, workers)).await
    })
}

/// Reads, checks and compiles on a thread that the end of the process does not wait for.
async fn prepare_aside(args: Arc<Serve>) -> Result<Prepared, Failure> {
    let (done, prepared) = oneshot::channel();
    std::thread::Builder::new().name("prepare".to_owned()).spawn(move || drop(done.send(prepare(&args))))?;
    let panicked = |_| Failure::new(Exit::Internal, "preparing the app panicked");
    prepared.await.map_err(panicked)?
}

async fn serve_on(
    args: &Arc<Serve>,
    signals: Signals,
    prepared: Prepared,
    listeners: Listeners,
    doors: Doors,
    workers: usize,
) -> Result<(), Failure> {
    let Prepared { orders, node, compiled, cached, warnings: _ } = prepared;
    let socket = nodes::socket(args.admin_socket.as_deref(), &node.app().name)?;
    let admin = Doors { socket, ..doors };
    let banner = Banner {
        admin: admin.socket.as_ref().map(|socket| socket.path().to_owned()),
        admin_url: admin.address.as_ref().map(|door| format!("http://{}", door.address())),
        address: listeners.address(),
        secure: args.tls().is_some(),
        workers,
        compiled,
        cached,
        cache: orders.cache.clone(),
        format: args.format(),
    };
    let text = banner.text(&node);
    let about = About::new(node.app(), banner.url()).with_postmortems(orders.postmortems.clone());
    let read = read_anew(Arc::clone(args));
    if workers == 0 {
        let alone = Alone { node, listeners, http: args.http(), tls: args.tls(), admin, about, read, reject };
        let wanted = orders.extra;
        return in_this_process(args, &wanted, alone, signals, &text).await;
    }
    // No guest runs in this process: there is nothing to send.
    let bus = events::of_server(&Wanted { events: args.events, otlp: None }, node.app())?;
    let app = Arc::clone(node.app());
    drop(node);
    let together = Together { listeners, orders, app, command: "worker".to_owned(), admin, about, read, reject };
    let announcing = Announcing::new(args.format(), text, Arc::clone(&bus));
    let stopped = together.run(signals, Arc::new(announcing)).await;
    events::finish(&bus);
    let killed = stopped?.killed;
    if killed > 0 {
        tracing::warn!("{killed} workers did not drain in time and were killed");
    }
    Ok(())
}

/// Bytes that are read of a token's file.
const MAX_TOKEN_FILE: u64 = 4096;

/// Reads the token for the admin address.
fn read_token(file: &Path) -> Result<Token, Failure> {
    let failed = |error: &dyn Display| Failure::new(Exit::Usage, format!("{}: {error}", file.display()));
    let mut text = String::new();
    let opened = File::open(file).and_then(|open| open.take(MAX_TOKEN_FILE).read_to_string(&mut text));
    opened.map_err(|error| failed(&error))?;
    Token::new(&text).map_err(|error| failed(&error))
}

/// Everything in one process: for debuggers, and where there can be only one.
async fn in_this_process<X: Send + 'static>(
    args: &Serve,
    wanted: &Wanted,
    alone: Alone<X>,
    signals: Signals,
    text: &str,
) -> Result<(), Failure> {
    // One for each version of the app: sinks name what events number by it.
    let buses: Mutex<Vec<Arc<Bus>>> = Mutex::default();
    let events = |app: &_| {
        // A server that cannot write its log serves nevertheless.
        let bus = events::of_server(wanted, app).unwrap_or_default();
        buses.lock().push(Arc::clone(&bus));
        bus as Arc<dyn EventSink>
    };
    let drained = alone.run(signals, &events, || say(args.format(), text)).await;
    for bus in &*buses.lock() {
        events::finish(bus);
    }
    let cut = drained?.cut;
    if cut > 0 {
        tracing::warn!("{cut} connections did not drain in time and were cut");
    }
    Ok(())
}

/// One worker for each core that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
