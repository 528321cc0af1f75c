//! Numbers of the caller.

use super::dtype::DType;
use super::error::Result;
use super::settings::default_dtype;
use crate::ensure;

/// A number of the caller, with its category kept: a Python `int` stays an integer until promotion has spoken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    Float(f64),
    Int(i64),
    Bool(bool),
    Complex(f64, f64),
}
impl Scalar {
    #[inline]
    pub fn to_f64(self) -> f64 {
        match self {
            Scalar::Float(v) => v,
            Scalar::Int(v) => v as f64,
            Scalar::Bool(v) => v as u8 as f64,
            Scalar::Complex(re, _) => re,
        }
    }
    #[inline]
    pub fn to_i64(self) -> i64 {
        match self {
            Scalar::Float(v) => v as i64,
            Scalar::Int(v) => v,
            Scalar::Bool(v) => v as i64,
            Scalar::Complex(re, _) => re as i64,
        }
    }
    pub fn to_bool(self) -> bool {
        match self {
            Scalar::Float(v) => v != 0.0,
            Scalar::Int(v) => v != 0,
            Scalar::Bool(v) => v,
            Scalar::Complex(re, im) => re != 0.0 || im != 0.0,
        }
    }
    /// The imaginary part; zero of a real number.
    pub fn imag(self) -> f64 {
        match self {
            Scalar::Complex(_, im) => im,
            _ => 0.0,
        }
    }
    pub fn is_complex(self) -> bool {
        matches!(self, Scalar::Complex(..))
    }
    pub fn is_float(self) -> bool {
        matches!(self, Scalar::Float(_))
    }
    /// The dtype that a tensor made of this scalar has by default (`int64`, `bool`, the default float type).
    pub fn default_dtype(self) -> DType {
        match self {
            Scalar::Float(_) => default_dtype(),
            Scalar::Int(_) => DType::I64,
            Scalar::Bool(_) => DType::Bool,
            Scalar::Complex(..) => default_dtype().complex(),
        }
    }
    #[inline]
    pub fn category(self) -> u8 {
        match self {
            Scalar::Float(_) => 2,
            Scalar::Int(_) => 1,
            Scalar::Bool(_) => 0,
            Scalar::Complex(..) => 3,
        }
    }
    /// Checks that the scalar's value fits a result of `dtype` without losing its category.
    pub fn check_fits(self, dtype: DType) -> Result<()> {
        ensure!(
            self.category() <= dtype.category(),
            Runtime,
            "result type {} can't be cast to the desired output type {}",
            self.default_dtype().scalar_name(),
            dtype.scalar_name()
        );
        Ok(())
    }
}
impl From<f64> for Scalar {
    fn from(v: f64) -> Self {
        Scalar::Float(v)
    }
}
impl From<i64> for Scalar {
    fn from(v: i64) -> Self {
        Scalar::Int(v)
    }
}
impl From<i32> for Scalar {
    fn from(v: i32) -> Self {
        Scalar::Int(v as i64)
    }
}
impl From<bool> for Scalar {
    fn from(v: bool) -> Self {
        Scalar::Bool(v)
    }
}
