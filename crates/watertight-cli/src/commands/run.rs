//! `watertight run`: a command with the terminal's streams, or a call of one function.

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use watertight::{CheckedApp, CompileCache, Console, Node, Output};
use watertight_model::{
    app::{App, ComponentId},
    budget::Budget,
    event::EventSink,
};

use crate::{
    args::Run,
    events,
    exit::Exit,
    failure::Failure,
    progress::CompileProgress,
    state,
    terminal::{self, Look},
};

/// What a command without a manifest gets on the clock and of cpu: whoever starts it watches it, and can end it.
const UNWATCHED: Duration = Duration::from_secs(600);

pub(crate) fn run(args: Run) -> Result<u8, Failure> {
    events::show_tracing(args.events.verbose);
    let (source, mut checked) = super::checked(&args.app, &args.runtimes)?;
    let entry = match &args.invoke {
        None => Some(command(&checked, args.component.as_deref())?),
        Some(_) => named(&checked.app, args.component.as_deref())?,
    };
    // What runs once is loaded once.
    checked.snapshots = false;
    let app = Arc::make_mut(&mut checked.app);
    for component in &mut app.components {
        if entry.is_none_or(|entry| entry == component.id) {
            let watched = args.invoke.is_none() && source.is_single();
            adjust(&mut component.budget, &args, watched);
        }
    }
    let progress = CompileProgress::new(&checked.app, Look::of_stderr());
    let cache = CompileCache::open(&super::cache_folder(args.cache.clone())?)?;
    let roots = entry.map_or_else(|| checked.each_once(), |entry| vec![(entry, 1)]);
    let mut node = checked.compile(cache, &roots, &progress)?;
    if let Some(folder) = state::wanted(&args.postmortems) {
        node = node.with_postmortems(folder);
    }
    let bus = events::of_run(args.events, &checked.app)?;
    let runtime = super::runtime()?;
    let ended = runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let console = match (&args.invoke, entry) {
            (None, Some(entry)) => Some(console(entry, args.args.clone())?),
            _ => None,
        };
        let node = node.start(console, Arc::clone(&bus) as Arc<dyn EventSink>)?;
        tokio::select! {
            ended = act(&node, &args, entry) => ended,
            _ = terminate.recv() => Err(Failure::new(Exit::Terminated, "ended by SIGTERM")),
            _ = interrupt.recv() => Err(Failure::new(Exit::Interrupted, "interrupted")),
        }
    });
    // A thread that waits for standard input would keep the process.
    runtime.shutdown_background();
    events::finish(&bus);
    ended
}

async fn act(node: &Node, args: &Run, entry: Option<ComponentId>) -> Result<u8, Failure> {
    match (&args.invoke, entry) {
        (None, Some(entry)) => {
            let code = node.run(entry).await.map_err(|error| hinted(error.into(), args))?;
            // Of a code, the system keeps the lowest eight bits.
            Ok(u8::try_from(code & 0xff).unwrap_or(Exit::Failed as u8))
        }
        (Some(call), _) => {
            let result = node.invoke_text(call, args.component.as_deref()).await;
            if let Some(result) = result.map_err(|error| hinted(error.into(), args))? {
                terminal::print(&(result + "\n"))?;
            }
            Ok(Exit::Done as u8)
        }
        (None, None) => Err(Failure::new(Exit::Internal, "there is nothing to run")),
    }
}

/// A spent budget is raised on this command line as well as in a manifest.
fn hinted(failure: Failure, args: &Run) -> Failure {
    let shown = args.app.display();
    match failure.exit() {
        Exit::Deadline => failure.help(format!("give it more time: watertight run {shown} --deadline 1h --cpu 1h")),
        Exit::Memory => failure.help(format!("give it more memory: watertight run {shown} --memory 1GiB")),
        Exit::Done
        | Exit::Failed
        | Exit::Usage
        | Exit::Unmet
        | Exit::Rejected
        | Exit::NotFound
        | Exit::NoNode
        | Exit::NoListen
        | Exit::Internal
        | Exit::NoCapacity
        | Exit::NoCache
        | Exit::NoOutput
        | Exit::NotReloaded
        | Exit::AppDown
        | Exit::BadTls
        | Exit::Interrupted
        | Exit::NotBuilt
        | Exit::NoTool
        | Exit::Trapped
        | Exit::Terminated => failure,
    }
}

fn adjust(budget: &mut Budget, args: &Run, watched: bool) {
    if watched {
        (budget.deadline, budget.cpu) = (UNWATCHED, UNWATCHED);
    }
    budget.deadline = args.deadline.unwrap_or(budget.deadline);
    budget.cpu = args.cpu.unwrap_or(budget.cpu);
    // There is nobody beside it who would have to wait.
    budget.slice = budget.cpu;
    budget.memory = args.memory.unwrap_or(budget.memory);
}

/// The one command of the app, or the component that was named.
fn command(checked: &CheckedApp, name: Option<&str>) -> Result<ComponentId, Failure> {
    if let Some(id) = named(&checked.app, name)? {
        return Ok(id);
    }
    let names = |ids: &[ComponentId]| {
        let names: Vec<_> = ids.iter().map(|id| checked.app.component(*id).name.as_str()).collect();
        names.join(", ")
    };
    match checked.commands().as_slice() {
        [only] => Ok(*only),
        [] => Err(Failure::new(Exit::Rejected, format!("app `{}` has no command", checked.app.name))
            .help("a command exports wasi:cli/run; to call another function: --invoke 'ns:pkg/interface#function()'")),
        several => Err(Failure::new(Exit::Usage, format!("the app has several commands: {}", names(several)))
            .help("choose one with --component")),
    }
}

fn named(app: &App, name: Option<&str>) -> Result<Option<ComponentId>, Failure> {
    let Some(name) = name else { return Ok(None) };
    match app.find(name) {
        Some(component) => Ok(Some(component.id)),
        None => {
            let names: Vec<_> = app.components.iter().map(|component| component.name.as_str()).collect();
            Err(Failure::new(Exit::Usage, format!("app `{}` has no component `{name}`", app.name))
                .help(format!("it has: {}", names.join(", "))))
        }
    }
}

/// The streams of this process.
fn console(component: ComponentId, args: Vec<String>) -> std::io::Result<Console> {
    let stdout = Output::new(terminal::stdout_file()?, std::io::stdout().is_terminal());
    let stderr = Output::new(terminal::stderr_file()?, std::io::stderr().is_terminal());
    let stdin_is_terminal = std::io::stdin().is_terminal();
    Ok(Console::new(component, tokio::io::stdin(), stdin_is_terminal, stdout, stderr).with_args(args))
}
