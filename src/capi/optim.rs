//! Optimisers.

use super::convert::{free, getter, guard, object, Call, HandleType, IntoC};
use super::handle::Kind;
use super::io::NamedTensors;
use super::types::*;
use super::user::{read_struct, CStruct};
use crate::base::error::{ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::io::safetensors;
use crate::optim::{AdamOptions, Optimizer, Options, ParamGroup, SgdOptions};
use crate::{Device, Tensor};
use std::os::raw::c_char;
use std::sync::Arc;

impl HandleType for taper_optimizer {
    const KIND: Kind = Kind::Optimizer;
    type Object = Arc<Mutex<Optimizer>>;
}
impl IntoC<*mut taper_optimizer> for Optimizer {
    fn into_c(self) -> Result<*mut taper_optimizer> {
        super::convert::new_handle(Arc::new(Mutex::new(self)))
    }
}

/// Options of stochastic gradient descent. TAPER_SGD_OPTIONS_INIT holds PyTorch's defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_sgd_options {
    /// sizeof(taper_sgd_options).
    pub struct_size: usize,
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    /// 0 or 1.
    pub nesterov: i32,
    /// 0 or 1.
    pub maximize: i32,
}
// SAFETY: repr(C), numbers only.
unsafe impl CStruct for taper_sgd_options {
    const INIT: Self = taper_sgd_options {
        struct_size: 0,
        lr: 1e-3,
        momentum: 0.0,
        dampening: 0.0,
        weight_decay: 0.0,
        nesterov: 0,
        maximize: 0,
    };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}

/// Options of Adam and AdamW. TAPER_ADAM_OPTIONS_INIT and TAPER_ADAMW_OPTIONS_INIT hold PyTorch's defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_adam_options {
    /// sizeof(taper_adam_options).
    pub struct_size: usize,
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    /// 0 or 1.
    pub amsgrad: i32,
    /// 0 or 1.
    pub maximize: i32,
    /// 1 for AdamW: weight decay acts on the parameter, not through the gradient.
    pub decoupled: i32,
    /// 0.
    pub reserved: i32,
}
// SAFETY: repr(C), numbers only.
unsafe impl CStruct for taper_adam_options {
    const INIT: Self = taper_adam_options {
        struct_size: 0,
        lr: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        amsgrad: 0,
        maximize: 0,
        decoupled: 0,
        reserved: 0,
    };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}

unsafe fn sgd(c: &Call, index: usize, p: *const taper_sgd_options) -> Result<Options> {
    let mut o = taper_sgd_options::INIT;
    if !p.is_null() {
        // SAFETY: the header's contract.
        o = unsafe { read_struct(c, index, "options", p) }?;
    }
    Ok(Options::Sgd(SgdOptions {
        lr: o.lr,
        momentum: o.momentum,
        dampening: o.dampening,
        weight_decay: o.weight_decay,
        nesterov: o.nesterov != 0,
        maximize: o.maximize != 0,
    }))
}

unsafe fn adam(c: &Call, index: usize, p: *const taper_adam_options) -> Result<Options> {
    let mut o = taper_adam_options::INIT;
    if !p.is_null() {
        // SAFETY: the header's contract.
        o = unsafe { read_struct(c, index, "options", p) }?;
    }
    Ok(Options::Adam(AdamOptions {
        lr: o.lr,
        betas: (o.beta1, o.beta2),
        eps: o.eps,
        weight_decay: o.weight_decay,
        amsgrad: o.amsgrad != 0,
        maximize: o.maximize != 0,
        decoupled: o.decoupled != 0,
    }))
}

/// The tensors of a list that must all be there.
fn list(c: &Call, l: *const taper_tensor_list) -> Result<Vec<Tensor>> {
    let params = c.get(0, "params", l)?;
    match params.iter().cloned().collect::<Option<Vec<_>>>() {
        Some(p) => Ok(p),
        None => Err(c.invalid(ErrorKind::Value, 0, "params", "the list has NULL elements")),
    }
}

/// Stochastic gradient descent with momentum over the parameters; options may be NULL. The optimizer is owned by the
/// caller and keeps the parameters alive. Borrows the handles. Fails for no parameters, a repeated one, one with history,
/// options out of range. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optim_sgd_new(
    params: *const *mut taper_tensor,
    params_len: usize,
    options: *const taper_sgd_options,
    out: *mut *mut taper_optimizer,
) -> *mut taper_error {
    guard("optim_sgd_new", |c| {
        let out = c.out(2, "out", out)?;
        let params = c.tensors(0, "params", params, params_len)?.into_vec();
        out.set(Optimizer::new(params, sgd(c, 1, options)?)?)
    })
}

/// taper_optim_sgd_new over a list, as taper_module_parameters makes it. Borrows the list. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optim_sgd_new_from_list(
    params: *const taper_tensor_list,
    options: *const taper_sgd_options,
    out: *mut *mut taper_optimizer,
) -> *mut taper_error {
    guard("optim_sgd_new_from_list", |c| {
        let out = c.out(2, "out", out)?;
        out.set(Optimizer::new(list(c, params)?, sgd(c, 1, options)?)?)
    })
}

/// Adam over the parameters, or AdamW with options->decoupled; options may be NULL (Adam's defaults). Otherwise like
/// taper_optim_sgd_new. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optim_adam_new(
    params: *const *mut taper_tensor,
    params_len: usize,
    options: *const taper_adam_options,
    out: *mut *mut taper_optimizer,
) -> *mut taper_error {
    guard("optim_adam_new", |c| {
        let out = c.out(2, "out", out)?;
        let params = c.tensors(0, "params", params, params_len)?.into_vec();
        out.set(Optimizer::new(params, adam(c, 1, options)?)?)
    })
}

/// taper_optim_adam_new over a list, as taper_module_parameters makes it. Borrows the list. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optim_adam_new_from_list(
    params: *const taper_tensor_list,
    options: *const taper_adam_options,
    out: *mut *mut taper_optimizer,
) -> *mut taper_error {
    guard("optim_adam_new_from_list", |c| {
        let out = c.out(2, "out", out)?;
        out.set(Optimizer::new(list(c, params)?, adam(c, 1, options)?)?)
    })
}

fn optimizer(c: &Call, o: *mut taper_optimizer) -> Result<Arc<Mutex<Optimizer>>> {
    c.get(0, "o", o as *const taper_optimizer)
}

/// Adds parameters with options of their own to an SGD optimizer. Borrows all. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_add_sgd_group(
    o: *mut taper_optimizer,
    params: *const *mut taper_tensor,
    params_len: usize,
    options: *const taper_sgd_options,
) -> *mut taper_error {
    guard("optimizer_add_sgd_group", |c| {
        let o = optimizer(c, o)?;
        let params = c.tensors(1, "params", params, params_len)?.into_vec();
        let options = sgd(c, 2, options)?;
        let mut o = o.lock();
        o.add_param_group(ParamGroup { params, options })
    })
}

/// Adds parameters with options of their own to an Adam or AdamW optimizer. Borrows all. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_add_adam_group(
    o: *mut taper_optimizer,
    params: *const *mut taper_tensor,
    params_len: usize,
    options: *const taper_adam_options,
) -> *mut taper_error {
    guard("optimizer_add_adam_group", |c| {
        let o = optimizer(c, o)?;
        let params = c.tensors(1, "params", params, params_len)?.into_vec();
        let options = adam(c, 2, options)?;
        let mut o = o.lock();
        o.add_param_group(ParamGroup { params, options })
    })
}

/// One step, in place, over all parameters that have a gradient. Borrows o. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_step(o: *mut taper_optimizer) -> *mut taper_error {
    guard("optimizer_step", |c| optimizer(c, o)?.lock().step())
}

/// Drops the gradients of all parameters, or (set_to_none false) sets them to zero. Borrows o. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_zero_grad(o: *mut taper_optimizer, set_to_none: bool) -> *mut taper_error {
    guard("optimizer_zero_grad", |c| optimizer(c, o)?.lock().zero_grad(set_to_none))
}

/// Number of parameter groups; -1 for a bad handle. Borrows o. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_optimizer_num_groups(o: *const taper_optimizer) -> i64 {
    getter(-1, || object(o).ok().map(|o| o.lock().groups().len() as i64))
}

/// Sets the learning rate of all groups. Borrows o. Fails when it is negative or NaN. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_set_lr(o: *mut taper_optimizer, lr: f64) -> *mut taper_error {
    guard("optimizer_set_lr", |c| optimizer(c, o)?.lock().set_lr(lr))
}

/// Sets the learning rate of one group. Borrows o. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_set_group_lr(
    o: *mut taper_optimizer,
    group: usize,
    lr: f64,
) -> *mut taper_error {
    guard("optimizer_set_group_lr", |c| optimizer(c, o)?.lock().set_group_lr(group, lr))
}

/// Learning rate of a group (0: the first). Borrows o. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_get_lr(
    o: *mut taper_optimizer,
    group: usize,
    out: *mut f64,
) -> *mut taper_error {
    guard("optimizer_get_lr", |c| {
        let out = c.out(2, "out", out)?;
        let lr = optimizer(c, o)?.lock().lr(group)?;
        out.set(lr)
    })
}

/// Options and state as named tensors that share the optimizer's memory; owned by the caller. Borrows o. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_state_dict(
    o: *mut taper_optimizer,
    out: *mut *mut taper_named_tensors,
) -> *mut taper_error {
    guard("optimizer_state_dict", |c| {
        let out = c.out(1, "out", out)?;
        let state = optimizer(c, o)?.lock().state_dict()?;
        out.set(NamedTensors::from_dict(state)?)
    })
}

/// Takes options and state from named tensors, copying them. Fails, changing nothing, when the groups do not match.
/// Borrows both. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_load_state_dict(
    o: *mut taper_optimizer,
    state: *const taper_named_tensors,
) -> *mut taper_error {
    guard("optimizer_load_state_dict", |c| {
        let o = optimizer(c, o)?;
        let state = c.get(1, "state", state)?.lock().dict()?;
        let mut o = o.lock();
        o.load_state_dict(&state)
    })
}

/// Saves options and state to a safetensors file. Borrows o. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_save(o: *mut taper_optimizer, path: *const c_char) -> *mut taper_error {
    guard("optimizer_save", |c| {
        let o = optimizer(c, o)?;
        let path = c.str(1, "path", path)?;
        let o = o.lock();
        safetensors::save(path, &o.state_dict()?, &Default::default())
    })
}

/// Loads what taper_optimizer_save wrote. Borrows o. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_load(o: *mut taper_optimizer, path: *const c_char) -> *mut taper_error {
    guard("optimizer_load", |c| {
        let o = optimizer(c, o)?;
        let (state, _) = safetensors::load(c.str(1, "path", path)?, Device::CPU)?;
        let mut o = o.lock();
        o.load_state_dict(&state)
    })
}

/// The printed form, PyTorch's; owned by the caller. Borrows o. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_optimizer_to_string(
    o: *mut taper_optimizer,
    out: *mut *mut taper_string,
) -> *mut taper_error {
    guard("optimizer_to_string", |c| {
        let out = c.out(1, "out", out)?;
        let text = optimizer(c, o)?.lock().to_string();
        out.set(text)
    })
}

/// Frees an optimizer's handle. Consumes o; NULL is fine. Returns false when o was no live optimizer handle. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_optimizer_free(o: *mut taper_optimizer) -> bool {
    free(o, Kind::Optimizer)
}
