//! Convolutions by cuDNN.

use super::api::{check_dnn, queued};
use super::handles::{Choice, Dnn, Key};
use super::libs::{require, Lib};
use super::stream::{Stream, Streams};
use crate::backend::gpu::driver::{ConvPass, Convolution, Place};
use crate::backend::precision;
use crate::base::dtype::DType;
use crate::base::error::{ErrorKind, Result};
use cudarc::cudnn::sys::{self as dnn, cudnnDataType_t, cudnnHandle_t, cudnnMathType_t, cudnnStatus_t};
use smallvec::SmallVec;
use std::ffi::c_void;
use std::ptr;

/// Bytes of scratch memory that an algorithm may take; `TAPER_CUDNN_WORKSPACE_LIMIT` (in MiB) changes it.
fn workspace_limit() -> usize {
    static LIMIT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *LIMIT.get_or_init(|| {
        let set = std::env::var("TAPER_CUDNN_WORKSPACE_LIMIT").ok().and_then(|v| v.parse::<usize>().ok());
        set.unwrap_or(1024) << 20
    })
}

/// Whether the library is wanted and there. `TAPER_CUDNN=0` leaves it out.
pub fn available() -> bool {
    static WANTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *WANTED.get_or_init(|| std::env::var("TAPER_CUDNN").as_deref() != Ok("0") && require(Lib::Cudnn).is_ok())
}

/// Makes the stream's handle, where the library is there.
pub fn prepare(stream: &Stream) -> Result<()> {
    let mut slot = stream.dnn.lock();
    if slot.is_none() && available() {
        *slot = Some(Dnn::new(stream.raw)?);
    }
    Ok(())
}

/// The library's version, like 91900; None where it is not used.
pub fn version() -> Option<usize> {
    // SAFETY: it only returns a number.
    available().then(|| unsafe { dnn::cudnnGetVersion() })
}

macro_rules! descriptor {
    ($name:ident, $raw:ty, $create:ident, $destroy:ident) => {
        struct $name($raw);
        impl $name {
            fn new() -> Result<$name> {
                let mut raw = ptr::null_mut();
                // SAFETY: an out-pointer to a local.
                check_dnn(unsafe { dnn::$create(&mut raw) }, stringify!($create))?;
                Ok($name(raw))
            }
        }
        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: this value owns it.
                unsafe {
                    let _ = dnn::$destroy(self.0);
                }
            }
        }
    };
}
descriptor!(Tensor, dnn::cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
descriptor!(Filter, dnn::cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor);
descriptor!(
    Conv,
    dnn::cudnnConvolutionDescriptor_t,
    cudnnCreateConvolutionDescriptor,
    cudnnDestroyConvolutionDescriptor
);

type Ints = SmallVec<[i32; 6]>;

/// Sizes as cuDNN wants them: at least two spatial dimensions, a missing one before the others. None beyond int32.
fn ints(v: &[i64], lead: usize, missing: i64) -> Option<Ints> {
    let mut out: Ints = SmallVec::new();
    for (d, x) in v.iter().enumerate() {
        if d == lead && v.len() - lead == 1 {
            out.push(i32::try_from(missing).ok()?);
        }
        out.push(i32::try_from(*x).ok()?);
    }
    Some(out)
}

fn tensor(p: &Place, kind: cudnnDataType_t) -> Result<Option<(Tensor, Ints, Ints)>> {
    let l = p.layout;
    let (Some(sizes), Some(strides)) = (ints(&l.shape, 2, 1), ints(&l.strides, 2, l.strides[2] * l.shape[2])) else {
        return Ok(None);
    };
    if strides.iter().zip(&sizes).any(|(s, n)| *s <= 0 && *n > 1) {
        return Ok(None);
    }
    let strides: Ints = strides.iter().map(|s| (*s).max(1)).collect();
    let t = Tensor::new()?;
    // SAFETY: two lists of as many numbers as named.
    let code =
        unsafe { dnn::cudnnSetTensorNdDescriptor(t.0, kind, sizes.len() as i32, sizes.as_ptr(), strides.as_ptr()) };
    Ok((code == cudnnStatus_t::CUDNN_STATUS_SUCCESS).then_some((t, sizes, strides)))
}

/// Runs the call when cuDNN is there and has an algorithm for it within the limit of memory; false otherwise.
pub fn convolution(
    streams: &Streams,
    stream: &Stream,
    call: &Convolution,
    scratch: &mut dyn FnMut(usize) -> Result<u64>,
) -> Result<bool> {
    let (kind, compute) = match call.dtype {
        DType::F32 => (cudnnDataType_t::CUDNN_DATA_FLOAT, cudnnDataType_t::CUDNN_DATA_FLOAT),
        DType::F64 => (cudnnDataType_t::CUDNN_DATA_DOUBLE, cudnnDataType_t::CUDNN_DATA_DOUBLE),
        DType::F16 => (cudnnDataType_t::CUDNN_DATA_HALF, cudnnDataType_t::CUDNN_DATA_FLOAT),
        DType::BF16 => (cudnnDataType_t::CUDNN_DATA_BFLOAT16, cudnnDataType_t::CUDNN_DATA_FLOAT),
        _ => return Ok(false),
    };
    let shapes = [call.x.layout, call.w.layout, call.y.layout];
    if shapes.iter().any(|l| l.numel() == 0) || !call.w.layout.is_contiguous() || !available() {
        return Ok(false);
    }
    let (Some((x, xs, xst)), Some((y, ys, yst))) = (tensor(&call.x, kind)?, tensor(&call.y, kind)?) else {
        return Ok(false);
    };
    let p = call.params;
    let lists =
        (ints(&call.w.layout.shape, 2, 1), ints(&p.stride, 0, 1), ints(&p.padding, 0, 0), ints(&p.dilation, 0, 1));
    let (Some(ws), Some(stride), Some(padding), Some(dilation)) = lists else { return Ok(false) };
    let (w, conv) = (Filter::new()?, Conv::new()?);
    let tf32 = call.dtype == DType::F32 && precision::conv_tf32();
    let math = match call.dtype {
        DType::F16 | DType::BF16 => cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        DType::F32 if !tf32 => cudnnMathType_t::CUDNN_FMA_MATH,
        _ => cudnnMathType_t::CUDNN_DEFAULT_MATH,
    };
    // SAFETY: lists of as many numbers as named.
    unsafe {
        let format = dnn::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
        let set = [
            dnn::cudnnSetFilterNdDescriptor(w.0, kind, format, ws.len() as i32, ws.as_ptr()),
            dnn::cudnnSetConvolutionNdDescriptor(
                conv.0,
                stride.len() as i32,
                padding.as_ptr(),
                stride.as_ptr(),
                dilation.as_ptr(),
                dnn::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION,
                compute,
            ),
            dnn::cudnnSetConvolutionGroupCount(conv.0, p.groups as i32),
            dnn::cudnnSetConvolutionMathType(conv.0, math),
        ];
        if set.iter().any(|c| *c != cudnnStatus_t::CUDNN_STATUS_SUCCESS) {
            return Ok(false);
        }
    }
    let mut slot = stream.dnn.lock();
    if slot.is_none() {
        *slot = Some(Dnn::new(stream.raw)?);
    }
    let own = slot.as_mut().expect("just made");
    let mut numbers: SmallVec<[i32; 48]> = SmallVec::new();
    for list in [&xs, &xst, &ws, &ys, &yst, &stride, &padding, &dilation] {
        numbers.extend_from_slice(list);
    }
    numbers.push(p.groups as i32);
    let key = Key { pass: call.pass, dtype: call.dtype, tf32, numbers };
    let handle = own.handle;
    let choices = own.chosen.entry(key).or_insert_with(|| {
        // SAFETY: live descriptors.
        unsafe { choose(handle, call.pass, &x, &w, &conv, &y) }
    });
    let size = call.dtype.size() as i64;
    let at = |p: &Place| (p.mem.handle as i64 + p.layout.offset * size) as *mut c_void;
    let (px, pw, py) = (at(&call.x), at(&call.w), at(&call.y));
    let (singles, doubles) = ([1f32, 0.0], [1f64, 0.0]);
    let scale = |i: usize| -> *const c_void {
        match call.dtype {
            DType::F64 => ptr::from_ref(&doubles[i]).cast(),
            _ => ptr::from_ref(&singles[i]).cast(),
        }
    };
    let mems = || [call.x.mem, call.w.mem, call.y.mem].into_iter().chain(call.bias.iter().map(|b| b.mem));
    // SAFETY: the pointers are this device's memory of the shapes described; the algorithm numbers came from cuDNN.
    unsafe {
        let (h, one, zero) = (handle, scale(0), scale(1));
        let mut run = |choice: &Choice| -> Result<_> {
            let n = choice.scratch;
            // Before the order is taken, which it takes too.
            let ps = if n > 0 { scratch(n)? as *mut c_void } else { ptr::null_mut() };
            let order = streams.order(stream, mems())?;
            check_dnn(dnn::cudnnSetConvolutionMathType(conv.0, choice.math), "cudnnSetConvolutionMathType")?;
            let code = match call.pass {
                ConvPass::Forward => {
                    let algo = std::mem::transmute::<u32, dnn::cudnnConvolutionFwdAlgo_t>(choice.algo);
                    dnn::cudnnConvolutionForward(h, one, x.0, px, w.0, pw, conv.0, algo, ps, n, zero, y.0, py)
                }
                ConvPass::Input => {
                    let algo = std::mem::transmute::<u32, dnn::cudnnConvolutionBwdDataAlgo_t>(choice.algo);
                    dnn::cudnnConvolutionBackwardData(h, one, w.0, pw, y.0, py, conv.0, algo, ps, n, zero, x.0, px)
                }
                ConvPass::Weight => {
                    let algo = std::mem::transmute::<u32, dnn::cudnnConvolutionBwdFilterAlgo_t>(choice.algo);
                    dnn::cudnnConvolutionBackwardFilter(h, one, x.0, px, y.0, py, conv.0, algo, ps, n, zero, w.0, pw)
                }
            };
            Ok((code, order))
        };
        // The library may find out only now that an algorithm does not do, or there may be no memory for it: then the next
        // one has its turn, and without any the shared kernels.
        let mut next = 0;
        let _order = loop {
            let Some(choice) = choices.get(next) else { return Ok(false) };
            match run(choice) {
                Ok((cudnnStatus_t::CUDNN_STATUS_NOT_SUPPORTED | cudnnStatus_t::CUDNN_STATUS_BAD_PARAM, _)) => {
                    choices.remove(next);
                }
                Ok((code, order)) => {
                    check_dnn(code, &format!("the convolution ({:?})", call.pass))?;
                    break order;
                }
                Err(e) if e.kind == ErrorKind::OutOfMemory && next + 1 < choices.len() => next += 1,
                Err(e) => return Err(e),
            }
        };
        queued("convolution of cuDNN");
        if let Some(b) = &call.bias {
            let t = Tensor::new()?;
            let mut sizes: Ints = ys.iter().map(|_| 1).collect();
            sizes[1] = ys[1];
            let mut strides: Ints = ys.iter().map(|_| 1).collect();
            strides[0] = ys[1];
            let code = dnn::cudnnSetTensorNdDescriptor(t.0, kind, sizes.len() as i32, sizes.as_ptr(), strides.as_ptr());
            check_dnn(code, "cudnnSetTensorNdDescriptor")?;
            check_dnn(dnn::cudnnAddTensor(h, one, t.0, at(b), one, y.0, py), "cudnnAddTensor")?;
        }
    }
    Ok(true)
}

/// The algorithms within the limit, the best first, but deterministic ones before the others.
///
/// # Safety
/// Live descriptors that belong together.
unsafe fn choose(
    h: cudnnHandle_t,
    pass: ConvPass,
    x: &Tensor,
    w: &Filter,
    conv: &Conv,
    y: &Tensor,
) -> SmallVec<[Choice; 8]> {
    const MOST: usize = 10;
    let mut n = 0;
    macro_rules! ask {
        ($ask:ident, $perf:ty, $($d:expr),*) => {{
            let mut list: [$perf; MOST] = std::mem::zeroed();
            if dnn::$ask(h, $($d),*, MOST as i32, &mut n, list.as_mut_ptr()) != cudnnStatus_t::CUDNN_STATUS_SUCCESS {
                return SmallVec::new();
            }
            let list = &list[..(n.max(0) as usize).min(MOST)];
            let fits = |p: &&$perf| p.status == cudnnStatus_t::CUDNN_STATUS_SUCCESS && p.memory <= workspace_limit();
            let steady = |p: &&$perf| p.determinism == dnn::cudnnDeterminism_t::CUDNN_DETERMINISTIC;
            let good = || list.iter().filter(fits);
            let (first, rest) = (good().filter(steady), good().filter(|p| !steady(p)));
            first.chain(rest).map(|p| Choice { algo: p.algo as u32, math: p.mathType, scratch: p.memory }).collect()
        }};
    }
    match pass {
        ConvPass::Forward => {
            ask!(cudnnGetConvolutionForwardAlgorithm_v7, dnn::cudnnConvolutionFwdAlgoPerf_t, x.0, w.0, conv.0, y.0)
        }
        ConvPass::Input => {
            ask!(
                cudnnGetConvolutionBackwardDataAlgorithm_v7,
                dnn::cudnnConvolutionBwdDataAlgoPerf_t,
                w.0,
                y.0,
                conv.0,
                x.0
            )
        }
        ConvPass::Weight => {
            ask!(
                cudnnGetConvolutionBackwardFilterAlgorithm_v7,
                dnn::cudnnConvolutionBwdFilterAlgoPerf_t,
                x.0,
                y.0,
                conv.0,
                w.0
            )
        }
    }
}
