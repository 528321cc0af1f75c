//! What a device can be asked for, and the arguments of its kernels. Ops know this trait alone; nothing above it assumes
//! that memory is the host's.
//!
//! A method that a backend does not override answers with an error naming the kernel, dtype and device: nothing
//! falls back to the CPU silently. Everything else is composed of these methods.

use crate::backend::memory::MemoryStats;
use crate::backend::program::{ListProgram, Opcode, Program};
use crate::backend::storage::{Buffer, HostOwner, Storage};
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};
use crate::base::layout::Layout;
use crate::base::scalar::Scalar;
use crate::rng::Generator;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// A strided window on a storage: the argument of every kernel. Whether it is read or written is the kernel's
/// contract; written views never overlap themselves.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub storage: &'a Storage,
    pub layout: &'a Layout,
    pub dtype: DType,
}

/// What a reduction computes over the reduced dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    Sum,
    Prod,
    /// NaN propagates.
    Max,
    Min,
    /// Index of the first extreme (int64), over one dimension or all; NaN counts as the extreme.
    ArgMax,
    ArgMin,
    /// Any / all elements nonzero (bool).
    Any,
    All,
    /// Sum of squares / of absolute values, for norms.
    SumSquares,
    SumAbs,
    /// Sum, NaN counted as zero.
    NanSum,
}

/// What a scan computes along its dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScanOp {
    Sum,
    Prod,
    LogSumExp,
    /// Running extreme; `indices` receives its position.
    Max,
    Min,
}

/// How a scatter combines what lies at the target with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScatterOp {
    Set,
    Add,
    Mul,
    Max,
    Min,
}

/// What values are checked for, so that the error can say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum ValueCheck {
    /// Positions of rows, of which negative ones are none.
    Rows = 1,
    /// Probabilities.
    Probability,
    /// The input of a loss.
    Input,
    /// Classes that become rows of 0 and 1.
    Class,
    /// The target of a loss.
    Target,
    /// The classes that a loss is of.
    TargetClass,
}
impl ValueCheck {
    pub fn from_code(code: i64) -> Option<ValueCheck> {
        use ValueCheck::*;
        [Rows, Probability, Input, Class, Target, TargetClass].into_iter().find(|c| *c as i64 == code)
    }
}

/// What a random fill draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// [low, high)
    Uniform {
        low: f64,
        high: f64,
    },
    Normal {
        mean: f64,
        std: f64,
    },
    /// exp of a normal.
    LogNormal {
        mean: f64,
        std: f64,
    },
    Cauchy {
        median: f64,
        sigma: f64,
    },
    /// Number of trials up to the first success.
    Geometric {
        p: f64,
    },
    /// Integers in [low, high), the difference taken modulo 2^64 (see `rng::distributions::IntRange`).
    Integer {
        low: i64,
        high: i64,
    },
    /// 1 with probability p.
    Bernoulli {
        p: f64,
    },
    Exponential {
        lambda: f64,
    },
    /// A permutation of 0..n (1-dim output).
    Permutation,
    /// The full range of the dtype (`random_()` without bounds).
    FullRange,
}

/// Geometry of a convolution over `spatial` dimensions (1 to 3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvParams {
    pub stride: Vec<i64>,
    pub padding: Vec<i64>,
    pub dilation: Vec<i64>,
    pub groups: i64,
}

/// Geometry of a pooling window over the trailing dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolParams {
    pub kernel: Vec<i64>,
    pub stride: Vec<i64>,
    pub padding: Vec<i64>,
    pub dilation: Vec<i64>,
}

/// Hyperparameters of one fused optimiser step.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// `momentum_init`: the momentum buffers are new and take the gradient as it is.
    Sgd {
        lr: f64,
        momentum: f64,
        dampening: f64,
        weight_decay: f64,
        nesterov: bool,
        maximize: bool,
        momentum_init: bool,
    },
    /// `decoupled`: AdamW's weight decay. `step` counts from 1.
    Adam {
        lr: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
        amsgrad: bool,
        maximize: bool,
        decoupled: bool,
        step: f64,
    },
    /// Any other update, as a program over a parameter, its gradient and its states.
    Program { program: Arc<ListProgram>, scalars: SmallVec<[f64; 12]> },
}

/// A function that a matrix product applies to each element before storing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    Relu,
    /// Gelu's tanh approximation.
    Gelu,
}
impl Activation {
    pub fn opcode(self) -> Opcode {
        match self {
            Activation::Relu => Opcode::Relu,
            Activation::Gelu => Opcode::GeluTanh,
        }
    }
}

/// What a matrix product does to its result before storing it: adds the bias, then applies the activation.
#[derive(Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// [n], added to every row of the result; any stride.
    pub bias: Option<View<'a>>,
    pub activation: Option<Activation>,
    /// Receives what goes into the activation; laid out as the result is.
    pub pre: Option<View<'a>>,
}
impl Epilogue<'_> {
    pub const NONE: Epilogue<'static> = Epilogue { bias: None, activation: None, pre: None };
    pub fn is_none(&self) -> bool {
        self.bias.is_none() && self.activation.is_none() && self.pre.is_none()
    }
}

/// The gradients that a normalisation is asked for: the input's shape, and twice what weight and bias have.
#[derive(Clone, Copy)]
pub struct LayerNormGrads<'a> {
    pub input: Option<View<'a>>,
    pub weight: Option<View<'a>>,
    pub bias: Option<View<'a>>,
}

/// softmax(query @ key^T * scale + mask) @ value over [batch, head, row, column], where a head of keys and values may serve
/// several of queries.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    pub query: View<'a>,
    pub key: View<'a>,
    pub value: View<'a>,
    /// [batch, head, query, key]: of the queries' dtype, added; or bool, where false hides a key.
    pub mask: Option<View<'a>>,
    /// Query i sees the keys up to i.
    pub causal: bool,
    pub scale: f64,
}
/// The gradient of its result and where those of its arguments go, which are contiguous.
#[derive(Clone, Copy)]
pub struct AttentionSlopes<'a> {
    pub grad: View<'a>,
    pub query: View<'a>,
    pub key: View<'a>,
    pub value: View<'a>,
}

/// A layer of an LSTM or a GRU in one direction over all steps, whose input's part of the gates is there already.
#[derive(Clone, Copy)]
pub struct Recurrent<'a> {
    pub lstm: bool,
    /// From the last step to the first.
    pub backwards: bool,
    /// Rows of each step, which never grow; none where all have the batch's.
    pub sizes: Option<&'a [i64]>,
    /// [line, gates * units], contiguous. With `kept` the gates themselves come in its place.
    pub gates: View<'a>,
    /// [gates * units, units].
    pub weight: View<'a>,
    pub bias: Option<View<'a>>,
    /// The first state, [batch, units].
    pub h: View<'a>,
    pub c: Option<View<'a>>,
    /// For gradients, [line, unit], contiguous: c of an LSTM or the recurrent part of a GRU's n, and h before each step.
    pub kept: Option<View<'a>>,
    pub before: Option<View<'a>>,
}
/// Where its results go: h of each line, and the last state, which is contiguous.
#[derive(Clone, Copy)]
pub struct RecurrentOutput<'a> {
    pub out: View<'a>,
    pub last_h: View<'a>,
    pub last_c: Option<View<'a>>,
}
/// The gradients of its results, as far as there are any, and where those of the gates' sums and of the first state go, which
/// are contiguous.
#[derive(Clone, Copy)]
pub struct RecurrentSlopes<'a> {
    pub grad: Option<View<'a>>,
    pub grad_h: Option<View<'a>>,
    pub grad_c: Option<View<'a>>,
    /// Of the input's part, [line, gates * units]; of a GRU's recurrent part, which an LSTM's equals.
    pub slopes: View<'a>,
    pub recurrent: Option<View<'a>>,
    pub first_h: View<'a>,
    pub first_c: Option<View<'a>>,
}

/// The views one parameter brings to a fused optimiser step; all contiguous, of one dtype and size.
pub struct StepTensors<'a> {
    pub param: View<'a>,
    pub grad: View<'a>,
    /// SGD: momentum buffer. Adam: exp_avg, exp_avg_sq and, with amsgrad, max_exp_avg_sq.
    pub state: Vec<View<'a>>,
}

/// Step count and learning rate of an optimiser's call that a graph repeats: the optimiser and the graph both count on.
pub struct LiveStep {
    /// Steps done.
    count: AtomicU64,
    /// Bits of the learning rate; NaN: the recorded one.
    lr: AtomicU64,
}
impl LiveStep {
    /// After `count` steps, with the learning rate that is recorded.
    pub fn new(count: u64) -> LiveStep {
        LiveStep { count: AtomicU64::new(count), lr: AtomicU64::new(f64::NAN.to_bits()) }
    }
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
    pub fn set_count(&self, count: u64) {
        self.count.store(count, Ordering::Relaxed);
    }
    /// One more step is done.
    pub fn advance(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
    pub fn lr(&self) -> Option<f64> {
        Some(f64::from_bits(self.lr.load(Ordering::Relaxed))).filter(|v| !v.is_nan())
    }
    pub fn set_lr(&self, lr: f64) {
        self.lr.store(lr.to_bits(), Ordering::Relaxed);
    }
}

macro_rules! unsupported {
    ($self:ident, $name:literal, $dtype:expr) => {
        Err(Error::unsupported($name, $dtype, $self.device()))
    };
}

/// A recorded sequence of a device's work.
pub trait Graph: Send + Sync {
    /// Queues all of it again, with fresh random draws and the optimisers' next step.
    fn replay(&self) -> Result<()>;
    /// The learning rate of the recorded optimiser steps from the next replay on, until an optimiser's own is set.
    fn set_lr(&self, lr: f64);
    /// What the recorded optimiser call of this number uses in the next replay: its learning rate, and its step counted
    /// from 1. An Index error when there are fewer.
    fn set_step(&self, call: usize, lr: f64, step: u64) -> Result<()>;
}

/// A point in a device's queue, after the work that was queued before it.
pub trait Mark: Send + Sync {
    /// Whether the device has got there.
    fn is_done(&self) -> Result<bool>;
    /// Waits, on the host, until the device has got there.
    fn wait(&self) -> Result<()>;
    /// What this thread queues next on the device is done after the mark.
    fn order(&self) -> Result<()>;
    /// Milliseconds of the device between an earlier mark of the same device and this one; both made for timing.
    fn millis_since(&self, earlier: &dyn Mark) -> Result<f64>;
    fn as_any(&self) -> &dyn std::any::Any;
}

/// A mark that was waited for when it was made: devices without asynchronous marks.
pub struct Passed(pub std::time::Instant);
impl Mark for Passed {
    fn is_done(&self) -> Result<bool> {
        Ok(true)
    }
    fn wait(&self) -> Result<()> {
        Ok(())
    }
    fn order(&self) -> Result<()> {
        Ok(())
    }
    fn millis_since(&self, earlier: &dyn Mark) -> Result<f64> {
        match earlier.as_any().downcast_ref::<Passed>() {
            Some(e) => Ok(match self.0.checked_duration_since(e.0) {
                Some(d) => d.as_secs_f64() * 1e3,
                None => -(e.0 - self.0).as_secs_f64() * 1e3,
            }),
            None => Err(Error::new(crate::base::error::ErrorKind::Value, "both events must be of the same device")),
        }
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// One device's memory and kernels.
///
/// Layouts given to one call have equal rank where they describe one iteration space. Dtype and shape rules were
/// checked by the op; kernels check only what memory safety needs.
#[allow(unused_variables, clippy::too_many_arguments)]
pub trait Backend: Send + Sync {
    fn device(&self) -> Device;

    // memory
    /// Uninitialised memory, 64-byte aligned.
    fn alloc(&self, nbytes: usize) -> Result<Buffer>;
    /// Host to device; the source may be reused on return.
    fn upload(&self, src: &[u8], dst: &Storage, dst_offset: usize) -> Result<()>;
    /// Device to host; waits.
    fn download(&self, src: &Storage, src_offset: usize, dst: &mut [u8]) -> Result<()>;
    /// Within the device.
    fn copy_bytes(&self, src: &Storage, src_offset: usize, dst: &Storage, dst_offset: usize, n: usize) -> Result<()>;
    fn memory_stats(&self) -> MemoryStats {
        MemoryStats::default()
    }
    /// Lets the peaks of `memory_stats` start anew from what is held now.
    fn reset_peak_memory(&self) {}
    /// Free and total memory in bytes.
    fn memory_info(&self) -> Result<(u64, u64)>;
    /// Gives cached memory back to the system.
    fn empty_cache(&self) {}
    /// Waits for all queued work.
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    // graphs
    /// From here to [`Backend::end_capture`] what this thread asks of the device is recorded, not done: tensors made
    /// meanwhile hold nothing before the first replay, and reading one is an error.
    fn begin_capture(&self) -> Result<()> {
        Err(Error::new(
            crate::base::error::ErrorKind::NotImplemented,
            format!("graphs are captured on CUDA devices only, not on {}", self.device()),
        ))
    }
    /// What was recorded. The graph keeps all memory that it works on, also of tensors that are freed meanwhile.
    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        Err(Error::new(crate::base::error::ErrorKind::Runtime, format!("no graph is captured on {}", self.device())))
    }

    // marks, and memory shared with others who use the device
    /// Marks this point of what this thread queues; `timing`: for [`Mark::millis_since`].
    fn mark(&self, timing: bool) -> Result<Box<dyn Mark>> {
        self.synchronize()?;
        Ok(Box::new(Passed(std::time::Instant::now())))
    }
    /// The address of a storage's first byte in the device's memory.
    fn address(&self, s: &Storage) -> Result<u64> {
        Err(self.keeps_apart("memory has no address that another library could use"))
    }
    /// A storage's buffer over another library's device memory; `owner` is dropped when nothing here uses it any more.
    ///
    /// # Safety
    /// The device's memory from `address` on is valid for `nbytes` until then.
    unsafe fn adopt(&self, address: u64, nbytes: usize, owner: Box<dyn HostOwner>) -> Result<Buffer> {
        Err(self.keeps_apart("memory of another library cannot be used"))
    }
    /// The queue that this thread's work goes to, as the device's own interface names it (CUDA: a CUstream).
    fn queue_handle(&self) -> Result<u64> {
        Err(self.keeps_apart("queue has no handle that another library could use"))
    }
    /// What another library queues from now on on its queue `foreign` is done after what was queued here on a storage.
    fn ready_on(&self, s: &Storage, foreign: u64) -> Result<()> {
        Err(self.keeps_apart("queue cannot be waited for by another library"))
    }
    /// The error for one of the four above.
    fn keeps_apart(&self, why: &str) -> Error {
        let kind = crate::base::error::ErrorKind::NotImplemented;
        Error::new(kind, format!("device {}: {why}; copy the tensor to the CPU", self.device()))
    }

    // elementwise
    /// Runs `program`. All layouts have the outputs' shape (inputs broadcast with stride 0). An output may share
    /// memory with an input only where both layouts are equal.
    fn run_program(&self, program: &Program, inputs: &[View], scalars: &[Scalar], outputs: &[View]) -> Result<()>;

    // reductions and scans
    /// Reduces the program's result (or input 0 when there is no program) over the dimensions marked in `reduced`.
    /// `out` has the input's rank, size 1 where reduced. Accumulates half types in f32, integers in i64.
    fn reduce(
        &self,
        op: ReduceOp,
        prologue: Option<&Program>,
        inputs: &[View],
        scalars: &[Scalar],
        reduced: &[bool],
        out: View,
    ) -> Result<()> {
        unsupported!(self, "reduce", inputs[0].dtype)
    }
    /// Cumulative op along `dim`; `indices` (int64) for Max and Min.
    fn scan(&self, op: ScanOp, input: View, dim: usize, out: View, indices: Option<View>) -> Result<()> {
        unsupported!(self, "scan", input.dtype)
    }
    /// softmax (or log_softmax) along `dim`.
    fn softmax(&self, log: bool, input: View, dim: usize, out: View) -> Result<()> {
        unsupported!(self, "softmax", input.dtype)
    }
    /// Gradient of softmax / log_softmax given its output.
    fn softmax_backward(&self, log: bool, grad: View, output: View, dim: usize, out: View) -> Result<()> {
        unsupported!(self, "softmax_backward", grad.dtype)
    }
    /// (x - mean) / sqrt(variance + eps) * weight + bias for each row of [rows, n], weight and bias being [n]. False
    /// where the device has no kernel for these: then nothing was done.
    fn layer_norm(&self, input: View, weight: Option<View>, bias: Option<View>, eps: f64, out: View) -> Result<bool> {
        Ok(false)
    }
    /// Its gradients, given that of its output; false as above.
    fn layer_norm_backward(
        &self,
        grad: View,
        input: View,
        weight: Option<View>,
        eps: f64,
        grads: LayerNormGrads,
    ) -> Result<bool> {
        Ok(false)
    }
    /// (x - mean) / sqrt(variance + eps) * weight + bias of [n, c, places] by the mean and the biased variance of each
    /// channel, which `stats`, [c] both, receive; weight and bias are [c]. False where the device has no kernel for these:
    /// then nothing was done.
    fn batch_norm(
        &self,
        input: View,
        weight: Option<View>,
        bias: Option<View>,
        eps: f64,
        out: View,
        stats: [View; 2],
    ) -> Result<bool> {
        Ok(false)
    }
    /// Its gradients, given that of its output and `stats` as it left them; false as above.
    fn batch_norm_backward(
        &self,
        grad: View,
        input: View,
        weight: Option<View>,
        stats: [View; 2],
        eps: f64,
        grads: LayerNormGrads,
    ) -> Result<bool> {
        Ok(false)
    }
    /// Attention without its matrix of scores. A query that may look at nothing gets 0. `lse`, [batch, head, query, 1] of the
    /// type computed in, receives the logarithm of each query's sum. False where the device has no kernel for it: then
    /// nothing was done.
    fn attention(&self, a: &Attention, out: View, lse: View) -> Result<bool> {
        Ok(false)
    }
    /// Its gradients, given what it returned; false as above.
    fn attention_backward(&self, a: &Attention, out: View, lse: View, slopes: &AttentionSlopes) -> Result<bool> {
        Ok(false)
    }
    /// All steps of a recurrent layer. False where the device has no kernel for it: then nothing was done.
    fn recurrent(&self, r: &Recurrent, out: &RecurrentOutput) -> Result<bool> {
        Ok(false)
    }
    /// Its gradients, given what it kept; false as above.
    fn recurrent_backward(&self, r: &Recurrent, slopes: &RecurrentSlopes) -> Result<bool> {
        Ok(false)
    }
    /// Sorts along `dim`, stably; indices are int64. NaN counts as the largest.
    fn sort(&self, input: View, dim: usize, descending: bool, values: View, indices: View) -> Result<()> {
        unsupported!(self, "sort", input.dtype)
    }

    /// The first elements that such a sort (`largest`: descending) has along `dim`, as many as `values` has there; false
    /// where the device has no kernel for it: then nothing was done.
    fn topk(&self, input: View, dim: usize, largest: bool, values: View, indices: View) -> Result<bool> {
        Ok(false)
    }

    // linear algebra
    /// out = beta * out + alpha * (a @ b) for [batch, m, k] @ [batch, k, n]; any strides, batch stride 0 broadcasts.
    fn gemm(&self, a: View, b: View, out: View, alpha: f64, beta: f64) -> Result<()> {
        self.gemm_epilogue(a, b, out, alpha, beta, &Epilogue::NONE)
    }
    /// The same with an epilogue, which only float dtypes have; with beta 0, `out` is not read.
    fn gemm_epilogue(&self, a: View, b: View, out: View, alpha: f64, beta: f64, epilogue: &Epilogue) -> Result<()> {
        unsupported!(self, "gemm", a.dtype)
    }

    // convolution and pooling; input [n, c, spatial..], weight [o, c / groups, kernel..]
    fn conv(&self, input: View, weight: View, bias: Option<View>, p: &ConvParams, out: View) -> Result<()> {
        unsupported!(self, "conv", input.dtype)
    }
    fn conv_backward_input(&self, grad: View, weight: View, p: &ConvParams, grad_input: View) -> Result<()> {
        unsupported!(self, "conv_backward_input", grad.dtype)
    }
    fn conv_backward_weight(&self, grad: View, input: View, p: &ConvParams, grad_weight: View) -> Result<()> {
        unsupported!(self, "conv_backward_weight", grad.dtype)
    }
    /// `indices` (int64): flat position of each maximum within its input plane.
    fn max_pool(&self, input: View, p: &PoolParams, out: View, indices: View) -> Result<()> {
        unsupported!(self, "max_pool", input.dtype)
    }
    fn max_pool_backward(&self, grad: View, indices: View, p: &PoolParams, grad_input: View) -> Result<()> {
        unsupported!(self, "max_pool_backward", grad.dtype)
    }
    fn avg_pool(
        &self,
        input: View,
        p: &PoolParams,
        count_include_pad: bool,
        divisor: Option<i64>,
        out: View,
    ) -> Result<()> {
        unsupported!(self, "avg_pool", input.dtype)
    }
    fn avg_pool_backward(
        &self,
        grad: View,
        p: &PoolParams,
        count_include_pad: bool,
        divisor: Option<i64>,
        grad_input: View,
    ) -> Result<()> {
        unsupported!(self, "avg_pool_backward", grad.dtype)
    }

    // indexing; an index out of range is an Index error, checked where the indices are at hand
    /// out[i][j][k] = input[index[i][j][k]][j][k] for dim 0, and so on; index is int64.
    fn gather(&self, input: View, dim: usize, index: View, out: View) -> Result<()> {
        unsupported!(self, "gather", input.dtype)
    }
    /// The reverse of gather, into `out`, in index order.
    fn scatter(&self, op: ScatterOp, out: View, dim: usize, index: View, src: View) -> Result<()> {
        unsupported!(self, "scatter", out.dtype)
    }
    /// Advanced indexing. `input`'s first `indices.len()` dimensions are indexed by the broadcast int64 `indices`
    /// (all of one shape); out has shape [index shape.., rest of input..]. Negative indices count from the end.
    fn index(&self, input: View, indices: &[View], out: View) -> Result<()> {
        unsupported!(self, "index", input.dtype)
    }
    /// The reverse: writes (or adds, when `accumulate`) `values` of shape [index shape.., rest..] into `out`.
    fn index_put(&self, out: View, indices: &[View], values: View, accumulate: bool) -> Result<()> {
        unsupported!(self, "index_put", out.dtype)
    }
    /// A value outside [low, high] is an error of the next read: what a device checks while the host goes on. The CPU's
    /// ops look themselves.
    fn check_values(&self, input: View, _low: Scalar, _high: Scalar, _what: ValueCheck) -> Result<()> {
        unsupported!(self, "check_values", input.dtype)
    }
    /// Positions of nonzero elements, row-major, as an int64 host vector of numel * ndim values; waits.
    fn nonzero(&self, input: View) -> Result<Vec<i64>> {
        unsupported!(self, "nonzero", input.dtype)
    }

    // random numbers
    /// Fills `out` from the generator. Contiguous on devices, which take the generator's Philox draws (see
    /// `rng::philox`); any layout on the CPU, which takes those of the generator's algorithm.
    fn random(&self, dist: Distribution, generator: &Generator, out: View) -> Result<()> {
        unsupported!(self, "random", out.dtype)
    }

    /// Whether this thread's work is being recorded.
    fn recording(&self) -> bool {
        false
    }
    /// One optimiser step over all parameters, in one launch. In a recording `live` is what follows the optimiser, and
    /// whether this call is the step's first.
    fn optimizer_step(
        &self,
        kind: &StepKind,
        tensors: &[StepTensors],
        live: Option<(&Arc<LiveStep>, bool)>,
    ) -> Result<()> {
        match tensors.first() {
            Some(t) => unsupported!(self, "optimizer_step", t.param.dtype),
            None => Ok(()),
        }
    }
}
