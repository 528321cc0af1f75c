//! The loader: which samples in which order, how many make a batch, how many threads make batches ahead.

use super::dataset::Dataset;
pub use super::pass::{Batches, Collate};
use super::pass::{Plan, Reader};
use super::sampler::{batches, draw_seed, Sampler};
use super::state;
use crate::base::error::Result;
use crate::nn::StateDict;
use crate::rng::Generator;
use crate::{bail, ensure};
use std::sync::Arc;

/// How a loader makes batches.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// 0: no batches, the samples as they are.
    pub batch_size: i64,
    pub shuffle: bool,
    pub drop_last: bool,
    /// Threads that make batches ahead; 0: the calling thread makes them.
    pub num_workers: i64,
    /// Batches made ahead for each thread; 0: 2.
    pub prefetch_factor: i64,
}
impl Default for Options {
    fn default() -> Options {
        Options { batch_size: 1, shuffle: false, drop_last: false, num_workers: 0, prefetch_factor: 0 }
    }
}

/// More threads, or batches ahead for each, are taken for a mistake.
const MOST: i64 = 1024;

/// A loader. A clone is another handle on the same one; any thread may use it.
#[derive(Clone)]
pub struct Loader(Arc<Inner>);
struct Inner {
    plan: Arc<Plan>,
    sampler: Option<Sampler>,
    shuffle: bool,
    generator: Option<Generator>,
}

impl Loader {
    /// A loader of a data set. `sampler` (of indices or of batches) takes the place of `shuffle`; `generator` is what the
    /// shuffle and each pass's seed are drawn from, without one the default generator.
    pub fn new(
        dataset: &Dataset,
        sampler: Option<&Sampler>,
        generator: Option<&Generator>,
        options: Options,
        collate: Option<Collate>,
    ) -> Result<Loader> {
        let Options { batch_size, shuffle, drop_last, num_workers, prefetch_factor } = options;
        ensure!(
            (0..=MOST).contains(&num_workers),
            Value,
            "num_workers option should be non-negative and at most {MOST}, got {num_workers}; 0: the calling thread makes the \
             batches"
        );
        ensure!(
            (0..=MOST).contains(&prefetch_factor),
            Value,
            "prefetch_factor option should be non-negative and at most {MOST}, got {prefetch_factor}; 0: 2 batches"
        );
        ensure!(
            num_workers > 0 || prefetch_factor == 0,
            Value,
            "prefetch_factor option could only be specified with worker threads: let num_workers > 0, or prefetch_factor = 0"
        );
        ensure!(
            batch_size >= 0,
            Value,
            "batch_size should be a positive integer value, but got batch_size={batch_size} (0: samples as they are)"
        );
        ensure!(
            batch_size > 0 || !drop_last,
            Value,
            "batch_size=0 disables batches and is mutually exclusive with drop_last"
        );
        ensure!(sampler.is_none() || !shuffle, Value, "sampler option is mutually exclusive with shuffle");
        let mut size = (batch_size > 0).then_some(batch_size);
        let mut drop_short = drop_last;
        match dataset {
            Dataset::Stream(_) => {
                let what = "a loader of a stream takes its samples as they come: expected no";
                ensure!(!shuffle, Value, "{what} shuffle option, but got shuffle=true");
                ensure!(sampler.is_none(), Value, "{what} sampler option, but got one");
            }
            // PyTorch's refuses these, with its sampler's error.
            Dataset::Indexed(_) if shuffle => drop(Sampler::random(dataset.len()?, false, None, None)?),
            Dataset::Indexed(_) => {}
        }
        if let Some((batch, drops)) = sampler.and_then(|s| s.begin().batch) {
            ensure!(
                batch_size == 1 && !drop_last,
                Value,
                "a sampler of batches is mutually exclusive with batch_size, shuffle and drop_last"
            );
            (size, drop_short) = (Some(batch), drops);
        }
        let prefetch = if prefetch_factor == 0 { 2 } else { prefetch_factor };
        let plan = Plan {
            dataset: dataset.clone(),
            collate,
            size,
            drop_last: drop_short,
            workers: num_workers as usize,
            prefetch: prefetch as usize,
        };
        let generator = generator.cloned();
        Ok(Loader(Arc::new(Inner { plan: Arc::new(plan), sampler: sampler.cloned(), shuffle, generator })))
    }
    /// The sampler of a pass; none of a stream.
    fn sampler(&self) -> Result<Option<Sampler>> {
        if let Some(s) = &self.0.sampler {
            return Ok(Some(s.clone()));
        }
        match &self.0.plan.dataset {
            Dataset::Stream(_) => Ok(None),
            d if self.0.shuffle => Sampler::random(d.len()?, false, None, self.0.generator.as_ref()).map(Some),
            d => Sampler::sequential(d.len()?).map(Some),
        }
    }
    /// How many batches a pass has; a stream does not know.
    pub fn len(&self) -> Result<i64> {
        let Some(s) = self.sampler()? else {
            bail!(Type, "a loader of a stream does not know how many batches there are")
        };
        Ok(match self.0.plan.size {
            Some(size) if !s.is_batched() => batches(s.len(), size, self.0.plan.drop_last),
            _ => s.len(),
        })
    }
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Begins a pass: draws its seed, and with threads sends the first batches on their way.
    pub fn begin(&self) -> Result<Batches> {
        let seed = draw_seed(self.0.generator.as_ref())?;
        let order = self.sampler()?.map(|s| s.begin());
        Batches::start(&self.0.plan, Reader::new(order, Vec::new(), 0), seed)
    }
    /// Goes on where [`Batches::state_dict`] was asked, with the batch that would have come next.
    pub fn resume(&self, from: &StateDict) -> Result<Batches> {
        let (reader, seed) = state::read(self.sampler()?.map(|s| s.begin()), from)?;
        Batches::start(&self.0.plan, reader, seed)
    }
}
