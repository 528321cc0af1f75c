use super::*;
use crate::backend::cpu::level::level;
use crate::backend::cpu::testing::arrays::*;
use crate::backend::cpu::threads::parallel::set_num_threads;
use crate::backend::program::Inst;

const SHAPES: [&[i64]; 10] =
    [&[], &[1], &[4], &[7, 1], &[3, 5], &[2, 3, 4], &[21, 140], &[40, 3], &[3, 1500], &[2, 3, 2, 3, 2, 3, 2]];
const COMPUTE: [DType; 8] =
    [DType::Bool, DType::U8, DType::I8, DType::I16, DType::I32, DType::I64, DType::F32, DType::F64];

/// The op on plain values, by its definition; None where it is not defined on the dtype.
fn reference(op: Opcode, ty: DType, a: f64, b: f64, c: f64) -> Option<f64> {
    use Opcode::*;
    let float = ty.is_float();
    let nan = a.is_nan() || b.is_nan();
    let truth = |x: f64| (x != 0.0) as u8 as f64;
    let wrap = |x: i128| -> f64 {
        match ty {
            DType::U8 => x as u8 as f64,
            DType::I8 => x as i8 as f64,
            DType::I16 => x as i16 as f64,
            DType::I32 => x as i32 as f64,
            DType::Bool => (x != 0) as u8 as f64,
            _ => x as i64 as f64,
        }
    };
    let (ia, ib, ic) = (a as i128, b as i128, c as i128);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let is = |x: bool| x as u8 as f64;
    Some(match op {
        Eq => is(a == b),
        Ne => is(a != b),
        Lt => is(a < b),
        Le => is(a <= b),
        Gt => is(a > b),
        Ge => is(a >= b),
        LogicalAnd => truth(a) * truth(b),
        LogicalOr => truth(truth(a) + truth(b)),
        LogicalXor => is(truth(a) != truth(b)),
        LogicalNot => 1.0 - truth(a),
        IsNan => is(a.is_nan()),
        IsInf => is(a.is_infinite()),
        IsFinite => is(a.is_finite()),
        Where => {
            if a != 0.0 {
                b
            } else {
                c
            }
        }
        Maximum if nan => f64::NAN,
        Minimum if nan => f64::NAN,
        Maximum | Fmax => a.max(b),
        Minimum | Fmin => a.min(b),
        Clamp if nan || c.is_nan() => f64::NAN,
        Clamp => a.max(b).min(c),
        Cast => a,
        _ if ty == DType::Bool => match op {
            Add | BitOr => is(a + b > 0.0),
            Mul | BitAnd => a * b,
            BitXor => is(a != b),
            BitNot => 1.0 - a,
            Abs | Sign | Square | Relu => a,
            MulAdd => is(a + b * c > 0.0),
            _ => return None,
        },
        Add if float => a + b,
        Sub if float => a - b,
        Mul if float => a * b,
        Neg if float => -a,
        Abs if float => a.abs(),
        Square if float => a * a,
        MulAdd if float => a + b * c,
        Fmod if float => a % b,
        TruncDiv if float => (a / b).trunc(),
        Remainder if float => {
            let m = a % b;
            if m != 0.0 && (m < 0.0) != (b < 0.0) {
                m + b
            } else {
                m
            }
        }
        FloorDiv if float => {
            let m = a % b;
            let m = if m != 0.0 && (m < 0.0) != (b < 0.0) { m + b } else { m };
            if b == 0.0 {
                a / b
            } else {
                ((a - m) / b).round()
            }
        }
        Pow if float => a.powf(b),
        Sign if float => is(a > 0.0) - is(a < 0.0),
        Relu if float => {
            if a < 0.0 {
                0.0
            } else {
                a
            }
        }
        ReluGrad if float => {
            if b <= 0.0 {
                0.0
            } else {
                a
            }
        }
        Add => wrap(ia + ib),
        Sub => wrap(ia - ib),
        Mul => wrap(ia * ib),
        Neg => wrap(-ia),
        Abs => wrap(ia.abs()),
        Square => wrap(ia * ia),
        MulAdd => wrap(ia + ib * ic),
        Fmod => wrap(ia % ib),
        TruncDiv => wrap(ia / ib),
        FloorDiv => wrap((a / b).floor() as i128),
        Remainder => wrap(((ia % ib) + ib) % ib),
        Sign => wrap(ia.signum()),
        Relu => wrap(ia.max(0)),
        ReluGrad => {
            if b > 0.0 {
                a
            } else {
                0.0
            }
        }
        BitAnd if !float => wrap(ia & ib),
        BitOr if !float => wrap(ia | ib),
        BitXor if !float => wrap(ia ^ ib),
        BitNot if !float => wrap(!ia),
        Ceil | Floor | Round | Trunc if !float => a,
        Ceil => a.ceil(),
        Floor => a.floor(),
        Round => a.round_ties_even(),
        Trunc => a.trunc(),
        _ if !float => return None,
        Div => a / b,
        Atan2 => a.atan2(b),
        Hypot => a.hypot(b),
        Copysign => a.copysign(b),
        LogAddExp => (a.exp() + b.exp()).ln(),
        LogAddExp2 => (a.exp2() + b.exp2()).log2(),
        Xlogy => {
            if b.is_nan() {
                b
            } else if a == 0.0 {
                0.0
            } else {
                a * b.ln()
            }
        }
        Frac => a - a.trunc(),
        Sqrt => a.sqrt(),
        Rsqrt => 1.0 / a.sqrt(),
        Reciprocal => 1.0 / a,
        Exp => a.exp(),
        Exp2 => a.exp2(),
        Expm1 => a.exp_m1(),
        Log => a.ln(),
        Log2 => a.log2(),
        Log10 => a.log10(),
        Log1p => a.ln_1p(),
        Sin => a.sin(),
        Cos => a.cos(),
        Tan => a.tan(),
        Asin => a.asin(),
        Acos => a.acos(),
        Atan => a.atan(),
        Sinh => a.sinh(),
        Cosh => a.cosh(),
        Tanh => a.tanh(),
        Asinh => libm::asinh(a),
        Acosh => libm::acosh(a),
        Atanh => libm::atanh(a),
        Erf => libm::erf(a),
        Erfc => libm::erfc(a),
        Lgamma => libm::lgamma(a),
        Sigmoid => sigmoid(a),
        Silu => a * sigmoid(a),
        Gelu => a * 0.5 * libm::erfc(-a / 2f64.sqrt()),
        GeluTanh => 0.5 * a * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (a + 0.044715 * a.powi(3))).tanh()),
        HardSigmoid => (a + 3.0).clamp(0.0, 6.0) / 6.0,
        HardSwish => a * (a + 3.0).clamp(0.0, 6.0) / 6.0,
        LeakyRelu => {
            if a > 0.0 {
                a
            } else {
                a * b
            }
        }
        HardShrink => {
            if a.abs() <= b {
                0.0
            } else {
                a
            }
        }
        SigmoidGrad => a * (1.0 - b) * b,
        TanhGrad => a * (1.0 - b * b),
        SiluGrad => a * sigmoid(b) * (1.0 + b * (1.0 - sigmoid(b))),
        GeluGrad => {
            let h = 1e-5;
            let f = |x: f64| x * 0.5 * libm::erfc(-x / 2f64.sqrt());
            a * (f(b + h) - f(b - h)) / (2.0 * h)
        }
        GeluTanhGrad => {
            let h = 1e-5;
            let k = (2.0 / std::f64::consts::PI).sqrt();
            let f = |x: f64| 0.5 * x * (1.0 + (k * (x + 0.044715 * x.powi(3))).tanh());
            a * (f(b + h) - f(b - h)) / (2.0 * h)
        }
        // Pow on integers, Erfinv, Digamma, Nextafter and shifts have tests of their own.
        _ => return None,
    })
}

/// A value that suits the dtype; zeros too unless `nonzero`.
fn value(r: &mut Random, dtype: DType, nonzero: bool) -> f64 {
    let v = match dtype {
        DType::Bool => r.below(2) as f64,
        DType::U8 => r.below(256) as f64,
        DType::I8 => r.below(256) as f64 - 128.0,
        DType::F64 | DType::F32 => match r.below(8) {
            0 => (r.unit() * 3.0).round(),
            _ => r.unit() * 4.0,
        },
        DType::F16 | DType::BF16 => (r.unit() * 64.0).round() / 16.0,
        _ => (r.unit() * 3000.0).round(),
    };
    if nonzero && v == 0.0 {
        1.0
    } else {
        v
    }
}

/// Checks one instruction over arrays of the given layouts, some replaced by scalars.
fn check(op: Opcode, ty: DType, shape: &[i64], kinds: [Kind; 3], out_kind: Kind, dtypes: [DType; 3], scalar: usize) {
    let mut r = Random(op as u64 * 1000 + ty as u64 + shape.iter().sum::<i64>() as u64);
    let arity = op.arity();
    let nonzero = !ty.is_float();
    let arrays: Vec<Array> =
        (0..arity).map(|k| Array::of(shape, dtypes[k], kinds[k], |_| value(&mut r, dtypes[k], nonzero))).collect();
    let inst = Inst { op, ty, args: [Src::Input(0); 3] };
    let probe = Program { insts: SmallVec::from_slice(&[inst]), ..Default::default() };
    let out_dtype = if probe.reg_dtype(0) == DType::Bool { DType::Bool } else { ty };
    let out = Array::new(shape, out_dtype, out_kind);
    // Argument `scalar` comes as a scalar.
    let mut args = [Src::Input(0); 3];
    let (mut views, mut scalars, mut input_dtypes) = (vec![], vec![], vec![]);
    let mut fixed = [None; 3];
    for k in 0..arity {
        if k == scalar && k > 0 {
            let v = value(&mut r, ty, nonzero);
            let v = if ty.is_float() { v as f32 as f64 } else { v };
            fixed[k] = Some(v);
            args[k] = Src::Scalar(scalars.len() as u8);
            scalars.push(if ty.is_float() { Scalar::Float(v) } else { Scalar::Int(v as i64) });
        } else {
            args[k] = Src::Input(views.len() as u8);
            views.push(arrays[k].view());
            input_dtypes.push(dtypes[k]);
        }
    }
    let program = Program::of_args(op, ty, &input_dtypes, args, out_dtype);
    let want: Vec<Option<f64>> = (0..out.numel())
        .map(|i| {
            let arg = |k: usize| {
                let v = if k < arity { fixed[k].unwrap_or_else(|| arrays[k].get(i)) } else { 0.0 };
                let logical = arg_dtype(&inst, k) == DType::Bool;
                // Conversion to the instruction's type.
                let v = if logical { (v != 0.0) as u8 as f64 } else { v };
                match ty {
                    DType::F32 if !logical => v as f32 as f64,
                    DType::Bool => (v != 0.0) as u8 as f64,
                    DType::U8 if !logical => v as i64 as u8 as f64,
                    DType::I8 if !logical => v as i64 as i8 as f64,
                    _ => v,
                }
            };
            reference(op, ty, arg(0), arg(1), arg(2))
        })
        .collect();
    let result = run_program(&program, &views, &scalars, &[out.view()]);
    if want.iter().all(|w| w.is_none()) && !want.is_empty() {
        return;
    }
    result.unwrap_or_else(|e| panic!("{op:?} {ty}: {e}"));
    for (i, want) in want.iter().enumerate() {
        let (got, want) = (out.get(i), want.unwrap());
        let numeric = matches!(op, Opcode::GeluGrad | Opcode::GeluTanhGrad);
        let cancels =
            matches!(op, Opcode::LogAddExp | Opcode::LogAddExp2 | Opcode::SiluGrad | Opcode::MulAdd | Opcode::GeluTanh);
        let ok = close(got, want, ty, 12.0)
            || (numeric && (got - want).abs() < 1e-6)
            || (cancels && (got - want).abs() < if ty == DType::F32 { 2e-6 } else { 1e-12 });
        assert!(
            ok,
            "{op:?} {ty} {shape:?} {kinds:?} -> {out_kind:?}, dtypes {dtypes:?}, scalar {scalar}, element {i}: {got} not {want}; args {:?}",
            arrays.iter().map(|a| a.get(i)).collect::<Vec<_>>()
        );
    }
}

/// The CPU has the kernels that the specification has for other devices, and no others.
#[cfg_attr(test, test)]
#[cfg(any(feature = "opencl", feature = "cuda"))]
pub(crate) fn kernels_are_those_of_the_specification() {
    for op in Opcode::ALL {
        for ty in COMPUTE {
            let inst = Inst { op, ty, args: [Src::Input(0); 3] };
            let wanted = crate::backend::kernels::opcodes_gen::text(op, ty, false).is_some();
            assert_eq!(inst_kernel(&inst).is_ok(), wanted, "{op:?} on {ty}");
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn every_op_on_every_dtype_dense() {
    for op in Opcode::ALL {
        for ty in COMPUTE {
            for n in [1i64, 5, 67] {
                for scalar in [3, 1] {
                    let d = if op == Opcode::Where { [DType::Bool, ty, ty] } else { [ty; 3] };
                    check(op, ty, &[n], [Kind::Contiguous; 3], Kind::Contiguous, d, scalar);
                }
            }
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn every_layout() {
    let mut r = Random(7);
    for shape in SHAPES {
        for out in OUT_KINDS {
            for a in KINDS {
                for b in KINDS {
                    let c = KINDS[r.below(6) as usize];
                    let scalar = r.below(6) as usize;
                    check(Opcode::Add, DType::F32, shape, [a, b, c], out, [DType::F32; 3], scalar);
                    check(Opcode::Clamp, DType::I64, shape, [a, b, c], out, [DType::I64; 3], scalar);
                    let w = [DType::Bool, DType::U8, DType::U8];
                    check(Opcode::Where, DType::U8, shape, [a, b, c], out, w, 3);
                    check(Opcode::Lt, DType::F64, shape, [a, b, c], out, [DType::F64; 3], 3);
                }
            }
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn inputs_are_converted() {
    let mut r = Random(9);
    for _ in 0..400 {
        let d = [0; 3].map(|_| DType::REAL[r.below(10) as usize]);
        let ty = COMPUTE[r.below(8) as usize];
        // Floats out of an integer type's range are not defined.
        if !ty.is_float() && d.iter().any(|d| d.is_float()) {
            continue;
        }
        let op = [Opcode::Add, Opcode::Maximum, Opcode::Where, Opcode::Eq, Opcode::LogicalAnd, Opcode::IsNan]
            [r.below(6) as usize];
        let shape = SHAPES[r.below(10) as usize];
        let kinds = [0; 3].map(|_| KINDS[r.below(6) as usize]);
        if ty == DType::Bool && op == Opcode::Where {
            continue;
        }
        check(op, ty, shape, kinds, OUT_KINDS[r.below(4) as usize], d, r.below(5) as usize);
    }
}

#[cfg_attr(test, test)]
pub(crate) fn casts_between_all_dtypes_and_layouts() {
    for from in DType::REAL {
        for to in DType::REAL {
            for (shape, kind) in
                [(&[9i64][..], Kind::Contiguous), (&[3, 4], Kind::Transposed), (&[5, 3], Kind::BroadcastCols)]
            {
                let a = Array::of(shape, from, kind, |i| if from == DType::Bool { (i % 2) as f64 } else { i as f64 });
                for out_kind in [Kind::Contiguous, Kind::Stepped] {
                    let out = Array::new(shape, to, out_kind);
                    let p = Program::single(Opcode::Cast, to, &[from], to);
                    run_program(&p, &[a.view()], &[], &[out.view()]).unwrap();
                    for i in 0..out.numel() {
                        let want = if to == DType::Bool { (a.get(i) != 0.0) as u8 as f64 } else { a.get(i) };
                        assert_eq!(out.get(i), want, "{from} to {to} {kind:?} {out_kind:?}");
                    }
                }
                // A scalar into every element: fill.
                let out = Array::new(shape, to, Kind::Stepped);
                let p = Program::of_args(Opcode::Cast, to, &[], [Src::Scalar(0); 3], to);
                run_program(&p, &[], &[Scalar::Int(1)], &[out.view()]).unwrap();
                assert!(out.to_vec().iter().all(|v| *v == 1.0));
            }
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn special_values() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let case = |op, a: &[f64], b: &[f64], want: &[f64]| {
        for ty in [DType::F32, DType::F64] {
            let shape = [a.len() as i64];
            let (x, y) = (Array::of_slice(&shape, ty, a), Array::of_slice(&shape, ty, b));
            let out = Array::new(&shape, ty, Kind::Contiguous);
            let p = Program::single(op, ty, &[ty, ty][..op.arity()], ty);
            run_program(&p, &[x.view(), y.view()][..op.arity()], &[], &[out.view()]).unwrap();
            for (i, w) in want.iter().enumerate() {
                let g = out.get(i);
                let same = g == *w && g.is_sign_negative() == w.is_sign_negative() || g.is_nan() && w.is_nan();
                assert!(same, "{op:?} {ty} ({}, {}): {g}, not {w}", a[i], b[i]);
            }
        }
    };
    let b7 = [0., 0., 0., 3., inf, 2., -inf];
    case(Opcode::FloorDiv, &[5., -5., 0., -0., 1., inf, 5.], &b7, &[inf, -inf, nan, -0., 0., nan, -1.]);
    case(Opcode::Remainder, &[5., -5., -0., 1., -1.], &[0., 3., 3., inf, inf], &[nan, 1., -0., 1., inf]);
    case(Opcode::Xlogy, &[0., 0., 1.], &[nan, 0., 0.], &[nan, 0., -inf]);
    case(Opcode::LogAddExp, &[inf, -inf, 1.], &[inf, -inf, nan], &[inf, -inf, nan]);
    case(Opcode::Fmax, &[nan, 1., nan], &[1., nan, nan], &[1., 1., nan]);
    case(Opcode::Maximum, &[nan, 1., 2.], &[1., nan, 3.], &[nan, nan, 3.]);
    case(Opcode::Round, &[0.5, 1.5, -0.5, 2.5], &[0.; 4], &[0., 2., -0., 2.]);
    case(Opcode::Relu, &[nan, -0., -1., inf], &[0.; 4], &[nan, -0., 0., inf]);
    case(Opcode::Sign, &[nan, -0., -2., inf], &[0.; 4], &[0., 0., -1., 1.]);
    case(Opcode::Copysign, &[1., -1., 0.], &[-0., 0., -1.], &[-1., 1., -0.]);
    case(Opcode::Erfinv, &[0., 1., -1., 2.], &[0.; 4], &[0., inf, -inf, nan]);
    case(Opcode::Sin, &[inf, nan, -0., 0.], &[0.; 4], &[nan, nan, -0., 0.]);
    case(Opcode::Nextafter, &[0., 1., 1.], &[0., 1., nan], &[0., 1., nan]);
    let x = Array::of_slice(&[2], DType::F32, &[1e8, -3e30]);
    let out = Array::new(&[2], DType::F32, Kind::Contiguous);
    run_program(&Program::single(Opcode::Cos, DType::F32, &[DType::F32], DType::F32), &[x.view()], &[], &[out.view()])
        .unwrap();
    assert_eq!(out.get(0) as f32, 1e8f64.cos() as f32);
    assert_eq!(out.get(1) as f32, (-3e30f32 as f64).cos() as f32);
}

/// On both sides of where the series change; values from mpmath.
#[cfg_attr(test, test)]
pub(crate) fn modified_bessel_functions() {
    let points = [
        (0.5, 1.0634833707413236, 0.2578943053908963),
        (-11.75, 14917.234727230314, -14267.615320679373),
        (12.25, 24075.74003901683, 23071.11043117882),
        (19.75, 34140102.06010144, 33264251.978947733),
        (-20.25, 55579102.84093865, -54188928.20424874),
        (80.0, 2.4751784043341704e33, 2.459659579567541e33),
        (0.0, 1.0, 0.0),
        (3e38, f64::INFINITY, f64::INFINITY),
    ];
    for (ty, most) in [(DType::F32, 1.2e-7), (DType::F64, 2e-15)] {
        let n = points.len() as i64;
        let x = Array::of(&[n], ty, Kind::Contiguous, |i| points[i].0);
        for op in [Opcode::I0, Opcode::I1] {
            let out = Array::new(&[n], ty, Kind::Contiguous);
            run_program(&Program::single(op, ty, &[ty], ty), &[x.view()], &[], &[out.view()]).unwrap();
            for (i, p) in points.iter().enumerate() {
                let want = if op == Opcode::I0 { p.1 } else { p.2 };
                let close =
                    if want.is_finite() { (out.get(i) - want).abs() <= most * want.abs() } else { out.get(i) == want };
                assert!(close, "{op:?} {ty} of {}: {}", p.0, out.get(i));
            }
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn integer_rules() {
    let run = |op, ty: DType, a: &[f64], b: &[f64]| {
        let shape = [a.len() as i64];
        let (x, y) = (Array::of_slice(&shape, ty, a), Array::of_slice(&shape, ty, b));
        let out = Array::new(&shape, ty, Kind::Contiguous);
        run_program(&Program::single(op, ty, &[ty, ty], ty), &[x.view(), y.view()], &[], &[out.view()])
            .map(|_| out.to_vec())
    };
    let pow = run(Opcode::Pow, DType::I64, &[2., 1., -1., -1., 3., 0., -2.], &[-1., -5., -3., -2., 2., -1., 3.]);
    assert_eq!(pow.unwrap(), [0., 1., -1., 1., 9., 0., -8.]);
    let shl = run(Opcode::ShiftLeft, DType::I8, &[1., 1., 1., -5.], &[7., 8., -1., 1.]);
    assert_eq!(shl.unwrap(), [-128., 0., 0., -10.]);
    let shr = run(Opcode::ShiftRight, DType::I8, &[-1., 100., 100., -5., -100.], &[7., 8., -1., 100., 2.]);
    assert_eq!(shr.unwrap(), [-1., 0., 0., -1., -25.]);
    assert_eq!(run(Opcode::ShiftRight, DType::U8, &[200., 200.], &[8., 3.]).unwrap(), [0., 25.]);
    for op in [Opcode::FloorDiv, Opcode::TruncDiv, Opcode::Remainder, Opcode::Fmod] {
        let e = run(op, DType::I32, &[1., 2.], &[1., 0.]).unwrap_err();
        assert_eq!((e.kind, e.message.as_str()), (crate::ErrorKind::Runtime, "ZeroDivisionError"));
        // The extreme quotient wraps around and does not trap.
        run(op, DType::I8, &[-128.], &[-1.]).unwrap();
    }
    assert!(run(Opcode::Sub, DType::Bool, &[1.], &[1.]).is_err());
    assert_eq!(run(Opcode::Add, DType::I64, &[i64::MAX as f64], &[1.]).unwrap().len(), 1);
}

/// relu(a * s + b) with the sum and its sign kept too, in place on `a`.
#[cfg_attr(test, test)]
pub(crate) fn fused_program_with_several_outputs_in_place() {
    let f = DType::F32;
    for kind in OUT_KINDS {
        for shape in SHAPES {
            let a = Array::of(shape, f, kind, |i| (i % 17) as f64 - 8.0);
            let b = Array::of(shape, DType::I16, Kind::BroadcastRows, |i| (i % 5) as f64 - 2.0);
            let before = a.to_vec();
            let (pos, half) = (Array::new(shape, DType::Bool, kind), Array::new(shape, DType::F16, Kind::Transposed));
            let inst = |op, ty, x, y, z| Inst { op, ty, args: [x, y, z] };
            let (i0, i1, s0) = (Src::Input(0), Src::Input(1), Src::Scalar(0));
            let p = Program {
                inputs: SmallVec::from_slice(&[f, DType::I16]),
                insts: SmallVec::from_slice(&[
                    inst(Opcode::MulAdd, f, i1, i0, s0),
                    inst(Opcode::Relu, f, Src::Reg(0), i0, i0),
                    inst(Opcode::Gt, f, Src::Reg(0), i0, i0),
                    inst(Opcode::Add, f, Src::Reg(1), Src::Reg(2), i0),
                ]),
                outputs: SmallVec::from_slice(&[(1, f), (2, DType::Bool), (3, DType::F16)]),
            };
            run_program(&p, &[a.view(), b.view()], &[Scalar::Float(0.5)], &[a.view(), pos.view(), half.view()])
                .unwrap();
            for (i, x) in before.iter().enumerate() {
                let sum = x * 0.5 + b.get(i);
                assert_eq!(a.get(i), sum.max(0.0), "{kind:?} {shape:?} {i}");
                assert_eq!(pos.get(i), (sum > *x) as u8 as f64);
                assert_eq!(half.get(i), sum.max(0.0) + pos.get(i));
            }
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn same_numbers_on_any_number_of_threads() {
    let n = 300_001;
    let a = Array::of(&[n], DType::F32, Kind::Contiguous, |i| (i as f64 * 0.37).sin() * 9.0);
    let b = Array::of(&[3, n / 3], DType::F32, Kind::BroadcastRows, |i| i as f64);
    let t = Array::of(&[3, n / 3], DType::F64, Kind::Transposed, |i| i as f64);
    let mut seen: Option<Vec<f64>> = None;
    for threads in [1, 2, 5] {
        set_num_threads(threads);
        let out = Array::new(&[n], DType::F32, Kind::Contiguous);
        let p = Program::single(Opcode::Exp, DType::F32, &[DType::F32], DType::F32);
        run_program(&p, &[a.view()], &[], &[out.view()]).unwrap();
        let out2 = Array::new(&[3, n / 3], DType::F32, Kind::Contiguous);
        let p = Program::single(Opcode::Add, DType::F32, &[DType::F32, DType::F64], DType::F32);
        run_program(&p, &[b.view(), t.view()], &[], &[out2.view()]).unwrap();
        let out3 = Array::new(&[n], DType::F32, Kind::Contiguous);
        let p = Program::single(Opcode::Mul, DType::F32, &[DType::F32], DType::F32);
        run_program(&p, &[a.view()], &[Scalar::Float(3.0)], &[out3.view()]).unwrap();
        let mut all = out.to_vec();
        for i in 0..out2.numel() {
            assert_eq!(out2.get(i), (b.get(i) as f32 + t.get(i) as f32) as f64);
        }
        all.extend(out2.to_vec());
        all.extend(out3.to_vec());
        match &seen {
            Some(s) => assert!(*s == all, "{threads} threads"),
            None => seen = Some(all),
        }
    }
}

/// Timings, printed; run with `cargo test --release --lib elementwise::tests::speed -- --ignored --nocapture`.
#[cfg_attr(test, test, ignore = "measures, does not check")]
pub(crate) fn speed() {
    use std::time::Instant;
    let time = |name: &str, bytes: f64, reps: usize, f: &mut dyn FnMut()| {
        f();
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let t = Instant::now();
            for _ in 0..reps {
                f();
            }
            best = best.min(t.elapsed().as_secs_f64() / reps as f64);
        }
        println!("{name}: {:.1} ns, {:.1} GB/s", best * 1e9, bytes / best / 1e9);
    };
    let f = DType::F32;
    for threads in [1, 2] {
        set_num_threads(threads);
        println!("-- {threads} threads, {:?}", level());
        for n in [4i64, 1000, 100_000, 10_000_000] {
            let (a, b) = (
                Array::of(&[n], f, Kind::Contiguous, |i| i as f64 * 1e-4),
                Array::of(&[n], f, Kind::Contiguous, |i| i as f64),
            );
            let out = Array::new(&[n], f, Kind::Contiguous);
            let reps = (20_000_000 / n).clamp(3, 1_000_000) as usize;
            let p = Program::single(Opcode::Add, f, &[f, f], f);
            let backend = crate::backend::cpu::backend();
            let (va, vb, vo) = (a.view(), b.view(), out.view());
            time(&format!("add {n}"), 12.0 * n as f64, reps, &mut || {
                backend.run_program(&p, &[va, vb], &[], &[vo]).unwrap()
            });
            time(&format!("add in place {n}"), 12.0 * n as f64, reps, &mut || {
                backend.run_program(&p, &[vo, vb], &[], &[vo]).unwrap()
            });
            let p = Program::single(Opcode::Mul, f, &[f], f);
            time(&format!("mul scalar {n}"), 8.0 * n as f64, reps, &mut || {
                backend.run_program(&p, &[va], &[Scalar::Float(2.0)], &[vo]).unwrap()
            });
            for op in [Opcode::Exp, Opcode::Tanh, Opcode::Gelu, Opcode::Sin, Opcode::Log, Opcode::Pow] {
                let ins = [f, f];
                let p = Program::single(op, f, &ins[..op.arity()], f);
                time(&format!("{op:?} {n}"), 8.0 * n as f64, (reps / 10).max(3), &mut || {
                    backend.run_program(&p, &[va, vb][..op.arity()], &[], &[vo]).unwrap()
                });
            }
        }
        for (r, c) in [(2i64, 3i64), (1000, 1000), (100_000, 10)] {
            let n = (r * c) as f64;
            let a = Array::of(&[r, c], f, Kind::Contiguous, |i| i as f64);
            let b = Array::of(&[r, c], f, Kind::BroadcastRows, |i| i as f64);
            let t = Array::of(&[r, c], f, Kind::Transposed, |i| i as f64);
            let h = Array::of(&[r, c], DType::F16, Kind::Contiguous, |i| i as f64);
            let (out, outh) =
                (Array::new(&[r, c], f, Kind::Contiguous), Array::new(&[r, c], DType::F16, Kind::Contiguous));
            let reps = (5_000_000.0 / n).clamp(3.0, 1e6) as usize;
            let p = Program::single(Opcode::Add, f, &[f, f], f);
            time(&format!("add row [{r}, {c}]"), 8.0 * n, reps, &mut || {
                run_program(&p, &[a.view(), b.view()], &[], &[out.view()]).unwrap()
            });
            time(&format!("add transposed [{r}, {c}]"), 12.0 * n, reps, &mut || {
                run_program(&p, &[a.view(), t.view()], &[], &[out.view()]).unwrap()
            });
            let p = Program::single(Opcode::Cast, f, &[f], f);
            time(&format!("copy transposed [{r}, {c}]"), 8.0 * n, reps, &mut || {
                run_program(&p, &[t.view()], &[], &[out.view()]).unwrap()
            });
            let p = Program::single(Opcode::Add, f, &[DType::F16, DType::F16], DType::F16);
            time(&format!("add f16 [{r}, {c}]"), 6.0 * n, reps, &mut || {
                run_program(&p, &[h.view(), h.view()], &[], &[outh.view()]).unwrap()
            });
        }
    }
    time("alloc + free 64", 0.0, 1_000_000, &mut || {
        drop(std::hint::black_box(crate::backend::cpu::alloc::Block::new(64).unwrap()))
    });
    time("alloc + free 1 MB", 0.0, 100_000, &mut || {
        drop(std::hint::black_box(crate::backend::cpu::alloc::Block::new(1 << 20).unwrap()))
    });
}
