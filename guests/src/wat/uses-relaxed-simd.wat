;; Relaxed SIMD: `n` times 2 plus 1, by a multiply-add that is exact for small numbers.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (func $do (param $n i32) (result i32)
    (i32.trunc_f32_u (f32x4.extract_lane 0
      (f32x4.relaxed_madd
        (f32x4.splat (f32.convert_i32_u (local.get $n)))
        (f32x4.splat (f32.const 2))
        (f32x4.splat (f32.const 1))))))
  ;; include behave.wat
)
