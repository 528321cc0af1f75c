//! A pass of a loader: batches in order, made in the calling thread or ahead of it on threads of their own.
//!
//! The calling thread draws the indices and numbers the batches; a thread makes any of them, and what it made waits in the
//! place of its number. A stream's samples are taken by one thread at a time, in the batches' order. So the batches do not depend
//! on how many threads there are.

use super::dataset::{place, stack, Dataset, Sample, Samples};
use super::sampler::Order;
use crate::backend::memory;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::sync::{age, Mutex};
use crate::watch::{self, cancel, CANCEL, GRAD, INFERENCE, INTERRUPT};
use crate::{bail, Tensor};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex as Blocking, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Makes a batch of samples.
pub type Collate = Arc<dyn Fn(Vec<Sample>) -> Result<Vec<Tensor>> + Send + Sync>;

/// How batches are made.
pub(super) struct Plan {
    pub dataset: Dataset,
    /// Without one the tensors are stacked.
    pub collate: Option<Collate>,
    /// None: samples as they are, one by one.
    pub size: Option<i64>,
    pub drop_last: bool,
    pub workers: usize,
    /// How many batches are made ahead for each thread.
    pub prefetch: usize,
}

/// A batch to be made.
struct Job {
    number: u64,
    /// The place of its first sample in the pass.
    first: u64,
    indices: Vec<i64>,
}
/// A batch and how many samples are in it; None: the stream has ended.
type Outcome = Result<Option<(Vec<Tensor>, u64)>>;

/// Batches on their way, each at its number modulo the room there is.
struct Queue {
    jobs: Vec<Option<Job>>,
    /// The number of the next job that a thread takes.
    taken: u64,
    done: Vec<Option<Outcome>>,
    stop: bool,
}
/// Where a stream is.
struct Flow {
    samples: Option<Box<dyn Samples>>,
    position: u64,
}
struct Shared {
    plan: Arc<Plan>,
    seed: u64,
    flow: Option<Blocking<Flow>>,
    queue: Blocking<Queue>,
    sent: Condvar,
    made: Condvar,
}

/// What the calling thread knows.
pub(super) struct Reader {
    pub order: Option<Order>,
    /// Lists that were drawn before the pass was taken up again, the last one first.
    pub early: Vec<Vec<i64>>,
    /// The indices of batches that were sent and not read.
    pub waiting: Vec<Vec<i64>>,
    /// How many samples were read.
    pub consumed: u64,
    pub next: u64,
    pub sent: u64,
    position: u64,
    /// Nothing more is drawn: the indices have ended, or drawing failed.
    drained: bool,
    failure: Option<Error>,
    over: bool,
}

/// A pass. One call at a time uses it.
pub struct Batches {
    shared: Arc<Shared>,
    reader: Mutex<Reader>,
    threads: Vec<JoinHandle<()>>,
    room: usize,
    /// The number of forks before this process, plus 1, while a call uses it.
    busy: AtomicU32,
    age: u32,
}

thread_local! {
    /// Whether this thread makes batches.
    static WORKER: Cell<bool> = const { Cell::new(false) };
}

/// How often a thread that waits looks whether it should go on waiting.
const LOOK: Duration = Duration::from_millis(30);

fn lock<T>(m: &Blocking<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the program's code answers; its panic is an error.
fn guarded<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Err(Error::new(ErrorKind::Internal, format!("panic: {text}")))
    })
}
/// The error of a sample.
fn of_sample(mut e: Error, index: i64) -> Error {
    e.message = format!("sample {index} of the data set: {}", e.message);
    // The caller's call has no argument at fault.
    (e.op, e.arg) = (None, None);
    e
}

impl Shared {
    /// Makes a batch.
    fn make(&self, job: &Job) -> Outcome {
        if let Some(flow) = &self.flow {
            let samples = self.pull(&mut lock(flow))?;
            return self.finish(samples);
        }
        let plan = &self.plan;
        let of = plan.dataset.indexed("a pass")?;
        let count = job.indices.len() as u64;
        if plan.size.is_some() && plan.collate.is_none() {
            if let Some(batch) = guarded(|| of.batch(&job.indices).transpose())? {
                return Ok(Some((batch, count)));
            }
        }
        let mut samples = memory::with_capacity(job.indices.len())?;
        for (k, &i) in job.indices.iter().enumerate() {
            let seed = self.seed.wrapping_add(job.first.wrapping_add(k as u64));
            let sample = guarded(|| of.get(place(i, of.len()?)?, seed));
            samples.push(sample.map_err(|e| of_sample(e, i))?);
        }
        self.finish(samples)
    }
    /// The stream's next samples, as many as a batch has; none at its end.
    fn pull(&self, flow: &mut Flow) -> Result<Vec<Sample>> {
        let wanted = self.plan.size.unwrap_or(1);
        let mut samples = Vec::new();
        while (samples.len() as i64) < wanted {
            let Some(from) = &mut flow.samples else { break };
            let seed = self.seed.wrapping_add(flow.position);
            match guarded(|| from.next(seed)) {
                Ok(Some(s)) => {
                    memory::push(&mut samples, s)?;
                    flow.position += 1;
                }
                Ok(None) => flow.samples = None,
                Err(e) => {
                    flow.samples = None;
                    return Err(of_sample(e, flow.position as i64));
                }
            }
        }
        if self.plan.drop_last && (samples.len() as i64) < wanted {
            samples.clear();
        }
        Ok(samples)
    }
    fn finish(&self, mut samples: Vec<Sample>) -> Outcome {
        let count = samples.len() as u64;
        if count == 0 {
            return Ok(None);
        }
        let batch = match &self.plan.collate {
            Some(f) => guarded(|| f(samples))?,
            None if self.plan.size.is_some() => stack(&samples)?,
            None => samples.swap_remove(0),
        };
        Ok(Some((batch, count)))
    }

    /// The next job; None when there will be none.
    fn take(&self) -> Option<Job> {
        let mut q = lock(&self.queue);
        loop {
            if q.stop {
                return None;
            }
            let at = (q.taken % q.jobs.len() as u64) as usize;
            if let Some(job) = q.jobs[at].take() {
                q.taken += 1;
                return Some(job);
            }
            q = self.sent.wait(q).unwrap_or_else(PoisonError::into_inner);
        }
    }
    fn work(&self) {
        loop {
            let (number, outcome) = match &self.flow {
                None => match self.take() {
                    Some(job) => (job.number, self.make(&job)),
                    None => return,
                },
                Some(flow) => {
                    // Jobs are taken and samples pulled in one order.
                    let mut flow = lock(flow);
                    let Some(job) = self.take() else { return };
                    let samples = self.pull(&mut flow);
                    drop(flow);
                    (job.number, samples.and_then(|s| self.finish(s)))
                }
            };
            let mut q = lock(&self.queue);
            let at = (number % q.done.len() as u64) as usize;
            q.done[at] = Some(outcome);
            self.made.notify_all();
        }
    }
    fn stop(&self) {
        lock(&self.queue).stop = true;
        self.sent.notify_all();
    }
    /// What a thread made of the batch of a number. Fails, and takes nothing, where this thread is told to stop waiting.
    fn wait(&self, number: u64) -> Result<Outcome> {
        loop {
            let mut q = lock(&self.queue);
            let at = (number % q.done.len() as u64) as usize;
            if q.done[at].is_none() {
                q = self.made.wait_timeout(q, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            }
            if let Some(outcome) = q.done[at].take() {
                return Ok(outcome);
            }
            drop(q);
            if watch::word() & CANCEL != 0 {
                cancel::check()?;
            }
            if watch::word() & INTERRUPT != 0 {
                cancel::ask()?;
            }
        }
    }
}

impl Reader {
    pub fn new(order: Option<Order>, early: Vec<Vec<i64>>, consumed: u64) -> Reader {
        Reader {
            order,
            early,
            waiting: Vec::new(),
            consumed,
            next: 0,
            sent: 0,
            position: consumed,
            drained: false,
            failure: None,
            over: false,
        }
    }
    /// The next list of indices (none of a stream); None at the end, which may be an error.
    fn draw(&mut self, plan: &Plan) -> Option<Job> {
        if self.drained {
            return None;
        }
        let drawn = match (self.early.pop(), &mut self.order) {
            (Some(list), _) => Ok(Some(list)),
            (None, None) => Ok(Some(Vec::new())),
            (None, Some(order)) => order.take(plan.size.unwrap_or(1), plan.drop_last),
        };
        let job = drawn.and_then(|list| {
            let Some(list) = list else { return Ok(None) };
            let indices = memory::copied(&list)?;
            let at = (self.sent % self.waiting.len() as u64) as usize;
            self.waiting[at] = list;
            Ok(Some(Job { number: self.sent, first: self.position, indices }))
        });
        match job {
            Ok(Some(job)) => {
                self.sent += 1;
                self.position += job.indices.len() as u64;
                Some(job)
            }
            Ok(None) => {
                self.drained = true;
                None
            }
            Err(e) => {
                (self.drained, self.failure) = (true, Some(e));
                None
            }
        }
    }
    /// How many batches may be on their way.
    fn room(&self) -> u64 {
        self.waiting.len() as u64
    }
}

impl Batches {
    /// Begins: with threads, batches are on their way from here on.
    pub(super) fn start(plan: &Arc<Plan>, mut reader: Reader, seed: u64) -> Result<Batches> {
        let room = (plan.workers * plan.prefetch).max(1);
        reader.waiting = memory::filled(room, Vec::new())?;
        let (mut jobs, mut done) = (memory::with_capacity(room)?, memory::with_capacity(room)?);
        jobs.resize_with(room, || None);
        done.resize_with(room, || None);
        let flow = match &plan.dataset {
            Dataset::Indexed(_) => None,
            Dataset::Stream(s) => {
                let samples = Some(guarded(|| s.begin())?);
                Some(Blocking::new(Flow { samples, position: 0 }))
            }
        };
        let shared = Arc::new(Shared {
            plan: plan.clone(),
            seed,
            flow,
            queue: Blocking::new(Queue { jobs, taken: 0, done, stop: false }),
            sent: Condvar::new(),
            made: Condvar::new(),
        });
        if let Some(flow) = &shared.flow {
            skip(&mut lock(flow), reader.consumed, seed)?;
        }
        let mut b = Batches {
            shared,
            reader: Mutex::new(reader),
            threads: memory::with_capacity(plan.workers)?,
            room,
            busy: AtomicU32::new(0),
            age: age(),
        };
        let word = watch::word();
        for i in 0..plan.workers {
            let shared = b.shared.clone();
            let thread = std::thread::Builder::new().name(format!("taper-data-{i}")).spawn(move || {
                WORKER.set(true);
                watch::set(GRAD, word & GRAD != 0);
                watch::set(INFERENCE, word & INFERENCE != 0);
                shared.work();
            });
            match thread {
                Ok(t) => b.threads.push(t),
                // Those that run already end when `b` is dropped.
                Err(e) => bail!(Runtime, "the loader's thread {} of {} cannot be started: {e}", i + 1, plan.workers),
            }
        }
        b.send(&mut b.reader.lock());
        Ok(b)
    }
    /// Sends as much as there is room for.
    fn send(&self, r: &mut Reader) {
        if self.threads.is_empty() {
            return;
        }
        while r.sent - r.next < r.room() {
            let Some(job) = r.draw(&self.shared.plan) else { break };
            let mut q = lock(&self.shared.queue);
            let at = (job.number % self.room as u64) as usize;
            q.jobs[at] = Some(job);
            self.shared.sent.notify_one();
        }
    }
    /// The next batch; None at the end. After an error, such as a sample's, the pass goes on with the batch behind it; a
    /// stream ends.
    #[allow(clippy::should_implement_trait)] // by reference, and it can fail
    pub fn next(&self) -> Result<Option<Vec<Tensor>>> {
        let _turn = self.enter()?;
        let mut r = self.reader.lock();
        if r.over {
            return Ok(None);
        }
        let outcome = if self.threads.is_empty() {
            r.draw(&self.shared.plan).map(|job| self.shared.make(&job))
        } else if r.next < r.sent {
            Some(self.shared.wait(r.next)?)
        } else {
            None
        };
        let Some(outcome) = outcome else { return self.end(&mut r) };
        let at = (r.next % r.room()) as usize;
        let sent = std::mem::take(&mut r.waiting[at]).len() as u64;
        r.next += 1;
        match outcome {
            Ok(Some((batch, count))) => {
                r.consumed += count;
                self.send(&mut r);
                Ok(Some(batch))
            }
            Ok(None) => self.end(&mut r),
            Err(e) => {
                r.consumed += sent;
                self.send(&mut r);
                Err(e)
            }
        }
    }
    fn end(&self, r: &mut Reader) -> Result<Option<Vec<Tensor>>> {
        r.over = true;
        self.shared.stop();
        r.failure.take().map_or(Ok(None), Err)
    }
    /// Has a look at where the pass is, with its seed.
    pub(super) fn look<R>(&self, f: impl FnOnce(&Reader, u64) -> Result<R>) -> Result<R> {
        let _turn = self.enter()?;
        let r = self.reader.lock();
        f(&r, self.shared.seed)
    }
    fn enter(&self) -> Result<Turn<'_>> {
        let now = age();
        if now != self.age && !self.threads.is_empty() {
            bail!(Runtime, "the threads of this pass are in the process before the fork; begin another pass here");
        }
        let mark = now.wrapping_add(1);
        let had = self.busy.load(Ordering::Relaxed);
        if had == mark || self.busy.compare_exchange(had, mark, Ordering::Acquire, Ordering::Relaxed).is_err() {
            bail!(Runtime, "another call is using this pass: one at a time may");
        }
        Ok(Turn(&self.busy))
    }
}

/// Leaves out samples of a stream that were read before.
fn skip(flow: &mut Flow, count: u64, seed: u64) -> Result<()> {
    while flow.position < count {
        let Some(from) = &mut flow.samples else { break };
        let at = flow.position;
        match guarded(|| from.next(seed.wrapping_add(at))).map_err(|e| of_sample(e, at as i64))? {
            Some(_) => flow.position += 1,
            None => flow.samples = None,
        }
    }
    Ok(())
}

/// The use of a pass by one call.
struct Turn<'a>(&'a AtomicU32);
impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // In the child of a fork there are no threads, and their locks stay as they were.
        if self.threads.is_empty() || age() != self.age {
            return;
        }
        self.shared.stop();
        // Two threads that wait for each other's end would wait for ever.
        if !WORKER.get() {
            self.threads.drain(..).for_each(|t| drop(t.join()));
        }
    }
}
