//! How often a cell that keeps failing is restarted before all above it have given up: nested limits multiply.

use std::{fmt, time::Duration};

use super::{Intensity, Member, Restart};
use crate::app::{App, Component};

/// The limits above one component's cells, the component's own first.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// The component's name.
    pub component: String,
    /// Whose limits they are.
    pub levels: Vec<Level>,
    /// Restarts of one cell that keeps failing, before the last of these gives up.
    pub restarts: u64,
    /// In this time at least: the shortest of theirs. Slower failures never add up.
    #[serde(rename = "within_ms", serialize_with = "crate::budget::millis")]
    pub within: Duration,
    /// How long the last one rests then before it begins anew; none where the app is down.
    #[serde(rename = "rest_ms", serialize_with = "super::millis_or_none")]
    pub rest: Option<Duration>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Level {
    /// Whose it is, as the manifest's key.
    pub key: String,
    /// The limit.
    pub intensity: Intensity,
}

/// The limits of a resident component; none where it has no cells that stay, or they are never restarted.
#[must_use]
pub fn limits(app: &App, component: &Component) -> Option<Limits> {
    if !component.is_resident() || component.residence.restart == Restart::Temporary {
        return None;
    }
    let own = Level { key: format!("component.{}", component.name), intensity: component.residence.intensity };
    let mut levels = vec![own];
    let mut member = Member::Component(component.id);
    while let Some(group) = app.supervision.holder(member) {
        levels.push(Level { key: format!("group.{}", group.name), intensity: group.intensity });
        member = Member::Group(group.id);
    }
    levels.extend(app.supervision.intensity.map(|intensity| Level { key: "app".to_owned(), intensity }));
    let starts = levels.iter().map(|level| u64::from(level.intensity.max) + 1).fold(1, u64::saturating_mul);
    let rest = app.supervision.intensity.is_none().then_some(app.supervision.rest);
    let within = levels.iter().map(|level| level.intensity.within).chain(rest).min().unwrap_or_default();
    Some(Limits { component: component.name.clone(), levels, restarts: starts - 1, within, rest })
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("at most ")?;
        if let [_, _, ..] = self.levels.as_slice() {
            let starts: Vec<_> = self.levels.iter().map(|level| format!("({}+1)", level.intensity.max)).collect();
            write!(f, "{} - 1 = ", starts.join(" x "))?;
        }
        let plural = if self.restarts == 1 { "" } else { "s" };
        write!(f, "{} restart{plural} within {:?}, then ", self.restarts, self.within)?;
        match self.rest {
            Some(rest) => write!(f, "it rests for {rest:?}"),
            None => f.write_str("the app is down"),
        }
    }
}
