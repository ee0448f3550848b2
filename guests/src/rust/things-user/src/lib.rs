//! Plays scenes with another component's counters. Every scene checks each answer and says which one was wrong.

wit_bindgen::generate!({ path: "../../../wit", world: "things-user" });

use exports::watertight::test::scenes::Guest;
use watertight::test::things::{self, Counter, Pair};

struct User;

/// `got` must be `want`, or the scene ends with what it was about.
fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}: got {got:?}, not {want:?}")) }
}

impl Guest for User {
    fn simple(start: u32, times: u32) -> Result<u32, String> {
        let before = Counter::alive();
        let counter = Counter::new(start);
        expect("alive with one more", Counter::alive(), before + 1)?;
        for turn in 1..=times {
            expect("add", counter.add(1), start + turn)?;
        }
        let value = counter.value();
        drop(counter);
        expect("alive after the drop", Counter::alive(), before)?;
        Ok(value)
    }

    fn statics() -> Result<u32, String> {
        let opened = Counter::open(7)?;
        expect("open", opened.value(), 7)?;
        expect("open above its bound", Counter::open(1000).err().as_deref(), Some("1000 is not below 1000"))?;
        let merged = Counter::merge(opened, things::make(5));
        expect("merge", merged.value(), 12)?;
        let same = things::echo(merged);
        expect("echo", same.add(1), 13)?;
        expect("take", things::take(same), 13)?;
        expect("alive", Counter::alive(), 0)?;
        Ok(Counter::dropped())
    }

    fn borrows() -> Result<u32, String> {
        let (small, large) = (Counter::new(1), Counter::new(2));
        expect("less", things::compare(&small, &large), -1)?;
        expect("greater", things::compare(&large, &small), 1)?;
        expect("itself", things::compare(&small, &small), 0)?;
        expect("peek", things::peek(&[&small, &large, &small]), 4)?;
        Ok(small.value() + large.value())
    }

    fn lists(n: u32) -> Result<u32, String> {
        let all = things::many(n);
        expect("length", all.len(), n as usize)?;
        expect("peek", things::peek(&all.iter().collect::<Vec<_>>()), (0..n).sum())?;
        expect("alive", Counter::alive(), n)?;
        let sum = things::sum(all);
        expect("alive after they were given away", Counter::alive(), 0)?;
        expect("an empty list", things::sum(Vec::new()), 0)?;
        Ok(sum)
    }

    fn nested() -> Result<u32, String> {
        let pair = Pair { left: Counter::new(3), right: Some(Counter::new(4)) };
        let (left, right) = things::split(pair).map_err(|_| "split of two gave err")?;
        expect("left", left.value(), 3)?;
        expect("right", right, 4)?;
        let Err(lone) = things::split(Pair { left, right: None }) else {
            return Err("split of one gave ok".to_owned());
        };
        expect("lone", lone.add(10), 13)?;
        expect("alive", Counter::alive(), 1)?;
        Ok(lone.value() + right)
    }

    fn drops(n: u32) -> Result<u32, String> {
        let mut all: Vec<Option<Counter>> = things::many(n).into_iter().map(Some).collect();
        // Every third first, then the rest from the back.
        for at in (0..all.len()).step_by(3) {
            all[at] = None;
        }
        expect("alive after the first drops", Counter::alive(), n - n.div_ceil(3))?;
        while let Some(last) = all.pop() {
            drop(last);
        }
        expect("alive after all drops", Counter::alive(), 0)?;
        Ok(Counter::dropped())
    }

    fn leak(n: u32) -> Result<u32, String> {
        for start in 0..n {
            std::mem::forget(Counter::new(start));
        }
        Ok(Counter::alive())
    }

    /// `err` twice is what is wanted: once because it exploded, once because its owner is dead.
    fn after_death() -> Result<u32, String> {
        let (first, second) = (Counter::new(1), Counter::new(2));
        let Err(told) = first.explode() else { return Err("the explosion was not noticed".to_owned()) };
        let Err(again) = second.explode() else { return Err("the dead answered".to_owned()) };
        Err(format!("{told} / {again}"))
    }
}

export!(User);
