//! Autograd: backward, grad, modes, hooks, graph nodes.

use super::convert::{Call, Lent};
use super::error;
use super::handle::{self, Kind};
use super::types::*;
use super::user::{CStruct, Callbacks, User};
use crate::autograd::engine::Options;
use crate::autograd::node::NodeHook;
use crate::autograd::{self, meta, mode};
use crate::bail;
use crate::base::error::{Error, ErrorKind, Result};
use crate::gate;
use crate::ops::{self, GradCheck};
use crate::tensor::Tensor;
use std::os::raw::c_void;
use std::sync::Arc;

/// `taper_backward`.
pub fn backward(
    c: &Call,
    tensors: &[Tensor],
    grads: &[Option<Tensor>],
    retain_graph: bool,
    create_graph: bool,
    inputs: &[Tensor],
) -> Result<()> {
    if !grads.is_empty() {
        c.same_len(1, "grads", grads.len(), tensors.len())?;
    }
    let inputs = if inputs.is_empty() { None } else { Some(inputs) };
    ops::backward(tensors, grads, Options { retain_graph: retain_graph || create_graph, create_graph }, inputs)
}

/// `taper_grad`.
pub fn grad(
    c: &Call,
    outputs: &[Tensor],
    inputs: &[Tensor],
    grad_outputs: &[Option<Tensor>],
    retain_graph: bool,
    create_graph: bool,
    allow_unused: bool,
) -> Result<Vec<Option<Tensor>>> {
    if !grad_outputs.is_empty() {
        c.same_len(2, "grad_outputs", grad_outputs.len(), outputs.len())?;
    }
    let options = Options { retain_graph: retain_graph || create_graph, create_graph };
    ops::grad(outputs, inputs, grad_outputs, options, allow_unused)
}

/// `taper_grad_mode_enabled`.
pub fn grad_mode_enabled() -> bool {
    mode::grad_enabled()
}

/// `taper_set_grad_mode`.
pub fn set_grad_mode(enabled: bool) -> bool {
    mode::set_grad_enabled(enabled)
}

/// `taper_inference_mode_enabled`.
pub fn inference_mode_enabled() -> bool {
    mode::inference_mode()
}

/// `taper_set_inference_mode`.
pub fn set_inference_mode(enabled: bool) -> bool {
    mode::set_inference_mode(enabled)
}

/// `taper_set_detect_anomaly`.
pub fn set_detect_anomaly(enabled: bool, check_nan: bool) -> bool {
    let to = match (enabled, check_nan) {
        (false, _) => mode::Anomaly::Off,
        (true, false) => mode::Anomaly::On,
        (true, true) => mode::Anomaly::CheckNan,
    };
    mode::set_anomaly(to) != mode::Anomaly::Off
}

/// `taper_detect_anomaly_enabled`.
pub fn detect_anomaly_enabled() -> bool {
    mode::anomaly() != mode::Anomaly::Off
}

/// `taper_detect_anomaly_checks_nan`.
pub fn detect_anomaly_checks_nan() -> bool {
    mode::anomaly() == mode::Anomaly::CheckNan
}

/// A tensor hook.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_hook_vtable {
    /// sizeof(taper_hook_vtable).
    pub struct_size: usize,
    /// Called with a gradient (borrowed, valid during the call). It may set *out to another gradient, which the library
    /// takes over; *out is NULL before. An error that it returns ends the backward pass and passes to its caller.
    pub call: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            grad: *mut taper_tensor,
            out: *mut *mut taper_tensor,
        ) -> *mut taper_error,
    >,
    /// Called with user exactly once, when the hook is gone; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_hook_vtable {
    const INIT: Self = taper_hook_vtable { struct_size: 0, call: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_hook_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

type HookFn = Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>;

/// Takes over a tensor that a callback handed out.
pub fn take_tensor(what: &str, h: *mut taper_tensor) -> Result<Option<Tensor>> {
    if h.is_null() {
        return Ok(None);
    }
    match handle::remove(h as usize, Kind::Tensor) {
        Ok(handle::Object::Tensor(t)) => Ok(Some(t)),
        _ => crate::bail!(Callback, "{what} set its result to {h:p}, which is no live tensor handle"),
    }
}

fn hook(c: &Call, vt: taper_hook_vtable, user: User, what: &'static str) -> Result<HookFn> {
    let Some(call) = vt.call else {
        return Err(c.invalid(ErrorKind::Value, 1, "vtable", "its call function is NULL"));
    };
    Ok(Arc::new(move |grad: &Tensor| {
        let lent = Lent::new(grad)?;
        let mut out = std::ptr::null_mut();
        // SAFETY: the function and user pointer come together from the caller; user is alive as long as this closure.
        let e = unsafe { call(user.get(), lent.0, &mut out) };
        // A hook may hand back the very handle it was lent.
        let result = if out == lent.0 { Some(grad.clone()) } else { take_tensor(what, out)? };
        match error::take(e) {
            Some(e) => Err(e),
            None => Ok(result),
        }
    }))
}

/// `taper_tensor_register_hook`.
pub fn tensor_register_hook(c: &Call, t: &Tensor, vt: taper_hook_vtable, user: User) -> Result<u64> {
    let f = hook(c, vt, user, "a tensor hook")?;
    meta::register_hook(t, f)
}

/// `taper_tensor_register_post_accumulate_grad_hook`.
pub fn tensor_register_post_accumulate_grad_hook(
    c: &Call,
    t: &Tensor,
    vt: taper_hook_vtable,
    user: User,
) -> Result<u64> {
    let f = hook(c, vt, user, "a post-accumulate hook")?;
    meta::register_post_accumulate_hook(t, f)
}

/// `taper_tensor_remove_hook`.
pub fn tensor_remove_hook(t: &Tensor, id: u64) -> Result<()> {
    meta::remove_hook(t, id);
    Ok(())
}

/// What keeps the tensors that ops save for backward.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_saved_hooks_vtable {
    /// sizeof(taper_saved_hooks_vtable).
    pub struct_size: usize,
    /// Called, outside of recording, with a tensor that an op saves (borrowed, valid during the call; taper_tensor_ref keeps
    /// it). Sets *token to a number of the caller's. An error that it returns is the op's.
    pub pack:
        Option<unsafe extern "C" fn(user: *mut c_void, tensor: *mut taper_tensor, token: *mut u64) -> *mut taper_error>,
    /// Called when backward wants the tensor. Sets *out to one of its values, which the library takes over.
    pub unpack:
        Option<unsafe extern "C" fn(user: *mut c_void, token: u64, out: *mut *mut taper_tensor) -> *mut taper_error>,
    /// Called once for each token, from any thread, when the tensor is not needed any more; or NULL.
    pub release: Option<unsafe extern "C" fn(user: *mut c_void, token: u64)>,
    /// Called with user exactly once, when the hooks are popped and nothing is kept by them; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_saved_hooks_vtable {
    const INIT: Self = taper_saved_hooks_vtable { struct_size: 0, pack: None, unpack: None, release: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_saved_hooks_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

struct CSavedHooks {
    pack: unsafe extern "C" fn(*mut c_void, *mut taper_tensor, *mut u64) -> *mut taper_error,
    unpack: unsafe extern "C" fn(*mut c_void, u64, *mut *mut taper_tensor) -> *mut taper_error,
    release: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    user: User,
}
impl autograd::SavedHooks for CSavedHooks {
    fn pack(&self, t: &Tensor) -> Result<u64> {
        let lent = Lent::new(t)?;
        let mut token = 0;
        // SAFETY: the function and user pointer come together from the caller; user lives as long as self.
        let e = unsafe { (self.pack)(self.user.get(), lent.0, &mut token) };
        match error::take(e) {
            Some(e) => Err(e),
            None => Ok(token),
        }
    }
    fn unpack(&self, token: u64) -> Result<Tensor> {
        let mut out = std::ptr::null_mut();
        // SAFETY: as above.
        let e = unsafe { (self.unpack)(self.user.get(), token, &mut out) };
        let tensor = take_tensor("a saved tensor hook", out)?;
        if let Some(e) = error::take(e) {
            return Err(e);
        }
        match tensor {
            Some(t) => Ok(t),
            None => crate::bail!(Type, "Output of saved tensor unpack_hook expected to be a Tensor"),
        }
    }
    fn release(&self, token: u64) {
        if let Some(release) = self.release {
            // SAFETY: as above.
            unsafe { release(self.user.get(), token) }
        }
    }
}

/// `taper_saved_tensors_hooks_push`.
pub fn saved_tensors_hooks_push(c: &Call, vt: taper_saved_hooks_vtable, user: User) -> Result<()> {
    let (Some(pack), Some(unpack)) = (vt.pack, vt.unpack) else {
        return Err(c.invalid(ErrorKind::Value, 0, "vtable", "its pack or unpack function is NULL"));
    };
    autograd::push_hooks(Arc::new(CSavedHooks { pack, unpack, release: vt.release, user }));
    Ok(())
}

/// `taper_saved_tensors_hooks_pop`.
pub fn saved_tensors_hooks_pop() -> bool {
    autograd::pop_hooks()
}

/// `taper_tensor_retain_grad`.
pub fn tensor_retain_grad(t: &Tensor) -> Result<()> {
    meta::retain_grad(t)
}

/// `taper_tensor_grad_fn`.
pub fn tensor_grad_fn(t: &Tensor) -> Result<Option<Arc<crate::autograd::Node>>> {
    Ok(autograd::grad_fn(t))
}

/// `taper_node_name`.
pub fn node_name(n: &Arc<crate::autograd::Node>) -> Result<String> {
    Ok(n.name.to_string())
}

/// `taper_node_id`.
pub fn node_id(n: &Arc<crate::autograd::Node>) -> u64 {
    Arc::as_ptr(n) as usize as u64
}

/// `taper_node_next_len`.
pub fn node_next_len(n: &Arc<crate::autograd::Node>) -> i64 {
    n.edges.len() as i64
}

/// `taper_node_next`.
pub fn node_next(
    c: &Call,
    n: &Arc<crate::autograd::Node>,
    i: usize,
) -> Result<(Option<Arc<crate::autograd::Node>>, i64)> {
    let Some(edge) = n.edges.get(i) else {
        let what = format!("index {i} is out of range for a node of {} inputs", n.edges.len());
        return Err(c.invalid(ErrorKind::Index, 1, "i", what));
    };
    Ok((edge.as_ref().map(|e| e.node.clone()), edge.as_ref().map_or(0, |e| e.nr as i64)))
}

/// A hook on a graph node.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_node_hook_vtable {
    /// sizeof(taper_node_hook_vtable).
    pub struct_size: usize,
    /// Called with the gradients of the node's op's inputs and outputs (borrowed, NULL where there is none). It may set
    /// *out to a list (taper_tensor_list_new) that replaces them, which the library takes over; *out is NULL before.
    pub call: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            grad_inputs: *const *mut taper_tensor,
            grad_inputs_len: usize,
            grad_outputs: *const *mut taper_tensor,
            grad_outputs_len: usize,
            out: *mut *mut taper_tensor_list,
        ) -> *mut taper_error,
    >,
    /// Called with user exactly once, when the hook is gone; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_node_hook_vtable {
    const INIT: Self = taper_node_hook_vtable { struct_size: 0, call: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_node_hook_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

fn node_hook(c: &Call, vt: taper_node_hook_vtable, user: User, replaces_inputs: bool) -> Result<NodeHook> {
    let Some(call) = vt.call else {
        return Err(c.invalid(ErrorKind::Value, 1, "vtable", "its call function is NULL"));
    };
    Ok(Arc::new(move |first: &[Option<Tensor>], second: &[Option<Tensor>]| {
        // The engine gives a pre-hook the output gradients alone, a post-hook inputs first.
        let (inputs, outputs) = if replaces_inputs { (first, second) } else { (second, first) };
        let n = inputs.len();
        let all = inputs.iter().chain(outputs).cloned();
        super::function::call_with_lists("a node hook", all, |p, total, list| {
            // SAFETY: function and user pointer come together from the caller; p has total elements, n of them inputs.
            unsafe { call(user.get(), p, n, p.add(n), total - n, list) }
        })
    }))
}

/// `taper_node_register_hook`.
pub fn node_register_hook(
    c: &Call,
    n: &Arc<crate::autograd::Node>,
    vt: taper_node_hook_vtable,
    user: User,
) -> Result<u64> {
    let f = node_hook(c, vt, user, true)?;
    let number = crate::autograd::node::next_hook_id();
    n.post_hooks.lock().push((number, f));
    Ok(number)
}

/// `taper_node_register_prehook`.
pub fn node_register_prehook(
    c: &Call,
    n: &Arc<crate::autograd::Node>,
    vt: taper_node_hook_vtable,
    user: User,
) -> Result<u64> {
    let f = node_hook(c, vt, user, false)?;
    let number = crate::autograd::node::next_hook_id();
    n.pre_hooks.lock().push((number, f));
    Ok(number)
}

/// `taper_node_remove_hook`.
pub fn node_remove_hook(n: &Arc<crate::autograd::Node>, id: u64) -> Result<()> {
    for hooks in [&n.pre_hooks, &n.post_hooks] {
        let mut hooks = hooks.lock();
        let gone: Vec<_> = hooks.iter().position(|h| h.0 == id).map(|i| hooks.remove(i)).into_iter().collect();
        // Dropping may call back: not under the lock.
        drop(hooks);
        drop(gone);
    }
    Ok(())
}

/// A function of tensors, for taper_gradcheck.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_tensor_fn_vtable {
    /// sizeof(taper_tensor_fn_vtable).
    pub struct_size: usize,
    /// Computes outputs from inputs (borrowed). Sets *outputs to a list made with taper_tensor_list_new, which the
    /// library takes over.
    pub call: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            inputs: *const *mut taper_tensor,
            inputs_len: usize,
            outputs: *mut *mut taper_tensor_list,
        ) -> *mut taper_error,
    >,
    /// Called with user exactly once, at the end; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_tensor_fn_vtable {
    const INIT: Self = taper_tensor_fn_vtable { struct_size: 0, call: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_tensor_fn_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// Tolerances of taper_gradcheck; start from TAPER_GRADCHECK_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_gradcheck_options {
    /// sizeof(taper_gradcheck_options).
    pub struct_size: usize,
    /// Step of the central differences.
    pub eps: f64,
    pub atol: f64,
    pub rtol: f64,
}
// SAFETY: repr(C), a size, numbers.
unsafe impl CStruct for taper_gradcheck_options {
    const INIT: Self = taper_gradcheck_options { struct_size: 0, eps: 1e-6, atol: 1e-5, rtol: 1e-3 };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}

type Check = fn(&dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>, &[Tensor], GradCheck) -> Result<()>;

/// A caller's function of tensors.
fn tensor_fn(
    c: &Call,
    vtable: taper_tensor_fn_vtable,
    user: User,
) -> Result<impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync> {
    let Some(call) = vtable.call else {
        return Err(c.invalid(ErrorKind::Value, 0, "vtable", "its call function is NULL"));
    };
    Ok(move |xs: &[Tensor]| -> Result<Vec<Tensor>> {
        let out = super::function::call_with_lists("the function", xs.iter().cloned().map(Some), |p, n, list| {
            // SAFETY: function and user pointer come together from the caller.
            unsafe { call(user.get(), p, n, list) }
        })?;
        out.and_then(|l| l.into_iter().collect()).ok_or_else(|| {
            Error::new(ErrorKind::Callback, "the function returned success but no list of tensors without NULL")
        })
    })
}

fn run_gradcheck(
    c: &Call,
    check: Check,
    vtable: taper_tensor_fn_vtable,
    user: User,
    inputs: &[Tensor],
    options: Option<taper_gradcheck_options>,
) -> Result<()> {
    let f = tensor_fn(c, vtable, user)?;
    let o = options.unwrap_or(taper_gradcheck_options::INIT);
    check(&f, inputs, GradCheck { eps: o.eps, atol: o.atol, rtol: o.rtol })
}

/// `taper_gradcheck`.
pub fn gradcheck(
    c: &Call,
    vtable: taper_tensor_fn_vtable,
    user: User,
    inputs: &[Tensor],
    options: Option<taper_gradcheck_options>,
) -> Result<()> {
    run_gradcheck(c, ops::gradcheck, vtable, user, inputs, options)
}

/// `taper_gradgradcheck`.
pub fn gradgradcheck(
    c: &Call,
    vtable: taper_tensor_fn_vtable,
    user: User,
    inputs: &[Tensor],
    options: Option<taper_gradcheck_options>,
) -> Result<()> {
    run_gradcheck(c, ops::gradgradcheck, vtable, user, inputs, options)
}

/// `taper_checkpoint`.
pub fn checkpoint(
    c: &Call,
    vtable: taper_tensor_fn_vtable,
    user: User,
    inputs: &[Tensor],
    preserve_rng_state: bool,
) -> Result<Vec<Tensor>> {
    let f = tensor_fn(c, vtable, user)?;
    gate::checkpoint::checkpoint(Box::new(f), inputs, preserve_rng_state)
}

/// `taper_per_sample_grads`.
pub fn per_sample_grads(
    c: &Call,
    vtable: taper_tensor_fn_vtable,
    user: User,
    parameters: &[Tensor],
    batch: &[Tensor],
) -> Result<Vec<Tensor>> {
    let f = tensor_fn(c, vtable, user)?;
    let loss = |xs: &[Tensor]| match &f(xs)?[..] {
        [loss] => Ok(loss.clone()),
        more => bail!(Callback, "per_sample_grads: expected the function to return one tensor, got {}", more.len()),
    };
    ops::per_sample_grads(&loss, parameters, batch)
}
