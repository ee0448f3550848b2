//! `watertight reload`: has a node put its app in place as it is in its files now.

use serde::Serialize;
use watertight::{
    Reloaded,
    admin::{AdminError, FoundNode},
};

use crate::{
    args::{Format, Reload},
    exit::Exit,
    failure::Failure,
    nodes, terminal,
};

#[derive(Serialize)]
struct Done {
    reloaded: Vec<Reloaded>,
}

pub(crate) fn reload(args: &Reload) -> Result<(), Failure> {
    let found = nodes::meant_to_act(args.node.as_deref(), "say which: watertight reload APP, or its process id")?;
    let runtime = super::runtime()?;
    let mut done = Vec::new();
    let mut failures = Vec::new();
    for node in &found {
        match runtime.block_on(nodes::client(node).reload()) {
            Ok(reloaded) => done.push(reloaded),
            Err(error) => failures.push(failure(node, error, args.format)),
        }
    }
    if args.format == Format::Text {
        for Reloaded { app, version, generation, took_ms, warnings } in &done {
            terminal::tell(warnings);
            terminal::print(&format!("{app} {version} serves now (generation {generation}, after {took_ms} ms)\n"))?;
        }
    } else if failures.is_empty() {
        terminal::print_json(&Done { reloaded: done })?;
    }
    // All of them were asked; the first one's end is as good as any other's.
    failures.into_iter().next().map_or(Ok(()), Err)
}

fn failure(node: &FoundNode, error: AdminError, format: Format) -> Failure {
    let AdminError::Refused { message, rejection, .. } = error else { return error.into() };
    let Some(rejection) = rejection else {
        return Failure::new(Exit::NotReloaded, message);
    };
    if format == Format::Text {
        terminal::tell(&rejection.text);
    }
    let exit = Exit::of(rejection.exit).unwrap_or(Exit::Rejected);
    let unchanged = format!("{} was not reloaded; what was in place before serves on", name(node));
    let message = if format == Format::Text { unchanged } else { rejection.message };
    Failure::new(exit, message).with_problems(rejection.problems)
}

fn name(node: &FoundNode) -> String {
    if node.app.is_empty() { node.socket.display().to_string() } else { node.app.clone() }
}
