//! What can be seen of a steward from outside, and what it tells calls. Nothing here changes anything.

use super::{Batch, Current, Goal, NodeId, Place, Steward};
use crate::{
    app::ComponentId,
    failure::FailureKind,
    supervision::{DownReason, InstanceState, Standing},
};

/// What is remembered of a component's residents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Restarts since the app began.
    pub restarts: u64,
    /// Cells that were replaced although they had not failed.
    pub recycled: u64,
    /// How the last cell that failed did.
    pub last_failure: Option<FailureKind>,
}

impl Steward {
    pub(super) fn standing_at(&self, node: NodeId) -> Standing {
        let mut why = None;
        for place in self.lineage.nodes[node].places.clone() {
            match self.down_reason(place) {
                None => return Standing::Open,
                Some(reason) => why = why.or(Some(reason)),
            }
        }
        why.map_or(Standing::Open, Standing::Down)
    }

    fn down_reason(&self, place: Place) -> Option<DownReason> {
        if let Goal::Done(why) = &self.berths[place].goal {
            return Some(why.clone());
        }
        self.batches.iter().filter(|batch| batch.places.contains(&place)).find_map(|batch| batch.down.clone())
    }

    /// What each resident of a component is doing, by its number.
    pub fn states(&self, component: ComponentId) -> impl Iterator<Item = (u32, InstanceState)> + '_ {
        let node = self.lineage.component(component);
        let places = node.map_or(0..0, |node| self.lineage.nodes[node].places.clone());
        places.map(|place| (self.lineage.places[place].instance.number, self.state(place)))
    }

    fn state(&self, place: Place) -> InstanceState {
        let berth = &self.berths[place];
        let awaited = berth.leaving.iter().any(|leaving| leaving.awaited);
        let rests = |batch: &Batch| batch.places.contains(&place) && batch.until > self.now;
        match &berth.goal {
            _ if awaited => InstanceState::Stopping,
            Goal::Doomed { .. } => InstanceState::Stopping,
            Goal::Done(_) => InstanceState::Done,
            Goal::Waiting if self.down_reason(place).is_some() => InstanceState::Down,
            Goal::Waiting if self.batches.iter().any(rests) => InstanceState::BackingOff,
            Goal::Waiting => InstanceState::Waiting,
            Goal::Kept if berth.fresh.is_some() => InstanceState::Renewing,
            Goal::Kept => match berth.current {
                Some(Current { up_since: Some(_), .. }) => InstanceState::Up,
                Some(_) | None => InstanceState::Starting,
            },
        }
    }

    /// What has become of a component's residents so far.
    #[must_use]
    pub fn record(&self, component: ComponentId) -> Record {
        self.accounts.iter().find(|account| account.component == component).map_or_else(Record::default, |of| of.record)
    }

    /// Where the calls of a component stand, if it has residents.
    #[must_use]
    pub fn standing(&self, component: ComponentId) -> Option<Standing> {
        Some(self.standing_at(self.lineage.component(component)?))
    }
}
