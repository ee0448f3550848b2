//! Traces: what one request, command or invocation went through, as spans that name their parents (W3C Trace Context, OpenTelemetry).
//!
//! A trace may go through many processes; an event [`Trace`] is the part that one process saw, whole, told when that part is over. It is made
//! of the same records as single events: a span holds the [`Call`], the [`Root`] or the [`Request`] that it is about.
//!
//! Which traces are kept is decided twice: at the head, by who called or by a ratio ([`Sampling`]), and at the end, when something failed.

use std::fmt;

use crate::{
    app::ComponentId,
    event::{Call, Outcome, Request, Root, TreeId},
};

/// Bytes of a `tracestate` that are passed on; one that is longer is not.
pub const MAX_TRACE_STATE: usize = 512;

/// What all spans of a trace share, in every process. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub u128);

/// One span of a trace. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub u64);

/// What a caller tells a callee of the trace that they are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The caller's span.
    pub span: SpanId,
    /// Whether the caller keeps its spans.
    pub sampled: bool,
}

/// Which traces are kept from the start: those of callers who keep theirs, and of the others so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sampling {
    /// Traces below this are kept, by the lower 56 bits of their ids.
    below: u64,
}

/// Bits of a trace's id that are random, and that samplers agree to look at.
const RANDOM_BITS: u32 = 56;

/// What one process saw of a trace.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Trace {
    /// The trace.
    pub id: TraceId,
    /// What other vendors want passed on (`tracestate`).
    pub state: Option<Box<str>>,
    /// Whether it was kept from the start; else something in it failed.
    pub sampled: bool,
    /// Its spans; parents before their children.
    pub spans: Vec<Span>,
    /// Spans that there was no room for.
    pub lost: u64,
}

/// One span.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Span {
    /// Itself.
    pub id: SpanId,
    /// What it is part of: a span of this trace, maybe of another process.
    pub parent: Option<SpanId>,
    /// Its begin, in nanoseconds since 1970.
    pub began_ns: u64,
    /// What it is about.
    pub of: SpanOf,
}

/// What a span is about.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpanOf {
    /// An HTTP request that came.
    Request {
        /// The request.
        request: Request,
        /// Whether it came over TLS.
        secure: bool,
    },
    /// The component that a root call entered.
    Root(Root),
    /// A crossing.
    Call(Call),
    /// An HTTP request that a component sent.
    Sent(Sent),
}

/// An HTTP request that a component sent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sent {
    /// Who sent it.
    pub component: ComponentId,
    /// Its method.
    pub method: String,
    /// Where to, without a query, which may hold what is nobody's business.
    pub url: String,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Until the answer's head was there.
    pub duration: std::time::Duration,
}

impl TraceContext {
    /// Reads a `traceparent`. What is not one is as good as none (W3C Trace Context, section 3.2.2).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = text.split_at_checked(2)?;
        let version = lower_hex(version)?;
        // A later version may say more behind it.
        let (head, more) = rest.split_at_checked(53)?;
        let known = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        let mut parts = head.strip_prefix('-')?.split('-');
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = (trace.len(), span.len(), flags.len()) == (32, 16, 2) && parts.next().is_none();
        if !known || !whole {
            return None;
        }
        let (trace, span) = (lower_hex(trace)?, u64::try_from(lower_hex(span)?).ok()?);
        let sampled = lower_hex(flags)? & 1 == 1;
        (trace != 0 && span != 0).then_some(Self { trace: TraceId(trace), span: SpanId(span), sampled })
    }
}

/// The number that this is in small hexadecimal digits.
fn lower_hex(text: &str) -> Option<u128> {
    let small = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if small { u128::from_str_radix(text, 16).ok() } else { None }
}

/// As a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl serde::Serialize for TraceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl serde::Serialize for SpanId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Sampling {
    /// This share of the traces: all from 1 on, none at 0.
    #[must_use]
    pub fn ratio(share: f64) -> Self {
        let whole = 1_u64 << RANDOM_BITS;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share between 0 and 1 of 2^56, which is exact in floating point"
        )]
        let below = (share.clamp(0.0, 1.0) * whole as f64) as u64;
        Self { below }
    }

    /// Whether a trace is kept that nobody decided on before.
    #[must_use]
    pub fn keeps(self, trace: TraceId) -> bool {
        let random = trace.0 & ((1 << RANDOM_BITS) - 1);
        random < u128::from(self.below)
    }
}

impl SpanOf {
    /// Whether it says that something failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        match self {
            Self::Request { request, .. } => request.status >= 500,
            Self::Root(root) => matches!(root.outcome, Outcome::Failed(_)),
            Self::Call(call) => matches!(call.outcome, Outcome::Failed(_)),
            // Others fail as they like; what the component makes of it is its own.
            Self::Sent(_) => false,
        }
    }

    /// How long it took.
    #[must_use]
    pub fn duration(&self) -> std::time::Duration {
        match self {
            Self::Request { request, .. } => request.duration,
            Self::Root(root) => root.duration,
            Self::Call(call) => call.duration,
            Self::Sent(sent) => sent.duration,
        }
    }
}

impl Trace {
    /// The call tree that it is about, where one was begun.
    #[must_use]
    pub fn tree(&self) -> Option<TreeId> {
        self.spans.iter().find_map(|span| match &span.of {
            SpanOf::Root(root) => Some(root.tree),
            SpanOf::Call(call) => Some(call.tree),
            SpanOf::Request { .. } | SpanOf::Sent(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context = TraceContext::parse(PARENT).expect("it is one");
        assert_eq!(context.trace, TraceId(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736));
        assert_eq!((context.span, context.sampled), (SpanId(0x00f0_67aa_0ba9_02b7), true));
        assert_eq!(context.to_string(), PARENT);
        assert_eq!(TraceContext::parse(&PARENT.replace("00-4", "cc-4").replace("-01", "-09-more")), Some(context));
        let unsampled = TraceContext::parse(&PARENT.replace("-01", "-02")).expect("it is one");
        assert!(!unsampled.sampled);
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for text in [
            "",
            "00",
            "ö",
            &PARENT[..54],
            &PARENT.to_uppercase(),
            &PARENT.replace("00-4", "ff-4"),
            &PARENT.replace("-01", "-01-more"),
            &PARENT.replace("-01", "-0x"),
            &PARENT.replace("00f067aa0ba902b7", "0000000000000000"),
            &PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            &PARENT.replace("00f067aa0ba902b7", "00f067aa0ba902-7"),
            &PARENT.replace("00f067aa0ba902b7", "00f067aa0ba90éb7"),
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_ratio_keeps_its_share() {
        let kept = |share| {
            let sampling = Sampling::ratio(share);
            let ids = (0..10_000_u128).map(|id| TraceId(id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)));
            ids.filter(|id| sampling.keeps(*id)).count()
        };
        assert_eq!((kept(0.0), kept(1.0), kept(7.0), kept(f64::NAN)), (0, 10_000, 10_000, 0));
        assert!((50..200).contains(&kept(0.01)), "{}", kept(0.01));
    }
}
