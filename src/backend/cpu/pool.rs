//! Max and average pooling over 1 to 3 trailing dimensions; all leading dimensions count as planes.

use super::lanes::{FloatElement, Lanes};
use super::level::{level, Level};
use super::scratch::{ptr, Ptr, Scratch, Walk};
use super::threads::parallel::parallel_for;
use crate::backend::{check, PoolParams, View};
use crate::base::dtype::{Bool8, DType, Element};
use crate::base::error::{Error, Result};
use crate::{bail, dispatch, dispatch_float, ensure, simd_dispatch};

/// Outputs that are worth a task.
const TASK: usize = 16_384;

/// Window and plane sizes, with three dimensions (missing leading ones have size 1).
#[derive(Clone, Copy)]
struct Window {
    kernel: [isize; 3],
    stride: [isize; 3],
    pad: [isize; 3],
    dil: [isize; 3],
    /// Of the input plane and the output plane.
    size: [isize; 3],
    out: [isize; 3],
}
impl Window {
    fn of(what: &str, input: &View, output: &View, p: &PoolParams) -> Result<Window> {
        let (si, so, s) = (&input.layout.shape, &output.layout.shape, p.kernel.len());
        check::pool(what, input, output, p)?;
        let three = |v: &[i64], fill: i64| {
            let mut r = [fill as isize; 3];
            for (r, x) in r[3 - v.len()..].iter_mut().zip(v) {
                *r = *x as isize;
            }
            r
        };
        Ok(Window {
            kernel: three(&p.kernel, 1),
            stride: three(&p.stride, 1),
            pad: three(&p.padding, 0),
            dil: three(&p.dilation, 1),
            size: three(&si[si.len() - s..], 1),
            out: three(&so[so.len() - s..], 1),
        })
    }
    fn outputs(&self) -> usize {
        self.out.iter().product::<isize>() as usize
    }
    fn elements(&self) -> usize {
        self.size.iter().product::<isize>() as usize
    }
    /// 2 x 2 windows side by side, without padding, that lie inside the plane.
    fn is_two_by_two(&self) -> bool {
        self.kernel == [1, 2, 2]
            && self.stride[1..] == [2, 2]
            && self.stride[0] == 1
            && self.out[0] == self.size[0]
            && self.pad == [0; 3]
            && self.dil[1..] == [1, 1]
            && (1..3).all(|d| self.out[d] * 2 <= self.size[d])
    }
    /// Kernel positions of output `o` that lie inside the plane: (first, one past the last).
    #[inline(always)]
    fn inside(&self, d: usize, o: isize) -> (isize, isize) {
        let start = o * self.stride[d] - self.pad[d];
        let first = if start < 0 { (-start + self.dil[d] - 1) / self.dil[d] } else { 0 };
        let end = ((self.size[d] - start + self.dil[d] - 1) / self.dil[d]).min(self.kernel[d]);
        (first, end)
    }
    /// Calls `f(output index, flat index of the window's first inside element, kernel ranges)` for every output.
    #[inline(always)]
    fn for_windows(&self, mut f: impl FnMut([isize; 3], [(isize, isize); 3])) {
        for d in 0..self.out[0] {
            let rd = self.inside(0, d);
            for h in 0..self.out[1] {
                let rh = self.inside(1, h);
                for w in 0..self.out[2] {
                    f([d, h, w], [rd, rh, self.inside(2, w)]);
                }
            }
        }
    }
    /// Position in the plane of kernel position `k` of output `o`, for one dimension.
    #[inline(always)]
    fn position(&self, d: usize, o: isize, k: isize) -> isize {
        o * self.stride[d] - self.pad[d] + k * self.dil[d]
    }
}

/// The planes of a tensor: strides of the window's dimensions, and of the leading ones.
struct Planes<'a, T> {
    p: Ptr<T>,
    s: [isize; 3],
    lead: &'a [i64],
}
impl<'a, T> Planes<'a, T> {
    fn of(v: &View<'a>, spatial: usize) -> Result<Planes<'a, T>> {
        let st = &v.layout.strides;
        let lead = st.len() - spatial;
        let mut s = [0; 3];
        for (s, x) in s[3 - spatial..].iter_mut().zip(&st[lead..]) {
            *s = *x as isize;
        }
        Ok(Planes { p: Ptr(ptr(v)?), s, lead: &st[..lead] })
    }
    /// Elements lie row-major without gaps between rows' elements.
    fn unit(&self, size: [isize; 3]) -> bool {
        self.s[2] == 1 || size[2] == 1
    }
}

/// Comparison of pooling: whether `new` replaces `old`; NaN always does.
trait Larger: Element {
    const LOWEST: Self;
    fn replaces(self, old: Self) -> bool;
}
macro_rules! larger {
    ($($t:ty => $low:expr),*) => {$(
        impl Larger for $t {
            const LOWEST: Self = $low;
            #[inline(always)]
            #[allow(clippy::eq_op)]
            fn replaces(self, old: Self) -> bool {
                self > old || self != self
            }
        })*};
}
larger!(u8 => 0, i8 => i8::MIN, i16 => i16::MIN, i32 => i32::MIN, i64 => i64::MIN, f32 => f32::NEG_INFINITY,
    f64 => f64::NEG_INFINITY, half::f16 => half::f16::NEG_INFINITY, half::bf16 => half::bf16::NEG_INFINITY,
    Bool8 => Bool8(0));

/// Maximum of every window, and its flat position within the input plane.
pub fn max_pool(input: View, p: &PoolParams, out: View, indices: View) -> Result<()> {
    max_pool_with(level(), input, p, out, indices)
}
fn max_pool_with(set: Level, input: View, p: &PoolParams, out: View, indices: View) -> Result<()> {
    let w = Window::of("max_pool", &input, &out, p)?;
    ensure!(
        indices.dtype == DType::I64 && indices.layout.shape == out.layout.shape && input.dtype == out.dtype,
        Runtime,
        "max_pool: expected int64 indices of the output's shape and an output of the input's dtype"
    );
    let spatial = p.kernel.len();
    let (lead, planes) = leading(&input, spatial);
    let ix = Planes::<i64>::of(&indices, spatial)?;
    if input.dtype == DType::F32 && w.is_two_by_two() {
        let (x, y) = (Planes::<f32>::of(&input, spatial)?, Planes::<f32>::of(&out, spatial)?);
        if x.unit(w.size) && y.unit(w.out) && ix.unit(w.out) {
            for_planes(lead, planes, w.outputs(), [x.lead, y.lead, ix.lead], |[a, b, c]| {
                // SAFETY: rows lie inside their views; planes are written by one task each.
                unsafe { max_two::<f32>(set, &w, x.p.at(a), x.s, y.p.at(b), y.s, ix.p.at(c), ix.s) }
            });
            return Ok(());
        }
    }
    dispatch!(input.dtype, T, {
        let (x, y) = (Planes::<T>::of(&input, spatial)?, Planes::<T>::of(&out, spatial)?);
        for_planes(lead, planes, w.outputs() * 4, [x.lead, y.lead, ix.lead], |[a, b, c]| {
            let (xp, yp, ip) = (x.p.at(a), y.p.at(b), ix.p.at(c));
            w.for_windows(|o, [rd, rh, rw]| {
                let (mut best, mut at) = (<T as Larger>::LOWEST, -1isize);
                for kd in rd.0..rd.1 {
                    let d = w.position(0, o[0], kd);
                    for kh in rh.0..rh.1 {
                        let h = w.position(1, o[1], kh);
                        for kw in rw.0..rw.1 {
                            let c = w.position(2, o[2], kw);
                            // SAFETY: the position lies inside the plane.
                            let v = unsafe { *xp.offset(d * x.s[0] + h * x.s[1] + c * x.s[2]) };
                            if at < 0 || v.replaces(best) {
                                (best, at) = (v, (d * w.size[1] + h) * w.size[2] + c);
                            }
                        }
                    }
                }
                // SAFETY: the output's position lies inside its plane, which this task owns.
                unsafe {
                    *yp.offset(o[0] * y.s[0] + o[1] * y.s[1] + o[2] * y.s[2]) = best;
                    *ip.offset(o[0] * ix.s[0] + o[1] * ix.s[1] + o[2] * ix.s[2]) = at.max(0) as i64;
                }
            });
        });
    });
    Ok(())
}

/// Leading shape and number of planes.
fn leading<'a>(v: &View<'a>, spatial: usize) -> (&'a [i64], usize) {
    let lead = &v.layout.shape[..v.layout.shape.len() - spatial];
    (lead, lead.iter().product::<i64>() as usize)
}

/// Calls `f` with the offsets of every plane in `K` tensors, in parallel.
fn for_planes<const K: usize>(
    lead: &[i64],
    planes: usize,
    work: usize,
    strides: [&[i64]; K],
    f: impl Fn([isize; K]) + Sync,
) {
    parallel_for(planes, (TASK / work.saturating_add(1)).max(1), |r| {
        let mut walk = Walk::new(lead, strides, r.start);
        for _ in r {
            f(walk.offset);
            walk.step();
        }
    });
}

simd_dispatch!(fn max_two => max_two_body(
    w: &Window, x: *mut T, xs: [isize; 3], y: *mut T, ys: [isize; 3], ix: *mut i64, is: [isize; 3]));

/// 2 x 2 windows of one plane, sixteen at a time.
#[inline(always)]
unsafe fn max_two_body<T: super::lanes::Real, V: Lanes<T = T>>(
    w: &Window,
    x: *mut T,
    xs: [isize; 3],
    y: *mut T,
    ys: [isize; 3],
    ix: *mut i64,
    is: [isize; 3],
) {
    const B: usize = 16;
    let width = w.size[2];
    for d in 0..w.out[0] {
        for h in 0..w.out[1] {
            let top = x.offset(d * xs[0] + 2 * h * xs[1]);
            let bottom = top.offset(xs[1]);
            let to = y.offset(d * ys[0] + h * ys[1]);
            let it = ix.offset(d * is[0] + h * is[1]);
            let base = ((d * w.size[1] + 2 * h) * width) as i64;
            let n = w.out[2] as usize;
            let mut i = 0;
            while i < n {
                let len = (n - i).min(B);
                let (mut a, mut b) = ([T::ZERO; 2 * B], [T::ZERO; 2 * B]);
                if len == B {
                    a = *(top.add(2 * i) as *const [T; 2 * B]);
                    b = *(bottom.add(2 * i) as *const [T; 2 * B]);
                } else {
                    for j in 0..2 * len {
                        a[j] = *top.add(2 * i + j);
                        b[j] = *bottom.add(2 * i + j);
                    }
                }
                let (mut best, mut at) = ([T::ZERO; B], [0i32; B]);
                for j in 0..B {
                    let (mut m, mut p) = (a[2 * j], 0);
                    let mut take = |v: T, q: i32| {
                        #[allow(clippy::eq_op)]
                        let yes = (v > m) | (v != v);
                        m = if yes { v } else { m };
                        p = if yes { q } else { p };
                    };
                    take(a[2 * j + 1], 1);
                    take(b[2 * j], width as i32);
                    take(b[2 * j + 1], width as i32 + 1);
                    (best[j], at[j]) = (m, p);
                }
                let first = base + 2 * i as i64;
                if len == B {
                    *(to.add(i) as *mut [T; B]) = best;
                    let it = &mut *(it.add(i) as *mut [i64; B]);
                    for j in 0..B {
                        it[j] = first + 2 * j as i64 + at[j] as i64;
                    }
                } else {
                    for j in 0..len {
                        *to.add(i + j) = best[j];
                        *it.add(i + j) = first + 2 * j as i64 + at[j] as i64;
                    }
                }
                i += len;
            }
        }
    }
}

/// Gradient of `max_pool`: every output's gradient goes to its maximum's position.
pub fn max_pool_backward(grad: View, indices: View, p: &PoolParams, grad_input: View) -> Result<()> {
    max_pool_backward_with(level(), grad, indices, p, grad_input)
}
fn max_pool_backward_with(set: Level, grad: View, indices: View, p: &PoolParams, grad_input: View) -> Result<()> {
    let w = Window::of("max_pool_backward", &grad_input, &grad, p)?;
    ensure!(
        indices.dtype == DType::I64 && indices.layout.shape == grad.layout.shape && grad.dtype == grad_input.dtype,
        Runtime,
        "max_pool_backward: expected int64 indices of the gradient's shape and gradients of one dtype"
    );
    let spatial = p.kernel.len();
    let (lead, planes) = leading(&grad, spatial);
    let ix = Planes::<i64>::of(&indices, spatial)?;
    if grad.dtype == DType::F32 && w.is_two_by_two() {
        let (g, x) = (Planes::<f32>::of(&grad, spatial)?, Planes::<f32>::of(&grad_input, spatial)?);
        if x.unit(w.size) && g.unit(w.out) && ix.unit(w.out) {
            for_planes(lead, planes, w.elements(), [g.lead, ix.lead, x.lead], |[a, b, c]| {
                // SAFETY: rows lie inside their views; planes are written by one task each.
                unsafe { scatter_two::<f32>(set, &w, g.p.at(a), g.s, ix.p.at(b), ix.s, x.p.at(c), x.s) }
            });
            return Ok(());
        }
    }
    dispatch_float!(
        grad.dtype,
        T,
        {
            type C = <T as FloatElement>::C;
            let (g, x) = (Planes::<T>::of(&grad, spatial)?, Planes::<T>::of(&grad_input, spatial)?);
            let n = w.elements();
            let failed = parking_lot::Mutex::new(None);
            for_planes(lead, planes, n + w.outputs() * 4, [g.lead, ix.lead, x.lead], |[a, b, c]| {
                let (gp, ip) = (g.p.at(a), ix.p.at(b));
                let done = on_plane::<T>(&w, &x, c, |plane| {
                    let mut bad = None;
                    w.for_windows(|o, _| {
                        // SAFETY: the output's position lies inside its planes.
                        let (v, at) = unsafe {
                            (
                                (*gp.offset(o[0] * g.s[0] + o[1] * g.s[1] + o[2] * g.s[2])).widen(),
                                ip.offset(o[0] * ix.s[0] + o[1] * ix.s[1] + o[2] * ix.s[2]).read_volatile(),
                            )
                        };
                        match plane.get_mut(at as usize) {
                            Some(to) => *to += v as C,
                            None => bad = Some(at),
                        }
                    });
                    match bad {
                        Some(at) => {
                            bail!(Index, "max_pool_backward: index {at} is out of bounds for a plane of {n} elements")
                        }
                        None => Ok(()),
                    }
                });
                if let Err(e) = done {
                    *failed.lock() = Some(e);
                }
            });
            failed.into_inner().map_or(Ok(()), Err)
        },
        Err(Error::unsupported("max_pool_backward", grad.dtype, "cpu"))
    )
}

/// Sums into a zeroed plane of the compute type, then writes it to the plane at offset `at` of `x`.
fn on_plane<T: FloatElement>(
    w: &Window,
    x: &Planes<T>,
    at: isize,
    f: impl FnOnce(&mut [T::C]) -> Result<()>,
) -> Result<()> {
    let n = w.elements();
    let to = x.p.at(at);
    let dense = T::DIRECT
        && x.unit(w.size)
        && (x.s[1] == w.size[2] || w.size[1] == 1)
        && (x.s[0] == w.size[1] * w.size[2] || w.size[0] == 1);
    if dense {
        // SAFETY: the plane's elements follow each other, and this task owns them.
        let plane = unsafe { std::slice::from_raw_parts_mut(to as *mut T::C, n) };
        plane.fill(<T::C as Default>::default());
        return f(plane);
    }
    let scratch = Scratch::new::<T::C>(n)?;
    // SAFETY: the scratch holds n elements; they are written before they are read.
    let plane = unsafe {
        scratch.ptr::<u8>().write_bytes(0, n * std::mem::size_of::<T::C>());
        std::slice::from_raw_parts_mut(scratch.ptr::<T::C>(), n)
    };
    f(plane)?;
    let mut i = 0;
    for d in 0..w.size[0] {
        for h in 0..w.size[1] {
            for c in 0..w.size[2] {
                // SAFETY: inside the plane, which this task owns.
                unsafe { *to.offset(d * x.s[0] + h * x.s[1] + c * x.s[2]) = T::narrow(plane[i]) };
                i += 1;
            }
        }
    }
    Ok(())
}

simd_dispatch!(fn scatter_two => scatter_two_body(
    w: &Window, g: *mut T, gs: [isize; 3], ix: *mut i64, is: [isize; 3], x: *mut T, xs: [isize; 3]));

/// Backward of 2 x 2 windows: each element takes its window's gradient if the index names it, else zero.
#[inline(always)]
unsafe fn scatter_two_body<T: super::lanes::Real, V: Lanes<T = T>>(
    w: &Window,
    g: *mut T,
    gs: [isize; 3],
    ix: *mut i64,
    is: [isize; 3],
    x: *mut T,
    xs: [isize; 3],
) {
    const B: usize = 16;
    let (width, n) = (w.size[2], w.out[2] as usize);
    let zero = |row: *mut T, from: usize| {
        for i in from..width as usize {
            *row.add(i) = T::ZERO;
        }
    };
    for d in 0..w.out[0] {
        for h in 0..w.out[1] {
            let from = g.offset(d * gs[0] + h * gs[1]);
            let at = ix.offset(d * is[0] + h * is[1]);
            let top = x.offset(d * xs[0] + 2 * h * xs[1]);
            let bottom = top.offset(xs[1]);
            let base = ((d * w.size[1] + 2 * h) * width) as i64;
            let mut i = 0;
            while i < n {
                let len = (n - i).min(B);
                let (mut v, mut p) = ([T::ZERO; B], [0i32; B]);
                if len == B {
                    v = *(from.add(i) as *const [T; B]);
                    let at = &*(at.add(i) as *const [i64; B]);
                    for j in 0..B {
                        p[j] = (at[j].wrapping_sub(base) as i32).wrapping_sub(2 * (i + j) as i32);
                    }
                } else {
                    for j in 0..len {
                        v[j] = *from.add(i + j);
                        p[j] = ((*at.add(i + j)).wrapping_sub(base) as i32).wrapping_sub(2 * (i + j) as i32);
                    }
                }
                let (mut a, mut b) = ([T::ZERO; 2 * B], [T::ZERO; 2 * B]);
                let wide = width as i32;
                for j in 0..B {
                    a[2 * j] = if p[j] == 0 { v[j] } else { T::ZERO };
                    a[2 * j + 1] = if p[j] == 1 { v[j] } else { T::ZERO };
                    b[2 * j] = if p[j] == wide { v[j] } else { T::ZERO };
                    b[2 * j + 1] = if p[j] == wide + 1 { v[j] } else { T::ZERO };
                }
                if len == B {
                    *(top.add(2 * i) as *mut [T; 2 * B]) = a;
                    *(bottom.add(2 * i) as *mut [T; 2 * B]) = b;
                } else {
                    for j in 0..2 * len {
                        *top.add(2 * i + j) = a[j];
                        *bottom.add(2 * i + j) = b[j];
                    }
                }
                i += len;
            }
            zero(top, 2 * n);
            zero(bottom, 2 * n);
        }
        for h in 2 * w.out[1]..w.size[1] {
            zero(x.offset(d * xs[0] + h * xs[1]), 0);
        }
    }
}

/// What an average's sum is divided by: PyTorch's rules.
#[inline(always)]
fn divisor(w: &Window, o: [isize; 3], inside: isize, include_pad: bool, fixed: Option<i64>) -> i64 {
    if let Some(v) = fixed {
        return v;
    }
    if !include_pad {
        return inside as i64;
    }
    (0..3)
        .map(|d| {
            let start = o[d] * w.stride[d] - w.pad[d];
            ((start + w.kernel[d]).min(w.size[d] + w.pad[d]) - start) as i64
        })
        .fold(1, i64::saturating_mul)
}

fn check_divisor(divisor: Option<i64>) -> Result<()> {
    ensure!(divisor != Some(0), Runtime, "divisor must be not zero");
    Ok(())
}

/// Average of every window. `divisor` overrides what sums are divided by.
pub fn avg_pool(input: View, p: &PoolParams, count_include_pad: bool, div: Option<i64>, out: View) -> Result<()> {
    let w = Window::of("avg_pool", &input, &out, p)?;
    check_divisor(div)?;
    ensure!(input.dtype == out.dtype, Runtime, "avg_pool: expected an output of {}, got {}", input.dtype, out.dtype);
    let spatial = p.kernel.len();
    let (lead, planes) = leading(&input, spatial);
    dispatch_float!(
        input.dtype,
        T,
        {
            type C = <T as FloatElement>::C;
            let (x, y) = (Planes::<T>::of(&input, spatial)?, Planes::<T>::of(&out, spatial)?);
            let work = w.kernel.iter().fold(w.outputs(), |n, k| n.saturating_mul(*k as usize));
            let pairs = w.is_two_by_two() && x.s[2] == 1 && y.unit(w.out);
            for_planes(lead, planes, work, [x.lead, y.lead], |[a, b]| {
                let (xp, yp) = (x.p.at(a), y.p.at(b));
                if pairs {
                    let by = div.unwrap_or(4) as C;
                    for (d, h) in (0..w.out[0]).flat_map(|d| (0..w.out[1]).map(move |h| (d, h))) {
                        // SAFETY: windows lie inside the plane, which this task owns in the output.
                        unsafe {
                            let top = xp.offset(d * x.s[0] + 2 * h * x.s[1]);
                            let bottom = top.offset(x.s[1]);
                            let to = yp.offset(d * y.s[0] + h * y.s[1]);
                            for j in 0..w.out[2] as usize {
                                let [a, b] = [top, bottom].map(|p| p.add(2 * j).cast::<[T; 2]>().read_unaligned());
                                let sum = a[0].widen() + a[1].widen() + b[0].widen() + b[1].widen();
                                *to.add(j) = T::narrow(sum / by);
                            }
                        }
                    }
                    return;
                }
                w.for_windows(|o, [rd, rh, rw]| {
                    let mut sum: C = 0.0;
                    for kd in rd.0..rd.1 {
                        for kh in rh.0..rh.1 {
                            let row = w.position(0, o[0], kd) * x.s[0] + w.position(1, o[1], kh) * x.s[1];
                            for kw in rw.0..rw.1 {
                                // SAFETY: the position lies inside the plane.
                                sum += unsafe { *xp.offset(row + w.position(2, o[2], kw) * x.s[2]) }.widen();
                            }
                        }
                    }
                    let inside = [rd, rh, rw].iter().map(|r| (r.1 - r.0).max(0)).product();
                    let by = divisor(&w, o, inside, count_include_pad, div);
                    let mean = if inside == 0 { 0.0 } else { sum / by as C };
                    // SAFETY: the output's position lies inside its plane, which this task owns.
                    unsafe { *yp.offset(o[0] * y.s[0] + o[1] * y.s[1] + o[2] * y.s[2]) = T::narrow(mean) };
                });
            });
            Ok(())
        },
        Err(Error::unsupported("avg_pool", input.dtype, "cpu"))
    )
}

/// Gradient of `avg_pool`.
pub fn avg_pool_backward(
    grad: View,
    p: &PoolParams,
    count_include_pad: bool,
    div: Option<i64>,
    grad_input: View,
) -> Result<()> {
    let w = Window::of("avg_pool_backward", &grad_input, &grad, p)?;
    check_divisor(div)?;
    ensure!(
        grad.dtype == grad_input.dtype,
        Runtime,
        "avg_pool_backward: expected gradients of one dtype, got {} and {}",
        grad.dtype,
        grad_input.dtype
    );
    let spatial = p.kernel.len();
    let (lead, planes) = leading(&grad, spatial);
    dispatch_float!(
        grad.dtype,
        T,
        {
            type C = <T as FloatElement>::C;
            let (g, x) = (Planes::<T>::of(&grad, spatial)?, Planes::<T>::of(&grad_input, spatial)?);
            let work =
                w.kernel.iter().fold(w.outputs(), |n, k| n.saturating_mul(*k as usize)).saturating_add(w.elements());
            let failed = parking_lot::Mutex::new(None);
            for_planes(lead, planes, work, [g.lead, x.lead], |[a, b]| {
                let gp = g.p.at(a);
                let done = on_plane::<T>(&w, &x, b, |plane| {
                    w.for_windows(|o, [rd, rh, rw]| {
                        let inside = [rd, rh, rw].iter().map(|r| (r.1 - r.0).max(0)).product();
                        if inside == 0 {
                            return;
                        }
                        let by = divisor(&w, o, inside, count_include_pad, div);
                        // SAFETY: the output's position lies inside its plane.
                        let v = unsafe { *gp.offset(o[0] * g.s[0] + o[1] * g.s[1] + o[2] * g.s[2]) }.widen() / by as C;
                        for kd in rd.0..rd.1 {
                            for kh in rh.0..rh.1 {
                                let row = (w.position(0, o[0], kd) * w.size[1] + w.position(1, o[1], kh)) * w.size[2];
                                for kw in rw.0..rw.1 {
                                    plane[(row + w.position(2, o[2], kw)) as usize] += v;
                                }
                            }
                        }
                    });
                    Ok(())
                });
                if let Err(e) = done {
                    *failed.lock() = Some(e);
                }
            });
            failed.into_inner().map_or(Ok(()), Err)
        },
        Err(Error::unsupported("avg_pool_backward", grad.dtype, "cpu"))
    )
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::super::level::levels;
    use super::super::testing::{assert_close, Host, Lcg};
    use super::*;

    fn output(size: &[i64], p: &PoolParams) -> Vec<i64> {
        (0..size.len())
            .map(|d| (size[d] + 2 * p.padding[d] - p.dilation[d] * (p.kernel[d] - 1) - 1) / p.stride[d] + 1)
            .collect()
    }
    /// Every window's flat plane positions, in order, by trying all kernel positions.
    fn windows(size: &[i64], p: &PoolParams) -> Vec<Vec<usize>> {
        let nd = size.len();
        let digits = |mut i: i64, s: &[i64]| {
            let mut v = vec![0; s.len()];
            for d in (0..s.len()).rev() {
                (v[d], i) = (i % s[d], i / s[d]);
            }
            v
        };
        let out = output(size, p);
        (0..out.iter().product::<i64>())
            .map(|o| {
                let o = digits(o, &out);
                (0..p.kernel.iter().product::<i64>())
                    .filter_map(|k| {
                        let k = digits(k, &p.kernel);
                        let mut at = 0;
                        for d in 0..nd {
                            let i = o[d] * p.stride[d] - p.padding[d] + k[d] * p.dilation[d];
                            if i < 0 || i >= size[d] {
                                return None;
                            }
                            at = at * size[d] + i;
                        }
                        Some(at as usize)
                    })
                    .collect()
            })
            .collect()
    }

    fn check(dtype: DType, lead: &[i64], size: &[i64], p: &PoolParams, seed: u64, gap: i64) {
        let shape = [lead, size].concat();
        let oshape = [lead, &output(size, p)[..]].concat();
        let order: Vec<usize> = if gap == 1 { (0..shape.len()).rev().collect() } else { (0..shape.len()).collect() };
        let mut r = Lcg(seed);
        let x = Host::permuted(dtype, &shape, &order, gap, || if r.below(40) == 0 { f64::NAN } else { r.eighth() });
        let g = Host::permuted(dtype, &oshape, &order, gap, || r.eighth());
        let (xv, gv, wins) = (x.to_vec(), g.to_vec(), windows(size, p));
        let (plane, outs) = (size.iter().product::<i64>() as usize, wins.len());
        let (mut y, mut ix, mut gm, mut ga) = (vec![], vec![], vec![0.0; xv.len()], vec![0.0; xv.len()]);
        let mut ya = vec![];
        for l in 0..lead.iter().product::<i64>() as usize {
            for (o, win) in wins.iter().enumerate() {
                let mut best = win[0];
                for &i in win {
                    let (v, b) = (xv[l * plane + i], xv[l * plane + best]);
                    if v > b || v.is_nan() {
                        best = i;
                    }
                }
                y.push(xv[l * plane + best]);
                ix.push(best as f64);
                gm[l * plane + best] += gv[l * outs + o];
                ya.push(win.iter().map(|i| xv[l * plane + i]).sum::<f64>() / win.len() as f64);
                for i in win {
                    ga[l * plane + i] += gv[l * outs + o] / win.len() as f64;
                }
            }
        }
        let tol = match dtype {
            DType::F16 => 2e-3,
            DType::BF16 => 1e-2,
            _ => 1e-6,
        };
        let what = format!("{dtype} {lead:?} {size:?} {p:?} gap {gap}");
        for set in levels() {
            let out = Host::permuted(dtype, &oshape, &order, gap, || 5.0);
            let idx = Host::permuted(DType::I64, &oshape, &order, gap, || 5.0);
            max_pool_with(set, x.view(), p, out.view(), idx.view()).unwrap();
            assert_close(&out.to_vec(), &y, 0.0, &what);
            assert_close(&idx.to_vec(), &ix, 0.0, &what);
            let gi = Host::permuted(dtype, &shape, &order, gap, || 5.0);
            max_pool_backward_with(set, g.view(), idx.view(), p, gi.view()).unwrap();
            assert_close(&gi.to_vec(), &gm, tol, &what);
            for h in [&out, &idx, &gi] {
                h.check_canaries();
            }
        }
        if p.dilation.iter().all(|d| *d == 1) {
            let (out, gi) = (
                Host::permuted(dtype, &oshape, &order, gap, || 5.0),
                Host::permuted(dtype, &shape, &order, gap, || 5.0),
            );
            avg_pool(x.view(), p, false, None, out.view()).unwrap();
            assert_close(&out.to_vec(), &ya, tol, &what);
            avg_pool_backward(g.view(), p, false, None, gi.view()).unwrap();
            assert_close(&gi.to_vec(), &ga, tol, &what);
            out.check_canaries();
            gi.check_canaries();
        }
    }
    fn params(kernel: &[i64], stride: &[i64], padding: &[i64], dilation: &[i64]) -> PoolParams {
        PoolParams {
            kernel: kernel.to_vec(),
            stride: stride.to_vec(),
            padding: padding.to_vec(),
            dilation: dilation.to_vec(),
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn against_naive_windows() {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            for gap in [0, 1, 2] {
                check(dtype, &[2, 3], &[30, 30], &params(&[2, 2], &[2, 2], &[0, 0], &[1, 1]), 1, gap);
                check(dtype, &[2, 3], &[13, 13], &params(&[2, 2], &[2, 2], &[0, 0], &[1, 1]), 2, gap);
                check(dtype, &[1], &[7, 67], &params(&[2, 2], &[2, 2], &[0, 0], &[1, 1]), 3, gap);
                check(dtype, &[2, 2], &[9, 8], &params(&[3, 3], &[2, 2], &[1, 1], &[1, 1]), 4, gap);
                check(dtype, &[2, 2], &[9, 8], &params(&[3, 2], &[1, 3], &[1, 0], &[2, 1]), 5, gap);
                check(dtype, &[3], &[17], &params(&[4], &[3], &[2], &[1]), 6, gap);
                check(dtype, &[2, 1], &[5, 6, 7], &params(&[2, 3, 2], &[2, 1, 2], &[1, 1, 0], &[1, 1, 1]), 7, gap);
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn integers_and_ceil_mode() {
        // 5 columns in windows of 2 by ceil mode: the last window holds one element.
        let p = params(&[2], &[2], &[0], &[1]);
        let x = Host::from_vec(DType::I32, &[1, 5], &[3.0, 1.0, 4.0, 1.0, -5.0]);
        let (y, ix) = (Host::zeros(DType::I32, &[1, 3]), Host::zeros(DType::I64, &[1, 3]));
        max_pool(x.view(), &p, y.view(), ix.view()).unwrap();
        assert_eq!((y.to_vec(), ix.to_vec()), (vec![3.0, 4.0, -5.0], vec![0.0, 2.0, 4.0]));
    }

    #[cfg_attr(test, test)]
    pub(crate) fn average_divisors() {
        let p = params(&[3], &[2], &[1], &[1]);
        let x = Host::from_vec(DType::F32, &[1, 4], &[1.0, 2.0, 3.0, 4.0]);
        let run = |include, div| {
            let y = Host::zeros(DType::F32, &[1, 3]);
            avg_pool(x.view(), &p, include, div, y.view()).unwrap();
            y.to_vec()
        };
        // The third window (ceil mode) starts at 3 and reaches into the padding by one: 2 elements wide in PyTorch.
        assert_close(&run(true, None), &[1.0, 3.0, 2.0], 1e-6, "with padding");
        assert_close(&run(false, None), &[1.5, 3.0, 4.0], 1e-6, "without padding");
        assert_close(&run(true, Some(2)), &[1.5, 4.5, 2.0], 1e-6, "divisor");
        let y = Host::zeros(DType::F32, &[1, 3]);
        assert_eq!(avg_pool(x.view(), &p, true, Some(0), y.view()).unwrap_err().message, "divisor must be not zero");
    }

    #[cfg_attr(test, test)]
    pub(crate) fn foreign_indices_are_errors() {
        let p = params(&[3], &[1], &[0], &[1]);
        let (g, x) = (Host::zeros(DType::F32, &[1, 2]), Host::zeros(DType::F32, &[1, 4]));
        let ix = Host::from_vec(DType::I64, &[1, 2], &[0.0, 4.0]);
        let e = max_pool_backward(g.view(), ix.view(), &p, x.view()).unwrap_err();
        assert!(e.message.contains("index 4 is out of bounds"), "{}", e.message);
    }

    #[cfg_attr(test, test)]
    pub(crate) fn empty_batch() {
        let p = params(&[2, 2], &[2, 2], &[0, 0], &[1, 1]);
        let (x, y) = (Host::zeros(DType::F32, &[0, 3, 4, 4]), Host::zeros(DType::F32, &[0, 3, 2, 2]));
        let ix = Host::zeros(DType::I64, &[0, 3, 2, 2]);
        max_pool(x.view(), &p, y.view(), ix.view()).unwrap();
        max_pool_backward(y.view(), ix.view(), &p, x.view()).unwrap();
        avg_pool(x.view(), &p, true, None, y.view()).unwrap();
        avg_pool_backward(y.view(), &p, true, None, x.view()).unwrap();
    }
}
