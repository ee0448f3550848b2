;; Bulk memory: fills `n` bytes, copies them, and counts what arrived.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (func $do (param $n i32) (result i32)
    (local $count i32)
    (memory.fill (i32.const 1024) (i32.const 1) (local.get $n))
    (memory.copy (i32.const 32768) (i32.const 1024) (local.get $n))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (i32.load8_u (i32.add (i32.const 32768) (local.get $count)))))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br $more)))
    (local.get $count))
  ;; include behave.wat
)
