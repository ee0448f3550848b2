;; Lies in its arguments and about its memory (`tell`), or lets its callee lie (`hear`).
;; world: liar-caller
(module
  (import "watertight:test/lies" "tune" (func $tune (param i32 i32)))
  (import "watertight:test/lies" "text" (func $text (param i32 i32 i32)))
  (import "watertight:test/lies" "bytes" (func $bytes (param i32 i32 i32)))
  (import "watertight:test/lies" "words" (func $words (param i32 i32 i32)))
  (import "watertight:test/lies" "letter" (func $letter (param i32) (result i32)))
  (import "watertight:test/lies" "choice" (func $choice (param i32) (result i32)))
  (import "watertight:test/lies" "shapes" (func $shapes (param i32 i32 i32 i32)))
  (import "watertight:test/lies" "maybe" (func $maybe (param i32 i32 i32)))
  (import "watertight:test/lies" "outcome" (func $outcome (param i32 i32 i32 i32)))
  ;; include lies.wat
  ;; One honest word, for lists of words.
  (data (i32.const 768) "\00\01\00\00\0b\00\00\00")

  (func (export "watertight:test/lies-told#tell") (param $what i32) (param $lie i32) (param $realloc i32) (result i32)
    (call $rewind)
    (global.set $lie (local.get $lie))
    (global.set $realloc_lie (local.get $realloc))
    (call $call (local.get $what)))
  (func (export "watertight:test/lies-told#hear") (param $what i32) (param $lie i32) (param $realloc i32) (result i32)
    (call $rewind)
    (global.set $lie (i32.const 0))
    (global.set $realloc_lie (i32.const 0))
    (call $tune (local.get $lie) (local.get $realloc))
    (call $call (local.get $what)))

  ;; What came back: the length of a span, the number of a case.
  (func $length (result i32) (i32.load (i32.const 20)))
  (func $case (result i32) (i32.load8_u (i32.const 16)))
  (func $call (param $what i32) (result i32)
    (call $bend (i32.const 256) (i32.const 11))
    (if (i32.eq (local.get $what) (i32.const 0))
      (then (call $text (global.get $at) (global.get $len) (global.get $ret)) (return (call $length))))
    (if (i32.eq (local.get $what) (i32.const 1))
      (then (call $bytes (global.get $at) (global.get $len) (global.get $ret)) (return (call $length))))
    (if (i32.eq (local.get $what) (i32.const 2))
      (then
        (call $bend_words (i32.const 768) (i32.const 1))
        (call $words (global.get $at) (global.get $len) (global.get $ret))
        (return (call $length))))
    (if (i32.eq (local.get $what) (i32.const 3)) (then (return (call $letter (call $bend_char (i32.const 0x61))))))
    (if (i32.eq (local.get $what) (i32.const 4)) (then (return (call $choice (call $bend_case (i32.const 1))))))
    (if (i32.eq (local.get $what) (i32.const 5))
      (then
        (call $shapes (call $bend_case (i32.const 2)) (i32.const 256) (i32.const 11) (global.get $ret))
        (return (call $case))))
    (if (i32.eq (local.get $what) (i32.const 6))
      (then (call $maybe (call $bend_case (i32.const 1)) (i32.const 7) (global.get $ret)) (return (call $case))))
    (if (i32.eq (local.get $what) (i32.const 7))
      (then
        (call $outcome (call $bend_case (i32.const 1)) (i32.const 256) (i32.const 11) (global.get $ret))
        (return (call $case))))
    unreachable)
)
