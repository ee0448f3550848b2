//! Gives every value back as it came.

wit_bindgen::generate!({ path: "../../../wit", world: "types-guest" });

use exports::watertight::test::types::*;

struct Types;

macro_rules! echoes {
    ($($name:ident: $type:ty,)*) => {
        impl Guest for Types {
            $(fn $name(v: $type) -> $type {
                v
            })*

            fn sixteen(
                a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32, h: u32, i: u32, j: u32, k: u32, l: u32, m: u32,
                n: u32, o: u32, p: u32,
            ) -> u64 {
                [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].map(u64::from).iter().sum()
            }

            fn seventeen(
                a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32, h: u32, i: u32, j: u32, k: u32, l: u32, m: u32,
                n: u32, o: u32, p: u32, q: u32,
            ) -> u64 {
                [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q].map(u64::from).iter().sum()
            }

            fn strings_and_more(
                a: String, b: String, c: String, d: String, e: String, f: String, g: String, h: String, i: u8, j: Vec<String>,
            ) -> String {
                format!("{a}{b}{c}{d}{e}{f}{g}{h}{i}{}", j.concat())
            }

            fn nothing() {}
        }
    };
}

echoes! {
        bools: bool,
        u8s: u8,
        s8s: i8,
        u16s: u16,
        s16s: i16,
        u32s: u32,
        s32s: i32,
        u64s: u64,
        s64s: i64,
        f32s: f32,
        f64s: f64,
        chars: char,
        strings: String,
        bytes: Vec<u8>,
        wide_list: Vec<u64>,
        char_list: Vec<char>,
        bool_list: Vec<bool>,
        string_list: Vec<String>,
        list_list: Vec<Vec<String>>,
        points: Point,
        mixeds: Mixed,
        mixed_list: Vec<Mixed>,
        empty_ishs: EmptyIsh,
        persons: Person,
        person_list: Vec<Person>,
        tuples: (u8, String, f64, Point),
        colours: Colour,
        shapes: Shape,
        shape_list: Vec<Shape>,
        fews: Few,
        nines: Nine,
        manys: Many,
        flag_list: Vec<(Few, Nine, Many)>,
        options: Option<u32>,
        option_strings: Option<String>,
        option_options: Option<Option<u8>>,
        results: Result<u32, String>,
        results_ok: Result<u64, ()>,
        results_err: Result<(), f32>,
        results_bare: Result<(), ()>,
        result_list: Vec<Result<Option<String>, Vec<u8>>>,
}

export!(Types);
