#![expect(clippy::wildcard_enum_match_arm, reason = "of all events, a collector gets a few")]
//! Events as messages of OTLP, by OpenTelemetry's semantic conventions for HTTP and logs, and with attributes of our own for
//! what crosses between components.
//!
//! | span | kind | name |
//! |---|---|---|
//! | a request | server | `GET /docs/...` |
//! | the component that it entered | internal | the component's name |
//! | a crossing | internal | `callee.function` |
//! | a request that a component sent | client | `GET` |

use std::{sync::Arc, time::SystemTime};

use watertight_model::{
    app::App,
    event::{Call, Event, LogLevel, LogStream, Outcome, Request, Root},
    trace::{Sent, Span, SpanOf, Trace, TraceContext},
};

use super::{
    config::OtlpConfig,
    proto::{
        AnyValue, ExportLogs, ExportTraces, KeyValue, LogRecord, Message as _, Resource, ResourceLogs, ResourceSpans,
        Scope, ScopeLogs, ScopeSpans, Severity, Span as SpanMessage, SpanKind, Status, StatusCode,
    },
};
use crate::{bus::Record, names::Names};

/// The schema of the conventions that attributes follow.
pub(super) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// The flag of the W3C trace context that a span has which was kept from the start.
const SAMPLED: u32 = 1;

/// Gathers messages.
#[derive(Debug)]
pub(super) struct Encoder {
    names: Names,
    resource: Resource,
    traces: bool,
    logs: bool,
    spans: Vec<SpanMessage>,
    lines: Vec<LogRecord>,
}

impl Encoder {
    pub(super) fn new(config: &OtlpConfig, app: Arc<App>) -> Self {
        let pid = i64::from(std::process::id());
        let resource = resource(config, &app.name, &app.version, Some(pid));
        let (traces, logs) = (config.traces.is_some(), config.logs.is_some());
        Self { names: Names::new(app), resource, traces, logs, spans: Vec::new(), lines: Vec::new() }
    }

    pub(super) fn add(&mut self, record: &Record) {
        let at = unix_nanos(record.at);
        let names = self.names.clone();
        match &record.event {
            Event::Trace(trace) if self.traces => {
                self.spans.extend(trace.spans.iter().map(|span| encode(&names, trace, span)));
            }
            Event::Log { component, stream, line, context, trace } if self.logs => {
                let mut attributes = vec![text("watertight.component", names.component(*component))];
                attributes.extend(context.as_deref().map(|context| text("watertight.log.context", context)));
                let severity = match stream {
                    LogStream::Stdout => Severity::Info,
                    LogStream::Stderr => Severity::Warn,
                    LogStream::Log(level) => severity(*level),
                };
                match stream {
                    LogStream::Stdout | LogStream::Stderr => attributes.push(text("log.iostream", stream.name())),
                    LogStream::Log(_) => {}
                }
                self.lines.push(line_of(at, severity, line, attributes, *trace));
            }
            Event::Failure(failure) if self.logs => {
                let name = names.component(failure.component);
                let attributes = vec![text("watertight.component", name), text("error.type", failure.kind.name())];
                let line = format!("{name} failed: {}", failure.detail);
                let record = line_of(at, Severity::Error, &line, attributes, failure.trace);
                self.lines.push(LogRecord { event_name: "watertight.failure".to_owned(), ..record });
            }
            Event::Denied { component, denial } if self.logs => {
                let name = names.component(*component);
                let attributes = vec![text("watertight.component", name)];
                let line = format!("{name} may not {}; to allow it: {}", denial.attempt, denial.remedy);
                let record = line_of(at, Severity::Warn, &line, attributes, None);
                self.lines.push(LogRecord { event_name: "watertight.denied".to_owned(), ..record });
            }
            // It asks for no others, and not all of these may have a place to go to.
            _ => {}
        }
    }

    /// Spans that wait.
    pub(super) fn spans(&self) -> usize {
        self.spans.len()
    }

    /// Lines that wait.
    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// The spans as one message, if there are any.
    pub(super) fn take_traces(&mut self) -> Option<Vec<u8>> {
        let spans = std::mem::take(&mut self.spans);
        let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, schema_url: SCHEMA.to_owned() }];
        let of = ResourceSpans { resource: Some(self.resource.clone()), scope_spans, schema_url: SCHEMA.to_owned() };
        let any = of.scope_spans.iter().any(|scope| !scope.spans.is_empty());
        any.then(|| ExportTraces { resource_spans: vec![of] }.encode())
    }

    /// The lines as one message, if there are any.
    pub(super) fn take_logs(&mut self) -> Option<Vec<u8>> {
        let log_records = std::mem::take(&mut self.lines);
        let any = !log_records.is_empty();
        let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, schema_url: SCHEMA.to_owned() }];
        let of = ResourceLogs { resource: Some(self.resource.clone()), scope_logs, schema_url: SCHEMA.to_owned() };
        any.then(|| ExportLogs { resource_logs: vec![of] }.encode())
    }
}

fn severity(level: LogLevel) -> Severity {
    match level {
        LogLevel::Trace => Severity::Trace,
        LogLevel::Debug => Severity::Debug,
        LogLevel::Info => Severity::Info,
        LogLevel::Warn => Severity::Warn,
        LogLevel::Error => Severity::Error,
        LogLevel::Critical => Severity::Fatal,
    }
}

/// What all messages of a process are about.
pub(super) fn resource(config: &OtlpConfig, app: &str, version: &str, pid: Option<i64>) -> Resource {
    let mut attributes = vec![
        text("service.name", config.service.as_deref().unwrap_or(app)),
        text("service.version", version),
        text("telemetry.sdk.name", "watertight"),
        text("telemetry.sdk.language", "rust"),
        text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    attributes.extend(pid.map(|pid| number("process.pid", pid)));
    for (name, value) in &config.attributes {
        // What the variable of its own says goes first.
        if attributes.iter().all(|known| known.key != *name) {
            attributes.push(text(name, value));
        } else if name != "service.name" || config.service.is_none() {
            attributes.retain(|known| known.key != *name);
            attributes.push(text(name, value));
        }
    }
    Resource { attributes }
}

pub(super) fn scope() -> Scope {
    let (name, version) = ("watertight".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Scope { name, version }
}

/// A span without what it is about.
struct Kind {
    name: String,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
    /// What went wrong.
    error: Option<String>,
}

fn encode(names: &Names, trace: &Trace, span: &Span) -> SpanMessage {
    let Kind { name, kind, attributes, error } = match &span.of {
        SpanOf::Request { request, secure } => of_request(names, request, *secure),
        SpanOf::Root(root) => of_root(names, root),
        SpanOf::Call(call) => of_call(names, call),
        SpanOf::Sent(sent) => of_sent(names, sent),
    };
    let took = u64::try_from(span.of.duration().as_nanos()).unwrap_or(u64::MAX);
    let status = error.map(|message| Status { message, code: StatusCode::Error as u8 });
    SpanMessage {
        trace_id: trace.id.0.to_be_bytes().to_vec(),
        span_id: span.id.0.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.0.to_be_bytes().to_vec()).unwrap_or_default(),
        trace_state: trace.state.as_deref().unwrap_or_default().to_owned(),
        flags: if trace.sampled { SAMPLED } else { 0 },
        name,
        kind: kind as u8,
        start_time_unix_nano: span.began_ns,
        end_time_unix_nano: span.began_ns.saturating_add(took),
        attributes,
        status,
    }
}

fn of_request(names: &Names, request: &Request, secure: bool) -> Kind {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let route = request.route.map(|route| names.route(route));
    let (method, original) = known_method(&request.method);
    let named = if original.is_some() { "HTTP" } else { method };
    let mut attributes = vec![
        text("http.request.method", method),
        text("url.path", path),
        text("url.scheme", if secure { "https" } else { "http" }),
        text("client.address", &request.client.to_string()),
        text("network.protocol.name", "http"),
        text("network.protocol.version", request.version.trim_start_matches("HTTP/").trim_end_matches(".0")),
        size("http.request.body.size", request.bytes_in),
        size("http.response.body.size", request.bytes_out),
    ];
    attributes.extend(original.map(|original| text("http.request.method_original", original)));
    attributes.extend((!query.is_empty()).then(|| text("url.query", query)));
    attributes.extend(route.map(|route| text("http.route", route)));
    if request.status > 0 {
        attributes.push(number("http.response.status_code", request.status.into()));
    }
    let error = match request.status {
        0 => Some("the client left before there was an answer".to_owned()),
        500.. => Some(String::new()),
        _ => None,
    };
    if error.is_some() {
        let kind = if request.status == 0 { "cancelled".to_owned() } else { request.status.to_string() };
        attributes.push(text("error.type", &kind));
    }
    let name = route.map_or_else(|| named.to_owned(), |route| format!("{named} {route}"));
    Kind { name, kind: SpanKind::Server, attributes, error }
}

/// Methods that names may have; others would make as many names as clients can think of.
fn known_method(method: &str) -> (&str, Option<&str>) {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    if KNOWN.contains(&method) { (method, None) } else { ("_OTHER", Some(method)) }
}

fn of_root(names: &Names, root: &Root) -> Kind {
    let component = names.component(root.component);
    let mut attributes = vec![text("watertight.component", component), number("watertight.tree", tree(root.tree.0))];
    let error = ended(&mut attributes, root.outcome);
    attributes.extend(root.injected.map(|fault| text("watertight.injected", fault.name())));
    Kind { name: component.to_owned(), kind: SpanKind::Internal, attributes, error }
}

fn of_call(names: &Names, call: &Call) -> Kind {
    let (from, to) = names.ends(call.edge);
    let function = names.function(call.edge, call.function);
    let import = names.edge(call.edge).map_or("?", |edge| edge.import.as_str());
    let mut attributes = vec![
        text("watertight.component", to),
        text("watertight.caller", from),
        text("watertight.interface", import),
        text("watertight.function", function),
        size("watertight.request.size", call.bytes_in),
        size("watertight.response.size", call.bytes_out),
        number("watertight.tree", tree(call.tree.0)),
    ];
    if call.attempts != 1 {
        attributes.push(number("watertight.attempts", call.attempts.into()));
    }
    let error = ended(&mut attributes, call.outcome);
    if error.is_some() {
        attributes.push(text("watertight.seen", seen(call)));
    }
    if call.fallback.is_some() {
        attributes.push(text("watertight.fallback", names.fallback(call.edge, call.function)));
    }
    attributes.extend(call.injected.map(|fault| text("watertight.injected", fault.name())));
    Kind { name: format!("{to}.{function}"), kind: SpanKind::Internal, attributes, error }
}

fn seen(call: &Call) -> &'static str {
    use watertight_model::event::Seen;
    match call.seen {
        Seen::Results => "results",
        Seen::Fallback => "fallback",
        Seen::Value => "value",
        Seen::Error => "error",
        Seen::Trap => "trap",
    }
}

fn ended(attributes: &mut Vec<KeyValue>, outcome: Outcome) -> Option<String> {
    let kind = match outcome {
        Outcome::Ok => return None,
        Outcome::Cancelled => "cancelled",
        Outcome::Failed(kind) => kind.name(),
    };
    attributes.push(text("error.type", kind));
    Some(kind.to_owned())
}

fn of_sent(names: &Names, sent: &Sent) -> Kind {
    let (method, original) = known_method(&sent.method);
    let mut attributes = vec![
        text("http.request.method", method),
        text("url.full", &sent.url),
        text("watertight.component", names.component(sent.component)),
    ];
    attributes.extend(original.map(|original| text("http.request.method_original", original)));
    let uri = sent.url.parse::<http::Uri>().ok();
    if let Some((host, port)) = uri.as_ref().and_then(|uri| {
        let own = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        Some((uri.host()?, uri.port_u16().unwrap_or(own)))
    }) {
        attributes.extend([text("server.address", host), number("server.port", port.into())]);
    }
    attributes.extend(sent.status.map(|status| number("http.response.status_code", status.into())));
    let error = match sent.status {
        None => Some("no answer".to_owned()),
        Some(status) => (status >= 400).then(String::new),
    };
    if error.is_some() {
        let kind = sent.status.map_or_else(|| "no-answer".to_owned(), |status| status.to_string());
        attributes.push(text("error.type", &kind));
    }
    Kind {
        name: if original.is_some() { "HTTP" } else { method }.to_owned(),
        kind: SpanKind::Client,
        attributes,
        error,
    }
}

fn line_of(
    at: u64,
    severity: Severity,
    line: &str,
    attributes: Vec<KeyValue>,
    trace: Option<TraceContext>,
) -> LogRecord {
    let severity_text = match severity {
        Severity::Trace => "TRACE",
        Severity::Debug => "DEBUG",
        Severity::Info => "INFO",
        Severity::Warn => "WARN",
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: severity as u8,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { text: Some(line.to_owned()), int: None }),
        attributes,
        flags: trace.map_or(0, |trace| u32::from(trace.sampled)),
        trace_id: trace.map(|trace| trace.trace.0.to_be_bytes().to_vec()).unwrap_or_default(),
        span_id: trace.map(|trace| trace.span.0.to_be_bytes().to_vec()).unwrap_or_default(),
        ..LogRecord::default()
    }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { text: Some(value.to_owned()), int: None }) }
}

pub(super) fn number(key: &str, value: i64) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { text: None, int: Some(value) }) }
}

fn size(key: &str, bytes: u64) -> KeyValue {
    number(key, i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn tree(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unix_nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
