;; Eats memory as most languages do: traps when the host refuses a page. `n` is MiB, 0 means for ever.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (func $do (param $n i32) (result i32)
    (local $got i32) (local $page i32)
    (loop $more
      (local.set $page (memory.grow (i32.const 1)))
      (if (i32.eq (local.get $page) (i32.const -1)) (then unreachable))
      (i32.store (i32.shl (local.get $page) (i32.const 16)) (local.get $page))
      (local.set $got (i32.add (local.get $got) (i32.const 1)))
      (br_if $more (i32.eqz (local.get $n)))
      (br_if $more (i32.lt_u (local.get $got) (i32.shl (local.get $n) (i32.const 4)))))
    (local.get $got))
  ;; include behave.wat
)
