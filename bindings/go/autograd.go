package taper

/*
#include "shims.h"

static inline uintptr_t go_backward(uintptr_t *t, size_t n, uintptr_t *g, size_t gn, bool retain, bool create,
                                    uintptr_t *in, size_t in_n) {
    return (uintptr_t)taper_backward((taper_tensor *const *)t, n, (taper_tensor *const *)g, gn, retain, create,
                                     (taper_tensor *const *)in, in_n);
}
static inline uintptr_t go_ctx_mark(uintptr_t c, uintptr_t *t, size_t n, bool dirty) {
    return (uintptr_t)(dirty ? taper_function_ctx_mark_dirty : taper_function_ctx_mark_non_differentiable)(
        (taper_function_ctx *)c, (taper_tensor *const *)t, n);
}
static inline go_pair go_grad(uintptr_t *o, size_t on, uintptr_t *in, size_t n, uintptr_t *g, size_t gn, bool retain,
                              bool create, bool unused) {
    taper_tensor_list *l = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_grad((taper_tensor *const *)o, on, (taper_tensor *const *)in, n,
                                  (taper_tensor *const *)g, gn, retain, create, unused, &l);
    r.out = (uintptr_t)l;
    return r;
}
static inline uintptr_t go_remove_hook(uintptr_t t, uint64_t id) {
    return (uintptr_t)taper_tensor_remove_hook((taper_tensor *)t, id);
}
static inline uintptr_t go_ctx_save(uintptr_t c, uintptr_t *t, size_t n) {
    return (uintptr_t)taper_function_ctx_save_for_backward((taper_function_ctx *)c, (taper_tensor *const *)t, n);
}
static inline go_pair go_ctx_saved(uintptr_t c) {
    taper_tensor_list *l = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_function_ctx_saved_tensors((taper_function_ctx *)c, &l);
    r.out = (uintptr_t)l;
    return r;
}
static inline int32_t go_ctx_needs(uintptr_t c, size_t i) {
    return taper_function_ctx_needs_input_grad((taper_function_ctx *)c, i);
}
*/
import "C"

import (
	"runtime"
	"runtime/cgo"
)

// BackwardOptions are the optional arguments of Backward.
type BackwardOptions struct {
	// Gradient of the tensor; nil is 1 for a tensor of one element.
	Gradient *Tensor
	// RetainGraph keeps the graph for another backward; CreateGraph records the backward itself.
	RetainGraph, CreateGraph bool
	// Inputs, unless empty, are the only leaves whose Grad is added to.
	Inputs []*Tensor
}

// Backward computes gradients and adds them to the leaves' Grad.
func (t *Tensor) Backward(opts ...BackwardOptions) error {
	o := first(opts)
	return Backward([]*Tensor{t}, []*Tensor{o.Gradient}, o)
}

// Backward computes the gradients of several tensors at once. gradients has one element for each, nil being 1 for a
// tensor of one element; or it is empty. The options' Gradient is not used.
func Backward(tensors, gradients []*Tensor, opts ...BackwardOptions) error {
	o := first(opts)
	h, g, in := handlesOf(tensors), handlesOf(gradients), handlesOf(o.Inputs)
	e := C.go_backward(handleArray(h), C.size_t(len(h)), handleArray(g), C.size_t(len(g)), C.bool(o.RetainGraph),
		C.bool(o.CreateGraph), handleArray(in), C.size_t(len(in)))
	runtime.KeepAlive(tensors)
	runtime.KeepAlive(gradients)
	runtime.KeepAlive(o.Inputs)
	return check(uintptr(e))
}

// GradOptions are the optional arguments of Grad.
type GradOptions struct {
	// GradOutputs holds one gradient per output, nil elements being 1.
	GradOutputs                           []*Tensor
	RetainGraph, CreateGraph, AllowUnused bool
}

// Grad returns the gradients of outputs with respect to inputs, without touching any Grad. With AllowUnused, inputs
// that were not used have nil.
func Grad(outputs, inputs []*Tensor, opts ...GradOptions) ([]*Tensor, error) {
	o := first(opts)
	out, in, g := handlesOf(outputs), handlesOf(inputs), handlesOf(o.GradOutputs)
	r := C.go_grad(handleArray(out), C.size_t(len(out)), handleArray(in), C.size_t(len(in)), handleArray(g),
		C.size_t(len(g)), C.bool(o.RetainGraph || o.CreateGraph), C.bool(o.CreateGraph), C.bool(o.AllowUnused))
	runtime.KeepAlive(outputs)
	runtime.KeepAlive(inputs)
	runtime.KeepAlive(o.GradOutputs)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adoptList(uintptr(r.out))
}

// NoGrad runs f without recording. Grad mode belongs to the thread, so the goroutine stays on its own meanwhile.
func NoGrad(f func() error) error { return withGradMode("NoGrad", false, f) }

// EnableGrad runs f with recording on, inside NoGrad.
func EnableGrad(f func() error) error { return withGradMode("EnableGrad", true, f) }

func withGradMode(op string, on bool, f func() error) error {
	if f == nil {
		return missing(op, "f", 0)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old := C.taper_set_grad_mode(C.bool(on))
	defer C.taper_set_grad_mode(old)
	return f()
}

// InferenceMode runs f without recording and without tracking views: what it makes can never be part of a graph.
func InferenceMode(f func() error) error {
	if f == nil {
		return missing("InferenceMode", "f", 0)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old := C.taper_set_inference_mode(true)
	defer C.taper_set_inference_mode(old)
	return f()
}

// DetectAnomaly switches anomaly mode on or off for the whole process and returns what it was: while it is on, a
// backward pass that computes a NaN ends with an error that names the function.
func DetectAnomaly(on bool) bool { return bool(C.taper_set_detect_anomaly(C.bool(on), true)) }

// GradEnabled says whether ops are recorded on this thread.
func GradEnabled() bool { return bool(C.taper_grad_mode_enabled()) }

// RegisterHook calls f with the tensor's gradient during backward; a tensor that f returns replaces it. The gradient
// is closed when f has returned; what it returns stays its owner's (HandOver). The result is for RemoveHook.
func (t *Tensor) RegisterHook(f func(grad *Tensor) (*Tensor, error)) (uint64, error) {
	if f == nil {
		return 0, missing("RegisterHook", "f", 1)
	}
	var id C.uint64_t
	e := C.go_register_hook(t.ptr(), C.uintptr_t(cgo.NewHandle(f)), &id)
	runtime.KeepAlive(t)
	return uint64(id), check(uintptr(e))
}

// RegisterPostAccumulateGradHook calls f with the leaf itself after backward has added to its Grad. The result is for
// RemoveHook.
func (t *Tensor) RegisterPostAccumulateGradHook(f func(leaf *Tensor) error) (uint64, error) {
	if f == nil {
		return 0, missing("RegisterPostAccumulateGradHook", "f", 1)
	}
	var id C.uint64_t
	call := func(leaf *Tensor) (*Tensor, error) { return nil, f(leaf) }
	e := C.go_register_post_accumulate_grad_hook(t.ptr(), C.uintptr_t(cgo.NewHandle(call)), &id)
	runtime.KeepAlive(t)
	return uint64(id), check(uintptr(e))
}

// RemoveHook removes a hook of the tensor; unknown numbers are ignored.
func (t *Tensor) RemoveHook(id uint64) error {
	e := C.go_remove_hook(t.ptr(), C.uint64_t(id))
	runtime.KeepAlive(t)
	return check(uintptr(e))
}

// FunctionCtx carries what Forward leaves for Backward. It is valid during the call only.
type FunctionCtx struct{ h C.uintptr_t }

func (c *FunctionCtx) ptr() C.uintptr_t {
	if c == nil {
		return 0
	}
	return c.h
}

// SaveForBackward keeps tensors; in Forward, once.
func (c *FunctionCtx) SaveForBackward(tensors ...*Tensor) error {
	h := handlesOf(tensors)
	e := C.go_ctx_save(c.ptr(), handleArray(h), C.size_t(len(h)))
	runtime.KeepAlive(tensors)
	return check(uintptr(e))
}

// MarkDirty says that Forward wrote to these inputs in place.
func (c *FunctionCtx) MarkDirty(tensors ...*Tensor) error { return c.mark(true, tensors) }

// MarkNonDifferentiable says that these outputs have no gradient; in Forward.
func (c *FunctionCtx) MarkNonDifferentiable(tensors ...*Tensor) error { return c.mark(false, tensors) }
func (c *FunctionCtx) mark(dirty bool, tensors []*Tensor) error {
	h := handlesOf(tensors)
	e := C.go_ctx_mark(c.ptr(), handleArray(h), C.size_t(len(h)), C.bool(dirty))
	runtime.KeepAlive(tensors)
	return check(uintptr(e))
}

// SavedTensors are the tensors that Forward kept; the caller closes them.
func (c *FunctionCtx) SavedTensors() ([]*Tensor, error) {
	r := C.go_ctx_saved(c.ptr())
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adoptList(uintptr(r.out))
}

// NeedsInputGrad says whether the gradient of input i is wanted.
func (c *FunctionCtx) NeedsInputGrad(i int) bool { return C.go_ctx_needs(c.ptr(), C.size_t(i)) == 1 }

// Function is a differentiable function of the caller. The tensors handed in are closed when a method returns; those that
// it returns stay their owner's (HandOver).
type Function interface {
	Forward(ctx *FunctionCtx, inputs []*Tensor) ([]*Tensor, error)
	// Backward returns one gradient per input; nil where none is needed. Absent output gradients are nil.
	Backward(ctx *FunctionCtx, grads []*Tensor) ([]*Tensor, error)
}

// Apply runs f.Forward and records it as one node, whose name is what the graph shows.
func Apply(f Function, name string, inputs ...*Tensor) ([]*Tensor, error) {
	if f == nil {
		return nil, missing("Apply", "f", 0)
	}
	n, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(n)
	h := handlesOf(inputs)
	r := C.go_function_apply(C.uintptr_t(cgo.NewHandle(f)), (*C.char)(n), handleArray(h), C.size_t(len(h)))
	runtime.KeepAlive(inputs)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adoptList(uintptr(r.out))
}
