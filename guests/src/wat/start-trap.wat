;; Traps while it is being instantiated, before anything was asked of it.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (func $start unreachable)
  (start $start)
  (func $do (param $n i32) (result i32) (local.get $n))
  ;; include behave.wat
)
