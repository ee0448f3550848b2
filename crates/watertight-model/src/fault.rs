//! Fault plans: which calls of an app shall fail, how, and how often. They are what a drill injects.
//!
//! ```text
//! faults = rule { ";" rule }
//! rule   = target ":" fault { "," fault }      target = component | caller "->" component
//! fault  = ( "trap" | "spin" | "oom" | "error" | "delay" time ) share "%"
//! ```
//!
//! A rule for an edge stands for the calls over that edge in place of the rule for the component it leads to. Nothing here happens by
//! chance: whoever carries a plan out numbers the calls of each [`Stream`], and the plan says what befalls the call with this number.

mod parse;

use std::{fmt, time::Duration};

pub use self::parse::{MAX_FAULT_RULES, MAX_FAULTS_OF_A_TARGET};
use crate::app::{App, ComponentId, EdgeId};

/// One way to make a call fail, or late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The callee traps as soon as it runs.
    Trap,
    /// The call begins so much later, within its deadline.
    Delay(Duration),
    /// The callee runs without end, until its cpu budget or its deadline stops it.
    Spin,
    /// The callee's memory budget is spent, and it breaks off.
    Oom,
    /// The call fails without the callee being entered.
    Error,
}

/// A fault without its numbers, for events and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// See [`Fault::Trap`].
    Trap,
    /// See [`Fault::Delay`].
    Delay,
    /// See [`Fault::Spin`].
    Spin,
    /// See [`Fault::Oom`].
    Oom,
    /// See [`Fault::Error`].
    Error,
}

/// A part of all calls, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// All calls.
const WHOLE: u32 = 1_000_000;

/// The faults of one target, each with its share; together at most all calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mix(Vec<(Fault, Share)>);

/// Which faults an app is to suffer. It is made for one app and means nothing to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    seed: u64,
    rules: Vec<Rule>,
    /// For each edge, the rule that its calls follow.
    edges: Vec<Option<usize>>,
    /// For each component, the rule that other calls of it follow.
    components: Vec<Option<usize>>,
}

/// What befalls the calls of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    target: Target,
    mix: Mix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// Every call of a component, from inside and outside.
    Component(ComponentId),
    /// The calls that one component makes of another.
    Edge(ComponentId, ComponentId),
}

/// Calls that are numbered together: the same number always meets the same fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Those over an edge.
    Edge(EdgeId),
    /// Those that are made of a component in place of calls that failed.
    Fallback(ComponentId),
    /// Those that enter a component from outside.
    Root(ComponentId),
}

impl Fault {
    /// What it is, without its numbers.
    #[must_use]
    pub const fn kind(self) -> FaultKind {
        match self {
            Self::Trap => FaultKind::Trap,
            Self::Delay(_) => FaultKind::Delay,
            Self::Spin => FaultKind::Spin,
            Self::Oom => FaultKind::Oom,
            Self::Error => FaultKind::Error,
        }
    }
}

impl FaultKind {
    /// Every kind, in the order in which they are explained.
    pub const ALL: [Self; 5] = [Self::Trap, Self::Delay, Self::Spin, Self::Oom, Self::Error];

    /// Its name in plans, events and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Delay => "delay",
            Self::Spin => "spin",
            Self::Oom => "oom",
            Self::Error => "error",
        }
    }
}

impl Mix {
    /// What befalls a call that drew this number, if anything. Numbers are to be spread evenly over all of `u64`.
    #[must_use]
    pub fn draw(&self, number: u64) -> Option<Fault> {
        // Scaled down by a multiplication: the upper bits of the number decide.
        let scaled = u32::try_from((u128::from(number) * u128::from(WHOLE)) >> 64).unwrap_or(WHOLE);
        let mut passed = 0;
        self.0.iter().find_map(|(fault, share)| {
            passed += share.0;
            (scaled < passed).then_some(*fault)
        })
    }
}

impl FaultPlan {
    /// What befalls the call with this number, counted from 0, if anything.
    #[must_use]
    pub fn fault(&self, stream: Stream, number: u64) -> Option<Fault> {
        let salt = match stream {
            Stream::Edge(edge) => u64::from(edge.0),
            Stream::Root(component) => u64::from(component.0) | 1 << 32,
            Stream::Fallback(component) => u64::from(component.0) | 1 << 33,
        };
        self.rule(stream)?.mix.draw(mixed(mixed(self.seed ^ mixed(salt)).wrapping_add(number)))
    }

    /// Whether anything can befall calls of this stream.
    #[must_use]
    pub fn touches(&self, stream: Stream) -> bool {
        self.rule(stream).is_some()
    }

    fn rule(&self, stream: Stream) -> Option<&Rule> {
        let rule = match stream {
            Stream::Edge(edge) => self.edges.get(edge.0 as usize),
            Stream::Root(component) | Stream::Fallback(component) => self.components.get(component.0 as usize),
        };
        self.rules.get(rule.copied().flatten()?)
    }

    /// The seed: the same one gives the same faults.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The rules as they would be written, for people and machines.
    #[must_use]
    pub fn rules(&self, app: &App) -> Vec<String> {
        let name = |id| app.component(id).name.as_str();
        let written = |rule: &Rule| match rule.target {
            Target::Component(component) => format!("{}: {}", name(component), rule.mix),
            Target::Edge(importer, exporter) => format!("{}->{}: {}", name(importer), name(exporter), rule.mix),
        };
        self.rules.iter().map(written).collect()
    }
}

/// The finisher of `SplitMix64`: every bit of the number changes half of the bits of the result.
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(time) => write!(f, "delay {time:?}"),
            Self::Trap | Self::Spin | Self::Oom | Self::Error => self.kind().fmt(f),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        match rest {
            0 => write!(f, "{whole}%"),
            rest => write!(f, "{whole}.{}%", format!("{rest:04}").trim_end_matches('0')),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (fault, share)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{fault} {share}")?;
        }
        Ok(())
    }
}
