//! The span of a request that a guest sends, and what the request says of it (W3C Trace Context).

use std::{sync::Arc, time::Instant};

use http::{HeaderValue, Request, StatusCode, Uri, header::HeaderMap};
use watertight_model::{
    app::ComponentId,
    trace::{Sent, SpanId, TraceContext},
};
use watertight_runtime::Recording;

/// Bytes of a URL that a span has.
const MAX_URL: usize = 2048;

/// A request on its way.
pub(crate) struct Spanning {
    recording: Arc<Recording>,
    within: SpanId,
    span: SpanId,
    began: Instant,
    component: ComponentId,
    method: String,
    url: String,
}

impl Spanning {
    /// Begins it, and has the request say so.
    pub(crate) fn begin<B>(
        (recording, within): (Arc<Recording>, SpanId),
        component: ComponentId,
        request: &mut Request<B>,
    ) -> Self {
        let span = recording.draw();
        let (method, url) = (request.method().as_str().to_owned(), shown(request.uri()));
        tell(&recording, span, request.headers_mut());
        Self { recording, within, span, began: Instant::now(), component, method, url }
    }

    /// The head of the answer is there, or there will be none.
    pub(crate) fn end(self, status: Option<StatusCode>) {
        let Self { recording, within, span, began, component, method, url } = self;
        let status = status.map(|status| status.as_u16());
        recording.sent(span, within, Sent { component, method, url, status, duration: began.elapsed() });
    }
}

/// Puts the span into the headers. A guest that names a span of its own knows better; one that only hands on what it was
/// given means this one.
fn tell(recording: &Recording, span: SpanId, headers: &mut HeaderMap) {
    let said = headers.get("traceparent").map(|value| value.to_str().ok().and_then(TraceContext::parse));
    let handed_on =
        said.flatten().is_some_and(|said| said.trace == recording.trace() && Some(said.span) == recording.parent());
    if said.is_some() && !handed_on {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(recording.context(span).to_string()) {
        headers.insert("traceparent", value);
    }
    if let Some(Ok(state)) = recording.state().map(HeaderValue::try_from)
        && !headers.contains_key("tracestate")
    {
        headers.insert("tracestate", state);
    }
}

/// A URL without what may be secret: its query, and a user's name and password.
fn shown(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let mut url = format!("{scheme}://{authority}{}", uri.path());
    url.truncate(url.floor_char_boundary(MAX_URL));
    url
}
