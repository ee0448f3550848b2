//! What a function returned, as values for a caller that calls by name: a frame of results, held against the types.

use wasmtime::component::__internal::{ComponentTypes, InterfaceType};
use watertight_model::{
    cbor::{self, Notation, TooLong},
    json,
};

use super::{
    super::types::{Cases, FunctionTypes, fields, flag_words},
    has_null,
};

/// What a function returned, for a caller that calls by name.
#[derive(Debug)]
pub(in crate::membrane) enum Returned {
    /// Its result, or the value of an `ok`.
    Value(Vec<u8>),
    /// The value of an `err`, and what a message says of it.
    Error { value: Vec<u8>, text: String },
}

impl FunctionTypes {
    /// What is in the frame of a function's results, in at most `limit` bytes; none where the frame is not one of them.
    pub(in crate::membrane) fn returned(&self, frame: &[u8], limit: usize) -> Result<Option<Returned>, TooLong> {
        self.returned_as(frame, cbor::Writer::new(limit))
    }

    /// The same in JSON.
    pub(in crate::membrane) fn returned_json(&self, frame: &[u8], limit: usize) -> Result<Option<Returned>, TooLong> {
        self.returned_as(frame, json::Writer::new(limit))
    }

    fn returned_as(&self, frame: &[u8], out: impl Notation) -> Result<Option<Returned>, TooLong> {
        let mut writer = Results { types: &self.types, frame, out };
        let Some(field) = fields(&self.types, self.results).unwrap_or_default().into_iter().next() else {
            writer.out.null();
            return Ok(Some(Returned::Value(writer.out.finish()?)));
        };
        let Some((failed, payload, at)) = writer.outcome(field.ty, field.at) else { return Ok(None) };
        let written = match payload {
            Some(ty) => writer.value(ty, at),
            None => {
                writer.out.null();
                Some(())
            }
        };
        let out = writer.out.finish();
        if written.is_none() && out.is_ok() {
            return Ok(None);
        }
        let value = out?;
        Ok(Some(match failed {
            false => Returned::Value(value),
            true => Returned::Error { text: self.error_text(payload, frame, at), value },
        }))
    }

    /// The text of an error, for a message: a string as it is.
    fn error_text(&self, ty: Option<InterfaceType>, frame: &[u8], at: usize) -> String {
        let view = Results { types: &self.types, frame, out: cbor::Writer::new(0) };
        match ty {
            None => String::new(),
            Some(InterfaceType::String) => view.string(at).unwrap_or_default().to_owned(),
            Some(ty) => self.value_text(ty, frame, at, 256),
        }
    }
}

/// A frame being written as values. Nothing is written of what cannot be a value.
pub(super) struct Results<'a, W> {
    pub(super) types: &'a ComponentTypes,
    pub(super) frame: &'a [u8],
    pub(super) out: W,
}

impl<W: Notation> Results<'_, W> {
    /// Whether it is an error, and the payload with its place: of a result, else the value itself.
    fn outcome(&self, ty: InterfaceType, at: usize) -> Option<(bool, Option<InterfaceType>, usize)> {
        let InterfaceType::Result(_) = ty else { return Some((false, Some(ty), at)) };
        let cases = Cases::of(self.types, ty)?;
        let index = self.number(at, cases.width)?;
        let (_, payload) = Cases::case(self.types, ty, index)?;
        Some((index == 1, payload, at.checked_add(cases.payload)?))
    }

    fn bytes(&self, at: usize, len: usize) -> Option<&[u8]> {
        self.frame.get(at..at.checked_add(len)?)
    }

    fn fixed<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes(at, N)?.try_into().ok()
    }

    fn number(&self, at: usize, width: usize) -> Option<u32> {
        let mut wide = [0; 4];
        wide.get_mut(..width)?.copy_from_slice(self.bytes(at, width)?);
        Some(u32::from_le_bytes(wide))
    }

    /// Where a list or string is, and how long.
    fn range(&self, at: usize) -> Option<(usize, usize)> {
        Some((self.number(at, 4)? as usize, self.number(at.checked_add(4)?, 4)? as usize))
    }

    fn string(&self, at: usize) -> Option<&str> {
        let (start, len) = self.range(at)?;
        std::str::from_utf8(self.bytes(start, len)?).ok()
    }

    /// Writes the value that begins at `at`.
    pub(super) fn value(&mut self, ty: InterfaceType, at: usize) -> Option<()> {
        match ty {
            InterfaceType::Bool => match self.fixed(at)? {
                [0] => self.out.bool(false),
                [1] => self.out.bool(true),
                _ => return None,
            },
            InterfaceType::U8 => self.out.unsigned(u8::from_le_bytes(self.fixed(at)?).into()),
            InterfaceType::S8 => self.out.signed(i8::from_le_bytes(self.fixed(at)?).into()),
            InterfaceType::U16 => self.out.unsigned(u16::from_le_bytes(self.fixed(at)?).into()),
            InterfaceType::S16 => self.out.signed(i16::from_le_bytes(self.fixed(at)?).into()),
            InterfaceType::U32 => self.out.unsigned(u32::from_le_bytes(self.fixed(at)?).into()),
            InterfaceType::S32 => self.out.signed(i32::from_le_bytes(self.fixed(at)?).into()),
            InterfaceType::U64 => self.out.wide_unsigned(u64::from_le_bytes(self.fixed(at)?)),
            InterfaceType::S64 => self.out.wide_signed(i64::from_le_bytes(self.fixed(at)?)),
            InterfaceType::Float32 => self.out.f32(f32::from_le_bytes(self.fixed(at)?)),
            InterfaceType::Float64 => self.out.f64(f64::from_le_bytes(self.fixed(at)?)),
            InterfaceType::Char => {
                let letter = char::from_u32(self.number(at, 4)?)?;
                self.out.text(letter.encode_utf8(&mut [0; 4]));
            }
            InterfaceType::String => {
                let (start, len) = self.range(at)?;
                let text = std::str::from_utf8(self.frame.get(start..start.checked_add(len)?)?).ok()?;
                self.out.text(text);
            }
            InterfaceType::List(list) => {
                let element = self.types[list].element;
                let (start, count) = self.range(at)?;
                if matches!(element, InterfaceType::U8) {
                    let bytes = self.frame.get(start..start.checked_add(count)?)?;
                    self.out.bytes(bytes);
                } else {
                    self.out.array(count);
                    self.elements(start, count, element)?;
                }
            }
            InterfaceType::FixedLengthList(list) => {
                let list = &self.types[list];
                self.out.array(list.size as usize);
                self.elements(at, list.size as usize, list.element)?;
            }
            InterfaceType::Map(map) => {
                let map = &self.types[map];
                let (start, count) = self.range(at)?;
                self.out.pairs(count);
                for index in 0..count {
                    let entry = index.checked_mul(map.entry_abi.size32 as usize)?.checked_add(start)?;
                    self.value(map.key, entry)?;
                    self.value(map.value, entry.checked_add(map.value_offset32 as usize)?)?;
                }
            }
            InterfaceType::Record(_) => {
                let parts = fields(self.types, ty)?;
                self.out.record(parts.len());
                for part in parts {
                    self.out.text(part.name?);
                    self.value(part.ty, at.checked_add(part.at)?)?;
                }
            }
            InterfaceType::Tuple(_) => {
                let parts = fields(self.types, ty)?;
                self.out.array(parts.len());
                for part in parts {
                    self.value(part.ty, at.checked_add(part.at)?)?;
                }
            }
            InterfaceType::Flags(flags) => {
                let names = &self.types[flags].names;
                let (words, width) = flag_words(names.len());
                let bytes = self.frame.get(at..at.checked_add(words * width)?)?;
                let is_set = |place: usize| bytes.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1);
                let set: Vec<_> = names.iter().enumerate().filter(|(place, _)| is_set(*place)).collect();
                self.out.array(set.len());
                set.into_iter().for_each(|(_, name)| self.out.text(name));
            }
            InterfaceType::Enum(_) => {
                let cases = Cases::of(self.types, ty)?;
                let (name, _) = Cases::case(self.types, ty, self.number(at, cases.width)?)?;
                self.out.text(name);
            }
            InterfaceType::Option(option) if !has_null(self.types[option].ty) => {
                let cases = Cases::of(self.types, ty)?;
                match self.number(at, cases.width)? {
                    0 => self.out.null(),
                    1 => self.value(self.types[option].ty, at.checked_add(cases.payload)?)?,
                    _ => return None,
                }
            }
            InterfaceType::Option(_) | InterfaceType::Variant(_) | InterfaceType::Result(_) => {
                let cases = Cases::of(self.types, ty)?;
                let (name, payload) = Cases::case(self.types, ty, self.number(at, cases.width)?)?;
                self.out.record(if payload.is_some() { 2 } else { 1 });
                self.out.text("tag");
                self.out.text(name);
                if let Some(payload) = payload {
                    self.out.text("val");
                    self.value(payload, at.checked_add(cases.payload)?)?;
                }
            }
            InterfaceType::Own(_)
            | InterfaceType::Borrow(_)
            | InterfaceType::Stream(_)
            | InterfaceType::Future(_)
            | InterfaceType::ErrorContext(_) => return None,
        }
        // What would be too long is not gone through to its end.
        if self.out.is_full() { None } else { Some(()) }
    }

    fn elements(&mut self, start: usize, count: usize, ty: InterfaceType) -> Option<()> {
        let size = self.types.canonical_abi(&ty).size32 as usize;
        (0..count).try_for_each(|index| self.value(ty, index.checked_mul(size)?.checked_add(start)?))
    }
}
