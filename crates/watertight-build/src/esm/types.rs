#![expect(clippy::wildcard_enum_match_arm, reason = "the types of WIT, which grow with the component model")]
//! Types of WIT in TypeScript, and what turns their values into JSON and back where they are not the same in both.

use std::fmt::Write as _;

use wit_parser::{Docs, Handle, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner};

use super::names::{camel, parameter, pascal};

/// Whose values are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Those of scripts, and of clients from outside.
    Script,
    /// Those of components that are built from JavaScript: as jco has them.
    Component,
}

/// The types of one component.
pub(crate) struct Types<'a> {
    pub(crate) resolve: &'a Resolve,
    /// Where the types of each owner are: the namespace; empty for none.
    pub(crate) spaces: &'a dyn Fn(TypeOwner) -> String,
    pub(crate) dialect: Dialect,
}

impl Types<'_> {
    /// The type's name with its namespace, if it has one.
    fn named(&self, id: TypeId) -> Option<String> {
        let ty = &self.resolve.types[id];
        let name = pascal(ty.name.as_deref()?);
        let space = (self.spaces)(ty.owner);
        Some(if space.is_empty() { name } else { format!("{space}.{name}") })
    }

    /// How TypeScript says it.
    pub(crate) fn script(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "boolean".to_owned(),
            Type::U8 | Type::S8 | Type::U16 | Type::S16 | Type::U32 | Type::S32 | Type::F32 | Type::F64 => {
                "number".to_owned()
            }
            Type::U64 | Type::S64 => "bigint".to_owned(),
            Type::Char | Type::String => "string".to_owned(),
            Type::ErrorContext => "never".to_owned(),
            Type::Id(id) => self.named(*id).unwrap_or_else(|| self.shape(&self.resolve.types[*id])),
        }
    }

    fn optional(&self, ty: Option<&Type>, tag: &str) -> String {
        match ty {
            Some(ty) => format!("{{ tag: \"{tag}\"; val: {} }}", self.script(ty)),
            None => format!("{{ tag: \"{tag}\" }}"),
        }
    }

    /// The parameters of a function.
    pub(crate) fn parameters(&self, params: &[wit_parser::Param]) -> String {
        let last = params.iter().rposition(|param| !self.is_option(&param.ty));
        let params = params.iter().enumerate().map(|(index, param)| {
            let left_out = if last.is_none_or(|last| index > last) { "?" } else { "" };
            format!("{}{left_out}: {}", parameter(&param.name), self.script(&param.ty))
        });
        params.collect::<Vec<_>>().join(", ")
    }

    /// The same, written out.
    fn shape(&self, ty: &TypeDef) -> String {
        let union = |names: Vec<String>| if names.is_empty() { "never".to_owned() } else { names.join(" | ") };
        let quoted = |names: &mut dyn Iterator<Item = &String>| names.map(|name| format!("\"{name}\"")).collect();
        match &ty.kind {
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().map(|ty| self.script(ty)).collect();
                format!("[{}]", types.join(", "))
            }
            TypeDefKind::Option(inner) if self.is_option(inner) => {
                format!("{} | {}", self.optional(None, "none"), self.optional(Some(inner), "some"))
            }
            TypeDefKind::Option(inner) => {
                format!(
                    "{} | {}",
                    self.script(inner),
                    if self.dialect == Dialect::Script { "null" } else { "undefined" }
                )
            }
            TypeDefKind::Result(result) => {
                format!("{} | {}", self.optional(result.ok.as_ref(), "ok"), self.optional(result.err.as_ref(), "err"))
            }
            TypeDefKind::List(element) if self.is_bytes(element) => "Uint8Array".to_owned(),
            TypeDefKind::List(element) | TypeDefKind::FixedLengthList(element, _) => {
                format!("Array<{}>", self.script(element))
            }
            TypeDefKind::Map(key, value) => format!("Map<{}, {}>", self.script(key), self.script(value)),
            TypeDefKind::Enum(cases) => union(quoted(&mut cases.cases.iter().map(|case| &case.name))),
            TypeDefKind::Flags(flags) if self.dialect == Dialect::Component => {
                let flags: Vec<_> = flags.flags.iter().map(|flag| format!("{}?: boolean", camel(&flag.name))).collect();
                format!("{{ {} }}", flags.join("; "))
            }
            TypeDefKind::Flags(flags) => {
                format!("Array<{}>", union(quoted(&mut flags.flags.iter().map(|flag| &flag.name))))
            }
            TypeDefKind::Type(ty) => self.script(ty),
            TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => self.named(*id).unwrap_or_default(),
            _ => "never".to_owned(),
        }
    }

    /// The declaration of a named type, with what is written of it.
    pub(crate) fn declaration(&self, id: TypeId, inside: &str, out: &mut String) {
        let ty = &self.resolve.types[id];
        let Some(name) = ty.name.as_deref().map(pascal) else { return };
        comment(&ty.docs, &[], inside, out);
        match &ty.kind {
            TypeDefKind::Record(record) => {
                let _ = writeln!(out, "{inside}export interface {name} {{");
                for field in &record.fields {
                    comment(&field.docs, &[], &format!("{inside}  "), out);
                    let left_out = if self.is_option(&field.ty) { "?" } else { "" };
                    let ty = self.script(&field.ty);
                    let _ = writeln!(out, "{inside}  {}{left_out}: {ty};", camel(&field.name));
                }
                let _ = writeln!(out, "{inside}}}");
            }
            TypeDefKind::Variant(variant) => {
                let names: Vec<_> = variant.cases.iter().map(|case| format!("{name}{}", pascal(&case.name))).collect();
                let _ = writeln!(out, "{inside}export type {name} = {};", names.join(" | "));
                for (case, name) in variant.cases.iter().zip(&names) {
                    comment(&case.docs, &[], inside, out);
                    let _ = writeln!(out, "{inside}export interface {name} {{");
                    let _ = writeln!(out, "{inside}  tag: \"{}\";", case.name);
                    if let Some(ty) = &case.ty {
                        let _ = writeln!(out, "{inside}  val: {};", self.script(ty));
                    }
                    let _ = writeln!(out, "{inside}}}");
                }
            }
            _ => {
                let _ = writeln!(out, "{inside}export type {name} = {};", self.shape(ty));
            }
        }
    }

    /// What converts its values; none where JSON has them as JavaScript does.
    pub(crate) fn codec(&self, ty: &Type) -> Option<String> {
        match ty {
            Type::U64 | Type::S64 => Some("big".to_owned()),
            Type::F32 | Type::F64 => Some("float".to_owned()),
            Type::Id(id) => {
                let written = self.written(&self.resolve.types[*id])?;
                Some(self.constant(*id).unwrap_or(written))
            }
            Type::Bool
            | Type::U8
            | Type::S8
            | Type::U16
            | Type::S16
            | Type::U32
            | Type::S32
            | Type::Char
            | Type::String
            | Type::ErrorContext => None,
        }
    }

    /// The name of the constant that has the codec of a named type.
    pub(crate) fn constant(&self, id: TypeId) -> Option<String> {
        Some(self.named(id)?.replace('.', "$"))
    }

    /// The codec of a type, written out.
    pub(crate) fn written(&self, ty: &TypeDef) -> Option<String> {
        let or_none = |codec: Option<String>| codec.unwrap_or_else(|| "null".to_owned());
        let some = |codecs: &[Option<String>]| codecs.iter().any(Option::is_some);
        match &ty.kind {
            TypeDefKind::Record(record) => {
                let fields: Vec<_> = record.fields.iter().map(|field| (&field.name, self.codec(&field.ty))).collect();
                let plain = fields.iter().all(|(name, codec)| codec.is_none() && camel(name) == **name);
                let fields = fields.into_iter().map(|(name, codec)| {
                    format!("[\"{}\", \"{name}\"{}]", camel(name), codec.map_or_else(String::new, |c| format!(", {c}")))
                });
                (!plain).then(|| format!("record({})", fields.collect::<Vec<_>>().join(", ")))
            }
            TypeDefKind::Tuple(tuple) => {
                let codecs: Vec<_> = tuple.types.iter().map(|ty| self.codec(ty)).collect();
                some(&codecs)
                    .then(|| format!("tuple({})", codecs.into_iter().map(or_none).collect::<Vec<_>>().join(", ")))
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant
                    .cases
                    .iter()
                    .filter_map(|case| Some(format!("[\"{}\", {}]", case.name, self.codec(case.ty.as_ref()?)?)));
                let cases: Vec<_> = cases.collect();
                (!cases.is_empty()).then(|| format!("variant({})", cases.join(", ")))
            }
            TypeDefKind::Result(result) => {
                let side = |tag: &str, ty: Option<&Type>| Some(format!("[\"{tag}\", {}]", self.codec(ty?)?));
                let sides: Vec<_> =
                    [side("ok", result.ok.as_ref()), side("err", result.err.as_ref())].into_iter().flatten().collect();
                (!sides.is_empty()).then(|| format!("variant({})", sides.join(", ")))
            }
            TypeDefKind::Option(inner) if self.is_option(inner) => {
                self.codec(inner).map(|codec| format!("variant([\"some\", {codec}])"))
            }
            TypeDefKind::Option(inner) => self.codec(inner).map(|codec| format!("option({codec})")),
            TypeDefKind::List(element) if self.is_bytes(element) => Some("bytes".to_owned()),
            TypeDefKind::List(element) | TypeDefKind::FixedLengthList(element, _) => {
                Some(format!("list({})", self.codec(element).unwrap_or_default()))
            }
            TypeDefKind::Flags(_) => Some("list()".to_owned()),
            TypeDefKind::Map(key, value) => {
                Some(format!("map({}, {})", or_none(self.codec(key)), or_none(self.codec(value))))
            }
            TypeDefKind::Type(ty) => self.codec(ty),
            _ => None,
        }
    }

    /// What a type is when its other names are looked through.
    fn plain(&self, ty: &Type) -> Option<&TypeDefKind> {
        let Type::Id(id) = ty else { return None };
        match &self.resolve.types[*id].kind {
            TypeDefKind::Type(inner) => self.plain(inner),
            kind => Some(kind),
        }
    }

    pub(crate) fn is_option(&self, ty: &Type) -> bool {
        matches!(self.plain(ty), Some(TypeDefKind::Option(_)))
    }

    /// The sides of a function's result that says whether it went well.
    pub(crate) fn outcome(&self, ty: &Type) -> Option<(Option<Type>, Option<Type>)> {
        match self.plain(ty) {
            Some(TypeDefKind::Result(result)) => Some((result.ok, result.err)),
            _ => None,
        }
    }

    fn is_bytes(&self, element: &Type) -> bool {
        match element {
            Type::U8 => true,
            Type::Id(id) => matches!(&self.resolve.types[*id].kind, TypeDefKind::Type(inner) if self.is_bytes(inner)),
            _ => false,
        }
    }

    /// The named types that one is made of, each after those that it needs itself.
    pub(crate) fn needed(&self, ty: &Type, found: &mut Vec<TypeId>) {
        let Type::Id(id) = ty else { return };
        if found.contains(id) {
            return;
        }
        let optional = |ty: &Option<Type>, found: &mut Vec<TypeId>| ty.iter().for_each(|ty| self.needed(ty, found));
        let def = &self.resolve.types[*id];
        match &def.kind {
            TypeDefKind::Record(record) => record.fields.iter().for_each(|field| self.needed(&field.ty, found)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().for_each(|ty| self.needed(ty, found)),
            TypeDefKind::Variant(variant) => variant.cases.iter().for_each(|case| optional(&case.ty, found)),
            TypeDefKind::Result(result) => {
                optional(&result.ok, found);
                optional(&result.err, found);
            }
            TypeDefKind::Option(ty)
            | TypeDefKind::List(ty)
            | TypeDefKind::FixedLengthList(ty, _)
            | TypeDefKind::Type(ty) => self.needed(ty, found),
            TypeDefKind::Map(key, value) => {
                self.needed(key, found);
                self.needed(value, found);
            }
            _ => {}
        }
        if def.name.is_some() && !found.contains(id) {
            found.push(*id);
        }
    }
}

/// What WIT says of something, as a comment.
pub(crate) fn comment(docs: &Docs, more: &[String], inside: &str, out: &mut String) {
    let text = docs.contents.as_deref().unwrap_or_default().trim().replace("*/", "*\u{200b}/");
    let lines: Vec<&str> = text.lines().chain(more.iter().map(String::as_str)).collect();
    match lines.as_slice() {
        [] => {}
        [line] => {
            let _ = writeln!(out, "{inside}/** {line} */");
        }
        lines => {
            let _ = writeln!(out, "{inside}/**");
            for line in lines {
                let _ = writeln!(out, "{}", format!("{inside} * {line}").trim_end());
            }
            let _ = writeln!(out, "{inside} */");
        }
    }
}
