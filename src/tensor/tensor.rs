//! The tensor: a shared handle to a body (storage, layout, dtype, version counter) and its autograd record.

use crate::backend::memory;
use crate::backend::storage::Storage;
use crate::backend::{self, Backend, View};
use crate::base::device::Device;
use crate::base::dtype::{DType, Element};
use crate::base::error::Result;
use crate::base::layout::{checked_numel, Dims, Layout};
use crate::base::scalar::Scalar;
use crate::base::sync::{RwLock, RwLockReadGuard};
use crate::{bail, ensure};
use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Counts in-place writes; shared by the views of one tensor and by `detach()`, new for `.data`. None: the storage's.
type Version = Option<Arc<AtomicU64>>;

/// How often a tensor that others may hold too got another dtype, shape, strides or device. A wrapper may keep what it read
/// of tensors as long as this number stays what it was before.
static CHANGES: AtomicU64 = AtomicU64::new(0);
/// That number, which stays where it is for the life of the process.
pub fn changes() -> &'static AtomicU64 {
    &CHANGES
}

/// What a tensor is made of. It can be replaced as a whole while the tensor keeps its identity.
pub struct Body {
    storage: Arc<Storage>,
    layout: Layout,
    dtype: DType,
    version: Version,
}

impl Body {
    /// Uninitialised contiguous memory.
    fn empty(shape: &[i64], dtype: DType, device: Device) -> Result<Body> {
        let n = checked_numel(shape)?;
        let Some(nbytes) = n.checked_mul(dtype.size()) else {
            bail!(Runtime, "Storage size calculation overflowed with sizes={shape:?}");
        };
        let storage = Arc::new(Storage::alloc(nbytes, device)?);
        Ok(Body { storage, layout: Layout::contiguous(shape), dtype, version: None })
    }
    #[inline]
    pub fn view(&self) -> View<'_> {
        View { storage: &self.storage, layout: &self.layout, dtype: self.dtype }
    }
    /// The same memory under another layout of equal meaning (a broadcast, a flattening).
    #[inline]
    pub fn view_as<'a>(&'a self, layout: &'a Layout) -> View<'a> {
        View { storage: &self.storage, layout, dtype: self.dtype }
    }
    /// Counts an in-place write.
    #[inline]
    pub fn bump_version(&self) {
        self.counter().fetch_add(1, Ordering::Relaxed);
    }
    #[inline]
    fn counter(&self) -> &AtomicU64 {
        match &self.version {
            Some(v) => v,
            None => self.storage.version(),
        }
    }
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
    #[inline]
    pub fn shape(&self) -> &[i64] {
        &self.layout.shape
    }
    #[inline]
    pub fn dtype(&self) -> DType {
        self.dtype
    }
    #[inline]
    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }
    #[inline]
    pub fn device(&self) -> Device {
        self.storage.device()
    }
    /// Whether a layout (whose strides may be negative) lies inside the memory.
    fn contains(&self, layout: &Layout) -> Result<()> {
        checked_numel(&layout.shape)?;
        let (mut first, mut last) = (layout.offset, layout.offset);
        for (n, stride) in layout.shape.iter().zip(&layout.strides) {
            match n {
                0 => return Ok(()),
                n if *stride < 0 => first = first.saturating_add((n - 1).saturating_mul(*stride)),
                n => last = last.saturating_add((n - 1).saturating_mul(*stride)),
            }
        }
        ensure!(
            first >= 0 && last < (self.storage.nbytes() / self.dtype.size()) as i64,
            Runtime,
            "a view of sizes {:?}, strides {:?} and storage offset {} does not lie inside the tensor's {} bytes; another \
             thread may have changed it meanwhile",
            &layout.shape[..],
            &layout.strides[..],
            layout.offset,
            self.storage.nbytes()
        );
        Ok(())
    }
}

struct Inner {
    /// 0 until somebody asks.
    id: AtomicU64,
    body: RwLock<Body>,
    /// Quick answer to "does autograd care": set by the autograd layer only.
    needs_grad: AtomicBool,
    /// The autograd layer's record; this layer never looks inside.
    meta: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// An n-dimensional array. Cloning makes another handle to the same tensor.
#[derive(Clone)]
pub struct Tensor(Arc<Inner>);

/// A tensor held without keeping it alive.
#[derive(Clone)]
pub struct WeakTensor(Weak<Inner>);
impl WeakTensor {
    pub fn upgrade(&self) -> Option<Tensor> {
        self.0.upgrade().map(Tensor)
    }
}

impl Tensor {
    fn from_body(body: Body) -> Tensor {
        Tensor(Arc::new(Inner {
            id: AtomicU64::new(0),
            body: RwLock::new(body),
            needs_grad: AtomicBool::new(false),
            meta: OnceLock::new(),
        }))
    }
    /// A tensor over a storage. The layout must lie inside it: checked.
    pub fn from_storage(storage: Arc<Storage>, layout: Layout, dtype: DType) -> Result<Tensor> {
        checked_numel(&layout.shape)?;
        let need = layout.required_elements();
        ensure!(
            layout.offset >= 0
                && layout.strides.iter().all(|s| *s >= 0)
                && need.checked_mul(dtype.size() as i64).is_some_and(|b| b as usize <= storage.nbytes()),
            Runtime,
            "setStorage: sizes {:?}, strides {:?}, storage offset {}, and itemsize {} requiring a storage size of {} are out of bounds for storage of size {}",
            &layout.shape[..],
            &layout.strides[..],
            layout.offset,
            dtype.size(),
            need.saturating_mul(dtype.size() as i64),
            storage.nbytes()
        );
        // A storage that others have may have views of theirs, whose writes are not this tensor's.
        let version = (Arc::strong_count(&storage) > 1).then(Arc::default);
        Ok(Tensor::from_body(Body { storage, layout, dtype, version }))
    }
    /// Uninitialised contiguous memory.
    pub fn empty(shape: &[i64], dtype: DType, device: Device) -> Result<Tensor> {
        Ok(Tensor::from_body(Body::empty(shape, dtype, device)?))
    }
    /// New contiguous memory that `fill` has written. Nobody else sees the tensor before, so that nothing is locked.
    #[inline]
    pub fn computed(
        shape: &[i64],
        dtype: DType,
        device: Device,
        fill: impl FnOnce(View) -> Result<()>,
    ) -> Result<Tensor> {
        let body = Body::empty(shape, dtype, device)?;
        fill(body.view())?;
        Ok(Tensor::from_body(body))
    }
    /// A CPU tensor with a copy of `data`, row-major.
    pub fn from_slice<T: Element>(data: &[T], shape: &[i64]) -> Result<Tensor> {
        Tensor::from_bytes(bytemuck::cast_slice(data), shape, T::DTYPE, Device::CPU)
    }
    /// A tensor with a copy of row-major `bytes` of `dtype`.
    pub fn from_bytes(bytes: &[u8], shape: &[i64], dtype: DType, device: Device) -> Result<Tensor> {
        let n = checked_numel(shape)?;
        ensure!(
            n.checked_mul(dtype.size()) == Some(bytes.len()),
            Value,
            "shape {shape:?} of {dtype} needs {n} elements of {} bytes, but {} bytes were given",
            dtype.size(),
            bytes.len()
        );
        let t = Tensor::empty(shape, dtype, device)?;
        backend::get(device)?.upload(bytes, &t.body().storage, 0)?;
        Ok(t)
    }

    // identity
    /// Identity of this tensor, unique in the process, never 0.
    #[inline]
    pub fn id(&self) -> u64 {
        match self.0.id.load(Ordering::Relaxed) {
            0 => self.first_id(),
            id => id,
        }
    }
    #[cold]
    fn first_id(&self) -> u64 {
        let new = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        // Another thread may have asked meanwhile.
        self.0.id.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|id| id, |_| new)
    }
    #[inline]
    pub fn is_same(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
    pub fn downgrade(&self) -> WeakTensor {
        WeakTensor(Arc::downgrade(&self.0))
    }
    /// Whether nobody else holds this handle's tensor nor its memory: it may be overwritten or moved.
    pub fn is_unique(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && {
            let b = self.body();
            Arc::strong_count(&b.storage) == 1 && !b.storage.is_shared()
        }
    }

    // body
    /// Read access to the body. The guard must not be held across a call that replaces this tensor's body.
    #[inline]
    pub fn body(&self) -> RwLockReadGuard<'_, Body> {
        self.0.body.read()
    }
    /// The one place where a value that is still pending would be computed; every kernel passes through here.
    #[inline]
    pub fn materialize(&self) -> RwLockReadGuard<'_, Body> {
        self.body()
    }
    #[inline]
    pub fn shape(&self) -> Dims {
        Dims::from_slice(&self.body().layout.shape)
    }
    #[inline]
    pub fn strides(&self) -> Dims {
        Dims::from_slice(&self.body().layout.strides)
    }
    #[inline]
    pub fn layout(&self) -> Layout {
        self.body().layout.clone()
    }
    #[inline]
    pub fn ndim(&self) -> usize {
        self.body().layout.ndim()
    }
    #[inline]
    pub fn numel(&self) -> usize {
        self.body().layout.numel()
    }
    #[inline]
    pub fn dtype(&self) -> DType {
        self.body().dtype
    }
    #[inline]
    pub fn device(&self) -> Device {
        self.body().device()
    }
    pub fn storage(&self) -> Arc<Storage> {
        self.materialize().storage.clone()
    }
    pub fn is_contiguous(&self) -> bool {
        self.body().layout.is_contiguous()
    }
    /// Size of dimension `dim`, which may count from the end.
    pub fn size(&self, dim: i64) -> Result<i64> {
        let b = self.body();
        let n = b.layout.ndim();
        ensure!(n > 0, Index, "Dimension specified as {dim} but tensor has no dimensions");
        Ok(b.layout.shape[crate::base::layout::wrap_dim(dim, n)?])
    }
    #[inline]
    pub fn backend(&self) -> Result<&'static dyn Backend> {
        backend::get(self.device())
    }
    /// Another tensor over the same memory and version counter, without autograd history. The layout must lie inside the
    /// memory: checked, since another thread may have given this tensor a smaller body after the layout was made.
    pub fn alias(&self, layout: Layout) -> Result<Tensor> {
        memory::check()?;
        let b = self.materialize();
        b.contains(&layout)?;
        Ok(Tensor::from_body(Body { storage: b.storage.clone(), layout, dtype: b.dtype, version: b.version.clone() }))
    }
    /// The same memory seen as another dtype, whose elements the layout counts.
    pub fn alias_as(&self, layout: Layout, dtype: DType) -> Result<Tensor> {
        memory::check()?;
        let b = self.materialize();
        let seen = Body { storage: b.storage.clone(), layout: layout.clone(), dtype, version: b.version.clone() };
        seen.contains(&layout)?;
        Ok(Tensor::from_body(seen))
    }
    /// The memory of a complex tensor as real numbers with a last dimension of two: real and imaginary parts.
    pub fn as_pairs(&self) -> Result<Tensor> {
        let (mut l, dtype) = (self.layout(), self.dtype());
        ensure!(dtype.is_complex(), Internal, "parts of a tensor of {dtype}");
        l.strides.iter_mut().for_each(|s| *s *= 2);
        l.offset *= 2;
        l.shape.push(2);
        l.strides.push(1);
        self.alias_as(l, dtype.real())
    }
    /// The opposite of [`Tensor::as_pairs`]: pairs of real numbers in a last dimension of 2 and stride 1 as complex ones.
    pub fn pairs_as_complex(&self) -> Result<Tensor> {
        let mut l = self.layout();
        let fits = l.shape.pop() == Some(2) && l.strides.pop() == Some(1);
        ensure!(
            fits && l.offset % 2 == 0 && l.strides.iter().all(|s| s % 2 == 0),
            Internal,
            "no pairs of numbers: {:?} with strides {:?}",
            self.shape(),
            self.layout().strides
        );
        l.strides.iter_mut().for_each(|s| *s /= 2);
        l.offset /= 2;
        self.alias_as(l, self.dtype().complex())
    }
    /// The real (0) or imaginary (1) parts of a complex tensor, in its memory.
    pub fn part(&self, which: i64) -> Result<Tensor> {
        let pairs = self.as_pairs()?;
        let mut l = pairs.layout();
        l.shape.pop();
        l.strides.pop();
        l.offset += which;
        pairs.alias(l)
    }
    /// `detach()` as far as this layer knows it: the same layout, memory and version counter.
    pub fn alias_same(&self) -> Tensor {
        let b = self.materialize();
        Tensor::from_body(Body {
            storage: b.storage.clone(),
            layout: b.layout.clone(),
            dtype: b.dtype,
            version: b.version.clone(),
        })
    }
    /// The same memory with a version counter of its own (`.data`).
    pub fn alias_data(&self) -> Tensor {
        let b = self.materialize();
        Tensor::from_body(Body {
            storage: b.storage.clone(),
            layout: b.layout.clone(),
            dtype: b.dtype,
            version: Some(Arc::default()),
        })
    }
    /// Takes over the body of `src` (memory, layout, dtype) while this tensor keeps its identity and version counter.
    pub fn set_body(&self, src: &Tensor) {
        if self.is_same(src) {
            return;
        }
        let new = {
            let s = src.materialize();
            (s.storage.clone(), s.layout.clone(), s.dtype)
        };
        {
            let mut b = self.0.body.write();
            if b.version.is_none() {
                b.version = Some(b.storage.version_counter());
            }
            (b.storage, b.layout, b.dtype) = new;
        }
        self.note_change();
    }
    /// After a change of what `changes` is about. A tensor that nobody else holds nobody has looked at.
    fn note_change(&self) {
        if Arc::strong_count(&self.0) > 1 {
            CHANGES.fetch_add(1, Ordering::SeqCst);
        }
    }
    /// Changes only the layout (`unsqueeze_`, `t_`), which must lie inside the storage: checked.
    pub fn set_layout(&self, layout: Layout) -> Result<()> {
        {
            let mut b = self.0.body.write();
            b.contains(&layout)?;
            b.layout = layout;
        }
        self.note_change();
        Ok(())
    }

    // versions
    #[inline]
    pub fn version(&self) -> u64 {
        self.body().counter().load(Ordering::Relaxed)
    }
    #[inline]
    pub fn bump_version(&self) {
        self.body().bump_version();
    }

    // autograd's record
    #[inline]
    pub(crate) fn needs_grad_flag(&self) -> bool {
        self.0.needs_grad.load(Ordering::Relaxed)
    }
    pub(crate) fn set_needs_grad_flag(&self, on: bool) {
        self.0.needs_grad.store(on, Ordering::Relaxed);
    }
    pub(crate) fn meta_cell(&self) -> &OnceLock<Box<dyn Any + Send + Sync>> {
        &self.0.meta
    }

    // reading
    /// Copies the elements row-major into `out`, which must have exactly `numel * dtype.size()` bytes; waits for the device.
    pub fn copy_to_host(&self, out: &mut [u8]) -> Result<()> {
        self.alias_same().copy_own_to_host(out)
    }
    /// `copy_to_host` of a tensor that nobody else has.
    fn copy_own_to_host(&self, out: &mut [u8]) -> Result<()> {
        let b = self.materialize();
        let need = b.layout.numel() * b.dtype.size();
        ensure!(
            out.len() == need,
            Value,
            "the buffer has {} bytes, but the tensor of {} {} elements needs {need}",
            out.len(),
            b.layout.numel(),
            b.dtype
        );
        if out.is_empty() {
            return Ok(());
        }
        if !b.layout.is_contiguous() {
            return self.contiguous_copy()?.copy_own_to_host(out);
        }
        backend::get(b.device())?.download(&b.storage, b.layout.offset as usize * b.dtype.size(), out)
    }
    /// A contiguous copy without autograd.
    pub fn contiguous_copy(&self) -> Result<Tensor> {
        // An alias: this tensor may get another body meanwhile.
        let src = self.alias_same();
        let b = src.materialize();
        let out = Tensor::empty(&b.layout.shape, b.dtype, b.device())?;
        out.copy_from(&src)?;
        Ok(out)
    }
    /// Writes `src`, broadcast and converted, into this tensor's memory, on whatever device either lies; knows nothing of
    /// autograd or versions.
    pub fn copy_from(&self, src: &Tensor) -> Result<()> {
        use crate::backend::program::{Opcode, Program};
        let (d, s) = (self.materialize(), src.materialize());
        if d.dtype.is_complex() || s.dtype.is_complex() {
            drop((d, s));
            return self.alias_same().copy_parts_from(&src.alias_same());
        }
        if d.layout.numel() == 0 {
            s.layout.broadcast_to(&d.layout.shape)?;
            return Ok(());
        }
        if d.device().is_meta() {
            s.layout.broadcast_to(&d.layout.shape)?;
            return Ok(());
        }
        src.check_data()?;
        if d.device() == s.device() {
            let layout = s.layout.broadcast_to(&d.layout.shape)?;
            let ty = if s.dtype.compute() == d.dtype.compute() || d.dtype == DType::Bool { s.dtype } else { d.dtype };
            let program = Program::single(Opcode::Cast, ty, &[s.dtype], d.dtype);
            return backend::get(d.device())?.run_program(&program, &[s.view_as(&layout)], &[], &[d.view()]);
        }
        // Dense bytes cross in the order in which they lie and are converted on the host, which has every dtype; what the
        // destination needs beyond that (strides, broadcasting) it does itself.
        let equal = d.layout.shape == s.layout.shape
            && ((d.layout.is_contiguous() && s.layout.is_contiguous())
                || (d.layout.strides == s.layout.strides && s.layout.is_dense()));
        if equal && d.dtype == s.dtype {
            let n = d.layout.numel() * d.dtype.size();
            let (doff, soff) = (d.layout.offset as usize * d.dtype.size(), s.layout.offset as usize * d.dtype.size());
            let mut host = memory::zeroed::<u8>(n)?;
            backend::get(s.device())?.download(&s.storage, soff, &mut host)?;
            return backend::get(d.device())?.upload(&host, &d.storage, doff);
        }
        if !s.layout.is_contiguous() || (s.device().is_cpu() && s.dtype != d.dtype) {
            let dtype = if s.device().is_cpu() { d.dtype } else { s.dtype };
            let dense = Tensor::empty(&s.layout.shape, dtype, s.device())?;
            dense.copy_from(src)?;
            return self.copy_from(&dense);
        }
        // Between two devices the host stands in the middle when it has to convert.
        let device = if d.dtype == s.dtype { d.device() } else { Device::CPU };
        let dense = Tensor::empty(&s.layout.shape, s.dtype, device)?;
        dense.copy_from(src)?;
        self.copy_from(&dense)
    }
    /// An error where there are no elements to read.
    pub fn check_data(&self) -> Result<()> {
        ensure!(!self.device().is_meta(), NotImplemented, "Cannot copy out of meta tensor; no data!");
        Ok(())
    }
    /// [`Tensor::copy_from`] where one side is complex, of two tensors that nobody else has: parts are copied as the real
    /// numbers that they are; what becomes real loses its imaginary parts.
    #[cold]
    fn copy_parts_from(&self, src: &Tensor) -> Result<()> {
        use crate::backend::program::{Opcode, Program};
        let layout = src.layout().broadcast_to(&self.shape())?;
        let src = src.alias(layout)?;
        match (self.dtype().is_complex(), src.dtype().is_complex()) {
            (true, true) => self.as_pairs()?.copy_from(&src.as_pairs()?),
            (true, false) => {
                self.part(0)?.copy_from(&src)?;
                let (zero, im) =
                    (Program::single(Opcode::Cast, self.dtype().real(), &[], self.dtype().real()), self.part(1)?);
                if im.numel() == 0 {
                    return Ok(());
                }
                let b = im.materialize();
                backend::get(b.device())?.run_program(&zero, &[], &[Scalar::Int(0)], &[b.view()])
            }
            (false, _) if self.dtype() == DType::Bool && self.numel() > 0 => {
                // True where one of the parts is not zero.
                let (re, im) = (src.part(0)?, src.part(1)?);
                let out = Tensor::empty(&re.shape(), DType::Bool, re.device())?;
                let ty = re.dtype();
                let program = Program::single(Opcode::Hypot, ty, &[ty, ty], DType::Bool);
                backend::get(re.device())?.run_program(
                    &program,
                    &[re.body().view(), im.body().view()],
                    &[],
                    &[out.body().view()],
                )?;
                self.copy_from(&out)
            }
            (false, _) => self.copy_from(&src.part(0)?),
        }
    }
    /// The elements of a complex tensor row-major, as pairs of real and imaginary part.
    pub fn to_complex_vec(&self) -> Result<Vec<(f64, f64)>> {
        let parts = self.contiguous_copy()?.as_pairs()?.to_f64_vec()?;
        memory::collect(parts.chunks_exact(2).map(|p| (p[0], p[1])))
    }
    /// The elements row-major; the dtype must be `T`'s.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let own = self.alias_same();
        own.check_data()?;
        ensure!(
            own.dtype() == T::DTYPE,
            Type,
            "expected scalar type {} but found {}",
            T::DTYPE.scalar_name(),
            own.dtype().scalar_name()
        );
        let mut out = memory::zeroed::<T>(own.numel())?;
        own.copy_own_to_host(bytemuck::cast_slice_mut(&mut out))?;
        Ok(out)
    }
    /// The elements row-major as f64, from any dtype.
    pub fn to_f64_vec(&self) -> Result<Vec<f64>> {
        crate::dispatch!(self.dtype(), T, memory::collect(self.to_vec::<T>()?.into_iter().map(Element::to_f64)))
    }
    /// The elements row-major as i64, from any dtype.
    pub fn to_i64_vec(&self) -> Result<Vec<i64>> {
        crate::dispatch!(self.dtype(), T, memory::collect(self.to_vec::<T>()?.into_iter().map(Element::to_i64)))
    }
    /// Whether a condition on elements, reduced to one, holds; on meta nobody can tell, and it is taken to.
    pub fn holds(&self) -> Result<bool> {
        Ok(self.device().is_meta() || self.item()?.to_bool())
    }
    /// The one element of a tensor with exactly one; waits for the device.
    pub fn item(&self) -> Result<Scalar> {
        let b = self.materialize();
        let n = b.layout.numel();
        ensure!(n == 1, Runtime, "a Tensor with {n} elements cannot be converted to Scalar");
        ensure!(!b.device().is_meta(), Runtime, "Tensor.item() cannot be called on meta tensors");
        if b.dtype.is_complex() {
            drop(b);
            let v = self.to_complex_vec()?;
            return Ok(Scalar::Complex(v[0].0, v[0].1));
        }
        let mut buf = [0u8; 8];
        let size = b.dtype.size();
        backend::get(b.device())?.download(&b.storage, b.layout.offset as usize * size, &mut buf[..size])?;
        Ok(crate::dispatch!(b.dtype, T, {
            let v: T = bytemuck::pod_read_unaligned(&buf[..size]);
            match b.dtype.category() {
                2 => Scalar::Float(v.to_f64()),
                1 => Scalar::Int(v.to_i64()),
                _ => Scalar::Bool(v.to_i64() != 0),
            }
        }))
    }
}
