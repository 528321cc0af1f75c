//! Memory against time: what a function's ops would save for backward is dropped and computed again when it is wanted
//! (as PyTorch's `checkpoint(use_reentrant=False)`).

use super::autocast;
use crate::autograd::{self, GradMode, SavedHooks};
use crate::backend::memory::reserve::fallibly;
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::rng::default_generator;
use crate::tensor::Tensor;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// The function: from its inputs to its outputs, the same ops whenever it is called.
pub type Function = Box<dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync>;

/// What a saved tensor is like.
#[derive(PartialEq)]
struct Like {
    dtype: DType,
    device: Device,
    shape: SmallVec<[i64; 6]>,
}
impl Like {
    fn of(t: &Tensor) -> Like {
        let b = t.body();
        Like { dtype: b.dtype(), device: b.device(), shape: b.shape().iter().copied().collect() }
    }
}

/// One tensor that an op saved in the first call.
struct Place {
    like: Like,
    /// Whether a node may still ask for it.
    wanted: bool,
    again: Option<Tensor>,
}

struct Input {
    /// Outside the graph, sharing memory and version with the caller's.
    tensor: Tensor,
    version: u64,
    wants_grad: bool,
}

/// One checkpointed call: how it is done again, and what that gave.
struct Frame {
    function: Function,
    inputs: Vec<Input>,
    /// The generator's state before the call.
    random: Option<Vec<u8>>,
    casts: autocast::Settings,
    places: Mutex<Vec<Place>>,
}

/// Room for one more, or the error of memory that is not there.
fn push<T>(list: &mut Vec<T>, value: T) -> Result<()> {
    if fallibly(|| list.try_reserve(1)).is_err() {
        bail!(OutOfMemory, "checkpoint: no memory to note {} saved tensors", list.len() + 1);
    }
    list.push(value);
    Ok(())
}

/// Hooks of this thread, popped at the end also where the function fails.
struct Hooked;
impl Hooked {
    fn by(hooks: Arc<dyn SavedHooks>) -> Hooked {
        autograd::push_hooks(hooks);
        Hooked
    }
}
impl Drop for Hooked {
    fn drop(&mut self) {
        autograd::pop_hooks();
    }
}

/// The generator and the casts as they were in the first call, for a block.
struct Around {
    before: Option<Vec<u8>>,
}
impl Around {
    fn of(frame: &Frame) -> Result<Around> {
        let mut around = Around { before: None };
        autocast::begin_again(frame.casts);
        if let Some(state) = &frame.random {
            around.before = Some(default_generator().get_state());
            default_generator().set_state(state)?;
        }
        Ok(around)
    }
}
impl Drop for Around {
    fn drop(&mut self) {
        // A state that the generator gave is one that it takes; the region was begun by us.
        if let Some(state) = &self.before {
            let _ = default_generator().set_state(state);
        }
        let _ = autocast::end();
    }
}

impl SavedHooks for Frame {
    fn pack(&self, t: &Tensor) -> Result<u64> {
        let mut places = self.places.lock();
        push(&mut places, Place { like: Like::of(t), wanted: true, again: None })?;
        Ok(places.len() as u64 - 1)
    }
    fn unpack(&self, token: u64) -> Result<Tensor> {
        // Taken out: after the pass nothing of it is kept, and another pass through a retained graph computes it anew.
        let take = || self.places.lock().get_mut(token as usize).and_then(|p| p.again.take());
        if let Some(t) = take() {
            return Ok(t);
        }
        self.recompute()?;
        take().ok_or_else(|| Error::new(ErrorKind::Runtime, "checkpoint: a saved tensor was not computed again"))
    }
    fn release(&self, token: u64) {
        let gone = self.places.lock().get_mut(token as usize).and_then(|p| {
            p.wanted = false;
            p.again.take()
        });
        drop(gone);
    }
}

impl Frame {
    fn recompute(&self) -> Result<()> {
        let mut inputs = Vec::new();
        for i in &self.inputs {
            ensure!(
                i.tensor.version() == i.version,
                Runtime,
                "checkpoint: one of the inputs has been modified by an inplace operation since the call (it is at version {}; expected version {}), so that the function cannot be computed again",
                i.tensor.version(),
                i.version
            );
            let t = i.tensor.alias_same();
            autograd::set_requires_grad(&t, i.wants_grad)?;
            push(&mut inputs, t)?;
        }
        let found = Arc::new(Found { tensors: Mutex::new(Vec::new()) });
        let outputs = {
            let _around = Around::of(self)?;
            let _grad = GradMode::set(true);
            let _hooked = Hooked::by(found.clone());
            (self.function)(&inputs)?
        };
        let found = std::mem::take(&mut *found.tensors.lock());
        // The second graph has served; its nodes go before anything is looked at.
        drop(outputs);
        let mut places = self.places.lock();
        ensure!(
            found.len() == places.len(),
            Runtime,
            "checkpoint: A different number of tensors was saved during the original forward and recomputation.\nNumber of tensors saved during forward: {}\nNumber of tensors saved during recomputation: {}.",
            places.len(),
            found.len()
        );
        if let Some(i) = (0..found.len()).find(|i| Like::of(&found[*i]) != places[*i].like) {
            let (b, a) = (Like::of(&found[i]), &places[i].like);
            bail!(
                Runtime,
                "checkpoint: Recomputed values for the following tensors have different metadata than during the forward pass.\ntensor at position {i}: saved {:?} {} on {}, recomputed {:?} {} on {}",
                &a.shape[..],
                a.dtype,
                a.device,
                &b.shape[..],
                b.dtype,
                b.device
            );
        }
        for (place, t) in places.iter_mut().zip(found) {
            place.again = place.wanted.then_some(t);
        }
        Ok(())
    }
}

/// What the ops of the second call save. It is kept until that call is over, also where the function runs a backward pass of
/// its own, whose nodes release it before.
struct Found {
    tensors: Mutex<Vec<Tensor>>,
}
impl SavedHooks for Found {
    fn pack(&self, t: &Tensor) -> Result<u64> {
        let mut list = self.tensors.lock();
        push(&mut list, t.alias_same())?;
        Ok(list.len() as u64 - 1)
    }
    fn unpack(&self, token: u64) -> Result<Tensor> {
        let t = self.tensors.lock().get(token as usize).cloned();
        t.ok_or_else(|| Error::new(ErrorKind::Runtime, "checkpoint: the graph of the second call outlived it"))
    }
    fn release(&self, _: u64) {}
}

/// Calls `function(inputs)` without keeping what its ops save: a backward pass that wants it calls the function again on the
/// same inputs, with the automatic casts and, with `preserve_random`, the random numbers of the first call. Gradients go to
/// the inputs and to whatever else the function uses. An input that was written to meanwhile is an error, and so is a
/// function whose second call saves something else.
pub fn checkpoint(function: Function, inputs: &[Tensor], preserve_random: bool) -> Result<Vec<Tensor>> {
    let mut list = Vec::new();
    for t in inputs {
        let input = Input { tensor: t.alias_same(), version: t.version(), wants_grad: autograd::requires_grad(t) };
        push(&mut list, input)?;
    }
    let frame = Arc::new(Frame {
        function,
        inputs: list,
        random: preserve_random.then(|| default_generator().get_state()),
        casts: autocast::settings(),
        places: Mutex::new(Vec::new()),
    });
    let _hooked = Hooked::by(frame.clone());
    (frame.function)(inputs)
}
