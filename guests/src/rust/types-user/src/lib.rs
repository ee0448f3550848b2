//! Sends the values that are easiest to get wrong, and then random ones, through another component, and compares.

wit_bindgen::generate!({ path: "../../../wit", world: "types-user", additional_derives: [PartialEq] });

use exports::watertight::test::types_check::Guest;
use watertight::test::types::*;

struct User;

/// xorshift: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn char(&mut self) -> char {
        let ranges =
            [(0x20, 0x5f), (0xa0, 0x60), (0x2000, 0x1000), (0x1_f600, 0x50), (0xd7ff, 1), (0xe000, 2), (0x10_ffff, 1)];
        let (from, count) = ranges[self.below(ranges.len() as u64) as usize];
        char::from_u32(from + self.below(count) as u32).unwrap_or('?')
    }

    fn string(&mut self) -> String {
        (0..self.below(40)).map(|_| self.char()).collect()
    }

    fn list<T>(&mut self, most: u64, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.roll() & 1 == 0).then(|| make(self))
    }

    fn point(&mut self) -> Point {
        Point { x: self.roll() as i32, y: self.roll() as i32 }
    }

    fn mixed(&mut self) -> Mixed {
        Mixed {
            a: self.roll() as u8,
            b: self.roll(),
            c: self.roll() & 1 == 0,
            d: self.below(1 << 20) as f32 / 8.0,
            e: self.char(),
            f: self.roll() as i16,
        }
    }

    fn person(&mut self) -> Person {
        Person {
            name: self.string(),
            age: self.option(|dice| dice.roll() as u8),
            tags: self.list(5, Self::string),
            home: self.point(),
        }
    }

    fn shade(&mut self) -> Shade {
        if self.roll() & 1 == 0 { Shade::Of(self.colour()) } else { Shade::Grey(self.roll() as u8) }
    }

    fn colour(&mut self) -> Colour {
        [Colour::Red, Colour::Green, Colour::Blue][self.below(3) as usize]
    }

    fn shape(&mut self) -> Shape {
        match self.below(6) {
            0 => Shape::Nothing,
            1 => Shape::Dot(self.point()),
            2 => Shape::Named(self.string()),
            3 => Shape::Wide(self.roll()),
            4 => Shape::Real(self.below(1 << 20) as f32 / 8.0),
            _ => Shape::Many(self.list(4, Self::shade)),
        }
    }
}

/// Calls `$name` with the value and compares.
macro_rules! back {
    ($count:ident, $name:ident, $value:expr) => {{
        let value = $value;
        let back = $name(value.clone());
        if back != value {
            return Err(format!("{}: {value:?} came back as {back:?}", stringify!($name)));
        }
        $count += 1;
    }};
    ($count:ident, ref $name:ident, $value:expr) => {{
        let value = $value;
        let back = $name(&value);
        if back != value {
            return Err(format!("{}: {value:?} came back as {back:?}", stringify!($name)));
        }
        $count += 1;
    }};
}

fn edges() -> Result<u32, String> {
    let mut count = 0;
    for v in [true, false] {
        back!(count, bools, v);
    }
    for v in [0, 1, u64::MAX, 1 << 63, 0x7f, 0x80, 0x7fff, 0x8000, 0x7fff_ffff, 0x8000_0000] {
        back!(count, u8s, v as u8);
        back!(count, s8s, v as i8);
        back!(count, u16s, v as u16);
        back!(count, s16s, v as i16);
        back!(count, u32s, v as u32);
        back!(count, s32s, v as i32);
        back!(count, u64s, v);
        back!(count, s64s, v as i64);
    }
    for v in [0.0, -0.0, 1.5, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY] {
        if f64s(v).to_bits() != v.to_bits() || f32s(v as f32).to_bits() != (v as f32).to_bits() {
            return Err(format!("floats: {v} changed"));
        }
        count += 2;
    }
    if !f32s(f32::NAN).is_nan() || !f64s(f64::NAN).is_nan() {
        return Err("floats: NaN changed".to_owned());
    }
    for v in [
        '\0',
        'a',
        '\u{7f}',
        '\u{80}',
        '\u{7ff}',
        '\u{800}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{ffff}',
        '\u{10000}',
        '\u{10ffff}',
    ] {
        back!(count, chars, v);
        back!(count, ref strings, v.to_string());
    }
    back!(count, ref strings, String::new());
    back!(count, ref strings, "line\r\n\ttab \0 nul".to_owned());
    back!(count, ref bytes, Vec::new());
    back!(count, ref bytes, (0..=255).collect::<Vec<u8>>());
    back!(count, fews, Few::empty());
    back!(count, fews, Few::all());
    back!(count, nines, Nine::F8);
    back!(count, manys, Many::all());
    back!(count, manys, Many::F31);
    back!(count, option_options, None);
    back!(count, option_options, Some(None));
    back!(count, option_options, Some(Some(7)));
    back!(count, results_ok, Ok(u64::MAX));
    back!(count, results_ok, Err(()));
    back!(count, results_err, Ok(()));
    back!(count, results_err, Err(0.5));
    back!(count, results_bare, Ok(()));
    back!(count, results_bare, Err(()));
    nothing();
    Ok(count)
}

fn random(dice: &mut Dice) -> Result<u32, String> {
    let mut count = 0;
    back!(count, chars, dice.char());
    back!(count, ref strings, dice.string());
    back!(count, ref bytes, dice.list(5000, |dice| dice.roll() as u8));
    back!(count, ref wide_list, dice.list(50, Dice::roll));
    back!(count, ref char_list, dice.list(50, Dice::char));
    back!(count, ref bool_list, dice.list(50, |dice| dice.roll() & 1 == 0));
    back!(count, ref string_list, dice.list(20, Dice::string));
    back!(count, ref list_list, dice.list(6, |dice| dice.list(6, Dice::string)));
    back!(count, points, dice.point());
    back!(count, mixeds, dice.mixed());
    back!(count, ref mixed_list, dice.list(20, Dice::mixed));
    back!(count, empty_ishs, EmptyIsh { only: (dice.roll() as u8,) });
    back!(count, ref persons, dice.person());
    back!(count, ref person_list, dice.list(20, Dice::person));
    back!(count, colours, dice.colour());
    back!(count, ref shapes, dice.shape());
    back!(count, ref shape_list, dice.list(20, Dice::shape));
    back!(count, fews, Few::from_bits_truncate(dice.roll() as u8));
    back!(count, nines, Nine::from_bits_truncate(dice.roll() as u16));
    back!(count, manys, Many::from_bits_truncate(dice.roll() as u32));
    back!(count, options, dice.option(|dice| dice.roll() as u32));

    let text = dice.string();
    let point = dice.point();
    let tuple = (dice.roll() as u8, text.as_str(), dice.below(1 << 40) as f64 / 16.0, &point);
    let back = tuples(tuple);
    if (back.0, back.1.as_str(), back.2, &back.3) != tuple {
        return Err(format!("tuples: {tuple:?} came back as {back:?}"));
    }
    for value in [Some(text.as_str()), None] {
        if option_strings(value).as_deref() != value {
            return Err(format!("option_strings: {value:?} changed"));
        }
    }
    for value in [Ok(dice.roll() as u32), Err(text.as_str())] {
        if results(value) != value.map_err(str::to_owned) {
            return Err(format!("results: {value:?} changed"));
        }
    }
    let all = dice.list(10, |dice| match dice.below(3) {
        0 => Ok(None),
        1 => Ok(Some(dice.string())),
        _ => Err(dice.list(9, |dice| dice.roll() as u8)),
    });
    back!(count, ref result_list, all);
    let flags = dice.list(9, |dice| {
        let bits = dice.roll();
        (
            Few::from_bits_truncate(bits as u8),
            Nine::from_bits_truncate(bits as u16),
            Many::from_bits_truncate((bits >> 20) as u32),
        )
    });
    back!(count, ref flag_list, flags);

    let mut n: [u32; 17] = [0; 17];
    n.fill_with(|| dice.roll() as u32);
    let sum = |n: &[u32]| -> u64 { n.iter().copied().map(u64::from).sum() };
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r] = n;
    if sixteen(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q) != sum(&n[..16]) {
        return Err(format!("sixteen: {n:?}"));
    }
    if seventeen(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r) != sum(&n) {
        return Err(format!("seventeen: {n:?}"));
    }
    let words = dice.list(5, Dice::string);
    let one = strings_and_more("a", &text, "c", "", "e", "f", &text, "h", 9, &words);
    if one != format!("a{text}cef{text}h9{}", words.concat()) {
        return Err(format!("strings_and_more: {one}"));
    }
    Ok(count + 8)
}

impl Guest for User {
    fn all(rounds: u32) -> Result<u32, String> {
        let mut count = edges()?;
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        for _ in 0..rounds {
            count += random(&mut dice)?;
        }
        Ok(count)
    }
}

export!(User);
