//! Frames as text, for people: the values of a call in WAVE, cut where it gets long.
//!
//! It takes any bytes: what cannot be a value ends the text with `<malformed>`, and it does no more work than the text is long. Handles
//! and streams, for which WAVE has no words, stand as `<handle>` and `<stream>`; maps as lists of pairs.

use std::fmt::Write as _;

use wasmtime::component::__internal::{ComponentTypes, InterfaceType};

use super::types::{Cases, FunctionTypes, fields, flag_words};

/// What ends a text that was cut.
const CUT: char = '…';

impl FunctionTypes {
    /// The parameters in this frame: `(1, "two")`, with at most `limit` bytes before it is cut. Of a frame of `whole` bytes, its start is
    /// enough: what is missing is left out.
    pub(crate) fn parameters_text(&self, frame: &[u8], whole: usize, limit: usize) -> String {
        self.text(frame, whole, limit, |writer| writer.fields(self.parameters, 0))
    }

    /// The result in this frame; nothing for a function without one. As for parameters, its start is enough.
    pub(crate) fn results_text(&self, frame: &[u8], whole: usize, limit: usize) -> String {
        self.text(frame, whole, limit, |writer| {
            let results = fields(writer.types, self.results).unwrap_or_default();
            results.into_iter().try_for_each(|field| writer.value(field.ty, field.at))
        })
    }

    /// The value of a type that begins at `at` in this frame.
    pub(super) fn value_text(&self, ty: InterfaceType, frame: &[u8], at: usize, limit: usize) -> String {
        self.text(frame, frame.len(), limit, |writer| writer.value(ty, at))
    }

    fn text(
        &self,
        frame: &[u8],
        whole: usize,
        limit: usize,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), Stop>,
    ) -> String {
        let mut writer = Writer { types: &self.types, frame, whole, text: String::new(), limit };
        match write(&mut writer) {
            Ok(()) => {}
            Err(Stop::Full | Stop::Missing) => writer.text.push(CUT),
            Err(Stop::Malformed) => writer.text.push_str("<malformed>"),
        }
        writer.text
    }
}

/// Why a text ends before the values do.
enum Stop {
    Full,
    /// What comes next was not kept of the frame.
    Missing,
    Malformed,
}

struct Writer<'a> {
    types: &'a ComponentTypes,
    frame: &'a [u8],
    /// How long the frame was: `frame` may be its start only.
    whole: usize,
    text: String,
    limit: usize,
}

impl Writer<'_> {
    fn push(&mut self, text: &str) -> Result<(), Stop> {
        let room = self.limit.saturating_sub(self.text.len());
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
        Err(Stop::Full)
    }

    fn display(&mut self, value: impl std::fmt::Display) -> Result<(), Stop> {
        // Numbers are short; writing to a `String` does not fail.
        let mut text = String::new();
        let _ = write!(text, "{value}");
        self.push(&text)
    }

    fn bytes(&self, at: usize, len: usize) -> Result<&[u8], Stop> {
        let end = at.checked_add(len).ok_or(Stop::Malformed)?;
        self.frame.get(at..end).ok_or(if end <= self.whole { Stop::Missing } else { Stop::Malformed })
    }

    fn fixed<const N: usize>(&self, at: usize) -> Result<[u8; N], Stop> {
        self.bytes(at, N)?.try_into().map_err(|_| Stop::Malformed)
    }

    fn number(&self, at: usize, width: usize) -> Result<u32, Stop> {
        let mut wide = [0; 4];
        wide.get_mut(..width).ok_or(Stop::Malformed)?.copy_from_slice(self.bytes(at, width)?);
        Ok(u32::from_le_bytes(wide))
    }

    /// The value of a type that begins at `at`. It recurses as deep as the type, which the validator bounds.
    fn value(&mut self, ty: InterfaceType, at: usize) -> Result<(), Stop> {
        match ty {
            InterfaceType::Bool => match self.fixed::<1>(at)? {
                [0] => self.push("false"),
                [1] => self.push("true"),
                _ => Err(Stop::Malformed),
            },
            InterfaceType::S8 => self.display(i8::from_le_bytes(self.fixed(at)?)),
            InterfaceType::U8 => self.display(u8::from_le_bytes(self.fixed(at)?)),
            InterfaceType::S16 => self.display(i16::from_le_bytes(self.fixed(at)?)),
            InterfaceType::U16 => self.display(u16::from_le_bytes(self.fixed(at)?)),
            InterfaceType::S32 => self.display(i32::from_le_bytes(self.fixed(at)?)),
            InterfaceType::U32 => self.display(u32::from_le_bytes(self.fixed(at)?)),
            InterfaceType::S64 => self.display(i64::from_le_bytes(self.fixed(at)?)),
            InterfaceType::U64 => self.display(u64::from_le_bytes(self.fixed(at)?)),
            InterfaceType::Float32 => match f32::from_le_bytes(self.fixed(at)?) {
                number if number.is_nan() => self.push("nan"),
                number => self.display(number),
            },
            InterfaceType::Float64 => match f64::from_le_bytes(self.fixed(at)?) {
                number if number.is_nan() => self.push("nan"),
                number => self.display(number),
            },
            InterfaceType::Char => {
                let found = char::from_u32(self.number(at, 4)?).ok_or(Stop::Malformed)?;
                self.push("'")?;
                self.letter(found)?;
                self.push("'")
            }
            InterfaceType::String => self.string(at),
            InterfaceType::Record(_) | InterfaceType::Tuple(_) => self.fields(ty, at),
            InterfaceType::Variant(_)
            | InterfaceType::Enum(_)
            | InterfaceType::Option(_)
            | InterfaceType::Result(_) => self.variant(ty, at),
            InterfaceType::Flags(of) => self.flags(&self.types[of].names, at),
            InterfaceType::List(of) => {
                let element = self.types[of].element;
                let (start, len) = self.range(at)?;
                self.elements(start, len, self.size(element), |writer, at| writer.value(element, at))
            }
            InterfaceType::FixedLengthList(of) => {
                let list = &self.types[of];
                let element = list.element;
                self.elements(at, list.size, self.size(element), |writer, at| writer.value(element, at))
            }
            InterfaceType::Map(of) => {
                let map = &self.types[of];
                let (key, value, value_at) = (map.key, map.value, map.value_offset32 as usize);
                let (start, len) = self.range(at)?;
                self.elements(start, len, map.entry_abi.size32 as usize, |writer, at| {
                    writer.push("(")?;
                    writer.value(key, at)?;
                    writer.push(", ")?;
                    writer.value(value, at.saturating_add(value_at))?;
                    writer.push(")")
                })
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => self.push("<handle>"),
            InterfaceType::Stream(_) => self.push("<stream>"),
            InterfaceType::Future(_) => self.push("<future>"),
            InterfaceType::ErrorContext(_) => self.push("<error-context>"),
        }
    }

    fn size(&self, ty: InterfaceType) -> usize {
        self.types.canonical_abi(&ty).size32 as usize
    }

    /// Where a list or string is, and how long.
    fn range(&self, at: usize) -> Result<(usize, u32), Stop> {
        Ok((self.number(at, 4)? as usize, self.number(at.saturating_add(4), 4)?))
    }

    /// A record or tuple. Fields that are `none` are left out of a record, as WAVE does.
    fn fields(&mut self, ty: InterfaceType, at: usize) -> Result<(), Stop> {
        let types = self.types;
        let is_record = matches!(ty, InterfaceType::Record(_));
        self.push(if is_record { "{" } else { "(" })?;
        let mut first = true;
        for field in fields(types, ty).unwrap_or_default() {
            let at = at.saturating_add(field.at);
            if is_record && matches!(field.ty, InterfaceType::Option(_)) && self.number(at, 1)? == 0 {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.push(", ")?;
            }
            if let Some(name) = field.name {
                self.push(name)?;
                self.push(": ")?;
            }
            self.value(field.ty, at)?;
        }
        match (is_record, first) {
            (true, true) => self.push(":}"),
            (true, false) => self.push("}"),
            (false, _) => self.push(")"),
        }
    }

    fn variant(&mut self, ty: InterfaceType, at: usize) -> Result<(), Stop> {
        let types = self.types;
        let cases = Cases::of(types, ty).ok_or(Stop::Malformed)?;
        let index = self.number(at, cases.width)?;
        let (name, payload) = Cases::case(types, ty, index).ok_or(Stop::Malformed)?;
        let of_user = matches!(ty, InterfaceType::Variant(_) | InterfaceType::Enum(_));
        if of_user && KEYWORDS.contains(&name) {
            self.push("%")?;
        }
        self.push(name)?;
        let Some(payload) = payload else { return Ok(()) };
        self.push("(")?;
        self.value(payload, at.saturating_add(cases.payload))?;
        self.push(")")
    }

    fn flags<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n String, IntoIter: ExactSizeIterator>,
        at: usize,
    ) -> Result<(), Stop> {
        let names = names.into_iter();
        let (words, width) = flag_words(names.len());
        let len = words * width;
        self.bytes(at, len)?;
        self.push("{")?;
        let mut first = true;
        for (place, name) in names.enumerate() {
            let [byte] = self.fixed(at + place / 8)?;
            if byte >> (place % 8) & 1 == 0 {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.push(", ")?;
            }
            self.push(name)?;
        }
        self.push("}")
    }

    fn elements(
        &mut self,
        start: usize,
        count: u32,
        size: usize,
        mut write: impl FnMut(&mut Self, usize) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.push("[")?;
        for index in 0..count {
            if index > 0 {
                self.push(", ")?;
            }
            let at = (index as usize).checked_mul(size).and_then(|offset| offset.checked_add(start));
            match write(self, at.ok_or(Stop::Malformed)?) {
                // What stands beside the list may be there.
                Err(Stop::Missing) => {
                    self.push("…")?;
                    break;
                }
                written => written?,
            }
        }
        self.push("]")
    }

    fn string(&mut self, at: usize) -> Result<(), Stop> {
        let (start, len) = self.range(at)?;
        let len = len as usize;
        let kept = match self.bytes(start, len) {
            Ok(_) => len,
            Err(Stop::Missing) => self.frame.len().saturating_sub(start),
            Err(stop) => return Err(stop),
        };
        // No more is looked at than may be shown, and the rest of a letter that this cuts.
        let shown = kept.min(self.limit.saturating_sub(self.text.len()).saturating_add(4));
        let found = if shown == 0 { Vec::new() } else { self.bytes(start, shown)?.to_vec() };
        let (text, whole) = match std::str::from_utf8(&found) {
            Ok(text) => (text, true),
            Err(error) => {
                let text = std::str::from_utf8(&found[..error.valid_up_to()]).unwrap_or_default();
                (text, error.error_len().is_none() && shown < len)
            }
        };
        self.push("\"")?;
        text.chars().try_for_each(|found| self.letter(found))?;
        if !whole {
            return Err(Stop::Malformed);
        }
        self.push(if kept < len { "…\"" } else { "\"" })
    }

    fn letter(&mut self, found: char) -> Result<(), Stop> {
        if matches!(found, '\\' | '"' | '\'' | '\t' | '\r' | '\n') {
            self.display(found.escape_default())
        } else if found.is_control() {
            self.display(found.escape_unicode())
        } else {
            self.display(found.escape_debug())
        }
    }
}

/// Words that WAVE reads as something else than the name of a case.
const KEYWORDS: [&str; 8] = ["true", "false", "some", "none", "ok", "err", "inf", "nan"];

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "Wasmtime's types, which grow with the component model")]
pub(super) mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use wasmtime::component::{
        Component, Val,
        types::{ComponentFunc, ComponentItem, Type},
    };
    use watertight_model::value::Value;
    use watertight_testkit::guest;

    use super::*;
    use crate::{
        engine::{self, EngineKind},
        membrane::template::Template,
    };

    /// Functions that take and return a value of one type each.
    const TYPES: &str = r#"(component
        (import "i" (instance
            (type $plain' (record (field "a" u8) (field "b" s64) (field "c" bool) (field "d" f32) (field "e" char)))
            (export "plain" (type $plain (eq $plain')))
            (type $maybe (option string))
            (type $texts (list string))
            (type $spare' (record (field "x" $maybe) (field "y" $maybe)))
            (export "spare" (type $spare (eq $spare')))
            (type $choice' (variant (case "none") (case "number" u64) (case "text" string) (case "plain" $plain)))
            (export "choice" (type $choice (eq $choice')))
            (type $word' (enum "ok" "red" "dark-blue"))
            (export "word" (type $word (eq $word')))
            (type $few' (flags "a" "b" "c"))
            (export "few" (type $few (eq $few')))
            (type $many' (flags "f0" "f1" "f2" "f3" "f4" "f5" "f6" "f7" "f8" "f9" "f10" "f11" "f12" "f13" "f14" "f15" "f16" "f17"))
            (export "many" (type $many (eq $many')))
            (type $choices (list $choice))
            (type $pair (tuple s8 $choices f64 s16 u32))
            (type $empty (result))
            (type $outcome (result $pair (error $choice)))
            (type $nested (option $outcome))
            (type $rows (list $plain))
            (type $fixed (list u16 3))
            (type $bytes (list u8))
            (type $twice (option $maybe))
            (type $letters (list char))
            (export "f1" (func (param "x" $plain) (result $plain)))
            (export "f2" (func (param "x" $spare) (result $spare)))
            (export "f3" (func (param "x" $choice) (result $choice)))
            (export "f4" (func (param "x" $word) (result $word)))
            (export "f5" (func (param "x" $few) (result $few)))
            (export "f6" (func (param "x" $many) (result $many)))
            (export "f7" (func (param "x" $pair) (result $pair)))
            (export "f8" (func (param "x" $empty) (result $empty)))
            (export "f9" (func (param "x" $outcome) (result $outcome)))
            (export "f10" (func (param "x" $nested) (result $nested)))
            (export "f11" (func (param "x" $rows) (result $rows)))
            (export "f12" (func (param "x" $texts) (result $texts)))
            (export "f13" (func (param "x" $fixed) (result $fixed)))
            (export "bytes" (func (param "x" $bytes) (result $bytes)))
            (export "twice" (func (param "x" $twice) (result $twice)))
            (export "letters" (func (param "x" $letters) (result $letters)))
            (export "f14" (func (param "x" s32) (result s32))))))"#;

    pub(in crate::membrane) type Functions = Vec<(FunctionTypes, ComponentFunc)>;

    pub(in crate::membrane) fn functions() -> &'static Functions {
        static FUNCTIONS: LazyLock<Functions> = LazyLock::new(read);
        &FUNCTIONS
    }

    fn read() -> Functions {
        let engine = engine::compiler(EngineKind::Sync).expect("the engine starts");
        let component = Component::new(&engine, guest::wat(TYPES)).expect("the types are sound");
        let ty = component.component_type();
        let Some(ComponentItem::ComponentInstance(instance)) = ty.get_import(&engine, "i").map(|import| import.ty)
        else {
            panic!("the component imports an instance");
        };
        let functions = instance.exports(&engine).filter_map(|(_, export)| match export.ty {
            ComponentItem::ComponentFunc(function) => Some(function),
            _ => None,
        });
        functions
            .map(|function| {
                let types = FunctionTypes::of(&function, &ty.instance_type()).expect("they can cross");
                (types, function)
            })
            .collect()
    }

    /// Any value of a type: as Wasmtime knows it, and as a manifest's.
    fn any_value(ty: &Type) -> BoxedStrategy<(Val, Value)> {
        fn all(types: impl Iterator<Item = Type>) -> BoxedStrategy<Vec<(Val, Value)>> {
            types.map(|ty| any_value(&ty)).collect::<Vec<_>>().boxed()
        }
        fn payload(ty: Option<Type>) -> BoxedStrategy<(Option<Box<Val>>, Option<Value>)> {
            match ty {
                None => Just((None, None)).boxed(),
                Some(ty) => any_value(&ty).prop_map(|(val, value)| (Some(Box::new(val)), Some(value))).boxed(),
            }
        }
        fn case(index: usize, payload: Option<Value>) -> Value {
            Value::Case(u32::try_from(index).expect("a few"), payload.map(Box::new))
        }
        match ty {
            Type::Bool => any::<bool>().prop_map(|x| (Val::Bool(x), Value::Bool(x))).boxed(),
            Type::S8 => any::<i8>().prop_map(|x| (Val::S8(x), Value::Signed(x.into()))).boxed(),
            Type::U8 => any::<u8>().prop_map(|x| (Val::U8(x), Value::Unsigned(x.into()))).boxed(),
            Type::S16 => any::<i16>().prop_map(|x| (Val::S16(x), Value::Signed(x.into()))).boxed(),
            Type::U16 => any::<u16>().prop_map(|x| (Val::U16(x), Value::Unsigned(x.into()))).boxed(),
            Type::S32 => any::<i32>().prop_map(|x| (Val::S32(x), Value::Signed(x.into()))).boxed(),
            Type::U32 => any::<u32>().prop_map(|x| (Val::U32(x), Value::Unsigned(x.into()))).boxed(),
            Type::S64 => any::<i64>().prop_map(|x| (Val::S64(x), Value::Signed(x))).boxed(),
            Type::U64 => any::<u64>().prop_map(|x| (Val::U64(x), Value::Unsigned(x))).boxed(),
            Type::Float32 => any::<f32>().prop_map(|x| (Val::Float32(x), Value::F32(x))).boxed(),
            Type::Float64 => any::<f64>().prop_map(|x| (Val::Float64(x), Value::F64(x))).boxed(),
            Type::Char => any::<char>().prop_map(|x| (Val::Char(x), Value::Char(x))).boxed(),
            Type::String => "\\PC{0,9}[\n\"'\\\\]?".prop_map(|x| (Val::String(x.clone()), Value::Text(x))).boxed(),
            Type::List(list) => prop::collection::vec(any_value(&list.ty()), 0..4)
                .prop_map(|values| {
                    let (vals, values) = values.into_iter().unzip();
                    (Val::List(vals), Value::List(values))
                })
                .boxed(),
            Type::FixedLengthList(list) => prop::collection::vec(any_value(&list.ty()), list.len() as usize)
                .prop_map(|values| {
                    let (vals, values) = values.into_iter().unzip();
                    (Val::FixedLengthList(vals), Value::List(values))
                })
                .boxed(),
            Type::Record(record) => {
                let names: Vec<_> = record.fields().map(|field| field.name.to_owned()).collect();
                all(record.fields().map(|field| field.ty))
                    .prop_map(move |values| {
                        let (vals, values): (Vec<_>, _) = values.into_iter().unzip();
                        (Val::Record(names.iter().cloned().zip(vals).collect()), Value::Fields(values))
                    })
                    .boxed()
            }
            Type::Tuple(tuple) => all(tuple.types())
                .prop_map(|values| {
                    let (vals, values) = values.into_iter().unzip();
                    (Val::Tuple(vals), Value::Fields(values))
                })
                .boxed(),
            Type::Variant(variant) => {
                let cases: Vec<_> = variant.cases().map(|case| (case.name.to_owned(), case.ty)).collect();
                (0..cases.len())
                    .prop_flat_map(move |index| {
                        let (name, ty) = cases[index].clone();
                        payload(ty).prop_map(move |(val, value)| (Val::Variant(name.clone(), val), case(index, value)))
                    })
                    .boxed()
            }
            Type::Enum(of) => {
                let names: Vec<_> = of.names().map(str::to_owned).collect();
                (0..names.len()).prop_map(move |index| (Val::Enum(names[index].clone()), case(index, None))).boxed()
            }
            Type::Option(option) => {
                let some = payload(Some(option.ty())).prop_map(|(val, value)| (Val::Option(val), case(1, value)));
                prop_oneof![Just((Val::Option(None), case(0, None))), some].boxed()
            }
            Type::Result(result) => prop_oneof![
                payload(result.ok()).prop_map(|(val, value)| (Val::Result(Ok(val)), case(0, value))),
                payload(result.err()).prop_map(|(val, value)| (Val::Result(Err(val)), case(1, value))),
            ]
            .boxed(),
            Type::Flags(flags) => {
                let names: Vec<_> = flags.names().map(str::to_owned).collect();
                prop::collection::vec(any::<bool>(), names.len())
                    .prop_map(move |set| {
                        let set = || (0_u32..).zip(&set).filter(|(_, set)| **set).map(|(place, _)| place);
                        let named = set().map(|place| names[place as usize].clone()).collect();
                        (Val::Flags(named), Value::Flags(set().collect()))
                    })
                    .boxed()
            }
            other => panic!("no values of {other:?} are made here"),
        }
    }

    /// The functions and a place among them, with a value for it.
    pub(in crate::membrane) fn any_case() -> impl Strategy<Value = (FunctionTypes, Val, Value)> {
        let functions = functions();
        (0..functions.len()).prop_flat_map(move |index| {
            let (types, function) = functions[index].clone();
            let ty = function.results().next().expect("each returns something");
            any_value(&ty).prop_map(move |(val, value)| (types.clone(), val, value))
        })
    }

    proptest! {
        #[test]
        fn what_a_manifest_sets_is_shown_as_wasmtime_would((types, val, value) in any_case()) {
            let frame = Template::new(Some(&value), &types).expect("it fits").fill("");
            let whole = types.results_text(&frame.bytes, frame.bytes.len(), usize::MAX);
            prop_assert_eq!(&whole, &wasm_wave::to_string(&val).expect("it has a text"));
            prop_assert_eq!(types.parameters_text(&frame.bytes, frame.bytes.len(), usize::MAX), format!("({whole})"));
            for kept in 0..frame.bytes.len() {
                let known = types.parameters_text(&frame.bytes[..kept], frame.bytes.len(), usize::MAX);
                prop_assert!(!known.contains("<malformed>"), "{} of {}: {}", kept, frame.bytes.len(), known);
            }
            for limit in [0, 1, 7, 30] {
                let cut = types.results_text(&frame.bytes, frame.bytes.len(), limit);
                if whole.len() <= limit {
                    prop_assert_eq!(&cut, &whole);
                } else {
                    prop_assert!(whole.starts_with(cut.strip_suffix(CUT).expect("it says that it is cut")), "{}", cut);
                    prop_assert!(cut.len() <= limit + CUT.len_utf8());
                }
            }
        }

        #[test]
        fn any_bytes_have_a_text(
            place in any::<prop::sample::Index>(),
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), 0..40_u8, any::<u8>()], 0..120),
        ) {
            let (types, _) = place.get(functions());
            for text in [types.parameters_text(&bytes, bytes.len(), 256), types.parameters_text(&bytes, 2 * bytes.len(), 256), types.results_text(&bytes, bytes.len(), 256)] {
                prop_assert!(text.len() <= 256 + "<malformed>".len());
            }
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let (types, _) = functions().last().expect("there are some");
        for value in [
            None,
            Some(Value::Bool(true)),
            Some(Value::Unsigned(1)),
            Some(Value::Signed(i64::MAX)),
            Some(Value::Message),
            Some(Value::error(None)),
        ] {
            assert!(Template::new(value.as_ref(), types).is_err(), "{value:?} is no s32");
        }
        assert!(Template::new(Some(&Value::Signed(-1)), types).is_ok());
    }

    #[test]
    fn the_message_goes_where_it_is_to_and_is_not_longer_than_it_may_be() {
        let (types, _) = &functions()[8];
        let value = Value::error(Some(Value::Case(2, Some(Box::new(Value::Message)))));
        let template = Template::new(Some(&value), types).expect("it fits");
        let text = |message: &str| {
            let frame = template.fill(message);
            types.results_text(&frame.bytes, frame.bytes.len(), usize::MAX)
        };
        assert_eq!(text("é trap"), "err(text(\"é trap\"))");
        assert_eq!(text(""), "err(text(\"\"))");
        assert_eq!(text(&"é".repeat(9000)).chars().filter(|letter| *letter == 'é').count(), 2048);
    }
}
