//! Convolutions of random and chosen shapes against naive sums.

use super::*;
use crate::backend::cpu::level::levels;
use crate::backend::cpu::testing::{assert_close, Host, Lcg};
use crate::backend::cpu::threads::parallel::set_num_threads;
use crate::base::dtype::DType;

struct Case {
    dtype: DType,
    n: usize,
    groups: usize,
    ic: usize,
    oc: usize,
    input: Vec<i64>,
    kernel: Vec<i64>,
    p: ConvParams,
}
impl Case {
    fn output(&self) -> Vec<i64> {
        (0..self.input.len())
            .map(|d| {
                let reach = self.p.dilation[d] * (self.kernel[d] - 1) + 1;
                // Rounded down: a kernel larger than the padded input has no place.
                (self.input[d] + 2 * self.p.padding[d] - reach).div_euclid(self.p.stride[d]) + 1
            })
            .collect()
    }
    fn shapes(&self) -> [Vec<i64>; 3] {
        let with = |a: usize, b: usize, s: &[i64]| [&[a as i64, b as i64], s].concat();
        [
            with(self.n, self.groups * self.ic, &self.input),
            with(self.groups * self.oc, self.ic, &self.kernel),
            with(self.n, self.groups * self.oc, &self.output()),
        ]
    }
    /// Calls f(input index, weight index, output index) for every product of the convolution, row-major indices.
    fn for_products(&self, mut f: impl FnMut(usize, usize, usize)) {
        let (out, nd) = (self.output(), self.input.len());
        let total = |v: &[i64]| v.iter().product::<i64>() as usize;
        let unravel = |mut i: usize, s: &[i64]| {
            let mut v = vec![0i64; s.len()];
            for d in (0..s.len()).rev() {
                v[d] = (i % s[d] as usize) as i64;
                i /= s[d] as usize;
            }
            v
        };
        let (op, ip, kp) = (total(&out), total(&self.input), total(&self.kernel));
        let (coc, cic) = (self.groups * self.oc, self.groups * self.ic);
        for n in 0..self.n {
            for o in 0..coc {
                for c in 0..self.ic {
                    for t in 0..kp {
                        for q in 0..op {
                            let (kt, ot) = (unravel(t, &self.kernel), unravel(q, &out));
                            let mut at = 0;
                            let mut inside = true;
                            for d in 0..nd {
                                let i = ot[d] * self.p.stride[d] + kt[d] * self.p.dilation[d] - self.p.padding[d];
                                inside &= i >= 0 && i < self.input[d];
                                at = at * self.input[d] + i;
                            }
                            if inside {
                                let channel = o / self.oc * self.ic + c;
                                f(
                                    (n * cic + channel) * ip + at as usize,
                                    (o * self.ic + c) * kp + t,
                                    (n * coc + o) * op + q,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Runs all three kernels on every instruction set, and the im2col versions, against naive sums.
fn check(c: &Case, seed: u64, layout: usize) {
    check_with(c, seed, layout, &[]);
}
/// As `check`; `bad` numbers stand somewhere in the input, the weight or the gradient, in turns.
fn check_with(c: &Case, seed: u64, layout: usize, bad: &[f64]) {
    let mut r = Lcg(seed);
    let [xs, ws, os] = c.shapes();
    let nd = xs.len();
    // Layouts: contiguous, channels last, rows with gaps.
    let order: Vec<usize> = match layout {
        1 => [&[0], &(2..nd).collect::<Vec<_>>()[..], &[1]].concat(),
        _ => (0..nd).collect(),
    };
    let gap = if layout == 2 { 3 } else { 0 };
    let mut make = |turn: usize, s: &[i64]| {
        let n = s.iter().product::<i64>() as usize;
        let at: Vec<usize> = bad.iter().map(|_| r.below(n)).collect();
        let mut i = 0;
        Host::permuted(c.dtype, s, &order, gap, || {
            i += 1;
            let spoilt = (0..bad.len()).find(|b| (b + seed as usize) % 3 == turn && at[*b] == i - 1);
            spoilt.map_or_else(|| r.eighth(), |b| bad[b])
        })
    };
    let (x, w, g) = (make(0, &xs), make(1, &ws), make(2, &os));
    let b = make_bias(c);
    let blank = |s: &[i64]| Host::permuted(c.dtype, s, &order, gap, || f64::NAN);
    let (xv, wv, gv) = (x.to_vec(), w.to_vec(), g.to_vec());
    let total = |s: &[i64]| s.iter().product::<i64>() as usize;
    let op = total(&os[2..]);
    let mut out: Vec<f64> = (0..total(&os)).map(|i| b.at((i / op.max(1) % (c.groups * c.oc)) as i64)).collect();
    let (mut gi, mut gw) = (vec![0.0; xv.len()], vec![0.0; wv.len()]);
    c.for_products(|xi, wi, oi| {
        out[oi] += xv[xi] * wv[wi];
        gi[xi] += gv[oi] * wv[wi];
        gw[wi] += gv[oi] * xv[xi];
    });
    let tol = match c.dtype {
        DType::F32 => 2e-5,
        DType::F64 => 1e-12,
        DType::F16 => 2e-3,
        _ => 1e-2,
    };
    let what = format!(
        "{} n{} g{} {}->{} {:?} kernel {:?} {:?} layout {layout}",
        c.dtype, c.n, c.groups, c.ic, c.oc, c.input, c.kernel, c.p
    );
    // Eighths are summed exactly in place, by Winograd's method they are not.
    let tol_of = |set| {
        let g = Geometry::of("test", &x.view(), &w.view(), &g.view(), &c.p).unwrap();
        if c.dtype == DType::F32 && winograd::suits(set, &g) && winograd::pays(&g) {
            10.0 * tol
        } else {
            tol
        }
    };
    for set in levels() {
        let tol = tol_of(set);
        let (o, i, wg) = (blank(&os), blank(&xs), blank(&ws));
        conv_with(set, x.view(), w.view(), Some(b.view()), &c.p, o.view()).unwrap();
        assert_close(&o.to_vec(), &out, tol, &format!("conv {set:?} {what}"));
        conv_backward_input_with(set, g.view(), w.view(), &c.p, i.view()).unwrap();
        assert_close(&i.to_vec(), &gi, tol, &format!("backward input {set:?} {what}"));
        conv_backward_weight_with(set, g.view(), x.view(), &c.p, wg.view()).unwrap();
        assert_close(&wg.to_vec(), &gw, tol, &format!("backward weight {set:?} {what}"));
        for h in [&o, &i, &wg] {
            h.check_canaries();
        }
    }
    if !bad.is_empty() {
        return;
    }
    let geo = Geometry::of("test", &x.view(), &w.view(), &g.view(), &c.p).unwrap();
    dispatch_float!(
        c.dtype,
        T,
        {
            let image = |h: &Host| Image::<T>::of(&h.view()).unwrap();
            let (o, i, wg) = (blank(&os), blank(&xs), blank(&ws));
            let bias = Some((Ptr(ptr::<T>(&b.view()).unwrap()), 1));
            gemm::forward(&geo, image(&x), image(&w), bias, image(&o)).unwrap();
            assert_close(&o.to_vec(), &out, tol, &format!("im2col conv {what}"));
            gemm::backward_input(&geo, image(&g), image(&w), image(&i)).unwrap();
            assert_close(&i.to_vec(), &gi, tol, &format!("im2col backward input {what}"));
            gemm::backward_weight(&geo, image(&g), image(&x), image(&wg)).unwrap();
            assert_close(&wg.to_vec(), &gw, tol, &format!("im2col backward weight {what}"));
            let wg = blank(&ws);
            weight::run(level(), &geo, image(&g), image(&x), image(&wg)).unwrap();
            assert_close(&wg.to_vec(), &gw, tol, &format!("dots backward weight {what}"));
        },
        unreachable!()
    );
}
fn make_bias(c: &Case) -> Host {
    let mut r = Lcg(99);
    Host::new(c.dtype, &[(c.groups * c.oc) as i64], || r.eighth())
}

#[cfg_attr(test, test)]
pub(crate) fn random_geometries() {
    random_cases(220, &[]);
}
#[cfg_attr(test, test)]
pub(crate) fn zeros_around_meet_no_infinities() {
    random_cases(120, &[f64::INFINITY]);
    random_cases(60, &[f64::NEG_INFINITY, f64::NAN]);
}
fn random_cases(count: u64, bad: &[f64]) {
    let mut r = Lcg(2024);
    let dtypes = [DType::F32, DType::F32, DType::F64, DType::F16, DType::BF16];
    let mut done = 0;
    while done < count {
        let nd = 1 + r.below(3);
        let most = [40, 13, 5][nd - 1];
        let mut dims = |lo: usize, hi: usize| (0..nd).map(|_| (lo + r.below(hi - lo + 1)) as i64).collect::<Vec<_>>();
        let (input, kernel) = (dims(1, most), dims(1, 4));
        let p = ConvParams { stride: dims(1, 3), padding: dims(0, 3), dilation: dims(1, 2), groups: 1 };
        let groups = 1 + r.below(3);
        let c = Case {
            dtype: dtypes[r.below(5)],
            n: 1 + r.below(3),
            groups,
            ic: 1 + r.below(4),
            oc: 1 + r.below(10),
            input,
            kernel,
            p: ConvParams { groups: groups as i64, ..p },
        };
        if c.output().iter().any(|o| *o <= 0) {
            continue;
        }
        check_with(&c, done, r.below(3), bad);
        done += 1;
    }
}

#[cfg_attr(test, test)]
pub(crate) fn chosen_geometries() {
    let two = |v: i64| vec![v, v];
    let case = |n, groups, ic, oc, hw: i64, k: i64, s: i64, pad: i64| Case {
        dtype: DType::F32,
        n,
        groups,
        ic,
        oc,
        input: two(hw),
        kernel: two(k),
        p: ConvParams { stride: two(s), padding: two(pad), dilation: two(1), groups: groups as i64 },
    };
    for c in [
        case(5, 1, 1, 6, 32, 3, 1, 0),
        case(5, 1, 6, 16, 15, 3, 1, 0),
        case(3, 1, 3, 17, 32, 1, 1, 0),
        case(2, 1, 20, 20, 32, 3, 1, 1),
        case(2, 1, 16, 40, 5, 5, 1, 0),
        case(2, 1, 3, 9, 33, 7, 2, 3),
        case(2, 24, 1, 1, 14, 3, 1, 1),
        case(2, 24, 1, 2, 14, 3, 2, 1),
        case(1, 1, 32, 32, 64, 1, 1, 0),
        case(1, 1, 8, 8, 70, 3, 1, 1),
        case(3, 1, 4, 12, 16, 4, 4, 0),
        case(2, 1, 5, 3, 6, 1, 3, 0),
        // The weight's gradient in several passes over channels, and of several blocks of bundled images.
        case(9, 1, 40, 32, 7, 3, 1, 1),
        case(200, 1, 1, 2, 8, 3, 1, 1),
        case(130, 1, 2, 3, 17, 3, 2, 1),
    ] {
        for layout in 0..3 {
            check(&c, 7, layout);
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn empty_shapes() {
    let p = ConvParams { stride: vec![1, 1], padding: vec![0, 0], dilation: vec![1, 1], groups: 1 };
    let f = DType::F32;
    // No images: the weight's gradient is zero.
    let (x, w, o) = (Host::zeros(f, &[0, 2, 5, 5]), Host::zeros(f, &[3, 2, 3, 3]), Host::zeros(f, &[0, 3, 3, 3]));
    conv(x.view(), w.view(), None, &p, o.view()).unwrap();
    let gw = Host::new(f, &[3, 2, 3, 3], || 5.0);
    conv_backward_weight(o.view(), x.view(), &p, gw.view()).unwrap();
    assert!(gw.to_vec().iter().all(|v| *v == 0.0));
    // No output positions: both gradients are zero.
    let (x, o) = (Host::new(f, &[1, 2, 5, 2], || 3.0), Host::zeros(f, &[1, 3, 3, 0]));
    let gi = Host::new(f, &[1, 2, 5, 2], || 5.0);
    conv_backward_input(o.view(), w.view(), &p, gi.view()).unwrap();
    assert!(gi.to_vec().iter().all(|v| *v == 0.0));
    let gw = Host::new(f, &[3, 2, 3, 3], || 5.0);
    conv_backward_weight(o.view(), x.view(), &p, gw.view()).unwrap();
    assert!(gw.to_vec().iter().all(|v| *v == 0.0));
    // No input channels: the bias alone.
    let (x, w, o) = (Host::zeros(f, &[1, 0, 5, 5]), Host::zeros(f, &[3, 0, 3, 3]), Host::new(f, &[1, 3, 3, 3], || 9.0));
    let b = Host::from_vec(f, &[3], &[1.0, 2.0, 3.0]);
    conv(x.view(), w.view(), Some(b.view()), &p, o.view()).unwrap();
    assert_eq!(o.to_vec()[8..10], [1.0, 2.0]);
}

#[cfg_attr(test, test)]
pub(crate) fn does_not_depend_on_threads() {
    let c = Case {
        dtype: DType::F32,
        n: 7,
        groups: 1,
        ic: 9,
        oc: 20,
        input: vec![30, 31],
        kernel: vec![3, 3],
        p: ConvParams { stride: vec![1, 1], padding: vec![1, 1], dilation: vec![1, 1], groups: 1 },
    };
    let [xs, ws, os] = c.shapes();
    let mut r = Lcg(3);
    let mut make = |s: &[i64]| Host::new(DType::F32, s, || r.eighth() * 0.37);
    let (x, w, g) = (make(&xs), make(&ws), make(&os));
    let mut all = vec![];
    for threads in [1, 2, 3, 8] {
        set_num_threads(threads);
        let (o, i, wg) = (Host::zeros(c.dtype, &os), Host::zeros(c.dtype, &xs), Host::zeros(c.dtype, &ws));
        conv(x.view(), w.view(), None, &c.p, o.view()).unwrap();
        conv_backward_input(g.view(), w.view(), &c.p, i.view()).unwrap();
        conv_backward_weight(g.view(), x.view(), &c.p, wg.view()).unwrap();
        all.push((o.to_vec(), i.to_vec(), wg.to_vec()));
    }
    assert!(all.iter().all(|r| *r == all[0]));
}

#[cfg_attr(test, test)]
pub(crate) fn misfits_are_errors() {
    let f = DType::F32;
    let (x, w, o) = (Host::zeros(f, &[1, 2, 5]), Host::zeros(f, &[3, 3, 3]), Host::zeros(f, &[1, 3, 3]));
    let p = ConvParams { stride: vec![1], padding: vec![0], dilation: vec![1], groups: 1 };
    assert!(conv(x.view(), w.view(), None, &p, o.view()).unwrap_err().message.contains("do not fit"));
    let i = Host::zeros(DType::I32, &[1, 3, 5]);
    let wi = Host::zeros(DType::I32, &[3, 3, 3]);
    let oi = Host::zeros(DType::I32, &[1, 3, 3]);
    let e = conv(i.view(), wi.view(), None, &p, oi.view()).unwrap_err();
    assert!(e.message.contains("\"conv\" not implemented for int32"), "{}", e.message);
}

/// A 3x3 convolution of stride 1 for Winograd's method.
fn three(n: usize, groups: usize, [ic, oc]: [usize; 2], input: [i64; 2], padding: [i64; 2]) -> Case {
    let p = ConvParams { stride: vec![1, 1], padding: padding.to_vec(), dilation: vec![1, 1], groups: groups as i64 };
    let c = Case { dtype: DType::F32, n, groups, ic, oc, input: input.to_vec(), kernel: vec![3, 3], p };
    let [xs, ws, os] = c.shapes();
    let [x, w, o] = [xs, ws, os].map(|s| Host::zeros(DType::F32, &s));
    let g = Geometry::of("test", &x.view(), &w.view(), &o.view(), &c.p).unwrap();
    assert_eq!(winograd::suits(level(), &g), level() != Level::Base);
    c
}

#[cfg_attr(test, test)]
pub(crate) fn tiles_of_every_remainder() {
    for (i, c) in [
        three(2, 1, [32, 33], [7, 9], [1, 1]),
        three(1, 2, [32, 34], [6, 8], [0, 2]),
        three(3, 1, [33, 32], [5, 14], [1, 0]),
        three(1, 1, [40, 47], [12, 5], [2, 1]),
        three(5, 1, [32, 64], [3, 3], [1, 1]),
        three(32, 1, [32, 32], [3, 3], [1, 1]),
    ]
    .iter()
    .enumerate()
    {
        for layout in 0..3 {
            compare_with_sums_in_place(c, i as u64, layout);
        }
    }
    let c = three(32, 1, [32, 32], [3, 3], [1, 1]);
    check(&c, 1, 0);
    for (seed, bad) in [f64::INFINITY, f64::NAN, f64::INFINITY].into_iter().enumerate() {
        check_with(&c, seed as u64, 0, &[bad]);
    }
}

/// All three by Winograd's method, few tiles though there are, in a layout, against sums in place.
fn compare_with_sums_in_place(c: &Case, seed: u64, layout: usize) {
    let [xs, ws, os] = c.shapes();
    let order = if layout == 1 { [0, 2, 3, 1] } else { [0, 1, 2, 3] };
    let gap = if layout == 2 { 3 } else { 0 };
    let mut r = Lcg(seed);
    let mut new = |s: &[i64]| Host::permuted(DType::F32, s, &order, gap, || r.eighth());
    let (x, w, gr, b) = (new(&xs), new(&ws), new(&os), make_bias(c));
    let blank = |s: &[i64]| Host::permuted(DType::F32, s, &order, gap, || f64::NAN);
    let g = Geometry::of("test", &x.view(), &w.view(), &gr.view(), &c.p).unwrap();
    let (out, gi, gw) = (blank(&os), blank(&xs), blank(&ws));
    forward_in_place(Level::Base, &g, x.view(), w.view(), Some(b.view()), out.view()).unwrap();
    backward_input_in_place(Level::Base, &g, gr.view(), w.view(), gi.view()).unwrap();
    backward_weight_in_place(Level::Base, &g, gr.view(), x.view(), gw.view()).unwrap();
    for set in levels().into_iter().filter(|s| *s != Level::Base) {
        let [o, i, k] = [&os, &xs, &ws].map(|s| blank(s));
        assert!(winograd_forward(set, &g, &x.view(), &w.view(), &Some(b.view()), &o.view()).unwrap());
        assert!(winograd_backward_input(set, &g, &gr.view(), &w.view(), &i.view()).unwrap());
        let image = |h: &Host| Image::of(&h.view()).unwrap();
        assert!(winograd_weight::run(set, &g, image(&gr), image(&x), image(&k)).unwrap());
        for (what, got, want) in [("conv", &o, &out), ("input", &i, &gi), ("weight", &k, &gw)] {
            assert_close(&got.to_vec(), &want.to_vec(), 2e-4, &format!("{what} {set:?} {xs:?} {ws:?} layout {layout}"));
            got.check_canaries();
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn winograd_errs_at_most_four_times_as_much() {
    if level() == Level::Base {
        return;
    }
    for (seed, channels, size) in [(1, [32, 32], 20), (2, [64, 48], 14), (3, [256, 64], 9), (4, [32, 64], 17)] {
        let c = three(2, 1, channels, [size, size], [1, 1]);
        let [xs, ws, os] = c.shapes();
        let mut r = Lcg(seed);
        // Numbers of full length between -1 and 1.
        let mut new =
            |s: &[i64]| Host::new(DType::F32, s, || (r.below(1 << 24) as f64 - (1 << 23) as f64) / (1 << 23) as f64);
        let (x, w, gr) = (new(&xs), new(&ws), new(&os));
        let g = Geometry::of("test", &x.view(), &w.view(), &gr.view(), &c.p).unwrap();
        let (mut out, mut gi) = (vec![0.0; gr.to_vec().len()], vec![0.0; x.to_vec().len()]);
        let (xv, wv, gv) = (x.to_vec(), w.to_vec(), gr.to_vec());
        c.for_products(|xi, wi, oi| {
            out[oi] += xv[xi] * wv[wi];
            gi[xi] += gv[oi] * wv[wi];
        });
        let worst =
            |h: &Host, want: &[f64]| h.to_vec().iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        for set in levels().into_iter().filter(|s| *s != Level::Base) {
            let (a, b) = (Host::zeros(DType::F32, &os), Host::zeros(DType::F32, &os));
            assert!(winograd_forward(set, &g, &x.view(), &w.view(), &None, &a.view()).unwrap());
            forward_in_place(set, &g, x.view(), w.view(), None, b.view()).unwrap();
            let (fast, direct) = (worst(&a, &out), worst(&b, &out));
            assert!(direct > 0.0 && fast <= 4.0 * direct, "{set:?} {channels:?}: {fast:e}, in place {direct:e}");
            let (a, b) = (Host::zeros(DType::F32, &xs), Host::zeros(DType::F32, &xs));
            assert!(winograd_backward_input(set, &g, &gr.view(), &w.view(), &a.view()).unwrap());
            backward_input_in_place(set, &g, gr.view(), w.view(), b.view()).unwrap();
            let (fast, direct) = (worst(&a, &gi), worst(&b, &gi));
            assert!(direct > 0.0 && fast <= 4.0 * direct, "{set:?} {channels:?} input: {fast:e}, in place {direct:e}");
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn winograd_of_weights_errs_at_most_four_times_as_much() {
    if level() == Level::Base {
        return;
    }
    for (seed, n, [ic, oc], size) in
        [(1, 8, [32, 32], 22), (2, 33, [32, 48], 11), (3, 4, [36, 40], 32), (4, 8, [32, 256], 7)]
    {
        let c = three(n, 1, [ic, oc], [size, size], [1, 1]);
        let [xs, ws, os] = c.shapes();
        let mut r = Lcg(seed);
        let mut new =
            |s: &[i64]| Host::new(DType::F32, s, || (r.below(1 << 24) as f64 - (1 << 23) as f64) / (1 << 23) as f64);
        let (x, gr) = (new(&xs), new(&os));
        let (xv, gv, hw) = (x.to_vec(), gr.to_vec(), size as usize);
        let mut want = vec![0.0; oc * ic * 9];
        for (i, want) in want.iter_mut().enumerate() {
            let (o, c, dh, dw) = (i / (9 * ic), i / 9 % ic, i / 3 % 3, i % 3);
            for image in 0..n {
                let (x, g) = (&xv[(image * ic + c) * hw * hw..], &gv[(image * oc + o) * hw * hw..]);
                // Rows and columns of the gradient whose neighbour is inside.
                for h in 1 - dh.min(1)..hw + 1 - dh.max(1) {
                    for w in 1 - dw.min(1)..hw + 1 - dw.max(1) {
                        *want += g[h * hw + w] * x[(h + dh - 1) * hw + w + dw - 1];
                    }
                }
            }
        }
        let worst = |h: &Host| h.to_vec().iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let shape = Host::zeros(DType::F32, &ws);
        let g = Geometry::of("test", &x.view(), &shape.view(), &gr.view(), &c.p).unwrap();
        for set in levels().into_iter().filter(|s| *s != Level::Base) {
            let (a, b) = (Host::zeros(DType::F32, &ws), Host::zeros(DType::F32, &ws));
            let image = |h: &Host| Image::of(&h.view()).unwrap();
            assert!(winograd_weight::suits(set, &g));
            assert!(winograd_weight::run(set, &g, image(&gr), image(&x), image(&a)).unwrap());
            backward_weight_in_place(set, &g, gr.view(), x.view(), b.view()).unwrap();
            let (fast, direct) = (worst(&a), worst(&b));
            assert!(direct > 0.0 && fast <= 4.0 * direct, "{set:?} {ic} {oc} {size}: {fast:e}, in place {direct:e}");
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn winograd_on_any_number_of_threads_and_what_overflows() {
    let c = three(29, 1, [32, 130], [9, 9], [1, 1]);
    let [xs, ws, os] = c.shapes();
    let mut r = Lcg(7);
    let mut new = |s: &[i64]| Host::new(DType::F32, s, || r.eighth() * 1.1);
    let (x, w) = (new(&xs), new(&ws));
    let run = |threads| {
        set_num_threads(threads);
        let [i, k, o] = [&xs, &ws, &os].map(|s| Host::zeros(DType::F32, s));
        conv(x.view(), w.view(), None, &c.p, o.view()).unwrap();
        conv_backward_input(o.view(), w.view(), &c.p, i.view()).unwrap();
        conv_backward_weight(o.view(), x.view(), &c.p, k.view()).unwrap();
        [o, i, k].map(|h| h.to_vec())
    };
    let before = num_threads();
    let all = [1, 2, 3, 7].map(run);
    set_num_threads(before);
    assert!(all.iter().all(|v| *v == all[0]));
    // Within range where it stands, beyond it in a sum of six.
    let mut i = 0;
    let large = Host::new(DType::F32, &xs, || {
        i += 1;
        if i == 40 {
            3e38
        } else {
            0.0
        }
    });
    let small = Host::new(DType::F32, &ws, || 0.5);
    let o = Host::zeros(DType::F32, &os);
    conv(large.view(), small.view(), None, &c.p, o.view()).unwrap();
    assert!(o.to_vec().iter().all(|v| *v == 0.0 || (*v - 1.5e38).abs() < 1e32));
}
