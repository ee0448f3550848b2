//! Whose turn it is: pure, with the time given.
//!
//! A process writes one postmortem a second at most. What keeps failing in the same way says little new, so each time it has to wait
//! twice as long as before: the rare failure beside a flood is written, and does not go under in its postmortems.

use std::{collections::HashMap, time::Duration};

use watertight_model::{app::ComponentId, failure::FailureKind};

/// Between two postmortems of one process, and the first two of one kind of failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest that one kind of failure of one component has to wait.
const LONGEST: Duration = Duration::from_secs(60);

/// Turns of one process. It has as many entries as components have failed, times the kinds of failure.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// From when on the process may write again.
    next: Duration,
    of: HashMap<(ComponentId, FailureKind), Turn>,
}

#[derive(Debug)]
struct Turn {
    next: Duration,
    wait: Duration,
}

impl Turns {
    /// Whether this failure has its turn, which is used up then.
    pub(super) fn admits(&mut self, component: ComponentId, kind: FailureKind, now: Duration) -> bool {
        let turn = self.of.entry((component, kind)).or_insert(Turn { next: Duration::ZERO, wait: FIRST });
        if now < self.next || now < turn.next {
            return false;
        }
        // After a quiet time it is news again.
        if now >= turn.next + LONGEST {
            turn.wait = FIRST;
        }
        self.next = now + FIRST;
        turn.next = now + turn.wait;
        turn.wait = (turn.wait * 2).min(LONGEST);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: ComponentId = ComponentId(0);
    const RARE: ComponentId = ComponentId(1);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_flood_leaves_one_a_second_at_first_and_fewer_and_fewer_then() {
        let mut turns = Turns::default();
        let admitted: Vec<u64> =
            (0..200_000).filter(|at| turns.admits(LOUD, FailureKind::Trap, millis(*at))).map(|at| at / 1000).collect();
        assert_eq!(admitted, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
    }

    #[test]
    fn a_rare_failure_beside_a_flood_has_its_turn_within_a_second() {
        let mut turns = Turns::default();
        for at in 0..10_100 {
            turns.admits(LOUD, FailureKind::Trap, millis(at));
        }
        assert!(turns.admits(RARE, FailureKind::Trap, millis(10_100)));
        assert!(!turns.admits(LOUD, FailureKind::Memory, millis(10_101)), "a second for all of a process");
        assert!(turns.admits(LOUD, FailureKind::Memory, millis(11_100)), "another kind of failure is news");
    }

    #[test]
    fn after_a_quiet_minute_a_failure_is_news_again() {
        let mut turns = Turns::default();
        for at in 0..20_000 {
            turns.admits(LOUD, FailureKind::Trap, millis(at));
        }
        for at in [200_000, 201_000] {
            assert!(turns.admits(LOUD, FailureKind::Trap, millis(at)));
        }
    }
}
