//! `watertight replay`: a new build of a component, called as a recording says.

use std::{fmt::Write as _, fs::File, io::BufReader};

use watertight::{
    CompileCache,
    recording::{Recording, RecordingError},
    replay::{Difference, Replay as Replaying, ReplayError, Report},
};
use watertight_observe::{Timestamp, clean};

use crate::{
    args::{Format, Replay},
    exit::Exit,
    failure::Failure,
    terminal,
};

/// Letters of a digest that people see.
const DIGEST: usize = 12;

pub(crate) fn replay(args: &Replay) -> Result<u8, Failure> {
    let file = File::open(&args.file)
        .map_err(|error| Failure::new(Exit::NotFound, format!("cannot read {}: {error}", args.file.display())))?;
    let recording = Recording::read(BufReader::new(file)).map_err(|error| unusable(error.into(), args))?;
    let cache = CompileCache::open(&super::cache_folder(args.cache.clone())?)?;
    let replaying = Replaying {
        recording: &recording,
        component: &args.component,
        of: args.of.as_deref(),
        limit: args.limit.unwrap_or(usize::MAX),
        shown: args.show,
        cache,
    };
    let report = super::runtime()?.block_on(replaying.run()).map_err(|error| unusable(error, args))?;
    match args.format {
        Format::Json => terminal::print_json(&report)?,
        Format::Text => terminal::print(&text(&report))?,
    }
    let exit = match (report.differ, report.compared) {
        (0, 0) => {
            let why = format!("nothing of the recording's {} calls could be compared", report.calls);
            return Err(Failure::new(Exit::Rejected, why));
        }
        (0, _) => Exit::Done,
        _ => Exit::Unmet,
    };
    Ok(exit as u8)
}

fn unusable(error: ReplayError, args: &Replay) -> Failure {
    let file = args.file.display();
    match error {
        ReplayError::Recording(RecordingError::Io(_)) => Failure::new(Exit::NotFound, format!("{file}: {error}")),
        ReplayError::Recording(_) | ReplayError::Empty => Failure::new(Exit::Rejected, format!("{file}: {error}")),
        ReplayError::Changed { .. } => Failure::new(Exit::Rejected, error.to_string())
            .help("record anew with an app that has the new interface: values of another type cannot be given to it"),
        ReplayError::Unreadable { .. } => Failure::new(Exit::NotFound, error.to_string()),
        ReplayError::Which { .. } => Failure::new(Exit::Usage, error.to_string()),
        ReplayError::Rejected(rejected) => rejected.into(),
        ReplayError::Node(error) => error.into(),
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let short = |digest: &String| digest.chars().take(DIGEST).collect::<String>();
    let then: Vec<_> = report.recorded_digests.iter().map(short).collect();
    let same = if report.recorded_digests == [report.digest.clone()] { ", the same build" } else { "" };
    // A `String` takes all it is given.
    let _ = writeln!(
        text,
        "{} of {}: {} then, {} now{same}",
        clean(&report.component),
        clean(&report.app),
        clean(&then.join(", ")),
        short(&report.digest)
    );
    for difference in &report.differences {
        shown(difference, &mut text);
    }
    let further = report.differ.saturating_sub(report.differences.len() as u64);
    if further > 0 {
        let _ = writeln!(text, "and {further} more");
    }
    let _ = writeln!(text, "{} calls: {} the same, {} differ", report.compared, report.same, report.differ);
    for (why, count) in &report.skipped {
        let _ = writeln!(text, "  {count} were not compared: {why}");
    }
    for called in &report.unrecorded {
        let _ = writeln!(text, "  it calls {}: record `--edge '{}->'`, too", clean(called), clean(&report.component));
    }
    for tried in &report.denied {
        let _ = writeln!(text, "  it tried to {}: nothing is granted in a replay", clean(tried));
    }
    if report.resident && report.differ > 0 {
        text.push_str(
            "  cells of it are resident: its answers may hang on calls before, and here each call has a fresh cell\n",
        );
    }
    if report.dropped > 0 {
        let _ = writeln!(text, "  {} calls are not in the recording: there was no room for them", report.dropped);
    }
    match &report.damage {
        Some(damage) => drop(writeln!(text, "  the recording is damaged {damage}; what stands before was used")),
        None if report.broken_off => text.push_str("  the recording was broken off\n"),
        None => {}
    }
    if report.compared > 0 {
        let _ = writeln!(text, "{:10}{:>10}{:>10}", "", "p50", "p99");
        let row = |name: &str, times: watertight::replay::Times| {
            format!("{name:10}{:>10}{:>10}\n", super::tap::took(times.p50_ns), super::tap::took(times.p99_ns))
        };
        text.push_str(&row("then", report.recorded));
        text.push_str(&row("now", report.now));
        let times = |now: u64, then: u64| format!("{:.2}x", now as f64 / then.max(1) as f64);
        let _ = writeln!(
            text,
            "{:10}{:>10}{:>10}",
            "",
            times(report.now.p50_ns, report.recorded.p50_ns),
            times(report.now.p99_ns, report.recorded.p99_ns)
        );
    }
    text
}

fn shown(difference: &Difference, text: &mut String) {
    let at = Timestamp(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(difference.began_ns));
    let arguments = difference.arguments.as_deref().unwrap_or("(redacted)");
    let _ = writeln!(text, "{at:#}  {}{}", clean(&difference.function), clean(arguments));
    let _ = writeln!(text, "  then  {}", clean(&difference.recorded));
    let _ = writeln!(text, "  now   {}", clean(&difference.now));
}
