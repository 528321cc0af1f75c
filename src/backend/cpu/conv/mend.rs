//! Convolutions of infinite and missing numbers. Tiles and products also multiply the zeros that stand for padding, and
//! zero times infinity is NaN: where such a NaN may be, what is NaN is summed again over the products that there are.

use super::corr::TASK;
use super::geometry::{Geometry, Image};
use crate::backend::cpu::lanes::{FloatElement, Real};
use crate::backend::cpu::scratch::{ptr, Ptr};
use crate::backend::cpu::threads::parallel::parallel_for;
use crate::backend::View;
use crate::base::error::Result;

/// Whether zeros around the image may have met what is no number, told by whichever of the two is the shorter to read.
pub(super) fn suspect<T: FloatElement>(weight: &View, out: &View) -> Result<bool> {
    Ok(if weight.layout.numel() <= out.layout.numel() { !finite::<T>(weight)? } else { has_nan::<T>(out)? })
}
/// Whether all elements are numbers.
pub(super) fn finite<T: FloatElement>(v: &View) -> Result<bool> {
    // x * 0 is 0 for numbers alone.
    all::<T>(v, |x| x * T::C::ZERO == T::C::ZERO)
}
pub(super) fn has_nan<T: FloatElement>(v: &View) -> Result<bool> {
    Ok(!all::<T>(v, |x| !is_nan(x))?)
}
#[allow(clippy::eq_op)]
fn is_nan<C: Real>(x: C) -> bool {
    x != x
}

fn all<T: FloatElement>(v: &View, is: impl Fn(T::C) -> bool) -> Result<bool> {
    let first = ptr::<T>(v)?;
    let l = v.layout;
    if l.is_dense() {
        // SAFETY: a dense layout fills as many elements behind its first one, all of them inside the view's memory.
        let all = unsafe { std::slice::from_raw_parts(first, l.numel()) };
        // Parts of a length that the compiler can make vectors of.
        return Ok(all.chunks(1024).all(|part| part.iter().fold(true, |ok, x| ok & is(x.widen()))));
    }
    let mut ok = true;
    for_offsets(&l.shape, &l.strides, 0, &mut |at| {
        // SAFETY: an element of the layout, which is inside the view's memory.
        ok &= is(unsafe { *first.offset(at as isize) }.widen());
    });
    Ok(ok)
}

/// Calls `f` with the offset of every element, of which a kernel's layout has few dimensions.
fn for_offsets(shape: &[i64], strides: &[i64], from: i64, f: &mut impl FnMut(i64)) {
    match (shape, strides) {
        ([n, shape @ ..], [s, strides @ ..]) => (0..*n).for_each(|i| for_offsets(shape, strides, from + i * s, f)),
        _ => f(from),
    }
}

/// Calls `f` with every place of a block of three dimensions.
fn for_places(size: [usize; 3], mut f: impl FnMut([usize; 3])) {
    for d in 0..size[0] {
        for h in 0..size[1] {
            for w in 0..size[2] {
                f([d, h, w]);
            }
        }
    }
}
fn offset(s: [isize; 3], at: [usize; 3]) -> isize {
    (0..3).map(|d| at[d] as isize * s[d]).sum()
}

/// The sum of `term` over `size`, which may end as soon as it is NaN, since it stays so.
fn sum_over<C: Real>(size: [usize; 3], mut sum: C, term: impl Fn([usize; 3]) -> Option<C>) -> C {
    for d in 0..size[0] {
        for h in 0..size[1] {
            for w in 0..size[2] {
                if let Some(v) = term([d, h, w]) {
                    sum = sum + v;
                }
            }
            if is_nan(sum) {
                return sum;
            }
        }
    }
    sum
}

/// Sums again the outputs that are NaN.
pub(super) fn forward<T: FloatElement>(
    g: &Geometry,
    x: Image<T>,
    w: Image<T>,
    bias: Option<(Ptr<T>, isize)>,
    out: Image<T>,
) {
    let channels = g.groups * g.oc;
    parallel_for(g.n * channels, (TASK / (g.positions() * g.ic * g.taps() + 1)).max(1), |r| {
        for i in r {
            let (n, o) = (i / channels, i % channels);
            for_places(g.output, |at| {
                // SAFETY: places inside the views; each task writes its own channels.
                unsafe {
                    let to = out.at(n, o).offset(offset(out.s, at));
                    if !is_nan((*to).widen()) {
                        return;
                    }
                    let mut sum = T::C::ZERO;
                    for c in 0..g.ic {
                        let (from, taps) = (x.at(n, o / g.oc * g.ic + c), w.at(o, c));
                        sum = sum_over(g.kernel, sum, |k| {
                            let place =
                                [g.source(0, at[0], k[0])?, g.source(1, at[1], k[1])?, g.source(2, at[2], k[2])?];
                            let v = *from.offset(offset(x.s, place));
                            Some(v.widen() * (*taps.offset(offset(w.s, k))).widen())
                        });
                    }
                    let b = bias.map_or(T::C::ZERO, |(b, st)| (*b.at(o as isize * st)).widen());
                    *to = T::narrow(sum + b);
                }
            });
        }
    });
}

/// Sums again the gradients of weights that are NaN.
pub(super) fn backward_weight<T: FloatElement>(g: &Geometry, grad: Image<T>, x: Image<T>, gw: Image<T>) {
    parallel_for(g.groups * g.oc * g.ic, (TASK / (g.n * g.positions() * g.taps() + 1)).max(1), |r| {
        for i in r {
            let (o, c) = (i / g.ic, i % g.ic);
            for_places(g.kernel, |k| {
                // SAFETY: places inside the views; each task writes its own channels.
                unsafe {
                    let to = gw.at(o, c).offset(offset(gw.s, k));
                    if !is_nan((*to).widen()) {
                        return;
                    }
                    let mut sum = T::C::ZERO;
                    for n in 0..g.n {
                        let (from, by) = (x.at(n, o / g.oc * g.ic + c), grad.at(n, o));
                        // One image's sum first: long sums keep more digits.
                        sum = sum
                            + sum_over(g.output, T::C::ZERO, |at| {
                                let place =
                                    [g.source(0, at[0], k[0])?, g.source(1, at[1], k[1])?, g.source(2, at[2], k[2])?];
                                let v = *from.offset(offset(x.s, place));
                                Some(v.widen() * (*by.offset(offset(grad.s, at))).widen())
                            });
                        if is_nan(sum) {
                            break;
                        }
                    }
                    *to = T::narrow(sum);
                }
            });
        }
    });
}
