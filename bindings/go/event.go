package taper

/*
#include "shims.h"

static inline go_pair go_event_new(taper_device d, bool timing) {
    taper_event *e = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_event_new(d, timing, &e);
    r.out = (uintptr_t)e;
    return r;
}
static inline uintptr_t go_event_record(uintptr_t e) { return (uintptr_t)taper_event_record((taper_event *)e); }
static inline uintptr_t go_event_query(uintptr_t e, bool *out) { return (uintptr_t)taper_event_query((taper_event *)e, out); }
static inline uintptr_t go_event_synchronize(uintptr_t e) { return (uintptr_t)taper_event_synchronize((taper_event *)e); }
static inline uintptr_t go_event_elapsed_time(uintptr_t a, uintptr_t b, double *out) {
    return (uintptr_t)taper_event_elapsed_time((taper_event *)a, (taper_event *)b, out);
}
static inline void go_event_free(uintptr_t e) { taper_event_free((taper_event *)e); }
*/
import "C"

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Event is a point in a device's queue. On CUDA recording waits for nothing; other devices are waited for. A goroutine's
// work goes to the queue of the thread that it runs on: lock the thread (runtime.LockOSThread) from the first recorded
// event to the last.
type Event struct {
	h       atomic.Uintptr
	cleanup runtime.Cleanup
}

func freeEvent(h uintptr) { C.go_event_free(C.uintptr_t(h)) }

// NewEvent makes an event of a device; it tells times.
func NewEvent(d Device) (*Event, error) {
	r := C.go_event_new(d.c(), true)
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	e := &Event{}
	e.h.Store(uintptr(r.out))
	e.cleanup = runtime.AddCleanup(e, freeEvent, uintptr(r.out))
	return e, nil
}

// Record marks this point of what the thread queues on the device.
func (e *Event) Record() error {
	err := C.go_event_record(C.uintptr_t(e.h.Load()))
	runtime.KeepAlive(e)
	return check(uintptr(err))
}

// Done says whether the device has done what was queued before; true for an event that was never recorded.
func (e *Event) Done() (bool, error) {
	var out C.bool
	err := C.go_event_query(C.uintptr_t(e.h.Load()), &out)
	runtime.KeepAlive(e)
	return bool(out), check(uintptr(err))
}

// Synchronize waits until the device has.
func (e *Event) Synchronize() error {
	err := C.go_event_synchronize(C.uintptr_t(e.h.Load()))
	runtime.KeepAlive(e)
	return check(uintptr(err))
}

// Since gives the device's time from an earlier event to this one; both must be done.
func (e *Event) Since(earlier *Event) (time.Duration, error) {
	var out C.double
	err := C.go_event_elapsed_time(C.uintptr_t(earlier.h.Load()), C.uintptr_t(e.h.Load()), &out)
	runtime.KeepAlive(e)
	runtime.KeepAlive(earlier)
	return time.Duration(float64(out) * float64(time.Millisecond)), check(uintptr(err))
}

// Close frees the event.
func (e *Event) Close() error {
	if h := e.h.Swap(0); h != 0 {
		e.cleanup.Stop()
		freeEvent(h)
	}
	return nil
}
