//! Fewer dimensions and cheaper index arithmetic: what a launch is told about its tensors' layouts.

use smallvec::SmallVec;

/// Several tensors over one iteration space, collapsed.
pub struct Plan {
    pub shape: SmallVec<[i64; 6]>,
    /// One list per tensor, one stride per remaining dimension.
    pub strides: SmallVec<[SmallVec<[i64; 6]>; 4]>,
}

/// Drops dimensions of size 1 and merges neighbours that lie evenly in memory in every tensor. With `reorder`,
/// dimensions are sorted by the first tensor's strides (largest outermost) before merging.
pub fn collapse(shape: &[i64], strides: &[&[i64]], reorder: bool) -> Plan {
    let mut dims: SmallVec<[usize; 6]> = (0..shape.len()).filter(|d| shape[*d] != 1).collect();
    if reorder {
        dims.sort_by_key(|d| std::cmp::Reverse(strides[0][*d]));
    }
    let mut plan = Plan { shape: SmallVec::new(), strides: strides.iter().map(|_| SmallVec::new()).collect() };
    for d in dims {
        let merges = plan.shape.last().is_some()
            && plan.strides.iter().zip(strides).all(|(p, s)| *p.last().expect("same length") == s[d] * shape[d]);
        if merges {
            let n = plan.shape.len();
            plan.shape[n - 1] *= shape[d];
            for (p, s) in plan.strides.iter_mut().zip(strides) {
                p[n - 1] = s[d];
            }
        } else {
            plan.shape.push(shape[d]);
            for (p, s) in plan.strides.iter_mut().zip(strides) {
                p.push(s[d]);
            }
        }
    }
    plan
}

impl Plan {
    /// Whether indices and relative offsets fit 31 bits.
    pub fn is_narrow(&self) -> bool {
        const LIMIT: i64 = i32::MAX as i64;
        self.shape.iter().product::<i64>() <= LIMIT
            && self.strides.iter().all(|s| s.iter().zip(&self.shape).map(|(s, n)| s * (n - 1)).sum::<i64>() <= LIMIT)
    }
}

/// Multiplier and shift for `div_by` of common.h: division of n < 2^31 by d >= 1.
pub fn magic(d: u32) -> (u32, u32) {
    let shift = if d <= 1 { 0 } else { 32 - (d - 1).leading_zeros() };
    let m = (((1u64 << 32) * ((1u64 << shift) - d as u64)) / d as u64 + 1) as u32;
    (m, shift)
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn magic_division_is_exact() {
        let mut x = 12345u64;
        let check = |n: u32, d: u32| {
            let (m, s) = magic(d);
            let q = ((((n as u64 * m as u64) >> 32) + n as u64) >> s) as u32;
            assert_eq!(q, n / d, "{n} / {d}");
        };
        for d in 1..300 {
            for n in 0..300 {
                check(n, d);
            }
        }
        for _ in 0..200_000 {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            check((x >> 33) as u32, ((x & 0x7fff_ffff) as u32 >> (x >> 59)).max(1));
        }
        for d in [1, 2, 3, i32::MAX as u32 - 1, i32::MAX as u32] {
            for n in [0, 1, i32::MAX as u32 - 1, i32::MAX as u32] {
                check(n, d);
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn collapse_merges_what_lies_evenly() {
        let p = collapse(&[2, 1, 3, 4], &[&[12, 5, 4, 1], &[12, 0, 4, 1]], false);
        assert_eq!(&p.shape[..], &[24]);
        let p = collapse(&[2, 3, 4], &[&[12, 4, 1], &[0, 4, 1]], false);
        assert_eq!(&p.shape[..], &[2, 12]);
        assert_eq!(&p.strides[1][..], &[0, 1]);
        let p = collapse(&[4, 3], &[&[1, 4], &[1, 4]], true);
        assert_eq!(&p.shape[..], &[12]);
    }
}
