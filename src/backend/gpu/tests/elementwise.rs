//! Elementwise programs: every opcode, dtype and kind of layout.

use super::*;
use crate::backend::cpu::testing::arrays::{Array, Kind};
use crate::backend::kernels::opcodes_gen::text;
use crate::backend::program::{Inst, Opcode, Src};
use Opcode::*;

type F1 = fn(f64) -> f64;

fn b(x: bool) -> f64 {
    x as u8 as f64
}
/// Runs a program of one instruction and returns its values.
fn run(d: &Gpu, op: Opcode, ty: DType, inputs: &[&T], out: DType) -> Vec<f64> {
    let dtypes: Vec<DType> = inputs.iter().map(|t| t.dtype).collect();
    let p = Program::single(op, ty, &dtypes, out);
    let views: Vec<View> = inputs.iter().map(|t| t.view()).collect();
    let o = T::zeros(d, out, &inputs[0].layout.shape);
    d.run_program(&p, &views, &[], &[o.view()]).unwrap();
    o.values(d)
}

/// The same on the CPU.
fn run_on_cpu(op: Opcode, ty: DType, inputs: &[(DType, &[f64])], out: DType) -> Vec<f64> {
    let dtypes: Vec<DType> = inputs.iter().map(|i| i.0).collect();
    let n = inputs[0].1.len() as i64;
    let arrays: Vec<Array> = inputs.iter().map(|(d, x)| Array::of_slice(&[n], *d, x)).collect();
    let views: Vec<View> = arrays.iter().map(|a| a.view()).collect();
    let o = Array::new(&[n], out, Kind::Contiguous);
    let program = Program::single(op, ty, &dtypes, out);
    crate::backend::cpu::backend().run_program(&program, &views, &[], &[o.view()]).unwrap();
    o.to_vec()
}

/// Every opcode on every dtype that it has, on values that suit the dtype, compared with the CPU's results.
#[cfg_attr(test, test)]
pub(crate) fn every_opcode_is_the_cpus() {
    let Some(d) = device() else { return };
    for (row, dtype) in DType::REAL.into_iter().enumerate() {
        if dtype == DType::F64 && !d.info.fp64 {
            continue;
        }
        let suit = |x: Vec<f64>| -> Vec<f64> {
            let of = |x: f64| match dtype {
                DType::Bool => b(x > 0.0),
                DType::U8 => (x * 30.0).abs().trunc(),
                d if !d.is_float() => (x * 40.0).trunc(),
                d => round_to(d, x),
            };
            x.into_iter().map(of).collect()
        };
        let mut x: Vec<f64> = noise(64, 1).iter().map(|v| v * 3.0).collect();
        x.extend([0.0, 1.0, -1.0, 2.5, -2.5, 0.5]);
        let (x, z) = (suit(x), suit(noise(70, 4)));
        // Divisors: no zeros, and small enough to shift by.
        let y = suit(noise(70, 2).iter().map(|v| v * 3.0 + v.signum() * 0.25).collect());
        let y: Vec<f64> = if dtype.is_float() { y } else { y.iter().map(|v| v % 13.0 + b(v % 13.0 == 0.0)).collect() };
        let n = x.len() as i64;
        for (column, op) in Opcode::ALL.into_iter().enumerate() {
            if text(op, dtype.compute(), false).is_none() || !tried(d, dtype == DType::F32, row, column, 3) {
                continue;
            }
            let dtypes = [if op.reads_bool(0) { DType::Bool } else { dtype }, dtype, dtype];
            let values: [Vec<f64>; 3] = match dtypes[0] {
                DType::Bool => [x.iter().map(|v| b(*v > 0.0)).collect(), y.clone(), z.clone()],
                _ => [x.clone(), y.clone(), z.clone()],
            };
            let inputs: Vec<(DType, &[f64])> =
                dtypes.iter().copied().zip(values.iter().map(|v| v.as_slice())).collect();
            let inputs = &inputs[..op.arity()];
            let out = if op.is_predicate() { DType::Bool } else { dtype };
            let tensors: Vec<T> = inputs.iter().map(|(dtype, x)| T::of(d, *dtype, x, &[n])).collect();
            let got = run(d, op, dtype.compute(), &tensors.iter().collect::<Vec<_>>(), out);
            let want = run_on_cpu(op, dtype.compute(), inputs, out);
            // Near their zeros and poles a device's float32 loses digits.
            let times = if matches!(op, Lgamma | Digamma) { 16.0 } else { 2.0 };
            assert_close(&got, &want, times * tolerance(dtype), &format!("{op:?} {dtype}"));
        }
    }
}

/// Error in units of the last place of float32; infinite where one is special and the other is not.
fn ulps(got: f64, want: f64) -> f64 {
    let exact = want as f32;
    if exact.is_nan() || got.is_nan() {
        return if exact.is_nan() == got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if exact.is_infinite() || got.is_infinite() {
        // Just beyond the largest number either may be.
        let largest = f32::MAX as f64;
        let near = got.abs().min(want.abs()) >= 0.99999 * largest && got.signum() == want.signum();
        return if got == exact as f64 || near { 0.0 } else { f64::INFINITY };
    }
    if exact == 0.0 && got == 0.0 {
        return if exact.is_sign_negative() == got.is_sign_negative() { 0.0 } else { f64::INFINITY };
    }
    (got - want).abs() / 2f64.powi((want.abs().max(1.2e-38).log2().floor() as i32).max(-126) - 23)
}

#[cfg_attr(test, test)]
pub(crate) fn functions_are_accurate_over_all_of_float32() {
    let Some(d) = device() else { return };
    let specials = [0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN, 1.5e-45];
    let edges =
        [88.7, 89.0, -103.9, -87.4, 128.0, -126.0, 16777216.0, 8388607.0, 2.5, -3.0, 0.5, -0.5, 3.999, 1.5707964];
    let mut x: Vec<f32> = specials.into_iter().chain(edges).collect();
    x.extend((0..1u64 << 32).step_by(299_993).map(|bits| f32::from_bits(bits as u32)));
    x.extend(noise(4000, 31).iter().map(|v| (v * 12.0) as f32));
    // Devices may flush numbers below the normal ones to zero.
    x.retain(|v| *v == 0.0 || !v.is_finite() || v.abs() >= f32::MIN_POSITIVE);
    let wide: Vec<f64> = x.iter().map(|v| *v as f64).collect();
    let t = T::new(d, &x, &[x.len() as i64]);
    let table: [(Opcode, F1, f64); 13] = [
        (Exp, f64::exp, 3.0),
        (Exp2, f64::exp2, 3.0),
        (Expm1, f64::exp_m1, 3.0),
        (Log, f64::ln, 3.0),
        (Log2, f64::log2, 3.0),
        (Log10, f64::log10, 3.0),
        (Log1p, f64::ln_1p, 3.0),
        (Sin, f64::sin, 4.0),
        (Cos, f64::cos, 4.0),
        (Tan, f64::tan, 5.0),
        (Atan, f64::atan, 5.0),
        (Tanh, f64::tanh, 5.0),
        (Erf, libm::erf, 16.0),
    ];
    for (op, f, most) in table {
        for (i, got) in run(d, op, DType::F32, &[&t], DType::F32).into_iter().enumerate() {
            let want = f(wide[i]);
            let tiny = want.abs() < 1.2e-38 && got.abs() < 1.2e-38;
            assert!(tiny || ulps(got, want) <= most, "{op:?} of {:e} is {got:e}, should be {want:e}", x[i]);
        }
    }
    // Powers: each number with a shifted list of the others, and every pair of special ones.
    let some: Vec<f32> = x.iter().copied().take(24).collect();
    let mut a: Vec<f32> = x.clone();
    let mut b: Vec<f32> = noise(x.len(), 32).iter().map(|v| (v * 10.0) as f32).collect();
    for p in &some {
        a.extend(some.iter().map(|_| *p));
        b.extend(&some);
    }
    let (ta, tb) = (T::new(d, &a, &[a.len() as i64]), T::new(d, &b, &[b.len() as i64]));
    for (i, got) in run(d, Pow, DType::F32, &[&ta, &tb], DType::F32).into_iter().enumerate() {
        let want = (a[i] as f64).powf(b[i] as f64);
        let tiny = want.abs() < 1.2e-38 && got.abs() < 1.2e-38;
        assert!(tiny || ulps(got, want) <= 16.0, "{:e} to the power {:e} is {got:e}, should be {want:e}", a[i], b[i]);
    }
}

#[cfg_attr(test, test)]
pub(crate) fn special_functions_at_known_points() {
    let Some(d) = device() else { return };
    // Values from scipy.special.
    let digamma = [
        (0.5, -1.9635100260214229),
        (1.0, -0.5772156649015329),
        (10.0, 2.251752589066721),
        (-1.5, 0.7031566406452432),
        (3.25, 1.016990911068179),
    ];
    let lgamma =
        [(0.5, 0.5723649429247001), (4.0, 1.791759469228055), (-1.5, 0.860_047_015_376_481), (30.5, 72.9534711841694)];
    let erfinv = [(0.0, 0.0), (0.5, 0.4769362762044699), (-0.9, -1.1630871536766743), (0.999, 2.3267537655135246)];
    let i0 = [(0.5, 1.0634833707413236), (19.75, 34140102.06010144), (-20.25, 55579102.84093865)];
    for dtype in [DType::F32, DType::F64] {
        if dtype == DType::F64 && !d.info.fp64 {
            continue;
        }
        for (op, table) in [(Digamma, &digamma[..]), (Lgamma, &lgamma[..]), (Erfinv, &erfinv[..]), (I0, &i0[..])] {
            let (x, y): (Vec<f64>, Vec<f64>) = table.iter().copied().unzip();
            let t = T::of(d, dtype, &x, &[x.len() as i64]);
            let tol = if op == Lgamma { 1e-6 } else { tolerance(dtype) * 4.0 };
            assert_close(&run(d, op, dtype, &[&t], dtype), &y, tol, &format!("{op:?} {dtype}"));
        }
    }
    // Of infinities PyTorch's i0 is NaN, near the largest float it is infinity.
    let ends = T::of(d, DType::F32, &[3e38, f64::INFINITY, f64::NEG_INFINITY], &[3]);
    let got = run(d, I0, DType::F32, &[&ends], DType::F32);
    assert!(got[0] == f64::INFINITY && got[1].is_nan() && got[2].is_nan(), "i0 at the ends of float32: {got:?}");
    let x = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e38];
    let y = [1.0, f64::NAN, 2.0, 0.0, 1e38];
    let (a, c) = (T::of(d, DType::F32, &x, &[5]), T::of(d, DType::F32, &y, &[5]));
    let nan = f64::NAN;
    assert_close(
        &run(d, Maximum, DType::F32, &[&a, &c], DType::F32),
        &[nan, nan, 2.0, 0.0, 1e38f32 as f64],
        0.0,
        "max",
    );
    assert_close(&run(d, Fmin, DType::F32, &[&a, &c], DType::F32)[..2], &[1.0, f64::INFINITY], 0.0, "fmin");
    assert_close(&run(d, IsFinite, DType::F32, &[&a], DType::Bool), &[0.0, 0.0, 0.0, 1.0, 1.0], 0.0, "isfinite");
    assert_close(&run(d, Sign, DType::F32, &[&a], DType::F32), &[0.0, 1.0, -1.0, 0.0, 1.0], 0.0, "sign");
    let next = run(d, Nextafter, DType::F32, &[&c, &c], DType::F32);
    assert_eq!(next[0], 1.0);
}

#[cfg_attr(test, test)]
pub(crate) fn integers_and_bools_at_their_ends() {
    let Some(d) = device() else { return };
    // The one quotient that overflows must not trap.
    let (a, c) = (T::new(d, &[i64::MIN, i32::MIN as i64], &[2]), T::new(d, &[-1i64, -1], &[2]));
    let p = Program::single(FloorDiv, DType::I64, &[DType::I64; 2], DType::I64);
    let o = T::zeros(d, DType::I64, &[2]);
    d.run_program(&p, &[a.view(), c.view()], &[], &[o.view()]).unwrap();
    assert_eq!(o.read::<i64>(d), [i64::MIN, -(i32::MIN as i64)]);
    let (t, u) =
        (T::of(d, DType::Bool, &[0.0, 0.0, 1.0, 1.0], &[4]), T::of(d, DType::Bool, &[0.0, 1.0, 0.0, 1.0], &[4]));
    assert_eq!(run(d, Add, DType::Bool, &[&t, &u], DType::Bool), [0.0, 1.0, 1.0, 1.0]);
    assert_eq!(run(d, Mul, DType::Bool, &[&t, &u], DType::Bool), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(run(d, BitNot, DType::Bool, &[&t], DType::Bool), [1.0, 1.0, 0.0, 0.0]);
}

#[cfg_attr(test, test)]
pub(crate) fn every_dtype_converts_to_every_dtype() {
    let Some(d) = device() else { return };
    let x = [0.0, 1.0, 2.0, 3.75, 100.0, 127.0];
    for (row, from) in DType::REAL.into_iter().enumerate() {
        for (column, to) in DType::REAL.into_iter().enumerate() {
            if !tried(d, false, row, column, 3) || (!d.info.fp64 && (from == DType::F64 || to == DType::F64)) {
                continue;
            }
            let t = T::of(d, from, &x, &[6]);
            let want: Vec<f64> = x.iter().map(|v| round_to(to, round_to(from, *v))).collect();
            assert_close(&run(d, Cast, to.compute(), &[&t], to), &want, 0.0, &format!("{from} to {to}"));
        }
    }
    let t = T::of(d, DType::F32, &[-1.0, 300.0, -1.9], &[3]);
    assert_eq!(run(d, Cast, DType::U8, &[&t], DType::U8), [255.0, 44.0, 255.0]);
    assert_eq!(run(d, Cast, DType::I64, &[&t], DType::I64), [-1.0, 300.0, -1.0]);
}

#[cfg_attr(test, test)]
pub(crate) fn half_conversions_are_exact_for_every_bit_pattern() {
    let Some(d) = device() else { return };
    let bits: Vec<u16> = (0..=u16::MAX).collect();
    let n = bits.len() as i64;
    macro_rules! check {
        ($t:ident, $d:expr) => {{
            let all: Vec<$t> = bits.iter().map(|b| $t::from_bits(*b)).collect();
            let up = T::zeros(d, DType::F32, &[n]);
            let p = Program::single(Cast, DType::F32, &[$d], DType::F32);
            d.run_program(&p, &[T::new(d, &all, &[n]).view()], &[], &[up.view()]).unwrap();
            for (h, f) in all.iter().zip(up.read::<f32>(d)) {
                assert!(h.to_f32().to_bits() == f.to_bits() || (h.is_nan() && f.is_nan()), "{h:?} became {f}");
            }
            // Down again from values between the representable ones, rounding half to even.
            let between: Vec<f32> = all
                .iter()
                .flat_map(|h| {
                    let f = h.to_f32().to_bits();
                    [
                        f32::from_bits(f),
                        f32::from_bits(f.wrapping_add(0x800)),
                        f32::from_bits(f.wrapping_add(0x1000)),
                        f32::from_bits(f.wrapping_add(0x1001)),
                        f32::from_bits(f.wrapping_add(0x8000)),
                        f32::from_bits(f.wrapping_add(0x8001)),
                    ]
                })
                .collect();
            let m = between.len() as i64;
            let down = T::zeros(d, $d, &[m]);
            let p = Program::single(Cast, DType::F32, &[DType::F32], $d);
            d.run_program(&p, &[T::new(d, &between, &[m]).view()], &[], &[down.view()]).unwrap();
            for (f, h) in between.iter().zip(down.read::<$t>(d)) {
                let want = $t::from_f32(*f);
                assert!(
                    want.to_bits() == h.to_bits() || (want.is_nan() && h.is_nan()),
                    "{f:e} ({:x}) became {h:?}, not {want:?}",
                    f.to_bits()
                );
            }
        }};
    }
    check!(f16, DType::F16);
    check!(bf16, DType::BF16);
}

#[cfg_attr(test, test)]
pub(crate) fn layouts_broadcast_transpose_and_offset() {
    let Some(d) = device() else { return };
    let (r, c) = (37usize, 53usize);
    let x: Vec<f32> = noise(r * c, 3).iter().map(|v| *v as f32).collect();
    let bias: Vec<f32> = noise(c, 4).iter().map(|v| *v as f32).collect();
    let p = Program::single(Add, DType::F32, &[DType::F32, DType::F32], DType::F32);
    let o = T::zeros(d, DType::F32, &[r as i64, c as i64]);
    let bt = T::new(d, &bias, &[c as i64]).with_layout(&[r as i64, c as i64], &[0, 1], 0);
    d.run_program(&p, &[T::new(d, &x, &[r as i64, c as i64]).view(), bt.view()], &[], &[o.view()]).unwrap();
    let want: Vec<f32> = (0..r * c).map(|i| x[i] + bias[i % c]).collect();
    assert_eq!(o.read::<f32>(d), want);
    // A transposed input into a transposed, shifted output.
    let xt = T::new(d, &x, &[r as i64, c as i64]).transposed(0, 1);
    let big =
        T::zeros(d, DType::F32, &[(r * c * 2 + 9) as i64]).with_layout(&[c as i64, r as i64], &[2 * r as i64, 2], 9);
    let neg = Program::single(Neg, DType::F32, &[DType::F32], DType::F32);
    d.run_program(&neg, &[xt.view()], &[], &[big.view()]).unwrap();
    let want: Vec<f32> = (0..r * c).map(|i| -x[(i % r) * c + i / r]).collect();
    assert_eq!(big.read::<f32>(d), want);
    // Five dimensions, none of which merge.
    let shape = [3i64, 4, 5, 2, 3];
    let strides = [1i64, 7, 29, 150, 301];
    let need = 1 + shape.iter().zip(&strides).map(|(n, s)| (n - 1) * s).sum::<i64>();
    let data: Vec<f32> = (0..need).map(|i| i as f32).collect();
    let t = T::new(d, &data, &[need]).with_layout(&shape, &strides, 0);
    let o = T::zeros(d, DType::F32, &shape);
    d.run_program(&neg, &[t.view()], &[], &[o.view()]).unwrap();
    let want: Vec<f32> = positions(&t.layout).iter().map(|p| -(*p as f32)).collect();
    assert_eq!(o.read::<f32>(d), want);
    // Empty and zero-dimensional tensors.
    let e = T::zeros(d, DType::F32, &[0, 3]);
    d.run_program(&neg, &[e.view()], &[], &[T::zeros(d, DType::F32, &[0, 3]).view()]).unwrap();
    let s = T::of(d, DType::F32, &[4.0], &[]);
    let so = T::zeros(d, DType::F32, &[]);
    d.run_program(&neg, &[s.view()], &[], &[so.view()]).unwrap();
    assert_eq!(so.values(d), [-4.0]);
}

#[cfg_attr(test, test)]
pub(crate) fn longer_programs_scalars_and_several_outputs() {
    let Some(d) = device() else { return };
    let inst = |op, ty, args: [Src; 3]| Inst { op, ty, args };
    // r0 = x * s0; r1 = r0 + y; r2 = r1 > 0; r3 = where(r2, r1, s1); outputs r3 (f16), r2 (bool), r1 (f32)
    let p = Program {
        inputs: SmallVec::from_slice(&[DType::F32, DType::I32]),
        insts: SmallVec::from_slice(&[
            inst(Mul, DType::F32, [Src::Input(0), Src::Scalar(0), Src::Input(0)]),
            inst(Add, DType::F32, [Src::Reg(0), Src::Input(1), Src::Reg(0)]),
            inst(Gt, DType::F32, [Src::Reg(1), Src::Scalar(1), Src::Reg(1)]),
            inst(Where, DType::F32, [Src::Reg(2), Src::Reg(1), Src::Scalar(2)]),
        ]),
        outputs: SmallVec::from_slice(&[(3, DType::F16), (2, DType::Bool)]),
    };
    let x: Vec<f64> = noise(1000, 5);
    let y: Vec<f64> = (0..1000).map(|i| (i % 7 - 3) as f64).collect();
    let (a, c) = (T::of(d, DType::F32, &x, &[1000]), T::of(d, DType::I32, &y, &[1000]));
    let (o, q) = (T::zeros(d, DType::F16, &[1000]), T::zeros(d, DType::Bool, &[1000]));
    let scalars = [Scalar::Float(2.5), Scalar::Int(0), Scalar::Float(-0.5)];
    d.run_program(&p, &[a.view(), c.view()], &scalars, &[o.view(), q.view()]).unwrap();
    let r1: Vec<f64> = x.iter().zip(&y).map(|(p, q)| p * 2.5 + q).collect();
    assert_close(&q.values(d), &r1.iter().map(|v| b(*v > 0.0)).collect::<Vec<_>>(), 0.0, "mask");
    assert_close(&o.values(d), &r1.iter().map(|v| if *v > 0.0 { *v } else { -0.5 }).collect::<Vec<_>>(), 2e-3, "where");
    // In place: output and input share memory and layout.
    let sq = Program::single(Square, DType::F32, &[DType::F32], DType::F32);
    d.run_program(&sq, &[a.view()], &[], &[a.view()]).unwrap();
    assert_close(&a.values(d), &x.iter().map(|v| v * v).collect::<Vec<_>>(), 1e-6, "in place");
    let clamp = Program::single(Clamp, DType::F32, &[DType::F32], DType::F32);
    let o = T::zeros(d, DType::F32, &[1000]);
    d.run_program(&clamp, &[a.view()], &[Scalar::Float(0.2), Scalar::Float(0.6)], &[o.view()]).unwrap();
    assert_close(&o.values(d), &x.iter().map(|v| (v * v).clamp(0.2, 0.6)).collect::<Vec<_>>(), 1e-6, "clamp");
}
