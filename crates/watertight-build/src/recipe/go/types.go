// Package types holds the types of WIT that Go does not have.
package types

// What Tag tells.
const (
	OptionNone uint8 = 0
	OptionSome uint8 = 1
	ResultOk   uint8 = 0
	ResultErr  uint8 = 1
)

// Unit is the payload of what has none.
type Unit struct{}

// Option is a value, or none.
type Option[T any] struct {
	tag   uint8
	value T
}

// Some is this value.
func Some[T any](value T) Option[T] { return Option[T]{OptionSome, value} }

// None is no value.
func None[T any]() Option[T] { return Option[T]{tag: OptionNone} }

// Tag is OptionNone or OptionSome.
func (o Option[T]) Tag() uint8 { return o.tag }

// IsSome tells whether there is a value.
func (o Option[T]) IsSome() bool { return o.tag == OptionSome }

// IsNone tells whether there is none.
func (o Option[T]) IsNone() bool { return o.tag == OptionNone }

// Some is the value, which must be there.
func (o Option[T]) Some() T {
	if o.tag != OptionSome {
		panic("this option is none")
	}
	return o.value
}

// SomeOr is the value, or this one where there is none.
func (o Option[T]) SomeOr(other T) T {
	if o.tag == OptionSome {
		return o.value
	}
	return other
}

// Result is a value, or an error.
type Result[T, E any] struct {
	tag uint8
	ok  T
	err E
}

// Ok is this value.
func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{tag: ResultOk, ok: value} }

// Err is this error.
func Err[T, E any](err E) Result[T, E] { return Result[T, E]{tag: ResultErr, err: err} }

// Tag is ResultOk or ResultErr.
func (r Result[T, E]) Tag() uint8 { return r.tag }

// IsOk tells whether it is a value.
func (r Result[T, E]) IsOk() bool { return r.tag == ResultOk }

// IsErr tells whether it is an error.
func (r Result[T, E]) IsErr() bool { return r.tag == ResultErr }

// Ok is the value; it must be one.
func (r Result[T, E]) Ok() T {
	if r.tag != ResultOk {
		panic("this result is an error")
	}
	return r.ok
}

// Err is the error; it must be one.
func (r Result[T, E]) Err() E {
	if r.tag != ResultErr {
		panic("this result is no error")
	}
	return r.err
}
