//! `GET /v1/calls`: what came from outside lately, each with the calls that it led to: when they began, how long they took, how they ended.
//!
//! It is a tap without values that all who ask share, and that is there only while somebody asks. Of a node that is faster than this,
//! some call trees are shown, not all of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::Steward;
use crate::tap::{TapCall, TapWanted};

/// Call trees that are kept.
const MAX_TREES: usize = 40;

/// Calls of one of them.
const MAX_CALLS: usize = 200;

/// Call trees of which the calls wait for what they are part of.
const MAX_PARTS: usize = 256;

/// How long they do.
const GATHER: Duration = Duration::from_secs(5);

/// How long a call tree is recent.
const RECENT: Duration = Duration::from_mins(10);

/// What came from outside lately.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallsStatus {
    /// Call trees, the newest first; those that failed or took longest stay among them for longest.
    pub trees: Vec<CallTreeStatus>,
    /// Calls that there was no room for since somebody asked last.
    pub dropped: u64,
}

/// A call from outside, and those that it led to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallTreeStatus {
    /// What came from outside, and after it the calls in the order in which they began.
    pub calls: Vec<TapCall>,
    /// Some of its calls are left out.
    pub cut: bool,
}

/// What is kept of it.
#[derive(Clone, Default)]
pub(super) struct Recent(Arc<tokio::sync::Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    parts: HashMap<(u32, u64), (Instant, CallTreeStatus)>,
    trees: VecDeque<(Instant, CallTreeStatus)>,
}

/// The tap's number: everyone who asks has the same.
const TAP: u64 = 0x7265_6365_6e74;

impl Recent {
    /// What is known now.
    pub(super) async fn look(&self, steward: &impl Steward) -> CallsStatus {
        let mut kept = self.0.lock().await;
        let taken = steward.tap(&TapWanted { id: TAP, ..TapWanted::default() }).await;
        kept.add(taken.calls);
        let mut trees: Vec<_> = kept.trees.iter().map(|(_, tree)| tree.clone()).collect();
        trees.sort_by_key(|tree| std::cmp::Reverse(tree.calls.first().map(|call| call.began_ns)));
        CallsStatus { trees, dropped: taken.dropped }
    }
}

impl Kept {
    fn add(&mut self, calls: Vec<TapCall>) {
        let now = Instant::now();
        for call in calls {
            let key = (call.pid, call.tree);
            let root = call.from.is_none();
            if !self.parts.contains_key(&key) && self.parts.len() >= MAX_PARTS && !root {
                continue;
            }
            let (_, tree) = self.parts.entry(key).or_insert_with(|| (now, CallTreeStatus::default()));
            if tree.calls.len() < MAX_CALLS || root {
                tree.calls.push(call);
            } else {
                tree.cut = true;
                make_room(tree, call);
            }
            if root && let Some((_, mut tree)) = self.parts.remove(&key) {
                tree.calls.sort_by_key(|call| (call.from.is_some(), call.began_ns));
                self.trees.push_back((now, tree));
            }
        }
        self.parts.retain(|_, (since, _)| since.elapsed() < GATHER);
        self.trees.retain(|(since, _)| since.elapsed() < RECENT);
        while self.trees.len() > MAX_TREES {
            self.forget_one();
        }
    }

    /// Forgets the oldest of those that are neither slow nor failed; the oldest of all where there is none.
    fn forget_one(&mut self) {
        let took = |tree: &CallTreeStatus| tree.calls.first().map_or(0, |call| call.duration_ns);
        let mut times: Vec<_> = self.trees.iter().map(|(_, tree)| took(tree)).collect();
        times.sort_unstable();
        let slow = times.get(times.len() * 3 / 4).copied().unwrap_or(u64::MAX);
        let plain = |(_, tree): &(Instant, CallTreeStatus)| {
            took(tree) <= slow && tree.calls.iter().all(|call| call.outcome == "ok")
        };
        let place = self.trees.iter().take(MAX_TREES / 2).position(plain).unwrap_or(0);
        self.trees.remove(place);
    }
}

/// Calls end before those that they are part of: what is short goes first, so that nothing stays whose caller is gone.
fn make_room(tree: &mut CallTreeStatus, call: TapCall) {
    let well = tree.calls.iter_mut().filter(|kept| kept.outcome == "ok");
    if let Some(shortest) = well.min_by_key(|kept| kept.duration_ns)
        && (call.outcome != "ok" || shortest.duration_ns <= call.duration_ns)
    {
        *shortest = call;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tree: u64, from: Option<&str>, began_ns: u64, outcome: &str) -> TapCall {
        let (from, outcome) = (from.map(str::to_owned), outcome.to_owned());
        TapCall { tree, from, began_ns, outcome, duration_ns: 1_000, ..TapCall::default() }
    }

    #[test]
    fn calls_come_together_below_what_came_from_outside_and_are_bounded() {
        let mut kept = Kept::default();
        kept.add(vec![call(1, Some("b"), 3, "ok"), call(1, Some("a"), 2, "ok")]);
        assert!(kept.trees.is_empty(), "the call from outside goes on");
        kept.add(vec![call(1, None, 1, "ok")]);
        let order: Vec<_> = kept.trees[0].1.calls.iter().map(|call| call.began_ns).collect();
        assert_eq!(order, [1, 2, 3]);
        let many = (0..MAX_CALLS as u64 + 9).map(|began| call(2, Some("a"), began, "ok")).collect();
        kept.add(many);
        kept.add(vec![call(2, None, 0, "ok")]);
        assert!(kept.trees[1].1.cut && kept.trees[1].1.calls.len() == MAX_CALLS + 1);
        assert!(kept.parts.is_empty());
    }

    #[test]
    fn of_too_many_calls_those_that_failed_and_those_that_others_are_part_of_stay() {
        let mut kept = Kept::default();
        kept.add((2..MAX_CALLS as u64 + 2).map(|began| call(1, Some("b"), began, "ok")).collect());
        let around = TapCall { duration_ns: 9_000, ..call(1, Some("a"), 1, "ok") };
        kept.add(vec![call(1, Some("b"), 999, "trap"), around, call(1, None, 0, "ok")]);
        let calls = &kept.trees[0].1.calls;
        assert!(calls.iter().any(|call| call.outcome == "trap"));
        assert_eq!(calls[1].duration_ns, 9_000);
        assert_eq!(calls.len(), MAX_CALLS + 1);
    }

    #[test]
    fn what_failed_is_kept_for_longest() {
        let mut kept = Kept::default();
        kept.add(vec![call(1, None, 1, "trap")]);
        kept.add((2..100).map(|tree| call(tree, None, tree, "ok")).collect());
        assert_eq!(kept.trees.len(), MAX_TREES);
        assert_eq!(kept.trees[0].1.calls[0].outcome, "trap");
    }
}
