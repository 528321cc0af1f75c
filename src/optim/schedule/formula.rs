//! What the formulas of `spec/schedules.txt` are made of: Python's arithmetic, with errors in place of exceptions.

use super::values::Value;
use crate::{bail, ensure, Result};

/// A group's rate before the step, and what the step is.
pub struct At<'a> {
    pub lr: f64,
    /// None for a group that the optimiser got after the schedule was made.
    pub base_lr: Option<f64>,
    pub e: i128,
    /// The step that the constructor makes.
    pub initial: bool,
    /// Steps so far, this one included.
    pub count: i128,
    pub attributes: &'a [(&'static str, Value)],
}

impl At<'_> {
    pub fn base(&self) -> Result<f64> {
        match self.base_lr {
            Some(b) => Ok(b),
            None => bail!(Value, "the optimizer has more parameter groups than when the scheduler was made"),
        }
    }
    pub fn int(&self, i: usize) -> Result<i128> {
        match self.attributes.get(i) {
            Some((_, Value::Int(v))) => Ok(*v as i128),
            _ => bail!(Internal, "attribute {i} of a schedule is no int"),
        }
    }
    pub fn float(&self, i: usize) -> Result<f64> {
        match self.attributes.get(i) {
            Some((_, Value::Float(v))) => Ok(*v),
            _ => bail!(Internal, "attribute {i} of a schedule is no float"),
        }
    }
}

pub fn float(v: i128) -> f64 {
    v as f64
}

pub fn divide(a: f64, b: f64) -> Result<f64> {
    ensure!(b != 0.0, Value, "float division by zero");
    Ok(a / b)
}

pub fn floor_div(a: i128, b: i128) -> Result<i128> {
    ensure!(b != 0, Value, "integer division by zero");
    let q = a / b;
    Ok(if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q })
}

pub fn modulo(a: i128, b: i128) -> Result<i128> {
    ensure!(b != 0, Value, "integer modulo by zero");
    let r = a % b;
    Ok(if r != 0 && (r < 0) != (b < 0) { r + b } else { r })
}

/// The C library's pow, as Python's.
pub fn raised(a: f64, b: f64) -> Result<f64> {
    ensure!(a != 0.0 || b >= 0.0, Value, "0.0 cannot be raised to a negative power");
    Ok(a.powf(b))
}
