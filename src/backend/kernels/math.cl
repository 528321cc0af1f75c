// Functions that generated programs call. Each section is printed once per type that needs it: $T stands for the
// type. `f:` sections are for float types, `i:` for integers.

//@ f:floordiv
INLINE $T floordiv_$T($T a, $T b) {
    $T mod, div, fl;
    if (b == 0) return a / b;
    mod = fmod(a, b);
    div = (a - mod) / b;
    if (mod != 0 && (b < 0) != (mod < 0)) div -= 1;
    if (div == 0) return copysign(($T)0, a / b);
    fl = floor(div);
    return div - fl > C_$T(0.5) ? fl + 1 : fl;
}
//@ f:remainder
INLINE $T remainder_$T($T a, $T b) {
    $T mod = fmod(a, b);
    return mod != 0 && (b < 0) != (mod < 0) ? mod + b : mod;
}
//@ f:maximum
INLINE $T maximum_$T($T a, $T b) { return a != a || a > b ? a : b; }
//@ f:minimum
INLINE $T minimum_$T($T a, $T b) { return a != a || a < b ? a : b; }
//@ f:logaddexp
INLINE $T logaddexp_$T($T a, $T b) {
    $T m = a > b ? a : b;
    return a == b && isinf(a) ? a : m + log1p(exp(-fabs(a - b)));
}
//@ f:logaddexp2
INLINE $T logaddexp2_$T($T a, $T b) {
    $T m = a > b ? a : b;
    return a == b && isinf(a) ? a : m + log1p(exp2(-fabs(a - b))) * C_$T(1.4426950408889634074);
}
//@ f:xlogy
INLINE $T xlogy_$T($T a, $T b) { return b != b ? b : a == 0 ? ($T)0 : a * log(b); }
//@ f:sigmoid
INLINE $T sigmoid_$T($T x) { return 1 / (1 + exp(-x)); }
//@ f:gelu
INLINE $T gelu_$T($T x) { return x * C_$T(0.5) * (1 + erf(x * C_$T(0.70710678118654752440))); }
//@ f:gelu_grad
INLINE $T gelu_grad_$T($T g, $T x) {
    $T cdf = C_$T(0.5) * (1 + erf(x * C_$T(0.70710678118654752440)));
    $T pdf = exp(C_$T(-0.5) * x * x) * C_$T(0.39894228040143267794);
    return g * (cdf + x * pdf);
}
//@ f:gelu_tanh
// (1 + tanh u) / 2 is the sigmoid of 2u, which keeps its digits where x is negative.
INLINE $T gelu_tanh_$T($T x) {
    return x / (1 + exp(-C_$T(1.5957691216057308) * (x + C_$T(0.044715) * x * x * x)));
}
//@ f:gelu_tanh_grad
INLINE $T gelu_tanh_grad_$T($T g, $T x) {
    $T s = 1 / (1 + exp(-C_$T(1.5957691216057308) * (x + C_$T(0.044715) * x * x * x)));
    $T d = C_$T(1.5957691216057308) * (1 + 3 * C_$T(0.044715) * x * x);
    return g * (s + x * s * (1 - s) * d);
}
//@ f:silu_grad
INLINE $T silu_grad_$T($T g, $T x) {
    $T s = 1 / (1 + exp(-x));
    return g * s * (1 + x * (1 - s));
}
//@ f:erfinv
// A rational start, then two Newton steps on erf.
INLINE $T erfinv_$T($T y) {
    $T ay = fabs(y), x, w, r;
    if (ay > 1 || y != y) return ($T)NAN_F32;
    if (ay == 1) return copysign(($T)INF_F32, y);
    if (ay <= C_$T(0.7)) {
        $T z = y * y;
        x = y * (((C_$T(-0.140543331) * z + C_$T(0.914624893)) * z + C_$T(-1.645349621)) * z + C_$T(0.886226899)) /
            ((((C_$T(0.012229801) * z + C_$T(-0.329097515)) * z + C_$T(1.442710462)) * z + C_$T(-2.118377725)) * z + 1);
    } else {
        w = sqrt(-log((1 - ay) / 2));
        x = copysign((((C_$T(1.641345311) * w + C_$T(3.429567803)) * w + C_$T(-1.62490649)) * w + C_$T(-1.970840454)) /
                         ((C_$T(1.637067800) * w + C_$T(3.543889200)) * w + 1), y);
    }
    r = erf(x) - y;
    x = x - r / (C_$T(1.12837916709551257390) * exp(-x * x));
    r = erf(x) - y;
    return x - r / (C_$T(1.12837916709551257390) * exp(-x * x));
}
//@ f:digamma
INLINE $T digamma_$T($T x) {
    $T acc = 0, y, z;
    if (x == 0) return copysign(($T)INF_F32, -x);
    if (x < 0) {
        if (x == trunc(x)) return ($T)NAN_F32;
        // Reflection; the fraction keeps tan exact for large x.
        acc = -C_$T(3.14159265358979323846) / tan(C_$T(3.14159265358979323846) * (x - trunc(x)));
        x = 1 - x;
    }
    while (x < 10) {
        acc -= 1 / x;
        x += 1;
    }
    if (x == 10) return acc + C_$T(2.25175258906672110764);
    y = 0;
    if (x < C_$T(1.0e17)) {
        z = 1 / (x * x);
        y = z * (C_$T(8.33333333333333333333e-2) - z * (C_$T(8.33333333333333333333e-3) -
            z * (C_$T(3.96825396825396825397e-3) - z * (C_$T(4.16666666666666666667e-3) -
            z * (C_$T(7.57575757575757575758e-3) - z * (C_$T(2.10927960927960927961e-2) -
            z * C_$T(8.33333333333333333333e-2)))))));
    }
    return acc + log(x) - C_$T(0.5) / x - y;
}
//@ f:lgamma
INLINE $T lgamma_$T($T x) { return isinf(x) ? ($T)INF_F32 : x <= 0 && x == floor(x) ? ($T)INF_F32 : lgamma(x); }
//@ f:ipow
INLINE $T ipow_$T($T a, $T b) { return b == 2 ? a * a : b == 1 ? a : b == C_$T(0.5) ? sqrt(a) : pow(a, b); }

//@ i:floordiv
INLINE $T floordiv_$T($T a, $T b) {
    $T q, r;
    if (b == 0) return 0;
    if ((b < 0 && b == ($T)-1)) return ($T)(0 - (u64)a);
    q = a / b;
    r = a - q * b;
    return r != 0 && ((r < 0) != (b < 0)) ? q - 1 : q;
}
//@ i:truncdiv
INLINE $T truncdiv_$T($T a, $T b) { return b == 0 ? 0 : (b < 0 && b == ($T)-1) ? ($T)(0 - (u64)a) : a / b; }
//@ i:remainder
INLINE $T remainder_$T($T a, $T b) {
    $T r;
    if (b == 0 || (b < 0 && b == ($T)-1)) return 0;
    r = a % b;
    return r != 0 && ((r < 0) != (b < 0)) ? r + b : r;
}
//@ i:fmod
INLINE $T fmod_$T($T a, $T b) { return b == 0 || (b < 0 && b == ($T)-1) ? 0 : a % b; }
//@ i:ipow
INLINE $T ipow_$T($T a, $T b) {
    u64 r = 1, x = (u64)a;
    if (b < 0) return a == 1 ? 1 : a == ($T)-1 ? ((b & 1) ? ($T)-1 : 1) : 0;
    while (b > 0) {
        if (b & 1) r *= x;
        x *= x;
        b >>= 1;
    }
    return ($T)r;
}
