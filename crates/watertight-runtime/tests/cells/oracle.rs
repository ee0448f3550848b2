//! The oracle is Wasmtime: what a value or a stretch of hostile memory becomes when it crosses two membranes must be what Wasmtime's
//! own dynamic calls make of it, for any type; and what they reject, the membrane must reject.

use proptest::prelude::*;
use wasmtime::component::Val;
use wit_component::StringEncoding;

use crate::{
    any_type::{Ty, app, app_that_sets, run},
    bare::Harness,
};

const PLAIN: [&str; 13] =
    ["bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string"];

pub(crate) fn any_type() -> impl Strategy<Value = Ty> {
    let leaf = prop_oneof![
        8 => proptest::sample::select(&PLAIN[..]).prop_map(Ty::Plain),
        1 => (1..300u32).prop_map(Ty::Enum),
        1 => (1..32u32).prop_map(Ty::Flags),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Ty::List),
            (boxed(), 1..20u32).prop_map(|(ty, len)| Ty::Fixed(ty, len)),
            (proptest::sample::select(&["u8", "s32", "char", "string", "bool", "u64"][..]), boxed())
                .prop_map(|(key, value)| Ty::Map(Box::new(Ty::Plain(key)), value)),
            prop::collection::vec(inner.clone(), 1..5).prop_map(Ty::Tuple),
            prop::collection::vec(inner.clone(), 1..5).prop_map(Ty::Record),
            prop::collection::vec(prop::option::of(inner.clone()), 1..5).prop_map(Ty::Variant),
            boxed().prop_map(Ty::Option),
            (prop::option::of(boxed()), prop::option::of(boxed())).prop_map(|(ok, err)| Ty::Result(ok, err)),
        ]
    })
}

/// Any value of a type, as Wasmtime's dynamic calls take it.
pub(crate) fn any_value(ty: &Ty) -> BoxedStrategy<Val> {
    fn boxed(ty: &Option<Box<Ty>>) -> BoxedStrategy<Option<Box<Val>>> {
        match ty {
            None => Just(None).boxed(),
            Some(ty) => any_value(ty).prop_map(|value| Some(Box::new(value))).boxed(),
        }
    }
    fn all(types: &[Ty]) -> BoxedStrategy<Vec<Val>> {
        types.iter().map(any_value).collect::<Vec<_>>().boxed()
    }
    match ty {
        Ty::Plain("bool") => any::<bool>().prop_map(Val::Bool).boxed(),
        Ty::Plain("s8") => any::<i8>().prop_map(Val::S8).boxed(),
        Ty::Plain("u8") => any::<u8>().prop_map(Val::U8).boxed(),
        Ty::Plain("s16") => any::<i16>().prop_map(Val::S16).boxed(),
        Ty::Plain("u16") => any::<u16>().prop_map(Val::U16).boxed(),
        Ty::Plain("s32") => any::<i32>().prop_map(Val::S32).boxed(),
        Ty::Plain("u32") => any::<u32>().prop_map(Val::U32).boxed(),
        Ty::Plain("s64") => any::<i64>().prop_map(Val::S64).boxed(),
        Ty::Plain("u64") => any::<u64>().prop_map(Val::U64).boxed(),
        Ty::Plain("f32") => any::<f32>().prop_map(Val::Float32).boxed(),
        Ty::Plain("f64") => any::<f64>().prop_map(Val::Float64).boxed(),
        Ty::Plain("char") => any::<char>().prop_map(Val::Char).boxed(),
        Ty::Plain(_) => prop_oneof!["[ -~]{0,12}", "\\PC{0,12}", "[à-ÿ]{0,9}"].prop_map(Val::String).boxed(),
        Ty::List(of) => prop::collection::vec(any_value(of), 0..4).prop_map(Val::List).boxed(),
        Ty::Fixed(of, len) => {
            prop::collection::vec(any_value(of), *len as usize).prop_map(Val::FixedLengthList).boxed()
        }
        Ty::Map(key, value) => {
            prop::collection::vec((any_value(key), any_value(value)), 0..4).prop_map(Val::Map).boxed()
        }
        Ty::Tuple(of) => all(of).prop_map(Val::Tuple).boxed(),
        Ty::Record(of) => all(of)
            .prop_map(|values| {
                let named = values.into_iter().enumerate();
                Val::Record(named.map(|(index, value)| (format!("f{index}"), value)).collect())
            })
            .boxed(),
        Ty::Variant(cases) => {
            let cases = cases.clone();
            (0..cases.len())
                .prop_flat_map(move |case| {
                    let payload = boxed(&cases[case].clone().map(Box::new));
                    payload.prop_map(move |payload| Val::Variant(format!("c{case}"), payload))
                })
                .boxed()
        }
        Ty::Enum(cases) => (0..*cases).prop_map(|case| Val::Enum(format!("c{case}"))).boxed(),
        Ty::Flags(names) => prop::collection::vec(any::<bool>(), *names as usize)
            .prop_map(|set| {
                let set = set.into_iter().enumerate().filter(|(_, set)| *set);
                Val::Flags(set.map(|(index, _)| format!("f{index}")).collect())
            })
            .boxed(),
        Ty::Option(of) => prop::option::of(any_value(of)).prop_map(|value| Val::Option(value.map(Box::new))).boxed(),
        Ty::Result(ok, err) => {
            prop_oneof![boxed(ok).prop_map(|ok| Val::Result(Ok(ok))), boxed(err).prop_map(|err| Val::Result(Err(err)))]
                .boxed()
        }
    }
}

pub(crate) fn any_encoding() -> impl Strategy<Value = StringEncoding> {
    proptest::sample::select(&[StringEncoding::UTF8, StringEncoding::UTF16, StringEncoding::CompactUTF16][..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_value_of_any_type_arrives_as_it_was_sent(
        (ty, values) in any_type().prop_flat_map(|ty| {
            let values = prop::collection::vec(any_value(&ty), 0..4);
            (Just(ty), values)
        }),
        (callers, callees) in (any_encoding(), any_encoding()),
    ) {
        let app = app(&ty, callers, callees);
        let sent = Val::List(values);
        let got = run(app.call("caller", "t:t/i#echo", vec![sent.clone()])).map_err(|error| error.to_string());
        prop_assert_eq!(format!("{got:?}"), format!("{:?}", Ok::<_, String>(vec![sent])));
    }

    #[test]
    fn core_values_are_those_that_wasmtime_lowers(
        (ty, value) in any_type().prop_flat_map(|ty| {
            let value = any_value(&ty);
            (Just(ty), value)
        }),
    ) {
        let encoding = StringEncoding::UTF8;
        let (through, direct) = (app(&ty, encoding, encoding), app(&ty, encoding, encoding));
        let taken = |app: &Harness, component: &str| {
            run(async {
                app.call(component, "t:t/i#take", vec![value.clone()]).await.expect("it takes any value");
                app.call(component, "t:t/i#taken", vec![]).await.expect("it says what it took")
            })
        };
        prop_assert_eq!(taken(&through, "caller"), taken(&direct, "callee"));
    }

    #[test]
    fn any_value_that_a_manifest_sets_is_what_the_caller_gets(
        (ty, values) in any_type().prop_filter("WAVE has no maps", |ty| !format!("{ty:?}").contains("Map(")).prop_flat_map(|ty| {
            let values = prop::collection::vec(any_value(&ty), 0..4);
            (Just(ty), values)
        }),
        callers in any_encoding(),
    ) {
        let set = Val::List(values);
        let app = app_that_sets(&ty, callers, &wasm_wave::to_string(&set).expect("it has a text"));
        // More elements than the callee has memory for: it is called a liar.
        let arguments = vec![Val::List(Vec::new()), Val::U32(u32::MAX)];
        let got = run(app.call("caller", "t:t/i#cast", arguments)).map_err(|error| error.to_string());
        prop_assert_eq!(format!("{got:?}"), format!("{:?}", Ok::<_, String>(vec![set])));
    }

    #[test]
    fn hostile_memory_is_read_or_rejected_as_wasmtime_does(
        ty in any_type(),
        words in prop::collection::vec(
            prop_oneof![any::<u64>(), any::<u32>().prop_map(u64::from), (0..6000u64, 0..9u64).prop_map(|(at, len)| len << 32 | at)],
            1..64,
        ),
        len in 0..20u32,
        encoding in any_encoding(),
    ) {
        let app = app(&ty, StringEncoding::UTF8, encoding);
        let arguments = vec![Val::List(words.into_iter().map(Val::U64).collect()), Val::U32(len)];
        let direct = run(app.call("callee", "t:t/i#cast", arguments.clone()));
        let through = run(app.call("caller", "t:t/i#cast", arguments));
        match (direct, through) {
            (Ok(direct), Ok(through)) => prop_assert_eq!(format!("{direct:?}"), format!("{through:?}")),
            (Err(_), Err(_)) => {}
            (direct, through) => prop_assert!(false, "Wasmtime: {:?}, the membrane: {:?}", direct, through),
        }
    }
}
