//! A command that failed: its exit code, and how it is told to people and to machines.

use std::{fmt, io};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use watertight::{
    AloneError, InvokeError, LoadError, NodeError, Rejected, RunError, ServeError,
    model::{failure::CallError, problem::Problem},
    supervisor::{ListenError, SuperviseError},
    worker::WorkerError,
};

use crate::{exit::Exit, terminal::Look};

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// What went wrong, each on its own.
    messages: Vec<String>,
    help: Option<String>,
    /// What is wrong with the app.
    problems: Vec<Problem>,
    /// The same, as another process has told it.
    told_problems: Option<serde_json::Value>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, messages: vec![message.into()], help: None, problems: Vec::new(), told_problems: None }
    }

    /// Several things that went wrong; none if there are none.
    pub(crate) fn of_messages(exit: Exit, messages: Vec<String>) -> Option<Self> {
        let failure = Self { exit, messages, help: None, problems: Vec::new(), told_problems: None };
        (!failure.messages.is_empty()).then_some(failure)
    }

    /// What is wrong with the app, as another process has told it.
    pub(crate) fn with_problems(self, problems: serde_json::Value) -> Self {
        Self { told_problems: Some(problems), ..self }
    }

    /// Arguments with these problems.
    pub(crate) fn of_arguments(problems: Vec<Problem>) -> Self {
        Self { exit: Exit::Usage, messages: Vec::new(), help: None, problems, told_problems: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// What is wrong with the app, where that is the failure.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What is wrong besides.
    pub(crate) fn messages(&self) -> &[String] {
        &self.messages
    }

    /// As text for people.
    pub(crate) fn to_text(&self, look: Look) -> String {
        let mut text = problems_text(&self.problems, look);
        for (index, message) in self.messages.iter().enumerate() {
            let help = self.help.clone().filter(|_| index + 1 == self.messages.len());
            if look == Look::Plain {
                text.push_str(&format!("error: {message}\n"));
                text.extend(help.map(|help| format!("help: {help}\n")));
            } else {
                render(&Said { message: message.clone(), help }, look, &mut text);
            }
        }
        if !self.problems.is_empty() && self.exit == Exit::Rejected {
            let errors = self.problems.iter().filter(|problem| problem.is_error()).count();
            let plural = if errors == 1 { "" } else { "s" };
            text.push_str(&format!("{errors} problem{plural}: the app cannot run\n"));
        }
        text
    }

    /// As one JSON object.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let message = match self.messages.as_slice() {
            [] => Rejected(self.problems.clone()).to_string(),
            messages => messages.join("; "),
        };
        let mut error = serde_json::json!({
            "exit": self.exit as u8, "name": self.exit.name(), "message": message, "problems": self.problems,
        });
        if let Some(problems) = &self.told_problems {
            error["problems"] = problems.clone();
        }
        if let (Some(error), Some(help)) = (error.as_object_mut(), &self.help) {
            error.insert("help".to_owned(), help.clone().into());
        }
        serde_json::json!({ "error": error })
    }
}

/// Problems as text for people, each with the lines it is about.
pub(crate) fn problems_text(problems: &[Problem], look: Look) -> String {
    let mut text = String::new();
    for problem in problems {
        render(problem, look, &mut text);
        text.push('\n');
    }
    text
}

/// Columns of a line that are shown: what draws it counts them in 16 bits, the space before them included.
const MAX_COLUMNS: usize = 20_000;

/// Whether a line that would be shown has more columns than can be.
fn is_too_wide(diagnostic: &dyn Diagnostic) -> bool {
    let (Some(source), Some(labels)) = (diagnostic.source_code(), diagnostic.labels()) else { return false };
    labels.into_iter().any(|label| {
        let shown = source.read_span(label.inner(), 1, 1);
        shown.is_ok_and(|shown| shown.data().split(|byte| *byte == b'\n').any(|line| line.len() > MAX_COLUMNS))
    })
}

fn render(diagnostic: &dyn Diagnostic, look: Look, text: &mut String) {
    if is_too_wide(diagnostic) {
        text.push_str(&format!("error: {diagnostic}\n"));
        text.extend(diagnostic.help().map(|help| format!("  help: {help}\n")));
        return;
    }
    let theme = match look {
        Look::Plain => GraphicalTheme::none(),
        Look::Terminal => GraphicalTheme::unicode_nocolor(),
        Look::Colours => GraphicalTheme::unicode(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(look == Look::Colours);
    // A line that is broken at a fixed width is of no use to a script.
    let handler = if look == Look::Plain { handler.with_wrap_lines(false) } else { handler };
    if handler.render_report(text, diagnostic).is_err() {
        text.push_str(&format!("error: {diagnostic}\n"));
    }
}

/// A message as a diagnostic.
#[derive(Debug)]
struct Said {
    message: String,
    help: Option<String>,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Said {}

impl Diagnostic for Said {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        let exit = Exit::from(&error);
        match error {
            NodeError::Rejected(Rejected(problems)) => {
                Self { exit, messages: Vec::new(), help: None, problems, told_problems: None }
            }
            NodeError::Load(all) => Self {
                exit,
                messages: all.iter().map(LoadError::to_string).collect(),
                help: None,
                problems: Vec::new(),
                told_problems: None,
            },
            NodeError::Read(_) | NodeError::Cache(_) | NodeError::Incomplete(_) => Self::new(exit, error.to_string()),
        }
    }
}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Self {
        NodeError::from(rejected).into()
    }
}

impl From<watertight::ReadError> for Failure {
    fn from(error: watertight::ReadError) -> Self {
        NodeError::from(error).into()
    }
}

impl From<watertight::CacheError> for Failure {
    fn from(error: watertight::CacheError) -> Self {
        NodeError::from(error).into()
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self::new(Exit::from(&error), error.to_string())
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        let exit = match error {
            ListenError::BadAddress { .. } => Exit::Usage,
            ListenError::Taken(_) | ListenError::Forbidden(_) | ListenError::NotOurs(_) | ListenError::Other { .. } => {
                Exit::NoListen
            }
        };
        Self::new(exit, error.to_string())
    }
}

impl From<SuperviseError> for Failure {
    fn from(error: SuperviseError) -> Self {
        Self::new(Exit::from(&error), error.to_string())
    }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        let message = error.to_string();
        match error {
            WorkerError::Node(error) => error.into(),
            WorkerError::Serve(error) => error.into(),
            WorkerError::Seat(_) => Self::new(Exit::Usage, message),
            WorkerError::Down(_) => Self::new(Exit::AppDown, message),
            WorkerError::Orders(_) | WorkerError::Io(_) => Self::new(Exit::Internal, message),
        }
    }
}

impl From<AloneError> for Failure {
    fn from(error: AloneError) -> Self {
        match error {
            AloneError::Node(error) => error.into(),
            AloneError::Serve(error) => error.into(),
            AloneError::Down(_) => Self::new(Exit::AppDown, error.to_string()),
            AloneError::Io(error) => error.into(),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::new(error.kind.into(), error.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::NoCommand(_) => Self::new(Exit::Rejected, error.to_string()),
            RunError::Call(error) => error.into(),
        }
    }
}

impl From<InvokeError> for Failure {
    fn from(error: InvokeError) -> Self {
        match error {
            InvokeError::Call(error) => error.into(),
            InvokeError::NotACall(_)
            | InvokeError::Unknown { .. }
            | InvokeError::Ambiguous { .. }
            | InvokeError::Arguments { .. }
            | InvokeError::NoText(_) => Self::new(Exit::Usage, error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Internal, format!("the system refuses: {error}"))
    }
}
