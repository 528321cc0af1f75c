//! Elementwise programs: printed once per walk, then launched.

use super::device::*;
use super::kept::{Kind, Printed, Slot};
use super::plan::{collapse, magic, Plan};
use crate::backend::kernels::print::{self, Rows, Walk};
use crate::backend::kernels::reduce;
use crate::base::no_kernel::no_kernel;
use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

/// From this size on a work-item of a GPU takes several elements.
const SEVERAL_FROM: usize = 1 << 18;

/// A scalar as the bytes of a compute type.
pub(super) fn scalar_arg<'a>(s: Scalar, d: DType) -> Arg<'a> {
    match d {
        DType::Bool => Arg::from((s.to_f64() != 0.0) as u8),
        DType::U8 => Arg::from(s.to_i64() as u8),
        DType::I8 => Arg::from(s.to_i64() as i8),
        DType::I16 => Arg::from(s.to_i64() as i16),
        DType::I32 => Arg::from(s.to_i64() as i32),
        DType::I64 => Arg::from(s.to_i64()),
        DType::F64 => Arg::from(s.to_f64()),
        DType::F32 | DType::F16 | DType::BF16 => Arg::from(s.to_f64() as f32),
        DType::C64 | DType::C128 => no_kernel(d.scalar_name()),
    }
}

/// How a launch walks its tensors.
pub(super) struct Walked<'a> {
    pub walk: Walk,
    /// The argument struct.
    pub meta: Arg<'a>,
    /// Work-items; those of a walk by rows stand alone.
    pub global: [usize; 2],
}

/// Elements per work-item of a walk by rows, and the block that is walked where a tensor lies across the others: 16
/// rows of 4 bytes are a cache line.
const LONG: i64 = 4096;
const TILE: [i64; 2] = [16, 64];

/// The walk over a plan's tensors. `units`: compute units of a CPU, which walks by rows; None elsewhere.
pub(super) fn walk_args<'a>(mut plan: Plan, offsets: &[i64], inputs: usize, units: Option<i64>) -> Walked<'a> {
    let n: i64 = plan.shape.iter().product();
    let mut pack = Pack::default();
    for o in offsets {
        pack.i64(*o);
    }
    let rank = plan.shape.len();
    let flat = rank == 0
        || (rank == 1 && plan.strides.iter().enumerate().all(|(k, s)| s[0] == 1 || (s[0] == 0 && k < inputs)));
    if flat {
        pack.i64(n);
        let repeated = match rank {
            0 => 0,
            _ => plan.strides.iter().enumerate().filter(|(_, s)| s[0] == 0).fold(0, |m, (k, _)| m | 1 << k),
        };
        let walk = Walk { rank: 0, wide: false, repeated, rows: None, each: 1 };
        return Walked { walk, meta: pack.arg(), global: [n as usize, 1] };
    }
    let wide = !plan.is_narrow();
    let mut walk = Walk { rank: rank as u8, wide, repeated: 0, rows: None, each: 1 };
    let mut global = [n as usize, 1];
    match units {
        None => pack.i64(n),
        Some(units) => {
            let len = plan.shape.pop().expect("at least one dimension");
            let along: SmallVec<[i64; 4]> =
                plan.strides.iter_mut().map(|s| s.pop().expect("at least one dimension")).collect();
            let mask = |v: i64| along.iter().enumerate().filter(|(_, s)| **s == v).fold(0, |m, (k, _)| m | 1 << k);
            let count = n / len;
            // A tensor that lies across: its neighbours come next.
            let across = along.iter().position(|s| *s != 0 && *s != 1);
            let near = across.and_then(|k| plan.strides[k].iter().position(|s| *s == 1));
            if let Some(d) = near {
                let size = plan.shape.remove(d);
                plan.shape.push(size);
                for s in plan.strides.iter_mut() {
                    let stride = s.remove(d);
                    s.push(stride);
                }
            }
            let (row_step, piece) = if near.is_some() {
                (TILE[0], TILE[1])
            } else {
                let chunk = (n / (8 * units)).clamp(LONG, 16 * LONG);
                ((chunk / len).max(1), if len > chunk { chunk } else { len })
            };
            for v in [count, len, row_step, piece] {
                pack.i64(v);
            }
            along.iter().for_each(|s| pack.i64(*s));
            walk.rank -= 1;
            walk.rows = Some(Rows { unit: mask(1), fixed: mask(0) });
            global = [(len + piece - 1) / piece, (count + row_step - 1) / row_step].map(|v| v as usize);
        }
    }
    let mut word = |v: i64| if wide { pack.i64(v) } else { pack.u32(v as u32) };
    plan.shape.iter().for_each(|s| word(*s));
    if !wide {
        plan.shape.iter().for_each(|s| word(magic(*s as u32).0 as i64));
        plan.shape.iter().for_each(|s| word(magic(*s as u32).1 as i64));
    }
    plan.strides.iter().flatten().for_each(|s| word(*s));
    Walked { walk, meta: pack.arg(), global }
}

impl Gpu {
    pub(super) fn elementwise(
        &self,
        program: &Program,
        inputs: &[View],
        scalars: &[Scalar],
        outputs: &[View],
    ) -> Result<()> {
        let shape = &outputs[0].layout.shape;
        let n = outputs[0].layout.numel();
        if n == 0 {
            return Ok(());
        }
        self.check_program(program)?;
        let strides: SmallVec<[&[i64]; 4]> = outputs.iter().chain(inputs).map(|v| &v.layout.strides[..]).collect();
        let mut plan = collapse(shape, &strides, true);
        // Outputs came first to steer the order; kernels number inputs first.
        plan.strides.rotate_left(outputs.len());
        let offsets: SmallVec<[i64; 4]> = inputs.iter().chain(outputs).map(|v| v.layout.offset).collect();
        let units = (self.info.kind == "cpu").then_some(self.info.compute_units.max(1) as i64);
        let Walked { mut walk, meta, global } = walk_args(plan, &offsets, inputs.len(), units);
        if self.info.kind == "gpu" && n >= SEVERAL_FROM {
            walk.each = print::each(program);
        }
        let printed = self.printed(Some(program), Kind::Elementwise(walk))?;
        let mut args: SmallVec<[Arg; 8]> = SmallVec::new();
        for v in inputs.iter().chain(outputs) {
            args.push(Arg::Mem(self.view(v)?));
        }
        args.push(meta);
        for (k, d) in &printed.scalars {
            args.push(scalar_arg(scalars[*k as usize], *d));
        }
        if walk.each > 1 {
            let groups = n.div_ceil(walk.each as usize * print::GROUP);
            return self.launch(&printed.kernel, &args, [groups * print::GROUP, 1, 1], [print::GROUP, 1, 1]);
        }
        if walk.rows.is_some() {
            return self.launch(&printed.kernel, &args, [global[0], global[1], 1], [1, 1, 1]);
        }
        self.launch_1d(&printed.kernel, &args, n)
    }

    /// The kernel of a program in some form, from the cache or built.
    pub(super) fn printed(&self, program: Option<&Program>, kind: Kind) -> Result<Arc<Printed>> {
        let key = FxBuildHasher.hash_one((program, kind));
        let slot = {
            let mut cache = self.programs.lock();
            let list = cache.entries.entry(key).or_default();
            match list.iter().find(|(p, k, _)| *k == kind && p.as_ref() == program) {
                Some((_, _, slot)) => match slot.printed.get() {
                    Some(printed) => return Ok(printed.clone()),
                    None => slot.clone(),
                },
                None => {
                    let slot = Arc::new(Slot::default());
                    list.push((program.cloned(), kind, slot.clone()));
                    slot
                }
            }
        };
        // Two threads that want one kernel build it once; those that want others do not wait for it.
        let _turn = slot.turn.lock();
        if let Some(printed) = slot.printed.get() {
            return Ok(printed.clone());
        }
        let (name, (source, scalars)) = match (kind, program) {
            (Kind::Elementwise(walk), Some(p)) => ("elementwise", print::elementwise(p, walk, self.device)?),
            (Kind::Elementwise(_), None) => bail!(Internal, "an elementwise kernel needs a program"),
            (Kind::Reduce(spec), p) => ("reduce", reduce::reduce(&spec, p, self.device)?),
        };
        let printed = Arc::new(Printed { kernel: self.compile(name, &source)?, scalars });
        Ok(slot.printed.get_or_init(|| printed).clone())
    }

    /// An error for a program that calculates in float64 where the device cannot.
    pub(super) fn check_program(&self, program: &Program) -> Result<()> {
        let uses = program.insts.iter().any(|i| i.ty == DType::F64)
            || program.inputs.contains(&DType::F64)
            || program.outputs.iter().any(|o| o.1 == DType::F64);
        if uses && !self.info.fp64 {
            return Err(self.no_fp64());
        }
        Ok(())
    }
}
