//! Answers GET /NAME with a greeting. Each request has a memory of its own: nothing is left of the one before.

mod greeting;

wit_bindgen::generate!({ path: "wit", world: "web", generate_all });

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Web;

impl Guest for Web {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let name = path.trim_start_matches('/').split('?').next().unwrap_or_default();
        let answer = greeting::greet(name) + "\n";

        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("it was not asked for before");
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            // A client that has gone away wants no answer.
            let _ = stream.blocking_write_and_flush(answer.as_bytes());
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

export!(Web);
