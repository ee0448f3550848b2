//! `GET /v1/postmortems`: what failed cells of this app have left behind. That there is one, and why, is for all who may ask; what is in
//! it is for who holds the token: it has arguments and log lines.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use watertight_model::postmortem::Report;

use crate::postmortem::{Kept, Shelf};

/// Postmortems that are listed.
const MAX_LISTED: usize = 50;

/// Postmortems that are looked at for that: one component's may stand among many.
const MAX_LOOKED_AT: usize = 400;

/// What failed cells have left behind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PostmortemsStatus {
    /// Where they lie; nothing where none are kept.
    pub folder: Option<PathBuf>,
    /// The newest first.
    pub postmortems: Vec<PostmortemStatus>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PostmortemStatus {
    /// What it is called: `APP/COMPONENT/TIME-PID`.
    pub id: String,
    /// When, in UTC, as in RFC 3339.
    pub time: String,
    /// The component that failed.
    pub component: String,
    /// How.
    pub failure: String,
    /// Why, for people.
    pub detail: String,
    /// Where in its source, where that is known.
    pub at: Option<String>,
}

/// Those of an app, or of one component.
pub(super) fn list(folder: Option<PathBuf>, app: &str, component: Option<&str>) -> PostmortemsStatus {
    let Some(folder) = folder else { return PostmortemsStatus::default() };
    let of_app = |kept: &Kept| kept.id.split('/').next() == Some(app);
    // Its folder is named after it; a name that was changed for that is looked up below.
    let listed = Shelf::new(folder.clone()).list().unwrap_or_default().into_iter().filter(of_app).take(MAX_LOOKED_AT);
    let meant = |kept: &Kept| component.is_none_or(|wanted| kept.id.split('/').nth(1) == Some(wanted));
    let postmortems = listed.filter(meant).filter_map(|kept| Some(summary(&kept.id, &kept.report().ok()?)));
    PostmortemsStatus { folder: Some(folder), postmortems: postmortems.take(MAX_LISTED).collect() }
}

/// All of one.
pub(super) fn show(folder: Option<PathBuf>, app: &str, id: &str) -> Option<Report> {
    // Only what is listed: an id is no path.
    let kept = Shelf::new(folder?).list().ok()?.into_iter().find(|kept| kept.id == id)?;
    let report = kept.report().ok()?;
    (report.app.name == app).then_some(report)
}

fn summary(id: &str, report: &Report) -> PostmortemStatus {
    PostmortemStatus {
        id: id.to_owned(),
        time: report.time.clone(),
        component: report.component.name.clone(),
        failure: report.failure.kind.clone(),
        detail: report.failure.detail.clone(),
        at: report.at().map(ToString::to_string),
    }
}
