//! Calls an addition, bytes and records in a loop.

wit_bindgen::generate!({ path: "../../../wit", world: "bench-caller" });

use exports::watertight::test::laps::Guest;
use watertight::test::{arith, blob, people};

struct Caller;

impl Guest for Caller {
    fn add(times: u32) -> u32 {
        (0..times).fold(0, arith::add)
    }

    fn blob(size: u32, times: u32) -> u64 {
        let bytes = vec![7; size as usize];
        (0..times).map(|_| blob::echo(&bytes).len() as u64).sum()
    }

    fn people(count: u32, times: u32) -> u64 {
        let all: Vec<people::Person> = (0..count)
            .map(|id| people::Person { name: format!("person {id:08}"), id: id.into(), age: 42, active: true })
            .collect();
        (0..times).map(|_| people::echo(&all).len() as u64).sum()
    }
}

export!(Caller);
