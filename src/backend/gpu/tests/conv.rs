//! Convolutions and pooling against plain loops.

use super::*;
use crate::backend::gpu::conv::ConvMethod;
use crate::backend::gpu::tile::Method;

pub(super) struct Case {
    n: i64,
    c: i64,
    o: i64,
    groups: i64,
    input: Vec<i64>,
    kernel: Vec<i64>,
    p: ConvParams,
}

pub(super) fn case(
    n: i64,
    c: i64,
    o: i64,
    groups: i64,
    input: &[i64],
    kernel: &[i64],
    s: &[i64],
    pad: &[i64],
    dil: &[i64],
) -> Case {
    let p = ConvParams { stride: s.to_vec(), padding: pad.to_vec(), dilation: dil.to_vec(), groups };
    Case { n, c, o, groups, input: input.to_vec(), kernel: kernel.to_vec(), p }
}

impl Case {
    fn out(&self) -> Vec<i64> {
        (0..self.input.len())
            .map(|i| {
                let reach = (self.kernel[i] - 1) * self.p.dilation[i] + 1;
                (self.input[i] + 2 * self.p.padding[i] - reach) / self.p.stride[i] + 1
            })
            .collect()
    }
    fn x_shape(&self) -> Vec<i64> {
        [&[self.n, self.c], &self.input[..]].concat()
    }
    fn w_shape(&self) -> Vec<i64> {
        [&[self.o, self.c / self.groups], &self.kernel[..]].concat()
    }
    fn y_shape(&self) -> Vec<i64> {
        [&[self.n, self.o], &self.out()[..]].concat()
    }
    /// Calls `f(x, w, y)` with the positions of every product that the convolution consists of.
    fn each(&self, mut f: impl FnMut(usize, usize, usize)) {
        let out = self.out();
        let (cg, og) = (self.c / self.groups, self.o / self.groups);
        let walk = |s: &[i64]| positions_of(s);
        for n in 0..self.n {
            for o in 0..self.o {
                for (yi, y) in walk(&out).iter().enumerate() {
                    for c in 0..cg {
                        for (ki, k) in walk(&self.kernel).iter().enumerate() {
                            let at: Vec<i64> = (0..y.len())
                                .map(|d| y[d] * self.p.stride[d] - self.p.padding[d] + k[d] * self.p.dilation[d])
                                .collect();
                            if at.iter().zip(&self.input).any(|(a, s)| *a < 0 || a >= s) {
                                continue;
                            }
                            let plane: i64 = self.input.iter().product();
                            let place = at.iter().zip(&self.input).fold(0, |p, (a, s)| p * s + a);
                            let x = (n * self.c + o / og * cg + c) * plane + place;
                            let w = (o * cg + c) * self.kernel.iter().product::<i64>() + ki as i64;
                            let y = (n * self.o + o) * out.iter().product::<i64>() + yi as i64;
                            f(x as usize, w as usize, y as usize);
                        }
                    }
                }
            }
        }
    }
}

fn positions_of(s: &[i64]) -> Vec<Vec<i64>> {
    let mut all = vec![vec![]];
    for n in s {
        all = all.iter().flat_map(|p| (0..*n).map(move |i| [&p[..], &[i]].concat())).collect();
    }
    all
}

fn cases() -> Vec<Case> {
    vec![
        case(2, 3, 8, 1, &[9, 11], &[3, 3], &[1, 1], &[1, 1], &[1, 1]),
        case(3, 4, 6, 2, &[10, 7], &[3, 2], &[2, 1], &[0, 1], &[1, 2]),
        case(2, 6, 6, 6, &[8, 8], &[3, 3], &[1, 1], &[1, 1], &[1, 1]),
        case(2, 5, 12, 1, &[30], &[5], &[3], &[2], &[2]),
        case(1, 2, 4, 1, &[5, 6, 7], &[2, 3, 3], &[1, 2, 2], &[1, 1, 0], &[1, 1, 1]),
        case(4, 1, 6, 1, &[16, 16], &[5, 5], &[1, 1], &[0, 0], &[1, 1]),
        case(2, 3, 11, 1, &[4, 37], &[2, 3], &[1, 2], &[0, 1], &[1, 1]),
        case(3, 2, 9, 1, &[5, 40], &[3, 1], &[2, 1], &[1, 2], &[1, 3]),
    ]
}

pub(super) const METHODS: [ConvMethod; 4] =
    [ConvMethod::Direct, ConvMethod::Columns(Method::Packed), ConvMethod::Columns(Method::Tiled), ConvMethod::Rows];

pub(super) fn check(d: &Gpu, c: &Case, dtype: DType, method: Option<ConvMethod>) {
    check_with(d, c, dtype, method, [None; 3]);
}
/// As `check`, with one number in the middle of the input, the weight and the gradient.
fn check_with(d: &Gpu, c: &Case, dtype: DType, method: Option<ConvMethod>, bad: [Option<f64>; 3]) {
    let fill = |shape: &[i64], seed: u64| -> Vec<f64> {
        noise(shape.iter().product::<i64>() as usize, seed).iter().map(|v| round_to(dtype, *v)).collect()
    };
    let (xs, ws, ys) = (c.x_shape(), c.w_shape(), c.y_shape());
    let (mut x, mut w, mut g, b) = (fill(&xs, 51), fill(&ws, 52), fill(&ys, 53), fill(&[c.o], 54));
    for (v, bad) in [&mut x, &mut w, &mut g].into_iter().zip(bad) {
        let middle = v.len() / 2;
        if let Some(bad) = bad {
            v[middle] = bad;
        }
    }
    let (mut y, mut gx, mut gw) = (vec![0.0; g.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    let plane = c.out().iter().product::<i64>() as usize;
    c.each(|i, k, o| {
        y[o] += x[i] * w[k];
        gx[i] += g[o] * w[k];
        gw[k] += g[o] * x[i];
    });
    let with_bias: Vec<f64> = y.iter().enumerate().map(|(i, v)| v + b[i / plane % c.o as usize]).collect();
    let (xt, wt, gt, bt) =
        (T::of(d, dtype, &x, &xs), T::of(d, dtype, &w, &ws), T::of(d, dtype, &g, &ys), T::of(d, dtype, &b, &[c.o]));
    let what = format!("{dtype} {method:?} {xs:?} {ws:?} {:?}", c.p);
    let tol = tolerance(dtype) * 8.0;
    let out = T::zeros(d, dtype, &ys);
    d.conv_forward(method, xt.view(), wt.view(), None, &c.p, out.view()).unwrap();
    assert_close(&out.values(d), &y, tol, &format!("forward {what}"));
    d.conv_forward(method, xt.view(), wt.view(), Some(bt.view()), &c.p, out.view()).unwrap();
    assert_close(&out.values(d), &with_bias, tol, &format!("forward with bias {what}"));
    let out = T::of(d, dtype, &vec![9.0; x.len()], &xs);
    d.conv_input_gradient(method, gt.view(), wt.view(), &c.p, out.view()).unwrap();
    assert_close(&out.values(d), &gx, tol, &format!("input gradient {what}"));
    let out = T::of(d, dtype, &vec![9.0; w.len()], &ws);
    d.conv_weight_gradient(method, gt.view(), xt.view(), &c.p, out.view()).unwrap();
    assert_close(&out.values(d), &gw, tol * 4.0, &format!("weight gradient {what}"));
}

#[cfg_attr(test, test)]
pub(crate) fn convolutions_by_every_method() {
    let Some(d) = device() else { return };
    for c in cases() {
        for m in METHODS {
            check(d, &c, DType::F32, Some(m));
        }
        check(d, &c, DType::F32, None);
    }
}

#[cfg_attr(test, test)]
pub(crate) fn zeros_around_meet_no_infinities() {
    let Some(d) = device() else { return };
    let inf = Some(f64::INFINITY);
    for c in cases() {
        for m in METHODS {
            for bad in [[inf, None, None], [None, inf, None], [None, None, inf]] {
                check_with(d, &c, DType::F32, Some(m), bad);
            }
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn convolutions_of_every_float_dtype() {
    let Some(d) = device() else { return };
    for dtype in [DType::F64, DType::F16, DType::BF16] {
        if dtype == DType::F64 && !d.info.fp64 {
            continue;
        }
        for m in METHODS {
            check(d, &cases()[1], dtype, Some(m));
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn a_strided_input_and_a_transposed_weight() {
    let Some(d) = device() else { return };
    let c = case(2, 4, 4, 1, &[6, 6], &[3, 3], &[1, 1], &[1, 1], &[1, 1]);
    let (x, w) = (noise(2 * 4 * 36, 55), noise(4 * 4 * 9, 56));
    // Channels last in memory; weight with its first two dimensions exchanged.
    let xt = T::of(d, DType::F32, &x, &[2, 6, 6, 4]).transposed(2, 3).transposed(1, 2);
    let wt = T::of(d, DType::F32, &w, &[4, 4, 3, 3]).transposed(0, 1);
    let (xv, wv) = (xt.values(d), wt.values(d));
    let mut y = vec![0.0; 2 * 4 * 36];
    c.each(|i, k, o| y[o] += xv[i] * wv[k]);
    for m in METHODS {
        let out = T::zeros(d, DType::F32, &[2, 4, 6, 6]);
        d.conv_forward(Some(m), xt.view(), wt.view(), None, &c.p, out.view()).unwrap();
        assert_close(&out.values(d), &y, 1e-5, &format!("{m:?}"));
    }
}

struct Pooling {
    lead: Vec<i64>,
    input: Vec<i64>,
    out: Vec<i64>,
    p: PoolParams,
}

impl Pooling {
    /// For every output its window's positions inside the plane, and the size of the padded window.
    fn windows(&self) -> Vec<(Vec<usize>, i64)> {
        let inside = |o: &[i64]| {
            let mut size = 1;
            for d in 0..o.len() {
                let start = o[d] * self.p.stride[d] - self.p.padding[d];
                size *= (start + self.p.kernel[d]).min(self.input[d] + self.p.padding[d]) - start;
            }
            let list = positions_of(&self.p.kernel)
                .iter()
                .filter_map(|k| {
                    let at: Vec<i64> = (0..o.len())
                        .map(|d| o[d] * self.p.stride[d] - self.p.padding[d] + k[d] * self.p.dilation[d])
                        .collect();
                    let ok = at.iter().zip(&self.input).all(|(a, s)| *a >= 0 && a < s);
                    ok.then(|| at.iter().zip(&self.input).fold(0, |p, (a, s)| p * s + a) as usize)
                })
                .collect();
            (list, size)
        };
        positions_of(&self.out).iter().map(|o| inside(o)).collect()
    }
}

fn poolings() -> Vec<Pooling> {
    let make = |lead: &[i64], input: &[i64], k: &[i64], s: &[i64], pad: &[i64], dil: &[i64], ceil: bool| {
        let out = (0..input.len())
            .map(|d| {
                let room = input[d] + 2 * pad[d] - dil[d] * (k[d] - 1) - 1;
                let n = if ceil { (room + s[d] - 1) / s[d] } else { room / s[d] } + 1;
                // The last window starts inside the input or its left padding.
                if ceil && (n - 1) * s[d] >= input[d] + pad[d] {
                    n - 1
                } else {
                    n
                }
            })
            .collect();
        let p = PoolParams { kernel: k.to_vec(), stride: s.to_vec(), padding: pad.to_vec(), dilation: dil.to_vec() };
        Pooling { lead: lead.to_vec(), input: input.to_vec(), out, p }
    };
    vec![
        make(&[2, 3], &[8, 10], &[2, 2], &[2, 2], &[0, 0], &[1, 1], false),
        make(&[2, 3], &[7, 39], &[3, 2], &[3, 2], &[0, 0], &[1, 1], false),
        make(&[2, 3], &[9, 7], &[3, 2], &[2, 1], &[1, 0], &[1, 1], true),
        make(&[4], &[20], &[3], &[2], &[1], &[1], false),
        make(&[1, 2], &[4, 5, 6], &[2, 2, 3], &[1, 2, 2], &[1, 0, 1], &[1, 1, 1], false),
    ]
}

#[cfg_attr(test, test)]
pub(crate) fn pooling_and_its_gradients() {
    let Some(d) = device() else { return };
    for dtype in [DType::F32, DType::F16] {
        for q in poolings() {
            let shape = [&q.lead[..], &q.input].concat();
            let oshape = [&q.lead[..], &q.out].concat();
            let (planes, plane) = (q.lead.iter().product::<i64>() as usize, q.input.iter().product::<i64>() as usize);
            let oplane = q.out.iter().product::<i64>() as usize;
            let x: Vec<f64> = noise(planes * plane, 61).iter().map(|v| round_to(dtype, *v)).collect();
            let g: Vec<f64> = noise(planes * oplane, 62).iter().map(|v| round_to(dtype, *v)).collect();
            let windows = q.windows();
            let (xt, gt) = (T::of(d, dtype, &x, &shape), T::of(d, dtype, &g, &oshape));
            let (mut best, mut index, mut gx) = (vec![], vec![], vec![0.0; x.len()]);
            for l in 0..planes {
                for (o, (w, _)) in windows.iter().enumerate() {
                    let at = *w.iter().fold(&w[0], |b, p| if x[l * plane + p] > x[l * plane + b] { p } else { b });
                    best.push(x[l * plane + at]);
                    index.push(at as f64);
                    gx[l * plane + at] += g[l * oplane + o];
                }
            }
            let (o, i) = (T::zeros(d, dtype, &oshape), T::zeros(d, DType::I64, &oshape));
            d.max_pool(xt.view(), &q.p, o.view(), i.view()).unwrap();
            let what = format!("{dtype} {shape:?} {:?}", q.p);
            assert_close(&o.values(d), &best, 0.0, &format!("max {what}"));
            assert_close(&i.values(d), &index, 0.0, &format!("places {what}"));
            let r = T::zeros(d, dtype, &shape);
            d.max_pool_backward(gt.view(), i.view(), &q.p, r.view()).unwrap();
            assert_close(&r.values(d), &gx, tolerance(dtype) * 2.0, &format!("max gradient {what}"));
            if q.p.dilation.iter().any(|v| *v != 1) {
                continue;
            }
            for (pad, divisor) in [(true, None), (false, None), (true, Some(5))] {
                let by = |w: &(Vec<usize>, i64)| match divisor {
                    Some(v) => v as f64,
                    None if pad => w.1 as f64,
                    None => w.0.len() as f64,
                };
                let (mut mean, mut gx) = (vec![], vec![0.0; x.len()]);
                for l in 0..planes {
                    for (o, w) in windows.iter().enumerate() {
                        mean.push(w.0.iter().map(|p| x[l * plane + p]).sum::<f64>() / by(w));
                        w.0.iter().for_each(|p| gx[l * plane + p] += g[l * oplane + o] / by(w));
                    }
                }
                d.avg_pool(xt.view(), &q.p, pad, divisor, o.view()).unwrap();
                assert_close(&o.values(d), &mean, tolerance(dtype) * 2.0, &format!("average {what}"));
                d.avg_pool_backward(gt.view(), &q.p, pad, divisor, r.view()).unwrap();
                assert_close(&r.values(d), &gx, tolerance(dtype) * 2.0, &format!("average gradient {what}"));
            }
        }
    }
}
