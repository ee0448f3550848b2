//! The oracle is Wasmtime: what a value or a stretch of hostile memory becomes when it crosses two membranes must be what Wasmtime's
//! own dynamic calls make of it, for any type; and what they reject, the membrane must reject.
//!
//! The guests know nothing of the type: they pass on memory and core values as they got them.

use proptest::prelude::*;
use wasmtime::component::Val;
use watertight_testkit::guest;
use wit_component::StringEncoding;

use crate::bare::{self, Harness};

/// A WIT type, with what it takes to write it down.
#[derive(Clone, Debug)]
enum Ty {
    Plain(&'static str),
    List(Box<Ty>),
    Fixed(Box<Ty>, u32),
    Map(Box<Ty>, Box<Ty>),
    Tuple(Vec<Ty>),
    Record(Vec<Ty>),
    Variant(Vec<Option<Ty>>),
    Enum(u32),
    Flags(u32),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
}

const PLAIN: [&str; 13] =
    ["bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string"];

fn any_type() -> impl Strategy<Value = Ty> {
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

/// Writes a type's name, and the definitions it needs.
fn wit(ty: &Ty, definitions: &mut String, count: &mut u32) -> String {
    match ty {
        Ty::Plain(name) => (*name).to_owned(),
        Ty::Enum(cases) => {
            named(definitions, count, "enum", &(0..*cases).map(|case| format!("c{case}, ")).collect::<String>())
        }
        Ty::Flags(names) => {
            named(definitions, count, "flags", &(0..*names).map(|name| format!("f{name}, ")).collect::<String>())
        }
        Ty::List(of) => format!("list<{}>", wit(of, definitions, count)),
        Ty::Fixed(of, len) => format!("list<{}, {len}>", wit(of, definitions, count)),
        Ty::Map(key, value) => {
            let key = wit(key, definitions, count);
            format!("map<{key}, {}>", wit(value, definitions, count))
        }
        Ty::Option(of) => format!("option<{}>", wit(of, definitions, count)),
        Ty::Tuple(of) => {
            let of: Vec<_> = of.iter().map(|ty| wit(ty, definitions, count)).collect();
            format!("tuple<{}>", of.join(", "))
        }
        Ty::Result(ok, err) => {
            let ok = ok.as_ref().map(|ty| wit(ty, definitions, count));
            let err = err.as_ref().map(|ty| wit(ty, definitions, count));
            match (ok, err) {
                (None, None) => "result".to_owned(),
                (Some(ok), None) => format!("result<{ok}>"),
                (ok, Some(err)) => format!("result<{}, {err}>", ok.unwrap_or_else(|| "_".to_owned())),
            }
        }
        Ty::Record(fields) => {
            let fields: Vec<_> = fields.iter().map(|ty| wit(ty, definitions, count)).collect();
            let body: String = fields.iter().enumerate().map(|(index, ty)| format!("f{index}: {ty}, ")).collect();
            named(definitions, count, "record", &body)
        }
        Ty::Variant(cases) => {
            let cases: Vec<_> = cases.iter().map(|ty| ty.as_ref().map(|ty| wit(ty, definitions, count))).collect();
            let body: String = cases
                .iter()
                .enumerate()
                .map(|(index, ty)| match ty {
                    Some(ty) => format!("c{index}({ty}), "),
                    None => format!("c{index}, "),
                })
                .collect();
            named(definitions, count, "variant", &body)
        }
    }
}

fn named(definitions: &mut String, count: &mut u32, kind: &str, body: &str) -> String {
    *count += 1;
    definitions.push_str(&format!("{kind} t{count} {{ {body} }}\n"));
    format!("t{count}")
}

/// Any value of a type, as Wasmtime's dynamic calls take it.
fn any_value(ty: &Ty) -> BoxedStrategy<Val> {
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

/// Memory and an allocator that never frees: enough for one call.
const ALLOCATOR: &str = r#"
  (memory (export "memory") 8)
  (global $top (mut i32) (i32.const 4096))
  (func $realloc (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
      (i32.xor (i32.sub (local.get $align) (i32.const 1)) (i32.const -1))))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (global.get $top) (i32.const 524288)) (then unreachable))
    (memory.copy (local.get $at) (local.get $old)
      (select (local.get $old-size) (local.get $size) (i32.lt_u (local.get $old-size) (local.get $size))))
    (local.get $at))
"#;

fn interface(ty: &Ty) -> String {
    let mut definitions = String::new();
    let name = wit(ty, &mut definitions, &mut 0);
    format!(
        "package t:t;\ninterface i {{\n{definitions}
           echo: func(x: list<{name}>) -> list<{name}>;
           cast: func(bytes: list<u64>, len: u32) -> list<{name}>;
           take: func(x: {name});
           taken: func() -> list<u64>;
         }}
         world callee {{ export i; }}
         world caller {{ import i; export i; }}"
    )
}

/// The core types that the type flattens to, as a parameter.
fn core_params(wit: &str) -> Vec<&'static str> {
    let mut resolve = wit_parser::Resolve { all_features: true, ..Default::default() };
    resolve.push_str("i.wit", wit).expect("the test's WIT is sound");
    let (_, interface) = resolve.interfaces.iter().next().expect("an interface");
    let take = &interface.functions["take"];
    let signature = resolve.wasm_signature(wit_parser::abi::AbiVariant::GuestExport, take);
    signature
        .params
        .iter()
        .map(|ty| match ty {
            wit_parser::abi::WasmType::I64 | wit_parser::abi::WasmType::PointerOrI64 => "i64",
            wit_parser::abi::WasmType::F32 => "f32",
            wit_parser::abi::WasmType::F64 => "f64",
            _ => "i32",
        })
        .collect()
}

/// Gives back the memory it got, lets bytes pass for elements, and remembers core values.
fn callee(wit: &str, strings: StringEncoding) -> Vec<u8> {
    let params = core_params(wit);
    let list = params.join(" ");
    let stores: String = params
        .iter()
        .enumerate()
        .map(|(index, ty)| {
            let at = 1024 + 8 * index;
            match *ty {
                // A narrower value leaves the rest of its place as it was: zero.
                "i32" => format!("(i32.store (i32.const {at}) (local.get {index}))"),
                ty => format!("({ty}.store (i32.const {at}) (local.get {index}))"),
            }
        })
        .collect();
    let core = format!(
        r#"(module {ALLOCATOR}
          (func $pair (param i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
          (func (export "t:t/i#echo") (param i32 i32) (result i32) (call $pair (local.get 0) (local.get 1)))
          (func (export "t:t/i#cast") (param i32 i32 i32) (result i32) (call $pair (local.get 0) (local.get 2)))
          (func (export "t:t/i#take") (param {list}) {stores})
          (func (export "t:t/i#taken") (result i32) (call $pair (i32.const 1024) (i32.const {count}))))"#,
        count = params.len().max(1),
    );
    guest::component_with(wit, "callee", &core, strings)
}

/// Passes everything on as it comes.
fn caller(wit: &str, strings: StringEncoding) -> Vec<u8> {
    let params = core_params(wit);
    let list = params.join(" ");
    let gets: String = (0..params.len()).map(|index| format!("(local.get {index})")).collect();
    let core = format!(
        r#"(module
          (import "t:t/i" "echo" (func $echo (param i32 i32 i32)))
          (import "t:t/i" "cast" (func $cast (param i32 i32 i32 i32)))
          (import "t:t/i" "take" (func $take (param {list})))
          (import "t:t/i" "taken" (func $taken (param i32)))
          {ALLOCATOR}
          (func (export "t:t/i#echo") (param i32 i32) (result i32)
            (call $echo (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16))
          (func (export "t:t/i#cast") (param i32 i32 i32) (result i32)
            (call $cast (local.get 0) (local.get 1) (local.get 2) (i32.const 16)) (i32.const 16))
          (func (export "t:t/i#take") (param {list}) (call $take {gets}))
          (func (export "t:t/i#taken") (result i32) (call $taken (i32.const 16)) (i32.const 16)))"#
    );
    guest::component_with(wit, "caller", &core, strings)
}

const MANIFEST: &str = "[component.caller]\nsource = \"caller.wasm\"\nlifetime = \"resident\"\nuses = [\"callee\"]\n\
                        [component.callee]\nsource = \"callee.wasm\"\nlifetime = \"resident\"\n";

fn app(ty: &Ty, callers: StringEncoding, callees: StringEncoding) -> Harness {
    let wit = interface(ty);
    bare::load_quietly(MANIFEST, &[("caller", caller(&wit, callers)), ("callee", callee(&wit, callees))])
}

fn any_encoding() -> impl Strategy<Value = StringEncoding> {
    proptest::sample::select(&[StringEncoding::UTF8, StringEncoding::UTF16, StringEncoding::CompactUTF16][..])
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
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
