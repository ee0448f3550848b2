;; Typed function references: `n` plus one, by `call_ref`.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (type $step (func (param i32) (result i32)))
  (elem declare func $one)
  (func $one (type $step) (i32.add (local.get 0) (i32.const 1)))
  (func $do (param $n i32) (result i32) (call_ref $step (local.get $n) (ref.func $one)))
  ;; include behave.wat
)
