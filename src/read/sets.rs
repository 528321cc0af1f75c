//! The files of well-known data sets: IDX (MNIST and its kin) and CIFAR's binary files, plain or compressed by gzip. What a
//! header claims is compared with the file's length before a tensor is made.

use crate::base::layout::{Dims, MAX_DIMS};
use crate::io::inflate;
use crate::io::source::{Mend, Source};
use crate::{ensure, DType, Device, Result, Tensor};

/// An IDX file's array: two zeros, a code for the dtype, the number of dimensions, their sizes as 32 bits and the elements,
/// all with the highest byte first.
pub fn idx(source: &Source) -> Result<Tensor> {
    let mut bytes = inflate::plain_or_gzip(source)?;
    let bad = |what: String| source.bad("IDX", what);
    let [0, 0, code, ndim] = bytes[..bytes.len().min(4)] else {
        return Err(bad("it does not begin with two zeros, a dtype and a number of dimensions".into()));
    };
    let dtype = match code {
        0x08 => DType::U8,
        0x09 => DType::I8,
        0x0b => DType::I16,
        0x0c => DType::I32,
        0x0d => DType::F32,
        0x0e => DType::F64,
        _ => return Err(bad(format!("its dtype has code {code}; known are 8, 9, 11, 12, 13 and 14"))),
    };
    let ndim = ndim as usize;
    if ndim > MAX_DIMS {
        return Err(bad(format!("it has {ndim} dimensions, and tensors have at most {MAX_DIMS}")));
    }
    let header = 4 + 4 * ndim;
    let Some(sizes) = bytes.get(4..header) else { return Err(bad("it ends in its header".into())) };
    let shape: Dims = sizes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as i64).collect();
    let need = crate::base::layout::checked_numel(&shape).ok().and_then(|n| n.checked_mul(dtype.size()));
    if need != Some(bytes.len() - header) {
        let have = bytes.len() - header;
        return Err(bad(format!(
            "{dtype} elements of sizes {:?} do not take the {have} bytes that it has",
            &shape[..]
        )));
    }
    let elements = &mut bytes[header..];
    if dtype.size() > 1 {
        Mend::Swap(dtype.size()).apply(elements);
    }
    Tensor::from_bytes(elements, &shape, dtype, Device::CPU)
}

const PIXELS: usize = 3 * 32 * 32;

/// A CIFAR file's images, uint8 [n, 3, 32, 32], and labels, int64: [n] with 10 classes, [n, 2] (coarse, fine) with 100.
pub fn cifar(source: &Source, classes: i64) -> Result<(Tensor, Tensor)> {
    ensure!(classes == 10 || classes == 100, Value, "classes must be 10 or 100, got {classes}");
    let most: &[u8] = if classes == 10 { &[10] } else { &[20, 100] };
    let labels = most.len();
    let mut bytes = inflate::plain_or_gzip(source)?;
    let record = labels + PIXELS;
    let bad = |what: String| source.bad("CIFAR", what);
    if !bytes.len().is_multiple_of(record) {
        return Err(bad(format!(
            "its {} bytes are no multiple of the {record} of an image with its labels",
            bytes.len()
        )));
    }
    let n = bytes.len() / record;
    let mut marks = crate::backend::memory::with_capacity(n * labels)?;
    for i in 0..n {
        let at = i * record;
        for (label, most) in bytes[at..at + labels].iter().zip(most) {
            if label >= most {
                return Err(bad(format!("image {i} has label {label}, and labels go from 0 to {}", most - 1)));
            }
            marks.push(*label as i64);
        }
        // Each image moves to its place among images alone.
        bytes.copy_within(at + labels..at + record, i * PIXELS);
    }
    let n = n as i64;
    let images = Tensor::from_bytes(&bytes[..n as usize * PIXELS], &[n, 3, 32, 32], DType::U8, Device::CPU)?;
    let shape = [n, 2];
    Ok((images, Tensor::from_slice(&marks, &shape[..labels])?))
}
