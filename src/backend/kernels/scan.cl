// Cumulative ops along rows. Macros: T, A, OP (1 sum, 2 product, 3 logsumexp, 4 max, 5 min), COMPENSATED (sums carry what
// rounding took away).
KERNEL void scan(GLOBAL const T_S *in, GLOBAL T_S *out,
#if OP >= 4
                 GLOBAL i64 *index,
#endif
                 const Rows r) {
    const i64 o = (i64)GID(0);
    if (o >= r.rows) return;
    ROW_BASES(o)
    A acc = (A)T_LD(in, base[0]);
#if OP >= 4
    i64 at = 0;
#endif
#ifdef COMPENSATED
    A lost = 0;
#endif
    for (i64 j = 0; j < r.len; j++) {
        const A x = (A)T_LD(in, base[0] + j * r.along[0]);
        if (j > 0) {
#ifdef COMPENSATED
            COMPENSATED_ADD(acc, lost, x)
#elif OP == 1
            acc = acc + x;
#elif OP == 2
            acc = acc * x;
#elif OP == 3
            const A top = acc > x ? acc : x, low = acc > x ? x : acc;
            // Equal infinities have no difference; a NaN in either stays.
            acc = acc != acc || x != x ? acc + x : top == low ? top + log((A)2) : top + log1p(exp(low - top));
#elif OP == 4
            if (x != x || (acc == acc && x >= acc)) { acc = x; at = j; }
#else
            if (x != x || (acc == acc && x <= acc)) { acc = x; at = j; }
#endif
        }
        T_ST(out, base[1] + j * r.along[1], (T)acc);
#if OP >= 4
        index[base[2] + j * r.along[2]] = at;
#endif
    }
}
