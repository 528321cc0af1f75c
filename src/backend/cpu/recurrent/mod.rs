//! Whole sequences of an LSTM or a GRU in one direction, and their gradients: rows of a batch are independent of each other, so
//! a thread takes some rows through all steps. The recurrent weights are packed once.
//!
//! Each sum is taken in one order however rows are cut, so results do not depend on threads.

mod backward;
mod forward;
mod job;

use self::job::{Job, Slopes, State, GRU, LSTM};
use super::lanes::{vector_shape, Real};
use super::level::{level, Level};
use super::scratch::{ptr, Ptr, Scratch};
use super::threads::parallel::{num_threads, try_parallel_for};
use crate::backend::{Recurrent, RecurrentOutput, RecurrentSlopes, View};
use crate::base::dtype::{DType, Element};
use crate::base::error::Result;
use crate::ensure;

/// Multiply-adds that are worth a task.
const TASK: usize = 400_000;

const NULL: [isize; 2] = [0; 2];
fn state<T>(v: Option<&View>) -> Result<State<T>> {
    Ok(match v {
        Some(v) => State { p: Ptr(ptr(v)?), strides: [v.layout.strides[0] as isize, v.layout.strides[1] as isize] },
        None => State { p: Ptr(std::ptr::null_mut()), strides: NULL },
    })
}
fn optional<T>(v: Option<&View>) -> Result<Ptr<T>> {
    v.map_or(Ok(Ptr(std::ptr::null_mut())), |v| Ok(Ptr(ptr(v)?)))
}

/// Looks at the views, whose shapes and dtypes may be others than the op saw, and makes a job of them.
fn job<T: Real>(r: &Recurrent) -> Result<Job<T>> {
    let (gates, dtype) = (if r.lstm { LSTM } else { GRU }, <T as Element>::DTYPE);
    let hidden = r.weight.layout.shape.get(1).copied().unwrap_or(0);
    let wide = gates as i64 * hidden;
    let batch = r.h.layout.shape.first().copied().unwrap_or(0);
    let lines = r.gates.layout.shape.first().copied().unwrap_or(0);
    let fits = |v: &View, shape: &[i64]| v.layout.shape[..] == *shape && v.dtype == dtype;
    let dense = |v: &View, shape: &[i64]| fits(v, shape) && v.layout.is_contiguous();
    let optional_dense = |v: &Option<View>, shape: &[i64]| v.as_ref().is_none_or(|v| dense(v, shape));
    let mut offsets = Vec::new();
    let mut sizes = Vec::new();
    let steps = match r.sizes {
        Some(s) => {
            sizes = crate::backend::memory::with_capacity(s.len())?;
            offsets = crate::backend::memory::with_capacity(s.len())?;
            let mut at = 0;
            for n in s {
                ensure!(*n >= 0 && *n <= batch, Runtime, "recurrent: a step of {n} rows in a batch of {batch}");
                sizes.push(*n as usize);
                offsets.push(at);
                at += *n as usize;
            }
            ensure!(at as i64 == lines, Runtime, "recurrent: steps of {at} rows in all, but {lines} lines");
            s.len()
        }
        None => (lines / batch.max(1)) as usize,
    };
    ensure!(
        hidden > 0
            && batch > 0
            && (r.sizes.is_some() || lines % batch == 0)
            && fits(&r.weight, &[wide, hidden])
            && dense(&r.gates, &[lines, wide])
            && r.bias.as_ref().is_none_or(|b| fits(b, &[wide]))
            && fits(&r.h, &[batch, hidden])
            && r.c.as_ref().is_none_or(|c| fits(c, &[batch, hidden]))
            && r.c.is_some() == r.lstm
            && optional_dense(&r.kept, &[lines, hidden])
            && optional_dense(&r.before, &[lines, hidden])
            && r.kept.is_some() == r.before.is_some(),
        Runtime,
        "recurrent: gates {:?}, weight {:?} and state {:?} do not fit",
        r.gates.layout.shape,
        r.weight.layout.shape,
        r.h.layout.shape
    );
    let strides = &r.weight.layout.strides;
    Ok(Job {
        gates,
        hidden: hidden as usize,
        steps,
        batch: batch as usize,
        lines: lines as usize,
        sizes,
        offsets,
        backwards: r.backwards,
        keep: r.kept.is_some(),
        gates_at: Ptr(ptr(&r.gates)?),
        weight: Ptr(ptr(&r.weight)?),
        weight_strides: [strides[0] as isize, strides[1] as isize],
        bias: optional(r.bias.as_ref())?,
        bias_stride: r.bias.as_ref().map_or(0, |b| b.layout.strides[0] as isize),
        packed: Ptr(std::ptr::null_mut()),
        h: state(Some(&r.h))?,
        c: state(r.c.as_ref())?,
        out: optional(None)?,
        out_stride: 0,
        kept: optional(r.kept.as_ref())?,
        before: optional(r.before.as_ref())?,
        last_h: optional(None)?,
        last_c: optional(None)?,
    })
}

/// Rows that a task takes through the steps: an even share, as long as it is worth a task.
fn share<T: Real>(job: &Job<T>) -> usize {
    let each = job.steps * job.gates * job.hidden * job.hidden;
    job.batch.div_ceil(num_threads()).max(TASK / each.max(1)).max(1)
}

/// See `Backend::recurrent`.
pub fn recurrent(r: &Recurrent, o: &RecurrentOutput) -> Result<bool> {
    match r.gates.dtype {
        DType::F32 => run(level(), job::<f32>(r)?, o),
        DType::F64 => run(level(), job::<f64>(r)?, o),
        _ => return Ok(false),
    }
    .map(|_| true)
}
fn run<T: Real>(set: Level, mut job: Job<T>, o: &RecurrentOutput) -> Result<()> {
    let (lines, hidden) = (o.out.layout.shape.first().copied().unwrap_or(0), job.hidden as i64);
    let (last, dtype) = ([job.batch as i64, hidden], <T as Element>::DTYPE);
    let whole = |v: &View| v.layout.shape[..] == last && v.layout.is_contiguous() && v.dtype == dtype;
    ensure!(
        lines as usize == job.lines
            && o.out.layout.shape[..] == [lines, hidden]
            && o.out.dtype == dtype
            && (o.out.layout.strides[1] == 1 || hidden == 1)
            && whole(&o.last_h)
            && o.last_c.as_ref().is_none_or(whole)
            && o.last_c.is_some() == (job.gates == LSTM),
        Runtime,
        "recurrent: a result of {:?} does not fit",
        o.out.layout.shape
    );
    job.out = Ptr(ptr(&o.out)?);
    job.out_stride = o.out.layout.strides[0] as isize;
    job.last_h = Ptr(ptr(&o.last_h)?);
    job.last_c = optional(o.last_c.as_ref())?;
    let lanes = vector_shape::<T>(set).0;
    let packed = Scratch::new::<T>(forward::packed(job.gates, job.hidden, lanes))?;
    job.packed = Ptr(packed.ptr());
    // SAFETY: the weights' view and the scratch; the machine has the instruction set.
    unsafe { forward::pack(set, &job) };
    try_parallel_for(job.batch, share(&job), |rows| {
        let scratch = Scratch::new::<T>(forward::scratch(rows.len(), job.hidden))?;
        // SAFETY: rows of the views, each for one task.
        unsafe {
            if job.gates == LSTM {
                forward::lstm(set, &job, rows, scratch.ptr());
            } else {
                forward::gru(set, &job, rows, scratch.ptr());
            }
        }
        Ok(())
    })
}

/// See `Backend::recurrent_backward`.
pub fn recurrent_backward(r: &Recurrent, s: &RecurrentSlopes) -> Result<bool> {
    match r.gates.dtype {
        DType::F32 => gradients(level(), job::<f32>(r)?, r, s),
        DType::F64 => gradients(level(), job::<f64>(r)?, r, s),
        _ => return Ok(false),
    }
    .map(|_| true)
}
fn gradients<T: Real>(set: Level, mut job: Job<T>, r: &Recurrent, s: &RecurrentSlopes) -> Result<()> {
    let (lines, wide) = (r.gates.layout.shape[0], r.gates.layout.shape[1]);
    let (batch, hidden) = (job.batch as i64, job.hidden as i64);
    let fits = |v: &View, shape: &[i64]| v.layout.shape[..] == *shape && v.dtype == r.gates.dtype;
    let dense = |v: &View, shape: &[i64]| fits(v, shape) && v.layout.is_contiguous();
    ensure!(
        job.keep
            && s.grad.as_ref().is_none_or(|v| fits(v, &[lines, hidden]) && (v.layout.strides[1] == 1 || hidden == 1))
            && [&s.grad_h, &s.grad_c].iter().all(|v| v.as_ref().is_none_or(|v| fits(v, &[batch, hidden])))
            && dense(&s.slopes, &[lines, wide])
            && s.recurrent.as_ref().is_none_or(|v| dense(v, &[lines, wide]))
            && s.recurrent.is_some() != r.lstm
            && dense(&s.first_h, &[batch, hidden])
            && s.first_c.as_ref().is_none_or(|v| dense(v, &[batch, hidden]))
            && s.first_c.is_some() == r.lstm,
        Runtime,
        "recurrent: gradients of {:?} do not fit",
        s.slopes.layout.shape
    );
    let lanes = vector_shape::<T>(set).0;
    let packed = Scratch::new::<T>(backward::packed(job.gates, job.hidden, lanes))?;
    job.packed = Ptr(packed.ptr());
    // SAFETY: as in `run`.
    unsafe { backward::pack(set, &job) };
    let slopes = Slopes {
        grad: optional(s.grad.as_ref())?,
        grad_stride: s.grad.as_ref().map_or(0, |v| v.layout.strides[0] as isize),
        grad_h: state(s.grad_h.as_ref())?,
        grad_c: state(s.grad_c.as_ref())?,
        slopes: Ptr(ptr(&s.slopes)?),
        recurrent: optional(s.recurrent.as_ref())?,
        first_h: Ptr(ptr(&s.first_h)?),
        first_c: optional(s.first_c.as_ref())?,
        job,
    };
    try_parallel_for(slopes.job.batch, share(&slopes.job), |rows| {
        let scratch = Scratch::new::<T>(backward::scratch(rows.len(), slopes.job.hidden))?;
        // SAFETY: rows of the views, each for one task.
        unsafe { backward::rows(set, set, &slopes, rows, scratch.ptr()) };
        Ok(())
    })
}

#[cfg(feature = "tests")]
pub(crate) mod tests;
