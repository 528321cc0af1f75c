//! Iteration spaces: the dimensions that several operands share, reordered and joined so that loops are long.

use smallvec::SmallVec;

/// Strides of one operand in bytes, innermost dimension first.
pub type Strides = SmallVec<[isize; 6]>;

/// The joint iteration space of some operands; dimension 0 is the innermost.
#[derive(Debug)]
pub struct Space {
    pub shape: SmallVec<[usize; 6]>,
    /// Per operand.
    pub strides: SmallVec<[Strides; 4]>,
}

impl Space {
    /// The space of `shape` (outermost first) with the operands' strides in elements and their element sizes.
    /// Dimensions are sorted by the strides of the first operand, then the second and so on (the order of visits is
    /// free), and neighbours joined where every operand allows it. Always has a dimension; none may have size 0.
    pub fn new(shape: &[i64], operands: &[(&[i64], usize)]) -> Space {
        Space::by_operand(shape, operands, 0)
    }
    /// As `new`, but sorted by operand `first` and those after it.
    pub fn by_operand(shape: &[i64], operands: &[(&[i64], usize)], first: usize) -> Space {
        // Dimensions that count, innermost first.
        let mut dims: SmallVec<[usize; 6]> = (0..shape.len()).rev().filter(|&d| shape[d] != 1).collect();
        sort_dims(&mut dims, &operands[first..]);
        Space::of_dims(shape, operands, &dims)
    }
    /// As `new`, with the dimensions in row-major order.
    pub fn unsorted(shape: &[i64], operands: &[(&[i64], usize)]) -> Space {
        let dims: SmallVec<[usize; 6]> = (0..shape.len()).rev().filter(|&d| shape[d] != 1).collect();
        Space::of_dims(shape, operands, &dims)
    }
    fn of_dims(shape: &[i64], operands: &[(&[i64], usize)], dims: &[usize]) -> Space {
        let mut space = Space { shape: SmallVec::new(), strides: operands.iter().map(|_| Strides::new()).collect() };
        for &d in dims {
            let n = shape[d] as usize;
            let joins = match space.shape.last() {
                Some(&inner) => operands
                    .iter()
                    .zip(&space.strides)
                    .all(|((st, size), have)| have[have.len() - 1] * inner as isize == st[d] as isize * *size as isize),
                None => false,
            };
            if joins {
                *space.shape.last_mut().unwrap() *= n;
            } else {
                space.shape.push(n);
                for ((st, size), have) in operands.iter().zip(&mut space.strides) {
                    have.push(st[d] as isize * *size as isize);
                }
            }
        }
        if space.shape.is_empty() {
            space.shape.push(1);
            for ((_, size), have) in operands.iter().zip(&mut space.strides) {
                have.push(*size as isize);
            }
        }
        space
    }

    /// The space of some of the dimensions; a single position when there are none.
    pub fn select(&self, dims: &[usize]) -> Space {
        if dims.is_empty() {
            return Space {
                shape: SmallVec::from_slice(&[1]),
                strides: self.strides.iter().map(|_| Strides::from_slice(&[0])).collect(),
            };
        }
        Space {
            shape: dims.iter().map(|&d| self.shape[d]).collect(),
            strides: self.strides.iter().map(|st| dims.iter().map(|&d| st[d]).collect()).collect(),
        }
    }
    /// The same space with an innermost dimension of size 1 put in.
    pub fn with_unit_row(&self) -> Space {
        let mut s = Space { shape: self.shape.clone(), strides: self.strides.clone() };
        s.shape.insert(0, 1);
        s.strides.iter_mut().for_each(|st| st.insert(0, 0));
        s
    }

    pub fn ndim(&self) -> usize {
        self.shape.len()
    }
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
    /// Whether operand `k` lies in memory in the order of visits, without gaps.
    pub fn is_dense(&self, k: usize, size: usize) -> bool {
        let mut expect = size as isize;
        for (n, st) in self.shape.iter().zip(&self.strides[k]) {
            if *st != expect {
                return false;
            }
            expect *= *n as isize;
        }
        true
    }
    /// Whether operand `k` is one element, repeated.
    pub fn is_constant(&self, k: usize) -> bool {
        self.strides[k].iter().all(|s| *s == 0)
    }
}

/// Insertion sort with PyTorch's rule: the first operand that moves by different strides in both dimensions decides.
/// Rarely more than a few dimensions, usually sorted already.
fn sort_dims(dims: &mut [usize], operands: &[(&[i64], usize)]) {
    for i in 1..dims.len() {
        let mut at = i;
        for j in (0..i).rev() {
            match compare(dims[j], dims[at], operands) {
                // The inner one has the larger stride: swap.
                Some(std::cmp::Ordering::Greater) => {
                    dims.swap(j, at);
                    at = j;
                }
                Some(_) => break,
                None => {}
            }
        }
    }
}

/// How the strides of dimensions `a` and `b` compare, None where no operand moves in both.
fn compare(a: usize, b: usize, operands: &[(&[i64], usize)]) -> Option<std::cmp::Ordering> {
    for (st, _) in operands {
        if st[a] != 0 && st[b] != 0 && st[a] != st[b] {
            return Some(st[a].cmp(&st[b]));
        }
    }
    None
}

/// A position in the outer dimensions (1 and up) of a space, with every operand's byte offset.
pub struct Rows<'a> {
    space: &'a Space,
    index: SmallVec<[usize; 6]>,
    /// Byte offset of the row's first element, per operand.
    pub offsets: SmallVec<[isize; 4]>,
}

impl<'a> Rows<'a> {
    /// At row number `row` (row-major over the outer dimensions, dimension 1 fastest).
    pub fn at(space: &'a Space, mut row: usize) -> Rows<'a> {
        let mut index = SmallVec::new();
        let mut offsets: SmallVec<[isize; 4]> = SmallVec::from_elem(0, space.strides.len());
        for d in 1..space.ndim() {
            let i = row % space.shape[d];
            row /= space.shape[d];
            index.push(i);
            for (o, st) in offsets.iter_mut().zip(&space.strides) {
                *o += i as isize * st[d];
            }
        }
        Rows { space, index, offsets }
    }
    /// Moves to the next row; after the last, back to the first.
    #[inline]
    pub fn advance(&mut self) {
        for d in 1..self.space.ndim() {
            let n = self.space.shape[d];
            self.index[d - 1] += 1;
            if self.index[d - 1] < n {
                for (o, st) in self.offsets.iter_mut().zip(&self.space.strides) {
                    *o += st[d];
                }
                return;
            }
            self.index[d - 1] = 0;
            for (o, st) in self.offsets.iter_mut().zip(&self.space.strides) {
                *o -= (n - 1) as isize * st[d];
            }
        }
    }
    /// Offsets of operand `k` for this row and the `count - 1` that follow, without moving.
    #[inline]
    pub fn for_each_offset(&self, k: usize, count: usize, mut f: impl FnMut(isize)) {
        let (shape, strides) = (&self.space.shape, &self.space.strides[k]);
        let mut offset = self.offsets[k];
        if self.index.is_empty() {
            return f(offset);
        }
        let mut index = self.index.clone();
        for _ in 0..count {
            f(offset);
            for d in 1..shape.len() {
                index[d - 1] += 1;
                if index[d - 1] < shape[d] {
                    offset += strides[d];
                    break;
                }
                index[d - 1] = 0;
                offset -= (shape[d] - 1) as isize * strides[d];
            }
        }
    }
    /// As `for_each_offset`, with the rows that follow each other along dimension 1 together: offset of the first, count.
    #[inline]
    pub fn for_each_run(&self, k: usize, mut count: usize, mut f: impl FnMut(isize, usize)) {
        if self.index.is_empty() {
            return f(self.offsets[k], count);
        }
        let mut here = Rows { space: self.space, index: self.index.clone(), offsets: self.offsets.clone() };
        let across = self.space.shape[1];
        while count > 0 {
            let n = (across - here.index[0]).min(count);
            f(here.offsets[k], n);
            count -= n;
            // To the run's last row, and on from there.
            here.index[0] += n - 1;
            for (o, st) in here.offsets.iter_mut().zip(&self.space.strides) {
                *o += (n - 1) as isize * st[1];
            }
            here.advance();
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn joins_and_sorts() {
        // Contiguous: one dimension.
        let s = Space::new(&[2, 3, 4], &[(&[12, 4, 1], 4), (&[12, 4, 1], 2)]);
        assert_eq!((&s.shape[..], &s.strides[0][..], &s.strides[1][..]), (&[24][..], &[4][..], &[2][..]));
        assert!(s.is_dense(0, 4) && s.is_dense(1, 2) && !s.is_constant(0));
        // Both transposed alike: sorted, then joined.
        let s = Space::new(&[3, 2], &[(&[1, 3], 4), (&[1, 3], 4)]);
        assert_eq!((&s.shape[..], s.is_dense(1, 4)), (&[6][..], true));
        // Row broadcast.
        let s = Space::new(&[5, 1, 3], &[(&[3, 3, 1], 4), (&[0, 0, 1], 4)]);
        assert_eq!((&s.shape[..], &s.strides[1][..]), (&[3, 5][..], &[4, 0][..]));
        assert!(s.is_dense(0, 4) && !s.is_dense(1, 4));
        // Scalars.
        let s = Space::new(&[], &[(&[], 8)]);
        assert_eq!((&s.shape[..], s.is_dense(0, 8), s.numel()), (&[1][..], true, 1));
        assert!(Space::new(&[4], &[(&[1], 4), (&[0], 4)]).is_constant(1));
    }

    #[cfg_attr(test, test)]
    pub(crate) fn rows_visit_all() {
        let s = Space {
            shape: SmallVec::from_slice(&[2, 3, 4]),
            strides: SmallVec::from_iter([Strides::from_slice(&[1, 10, 100]), Strides::from_slice(&[1, 0, 7])]),
        };
        let mut rows = Rows::at(&s, 0);
        for r in 0..12isize {
            let (i, j) = (r % 3, r / 3);
            assert_eq!(&rows.offsets[..], &[i * 10 + j * 100, j * 7]);
            let fresh = Rows::at(&s, r as usize);
            assert_eq!(fresh.offsets, rows.offsets);
            let mut seen = vec![];
            rows.for_each_offset(0, (12 - r) as usize, |o| seen.push(o));
            assert_eq!(seen, (r..12).map(|q| q % 3 * 10 + q / 3 * 100).collect::<Vec<_>>());
            let mut in_runs = vec![];
            rows.for_each_run(0, (12 - r) as usize, |o, n| in_runs.extend((0..n as isize).map(|i| o + 10 * i)));
            assert_eq!(in_runs, seen);
            rows.advance();
        }
        assert_eq!(&rows.offsets[..], &[0, 0]);
    }
}
