package taper

/*
#include "shims.h"

static inline uintptr_t go_scope_end(void) { return (uintptr_t)taper_scope_end(); }
static inline uintptr_t go_scope_keep(uintptr_t t) { return (uintptr_t)taper_scope_keep((taper_tensor *)t); }
*/
import "C"

import (
	"errors"
	"runtime"
)

// Scope runs f and then frees the tensors that were made in it, so that none has to be closed by hand and none waits for
// the collector. What is to outlive it is kept (Keep); using another one afterwards is an error. What modules, optimisers
// and graphs hold stays theirs: only the handles of f's variables go. Scopes nest. The goroutine stays on its thread
// meanwhile, and goroutines that f starts are not in the scope. The result is f's error; a panic of f passes through, after
// everything was freed.
//
// Source: taper_scope_begin and taper_scope_end.
func Scope(f func() error) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	C.taper_scope_begin()
	defer func() {
		if e := check(uintptr(C.go_scope_end())); e != nil {
			err = errors.Join(err, e)
		}
	}()
	return f()
}

// Keep lets t outlive the innermost Scope: it belongs to the scope around, or to the program again. It returns t. Outside a
// scope, for a tensor of another one, and for nil, nothing changes.
//
// Source: taper_scope_keep.
func (t *Tensor) Keep() *Tensor {
	if t != nil {
		// A tensor that was closed has nothing to keep; its next use says so.
		_ = check(uintptr(C.go_scope_keep(t.ptr())))
		runtime.KeepAlive(t)
	}
	return t
}

// Try runs f and returns what Must or Check panicked with in it: several steps with one look for errors. Other panics,
// those of the runtime (an index out of range, a nil pointer) included, go on.
//
//	err := taper.Try(func() {
//		y := taper.Must(x.Matmul(w))
//		taper.Check(y.Backward())
//	})
func Try(f func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case mustError:
			err = p.error
		default:
			panic(p)
		}
	}()
	f()
	return nil
}

// mustError is what Must and Check panic with: an error that Try tells from other panics. It reads as the error inside.
type mustError struct{ error }

// Unwrap gives errors.Is and errors.As the error inside.
func (e mustError) Unwrap() error { return e.error }
