//! What a drill found, as text: one screen for a small app, what was expected last.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
};

use watertight_model::drill::{Part, Report, Route, percent, short_time};

use crate::{commands::table::table, terminal::Look};

/// Lays the report out. Writing to a `String` does not fail: results of `write!` are dropped throughout.
pub(super) fn lay_out(report: &Report, look: Look) -> String {
    let Report { app, version, concurrency, seed, .. } = report;
    let took = |of: fn(&Route) -> std::time::Duration| {
        report.routes.first().map_or_else(String::new, |route| short_time(of(route)))
    };
    let (without, with) = (took(|route| route.baseline.took), took(|route| route.drill.took));
    let mut out = format!(
        "{app} {version} under drill: {without} without faults, {with} with them, {concurrency} requests at once\n"
    );
    for (index, faults) in report.faults.iter().enumerate() {
        let _ = writeln!(out, "  {:<7} {faults}", if index == 0 { "faults" } else { "" });
    }
    let _ = writeln!(out, "  {:<7} {seed}\n", "seed");
    let head = ["LOAD", "REQUESTS", "SERVED", "DEGRADED", "FAILED", "P50", "P90", "P99"];
    table(&mut out, &head, report.routes.iter().map(route));
    out.push('\n');
    let head = ["COMPONENT", "CALLS", "INJECTED", "SO FAILED", "FAILED BESIDES", "EJECTED", "RESTARTS", "BREAKERS"];
    table(&mut out, &head, report.components.iter().map(part));
    out.push('\n');
    let held: Vec<_> =
        report.held.iter().map(|held| format!("{} {} → {}", held.what, held.before, held.after)).collect();
    let _ = writeln!(out, "  held    {}", held.join(", "));
    let leaked: Vec<_> = report.held.iter().filter(|held| held.leaked()).map(|held| held.what).collect();
    let verdict = if leaked.is_empty() { "nothing".to_owned() } else { leaked.join(", ") };
    let _ = writeln!(out, "  leaked  {verdict}");
    if !report.expectations.is_empty() {
        out.push('\n');
    }
    let width = report.expectations.iter().map(|verdict| verdict.expectation.len()).max().unwrap_or(0);
    for verdict in &report.expectations {
        let (mark, colour) = if verdict.holds { ("holds", "32") } else { ("FAILS", "31") };
        let mark = match look {
            Look::Colours => format!("\x1b[{colour}m{mark}\x1b[0m"),
            Look::Plain | Look::Terminal => mark.to_owned(),
        };
        let load =
            verdict.load.as_ref().filter(|_| !verdict.holds).map_or_else(String::new, |load| format!(" ({load})"));
        let _ = writeln!(out, "  {mark}  {:<width$}  {}{load}", verdict.expectation, verdict.found);
    }
    out
}

fn route(route: &Route) -> Vec<String> {
    let (before, now) = (&route.baseline, &route.drill);
    let share = |count| percent(count, now.requests);
    let times = |from, to| format!("{} → {}", short_time(from), short_time(to));
    vec![
        route.load.clone(),
        now.requests.to_string(),
        share(now.served),
        share(now.degraded),
        share(now.failed),
        times(before.latency.p50, now.latency.p50),
        times(before.latency.p90, now.latency.p90),
        times(before.latency.p99, now.latency.p99),
    ]
}

fn part(part: &Part) -> Vec<String> {
    vec![
        part.name.clone(),
        part.calls.to_string(),
        counts(&part.injected),
        counts(&part.struck),
        counts(&part.failed),
        part.ejected.to_string(),
        part.restarts.to_string(),
        part.breakers_opened.to_string(),
    ]
}

/// `12 trap, 3 oom`.
fn counts(counts: &BTreeMap<impl Display, u64>) -> String {
    let counts: Vec<_> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    if counts.is_empty() { "-".to_owned() } else { counts.join(", ") }
}
