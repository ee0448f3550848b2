//! What a manifest has done about a failure, and what follows for who calls.

use std::time::Duration;

use watertight::{
    InvokeError, Val,
    model::{
        event::{Outcome, Seen},
        failure::FailureKind,
    },
};

use crate::{
    fault::{End, Fault},
    guests::{ENTERED_AGAIN, POURED, STOOD_IN},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Policy {
    Error,
    Trap,
    Return,
    Retry,
    Fallback,
    /// Attempts, then the fallback.
    Chain,
    /// Attempts, then a fallback that fails too, then a value.
    LongChain,
}

/// The fallback.
pub(crate) const SPARE: &str = "spare";

/// The fallback that fails itself.
pub(crate) const LAME: &str = "lame";

/// What `return` sets.
const RETURNED: u32 = 4_242;

/// How many times more `retry` calls.
const RETRIES: u32 = 2;

/// The longest wait before the second attempt; before the third it is twice as long.
pub(crate) const BACKOFF: Duration = Duration::from_millis(1);

impl Policy {
    pub(crate) const ALL: [Self; 7] =
        [Self::Error, Self::Trap, Self::Return, Self::Retry, Self::Fallback, Self::Chain, Self::LongChain];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Trap => "trap",
            Self::Return => "return",
            Self::Retry => "retry",
            Self::Fallback => "fallback",
            Self::Chain => "chain",
            Self::LongChain => "long-chain",
        }
    }

    /// The keys of an edge with this policy.
    pub(crate) fn keys(self) -> String {
        let retry = format!(
            "retry = {{ attempts = {RETRIES}, backoff = \"{}ms\" }}\nidempotent = [\"run\"]",
            BACKOFF.as_millis()
        );
        match self {
            Self::Error => "on-failure = \"error\"".to_owned(),
            Self::Trap => "on-failure = \"trap\"".to_owned(),
            Self::Return => format!("on-failure = {{ return = 'ok({RETURNED})' }}"),
            Self::Retry => retry,
            Self::Fallback => format!("on-failure = {{ fallback = \"{SPARE}\" }}"),
            Self::Chain => format!("{retry}\non-failure = {{ fallback = \"{SPARE}\" }}"),
            Self::LongChain => {
                format!("{retry}\non-failure = {{ fallback = \"{LAME}\", return = 'ok({RETURNED})' }}")
            }
        }
    }

    /// Whether it can be had where streams are given away: those are gone with the first call.
    pub(crate) fn is_for_streams(self) -> bool {
        matches!(self, Self::Error | Self::Trap | Self::Return)
    }

    fn retries(self) -> bool {
        matches!(self, Self::Retry | Self::Chain | Self::LongChain)
    }

    /// How often a call that fails like this is made.
    pub(crate) fn attempts(self, end: End) -> u32 {
        match (self, end) {
            (_, End::Refused(_)) => 0,
            (policy, End::Fails(kind) | End::TurnedAway(kind)) if policy.retries() && kind.retry() => 1 + RETRIES,
            _ => 1,
        }
    }

    /// What the caller is told to have got of a call that failed.
    pub(crate) fn seen(self) -> Seen {
        match self {
            Self::Error | Self::Retry => Seen::Error,
            Self::Trap => Seen::Trap,
            Self::Return | Self::LongChain => Seen::Value,
            Self::Fallback | Self::Chain => Seen::Fallback,
        }
    }

    /// What the caller is told to have got where the fallback fails as well.
    pub(crate) fn seen_without_fallback(self) -> Seen {
        match self {
            Self::Fallback | Self::Chain => Seen::Error,
            Self::Error | Self::Trap | Self::Return | Self::Retry | Self::LongChain => self.seen(),
        }
    }

    /// How the fallback fares, where it is called.
    pub(crate) fn fallback(self) -> Option<Outcome> {
        match self {
            Self::Fallback | Self::Chain => Some(Outcome::Ok),
            Self::LongChain => Some(Outcome::Failed(FailureKind::Trap)),
            Self::Error | Self::Trap | Self::Return | Self::Retry => None,
        }
    }

    /// What is wrong with what came back from a call, if anything. `relay` and `callee` are who called whom; `strays` are other ways in
    /// which it may have failed; `late_fallback` says that the fallback may have had no time.
    pub(crate) fn judge(
        self,
        fault: &Fault,
        (relay, callee): (&str, &str),
        (strays, late_fallback): (&[FailureKind], bool),
        answer: &Answer,
    ) -> Option<String> {
        let length = u32::try_from(fault.text.len()).unwrap_or(u32::MAX);
        let wanted = |kind| self.of_failure(kind, relay, callee);
        let fair = match fault.end {
            End::Fails(kind) | End::TurnedAway(kind) | End::Refused(kind) => answer.is(&wanted(kind)),
            End::Says(text) => answer.is(&Wanted::Error(text.to_owned())),
            End::Returns => answer.is(&Wanted::Value(if fault.is_of_a_stream() { POURED } else { length })),
            End::CallerFails(kind) => answer.is(&Wanted::Failure { who: relay.to_owned(), kind, of: String::new() }),
            End::Sometimes(kind) => answer.is(&wanted(kind)) || answer.is(&Wanted::Value(length)),
            End::CutOff => matches!(answer, Answer::None),
        };
        let fair = fair || (fault.end != End::CutOff && strays.iter().any(|kind| answer.is(&wanted(*kind))));
        let fair = fair || (late_fallback && answer.is(&Wanted::Error(format!("{callee}: "))));
        match answer {
            Answer::Value(ENTERED_AGAIN) => Some("a cell that had failed was entered again".to_owned()),
            _ if fair => None,
            _ => Some(format!("its caller got {answer:?}")),
        }
    }

    fn of_failure(self, kind: FailureKind, relay: &str, callee: &str) -> Wanted {
        let said = format!("{callee}: {kind}: ");
        match self {
            Self::Error | Self::Retry => Wanted::Error(said),
            Self::Trap => Wanted::Failure { who: relay.to_owned(), kind: FailureKind::Trap, of: said },
            Self::Return | Self::LongChain => Wanted::Value(RETURNED),
            Self::Fallback | Self::Chain => Wanted::Value(STOOD_IN),
        }
    }
}

/// What a call from outside ended with.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Value(u32),
    Error(String),
    Failed(InvokeErrorText),
    /// It was given up.
    None,
}

/// A failed call: who, how, and the text.
#[derive(Clone, Debug)]
pub(crate) struct InvokeErrorText {
    who: String,
    kind: Option<FailureKind>,
    text: String,
}

enum Wanted {
    Value(u32),
    /// An error whose text begins like this.
    Error(String),
    /// A failure of somebody, on account of this.
    Failure {
        who: String,
        kind: FailureKind,
        of: String,
    },
}

impl Answer {
    pub(crate) fn of(result: Result<Option<Val>, InvokeError>) -> Self {
        let strange = |text: String| Self::Failed(InvokeErrorText { who: String::new(), kind: None, text });
        match result {
            Ok(Some(Val::Result(Ok(Some(value))))) => match *value {
                Val::U32(value) => Self::Value(value),
                ref other => strange(format!("{other:?}")),
            },
            Ok(Some(Val::Result(Err(Some(text))))) => match *text {
                Val::String(ref text) => Self::Error(text.clone()),
                ref other => strange(format!("{other:?}")),
            },
            Ok(other) => strange(format!("{other:?}")),
            Err(InvokeError::Call(error)) => {
                Self::Failed(InvokeErrorText { who: error.component, kind: Some(error.kind), text: error.detail })
            }
            Err(other) => strange(other.to_string()),
        }
    }

    fn is(&self, wanted: &Wanted) -> bool {
        match (self, wanted) {
            (Self::Value(value), Wanted::Value(wanted)) => value == wanted,
            (Self::Error(text), Wanted::Error(start)) => text.starts_with(start),
            (Self::Failed(failed), Wanted::Failure { who, kind, of }) => {
                failed.who == *who && failed.kind == Some(*kind) && failed.text.contains(of)
            }
            _ => false,
        }
    }
}
