//! What a hostile guest can name but not have: types that unfold without end, and lists of one thing over and over.

use wasmtime::component::Val;
use watertight_model::failure::FailureKind;
use watertight_testkit::guest;
use wit_component::StringEncoding;

use crate::{
    any_type::{Ty, app, run},
    bare,
};

/// A type inside itself, so many times.
fn nested(depth: u32, around: impl Fn(Box<Ty>) -> Ty) -> Ty {
    (0..depth).fold(Ty::Plain("u8"), |ty, _| around(Box::new(ty)))
}

#[test]
fn deeply_nested_types_are_linked_at_once_and_carry_values() {
    let types = [
        nested(40, Ty::List),
        nested(40, |ty| Ty::List(Box::new(Ty::Option(ty)))),
        nested(9, |ty| Ty::Result(Some(ty.clone()), Some(ty))),
    ];
    for ty in types {
        let app = app(&ty, StringEncoding::UTF8, StringEncoding::UTF8);
        let sent = Val::List(Vec::new());
        let got = run(app.call("caller", "t:t/i#echo", vec![sent.clone()])).expect("it arrives");
        assert_eq!(got, [sent]);
    }
}

#[test]
fn a_type_with_more_parts_than_a_plan_may_have_is_refused() {
    let doubled: String = (1..=16).map(|n| format!("type t{n} = tuple<t{0}, t{0}>;", n - 1)).collect();
    let wit = format!(
        "package t:t; interface i {{ type t0 = bool; {doubled} take: func(x: list<t16>); }}
         world callee {{ export i; }} world caller {{ import i; export run: func(); }}"
    );
    let callee = guest::component(
        &wit,
        "callee",
        r#"(module (memory (export "memory") 1) (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
             (func (export "t:t/i#take") (param i32 i32)))"#,
    );
    let caller = guest::component(
        &wit,
        "caller",
        r#"(module (import "t:t/i" "take" (func (param i32 i32))) (memory (export "memory") 1) (func (export "run")))"#,
    );
    let manifest = "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\n\
                    [component.callee]\nsource = \"callee.wasm\"\n";
    let problems = bare::try_load(manifest, &[("caller", caller), ("callee", callee)]).err().expect("it is refused");
    let text: String = problems.iter().map(ToString::to_string).collect();
    assert!(text.contains("this type has more than 65536 parts"), "{text}");
}

#[test]
fn a_list_that_names_the_same_memory_over_and_over_does_not_cross() {
    // 64 times most of the guest's memory.
    let app = app(&Ty::List(Box::new(Ty::Plain("u8"))), StringEncoding::UTF8, StringEncoding::UTF8);
    let everything = Val::U64(500_000 << 32);
    let arguments = vec![Val::List(vec![everything; 64]), Val::U32(64)];
    let error = run(app.call("caller", "t:t/i#cast", arguments)).expect_err("it would be 32 MB");
    assert!(error.detail.contains("more than 2 MiB would cross in one call"), "{error}");
}

/// A caller and a callee with 2 MiB of memory each; the caller sends `n` bytes, or gets them.
fn traffic(callers: &str, callees: &str) -> bare::Harness {
    let wit = "package a:b;
        interface i { take: func(b: list<u8>) -> result<u32, string>; give: func(n: u32) -> result<list<u8>, string>; }
        world callee { export i; }
        interface run { send: func(n: u32) -> result<u32, string>; get: func(n: u32) -> result<u32, string>; }
        world caller { import i; export run; }";
    let memory = r#"(memory (export "memory") 32)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))"#;
    let callee = guest::component(
        wit,
        "callee",
        &format!(
            r#"(module {memory}
            (func $said (param i32) (param i32) (result i32)
                (i32.store (i32.const 0) (i32.const 0))
                (i32.store (i32.const 4) (local.get 0))
                (i32.store (i32.const 8) (local.get 1))
                (i32.const 0))
            (func (export "a:b/i#take") (param i32 i32) (result i32) (call $said (local.get 1) (i32.const 0)))
            (func (export "a:b/i#give") (param i32) (result i32) (call $said (i32.const 65536) (local.get 0))))"#
        ),
    );
    let caller = guest::component(
        wit,
        "caller",
        &format!(
            r#"(module
            (import "a:b/i" "take" (func $take (param i32 i32 i32)))
            (import "a:b/i" "give" (func $give (param i32 i32)))
            {memory}
            (func (export "a:b/run#send") (param i32) (result i32)
                (call $take (i32.const 65536) (local.get 0) (i32.const 16))
                (i32.const 16))
            (func (export "a:b/run#get") (param i32) (result i32)
                (call $give (local.get 0) (i32.const 16))
                (if (i32.eqz (i32.load8_u (i32.const 16)))
                    (then (i32.store (i32.const 20) (i32.load (i32.const 24)))))
                (i32.const 16)))"#
        ),
    );
    let manifest = format!(
        "[component.caller]\nsource = \"caller.wasm\"\nuses = [\"callee\"]\nbudget = {{ memory = \"{callers}\" }}\n\
         [component.callee]\nsource = \"callee.wasm\"\nbudget = {{ memory = \"{callees}\" }}\n"
    );
    bare::load(&manifest, &[("caller", caller), ("callee", callee)])
}

/// What `result<u32, string>` says.
fn said(app: &bare::Harness, function: &str, n: u32) -> Result<u32, String> {
    let results = run(app.call("caller", &format!("a:b/run#{function}"), vec![Val::U32(n)])).expect("it returns");
    let [Val::Result(result)] = &results[..] else { panic!("not a result: {results:?}") };
    match result.as_ref().map(Option::as_deref).map_err(Option::as_deref) {
        Ok(Some(Val::U32(value))) => Ok(*value),
        Err(Some(Val::String(text))) => Err(text.clone()),
        Ok(_) | Err(_) => panic!("neither a number nor a text: {results:?}"),
    }
}

#[test]
fn what_is_on_its_way_counts_as_memory_of_who_sent_it() {
    const MUCH: u32 = 1_900_000;
    let roomy = traffic("4MiB", "4MiB");
    for function in ["send", "get"] {
        assert_eq!(said(&roomy, function, MUCH), Ok(MUCH), "{function}");
    }
    let sender = traffic("3MiB", "64MiB");
    let error = said(&sender, "send", MUCH).expect_err("2 MiB of memory and 1.9 on their way are too much");
    assert_eq!(
        error,
        "caller: memory: what it passes on does not fit into its 3MiB of memory, beside what it holds: \
         raise component.caller.budget.memory"
    );
    assert_eq!(said(&sender, "send", 900_000), Ok(900_000), "it goes on, and what arrived is free again");
    assert_eq!(said(&sender, "get", MUCH), Ok(MUCH), "what it gets is not its own until it is in its memory");
    let giver = traffic("64MiB", "3MiB");
    let error = said(&giver, "get", MUCH).expect_err("likewise");
    assert!(error.starts_with("callee: memory: it asked for more than its 3MiB of memory"), "{error}");
    assert_eq!(said(&giver, "send", MUCH), Ok(MUCH));
}

#[test]
fn no_cell_can_make_more_handles_than_there_may_be() {
    let component = guest::wat(
        r#"(component
            (type $r (resource (rep i32)))
            (core func $new (canon resource.new $r))
            (core module $m
                (import "" "new" (func $new (param i32) (result i32)))
                (func (export "make") (param i32) (result i32)
                    (loop $more
                        (drop (call $new (i32.const 0)))
                        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                        (br_if $more (local.get 0)))
                    (i32.const 0)))
            (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
            (func $make (param "n" u32) (result u32) (canon lift (core func $i "make")))
            (instance $e (export "make" (func $make)))
            (export "a:b/i" (instance $e)))"#,
    );
    let app = bare::load("[component.maker]\nsource = \"maker.wasm\"\n", &[("maker", component)]);
    let make = |n| run(app.call("maker", "a:b/i#make", vec![Val::U32(n)]));
    make(60_000).expect("it may have so many");
    let error = make(70_000).expect_err("it may not have so many");
    assert_eq!(error.kind, FailureKind::Memory, "{error}");
    assert!(error.detail.starts_with("it holds more handles than a cell may"), "{error}");
}
