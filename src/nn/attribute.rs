//! What a layer tells of itself: PyTorch's attributes that are no tensors.

use crate::Scalar;

/// The value of an attribute (`kernel_size`, `padding_mode`).
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// PyTorch's None, as of a `padding_idx` that was not given.
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A tuple of ints.
    Ints(Vec<i64>),
    /// A tuple of floats.
    Floats(Vec<f64>),
}
macro_rules! from {
    ($($t:ty => $kind:ident;)*) => {$(
        impl From<$t> for Attribute {
            fn from(v: $t) -> Attribute {
                Attribute::$kind(v.to_owned())
            }
        }
    )*};
}
from! {
    bool => Bool;
    i64 => Int;
    f64 => Float;
    &str => Text;
    &String => Text;
    &[i64] => Ints;
    &Vec<i64> => Ints;
    &[f64] => Floats;
}
impl From<Scalar> for Attribute {
    fn from(v: Scalar) -> Attribute {
        match v {
            Scalar::Int(v) => v.into(),
            Scalar::Float(v) => v.into(),
            Scalar::Bool(v) => v.into(),
            Scalar::Complex(re, _) => re.into(),
        }
    }
}
impl Attribute {
    /// One size for all dimensions, or one of each.
    pub fn sizes(values: &[i64]) -> Attribute {
        match values {
            [one] => (*one).into(),
            _ => values.into(),
        }
    }
}
impl<T: Into<Attribute>> From<Option<T>> for Attribute {
    fn from(v: Option<T>) -> Attribute {
        v.map_or(Attribute::None, Into::into)
    }
}
