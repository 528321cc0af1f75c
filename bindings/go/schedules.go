package taper

/*
#include "shims.h"

static inline void go_schedule_free(uintptr_t s) { taper_schedule_free((taper_schedule *)s); }
static inline uintptr_t go_schedule_step(uintptr_t s) { return (uintptr_t)taper_schedule_step((taper_schedule *)s); }
static inline uintptr_t go_schedule_step_to(uintptr_t s, double epoch) {
    return (uintptr_t)taper_schedule_step_to((taper_schedule *)s, epoch);
}
static inline uintptr_t go_schedule_step_metric(uintptr_t s, double metric) {
    return (uintptr_t)taper_schedule_step_metric((taper_schedule *)s, metric);
}
static inline int64_t go_schedule_last_epoch(uintptr_t s) { return taper_schedule_last_epoch((taper_schedule *)s); }
typedef struct { uintptr_t err; size_t n; } go_count;
static inline go_count go_schedule_last_lr(uintptr_t s, double *buf, size_t n) {
    go_count r = {0, 0};
    r.err = (uintptr_t)taper_schedule_last_lr((taper_schedule *)s, buf, n, &r.n);
    return r;
}
static inline go_count go_schedule_base_lrs(uintptr_t s, double *buf, size_t n) {
    go_count r = {0, 0};
    r.err = (uintptr_t)taper_schedule_base_lrs((taper_schedule *)s, buf, n, &r.n);
    return r;
}
static inline go_pair go_schedule_state_dict(uintptr_t s) {
    taper_named_tensors *n = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_schedule_state_dict((taper_schedule *)s, &n);
    r.out = (uintptr_t)n;
    return r;
}
static inline uintptr_t go_schedule_load_state_dict(uintptr_t s, uintptr_t n) {
    return (uintptr_t)taper_schedule_load_state_dict((taper_schedule *)s, (taper_named_tensors *)n);
}
static inline go_pair go_schedule_to_string(uintptr_t s) {
    taper_string *text = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_schedule_to_string((taper_schedule *)s, &text);
    r.out = (uintptr_t)text;
    return r;
}
static inline go_pair go_schedule_new(uintptr_t o, const char *name, uintptr_t user, int64_t last_epoch) {
    taper_schedule_vtable v = go_schedule_vtable();
    taper_schedule *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_schedule_new((taper_optimizer *)o, name, &v, (void *)user, last_epoch, &s);
    r.out = (uintptr_t)s;
    return r;
}
*/
import "C"

import (
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// Schedule changes an optimiser's learning rates from epoch to epoch. NewStepLR and its like make one.
type Schedule struct{ object }

// ScheduleStep is what a schedule's function is asked.
type ScheduleStep struct {
	// Epoch is the epoch; CyclicLR's ScaleFn gets the cycle or the iteration.
	Epoch int64
	// Group is the parameter group, counted from 0.
	Group int
	// BaseLR is the group's initial rate, LR its present one.
	BaseLR, LR float64
}

// ScheduleFunc gives a factor (LambdaLR, MultiplicativeLR, CyclicLR), or the rate itself (NewSchedule). An error ends the step,
// which changes nothing then.
type ScheduleFunc func(ScheduleStep) (float64, error)

func freeSchedule(h uintptr) { C.go_schedule_free(C.uintptr_t(h)) }
func adoptSchedule(r C.go_pair) (*Schedule, error) {
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	s := &Schedule{}
	s.own(uintptr(r.out), freeSchedule)
	return s, nil
}
func (s *Schedule) ptr() C.uintptr_t {
	if s == nil {
		return 0
	}
	return C.uintptr_t(s.h)
}
func scheduleHandles(list []*Schedule) []C.uintptr_t {
	h := make([]C.uintptr_t, len(list))
	for i, s := range list {
		h[i] = s.ptr()
	}
	return h
}

// scheduleUser is the pointer that a schedule's function goes by; 0 for none.
func scheduleUser(f ScheduleFunc) C.uintptr_t {
	if f == nil {
		return 0
	}
	return C.uintptr_t(cgo.NewHandle(f))
}

// required is f, or what fails in its place.
func required(f ScheduleFunc) ScheduleFunc {
	if f != nil {
		return f
	}
	return func(ScheduleStep) (float64, error) {
		return 0, &Error{Code: ErrorValue, Arg: -1, Message: "the schedule's function is nil"}
	}
}
func flag(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}

// NewSchedule makes a schedule of one's own: f gives each group's rate of an epoch. name is what it prints as; lastEpoch is -1
// from the start.
func NewSchedule(optimizer *Optimizer, name string, f ScheduleFunc, lastEpoch int64) (*Schedule, error) {
	p, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(p)
	r := C.go_schedule_new(optimizer.ptr(), (*C.char)(p), scheduleUser(required(f)), C.int64_t(lastEpoch))
	runtime.KeepAlive(optimizer)
	return adoptSchedule(r)
}

// Step goes an epoch on and sets the optimiser's rates.
func (s *Schedule) Step() error {
	defer runtime.KeepAlive(s)
	return check(uintptr(C.go_schedule_step(s.ptr())))
}

// StepTo goes to an epoch, by the closed form where the schedule has one.
func (s *Schedule) StepTo(epoch float64) error {
	defer runtime.KeepAlive(s)
	return check(uintptr(C.go_schedule_step_to(s.ptr(), C.double(epoch))))
}

// StepMetric goes an epoch on with the metric that it had, for ReduceLROnPlateau.
func (s *Schedule) StepMetric(metric float64) error {
	defer runtime.KeepAlive(s)
	return check(uintptr(C.go_schedule_step_metric(s.ptr(), C.double(metric))))
}

// LastEpoch is the epoch that the last step led to.
func (s *Schedule) LastEpoch() int64 {
	defer runtime.KeepAlive(s)
	return int64(C.go_schedule_last_epoch(s.ptr()))
}

// LastLR holds the rates of the last step, one for each parameter group.
func (s *Schedule) LastLR() ([]float64, error) {
	defer runtime.KeepAlive(s)
	r := C.go_schedule_last_lr(s.ptr(), nil, 0)
	if r.err != 0 || r.n == 0 {
		return nil, check(uintptr(r.err))
	}
	out := make([]float64, int(r.n))
	r = C.go_schedule_last_lr(s.ptr(), (*C.double)(unsafe.Pointer(&out[0])), r.n)
	return out, check(uintptr(r.err))
}

// BaseLRs holds the groups' initial rates.
func (s *Schedule) BaseLRs() ([]float64, error) {
	defer runtime.KeepAlive(s)
	r := C.go_schedule_base_lrs(s.ptr(), nil, 0)
	if r.err != 0 || r.n == 0 {
		return nil, check(uintptr(r.err))
	}
	out := make([]float64, int(r.n))
	r = C.go_schedule_base_lrs(s.ptr(), (*C.double)(unsafe.Pointer(&out[0])), r.n)
	return out, check(uintptr(r.err))
}

// StateDict holds the schedule's state under PyTorch's keys.
func (s *Schedule) StateDict() (*NamedTensors, error) {
	r := C.go_schedule_state_dict(s.ptr())
	runtime.KeepAlive(s)
	return adoptNamed(r)
}

// LoadStateDict takes what StateDict gave.
func (s *Schedule) LoadStateDict(state *NamedTensors) error {
	e := C.go_schedule_load_state_dict(s.ptr(), state.ptr())
	runtime.KeepAlive(s)
	runtime.KeepAlive(state)
	return check(uintptr(e))
}

// String is like "StepLR(step_size=30, gamma=0.1)".
func (s *Schedule) String() string {
	if s == nil {
		return "<nil>"
	}
	r := C.go_schedule_to_string(s.ptr())
	runtime.KeepAlive(s)
	if err := check(uintptr(r.err)); err != nil {
		return "<" + err.Error() + ">"
	}
	return takeString(uintptr(r.out))
}

// Close frees the schedule.
func (s *Schedule) Close() error {
	if s == nil {
		return nil
	}
	return s.release(freeSchedule)
}
