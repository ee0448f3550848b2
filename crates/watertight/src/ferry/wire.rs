//! What goes over a line: messages, each after its length. All numbers are little-endian.
//!
//! ```text
//! call      length u32 · 1 u8 · id u64 · component u32 · function u32 · remaining u64 (ns) · sabotage u8 ·
//!           trace u128 · span u64 · flags u8 · arguments
//! take back length u32 · 2 u8 · id u64
//! results   length u32 · 3 u8 · id u64 · results
//! failure   length u32 · 4 u8 · id u64 · kind u8 · component's length u32 · component · detail
//! ```
//!
//! Reading never trusts a length further than the bytes that have come.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use watertight_model::{
    app::ComponentId,
    failure::{CallError, FailureKind},
    trace::{SpanId, TraceContext, TraceId},
};
use watertight_runtime::FarCall;

/// The longest message: the largest frame and what goes before it.
const MAX_MESSAGE: u32 = (128 << 20) + 128;

/// The most of a failure's texts.
const MAX_TEXT: usize = 16 << 10;

/// Bytes that a buffer begins with.
const FIRST_BUFFER: usize = 4 << 10;

/// What goes before a call's arguments.
const HEAD: usize = 4 + 4 + 8 + 1 + 16 + 8 + 1;

const CALL: u8 = 1;
const TAKE_BACK: u8 = 2;
const RESULTS: u8 = 3;
const FAILURE: u8 = 4;

/// What a caller says.
#[derive(Debug)]
pub(super) enum ToKeeper {
    Call(u64, FarCall),
    TakeBack(u64),
}

/// What a keeper says.
#[derive(Debug)]
pub(super) struct ToCaller {
    pub(super) id: u64,
    pub(super) result: Result<Vec<u8>, CallError>,
}

/// Something that cannot be a message.
#[derive(Debug, thiserror::Error)]
#[error("a message that is none")]
pub(super) struct Nonsense;

impl ToKeeper {
    pub(super) fn write(self) -> Vec<u8> {
        match self {
            Self::TakeBack(id) => message(TAKE_BACK, id, &[], &[]),
            Self::Call(id, call) => {
                let mut head = Vec::with_capacity(HEAD);
                head.extend_from_slice(&call.component.0.to_le_bytes());
                head.extend_from_slice(&call.function.to_le_bytes());
                let remaining = u64::try_from(call.remaining.as_nanos()).unwrap_or(u64::MAX);
                head.extend_from_slice(&remaining.to_le_bytes());
                head.push(call.sabotage);
                // A trace without a number is none.
                let (trace, span) = call.trace.map_or((0, 0), |context| (context.trace.0, context.span.0));
                head.extend_from_slice(&trace.to_le_bytes());
                head.extend_from_slice(&span.to_le_bytes());
                head.push(u8::from(call.trace.is_some_and(|context| context.sampled)));
                message(CALL, id, &head, &call.arguments)
            }
        }
    }

    pub(super) fn read(mut bytes: Vec<u8>) -> Result<Self, Nonsense> {
        let mut parts = Parts(&bytes);
        let (kind, id) = (parts.byte()?, parts.long()?);
        match kind {
            TAKE_BACK if parts.0.is_empty() => Ok(Self::TakeBack(id)),
            CALL => {
                let (component, function) = (ComponentId(parts.word()?), parts.word()?);
                let (remaining, sabotage) = (Duration::from_nanos(parts.long()?), parts.byte()?);
                let trace = (TraceId(u128::from_le_bytes(parts.take()?)), SpanId(parts.long()?), parts.byte()?);
                let trace = match trace {
                    (TraceId(0), ..) | (_, SpanId(0), _) => None,
                    (trace, span, flags) => Some(TraceContext { trace, span, sampled: flags & 1 == 1 }),
                };
                let arguments = rest(&mut bytes, 9 + HEAD);
                Ok(Self::Call(id, FarCall { component, function, remaining, sabotage, trace, arguments }))
            }
            _ => Err(Nonsense),
        }
    }
}

impl ToCaller {
    pub(super) fn write(self) -> Vec<u8> {
        match self.result {
            Ok(results) => message(RESULTS, self.id, &[], &results),
            Err(CallError { kind, component, detail }) => {
                let cut = |text: &str| text[..text.floor_char_boundary(MAX_TEXT)].to_owned();
                let (component, detail) = (cut(&component), cut(&detail));
                let place = FailureKind::ALL.iter().position(|other| *other == kind);
                let mut head = vec![place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)];
                head.extend_from_slice(&u32::try_from(component.len()).unwrap_or(0).to_le_bytes());
                head.extend_from_slice(component.as_bytes());
                message(FAILURE, self.id, &head, detail.as_bytes())
            }
        }
    }

    pub(super) fn read(mut bytes: Vec<u8>) -> Result<Self, Nonsense> {
        let mut parts = Parts(&bytes);
        let (kind, id) = (parts.byte()?, parts.long()?);
        match kind {
            RESULTS => Ok(Self { id, result: Ok(rest(&mut bytes, 9)) }),
            FAILURE => {
                let kind = *FailureKind::ALL.get(usize::from(parts.byte()?)).ok_or(Nonsense)?;
                let length = parts.word()? as usize;
                let (component, detail) = (parts.text(length)?, parts.text(parts.0.len())?);
                Ok(Self { id, result: Err(CallError { kind, component, detail }) })
            }
            _ => Err(Nonsense),
        }
    }
}

fn message(kind: u8, id: u64, head: &[u8], body: &[u8]) -> Vec<u8> {
    let length = 9 + head.len() + body.len();
    let mut bytes = Vec::with_capacity(4 + length);
    // A frame is far shorter than this can say.
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(body);
    bytes
}

/// What is left after so many bytes, without another buffer.
fn rest(bytes: &mut Vec<u8>, from: usize) -> Vec<u8> {
    let mut bytes = std::mem::take(bytes);
    bytes.drain(..from.min(bytes.len()));
    bytes
}

/// Reads the next message: `None` at the end of the stream.
pub(super) async fn next(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, Nonsense));
    }
    let mut bytes = Vec::with_capacity(FIRST_BUFFER.min(length as usize));
    stream.take(length.into()).read_to_end(&mut bytes).await?;
    if bytes.len() == length as usize { Ok(Some(bytes)) } else { Ok(None) }
}

/// What has not been read yet.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Nonsense> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Nonsense)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Nonsense> {
        Ok(self.take::<1>()?[0])
    }

    fn word(&mut self) -> Result<u32, Nonsense> {
        self.take().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Result<u64, Nonsense> {
        self.take().map(u64::from_le_bytes)
    }

    fn text(&mut self, length: usize) -> Result<String, Nonsense> {
        let (text, rest) =
            self.0.split_at_checked(length).filter(|(text, _)| text.len() <= MAX_TEXT).ok_or(Nonsense)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| Nonsense)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Option<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(next(&mut &*bytes)).ok().flatten()
    }

    proptest! {
        #[test]
        fn messages_arrive_as_they_were_sent(id: u64, function: u32, nanos: u64, trace: u128, span: u64, sampled: bool, body in prop::collection::vec(any::<u8>(), 0..50)) {
            let remaining = Duration::from_nanos(nanos);
            let context = TraceContext { trace: TraceId(trace), span: SpanId(span), sampled };
            let trace = (trace != 0 && span != 0).then_some(context);
            let call = FarCall { component: ComponentId(7), function, remaining, sabotage: 2, trace, arguments: body.clone() };
            let sent = format!("{:?}", ToKeeper::Call(id, FarCall { arguments: body.clone(), ..call }));
            let again = FarCall { component: ComponentId(7), function, remaining, sabotage: 2, trace, arguments: body.clone() };
            let got = ToKeeper::read(read(&ToKeeper::Call(id, again).write()).expect("it is whole")).expect("it is sound");
            prop_assert_eq!(format!("{got:?}"), sent);
            for result in [
                Ok(body.clone()),
                Err(CallError { kind: FailureKind::Memory, component: "ä".to_owned(), detail: "why".to_owned() }),
            ] {
                let got = ToCaller::read(read(&ToCaller { id, result: result.clone() }.write()).expect("it is whole"));
                let got = got.expect("it is sound");
                prop_assert_eq!((got.id, got.result), (id, result));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
            let _ = ToKeeper::read(bytes.clone());
            let _ = ToCaller::read(bytes);
        }
    }

    #[test]
    fn lengths_are_not_trusted() {
        assert!(read(&[0xff; 12]).is_none(), "longer than any message");
        assert!(read(&[100, 0, 0, 0, 1, 2, 3]).is_none(), "cut off");
        assert!(ToCaller::read(vec![FAILURE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, b'a']).is_err());
        assert!(ToCaller::read(vec![FAILURE, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0]).is_err(), "no such failure");
    }
}
