//! wasi:http 0.2 in front of `watertight:test/behave`: `/run/N`, `/quiet/N`, `/bare/N` and `/plain/N` call the dependency.
//! 200 with `ok VALUE`, or 502 with `err TEXT`; any other path answers 200 with `idle` and calls nothing.

wit_bindgen::generate!({ path: "../../../wit", world: "http-behave", generate_all });

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use watertight::test::behave;

struct Front;

fn answer(path: &str) -> Result<String, String> {
    let mut parts = path.trim_start_matches('/').split('/');
    let door = parts.next().unwrap_or_default();
    let n = parts.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    match door {
        "run" => behave::run(n).map(|value| format!("ok {value}")),
        "quiet" => behave::quiet(n).map(|value| format!("ok {value}")).map_err(|()| "quiet".to_owned()),
        "bare" => behave::bare(n).map(|()| "ok".to_owned()).map_err(|()| "bare".to_owned()),
        "plain" => Ok(format!("ok {}", behave::plain(n))),
        _ => Ok("idle".to_owned()),
    }
}

impl Guest for Front {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, text) = match answer(&request.path_with_query().unwrap_or_default()) {
            Ok(text) => (200, text),
            Err(text) => (502, format!("err {text}")),
        };
        let response = OutgoingResponse::new(Fields::new());
        let _ = response.set_status_code(status);
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream is taken once");
        let _ = stream.blocking_write_and_flush(text.as_bytes());
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

export!(Front);
