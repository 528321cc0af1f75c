//! Lazy modules: parameters and buffers that have no shape until the first input comes.

use super::module::state::load_one;
use super::Module;
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::sync::Mutex;
use crate::{autograd, bail, ensure, Result, Tensor};
use std::sync::atomic::Ordering;

/// One at a time: two threads may bring a module's first input. Building is rare, and no callback runs inside.
static BUILDING: Mutex<()> = Mutex::new(());

impl Module {
    /// Registers a parameter that has no shape yet. Its tensor is the one that it will be, so that an optimiser may hold
    /// it already; its dtype and device are kept and follow `to`.
    pub fn register_uninitialized_parameter(&self, name: &str, dtype: DType, device: Device) -> Result<()> {
        self.register_parameter(name, Some(Tensor::empty(&[0], dtype, device)?))?;
        self.note_shapeless(name);
        Ok(())
    }
    /// Registers a buffer that has no shape yet.
    pub fn register_uninitialized_buffer(&self, name: &str, dtype: DType, device: Device) -> Result<()> {
        self.register_buffer(name, Some(Tensor::empty(&[0], dtype, device)?), true)?;
        self.note_shapeless(name);
        Ok(())
    }
    fn note_shapeless(&self, name: &str) {
        self.0.state.write().shapeless.insert(name.to_string());
        self.0.lazy.store(true, Ordering::Release);
    }
    /// Whether a parameter or buffer of this module itself has no shape yet.
    pub fn has_uninitialized_params(&self) -> bool {
        !self.0.state.read().shapeless.is_empty()
    }
    /// Whether this module's own parameter or buffer has no shape yet.
    pub fn is_uninitialized(&self, name: &str) -> bool {
        self.0.state.read().shapeless.contains(name)
    }
    /// Gives a parameter or buffer its shape; its values are whatever the memory holds. Nothing happens to one that has
    /// a shape, as from a state dict.
    pub fn materialize(&self, name: &str, shape: &[i64]) -> Result<()> {
        if !self.is_uninitialized(name) {
            return Ok(());
        }
        let Some(t) = self.parameter(name).or_else(|| self.buffer(name)) else {
            bail!(Runtime, "'{}' object has no parameter or buffer '{name}'", self.name())
        };
        super::replace_data(&t, &Tensor::empty(shape, t.dtype(), t.device())?)?;
        self.0.state.write().shapeless.remove(name);
        Ok(())
    }
    /// The type that this module prints from now on: a LazyLinear becomes a Linear. The first one stays.
    pub fn become_type(&self, name: &'static str) {
        let _ = self.0.became.set(name);
    }
    /// What the first forward does before everything else.
    #[cold]
    pub(super) fn initialize(&self, inputs: &[Option<Tensor>]) -> Result<()> {
        let _building = BUILDING.lock();
        if !self.0.lazy.load(Ordering::Acquire) {
            return Ok(());
        }
        autograd::no_grad(|| self.0.layer.initialize(self, inputs))?;
        ensure!(!self.has_uninitialized_params(), Runtime, "module {} has not been fully initialized", self.name());
        self.0.lazy.store(false, Ordering::Release);
        Ok(())
    }
    /// Loads one entry of a state dict; what has no shape yet takes the entry's.
    pub(super) fn load_own(
        &self,
        key: &str,
        name: &str,
        target: &Tensor,
        source: &Tensor,
    ) -> Result<std::result::Result<(), String>> {
        self.materialize(name, &source.shape())?;
        load_one(key, target, source)
    }
}

/// The first input of a lazy layer.
pub(super) fn first<'a>(m: &Module, inputs: &'a [Option<Tensor>]) -> Result<&'a Tensor> {
    match inputs.first() {
        Some(Some(x)) => Ok(x),
        _ => bail!(Type, "{}.forward() takes 1 input, got none", m.name()),
    }
}
