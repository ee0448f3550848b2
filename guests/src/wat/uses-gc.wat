;; Garbage collection: a linked list of `n` structs that is built, counted and let go.
;; world: behave-guest
(module
  (memory (export "memory") 1)
  (type $node (struct (field $next (ref null $node))))
  (func $do (param $n i32) (result i32)
    (local $list (ref null $node)) (local $count i32)
    (block $built
      (loop $more
        (br_if $built (i32.eqz (local.get $n)))
        (local.set $list (struct.new $node (local.get $list)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $more)))
    (block $counted
      (loop $more
        (br_if $counted (ref.is_null (local.get $list)))
        (local.set $list (struct.get $node $next (ref.as_non_null (local.get $list))))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br $more)))
    (local.get $count))
  ;; include behave.wat
)
