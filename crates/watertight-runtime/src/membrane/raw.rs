#![expect(unsafe_code, reason = "implements Wasmtime's traits for lifting and lowering, which are unsafe to implement")]
//! The raw type: what Wasmtime's host functions and typed calls see of a frame. All `unsafe` of the membrane is here.
//!
//! It relies on these facts about Wasmtime 48.0.8, which is why the workspace pins that release:
//!
//! - `ComponentType::Lower` of a parameter or result list may be any `[ValRaw; N]`. For a call into a guest, Wasmtime hands out
//!   exactly this storage (`Func::call_raw`, `concurrent::prepare_call`) and passes it to the core function, which reads or writes as
//!   many values as its own type has. For a call out of a guest, `slice_to_storage` asserts that `N` is not more than the function has.
//! - A list with `flat_count <= 16` is lowered by `linear_lower_to_flat` alone; Wasmtime neither allocates nor checks in between.
//!   So a list of more than 16 parameters can place itself in memory and pass its own pointer in slot 0.
//! - A result list with `flat_count <= 1` is lifted by `linear_lift_from_flat` from slot 0, which holds the one flat result, or the
//!   pointer to the results in memory where the type has more than one.
//! - For a call out of a guest whose parameters go through memory, Wasmtime checks alignment and bounds of the whole tuple with the real
//!   type and passes a slice that starts at it; where results go through memory it checks the return area the same way.
//! - `ComponentType::typecheck` runs for every function that is linked or typed, before it can be called.
//!
//! The oracle for all of this is Wasmtime itself: `tests/membrane_oracle.rs` compares with `Val` for random types and values.

use std::mem::MaybeUninit;

use wasmtime::{
    ValRaw,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext},
        ComponentNamedList, ComponentType, Lift, Lower, ResourceAny,
    },
};

use super::{
    frame::Frame,
    lift,
    lower::{self, FlatOut},
    malformed::Malformed,
    plan::{MAX_FLAT_PARAMS, Plan},
    plans,
};

/// The parameters or results of a function, in `N` core values.
#[derive(Debug)]
pub(super) struct Values<const N: usize>(pub(super) Content);

/// Parameters of a call into a guest. One type serves every arity: the core function reads what it needs.
pub(super) type Params = Values<MAX_FLAT_PARAMS>;

/// What crosses.
#[derive(Debug)]
pub(super) enum Content {
    /// Lifted values.
    Frame(Frame),
    /// The error of the function's result type, with a text where it takes one.
    Error(String),
}

// SAFETY: `Lower` is an array of `ValRaw`, and `typecheck` accepts a type only after compiling the plan by which the
// lifting and lowering below follow it.
unsafe impl<const N: usize> ComponentType for Values<N> {
    type Lower = [ValRaw; N];

    #[expect(clippy::cast_possible_truncation, reason = "at most 16")]
    const ABI: CanonicalAbiInfo =
        CanonicalAbiInfo { size32: 0, align32: 1, size64: 0, align64: 1, flat_count: Some(N as u8) };

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
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
        Ok(Self(Content::Frame(frame?)))
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> wasmtime::Result<Self> {
        let plan = plans::find(cx.types, ty)?;
        let pointer = bytes.as_ptr().addr() - cx.memory().as_ptr().addr();
        let pointer = u32::try_from(pointer).map_err(|_| Malformed::OutOfBounds)?;
        Ok(Self(Content::Frame(lift::from_memory(cx, &plan.shape, pointer)?)))
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
        self.0.with_frame(&plan, |frame| {
            if plan.shape.flat_count <= N {
                return lower::to_flat(cx, &plan.shape, frame, &mut FlatOut::new(&mut values));
            }
            let pointer = lower::to_fresh_memory(cx, &plan.shape, frame)?;
            Ok(FlatOut::new(&mut values).push(pointer.into())?)
        })?;
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
        self.0.with_frame(&plan, |frame| lower::to_memory(cx, &plan.shape, frame, pointer))
    }
}

impl Content {
    fn with_frame<R>(&self, plan: &Plan, run: impl FnOnce(&Frame) -> wasmtime::Result<R>) -> wasmtime::Result<R> {
        match self {
            Self::Frame(frame) => run(frame),
            Self::Error(text) => run(&Frame::error(&plan.shape, text)?),
        }
    }
}

/// Lowers a handle to a resource that the receiving component made itself, and gives the component's index for it.
pub(super) fn lower_resource<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    resource: ResourceAny,
    ty: InterfaceType,
) -> wasmtime::Result<u32> {
    let mut index = MaybeUninit::uninit();
    resource.linear_lower_to_flat(cx, ty, &mut index)?;
    // SAFETY: `ResourceAny` lowers to one core value, which a successful lowering has written.
    let index: ValRaw = unsafe { index.assume_init() };
    Ok(index.get_u32())
}
