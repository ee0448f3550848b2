//! From what went wrong to the HTTP answer: the one place where failures become statuses (invariant 10).
//!
//! The text of an answer says what the client can do. It never names components, paths, limits or causes: those go to events.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use watertight_model::failure::{CallError, FailureKind};

/// Why a request gets an answer that no guest wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No route matches the path.
    #[error("no route matches")]
    NoRoute,
    /// The request is not valid HTTP.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// The method is one that this server never passes on.
    #[error("method not implemented")]
    Method,
    /// The head has too many headers.
    #[error("request head too large")]
    HeadTooLarge,
    /// The body is longer than the limit.
    #[error("request body too large")]
    BodyTooLarge,
    /// The client stopped sending its body.
    #[error("request body stalled")]
    BodyStalled,
    /// The handler gave an answer that cannot be sent.
    #[error("answer cannot be sent: {0}")]
    BadAnswer(&'static str),
    /// The call failed.
    #[error("call failed: {0}")]
    Failed(FailureKind),
}

/// What `Retry-After` says.
const SOON: Duration = Duration::from_secs(1);

impl From<FailureKind> for Refusal {
    fn from(kind: FailureKind) -> Self {
        Self::Failed(kind)
    }
}

impl From<&CallError> for Refusal {
    fn from(error: &CallError) -> Self {
        Self::Failed(error.kind)
    }
}

impl Refusal {
    /// The status and the line that the client gets.
    #[must_use]
    pub const fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "nothing is served at this path\n"),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "the request is malformed\n"),
            Self::Method => (StatusCode::NOT_IMPLEMENTED, "this method is not supported\n"),
            Self::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request has too many headers\n"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the request body is too large\n"),
            Self::BodyStalled => (StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time\n"),
            Self::BadAnswer(_) => FAILED,
            Self::Failed(kind) => match kind {
                FailureKind::Deadline => (StatusCode::GATEWAY_TIMEOUT, "no answer in time\n"),
                FailureKind::QueueFull
                | FailureKind::NoCapacity
                | FailureKind::BreakerOpen
                | FailureKind::Shed
                | FailureKind::Down => OVERLOADED,
                FailureKind::WallLost => (StatusCode::BAD_GATEWAY, "the service went away, try again\n"),
                FailureKind::Trap
                | FailureKind::StackOverflow
                | FailureKind::Cpu
                | FailureKind::Memory
                | FailureKind::BadValue
                | FailureKind::Exit
                | FailureKind::DeadHandle
                | FailureKind::HostPanic
                | FailureKind::Host
                | FailureKind::Injected => FAILED,
            },
        }
    }

    /// When the client should try again, where that helps.
    #[must_use]
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Failed(_) if self.answer().0 == StatusCode::SERVICE_UNAVAILABLE => Some(SOON),
            Self::Failed(_)
            | Self::NoRoute
            | Self::Malformed(_)
            | Self::Method
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyStalled
            | Self::BadAnswer(_) => None,
        }
    }

    /// The whole answer.
    pub(crate) fn response(self) -> Response<Bytes> {
        let (status, text) = self.answer();
        let mut response = Response::new(Bytes::from_static(text.as_bytes()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        again(self, response.headers_mut());
        response
    }
}

/// Says when the client should try again, where that helps.
pub(crate) fn again(refusal: Refusal, headers: &mut HeaderMap) {
    if let Some(after) = refusal.retry_after() {
        // Rounded up: a client that comes back at the second it was told must not be early.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

const FAILED: (StatusCode, &str) = (StatusCode::INTERNAL_SERVER_ERROR, "the service failed to answer\n");
const OVERLOADED: (StatusCode, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, "the service is at its limit, try again later\n");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_the_status_that_the_docs_promise() {
        let expected = [
            (FailureKind::Trap, 500),
            (FailureKind::StackOverflow, 500),
            (FailureKind::Deadline, 504),
            (FailureKind::Cpu, 500),
            (FailureKind::Memory, 500),
            (FailureKind::BadValue, 500),
            (FailureKind::Exit, 500),
            (FailureKind::DeadHandle, 500),
            (FailureKind::NoCapacity, 503),
            (FailureKind::QueueFull, 503),
            (FailureKind::HostPanic, 500),
            (FailureKind::Host, 500),
            (FailureKind::WallLost, 502),
            (FailureKind::BreakerOpen, 503),
            (FailureKind::Shed, 503),
            (FailureKind::Down, 503),
            (FailureKind::Injected, 500),
        ];
        assert_eq!(expected.map(|(kind, _)| kind), FailureKind::ALL);
        for (kind, status) in expected {
            assert_eq!(Refusal::from(kind).answer().0.as_u16(), status, "{kind}");
        }
    }

    #[test]
    fn only_answers_that_invite_a_retry_carry_retry_after() {
        for kind in FailureKind::ALL {
            let response = Refusal::from(kind).response();
            assert_eq!(response.headers().contains_key(RETRY_AFTER), response.status() == 503, "{kind}");
        }
        assert!(!Refusal::NoRoute.response().headers().contains_key(RETRY_AFTER));
    }

    #[test]
    fn an_answer_does_not_repeat_internals() {
        let body = Refusal::Malformed("the secret reason").response().into_body();
        assert!(!body.windows(6).any(|window| window == b"secret"));
    }
}
