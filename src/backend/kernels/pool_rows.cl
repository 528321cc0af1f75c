// The tiles of pool.cl by vectors, for CPUs: float32, windows two wide, rows of at least VL outputs. OpenCL C only, after
// pool.cl. The last vector of a row overlaps the one before it.
#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)
#define V PASTE(float, VL)
#define IV PASTE(int, VL)
#define LV PASTE(long, VL)
#if VL == 8
#define TWICE_LANES (IV)(0, 2, 4, 6, 8, 10, 12, 14)
#else
#define TWICE_LANES (IV)(0, 2, 4, 6)
#endif
#define VLOAD PASTE(vload, VL)
#define VSTORE PASTE(vstore, VL)
#if VL == 8
#define V2 float16
#define VSTORE2 vstore16
#else
#define V2 float8
#define VSTORE2 vstore8
#endif

#if defined(ROWS_FORWARD)
KERNEL MIN_VECTOR void max_pool_rows(GLOBAL const float *x, GLOBAL float *y, GLOBAL i64 *idx, const Pool g) {
    PLANE(g.out)
    for (i32 c1 = 0; c1 < g.out[1]; c1++) {
        const i64 to = out + c0 * g.out_st[2] + c1 * g.out_st[3], note = at + c0 * g.idx_st[2] + c1 * g.idx_st[3];
        const i64 from = in + c0 * K0 * g.in_st[2] + (i64)c1 * K1 * g.in_st[3];
        const i32 row0 = (i32)((c0 * K0 * g.in[1] + (i64)c1 * K1) * g.in[2]);
        for (i32 c = 0; c < g.out[2]; c += VL) {
            const i32 c2 = c + VL <= g.out[2] ? c : g.out[2] - VL;
            V best = (V)(-INFINITY);
            IV where = (IV)(row0 + c2 * 2) + TWICE_LANES;
            const IV first = where;
#pragma unroll
            for (int k0 = 0; k0 < K0; k0++)
#pragma unroll
                for (int k1 = 0; k1 < K1; k1++) {
                    GLOBAL const float *row = x + from + k0 * g.in_st[2] + k1 * g.in_st[3] + c2 * 2;
                    const V a = VLOAD(0, row), b = VLOAD(1, row);
                    const V even = (V)(a.even, b.even), odd = (V)(a.odd, b.odd);
                    const IV step = (IV)((k0 * g.in[1] + k1) * g.in[2]);
                    const IV one = even > best || even != even;
                    best = select(best, even, one);
                    where = select(where, first + step, one);
                    const IV two = odd > best || odd != odd;
                    best = select(best, odd, two);
                    where = select(where, first + step + (IV)(1), two);
                }
            VSTORE(best, 0, y + to + c2);
            VSTORE(PASTE(convert_long, VL)(where), 0, idx + note + c2);
        }
    }
}
#endif

#if defined(ROWS_BACKWARD)
KERNEL MIN_VECTOR void max_pool_rows_backward(GLOBAL const float *grad, GLOBAL const i64 *idx, GLOBAL float *gin, const Pool g) {
    PLANE(g.in)
    const i64 o0 = c0 / K0;
    for (i32 c1 = 0; c1 < g.in[1]; c1++) {
        const i32 o1 = c1 / K1;
        const i64 to = in + c0 * g.in_st[2] + c1 * g.in_st[3];
        const i32 me = (i32)((c0 * g.in[1] + c1) * g.in[2]);
        const i32 covered = o0 < g.out[0] && o1 < g.out[1] ? g.out[2] : 0;
        const i64 from = out + o0 * g.out_st[2] + o1 * g.out_st[3], note = at + o0 * g.idx_st[2] + o1 * g.idx_st[3];
        for (i32 c = 0; c < covered; c += VL) {
            const i32 o2 = c + VL <= covered ? c : covered - VL;
            const V v = VLOAD(0, grad + from + o2);
            const IV hit = PASTE(convert_int, VL)(VLOAD(0, idx + note + o2)) - ((IV)(me + o2 * 2) + TWICE_LANES);
            V2 both;
            both.even = select((V)(0), v, hit == (IV)(0));
            both.odd = select((V)(0), v, hit == (IV)(1));
            VSTORE2(both, 0, gin + to + o2 * 2);
        }
        for (i32 c2 = covered * 2; c2 < g.in[2]; c2++) gin[to + c2] = 0;
    }
}
#endif
