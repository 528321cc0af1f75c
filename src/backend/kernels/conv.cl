// Convolution over up to three dimensions (fewer are padded with ones in front). Macros: T, A.
//
// Three products of matrices, whose second operand is never stored by the caller: `columns` writes it, either as
// panels of R columns for the packed product or (R absent) row by row for the tiled one.
//   forward:         out[o, (n, p)]  = weight[o, (c, k)] @ x[(c, k), (n, p)]
//   backward input:  gx[c, (n, i)]   = weight[c, (o, k)] @ grad[(o, k), (n, i)]
//   backward weight: gw[o, (c, k)]   = grad[o, (n, p)]   @ x[(n, p), (c, k)]
// Columns hold zeros in place of padding, and zero times infinity is NaN: the direct kernels, which leave padding out,
// then sum again what is NaN (`mend`), each sum until it is NaN once more.
typedef struct {
    i64 n, groups, cg, og;
    i64 x_off, x_st[5];
    i64 w_off, w_st[5];
    i64 y_off, y_st[5];
    // columns: the first image, and how many images the matrix spans.
    i64 n0, images;
    i32 in[3], out[3], ker[3], stride[3], pad[3], dil[3];
} Conv;

#define IS_NAN(v) ((v) != (v))

#define SPLIT3(i, s, q, a0, a1, a2)                                  \
    const i64 q##2_ = (i) / s[2], q##1_ = q##2_ / s[1];              \
    const i64 q = q##1_ / s[0];                                      \
    const i32 a2 = (i32)((i) - q##2_ * s[2]), a1 = (i32)(q##2_ - q##1_ * s[1]), a0 = (i32)(q##1_ - q * s[0]);

#ifdef COLUMNS
// One side of an entry is a position (image and place in the output or input), the other a tap (channel and place in
// the kernel). POSITION_ROWS: the R columns of a panel are positions and k counts taps; otherwise the reverse.
// BACK: taps are looked up backwards (gradient of the input).
KERNEL void columns(GLOBAL const T_S *x, GLOBAL A *out, const Conv g) {
#ifdef BACK
    const i64 channels = g.og;
    const i64 plane = (i64)g.in[0] * g.in[1] * g.in[2];
#else
    const i64 channels = g.cg;
    const i64 plane = (i64)g.out[0] * g.out[1] * g.out[2];
#endif
    const i64 taps = channels * g.ker[0] * g.ker[1] * g.ker[2], positions = g.images * plane;
#ifdef POSITION_ROWS
    const i64 rows = positions, depth = taps;
#else
    const i64 rows = taps, depth = positions;
#endif
    const i64 group = (i64)GID(2);
#ifdef R
    const i64 panel = (i64)GID(0), panels = (rows + R - 1) / R, row0 = panel * R;
    GLOBAL A *o = out + (group * panels + panel) * depth * R;
    const i64 jump = R;
    const int have = rows - row0 < R ? (int)(rows - row0) : R;
#define WIDTH R
#else
    const i64 row0 = (i64)GID(0);
    if (row0 >= rows) return;
    GLOBAL A *o = out + group * depth * rows + row0;
    const i64 jump = rows;
    const int have = 1;
#define WIDTH 1
#endif
    // Each row's share of the address and of the coordinates.
    i64 rbase[WIDTH];
    i32 r0[WIDTH], r1[WIDTH], r2[WIDTH];
#ifdef BACK
    const i64 base = g.y_off + group * g.og * g.y_st[1];
    const i64 st_n = g.y_st[0], st_c = g.y_st[1], st0 = g.y_st[2], st1 = g.y_st[3], st2 = g.y_st[4];
    const i32 lim0 = g.out[0], lim1 = g.out[1], lim2 = g.out[2];
#else
    const i64 base = g.x_off + group * g.cg * g.x_st[1];
    const i64 st_n = g.x_st[0], st_c = g.x_st[1], st0 = g.x_st[2], st1 = g.x_st[3], st2 = g.x_st[4];
    const i32 lim0 = g.in[0], lim1 = g.in[1], lim2 = g.in[2];
#endif
// A position's and a tap's coordinates; their sum (BACK: difference) is where to read.
#ifdef BACK
#define POSITION(i, b, a0, a1, a2)                        \
    {                                                     \
        SPLIT3(i, g.in, img_, c0_, c1_, c2_)              \
        b = (g.n0 + img_) * st_n;                         \
        a0 = c0_ + g.pad[0]; a1 = c1_ + g.pad[1]; a2 = c2_ + g.pad[2]; \
    }
#else
#define POSITION(i, b, a0, a1, a2)                        \
    {                                                     \
        SPLIT3(i, g.out, img_, c0_, c1_, c2_)             \
        b = (g.n0 + img_) * st_n;                         \
        a0 = c0_ * g.stride[0] - g.pad[0]; a1 = c1_ * g.stride[1] - g.pad[1]; a2 = c2_ * g.stride[2] - g.pad[2]; \
    }
#endif
#define TAP(i, b, a0, a1, a2)                             \
    {                                                     \
        SPLIT3(i, g.ker, chan_, c0_, c1_, c2_)            \
        b = chan_ * st_c;                                 \
        a0 = c0_ * g.dil[0]; a1 = c1_ * g.dil[1]; a2 = c2_ * g.dil[2]; \
    }
    for (int r = 0; r < have; r++) {
#ifdef POSITION_ROWS
        POSITION(row0 + r, rbase[r], r0[r], r1[r], r2[r])
#else
        TAP(row0 + r, rbase[r], r0[r], r1[r], r2[r])
#endif
    }
    const i64 step = (depth + (i64)GSIZE(1) - 1) / (i64)GSIZE(1);
    const i64 first = (i64)GID(1) * step, last = first + step < depth ? first + step : depth;
    for (i64 k = first; k < last; k++) {
        i64 kb;
        i32 k0, k1, k2;
#ifdef POSITION_ROWS
        TAP(k, kb, k0, k1, k2)
#else
        POSITION(k, kb, k0, k1, k2)
#endif
        for (int r = 0; r < have; r++) {
#ifdef BACK
            i32 a0 = r0[r] - k0, a1 = r1[r] - k1, a2 = r2[r] - k2;
            int ok = a0 >= 0 && a1 >= 0 && a2 >= 0;
#ifndef UNIT_STRIDE
            ok = ok && a0 % g.stride[0] == 0 && a1 % g.stride[1] == 0 && a2 % g.stride[2] == 0;
            a0 = a0 / g.stride[0];
            a1 = a1 / g.stride[1];
            a2 = a2 / g.stride[2];
#endif
            ok = ok && a0 < lim0 && a1 < lim1 && a2 < lim2;
#else
            const i32 a0 = r0[r] + k0, a1 = r1[r] + k1, a2 = r2[r] + k2;
            const int ok = a0 >= 0 && a0 < lim0 && a1 >= 0 && a1 < lim1 && a2 >= 0 && a2 < lim2;
#endif
            o[k * jump + r] = ok ? (A)T_LD(x, base + rbase[r] + kb + a0 * st0 + a1 * st1 + a2 * st2) : (A)0;
        }
        for (int r = have; r < WIDTH; r++) o[k * jump + r] = 0;
    }
}
#endif

#ifdef DIRECT_FORWARD
// One work-item per output; for depthwise and other thin convolutions.
KERNEL void conv_forward(GLOBAL const T_S *x, GLOBAL const T_S *w, GLOBAL const T_S *bias, GLOBAL T_S *y, const Conv g,
                         const i64 b_off, const i64 b_st, const i32 mend) {
    const i64 i = (i64)GID(0);
    if (i >= g.n * g.groups * g.og * g.out[0] * g.out[1] * g.out[2]) return;
    SPLIT3(i, g.out, plane, o0, o1, o2)
    const i64 n = plane / (g.groups * g.og), o = plane - n * (g.groups * g.og), group = o / g.og;
    const i64 place = g.y_off + n * g.y_st[0] + o * g.y_st[1] + o0 * g.y_st[2] + o1 * g.y_st[3] + o2 * g.y_st[4];
    if (mend && !IS_NAN((A)T_LD(y, place))) return;
    const i32 s0 = o0 * g.stride[0] - g.pad[0], s1 = o1 * g.stride[1] - g.pad[1], s2 = o2 * g.stride[2] - g.pad[2];
    A sum = 0;
    for (i64 c = 0; c < g.cg && !(mend && IS_NAN(sum)); c++) {
        const i64 xb = g.x_off + n * g.x_st[0] + (group * g.cg + c) * g.x_st[1], wb = g.w_off + o * g.w_st[0] + c * g.w_st[1];
        for (i32 k0 = 0; k0 < g.ker[0]; k0++) {
            const i32 x0 = s0 + k0 * g.dil[0];
            if (x0 < 0 || x0 >= g.in[0]) continue;
            for (i32 k1 = 0; k1 < g.ker[1]; k1++) {
                const i32 x1 = s1 + k1 * g.dil[1];
                if (x1 < 0 || x1 >= g.in[1]) continue;
                for (i32 k2 = 0; k2 < g.ker[2]; k2++) {
                    const i32 x2 = s2 + k2 * g.dil[2];
                    if (x2 < 0 || x2 >= g.in[2]) continue;
                    sum = sum + (A)T_LD(x, xb + x0 * g.x_st[2] + x1 * g.x_st[3] + x2 * g.x_st[4]) *
                                    (A)T_LD(w, wb + k0 * g.w_st[2] + k1 * g.w_st[3] + k2 * g.w_st[4]);
                }
            }
        }
    }
#ifdef BIAS
    sum = sum + (A)T_LD(bias, b_off + o * b_st);
#endif
    T_ST(y, place, (T)sum);
}
#endif

#ifdef DIRECT_INPUT
// One work-item per input element gathers from the outputs that it reached.
KERNEL void conv_backward_input(GLOBAL const T_S *y, GLOBAL const T_S *w, GLOBAL T_S *x, const Conv g, const i32 mend) {
    const i64 i = (i64)GID(0);
    if (i >= g.n * g.groups * g.cg * g.in[0] * g.in[1] * g.in[2]) return;
    SPLIT3(i, g.in, plane, i0, i1, i2)
    const i64 n = plane / (g.groups * g.cg), ch = plane - n * (g.groups * g.cg), group = ch / g.cg, c = ch - group * g.cg;
    const i64 place = g.x_off + n * g.x_st[0] + ch * g.x_st[1] + i0 * g.x_st[2] + i1 * g.x_st[3] + i2 * g.x_st[4];
    if (mend && !IS_NAN((A)T_LD(x, place))) return;
    A sum = 0;
    for (i64 oo = 0; oo < g.og && !(mend && IS_NAN(sum)); oo++) {
        const i64 o = group * g.og + oo;
        const i64 yb = g.y_off + n * g.y_st[0] + o * g.y_st[1], wb = g.w_off + o * g.w_st[0] + c * g.w_st[1];
        for (i32 k0 = 0; k0 < g.ker[0]; k0++) {
            const i32 t0 = i0 + g.pad[0] - k0 * g.dil[0];
            if (t0 < 0 || t0 % g.stride[0] != 0 || t0 / g.stride[0] >= g.out[0]) continue;
            for (i32 k1 = 0; k1 < g.ker[1]; k1++) {
                const i32 t1 = i1 + g.pad[1] - k1 * g.dil[1];
                if (t1 < 0 || t1 % g.stride[1] != 0 || t1 / g.stride[1] >= g.out[1]) continue;
                for (i32 k2 = 0; k2 < g.ker[2]; k2++) {
                    const i32 t2 = i2 + g.pad[2] - k2 * g.dil[2];
                    if (t2 < 0 || t2 % g.stride[2] != 0 || t2 / g.stride[2] >= g.out[2]) continue;
                    sum = sum + (A)T_LD(y, yb + t0 / g.stride[0] * g.y_st[2] + t1 / g.stride[1] * g.y_st[3] +
                                               t2 / g.stride[2] * g.y_st[4]) *
                                    (A)T_LD(w, wb + k0 * g.w_st[2] + k1 * g.w_st[3] + k2 * g.w_st[4]);
                }
            }
        }
    }
    T_ST(x, place, (T)sum);
}
#endif

#ifdef DIRECT_WEIGHT
// One work-item per weight element.
KERNEL void conv_backward_weight(GLOBAL const T_S *y, GLOBAL const T_S *x, GLOBAL T_S *w, const Conv g, const i32 mend) {
    const i64 i = (i64)GID(0);
    if (i >= g.groups * g.og * g.cg * g.ker[0] * g.ker[1] * g.ker[2]) return;
    SPLIT3(i, g.ker, plane, k0, k1, k2)
    const i64 o = plane / g.cg, c = plane - o * g.cg, group = o / g.og;
    const i64 place = g.w_off + o * g.w_st[0] + c * g.w_st[1] + k0 * g.w_st[2] + k1 * g.w_st[3] + k2 * g.w_st[4];
    if (mend && !IS_NAN((A)T_LD(w, place))) return;
    A sum = 0;
    for (i64 n = 0; n < g.n && !(mend && IS_NAN(sum)); n++) {
        const i64 yb = g.y_off + n * g.y_st[0] + o * g.y_st[1], xb = g.x_off + n * g.x_st[0] + (group * g.cg + c) * g.x_st[1];
        // The sum of one image first: long sums keep more digits.
        A part = 0;
        for (i32 o0 = 0; o0 < g.out[0]; o0++) {
            const i32 x0 = o0 * g.stride[0] - g.pad[0] + k0 * g.dil[0];
            if (x0 < 0 || x0 >= g.in[0]) continue;
            for (i32 o1 = 0; o1 < g.out[1]; o1++) {
                const i32 x1 = o1 * g.stride[1] - g.pad[1] + k1 * g.dil[1];
                if (x1 < 0 || x1 >= g.in[1]) continue;
                for (i32 o2 = 0; o2 < g.out[2]; o2++) {
                    const i32 x2 = o2 * g.stride[2] - g.pad[2] + k2 * g.dil[2];
                    if (x2 < 0 || x2 >= g.in[2]) continue;
                    part = part + (A)T_LD(y, yb + o0 * g.y_st[2] + o1 * g.y_st[3] + o2 * g.y_st[4]) *
                                      (A)T_LD(x, xb + x0 * g.x_st[2] + x1 * g.x_st[3] + x2 * g.x_st[4]);
                }
            }
        }
        sum = sum + part;
    }
    T_ST(w, place, (T)sum);
}
#endif
