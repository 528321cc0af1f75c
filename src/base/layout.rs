//! Shape, strides and offset of a tensor over its storage, and the arithmetic on them.

use crate::base::error::Result;
use crate::{bail, ensure};
use smallvec::SmallVec;

/// Sizes or strides; inline (no heap) up to rank 6.
pub type Dims = SmallVec<[i64; 6]>;

/// Where a tensor's elements lie in its storage. Strides and offset count elements; strides are never negative.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Layout {
    pub shape: Dims,
    pub strides: Dims,
    pub offset: i64,
}

// SmallVec's own clone goes element by element, through code that may allocate.
impl Clone for Layout {
    #[inline]
    fn clone(&self) -> Layout {
        Layout { shape: Dims::from_slice(&self.shape), strides: Dims::from_slice(&self.strides), offset: self.offset }
    }
}

/// Row-major strides of a shape (a dimension of size 0 counts as 1, as in PyTorch).
pub fn contiguous_strides(shape: &[i64]) -> Dims {
    let mut strides: Dims = SmallVec::from_elem(1, shape.len());
    let mut acc = 1i64;
    for i in (0..shape.len()).rev() {
        strides[i] = acc;
        acc = acc.saturating_mul(shape[i].max(1));
    }
    strides
}

impl Layout {
    pub fn contiguous(shape: &[i64]) -> Layout {
        Layout { shape: Dims::from_slice(shape), strides: contiguous_strides(shape), offset: 0 }
    }
    #[inline]
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }
    #[inline]
    pub fn numel(&self) -> usize {
        // Beside a dimension of size 0 the others may be of any size.
        self.shape.iter().fold(1i64, |n, s| n.wrapping_mul(*s)) as usize
    }
    pub fn is_contiguous(&self) -> bool {
        let mut expect = 1;
        for i in (0..self.shape.len()).rev() {
            if self.shape[i] == 0 {
                return true;
            }
            if self.shape[i] != 1 {
                if self.strides[i] != expect {
                    // Nothing lies in order, however its strides are.
                    return self.shape[..i].contains(&0);
                }
                expect *= self.shape[i];
            }
        }
        true
    }
    /// The layout read as `shape` by repeating size-1 dimensions with stride 0, or PyTorch's error.
    pub fn broadcast_to(&self, shape: &[i64]) -> Result<Layout> {
        let (n, m) = (self.ndim(), shape.len());
        ensure!(
            m >= n,
            Runtime,
            "expand: the number of sizes provided ({m}) must be greater or equal to the number of dimensions in the tensor ({n})"
        );
        let mut strides: Dims = SmallVec::from_elem(0, m);
        for i in 0..m {
            if i + n < m {
                continue;
            }
            let j = i + n - m;
            if self.shape[j] == shape[i] {
                strides[i] = self.strides[j];
            } else if self.shape[j] != 1 {
                bail!(
                    Runtime,
                    "The expanded size of the tensor ({}) must match the existing size ({}) at non-singleton dimension {}.  Target sizes: {:?}.  Tensor sizes: {:?}",
                    shape[i], self.shape[j], i, shape, &self.shape[..]
                );
            }
        }
        Ok(Layout { shape: Dims::from_slice(shape), strides, offset: self.offset })
    }
    /// Strides that view the same elements as `shape` (same element count) without a copy, if there are any.
    pub fn view_strides(&self, shape: &[i64]) -> Option<Dims> {
        if self.numel() == 0 || self.is_contiguous() {
            return Some(contiguous_strides(shape));
        }
        let mut strides: Dims = SmallVec::from_elem(0, shape.len());
        // Walk both shapes from the back, matching chunks of old dimensions that lie evenly in memory.
        let mut view_d = shape.len() as i64 - 1;
        let mut chunk_base = *self.strides.last()?;
        let (mut t_numel, mut v_numel) = (1i64, 1i64);
        for d in (0..self.ndim()).rev() {
            t_numel *= self.shape[d];
            let ends = d == 0 || (self.shape[d - 1] != 1 && self.strides[d - 1] != t_numel * chunk_base);
            if !ends {
                continue;
            }
            while view_d >= 0 && (v_numel < t_numel || shape[view_d as usize] == 1) {
                strides[view_d as usize] = v_numel * chunk_base;
                v_numel *= shape[view_d as usize];
                view_d -= 1;
            }
            if v_numel != t_numel {
                return None;
            }
            if d > 0 {
                chunk_base = self.strides[d - 1];
                t_numel = 1;
                v_numel = 1;
            }
        }
        (view_d == -1).then_some(strides)
    }
    /// Whether the elements lie without gaps or overlaps, in whatever order of dimensions.
    pub fn is_dense(&self) -> bool {
        if self.is_contiguous() {
            return true;
        }
        let mut order: SmallVec<[usize; 6]> = (0..self.ndim()).filter(|&d| self.shape[d] != 1).collect();
        order.sort_by_key(|&d| self.strides[d]);
        let mut expect = 1;
        order.iter().all(|&d| {
            let fits = self.strides[d] == expect;
            expect *= self.shape[d];
            fits
        })
    }
    /// One past the largest element index that the layout touches (0 when empty).
    pub fn required_elements(&self) -> i64 {
        if self.numel() == 0 {
            return 0;
        }
        // Strides come from users too; what overflows lies beyond any memory.
        let steps = self.shape.iter().zip(&self.strides).map(|(s, st)| (s - 1).saturating_mul(*st));
        steps.fold(self.offset.saturating_add(1), i64::saturating_add)
    }
}

/// The common shape of two broadcast operands, or PyTorch's error.
pub fn broadcast_shapes(a: &[i64], b: &[i64]) -> Result<Dims> {
    if a == b {
        return Ok(Dims::from_slice(a));
    }
    let n = a.len().max(b.len());
    let mut out: Dims = SmallVec::from_elem(1, n);
    // From the last: the first pair that does not fit is the one that PyTorch names.
    for i in (0..n).rev() {
        let x = if i + a.len() >= n { a[i + a.len() - n] } else { 1 };
        let y = if i + b.len() >= n { b[i + b.len() - n] } else { 1 };
        out[i] = if x == y || y == 1 {
            x
        } else if x == 1 {
            y
        } else {
            bail!(
                Runtime,
                "The size of tensor a ({x}) must match the size of tensor b ({y}) at non-singleton dimension {i}; shapes {a:?} and {b:?} cannot be broadcast"
            )
        };
    }
    Ok(out)
}

/// A dimension index counted from the end when negative; PyTorch's error when out of range.
pub fn wrap_dim(dim: i64, ndim: usize) -> Result<usize> {
    let n = ndim.max(1) as i64;
    ensure!(
        dim >= -n && dim < n,
        Index,
        "Dimension out of range (expected to be in range of [{}, {}], but got {dim})",
        -n,
        n - 1
    );
    Ok(if dim < 0 { dim + n } else { dim } as usize)
}

/// Most dimensions that a tensor can have, as NumPy's.
pub const MAX_DIMS: usize = 64;
/// The error of too many dimensions.
#[inline]
pub fn check_rank(n: usize) -> Result<()> {
    ensure!(n <= MAX_DIMS, Runtime, "a tensor can have at most {MAX_DIMS} dimensions, got {n}");
    Ok(())
}
/// Product of sizes; an error when there are too many, one is negative or the total does not fit.
pub fn checked_numel(shape: &[i64]) -> Result<usize> {
    check_rank(shape.len())?;
    let mut n: i64 = 1;
    let mut zero = false;
    for &s in shape {
        ensure!(s >= 0, Runtime, "Trying to create tensor with negative dimension {s}: {shape:?}");
        zero |= s == 0;
        if s != 0 {
            n = match n.checked_mul(s) {
                Some(v) => v,
                None => bail!(Runtime, "numel: integer multiplication overflow for shape {shape:?}"),
            };
        }
    }
    Ok(if zero { 0 } else { n as usize })
}
