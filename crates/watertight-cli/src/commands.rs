//! The commands, one module each, and the steps that several of them take.

mod add;
mod bindings;
mod build;
mod check;
mod compile;
mod dev;
mod drill;
mod faults;
mod inspect;
mod new;
mod operate;
mod postmortem;
mod ps;
mod record;
mod reload;
mod replay;
mod run;
mod runtime;
mod serve;
mod table;
mod tap;
mod top;
mod worker;

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use watertight::{AppSource, CheckedApp};

use crate::{
    args::{CacheDir, Cli, Command, RuntimesDir},
    cache,
    exit::Exit,
    failure::{self, Failure},
    runtimes,
    terminal::{self, Look},
};

/// Does what was asked, and says how the process shall end.
pub(crate) fn carry_out(command: Command) -> Result<u8, Failure> {
    let done = |()| Exit::Done as u8;
    match command {
        Command::Serve(args) => serve::serve(args).map(done),
        Command::Ps(args) => ps::ps(&args).map(done),
        Command::Record(args) => record::record(&args).map(done),
        Command::Replay(args) => replay::replay(&args),
        Command::Reload(args) => reload::reload(&args).map(done),
        Command::Restart(args) => operate::restart(&args).map(done),
        Command::Eject(args) => operate::eject(&args).map(done),
        Command::Run(args) => run::run(args),
        Command::New(args) => new::new(&args).map(done),
        Command::Build(args) => build::build(args).map(done),
        Command::Dev(args) => dev::dev(args).map(done),
        Command::Add(args) => add::add(&args).map(done),
        Command::Bindings(args) => bindings::bindings(&args).map(done),
        Command::Check(args) => check::check(args).map(done),
        Command::Compile(args) => compile::compile(args).map(done),
        Command::Drill(args) => drill::drill(&args),
        Command::Faults(args) => faults::faults(&args).map(done),
        Command::Inspect(args) => inspect::inspect(&args).map(done),
        Command::Postmortem(args) => postmortem::postmortem(args).map(done),
        Command::Runtime(args) => runtime::runtime(&args).map(done),
        Command::Tap(args) => tap::tap(&args).map(done),
        Command::Top(args) => top::top(&args).map(done),
        Command::Schema => schema().map(done),
        Command::Completions(args) => completions(args.shell).map(done),
        Command::Worker(args) => worker::worker(&args).map(done),
    }
}

fn schema() -> Result<(), Failure> {
    let schema = watertight_model::manifest::schema();
    terminal::print(&format!("{schema:#}\n"))
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut for_people(), "watertight", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))
}

/// The command line without what is not for people: a completion does not look whether a command is hidden.
fn for_people() -> clap::Command {
    let whole = Cli::command();
    let shown: Vec<_> = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let mut bare = clap::Command::new("watertight").version(env!("CARGO_PKG_VERSION")).subcommands(shown);
    if let Some(about) = whole.get_about() {
        bare = bare.about(about.clone());
    }
    bare
}

/// Reads and checks an app, and tells people of its warnings.
fn checked(path: &Path, runtimes: &RuntimesDir) -> Result<(AppSource, CheckedApp), Failure> {
    let source = AppSource::read_with(path, &runtimes::runtimes(runtimes))?;
    let checked = source.check()?;
    terminal::tell(&failure::problems_text(&checked.warnings, Look::of_stderr()));
    Ok((source, checked))
}

/// The cache's folder, as an absolute path: workers and messages need it whole.
fn cache_folder(args: CacheDir) -> Result<PathBuf, Failure> {
    let folder = cache::folder(args.cache_dir)?;
    Ok(std::path::absolute(&folder).unwrap_or(folder))
}

/// A runtime of one thread.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
