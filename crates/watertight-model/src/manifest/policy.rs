//! What a manifest says of failures: what a caller sees of them, who is called instead, and when nobody is called any more.

use std::{ops::Range, time::Duration};

use super::{
    At,
    reader::{Reader, Table},
};
use crate::{
    app::{Limit, Retry},
    breaker::{BreakerSpec, Trip},
    problem::{Code, Problem},
};

/// What a manifest says of one import.
#[derive(Clone, Debug)]
pub(crate) struct EdgeSpec {
    pub(crate) import: At<String>,
    pub(crate) from: Option<At<String>>,
    /// For every function.
    pub(crate) policy: PolicySpec,
    pub(crate) breaker: Option<BreakerSpec>,
    pub(crate) limit: Option<Limit>,
    pub(crate) idempotent: Vec<At<String>>,
    /// For single functions.
    pub(crate) functions: Vec<(At<String>, PolicySpec)>,
    /// Which keys besides `from` were given, and where.
    pub(crate) given: Vec<At<&'static str>>,
}

/// What a manifest says of failures in one function, or in every function of an edge.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicySpec {
    pub(crate) deadline: Option<At<Duration>>,
    pub(crate) on_failure: Option<At<OnFailureSpec>>,
    pub(crate) retry: Option<At<Retry>>,
}

/// What a caller is to see of a failure.
#[derive(Clone, Debug)]
pub(crate) enum OnFailureSpec {
    Error,
    Trap,
    /// What another component answers, then a value; one of the two is there.
    Instead {
        fallback: Option<At<String>>,
        value: Option<At<String>>,
    },
}

/// Calls that may wait where it is only said how many may run.
const DEFAULT_QUEUE: u32 = 64;
const DEFAULT_BACKOFF: Duration = Duration::from_millis(5);

impl EdgeSpec {
    /// The components that calls may fall back on.
    pub(crate) fn fallbacks(&self) -> impl Iterator<Item = &At<String>> {
        let policies = std::iter::once(&self.policy).chain(self.functions.iter().map(|(_, policy)| policy));
        policies.filter_map(|policy| match &policy.on_failure.as_ref()?.value {
            OnFailureSpec::Instead { fallback, .. } => fallback.as_ref(),
            OnFailureSpec::Error | OnFailureSpec::Trap => None,
        })
    }
}

pub(super) fn read_edge(reader: &mut Reader, import: At<String>, table: Table<'_>) -> EdgeSpec {
    let keys = ["deadline", "on-failure", "retry", "idempotent", "breaker", "concurrency", "queue", "function"];
    let functions = reader.named(table, "function");
    EdgeSpec {
        import,
        from: reader.text(table, "from"),
        policy: read_policy(reader, table),
        breaker: reader.inner(table, "breaker").and_then(|table| read_breaker(reader, table)),
        limit: read_limit(reader, table, "an edge"),
        idempotent: {
            let listed = reader.list(table, "idempotent");
            super::without_repeats(reader, listed)
        },
        functions: functions.into_iter().map(|(name, table)| (name, read_policy(reader, table))).collect(),
        given: keys.into_iter().filter_map(|key| Some(At::new(key, table.span_of(key)?))).collect(),
    }
}

/// How many calls run and wait, if there is a limit to how many run.
pub(super) fn read_limit(reader: &mut Reader, table: Table<'_>, of: &str) -> Option<Limit> {
    let (concurrency, queue) = (reader.count(table, "concurrency"), reader.count(table, "queue"));
    if let (Some(span), None) = (table.span_of("queue"), table.span_of("concurrency")) {
        let problem = Problem::new(Code::NoEffect, format!("`queue` has no effect on {of} without `concurrency`"))
            .help("add the number of calls that may run at once: concurrency = 32");
        reader.report(problem, span, "no effect");
    }
    Some(Limit { concurrency: concurrency?, queue: queue.unwrap_or(DEFAULT_QUEUE) })
}

fn read_policy(reader: &mut Reader, table: Table<'_>) -> PolicySpec {
    PolicySpec {
        deadline: reader.duration(table, "deadline"),
        on_failure: read_on_failure(reader, table),
        retry: read_retry(reader, table),
    }
}

fn read_on_failure(reader: &mut Reader, table: Table<'_>) -> Option<At<OnFailureSpec>> {
    let span = table.span_of("on-failure")?;
    let spec = match reader.choice_or(table, "on-failure")? {
        Ok(choice) if choice.value == 0 => OnFailureSpec::Error,
        Ok(_) => OnFailureSpec::Trap,
        Err(table) => {
            let (value, fallback) = (reader.text(table, "return"), reader.text(table, "fallback"));
            if value.is_none() && fallback.is_none() {
                // What is there and cannot be read has been reported.
                if table.span_of("return").is_none() && table.span_of("fallback").is_none() {
                    let problem = Problem::new(Code::MissingKey, "`on-failure` says neither `return` nor `fallback`")
                        .help("for example: on-failure = { return = 'err(unavailable)' }, or on-failure = \"trap\"");
                    reader.report(problem, span, "");
                }
                return None;
            }
            OnFailureSpec::Instead { fallback, value }
        }
    };
    Some(At::new(spec, span))
}

fn read_retry(reader: &mut Reader, table: Table<'_>) -> Option<At<Retry>> {
    let span = table.span_of("retry")?;
    let table = reader.inner(table, "retry")?;
    if table.span_of("attempts").is_none() {
        reader.missing(table, "attempts");
    }
    let attempts = reader.count(table, "attempts");
    let backoff = reader.duration(table, "backoff").map_or(DEFAULT_BACKOFF, |backoff| backoff.value);
    Some(At::new(Retry { attempts: attempts?, backoff }, span))
}

fn read_breaker(reader: &mut Reader, table: Table<'_>) -> Option<BreakerSpec> {
    let (failures, ratio) = (reader.count(table, "failures"), reader.share(table, "ratio"));
    let calls = reader.count(table, "calls");
    let within = reader.duration(table, "within").map_or(Duration::from_secs(10), |within| within.value);
    let open_for = reader.duration(table, "open-for").map_or(Duration::from_secs(5), |open_for| open_for.value);
    let (by_failures, by_ratio) = (table.span_of("failures"), table.span_of("ratio"));
    let mut bad = |what: &str, help: &str, span: Range<usize>, label: &str| {
        reader.report(Problem::new(Code::UnclearBreaker, what).help(help), span, label);
    };
    match (by_failures, by_ratio, table.span_of("calls")) {
        (None, None, _) => bad(
            "`breaker` does not say when it opens",
            "give it `failures`, or `ratio` and `calls`: { failures = 5, within = \"10s\", open-for = \"5s\" }",
            table.span.0..table.span.1,
            "",
        ),
        (Some(_), Some(span), _) => bad(
            "`breaker` opens after so many `failures`, or at a `ratio` of them, not both",
            "drop one of the two",
            span,
            "and this",
        ),
        (Some(_), None, Some(span)) => bad(
            "`calls` has no effect where a breaker opens after so many `failures`",
            "drop it; it goes with `ratio`",
            span,
            "no effect",
        ),
        (Some(_), None, None) | (None, Some(_), _) => {}
    }
    let trip = match (failures, ratio) {
        (Some(failures), None) => Trip::Failures(failures),
        (None, Some(ratio)) => Trip::Ratio { ratio, calls: calls.unwrap_or(20) },
        (None, None) | (Some(_), Some(_)) => return None,
    };
    Some(BreakerSpec { trip, within, open_for })
}
