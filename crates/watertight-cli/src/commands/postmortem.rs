//! `watertight postmortem`: what failed cells have left behind, listed and shown.

mod text;

use serde::Serialize;
use watertight::postmortem::{Kept, Shelf, ShelfError};
use watertight_model::postmortem::Report;

use crate::{
    args::{Format, Postmortem, PostmortemAction},
    exit::Exit,
    failure::Failure,
    state, terminal,
};

/// A postmortem in the list.
#[derive(Serialize)]
struct Listed {
    id: String,
    folder: std::path::PathBuf,
    /// What is known of it; none where its report cannot be read.
    #[serde(flatten)]
    summary: Option<Summary>,
}

#[derive(Serialize)]
struct Summary {
    time: String,
    app: String,
    component: String,
    failure: String,
    detail: String,
    at: Option<String>,
}

/// One postmortem.
#[derive(Serialize)]
struct Shown<'a> {
    folder: &'a std::path::Path,
    #[serde(flatten)]
    report: &'a Report,
}

pub(crate) fn postmortem(args: Postmortem) -> Result<(), Failure> {
    let folder = state::folder(args.postmortem_dir).ok_or_else(|| {
        Failure::new(Exit::NotFound, "there is no place for postmortems: neither XDG_STATE_HOME nor HOME is set")
            .help("name their folder with --postmortem-dir")
    })?;
    let shelf = Shelf::new(folder);
    match args.action {
        None | Some(PostmortemAction::List) => list(&shelf, args.format),
        Some(PostmortemAction::Show { which }) => show(&shelf, &which, args.format),
    }
}

fn list(shelf: &Shelf, format: Format) -> Result<(), Failure> {
    let listed: Vec<Listed> = shelf.list()?.into_iter().map(Listed::new).collect();
    match format {
        Format::Json => terminal::print_json(&serde_json::json!({ "postmortems": listed })),
        Format::Text if listed.is_empty() => {
            terminal::tell(&format!("no cell has left a postmortem in {}\n", shelf.root().display()));
            Ok(())
        }
        Format::Text => terminal::print(&text::list(&listed)),
    }
}

fn show(shelf: &Shelf, which: &str, format: Format) -> Result<(), Failure> {
    let Some(kept) = shelf.find(which)? else {
        return Err(Failure::new(Exit::NotFound, format!("no postmortem `{which}` in {}", shelf.root().display()))
            .help("list them with: watertight postmortem list"));
    };
    let report = kept.report()?;
    match format {
        Format::Json => terminal::print_json(&Shown { folder: &kept.folder, report: &report }),
        Format::Text => terminal::print(&text::show(&report, &kept)),
    }
}

impl Listed {
    fn new(kept: Kept) -> Self {
        let summary = kept.report().ok().map(|report| Summary {
            at: report.at().map(ToString::to_string),
            time: report.time,
            app: report.app.name,
            component: report.component.name,
            failure: report.failure.kind,
            detail: report.failure.detail,
        });
        Self { id: kept.id, folder: kept.folder, summary }
    }
}

impl From<ShelfError> for Failure {
    fn from(error: ShelfError) -> Self {
        Self::new(Exit::NotFound, error.to_string())
    }
}
