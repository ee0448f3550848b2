//! `watertight eject` and `watertight restart`: what an operator does to the cells of a running node.

use serde::Serialize;
use watertight::{
    admin::{AdminClient, AdminError},
    operate::{EjectWanted, Operated},
};

use crate::{
    args::{At, Eject, Format, Restart},
    exit::Exit,
    failure::Failure,
    nodes, terminal,
};

#[derive(Serialize)]
struct Done {
    ejected: Vec<Operated>,
}

#[derive(Serialize)]
struct Renewed {
    restarted: Vec<Operated>,
}

pub(crate) fn eject(args: &Eject) -> Result<(), Failure> {
    let wanted = EjectWanted { cell: args.cell.clone() };
    let done = each(&args.at, async |client: &AdminClient| client.eject(&args.component, &wanted).await)?;
    match args.at.format {
        Format::Json => terminal::print_json(&Done { ejected: done }),
        Format::Text => {
            done.iter().try_for_each(|done| terminal::print(&text(done, "thrown out", "nothing to throw out")))
        }
    }
}

pub(crate) fn restart(args: &Restart) -> Result<(), Failure> {
    let done = each(&args.at, async |client: &AdminClient| client.restart(&args.component).await)?;
    match args.at.format {
        Format::Json => terminal::print_json(&Renewed { restarted: done }),
        Format::Text => done.iter().try_for_each(|done| {
            terminal::print(&text(
                done,
                "replaced",
                "nothing to replace: its cells are made as they are needed, or are down",
            ))
        }),
    }
}

/// Has each of the nodes that are meant do it.
async fn ask_all(
    at: &At,
    ask: impl AsyncFn(&AdminClient) -> Result<Operated, AdminError>,
) -> Result<Vec<Operated>, Failure> {
    let mut done = Vec::new();
    for node in nodes::meant_to_act(at.node.as_deref(), "say which: --node APP, or its process id")? {
        done.push(ask(&nodes::client(&node)).await.map_err(failure)?);
    }
    Ok(done)
}

fn each(at: &At, ask: impl AsyncFn(&AdminClient) -> Result<Operated, AdminError>) -> Result<Vec<Operated>, Failure> {
    super::runtime()?.block_on(ask_all(at, ask))
}

fn failure(error: AdminError) -> Failure {
    match error {
        AdminError::Refused { message, .. } => Failure::new(Exit::Usage, message),
        AdminError::Local(_) | AdminError::Foreign(_) => error.into(),
    }
}

fn text(done: &Operated, what: &str, nothing: &str) -> String {
    let Operated { component, cells, unanswered } = done;
    let mut text = match cells {
        0 => format!("{component}: {nothing}\n"),
        1 => format!("{component}: 1 cell {what}\n"),
        cells => format!("{component}: {cells} cells {what}\n"),
    };
    for worker in unanswered {
        text.push_str(&format!("  worker {worker} did not answer: its cells go on\n"));
    }
    text
}
