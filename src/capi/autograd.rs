//! Autograd: backward, grad, modes, hooks, graph nodes.

use super::convert::{free, getter, guard, object};
use super::error;
use super::handle::{self, Kind};
use super::types::*;
use super::user::{read_struct, CStruct, User};
use crate::autograd::engine::Options;
use crate::autograd::node::NodeHook;
use crate::autograd::{self, meta, mode};
use crate::base::error::{Error, ErrorKind, Result};
use crate::ops::{self, GradCheck};
use crate::tensor::Tensor;
use std::os::raw::c_void;
use std::sync::Arc;

/// Computes the gradients of `tensors` and adds them to `.grad` of the leaves, or of `inputs` only when inputs_len is not 0.
/// grads, unless grads_len is 0, holds one gradient per tensor; a NULL element is 1 for a tensor of one element.
/// retain_graph keeps the graph for another backward; create_graph records the backward itself, for higher
/// derivatives. All handles are borrowed. Runs on the calling thread. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_backward(
    tensors: *const *mut taper_tensor,
    tensors_len: usize,
    grads: *const *mut taper_tensor,
    grads_len: usize,
    retain_graph: bool,
    create_graph: bool,
    inputs: *const *mut taper_tensor,
    inputs_len: usize,
) -> *mut taper_error {
    guard("backward", |c| {
        let tensors = c.tensors(0, "tensors", tensors, tensors_len)?;
        if grads_len != 0 {
            c.same_len(1, "grads", grads_len, tensors_len)?;
        }
        let grads = c.opt_tensors(1, "grads", grads, grads_len)?;
        let inputs = c.tensors(4, "inputs", inputs, inputs_len)?;
        let inputs = if inputs_len == 0 { None } else { Some(&inputs[..]) };
        ops::backward(&tensors, &grads, Options { retain_graph: retain_graph || create_graph, create_graph }, inputs)
    })
}

/// The gradients of `outputs` with respect to `inputs`, as a list with one element per input, owned by the caller; no `.grad`
/// is touched. grad_outputs, unless its length is 0, holds one gradient per output (NULL: 1). With allow_unused an
/// input that was not used has no gradient (taper_tensor_list_get gives NULL); without it that is an error. All
/// handles are borrowed. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_grad(
    outputs: *const *mut taper_tensor,
    outputs_len: usize,
    inputs: *const *mut taper_tensor,
    inputs_len: usize,
    grad_outputs: *const *mut taper_tensor,
    grad_outputs_len: usize,
    retain_graph: bool,
    create_graph: bool,
    allow_unused: bool,
    out: *mut *mut taper_tensor_list,
) -> *mut taper_error {
    guard("grad", |c| {
        let out = c.out(6, "out", out)?;
        let outputs = c.tensors(0, "outputs", outputs, outputs_len)?;
        let inputs = c.tensors(1, "inputs", inputs, inputs_len)?;
        if grad_outputs_len != 0 {
            c.same_len(2, "grad_outputs", grad_outputs_len, outputs_len)?;
        }
        let grads = c.opt_tensors(2, "grad_outputs", grad_outputs, grad_outputs_len)?;
        let options = Options { retain_graph: retain_graph || create_graph, create_graph };
        out.set(ops::grad(&outputs, &inputs, &grads, options, allow_unused)?)
    })
}

/// Whether ops on this thread are recorded. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_grad_mode_enabled() -> bool {
    mode::grad_enabled()
}

/// Switches recording on this thread and returns what it was: set it back to leave a no_grad block. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_set_grad_mode(enabled: bool) -> bool {
    mode::set_grad_enabled(enabled)
}

/// Whether inference mode is on for this thread. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_inference_mode_enabled() -> bool {
    mode::inference_mode()
}

/// Switches inference mode (no recording, no view tracking) on this thread and returns what it was. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_set_inference_mode(enabled: bool) -> bool {
    mode::set_inference_mode(enabled)
}

/// Anomaly mode, for all threads: with true, a backward pass that computes a NaN ends with an error that names the
/// function. Every function's gradients are read for it, so it is slow. Returns whether it was on. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_set_detect_anomaly(enabled: bool, check_nan: bool) -> bool {
    let to = match (enabled, check_nan) {
        (false, _) => mode::Anomaly::Off,
        (true, false) => mode::Anomaly::On,
        (true, true) => mode::Anomaly::CheckNan,
    };
    mode::set_anomaly(to) != mode::Anomaly::Off
}

/// Whether anomaly mode is on. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_detect_anomaly_enabled() -> bool {
    mode::anomaly() != mode::Anomaly::Off
}

/// Whether anomaly mode is on and looks for NaN. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_detect_anomaly_checks_nan() -> bool {
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

type HookFn = Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>;

/// A borrowed handle for the time of a callback.
pub struct Lent(pub *mut taper_tensor);
impl Lent {
    pub fn new(t: &Tensor) -> Result<Lent> {
        // Not noted in a scope: the library frees it itself.
        let bits = handle::insert(Kind::Tensor, handle::Object::Tensor(t.clone()))?;
        Ok(Lent(bits as *mut taper_tensor))
    }
}
impl Drop for Lent {
    fn drop(&mut self) {
        drop(handle::remove(self.0 as usize, Kind::Tensor));
    }
}

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

unsafe fn hook(
    c: &super::convert::Call,
    vtable: *const taper_hook_vtable,
    user: *mut c_void,
    what: &'static str,
) -> Result<HookFn> {
    // SAFETY: the header's contract.
    let vt = unsafe { read_struct(c, 1, "vtable", vtable) }?;
    let user = User::new(user, vt.drop);
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

/// Calls vtable->call with the tensor's gradient whenever backward computes it. id receives the hook's number, for
/// taper_tensor_remove_hook. Borrows t; user is owned by the hook (vtable->drop). Fails when t requires no grad.
/// Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_register_hook(
    t: *mut taper_tensor,
    vtable: *const taper_hook_vtable,
    user: *mut c_void,
    id: *mut u64,
) -> *mut taper_error {
    guard("tensor_register_hook", |c| {
        let f = hook(c, vtable, user, "a tensor hook")?;
        let id = c.out(3, "id", id)?;
        id.set(meta::register_hook(&c.tensor(0, "t", t)?, f)?)
    })
}

/// Calls vtable->call with the tensor itself (not its gradient) after backward has added to its `.grad`; what it sets *out
/// to is ignored. For leaves. Otherwise like taper_tensor_register_hook. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_register_post_accumulate_grad_hook(
    t: *mut taper_tensor,
    vtable: *const taper_hook_vtable,
    user: *mut c_void,
    id: *mut u64,
) -> *mut taper_error {
    guard("tensor_register_post_accumulate_grad_hook", |c| {
        let f = hook(c, vtable, user, "a post-accumulate hook")?;
        let id = c.out(3, "id", id)?;
        id.set(meta::register_post_accumulate_hook(&c.tensor(0, "t", t)?, f)?)
    })
}

/// Removes a hook of this tensor; unknown numbers are ignored. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_tensor_remove_hook(t: *mut taper_tensor, id: u64) -> *mut taper_error {
    guard("tensor_remove_hook", |c| {
        meta::remove_hook(&c.tensor(0, "t", t)?, id);
        Ok(())
    })
}

/// Keeps `.grad` of a tensor that is no leaf. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_tensor_retain_grad(t: *mut taper_tensor) -> *mut taper_error {
    guard("tensor_retain_grad", |c| meta::retain_grad(&c.tensor(0, "t", t)?))
}

/// The graph node that made the tensor, owned by the caller; NULL for a leaf. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_grad_fn(t: *mut taper_tensor, out: *mut *mut taper_node) -> *mut taper_error {
    guard("tensor_grad_fn", |c| {
        let out = c.out(1, "out", out)?;
        out.set(autograd::grad_fn(&c.tensor(0, "t", t)?))
    })
}

/// A node's name, like "AddBackward0", owned by the caller. Borrows n. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_node_name(n: *const taper_node, out: *mut *mut taper_string) -> *mut taper_error {
    guard("node_name", |c| {
        let out = c.out(1, "out", out)?;
        out.set(c.get(0, "n", n)?.name.clone())
    })
}

/// A node's identity: equal for two handles of one node; 0 for a bad handle. Borrows n. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_node_id(n: *const taper_node) -> u64 {
    getter(0, || object(n).ok().map(|n| Arc::as_ptr(&n) as usize as u64))
}

/// Number of inputs of the node's op (length of next_functions); -1 for a bad handle. Borrows n. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_node_next_len(n: *const taper_node) -> i64 {
    getter(-1, || object(n).ok().map(|n| n.edges.len() as i64))
}

/// The node that input i came from, owned by the caller (NULL when the input needs no gradient), and in output_nr which
/// of its outputs it was (output_nr may be NULL). Borrows n. Fails when i is out of range. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_node_next(
    n: *const taper_node,
    i: usize,
    out: *mut *mut taper_node,
    output_nr: *mut i64,
) -> *mut taper_error {
    guard("node_next", |c| {
        let out = c.out(2, "out", out)?;
        let nr = if output_nr.is_null() { None } else { Some(c.out(3, "output_nr", output_nr)?) };
        let node = c.get(0, "n", n)?;
        let Some(edge) = node.edges.get(i) else {
            let what = format!("index {i} is out of range for a node of {} inputs", node.edges.len());
            return Err(c.invalid(ErrorKind::Index, 1, "i", what));
        };
        if let (Some(nr), Some(e)) = (nr, edge) {
            nr.set(e.nr as i64)?;
        }
        out.set(edge.as_ref().map(|e| e.node.clone()))
    })
}

/// Frees a node's handle; the graph keeps what it needs. Consumes n; NULL is fine. Returns false when n was no live
/// node handle. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_node_free(n: *mut taper_node) -> bool {
    free(n, Kind::Node)
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

unsafe fn node_hook(
    c: &super::convert::Call,
    vtable: *const taper_node_hook_vtable,
    user: *mut c_void,
    replaces_inputs: bool,
) -> Result<NodeHook> {
    // SAFETY: the header's contract.
    let vt = unsafe { read_struct(c, 1, "vtable", vtable) }?;
    let user = User::new(user, vt.drop);
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

/// Calls vtable->call after the node has computed the gradients of its inputs, which the hook may replace; id receives the
/// hook's number. Borrows n; user is owned by the hook (vtable->drop). Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_node_register_hook(
    n: *mut taper_node,
    vtable: *const taper_node_hook_vtable,
    user: *mut c_void,
    id: *mut u64,
) -> *mut taper_error {
    guard("node_register_hook", |c| {
        let f = node_hook(c, vtable, user, true)?;
        let id = c.out(3, "id", id)?;
        let number = meta::next_hook_id();
        c.get(0, "n", n as *const taper_node)?.post_hooks.lock().push((number, f));
        id.set(number)
    })
}

/// Calls vtable->call before the node runs, with its output gradients only (grad_inputs_len is 0), which the hook may
/// replace. Otherwise like taper_node_register_hook. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_node_register_prehook(
    n: *mut taper_node,
    vtable: *const taper_node_hook_vtable,
    user: *mut c_void,
    id: *mut u64,
) -> *mut taper_error {
    guard("node_register_prehook", |c| {
        let f = node_hook(c, vtable, user, false)?;
        let id = c.out(3, "id", id)?;
        let number = meta::next_hook_id();
        c.get(0, "n", n as *const taper_node)?.pre_hooks.lock().push((number, f));
        id.set(number)
    })
}

/// Removes a hook of this node; unknown numbers are ignored. Borrows n. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_node_remove_hook(n: *mut taper_node, id: u64) -> *mut taper_error {
    guard("node_remove_hook", |c| {
        let node = c.get(0, "n", n as *const taper_node)?;
        for hooks in [&node.pre_hooks, &node.post_hooks] {
            let mut hooks = hooks.lock();
            let gone: Vec<_> = hooks.iter().position(|h| h.0 == id).map(|i| hooks.remove(i)).into_iter().collect();
            // Dropping may call back: not under the lock.
            drop(hooks);
            drop(gone);
        }
        Ok(())
    })
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

unsafe fn run_gradcheck(
    c: &super::convert::Call,
    check: Check,
    vtable: *const taper_tensor_fn_vtable,
    user: *mut c_void,
    inputs: *const *mut taper_tensor,
    inputs_len: usize,
    options: *const taper_gradcheck_options,
) -> Result<()> {
    // SAFETY: the header's contract.
    let vt = unsafe { read_struct(c, 0, "vtable", vtable) }?;
    let user = User::new(user, vt.drop);
    let Some(call) = vt.call else {
        return Err(c.invalid(ErrorKind::Value, 0, "vtable", "its call function is NULL"));
    };
    // SAFETY: the header's contract.
    let inputs = unsafe { c.tensors(2, "inputs", inputs, inputs_len) }?;
    let o = if options.is_null() {
        taper_gradcheck_options::INIT
    } else {
        // SAFETY: the header's contract.
        unsafe { read_struct(c, 3, "options", options) }?
    };
    let f = |xs: &[Tensor]| -> Result<Vec<Tensor>> {
        let out = super::function::call_with_lists("the function", xs.iter().cloned().map(Some), |p, n, list| {
            // SAFETY: function and user pointer come together from the caller.
            unsafe { call(user.get(), p, n, list) }
        })?;
        out.and_then(|l| l.into_iter().collect()).ok_or_else(|| {
            Error::new(ErrorKind::Callback, "the function returned success but no list of tensors without NULL")
        })
    };
    check(&f, &inputs, GradCheck { eps: o.eps, atol: o.atol, rtol: o.rtol })
}

/// Compares the gradients of a function at inputs (float64, those to check with requires_grad) with central differences;
/// an error says where they differ and by how much. options may be NULL. Borrows the inputs; user is owned by the call
/// (vtable->drop). Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_gradcheck(
    vtable: *const taper_tensor_fn_vtable,
    user: *mut c_void,
    inputs: *const *mut taper_tensor,
    inputs_len: usize,
    options: *const taper_gradcheck_options,
) -> *mut taper_error {
    guard("gradcheck", |c| run_gradcheck(c, ops::gradcheck, vtable, user, inputs, inputs_len, options))
}

/// Like taper_gradcheck, for the second derivatives. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_gradgradcheck(
    vtable: *const taper_tensor_fn_vtable,
    user: *mut c_void,
    inputs: *const *mut taper_tensor,
    inputs_len: usize,
    options: *const taper_gradcheck_options,
) -> *mut taper_error {
    guard("gradgradcheck", |c| run_gradcheck(c, ops::gradgradcheck, vtable, user, inputs, inputs_len, options))
}
