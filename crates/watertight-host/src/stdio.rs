//! `grants.stdio`: where a guest's standard streams lead.
//!
//! | granted | component                      | stdin       | stdout, stderr            |
//! |---------|--------------------------------|-------------|---------------------------|
//! | no      | any                            | empty       | discarded, reported once  |
//! | yes     | any                            | empty       | the log, line by line     |
//! | yes     | the one a [`Console`] is for   | the console | the console, as they come |
//!
//! A guest's log ([`logging`](crate::logging)) is output as the others: granted by the same key, and within the same budget.
//!
//! A write never fails because of a budget: after `budget.log` bytes the rest is dropped, and that is reported once. What goes to
//! a console is a command's product and not a log, so it has no such end.

mod tail;

use std::{
    io::{self, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi::{
    WasiCtxBuilder, async_trait,
    cli::{AsyncStdinStream, IsTerminal, StdinStream, StdoutStream},
    p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult},
};
use watertight_model::{
    app::{Component, ComponentId},
    budget::ByteSize,
    event::{Denial, LogStream},
};

use watertight_runtime::{Account, Charge};

pub(crate) use self::tail::Tail;
use crate::report::{Reporter, budget_of, setting};

/// Bytes after which a line without an end is cut.
pub(crate) const MAX_LINE_BYTES: usize = 8 * 1024;

/// Bytes a guest may hand over in one write.
const MAX_WRITE_BYTES: usize = 64 * 1024;

/// What the one component that is run as a command gets from whoever runs it: streams, and arguments.
#[derive(Clone)]
pub struct Console {
    component: ComponentId,
    stdin: Arc<AsyncStdinStream>,
    stdin_is_terminal: bool,
    stdout: Output,
    stderr: Output,
    args: Arc<[String]>,
}

/// One output of a console: a handle, and whether a person sits behind it.
#[derive(Clone)]
pub struct Output {
    handle: Arc<Mutex<Box<dyn Write + Send>>>,
    is_terminal: bool,
}

impl Output {
    /// An output that writes here. Writing may block: nothing else runs in the meantime, as in any command.
    pub fn new(handle: impl Write + Send + 'static, is_terminal: bool) -> Self {
        Self { handle: Arc::new(Mutex::new(Box::new(handle))), is_terminal }
    }
}

impl Console {
    /// Gives these streams to the cells of one component, if its `stdio` is granted. Needs a Tokio runtime, which reads `stdin`.
    pub fn new(
        component: ComponentId,
        stdin: impl AsyncRead + Send + Sync + 'static,
        stdin_is_terminal: bool,
        stdout: Output,
        stderr: Output,
    ) -> Self {
        let stdin = Arc::new(AsyncStdinStream::new(stdin));
        Self { component, stdin, stdin_is_terminal, stdout, stderr, args: Arc::default() }
    }

    /// Adds arguments after those that the manifest grants. They need no grant: who runs the command gave them.
    #[must_use]
    pub fn with_args(mut self, args: Vec<String>) -> Self {
        self.args = args.into();
        self
    }

    pub(crate) fn is_for(&self, component: ComponentId) -> bool {
        self.component == component
    }

    pub(crate) fn args(&self) -> &[String] {
        &self.args
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("component", &self.component).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("is_terminal", &self.is_terminal).finish_non_exhaustive()
    }
}

/// Connects a cell's standard streams. What is written to them is kept in `tail`, whatever becomes of it.
pub(crate) fn from_grant(
    wasi: &mut WasiCtxBuilder,
    reporter: &Arc<Reporter>,
    account: &Arc<Account>,
    console: Option<&Console>,
    tail: &Tail,
) {
    let component = reporter.component();
    if !component.grants.stdio {
        let nowhere = || Kept(Discard(Arc::clone(reporter)), tail.clone());
        wasi.stdout(nowhere()).stderr(nowhere());
        return;
    }
    if let Some(console) = console {
        let output = |output: &Output| Kept(output.clone(), tail.clone());
        wasi.stdin(Input(console.clone())).stdout(output(&console.stdout)).stderr(output(&console.stderr));
        return;
    }
    let budget = Arc::new(LogBudget::new(reporter, account));
    let lines = |stream| Kept(Lines::new(stream, &budget), tail.clone());
    wasi.stdout(lines(LogStream::Stdout)).stderr(lines(LogStream::Stderr));
}

/// What a write without the grant is reported as.
pub(crate) fn denial(component: &Component, attempt: &str) -> Denial {
    Denial { grant: "stdio", attempt: attempt.to_owned(), remedy: setting(component, "grants", "stdio", "true") }
}

/// The bytes that one cell may still log, on both streams and in its log together.
pub(crate) struct LogBudget {
    reporter: Arc<Reporter>,
    account: Arc<Account>,
}

impl LogBudget {
    pub(crate) fn new(reporter: &Arc<Reporter>, account: &Arc<Account>) -> Self {
        Self { reporter: Arc::clone(reporter), account: Arc::clone(account) }
    }

    pub(crate) fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    /// How many of `wanted` bytes fit. The first time that not all do is reported; how many there were is told when the cell ends.
    pub(crate) fn take(&self, wanted: usize) -> usize {
        let component = self.reporter.component();
        let budget = component.budget.log;
        let granted = self.account.log(budget.0, wanted);
        if granted < wanted {
            self.reporter.deny(Denial {
                grant: "log",
                attempt: format!("write more than {budget} to the log; the rest is dropped"),
                remedy: budget_of(component, "log", format!("\"{}\"", ByteSize(budget.0.saturating_mul(2).max(1024)))),
            });
        }
        granted
    }
}

/// One stream's way into the log. What is left of the last line is logged when the cell and its streams are gone.
#[derive(Clone)]
struct Lines(Arc<Mutex<LineBuffer>>);

struct LineBuffer {
    stream: LogStream,
    budget: Arc<LogBudget>,
    partial: Vec<u8>,
    /// Counts `partial`, once there was any.
    room: Option<Charge>,
}

impl Lines {
    fn new(stream: LogStream, budget: &Arc<LogBudget>) -> Self {
        Self(Arc::new(Mutex::new(LineBuffer { stream, budget: Arc::clone(budget), partial: Vec::new(), room: None })))
    }
}

impl LineBuffer {
    fn write(&mut self, bytes: &[u8]) {
        let mut rest = &bytes[..self.budget.take(bytes.len())];
        while !rest.is_empty() {
            let room = MAX_LINE_BYTES - self.partial.len();
            let window = &rest[..rest.len().min(room)];
            match window.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.partial.extend_from_slice(&rest[..end]);
                    rest = &rest[end + 1..];
                    self.end_line();
                }
                None => {
                    self.partial.extend_from_slice(window);
                    rest = &rest[window.len()..];
                    self.room = self.room.take().or_else(|| self.budget.account.charge(MAX_LINE_BYTES));
                    // Without memory to keep it a line ends where the write does.
                    if self.partial.len() == MAX_LINE_BYTES || self.room.is_none() {
                        self.end_line();
                    }
                }
            }
        }
    }

    fn end_line(&mut self) {
        let line = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        let line = String::from_utf8_lossy(line).into_owned();
        // Before it is told: a sink that panics must not be told again when the cell goes.
        self.partial.clear();
        self.budget.reporter.log(self.stream, line, None);
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
    }
}

/// Where the writes of a guest without the grant end.
#[derive(Clone)]
struct Discard(Arc<Reporter>);

/// The console's stdin.
struct Input(Console);

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        self.0.stdin_is_terminal
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        self.0.stdin.async_stream()
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        self.0.stdin.p2_stream()
    }
}

/// Something that takes all bytes at once: it is always ready, in both versions of WASI.
trait Take: Clone + Send + Sync + Unpin + 'static {
    fn take(&self, bytes: &[u8]) -> io::Result<()>;
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn is_terminal(&self) -> bool {
        false
    }
}

impl Take for Lines {
    fn take(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().write(bytes);
        Ok(())
    }
}

impl Take for Discard {
    fn take(&self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            self.0.deny(denial(self.0.component(), "write to stdout or stderr"));
        }
        Ok(())
    }
}

impl Take for Output {
    fn take(&self, bytes: &[u8]) -> io::Result<()> {
        self.handle.lock().write_all(bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.handle.lock().flush()
    }

    fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

/// Something whose bytes are also kept for a postmortem.
#[derive(Clone)]
struct Kept<S>(S, Tail);

impl<S: Take> Take for Kept<S> {
    fn take(&self, bytes: &[u8]) -> io::Result<()> {
        self.1.add(bytes);
        self.0.take(bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }

    fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

/// A guest's handle to something that takes bytes.
struct Stream<S>(S);

/// A broken pipe is the end of the stream, as for any command; the rest is an error the guest sees.
fn stream_error(error: io::Error) -> StreamError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        StreamError::Closed
    } else {
        StreamError::LastOperationFailed(error.into())
    }
}

#[async_trait]
impl<S: Take> Pollable for Stream<S> {
    async fn ready(&mut self) {}
}

impl<S: Take> OutputStream for Stream<S> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.take(&bytes).map_err(stream_error)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.0.flush().map_err(stream_error)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE_BYTES)
    }
}

impl<S: Take> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(MAX_WRITE_BYTES)];
        Poll::Ready(self.0.take(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Makes a stream of one of ours a stream of WASI's. A blanket implementation is not ours to write.
macro_rules! stdout_stream {
    ($($ty:ty),*) => {$(
        impl IsTerminal for $ty {
            fn is_terminal(&self) -> bool {
                Take::is_terminal(self)
            }
        }

        impl StdoutStream for $ty {
            fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
                Box::new(Stream(self.clone()))
            }

            fn p2_stream(&self) -> Box<dyn OutputStream> {
                Box::new(Stream(self.clone()))
            }
        }
    )*};
}

stdout_stream!(Kept<Lines>, Kept<Discard>, Kept<Output>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Recorder, app};

    fn written(change: impl FnOnce(&mut Component), writes: &[(LogStream, &[u8])]) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::default());
        let reporter = Reporter::new(app(change), ComponentId(0), recorder.clone());
        let account = Account::new(reporter.component());
        let budget = Arc::new(LogBudget { reporter, account });
        let lines = |stream| Kept(Lines::new(stream, &budget), Tail::default());
        let (stdout, stderr) = (lines(LogStream::Stdout), lines(LogStream::Stderr));
        for (stream, bytes) in writes {
            let lines = if *stream == LogStream::Stdout { &stdout } else { &stderr };
            let mut handle = lines.p2_stream();
            handle.write(Bytes::copy_from_slice(bytes)).expect("a write to the log never fails");
        }
        drop((stdout, stderr));
        recorder
    }

    fn stdout_lines(writes: &[&[u8]]) -> Vec<String> {
        let writes: Vec<_> = writes.iter().map(|bytes| (LogStream::Stdout, *bytes)).collect();
        written(|_| {}, &writes).lines().into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn writes_become_lines_wherever_they_are_cut() {
        assert_eq!(stdout_lines(&[b"one\ntwo\r\n\nth", b"ree", b"\nlast"]), ["one", "two", "", "three", "last"]);
        assert_eq!(stdout_lines(&[b""]), [""; 0]);
        assert_eq!(stdout_lines(&[b"caf\xe9\n"]), ["caf\u{fffd}"], "what is not UTF-8 is marked");
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let lines = stdout_lines(&[&[b'x'; MAX_LINE_BYTES * 2 + 1]]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE_BYTES, MAX_LINE_BYTES, 1]);
    }

    #[test]
    fn a_line_that_is_not_whole_counts_as_memory() {
        let recorder = Arc::new(Recorder::default());
        let reporter = Reporter::new(
            app(|component| component.budget.memory = ByteSize(10_000)),
            ComponentId(0),
            recorder.clone(),
        );
        let account = Account::new(reporter.component());
        let budget = Arc::new(LogBudget { reporter, account: Arc::clone(&account) });
        let (kept, cut) = (Lines::new(LogStream::Stdout, &budget), Lines::new(LogStream::Stderr, &budget));
        for lines in [&kept, &cut] {
            lines.take(b"one\ntw").expect("a write to the log never fails");
            lines.take(b"o").expect("a write to the log never fails");
        }
        assert_eq!(account.usage().memory_bytes, MAX_LINE_BYTES as u64);
        drop((kept, cut));
        assert_eq!(account.usage().memory_bytes, 0);
        let lines: Vec<_> = recorder.lines().into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, ["one", "one", "tw", "o", "two"], "there is memory for one of the two");
    }

    #[test]
    fn two_streams_do_not_mix_their_lines() {
        let lines =
            written(|_| {}, &[(LogStream::Stdout, b"ou"), (LogStream::Stderr, b"err\n"), (LogStream::Stdout, b"t\n")]);
        assert_eq!(lines.lines(), [(LogStream::Stderr, "err".into()), (LogStream::Stdout, "out".into())]);
    }

    #[test]
    fn after_the_log_budget_the_rest_is_dropped_and_that_is_said_once() {
        let recorder = written(
            |component| component.budget.log = ByteSize(10),
            &[
                (LogStream::Stdout, b"12345\n"),
                (LogStream::Stderr, b"789\nmore\n"),
                (LogStream::Stdout, b"even more\n"),
            ],
        );
        assert_eq!(recorder.lines(), [(LogStream::Stdout, "12345".into()), (LogStream::Stderr, "789".into())]);
        assert_eq!(recorder.remedies(), ["component.web.budget.log = \"1KiB\""]);
    }

    #[test]
    fn without_the_grant_a_write_is_discarded_and_reported() {
        let recorder = Arc::new(Recorder::default());
        let reporter = Reporter::new(app(|_| {}), ComponentId(0), recorder.clone());
        let tail = Tail::default();
        let mut handle = Kept(Discard(reporter), tail.clone()).p2_stream();
        handle.write(Bytes::new()).expect("a discarded write never fails");
        assert_eq!(recorder.remedies(), [""; 0], "nothing was written");
        handle.write(Bytes::from_static(b"secret\n")).expect("a discarded write never fails");
        handle.write(Bytes::from_static(b"secret\n")).expect("a discarded write never fails");
        assert_eq!(recorder.lines(), []);
        assert_eq!(recorder.remedies(), ["component.web.grants.stdio = true"]);
        assert_eq!(tail.last(), b"secret\nsecret\n", "a postmortem tells of it all the same");
    }
}
