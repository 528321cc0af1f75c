// Prelude for OpenCL C 1.2. A prelude gives the kernels one vocabulary: KERNEL, GLOBAL, LOCAL, BARRIER, the id
// functions, the fixed-width types, bit casts, saturating casts and the compare-and-swap used for error flags.
#ifdef HAVE_FP64
#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
#endif
#ifdef HAVE_FP16
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#endif
// Two roundings where the source has two operations: results equal the CPU's.
#pragma OPENCL FP_CONTRACT OFF

#define KERNEL __kernel
#define GLOBAL __global
#define LOCAL __local
#define INLINE static inline
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define LID(d) ((u32)get_local_id(d))
#define GRP(d) ((u32)get_group_id(d))
#define GID(d) get_global_id(d)
#define GSIZE(d) get_global_size(d)
#define GROUPS(d) ((u32)get_num_groups(d))
#define WG_HINT(n) __attribute__((reqd_work_group_size(n, 1, 1)))
#define WG_HINT2(x, y) __attribute__((reqd_work_group_size(x, y, 1)))

typedef char i8;
typedef uchar u8;
typedef uchar b8;
typedef short i16;
typedef ushort u16;
typedef int i32;
typedef uint u32;
typedef long i64;
typedef ulong u64;
typedef float f32;
#ifdef HAVE_FP64
typedef double f64;
#endif

#define AS_F32(x) as_float(x)
#define AS_U32(x) as_uint(x)
#define AS_F64(x) as_double(x)
#define AS_U64(x) as_ulong(x)
// Rounds to zero; out of range goes to the nearest end, NaN to 0.
#define SAT_I64(x) convert_long_sat(x)
#define MULHI_U32(a, b) mul_hi((u32)(a), (u32)(b))
#define INF_F32 INFINITY
#define NAN_F32 NAN
#define INF_F64 ((f64)INFINITY)
#define NAN_F64 ((f64)NAN)
#define CLAIM(p) (atomic_cmpxchg((volatile __global int *)(p), 0, 1) == 0)

#ifdef SLOW_LOG
// For devices whose log is a call per element (PoCL on CPUs): below 1 ulp, without branches. x = m * 2^e with m around
// 1, then the series of log((1 + s) / (1 - s)), s = (m - 1) / (m + 1).
INLINE f32 __attribute__((overloadable)) log_(f32 x) {
    const int tiny = x < 1.17549435e-38f;
    const u32 b = AS_U32(tiny ? x * 8388608.0f : x);
    const i32 e = (i32)(b - 0x3f3504f3u) >> 23;
    const f32 k = (f32)(tiny ? e - 23 : e), f = AS_F32(b - ((u32)e << 23)) - 1.0f;
    const f32 s = f / (2.0f + f), z = s * s, w = z * z, half_square = 0.5f * f * f;
    const f32 even = w * (0.40000972152f + w * 0.24279078841f), odd = z * (0.66666662693f + w * 0.28498786688f);
    f32 r = s * (half_square + (odd + even)) + k * 9.0580006145e-06f - half_square + f + k * 0.69313812256f;
    r = x == INFINITY ? x : r;
    r = x == 0.0f ? -INFINITY : r;
    return x >= 0.0f ? r : NAN;
}
// log(u) of the rounded u = 1 + x, mended by what rounding took.
INLINE f32 __attribute__((overloadable)) log1p_(f32 x) {
    const f32 u = 1.0f + x, lost = (x - (u - 1.0f)) / u;
    const f32 r = log_(u) + (u == INFINITY || x == -1.0f ? 0.0f : lost);
    return u == 1.0f ? x : r;
}
#ifdef HAVE_FP64
INLINE f64 __attribute__((overloadable)) log_(f64 x) { return log(x); }
INLINE f64 __attribute__((overloadable)) log1p_(f64 x) { return log1p(x); }
#endif
#define log log_
#define log1p log1p_
#endif

// Before a loop whose iterations do not depend on each other: a CPU's compiler may use vectors.
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT
#endif

// Full-width vector registers where the compiler prefers half (clang on CPUs).
#if defined(__clang__) && defined(__has_attribute)
#if __has_attribute(min_vector_width)
#define MIN_VECTOR __attribute__((min_vector_width(512)))
#endif
#endif
#ifndef MIN_VECTOR
#define MIN_VECTOR
#endif
