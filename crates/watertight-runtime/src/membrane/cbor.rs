#![expect(clippy::wildcard_enum_match_arm, reason = "Wasmtime's types, which grow with the component model")]
//! Values of a call as CBOR, in both directions: what a caller that calls by name gives and gets.
//!
//! Callers from outside write and get JSON ([`watertight_model::json`]), which becomes CBOR on its way in.
//!
//! | WIT | CBOR |
//! |---|---|
//! | `bool`, `string`, floats, whole numbers | the same; `u64` and `s64` always in eight bytes, so that languages can tell them |
//! | `char` | text of one letter |
//! | `list<u8>` | bytes; an array of numbers is taken too |
//! | other lists, tuples | an array |
//! | `map<K, V>` | a map with the tag 259 |
//! | a record | a map of its fields' names; one that is an option may be left out |
//! | an option | null or the value; an option of an option as a variant `none` or `some` |
//! | a variant, a result | a map of `tag` and, if the case has one, `val`; text is taken too for a case without one |
//! | an enum | text |
//! | flags | an array of text |
//!
//! Names are written as the WIT has them, and taken as `max-width`, `max_width` and `maxWidth`. Bytes with the tag [`STRING`] are what a
//! language without a type for text calls a string: text where text is wanted.
//!
//! What is read comes from a guest and is held against the types: it makes a frame as lifting would have made it (see [`super::foreign`]), or is
//! refused with the place, what is wanted there and what was given. Reading recurses as deep as the type does, which the validator
//! bounds, whatever the CBOR looks like; and a frame of a guest's is as large as its memory lets it be.

mod results;

use wasmtime::component::__internal::{ComponentTypes, InterfaceType};
use watertight_model::{
    cbor::{Broken, Item, Reader},
    json,
};

pub(super) use self::results::Returned;
use super::{
    frame::{Frame, FrameFull},
    types::{Cases, FunctionTypes, fields, flag_words},
};

/// The tag of a string of a language that has one type for text and bytes.
const STRING: u64 = 30_580;

/// Letters of what was given that a message shows.
const MAX_SHOWN: usize = 40;

/// Names of a type's parts that a message lists.
const MAX_LISTED: usize = 12;

/// Arguments that a function does not take.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("it takes {}, and {given} were given", parameters(.taken))]
    Count { taken: Vec<String>, given: usize },
    #[error(transparent)]
    Wrong(#[from] Box<Wrong>),
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("the arguments are not one array")]
    NoArray,
    #[error(transparent)]
    TooLong(#[from] FrameFull),
}

fn parameters(names: &[String]) -> String {
    match names {
        [] => "no arguments".to_owned(),
        [one] => format!("one argument (`{one}`)"),
        some => format!("{} arguments ({})", some.len(), listed(some.iter().map(String::as_str))),
    }
}

/// A value that is not of the type that is wanted in its place.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` {what}")]
pub(super) struct Wrong {
    path: String,
    what: String,
}

/// Why reading stops.
enum Problem {
    Wrong(Box<Wrong>),
    Broken(Broken),
    Full(FrameFull),
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<FrameFull> for Problem {
    fn from(full: FrameFull) -> Self {
        Self::Full(full)
    }
}

impl Problem {
    /// The same, seen from a value that holds the one it is about.
    fn within(mut self, step: &str) -> Self {
        if let Self::Wrong(wrong) = &mut self {
            let joint = if wrong.path.is_empty() || wrong.path.starts_with('[') { "" } else { "." };
            wrong.path = format!("{step}{joint}{}", wrong.path);
        }
        self
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Wrong(wrong) => Self::Wrong(wrong),
            Problem::Broken(broken) => Self::Broken(broken),
            Problem::Full(full) => Self::TooLong(full),
        }
    }
}

/// Who wrote the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// A script, in CBOR.
    Script,
    /// Somebody outside, in JSON: strings stand for what JSON has no way to write.
    Json,
}

impl FunctionTypes {
    /// The frame of these arguments, of a guest that has so much memory. `names` are those of the parameters.
    pub(super) fn arguments(
        &self,
        cbor: &[u8],
        names: &[String],
        memory: usize,
        author: Author,
    ) -> Result<Frame, Refused> {
        let fields = fields(&self.types, self.parameters).unwrap_or_default();
        let size = self.types.canonical_abi(&self.parameters).size32 as usize;
        let mut reader =
            Arguments { types: &self.types, input: Reader::new(cbor), frame: Frame::of_guest(size, memory), author };
        let Item::Array(given) = reader.input.item()? else { return Err(Refused::NoArray) };
        // Trailing options may be left out.
        let optional = |index: usize| matches!(fields[index].ty, InterfaceType::Option(_));
        if given > fields.len() || !(given..fields.len()).all(optional) {
            return Err(Refused::Count { taken: names.to_vec(), given });
        }
        for (index, field) in fields.iter().enumerate().take(given) {
            let named = || names.get(index).map_or_else(|| format!("argument {}", index + 1), Clone::clone);
            reader.value(field.ty, field.at).map_err(|problem| problem.within(&named()))?;
        }
        if !reader.input.is_at_end() {
            return Err(Refused::NoArray);
        }
        Ok(reader.frame)
    }
}

/// Arguments being read into a frame.
struct Arguments<'a> {
    types: &'a ComponentTypes,
    input: Reader<'a>,
    frame: Frame,
    author: Author,
}

impl<'a> Arguments<'a> {
    /// Reads the value of a type to `at`, where there is room for it.
    fn value(&mut self, ty: InterfaceType, at: usize) -> Result<(), Problem> {
        match ty {
            InterfaceType::Bool => match self.item()? {
                Item::Bool(set) => self.write(at, &[u8::from(set)]),
                other => return Err(unwanted("a bool", other)),
            },
            InterfaceType::U8 => self.whole(at, 1, "a u8", 0, u8::MAX.into())?,
            InterfaceType::S8 => self.whole(at, 1, "an s8", i8::MIN.into(), i8::MAX.into())?,
            InterfaceType::U16 => self.whole(at, 2, "a u16", 0, u16::MAX.into())?,
            InterfaceType::S16 => self.whole(at, 2, "an s16", i16::MIN.into(), i16::MAX.into())?,
            InterfaceType::U32 => self.whole(at, 4, "a u32", 0, u32::MAX.into())?,
            InterfaceType::S32 => self.whole(at, 4, "an s32", i32::MIN.into(), i32::MAX.into())?,
            InterfaceType::U64 => self.whole(at, 8, "a u64", 0, u64::MAX.into())?,
            InterfaceType::S64 => self.whole(at, 8, "an s64", i64::MIN.into(), i64::MAX.into())?,
            InterfaceType::Float32 => {
                let number = self.float("an f32")?;
                #[expect(clippy::cast_possible_truncation, reason = "rounding is what a conversion to f32 is")]
                let number = number as f32;
                self.write(at, &number.to_le_bytes());
            }
            InterfaceType::Float64 => {
                let number = self.float("an f64")?;
                self.write(at, &number.to_le_bytes());
            }
            InterfaceType::Char => {
                let (item, text) = self.text("a char")?;
                let mut letters = text.chars();
                match (letters.next(), letters.next()) {
                    (Some(letter), None) => self.write(at, &u32::from(letter).to_le_bytes()),
                    _ => return Err(unwanted("text of one letter", item)),
                }
            }
            InterfaceType::String => {
                let (_, text) = self.text("text")?;
                let start = self.frame.append(1, text.as_bytes())?;
                self.range(at, start, text.len());
            }
            InterfaceType::List(list) => self.list(self.types[list].element, at)?,
            InterfaceType::FixedLengthList(list) => {
                let list = &self.types[list];
                let (item, count) = self.array("a list")?;
                if count != list.size as usize {
                    return Err(unwanted(&format!("a list of {}", list.size), item));
                }
                self.elements(count, list.element, at)?;
            }
            InterfaceType::Map(map) => {
                let map = &self.types[map];
                let (item, pairs) = match self.item()? {
                    item @ (Item::Map(count) | Item::Array(count)) => (item, count),
                    other => return Err(unwanted("a map", other)),
                };
                let start = self.room(pairs, map.entry_abi.size32 as usize, map.entry_abi.align32 as usize, at)?;
                for index in 0..pairs {
                    if matches!(item, Item::Array(_)) {
                        self.counted("a pair of key and value", 2)
                            .map_err(|problem| problem.within(&format!("[{index}]")))?;
                    }
                    let entry = start + index * map.entry_abi.size32 as usize;
                    let within = |problem: Problem| problem.within(&format!("[{index}]"));
                    self.value(map.key, entry).map_err(within)?;
                    self.value(map.value, entry + map.value_offset32 as usize).map_err(within)?;
                }
            }
            InterfaceType::Record(_) => self.record(ty, at)?,
            InterfaceType::Tuple(_) => {
                let parts = fields(self.types, ty).unwrap_or_default();
                let (item, count) = self.array("a tuple")?;
                if count != parts.len() {
                    return Err(unwanted(&format!("a tuple of {}", parts.len()), item));
                }
                for (index, part) in parts.into_iter().enumerate() {
                    self.value(part.ty, at + part.at).map_err(|problem| problem.within(&format!("[{index}]")))?;
                }
            }
            InterfaceType::Flags(flags) => {
                self.flags(&self.types[flags].names.iter().map(String::as_str).collect::<Vec<_>>(), at)?
            }
            InterfaceType::Enum(_) => {
                let (item, name) = self.text("the name of a case")?;
                self.case(ty, name, item, at, None)?;
            }
            InterfaceType::Option(option) if !has_null(self.types[option].ty) => {
                let mut ahead = self.input;
                let cases = self.cases(ty)?;
                if ahead.item()? == Item::Null {
                    self.input = ahead;
                    self.write(at, &vec![0; cases.width]);
                } else {
                    self.write(at, &1_u32.to_le_bytes()[..cases.width]);
                    self.value(self.types[option].ty, at + cases.payload)?;
                }
            }
            InterfaceType::Option(_) | InterfaceType::Variant(_) | InterfaceType::Result(_) => self.variant(ty, at)?,
            InterfaceType::Own(_)
            | InterfaceType::Borrow(_)
            | InterfaceType::Stream(_)
            | InterfaceType::Future(_)
            | InterfaceType::ErrorContext(_) => return Err(wrong("cannot be given by name".to_owned())),
        }
        Ok(())
    }

    /// The next item that is no tag. That of maps says nothing that the type does not.
    fn item(&mut self) -> Result<Item<'a>, Problem> {
        let mut string = false;
        loop {
            match self.input.item()? {
                Item::Tag(tag) => string |= tag == STRING,
                Item::Bytes(bytes) if string => {
                    return Ok(std::str::from_utf8(bytes).map_or(Item::Bytes(bytes), Item::Text));
                }
                item => return Ok(item),
            }
        }
    }

    /// Text, or what a language without a type for it calls a string.
    fn text(&mut self, wanted: &str) -> Result<(Item<'a>, &'a str), Problem> {
        let mut string = false;
        loop {
            match self.input.item()? {
                Item::Tag(tag) => string |= tag == STRING,
                item @ Item::Text(text) => return Ok((item, text)),
                item @ Item::Bytes(bytes) if string => match std::str::from_utf8(bytes) {
                    Ok(text) => return Ok((item, text)),
                    Err(_) => return Err(wrong(format!("is to be {wanted}, and is a string that is not UTF-8"))),
                },
                other => return Err(unwanted(wanted, other)),
            }
        }
    }

    fn whole(&mut self, at: usize, width: usize, wanted: &str, least: i128, most: i128) -> Result<(), Problem> {
        let item = self.item()?;
        let number = match item {
            Item::Unsigned(number) => i128::from(number),
            Item::Negative(number) => -1 - i128::from(number),
            Item::Text(digits) if width == 8 && self.author == Author::Json && is_number(digits) => {
                digits.parse().map_err(|_| unwanted(wanted, item))?
            }
            // Some languages have one type for all numbers.
            #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within 2^64")]
            Item::Float(number) if number.fract() == 0.0 && number.abs() <= 18_446_744_073_709_551_616.0 => {
                number as i128
            }
            other => return Err(unwanted(wanted, other)),
        };
        if number < least || number > most {
            return Err(wrong(format!("is to be {wanted}, from {least} to {most}, and is {number}")));
        }
        self.write(at, &number.to_le_bytes()[..width]);
        Ok(())
    }

    fn float(&mut self, wanted: &str) -> Result<f64, Problem> {
        match self.item()? {
            Item::Float(number) => Ok(number),
            #[expect(clippy::cast_precision_loss, reason = "the nearest number is what people mean")]
            Item::Unsigned(number) => Ok(number as f64),
            #[expect(clippy::cast_precision_loss, reason = "the nearest number is what people mean")]
            Item::Negative(number) => Ok(-1.0 - number as f64),
            Item::Text("-0") if self.author == Author::Json => Ok(-0.0),
            Item::Text("NaN") if self.author == Author::Json => Ok(f64::NAN),
            Item::Text("Infinity") if self.author == Author::Json => Ok(f64::INFINITY),
            Item::Text("-Infinity") if self.author == Author::Json => Ok(f64::NEG_INFINITY),
            other => Err(unwanted(wanted, other)),
        }
    }

    /// The head of an array. An empty map is one too: some languages cannot tell them.
    fn array(&mut self, wanted: &str) -> Result<(Item<'a>, usize), Problem> {
        match self.item()? {
            item @ Item::Array(count) => Ok((item, count)),
            item @ Item::Map(0) => Ok((item, 0)),
            other => Err(unwanted(wanted, other)),
        }
    }

    fn counted(&mut self, wanted: &str, count: usize) -> Result<(), Problem> {
        match self.array(wanted)? {
            (_, found) if found == count => Ok(()),
            (item, _) => Err(unwanted(wanted, item)),
        }
    }

    fn list(&mut self, element: InterfaceType, at: usize) -> Result<(), Problem> {
        let item = if matches!(element, InterfaceType::U8) { skip_tags(&mut self.input)? } else { self.item()? };
        let count = match (item, element) {
            (Item::Bytes(bytes), InterfaceType::U8) => {
                let start = self.frame.append(1, bytes)?;
                self.range(at, start, bytes.len());
                return Ok(());
            }
            (Item::Text(text), InterfaceType::U8) if self.author == Author::Json => {
                let bytes = json::decode(text).ok_or_else(|| unwanted("bytes in base64", item))?;
                let start = self.frame.append(1, &bytes)?;
                self.range(at, start, bytes.len());
                return Ok(());
            }
            (Item::Array(count), _) => count,
            (Item::Map(0), _) => 0,
            (other, InterfaceType::U8) => return Err(unwanted("bytes", other)),
            (other, _) => return Err(unwanted("a list", other)),
        };
        let abi = self.types.canonical_abi(&element);
        let start = self.room(count, abi.size32 as usize, abi.align32 as usize, at)?;
        self.elements(count, element, start)
    }

    /// Room for so many elements, named at `at`.
    fn room(&mut self, count: usize, size: usize, align: usize, at: usize) -> Result<usize, Problem> {
        // A product that does not fit is more than a frame may hold.
        let start = self.frame.room(align, count.saturating_mul(size))?;
        self.range(at, start, count);
        Ok(start)
    }

    fn elements(&mut self, count: usize, ty: InterfaceType, start: usize) -> Result<(), Problem> {
        let size = self.types.canonical_abi(&ty).size32 as usize;
        for index in 0..count {
            self.value(ty, start + index * size).map_err(|problem| problem.within(&format!("[{index}]")))?;
        }
        Ok(())
    }

    /// A map of fields. They are read in the order of the type, whatever order they come in: a frame has one layout.
    fn record(&mut self, ty: InterfaceType, at: usize) -> Result<(), Problem> {
        let parts = fields(self.types, ty).unwrap_or_default();
        let count = match self.item()? {
            Item::Map(count) => count,
            Item::Array(0) => 0,
            other => {
                let names = listed(parts.iter().filter_map(|part| part.name));
                return Err(unwanted(&format!("a record of {names}"), other));
            }
        };
        let mut given: Vec<Option<Reader<'a>>> = vec![None; parts.len()];
        for _ in 0..count {
            let (_, name) = self.text("the name of a field")?;
            let Some(place) = parts.iter().position(|part| part.name.is_some_and(|own| is_named(own, name))) else {
                let names = listed(parts.iter().filter_map(|part| part.name));
                return Err(wrong(format!("has no field `{}`; its fields are {names}", shown(name))));
            };
            if given[place].replace(self.input).is_some() {
                return Err(wrong(format!("has the field `{}` twice", shown(name))));
            }
            self.input.skip()?;
        }
        let after = self.input;
        for (part, given) in parts.iter().zip(given) {
            let name = part.name.unwrap_or_default();
            if let Some(place) = given {
                self.input = place;
                self.value(part.ty, at + part.at).map_err(|problem| problem.within(name))?;
            } else if !matches!(part.ty, InterfaceType::Option(_)) {
                return Err(wrong(format!("lacks the field `{name}`")));
            }
        }
        self.input = after;
        Ok(())
    }

    /// A map of `tag` and `val`, or a name alone.
    fn variant(&mut self, ty: InterfaceType, at: usize) -> Result<(), Problem> {
        let wanted = "a variant of `tag` and `val`";
        let mut ahead = self.input;
        let count = match skip_tags(&mut ahead)? {
            Item::Map(count) => count,
            Item::Text(_) | Item::Bytes(_) => {
                let (item, name) = self.text(wanted)?;
                return self.case(ty, name, item, at, None);
            }
            other => return Err(unwanted(wanted, other)),
        };
        self.input = ahead;
        let (mut tag, mut payload) = (None, None);
        for _ in 0..count {
            let (item, key) = self.text("`tag` or `val`")?;
            match key {
                "tag" => {
                    tag = Some(self.text("the name of a case").map_err(|problem| problem.within("tag"))?);
                }
                "val" => {
                    payload = Some(self.input);
                    self.input.skip()?;
                }
                _ => return Err(unwanted("a variant of `tag` and `val`", item)),
            }
        }
        let Some((item, name)) = tag else { return Err(wrong("is to be a variant, and lacks `tag`".to_owned())) };
        let after = self.input;
        self.case(ty, name, item, at, payload)?;
        self.input = after;
        Ok(())
    }

    /// Writes a case, with the payload that begins there.
    fn case(
        &mut self,
        ty: InterfaceType,
        name: &str,
        item: Item<'_>,
        at: usize,
        payload: Option<Reader<'a>>,
    ) -> Result<(), Problem> {
        let cases = self.cases(ty)?;
        let all = || (0_u32..).map_while(|index| Cases::case(self.types, ty, index));
        let found = (0_u32..).zip(all()).find(|(_, (own, _))| is_named(own, name));
        let Some((index, (own, wanted))) = found else {
            let names = listed(all().map(|(name, _)| name));
            return Err(unwanted(&format!("one of {names}"), item));
        };
        self.write(at, &index.to_le_bytes()[..cases.width]);
        match (wanted, payload) {
            (None, None) => Ok(()),
            (Some(ty), Some(place)) => {
                self.input = place;
                self.value(ty, at + cases.payload).map_err(|problem| problem.within("val"))
            }
            (None, Some(mut place)) => match place.item()? {
                Item::Null => Ok(()),
                _ => Err(wrong(format!("is `{own}`, which has no `val`"))),
            },
            // No option is what its bytes say already.
            (Some(InterfaceType::Option(_)), None) => Ok(()),
            (Some(_), None) => Err(wrong(format!("is `{own}`, and lacks its `val`"))),
        }
    }

    fn cases(&self, ty: InterfaceType) -> Result<Cases, Problem> {
        Cases::of(self.types, ty).ok_or_else(|| wrong("cannot be given by name".to_owned()))
    }

    fn flags(&mut self, names: &[&str], at: usize) -> Result<(), Problem> {
        let (words, width) = flag_words(names.len());
        let mut bytes = vec![0; words * width];
        let (_, count) = self.array("a list of names")?;
        for index in 0..count {
            let (item, name) =
                self.text("the name of a flag").map_err(|problem| problem.within(&format!("[{index}]")))?;
            let Some(place) = names.iter().position(|own| is_named(own, name)) else {
                return Err(
                    unwanted(&format!("one of {}", listed(names.iter().copied())), item).within(&format!("[{index}]"))
                );
            };
            bytes[place / 8] |= 1 << (place % 8);
        }
        self.write(at, &bytes);
        Ok(())
    }

    /// Bytes of a value in place, which there is room for.
    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.frame.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Where something is and how much of it: within a frame, both fit.
    fn range(&mut self, at: usize, start: usize, len: usize) {
        for (offset, number) in [(0, start), (4, len)] {
            let word = u32::try_from(number).unwrap_or(0);
            self.write(at + offset, &word.to_le_bytes());
        }
    }
}

/// The next item that is no tag.
fn skip_tags<'a>(input: &mut Reader<'a>) -> Result<Item<'a>, Broken> {
    loop {
        match input.item()? {
            Item::Tag(_) => {}
            item => return Ok(item),
        }
    }
}

/// Whether a text is a whole number as people write it.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=20).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// Whether null stands for some value of this type already.
fn has_null(ty: InterfaceType) -> bool {
    matches!(ty, InterfaceType::Option(_))
}

/// Whether a name is one of a type, in the spelling of any language.
fn is_named(own: &str, given: &str) -> bool {
    if own == given {
        return true;
    }
    if !own.contains('-') {
        return false;
    }
    let snake = own.bytes().map(|byte| if byte == b'-' { b'_' } else { byte });
    snake.eq(given.bytes()) || camel(own).eq(given.bytes())
}

/// `max-width` as `maxWidth`.
fn camel(own: &str) -> impl Iterator<Item = u8> {
    let mut raise = false;
    own.bytes().filter_map(move |byte| {
        if byte == b'-' {
            raise = true;
            return None;
        }
        Some(if std::mem::take(&mut raise) { byte.to_ascii_uppercase() } else { byte })
    })
}

fn wrong(what: String) -> Problem {
    Problem::Wrong(Box::new(Wrong { path: String::new(), what }))
}

fn unwanted(wanted: &str, given: Item<'_>) -> Problem {
    wrong(format!("is to be {wanted}, and is {}", told(given)))
}

/// What was given, in a few words.
fn told(item: Item<'_>) -> String {
    match item {
        Item::Unsigned(number) => format!("the number {number}"),
        Item::Negative(number) => format!("the number {}", -1 - i128::from(number)),
        Item::Float(number) => format!("the number {number}"),
        Item::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Item::Text(text) => format!("the text \"{}\"", shown(text)),
        Item::Array(count) => format!("a list of {count}"),
        Item::Map(count) => format!("a map of {count}"),
        Item::Bool(set) => set.to_string(),
        Item::Null => "nothing".to_owned(),
        Item::Tag(_) | Item::Simple(_) => "something else".to_owned(),
    }
}

/// The beginning of what a guest gave.
fn shown(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(MAX_SHOWN)];
    let end = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{end}", cut.escape_debug())
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut names: Vec<_> = names.take(MAX_LISTED + 1).map(|name| format!("`{name}`")).collect();
    if names.len() > MAX_LISTED {
        names.truncate(MAX_LISTED);
        names.push("…".to_owned());
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
