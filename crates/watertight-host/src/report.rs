//! How a cell's capabilities report: what was denied, what was written.
//!
//! A [`Reporter`] is shared by everything in one cell that decides on a grant, also by what has no access to the cell's store
//! while it runs: the check of a socket's address, a stream that the guest writes to. It never waits. Text that a guest chose is
//! escaped and cut before it gets here, so that no guest writes a line of the log.

use std::sync::Arc;

use parking_lot::Mutex;
use watertight_model::{
    app::{App, Component, ComponentId},
    event::{Denial, Event, EventSink, LogStream},
    trace::SpanId,
};
use watertight_runtime::{CellCore, Recording, Traced};

use crate::cell::HostCell;

/// Denials that one cell reports, so that a guest cannot flood the log with new ones.
const MAX_DENIALS: usize = 32;

/// Characters of a guest's text that a report repeats.
const MAX_QUOTED_CHARS: usize = 256;

/// Reports for one cell.
pub(crate) struct Reporter {
    app: Arc<App>,
    component: ComponentId,
    events: Arc<dyn EventSink>,
    traced: Option<Arc<Traced>>,
    denied: Mutex<Vec<String>>,
}

impl Reporter {
    #[cfg(test)]
    pub(crate) fn new(app: Arc<App>, component: ComponentId, events: Arc<dyn EventSink>) -> Arc<Self> {
        Arc::new(Self { app, component, events, traced: None, denied: Mutex::new(Vec::new()) })
    }

    /// Reports for a cell that the runtime has made.
    pub(crate) fn of_cell(app: Arc<App>, component: ComponentId, core: &CellCore<HostCell>) -> Arc<Self> {
        let (events, traced) = (Arc::clone(core.events()), core.traced().cloned());
        Arc::new(Self { app, component, events, traced, denied: Mutex::new(Vec::new()) })
    }

    /// The span that the cell works in, and where that is taken down.
    pub(crate) fn span(&self) -> Option<(Arc<Recording>, SpanId)> {
        self.traced.as_ref()?.now()
    }

    /// Whose cell this is, with its grants and its budget.
    pub(crate) fn component(&self) -> &Component {
        self.app.component(self.component)
    }

    /// Reports a use that was not granted, or one over the budget: once per cell and remedy.
    pub(crate) fn deny(&self, denial: Denial) {
        {
            let mut denied = self.denied.lock();
            if denied.len() >= MAX_DENIALS || denied.contains(&denial.remedy) {
                return;
            }
            denied.push(denial.remedy.clone());
        }
        self.events.emit(Event::Denied { component: self.component, denial });
    }

    /// Reports a line that the guest wrote.
    pub(crate) fn log(&self, stream: LogStream, line: String, context: Option<String>) {
        let trace = self.span().map(|(recording, span)| recording.context(span));
        self.events.emit(Event::Log { component: self.component, stream, line, context, trace });
    }
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporter").field("component", &self.component).finish_non_exhaustive()
    }
}

/// The manifest line that adds `wanted` to a list of grants, keeping those it has.
pub(crate) fn list_with<T: ToString>(component: &Component, grant: &str, granted: &[T], wanted: &str) -> String {
    let mut entries: Vec<String> = granted.iter().map(|entry| quoted(&entry.to_string())).collect();
    entries.push(quoted(wanted));
    setting(component, "grants", grant, &format!("[{}]", entries.join(", ")))
}

/// The manifest line that raises a limit of the budget.
pub(crate) fn budget_of(component: &Component, limit: &str, value: impl std::fmt::Display) -> String {
    setting(component, "budget", limit, &value.to_string())
}

/// The manifest line `component.NAME.TABLE.KEY = VALUE`.
pub(crate) fn setting(component: &Component, table: &str, key: &str, value: &str) -> String {
    let name = &component.name;
    let bare =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let name = if bare { name.clone() } else { quoted(name) };
    format!("component.{name}.{table}.{key} = {value}")
}

/// Text as a TOML string on one line, escaped and cut.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_QUOTED_CHARS) + 2);
    out.push('"');
    for (index, char) in text.chars().enumerate() {
        if index == MAX_QUOTED_CHARS {
            out.push('…');
            break;
        }
        match char {
            '"' | '\\' => {
                out.push('\\');
                out.push(char);
            }
            _ if char.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Recorder, app};

    #[test]
    fn a_remedy_is_reported_once_and_a_flood_of_remedies_is_cut() {
        let recorder = Arc::new(Recorder::default());
        let reporter = Reporter::new(app(|_| {}), ComponentId(0), recorder.clone());
        for round in 0..2 {
            for number in 0..MAX_DENIALS + 10 {
                let remedy = format!("line {number}");
                reporter.deny(Denial { grant: "tcp", attempt: format!("round {round}"), remedy });
            }
        }
        assert_eq!(recorder.denials().len(), MAX_DENIALS);
    }

    #[test]
    fn text_of_a_guest_stays_one_short_toml_string() {
        for (text, expected) in [
            ("plain", "\"plain\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("two\nlines\u{1b}[31m", "\"two\\u000Alines\\u001B[31m\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
        assert!(quoted(&"x".repeat(10_000)).chars().count() < MAX_QUOTED_CHARS + 10);
    }

    #[test]
    fn a_remedy_keeps_what_is_granted_already() {
        let app = app(|component| component.name = "my web".into());
        assert_eq!(
            list_with(&app.components[0], "dns", &["a.test".to_owned()], "b.test"),
            r#"component."my web".grants.dns = ["a.test", "b.test"]"#
        );
    }
}
