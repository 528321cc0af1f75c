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
	"time"
)

// Event is a point in a device's queue. On CUDA recording waits for nothing; other devices are waited for. A goroutine's
// work goes to the queue of the thread that it runs on: lock the thread (runtime.LockOSThread) from the first recorded
// event to the last.
type Event struct{ object }

func freeEvent(h uintptr) { C.go_event_free(C.uintptr_t(h)) }

// NewEvent makes an event of a device; it tells times.
func NewEvent(d Device) (*Event, error) {
	r := C.go_event_new(d.c(), true)
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	e := &Event{}
	e.own(uintptr(r.out), freeEvent)
	return e, nil
}
func (e *Event) ptr() C.uintptr_t {
	if e == nil {
		return 0
	}
	return C.uintptr_t(e.h)
}

// Record marks this point of what the thread queues on the device.
func (e *Event) Record() error {
	err := C.go_event_record(e.ptr())
	runtime.KeepAlive(e)
	return check(uintptr(err))
}

// Done says whether the device has done what was queued before; true for an event that was never recorded.
func (e *Event) Done() (bool, error) {
	var out C.bool
	err := C.go_event_query(e.ptr(), &out)
	runtime.KeepAlive(e)
	return bool(out), check(uintptr(err))
}

// Synchronize waits until the device has.
func (e *Event) Synchronize() error {
	err := C.go_event_synchronize(e.ptr())
	runtime.KeepAlive(e)
	return check(uintptr(err))
}

// Since gives the device's time from an earlier event to this one; both must be done.
func (e *Event) Since(earlier *Event) (time.Duration, error) {
	var out C.double
	err := C.go_event_elapsed_time(earlier.ptr(), e.ptr(), &out)
	runtime.KeepAlive(e)
	runtime.KeepAlive(earlier)
	return time.Duration(float64(out) * float64(time.Millisecond)), check(uintptr(err))
}

// Close frees the event.
func (e *Event) Close() error {
	if e == nil {
		return nil
	}
	return e.release(freeEvent)
}
