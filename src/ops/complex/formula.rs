//! Formulas over complex numbers: programs of real instructions over the parts, with an output for each part, so that
//! every device runs them with the kernels that it has, in one pass.

use crate::backend::program::{Inst, Opcode, Program, Src};
use crate::base::dtype::DType;
use smallvec::SmallVec;
use std::cell::RefCell;

/// Writes a program whose instructions are of one real dtype.
pub(super) struct Formula {
    ty: DType,
    insts: RefCell<SmallVec<[Inst; 4]>>,
    scalars: RefCell<Vec<f64>>,
}
/// A real value in it.
#[derive(Clone, Copy)]
pub(super) struct R<'a>(&'a Formula, Src);
/// A complex value in it.
#[derive(Clone, Copy)]
pub(super) struct Z<'a> {
    pub re: R<'a>,
    pub im: R<'a>,
}

impl Formula {
    pub fn new(ty: DType) -> Formula {
        Formula { ty, insts: Default::default(), scalars: Default::default() }
    }
    pub fn input(&self, n: usize) -> R<'_> {
        R(self, Src::Input(n as u8))
    }
    pub fn number(&self, v: f64) -> R<'_> {
        let mut s = self.scalars.borrow_mut();
        let at = s.iter().position(|o| o.to_bits() == v.to_bits()).unwrap_or_else(|| {
            s.push(v);
            s.len() - 1
        });
        R(self, Src::Scalar(at as u8))
    }
    fn value(&self, r: R) -> Option<f64> {
        match r.1 {
            Src::Scalar(n) => Some(self.scalars.borrow()[n as usize]),
            _ => None,
        }
    }
    fn op<'a>(&'a self, op: Opcode, args: &[R<'a>]) -> R<'a> {
        let mut all = [args[0].1; 3];
        for (to, from) in all.iter_mut().zip(args) {
            *to = from.1;
        }
        let mut insts = self.insts.borrow_mut();
        insts.push(Inst { op, ty: self.ty, args: all });
        R(self, Src::Reg((insts.len() - 1) as u8))
    }
    /// The program and its numbers. A result that is an input or a number becomes one of its own.
    pub fn finish(self, inputs: &[DType], outputs: &[(Src, DType)]) -> (Program, Vec<f64>) {
        let mut insts = self.insts.into_inner();
        let mut program = Program { inputs: SmallVec::from_slice(inputs), ..Program::default() };
        for (src, dtype) in outputs {
            let reg = match *src {
                Src::Reg(r) => r,
                other => {
                    insts.push(Inst { op: Opcode::Cast, ty: self.ty, args: [other; 3] });
                    (insts.len() - 1) as u8
                }
            };
            program.outputs.push((reg, *dtype));
        }
        program.insts = insts;
        (program, self.scalars.into_inner())
    }
}

impl<'a> R<'a> {
    pub fn src(self) -> Src {
        self.1
    }
    pub fn num(self, v: f64) -> R<'a> {
        self.0.number(v)
    }
    pub fn one(self, op: Opcode) -> R<'a> {
        self.0.op(op, &[self])
    }
    /// Numbers among themselves are computed here.
    pub fn two(self, op: Opcode, b: R<'a>) -> R<'a> {
        if let (Some(x), Some(y)) = (self.0.value(self), self.0.value(b)) {
            let v = match op {
                Opcode::Add => Some(x + y),
                Opcode::Sub => Some(x - y),
                Opcode::Mul => Some(x * y),
                Opcode::Div => Some(x / y),
                Opcode::Maximum => Some(x.max(y)),
                Opcode::Atan2 => Some(x.atan2(y)),
                Opcode::Hypot => Some(x.hypot(y)),
                _ => None,
            };
            if let Some(v) = v {
                return self.num(v);
            }
        }
        self.0.op(op, &[self, b])
    }
    pub fn neg(self) -> R<'a> {
        match self.0.value(self) {
            Some(v) => self.num(-v),
            None => self.one(Opcode::Neg),
        }
    }
    pub fn abs(self) -> R<'a> {
        match self.0.value(self) {
            Some(v) => self.num(v.abs()),
            None => self.one(Opcode::Abs),
        }
    }
    pub fn copysign(self, sign: R<'a>) -> R<'a> {
        self.two(Opcode::Copysign, sign)
    }
    pub fn atan2(self, x: R<'a>) -> R<'a> {
        self.two(Opcode::Atan2, x)
    }
    /// Where this is true, `yes`, else `no`.
    pub fn choose(self, yes: R<'a>, no: R<'a>) -> R<'a> {
        self.0.op(Opcode::Where, &[self, yes, no])
    }
    fn and(self, b: R<'a>) -> R<'a> {
        self.two(Opcode::LogicalAnd, b)
    }
    fn or(self, b: R<'a>) -> R<'a> {
        self.two(Opcode::LogicalOr, b)
    }
    fn is(self, v: f64) -> R<'a> {
        self.two(Opcode::Eq, self.num(v))
    }
    fn is_inf(self) -> R<'a> {
        self.abs().is(f64::INFINITY)
    }
    fn is_nan(self) -> R<'a> {
        self.two(Opcode::Ne, self)
    }
    /// Whether it is neither infinite nor NaN.
    fn ends(self) -> R<'a> {
        self.beside_itself().is(0.0)
    }
    /// Its difference to itself: 0, of infinities and NaN it is NaN.
    #[allow(clippy::eq_op)]
    fn beside_itself(self) -> R<'a> {
        self - self
    }
    pub fn choose_z(self, yes: Z<'a>, no: Z<'a>) -> Z<'a> {
        Z { re: self.choose(yes.re, no.re), im: self.choose(yes.im, no.im) }
    }
}
macro_rules! real_operator {
    ($($Trait:ident, $f:ident, $op:ident;)*) => {$(
        impl<'a> std::ops::$Trait for R<'a> {
            type Output = R<'a>;
            fn $f(self, b: R<'a>) -> R<'a> {
                self.two(Opcode::$op, b)
            }
        })*};
}
real_operator! { Add, add, Add; Sub, sub, Sub; Mul, mul, Mul; Div, div, Div; }

impl<'a> std::ops::Add for Z<'a> {
    type Output = Z<'a>;
    fn add(self, b: Z<'a>) -> Z<'a> {
        Z { re: self.re + b.re, im: self.im + b.im }
    }
}
impl<'a> std::ops::Sub for Z<'a> {
    type Output = Z<'a>;
    fn sub(self, b: Z<'a>) -> Z<'a> {
        Z { re: self.re - b.re, im: self.im - b.im }
    }
}
impl<'a> std::ops::Mul for Z<'a> {
    type Output = Z<'a>;
    fn mul(self, b: Z<'a>) -> Z<'a> {
        Z { re: self.re * b.re - self.im * b.im, im: self.re * b.im + self.im * b.re }
    }
}
impl<'a> std::ops::Div for Z<'a> {
    type Output = Z<'a>;
    /// By parts of the divisor over the larger of them, so that its square neither overflows nor vanishes.
    fn div(self, b: Z<'a>) -> Z<'a> {
        let most = b.re.abs().two(Opcode::Maximum, b.im.abs());
        let (c, d) = (b.re / most, b.im / most);
        let length = c * c + d * d;
        Z { re: (self.re * c + self.im * d) / length / most, im: (self.im * c - self.re * d) / length / most }
    }
}

impl<'a> Z<'a> {
    fn number(self, re: f64, im: f64) -> Z<'a> {
        Z { re: self.re.num(re), im: self.re.num(im) }
    }
    pub fn times(self, v: f64) -> Z<'a> {
        let v = self.re.num(v);
        Z { re: self.re * v, im: self.im * v }
    }
    pub fn neg(self) -> Z<'a> {
        Z { re: self.re.neg(), im: self.im.neg() }
    }
    pub fn abs(self) -> R<'a> {
        self.re.two(Opcode::Hypot, self.im)
    }
    pub fn angle(self) -> R<'a> {
        self.im.atan2(self.re)
    }
    /// Whether it is not zero.
    pub fn truth(self) -> R<'a> {
        self.re.one(Opcode::LogicalNot).two(Opcode::LogicalAnd, self.im.one(Opcode::LogicalNot)).one(Opcode::LogicalNot)
    }
    /// i times it, and -i times it.
    fn turn(self) -> Z<'a> {
        Z { re: self.im.neg(), im: self.re }
    }
    fn turn_back(self) -> Z<'a> {
        Z { re: self.im, im: self.re.neg() }
    }
    fn plus(self, v: f64) -> Z<'a> {
        Z { re: self.re + self.re.num(v), im: self.im }
    }
    /// 1 - z, whose imaginary part keeps the sign of zero that tells the sides of a cut.
    fn of_one(self) -> Z<'a> {
        Z { re: self.re.num(1.0) - self.re, im: self.im.neg() }
    }
    /// Smith's division of 1: over the larger part, so that an infinite one leaves zeros.
    fn reciprocal(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        let (zero, one) = (x.num(0.0), x.num(1.0));
        let wide = x.abs().two(Opcode::Ge, y.abs());
        let ratio = wide.choose(y / x, x / y);
        let scale = one / wide.choose(x + y * ratio, x * ratio + y);
        let re = wide.choose(one + zero * ratio, ratio + zero) * scale;
        let im = wide.choose(zero - ratio, zero * ratio - one) * scale;
        self.truth().choose_z(Z { re, im }, self.number(f64::INFINITY, f64::NAN))
    }
    // What functions make of zeros, infinities and NaN is what C's standard lays down (annex G): a part that is not known
    // leaves the other what it can be.
    fn exp(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        let e = x.one(Opcode::Exp);
        let (re, im) = (e * y.one(Opcode::Cos), e * y.one(Opcode::Sin));
        let ends = y.ends();
        // An angle that is none, of a length that is endless or nothing.
        let re = ends.choose(re, x.is_inf().choose(e, re));
        let im = ends.choose(im, x.is(f64::NEG_INFINITY).choose(e.copysign(y), im));
        Z { re, im: y.is(0.0).choose(y, im) }
    }
    fn log(self) -> Z<'a> {
        Z { re: self.abs().one(Opcode::Log), im: self.angle() }
    }
    fn log1p(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        // |1 + z|^2 - 1 is small where z is.
        let near = (x * (x + x.num(2.0)) + y * y).one(Opcode::Log1p) * x.num(0.5);
        let far = self.plus(1.0).log();
        Z { re: self.abs().two(Opcode::Lt, x.num(0.5)).choose(near, far.re), im: far.im }
    }
    fn expm1(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        let half = (y * x.num(0.5)).one(Opcode::Sin);
        Z {
            re: x.one(Opcode::Expm1) * y.one(Opcode::Cos) - half * half * x.num(2.0),
            im: x.one(Opcode::Exp) * y.one(Opcode::Sin),
        }
    }
    fn sqrt(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        // |z| + |x| of halves, which cannot overflow.
        let t = ((self.abs() * x.num(0.5)) + x.abs() * x.num(0.5)).one(Opcode::Sqrt);
        let other = y.abs() / (t * x.num(2.0));
        let zero = t.two(Opcode::Eq, x.num(0.0));
        let right = x.two(Opcode::Ge, x.num(0.0));
        let near = Z {
            re: zero.choose(x.num(0.0), right.choose(t, other)),
            im: zero.choose(y, right.choose(other, t).copysign(y)),
        };
        // Endless upwards, whatever x is; endless along x, with what y leaves.
        let along = x.is_inf();
        let none = y.is_nan().choose(y, x.num(0.0).copysign(y));
        let side = x.num(f64::INFINITY).copysign(y);
        let far = Z { re: right.choose(x, y.is_nan().choose(y, x.num(0.0))), im: right.choose(none, side) };
        y.is_inf().choose_z(Z { re: x.num(f64::INFINITY), im: y }, along.choose_z(far, near))
    }
    fn sin(self) -> Z<'a> {
        self.turn().sinh().turn_back()
    }
    fn cos(self) -> Z<'a> {
        self.turn().cosh()
    }
    fn sinh(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        let (re, im) = (x.one(Opcode::Sinh) * y.one(Opcode::Cos), x.one(Opcode::Cosh) * y.one(Opcode::Sin));
        let re = y.ends().choose(re, x.is(0.0).choose(x, x.is_inf().choose(x.abs(), re)));
        Z { re, im: y.is(0.0).choose(y, im) }
    }
    fn cosh(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        let (re, im) = (x.one(Opcode::Cosh) * y.one(Opcode::Cos), x.one(Opcode::Sinh) * y.one(Opcode::Sin));
        let ends = y.ends();
        let re = ends.choose(re, x.is_inf().choose(x.abs(), re));
        let im = ends.choose(im, x.is(0.0).choose(x.abs(), im));
        Z { re, im: y.is(0.0).choose(y * x.num(1.0).copysign(x), im) }
    }
    /// Kahan's formula, and the limit where the hyperbolic sine would overflow.
    fn tanh(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        let (t, s) = (y.one(Opcode::Tan), x.one(Opcode::Sinh));
        let one = x.num(1.0);
        let beta = one + t * t;
        let rho = (one + s * s).one(Opcode::Sqrt);
        let below = one + beta * s * s;
        let far = x.abs().two(Opcode::Gt, x.num(20.0));
        let tail = (x.abs() * x.num(-2.0)).one(Opcode::Exp) * x.num(2.0) * (y * x.num(2.0)).one(Opcode::Sin);
        // Of an angle that is none, only an infinite x tells the limit; where x is zero, it stays.
        let known = y.ends().or(x.is_inf());
        let limit = known.choose(one.copysign(x), y.beside_itself());
        let re = far.choose(limit, x.is(0.0).choose(x, beta * rho * s / below));
        let im = far.choose(x.is_inf().choose(x.num(0.0).copysign(y.ends().choose(tail, y)), tail), t / below);
        Z { re, im: y.is(0.0).choose(y, im) }
    }
    fn endless(self) -> R<'a> {
        self.re.is_inf().or(self.im.is_inf())
    }
    /// Kahan's formulas of inverse functions: exact on both sides of the cuts.
    fn asin(self) -> Z<'a> {
        self.turn().asinh().turn_back()
    }
    fn asinh(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        let (a, b) = (self.turn().of_one().sqrt(), self.turn().plus(1.0).sqrt());
        let re = (a.re * b.im - a.im * b.re).one(Opcode::Asinh);
        let im = y.atan2(a.re * b.re - a.im * b.im);
        let far = Z { re: x.num(f64::INFINITY).copysign(x), im: y.atan2(x.abs()) };
        self.endless().choose_z(far, Z { re, im: y.is(0.0).choose(y, im) })
    }
    fn acos(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        let (a, b) = (self.of_one().sqrt(), self.plus(1.0).sqrt());
        let re = a.re.atan2(b.re) * x.num(2.0);
        let im = (b.re * a.im - b.im * a.re).one(Opcode::Asinh);
        let far = Z { re: y.abs().atan2(x), im: x.num(f64::INFINITY).copysign(y).neg() };
        let half = x.is(0.0).and(y.is_nan()).choose(x.num(std::f64::consts::FRAC_PI_2), re);
        self.endless().choose_z(far, Z { re: half, im })
    }
    fn acosh(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        let (a, b) = (self.plus(-1.0).sqrt(), self.plus(1.0).sqrt());
        let re = (a.re * b.re + a.im * b.im).one(Opcode::Asinh);
        let im = a.im.atan2(b.re) * x.num(2.0);
        let far = Z { re: x.num(f64::INFINITY), im: y.atan2(x) };
        let half = x.is(0.0).and(y.is_nan()).choose(x.num(std::f64::consts::FRAC_PI_2), im);
        self.endless().choose_z(far, Z { re, im: half })
    }
    fn atanh(self) -> Z<'a> {
        let (x, y) = (self.re, self.im);
        let one = x.num(1.0);
        let rest = one - x;
        let re = (x * x.num(4.0) / (rest * rest + y * y)).one(Opcode::Log1p) * x.num(0.25);
        let im = (y * x.num(2.0)).atan2(rest * (one + x) - y * y) * x.num(0.5);
        let quarter = y.is_nan().choose(y, x.num(std::f64::consts::FRAC_PI_2).copysign(y));
        let far = Z { re: x.num(0.0).copysign(x), im: quarter };
        self.endless().choose_z(far, Z { re: x.is(0.0).choose(x, re), im })
    }
    fn sgn(self) -> Z<'a> {
        let r = self.abs();
        let zero = r.two(Opcode::Eq, r.num(0.0));
        Z { re: zero.choose(r.num(0.0), self.re / r), im: zero.choose(r.num(0.0), self.im / r) }
    }
    /// exp(w log z); powers of zero are zero, one or what comes of it.
    fn pow(self, w: Z<'a>) -> Z<'a> {
        let value = (w * self.log()).exp();
        let zero = self.truth().one(Opcode::LogicalNot);
        let one = self.number(1.0, 0.0);
        let unit = w.truth().one(Opcode::LogicalNot);
        let side = |op: Opcode| w.re.two(op, w.re.num(0.0));
        let vanishes = side(Opcode::Gt).two(Opcode::LogicalAnd, zero);
        let endless = side(Opcode::Lt).two(Opcode::LogicalAnd, zero);
        let value = endless.choose_z(self.number(f64::INFINITY, f64::NAN), value);
        unit.choose_z(one, vanishes.choose_z(self.number(0.0, 0.0), value))
    }
    /// An opcode of one argument.
    pub fn unary(self, op: Opcode) -> Option<Z<'a>> {
        Some(match op {
            Opcode::Cast => self,
            Opcode::Neg => self.neg(),
            Opcode::Square => self * self,
            Opcode::Reciprocal => self.reciprocal(),
            Opcode::Exp => self.exp(),
            Opcode::Exp2 => self.times(std::f64::consts::LN_2).exp(),
            Opcode::Expm1 => self.expm1(),
            Opcode::Log => self.log(),
            Opcode::Log2 => self.log().times(std::f64::consts::LOG2_E),
            Opcode::Log10 => self.log().times(std::f64::consts::LOG10_E),
            Opcode::Log1p => self.log1p(),
            Opcode::Sqrt => self.sqrt(),
            Opcode::Rsqrt => self.sqrt().reciprocal(),
            Opcode::Sin => self.sin(),
            Opcode::Cos => self.cos(),
            Opcode::Tan => self.turn().tanh().turn_back(),
            Opcode::Sinh => self.sinh(),
            Opcode::Cosh => self.cosh(),
            Opcode::Tanh => self.tanh(),
            Opcode::Asin => self.asin(),
            Opcode::Acos => self.acos(),
            Opcode::Atan => self.turn().atanh().turn_back(),
            Opcode::Asinh => self.asinh(),
            Opcode::Acosh => self.acosh(),
            Opcode::Atanh => self.atanh(),
            Opcode::Sigmoid => self.neg().exp().plus(1.0).reciprocal(),
            Opcode::Silu => self / self.neg().exp().plus(1.0),
            Opcode::Sign => self.sgn(),
            _ => return None,
        })
    }
    /// An opcode of two arguments.
    pub fn binary(self, op: Opcode, b: Z<'a>) -> Option<Z<'a>> {
        Some(match op {
            Opcode::Add => self + b,
            Opcode::Sub => self - b,
            Opcode::Mul => self * b,
            Opcode::Div => self / b,
            Opcode::Pow => self.pow(b),
            _ => return None,
        })
    }
}
