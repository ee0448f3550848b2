;; Tail calls: counts `n` down and up again through two functions, in one frame of the stack.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (func $even (param $left i32) (param $count i32) (result i32)
    (if (i32.eqz (local.get $left)) (then (return (local.get $count))))
    (return_call $odd (i32.sub (local.get $left) (i32.const 1)) (i32.add (local.get $count) (i32.const 1))))
  (func $odd (param $left i32) (param $count i32) (result i32)
    (if (i32.eqz (local.get $left)) (then (return (local.get $count))))
    (return_call $even (i32.sub (local.get $left) (i32.const 1)) (i32.add (local.get $count) (i32.const 1))))
  (func $do (param $n i32) (result i32) (return_call $even (local.get $n) (i32.const 0)))
  ;; include behave.wat
)
