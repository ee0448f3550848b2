//! JSON as callers from outside write values and are answered, in both directions, as much of it as WIT has values.
//!
//! | WIT | JSON |
//! |---|---|
//! | `bool`, `string`, whole numbers of up to 32 bits | the same |
//! | `u64`, `s64` | a string of digits, since JavaScript's numbers end at 2^53; numbers are taken too |
//! | `f32`, `f64` | a number, or `"NaN"`, `"Infinity"`, `"-Infinity"`; `"-0"` is taken too |
//! | `char` | a string of one letter |
//! | `list<u8>` | a string in base64; an array of numbers is taken too |
//! | other lists, tuples, flags | an array |
//! | `map<K, V>` | an array of pairs; an object is taken too |
//! | a record | an object; a field that is an option may be left out |
//! | an option | null or the value; an option of an option as a variant `none` or `some` |
//! | a variant, a result | an object of `tag` and, if the case has one, `val`; a string is taken too for a case without one |
//! | an enum | a string |
//!
//! What is read becomes CBOR, which says nothing of types: that a string was meant as a number or as bytes is found out by who knows them.
//! Reading does not recurse, numbers are read to the last bit, and what is broken is an error, never a panic.

use std::borrow::Cow;

use crate::cbor::{self, Begun, Notation, TooLong};

/// Bytes that are no JSON, or more than may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// They are none: what is to be where.
    #[error("it is not JSON: at byte {at} there is to be {wanted}")]
    Broken {
        /// What would be right.
        wanted: &'static str,
        /// Where.
        at: usize,
    },
    /// It is more than may be.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// Reads one value and writes it as CBOR, of at most so many bytes. That is never more than thrice as long as the JSON, and nine bytes.
///
/// # Errors
/// When it is no JSON, or longer than `limit`.
pub fn to_cbor(json: &[u8], limit: usize) -> Result<Vec<u8>, Unread> {
    let mut reader = Reader { json, at: 0, out: cbor::Writer::new(limit), within: Vec::new() };
    reader.values()?;
    Ok(reader.out.finish()?)
}

/// JSON on its way into CBOR.
struct Reader<'a> {
    json: &'a [u8],
    at: usize,
    out: cbor::Writer,
    /// The arrays and objects that are not closed yet.
    within: Vec<Within>,
}

struct Within {
    begun: Begun,
    count: u32,
    object: bool,
}

impl<'a> Reader<'a> {
    /// One value, with all that belongs to it.
    fn values(&mut self) -> Result<(), Unread> {
        loop {
            // What would be too long is not read to its end.
            if self.out.is_full() {
                return Ok(());
            }
            match self.peek() {
                Some(b'[') => {
                    self.at += 1;
                    let begun = self.out.begin_array();
                    self.within.push(Within { begun, count: 0, object: false });
                    if self.peek() != Some(b']') {
                        continue;
                    }
                }
                Some(b'{') => {
                    self.at += 1;
                    let begun = self.out.begin_map();
                    self.within.push(Within { begun, count: 0, object: true });
                    if self.peek() != Some(b'}') {
                        self.name()?;
                        continue;
                    }
                }
                _ => {
                    self.scalar()?;
                    self.counted();
                }
            }
            if self.closed()? {
                return Ok(());
            }
        }
    }

    /// Closes what ends here, and says whether that was all; else the next value follows.
    fn closed(&mut self) -> Result<bool, Unread> {
        loop {
            let found = self.peek();
            let Some(within) = self.within.last() else {
                return if found.is_none() { Ok(true) } else { Err(self.broken("the end")) };
            };
            match (found, within.object, within.count) {
                (Some(b']'), false, _) | (Some(b'}'), true, _) => {
                    self.at += 1;
                    if let Some(Within { begun, count, .. }) = self.within.pop() {
                        self.out.end(begun, count);
                    }
                    self.counted();
                }
                (Some(b','), false, 1..) => {
                    self.at += 1;
                    return Ok(false);
                }
                (Some(b','), true, 1..) => {
                    self.at += 1;
                    self.name()?;
                    return Ok(false);
                }
                (_, false, _) => return Err(self.broken("`,` or `]`")),
                (_, true, _) => return Err(self.broken("`,` or `}`")),
            }
        }
    }

    /// A value is over: one more in what holds it.
    fn counted(&mut self) {
        if let Some(within) = self.within.last_mut() {
            // There are fewer than bytes, and of those fewer than a frame may hold.
            within.count = within.count.saturating_add(1);
        }
    }

    fn broken(&self, wanted: &'static str) -> Unread {
        Unread::Broken { wanted, at: self.at }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.json[self.at..];
        let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
        self.at += blank;
        rest.get(blank).copied()
    }

    /// The name of a field, and the colon after it.
    fn name(&mut self) -> Result<(), Unread> {
        if self.peek() != Some(b'"') {
            return Err(self.broken("the name of a field"));
        }
        let name = self.text()?;
        self.out.text(&name);
        if self.peek() != Some(b':') {
            return Err(self.broken("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), Unread> {
        match self.peek() {
            Some(b'"') => {
                let text = self.text()?;
                self.out.text(&text);
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => {
                let rest = &self.json[self.at..];
                let word = ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word.as_bytes()));
                let word = word.ok_or_else(|| self.broken("a value"))?;
                self.at += word.len();
                if word == "null" { self.out.null() } else { self.out.bool(word == "true") }
            }
            None => return Err(self.broken("a value")),
        }
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let digits = self.json[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        digits
    }

    fn number(&mut self) -> Result<(), Unread> {
        let (start, wanted) = (self.at, "a number");
        let negative = self.json[self.at] == b'-';
        self.at += usize::from(negative);
        let leading = self.json.get(self.at);
        let whole = match (leading, self.digits()) {
            (_, 0) => return Err(self.broken(wanted)),
            (Some(b'0'), 2..) => return Err(Unread::Broken { wanted, at: start }),
            _ => self.at,
        };
        if self.json.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.broken(wanted));
            }
        }
        if let Some(b'e' | b'E') = self.json.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.json.get(self.at), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(self.broken(wanted));
            }
        }
        let text = std::str::from_utf8(&self.json[start..self.at]).unwrap_or_default();
        if whole == self.at && text != "-0" {
            if let Ok(number) = text.parse() {
                self.out.unsigned(number);
                return Ok(());
            }
            if let Ok(number) = text.parse() {
                self.out.signed(number);
                return Ok(());
            }
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => self.out.f64(number),
            Ok(_) | Err(_) => return Err(Unread::Broken { wanted: "a number of at most 64 bits", at: start }),
        }
        Ok(())
    }

    /// Text between quotes, the first of which is here.
    fn text(&mut self) -> Result<Cow<'a, str>, Unread> {
        let utf8 = |bytes: &'a [u8], at| std::str::from_utf8(bytes).map_err(|_| Unread::Broken { wanted: "UTF-8", at });
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = &self.json[self.at..];
            let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
            let part = utf8(&rest[..plain], self.at)?;
            if text.is_empty() {
                text = Cow::Borrowed(part)
            } else {
                text.to_mut().push_str(part)
            }
            self.at += plain;
            match rest.get(plain) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    let letter = self.escaped()?;
                    text.to_mut().push(letter);
                }
                Some(_) => return Err(self.broken("a letter or `\\`")),
                None => return Err(self.broken("`\"`")),
            }
        }
    }

    /// A letter that is written by what follows a backslash, which is here.
    fn escaped(&mut self) -> Result<char, Unread> {
        let wanted = "an escape";
        let code = *self.json.get(self.at + 1).ok_or_else(|| self.broken(wanted))?;
        let letter = match code {
            b'"' | b'\\' | b'/' => char::from(code),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                let second = if (0xd800..0xdc00).contains(&first) { Some(self.unit()?) } else { None };
                let mut letters = char::decode_utf16(std::iter::once(first).chain(second));
                return match (letters.next(), letters.next()) {
                    (Some(Ok(letter)), None) => Ok(letter),
                    _ => Err(self.broken("a letter that there is")),
                };
            }
            _ => return Err(self.broken(wanted)),
        };
        self.at += 2;
        Ok(letter)
    }

    /// `\u` and four digits.
    fn unit(&mut self) -> Result<u16, Unread> {
        let digits = self.json.get(self.at..self.at + 6).filter(|found| found.starts_with(b"\\u"));
        let digits = digits.map(|found| &found[2..]).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.broken("four digits after `\\u`"))?;
        self.at += 6;
        Ok(unit)
    }
}

/// Writes values, up to a limit.
#[derive(Debug)]
pub struct Writer {
    text: Vec<u8>,
    limit: usize,
    full: bool,
    open: Vec<Open>,
}

/// An array, an object or pairs, whose items come one after the other.
#[derive(Debug)]
struct Open {
    kind: Brackets,
    done: usize,
    /// Keys and values count each.
    items: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brackets {
    Array,
    Object,
    /// An array of arrays of two.
    Pairs,
}

impl Writer {
    /// At most so many bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { text: Vec::new(), limit, full: false, open: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.full |= self.limit.saturating_sub(self.text.len()) < bytes.len();
        if !self.full {
            self.text.extend_from_slice(bytes);
        }
    }

    /// What stands between the item before and this one.
    fn before(&mut self) {
        let Some(Open { kind, done, .. }) = self.open.last() else { return };
        let (first, even) = (*done == 0, done.is_multiple_of(2));
        let between: &[u8] = match kind {
            Brackets::Array => {
                if first {
                    b""
                } else {
                    b","
                }
            }
            Brackets::Object if even => {
                if first {
                    b""
                } else {
                    b","
                }
            }
            Brackets::Object => b":",
            Brackets::Pairs if even => {
                if first {
                    b"["
                } else {
                    b",["
                }
            }
            Brackets::Pairs => b",",
        };
        self.push(between);
    }

    /// Closes what an item was the last one of.
    fn after(&mut self) {
        while let Some(open) = self.open.last_mut() {
            open.done += 1;
            let (kind, pair, over) = (open.kind, open.done.is_multiple_of(2), open.done >= open.items);
            if kind == Brackets::Pairs && pair {
                self.push(b"]");
            }
            if !over {
                return;
            }
            self.open.pop();
            self.push(if kind == Brackets::Object { b"}" } else { b"]" });
        }
    }

    fn item(&mut self, bytes: &[u8]) {
        self.before();
        self.push(bytes);
        self.after();
    }

    fn brackets(&mut self, kind: Brackets, items: usize) {
        self.before();
        let (open, empty): (&[u8], &[u8]) = if kind == Brackets::Object { (b"{", b"{}") } else { (b"[", b"[]") };
        if items == 0 {
            self.push(empty);
            return self.after();
        }
        self.push(open);
        self.open.push(Open { kind, done: 0, items });
    }

    fn float(&mut self, finite: bool, nan: bool, positive: bool, shortest: &str) {
        self.item(match (finite, nan, positive) {
            (true, ..) => shortest.as_bytes(),
            (_, true, _) => b"\"NaN\"",
            (_, _, true) => b"\"Infinity\"",
            (_, _, false) => b"\"-Infinity\"",
        });
    }
}

impl Notation for Writer {
    fn is_full(&self) -> bool {
        self.full
    }

    fn finish(self) -> Result<Vec<u8>, TooLong> {
        if self.full { Err(TooLong::of(self.limit)) } else { Ok(self.text) }
    }

    fn null(&mut self) {
        self.item(b"null");
    }

    fn bool(&mut self, set: bool) {
        self.item(if set { b"true" } else { b"false" });
    }

    fn unsigned(&mut self, number: u64) {
        self.item(number.to_string().as_bytes());
    }

    fn signed(&mut self, number: i64) {
        self.item(number.to_string().as_bytes());
    }

    fn wide_unsigned(&mut self, number: u64) {
        self.item(format!("\"{number}\"").as_bytes());
    }

    fn wide_signed(&mut self, number: i64) {
        self.item(format!("\"{number}\"").as_bytes());
    }

    fn f32(&mut self, number: f32) {
        self.float(number.is_finite(), number.is_nan(), number > 0.0, &format!("{number:?}"));
    }

    fn f64(&mut self, number: f64) {
        self.float(number.is_finite(), number.is_nan(), number > 0.0, &format!("{number:?}"));
    }

    fn text(&mut self, text: &str) {
        self.before();
        self.push(b"\"");
        let mut rest = text;
        // What has to be written otherwise is rare: the rest goes in as it is.
        while let Some(at) = rest.find(|letter| matches!(letter, '"' | '\\' | '\0'..='\u{1f}')) {
            self.push(&rest.as_bytes()[..at]);
            let escaped = match rest.as_bytes()[at] {
                b'"' => "\\\"".to_owned(),
                b'\\' => "\\\\".to_owned(),
                b'\n' => "\\n".to_owned(),
                control => format!("\\u{control:04x}"),
            };
            self.push(escaped.as_bytes());
            rest = &rest[at + 1..];
        }
        self.push(rest.as_bytes());
        self.push(b"\"");
        self.after();
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.before();
        self.push(b"\"");
        if self.limit.saturating_sub(self.text.len()) < bytes.len().div_ceil(3).saturating_mul(4) {
            self.full = true;
        }
        if !self.full {
            encode(bytes, &mut self.text);
        }
        self.push(b"\"");
        self.after();
    }

    fn array(&mut self, count: usize) {
        self.brackets(Brackets::Array, count);
    }

    fn record(&mut self, count: usize) {
        self.brackets(Brackets::Object, count.saturating_mul(2));
    }

    fn pairs(&mut self, count: usize) {
        self.brackets(Brackets::Pairs, count.saturating_mul(2));
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends bytes in base64 (RFC 4648), with padding.
fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let place = (word >> (18 - 6 * digit) & 63) as usize;
            out.push(if digit <= group.len() { DIGITS[place] } else { b'=' });
        }
    }
}

/// What each letter is worth; 64 for those that are no digits.
const WORTH: [u8; 256] = {
    let mut worth = [64; 256];
    let mut digit = 0_u8;
    while digit < 64 {
        worth[DIGITS[digit as usize] as usize] = digit;
        digit += 1;
    }
    worth[b'-' as usize] = 62;
    worth[b'_' as usize] = 63;
    worth
};

/// The bytes of a text in base64, with or without padding, in the usual digits or those for addresses; none where it is none.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let padding = text.len() - digits.len();
    if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) || digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut word = 0_u32;
        for place in 0..4 {
            let worth = group.get(place).map_or(0, |digit| WORTH[usize::from(*digit)]);
            if worth == 64 {
                return None;
            }
            word = word << 6 | u32::from(worth);
        }
        let [_, bytes @ ..] = word.to_be_bytes();
        let (used, rest) = bytes.split_at(group.len() * 6 / 8);
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(used);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cbor::Item;

    fn written(write: impl FnOnce(&mut Writer)) -> String {
        let mut out = Writer::new(1 << 20);
        write(&mut out);
        String::from_utf8(out.finish().expect("it is short")).expect("it is text")
    }

    #[test]
    fn what_is_nested_is_closed_where_it_ends() {
        let text = written(|out| {
            out.array(3);
            out.record(2);
            out.text("a");
            out.array(0);
            out.text("b");
            out.pairs(2);
            out.text("x");
            out.unsigned(1);
            out.text("y");
            out.array(1);
            out.null();
            out.record(0);
            out.wide_signed(-1);
        });
        assert_eq!(text, r#"[{"a":[],"b":[["x",1],["y",[null]]]},{},"-1"]"#);
        let odd = written(|out| {
            out.array(4);
            out.f64(f64::NAN);
            out.f64(f64::NEG_INFINITY);
            out.f32(0.1);
            out.f64(1e300);
        });
        assert_eq!(odd, r#"["NaN","-Infinity",0.1,1e300]"#);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "[", "[1,]", "{\"a\"}", "nul", "[1] 2", "\"\u{1}\"", "{1:2}", "\"\\ud800\"", &"[".repeat(200)]
        {
            assert!(matches!(to_cbor(text.as_bytes(), 1 << 20), Err(Unread::Broken { .. })), "{text}");
        }
        assert!(matches!(to_cbor(b"[1, 2, 3, 4, 5, 6]", 8), Err(Unread::TooLong(_))));
    }

    #[test]
    fn no_more_is_written_than_may_be() {
        for limit in 0..12 {
            let mut out = Writer::new(limit);
            out.array(2);
            out.text("ab");
            out.bytes(b"x");
            assert!(out.finish().is_err(), "{limit}");
        }
    }

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zg", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Pz8_", "???"), ("Pz8/", "???")]
        {
            assert_eq!(decode(text), Some(bytes.as_bytes().to_vec()), "{text}");
        }
        for text in ["Z", "Zg=", "Zg===", "Zh==", "Z g=", "Zg==Zg==", "=", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    /// A value of a script's, as `serde_json` has it.
    fn value(reader: &mut cbor::Reader<'_>) -> serde_json::Value {
        match reader.item().expect("it was written") {
            Item::Unsigned(number) => number.into(),
            Item::Negative(number) => (-1 - i64::try_from(number).expect("it was one of 64 bits")).into(),
            Item::Float(number) => number.into(),
            Item::Text(text) => text.into(),
            Item::Bool(set) => set.into(),
            Item::Null => serde_json::Value::Null,
            Item::Array(count) => (0..count).map(|_| value(reader)).collect(),
            Item::Map(count) => (0..count)
                .map(|_| {
                    let Item::Text(name) = reader.item().expect("it was written") else { panic!("names are text") };
                    (name.to_owned(), value(reader))
                })
                .collect(),
            other @ (Item::Bytes(_) | Item::Tag(_) | Item::Simple(_)) => panic!("JSON has no {other:?}"),
        }
    }

    /// Texts that begin as JSON does.
    fn like_json() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"a\":",
            "\\",
            "\\n",
            "\\u00e9",
            "\\ud83c\\udf0a",
            "é",
            "1",
            "0",
            "-",
            ".5",
            "e3",
            "18446744073709551615",
            "-9223372036854775808",
            "null",
            "true",
            "false",
            " ",
            "\n",
            "\u{1}",
            "0.1",
            "[1,2]",
            "{\"b\":[]}",
        ]);
        prop::collection::vec(part, 1..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn what_is_json_is_read_as_others_read_it(text in like_json()) {
            let ours = to_cbor(text.as_bytes(), 1 << 20);
            let theirs: Result<serde_json::Value, _> = serde_json::from_str(&text);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}: {:?}, {:?}", text, ours, theirs);
            if let (Ok(cbor), Ok(theirs)) = (ours, theirs) {
                prop_assert_eq!(value(&mut cbor::Reader::new(&cbor)), theirs);
            }
        }

        #[test]
        fn text_bytes_and_numbers_are_read_as_they_were_written(text: String, bytes: Vec<u8>, number: f64) {
            let json = written(|out| {
                out.array(3);
                out.text(&text);
                out.bytes(&bytes);
                out.f64(number);
            });
            let cbor = to_cbor(json.as_bytes(), 1 << 20).expect("it is JSON");
            let mut reader = cbor::Reader::new(&cbor);
            prop_assert_eq!(reader.item(), Ok(Item::Array(3)));
            prop_assert_eq!(reader.item(), Ok(Item::Text(&text)));
            let Ok(Item::Text(base64)) = reader.item() else { panic!("bytes are text") };
            prop_assert_eq!(decode(base64), Some(bytes));
            if number.is_finite() {
                let Ok(Item::Float(read)) = reader.item() else { panic!("it has a point or an exponent") };
                prop_assert_eq!(read.to_bits(), number.to_bits());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(prop_oneof![Just(b'['), Just(b']'), Just(b','), Just(b'"'), any::<u8>()], 0..80)) {
            if let Ok(cbor) = to_cbor(&bytes, 1 << 20) {
                prop_assert!(cbor.len() <= 3 * bytes.len() + 9);
                let mut reader = cbor::Reader::new(&cbor);
                prop_assert!(reader.skip().is_ok() && reader.is_at_end());
            }
        }
    }
}
