//! The CPU backend. Each kernel family has its file; this one only delegates.
pub mod alloc;
pub(crate) mod attention;
pub(crate) mod batch_norm;
#[cfg(feature = "tests")]
pub(crate) mod bench;
pub(crate) mod conv;
pub mod dense;
pub(crate) mod elementwise;
pub mod fft;
pub(crate) mod gemm;
pub(crate) mod geometry;
pub(crate) mod index;
pub mod info;
mod lanes;
pub(crate) mod level;
pub(crate) mod norm;
mod optim;
pub(crate) mod pool;
pub(crate) mod random;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod scan;
mod scratch;
pub mod simd;
pub(crate) mod softmax;
pub(crate) mod sort;
#[cfg(feature = "tests")]
pub(crate) mod testing;
pub mod threads;
pub(crate) mod transfer;
pub(crate) mod transpose;

use crate::backend::contract::*;
use crate::backend::memory::{self, MemoryStats};
use crate::backend::program;
use crate::backend::storage::{Buffer, Storage};
use crate::base::device::Device;
use crate::base::error::Result;
use crate::base::scalar::Scalar;
use crate::rng::Generator;
use std::sync::Arc;

struct CpuBackend;
static CPU: CpuBackend = CpuBackend;

/// The one CPU backend.
#[inline]
pub fn backend() -> &'static dyn Backend {
    &CPU
}

impl Backend for CpuBackend {
    fn device(&self) -> Device {
        Device::CPU
    }
    fn alloc(&self, nbytes: usize) -> Result<Buffer> {
        Ok(Buffer::Cached(alloc::Block::new(nbytes)?))
    }
    fn memory_stats(&self) -> MemoryStats {
        alloc::memory_stats()
    }
    fn empty_cache(&self) {
        fft::forget();
        alloc::empty_cache()
    }
    fn memory_info(&self) -> Result<(u64, u64)> {
        Ok(info::memory().unwrap_or_default())
    }
    fn reset_peak_memory(&self) {
        alloc::reset_peak()
    }
    fn upload(&self, src: &[u8], dst: &Storage, dst_offset: usize) -> Result<()> {
        transfer::upload(src, dst, dst_offset)
    }
    fn download(&self, src: &Storage, src_offset: usize, dst: &mut [u8]) -> Result<()> {
        transfer::download(src, src_offset, dst)
    }
    fn copy_bytes(&self, src: &Storage, src_offset: usize, dst: &Storage, dst_offset: usize, n: usize) -> Result<()> {
        transfer::copy_bytes(src, src_offset, dst, dst_offset, n)
    }
    fn run_program(&self, p: &program::Program, inputs: &[View], scalars: &[Scalar], outputs: &[View]) -> Result<()> {
        elementwise::run_program(p, inputs, scalars, outputs)
    }
    fn reduce(
        &self,
        op: ReduceOp,
        prologue: Option<&program::Program>,
        inputs: &[View],
        scalars: &[Scalar],
        reduced: &[bool],
        out: View,
    ) -> Result<()> {
        reduce::reduce(op, prologue, inputs, scalars, reduced, out)
    }
    fn conv(&self, input: View, weight: View, bias: Option<View>, p: &ConvParams, out: View) -> Result<()> {
        memory::retrying(|| conv::conv(input, weight, bias, p, out))
    }
    fn conv_backward_input(&self, grad: View, weight: View, p: &ConvParams, grad_input: View) -> Result<()> {
        memory::retrying(|| conv::conv_backward_input(grad, weight, p, grad_input))
    }
    fn conv_backward_weight(&self, grad: View, input: View, p: &ConvParams, grad_weight: View) -> Result<()> {
        memory::retrying(|| conv::conv_backward_weight(grad, input, p, grad_weight))
    }
    fn max_pool(&self, input: View, p: &PoolParams, out: View, indices: View) -> Result<()> {
        pool::max_pool(input, p, out, indices)
    }
    fn max_pool_backward(&self, grad: View, indices: View, p: &PoolParams, grad_input: View) -> Result<()> {
        pool::max_pool_backward(grad, indices, p, grad_input)
    }
    fn avg_pool(&self, input: View, p: &PoolParams, include_pad: bool, divisor: Option<i64>, out: View) -> Result<()> {
        pool::avg_pool(input, p, include_pad, divisor, out)
    }
    fn avg_pool_backward(
        &self,
        grad: View,
        p: &PoolParams,
        include_pad: bool,
        divisor: Option<i64>,
        grad_input: View,
    ) -> Result<()> {
        pool::avg_pool_backward(grad, p, include_pad, divisor, grad_input)
    }
    fn softmax(&self, log: bool, input: View, dim: usize, out: View) -> Result<()> {
        softmax::softmax(log, input, dim, out)
    }
    fn softmax_backward(&self, log: bool, grad: View, output: View, dim: usize, out: View) -> Result<()> {
        softmax::softmax_backward(log, grad, output, dim, out)
    }
    fn gather(&self, input: View, dim: usize, index: View, out: View) -> Result<()> {
        index::gather::gather(input, dim, index, out)
    }
    fn scatter(&self, op: ScatterOp, out: View, dim: usize, index: View, src: View) -> Result<()> {
        index::gather::scatter(op, out, dim, index, src)
    }
    fn index(&self, input: View, indices: &[View], out: View) -> Result<()> {
        index::index(input, indices, out)
    }
    fn index_put(&self, out: View, indices: &[View], values: View, accumulate: bool) -> Result<()> {
        index::index_put(out, indices, values, accumulate)
    }
    fn nonzero(&self, input: View) -> Result<Vec<i64>> {
        index::nonzero(input)
    }
    fn gemm_epilogue(&self, a: View, b: View, out: View, alpha: f64, beta: f64, epilogue: &Epilogue) -> Result<()> {
        gemm::gemm(a, b, out, alpha, beta, epilogue)
    }
    fn layer_norm(&self, input: View, weight: Option<View>, bias: Option<View>, eps: f64, out: View) -> Result<bool> {
        norm::layer_norm(input, weight, bias, eps, out)
    }
    fn layer_norm_backward(
        &self,
        grad: View,
        input: View,
        weight: Option<View>,
        eps: f64,
        grads: LayerNormGrads,
    ) -> Result<bool> {
        norm::layer_norm_backward(grad, input, weight, eps, grads)
    }
    fn batch_norm(
        &self,
        input: View,
        weight: Option<View>,
        bias: Option<View>,
        eps: f64,
        out: View,
        stats: [View; 2],
    ) -> Result<bool> {
        batch_norm::batch_norm(input, weight, bias, eps, out, stats)
    }
    fn batch_norm_backward(
        &self,
        grad: View,
        input: View,
        weight: Option<View>,
        stats: [View; 2],
        eps: f64,
        grads: LayerNormGrads,
    ) -> Result<bool> {
        batch_norm::batch_norm_backward(grad, input, weight, stats, eps, grads)
    }
    fn attention(&self, a: &Attention, out: View, lse: View) -> Result<bool> {
        attention::attention(a, out, lse)
    }
    fn attention_backward(&self, a: &Attention, out: View, lse: View, slopes: &AttentionSlopes) -> Result<bool> {
        attention::attention_backward(a, out, lse, slopes)
    }
    fn recurrent(&self, r: &Recurrent, out: &RecurrentOutput) -> Result<bool> {
        recurrent::recurrent(r, out)
    }
    fn recurrent_backward(&self, r: &Recurrent, slopes: &RecurrentSlopes) -> Result<bool> {
        recurrent::recurrent_backward(r, slopes)
    }
    fn random(&self, dist: Distribution, generator: &Generator, out: View) -> Result<()> {
        random::random(dist, generator, out)
    }
    fn scan(&self, op: ScanOp, input: View, dim: usize, out: View, indices: Option<View>) -> Result<()> {
        scan::scan(op, input, dim, out, indices)
    }
    fn sort(&self, input: View, dim: usize, descending: bool, values: View, indices: View) -> Result<()> {
        sort::sort(input, dim, descending, values, indices)
    }
    fn topk(&self, input: View, dim: usize, largest: bool, values: View, indices: View) -> Result<bool> {
        sort::topk::topk(input, dim, largest, values, indices).map(|_| true)
    }
    fn optimizer_step(
        &self,
        kind: &StepKind,
        tensors: &[StepTensors],
        _live: Option<(&Arc<LiveStep>, bool)>,
    ) -> Result<()> {
        optim::optimizer_step(kind, tensors)
    }
}
