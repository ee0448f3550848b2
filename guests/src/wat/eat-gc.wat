;; Fills the GC heap with `n` thousand arrays of 1 KiB that stay reachable (0: for ever); traps when there is no more.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (type $bytes (array (mut i8)))
  (type $node (struct (field (ref $bytes)) (field (ref null $node))))
  (global $kept (mut (ref null $node)) (ref.null $node))
  (func $do (param $n i32) (result i32)
    (local $got i32)
    (loop $more
      (global.set $kept
        (struct.new $node (array.new $bytes (i32.const 1) (i32.const 1024)) (global.get $kept)))
      (local.set $got (i32.add (local.get $got) (i32.const 1)))
      (br_if $more (i32.eqz (local.get $n)))
      (br_if $more (i32.lt_u (local.get $got) (i32.mul (local.get $n) (i32.const 1000)))))
    (local.get $got))
  ;; include behave.wat
)
