  ;; An allocator that only goes forward, from the second page on; `$rewind` gives everything back.
  (global $next (mut i32) (i32.const 65536))
  (func $rewind (global.set $next (i32.const 65536)))
  (func $realloc (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32) (local $end i32) (local $pages i32)
    (local.set $at (i32.and
      (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (local.set $pages (i32.shr_u (i32.add (local.get $end) (i32.const 65535)) (i32.const 16)))
    (if (i32.gt_u (local.get $pages) (memory.size))
      (then
        (if (i32.eq (i32.const -1) (memory.grow (i32.sub (local.get $pages) (memory.size))))
          (then unreachable))))
    (memory.copy (local.get $at) (local.get $old) (local.get $old_size))
    (global.set $next (local.get $end))
    (local.get $at))
