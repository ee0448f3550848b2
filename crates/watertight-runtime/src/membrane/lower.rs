//! Lowering: from a frame into a guest's memory and core values, with room from the guest's own `realloc`.
//!
//! The guest's `realloc` is hostile: Wasmtime checks that what it returns is aligned and within memory, and memory may have moved
//! after each call, so nothing is kept across one. The frame is read with checked slices throughout, because a frame may come
//! from another process.

use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::{
    ValRaw,
    component::__internal::{InterfaceType, LowerContext},
};

use crate::{failure::Interrupted, inject::Injected};

use super::{
    frame::{self, Frame},
    handles::Handle,
    lift::{UTF16_TAG, narrow, word},
    malformed::Malformed,
    plan::{HandleType, Shape, Step},
    pump::Reader,
};

/// Lowers a tuple as core values. `out` takes as many as the shape flattens to.
pub(super) fn to_flat<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    shape: &Shape,
    frame: &Frame,
    out: &mut FlatOut<'_>,
) -> wasmtime::Result<()> {
    flat(cx, shape, frame, 0, out)
}

/// Lowers a tuple into fresh memory and says where it is.
pub(super) fn to_fresh_memory<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    shape: &Shape,
    frame: &Frame,
) -> wasmtime::Result<u32> {
    let pointer = allocate(cx, shape.align, shape.size)?;
    memory(cx, shape, frame, (0, shape.size), pointer)?;
    Ok(pointer_u32(pointer)?)
}

/// Lowers a tuple to where the guest asked for it; Wasmtime has checked that it fits there.
pub(super) fn to_memory<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    shape: &Shape,
    frame: &Frame,
    pointer: usize,
) -> wasmtime::Result<()> {
    memory(cx, shape, frame, (0, shape.size), pointer)
}

/// Core values on their way to a guest.
pub(super) struct FlatOut<'a> {
    slots: &'a mut [ValRaw],
    next: usize,
}

impl<'a> FlatOut<'a> {
    pub(super) fn new(slots: &'a mut [ValRaw]) -> Self {
        Self { slots, next: 0 }
    }

    /// A value narrower than its slot is extended with zeros, which also is how a variant's joined slots want it.
    pub(super) fn push(&mut self, value: u64) -> Result<(), Malformed> {
        *self.slots.get_mut(self.next).ok_or(Malformed::Arity)? = ValRaw::u64(value);
        self.next += 1;
        Ok(())
    }
}

fn flat<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    shape: &Shape,
    frame: &Frame,
    base: usize,
    out: &mut FlatOut<'_>,
) -> wasmtime::Result<()> {
    for step in &shape.flat {
        match step {
            Step::Copy { at, len } => {
                let mut wide = [0; 8];
                wide[..*len].copy_from_slice(get(frame, base + at, *len)?);
                out.push(u64::from_le_bytes(wide))?;
            }
            Step::Signed { at, len } => {
                let unused = 32 - 8 * u32::try_from(*len)?;
                let bits = get_narrow(frame, base + at, *len)? << unused;
                out.push(((bits.cast_signed() >> unused).cast_unsigned()).into())?;
            }
            Step::Bool { at } => out.push(get_narrow(frame, base + at, 1)?.into())?,
            Step::Char { at } => out.push(get_narrow(frame, base + at, 4)?.into())?,
            Step::Flags { at, width, .. } => out.push(get_narrow(frame, base + at, *width)?.into())?,
            Step::String { at } => {
                let (pointer, len) = string(cx, frame, base + at)?;
                out.push(pointer.into())?;
                out.push(len.into())?;
            }
            Step::List { at, element } => {
                let (pointer, len) = list(cx, element, frame, base + at)?;
                out.push(pointer.into())?;
                out.push(len.into())?;
            }
            Step::Variant { at, width, payload, flat_count, cases } => {
                let discriminant = get_narrow(frame, base + at, *width)?;
                out.push(discriminant.into())?;
                let end = out.next - 1 + flat_count;
                if let Some(shape) = cases.get(discriminant as usize).ok_or(Malformed::Discriminant)? {
                    flat(cx, shape, frame, base + at + payload, out)?;
                }
                while out.next < end {
                    out.push(0)?;
                }
            }
            Step::Handle { at, handle: ty } => {
                let index = handle(cx, *ty, frame, base + at)?;
                out.push(index.into())?;
            }
            Step::Repeat { .. } => return Err(Malformed::Arity.into()),
        }
    }
    Ok(())
}

/// Writes the values at `start..start + size` of the frame, one or many of this shape, to guest memory at `pointer`, which was
/// checked to have room for them. What they point to is lowered first, one value after the other; then they go over in one copy, with
/// pointers where the frame has offsets.
fn memory<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    shape: &Shape,
    frame: &Frame,
    (start, size): (usize, usize),
    pointer: usize,
) -> wasmtime::Result<()> {
    let values = get(frame, start, size)?;
    if shape.is_plain() {
        return Ok(put(cx, pointer, values)?);
    }
    let mut image = frame::spare();
    image.extend_from_slice(values);
    let mut at = 0;
    while at < size {
        pointers(cx, shape, frame, start + at, &mut image, at)?;
        at += shape.size.max(1);
    }
    put(cx, pointer, &image)?;
    frame::keep(image);
    Ok(())
}

/// Lowers what the value at `base` of the frame points to, and sets the pointers in its image at `to`.
fn pointers<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    shape: &Shape,
    frame: &Frame,
    base: usize,
    image: &mut [u8],
    to: usize,
) -> wasmtime::Result<()> {
    for step in &shape.memory {
        match step {
            Step::Copy { .. } | Step::Signed { .. } | Step::Bool { .. } | Step::Char { .. } | Step::Flags { .. } => {}
            Step::String { at } => {
                let range = string(cx, frame, base + at)?;
                set_range(image, to + at, range)?;
            }
            Step::List { at, element } => {
                let range = list(cx, element, frame, base + at)?;
                set_range(image, to + at, range)?;
            }
            Step::Repeat { at, count, element } => {
                for start in (0..*count).map(|index| at + index * element.size) {
                    pointers(cx, element, frame, base + start, image, to + start)?;
                }
            }
            Step::Variant { at, width, payload, cases, .. } => {
                let discriminant = get_narrow(frame, base + at, *width)?;
                if let Some(shape) = cases.get(discriminant as usize).ok_or(Malformed::Discriminant)? {
                    pointers(cx, shape, frame, base + at + payload, image, to + at + payload)?;
                }
            }
            Step::Handle { at, handle: ty } => {
                let index = handle(cx, *ty, frame, base + at)?;
                set(image, to + at, &index.to_le_bytes())?;
            }
        }
    }
    Ok(())
}

/// Lowers the list whose range stands at `at` of the frame.
fn list<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    element: &Shape,
    frame: &Frame,
    at: usize,
) -> wasmtime::Result<(u32, u32)> {
    let (start, len) = range(frame, at)?;
    let size = (len as usize).checked_mul(element.size).ok_or(Malformed::OutOfBounds)?;
    let pointer = allocate(cx, element.align, size)?;
    memory(cx, element, frame, (start, size), pointer)?;
    Ok((pointer_u32(pointer)?, len))
}

/// Lowers the string whose range stands at `at` of the frame, in the guest's encoding.
fn string<T: 'static>(cx: &mut LowerContext<'_, T>, frame: &Frame, at: usize) -> wasmtime::Result<(u32, u32)> {
    let (start, len) = range(frame, at)?;
    let bytes = get(frame, start, len as usize)?;
    let encoding = cx.options().string_encoding;
    if matches!(encoding, StringEncoding::Utf8) {
        let pointer = allocate(cx, 1, bytes.len())?;
        put(cx, pointer, bytes)?;
        return Ok((pointer_u32(pointer)?, len));
    }
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Malformed::Text)?;
    let is_latin1 = || text.chars().all(|found| u32::from(found) <= 0xff);
    if matches!(encoding, StringEncoding::CompactUtf16) && is_latin1() {
        let latin1: Vec<u8> = text.chars().filter_map(|found| u8::try_from(u32::from(found)).ok()).collect();
        let pointer = allocate(cx, 2, latin1.len())?;
        put(cx, pointer, &latin1)?;
        return Ok((pointer_u32(pointer)?, u32::try_from(latin1.len())?));
    }
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let pointer = allocate(cx, 2, units.len())?;
    put(cx, pointer, &units)?;
    let tag = if matches!(encoding, StringEncoding::CompactUtf16) { UTF16_TAG } else { 0 };
    Ok((pointer_u32(pointer)?, u32::try_from(units.len() / 2)? | tag))
}

/// Lowers the handle whose index stands at `at` of the frame, and gives the guest's index for it.
fn handle<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    handle: HandleType,
    frame: &Frame,
    at: usize,
) -> wasmtime::Result<u32> {
    let index = get_narrow(frame, at, 4)?;
    match (frame.handles.get(index as usize).ok_or(Malformed::Handle)?, handle.ty) {
        (Handle::Guest { resource, .. }, ty) => super::raw::lower_index(cx, resource, ty),
        (Handle::Reader(Reader::Stream(stream), _), ty @ InterfaceType::Stream(_)) => {
            super::raw::lower_index(cx, stream, ty)
        }
        (Handle::Reader(Reader::Future(future), _), ty @ InterfaceType::Future(_)) => {
            super::raw::lower_index(cx, future, ty)
        }
        (Handle::Proxy { rep, .. } | Handle::Host { rep, .. }, InterfaceType::Own(table)) => {
            cx.guest_resource_lower_own(table, *rep)
        }
        (Handle::Proxy { rep, .. } | Handle::Host { rep, .. }, InterfaceType::Borrow(table)) => {
            cx.guest_resource_lower_borrow(table, *rep)
        }
        _ => Err(Malformed::Handle.into()),
    }
}

/// Asks the guest's `realloc` for room. A trap in it stays a trap; a bad answer is the guest's malformed value.
fn allocate<T: 'static>(cx: &mut LowerContext<'_, T>, align: usize, size: usize) -> wasmtime::Result<usize> {
    match cx.realloc(0, 0, u32::try_from(align)?, size) {
        Ok(pointer) => Ok(pointer),
        Err(error) if error.is::<wasmtime::Trap>() || error.is::<Interrupted>() || error.is::<Injected>() => Err(error),
        Err(error) => Err(Malformed::Realloc(error.to_string()).into()),
    }
}

fn range(frame: &Frame, at: usize) -> Result<(usize, u32), Malformed> {
    let pair = get(frame, at, 8)?;
    Ok((word(pair, 0) as usize, word(pair, 4)))
}

fn get(frame: &Frame, at: usize, len: usize) -> Result<&[u8], Malformed> {
    let end = at.checked_add(len).ok_or(Malformed::OutOfBounds)?;
    frame.bytes.get(at..end).ok_or(Malformed::OutOfBounds)
}

fn get_narrow(frame: &Frame, at: usize, width: usize) -> Result<u32, Malformed> {
    Ok(narrow(get(frame, at, width)?, 0, width))
}

fn put<T: 'static>(cx: &mut LowerContext<'_, T>, pointer: usize, bytes: &[u8]) -> Result<(), Malformed> {
    let room = cx.as_slice_mut().get_mut(pointer..).and_then(|rest| rest.get_mut(..bytes.len()));
    room.ok_or(Malformed::OutOfBounds)?.copy_from_slice(bytes);
    Ok(())
}

fn set(image: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), Malformed> {
    let room = image.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len()));
    room.ok_or(Malformed::OutOfBounds)?.copy_from_slice(bytes);
    Ok(())
}

fn set_range(image: &mut [u8], at: usize, (pointer, len): (u32, u32)) -> Result<(), Malformed> {
    set(image, at, &pointer.to_le_bytes())?;
    set(image, at + 4, &len.to_le_bytes())
}

fn pointer_u32(pointer: usize) -> Result<u32, Malformed> {
    u32::try_from(pointer).map_err(|_| Malformed::OutOfBounds)
}
