//! Data sets, samplers, loaders.

use super::convert::{new_handle, object, Call, HandleType, IntoC, Lent, TensorList};
use super::error;
use super::handle::{self, Kind};
use super::io::NamedTensors;
use super::types::*;
use super::user::{CStruct, Callbacks, User};
use crate::backend::memory;
use crate::base::error::{ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::data::dataset::{Dataset, Indexed, Sample, Samples, Stream};
use crate::data::loader::{Batches, Collate, Loader, Options};
use crate::data::sampler::Sampler;
use crate::rng::Generator;
use crate::{bail, ensure, DType, Tensor};
use std::os::raw::c_void;
use std::sync::Arc;

macro_rules! handles {
    ($($c:ident => $kind:ident, $object:ty;)*) => {$(
        impl HandleType for $c {
            const KIND: Kind = Kind::$kind;
            type Object = $object;
        }
        impl IntoC<*mut $c> for $object {
            fn into_c(self) -> Result<*mut $c> {
                new_handle(self)
            }
        })*};
}
handles! {
    taper_dataset => Dataset, Dataset;
    taper_sampler => Sampler, Sampler;
    taper_data_loader => DataLoader, Loader;
    taper_batches => Batches, Arc<Batches>;
}
impl IntoC<*mut taper_tensor_list> for Option<Vec<Tensor>> {
    fn into_c(self) -> Result<*mut taper_tensor_list> {
        self.map_or(Ok(std::ptr::null_mut()), IntoC::into_c)
    }
}

/// Functions of a data set whose samples have numbers. Any thread may call them, several at once.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_dataset_vtable {
    /// sizeof(taper_dataset_vtable).
    pub struct_size: usize,
    /// Sets *out to the number of samples.
    pub len: Option<unsafe extern "C" fn(user: *mut c_void, out: *mut i64) -> *mut taper_error>,
    /// Sets *out to a new list (taper_tensor_list_new) of the tensors of sample index, from 0 to the number of samples - 1.
    /// The library frees the list. seed follows from the sample's place in the pass: numbers that are drawn from it do not depend
    /// on how many threads there are. The error that it returns is that of the batch, and names the sample.
    pub get: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            index: i64,
            seed: u64,
            out: *mut *mut taper_tensor_list,
        ) -> *mut taper_error,
    >,
    /// Called with user exactly once, when nothing needs the data set any more; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_dataset_vtable {
    const INIT: Self = taper_dataset_vtable { struct_size: 0, len: None, get: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_dataset_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// Functions of a data set that gives its samples one after the other. Several passes may be on their way at once; within one
/// a thread at a time calls.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_stream_vtable {
    /// sizeof(taper_stream_vtable).
    pub struct_size: usize,
    /// Begins at the first sample, and may set *pass to what the other two get; or NULL.
    pub begin: Option<unsafe extern "C" fn(user: *mut c_void, pass: *mut *mut c_void) -> *mut taper_error>,
    /// Sets *out to a new list of the next sample's tensors, which the library frees; leaves it NULL at the end. seed is as for a
    /// taper_dataset_vtable. An error ends the pass.
    pub next: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            pass: *mut c_void,
            seed: u64,
            out: *mut *mut taper_tensor_list,
        ) -> *mut taper_error,
    >,
    /// Called exactly once for each begin that succeeded, when its pass is over; or NULL.
    pub end: Option<unsafe extern "C" fn(user: *mut c_void, pass: *mut c_void)>,
    /// Called with user exactly once, when nothing needs the data set any more; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_stream_vtable {
    const INIT: Self = taper_stream_vtable { struct_size: 0, begin: None, next: None, end: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_stream_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// A function that makes a batch of samples.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_collate_vtable {
    /// sizeof(taper_collate_vtable).
    pub struct_size: usize,
    /// Sets *out to a new list of the batch's tensors, which the library frees. samples has samples_len lists, which are borrowed
    /// for the call. Any thread may call it, several at once.
    pub call: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            samples: *const *mut taper_tensor_list,
            samples_len: usize,
            out: *mut *mut taper_tensor_list,
        ) -> *mut taper_error,
    >,
    /// Called with user exactly once, when nothing needs the function any more; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_collate_vtable {
    const INIT: Self = taper_collate_vtable { struct_size: 0, call: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_collate_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// How a loader makes batches. TAPER_DATA_LOADER_OPTIONS_INIT has PyTorch's defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_data_loader_options {
    /// sizeof(taper_data_loader_options).
    pub struct_size: usize,
    /// Samples of a batch; 0: no batches, each sample as it is.
    pub batch_size: i64,
    /// Threads that make batches ahead; 0: the calling thread makes them. At most 1024.
    pub num_workers: i64,
    /// Batches made ahead for each thread; 0: 2.
    pub prefetch_factor: i64,
    /// 1: in random order.
    pub shuffle: i32,
    /// 1: a last batch of fewer samples is left out.
    pub drop_last: i32,
}
// SAFETY: repr(C), a size, numbers.
unsafe impl CStruct for taper_data_loader_options {
    const INIT: Self = taper_data_loader_options {
        struct_size: 0,
        batch_size: 1,
        num_workers: 0,
        prefetch_factor: 0,
        shuffle: 0,
        drop_last: 0,
    };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}

/// Takes over the list that a callback set; None when it set none.
fn taken(what: &str, e: *mut taper_error, list: *mut taper_tensor_list) -> Result<Option<Sample>> {
    let found = if list.is_null() { None } else { Some(object(list as *const taper_tensor_list)) };
    drop(handle::remove(list as usize, Kind::TensorList));
    if let Some(e) = error::take(e) {
        return Err(e);
    }
    let Some(found) = found else { return Ok(None) };
    let Ok(found) = found else { bail!(Callback, "{what} set its result to something that is no live tensor list") };
    let tensors = found.iter().enumerate().map(|(k, t)| match t {
        Some(t) => Ok(t.clone()),
        None => bail!(Callback, "{what} returned a list whose tensor {k} is NULL"),
    });
    memory::try_collect(tensors).map(Some)
}
fn given(what: &str, sample: Option<Sample>) -> Result<Sample> {
    match sample {
        Some(s) => Ok(s),
        None => bail!(Callback, "{what} returned success but set no list"),
    }
}

type Len = unsafe extern "C" fn(*mut c_void, *mut i64) -> *mut taper_error;
type Get = unsafe extern "C" fn(*mut c_void, i64, u64, *mut *mut taper_tensor_list) -> *mut taper_error;
type Next = unsafe extern "C" fn(*mut c_void, *mut c_void, u64, *mut *mut taper_tensor_list) -> *mut taper_error;

struct CDataset {
    len: Len,
    get: Get,
    user: User,
}
impl Indexed for CDataset {
    fn len(&self) -> Result<i64> {
        let mut n = -1;
        // SAFETY: function and user pointer come together from the caller.
        let e = unsafe { (self.len)(self.user.get(), &mut n) };
        match error::take(e) {
            Some(e) => Err(e),
            None if n < 0 => bail!(Callback, "len of a data set set {n}; a number of samples is not negative"),
            None => Ok(n),
        }
    }
    fn get(&self, index: i64, seed: u64) -> Result<Sample> {
        let mut list = std::ptr::null_mut();
        // SAFETY: as above.
        let e = unsafe { (self.get)(self.user.get(), index, seed, &mut list) };
        given("get of a data set", taken("get of a data set", e, list)?)
    }
}

struct CStream {
    vtable: taper_stream_vtable,
    next: Next,
    user: User,
}
struct Running {
    of: Arc<CStream>,
    pass: *mut c_void,
}
// SAFETY: the header says that any thread may call the functions of a stream.
unsafe impl Send for Running {}
/// The stream as the core's, which begins passes that keep it alive.
struct Source(Arc<CStream>);
impl Stream for Source {
    fn begin(&self) -> Result<Box<dyn Samples>> {
        let mut pass = std::ptr::null_mut();
        if let Some(begin) = self.0.vtable.begin {
            // SAFETY: functions and user pointer come together from the caller.
            let e = unsafe { begin(self.0.user.get(), &mut pass) };
            if let Some(e) = error::take(e) {
                return Err(e);
            }
        }
        Ok(Box::new(Running { of: self.0.clone(), pass }))
    }
}
impl Samples for Running {
    fn next(&mut self, seed: u64) -> Result<Option<Sample>> {
        let mut list = std::ptr::null_mut();
        // SAFETY: as above; pass is what begin set.
        let e = unsafe { (self.of.next)(self.of.user.get(), self.pass, seed, &mut list) };
        taken("next of a stream", e, list)
    }
}
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(end) = self.of.vtable.end {
            // SAFETY: as above; this runs once.
            unsafe { end(self.of.user.get(), self.pass) }
        }
    }
}

/// `taper_dataset_from_tensors`.
pub fn dataset_from_tensors(tensors: &[Tensor]) -> Result<Dataset> {
    Dataset::of_tensors(tensors)
}

/// `taper_dataset_new`.
pub fn dataset_new(c: &Call, vtable: taper_dataset_vtable, user: User) -> Result<Dataset> {
    match (vtable.len, vtable.get) {
        (Some(len), Some(get)) => Ok(Dataset::Indexed(Arc::new(CDataset { len, get, user }))),
        (None, _) => Err(c.invalid(ErrorKind::Value, 0, "vtable", "its len function is NULL")),
        _ => Err(c.invalid(ErrorKind::Value, 0, "vtable", "its get function is NULL")),
    }
}

/// `taper_dataset_new_stream`.
pub fn dataset_new_stream(c: &Call, vtable: taper_stream_vtable, user: User) -> Result<Dataset> {
    let Some(next) = vtable.next else {
        return Err(c.invalid(ErrorKind::Value, 0, "vtable", "its next function is NULL"));
    };
    Ok(Dataset::Stream(Arc::new(Source(Arc::new(CStream { vtable, next, user })))))
}

/// `taper_dataset_subset`.
pub fn dataset_subset(d: &Dataset, indices: &[i64]) -> Result<Dataset> {
    d.subset(indices)
}

/// `taper_dataset_concat`.
pub fn dataset_concat(datasets: &[Dataset]) -> Result<Dataset> {
    Dataset::concat(datasets)
}

/// `taper_dataset_stack`.
pub fn dataset_stack(datasets: &[Dataset]) -> Result<Dataset> {
    Dataset::stacked(datasets)
}

/// `taper_dataset_chain`.
pub fn dataset_chain(datasets: &[Dataset]) -> Result<Dataset> {
    Dataset::chain(datasets)
}

/// `taper_dataset_subset_tensor`.
pub fn dataset_subset_tensor(d: &Dataset, indices: &Tensor) -> Result<Dataset> {
    ensure!(
        indices.dtype() == DType::I64 && indices.ndim() == 1,
        Value,
        "indices must be int64 with one dimension, got {} of sizes {:?}",
        indices.dtype(),
        &indices.shape()[..]
    );
    d.subset(&indices.to_i64_vec()?)
}

/// `taper_dataset_random_split`.
pub fn dataset_random_split(d: &Dataset, lengths: &[f64], generator: Option<&Generator>) -> Result<Vec<Tensor>> {
    d.random_split(lengths, generator)
}

/// `taper_dataset_len`.
pub fn dataset_len(d: &Dataset) -> Result<i64> {
    d.len()
}

/// `taper_dataset_get`.
pub fn dataset_get(d: &Dataset, index: i64, seed: u64) -> Result<Vec<Tensor>> {
    d.get(index, seed)
}

/// `taper_sampler_sequential`.
pub fn sampler_sequential(n: i64) -> Result<Sampler> {
    Sampler::sequential(n)
}

/// `taper_sampler_random`.
pub fn sampler_random(
    n: i64,
    replacement: bool,
    num_samples: Option<i64>,
    generator: Option<&Generator>,
) -> Result<Sampler> {
    Sampler::random(n, replacement, num_samples, generator)
}

/// `taper_sampler_fixed`.
pub fn sampler_fixed(indices: &[i64]) -> Result<Sampler> {
    Sampler::fixed(indices)
}

/// `taper_sampler_subset_random`.
pub fn sampler_subset_random(indices: &[i64], generator: Option<&Generator>) -> Result<Sampler> {
    Sampler::subset_random(indices, generator)
}

/// `taper_sampler_weighted`.
pub fn sampler_weighted(
    weights: &[f64],
    num_samples: i64,
    replacement: bool,
    generator: Option<&Generator>,
) -> Result<Sampler> {
    Sampler::weighted(weights, num_samples, replacement, generator)
}

/// `taper_sampler_distributed`.
pub fn sampler_distributed(
    n: i64,
    num_replicas: i64,
    rank: i64,
    shuffle: bool,
    seed: i64,
    drop_last: bool,
) -> Result<Sampler> {
    Sampler::distributed(n, num_replicas, rank, shuffle, seed, drop_last)
}

/// `taper_sampler_batch`.
pub fn sampler_batch(s: &Sampler, batch_size: i64, drop_last: bool) -> Result<Sampler> {
    Sampler::batch(s, batch_size, drop_last)
}

/// `taper_sampler_set_epoch`.
pub fn sampler_set_epoch(s: &Sampler, epoch: i64) -> Result<()> {
    s.set_epoch(epoch);
    Ok(())
}

/// `taper_sampler_len`.
pub fn sampler_len(s: &Sampler) -> i64 {
    s.len()
}

/// `taper_sampler_draw`.
pub fn sampler_draw(s: &Sampler) -> Result<Tensor> {
    let all = s.draw()?;
    Tensor::from_slice(&all, &[all.len() as i64])
}

/// `taper_data_loader_create`.
pub fn data_loader_create(
    c: &Call,
    dataset: &Dataset,
    sampler: Option<&Sampler>,
    generator: Option<&Generator>,
    options: Option<taper_data_loader_options>,
    collate: Option<(taper_collate_vtable, User)>,
) -> Result<Loader> {
    let o = options.unwrap_or(taper_data_loader_options::INIT);
    let flag = |name: &str, value: i32| match value {
        0 | 1 => Ok(value == 1),
        _ => Err(c.invalid(ErrorKind::Value, 3, "options", format!("{name} is {value}; valid are 0 and 1"))),
    };
    let options = Options {
        batch_size: o.batch_size,
        shuffle: flag("shuffle", o.shuffle)?,
        drop_last: flag("drop_last", o.drop_last)?,
        num_workers: o.num_workers,
        prefetch_factor: o.prefetch_factor,
    };
    let collate = collate.map(|(vtable, user)| caller_collate(c, vtable, user)).transpose()?;
    Loader::new(dataset, sampler, generator, options, collate)
}

fn caller_collate(c: &Call, vtable: taper_collate_vtable, user: User) -> Result<Collate> {
    let Some(call) = vtable.call else {
        return Err(c.invalid(ErrorKind::Value, 4, "collate", "its call function is NULL"));
    };
    Ok(Arc::new(move |samples: Vec<Sample>| {
        let mut lent: Vec<Lent<taper_tensor_list>> = memory::with_capacity(samples.len())?;
        for s in samples {
            let list: TensorList = Arc::new(memory::collect(s.into_iter().map(Some))?);
            lent.push(Lent::new(&list)?);
        }
        let handles: Vec<*mut taper_tensor_list> = memory::collect(lent.iter().map(|l| l.0))?;
        let mut list = std::ptr::null_mut();
        // SAFETY: function and user pointer come together from the caller; the handles outlive the call.
        let e = unsafe { call(user.get(), handles.as_ptr(), handles.len(), &mut list) };
        given("a collate function", taken("a collate function", e, list)?)
    }))
}

/// `taper_data_loader_len`.
pub fn data_loader_len(l: &Loader) -> Result<i64> {
    l.len()
}

/// `taper_data_loader_begin`.
pub fn data_loader_begin(l: &Loader) -> Result<Arc<Batches>> {
    l.begin().map(Arc::new)
}

/// `taper_data_loader_resume`.
pub fn data_loader_resume(l: &Loader, state: &Arc<Mutex<NamedTensors>>) -> Result<Arc<Batches>> {
    let state = state.lock().dict()?;
    l.resume(&state).map(Arc::new)
}

/// `taper_batches_next`.
pub fn batches_next(b: &Arc<Batches>) -> Result<Option<Vec<Tensor>>> {
    b.next()
}

/// `taper_batches_state_dict`.
pub fn batches_state_dict(b: &Arc<Batches>) -> Result<NamedTensors> {
    NamedTensors::from_dict(b.state_dict()?)
}
