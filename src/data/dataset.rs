//! Data sets: samples by number, or one after the other. A sample is some tensors.

use crate::autograd::requires_grad;
use crate::backend::memory;
use crate::base::error::Result;
use crate::rng::Generator;
use crate::{bail, ensure, ops, DType, Device, Tensor};
use std::sync::Arc;

/// The tensors of one sample.
pub type Sample = Vec<Tensor>;

/// Samples by number. Any thread may ask.
#[allow(clippy::len_without_is_empty)] // which would be another question to the program
pub trait Indexed: Send + Sync {
    fn len(&self) -> Result<i64>;
    /// Sample `index` of 0 .. len - 1. `seed` follows from the sample's place in the pass: draws made from it are the same
    /// whatever thread asks.
    fn get(&self, index: i64, seed: u64) -> Result<Sample>;
    /// A whole batch, stacked, where that is quicker than one sample after the other. Indices may count from the end.
    fn batch(&self, _indices: &[i64]) -> Option<Result<Vec<Tensor>>> {
        None
    }
    /// How deep data sets are nested in it.
    fn depth(&self) -> usize {
        0
    }
}

/// Samples one after the other.
pub trait Stream: Send + Sync {
    /// Begins at the first sample.
    fn begin(&self) -> Result<Box<dyn Samples>>;
    /// How deep data sets are nested in it.
    fn depth(&self) -> usize {
        0
    }
}
/// One run through a stream; a thread at a time asks.
pub trait Samples: Send {
    /// The next sample; None at the end.
    fn next(&mut self, seed: u64) -> Result<Option<Sample>>;
}

/// A data set of either kind. A clone is another handle on the same one.
#[derive(Clone)]
pub enum Dataset {
    Indexed(Arc<dyn Indexed>),
    Stream(Arc<dyn Stream>),
}

/// Data sets within data sets go no deeper: their samples are fetched, and they are dropped, by recursion.
const DEEPEST: usize = 64;

/// The sample that an index means, which may count from the end.
pub fn place(index: i64, len: i64) -> Result<i64> {
    let at = if index < 0 { index.saturating_add(len) } else { index };
    ensure!((0..len).contains(&at), Index, "index {index} is out of range for a data set of {len} samples");
    Ok(at)
}

impl Dataset {
    /// Sample i has row i of each tensor (PyTorch's `TensorDataset`).
    pub fn of_tensors(tensors: &[Tensor]) -> Result<Dataset> {
        ensure!(!tensors.is_empty(), Value, "a data set of tensors needs at least one tensor");
        for t in tensors {
            ensure!(t.ndim() > 0, Value, "a data set of tensors takes rows: a 0-dim tensor has none");
        }
        let n = tensors[0].size(0)?;
        for t in tensors {
            let other = t.size(0)?;
            ensure!(other == n, Value, "Size mismatch between tensors: the first has {n} rows, another {other}");
        }
        Ok(Dataset::Indexed(Arc::new(Rows(memory::copied(tensors)?))))
    }
    /// The samples at `indices`, which may count from the end (`Subset`).
    pub fn subset(&self, indices: &[i64]) -> Result<Dataset> {
        let of = self.indexed("Subset")?.clone();
        let n = of.len()?;
        for i in indices {
            place(*i, n)?;
        }
        nested(of.depth())?;
        Ok(Dataset::Indexed(Arc::new(Subset { of, indices: memory::copied(indices)? })))
    }
    /// One after the other (`ConcatDataset`).
    pub fn concat(parts: &[Dataset]) -> Result<Dataset> {
        ensure!(!parts.is_empty(), Value, "datasets should not be an empty iterable");
        let (mut list, mut deepest) = (memory::with_capacity(parts.len())?, 0);
        for p in parts {
            let of = p.indexed("ConcatDataset")?.clone();
            deepest = deepest.max(of.depth());
            list.push(of);
        }
        nested(deepest)?;
        Ok(Dataset::Indexed(Arc::new(Concat { parts: list, depth: deepest + 1 })))
    }
    /// Side by side: sample i has the tensors of sample i of each (`StackDataset`).
    pub fn stacked(parts: &[Dataset]) -> Result<Dataset> {
        ensure!(!parts.is_empty(), Value, "At least one dataset should be passed");
        let (mut list, mut deepest) = (memory::with_capacity(parts.len())?, 0);
        let n = parts[0].len()?;
        for p in parts {
            let of = p.indexed("StackDataset")?.clone();
            let other = p.len()?;
            ensure!(other == n, Value, "Size mismatch between datasets: the first has {n} samples, another {other}");
            deepest = deepest.max(of.depth());
            list.push(of);
        }
        nested(deepest)?;
        Ok(Dataset::Indexed(Arc::new(Stack { parts: list, depth: deepest + 1 })))
    }
    /// Streams one after the other (`ChainDataset`).
    pub fn chain(parts: &[Dataset]) -> Result<Dataset> {
        let (mut list, mut deepest) = (memory::with_capacity(parts.len())?, 0);
        for p in parts {
            let Dataset::Stream(of) = p else { bail!(Type, "ChainDataset only supports streams") };
            deepest = deepest.max(of.depth());
            list.push(of.clone());
        }
        nested(deepest)?;
        Ok(Dataset::Stream(Arc::new(Chain { parts: Arc::new(list), depth: deepest + 1 })))
    }
    /// The indices of parts at random, as `random_split` draws them: `lengths` are numbers of samples, or fractions that sum up
    /// to 1. Each part is int64.
    pub fn random_split(&self, lengths: &[f64], generator: Option<&Generator>) -> Result<Vec<Tensor>> {
        let n = self.indexed("random_split")?.len()?;
        let sizes = part_sizes(n, lengths)?;
        let order = ops::randperm(n, generator, Some(DType::I64), Some(Device::CPU))?;
        let mut at = 0;
        memory::try_collect(sizes.iter().map(|size| {
            at += size;
            ops::narrow(&order, 0, at - size, *size)?.contiguous_copy()
        }))
    }
    /// The data set whose samples have numbers.
    pub fn indexed(&self, wanted_by: &str) -> Result<&Arc<dyn Indexed>> {
        match self {
            Dataset::Indexed(d) => Ok(d),
            Dataset::Stream(_) => bail!(Type, "{wanted_by} does not support a stream: its samples have no numbers"),
        }
    }
    /// How many samples; a stream does not know.
    pub fn len(&self) -> Result<i64> {
        let n = self.indexed("len")?.len()?;
        ensure!(n >= 0, Value, "a data set says that it has {n} samples");
        Ok(n)
    }
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
    /// One sample; `index` may count from the end.
    pub fn get(&self, index: i64, seed: u64) -> Result<Sample> {
        let of = self.indexed("get")?;
        of.get(place(index, self.len()?)?, seed)
    }
}

/// How many of `n` samples each part gets.
fn part_sizes(n: i64, lengths: &[f64]) -> Result<Vec<i64>> {
    for (i, x) in lengths.iter().enumerate() {
        ensure!(
            *x >= 0.0 && x.is_finite(),
            Value,
            "length {i} of a part is {x}; lengths are numbers of samples or fractions"
        );
    }
    let sum: f64 = lengths.iter().sum();
    // Python's math.isclose.
    let whole = if (sum - 1.0).abs() <= 1e-9 * sum.max(1.0) && sum <= 1.0 {
        let mut sizes: Vec<i64> = memory::collect(lengths.iter().map(|x| (n as f64 * x).floor() as i64))?;
        let rest = n - sizes.iter().sum::<i64>();
        let parts = sizes.len() as i64;
        for i in 0..rest {
            sizes[(i % parts) as usize] += 1;
        }
        sizes
    } else {
        if let Some(i) = lengths.iter().position(|x| x.fract() != 0.0) {
            bail!(Value, "length {i} of a part is {}: fractions must sum up to 1, got {sum}", lengths[i]);
        }
        memory::collect(lengths.iter().map(|x| *x as i64))?
    };
    let sum = whole.iter().fold(0i64, |a, b| a.saturating_add(*b));
    ensure!(
        sum == n,
        Value,
        "Sum of input lengths does not equal the length of the input dataset! The lengths sum up to {sum}, and the data set \
         has {n} samples"
    );
    Ok(whole)
}

fn nested(deepest: usize) -> Result<()> {
    ensure!(deepest < DEEPEST, Value, "data sets are nested more than {DEEPEST} deep");
    Ok(())
}

struct Rows(Vec<Tensor>);
impl Indexed for Rows {
    fn len(&self) -> Result<i64> {
        self.0[0].size(0)
    }
    fn get(&self, index: i64, _seed: u64) -> Result<Sample> {
        memory::try_collect(self.0.iter().map(|t| ops::select(t, 0, index)))
    }
    fn batch(&self, indices: &[i64]) -> Option<Result<Vec<Tensor>>> {
        // With gradients the graph is that of stacked rows.
        if indices.is_empty() || self.0.iter().any(requires_grad) {
            return None;
        }
        Some(self.rows(indices))
    }
}
impl Rows {
    fn rows(&self, indices: &[i64]) -> Result<Vec<Tensor>> {
        let n = self.len()?;
        let list: Vec<i64> = memory::try_collect(indices.iter().map(|i| place(*i, n)))?;
        let index = Tensor::from_slice(&list, &[list.len() as i64])?;
        memory::try_collect(self.0.iter().map(|t| {
            let here = ops::to_device(&index, t.device())?;
            ops::index_select(t, 0, &here)
        }))
    }
}

struct Subset {
    of: Arc<dyn Indexed>,
    indices: Vec<i64>,
}
impl Subset {
    fn place(&self, index: i64) -> Result<i64> {
        Ok(self.indices[place(index, self.indices.len() as i64)? as usize])
    }
}
impl Indexed for Subset {
    fn len(&self) -> Result<i64> {
        Ok(self.indices.len() as i64)
    }
    fn get(&self, index: i64, seed: u64) -> Result<Sample> {
        self.of.get(place(self.place(index)?, self.of.len()?)?, seed)
    }
    fn batch(&self, indices: &[i64]) -> Option<Result<Vec<Tensor>>> {
        let list: Result<Vec<i64>> = memory::try_collect(indices.iter().map(|i| self.place(*i)));
        match list {
            Ok(list) => self.of.batch(&list),
            Err(e) => Some(Err(e)),
        }
    }
    fn depth(&self) -> usize {
        self.of.depth() + 1
    }
}

struct Concat {
    parts: Vec<Arc<dyn Indexed>>,
    depth: usize,
}
impl Indexed for Concat {
    fn len(&self) -> Result<i64> {
        self.parts.iter().try_fold(0i64, |sum, p| match sum.checked_add(p.len()?) {
            Some(n) => Ok(n),
            None => bail!(Value, "the data sets together have more than 2^63 samples"),
        })
    }
    fn get(&self, index: i64, seed: u64) -> Result<Sample> {
        let mut at = index;
        for p in &self.parts {
            let n = p.len()?;
            if at < n {
                return p.get(at, seed);
            }
            at -= n;
        }
        bail!(Index, "index {index} is out of range for a data set of {} samples", index - at)
    }
    fn depth(&self) -> usize {
        self.depth
    }
}

struct Stack {
    parts: Vec<Arc<dyn Indexed>>,
    depth: usize,
}
impl Indexed for Stack {
    fn len(&self) -> Result<i64> {
        self.parts[0].len()
    }
    fn get(&self, index: i64, seed: u64) -> Result<Sample> {
        let mut all = Vec::new();
        for p in &self.parts {
            let list = p.get(place(index, p.len()?)?, seed)?;
            memory::reserve(&mut all, list.len())?;
            all.extend(list);
        }
        Ok(all)
    }
    fn batch(&self, indices: &[i64]) -> Option<Result<Vec<Tensor>>> {
        let mut all = Vec::new();
        for p in &self.parts {
            let list = match p.batch(indices)? {
                Ok(list) => list,
                Err(e) => return Some(Err(e)),
            };
            if let Err(e) = memory::reserve(&mut all, list.len()) {
                return Some(Err(e));
            }
            all.extend(list);
        }
        Some(Ok(all))
    }
    fn depth(&self) -> usize {
        self.depth
    }
}

struct Chain {
    parts: Arc<Vec<Arc<dyn Stream>>>,
    depth: usize,
}
impl Stream for Chain {
    fn begin(&self) -> Result<Box<dyn Samples>> {
        Ok(Box::new(Links { parts: self.parts.clone(), next: 0, now: None }))
    }
    fn depth(&self) -> usize {
        self.depth
    }
}
/// A pass through a chain: a stream begins when the one before has ended.
struct Links {
    parts: Arc<Vec<Arc<dyn Stream>>>,
    next: usize,
    now: Option<Box<dyn Samples>>,
}
impl Samples for Links {
    fn next(&mut self, seed: u64) -> Result<Option<Sample>> {
        loop {
            if let Some(now) = &mut self.now {
                if let Some(sample) = now.next(seed)? {
                    return Ok(Some(sample));
                }
                self.now = None;
            }
            let Some(part) = self.parts.get(self.next) else { return Ok(None) };
            self.next += 1;
            self.now = Some(part.begin()?);
        }
    }
}

/// The tensors of each place stacked, as PyTorch's `default_collate` does it.
pub fn stack(samples: &[Sample]) -> Result<Vec<Tensor>> {
    let Some(first) = samples.first() else { bail!(Index, "a batch of no samples cannot be stacked") };
    for s in samples {
        ensure!(
            s.len() == first.len(),
            Runtime,
            "each element in list of batch should be of equal size: a sample has {} tensors, the first {}",
            s.len(),
            first.len()
        );
    }
    memory::try_collect((0..first.len()).map(|k| {
        let column: Vec<Tensor> = memory::collect(samples.iter().map(|s| s[k].clone()))?;
        ops::stack(&column, 0)
    }))
}
