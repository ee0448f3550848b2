#![expect(unsafe_code, reason = "implements Wasmtime's traits for lifting and lowering, which are unsafe to implement")]
//! The raw type: what Wasmtime's host functions and typed calls see of a frame. All `unsafe` of the membrane is here.
//!
//! It relies on these facts about Wasmtime 48.0.8, which is why the workspace pins that release:
//!
//! - `ComponentType::Lower` of a parameter or result list may be any `[ValRaw; N]`. For a call into a guest, Wasmtime hands out
//!   exactly this storage (`Func::call_raw`, `concurrent::prepare_call`) and passes it to the core function, which reads or writes as
//!   many values as its own type has; so `N` must not be less than that. For a call out of a guest, `slice_to_storage` asserts that `N` is not more than the function has.
//! - A list with `flat_count <= 16` is lowered by `linear_lower_to_flat` alone; Wasmtime neither allocates nor checks in between.
//!   So a list of more than 16 parameters can place itself in memory and pass its own pointer in slot 0.
//! - A result list with `flat_count <= 1` is lifted by `linear_lift_from_flat` from slot 0, which holds the one flat result, or the
//!   pointer to the results in memory where the type has more than one.
//! - For a call out of a guest whose parameters go through memory, Wasmtime checks alignment and bounds of the whole tuple with the real
//!   type and passes a slice that starts at it; where results go through memory it checks the return area the same way.
//! - `ComponentType::typecheck` runs for every function that is linked or typed, before it can be called.
//!
//! The oracle for all of this is Wasmtime itself: `crates/watertight-runtime/tests/cells/oracle.rs` compares with `Val` for random types and values.

use std::{mem::MaybeUninit, sync::Arc};

use wasmtime::{
    ValRaw,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext},
        ComponentNamedList, ComponentType, Lift, Lower,
    },
};

use super::{
    frame::Frame,
    lift,
    lower::{self, FlatOut},
    malformed::Malformed,
    plan::{MAX_FLAT_PARAMS, Plan},
    plans,
    pump::Chunk,
};
use crate::{account::Account, failure::Interrupted};

/// The parameters or results of a function, in `N` core values.
#[derive(Debug)]
pub(super) struct Values<const N: usize>(pub(super) Frame);

/// Parameters of a call into a guest. One type serves every arity, since the core function reads what it needs; but most
/// functions have few, and every value is written.
pub(super) type Params = Values<MAX_FLAT_PARAMS>;
pub(super) type FewParams = Values<FEW>;
pub(super) const FEW: usize = 4;

/// Parameters and results that are only looked at: whether their types can cross at all.
pub(super) type Probe = Values<{ MAX_FLAT_PARAMS + 1 }>;

// SAFETY: `Lower` is an array of `ValRaw`, and `typecheck` accepts a type only after compiling the plan by which the
// lifting and lowering below follow it.
unsafe impl<const N: usize> ComponentType for Values<N> {
    type Lower = [ValRaw; N];

    #[expect(clippy::cast_possible_truncation, reason = "at most 16")]
    const ABI: CanonicalAbiInfo =
        CanonicalAbiInfo { size32: 0, align32: 1, size64: 0, align64: 1, flat_count: Some(N as u8) };

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        if N > MAX_FLAT_PARAMS {
            Plan::compile(*ty, types)?;
            plans::note(*ty);
            return Ok(());
        }
        Ok(plans::file(*ty, types)?)
    }
}

// SAFETY: it stands for a list of parameters or results, whose type `typecheck` gets as a tuple.
unsafe impl<const N: usize> ComponentNamedList for Values<N> {}

// SAFETY: both functions read guest memory through checked slices only, and give a frame of the type's own plan.
unsafe impl<const N: usize> Lift for Values<N> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        values: &Self::Lower,
    ) -> wasmtime::Result<Self> {
        let plan = plans::find(cx.types, ty)?;
        let frame = match values.first() {
            Some(pointer) if plan.shape.flat_count > N => lift::from_memory(cx, &plan.shape, pointer.get_u32()),
            _ => lift::from_flat(cx, &plan.shape, values),
        };
        Ok(Self(frame?))
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> wasmtime::Result<Self> {
        let plan = plans::find(cx.types, ty)?;
        let pointer = bytes.as_ptr().addr() - cx.memory().as_ptr().addr();
        let pointer = u32::try_from(pointer).map_err(|_| Malformed::OutOfBounds)?;
        Ok(Self(lift::from_memory(cx, &plan.shape, pointer)?))
    }
}

// SAFETY: `linear_lower_to_flat` initialises all of `out`; memory is written through checked slices only.
unsafe impl<const N: usize> Lower for Values<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        out: &mut MaybeUninit<Self::Lower>,
    ) -> wasmtime::Result<()> {
        let plan = plans::find(cx.types, ty)?;
        let mut values = [ValRaw::u64(0); N];
        let mut flat = FlatOut::new(&mut values);
        if plan.shape.flat_count <= N {
            lower::to_flat(cx, &plan.shape, &self.0, &mut flat)?;
        } else if plan.shape.flat_count <= MAX_FLAT_PARAMS {
            // They pass flat, and there is no room for them: the core function would read past the end.
            return Err(Malformed::Arity.into());
        } else {
            let pointer = lower::to_fresh_memory(cx, &plan.shape, &self.0)?;
            flat.push(pointer.into())?;
        }
        out.write(values);
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        pointer: usize,
    ) -> wasmtime::Result<()> {
        let plan = plans::find(cx.types, ty)?;
        lower::to_memory(cx, &plan.shape, &self.0, pointer)
    }
}

/// Lowers a handle that is one core value, the receiving component's index for it, and gives that index.
pub(super) fn lower_index<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    handle: &impl Lower<Lower = ValRaw>,
    ty: InterfaceType,
) -> wasmtime::Result<u32> {
    let mut index = MaybeUninit::uninit();
    handle.linear_lower_to_flat(cx, ty, &mut index)?;
    // SAFETY: the handle lowers to one core value, which a successful lowering has written.
    let index: ValRaw = unsafe { index.assume_init() };
    Ok(index.get_u32())
}

/// An element of a stream or the value of a future, of `SIZE` bytes in memory.
#[derive(Debug)]
pub(super) struct Element<const SIZE: usize, const ALIGN: u32>(pub(super) Frame);

/// What a pump moves.
pub(super) trait Item: Lift + Lower + Send + Sync + Unpin + 'static {
    /// How many pass in one chunk at most.
    const MOST: usize;
    /// How many are lifted at once at most.
    const BATCH: usize;
    /// How much this one takes on its way.
    fn bytes(&self) -> usize;
    /// Counts it as memory of the cell it comes from, where it is large.
    fn charge(&mut self, account: &Arc<Account>) -> Result<(), Interrupted>;
    fn chunk(items: Vec<Self>) -> Chunk;
    fn items(chunk: Chunk) -> Vec<Self>;
}

// SAFETY: it never passes as core values, and `typecheck` accepts a type only if it takes exactly `SIZE` bytes.
unsafe impl<const SIZE: usize, const ALIGN: u32> ComponentType for Element<SIZE, ALIGN> {
    type Lower = [ValRaw; 0];

    #[expect(clippy::cast_possible_truncation, reason = "the sizes that pumps carry are small")]
    const ABI: CanonicalAbiInfo =
        CanonicalAbiInfo { size32: SIZE as u32, align32: ALIGN, size64: SIZE as u32, align64: ALIGN, flat_count: None };

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        let abi = types.types.canonical_abi(ty);
        if (abi.size32, abi.align32) != (Self::ABI.size32, ALIGN) {
            return Err(wasmtime::Error::msg("the payload has another size"));
        }
        Ok(plans::file(*ty, types)?)
    }
}

// SAFETY: as for `Values`.
unsafe impl<const SIZE: usize, const ALIGN: u32> Lift for Element<SIZE, ALIGN> {
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, _: &[ValRaw; 0]) -> wasmtime::Result<Self> {
        Err(Malformed::Arity.into())
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> wasmtime::Result<Self> {
        Ok(Self(Values::<0>::linear_lift_from_memory(cx, ty, bytes)?.0))
    }
}

// SAFETY: as for `Values`.
unsafe impl<const SIZE: usize, const ALIGN: u32> Lower for Element<SIZE, ALIGN> {
    fn linear_lower_to_flat<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: &mut MaybeUninit<[ValRaw; 0]>,
    ) -> wasmtime::Result<()> {
        Err(Malformed::Arity.into())
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        pointer: usize,
    ) -> wasmtime::Result<()> {
        let plan = plans::find(cx.types, ty)?;
        lower::to_memory(cx, &plan.shape, &self.0, pointer)
    }
}
