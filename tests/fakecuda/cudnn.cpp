// The test double's libcudnn: convolutions of up to three dimensions in plain loops, one algorithm per pass.
#include "gemm.h"

enum cudnnStatus_t { CUDNN_STATUS_SUCCESS = 0, CUDNN_STATUS_BAD_PARAM = 2000, CUDNN_STATUS_NOT_SUPPORTED = 3000, CUDNN_STATUS_EXECUTION_FAILED = 5000 };
enum { DNN_FLOAT = 0, DNN_DOUBLE = 1, DNN_HALF = 2, DNN_BF16 = 9 };
enum { DEFAULT_MATH = 0, TENSOR_OP_MATH = 1, FMA_MATH = 3 };

struct Tensor {
    int kind, n; // -1: not set
    int size[5], stride[5];
};
struct Filter {
    int kind, n, size[5];
};
struct Conv {
    int n, pad[3], stride[3], dilation[3], mode, compute, groups, math;
};
struct Handle {
    CUstream stream;
};
struct Perf {
    int algo, status;
    float time;
    size_t memory;
    int determinism, math, reserved[3];
};
static_assert(sizeof(Perf) == 48, "the layout of cudnnConvolution...AlgoPerf_t");
static std::set<void *> objects;
static const size_t WORKSPACE = 512;

static bool known(const void *p, const char *who) {
    if (objects.count((void *)p)) return true;
    misuse(CUDA_ERROR_INVALID_HANDLE, "%s: not an object of cuDNN, or destroyed", who);
    return false;
}
#define KNOWN(p) \
    Lock lock(big_lock()); \
    if (!known(p, __func__)) return CUDNN_STATUS_BAD_PARAM
template <class T> static cudnnStatus_t make(T **out, T value) {
    Lock lock(big_lock());
    *out = new T(value);
    objects.insert(*out);
    return CUDNN_STATUS_SUCCESS;
}
static cudnnStatus_t drop(void *p, const char *who) {
    Lock lock(big_lock());
    if (!known(p, who)) return CUDNN_STATUS_BAD_PARAM;
    objects.erase(p);
    return CUDNN_STATUS_SUCCESS;
}
static int type_of(int kind) {
    switch (kind) {
    case DNN_FLOAT: return R_32F;
    case DNN_DOUBLE: return R_64F;
    case DNN_HALF: return R_16F;
    case DNN_BF16: return R_16BF;
    }
    return -1;
}

API size_t cudnnGetVersion(void) { return 91000; }
API const char *cudnnGetErrorString(cudnnStatus_t s) { return s == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS" : s == CUDNN_STATUS_BAD_PARAM ? "CUDNN_STATUS_BAD_PARAM" : s == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_EXECUTION_FAILED"; }
API cudnnStatus_t cudnnCreate(Handle **out) {
    Lock lock(big_lock());
    if (check_unsafe("cudnnCreate") != CUDA_SUCCESS) return CUDNN_STATUS_EXECUTION_FAILED;
    return make(out, Handle{nullptr});
}
API cudnnStatus_t cudnnDestroy(Handle *h) { return drop(h, "cudnnDestroy"); }
API cudnnStatus_t cudnnSetStream(Handle *h, CUstream s) {
    KNOWN(h);
    h->stream = s;
    return CUDNN_STATUS_SUCCESS;
}
API cudnnStatus_t cudnnCreateTensorDescriptor(Tensor **out) { return make(out, Tensor{-1, 0, {}, {}}); }
API cudnnStatus_t cudnnDestroyTensorDescriptor(Tensor *p) { return drop(p, "cudnnDestroyTensorDescriptor"); }
API cudnnStatus_t cudnnCreateFilterDescriptor(Filter **out) { return make(out, Filter{-1, 0, {}}); }
API cudnnStatus_t cudnnDestroyFilterDescriptor(Filter *p) { return drop(p, "cudnnDestroyFilterDescriptor"); }
API cudnnStatus_t cudnnCreateConvolutionDescriptor(Conv **out) { return make(out, Conv{0, {}, {}, {}, 0, 0, 1, 0}); }
API cudnnStatus_t cudnnDestroyConvolutionDescriptor(Conv *p) { return drop(p, "cudnnDestroyConvolutionDescriptor"); }
API cudnnStatus_t cudnnSetTensorNdDescriptor(Tensor *t, int kind, int n, const int *size, const int *stride) {
    KNOWN(t);
    // Fewer than four dimensions are refused, and so are sizes and strides below one.
    if (n < 4 || type_of(kind) < 0) return CUDNN_STATUS_BAD_PARAM;
    if (n > 5) return CUDNN_STATUS_NOT_SUPPORTED;
    for (int d = 0; d < n; d++)
        if (size[d] < 1 || stride[d] < 1) return CUDNN_STATUS_BAD_PARAM;
    t->kind = kind;
    t->n = n;
    memcpy(t->size, size, sizeof(int) * (size_t)n);
    memcpy(t->stride, stride, sizeof(int) * (size_t)n);
    return CUDNN_STATUS_SUCCESS;
}
API cudnnStatus_t cudnnSetFilterNdDescriptor(Filter *f, int kind, int format, int n, const int *size) {
    KNOWN(f);
    if (n < 4 || type_of(kind) < 0) return CUDNN_STATUS_BAD_PARAM;
    if (n > 5 || format != 0) return CUDNN_STATUS_NOT_SUPPORTED;
    f->kind = kind;
    f->n = n;
    memcpy(f->size, size, sizeof(int) * (size_t)n);
    return CUDNN_STATUS_SUCCESS;
}
API cudnnStatus_t cudnnSetConvolutionNdDescriptor(Conv *c, int n, const int *pad, const int *stride, const int *dilation, int mode, int compute) {
    KNOWN(c);
    if (n < 2 || n > 3) return CUDNN_STATUS_NOT_SUPPORTED;
    for (int d = 0; d < n; d++) {
        if (pad[d] < 0 || stride[d] < 1 || dilation[d] < 1) return CUDNN_STATUS_BAD_PARAM;
        c->pad[d] = pad[d];
        c->stride[d] = stride[d];
        c->dilation[d] = dilation[d];
    }
    c->n = n;
    c->mode = mode;
    c->compute = compute;
    return CUDNN_STATUS_SUCCESS;
}
API cudnnStatus_t cudnnSetConvolutionGroupCount(Conv *c, int groups) {
    KNOWN(c);
    c->groups = groups;
    return groups >= 1 ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}
API cudnnStatus_t cudnnSetConvolutionMathType(Conv *c, int math) {
    KNOWN(c);
    c->math = math;
    return CUDNN_STATUS_SUCCESS;
}

// Whether the descriptors belong together.
static cudnnStatus_t fits(const Tensor *x, const Filter *w, const Conv *c, const Tensor *y, const char *who) {
    auto bad = [who](const char *what) {
        misuse(CUDA_ERROR_INVALID_VALUE, "%s: %s", who, what);
        return CUDNN_STATUS_BAD_PARAM;
    };
    if (x->kind < 0 || y->kind < 0 || w->kind < 0 || c->n == 0) return bad("a descriptor is not set");
    if (x->kind != w->kind || x->kind != y->kind) return bad("the types differ");
    if (x->n != c->n + 2 || w->n != x->n || y->n != x->n) return bad("the numbers of dimensions differ");
    if (c->mode != 1) return bad("the double knows cross-correlation only");
    if (x->size[0] != y->size[0] || x->size[1] != w->size[1] * c->groups || y->size[1] != w->size[0] || w->size[0] % c->groups != 0)
        return bad("batch, channels and groups do not fit");
    for (int d = 0; d < c->n; d++) {
        int out = (x->size[d + 2] + 2 * c->pad[d] - ((w->size[d + 2] - 1) * c->dilation[d] + 1)) / c->stride[d] + 1;
        if (out != y->size[d + 2]) return bad("the output's size is not what the input's gives");
    }
    return CUDNN_STATUS_SUCCESS;
}
static cudnnStatus_t ask(Handle *h, const Tensor *x, const Filter *w, const Conv *c, const Tensor *y, int wanted, int *n, Perf *out, const char *who) {
    Lock lock(big_lock());
    for (const void *p : {(const void *)h, (const void *)x, (const void *)w, (const void *)c, (const void *)y})
        if (!known(p, who)) return CUDNN_STATUS_BAD_PARAM;
    *n = 0;
    cudnnStatus_t s = fits(x, w, c, y, who);
    if (s != CUDNN_STATUS_SUCCESS) return s;
    // The first is not deterministic and wants more memory than anybody has.
    const Perf list[2] = {{0, 0, 0.5f, (size_t)1 << 50, 0, c->math, {}}, {1, 0, 1, WORKSPACE, 1, c->math, {}}};
    for (int i = 0; i < 2 && i < wanted; i++) out[(*n)++] = list[i];
    return CUDNN_STATUS_SUCCESS;
}
API cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(Handle *h, Tensor *x, Filter *w, Conv *c, Tensor *y, int wanted, int *n, Perf *out) {
    return ask(h, x, w, c, y, wanted, n, out, "cudnnGetConvolutionForwardAlgorithm_v7");
}
API cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(Handle *h, Filter *w, Tensor *y, Conv *c, Tensor *x, int wanted, int *n, Perf *out) {
    return ask(h, x, w, c, y, wanted, n, out, "cudnnGetConvolutionBackwardDataAlgorithm_v7");
}
API cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(Handle *h, Tensor *x, Tensor *y, Conv *c, Filter *w, int wanted, int *n, Perf *out) {
    return ask(h, x, w, c, y, wanted, n, out, "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
}

enum Pass { FORWARD, DATA, FILTER };

static size_t span(const Tensor &t) {
    size_t last = 0;
    for (int d = 0; d < t.n; d++) last += (size_t)(t.size[d] - 1) * (size_t)t.stride[d];
    return (last + 1) * type_size(type_of(t.kind));
}

static CUresult work(Pass pass, const Tensor &x, const Filter &w, const Conv &c, const Tensor &y, unsigned long px, unsigned long pw, unsigned long py,
                     double alpha, double beta, const char *who) {
    size_t weights = 1;
    for (int d = 0; d < w.n; d++) weights *= (size_t)w.size[d];
    int type = type_of(x.kind);
    void *bx = device_bytes(px, span(x), who), *bw = device_bytes(pw, weights * type_size(type), who), *by = device_bytes(py, span(y), who);
    if (bx == nullptr || bw == nullptr || by == nullptr) return CUDA_ERROR_ILLEGAL_ADDRESS;
    counters().libraries++;
    // Missing leading spatial dimensions are 1.
    int s = c.n, xs[3] = {1, 1, 1}, ys[3] = {1, 1, 1}, ks[3] = {1, 1, 1}, st[3] = {1, 1, 1}, pd[3] = {}, dl[3] = {1, 1, 1}, xst[3] = {}, yst[3] = {};
    for (int d = 0; d < s; d++) {
        int e = d + 3 - s;
        xs[e] = x.size[d + 2], ys[e] = y.size[d + 2], ks[e] = w.size[d + 2];
        st[e] = c.stride[d], pd[e] = c.pad[d], dl[e] = c.dilation[d], xst[e] = x.stride[d + 2], yst[e] = y.stride[d + 2];
    }
    int cg = w.size[1], og = w.size[0] / c.groups;
    bool tf32 = type == R_32F && c.math != FMA_MATH;
    auto round = [&](double v) { return tf32 ? (double)to_tf32((float)v) : v; };
    std::vector<double> sum(pass == FORWARD ? 0 : pass == DATA ? span(x) / type_size(type) : weights);
    for (int n = 0; n < x.size[0]; n++)
        for (int o = 0; o < w.size[0]; o++)
            for (int a = 0; a < ys[0]; a++)
                for (int b = 0; b < ys[1]; b++)
                    for (int e = 0; e < ys[2]; e++) {
                        size_t yi = (size_t)n * (size_t)y.stride[0] + (size_t)o * (size_t)y.stride[1] + (size_t)a * (size_t)yst[0] + (size_t)b * (size_t)yst[1] + (size_t)e * (size_t)yst[2];
                        double total = 0, g = pass == FORWARD ? 0 : round(load(by, yi, type));
                        for (int i = 0; i < cg; i++)
                            for (int k0 = 0; k0 < ks[0]; k0++)
                                for (int k1 = 0; k1 < ks[1]; k1++)
                                    for (int k2 = 0; k2 < ks[2]; k2++) {
                                        int p0 = a * st[0] - pd[0] + k0 * dl[0], p1 = b * st[1] - pd[1] + k1 * dl[1], p2 = e * st[2] - pd[2] + k2 * dl[2];
                                        if (p0 < 0 || p0 >= xs[0] || p1 < 0 || p1 >= xs[1] || p2 < 0 || p2 >= xs[2]) continue;
                                        size_t channel = (size_t)(o / og * cg + i);
                                        size_t xi = (size_t)n * (size_t)x.stride[0] + channel * (size_t)x.stride[1] + (size_t)p0 * (size_t)xst[0] + (size_t)p1 * (size_t)xst[1] + (size_t)p2 * (size_t)xst[2];
                                        size_t wi = ((((size_t)o * (size_t)cg + (size_t)i) * (size_t)ks[0] + (size_t)k0) * (size_t)ks[1] + (size_t)k1) * (size_t)ks[2] + (size_t)k2;
                                        if (pass == FORWARD) total += round(load(bx, xi, type)) * round(load(bw, wi, type));
                                        else if (pass == DATA) sum[xi] += g * round(load(bw, wi, type));
                                        else sum[wi] += g * round(load(bx, xi, type));
                                    }
                        if (pass == FORWARD) store(by, yi, type, alpha * total + (beta != 0 ? beta * load(by, yi, type) : 0));
                    }
    if (pass == FILTER)
        for (size_t i = 0; i < weights; i++) store(bw, i, type, alpha * sum[i] + (beta != 0 ? beta * load(bw, i, type) : 0));
    if (pass == DATA) {
        // Only what belongs to the tensor is written: its strides may leave gaps.
        for (int n = 0; n < x.size[0]; n++)
            for (int ch = 0; ch < x.size[1]; ch++)
                for (int a = 0; a < xs[0]; a++)
                    for (int b = 0; b < xs[1]; b++)
                        for (int e = 0; e < xs[2]; e++) {
                            size_t i = (size_t)n * (size_t)x.stride[0] + (size_t)ch * (size_t)x.stride[1] + (size_t)a * (size_t)xst[0] + (size_t)b * (size_t)xst[1] + (size_t)e * (size_t)xst[2];
                            store(bx, i, type, alpha * sum[i] + (beta != 0 ? beta * load(bx, i, type) : 0));
                        }
    }
    return CUDA_SUCCESS;
}
static cudnnStatus_t convolve(Pass pass, Handle *h, const void *alpha, const Tensor *x, const void *px, const Filter *w, const void *pw, const Conv *c,
                              int algo, void *workspace, size_t workspace_size, const void *beta, const Tensor *y, const void *py, const char *who) {
    Lock lock(big_lock());
    for (const void *p : {(const void *)h, (const void *)x, (const void *)w, (const void *)c, (const void *)y})
        if (!known(p, who)) return CUDNN_STATUS_BAD_PARAM;
    cudnnStatus_t s = fits(x, w, c, y, who);
    if (s != CUDNN_STATUS_SUCCESS) return s;
    if (algo != 1 || workspace_size < WORKSPACE) {
        misuse(CUDA_ERROR_INVALID_VALUE, "%s: algorithm %d with %zu bytes of workspace was not offered", who, algo, workspace_size);
        return CUDNN_STATUS_BAD_PARAM;
    }
    int scale = x->kind == DNN_DOUBLE ? R_64F : R_32F;
    double a = load(alpha, 0, scale), b = load(beta, 0, scale);
    Tensor xd = *x, yd = *y;
    Filter wd = *w;
    Conv cd = *c;
    CUresult r = enqueue(h->stream, who, [=] {
        if (device_bytes((unsigned long)workspace, workspace_size, who) == nullptr) return CUDA_ERROR_ILLEGAL_ADDRESS;
        return work(pass, xd, wd, cd, yd, (unsigned long)px, (unsigned long)pw, (unsigned long)py, a, b, who);
    });
    return r == CUDA_SUCCESS ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}
API cudnnStatus_t cudnnConvolutionForward(Handle *h, const void *alpha, Tensor *x, const void *px, Filter *w, const void *pw, Conv *c, int algo, void *ws,
                                          size_t n, const void *beta, Tensor *y, void *py) {
    return convolve(FORWARD, h, alpha, x, px, w, pw, c, algo, ws, n, beta, y, py, "cudnnConvolutionForward");
}
API cudnnStatus_t cudnnConvolutionBackwardData(Handle *h, const void *alpha, Filter *w, const void *pw, Tensor *y, const void *py, Conv *c, int algo,
                                               void *ws, size_t n, const void *beta, Tensor *x, void *px) {
    return convolve(DATA, h, alpha, x, px, w, pw, c, algo, ws, n, beta, y, py, "cudnnConvolutionBackwardData");
}
API cudnnStatus_t cudnnConvolutionBackwardFilter(Handle *h, const void *alpha, Tensor *x, const void *px, Tensor *y, const void *py, Conv *c, int algo,
                                                 void *ws, size_t n, const void *beta, Filter *w, void *pw) {
    return convolve(FILTER, h, alpha, x, px, w, pw, c, algo, ws, n, beta, y, py, "cudnnConvolutionBackwardFilter");
}
API cudnnStatus_t cudnnAddTensor(Handle *h, const void *alpha, Tensor *a, const void *pa, const void *beta, Tensor *c, void *pc) {
    KNOWN(h);
    if (!known(a, __func__) || !known(c, __func__)) return CUDNN_STATUS_BAD_PARAM;
    if (a->kind != c->kind || a->n != c->n) return CUDNN_STATUS_BAD_PARAM;
    for (int d = 0; d < a->n; d++)
        if (a->size[d] != 1 && a->size[d] != c->size[d]) return CUDNN_STATUS_BAD_PARAM;
    int scale = a->kind == DNN_DOUBLE ? R_64F : R_32F;
    double x = load(alpha, 0, scale), y = load(beta, 0, scale);
    Tensor ad = *a, cd = *c;
    CUresult r = enqueue(h->stream, "cudnnAddTensor", [=] {
        void *ba = device_bytes((unsigned long)pa, span(ad), "cudnnAddTensor"), *bc = device_bytes((unsigned long)pc, span(cd), "cudnnAddTensor");
        if (ba == nullptr || bc == nullptr) return CUDA_ERROR_ILLEGAL_ADDRESS;
        counters().libraries++;
        int at[5] = {}, type = type_of(cd.kind);
        for (bool more = true; more;) {
            size_t ia = 0, ic = 0;
            for (int d = 0; d < cd.n; d++) {
                ia += ad.size[d] == 1 ? 0 : (size_t)at[d] * (size_t)ad.stride[d];
                ic += (size_t)at[d] * (size_t)cd.stride[d];
            }
            store(bc, ic, type, x * load(ba, ia, type) + (y != 0 ? y * load(bc, ic, type) : 0));
            more = false;
            for (int d = cd.n - 1; d >= 0 && !more; d--) {
                if (++at[d] < cd.size[d]) more = true;
                else at[d] = 0;
            }
        }
        return CUDA_SUCCESS;
    });
    return r == CUDA_SUCCESS ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}
