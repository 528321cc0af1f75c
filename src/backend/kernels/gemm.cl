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
    const A u = CONST(0.79788456080286535588) * (x + CONST(0.044715) * x * x * x);
    return CONST(0.5) * x * (1 + tanh(u));
}
#else
#define activate(x) (x)
#endif
#define STORE_FINAL(value, row, col)                                                                      \
    {                                                                                                     \
        const i64 block_ = g.o_inner > 0 ? (i64)(col) / g.o_inner : 0;                                    \
        const i64 at = g.o_off + batch * g.o_batch + (i64)(row) * g.o_row + block_ * g.o_outer +           \
                       ((i64)(col)-block_ * g.o_inner) * g.o_col;                                         \
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
#define STORE(value, row, col) out[((i64)GRP(2) * g.m + (i64)(row)) * g.n + (i64)(col)] = (value);
#else
#define OUT T_S
#define PARTS(z) const i64 batch = (z), first = 0, last = g.k;
#define STORE(value, row, col) STORE_FINAL(value, row, col)
#endif

#ifdef GEMM_TILED
// For GPUs: PER x PER outputs per work-item, groups of 16 x 16, through local memory in steps of 16. A work-item's
// outputs are 16 apart, so that neighbours read and write neighbours.
#define TILE (16 * PER)
#define STEP 16
KERNEL WG_HINT2(16, 16)
void gemm_tiled(GLOBAL const TA_S *a, GLOBAL const TB_S *b, EPILOGUE_PARAMS GLOBAL OUT *out, const Gemm g, const A alpha,
                const A beta) {
    LOCAL A ta[STEP][TILE + 1];
    LOCAL A tb[STEP][TILE + 1];
    const u32 tx = LID(0), ty = LID(1), lid = ty * 16 + tx;
    const i64 col0 = (i64)GRP(0) * TILE, row0 = (i64)GRP(1) * TILE;
    PARTS((i64)GRP(2))
    A acc[PER][PER];
    for (int i = 0; i < PER; i++)
        for (int j = 0; j < PER; j++) acc[i][j] = 0;
    const i64 abase = g.a_off + batch * g.a_batch, bbase = g.b_off + batch * g.b_batch;
    for (i64 k0 = first; k0 < last; k0 += STEP) {
        for (u32 e = lid; e < TILE * STEP; e += 256) {
            // The fast index follows the contiguous direction of each operand.
            u32 r, kk;
            if (g.a_col == 1) {
                kk = e % STEP;
                r = e / STEP;
            } else {
                r = e % TILE;
                kk = e / TILE;
            }
            i64 row = row0 + r, kx = k0 + kk;
            ta[kk][r] = row < g.m && kx < last ? (A)TA_LD(a, abase + row * g.a_row + kx * g.a_col) : (A)0;
            if (g.b_row == 1) {
                kk = e % STEP;
                r = e / STEP;
            } else {
                r = e % TILE;
                kk = e / TILE;
            }
            i64 col = col0 + r;
            kx = k0 + kk;
            tb[kk][r] = col < g.n && kx < last ? (A)TB_LD(b, bbase + kx * g.b_row + col * g.b_col) : (A)0;
        }
        BARRIER();
        for (int kk = 0; kk < STEP; kk++) {
            A x[PER], y[PER];
            for (int i = 0; i < PER; i++) x[i] = ta[kk][ty + 16 * i];
            for (int j = 0; j < PER; j++) y[j] = tb[kk][tx + 16 * j];
            for (int i = 0; i < PER; i++)
                for (int j = 0; j < PER; j++) acc[i][j] = FMA(x[i], y[j], acc[i][j]);
        }
        BARRIER();
    }
    for (int i = 0; i < PER; i++)
        for (int j = 0; j < PER; j++) {
            const i64 row = row0 + ty + 16 * i, col = col0 + tx + 16 * j;
            if (row < g.m && col < g.n) STORE(acc[i][j], row, col)
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
KERNEL MIN_VECTOR void gemm_packed(GLOBAL const A *pa, GLOBAL const A *pb, EPILOGUE_PARAMS GLOBAL OUT *out, const Gemm g,
                                   const A alpha, const A beta) {
#else
KERNEL MIN_VECTOR void gemm_stream(GLOBAL const A *pa, GLOBAL const A *pb, EPILOGUE_PARAMS GLOBAL OUT *out, const Gemm g,
                                   const A alpha, const A beta, const i64 b_limit) {
#endif
    PARTS((i64)GID(2))
    const i64 ip = (i64)GID(0), jp = (i64)GID(1), row0 = ip * MR, col0 = jp * (NV * VL);
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
