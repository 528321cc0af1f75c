//! PyTorch's recorded samples of every op (tests/fixtures/make_ops.py).

use super::device::{fixture, moved};
use super::value::Value;
use safetensors::SafeTensors;
use taper::{DType, Layout, Scalar, Tensor};

/// The samples: the lines `op|arguments|results or error|gradients` and the bytes that they point into.
pub struct Fixture {
    data: Vec<u8>,
    pub cases: Vec<String>,
}

pub fn load() -> Fixture {
    let file = fixture("ops.safetensors");
    let (_, meta) = SafeTensors::read_metadata(&file).unwrap();
    let cases = meta.metadata().as_ref().unwrap()["cases"].lines().map(str::to_string).collect();
    let data = SafeTensors::deserialize(&file).unwrap().tensor("data").unwrap().data().to_vec();
    Fixture { data, cases }
}

impl Fixture {
    /// `code:sizes:offset` and `:T` for a tensor that is the transpose of what is stored.
    pub fn tensor(&self, text: &str) -> Tensor {
        let parts: Vec<&str> = text.split(':').collect();
        let dtype = DType::from_code(parts[0].parse().unwrap()).unwrap();
        let sizes: Vec<i64> = parts[1].split('x').filter(|s| !s.is_empty()).map(|s| s.parse().unwrap()).collect();
        let at: usize = parts[2].parse().unwrap();
        let n = sizes.iter().product::<i64>() as usize * dtype.size();
        let t = Tensor::from_bytes(&self.data[at..at + n], &sizes, dtype, taper::Device::CPU).unwrap();
        if parts.len() < 4 {
            return t;
        }
        let mut l: Layout = t.layout();
        l.shape.reverse();
        l.strides.reverse();
        t.alias(l).unwrap()
    }
    pub fn value(&self, text: &str) -> Value {
        let (kind, rest) = text.split_at(1);
        let many = || rest.split(',').filter(|t| !t.is_empty());
        match kind {
            "n" => Value::None,
            "t" => Value::Tensor(self.tensor(rest)),
            "L" => Value::Tensors(many().map(|t| self.tensor(t)).collect()),
            "O" => Value::OptTensors(many().map(|t| (t != "n").then(|| self.tensor(t))).collect()),
            "d" => Value::DType(DType::from_code(rest.parse().unwrap()).unwrap()),
            "b" => Value::Scalar(Scalar::Bool(rest == "1")),
            "i" => Value::Scalar(Scalar::Int(rest.parse().unwrap())),
            "f" => Value::Scalar(Scalar::Float(rest.parse().unwrap())),
            "s" => Value::Str(rest.to_string()),
            "l" => Value::Ints(many().map(|v| v.parse().unwrap()).collect()),
            _ => panic!("value {text}"),
        }
    }
    pub fn values(&self, text: &str) -> Vec<Value> {
        text.split(';').filter(|t| !t.is_empty()).map(|t| self.value(t)).collect()
    }
    /// Values on the device under test: the arguments of a call.
    pub fn arguments(&self, text: &str) -> Vec<Value> {
        let on_device = |v| match v {
            Value::Tensor(t) => Value::Tensor(moved(&t)),
            Value::Tensors(l) => Value::Tensors(l.iter().map(moved).collect()),
            Value::OptTensors(l) => Value::OptTensors(l.iter().map(|t| t.as_ref().map(moved)).collect()),
            v => v,
        };
        self.values(text).into_iter().map(on_device).collect()
    }
}
