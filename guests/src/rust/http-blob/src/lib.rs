//! wasi:http 0.2: sends 64 KiB through another component's `blob` and answers with the length that came back.
//! `/N` sends N bytes.

wit_bindgen::generate!({ path: "../../../wit", world: "http-blob", generate_all });

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use watertight::test::blob;

struct Proxy;

impl Guest for Proxy {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let size = path.trim_start_matches('/').parse().unwrap_or(64 * 1024);
        let back = blob::echo(&vec![7; size]);
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream is taken once");
        let _ = stream.blocking_write_and_flush(format!("{}\n", back.len()).as_bytes());
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

export!(Proxy);
