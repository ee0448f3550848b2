// Package runtime is what generated bindings need of memory and handles.
package runtime

import (
	"runtime"
	"unsafe"
)

// A Handle is a resource of another component: taken once, and nil afterwards.
type Handle struct{ value int32 }

// MakeHandle wraps what came over the boundary; zero is never a handle.
func MakeHandle(value int32) *Handle {
	if value == 0 {
		panic("a handle is zero")
	}
	return &Handle{value}
}

// Use gives the handle and keeps it.
func (h *Handle) Use() int32 {
	if h.value == 0 {
		panic("this resource was dropped or given away")
	}
	return h.value
}

// Take gives the handle away.
func (h *Handle) Take() int32 {
	value := h.Use()
	h.value = 0
	return value
}

// TakeOrNil gives the handle away, or zero where that was done.
func (h *Handle) TakeOrNil() int32 {
	value := h.value
	h.value = 0
	return value
}

// Set gives it a handle, once.
func (h *Handle) Set(value int32) {
	if value == 0 || h.value != 0 {
		panic("a handle is set once")
	}
	h.value = value
}

// Allocate gives memory that stays where it is until its pinner lets go of it.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		// Nothing is ever read there; it only has to be aligned.
		return unsafe.Pointer(align)
	}
	// No type of the canonical ABI is aligned to more than 8.
	memory := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	pinner.Pin(memory)
	return memory
}

// What came in with a call, until the bindings have taken it.
var received runtime.Pinner

// Unpin leaves to the collector what came in.
func Unpin() { received.Unpin() }

func reallocate(old unsafe.Pointer, oldSize, align, newSize uintptr) unsafe.Pointer {
	fresh := Allocate(&received, newSize, align)
	if old != nil {
		copy(unsafe.Slice((*byte)(fresh), newSize), unsafe.Slice((*byte)(old), min(oldSize, newSize)))
	}
	return fresh
}

// Not `cabi_realloc`: the adapter for WASI would call that one before Go has started.

//go:wasmexport cabi_export_realloc
func reallocateArguments(old unsafe.Pointer, oldSize, align, newSize uintptr) unsafe.Pointer {
	return reallocate(old, oldSize, align, newSize)
}

//go:wasmexport cabi_import_realloc
func reallocateResults(old unsafe.Pointer, oldSize, align, newSize uintptr) unsafe.Pointer {
	return reallocate(old, oldSize, align, newSize)
}

// Memory for the adapter for WASI, which needs some before Go has started, and may not grow the memory behind Go's back. The
// build finds it by how it begins, and adds the function that hands it out.
var arena = [4 << 16]byte{
	0x57, 0x61, 0x74, 0x65, 0x72, 0x74, 0x69, 0x67, 0x68, 0x74, 0x9b, 0x1f, 0xc3, 0x5e, 0x80, 0xd7,
	0xe2, 0x46, 0xa9, 0x0d, 0x73, 0xb8, 0x2c, 0xf1, 0x95, 0x3a, 0x6e, 0xd4, 0x08, 0xbd, 0x51, 0xfa,
}

// It stays only if something uses it.
func init() { arena[len(arena)-1] = 1 }
