;; Two memories: `n` is written to the second, copied to the first, and read there.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (memory $second 1)
  (func $do (param $n i32) (result i32)
    (i32.store $second (i32.const 100) (local.get $n))
    (memory.copy 0 $second (i32.const 200) (i32.const 100) (i32.const 4))
    (i32.load (i32.const 200)))
  ;; include behave.wat
)
