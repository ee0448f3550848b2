//! What benches call: an addition, bytes and records, each given back as it came.

wit_bindgen::generate!({ path: "../../../wit", world: "bench-callee" });

use exports::watertight::test::{arith, blob, people};

struct Callee;

impl arith::Guest for Callee {
    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }
}

impl blob::Guest for Callee {
    fn echo(bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}

impl people::Guest for Callee {
    fn echo(all: Vec<people::Person>) -> Vec<people::Person> {
        all
    }
}

export!(Callee);
