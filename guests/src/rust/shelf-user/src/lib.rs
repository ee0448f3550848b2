//! Gives counters to the shelf, gets them back, and uses what the shelf got from a third component.

wit_bindgen::generate!({ path: "../../../wit", world: "shelf-user" });

use exports::watertight::test::shelf_scenes::Guest;
use watertight::test::{shelf, things::Counter};

struct User;

impl Guest for User {
    fn hand_on(n: u32) -> Result<u32, String> {
        let places: Vec<u32> = (0..n).map(|start| shelf::put(Counter::new(start))).collect();
        let mut sum = 0;
        for place in places {
            let counter = shelf::fetch(place).ok_or_else(|| format!("the shelf lost {place}"))?;
            sum += counter.value();
            if shelf::fetch(place).is_some() {
                return Err(format!("the shelf gave {place} twice"));
            }
        }
        let ordered = shelf::order(100);
        if ordered.add(1) != 101 {
            return Err("the ordered counter does not count".to_owned());
        }
        // The shelf reads it twice.
        sum += shelf::read(&ordered);
        drop(ordered);
        match Counter::alive() {
            0 => Ok(sum),
            left => Err(format!("{left} counters are left")),
        }
    }
}

export!(User);
