//! What a manifest says of residents and their groups.

use std::time::Duration;

use super::{
    At,
    reader::{Reader, Table},
};
use crate::supervision::{Backoff, Intensity, Recycle, Residence, Restart, Scope, Strategy, Supervision};

/// The keys of a component that mean something for residents only.
pub(super) const KEYS: [&str; 6] = ["scope", "instances", "restart", "intensity", "backoff", "recycle"];

/// What a manifest says of one group.
#[derive(Clone, Debug)]
pub(crate) struct GroupSpec {
    pub(crate) name: At<String>,
    /// None where the key is missing.
    pub(crate) members: Option<Vec<At<String>>>,
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
}

/// What a manifest says of the app as the supervisor of all.
#[derive(Clone, Debug)]
pub(crate) struct TopSpec {
    pub(crate) intensity: Option<Intensity>,
    pub(crate) rest: Option<At<Duration>>,
}

impl TopSpec {
    pub(crate) fn rest(&self) -> Duration {
        self.rest.as_ref().map_or_else(|| Supervision::default().rest, |rest| rest.value)
    }
}

pub(super) fn read_residence(reader: &mut Reader, table: Table<'_>) -> Residence {
    let default = Residence::default();
    let restarts = [Restart::Permanent, Restart::Transient, Restart::Temporary];
    let scopes = [Scope::Worker, Scope::Node];
    Residence {
        scope: reader.choice(table, "scope").map_or(default.scope, |choice| scopes[choice.value]),
        instances: reader.count(table, "instances").unwrap_or(default.instances),
        restart: reader.choice(table, "restart").map_or(default.restart, |choice| restarts[choice.value]),
        intensity: read_intensity(reader, table).unwrap_or_default(),
        backoff: reader.inner(table, "backoff").map_or(default.backoff, |table| read_backoff(reader, table)),
        recycle: reader.inner(table, "recycle").map_or(default.recycle, |table| Recycle {
            calls: reader.count(table, "calls"),
            age: reader.duration(table, "age").map(|age| age.value),
            memory: reader.size(table, "memory", super::keys::MEMORY_MIN),
        }),
    }
}

fn read_intensity(reader: &mut Reader, table: Table<'_>) -> Option<Intensity> {
    let default = Intensity::default();
    let table = reader.inner(table, "intensity")?;
    Some(Intensity {
        max: reader.count(table, "max").unwrap_or(default.max),
        within: reader.duration(table, "within").map_or(default.within, |within| within.value),
    })
}

/// A `most` that is less than `first` is the wait before every restart.
fn read_backoff(reader: &mut Reader, table: Table<'_>) -> Backoff {
    let default = Backoff::default();
    Backoff {
        first: reader.duration(table, "first").map_or(default.first, |first| first.value),
        most: reader.duration(table, "most").map_or(default.most, |most| most.value),
    }
}

pub(super) fn read_top(reader: &mut Reader, app: Table<'_>) -> TopSpec {
    TopSpec { intensity: read_intensity(reader, app), rest: reader.duration(app, "rest") }
}

pub(super) fn read_groups(reader: &mut Reader, top: Table<'_>) -> Vec<GroupSpec> {
    let strategies = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
    let mut groups = Vec::new();
    for (name, table) in reader.named(top, "group") {
        super::check_name(reader, "group", &name);
        let given = table.span_of("members").is_some();
        if !given {
            reader.missing(table, "members");
        }
        let listed = reader.list(table, "members");
        let members = super::without_repeats(reader, listed);
        groups.push(GroupSpec {
            name,
            members: given.then_some(members),
            strategy: reader
                .choice(table, "strategy")
                .map_or_else(Strategy::default, |chosen| strategies[chosen.value]),
            intensity: read_intensity(reader, table).unwrap_or_default(),
        });
    }
    groups
}
