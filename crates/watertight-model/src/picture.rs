//! The app as a picture: an SVG that a person would put on a slide, and Graphviz text for whoever lays it out otherwise.
//!
//! Routes stand on the left and calls run to the right. A line that is dashed is an edge over which a failure takes the caller down too;
//! over a solid one it arrives as an error. The layout is our own, so that the same app always gives the same picture, without another
//! program. Everything a manifest or a component wrote is escaped.

mod dot;
mod layout;
mod svg;

use std::{collections::BTreeMap, time::Duration};

pub(crate) use self::svg::{escaped, text_width};
pub use self::{dot::dot, svg::svg};
use crate::{
    app::{App, Component, ComponentId, OnFailure},
    report::sees,
    version::ExternName,
};

/// What crosses from one component to another, all edges between the two taken together.
struct Line {
    importer: ComponentId,
    exporter: ComponentId,
    /// The interfaces, without versions.
    interfaces: Vec<String>,
    /// Whether a function on it has no error to return.
    traps: bool,
    /// The signatures, for whoever points at the line.
    detail: String,
}

/// The lines of an app, in the order of its edges.
fn lines(app: &App) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut known: BTreeMap<(ComponentId, ComponentId), usize> = BTreeMap::new();
    for (edge, callee) in app.edges.iter().flat_map(|edge| edge.callees().into_iter().map(move |callee| (edge, callee)))
    {
        let index = *known.entry((edge.importer, callee)).or_insert_with(|| {
            let (importer, exporter) = (edge.importer, callee);
            lines.push(Line { importer, exporter, interfaces: Vec::new(), traps: false, detail: String::new() });
            lines.len() - 1
        });
        let line = &mut lines[index];
        line.interfaces.push(ExternName::parse(&edge.import).base.to_owned());
        line.detail.push_str(&edge.import);
        if callee != edge.exporter {
            line.detail.push_str(&format!(", instead of {}", app.component(edge.exporter).name));
        }
        for function in &edge.functions {
            let stands_in = function.fallback.as_ref().is_some_and(|fallback| fallback.component == callee);
            if callee == edge.exporter || stands_in {
                line.traps |= function.on_failure == OnFailure::Trap && (stands_in || function.fallback.is_none());
                line.detail.push_str(&format!("\n  {} (of a failure: {})", function.signature, sees(app, function)));
            }
        }
        line.detail.push('\n');
    }
    lines
}

/// A line's label: its interface, and how many more there are.
fn label(line: &Line) -> String {
    match line.interfaces.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first, others @ ..] => format!("{first} +{}", others.len()),
    }
}

/// The grants of a component as short texts: kind and, where there is one, what.
fn badges(component: &Component) -> Vec<String> {
    let grants = &component.grants;
    let mut badges = Vec::new();
    badges.extend(grants.http.iter().map(ToString::to_string));
    badges.extend(grants.tcp.iter().map(|address| format!("tcp {address}")));
    badges.extend(grants.udp.iter().map(|address| format!("udp {address}")));
    badges.extend(grants.dns.iter().map(|name| format!("dns {name}")));
    badges.extend(grants.dirs.iter().map(|dir| format!("{} {}", dir.guest, dir.mode)));
    if !grants.env.is_empty() {
        badges.push(format!("env {}", grants.env.len()));
    }
    if !grants.args.is_empty() {
        badges.push(format!("args {}", grants.args.len()));
    }
    if grants.stdio {
        badges.push("stdio".to_owned());
    }
    badges
}

/// `2s`, `1.5s`, `300ms`.
fn short(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis >= 60_000 && millis % 60_000 == 0 => format!("{}m", millis / 60_000),
        millis if millis >= 1000 => format!("{}s", duration.as_secs_f64()),
        millis => format!("{millis}ms"),
    }
}

/// What a component may spend, in one line.
fn spending(component: &Component) -> String {
    let budget = &component.budget;
    format!(
        "{} · {} cpu · {} · {} at once",
        budget.memory,
        short(budget.cpu),
        short(budget.deadline),
        budget.concurrency
    )
}

/// A text cut to a number of characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}
