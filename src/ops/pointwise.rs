//! The way of every elementwise op: broadcast, promote, allocate (or write in place), run a program, record.

use crate::autograd::{self, meta, mode, view, Edge};
use crate::backend::program::{Inst, Opcode, Program, Src};
use crate::backend::{self, View};
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::base::layout::{broadcast_shapes, Layout};
use crate::base::scalar::Scalar;
use crate::tensor::{Body, Tensor};
use crate::{bail, ensure};
use smallvec::SmallVec;

pub use super::operands::{promote, promote_float, same_device, Arg, Dest};

/// A result tensor for `dest`: fresh memory, or an alias of the tensor written in place (its version is bumped).
fn result(shape: &[i64], dtype: DType, like: &Tensor, dest: Dest) -> Result<Tensor> {
    match dest {
        None => Tensor::empty(shape, dtype, like.device()),
        Some(d) => {
            let b = d.body();
            ensure!(
                b.shape() == shape,
                Runtime,
                "output with shape {:?} doesn't match the broadcast shape {shape:?}",
                b.shape()
            );
            ensure!(
                dtype.can_cast(b.dtype()),
                Runtime,
                "result type {} can't be cast to the desired output type {}",
                dtype.scalar_name(),
                b.dtype().scalar_name()
            );
            drop(b);
            d.bump_version();
            Ok(d.alias_same())
        }
    }
}

/// Runs `op` over broadcast operands in `ty`, storing `out` (dtype), and returns the result without history.
pub fn pointwise(op: Opcode, ty: DType, out: DType, args: &[Arg], dest: Dest) -> Result<Tensor> {
    if ty.is_complex() {
        return super::complex::elementwise::pointwise(op, ty, args, dest);
    }
    debug_assert_eq!(args.len(), op.arity());
    let mut inputs: SmallVec<[&Tensor; 3]> = SmallVec::new();
    let mut scalars: SmallVec<[Scalar; 3]> = SmallVec::new();
    let mut srcs = [Src::Input(0); 3];
    for (i, a) in args.iter().enumerate() {
        srcs[i] = match a {
            Arg::T(t) => {
                inputs.push(t);
                Src::Input(inputs.len() as u8 - 1)
            }
            Arg::S(s) => {
                scalars.push(*s);
                Src::Scalar(scalars.len() as u8 - 1)
            }
        };
    }
    if dest.is_none() {
        if let Some(result) = plain(op, ty, out, &inputs, &scalars, srcs) {
            return result;
        }
    }
    let dtypes: SmallVec<[DType; 3]> = inputs.iter().map(|t| t.dtype()).collect();
    let stored = dest.map_or(out, |d| d.dtype());
    let program = Program::of_args(op, ty, &dtypes, srcs, stored);
    run(&program, &inputs, &scalars, out, dest)
}

/// The common case of [`pointwise`]: new memory, one device, equal shapes. Each operand is locked once, which is most of
/// the time that an op on a few elements takes. None in every other case.
#[inline]
fn plain(
    op: Opcode,
    ty: DType,
    out: DType,
    inputs: &[&Tensor],
    scalars: &[Scalar],
    srcs: [Src; 3],
) -> Option<Result<Tensor>> {
    let mut bodies: SmallVec<[_; 3]> = SmallVec::new();
    let mut dtypes = [out; 3];
    for (i, t) in inputs.iter().enumerate() {
        bodies.push(t.materialize());
        dtypes[i] = bodies[i].dtype();
    }
    let lead = bodies.first()?;
    let device = lead.device();
    if lead.layout().numel() == 0 || bodies[1..].iter().any(|b| b.device() != device || b.shape() != lead.shape()) {
        return None;
    }
    let program = Program::of_args(op, ty, &dtypes[..inputs.len()], srcs, out);
    let mut views: SmallVec<[View; 3]> = SmallVec::new();
    for b in &bodies {
        views.push(b.view());
    }
    Some(Tensor::computed(lead.shape(), out, device, |o| {
        backend::get(device)?.run_program(&program, &views, scalars, &[o])
    }))
}

/// The most common case of all: two tensors of one dtype that `fits`, one shape and one device into new memory. Both are
/// locked once, for the promotion and the kernel. None in every other case.
#[inline]
pub fn alike(op: Opcode, a: &Tensor, b: &Tensor, fits: impl Fn(DType) -> bool) -> Option<Result<Tensor>> {
    let (x, y) = (a.materialize(), b.materialize());
    let (dtype, device) = (x.dtype(), x.device());
    // Complex numbers have no kernels of their own.
    if dtype.is_complex() || y.dtype() != dtype || !fits(dtype) {
        return None;
    }
    if y.device() != device || x.shape() != y.shape() || x.layout().numel() == 0 {
        return None;
    }
    let program = Program::of_args(op, dtype, &[dtype, dtype], [Src::Input(0), Src::Input(1), Src::Input(0)], dtype);
    Some(Tensor::computed(x.shape(), dtype, device, |o| {
        backend::get(device)?.run_program(&program, &[x.view(), y.view()], &[], &[o])
    }))
}

/// Several instructions as one pass over memory, in `ty`, into new memory and without history; registers are numbered in
/// order, and the last is the result.
pub fn chain(insts: &[(Opcode, [Src; 3])], ty: DType, inputs: &[&Tensor], scalars: &[Scalar]) -> Result<Tensor> {
    let program = Program {
        inputs: inputs.iter().map(|t| t.dtype()).collect(),
        insts: insts.iter().map(|(op, args)| Inst { op: *op, ty: ty.compute(), args: *args }).collect(),
        outputs: SmallVec::from_slice(&[(insts.len() as u8 - 1, ty)]),
    };
    run(&program, inputs, scalars, ty, None)
}

/// acc += g without a record where both are alike and dense, whose memory is different: a gradient that arrives. None in
/// every other case.
pub fn add_dense(acc: &Tensor, g: &Tensor) -> Option<Result<()>> {
    if acc.is_same(g) {
        return None;
    }
    let (x, y) = (acc.materialize(), g.materialize());
    if std::sync::Arc::ptr_eq(x.storage(), y.storage()) {
        return None;
    }
    dense_into(Opcode::Add, &x, &y)
}

/// t = op(t, b) without a record, the most common case of writing in place: both alike and dense. `a` is the tensor that
/// the op was given, another one than `t` where its history counts. None in every other case.
#[inline]
pub fn alike_into(
    op: Opcode,
    a: &Tensor,
    t: &Tensor,
    b: &Tensor,
    fits: impl Fn(DType) -> bool,
) -> Option<Result<Tensor>> {
    if !a.is_same(t) {
        return None;
    }
    let (x, y) = (t.materialize(), b.materialize());
    if !fits(x.dtype()) || (std::sync::Arc::ptr_eq(x.storage(), y.storage()) && x.layout() != y.layout()) {
        return None;
    }
    dense_into(op, &x, &y).map(|done| done.map(|()| a.clone()))
}

fn dense_into(op: Opcode, x: &Body, y: &Body) -> Option<Result<()>> {
    let dtype = x.dtype();
    let alike = y.dtype() == dtype && y.device() == x.device() && x.shape() == y.shape();
    let dense = x.layout().is_contiguous() && y.layout().is_contiguous() && x.layout().numel() > 0;
    if !alike || !dense || dtype.is_complex() {
        return None;
    }
    let program = Program::of_args(op, dtype, &[dtype, dtype], [Src::Input(0), Src::Input(1), Src::Input(0)], dtype);
    x.bump_version();
    Some(backend::get(x.device()).and_then(|b| b.run_program(&program, &[x.view(), y.view()], &[], &[x.view()])))
}

/// Runs a program of one output over broadcast inputs; `out` is the dtype that the result has by promotion (the
/// program's own output dtype may be that of `dest`).
pub fn run(program: &Program, inputs: &[&Tensor], scalars: &[Scalar], out: DType, dest: Dest) -> Result<Tensor> {
    let Some(mut lead) = inputs.first().copied() else {
        bail!(Internal, "an elementwise program needs an input");
    };
    // A 0-dim CPU tensor may meet tensors of a device: it moves there.
    let mut moved: SmallVec<[(usize, Tensor); 1]> = SmallVec::new();
    for t in &inputs[1..] {
        if t.device() != lead.device() {
            if lead.ndim() == 0 && lead.device().is_cpu() {
                lead = t;
            } else if !(t.ndim() == 0 && t.device().is_cpu()) {
                same_device(lead, t)?;
            }
        }
    }
    if let Some(d) = dest {
        same_device(d, lead)?;
    }
    for (i, t) in inputs.iter().enumerate() {
        if t.device() != lead.device() {
            moved.push((i, crate::ops::to_device(&t.alias_same(), lead.device())?));
        } else if let Some(d) = dest {
            // The kernel's contract: an input may share memory with the output only in the same layout.
            let shares = {
                let (a, b) = (t.body(), d.body());
                std::sync::Arc::ptr_eq(a.storage(), b.storage()) && a.layout() != b.layout()
            };
            if shares {
                moved.push((i, t.contiguous_copy()?));
            }
        }
    }
    let input = |i: usize| moved.iter().find(|(j, _)| *j == i).map_or(inputs[i], |(_, t)| t);
    let bodies: SmallVec<[_; 4]> = (0..inputs.len()).map(|i| input(i).materialize()).collect();
    let same = bodies.iter().all(|b| b.shape() == bodies[0].shape());
    let mut layouts: SmallVec<[Layout; 3]> = SmallVec::new();
    let result = if same {
        result(bodies[0].shape(), out, lead, dest)?
    } else {
        let mut shape = crate::Dims::from_slice(bodies[0].shape());
        for b in &bodies[1..] {
            shape = broadcast_shapes(&shape, b.shape())?;
        }
        for b in &bodies {
            layouts.push(b.layout().broadcast_to(&shape)?);
        }
        result(&shape, out, lead, dest)?
    };
    let views: SmallVec<[View; 4]> = if same {
        bodies.iter().map(|b| b.view()).collect()
    } else {
        bodies.iter().zip(&layouts).map(|(b, l)| b.view_as(l)).collect()
    };
    {
        let o = result.body();
        if o.layout().numel() > 0 {
            backend::get(o.device())?.run_program(program, &views, scalars, &[o.view()])?;
        }
    }
    Ok(result)
}

/// Writes an op's result into `t` and gives `t` the op's history. `f` gets the old value and the destination;
/// `keeps_input` says that its derivative needs the old value of `t`, which is then copied first.
pub fn inplace(
    t: &Tensor,
    others: &[&Tensor],
    keeps_input: bool,
    f: impl FnOnce(&Tensor, Dest) -> Result<Tensor>,
) -> Result<()> {
    view::check_inplace(t)?;
    let recording = mode::grad_enabled() && (autograd::requires_grad(t) || autograd::recording(others));
    if !recording {
        f(t, Some(t))?;
        return Ok(());
    }
    let ghost = if keeps_input { t.contiguous_copy()? } else { t.alias_same() };
    if let Some(e) = autograd::gradient_edge(t) {
        meta::set_history(&ghost, Some(e));
    }
    let out = f(&ghost, Some(t))?;
    view::rebase(t, history(&out))
}

/// The edge of a recorded result.
pub fn history(out: &Tensor) -> Option<Edge> {
    autograd::gradient_edge(out)
}
