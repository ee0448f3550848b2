//! CBOR (RFC 8949), as much of it as values between a script and the host need: items of a definite length, one after the other.
//!
//! Nothing here recurses or allocates by a number that was read: what an item says of its length is held against the bytes that follow, so
//! that whoever reads an array of so many elements knows that there are bytes for each. What is broken is an error, never a panic.

/// Bytes that are no CBOR, or CBOR of a kind that is not taken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// They end in the middle of an item.
    #[error("the CBOR is cut off")]
    CutOff,
    /// A length that is not known at its start.
    #[error("the CBOR has items of indefinite length, which are not taken")]
    Indefinite,
    /// A number in the first byte that means nothing.
    #[error("the CBOR has items that mean nothing")]
    Reserved,
    /// Text that is not UTF-8.
    #[error("the CBOR has text that is not UTF-8")]
    Text,
}

/// One item, or the head of one that others follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A whole number.
    Unsigned(u64),
    /// The whole number -1 - n.
    Negative(u64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Text.
    Text(&'a str),
    /// So many elements follow.
    Array(usize),
    /// So many pairs of a key and a value follow.
    Map(usize),
    /// What follows means something more by this number.
    Tag(u64),
    /// True or false.
    Bool(bool),
    /// Null, or undefined.
    Null,
    /// A floating-point number.
    Float(f64),
    /// One of the simple values that nobody has given a meaning.
    Simple(u8),
}

/// Reads items.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all was read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next item.
    ///
    /// # Errors
    /// When there is none.
    pub fn item(&mut self) -> Result<Item<'a>, Broken> {
        let first = self.take(1)?[0];
        let (major, low) = (first >> 5, first & 0x1f);
        if major == 7 {
            return self.simple(low);
        }
        let number = match low {
            0..=23 => u64::from(low),
            24 => u64::from(self.take(1)?[0]),
            25 => u64::from(u16::from_be_bytes(self.fixed()?)),
            26 => u64::from(u32::from_be_bytes(self.fixed()?)),
            27 => u64::from_be_bytes(self.fixed()?),
            31 if major != 0 && major != 1 && major != 6 => return Err(Broken::Indefinite),
            _ => return Err(Broken::Reserved),
        };
        let length = || usize::try_from(number).map_err(|_| Broken::CutOff);
        // Each element takes at least one byte.
        let count = |each: usize| {
            length().and_then(|count| match count.checked_mul(each) {
                Some(least) if least <= self.rest.len() => Ok(count),
                _ => Err(Broken::CutOff),
            })
        };
        Ok(match major {
            0 => Item::Unsigned(number),
            1 => Item::Negative(number),
            2 => Item::Bytes(self.take(length()?)?),
            3 => Item::Text(std::str::from_utf8(self.take(length()?)?).map_err(|_| Broken::Text)?),
            4 => Item::Array(count(1)?),
            5 => Item::Map(count(2)?),
            _ => Item::Tag(number),
        })
    }

    fn simple(&mut self, low: u8) -> Result<Item<'a>, Broken> {
        Ok(match low {
            20 => Item::Bool(false),
            21 => Item::Bool(true),
            22 | 23 => Item::Null,
            24 => Item::Simple(self.take(1)?[0]),
            25 => Item::Float(half(u16::from_be_bytes(self.fixed()?))),
            26 => Item::Float(f64::from(f32::from_be_bytes(self.fixed()?))),
            27 => Item::Float(f64::from_be_bytes(self.fixed()?)),
            31 => return Err(Broken::Indefinite),
            28..=30 => return Err(Broken::Reserved),
            _ => Item::Simple(low),
        })
    }

    /// Goes past the next item, with all that belongs to it.
    ///
    /// # Errors
    /// When there is none.
    pub fn skip(&mut self) -> Result<(), Broken> {
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            // There are bytes for each of them: the sum stays below twice the length.
            left = left.saturating_add(match self.item()? {
                Item::Array(count) => count,
                Item::Map(count) => count.saturating_mul(2),
                Item::Tag(_) => 1,
                Item::Unsigned(_)
                | Item::Negative(_)
                | Item::Bytes(_)
                | Item::Text(_)
                | Item::Bool(_)
                | Item::Null
                | Item::Float(_)
                | Item::Simple(_) => 0,
            });
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Broken::CutOff)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        self.take(N)?.try_into().map_err(|_| Broken::CutOff)
    }
}

/// A number of 16 bits (RFC 8949, appendix D).
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (bits >> 10 & 0x1f, f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1024.0) * 2_f64.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 0 { size } else { -size }
}

/// Writes items, up to a limit.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

/// There would be more bytes than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the values take more than {0} bytes as CBOR")]
pub struct TooLong(usize);

impl TooLong {
    /// More than so many bytes.
    pub(crate) const fn of(limit: usize) -> Self {
        Self(limit)
    }
}

/// What values can be written in, item after item: those that belong to an array or a record follow it.
pub trait Notation {
    /// Whether what was written last did not fit: nothing more is taken.
    fn is_full(&self) -> bool;
    /// What was written.
    ///
    /// # Errors
    /// When it was more than it may be.
    fn finish(self) -> Result<Vec<u8>, TooLong>;
    /// Nothing.
    fn null(&mut self);
    /// True or false.
    fn bool(&mut self, set: bool);
    /// A whole number of up to 32 bits.
    fn unsigned(&mut self, number: u64);
    /// The same, with a sign.
    fn signed(&mut self, number: i64);
    /// A whole number of 64 bits, which is told from others.
    fn wide_unsigned(&mut self, number: u64);
    /// The same, with a sign.
    fn wide_signed(&mut self, number: i64);
    /// A floating-point number of 32 bits.
    fn f32(&mut self, number: f32);
    /// A floating-point number of 64 bits.
    fn f64(&mut self, number: f64);
    /// Text.
    fn text(&mut self, text: &str);
    /// Bytes.
    fn bytes(&mut self, bytes: &[u8]);
    /// So many elements are to follow.
    fn array(&mut self, count: usize);
    /// So many fields are to follow, each a name and a value.
    fn record(&mut self, count: usize);
    /// So many pairs of keys and values of any type are to follow.
    fn pairs(&mut self, count: usize);
}

/// The tag of a map that is no record.
const MAP: u64 = 259;

impl Notation for Writer {
    fn is_full(&self) -> bool {
        self.is_full()
    }
    fn finish(self) -> Result<Vec<u8>, TooLong> {
        self.finish()
    }
    fn null(&mut self) {
        self.null();
    }
    fn bool(&mut self, set: bool) {
        self.bool(set);
    }
    fn unsigned(&mut self, number: u64) {
        self.unsigned(number);
    }
    fn signed(&mut self, number: i64) {
        self.signed(number);
    }
    fn wide_unsigned(&mut self, number: u64) {
        self.wide_unsigned(number);
    }
    fn wide_signed(&mut self, number: i64) {
        self.wide_signed(number);
    }
    fn f32(&mut self, number: f32) {
        self.f32(number);
    }
    fn f64(&mut self, number: f64) {
        self.f64(number);
    }
    fn text(&mut self, text: &str) {
        self.text(text);
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
    }
    fn array(&mut self, count: usize) {
        self.array(count);
    }
    fn record(&mut self, count: usize) {
        self.map(count);
    }
    fn pairs(&mut self, count: usize) {
        self.tag(MAP);
        self.map(count);
    }
}

/// The head of an array or a map whose count is not known yet.
#[derive(Debug)]
pub(crate) struct Begun(usize);

impl Writer {
    /// Begins an array: how many elements it has is said at its end.
    pub(crate) fn begin_array(&mut self) -> Begun {
        self.begin(0x9a)
    }

    /// The same for a map.
    pub(crate) fn begin_map(&mut self) -> Begun {
        self.begin(0xba)
    }

    fn begin(&mut self, first: u8) -> Begun {
        let at = self.bytes.len() + 1;
        self.push(&[first, 0, 0, 0, 0]);
        Begun(at)
    }

    /// Ends it.
    pub(crate) fn end(&mut self, begun: Begun, count: u32) {
        if let Some(head) = self.bytes.get_mut(begun.0..begun.0 + 4) {
            head.copy_from_slice(&count.to_be_bytes());
        }
    }

    /// At most so many bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, full: false }
    }

    /// Whether what was written last did not fit: nothing more is taken.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// What was written.
    ///
    /// # Errors
    /// When it was more than it may be.
    pub fn finish(self) -> Result<Vec<u8>, TooLong> {
        if self.full { Err(TooLong(self.limit)) } else { Ok(self.bytes) }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.full |= self.limit.saturating_sub(self.bytes.len()) < bytes.len();
        if !self.full {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn head(&mut self, major: u8, number: u64) {
        let first = major << 5;
        if let Ok(small) = u8::try_from(number) {
            if small < 24 { self.push(&[first | small]) } else { self.push(&[first | 24, small]) }
        } else if let Ok(short) = u16::try_from(number) {
            self.push(&[first | 25]);
            self.push(&short.to_be_bytes());
        } else if let Ok(word) = u32::try_from(number) {
            self.push(&[first | 26]);
            self.push(&word.to_be_bytes());
        } else {
            self.push(&[first | 27]);
            self.push(&number.to_be_bytes());
        }
    }

    /// A whole number.
    pub fn unsigned(&mut self, number: u64) {
        self.head(0, number);
    }

    /// A whole number.
    pub fn signed(&mut self, number: i64) {
        if number < 0 { self.head(1, !number.cast_unsigned()) } else { self.head(0, number.cast_unsigned()) }
    }

    /// A whole number in eight bytes, however small it is: one of 64 bits is told from others by that.
    pub fn wide_unsigned(&mut self, number: u64) {
        self.push(&[27]);
        self.push(&number.to_be_bytes());
    }

    /// The same, with a sign.
    pub fn wide_signed(&mut self, number: i64) {
        let (first, size) = if number < 0 { (0x3b, !number) } else { (0x1b, number) };
        self.push(&[first]);
        self.push(&size.to_be_bytes());
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head(2, bytes.len() as u64);
        self.push(bytes);
    }

    /// Text.
    pub fn text(&mut self, text: &str) {
        self.head(3, text.len() as u64);
        self.push(text.as_bytes());
    }

    /// The head of an array: so many elements are to follow.
    pub fn array(&mut self, count: usize) {
        self.head(4, count as u64);
    }

    /// The head of a map: so many pairs are to follow.
    pub fn map(&mut self, count: usize) {
        self.head(5, count as u64);
    }

    /// A tag for what follows.
    pub fn tag(&mut self, tag: u64) {
        self.head(6, tag);
    }

    /// True or false.
    pub fn bool(&mut self, set: bool) {
        self.push(&[if set { 0xf5 } else { 0xf4 }]);
    }

    /// Nothing.
    pub fn null(&mut self) {
        self.push(&[0xf6]);
    }

    /// A floating-point number of 32 bits.
    pub fn f32(&mut self, number: f32) {
        self.push(&[0xfa]);
        self.push(&number.to_be_bytes());
    }

    /// A floating-point number of 64 bits.
    pub fn f64(&mut self, number: f64) {
        self.push(&[0xfb]);
        self.push(&number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn items(bytes: &[u8]) -> Result<Vec<Item<'_>>, Broken> {
        let mut reader = Reader::new(bytes);
        let mut items = Vec::new();
        while !reader.is_at_end() {
            items.push(reader.item()?);
        }
        Ok(items)
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        for (bytes, item) in [
            (&[0x17][..], Item::Unsigned(23)),
            (&[0x18, 0x64], Item::Unsigned(100)),
            (&[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Item::Unsigned(u64::MAX)),
            (&[0x38, 0x63], Item::Negative(99)),
            (&[0xf9, 0x3c, 0x00], Item::Float(1.0)),
            (&[0xf9, 0x7b, 0xff], Item::Float(65504.0)),
            (&[0xf9, 0x00, 0x01], Item::Float(5.960_464_477_539_063e-8)),
            (&[0xf9, 0xc4, 0x00], Item::Float(-4.0)),
            (&[0xf9, 0xfc, 0x00], Item::Float(f64::NEG_INFINITY)),
            (&[0xfa, 0x47, 0xc3, 0x50, 0x00], Item::Float(100_000.0)),
            (&[0xf4], Item::Bool(false)),
            (&[0xf7], Item::Null),
            (&[0xf0], Item::Simple(16)),
            (&[0x44, 1, 2, 3, 4], Item::Bytes(&[1, 2, 3, 4])),
            (&[0x62, 0xc3, 0xbc], Item::Text("ü")),
            (&[0xc1], Item::Tag(1)),
            (&[0x80], Item::Array(0)),
            (&[0xa0], Item::Map(0)),
        ] {
            assert_eq!(items(bytes), Ok(vec![item]), "{bytes:x?}");
        }
        for (bytes, broken) in [
            (&[0x18][..], Broken::CutOff),
            (&[0x42, 1], Broken::CutOff),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Broken::CutOff),
            (&[0x82, 0x01], Broken::CutOff),
            (&[0xa1, 0x01], Broken::CutOff),
            (&[0x61, 0xff], Broken::Text),
            (&[0x9f, 0xff], Broken::Indefinite),
            (&[0x1c], Broken::Reserved),
            (&[0xfd], Broken::Reserved),
        ] {
            assert_eq!(items(bytes), Err(broken), "{bytes:x?}");
        }
    }

    #[test]
    fn no_more_is_written_than_may_be() {
        let mut writer = Writer::new(4);
        writer.text("abc");
        assert!(!writer.is_full());
        writer.null();
        assert!(writer.is_full());
        assert_eq!(writer.finish(), Err(TooLong(4)));
    }

    proptest! {
        #[test]
        fn numbers_and_text_are_read_as_they_were_written(unsigned: u64, signed: i64, float: f64, text: String) {
            let mut writer = Writer::new(1 << 20);
            writer.unsigned(unsigned);
            writer.wide_unsigned(unsigned);
            writer.signed(signed);
            writer.wide_signed(signed);
            writer.f64(float);
            writer.text(&text);
            let bytes = writer.finish().expect("it is short");
            let whole = |item| {
                if let Item::Unsigned(number) = item {
                    return i128::from(number);
                }
                let Item::Negative(number) = item else { panic!("{item:?}") };
                -1 - i128::from(number)
            };
            let items = items(&bytes).expect("it was written so");
            let numbers: Vec<_> = items[..4].iter().copied().map(whole).collect();
            prop_assert_eq!(numbers, [unsigned.into(), unsigned.into(), signed.into(), i128::from(signed)]);
            let Item::Float(read) = items[4] else { panic!("{items:?}") };
            prop_assert_eq!(read.to_bits(), float.to_bits());
            prop_assert_eq!(items[5], Item::Text(&text));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = items(&bytes);
            let mut reader = Reader::new(&bytes);
            if reader.skip().is_ok() {
                prop_assert!(reader.rest.len() < bytes.len());
            }
        }
    }
}
