// Prelude for CUDA C (NVRTC): the vocabulary of prelude_opencl.h. Kernels are C there and C++ here.
#ifdef HOST_PRELUDE
// The test double compiles the same kernels for the host.
#include HOST_PRELUDE
#else

#define KERNEL extern "C" __global__
#define GLOBAL
#define LOCAL __shared__
#define INLINE static __device__ __forceinline__
#define INLINE_MEMBER __device__ __forceinline__
#define BARRIER() __syncthreads()
#define AXIS_0 x
#define AXIS_1 y
#define AXIS_2 z
#define LID(d) (threadIdx.AXIS_##d)
#define GRP(d) (blockIdx.AXIS_##d)
#define GROUPS(d) (gridDim.AXIS_##d)
#define GID(d) ((u64)blockIdx.AXIS_##d * blockDim.AXIS_##d + threadIdx.AXIS_##d)
#define GSIZE(d) ((u64)gridDim.AXIS_##d * blockDim.AXIS_##d)
#define WG_HINT(n) __launch_bounds__(n)
#define WG_HINT2(x, y) __launch_bounds__((x) * (y))
// Registers are to last for two groups at a time.
#define WG_TWICE(n) __launch_bounds__(n, 2)
#define MIN_VECTOR
// A structure passed by value and only read: without this an index into it may have it copied to local memory.
#if __CUDACC_VER_MAJOR__ >= 12 && __CUDA_ARCH__ >= 700
#define IN_PLACE __grid_constant__
#else
#define IN_PLACE
#endif
#define HAVE_FP64 1
#define AS_GLOBAL(type, address) ((type *)(address))

typedef signed char i8;
typedef unsigned char u8;
typedef unsigned char b8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;
// Vectors; what GLOBAL_AT and LOCAL_AT read or write is aligned to its size.
typedef char4 i8x4;
typedef uchar4 u8x4;
typedef short4 i16x4;
typedef ushort4 u16x4;
typedef int4 i32x4;
typedef float4 f32x4;
typedef longlong2 i64x2;
typedef double2 f64x2;
#define GLOBAL_AT(type, p) (*(type *)(p))
#define LOCAL_AT(type, p) (*(type *)(p))
#define LOCAL_PTR(type) type *

#define AS_F32(x) __uint_as_float(x)
#define AS_U32(x) __float_as_uint(x)
#define AS_F64(x) __longlong_as_double((i64)(x))
#define AS_U64(x) ((u64)__double_as_longlong(x))
#define MULHI_U32(a, b) __umulhi((u32)(a), (u32)(b))
#define INF_F32 __int_as_float(0x7f800000)
#define NAN_F32 __int_as_float(0x7fffffff)
#define INF_F64 __longlong_as_double(0x7ff0000000000000LL)
#define NAN_F64 __longlong_as_double(0x7fffffffffffffffLL)
#define CLAIM(p) (atomicCAS((int *)(p), 0, 1) == 0)

// Rounds to zero; out of range goes to the nearest end, NaN to 0.
INLINE i64 SAT_I64(f32 x) { return x != x ? 0 : __float2ll_rz(x); }
INLINE i64 SAT_I64(f64 x) { return x != x ? 0 : __double2ll_rz(x); }

// float16 by the device's own conversions.
#define HAVE_F16_CVT 1
INLINE f32 ld_f16(u16 h) {
    f32 x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
    return x;
}
INLINE u16 st_f16(f32 x) {
    u16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
}
#endif
