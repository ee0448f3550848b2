//! What happens to residents, as sentences.

use std::fmt::{self, Write as _};

use watertight_model::supervision::{Change, End, Subject};

use super::{Line, Tone, Took};

pub(super) fn write(line: &mut Line<'_>, of: Subject, change: Change) -> fmt::Result {
    let who = match of {
        Subject::Instance { component, number } => {
            format!("resident {number} of {}", line.names.component(component))
        }
        Subject::Component(component) => line.names.component(component).to_owned(),
        Subject::Group(group) => format!("group {}", line.names.group(group)),
        Subject::App => format!("app {}", line.names.app()),
    };
    match change {
        Change::Started => write!(line.text, "{who} is up"),
        Change::Stopped => write!(line.text, "{who} stopped"),
        Change::Recycled { why } => write!(line.text, "{who} was replaced by a fresh one, for its {why}"),
        Change::Kept { failure } => {
            line.toned(Tone::Odd, format_args!("{who} could not be replaced by a fresh one, and goes on: {failure}"))
        }
        Change::Ended { end } => line.toned(Tone::Odd, format_args!("{who} ended, and is not restarted: {end}")),
        Change::Restarting { end: end @ End::CutOff, .. } => write!(line.text, "{who} is replaced: {end}"),
        Change::Restarting { end, attempt, backoff } => {
            let backoff = Took(backoff);
            line.toned(Tone::Odd, format_args!("{who} is restarted in {backoff} ({end}); restart {attempt}"))
        }
        Change::GaveUp { end, intensity, rest } => {
            line.toned(Tone::Bad, format_args!("{who} gave up after {intensity} ({end})"))?;
            match rest {
                Some(rest) => write!(line.text, "; it is started again in {}", Took(rest)),
                None => Ok(()),
            }
        }
    }
}
