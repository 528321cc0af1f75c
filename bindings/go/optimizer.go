package taper

/*
#include "shims.h"

static inline uintptr_t go_optimizer_add_group(uintptr_t o, uintptr_t params) {
    return (uintptr_t)taper_optimizer_add_param_group((taper_optimizer *)o, (taper_tensor_list *)params, 0);
}
static inline go_pair go_optimizer_group_params(uintptr_t o, size_t group) {
    taper_tensor_list *l = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_optimizer_group_params((taper_optimizer *)o, group, &l);
    r.out = (uintptr_t)l;
    return r;
}
typedef struct { uintptr_t err; taper_scalar value; } go_option;
static inline go_option go_optimizer_get_option(uintptr_t o, size_t group, const char *name) {
    go_option r = {0};
    r.err = (uintptr_t)taper_optimizer_get_option((taper_optimizer *)o, group, name, &r.value);
    return r;
}
static inline uintptr_t go_optimizer_set_option(uintptr_t o, size_t group, const char *name, taper_scalar v) {
    return (uintptr_t)taper_optimizer_set_option((taper_optimizer *)o, group, name, v);
}
typedef struct { uintptr_t err; size_t n; double v[3]; } go_values;
static inline go_values go_optimizer_get_values(uintptr_t o, size_t group, const char *name) {
    go_values r = {0};
    r.err = (uintptr_t)taper_optimizer_get_option_values((taper_optimizer *)o, group, name, r.v, 3, &r.n);
    return r;
}
static inline uintptr_t go_optimizer_set_values(uintptr_t o, size_t group, const char *name, double *v, size_t n) {
    return (uintptr_t)taper_optimizer_set_option_values((taper_optimizer *)o, group, name, v, n);
}
static inline go_pair go_optimizer_get_text(uintptr_t o, size_t group, const char *name) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_optimizer_get_option_text((taper_optimizer *)o, group, name, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline go_pair go_optimizer_get_state(uintptr_t o, uintptr_t p, const char *name) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_optimizer_get_state((taper_optimizer *)o, (taper_tensor *)p, name, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline uintptr_t go_optimizer_set_state(uintptr_t o, uintptr_t p, const char *name, uintptr_t v) {
    return (uintptr_t)taper_optimizer_set_state((taper_optimizer *)o, (taper_tensor *)p, name, (taper_tensor *)v);
}
static inline void go_params_free(uintptr_t l) { taper_tensor_list_free((taper_tensor_list *)l); }
*/
import "C"

import (
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// newList holds parameters for the time of a call.
func newList(params []*Tensor) (C.uintptr_t, error) {
	h := handlesOf(params)
	r := C.go_list_new(handleArray(h), C.size_t(len(h)))
	runtime.KeepAlive(params)
	return C.uintptr_t(r.out), check(uintptr(r.err))
}
func freeList(l C.uintptr_t) { C.go_params_free(l) }

func cBool(v bool) C.int32_t {
	if v {
		return 1
	}
	return 0
}

// AddParamGroup gives the optimiser more parameters, with the options that it was made with.
func (o *Optimizer) AddParamGroup(params []*Tensor) error {
	l, err := newList(params)
	if err != nil {
		return err
	}
	defer freeList(l)
	defer runtime.KeepAlive(o)
	return check(uintptr(C.go_optimizer_add_group(o.ptr(), l)))
}

// Params are the parameters of a group.
func (o *Optimizer) Params(group int) ([]*Tensor, error) {
	r := C.go_optimizer_group_params(o.ptr(), C.size_t(group))
	runtime.KeepAlive(o)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adoptList(uintptr(r.out))
}

// Option is an option of a group that is one number or bool, by PyTorch's name ("weight_decay").
func (o *Optimizer) Option(group int, name string) (Scalar, error) {
	n, err := text(name)
	if err != nil {
		return Scalar{}, err
	}
	defer freeText(n)
	r := C.go_optimizer_get_option(o.ptr(), C.size_t(group), (*C.char)(n))
	runtime.KeepAlive(o)
	return scalarFrom(r.value), check(uintptr(r.err))
}

// SetOption sets an option of a group that is one number or bool.
func (o *Optimizer) SetOption(group int, name string, v Scalar) error {
	n, err := text(name)
	if err != nil {
		return err
	}
	defer freeText(n)
	defer runtime.KeepAlive(o)
	return check(uintptr(C.go_optimizer_set_option(o.ptr(), C.size_t(group), (*C.char)(n), C.taper_scalar(v.c()))))
}

// OptionValues are the numbers of an option such as "betas".
func (o *Optimizer) OptionValues(group int, name string) ([]float64, error) {
	n, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(n)
	r := C.go_optimizer_get_values(o.ptr(), C.size_t(group), (*C.char)(n))
	runtime.KeepAlive(o)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	out := make([]float64, int(r.n))
	for i := range out {
		out[i] = float64(r.v[i])
	}
	return out, nil
}

// SetOptionValues sets an option such as "betas".
func (o *Optimizer) SetOptionValues(group int, name string, v ...float64) error {
	n, err := text(name)
	if err != nil {
		return err
	}
	defer freeText(n)
	defer runtime.KeepAlive(o)
	e := C.go_optimizer_set_values(o.ptr(), C.size_t(group), (*C.char)(n), (*C.double)(unsafe.SliceData(v)), C.size_t(len(v)))
	runtime.KeepAlive(v)
	return check(uintptr(e))
}

// OptionText is any option of a group as Python prints it.
func (o *Optimizer) OptionText(group int, name string) (string, error) {
	n, err := text(name)
	if err != nil {
		return "", err
	}
	defer freeText(n)
	r := C.go_optimizer_get_text(o.ptr(), C.size_t(group), (*C.char)(n))
	runtime.KeepAlive(o)
	if r.err != 0 {
		return "", check(uintptr(r.err))
	}
	return takeString(uintptr(r.out)), nil
}

// State is what an OwnOptimizer keeps for a parameter under a name; nil where there is nothing.
func (o *Optimizer) State(p *Tensor, name string) (*Tensor, error) {
	n, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(n)
	r := C.go_optimizer_get_state(o.ptr(), p.ptr(), (*C.char)(n))
	runtime.KeepAlive(o)
	runtime.KeepAlive(p)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adopt(uintptr(r.out)), nil
}

// SetState keeps a tensor for a parameter under a name, which state dicts have too; nil forgets it.
func (o *Optimizer) SetState(p *Tensor, name string, v *Tensor) error {
	n, err := text(name)
	if err != nil {
		return err
	}
	defer freeText(n)
	defer runtime.KeepAlive(o)
	defer runtime.KeepAlive(p)
	defer runtime.KeepAlive(v)
	var h C.uintptr_t
	if v != nil {
		h = v.ptr()
	}
	return check(uintptr(C.go_optimizer_set_state(o.ptr(), p.ptr(), (*C.char)(n), h)))
}

// StepClosure is a step that calls f first (LBFGS: several times), which zeroes the gradients and computes the loss and its
// gradients anew. It gives the first loss.
func (o *Optimizer) StepClosure(f func() (*Tensor, error)) (*Tensor, error) {
	if f == nil {
		return nil, missing("optimizer_step_closure", "f", 1)
	}
	r := C.go_optimizer_step_closure(o.ptr(), C.uintptr_t(cgo.NewHandle(f)))
	runtime.KeepAlive(o)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adopt(uintptr(r.out)), nil
}

// OwnOptimizer is an update of the program's own: Step reads the groups' parameters and options and keeps its state through
// o; gradients are not recorded meanwhile.
type OwnOptimizer interface {
	Step(o *Optimizer) error
}

// NewOwnOptimizer makes an optimiser whose step is the program's; options of any name may be set.
func NewOwnOptimizer(name string, params []*Tensor, update OwnOptimizer) (*Optimizer, error) {
	if update == nil {
		return nil, missing("optimizer_own_new", "update", 2)
	}
	n, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(n)
	l, err := newList(params)
	if err != nil {
		return nil, err
	}
	defer freeList(l)
	return adoptOptimizer(C.go_optimizer_own_new((*C.char)(n), l, C.uintptr_t(cgo.NewHandle(update))))
}

//export goLossClosure
func goLossClosure(user C.uintptr_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		loss, err := cgo.Handle(user).Value().(func() (*Tensor, error))()
		if err != nil || loss == nil {
			return err
		}
		h, err := loss.giveAway()
		handOver(loss)
		*out = C.uintptr_t(h)
		return err
	})
}

//export goOwnStep
func goOwnStep(user, self C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		o := &Optimizer{}
		// The library's handle, which it frees itself.
		o.h = uintptr(self)
		return cgo.Handle(user).Value().(OwnOptimizer).Step(o)
	})
}
