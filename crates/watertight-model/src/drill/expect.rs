//! What is expected of a drill: `availability>=99.9%`, `p99<=3x`, `leaks=0`.
//!
//! ```text
//! expectations = expectation { "," expectation }        expectation = measure ( ">=" | "<=" | ">" | "<" | "=" ) bound
//! ```
//!
//! | measure | of | bound |
//! |---|---|---|
//! | `availability`, `served`, `degraded`, `failed` | each load | a share: `99.9%` |
//! | `p50`, `p90`, `p99`, `max` | each load | a time, `250ms`, or times what it is without faults, `3x` |
//! | `leaks`, `restarts`, `ejected`, `breakers` | the whole app | a count |
//!
//! One of the first two kinds holds if it holds for every load.

use std::{cmp::Ordering, fmt, ops::Range, sync::Arc, time::Duration};

use miette::NamedSource;

use super::{Part, Report, Route, Tally, percent, short_time};
use crate::{
    manifest::{nearest, quantity},
    problem::{Code, Problem, SourceText},
};

/// Expectations that one drill may have.
pub const MAX_EXPECTATIONS: usize = 64;

/// One thing that is expected of a drill.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    claim: Claim,
    relation: Relation,
    text: String,
}

/// Whether an expectation holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// As it was written.
    pub expectation: String,
    /// Whether it does.
    pub holds: bool,
    /// What there was, where it is furthest off.
    pub found: String,
    /// The load that this is about, if it is about one.
    pub load: Option<String>,
}

/// What is measured, and what it is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Claim {
    /// In percent of all requests.
    Share(Answers, f64),
    Time(Rank, Duration),
    /// As much as without faults, so many times.
    Times(Rank, f64),
    Count(Thing, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Available,
    Served,
    Degraded,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    P50,
    P90,
    P99,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Leaks,
    Restarts,
    Ejected,
    Breakers,
}

#[derive(Clone, Copy, Debug)]
enum Measure {
    Share(Answers),
    Time(Rank),
    Count(Thing),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    AtLeast,
    AtMost,
    More,
    Less,
    Equal,
}

const HELP: &str = "for example `availability>=99.9%`, `p99<=250ms`, `p50<=2x` (of the run without faults), `leaks=0`";

/// Two-letter relations first: the others begin them.
const RELATIONS: [(&str, Relation); 5] = [
    (">=", Relation::AtLeast),
    ("<=", Relation::AtMost),
    (">", Relation::More),
    ("<", Relation::Less),
    ("=", Relation::Equal),
];

/// What can be measured, by name.
const MEASURES: [(&str, Measure); 12] = [
    ("availability", Measure::Share(Answers::Available)),
    ("served", Measure::Share(Answers::Served)),
    ("degraded", Measure::Share(Answers::Degraded)),
    ("failed", Measure::Share(Answers::Failed)),
    ("p50", Measure::Time(Rank::P50)),
    ("p90", Measure::Time(Rank::P90)),
    ("p99", Measure::Time(Rank::P99)),
    ("max", Measure::Time(Rank::Max)),
    ("leaks", Measure::Count(Thing::Leaks)),
    ("restarts", Measure::Count(Thing::Restarts)),
    ("ejected", Measure::Count(Thing::Ejected)),
    ("breakers", Measure::Count(Thing::Breakers)),
];

impl Measure {
    fn held_against(self, bound: &str) -> Result<Claim, String> {
        match self {
            Self::Share(answers) => {
                let number = bound.strip_suffix('%');
                let percent = decimal(number.ok_or_else(|| format!("`{bound}` is not a share such as `99.9%`"))?)?;
                if percent > 100.0 {
                    Err("a share is at most 100%".to_owned())
                } else {
                    Ok(Claim::Share(answers, percent))
                }
            }
            Self::Time(rank) => match bound.strip_suffix('x') {
                Some(number) => decimal(number).map(|times| Claim::Times(rank, times)),
                None => quantity::duration(bound).map(|time| Claim::Time(rank, time)),
            },
            Self::Count(thing) => {
                let count = bound.parse().map_err(|_| format!("`{bound}` is not a count"))?;
                Ok(Claim::Count(thing, count))
            }
        }
    }
}

fn decimal(text: &str) -> Result<f64, String> {
    let number =
        text.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| text.trim().parse().ok());
    number.flatten().ok_or_else(|| format!("`{text}` is not a number"))
}

impl Expectation {
    /// Reads expectations from any number of texts, which problems call `name`.
    ///
    /// # Errors
    /// Everything that is wrong, with its place.
    pub fn parse(name: &str, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Vec<Self>, Vec<Problem>> {
        let (mut expectations, mut problems) = (Vec::new(), Vec::new());
        for text in texts {
            let text: Arc<str> = Arc::from(text.as_ref());
            let source: SourceText = Arc::new(NamedSource::new(name, Arc::clone(&text)));
            let mut start = 0;
            for part in text.split(',') {
                let span = start + (part.len() - part.trim_start().len())..start + part.trim_end().len();
                start += part.len() + 1;
                match Self::parse_one(part.trim()) {
                    Ok(expectation) => expectations.push(expectation),
                    Err((message, help)) => problems.push(problem(&source, span, message, help)),
                }
            }
        }
        if expectations.len() > MAX_EXPECTATIONS {
            let message = format!("a drill has at most {MAX_EXPECTATIONS} expectations");
            problems.push(Problem::new(Code::BadExpectation, message).help("leave some out"));
        }
        if problems.is_empty() { Ok(expectations) } else { Err(problems) }
    }

    fn parse_one(text: &str) -> Result<Self, (String, Option<String>)> {
        let found = RELATIONS.iter().find_map(|(sign, relation)| {
            let (measure, bound) = text.split_once(sign)?;
            Some((measure.trim(), *relation, bound.trim()))
        });
        let (name, relation, bound) = found.ok_or_else(|| (format!("`{text}` compares nothing"), None))?;
        let Some((_, measure)) = MEASURES.iter().find(|(known, _)| *known == name) else {
            let known = MEASURES.map(|(known, _)| known);
            let help = match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", known.join(", ")),
            };
            return Err((format!("`{name}` is not measured"), Some(help)));
        };
        let claim = measure.held_against(bound).map_err(|why| (why, None))?;
        Ok(Self { claim, relation, text: text.to_owned() })
    }

    /// Holds it against what a drill found.
    #[must_use]
    pub fn verdict(&self, report: &Report) -> Verdict {
        let Claim::Count(thing, bound) = self.claim else { return self.of_loads(&report.routes) };
        let sum = |count: fn(&Part) -> u64| report.components.iter().map(count).sum();
        let count: u64 = match thing {
            Thing::Leaks => report.leaks(),
            Thing::Restarts => sum(|part| part.restarts),
            Thing::Ejected => sum(|part| part.ejected),
            Thing::Breakers => sum(|part| part.breakers_opened),
        };
        let holds = self.relation.holds(count.cmp(&bound));
        Verdict { expectation: self.text.clone(), holds, found: count.to_string(), load: None }
    }

    /// It must hold for every load; the first for which it does not is told.
    fn of_loads(&self, routes: &[Route]) -> Verdict {
        let mut verdicts = routes.iter().map(|route| self.of_load(route));
        let none = Verdict { expectation: self.text.clone(), holds: false, found: NONE.to_owned(), load: None };
        let first = verdicts.next().unwrap_or(none);
        if first.holds { verdicts.find(|verdict| !verdict.holds).unwrap_or(first) } else { first }
    }

    fn of_load(&self, route: &Route) -> Verdict {
        let (drill, baseline) = (&route.drill, &route.baseline);
        let (order, found) = match self.claim {
            _ if drill.requests == 0 => (None, NONE.to_owned()),
            Claim::Share(answers, bound) => {
                let count = answers.of(drill);
                // Multiplied out, so that 100% means every one.
                let order = (count as f64 * 100.0).partial_cmp(&(bound * drill.requests as f64));
                (order, percent(count, drill.requests))
            }
            Claim::Time(rank, bound) => (Some(rank.of(drill).cmp(&bound)), short_time(rank.of(drill))),
            Claim::Times(rank, bound) => {
                let (time, base) = (rank.of(drill), rank.of(baseline));
                let order = time.as_secs_f64().partial_cmp(&(base.as_secs_f64() * bound));
                (order, format!("{}, without faults {}", short_time(time), short_time(base)))
            }
            Claim::Count(_, bound) => (Some(drill.requests.cmp(&bound)), drill.requests.to_string()),
        };
        let holds = order.is_some_and(|order| self.relation.holds(order));
        Verdict { expectation: self.text.clone(), holds, found, load: Some(route.load.clone()) }
    }
}

/// What is found where nothing was asked for.
const NONE: &str = "no requests";

impl Answers {
    fn of(self, tally: &Tally) -> u64 {
        match self {
            Self::Available => tally.served + tally.degraded,
            Self::Served => tally.served,
            Self::Degraded => tally.degraded,
            Self::Failed => tally.failed,
        }
    }
}

impl Rank {
    fn of(self, tally: &Tally) -> Duration {
        let latency = tally.latency;
        match self {
            Self::P50 => latency.p50,
            Self::P90 => latency.p90,
            Self::P99 => latency.p99,
            Self::Max => latency.max,
        }
    }
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::AtLeast => order.is_ge(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::Less => order.is_lt(),
            Self::Equal => order.is_eq(),
        }
    }
}

fn problem(source: &SourceText, span: Range<usize>, message: String, help: Option<String>) -> Problem {
    Problem::new(Code::BadExpectation, message).at(source, span, "").help(help.unwrap_or_else(|| HELP.to_owned()))
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
