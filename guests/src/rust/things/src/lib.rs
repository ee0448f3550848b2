//! Exports a resource in every position: constructor, methods, statics, own in and out, borrow, lists, records, results.

wit_bindgen::generate!({ path: "../../../wit", world: "things-guest" });

use std::cell::Cell;

use exports::watertight::test::things::{Counter, CounterBorrow, Guest, GuestCounter, Pair};

struct Things;

thread_local! {
    static ALIVE: Cell<u32> = const { Cell::new(0) };
    static DROPPED: Cell<u32> = const { Cell::new(0) };
}

struct Number(Cell<u32>);

impl Number {
    fn with(start: u32) -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self(Cell::new(start))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
        DROPPED.set(DROPPED.get() + 1);
    }
}

impl GuestCounter for Number {
    fn new(start: u32) -> Self {
        Self::with(start)
    }

    fn open(start: u32) -> Result<Counter, String> {
        if start < 1000 { Ok(Counter::new(Self::with(start))) } else { Err(format!("{start} is not below 1000")) }
    }

    fn add(&self, n: u32) -> u32 {
        self.0.set(self.0.get().wrapping_add(n));
        self.0.get()
    }

    fn value(&self) -> u32 {
        self.0.get()
    }

    fn explode(&self) -> Result<u32, String> {
        core::arch::wasm32::unreachable()
    }

    fn merge(a: Counter, b: Counter) -> Counter {
        let sum = a.get::<Self>().value().wrapping_add(b.get::<Self>().value());
        Counter::new(Self::with(sum))
    }

    fn alive() -> u32 {
        ALIVE.get()
    }

    fn dropped() -> u32 {
        DROPPED.get()
    }
}

impl Guest for Things {
    type Counter = Number;

    fn take(c: Counter) -> u32 {
        c.get::<Number>().value()
    }

    fn make(start: u32) -> Counter {
        Counter::new(Number::with(start))
    }

    fn compare(a: CounterBorrow<'_>, b: CounterBorrow<'_>) -> i32 {
        match a.get::<Number>().value().cmp(&b.get::<Number>().value()) {
            std::cmp::Ordering::Less => -1,
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => 1,
        }
    }

    fn many(n: u32) -> Vec<Counter> {
        (0..n).map(|start| Counter::new(Number::with(start))).collect()
    }

    fn sum(all: Vec<Counter>) -> u32 {
        all.iter().map(|c| c.get::<Number>().value()).sum()
    }

    fn peek(all: Vec<CounterBorrow<'_>>) -> u32 {
        all.iter().map(|c| c.get::<Number>().value()).sum()
    }

    /// With a right one: `ok` of the left and the right's value. Without: `err` of the left.
    fn split(p: Pair) -> Result<(Counter, u32), Counter> {
        match p.right {
            Some(right) => Ok((p.left, right.get::<Number>().value())),
            None => Err(p.left),
        }
    }

    fn echo(c: Counter) -> Counter {
        c
    }
}

export!(Things);
