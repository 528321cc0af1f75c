// Random fills from Philox4x32-10; which draw an element takes is documented in src/rng/philox.rs.
// Macros: T, F (f32 or f64: what floats are calculated in), DIST, WIDE (64-bit draws), DOUBLE.
typedef struct {
    u32 w[4];
} Block;

INLINE Block philox(u64 block, u64 offset, u64 seed) {
    u32 c0 = (u32)block, c1 = (u32)(block >> 32), c2 = (u32)offset, c3 = (u32)(offset >> 32);
    u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
    Block b;
    for (int i = 0; i < 10; i++) {
        const u64 p0 = (u64)0xD2511F53u * c0, p1 = (u64)0xCD9E8D57u * c2;
        c0 = (u32)(p1 >> 32) ^ c1 ^ k0;
        c2 = (u32)(p0 >> 32) ^ c3 ^ k1;
        c1 = (u32)p1;
        c3 = (u32)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    b.w[0] = c0;
    b.w[1] = c1;
    b.w[2] = c2;
    b.w[3] = c3;
    return b;
}

typedef struct {
    u64 seed, call, n;
    i64 off;
    // Parameters of the distribution.
    u64 range, bound;
    i64 low;
} Draws;

// In a captured graph, seed and call lie in memory, written anew before each replay.
#ifdef LIVE
#define LIVE_PARAMS , GLOBAL const u64 *live, const i64 live_at
#define SEED live[live_at]
#define CALL live[live_at + 1]
#else
#define LIVE_PARAMS
#define SEED g.seed
#define CALL g.call
#endif

#define UNIT_F32(x) ((f32)((x) & 0xffffffu) * 5.9604644775390625e-8f)
#define UNIT_F64(x) ((f64)((x) & 0x1fffffffffffffUL) * 1.1102230246251565404e-16)
#define OPEN_F32(x) ((f32)(x) * 2.3283064365386962891e-10f + 1.1641532182693481445e-10f)
#ifdef DOUBLE
#define C_PI 3.14159265358979323846
#define C_TAU 6.28318530717958647692
#else
#define C_PI 3.14159265358979323846f
#define C_TAU 6.28318530717958647692f
#endif
#ifdef BOOLEAN
#define TO_T(v) (T)((v) != 0)
#else
#define TO_T(v) (T)(v)
#endif

// Sine and cosine of an angle between 0 and 2 pi, below 2 ulp: the nearest multiple of pi / 2 is taken off in parts that
// lose nothing.
#ifdef DOUBLE
#define SIN_TURN(x) sin(x)
#define COS_TURN(x) cos(x)
#else
INLINE f32 turned(f32 x, i32 quarters) {
    const f32 k = rint(x * 0.636619772f);
    const f32 near = (x - k * 1.5703125f) - k * 4.837512969970703125e-4f;
    const f32 r = fma(-k, -1.7151245e-15f, fma(-k, 7.549790126404332e-8f, near)), z = r * r;
    const f32 s = r + ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r;
    const f32 c = 1.0f - 0.5f * z + ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z;
    const i32 q = (i32)k + quarters;
    const f32 v = (q & 1) != 0 ? c : s;
    return (q & 2) != 0 ? -v : v;
}
#define SIN_TURN(x) turned(x, 0)
#define COS_TURN(x) turned(x, 1)
#endif

// Elements per work-item: those of one block.
#if defined(WIDE)
#define PER 2
#define DRAW(k) ((u64)b.w[2 * (k)] << 32 | b.w[2 * (k) + 1])
#else
#define PER 4
#define DRAW(k) b.w[k]
#endif

#if DIST == 7
// A forward Fisher-Yates is sequential: one work-item.
KERNEL void random_fill(GLOBAL T_S *out, const Draws g, const F a, const F c LIVE_PARAMS) {
    if (GID(0) != 0) return;
    for (u64 i = 0; i < g.n; i++) T_ST(out, g.off + i, (T)i);
    for (u64 i = 0; i + 1 < g.n; i++) {
        const Block b = philox(i / 2, CALL, SEED);
        const int k = (int)(i & 1);
        const u64 other = i + ((u64)b.w[2 * k] << 32 | b.w[2 * k + 1]) % (g.n - i);
        const T_S x = out[g.off + i];
        out[g.off + i] = out[g.off + other];
        out[g.off + other] = x;
    }
}
#else
// The elements of one block; `have` of them are stored.
INLINE void fill_block(GLOBAL T_S *out, const Draws g, const u64 seed, const u64 call, const F a, const F c,
                       const u64 block, const int have) {
    const Block b = philox(block, call, seed);
#pragma unroll
    for (int k = 0; k < PER; k++) {
        const u64 i = block * PER + k;
        if (k >= have) break;
#if DIST == 0
        // Uniform from a to c; what rounding brought to c becomes a, both as T holds them.
#ifdef DOUBLE
        const F u = UNIT_F64(DRAW(k)) * (c - a) + a;
#else
        const F u = UNIT_F32(DRAW(k)) * (c - a) + a;
#endif
        T_ST(out, g.off + i, (T)u);
        {
            T_S edge[2];
            T_ST(edge, 0, (T)c);
            T_ST(edge, 1, (T)a);
            if (out[g.off + i] == edge[0]) out[g.off + i] = edge[1];
        }
#elif DIST == 1 || DIST == 2
        // Normal with mean a and deviation c; 2: its exponential.
#ifdef DOUBLE
        const F u1 = 1 - UNIT_F64((u64)b.w[0] << 32 | b.w[1]);
        const F theta = C_TAU * UNIT_F64((u64)b.w[2] << 32 | b.w[3]);
#else
        const int w = k & 2;
        const F u1 = OPEN_F32(b.w[w]);
        const F theta = C_TAU * UNIT_F32(b.w[w + 1]);
#endif
        const F z = sqrt(-2 * log(u1)) * ((k & 1) == 0 ? COS_TURN(theta) : SIN_TURN(theta));
        const F v = z * c + a;
#if DIST == 2
        T_ST(out, g.off + i, (T)exp(v));
#else
        T_ST(out, g.off + i, (T)v);
#endif
#elif DIST == 3
        // Integers: low plus a draw modulo range (0: all of 64 bits).
#ifdef WIDE
        const i64 v = (i64)((u64)g.low + (g.range == 0 ? DRAW(k) : DRAW(k) % g.range));
#else
        const i64 v = g.low + (i64)(DRAW(k) % (u32)g.range);
#endif
        T_ST(out, g.off + i, TO_T(v));
#elif DIST == 4
        T_ST(out, g.off + i, (T)((u64)DRAW(k) < g.bound ? 1 : 0));
#elif DIST == 5
        // Exponential with rate a.
#ifdef DOUBLE
        const F l = log(1 - UNIT_F64(DRAW(k)));
        const F v = -(l < -5.5511151231257827021e-17 ? l : -5.5511151231257827021e-17) / a;
#else
        const F l = log(OPEN_F32(DRAW(k)));
        const F v = -(l < -2.98023223876953125e-8f ? l : -2.98023223876953125e-8f) / a;
#endif
        T_ST(out, g.off + i, (T)v);
#elif DIST == 6
        // Geometric; a is log(1 - p).
#ifdef DOUBLE
        const F v = ceil(log(1 - UNIT_F64(DRAW(k))) / a);
#else
        const F v = ceil(log(OPEN_F32(DRAW(k))) / a);
#endif
        T_ST(out, g.off + i, (T)(v > 1 ? v : 1));
#else
        // Cauchy with median a and scale c.
#ifdef DOUBLE
        const F v = fma(c, tan(C_PI * (UNIT_F64(DRAW(k)) - 0.5)), a);
#else
        const F v = a + c * tan(C_PI * (UNIT_F32(DRAW(k)) - 0.5f));
#endif
        T_ST(out, g.off + i, (T)v);
#endif
    }
}

KERNEL void random_fill(GLOBAL T_S *out, const Draws g, const F a, const F c LIVE_PARAMS) {
    const u64 whole = g.n / PER, seed = SEED, call = CALL;
#ifdef BLOCKS
    // A CPU's work-item makes many blocks.
    const u64 first = (u64)GID(0) * BLOCKS, last = first + BLOCKS < whole ? first + BLOCKS : whole;
#if (DIST == 1 || DIST == 2) && !defined(DOUBLE)
    // First the draws, then the functions: compilers turn either loop into vectors, both at once they do not.
    u32 draws[BLOCKS * 4];
    INDEPENDENT
    for (u64 block = first; block < last; block++) {
        const Block b = philox(block, call, seed);
#pragma unroll
        for (int k = 0; k < 4; k++) draws[(block - first) * 4 + k] = b.w[k];
    }
    const i64 at = g.off + (i64)first * 4;
    INDEPENDENT
    for (i64 pair = 0; pair < (i64)(last - first) * 2; pair++) {
        const F radius = sqrt(-2 * log(OPEN_F32(draws[2 * pair]))), theta = C_TAU * UNIT_F32(draws[2 * pair + 1]);
        const F v0 = radius * COS_TURN(theta) * c + a, v1 = radius * SIN_TURN(theta) * c + a;
#if DIST == 2
        T_ST(out, at + 2 * pair, (T)exp(v0));
        T_ST(out, at + 2 * pair + 1, (T)exp(v1));
#else
        T_ST(out, at + 2 * pair, (T)v0);
        T_ST(out, at + 2 * pair + 1, (T)v1);
#endif
    }
#else
    INDEPENDENT
    for (u64 block = first; block < last; block++) fill_block(out, g, seed, call, a, c, block, PER);
#endif
    if (last == whole && g.n > whole * PER) fill_block(out, g, seed, call, a, c, whole, (int)(g.n - whole * PER));
#else
    const u64 block = (u64)GID(0);
    if (block < whole) fill_block(out, g, seed, call, a, c, block, PER);
    else if (block * PER < g.n) fill_block(out, g, seed, call, a, c, block, (int)(g.n - block * PER));
#endif
}
#endif
