;; Asks for 1 GiB of memory before it does anything.
;; world: behave-guest
(module
  (memory (export "memory") 16384)
  (func $do (param $n i32) (result i32) (memory.size))
  ;; include behave.wat
)
