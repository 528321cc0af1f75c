//! The module tree: modules of the caller, registration, walks, state, hooks.

use super::autograd::take_tensor;
use super::convert::{new_handle, object, Call, HandleType, IntoC, Lent};
use super::handle::{self, Kind};
use super::io::NamedTensors;
use super::types::*;
use super::user::{CStruct, Callbacks, User};
use super::{error, string};
use crate::backend::memory;
use crate::base::error::{ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::io::{format, safetensors};
use crate::nn::{one, Layer, Module, Outputs};
use crate::{bail, DType, Device, Tensor};
use smallvec::SmallVec;
use std::os::raw::c_void;
use std::sync::Arc;

impl HandleType for taper_module {
    const KIND: Kind = Kind::Module;
    type Object = Module;
}
impl IntoC<*mut taper_module> for Module {
    fn into_c(self) -> Result<*mut taper_module> {
        new_handle(self)
    }
}
impl IntoC<*mut taper_module> for Option<Module> {
    fn into_c(self) -> Result<*mut taper_module> {
        self.map_or(Ok(std::ptr::null_mut()), new_handle)
    }
}

/// What a module of the caller does.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_module_vtable {
    /// sizeof(taper_module_vtable).
    pub struct_size: usize,
    /// Computes the output. self and inputs are borrowed and valid during the call. Sets *out to the result, which the
    /// library takes over (one of the inputs' own handles is fine too).
    pub forward: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            self_: *mut taper_module,
            inputs: *const *mut taper_tensor,
            inputs_len: usize,
            out: *mut *mut taper_tensor,
        ) -> *mut taper_error,
    >,
    /// Sets *out to the text (taper_string_new) between the brackets of the printed form; or NULL.
    pub extra_repr: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            self_: *mut taper_module,
            out: *mut *mut taper_string,
        ) -> *mut taper_error,
    >,
    /// Called with user exactly once, when the module is gone; or NULL.
    pub drop: taper_drop_fn,
    /// Used in place of forward where it is set: optional inputs that were not given are NULL, and *outputs is set to a
    /// list (taper_tensor_list_new; NULL elements for outputs that were not asked for), which the library takes over.
    /// Since 0.1.
    pub forward_list: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            self_: *mut taper_module,
            inputs: *const *mut taper_tensor,
            inputs_len: usize,
            outputs: *mut *mut taper_tensor_list,
        ) -> *mut taper_error,
    >,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_module_vtable {
    const INIT: Self =
        taper_module_vtable { struct_size: 0, forward: None, extra_repr: None, drop: None, forward_list: None };
    const MIN_SIZE: usize = std::mem::offset_of!(Self, forward_list);
}
impl Callbacks for taper_module_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// Borrowed handles of tensors for the time of a callback.
struct LentTensors {
    _lent: SmallVec<[Option<Lent<taper_tensor>>; 4]>,
    handles: SmallVec<[*mut taper_tensor; 4]>,
}
impl LentTensors {
    fn new(tensors: &[Option<Tensor>]) -> Result<LentTensors> {
        let lend = |t: &Option<Tensor>| t.as_ref().map(Lent::new).transpose();
        let lent: SmallVec<[Option<Lent<taper_tensor>>; 4]> = tensors.iter().map(lend).collect::<Result<_>>()?;
        let handles = lent.iter().map(|l| l.as_ref().map_or(std::ptr::null_mut(), |l| l.0)).collect();
        Ok(LentTensors { _lent: lent, handles })
    }
    /// What a callback set as its result: one of these tensors, another, or none.
    fn result(&self, what: &str, tensors: &[Option<Tensor>], out: *mut taper_tensor) -> Result<Option<Tensor>> {
        match self.handles.iter().position(|h| *h == out) {
            Some(i) => Ok(tensors[i].clone()),
            None => take_tensor(what, out),
        }
    }
}

/// A module whose forward is a callback.
struct CLayer {
    vt: taper_module_vtable,
    user: User,
}
impl Layer for CLayer {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        if let Some(forward) = self.vt.forward_list {
            let (this, lent) = (Lent::<taper_module>::new(m)?, LentTensors::new(inputs)?);
            let mut out = std::ptr::null_mut();
            let (p, n) = (lent.handles.as_ptr(), lent.handles.len());
            // SAFETY: function and user come together from the caller; user lives as long as this layer.
            let e = unsafe { forward(self.user.get(), this.0, p, n, &mut out) };
            let result = take_list("a module's forward_list", out);
            if let Some(e) = error::take(e) {
                return Err(e);
            }
            return match result? {
                Some(outputs) => Ok(outputs),
                None => {
                    bail!(Callback, "the forward_list callback of {} succeeded without setting its result", m.name())
                }
            };
        }
        let Some(forward) = self.vt.forward else {
            bail!(NotImplemented, "Module [{}] is missing the required \"forward\" function", m.name())
        };
        if let Some(i) = inputs.iter().position(|x| x.is_none()) {
            bail!(
                Type,
                "{}.forward() was given None for input {i}; one with optional inputs sets forward_list",
                m.name()
            );
        }
        let (this, lent) = (Lent::<taper_module>::new(m)?, LentTensors::new(inputs)?);
        let mut out = std::ptr::null_mut();
        // SAFETY: function and user come together from the caller; user lives as long as this layer.
        let e = unsafe { forward(self.user.get(), this.0, lent.handles.as_ptr(), lent.handles.len(), &mut out) };
        let result = lent.result("a module's forward", inputs, out);
        if let Some(e) = error::take(e) {
            return Err(e);
        }
        match result? {
            Some(t) => Ok(one(t)),
            None => bail!(Callback, "the forward callback of {} succeeded without setting its result", m.name()),
        }
    }
    fn is_foreign(&self) -> bool {
        true
    }
    fn extra_repr(&self, m: &Module) -> Result<String> {
        let Some(extra) = self.vt.extra_repr else { return Ok(String::new()) };
        let this = Lent::<taper_module>::new(m)?;
        let mut out = std::ptr::null_mut();
        // SAFETY: as in forward.
        let e = unsafe { extra(self.user.get(), this.0, &mut out) };
        let text = string::take(out);
        match error::take(e) {
            Some(e) => Err(e),
            None => Ok(text.unwrap_or_default()),
        }
    }
}

/// `taper_module_new`.
pub fn module_new(name: &str, vt: taper_module_vtable, user: User) -> Result<Module> {
    Ok(Module::new(name, CLayer { vt, user }))
}

/// `taper_module_ref`.
pub fn module_ref(m: &Module) -> Result<Module> {
    Ok(m.clone())
}

/// `taper_module_id`.
pub fn module_id(m: &Module) -> u64 {
    m.id()
}

/// `taper_module_name`.
pub fn module_name(m: &Module) -> Result<String> {
    memory::text(m.name())
}

/// `taper_module_forward`.
pub fn module_forward(m: &Module, inputs: &[Tensor]) -> Result<Tensor> {
    m.forward(inputs)
}

/// `taper_module_forward_list`.
pub fn module_forward_list(m: &Module, inputs: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
    Ok(m.forward_list(inputs)?.into_vec())
}

/// `taper_module_register_parameter`.
pub fn module_register_parameter(m: &Module, name: &str, parameter: Option<&Tensor>) -> Result<()> {
    m.register_parameter(name, parameter.cloned())
}

/// `taper_module_register_buffer`.
pub fn module_register_buffer(m: &Module, name: &str, buffer: Option<&Tensor>, persistent: bool) -> Result<()> {
    m.register_buffer(name, buffer.cloned(), persistent)
}

/// `taper_module_register_module`.
pub fn module_register_module(m: &Module, name: &str, child: Option<&Module>) -> Result<()> {
    m.register_module(name, child.cloned())
}

/// `taper_module_append`.
pub fn module_append(m: &Module, child: &Module) -> Result<()> {
    m.append(child.clone())
}

/// `taper_module_get_parameter`.
pub fn module_get_parameter(m: &Module, path: &str) -> Result<Tensor> {
    m.get_parameter(path)
}

/// `taper_module_get_buffer`.
pub fn module_get_buffer(m: &Module, path: &str) -> Result<Tensor> {
    m.get_buffer(path)
}

/// `taper_module_deepcopy`.
pub fn module_deepcopy(m: &Module) -> Result<Module> {
    m.deepcopy()
}
/// `taper_module_get_child`.
pub fn module_get_child(m: &Module, path: &str) -> Result<Module> {
    m.get_submodule(path)
}

/// `taper_module_num_children`.
pub fn module_num_children(m: &Module) -> i64 {
    m.num_children() as i64
}

/// `taper_module_child_at`.
pub fn module_child_at(c: &Call, m: &Module, i: usize) -> Result<(String, Option<Module>)> {
    let children = m.named_children()?;
    let n = children.len();
    children.into_iter().nth(i).ok_or_else(|| {
        let what = format!("index {i} is out of range: there are {n} children");
        c.invalid(ErrorKind::Index, 1, "i", what)
    })
}

/// `taper_module_parameters`.
pub fn module_parameters(m: &Module) -> Result<Vec<Tensor>> {
    m.parameters()
}

/// `taper_module_named_parameters`.
pub fn module_named_parameters(m: &Module) -> Result<NamedTensors> {
    NamedTensors::from_dict(m.named_parameters()?)
}

/// `taper_module_named_buffers`.
pub fn module_named_buffers(m: &Module) -> Result<NamedTensors> {
    NamedTensors::from_dict(m.named_buffers()?)
}

/// `taper_module_train`.
pub fn module_train(m: &Module, mode: bool) -> Result<()> {
    m.train(mode)?;
    Ok(())
}

/// `taper_module_is_training`.
pub fn module_is_training(m: &Module) -> i32 {
    m.is_training() as i32
}

/// `taper_module_to`.
pub fn module_to(m: &Module, dtype: Option<DType>, device: Option<Device>) -> Result<()> {
    m.to(dtype, device)
}

/// `taper_module_zero_grad`.
pub fn module_zero_grad(m: &Module, set_to_none: bool) -> Result<()> {
    m.zero_grad(set_to_none)
}

/// `taper_module_requires_grad_`.
pub fn module_requires_grad_(m: &Module, requires_grad: bool) -> Result<()> {
    m.requires_grad_(requires_grad)
}

/// What is called with each module of a tree.
type ApplyFn = Option<unsafe extern "C" fn(user: *mut c_void, m: *mut taper_module) -> *mut taper_error>;

/// `taper_module_apply`. `user` goes back to the caller's function; nothing here looks at what it points to.
#[allow(clippy::not_unsafe_ptr_arg_deref)]
pub fn module_apply(c: &Call, m: &Module, f: ApplyFn, user: *mut c_void) -> Result<()> {
    let Some(f) = f else { return Err(c.invalid(ErrorKind::Value, 1, "f", "expected a function, got NULL")) };
    m.apply(&mut |m| {
        let lent = Lent::<taper_module>::new(m)?;
        // SAFETY: function and pointer come from the caller, for the time of this call.
        match error::take(unsafe { f(user, lent.0) }) {
            Some(e) => Err(e),
            None => Ok(()),
        }
    })
}

/// `taper_module_summary`.
pub fn module_summary(m: &Module, inputs: &[Option<Tensor>]) -> Result<String> {
    crate::nn::summary(m, inputs)
}

/// `taper_module_to_string`.
pub fn module_to_string(m: &Module) -> Result<String> {
    m.repr()
}

/// `taper_module_state_dict`.
pub fn module_state_dict(m: &Module) -> Result<NamedTensors> {
    NamedTensors::from_dict(m.state_dict()?)
}

/// `taper_module_load_state_dict`.
pub fn module_load_state_dict(m: &Module, state: &Arc<Mutex<NamedTensors>>, strict: bool) -> Result<()> {
    let state = state.lock().dict()?;
    m.load_state_dict(&state, strict).map(drop)
}

/// `taper_module_save`.
pub fn module_save(m: &Module, path: &str) -> Result<()> {
    safetensors::save(path, &m.state_dict()?, &Default::default())
}

/// `taper_module_load`.
pub fn module_load(m: &Module, path: &str, strict: bool) -> Result<()> {
    let state = format::open(path.as_ref(), false)?.all(Device::CPU)?;
    m.load_whole(&state, strict).map(drop)
}

/// A hook that runs before or after forward: set the one that is registered.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_module_hook_vtable {
    /// sizeof(taper_module_hook_vtable).
    pub struct_size: usize,
    /// Before forward. It may set *replacement to a list of other inputs (taper_tensor_list_new), which the library takes
    /// over. Handles are borrowed and valid during the call; NULL is an optional input that was not given.
    pub before: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            m: *mut taper_module,
            inputs: *const *mut taper_tensor,
            inputs_len: usize,
            replacement: *mut *mut taper_tensor_list,
        ) -> *mut taper_error,
    >,
    /// After forward. It may set *replacement to another output, which the library takes over. A module that gives
    /// several outputs needs after_list.
    pub after: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            m: *mut taper_module,
            inputs: *const *mut taper_tensor,
            inputs_len: usize,
            output: *mut taper_tensor,
            replacement: *mut *mut taper_tensor,
        ) -> *mut taper_error,
    >,
    /// Called with user exactly once, when the hook is gone; or NULL.
    pub drop: taper_drop_fn,
    /// Used in place of after where it is set: it sees all outputs (NULL: an optional one that was not asked for) and may
    /// set *replacement to a list of others, which the library takes over. Since 0.1.
    pub after_list: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            m: *mut taper_module,
            inputs: *const *mut taper_tensor,
            inputs_len: usize,
            outputs: *const *mut taper_tensor,
            outputs_len: usize,
            replacement: *mut *mut taper_tensor_list,
        ) -> *mut taper_error,
    >,
}
type AfterFn = unsafe extern "C" fn(
    user: *mut c_void,
    m: *mut taper_module,
    inputs: *const *mut taper_tensor,
    inputs_len: usize,
    output: *mut taper_tensor,
    replacement: *mut *mut taper_tensor,
) -> *mut taper_error;
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_module_hook_vtable {
    const INIT: Self =
        taper_module_hook_vtable { struct_size: 0, before: None, after: None, drop: None, after_list: None };
    const MIN_SIZE: usize = std::mem::offset_of!(Self, after_list);
}
impl Callbacks for taper_module_hook_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

fn take_list(what: &str, l: *mut taper_tensor_list) -> Result<Option<Outputs>> {
    if l.is_null() {
        return Ok(None);
    }
    let Ok(list) = object(l as *const taper_tensor_list) else {
        bail!(Callback, "{what} set its result to {l:p}, which is no live list handle");
    };
    drop(handle::remove(l as usize, Kind::TensorList));
    Ok(Some(list.iter().cloned().collect()))
}

/// `taper_module_register_forward_pre_hook`.
pub fn module_register_forward_pre_hook(c: &Call, m: &Module, vt: taper_module_hook_vtable, user: User) -> Result<u64> {
    let Some(before) = vt.before else {
        return Err(c.invalid(ErrorKind::Value, 1, "vtable", "its before function is NULL"));
    };
    let hook = move |m: &Module, inputs: &[Option<Tensor>]| {
        let (this, lent) = (Lent::<taper_module>::new(m)?, LentTensors::new(inputs)?);
        let mut out = std::ptr::null_mut();
        // SAFETY: function and user come together from the caller; user lives as long as this closure.
        let e = unsafe { before(user.get(), this.0, lent.handles.as_ptr(), lent.handles.len(), &mut out) };
        let result = take_list("a forward pre-hook", out);
        match error::take(e) {
            Some(e) => Err(e),
            None => result,
        }
    };
    Ok(m.register_forward_pre_hook(Arc::new(hook)))
}

fn after_one(
    after: AfterFn,
    user: &User,
    m: &Module,
    inputs: &[Option<Tensor>],
    outputs: &[Option<Tensor>],
) -> Result<Option<Outputs>> {
    let [Some(output)] = outputs else {
        let n = outputs.len();
        bail!(
            Type,
            "a forward hook of {} sees one output, but there are {n}; its vtable sets after_list for more",
            m.name()
        )
    };
    let (this, lent, result) = (Lent::<taper_module>::new(m)?, LentTensors::new(inputs)?, Lent::new(output)?);
    let mut out = std::ptr::null_mut();
    let (p, n) = (lent.handles.as_ptr(), lent.handles.len());
    // SAFETY: function and user come together from the caller; user lives as long as the hook.
    let e = unsafe { after(user.get(), this.0, p, n, result.0, &mut out) };
    let replacement =
        if out == result.0 { Ok(Some(output.clone())) } else { lent.result("a forward hook", inputs, out) };
    match error::take(e) {
        Some(e) => Err(e),
        None => Ok(replacement?.map(one)),
    }
}
fn after_all(
    vt: &taper_module_hook_vtable,
    user: &User,
    m: &Module,
    inputs: &[Option<Tensor>],
    outputs: &[Option<Tensor>],
) -> Result<Option<Outputs>> {
    let Some(after) = vt.after_list else { return Ok(None) };
    let (this, i, o) = (Lent::<taper_module>::new(m)?, LentTensors::new(inputs)?, LentTensors::new(outputs)?);
    let mut out = std::ptr::null_mut();
    let (i, o) = (&i.handles, &o.handles);
    // SAFETY: as above.
    let e = unsafe { after(user.get(), this.0, i.as_ptr(), i.len(), o.as_ptr(), o.len(), &mut out) };
    let replacement = take_list("a forward hook", out);
    match error::take(e) {
        Some(e) => Err(e),
        None => replacement,
    }
}

/// `taper_module_register_forward_hook`.
pub fn module_register_forward_hook(c: &Call, m: &Module, vt: taper_module_hook_vtable, user: User) -> Result<u64> {
    if vt.after.is_none() && vt.after_list.is_none() {
        return Err(c.invalid(ErrorKind::Value, 1, "vtable", "its after function is NULL"));
    }
    let hook = move |m: &Module, inputs: &[Option<Tensor>], outputs: &[Option<Tensor>]| match vt.after {
        Some(after) if vt.after_list.is_none() => after_one(after, &user, m, inputs, outputs),
        _ => after_all(&vt, &user, m, inputs, outputs),
    };
    Ok(m.register_forward_hook(Arc::new(hook)))
}

/// `taper_module_remove_hook`.
pub fn module_remove_hook(m: &Module, id: u64) -> Result<()> {
    m.remove_hook(id);
    Ok(())
}
