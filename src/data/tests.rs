//! Orders are PyTorch's (recorded by tests/fixtures/make_samplers.py); batches are the same however many threads there are;
//! what fails names its sample and hangs nothing.

use super::dataset::{Dataset, Indexed, Sample, Samples, Stream};
use super::loader::{Batches, Loader, Options};
use super::sampler::{draw_seed, Sampler};
use crate::base::error::{Error, Result};
use crate::rng::Generator;
use crate::{bail, ops, DType, ErrorKind, Tensor};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

fn arange(n: i64) -> Tensor {
    Tensor::from_slice(&(0..n).collect::<Vec<_>>(), &[n]).unwrap()
}
fn rows(n: i64) -> Dataset {
    Dataset::of_tensors(&[arange(n)]).unwrap()
}
fn with(batch_size: i64, num_workers: i64) -> Options {
    Options { batch_size, num_workers, ..Options::default() }
}
fn read(b: &Batches) -> Vec<i64> {
    let mut out = Vec::new();
    while let Some(batch) = b.next().unwrap() {
        out.extend(batch[0].to_i64_vec().unwrap());
        out.push(-1);
    }
    assert!(b.next().unwrap().is_none(), "a pass stays at its end");
    out
}
fn drawn(s: &Sampler) -> Vec<i64> {
    s.draw().unwrap()
}

fn split(n: i64, lengths: &[f64], g: Option<&Generator>) -> Vec<i64> {
    let parts = rows(n).random_split(lengths, g).unwrap();
    parts.iter().flat_map(|p| [p.to_i64_vec().unwrap(), vec![-1]].concat()).collect()
}

#[test]
fn data_sets_side_by_side_and_streams_in_a_chain() {
    let (a, b) = (rows(5), Dataset::of_tensors(&[arange(5), arange(5)]).unwrap());
    let both = Dataset::stacked(&[a.clone(), b.subset(&[4, 3, 2, 1, 0]).unwrap()]).unwrap();
    assert_eq!(both.len().unwrap(), 5);
    let sample: Vec<i64> = both.get(-2, 0).unwrap().iter().map(|t| t.item().unwrap().to_i64()).collect();
    assert_eq!(sample, [3, 1, 1]);
    let pass = Loader::new(&both, None, None, with(3, 2), None).unwrap().begin().unwrap();
    let first = pass.next().unwrap().unwrap();
    assert_eq!(first.iter().map(|t| t.to_i64_vec().unwrap()).collect::<Vec<_>>(), [[0, 1, 2], [4, 3, 2], [4, 3, 2]]);
    assert!(Dataset::stacked(&[a.clone(), rows(4)])
        .is_err_and(|e| e.to_string().contains("Size mismatch between datasets")));
    assert!(Dataset::stacked(&[]).is_err());
    let chain = Dataset::chain(&[counting(3), counting(0), counting(2)]).unwrap();
    for workers in [0, 2] {
        let loader = Loader::new(&chain, None, None, with(2, workers), None).unwrap();
        assert_eq!(read(&loader.begin().unwrap()), [0, 1, -1, 2, 0, -1, 1, -1]);
    }
    assert!(Dataset::chain(&[a]).is_err_and(|e| e.to_string().contains("only supports streams")));
    let mut deep = counting(1);
    for _ in 0..64 {
        deep = Dataset::chain(&[deep]).unwrap();
    }
    assert!(Dataset::chain(&[deep]).is_err_and(|e| e.to_string().contains("nested")));
    for (lengths, text) in [
        (&[3.0, 1.0][..], "lengths sum up to 4"),
        (&[-1.0, 6.0], "length 0 of a part is -1"),
        (&[f64::NAN], "length 0"),
        (&[2.5, 2.5], "fractions must sum up to 1"),
        (&[], "Sum of input lengths"),
    ] {
        let e = rows(5).random_split(lengths, None).unwrap_err().to_string();
        assert!(e.contains(text), "{e}");
    }
}

fn counting(n: i64) -> Dataset {
    Dataset::Stream(Arc::new(Numbers { n, bad: -1 }))
}

const WEIGHTS: [f64; 6] = [0.1, 0.9, 0.4, 0.7, 3.0, 0.6];

/// The case of a name, with as many threads.
fn case(name: &str, g: Option<&Generator>, workers: i64) -> Vec<i64> {
    let random = |n, replacement, count| drawn(&Sampler::random(n, replacement, count, g).unwrap());
    let batched = |drop| drawn(&Sampler::batch(&Sampler::random(10, false, None, g).unwrap(), 3, drop).unwrap());
    let loaded = |n, shuffle, drop_last| {
        let options = Options { shuffle, drop_last, ..with(4, workers) };
        read(&Loader::new(&rows(n), None, g, options, None).unwrap().begin().unwrap())
    };
    let spread = |n, replicas, rank, shuffle, seed, drop_last, epoch| {
        let s = Sampler::distributed(n, replicas, rank, shuffle, seed, drop_last).unwrap();
        s.set_epoch(epoch);
        assert_eq!(s.len() as usize, drawn(&s).len());
        drawn(&s)
    };
    match name {
        "random" => random(10, false, None),
        "random.few" => random(10, false, Some(4)),
        "random.many" => random(5, false, Some(13)),
        "replacement" => random(10, true, None),
        "replacement.many" => random(7, true, Some(70)),
        "subset" => drawn(&Sampler::subset_random(&[3, 1, 4, 15, 9, 2, 6], g).unwrap()),
        "weighted" => drawn(&Sampler::weighted(&WEIGHTS, 9, true, g).unwrap()),
        "weighted.once" => drawn(&Sampler::weighted(&WEIGHTS, 5, false, g).unwrap()),
        "batches" => batched(false),
        "batches.full" => batched(true),
        "loader" => loaded(10, true, false),
        "loader.full" => loaded(10, true, true),
        "loader.even" => loaded(8, true, false),
        "loader.in_order" => read(&Loader::new(&rows(5), None, g, with(2, workers), None).unwrap().begin().unwrap()),
        "loader.twice" => [loaded(6, true, false), loaded(6, true, false)].concat(),
        "distributed" => spread(10, 3, 1, true, 0, false, 0),
        "distributed.epoch" => spread(10, 3, 2, true, 3, false, 5),
        "distributed.drop" => spread(10, 3, 0, true, 0, true, 0),
        "distributed.few" => spread(2, 5, 4, false, 0, false, 0),
        "distributed.few.drop" => spread(7, 3, 2, false, 0, true, 0),
        "split" => split(10, &[7.0, 3.0], g),
        "split.fractions" => split(11, &[0.5, 0.25, 0.25], g),
        other => panic!("no case {other}"),
    }
}

#[test]
fn orders_and_generators_are_pytorchs() {
    for line in include_str!("../../tests/fixtures/samplers.txt").lines() {
        let (name, rest) = line.split_once(": ").unwrap();
        let (order, left) = rest.split_once(" | ").unwrap();
        let order: Vec<i64> = order.split_whitespace().map(|v| v.parse().unwrap()).collect();
        let (name, kind) = name.split_once(' ').unwrap();
        for workers in [0, 1, 3] {
            crate::rng::manual_seed(7);
            let own = Generator::new();
            own.manual_seed(11);
            let g = (kind == "own").then_some(&own);
            assert_eq!(case(name, g, workers), order, "{name} {kind} with {workers} threads");
            assert_eq!(draw_seed(g).unwrap(), left.parse::<u64>().unwrap(), "{name} {kind}: what is drawn next");
        }
    }
}

/// Samples of two tensors, slow in turn; sample `bad` fails, `panics` panics.
struct Slow {
    n: i64,
    bad: i64,
    panics: i64,
    asked: Arc<AtomicUsize>,
}
impl Indexed for Slow {
    fn len(&self) -> Result<i64> {
        Ok(self.n)
    }
    fn get(&self, index: i64, seed: u64) -> Result<Sample> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis((index % 3) as u64));
        if index == self.bad {
            bail!(Value, "the picture is torn");
        }
        assert!(index != self.panics, "a panic of sample {index}");
        Ok(vec![Tensor::from_slice(&[index], &[1])?, Tensor::from_slice(&[seed as i64], &[])?])
    }
}
fn slow(n: i64, bad: i64, panics: i64) -> (Dataset, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    (Dataset::Indexed(Arc::new(Slow { n, bad, panics, asked: asked.clone() })), asked)
}

#[test]
fn batches_and_seeds_do_not_depend_on_threads() {
    let (d, _) = slow(23, -1, -1);
    let mut first: Option<Vec<Vec<i64>>> = None;
    for workers in [0, 1, 2, 5] {
        crate::rng::manual_seed(3);
        let options = Options { shuffle: true, ..with(4, workers) };
        let loader = Loader::new(&d, None, None, options, None).unwrap();
        assert_eq!(loader.len().unwrap(), 6);
        let pass = loader.begin().unwrap();
        let mut all = Vec::new();
        while let Some(batch) = pass.next().unwrap() {
            assert_eq!(batch[0].shape()[1..], [1]);
            all.push(batch[0].to_i64_vec().unwrap());
            all.push(batch[1].to_i64_vec().unwrap());
        }
        assert_eq!(all.len(), 12);
        assert_eq!(first.get_or_insert_with(|| all.clone()), &all, "{workers} threads");
    }
}

fn failure(e: Error) -> (ErrorKind, String) {
    (e.kind, e.message.clone())
}

#[test]
fn errors_and_panics_name_the_sample_and_the_pass_goes_on() {
    for workers in [0, 1, 3] {
        let (d, _) = slow(10, 5, 7);
        let pass = Loader::new(&d, None, None, with(2, workers), None).unwrap().begin().unwrap();
        let mut said = Vec::new();
        for _ in 0..5 {
            match pass.next() {
                Ok(batch) => said.push(batch.unwrap()[0].to_i64_vec().unwrap()[0].to_string()),
                Err(e) => said.push(failure(e).1),
            }
        }
        assert!(pass.next().unwrap().is_none());
        assert_eq!(said[0], "0");
        assert_eq!(said[1], "2");
        assert_eq!(said[2], "sample 5 of the data set: the picture is torn");
        assert!(said[3].starts_with("sample 7 of the data set: panic: a panic of sample 7"), "{}", said[3]);
        assert_eq!(said[4], "8");
    }
    let pass = |d: &Dataset, s: &Sampler, workers| {
        Loader::new(d, Some(s), None, with(2, workers), None).unwrap().begin().unwrap()
    };
    for workers in [0, 2] {
        // A sampler's index is nobody's row; weights that cannot be drawn from.
        let e = pass(&rows(3), &Sampler::fixed(&[0, 3]).unwrap(), workers).next().unwrap_err();
        assert_eq!(failure(e), (ErrorKind::Index, "index 3 is out of range for a data set of 3 samples".into()));
        let b = pass(&rows(3), &Sampler::weighted(&[0.0, 0.0], 2, true, None).unwrap(), workers);
        assert!(b.next().unwrap_err().message.contains("invalid multinomial distribution"));
        assert!(b.next().unwrap().is_none());
    }
}

#[test]
fn ending_early_frees_all_and_waits_for_nobody() {
    for workers in [0, 1, 4] {
        let (d, asked) = slow(1000, -1, -1);
        let Dataset::Indexed(inner) = &d else { panic!() };
        let inner = Arc::downgrade(inner);
        let loader = Loader::new(&d, None, None, with(3, workers), None).unwrap();
        let pass = loader.begin().unwrap();
        pass.next().unwrap().unwrap();
        drop((d, loader));
        pass.next().unwrap().unwrap();
        drop(pass);
        assert_eq!(inner.strong_count(), 0, "the data set is freed with the pass");
        assert!(asked.load(Ordering::Relaxed) < 100, "no more is made than was to be ahead");
    }
}

struct Numbers {
    n: i64,
    bad: i64,
}
struct Count {
    next: i64,
    n: i64,
    bad: i64,
}
impl Stream for Numbers {
    fn begin(&self) -> Result<Box<dyn Samples>> {
        Ok(Box::new(Count { next: 0, n: self.n, bad: self.bad }))
    }
}
impl Samples for Count {
    fn next(&mut self, _seed: u64) -> Result<Option<Sample>> {
        if self.next == self.bad {
            bail!(Io, "the line broke off");
        }
        if self.next == self.n {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(vec![Tensor::from_slice(&[self.next - 1], &[])?]))
    }
}

#[test]
fn streams_give_the_same_batches_whatever_threads() {
    for workers in [0, 1, 4] {
        let d = Dataset::Stream(Arc::new(Numbers { n: 7, bad: -1 }));
        let loader = Loader::new(&d, None, None, with(3, workers), None).unwrap();
        for _ in 0..2 {
            assert_eq!(read(&loader.begin().unwrap()), [0, 1, 2, -1, 3, 4, 5, -1, 6, -1]);
        }
        assert!(loader.len().is_err());
        let options = Options { drop_last: true, ..with(3, workers) };
        let full = Loader::new(&d, None, None, options, None).unwrap();
        assert_eq!(read(&full.begin().unwrap()), [0, 1, 2, -1, 3, 4, 5, -1]);

        let d = Dataset::Stream(Arc::new(Numbers { n: 7, bad: 4 }));
        let pass = Loader::new(&d, None, None, with(3, workers), None).unwrap().begin().unwrap();
        pass.next().unwrap().unwrap();
        let e = pass.next().unwrap_err();
        assert_eq!(failure(e), (ErrorKind::Io, "sample 4 of the data set: the line broke off".into()));
        assert!(pass.next().unwrap().is_none(), "a stream ends with its error");
    }
}

#[test]
fn a_pass_is_taken_up_where_it_was() {
    let samplers: [fn() -> Option<Sampler>; 5] = [
        || None,
        || Some(Sampler::random(20, false, Some(33), None).unwrap()),
        || Some(Sampler::random(20, true, Some(77), None).unwrap()),
        || Some(Sampler::weighted(&WEIGHTS, 30, true, None).unwrap()),
        || Some(Sampler::batch(&Sampler::random(20, false, None, None).unwrap(), 3, true).unwrap()),
    ];
    for make in samplers {
        for (workers, later) in [(0, 0), (3, 0), (0, 3), (2, 2)] {
            for read_before in [0, 2, 5] {
                crate::rng::manual_seed(5);
                let (d, _) = slow(20, -1, -1);
                let loader = |workers| {
                    let s = make();
                    let size = if s.as_ref().is_some_and(Sampler::is_batched) { 1 } else { 4 };
                    Loader::new(&d, s.as_ref(), None, with(size, workers), None).unwrap()
                };
                let all = |b: &Batches| {
                    let mut out = Vec::new();
                    while let Some(batch) = b.next().unwrap() {
                        out.push((batch[0].to_i64_vec().unwrap(), batch[1].to_i64_vec().unwrap()));
                    }
                    out
                };
                let pass = loader(workers).begin().unwrap();
                for _ in 0..read_before {
                    pass.next().unwrap().unwrap();
                }
                if read_before == 0 && workers == 0 {
                    // Nothing is drawn yet: the sampler's seed is still to come from the default generator.
                    continue;
                }
                let state = pass.state_dict().unwrap();
                let wanted = all(&pass);
                crate::rng::manual_seed(99);
                assert_eq!(all(&loader(later).resume(&state).unwrap()), wanted);
            }
        }
    }
    let d = Dataset::Stream(Arc::new(Numbers { n: 9, bad: -1 }));
    let loader = Loader::new(&d, None, None, with(2, 2), None).unwrap();
    let pass = loader.begin().unwrap();
    pass.next().unwrap();
    let state = pass.state_dict().unwrap();
    assert_eq!(read(&loader.resume(&state).unwrap()), read(&pass));
}

#[test]
fn states_that_are_none_are_refused() {
    let loader = Loader::new(&rows(9), None, None, Options { shuffle: true, ..with(2, 0) }, None).unwrap();
    let pass = loader.begin().unwrap();
    pass.next().unwrap();
    let good = pass.state_dict().unwrap();
    for key in ["base_seed", "consumed", "pending", "pending_sizes", "order.indices", "order.rest", "order.generator"] {
        let mut less = good.clone();
        assert!(less.shift_remove(key).is_some(), "{key}");
        let e = loader.resume(&less).err().unwrap();
        assert_eq!(failure(e), (ErrorKind::Key, format!("the state of a pass lacks \"{key}\"")));
        let mut wrong = good.clone();
        wrong.insert(key.into(), ops::zeros(&[3], Some(DType::F32), None).unwrap());
        assert_eq!(failure(loader.resume(&wrong).err().unwrap()).0, ErrorKind::Value, "{key}");
    }
    for rest in
        [[9i64, 0, 0, 0, 0], [2, 5, 3, 0, 0], [3, 0, 1, 0, 0], [3, 5, -1, 0, 0], [3, 5, 1, 6, 0], [4, 5, 1, 1 << 40, 0]]
    {
        let mut wrong = good.clone();
        wrong.insert("order.rest".into(), Tensor::from_slice(&rest, &[5]).unwrap());
        assert!(loader.resume(&wrong).is_err(), "{rest:?}");
    }
    let mut wrong = good.clone();
    wrong.insert("pending_sizes".into(), Tensor::from_slice(&[i64::MAX], &[1]).unwrap());
    assert!(loader.resume(&wrong).is_err());
}

#[test]
fn data_sets_in_data_sets() {
    let both = Dataset::of_tensors(&[arange(5), ops::mul_scalar(&arange(5), crate::Scalar::Int(10)).unwrap()]).unwrap();
    let get = |d: &Dataset, i| d.get(i, 0).unwrap().iter().map(|t| t.to_i64_vec().unwrap()[0]).collect::<Vec<_>>();
    assert_eq!((both.len().unwrap(), get(&both, 3), get(&both, -1)), (5, vec![3, 30], vec![4, 40]));
    let sub = both.subset(&[4, -4, 1]).unwrap();
    assert_eq!(
        (sub.len().unwrap(), get(&sub, 0), get(&sub, 1), get(&sub, -1)),
        (3, vec![4, 40], vec![1, 10], vec![1, 10])
    );
    let joined = Dataset::concat(&[sub.clone(), both.clone(), rows(2)]).unwrap();
    assert_eq!((joined.len().unwrap(), get(&joined, 3), get(&joined, 9)), (10, vec![0, 0], vec![1]));
    for bad in [10, -11, i64::MIN, i64::MAX] {
        assert_eq!(joined.get(bad, 0).unwrap_err().kind, ErrorKind::Index);
    }
    let loader = Loader::new(&sub, None, None, with(2, 0), None).unwrap();
    assert_eq!(read(&loader.begin().unwrap()), [4, 1, -1, 1, -1]);
    assert!(both.subset(&[5]).is_err() && both.subset(&[-6]).is_err() && Dataset::concat(&[]).is_err());
    assert!(Dataset::of_tensors(&[arange(3), arange(4)]).is_err() && Dataset::of_tensors(&[]).is_err());
    assert!(Dataset::of_tensors(&[ops::zeros(&[], None, None).unwrap()]).is_err());
    // Samples of different numbers of tensors do not stack.
    let e = Loader::new(&joined, None, None, with(10, 0), None).unwrap().begin().unwrap().next().unwrap_err();
    assert!(e.message.starts_with("each element in list of batch should be of equal size"), "{e}");
    let mut deep = rows(2);
    for _ in 0..64 {
        deep = Dataset::concat(&[deep]).unwrap();
    }
    assert!(Dataset::concat(&[deep.clone()]).is_err() && deep.subset(&[0]).is_err());
    assert_eq!(get(&deep, 1), [1]);
}

#[test]
fn gradients_pass_through_a_batch() {
    let t = ops::ones(&[4], Some(DType::F64), None).unwrap();
    crate::autograd::set_requires_grad(&t, true).unwrap();
    let d = Dataset::of_tensors(&[t.clone()]).unwrap();
    for workers in [0, 1] {
        let pass = Loader::new(&d, None, None, with(4, workers), None).unwrap().begin().unwrap();
        let batch = pass.next().unwrap().unwrap();
        assert!(crate::autograd::requires_grad(&batch[0]));
        let pass =
            crate::autograd::no_grad(|| Loader::new(&d, None, None, with(4, workers), None).unwrap().begin().unwrap());
        let batch = crate::autograd::no_grad(|| pass.next().unwrap().unwrap());
        assert!(!crate::autograd::requires_grad(&batch[0]));
    }
}

#[test]
fn what_a_loader_refuses() {
    let d = rows(4);
    let stream = Dataset::Stream(Arc::new(Numbers { n: 7, bad: -1 }));
    let s = Sampler::sequential(4).unwrap();
    let batched = Sampler::batch(&s, 2, false).unwrap();
    let o = Options::default();
    let refused = |d: &Dataset, s: Option<&Sampler>, o: Options, text: &str| {
        let e = Loader::new(d, s, None, o, None).err().unwrap();
        assert!(e.message.contains(text) && e.kind == ErrorKind::Value, "{e}");
    };
    refused(&d, Some(&s), Options { shuffle: true, ..o }, "sampler option is mutually exclusive with shuffle");
    refused(&d, Some(&batched), Options { batch_size: 2, ..o }, "mutually exclusive with batch_size");
    refused(&d, None, Options { batch_size: -1, ..o }, "batch_size should be a positive integer value");
    refused(&d, None, Options { batch_size: 0, drop_last: true, ..o }, "batch_size=0 disables batches");
    refused(&d, None, Options { num_workers: -1, ..o }, "num_workers option should be non-negative");
    refused(&d, None, Options { num_workers: 1 << 40, ..o }, "num_workers option should be non-negative");
    refused(&d, None, Options { prefetch_factor: 2, ..o }, "prefetch_factor option could only be specified");
    refused(&rows(0), None, Options { shuffle: true, ..o }, "num_samples should be a positive integer value");
    refused(&stream, None, Options { shuffle: true, ..o }, "expected no shuffle option");
    refused(&stream, Some(&s), o, "expected no sampler option");
    assert!(Sampler::batch(&batched, 2, false).is_err() && Sampler::batch(&s, 0, false).is_err());
    assert!(Sampler::random(0, false, None, None).is_err() && Sampler::random(4, false, Some(0), None).is_err());
    assert!(Sampler::distributed(4, 0, 0, false, 0, false).is_err());
    assert!(Sampler::distributed(4, 2, 2, false, 0, false).is_err());
    assert!(Sampler::weighted(&WEIGHTS, 0, true, None).is_err());
    let single = Loader::new(&d, None, None, Options { batch_size: 0, ..o }, None).unwrap();
    let pass = single.begin().unwrap();
    assert_eq!(pass.next().unwrap().unwrap()[0].ndim(), 0, "without batches a sample is as it is");
    assert_eq!(single.len().unwrap(), 4);
}
