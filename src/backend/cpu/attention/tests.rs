//! Attention and its gradients against plain sums: dtypes, layouts, masks, instruction sets, threads.

use super::*;
use crate::backend::cpu::level::levels;
use crate::backend::cpu::testing::{assert_close, Host, Lcg};
use crate::backend::cpu::threads::parallel::set_num_threads;

#[derive(Clone, Copy)]
struct Case {
    dtype: DType,
    /// Batch, heads, heads of keys, queries, keys, columns, columns of values.
    sizes: [i64; 7],
    perm: [usize; 4],
    causal: bool,
    /// None, a bool mask for each score, a float one, one for keys alone.
    mask: u8,
}

/// The result and the gradients of queries, keys and values, in double.
fn plain(c: &Case, [q, k, v, g]: [&[f64]; 4], mask: &dyn Fn(usize, usize, usize, usize) -> f64) -> [Vec<f64>; 4] {
    let [b, h, hk, l, s, d, e] = c.sizes.map(|n| n as usize);
    let scale = 0.4;
    let (mut out, mut gq) = (vec![0.0; b * h * l * e], vec![0.0; b * h * l * d]);
    let (mut gk, mut gv) = (vec![0.0; b * hk * s * d], vec![0.0; b * hk * s * e]);
    for (bi, hi, i) in (0..b * h * l).map(|n| (n / l / h, n / l % h, n % l)) {
        let (row, kv) = ((bi * h + hi) * l + i, (bi * hk + hi / (h / hk)) * s);
        let dot = |a: &[f64], x: usize, b: &[f64], y: usize, n: usize| -> f64 {
            (0..n).map(|c| a[x * n + c] * b[y * n + c]).sum()
        };
        let mut p: Vec<f64> = (0..s)
            .map(|j| {
                let hidden = c.causal && j > i;
                dot(q, row, k, kv + j, d) * scale + if hidden { f64::NEG_INFINITY } else { mask(bi, hi, i, j) }
            })
            .collect();
        let most = p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if most == f64::NEG_INFINITY {
            continue;
        }
        p.iter_mut().for_each(|x| *x = (*x - most).exp());
        let sum: f64 = p.iter().sum();
        p.iter_mut().for_each(|x| *x /= sum);
        let dp: Vec<f64> = (0..s).map(|j| dot(g, row, v, kv + j, e)).collect();
        let mean: f64 = p.iter().zip(&dp).map(|(p, d)| p * d).sum();
        for j in 0..s {
            for c in 0..e {
                out[row * e + c] += p[j] * v[(kv + j) * e + c];
                gv[(kv + j) * e + c] += p[j] * g[row * e + c];
            }
            let ds = p[j] * (dp[j] - mean) * scale;
            for c in 0..d {
                gq[row * d + c] += ds * k[(kv + j) * d + c];
                gk[(kv + j) * d + c] += ds * q[row * d + c];
            }
        }
    }
    [out, gq, gk, gv]
}

fn check(set: Level, c: Case) -> [Vec<f64>; 4] {
    let [b, h, hk, l, s, d, e] = c.sizes;
    let mut r = Lcg(l as u64 * 31 + s as u64 * 7 + d as u64);
    let mut host = |shape: [i64; 4]| Host::permuted(c.dtype, &shape, &c.perm, 2, || r.eighth());
    let [q, k, v, g] = [host([b, h, l, d]), host([b, hk, s, d]), host([b, hk, s, e]), host([b, h, l, e])];
    let mut r = Lcg(s as u64);
    let mask = match c.mask {
        1 => Some(Host::strided(DType::Bool, &[b, h, l, s], &[0, l * s, s, 1], 0, || (r.below(4) != 0) as u8 as f64)),
        2 => Some(Host::strided(c.dtype, &[b, h, l, s], &[l * s, 0, s, 1], 1, || {
            [0.5, -1.0, f64::NEG_INFINITY][r.below(3)]
        })),
        3 => Some(Host::strided(DType::Bool, &[b, h, l, s], &[s, 0, 0, 1], 0, || (r.below(3) != 0) as u8 as f64)),
        _ => None,
    };
    let values = mask.as_ref().map(Host::to_vec);
    let added = |bi: usize, hi: usize, i: usize, j: usize| match &values {
        None => 0.0,
        Some(m) => match (c.mask, m[((bi * h as usize + hi) * l as usize + i) * s as usize + j]) {
            (2, m) => m,
            (_, m) if m != 0.0 => 0.0,
            _ => f64::NEG_INFINITY,
        },
    };
    let want = plain(&c, [&q.to_vec(), &k.to_vec(), &v.to_vec(), &g.to_vec()], &added);
    let wide = if c.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let nan = || f64::NAN;
    let (out, lse) = (Host::permuted(c.dtype, &[b, h, l, e], &c.perm, 1, nan), Host::new(wide, &[b, h, l, 1], nan));
    let a = Attention {
        query: q.view(),
        key: k.view(),
        value: v.view(),
        mask: mask.as_ref().map(Host::view),
        causal: c.causal,
        scale: 0.4,
    };
    let new = |shape: [i64; 4]| Host::new(c.dtype, &shape, nan);
    let [gq, gk, gv] = [new([b, h, l, d]), new([b, hk, s, d]), new([b, hk, s, e])];
    let slopes = AttentionSlopes { grad: g.view(), query: gq.view(), key: gk.view(), value: gv.view() };
    dispatch_float!(
        c.dtype,
        T,
        {
            run(set, &job::<T>(&a, out.view(), lse.view()).unwrap()).unwrap();
            gradients::<T>(set, job(&a, out.view(), lse.view()).unwrap(), &out.view(), &slopes).unwrap();
        },
        panic!()
    );
    let tol = match c.dtype {
        DType::F64 => 1e-12,
        DType::F32 => 1e-4,
        DType::F16 => 2e-2,
        _ => 1e-1,
    };
    let hosts = [&out, &gq, &gk, &gv];
    let got = hosts.map(Host::to_vec);
    for (i, name) in ["result", "queries", "keys", "values"].iter().enumerate() {
        let what =
            format!("{set:?} {} {:?} {:?} causal {} mask {}: {name}", c.dtype, c.sizes, c.perm, c.causal, c.mask);
        assert_close(&got[i], &want[i], tol, &what);
        hosts[i].check_canaries();
    }
    got
}

#[cfg_attr(test, test)]
pub(crate) fn against_plain_sums() {
    let sizes = [
        [1, 1, 1, 1, 1, 1, 1],
        [2, 4, 2, 1, 19, 8, 5],
        [1, 3, 1, 3, 9, 3, 17],
        [2, 2, 2, 5, 4, 16, 16],
        [1, 2, 1, 70, 101, 20, 9],
        [1, 1, 1, 40, 210, 6, 6],
    ];
    for set in levels() {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            for (i, sizes) in sizes.into_iter().enumerate() {
                for (causal, mask) in [(false, 0), (true, 0), (false, 1), (false, 2), (true, 3)] {
                    let perm = [[0, 1, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2]][(i + mask as usize) % 3];
                    check(set, Case { dtype, sizes, perm, causal, mask });
                }
            }
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn threads_change_nothing() {
    let case =
        Case { dtype: DType::F32, sizes: [1, 2, 1, 150, 400, 32, 32], perm: [0, 2, 1, 3], causal: true, mask: 0 };
    let mut all = vec![];
    for threads in [1, 2, 5] {
        set_num_threads(threads);
        all.push(check(level(), case));
    }
    assert!(all.iter().all(|x| *x == all[0]), "results depend on the number of threads");
}

#[cfg_attr(test, test)]
pub(crate) fn what_does_not_fit_is_an_error() {
    let (a, b) = (Host::zeros(DType::F32, &[1, 3, 4, 8]), Host::zeros(DType::F32, &[1, 2, 4, 8]));
    let lse = Host::zeros(DType::F32, &[1, 3, 4, 1]);
    let call = Attention { query: a.view(), key: b.view(), value: b.view(), mask: None, causal: false, scale: 1.0 };
    let e = attention(&call, a.view(), lse.view()).unwrap_err();
    assert!(e.message.contains("do not fit"), "{}", e.message);
    let i = Host::zeros(DType::I32, &[1, 3, 4, 8]);
    assert!(!attention(&Attention { query: i.view(), ..call }, a.view(), lse.view()).unwrap());
}
