#ifdef SLOW_LOG
// Functions of float32 for devices whose own are a call per element (PoCL on CPUs): straight lines of arithmetic and
// selects, which a loop's vectors can take. 1 to 3 ulp. The polynomials interpolate at Chebyshev's nodes.
#define PICK_F32 INLINE f32 __attribute__((overloadable))
#define PICK_F64 INLINE f64 __attribute__((overloadable))
// The nearest integer, for |v| < 2^22.
#define NEAREST_F32(v) (((v) + 12582912.0f) - 12582912.0f)
#define ABS_F32(v) AS_F32(AS_U32(v) & 0x7fffffffu)
#define SIGNED_LIKE(v, sign) AS_F32(AS_U32(v) | (AS_U32(sign) & 0x80000000u))
// 2^n for -126 <= n <= 127.
#define POWER_OF_TWO(n) AS_F32((u32)((n) + 127) << 23)

// x = m * 2^e with m around 1; log(x) = e log 2 + log m, by the series of log((1 + s) / (1 - s)), s = (m - 1) / (m + 1).
// `high` and `low` are log 2 in the wanted base times e, `scale` that base's 1 / log.
#define LOG_PARTS(x)                                                                                         \
    const int tiny = (x) < 1.17549435e-38f;                                                                  \
    const u32 b = AS_U32(tiny ? (x) * 8388608.0f : (x));                                                     \
    const i32 e = (i32)(b - 0x3f3504f3u) >> 23;                                                              \
    const f32 k = (f32)(tiny ? e - 23 : e), f = AS_F32(b - ((u32)e << 23)) - 1.0f;                           \
    const f32 s = f / (2.0f + f), z = s * s, w = z * z, half_square = 0.5f * f * f;                          \
    const f32 even = w * (0.40000972152f + w * 0.24279078841f), odd = z * (0.66666662693f + w * 0.28498786688f);
#define LOG_ENDS(x, r)                   \
    r = (x) == INFINITY ? (x) : r;       \
    r = (x) == 0.0f ? -INFINITY : r;     \
    return (x) >= 0.0f ? r : NAN;
PICK_F32 log_(f32 x) {
    LOG_PARTS(x)
    f32 r = s * (half_square + (odd + even)) + k * 9.0580006145e-06f - half_square + f + k * 0.69313812256f;
    LOG_ENDS(x, r)
}
PICK_F32 log2_(f32 x) {
    LOG_PARTS(x)
    const f32 part = s * (half_square + (odd + even)) - half_square;
    // 1 / log 2 = 1 + 0.4427: f itself is not rounded.
    f32 r = (part * 0.44269504089f + f * 0.44269504089f) + part + f + k;
    LOG_ENDS(x, r)
}
PICK_F32 log10_(f32 x) {
    LOG_PARTS(x)
    const f32 m = s * (half_square + (odd + even)) - half_square + f;
    f32 r = k * 7.9034151668e-07f + m * 0.43429448190f + k * 0.30102920532f;
    LOG_ENDS(x, r)
}
// log(u) of the rounded u = 1 + x, mended by what rounding took.
PICK_F32 log1p_(f32 x) {
    const f32 u = 1.0f + x, lost = (x - (u - 1.0f)) / u;
    const f32 r = log_(u) + (u == INFINITY || x == -1.0f ? 0.0f : lost);
    return u == 1.0f ? x : r;
}

// x = n log 2 + r; q = e^r - 1.
#define EXP_PARTS(x)                                                                                               \
    const f32 k = NEAREST_F32((x) * 1.44269504089f), r = ((x) - k * 0.693359375f) - k * -2.12194440055e-4f;         \
    const f32 q = r + r * r * (0.5f + r * (0.1666666672f + r * (0.0416664649f + r * (0.008333298466f +             \
                                       r * (0.001393365249f + r * 0.0001989928785f)))));                           \
    const i32 n = (i32)k, half_n = n >> 1;                                                                         \
    const f32 first = POWER_OF_TWO(half_n), second = POWER_OF_TWO(n - half_n);
PICK_F32 exp_(f32 x) {
    const f32 c = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
    EXP_PARTS(c)
    return (1.0f + q) * first * second;
}
PICK_F32 expm1_(f32 x) {
    const f32 c = x < -30.0f ? -30.0f : x > 89.0f ? 89.0f : x;
    EXP_PARTS(c)
    const f32 scale = first * second;
    const f32 result = n > 24 ? (1.0f + q) * first * second : q * scale + (scale - 1.0f);
    return x == 0.0f ? x : result;
}
PICK_F32 exp2_(f32 x) {
    const f32 c = x < -151.0f ? -151.0f : x > 129.0f ? 129.0f : x;
    const f32 k = NEAREST_F32(c), r = c - k;
    const f32 q = r * (0.6931471806f + r * (0.2402265092f + r * (0.05550410906f + r * (0.009618056612f +
                  r * (0.00133334784f + r * (0.0001546147067f + r * 1.530372279e-05f))))));
    const i32 n = (i32)k, half_n = n >> 1;
    return (1.0f + q) * POWER_OF_TWO(half_n) * POWER_OF_TWO(n - half_n);
}
PICK_F32 tanh_(f32 x) {
    const f32 a = ABS_F32(x), t = expm1_(2.0f * (a > 10.0f ? 10.0f : a));
    return SIGNED_LIKE(t / (t + 2.0f), x);
}
PICK_F32 erf_(f32 x) {
    const f32 a = ABS_F32(x), z = x * x, t = a > 4.0f ? 4.0f : a;
    const f32 small = x + x * (0.1283791671f + z * (-0.3761263848f + z * (0.1128378262f + z * (-0.02686543831f +
                      z * (0.005221053413f + z * (-0.0008484396554f + z * (0.0001126825391f + z * -9.673590827e-06f)))))));
    // -log(1 - erf(t))
    const f32 p = -0.0002943480674f + t * (1.130129397f + t * (0.6320031431f + t * (0.1099137934f + t * (-0.02632678086f +
                  t * (0.004726405696f + t * (-0.0005897227554f + t * (4.521791149e-05f + t * -1.594655978e-06f)))))));
    const f32 large = SIGNED_LIKE(1.0f - exp_(-p), x);
    return a < 1.0f || x != x ? small : large;
}
PICK_F32 atan_(f32 x) {
    // Around 0, pi / 4 and pi / 2.
    const f32 a = ABS_F32(x);
    const int high = a > 2.41421356f, middle = a > 0.41421356f;
    const f32 t = high ? -1.0f / a : middle ? (a - 1.0f) / (a + 1.0f) : a, z = t * t;
    const f32 start = high ? 1.57079632679f : middle ? 0.78539816339f : 0.0f;
    const f32 lost = high ? -4.37113883e-8f : middle ? -2.18556941e-8f : 0.0f;
    const f32 p = z * (-0.3333333181f + z * (0.1999954975f + z * (-0.1426422106f + z * (0.1074617339f + z * -0.06458959854f))));
    return SIGNED_LIKE(start + (t + (t * p + lost)), x);
}

#ifdef HAVE_FP64
// x = (quadrant + fraction) * pi / 2 for any x: the bits of 1 / (2 pi) that matter for x's exponent times its mantissa, as
// a fixed-point number of turns.
INLINE f32 quarter_turn_(f32 x, u32 *quadrant) {
    const u32 b = AS_U32(x) & 0x7fffffffu, mantissa = b << 8 | 0x80000000u;
    const i32 e = (i32)(b >> 23) - 126, i = e >> 5, shift = 32 - (e & 31);
#define WORDS(p, q, r, s, t) (u64)(i < 2 ? (i < 1 ? p : q) : i < 3 ? r : i < 4 ? s : t)
    const u64 w0 = WORDS(0u, 0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u);
    const u64 w1 = WORDS(0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u);
    const u64 w2 = WORDS(0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u);
    const u64 w3 = WORDS(0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u, 0x7f9458eau);
    const u64 high = (w0 << 32 | w1) >> shift & 0xffffffffu, middle = (w1 << 32 | w2) >> shift & 0xffffffffu;
    const u64 low = (w2 << 32 | w3) >> shift & 0xffffffffu;
    const u64 turns = (mantissa * high << 32) + mantissa * middle + (mantissa * low >> 32);
    // To the nearest quarter.
    const u64 q = turns + 0x2000000000000000UL;
    const f32 r = (f32)((f64)(i64)(turns - (q & 0xc000000000000000UL)) * 3.4061215800865546e-19);
    const int direct = b < 0x3f490fdbu;
    *quadrant = direct ? 0 : (u32)(q >> 62) & 3;
    return b >= 0x7f800000u ? NAN : direct ? ABS_F32(x) : r;
}
INLINE f32 sine_(f32 r) {
    const f32 z = r * r;
    return r + r * z * (-0.1666666666f + z * (0.008333331875f + z * (-0.0001984008661f + z * 2.724990249e-06f)));
}
INLINE f32 cosine_(f32 r) {
    const f32 z = r * r;
    return 1.0f - (0.5f * z - z * z * (0.04166666666f + z * (-0.001388888767f + z * (2.480060023e-05f + z * -2.730093477e-07f))));
}
PICK_F32 sin_(f32 x) {
    u32 q;
    const f32 r = quarter_turn_(x, &q), s = (q & 1) ? cosine_(r) : sine_(r);
    return x == 0.0f ? x : AS_F32(AS_U32(s) ^ (q >> 1 << 31) ^ (AS_U32(x) & 0x80000000u));
}
PICK_F32 cos_(f32 x) {
    u32 q;
    const f32 r = quarter_turn_(x, &q), s = (q & 1) ? sine_(r) : cosine_(r);
    return AS_F32(AS_U32(s) ^ (((q + 1) & 2) << 30));
}
PICK_F32 tan_(f32 x) {
    u32 q;
    const f32 r = quarter_turn_(x, &q), z = r * r;
    const f32 t = r + r * z * (0.3333333403f + z * (0.1333322484f + z * (0.05399564146f + z * (0.02161286789f +
                  z * (0.009988287592f + z * (0.001147256423f + z * 0.003863899023f))))));
    return x == 0.0f ? x : AS_F32(AS_U32((q & 1) ? -1.0f / t : t) ^ (AS_U32(x) & 0x80000000u));
}
// |a|^b as 2^(b log2 |a|) in float64, which leaves overflow and small results to the last rounding.
PICK_F32 pow_(f32 a, f32 b) {
    const f64 x = (f64)ABS_F32(a);
    const u64 bits = AS_U64(x);
    const i64 e = (i64)(bits - 0x3fe6a09e667f3bcdUL) >> 52;
    const f64 m = AS_F64(bits - ((u64)e << 52)), s = (m - 1.0) / (m + 1.0), z = s * s;
    f64 l = s * (2.8853900817779268 + z * (0.96179669392428535 + z * (0.5770780172624389 + z * (0.41219839994789859 +
            z * (0.32061652839478011 + z * (0.26143954115052548 + z * 0.24297767722409536)))))) + (f64)(i32)e;
    l = x == 0.0 ? -INF_F64 : x == INF_F64 || x != x ? x : l;
    f64 t = (f64)b * l;
    t = t > 200.0 ? 200.0 : t < -200.0 ? -200.0 : t;
    const f64 k = (t + 6755399441055744.0) - 6755399441055744.0, r = t - k;
    const f64 p = 1.0000000000000138 + r * (0.69314718055994939 + r * (0.24022650695640332 + r * (0.055504108664456965 +
                  r * (0.009618129193833291 + r * (0.0013333558229008296 + r * (0.00015403433855267894 +
                  r * (1.5252657953201168e-05 + r * (1.3259618795160504e-06 + r * 1.0208535299760527e-07))))))));
    f32 result = (f32)(p * AS_F64((u64)((i64)(i32)k + 1023) << 52));
    // Floats from 2^24 up are even.
    const f32 ab = ABS_F32(b), small = ab < 16777216.0f ? ab : 16777216.0f;
    const int whole = (f32)(i32)small == small, odd = whole && ((i32)small & 1) != 0;
    result = a < 0.0f && a != -INFINITY && !whole ? NAN : result;
    result = odd ? SIGNED_LIKE(result, a) : result;
    return b == 0.0f || a == 1.0f || (a == -1.0f && ab == INFINITY) ? 1.0f : result;
}
#endif

#ifdef HAVE_FP64
#define KEEP_F64(name) PICK_F64 name##_(f64 x) { return name(x); }
KEEP_F64(log) KEEP_F64(log2) KEEP_F64(log10) KEEP_F64(log1p) KEEP_F64(exp) KEEP_F64(expm1) KEEP_F64(exp2) KEEP_F64(tanh)
KEEP_F64(erf) KEEP_F64(atan) KEEP_F64(sin) KEEP_F64(cos) KEEP_F64(tan)
PICK_F64 pow_(f64 a, f64 b) { return pow(a, b); }
#define sin sin_
#define cos cos_
#define tan tan_
#define pow pow_
#endif
#define log log_
#define log2 log2_
#define log10 log10_
#define log1p log1p_
#define exp exp_
#define expm1 expm1_
#define exp2 exp2_
#define tanh tanh_
#define erf erf_
#define atan atan_
#endif
