//! One response: a status, a type and bytes.

use crate::wasi::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};

pub(crate) struct Answer {
    status: u16,
    kind: &'static str,
    bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn of(kind: &'static str, bytes: Vec<u8>) -> Self {
        Self { status: 200, kind, bytes }
    }

    pub(crate) fn html(status: u16, html: String) -> Self {
        Self { status, kind: "text/html; charset=utf-8", bytes: html.into_bytes() }
    }

    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", bytes: format!("{text}\n").into_bytes() }
    }

    /// Sends it; a visitor who went away is no failure of the site.
    pub(crate) fn send(self, out: ResponseOutparam, with_body: bool) {
        let headers = Fields::new();
        let _ = headers.append("content-type", self.kind.as_bytes());
        let _ = headers.append("content-length", self.bytes.len().to_string().as_bytes());
        let response = OutgoingResponse::new(headers);
        let _ = response.set_status_code(self.status);
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        if with_body {
            let stream = body.write().expect("the stream is taken once");
            for part in self.bytes.chunks(4096) {
                if stream.blocking_write_and_flush(part).is_err() {
                    return;
                }
            }
        }
        let _ = OutgoingBody::finish(body, None);
    }
}
