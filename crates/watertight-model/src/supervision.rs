//! Supervision: what the manifest says of residents, in the words of Erlang/OTP's supervisors.
//!
//! A component supervises its cells, a group its members, the app what is in no group. [`Steward`] decides what follows when one of
//! them ends; it is pure, and one task of the runtime carries it out (invariant 8). `docs/supervision.md` tells users of it.
//!
//! ```text
//!   app ─┬─ group ─┬─ component ─┬─ cell        a cell ends: its component restarts it, so often within so much time,
//!        │         │             └─ cell        then it gives up, and its group restarts it,
//!        │         └─ component ─── cell        so often, then the group gives up, and the app decides
//!        └─ component ─── cell
//! ```

mod limits;
mod lineage;
mod standing;
mod steward;
mod window;
mod word;

use std::{collections::BTreeSet, fmt, time::Duration};

pub use self::{
    limits::{Level, Limits, limits},
    standing::{DownReason, InstanceState, Standing},
    steward::{Record, Steward},
    word::{Change, Deed, End, Finish, Happened, Instance, Run, Subject, Wear},
};
use crate::{
    app::{Component, ComponentId, Edge, Lifetime, Wall},
    budget::ByteSize,
};

/// How a component's residents are kept. It means something only where the lifetime is [`Lifetime::Resident`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Residence {
    /// Whether each worker has its own, or the node has them once.
    pub scope: Scope,
    /// How many cells there are, per worker or in the node.
    pub instances: u32,
    /// Which ends are followed by a restart.
    pub restart: Restart,
    /// How many restarts in how much time.
    pub intensity: Intensity,
    /// How long to wait before each.
    pub backoff: Backoff,
    /// When a cell is replaced that has not failed.
    pub recycle: Recycle,
}

/// How often a resident component is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Every worker has its own cells of it.
    #[default]
    Worker,
    /// One worker of the node has its cells, and the others call it there.
    Node,
}

/// Which ends of a cell are followed by a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Every end.
    #[default]
    Permanent,
    /// A failure, but not an end of the cell's own will.
    Transient,
    /// None.
    Temporary,
}

/// How many restarts are made in how much time. One more, and whoever made them gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Intensity {
    /// So many restarts.
    pub max: u32,
    /// In this time.
    #[serde(rename = "within_ms", serialize_with = "crate::budget::millis")]
    pub within: Duration,
}

/// How long to wait before a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Backoff {
    /// Before the first.
    #[serde(rename = "first_ms", serialize_with = "crate::budget::millis")]
    pub first: Duration,
    /// At most.
    #[serde(rename = "most_ms", serialize_with = "crate::budget::millis")]
    pub most: Duration,
}

/// When a cell is replaced by a fresh one, although it has not failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Recycle {
    /// After so many calls.
    pub calls: Option<u32>,
    /// After so much time.
    #[serde(rename = "age_ms", serialize_with = "millis_or_none")]
    pub age: Option<Duration>,
    /// Once it holds so much memory.
    #[serde(rename = "memory_bytes")]
    pub memory: Option<ByteSize>,
}

/// A group of one app, as an index into [`Supervision::groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct GroupId(pub u32);

/// Residents that are started, stopped and restarted together.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Group {
    /// Its index.
    pub id: GroupId,
    /// Its name in the manifest.
    pub name: String,
    /// Its members, in the order in which they start.
    pub members: Vec<Member>,
    /// Who is restarted with a member that ends.
    pub strategy: Strategy,
    /// How many members that gave up it restarts.
    pub intensity: Intensity,
}

/// One part of a group or of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Member {
    /// A component.
    Component(ComponentId),
    /// Another group.
    Group(GroupId),
}

/// Who is restarted with a member that ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Nobody else.
    #[default]
    OneForOne,
    /// All members.
    OneForAll,
    /// Those that start after it.
    RestForOne,
}

/// The supervision of a whole app.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Supervision {
    /// Every group, in the manifest's order.
    pub groups: Vec<Group>,
    /// What is in no group, in the order in which it starts: what others need comes first.
    pub top: Vec<Member>,
    /// How many of those that gave up the app restarts before it is down. Where there is none, it never is, and what gave up rests.
    pub intensity: Option<Intensity>,
    /// For how long.
    #[serde(rename = "rest_ms", serialize_with = "crate::budget::millis")]
    pub rest: Duration,
}

impl Default for Residence {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            instances: 1,
            restart: Restart::default(),
            intensity: Intensity::default(),
            backoff: Backoff::default(),
            recycle: Recycle::default(),
        }
    }
}

impl Default for Intensity {
    fn default() -> Self {
        Self { max: 3, within: Duration::from_secs(5) }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(10), most: Duration::from_secs(5) }
    }
}

impl Default for Supervision {
    fn default() -> Self {
        Self { groups: Vec::new(), top: Vec::new(), intensity: None, rest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait after so many restarts within the intensity's time; `chance` shortens it by up to a half.
    #[must_use]
    pub fn after(self, restarts: usize, chance: Chance) -> Duration {
        let doublings = u32::try_from(restarts).unwrap_or(u32::MAX).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.most);
        full - full.mul_f64(chance.0 / 2.0).min(full)
    }
}

/// A number that nobody could foresee, from 0 to below 1: so that many who fail together do not restart together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Chance(f64);

impl Chance {
    /// From random bits, of which each has to be as likely as any other.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(f64::from(bits) / (f64::from(u32::MAX) + 1.0))
    }
}

impl Residence {
    /// Cells that can be there at once: one is replaced before it is gone.
    #[must_use]
    pub fn most_cells(&self) -> u32 {
        self.instances.saturating_add(u32::from(self.recycle != Recycle::default()))
    }
}

impl Component {
    /// Whether it has cells that stay from request to request.
    #[must_use]
    pub fn is_resident(&self) -> bool {
        self.lifetime == Lifetime::Resident && self.wall == Wall::Cell
    }

    /// Whether one worker of the node has its cells for all.
    #[must_use]
    pub fn is_for_the_node(&self) -> bool {
        self.is_resident() && self.residence.scope == Scope::Node
    }

    /// How many calls can run in it at once: a resident without component-model async has one call in each of its cells.
    #[must_use]
    pub fn calls_at_once(&self) -> u32 {
        match self.is_resident() && !self.asynchronous {
            true => self.budget.concurrency.min(self.residence.instances),
            false => self.budget.concurrency,
        }
    }
}

impl Supervision {
    /// The supervision of these components: what the groups do not hold stands at the top, and what others need comes first.
    #[must_use]
    pub fn of(
        components: &[Component],
        edges: &[Edge],
        groups: Vec<Group>,
        intensity: Option<Intensity>,
        rest: Duration,
    ) -> Self {
        let grouped: BTreeSet<Member> = groups.iter().flat_map(|group| group.members.iter().copied()).collect();
        let residents = components.iter().filter(|component| component.is_resident());
        let members = residents.map(|component| Member::Component(component.id));
        let members = members.chain(groups.iter().map(|group| Member::Group(group.id)));
        let free: Vec<Member> = members.filter(|member| !grouped.contains(member)).collect();
        let top = in_order_of_need(&free, components.len(), edges, &groups);
        Self { groups, top, intensity, rest }
    }

    /// The group with this index.
    #[must_use]
    pub fn group(&self, id: GroupId) -> &Group {
        &self.groups[id.0 as usize]
    }

    /// The group that a component or group is in.
    #[must_use]
    pub fn holder(&self, member: Member) -> Option<&Group> {
        self.groups.iter().find(|group| group.members.contains(&member))
    }
}

/// Puts what others need before them. Groups that need each other keep the manifest's order.
fn in_order_of_need(free: &[Member], components: usize, edges: &[Edge], groups: &[Group]) -> Vec<Member> {
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); components];
    for edge in edges {
        needs[edge.importer.0 as usize].extend(edge.callees().iter().map(|callee| callee.0 as usize));
    }
    let held: Vec<Vec<usize>> = free.iter().map(|member| components_in(*member, groups)).collect();
    let reached: Vec<BTreeSet<usize>> = held.iter().map(|held| reach(held, &needs)).collect();
    let mut ordered = Vec::new();
    let mut seen = vec![false; free.len()];
    for index in 0..free.len() {
        place(index, &held, &reached, &mut seen, &mut ordered);
    }
    ordered.into_iter().map(|index| free[index]).collect()
}

fn place(index: usize, held: &[Vec<usize>], reached: &[BTreeSet<usize>], seen: &mut [bool], ordered: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[index], true) {
        return;
    }
    for other in 0..held.len() {
        if held[other].iter().any(|component| reached[index].contains(component)) {
            place(other, held, reached, seen, ordered);
        }
    }
    ordered.push(index);
}

/// The components of a member, those of nested groups included.
fn components_in(member: Member, groups: &[Group]) -> Vec<usize> {
    match member {
        Member::Component(id) => vec![id.0 as usize],
        Member::Group(id) => {
            groups[id.0 as usize].members.iter().flat_map(|member| components_in(*member, groups)).collect()
        }
    }
}

/// What these components call, directly or through others.
fn reach(from: &[usize], needs: &[Vec<usize>]) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<usize> = from.iter().flat_map(|component| needs[*component].iter().copied()).collect();
    while let Some(component) = next.pop() {
        if reached.insert(component) {
            next.extend(&needs[component]);
        }
    }
    reached
}

fn millis_or_none<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => crate::budget::millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneForOne => "one-for-one",
            Self::OneForAll => "one-for-all",
            Self::RestForOne => "rest-for-one",
        })
    }
}

impl fmt::Display for Intensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} restart{} within {:?}", self.max, if self.max == 1 { "" } else { "s" }, self.within)
    }
}
