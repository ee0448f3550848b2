;; Exceptions: throws `n` and catches it; 99 is thrown past every handler.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (tag $thrown (param i32))
  (func $throw (param $n i32) (throw $thrown (local.get $n)))
  (func $do (param $n i32) (result i32)
    (if (i32.eq (local.get $n) (i32.const 99)) (then (call $throw (local.get $n))))
    (block $caught (result i32)
      (try_table (catch $thrown $caught) (call $throw (local.get $n)))
      unreachable))
  ;; include behave.wat
)
