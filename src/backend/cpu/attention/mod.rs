//! softmax(q k^T * scale + mask) v and its gradients, in tiles: the scores are never held as a whole.
//!
//! What a task works on depends on sizes alone, and every sum is taken in one order, so results do not depend on threads.

mod backward;
mod forward;
mod job;

use self::backward::part_keys;
use self::forward::FEW;
use self::job::{Job, Mask, Mat, Slopes, KEYS, QUERIES};
use super::lanes::{FloatElement, Real};
use super::level::{level, Level};
use super::scratch::{ptr, Ptr, Scratch};
use super::threads::parallel::{parallel_for, try_parallel_for};
use crate::backend::memory::retrying;
use crate::backend::{Attention, AttentionSlopes, View};
use crate::base::dtype::{DType, Element};
use crate::base::error::Result;
use crate::{dispatch_float, ensure};

/// Multiply-adds that are worth a task.
const TASK: usize = 400_000;

fn mat<T>(v: &View) -> Result<Mat<T>> {
    let mut strides = [0; 4];
    for (to, (n, s)) in strides.iter_mut().zip(v.layout.shape.iter().zip(&v.layout.strides)) {
        // The strides of dimensions of size 1 mean nothing.
        *to = if *n == 1 { 0 } else { *s as isize };
    }
    if v.layout.shape[3] == 1 {
        strides[3] = 1;
    }
    Ok(Mat { p: Ptr(ptr::<T>(v)?), strides })
}
fn shape(v: &View) -> [i64; 4] {
    match v.layout.shape[..] {
        [a, b, c, d] => [a, b, c, d],
        _ => [-1; 4],
    }
}

/// The job of a call, whose views are looked at; None where there is nothing to attend to or another dtype.
fn job<T: FloatElement>(a: &Attention, out: View, lse: View) -> Result<Job<T>> {
    let ([b, h, l, d], [_, hk, s, _]) = (shape(&a.query), shape(&a.key));
    let value_dim = shape(&a.value)[3];
    let ty = a.query.dtype;
    let wide = <T::C as Element>::DTYPE;
    ensure!(
        b >= 0
            && hk > 0
            && h % hk == 0
            && shape(&a.key) == [b, hk, s, d]
            && shape(&a.value) == [b, hk, s, value_dim]
            && shape(&out) == [b, h, l, value_dim]
            && shape(&lse) == [b, h, l, 1]
            && lse.layout.is_contiguous()
            && a.mask.is_none_or(|m| shape(&m) == [b, h, l, s] && (m.dtype == ty || m.dtype == DType::Bool))
            && [&a.key, &a.value, &out].iter().all(|v| v.dtype == ty)
            && lse.dtype == wide,
        Runtime,
        "scaled_dot_product_attention: query {:?}, key {:?} and value {:?} do not fit",
        a.query.layout.shape,
        a.key.layout.shape,
        a.value.layout.shape
    );
    let mask = match &a.mask {
        Some(m) if m.dtype == DType::Bool => Some(Mask::Bool(mat(m)?)),
        Some(m) => Some(Mask::Float(mat(m)?)),
        None => None,
    };
    Ok(Job {
        batch: b as usize,
        heads: h as usize,
        group: (h / hk) as usize,
        queries: l as usize,
        keys: s as usize,
        dim: d as usize,
        value_dim: value_dim as usize,
        scale: T::C::from_f64(a.scale),
        causal: a.causal,
        q: mat(&a.query)?,
        k: mat(&a.key)?,
        v: mat(&a.value)?,
        mask,
        out: mat(&out)?,
        lse: Ptr(ptr(&lse)?),
    })
}

/// See `Backend::attention`.
pub fn attention(a: &Attention, out: View, lse: View) -> Result<bool> {
    dispatch_float!(
        a.query.dtype,
        T,
        {
            let job = job::<T>(a, out, lse)?;
            retrying(|| run(level(), &job)).map(|_| true)
        },
        Ok(false)
    )
}
fn run<T: FloatElement>(set: Level, job: &Job<T>) -> Result<()> {
    // Few queries read keys and values where they lie.
    let few = job.queries <= FEW && T::DIRECT && [&job.q, &job.k, &job.v].iter().all(|m| m.col() == 1);
    let (each, tasks) = if few {
        (job.queries, job.batch * job.heads)
    } else {
        (QUERIES.min(job.queries), job.batch * job.heads * job.queries.div_ceil(QUERIES))
    };
    let work = each * job.keys * (job.dim + job.value_dim);
    try_parallel_for(tasks, (TASK / work.max(1)).max(1), |range| {
        let scratch = Scratch::new::<T::C>(forward::scratch(job, few))?;
        // SAFETY: blocks of queries of the views, each for one task; the machine has the instruction set.
        unsafe {
            if few {
                forward::rows(set, set, job, range, scratch.ptr());
            } else {
                forward::blocks(set, set, job, range, scratch.ptr());
            }
        }
        Ok(())
    })
}

/// Tasks from which on the keys of a head are not cut.
const MANY: usize = 8;

/// See `Backend::attention_backward`.
pub fn attention_backward(a: &Attention, out: View, lse: View, s: &AttentionSlopes) -> Result<bool> {
    dispatch_float!(
        a.query.dtype,
        T,
        retrying(|| gradients::<T>(level(), job(a, out, lse)?, &out, s)).map(|_| true),
        Ok(false)
    )
}
fn gradients<T: FloatElement>(set: Level, job: Job<T>, out: &View, s: &AttentionSlopes) -> Result<()> {
    let (b, h, hk) = (job.batch as i64, job.heads as i64, (job.heads / job.group) as i64);
    let [l, n, d, e] = [job.queries, job.keys, job.dim, job.value_dim].map(|n| n as i64);
    let wanted = [(&s.query, [b, h, l, d]), (&s.key, [b, hk, n, d]), (&s.value, [b, hk, n, e])];
    ensure!(
        shape(&s.grad) == [b, h, l, e]
            && s.grad.dtype == out.dtype
            && wanted.iter().all(|(v, want)| shape(v) == *want && v.layout.is_contiguous() && v.dtype == out.dtype),
        Runtime,
        "scaled_dot_product_attention: a gradient of {:?} does not fit",
        s.grad.layout.shape
    );
    let heads = job.batch * job.heads / job.group;
    let parts =
        if heads >= MANY || heads == 0 { 1 } else { MANY.div_ceil(heads).min(job.keys.div_ceil(2 * KEYS)).max(1) };
    // The last parts are empty where the keys' blocks do not go round.
    let parts = job.keys.div_ceil(part_keys(job.keys, parts).max(1)).max(1);
    let count = job.batch * job.heads * job.queries * job.dim;
    let sums = parts > 1 || !T::DIRECT;
    let partial = Scratch::new::<T::C>(if sums { parts * count } else { 0 })?;
    let slopes = Slopes {
        grad: mat(&s.grad)?,
        grad_q: mat(&s.query)?,
        grad_k: mat(&s.key)?,
        grad_v: mat(&s.value)?,
        parts,
        partial: Ptr(if sums { partial.ptr() } else { std::ptr::null_mut() }),
        job,
    };
    let job = &slopes.job;
    let work = job.group * job.queries * part_keys(job.keys, parts) * (job.dim + job.value_dim);
    try_parallel_for(heads * parts, (TASK / work.max(1)).max(1), |range| {
        let scratch = Scratch::new::<T::C>(backward::scratch(&slopes))?;
        // SAFETY: parts of the views, each for one task; the machine has the instruction set.
        unsafe { backward::parts(set, set, &slopes, range, scratch.ptr()) };
        Ok(())
    })?;
    if sums {
        let (from, to) = (slopes.partial, Ptr(ptr::<T>(&s.query)?));
        parallel_for(count, TASK / 16, |range| {
            for i in range {
                let mut sum = <T::C as Real>::ZERO;
                for p in 0..parts {
                    // SAFETY: `parts` times `count` sums, and as many gradients.
                    sum = sum + unsafe { *from.at((p * count + i) as isize) };
                }
                // SAFETY: as above.
                unsafe { *to.at(i as isize) = T::narrow(sum) };
            }
        });
    }
    Ok(())
}

#[cfg(feature = "tests")]
pub(crate) mod tests;
