//! Which worker has the components that a node has once, and who is connected to it: decisions without processes (invariant 8).
//!
//! Workers of one edition are a crew. Its keeper is the first that is ready; when that one is gone, another takes its place, rather one
//! that stays than one that drains. Crews know nothing of each other: during a reload, each version of the app has its own keeper.

use std::collections::BTreeMap;

use super::roster::{Edition, Who};

/// The crews.
#[derive(Debug, Default)]
pub(super) struct Placement {
    crews: BTreeMap<Edition, Crew>,
}

#[derive(Debug, Default)]
struct Crew {
    keeper: Option<Who>,
    /// In the order in which they became ready.
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    who: Who,
    drains: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Tell a worker that it is the keeper.
    Keep(Who),
    /// Connect a worker to the keeper.
    Connect { caller: Who, keeper: Who },
}

impl Placement {
    /// A worker is ready.
    pub(super) fn joins(&mut self, edition: Edition, who: Who) -> Vec<Deed> {
        let crew = self.crews.entry(edition).or_default();
        crew.members.push(Member { who, drains: false });
        match crew.keeper {
            Some(keeper) => vec![Deed::Connect { caller: who, keeper }],
            None => crew.choose(),
        }
    }

    /// A worker drains: it stays for a while, and is not the one to choose.
    pub(super) fn drains(&mut self, who: Who) {
        let members = self.crews.values_mut().flat_map(|crew| &mut crew.members);
        members.filter(|member| member.who == who).for_each(|member| member.drains = true);
    }

    /// A worker is gone.
    pub(super) fn leaves(&mut self, who: Who) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for crew in self.crews.values_mut() {
            crew.members.retain(|member| member.who != who);
            if crew.keeper == Some(who) {
                deeds.extend(crew.choose());
            }
        }
        self.crews.retain(|_, crew| !crew.members.is_empty());
        deeds
    }

    /// Whether a worker is the keeper of its crew.
    pub(super) fn keeps(&self, who: Who) -> bool {
        self.crews.values().any(|crew| crew.keeper == Some(who))
    }
}

impl Crew {
    /// Makes one of them the keeper, and connects the others to it.
    fn choose(&mut self) -> Vec<Deed> {
        let stays = self.members.iter().find(|member| !member.drains).or(self.members.first());
        self.keeper = stays.map(|member| member.who);
        let Some(keeper) = self.keeper else { return Vec::new() };
        let callers = self.members.iter().map(|member| member.who).filter(|who| *who != keeper);
        [Deed::Keep(keeper)].into_iter().chain(callers.map(|caller| Deed::Connect { caller, keeper })).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn who(slot: usize) -> Who {
        Who { slot, turn: 1 }
    }

    fn names(deeds: &[Deed]) -> String {
        let name = |deed: &Deed| match deed {
            Deed::Keep(who) => format!("{} keeps", who.slot),
            Deed::Connect { caller, keeper } => format!("{} to {}", caller.slot, keeper.slot),
        };
        deeds.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_first_one_ready_keeps_and_the_others_are_connected_to_it() {
        let mut placement = Placement::default();
        assert_eq!(names(&placement.joins(1, who(1))), "1 keeps");
        assert_eq!(names(&placement.joins(1, who(0))), "0 to 1");
        assert_eq!(names(&placement.joins(1, who(2))), "2 to 1");
        assert!(placement.keeps(who(1)) && !placement.keeps(who(0)));
        assert_eq!(names(&placement.leaves(who(2))), "", "nothing is lost with another");
        assert_eq!(names(&placement.leaves(who(1))), "0 keeps");
        assert_eq!(names(&placement.joins(1, who(1))), "1 to 0", "who comes back is one of the others");
    }

    #[test]
    fn one_that_drains_keeps_on_and_is_chosen_last() {
        let mut placement = Placement::default();
        (0..4).for_each(|slot| drop(placement.joins(1, who(slot))));
        placement.drains(who(0));
        placement.drains(who(1));
        assert!(placement.keeps(who(0)));
        assert_eq!(names(&placement.leaves(who(0))), "2 keeps, 1 to 2, 3 to 2");
        placement.drains(who(2));
        placement.drains(who(3));
        assert_eq!(names(&placement.leaves(who(2))), "1 keeps, 3 to 1", "there is nobody else");
    }

    #[test]
    fn each_edition_has_its_own() {
        let mut placement = Placement::default();
        placement.joins(1, who(0));
        placement.joins(1, who(1));
        let newcomer = Who { slot: 0, turn: 2 };
        assert_eq!(placement.joins(2, newcomer), [Deed::Keep(newcomer)]);
        assert_eq!(names(&placement.leaves(who(0))), "1 keeps");
        assert!(placement.keeps(newcomer));
    }

    proptest! {
        #[test]
        fn there_is_one_keeper_and_everyone_else_is_connected_to_it(
            moves in prop::collection::vec((0_usize..6, 0_u8..3), 1..60),
        ) {
            let mut placement = Placement::default();
            let mut turns = 0;
            // Who is there, of which edition, and connected to whom; none for a keeper.
            let mut there: BTreeMap<Who, (Edition, Option<Who>)> = BTreeMap::new();
            for (choice, act) in moves {
                let chosen = there.keys().nth(choice % there.len().max(1)).copied();
                let deeds = match (act, chosen) {
                    (0, Some(who)) => {
                        there.remove(&who);
                        placement.leaves(who)
                    }
                    (1, Some(who)) => {
                        placement.drains(who);
                        Vec::new()
                    }
                    _ => {
                        turns += 1;
                        let (who, edition) = (Who { slot: choice, turn: turns }, 1 + turns / 10);
                        there.insert(who, (edition, None));
                        placement.joins(edition, who)
                    }
                };
                for deed in deeds {
                    let (who, at) = match deed {
                        Deed::Keep(who) => (who, None),
                        Deed::Connect { caller, keeper } => (caller, Some(keeper)),
                    };
                    there.get_mut(&who).expect("only who is there is told").1 = at;
                }
                for (who, (edition, at)) in &there {
                    let keepers: Vec<_> = there.iter().filter(|(who, (of, _))| of == edition && placement.keeps(**who)).collect();
                    prop_assert_eq!(keepers.len(), 1);
                    let keeper = *keepers[0].0;
                    prop_assert_eq!(*at, (keeper != *who).then_some(keeper));
                }
            }
        }
    }
}
