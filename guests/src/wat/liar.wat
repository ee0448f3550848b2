;; Lies in its results, and about the memory that it is asked for, as `tune` says. Honest until then.
;; world: liar
(module
  ;; include lies.wat
  (func (export "watertight:test/lies#tune") (param $lie i32) (param $realloc i32)
    (global.set $lie (local.get $lie))
    (global.set $realloc_lie (local.get $realloc)))

  ;; Writes a span to an honest place, and says that it is at `$ret`.
  (func $answer (result i32)
    (i32.store (i32.const 16) (global.get $at))
    (i32.store (i32.const 20) (global.get $len))
    (global.get $ret))
  (func (export "watertight:test/lies#text") (param $at i32) (param $len i32) (result i32)
    (call $bend (local.get $at) (local.get $len))
    (call $answer))
  (func (export "watertight:test/lies#bytes") (param $at i32) (param $len i32) (result i32)
    (call $bend (local.get $at) (local.get $len))
    (call $answer))
  (func (export "watertight:test/lies#words") (param $at i32) (param $len i32) (result i32)
    (call $bend_words (local.get $at) (local.get $len))
    (call $answer))
  (func (export "watertight:test/lies#letter") (param $v i32) (result i32) (call $bend_char (local.get $v)))
  (func (export "watertight:test/lies#choice") (param $v i32) (result i32) (call $bend_case (local.get $v)))

  ;; A discriminant at 16, then what belongs to it.
  (func $case (param $case i32) (param $a i32) (param $b i32) (result i32)
    (call $bend (local.get $a) (local.get $b))
    (i32.store8 (i32.const 16) (call $bend_case (local.get $case)))
    (i32.store (i32.const 20) (local.get $a))
    (i32.store (i32.const 24) (local.get $b))
    (global.get $ret))
  (func (export "watertight:test/lies#shapes") (param i32 i32 i32) (result i32)
    (call $case (local.get 0) (local.get 1) (local.get 2)))
  (func (export "watertight:test/lies#maybe") (param i32 i32) (result i32)
    (call $case (local.get 0) (local.get 1) (i32.const 0)))
  (func (export "watertight:test/lies#outcome") (param i32 i32 i32) (result i32)
    (call $case (local.get 0) (local.get 1) (local.get 2)))

  ;; 30 and 31: what it returned was true, and then it traps or spins while it should tidy up.
  (func $tidy
    (call $rewind)
    (if (call $is (i32.const 30)) (then unreachable))
    (if (call $is (i32.const 31)) (then (loop $again (br $again)))))
  (func (export "cabi_post_watertight:test/lies#text") (param i32) (call $tidy))
  (func (export "cabi_post_watertight:test/lies#bytes") (param i32) (call $tidy))
  (func (export "cabi_post_watertight:test/lies#words") (param i32) (call $tidy))
  (func (export "cabi_post_watertight:test/lies#shapes") (param i32) (call $tidy))
  (func (export "cabi_post_watertight:test/lies#outcome") (param i32) (call $tidy))
)
