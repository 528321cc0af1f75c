//! Handle types and the objects behind them.

use super::handle::{self, Fault, Kind, Object};
use super::panics::getter;
use super::scope;
use super::types::*;
use crate::backend::memory;
use crate::base::error::Result;
use crate::rng::Generator;
use crate::tensor::Tensor;
use std::sync::Arc;

/// The body of a `_free` function: true when the handle was NULL or alive.
#[inline]
pub fn free<T>(handle: *const T, kind: Kind) -> bool {
    if handle.is_null() {
        return true;
    }
    getter(false, || handle::remove(handle as usize, kind).ok().map(drop).map(|_| true))
}

/// The same of a handle type.
#[inline]
pub fn free_handle<T: HandleType>(h: *mut T) -> bool {
    free(h, T::KIND)
}

/// A handle type whose objects stand in the table; `Object` is cheap to clone.
pub trait HandleType {
    const KIND: Kind;
    type Object: Clone + Send + Sync + 'static;
}
macro_rules! handle_types {
    ($($c:ty => $kind:ident, $object:ty;)*) => {$(
        impl HandleType for $c {
            const KIND: Kind = Kind::$kind;
            type Object = $object;
        })*};
}
/// The tensors behind a `taper_tensor_list`; None where `taper_grad` found no gradient.
pub type TensorList = Arc<Vec<Option<Tensor>>>;
handle_types! {
    taper_tensor => Tensor, Tensor;
    taper_tensor_list => TensorList, TensorList;
    taper_generator => Generator, Generator;
    taper_graph => Graph, Arc<dyn crate::backend::Graph>;
    taper_node => Node, Arc<crate::autograd::Node>;
}

/// The object of a handle, without a message.
#[inline]
pub fn object<T: HandleType>(h: *const T) -> std::result::Result<T::Object, Fault> {
    handle::get::<T::Object>(h as usize, T::KIND)
}

/// Puts an object into the table and into the open scope.
#[inline]
pub fn place(kind: Kind, object: Object) -> Result<usize> {
    let bits = handle::insert(kind, object)?;
    if !scope::note(kind, bits) {
        drop(handle::remove(bits, kind));
        return Err(memory::out_of_memory(std::mem::size_of::<(Kind, usize)>()));
    }
    Ok(bits)
}

/// What the table holds of an object.
fn held<T: HandleType>(o: T::Object) -> Result<Object> {
    if T::KIND != Kind::Tensor {
        return Ok(Object::Other(Box::new(o)));
    }
    // Unboxed: the generic path of the hot type.
    let mut o = Some(o);
    let t = (&mut o as &mut dyn std::any::Any).downcast_mut::<Option<Tensor>>().and_then(Option::take);
    match t {
        Some(t) => Ok(Object::Tensor(t)),
        None => crate::bail!(Internal, "tensor handle of another type"),
    }
}

/// Puts an object into the table and makes its handle.
pub fn new_handle<T: HandleType>(o: T::Object) -> Result<*mut T> {
    Ok(place(T::KIND, held::<T>(o)?)? as *mut T)
}

/// A borrowed handle for the time of a callback.
pub struct Lent<T: HandleType>(pub *mut T);
impl<T: HandleType> Lent<T> {
    pub fn new(o: &T::Object) -> Result<Lent<T>> {
        // Not noted in a scope: the library frees it itself.
        Ok(Lent(handle::insert(T::KIND, held::<T>(o.clone())?)? as *mut T))
    }
}
impl<T: HandleType> Drop for Lent<T> {
    fn drop(&mut self) {
        drop(handle::remove(self.0 as usize, T::KIND));
    }
}
