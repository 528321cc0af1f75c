// Convolution for CPUs: rows of the output in vector registers, no columns in memory. OpenCL C only. Macros: A (the
// element type), BASE and IBASE (float and int, double and long), VL lanes per vector, STEP (stride along a row).
#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)
#define V PASTE(BASE, VL)
#define IV PASTE(IBASE, VL)
#define VLOAD PASTE(vload, VL)
#define VSTORE PASTE(vstore, VL)
#if VL == 16
#define LANE_NUMBERS (IV)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#elif VL == 8
#define LANE_NUMBERS (IV)(0, 1, 2, 3, 4, 5, 6, 7)
#elif VL == 4
#define LANE_NUMBERS (IV)(0, 1, 2, 3)
#else
#define LANE_NUMBERS (IV)(0, 1)
#endif
// A convolution or, with the roles of the channels exchanged and the taps reversed, the gradient of its input.
typedef struct {
    i64 groups, ic, oc;  // channels per group
    i64 x_off, x_st[5];
    i64 w_off, w_group, w_o, w_c, w_k[3];
    i64 y_off, y_st[5];
    i64 b_off, b_st;
    i64 limit;  // elements of x that may be read
    i64 n, parts, part_n;
    i32 in[3], out[3], ker[3], stride[3], pad[3], dil[3];
} Rows;

// Lanes outside of a row are zeros, and zero times infinity is NaN: what is NaN at the end is summed again over the
// products that there are.
#define IS_NAN(v) ((v) != (v))

// Lanes at, at + step ... of the row that starts at x[row] and has `width` elements; zeros outside.
INLINE V lanes_of(GLOBAL const A *x, i64 row, i32 at, i32 width, i64 limit, const int step) {
    if (step == 1 && at >= 0 && at + VL <= width) return VLOAD(0, x + row + at);
    const i64 p = row + at;
    if (step <= 2 && p >= 0 && p + step * VL <= limit) {
        // Neighbours of the row are read, then dropped.
        const IV lane = LANE_NUMBERS * (IV)(step) + (IV)(at);
        const V v = step == 1 ? VLOAD(0, x + p) : (V)(VLOAD(0, x + p).even, VLOAD(1, x + p).even);
        return select((V)0, v, lane >= (IV)0 && lane < (IV)(width));
    }
    A lanes[VL];
    for (int l = 0; l < VL; l++) {
        const i32 i = at + l * step;
        lanes[l] = i >= 0 && i < width ? x[row + i] : (A)0;
    }
    return VLOAD(0, lanes);
}

#ifdef ROWS_FORWARD
// The sum of one output of channel `wo`, from `sum` on.
INLINE A output_alone(GLOBAL const A *x, GLOBAL const A *wo, A sum, const i64 image, const i32 o0, const i32 o1, const i32 o2,
                      const Rows *g) {
    for (i64 c = 0; c < g->ic && !IS_NAN(sum); c++)
        for (i32 k0 = 0; k0 < g->ker[0]; k0++) {
            const i32 x0 = o0 * g->stride[0] - g->pad[0] + k0 * g->dil[0];
            if (x0 < 0 || x0 >= g->in[0]) continue;
            for (i32 k1 = 0; k1 < g->ker[1]; k1++) {
                const i32 x1 = o1 * g->stride[1] - g->pad[1] + k1 * g->dil[1];
                if (x1 < 0 || x1 >= g->in[1]) continue;
                for (i32 k2 = 0; k2 < g->ker[2]; k2++) {
                    const i32 x2 = o2 * STEP - g->pad[2] + k2 * g->dil[2];
                    if (x2 < 0 || x2 >= g->in[2]) continue;
                    sum = sum + x[image + c * g->x_st[1] + x0 * g->x_st[2] + x1 * g->x_st[3] + x2 * g->x_st[4]] *
                                    wo[c * g->w_c + k0 * g->w_k[0] + k1 * g->w_k[1] + k2 * g->w_k[2]];
                }
            }
        }
    return sum;
}

// One work-item makes OB channels of NV vectors of one row.
KERNEL MIN_VECTOR void conv_rows(GLOBAL const A *x, GLOBAL const A *w, GLOBAL const A *bias, GLOBAL A *y, const Rows g) {
    const i64 segments = (g.out[2] + NV * VL - 1) / (NV * VL);
    const i64 block = (i64)GID(0) / segments, o_first = block * OB;
    const i32 col0 = (i32)((i64)GID(0) - block * segments) * (NV * VL);
    const i32 o0 = (i32)GID(1) / g.out[1], o1 = (i32)GID(1) - o0 * g.out[1];
    const i64 n = (i64)GID(2) / g.groups, group = (i64)GID(2) - n * g.groups;
    GLOBAL const A *wo[OB];
    V acc[OB][NV];
#pragma unroll
    for (int i = 0; i < OB; i++) {
        // Channels past the end repeat the last one and are not stored.
        const i64 o = o_first + i < g.oc ? o_first + i : g.oc - 1;
        wo[i] = w + g.w_off + group * g.w_group + o * g.w_o;
#ifdef BIAS
        const V start = (V)(bias[g.b_off + (group * g.oc + o) * g.b_st]);
#else
        const V start = (V)0;
#endif
#pragma unroll
        for (int j = 0; j < NV; j++) acc[i][j] = start;
    }
    for (i64 c = 0; c < g.ic; c++) {
        const i64 plane = g.x_off + n * g.x_st[0] + (group * g.ic + c) * g.x_st[1];
        for (i32 k0 = 0; k0 < g.ker[0]; k0++) {
            const i32 x0 = o0 * g.stride[0] - g.pad[0] + k0 * g.dil[0];
            if (x0 < 0 || x0 >= g.in[0]) continue;
            for (i32 k1 = 0; k1 < g.ker[1]; k1++) {
                const i32 x1 = o1 * g.stride[1] - g.pad[1] + k1 * g.dil[1];
                if (x1 < 0 || x1 >= g.in[1]) continue;
                const i64 row = plane + x0 * g.x_st[2] + x1 * g.x_st[3], tap = c * g.w_c + k0 * g.w_k[0] + k1 * g.w_k[1];
                for (i32 k2 = 0; k2 < g.ker[2]; k2++) {
                    const i32 at = col0 * STEP - g.pad[2] + k2 * g.dil[2];
                    V xv[NV];
#pragma unroll
                    for (int j = 0; j < NV; j++) xv[j] = lanes_of(x, row, at + j * VL * STEP, g.in[2], g.limit, STEP);
#pragma unroll
                    for (int i = 0; i < OB; i++) {
                        const V wv = (V)(wo[i][tap + k2 * g.w_k[2]]);
#pragma unroll
                        for (int j = 0; j < NV; j++) acc[i][j] = fma(wv, xv[j], acc[i][j]);
                    }
                }
            }
        }
    }
    const i64 place = g.y_off + n * g.y_st[0] + o0 * g.y_st[2] + o1 * g.y_st[3];
    const int left = g.out[2] - col0, have = left < NV * VL ? left : NV * VL;
#pragma unroll
    for (int i = 0; i < OB; i++) {
        if (o_first + i >= g.oc) continue;
        GLOBAL A *o = y + place + (group * g.oc + o_first + i) * g.y_st[1] + (i64)col0 * g.y_st[4];
        if (have == NV * VL && g.y_st[4] == 1) {
#pragma unroll
            for (int j = 0; j < NV; j++) VSTORE(acc[i][j], j, o);
        } else {
            A spill[NV * VL];
#pragma unroll
            for (int j = 0; j < NV; j++) VSTORE(acc[i][j], j, spill);
            for (int l = 0; l < have; l++) o[l * g.y_st[4]] = spill[l];
        }
    }
    IV nan = IS_NAN(acc[0][0]);
#pragma unroll
    for (int i = 0; i < OB; i++)
#pragma unroll
        for (int j = 0; j < NV; j++) nan |= IS_NAN(acc[i][j]);
    if (!any(nan)) return;
    const i64 image = g.x_off + n * g.x_st[0] + group * g.ic * g.x_st[1];
#pragma unroll 1
    for (int i = 0; i < OB && o_first + i < g.oc; i++) {
        const i64 o = group * g.oc + o_first + i;
        GLOBAL A *at = y + place + o * g.y_st[1] + (i64)col0 * g.y_st[4];
        GLOBAL const A *weight = w + g.w_off + group * g.w_group + (o_first + i) * g.w_o;
#ifdef BIAS
        const A start = bias[g.b_off + o * g.b_st];
#else
        const A start = 0;
#endif
        for (int l = 0; l < have; l++)
            if (IS_NAN(at[l * g.y_st[4]])) at[l * g.y_st[4]] = output_alone(x, weight, start, image, o0, o1, col0 + l, &g);
    }
}
#endif

#ifdef ROWS_WEIGHT
// The gradient of one weight over images first..last.
INLINE A weight_alone(GLOBAL const A *y, GLOBAL const A *x, const i64 first, const i64 last, const i32 k0, const i32 k1,
                      const i32 k2, const Rows *g) {
    A sum = 0;
    for (i64 n = first; n < last && !IS_NAN(sum); n++)
        for (i32 o0 = 0; o0 < g->out[0]; o0++) {
            const i32 x0 = o0 * g->stride[0] - g->pad[0] + k0 * g->dil[0];
            if (x0 < 0 || x0 >= g->in[0]) continue;
            for (i32 o1 = 0; o1 < g->out[1]; o1++) {
                const i32 x1 = o1 * g->stride[1] - g->pad[1] + k1 * g->dil[1];
                if (x1 < 0 || x1 >= g->in[1]) continue;
                A part = 0;
                for (i32 o2 = 0; o2 < g->out[2]; o2++) {
                    const i32 x2 = o2 * STEP - g->pad[2] + k2 * g->dil[2];
                    if (x2 < 0 || x2 >= g->in[2]) continue;
                    part = part + y[n * g->y_st[0] + o0 * g->y_st[2] + o1 * g->y_st[3] + o2 * g->y_st[4]] *
                                      x[n * g->x_st[0] + x0 * g->x_st[2] + x1 * g->x_st[3] + x2 * g->x_st[4]];
                }
                sum = sum + part;
            }
        }
    return sum;
}

// One work-item makes the gradients of OB channels of one row of K2 taps, over a part of the images; y is the gradient
// of the output (unit stride along rows). Writes sums per part, [part, weight].
KERNEL MIN_VECTOR void conv_weight_rows(GLOBAL const A *y, GLOBAL const A *x, GLOBAL A *sums, const Rows g,
                                        const i64 y_limit) {
    const i64 taps = (i64)g.ker[0] * g.ker[1], blocks = (g.oc + OB - 1) / OB;
    const i64 c = (i64)GID(0) / taps;
    const i32 tap = (i32)((i64)GID(0) - c * taps), k0 = tap / g.ker[1], k1 = tap - k0 * g.ker[1];
    const i64 group = (i64)GID(1) / blocks, o_first = ((i64)GID(1) - group * blocks) * OB;
    const i64 part = (i64)GID(2), first = part * g.part_n, last = first + g.part_n < g.n ? first + g.part_n : g.n;
    V acc[OB][K2];
#pragma unroll
    for (int i = 0; i < OB; i++)
#pragma unroll
        for (int k = 0; k < K2; k++) acc[i][k] = (V)0;
    for (i64 n = first; n < last; n++) {
        const i64 plane = g.x_off + n * g.x_st[0] + (group * g.ic + c) * g.x_st[1];
        for (i32 o0 = 0; o0 < g.out[0]; o0++) {
            const i32 x0 = o0 * g.stride[0] - g.pad[0] + k0 * g.dil[0];
            if (x0 < 0 || x0 >= g.in[0]) continue;
            for (i32 o1 = 0; o1 < g.out[1]; o1++) {
                const i32 x1 = o1 * g.stride[1] - g.pad[1] + k1 * g.dil[1];
                if (x1 < 0 || x1 >= g.in[1]) continue;
                const i64 row = plane + x0 * g.x_st[2] + x1 * g.x_st[3];
                const i64 yrow = g.y_off + n * g.y_st[0] + o0 * g.y_st[2] + o1 * g.y_st[3];
                for (i32 col = 0; col < g.out[2]; col += VL) {
                    V xv[K2];
#pragma unroll
                    for (int k = 0; k < K2; k++)
                        xv[k] = lanes_of(x, row, col * STEP - g.pad[2] + k * g.dil[2], g.in[2], g.limit, STEP);
#pragma unroll
                    for (int i = 0; i < OB; i++) {
                        const i64 o = o_first + i < g.oc ? o_first + i : g.oc - 1;
                        const V gv = lanes_of(y, yrow + (group * g.oc + o) * g.y_st[1], col, g.out[2], y_limit, 1);
#pragma unroll
                        for (int k = 0; k < K2; k++) acc[i][k] = fma(gv, xv[k], acc[i][k]);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < OB; i++) {
        if (o_first + i >= g.oc) continue;
        GLOBAL A *o = sums + (((part * g.groups + group) * g.oc + o_first + i) * g.ic + c) * taps * K2 + (i64)tap * K2;
#pragma unroll
        for (int k = 0; k < K2; k++) {
            A lanes[VL];
            VSTORE(acc[i][k], 0, lanes);
            for (int gap = VL / 2; gap > 0; gap >>= 1)
                for (int l = 0; l < gap; l++) lanes[l] = lanes[l] + lanes[l + gap];
            o[k] = lanes[0];
        }
    }
    // One copy of the rare sum: it is long, and the loops above are unrolled.
#pragma unroll 1
    for (i64 t = 0; t < OB * K2; t++) {
        const i64 i = t / K2, k = t - i * K2, o = group * g.oc + o_first + i;
        if (o_first + i >= g.oc) return;
        GLOBAL A *at = sums + (((part * g.groups + group) * g.oc + o_first + i) * g.ic + c) * taps * K2 + (i64)tap * K2 + k;
        if (IS_NAN(*at))
            *at = weight_alone(y + g.y_off + o * g.y_st[1], x + g.x_off + (group * g.ic + c) * g.x_st[1], first, last, k0, k1,
                               (i32)k, &g);
    }
}
#endif

#ifdef ROWS_FINISH
// Adds up the parts of the weight's gradient, in order.
KERNEL void conv_weight_finish(GLOBAL const A *sums, GLOBAL A *w, const Rows g) {
    const i64 i = (i64)GID(0), taps = (i64)g.ker[0] * g.ker[1] * g.ker[2], total = g.groups * g.oc * g.ic * taps;
    if (i >= total) return;
    const i64 plane = i / taps, tap = i - plane * taps, o = plane / g.ic, c = plane - o * g.ic;
    const i64 rest = tap / g.ker[2], k2 = tap - rest * g.ker[2], k0 = rest / g.ker[1], k1 = rest - k0 * g.ker[1];
    A sum = 0;
    for (i64 p = 0; p < g.parts; p++) sum = sum + sums[p * total + i];
    w[g.w_off + o * g.w_o + c * g.w_c + k0 * g.w_k[0] + k1 * g.w_k[1] + k2 * g.w_k[2]] = sum;
}
#endif
