//! Postmortems as text for people: what failed, why and where, what led there, and what to do next, in this order.
//!
//! Names, values and log lines are a guest's: none gets to the terminal uncleaned.

use std::{fmt::Write as _, time::Duration};

use watertight::postmortem::Kept;
use watertight_model::{
    budget::ByteSize,
    postmortem::{Core, Crossing, Limit, Report, SCHEMA, StackFrame, Unit},
};
use watertight_observe::clean;

use super::Listed;

/// Frames of a stack that are shown; all are in the folder.
const MAX_FRAMES: usize = 20;

/// Characters of a reason in the list.
const MAX_REASON: usize = 100;

/// A line for each.
pub(super) fn list(listed: &[Listed]) -> String {
    let mut text = String::new();
    for one in listed {
        let id = clean(&one.id);
        // Writing to a `String` does not fail.
        let _ = match &one.summary {
            None => writeln!(text, "{id}  cannot be read"),
            Some(summary) => {
                let at = summary.at.as_ref().map_or_else(String::new, |at| format!(" at {}", clean(at)));
                let reason: String = clean(&summary.detail).chars().take(MAX_REASON).collect();
                writeln!(text, "{id}  {}{at}: {reason}", clean(&summary.failure))
            }
        };
    }
    text
}

/// All of one.
pub(super) fn show(report: &Report, kept: &Kept) -> String {
    let mut page = Page(String::new());
    page.head(report, kept);
    page.led_there(report);
    page.stack(&report.stack, report.no_stack.as_deref());
    page.limits(&report.limits);
    page.log(&report.log);
    page.foot(report, kept);
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.line(format!("\n{title}"));
    }

    fn head(&mut self, report: &Report, kept: &Kept) {
        let failure = &report.failure;
        let (name, app) = (clean(&report.component.name), clean(&report.app.name));
        self.line(format!("{name} of {app} failed: {}", clean(&failure.kind)));
        self.line(format!("  why     {}", clean(&failure.detail)));
        if let Some(fault) = &failure.injected {
            self.line(format!("  fault   {}, injected on purpose", clean(fault)));
        }
        if let Some(at) = report.at() {
            self.line(format!("  where   {}", clean(&at.to_string())));
        }
        if let Some(next) = &failure.next {
            self.line(format!("  next    {}", clean(next)));
        }
        let retry = if failure.retry { "; a retry in a fresh cell may succeed" } else { "" };
        self.line(format!("  blame   {}{retry}", clean(&failure.blame)));
        self.line(format!("  when    {}, process {}", clean(&report.time), report.pid));
        if report.path.len() > 1 {
            let path: Vec<_> = report.path.iter().map(|name| clean(name)).collect();
            self.line(format!("  path    {}", path.join(" -> ")));
        }
        self.line(format!("  folder  {}", clean(&kept.folder.to_string_lossy())));
        if report.schema > SCHEMA {
            self.line("  note    a newer watertight has written this: there may be more than is shown here");
        }
    }

    fn led_there(&mut self, report: &Report) {
        if report.crossings.is_empty() {
            return;
        }
        self.section("what led there");
        if report.crossings_before > 0 {
            self.line(format!("  … {} calls before", report.crossings_before));
        }
        for crossing in &report.crossings {
            self.crossing(crossing);
        }
    }

    fn crossing(&mut self, crossing: &Crossing) {
        let indent = "  ".repeat(1 + usize::try_from(crossing.depth.min(20)).unwrap_or(0));
        let mark = match crossing.outcome.as_str() {
            "running" => ">",
            "ok" => " ",
            _ => "x",
        };
        let arguments = match &crossing.arguments {
            Some(arguments) => clean(arguments).into_owned(),
            None => "(left out: redact)".to_owned(),
        };
        let took = took(Duration::from_nanos(crossing.duration_ns));
        let ended = match (crossing.outcome.as_str(), &crossing.failure) {
            ("running", _) => format!("running for {took}"),
            ("ok", _) => took,
            (outcome, None) => format!("{} after {took}", clean(outcome)),
            (_, Some(failure)) => format!("failed after {took}: {}", clean(failure)),
        };
        let (from, to, function) = (clean(&crossing.from), clean(&crossing.to), clean(&crossing.function));
        self.line(format!("{mark}{indent}{from} -> {to} {function}{arguments}  {ended}"));
    }

    fn stack(&mut self, stack: &[StackFrame], none: Option<&str>) {
        self.section("stack");
        if let Some(none) = none {
            self.line(format!("  {}", clean(none)));
        }
        for (number, frame) in stack.iter().enumerate().take(MAX_FRAMES) {
            let index = format!("function {}", frame.index);
            let name = frame.function.as_deref().unwrap_or(&index);
            if frame.lines.is_empty() {
                let module = frame.module.as_ref().map_or_else(String::new, |module| format!("{}!", clean(module)));
                let offset = frame.offset.map_or_else(String::new, |offset| format!("  +{offset:#x}"));
                self.line(format!("  {number:>2} {module}{}{offset}", clean(name)));
            }
            for (depth, line) in frame.lines.iter().enumerate() {
                let name = line.function.as_deref().unwrap_or(if depth == 0 { name } else { "inlined" });
                let number = if depth == 0 { number.to_string() } else { String::new() };
                self.line(format!("  {number:>2} {}  {}", clean(name), clean(&line.to_string())));
            }
        }
        if stack.len() > MAX_FRAMES {
            self.line(format!("  … {} more", stack.len() - MAX_FRAMES));
        }
    }

    fn limits(&mut self, limits: &[Limit]) {
        self.section("limits");
        for limit in limits {
            let spent = if limit.used >= limit.limit { "  spent" } else { "" };
            let (used, most) = (amount(limit.used, limit.unit), amount(limit.limit, limit.unit));
            self.line(format!("  {:<12} {used:>10} of {most}{spent}", clean(&limit.name)));
        }
    }

    fn log(&mut self, log: &[String]) {
        if !log.is_empty() {
            self.section("its last lines");
            log.iter().for_each(|line| self.line(format!("  | {}", clean(line))));
        }
    }

    fn foot(&mut self, report: &Report, kept: &Kept) {
        self.section("component");
        let component = &report.component;
        self.line(format!("  file    {}", clean(&component.source)));
        self.line(format!("  blake3  {}", clean(&component.blake3)));
        for fused in &component.fused {
            self.line(format!("  fused   {} {}", clean(&fused.name), clean(&fused.blake3)));
        }
        self.line(format!("  by      watertight {}, wasmtime {}", clean(&report.watertight), clean(&report.wasmtime)));
        match &report.core {
            Core::Kept { bytes, .. } => {
                let file = kept.core();
                let file = clean(&file.to_string_lossy()).into_owned();
                self.line(format!("  memory  {file} ({})", amount(*bytes, Unit::Bytes)));
                self.line(format!("          look at it: wasm-tools objdump {file}; wasm-tools print {file}"));
            }
            Core::LeftOut { why } => self.line(format!("  memory  not kept: {}", clean(why))),
        }
    }
}

fn amount(number: u64, unit: Unit) -> String {
    match unit {
        Unit::Count => number.to_string(),
        Unit::Micros => took(Duration::from_micros(number)),
        Unit::Bytes if number >= 10 << 20 || number.is_multiple_of(1 << 20) => {
            ByteSize((number >> 20) << 20).to_string()
        }
        Unit::Bytes if number >= 10 << 10 || number.is_multiple_of(1 << 10) => {
            ByteSize((number >> 10) << 10).to_string()
        }
        Unit::Bytes => ByteSize(number).to_string(),
    }
}

fn took(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        0.0..1e3 => format!("{micros:.0} µs"),
        1e3..1e4 => format!("{:.1} ms", micros / 1e3),
        1e4..1e6 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.1} s", micros / 1e6),
    }
}
