//! Special functions. Most are formulas, programs of elementwise instructions that every device runs in one pass; those
//! that take loops are opcodes.

use super::pointwise::{pointwise, promote_float, run, Arg};
use super::special_gen::*;
use super::*;
use crate::autograd::record;
use crate::backend::program::{Inst, Opcode, Program, Src};
use crate::{ensure, grads};
use std::cell::RefCell;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, FRAC_2_SQRT_PI, FRAC_PI_4, PI};

const ONE: Scalar = Scalar::Int(1);

// ---- formulas ----

/// Writes a program; values are `V`, which ordinary operators work on.
/// As many as the longest formula has, so that its list never grows.
const INSTRUCTIONS: usize = 512;
struct Formula {
    ty: DType,
    insts: RefCell<Vec<Inst>>,
    scalars: RefCell<Vec<f64>>,
}
#[derive(Clone, Copy)]
struct V<'a>(&'a Formula, Src);

impl Formula {
    fn op(&self, op: Opcode, args: &[Src]) -> V<'_> {
        let mut all = [args[0]; 3];
        all[..args.len()].copy_from_slice(args);
        let mut insts = self.insts.borrow_mut();
        insts.push(Inst { op, ty: self.ty, args: all });
        V(self, Src::Reg((insts.len() - 1) as u8))
    }
    fn number(&self, v: f64) -> V<'_> {
        let mut s = self.scalars.borrow_mut();
        let at = s.iter().position(|o| o.to_bits() == v.to_bits()).unwrap_or_else(|| {
            s.push(v);
            s.len() - 1
        });
        V(self, Src::Scalar(at as u8))
    }
}
impl<'a> V<'a> {
    fn one(self, op: Opcode) -> V<'a> {
        self.0.op(op, &[self.1])
    }
    fn two(self, op: Opcode, b: V<'a>) -> V<'a> {
        self.0.op(op, &[self.1, b.1])
    }
    fn num(self, v: f64) -> V<'a> {
        self.0.number(v)
    }
    fn abs(self) -> V<'a> {
        self.one(Opcode::Abs)
    }
    fn exp(self) -> V<'a> {
        self.one(Opcode::Exp)
    }
    fn ln(self) -> V<'a> {
        self.one(Opcode::Log)
    }
    fn sqrt(self) -> V<'a> {
        self.one(Opcode::Sqrt)
    }
    fn square(self) -> V<'a> {
        self.one(Opcode::Square)
    }
    fn test(self, op: Opcode, v: f64) -> V<'a> {
        self.two(op, self.num(v))
    }
    /// `a` where this holds, else `b`.
    fn choose(self, a: V<'a>, b: V<'a>) -> V<'a> {
        self.0.op(Opcode::Where, &[self.1, a.1, b.1])
    }
    fn with_sign_of(self, b: V<'a>) -> V<'a> {
        self.two(Opcode::Copysign, b)
    }
    /// The polynomial of these coefficients, lowest first, at this.
    fn polynomial(self, c: &[f64]) -> V<'a> {
        let mut y = self.num(c[c.len() - 1]);
        for c in c[..c.len() - 1].iter().rev() {
            y = self.0.op(Opcode::MulAdd, &[self.num(*c).1, y.1, self.1]);
        }
        y
    }
}
macro_rules! operator {
    ($($trait:ident $f:ident $op:ident),*) => {$(
        impl<'a> std::ops::$trait for V<'a> {
            type Output = V<'a>;
            fn $f(self, b: V<'a>) -> V<'a> {
                self.two(Opcode::$op, b)
            }
        }
        impl<'a> std::ops::$trait<f64> for V<'a> {
            type Output = V<'a>;
            fn $f(self, b: f64) -> V<'a> {
                self.two(Opcode::$op, self.num(b))
            }
        }
        impl<'a> std::ops::$trait<V<'a>> for f64 {
            type Output = V<'a>;
            fn $f(self, b: V<'a>) -> V<'a> {
                b.num(self).two(Opcode::$op, b)
            }
        }
    )*};
}
operator!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);
impl<'a> std::ops::Neg for V<'a> {
    type Output = V<'a>;
    fn neg(self) -> V<'a> {
        self.one(Opcode::Neg)
    }
}

/// Which dtypes a function has: PyTorch's, where half types are often missing.
fn no_half(name: &str, ty: DType) -> Result<()> {
    ensure!(
        matches!(ty, DType::F32 | DType::F64),
        NotImplemented,
        "\"{name}\" not implemented for '{}'",
        ty.scalar_name()
    );
    Ok(())
}
/// Runs a formula over `inputs`, broadcast, in the float dtype that they promote to; no history.
fn formula(inputs: &[&Tensor], f: impl for<'a> Fn(&[V<'a>]) -> V<'a>) -> Result<Tensor> {
    let args: Vec<Arg> = inputs.iter().map(|t| (*t).into()).collect();
    let ty = promote_float(&args);
    let made = Formula {
        ty: ty.compute(),
        insts: RefCell::new(crate::backend::memory::with_capacity(INSTRUCTIONS)?),
        scalars: RefCell::default(),
    };
    let reg = {
        let values: Vec<V> = (0..inputs.len()).map(|i| V(&made, Src::Input(i as u8))).collect();
        match f(&values).1 {
            Src::Reg(r) => r,
            other => match made.op(Opcode::Cast, &[other]).1 {
                Src::Reg(r) => r,
                _ => 0,
            },
        }
    };
    let program = Program {
        inputs: inputs.iter().map(|t| t.dtype()).collect(),
        insts: made.insts.into_inner().into(),
        outputs: std::iter::once((reg, ty)).collect(),
    };
    let scalars: Vec<Scalar> = made.scalars.into_inner().into_iter().map(Scalar::Float).collect();
    run(&program, inputs, &scalars, ty, None)
}
/// A function of one tensor that PyTorch does not differentiate.
fn plain(name: &str, a: &Tensor, f: impl for<'a> Fn(V<'a>) -> V<'a>) -> Result<Tensor> {
    no_half(name, promote_float(&[a.into()]))?;
    formula(&[a], |v| f(v[0]))
}

// ---- Bessel functions ----

/// t of a polynomial in x^2 on [0, edge].
fn near(x: V, edge: f64) -> V {
    x.square() * (2.0 / (edge * edge)) - 1.0
}
/// t of a polynomial in 1 / x^2 on [edge, infinity).
fn far(x: V, edge: f64) -> V {
    (edge / x).square() * 2.0 - 1.0
}
/// P cos w - Q sin w (or P sin w + Q cos w) times sqrt(2 / (pi x)); w is x less `phase`.
fn wave<'a>(x: V<'a>, p: &[f64], q: &[f64], phase: f64, second: bool) -> V<'a> {
    let t = far(x, 8.0);
    let (p, q) = (t.polynomial(p), t.polynomial(q) / x);
    let w = x - phase;
    let (sin, cos) = (w.one(Opcode::Sin), w.one(Opcode::Cos));
    let y = if second { p * sin + q * cos } else { p * cos - q * sin };
    y * (FRAC_2_PI / x).sqrt()
}
fn j0(x: V) -> V {
    let x = x.abs();
    let large = wave(x, P0, Q0, FRAC_PI_4, false);
    x.test(Opcode::Le, 8.0).choose(near(x, 8.0).polynomial(J0_NEAR), large)
}
fn j1(v: V) -> V {
    let x = v.abs();
    let large = wave(x, P1, Q1, 3.0 * FRAC_PI_4, false);
    let y = x.test(Opcode::Le, 8.0).choose(near(x, 8.0).polynomial(J1_NEAR) * x, large);
    v.test(Opcode::Lt, 0.0).choose(-y, y)
}
/// The poles and what lies left of them, of functions on x > 0.
fn right_half<'a>(x: V<'a>, pole: f64, y: V<'a>) -> V<'a> {
    let y = x.test(Opcode::Lt, 0.0).choose(x.num(f64::NAN), y);
    x.test(Opcode::Eq, 0.0).choose(x.num(pole), y)
}
fn y0(x: V) -> V {
    let t = near(x, 8.0);
    let small = x.ln() * FRAC_2_PI * t.polynomial(J0_NEAR) + t.polynomial(Y0_NEAR);
    let y = x.test(Opcode::Le, 8.0).choose(small, wave(x, P0, Q0, FRAC_PI_4, true));
    right_half(x, f64::NEG_INFINITY, y)
}
fn y1(x: V) -> V {
    let t = near(x, 8.0);
    let small = (x.ln() * (t.polynomial(J1_NEAR) * x) - 1.0 / x) * FRAC_2_PI + t.polynomial(Y1_NEAR) * x;
    let y = x.test(Opcode::Le, 8.0).choose(small, wave(x, P1, Q1, 3.0 * FRAC_PI_4, true));
    right_half(x, f64::NEG_INFINITY, y)
}
/// K of order 0 or 1; scaled: times e^x.
fn bessel_k(x: V, order: u32, scaled: bool) -> V {
    let t = near(x, 2.0);
    let log = (x * 0.5).ln();
    let small = match order {
        0 => t.polynomial(K0_NEAR) - log * x.one(Opcode::I0),
        _ => t.polynomial(K1_NEAR) * x + log * x.one(Opcode::I1) + 1.0 / x,
    };
    let large = (4.0 / x - 1.0).polynomial(if order == 0 { K0_FAR } else { K1_FAR }) / x.sqrt();
    let (small, large) = if scaled { (small * x.exp(), large) } else { (small, large * (-x).exp()) };
    right_half(x, f64::INFINITY, x.test(Opcode::Le, 2.0).choose(small, large))
}
/// e^-|x| times I of order 0 or 1.
fn bessel_ie(v: V, order: u32) -> V {
    let x = v.abs();
    let (op, table) = if order == 0 { (Opcode::I0, I0E_FAR) } else { (Opcode::I1, I1E_FAR) };
    let small = x.one(op) * (-x).exp();
    let large = (16.0 / x - 1.0).polynomial(table) / x.sqrt();
    let y = x.test(Opcode::Le, 8.0).choose(small, large);
    if order == 0 {
        y
    } else {
        y.with_sign_of(v)
    }
}

/// Functions of order 0, whose derivative is one of order 1 (or less it), and of order 1, whose derivative is that of order 0 (or
/// less it) less f / x.
macro_rules! bessel {
    ($($doc:literal $zero:ident $one:ident $node0:literal $node1:literal $less0:literal $less1:literal $f0:expr, $f1:expr;)*) => {$(
        #[doc = $doc]
        pub fn $zero(a: &Tensor) -> Result<Tensor> {
            let out = plain(&format!("{}_cpu", &stringify!($zero)[8..]), a, $f0)?;
            record($node0, &[a], out, |s, _| {
                let x = s.save(a);
                move |c, g| {
                    let d = mul(g, &$one(&x.get(c)?)?)?;
                    Ok(grads![Some(if $less0 { neg(&d)? } else { d })])
                }
            })
        }
        #[doc = $doc]
        pub fn $one(a: &Tensor) -> Result<Tensor> {
            let out = plain(&format!("{}_cpu", &stringify!($one)[8..]), a, $f1)?;
            record($node1, &[a], out, |s, out| {
                let (x, y) = (s.save(a), s.save_output(out, 0));
                move |c, g| {
                    let x = x.get(c)?;
                    let zero = eq_scalar(&detach(&x)?, Scalar::Int(0))?;
                    let f = $zero(&x)?;
                    let f = if $less1 { neg(&f)? } else { f };
                    let slope = sub(&f, &div(&y.get(c)?, &masked_fill_scalar(&x, &zero, ONE)?)?, ONE)?;
                    // At zero it is 1/2 where it is anything.
                    let slope = masked_fill_scalar(&slope, &logical_and(&zero, &isfinite(&f)?)?, Scalar::Float(0.5))?;
                    Ok(grads![Some(mul(g, &slope)?)])
                }
            })
        }
    )*};
}
bessel! {
    "The Bessel function of the first kind." special_bessel_j0 special_bessel_j1
        "SpecialBesselJ0Backward0" "SpecialBesselJ1Backward0" true false j0, j1;
    "The Bessel function of the second kind." special_bessel_y0 special_bessel_y1
        "SpecialBesselY0Backward0" "SpecialBesselY1Backward0" true false y0, y1;
    "The modified Bessel function of the first kind." special_modified_bessel_i0 special_modified_bessel_i1
        "SpecialModifiedBesselI0Backward0" "SpecialModifiedBesselI1Backward0" false false
        |x| x.one(Opcode::I0), |x| x.one(Opcode::I1);
    "The modified Bessel function of the second kind." special_modified_bessel_k0 special_modified_bessel_k1
        "SpecialModifiedBesselK0Backward0" "SpecialModifiedBesselK1Backward0" true true
        |x| bessel_k(x, 0, false), |x| bessel_k(x, 1, false);
}
/// K0 times e^x.
pub fn special_scaled_modified_bessel_k0(a: &Tensor) -> Result<Tensor> {
    plain("scaled_modified_bessel_k0_cpu", a, |x| bessel_k(x, 0, true))
}
/// K1 times e^x.
pub fn special_scaled_modified_bessel_k1(a: &Tensor) -> Result<Tensor> {
    plain("scaled_modified_bessel_k1_cpu", a, |x| bessel_k(x, 1, true))
}
/// sin(x) / x, 1 at zero.
pub fn special_spherical_bessel_j0(a: &Tensor) -> Result<Tensor> {
    plain("spherical_bessel_j0_cpu", a, |x| {
        let z = x.square();
        let small = z.polynomial(&[1.0, -1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362_880.0, -1.0 / 39_916_800.0]);
        let y = x.abs().test(Opcode::Lt, 0.5).choose(small, x.one(Opcode::Sin) / x);
        x.one(Opcode::IsInf).choose(x.num(0.0), y)
    })
}
/// Airy's function Ai.
pub fn special_airy_ai(a: &Tensor) -> Result<Tensor> {
    // 2/3 x^1.5 where x is 2.
    const EDGE: f64 = 1.885_618_083_164_126_7;
    plain("airy_ai_cpu", a, |v| {
        let x = v.abs();
        let t = v * v * v * 0.125;
        let middle = t.polynomial(AI_F) + v * t.polynomial(AI_G);
        let z = x * x.sqrt() * (2.0 / 3.0);
        let root = (x.sqrt() * PI).sqrt();
        let right = (2.0 * EDGE / z - 1.0).polynomial(AI_FAR) * (-z).exp() * 0.5 / root;
        let w = z + FRAC_PI_4;
        let t = far(z, EDGE);
        let left = (w.one(Opcode::Sin) * t.polynomial(AI_P) - w.one(Opcode::Cos) * (t.polynomial(AI_Q) / z)) / root;
        let y = v.test(Opcode::Gt, 2.0).choose(right, v.test(Opcode::Lt, -2.0).choose(left, middle));
        v.one(Opcode::IsInf).choose(v.num(f64::NAN), y)
    })
}
/// e^-|x| I0(x).
pub fn special_i0e(a: &Tensor) -> Result<Tensor> {
    let out = formula(&[a], |v| bessel_ie(v[0], 0))?;
    record("SpecialI0EBackward0", &[a], out, |s, out| {
        let (x, y) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            let x = x.get(c)?;
            Ok(grads![Some(mul(g, &sub(&special_i1e(&x)?, &mul(&sign(&x)?, &y.get(c)?)?, ONE)?)?)])
        }
    })
}
/// e^-|x| I1(x).
pub fn special_i1e(a: &Tensor) -> Result<Tensor> {
    let out = formula(&[a], |v| bessel_ie(v[0], 1))?;
    record("SpecialI1EBackward0", &[a], out, |s, out| {
        let (x, y) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            // i0e(x) - i1e(x) (sgn(x) + 1 / x), which is 1/2 at zero.
            let x = x.get(c)?;
            let zero = eq_scalar(&detach(&x)?, Scalar::Int(0))?;
            let safe = masked_fill_scalar(&x, &zero, ONE)?;
            let slope = mul(&y.get(c)?, &add(&sign(&safe)?, &reciprocal(&safe)?, ONE)?)?;
            let slope = sub(&special_i0e(&x)?, &slope, ONE)?;
            Ok(grads![Some(mul(g, &masked_fill_scalar(&slope, &zero, Scalar::Float(0.5))?)?)])
        }
    })
}

// ---- the error function's relatives ----

/// e^(x^2) erfc(x) of x >= 0.
fn erfcx_right(x: V) -> V {
    (1.0 - 7.5 / (x + 3.75)).polynomial(ERFCX) / (1.0 + x * 2.0)
}
fn erfcx(v: V) -> V {
    let y = erfcx_right(v.abs());
    v.test(Opcode::Lt, 0.0).choose(v.square().exp() * 2.0 - y, y)
}
/// e^(x^2) erfc(x), without overflow for large x.
pub fn special_erfcx(a: &Tensor) -> Result<Tensor> {
    no_half("erfcx_cpu", promote_float(&[a.into()]))?;
    let out = formula(&[a], |v| erfcx(v[0]))?;
    record("SpecialErfcxBackward0", &[a], out, |s, out| {
        let (x, y) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            let slope = mul_scalar(&mul(&x.get(c)?, &y.get(c)?)?, Scalar::Int(2))?;
            Ok(grads![Some(mul(g, &add_scalar(&slope, Scalar::Float(-FRAC_2_SQRT_PI), ONE)?)?)])
        }
    })
}
/// The standard normal distribution function.
pub fn special_ndtr(a: &Tensor) -> Result<Tensor> {
    let out = formula(&[a], |v| (v[0] * -FRAC_1_SQRT_2).one(Opcode::Erfc) * 0.5)?;
    record("SpecialNdtrBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| {
            let density = exp(&mul_scalar(&square(&x.get(c)?)?, Scalar::Float(-0.5))?)?;
            Ok(grads![Some(mul(g, &mul_scalar(&density, Scalar::Float(0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2))?)?)])
        }
    })
}
/// The logarithm of the standard normal distribution function.
pub fn special_log_ndtr(a: &Tensor) -> Result<Tensor> {
    no_half("log_ndtr_cpu", promote_float(&[a.into()]))?;
    let out = formula(&[a], |v| {
        let t = v[0] * FRAC_1_SQRT_2;
        let left = (erfcx_right(t.abs()) * 0.5).ln() - t.square();
        let right = (t.one(Opcode::Erfc) * -0.5).one(Opcode::Log1p);
        v[0].test(Opcode::Lt, -1.0).choose(left, right)
    })?;
    record("SpecialLogNdtrBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| {
            let tail = special_erfcx(&mul_scalar(&x.get(c)?, Scalar::Float(-FRAC_1_SQRT_2))?)?;
            Ok(grads![Some(mul_scalar(&div(g, &tail)?, Scalar::Float(FRAC_2_SQRT_PI * FRAC_1_SQRT_2))?)])
        }
    })
}
/// The inverse of `ndtr`.
pub fn special_ndtri(a: &Tensor) -> Result<Tensor> {
    no_half("ndtri_cpu", promote_float(&[a.into()]))?;
    let out = formula(&[a], |v| {
        // Of the smaller tail p: a start that is good to 5e-4 (Hastings), then Newton's steps on its logarithm.
        let upper = v[0].test(Opcode::Gt, 0.5);
        let p = upper.choose(1.0 - v[0], v[0]);
        let log = p.ln();
        let s = (log * -2.0).sqrt();
        let mut x = s - s.polynomial(&[2.515_517, 0.802_853, 0.010_328])
            / s.polynomial(&[1.0, 1.432_788, 0.189_269, 0.001_308]);
        for _ in 0..2 {
            // Mills' ratio.
            let h = erfcx(x * FRAC_1_SQRT_2) * (PI / 2.0).sqrt();
            let tail = h.ln() - x.square() * 0.5 - 0.5 * (2.0 * PI).ln();
            x = x + (tail - log) * h;
        }
        let x = p.test(Opcode::Eq, 0.0).choose(p.num(f64::INFINITY), x);
        // Around the middle the inverse of erf, which keeps the digits of the difference.
        let middle = (v[0] - 0.5) * 2.0;
        p.test(Opcode::Gt, 0.1).choose(middle.one(Opcode::Erfinv) * 2f64.sqrt(), upper.choose(x, -x))
    })?;
    record("SpecialNdtriBackward0", &[a], out, |s, out| {
        let y = s.save_output(out, 0);
        move |c, g| {
            let inverse = exp(&mul_scalar(&square(&y.get(c)?)?, Scalar::Float(0.5))?)?;
            Ok(grads![Some(mul(g, &mul_scalar(&inverse, Scalar::Float((2.0 * PI).sqrt()))?)?)])
        }
    })
}
/// -x log x, 0 at zero and -inf below.
pub fn special_entr(a: &Tensor) -> Result<Tensor> {
    let out = formula(&[a], |v| {
        let x = v[0];
        let y = x.test(Opcode::Gt, 0.0).choose(-x * x.ln(), x.num(f64::NEG_INFINITY));
        let y = x.test(Opcode::Eq, 0.0).choose(x.num(0.0), y);
        x.one(Opcode::IsNan).choose(x, y)
    })?;
    record("SpecialEntrBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| Ok(grads![Some(mul(g, &add_scalar(&neg(&log(&x.get(c)?)?)?, Scalar::Int(-1), ONE)?)?)])
    })
}
/// a log(1 + b), 0 where a is 0.
pub fn special_xlog1py(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let out = formula(&[a, b], |v| {
        let y = v[0].test(Opcode::Eq, 0.0).choose(v[0].num(0.0), v[0] * v[1].one(Opcode::Log1p));
        v[1].one(Opcode::IsNan).choose(v[1], y)
    })?;
    record("SpecialXlog1PyBackward0", &[a, b], out, |s, _| {
        let (x, y) = (s.save(a), s.save(b));
        move |c, g| {
            let (x, y) = (x.get(c)?, y.get(c)?);
            let none =
                logical_and(&eq_scalar(&detach(&x)?, Scalar::Int(0))?, &le_scalar(&detach(&y)?, Scalar::Int(-1))?)?;
            let slope = masked_fill_scalar(&log1p(&y)?, &none, Scalar::Int(0))?;
            Ok(grads![Some(mul(g, &slope)?), Some(mul(g, &div(&x, &add_scalar(&y, ONE, ONE)?)?)?)])
        }
    })
}

// ---- zeta, polygamma, incomplete gamma functions ----

/// Hurwitz's zeta function: the sum of (other + k)^-self.
pub fn special_zeta(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ty = promote_float(&[a.into(), b.into()]);
    no_half("zeta_cpu", ty)?;
    let out = pointwise(Opcode::Zeta, ty, ty, &[a.into(), b.into()], None)?;
    if autograd::requires_grad(a) {
        return no_derivative("SpecialZetaBackward0", a, &[a, b], out, "the derivative for 'zeta'");
    }
    record("SpecialZetaBackward0", &[a, b], out, |s, _| {
        let (x, y) = (s.save(a), s.save(b));
        move |c, g| {
            let (x, y) = (x.get(c)?, y.get(c)?);
            let slope = mul(&x, &special_zeta(&add_scalar(&x, ONE, ONE)?, &y)?)?;
            Ok(grads![None, Some(neg(&mul(g, &slope)?)?)])
        }
    })
}
/// An op whose derivative PyTorch has not: the backward pass says so.
fn no_derivative(
    name: &'static str,
    _of: &Tensor,
    inputs: &[&Tensor],
    out: Tensor,
    what: &'static str,
) -> Result<Tensor> {
    record(name, inputs, out, |_, _| move |_, _| crate::bail!(NotImplemented, "{what} is not implemented."))
}
/// The n-th derivative of digamma.
pub fn polygamma(n: i64, a: &Tensor) -> Result<Tensor> {
    ensure!(n >= 0, Runtime, "polygamma(n, x) does not support negative n.");
    if n == 0 {
        return digamma(a);
    }
    let ty = promote_float(&[a.into()]);
    // n! overflows beyond 170, as it does in PyTorch.
    let factorial = (2..=n.min(171)).fold(1.0, |f, k| f * k as f64);
    let sign = if n % 2 == 1 { 1.0 } else { -1.0 };
    let order = Scalar::Float(n as f64 + 1.0);
    let out = in_float([a], |[a]| {
        autograd::no_grad(|| {
            let z = pointwise(Opcode::Zeta, ty.compute(), ty.compute(), &[order.into(), a.into()], None)?;
            mul_scalar(&z, Scalar::Float(sign * factorial))
        })
    })?;
    record("PolygammaBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| Ok(grads![Some(mul(g, &polygamma(n + 1, &x.get(c)?)?)?)])
    })
}
fn incomplete_gamma(a: &Tensor, x: &Tensor, upper: bool) -> Result<Tensor> {
    let ty = promote_float(&[a.into(), x.into()]);
    let kind = Scalar::Int(upper as i64);
    let out = pointwise(Opcode::IncGamma, ty, ty, &[a.into(), x.into(), kind.into()], None)?;
    let name = if upper { "IgammacBackward0" } else { "IgammaBackward0" };
    if autograd::requires_grad(a) {
        let what = if upper { "the derivative for 'igammac: input'" } else { "the derivative for 'igamma: input'" };
        return no_derivative(name, a, &[a, x], out, what);
    }
    record(name, &[a, x], out, |s, _| {
        let (a, x) = (s.save(a), s.save(x));
        move |c, g| {
            // x^(a - 1) e^-x / gamma(a)
            let (a, x) = (a.get(c)?, x.get(c)?);
            let power = mul(&add_scalar(&a, Scalar::Int(-1), ONE)?, &log(&x)?)?;
            let density = exp(&sub(&sub(&power, &x, ONE)?, &lgamma(&a)?, ONE)?)?;
            let d = mul(g, &density)?;
            Ok(grads![None, Some(if upper { neg(&d)? } else { d })])
        }
    })
}
/// The regularised lower incomplete gamma function.
pub fn igamma(a: &Tensor, x: &Tensor) -> Result<Tensor> {
    incomplete_gamma(a, x, false)
}
/// The regularised upper incomplete gamma function.
pub fn igammac(a: &Tensor, x: &Tensor) -> Result<Tensor> {
    incomplete_gamma(a, x, true)
}
/// The logarithm of the multivariate gamma function of dimension p.
pub fn mvlgamma(a: &Tensor, p: i64) -> Result<Tensor> {
    ensure!(p >= 1, Runtime, "p has to be greater than or equal to 1");
    let p = p as f64;
    let ty = promote_float(&[a.into()]);
    let steps = arange_start_step(
        Scalar::Float(0.5 - 0.5 * p),
        Scalar::Float(0.25),
        Scalar::Float(0.5),
        Some(ty),
        Some(a.device()),
    )?;
    let each = lgamma(&add(&unsqueeze(&cast(a, ty)?, -1)?, &steps, ONE)?)?;
    add_scalar(&sum_dim(&each, Some(&[-1]), false, None)?, Scalar::Float(0.25 * p * (p - 1.0) * PI.ln()), ONE)
}
pub fn mvlgamma_(a: &Tensor, p: i64) -> Result<()> {
    in_place::write_back(a, true, |x| mvlgamma(x, p))
}
/// The modified Bessel function of order 1.
pub fn special_i1(a: &Tensor) -> Result<Tensor> {
    i1(a)
}

// ---- orthogonal polynomials ----

macro_rules! polynomials {
    ($($f:ident $kind:literal $name:literal;)*) => {$(
        /// The orthogonal polynomial of degree n at x, elementwise.
        pub fn $f(x: &Tensor, n: &Tensor) -> Result<Tensor> {
            let ty = promote_float(&[x.into(), n.into()]);
            no_half($name, ty)?;
            pointwise(Opcode::Polynomial, ty, ty, &[x.into(), n.into(), Scalar::Int($kind).into()], None)
        }
    )*};
}
polynomials! {
    special_chebyshev_polynomial_t 0 "chebyshev_polynomial_t_cpu";
    special_chebyshev_polynomial_u 1 "chebyshev_polynomial_u_cpu";
    special_chebyshev_polynomial_v 2 "chebyshev_polynomial_v_cpu";
    special_chebyshev_polynomial_w 3 "chebyshev_polynomial_w_cpu";
    special_shifted_chebyshev_polynomial_t 4 "shifted_chebyshev_polynomial_t_cpu";
    special_shifted_chebyshev_polynomial_u 5 "shifted_chebyshev_polynomial_u_cpu";
    special_shifted_chebyshev_polynomial_v 6 "shifted_chebyshev_polynomial_v_cpu";
    special_shifted_chebyshev_polynomial_w 7 "shifted_chebyshev_polynomial_w_cpu";
    special_hermite_polynomial_h 8 "hermite_polynomial_h_cpu";
    special_hermite_polynomial_he 9 "hermite_polynomial_he_cpu";
    special_laguerre_polynomial_l 10 "laguerre_polynomial_l_cpu";
    special_legendre_polynomial_p 11 "legendre_polynomial_p_cpu";
}
