//! `watertight check`: every problem of an app, or what would run.
//!
//! It goes as far as a start does, so that an app that passes starts: it compiles, plans the pools and links every component.

mod text;

use std::sync::Arc;

use watertight::{AppSource, CheckedApp, CompileCache, PoolPlan};
use watertight_model::{
    event::NoSink,
    picture,
    problem::Problem,
    report::{self, Report},
};

use crate::{
    args::{CacheDir, Check, CheckFormat},
    failure::{self, Failure},
    progress::CompileProgress,
    runtimes,
    terminal::{self, Look},
};

pub(crate) fn check(args: Check) -> Result<(), Failure> {
    let source = AppSource::read_with(&args.app, &runtimes::runtimes(&args.runtimes))?;
    let looked_at = source
        .check()
        .map_err(Failure::from)
        .and_then(|checked| Ok((start(&checked, args.cache)?, Report::of(&checked.app), checked)));
    match looked_at {
        Ok((pools, report, checked)) => {
            let mut problems = checked.warnings.clone();
            problems.extend(report::warnings(&checked.app));
            show(args.format, &checked, &problems, &report, &pools)
        }
        Err(failure) => {
            if args.format == CheckFormat::Json {
                terminal::print_json(&Answer::failed(&failure))?;
            }
            Err(failure)
        }
    }
}

/// Does all that a start does, and takes it back.
fn start(checked: &CheckedApp, cache: CacheDir) -> Result<Vec<PoolPlan>, Failure> {
    let progress = CompileProgress::new(&checked.app, Look::of_stderr());
    let cache = CompileCache::open(&super::cache_folder(cache)?)?;
    let node = checked.compile(cache, &checked.all_roots(), &progress)?.start(None, Arc::new(NoSink))?;
    Ok(node.pools().to_vec())
}

fn show(
    format: CheckFormat,
    checked: &CheckedApp,
    problems: &[Problem],
    report: &Report,
    pools: &[PoolPlan],
) -> Result<(), Failure> {
    if format != CheckFormat::Json {
        terminal::tell(&failure::problems_text(problems, Look::of_stderr()));
    }
    match format {
        CheckFormat::Text => terminal::print(&text::lay_out(report, pools)),
        CheckFormat::Json => {
            terminal::print_json(&Answer { ok: true, problems, messages: &[], report: Some(report), pools })
        }
        CheckFormat::Dot => terminal::print(&picture::dot(&checked.app)),
        CheckFormat::Svg => terminal::print(&picture::svg(&checked.app)),
    }
}

/// What a machine is told.
#[derive(serde::Serialize)]
struct Answer<'a> {
    ok: bool,
    /// Problems of the manifest and of how components fit together.
    problems: &'a [Problem],
    /// What else keeps the app from starting.
    messages: &'a [String],
    report: Option<&'a Report>,
    pools: &'a [PoolPlan],
}

impl<'a> Answer<'a> {
    fn failed(failure: &'a Failure) -> Self {
        Self { ok: false, problems: failure.problems(), messages: failure.messages(), report: None, pools: &[] }
    }
}
