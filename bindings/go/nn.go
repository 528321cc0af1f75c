package taper

/*
#include "shims.h"

static inline go_pair go_module_ref(uintptr_t h) { GO_MODULE(taper_module_ref((taper_module *)h, &m)); }
static inline void go_module_free(uintptr_t h) { taper_module_free((taper_module *)h); }
static inline go_pair go_module_forward(uintptr_t h, uintptr_t *in, size_t n) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_forward((taper_module *)h, (taper_tensor *const *)in, n, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline go_pair go_module_forward_list(uintptr_t h, uintptr_t *in, size_t n) {
    taper_tensor_list *l = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_forward_list((taper_module *)h, (taper_tensor *const *)in, n, &l);
    r.out = (uintptr_t)l;
    return r;
}
static inline int64_t go_module_num_attributes(uintptr_t h) { return taper_module_num_attributes((taper_module *)h); }
static inline go_pair go_module_attribute_name(uintptr_t h, size_t i) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_attribute_name((taper_module *)h, i, &s);
    r.out = (uintptr_t)s;
    return r;
}
typedef struct { uintptr_t err; int32_t kind; int64_t i; double f; } go_attribute;
static inline go_attribute go_module_attribute(uintptr_t h, const char *name) {
    taper_scalar s = {0, 0, 0};
    go_attribute r = {0, 0, 0, 0};
    r.err = (uintptr_t)taper_module_attribute((taper_module *)h, name, &r.kind, &s);
    r.i = s.i;
    r.f = s.f;
    return r;
}
static inline go_pair go_module_attribute_text(uintptr_t h, const char *name) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_attribute_text((taper_module *)h, name, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline uintptr_t go_module_attribute_list(uintptr_t h, const char *name, taper_scalar *buf, size_t n) {
    return (uintptr_t)taper_module_attribute_list((taper_module *)h, name, buf, n);
}
static inline uintptr_t go_module_register_parameter(uintptr_t h, const char *name, uintptr_t t) {
    return (uintptr_t)taper_module_register_parameter((taper_module *)h, name, (taper_tensor *)t);
}
static inline uintptr_t go_module_register_buffer(uintptr_t h, const char *name, uintptr_t t, bool persistent) {
    return (uintptr_t)taper_module_register_buffer((taper_module *)h, name, (taper_tensor *)t, persistent);
}
static inline uintptr_t go_module_register_module(uintptr_t h, const char *name, uintptr_t c) {
    return (uintptr_t)taper_module_register_module((taper_module *)h, name, (taper_module *)c);
}
static inline go_pair go_module_parameters(uintptr_t h) {
    taper_tensor_list *l = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_parameters((taper_module *)h, &l);
    r.out = (uintptr_t)l;
    return r;
}
static inline go_pair go_module_named(uintptr_t h, int what) {
    taper_named_tensors *n = 0;
    go_pair r = {0, 0};
    taper_module *m = (taper_module *)h;
    r.err = (uintptr_t)(what == 0   ? taper_module_named_parameters(m, &n)
                        : what == 1 ? taper_module_named_buffers(m, &n)
                                    : taper_module_state_dict(m, &n));
    r.out = (uintptr_t)n;
    return r;
}
static inline uintptr_t go_module_load_state_dict(uintptr_t h, uintptr_t n, bool strict) {
    return (uintptr_t)taper_module_load_state_dict((taper_module *)h, (taper_named_tensors *)n, strict);
}
static inline uintptr_t go_module_train(uintptr_t h, bool on) {
    return (uintptr_t)taper_module_train((taper_module *)h, on);
}
static inline int32_t go_module_is_training(uintptr_t h) { return taper_module_is_training((taper_module *)h); }
static inline uintptr_t go_module_to(uintptr_t h, int32_t dtype, taper_device d) {
    return (uintptr_t)taper_module_to((taper_module *)h, dtype, d);
}
static inline uintptr_t go_module_zero_grad(uintptr_t h, bool none) {
    return (uintptr_t)taper_module_zero_grad((taper_module *)h, none);
}
static inline go_pair go_module_to_string(uintptr_t h) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_to_string((taper_module *)h, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline uintptr_t go_module_save(uintptr_t h, const char *p) {
    return (uintptr_t)taper_module_save((taper_module *)h, p);
}
static inline uintptr_t go_module_load(uintptr_t h, const char *p, bool strict) {
    return (uintptr_t)taper_module_load((taper_module *)h, p, strict);
}
static inline go_pair go_string_new(const char *s) {
    taper_string *out = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_string_new(s, &out);
    r.out = (uintptr_t)out;
    return r;
}
static inline uintptr_t go_module_remove_hook(uintptr_t h, uint64_t id) {
    return (uintptr_t)taper_module_remove_hook((taper_module *)h, id);
}
static inline uint64_t go_module_id(uintptr_t h) { return taper_module_id((taper_module *)h); }
static inline go_pair go_module_name(uintptr_t h) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_name((taper_module *)h, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline go_pair go_module_get_tensor(uintptr_t h, const char *path, bool parameter) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)(parameter ? taper_module_get_parameter : taper_module_get_buffer)((taper_module *)h, path, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline go_pair go_module_deepcopy(uintptr_t h) {
    GO_MODULE(taper_module_deepcopy((taper_module *)h, &m));
}
static inline go_pair go_module_get_child(uintptr_t h, const char *path) {
    GO_MODULE(taper_module_get_child((taper_module *)h, path, &m));
}
static inline int64_t go_module_num_children(uintptr_t h) { return taper_module_num_children((taper_module *)h); }
typedef struct { uintptr_t err, name, out; } go_child;
static inline go_child go_module_child_at(uintptr_t h, size_t i) {
    taper_string *name = 0;
    taper_module *m = 0;
    go_child r = {0, 0, 0};
    r.err = (uintptr_t)taper_module_child_at((taper_module *)h, i, &name, &m);
    r.name = (uintptr_t)name;
    r.out = (uintptr_t)m;
    return r;
}
static inline uintptr_t go_module_append(uintptr_t h, uintptr_t c) {
    return (uintptr_t)taper_module_append((taper_module *)h, (taper_module *)c);
}
static inline uintptr_t go_module_requires_grad(uintptr_t h, bool on) {
    return (uintptr_t)taper_module_requires_grad_((taper_module *)h, on);
}
static inline go_pair go_named_get_by_name(uintptr_t n, const char *name) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_named_tensors_get_by_name((taper_named_tensors *)n, name, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline uintptr_t go_named_set_metadata(uintptr_t n, const char *key, const char *value) {
    return (uintptr_t)taper_named_tensors_set_metadata((taper_named_tensors *)n, key, value);
}
static inline go_pair go_named_metadata(uintptr_t n, const char *key) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_named_tensors_metadata((taper_named_tensors *)n, key, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline size_t go_named_len(uintptr_t n) { return taper_named_tensors_len((taper_named_tensors *)n); }
static inline const char *go_named_name(uintptr_t n, size_t i) {
    return taper_named_tensors_name((taper_named_tensors *)n, i);
}
static inline go_pair go_named_get(uintptr_t n, size_t i) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_named_tensors_get((taper_named_tensors *)n, i, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline go_pair go_named_new(void) {
    taper_named_tensors *n = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_named_tensors_new(&n);
    r.out = (uintptr_t)n;
    return r;
}
static inline uintptr_t go_named_insert(uintptr_t n, const char *name, uintptr_t t) {
    return (uintptr_t)taper_named_tensors_insert((taper_named_tensors *)n, name, (taper_tensor *)t);
}
static inline uintptr_t go_named_save(uintptr_t n, const char *path) {
    return (uintptr_t)taper_named_tensors_save((taper_named_tensors *)n, path);
}
static inline go_pair go_named_load(const char *path, taper_device d) {
    taper_named_tensors *n = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_named_tensors_load(path, d, &n);
    r.out = (uintptr_t)n;
    return r;
}
static inline void go_named_free(uintptr_t n) { taper_named_tensors_free((taper_named_tensors *)n); }
*/
import "C"

import (
	"iter"
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// Module is a layer, a container or a module of the caller's.
type Module struct{ object }

func freeModule(h uintptr) { C.go_module_free(C.uintptr_t(h)) }
func adoptModule(r C.go_pair) (*Module, error) {
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	m := &Module{}
	m.own(uintptr(r.out), freeModule)
	return m, nil
}
func borrowModule(h uintptr) (*Module, error) { return adoptModule(C.go_module_ref(C.uintptr_t(h))) }
func (m *Module) ptr() C.uintptr_t {
	if m == nil {
		return 0
	}
	return C.uintptr_t(m.h)
}
func newString(s string) (uintptr, error) {
	t, err := text(s)
	if err != nil {
		return 0, err
	}
	defer freeText(t)
	r := C.go_string_new((*C.char)(t))
	return uintptr(r.out), check(uintptr(r.err))
}

// Close gives the module up; parents that contain it keep it.
func (m *Module) Close() error {
	if m == nil {
		return nil
	}
	return m.release(freeModule)
}

// Forwarder is the computation of a module of the caller's. It may also have ExtraRepr() string, the text between the
// brackets of the printed form. The inputs are lent: they are closed when Forward returns. The result stays its owner's:
// it may be a parameter, a cached tensor or an input. A result that nobody keeps is freed by the collector, or at once if
// Forward returns it with HandOver.
type Forwarder interface {
	Forward(inputs ...*Tensor) (*Tensor, error)
}

// ForwardFunc makes a Forwarder of a function of one input.
type ForwardFunc func(x *Tensor) (*Tensor, error)

// Forward calls f.
func (f ForwardFunc) Forward(inputs ...*Tensor) (*Tensor, error) {
	if len(inputs) != 1 {
		return nil, &Error{Code: ErrorType, Arg: -1, Op: "Forward", Message: "the module takes exactly one input"}
	}
	return f(inputs[0])
}

// NewModule makes a container whose computation is f; name is what the printed form shows. With a nil f it holds parts and
// computes nothing: Forward is an error. The library holds f as long as the module lives: f must not hold the module
// itself, or it will never be freed without Close.
func NewModule(name string, f Forwarder) (*Module, error) {
	n, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(n)
	user := C.uintptr_t(0)
	if function, is := f.(ForwardFunc); f != nil && (!is || function != nil) {
		user = C.uintptr_t(cgo.NewHandle(f))
	}
	return adoptModule(C.go_module_new((*C.char)(n), user))
}

// ListForwarder is the computation of a module of optional inputs (nil: not given) or several outputs (nil: an optional one
// that was not asked for); otherwise it is like Forwarder.
type ListForwarder interface {
	ForwardList(inputs ...*Tensor) ([]*Tensor, error)
}

// ListForwardFunc makes a ListForwarder of a function.
type ListForwardFunc func(inputs ...*Tensor) ([]*Tensor, error)

// ForwardList calls f.
func (f ListForwardFunc) ForwardList(inputs ...*Tensor) ([]*Tensor, error) { return f(inputs...) }

// NewListModule is NewModule for a computation of optional inputs or several outputs.
func NewListModule(name string, f ListForwarder) (*Module, error) {
	if function, is := f.(ListForwardFunc); f == nil || (is && function == nil) {
		return nil, missing("NewListModule", "f", 1)
	}
	n, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(n)
	return adoptModule(C.go_module_new_list((*C.char)(n), C.uintptr_t(cgo.NewHandle(f))))
}

// ForwardList runs the module with its hooks and gives all its outputs. A nil input is an optional one that is not given, a
// nil output an optional one that was not asked for.
func (m *Module) ForwardList(inputs ...*Tensor) ([]*Tensor, error) {
	h := handlesOf(inputs)
	r := C.go_module_forward_list(m.ptr(), handleArray(h), C.size_t(len(h)))
	runtime.KeepAlive(m)
	runtime.KeepAlive(inputs)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adoptList(uintptr(r.out))
}

// AttributeNames are the names that Attribute knows, in the order of PyTorch's constructor.
func (m *Module) AttributeNames() ([]string, error) {
	defer runtime.KeepAlive(m)
	var out []string
	for i := range int(C.go_module_num_attributes(m.ptr())) {
		r := C.go_module_attribute_name(m.ptr(), C.size_t(i))
		if r.err != 0 {
			return nil, check(uintptr(r.err))
		}
		out = append(out, takeString(uintptr(r.out)))
	}
	return out, nil
}

// Attribute is an attribute of a layer, by PyTorch's name ("in_features", "kernel_size"): nil for None, a bool, int64,
// float64, string, []int64 or []float64.
func (m *Module) Attribute(name string) (any, error) {
	n, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(n)
	defer runtime.KeepAlive(m)
	r := C.go_module_attribute(m.ptr(), (*C.char)(n))
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	switch r.kind {
	case C.TAPER_ATTRIBUTE_BOOL:
		return r.i != 0, nil
	case C.TAPER_ATTRIBUTE_INT:
		return int64(r.i), nil
	case C.TAPER_ATTRIBUTE_FLOAT:
		return float64(r.f), nil
	case C.TAPER_ATTRIBUTE_TEXT:
		s := C.go_module_attribute_text(m.ptr(), (*C.char)(n))
		if s.err != 0 {
			return nil, check(uintptr(s.err))
		}
		return takeString(uintptr(s.out)), nil
	case C.TAPER_ATTRIBUTE_INTS, C.TAPER_ATTRIBUTE_FLOATS:
		items := make([]C.taper_scalar, int(r.i))
		e := C.go_module_attribute_list(m.ptr(), (*C.char)(n), unsafe.SliceData(items), C.size_t(len(items)))
		if e != 0 {
			return nil, check(uintptr(e))
		}
		ints, floats := make([]int64, len(items)), make([]float64, len(items))
		for i, item := range items {
			ints[i], floats[i] = int64(item.i), float64(item.f)
		}
		if r.kind == C.TAPER_ATTRIBUTE_INTS {
			return ints, nil
		}
		return floats, nil
	}
	return nil, nil
}

// Forward runs the module with its hooks; a module of several outputs needs ForwardList.
func (m *Module) Forward(inputs ...*Tensor) (*Tensor, error) {
	h := handlesOf(inputs)
	r := C.go_module_forward(m.ptr(), handleArray(h), C.size_t(len(h)))
	runtime.KeepAlive(m)
	runtime.KeepAlive(inputs)
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// RegisterParameter makes t a parameter of the module.
func (m *Module) RegisterParameter(name string, t *Tensor) error {
	n, err := text(name)
	if err != nil {
		return err
	}
	defer freeText(n)
	e := C.go_module_register_parameter(m.ptr(), (*C.char)(n), t.ptr())
	runtime.KeepAlive(m)
	runtime.KeepAlive(t)
	return check(uintptr(e))
}

// RegisterBuffer makes t part of the state without being a parameter.
func (m *Module) RegisterBuffer(name string, t *Tensor, persistent bool) error {
	n, err := text(name)
	if err != nil {
		return err
	}
	defer freeText(n)
	e := C.go_module_register_buffer(m.ptr(), (*C.char)(n), t.ptr(), C.bool(persistent))
	runtime.KeepAlive(m)
	runtime.KeepAlive(t)
	return check(uintptr(e))
}

// RegisterModule makes child a part of the module.
func (m *Module) RegisterModule(name string, child *Module) error {
	n, err := text(name)
	if err != nil {
		return err
	}
	defer freeText(n)
	e := C.go_module_register_module(m.ptr(), (*C.char)(n), child.ptr())
	runtime.KeepAlive(m)
	runtime.KeepAlive(child)
	return check(uintptr(e))
}

// Parameters of the module and its children.
func (m *Module) Parameters() ([]*Tensor, error) {
	r := C.go_module_parameters(m.ptr())
	runtime.KeepAlive(m)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adoptList(uintptr(r.out))
}

// NamedParameters with their paths, like "conv1.weight".
func (m *Module) NamedParameters() (*NamedTensors, error) { return m.named(0) }

// NamedBuffers with their paths.
func (m *Module) NamedBuffers() (*NamedTensors, error) { return m.named(1) }

// StateDict holds parameters and persistent buffers, sharing memory with the module.
func (m *Module) StateDict() (*NamedTensors, error) { return m.named(2) }
func (m *Module) named(what int) (*NamedTensors, error) {
	r := C.go_module_named(m.ptr(), C.int(what))
	runtime.KeepAlive(m)
	return adoptNamed(r)
}

// LoadStateDict copies a state into the module; strict makes missing and unexpected names an error.
func (m *Module) LoadStateDict(state *NamedTensors, strict bool) error {
	e := C.go_module_load_state_dict(m.ptr(), state.ptr(), C.bool(strict))
	runtime.KeepAlive(m)
	runtime.KeepAlive(state)
	return check(uintptr(e))
}

// Train switches training mode; Eval leaves it.
func (m *Module) Train(on bool) error {
	defer runtime.KeepAlive(m)
	return check(uintptr(C.go_module_train(m.ptr(), C.bool(on))))
}

// Eval leaves training mode.
func (m *Module) Eval() error { return m.Train(false) }

// IsTraining says whether training mode is on.
func (m *Module) IsTraining() bool {
	defer runtime.KeepAlive(m)
	return C.go_module_is_training(m.ptr()) == 1
}

// To moves parameters and buffers to a dtype (0: stays) and device (zero: stays).
func (m *Module) To(dtype DType, device Device) error {
	defer runtime.KeepAlive(m)
	return check(uintptr(C.go_module_to(m.ptr(), C.int32_t(dtype.code()), device.c())))
}

// ZeroGrad clears all gradients.
func (m *Module) ZeroGrad() error {
	defer runtime.KeepAlive(m)
	return check(uintptr(C.go_module_zero_grad(m.ptr(), true)))
}

// Apply calls f with every module of the tree, children first.
func (m *Module) Apply(f func(*Module) error) error {
	if f == nil {
		return missing("Apply", "f", 1)
	}
	h := cgo.NewHandle(f)
	defer h.Delete()
	e := C.go_module_apply(m.ptr(), C.uintptr_t(h))
	runtime.KeepAlive(m)
	return check(uintptr(e))
}

// Name is the module's type, like "Linear"; "" for a closed module.
func (m *Module) Name() string {
	r := C.go_module_name(m.ptr())
	runtime.KeepAlive(m)
	if check(uintptr(r.err)) != nil {
		return ""
	}
	return takeString(uintptr(r.out))
}

// ID is equal for two Modules that are one module of the library; 0 for a closed one.
func (m *Module) ID() uint64 {
	defer runtime.KeepAlive(m)
	return uint64(C.go_module_id(m.ptr()))
}

// Parameter is the parameter of a path, like "conv1.weight".
func (m *Module) Parameter(path string) (*Tensor, error) { return m.tensor(path, true) }

// Buffer is the buffer of a path.
func (m *Module) Buffer(path string) (*Tensor, error) { return m.tensor(path, false) }
func (m *Module) tensor(path string, parameter bool) (*Tensor, error) {
	p, err := text(path)
	if err != nil {
		return nil, err
	}
	defer freeText(p)
	r := C.go_module_get_tensor(m.ptr(), (*C.char)(p), C.bool(parameter))
	runtime.KeepAlive(m)
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// Copy is a copy of the whole tree with tensors of its own; modules whose forward is a program's own have none.
func (m *Module) Copy() (*Module, error) {
	r := C.go_module_deepcopy(m.ptr())
	runtime.KeepAlive(m)
	return adoptModule(r)
}

// Child is the module of a path, like "layer1.0".
func (m *Module) Child(path string) (*Module, error) {
	p, err := text(path)
	if err != nil {
		return nil, err
	}
	defer freeText(p)
	r := C.go_module_get_child(m.ptr(), (*C.char)(p))
	runtime.KeepAlive(m)
	return adoptModule(r)
}

// Children are the direct children by name, in order: for name, child := range children.
func (m *Module) Children() (iter.Seq2[string, *Module], error) {
	defer runtime.KeepAlive(m)
	n := int(C.go_module_num_children(m.ptr()))
	if n < 0 {
		// Which handle is bad, and why, the library says where an error can come back.
		return nil, m.SetRequiresGrad(false)
	}
	names, children := make([]string, n), make([]*Module, n)
	for i := range n {
		r := C.go_module_child_at(m.ptr(), C.size_t(i))
		if r.err != 0 {
			return nil, check(uintptr(r.err))
		}
		names[i] = takeString(uintptr(r.name))
		child, err := adoptModule(C.go_pair{out: r.out})
		if err != nil {
			return nil, err
		}
		children[i] = child
	}
	return func(yield func(string, *Module) bool) {
		for i, name := range names {
			if !yield(name, children[i]) {
				return
			}
		}
	}, nil
}

// Append adds a module to a Sequential or a ModuleList.
func (m *Module) Append(child *Module) error {
	e := C.go_module_append(m.ptr(), child.ptr())
	runtime.KeepAlive(m)
	runtime.KeepAlive(child)
	return check(uintptr(e))
}

// SetRequiresGrad says for every parameter whether it wants gradients.
func (m *Module) SetRequiresGrad(on bool) error {
	defer runtime.KeepAlive(m)
	return check(uintptr(C.go_module_requires_grad(m.ptr(), C.bool(on))))
}

// RegisterForwardPreHook calls f before every forward; a list that f returns replaces the inputs. What f is handed is
// closed when it has returned; what it returns stays its owner's (HandOver). The result is for RemoveHook.
func (m *Module) RegisterForwardPreHook(f func(m *Module, inputs []*Tensor) ([]*Tensor, error)) (uint64, error) {
	if f == nil {
		return 0, missing("RegisterForwardPreHook", "f", 1)
	}
	var id C.uint64_t
	e := C.go_module_register_pre_hook(m.ptr(), C.uintptr_t(cgo.NewHandle(f)), &id)
	runtime.KeepAlive(m)
	return uint64(id), check(uintptr(e))
}

// RegisterForwardHook calls f after every forward; a tensor that f returns replaces the output. Otherwise it is like
// RegisterForwardPreHook.
func (m *Module) RegisterForwardHook(f func(m *Module, inputs []*Tensor, output *Tensor) (*Tensor, error)) (uint64, error) {
	if f == nil {
		return 0, missing("RegisterForwardHook", "f", 1)
	}
	var id C.uint64_t
	e := C.go_module_register_hook(m.ptr(), C.uintptr_t(cgo.NewHandle(f)), &id)
	runtime.KeepAlive(m)
	return uint64(id), check(uintptr(e))
}

// RegisterForwardListHook calls f after every forward with all outputs; a list that f returns replaces them. Otherwise it is
// like RegisterForwardPreHook.
func (m *Module) RegisterForwardListHook(f func(m *Module, inputs, outputs []*Tensor) ([]*Tensor, error)) (uint64, error) {
	if f == nil {
		return 0, missing("RegisterForwardListHook", "f", 1)
	}
	var id C.uint64_t
	e := C.go_module_register_list_hook(m.ptr(), C.uintptr_t(cgo.NewHandle(f)), &id)
	runtime.KeepAlive(m)
	return uint64(id), check(uintptr(e))
}

// RemoveHook removes a hook of the module; unknown numbers are ignored.
func (m *Module) RemoveHook(id uint64) error {
	e := C.go_module_remove_hook(m.ptr(), C.uint64_t(id))
	runtime.KeepAlive(m)
	return check(uintptr(e))
}

// String is the form that PyTorch prints.
func (m *Module) String() string {
	if m == nil {
		return "<nil>"
	}
	r := C.go_module_to_string(m.ptr())
	runtime.KeepAlive(m)
	if err := check(uintptr(r.err)); err != nil {
		return "<" + err.Error() + ">"
	}
	return takeString(uintptr(r.out))
}

// Save writes the state as safetensors.
func (m *Module) Save(path string) error {
	p, err := text(path)
	if err != nil {
		return err
	}
	defer freeText(p)
	e := C.go_module_save(m.ptr(), (*C.char)(p))
	runtime.KeepAlive(m)
	return check(uintptr(e))
}

// Load reads a state from a safetensors file.
func (m *Module) Load(path string, strict bool) error {
	p, err := text(path)
	if err != nil {
		return err
	}
	defer freeText(p)
	e := C.go_module_load(m.ptr(), (*C.char)(p), C.bool(strict))
	runtime.KeepAlive(m)
	return check(uintptr(e))
}

// NamedTensors are tensors by name, in order.
type NamedTensors struct{ object }

func freeNamed(h uintptr) { C.go_named_free(C.uintptr_t(h)) }
func adoptNamed(r C.go_pair) (*NamedTensors, error) {
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	n := &NamedTensors{}
	n.own(uintptr(r.out), freeNamed)
	return n, nil
}
func (n *NamedTensors) ptr() C.uintptr_t {
	if n == nil {
		return 0
	}
	return C.uintptr_t(n.h)
}

// NewNamedTensors makes an empty collection.
func NewNamedTensors() (*NamedTensors, error) { return adoptNamed(C.go_named_new()) }

// LoadTensors reads a safetensors file onto a device.
func LoadTensors(path string, device Device) (*NamedTensors, error) {
	p, err := text(path)
	if err != nil {
		return nil, err
	}
	defer freeText(p)
	return adoptNamed(C.go_named_load((*C.char)(p), device.c()))
}

// Close frees the collection.
func (n *NamedTensors) Close() error {
	if n == nil {
		return nil
	}
	return n.release(freeNamed)
}

// Names in order.
func (n *NamedTensors) Names() []string {
	defer runtime.KeepAlive(n)
	out := make([]string, n.Len())
	for i := range out {
		out[i] = C.GoString(C.go_named_name(n.ptr(), C.size_t(i)))
	}
	return out
}

// Len is the number of tensors.
func (n *NamedTensors) Len() int {
	defer runtime.KeepAlive(n)
	return int(C.go_named_len(n.ptr()))
}

// All are the tensors by name, in order: for name, t := range n.All(). Each tensor is the caller's to close.
func (n *NamedTensors) All() iter.Seq2[string, *Tensor] {
	return func(yield func(string, *Tensor) bool) {
		for i := range n.Len() {
			name := C.go_named_name(n.ptr(), C.size_t(i))
			r := C.go_named_get(n.ptr(), C.size_t(i))
			runtime.KeepAlive(n)
			if name == nil || check(uintptr(r.err)) != nil {
				return // closed meanwhile
			}
			if !yield(C.GoString(name), adopt(uintptr(r.out))) {
				return
			}
		}
	}
}

// Get is the tensor of a name.
func (n *NamedTensors) Get(name string) (*Tensor, error) {
	s, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(s)
	r := C.go_named_get_by_name(n.ptr(), (*C.char)(s))
	runtime.KeepAlive(n)
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// SetMetadata sets a text that is saved with the tensors.
func (n *NamedTensors) SetMetadata(key, value string) error {
	k, err := text(key)
	if err != nil {
		return err
	}
	defer freeText(k)
	v, err := text(value)
	if err != nil {
		return err
	}
	defer freeText(v)
	e := C.go_named_set_metadata(n.ptr(), (*C.char)(k), (*C.char)(v))
	runtime.KeepAlive(n)
	return check(uintptr(e))
}

// Metadata is the text of a key, and whether there is one.
func (n *NamedTensors) Metadata(key string) (string, bool, error) {
	k, err := text(key)
	if err != nil {
		return "", false, err
	}
	defer freeText(k)
	r := C.go_named_metadata(n.ptr(), (*C.char)(k))
	runtime.KeepAlive(n)
	if r.err != 0 || r.out == 0 {
		return "", false, check(uintptr(r.err))
	}
	return takeString(uintptr(r.out)), true, nil
}

// Insert adds or replaces a tensor.
func (n *NamedTensors) Insert(name string, t *Tensor) error {
	s, err := text(name)
	if err != nil {
		return err
	}
	defer freeText(s)
	e := C.go_named_insert(n.ptr(), (*C.char)(s), t.ptr())
	runtime.KeepAlive(n)
	runtime.KeepAlive(t)
	return check(uintptr(e))
}

// Save writes a safetensors file.
func (n *NamedTensors) Save(path string) error {
	p, err := text(path)
	if err != nil {
		return err
	}
	defer freeText(p)
	e := C.go_named_save(n.ptr(), (*C.char)(p))
	runtime.KeepAlive(n)
	return check(uintptr(e))
}
