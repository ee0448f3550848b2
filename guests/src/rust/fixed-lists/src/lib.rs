//! Gives lists of fixed length back as they came.

wit_bindgen::generate!({ path: "../../../wit", world: "fixed-lists-guest" });

use exports::watertight::test::fixed_lists::Guest;

struct Lists;

impl Guest for Lists {
    fn plain(v: [u16; 5]) -> [u16; 5] {
        v
    }

    fn of_strings(v: [String; 3]) -> [String; 3] {
        v
    }

    fn inside_list(v: Vec<[u8; 4]>) -> Vec<[u8; 4]> {
        v
    }
}

export!(Lists);
