//! Elementwise programs: printed once per walk, then launched.

use super::plan::{collapse, magic, Plan};
use super::*;
use crate::backend::kernels::print::{self, Walk};
use crate::backend::kernels::reduce::{self, Spec};
use std::hash::{BuildHasher, RandomState};

/// A printed program with the scalars that its kernel takes.
pub(super) struct Printed {
    pub kernel: Arc<Compiled>,
    pub scalars: Vec<(u8, DType)>,
}

/// What a program is printed as.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Elementwise(Walk),
    Reduce(Spec),
}

/// From this size on a work-item of a GPU takes several elements.
const SEVERAL_FROM: usize = 1 << 18;

type Entry = (Option<Program>, Kind, Arc<Printed>);

/// Kernels by the hash of their program and kind; looking one up copies nothing.
#[derive(Default)]
pub(super) struct ProgramCache {
    hasher: RandomState,
    entries: HashMap<u64, Vec<Entry>>,
}

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
    }
}

/// The walk over a plan's tensors and its argument struct.
pub(super) fn walk_args<'a>(plan: &Plan, offsets: &[i64], inputs: usize) -> (Walk, Arg<'a>) {
    let n: i64 = plan.shape.iter().product();
    let mut pack = Pack::default();
    for o in offsets {
        pack.i64(*o);
    }
    pack.i64(n);
    let rank = plan.shape.len();
    let flat = rank == 0
        || (rank == 1 && plan.strides.iter().enumerate().all(|(k, s)| s[0] == 1 || (s[0] == 0 && k < inputs)));
    if flat {
        let repeated = match rank {
            0 => 0,
            _ => plan.strides.iter().enumerate().filter(|(_, s)| s[0] == 0).fold(0, |m, (k, _)| m | 1 << k),
        };
        return (Walk { rank: 0, wide: false, repeated, several: false }, pack.arg());
    }
    let wide = !plan.is_narrow();
    if wide {
        for s in plan.shape.iter() {
            pack.i64(*s);
        }
        for s in plan.strides.iter().flatten() {
            pack.i64(*s);
        }
    } else {
        for s in plan.shape.iter() {
            pack.u32(*s as u32);
        }
        for s in plan.shape.iter() {
            pack.u32(magic(*s as u32).0);
        }
        for s in plan.shape.iter() {
            pack.u32(magic(*s as u32).1);
        }
        for s in plan.strides.iter().flatten() {
            pack.u32(*s as u32);
        }
    }
    (Walk { rank: rank as u8, wide, repeated: 0, several: false }, pack.arg())
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
        let (mut walk, meta) = walk_args(&plan, &offsets, inputs.len());
        walk.several = walk.rank == 0 && self.info.kind == "gpu" && n >= SEVERAL_FROM;
        let printed = self.printed(Some(program), Kind::Elementwise(walk))?;
        let mut args: SmallVec<[Arg; 8]> = SmallVec::new();
        for v in inputs.iter().chain(outputs) {
            args.push(Arg::Mem(self.view(v)?));
        }
        args.push(meta);
        for (k, d) in &printed.scalars {
            args.push(scalar_arg(scalars[*k as usize], *d));
        }
        if walk.several {
            let groups = n.div_ceil(print::EACH * print::GROUP);
            return self.launch(&printed.kernel, &args, [groups * print::GROUP, 1, 1], [print::GROUP, 1, 1]);
        }
        self.launch_1d(&printed.kernel, &args, n)
    }

    /// The kernel of a program in some form, from the cache or built.
    pub(super) fn printed(&self, program: Option<&Program>, kind: Kind) -> Result<Arc<Printed>> {
        let mut cache = self.programs.lock();
        let key = cache.hasher.hash_one((program, kind));
        let hit = cache.entries.get(&key).and_then(|l| l.iter().find(|(p, k, _)| *k == kind && p.as_ref() == program));
        if let Some((_, _, printed)) = hit {
            return Ok(printed.clone());
        }
        // Held while compiling: two threads that want one kernel build it once.
        let (name, (source, scalars)) = match (kind, program) {
            (Kind::Elementwise(walk), Some(p)) => ("elementwise", print::elementwise(p, walk)?),
            (Kind::Elementwise(_), None) => bail!(Internal, "an elementwise kernel needs a program"),
            (Kind::Reduce(spec), p) => ("reduce", reduce::reduce(&spec, p)?),
        };
        let printed = Arc::new(Printed { kernel: self.compile(name, &source)?, scalars });
        cache.entries.entry(key).or_default().push((program.cloned(), kind, printed.clone()));
        Ok(printed)
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
