//! A frame: the arguments or results of one call on their way between two cells.
//!
//! It is the canonical layout of a tuple with offsets into the frame where the layout has pointers, strings in UTF-8,
//! and indices into a list of handles where it has handles. The same bytes serve every wall.

use std::{cell::RefCell, sync::Arc};

use watertight_model::failure::FailureKind;

use super::{handles::Handle, malformed::Malformed, plan::Shape};
use crate::{
    account::{Account, Charge},
    failure::Interrupted,
};

/// The most bytes one frame may hold. A guest can name the same megabyte a thousand times in one list of strings.
pub(crate) const MAX_FRAME_BYTES: usize = 128 << 20;

/// Times the guest's memory that a frame from it may hold: what is named once takes at most twice as much, Latin-1 becoming UTF-8. So
/// what is on its way is bounded by the budgets of the cells it comes from.
const MAX_TIMES_MEMORY: usize = 2;

/// What a frame may hold however small the guest's memory is.
const SMALL_FRAME: usize = 1 << 20;

/// The most handles in one frame. A guest can name the same borrowed one over and over, too.
pub(crate) const MAX_FRAME_HANDLES: usize = 1 << 16;

/// What a frame may hold without counting as its cell's memory: most calls are smaller, and are spared the counting. There are no more
/// of them at once than calls in flight.
const UNCOUNTED: usize = 4 << 10;

/// Buffers that a thread keeps for its next frames, and how large one may be to be kept.
const SPARE_BUFFERS: usize = 8;
const SPARE_BYTES: usize = 4 << 20;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Arguments or results between two cells.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) handles: Vec<Handle>,
    most: usize,
    /// Held for as long as the frame is on its way.
    charge: Option<Charge>,
}

/// The frame would be larger than it may be.
#[derive(Debug, thiserror::Error)]
#[error("more than {} MiB would cross in one call", .0 >> 20)]
pub(crate) struct FrameFull(usize);

impl Frame {
    /// A frame with room for a tuple of this shape, zeroed.
    #[cfg(test)]
    pub(crate) fn new(root: &Shape) -> Self {
        Self::zeroed(root.size)
    }

    /// A frame of so many zeros.
    pub(super) fn zeroed(size: usize) -> Self {
        let mut bytes = spare();
        bytes.resize(size, 0);
        Self { bytes, handles: Vec::new(), most: MAX_FRAME_BYTES, charge: None }
    }

    /// A frame of these bytes, which name no handles.
    pub(crate) fn copied(from: &[u8]) -> Self {
        let mut bytes = spare();
        bytes.extend_from_slice(from);
        Self { bytes, handles: Vec::new(), most: MAX_FRAME_BYTES, charge: None }
    }

    /// A frame for what comes from a guest that has so much memory.
    pub(super) fn lifted(root: &Shape, memory: usize) -> Self {
        Self::of_guest(root.size, memory)
    }

    /// The same, of a tuple that takes so many bytes.
    pub(super) fn of_guest(size: usize, memory: usize) -> Self {
        let mut frame = Self::zeroed(size);
        frame.most = memory.saturating_mul(MAX_TIMES_MEMORY).saturating_add(SMALL_FRAME).min(MAX_FRAME_BYTES);
        frame
    }

    /// The same again; none where it holds handles, of which there is one each, or where there is no memory for it.
    pub(crate) fn again(&self) -> Option<Self> {
        if !self.handles.is_empty() {
            return None;
        }
        let charge = match &self.charge {
            Some(charge) => Some(charge.again()?),
            None => None,
        };
        let mut same = Self::copied(&self.bytes);
        same.charge = charge;
        Some(same)
    }

    /// Whether it is large enough to count as memory.
    pub(crate) fn counts(&self) -> bool {
        self.held() > UNCOUNTED
    }

    /// Counts it as memory of the cell that it was lifted from, for as long as it is on its way.
    pub(crate) fn charge(&mut self, account: &Arc<Account>) -> Result<(), Interrupted> {
        if self.counts() {
            let charge = account.charge(self.held());
            self.charge = Some(charge.ok_or(Interrupted { kind: FailureKind::Memory })?);
        }
        Ok(())
    }

    fn held(&self) -> usize {
        self.bytes.len() + self.handles.len() * size_of::<Handle>()
    }

    /// A frame that came from another process, and was looked at.
    pub(super) fn received(bytes: Vec<u8>) -> Self {
        Self { bytes, handles: Vec::new(), most: MAX_FRAME_BYTES, charge: None }
    }

    /// Its bytes, for another process. What is left of it still counts as memory of the cell that it was lifted from.
    pub(crate) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// How many bytes it holds.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Makes zeroed room at the end, aligned as in guest memory, and says where it is.
    pub(crate) fn room(&mut self, align: usize, size: usize) -> Result<usize, FrameFull> {
        let at = self.start(align, size)?;
        self.bytes.resize(at + size, 0);
        Ok(at)
    }

    /// Appends bytes, aligned as in guest memory, and says where they are.
    pub(crate) fn append(&mut self, align: usize, bytes: &[u8]) -> Result<usize, FrameFull> {
        let at = self.start(align, bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(at)
    }

    fn start(&mut self, align: usize, size: usize) -> Result<usize, FrameFull> {
        let at = self.bytes.len().next_multiple_of(align);
        if at.checked_add(size).is_none_or(|end| end > self.most) {
            return Err(FrameFull(self.most));
        }
        self.bytes.resize(at, 0);
        Ok(at)
    }

    /// Adds a handle and says its index.
    pub(super) fn push_handle(&mut self, handle: Handle) -> Result<u32, Malformed> {
        let index = u32::try_from(self.handles.len()).map_err(|_| Malformed::Handles)?;
        if self.handles.len() >= MAX_FRAME_HANDLES {
            return Err(Malformed::Handles);
        }
        self.handles.push(handle);
        Ok(index)
    }
}

/// An empty buffer, one that was used before if there is one.
pub(super) fn spare() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a buffer for the next frame of this thread.
pub(super) fn keep(mut bytes: Vec<u8>) {
    if (1..=SPARE_BYTES).contains(&bytes.capacity()) {
        bytes.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_BUFFERS {
                spare.push(bytes);
            }
        });
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        keep(std::mem::take(&mut self.bytes));
    }
}
