//! The device `meta`: tensors that have shape, strides and dtype and no elements. Every kernel is done at once and did
//! nothing, so that an op computes its result's shape alone; what has to look at elements is an error. As PyTorch's device of
//! that name.

use super::contract::*;
use super::info::DeviceInfo;
use super::program::Program;
use super::storage::{Buffer, Storage};
use crate::base::device::Device;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::scalar::Scalar;
use crate::rng::Generator;
use std::sync::Arc;

struct Meta;

/// The backend.
pub fn backend() -> &'static dyn Backend {
    &Meta
}

/// Its description: no memory, and every dtype.
pub fn info() -> DeviceInfo {
    let name = "meta".to_string();
    DeviceInfo { name: name.clone(), platform: name, kind: "other", fp64: true, fp16: true, ..Default::default() }
}

/// The error for what needs elements.
fn no_data(what: &str) -> Error {
    Error::new(ErrorKind::NotImplemented, format!("{what} out of meta tensor; no data!"))
}

impl Backend for Meta {
    fn device(&self) -> Device {
        Device::META
    }
    fn alloc(&self, _nbytes: usize) -> Result<Buffer> {
        Ok(Buffer::Device(Box::new(())))
    }
    fn upload(&self, _src: &[u8], _dst: &Storage, _dst_offset: usize) -> Result<()> {
        Ok(())
    }
    fn download(&self, _src: &Storage, _src_offset: usize, _dst: &mut [u8]) -> Result<()> {
        Err(no_data("Cannot copy"))
    }
    fn copy_bytes(&self, _src: &Storage, _from: usize, _dst: &Storage, _to: usize, _n: usize) -> Result<()> {
        Ok(())
    }
    fn memory_info(&self) -> Result<(u64, u64)> {
        Ok((0, 0))
    }
    fn run_program(&self, _: &Program, _: &[View], _: &[Scalar], _: &[View]) -> Result<()> {
        Ok(())
    }
    fn reduce(
        &self,
        _: ReduceOp,
        _: Option<&Program>,
        _inputs: &[View],
        _scalars: &[Scalar],
        _reduced: &[bool],
        _out: View,
    ) -> Result<()> {
        Ok(())
    }
    fn scan(&self, _: ScanOp, _input: View, _dim: usize, _out: View, _indices: Option<View>) -> Result<()> {
        Ok(())
    }
    fn softmax(&self, _log: bool, _input: View, _dim: usize, _out: View) -> Result<()> {
        Ok(())
    }
    fn softmax_backward(&self, _log: bool, _grad: View, _output: View, _dim: usize, _out: View) -> Result<()> {
        Ok(())
    }
    fn layer_norm(&self, _: View, _: Option<View>, _: Option<View>, _eps: f64, _out: View) -> Result<bool> {
        Ok(true)
    }
    fn layer_norm_backward(
        &self,
        _grad: View,
        _input: View,
        _weight: Option<View>,
        _eps: f64,
        _grads: LayerNormGrads,
    ) -> Result<bool> {
        Ok(true)
    }
    fn attention(&self, _: &Attention, _out: View, _lse: View) -> Result<bool> {
        Ok(true)
    }
    fn attention_backward(&self, _: &Attention, _out: View, _lse: View, _: &AttentionSlopes) -> Result<bool> {
        Ok(true)
    }
    fn recurrent(&self, _: &Recurrent, _: &RecurrentOutput) -> Result<bool> {
        Ok(true)
    }
    fn recurrent_backward(&self, _: &Recurrent, _: &RecurrentSlopes) -> Result<bool> {
        Ok(true)
    }
    fn sort(&self, _input: View, _dim: usize, _descending: bool, _values: View, _indices: View) -> Result<()> {
        Ok(())
    }
    fn topk(&self, _input: View, _dim: usize, _largest: bool, _values: View, _indices: View) -> Result<bool> {
        Ok(true)
    }
    fn gemm_epilogue(&self, _: View, _: View, _out: View, _alpha: f64, _beta: f64, _: &Epilogue) -> Result<()> {
        Ok(())
    }
    fn conv(&self, _input: View, _weight: View, _bias: Option<View>, _: &ConvParams, _out: View) -> Result<()> {
        Ok(())
    }
    fn conv_backward_input(&self, _grad: View, _weight: View, _: &ConvParams, _out: View) -> Result<()> {
        Ok(())
    }
    fn conv_backward_weight(&self, _grad: View, _input: View, _: &ConvParams, _out: View) -> Result<()> {
        Ok(())
    }
    fn max_pool(&self, _input: View, _: &PoolParams, _out: View, _indices: View) -> Result<()> {
        Ok(())
    }
    fn max_pool_backward(&self, _grad: View, _indices: View, _: &PoolParams, _out: View) -> Result<()> {
        Ok(())
    }
    fn avg_pool(&self, _: View, _: &PoolParams, _padded: bool, _divisor: Option<i64>, _out: View) -> Result<()> {
        Ok(())
    }
    fn avg_pool_backward(
        &self,
        _grad: View,
        _: &PoolParams,
        _padded: bool,
        _divisor: Option<i64>,
        _out: View,
    ) -> Result<()> {
        Ok(())
    }
    fn gather(&self, _input: View, _dim: usize, _index: View, _out: View) -> Result<()> {
        Ok(())
    }
    fn scatter(&self, _: ScatterOp, _out: View, _dim: usize, _index: View, _src: View) -> Result<()> {
        Ok(())
    }
    fn index(&self, _input: View, _indices: &[View], _out: View) -> Result<()> {
        Ok(())
    }
    fn index_put(&self, _out: View, _indices: &[View], _values: View, _accumulate: bool) -> Result<()> {
        Ok(())
    }
    fn check_values(&self, _input: View, _low: Scalar, _high: Scalar, _: ValueCheck) -> Result<()> {
        Ok(())
    }
    fn nonzero(&self, _input: View) -> Result<Vec<i64>> {
        Err(no_data("nonzero: Cannot read positions"))
    }
    fn random(&self, _: Distribution, _: &Generator, _out: View) -> Result<()> {
        Ok(())
    }
    fn optimizer_step(&self, _: &StepKind, _: &[StepTensors], _: Option<(&Arc<LiveStep>, bool)>) -> Result<()> {
        Ok(())
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;
    use crate::backend::devices;

    #[cfg_attr(test, test)]
    pub(crate) fn meta_holds_nothing() {
        let s = Storage::alloc(1 << 60, Device::META).unwrap();
        assert_eq!(s.nbytes(), 1 << 60);
        assert!(s.host_ptr().is_none());
        let e = backend().download(&s, 0, &mut [0]).unwrap_err();
        assert_eq!(e.kind, ErrorKind::NotImplemented);
        assert_eq!(e.into_message(), "Cannot copy out of meta tensor; no data!");
        assert_eq!(devices::count(crate::base::device::DeviceType::Meta), 1);
    }
}
