//! What a client is told that called a function: a value in JSON, or an error in JSON that says of what kind it is.
//!
//! As everywhere, a failure of the component is told by its kind alone. What the client got wrong is told at length, and what the function
//! itself returned as its error is told as it is.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use watertight_model::{cbor::Notation as _, json::Writer};

use crate::{Refusal, refusal::again};

/// How a call ended, for the client.
#[derive(Debug)]
pub enum CallAnswer {
    /// The function's result, in JSON.
    Value(Vec<u8>),
    /// The function returned this as its error.
    Error {
        /// In JSON.
        payload: Vec<u8>,
        /// For people.
        message: String,
    },
    /// The arguments do not fit: why.
    Arguments(String),
    /// The route calls no such function.
    Unknown,
    /// The request is no `POST`.
    NotPost,
    /// The body does not say that it is JSON.
    NotJson,
    /// There is no result.
    Refused(Refusal),
}

const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

impl CallAnswer {
    /// What is wrong with a request for any function, if anything is.
    #[must_use]
    pub fn of_request<B>(request: &Request<B>) -> Option<Self> {
        if request.method() != Method::POST {
            return Some(Self::NotPost);
        }
        (!is_json(request.headers())).then_some(Self::NotJson)
    }

    /// The whole answer.
    #[must_use]
    pub fn response(self) -> Response<Bytes> {
        let (status, body) = match &self {
            Self::Value(value) => (StatusCode::OK, value.clone()),
            Self::Error { payload, message } => (UNPROCESSABLE, error("error", message, Some(payload))),
            Self::Arguments(why) => (StatusCode::BAD_REQUEST, error("type", why, None)),
            Self::Unknown => (StatusCode::NOT_FOUND, error("unknown", "no such function can be called here", None)),
            Self::NotPost => (StatusCode::METHOD_NOT_ALLOWED, error("method", "functions are called by POST", None)),
            Self::NotJson => {
                let message = "the arguments are an array in JSON: say so by content-type: application/json";
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, error("media-type", message, None))
            }
            Self::Refused(refusal) => {
                let (status, text) = refusal.answer();
                (status, error(&kind(*refusal), text.trim_end(), None))
            }
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::NotPost => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            Self::Refused(refusal) => again(refusal, headers),
            Self::Value(_) | Self::Error { .. } | Self::Arguments(_) | Self::Unknown | Self::NotJson => {}
        }
        response
    }
}

/// Whether a body says that it is JSON. Pages of other sites cannot have a browser send that without asking first.
fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|said| said.to_str().ok()).unwrap_or_default();
    let (media, _) = said.split_once(';').unwrap_or((said, ""));
    media.trim().eq_ignore_ascii_case("application/json")
}

fn kind(refusal: Refusal) -> String {
    match refusal {
        Refusal::Failed(kind) => kind.to_string(),
        Refusal::BodyTooLarge => "too-large".to_owned(),
        Refusal::BodyStalled => "stalled".to_owned(),
        Refusal::NoRoute => "unknown".to_owned(),
        Refusal::Malformed(_) | Refusal::Method | Refusal::HeadTooLarge | Refusal::BadAnswer(_) => "request".to_owned(),
    }
}

/// `{"error":{"kind":…,"message":…,"payload":…}}`.
fn error(kind: &str, message: &str, payload: Option<&[u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for (before, text) in [("{\"error\":{\"kind\":", kind), (",\"message\":", message)] {
        body.extend_from_slice(before.as_bytes());
        let mut quoted = Writer::new(usize::MAX);
        quoted.text(text);
        body.extend(quoted.finish().unwrap_or_default());
    }
    if let Some(payload) = payload {
        body.extend_from_slice(b",\"payload\":");
        body.extend_from_slice(payload);
    }
    body.extend_from_slice(b"}}");
    body
}

#[cfg(test)]
mod tests {
    use watertight_model::failure::FailureKind;

    use super::*;

    #[test]
    fn a_caller_is_told_how_it_ended() {
        let payload = || b"[1]".to_vec();
        for (answer, status, body) in [
            (CallAnswer::Value(b"42".to_vec()), 200, "42"),
            (
                CallAnswer::Error { payload: payload(), message: "no \"x\"".to_owned() },
                422,
                r#"{"error":{"kind":"error","message":"no \"x\"","payload":[1]}}"#,
            ),
            (CallAnswer::Arguments("`v`".to_owned()), 400, r#"{"error":{"kind":"type","message":"`v`"}}"#),
            (
                CallAnswer::Refused(FailureKind::Trap.into()),
                500,
                r#"{"error":{"kind":"trap","message":"the service failed to answer"}}"#,
            ),
            (
                CallAnswer::Refused(Refusal::BodyTooLarge),
                413,
                r#"{"error":{"kind":"too-large","message":"the request body is too large"}}"#,
            ),
        ] {
            let response = answer.response();
            assert_eq!((response.status().as_u16(), &response.body()[..]), (status, body.as_bytes()));
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        }
        let busy = CallAnswer::Refused(FailureKind::QueueFull.into()).response();
        assert!(busy.status() == 503 && busy.headers().contains_key("retry-after"));
    }

    #[test]
    fn only_a_post_of_json_calls_a_function() {
        let request = |method: Method, media: Option<&'static str>| {
            let mut request = Request::new(());
            *request.method_mut() = method;
            if let Some(media) = media {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
            }
            CallAnswer::of_request(&request).map(|answer| answer.response().status().as_u16())
        };
        assert_eq!(request(Method::POST, Some("application/json")), None);
        assert_eq!(request(Method::POST, Some("Application/JSON; charset=utf-8")), None);
        assert_eq!(request(Method::GET, Some("application/json")), Some(405));
        for media in [None, Some("text/plain"), Some("text/plain; application/json"), Some("application/jsonp")] {
            assert_eq!(request(Method::POST, media), Some(415), "{media:?}");
        }
    }
}
