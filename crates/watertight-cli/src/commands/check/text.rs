//! A sound app as text: one screen for a small app, in the order in which a person asks.

mod supervised;

use std::{fmt::Write as _, time::Duration};

use watertight::PoolPlan;
use watertight_model::{
    app::{Lifetime, Limit, Wall},
    blast::{Fate, FunctionName, Radius, Reach},
    breaker::Trip,
    budget::Budget,
    report::{ComponentReport, EdgeReport, Report},
    supervision::Residence,
};

/// Lays the report out. Writing to a `String` does not fail: results of `write!` are dropped throughout.
pub(super) fn lay_out(report: &Report, pools: &[PoolPlan]) -> String {
    let mut out = format!("{} {} is sound.\n", report.app, report.version);
    out.push_str("\nComponents\n");
    report.components.iter().for_each(|component| lay_out_component(&mut out, component));
    if !report.edges.is_empty() {
        out.push_str("\nEdges, and what the caller sees when a call fails\n");
        report.edges.iter().for_each(|edge| lay_out_edge(&mut out, edge));
    }
    if !report.routes.is_empty() {
        out.push_str("\nRoutes\n");
        let width = report.routes.iter().map(|route| route.route.len()).max().unwrap_or(0);
        for route in &report.routes {
            let limit = route.limit.map(limit).unwrap_or_default();
            let _ = writeln!(out, "  {:width$}  {}{limit}", route.route, route.component);
            let prefix = route.route.trim_end_matches("...");
            for export in &route.exports {
                let (path, (_, line)) = (&export.path, export.signature.split_once(": ").unwrap_or_default());
                let _ = writeln!(out, "    POST {prefix}{path}: {line}");
            }
        }
    }
    if let Some(supervision) = &report.supervision {
        supervised::lay_out(&mut out, supervision, report);
    }
    out.push_str("\nBlast radius\n");
    report.blast.radii.iter().for_each(|radius| lay_out_radius(&mut out, radius));
    out.push_str("\nPools, in each worker process\n");
    pools.iter().for_each(|pool| lay_out_pool(&mut out, pool));
    out
}

fn lay_out_component(out: &mut String, component: &ComponentReport) {
    let wall = match (component.wall, component.lifetime) {
        (Wall::Fused, _) => "fused into the cells of those who use it: no isolation".to_owned(),
        (Wall::Cell, Lifetime::Call) => "a cell of its own for every call".to_owned(),
        (Wall::Cell, Lifetime::Request) => "a cell of its own for every request".to_owned(),
        (Wall::Cell, Lifetime::Resident) => match &component.residence {
            Some(Residence { instances: 2.., .. }) => "cells of its own that stay from request to request".to_owned(),
            Some(_) | None => "a cell of its own that stays from request to request".to_owned(),
        },
    };
    let _ = writeln!(out, "  {} ({})", component.name, component.source.display());
    field(out, "wall", &wall);
    if component.lifetime == Lifetime::Resident && component.wall == Wall::Cell {
        field(
            out,
            "scope",
            if component.for_the_node { "node: once, called from every worker" } else { "worker: in each worker" },
        );
    }
    if !component.fused.is_empty() {
        field(out, "inside", &component.fused.join(", "));
    }
    if component.wall == Wall::Cell {
        field(out, "grants", &reach(&component.grants));
        field(out, "budget", &budget(&component.budget));
    }
}

fn field(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "    {name:<9}{value}");
}

fn reach(reach: &Reach) -> String {
    let list = |name: &str, items: &[String]| (!items.is_empty()).then(|| format!("{name} {}", items.join(", ")));
    let parts: Vec<String> = [
        list("folders", &reach.dirs),
        list("env", &reach.env),
        list("http", &reach.http),
        list("tcp", &reach.tcp),
        list("udp", &reach.udp),
        list("dns", &reach.dns),
        reach.stdio.then(|| "stdio".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
}

fn budget(budget: &Budget) -> String {
    format!(
        "memory {}, cpu {} (slice {}), deadline {}, log {}, {} files, {} sockets, {} requests; {} at once, {} may wait",
        budget.memory,
        time(budget.cpu),
        time(budget.slice),
        time(budget.deadline),
        budget.log,
        budget.files,
        budget.sockets,
        budget.requests,
        budget.concurrency,
        budget.queue
    )
}

/// A duration as a manifest writes it.
fn time(duration: Duration) -> String {
    let (millis, micros) = (duration.as_millis(), duration.subsec_micros() % 1000);
    match (millis, micros) {
        (ms, 0) if ms >= 3_600_000 && ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        (ms, 0) if ms >= 60_000 && ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        (ms, 0) if ms >= 1000 && ms % 1000 == 0 => format!("{}s", ms / 1000),
        (ms, 0) => format!("{ms}ms"),
        _ => format!("{}us", duration.as_micros()),
    }
}

/// `; 32 at once, 64 may wait`.
fn limit(limit: Limit) -> String {
    format!("; {} at once, {} may wait", limit.concurrency, limit.queue)
}

fn lay_out_edge(out: &mut String, edge: &EdgeReport) {
    let deadline = time(edge.deadline);
    let limit = edge.limit.map(limit).unwrap_or_default();
    let _ = writeln!(out, "  {} -> {}  {}  (within {deadline}{limit})", edge.importer, edge.exporter, edge.import);
    if let Some(breaker) = edge.breaker {
        let (within, open_for) = (time(breaker.within), time(breaker.open_for));
        let trip = match breaker.trip {
            Trip::Failures(failures) => format!("{failures} failures in a row within {within}"),
            Trip::Ratio { ratio, calls } => {
                format!("{}% of at least {calls} calls within {within} failed", ratio * 100.0)
            }
        };
        let _ = writeln!(out, "    no more calls for {open_for} once {trip}");
    }
    for function in &edge.functions {
        let within = if function.deadline == edge.deadline {
            String::new()
        } else {
            format!("  (within {})", time(function.deadline))
        };
        let _ = writeln!(out, "    {}{within}\n      -> {}", function.signature, function.sees);
    }
}

fn lay_out_radius(out: &mut String, radius: &Radius) {
    let _ = writeln!(out, "  if {} fails", radius.component);
    if radius.falls.is_empty() {
        field(out, "falls", "nobody else");
    }
    for fall in &radius.falls {
        let how = match fall.functions.as_slice() {
            [] => format!("{} (shares a store with {})", fall.component, fall.with),
            some => format!("{} (by {} of {})", fall.component, functions(some), fall.with),
        };
        field(out, "falls", &how);
    }
    for told in &radius.told {
        field(out, "told", &format!("{} (by {} of {})", told.component, functions(&told.functions), told.of));
    }
    if !radius.untouched.is_empty() {
        field(out, "spared", &radius.untouched.join(", "));
    }
    for route in &radius.routes {
        let fate = match route.fate {
            Fate::Lost => "its requests fail",
            Fate::Degraded => "answered, without what failed",
            Fate::Untouched => "does not notice",
        };
        field(out, "route", &format!("{}: {fate}", route.route));
    }
    field(out, "reaches", &reach(&radius.reach));
    for through in radius.through.iter().filter(|through| !through.reach.is_empty()) {
        field(out, "", &format!("through {}: {}", through.path.join(" -> "), reach(&through.reach)));
    }
}

fn functions(functions: &[FunctionName]) -> String {
    let names: Vec<_> = functions.iter().map(|function| function.function.as_str()).collect();
    names.join(", ")
}

fn lay_out_pool(out: &mut String, pool: &PoolPlan) {
    let _ = writeln!(out, "  {pool}");
    let width = pool.shares.iter().map(|share| share.component.len()).max().unwrap_or(0);
    for share in &pool.shares {
        let _ = writeln!(out, "    {:width$}  {:>6}  {}", share.component, share.cells, share.because);
    }
}
