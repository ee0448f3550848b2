;; Grows a table by `n` thousand elements (0: for ever). Fails in good order when the host refuses.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (data (i32.const 64) "table.grow was refused")
  (table $t 1 funcref)
  (elem declare func $do)
  (func $do (param $n i32) (result i32)
    (local $got i32)
    (loop $more
      (if (i32.eq (table.grow $t (ref.func $do) (i32.const 1000)) (i32.const -1))
        (then
          (call $fail (i32.const 64) (i32.const 22))
          (return (local.get $got))))
      (local.set $got (i32.add (local.get $got) (i32.const 1)))
      (br_if $more (i32.eqz (local.get $n)))
      (br_if $more (i32.lt_u (local.get $got) (local.get $n))))
    (local.get $got))
  ;; include behave.wat
)
