//! `watertight ps`: the nodes that run, and how their components are.

use std::fmt::Write as _;

use serde::Serialize;
use watertight::{
    admin::{AdminError, FoundNode},
    status::{ComponentStatus, ComponentsStatus, NodeStatus, WorkerState, WorkerStatus},
};
use watertight_model::budget::ByteSize;

use crate::{
    args::{Format, Ps},
    commands::{faults::banner, table::table},
    exit::Exit,
    failure::Failure,
    nodes, terminal,
};

/// A node, as far as it answers.
#[derive(Serialize)]
struct Seen {
    socket: std::path::PathBuf,
    #[serde(flatten)]
    node: NodeStatus,
    #[serde(flatten)]
    components: ComponentsStatus,
}

#[derive(Serialize)]
struct Nodes {
    nodes: Vec<Seen>,
}

pub(crate) fn ps(args: &Ps) -> Result<(), Failure> {
    let found = nodes::meant(args.node.as_deref())?;
    let mut seen = Vec::new();
    let mut silent = Vec::new();
    for (node, answer) in super::runtime()?.block_on(look_at(found)) {
        match answer {
            Ok(answer) => seen.push(answer),
            Err(error) => silent.push(format!("{}: {error}", node.socket.display())),
        }
    }
    if seen.is_empty() {
        return Err(Failure::new(Exit::NoNode, silent.join("; ")));
    }
    for silent in silent {
        terminal::tell(&format!("warning: {silent}\n"));
    }
    match args.format {
        Format::Json => terminal::print_json(&Nodes { nodes: seen }),
        Format::Text => {
            let texts: Vec<_> = seen.iter().map(text).collect();
            terminal::print(&texts.join("\n"))
        }
    }
}

/// All of them at once: one that does not answer keeps nobody waiting for the others.
async fn look_at(found: Vec<FoundNode>) -> Vec<(FoundNode, Result<Seen, AdminError>)> {
    let mut looks = tokio::task::JoinSet::new();
    for (index, node) in found.iter().enumerate() {
        let (client, socket) = (nodes::client(node), node.socket.clone());
        looks.spawn(async move {
            let seen =
                async { Ok(Seen { socket, node: client.node().await?, components: client.components().await? }) };
            (index, seen.await)
        });
    }
    let mut answers = looks.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    found.into_iter().zip(answers.into_iter().map(|(_, answer)| answer)).collect()
}

fn text(seen: &Seen) -> String {
    let Seen { node, components, .. } = seen;
    let mut text = String::new();
    // A `String` takes all it is given.
    let _ =
        writeln!(text, "{} {}  pid {}  up {}  {}", node.app, node.version, node.pid, span(node.uptime_ms), node.url);
    if let Some(faults) = &node.faults {
        let _ = writeln!(text, "  {}", banner(faults));
    }
    table(&mut text, &["WORKER", "PID", "STATE", "FOR", "RESTARTS", "MEMORY"], node.workers.iter().map(worker));
    let rows = components.components.iter().filter(|component| component.wall != "fused");
    let head = ["COMPONENT", "LIFETIME", "STATE", "CELLS", "RESTARTS", "CALLS", "FAILED", "EJECTED", "USE"];
    table(&mut text, &head, rows.clone().map(component));
    for component in rows {
        if let Some(reason) = &component.reason {
            let _ = writeln!(text, "  {} is {}: {reason}", component.name, component.state);
        }
        for edge in component.edges.iter().filter(|edge| edge.open > 0) {
            let _ =
                writeln!(text, "  {} calls {} no more: the breaker is open ({})", component.name, edge.to, edge.import);
        }
        if component.demoted > 0 {
            let _ = writeln!(text, "  {} went on at lower priority {} times", component.name, component.demoted);
        }
        for (kind, count) in &component.failures {
            let _ = writeln!(text, "  {} failed {count} times: {kind}", component.name);
        }
    }
    for worker in &components.unanswered {
        let _ = writeln!(text, "  worker {worker} did not answer: its part is missing");
    }
    text
}

fn worker(worker: &WorkerStatus) -> Vec<String> {
    let state = match (worker.state, worker.answers) {
        (WorkerState::Serving, false) => "silent",
        (WorkerState::Serving, true) => "serving",
        (WorkerState::Starting, _) => "starting",
        (WorkerState::Resting, _) => "resting",
        (WorkerState::Draining, _) => "draining",
        (WorkerState::Gone, _) => "gone",
    };
    vec![
        worker.worker.to_string(),
        worker.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        state.to_owned(),
        span(worker.state_ms),
        worker.restarts.to_string(),
        worker.rss_bytes.map_or_else(|| "-".to_owned(), size),
    ]
}

fn component(component: &ComponentStatus) -> Vec<String> {
    let usage = component.usage.iter().filter(|usage| usage.used > 0).map(|usage| {
        let amount = |amount: u64| if usage.bytes { size(amount) } else { amount.to_string() };
        format!("{} {}/{}", usage.budget, amount(usage.most), amount(usage.limit))
    });
    let usage: Vec<_> = usage.collect();
    vec![
        component.name.clone(),
        if component.scope == "node" { format!("{}, once", component.lifetime) } else { component.lifetime.clone() },
        component.state.clone(),
        component.cells.to_string(),
        component.restarts.to_string(),
        component.calls.to_string(),
        component.failed().to_string(),
        component.ejected.to_string(),
        if usage.is_empty() { "-".to_owned() } else { usage.join("  ") },
    ]
}

/// A time, in its two largest units.
pub(super) fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A size, rounded to whole units of at most four digits.
fn size(bytes: u64) -> String {
    let step = (0..4).find(|step| bytes >> (10 * step) < 10_000).unwrap_or(4);
    ByteSize((bytes >> (10 * step)) << (10 * step)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_short() {
        for (millis, text) in
            [(5, "5ms"), (59_999, "59s"), (61_000, "1m01s"), (7_260_000, "2h01m"), (90_000_000, "1d01h")]
        {
            assert_eq!(span(millis), text);
        }
        for (bytes, text) in
            [(0, "0B"), (512, "512B"), (70_123, "68KiB"), (123 << 20, "123MiB"), (12_345 << 20, "12GiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
