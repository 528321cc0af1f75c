//! Optimisers.

use super::convert::{Call, HandleType, IntoC, TensorList};
use super::handle::Kind;
use super::io::NamedTensors;
use super::types::*;
use super::user::CStruct;
use crate::base::error::{ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::io::safetensors;
use crate::optim::{AdamOptions, Optimizer, Options, ParamGroup, SgdOptions};
use crate::{Device, Tensor};
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
    Options::Sgd(SgdOptions {
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
    Options::Adam(AdamOptions {
        lr: o.lr,
        betas: (o.beta1, o.beta2),
        eps: o.eps,
        weight_decay: o.weight_decay,
        amsgrad: o.amsgrad != 0,
        maximize: o.maximize != 0,
        decoupled: o.decoupled != 0,
    })
}

/// The tensors of a list that must all be there.
fn list(c: &Call, params: &TensorList) -> Result<Vec<Tensor>> {
    match params.iter().cloned().collect::<Option<Vec<_>>>() {
        Some(p) => Ok(p),
        None => Err(c.invalid(ErrorKind::Value, 0, "params", "the list has NULL elements")),
    }
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
    o.add_param_group(ParamGroup { params, options, kept: Vec::new() })
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
    o.add_param_group(ParamGroup { params, options, kept: Vec::new() })
}

/// `taper_optimizer_step`.
pub fn optimizer_step(o: &Arc<Mutex<Optimizer>>) -> Result<()> {
    o.lock().step()
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
    let (state, _) = safetensors::load(path, Device::CPU)?;
    let mut o = o.lock();
    o.load_state_dict(&state)
}

/// `taper_optimizer_to_string`.
pub fn optimizer_to_string(o: &Arc<Mutex<Optimizer>>) -> Result<String> {
    let text = o.lock().to_string();
    Ok(text)
}
