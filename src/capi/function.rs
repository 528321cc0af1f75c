//! Custom functions: forward and backward as callbacks.

use super::convert::{object, Call, HandleType, Lent};
use super::error;
use super::handle::{self, Kind, Object};
use super::types::*;
use super::user::{CStruct, Callbacks, User};
use crate::autograd::custom::{self, CustomFunction, FunctionCtx};
use crate::autograd::Ctx;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::ffi::CStr;
use std::os::raw::{c_char, c_void};
use std::sync::Arc;

type Forward = unsafe extern "C" fn(
    user: *mut c_void,
    ctx: *mut taper_function_ctx,
    inputs: *const *mut taper_tensor,
    inputs_len: usize,
    outputs: *mut *mut taper_tensor_list,
) -> *mut taper_error;

/// A differentiable function of the caller.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_function_vtable {
    /// sizeof(taper_function_vtable).
    pub struct_size: usize,
    /// Name of the graph node; copied. NULL: "CustomFunctionBackward".
    pub name: *const c_char,
    /// Computes the outputs, unrecorded. inputs are borrowed and valid during the call. Sets *outputs to a list made
    /// with taper_tensor_list_new, which the library takes over.
    pub forward: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            ctx: *mut taper_function_ctx,
            inputs: *const *mut taper_tensor,
            inputs_len: usize,
            outputs: *mut *mut taper_tensor_list,
        ) -> *mut taper_error,
    >,
    /// Computes the inputs' gradients from the outputs' (NULL elements: no gradient). Sets *grad_inputs to a list of
    /// one element per input (NULL elements for inputs that need none), which the library takes over. It runs on the
    /// thread that called backward, recorded when create_graph is on.
    pub backward: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            ctx: *mut taper_function_ctx,
            grad_outputs: *const *mut taper_tensor,
            grad_outputs_len: usize,
            grad_inputs: *mut *mut taper_tensor_list,
        ) -> *mut taper_error,
    >,
    /// Called with user exactly once, when neither the call nor a graph needs it any more; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, a pointer, optional functions.
unsafe impl CStruct for taper_function_vtable {
    const INIT: Self =
        taper_function_vtable { struct_size: 0, name: std::ptr::null(), forward: None, backward: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_function_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// What a context handle refers to while a callback runs.
#[derive(Default)]
pub struct CtxState {
    /// In forward: what the callback asked for.
    to_save: Mutex<Vec<Option<Tensor>>>,
    dirty: Mutex<Vec<Tensor>>,
    non_differentiable: Mutex<Vec<Tensor>>,
    /// In backward: what forward saved, or why it cannot be had.
    saved: Option<Result<Vec<Option<Tensor>>>>,
    needs: Vec<bool>,
}
impl HandleType for taper_function_ctx {
    const KIND: Kind = Kind::FunctionCtx;
    type Object = Arc<CtxState>;
}

/// A context's handle for the time of a callback.
struct CtxHandle(*mut taper_function_ctx);
impl CtxHandle {
    fn new(state: Arc<CtxState>) -> Result<CtxHandle> {
        let bits = handle::insert(Kind::FunctionCtx, Object::Other(Box::new(state)))?;
        Ok(CtxHandle(bits as *mut taper_function_ctx))
    }
}
impl Drop for CtxHandle {
    fn drop(&mut self) {
        drop(handle::remove(self.0 as usize, Kind::FunctionCtx));
    }
}

struct CFunction {
    name: String,
    forward: Forward,
    backward: Option<Forward>,
    inputs: usize,
    user: User,
}

impl CFunction {
    fn call(
        &self,
        f: Forward,
        what: &str,
        state: Arc<CtxState>,
        tensors: impl Iterator<Item = Option<Tensor>>,
    ) -> Result<Vec<Option<Tensor>>> {
        let ctx = CtxHandle::new(state)?;
        let what = format!("{what} of {}", self.name);
        // SAFETY: function and user pointer come together from the caller; handles and ctx outlive the call.
        call_with_lists(&what, tensors, |p, n, list| unsafe { f(self.user.get(), ctx.0, p, n, list) })?
            .ok_or_else(|| Error::new(ErrorKind::Callback, format!("{what} returned success but set no result list")))
    }
}

/// Calls back with an array of lent handles and takes over the list that comes out; None when none was set.
pub fn call_with_lists(
    what: &str,
    tensors: impl Iterator<Item = Option<Tensor>>,
    f: impl FnOnce(*const *mut taper_tensor, usize, *mut *mut taper_tensor_list) -> *mut taper_error,
) -> Result<Option<Vec<Option<Tensor>>>> {
    let lent: SmallVec<[Option<Lent<taper_tensor>>; 8]> =
        tensors.map(|t| t.map(|t| Lent::new(&t)).transpose()).collect::<Result<_>>()?;
    let handles: SmallVec<[*mut taper_tensor; 8]> =
        lent.iter().map(|l| l.as_ref().map_or(std::ptr::null_mut(), |l| l.0)).collect();
    let mut list = std::ptr::null_mut();
    let e = f(handles.as_ptr(), handles.len(), &mut list);
    let found = if list.is_null() { None } else { Some(object(list as *const taper_tensor_list)) };
    drop(handle::remove(list as usize, Kind::TensorList));
    if let Some(e) = error::take(e) {
        return Err(e);
    }
    match found {
        Some(Ok(l)) => Ok(Some(l.to_vec())),
        Some(Err(_)) => crate::bail!(Callback, "{what} set its result to something that is no live tensor list"),
        None => Ok(None),
    }
}

impl CustomFunction for CFunction {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn forward(&self, ctx: &FunctionCtx, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let needs = (0..inputs.len()).map(|i| ctx.needs_input_grad(i)).collect();
        let state = Arc::new(CtxState { needs, ..CtxState::default() });
        let outputs = self.call(self.forward, "forward", state.clone(), inputs.iter().cloned().map(Some))?;
        ctx.save_for_backward(std::mem::take(&mut *state.to_save.lock()));
        ctx.mark_dirty(&state.dirty.lock());
        ctx.mark_non_differentiable(&state.non_differentiable.lock());
        let name = &self.name;
        outputs
            .into_iter()
            .enumerate()
            .map(|(i, t)| match t {
                Some(t) => Ok(t),
                None => crate::bail!(Callback, "forward of {name}: output {i} is NULL"),
            })
            .collect()
    }
    fn backward(&self, ctx: &FunctionCtx, node: &Ctx, grads: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let Some(backward) = self.backward else {
            crate::bail!(NotImplemented, "the custom function {} has no backward", self.name)
        };
        let needs = (0..self.inputs).map(|i| node.needs(i)).collect();
        // An error here is the callback's to see, and only if it asks.
        let state = Arc::new(CtxState { saved: Some(ctx.saved_tensors(node)), needs, ..CtxState::default() });
        self.call(backward, "backward", state, grads.iter().cloned())
    }
}

/// `taper_function_apply`.
pub fn function_apply(c: &Call, vtable: taper_function_vtable, user: User, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let Some(forward) = vtable.forward else {
        return Err(c.invalid(ErrorKind::Value, 0, "vtable", "its forward function is NULL"));
    };
    let name = if vtable.name.is_null() {
        "CustomFunctionBackward".to_string()
    } else {
        // SAFETY: the header says that name ends with NUL.
        unsafe { CStr::from_ptr(vtable.name) }.to_string_lossy().into_owned()
    };
    let f = CFunction { name, forward, backward: vtable.backward, inputs: inputs.len(), user };
    custom::apply(Arc::new(f), inputs)
}

/// `taper_function_ctx_save_for_backward`.
pub fn function_ctx_save_for_backward(c: &Call, ctx: &Arc<CtxState>, tensors: &[Option<Tensor>]) -> Result<()> {
    in_forward(c, ctx)?;
    *ctx.to_save.lock() = tensors.to_vec();
    Ok(())
}

fn in_forward(c: &Call, state: &CtxState) -> Result<()> {
    if state.saved.is_some() {
        return Err(c.invalid(ErrorKind::Runtime, 0, "ctx", "only forward may call this, not backward"));
    }
    Ok(())
}

/// `taper_function_ctx_saved_tensors`.
pub fn function_ctx_saved_tensors(c: &Call, ctx: &Arc<CtxState>) -> Result<Vec<Option<Tensor>>> {
    match &ctx.saved {
        Some(saved) => saved.clone(),
        None => Err(c.invalid(ErrorKind::Runtime, 0, "ctx", "only backward may call this, not forward")),
    }
}

/// `taper_function_ctx_mark_dirty`.
pub fn function_ctx_mark_dirty(c: &Call, ctx: &Arc<CtxState>, tensors: &[Tensor]) -> Result<()> {
    in_forward(c, ctx)?;
    ctx.dirty.lock().extend_from_slice(tensors);
    Ok(())
}

/// `taper_function_ctx_mark_non_differentiable`.
pub fn function_ctx_mark_non_differentiable(c: &Call, ctx: &Arc<CtxState>, tensors: &[Tensor]) -> Result<()> {
    in_forward(c, ctx)?;
    ctx.non_differentiable.lock().extend_from_slice(tensors);
    Ok(())
}

/// `taper_function_ctx_needs_input_grad`.
pub fn function_ctx_needs_input_grad(ctx: &Arc<CtxState>, i: usize) -> i32 {
    ctx.needs.get(i).copied().unwrap_or(false) as i32
}
