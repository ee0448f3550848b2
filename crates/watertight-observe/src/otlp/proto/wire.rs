//! Protocol Buffers, as far as the messages of OTLP need them: fields with numbers, one after the other.
//!
//! Reading is for tests of what was written: it takes any bytes, and what cannot be read ends it.

/// Something made of fields.
pub trait Message: Default {
    /// Writes its fields.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes one field, if it knows it.
    fn take(&mut self, number: u32, field: &Wire<'_>);

    /// It as bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// It from bytes; `None` where they are none.
    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut message = Self::default();
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let field = match key & 7 {
                0 => Wire::Varint(varint(&mut bytes)?),
                1 => Wire::Fixed64(u64::from_le_bytes(fixed(&mut bytes)?)),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).ok()?;
                    let (field, rest) = bytes.split_at_checked(length)?;
                    bytes = rest;
                    Wire::Bytes(field)
                }
                5 => Wire::Fixed32(u32::from_le_bytes(fixed(&mut bytes)?)),
                _ => return None,
            };
            message.take(u32::try_from(key >> 3).ok()?, &field);
        }
        Some(message)
    }
}

/// A field as it was read.
#[derive(Debug)]
pub enum Wire<'a> {
    /// A number of any length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Text, bytes, or a message.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

/// A type that a field can have.
pub(super) trait Field {
    /// Writes it, unless it is what is meant without a word.
    fn put(&self, number: u32, out: &mut Vec<u8>);
    /// Reads it; what is of another type is passed over.
    fn get(&mut self, field: &Wire<'_>);
}

/// A whole number that is written in eight bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signed(pub i64);

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn fixed<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

fn put_key(number: u32, kind: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | kind, out);
}

fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_key(number, 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_fixed64(number: u32, value: u64, out: &mut Vec<u8>) {
    put_key(number, 1, out);
    out.extend_from_slice(&value.to_le_bytes());
}

impl Field for String {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        if !self.is_empty() {
            put_bytes(number, self.as_bytes(), out);
        }
    }

    fn get(&mut self, field: &Wire<'_>) {
        if let Wire::Bytes(bytes) = field {
            *self = String::from_utf8_lossy(bytes).into_owned();
        }
    }
}

impl Field for Vec<u8> {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        if !self.is_empty() {
            put_bytes(number, self, out);
        }
    }

    fn get(&mut self, field: &Wire<'_>) {
        if let Wire::Bytes(bytes) = field {
            *self = bytes.to_vec();
        }
    }
}

/// Times and counts are `fixed64` in all of these messages.
impl Field for u64 {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        if *self != 0 {
            put_fixed64(number, *self, out);
        }
    }

    fn get(&mut self, field: &Wire<'_>) {
        if let Wire::Fixed64(value) = field {
            *self = *value;
        }
    }
}

/// Flags are `fixed32`.
impl Field for u32 {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        if *self != 0 {
            put_key(number, 5, out);
            out.extend_from_slice(&self.to_le_bytes());
        }
    }

    fn get(&mut self, field: &Wire<'_>) {
        if let Wire::Fixed32(value) = field {
            *self = *value;
        }
    }
}

/// Enumerations; none of theirs has a number below zero.
impl Field for u8 {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        if *self != 0 {
            put_key(number, 0, out);
            put_varint((*self).into(), out);
        }
    }

    fn get(&mut self, field: &Wire<'_>) {
        if let Wire::Varint(value) = field {
            *self = u8::try_from(*value).unwrap_or(0);
        }
    }
}

impl Field for bool {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        u8::from(*self).put(number, out);
    }

    fn get(&mut self, field: &Wire<'_>) {
        if let Wire::Varint(value) = field {
            *self = *value != 0;
        }
    }
}

/// What is there is written, whatever it is.
macro_rules! optional {
    ($($of:ty: $put:expr, $get:pat => $value:expr;)*) => {$(
        impl Field for Option<$of> {
            fn put(&self, number: u32, out: &mut Vec<u8>) {
                if let Some(value) = self {
                    let put: fn(u32, &$of, &mut Vec<u8>) = $put;
                    put(number, value, out);
                }
            }

            fn get(&mut self, field: &Wire<'_>) {
                if let $get = field {
                    *self = Some($value);
                }
            }
        }
    )*};
}

optional! {
    String: |number, text, out| put_bytes(number, text.as_bytes(), out),
        Wire::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned();
    i64: |number, value, out| {
        put_key(number, 0, out);
        put_varint(value.cast_unsigned(), out);
    }, Wire::Varint(value) => value.cast_signed();
    f64: |number, value, out| put_fixed64(number, value.to_bits(), out), Wire::Fixed64(value) => f64::from_bits(*value);
    Signed: |number, value, out| put_fixed64(number, value.0.cast_unsigned(), out),
        Wire::Fixed64(value) => Signed(value.cast_signed());
}

/// Numbers of eight bytes, one after the other.
macro_rules! packed {
    ($($of:ty: $from:expr;)*) => {$(
        impl Field for Vec<$of> {
            fn put(&self, number: u32, out: &mut Vec<u8>) {
                if !self.is_empty() {
                    let bytes: Vec<u8> = self.iter().flat_map(|value| value.to_le_bytes()).collect();
                    put_bytes(number, &bytes, out);
                }
            }

            fn get(&mut self, field: &Wire<'_>) {
                if let Wire::Bytes(bytes) = field {
                    self.extend(bytes.as_chunks().0.iter().map(|bytes| $from(*bytes)));
                }
            }
        }
    )*};
}

packed! {
    u64: u64::from_le_bytes;
    f64: f64::from_le_bytes;
}

impl<M: Message> Field for Option<M> {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        if let Some(message) = self {
            put_bytes(number, &message.encode(), out);
        }
    }

    fn get(&mut self, field: &Wire<'_>) {
        if let Wire::Bytes(bytes) = field {
            *self = M::decode(bytes);
        }
    }
}

impl<M: Message> Field for Vec<M> {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        for message in self {
            put_bytes(number, &message.encode(), out);
        }
    }

    fn get(&mut self, field: &Wire<'_>) {
        if let Wire::Bytes(bytes) = field {
            self.extend(M::decode(bytes));
        }
    }
}
