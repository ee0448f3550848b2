;; Borrows a third component's thing, and in `keep` never gives it back.
;; world: borrow-keeper
(module
  (import "watertight:test/handles" "[method]thing.value" (func $value (param i32) (result i32)))
  (import "watertight:test/handles" "[resource-drop]thing" (func $drop (param i32)))
  (func (export "watertight:test/keeper#read") (param $thing i32) (result i32)
    (local $value i32)
    (local.set $value (call $value (local.get $thing)))
    (call $drop (local.get $thing))
    (local.get $value))
  (func (export "watertight:test/keeper#keep") (param $thing i32) (result i32) (call $value (local.get $thing)))
)
