//! Samplers: the order in which a loader takes its samples. Draws are PyTorch's, made in the host's memory and when PyTorch
//! makes them: the first when the first index is asked for.

use crate::backend::memory;
use crate::base::error::Result;
use crate::rng::Generator;
use crate::{bail, ensure, ops, DType, Device, Tensor};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;

/// A seed of 63 bits, drawn as PyTorch draws it.
pub fn draw_seed(generator: Option<&Generator>) -> Result<u64> {
    let t = Tensor::empty(&[], DType::I64, Device::CPU)?;
    ops::random_(&t, generator)?;
    Ok(t.to_i64_vec()?[0] as u64)
}

/// What a sampler draws.
pub(super) enum Kind {
    Sequential { n: i64 },
    Random { n: i64, replacement: bool, num_samples: i64, generator: Option<Generator> },
    Fixed { indices: Vec<i64> },
    SubsetRandom { indices: Vec<i64>, generator: Option<Generator> },
    Weighted { weights: Tensor, num_samples: i64, replacement: bool, generator: Option<Generator> },
    Distributed(Distributed),
    Batch { of: Sampler, size: i64, drop_last: bool },
}
pub(super) struct Distributed {
    n: i64,
    replicas: i64,
    rank: i64,
    shuffle: bool,
    seed: i64,
    drop_last: bool,
    epoch: AtomicI64,
}

/// A sampler. A clone is another handle on the same one.
#[derive(Clone)]
pub struct Sampler(pub(super) Arc<Kind>);

fn positive(name: &str, value: i64) -> Result<()> {
    ensure!(value > 0, Value, "{name} should be a positive integer value, but got {name}={value}");
    Ok(())
}
fn length(n: i64) -> Result<()> {
    ensure!(n >= 0, Value, "the number of samples cannot be negative, but got {n}");
    Ok(())
}

impl Sampler {
    fn of(kind: Kind) -> Sampler {
        Sampler(Arc::new(kind))
    }
    /// 0 .. n - 1 in order.
    pub fn sequential(n: i64) -> Result<Sampler> {
        length(n)?;
        Ok(Sampler::of(Kind::Sequential { n }))
    }
    /// 0 .. n - 1 in random order, or `num_samples` of them (more than n: permutation after permutation), or drawn with
    /// replacement. Without a generator a pass seeds its own from the default one.
    pub fn random(
        n: i64,
        replacement: bool,
        num_samples: Option<i64>,
        generator: Option<&Generator>,
    ) -> Result<Sampler> {
        length(n)?;
        let num_samples = num_samples.unwrap_or(n);
        positive("num_samples", num_samples)?;
        positive("n", n)?;
        Ok(Sampler::of(Kind::Random { n, replacement, num_samples, generator: generator.cloned() }))
    }
    /// Given indices in their order.
    pub fn fixed(indices: &[i64]) -> Result<Sampler> {
        Ok(Sampler::of(Kind::Fixed { indices: memory::copied(indices)? }))
    }
    /// Given indices in random order.
    pub fn subset_random(indices: &[i64], generator: Option<&Generator>) -> Result<Sampler> {
        Ok(Sampler::of(Kind::SubsetRandom { indices: memory::copied(indices)?, generator: generator.cloned() }))
    }
    /// `num_samples` indices drawn with weights, which need not sum up to one.
    pub fn weighted(
        weights: &[f64],
        num_samples: i64,
        replacement: bool,
        generator: Option<&Generator>,
    ) -> Result<Sampler> {
        positive("num_samples", num_samples)?;
        let weights = Tensor::from_slice(weights, &[weights.len() as i64])?;
        Ok(Sampler::of(Kind::Weighted { weights, num_samples, replacement, generator: generator.cloned() }))
    }
    /// The part of one of `replicas` processes, in an order that all draw from the seed and the epoch. The parts are of one
    /// length: with `drop_last` the last indices are left out, otherwise some come twice.
    pub fn distributed(n: i64, replicas: i64, rank: i64, shuffle: bool, seed: i64, drop_last: bool) -> Result<Sampler> {
        length(n)?;
        positive("num_replicas", replicas)?;
        ensure!(
            rank >= 0 && rank < replicas,
            Value,
            "Invalid rank {rank}, rank should be in the interval [0, {}]",
            replicas - 1
        );
        let d = Distributed { n, replicas, rank, shuffle, seed, drop_last, epoch: AtomicI64::new(0) };
        d.part()?;
        Ok(Sampler::of(Kind::Distributed(d)))
    }
    /// Batches of another sampler's indices.
    pub fn batch(of: &Sampler, size: i64, drop_last: bool) -> Result<Sampler> {
        positive("batch_size", size)?;
        ensure!(!of.is_batched(), Type, "a sampler of batches cannot take batches: give the sampler of single indices");
        Ok(Sampler::of(Kind::Batch { of: of.clone(), size, drop_last }))
    }
    /// Gives a distributed sampler's next pass another order; of others nothing changes.
    pub fn set_epoch(&self, epoch: i64) {
        match &*self.0 {
            Kind::Distributed(d) => d.epoch.store(epoch, Ordering::Relaxed),
            Kind::Batch { of, .. } => of.set_epoch(epoch),
            _ => {}
        }
    }
    /// Whether it gives lists of indices.
    pub fn is_batched(&self) -> bool {
        matches!(*self.0, Kind::Batch { .. })
    }
    /// How many indices a pass has; of a sampler of batches how many batches.
    pub fn len(&self) -> i64 {
        match &*self.0 {
            Kind::Sequential { n } => *n,
            Kind::Random { num_samples, .. } | Kind::Weighted { num_samples, .. } => *num_samples,
            Kind::Fixed { indices } | Kind::SubsetRandom { indices, .. } => indices.len() as i64,
            Kind::Distributed(d) => d.part().unwrap_or(0),
            Kind::Batch { of, size, drop_last } => batches(of.len(), *size, *drop_last),
        }
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The indices of a pass, of a sampler of batches those of one batch after the other.
    pub fn draw(&self) -> Result<Vec<i64>> {
        let single = match &*self.0 {
            Kind::Batch { of, .. } => of,
            _ => self,
        };
        // Room for all first: what cannot be held is not drawn.
        let mut all = memory::with_capacity(single.len() as usize)?;
        let mut order = self.begin();
        while let Some(list) = order.next_list()? {
            memory::reserve(&mut all, list.len())?;
            all.extend_from_slice(&list);
        }
        Ok(all)
    }
    /// Begins a pass; nothing is drawn yet.
    pub fn begin(&self) -> Order {
        let batch = match &*self.0 {
            Kind::Batch { size, drop_last, .. } => Some((*size, *drop_last)),
            _ => None,
        };
        let of = match &*self.0 {
            Kind::Batch { of, .. } => of.clone(),
            _ => self.clone(),
        };
        Order { of, batch, chunk: Vec::new(), at: 0, rest: Rest::NotBegun, generator: None, ended: false }
    }
}

/// How many batches of `size` there are of `n` indices.
pub(super) fn batches(n: i64, size: i64, drop_last: bool) -> i64 {
    n / size + (!drop_last && n % size != 0) as i64
}

impl Distributed {
    /// How many indices each process gets.
    fn part(&self) -> Result<i64> {
        let (n, r) = (self.n, self.replicas);
        let part = if self.drop_last { n / r } else { n / r + (n % r != 0) as i64 };
        match part.checked_mul(r) {
            Some(_) => Ok(part),
            None => bail!(Value, "{r} parts of {n} samples are more than 2^63 indices"),
        }
    }
    fn draw(&self) -> Result<Vec<i64>> {
        let part = self.part()?;
        let mut all: Option<Vec<i64>> = None;
        if self.shuffle {
            let g = Generator::new();
            g.manual_seed(self.seed.wrapping_add(self.epoch.load(Ordering::Relaxed)) as u64);
            all = Some(permutation(self.n, &g)?);
        }
        let mut out = memory::with_capacity(part as usize)?;
        for k in 0..part {
            // Beyond the end the indices begin again.
            let at = (self.rank + k * self.replicas) % self.n;
            out.push(all.as_ref().map_or(at, |l| l[at as usize]));
        }
        Ok(out)
    }
}

fn permutation(n: i64, g: &Generator) -> Result<Vec<i64>> {
    ops::randperm(n, Some(g), Some(DType::I64), Some(Device::CPU))?.to_i64_vec()
}

/// What a pass will still draw.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rest {
    NotBegun,
    Nothing,
    Range {
        next: i64,
        end: i64,
    },
    /// `full` permutations of n, then (once) the first `part` of one.
    Permutations {
        n: i64,
        full: i64,
        part: Option<i64>,
    },
    /// `full` times 32 numbers below n, then (once) `part` of them.
    Numbers {
        n: i64,
        full: i64,
        part: Option<i64>,
    },
}

/// A pass through a sampler.
pub struct Order {
    of: Sampler,
    /// Of a sampler of batches: their size, and whether a short one is dropped.
    pub(super) batch: Option<(i64, bool)>,
    /// What was drawn, and how much of it was given.
    pub(super) chunk: Vec<i64>,
    pub(super) at: usize,
    pub(super) rest: Rest,
    /// The sampler's, or the pass's own.
    pub(super) generator: Option<Generator>,
    pub(super) ended: bool,
}

/// How many numbers PyTorch draws at once.
const DRAW: i64 = 32;
/// How many indices in order are written down at once.
const STRETCH: i64 = 1024;

impl Order {
    /// The next index; None at the end.
    pub fn next_index(&mut self) -> Result<Option<i64>> {
        loop {
            if let Some(i) = self.chunk.get(self.at) {
                self.at += 1;
                return Ok(Some(*i));
            }
            if !self.refill()? {
                return Ok(None);
            }
        }
    }
    /// The next list of indices: a batch of a sampler of batches, else one alone.
    pub fn next_list(&mut self) -> Result<Option<Vec<i64>>> {
        let (size, drop_last) = self.batch.unwrap_or((1, false));
        self.take(size, drop_last)
    }
    /// The next `size` indices, fewer at the end unless they are dropped.
    pub fn take(&mut self, size: i64, drop_last: bool) -> Result<Option<Vec<i64>>> {
        let mut list = Vec::new();
        while !self.ended && (list.len() as i64) < size {
            match self.next_index()? {
                Some(i) => memory::push(&mut list, i)?,
                None => self.ended = true,
            }
        }
        let all = list.len() as i64 == size;
        Ok((all || !list.is_empty() && !drop_last).then_some(list))
    }
    /// The generator that the program gave the sampler.
    pub(super) fn given_generator(&self) -> Option<&Generator> {
        match &*self.of.0 {
            Kind::Random { generator, .. } => generator.as_ref(),
            _ => None,
        }
    }
    fn own_generator(given: &Option<Generator>) -> Result<Generator> {
        if let Some(g) = given {
            return Ok(g.clone());
        }
        let g = Generator::new();
        g.manual_seed(draw_seed(None)?);
        Ok(g)
    }
    fn begin(&mut self) -> Result<()> {
        self.rest = Rest::Nothing;
        match &*self.of.0 {
            Kind::Sequential { n } => self.rest = Rest::Range { next: 0, end: *n },
            Kind::Random { n, replacement, num_samples: k, generator } => {
                self.generator = Some(Order::own_generator(generator)?);
                let n = *n;
                self.rest = if *replacement {
                    Rest::Numbers { n, full: k / DRAW, part: Some(k % DRAW) }
                } else {
                    Rest::Permutations { n, full: k / n, part: Some(k % n) }
                };
            }
            Kind::Fixed { indices } => self.chunk = memory::copied(indices)?,
            Kind::SubsetRandom { indices, generator } => {
                let g = generator.as_ref().unwrap_or_else(|| crate::rng::default_generator());
                let order = permutation(indices.len() as i64, g)?;
                self.chunk = memory::collect(order.into_iter().map(|i| indices[i as usize]))?;
            }
            Kind::Weighted { weights, num_samples, replacement, generator } => {
                self.chunk = ops::multinomial(weights, *num_samples, *replacement, generator.as_ref())?.to_i64_vec()?;
            }
            Kind::Distributed(d) => self.chunk = d.draw()?,
            Kind::Batch { .. } => bail!(Internal, "a sampler of batches within another"),
        }
        Ok(())
    }
    /// Draws more; false at the end.
    fn refill(&mut self) -> Result<bool> {
        (self.chunk, self.at) = (Vec::new(), 0);
        let g = self.generator.clone();
        let drawn = |n: i64, how_many: i64| -> Result<Vec<i64>> {
            ops::randint_low(0, n, &[how_many], g.as_ref(), Some(DType::I64), Some(Device::CPU))?.to_i64_vec()
        };
        match &mut self.rest {
            Rest::NotBegun => self.begin()?,
            Rest::Nothing => return Ok(false),
            Rest::Range { next, end } => {
                let to = next.saturating_add(STRETCH).min(*end);
                self.chunk = memory::collect(*next..to)?;
                *next = to;
                return Ok(!self.chunk.is_empty());
            }
            Rest::Permutations { n, full, part } => {
                let Some(g) = &g else { bail!(Internal, "a pass without a generator") };
                if *full > 0 {
                    *full -= 1;
                    self.chunk = permutation(*n, g)?;
                } else {
                    let Some(k) = part.take() else { return Ok(false) };
                    self.chunk = permutation(*n, g)?;
                    self.chunk.truncate(k as usize);
                }
            }
            Rest::Numbers { n, full, part } => {
                if *full > 0 {
                    *full -= 1;
                    self.chunk = drawn(*n, DRAW)?;
                } else {
                    let Some(k) = part.take() else { return Ok(false) };
                    self.chunk = drawn(*n, k)?;
                }
            }
        }
        Ok(true)
    }
}
