package taper

/*
#include "shims.h"

static inline uintptr_t go_autocast_begin(int32_t device, int32_t dtype, bool enabled) {
    return (uintptr_t)taper_autocast_begin(device, dtype, enabled, 0);
}
static inline uintptr_t go_autocast_end(void) { return (uintptr_t)taper_autocast_end(); }
static inline uintptr_t go_autocast_enabled(int32_t device, bool *out) {
    return (uintptr_t)taper_autocast_enabled(device, out);
}
static inline uintptr_t go_autocast_dtype(int32_t device, int32_t *out) {
    return (uintptr_t)taper_autocast_dtype(device, out);
}
static inline uintptr_t go_profiler_start(bool synchronize, bool shapes) {
    return (uintptr_t)taper_profiler_start(synchronize, shapes);
}
static inline uintptr_t go_profiler_stop(void) { return (uintptr_t)taper_profiler_stop(); }
static inline uintptr_t go_profiler_push(const char *name) { return (uintptr_t)taper_profiler_push(name); }
static inline uintptr_t go_profiler_pop(void) { return (uintptr_t)taper_profiler_pop(); }
static inline go_pair go_profiler_table(size_t rows) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_profiler_table(rows, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline go_pair go_profiler_events(void) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_profiler_events(&s);
    r.out = (uintptr_t)s;
    return r;
}
static inline uintptr_t go_profiler_trace(const char *path) {
    return (uintptr_t)taper_profiler_export_chrome_trace(path);
}
static inline go_pair go_cancel_token_new(void) {
    taper_cancel_token *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_cancel_token_new(&t);
    r.out = (uintptr_t)t;
    return r;
}
static inline uintptr_t go_cancel_token_cancel(uintptr_t t) {
    return (uintptr_t)taper_cancel_token_cancel((taper_cancel_token *)t);
}
static inline go_pair go_cancel_token_attach(uintptr_t t) {
    taper_cancel_token *before = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_cancel_token_attach((taper_cancel_token *)t, &before);
    r.out = (uintptr_t)before;
    return r;
}
static inline void go_cancel_token_free(uintptr_t t) { taper_cancel_token_free((taper_cancel_token *)t); }
static inline go_pair go_module_summary(uintptr_t m, uintptr_t *inputs, size_t n) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_summary((taper_module *)m, (taper_tensor *const *)inputs, n, &s);
    r.out = (uintptr_t)s;
    return r;
}
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// AutocastOptions are the optional arguments of Autocast.
type AutocastOptions struct {
	// DType is what products run in: BFloat16 or Float16; zero is BFloat16 on the CPU and Float16 elsewhere.
	DType DType
	// Off switches automatic casts off inside.
	Off bool
}

// Autocast runs f with automatic casts on a device's type: products run in a shorter float type, what needs range or
// precision in float32. The backward pass belongs outside. The casts belong to the thread, so the goroutine stays on its
// own meanwhile.
func Autocast(d Device, f func() error, opts ...AutocastOptions) error {
	if f == nil {
		return missing("Autocast", "f", 1)
	}
	o := first(opts)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := check(uintptr(C.go_autocast_begin(d.c()._type, C.int32_t(o.DType.code()), C.bool(!o.Off)))); err != nil {
		return err
	}
	defer C.go_autocast_end()
	return f()
}

// AutocastEnabled says whether operations on a device's tensors are cast, inside Autocast.
func AutocastEnabled(d Device) (bool, error) {
	var out C.bool
	err := check(uintptr(C.go_autocast_enabled(d.c()._type, &out)))
	return bool(out), err
}

// AutocastDType is what products are cast to.
func AutocastDType(d Device) (DType, error) {
	var out C.int32_t
	err := check(uintptr(C.go_autocast_dtype(d.c()._type, &out)))
	return DType(out) + 1, err
}

// ProfileOptions are the optional arguments of Profile.
type ProfileOptions struct {
	// Synchronize waits for the device after each operation, so that its time is the device's.
	Synchronize bool
	// Shapes keeps the shapes of tensors.
	Shapes bool
	// Rows limits the table; 0 is all.
	Rows int
	// Trace, unless "", is a file that is written for chrome://tracing and Perfetto.
	Trace string
}

// ProfileResult is what Profile found.
type ProfileResult struct {
	// Table has one row per operation, the most time first; Events are the single ones, as JSON.
	Table, Events string
}

// Profile runs f and says what its operations cost, nodes of backward passes included. It belongs to the thread, so the
// goroutine stays on its own meanwhile, and other goroutines' work is not in it. An error of f comes with what was found.
func Profile(f func() error, opts ...ProfileOptions) (ProfileResult, error) {
	var found ProfileResult
	if f == nil {
		return found, missing("Profile", "f", 0)
	}
	o := first(opts)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := check(uintptr(C.go_profiler_start(C.bool(o.Synchronize), C.bool(o.Shapes)))); err != nil {
		return found, err
	}
	failed := func() error {
		stopped := false
		defer func() {
			if !stopped { // f panicked
				C.go_profiler_stop()
			}
		}()
		err := f()
		stopped = true
		return errors.Join(err, check(uintptr(C.go_profiler_stop())))
	}()
	table := C.go_profiler_table(C.size_t(max(o.Rows, 0)))
	if err := check(uintptr(table.err)); err != nil {
		return found, errors.Join(failed, err)
	}
	found.Table = takeString(uintptr(table.out))
	events := C.go_profiler_events()
	if err := check(uintptr(events.err)); err != nil {
		return found, errors.Join(failed, err)
	}
	found.Events = takeString(uintptr(events.out))
	if o.Trace != "" {
		path, err := text(o.Trace)
		if err != nil {
			return found, errors.Join(failed, err)
		}
		defer freeText(path)
		failed = errors.Join(failed, check(uintptr(C.go_profiler_trace((*C.char)(path)))))
	}
	return found, failed
}

// RecordFunction runs f as a named range of the profile that is being taken on this thread.
func RecordFunction(name string, f func() error) error {
	if f == nil {
		return missing("RecordFunction", "f", 1)
	}
	n, err := text(name)
	if err != nil {
		return err
	}
	defer freeText(n)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := check(uintptr(C.go_profiler_push((*C.char)(n)))); err != nil {
		return err
	}
	defer C.go_profiler_pop()
	return f()
}

// WithContext runs f so that its operations, and nodes of backward passes, fail once ctx is done: errors.Is finds both
// ErrorCancelled and the context's own error. It belongs to the thread, so the goroutine stays on its own meanwhile.
func WithContext(ctx context.Context, f func() error) error {
	if f == nil {
		return missing("WithContext", "f", 1)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	token := C.go_cancel_token_new()
	if err := check(uintptr(token.err)); err != nil {
		return err
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		C.go_cancel_token_cancel(token.out)
	})
	defer func() {
		if !stop() {
			<-done
		}
		C.go_cancel_token_free(token.out)
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := C.go_cancel_token_attach(token.out)
	if err := check(uintptr(before.err)); err != nil {
		return err
	}
	defer func() {
		mine := C.go_cancel_token_attach(before.out)
		C.go_cancel_token_free(mine.out)
		C.go_cancel_token_free(before.out)
	}()
	err := f()
	if err != nil && errors.Is(err, ErrorCancelled) && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// MultiplyAdds counts those of this thread's products and convolutions so far, backward passes included: inside a function
// that stays on its thread (Profile, NoGrad, runtime.LockOSThread) differences count.
func MultiplyAdds() uint64 { return uint64(C.taper_multiply_adds()) }

// Summary runs the module (in eval mode, without recording) and says in a table which shape each module of the tree gave,
// how many parameters are in it and how many multiply-adds it took.
func (m *Module) Summary(inputs ...*Tensor) (string, error) {
	h := handlesOf(inputs)
	r := C.go_module_summary(m.ptr(), handleArray(h), C.size_t(len(h)))
	runtime.KeepAlive(m)
	runtime.KeepAlive(inputs)
	if err := check(uintptr(r.err)); err != nil {
		return "", err
	}
	return takeString(uintptr(r.out)), nil
}
