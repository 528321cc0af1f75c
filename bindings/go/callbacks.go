package taper

// #include "shims.h"
import "C"

import (
	"errors"
	"runtime"
	"runtime/cgo"
	"runtime/debug"
	"strings"
	"unsafe"
)

// fail hands an error of Go to the library, which carries it to its caller intact.
func fail(err error) C.uintptr_t {
	payload := C.uintptr_t(cgo.NewHandle(err))
	// An error of the library stays what it is on its way out, so that modules around can say where they stand.
	var own *Error
	if errors.As(err, &own) && own.origin != nil {
		defer runtime.KeepAlive(own)
		return C.go_callback_error_again(C.uintptr_t(own.origin.h), payload)
	}
	m := C.CString(strings.ReplaceAll(err.Error(), "\x00", " "))
	defer freeText(unsafe.Pointer(m))
	return C.go_callback_error(m, payload)
}

// guarded runs a callback; a panic becomes an error, because it must not unwind through C.
func guarded(f func() error) (e C.uintptr_t) {
	callbacks.Add(1)
	returned := false
	defer func() {
		callbacks.Add(-1)
		if p := recover(); p != nil {
			if m, ok := p.(mustError); ok {
				p = m.error
			}
			e = fail(&PanicError{Value: p, Stack: debug.Stack()})
		} else if !returned {
			// runtime.Goexit, as from testing's FailNow: it leaves the library's functions without their ends, so that
			// this thread's state (such as its grad mode) is lost. A goroutine that ends locked takes its thread along.
			runtime.LockOSThread()
		}
	}()
	err := f()
	returned = true
	if err != nil {
		return fail(err)
	}
	return 0
}

// handOver closes what a callback returned and has marked with HandOver. Everything else stays its owner's.
func handOver(tensors ...*Tensor) {
	for _, t := range tensors {
		if t != nil && t.handed.Load() {
			_ = t.Close()
		}
	}
}
func borrowAll(h *C.uintptr_t, n C.size_t) ([]*Tensor, error) {
	out := make([]*Tensor, int(n))
	for i, x := range unsafe.Slice(h, int(n)) {
		t, err := borrow(x)
		if err != nil {
			return nil, err
		}
		out[i] = t
	}
	return out, nil
}

// giveList makes a list of the tensors for the library.
func giveList(tensors []*Tensor) (uintptr, error) {
	h := handlesOf(tensors)
	r := C.go_list_new(handleArray(h), C.size_t(len(h)))
	return uintptr(r.out), check(uintptr(r.err))
}

//export goDrop
func goDrop(user C.uintptr_t) { cgo.Handle(user).Delete() }

//export goForward
func goForward(user, ctx C.uintptr_t, in *C.uintptr_t, n C.size_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(Function)
		inputs, err := borrowAll(in, n)
		if err != nil {
			return err
		}
		defer CloseAll(inputs...)
		results, err := f.Forward(&FunctionCtx{h: ctx}, inputs)
		if err != nil {
			return err
		}
		l, err := giveList(results)
		handOver(results...)
		*out = C.uintptr_t(l)
		return err
	})
}

//export goBackward
func goBackward(user, ctx C.uintptr_t, g *C.uintptr_t, n C.size_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(Function)
		grads, err := borrowAll(g, n)
		if err != nil {
			return err
		}
		defer CloseAll(grads...)
		results, err := f.Backward(&FunctionCtx{h: ctx}, grads)
		if err != nil {
			return err
		}
		l, err := giveList(results)
		handOver(results...)
		*out = C.uintptr_t(l)
		return err
	})
}

//export goHook
func goHook(user, grad C.uintptr_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(func(*Tensor) (*Tensor, error))
		g, err := borrow(grad)
		if err != nil {
			return err
		}
		defer CloseAll(g)
		r, err := f(g)
		if err != nil || r == nil {
			return err
		}
		h, err := r.giveAway()
		handOver(r)
		*out = C.uintptr_t(h)
		return err
	})
}

//export goNodeHook
func goNodeHook(user C.uintptr_t, in *C.uintptr_t, n C.size_t, g *C.uintptr_t, gn C.size_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(func(gradInputs, gradOutputs []*Tensor) ([]*Tensor, error))
		inputs, err := borrowAll(in, n)
		if err != nil {
			return err
		}
		defer CloseAll(inputs...)
		outputs, err := borrowAll(g, gn)
		if err != nil {
			return err
		}
		defer CloseAll(outputs...)
		results, err := f(inputs, outputs)
		if err != nil || results == nil {
			return err
		}
		l, err := giveList(results)
		handOver(results...)
		*out = C.uintptr_t(l)
		return err
	})
}

//export goTensorFunc
func goTensorFunc(user C.uintptr_t, in *C.uintptr_t, n C.size_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(func([]*Tensor) ([]*Tensor, error))
		inputs, err := borrowAll(in, n)
		if err != nil {
			return err
		}
		defer CloseAll(inputs...)
		results, err := f(inputs)
		if err != nil {
			return err
		}
		l, err := giveList(results)
		handOver(results...)
		*out = C.uintptr_t(l)
		return err
	})
}

//export goBeforeForward
func goBeforeForward(user, m C.uintptr_t, in *C.uintptr_t, n C.size_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(func(*Module, []*Tensor) ([]*Tensor, error))
		mod, err := borrowModule(uintptr(m))
		if err != nil {
			return err
		}
		defer mod.Close()
		inputs, err := borrowAll(in, n)
		if err != nil {
			return err
		}
		defer CloseAll(inputs...)
		results, err := f(mod, inputs)
		if err != nil || results == nil {
			return err
		}
		l, err := giveList(results)
		handOver(results...)
		*out = C.uintptr_t(l)
		return err
	})
}

//export goAfterForward
func goAfterForward(user, m C.uintptr_t, in *C.uintptr_t, n C.size_t, output C.uintptr_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(func(*Module, []*Tensor, *Tensor) (*Tensor, error))
		mod, err := borrowModule(uintptr(m))
		if err != nil {
			return err
		}
		defer mod.Close()
		inputs, err := borrowAll(in, n)
		if err != nil {
			return err
		}
		defer CloseAll(inputs...)
		result, err := borrow(output)
		if err != nil {
			return err
		}
		defer CloseAll(result)
		r, err := f(mod, inputs, result)
		if err != nil || r == nil {
			return err
		}
		h, err := r.giveAway()
		handOver(r)
		*out = C.uintptr_t(h)
		return err
	})
}

// goRelease tells the owner of borrowed memory that the library is done with it.
//
//export goRelease
func goRelease(user C.uintptr_t) {
	h := cgo.Handle(user)
	f := h.Value().(func())
	h.Delete()
	f()
}

// goOutOfMemory frees tensors that nobody refers to, so that the library's second try finds the memory that they held.
//
//export goOutOfMemory
func goOutOfMemory() C.int32_t {
	collect()
	return 1
}

//export goModuleForward
func goModuleForward(user C.uintptr_t, in *C.uintptr_t, n C.size_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(Forwarder)
		inputs, err := borrowAll(in, n)
		if err != nil {
			return err
		}
		defer CloseAll(inputs...)
		r, err := f.Forward(inputs...)
		if err != nil {
			return err
		}
		if r == nil {
			return &Error{Code: ErrorType, Arg: -1, Op: "Forward", Message: "Forward returned no tensor and no error"}
		}
		h, err := r.giveAway()
		handOver(r)
		*out = C.uintptr_t(h)
		return err
	})
}

//export goModuleForwardList
func goModuleForwardList(user C.uintptr_t, in *C.uintptr_t, n C.size_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(ListForwarder)
		inputs, err := borrowAll(in, n)
		if err != nil {
			return err
		}
		defer CloseAll(inputs...)
		results, err := f.ForwardList(inputs...)
		if err != nil {
			return err
		}
		l, err := giveList(results)
		handOver(results...)
		*out = C.uintptr_t(l)
		return err
	})
}

//export goAfterForwardList
func goAfterForwardList(user, m C.uintptr_t, in *C.uintptr_t, n C.size_t, outputs *C.uintptr_t, outputsLen C.size_t,
	out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(func(*Module, []*Tensor, []*Tensor) ([]*Tensor, error))
		mod, err := borrowModule(uintptr(m))
		if err != nil {
			return err
		}
		defer mod.Close()
		inputs, err := borrowAll(in, n)
		if err != nil {
			return err
		}
		defer CloseAll(inputs...)
		given, err := borrowAll(outputs, outputsLen)
		if err != nil {
			return err
		}
		defer CloseAll(given...)
		results, err := f(mod, inputs, given)
		if err != nil || results == nil {
			return err
		}
		l, err := giveList(results)
		handOver(results...)
		*out = C.uintptr_t(l)
		return err
	})
}

//export goModuleRepr
func goModuleRepr(user C.uintptr_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		s := ""
		if r, ok := cgo.Handle(user).Value().(interface{ ExtraRepr() string }); ok {
			s = r.ExtraRepr()
		}
		v, err := newString(s)
		*out = C.uintptr_t(v)
		return err
	})
}

//export goApply
func goApply(user, m C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(func(*Module) error)
		mod, err := borrowModule(uintptr(m))
		if err != nil {
			return err
		}
		defer mod.Close()
		return f(mod)
	})
}

//export goSchedule
func goSchedule(user C.uintptr_t, epoch C.int64_t, group C.size_t, baseLR, lr C.double, out *C.double) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(ScheduleFunc)
		v, err := f(ScheduleStep{Epoch: int64(epoch), Group: int(group), BaseLR: float64(baseLR), LR: float64(lr)})
		*out = C.double(v)
		return err
	})
}

//export goLog
func goLog(user C.uintptr_t, level C.int32_t, text *C.char) {
	// A panic has nobody to go to.
	defer func() { _ = recover() }()
	cgo.Handle(user).Value().(func(LogLevel, string))(LogLevel(level), C.GoString(text))
}

//export goPack
func goPack(user, t C.uintptr_t, token *C.uint64_t) C.uintptr_t {
	return guarded(func() error {
		hooks := cgo.Handle(user).Value().(*SavedTensorsHooks)
		x, err := borrow(t)
		if err != nil {
			return err
		}
		defer CloseAll(x)
		kept, err := hooks.Pack(x)
		if err == nil {
			*token = C.uint64_t(cgo.NewHandle(kept))
		}
		return err
	})
}

//export goUnpack
func goUnpack(user C.uintptr_t, token C.uint64_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		hooks := cgo.Handle(user).Value().(*SavedTensorsHooks)
		t, err := hooks.Unpack(cgo.Handle(token).Value())
		if err != nil || t == nil {
			return err
		}
		h, err := t.giveAway()
		handOver(t)
		*out = C.uintptr_t(h)
		return err
	})
}
