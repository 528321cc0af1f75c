//! Automatic casts: in a region products run in a shorter float type, what needs range or precision in float32. Which op does
//! what is PyTorch's (`spec/autocast.txt`). State is the thread's.

use super::op::{each, OpId, Policy, Slot};
use super::table_gen::OPS;
use crate::autograd;
use crate::base::device::DeviceType;
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::tensor::Tensor;
use crate::watch::{self, AUTOCAST};
use crate::{bail, ensure, ops};
use rustc_hash::FxHashMap;
use std::cell::RefCell;

const KINDS: usize = DeviceType::ALL.len();

/// What is in force on a thread.
#[derive(Clone, Copy)]
struct Setting {
    on: [bool; KINDS],
    dtype: [DType; KINDS],
    caching: bool,
}
impl Setting {
    const START: Setting =
        Setting { on: [false; KINDS], dtype: [DType::BF16, DType::F16, DType::F16, DType::BF16], caching: true };
}

struct State {
    now: Setting,
    /// What was in force around each region that is open.
    around: Vec<Setting>,
    /// Parameters in the region's dtype, by identity, dtype and whether gradients are recorded, with the version that was
    /// cast. Kept until the outermost region ends.
    cache: FxHashMap<(u64, DType, bool), (u64, Tensor)>,
}

thread_local! {
    static STATE: RefCell<State> =
        RefCell::new(State { now: Setting::START, around: Vec::new(), cache: FxHashMap::default() });
}

fn place(kind: DeviceType) -> usize {
    DeviceType::ALL.iter().position(|k| *k == kind).unwrap_or(0)
}

/// Looks at the state, and leaves the thread's word alone.
fn look<R>(f: impl FnOnce(&State) -> R) -> R {
    STATE.with(|s| f(&s.borrow()))
}

/// Changes the state, and the thread's word with it.
fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    let (r, on) = STATE.with(|s| {
        let mut s = s.borrow_mut();
        let r = f(&mut s);
        (r, s.now.on.contains(&true))
    });
    watch::set(AUTOCAST, on);
    r
}

/// Begins a region of this thread: on devices of `kind`, listed ops run in `dtype` (None: float16, on the CPU bfloat16,
/// or what [`set_dtype`] said), or with `enabled` false as they would outside. Regions nest.
pub fn begin(kind: DeviceType, dtype: Option<DType>, enabled: bool, cache: Option<bool>) -> Result<()> {
    if let Some(d) = dtype {
        check_dtype(kind, d, enabled)?;
    }
    with(|s| {
        s.around.push(s.now);
        let i = place(kind);
        s.now.on[i] = enabled;
        s.now.dtype[i] = dtype.unwrap_or(s.now.dtype[i]);
        s.now.caching = cache.unwrap_or(s.now.caching);
    });
    Ok(())
}

fn check_dtype(kind: DeviceType, dtype: DType, enabled: bool) -> Result<()> {
    ensure!(
        !enabled || matches!(dtype, DType::BF16 | DType::F16),
        Value,
        "In {} autocast, but the target dtype is not supported: {} autocast supports dtypes bfloat16 and float16, got {dtype}",
        kind.title(),
        kind.title()
    );
    Ok(())
}

/// Ends this thread's innermost region. With the outermost one the cached casts go.
pub fn end() -> Result<()> {
    let Some(gone) = with(|s| {
        s.now = s.around.pop()?;
        Some(if s.around.is_empty() { std::mem::take(&mut s.cache) } else { FxHashMap::default() })
    }) else {
        bail!(Runtime, "the end of an autocast region without its beginning on this thread");
    };
    // Freed while nothing is borrowed: hooks may run.
    drop(gone);
    Ok(())
}

/// What is in force on a thread, to be in force again later.
#[derive(Clone, Copy)]
pub struct Settings(Setting);
/// What is in force on this thread now.
pub fn settings() -> Settings {
    Settings(look(|s| s.now))
}
/// Begins a region of this thread in which it is that; [`end`] ends it.
pub fn begin_again(settings: Settings) {
    with(|s| {
        s.around.push(s.now);
        s.now = settings.0;
    });
}

/// Whether listed ops on devices of `kind` are cast on this thread.
pub fn enabled(kind: DeviceType) -> bool {
    look(|s| s.now.on[place(kind)])
}
/// Sets that outside of regions, or until the region ends; returns what it was.
pub fn set_enabled(kind: DeviceType, on: bool) -> bool {
    with(|s| std::mem::replace(&mut s.now.on[place(kind)], on))
}
/// What they are cast to.
pub fn dtype(kind: DeviceType) -> DType {
    look(|s| s.now.dtype[place(kind)])
}
/// Sets that.
pub fn set_dtype(kind: DeviceType, dtype: DType) -> Result<()> {
    check_dtype(kind, dtype, true)?;
    with(|s| s.now.dtype[place(kind)] = dtype);
    Ok(())
}
/// Whether a parameter is cast once per outermost region.
pub fn cache_enabled() -> bool {
    look(|s| s.now.caching)
}
/// Sets that; returns what it was.
pub fn set_cache_enabled(on: bool) -> bool {
    with(|s| std::mem::replace(&mut s.now.caching, on))
}
/// Forgets the casts of parameters.
pub fn clear_cache() {
    drop(with(|s| std::mem::take(&mut s.cache)));
}

/// Casts what op `id` is given.
#[cold]
pub fn cast(id: OpId, tensors: &mut [Slot]) -> Result<()> {
    let op = &OPS[id.0 as usize];
    if op.cpu == Policy::None && op.gpu == Policy::None {
        return Ok(());
    }
    // The lists may name one of the op's cases alone.
    if tensors.iter().any(|t| matches!(t, Slot::Case(false))) {
        return Ok(());
    }
    // The op belongs to the device of its tensors; a number on the CPU goes along with others.
    let (mut kind, mut widest) = (DeviceType::Cpu, None);
    let float = |t: &Tensor| t.dtype().is_real_float() && t.dtype() != DType::F64;
    each(tensors, &mut |t| {
        if !t.device().is_cpu() {
            kind = t.device().kind;
        }
        if float(t) {
            let wider = widest.is_none_or(|w| w == t.dtype());
            widest = Some(if wider { t.dtype() } else { DType::F32 });
        }
        Ok(())
    })?;
    let setting = look(|s| s.now);
    let lower = setting.dtype[place(kind)];
    if !setting.on[place(kind)] {
        return Ok(());
    }
    let to = match if kind == DeviceType::Cpu { op.cpu } else { op.gpu } {
        Policy::None => return Ok(()),
        Policy::Lower => lower,
        Policy::Float32 => DType::F32,
        Policy::Widest => widest.unwrap_or(lower),
        Policy::Banned => bail!(
            Runtime,
            "torch.nn.functional.{} and torch.nn.BCELoss are unsafe to autocast.\nMany models use a sigmoid layer right \
             before the binary cross entropy layer.\nIn this case, combine the two layers using \
             torch.nn.functional.binary_cross_entropy_with_logits\nor torch.nn.BCEWithLogitsLoss.  \
             binary_cross_entropy_with_logits and BCEWithLogits are\nsafe to autocast.",
            op.name
        ),
    };
    each(tensors, &mut |t| {
        if float(t) && t.dtype() != to && t.device().kind == kind {
            *t = cached(t, to, setting.caching && to == lower)?;
        }
        Ok(())
    })
}

/// `t` in another dtype: once per region where it is a parameter.
fn cached(t: &Tensor, to: DType, caching: bool) -> Result<Tensor> {
    let parameter = t.dtype() == DType::F32 && autograd::requires_grad(t) && autograd::is_leaf(t);
    if !caching || !parameter {
        return ops::cast(t, to);
    }
    let key = (t.id(), to, autograd::grad_enabled());
    // A parameter that was written since is cast anew.
    let version = t.version();
    if let Some(found) = look(|s| s.cache.get(&key).filter(|c| c.0 == version).map(|c| c.1.clone())) {
        return Ok(found);
    }
    let made = ops::cast(t, to)?;
    let old = STATE.with(|s| s.borrow_mut().cache.insert(key, (version, made.clone())));
    drop(old);
    Ok(made)
}
