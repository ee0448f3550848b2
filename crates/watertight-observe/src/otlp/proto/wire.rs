//! Protocol Buffers, as far as the messages of OTLP need them: fields with numbers, one after the other. It only writes: nothing that a
//! collector answers is read.

/// Something made of fields.
pub(crate) trait Message: Default {
    /// Writes its fields.
    fn write(&self, out: &mut Vec<u8>);

    /// It as bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

/// A type that a field can have.
pub(super) trait Field {
    /// Writes it, unless it is what is meant without a word.
    fn put(&self, number: u32, out: &mut Vec<u8>);
}

/// A whole number that is written in eight bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signed(pub(crate) i64);

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
}

impl Field for Vec<u8> {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        if !self.is_empty() {
            put_bytes(number, self, out);
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
}

/// Flags are `fixed32`.
impl Field for u32 {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        if *self != 0 {
            put_key(number, 5, out);
            out.extend_from_slice(&self.to_le_bytes());
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
}

impl Field for bool {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        u8::from(*self).put(number, out);
    }
}

/// What is there is written, whatever it is.
macro_rules! optional {
    ($($of:ty: $put:expr;)*) => {$(
        impl Field for Option<$of> {
            fn put(&self, number: u32, out: &mut Vec<u8>) {
                if let Some(value) = self {
                    let put: fn(u32, &$of, &mut Vec<u8>) = $put;
                    put(number, value, out);
                }
            }
        }
    )*};
}

optional! {
    String: |number, text, out| put_bytes(number, text.as_bytes(), out);
    i64: |number, value, out| {
        put_key(number, 0, out);
        put_varint(value.cast_unsigned(), out);
    };
    f64: |number, value, out| put_fixed64(number, value.to_bits(), out);
    Signed: |number, value, out| put_fixed64(number, value.0.cast_unsigned(), out);
}

/// Numbers of eight bytes, one after the other.
macro_rules! packed {
    ($($of:ty;)*) => {$(
        impl Field for Vec<$of> {
            fn put(&self, number: u32, out: &mut Vec<u8>) {
                if !self.is_empty() {
                    let bytes: Vec<u8> = self.iter().flat_map(|value| value.to_le_bytes()).collect();
                    put_bytes(number, &bytes, out);
                }
            }
        }
    )*};
}

packed! {
    u64;
    f64;
}

impl<M: Message> Field for Option<M> {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        if let Some(message) = self {
            put_bytes(number, &message.encode(), out);
        }
    }
}

impl<M: Message> Field for Vec<M> {
    fn put(&self, number: u32, out: &mut Vec<u8>) {
        for message in self {
            put_bytes(number, &message.encode(), out);
        }
    }
}
