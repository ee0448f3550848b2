;; A memory with 64-bit addresses beside the one of its exports: `n`, written and read at its end.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (memory $large i64 2)
  (func $do (param $n i32) (result i32)
    (local $end i64)
    (local.set $end (i64.sub (i64.shl (memory.size $large) (i64.const 16)) (i64.const 4)))
    (i32.store $large (local.get $end) (local.get $n))
    (i32.load $large (local.get $end)))
  ;; include behave.wat
)
