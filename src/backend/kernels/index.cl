// Gather, scatter and advanced indexing. An index out of range is noted in `fault` and touches no memory.
#define NOTE(value, limit)                 \
    if (CLAIM(fault)) {                    \
        fault[1] = (value);                \
        fault[2] = (limit);                \
    }

#ifdef CHECK
// Notes a value outside [low, high], NaN too: the value (a float's bits), the limit, what was being checked.
KERNEL void check(GLOBAL const T_S *in, GLOBAL i64 *fault, const Rows r, const T low, const T high, const i64 what) {
    const i64 i = (i64)GID(0);
    if (i >= r.rows) return;
    ROW_BASES(i)
    const T x = T_LD(in, base[0]);
    if (x >= low && x <= high) return;
    if (CLAIM(fault)) {
#ifdef FLOATING
        fault[1] = (i64)AS_U32((f32)x);
#else
        fault[1] = (i64)x;
#endif
        fault[2] = (i64)high + 1;
        fault[3] = what;
    }
}
#endif

#ifdef GATHER
// Tensors: input, index, out.
KERNEL void gather(GLOBAL const T_S *in, GLOBAL const i64 *index, GLOBAL T_S *out, GLOBAL i64 *fault, const Rows r,
                   const i64 limit) {
    const i64 i = (i64)GID(0);
    if (i >= r.rows * r.len) return;
    const i64 o = i / r.len, j = i - o * r.len;
    ROW_BASES(o)
    const i64 k = index[base[1] + j * r.along[1]];
    T_S value = 0;
    if (k < 0 || k >= limit) {
        NOTE(k, limit)
    } else {
        value = in[base[0] + k * r.along[0]];
    }
    out[base[2] + j * r.along[2]] = value;
}
#endif

#ifdef SCATTER
// Tensors: out, index, src. One work-item per row keeps the order of the index without atomics.
KERNEL void scatter(GLOBAL T_S *out, GLOBAL const i64 *index, GLOBAL const T_S *src, GLOBAL i64 *fault, const Rows r,
                    const i64 limit) {
    const i64 o = (i64)GID(0);
    if (o >= r.rows) return;
    ROW_BASES(o)
    for (i64 j = 0; j < r.len; j++) {
        const i64 k = index[base[1] + j * r.along[1]];
        if (k < 0 || k >= limit) {
            NOTE(k, limit)
            continue;
        }
        const i64 at = base[0] + k * r.along[0];
        const T x = T_LD(src, base[2] + j * r.along[2]);
#if OP == 0
        T_ST(out, at, x);
#else
        const T y = T_LD(out, at);
#if OP == 1
        T_ST(out, at, (T)(y + x));
#elif OP == 2
        T_ST(out, at, (T)(y * x));
#elif OP == 3
        T_ST(out, at, y != y || y > x ? y : x);
#else
        T_ST(out, at, y != y || y < x ? y : x);
#endif
#endif
    }
}
#endif

#ifdef INDEX_PLACES
// Adds one index tensor's share to the element offsets `place`; -1 marks an index out of range. Row length is 1.
KERNEL void index_places(GLOBAL const i64 *index, GLOBAL i64 *place, GLOBAL i64 *fault, const Rows r, const i64 limit,
                         const i64 stride, const int first) {
    const i64 i = (i64)GID(0);
    if (i >= r.rows) return;
    ROW_BASES(i)
    i64 k = index[base[0]];
    const i64 before = first ? 0 : place[i];
    if (k < -limit || k >= limit) {
        NOTE(k, limit)
        place[i] = -1;
        return;
    }
    k = k < 0 ? k + limit : k;
    place[i] = before < 0 ? -1 : before + k * stride;
}
#endif

#if defined(INDEX_GET) || defined(INDEX_PUT) || defined(INDEX_PUT_SORTED)
// `data` is indexed; `values` has the index shape, then the rest. RI and RR: their ranks, at least 1.
typedef struct {
    i64 d_off, v_off, n, rest;
    i64 isize[RI], ist[RI];
    i64 rsize[RR], rst_d[RR], rst_v[RR];
} Index;
#define REST(i, d, v)                                        \
    i64 d = g.d_off, v = g.v_off;                            \
    {                                                        \
        i64 rest_ = (i);                                     \
        for (int k_ = RR - 1; k_ >= 0; k_--) {               \
            const i64 q_ = k_ > 0 ? rest_ / g.rsize[k_] : 0; \
            const i64 c_ = rest_ - q_ * g.rsize[k_];         \
            d += c_ * g.rst_d[k_];                           \
            v += c_ * g.rst_v[k_];                           \
            rest_ = q_;                                      \
        }                                                    \
    }
#define VALUE_PLACE(i, v)                                    \
    {                                                        \
        i64 rest_ = (i);                                     \
        for (int k_ = RI - 1; k_ >= 0; k_--) {               \
            const i64 q_ = k_ > 0 ? rest_ / g.isize[k_] : 0; \
            v += (rest_ - q_ * g.isize[k_]) * g.ist[k_];     \
            rest_ = q_;                                      \
        }                                                    \
    }
#endif

#ifdef INDEX_GET
KERNEL void index_get(GLOBAL const T_S *data, GLOBAL const i64 *place, GLOBAL T_S *values, const Index g) {
    const i64 t = (i64)GID(0);
    if (t >= g.n * g.rest) return;
    const i64 i = t / g.rest;
    REST(t - i * g.rest, d, v)
    VALUE_PLACE(i, v)
    const i64 p = place[i];
    values[v] = p < 0 ? (T_S)0 : data[d + p];
}
#endif

#ifdef INDEX_PUT
// One work-item per remaining element goes through the indices in order: the last of equal targets stays, sums are
// added in order.
KERNEL void index_put(GLOBAL T_S *data, GLOBAL const i64 *place, GLOBAL const T_S *values, const Index g) {
    const i64 t = (i64)GID(0);
    if (t >= g.rest) return;
    REST(t, d, v0)
    for (i64 i = 0; i < g.n; i++) {
        const i64 p = place[i];
        if (p < 0) continue;
        i64 v = v0;
        VALUE_PLACE(i, v)
#ifdef ACCUMULATE
        T_ST(data, d + p, (T)(T_LD(data, d + p) + T_LD(values, v)));
#else
        data[d + p] = values[v];
#endif
    }
}
#endif

#ifdef INDEX_PUT_SORTED
// The same with the places sorted (stably) and `order` naming where each came from: one work-item per target, which
// is where a run of equal places begins.
KERNEL void index_put_sorted(GLOBAL T_S *data, GLOBAL const i64 *place, GLOBAL const i64 *order, GLOBAL const T_S *values,
                             const Index g) {
    const i64 t = (i64)GID(0);
    if (t >= g.n * g.rest) return;
    const i64 i = t / g.rest;
    const i64 p = place[i];
    if (p < 0 || (i > 0 && place[i - 1] == p)) return;
    REST(t - i * g.rest, d, v0)
    for (i64 k = i; k < g.n && place[k] == p; k++) {
        i64 v = v0;
        VALUE_PLACE(order[k], v)
#ifdef ACCUMULATE
        T_ST(data, d + p, (T)(T_LD(data, d + p) + T_LD(values, v)));
#else
        data[d + p] = values[v];
#endif
    }
}
#endif
