//! Stands between the owner of the counters and a third component: takes counters, keeps them, hands them on.

wit_bindgen::generate!({ path: "../../../wit", world: "shelf-guest" });

use std::cell::RefCell;

use exports::watertight::test::shelf::Guest;
use watertight::test::things::{self, Counter};

struct Shelf;

thread_local! {
    static KEPT: RefCell<Vec<Option<Counter>>> = const { RefCell::new(Vec::new()) };
}

impl Guest for Shelf {
    fn put(c: Counter) -> u32 {
        KEPT.with_borrow_mut(|kept| {
            kept.push(Some(c));
            u32::try_from(kept.len() - 1).expect("fewer than 2^32")
        })
    }

    fn fetch(at: u32) -> Option<Counter> {
        KEPT.with_borrow_mut(|kept| kept.get_mut(at as usize)?.take())
    }

    fn order(start: u32) -> Counter {
        things::make(start)
    }

    fn read(c: &Counter) -> u32 {
        things::peek(&[c, c])
    }
}

export!(Shelf);
