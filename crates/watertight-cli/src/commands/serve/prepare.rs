//! From an app's files to something that can be served: at the start, and again for each reload.

use std::sync::Arc;

use watertight::{Anew, AppSource, CompileCache, CompiledNode, Orders, ReadAnew, Rejection, ServeError};

use crate::{
    args::{Format, Serve},
    commands,
    events::Wanted,
    exit::Exit,
    failure::{self, Failure},
    progress::CompileProgress,
    runtimes, state,
    terminal::{self, Look},
};

/// An app that can be served.
pub(super) struct Prepared {
    pub(super) orders: Orders<Wanted>,
    pub(super) node: CompiledNode,
    /// Components that were compiled now, and that the cache had.
    pub(super) compiled: usize,
    pub(super) cached: usize,
    /// What people should know all the same.
    pub(super) warnings: String,
}

/// Reads, checks and compiles an app, and tells people of its warnings.
pub(super) fn prepare(args: &Serve) -> Result<Prepared, Failure> {
    let source = AppSource::read_with(&args.app, &runtimes::runtimes(&args.runtimes))?;
    let checked = source.check()?;
    terminal::tell(&failure::problems_text(&checked.warnings, Look::of_stderr()));
    let warnings = failure::problems_text(&checked.warnings, Look::Plain);
    if checked.app.http.is_empty() {
        return Err(ServeError::NoRoutes(checked.app.name.clone()).into());
    }
    if let Some(tls) = args.tls() {
        tls.load().map_err(ServeError::from)?;
    }
    let cache = commands::cache_folder(args.cache.clone())?;
    let progress = CompileProgress::new(&checked.app, Look::of_stderr());
    let node = checked.compile(CompileCache::open(&cache)?, &checked.all_roots(), &progress)?;
    let (compiled, cached) = (progress.compiled() + progress.unkept(), progress.cached());
    let ledgers = node.ledgers()?;
    let mut node = node.with_ledgers(ledgers.clone());
    let postmortems = state::wanted(&args.postmortems);
    if let Some(folder) = &postmortems {
        node = node.with_postmortems(folder);
    }
    let otlp = args.otlp.config().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let (http, tls, extra) = (args.http(), args.tls(), Wanted { events: args.events, otlp });
    // What was read and loaded once is not looked at again by each worker.
    let app = source.loaded(node.app(), node.sources());
    let orders = Orders { app, cache, http, tls, ledgers, postmortems, extra };
    Ok(Prepared { orders, node, compiled, cached, warnings })
}

/// What reads the app anew for a reload. What is wrong with it is told here, and to who asked for the reload.
pub(super) fn read_anew(args: Arc<Serve>) -> ReadAnew<Wanted> {
    Arc::new(move || {
        let prepared = prepare(&args);
        let Prepared { orders, node, warnings, .. } = prepared.map_err(|failure| rejection(&failure, args.format()))?;
        Ok(Anew { orders, node, warnings })
    })
}

fn rejection(failure: &Failure, format: Format) -> Rejection {
    let mut document = failure.to_json();
    terminal::tell(&match format {
        Format::Text => failure.to_text(Look::of_stderr()),
        Format::Json => format!("{document}\n"),
    });
    let error = &mut document["error"];
    Rejection {
        message: error["message"].as_str().unwrap_or_default().to_owned(),
        problems: error["problems"].take(),
        text: failure.to_text(Look::Plain),
        exit: failure.exit() as u8,
    }
}
