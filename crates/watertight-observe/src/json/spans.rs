//! A trace as JSON: its spans, with names instead of indices.

use serde::ser::{Serialize, SerializeMap, Serializer};
use watertight_model::trace::{Span, SpanOf, Trace};

use super::{nanos, outcome};
use crate::names::Names;

pub(super) fn serialize<M: SerializeMap>(map: &mut M, names: &Names, trace: &Trace) -> Result<(), M::Error> {
    map.serialize_entry("event", "trace")?;
    map.serialize_entry("trace", &trace.id)?;
    map.serialize_entry("tree", &trace.tree())?;
    map.serialize_entry("sampled", &trace.sampled)?;
    let spans: Vec<_> = trace.spans.iter().map(|span| Named { names, span }).collect();
    map.serialize_entry("spans", &spans)?;
    if trace.lost > 0 {
        map.serialize_entry("lost", &trace.lost)?;
    }
    Ok(())
}

struct Named<'a> {
    names: &'a Names,
    span: &'a Span,
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { names, span } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("span", &span.id)?;
        map.serialize_entry("parent", &span.parent)?;
        map.serialize_entry("began_ns", &span.began_ns)?;
        map.serialize_entry("duration_ns", &nanos(span.of.duration()))?;
        match &span.of {
            SpanOf::Request { request, secure: _ } => {
                map.serialize_entry("of", "request")?;
                map.serialize_entry("method", &request.method)?;
                map.serialize_entry("path", &request.path)?;
                map.serialize_entry("route", &request.route.map(|route| names.route(route)))?;
                map.serialize_entry("status", &request.status)?;
            }
            SpanOf::Root(root) => {
                map.serialize_entry("of", "root")?;
                map.serialize_entry("component", names.component(root.component))?;
                outcome(&mut map, root.outcome)?;
            }
            SpanOf::Call(call) => {
                let (importer, exporter) = names.ends(call.edge);
                map.serialize_entry("of", "call")?;
                map.serialize_entry("edge", &format!("{importer}->{exporter}"))?;
                map.serialize_entry("function", names.function(call.edge, call.function))?;
                outcome(&mut map, call.outcome)?;
                map.serialize_entry("seen", &call.seen)?;
            }
            SpanOf::Sent(sent) => {
                map.serialize_entry("of", "sent")?;
                map.serialize_entry("component", names.component(sent.component))?;
                map.serialize_entry("method", &sent.method)?;
                map.serialize_entry("url", &sent.url)?;
                map.serialize_entry("status", &sent.status)?;
            }
        }
        map.end()
    }
}
