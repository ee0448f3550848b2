//! Lifting: from a guest's memory and core values into a frame. Everything read here was written by a hostile guest.

use std::sync::Arc;

use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::{
    ValRaw,
    component::{
        __internal::{InterfaceType, LiftContext},
        FutureAny, Lift as _, ResourceAny, StreamAny,
    },
};

use super::{
    frame::Frame,
    handles::Handle,
    malformed::Malformed,
    plan::{HandleType, Origin, Shape, Step},
    pump::Reader,
};

/// The tag in the length of a `latin1+utf16` string that says it is UTF-16 (Canonical ABI).
pub(super) const UTF16_TAG: u32 = 1 << 31;

/// Lifts a tuple that was passed as core values.
pub(super) fn from_flat(cx: &mut LiftContext<'_>, shape: &Shape, values: &[ValRaw]) -> Result<Frame, Malformed> {
    let mut frame = Frame::lifted(shape, cx.memory().len());
    flat(cx, shape, &mut frame, 0, &mut values.iter())?;
    Ok(frame)
}

/// Lifts a tuple that lies in memory at `pointer`.
pub(super) fn from_memory(cx: &mut LiftContext<'_>, shape: &Shape, pointer: u32) -> Result<Frame, Malformed> {
    let mut frame = Frame::lifted(shape, cx.memory().len());
    let source = block(cx.memory(), pointer, shape.align, shape.size)?;
    memory(cx, shape, source, &mut frame, 0)?;
    Ok(frame)
}

/// Runs the steps over core values, writing the value at `base` of the frame.
fn flat<'v>(
    cx: &mut LiftContext<'_>,
    shape: &Shape,
    frame: &mut Frame,
    base: usize,
    values: &mut impl Iterator<Item = &'v ValRaw>,
) -> Result<(), Malformed> {
    for step in &shape.flat {
        let Some(value) = values.next() else { return Err(Malformed::Arity) };
        match step {
            Step::Copy { at, len: len @ (1 | 2 | 4) } | Step::Signed { at, len } => {
                put(frame, base + at, &value.get_u32().to_le_bytes()[..*len]);
            }
            Step::Copy { at, len } => put(frame, base + at, &value.get_u64().to_le_bytes()[..(*len).min(8)]),
            Step::Bool { at } => put(frame, base + at, &[u8::from(value.get_u32() != 0)]),
            Step::Char { at } => put(frame, base + at, &scalar(value.get_u32())?.to_le_bytes()),
            Step::Flags { at, width, mask } => {
                put(frame, base + at, &(value.get_u32() & mask).to_le_bytes()[..*width]);
            }
            Step::String { at } => {
                let len = values.next().ok_or(Malformed::Arity)?.get_u32();
                let found = string(cx, frame, value.get_u32(), len)?;
                put_range(frame, base + at, found)?;
            }
            Step::List { at, element } => {
                let len = values.next().ok_or(Malformed::Arity)?.get_u32();
                let found = list(cx, element, frame, value.get_u32(), len)?;
                put_range(frame, base + at, found)?;
            }
            Step::Variant { at, width, payload, flat_count, cases } => {
                let discriminant = value.get_u32();
                let case = case(cases, discriminant)?;
                put(frame, base + at, &discriminant.to_le_bytes()[..*width]);
                let mut taken = 1;
                if let Some(shape) = case {
                    flat(cx, shape, frame, base + at + payload, values)?;
                    taken += shape.flat_count;
                }
                // The other cases' values stand here too, and mean nothing.
                for _ in taken..*flat_count {
                    values.next();
                }
            }
            Step::Handle { at, handle: ty } => {
                let index = handle(cx, *ty, value.get_u32(), frame)?;
                put(frame, base + at, &index.to_le_bytes());
            }
            Step::Repeat { .. } => return Err(Malformed::Arity),
        }
    }
    Ok(())
}

/// Runs the steps over `source`, the bytes of one value in memory, writing the value at `base` of the frame.
fn memory(
    cx: &mut LiftContext<'_>,
    shape: &Shape,
    source: &[u8],
    frame: &mut Frame,
    base: usize,
) -> Result<(), Malformed> {
    for step in &shape.memory {
        match step {
            Step::Copy { at, len } | Step::Signed { at, len } => put(frame, base + at, &source[*at..at + len]),
            Step::Bool { at } => put(frame, base + at, &[u8::from(source[*at] != 0)]),
            Step::Char { at } => put(frame, base + at, &scalar(word(source, *at))?.to_le_bytes()),
            Step::Flags { at, width, mask } => {
                let bits = narrow(source, *at, *width) & mask;
                put(frame, base + at, &bits.to_le_bytes()[..*width]);
            }
            Step::String { at } => {
                let found = string(cx, frame, word(source, *at), word(source, at + 4))?;
                put_range(frame, base + at, found)?;
            }
            Step::List { at, element } => {
                let found = list(cx, element, frame, word(source, *at), word(source, at + 4))?;
                put_range(frame, base + at, found)?;
            }
            Step::Repeat { at, count, element } => {
                for start in (0..*count).map(|index| at + index * element.size) {
                    memory(cx, element, &source[start..start + element.size], frame, base + start)?;
                }
            }
            Step::Variant { at, width, payload, cases, .. } => {
                let discriminant = narrow(source, *at, *width);
                put(frame, base + at, &source[*at..at + width]);
                if let Some(shape) = case(cases, discriminant)? {
                    let start = at + payload;
                    memory(cx, shape, &source[start..start + shape.size], frame, base + start)?;
                }
            }
            Step::Handle { at, handle: ty } => {
                let index = handle(cx, *ty, word(source, *at), frame)?;
                put(frame, base + at, &index.to_le_bytes());
            }
        }
    }
    Ok(())
}

/// Lifts the elements of a list, and says where in the frame they are and how many.
fn list(
    cx: &mut LiftContext<'_>,
    element: &Shape,
    frame: &mut Frame,
    pointer: u32,
    len: u32,
) -> Result<(usize, u32), Malformed> {
    let count = len as usize;
    let size = count.checked_mul(element.size).ok_or(Malformed::OutOfBounds)?;
    let source = block(cx.memory(), pointer, element.align, size)?;
    if element.is_plain() {
        return Ok((frame.append(element.align, source)?, len));
    }
    let at = frame.room(element.align, size)?;
    if element.size > 0 {
        for (index, value) in source.chunks_exact(element.size).enumerate() {
            memory(cx, element, value, frame, at + index * element.size)?;
        }
    }
    Ok((at, len))
}

/// Lifts a string, and says where in the frame it is and how many bytes of UTF-8 it has.
fn string(cx: &LiftContext<'_>, frame: &mut Frame, pointer: u32, len: u32) -> Result<(usize, u32), Malformed> {
    let memory = cx.memory();
    match cx.options().string_encoding {
        StringEncoding::Utf8 => {
            let bytes = block(memory, pointer, 1, len as usize)?;
            simdutf8::basic::from_utf8(bytes).map_err(|_| Malformed::Text)?;
            Ok((frame.append(1, bytes)?, len))
        }
        StringEncoding::Utf16 => utf16(block(memory, pointer, 2, twice(len)?)?, frame),
        StringEncoding::CompactUtf16 if len & UTF16_TAG != 0 => {
            utf16(block(memory, pointer, 2, twice(len ^ UTF16_TAG)?)?, frame)
        }
        StringEncoding::CompactUtf16 => {
            let bytes = block(memory, pointer, 2, len as usize)?;
            transcode(frame, bytes.iter().map(|byte| Ok(char::from(*byte))))
        }
    }
}

fn twice(units: u32) -> Result<usize, Malformed> {
    (units as usize).checked_mul(2).ok_or(Malformed::OutOfBounds)
}

fn utf16(bytes: &[u8], frame: &mut Frame) -> Result<(usize, u32), Malformed> {
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    transcode(frame, char::decode_utf16(units).map(|found| found.map_err(|_| Malformed::Text)))
}

fn transcode(
    frame: &mut Frame,
    chars: impl Iterator<Item = Result<char, Malformed>>,
) -> Result<(usize, u32), Malformed> {
    let at = frame.append(1, &[])?;
    for found in chars {
        frame.append(1, found?.encode_utf8(&mut [0; 4]).as_bytes())?;
    }
    let len = u32::try_from(frame.bytes.len() - at).map_err(|_| Malformed::OutOfBounds)?;
    Ok((at, len))
}

fn handle(cx: &mut LiftContext<'_>, handle: HandleType, index: u32, frame: &mut Frame) -> Result<u32, Malformed> {
    let lifted = match (handle.origin, handle.ty) {
        (Origin::Guest, ty) => {
            let owned = matches!(ty, InterfaceType::Own(_));
            ResourceAny::linear_lift_from_flat(cx, ty, &ValRaw::u32(index))
                .map(|resource| Handle::Guest { resource, owned })
        }
        (Origin::Writer(payload), InterfaceType::Stream(_)) => {
            StreamAny::linear_lift_from_flat(cx, handle.ty, &ValRaw::u32(index))
                .map(|stream| Handle::Reader(Reader::Stream(stream), payload))
        }
        (Origin::Writer(payload), InterfaceType::Future(_)) => {
            FutureAny::linear_lift_from_flat(cx, handle.ty, &ValRaw::u32(index))
                .map(|future| Handle::Reader(Reader::Future(future), payload))
        }
        (Origin::Proxy, InterfaceType::Own(table)) => {
            cx.guest_resource_lift_own(table, index).map(|(rep, ..)| Handle::Proxy { rep, owned: true })
        }
        (Origin::Proxy, InterfaceType::Borrow(table)) => {
            cx.guest_resource_lift_borrow(table, index).map(|rep| Handle::Proxy { rep, owned: false })
        }
        (Origin::Host(ty), InterfaceType::Own(table)) => {
            cx.guest_resource_lift_own(table, index).map(|(rep, ..)| Handle::Host { rep, owned: true, ty })
        }
        (Origin::Host(ty), InterfaceType::Borrow(table)) => {
            cx.guest_resource_lift_borrow(table, index).map(|rep| Handle::Host { rep, owned: false, ty })
        }
        _ => return Err(Malformed::Handle),
    };
    frame.push_handle(lifted.map_err(|_| Malformed::Handle)?)
}

/// The bytes of guest memory at a pointer that the guest gave.
fn block(memory: &[u8], pointer: u32, align: usize, size: usize) -> Result<&[u8], Malformed> {
    let start = pointer as usize;
    if !start.is_multiple_of(align) {
        return Err(Malformed::Unaligned);
    }
    let end = start.checked_add(size).ok_or(Malformed::OutOfBounds)?;
    memory.get(start..end).ok_or(Malformed::OutOfBounds)
}

fn case(cases: &[Option<Arc<Shape>>], discriminant: u32) -> Result<Option<&Shape>, Malformed> {
    cases.get(discriminant as usize).map(Option::as_deref).ok_or(Malformed::Discriminant)
}

fn scalar(code: u32) -> Result<u32, Malformed> {
    char::from_u32(code).map(u32::from).ok_or(Malformed::Char)
}

fn put(frame: &mut Frame, at: usize, bytes: &[u8]) {
    frame.bytes[at..at + bytes.len()].copy_from_slice(bytes);
}

fn put_range(frame: &mut Frame, at: usize, (start, len): (usize, u32)) -> Result<(), Malformed> {
    let start = u32::try_from(start).map_err(|_| Malformed::OutOfBounds)?;
    put(frame, at, &start.to_le_bytes());
    put(frame, at + 4, &len.to_le_bytes());
    Ok(())
}

/// Four little-endian bytes.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    narrow(bytes, at, 4)
}

/// One, two or four little-endian bytes.
pub(super) fn narrow(bytes: &[u8], at: usize, width: usize) -> u32 {
    let mut wide = [0; 4];
    wide[..width].copy_from_slice(&bytes[at..at + width]);
    u32::from_le_bytes(wide)
}
