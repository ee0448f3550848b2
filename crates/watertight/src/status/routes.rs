//! How requests were answered, by route.

use serde::{Deserialize, Serialize};
use watertight_model::app::App;
use watertight_observe::{Latency, Tally};

/// A route of an app, or what matched none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteStatus {
    /// The route as it is in the manifest: empty for what matched none.
    pub route: String,
    /// The component that answers: empty for what matched none.
    pub component: String,
    /// Requests by the class of their status, from `1xx` to `5xx`; first, those that were broken off before there was one.
    pub classes: [u64; 6],
    /// How long they took, from the request's head to the answer's last byte.
    pub latency: Latency,
    /// Bytes of the requests' bodies that were read.
    pub bytes_in: u64,
    /// Bytes of the answers' bodies that were written.
    pub bytes_out: u64,
}

impl RouteStatus {
    /// Requests, however they were answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.classes.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.classes.iter_mut().zip(other.classes) {
            *ours = ours.saturating_add(theirs);
        }
        self.latency.add(&other.latency);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
    }
}

/// The routes of an app, and at the end what matched none.
pub(super) fn counted(app: &App, tally: &Tally) -> Vec<RouteStatus> {
    let status = |route: &str, component: &str, index: Option<u32>| {
        let counts = tally.route(index);
        RouteStatus {
            route: route.to_owned(),
            component: component.to_owned(),
            classes: counts.classes,
            latency: counts.latency,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
        }
    };
    let known = app
        .http
        .iter()
        .zip(0..)
        .map(|(trigger, index)| status(&trigger.route, &app.component(trigger.component).name, Some(index)));
    known.chain([status("", "", None)]).collect()
}

/// Adds those of another worker.
pub(super) fn add(ours: &mut Vec<RouteStatus>, theirs: Vec<RouteStatus>) {
    for their in theirs {
        match ours.iter_mut().find(|our| our.route == their.route && our.component == their.component) {
            Some(our) => our.add(&their),
            None => ours.push(their),
        }
    }
}
