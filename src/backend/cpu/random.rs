//! Random fills. MT19937 draws are sequential, so the fill is too; Philox draws are split over threads.

use super::level::{level, Level};
use super::threads::parallel::parallel_for;
use crate::backend::memory;
use crate::backend::{Distribution, View};
use crate::base::dtype::{DType, Element};
use crate::base::error::{Error, Result};
use crate::base::layout::Layout;
use crate::rng::distributions::*;
use crate::rng::philox::{bernoulli_threshold, PhiloxCall};
use crate::rng::{Algorithm, Generator, State};
use crate::{dispatch, ensure};

/// Fills `out`. A layout that is not contiguous is filled in the order of its strides, largest first, as PyTorch's
/// iterator walks it, and its normals come one by one, as there.
pub fn random(dist: Distribution, generator: &Generator, out: View) -> Result<()> {
    let n = out.layout.numel();
    if n == 0 {
        return Ok(());
    }
    let float = matches!(
        dist,
        Distribution::Uniform { .. }
            | Distribution::Normal { .. }
            | Distribution::LogNormal { .. }
            | Distribution::Cauchy { .. }
            | Distribution::Exponential { .. }
    );
    if float && !out.dtype.is_float() {
        return Err(Error::unsupported("random", out.dtype, "cpu"));
    }
    if let Distribution::Integer { low, high } = dist {
        ensure!(low != high || (low == i64::MIN), Runtime, "random: empty range [{low}, {high})");
    }
    let ptr = out.storage.host_ptr().expect("CPU views lie in host memory").as_ptr();
    dispatch!(out.dtype, T, {
        let base = ptr.cast::<T>();
        let mut state = generator.lock();
        if out.layout.is_contiguous() {
            // SAFETY: the view's n elements from its offset on lie inside the storage, which outlives this call; kernels
            // write exclusively.
            let slice = unsafe { std::slice::from_raw_parts_mut(base.offset(out.layout.offset as isize), n) };
            fill(dist, &mut state, slice, true);
        } else {
            let mut values = memory::filled(n, T::from_i64(0))?;
            fill(dist, &mut state, &mut values, false);
            let mut values = values.into_iter();
            for_each_offset(out.layout, |at| {
                // SAFETY: `at` is an element of the view's layout, hence inside the storage.
                unsafe { *base.offset(at as isize) = values.next().expect("one value per element") };
            });
        }
    });
    Ok(())
}

/// Visits the element offsets of a layout, the dimension of the smallest stride fastest.
fn for_each_offset(layout: &Layout, mut f: impl FnMut(i64)) {
    let mut dims: Vec<(i64, i64)> =
        layout.shape.iter().copied().zip(layout.strides.iter().copied()).rev().filter(|d| d.0 != 1).collect();
    dims.sort_by_key(|d| d.1);
    let mut index = vec![0i64; dims.len()];
    let mut at = layout.offset;
    loop {
        f(at);
        let mut d = 0;
        loop {
            if d == dims.len() {
                return;
            }
            index[d] += 1;
            at += dims[d].1;
            if index[d] < dims[d].0 {
                break;
            }
            at -= dims[d].1 * dims[d].0;
            index[d] = 0;
            d += 1;
        }
    }
}

fn fill<T: Element>(dist: Distribution, state: &mut State, out: &mut [T], contiguous: bool) {
    match state.algorithm() {
        Algorithm::Mt19937 => mersenne(dist, state, out, contiguous),
        Algorithm::Philox => philox(dist, state.next_philox(), out),
    }
}

// ---- MT19937 ----

const CHUNK: usize = 512;

fn map32<T: Element>(s: &mut State, out: &mut [T], f: impl Fn(u32) -> T) {
    let mut words = [0u32; CHUNK];
    for part in out.chunks_mut(CHUNK) {
        let words = &mut words[..part.len()];
        s.engine().fill(words);
        for (o, &x) in part.iter_mut().zip(words.iter()) {
            *o = f(x);
        }
    }
}

fn map64<T: Element>(s: &mut State, out: &mut [T], f: impl Fn(u64) -> T) {
    let mut words = [0u32; 2 * CHUNK];
    for part in out.chunks_mut(CHUNK) {
        let words = &mut words[..2 * part.len()];
        s.engine().fill(words);
        for (o, x) in part.iter_mut().zip(words.chunks_exact(2)) {
            *o = f((x[0] as u64) << 32 | x[1] as u64);
        }
    }
}

fn mersenne<T: Element>(dist: Distribution, s: &mut State, out: &mut [T], contiguous: bool) {
    match dist {
        Distribution::Uniform { low, high } => uniform(low, high, s, out),
        Distribution::Normal { mean, std } => {
            if contiguous && out.len() >= 16 {
                return normal_blocks(s, out, mean, std);
            }
            out.iter_mut().for_each(|o| *o = T::from_f64(s.normal().mul_add(std, mean)));
        }
        Distribution::LogNormal { mean, std } => {
            out.iter_mut().for_each(|o| *o = T::from_f64(s.normal().mul_add(std, mean).exp()));
        }
        Distribution::Integer { low, high } => {
            let r = IntRange::new(low, high);
            if r.wide() {
                map64(s, out, |x| T::from_i64(r.wide_value(x)));
            } else {
                map32(s, out, |x| T::from_i64(r.narrow_value(x)));
            }
        }
        Distribution::FullRange => match full_range(T::DTYPE) {
            (true, modulus) => map64(s, out, |x| T::from_i64((x % modulus) as i64)),
            (false, modulus) => map32(s, out, |x| T::from_i64((x as u64 % modulus) as i64)),
        },
        Distribution::Bernoulli { p } => map64(s, out, |x| T::from_i64((unit_f64(x) < p) as i64)),
        Distribution::Exponential { lambda } => map64(s, out, |x| T::from_f64(exponential(unit_f64(x), lambda))),
        Distribution::Cauchy { median, sigma } => map64(s, out, |x| T::from_f64(cauchy(unit_f64(x), median, sigma))),
        Distribution::Geometric { p } => map64(s, out, |x| T::from_f64(geometric(unit_f64(x), p))),
        Distribution::Permutation => {
            let n = out.len();
            // A 32-bit draw modulo a number of its own size would not be uniform.
            if n < (u32::MAX / 20) as usize {
                permute(out, |i| s.random() as usize % (n - i));
            } else {
                permute(out, |i| (s.random64() % (n - i) as u64) as usize);
            }
        }
    }
}

/// Forward Fisher-Yates over 0..n; `draw(i)` is below n - i.
fn permute<T: Element>(out: &mut [T], mut draw: impl FnMut(usize) -> usize) {
    let n = out.len();
    for (i, o) in out.iter_mut().enumerate() {
        *o = T::from_i64(i as i64);
    }
    for i in 0..n.saturating_sub(1) {
        out.swap(i, i + draw(i));
    }
}

/// A value that rounding brought up to the excluded bound becomes the lower bound.
#[inline(always)]
fn uniform_value<T: Element>(value: T, low: T, high: T) -> T {
    if value == high {
        low
    } else {
        value
    }
}

fn uniform<T: Element>(low: f64, high: f64, s: &mut State, out: &mut [T]) {
    let (first, end) = (T::from_f64(low), T::from_f64(high));
    if T::DTYPE == DType::F64 {
        let width = high - low;
        return map64(s, out, |x| uniform_value(T::from_f64(unit_f64(x).mul_add(width, low)), first, end));
    }
    let (low, high) = (low as f32, high as f32);
    let width = high - low;
    if low == 0.0 && width == 1.0 {
        // No rounding before the cast, and no call of `fma` where the machine has none.
        return map32(s, out, |x| uniform_value(T::from_f64(unit_f32(x) as f64), first, end));
    }
    map32(s, out, |x| uniform_value(T::from_f64(unit_f32(x).mul_add(width, low) as f64), first, end));
}

/// Normals of 16 and more: blocks of 16; where n is no multiple of 16 the last 16 are drawn anew.
fn normal_blocks<T: Element>(s: &mut State, out: &mut [T], mean: f64, std: f64) {
    match T::DTYPE {
        DType::F32 => {
            let out: &mut [f32] = bytemuck::cast_slice_mut(out);
            map32(s, out, unit_f32);
            let n = out.len();
            box_muller_blocks(&mut out[..n / 16 * 16], mean as f32, std as f32);
            if !n.is_multiple_of(16) {
                let tail = &mut out[n - 16..];
                map32(s, tail, unit_f32);
                box_muller_blocks(tail, mean as f32, std as f32);
            }
        }
        DType::F64 => {
            let out: &mut [f64] = bytemuck::cast_slice_mut(out);
            let n = out.len();
            map64(s, out, unit_f64);
            let blocks = |part: &mut [f64]| {
                part.as_chunks_mut::<16>().0.iter_mut().for_each(|b| box_muller_f64(b, mean, std));
            };
            blocks(&mut out[..n / 16 * 16]);
            if !n.is_multiple_of(16) {
                map64(s, &mut out[n - 16..], unit_f64);
                blocks(&mut out[n - 16..]);
            }
        }
        // The half types draw a float block at a time and nothing for the rest that is drawn anew.
        _ => {
            let n = out.len();
            let mut words = [0f32; CHUNK];
            let mut part = |out: &mut [T]| {
                for out in out.chunks_mut(CHUNK) {
                    let words = &mut words[..out.len()];
                    map32(s, words, unit_f32);
                    box_muller_blocks(words, mean as f32, std as f32);
                    for (o, &v) in out.iter_mut().zip(words.iter()) {
                        *o = T::from_f64(v as f64);
                    }
                }
            };
            part(&mut out[..n / 16 * 16]);
            if !n.is_multiple_of(16) {
                part(&mut out[n - 16..]);
            }
        }
    }
}

/// Box-Muller over whole blocks of 16.
fn box_muller_blocks(data: &mut [f32], mean: f32, std: f32) {
    #[inline(always)]
    fn run(data: &mut [f32], mean: f32, std: f32) {
        data.as_chunks_mut::<16>().0.iter_mut().for_each(|b| box_muller_f32(b, mean, std));
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn run_avx2(data: &mut [f32], mean: f32, std: f32) {
            run(data, mean, std)
        }
        if level() >= Level::Avx2 {
            // SAFETY: the level is the machine's.
            return unsafe { run_avx2(data, mean, std) };
        }
    }
    run(data, mean, std)
}

// ---- Philox; the mapping is the one that src/rng/philox.rs documents ----

struct SendPtr<T>(*mut T);
// SAFETY: threads write disjoint ranges.
unsafe impl<T> Sync for SendPtr<T> {}
impl<T> SendPtr<T> {
    /// Elements `range` of the slice behind the pointer.
    ///
    /// # Safety
    /// The range is inside the slice and no other range in use overlaps it.
    #[allow(clippy::mut_from_ref)]
    unsafe fn slice(&self, range: &std::ops::Range<usize>) -> &mut [T] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }
}

/// Calls `f(first index, part)` on parts of `out` that start at multiples of 4, from several threads.
fn split<T: Element>(out: &mut [T], f: impl Fn(u64, &mut [T]) + Sync) {
    let ptr = SendPtr(out.as_mut_ptr());
    parallel_for(out.len(), 8192, |range| {
        // SAFETY: parallel_for covers 0..len by disjoint ranges.
        f(range.start as u64, unsafe { ptr.slice(&range) });
    });
}

fn philox32<T: Element>(call: PhiloxCall, out: &mut [T], f: impl Fn(u32) -> T + Sync) {
    split(out, |first, part| {
        for (b, part) in part.chunks_mut(4).enumerate() {
            let words = call.block(first / 4 + b as u64);
            part.iter_mut().zip(words).for_each(|(o, x)| *o = f(x));
        }
    });
}

fn philox64<T: Element>(call: PhiloxCall, out: &mut [T], f: impl Fn(u64) -> T + Sync) {
    split(out, |first, part| {
        for (b, part) in part.chunks_mut(2).enumerate() {
            let w = call.block(first / 2 + b as u64);
            let draws = [(w[0] as u64) << 32 | w[1] as u64, (w[2] as u64) << 32 | w[3] as u64];
            part.iter_mut().zip(draws).for_each(|(o, x)| *o = f(x));
        }
    });
}

fn philox_normal<T: Element>(
    call: PhiloxCall,
    out: &mut [T],
    single: impl Fn(f32) -> f32 + Sync,
    double: impl Fn(f64) -> f64 + Sync,
) {
    split(out, |first, part| {
        for (i, o) in part.iter_mut().enumerate() {
            let i = first + i as u64;
            *o = if T::DTYPE == DType::F64 {
                T::from_f64(double(call.normal_f64(i)))
            } else {
                T::from_f64(single(call.normal_f32(i)) as f64)
            };
        }
    });
}

fn philox<T: Element>(dist: Distribution, call: PhiloxCall, out: &mut [T]) {
    let double = T::DTYPE == DType::F64;
    match dist {
        Distribution::Uniform { low, high } => {
            let (first, end) = (T::from_f64(low), T::from_f64(high));
            if double {
                return philox64(call, out, |x| {
                    uniform_value(T::from_f64(unit_f64(x) * (high - low) + low), first, end)
                });
            }
            let (low, high) = (low as f32, high as f32);
            philox32(call, out, |x| uniform_value(T::from_f64((unit_f32(x) * (high - low) + low) as f64), first, end))
        }
        Distribution::Normal { mean, std } => {
            let (m, s) = (mean as f32, std as f32);
            philox_normal(call, out, |v| v * s + m, |v| v * std + mean)
        }
        Distribution::LogNormal { mean, std } => {
            let (m, s) = (mean as f32, std as f32);
            philox_normal(call, out, |v| (v * s + m).exp(), |v| (v * std + mean).exp())
        }
        Distribution::Integer { low, high } => {
            let r = IntRange::new(low, high);
            if r.wide() {
                philox64(call, out, |x| T::from_i64(r.wide_value(x)))
            } else {
                philox32(call, out, |x| T::from_i64(r.narrow_value(x)))
            }
        }
        Distribution::FullRange => match full_range(T::DTYPE) {
            (true, modulus) => philox64(call, out, |x| T::from_i64((x % modulus) as i64)),
            (false, modulus) => philox32(call, out, |x| T::from_i64((x as u64 % modulus) as i64)),
        },
        Distribution::Bernoulli { p } => {
            let threshold = bernoulli_threshold(p);
            philox32(call, out, |x| T::from_i64(((x as u64) < threshold) as i64))
        }
        Distribution::Exponential { lambda } => {
            if double {
                return philox64(call, out, |x| T::from_f64(-(1.0 - unit_f64(x)).ln().min(-(2f64.powi(-54))) / lambda));
            }
            let l = lambda as f32;
            philox32(call, out, |x| T::from_f64((-open_unit_f32(x).ln().min(-(2f32.powi(-25))) / l) as f64))
        }
        Distribution::Cauchy { median, sigma } => {
            if double {
                return philox64(call, out, |x| T::from_f64(cauchy(unit_f64(x), median, sigma)));
            }
            let (m, s) = (median as f32, sigma as f32);
            philox32(call, out, |x| T::from_f64((m + s * (std::f32::consts::PI * (unit_f32(x) - 0.5)).tan()) as f64))
        }
        Distribution::Geometric { p } => {
            let scale = (-p).ln_1p();
            if double {
                return philox64(call, out, |x| T::from_f64(((1.0 - unit_f64(x)).ln() / scale).ceil().max(1.0)));
            }
            let scale = scale as f32;
            philox32(call, out, |x| T::from_f64((open_unit_f32(x).ln() / scale).ceil().max(1.0) as f64))
        }
        Distribution::Permutation => {
            let n = out.len();
            permute(out, |i| (call.u64(i as u64) % (n - i) as u64) as usize)
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;
    use crate::backend;
    use crate::backend::storage::Storage;
    use crate::base::device::Device;

    fn philox_values<T: Element>(dist: Distribution, n: usize) -> Vec<T> {
        let g = Generator::with_algorithm(Algorithm::Philox);
        g.manual_seed(0x1234_5678_9abc_def0);
        g.next_philox();
        let layout = Layout::contiguous(&[n as i64]);
        let storage = Storage::alloc(n * size_of::<T>(), Device::CPU).unwrap();
        random(dist, &g, View { storage: &storage, layout: &layout, dtype: T::DTYPE }).unwrap();
        let mut bytes = vec![0; n * size_of::<T>()];
        backend::get(Device::CPU).unwrap().download(&storage, 0, &mut bytes).unwrap();
        bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
    }

    /// The documented mapping, element by element; long enough for several threads.
    #[cfg_attr(test, test)]
    pub(crate) fn philox_mapping() {
        let call = PhiloxCall { seed: 0x1234_5678_9abc_def0, offset: 1 };
        let n = 50_003;
        for (i, v) in philox_values::<f32>(Distribution::Uniform { low: 0.0, high: 1.0 }, n).into_iter().enumerate() {
            assert_eq!(v, (call.block(i as u64 / 4)[i % 4] & 0xff_ffff) as f32 / 16_777_216.0);
        }
        for (i, v) in philox_values::<i64>(Distribution::Integer { low: -3, high: 1 << 40 }, n).into_iter().enumerate()
        {
            let w = call.block(i as u64 / 2);
            let x = (w[2 * (i % 2)] as u64) << 32 | w[2 * (i % 2) + 1] as u64;
            assert_eq!(v, (x % ((1 << 40) + 3)) as i64 - 3);
        }
        for (i, v) in philox_values::<u8>(Distribution::Bernoulli { p: 0.25 }, n).into_iter().enumerate() {
            assert_eq!(v, (call.u32(i as u64) < 1 << 30) as u8);
        }
        for (i, v) in philox_values::<f32>(Distribution::Normal { mean: 1.0, std: 2.0 }, n).into_iter().enumerate() {
            assert_eq!(v, call.normal_f32(i as u64) * 2.0 + 1.0);
        }
    }

    /// Mean and variance of each distribution, within five standard errors.
    #[cfg_attr(test, test)]
    pub(crate) fn philox_moments() {
        let n = 200_000;
        let check = |dist: Distribution, mean: f64, var: f64| {
            let single: Vec<f64> = philox_values::<f32>(dist, n).into_iter().map(|v| v as f64).collect();
            for v in [single, philox_values::<f64>(dist, n)] {
                let m = v.iter().sum::<f64>() / n as f64;
                let s = v.iter().map(|x| (x - m) * (x - m)).sum::<f64>() / n as f64;
                assert!((m - mean).abs() < 5.0 * (var / n as f64).sqrt(), "{dist:?}: mean {m}");
                // The fourth moment is at most about nine times the squared variance here.
                assert!((s - var).abs() < 5.0 * var * (9.0 / n as f64).sqrt(), "{dist:?}: variance {s}");
            }
        };
        check(Distribution::Uniform { low: -1.0, high: 2.0 }, 0.5, 0.75);
        check(Distribution::Normal { mean: 1.5, std: 0.5 }, 1.5, 0.25);
        check(Distribution::LogNormal { mean: 0.0, std: 0.25 }, 0.03125f64.exp(), 0.0625f64.exp() * 0.0625f64.exp_m1());
        check(Distribution::Exponential { lambda: 2.0 }, 0.5, 0.25);
        check(Distribution::Geometric { p: 0.25 }, 4.0, 12.0);
        check(Distribution::Bernoulli { p: 0.3 }, 0.3, 0.21);
        check(Distribution::Integer { low: 0, high: 10 }, 4.5, 8.25);
    }

    #[cfg_attr(test, test)]
    pub(crate) fn philox_permutation_is_one() {
        let mut v = philox_values::<i64>(Distribution::Permutation, 1000);
        assert_ne!(v, (0..1000).collect::<Vec<_>>());
        v.sort();
        assert_eq!(v, (0..1000).collect::<Vec<_>>());
    }

    #[cfg_attr(test, test)]
    pub(crate) fn float_distributions_refuse_integers() {
        let layout = Layout::contiguous(&[4]);
        let storage = Storage::alloc(16, Device::CPU).unwrap();
        let out = View { storage: &storage, layout: &layout, dtype: DType::I32 };
        let e = random(Distribution::Uniform { low: 0.0, high: 1.0 }, &Generator::new(), out).unwrap_err();
        assert_eq!(e.message, "\"random\" not implemented for int32 on device cpu");
    }
}
