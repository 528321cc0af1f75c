package taper

/*
#include "shims.h"

static inline uintptr_t go_graph_begin(taper_device d) { return (uintptr_t)taper_graph_begin(d); }
static inline go_pair go_graph_end(taper_device d) {
    taper_graph *g = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_graph_end(d, &g);
    r.out = (uintptr_t)g;
    return r;
}
static inline uintptr_t go_graph_replay(uintptr_t g) { return (uintptr_t)taper_graph_replay((taper_graph *)g); }
static inline uintptr_t go_graph_set_lr(uintptr_t g, double lr) {
    return (uintptr_t)taper_graph_set_lr((taper_graph *)g, lr);
}
static inline void go_graph_free(uintptr_t g) { taper_graph_free((taper_graph *)g); }
*/
import "C"

import (
	"runtime"
)

// Graph is work of a device that was recorded once and is queued again as a whole. CUDA devices alone have graphs.
type Graph struct{ object }

func freeGraph(h uintptr) { C.go_graph_free(C.uintptr_t(h)) }

// CaptureGraph records what work asks of the device; work stays on one thread of the operating system meanwhile. Run
// the work once or twice before, so that kernels are built and gradients and optimiser state exist. Tensors made by it
// hold nothing before the first Replay; the graph keeps the memory that it works on. When work fails nothing stays
// recorded. The error's code is ErrorNotImplemented on devices without graphs.
func CaptureGraph(d Device, work func() error) (*Graph, error) {
	if work == nil {
		return nil, missing("CaptureGraph", "work", 1)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := check(uintptr(C.go_graph_begin(d.c()))); err != nil {
		return nil, err
	}
	done := false
	defer func() {
		if !done { // work panicked: the recording must end nevertheless
			r := C.go_graph_end(d.c())
			_ = check(uintptr(r.err))
			C.go_graph_free(r.out)
		}
	}()
	failed := work()
	done = true
	r := C.go_graph_end(d.c())
	err := check(uintptr(r.err))
	if failed != nil || err != nil {
		C.go_graph_free(r.out)
		if failed != nil {
			err = failed
		}
		return nil, err
	}
	g := &Graph{}
	g.own(uintptr(r.out), freeGraph)
	return g, nil
}
func (g *Graph) ptr() C.uintptr_t {
	if g == nil {
		return 0
	}
	return C.uintptr_t(g.h)
}

// Replay queues the recorded work again, with fresh random draws and the optimisers' next step.
func (g *Graph) Replay() error {
	e := C.go_graph_replay(g.ptr())
	runtime.KeepAlive(g)
	return check(uintptr(e))
}

// SetLR sets the learning rate of the recorded optimiser steps, from the next replay on, until an optimiser's own is
// set, which the graph follows.
func (g *Graph) SetLR(lr float64) error {
	e := C.go_graph_set_lr(g.ptr(), C.double(lr))
	runtime.KeepAlive(g)
	return check(uintptr(e))
}

// Close frees the graph.
func (g *Graph) Close() error {
	if g == nil {
		return nil
	}
	return g.release(freeGraph)
}
