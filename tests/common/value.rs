//! Arguments and results of an op called by name.

use taper::{DType, Scalar, Tensor};

/// An argument or a result.
#[derive(Clone, Debug)]
pub enum Value {
    None,
    Tensor(Tensor),
    Tensors(Vec<Tensor>),
    OptTensors(Vec<Option<Tensor>>),
    Scalar(Scalar),
    Ints(Vec<i64>),
    Str(String),
    DType(DType),
}

/// The arguments of one call, in the table's order; a wrong kind is a mistake of the test and panics.
pub struct Args(pub Vec<Value>);

macro_rules! optional {
    ($($opt:ident: $get:ident -> $t:ty;)*) => {$(
        pub fn $opt(&self, i: usize) -> Option<$t> {
            (!matches!(self.0[i], Value::None)).then(|| self.$get(i))
        }
    )*};
}

impl Args {
    pub fn tensor(&self, i: usize) -> &Tensor {
        match &self.0[i] {
            Value::Tensor(t) => t,
            v => panic!("argument {i}: a tensor is needed, not {v:?}"),
        }
    }
    pub fn opt_tensor(&self, i: usize) -> Option<&Tensor> {
        (!matches!(self.0[i], Value::None)).then(|| self.tensor(i))
    }
    pub fn tensors(&self, i: usize) -> &[Tensor] {
        match &self.0[i] {
            Value::Tensors(t) => t,
            v => panic!("argument {i}: tensors are needed, not {v:?}"),
        }
    }
    pub fn opt_tensors(&self, i: usize) -> &[Option<Tensor>] {
        match &self.0[i] {
            Value::OptTensors(t) => t,
            v => panic!("argument {i}: optional tensors are needed, not {v:?}"),
        }
    }
    pub fn scalar(&self, i: usize) -> Scalar {
        match &self.0[i] {
            Value::Scalar(s) => *s,
            v => panic!("argument {i}: a number is needed, not {v:?}"),
        }
    }
    pub fn int(&self, i: usize) -> i64 {
        self.scalar(i).to_i64()
    }
    pub fn float(&self, i: usize) -> f64 {
        self.scalar(i).to_f64()
    }
    pub fn bool(&self, i: usize) -> bool {
        self.scalar(i).to_bool()
    }
    pub fn ints(&self, i: usize) -> &[i64] {
        match &self.0[i] {
            Value::Ints(v) => v,
            v => panic!("argument {i}: integers are needed, not {v:?}"),
        }
    }
    pub fn opt_ints(&self, i: usize) -> Option<&[i64]> {
        (!matches!(self.0[i], Value::None)).then(|| self.ints(i))
    }
    pub fn dtype(&self, i: usize) -> DType {
        match &self.0[i] {
            Value::DType(d) => *d,
            v => panic!("argument {i}: a dtype is needed, not {v:?}"),
        }
    }
    pub fn str(&self, i: usize) -> &str {
        match &self.0[i] {
            Value::Str(s) => s,
            v => panic!("argument {i}: a string is needed, not {v:?}"),
        }
    }
    pub fn opt_str(&self, i: usize) -> Option<&str> {
        (!matches!(self.0[i], Value::None)).then(|| self.str(i))
    }
    optional! {
        opt_scalar: scalar -> Scalar;
        opt_int: int -> i64;
        opt_float: float -> f64;
        opt_bool: bool -> bool;
        opt_dtype: dtype -> DType;
    }
}

/// The tensors among values, those of lists too.
pub fn tensors(values: &[Value]) -> Vec<Tensor> {
    let mut out = vec![];
    for v in values {
        match v {
            Value::Tensor(t) => out.push(t.clone()),
            Value::Tensors(list) => out.extend(list.iter().cloned()),
            Value::OptTensors(list) => out.extend(list.iter().flatten().cloned()),
            _ => {}
        }
    }
    out
}
