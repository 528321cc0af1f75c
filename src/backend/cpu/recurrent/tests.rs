//! Layers against plain loops, on every instruction set and with several threads; gradients on all of them alike. That they
//! are the derivatives is what the suites of the ops test.

use super::*;
use crate::backend::cpu::level::levels;
use crate::backend::cpu::testing::{assert_close, Host, Lcg};
use crate::backend::cpu::threads::parallel::set_num_threads;

#[derive(Clone, Copy, Debug)]
struct Case {
    dtype: DType,
    lstm: bool,
    backwards: bool,
    sizes: &'static [i64],
    packed: bool,
    hidden: i64,
}

fn plain(c: &Case, x: &[f64], w: &[f64], bias: &[f64], h: &[f64], cell: &[f64]) -> [Vec<f64>; 3] {
    let (n, gates) = (c.hidden as usize, if c.lstm { 4 } else { 3 });
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let (mut h, mut cell) = (h.to_vec(), cell.to_vec());
    let lines = c.sizes.iter().sum::<i64>() as usize;
    let mut out = vec![0.0; lines * n];
    let mut order: Vec<usize> = (0..c.sizes.len()).collect();
    if c.backwards {
        order.reverse();
    }
    for t in order {
        let at = c.sizes[..t].iter().sum::<i64>() as usize;
        for row in 0..c.sizes[t] as usize {
            let before = h[row * n..(row + 1) * n].to_vec();
            for u in 0..n {
                let x = |g: usize| x[((at + row) * gates + g) * n + u];
                let y = |g: usize| bias[g * n + u] + (0..n).map(|k| w[(g * n + u) * n + k] * before[k]).sum::<f64>();
                let new = if c.lstm {
                    let c = &mut cell[row * n + u];
                    *c = sigmoid(x(1) + y(1)) * *c + sigmoid(x(0) + y(0)) * (x(2) + y(2)).tanh();
                    sigmoid(x(3) + y(3)) * c.tanh()
                } else {
                    let z = sigmoid(x(1) + y(1));
                    let new = (x(2) + sigmoid(x(0) + y(0)) * y(2)).tanh();
                    (before[u] - new) * z + new
                };
                (h[row * n + u], out[(at + row) * n + u]) = (new, new);
            }
        }
    }
    [out, h, cell]
}

/// Results, then gradients of the gates' sums, the recurrent part's and the first state.
fn check(set: Level, c: Case) -> Vec<Vec<f64>> {
    let (n, wide, batch) = (c.hidden, if c.lstm { 4 } else { 3 } * c.hidden, c.sizes[0]);
    let lines = c.sizes.iter().sum::<i64>();
    let mut r = Lcg(n as u64 * 31 + lines as u64);
    // Weights so small that a step does not enlarge the rounding of the one before.
    let mut host = |shape: &[i64], scale: f64| Host::permuted(c.dtype, shape, &[1, 0], 1, || r.eighth() * scale);
    let [weight, h, cell] = [host(&[wide, n], 0.25), host(&[batch, n], 1.0), host(&[batch, n], 1.0)];
    let [grad_h, grad_c] = [host(&[batch, n], 1.0), host(&[batch, n], 1.0)];
    let bias = Host::strided(c.dtype, &[wide], &[2], 1, || 0.25);
    let mut r = Lcg(7);
    let mut dense = |shape: &[i64]| Host::new(c.dtype, shape, || r.eighth());
    let (gates, grad) = (dense(&[lines, wide]), dense(&[lines, n]));
    let nan = |shape: &[i64]| Host::new(c.dtype, shape, || f64::NAN);
    let (kept, before) = (nan(&[lines, n]), nan(&[lines, n]));
    let out = Host::strided(c.dtype, &[lines, n], &[2 * n, 1], 3, || f64::NAN);
    let (last_h, last_c) = (nan(&[batch, n]), nan(&[batch, n]));
    let want = plain(&c, &gates.to_vec(), &weight.to_vec(), &bias.to_vec(), &h.to_vec(), &cell.to_vec());
    let call = Recurrent {
        lstm: c.lstm,
        backwards: c.backwards,
        sizes: c.packed.then_some(c.sizes),
        gates: gates.view(),
        weight: weight.view(),
        bias: Some(bias.view()),
        h: h.view(),
        c: c.lstm.then(|| cell.view()),
        kept: Some(kept.view()),
        before: Some(before.view()),
    };
    let to = RecurrentOutput { out: out.view(), last_h: last_h.view(), last_c: c.lstm.then(|| last_c.view()) };
    let (slopes, recurrent) = (nan(&[lines, wide]), nan(&[lines, wide]));
    let (first_h, first_c) = (nan(&[batch, n]), nan(&[batch, n]));
    let given = RecurrentSlopes {
        grad: Some(grad.view()),
        grad_h: Some(grad_h.view()),
        grad_c: c.lstm.then(|| grad_c.view()),
        slopes: slopes.view(),
        recurrent: (!c.lstm).then(|| recurrent.view()),
        first_h: first_h.view(),
        first_c: c.lstm.then(|| first_c.view()),
    };
    if c.dtype == DType::F32 {
        run(set, job::<f32>(&call).unwrap(), &to).unwrap();
        gradients(set, job::<f32>(&call).unwrap(), &call, &given).unwrap();
    } else {
        run(set, job::<f64>(&call).unwrap(), &to).unwrap();
        gradients(set, job::<f64>(&call).unwrap(), &call, &given).unwrap();
    }
    let tol = if c.dtype == DType::F64 { 1e-13 } else { 2e-5 };
    let results = [&out, &last_h, &last_c];
    for (i, got) in results.iter().enumerate().take(if c.lstm { 3 } else { 2 }) {
        assert_close(&got.to_vec(), &want[i], tol, &format!("{set:?} {c:?}: result {i}"));
        got.check_canaries();
    }
    let mut all: Vec<Vec<f64>> = [&out, &slopes, &first_h].map(Host::to_vec).to_vec();
    all.push(if c.lstm { first_c.to_vec() } else { recurrent.to_vec() });
    for h in [&gates, &kept, &before, &slopes, &recurrent, &first_h, &first_c] {
        h.check_canaries();
    }
    all
}

#[cfg_attr(test, test)]
pub(crate) fn against_plain_loops() {
    for dtype in [DType::F32, DType::F64] {
        for (sizes, packed, hidden) in
            [(&[1i64, 1, 1][..], false, 21), (&[2, 2], false, 1), (&[7, 7, 7], false, 9), (&[5, 4, 4, 1], true, 16)]
        {
            for (lstm, backwards) in [(true, false), (true, true), (false, false), (false, true)] {
                let case = Case { dtype, lstm, backwards, sizes, packed, hidden };
                let got: Vec<_> = levels().into_iter().map(|set| check(set, case)).collect();
                let tol = if dtype == DType::F64 { 1e-12 } else { 1e-4 };
                for (set, g) in levels().iter().zip(&got) {
                    for (i, (a, b)) in g.iter().zip(&got[0]).enumerate() {
                        assert_close(a, b, tol, &format!("{set:?} {case:?}: gradient {i}"));
                    }
                }
            }
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn threads_change_nothing() {
    for lstm in [true, false] {
        let sizes: &[i64] = &[19, 19, 19, 11, 2, 1];
        let case = Case { dtype: DType::F32, lstm, backwards: false, sizes, packed: true, hidden: 96 };
        let mut all = vec![];
        for threads in [1, 2, 5] {
            set_num_threads(threads);
            all.push(check(level(), case));
        }
        assert!(all.iter().all(|x| *x == all[0]), "results depend on the number of threads");
    }
}
