//! What can be wrong with values that a guest passes: one short closed list, so that a failure names what the guest broke.

use super::frame::{FrameFull, MAX_FRAME_HANDLES};

/// A guest broke the Canonical ABI.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a pointer or length reaches outside the guest's memory")]
    OutOfBounds,
    #[error("a pointer is not aligned for its type")]
    Unaligned,
    #[error("a discriminant names no case of its variant")]
    Discriminant,
    #[error("a char is not a Unicode scalar value")]
    Char,
    #[error("a string is not valid in its encoding")]
    Text,
    #[error("a handle is unknown, of another type, or lent out")]
    Handle,
    #[error("more than {MAX_FRAME_HANDLES} handles would cross in one call")]
    Handles,
    #[error("the number of core values does not fit the type")]
    Arity,
    #[error("realloc failed: {0}")]
    Realloc(String),
    #[error(transparent)]
    FrameFull(#[from] FrameFull),
}
