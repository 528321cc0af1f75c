//! Reductions: how the work is shared, in one pass or two.

use super::device::*;
use super::elementwise::scalar_arg;
use super::kept::Kind;
use super::plan::{collapse, magic, Plan};
use crate::backend::kernels::reduce::{accumulator, second_pass, Sharing, Spec, COLUMNS, ROW};

/// The smallest stride that is not 0, or a huge one.
fn finest(strides: &[i64]) -> i64 {
    strides.iter().copied().filter(|s| *s > 0).min().unwrap_or(i64::MAX)
}

/// What both passes of a reduction are told.
struct Pass<'a> {
    op: ReduceOp,
    program: Option<&'a Program>,
    input: DType,
    out_dtype: DType,
    inputs: SmallVec<[&'a Mem; 4]>,
    /// Offsets of the inputs.
    offsets: SmallVec<[i64; 4]>,
    pairs: Option<&'a Mem>,
    out: &'a Mem,
    out_offset: i64,
    /// Kept dimensions (inputs, then out) and reduced dimensions (inputs).
    kept: Plan,
    reduced: Plan,
    scalars: &'a [Scalar],
}

impl Gpu {
    pub(super) fn reduction(
        &self,
        op: ReduceOp,
        prologue: Option<&Program>,
        inputs: &[View],
        scalars: &[Scalar],
        reduced: &[bool],
        out: View,
    ) -> Result<()> {
        if out.layout.numel() == 0 {
            return Ok(());
        }
        if let Some(p) = prologue {
            self.check_program(p)?;
        }
        let pick = |layout: &Layout, wanted: bool| -> (SmallVec<[i64; 6]>, SmallVec<[i64; 6]>) {
            (0..layout.ndim()).filter(|d| reduced[*d] == wanted).map(|d| (layout.shape[d], layout.strides[d])).unzip()
        };
        let shape = &inputs[0].layout;
        let split = |wanted: bool, with_out: bool| {
            let sizes = pick(shape, wanted).0;
            let mut lists: SmallVec<[SmallVec<[i64; 6]>; 4]> =
                inputs.iter().map(|v| pick(v.layout, wanted).1).collect();
            if with_out {
                lists.push(pick(out.layout, wanted).1);
            }
            let lists: SmallVec<[&[i64]; 4]> = lists.iter().map(|s| &s[..]).collect();
            // The order of the reduced dimensions is what an arg op counts in.
            let reorder = !wanted || !matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin);
            let mut plan = collapse(&sizes, &lists, reorder);
            if plan.shape.is_empty() {
                plan.shape.push(1);
                plan.strides.iter_mut().for_each(|s| s.push(0));
            }
            plan
        };
        let mut mems = SmallVec::new();
        for v in inputs {
            mems.push(self.view(v)?);
        }
        self.reduce_pass(Pass {
            op,
            program: prologue,
            input: prologue.map_or(inputs[0].dtype, |p| p.outputs[0].1),
            out_dtype: out.dtype,
            inputs: mems,
            offsets: inputs.iter().map(|v| v.layout.offset).collect(),
            pairs: None,
            out: self.view(&out)?,
            out_offset: out.layout.offset,
            kept: split(false, true),
            reduced: split(true, false),
            scalars,
        })
    }

    fn reduce_pass(&self, p: Pass) -> Result<()> {
        let n = p.inputs.len();
        let outer: i64 = p.kept.shape.iter().product();
        let inner: i64 = p.reduced.shape.iter().product();
        let len = *p.reduced.shape.last().expect("at least one dimension");
        let rows = if len == 0 { 0 } else { inner / len };
        let acc = accumulator(p.op, p.input, p.out_dtype);
        let arg = matches!(p.op, ReduceOp::ArgMax | ReduceOp::ArgMin);
        let innermost = |k: usize| *p.reduced.strides[k].last().expect("at least one dimension");

        let cpu = self.info.kind == "cpu";
        let along = innermost(0) <= finest(&p.kept.strides[0]) || outer == 1;
        let units = self.info.compute_units.max(1) as i64;
        let width = *p.kept.shape.last().expect("at least one dimension");
        let neighbour = |k: usize| *p.kept.strides[k].last().expect("at least one dimension");
        let columns = cpu && !along && !arg && width >= 4 && neighbour(0) == 1;
        // Outputs that one work-item makes.
        let lines = if columns { outer / width * ((width + COLUMNS as i64 - 1) / COLUMNS as i64) } else { outer };
        let (sharing, wanted, shortest, longest) = if columns {
            (Sharing::Columns, 8 * units, 64, 1024)
        } else if cpu {
            let sharing = if along && len >= 64 { Sharing::Lanes } else { Sharing::Serial };
            (
                sharing,
                8 * units,
                if sharing == Sharing::Lanes { 4096 } else { 1024 },
                if sharing == Sharing::Lanes { 8192 } else { 1024 },
            )
        } else if along && (16..=4096).contains(&inner) && outer >= 16 * units {
            (Sharing::Rows, 1, inner, inner)
        } else if (along && inner >= 128) || outer < 256 {
            (Sharing::Group, 8 * units, 4096, 1 << 18)
        } else {
            (Sharing::Serial, 1024 * units, 64, 4096)
        };
        // Chunks: enough of them to occupy the device, none so long that a float sum loses digits.
        let chunk = (inner * lines.min(wanted) / wanted).clamp(shortest, longest).max(1);
        let (row_step, piece, chunks);
        if chunk >= inner {
            (row_step, piece, chunks) = (rows.max(1), if sharing == Sharing::Group { inner } else { len }, 1);
        } else if sharing == Sharing::Group {
            (row_step, piece, chunks) = (1, chunk, (inner + chunk - 1) / chunk);
        } else if len >= chunk {
            let pieces = (len + chunk - 1) / chunk;
            let even = ((len + pieces - 1) / pieces + 15) / 16 * 16;
            (row_step, piece, chunks) = (1, even, rows * ((len + even - 1) / even));
        } else {
            let step = (chunk / len).max(1);
            (row_step, piece, chunks) = (step, len, (rows + step - 1) / step);
        }
        let pieces = if piece == 0 { 1 } else { (len + piece - 1) / piece }.max(1);

        let two = chunks > 1;
        let step = |k: usize| if columns { neighbour(k) } else { innermost(k) };
        let spec = Spec {
            op: p.op,
            input: p.input,
            out: if two { acc } else { p.out_dtype },
            acc,
            kept: p.kept.shape.len() as u8,
            reduced: p.reduced.shape.len() as u8,
            wide: !(p.kept.is_narrow() && p.reduced.is_narrow() && outer * chunks <= i32::MAX as i64),
            sharing,
            unit: (0..n).filter(|k| step(*k) == 1).fold(0, |m, k| m | 1 << k),
            fixed: (0..n).filter(|k| step(*k) == 0).fold(0, |m, k| m | 1 << k),
            writes_pairs: arg && two,
            reads_pairs: p.pairs.is_some(),
        };
        let printed = self.printed(p.program, Kind::Reduce(spec))?;

        // Partial results lie as [outer, chunks].
        let partial = if two { Some(self.scratch((outer * chunks) as usize * acc.size())?) } else { None };
        let partial_index = if spec.writes_pairs { Some(self.scratch((outer * chunks) as usize * 8)?) } else { None };
        let mut pack = Pack::default();
        p.offsets.iter().for_each(|o| pack.i64(*o));
        pack.i64(if two { 0 } else { p.out_offset });
        for v in [lines, inner, rows, row_step, pieces, piece] {
            pack.i64(v);
        }
        let mut kept_strides = p.kept.strides.clone();
        if two {
            kept_strides[n] = contiguous_over(&p.kept.shape, chunks);
        }
        for (shape, strides) in [(&p.kept.shape, &kept_strides), (&p.reduced.shape, &p.reduced.strides)] {
            let mut word = |v: i64| if spec.wide { pack.i64(v) } else { pack.u32(v as u32) };
            shape.iter().for_each(|s| word(*s));
            if !spec.wide {
                shape.iter().for_each(|s| word(magic((*s as u32).max(1)).0 as i64));
                shape.iter().for_each(|s| word(magic((*s as u32).max(1)).1 as i64));
            }
            strides.iter().flatten().for_each(|s| word(*s));
        }

        let mut args: SmallVec<[Arg; 8]> = p.inputs.iter().map(|m| Arg::Mem(m)).collect();
        args.extend(p.pairs.map(Arg::Mem));
        args.push(Arg::Mem(partial.as_ref().map_or(p.out, |b| b.mem())));
        args.extend(partial_index.as_ref().map(|b| Arg::Mem(b.mem())));
        args.push(pack.arg());
        for (k, d) in &printed.scalars {
            args.push(scalar_arg(p.scalars[*k as usize], *d));
        }
        let (global, local) = match sharing {
            Sharing::Group => ([outer as usize * GROUP, chunks as usize, 1], [GROUP, 1, 1]),
            Sharing::Rows => ([(outer as usize).div_ceil(GROUP / ROW) * GROUP, 1, 1], [GROUP, 1, 1]),
            Sharing::Columns => ([lines as usize, chunks as usize, 1], [1, 1, 1]),
            // A CPU runs one group per thread at a time: long work-items stand alone.
            Sharing::Lanes if outer * inner / outer > 1024 => ([outer as usize, chunks as usize, 1], [1, 1, 1]),
            // A multiprocessor takes 32 groups or fewer.
            Sharing::Serial if !cpu && outer >= 1024 => ([outer as usize, chunks as usize, 1], [128, 1, 1]),
            _ if outer < 32 => ([outer as usize, chunks as usize, 1], [1, 1, 1]),
            _ => ([outer as usize, chunks as usize, 1], [32, 1, 1]),
        };
        self.launch(&printed.kernel, &args, global, local)?;

        let Some(partial) = &partial else { return Ok(()) };
        let mut kept = p.kept;
        kept.strides = SmallVec::from_iter([kept_strides[n].clone(), kept.strides[n].clone()]);
        self.reduce_pass(Pass {
            op: second_pass(p.op),
            program: None,
            input: acc,
            out_dtype: p.out_dtype,
            inputs: SmallVec::from_iter([partial.mem()]),
            offsets: SmallVec::from_slice(&[0]),
            pairs: partial_index.as_ref().map(|b| b.mem()),
            out: p.out,
            out_offset: p.out_offset,
            kept,
            reduced: Plan {
                shape: SmallVec::from_slice(&[chunks]),
                strides: SmallVec::from_iter([SmallVec::from_slice(&[1])]),
            },
            scalars: &[],
        })
    }
}

/// Row-major strides of `shape` in units of `unit`.
fn contiguous_over(shape: &[i64], unit: i64) -> SmallVec<[i64; 6]> {
    let mut strides = crate::base::layout::contiguous_strides(shape);
    strides.iter_mut().for_each(|s| *s *= unit);
    strides
}
