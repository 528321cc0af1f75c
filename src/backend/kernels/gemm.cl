// Matrix products. Macros: T (element type), A (accumulator), and per kernel what is named there.
// out = beta * out + alpha * a @ b; beta 0 does not read out.

typedef struct {
    i64 a_off, a_batch, a_row, a_col;
    i64 b_off, b_batch, b_row, b_col;
    // Columns lie at o_col; with o_inner, groups of o_inner columns lie at o_outer.
    i64 o_off, o_batch, o_row, o_col, o_inner, o_outer;
    i64 batch, m, n, k;
    // The sum over k in parts: SPLIT writes each part's product to scratch [batch, part, m, n].
    i64 splits, k_step;
    i64 bias_off, bias_row, bias_col, pre_off;
} Gemm;

#ifdef INTEGER
#define FMA(x, y, z) ((z) + (x) * (y))
#else
#define FMA(x, y, z) fma(x, y, z)
#endif

#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)

// What is done to an element before it is stored: BIAS adds one (by row and column), then RELU or GELU (its tanh form)
// is applied; PRE keeps what goes into it.
#ifdef BIAS
#define BIAS_PARAM GLOBAL const T_S *bias,
#define ADD_BIAS(row, col)                                                                                        \
    result = result + (A)T_LD(bias, g.bias_off + (batch * g.m + (i64)(row)) * g.bias_row + (i64)(col)*g.bias_col);
#else
#define BIAS_PARAM
#define ADD_BIAS(row, col)
#endif
#ifdef PRE
#define PRE_PARAM GLOBAL T_S *pre,
#define STORE_PRE(at) T_ST(pre, (at)-g.o_off + g.pre_off, (T)result);
#else
#define PRE_PARAM
#define STORE_PRE(at)
#endif
#define EPILOGUE_PARAMS BIAS_PARAM PRE_PARAM
#if defined(RELU)
INLINE A activate(A x) { return x < 0 ? (A)0 : x; }
#elif defined(GELU)
#define CONST PASTE(C_, A)
INLINE A activate(A x) {
    return x / (1 + exp(-CONST(1.5957691216057308) * (x + CONST(0.044715) * x * x * x)));
}
#else
#define activate(x) (x)
#endif
#define PLACE(at, row, col)                                                                               \
    const i64 block_ = g.o_inner > 0 ? (i64)(col) / g.o_inner : 0;                                        \
    const i64 at = g.o_off + batch * g.o_batch + (i64)(row) * g.o_row + block_ * g.o_outer +               \
                   ((i64)(col)-block_ * g.o_inner) * g.o_col;
#define STORE_FINAL(value, row, col)                                                                      \
    {                                                                                                     \
        PLACE(at, row, col)                                                                               \
        A result = alpha * (value);                                                                       \
        ADD_BIAS(row, col)                                                                                \
        if (beta != 0) result = result + beta * (A)T_LD(out, at);                                         \
        STORE_PRE(at)                                                                                     \
        result = activate(result);                                                                        \
        T_ST(out, at, (T)result);                                                                         \
    }
#ifdef SPLIT
#define OUT A
#define PARTS(z)                                                          \
    const i64 batch = (z) / g.splits, first = ((z)-batch * g.splits) * g.k_step; \
    const i64 last = first + g.k_step < g.k ? first + g.k_step : g.k;
// PART: batch and part, where a kernel does not have them as its third index.
#define PART (i64)GRP(2)
#define STORE(value, row, col) out[(PART * g.m + (i64)(row)) * g.n + (i64)(col)] = (value);
#else
#define OUT T_S
#define PARTS(z) const i64 batch = (z), first = 0, last = g.k;
#define STORE(value, row, col) STORE_FINAL(value, row, col)
#endif

#ifdef GEMM_TILED
// For GPUs: a group of 256 makes TM x TN outputs, a work-item PM x PN of them in registers, from slabs of BK steps of k
// in local memory. Two slabs take turns: while one is used, the next is on its way into registers, and one barrier per
// slab is enough. Q elements of the accumulator are a vector of 16 bytes. A work-item's outputs are blocks of Q x Q, 16
// blocks apart, so that neighbours read and write neighbouring vectors.
// Per operand: A_K (1: fetched along k, 0: along its rows), A_W (elements per fetch: Q where that direction is
// contiguous and aligned, else 1), the same for B. OUT_VEC: Q columns of the output are an aligned vector.
#define QUAD(type) PASTE(PASTE(type, x), Q)
#if Q == 4
#define EACH_LANE(DO) DO(0, x) DO(1, y) DO(2, z) DO(3, w)
#else
#define EACH_LANE(DO) DO(0, x) DO(1, y)
#endif
#define TM (16 * PM)
#define TN (16 * PN)
// One vector more than a row: what is written across rows goes to other banks.
#define A_ROW (TM + Q)
#define B_ROW (TN + Q)
// How many fetches a slab takes each work-item, and how far apart they are (rows where along k, else steps of k).
#define A_N (TM * BK / 256 / A_W)
#define B_N (TN * BK / 256 / B_W)
#define A_GAP (256 * A_W / (A_K ? BK : TM))
#define B_GAP (256 * B_W / (B_K ? BK : TN))
#define FROM_A(l, lane) ra[i * A_W + l] = v.lane;
#define FROM_B(l, lane) rb[i * B_W + l] = v.lane;
#define INTO_A(l, lane) v.lane = (A)TA_LD(ra, i * A_W + l);
#define INTO_B(l, lane) v.lane = (A)TB_LD(rb, i * B_W + l);
// The i-th fetch of a share of which `rows` rows and `ks` steps of k are in the matrix, from element `at` on; zeros past
// the ends.
#define FETCH_ONES(ALONG, W, GAP, p, raw, rows, ks, at, st_row, st_k)                                             \
    for (int j = 0; j < W; j++)                                                                                  \
        raw[i * W + j] = (ALONG ? i * GAP : j) < (rows) && (ALONG ? j : i * GAP) < (ks)                           \
                             ? p[(at) + i * GAP * (ALONG ? st_row : st_k) + j]                                   \
                             : 0;
#define IS_WHOLE(ALONG, W, GAP, rows, ks) ((ALONG ? i * GAP : W - 1) < (rows) && (ALONG ? W - 1 : i * GAP) < (ks))
#define KEEP_ONES(ALONG, W, GAP, T_LD_, raw, to, width, row, k) \
    for (int j = 0; j < W; j++)                                 \
        to[((k) + (ALONG ? j : i * GAP)) * width + (row) + (ALONG ? i * GAP : j)] = (A)T_LD_(raw, i * W + j);

#if Q == 4 && !defined(SPLIT)
KERNEL WG_TWICE(256)
#else
KERNEL WG_HINT(256)
#endif
void gemm_tiled(GLOBAL const TA_S *a, GLOBAL const TB_S *b, EPILOGUE_PARAMS GLOBAL OUT *out, const Gemm g, const A alpha,
                const A beta) {
    LOCAL QUAD(A) slabs_a[2 * BK * A_ROW / Q];
    LOCAL QUAD(A) slabs_b[2 * BK * B_ROW / Q];
    const u32 lid = LID(0);
    // Tiles of eight rows of tiles follow each other, so that those at work share what they read.
    const u32 tiles_n = (u32)((g.n + TN - 1) / TN), tiles_m = (u32)((g.m + TM - 1) / TM);
    const u32 band = GRP(0) / (8 * tiles_n), in_band = GRP(0) - band * 8 * tiles_n;
    const u32 band_rows = tiles_m - band * 8 < 8 ? tiles_m - band * 8 : 8, tile_n = in_band / band_rows;
    const i64 row0 = (i64)(band * 8 + in_band - tile_n * band_rows) * TM, col0 = (i64)tile_n * TN;
    PARTS((i64)GRP(2))
    // Of 32 work-items in a row, 8 x 4 are neighbours in the tile: they read few vectors of local memory at a time.
    const u32 tx = (lid & 7) | ((lid >> 2) & 8), ty = ((lid >> 3) & 3) | ((lid >> 4) & 12);
    A acc[PM][PN];
#pragma unroll
    for (int i = 0; i < PM; i++)
#pragma unroll
        for (int j = 0; j < PN; j++) acc[i][j] = 0;
    // This work-item's first fetch in the slab and in memory.
    const u32 ar = A_K ? lid / (BK / A_W) : lid % (TM / A_W) * A_W, ak = A_K ? lid % (BK / A_W) * A_W : lid / (TM / A_W);
    const u32 br = B_K ? lid / (BK / B_W) : lid % (TN / B_W) * B_W, bk = B_K ? lid % (BK / B_W) * B_W : lid / (TN / B_W);
    i64 at_a = g.a_off + batch * g.a_batch + (row0 + ar) * g.a_row + (first + ak) * g.a_col;
    i64 at_b = g.b_off + batch * g.b_batch + (col0 + br) * g.b_col + (first + bk) * g.b_row;
    // Rows and steps of k from there on; the host splits a long k.
    const i32 a_rows = (i32)(g.m - row0 < TM ? g.m - row0 : TM) - (i32)ar;
    const i32 b_rows = (i32)(g.n - col0 < TN ? g.n - col0 : TN) - (i32)br;
    const i32 depth = (i32)(last - first);
    TA_S ra[A_N * A_W];
    TB_S rb[B_N * B_W];
    LOCAL_PTR(A) to_a = (LOCAL_PTR(A))slabs_a;
    LOCAL_PTR(A) to_b = (LOCAL_PTR(A))slabs_b;
    // The first round only fetches.
    for (i32 k0 = -BK; k0 < depth; k0 += BK) {
        const i32 left = depth - k0 - BK;
        if (left > 0) {
#pragma unroll
            for (int i = 0; i < A_N; i++) {
#if A_W > 1
                if (IS_WHOLE(A_K, A_W, A_GAP, a_rows, left - (i32)ak)) {
                    const QUAD(TA_S) v = GLOBAL_AT(const QUAD(TA_S), a + at_a + i * A_GAP * (A_K ? g.a_row : g.a_col));
                    EACH_LANE(FROM_A)
                } else
#endif
                {
#pragma unroll
                    FETCH_ONES(A_K, A_W, A_GAP, a, ra, a_rows, left - (i32)ak, at_a, g.a_row, g.a_col)
                }
            }
#pragma unroll
            for (int i = 0; i < B_N; i++) {
#if B_W > 1
                if (IS_WHOLE(B_K, B_W, B_GAP, b_rows, left - (i32)bk)) {
                    const QUAD(TB_S) v = GLOBAL_AT(const QUAD(TB_S), b + at_b + i * B_GAP * (B_K ? g.b_col : g.b_row));
                    EACH_LANE(FROM_B)
                } else
#endif
                {
#pragma unroll
                    FETCH_ONES(B_K, B_W, B_GAP, b, rb, b_rows, left - (i32)bk, at_b, g.b_col, g.b_row)
                }
            }
            at_a += BK * g.a_col;
            at_b += BK * g.b_row;
        }
        if (k0 >= 0) {
            LOCAL_PTR(const A) xs = to_a + (k0 / BK & 1) * (BK * A_ROW) + ty * Q;
            LOCAL_PTR(const A) ys = to_b + (k0 / BK & 1) * (BK * B_ROW) + tx * Q;
#pragma unroll
            for (int kk = 0; kk < BK; kk++) {
                A x[PM], y[PN];
#define INTO_X(l, lane) x[i * Q + l] = v.lane;
#define INTO_Y(l, lane) y[i * Q + l] = v.lane;
#pragma unroll
                for (int i = 0; i < PM / Q; i++) {
                    const QUAD(A) v = LOCAL_AT(const QUAD(A), xs + kk * A_ROW + i * 16 * Q);
                    EACH_LANE(INTO_X)
                }
#pragma unroll
                for (int i = 0; i < PN / Q; i++) {
                    const QUAD(A) v = LOCAL_AT(const QUAD(A), ys + kk * B_ROW + i * 16 * Q);
                    EACH_LANE(INTO_Y)
                }
#pragma unroll
                for (int i = 0; i < PM; i++)
#pragma unroll
                    for (int j = 0; j < PN; j++) acc[i][j] = FMA(x[i], y[j], acc[i][j]);
            }
        }
        if (left > 0) {
            LOCAL_PTR(A) xs = to_a + (k0 / BK + 1 & 1) * (BK * A_ROW);
            LOCAL_PTR(A) ys = to_b + (k0 / BK + 1 & 1) * (BK * B_ROW);
#pragma unroll
            for (int i = 0; i < A_N; i++) {
#if A_W > 1 && !A_K
                QUAD(A) v;
                EACH_LANE(INTO_A)
                LOCAL_AT(QUAD(A), xs + (ak + i * A_GAP) * A_ROW + ar) = v;
#else
#pragma unroll
                KEEP_ONES(A_K, A_W, A_GAP, TA_LD, ra, xs, A_ROW, ar, ak)
#endif
            }
#pragma unroll
            for (int i = 0; i < B_N; i++) {
#if B_W > 1 && !B_K
                QUAD(A) v;
                EACH_LANE(INTO_B)
                LOCAL_AT(QUAD(A), ys + (bk + i * B_GAP) * B_ROW + br) = v;
#else
#pragma unroll
                KEEP_ONES(B_K, B_W, B_GAP, TB_LD, rb, ys, B_ROW, br, bk)
#endif
            }
        }
        BARRIER();
    }
#pragma unroll
    for (int i = 0; i < PM; i++) {
        const i64 row = row0 + ty * Q + i / Q * (16 * Q) + i % Q;
        if (row >= g.m) continue;
#pragma unroll
        for (int j = 0; j < PN; j += Q) {
            const i64 col = col0 + tx * Q + j * 16;
#ifdef OUT_VEC
            if (col + Q <= g.n) {
                QUAD(OUT) v;
#ifdef SPLIT
                const i64 at = (PART * g.m + row) * g.n + col;
#define INTO_OUT(l, lane) v.lane = acc[i][j + l];
                EACH_LANE(INTO_OUT)
#else
                PLACE(at, row, col)
                T_S lanes[Q];
#define FROM_OUT(l, lane) lanes[l] = v.lane;
#define INTO_OUT(l, lane) v.lane = lanes[l];
                if (beta != 0) {
                    v = GLOBAL_AT(const QUAD(OUT), out + at);
                    EACH_LANE(FROM_OUT)
                }
#pragma unroll
                for (int l = 0; l < Q; l++) {
                    A result = alpha * acc[i][j + l];
                    ADD_BIAS(row, col + l)
                    if (beta != 0) result = result + beta * (A)T_LD(lanes, l);
                    STORE_PRE(at + l)
                    result = activate(result);
                    T_ST(lanes, l, (T)result);
                }
                EACH_LANE(INTO_OUT)
#endif
                GLOBAL_AT(QUAD(OUT), out + at) = v;
                continue;
            }
#endif
#pragma unroll
            for (int l = 0; l < Q; l++)
                if (col + l < g.n) STORE(acc[i][j + l], row, col + l)
        }
    }
}
#endif

#ifdef GEMM_PACK
// Copies a matrix into panels of R rows: [batch][panel][k][R], zeros past the end. For b, rows are columns.
KERNEL void gemm_pack(GLOBAL const T_S *in, GLOBAL A *out, const i64 off, const i64 batch_st, const i64 row_st,
                      const i64 k_st, const i64 rows, const i64 k) {
    const i64 panel = (i64)GID(0), batch = (i64)GID(2);
    const i64 panels = (rows + R - 1) / R;
    const i64 step = (k + (i64)GSIZE(1) - 1) / (i64)GSIZE(1);
    const i64 first = (i64)GID(1) * step, last = first + step < k ? first + step : k;
    GLOBAL A *o = out + (batch * panels + panel) * k * R;
    const i64 base = off + batch * batch_st + panel * R * row_st;
    const i64 have = rows - panel * R;
    if (have >= R && row_st == 1) {
        for (i64 x = first; x < last; x++)
            for (int r = 0; r < R; r++) o[x * R + r] = (A)T_LD(in, base + x * k_st + r);
    } else if (have >= R && k_st == 1) {
        // Blocks of 16 x R: reads run along k.
        for (i64 x0 = first; x0 < last; x0 += 16) {
            const i64 end = x0 + 16 < last ? x0 + 16 : last;
            for (int r = 0; r < R; r++)
                for (i64 x = x0; x < end; x++) o[x * R + r] = (A)T_LD(in, base + r * row_st + x);
        }
    } else {
        for (i64 x = first; x < last; x++)
            for (int r = 0; r < R; r++)
                o[x * R + r] = r < have ? (A)T_LD(in, base + x * k_st + r * row_st) : (A)0;
    }
}
#endif

#if defined(GEMM_PACKED) || defined(GEMM_STREAM) || defined(GEMM_DOT)
#ifdef __cplusplus
// OpenCL's vector types, for targets that are C++.
#ifndef INLINE_MEMBER
#define INLINE_MEMBER inline
#endif
template <typename E, int N> struct Vec {
    E v[N];
    INLINE_MEMBER Vec() {}
    INLINE_MEMBER Vec(E x) {
        for (int i = 0; i < N; i++) v[i] = x;
    }
};
#define VEC_OP(op)                                                                  \
    template <typename E, int N> INLINE Vec<E, N> operator op(Vec<E, N> a, Vec<E, N> b) { \
        for (int i = 0; i < N; i++) a.v[i] = a.v[i] op b.v[i];                      \
        return a;                                                                   \
    }                                                                               \
    template <typename E, int N> INLINE Vec<E, N> operator op(Vec<E, N> a, E b) {   \
        for (int i = 0; i < N; i++) a.v[i] = a.v[i] op b;                           \
        return a;                                                                   \
    }
VEC_OP(+)
VEC_OP(*)
template <typename E, int N> INLINE Vec<E, N> fma(Vec<E, N> a, Vec<E, N> b, Vec<E, N> c) {
    for (int i = 0; i < N; i++) c.v[i] = fma(a.v[i], b.v[i], c.v[i]);
    return c;
}
#define VEC_IO(n)                                                                          \
    template <typename E> INLINE Vec<E, n> vload##n(i64 at, const E *p) {                  \
        Vec<E, n> r;                                                                       \
        for (int i = 0; i < n; i++) r.v[i] = p[at * n + i];                                \
        return r;                                                                          \
    }                                                                                      \
    template <typename E> INLINE void vstore##n(Vec<E, n> r, i64 at, E *p) {               \
        for (int i = 0; i < n; i++) p[at * n + i] = r.v[i];                                \
    }
VEC_IO(2)
VEC_IO(4)
VEC_IO(8)
VEC_IO(16)
#endif
#ifdef __cplusplus
#define V Vec<A, VL>
#else
#define V PASTE(BASE, VL)
#endif
#define VLOAD PASTE(vload, VL)
#define VSTORE PASTE(vstore, VL)
#if defined(RELU) && !defined(__cplusplus)
INLINE V activate_lanes(V x) { return x < (V)0 ? (V)0 : x; }
#elif defined(RELU) || defined(GELU)
INLINE V activate_lanes(V x) {
    A lanes[VL];
    VSTORE(x, 0, lanes);
    for (int i = 0; i < VL; i++) lanes[i] = activate(lanes[i]);
    return VLOAD(0, lanes);
}
#else
#define activate_lanes(x) (x)
#endif
#endif

#if defined(GEMM_PACKED) || defined(GEMM_STREAM)
// For CPUs: one work-item makes MR x (NV * VL) outputs in registers, from packed panels, or (STREAM) from operands where
// they lie; then b's columns are neighbours, and b_limit elements of b may be read.
#ifdef GEMM_PACKED
// Rows of tiles come in bands, the slowest index, so that a band's panels are used while a cache holds them.
KERNEL MIN_VECTOR void gemm_packed(GLOBAL const A *pa, GLOBAL const A *pb, EPILOGUE_PARAMS GLOBAL OUT *out, const Gemm g,
                                   const A alpha, const A beta, const i64 bands) {
    const i64 z = (i64)GID(2) / bands;
    PARTS(z)
    const i64 ip = ((i64)GID(2) - z * bands) * (i64)GSIZE(0) + (i64)GID(0), jp = (i64)GID(1);
    if (ip * MR >= g.m) return;
#undef PART
#define PART z
#else
KERNEL MIN_VECTOR void gemm_stream(GLOBAL const A *pa, GLOBAL const A *pb, EPILOGUE_PARAMS GLOBAL OUT *out, const Gemm g,
                                   const A alpha, const A beta, const i64 b_limit) {
    PARTS((i64)GID(2))
    const i64 ip = (i64)GID(0), jp = (i64)GID(1);
#endif
    const i64 row0 = ip * MR, col0 = jp * (NV * VL);
    V acc[MR][NV];
#pragma unroll
    for (int i = 0; i < MR; i++)
#pragma unroll
        for (int j = 0; j < NV; j++) acc[i][j] = (V)0;
#ifdef GEMM_PACKED
    const i64 mp = (g.m + MR - 1) / MR, np = (g.n + NV * VL - 1) / (NV * VL);
    GLOBAL const A *x = pa + ((g.a_batch == 0 ? 0 : batch) * mp + ip) * g.k * MR + first * MR;
    GLOBAL const A *y = pb + ((g.b_batch == 0 ? 0 : batch) * np + jp) * g.k * (NV * VL) + first * (NV * VL);
    for (i64 k = first; k < last; k++) {
        V yv[NV];
#pragma unroll
        for (int j = 0; j < NV; j++) yv[j] = VLOAD(j, y);
#pragma unroll
        for (int i = 0; i < MR; i++) {
            const V xv = (V)(x[i]);
#pragma unroll
            for (int j = 0; j < NV; j++) acc[i][j] = FMA(xv, yv[j], acc[i][j]);
        }
        x += MR;
        y += NV * VL;
    }
#else
    // Rows past the end repeat the last one and are not stored.
    GLOBAL const A *x[MR];
#pragma unroll
    for (int i = 0; i < MR; i++) x[i] = pa + g.a_off + batch * g.a_batch + (row0 + i < g.m ? row0 + i : g.m - 1) * g.a_row;
    const i64 y0 = g.b_off + batch * g.b_batch + col0;
    // Columns past the end are the next row's, or memory's end.
    for (i64 k = first; k < last; k++) {
        const i64 at = y0 + k * g.b_row;
        V yv[NV];
        if (at + NV * VL <= b_limit) {
#pragma unroll
            for (int j = 0; j < NV; j++) yv[j] = VLOAD(j, pb + at);
        } else {
            A lanes[NV * VL];
            for (int l = 0; l < NV * VL; l++) lanes[l] = col0 + l < g.n ? pb[at + l] : (A)0;
#pragma unroll
            for (int j = 0; j < NV; j++) yv[j] = VLOAD(j, lanes);
        }
#pragma unroll
        for (int i = 0; i < MR; i++) {
            const V xv = (V)(x[i][k * g.a_col]);
#pragma unroll
            for (int j = 0; j < NV; j++) acc[i][j] = FMA(xv, yv[j], acc[i][j]);
        }
    }
#endif
#ifdef DIRECT_STORE
    // A whole tile whose columns are neighbours is stored by vectors.
    const i64 block = g.o_inner > 0 ? col0 / g.o_inner : 0;
    const int whole = row0 + MR <= g.m && col0 + NV * VL <= g.n && g.o_col == 1 &&
                      (g.o_inner == 0 || (col0 + NV * VL - 1) / g.o_inner == block);
    if (whole) {
#pragma unroll
        for (int i = 0; i < MR; i++) {
            const i64 row = row0 + i;
            GLOBAL T_S *o = out + g.o_off + batch * g.o_batch + row * g.o_row + block * g.o_outer + (col0 - block * g.o_inner);
#pragma unroll
            for (int j = 0; j < NV; j++) {
                V result = acc[i][j] * alpha;
#ifdef BIAS
                // The host sees to it that bias_col is 0 or 1.
                if (g.bias_col == 1) {
                    result = result + VLOAD(j, bias + g.bias_off + (batch * g.m + row) * g.bias_row + col0);
                } else {
                    ADD_BIAS(row, 0)
                }
#endif
                if (beta != 0) result = result + VLOAD(j, o) * beta;
#ifdef PRE
                VSTORE(result, j, pre + (o - out) - g.o_off + g.pre_off);
#endif
                VSTORE(activate_lanes(result), j, o);
            }
        }
        return;
    }
#endif
    A spill[MR * NV * VL];
#pragma unroll
    for (int i = 0; i < MR; i++)
#pragma unroll
        for (int j = 0; j < NV; j++) VSTORE(acc[i][j], i * NV + j, spill);
    for (int i = 0; i < MR && row0 + i < g.m; i++)
        for (int j = 0; j < NV * VL && col0 + j < g.n; j++) STORE(spill[i * NV * VL + j], row0 + i, col0 + j)
}
#endif

#ifdef GEMM_DOT
// For CPUs, where both operands run along k: one work-item makes MR x NR outputs as inner products by vectors.
INLINE A sum_lanes(V v) {
    A lanes[VL];
    VSTORE(v, 0, lanes);
#pragma unroll
    for (int gap = VL / 2; gap > 0; gap >>= 1)
#pragma unroll
        for (int l = 0; l < gap; l++) lanes[l] = lanes[l] + lanes[l + gap];
    return lanes[0];
}
KERNEL MIN_VECTOR void gemm_dot(GLOBAL const A *a, GLOBAL const A *b, EPILOGUE_PARAMS GLOBAL OUT *out, const Gemm g,
                                const A alpha, const A beta) {
    PARTS((i64)GID(2))
    const i64 row0 = (i64)GID(0) * MR, col0 = (i64)GID(1) * NR;
    GLOBAL const A *x[MR], *y[NR];
#pragma unroll
    for (int i = 0; i < MR; i++) x[i] = a + g.a_off + batch * g.a_batch + (row0 + i < g.m ? row0 + i : g.m - 1) * g.a_row;
#pragma unroll
    for (int j = 0; j < NR; j++) y[j] = b + g.b_off + batch * g.b_batch + (col0 + j < g.n ? col0 + j : g.n - 1) * g.b_col;
    V acc[MR][NR];
#pragma unroll
    for (int i = 0; i < MR; i++)
#pragma unroll
        for (int j = 0; j < NR; j++) acc[i][j] = (V)0;
    i64 k = first;
    for (; k + VL <= last; k += VL) {
        V yv[NR];
#pragma unroll
        for (int j = 0; j < NR; j++) yv[j] = VLOAD(0, y[j] + k);
#pragma unroll
        for (int i = 0; i < MR; i++) {
            const V xv = VLOAD(0, x[i] + k);
#pragma unroll
            for (int j = 0; j < NR; j++) acc[i][j] = FMA(xv, yv[j], acc[i][j]);
        }
    }
    A sum[MR][NR];
#pragma unroll
    for (int i = 0; i < MR; i++)
#pragma unroll
        for (int j = 0; j < NR; j++) sum[i][j] = sum_lanes(acc[i][j]);
    for (; k < last; k++)
#pragma unroll
        for (int i = 0; i < MR; i++)
#pragma unroll
            for (int j = 0; j < NR; j++) sum[i][j] = FMA(x[i][k], y[j][k], sum[i][j]);
    for (int i = 0; i < MR && row0 + i < g.m; i++)
        for (int j = 0; j < NR && col0 + j < g.n; j++) STORE(sum[i][j], row0 + i, col0 + j)
}
#endif

#ifdef GEMM_DIRECT
// For small or thin products: one work-item makes up to ROWS rows of one column.
KERNEL void gemm_direct(GLOBAL const TA_S *a, GLOBAL const TB_S *b, EPILOGUE_PARAMS GLOBAL T_S *out, const Gemm g,
                        const A alpha, const A beta) {
    const i64 col = (i64)GID(0), row0 = (i64)GID(1) * ROWS, batch = (i64)GID(2);
    if (col >= g.n) return;
    const i64 bbase = g.b_off + batch * g.b_batch + col * g.b_col;
    i64 abase[ROWS];
    A acc[ROWS];
    for (int i = 0; i < ROWS; i++) {
        // Rows past the end repeat the last one and are not stored.
        const i64 row = row0 + i < g.m ? row0 + i : g.m - 1;
        abase[i] = g.a_off + batch * g.a_batch + row * g.a_row;
        acc[i] = 0;
    }
    for (i64 k = 0; k < g.k; k++) {
        const A y = (A)TB_LD(b, bbase + k * g.b_row);
        for (int i = 0; i < ROWS; i++) acc[i] = FMA((A)TA_LD(a, abase[i] + k * g.a_col), y, acc[i]);
    }
    for (int i = 0; i < ROWS; i++)
        if (row0 + i < g.m) STORE(acc[i], row0 + i, col)
}
#endif

#ifdef GEMM_FINISH
// Adds up the parts of a split product, in order.
KERNEL void gemm_finish(GLOBAL const A *parts, EPILOGUE_PARAMS GLOBAL T_S *out, const Gemm g, const A alpha, const A beta) {
    const i64 i = (i64)GID(0);
    if (i >= g.batch * g.m * g.n) return;
    const i64 mn = g.m * g.n, batch = i / mn, e = i - batch * mn, row = e / g.n, col = e - row * g.n;
    A sum = 0;
    for (i64 s = 0; s < g.splits; s++) sum = sum + parts[(batch * g.splits + s) * mn + e];
    STORE_FINAL(sum, row, col)
}
#endif
