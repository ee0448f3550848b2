//! JSON lines: one object a line for each event, with names instead of indices, for machines.
//!
//! Every line has `time` (RFC 3339, UTC), `pid` (cells and call trees are numbered within a process) and `event`;
//! durations are whole nanoseconds. Keys are only ever added.

mod spans;
mod supervised;

use std::{io::Write, sync::Arc};

use serde::ser::{Serialize, SerializeMap, Serializer};
use watertight_model::{
    app::App,
    event::{CellEnd, Event, FaultsChange, LogStream, Outcome, ReloadEnd, WorkerChange},
    fault::FaultKind,
    trace::TraceContext,
};

use crate::{
    bus::{Record, Sink},
    kind::Interest,
    lines::Lines,
    names::Names,
    timestamp::Timestamp,
};

/// Writes every event as a line of JSON.
#[derive(Debug)]
pub struct JsonLines<W> {
    lines: Lines<W>,
    names: Names,
    interest: Interest,
    pid: u32,
    line: Vec<u8>,
}

impl<W: Write + Send + 'static> JsonLines<W> {
    /// Writes events of these kinds to `out`, each line in one piece. `pid` is this process's.
    pub fn new(out: W, app: Arc<App>, interest: Interest, pid: u32) -> Self {
        Self { lines: Lines::new(out), names: Names::new(app), interest, pid, line: Vec::new() }
    }
}

impl<W> JsonLines<W> {
    /// An event as a line, without its end.
    pub fn line(&mut self, record: &Record) -> Option<String> {
        // Of values that are all representable.
        serde_json::to_string(&Named { names: &self.names, record, pid: self.pid }).ok()
    }
}

impl<W: Write + Send + 'static> Sink for JsonLines<W> {
    fn interest(&self) -> Interest {
        self.interest
    }

    fn take(&mut self, record: &Record) {
        self.line.clear();
        let named = Named { names: &self.names, record, pid: self.pid };
        // Writing to memory, of values that are all representable, does not fail; a line that did would only be lost.
        if serde_json::to_writer(&mut self.line, &named).is_ok() {
            self.line.push(b'\n');
            self.lines.add(&self.line);
        }
    }

    fn flush(&mut self) {
        self.lines.flush();
    }
}

struct Named<'a> {
    names: &'a Names,
    record: &'a Record,
    pid: u32,
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &Timestamp(self.record.at).to_string())?;
        map.serialize_entry("pid", &self.pid)?;
        self.event(&mut map)?;
        map.end()
    }
}

impl Named<'_> {
    fn event<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let names = self.names;
        match &self.record.event {
            Event::Call(call) => {
                let (importer, exporter) = names.ends(call.edge);
                map.serialize_entry("event", "call")?;
                map.serialize_entry("tree", &call.tree)?;
                map.serialize_entry("edge", &format!("{importer}->{exporter}"))?;
                map.serialize_entry("import", names.edge(call.edge).map_or("?", |edge| &edge.import))?;
                map.serialize_entry("function", names.function(call.edge, call.function))?;
                map.serialize_entry("duration_ns", &nanos(call.duration))?;
                map.serialize_entry("bytes_in", &call.bytes_in)?;
                map.serialize_entry("bytes_out", &call.bytes_out)?;
                outcome(map, call.outcome)?;
                injected(map, call.injected)?;
                map.serialize_entry("attempts", &call.attempts)?;
                if let Some(fallback) = call.fallback {
                    map.serialize_entry("fallback", names.fallback(call.edge, call.function))?;
                    map.serialize_entry("fallback_outcome", name_of(fallback))?;
                }
                map.serialize_entry("seen", &call.seen)
            }
            Event::Root(root) => {
                map.serialize_entry("event", "root")?;
                map.serialize_entry("tree", &root.tree)?;
                map.serialize_entry("component", names.component(root.component))?;
                map.serialize_entry("duration_ns", &nanos(root.duration))?;
                outcome(map, root.outcome)?;
                injected(map, root.injected)
            }
            Event::CellStarted { cell, component } => {
                map.serialize_entry("event", "cell-started")?;
                map.serialize_entry("cell", cell)?;
                map.serialize_entry("component", names.component(*component))
            }
            Event::CellEnded { cell, component, end, injected: fault, usage } => {
                map.serialize_entry("event", "cell-ended")?;
                map.serialize_entry("cell", cell)?;
                map.serialize_entry("component", names.component(*component))?;
                map.serialize_entry("cpu_ns", &nanos(usage.cpu))?;
                map.serialize_entry("memory_peak_bytes", &usage.memory_peak_bytes)?;
                map.serialize_entry("log_bytes", &usage.log_bytes)?;
                map.serialize_entry("log_dropped_bytes", &usage.log_dropped_bytes)?;
                injected(map, *fault)?;
                match end {
                    CellEnd::Done => map.serialize_entry("end", "done"),
                    CellEnd::Ejected(failure) => {
                        map.serialize_entry("end", "ejected")?;
                        map.serialize_entry("failure", failure)
                    }
                }
            }
            Event::LogCut { cell, component, bytes } => {
                map.serialize_entry("event", "log-cut")?;
                map.serialize_entry("cell", cell)?;
                map.serialize_entry("component", names.component(*component))?;
                map.serialize_entry("bytes", bytes)
            }
            Event::Failure(failure) => {
                map.serialize_entry("event", "failure")?;
                map.serialize_entry("tree", &failure.tree)?;
                map.serialize_entry("cell", &failure.cell)?;
                map.serialize_entry("component", names.component(failure.component))?;
                map.serialize_entry("failure", &failure.kind)?;
                map.serialize_entry("blame", &failure.kind.blame())?;
                map.serialize_entry("detail", &failure.detail)?;
                traced(map, failure.trace.as_ref())?;
                injected(map, failure.injected)
            }
            Event::Postmortem(postmortem) => {
                map.serialize_entry("event", "postmortem")?;
                map.serialize_entry("component", names.component(postmortem.component))?;
                map.serialize_entry("failure", &postmortem.kind)?;
                map.serialize_entry("folder", &postmortem.folder.to_string_lossy())?;
                map.serialize_entry("at", &postmortem.at)
            }
            Event::Demoted { cell, component, whose } => {
                map.serialize_entry("event", "demoted")?;
                map.serialize_entry("cell", cell)?;
                map.serialize_entry("component", names.component(*component))?;
                map.serialize_entry("slice_of", names.component(*whose))
            }
            Event::Denied { component, denial } => {
                map.serialize_entry("event", "denied")?;
                map.serialize_entry("component", names.component(*component))?;
                map.serialize_entry("grant", denial.grant)?;
                map.serialize_entry("attempt", &denial.attempt)?;
                map.serialize_entry("remedy", &denial.remedy)
            }
            Event::Log { component, stream, line, context, trace } => {
                map.serialize_entry("event", "log")?;
                map.serialize_entry("component", names.component(*component))?;
                map.serialize_entry("stream", stream.name())?;
                if let LogStream::Log(level) = stream {
                    map.serialize_entry("level", level.name())?;
                }
                if let Some(context) = context {
                    map.serialize_entry("context", context)?;
                }
                map.serialize_entry("line", line)?;
                traced(map, trace.as_ref())
            }
            Event::Request(request) => {
                map.serialize_entry("event", "request")?;
                map.serialize_entry("method", &request.method)?;
                map.serialize_entry("path", &request.path)?;
                map.serialize_entry("status", &request.status)?;
                map.serialize_entry("version", request.version)?;
                map.serialize_entry("client", &request.client)?;
                map.serialize_entry("route", &request.route.map(|route| names.route(route)))?;
                map.serialize_entry("bytes_in", &request.bytes_in)?;
                map.serialize_entry("bytes_out", &request.bytes_out)?;
                map.serialize_entry("duration_ns", &nanos(request.duration))?;
                if let Some(trace) = request.trace {
                    map.serialize_entry("trace", &trace)?;
                }
                Ok(())
            }
            Event::Trace(trace) => spans::serialize(map, names, trace),
            Event::Worker { worker, change } => {
                map.serialize_entry("event", "worker")?;
                map.serialize_entry("worker", worker)?;
                match change {
                    WorkerChange::Started { pid } => {
                        map.serialize_entry("change", "started")?;
                        map.serialize_entry("worker_pid", pid)
                    }
                    WorkerChange::Ended { pid, how } => {
                        map.serialize_entry("change", "ended")?;
                        if let Some(pid) = pid {
                            map.serialize_entry("worker_pid", pid)?;
                        }
                        map.serialize_entry("how", how)
                    }
                }
            }
            Event::Reload(end) => {
                map.serialize_entry("event", "reload")?;
                match end {
                    ReloadEnd::Done { generation, version } => {
                        map.serialize_entry("change", "done")?;
                        map.serialize_entry("generation", generation)?;
                        map.serialize_entry("version", version)
                    }
                    ReloadEnd::Failed { why } => {
                        map.serialize_entry("change", "failed")?;
                        map.serialize_entry("why", why)
                    }
                }
            }
            Event::Faults(change) => {
                map.serialize_entry("event", "faults")?;
                match change {
                    FaultsChange::Set { rules, seed, lasting } => {
                        map.serialize_entry("change", "set")?;
                        map.serialize_entry("faults", rules)?;
                        map.serialize_entry("seed", seed)?;
                        map.serialize_entry("for_ms", &u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX))
                    }
                    FaultsChange::Cleared => map.serialize_entry("change", "cleared"),
                    FaultsChange::Over => map.serialize_entry("change", "over"),
                }
            }
            Event::Supervised { of, change } => supervised::serialize(map, names, *of, *change),
            Event::Breaker { edge, state } => {
                let (importer, exporter) = names.ends(*edge);
                map.serialize_entry("event", "breaker")?;
                map.serialize_entry("edge", &format!("{importer}->{exporter}"))?;
                map.serialize_entry("import", names.edge(*edge).map_or("?", |edge| &edge.import))?;
                map.serialize_entry("state", state)
            }
            Event::Dropped { count } => {
                map.serialize_entry("event", "dropped")?;
                map.serialize_entry("count", count)
            }
        }
    }
}

fn outcome<M: SerializeMap>(map: &mut M, outcome: Outcome) -> Result<(), M::Error> {
    map.serialize_entry("outcome", name_of(outcome))?;
    match outcome {
        Outcome::Ok | Outcome::Cancelled => Ok(()),
        Outcome::Failed(failure) => map.serialize_entry("failure", &failure),
    }
}

fn name_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Cancelled => "cancelled",
        Outcome::Failed(_) => "failed",
    }
}

fn traced<M: SerializeMap>(map: &mut M, trace: Option<&TraceContext>) -> Result<(), M::Error> {
    let Some(trace) = trace else { return Ok(()) };
    map.serialize_entry("trace", &trace.trace)?;
    map.serialize_entry("span", &trace.span)
}

fn injected<M: SerializeMap>(map: &mut M, injected: Option<FaultKind>) -> Result<(), M::Error> {
    match injected {
        Some(fault) => map.serialize_entry("injected", &fault),
        None => Ok(()),
    }
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
