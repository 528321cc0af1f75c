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
#define WG_TWICE(n) WG_HINT(n)
#define IN_PLACE

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
typedef double2 f64x2;
#endif
// Vectors; what GLOBAL_AT and LOCAL_AT read or write is aligned to its size.
typedef char4 i8x4;
typedef uchar4 u8x4;
typedef short4 i16x4;
typedef ushort4 u16x4;
typedef int4 i32x4;
typedef float4 f32x4;
typedef long2 i64x2;
#define GLOBAL_AT(type, p) (*(__global type *)(p))
#define LOCAL_AT(type, p) (*(__local type *)(p))
#define LOCAL_PTR(type) __local type *

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
