//! Frames from another process: everything that means something is looked at before a guest sees it.
//!
//! A frame of our own making is sound because lifting made it. One that came over a wire is hostile, whoever sent it. It is let in
//! only if it is what lifting would have made of some values: every offset is where lifting would have put it, so ranges neither
//! overlap nor leave gaps to hide in, and the work is bounded by the frame's own length; every length fits, every discriminant names a
//! case, every `bool`, `char`, flag and string is one. Handles are not let in: what they stand for is in the other process.

use super::{
    frame::{Frame, MAX_FRAME_BYTES},
    lift::{narrow, word},
    malformed::Malformed,
    plan::{Shape, Step},
};

/// Lets in a frame that holds a tuple of this shape.
pub(crate) fn admit(bytes: Vec<u8>, shape: &Shape) -> Result<Frame, Malformed> {
    if bytes.len() > MAX_FRAME_BYTES || bytes.len() < shape.size {
        return Err(Malformed::OutOfBounds);
    }
    let mut inspector = Inspector { bytes: &bytes, end: shape.size };
    inspector.value(shape, 0)?;
    if inspector.end != bytes.len() {
        return Err(Malformed::OutOfBounds);
    }
    Ok(Frame::received(bytes))
}

struct Inspector<'a> {
    bytes: &'a [u8],
    /// What was accounted for: the next range begins here, but for its alignment.
    end: usize,
}

impl Inspector<'_> {
    /// Looks at the value at `base`, all of which is within the frame.
    fn value(&mut self, shape: &Shape, base: usize) -> Result<(), Malformed> {
        for step in &shape.memory {
            match step {
                Step::Copy { .. } | Step::Signed { .. } => {}
                Step::Bool { at } => {
                    if self.narrow(base + at, 1)? > 1 {
                        return Err(Malformed::Discriminant);
                    }
                }
                Step::Char { at } => {
                    char::from_u32(self.narrow(base + at, 4)?).ok_or(Malformed::Char)?;
                }
                Step::Flags { at, width, mask } => {
                    if self.narrow(base + at, *width)? & !mask != 0 {
                        return Err(Malformed::Discriminant);
                    }
                }
                Step::String { at } => {
                    let text = self.range(base + at, 1, 1)?;
                    simdutf8::basic::from_utf8(&self.bytes[text.0..text.1]).map_err(|_| Malformed::Text)?;
                }
                Step::List { at, element } => self.list(element, base + at)?,
                Step::Repeat { at, count, element } => {
                    for index in 0..*count {
                        self.value(element, base + at + index * element.size)?;
                    }
                }
                Step::Variant { at, width, payload, cases, .. } => {
                    let discriminant = self.narrow(base + at, *width)?;
                    if let Some(shape) = cases.get(discriminant as usize).ok_or(Malformed::Discriminant)? {
                        self.value(shape, base + at + payload)?;
                    }
                }
                Step::Handle { .. } => return Err(Malformed::Handle),
            }
        }
        Ok(())
    }

    fn list(&mut self, element: &Shape, at: usize) -> Result<(), Malformed> {
        let (start, end) = self.range(at, element.align, element.size)?;
        // Of elements that take no room there is nothing to see.
        if !element.is_plain() && element.size > 0 {
            for base in (start..end).step_by(element.size) {
                self.value(element, base)?;
            }
        }
        Ok(())
    }

    /// The range that stands at `at`, of elements of this size: it must be the next one.
    fn range(&mut self, at: usize, align: usize, size: usize) -> Result<(usize, usize), Malformed> {
        let pair = self.get(at, 8)?;
        let (start, count) = (word(pair, 0) as usize, word(pair, 4) as usize);
        if start != self.end.next_multiple_of(align) {
            return Err(Malformed::OutOfBounds);
        }
        let end = count.checked_mul(size).and_then(|length| start.checked_add(length)).ok_or(Malformed::OutOfBounds)?;
        if end > self.bytes.len() {
            return Err(Malformed::OutOfBounds);
        }
        self.end = end;
        Ok((start, end))
    }

    fn narrow(&self, at: usize, width: usize) -> Result<u32, Malformed> {
        Ok(narrow(self.get(at, width)?, 0, width))
    }

    fn get(&self, at: usize, length: usize) -> Result<&[u8], Malformed> {
        let end = at.checked_add(length).ok_or(Malformed::OutOfBounds)?;
        self.bytes.get(at..end).ok_or(Malformed::OutOfBounds)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    /// A type, for which the tests make shapes and values of their own.
    #[derive(Clone, Debug)]
    enum Kind {
        Bool,
        Char,
        Bytes(usize),
        Flags(u32),
        Text,
        List(Box<Kind>),
        Tuple(Vec<Kind>),
        Variant(Vec<Option<Kind>>),
        Repeat(usize, Box<Kind>),
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        let leaf = prop_oneof![
            Just(Kind::Bool),
            Just(Kind::Char),
            prop::sample::select(vec![1_usize, 2, 4, 8]).prop_map(Kind::Bytes),
            (1_u32..=8).prop_map(Kind::Flags),
            Just(Kind::Text),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                inner.clone().prop_map(|kind| Kind::List(Box::new(kind))),
                prop::collection::vec(inner.clone(), 0..4).prop_map(Kind::Tuple),
                prop::collection::vec(prop::option::of(inner.clone()), 1..4).prop_map(Kind::Variant),
                (1_usize..4, inner).prop_map(|(count, kind)| Kind::Repeat(count, Box::new(kind))),
            ]
        })
    }

    /// Size and alignment (Canonical ABI).
    fn layout(kind: &Kind) -> (usize, usize) {
        match kind {
            Kind::Bool | Kind::Flags(_) => (1, 1),
            Kind::Char => (4, 4),
            Kind::Bytes(size) => (*size, *size),
            Kind::Text | Kind::List(_) => (8, 4),
            Kind::Tuple(parts) => {
                let align = parts.iter().map(|part| layout(part).1).max().unwrap_or(1);
                let (_, end) = places(parts);
                (end.next_multiple_of(align), align)
            }
            Kind::Variant(cases) => {
                let (payload, widest, align) = case_layout(cases);
                ((payload + widest).next_multiple_of(align), align)
            }
            Kind::Repeat(count, kind) => (count * layout(kind).0, layout(kind).1),
        }
    }

    fn places(parts: &[Kind]) -> (Vec<usize>, usize) {
        let mut end = 0;
        let mut place = |part: &Kind| {
            let (size, align) = layout(part);
            let at = usize::next_multiple_of(end, align);
            end = at + size;
            at
        };
        (parts.iter().map(&mut place).collect(), end)
    }

    fn case_layout(cases: &[Option<Kind>]) -> (usize, usize, usize) {
        let layouts = || cases.iter().flatten().map(layout);
        let align = layouts().map(|(_, align)| align).max().unwrap_or(1);
        (1_usize.next_multiple_of(align), layouts().map(|(size, _)| size).max().unwrap_or(0), align)
    }

    fn shape(kind: &Kind) -> Shape {
        let (size, align) = layout(kind);
        let mut memory = Vec::new();
        steps(kind, 0, &mut memory);
        Shape { size, align, flat_count: 0, memory: memory.into(), flat: Box::default() }
    }

    fn steps(kind: &Kind, at: usize, out: &mut Vec<Step>) {
        match kind {
            Kind::Bool => out.push(Step::Bool { at }),
            Kind::Char => out.push(Step::Char { at }),
            Kind::Bytes(len) => out.push(Step::Copy { at, len: *len }),
            Kind::Flags(count) => out.push(Step::Flags { at, width: 1, mask: (1 << count) - 1 }),
            Kind::Text => out.push(Step::String { at }),
            Kind::List(kind) => out.push(Step::List { at, element: Arc::new(shape(kind)) }),
            Kind::Tuple(parts) => {
                for (part, place) in parts.iter().zip(places(parts).0) {
                    steps(part, at + place, out);
                }
            }
            Kind::Variant(cases) => {
                let (payload, ..) = case_layout(cases);
                let cases = cases.iter().map(|case| case.as_ref().map(|kind| Arc::new(shape(kind)))).collect();
                out.push(Step::Variant { at, width: 1, payload, flat_count: 0, cases });
            }
            Kind::Repeat(count, kind) => out.push(Step::Repeat { at, count: *count, element: Arc::new(shape(kind)) }),
        }
    }

    /// Chances, one after the other.
    struct Dice<'a>(&'a mut dyn Iterator<Item = u8>);

    impl Dice<'_> {
        fn roll(&mut self, sides: usize) -> usize {
            usize::from(self.0.next().unwrap_or(0)) % sides
        }
    }

    /// Writes a value as lifting does: parts in their order, and what they point to behind all that is there.
    fn write(kind: &Kind, at: usize, frame: &mut Frame, dice: &mut Dice<'_>) {
        let put = |frame: &mut Frame, bytes: &[u8]| frame.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        let range = |frame: &mut Frame, start: usize, count: usize| {
            let words = [start, count].map(|word| u32::try_from(word).expect("frames are small").to_le_bytes());
            put(frame, &words.concat());
        };
        match kind {
            Kind::Bool => put(frame, &[u8::try_from(dice.roll(2)).expect("0 or 1")]),
            Kind::Char => put(frame, &u32::from(['a', 'ß', '\u{10ffff}'][dice.roll(3)]).to_le_bytes()),
            Kind::Bytes(size) => put(frame, &vec![u8::try_from(dice.roll(256)).expect("a byte"); *size]),
            Kind::Flags(count) => put(frame, &[u8::try_from(dice.roll(1 << count)).expect("at most 8 flags")]),
            Kind::Text => {
                let text = ["", "a", "ünïcödé"][dice.roll(3)];
                let start = frame.append(1, text.as_bytes()).expect("there is room");
                range(frame, start, text.len());
            }
            Kind::List(kind) => {
                let (size, align) = layout(kind);
                let count = dice.roll(4);
                let start = frame.room(align, count * size).expect("there is room");
                range(frame, start, count);
                for index in 0..count {
                    write(kind, start + index * size, frame, dice);
                }
            }
            Kind::Tuple(parts) => {
                for (part, place) in parts.iter().zip(places(parts).0) {
                    write(part, at + place, frame, dice);
                }
            }
            Kind::Variant(cases) => {
                let case = dice.roll(cases.len());
                put(frame, &[u8::try_from(case).expect("few cases")]);
                if let Some(kind) = &cases[case] {
                    write(kind, at + case_layout(cases).0, frame, dice);
                }
            }
            Kind::Repeat(count, kind) => {
                for index in 0..*count {
                    write(kind, at + index * layout(kind).0, frame, dice);
                }
            }
        }
    }

    fn written(kind: &Kind, chances: &[u8]) -> Vec<u8> {
        let mut frame = Frame::new(&shape(kind));
        write(kind, 0, &mut frame, &mut Dice(&mut chances.iter().copied()));
        frame.bytes.clone()
    }

    proptest! {
        #[test]
        fn what_lifting_makes_is_let_in(kind in kinds(), chances in prop::collection::vec(any::<u8>(), 0..64)) {
            let bytes = written(&kind, &chances);
            let frame = admit(bytes.clone(), &shape(&kind));
            prop_assert_eq!(&frame.expect("it is sound").bytes, &bytes);
        }

        #[test]
        fn what_is_let_in_is_what_lifting_would_have_made(
            kind in kinds(),
            chances in prop::collection::vec(any::<u8>(), 0..64),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in prop::option::of(any::<prop::sample::Index>()),
            more in prop::collection::vec(any::<u8>(), 0..5),
        ) {
            let mut bytes = written(&kind, &chances);
            bytes.extend(more);
            if let Some(cut) = cut.filter(|_| !bytes.is_empty()) {
                bytes.truncate(cut.index(bytes.len()));
            }
            for (place, byte) in changes {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            let shape = shape(&kind);
            // No panic, whatever it is; and what is let in has one reading, in which every part is sound.
            if let Ok(frame) = admit(bytes.clone(), &shape) {
                prop_assert_eq!(&frame.bytes, &bytes);
                prop_assert_eq!(read(&kind, 0, &bytes, shape.size), Some(bytes.len()));
            }
        }
    }

    /// Reads a value by the definition of its type, and says where what it points to ends.
    fn read(kind: &Kind, at: usize, bytes: &[u8], end: usize) -> Option<usize> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        match kind {
            Kind::Bool => (*bytes.get(at)? < 2).then_some(end),
            Kind::Char => char::from_u32(u32_at(at)?).map(|_| end),
            Kind::Bytes(size) => bytes.get(at..at + size).map(|_| end),
            Kind::Flags(count) => (u32::from(*bytes.get(at)?) < 1 << count).then_some(end),
            Kind::Text => {
                let (start, length) = (u32_at(at)? as usize, u32_at(at + 4)? as usize);
                std::str::from_utf8(bytes.get(start..start + length)?).ok()?;
                (start == end).then_some(start + length)
            }
            Kind::List(kind) => {
                let (size, align) = layout(kind);
                let (start, count) = (u32_at(at)? as usize, u32_at(at + 4)? as usize);
                let all = start..start + size * count;
                bytes.get(all.clone())?;
                let aligned = end.next_multiple_of(align) == start;
                let elements = all.step_by(size.max(1));
                aligned.then(|| {
                    elements.into_iter().try_fold(start + size * count, |end, at| read(kind, at, bytes, end))
                })?
            }
            Kind::Tuple(parts) => {
                let mut parts = parts.iter().zip(places(parts).0);
                parts.try_fold(end, |end, (part, place)| read(part, at + place, bytes, end))
            }
            Kind::Variant(cases) => match cases.get(usize::from(*bytes.get(at)?))? {
                None => Some(end),
                Some(kind) => read(kind, at + case_layout(cases).0, bytes, end),
            },
            Kind::Repeat(count, kind) => {
                (0..*count).try_fold(end, |end, index| read(kind, at + index * layout(kind).0, bytes, end))
            }
        }
    }

    #[test]
    fn each_lie_is_found_out() {
        let texts = shape(&Kind::Tuple(vec![Kind::Text, Kind::Text]));
        let frame = |ranges: [u32; 4], rest: &[u8]| {
            let mut bytes = ranges.map(u32::to_le_bytes).concat();
            bytes.extend_from_slice(rest);
            admit(bytes, &texts).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(frame([16, 2, 18, 1], b"abc"), Ok(()));
        let outside = Err(Malformed::OutOfBounds.to_string());
        for (ranges, rest) in [
            ([16, 2, 16, 2], &b"ab"[..]), // The same bytes twice: a frame could be made to hold any amount.
            ([17, 1, 18, 1], b"abc"),     // A gap.
            ([16, 2, 18, 2], b"abc"),     // Past the end.
            ([16, 1, 17, 1], b"abc"),     // More than it says.
            ([16, u32::MAX, 18, 1], b"abc"), // A length that wraps around.
            ([0, 16, 16, 3], b"abc"),     // The ranges themselves.
        ] {
            assert_eq!(frame(ranges, rest), outside, "{ranges:?}");
        }
        assert_eq!(frame([16, 2, 18, 1], b"\xffbc"), Err(Malformed::Text.to_string()));
        let handle = Step::Handle {
            at: 0,
            handle: super::super::plan::HandleType {
                ty: wasmtime::component::__internal::InterfaceType::U32,
                origin: super::super::plan::Origin::Guest,
            },
        };
        let shape = Shape { size: 4, align: 4, flat_count: 1, memory: [handle].into(), flat: Box::default() };
        assert!(matches!(admit(vec![0; 4], &shape), Err(Malformed::Handle)));
        assert!(admit(Vec::new(), &shape).is_err());
    }
}
