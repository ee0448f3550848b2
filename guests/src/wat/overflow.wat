;; Overflows the stack. With `n` above zero: goes `n` calls deep and comes back with `n`.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (func $down (param $left i32) (result i32)
    (if (i32.eq (local.get $left) (i32.const 1)) (then (return (i32.const 1))))
    ;; The addition after the call keeps it from being a loop.
    (i32.add (i32.const 1) (call $down (i32.sub (local.get $left) (i32.const 1)))))
  (func $do (param $n i32) (result i32) (call $down (local.get $n)))
  ;; include behave.wat
)
