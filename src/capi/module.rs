//! The module tree: modules of the caller, registration, walks, state, hooks.

use super::autograd::{take_tensor, Lent};
use super::convert::{free, getter, guard, new_handle, object, Call, HandleType, IntoC};
use super::handle::{self, Kind, Object};
use super::io::NamedTensors;
use super::types::*;
use super::user::{read_struct, CStruct, User};
use super::{error, string};
use crate::base::error::{ErrorKind, Result};
use crate::io::safetensors;
use crate::nn::{one, Layer, Module, Outputs};
use crate::{bail, Device, Tensor};
use smallvec::SmallVec;
use std::os::raw::{c_char, c_void};
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

/// A module's borrowed handle for the time of a callback.
struct LentModule(*mut taper_module);
impl LentModule {
    fn new(m: &Module) -> Result<LentModule> {
        let bits = handle::insert(Kind::Module, Object::Other(Box::new(m.clone())))?;
        Ok(LentModule(bits as *mut taper_module))
    }
}
impl Drop for LentModule {
    fn drop(&mut self) {
        drop(handle::remove(self.0 as usize, Kind::Module));
    }
}

/// Borrowed handles of tensors for the time of a callback.
struct LentTensors {
    _lent: SmallVec<[Option<Lent>; 4]>,
    handles: SmallVec<[*mut taper_tensor; 4]>,
}
impl LentTensors {
    fn new(tensors: &[Option<Tensor>]) -> Result<LentTensors> {
        let lend = |t: &Option<Tensor>| t.as_ref().map(Lent::new).transpose();
        let lent: SmallVec<[Option<Lent>; 4]> = tensors.iter().map(lend).collect::<Result<_>>()?;
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
            let (this, lent) = (LentModule::new(m)?, LentTensors::new(inputs)?);
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
        let (this, lent) = (LentModule::new(m)?, LentTensors::new(inputs)?);
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
        let this = LentModule::new(m)?;
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

/// A module of the caller: its name is the printed type, its forward is vtable->forward. The result is owned by the
/// caller; user is owned by the module (vtable->drop), also when this fails. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_new(
    name: *const c_char,
    vtable: *const taper_module_vtable,
    user: *mut c_void,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("module_new", |c| {
        let vt = read_struct(c, 1, "vtable", vtable)?;
        let user = User::new(user, vt.drop);
        let out = c.out(3, "out", out)?;
        let name = c.str(0, "name", name)?;
        out.set(Module::new(name, CLayer { vt, user }))
    })
}

/// Another handle of the same module, owned by the caller. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_ref(m: *mut taper_module, out: *mut *mut taper_module) -> *mut taper_error {
    guard("module_ref", |c| c.out(1, "out", out)?.set(module(c, m)?))
}

/// Frees a module's handle; the module goes with its last handle and parent. Consumes m; NULL is fine. Returns false
/// when m was no live module handle. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_module_free(m: *mut taper_module) -> bool {
    free(m, Kind::Module)
}

/// Identity of a module, the same for all its handles; 0 for a bad handle. Borrows m. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_module_id(m: *const taper_module) -> u64 {
    getter(0, || object(m).ok().map(|m| m.id()))
}

fn module(c: &Call, m: *mut taper_module) -> Result<Module> {
    c.get(0, "m", m as *const taper_module)
}

/// The type name that the module prints, owned by the caller. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_name(m: *mut taper_module, out: *mut *mut taper_string) -> *mut taper_error {
    guard("module_name", |c| c.out(1, "out", out)?.set(module(c, m)?.name().to_string()))
}

/// Runs the module with its hooks; out is owned by the caller. Fails with TAPER_ERROR_TYPE for a module that gives
/// several outputs: taper_module_forward_list has them. Borrows m and the inputs. An error of a callback comes
/// back as it is. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_forward(
    m: *mut taper_module,
    inputs: *const *mut taper_tensor,
    inputs_len: usize,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    guard("module_forward", |c| {
        let out = c.out(2, "out", out)?;
        let m = module(c, m)?;
        let inputs = c.tensors(1, "inputs", inputs, inputs_len)?;
        out.set(m.forward(&inputs)?)
    })
}

/// Runs the module with its hooks: NULL inputs are optional ones that are not given. outputs receives all that it
/// gives, owned by the caller; an element is NULL (taper_tensor_list_get) where an optional output was not asked for.
/// Borrows m and the inputs. An error of a callback comes back as it is. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_forward_list(
    m: *mut taper_module,
    inputs: *const *mut taper_tensor,
    inputs_len: usize,
    outputs: *mut *mut taper_tensor_list,
) -> *mut taper_error {
    guard("module_forward_list", |c| {
        let outputs = c.out(2, "outputs", outputs)?;
        let m = module(c, m)?;
        let inputs = c.opt_tensors(1, "inputs", inputs, inputs_len)?;
        outputs.set(m.forward_list(&inputs)?.into_vec())
    })
}

/// Registers or replaces a parameter, which from then on requires grad; NULL keeps the name without a tensor. Borrows
/// both. Fails for an empty, dotted or taken name, a tensor with history, a dtype that is not float. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_register_parameter(
    m: *mut taper_module,
    name: *const c_char,
    parameter: *mut taper_tensor,
) -> *mut taper_error {
    guard("module_register_parameter", |c| {
        let m = module(c, m)?;
        m.register_parameter(c.str(1, "name", name)?, c.opt_tensor(2, "parameter", parameter)?)
    })
}

/// Registers or replaces a buffer: a tensor of the state that is not trained. One that is not persistent stays out of
/// the state dict. NULL keeps the name without a tensor. Borrows both. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_register_buffer(
    m: *mut taper_module,
    name: *const c_char,
    buffer: *mut taper_tensor,
    persistent: bool,
) -> *mut taper_error {
    guard("module_register_buffer", |c| {
        let m = module(c, m)?;
        m.register_buffer(c.str(1, "name", name)?, c.opt_tensor(2, "buffer", buffer)?, persistent)
    })
}

/// Registers or replaces a child; NULL keeps the name without a module. Borrows both: the handle of the child stays the
/// caller's. Fails when the child contains m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_register_module(
    m: *mut taper_module,
    name: *const c_char,
    child: *mut taper_module,
) -> *mut taper_error {
    guard("module_register_module", |c| {
        let m = module(c, m)?;
        m.register_module(c.str(1, "name", name)?, c.opt_get(2, "child", child as *const taper_module)?)
    })
}

/// Registers a child under the next number: how Sequential and ModuleList grow. Borrows both. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_append(m: *mut taper_module, child: *mut taper_module) -> *mut taper_error {
    guard("module_append", |c| module(c, m)?.append(c.get(1, "child", child as *const taper_module)?))
}

/// The parameter at a dotted path ("conv1.weight") as a new handle, owned by the caller. Borrows m. Fails
/// (TAPER_ERROR_KEY) when there is none. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_get_parameter(
    m: *mut taper_module,
    path: *const c_char,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    guard("module_get_parameter", |c| c.out(2, "out", out)?.set(module(c, m)?.get_parameter(c.str(1, "path", path)?)?))
}

/// The buffer at a dotted path ("bn1.running_mean") as a new handle, owned by the caller. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_get_buffer(
    m: *mut taper_module,
    path: *const c_char,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    guard("module_get_buffer", |c| c.out(2, "out", out)?.set(module(c, m)?.get_buffer(c.str(1, "path", path)?)?))
}

/// The module at a dotted path ("features.0"; empty: m itself) as a new handle, owned by the caller. Borrows m.
/// Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_get_child(
    m: *mut taper_module,
    path: *const c_char,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("module_get_child", |c| c.out(2, "out", out)?.set(module(c, m)?.get_submodule(c.str(1, "path", path)?)?))
}

/// Number of direct children, those without a module included; -1 for a bad handle. Borrows m. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_module_num_children(m: *const taper_module) -> i64 {
    getter(-1, || object(m).ok().map(|m| m.num_children() as i64))
}

/// Direct child number i: its name and a new handle of it (NULL where the name has no module), both owned by the caller.
/// Borrows m. Fails when i is out of range. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_child_at(
    m: *mut taper_module,
    i: usize,
    name: *mut *mut taper_string,
    child: *mut *mut taper_module,
) -> *mut taper_error {
    guard("module_child_at", |c| {
        let name = c.out(2, "name", name);
        let child = c.out(3, "child", child)?;
        let name = name?;
        let children = module(c, m)?.named_children()?;
        let n = children.len();
        let Some((key, found)) = children.into_iter().nth(i) else {
            let what = format!("index {i} is out of range: there are {n} children");
            return Err(c.invalid(ErrorKind::Index, 1, "i", what));
        };
        if let Some(found) = found {
            child.set(found)?;
        }
        name.set(key)
    })
}

/// All parameters, shared ones once, in the tree's order; the list is owned by the caller. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_parameters(
    m: *mut taper_module,
    out: *mut *mut taper_tensor_list,
) -> *mut taper_error {
    guard("module_parameters", |c| c.out(1, "out", out)?.set(module(c, m)?.parameters()?))
}

/// All parameters by dotted name, shared ones once; owned by the caller. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_named_parameters(
    m: *mut taper_module,
    out: *mut *mut taper_named_tensors,
) -> *mut taper_error {
    guard("module_named_parameters", |c| {
        c.out(1, "out", out)?.set(NamedTensors::from_dict(module(c, m)?.named_parameters()?)?)
    })
}

/// All buffers by dotted name, shared ones once; owned by the caller. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_named_buffers(
    m: *mut taper_module,
    out: *mut *mut taper_named_tensors,
) -> *mut taper_error {
    guard("module_named_buffers", |c| {
        c.out(1, "out", out)?.set(NamedTensors::from_dict(module(c, m)?.named_buffers()?)?)
    })
}

/// Sets training (true) or evaluation mode on the module and all below. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_train(m: *mut taper_module, mode: bool) -> *mut taper_error {
    guard("module_train", |c| {
        module(c, m)?.train(mode)?;
        Ok(())
    })
}

/// 1 in training mode, 0 in evaluation mode, -1 for a bad handle. Borrows m. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_module_is_training(m: *const taper_module) -> i32 {
    getter(-1, || object(m).ok().map(|m| m.is_training() as i32))
}

/// Moves parameters, buffers and gradients to a device (type 0: stays) and converts the float ones to a float dtype
/// (TAPER_DTYPE_NONE: stays). Tensors keep their identity: handles and optimizers see the new contents. Borrows m.
/// Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_to(m: *mut taper_module, dtype: i32, device: taper_device) -> *mut taper_error {
    guard("module_to", |c| {
        let m = module(c, m)?;
        m.to(c.opt_dtype(1, "dtype", dtype)?, c.opt_device(2, "device", device)?)
    })
}

/// Drops the gradients of all parameters, or (set_to_none false) sets them to zero. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_zero_grad(m: *mut taper_module, set_to_none: bool) -> *mut taper_error {
    guard("module_zero_grad", |c| module(c, m)?.zero_grad(set_to_none))
}

/// Makes all parameters require grad, or freezes them. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_requires_grad_(m: *mut taper_module, requires_grad: bool) -> *mut taper_error {
    guard("module_requires_grad_", |c| module(c, m)?.requires_grad_(requires_grad))
}

/// Calls f with every module below and last with m itself, children before parents; the handle is borrowed. An error of
/// f ends the walk and comes back as it is. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_apply(
    m: *mut taper_module,
    f: Option<unsafe extern "C" fn(user: *mut c_void, m: *mut taper_module) -> *mut taper_error>,
    user: *mut c_void,
) -> *mut taper_error {
    guard("module_apply", |c| {
        let Some(f) = f else { return Err(c.invalid(ErrorKind::Value, 1, "f", "expected a function, got NULL")) };
        module(c, m)?.apply(&mut |m| {
            let lent = LentModule::new(m)?;
            // SAFETY: function and pointer come from the caller, for the time of this call.
            match error::take(unsafe { f(user, lent.0) }) {
                Some(e) => Err(e),
                None => Ok(()),
            }
        })
    })
}

/// The printed form, PyTorch's; owned by the caller. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_to_string(m: *mut taper_module, out: *mut *mut taper_string) -> *mut taper_error {
    guard("module_to_string", |c| c.out(1, "out", out)?.set(module(c, m)?.repr()?))
}

/// Parameters and persistent buffers by dotted name: detached tensors that share the module's memory. Owned by the
/// caller. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_state_dict(
    m: *mut taper_module,
    out: *mut *mut taper_named_tensors,
) -> *mut taper_error {
    guard("module_state_dict", |c| c.out(1, "out", out)?.set(NamedTensors::from_dict(module(c, m)?.state_dict()?)?))
}

/// Copies the tensors of state into the module's. strict makes names that do not match an error; shapes that do not are
/// one always. What matches has been copied even then. Borrows both. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_load_state_dict(
    m: *mut taper_module,
    state: *const taper_named_tensors,
    strict: bool,
) -> *mut taper_error {
    guard("module_load_state_dict", |c| {
        let m = module(c, m)?;
        let state = c.get(1, "state", state)?.lock().dict()?;
        m.load_state_dict(&state, strict).map(drop)
    })
}

/// Saves the state dict to a safetensors file. Borrows m. Fails with TAPER_ERROR_IO. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_save(m: *mut taper_module, path: *const c_char) -> *mut taper_error {
    guard("module_save", |c| {
        let m = module(c, m)?;
        safetensors::save(c.str(1, "path", path)?, &m.state_dict()?, &Default::default())
    })
}

/// Loads a safetensors file into the module, on whatever device that is; strict as in taper_module_load_state_dict.
/// Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_load(
    m: *mut taper_module,
    path: *const c_char,
    strict: bool,
) -> *mut taper_error {
    guard("module_load", |c| {
        let m = module(c, m)?;
        let (state, _) = safetensors::load(c.str(1, "path", path)?, Device::CPU)?;
        m.load_state_dict(&state, strict).map(drop)
    })
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

/// Runs vtable->before before every forward of m. id receives the hook's number, for taper_module_remove_hook. Borrows
/// m; user is owned by the hook (vtable->drop). Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_register_forward_pre_hook(
    m: *mut taper_module,
    vtable: *const taper_module_hook_vtable,
    user: *mut c_void,
    id: *mut u64,
) -> *mut taper_error {
    guard("module_register_forward_pre_hook", |c| {
        let vt = read_struct(c, 1, "vtable", vtable)?;
        let user = User::new(user, vt.drop);
        let id = c.out(3, "id", id)?;
        let Some(before) = vt.before else {
            return Err(c.invalid(ErrorKind::Value, 1, "vtable", "its before function is NULL"));
        };
        let hook = move |m: &Module, inputs: &[Option<Tensor>]| {
            let (this, lent) = (LentModule::new(m)?, LentTensors::new(inputs)?);
            let mut out = std::ptr::null_mut();
            // SAFETY: function and user come together from the caller; user lives as long as this closure.
            let e = unsafe { before(user.get(), this.0, lent.handles.as_ptr(), lent.handles.len(), &mut out) };
            let result = take_list("a forward pre-hook", out);
            match error::take(e) {
                Some(e) => Err(e),
                None => result,
            }
        };
        id.set(module(c, m)?.register_forward_pre_hook(Arc::new(hook)))
    })
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
    let (this, lent, result) = (LentModule::new(m)?, LentTensors::new(inputs)?, Lent::new(output)?);
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
    let (this, i, o) = (LentModule::new(m)?, LentTensors::new(inputs)?, LentTensors::new(outputs)?);
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

/// Runs vtable->after after every forward of m; otherwise like taper_module_register_forward_pre_hook. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_register_forward_hook(
    m: *mut taper_module,
    vtable: *const taper_module_hook_vtable,
    user: *mut c_void,
    id: *mut u64,
) -> *mut taper_error {
    guard("module_register_forward_hook", |c| {
        let vt = read_struct(c, 1, "vtable", vtable)?;
        let user = User::new(user, vt.drop);
        let id = c.out(3, "id", id)?;
        if vt.after.is_none() && vt.after_list.is_none() {
            return Err(c.invalid(ErrorKind::Value, 1, "vtable", "its after function is NULL"));
        }
        let hook = move |m: &Module, inputs: &[Option<Tensor>], outputs: &[Option<Tensor>]| match vt.after {
            Some(after) if vt.after_list.is_none() => after_one(after, &user, m, inputs, outputs),
            _ => after_all(&vt, &user, m, inputs, outputs),
        };
        id.set(module(c, m)?.register_forward_hook(Arc::new(hook)))
    })
}

/// Removes a hook of this module; unknown numbers are ignored. Borrows m. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_remove_hook(m: *mut taper_module, id: u64) -> *mut taper_error {
    guard("module_remove_hook", |c| {
        module(c, m)?.remove_hook(id);
        Ok(())
    })
}
