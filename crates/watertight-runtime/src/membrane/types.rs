#![expect(clippy::wildcard_enum_match_arm, reason = "Wasmtime's types, which grow with the component model")]
//! The types of one function of an edge, as Wasmtime checked them in its caller: for what makes or shows values outside a call.

use std::{fmt, sync::Arc};

use wasmtime::component::{
    __internal::{ComponentTypes, InstanceType, InterfaceType},
    types::ComponentFunc,
};

use super::{plans, raw::Probe};

/// The parameters and the results of a function, each as a tuple.
#[derive(Clone)]
pub(crate) struct FunctionTypes {
    pub(super) types: Arc<ComponentTypes>,
    pub(super) parameters: InterfaceType,
    pub(super) results: InterfaceType,
}

impl FunctionTypes {
    /// Reads them off, and checks that values of these types can cross.
    pub(super) fn of(function: &ComponentFunc, instance: &InstanceType<'_>) -> wasmtime::Result<Self> {
        let (checked, seen) = plans::watch(|| function.typecheck::<Probe, Probe>(instance));
        checked?;
        let [parameters, results] =
            seen.try_into().map_err(|_| wasmtime::Error::msg("a function has parameters and results"))?;
        Ok(Self { types: Arc::clone(instance.types), parameters, results })
    }
}

impl fmt::Debug for FunctionTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionTypes").finish_non_exhaustive()
    }
}

/// The fields of a record or tuple: each with its name, if it has one, and its place.
pub(super) fn fields(types: &ComponentTypes, ty: InterfaceType) -> Option<Vec<Field<'_>>> {
    let parts: Vec<(Option<&str>, InterfaceType)> = match ty {
        InterfaceType::Record(record) => {
            types[record].fields.iter().map(|field| (Some(field.name.as_str()), field.ty)).collect()
        }
        InterfaceType::Tuple(tuple) => types[tuple].types.iter().map(|ty| (None, *ty)).collect(),
        _ => return None,
    };
    let mut end = 0;
    let placed = parts.into_iter().map(|(name, ty)| {
        let at = types.canonical_abi(&ty).next_field32(&mut end);
        Field { name, ty, at: at as usize }
    });
    Some(placed.collect())
}

/// A field of a record or tuple.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) ty: InterfaceType,
    /// From the start of the record.
    pub(super) at: usize,
}

/// How a variant, an enum, an option or a result is laid out.
pub(super) struct Cases {
    /// Bytes of the discriminant, which comes first.
    pub(super) width: usize,
    /// Where the payload is.
    pub(super) payload: usize,
}

impl Cases {
    pub(super) fn of(types: &ComponentTypes, ty: InterfaceType) -> Option<Self> {
        let info = match ty {
            InterfaceType::Variant(of) => &types[of].info,
            InterfaceType::Enum(of) => &types[of].info,
            InterfaceType::Option(of) => &types[of].info,
            InterfaceType::Result(of) => &types[of].info,
            _ => return None,
        };
        Some(Self { width: info.size.into(), payload: info.payload_offset32 as usize })
    }

    /// The name and the payload of a case.
    pub(super) fn case(types: &ComponentTypes, ty: InterfaceType, index: u32) -> Option<(&str, Option<InterfaceType>)> {
        let place = index as usize;
        match ty {
            InterfaceType::Variant(of) => {
                types[of].cases.get_index(place).map(|(name, payload)| (name.as_str(), *payload))
            }
            InterfaceType::Enum(of) => types[of].names.iter().nth(place).map(|name| (name.as_str(), None)),
            InterfaceType::Option(of) => [("none", None), ("some", Some(types[of].ty))].get(place).copied(),
            InterfaceType::Result(of) => [("ok", types[of].ok), ("err", types[of].err)].get(place).copied(),
            _ => None,
        }
    }
}

/// The bytes that flags take, and how many words of how many bytes those are (Canonical ABI).
pub(super) fn flag_words(count: usize) -> (usize, usize) {
    match count {
        0 => (0, 1),
        1..=8 => (1, 1),
        9..=16 => (1, 2),
        _ => (count.div_ceil(32), 4),
    }
}
