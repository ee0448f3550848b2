;; Behaves: answers `n` plus one.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (func $do (param $n i32) (result i32) (i32.add (local.get $n) (i32.const 1)))
  ;; include behave.wat
)
