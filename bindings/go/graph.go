package taper

/*
#include "shims.h"

static inline go_pair go_tensor_grad_fn(uintptr_t t) {
    taper_node *n = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_tensor_grad_fn((taper_tensor *)t, &n);
    r.out = (uintptr_t)n;
    return r;
}
static inline void go_node_free(uintptr_t n) { taper_node_free((taper_node *)n); }
static inline uint64_t go_node_id(uintptr_t n) { return taper_node_id((taper_node *)n); }
static inline int64_t go_node_next_len(uintptr_t n) { return taper_node_next_len((taper_node *)n); }
static inline go_pair go_node_name(uintptr_t n) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_node_name((taper_node *)n, &s);
    r.out = (uintptr_t)s;
    return r;
}
typedef struct { uintptr_t err, out; int64_t nr; } go_edge;
static inline go_edge go_node_next(uintptr_t n, size_t i) {
    taper_node *next = 0;
    go_edge r = {0, 0, 0};
    r.err = (uintptr_t)taper_node_next((taper_node *)n, i, &next, &r.nr);
    r.out = (uintptr_t)next;
    return r;
}
static inline uintptr_t go_node_remove_hook(uintptr_t n, uint64_t id) {
    return (uintptr_t)taper_node_remove_hook((taper_node *)n, id);
}
*/
import "C"

import (
	"runtime"
	"runtime/cgo"
)

// Node is a node of the autograd graph: the backward of one op.
type Node struct{ object }

func freeNode(h uintptr) { C.go_node_free(C.uintptr_t(h)) }
func adoptNode(h uintptr) *Node {
	if h == 0 {
		return nil
	}
	n := &Node{}
	n.own(h, freeNode)
	return n
}
func (n *Node) ptr() C.uintptr_t {
	if n == nil {
		return 0
	}
	return C.uintptr_t(n.h)
}

// GradFn is the graph node that made the tensor; nil for a leaf.
func (t *Tensor) GradFn() (*Node, error) {
	r := C.go_tensor_grad_fn(t.ptr())
	runtime.KeepAlive(t)
	return adoptNode(uintptr(r.out)), check(uintptr(r.err))
}

// Close frees the handle; the graph keeps what it needs.
func (n *Node) Close() error {
	if n == nil {
		return nil
	}
	return n.release(freeNode)
}

// Name is the node's name, like "AddBackward0"; "" for a nil or closed node.
func (n *Node) Name() string {
	r := C.go_node_name(n.ptr())
	runtime.KeepAlive(n)
	if check(uintptr(r.err)) != nil {
		return ""
	}
	return takeString(uintptr(r.out))
}

// String is the node's name in PyTorch's brackets.
func (n *Node) String() string { return "<" + n.Name() + ">" }

// ID is equal for two Nodes that are one node of the graph; 0 for a closed one.
func (n *Node) ID() uint64 {
	defer runtime.KeepAlive(n)
	return uint64(C.go_node_id(n.ptr()))
}

// Edge is one input of a node's op: the node that made it (nil when it needs no gradient), and which of that node's
// outputs it was.
type Edge struct {
	Node     *Node
	OutputNr int
}

// NextFunctions are the nodes that the inputs of the node's op came from.
func (n *Node) NextFunctions() ([]Edge, error) {
	defer runtime.KeepAlive(n)
	edges := make([]Edge, max(int(C.go_node_next_len(n.ptr())), 0))
	for i := range edges {
		r := C.go_node_next(n.ptr(), C.size_t(i))
		if r.err != 0 {
			return nil, check(uintptr(r.err))
		}
		edges[i] = Edge{adoptNode(uintptr(r.out)), int(r.nr)}
	}
	if len(edges) == 0 {
		// A node without inputs and a closed one look alike here; the name tells.
		r := C.go_node_name(n.ptr())
		if r.err != 0 {
			return nil, check(uintptr(r.err))
		}
		takeString(uintptr(r.out))
	}
	return edges, nil
}

// RegisterHook calls f after the node has computed the gradients of its inputs, which a list that f returns replaces.
// The tensors are closed when f has returned; those that it returns stay their owner's (HandOver). The result is for RemoveHook.
func (n *Node) RegisterHook(f func(gradInputs, gradOutputs []*Tensor) ([]*Tensor, error)) (uint64, error) {
	if f == nil {
		return 0, missing("RegisterHook", "f", 1)
	}
	return n.registerHook(f, false)
}

// RegisterPrehook calls f before the node runs, with the gradients of its outputs, which a list that f returns replaces.
// Otherwise it is like RegisterHook.
func (n *Node) RegisterPrehook(f func(gradOutputs []*Tensor) ([]*Tensor, error)) (uint64, error) {
	if f == nil {
		return 0, missing("RegisterPrehook", "f", 1)
	}
	return n.registerHook(func(_, gradOutputs []*Tensor) ([]*Tensor, error) { return f(gradOutputs) }, true)
}
func (n *Node) registerHook(f func(gradInputs, gradOutputs []*Tensor) ([]*Tensor, error), before bool) (uint64, error) {
	var id C.uint64_t
	e := C.go_node_register_hook(n.ptr(), C.uintptr_t(cgo.NewHandle(f)), C.bool(before), &id)
	runtime.KeepAlive(n)
	return uint64(id), check(uintptr(e))
}

// RemoveHook removes a hook of the node; unknown numbers are ignored.
func (n *Node) RemoveHook(id uint64) error {
	e := C.go_node_remove_hook(n.ptr(), C.uint64_t(id))
	runtime.KeepAlive(n)
	return check(uintptr(e))
}

// GradcheckOptions are the optional arguments of Gradcheck; zero fields take their defaults.
type GradcheckOptions struct {
	Eps  float64 // step of the central differences, default 1e-6
	Atol float64 // default 1e-5
	Rtol float64 // default 1e-3
}

// Gradcheck compares the gradients of f with finite differences at inputs, which should be Float64; those that require
// grad are checked. nil means that they agree. The tensors handed to f are closed when it has returned; those that it
// returns stay its own (HandOver).
func Gradcheck(f func(inputs []*Tensor) ([]*Tensor, error), inputs []*Tensor, opts ...GradcheckOptions) error {
	return gradcheck(f, inputs, first(opts), false)
}

// Gradgradcheck does the same for the second derivatives.
func Gradgradcheck(f func(inputs []*Tensor) ([]*Tensor, error), inputs []*Tensor, opts ...GradcheckOptions) error {
	return gradcheck(f, inputs, first(opts), true)
}
func gradcheck(f func(inputs []*Tensor) ([]*Tensor, error), inputs []*Tensor, o GradcheckOptions, second bool) error {
	if f == nil {
		return missing("Gradcheck", "f", 0)
	}
	positive := func(v, d float64) C.double {
		if v == 0 {
			return C.double(d)
		}
		return C.double(v)
	}
	h := handlesOf(inputs)
	e := C.go_gradcheck(C.uintptr_t(cgo.NewHandle(f)), handleArray(h), C.size_t(len(h)), positive(o.Eps, 1e-6),
		positive(o.Atol, 1e-5), positive(o.Rtol, 1e-3), C.bool(second))
	runtime.KeepAlive(inputs)
	return check(uintptr(e))
}
