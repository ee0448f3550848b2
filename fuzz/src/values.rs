//! Types and values from the fuzzer's bytes. When the bytes run out, what is left is the smallest.

use arbitrary::{Result, Unstructured};
use wasmtime::component::Val;
use wit_component::StringEncoding;

use crate::any_type::Ty;

/// Types in types, at most.
const DEPTH: u32 = 4;
/// Elements of a list or map, at most.
const ELEMENTS: usize = 4;
/// Scalars in one value, at most: fixed-length lists of fixed-length lists would take minutes.
const SCALARS: usize = 2000;

const PLAIN: [&str; 13] =
    ["bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string"];
const KEYS: [&str; 6] = ["u8", "s32", "char", "string", "bool", "u64"];

pub(crate) fn any_type(u: &mut Unstructured<'_>) -> Result<Ty> {
    let ty = type_within(u, DEPTH)?;
    if scalars(&ty) > SCALARS { Err(arbitrary::Error::IncorrectFormat) } else { Ok(ty) }
}

fn type_within(u: &mut Unstructured<'_>, depth: u32) -> Result<Ty> {
    let kinds = if depth == 0 { 3 } else { 11 };
    let mut inner = |u: &mut Unstructured<'_>| type_within(u, depth - 1);
    Ok(match u.int_in_range(1..=kinds)? {
        1 => Ty::Plain(u.choose(&PLAIN)?),
        2 => Ty::Enum(u.int_in_range(1..=300)?),
        3 => Ty::Flags(u.int_in_range(1..=32)?),
        4 => Ty::List(Box::new(inner(u)?)),
        5 => Ty::Fixed(Box::new(inner(u)?), u.int_in_range(1..=20)?),
        6 => Ty::Map(Box::new(Ty::Plain(u.choose(&KEYS)?)), Box::new(inner(u)?)),
        7 => Ty::Tuple(several(u, inner)?),
        8 => Ty::Record(several(u, inner)?),
        9 => Ty::Variant(several(u, |u| maybe(u, &mut inner))?),
        10 => Ty::Option(Box::new(inner(u)?)),
        _ => Ty::Result(maybe(u, &mut inner)?.map(Box::new), maybe(u, &mut inner)?.map(Box::new)),
    })
}

fn maybe<'u, T>(u: &mut Unstructured<'u>, one: impl FnOnce(&mut Unstructured<'u>) -> Result<T>) -> Result<Option<T>> {
    if u.arbitrary()? { Ok(Some(one(u)?)) } else { Ok(None) }
}

fn several<'u, T>(u: &mut Unstructured<'u>, mut one: impl FnMut(&mut Unstructured<'u>) -> Result<T>) -> Result<Vec<T>> {
    let count = u.int_in_range(1..=5)?;
    (0..count).map(|_| one(u)).collect()
}

/// How many scalars a value has, lists being as long as they get.
fn scalars(ty: &Ty) -> usize {
    let all = |types: &[Ty]| types.iter().map(scalars).sum();
    match ty {
        Ty::Plain(_) | Ty::Enum(_) | Ty::Flags(_) => 1,
        Ty::List(of) => ELEMENTS * scalars(of),
        Ty::Fixed(of, len) => *len as usize * scalars(of),
        Ty::Map(key, value) => ELEMENTS * (scalars(key) + scalars(value)),
        Ty::Tuple(of) | Ty::Record(of) => all(of),
        Ty::Variant(cases) => cases.iter().flatten().map(scalars).max().unwrap_or(1),
        Ty::Option(of) => scalars(of),
        Ty::Result(ok, err) => [ok, err].into_iter().flatten().map(|ty| scalars(ty)).max().unwrap_or(1),
    }
}

/// A value of a type, as Wasmtime's dynamic calls take it.
pub(crate) fn any_value(u: &mut Unstructured<'_>, ty: &Ty) -> Result<Val> {
    Ok(match ty {
        Ty::Plain("bool") => Val::Bool(u.arbitrary()?),
        Ty::Plain("s8") => Val::S8(u.arbitrary()?),
        Ty::Plain("u8") => Val::U8(u.arbitrary()?),
        Ty::Plain("s16") => Val::S16(u.arbitrary()?),
        Ty::Plain("u16") => Val::U16(u.arbitrary()?),
        Ty::Plain("s32") => Val::S32(u.arbitrary()?),
        Ty::Plain("u32") => Val::U32(u.arbitrary()?),
        Ty::Plain("s64") => Val::S64(u.arbitrary()?),
        Ty::Plain("u64") => Val::U64(u.arbitrary()?),
        Ty::Plain("f32") => Val::Float32(u.arbitrary()?),
        Ty::Plain("f64") => Val::Float64(u.arbitrary()?),
        Ty::Plain("char") => Val::Char(u.arbitrary()?),
        Ty::Plain(_) => Val::String(u.arbitrary()?),
        Ty::List(of) => Val::List(list(u, |u| any_value(u, of))?),
        Ty::Fixed(of, len) => Val::FixedLengthList((0..*len).map(|_| any_value(u, of)).collect::<Result<_>>()?),
        Ty::Map(key, value) => Val::Map(list(u, |u| Ok((any_value(u, key)?, any_value(u, value)?)))?),
        Ty::Tuple(of) => Val::Tuple(of.iter().map(|ty| any_value(u, ty)).collect::<Result<_>>()?),
        Ty::Record(of) => {
            let fields = of.iter().enumerate().map(|(index, ty)| Ok((format!("f{index}"), any_value(u, ty)?)));
            Val::Record(fields.collect::<Result<_>>()?)
        }
        Ty::Variant(cases) => {
            let case = u.choose_index(cases.len())?;
            Val::Variant(format!("c{case}"), payload(u, cases[case].as_ref())?)
        }
        Ty::Enum(cases) => Val::Enum(format!("c{}", u.int_in_range(0..=cases - 1)?)),
        Ty::Flags(names) => {
            let set: u32 = u.arbitrary()?;
            Val::Flags((0..*names).filter(|name| set >> name & 1 == 1).map(|name| format!("f{name}")).collect())
        }
        Ty::Option(of) => Val::Option(maybe(u, |u| any_value(u, of))?.map(Box::new)),
        Ty::Result(ok, err) => {
            Val::Result(if u.arbitrary()? { Ok(payload(u, ok.as_deref())?) } else { Err(payload(u, err.as_deref())?) })
        }
    })
}

fn payload(u: &mut Unstructured<'_>, ty: Option<&Ty>) -> Result<Option<Box<Val>>> {
    ty.map(|ty| any_value(u, ty).map(Box::new)).transpose()
}

/// Up to [`ELEMENTS`] of something.
pub(crate) fn list<'u, T>(
    u: &mut Unstructured<'u>,
    one: impl FnMut(&mut Unstructured<'u>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = u.int_in_range(0..=ELEMENTS)?;
    std::iter::repeat_with({
        let mut one = one;
        move || one(u)
    })
    .take(count)
    .collect()
}

pub(crate) fn any_encoding(u: &mut Unstructured<'_>) -> Result<StringEncoding> {
    Ok(*u.choose(&[StringEncoding::UTF8, StringEncoding::UTF16, StringEncoding::CompactUTF16])?)
}

/// Words that a guest passes off as values: anything, small numbers, and pairs of a pointer into the words and a short length.
pub(crate) fn lies(u: &mut Unstructured<'_>, most: usize) -> Result<Vec<u64>> {
    let mut words = Vec::new();
    while !u.is_empty() && words.len() < most {
        words.push(match u.int_in_range(0..=3u8)? {
            0 => u.arbitrary()?,
            1 => u64::from(u.arbitrary::<u32>()?),
            2 => u64::from(u.arbitrary::<u8>()?),
            _ => u64::from(u.int_in_range(0..=24u32)?) << 32 | u.int_in_range(0..=6000)?,
        });
    }
    Ok(words)
}
