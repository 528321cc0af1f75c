//! Elementwise ops on complex numbers: programs over the parts.

use super::formula::{Formula, R, Z};
use crate::backend::program::Opcode;
use crate::backend::{self, View};
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};
use crate::base::layout::{broadcast_shapes, Layout};
use crate::base::scalar::Scalar;
use crate::ops::operands::{same_device, Arg, Dest};
use crate::ops::to_device;
use crate::tensor::Tensor;
use crate::{bail, ensure, Dims};
use smallvec::SmallVec;

/// The error of an op that complex numbers do not have, in PyTorch's words.
#[cold]
fn refused(op: Opcode, ty: DType) -> Error {
    use crate::base::error::ErrorKind::{NotImplemented, Type};
    let name = format!("{op:?}").to_lowercase();
    let (kind, message) = match op {
        Opcode::Floor | Opcode::Ceil | Opcode::Trunc => {
            (NotImplemented, format!("{name} is not supported for complex inputs"))
        }
        Opcode::Maximum | Opcode::Minimum | Opcode::Fmax | Opcode::Fmin => {
            (Type, format!("{name} not implemented for complex tensors."))
        }
        Opcode::Clamp | Opcode::Relu => (NotImplemented, "clamp is not supported for complex types".to_string()),
        _ => {
            let kernel = match op {
                Opcode::FloorDiv => "div_floor_cpu".to_string(),
                Opcode::TruncDiv => "div_trunc_cpu".to_string(),
                Opcode::BitAnd => "bitwise_and_cpu".to_string(),
                Opcode::BitOr => "bitwise_or_cpu".to_string(),
                Opcode::BitXor => "bitwise_xor_cpu".to_string(),
                Opcode::Round | Opcode::Erf | Opcode::Erfc | Opcode::Erfinv | Opcode::Lgamma => {
                    format!("{name}_vml_cpu")
                }
                Opcode::Gelu | Opcode::GeluTanh => "GeluKernelImpl".to_string(),
                Opcode::Digamma => name,
                _ => format!("{name}_cpu"),
            };
            (NotImplemented, format!("\"{kernel}\" not implemented for '{}'", ty.scalar_name()))
        }
    };
    Error::new(kind, message)
}

/// `ops::pointwise::pointwise` where the operands promote to a complex dtype.
#[cold]
pub fn pointwise(op: Opcode, ty: DType, args: &[Arg], dest: Dest) -> Result<Tensor> {
    let mut inputs: SmallVec<[Tensor; 6]> = SmallVec::new();
    let device = lead_device(args)?;
    if op == Opcode::Cast && !ty.is_complex() {
        bail!(Internal, "a complex tensor is cast part by part");
    }
    let f = Formula::new(ty.real());
    let mut z: SmallVec<[Z; 3]> = SmallVec::new();
    for a in args {
        z.push(match a {
            Arg::S(s) => Z { re: f.number(s.to_f64()), im: f.number(s.imag()) },
            Arg::T(t) => {
                let own = t.alias_same();
                let own = if own.device() == device { own } else { to_device(&own, device)? };
                if own.dtype().is_complex() {
                    inputs.push(own.part(0)?);
                    inputs.push(own.part(1)?);
                    Z { re: f.input(inputs.len() - 2), im: f.input(inputs.len() - 1) }
                } else {
                    inputs.push(own);
                    Z { re: f.input(inputs.len() - 1), im: f.number(0.0) }
                }
            }
        });
    }
    let part = ty.real();
    let both = |z: Z| SmallVec::<[_; 2]>::from_slice(&[(z.re.src(), part), (z.im.src(), part)]);
    let truth = |r: R| SmallVec::<[_; 2]>::from_slice(&[(r.src(), DType::Bool)]);
    let (and, or) = (Opcode::LogicalAnd, Opcode::LogicalOr);
    let (a, b) = (z[0], *z.get(1).unwrap_or(&z[0]));
    let outputs = match op {
        Opcode::Eq => truth(a.re.two(op, b.re).two(and, a.im.two(op, b.im))),
        Opcode::Ne => truth(a.re.two(op, b.re).two(or, a.im.two(op, b.im))),
        Opcode::IsNan | Opcode::IsInf => truth(a.re.one(op).two(or, a.im.one(op))),
        Opcode::IsFinite => truth(a.re.one(op).two(and, a.im.one(op))),
        Opcode::LogicalNot => truth(a.truth().one(op)),
        Opcode::LogicalAnd | Opcode::LogicalOr | Opcode::LogicalXor => truth(a.truth().two(op, b.truth())),
        Opcode::Abs => {
            ensure!(dest.is_none(), Runtime, "In-place abs is not supported for complex tensors.");
            SmallVec::from_slice(&[(a.abs().src(), part)])
        }
        Opcode::Atan2 if args.len() == 1 => SmallVec::from_slice(&[(a.angle().src(), part)]),
        Opcode::Where => both(a.re.choose_z(b, z[2])),
        Opcode::MulAdd => both(a + b * z[2]),
        _ => {
            let result = if args.len() == 1 { a.unary(op) } else { a.binary(op, b) };
            both(result.ok_or_else(|| refused(op, ty))?)
        }
    };
    drop(z);
    let mut shape = Dims::new();
    for t in &inputs {
        shape = broadcast_shapes(&shape, t.body().shape())?;
    }
    if let Some(d) = dest {
        let have = d.shape();
        ensure!(
            have == shape,
            Runtime,
            "output with shape {:?} doesn't match the broadcast shape {:?}",
            &have[..],
            &shape[..]
        );
        ensure!(
            ty.can_cast(d.dtype()),
            Runtime,
            "result type {} can't be cast to the desired output type {}",
            ty.scalar_name(),
            d.dtype().scalar_name()
        );
    }
    let stored = if outputs.len() == 2 { ty } else { outputs[0].1 };
    let out = Tensor::empty(&shape, stored, device)?;
    if out.numel() > 0 {
        let dtypes: SmallVec<[DType; 6]> = inputs.iter().map(|t| t.dtype()).collect();
        let (program, numbers) = f.finish(&dtypes, &outputs);
        let numbers: Vec<Scalar> = numbers.into_iter().map(Scalar::Float).collect();
        let layouts =
            inputs.iter().map(|t| t.body().layout().broadcast_to(&shape)).collect::<Result<SmallVec<[Layout; 6]>>>()?;
        let parts = if outputs.len() == 2 { vec![out.part(0)?, out.part(1)?] } else { vec![out.alias_same()] };
        let bodies: SmallVec<[_; 6]> = inputs.iter().map(|t| t.materialize()).collect();
        let targets: SmallVec<[_; 2]> = parts.iter().map(|t| t.body()).collect();
        let views: SmallVec<[View; 6]> = bodies.iter().zip(&layouts).map(|(b, l)| b.view_as(l)).collect();
        let written: SmallVec<[View; 2]> = targets.iter().map(|b| b.view()).collect();
        backend::get(device)?.run_program(&program, &views, &numbers, &written)?;
    }
    match dest {
        None => Ok(out),
        Some(d) => {
            d.copy_from(&out)?;
            d.bump_version();
            Ok(d.alias_same())
        }
    }
}
/// The device that operands share; numbers on the CPU may meet tensors of any.
fn lead_device(args: &[Arg]) -> Result<Device> {
    let mut lead: Option<&Tensor> = None;
    for a in args {
        let Arg::T(t) = a else { continue };
        match lead {
            None => lead = Some(t),
            Some(l) if l.device() == t.device() => {}
            Some(l) if l.ndim() == 0 && l.device().is_cpu() => lead = Some(t),
            Some(l) if !(t.ndim() == 0 && t.device().is_cpu()) => same_device(l, t)?,
            Some(_) => {}
        }
    }
    match lead {
        Some(l) => Ok(l.device()),
        None => bail!(Internal, "an elementwise op needs a tensor"),
    }
}
