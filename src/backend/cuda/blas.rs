//! Matrix products by cuBLAS and, with an epilogue (bias, activation), by cuBLASLt.

use super::api::{check_blas, queued};
use super::handles::{check_lt, Blas, Shape, WORKSPACE};
use super::libs::{require, Lib};
use super::stream::{Stream, Streams};
use crate::backend::gpu::driver::{Matrix, Product};
use crate::backend::{precision, Activation};
use crate::base::dtype::DType;
use crate::base::error::Result;
use cudarc::cublas::sys::{self as cb, cublasComputeType_t, cublasOperation_t, cudaDataType};
use cudarc::cublaslt::sys::{self as lt, cublasLtHandle_t, cublasLtMatmulAlgo_t};
use std::ffi::c_void;
use std::ptr;

/// Makes the stream's handles, where the library is there.
pub fn prepare(stream: &Stream) -> Result<()> {
    let mut slot = stream.blas.lock();
    if slot.is_none() && available() {
        *slot = Some(Blas::new(stream.raw)?);
    }
    Ok(())
}

/// Whether the library is wanted and there. `TAPER_CUBLAS=0` leaves it out.
pub fn available() -> bool {
    static WANTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *WANTED.get_or_init(|| std::env::var("TAPER_CUBLAS").as_deref() != Ok("0") && require(Lib::Cublas).is_ok())
}

/// A row-major [rows, cols] matrix as it lies: whether transposed, and its leading dimension. None where neither
/// direction is contiguous.
fn lies(m: &Matrix, rows: i64, cols: i64) -> Option<(bool, i32)> {
    let fit = |ld: i64, least: i64| (ld >= least && ld <= i32::MAX as i64).then_some(ld as i32);
    if m.col == 1 || cols == 1 {
        if let Some(ld) = fit(if rows == 1 { cols } else { m.row }, cols) {
            return Some((false, ld));
        }
    }
    if m.row == 1 || rows == 1 {
        if let Some(ld) = fit(if cols == 1 { rows } else { m.col }, rows) {
            return Some((true, ld));
        }
    }
    None
}

fn transposed<'a>(m: &Matrix<'a>) -> Matrix<'a> {
    Matrix { row: m.col, col: m.row, ..*m }
}

pub fn product(streams: &Streams, stream: &Stream, call: &Product) -> Result<bool> {
    let kind = match call.dtype {
        DType::F32 => cudaDataType::CUDA_R_32F,
        DType::F64 => cudaDataType::CUDA_R_64F,
        DType::F16 => cudaDataType::CUDA_R_16F,
        DType::BF16 => cudaDataType::CUDA_R_16BF,
        _ => return Ok(false),
    };
    let [bs, m, n, k] = call.dims;
    if [bs, m, n, k].iter().any(|v| *v > i32::MAX as i64) {
        return Ok(false);
    }
    let Some(out) = lies(&call.out, m, n) else { return Ok(false) };
    if out.0 {
        if !call.is_plain() {
            return Ok(false);
        }
        // out^T = b^T @ a^T lies row-major.
        let turned = Product {
            dims: [bs, n, m, k],
            a: transposed(&call.b),
            b: transposed(&call.a),
            out: transposed(&call.out),
            ..*call
        };
        // Once turned it must lie straight, or nothing was gained.
        return match lies(&turned.out, n, m) {
            Some((false, _)) => product(streams, stream, &turned),
            _ => Ok(false),
        };
    }
    let (Some(a), Some(b)) = (lies(&call.a, m, k), lies(&call.b, k, n)) else { return Ok(false) };
    if !available() {
        return Ok(false);
    }
    let size = call.dtype.size() as i64;
    let at = |x: &Matrix| (x.mem.handle as i64 + x.offset * size) as *mut c_void;
    let tf32 = call.dtype == DType::F32 && precision::matmul_tf32();
    let compute = match call.dtype {
        DType::F64 => cublasComputeType_t::CUBLAS_COMPUTE_64F,
        _ if tf32 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        _ => cublasComputeType_t::CUBLAS_COMPUTE_32F,
    };
    let mut slot = stream.blas.lock();
    if slot.is_none() {
        *slot = Some(Blas::new(stream.raw)?);
    }
    let blas = slot.as_mut().expect("just made");
    let (singles, doubles) = ([call.alpha as f32, call.beta as f32], [call.alpha, call.beta]);
    let (alpha, beta): (*const c_void, *const c_void) = match call.dtype {
        DType::F64 => (ptr::from_ref(&doubles[0]).cast(), ptr::from_ref(&doubles[1]).cast()),
        _ => (ptr::from_ref(&singles[0]).cast(), ptr::from_ref(&singles[1]).cast()),
    };
    let (pa, pb, po) = (at(&call.a), at(&call.b), at(&call.out));
    let mems = [call.a.mem, call.b.mem, call.out.mem];
    if !call.is_plain() {
        if bs != 1 {
            return Ok(false);
        }
        let bias =
            call.bias.map_or(ptr::null_mut(), |(mem, offset)| (mem.handle as i64 + offset * size) as *mut c_void);
        let (mut pre, mut pre_at) = (0, ptr::null_mut());
        if let Some(p) = &call.pre {
            // What cuBLASLt asks of the matrix that keeps gelu's arguments; it keeps none of relu's.
            let lying = lies(p, m, n).filter(|(turned, ld)| !turned && ld % 8 == 0);
            let (Some((_, ld)), Some(Activation::Gelu)) = (lying, call.activation) else { return Ok(false) };
            (pre, pre_at) = (ld, at(p));
            if !(pre_at as u64).is_multiple_of(16) {
                return Ok(false);
            }
        }
        let shape = Shape {
            dtype: call.dtype,
            m: m as i32,
            n: n as i32,
            k: k as i32,
            a,
            b,
            out: out.1,
            tf32,
            bias: call.bias.is_some(),
            activation: call.activation,
            pre,
            align: [pa, pb, po, bias].iter().fold(0u64, |x, p| x | *p as u64).trailing_zeros().min(8),
        };
        let more = call.bias.map(|b| b.0).into_iter().chain(call.pre.map(|p| p.mem));
        let _order = streams.order(stream, mems.into_iter().chain(more))?;
        // SAFETY: the pointers are this device's memory of the shapes given, checked by the caller.
        return unsafe { affine(blas, stream, &shape, [pa, pb, po, bias, pre_at], [alpha, beta]) };
    }
    let op = |t: bool| if t { cublasOperation_t::CUBLAS_OP_T } else { cublasOperation_t::CUBLAS_OP_N };
    let algo = cb::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT;
    let _order = streams.order(stream, mems.into_iter())?;
    // cuBLAS counts columns first: a row-major matrix is its transpose there, so the operands change places.
    // SAFETY: the pointers are this device's memory of the shapes given, checked by the caller.
    unsafe {
        let (m, n, k) = (m as i32, n as i32, k as i32);
        let code = if bs == 1 {
            cb::cublasGemmEx(
                blas.handle,
                op(b.0),
                op(a.0),
                n,
                m,
                k,
                alpha,
                pb,
                kind,
                b.1,
                pa,
                kind,
                a.1,
                beta,
                po,
                kind,
                out.1,
                compute,
                algo,
            )
        } else {
            cb::cublasGemmStridedBatchedEx(
                blas.handle,
                op(b.0),
                op(a.0),
                n,
                m,
                k,
                alpha,
                pb,
                kind,
                b.1,
                call.b.batch,
                pa,
                kind,
                a.1,
                call.a.batch,
                beta,
                po,
                kind,
                out.1,
                call.out.batch,
                bs as i32,
                compute,
                algo,
            )
        };
        queued("product of cuBLAS");
        check_blas(code, if bs == 1 { "cublasGemmEx" } else { "cublasGemmStridedBatchedEx" })?;
    }
    Ok(true)
}

/// The product with its epilogue, in one kernel. False where cuBLASLt has no algorithm.
///
/// # Safety
/// a, b, out and, where the shape has them, bias and pre are device memory of the shape's sizes; alpha and beta point to
/// the compute type.
unsafe fn affine(
    blas: &mut Blas,
    stream: &Stream,
    s: &Shape,
    [a, b, out, bias, pre]: [*mut c_void; 5],
    [alpha, beta]: [*const c_void; 2],
) -> Result<bool> {
    use lt::cublasLtMatmulDescAttributes_t::*;
    use lt::cudaDataType_t as D;
    let (kind, scale) = match s.dtype {
        DType::F64 => (D::CUDA_R_64F, D::CUDA_R_64F),
        DType::F16 => (D::CUDA_R_16F, D::CUDA_R_32F),
        DType::BF16 => (D::CUDA_R_16BF, D::CUDA_R_32F),
        _ => (D::CUDA_R_32F, D::CUDA_R_32F),
    };
    let compute = match s.dtype {
        DType::F64 => lt::cublasComputeType_t::CUBLAS_COMPUTE_64F,
        _ if s.tf32 => lt::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        _ => lt::cublasComputeType_t::CUBLAS_COMPUTE_32F,
    };
    let known = blas.chosen.get(s).copied();
    if known == Some(None) {
        return Ok(false);
    }
    let mut desc = Desc(ptr::null_mut());
    check_lt(lt::cublasLtMatmulDescCreate(&mut desc.0, compute, scale), "cublasLtMatmulDescCreate")?;
    let set = |what, value: *const c_void, n: usize| {
        check_lt(lt::cublasLtMatmulDescSetAttribute(desc.0, what, value, n), "cublasLtMatmulDescSetAttribute")
    };
    let op = |t: bool| if t { 1i32 } else { 0 };
    let (ta, tb) = (op(s.b.0), op(s.a.0));
    use lt::cublasLtEpilogue_t::*;
    let epilogue = match (s.activation, s.pre != 0, s.bias) {
        (None, _, true) => CUBLASLT_EPILOGUE_BIAS,
        (None, _, false) => CUBLASLT_EPILOGUE_DEFAULT,
        (Some(Activation::Relu), _, true) => CUBLASLT_EPILOGUE_RELU_BIAS,
        (Some(Activation::Relu), _, false) => CUBLASLT_EPILOGUE_RELU,
        (Some(Activation::Gelu), true, true) => CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
        (Some(Activation::Gelu), true, false) => CUBLASLT_EPILOGUE_GELU_AUX,
        (Some(Activation::Gelu), false, true) => CUBLASLT_EPILOGUE_GELU_BIAS,
        (Some(Activation::Gelu), false, false) => CUBLASLT_EPILOGUE_GELU,
    } as i32;
    set(CUBLASLT_MATMUL_DESC_TRANSA, ptr::from_ref(&ta).cast(), 4)?;
    set(CUBLASLT_MATMUL_DESC_TRANSB, ptr::from_ref(&tb).cast(), 4)?;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, ptr::from_ref(&epilogue).cast(), 4)?;
    if s.bias {
        set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, ptr::from_ref(&bias).cast(), 8)?;
    }
    if s.pre != 0 {
        let ld = s.pre as i64;
        set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, ptr::from_ref(&pre).cast(), 8)?;
        set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, ptr::from_ref(&ld).cast(), 8)?;
    }
    let layout = |rows: i32, cols: i32, ld: i32| -> Result<Table> {
        let mut t = Table(ptr::null_mut());
        let code = lt::cublasLtMatrixLayoutCreate(&mut t.0, kind, rows as u64, cols as u64, ld as i64);
        check_lt(code, "cublasLtMatrixLayoutCreate")?;
        Ok(t)
    };
    // As they lie, columns first.
    let first = if s.b.0 { layout(s.k, s.n, s.b.1)? } else { layout(s.n, s.k, s.b.1)? };
    let second = if s.a.0 { layout(s.m, s.k, s.a.1)? } else { layout(s.k, s.m, s.a.1)? };
    let result = layout(s.n, s.m, s.out)?;
    let algo = match known {
        Some(a) => a,
        None => {
            let found = choose(blas.light, &desc, [&first, &second, &result], s.align)?;
            blas.chosen.insert(*s, found);
            found
        }
    };
    let Some(algo) = algo else { return Ok(false) };
    let code = lt::cublasLtMatmul(
        blas.light,
        desc.0,
        alpha,
        b,
        first.0,
        a,
        second.0,
        beta,
        out,
        result.0,
        out,
        result.0,
        &algo,
        blas.workspace as *mut c_void,
        WORKSPACE,
        stream.raw.cast(),
    );
    check_lt(code, "cublasLtMatmul")?;
    Ok(true)
}

struct Desc(lt::cublasLtMatmulDesc_t);
impl Drop for Desc {
    fn drop(&mut self) {
        // SAFETY: this value owns it.
        unsafe { lt::cublasLtMatmulDescDestroy(self.0) };
    }
}
struct Table(lt::cublasLtMatrixLayout_t);
impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: this value owns it.
        unsafe { lt::cublasLtMatrixLayoutDestroy(self.0) };
    }
}

/// Asks cuBLASLt for an algorithm.
unsafe fn choose(
    light: cublasLtHandle_t,
    desc: &Desc,
    [a, b, out]: [&Table; 3],
    align: u32,
) -> Result<Option<cublasLtMatmulAlgo_t>> {
    use lt::cublasLtMatmulPreferenceAttributes_t::*;
    let mut wish = ptr::null_mut();
    check_lt(lt::cublasLtMatmulPreferenceCreate(&mut wish), "cublasLtMatmulPreferenceCreate")?;
    let set = |what, value: *const c_void, n| {
        check_lt(lt::cublasLtMatmulPreferenceSetAttribute(wish, what, value, n), "cublasLtMatmulPreferenceSetAttribute")
    };
    let bytes = 1u32 << align;
    let mut ready = set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, ptr::from_ref(&WORKSPACE).cast(), 8);
    for what in [
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
    ] {
        ready = ready.and_then(|_| set(what, ptr::from_ref(&bytes).cast(), 4));
    }
    let mut found: lt::cublasLtMatmulHeuristicResult_t = std::mem::zeroed();
    let mut n = 0;
    let code = match &ready {
        Ok(()) => {
            lt::cublasLtMatmulAlgoGetHeuristic(light, desc.0, a.0, b.0, out.0, out.0, wish, 1, &mut found, &mut n)
        }
        Err(_) => lt::cublasStatus_t::CUBLAS_STATUS_SUCCESS,
    };
    lt::cublasLtMatmulPreferenceDestroy(wish);
    ready?;
    use lt::cublasStatus_t::{CUBLAS_STATUS_INVALID_VALUE, CUBLAS_STATUS_NOT_SUPPORTED};
    // Either of them for a combination that the library lacks.
    if matches!(code, CUBLAS_STATUS_NOT_SUPPORTED | CUBLAS_STATUS_INVALID_VALUE) {
        return Ok(None);
    }
    check_lt(code, "cublasLtMatmulAlgoGetHeuristic")?;
    Ok((n > 0).then_some(found.algo))
}
