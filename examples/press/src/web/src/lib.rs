//! The site. It reads its pages from `/content`, asks its dependencies for HTML, thumbnails and colours, and serves the result.
//! Whatever a dependency fails at costs its own piece of the page: plain code, a picture's place, the page's source text.

wit_bindgen::generate!({ path: "../../wit", world: "web", generate_all });

mod answer;
mod content;
mod page;

use answer::Answer;
use exports::wasi::http::incoming_handler::Guest;
use press::image::thumbnail;
use wasi::http::types::{IncomingRequest, Method, ResponseOutparam};

const STYLE: &str = include_str!("style.css");

/// What a thumbnail may measure.
const THUMBNAIL: (u32, u32) = (480, 320);

struct Web;

impl Guest for Web {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let path = path.split_once('?').map_or(path.as_str(), |(path, _)| path);
        let answer = match request.method() {
            Method::Get | Method::Head => get(path),
            _ => Answer::text(405, "only GET and HEAD"),
        };
        let body = !matches!(request.method(), Method::Head);
        answer.send(out, body);
    }
}

fn get(path: &str) -> Answer {
    if path == "/" {
        return page::index();
    }
    if path == "/style.css" {
        return Answer::of("text/css; charset=utf-8", STYLE.into());
    }
    if let Some(name) = path.strip_prefix("/thumb/") {
        return small(name);
    }
    if let Some(name) = path.strip_prefix("/pictures/") {
        return match content::picture(name) {
            Some(bytes) if name.ends_with(".png") => Answer::of("image/png", bytes),
            Some(bytes) => Answer::of("image/jpeg", bytes),
            None => Answer::text(404, "no such picture"),
        };
    }
    page::page(path.trim_start_matches('/'))
}

fn small(name: &str) -> Answer {
    let Some(bytes) = content::picture(name) else { return Answer::text(404, "no such picture") };
    match thumbnail::make(&bytes, THUMBNAIL.0, THUMBNAIL.1) {
        Ok(jpeg) => Answer::of("image/jpeg", jpeg),
        Err(why) => Answer::text(502, &format!("no thumbnail of {name}: {why}")),
    }
}

export!(Web);
