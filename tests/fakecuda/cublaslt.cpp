// The test double's libcublasLt: one algorithm, the epilogues with bias, ReLU and GELU (which can keep its arguments).
#include "gemm.h"

struct Layout {
    int type, order;
    unsigned long rows, cols;
    long ld;
    int batch;
    long stride;
};
struct Desc {
    int compute, scale, pointer_mode, transa, transb;
    unsigned epilogue;
    unsigned long bias, aux;
    long bias_stride, aux_ld, aux_stride;
    int bias_type;
};
struct Preference {
    unsigned long workspace;
};
struct Algo {
    unsigned long data[8];
};
struct Heuristic {
    Algo algo;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};
static_assert(sizeof(Heuristic) == 96, "the layout of cublasLtMatmulHeuristicResult_t");
static std::set<void *> objects;
typedef void *Lt;
static const unsigned long ALGO = 0xFA4EA160;

static bool known(void *p, const char *who) {
    if (objects.count(p)) return true;
    misuse(CUDA_ERROR_INVALID_HANDLE, "%s: not an object of cublasLt", who);
    return false;
}
#define KNOWN(p) \
    Lock lock(big_lock()); \
    if (!known(p, __func__)) return CUBLAS_STATUS_INVALID_VALUE
template <class T> static cublasStatus_t make(T **out, T value) {
    Lock lock(big_lock());
    *out = new T(value);
    objects.insert(*out);
    return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t drop(void *p, const char *who) {
    Lock lock(big_lock());
    if (!known(p, who)) return CUBLAS_STATUS_INVALID_VALUE;
    objects.erase(p); // the memory is kept: its address is not used again
    return CUBLAS_STATUS_SUCCESS;
}
template <class T> static cublasStatus_t take(T &to, const void *from, size_t n, const char *who) {
    if (n != sizeof(T)) {
        misuse(CUDA_ERROR_INVALID_VALUE, "%s: an attribute of %zu bytes came with %zu", who, sizeof(T), n);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    memcpy(&to, from, n);
    return CUBLAS_STATUS_SUCCESS;
}

API cublasStatus_t cublasLtCreate(Lt *out) { return make((int **)out, 0); }
API cublasStatus_t cublasLtDestroy(Lt p) { return drop(p, "cublasLtDestroy"); }
API size_t cublasLtGetVersion(void) { return 130000; }
API cublasStatus_t cublasLtMatrixLayoutCreate(Layout **out, int type, unsigned long rows, unsigned long cols, long ld) {
    return make(out, Layout{type, 0, rows, cols, ld, 1, 0});
}
API cublasStatus_t cublasLtMatrixLayoutDestroy(Layout *p) { return drop(p, "cublasLtMatrixLayoutDestroy"); }
API cublasStatus_t cublasLtMatrixLayoutSetAttribute(Layout *p, int attribute, const void *v, size_t n) {
    KNOWN(p);
    switch (attribute) {
    case 0: return take(p->type, v, n, __func__);
    case 1: return take(p->order, v, n, __func__);
    case 2: return take(p->rows, v, n, __func__);
    case 3: return take(p->cols, v, n, __func__);
    case 4: return take(p->ld, v, n, __func__);
    case 5: return take(p->batch, v, n, __func__);
    case 6: return take(p->stride, v, n, __func__);
    }
    misuse(CUDA_ERROR_NOT_SUPPORTED, "cublasLtMatrixLayoutSetAttribute: the double does not know attribute %d", attribute);
    return CUBLAS_STATUS_NOT_SUPPORTED;
}
API cublasStatus_t cublasLtMatmulDescCreate(Desc **out, int compute, int scale) {
    return make(out, Desc{compute, scale, 0, 0, 0, 1, 0, 0, 0, 0, 0, -1});
}
API cublasStatus_t cublasLtMatmulDescDestroy(Desc *p) { return drop(p, "cublasLtMatmulDescDestroy"); }
API cublasStatus_t cublasLtMatmulDescSetAttribute(Desc *p, int attribute, const void *v, size_t n) {
    KNOWN(p);
    switch (attribute) {
    case 0: return take(p->compute, v, n, __func__);
    case 1: return take(p->scale, v, n, __func__);
    case 2: return take(p->pointer_mode, v, n, __func__);
    case 3: return take(p->transa, v, n, __func__);
    case 4: return take(p->transb, v, n, __func__);
    case 7: return take(p->epilogue, v, n, __func__);
    case 8: return take(p->bias, v, n, __func__);
    case 10: return take(p->bias_stride, v, n, __func__);
    case 11: return take(p->aux, v, n, __func__);
    case 12: return take(p->aux_ld, v, n, __func__);
    case 13: return take(p->aux_stride, v, n, __func__);
    case 15: return CUBLAS_STATUS_SUCCESS; // multiprocessors to use
    case 26: return take(p->bias_type, v, n, __func__);
    }
    misuse(CUDA_ERROR_NOT_SUPPORTED, "cublasLtMatmulDescSetAttribute: the double does not know attribute %d", attribute);
    return CUBLAS_STATUS_NOT_SUPPORTED;
}
API cublasStatus_t cublasLtMatmulPreferenceCreate(Preference **out) { return make(out, Preference{0}); }
API cublasStatus_t cublasLtMatmulPreferenceDestroy(Preference *p) { return drop(p, "cublasLtMatmulPreferenceDestroy"); }
API cublasStatus_t cublasLtMatmulPreferenceSetAttribute(Preference *p, int attribute, const void *v, size_t n) {
    KNOWN(p);
    if (attribute == 1) return take(p->workspace, v, n, __func__);
    return attribute >= 0 && attribute <= 12 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
static bool epilogue_known(unsigned e) {
    // Default, ReLU, GELU, GELU that keeps its arguments, each with a bias.
    unsigned base = e & ~4u;
    return e == 4 || e == 1 || base == 2 || base == 32 || base == 160;
}
API cublasStatus_t cublasLtMatmulAlgoGetHeuristic(Lt h, Desc *d, Layout *a, Layout *b, Layout *c, Layout *e, Preference *p, int wanted, Heuristic *out,
                                                  int *found) {
    Lock lock(big_lock());
    for (void *o : {(void *)h, (void *)d, (void *)a, (void *)b, (void *)c, (void *)e, (void *)p})
        if (!known(o, __func__)) return CUBLAS_STATUS_INVALID_VALUE;
    *found = 0;
    if (wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (!epilogue_known(d->epilogue)) return CUBLAS_STATUS_NOT_SUPPORTED;
    memset(out, 0, sizeof *out);
    out->algo.data[0] = ALGO;
    out->workspace = p->workspace < 1024 ? 0 : 1024;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

API cublasStatus_t cublasLtMatmul(Lt h, Desc *d, const void *alpha, const void *a, Layout *la, const void *b, Layout *lb, const void *beta, const void *c,
                                  Layout *lc, void *out, Layout *ld, const Algo *algo, void *workspace, size_t workspace_size, CUstream stream) {
    Lock lock(big_lock());
    for (void *o : {(void *)h, (void *)d, (void *)la, (void *)lb, (void *)lc, (void *)ld})
        if (!known(o, __func__)) return CUBLAS_STATUS_INVALID_VALUE;
    auto refuse = [](const char *what) {
        misuse(CUDA_ERROR_INVALID_VALUE, "cublasLtMatmul: %s", what);
        return CUBLAS_STATUS_INVALID_VALUE;
    };
    if (algo != nullptr && algo->data[0] != ALGO) return refuse("the algorithm does not come from the heuristic");
    if (workspace_size > 0 && device_bytes((unsigned long)workspace, workspace_size, "cublasLtMatmul, workspace") == nullptr)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (workspace_size > 0 && (unsigned long)workspace % 256 != 0) return refuse("the workspace is not aligned to 256 bytes");
    if (d->pointer_mode != 0) return refuse("the double reads alpha and beta from the host only");
    if (la->order != 0 || lb->order != 0 || lc->order != 0 || ld->order != 0) return refuse("the double knows column-major order only");
    if (!epilogue_known(d->epilogue)) return refuse("the double does not know this epilogue");
    bool ta = d->transa != 0, tb = d->transb != 0;
    long m = (long)ld->rows, n = (long)ld->cols, k = (long)(ta ? la->rows : la->cols);
    if ((long)(ta ? la->cols : la->rows) != m || (long)(tb ? lb->rows : lb->cols) != n || (long)(tb ? lb->cols : lb->rows) != k ||
        lc->rows != ld->rows || lc->cols != ld->cols)
        return refuse("the shapes of the matrices do not fit each other");
    if (la->batch != ld->batch || lb->batch != ld->batch || lc->batch != ld->batch) return refuse("the batch counts differ");
    Product p = {m, n, k, ld->batch,
                 {(unsigned long)a, la->type, la->ld, la->stride, ta},
                 {(unsigned long)b, lb->type, lb->ld, lb->stride, tb},
                 {(unsigned long)c, lc->type, lc->ld, lc->stride, false},
                 {(unsigned long)out, ld->type, ld->ld, ld->stride, false},
                 load(alpha, 0, d->scale), load(beta, 0, d->scale),
                 la->type == R_32F && d->compute == COMPUTE_32F_FAST_TF32, d->compute == COMPUTE_64F || d->compute == COMPUTE_64F_PEDANTIC, nullptr};
    cublasStatus_t status = check_product(p, "cublasLtMatmul");
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    unsigned epilogue = d->epilogue;
    unsigned long bias = d->bias;
    long bias_stride = d->bias_stride;
    int bias_type = d->bias_type >= 0 ? d->bias_type : ld->type;
    if ((epilogue & 4) != 0 && bias == 0) return refuse("the epilogue wants a bias, and there is no pointer to it");
    unsigned long aux = d->aux;
    long aux_ld = d->aux_ld;
    bool keeps = (epilogue & 128) != 0;
    if (keeps) {
        if (aux == 0) return refuse("the epilogue keeps gelu's arguments, and there is no pointer for them");
        if (aux % 16 != 0) return refuse("gelu's arguments are kept at an address that is not aligned to 16 bytes");
        if (aux_ld < m || aux_ld % 8 != 0) return refuse("the leading dimension of gelu's arguments is too small or no multiple of 8");
        if (ld->batch != 1) return refuse("the double keeps gelu's arguments of one matrix only");
    }
    CUresult r = enqueue(stream, "cublasLtMatmul", [p, epilogue, bias, bias_stride, bias_type, keeps, aux, aux_ld]() -> CUresult {
        const void *added = nullptr;
        if ((epilogue & 4) != 0) {
            added = device_bytes(bias, (size_t)((p.batch - 1) * bias_stride + p.m) * type_size(bias_type), "cublasLtMatmul, bias");
            if (added == nullptr) return CUDA_ERROR_ILLEGAL_ADDRESS;
        }
        void *kept = nullptr;
        if (keeps) {
            kept = device_bytes(aux, (size_t)((p.n - 1) * aux_ld + p.m) * type_size(p.d.type), "cublasLtMatmul, auxiliary output");
            if (kept == nullptr) return CUDA_ERROR_ILLEGAL_ADDRESS;
        }
        Product q = p;
        q.epilogue = [=](double v, long i, long j, long z) {
            if (added != nullptr) v += load(added, (size_t)(z * bias_stride + i), bias_type);
            if (kept != nullptr) store(kept, (size_t)(j * aux_ld + i), p.d.type, v);
            if ((epilogue & 2) != 0) v = v > 0 ? v : v != v ? v : 0;
            // GELU is the approximation with tanh.
            if ((epilogue & 32) != 0) v = 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
            return v;
        };
        return run_product(q, "cublasLtMatmul");
    });
    return r == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
