//! Types written out: what must be the same for frames of one build of a component to be frames of another.
//!
//! Two types have the same text if and only if they have the same structure and names: it says all that lays out a value, and what a
//! value means. It is short, however large a type unfolds: a part that gets long is replaced by its digest.

use std::collections::HashMap;

use wasmtime::component::__internal::{ComponentTypes, InterfaceType};

use super::types::{Cases, FunctionTypes, fields};
use crate::record::Described;

/// Bytes of the text of a part before its digest takes its place.
const MAX_PART: usize = 1024;

impl FunctionTypes {
    /// Its types, written out.
    pub(crate) fn described(&self) -> Described {
        let mut scribe = Scribe { types: &self.types, known: HashMap::new(), handles: false };
        let (parameters, results) = (scribe.part(self.parameters), scribe.part(self.results));
        Described { parameters, results, handles: scribe.handles }
    }
}

struct Scribe<'a> {
    types: &'a ComponentTypes,
    known: HashMap<InterfaceType, String>,
    handles: bool,
}

impl Scribe<'_> {
    /// It recurses as deep as the type, which the validator bounds, and looks at each type once.
    fn part(&mut self, ty: InterfaceType) -> String {
        if let Some(known) = self.known.get(&ty) {
            return known.clone();
        }
        let text = self.write(ty);
        let text = if text.len() > MAX_PART { format!("#{}", blake3::hash(text.as_bytes()).to_hex()) } else { text };
        self.known.insert(ty, text.clone());
        text
    }

    fn write(&mut self, ty: InterfaceType) -> String {
        let types = self.types;
        match ty {
            InterfaceType::Bool => "bool".to_owned(),
            InterfaceType::S8 => "s8".to_owned(),
            InterfaceType::U8 => "u8".to_owned(),
            InterfaceType::S16 => "s16".to_owned(),
            InterfaceType::U16 => "u16".to_owned(),
            InterfaceType::S32 => "s32".to_owned(),
            InterfaceType::U32 => "u32".to_owned(),
            InterfaceType::S64 => "s64".to_owned(),
            InterfaceType::U64 => "u64".to_owned(),
            InterfaceType::Float32 => "f32".to_owned(),
            InterfaceType::Float64 => "f64".to_owned(),
            InterfaceType::Char => "char".to_owned(),
            InterfaceType::String => "string".to_owned(),
            InterfaceType::Record(_) | InterfaceType::Tuple(_) => {
                let of = fields(types, ty).unwrap_or_default();
                let of: Vec<_> = of.into_iter().map(|field| self.named(field.name, field.ty)).collect();
                let (open, close) = if matches!(ty, InterfaceType::Record(_)) { ("{", "}") } else { ("(", ")") };
                format!("{open}{}{close}", of.join(", "))
            }
            InterfaceType::Flags(of) => {
                format!("flags{{{}}}", types[of].names.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            InterfaceType::Option(of) => format!("option<{}>", self.part(types[of].ty)),
            InterfaceType::Result(of) => {
                let (ok, err) = (types[of].ok, types[of].err);
                let mut side = |ty: Option<InterfaceType>| ty.map_or_else(|| "_".to_owned(), |ty| self.part(ty));
                format!("result<{}, {}>", side(ok), side(err))
            }
            InterfaceType::Variant(_) | InterfaceType::Enum(_) => {
                let cases = (0..).map_while(|index| Cases::case(types, ty, index));
                let cases: Vec<_> = cases
                    .map(|(name, payload)| match payload {
                        None => name.to_owned(),
                        Some(payload) => format!("{name}({})", self.part(payload)),
                    })
                    .collect();
                let kind = if matches!(ty, InterfaceType::Enum(_)) { "enum" } else { "variant" };
                format!("{kind}{{{}}}", cases.join(", "))
            }
            InterfaceType::List(of) => format!("list<{}>", self.part(types[of].element)),
            InterfaceType::FixedLengthList(of) => {
                let (element, size) = (types[of].element, types[of].size);
                format!("list<{}, {size}>", self.part(element))
            }
            InterfaceType::Map(of) => {
                let (key, value) = (types[of].key, types[of].value);
                format!("map<{}, {}>", self.part(key), self.part(value))
            }
            // What stands behind these is not in the frame.
            InterfaceType::Own(_) => self.handle("own"),
            InterfaceType::Borrow(_) => self.handle("borrow"),
            InterfaceType::Stream(_) => self.handle("stream"),
            InterfaceType::Future(_) => self.handle("future"),
            InterfaceType::ErrorContext(_) => self.handle("error-context"),
        }
    }

    fn named(&mut self, name: Option<&str>, ty: InterfaceType) -> String {
        let part = self.part(ty);
        name.map_or_else(|| part.clone(), |name| format!("{name}: {part}"))
    }

    fn handle(&mut self, kind: &str) -> String {
        self.handles = true;
        kind.to_owned()
    }
}
