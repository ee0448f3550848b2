//! `wasi:logging`: a guest's log, with levels and contexts.
//!
//! It is output as stdout and stderr are: nothing without `grants.stdio`, which is reported once; within `budget.log`, on all three together;
//! a message that is longer than a line of stdout may be is cut. A message is told as one, whatever is in it: who shows it escapes what no
//! line may have. Writing to the log never fails and never waits.

use std::sync::Arc;

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower, WasmStr},
};
use watertight_model::{
    check::LOGGING,
    event::{LogLevel, LogStream},
};
use watertight_runtime::Account;

use crate::{
    cell::HostCell,
    report::Reporter,
    stdio::{LogBudget, MAX_LINE_BYTES, Tail, denial},
};

/// Bytes of a context.
const MAX_CONTEXT_BYTES: usize = 256;

/// What a message costs besides its text, as the end of a line of stdout does.
const MESSAGE: usize = 1;

/// A cell's log.
pub(crate) struct Log {
    budget: LogBudget,
    tail: Tail,
}

#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "guests make them")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
            Level::Critical => Self::Critical,
        }
    }
}

impl Log {
    pub(crate) fn from_grant(reporter: &Arc<Reporter>, account: &Arc<Account>, tail: &Tail) -> Self {
        Self { budget: LogBudget::new(reporter, account), tail: tail.clone() }
    }

    fn write(&self, level: LogLevel, context: &str, message: &str) {
        let context = &context[..context.floor_char_boundary(MAX_CONTEXT_BYTES)];
        let message = &message[..message.floor_char_boundary(MAX_LINE_BYTES)];
        for part in [level.name(), " ", context, ": ", message, "\n"] {
            self.tail.add(part.as_bytes());
        }
        let reporter = self.budget.reporter();
        if !reporter.component().grants.stdio {
            reporter.deny(denial(reporter.component(), "write to its log"));
            return;
        }
        let wanted = context.len() + message.len() + MESSAGE;
        let granted = self.budget.take(wanted);
        if granted == 0 {
            return;
        }
        // What does not fit is the end of the message.
        let message = &message[..message.floor_char_boundary(message.len().saturating_sub(wanted - granted))];
        let context = Some(context.to_owned()).filter(|context| !context.is_empty());
        reporter.log(LogStream::Log(level), message.to_owned(), context);
    }
}

/// Defines the interface, by each name that it has.
pub(crate) fn link(linker: &mut Linker<HostCell>) -> wasmtime::Result<()> {
    for name in LOGGING {
        linker.instance(name)?.func_wrap(
            "log",
            |store: StoreContextMut<'_, HostCell>, (level, context, message): (Level, WasmStr, WasmStr)| {
                let (context, message) = (context.to_str(&store)?, message.to_str(&store)?);
                store.data().log.write(level.into(), &context, &message);
                Ok(())
            },
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use watertight_model::{app::ComponentId, budget::ByteSize};

    use super::*;
    use crate::fixture::{Recorder, app};

    fn log(change: impl FnOnce(&mut watertight_model::app::Component)) -> (Log, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        let reporter = Reporter::new(app(change), ComponentId(0), recorder.clone());
        let account = Account::new(reporter.component());
        (Log::from_grant(&reporter, &account, &Tail::default()), recorder)
    }

    #[test]
    fn a_message_is_told_with_its_level_and_cut_where_it_is_long() {
        let (log, recorder) = log(|component| component.grants.stdio = true);
        log.write(LogLevel::Warn, "db", "two\nlines");
        log.write(LogLevel::Trace, "", &"é".repeat(MAX_LINE_BYTES));
        let lines = recorder.lines();
        assert_eq!(lines[0], (LogStream::Log(LogLevel::Warn), "two\nlines".to_owned()));
        assert_eq!((lines[1].0, lines[1].1.len()), (LogStream::Log(LogLevel::Trace), MAX_LINE_BYTES));
    }

    #[test]
    fn without_the_grant_nothing_is_told_but_that() {
        let (log, recorder) = log(|component| component.grants.stdio = false);
        log.write(LogLevel::Error, "db", "secret");
        log.write(LogLevel::Error, "db", "secret");
        assert_eq!(recorder.lines(), []);
        assert_eq!(recorder.remedies(), ["component.web.grants.stdio = true"]);
        assert_eq!(log.tail.last(), b"error db: secret\nerror db: secret\n", "a postmortem tells of it all the same");
    }

    #[test]
    fn a_flood_ends_with_the_budget() {
        let (log, recorder) = log(|component| {
            component.grants.stdio = true;
            component.budget.log = ByteSize(10);
        });
        for _ in 0..1000 {
            log.write(LogLevel::Info, "", "four");
        }
        let lines: Vec<_> = recorder.lines().into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, ["four", "four"]);
        assert_eq!(recorder.remedies(), ["component.web.budget.log = \"1KiB\""]);
    }
}
