// One optimiser step over COUNT parameters. Macros: T, A (what is calculated in), ADAM, SGD or PROGRAM, STATES, COUNT and the
// lists made by the host: PARAMS (the kernel's buffers), CASES (which buffers belong to parameter k). A PROGRAM comes
// printed: BODY calculates r0, r1 .. from in0 (the parameter), in1 (its gradient), in2 .. (its states), STORES puts them away. A work-item
// updates one element, or BLOCK of them (CPUs); `start` says where each parameter's elements begin, in whole groups.
typedef struct {
    u64 start[COUNT + 1];
    u64 n[COUNT];
    i64 off[COUNT * (STATES + 2)];
} Lists;
#ifdef PROGRAM
typedef struct {
    A s[SCALARS];
} Hyper;
#else
typedef struct {
    A lr, a, b, c, d, e, f, g; // named below
} Hyper;
#endif

// In a captured graph the numbers lie in memory, written anew before each replay.
#ifdef LIVE
#define HYPER GLOBAL const u64 *live, const i64 live_at
#else
#define HYPER const IN_PLACE Hyper h
#endif
KERNEL void optimizer_step(PARAMS const IN_PLACE Lists l, HYPER) {
#ifdef LIVE
    const Hyper h = *(GLOBAL const Hyper *)(live + live_at);
#endif
#ifndef BLOCK
#define BLOCK 1
#endif
    const u64 i = (u64)GID(0) * BLOCK;
    int k = 0;
    while (k < COUNT && i >= l.start[k + 1]) k++;
    if (k >= COUNT) return;
    const u64 j0 = i - l.start[k];
    if (j0 >= l.n[k]) return;
    GLOBAL T_S *p, *gr;
#if STATES > 0
    GLOBAL T_S *s0;
#endif
#if STATES > 1
    GLOBAL T_S *s1;
#endif
#if STATES > 2
    GLOBAL T_S *s2;
#endif
    switch (k) { CASES }
#define OFF(t) (l.off[k * (STATES + 2) + (t)] + (i64)j)
#if BLOCK > 1
    const u64 j1 = j0 + BLOCK < l.n[k] ? j0 + BLOCK : l.n[k];
    INDEPENDENT
    for (u64 j = j0; j < j1; j++) {
#else
    const u64 j = j0;
    {
#endif
    const i64 ip = OFF(0), ig = OFF(1);
#ifdef PROGRAM
    const A in0 = (A)T_LD(p, ip), in1 = (A)T_LD(gr, ig);
#if STATES > 0
    const A in2 = (A)T_LD(s0, OFF(2));
#endif
#if STATES > 1
    const A in3 = (A)T_LD(s1, OFF(3));
#endif
#if STATES > 2
    const A in4 = (A)T_LD(s2, OFF(4));
#endif
    BODY
    STORES
#else
    A x = (A)T_LD(p, ip), grad = (A)T_LD(gr, ig);
#ifdef MAXIMIZE
    grad = -grad;
#endif
#ifdef ADAM
    // a: 1 - beta1, b: beta2, c: 1 - beta2, d: eps, e: weight decay, f: lr / (1 - beta1^t), g: sqrt(1 - beta2^t)
#ifdef DECOUPLED
    x = x * (1 - h.lr * h.e);
#else
    if (h.e != 0) grad = grad + h.e * x;
#endif
    A m = (A)T_LD(s0, OFF(2)), v = (A)T_LD(s1, OFF(3));
    m = m + h.a * (grad - m);
    v = v * h.b + h.c * grad * grad;
    T_ST(s0, OFF(2), (T)m);
    T_ST(s1, OFF(3), (T)v);
#if STATES > 2
    A top = (A)T_LD(s2, OFF(4));
    top = top != top || top > v ? top : v;
    T_ST(s2, OFF(4), (T)top);
    v = top;
#endif
    x = x - h.f * (m / (sqrt(v) / h.g + h.d));
#else
    // a: momentum, b: 1 - dampening, e: weight decay
    if (h.e != 0) grad = grad + h.e * x;
#if STATES > 0
#ifdef FIRST
    A m = grad;
#else
    A m = h.a * (A)T_LD(s0, OFF(2)) + h.b * grad;
#endif
    T_ST(s0, OFF(2), (T)m);
#ifdef NESTEROV
    grad = grad + h.a * m;
#else
    grad = m;
#endif
#endif
    x = x - h.lr * grad;
#endif
    T_ST(p, ip, (T)x);
#endif
    }
}
