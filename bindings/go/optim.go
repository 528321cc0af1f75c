package taper

/*
#include "shims.h"

static inline taper_sgd_options go_sgd_options(double lr, double momentum, double dampening, double weight_decay,
                                               bool nesterov, bool maximize) {
    taper_sgd_options o = TAPER_SGD_OPTIONS_INIT;
    o.lr = lr;
    o.momentum = momentum;
    o.dampening = dampening;
    o.weight_decay = weight_decay;
    o.nesterov = nesterov;
    o.maximize = maximize;
    return o;
}
static inline go_pair go_sgd_new(uintptr_t *p, size_t n, taper_sgd_options o) {
    taper_optimizer *out = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_optim_sgd_new((taper_tensor *const *)p, n, &o, &out);
    r.out = (uintptr_t)out;
    return r;
}
static inline uintptr_t go_add_sgd_group(uintptr_t o, uintptr_t *p, size_t n, taper_sgd_options options) {
    return (uintptr_t)taper_optimizer_add_sgd_group((taper_optimizer *)o, (taper_tensor *const *)p, n, &options);
}
static inline taper_adam_options go_adam_options(double lr, double beta1, double beta2, double eps, double weight_decay,
                                                 bool amsgrad, bool decoupled, bool maximize) {
    taper_adam_options o = TAPER_ADAM_OPTIONS_INIT;
    o.lr = lr;
    o.beta1 = beta1;
    o.beta2 = beta2;
    o.eps = eps;
    o.weight_decay = weight_decay;
    o.amsgrad = amsgrad;
    o.decoupled = decoupled;
    o.maximize = maximize;
    return o;
}
static inline go_pair go_adam_new(uintptr_t *p, size_t n, taper_adam_options o) {
    taper_optimizer *out = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_optim_adam_new((taper_tensor *const *)p, n, &o, &out);
    r.out = (uintptr_t)out;
    return r;
}
static inline uintptr_t go_add_adam_group(uintptr_t o, uintptr_t *p, size_t n, taper_adam_options options) {
    return (uintptr_t)taper_optimizer_add_adam_group((taper_optimizer *)o, (taper_tensor *const *)p, n, &options);
}
static inline void go_optimizer_free(uintptr_t o) { taper_optimizer_free((taper_optimizer *)o); }
static inline int64_t go_optimizer_num_groups(uintptr_t o) { return taper_optimizer_num_groups((taper_optimizer *)o); }
static inline uintptr_t go_optimizer_step(uintptr_t o) { return (uintptr_t)taper_optimizer_step((taper_optimizer *)o); }
static inline uintptr_t go_optimizer_zero_grad(uintptr_t o) {
    return (uintptr_t)taper_optimizer_zero_grad((taper_optimizer *)o, true);
}
static inline uintptr_t go_optimizer_set_lr(uintptr_t o, double lr) {
    return (uintptr_t)taper_optimizer_set_lr((taper_optimizer *)o, lr);
}
static inline uintptr_t go_optimizer_set_group_lr(uintptr_t o, size_t group, double lr) {
    return (uintptr_t)taper_optimizer_set_group_lr((taper_optimizer *)o, group, lr);
}
typedef struct { uintptr_t err; double lr; } go_lr;
static inline go_lr go_optimizer_get_lr(uintptr_t o, size_t group) {
    go_lr r = {0, 0};
    r.err = (uintptr_t)taper_optimizer_get_lr((taper_optimizer *)o, group, &r.lr);
    return r;
}
static inline go_pair go_optimizer_state_dict(uintptr_t o) {
    taper_named_tensors *n = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_optimizer_state_dict((taper_optimizer *)o, &n);
    r.out = (uintptr_t)n;
    return r;
}
static inline uintptr_t go_optimizer_load_state_dict(uintptr_t o, uintptr_t n) {
    return (uintptr_t)taper_optimizer_load_state_dict((taper_optimizer *)o, (taper_named_tensors *)n);
}
static inline go_pair go_optimizer_to_string(uintptr_t o) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_optimizer_to_string((taper_optimizer *)o, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline uintptr_t go_optimizer_save(uintptr_t o, const char *p) {
    return (uintptr_t)taper_optimizer_save((taper_optimizer *)o, p);
}
static inline uintptr_t go_optimizer_load(uintptr_t o, const char *p) {
    return (uintptr_t)taper_optimizer_load((taper_optimizer *)o, p);
}
*/
import "C"

import (
	"runtime"
)

// Optimizer updates parameters from their gradients.
type Optimizer struct{ object }

func freeOptimizer(h uintptr) { C.go_optimizer_free(C.uintptr_t(h)) }
func adoptOptimizer(r C.go_pair) (*Optimizer, error) {
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	o := &Optimizer{}
	o.own(uintptr(r.out), freeOptimizer)
	return o, nil
}
func (o *Optimizer) ptr() C.uintptr_t {
	if o == nil {
		return 0
	}
	return C.uintptr_t(o.h)
}

// SGDOptions are the hyperparameters of SGD beside the learning rate.
type SGDOptions struct {
	Momentum, Dampening, WeightDecay float64
	Nesterov                         bool
	// Maximize climbs instead of descending.
	Maximize bool
}

func (o SGDOptions) c(lr float64) C.taper_sgd_options {
	return C.go_sgd_options(C.double(lr), C.double(o.Momentum), C.double(o.Dampening), C.double(o.WeightDecay),
		C.bool(o.Nesterov), C.bool(o.Maximize))
}

// NewSGD is stochastic gradient descent.
func NewSGD(params []*Tensor, lr float64, opts ...SGDOptions) (*Optimizer, error) {
	h := handlesOf(params)
	r := C.go_sgd_new(handleArray(h), C.size_t(len(h)), first(opts).c(lr))
	runtime.KeepAlive(params)
	return adoptOptimizer(r)
}

// AddSGDGroup gives an optimiser that NewSGD made more parameters, with a learning rate and options of their own.
func (o *Optimizer) AddSGDGroup(params []*Tensor, lr float64, opts ...SGDOptions) error {
	h := handlesOf(params)
	e := C.go_add_sgd_group(o.ptr(), handleArray(h), C.size_t(len(h)), first(opts).c(lr))
	runtime.KeepAlive(params)
	runtime.KeepAlive(o)
	return check(uintptr(e))
}

// AdamOptions are the hyperparameters of Adam beside the learning rate.
type AdamOptions struct {
	Beta1       *float64 // default 0.9
	Beta2       *float64 // default 0.999
	Eps         *float64 // default 1e-8
	WeightDecay float64
	Amsgrad     bool
	// Decoupled makes it AdamW.
	Decoupled bool
	// Maximize climbs instead of descending.
	Maximize bool
}

func (o AdamOptions) c(lr float64) C.taper_adam_options {
	return C.go_adam_options(C.double(lr), C.double(or(o.Beta1, 0.9)), C.double(or(o.Beta2, 0.999)),
		C.double(or(o.Eps, 1e-8)), C.double(o.WeightDecay), C.bool(o.Amsgrad), C.bool(o.Decoupled), C.bool(o.Maximize))
}

// NewAdam is Kingma and Ba's optimiser.
func NewAdam(params []*Tensor, lr float64, opts ...AdamOptions) (*Optimizer, error) {
	h := handlesOf(params)
	r := C.go_adam_new(handleArray(h), C.size_t(len(h)), first(opts).c(lr))
	runtime.KeepAlive(params)
	return adoptOptimizer(r)
}

// AddAdamGroup gives an optimiser that NewAdam made more parameters, with a learning rate and options of their own.
func (o *Optimizer) AddAdamGroup(params []*Tensor, lr float64, opts ...AdamOptions) error {
	h := handlesOf(params)
	e := C.go_add_adam_group(o.ptr(), handleArray(h), C.size_t(len(h)), first(opts).c(lr))
	runtime.KeepAlive(params)
	runtime.KeepAlive(o)
	return check(uintptr(e))
}

// NumGroups is the number of groups of parameters.
func (o *Optimizer) NumGroups() int {
	defer runtime.KeepAlive(o)
	return max(0, int(C.go_optimizer_num_groups(o.ptr())))
}

// Step updates every parameter.
func (o *Optimizer) Step() error {
	defer runtime.KeepAlive(o)
	return check(uintptr(C.go_optimizer_step(o.ptr())))
}

// ZeroGrad clears the parameters' gradients.
func (o *Optimizer) ZeroGrad() error {
	defer runtime.KeepAlive(o)
	return check(uintptr(C.go_optimizer_zero_grad(o.ptr())))
}

// SetLR sets the learning rate.
func (o *Optimizer) SetLR(lr float64) error {
	defer runtime.KeepAlive(o)
	return check(uintptr(C.go_optimizer_set_lr(o.ptr(), C.double(lr))))
}

// SetGroupLR sets the learning rate of one group of parameters.
func (o *Optimizer) SetGroupLR(group int, lr float64) error {
	defer runtime.KeepAlive(o)
	return check(uintptr(C.go_optimizer_set_group_lr(o.ptr(), C.size_t(group), C.double(lr))))
}

// LR is the learning rate of the first group.
func (o *Optimizer) LR() (float64, error) { return o.GroupLR(0) }

// GroupLR is the learning rate of a group.
func (o *Optimizer) GroupLR(group int) (float64, error) {
	defer runtime.KeepAlive(o)
	r := C.go_optimizer_get_lr(o.ptr(), C.size_t(group))
	return float64(r.lr), check(uintptr(r.err))
}

// StateDict holds options and state, sharing the state's memory with the optimiser.
func (o *Optimizer) StateDict() (*NamedTensors, error) {
	r := C.go_optimizer_state_dict(o.ptr())
	runtime.KeepAlive(o)
	return adoptNamed(r)
}

// LoadStateDict copies a state into the optimiser, to the devices of its parameters.
func (o *Optimizer) LoadStateDict(state *NamedTensors) error {
	e := C.go_optimizer_load_state_dict(o.ptr(), state.ptr())
	runtime.KeepAlive(o)
	runtime.KeepAlive(state)
	return check(uintptr(e))
}

// String is the form that PyTorch prints.
func (o *Optimizer) String() string {
	if o == nil {
		return "<nil>"
	}
	r := C.go_optimizer_to_string(o.ptr())
	runtime.KeepAlive(o)
	if err := check(uintptr(r.err)); err != nil {
		return "<" + err.Error() + ">"
	}
	return takeString(uintptr(r.out))
}

// Save writes the optimiser's state.
func (o *Optimizer) Save(path string) error {
	p, err := text(path)
	if err != nil {
		return err
	}
	defer freeText(p)
	e := C.go_optimizer_save(o.ptr(), (*C.char)(p))
	runtime.KeepAlive(o)
	return check(uintptr(e))
}

// Load reads the optimiser's state.
func (o *Optimizer) Load(path string) error {
	p, err := text(path)
	if err != nil {
		return err
	}
	defer freeText(p)
	e := C.go_optimizer_load(o.ptr(), (*C.char)(p))
	runtime.KeepAlive(o)
	return check(uintptr(e))
}

// Close frees the optimiser.
func (o *Optimizer) Close() error {
	if o == nil {
		return nil
	}
	return o.release(freeOptimizer)
}
