//! The last crossings of a call tree, kept while it runs: who called whom, with the first bytes of the arguments.
//!
//! It is on the way of every call, so it copies and counts, and does nothing else; what the bytes mean is found out when a cell
//! has failed. A ring is made once for a thread and used by one call tree after another.

use std::{cell::RefCell, time::Duration};

use parking_lot::Mutex;
use watertight_model::{
    app::{EdgeId, FunctionId},
    event::Outcome,
    postmortem::MAX_CROSSINGS,
};

use crate::clock::Moment;

/// Bytes of one crossing's arguments that are kept.
const MAX_PREFIX_BYTES: usize = 512;

/// Rings that a thread keeps for its next call trees.
const SPARE_RINGS: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<Ring>> = const { RefCell::new(Vec::new()) };
}

/// The crossings of one call tree.
#[derive(Debug, Default)]
pub(crate) struct Crossings(Mutex<Option<Ring>>);

/// The last of them. Entries past the first `begun` are another call tree's, and only room.
#[derive(Debug, Default)]
struct Ring {
    /// Counts begins and ends, so that their order is known.
    ticks: u64,
    begun: u64,
    next: usize,
    last: Vec<Kept>,
}

/// One crossing.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) edge: EdgeId,
    pub(crate) function: FunctionId,
    /// When it began and ended, in ticks; it has not ended at 0.
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) began: Moment,
    pub(crate) took: Duration,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) outcome: Outcome,
    /// The start of the arguments' frame; nothing where the manifest says `redact`.
    pub(crate) arguments: Vec<u8>,
    pub(crate) redacted: bool,
}

/// A crossing that goes on. If it is dropped before it ended, the caller was cut off.
#[derive(Debug)]
pub(crate) struct Crossing<'a> {
    crossings: &'a Crossings,
    place: usize,
    from: u64,
}

/// What begins.
pub(crate) struct Begin<'a> {
    pub(crate) edge: EdgeId,
    pub(crate) function: FunctionId,
    pub(crate) at: Moment,
    pub(crate) arguments: &'a [u8],
    pub(crate) redact: bool,
}

/// What a call tree went through until now.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// In the order they began.
    pub(crate) crossings: Vec<Kept>,
    /// How many there were before those.
    pub(crate) before: u64,
}

impl Crossings {
    pub(crate) fn begin(&self, begin: &Begin<'_>) -> Crossing<'_> {
        let mut ring = self.0.lock();
        let ring = ring.get_or_insert_with(|| SPARE.with_borrow_mut(Vec::pop).unwrap_or_default());
        let (place, from) = ring.begin(begin);
        Crossing { crossings: self, place, from }
    }

    /// What there was until now.
    pub(crate) fn history(&self) -> History {
        let ring = self.0.lock();
        let Some(ring) = ring.as_ref() else { return History::default() };
        let mut crossings: Vec<_> = (0..ring.used()).map(|place| ring.last[place].clone()).collect();
        crossings.sort_by_key(|crossing| crossing.from);
        History { before: ring.begun - crossings.len() as u64, crossings }
    }
}

impl Ring {
    fn used(&self) -> usize {
        usize::try_from(self.begun).map_or(MAX_CROSSINGS, |begun| begun.min(MAX_CROSSINGS))
    }

    fn goes_on(&self, place: usize) -> bool {
        place < self.used() && self.last[place].to == 0
    }

    fn begin(&mut self, begin: &Begin<'_>) -> (usize, u64) {
        // Those that go on lead to what fails next: they are kept, unless all are such.
        let mut places = (0..MAX_CROSSINGS).map(|skip| (self.next + skip) % MAX_CROSSINGS);
        let place = places.find(|place| !self.goes_on(*place)).unwrap_or(self.next);
        self.next = (place + 1) % MAX_CROSSINGS;
        self.begun += 1;
        self.ticks += 1;
        if place == self.last.len() {
            self.last.push(Kept::default());
        }
        let kept = &mut self.last[place];
        kept.arguments.clear();
        if !begin.redact {
            kept.arguments.extend_from_slice(&begin.arguments[..begin.arguments.len().min(MAX_PREFIX_BYTES)]);
        }
        (kept.edge, kept.function, kept.began, kept.redacted) = (begin.edge, begin.function, begin.at, begin.redact);
        (kept.from, kept.to, kept.bytes_in) = (self.ticks, 0, begin.arguments.len() as u64);
        (place, self.ticks)
    }
}

impl Crossing<'_> {
    pub(crate) fn end(self, took: Duration, bytes_out: u64, outcome: Outcome) {
        self.note(took, bytes_out, outcome);
        std::mem::forget(self);
    }

    fn note(&self, took: Duration, bytes_out: u64, outcome: Outcome) {
        let mut ring = self.crossings.0.lock();
        let Some(ring) = ring.as_mut() else { return };
        ring.ticks += 1;
        let kept = &mut ring.last[self.place];
        // Another crossing may have its place by now.
        if kept.from == self.from {
            (kept.to, kept.took, kept.bytes_out, kept.outcome) = (ring.ticks, took, bytes_out, outcome);
        }
    }
}

impl Drop for Crossing<'_> {
    fn drop(&mut self) {
        self.note(Duration::ZERO, 0, Outcome::Cancelled);
    }
}

impl Drop for Crossings {
    fn drop(&mut self) {
        let Some(mut ring) = self.0.get_mut().take() else { return };
        (ring.ticks, ring.begun, ring.next) = (0, 0, 0);
        // At the end of a thread there is nobody to keep it for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_RINGS {
                spare.push(ring);
            }
        });
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            edge: EdgeId(0),
            function: FunctionId(0),
            from: 0,
            to: 0,
            began: Moment::latest(),
            took: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            outcome: Outcome::Ok,
            arguments: Vec::new(),
            redacted: false,
        }
    }
}

impl History {
    /// How many of the others each crossing was part of. `from` is who calls over an edge, `to` whether somebody is called.
    pub(crate) fn depths<C>(&self, from: impl Fn(EdgeId) -> C, to: impl Fn(EdgeId, &C) -> bool) -> Vec<u32> {
        let mut depths: Vec<u32> = Vec::with_capacity(self.crossings.len());
        for (index, crossing) in self.crossings.iter().enumerate() {
            let caller = from(crossing.edge);
            let parent = self.crossings[..index]
                .iter()
                .rposition(|before| (before.to == 0 || before.to > crossing.from) && to(before.edge, &caller));
            depths.push(parent.map_or(0, |parent| depths[parent] + 1));
        }
        depths
    }

    /// The crossings that led to the cell that failed, outermost first.
    pub(crate) fn path_to<C>(
        &self,
        failed: C,
        from: impl Fn(EdgeId) -> C,
        to: impl Fn(EdgeId, &C) -> bool,
    ) -> Vec<&Kept> {
        let mut path = Vec::new();
        let mut callee = failed;
        for crossing in self.crossings.iter().rev().filter(|crossing| crossing.to == 0) {
            if to(crossing.edge, &callee) {
                path.push(crossing);
                callee = from(crossing.edge);
            }
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin<'a>(crossings: &'a Crossings, edge: u32, arguments: &[u8]) -> Crossing<'a> {
        let at = Moment::now();
        crossings.begin(&Begin { edge: EdgeId(edge), function: FunctionId(0), at, arguments, redact: false })
    }

    fn end(crossing: Crossing<'_>) {
        crossing.end(Duration::from_micros(1), 1, Outcome::Ok);
    }

    /// Edge n leads from component n to component n + 1.
    fn from(edge: EdgeId) -> u32 {
        edge.0
    }

    fn to(edge: EdgeId, component: &u32) -> bool {
        edge.0 + 1 == *component
    }

    fn edges(history: &History) -> Vec<u32> {
        history.crossings.iter().map(|crossing| crossing.edge.0).collect()
    }

    #[test]
    fn the_last_ones_are_kept_and_those_that_go_on() {
        let crossings = Crossings::default();
        let outer = begin(&crossings, 0, b"outer");
        for edge in 100..200 {
            end(begin(&crossings, edge, b"x"));
        }
        let inner = begin(&crossings, 1, b"inner");
        let history = crossings.history();
        let expected: Vec<u32> = [0].into_iter().chain(170..200).chain([1]).collect();
        assert_eq!(edges(&history), expected);
        assert_eq!(history.before, 102 - 32);
        let path: Vec<_> = history.path_to(2, from, to).iter().map(|kept| kept.arguments.clone()).collect();
        assert_eq!(path, [b"outer".to_vec(), b"inner".to_vec()]);
        end(inner);
        drop(outer);
        let cut_off = &crossings.history().crossings[0];
        assert_eq!((cut_off.outcome, cut_off.to > 0), (Outcome::Cancelled, true), "its caller is gone");
    }

    #[test]
    fn what_a_call_called_stands_below_it() {
        let crossings = Crossings::default();
        let first = begin(&crossings, 0, b"");
        end(begin(&crossings, 1, b""));
        let second = begin(&crossings, 1, b"");
        end(begin(&crossings, 2, b""));
        end(second);
        end(first);
        end(begin(&crossings, 0, b""));
        assert_eq!(crossings.history().depths(from, to), [0, 1, 1, 2, 0]);
    }

    #[test]
    fn a_ring_that_was_used_before_tells_nothing_of_it() {
        for _ in 0..3 {
            let crossings = Crossings::default();
            assert_eq!(edges(&crossings.history()), [] as [u32; 0]);
            let open = begin(&crossings, 7, &[1; 10_000]);
            assert_eq!(edges(&crossings.history()), [7]);
            assert_eq!(crossings.history().crossings[0].arguments.len(), MAX_PREFIX_BYTES);
            assert_eq!(crossings.history().crossings[0].bytes_in, 10_000);
            drop(open);
        }
    }

    #[test]
    fn more_that_go_on_than_there_is_room_for_do_no_harm() {
        let crossings = Crossings::default();
        let all: Vec<_> = (0..100).map(|edge| begin(&crossings, edge, b"")).collect();
        assert_eq!(edges(&crossings.history()).len(), MAX_CROSSINGS);
        all.into_iter().for_each(end);
    }
}
