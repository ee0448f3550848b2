;; Remembers: adds `n` to what it has and answers the sum. Shows whether an instance lives on between calls.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (global $sum (mut i32) (i32.const 0))
  (func $do (param $n i32) (result i32)
    (global.set $sum (i32.add (global.get $sum) (local.get $n)))
    (global.get $sum))
  ;; include behave.wat
)
