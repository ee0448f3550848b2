//! A drill as a picture for a slide: how much was served, and how much slower, load by load.

use std::{fmt::Write, time::Duration};

use super::{Part, Report, Route, Tally, percent, short_time};
use crate::picture::{cut, escaped, text_width};

/// Loads that are drawn; the rest is counted.
const MAX_ROWS: usize = 10;
/// Characters of a load.
const LOAD_MAX: usize = 30;
/// Characters of a line of text.
const LINE_MAX: usize = 120;

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 40.0;
/// Above the rows.
const HEAD: f64 = 150.0;
const ROW: f64 = 74.0;
/// Where the bars begin, and how long they are.
const BAR: (f64, f64) = (300.0, 330.0);
/// Where the latencies begin, and how much room they have.
const TIMES: (f64, f64) = (676.0, 244.0);
const LINE: f64 = 22.0;

const STYLE: &str = "
  svg { --page: #ffffff; --line: #c4cbd6; --text: #14213a; --soft: #5c6880; --calm: #1f6feb; --amber: #e8a317; --danger: #d1242f;
        --pill: #eef2f8; --good: #1a7f37;
        font-family: Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1420; --line: #3a4861; --text: #e8edf6; --soft: #98a6bf; --calm: #6cb0ff; --amber: #f2c14e; --danger: #ff7b72;
          --pill: #22304a; --good: #56d364; }
  }
  .page { fill: var(--page); }
  .title { font-size: 26px; font-weight: 700; fill: var(--text); }
  .big { font-size: 26px; font-weight: 700; }
  .name { font-size: 16px; font-weight: 650; fill: var(--text); }
  .text { font-size: 14px; fill: var(--text); }
  .small { font-size: 12.5px; fill: var(--soft); }
  .pill { fill: var(--pill); }
  .served { fill: var(--calm); } .degraded { fill: var(--amber); } .failed { fill: var(--danger); }
  .good { fill: var(--good); } .bad { fill: var(--danger); }
  .rule { stroke: var(--line); stroke-width: 1; }
  .span { stroke: var(--line); stroke-width: 4; stroke-linecap: round; }
  .before { fill: var(--page); stroke: var(--soft); stroke-width: 2; }
  .after { fill: var(--text); }
";

/// The drill as SVG, for light and dark pages.
#[must_use]
pub fn svg(report: &Report) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ok = Picture { report, scale: Scale::of(report) }.write(&mut text);
    text
}

struct Picture<'a> {
    report: &'a Report,
    scale: Scale,
}

/// From a time to a place: logarithmic, from the shortest to the longest time that is drawn.
#[derive(Clone, Copy)]
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn of(report: &Report) -> Self {
        let tallies = report.routes.iter().take(MAX_ROWS).flat_map(|route| [&route.baseline, &route.drill]);
        let times = tallies.flat_map(|tally| [tally.latency.p50, tally.latency.p99]).map(seconds);
        let (least, most) = times.fold((f64::INFINITY, 0.0), |(least, most), time| (time.min(least), time.max(most)));
        if least < most { Self { least, most } } else { Self { least: most / 2.0 + 1e-6, most: most + 1e-3 } }
    }

    fn place(self, time: Duration) -> f64 {
        let part = (seconds(time) / self.least).ln() / (self.most / self.least).ln();
        // The dots have a width, and stay inside.
        TIMES.0 + 6.0 + part.clamp(0.0, 1.0) * (TIMES.1 - 12.0)
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64().max(1e-6)
}

impl Picture<'_> {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Report { app, routes, expectations, .. } = self.report;
        let rows = routes.len().min(MAX_ROWS) as f64;
        let more = if routes.len() > MAX_ROWS { LINE } else { 0.0 };
        let foot = self.foot();
        let lines = foot.len().max(expectations.len()) as f64;
        let height = HEAD + rows * ROW + more + 36.0 + lines * LINE + MARGIN;
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\">"
        )?;
        writeln!(out, "<title>{}</title>\n<style>{STYLE}</style>", escaped(&format!("{app} under drill")))?;
        writeln!(out, "<rect class=\"page\" width=\"100%\" height=\"100%\"/>")?;
        self.head(out)?;
        let mut y = HEAD;
        for route in routes.iter().take(MAX_ROWS) {
            self.row(out, route, y)?;
            y += ROW;
        }
        if more > 0.0 {
            text(out, "small", MARGIN, y + 14.0, &format!("and {} more loads", routes.len() - MAX_ROWS))?;
            y += more;
        }
        writeln!(out, "<path class=\"rule\" d=\"M{MARGIN} {:.1} H{:.1}\"/>", y + 4.0, WIDTH - MARGIN)?;
        y += 32.0;
        for (index, line) in foot.iter().enumerate() {
            text(out, "text", MARGIN, y + index as f64 * LINE, &cut(line, 64))?;
        }
        for (index, verdict) in expectations.iter().enumerate() {
            let (class, mark) = if verdict.holds { ("text good", "✓") } else { ("text bad", "✗") };
            let at = y + index as f64 * LINE;
            text(out, class, TIMES.0 - 120.0, at, mark)?;
            let said = format!("{}   ({})", verdict.expectation, verdict.found);
            text(out, "text", TIMES.0 - 100.0, at, &cut(&said, 48))?;
        }
        writeln!(out, "</svg>")
    }

    fn head(&self, out: &mut String) -> std::fmt::Result {
        let report = self.report;
        text(out, "title", MARGIN, MARGIN + 20.0, &cut(&format!("{} under drill", report.app), 48))?;
        let took = report.routes.first().map_or(Duration::ZERO, |route| route.drill.took);
        let how = format!(
            "{} {} · {} at once for {} · seed {}",
            report.app,
            report.version,
            report.concurrency,
            short_time(took),
            report.seed
        );
        text(out, "small", MARGIN, MARGIN + 42.0, &cut(&how, LINE_MAX))?;
        let faults = cut(&report.faults.join("; "), 100);
        let wide = text_width(&faults, 12.5) + 20.0;
        let y = MARGIN + 54.0;
        writeln!(
            out,
            "<rect class=\"pill\" x=\"{MARGIN}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"24\" rx=\"12\"/>",
            wide.min(WIDTH - 2.0 * MARGIN)
        )?;
        text(out, "small", MARGIN + 10.0, y + 16.5, &faults)?;
        let whole = sum(&report.routes, |tally| tally.requests);
        let answered = sum(&report.routes, |tally| tally.served + tally.degraded);
        let class = if answered == whole { "big good" } else { "big bad" };
        end(out, class, WIDTH - MARGIN, MARGIN + 20.0, &percent(answered, whole))?;
        end(out, "small", WIDTH - MARGIN, MARGIN + 42.0, &format!("answered, of {} requests", grouped(whole)))?;
        let mut x = BAR.0;
        for (class, what) in [("served", "served"), ("degraded", "degraded"), ("failed", "failed")] {
            writeln!(
                out,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" rx=\"3\"/>",
                HEAD - 24.0
            )?;
            text(out, "small", x + 18.0, HEAD - 13.5, what)?;
            x += 96.0;
        }
        text(out, "small", TIMES.0, HEAD - 13.5, "latency: without faults ○, with them ●")
    }

    fn row(&self, out: &mut String, route: &Route, y: f64) -> std::fmt::Result {
        let tally = &route.drill;
        text(out, "name", MARGIN, y + 22.0, &cut(&route.load, LOAD_MAX))?;
        let rate = format!("{} requests, {} a second", grouped(tally.requests), grouped(tally.rate()));
        text(out, "small", MARGIN, y + 42.0, &rate)?;
        self.bar(out, tally, y + 8.0)?;
        let mut parts = vec![format!("{} served", percent(tally.served, tally.requests))];
        for (count, what) in [(tally.degraded, "degraded"), (tally.failed, "failed")] {
            if count > 0 {
                parts.push(format!("{} {what}", percent(count, tally.requests)));
            }
        }
        text(out, "small", BAR.0, y + 46.0, &parts.join(" · "))?;
        let (before, after) = (route.baseline.latency, tally.latency);
        for (name, before, after, y) in
            [("p50", before.p50, after.p50, y + 10.0), ("p99", before.p99, after.p99, y + 40.0)]
        {
            let (from, to) = (self.scale.place(before), self.scale.place(after));
            writeln!(out, "<path class=\"span\" d=\"M{from:.1} {y:.1} H{to:.1}\"/>")?;
            writeln!(out, "<circle class=\"before\" cx=\"{from:.1}\" cy=\"{y:.1}\" r=\"5\"/>")?;
            writeln!(out, "<circle class=\"after\" cx=\"{to:.1}\" cy=\"{y:.1}\" r=\"5\"/>")?;
            let said = format!("{name} {} → {}", short_time(before), short_time(after));
            text(out, "small", TIMES.0, y + 18.0, &said)?;
        }
        Ok(())
    }

    /// Served, degraded and failed, side by side; what there is can be seen.
    fn bar(&self, out: &mut String, tally: &Tally, y: f64) -> std::fmt::Result {
        const LEAST: f64 = 3.0;
        let (mut x, whole) = (BAR.0, tally.requests.max(1) as f64);
        let parts = [("served", tally.served), ("degraded", tally.degraded), ("failed", tally.failed)];
        let small = parts.iter().filter(|(_, count)| *count > 0).count() as f64 * LEAST;
        for (class, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
            let wide = LEAST + count as f64 / whole * (BAR.1 - small);
            writeln!(
                out,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"20\" rx=\"2\"/>",
                (wide - 1.0).max(1.0)
            )?;
            x += wide;
        }
        Ok(())
    }

    /// What happened to components, in lines.
    fn foot(&self) -> Vec<String> {
        let report = self.report;
        let touched =
            |part: &&Part| part.injected.values().any(|count| *count > 0) || part.ejected > 0 || part.restarts > 0;
        let mut lines: Vec<String> = report.components.iter().filter(touched).take(MAX_ROWS).map(line).collect();
        lines.push(match report.leaks() {
            0 => "nothing leaked".to_owned(),
            _ => {
                let leaked = report.held.iter().filter(|held| held.leaked());
                let leaked = leaked.map(|held| format!("{} {} → {}", held.what, held.before, held.after));
                format!("leaked: {}", leaked.collect::<Vec<_>>().join(", "))
            }
        });
        lines
    }
}

/// A component in a line.
fn line(part: &Part) -> String {
    let injected: u64 = part.injected.values().sum();
    let mut said = format!("{}: {} calls, {} faults", part.name, grouped(part.calls), grouped(injected));
    for (count, what) in
        [(part.ejected, "cells ejected"), (part.restarts, "restarts"), (part.breakers_opened, "breakers opened")]
    {
        if count > 0 {
            let _ok = write!(said, ", {} {what}", grouped(count));
        }
    }
    said
}

fn sum(routes: &[Route], of: fn(&Tally) -> u64) -> u64 {
    routes.iter().map(|route| of(&route.drill)).sum()
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn text(out: &mut String, class: &str, x: f64, y: f64, text: &str) -> std::fmt::Result {
    writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text))
}

fn end(out: &mut String, class: &str, x: f64, y: f64, text: &str) -> std::fmt::Result {
    writeln!(out, "<text class=\"{class}\" text-anchor=\"end\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text))
}
