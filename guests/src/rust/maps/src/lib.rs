//! Gives maps back as they came.

wit_bindgen::generate!({ path: "../../../wit", world: "maps-guest" });

use exports::watertight::test::maps::Guest;
use wit_bindgen::rt::Map;

struct Maps;

impl Guest for Maps {
    fn plain(v: Map<String, u32>) -> Map<String, u32> {
        v
    }

    fn of_lists(v: Map<u16, Vec<String>>) -> Map<u16, Vec<String>> {
        v
    }
}

export!(Maps);
