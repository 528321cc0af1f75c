package taper

/*
#include "shims.h"

#define GO_MODULE(call) \
    taper_module *m = 0; \
    go_pair r = {0, 0}; \
    r.err = (uintptr_t)(call); \
    r.out = (uintptr_t)m; \
    return r

static inline go_pair go_nn_linear(int64_t in, int64_t out, bool bias) {
    GO_MODULE(taper_nn_linear_new(in, out, bias, &m));
}
static inline go_pair go_nn_conv2d(int64_t in, int64_t out, const int64_t *k, size_t kn, const int64_t *s,
                                   const int64_t *p, const int64_t *d, int64_t groups, bool bias) {
    taper_nn_conv_options o = TAPER_NN_CONV_OPTIONS_INIT;
    for (int i = 0; i < 2; ++i) {
        o.stride[i] = s[i];
        o.padding[i] = p[i];
        o.dilation[i] = d[i];
    }
    o.groups = groups;
    o.bias = bias;
    GO_MODULE(taper_nn_conv2d_new(in, out, k, kn, &o, &m));
}
static inline go_pair go_nn_max_pool2d(const int64_t *k, size_t kn, const int64_t *s, size_t sn, const int64_t *p,
                                       size_t pn) {
    GO_MODULE(taper_nn_max_pool2d_new(k, kn, s, sn, p, pn, 0, 0, false, &m));
}
static inline go_pair go_nn_embedding(int64_t n, int64_t dim) {
    GO_MODULE(taper_nn_embedding_new(n, dim, 0, &m));
}
static inline go_pair go_nn_relu(void) { GO_MODULE(taper_nn_relu_new(false, &m)); }
static inline go_pair go_nn_sigmoid(void) { GO_MODULE(taper_nn_sigmoid_new(&m)); }
static inline go_pair go_nn_tanh(void) { GO_MODULE(taper_nn_tanh_new(&m)); }
static inline go_pair go_nn_gelu(void) { GO_MODULE(taper_nn_gelu_new("none", &m)); }
static inline go_pair go_nn_softmax(int64_t dim) { GO_MODULE(taper_nn_softmax_new(dim, &m)); }
static inline go_pair go_nn_log_softmax(int64_t dim) { GO_MODULE(taper_nn_log_softmax_new(dim, &m)); }
static inline go_pair go_nn_flatten(int64_t a, int64_t b) { GO_MODULE(taper_nn_flatten_new(a, b, &m)); }
static inline go_pair go_nn_dropout(double p) { GO_MODULE(taper_nn_dropout_new(p, false, &m)); }
static inline go_pair go_nn_identity(void) { GO_MODULE(taper_nn_identity_new(&m)); }
static inline go_pair go_nn_layer_norm(const int64_t *s, size_t n, double eps) {
    GO_MODULE(taper_nn_layer_norm_new(s, n, eps, true, true, &m));
}
static inline go_pair go_nn_batch_norm2d(int64_t n) {
    double momentum = 0.1;
    GO_MODULE(taper_nn_batch_norm2d_new(n, 1e-5, &momentum, true, true, &m));
}
static inline go_pair go_nn_sequential(uintptr_t *h, size_t n) {
    GO_MODULE(taper_nn_sequential_new((taper_module *const *)h, n, &m));
}
static inline go_pair go_nn_cross_entropy(void) {
    GO_MODULE(taper_nn_cross_entropy_loss_new(0, "mean", -100, 0.0, &m));
}
static inline go_pair go_nn_mse(void) { GO_MODULE(taper_nn_mse_loss_new("mean", &m)); }

static inline go_pair go_module_ref(uintptr_t h) { GO_MODULE(taper_module_ref((taper_module *)h, &m)); }
static inline void go_module_free(uintptr_t h) { taper_module_free((taper_module *)h); }
static inline go_pair go_module_forward(uintptr_t h, uintptr_t *in, size_t n) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_forward((taper_module *)h, (taper_tensor *const *)in, n, &t);
    r.out = (uintptr_t)t;
    return r;
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
	"runtime"
	"runtime/cgo"
	"sync/atomic"
)

// Module is a layer, a container or a module of the caller's.
type Module struct {
	h       atomic.Uintptr
	cleanup runtime.Cleanup
}

func freeModule(h uintptr) { C.go_module_free(C.uintptr_t(h)) }
func adoptModule(r C.go_pair) (*Module, error) {
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	m := &Module{}
	m.h.Store(uintptr(r.out))
	m.cleanup = runtime.AddCleanup(m, freeModule, uintptr(r.out))
	return m, nil
}
func borrowModule(h uintptr) (*Module, error) { return adoptModule(C.go_module_ref(C.uintptr_t(h))) }
func (m *Module) ptr() C.uintptr_t {
	if m == nil {
		return 0
	}
	return C.uintptr_t(m.h.Load())
}
func newString(s string) (uintptr, error) {
	t := text(s)
	defer freeText(t)
	r := C.go_string_new((*C.char)(t))
	return uintptr(r.out), check(uintptr(r.err))
}

// Close gives the module up; parents that contain it keep it.
func (m *Module) Close() error {
	if m == nil {
		return nil
	}
	if h := m.h.Swap(0); h != 0 {
		m.cleanup.Stop()
		freeModule(h)
	}
	return nil
}

// Forwarder is the computation of a module of the caller's. It may also have ExtraRepr() string, the text between the
// brackets of the printed form. The inputs are closed when Forward returns, and so is the result, once the library has
// taken it over.
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

// NewModule makes a container whose computation is f; name is what the printed form shows. The library holds f as long
// as the module lives: f must not hold the module itself, or it will never be freed without Close.
func NewModule(name string, f Forwarder) (*Module, error) {
	n := text(name)
	defer freeText(n)
	return adoptModule(C.go_module_new((*C.char)(n), C.uintptr_t(cgo.NewHandle(f))))
}

// NewLinear is x W^T + b.
func NewLinear(inFeatures, outFeatures int64) (*Module, error) {
	return adoptModule(C.go_nn_linear(C.int64_t(inFeatures), C.int64_t(outFeatures), true))
}

// NewLinearNoBias is x W^T.
func NewLinearNoBias(inFeatures, outFeatures int64) (*Module, error) {
	return adoptModule(C.go_nn_linear(C.int64_t(inFeatures), C.int64_t(outFeatures), false))
}

// Conv2dLayerOptions are the optional arguments of Conv2dLayer; a list is one number or two.
type Conv2dLayerOptions struct {
	Stride   []int64 // default 1
	Padding  []int64 // default 0
	Dilation []int64 // default 1
	Groups   int64   // default 1
	NoBias   bool
}

func pair(v []int64, d int64) []int64 {
	switch len(v) {
	case 0:
		return []int64{d, d}
	case 1:
		return []int64{v[0], v[0]}
	}
	return v
}

// NewConv2d is the module of a convolution; kernelSize is one number or two.
func NewConv2d(inChannels, outChannels int64, kernelSize []int64, opts ...Conv2dLayerOptions) (*Module, error) {
	o := first(opts)
	s, p, d := pair(o.Stride, 1), pair(o.Padding, 0), pair(o.Dilation, 1)
	for name, v := range map[string][]int64{"Stride": s, "Padding": p, "Dilation": d} {
		if len(v) != 2 {
			return nil, &Error{Code: ErrorValue, Arg: -1, Op: "NewConv2d", Message: "NewConv2d: " + name + " takes one number or two"}
		}
	}
	return adoptModule(C.go_nn_conv2d(C.int64_t(inChannels), C.int64_t(outChannels), (*C.int64_t)(ints(kernelSize)),
		C.size_t(len(kernelSize)), (*C.int64_t)(ints(s)), (*C.int64_t)(ints(p)), (*C.int64_t)(ints(d)),
		C.int64_t(max(o.Groups, 1)), C.bool(!o.NoBias)))
}

// NewMaxPool2d takes the largest element of each window; stride nil is kernelSize.
func NewMaxPool2d(kernelSize, stride, padding []int64) (*Module, error) {
	return adoptModule(C.go_nn_max_pool2d((*C.int64_t)(ints(kernelSize)), C.size_t(len(kernelSize)),
		(*C.int64_t)(ints(stride)), C.size_t(len(stride)), (*C.int64_t)(ints(padding)), C.size_t(len(padding))))
}

// NewEmbedding picks rows by integers.
func NewEmbedding(numEmbeddings, dim int64) (*Module, error) {
	return adoptModule(C.go_nn_embedding(C.int64_t(numEmbeddings), C.int64_t(dim)))
}

// NewReLU is max(x, 0).
func NewReLU() (*Module, error) { return adoptModule(C.go_nn_relu()) }

// NewSigmoid is 1 / (1 + exp(-x)).
func NewSigmoid() (*Module, error) { return adoptModule(C.go_nn_sigmoid()) }

// NewTanh is tanh.
func NewTanh() (*Module, error) { return adoptModule(C.go_nn_tanh()) }

// NewGELU is x Phi(x).
func NewGELU() (*Module, error) { return adoptModule(C.go_nn_gelu()) }

// NewSoftmax normalises exp(x) along dim.
func NewSoftmax(dim int64) (*Module, error) { return adoptModule(C.go_nn_softmax(C.int64_t(dim))) }

// NewLogSoftmax is the logarithm of NewSoftmax.
func NewLogSoftmax(dim int64) (*Module, error) {
	return adoptModule(C.go_nn_log_softmax(C.int64_t(dim)))
}

// NewFlatten merges all dimensions but the first.
func NewFlatten() (*Module, error) { return adoptModule(C.go_nn_flatten(1, -1)) }

// NewDropout zeroes elements with probability p in training.
func NewDropout(p float64) (*Module, error) { return adoptModule(C.go_nn_dropout(C.double(p))) }

// NewIdentity returns its input.
func NewIdentity() (*Module, error) { return adoptModule(C.go_nn_identity()) }

// NewLayerNorm standardises over the last dimensions.
func NewLayerNorm(normalizedShape []int64, eps float64) (*Module, error) {
	return adoptModule(C.go_nn_layer_norm((*C.int64_t)(ints(normalizedShape)), C.size_t(len(normalizedShape)), C.double(eps)))
}

// NewBatchNorm2d standardises each channel.
func NewBatchNorm2d(numFeatures int64) (*Module, error) {
	return adoptModule(C.go_nn_batch_norm2d(C.int64_t(numFeatures)))
}

// NewSequential runs modules one after the other. It keeps them: the caller may close its own.
func NewSequential(modules ...*Module) (*Module, error) {
	h := make([]C.uintptr_t, len(modules))
	for i, m := range modules {
		h[i] = m.ptr()
	}
	r := C.go_nn_sequential(handleArray(h), C.size_t(len(h)))
	runtime.KeepAlive(modules)
	return adoptModule(r)
}

// NewCrossEntropyLoss compares logits with integer classes: Forward(logits, classes).
func NewCrossEntropyLoss() (*Module, error) { return adoptModule(C.go_nn_cross_entropy()) }

// NewMSELoss is the mean squared difference: Forward(input, target).
func NewMSELoss() (*Module, error) { return adoptModule(C.go_nn_mse()) }

// Forward runs the module with its hooks.
func (m *Module) Forward(inputs ...*Tensor) (*Tensor, error) {
	h := handlesOf(inputs)
	r := C.go_module_forward(m.ptr(), handleArray(h), C.size_t(len(h)))
	runtime.KeepAlive(m)
	runtime.KeepAlive(inputs)
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// RegisterParameter makes t a parameter of the module.
func (m *Module) RegisterParameter(name string, t *Tensor) error {
	n := text(name)
	defer freeText(n)
	e := C.go_module_register_parameter(m.ptr(), (*C.char)(n), t.ptr())
	runtime.KeepAlive(m)
	runtime.KeepAlive(t)
	return check(uintptr(e))
}

// RegisterBuffer makes t part of the state without being a parameter.
func (m *Module) RegisterBuffer(name string, t *Tensor, persistent bool) error {
	n := text(name)
	defer freeText(n)
	e := C.go_module_register_buffer(m.ptr(), (*C.char)(n), t.ptr(), C.bool(persistent))
	runtime.KeepAlive(m)
	runtime.KeepAlive(t)
	return check(uintptr(e))
}

// RegisterModule makes child a part of the module.
func (m *Module) RegisterModule(name string, child *Module) error {
	n := text(name)
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
	h := cgo.NewHandle(f)
	defer h.Delete()
	e := C.go_module_apply(m.ptr(), C.uintptr_t(h))
	runtime.KeepAlive(m)
	return check(uintptr(e))
}

// String is the form that PyTorch prints.
func (m *Module) String() string {
	r := C.go_module_to_string(m.ptr())
	runtime.KeepAlive(m)
	if err := check(uintptr(r.err)); err != nil {
		return "<" + err.Error() + ">"
	}
	return takeString(uintptr(r.out))
}

// Save writes the state as safetensors.
func (m *Module) Save(path string) error {
	p := text(path)
	defer freeText(p)
	e := C.go_module_save(m.ptr(), (*C.char)(p))
	runtime.KeepAlive(m)
	return check(uintptr(e))
}

// Load reads a state from a safetensors file.
func (m *Module) Load(path string, strict bool) error {
	p := text(path)
	defer freeText(p)
	e := C.go_module_load(m.ptr(), (*C.char)(p), C.bool(strict))
	runtime.KeepAlive(m)
	return check(uintptr(e))
}

// NamedTensors are tensors by name, in order.
type NamedTensors struct {
	h       atomic.Uintptr
	cleanup runtime.Cleanup
}

func freeNamed(h uintptr) { C.go_named_free(C.uintptr_t(h)) }
func adoptNamed(r C.go_pair) (*NamedTensors, error) {
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	n := &NamedTensors{}
	n.h.Store(uintptr(r.out))
	n.cleanup = runtime.AddCleanup(n, freeNamed, uintptr(r.out))
	return n, nil
}
func (n *NamedTensors) ptr() C.uintptr_t {
	if n == nil {
		return 0
	}
	return C.uintptr_t(n.h.Load())
}

// NewNamedTensors makes an empty collection.
func NewNamedTensors() (*NamedTensors, error) { return adoptNamed(C.go_named_new()) }

// LoadTensors reads a safetensors file onto a device.
func LoadTensors(path string, device Device) (*NamedTensors, error) {
	p := text(path)
	defer freeText(p)
	return adoptNamed(C.go_named_load((*C.char)(p), device.c()))
}

// Close frees the collection.
func (n *NamedTensors) Close() error {
	if n == nil {
		return nil
	}
	if h := n.h.Swap(0); h != 0 {
		n.cleanup.Stop()
		freeNamed(h)
	}
	return nil
}

// Names in order.
func (n *NamedTensors) Names() []string {
	defer runtime.KeepAlive(n)
	out := make([]string, int(C.go_named_len(n.ptr())))
	for i := range out {
		out[i] = C.GoString(C.go_named_name(n.ptr(), C.size_t(i)))
	}
	return out
}

// Get is the tensor of a name.
func (n *NamedTensors) Get(name string) (*Tensor, error) {
	for i, s := range n.Names() {
		if s == name {
			r := C.go_named_get(n.ptr(), C.size_t(i))
			runtime.KeepAlive(n)
			return adopt(uintptr(r.out)), check(uintptr(r.err))
		}
	}
	return nil, &Error{Code: ErrorKey, Arg: 0, Op: "Get", Message: "no tensor named '" + name + "'"}
}

// Insert adds or replaces a tensor.
func (n *NamedTensors) Insert(name string, t *Tensor) error {
	s := text(name)
	defer freeText(s)
	e := C.go_named_insert(n.ptr(), (*C.char)(s), t.ptr())
	runtime.KeepAlive(n)
	runtime.KeepAlive(t)
	return check(uintptr(e))
}

// Save writes a safetensors file.
func (n *NamedTensors) Save(path string) error {
	p := text(path)
	defer freeText(p)
	e := C.go_named_save(n.ptr(), (*C.char)(p))
	runtime.KeepAlive(n)
	return check(uintptr(e))
}
