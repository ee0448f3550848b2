//! What a hostile guest can name but not have: types that unfold without end, and lists of one thing over and over.

use wasmtime::component::Val;
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
