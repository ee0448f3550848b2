;; Fails in good order: `err("asked to fail")`; `plain` has no other way than to trap.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (data (i32.const 64) "asked to fail")
  (func $do (param $n i32) (result i32)
    (call $fail (i32.const 64) (i32.const 13))
    (i32.const 0))
  ;; include behave.wat
)
