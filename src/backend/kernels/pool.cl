// Pooling over up to three dimensions (fewer are padded with ones in front). Macros: T, A.
typedef struct {
    i64 lead0, lead1;
    i64 in_off, in_st[5];
    i64 out_off, out_st[5];
    i64 idx_off, idx_st[5];
    i64 divisor;
    i32 in[3], out[3], ker[3], stride[3], pad[3], dil[3];
} Pool;

// Declares the coordinates of linear index `i` over lead0 x lead1 x s[0] x s[1] x s[2].
#define COORDS(i, s)                                                            \
    const i64 p2_ = (i) / s[2], p1_ = p2_ / s[1], p0_ = p1_ / s[0];             \
    const i32 c2 = (i32)((i) - p2_ * s[2]), c1 = (i32)(p2_ - p1_ * s[1]);       \
    const i32 c0 = (i32)(p1_ - p0_ * s[0]);                                     \
    const i64 l0 = p0_ / g.lead1, l1 = p0_ - l0 * g.lead1;
#define TOTAL(s) (g.lead0 * g.lead1 * s[0] * s[1] * s[2])

#ifdef MAX_FORWARD
KERNEL void max_pool(GLOBAL const T_S *in, GLOBAL T_S *out, GLOBAL i64 *idx, const Pool g) {
    const i64 i = (i64)GID(0);
    if (i >= TOTAL(g.out)) return;
    COORDS(i, g.out)
    const i64 base = g.in_off + l0 * g.in_st[0] + l1 * g.in_st[1];
    const i32 s0 = c0 * g.stride[0] - g.pad[0], s1 = c1 * g.stride[1] - g.pad[1], s2 = c2 * g.stride[2] - g.pad[2];
    A best = 0;
    i64 at = -1;
    for (i32 k0 = 0; k0 < g.ker[0]; k0++) {
        const i32 x0 = s0 + k0 * g.dil[0];
        if (x0 < 0 || x0 >= g.in[0]) continue;
        for (i32 k1 = 0; k1 < g.ker[1]; k1++) {
            const i32 x1 = s1 + k1 * g.dil[1];
            if (x1 < 0 || x1 >= g.in[1]) continue;
            for (i32 k2 = 0; k2 < g.ker[2]; k2++) {
                const i32 x2 = s2 + k2 * g.dil[2];
                if (x2 < 0 || x2 >= g.in[2]) continue;
                const A v = (A)T_LD(in, base + x0 * g.in_st[2] + x1 * g.in_st[3] + x2 * g.in_st[4]);
                if (at < 0 || v > best || v != v) {
                    best = v;
                    at = ((i64)x0 * g.in[1] + x1) * g.in[2] + x2;
                }
            }
        }
    }
    T_ST(out, g.out_off + l0 * g.out_st[0] + l1 * g.out_st[1] + c0 * g.out_st[2] + c1 * g.out_st[3] + c2 * g.out_st[4],
         (T)best);
    idx[g.idx_off + l0 * g.idx_st[0] + l1 * g.idx_st[1] + c0 * g.idx_st[2] + c1 * g.idx_st[3] + c2 * g.idx_st[4]] = at;
}
#endif

// Backward kernels gather: an input element looks at the windows that contain it. Windows o with
// o * stride - pad <= x <= o * stride - pad + (ker - 1) * dil.
#define WINDOWS(d, x)                                                                       \
    const i32 span##d = (g.ker[d] - 1) * g.dil[d], hi##d##_ = (x) + g.pad[d];               \
    const i32 first##d = hi##d##_ - span##d <= 0 ? 0 : (hi##d##_ - span##d + g.stride[d] - 1) / g.stride[d]; \
    const i32 last##d = hi##d##_ / g.stride[d] < g.out[d] ? hi##d##_ / g.stride[d] : g.out[d] - 1;

#ifdef MAX_BACKWARD
KERNEL void max_pool_backward(GLOBAL const T_S *grad, GLOBAL const i64 *idx, GLOBAL T_S *gin, const Pool g) {
    const i64 i = (i64)GID(0);
    if (i >= TOTAL(g.in)) return;
    COORDS(i, g.in)
    WINDOWS(0, c0)
    WINDOWS(1, c1)
    WINDOWS(2, c2)
    const i64 me = ((i64)c0 * g.in[1] + c1) * g.in[2] + c2;
    A sum = 0;
    for (i32 o0 = first0; o0 <= last0; o0++)
        for (i32 o1 = first1; o1 <= last1; o1++)
            for (i32 o2 = first2; o2 <= last2; o2++) {
                const i64 at = g.idx_off + l0 * g.idx_st[0] + l1 * g.idx_st[1] + o0 * g.idx_st[2] + o1 * g.idx_st[3] +
                               o2 * g.idx_st[4];
                if (idx[at] == me)
                    sum = sum + (A)T_LD(grad, g.out_off + l0 * g.out_st[0] + l1 * g.out_st[1] + o0 * g.out_st[2] +
                                                  o1 * g.out_st[3] + o2 * g.out_st[4]);
            }
    T_ST(gin, g.in_off + l0 * g.in_st[0] + l1 * g.in_st[1] + c0 * g.in_st[2] + c1 * g.in_st[3] + c2 * g.in_st[4], (T)sum);
}
#endif

// What window o of dimension d is divided by, and its part inside the input.
#define EXTENT(d, o)                                                                                 \
    const i32 b##d##_ = (o) * g.stride[d] - g.pad[d];                                                \
    const i32 e##d##_ = b##d##_ + g.ker[d] < g.in[d] + g.pad[d] ? b##d##_ + g.ker[d] : g.in[d] + g.pad[d]; \
    const i32 from##d = b##d##_ > 0 ? b##d##_ : 0, to##d = e##d##_ < g.in[d] ? e##d##_ : g.in[d];    \
    const i32 padded##d = e##d##_ - b##d##_;
// divisor: > 0 given, 0 the padded window's size, -1 the number of elements inside.
#define DIVISOR                                                                                       \
    (g.divisor > 0 ? (A)g.divisor                                                                     \
                   : g.divisor == 0 ? (A)((i64)padded0 * padded1 * padded2)                           \
                                    : (A)((i64)(to0 - from0) * (to1 - from1) * (to2 - from2)))

#ifdef AVG_FORWARD
KERNEL void avg_pool(GLOBAL const T_S *in, GLOBAL T_S *out, const Pool g) {
    const i64 i = (i64)GID(0);
    if (i >= TOTAL(g.out)) return;
    COORDS(i, g.out)
    EXTENT(0, c0)
    EXTENT(1, c1)
    EXTENT(2, c2)
    const i64 base = g.in_off + l0 * g.in_st[0] + l1 * g.in_st[1];
    A sum = 0;
    for (i32 x0 = from0; x0 < to0; x0++)
        for (i32 x1 = from1; x1 < to1; x1++)
            for (i32 x2 = from2; x2 < to2; x2++)
                sum = sum + (A)T_LD(in, base + x0 * g.in_st[2] + x1 * g.in_st[3] + x2 * g.in_st[4]);
    T_ST(out, g.out_off + l0 * g.out_st[0] + l1 * g.out_st[1] + c0 * g.out_st[2] + c1 * g.out_st[3] + c2 * g.out_st[4],
         (T)(sum / DIVISOR));
}
#endif

#ifdef AVG_BACKWARD
KERNEL void avg_pool_backward(GLOBAL const T_S *grad, GLOBAL T_S *gin, const Pool g) {
    const i64 i = (i64)GID(0);
    if (i >= TOTAL(g.in)) return;
    COORDS(i, g.in)
    WINDOWS(0, c0)
    WINDOWS(1, c1)
    WINDOWS(2, c2)
    const i64 base = g.out_off + l0 * g.out_st[0] + l1 * g.out_st[1];
    A sum = 0;
    for (i32 o0 = first0; o0 <= last0; o0++)
        for (i32 o1 = first1; o1 <= last1; o1++)
            for (i32 o2 = first2; o2 <= last2; o2++) {
                EXTENT(0, o0)
                EXTENT(1, o1)
                EXTENT(2, o2)
                sum = sum + (A)T_LD(grad, base + o0 * g.out_st[2] + o1 * g.out_st[3] + o2 * g.out_st[4]) / DIVISOR;
            }
    T_ST(gin, g.in_off + l0 * g.in_st[0] + l1 * g.in_st[1] + c0 * g.in_st[2] + c1 * g.in_st[3] + c2 * g.in_st[4], (T)sum);
}
#endif

// For CPUs: windows that tile the input (stride K0 x K1 x K2 is the window, no padding, all windows whole), rows of unit
// stride. One work-item makes one plane.
#if defined(TILES_FORWARD) || defined(TILES_BACKWARD) || defined(VL)
#define PLANE(s)                                                                  \
    const i64 plane_ = (i64)GID(0), rest_ = plane_ / s[0], c0 = plane_ - rest_ * s[0]; \
    const i64 l0 = rest_ / g.lead1, l1 = rest_ - l0 * g.lead1;                    \
    const i64 in = g.in_off + l0 * g.in_st[0] + l1 * g.in_st[1];                  \
    const i64 out = g.out_off + l0 * g.out_st[0] + l1 * g.out_st[1];              \
    const i64 at = g.idx_off + l0 * g.idx_st[0] + l1 * g.idx_st[1];
#endif

#ifdef TILES_FORWARD
KERNEL void max_pool_tiles(GLOBAL const T_S *x, GLOBAL T_S *y, GLOBAL i64 *idx, const Pool g) {
    PLANE(g.out)
    for (i32 c1 = 0; c1 < g.out[1]; c1++) {
        const i64 to = out + c0 * g.out_st[2] + c1 * g.out_st[3], note = at + c0 * g.idx_st[2] + c1 * g.idx_st[3];
        const i64 row0 = (c0 * K0 * g.in[1] + (i64)c1 * K1) * g.in[2];
        INDEPENDENT
        for (i32 c2 = 0; c2 < g.out[2]; c2++) {
            A best = 0;
            i32 where = 0;
            for (i32 k0 = 0; k0 < K0; k0++)
                for (i32 k1 = 0; k1 < K1; k1++)
                    for (i32 k2 = 0; k2 < K2; k2++) {
                        const A v = (A)T_LD(x, in + (c0 * K0 + k0) * g.in_st[2] + ((i64)c1 * K1 + k1) * g.in_st[3] + c2 * K2 + k2);
                        const int better = (k0 == 0 && k1 == 0 && k2 == 0) || v > best || v != v;
                        best = better ? v : best;
                        where = better ? (k0 * g.in[1] + k1) * g.in[2] + k2 : where;
                    }
            T_ST(y, to + c2, (T)best);
            idx[note + c2] = row0 + where + c2 * K2;
        }
    }
}
#endif

#ifdef TILES_BACKWARD
KERNEL void max_pool_tiles_backward(GLOBAL const T_S *grad, GLOBAL const i64 *idx, GLOBAL T_S *gin, const Pool g) {
    PLANE(g.in)
    const i64 o0 = c0 / K0;
    for (i32 c1 = 0; c1 < g.in[1]; c1++) {
        const i32 o1 = c1 / K1;
        const i64 to = in + c0 * g.in_st[2] + c1 * g.in_st[3];
        const i64 me = (c0 * g.in[1] + c1) * g.in[2];
        const i32 covered = o0 < g.out[0] && o1 < g.out[1] ? g.out[2] : 0;
        const i64 from = out + o0 * g.out_st[2] + o1 * g.out_st[3], note = at + o0 * g.idx_st[2] + o1 * g.idx_st[3];
        INDEPENDENT
        for (i32 o2 = 0; o2 < covered; o2++)
            for (i32 k2 = 0; k2 < K2; k2++) {
                const A v = idx[note + o2] == me + o2 * K2 + k2 ? (A)T_LD(grad, from + o2) : (A)0;
                T_ST(gin, to + o2 * K2 + k2, (T)v);
            }
        for (i32 c2 = covered * K2; c2 < g.in[2]; c2++) T_ST(gin, to + c2, (T)0);
    }
}
#endif
