package taper

/*
#include "shims.h"

static inline go_pair go_nn_linear(int64_t in, int64_t out, bool bias) {
    GO_MODULE(taper_nn_linear_new(in, out, bias, &m));
}
static inline go_pair go_nn_conv(int dims, int64_t in, int64_t out, const int64_t *k, size_t kn, const int64_t *s,
                                 const int64_t *p, const int64_t *d, int64_t groups, bool bias) {
    taper_nn_conv_options o = TAPER_NN_CONV_OPTIONS_INIT;
    for (int i = 0; i < dims; ++i) {
        o.stride[i] = s[i];
        o.padding[i] = p[i];
        o.dilation[i] = d[i];
    }
    o.groups = groups;
    o.bias = bias;
    GO_MODULE(dims == 1   ? taper_nn_conv1d_new(in, out, k, kn, &o, &m)
              : dims == 2 ? taper_nn_conv2d_new(in, out, k, kn, &o, &m)
                          : taper_nn_conv3d_new(in, out, k, kn, &o, &m));
}
static inline go_pair go_nn_lazy_linear(int64_t out, bool bias) {
    taper_nn_linear_options o = TAPER_NN_LINEAR_OPTIONS_INIT;
    o.bias = bias;
    GO_MODULE(taper_nn_lazy_linear_create(out, &o, &m));
}
static inline go_pair go_nn_max_pool2d(const int64_t *k, size_t kn, const int64_t *s, size_t sn, const int64_t *p,
                                       size_t pn) {
    GO_MODULE(taper_nn_max_pool2d_new(k, kn, s, sn, p, pn, 0, 0, false, &m));
}
static inline go_pair go_nn_avg_pool2d(const int64_t *k, size_t kn, const int64_t *s, size_t sn, const int64_t *p,
                                       size_t pn) {
    GO_MODULE(taper_nn_avg_pool2d_new(k, kn, s, sn, p, pn, false, true, 0, &m));
}
static inline go_pair go_nn_embedding(int64_t n, int64_t dim, bool has_padding, int64_t padding) {
    GO_MODULE(taper_nn_embedding_new(n, dim, has_padding ? &padding : 0, &m));
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
static inline go_pair go_nn_batch_norm(int dims, int64_t n, double eps, double momentum) {
    GO_MODULE(dims == 1 ? taper_nn_batch_norm1d_new(n, eps, &momentum, true, true, &m)
                        : taper_nn_batch_norm2d_new(n, eps, &momentum, true, true, &m));
}
static inline go_pair go_nn_silu(void) { GO_MODULE(taper_nn_silu_new(false, &m)); }
static inline go_pair go_nn_leaky_relu(double slope) { GO_MODULE(taper_nn_leaky_relu_new(slope, false, &m)); }
static inline go_pair go_nn_module_list(uintptr_t *h, size_t n) {
    GO_MODULE(taper_nn_module_list_new((taper_module *const *)h, n, &m));
}
static inline go_pair go_nn_sequential(uintptr_t *h, size_t n) {
    GO_MODULE(taper_nn_sequential_new((taper_module *const *)h, n, &m));
}
static inline go_pair go_nn_cross_entropy(uintptr_t weight, const char *reduction, int64_t ignore, double smoothing) {
    GO_MODULE(taper_nn_cross_entropy_loss_new((taper_tensor *)weight, reduction, ignore, smoothing, &m));
}
static inline go_pair go_nn_nll(uintptr_t weight, const char *reduction, int64_t ignore) {
    GO_MODULE(taper_nn_nll_loss_new((taper_tensor *)weight, reduction, ignore, &m));
}
static inline go_pair go_nn_mse(const char *reduction) { GO_MODULE(taper_nn_mse_loss_new(reduction, &m)); }
static inline go_pair go_nn_l1(const char *reduction) { GO_MODULE(taper_nn_l1_loss_new(reduction, &m)); }
static inline go_pair go_nn_bce_with_logits(const char *reduction, uintptr_t weight, uintptr_t pos_weight) {
    GO_MODULE(taper_nn_bce_with_logits_loss_new(reduction, (taper_tensor *)weight, (taper_tensor *)pos_weight, &m));
}
*/
import "C"

import (
	"fmt"
	"runtime"
	"slices"
)

// NewLinear is x W^T + b.
func NewLinear(inFeatures, outFeatures int64) (*Module, error) {
	return adoptModule(C.go_nn_linear(C.int64_t(inFeatures), C.int64_t(outFeatures), true))
}

// NewLinearNoBias is x W^T.
func NewLinearNoBias(inFeatures, outFeatures int64) (*Module, error) {
	return adoptModule(C.go_nn_linear(C.int64_t(inFeatures), C.int64_t(outFeatures), false))
}

// ConvLayerOptions are the optional arguments of NewConv1d, NewConv2d and NewConv3d; a list is one number for all
// dimensions, or one for each.
type ConvLayerOptions struct {
	Stride   []int64 // default 1
	Padding  []int64 // default 0
	Dilation []int64 // default 1
	Groups   int64   // default 1
	NoBias   bool
}

// Conv2dLayerOptions are the optional arguments of NewConv2d.
type Conv2dLayerOptions = ConvLayerOptions

func newConv(dims int, in, out int64, kernelSize []int64, o ConvLayerOptions) (*Module, error) {
	op := fmt.Sprintf("NewConv%dd", dims)
	each := func(name string, v []int64, d int64) ([]int64, error) {
		switch len(v) {
		case 0:
			return slices.Repeat([]int64{d}, dims), nil
		case 1:
			return slices.Repeat(v, dims), nil
		case dims:
			return v, nil
		}
		return nil, &Error{Code: ErrorValue, Arg: 3, Op: op, Message: fmt.Sprintf(
			"%s: %s takes 1 number or %d, but %d were given", op, name, dims, len(v))}
	}
	s, err := each("Stride", o.Stride, 1)
	if err != nil {
		return nil, err
	}
	p, err := each("Padding", o.Padding, 0)
	if err != nil {
		return nil, err
	}
	d, err := each("Dilation", o.Dilation, 1)
	if err != nil {
		return nil, err
	}
	groups := o.Groups
	if groups == 0 {
		groups = 1
	}
	return adoptModule(C.go_nn_conv(C.int(dims), C.int64_t(in), C.int64_t(out), (*C.int64_t)(ints(kernelSize)),
		C.size_t(len(kernelSize)), (*C.int64_t)(ints(s)), (*C.int64_t)(ints(p)), (*C.int64_t)(ints(d)),
		C.int64_t(groups), C.bool(!o.NoBias)))
}

// NewConv1d is the module of a convolution over [n, inChannels, length]; kernelSize is one number.
func NewConv1d(inChannels, outChannels int64, kernelSize []int64, opts ...ConvLayerOptions) (*Module, error) {
	return newConv(1, inChannels, outChannels, kernelSize, first(opts))
}

// NewConv2d is the module of a convolution over [n, inChannels, height, width]; kernelSize is one number or two.
func NewConv2d(inChannels, outChannels int64, kernelSize []int64, opts ...ConvLayerOptions) (*Module, error) {
	return newConv(2, inChannels, outChannels, kernelSize, first(opts))
}

// NewConv3d is the module of a convolution over [n, inChannels, depth, height, width]; kernelSize is one number or three.
func NewConv3d(inChannels, outChannels int64, kernelSize []int64, opts ...ConvLayerOptions) (*Module, error) {
	return newConv(3, inChannels, outChannels, kernelSize, first(opts))
}

// NewLazyLinear is a NewLinear that takes inFeatures from its first input.
func NewLazyLinear(outFeatures int64, bias bool) (*Module, error) {
	return adoptModule(C.go_nn_lazy_linear(C.int64_t(outFeatures), C.bool(bias)))
}

// NewMaxPool2d takes the largest element of each window; stride nil is kernelSize.
func NewMaxPool2d(kernelSize, stride, padding []int64) (*Module, error) {
	return adoptModule(C.go_nn_max_pool2d((*C.int64_t)(ints(kernelSize)), C.size_t(len(kernelSize)),
		(*C.int64_t)(ints(stride)), C.size_t(len(stride)), (*C.int64_t)(ints(padding)), C.size_t(len(padding))))
}

// NewAvgPool2d takes the mean of each window; stride nil is kernelSize.
func NewAvgPool2d(kernelSize, stride, padding []int64) (*Module, error) {
	return adoptModule(C.go_nn_avg_pool2d((*C.int64_t)(ints(kernelSize)), C.size_t(len(kernelSize)),
		(*C.int64_t)(ints(stride)), C.size_t(len(stride)), (*C.int64_t)(ints(padding)), C.size_t(len(padding))))
}

// EmbeddingLayerOptions are the optional arguments of NewEmbedding.
type EmbeddingLayerOptions struct {
	// PaddingIdx is a row that starts as zeros and gets no gradient; nil: none.
	PaddingIdx *int64
}

// NewEmbedding picks rows by integers.
func NewEmbedding(numEmbeddings, dim int64, opts ...EmbeddingLayerOptions) (*Module, error) {
	p := first(opts).PaddingIdx
	return adoptModule(C.go_nn_embedding(C.int64_t(numEmbeddings), C.int64_t(dim), C.bool(p != nil), C.int64_t(or(p, 0))))
}

// NewReLU is max(x, 0).
func NewReLU() (*Module, error) { return adoptModule(C.go_nn_relu()) }

// NewSiLU is x sigmoid(x).
func NewSiLU() (*Module, error) { return adoptModule(C.go_nn_silu()) }

// NewLeakyReLU is x where positive, negativeSlope x elsewhere.
func NewLeakyReLU(negativeSlope float64) (*Module, error) {
	return adoptModule(C.go_nn_leaky_relu(C.double(negativeSlope)))
}

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

// BatchNormLayerOptions are the optional arguments of NewBatchNorm1d and NewBatchNorm2d.
type BatchNormLayerOptions struct {
	Eps      *float64 // default 1e-5
	Momentum *float64 // default 0.1
}

// NewBatchNorm1d standardises each channel of [n, c] or [n, c, length].
func NewBatchNorm1d(numFeatures int64, opts ...BatchNormLayerOptions) (*Module, error) {
	o := first(opts)
	return adoptModule(C.go_nn_batch_norm(1, C.int64_t(numFeatures), C.double(or(o.Eps, 1e-5)), C.double(or(o.Momentum, 0.1))))
}

// NewBatchNorm2d standardises each channel of [n, c, height, width].
func NewBatchNorm2d(numFeatures int64, opts ...BatchNormLayerOptions) (*Module, error) {
	o := first(opts)
	return adoptModule(C.go_nn_batch_norm(2, C.int64_t(numFeatures), C.double(or(o.Eps, 1e-5)), C.double(or(o.Momentum, 0.1))))
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

// NewModuleList holds modules and computes nothing itself.
func NewModuleList(modules ...*Module) (*Module, error) {
	h := make([]C.uintptr_t, len(modules))
	for i, m := range modules {
		h[i] = m.ptr()
	}
	r := C.go_nn_module_list(handleArray(h), C.size_t(len(h)))
	runtime.KeepAlive(modules)
	return adoptModule(r)
}

// LossOptions are the optional arguments of losses; each says which it takes.
type LossOptions struct {
	Reduction      string  // "mean" (the default), "sum" or "none"
	Weight         *Tensor // of each class, or of each element for NewBCEWithLogitsLoss
	PosWeight      *Tensor // of positive targets, for NewBCEWithLogitsLoss
	IgnoreIndex    *int64  // a class that does not count, default -100
	LabelSmoothing float64 // of NewCrossEntropyLoss
}

// NewCrossEntropyLoss compares logits with integer classes: Forward(logits, classes). It takes Reduction, Weight,
// IgnoreIndex and LabelSmoothing.
func NewCrossEntropyLoss(opts ...LossOptions) (*Module, error) {
	o := first(opts)
	r, err := text(orString(o.Reduction, "mean"))
	if err != nil {
		return nil, err
	}
	defer freeText(r)
	m := C.go_nn_cross_entropy(o.Weight.ptr(), (*C.char)(r), C.int64_t(or(o.IgnoreIndex, -100)), C.double(o.LabelSmoothing))
	runtime.KeepAlive(o.Weight)
	return adoptModule(m)
}

// NewNLLLoss compares log-probabilities with integer classes: Forward(logProbabilities, classes). It takes Reduction,
// Weight and IgnoreIndex.
func NewNLLLoss(opts ...LossOptions) (*Module, error) {
	o := first(opts)
	r, err := text(orString(o.Reduction, "mean"))
	if err != nil {
		return nil, err
	}
	defer freeText(r)
	m := C.go_nn_nll(o.Weight.ptr(), (*C.char)(r), C.int64_t(or(o.IgnoreIndex, -100)))
	runtime.KeepAlive(o.Weight)
	return adoptModule(m)
}

// NewMSELoss is the squared difference: Forward(input, target). It takes Reduction.
func NewMSELoss(opts ...LossOptions) (*Module, error) {
	r, err := text(orString(first(opts).Reduction, "mean"))
	if err != nil {
		return nil, err
	}
	defer freeText(r)
	return adoptModule(C.go_nn_mse((*C.char)(r)))
}

// NewL1Loss is the absolute difference: Forward(input, target). It takes Reduction.
func NewL1Loss(opts ...LossOptions) (*Module, error) {
	r, err := text(orString(first(opts).Reduction, "mean"))
	if err != nil {
		return nil, err
	}
	defer freeText(r)
	return adoptModule(C.go_nn_l1((*C.char)(r)))
}

// NewBCEWithLogitsLoss compares logits with targets in [0, 1]: Forward(logits, targets). It takes Reduction, Weight and
// PosWeight.
func NewBCEWithLogitsLoss(opts ...LossOptions) (*Module, error) {
	o := first(opts)
	r, err := text(orString(o.Reduction, "mean"))
	if err != nil {
		return nil, err
	}
	defer freeText(r)
	m := C.go_nn_bce_with_logits((*C.char)(r), o.Weight.ptr(), o.PosWeight.ptr())
	runtime.KeepAlive(o)
	return adoptModule(m)
}

// Ints makes a list of sizes: Ints(3, 3).
func Ints(v ...int64) []int64 { return v }
