//! Sizes, strides and sub-grids of convolutions.

use crate::backend::cpu::lanes::FloatElement;
use crate::backend::cpu::scratch::{ptr, Ptr};
use crate::backend::{check, ConvParams, View};
use crate::base::error::Result;
use smallvec::SmallVec;

/// Sizes of a convolution, always with three spatial dimensions (missing leading ones have size 1).
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub n: usize,
    pub groups: usize,
    /// Channels of one group.
    pub ic: usize,
    pub oc: usize,
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub kernel: [usize; 3],
    pub stride: [isize; 3],
    pub pad: [isize; 3],
    pub dil: [isize; 3],
}
impl Geometry {
    pub fn of(what: &str, input: &View, weight: &View, output: &View, p: &ConvParams) -> Result<Geometry> {
        let (si, sw, so) = (&input.layout.shape, &weight.layout.shape, &output.layout.shape);
        check::conv(what, input, weight, None, output, p)?;
        let g = p.groups;
        let three = |v: &[i64], fill: i64| {
            let mut r = [fill as isize; 3];
            for (r, x) in r[3 - v.len()..].iter_mut().zip(v) {
                *r = *x as isize;
            }
            r
        };
        let sizes = |v: &[i64]| three(v, 1).map(|x| x as usize);
        Ok(Geometry {
            n: si[0] as usize,
            groups: g as usize,
            ic: sw[1] as usize,
            oc: (sw[0] / g) as usize,
            input: sizes(&si[2..]),
            output: sizes(&so[2..]),
            kernel: sizes(&sw[2..]),
            stride: three(&p.stride, 1),
            pad: three(&p.padding, 0),
            dil: three(&p.dilation, 1),
        })
    }
    /// Kernel positions per channel.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
    /// Output positions per image.
    pub fn positions(&self) -> usize {
        self.output.iter().product()
    }
    /// Input element that output `o` meets at kernel position `k` of dimension `d`, if it is not padding.
    #[inline(always)]
    pub fn source(&self, d: usize, o: usize, k: usize) -> Option<usize> {
        let i = o as isize * self.stride[d] + k as isize * self.dil[d] - self.pad[d];
        (i >= 0 && i < self.input[d] as isize).then_some(i as usize)
    }
}

/// A [n, c, d, h, w] tensor: first element and strides.
pub(super) struct Image<T> {
    pub p: Ptr<T>,
    pub n: isize,
    pub c: isize,
    pub s: [isize; 3],
}
impl<T> Clone for Image<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Image<T> {}
impl<T> Image<T> {
    pub fn of(v: &View) -> Result<Image<T>> {
        let st = &v.layout.strides;
        let mut s = [0; 3];
        for (s, x) in s[5 - st.len()..].iter_mut().zip(&st[2..]) {
            *s = *x as isize;
        }
        Ok(Image { p: Ptr(ptr(v)?), n: st[0] as isize, c: st[1] as isize, s })
    }
    /// Spatial positions follow each other without gaps, row-major.
    pub fn dense(&self, size: [usize; 3]) -> bool {
        let mut expect = 1;
        for d in (0..3).rev() {
            if size[d] != 1 && self.s[d] != expect {
                return false;
            }
            expect *= size[d] as isize;
        }
        true
    }
    #[inline(always)]
    pub fn at(&self, n: usize, c: usize) -> *mut T {
        self.p.at(n as isize * self.n + c as isize * self.c)
    }
}
impl<T: FloatElement> Image<T> {
    /// The strides with which tiles can read it in place: every tap of every output exists, and rows are runs.
    pub fn readable(&self, axes: &[Axis; 3]) -> Option<[isize; 3]> {
        let inside = |a: &Axis| a.f == 1 && a.t.0 + a.qmin - a.lo >= 0 && a.t.1 - 1 + a.qmax - a.lo < a.src;
        let mut pitch = self.s;
        for d in (0..3).rev() {
            if axes[d].src == 1 {
                // A dimension of size 1 has no meaningful stride.
                pitch[d] = if d == 2 { 1 } else { pitch[d + 1] * axes[d + 1].src };
            }
        }
        let nested = pitch[2] == 1 && pitch[1] >= axes[2].src && pitch[0] >= (axes[1].src - 1) * pitch[1] + axes[2].src;
        (T::DIRECT && axes.iter().all(inside) && nested).then_some(pitch)
    }
}

/// One spatial dimension of a correlation: output position `t` of a sub-grid meets, at kernel position `k`, source
/// element `(t + q) * f + r - lo`, where `(phase of r, q)` is `taps[k]`.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub src: isize,
    pub f: isize,
    pub lo: isize,
    /// Residues `r` that occur.
    pub phases: SmallVec<[isize; 4]>,
    pub qmin: isize,
    pub qmax: isize,
    pub taps: SmallVec<[(usize, isize); 8]>,
    pub subs: SmallVec<[AxisSub; 2]>,
    /// All sub-grids lie in `t.0..t.1`.
    pub t: (isize, isize),
}
/// Outputs `out0 + t * step` for `t0 <= t < t1`, fed by the kernel positions `ks`.
#[derive(Clone, Debug)]
pub(super) struct AxisSub {
    pub ks: SmallVec<[usize; 8]>,
    pub t0: isize,
    pub t1: isize,
    pub out0: isize,
    pub step: isize,
}

impl Axis {
    fn new(src: usize, f: isize, lo: isize, taps: SmallVec<[(isize, isize); 8]>, subs: SmallVec<[AxisSub; 2]>) -> Axis {
        let mut phases = SmallVec::<[isize; 4]>::new();
        let taps: SmallVec<[(usize, isize); 8]> = taps
            .iter()
            .map(|&(r, q)| {
                let i = phases.iter().position(|x| *x == r).unwrap_or_else(|| {
                    phases.push(r);
                    phases.len() - 1
                });
                (i, q)
            })
            .collect();
        Axis {
            src: src as isize,
            f,
            lo,
            phases,
            qmin: taps.iter().map(|t| t.1).min().unwrap_or(0),
            qmax: taps.iter().map(|t| t.1).max().unwrap_or(0),
            t: (subs.iter().map(|s| s.t0).min().unwrap_or(0), subs.iter().map(|s| s.t1).max().unwrap_or(0)),
            taps,
            subs,
        }
    }
    pub fn forward(g: &Geometry, d: usize) -> Axis {
        let (s, dil) = (g.stride[d], g.dil[d]);
        let taps = (0..g.kernel[d] as isize).map(|k| (k * dil % s, k * dil / s)).collect();
        let all = AxisSub { ks: (0..g.kernel[d]).collect(), t0: 0, t1: g.output[d] as isize, out0: 0, step: 1 };
        Axis::new(g.input[d], s, g.pad[d], taps, SmallVec::from_iter([all]))
    }
    pub fn backward(g: &Geometry, d: usize) -> Axis {
        let (s, dil, p) = (g.stride[d], g.dil[d], g.pad[d]);
        let taps = (0..g.kernel[d] as isize).map(|k| (0, -(k * dil / s))).collect();
        // Few of many residues have an element when steps are longer than the input.
        let (size, long) = (g.input[d] as isize, s > g.input[d] as isize);
        let subs = (0..if long { size } else { s })
            .map(|r| if long { (r + p) % s } else { r })
            .map(|r| AxisSub {
                ks: (0..g.kernel[d]).filter(|k| *k as isize * dil % s == r).collect(),
                t0: (p - r).div_euclid(s) + isize::from((p - r).rem_euclid(s) != 0),
                t1: (size - 1 + p - r).div_euclid(s) + 1,
                out0: r - p,
                step: s,
            })
            .filter(|x| x.t1 > x.t0)
            .collect();
        Axis::new(g.output[d], 1, 0, taps, subs)
    }
    /// Positions of the longest sub-grid within a band of `b`.
    pub fn longest(&self) -> usize {
        self.subs.iter().map(|s| (s.t1 - s.t0) as usize).max().unwrap_or(0)
    }
}
