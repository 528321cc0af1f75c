// Tensors seen as rows along one dimension. NT: tensors, RANK: dimensions of the row index (at least 1).
typedef struct {
    i64 rows, len;
    i64 off[NT];
    i64 along[NT];
    i64 size[RANK];
    i64 st[NT * RANK];
} Rows;

// Declares base[NT]: where row `o` of each tensor starts.
#define ROW_BASES(o)                                                              \
    i64 base[NT];                                                                 \
    {                                                                             \
        i64 rest_ = (o);                                                          \
        for (int t_ = 0; t_ < NT; t_++) base[t_] = r.off[t_];                     \
        for (int d_ = RANK - 1; d_ >= 0; d_--) {                                  \
            const i64 q_ = d_ > 0 ? rest_ / r.size[d_] : 0;                       \
            const i64 c_ = rest_ - q_ * r.size[d_];                               \
            for (int t_ = 0; t_ < NT; t_++) base[t_] += c_ * r.st[t_ * RANK + d_]; \
            rest_ = q_;                                                           \
        }                                                                         \
    }
