#undef ADD_TYPE
#define ADD_TYPE A
// Softmax and log_softmax (LOG) along rows. Macros: T, A (accumulator), UNIT (rows are contiguous).
#ifdef UNIT
#define AT(t, j) (base[t] + (j))
#else
#define AT(t, j) (base[t] + (j) * r.along[t])
#endif
#ifdef GROUP
// One group per row; neighbours read neighbouring elements.
#define BEGIN                      \
    LOCAL A shared_[GROUP];        \
    const u32 lid = LID(0);        \
    const i64 o = (i64)GRP(0);     \
    ROW_BASES(o)
#define EACH(j) for (i64 j = lid; j < r.len; j += GROUP)
#define COMBINE(value, op)                                                          \
    shared_[lid] = value;                                                           \
    BARRIER();                                                                      \
    for (u32 gap_ = GROUP / 2; gap_ > 0; gap_ >>= 1) {                              \
        if (lid < gap_) shared_[lid] = op(shared_[lid], shared_[lid + gap_]);       \
        BARRIER();                                                                  \
    }                                                                               \
    value = shared_[0];                                                             \
    BARRIER();
#define LANES 1
#define ATTRIBUTES WG_HINT(GROUP)
#else
#define BEGIN                    \
    const i64 o = (i64)GID(0);   \
    if (o >= r.rows) return;     \
    ROW_BASES(o)
#define COMBINE(value, op)
#define ATTRIBUTES
#endif
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
#define SUM_OF(a, b) ((a) + (b))

// Folds EXPR(j) over a row into `result`. Several accumulators keep a CPU's vector units busy.
#ifdef GROUP
#define FOLD(result, initial, op, EXPR)         \
    A result = initial;                         \
    EACH(j) result = op(result, EXPR(j));       \
    COMBINE(result, op)
#define FOLD_SUM(result, EXPR)                                    \
    A result = 0, lost_##result = 0;                              \
    EACH(j) COMPENSATED_ADD(result, lost_##result, EXPR(j))       \
    COMBINE(result, SUM_OF)
#define WRITE(EXPR) EACH(j) T_ST(out, AT(NT - 1, j), (T)(EXPR(j)));
#else
#define LANES 16
#define FOLD(result, initial, op, EXPR)                                                        \
    A result = initial;                                                                        \
    {                                                                                          \
        A lane_[LANES];                                                                        \
        i64 j = 0;                                                                             \
        for (int l = 0; l < LANES; l++) lane_[l] = initial;                                    \
        for (; j + LANES <= r.len; j += LANES)                                                 \
            for (int l = 0; l < LANES; l++) lane_[l] = op(lane_[l], EXPR(j + l));              \
        for (; j < r.len; j++) lane_[0] = op(lane_[0], EXPR(j));                               \
        for (int l = 0; l < LANES; l++) result = op(result, lane_[l]);                         \
    }
// Additions that a plain accumulator takes before it is emptied into a compensated one: more lose digits.
#define PLAIN 16
#define FOLD_SUM(result, EXPR)                                                                 \
    A result = 0;                                                                              \
    {                                                                                          \
        A lane_[LANES], sum_[LANES], lost_[LANES];                                             \
        i64 j = 0;                                                                             \
        for (int l = 0; l < LANES; l++) lane_[l] = sum_[l] = lost_[l] = 0;                     \
        while (j + LANES <= r.len) {                                                           \
            const i64 to_ = j + PLAIN * LANES < r.len ? j + PLAIN * LANES : r.len;             \
            for (; j + LANES <= to_; j += LANES)                                               \
                for (int l = 0; l < LANES; l++) lane_[l] = lane_[l] + EXPR(j + l);             \
            EMPTY_LANES                                                                        \
        }                                                                                      \
        for (; j < r.len; j++) lane_[0] = lane_[0] + EXPR(j);                                  \
        EMPTY_LANES                                                                            \
        for (int l = 0; l < LANES; l++) result = result + (sum_[l] - lost_[l]);                \
    }
#define EMPTY_LANES                                             \
    for (int l = 0; l < LANES; l++) {                           \
        COMPENSATED_ADD(sum_[l], lost_[l], lane_[l])            \
        lane_[l] = 0;                                           \
    }
#define WRITE(EXPR) for (i64 j = 0; j < r.len; j++) T_ST(out, AT(NT - 1, j), (T)(EXPR(j)));
#endif

#ifdef FORWARD
#define X(j) ((A)T_LD(in, AT(0, j)))
#define E(j) exp(X(j) - top)
#ifdef LOG
#define RESULT(j) (X(j) - top - lse)
#else
#define RESULT(j) (E(j) / total)
#endif
KERNEL ATTRIBUTES void softmax(GLOBAL const T_S *in, GLOBAL T_S *out, const Rows r) {
    BEGIN
    FOLD(top, (A)(-INF_F32), MAX_OF, X)
#ifdef KEEP
    // The exponentials wait in the output for their sum: they are what costs here.
    A lane_[LANES], sum_[LANES], lost_[LANES];
    for (int l = 0; l < LANES; l++) lane_[l] = sum_[l] = lost_[l] = 0;
    i64 j = 0;
    while (j + LANES <= r.len) {
        const i64 to = j + PLAIN * LANES < r.len ? j + PLAIN * LANES : r.len;
        for (; j + LANES <= to; j += LANES) {
            INDEPENDENT
            for (int l = 0; l < LANES; l++) {
                const A e = E(j + l);
                lane_[l] = lane_[l] + e;
                out[AT(NT - 1, j + l)] = e;
            }
        }
        EMPTY_LANES
    }
    for (; j < r.len; j++) {
        const A e = E(j);
        lane_[0] = lane_[0] + e;
        out[AT(NT - 1, j)] = e;
    }
    EMPTY_LANES
    A total = 0;
    for (int l = 0; l < LANES; l++) total = total + (sum_[l] - lost_[l]);
    INDEPENDENT
    for (i64 k = 0; k < r.len; k++) out[AT(NT - 1, k)] = out[AT(NT - 1, k)] / total;
#else
    FOLD_SUM(total, E)
#ifdef LOG
    const A lse = log(total);
#endif
    WRITE(RESULT)
#endif
}
#else
#define G(j) ((A)T_LD(grad, AT(0, j)))
#define Y(j) ((A)T_LD(y, AT(1, j)))
#ifdef LOG
#define TERM(j) G(j)
#define RESULT(j) (G(j) - exp(Y(j)) * total)
#else
#define TERM(j) (G(j) * Y(j))
#define RESULT(j) (Y(j) * (G(j) - total))
#endif
KERNEL ATTRIBUTES void softmax_backward(GLOBAL const T_S *grad, GLOBAL const T_S *y, GLOBAL T_S *out, const Rows r) {
    BEGIN
    FOLD_SUM(total, TERM)
    WRITE(RESULT)
}
#endif
