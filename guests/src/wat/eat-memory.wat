;; Grows its memory by `n` MiB (0: for ever), a page at a time, and writes to each page.
;; Answers how many pages it got; fails in good order when the host refuses one.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (data (i32.const 64) "memory.grow was refused")
  (func $do (param $n i32) (result i32)
    (local $got i32) (local $page i32)
    (loop $more
      (local.set $page (memory.grow (i32.const 1)))
      (if (i32.eq (local.get $page) (i32.const -1))
        (then
          (call $fail (i32.const 64) (i32.const 23))
          (return (local.get $got))))
      (i32.store (i32.shl (local.get $page) (i32.const 16)) (local.get $page))
      (local.set $got (i32.add (local.get $got) (i32.const 1)))
      (br_if $more (i32.eqz (local.get $n)))
      (br_if $more (i32.lt_u (local.get $got) (i32.shl (local.get $n) (i32.const 4)))))
    (local.get $got))
  ;; include behave.wat
)
