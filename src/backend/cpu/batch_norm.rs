//! Batch normalisation of [n, channels, places] by the batch's own statistics, and its gradients.
//!
//! Forward reads the input twice and backward input and gradient twice: once for the sums of each plane (the places of
//! one channel of one image, in the order in which they lie in memory), once for the results. The planes' sums are added
//! per channel in double and in order, so nothing depends on threads.

use super::lanes::{FloatElement, Lanes, Real};
use super::level::{level, Level};
use super::norm::moments;
use super::scratch::{ptr, Ptr, Scratch};
use super::threads::parallel::parallel_for;
use crate::backend::{check, LayerNormGrads, View};
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::{ensure, simd_dispatch};
use std::ops::Range;

/// Elements that are worth a task.
const TASK: usize = 16_384;
/// Elements of a plane that are read twice in a row: they stay in the first-level cache.
const PART: usize = 4096;

/// [n, c, s], planes of neighbours.
#[derive(Clone, Copy)]
struct Planes<T> {
    p: Ptr<T>,
    n: isize,
    c: isize,
}
impl<T> Planes<T> {
    /// None where a plane's elements are no neighbours.
    fn of(v: &View) -> Result<Option<Planes<T>>> {
        let l = v.layout;
        Ok(match (&l.shape[..], &l.strides[..]) {
            ([_, _, s], [n, c, step]) if *step == 1 || *s <= 1 => {
                Some(Planes { p: Ptr(ptr(v)?), n: *n as isize, c: *c as isize })
            }
            _ => None,
        })
    }
    #[inline(always)]
    fn plane(&self, n: usize, c: usize) -> *mut T {
        self.p.at(n as isize * self.n + c as isize * self.c)
    }
}

/// One element for each channel.
#[derive(Clone, Copy)]
struct Channels<T> {
    p: Ptr<T>,
    step: isize,
}
impl<T: Copy> Channels<T> {
    fn of(v: &View) -> Result<Channels<T>> {
        Ok(Channels { p: Ptr(ptr(v)?), step: v.layout.strides.first().map_or(0, |s| *s as isize) })
    }
    fn maybe(v: &Option<View>) -> Result<Option<Channels<T>>> {
        v.as_ref().map(Channels::of).transpose()
    }
    #[inline(always)]
    fn at(&self, c: usize) -> *mut T {
        self.p.at(c as isize * self.step)
    }
}

/// Checks that `per_channel` have one element for each channel of [n, c, s], and gives these three.
fn sizes(input: &View, per_channel: &[Option<View>]) -> Result<[usize; 3]> {
    let [n, c, s] = input.layout.shape[..] else { return Ok([0; 3]) };
    for v in per_channel.iter().flatten() {
        ensure!(
            v.layout.shape[..] == [c],
            Runtime,
            "batch_norm: expected one element for each of {c} channels, got {:?}",
            v.layout.shape
        );
    }
    Ok([n as usize, c as usize, s as usize])
}

/// Whether the kernels have code for these: one of two dtypes, and something to count.
fn suits(dtype: DType, views: &[Option<View>], [n, c, s]: [usize; 3]) -> bool {
    matches!(dtype, DType::F32 | DType::F64) && views.iter().flatten().all(|v| v.dtype == dtype) && n * c * s > 0
}

/// See `Backend::batch_norm`.
pub fn batch_norm(
    x: View,
    weight: Option<View>,
    bias: Option<View>,
    eps: f64,
    out: View,
    [mean, var]: [View; 2],
) -> Result<bool> {
    forward_on(level(), x, weight, bias, eps, out, [mean, var])
}
fn forward_on(
    set: Level,
    x: View,
    weight: Option<View>,
    bias: Option<View>,
    eps: f64,
    out: View,
    [mean, var]: [View; 2],
) -> Result<bool> {
    let size = sizes(&x, &[weight, bias, Some(mean), Some(var)])?;
    if !suits(x.dtype, &[weight, bias, Some(out), Some(mean), Some(var)], size) {
        return Ok(false);
    }
    check::same_shape("batch_norm", &[&x, &out])?;
    match x.dtype {
        DType::F32 => forward::<f32>(set, size, x, weight, bias, eps, out, [mean, var]),
        _ => forward::<f64>(set, size, x, weight, bias, eps, out, [mean, var]),
    }
}
fn forward<T: Real + FloatElement<C = T>>(
    set: Level,
    [n, c, s]: [usize; 3],
    x: View,
    weight: Option<View>,
    bias: Option<View>,
    eps: f64,
    out: View,
    [mean, var]: [View; 2],
) -> Result<bool> {
    let (Some(x), Some(out)) = (Planes::<T>::of(&x)?, Planes::<T>::of(&out)?) else { return Ok(false) };
    let (weight, bias) = (Channels::<T>::maybe(&weight)?, Channels::<T>::maybe(&bias)?);
    let (mean, var) = (Channels::<T>::of(&mean)?, Channels::<T>::of(&var)?);
    let sums = Scratch::new::<f64>(2 * n * c)?;
    let coefficients = Scratch::new::<T>(3 * c)?;
    let (sums, coefficients) = (Ptr(sums.ptr::<f64>()), Ptr(coefficients.ptr::<T>()));
    parallel_for(n * c, (TASK / s).max(1), |r| {
        // SAFETY: planes of the view, each plane's own sums; the machine has the instruction set.
        unsafe { plane_moments::<T>(set, r, c, s, &x, sums) }
    });
    parallel_for(c, (TASK / (4 * n)).max(1), |r| {
        for ch in r {
            // SAFETY: sums of all planes; one element for each channel.
            unsafe {
                let plane =
                    |i: usize| (*sums.at((2 * (i * c + ch)) as isize), *sums.at((2 * (i * c + ch) + 1) as isize));
                let m = (0..n).map(|i| plane(i).0).sum::<f64>() / n as f64;
                // Planes have equally many elements.
                let squares: f64 = (0..n).map(|i| plane(i).1 + s as f64 * (plane(i).0 - m) * (plane(i).0 - m)).sum();
                let v = squares / (n * s) as f64;
                *mean.at(ch) = T::from_f64(m);
                *var.at(ch) = T::from_f64(v);
                let w = weight.map_or(1.0, |w| (*w.at(ch)).to_f64());
                let to = coefficients.at((3 * ch) as isize);
                *to = T::from_f64(m);
                *to.add(1) = T::from_f64(w / (v + eps).sqrt());
                *to.add(2) = bias.map_or(T::ZERO, |b| *b.at(ch));
            }
        }
    });
    parallel_for(n * c, (TASK / s).max(1), |r| {
        // SAFETY: planes of the views, each written by one task; the machine has the instruction set.
        unsafe { normalise::<T>(set, r, c, s, &x, &out, coefficients) }
    });
    Ok(true)
}

simd_dispatch!(fn plane_moments => plane_moments_body(
    range: Range<usize>, c: usize, s: usize, x: &Planes<T>, sums: Ptr<f64>));

/// Mean, and sum of the squares of what deviates from it, of each plane.
#[inline(always)]
unsafe fn plane_moments_body<T: Real, V: Lanes<T = T>>(
    range: Range<usize>,
    c: usize,
    s: usize,
    x: &Planes<T>,
    sums: Ptr<f64>,
) {
    for i in range {
        let from = x.plane(i / c, i % c) as *const T;
        let (mut mean, mut squares, mut done) = (0.0, 0.0, 0);
        while done < s {
            let k = PART.min(s - done);
            let (m, variance) = moments::<T, V>(from.add(done), k);
            // Two sets of numbers become one (Chan, Golub and LeVeque).
            let (k, off) = (k as f64, m.to_f64() - mean);
            let share = k / (done as f64 + k);
            squares += variance.to_f64() * k + off * off * done as f64 * share;
            mean += off * share;
            done += k as usize;
        }
        *sums.at(2 * i as isize) = mean;
        *sums.at(2 * i as isize + 1) = squares;
    }
}

simd_dispatch!(fn normalise => normalise_body(
    range: Range<usize>, c: usize, s: usize, x: &Planes<T>, out: &Planes<T>, coefficients: Ptr<T>));

/// (x - mean) * scale + bias.
#[inline(always)]
unsafe fn normalise_body<T: Real, V: Lanes<T = T>>(
    range: Range<usize>,
    c: usize,
    s: usize,
    x: &Planes<T>,
    out: &Planes<T>,
    coefficients: Ptr<T>,
) {
    let full = s / V::N * V::N;
    for i in range {
        let (from, to) = (x.plane(i / c, i % c) as *const T, out.plane(i / c, i % c));
        let by = coefficients.at((3 * (i % c)) as isize);
        let (mean, scale, bias) = (V::splat(*by), V::splat(*by.add(1)), V::splat(*by.add(2)));
        let mut j = 0;
        while j < full {
            V::load(from.add(j)).sub(mean).fma(scale, bias).store(to.add(j));
            j += V::N;
        }
        if full < s {
            V::load_n(from.add(full), s - full).sub(mean).fma(scale, bias).store_n(to.add(full), s - full);
        }
    }
}

/// See `Backend::batch_norm_backward`.
pub fn batch_norm_backward(
    g: View,
    x: View,
    weight: Option<View>,
    [mean, var]: [View; 2],
    eps: f64,
    grads: LayerNormGrads,
) -> Result<bool> {
    backward_on(level(), g, x, weight, [mean, var], eps, grads)
}
fn backward_on(
    set: Level,
    g: View,
    x: View,
    weight: Option<View>,
    [mean, var]: [View; 2],
    eps: f64,
    grads: LayerNormGrads,
) -> Result<bool> {
    let size = sizes(&x, &[weight, Some(mean), Some(var), grads.weight, grads.bias])?;
    if !suits(x.dtype, &[Some(g), weight, Some(mean), Some(var), grads.input, grads.weight, grads.bias], size) {
        return Ok(false);
    }
    check::same_shape("batch_norm_backward", &[&g, &x])?;
    if let Some(out) = &grads.input {
        check::same_shape("batch_norm_backward", &[&x, out])?;
    }
    match x.dtype {
        DType::F32 => backward::<f32>(set, size, g, x, weight, [mean, var], eps, grads),
        _ => backward::<f64>(set, size, g, x, weight, [mean, var], eps, grads),
    }
}
fn backward<T: Real + FloatElement<C = T>>(
    set: Level,
    [n, c, s]: [usize; 3],
    g: View,
    x: View,
    weight: Option<View>,
    [mean, var]: [View; 2],
    eps: f64,
    grads: LayerNormGrads,
) -> Result<bool> {
    let (Some(g), Some(x)) = (Planes::<T>::of(&g)?, Planes::<T>::of(&x)?) else { return Ok(false) };
    let gx = match &grads.input {
        Some(v) => match Planes::<T>::of(v)? {
            Some(p) => Some(p),
            None => return Ok(false),
        },
        None => None,
    };
    let (gw, gb) = (Channels::<T>::maybe(&grads.weight)?, Channels::<T>::maybe(&grads.bias)?);
    let weight = Channels::<T>::maybe(&weight)?;
    let (mean, var) = (Channels::<T>::of(&mean)?, Channels::<T>::of(&var)?);
    let sums = Scratch::new::<f64>(2 * n * c)?;
    let coefficients = Scratch::new::<T>(4 * c)?;
    let (sums, coefficients) = (Ptr(sums.ptr::<f64>()), Ptr(coefficients.ptr::<T>()));
    parallel_for(n * c, (TASK / (2 * s)).max(1), |r| {
        // SAFETY: planes of the views, each plane's own sums; the machine has the instruction set.
        unsafe { plane_sums::<T>(set, r, c, s, &g, &x, &mean, sums) }
    });
    parallel_for(c, (TASK / (4 * n)).max(1), |r| {
        for ch in r {
            // SAFETY: sums of all planes; one element for each channel.
            unsafe {
                let total = |k: usize| (0..n).map(|i| *sums.at((2 * (i * c + ch) + k) as isize)).sum::<f64>();
                let (sum, along) = (total(0), total(1));
                let rstd = 1.0 / ((*var.at(ch)).to_f64() + eps).sqrt();
                if let Some(gw) = &gw {
                    *gw.at(ch) = T::from_f64(along * rstd);
                }
                if let Some(gb) = &gb {
                    *gb.at(ch) = T::from_f64(sum);
                }
                let count = (n * s) as f64;
                let to = coefficients.at((4 * ch) as isize);
                *to = *mean.at(ch);
                *to.add(1) = T::from_f64(rstd * weight.map_or(1.0, |w| (*w.at(ch)).to_f64()));
                *to.add(2) = T::from_f64(sum / count);
                *to.add(3) = T::from_f64(-along * rstd * rstd / count);
            }
        }
    });
    if let Some(gx) = gx {
        parallel_for(n * c, (TASK / (2 * s)).max(1), |r| {
            // SAFETY: planes of the views, each written by one task; the machine has the instruction set.
            unsafe { slopes::<T>(set, r, c, s, &g, &x, &gx, coefficients) }
        });
    }
    Ok(true)
}

simd_dispatch!(fn plane_sums => plane_sums_body(
    range: Range<usize>, c: usize, s: usize, g: &Planes<T>, x: &Planes<T>, mean: &Channels<T>, sums: Ptr<f64>));

/// The sums of g and of g (x - mean) of each plane.
#[inline(always)]
unsafe fn plane_sums_body<T: Real, V: Lanes<T = T>>(
    range: Range<usize>,
    c: usize,
    s: usize,
    g: &Planes<T>,
    x: &Planes<T>,
    mean: &Channels<T>,
    sums: Ptr<f64>,
) {
    for i in range {
        let (g, x) = (g.plane(i / c, i % c) as *const T, x.plane(i / c, i % c) as *const T);
        let m = V::splat(*mean.at(i % c));
        let (mut sum, mut along, mut done) = (0.0, 0.0, 0);
        while done < s {
            let k = PART.min(s - done);
            let (g, x) = (g.add(done), x.add(done));
            let (mut a, mut b) = ([V::zero(); 4], [V::zero(); 4]);
            let mut j = 0;
            while j + 4 * V::N <= k {
                for u in 0..4 {
                    let grad = V::load(g.add(j + u * V::N));
                    a[u] = a[u].add(grad);
                    b[u] = V::load(x.add(j + u * V::N)).sub(m).fma(grad, b[u]);
                }
                j += 4 * V::N;
            }
            while j < k {
                let l = V::N.min(k - j);
                // Lanes past the end have no gradient, so what they hold otherwise does not count.
                let grad = V::load_n(g.add(j), l);
                a[0] = a[0].add(grad);
                b[0] = V::load_n(x.add(j), l).sub(m).fma(grad, b[0]);
                j += l;
            }
            sum += a[0].add(a[1]).add(a[2].add(a[3])).sum().to_f64();
            along += b[0].add(b[1]).add(b[2].add(b[3])).sum().to_f64();
            done += k;
        }
        *sums.at(2 * i as isize) = sum;
        *sums.at(2 * i as isize + 1) = along;
    }
}

simd_dispatch!(fn slopes => slopes_body(
    range: Range<usize>, c: usize, s: usize, g: &Planes<T>, x: &Planes<T>, gx: &Planes<T>, coefficients: Ptr<T>));

/// scale (g - mean of g - (x - mean) along), with along as `coefficients` have it: negative.
#[inline(always)]
unsafe fn slopes_body<T: Real, V: Lanes<T = T>>(
    range: Range<usize>,
    c: usize,
    s: usize,
    g: &Planes<T>,
    x: &Planes<T>,
    gx: &Planes<T>,
    coefficients: Ptr<T>,
) {
    let full = s / V::N * V::N;
    for i in range {
        let (g, x) = (g.plane(i / c, i % c) as *const T, x.plane(i / c, i % c) as *const T);
        let to = gx.plane(i / c, i % c);
        let by = coefficients.at((4 * (i % c)) as isize);
        let (mean, scale) = (V::splat(*by), V::splat(*by.add(1)));
        let (common, along) = (V::splat(*by.add(2)), V::splat(*by.add(3)));
        let mut j = 0;
        while j < full {
            let grad = V::load(g.add(j)).sub(common);
            V::load(x.add(j)).sub(mean).fma(along, grad).mul(scale).store(to.add(j));
            j += V::N;
        }
        if full < s {
            let k = s - full;
            let grad = V::load_n(g.add(full), k).sub(common);
            V::load_n(x.add(full), k).sub(mean).fma(along, grad).mul(scale).store_n(to.add(full), k);
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::super::level::levels;
    use super::super::testing::{assert_close, Host, Lcg};
    use super::super::threads::parallel::set_num_threads;
    use super::*;

    /// Result, mean, variance, and gradients of input, weight and bias, by plain loops.
    fn naive(x: &[f64], g: &[f64], w: &[f64], b: &[f64], [n, c, s]: [usize; 3], eps: f64) -> [Vec<f64>; 6] {
        let mut r = [vec![0.0; x.len()], vec![], vec![], vec![0.0; x.len()], vec![], vec![]];
        for ch in 0..c {
            let places: Vec<usize> = (0..n).flat_map(|i| (0..s).map(move |j| (i * c + ch) * s + j)).collect();
            let mean = |f: &dyn Fn(usize) -> f64| places.iter().map(|i| f(*i)).sum::<f64>() / places.len() as f64;
            let m = mean(&|i| x[i]);
            let v = mean(&|i| (x[i] - m).powi(2));
            let hat = |i: usize| (x[i] - m) / (v + eps).sqrt();
            let (a, along) = (mean(&|i| g[i]), mean(&|i| g[i] * hat(i)));
            for i in &places {
                r[0][*i] = hat(*i) * w[ch] + b[ch];
                r[3][*i] = w[ch] / (v + eps).sqrt() * (g[*i] - a - hat(*i) * along);
            }
            r[1].push(m);
            r[2].push(v);
            r[4].push(along * places.len() as f64);
            r[5].push(a * places.len() as f64);
        }
        r
    }

    #[cfg_attr(test, test)]
    pub(crate) fn planes_of_every_length_and_instruction_set() {
        let eps = 1e-5;
        for (dtype, tol) in [(DType::F32, 2e-5), (DType::F64, 1e-11)] {
            for (n, c, s) in [(2, 3, 1), (1, 1, 2), (3, 2, 7), (2, 5, 49), (4, 3, 64), (1, 2, 9001), (5, 1, 100)] {
                let mut r = Lcg(n as u64 * 31 + s as u64);
                let mut new = |shape: &[i64], gap: i64| {
                    let order: Vec<usize> = (0..shape.len()).collect();
                    Host::permuted(dtype, shape, &order, gap, || r.eighth())
                };
                // Rows with gaps between them are planes too.
                let gap = if s % 2 == 1 { 3 } else { 0 };
                let (x, g) = (new(&[n, c, s], gap), new(&[n, c, s], gap));
                let (w, b) = (new(&[c], 0), new(&[c], 0));
                for (with_w, with_b) in [(true, true), (false, false)] {
                    let (ones, zeros) = (vec![1.0; c as usize], vec![0.0; c as usize]);
                    let (wv, bv) = (if with_w { w.to_vec() } else { ones }, if with_b { b.to_vec() } else { zeros });
                    let size = [n as usize, c as usize, s as usize];
                    let want = naive(&x.to_vec(), &g.to_vec(), &wv, &bv, size, eps);
                    for set in levels() {
                        let what = format!("{dtype} {n}x{c}x{s} {with_w} {with_b} {set:?}");
                        let nan = |shape: &[i64]| {
                            let order: Vec<usize> = (0..shape.len()).collect();
                            Host::permuted(dtype, shape, &order, 0, || f64::NAN)
                        };
                        let (y, mean, var) = (nan(&[n, c, s]), nan(&[c]), nan(&[c]));
                        let (gx, gw, gb) = (nan(&[n, c, s]), nan(&[c]), nan(&[c]));
                        let (wv, bv) = (with_w.then(|| w.view()), with_b.then(|| b.view()));
                        let stats = [mean.view(), var.view()];
                        assert!(forward_on(set, x.view(), wv, bv, eps, y.view(), stats).unwrap(), "{what}");
                        let grads = LayerNormGrads {
                            input: Some(gx.view()),
                            weight: with_w.then(|| gw.view()),
                            bias: Some(gb.view()),
                        };
                        assert!(backward_on(set, g.view(), x.view(), wv, stats, eps, grads).unwrap(), "{what}");
                        let many = tol * ((n * s) as f64).sqrt();
                        for (got, want, tol) in [
                            (&y, &want[0], tol * 8.0),
                            (&mean, &want[1], tol),
                            (&var, &want[2], tol),
                            (&gx, &want[3], tol * 64.0),
                            (&gw, &want[4], many),
                            (&gb, &want[5], many),
                        ] {
                            if std::ptr::eq(got, &gw) && !with_w {
                                continue;
                            }
                            assert_close(&got.to_vec(), want, tol, &what);
                            got.check_canaries();
                        }
                    }
                }
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn threads_change_no_bit_and_a_far_mean_keeps_the_digits() {
        let mut r = Lcg(5);
        let x = Host::new(DType::F32, &[6, 5, 5000], || 1000.0 + r.eighth());
        let run = |threads| {
            set_num_threads(threads);
            let (y, m, v) =
                (Host::zeros(DType::F32, &[6, 5, 5000]), Host::zeros(DType::F32, &[5]), Host::zeros(DType::F32, &[5]));
            assert!(batch_norm(x.view(), None, None, 1e-5, y.view(), [m.view(), v.view()]).unwrap());
            let (gx, gw, gb) =
                (Host::zeros(DType::F32, &[6, 5, 5000]), Host::zeros(DType::F32, &[5]), Host::zeros(DType::F32, &[5]));
            let grads = LayerNormGrads { input: Some(gx.view()), weight: Some(gw.view()), bias: Some(gb.view()) };
            assert!(batch_norm_backward(y.view(), x.view(), None, [m.view(), v.view()], 1e-5, grads).unwrap());
            [y, m, v, gx, gw, gb].map(|h| h.to_vec())
        };
        let before = crate::backend::cpu::threads::parallel::num_threads();
        let (one, four) = (run(1), run(4));
        set_num_threads(before);
        assert_eq!(one, four);
        let xs = x.to_vec();
        let want = naive(&xs, &xs, &[1.0; 5], &[0.0; 5], [6, 5, 5000], 1e-5);
        assert_close(&one[2], &want[2], 1e-5, "variance");
    }

    #[cfg_attr(test, test)]
    pub(crate) fn what_the_kernels_have_no_code_for() {
        let x = Host::strided(DType::F32, &[2, 3, 4], &[12, 1, 3], 0, || 1.0);
        let (y, c) = (Host::zeros(DType::F32, &[2, 3, 4]), Host::zeros(DType::F32, &[3]));
        assert!(!batch_norm(x.view(), None, None, 1e-5, y.view(), [c.view(), c.view()]).unwrap());
        let h = Host::zeros(DType::F16, &[2, 3, 4]);
        assert!(!batch_norm(h.view(), None, None, 1e-5, h.view(), [c.view(), c.view()]).unwrap());
        let wrong = Host::zeros(DType::F32, &[2]);
        let e = batch_norm(y.view(), Some(wrong.view()), None, 1e-5, y.view(), [c.view(), c.view()]).unwrap_err();
        assert!(e.message.contains("3 channels"), "{}", e.message);
    }
}
