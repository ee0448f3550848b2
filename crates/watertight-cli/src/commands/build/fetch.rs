//! Components that come from a registry: fetched before anything is made, unless they were fetched before.

use serde_json::{Value, json};
use watertight::Signals;
use watertight_build::{FetchError, Fetched, Store, Workshop};
use watertight_model::manifest::oci::OciSource;

use super::telling::size;
use crate::{args::Format, exit::Exit, failure::Failure, terminal};

/// What became of one.
pub(in crate::commands) struct Came {
    component: String,
    name: String,
    how: Result<Fetched, FetchError>,
}

/// Makes sure of all of them, one after the other, until a signal.
pub(in crate::commands) async fn all(
    signals: &mut Signals,
    workshop: &Workshop,
    sources: &[(String, OciSource)],
    format: Format,
) -> Result<Vec<Came>, Failure> {
    let mut came = Vec::new();
    if sources.is_empty() {
        return Ok(came);
    }
    let opened = Store::open(&workshop.base, workshop.anew);
    let mut store = opened.map_err(|error| Failure::new(Exit::NotBuilt, error.to_string()))?;
    for (component, source) in sources {
        let how = tokio::select! {
            how = store.fetch(source) => how,
            () = signals.stopped() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
        };
        if format == Format::Text {
            terminal::tell(&match &how {
                Ok(Fetched::New(bytes)) => format!("fetched   {component:<20} {:>10}\n", size(*bytes)),
                Ok(Fetched::Kept(bytes)) => format!("unchanged {component:<20} {:>10}\n", size(*bytes)),
                Err(_) => format!("failed    {component}\n"),
            });
        }
        came.push(Came { component: component.clone(), name: source.text.clone(), how });
    }
    Ok(came)
}

/// How many are new, and how many were there.
pub(super) fn count(came: &[Came]) -> (usize, usize) {
    let new = came.iter().filter(|came| matches!(came.how, Ok(Fetched::New(_)))).count();
    let kept = came.iter().filter(|came| matches!(came.how, Ok(Fetched::Kept(_)))).count();
    (new, kept)
}

/// All that did not come, together with what else failed.
pub(in crate::commands) fn why_not(came: &[Came], else_failed: Option<Failure>) -> Option<Failure> {
    let failed = came.iter().filter_map(|came| Some(format!("`{}`: {}", came.component, came.how.as_ref().err()?)));
    let mut messages: Vec<String> = failed.collect();
    if messages.is_empty() {
        return else_failed;
    }
    let exit = else_failed.as_ref().map_or(Exit::NotBuilt, Failure::exit);
    messages.extend(else_failed.iter().flat_map(|failure| failure.messages().to_vec()));
    Failure::of_messages(exit, messages)
}

pub(super) fn document(came: &Came) -> Value {
    let state =
        |state: &str, bytes: u64| json!({ "name": came.component, "oci": came.name, "state": state, "bytes": bytes });
    match &came.how {
        Ok(Fetched::New(bytes)) => state("fetched", *bytes),
        Ok(Fetched::Kept(bytes)) => state("unchanged", *bytes),
        Err(error) => {
            json!({ "name": came.component, "oci": came.name, "state": "failed", "error": error.to_string() })
        }
    }
}
