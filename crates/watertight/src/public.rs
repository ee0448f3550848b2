//! A route that calls functions: the path says which, the body has the arguments, and the answer is the result.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use watertight_host::HostCell;
use watertight_ingress::{CallAnswer, Refusal, RequestBody, RequestBodyError};
use watertight_model::{app::HttpTrigger, trace::SpanId};
use watertight_runtime::{NotCalled, PublicFunctions, PublicResult, Recording, RunningApp};

/// The functions of one route.
pub(crate) struct Functions {
    /// The route, with its last slash.
    prefix: String,
    functions: PublicFunctions,
}

impl Functions {
    pub(crate) fn new(trigger: &HttpTrigger, functions: PublicFunctions) -> Self {
        Self { prefix: trigger.route.trim_end_matches("...").to_owned(), functions }
    }

    /// Calls what a request names.
    pub(crate) async fn call(
        &self,
        running: &RunningApp<HostCell>,
        route: usize,
        request: Request<RequestBody>,
        recording: Option<(Arc<Recording>, SpanId)>,
    ) -> CallAnswer {
        if let Some(wrong) = CallAnswer::of_request(&request) {
            return wrong;
        }
        let path = request.uri().path().strip_prefix(self.prefix.as_str()).unwrap_or_default();
        let Some(function) = self.functions.find(&decoded(path)) else { return CallAnswer::Unknown };
        let root = match running.enter_by(route, recording).await {
            Ok(root) => root,
            Err(error) => {
                tracing::debug!(%error, "not admitted");
                return CallAnswer::Refused(Refusal::from(&error));
            }
        };
        let body = Limited::new(request.into_body(), running.public_limit(&function));
        let called = root.call_public(function, async move { arrived(body).await }).await;
        match called {
            Ok(PublicResult::Value(value)) => CallAnswer::Value(value),
            Ok(PublicResult::Error { payload, message }) => CallAnswer::Error { payload, message },
            Err(NotCalled::Body(refusal)) => CallAnswer::Refused(refusal),
            Err(NotCalled::Arguments(why)) => CallAnswer::Arguments(why),
            Err(NotCalled::Failed(error)) => {
                tracing::debug!(%error, "no result");
                CallAnswer::Refused(Refusal::from(&error))
            }
        }
    }
}

/// The whole body.
async fn arrived(body: Limited<RequestBody>) -> Result<Bytes, Refusal> {
    let collected = body.collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Refusal::BodyTooLarge;
        }
        match error.downcast_ref::<RequestBodyError>() {
            Some(RequestBodyError::TooLarge { .. }) => Refusal::BodyTooLarge,
            Some(RequestBodyError::Stalled(_)) => Refusal::BodyStalled,
            Some(RequestBodyError::Broken(_)) | None => Refusal::Malformed("the body broke off"),
        }
    })?;
    Ok(collected.to_bytes())
}

/// A path with what is percent-encoded in it decoded: some clients do that to `:`, `@` and `/`.
fn decoded(path: &str) -> Cow<'_, str> {
    // What is not text names nothing.
    percent_decode_str(path).decode_utf8().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_the_same_however_it_is_written() {
        for (path, name) in [
            ("a:b/c@1.0.0/d", "a:b/c@1.0.0/d"),
            ("a%3Ab/c%401.0.0/d", "a:b/c@1.0.0/d"),
            ("a%3ab%2Fc/d", "a:b/c/d"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("%ff", ""),
        ] {
            assert_eq!(decoded(path), name, "{path}");
        }
    }
}
