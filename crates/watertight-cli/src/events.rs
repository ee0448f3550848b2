//! Which sinks the events go to, by what the command line asks for.

use std::{io, sync::Arc, time::Duration};

use watertight_model::app::App;
use watertight_observe::{Bus, Detail, HumanLog, HumanStyle, Interest, JsonLines, Kind, Otlp, OtlpConfig};

use crate::{
    args::{EventsArgs, Format},
    terminal::{self, Look},
};

/// How long the end of a process waits for its log.
const FLUSH: Duration = Duration::from_secs(2);

/// What a server tells, and to whom.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Wanted {
    pub(crate) events: EventsArgs,
    /// The collector that gets traces and logs.
    pub(crate) otlp: Option<OtlpConfig>,
}

/// The events of a server: a log on stderr, or JSON lines on stdout; and what goes to a collector.
pub(crate) fn of_server(wanted: &Wanted, app: &Arc<App>) -> io::Result<Arc<Bus>> {
    let args = wanted.events;
    let mut bus = Bus::new();
    if let Some(otlp) = wanted.otlp.as_ref().filter(|otlp| otlp.traces.is_some() || otlp.logs.is_some()) {
        bus.add("otlp", Otlp::new(otlp, app)?)?;
    }
    match args.format {
        Format::Text => bus.add("log", human(args, app)?)?,
        Format::Json => {
            let sink = JsonLines::new(terminal::stdout_file()?, Arc::clone(app), interest(args), std::process::id());
            bus.add("json", sink)?;
        }
    }
    Ok(Arc::new(bus))
}

/// The events of one call: on stderr in any form, because stdout is the command's. How the call itself ended is not among
/// them: that is said at its end.
pub(crate) fn of_run(args: EventsArgs, app: &Arc<App>) -> io::Result<Arc<Bus>> {
    let mut bus = Bus::new();
    match args.format {
        Format::Text => bus.add("log", human(args, app)?.without_roots())?,
        Format::Json => {
            let sink = JsonLines::new(terminal::stderr_file()?, Arc::clone(app), interest(args), std::process::id());
            bus.add("json", sink)?;
        }
    }
    Ok(Arc::new(bus))
}

/// Gives sinks the time to write what they have.
pub(crate) fn finish(bus: &Bus) {
    bus.finish(FLUSH);
}

fn human(args: EventsArgs, app: &Arc<App>) -> io::Result<HumanLog<std::fs::File>> {
    let style = match Look::of_stderr() {
        Look::Plain => HumanStyle::Plain,
        Look::Terminal => HumanStyle::Terminal,
        Look::Colours => HumanStyle::Colours,
    };
    let detail = match (args.verbose, args.quiet) {
        (true, _) => Detail::Verbose,
        (_, true) => Detail::Quiet,
        _ => Detail::Normal,
    };
    Ok(HumanLog::new(terminal::stderr_file()?, Arc::clone(app), detail, style))
}

fn interest(args: EventsArgs) -> Interest {
    let failures = Interest::in_kinds(&[
        Kind::CallFailed,
        Kind::RootFailed,
        Kind::CellEjected,
        Kind::Failure,
        Kind::Postmortem,
        Kind::Denied,
        Kind::Worker,
    ]);
    match (args.verbose, args.quiet) {
        (true, _) => Interest::all(),
        (_, true) => failures,
        _ => failures.and(Interest::in_kinds(&[Kind::Request, Kind::Log])),
    }
}

/// Shows what libraries say of themselves (`tracing`) on stderr: warnings, or what `WATERTIGHT_LOG` asks for.
pub(crate) fn show_tracing(verbose: bool) {
    use tracing_subscriber::{EnvFilter, fmt};

    let default = if verbose { "warn,watertight=debug" } else { "warn" };
    let filter = std::env::var("WATERTIGHT_LOG").ok().and_then(|filter| EnvFilter::try_new(filter).ok());
    let subscriber = fmt()
        .compact()
        .without_time()
        .with_target(false)
        .with_ansi(Look::of_stderr() == Look::Colours)
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(default)))
        .with_writer(io::stderr);
    // Nobody else sets one; and if so, theirs does as well.
    let _ = subscriber.try_init();
}
