//! Element types: what a dtype is stands in `spec/types.txt`, what follows from it here.

pub use super::bool8::Bool8;
pub use super::types_gen::DType;
use crate::bail;
use crate::base::error::Result;
use half::{bf16, f16};
use std::fmt;

impl DType {
    /// The dtype of an ABI code, or an error that lists the valid codes.
    pub fn from_code(code: i32) -> Result<DType> {
        match DType::ALL.iter().find(|d| **d as i32 == code) {
            Some(d) => Ok(*d),
            None => bail!(
                Type,
                "invalid dtype code {code}; valid are {}",
                DType::ALL.map(|d| format!("{} ({})", d as i32, d.name())).join(", ")
            ),
        }
    }
    /// Promotion category: 0 bool, 1 integer, 2 float, 3 complex.
    #[inline]
    pub fn category(self) -> u8 {
        if self == DType::Bool {
            0
        } else if self.is_int() {
            1
        } else if self.is_complex() {
            3
        } else {
            2
        }
    }
    /// The complex dtype whose parts hold this dtype's numbers as well as they can.
    pub fn complex(self) -> DType {
        match self {
            DType::F64 | DType::C128 => DType::C128,
            _ => DType::C64,
        }
    }
    /// Whether a result of `self` may be stored in `to` (PyTorch's `canCast`: complex to float, float to int and number to bool
    /// may not).
    pub fn can_cast(self, to: DType) -> bool {
        self.category() <= to.category()
    }
    /// The least and the largest number of an integer dtype.
    pub fn int_range(self) -> Option<(i64, i64)> {
        match self {
            DType::U8 => Some((0, u8::MAX as i64)),
            DType::I8 => Some((i8::MIN as i64, i8::MAX as i64)),
            DType::I16 => Some((i16::MIN as i64, i16::MAX as i64)),
            DType::I32 => Some((i32::MIN as i64, i32::MAX as i64)),
            DType::I64 => Some((i64::MIN, i64::MAX)),
            _ => None,
        }
    }
    /// The largest finite number of a float dtype.
    pub fn largest(self) -> f64 {
        match self {
            DType::F16 => 65504.0,
            DType::BF16 => (2.0 - 2f64.powi(-7)) * 2f64.powi(127),
            DType::F32 | DType::C64 => f32::MAX as f64,
            _ => f64::MAX,
        }
    }
}
impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that is the element type of some dtype.
pub trait Element: bytemuck::Pod + Send + Sync + fmt::Debug + PartialOrd + 'static {
    const DTYPE: DType;
    fn to_f64(self) -> f64;
    fn from_f64(v: f64) -> Self;
    fn to_i64(self) -> i64;
    fn from_i64(v: i64) -> Self;
}
macro_rules! element {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            #[inline(always)] fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)] fn from_f64(v: f64) -> Self { v as $t }
            #[inline(always)] fn to_i64(self) -> i64 { self as i64 }
            #[inline(always)] fn from_i64(v: i64) -> Self { v as $t }
        })*};
}
element!(u8 => U8, i8 => I8, i16 => I16, i32 => I32, i64 => I64, f32 => F32, f64 => F64);
macro_rules! half_element {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            #[inline(always)] fn to_f64(self) -> f64 { self.to_f32() as f64 }
            #[inline(always)] fn from_f64(v: f64) -> Self { <$t>::from_f32(v as f32) }
            #[inline(always)] fn to_i64(self) -> i64 { self.to_f32() as i64 }
            #[inline(always)] fn from_i64(v: i64) -> Self { <$t>::from_f32(v as f32) }
        })*};
}
half_element!(f16 => F16, bf16 => BF16);

impl Element for Bool8 {
    const DTYPE: DType = DType::Bool;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        (self.0 != 0) as u8 as f64
    }
    #[inline(always)]
    fn from_f64(v: f64) -> Self {
        Bool8((v != 0.0) as u8)
    }
    #[inline(always)]
    fn to_i64(self) -> i64 {
        (self.0 != 0) as i64
    }
    #[inline(always)]
    fn from_i64(v: i64) -> Self {
        Bool8((v != 0) as u8)
    }
}
