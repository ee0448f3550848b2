//! Apps through which any one type passes: the type in WIT, a caller and a callee that know nothing of it, and the two in an app.
//!
//! The guests pass on memory and core values as they got them, so what arrives is the membrane's doing alone. What values there are
//! is for those to say who make them up: the tests at random, the fuzzer from its bytes.

use watertight_testkit::guest;
use wit_component::StringEncoding;

use crate::bare::{self, Harness};

/// A WIT type, with what it takes to write it down.
#[derive(Clone, Debug)]
pub(crate) enum Ty {
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

/// Memory and an allocator that never frees: enough for one call. After it, `$forget` leaves all as it was at first.
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
  (func $forget (memory.fill (i32.const 0) (i32.const 0) (i32.const 524288)) (global.set $top (i32.const 4096)))
  (func (export "cabi_post_t:t/i#echo") (param i32) (call $forget))
  (func (export "cabi_post_t:t/i#cast") (param i32) (call $forget))
  (func (export "cabi_post_t:t/i#taken") (param i32) (call $forget))
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
            wit_parser::abi::WasmType::I32 | wit_parser::abi::WasmType::Pointer | wit_parser::abi::WasmType::Length => {
                "i32"
            }
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

/// The app, its two components keeping their text as they like. Nothing is told of what happens in it.
pub(crate) fn app(ty: &Ty, callers: StringEncoding, callees: StringEncoding) -> Harness {
    app_of(MANIFEST, ty, callers, callees)
}

/// The same with another manifest for the two.
pub(crate) fn app_of(manifest: &str, ty: &Ty, callers: StringEncoding, callees: StringEncoding) -> Harness {
    let wit = interface(ty);
    bare::load_quietly(manifest, &[("caller", caller(&wit, callers)), ("callee", callee(&wit, callees))])
}

/// The app, whose caller gets this value, as WAVE, of a failed `cast`.
pub(crate) fn app_that_sets(ty: &Ty, callers: StringEncoding, wave: &str) -> Harness {
    let wit = interface(ty);
    let quoted: String = wave.chars().flat_map(char::escape_unicode).collect::<String>();
    let quoted = quoted
        .split("\\u{")
        .skip(1)
        .fold(String::new(), |text, code| text + &format!("\\U{:0>8}", code.trim_end_matches('}')));
    let manifest = format!(
        "{MANIFEST}[component.caller.edge.\"t:t/i\".function.cast]\non-failure = {{ return = \"{quoted}\" }}\n"
    );
    let guests = [("caller", caller(&wit, callers)), ("callee", callee(&wit, StringEncoding::UTF8))];
    bare::load_quietly(&manifest, &guests)
}

/// Runs a future to its end.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
