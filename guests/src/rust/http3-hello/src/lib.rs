//! wasi:http 0.3: answers every request with its path, and how many this instance has answered.

wit_bindgen::generate!({ path: "../../../wit-async", world: "http3-hello", generate_all });

use std::cell::Cell;

use exports::wasi::http::handler::Guest;
use wasi::http::types::{ErrorCode, Fields, Request, Response};

struct Hello;

thread_local! {
    static ANSWERED: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let count = ANSWERED.get() + 1;
        ANSWERED.set(count);
        let text = format!("hello {} {count}\n", request.get_path_with_query().unwrap_or_default());

        let (mut body, contents) = wit_stream::new();
        let (_, trailers) = wit_future::new(|| Ok(None));
        wit_bindgen::spawn_local(async move {
            body.write_all(text.into_bytes()).await;
        });
        let headers = Fields::new();
        let _ = headers.append("content-type", b"text/plain");
        Ok(Response::new(headers, Some(contents), trailers).0)
    }
}

export!(Hello);
