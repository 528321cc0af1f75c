//! Element types, type promotion and scalars: PyTorch's rules, in this one place.

use crate::bail;
use crate::base::error::Result;
use half::{bf16, f16};
use std::fmt;

/// Element type of a tensor. Values are frozen ABI and equal PyTorch's `ScalarType`; 8 to 10 stay free for
/// complex numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum DType {
    U8 = 0,
    I8 = 1,
    I16 = 2,
    I32 = 3,
    I64 = 4,
    F16 = 5,
    F32 = 6,
    F64 = 7,
    Bool = 11,
    BF16 = 15,
}
use DType::*;

impl DType {
    pub const ALL: [DType; 10] = [U8, I8, I16, I32, I64, F16, F32, F64, Bool, BF16];

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
    /// PyTorch's name without the module: `float32`.
    pub fn name(self) -> &'static str {
        match self {
            U8 => "uint8",
            I8 => "int8",
            I16 => "int16",
            I32 => "int32",
            I64 => "int64",
            F16 => "float16",
            F32 => "float32",
            F64 => "float64",
            Bool => "bool",
            BF16 => "bfloat16",
        }
    }
    /// The C-like name that PyTorch's messages use: `Float`, `Long`.
    pub fn scalar_name(self) -> &'static str {
        match self {
            U8 => "Byte",
            I8 => "Char",
            I16 => "Short",
            I32 => "Int",
            I64 => "Long",
            F16 => "Half",
            F32 => "Float",
            F64 => "Double",
            Bool => "Bool",
            BF16 => "BFloat16",
        }
    }
    /// Bytes per element.
    #[inline]
    pub fn size(self) -> usize {
        match self {
            U8 | I8 | Bool => 1,
            I16 | F16 | BF16 => 2,
            I32 | F32 => 4,
            I64 | F64 => 8,
        }
    }
    #[inline]
    pub fn is_float(self) -> bool {
        matches!(self, F16 | BF16 | F32 | F64)
    }
    /// Integers without bool.
    #[inline]
    pub fn is_int(self) -> bool {
        matches!(self, U8 | I8 | I16 | I32 | I64)
    }
    /// Promotion category: 0 bool, 1 integer, 2 float.
    #[inline]
    pub fn category(self) -> u8 {
        if self == Bool {
            0
        } else if self.is_int() {
            1
        } else {
            2
        }
    }
    /// The type that arithmetic on this dtype is carried out in: f32 for half types, itself otherwise.
    #[inline]
    pub fn compute(self) -> DType {
        match self {
            F16 | BF16 => F32,
            d => d,
        }
    }
    /// Whether a result of `self` may be stored in `to` (PyTorch's `canCast`: float to int and number to bool may not).
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
            DType::F32 => f32::MAX as f64,
            _ => f64::MAX,
        }
    }
    /// The name that PyTorch's errors about numbers use.
    pub fn c_name(self) -> &'static str {
        match self {
            DType::U8 => "uint8_t",
            DType::I8 => "int8_t",
            DType::I16 => "int16_t",
            DType::I32 => "int",
            DType::I64 => "int64_t",
            DType::F16 => "c10::Half",
            DType::BF16 => "c10::BFloat16",
            DType::F32 => "float",
            DType::F64 => "double",
            DType::Bool => "bool",
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

/// A bool element: one byte, 0 or 1. Its own type because Rust's `bool` must never hold a foreign byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Bool8(pub u8);
impl Element for Bool8 {
    const DTYPE: DType = Bool;
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

/// Runs a generic body with `$t` bound to the Rust type of a dtype: bytes become typed once, at the kernel boundary.
#[macro_export]
macro_rules! dispatch {
    ($dtype:expr, $t:ident, $body:expr) => {
        match $dtype {
            $crate::DType::U8 => {
                type $t = u8;
                $body
            }
            $crate::DType::I8 => {
                type $t = i8;
                $body
            }
            $crate::DType::I16 => {
                type $t = i16;
                $body
            }
            $crate::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::DType::I64 => {
                type $t = i64;
                $body
            }
            $crate::DType::F16 => {
                type $t = half::f16;
                $body
            }
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::DType::Bool => {
                type $t = $crate::base::dtype::Bool8;
                $body
            }
            $crate::DType::BF16 => {
                type $t = half::bf16;
                $body
            }
        }
    };
}
