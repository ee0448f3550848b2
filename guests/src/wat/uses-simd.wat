;; SIMD: four times `n`, as the sum of four lanes.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (func $do (param $n i32) (result i32)
    (local $v v128)
    (local.set $v (i32x4.splat (local.get $n)))
    ;; Lanes 2 and 3 onto 0 and 1, then 1 onto 0.
    (local.set $v (i32x4.add (local.get $v)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $v) (local.get $v))))
    (i32.add (i32x4.extract_lane 0 (local.get $v)) (i32x4.extract_lane 1 (local.get $v))))
  ;; include behave.wat
)
