// Shared by every target: element loads and stores, casts, division by a launch-time constant.
#define C_f32(x) x##f
#define C_f64(x) x
#ifndef INDEPENDENT
#define INDEPENDENT
#endif

#ifndef ADD_TYPE
#define ADD_TYPE f32
#endif
// Adds `value` to `sum`, whose rounding errors gather in `lost` (Kahan). Infinities have none.
#define COMPENSATED_ADD(sum, lost, value)           \
    {                                               \
        const ADD_TYPE more_ = (value) - (lost);         \
        const ADD_TYPE next_ = (sum) + more_;            \
        const ADD_TYPE error_ = (next_ - (sum)) - more_; \
        (lost) = error_ - error_ == 0 ? error_ : 0; \
        (sum) = next_;                              \
    }

// float16 and bfloat16 are stored as their bits and calculated in float32.
#if defined(HAVE_F16_CVT)
// The prelude has them.
#elif defined(HAVE_FP16)
INLINE f32 ld_f16(u16 h) { return (f32)as_half(h); }
INLINE u16 st_f16(f32 x) { return as_ushort(convert_half_rte(x)); }
#else
INLINE f32 ld_f16(u16 h) {
    u32 sign = (u32)(h & 0x8000) << 16, a = h & 0x7fff;
    f32 small = (f32)a * 5.9604644775390625e-8f;
    u32 big = (a << 13) + (a >= 0x7c00 ? 0x70000000u : 0x38000000u);
    return AS_F32((a < 0x400 ? AS_U32(small) : big) | sign);
}
INLINE u16 st_f16(f32 x) {
    u32 b = AS_U32(x), sign = (b >> 16) & 0x8000, a = b & 0x7fffffff, r;
    u32 normal = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1)) >> 13;
    u32 small = (u32)rint(AS_F32(a < 0x38800000u ? a : 0) * 16777216.0f);
    r = a < 0x38800000u ? small : normal;
    r = a >= 0x477ff000u ? 0x7c00u : r;
    r = a > 0x7f800000u ? 0x7e00u : r;
    return (u16)(r | sign);
}
#endif
INLINE f32 ld_bf16(u16 h) { return AS_F32((u32)h << 16); }
INLINE u16 st_bf16(f32 x) {
    u32 b = AS_U32(x);
    u32 r = (b + 0x7fffu + ((b >> 16) & 1)) >> 16;
    return (u16)((b & 0x7fffffff) > 0x7f800000u ? ((b >> 16) & 0x8000) | 0x7fc0u : r);
}

// Division by a constant known at the launch: n / d for n, d < 2^31.
INLINE u32 div_by(u32 n, u32 magic, u32 shift) { return (u32)(((u64)MULHI_U32(n, magic) + n) >> shift); }
