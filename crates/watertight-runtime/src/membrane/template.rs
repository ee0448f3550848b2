#![expect(clippy::wildcard_enum_match_arm, reason = "Wasmtime's types, which grow with the component model")]
//! Values that a manifest sets, laid out once as the results of a function: what a caller gets when the call has failed.

use wasmtime::component::__internal::{ComponentTypes, InterfaceType};
use watertight_model::value::Value;

use super::{
    frame::{Frame, FrameFull},
    types::{Cases, FunctionTypes, fields, flag_words},
};

/// The most bytes of a failure's message that a caller gets.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// The most bytes that a set value may take.
const MAX_TEMPLATE_BYTES: usize = 1 << 20;

/// The results of a function, but for the message of the failure that they answer.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// Where the message's place and length are to stand.
    message: Option<usize>,
}

/// A value that is not of the type it is set for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Misfit {
    #[error("the value is of another type than the function returns")]
    Type,
    #[error("the value takes more than {MAX_TEMPLATE_BYTES} bytes")]
    Size,
}

impl From<FrameFull> for Misfit {
    fn from(_: FrameFull) -> Self {
        Self::Size
    }
}

impl Template {
    /// Lays out a value as the result of a function; none for a function without one.
    pub(crate) fn new(value: Option<&Value>, of: &FunctionTypes) -> Result<Self, Misfit> {
        let results = fields(&of.types, of.results).unwrap_or_default();
        let size = of.types.canonical_abi(&of.results).size32 as usize;
        let mut maker = Maker { types: &of.types, frame: Frame::zeroed(size), message: None };
        match (value, results.as_slice()) {
            (None, []) => {}
            (Some(value), [result]) => maker.put(value, result.ty, result.at)?,
            _ => return Err(Misfit::Type),
        }
        Ok(Self { bytes: maker.frame.bytes.clone(), message: maker.message })
    }

    /// The results, with this message.
    pub(crate) fn fill(&self, message: &str) -> Frame {
        let mut frame = Frame::copied(&self.bytes);
        if let Some(place) = self.message {
            let text = &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)];
            // A template and its message are far smaller than a frame may be.
            if let Ok(at) = frame.append(1, text.as_bytes()) {
                put_range(&mut frame, place, at, text.len());
            }
        }
        frame
    }
}

struct Maker<'a> {
    types: &'a ComponentTypes,
    frame: Frame,
    message: Option<usize>,
}

impl Maker<'_> {
    /// Writes a value of this type at `at`, where there is room for it.
    fn put(&mut self, value: &Value, ty: InterfaceType, at: usize) -> Result<(), Misfit> {
        match (value, ty) {
            (Value::Bool(set), InterfaceType::Bool) => self.write(at, &[u8::from(*set)]),
            (Value::Unsigned(number), ty) => self.unsigned(*number, ty, at)?,
            (Value::Signed(number), ty) => self.signed(*number, ty, at)?,
            (Value::F32(number), InterfaceType::Float32) => self.write(at, &number.to_le_bytes()),
            (Value::F64(number), InterfaceType::Float64) => self.write(at, &number.to_le_bytes()),
            (Value::Char(letter), InterfaceType::Char) => self.write(at, &u32::from(*letter).to_le_bytes()),
            (Value::Text(text), InterfaceType::String) => {
                let start = self.within(text.len())?.append(1, text.as_bytes())?;
                put_range(&mut self.frame, at, start, text.len());
            }
            (Value::Message, InterfaceType::String) if self.message.is_none() => self.message = Some(at),
            (Value::List(values), InterfaceType::List(list)) => {
                let element = self.types[list].element;
                let abi = self.types.canonical_abi(&element);
                let (align, size) = (abi.align32 as usize, abi.size32 as usize);
                let total = values.len().checked_mul(size).ok_or(Misfit::Size)?;
                let start = self.within(total)?.room(align, total)?;
                put_range(&mut self.frame, at, start, values.len());
                self.elements(values, element, start)?;
            }
            (Value::List(values), InterfaceType::FixedLengthList(list)) => {
                let list = &self.types[list];
                if values.len() != list.size as usize {
                    return Err(Misfit::Type);
                }
                self.elements(values, list.element, at)?;
            }
            (Value::Fields(values), ty) => {
                let fields = fields(self.types, ty).filter(|fields| fields.len() == values.len());
                for (value, field) in values.iter().zip(fields.ok_or(Misfit::Type)?) {
                    self.put(value, field.ty, at + field.at)?;
                }
            }
            (Value::Case(index, payload), ty) => self.case(*index, payload.as_deref(), ty, at)?,
            (Value::Flags(set), InterfaceType::Flags(flags)) => self.flags(set, self.types[flags].names.len(), at)?,
            _ => return Err(Misfit::Type),
        }
        Ok(())
    }

    /// Bytes of a value in place, which the tuple has room for.
    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.frame.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The frame, if it may grow by so much.
    fn within(&mut self, more: usize) -> Result<&mut Frame, Misfit> {
        let fits = self.frame.bytes.len().checked_add(more).is_some_and(|size| size <= MAX_TEMPLATE_BYTES);
        if fits { Ok(&mut self.frame) } else { Err(Misfit::Size) }
    }

    fn unsigned(&mut self, number: u64, ty: InterfaceType, at: usize) -> Result<(), Misfit> {
        let (width, most) = match ty {
            InterfaceType::U8 => (1, u8::MAX.into()),
            InterfaceType::U16 => (2, u16::MAX.into()),
            InterfaceType::U32 => (4, u32::MAX.into()),
            InterfaceType::U64 => (8, u64::MAX),
            _ => return Err(Misfit::Type),
        };
        if number > most {
            return Err(Misfit::Type);
        }
        self.write(at, &number.to_le_bytes()[..width]);
        Ok(())
    }

    fn signed(&mut self, number: i64, ty: InterfaceType, at: usize) -> Result<(), Misfit> {
        let (width, least, most) = match ty {
            InterfaceType::S8 => (1, i8::MIN.into(), i8::MAX.into()),
            InterfaceType::S16 => (2, i16::MIN.into(), i16::MAX.into()),
            InterfaceType::S32 => (4, i32::MIN.into(), i32::MAX.into()),
            InterfaceType::S64 => (8, i64::MIN, i64::MAX),
            _ => return Err(Misfit::Type),
        };
        if !(least..=most).contains(&number) {
            return Err(Misfit::Type);
        }
        self.write(at, &number.to_le_bytes()[..width]);
        Ok(())
    }

    fn elements(&mut self, values: &[Value], ty: InterfaceType, start: usize) -> Result<(), Misfit> {
        let size = self.types.canonical_abi(&ty).size32 as usize;
        values.iter().enumerate().try_for_each(|(index, value)| self.put(value, ty, start + index * size))
    }

    fn case(&mut self, index: u32, payload: Option<&Value>, ty: InterfaceType, at: usize) -> Result<(), Misfit> {
        let cases = Cases::of(self.types, ty).ok_or(Misfit::Type)?;
        let (_, payload_type) = Cases::case(self.types, ty, index).ok_or(Misfit::Type)?;
        self.write(at, &index.to_le_bytes()[..cases.width]);
        match (payload, payload_type) {
            (None, None) => Ok(()),
            (Some(payload), Some(ty)) => self.put(payload, ty, at + cases.payload),
            _ => Err(Misfit::Type),
        }
    }

    fn flags(&mut self, set: &[u32], count: usize, at: usize) -> Result<(), Misfit> {
        let (words, width) = flag_words(count);
        let mut bytes = vec![0; words * width];
        for place in set {
            let place = *place as usize;
            if place >= count {
                return Err(Misfit::Type);
            }
            bytes[place / 8] |= 1 << (place % 8);
        }
        self.write(at, &bytes);
        Ok(())
    }
}

/// Writes where something is and how much of it. Templates are small: both fit.
fn put_range(frame: &mut Frame, at: usize, start: usize, len: usize) {
    for (offset, number) in [(0, start), (4, len)] {
        let word = u32::try_from(number).unwrap_or(0).to_le_bytes();
        frame.bytes[at + offset..at + offset + 4].copy_from_slice(&word);
    }
}
