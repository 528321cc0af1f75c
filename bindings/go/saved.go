package taper

// #include "shims.h"
import "C"

import (
	"errors"
	"runtime"
	"runtime/cgo"
)

// SavedTensorsHooks keep in a program's own way what ops save for backward.
type SavedTensorsHooks struct {
	// Pack gets a tensor, closed when it has returned (Detach gives one that stays), and returns what is kept in its place.
	Pack func(t *Tensor) (any, error)
	// Unpack makes the tensor again when backward wants it. What it returns stays its owner's (HandOver).
	Unpack func(kept any) (*Tensor, error)
}

// Run calls f; what ops save meanwhile on its thread goes through the hooks, the innermost of several. Backward may run later,
// so the hooks are kept as long as a graph needs them.
func (h SavedTensorsHooks) Run(f func() error) error {
	switch {
	case h.Pack == nil:
		return missing("SavedTensorsHooks.Run", "Pack", 0)
	case h.Unpack == nil:
		return missing("SavedTensorsHooks.Run", "Unpack", 0)
	case f == nil:
		return missing("SavedTensorsHooks.Run", "f", 1)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := check(uintptr(C.go_saved_tensors_hooks_push(C.uintptr_t(cgo.NewHandle(&h))))); err != nil {
		return err
	}
	defer C.taper_saved_tensors_hooks_pop()
	return f()
}

// CheckpointOptions are the optional arguments of Checkpointed.
type CheckpointOptions struct {
	// NewRandomNumbers lets the second call draw other numbers than the first.
	NewRandomNumbers bool
}

// Checkpointed calls f without keeping what its ops save for backward: a backward pass calls it again, on the same inputs and
// with the same random numbers (PyTorch's checkpoint). The tensors handed to f are closed when it has returned; those that it
// returns stay its own (HandOver). f is called on whichever goroutine runs backward.
func Checkpointed(f func(inputs []*Tensor) ([]*Tensor, error), inputs []*Tensor, opts ...CheckpointOptions) ([]*Tensor, error) {
	if f == nil {
		return nil, missing("Checkpointed", "f", 0)
	}
	h := handlesOf(inputs)
	r := C.go_checkpoint(C.uintptr_t(cgo.NewHandle(f)), handleArray(h), C.size_t(len(h)), C.bool(!first(opts).NewRandomNumbers))
	runtime.KeepAlive(inputs)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adoptList(uintptr(r.out))
}

// PerSampleGrads gives for each parameter a tensor [n, *parameter]: the gradients of loss for each of the n samples alone,
// where a sample is an element of every tensor of the batch along its first dimension (PyTorch's vmap(grad(f))). loss is called
// once for each sample and returns a 0-dim tensor, which stays its own (HandOver). No Grad is touched.
func PerSampleGrads(loss func(sample []*Tensor) (*Tensor, error), parameters, batch []*Tensor) ([]*Tensor, error) {
	if loss == nil {
		return nil, missing("PerSampleGrads", "loss", 0)
	}
	f := func(sample []*Tensor) ([]*Tensor, error) {
		l, err := loss(sample)
		if err == nil && l == nil {
			err = errors.New("PerSampleGrads: loss returned no tensor")
		}
		return []*Tensor{l}, err
	}
	p, b := handlesOf(parameters), handlesOf(batch)
	r := C.go_per_sample_grads(C.uintptr_t(cgo.NewHandle(f)), handleArray(p), C.size_t(len(p)), handleArray(b), C.size_t(len(b)))
	runtime.KeepAlive(parameters)
	runtime.KeepAlive(batch)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adoptList(uintptr(r.out))
}
