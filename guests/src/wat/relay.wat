;; Calls `watertight:test/behave` of another component and hands back what it got, for every door.
;; world: relay
(module
  (import "watertight:test/behave" "run" (func $run (param i32 i32)))
  (import "watertight:test/behave" "quiet" (func $quiet (param i32 i32)))
  (import "watertight:test/behave" "bare" (func $bare (param i32) (result i32)))
  (import "watertight:test/behave" "plain" (func $plain (param i32) (result i32)))
  (memory (export "memory") 2)
  ;; include realloc.wat
  (func (export "watertight:test/behave#run") (param $n i32) (result i32)
    (call $rewind)
    (call $run (local.get $n) (i32.const 0))
    (i32.const 0))
  (func (export "watertight:test/behave#quiet") (param $n i32) (result i32)
    (call $quiet (local.get $n) (i32.const 0))
    (i32.const 0))
  (func (export "watertight:test/behave#bare") (param $n i32) (result i32) (call $bare (local.get $n)))
  (func (export "watertight:test/behave#plain") (param $n i32) (result i32) (call $plain (local.get $n)))
)
