//! `watertight drill`: the app in this process under load, without faults and with them, and what became of it.

mod text;

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use watertight::{
    CompileCache,
    drill::{self, Drill, DrillError, Phase, Progress},
};
use watertight_model::{drill::Expectation, event::EventSink, fault::FaultPlan};

use crate::{
    args::{self, DrillFormat},
    events,
    exit::Exit,
    failure::Failure,
    progress::CompileProgress,
    terminal::{self, Look},
};

pub(crate) fn drill(args: &args::Drill) -> Result<u8, Failure> {
    events::show_tracing(false);
    let (_, checked) = super::checked(&args.app, &args.runtimes)?;
    let seed = args.seed.unwrap_or_else(chance);
    let plan = FaultPlan::parse(&checked.app, "--fault", &args.faults, seed);
    let expectations = Expectation::parse("--expect", &args.expect);
    let (plan, expectations) = match (plan, expectations) {
        (Ok(plan), Ok(expectations)) => (plan, expectations),
        (plan, expectations) => {
            let problems = plan.err().into_iter().chain(expectations.err()).flatten();
            return Err(Failure::of_arguments(problems.collect()));
        }
    };
    let loads = if args.loads.is_empty() { drill::default_loads(&checked.app) } else { args.loads.clone() };
    let drill = Drill { loads, plan, concurrency: args.concurrency, time: args.time, expectations };

    let progress = CompileProgress::new(&checked.app, Look::of_stderr());
    let cache = CompileCache::open(&super::cache_folder(args.cache.clone())?)?;
    let node = checked.compile(cache, &checked.all_roots(), &progress)?;
    let witness = drill::witness(node.app());
    let report = drill::runtime()?.block_on(async {
        let node = node.start(None, Arc::clone(&witness) as Arc<dyn EventSink>)?;
        let mut bar = Bar::default();
        let report = drill.run(&node, &witness, |progress| bar.show(progress)).await?;
        bar.end();
        node.shutdown().await;
        Ok::<_, Failure>(report)
    })?;
    match args.format {
        DrillFormat::Text => terminal::print(&text::lay_out(&report, Look::of_stdout()))?,
        DrillFormat::Json => terminal::print_json(&report)?,
        DrillFormat::Svg => terminal::print(&watertight_model::drill::svg(&report))?,
    }
    Ok(if report.holds() { Exit::Done } else { Exit::Unmet } as u8)
}

/// A seed that is short enough to be typed again.
fn chance() -> u64 {
    RandomState::new().hash_one(()) % 1_000_000
}

/// How far the drill is, on a terminal.
#[derive(Debug, Default)]
struct Bar(Option<(Phase, ProgressBar)>);

impl Bar {
    fn show(&mut self, progress: Progress) {
        let look = Look::of_stderr();
        if look == Look::Plain {
            return;
        }
        let Progress { phase, elapsed, total, requests, failed } = progress;
        if self.0.as_ref().is_none_or(|(shown, _)| *shown != phase) {
            self.end();
            self.0 = Some((phase, begin(phase, total, look)));
        }
        let Some((_, bar)) = &self.0 else { return };
        bar.set_position(u64::try_from(elapsed.min(total).as_millis()).unwrap_or(u64::MAX));
        bar.set_message(match phase {
            Phase::Rehearsal | Phase::Settling => String::new(),
            Phase::Baseline => format!("{requests} requests"),
            Phase::Drill => format!("{requests} requests, {failed} failed"),
        });
    }

    fn end(&mut self) {
        if let Some((_, bar)) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

fn begin(phase: Phase, total: std::time::Duration, look: Look) -> ProgressBar {
    let length = u64::try_from(total.as_millis()).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let template = match look {
        Look::Colours => "{prefix:16} {bar:32.cyan/blue} {msg}",
        Look::Plain | Look::Terminal => "{prefix:16} {bar:32} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(match phase {
        Phase::Rehearsal => "rehearsal",
        Phase::Baseline => "without faults",
        Phase::Drill => "with faults",
        Phase::Settling => "settling",
    })
}

impl From<DrillError> for Failure {
    fn from(error: DrillError) -> Self {
        let message = error.to_string();
        match error {
            DrillError::Serve(error) => error.into(),
            DrillError::Unsound { .. } => Self::new(Exit::Unmet, message)
                .help("a drill begins with an app that answers: ask for something else with --load"),
            DrillError::Held(_) => Self::new(Exit::Internal, message),
        }
    }
}
