;; Lends a thing to a component that may keep it.
;; world: borrow-keeper-caller
(module
  (import "watertight:test/handles" "[constructor]thing" (func $new (result i32)))
  (import "watertight:test/keeper" "read" (func $read (param i32) (result i32)))
  (import "watertight:test/keeper" "keep" (func $keep (param i32) (result i32)))
  (func (export "watertight:test/keeper-told#read") (result i32) (call $read (call $new)))
  (func (export "watertight:test/keeper-told#keep") (result i32) (call $keep (call $new)))
)
