//! The span of an HTTP request: part of the trace that its headers name, if they do (W3C Trace Context).

use std::sync::Arc;

use http::HeaderMap;
use watertight_host::HostCell;
use watertight_model::{
    event::Request,
    trace::{SpanId, SpanOf, TraceContext},
};
use watertight_runtime::{Recording, RunningApp};

/// A request whose span has begun.
pub(crate) struct Spanning {
    pub(crate) recording: Arc<Recording>,
    pub(crate) span: SpanId,
}

impl Spanning {
    /// Begins it, where somebody traces.
    pub(crate) fn begin(running: &RunningApp<HostCell>, headers: &HeaderMap) -> Option<Self> {
        if !running.is_traced() {
            return None;
        }
        let recording = running.record(parent(headers), state(headers).as_deref())?;
        let span = recording.draw();
        Some(Self { recording, span })
    }

    /// Ends it.
    pub(crate) fn end(self, request: &Request, secure: bool) {
        let of = SpanOf::Request { request: request.clone(), secure };
        self.recording.add(self.span, self.recording.parent(), of);
    }
}

/// The one span that called; of two, nobody knows which.
fn parent(headers: &HeaderMap) -> Option<TraceContext> {
    let mut said = headers.get_all("traceparent").iter();
    let first = said.next()?.to_str().ok()?;
    if said.next().is_some() { None } else { TraceContext::parse(first.trim()) }
}

/// What other vendors want passed on: several headers are one list.
fn state(headers: &HeaderMap) -> Option<String> {
    let said: Option<Vec<_>> = headers.get_all("tracestate").iter().map(|value| value.to_str().ok()).collect();
    said.filter(|said| !said.is_empty()).map(|said| said.join(","))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_request_names_its_caller_once() {
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = HeaderMap::new();
        assert_eq!((parent(&headers), state(&headers)), (None, None));
        headers.append("traceparent", HeaderValue::from_static(PARENT));
        headers.append("tracestate", HeaderValue::from_static("a=1"));
        headers.append("tracestate", HeaderValue::from_static("b=2"));
        assert_eq!(parent(&headers), TraceContext::parse(PARENT));
        assert_eq!(state(&headers).as_deref(), Some("a=1,b=2"));
        headers.append("traceparent", HeaderValue::from_static(PARENT));
        assert_eq!(parent(&headers), None);
    }
}
