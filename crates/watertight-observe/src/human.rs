//! The human log: a line for each thing that a person who runs the app wants to know, and the next step where there is one.
//!
//! Text from guests and clients is shown without control characters, so that nobody writes into the log, or to the
//! terminal, what they are not.

mod supervised;

use std::{
    fmt::{self, Write as _},
    io::Write,
    sync::Arc,
    time::{Duration, SystemTime},
};

use watertight_model::{
    app::{App, Component, ComponentId, EdgeId},
    breaker::BreakerState,
    event::{
        Call, CellEnd, Denial, Event, Failure, FaultsChange, LogStream, Outcome, Postmortem, ReloadEnd, Request, Root,
        Seen, WorkerChange,
    },
    failure::FailureKind,
    fault::FaultKind,
};

use crate::{
    bus::{Record, Sink},
    clean::clean,
    flood::Flood,
    kind::{Interest, Kind},
    lines::Lines,
    names::Names,
    timestamp::Timestamp,
};

/// How much the log tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Failures, denials, workers, and residents that end.
    Quiet,
    /// Also requests, and what guests write.
    #[default]
    Normal,
    /// Also every call and cell.
    Verbose,
}

impl Detail {
    fn interest(self) -> Interest {
        let quiet = [
            Kind::Failure,
            Kind::Postmortem,
            Kind::CallFailed,
            Kind::RootFailed,
            Kind::Denied,
            Kind::Worker,
            Kind::ResidentFailed,
            Kind::Breaker,
            Kind::Dropped,
        ];
        match self {
            Self::Quiet => Interest::in_kinds(&quiet),
            Self::Normal => {
                Interest::in_kinds(&quiet).and(Interest::in_kinds(&[Kind::Request, Kind::Log, Kind::LogCut]))
            }
            Self::Verbose => Interest::all(),
        }
    }
}

/// How the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HumanStyle {
    /// Plain text with date and time: for files and pipes.
    #[default]
    Plain,
    /// The time of day, without colours: for a terminal whose user wants none.
    Terminal,
    /// The time of day and colours: for a terminal.
    Colours,
}

/// Writes events as lines for people.
#[derive(Debug)]
pub struct HumanLog<W> {
    lines: Lines<W>,
    names: Names,
    interest: Interest,
    style: HumanStyle,
    line: String,
    flood: Flood,
    /// The failure of a call's own cell is told once, by the cell.
    cells_tell: bool,
    roots: bool,
}

impl<W: Write + Send + 'static> HumanLog<W> {
    /// Writes to `out`, each line in one piece.
    pub fn new(out: W, app: Arc<App>, detail: Detail, style: HumanStyle) -> Self {
        Self {
            lines: Lines::new(out),
            names: Names::new(app),
            interest: detail.interest(),
            style,
            line: String::new(),
            flood: Flood::default(),
            cells_tell: detail != Detail::Verbose,
            roots: true,
        }
    }

    /// Leaves out how root calls fail: whoever started them says it.
    #[must_use]
    pub fn without_roots(self) -> Self {
        let interest = self.interest.without(Interest::in_kinds(&[Kind::RootFailed]));
        Self { interest, roots: false, ..self }
    }

    /// Whether an event gets a line.
    fn shows(&mut self, record: &Record) -> bool {
        let component = match &record.event {
            Event::Failure(failure) if self.twice(failure) => return false,
            Event::Failure(failure) => failure.component,
            Event::Call(Call { outcome: Outcome::Failed(kind), .. })
            | Event::Root(Root { outcome: Outcome::Failed(kind), .. })
                if self.cells_tell && its_cell_tells(*kind) =>
            {
                return false;
            }
            Event::Call(Call { outcome: Outcome::Failed(_), edge, .. }) => match self.names.edge(*edge) {
                Some(edge) => edge.exporter,
                None => return true,
            },
            Event::Root(Root { outcome: Outcome::Failed(_), component, .. }) => *component,
            Event::Call(_)
            | Event::Root(_)
            | Event::Postmortem(_)
            | Event::CellStarted { .. }
            | Event::CellEnded { .. }
            | Event::Demoted { .. }
            | Event::Denied { .. }
            | Event::Log { .. }
            | Event::LogCut { .. }
            | Event::Supervised { .. }
            | Event::Request(_)
            | Event::Trace(_)
            | Event::Worker { .. }
            | Event::Reload(_)
            | Event::Faults(_)
            | Event::Breaker { .. }
            | Event::Dropped { .. } => return true,
        };
        self.flood.shows(component, record.at)
    }

    /// Whether something else tells of the failure of a cell: who started the root call, or the call that it failed.
    fn twice(&self, failure: &Failure) -> bool {
        (failure.root && !self.roots) || (self.cells_tell && !its_cell_tells(failure.kind))
    }

    fn line(&mut self, write: impl FnOnce(&mut Line<'_>) -> fmt::Result) {
        self.line.clear();
        let mut writer = Line { text: &mut self.line, names: &self.names, style: self.style };
        // A `String` takes all it is given.
        if write(&mut writer).is_ok() {
            self.line.push('\n');
            self.lines.add(self.line.as_bytes());
        }
    }
}

impl<W: Write + Send + 'static> Sink for HumanLog<W> {
    fn interest(&self) -> Interest {
        self.interest
    }

    fn take(&mut self, record: &Record) {
        for (component, count) in self.flood.over(record.at) {
            self.line(|line| line.held_back(record.at, component, count));
        }
        if self.shows(record) {
            self.line(|line| line.write(record));
        }
    }

    fn flush(&mut self) {
        self.lines.flush();
    }
}

/// What a part of a line means, for its colour.
#[derive(Clone, Copy)]
enum Tone {
    Dim,
    Good,
    Odd,
    Bad,
    Name,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Dim => "2",
            Self::Good => "32",
            Self::Odd => "33",
            Self::Bad => "31",
            Self::Name => "36",
        }
    }
}

struct Line<'a> {
    text: &'a mut String,
    names: &'a Names,
    style: HumanStyle,
}

impl Line<'_> {
    fn toned(&mut self, tone: Tone, text: impl fmt::Display) -> fmt::Result {
        match self.style {
            HumanStyle::Colours => write!(self.text, "\x1b[{}m{text}\x1b[0m", tone.code()),
            HumanStyle::Plain | HumanStyle::Terminal => write!(self.text, "{text}"),
        }
    }

    fn time(&mut self, at: SystemTime) -> fmt::Result {
        match self.style {
            HumanStyle::Plain => write!(self.text, "{} ", Timestamp(at)),
            HumanStyle::Terminal => write!(self.text, "{:#} ", Timestamp(at)),
            HumanStyle::Colours => self.toned(Tone::Dim, format_args!("{:#} ", Timestamp(at))),
        }
    }

    fn write(&mut self, record: &Record) -> fmt::Result {
        self.time(record.at)?;
        match &record.event {
            Event::Request(request) => self.request(request),
            Event::Log { component, stream, line, context, trace: _ } => {
                self.log(*component, *stream, context.as_deref(), line)
            }
            Event::Failure(failure) => self.failure(failure),
            Event::Postmortem(postmortem) => self.postmortem(postmortem),
            Event::Denied { component, denial } => self.denied(*component, denial),
            Event::Call(call) => self.call(call),
            Event::Root(root) => self.root(root),
            Event::CellStarted { cell, component } => {
                write!(self.text, "cell {} of {} started", cell.0, self.names.component(*component))
            }
            Event::CellEnded { cell, component, end, injected, usage } => {
                let name = self.names.component(*component);
                match end {
                    CellEnd::Done => write!(self.text, "cell {} of {name} ended", cell.0)?,
                    CellEnd::Ejected(kind) => write!(self.text, "cell {} of {name} ejected: {kind}", cell.0)?,
                }
                if let Some(fault) = injected {
                    write!(self.text, " (injected: {fault})")?;
                }
                let (cpu, memory) = (Took(usage.cpu), Size(usage.memory_peak_bytes));
                self.toned(Tone::Dim, format_args!(", used {cpu} of cpu and up to {memory}"))
            }
            Event::LogCut { cell, component, bytes } => {
                let (name, bytes) = (self.names.component(*component), Size(*bytes));
                self.toned(
                    Tone::Odd,
                    format_args!("cell {} of {name} wrote {bytes} beyond its log budget, dropped", cell.0),
                )
            }
            Event::Demoted { cell, component, whose } => {
                let (name, whose) = (self.names.component(*component), self.names.component(*whose));
                write!(self.text, "cell {} of {name} goes on at lower priority: the slice of {whose} is spent", cell.0)
            }
            Event::Worker { worker, change } => match change {
                WorkerChange::Started { pid } => write!(self.text, "worker {worker} serves (pid {pid})"),
                WorkerChange::Ended { pid, how } => {
                    let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                    if how == "exit status: 0" {
                        write!(self.text, "worker {worker}{pid} left")
                    } else {
                        self.toned(Tone::Odd, format_args!("worker {worker}{pid} is gone: {}", clean(how)))
                    }
                }
            },
            Event::Reload(ReloadEnd::Done { generation, version }) => {
                write!(self.text, "reloaded: version {} (generation {generation})", clean(version))
            }
            Event::Reload(ReloadEnd::Failed { why }) => self.toned(Tone::Odd, format_args!("{}", clean(why))),
            Event::Faults(FaultsChange::Set { rules, seed, lasting }) => self.toned(
                Tone::Odd,
                format_args!("faults are injected for {}: {} (seed {seed})", Took(*lasting), clean(&rules.join("; "))),
            ),
            Event::Faults(FaultsChange::Cleared) => write!(self.text, "faults are injected no more: they were cleared"),
            Event::Faults(FaultsChange::Over) => write!(self.text, "faults are injected no more: their time is over"),
            Event::Supervised { of, change } => supervised::write(self, *of, *change),
            Event::Breaker { edge, state } => self.breaker(*edge, *state),
            Event::Trace(trace) => {
                write!(self.text, "trace {}", trace.id)?;
                let failed = trace.spans.iter().filter(|span| span.of.failed()).count();
                self.toned(Tone::Dim, format_args!(", {} spans, {failed} failed", trace.spans.len()))
            }
            Event::Dropped { count } => {
                self.toned(Tone::Odd, format_args!("{count} events are missing here: this log is read too slowly"))
            }
        }
    }

    fn request(&mut self, request: &Request) -> fmt::Result {
        let (tone, status) = match request.status {
            0 => (Tone::Odd, "---".to_owned()),
            status @ 500.. => (Tone::Bad, status.to_string()),
            status @ 400..500 => (Tone::Odd, status.to_string()),
            status => (Tone::Good, status.to_string()),
        };
        self.toned(tone, status)?;
        write!(self.text, " {} {} ", clean(&request.method), clean(&request.path))?;
        let (took, size) = (Took(request.duration), Size(request.bytes_out));
        self.toned(Tone::Dim, format_args!("{took}, {size}, {}, {}", request.client, request.version))
    }

    fn log(&mut self, component: ComponentId, stream: LogStream, context: Option<&str>, line: &str) -> fmt::Result {
        let mark = match stream {
            LogStream::Stdout => "|",
            LogStream::Stderr => "!",
            LogStream::Log(level) => level.name(),
        };
        let name = self.names.component(component).to_owned();
        self.toned(Tone::Name, format_args!("{name} {mark}"))?;
        if let Some(context) = context {
            write!(self.text, " {}:", clean(context))?;
        }
        write!(self.text, " {}", clean(line))
    }

    fn failure(&mut self, failure: &Failure) -> fmt::Result {
        let name = self.names.component(failure.component).to_owned();
        self.toned(Tone::Bad, format_args!("{name} failed: {}: {}", failure.kind, clean(&failure.detail)))?;
        match failure.injected {
            Some(fault) => write!(self.text, "; injected: {fault}"),
            None => Ok(()),
        }
    }

    fn held_back(&mut self, at: SystemTime, component: ComponentId, count: u64) -> fmt::Result {
        self.time(at)?;
        let name = self.names.component(component).to_owned();
        self.toned(Tone::Bad, format_args!("{name} failed {count} more times"))
    }

    fn postmortem(&mut self, postmortem: &Postmortem) -> fmt::Result {
        let name = self.names.component(postmortem.component).to_owned();
        self.toned(Tone::Name, format_args!("{name}"))?;
        write!(self.text, " postmortem of its {}", postmortem.kind)?;
        if let Some(at) = &postmortem.at {
            write!(self.text, " at {}", clean(at))?;
        }
        let folder = postmortem.folder.to_string_lossy();
        write!(self.text, ": watertight postmortem show {}", clean(&folder))
    }

    fn denied(&mut self, component: ComponentId, denial: &Denial) -> fmt::Result {
        let name = self.names.component(component).to_owned();
        self.toned(Tone::Odd, format_args!("{name} was refused: {}", clean(&denial.attempt)))?;
        write!(self.text, "; to allow it: {}", clean(&denial.remedy))
    }

    fn call(&mut self, call: &Call) -> fmt::Result {
        let (importer, exporter) = self.names.ends(call.edge);
        let what = format!("{importer} -> {exporter} {}", clean(self.names.function(call.edge, call.function)));
        let failed = self.names.edge(call.edge).and_then(|edge| self.names.spec(edge.exporter)).cloned();
        self.ended(&what, call.duration, call.outcome, call.injected, failed.as_ref())?;
        if call.outcome == Outcome::Ok {
            self.toned(Tone::Dim, format_args!(", {} in, {} out", Size(call.bytes_in), Size(call.bytes_out)))?;
        }
        if call.attempts > 1 {
            write!(self.text, ", in {} attempts", call.attempts)?;
        }
        match call.seen {
            Seen::Fallback => write!(self.text, "; its fallback answered"),
            Seen::Value => write!(self.text, "; its caller got what the manifest sets"),
            Seen::Results | Seen::Error | Seen::Trap => Ok(()),
        }
    }

    fn breaker(&mut self, edge: EdgeId, state: BreakerState) -> fmt::Result {
        let (importer, exporter) = self.names.ends(edge);
        let import = self.names.edge(edge).map_or("?", |edge| &edge.import);
        let what = format!("{importer} -> {exporter} {}: breaker {state}", clean(import));
        match state {
            BreakerState::Open => self.toned(Tone::Bad, format_args!("{what}, calls fail at once")),
            BreakerState::HalfOpen => self.toned(Tone::Odd, format_args!("{what}, one call tries")),
            BreakerState::Closed => self.toned(Tone::Good, format_args!("{what}, calls are made again")),
        }
    }

    fn root(&mut self, root: &Root) -> fmt::Result {
        let what = self.names.component(root.component).to_owned();
        let failed = self.names.spec(root.component).cloned();
        self.ended(&what, root.duration, root.outcome, root.injected, failed.as_ref())
    }

    fn ended(
        &mut self,
        what: &str,
        took: Duration,
        outcome: Outcome,
        injected: Option<FaultKind>,
        callee: Option<&Component>,
    ) -> fmt::Result {
        let took = Took(took);
        match outcome {
            Outcome::Ok => write!(self.text, "{what} {took}"),
            Outcome::Cancelled => write!(self.text, "{what} cut off by its caller after {took}"),
            Outcome::Failed(kind) => {
                self.toned(Tone::Bad, format_args!("{what} failed after {took}: {kind}"))?;
                // A fault that was injected says nothing of the limits.
                match (injected, callee.and_then(|callee| advice(kind, callee))) {
                    (Some(fault), _) => write!(self.text, "; injected: {fault}"),
                    (None, Some(advice)) => write!(self.text, "; {advice}"),
                    (None, None) => Ok(()),
                }
            }
        }
    }
}

/// Whether such a failure is always one of a cell, which says more than the call that it failed. A deadline can pass while a call waits
/// for its cell.
fn its_cell_tells(kind: FailureKind) -> bool {
    kind.poisons() && !matches!(kind, FailureKind::Deadline | FailureKind::WallLost)
}

/// What to change where a limit of the manifest was the end of a call.
fn advice(kind: FailureKind, component: &Component) -> Option<String> {
    let (name, budget) = (&component.name, &component.budget);
    match kind {
        FailureKind::Cpu => Some(format!("component.{name}.budget.cpu is {}", Took(budget.cpu))),
        FailureKind::Memory => Some(format!("component.{name}.budget.memory is {}", budget.memory)),
        FailureKind::Deadline => {
            Some(format!("component.{name}.budget.deadline is {}, or its caller's was over", Took(budget.deadline)))
        }
        FailureKind::QueueFull => Some(format!(
            "component.{name}.budget.concurrency is {}, and its queue is {}",
            budget.concurrency, budget.queue
        )),
        FailureKind::NoCapacity => Some(format!("component.{name}.budget.concurrency is {}", budget.concurrency)),
        FailureKind::Trap
        | FailureKind::StackOverflow
        | FailureKind::BadValue
        | FailureKind::Exit
        | FailureKind::DeadHandle
        | FailureKind::HostPanic
        | FailureKind::Host
        | FailureKind::WallLost
        | FailureKind::BreakerOpen
        | FailureKind::Shed
        | FailureKind::Down
        | FailureKind::Injected => None,
    }
}

/// A duration, with three digits that matter.
struct Took(Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_secs_f64() * 1e6;
        match micros {
            0.0..1e3 => write!(f, "{micros:.0} µs"),
            1e3..1e4 => write!(f, "{:.1} ms", micros / 1e3),
            1e4..1e6 => write!(f, "{:.0} ms", micros / 1e3),
            _ => write!(f, "{:.1} s", micros / 1e6),
        }
    }
}

/// A number of bytes, rounded.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = |shift: u32| {
            let whole = self.0 >> shift;
            (whole, ((self.0 - (whole << shift)) * 10) >> shift)
        };
        let (unit, (whole, tenth)) = match self.0 {
            0..0x400 => return write!(f, "{} B", self.0),
            0x400..0x10_0000 => ("KiB", tenths(10)),
            0x10_0000..0x4000_0000 => ("MiB", tenths(20)),
            _ => ("GiB", tenths(30)),
        };
        write!(f, "{whole}.{tenth} {unit}")
    }
}
