// Prelude for plain C++ (gcc, clang) on the host: the kernels as ordinary functions, for tests. It gives the same
// vocabulary as prelude_opencl.h. Whoever runs a kernel calls it once per work-item with `host_ids` set; a kernel that
// uses BARRIER needs work-items that can wait for each other (fibers), which `host_barrier` switches.
#define KERNEL extern "C"
#define GLOBAL
// One group runs at a time, so that a group's memory can be static. Its own section lets the runner fill it with
// rubbish before each group, as a device would hand it over.
#define LOCAL static __attribute__((section("host_local")))
#define INLINE static inline
#define INLINE_MEMBER inline
#ifndef HAVE_FP64
#define HAVE_FP64 1
#endif
#define WG_HINT(n) WG_HINT2(n, 1)
// Compilers ignore the attribute; the runner reads it in the preprocessed text.
#define WG_HINT2(x, y) __attribute__((host_group(x, y)))
#define WG_TWICE(n) WG_HINT(n)
#define IN_PLACE

typedef signed char i8;
typedef unsigned char u8;
typedef unsigned char b8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
// `long`, as in the other languages: what is printed as 1L has the type i64.
typedef long i64;
typedef unsigned long u64;
typedef float f32;
typedef double f64;
// Vectors. Devices fault where an address is not aligned to the vector's size, or round it: here it is a trap.
#define HOST_VEC4(type) struct __attribute__((may_alias, aligned(4 * sizeof(type)))) type##x4 { type x, y, z, w; };
#define HOST_VEC2(type) struct __attribute__((may_alias, aligned(2 * sizeof(type)))) type##x2 { type x, y; };
HOST_VEC4(i8) HOST_VEC4(u8) HOST_VEC4(i16) HOST_VEC4(u16) HOST_VEC4(i32) HOST_VEC4(f32) HOST_VEC2(i64) HOST_VEC2(f64)
template <class V, class E> static inline V *host_aligned(E *p) {
    if ((u64)p % alignof(V) != 0) __builtin_trap();
    return (V *)p;
}
#define GLOBAL_AT(type, p) (*host_aligned<type>(p))
#define LOCAL_AT(type, p) (*host_aligned<type>(p))
#define LOCAL_PTR(type) type *

// The place of the running work-item.
struct HostIds {
    u32 local[3], group[3], size[3], groups[3];
};
static HostIds host_ids;
// Set by the runner: waits for the group; turns a device address into a pointer after checking it.
static void (*host_barrier)(u64 line);
static void *(*host_address)(u64 address);

#define LID(d) (host_ids.local[d])
#define GRP(d) (host_ids.group[d])
#define GID(d) ((u64)host_ids.group[d] * host_ids.size[d] + host_ids.local[d])
#define GSIZE(d) ((u64)host_ids.groups[d] * host_ids.size[d])
#define GROUPS(d) (host_ids.groups[d])
// The line tells this barrier from others: work-items that wait at different ones are an error.
#define BARRIER() host_barrier(__LINE__)
// A pointer made from an address that came in a struct or in memory.
#define AS_GLOBAL(type, address) ((type *)host_address((u64)(address)))

template <class To, class From> static inline To host_bits(From from) {
    To to;
    static_assert(sizeof(to) == sizeof(from), "a bit cast keeps the size");
    __builtin_memcpy(&to, &from, sizeof(to));
    return to;
}
#define AS_F32(x) host_bits<f32>((u32)(x))
#define AS_U32(x) host_bits<u32>((f32)(x))
#define AS_F64(x) host_bits<f64>((u64)(x))
#define AS_U64(x) host_bits<u64>((f64)(x))
// Rounds to zero; out of range goes to the nearest end, NaN to 0.
static inline i64 host_sat_i64(f64 x) {
    return x != x ? 0 : x >= 9223372036854775808.0 ? 0x7fffffffffffffffL : x < -9223372036854775808.0 ? -0x7fffffffffffffffL - 1 : (i64)x;
}
#define SAT_I64(x) host_sat_i64(x)
#define MULHI_U32(a, b) ((u32)(((u64)(u32)(a) * (u32)(b)) >> 32))
#define INF_F32 __builtin_inff()
#define NAN_F32 __builtin_nanf("")
#define INF_F64 __builtin_inf()
#define NAN_F64 __builtin_nan("")
#define CLAIM(p) __sync_bool_compare_and_swap((int *)(p), 0, 1)
#define MIN_VECTOR

// Math functions choose by the type of their arguments, as in the other languages. Renamed, so that they do not meet
// the C library's declarations.
#define HOST_MATH1(name)                                                       \
    static inline f32 host_##name(f32 x) { return __builtin_##name##f(x); }    \
    static inline f64 host_##name(f64 x) { return __builtin_##name(x); }
#define HOST_MATH2(name)                                                                  \
    static inline f32 host_##name(f32 x, f32 y) { return __builtin_##name##f(x, y); }     \
    static inline f64 host_##name(f64 x, f64 y) { return __builtin_##name(x, y); }
HOST_MATH1(acos) HOST_MATH1(acosh) HOST_MATH1(asin) HOST_MATH1(asinh) HOST_MATH1(atan) HOST_MATH1(atanh) HOST_MATH1(ceil)
HOST_MATH1(cos) HOST_MATH1(cosh) HOST_MATH1(erf) HOST_MATH1(erfc) HOST_MATH1(exp) HOST_MATH1(exp2) HOST_MATH1(expm1)
HOST_MATH1(fabs) HOST_MATH1(floor) HOST_MATH1(lgamma) HOST_MATH1(log) HOST_MATH1(log10) HOST_MATH1(log1p)
HOST_MATH1(log2) HOST_MATH1(rint) HOST_MATH1(sin) HOST_MATH1(sinh) HOST_MATH1(sqrt) HOST_MATH1(tan) HOST_MATH1(tanh)
HOST_MATH1(trunc) HOST_MATH2(atan2) HOST_MATH2(copysign) HOST_MATH2(fmax) HOST_MATH2(fmin) HOST_MATH2(fmod)
HOST_MATH2(hypot) HOST_MATH2(nextafter) HOST_MATH2(pow)
static inline f32 host_fma(f32 x, f32 y, f32 z) { return __builtin_fmaf(x, y, z); }
static inline f64 host_fma(f64 x, f64 y, f64 z) { return __builtin_fma(x, y, z); }
#define acos host_acos
#define acosh host_acosh
#define asin host_asin
#define asinh host_asinh
#define atan host_atan
#define atan2 host_atan2
#define atanh host_atanh
#define ceil host_ceil
#define copysign host_copysign
#define cos host_cos
#define cosh host_cosh
#define erf host_erf
#define erfc host_erfc
#define exp host_exp
#define exp2 host_exp2
#define expm1 host_expm1
#define fabs host_fabs
#define floor host_floor
#define fma host_fma
#define fmax host_fmax
#define fmin host_fmin
#define fmod host_fmod
#define hypot host_hypot
#define isinf(x) __builtin_isinf(x)
#define lgamma host_lgamma
#define log host_log
#define log10 host_log10
#define log1p host_log1p
#define log2 host_log2
#define nextafter host_nextafter
#define pow host_pow
#define rint host_rint
#define sin host_sin
#define sinh host_sinh
#define sqrt host_sqrt
#define tan host_tan
#define tanh host_tanh
#define trunc host_trunc
