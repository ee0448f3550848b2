;; Spins for ever, without a call that a host could refuse. With `n` above zero: `n` million turns, then answers `n`.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (func $do (param $n i32) (result i32)
    (local $turns i64)
    (local.set $turns (i64.mul (i64.extend_i32_u (local.get $n)) (i64.const 1000000)))
    (loop $again
      (local.set $turns (i64.sub (local.get $turns) (i64.const 1)))
      (br_if $again (i32.eqz (local.get $n)))
      (br_if $again (i64.gt_s (local.get $turns) (i64.const 0))))
    (local.get $n))
  ;; include behave.wat
)
