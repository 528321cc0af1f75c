//! A convolution as correlations of sub-grids: what the register tiles are given, and what it costs.

use super::geometry::{Axis, Image};
use crate::backend::cpu::lanes::FloatElement;
use crate::backend::cpu::scratch::Ptr;

/// One combination of the axes' sub-grids.
pub(super) struct Sub {
    /// Index of the sub-grid in each axis.
    pub axis: [usize; 3],
    /// Where its offsets start in `Corr::offs`, and how many there are (channels x taps).
    pub offs: usize,
    pub k: usize,
    /// Where its packed weights start within a group's.
    pub weights: usize,
}

/// A correlation ready to run in tasks.
pub(super) struct Corr<T: FloatElement> {
    pub n: usize,
    pub groups: usize,
    /// Channels of one group: summed over, and produced.
    pub cin: usize,
    pub cout: usize,
    pub axes: [Axis; 3],
    pub src: Image<T>,
    pub dst: Image<T>,
    pub subs: Vec<Sub>,
    /// Source offsets of every (channel, tap), per sub-grid.
    pub offs: Vec<isize>,
    /// Whether tasks copy their source; otherwise pitches are the source's own strides.
    pub pack: bool,
    pub pitch: [isize; 3],
    pub phase_stride: isize,
    pub channel_stride: isize,
    pub scratch_len: usize,
    /// Per group: sub-grid, block of output channels, then [k][channels of the block].
    pub weights: Ptr<T::C>,
    pub group_weights: usize,
    /// Bias of all output channels, zeros where there is none.
    pub bias: Ptr<T::C>,
    /// First channel and size of each block of output channels.
    pub blocks: Vec<(usize, usize)>,
    /// Rows laid end to end, junk between them included, instead of row by row.
    pub flat: bool,
    /// Outputs are written in place by the register tiles.
    pub direct_store: bool,
    pub band: [usize; 2],
    pub bands: [usize; 2],
    pub parts: usize,
    pub lanes: usize,
}

/// Work, in multiplications, that is worth a task.
pub(super) const TASK: usize = 300_000;
pub(super) fn sub_counts(a: &[Axis; 3], s: [usize; 3]) -> [usize; 3] {
    [0, 1, 2].map(|d| (a[d].subs[s[d]].t1 - a[d].subs[s[d]].t0) as usize)
}

/// How many vector lanes a sub-grid takes per channel, laid out row by row and flat.
pub(super) fn lane_counts(count: [usize; 3], pitch: usize, lanes: usize) -> (usize, usize) {
    let [d, h, w] = count;
    if d * h * w == 0 {
        return (0, 0);
    }
    let rows = d * h * w.next_multiple_of(lanes);
    let flat = d * ((h - 1) * pitch + w).next_multiple_of(lanes);
    (rows, flat)
}

impl<T: FloatElement> Corr<T> {
    /// What the correlation would cost, in multiplications: (row by row, flat).
    pub fn cost(axes: &[Axis; 3], cin: usize, cout: usize, lanes: usize) -> (usize, usize) {
        let pitch = axes[2].longest() + (axes[2].qmax - axes[2].qmin) as usize;
        let (mut rows, mut flat) = (0, 0);
        for_subs(axes, |s| {
            let k: usize = (0..3).map(|d| axes[d].subs[s[d]].ks.len()).product::<usize>() * cin;
            let (r, f) = lane_counts(sub_counts(axes, s), pitch, lanes);
            // Each lane is loaded and stored once more; flat results are copied into place.
            rows += r * (k + 2) * cout;
            flat += f * (k + 5) * cout;
        });
        (rows, flat)
    }
}

pub(super) fn for_subs(axes: &[Axis; 3], mut f: impl FnMut([usize; 3])) {
    for d in 0..axes[0].subs.len() {
        for h in 0..axes[1].subs.len() {
            for w in 0..axes[2].subs.len() {
                f([d, h, w]);
            }
        }
    }
}

/// Multiplications that one element of an im2col matrix is worth, with its packing by gemm.
pub(super) const IM2COL_COST: usize = 32;
