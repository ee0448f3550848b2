//! The messages of OTLP 1.9 that are sent, with their fields' numbers in
//! [opentelemetry-proto](https://github.com/open-telemetry/opentelemetry-proto); what is never set is left out.
//!
//! OpenTelemetry's own crate for them brings an SDK that nothing here would use.

mod wire;

use self::wire::Field as _;
pub(crate) use self::wire::{Message, Signed};

/// Makes a message of fields with numbers.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $number:literal $field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(crate) struct $name {
            $($(#[$of])* pub(crate) $field: $ty,)*
        }

        impl Message for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.put($number, out);)*
            }
        }
    )*};
}

messages! {
    /// What a collector of traces takes.
    ExportTraces {
        /// One for each resource.
        1 resource_spans: Vec<ResourceSpans>,
    }

    /// Spans of one resource.
    ResourceSpans {
        /// Which.
        1 resource: Option<Resource>,
        /// Its spans.
        2 scope_spans: Vec<ScopeSpans>,
        /// The conventions that its attributes follow.
        3 schema_url: String,
    }

    /// Spans that one library made.
    ScopeSpans {
        /// Which.
        1 scope: Option<Scope>,
        /// The spans.
        2 spans: Vec<Span>,
        /// The conventions that their attributes follow.
        3 schema_url: String,
    }

    /// A span.
    Span {
        /// 16 bytes.
        1 trace_id: Vec<u8>,
        /// 8 bytes.
        2 span_id: Vec<u8>,
        /// As in W3C's header.
        3 trace_state: String,
        /// 8 bytes, or none.
        4 parent_span_id: Vec<u8>,
        /// What it is called.
        5 name: String,
        /// A [`SpanKind`].
        6 kind: u8,
        /// Since 1970.
        7 start_time_unix_nano: u64,
        /// Since 1970.
        8 end_time_unix_nano: u64,
        /// What there is to say of it.
        9 attributes: Vec<KeyValue>,
        /// How it ended.
        15 status: Option<Status>,
        /// As in W3C's header, in the lowest byte.
        16 flags: u32,
    }

    /// How a span ended.
    Status {
        /// What went wrong.
        2 message: String,
        /// A [`StatusCode`].
        3 code: u8,
    }

    /// What a collector of logs takes.
    ExportLogs {
        /// One for each resource.
        1 resource_logs: Vec<ResourceLogs>,
    }

    /// Lines of one resource.
    ResourceLogs {
        /// Which.
        1 resource: Option<Resource>,
        /// Its lines.
        2 scope_logs: Vec<ScopeLogs>,
        /// The conventions that its attributes follow.
        3 schema_url: String,
    }

    /// Lines that one library took down.
    ScopeLogs {
        /// Which.
        1 scope: Option<Scope>,
        /// The lines.
        2 log_records: Vec<LogRecord>,
        /// The conventions that their attributes follow.
        3 schema_url: String,
    }

    /// A line, or an event.
    LogRecord {
        /// When it happened.
        1 time_unix_nano: u64,
        /// A [`Severity`].
        2 severity_number: u8,
        /// The same in a word.
        3 severity_text: String,
        /// The line.
        5 body: Option<AnyValue>,
        /// What there is to say of it.
        6 attributes: Vec<KeyValue>,
        /// As in W3C's header, in the lowest byte.
        8 flags: u32,
        /// 16 bytes, or none.
        9 trace_id: Vec<u8>,
        /// 8 bytes, or none.
        10 span_id: Vec<u8>,
        /// When it was seen.
        11 observed_time_unix_nano: u64,
        /// The name of an event.
        12 event_name: String,
    }

    /// What a collector of metrics takes.
    ExportMetrics {
        /// One for each resource.
        1 resource_metrics: Vec<ResourceMetrics>,
    }

    /// Metrics of one resource.
    ResourceMetrics {
        /// Which.
        1 resource: Option<Resource>,
        /// Its metrics.
        2 scope_metrics: Vec<ScopeMetrics>,
        /// The conventions that its attributes follow.
        3 schema_url: String,
    }

    /// Metrics that one library took.
    ScopeMetrics {
        /// Which.
        1 scope: Option<Scope>,
        /// The metrics.
        2 metrics: Vec<MetricMessage>,
        /// The conventions that their attributes follow.
        3 schema_url: String,
    }

    /// A metric, with one of three kinds of points.
    MetricMessage {
        /// What it is called.
        1 name: String,
        /// What it says.
        2 description: String,
        /// In what.
        3 unit: String,
        /// It rises and falls.
        5 gauge: Option<Gauge>,
        /// It adds up.
        7 sum: Option<Sum>,
        /// It is spread out.
        9 histogram: Option<Histogram>,
    }

    /// Points that rise and fall.
    Gauge {
        /// For each set of labels, one.
        1 data_points: Vec<NumberPoint>,
    }

    /// Points that add up.
    Sum {
        /// For each set of labels, one.
        1 data_points: Vec<NumberPoint>,
        /// A [`Temporality`].
        2 aggregation_temporality: u8,
        /// Whether it never falls.
        3 is_monotonic: bool,
    }

    /// Points that are spread out.
    Histogram {
        /// For each set of labels, one.
        1 data_points: Vec<HistogramPoint>,
        /// A [`Temporality`].
        2 aggregation_temporality: u8,
    }

    /// A number: one of two.
    NumberPoint {
        /// Since when.
        2 start_time_unix_nano: u64,
        /// Until when.
        3 time_unix_nano: u64,
        /// With a fraction.
        4 double: Option<f64>,
        /// Whole.
        6 int: Option<Signed>,
        /// Its labels.
        7 attributes: Vec<KeyValue>,
    }

    /// How something is spread out.
    HistogramPoint {
        /// Since when.
        2 start_time_unix_nano: u64,
        /// Until when.
        3 time_unix_nano: u64,
        /// How many.
        4 count: u64,
        /// All together.
        5 sum: Option<f64>,
        /// How many in each place.
        6 bucket_counts: Vec<u64>,
        /// The bounds between the places.
        7 explicit_bounds: Vec<f64>,
        /// Its labels.
        9 attributes: Vec<KeyValue>,
    }

    /// What all that is sent is about.
    Resource {
        /// What there is to say of it.
        1 attributes: Vec<KeyValue>,
    }

    /// The library that made something.
    Scope {
        /// What it is called.
        1 name: String,
        /// Which of it.
        2 version: String,
    }

    /// An attribute.
    KeyValue {
        /// Its name.
        1 key: String,
        /// Its value.
        2 value: Option<AnyValue>,
    }

    /// A value: one of two.
    AnyValue {
        /// Text.
        1 text: Option<String>,
        /// A whole number.
        3 int: Option<i64>,
    }
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SpanKind {
    /// None.
    Internal = 1,
    /// Who is called.
    Server = 2,
    /// Who calls.
    Client = 3,
}

/// Whether something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StatusCode {
    /// Yes.
    Error = 2,
}

/// How bad a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Severity {
    /// Each step.
    Trace = 1,
    /// For who looks for a mistake.
    Debug = 5,
    /// Not at all.
    Info = 9,
    /// It may become so.
    Warn = 13,
    /// It is.
    Error = 17,
    /// Nothing goes on after it.
    Fatal = 21,
}

/// Since when something adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Temporality {
    /// Since it began.
    Cumulative = 2,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A span as OpenTelemetry's own crate writes it (opentelemetry-proto 0.33).
    const SPAN: &[u8] = include_bytes!("proto/span.bin");

    #[test]
    fn bytes_are_those_of_the_official_schema() {
        let attribute = |key: &str, text: Option<&str>, int| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { text: text.map(str::to_owned), int }),
        };
        let span = Span {
            trace_id: (1..=16).collect(),
            span_id: (1..=8).collect(),
            trace_state: "a=1".to_owned(),
            parent_span_id: (2..=9).collect(),
            name: "GET /".to_owned(),
            kind: SpanKind::Server as u8,
            start_time_unix_nano: 1_770_091_445_006_000_000,
            end_time_unix_nano: 1_770_091_445_007_000_000,
            attributes: vec![attribute("x", Some("y"), None), attribute("n", None, Some(-5))],
            status: Some(Status { message: "trap".to_owned(), code: StatusCode::Error as u8 }),
            flags: 1,
        };
        assert_eq!(span.encode(), SPAN);
    }
}
