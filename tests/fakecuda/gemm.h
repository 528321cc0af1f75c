// Products of column-major matrices on the host, as cuBLAS defines them.
#pragma once
#include "fake.h"

#include <cmath>

enum { R_32F = 0, R_64F = 1, R_16F = 2, R_8I = 3, R_32I = 10, R_16BF = 14 };
enum {
    COMPUTE_16F = 64, COMPUTE_16F_PEDANTIC = 65, COMPUTE_32F = 68, COMPUTE_32F_PEDANTIC = 69, COMPUTE_64F = 70,
    COMPUTE_64F_PEDANTIC = 71, COMPUTE_32F_FAST_16F = 74, COMPUTE_32F_FAST_16BF = 75, COMPUTE_32F_FAST_TF32 = 77
};
enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_NOT_INITIALIZED = 1,
    CUBLAS_STATUS_ALLOC_FAILED = 3,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_EXECUTION_FAILED = 13,
    CUBLAS_STATUS_NOT_SUPPORTED = 15
};

inline size_t type_size(int type) { return type == R_64F ? 8 : type == R_16F || type == R_16BF ? 2 : type == R_8I ? 1 : 4; }
inline bool type_known(int type) { return type == R_32F || type == R_64F || type == R_16F || type == R_16BF; }

inline float from_half(unsigned short h) {
    unsigned sign = (h & 0x8000u) << 16, e = h >> 10 & 31, m = h & 1023;
    float f = e == 0 ? (float)m * 5.9604644775390625e-8f : 0;
    unsigned bits = e == 31 ? 0x7f800000u | m << 13 : (e + 112) << 23 | m << 13;
    if (e != 0) memcpy(&f, &bits, 4);
    unsigned out;
    memcpy(&out, &f, 4);
    out |= sign;
    memcpy(&f, &out, 4);
    return f;
}
inline unsigned short to_half(float f) {
    unsigned b;
    memcpy(&b, &f, 4);
    unsigned short sign = (unsigned short)(b >> 16 & 0x8000);
    float a = fabsf(f);
    if (f != f) return 0x7e00;
    if (a >= 65520.0f) return sign | 0x7c00;
    if (a < 6.103515625e-5f) return (unsigned short)(sign | (unsigned short)nearbyintf(a * 16777216.0f));
    b &= 0x7fffffff;
    return (unsigned short)(sign | (b - 0x38000000u + 0xfff + (b >> 13 & 1)) >> 13);
}
inline float from_bf16(unsigned short h) {
    unsigned b = (unsigned)h << 16;
    float f;
    memcpy(&f, &b, 4);
    return f;
}
inline unsigned short to_bf16(float f) {
    unsigned b;
    memcpy(&b, &f, 4);
    if (f != f) return (unsigned short)((b >> 16 & 0x8000) | 0x7fc0);
    return (unsigned short)((b + 0x7fff + (b >> 16 & 1)) >> 16);
}
// What a tensor core keeps of a float32: 10 bits of mantissa.
inline float to_tf32(float f) {
    unsigned b;
    memcpy(&b, &f, 4);
    if ((b & 0x7f800000) != 0x7f800000) b = (b + 0xfff + (b >> 13 & 1)) & ~0x1fffu;
    memcpy(&f, &b, 4);
    return f;
}
inline double load(const void *p, size_t i, int type) {
    switch (type) {
    case R_64F: return ((const double *)p)[i];
    case R_16F: return from_half(((const unsigned short *)p)[i]);
    case R_16BF: return from_bf16(((const unsigned short *)p)[i]);
    }
    return ((const float *)p)[i];
}
inline void store(void *p, size_t i, int type, double v) {
    switch (type) {
    case R_64F: ((double *)p)[i] = v; break;
    case R_16F: ((unsigned short *)p)[i] = to_half((float)v); break;
    case R_16BF: ((unsigned short *)p)[i] = to_bf16((float)v); break;
    default: ((float *)p)[i] = (float)v;
    }
}

struct Matrix {
    unsigned long address;
    int type;
    long ld, stride; // of columns, of batches
    bool transposed; // operands only
};
struct Product {
    long m, n, k, batch;
    Matrix a, b, c, d;
    double alpha, beta;
    bool tf32, wide; // float32 operands lose bits; sums in double
    // cublasLt: what happens to each element before it is stored; row, column, batch.
    std::function<double(double, long, long, long)> epilogue;
};

// Bytes that a matrix of rows x cols spans over all batches.
inline size_t span(const Matrix &x, long rows, long cols, long batch) {
    if (rows <= 0 || cols <= 0 || batch <= 0) return 0;
    return (size_t)((batch - 1) * x.stride + (cols - 1) * x.ld + rows) * type_size(x.type);
}

template <class T> inline void multiply(const Product &p, const char *pa, const char *pb, const char *pc, char *pd) {
    std::vector<T> a((size_t)(p.m * p.k)), sum((size_t)p.m);
    for (long z = 0; z < p.batch; z++) {
        for (long x = 0; x < p.k; x++)
            for (long i = 0; i < p.m; i++) {
                double v = load(pa, (size_t)(z * p.a.stride + (p.a.transposed ? i * p.a.ld + x : x * p.a.ld + i)), p.a.type);
                a[(size_t)(x * p.m + i)] = (T)(p.tf32 ? to_tf32((float)v) : v);
            }
        for (long j = 0; j < p.n; j++) {
            std::fill(sum.begin(), sum.end(), T(0));
            for (long x = 0; x < p.k; x++) {
                double v = load(pb, (size_t)(z * p.b.stride + (p.b.transposed ? x * p.b.ld + j : j * p.b.ld + x)), p.b.type);
                T y = (T)(p.tf32 ? to_tf32((float)v) : v);
                const T *column = &a[(size_t)(x * p.m)];
                for (long i = 0; i < p.m; i++) sum[(size_t)i] += column[i] * y;
            }
            for (long i = 0; i < p.m; i++) {
                double v = p.alpha * (double)sum[(size_t)i];
                // beta 0 does not read c.
                if (p.beta != 0) v += p.beta * load(pc, (size_t)(z * p.c.stride + j * p.c.ld + i), p.c.type);
                if (p.epilogue) v = p.epilogue(v, i, j, z);
                store(pd, (size_t)(z * p.d.stride + j * p.d.ld + i), p.d.type, v);
            }
        }
    }
}

inline CUresult run_product(const Product &p, const char *who) {
    if (p.m == 0 || p.n == 0 || p.batch == 0) return CUDA_SUCCESS;
    auto get = [&](const Matrix &x, long rows, long cols) {
        return (char *)device_bytes(x.address, span(x, x.transposed ? cols : rows, x.transposed ? rows : cols, p.batch), who);
    };
    const char *a = p.k == 0 ? "" : get(p.a, p.m, p.k), *b = p.k == 0 ? "" : get(p.b, p.k, p.n);
    const char *c = p.beta == 0 ? "" : get(p.c, p.m, p.n);
    char *d = get(p.d, p.m, p.n);
    if (a == nullptr || b == nullptr || c == nullptr || d == nullptr) return CUDA_ERROR_ILLEGAL_ADDRESS;
    counters().libraries++;
    if (p.wide) multiply<double>(p, a, b, c, d);
    else multiply<float>(p, a, b, c, d);
    return CUDA_SUCCESS;
}

// Checks what cuBLAS checks before it queues anything.
inline cublasStatus_t check_product(const Product &p, const char *who) {
    auto bad = [&](const char *what, long v) {
        misuse(CUDA_ERROR_INVALID_VALUE, "%s: %s is %ld (m %ld, n %ld, k %ld)", who, what, v, p.m, p.n, p.k);
        return CUBLAS_STATUS_INVALID_VALUE;
    };
    if (p.m < 0 || p.n < 0 || p.k < 0 || p.batch < 0) return bad("a size or the batch count", p.batch);
    for (const Matrix *x : {&p.a, &p.b, &p.c, &p.d})
        if (!type_known(x->type)) {
            misuse(CUDA_ERROR_NOT_SUPPORTED, "%s: the double does not know type %d", who, x->type);
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
    auto least = [](long v) { return v > 1 ? v : 1; };
    if (p.a.ld < least(p.a.transposed ? p.k : p.m)) return bad("lda", p.a.ld);
    if (p.b.ld < least(p.b.transposed ? p.n : p.k)) return bad("ldb", p.b.ld);
    if (p.c.ld < least(p.m)) return bad("ldc", p.c.ld);
    if (p.d.ld < least(p.m)) return bad("ldd", p.d.ld);
    if (p.wide != (p.a.type == R_64F) || p.a.type != p.b.type || (p.d.type != p.a.type && p.d.type != R_32F))
        return bad("a combination of types that does not exist; the type of d", p.d.type);
    return CUBLAS_STATUS_SUCCESS;
}
