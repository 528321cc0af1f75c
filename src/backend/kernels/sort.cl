// Stable merge sort along rows, through buffers [rows, len] of keys and positions. Macros: T, DESCENDING; RUN is the
// length of the runs that one work-item sorts alone.
// Whether `x` stands strictly before `y`. NaN counts as the largest.
#ifdef FLOATING
#ifdef DESCENDING
#define BEFORE(x, y) ((x) != (x) ? (y) == (y) : (x) > (y))
#else
#define BEFORE(x, y) ((y) != (y) ? (x) == (x) : (x) < (y))
#endif
#else
#ifdef DESCENDING
#define BEFORE(x, y) ((x) > (y))
#else
#define BEFORE(x, y) ((x) < (y))
#endif
#endif

#ifdef SORT_RUNS
KERNEL void sort_runs(GLOBAL const T_S *in, GLOBAL T *keys, GLOBAL i64 *places, const Rows r) {
    const i64 runs = (r.len + RUN - 1) / RUN;
    const i64 i = (i64)GID(0);
    if (i >= runs * r.rows) return;
    const i64 o = i / runs, first = (i - o * runs) * RUN;
    const i64 n = first + RUN < r.len ? RUN : r.len - first;
    ROW_BASES(o)
    GLOBAL T *k = keys + o * r.len + first;
    GLOBAL i64 *p = places + o * r.len + first;
    for (i64 j = 0; j < n; j++) {
        const T x = (T)T_LD(in, base[0] + (first + j) * r.along[0]);
        i64 hole = j;
        while (hole > 0 && BEFORE(x, k[hole - 1])) {
            k[hole] = k[hole - 1];
            p[hole] = p[hole - 1];
            hole--;
        }
        k[hole] = x;
        p[hole] = first + j;
    }
}
#endif

#ifdef SORT_MERGE
// Every element finds its place in the merged pair of runs: its own rank plus its rank in the other run.
KERNEL void sort_merge(GLOBAL const T *keys, GLOBAL const i64 *places, GLOBAL T *keys_out, GLOBAL i64 *places_out,
                       const i64 rows, const i64 len, const i64 width) {
    const i64 i = (i64)GID(0);
    if (i >= rows * len) return;
    const i64 o = i / len, j = i - o * len;
    const i64 pair = j / (2 * width) * (2 * width);
    const int left = j < pair + width;
    i64 lo = left ? pair + width : pair, hi = left ? pair + 2 * width : pair + width;
    lo = lo < len ? lo : len;
    hi = hi < len ? hi : len;
    const i64 start = lo, own = left ? j - pair : j - pair - width;
    const T x = keys[i];
    GLOBAL const T *k = keys + o * len;
    while (lo < hi) {
        const i64 mid = (lo + hi) / 2;
        const T y = k[mid];
        // The left run goes first among equals.
        const int y_first = left ? BEFORE(y, x) : !BEFORE(x, y);
        if (y_first) lo = mid + 1; else hi = mid;
    }
    const i64 to = o * len + pair + own + (lo - start);
    keys_out[to] = x;
    places_out[to] = places[i];
}
#endif

#ifdef SORT_MERGE_PARTS
// The same with a work-item for each PART elements of the result, which it merges one after the other: for devices
// whose work-items run serially. 2 * width is a multiple of PART.
KERNEL void sort_merge_parts(GLOBAL const T *keys, GLOBAL const i64 *places, GLOBAL T *keys_out,
                             GLOBAL i64 *places_out, const i64 rows, const i64 len, const i64 width) {
    const i64 parts = (len + PART - 1) / PART;
    const i64 i = (i64)GID(0);
    if (i >= rows * parts) return;
    const i64 o = i / parts, first = (i - o * parts) * PART;
    const i64 pair = first / (2 * width) * (2 * width), skip = first - pair;
    const i64 rest = len - pair;
    const i64 na = rest < width ? rest : width, nb = rest - na < width ? rest - na : width;
    GLOBAL const T *ka = keys + o * len + pair;
    GLOBAL const T *kb = ka + na;
    GLOBAL const i64 *pa = places + o * len + pair;
    GLOBAL const i64 *pb = pa + na;
    // How many of the first `skip` come from the left run, which goes first among equals.
    i64 lo = skip > nb ? skip - nb : 0, hi = skip < na ? skip : na;
    while (lo < hi) {
        const i64 mid = (lo + hi) / 2;
        if (BEFORE(kb[skip - 1 - mid], ka[mid])) hi = mid; else lo = mid + 1;
    }
    i64 a = lo, b = skip - lo;
    const i64 to = o * len + first, n = len - first < PART ? len - first : PART;
    for (i64 j = 0; j < n; j++) {
        if (a < na && (b >= nb || !BEFORE(kb[b], ka[a]))) {
            keys_out[to + j] = ka[a];
            places_out[to + j] = pa[a];
            a++;
        } else {
            keys_out[to + j] = kb[b];
            places_out[to + j] = pb[b];
            b++;
        }
    }
}
#endif

#ifdef SORT_STORE
KERNEL void sort_store(GLOBAL const T *keys, GLOBAL const i64 *places, GLOBAL T_S *values, GLOBAL i64 *index, const Rows r) {
    const i64 i = (i64)GID(0);
    if (i >= r.rows * r.len) return;
    const i64 o = i / r.len, j = i - o * r.len;
    ROW_BASES(o)
    T_ST(values, base[0] + j * r.along[0], keys[i]);
    index[base[1] + j * r.along[1]] = places[i];
}
#endif
