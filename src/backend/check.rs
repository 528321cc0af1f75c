//! What every kernel relies on, asked of the views that it gets: another thread may have given a tensor another shape or
//! dtype since an op looked at it.

use super::program::Program;
use super::{ConvParams, Epilogue, PoolParams, StepTensors, View};
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::ensure;

/// Views of one shape.
pub fn same_shape(what: &str, views: &[&View]) -> Result<()> {
    let Some(first) = views.first() else { return Ok(()) };
    for v in views {
        ensure!(
            v.layout.shape == first.layout.shape,
            Runtime,
            "{what}: expected tensors of one shape, got {:?} and {:?}",
            v.layout.shape,
            first.layout.shape
        );
    }
    Ok(())
}
/// Views of one dtype.
pub fn same_dtype(what: &str, views: &[&View]) -> Result<()> {
    let Some(first) = views.first() else { return Ok(()) };
    for v in views {
        ensure!(
            v.dtype == first.dtype,
            Runtime,
            "{what}(): expected tensors of one dtype, got {} and {}",
            v.dtype,
            first.dtype
        );
    }
    Ok(())
}
pub fn int64(what: &str, index: &View) -> Result<()> {
    ensure!(index.dtype == DType::I64, Runtime, "{what}(): Expected dtype int64 for index, got {}", index.dtype);
    Ok(())
}
fn dim_of(what: &str, view: &View, dim: usize) -> Result<()> {
    let n = view.layout.ndim();
    ensure!(dim < n.max(1), Index, "{what}: dimension {dim} of {n} dimensions");
    Ok(())
}

/// A program's operands: as many as it has, of its dtypes and of one shape.
pub fn program(p: &Program, inputs: &[View], outputs: &[View]) -> Result<()> {
    ensure!(outputs.len() == p.outputs.len() && !outputs.is_empty(), Internal, "{} outputs given", outputs.len());
    program_inputs(p, inputs)?;
    let shape = &outputs[0].layout.shape;
    for v in inputs.iter().chain(outputs) {
        ensure!(v.layout.shape == *shape, Runtime, "operands of shapes {:?} and {:?}", v.layout.shape, shape);
    }
    for (v, (_, dtype)) in outputs.iter().zip(&p.outputs) {
        ensure!(v.dtype == *dtype, Runtime, "expected an output of {dtype}, got {}", v.dtype);
    }
    Ok(())
}
fn program_inputs(p: &Program, inputs: &[View]) -> Result<()> {
    ensure!(inputs.len() == p.inputs.len(), Internal, "{} inputs given", inputs.len());
    for (v, dtype) in inputs.iter().zip(&p.inputs) {
        ensure!(v.dtype == *dtype, Runtime, "expected an operand of {dtype}, got {}", v.dtype);
    }
    Ok(())
}
pub fn reduction(prologue: Option<&Program>, inputs: &[View], reduced: &[bool], out: &View) -> Result<()> {
    if let Some(p) = prologue {
        program_inputs(p, inputs)?;
    }
    let views: smallvec::SmallVec<[&View; 4]> = inputs.iter().collect();
    same_shape("reduce", &views)?;
    let Some(first) = inputs.first() else { return Ok(()) };
    let (shape, small) = (&first.layout.shape, &out.layout.shape);
    ensure!(
        reduced.len() == shape.len()
            && small.len() == shape.len()
            && (0..shape.len()).all(|d| small[d] == if reduced[d] { 1 } else { shape[d] }),
        Runtime,
        "reduce of {shape:?} over {reduced:?} into {small:?}"
    );
    Ok(())
}
/// Ops along rows of tensors of one shape.
pub fn rows(what: &str, views: &[&View], dim: usize) -> Result<()> {
    same_shape(what, views)?;
    dim_of(what, views[0], dim)
}

/// gather and scatter: equal ranks, and the index no larger than the data beside `dim`.
pub fn along(what: &str, data: &View, index: &View, dim: usize) -> Result<()> {
    int64(what, index)?;
    let (sd, si) = (&data.layout.shape, &index.layout.shape);
    ensure!(
        sd.len() == si.len() && dim < sd.len().max(1),
        Runtime,
        "{what}(): Index tensor must have the same number of dimensions as input tensor"
    );
    ensure!(
        (0..sd.len()).all(|d| d == dim || si[d] <= sd[d]),
        Runtime,
        "{what}(): Expected index {si:?} to be no larger than {sd:?} apart from dimension {dim}"
    );
    Ok(())
}
pub fn gather(input: &View, dim: usize, index: &View, out: &View) -> Result<()> {
    same_dtype("gather", &[input, out])?;
    same_shape("gather", &[index, out])?;
    along("gather", input, index, dim)
}
pub fn scatter(out: &View, dim: usize, index: &View, src: &View) -> Result<()> {
    same_dtype("scatter", &[out, src])?;
    along("scatter", out, index, dim)?;
    let (si, ss) = (&index.layout.shape, &src.layout.shape);
    ensure!(
        si.len() == ss.len() && (0..si.len()).all(|d| si[d] <= ss[d]),
        Runtime,
        "scatter(): Expected index {si:?} to be no larger than src {ss:?}"
    );
    Ok(())
}
/// Advanced indexing: int64 indices of one shape, and values of that shape and what is behind the indexed dimensions.
pub fn index(what: &str, data: &View, indices: &[View], values: &View) -> Result<()> {
    let (sd, sv) = (&data.layout.shape, &values.layout.shape);
    ensure!(
        !indices.is_empty() && indices.len() <= sd.len(),
        Index,
        "too many indices for tensor of dimension {}",
        sd.len()
    );
    let shape = &indices[0].layout.shape;
    for ix in indices {
        int64(what, ix)?;
        ensure!(
            ix.layout.shape == *shape,
            Runtime,
            "{what}(): expected indices of one shape, got {:?} and {shape:?}",
            ix.layout.shape
        );
    }
    let ni = shape.len();
    ensure!(
        sv.len() == ni + sd.len() - indices.len() && sv[..ni] == shape[..] && sv[ni..] == sd[indices.len()..],
        Runtime,
        "{what}(): shape {sv:?} does not fit indices of shape {shape:?} into {sd:?}"
    );
    same_dtype(what, &[data, values])
}

/// [batch, m, k] @ [batch, k, n], with a bias of n elements.
pub fn gemm(a: &View, b: &View, out: &View, epilogue: &Epilogue) -> Result<()> {
    let (sa, sb, so) = (&a.layout.shape, &b.layout.shape, &out.layout.shape);
    ensure!(
        a.dtype == b.dtype && a.dtype == out.dtype,
        Runtime,
        "gemm: expected operands of one dtype, got {} @ {} -> {}",
        a.dtype,
        b.dtype,
        out.dtype
    );
    ensure!(
        sa.len() == 3 && sb.len() == 3 && so.len() == 3,
        Runtime,
        "gemm: expected 3-dimensional operands, got {sa:?} @ {sb:?} -> {so:?}"
    );
    ensure!(
        sa[0] == so[0] && sb[0] == so[0] && sa[1] == so[1] && sb[2] == so[2] && sa[2] == sb[1],
        Runtime,
        "gemm: shapes {sa:?} @ {sb:?} -> {so:?} do not fit"
    );
    if let Some(v) = &epilogue.bias {
        ensure!(
            v.dtype == out.dtype && v.layout.shape[..] == [so[2]],
            Runtime,
            "gemm: expected a bias of {} elements of {}, got {} of shape {:?}",
            so[2],
            out.dtype,
            v.dtype,
            &v.layout.shape[..]
        );
    }
    if let Some(v) = &epilogue.pre {
        ensure!(
            v.dtype == out.dtype && v.layout.shape == out.layout.shape,
            Runtime,
            "gemm: expected {} of shape {:?} for the activation's arguments, got {} of shape {:?}",
            out.dtype,
            &out.layout.shape[..],
            v.dtype,
            &v.layout.shape[..]
        );
    }
    Ok(())
}

/// A convolution of `input`, or what a transposed one makes of `output`.
pub fn conv(what: &str, input: &View, weight: &View, bias: Option<&View>, output: &View, p: &ConvParams) -> Result<()> {
    let (si, sw, so) = (&input.layout.shape, &weight.layout.shape, &output.layout.shape);
    let nd = si.len();
    ensure!(
        (3..=5).contains(&nd) && sw.len() == nd && so.len() == nd,
        Runtime,
        "{what}: expected input, weight and output of 3 to 5 dimensions, got {si:?}, {sw:?} and {so:?}"
    );
    let s = nd - 2;
    ensure!(
        p.stride.len() == s && p.padding.len() == s && p.dilation.len() == s,
        Runtime,
        "{what}: expected {s} strides, paddings and dilations, got {:?}, {:?} and {:?}",
        p.stride,
        p.padding,
        p.dilation
    );
    ensure!(
        p.stride.iter().all(|v| *v > 0) && p.dilation.iter().all(|v| *v > 0) && p.groups > 0,
        Runtime,
        "{what}: stride, dilation and groups must be positive, got {p:?}"
    );
    ensure!(
        input.dtype == weight.dtype && input.dtype == output.dtype,
        Runtime,
        "{what}: Input type ({}) and weight type ({}) should be the same",
        input.dtype,
        weight.dtype
    );
    let g = p.groups;
    ensure!(
        si[0] == so[0] && Some(si[1]) == sw[1].checked_mul(g) && so[1] == sw[0] && sw[0] % g == 0,
        Runtime,
        "{what}: input {si:?}, weight {sw:?}, output {so:?} and groups {g} do not fit"
    );
    // The last window lies inside the padded input.
    let fits = |d: usize| {
        let reach = (so[d + 2] as i128 - 1) * p.stride[d] as i128 + (sw[d + 2] as i128 - 1) * p.dilation[d] as i128;
        so[d + 2] == 0 || reach < si[d + 2] as i128 + 2 * p.padding[d] as i128
    };
    ensure!(
        (0..s).all(fits),
        Runtime,
        "{what}: an output {so:?} is too large for input {si:?}, weight {sw:?} and {p:?}"
    );
    if let Some(b) = bias {
        ensure!(
            b.dtype == input.dtype && b.layout.shape[..] == [sw[0]],
            Runtime,
            "{what}: expected bias to be 1-dimensional with {} elements of {}, got shape {:?} of {}",
            sw[0],
            input.dtype,
            b.layout.shape,
            b.dtype
        );
    }
    Ok(())
}

/// Windows over the last dimensions.
pub fn pool(what: &str, input: &View, output: &View, p: &PoolParams) -> Result<()> {
    let (si, so, s) = (&input.layout.shape, &output.layout.shape, p.kernel.len());
    ensure!(
        (1..=3).contains(&s) && p.stride.len() == s && p.padding.len() == s && p.dilation.len() == s,
        Runtime,
        "{what}: expected 1 to 3 kernel sizes and as many strides, paddings and dilations, got {p:?}"
    );
    ensure!(
        si.len() >= s && si.len() == so.len() && si[..si.len() - s] == so[..si.len() - s],
        Runtime,
        "{what}: input {si:?} and output {so:?} do not fit a window over {s} dimensions"
    );
    ensure!(
        p.kernel.iter().chain(&p.stride).chain(&p.dilation).all(|v| *v > 0) && p.padding.iter().all(|v| *v >= 0),
        Runtime,
        "{what}: kernel, stride and dilation must be positive and padding not negative, got {p:?}"
    );
    Ok(())
}
/// The positions of a maximum pooling.
pub fn pool_indices(what: &str, output: &View, indices: &View) -> Result<()> {
    int64(what, indices)?;
    same_shape(what, &[output, indices])
}

/// One parameter's views: of one dtype and size, contiguous.
pub fn step(tensors: &[StepTensors], states: usize) -> Result<()> {
    for t in tensors {
        let n = t.param.layout.numel();
        let mut views = [&t.param, &t.grad].into_iter().chain(&t.state);
        ensure!(
            t.state.len() >= states
                && views.all(|v| v.layout.numel() == n && v.dtype == t.param.dtype && v.layout.is_contiguous()),
            Runtime,
            "optimizer_step: the views of one parameter differ, or are not contiguous"
        );
    }
    Ok(())
}
