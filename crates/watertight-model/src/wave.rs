//! Values as people write them, in WAVE, read against the type of a function's result.
//!
//! The syntax is wasm-wave's. The types are our own, so that a mistake is told with its place and with both types, and so that a case of an
//! error that takes a text may be left without one: the failure's message goes there.

use std::ops::Range;

use wasm_wave::{
    ast::{Node, NodeType},
    untyped::UntypedValue,
};

use crate::{
    component_type::{ComponentType, Shape, Ty},
    signature::type_text,
    value::Value,
};

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) what: Mistake,
    /// Where in the text.
    pub(crate) span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// It is not WAVE.
    Syntax(String),
    /// It is no value of the type: what is wrong, as a sentence.
    Type(String),
}

/// Reads a value of this type.
pub(crate) fn read(text: &str, ty: &Ty, component: &ComponentType) -> Result<Value, Flaw> {
    let parsed = UntypedValue::parse(text).map_err(|error| {
        let span = error.span();
        let what = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        Flaw { what: Mistake::Syntax(what), span }
    })?;
    Reader { text, component }.value(parsed.node(), ty)
}

struct Reader<'a> {
    text: &'a str,
    component: &'a ComponentType,
}

impl Reader<'_> {
    fn flaw<T>(&self, node: &Node, what: impl Into<String>) -> Result<T, Flaw> {
        Err(Flaw { what: Mistake::Type(what.into()), span: node.span() })
    }

    /// The text of a node, short enough for a sentence.
    fn shown(&self, node: &Node) -> String {
        const MOST: usize = 40;
        let text = self.text.get(node.span()).unwrap_or_default();
        if text.chars().count() <= MOST {
            return text.to_owned();
        }
        text.chars().take(MOST).chain(['…']).collect()
    }

    fn mismatch<T>(&self, node: &Node, ty: &Ty) -> Result<T, Flaw> {
        let (found, wanted) = (noun(node.ty()), type_text(self.component, ty));
        self.flaw(node, format!("`{}` is {found}, and a value of type `{wanted}` is wanted", self.shown(node)))
    }

    /// The recursion is as deep as the text, which the parser bounds (100).
    fn value(&self, node: &Node, ty: &Ty) -> Result<Value, Flaw> {
        use NodeType as N;
        match (&ty.shape, node.ty()) {
            (Shape::Primitive(name), _) => self.primitive(node, name, ty),
            (Shape::List(element), N::List) => Ok(Value::List(self.all(node, element)?)),
            (Shape::FixedList(element, length), N::List) => {
                let values = self.all(node, element)?;
                if values.len() == *length as usize {
                    return Ok(Value::List(values));
                }
                self.flaw(node, format!("the list has {} elements, and {length} are wanted", values.len()))
            }
            (Shape::Tuple(types), N::Tuple) => {
                let nodes: Vec<_> = node.as_tuple().map_err(|_| self.unreadable(node))?.collect();
                if nodes.len() != types.len() {
                    let what = format!("the tuple has {} parts, and {} are wanted", nodes.len(), types.len());
                    return self.flaw(node, what);
                }
                let values = nodes.into_iter().zip(types).map(|(node, ty)| self.value(node, ty));
                Ok(Value::Fields(values.collect::<Result<_, _>>()?))
            }
            (Shape::Record(fields), N::Record) => self.record(node, fields),
            (Shape::Variant(cases), N::Label | N::VariantWithPayload) => {
                let (label, payload) = node.as_variant(self.text).map_err(|_| self.unreadable(node))?;
                let case = |(index, (name, ty))| (name == label).then_some((index, ty));
                match cases.iter().map(|(name, ty)| (name.as_str(), ty.as_ref())).enumerate().find_map(case) {
                    Some((index, ty)) => self.case(node, index, label, payload, ty),
                    None => self.unknown(node, "case", label, cases.iter().map(|(name, _)| name.as_str())),
                }
            }
            (Shape::Enum(names), N::Label) => {
                let label = node.as_enum(self.text).map_err(|_| self.unreadable(node))?;
                match names.iter().position(|name| name == label) {
                    Some(index) => self.case(node, index, label, None, None),
                    None => self.unknown(node, "case", label, names.iter().map(String::as_str)),
                }
            }
            (Shape::Flags(names), N::Flags) => self.flags(node, names),
            (Shape::Option(_), N::OptionNone) => self.case(node, 0, "none", None, None),
            (Shape::Option(ty), N::OptionSome) => {
                let payload = node.as_option().map_err(|_| self.unreadable(node))?;
                self.case(node, 1, "some", payload, Some(ty))
            }
            (Shape::Result(ok, _), N::ResultOk) => {
                let payload = node.as_result().map_err(|_| self.unreadable(node))?.unwrap_or_default();
                self.case(node, 0, "ok", payload, ok.as_ref())
            }
            (Shape::Result(_, error), N::ResultErr) => {
                let payload = node.as_result().map_err(|_| self.unreadable(node))?.err().flatten();
                self.error(node, payload, error.as_ref())
            }
            (Shape::Map(_, _) | Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_), _) => {
                self.flaw(node, format!("no value of type `{}` can be written", type_text(self.component, ty)))
            }
            _ => self.mismatch(node, ty),
        }
    }

    fn unreadable(&self, node: &Node) -> Flaw {
        Flaw { what: Mistake::Syntax(format!("`{}` cannot be read", self.shown(node))), span: node.span() }
    }

    fn all(&self, node: &Node, element: &Ty) -> Result<Vec<Value>, Flaw> {
        node.as_list().map_err(|_| self.unreadable(node))?.map(|node| self.value(node, element)).collect()
    }

    fn unknown<'n, T>(
        &self,
        node: &Node,
        noun: &str,
        name: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<T, Flaw> {
        let help = match crate::manifest::nearest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
        };
        self.flaw(node, format!("`{name}` is no {noun} of this type; {help}"))
    }

    fn case(
        &self,
        node: &Node,
        index: usize,
        name: &str,
        payload: Option<&Node>,
        ty: Option<&Ty>,
    ) -> Result<Value, Flaw> {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        match (payload, ty) {
            (None, None) => Ok(Value::Case(index, None)),
            (Some(payload), Some(ty)) => Ok(Value::Case(index, Some(Box::new(self.value(payload, ty)?)))),
            (Some(payload), None) => self.flaw(payload, format!("`{name}` takes no value")),
            (None, Some(ty)) => {
                let wanted = type_text(self.component, ty);
                self.flaw(node, format!("`{name}` takes a value of type `{wanted}`: write `{name}(…)`"))
            }
        }
    }

    /// The `err` of a result, in which the failure's message stands for a text that is left out.
    fn error(&self, node: &Node, payload: Option<&Node>, ty: Option<&Ty>) -> Result<Value, Flaw> {
        let message = || Some(Box::new(Value::Message));
        let is_text = |ty: &Ty| matches!(ty.shape, Shape::Primitive("string"));
        match (payload, ty.map(|ty| (&ty.shape, ty))) {
            (None, Some((_, ty))) if is_text(ty) => return Ok(Value::Case(1, message())),
            (Some(payload), Some((Shape::Variant(cases), _))) if payload.ty() == NodeType::Label => {
                let (label, _) = payload.as_variant(self.text).map_err(|_| self.unreadable(payload))?;
                let case = cases.iter().position(|(name, _)| name == label);
                let takes_text =
                    case.is_some_and(|index| cases.get(index).and_then(|(_, ty)| ty.as_ref()).is_some_and(is_text));
                if let (Some(index), true) = (case, takes_text) {
                    let index = u32::try_from(index).unwrap_or(u32::MAX);
                    return Ok(Value::error(Some(Value::Case(index, message()))));
                }
            }
            _ => {}
        }
        self.case(node, 1, "err", payload, ty)
    }

    fn record(&self, node: &Node, fields: &[(String, Ty)]) -> Result<Value, Flaw> {
        let given: Vec<_> = node.as_record(self.text).map_err(|_| self.unreadable(node))?.collect();
        if let Some((name, value)) = given.iter().find(|(name, _)| !fields.iter().any(|(field, _)| field == name)) {
            return self.unknown(value, "field", name, fields.iter().map(|(name, _)| name.as_str()));
        }
        let values = fields.iter().map(|(name, ty)| match (given.iter().find(|(given, _)| given == name), &ty.shape) {
            (Some((_, value)), _) => self.value(value, ty),
            (None, Shape::Option(_)) => Ok(Value::Case(0, None)),
            (None, _) => self.flaw(node, format!("the record has no `{name}`, which is wanted")),
        });
        Ok(Value::Fields(values.collect::<Result<_, _>>()?))
    }

    fn flags(&self, node: &Node, names: &[String]) -> Result<Value, Flaw> {
        let mut set = Vec::new();
        for flag in node.as_flags(self.text).map_err(|_| self.unreadable(node))? {
            let flag = flag.strip_prefix('%').unwrap_or(flag);
            match names.iter().position(|name| name == flag) {
                Some(place) => set.push(u32::try_from(place).unwrap_or(u32::MAX)),
                None => return self.unknown(node, "flag", flag, names.iter().map(String::as_str)),
            }
        }
        Ok(Value::Flags(set))
    }

    fn primitive(&self, node: &Node, name: &str, ty: &Ty) -> Result<Value, Flaw> {
        use NodeType as N;
        let unreadable = || self.unreadable(node);
        Ok(match (name, node.ty()) {
            ("bool", N::BoolTrue | N::BoolFalse) => Value::Bool(node.ty() == N::BoolTrue),
            ("u8", N::Number) => Value::Unsigned(self.number::<u8>(node, ty)?.into()),
            ("u16", N::Number) => Value::Unsigned(self.number::<u16>(node, ty)?.into()),
            ("u32", N::Number) => Value::Unsigned(self.number::<u32>(node, ty)?.into()),
            ("u64", N::Number) => Value::Unsigned(self.number::<u64>(node, ty)?),
            ("s8", N::Number) => Value::Signed(self.number::<i8>(node, ty)?.into()),
            ("s16", N::Number) => Value::Signed(self.number::<i16>(node, ty)?.into()),
            ("s32", N::Number) => Value::Signed(self.number::<i32>(node, ty)?.into()),
            ("s64", N::Number) => Value::Signed(self.number::<i64>(node, ty)?),
            ("f32", N::Number) => Value::F32(self.number(node, ty)?),
            ("f64", N::Number) => Value::F64(self.number(node, ty)?),
            ("char", N::Char) => Value::Char(node.as_char(self.text).map_err(|_| unreadable())?),
            ("string", N::String | N::MultilineString) => {
                Value::Text(node.as_str(self.text).map_err(|_| unreadable())?.into_owned())
            }
            ("error-context", _) => return self.flaw(node, "no value of type `error-context` can be written"),
            _ => return self.mismatch(node, ty),
        })
    }

    fn number<T: std::str::FromStr>(&self, node: &Node, ty: &Ty) -> Result<T, Flaw> {
        match node.as_number(self.text) {
            Ok(number) => Ok(number),
            Err(_) => {
                let wanted = type_text(self.component, ty);
                self.flaw(node, format!("`{}` is no number of type `{wanted}`", self.shown(node)))
            }
        }
    }
}

/// What a part of a text is, for a sentence.
fn noun(ty: NodeType) -> &'static str {
    match ty {
        NodeType::BoolTrue | NodeType::BoolFalse => "a bool",
        NodeType::Number => "a number",
        NodeType::Char => "a char",
        NodeType::String | NodeType::MultilineString => "a string",
        NodeType::Tuple => "a tuple",
        NodeType::List => "a list",
        NodeType::Record => "a record",
        NodeType::Label => "the name of a case",
        NodeType::VariantWithPayload => "a case with a value",
        NodeType::OptionSome | NodeType::OptionNone => "an option",
        NodeType::ResultOk | NodeType::ResultErr => "a result",
        NodeType::Flags => "a set of flags",
    }
}
