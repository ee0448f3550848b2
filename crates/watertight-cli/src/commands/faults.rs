//! `watertight faults`: what calls of a running node are made to suffer: seen, set and taken away.

use std::fmt::Write as _;

use serde::Serialize;
use watertight::{
    Rejection,
    admin::{AdminClient, AdminError, FoundNode},
    faults::{FaultsStatus, FaultsWanted},
};
use watertight_model::problem::Problem;

use crate::{
    args::{Faults, FaultsAction, Format},
    commands::ps::span,
    exit::Exit,
    failure::Failure,
    nodes,
    terminal::{self, Look},
};

/// A node, and what is set there.
#[derive(Serialize)]
struct Seen {
    app: String,
    pid: u32,
    socket: std::path::PathBuf,
    #[serde(flatten)]
    faults: FaultsStatus,
}

#[derive(Serialize)]
struct Nodes {
    nodes: Vec<Seen>,
}

pub(crate) fn faults(args: &Faults) -> Result<(), Failure> {
    let node = args.node.as_deref();
    let action = args.action.as_ref().unwrap_or(&FaultsAction::Show);
    let found = match action {
        FaultsAction::Show => nodes::meant(node)?,
        FaultsAction::Set(_) | FaultsAction::Clear => {
            nodes::meant_to_act(node, "say which: --node APP, or its process id")?
        }
    };
    let runtime = super::runtime()?;
    let (mut seen, mut failures) = (Vec::new(), Vec::new());
    for node in found {
        match runtime.block_on(ask(&nodes::client(&node), action)) {
            Ok((app, pid, faults)) => seen.push(Seen { app, pid, socket: node.socket, faults }),
            Err(error) => failures.push(failure(&node, error, args.format)),
        }
    }
    if args.format == Format::Text {
        let texts: String = seen.iter().map(text).collect();
        terminal::print(&texts)?;
    } else if failures.is_empty() {
        terminal::print_json(&Nodes { nodes: seen })?;
    }
    // All of them were asked; the first one's end is as good as any other's.
    failures.into_iter().next().map_or(Ok(()), Err)
}

async fn ask(client: &AdminClient, action: &FaultsAction) -> Result<(String, u32, FaultsStatus), AdminError> {
    let faults = match action {
        FaultsAction::Show => client.faults().await?,
        FaultsAction::Set(set) => {
            let for_ms = set.time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            client.set_faults(&FaultsWanted { faults: set.faults.clone(), seed: set.seed, for_ms }).await?
        }
        FaultsAction::Clear => client.clear_faults().await?,
    };
    // It did what was asked: what it is called is told as far as it is known.
    let (app, pid) = client.node().await.map(|node| (node.app, node.pid)).unwrap_or_default();
    Ok((app, pid, faults))
}

fn text(seen: &Seen) -> String {
    let Seen { app, pid, faults, .. } = seen;
    let mut text = match (faults.left_ms, faults.seed) {
        (Some(left), Some(seed)) => {
            format!("{app} (pid {pid}) injects faults for {} more, seed {seed}\n", span(left))
        }
        _ => format!("{app} (pid {pid}) injects no faults\n"),
    };
    // A `String` takes all it is given.
    for rule in &faults.faults {
        let idle = if faults.idle.contains(rule) { "  (not in this version of the app)" } else { "" };
        let _ = writeln!(text, "  {rule}{idle}");
    }
    for worker in &faults.unanswered {
        let _ = writeln!(text, "  worker {worker} did not answer: it heeds this as soon as it does anything");
    }
    text
}

/// What is told in `ps` of a node that injects faults.
pub(super) fn banner(faults: &FaultsStatus) -> String {
    let left = span(faults.left_ms.unwrap_or(0));
    format!("FAULTS ARE INJECTED for {left} more: {}", faults.faults.join("; "))
}

fn failure(node: &FoundNode, error: AdminError, format: Format) -> Failure {
    let AdminError::Refused { status, message, rejection } = error else { return error.into() };
    let exit = if status == 404 || status == 405 { Exit::NoNode } else { Exit::Usage };
    let Some(rejection) = rejection else { return Failure::new(exit, message) };
    if format == Format::Text {
        terminal::tell(&rejection.text);
    }
    let name = if node.app.is_empty() { node.socket.display().to_string() } else { node.app.clone() };
    let unchanged = format!("no faults were set on {name}; those before stay as they were");
    let message = if format == Format::Text { unchanged } else { rejection.message };
    Failure::new(exit, message).with_problems(rejection.problems)
}

/// What a node answers whose faults are wrong.
pub(super) fn reject(problems: Vec<Problem>) -> Rejection {
    let failure = Failure::of_arguments(problems);
    let error = &mut failure.to_json()["error"];
    Rejection {
        message: error["message"].as_str().unwrap_or_default().to_owned(),
        problems: error["problems"].take(),
        text: failure.to_text(Look::Plain),
        exit: failure.exit() as u8,
    }
}
