//! wasi:http 0.2: answers every request with its method and path, and how many this instance has answered.

wit_bindgen::generate!({ path: "../../../wit", world: "http-hello", generate_all });

use std::cell::Cell;

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

thread_local! {
    static ANSWERED: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let count = ANSWERED.get() + 1;
        ANSWERED.set(count);
        let method = match request.method() {
            Method::Get => "GET".to_owned(),
            Method::Post => "POST".to_owned(),
            other => format!("{other:?}"),
        };
        let path = request.path_with_query().unwrap_or_default();
        let text = format!("hello {method} {path} {count}\n");

        let headers = Fields::new();
        let _ = headers.append("content-type", b"text/plain");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream is taken once");
        let _ = stream.blocking_write_and_flush(text.as_bytes());
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

export!(Hello);
