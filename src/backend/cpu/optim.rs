//! The fused optimiser step: one pass over each element, one fork-join over all parameters.
//!
//! Plain multiplications and additions without fused ones, in PyTorch's order, so that every instruction set gives the
//! same result. Half types are computed in f32 and rounded when stored.

use super::level::{level, Level};
use super::scratch::ptr;
use super::threads::parallel::parallel_for;
use crate::backend::{check, memory, StepKind, StepTensors};
use crate::base::dtype::DType;
use crate::{Error, Result};
use half::{bf16, f16};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Arithmetic type.
trait Real:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + PartialOrd
    + Send
    + Sync
{
    fn of(v: f64) -> Self;
    fn sqrt(self) -> Self;
}
macro_rules! real {
    ($($t:ty),*) => {$(
        impl Real for $t {
            #[inline(always)]
            fn of(v: f64) -> Self { v as $t }
            #[inline(always)]
            fn sqrt(self) -> Self { self.sqrt() }
        })*};
}
real!(f32, f64);

/// Element type and the type that it is computed in.
trait Stored: Copy {
    type R: Real;
    fn load(self) -> Self::R;
    fn store(r: Self::R) -> Self;
}
macro_rules! stored {
    ($($t:ty, $r:ty, $load:expr, $store:expr;)*) => {$(
        impl Stored for $t {
            type R = $r;
            #[inline(always)]
            fn load(self) -> $r { $load(self) }
            #[inline(always)]
            fn store(r: $r) -> $t { $store(r) }
        })*};
}
stored! {
    f32, f32, |v| v, |v| v;
    f64, f64, |v| v, |v| v;
    f16, f32, f16::to_f32, f16::from_f32;
    bf16, f32, bf16::to_f32, bf16::from_f32;
}

/// What one step does to one element: parameter, gradient, states.
trait Rule<R: Real>: Sync {
    /// States that are used.
    const STATES: usize;
    fn apply(&self, p: R, g: R, s: [R; 3]) -> (R, [R; 3]);
}

struct Sgd<R, const MOMENTUM: bool> {
    lr: R,
    momentum: R,
    keep: R,
    decay: R,
    has_decay: bool,
    nesterov: bool,
    maximize: bool,
    init: bool,
}
impl<R: Real, const MOMENTUM: bool> Rule<R> for Sgd<R, MOMENTUM> {
    const STATES: usize = MOMENTUM as usize;
    #[inline(always)]
    fn apply(&self, p: R, g: R, s: [R; 3]) -> (R, [R; 3]) {
        let mut g = if self.maximize { -g } else { g };
        if self.has_decay {
            g = g + self.decay * p;
        }
        let mut buffer = s[0];
        if MOMENTUM {
            buffer = if self.init { g } else { self.momentum * buffer + self.keep * g };
            g = if self.nesterov { g + self.momentum * buffer } else { buffer };
        }
        (p - self.lr * g, [buffer, s[1], s[2]])
    }
}

struct Adam<R, const AMSGRAD: bool> {
    beta2: R,
    one_less_beta1: R,
    one_less_beta2: R,
    step_size: R,
    root_correction2: R,
    eps: R,
    decay: R,
    has_decay: bool,
    decoupled: bool,
    maximize: bool,
}
impl<R: Real, const AMSGRAD: bool> Rule<R> for Adam<R, AMSGRAD> {
    const STATES: usize = 2 + AMSGRAD as usize;
    #[inline(always)]
    fn apply(&self, p: R, g: R, s: [R; 3]) -> (R, [R; 3]) {
        let (mut p, mut g) = (p, if self.maximize { -g } else { g });
        if self.has_decay {
            if self.decoupled {
                p = p * self.decay;
            } else {
                g = g + self.decay * p;
            }
        }
        let m = s[0] + self.one_less_beta1 * (g - s[0]);
        let v = s[1] * self.beta2 + self.one_less_beta2 * g * g;
        // NaN counts as the larger.
        #[allow(clippy::eq_op)]
        let largest = if v > s[2] || v != v { v } else { s[2] };
        let root = if AMSGRAD { largest } else { v }.sqrt();
        let denominator = root / self.root_correction2 + self.eps;
        (p - self.step_size * m / denominator, [m, v, if AMSGRAD { largest } else { s[2] }])
    }
}

/// The arrays of one parameter.
struct Item<T> {
    param: *mut T,
    grad: *const T,
    states: [*mut T; 3],
    /// Number of elements in the parameters before this one.
    start: usize,
    n: usize,
}
// SAFETY: parts of a parallel loop touch disjoint elements.
unsafe impl<T> Send for Item<T> {}
unsafe impl<T> Sync for Item<T> {}

/// Elements `from..to` of one parameter. They are read into local arrays first, which the compiler turns into vector
/// code without alias checks.
///
/// # Safety
/// The item's pointers are valid for its n elements, to <= n, and nobody else touches those elements.
#[allow(clippy::needless_range_loop)] // several arrays run in step
#[inline(always)]
unsafe fn run<T: Stored, O: Rule<T::R>>(rule: &O, item: &Item<T>, from: usize, to: usize) {
    const L: usize = 16;
    let mut i = from;
    // SAFETY: indices stay below n; arrays of unused states are never touched.
    unsafe {
        while i + L <= to {
            let p = item.param.add(i).cast::<[T; L]>().read_unaligned();
            let g = item.grad.add(i).cast::<[T; L]>().read_unaligned();
            let mut s = [p; 3];
            for k in 0..O::STATES {
                s[k] = item.states[k].add(i).cast::<[T; L]>().read_unaligned();
            }
            let mut out = p;
            for j in 0..L {
                let (r, t) = rule.apply(p[j].load(), g[j].load(), [s[0][j].load(), s[1][j].load(), s[2][j].load()]);
                out[j] = T::store(r);
                for k in 0..O::STATES {
                    s[k][j] = T::store(t[k]);
                }
            }
            item.param.add(i).cast::<[T; L]>().write_unaligned(out);
            for k in 0..O::STATES {
                item.states[k].add(i).cast::<[T; L]>().write_unaligned(s[k]);
            }
            i += L;
        }
        while i < to {
            let p = item.param.add(i).read();
            let mut s = [p.load(); 3];
            for k in 0..O::STATES {
                s[k] = item.states[k].add(i).read().load();
            }
            let (r, t) = rule.apply(p.load(), item.grad.add(i).read().load(), s);
            item.param.add(i).write(T::store(r));
            for k in 0..O::STATES {
                item.states[k].add(i).write(T::store(t[k]));
            }
            i += 1;
        }
    }
}
/// # Safety
/// As `run`.
unsafe fn run_base<T: Stored, O: Rule<T::R>>(rule: &O, item: &Item<T>, from: usize, to: usize) {
    // SAFETY: the caller's.
    unsafe { run(rule, item, from, to) }
}
/// # Safety
/// As `run`, on a machine of `Level::Avx2`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run_avx2<T: Stored, O: Rule<T::R>>(rule: &O, item: &Item<T>, from: usize, to: usize) {
    // SAFETY: the caller's.
    unsafe { run(rule, item, from, to) }
}
/// # Safety
/// As `run`, on a machine of `Level::Avx512`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn run_avx512<T: Stored, O: Rule<T::R>>(rule: &O, item: &Item<T>, from: usize, to: usize) {
    // SAFETY: the caller's.
    unsafe { run(rule, item, from, to) }
}

fn step<T: Stored, O: Rule<T::R>>(rule: O, tensors: &[StepTensors]) -> Result<()> {
    check::step(tensors, O::STATES)?;
    let mut items = memory::with_capacity(tensors.len())?;
    let mut total = 0;
    for t in tensors {
        let n = t.param.layout.numel();
        let mut states = [std::ptr::null_mut(); 3];
        for (k, s) in t.state.iter().take(O::STATES).enumerate() {
            states[k] = ptr::<T>(s)?;
        }
        items.push(Item { param: ptr::<T>(&t.param)?, grad: ptr::<T>(&t.grad)?, states, start: total, n });
        total += n;
    }
    let body: unsafe fn(&O, &Item<T>, usize, usize) = match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => run_avx512::<T, O>,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => run_avx2::<T, O>,
        _ => run_base::<T, O>,
    };
    // All parameters lie behind each other in one range of elements, which the threads share.
    const GRAIN: usize = 16 << 10;
    parallel_for(total, GRAIN, |range| {
        let mut k = items.partition_point(|item| item.start + item.n <= range.start);
        let mut at = range.start;
        while at < range.end {
            let item = &items[k];
            let end = range.end.min(item.start + item.n);
            // SAFETY: `level` says that the instruction set is there; the views were checked; ranges are disjoint.
            unsafe { body(&rule, item, at - item.start, end - item.start) };
            at = end;
            k += 1;
        }
    });
    Ok(())
}

fn typed<T: Stored>(kind: &StepKind, tensors: &[StepTensors]) -> Result<()> {
    let of = T::R::of;
    match *kind {
        StepKind::Sgd { lr, momentum, dampening, weight_decay, nesterov, maximize, momentum_init } => {
            macro_rules! rule {
                ($m:literal) => {
                    Sgd::<T::R, $m> {
                        lr: of(lr),
                        momentum: of(momentum),
                        keep: of(1.0 - dampening),
                        decay: of(weight_decay),
                        has_decay: weight_decay != 0.0,
                        nesterov,
                        maximize,
                        init: momentum_init,
                    }
                };
            }
            if momentum != 0.0 {
                step::<T, _>(rule!(true), tensors)
            } else {
                step::<T, _>(rule!(false), tensors)
            }
        }
        StepKind::Adam { lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, decoupled, step: count } => {
            macro_rules! rule {
                ($a:literal) => {
                    Adam::<T::R, $a> {
                        beta2: of(beta2),
                        one_less_beta1: of(1.0 - beta1),
                        one_less_beta2: of(1.0 - beta2),
                        step_size: of(lr / (1.0 - beta1.powf(count))),
                        root_correction2: of((1.0 - beta2.powf(count)).sqrt()),
                        eps: of(eps),
                        decay: of(if decoupled { 1.0 - lr * weight_decay } else { weight_decay }),
                        has_decay: weight_decay != 0.0,
                        decoupled,
                        maximize,
                    }
                };
            }
            if amsgrad {
                step::<T, _>(rule!(true), tensors)
            } else {
                step::<T, _>(rule!(false), tensors)
            }
        }
        StepKind::Program { .. } => Ok(()), // not here: below
    }
}

/// See [`crate::backend::Backend::optimizer_step`].
pub fn optimizer_step(kind: &StepKind, tensors: &[StepTensors]) -> Result<()> {
    if let StepKind::Program { program, scalars } = kind {
        return super::elementwise::list::run_list(program, scalars, tensors);
    }
    match tensors.first().map(|t| t.param.dtype) {
        None => Ok(()),
        Some(DType::F32) => typed::<f32>(kind, tensors),
        Some(DType::F64) => typed::<f64>(kind, tensors),
        Some(DType::F16) => typed::<f16>(kind, tensors),
        Some(DType::BF16) => typed::<bf16>(kind, tensors),
        Some(other) => Err(Error::unsupported("optimizer_step", other, "cpu")),
    }
}
