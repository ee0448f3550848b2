//! What a guest's code may be made of: a small guest for each proposal that runs here, and the refusal of each that does not.
//! docs/proposals.md has a line for each.

use wasmtime::component::Val;
use watertight_model::failure::FailureKind;
use watertight_testkit::guest;

use crate::{any_type::run, bare};

const WIT: &str = "package t:t; interface i { run: func(n: u32) -> u32; } world guest { export i; }";

/// The export that every guest here has.
const RUN: &str = r#"(func (export "t:t/i#run") (param $n i32) (result i32)"#;

fn component(core: &str) -> Vec<u8> {
    guest::component(WIT, "guest", core)
}

fn load(core: &str, budget: &str) -> bare::Harness {
    let manifest = format!("[component.guest]\nsource = \"guest.wasm\"\nbudget = {{ {budget} }}\n");
    bare::load(&manifest, &[("guest", component(core))])
}

fn answer(app: &bare::Harness, n: u32) -> u32 {
    let results = run(app.call("guest", "t:t/i#run", vec![Val::U32(n)])).expect("it returns");
    let [Val::U32(answer)] = results[..] else { panic!("not a number: {results:?}") };
    answer
}

/// Has a guest with this core module compute.
fn compute(core: &str, n: u32) -> u32 {
    answer(&load(core, ""), n)
}

/// What a guest with this core module, or these bytes, is told instead of being loaded.
fn refusal(bytes: Vec<u8>) -> String {
    let manifest = "[component.guest]\nsource = \"guest.wasm\"\n";
    let problems = bare::try_load(manifest, &[("guest", bytes)]).err().expect("it is refused");
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn simd_adds_four_numbers_at_once() {
    let core = format!(
        "(module {RUN} (local $sum v128)
            (local.set $sum (i32x4.add (i32x4.splat (local.get $n)) (v128.const i32x4 1 2 3 4)))
            (i32.add (i32x4.extract_lane 0 (local.get $sum)) (i32x4.extract_lane 3 (local.get $sum)))))"
    );
    assert_eq!(compute(&core, 10), 11 + 14);
}

#[test]
fn relaxed_simd_gives_the_same_on_every_machine() {
    // What a lane of NaN becomes is up to the machine, unless it is asked to be deterministic: then it is 0.
    let core = format!(
        "(module {RUN}
            (i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.const nan))))))"
    );
    assert_eq!(compute(&core, 0), 0);
}

#[test]
fn tail_calls_need_no_stack() {
    let core = format!(
        "(module
            (func $count (param $n i32) (param $sum i32) (result i32)
                (if (i32.eqz (local.get $n)) (then (return (local.get $sum))))
                (return_call $count (i32.sub (local.get $n) (i32.const 1)) (i32.add (local.get $sum) (i32.const 1))))
            {RUN} (return_call $count (local.get $n) (i32.const 0))))"
    );
    assert_eq!(compute(&core, 3_000_000), 3_000_000);
}

const THROWS: &str = "(tag $odd (param i32))
    (func $refuse_odd (param $n i32) (result i32)
        (if (i32.and (local.get $n) (i32.const 1)) (then (throw $odd (local.get $n))))
        (local.get $n))";

#[test]
fn an_exception_is_caught_with_its_value() {
    let core = format!(
        "(module {THROWS} {RUN}
            (block $caught (result i32)
                (try_table (catch $odd $caught) (return (call $refuse_odd (local.get $n))))
                unreachable)
            (i32.add (i32.const 1000))))"
    );
    assert_eq!(compute(&core, 4), 4);
    assert_eq!(compute(&core, 5), 1005);
}

#[test]
fn an_exception_that_nobody_catches_ends_its_cell_and_does_not_cross() {
    let app = load(&format!("(module {THROWS} {RUN} (call $refuse_odd (local.get $n))))"), "");
    let error = run(app.call("guest", "t:t/i#run", vec![Val::U32(7)])).expect_err("nobody catches it");
    assert_eq!(error.kind, FailureKind::Trap, "{error}");
    assert!(error.detail.contains("exception"), "{error}");
    assert_eq!(answer(&app, 8), 8, "the next cell is as good as new");
}

#[test]
fn garbage_is_collected_within_the_budget() {
    // 2,000 arrays of 64 KiB, of which one is alive at any time.
    let core = format!(
        "(module (type $bytes (array (mut i8)))
            {RUN} (local $last (ref null $bytes)) (local $sum i32)
            (loop $next
                (local.set $last (array.new $bytes (i32.const 1) (i32.const 65536)))
                (local.set $sum (i32.add (local.get $sum) (array.get_u $bytes (local.get $last) (i32.const 65535))))
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br_if $next (local.get $n)))
            (local.get $sum)))"
    );
    assert_eq!(answer(&load(&core, "memory = \"8MiB\""), 2000), 2000);
}

#[test]
fn what_is_kept_alive_counts_as_memory() {
    let core = format!(
        "(module (type $link (struct (field (ref null $link)) (field (ref $bytes)))) (type $bytes (array (mut i8)))
            {RUN} (local $list (ref null $link))
            (loop $next
                (local.set $list (struct.new $link (local.get $list) (array.new $bytes (i32.const 1) (i32.const 65536))))
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br_if $next (local.get $n)))
            (i32.const 1)))"
    )
    .replace("(type $link", "(rec (type $link")
    .replace("(type $bytes (array (mut i8)))", "(type $bytes (array (mut i8))))");
    let app = load(&core, "memory = \"8MiB\"");
    assert_eq!(answer(&app, 50), 1, "some 3 MiB");
    let error = run(app.call("guest", "t:t/i#run", vec![Val::U32(500)])).expect_err("that would be 32 MiB");
    assert_eq!(error.kind, FailureKind::Memory, "{error}");
}

#[test]
fn functions_are_called_by_typed_references() {
    let core = format!(
        "(module (type $step (func (param i32) (result i32)))
            (func $double (type $step) (i32.mul (local.get 0) (i32.const 2)))
            (elem declare func $double)
            {RUN} (call_ref $step (local.get $n) (ref.func $double))))"
    );
    assert_eq!(compute(&core, 21), 42);
}

#[test]
fn a_memory_may_have_addresses_of_64_bits() {
    let core = format!(
        "(module (memory i64 1)
            {RUN}
            (i64.store (i64.const 4096) (i64.extend_i32_u (local.get $n)))
            (i32.wrap_i64 (i64.load (i64.const 4096)))))"
    );
    assert_eq!(compute(&core, 64), 64);
}

#[test]
fn a_memory_of_64_bit_addresses_is_fenced_and_counted_like_any_other() {
    let wild = format!("(module (memory i64 1) {RUN} (i32.load (i64.const 0x7fff_ffff_0000))))");
    let error = run(load(&wild, "").call("guest", "t:t/i#run", vec![Val::U32(0)])).expect_err("out of bounds");
    assert_eq!(error.kind, FailureKind::Trap, "{error}");
    // `memory.grow` says -1, as it does for any other.
    let hungry = format!("(module (memory i64 1) {RUN} (i32.wrap_i64 (memory.grow (i64.const 1024)))))");
    assert_eq!(answer(&load(&hungry, "memory = \"8MiB\""), 0), u32::MAX);
    assert_eq!(answer(&load(&hungry, "memory = \"128MiB\""), 0), 1);
}

#[test]
fn a_module_may_have_several_memories() {
    let core = format!(
        "(module (memory $first 1) (memory $second 1)
            {RUN}
            (i32.store $second (i32.const 0) (local.get $n))
            (memory.copy $first $second (i32.const 16) (i32.const 0) (i32.const 4))
            (i32.load $first (i32.const 16))))"
    );
    assert_eq!(compute(&core, 77), 77);
}

#[test]
fn globals_may_be_computed_at_the_start() {
    let core = format!(
        "(module (global $base i32 (i32.const 40))
            (global $answer i32 (i32.add (global.get $base) (i32.const 2)))
            {RUN} (i32.add (global.get $answer) (local.get $n))))"
    );
    assert_eq!(compute(&core, 0), 42);
}

#[test]
fn threads_are_refused_with_the_reason() {
    let shared = format!("(module (memory 1 1 shared) {RUN} (i32.atomic.rmw.add (i32.const 0) (local.get $n))))");
    let said = refusal(component(&shared));
    assert!(said.contains("`guest`") && said.contains("threads must be enabled"), "{said}");

    let spawns = br#"(component
        (core module $libc (table (export "t") 1 funcref))
        (core instance $libc (instantiate $libc))
        (core type $start (func (param i32)))
        (alias core export $libc "t" (core table $t))
        (core func (canon thread.new-indirect $start (core table $t))))"#;
    let said = refusal(wat::parse_bytes(spawns).expect("it is a component").into_owned());
    assert!(said.contains("threading"), "{said}");
}

#[test]
fn what_no_engine_here_has_is_refused_with_the_reason() {
    let cases = [
        ("custom page sizes", format!("(module (memory 1 (pagesize 1)) {RUN} (local.get $n)))")),
        (
            "stack switching",
            format!("(module (type $f (func)) (type $c (cont $f)) {RUN} (drop (ref.null $c)) (local.get $n)))"),
        ),
        (
            "wide arithmetic",
            format!("(module {RUN} (i64.mul_wide_u (i64.const 1) (i64.const 2)) (drop) (drop) (local.get $n)))"),
        ),
    ];
    for (proposal, core) in cases {
        let said = refusal(component(&core)).to_lowercase();
        assert!(said.contains("`guest`") && said.contains(proposal), "{proposal}: {said}");
    }
}
