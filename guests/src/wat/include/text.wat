  ;; Text given back as it came: what a pointer and a length mean is up to the encoding, and does not matter here.
  (memory (export "memory") 1)
  (func (export "watertight:test/text#echo") (param $at i32) (param $length i32) (result i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (i32.const 0))
  (func (export "watertight:test/text#all") (param $at i32) (param $length i32) (result i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (i32.const 0))
  (func (export "watertight:test/text#length") (param $at i32) (param $length i32) (result i32) (local.get $length))
  ;; The caller has read the result: its memory is free again.
  (func (export "cabi_post_watertight:test/text#echo") (param i32) (call $rewind))
  (func (export "cabi_post_watertight:test/text#all") (param i32) (call $rewind))
