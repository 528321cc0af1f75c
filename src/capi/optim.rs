//! Optimisers.

use super::autograd::take_tensor;
use super::convert::{Call, HandleType, IntoC, Lent, TensorList};
use super::error;
use super::handle::Kind;
use super::io::NamedTensors;
use super::optim_gen::READERS;
use super::optim_options::list;
use super::types::*;
use super::user::{CStruct, Callbacks, User};
use crate::base::error::{ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::io::safetensors;
use crate::optim::{self, AdamOptions, Optimizer, OptionValue, Options, Own, ParamGroup, Rule, SgdOptions};
use crate::{bail, Device, Scalar, Tensor};
use smallvec::SmallVec;
use std::os::raw::c_void;
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

fn sgd(o: Option<taper_sgd_options>) -> Options {
    let o = o.unwrap_or(taper_sgd_options::INIT);
    Options::from(SgdOptions {
        lr: o.lr,
        momentum: o.momentum,
        dampening: o.dampening,
        weight_decay: o.weight_decay,
        nesterov: o.nesterov != 0,
        maximize: o.maximize != 0,
    })
}

fn adam(o: Option<taper_adam_options>) -> Options {
    let o = o.unwrap_or(taper_adam_options::INIT);
    Options::from(AdamOptions {
        lr: o.lr,
        betas: (o.beta1, o.beta2),
        eps: o.eps,
        weight_decay: o.weight_decay,
        amsgrad: o.amsgrad != 0,
        maximize: o.maximize != 0,
        decoupled: o.decoupled != 0,
    })
}

/// `taper_optim_sgd_new`.
pub fn optim_sgd_new(params: &[Tensor], options: Option<taper_sgd_options>) -> Result<Optimizer> {
    Optimizer::new(params.to_vec(), sgd(options))
}

/// `taper_optim_sgd_new_from_list`.
pub fn optim_sgd_new_from_list(c: &Call, params: &TensorList, options: Option<taper_sgd_options>) -> Result<Optimizer> {
    Optimizer::new(list(c, params)?, sgd(options))
}

/// `taper_optim_adam_new`.
pub fn optim_adam_new(params: &[Tensor], options: Option<taper_adam_options>) -> Result<Optimizer> {
    Optimizer::new(params.to_vec(), adam(options))
}

/// `taper_optim_adam_new_from_list`.
pub fn optim_adam_new_from_list(
    c: &Call,
    params: &TensorList,
    options: Option<taper_adam_options>,
) -> Result<Optimizer> {
    Optimizer::new(list(c, params)?, adam(options))
}

/// `taper_optimizer_add_sgd_group`.
pub fn optimizer_add_sgd_group(
    o: &Arc<Mutex<Optimizer>>,
    params: &[Tensor],
    options: Option<taper_sgd_options>,
) -> Result<()> {
    let params = params.to_vec();
    let options = sgd(options);
    let mut o = o.lock();
    o.add_param_group(ParamGroup { params, options })
}

/// `taper_optimizer_add_adam_group`.
pub fn optimizer_add_adam_group(
    o: &Arc<Mutex<Optimizer>>,
    params: &[Tensor],
    options: Option<taper_adam_options>,
) -> Result<()> {
    let params = params.to_vec();
    let options = adam(options);
    let mut o = o.lock();
    o.add_param_group(ParamGroup { params, options })
}

/// `taper_optimizer_step`.
pub fn optimizer_step(o: &Arc<Mutex<Optimizer>>) -> Result<()> {
    optim::step(o, None).map(drop)
}

/// `taper_optimizer_zero_grad`.
pub fn optimizer_zero_grad(o: &Arc<Mutex<Optimizer>>, set_to_none: bool) -> Result<()> {
    o.lock().zero_grad(set_to_none)
}

/// `taper_optimizer_num_groups`.
pub fn optimizer_num_groups(o: &Arc<Mutex<Optimizer>>) -> i64 {
    o.lock().groups().len() as i64
}

/// `taper_optimizer_set_lr`.
pub fn optimizer_set_lr(o: &Arc<Mutex<Optimizer>>, lr: f64) -> Result<()> {
    o.lock().set_lr(lr)
}

/// `taper_optimizer_set_group_lr`.
pub fn optimizer_set_group_lr(o: &Arc<Mutex<Optimizer>>, group: usize, lr: f64) -> Result<()> {
    o.lock().set_group_lr(group, lr)
}

/// `taper_optimizer_get_lr`.
pub fn optimizer_get_lr(o: &Arc<Mutex<Optimizer>>, group: usize) -> Result<f64> {
    let lr = o.lock().lr(group)?;
    Ok(lr)
}

/// `taper_optimizer_state_dict`.
pub fn optimizer_state_dict(o: &Arc<Mutex<Optimizer>>) -> Result<NamedTensors> {
    let state = o.lock().state_dict()?;
    NamedTensors::from_dict(state)
}

/// `taper_optimizer_load_state_dict`.
pub fn optimizer_load_state_dict(o: &Arc<Mutex<Optimizer>>, state: &Arc<Mutex<NamedTensors>>) -> Result<()> {
    let state = state.lock().dict()?;
    let mut o = o.lock();
    o.load_state_dict(&state)
}

/// `taper_optimizer_save`.
pub fn optimizer_save(o: &Arc<Mutex<Optimizer>>, path: &str) -> Result<()> {
    let o = o.lock();
    safetensors::save(path, &o.state_dict()?, &Default::default())
}

/// `taper_optimizer_load`.
pub fn optimizer_load(o: &Arc<Mutex<Optimizer>>, path: &str) -> Result<()> {
    let state = crate::io::format::open(path.as_ref(), false)?.all(Device::CPU)?;
    let mut o = o.lock();
    o.load_state_dict(&state)
}

/// `taper_optimizer_to_string`.
pub fn optimizer_to_string(o: &Arc<Mutex<Optimizer>>) -> Result<String> {
    let text = o.lock().to_string();
    Ok(text)
}

/// Computes the loss anew for a step.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_optimizer_closure {
    /// sizeof(taper_optimizer_closure).
    pub struct_size: usize,
    /// Zeroes the gradients, computes the loss and its gradients, and sets *loss to it, which the library takes over.
    pub call: Option<unsafe extern "C" fn(user: *mut c_void, loss: *mut *mut taper_tensor) -> *mut taper_error>,
    /// Called with user exactly once, when the step is done; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_optimizer_closure {
    const INIT: Self = taper_optimizer_closure { struct_size: 0, call: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_optimizer_closure {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// What an optimizer of the caller does.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_optimizer_vtable {
    /// sizeof(taper_optimizer_vtable).
    pub struct_size: usize,
    /// One step, with gradients not recorded: self is borrowed, and gives groups, options and state.
    pub step: Option<unsafe extern "C" fn(user: *mut c_void, self_: *mut taper_optimizer) -> *mut taper_error>,
    /// Called with user exactly once, when the optimizer is gone; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_optimizer_vtable {
    const INIT: Self = taper_optimizer_vtable { struct_size: 0, step: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_optimizer_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// An update that is a callback.
struct COptimizer {
    vt: taper_optimizer_vtable,
    user: User,
}
impl Own for COptimizer {
    fn step(&self, o: &Arc<Mutex<Optimizer>>) -> Result<()> {
        let Some(step) = self.vt.step else { return Ok(()) };
        let lent = Lent::<taper_optimizer>::new(o)?;
        // SAFETY: function and user come together from the caller; user lives as long as the optimizer.
        error::take(unsafe { step(self.user.get(), lent.0) }).map_or(Ok(()), Err)
    }
}

/// `taper_optimizer_own_new`.
pub fn optimizer_own_new(
    c: &Call,
    name: &str,
    params: &TensorList,
    vtable: taper_optimizer_vtable,
    user: User,
) -> Result<Optimizer> {
    if vtable.step.is_none() {
        return Err(c.invalid(ErrorKind::Value, 2, "vtable", "its step function is NULL"));
    }
    Optimizer::own(name, list(c, params)?, Arc::new(COptimizer { vt: vtable, user }))
}

/// `taper_optimizer_step_closure`.
pub fn optimizer_step_closure(
    c: &Call,
    o: &Arc<Mutex<Optimizer>>,
    closure: taper_optimizer_closure,
    user: User,
) -> Result<Tensor> {
    let Some(call) = closure.call else {
        return Err(c.invalid(ErrorKind::Value, 1, "closure", "its call function is NULL"));
    };
    let mut run = || {
        let mut loss = std::ptr::null_mut();
        // SAFETY: function and user come together from the caller; user lives until this call returns.
        let e = unsafe { call(user.get(), &mut loss) };
        let loss = take_tensor("an optimizer's closure", loss);
        if let Some(e) = error::take(e) {
            return Err(e);
        }
        match loss? {
            Some(t) => Ok(t),
            None => bail!(Callback, "an optimizer's closure set no loss"),
        }
    };
    match optim::step(o, Some(&mut run))? {
        Some(loss) => Ok(loss),
        None => bail!(Internal, "a step without a loss"),
    }
}

/// `taper_optimizer_add_param_group`.
///
/// # Safety
/// `options` is NULL or points to the options struct of the optimizer's class.
pub unsafe fn optimizer_add_param_group(
    c: &Call,
    o: &Arc<Mutex<Optimizer>>,
    params: &TensorList,
    options: *const c_void,
) -> Result<()> {
    let params = list(c, params)?;
    let mut group = ParamGroup { params, options: o.lock().defaults().clone() };
    if !options.is_null() {
        let Some(r) = READERS.iter().find(|r| r.name == group.options.name()) else {
            let what = format!("{} has no options struct; set options by name", group.options.name());
            return Err(c.invalid(ErrorKind::Value, 2, "options", what));
        };
        // SAFETY: the caller's.
        group.options = unsafe { (r.read)(c, 2, &Options::of(group.options.class()), r.places, options) }?;
    }
    let mut o = o.lock();
    o.add_param_group(group)
}

/// `taper_optimizer_group_params`.
pub fn optimizer_group_params(o: &Arc<Mutex<Optimizer>>, group: usize) -> Result<Vec<Tensor>> {
    let params = o.lock().group(group)?.params.clone();
    Ok(params)
}

fn option(o: &Arc<Mutex<Optimizer>>, group: usize, name: &str) -> Result<OptionValue> {
    let v = o.lock().option(group, name)?;
    Ok(v)
}
fn set_option(o: &Arc<Mutex<Optimizer>>, group: usize, name: &str, value: OptionValue) -> Result<()> {
    let mut o = o.lock();
    o.set_option(group, name, value)
}

/// `taper_optimizer_get_option`.
pub fn optimizer_get_option(o: &Arc<Mutex<Optimizer>>, group: usize, name: &str) -> Result<Scalar> {
    match option(o, group, name)? {
        OptionValue::Float(v) => Ok(Scalar::Float(v)),
        OptionValue::Int(v) => Ok(Scalar::Int(v)),
        OptionValue::Bool(v) => Ok(Scalar::Bool(v)),
        other => bail!(Type, "option \"{name}\" is {}, not one number", other.shown()),
    }
}

/// `taper_optimizer_set_option`.
pub fn optimizer_set_option(o: &Arc<Mutex<Optimizer>>, group: usize, name: &str, value: Scalar) -> Result<()> {
    let value = match value {
        Scalar::Float(v) => OptionValue::Float(v),
        Scalar::Int(v) => OptionValue::Int(v),
        Scalar::Bool(v) => OptionValue::Bool(v),
        Scalar::Complex(..) => bail!(Type, "option \"{name}\" takes real numbers, got a complex one"),
    };
    set_option(o, group, name, value)
}

/// `taper_optimizer_get_option_values`.
pub fn optimizer_get_option_values(
    c: &Call,
    o: &Arc<Mutex<Optimizer>>,
    group: usize,
    name: &str,
    values: &mut [f64],
) -> Result<usize> {
    let all: SmallVec<[f64; 3]> = match option(o, group, name)? {
        OptionValue::Numbers(v) => v,
        other => match other.number() {
            Some(v) => SmallVec::from_slice(&[v]),
            None => bail!(Type, "option \"{name}\" is {}, not numbers", other.shown()),
        },
    };
    if values.len() < all.len() {
        let what = format!("it has place for {} numbers, but there are {}", values.len(), all.len());
        return Err(c.invalid(ErrorKind::Value, 3, "values", what));
    }
    values[..all.len()].copy_from_slice(&all);
    Ok(all.len())
}

/// `taper_optimizer_set_option_values`.
pub fn optimizer_set_option_values(o: &Arc<Mutex<Optimizer>>, group: usize, name: &str, values: &[f64]) -> Result<()> {
    set_option(o, group, name, OptionValue::Numbers(SmallVec::from_slice(values)))
}

/// `taper_optimizer_get_option_text`.
pub fn optimizer_get_option_text(o: &Arc<Mutex<Optimizer>>, group: usize, name: &str) -> Result<String> {
    Ok(option(o, group, name)?.shown())
}

/// `taper_optimizer_set_option_text`.
pub fn optimizer_set_option_text(
    o: &Arc<Mutex<Optimizer>>,
    group: usize,
    name: &str,
    value: Option<&str>,
) -> Result<()> {
    set_option(o, group, name, value.map_or(OptionValue::None, |t| OptionValue::Text(t.into())))
}

/// `taper_optimizer_get_state`.
pub fn optimizer_get_state(o: &Arc<Mutex<Optimizer>>, param: &Tensor, name: &str) -> Result<Option<Tensor>> {
    let t = o.lock().own_state(param, name);
    Ok(t)
}

/// `taper_optimizer_set_state`.
pub fn optimizer_set_state(
    o: &Arc<Mutex<Optimizer>>,
    param: &Tensor,
    name: &str,
    value: Option<&Tensor>,
) -> Result<()> {
    let mut o = o.lock();
    o.set_own_state(param, name, value.cloned())
}

/// `taper_optim_list_step`.
#[allow(clippy::too_many_arguments)]
pub fn optim_list_step(
    c: &Call,
    optimizer: &str,
    params: &[Tensor],
    grads: &[Tensor],
    states: &[Tensor],
    options: &[f64],
    step: i64,
    first: bool,
    numbers: &mut [f64],
) -> Result<()> {
    let mut o = Options::named(optimizer)?;
    let mut rest = options.iter().copied();
    let mut taken = 0;
    for spec in o.class().options.iter().filter(|s| s.kind != optim::Kind::Inert) {
        let value = match spec.kind {
            optim::Kind::Numbers(n) => OptionValue::Numbers(rest.by_ref().take(n).collect()),
            optim::Kind::Bool => OptionValue::Bool(rest.next().unwrap_or(0.0) != 0.0),
            _ => OptionValue::Float(rest.next().unwrap_or(f64::NAN)),
        };
        taken += if let OptionValue::Numbers(v) = &value { v.len() } else { 1 };
        o.set(spec.name, value)?;
    }
    if !matches!(o.class().rule, Rule::Program { .. }) || taken != options.len() {
        let what = format!("{optimizer} steps with {taken} numbers by a program, got {}", options.len());
        return Err(c.invalid(ErrorKind::Value, 4, "options", what));
    }
    optim::list_step(&o, params, grads, states, step, first, numbers)
}
