//! wasi:http 0.3 in front of `watertight:later/later`: `/add/A/B`, `/turn/TEXT`, `/explode` and `/spin` call the dependency.
//! 200 with `ok VALUE`, or 502 with `err TEXT`; any other path answers 200 with `idle` and calls nothing.

wit_bindgen::generate!({ path: "../../../wit-async", world: "http3-later", generate_all });

use exports::wasi::http::handler::Guest;
use wasi::http::types::{ErrorCode, Fields, Request, Response};
use watertight::later::later;

struct Front;

async fn answer(path: &str) -> Result<String, String> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let number = |at: usize| parts.get(at).and_then(|n| n.parse().ok()).unwrap_or(0);
    match parts.first().copied() {
        Some("add") => Ok(later::add(number(1), number(2), 1).await.to_string()),
        Some("turn") => later::turn(parts.get(1).copied().unwrap_or_default().to_owned(), 1).await,
        Some("explode") => later::explode(1).await.map(|value| value.to_string()),
        Some("spin") => later::spin().await.map(|value| value.to_string()),
        _ => return Ok("idle".to_owned()),
    }
    .map(|value| format!("ok {value}"))
}

impl Guest for Front {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (status, text) = match answer(&request.get_path_with_query().unwrap_or_default()).await {
            Ok(text) => (200, text),
            Err(text) => (502, format!("err {text}")),
        };
        let (mut body, contents) = wit_stream::new();
        let (_, trailers) = wit_future::new(|| Ok(None));
        wit_bindgen::spawn_local(async move {
            body.write_all(text.into_bytes()).await;
        });
        let (response, _) = Response::new(Fields::new(), Some(contents), trailers);
        let _ = response.set_status_code(status);
        Ok(response)
    }
}

export!(Front);
