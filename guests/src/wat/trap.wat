;; Traps.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (func $do (param $n i32) (result i32) unreachable)
  ;; include behave.wat
)
