//! Where output goes: whether a person sits behind it, and what it may look like.
//!
//! Nothing here panics when a reader goes away: output that nobody wants is not an error.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
};

use crate::{exit::Exit, failure::Failure};

/// How text for people may look on one of the two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Not a terminal.
    Plain,
    /// A terminal whose user wants no colours, or that has none.
    Terminal,
    /// A terminal.
    Colours,
}

impl Look {
    /// That of standard error.
    pub(crate) fn of_stderr() -> Self {
        Self::of(&io::stderr())
    }

    /// That of standard output.
    pub(crate) fn of_stdout() -> Self {
        Self::of(&io::stdout())
    }

    fn of(output: &impl IsTerminal) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match (output.is_terminal(), set("NO_COLOR") || dumb) {
            (false, _) => Self::Plain,
            (true, true) => Self::Terminal,
            (true, false) => Self::Colours,
        }
    }
}

/// Writes a result to standard output. A reader that went away has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::NoOutput, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes one JSON value and a line end to standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    match serde_json::to_string(value) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => Err(Failure::new(Exit::Internal, format!("cannot write the result as JSON: {error}"))),
    }
}

/// Tells a person something on standard error. What cannot be said there cannot be said.
pub(crate) fn tell(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Standard output without a buffer, for writers that write whole lines.
pub(crate) fn stdout_file() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// Standard error, likewise.
pub(crate) fn stderr_file() -> io::Result<File> {
    io::stderr().as_fd().try_clone_to_owned().map(File::from)
}
