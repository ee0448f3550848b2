//! The body of a guest's answer, which runs the guest while it is read.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, WasiBody};
use watertight_model::failure::CallError;

use super::{After, Guest};

/// Why the body of an answer broke off.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The guest failed after it had answered.
    #[error("the guest failed in the middle of its answer: {0}")]
    Guest(#[from] CallError),
    /// The guest gave up on the body, or its length is not what the headers say.
    #[error("the answer's body broke off: {0}")]
    Body(Error),
}

/// The body of an answer. Dropping it before its end cuts the guest off; after its end the guest runs on by itself.
pub struct AnswerBody {
    body: WasiBody,
    /// What the guest still does.
    guest: Option<Unfinished>,
    state: State,
    /// Bytes that the headers still promise.
    promised: Option<u64>,
}

struct Unfinished {
    guest: Guest,
    after: After,
    /// Dropped when the body has been read to its end.
    reading: Option<oneshot::Sender<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Every byte was read, or none will be.
    Complete,
    Broken,
}

/// Puts the body that runs the guest into its answer.
pub(super) fn answer(
    response: Response<WasiBody>,
    guest: Option<Guest>,
    reading: Option<oneshot::Sender<()>>,
    bodiless: bool,
    after: &After,
) -> Response<AnswerBody> {
    let guest = guest.map(|guest| Unfinished { guest, after: Arc::clone(after), reading });
    let status = response.status();
    let bodiless = bodiless || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let promised = response
        .headers()
        .get(http::header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse().ok());
    let state = if bodiless || promised == Some(0) { State::Complete } else { State::Open };
    response.map(|body| AnswerBody { body, guest, state, promised })
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerBody")
            .field("state", &self.state)
            .field("promised", &self.promised)
            .finish_non_exhaustive()
    }
}

impl AnswerBody {
    /// Takes the next frame that is there, and notes whether it was the last.
    fn poll_ready_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            None => {
                self.state = State::Complete;
                None
            }
            Some(Err(error)) => {
                self.state = State::Broken;
                Some(Err(AnswerError::Body(error)))
            }
            Some(Ok(frame)) => {
                if let (Some(promised), Some(data)) = (&mut self.promised, frame.data_ref()) {
                    *promised = promised.saturating_sub(data.len() as u64);
                    // A reader that counts does not come back for the end.
                    if *promised == 0 {
                        self.state = State::Complete;
                    }
                }
                Some(Ok(frame))
            }
        })
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        if self.state == State::Broken {
            return Poll::Ready(None);
        }
        // What is there already goes first: the guest runs on when its reader wants more.
        if let Poll::Ready(frame) = self.poll_ready_frame(cx) {
            return Poll::Ready(frame);
        }
        let Some(unfinished) = &mut self.guest else { return Poll::Pending };
        match unfinished.guest.as_mut().poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.guest = None,
            Poll::Ready(Err(error)) => {
                self.guest = None;
                self.state = State::Broken;
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        self.poll_ready_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        // An end that the reader sees without asking would hide a guest that fails on its way there.
        self.guest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let (State::Complete, Some(Unfinished { guest, after, reading })) = (self.state, self.guest.take()) {
            drop(reading);
            after(Box::pin(async move {
                // A failure after the answer is an event of the runtime's; nobody is left to tell.
                let _ = guest.await;
            }));
        }
    }
}
