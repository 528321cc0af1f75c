// The test double's libcublas.
#include "gemm.h"

struct Handle {
    CUstream stream;
    int math, pointer_mode;
    bool device_pointers;
};
static std::set<Handle *> handles;
typedef Handle *cublasHandle_t;

#define HANDLE(h)                                                                 \
    Lock lock(big_lock());                                                        \
    if (!handles.count(h)) {                                                      \
        misuse(CUDA_ERROR_INVALID_HANDLE, "%s: not a handle of cuBLAS", __func__); \
        return CUBLAS_STATUS_NOT_INITIALIZED;                                     \
    }

API cublasStatus_t cublasCreate_v2(cublasHandle_t *out) {
    Lock lock(big_lock());
    // It allocates a workspace.
    if (check_unsafe("cublasCreate") != CUDA_SUCCESS) return CUBLAS_STATUS_ALLOC_FAILED;
    *out = new Handle{nullptr, 0, 0, false};
    handles.insert(*out);
    return CUBLAS_STATUS_SUCCESS;
}
API cublasStatus_t cublasDestroy_v2(cublasHandle_t h) {
    HANDLE(h)
    drain_everything();
    handles.erase(h);
    return CUBLAS_STATUS_SUCCESS;
}
API cublasStatus_t cublasSetStream_v2(cublasHandle_t h, CUstream s) {
    HANDLE(h)
    h->stream = s;
    return CUBLAS_STATUS_SUCCESS;
}
API cublasStatus_t cublasGetStream_v2(cublasHandle_t h, CUstream *s) {
    HANDLE(h)
    *s = h->stream;
    return CUBLAS_STATUS_SUCCESS;
}
API cublasStatus_t cublasSetMathMode(cublasHandle_t h, int mode) {
    HANDLE(h)
    h->math = mode;
    return CUBLAS_STATUS_SUCCESS;
}
API cublasStatus_t cublasGetMathMode(cublasHandle_t h, int *mode) {
    HANDLE(h)
    *mode = h->math;
    return CUBLAS_STATUS_SUCCESS;
}
API cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t h, int mode) {
    HANDLE(h)
    h->pointer_mode = mode;
    return CUBLAS_STATUS_SUCCESS;
}
API cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t h, int *mode) {
    HANDLE(h)
    *mode = h->pointer_mode;
    return CUBLAS_STATUS_SUCCESS;
}
API cublasStatus_t cublasSetAtomicsMode(cublasHandle_t h, int) {
    HANDLE(h)
    return CUBLAS_STATUS_SUCCESS;
}
API cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t h, void *p, size_t n) {
    HANDLE(h)
    return n == 0 || device_bytes((unsigned long)p, n, "cublasSetWorkspace") != nullptr ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
API cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int *v) {
    *v = 130000;
    return CUBLAS_STATUS_SUCCESS;
}
API cublasStatus_t cublasGetProperty(int type, int *v) {
    *v = type == 0 ? 13 : 0;
    return CUBLAS_STATUS_SUCCESS;
}
API const char *cublasGetStatusName(cublasStatus_t s) {
    switch (s) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    }
    return "CUBLAS_STATUS_UNKNOWN";
}
API const char *cublasGetStatusString(cublasStatus_t s) { return cublasGetStatusName(s); }

static cublasStatus_t gemm(cublasHandle_t h, int ta, int tb, long m, long n, long k, const void *alpha, const void *a, int a_type, long lda,
                           long stride_a, const void *b, int b_type, long ldb, long stride_b, const void *beta, void *c, int c_type, long ldc,
                           long stride_c, long batch, int compute, const char *who) {
    HANDLE(h)
    if (compute < COMPUTE_16F || compute > 79 || ta < 0 || ta > 2 || tb < 0 || tb > 2) {
        misuse(CUDA_ERROR_INVALID_VALUE, "%s: compute type %d, transposes %d and %d", who, compute, ta, tb);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (h->pointer_mode != 0) {
        misuse(CUDA_ERROR_NOT_SUPPORTED, "%s: the double reads alpha and beta from the host only", who);
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    bool wide = compute == COMPUTE_64F || compute == COMPUTE_64F_PEDANTIC, half = compute == COMPUTE_16F || compute == COMPUTE_16F_PEDANTIC;
    int scale = wide ? R_64F : half ? R_16F : R_32F;
    Product p = {m, n, k, batch,
                 {(unsigned long)a, a_type, lda, stride_a, ta != 0},
                 {(unsigned long)b, b_type, ldb, stride_b, tb != 0},
                 {(unsigned long)c, c_type, ldc, stride_c, false},
                 {(unsigned long)c, c_type, ldc, stride_c, false},
                 load(alpha, 0, scale), load(beta, 0, scale),
                 a_type == R_32F && (compute == COMPUTE_32F_FAST_TF32 || (h->math == 3 && compute == COMPUTE_32F)), wide, nullptr};
    cublasStatus_t status = check_product(p, who);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    CUresult r = enqueue(h->stream, who, [p, who] { return run_product(p, who); });
    return r == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
API cublasStatus_t cublasGemmEx(cublasHandle_t h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at, int lda, const void *b,
                                int bt, int ldb, const void *beta, void *c, int ct, int ldc, int compute, int) {
    return gemm(h, ta, tb, m, n, k, alpha, a, at, lda, 0, b, bt, ldb, 0, beta, c, ct, ldc, 0, 1, compute, "cublasGemmEx");
}
API cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at, int lda,
                                              long long sa, const void *b, int bt, int ldb, long long sb, const void *beta, void *c, int ct, int ldc,
                                              long long sc, int batch, int compute, int) {
    return gemm(h, ta, tb, m, n, k, alpha, a, at, lda, sa, b, bt, ldb, sb, beta, c, ct, ldc, sc, batch, compute, "cublasGemmStridedBatchedEx");
}
API cublasStatus_t cublasGemmEx_64(cublasHandle_t h, int ta, int tb, long m, long n, long k, const void *alpha, const void *a, int at, long lda,
                                   const void *b, int bt, long ldb, const void *beta, void *c, int ct, long ldc, int compute, int) {
    return gemm(h, ta, tb, m, n, k, alpha, a, at, lda, 0, b, bt, ldb, 0, beta, c, ct, ldc, 0, 1, compute, "cublasGemmEx_64");
}
API cublasStatus_t cublasGemmStridedBatchedEx_64(cublasHandle_t h, int ta, int tb, long m, long n, long k, const void *alpha, const void *a, int at,
                                                 long lda, long long sa, const void *b, int bt, long ldb, long long sb, const void *beta, void *c,
                                                 int ct, long ldc, long long sc, long batch, int compute, int) {
    return gemm(h, ta, tb, m, n, k, alpha, a, at, lda, sa, b, bt, ldb, sb, beta, c, ct, ldc, sc, batch, compute, "cublasGemmStridedBatchedEx_64");
}
API cublasStatus_t cublasSgemm_v2(cublasHandle_t h, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b,
                                  int ldb, const float *beta, float *c, int ldc) {
    return gemm(h, ta, tb, m, n, k, alpha, a, R_32F, lda, 0, b, R_32F, ldb, 0, beta, c, R_32F, ldc, 0, 1, COMPUTE_32F, "cublasSgemm");
}
API cublasStatus_t cublasDgemm_v2(cublasHandle_t h, int ta, int tb, int m, int n, int k, const double *alpha, const double *a, int lda, const double *b,
                                  int ldb, const double *beta, double *c, int ldc) {
    return gemm(h, ta, tb, m, n, k, alpha, a, R_64F, lda, 0, b, R_64F, ldb, 0, beta, c, R_64F, ldc, 0, 1, COMPUTE_64F, "cublasDgemm");
}
API cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t h, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda,
                                             long long sa, const float *b, int ldb, long long sb, const float *beta, float *c, int ldc, long long sc,
                                             int batch) {
    return gemm(h, ta, tb, m, n, k, alpha, a, R_32F, lda, sa, b, R_32F, ldb, sb, beta, c, R_32F, ldc, sc, batch, COMPUTE_32F, "cublasSgemmStridedBatched");
}
API cublasStatus_t cublasDgemmStridedBatched(cublasHandle_t h, int ta, int tb, int m, int n, int k, const double *alpha, const double *a, int lda,
                                             long long sa, const double *b, int ldb, long long sb, const double *beta, double *c, int ldc, long long sc,
                                             int batch) {
    return gemm(h, ta, tb, m, n, k, alpha, a, R_64F, lda, sa, b, R_64F, ldb, sb, beta, c, R_64F, ldc, sc, batch, COMPUTE_64F, "cublasDgemmStridedBatched");
}
