//! The safetensors format: eight bytes of header length, a JSON header, the tensors' bytes.
//!
//! Files are written by `io::file`, so that a crash leaves the old file or the new one.
//! Reading checks the whole header against the file's length before any memory is taken.

use super::contents::Contents;
pub use super::contents::FileMetadata;
use super::file::cannot;
use super::sink::Sink;
use super::source::{Blob, Source};
use crate::backend::memory::{self, reserve::grant};
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::layout::Layout;
use crate::nn::StateDict;
use crate::{bail, ensure, Result, Tensor};
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::Dtype;
use std::collections::HashMap;
use std::path::Path;

/// The format's limit on the header.
const MAX_HEADER: u64 = 100_000_000;
const FORMAT: &str = "safetensors";

fn dtype_to_file(d: DType) -> Option<Dtype> {
    Some(match d {
        DType::U8 => Dtype::U8,
        DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::F16 => Dtype::F16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::C64 => Dtype::C64,
        // The format has no numbers of two doubles.
        DType::C128 => return None,
        DType::Bool => Dtype::BOOL,
        DType::BF16 => Dtype::BF16,
    })
}
fn dtype_from_file(d: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|t| dtype_to_file(*t) == Some(d))
}

/// Writes `tensors` (any device, any layout) to `path`, replacing a file there only once the new one is complete and
/// on disk. `metadata` goes into the header as text.
///
/// Fails with an Io error that names the file, and with a Value error for the name `__metadata__`, which the format
/// keeps for itself.
pub fn save(path: impl AsRef<Path>, tensors: &StateDict, metadata: &FileMetadata) -> Result<()> {
    let path = path.as_ref();
    let header = header(path, tensors, metadata)?;
    write(Sink::file(path)?, &header, tensors).map(drop)
}

/// The same into memory.
pub fn to_memory(tensors: &StateDict, metadata: &FileMetadata) -> Result<Vec<u8>> {
    let header = header(Path::new("memory"), tensors, metadata)?;
    let mut sink = Sink::memory();
    sink.expect(8 + header.len() + tensors.values().map(nbytes).sum::<usize>())?;
    write(sink, &header, tensors)
}

fn nbytes(t: &Tensor) -> usize {
    t.numel() * t.dtype().size()
}

/// Wide types first keeps every tensor aligned; the sort is stable, so that names stay in the order given.
fn in_order(tensors: &StateDict) -> Result<Vec<(&String, &Tensor)>> {
    let mut order: Vec<(&String, &Tensor)> = memory::collect(tensors)?;
    order.sort_by_key(|(_, t)| std::cmp::Reverse(t.dtype().size()));
    Ok(order)
}

fn header(path: &Path, tensors: &StateDict, metadata: &FileMetadata) -> Result<Vec<u8>> {
    ensure!(!tensors.contains_key("__metadata__"), Value, "a tensor cannot be named __metadata__ in safetensors");
    // What the header takes in the crates that write it: its entries, a map of them, the text as it grows.
    let names: usize = tensors.keys().chain(metadata.keys()).chain(metadata.values()).map(|s| s.len() + 512).sum();
    let ranks: usize = tensors.values().map(Tensor::ndim).sum();
    let _header_memory = grant(names.saturating_mul(16).saturating_add(ranks.saturating_mul(256)))?;
    let order = in_order(tensors)?;
    let mut infos = memory::with_capacity(order.len())?;
    let mut at = 0;
    for (name, t) in &order {
        let end = at + nbytes(t);
        let Some(dtype) = dtype_to_file(t.dtype()) else {
            bail!(
                Value,
                "safetensors has no dtype {}: tensor \"{name}\" must be converted, or its parts stored",
                t.dtype()
            );
        };
        let info =
            TensorInfo { dtype, shape: t.shape().iter().map(|s| *s as usize).collect(), data_offsets: (at, end) };
        infos.push((name.to_string(), info));
        at = end;
    }
    let text = (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect::<HashMap<_, _>>());
    let header = Metadata::new(text, infos).map_err(|e| cannot("write", path, e))?;
    let mut header = serde_json::to_vec(&header).map_err(|e| cannot("write", path, e))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    ensure!(header.len() as u64 <= MAX_HEADER, Io, "cannot write {}: the header exceeds 100 MB", path.display());
    Ok(header)
}

/// Writes all but gives the file its name.
pub(super) fn begin(path: &Path, tensors: &StateDict, metadata: &FileMetadata) -> Result<Sink> {
    let header = header(path, tensors, metadata)?;
    let mut sink = Sink::file(path)?;
    fill(&mut sink, &header, tensors)?;
    Ok(sink)
}
fn fill(sink: &mut Sink, header: &[u8], tensors: &StateDict) -> Result<()> {
    sink.write(&(header.len() as u64).to_le_bytes())?;
    sink.write(header)?;
    in_order(tensors)?.iter().try_for_each(|(_, t)| sink.tensor(t))
}
fn write(mut sink: Sink, header: &[u8], tensors: &StateDict) -> Result<Vec<u8>> {
    fill(&mut sink, header, tensors)?;
    sink.commit()
}

/// Reads all tensors of a file, in file order, onto `device`, and the file's text entries (sorted by name).
///
/// Fails with an Io error that names the file and what is wrong with it: not there, too short, a header that is not
/// valid, lengths that do not fit, a dtype that Taper does not have.
pub fn load(path: impl AsRef<Path>, device: Device) -> Result<(StateDict, FileMetadata)> {
    let contents = open(Source::file(path.as_ref(), false)?)?;
    Ok((contents.all(device)?, contents.metadata))
}

/// Reads the header.
pub fn open(source: Source) -> Result<Contents> {
    let len = source.len();
    let bad = |what: &str| source.bad(FORMAT, what);
    if len < 8 {
        return Err(bad(&format!("it has {len} bytes, too few for a header")));
    }
    let header_len = u64::from_le_bytes(source.array(0)?);
    if header_len > MAX_HEADER {
        return Err(bad(&format!("its header claims {header_len} bytes, more than the format's 100 MB")));
    }
    if header_len > len - 8 {
        return Err(bad(&format!("its header claims {header_len} bytes, but only {} follow: truncated?", len - 8)));
    }
    let header = source.bytes(8, header_len)?;
    // Each byte of the header makes less than 24 bytes of maps, names and shapes; what is named here comes again below.
    let _header_memory = grant((header_len as usize).saturating_mul(24))?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|e| bad(&format!("bad header: {e}")))?;
    let data_len = len - 8 - header_len;
    let claimed = header.data_len() as u64;
    if claimed != data_len {
        let hint = if claimed > data_len { ": truncated?" } else { "" };
        return Err(bad(&format!("its header describes {claimed} bytes of tensors, but {data_len} follow{hint}")));
    }
    let mut contents = Contents::new(FORMAT, source);
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else { continue };
        let Some(dtype) = dtype_from_file(info.dtype) else {
            bail!(
                Io,
                "tensor \"{name}\" in {} has dtype {:?}, which is not supported; supported are {}",
                contents.path().display(),
                info.dtype,
                DType::ALL.map(|d| d.name()).join(", ")
            );
        };
        let shape =
            memory::try_collect(info.shape.iter().map(|s| {
                i64::try_from(*s).map_err(|_| contents.source().bad(FORMAT, "a size does not fit in 64 bits"))
            }))?;
        let (from, to) = info.data_offsets;
        let blob = contents.blob(Blob::plain(0, 8 + header_len + from as u64, (to - from) as u64, dtype))?;
        contents.add(name, blob, Layout::contiguous(&shape))?;
    }
    let mut metadata: FileMetadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    metadata.sort_keys();
    contents.metadata = metadata;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;
    use half::{bf16, f16};
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("taper-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }
    fn sample() -> StateDict {
        let mut d = StateDict::new();
        d.insert("b".into(), Tensor::from_slice(&[1.5f32, -2.0, 3.25], &[3]).unwrap());
        d.insert("a.weight".into(), Tensor::from_slice(&[1i64, 2, 3, 4], &[2, 2]).unwrap());
        d.insert("half".into(), Tensor::from_slice(&[f16::from_f32(0.5)], &[1]).unwrap());
        d.insert("brain".into(), Tensor::from_slice(&[bf16::from_f32(0.5)], &[]).unwrap());
        d.insert("empty".into(), Tensor::from_slice::<f64>(&[], &[0, 3]).unwrap());
        d.insert("flag \"x\" é".into(), Tensor::from_slice(&[crate::base::dtype::Bool8(1)], &[1]).unwrap());
        d
    }
    fn same(a: &StateDict, b: &StateDict) {
        assert_eq!(a.len(), b.len());
        for (k, t) in a {
            let u = &b[k];
            assert_eq!((t.shape(), t.dtype()), (u.shape(), u.dtype()), "{k}");
            assert_eq!(t.to_f64_vec().unwrap(), u.to_f64_vec().unwrap(), "{k}");
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = folder("io");
        let path = dir.join("m.safetensors");
        let meta: FileMetadata = [("format".to_string(), "taper \"1\"\n".to_string())].into_iter().collect();
        save(&path, &sample(), &meta).unwrap();
        let (back, text) = load(&path, Device::CPU).unwrap();
        same(&sample(), &back);
        assert_eq!(text, meta);
        // Overwriting leaves no temporary file behind.
        save(&path, &StateDict::new(), &FileMetadata::new()).unwrap();
        let (none, text) = load(&path, Device::CPU).unwrap();
        assert!(none.is_empty() && text.is_empty());
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_reference_reader_accepts_the_file() {
        let dir = folder("io-ref");
        let path = dir.join("m.safetensors");
        save(&path, &sample(), &FileMetadata::new()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("a.weight").unwrap().shape(), [2, 2]);
        let floats: Vec<u8> = [1.5f32, -2.0, 3.25].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(file.tensor("b").unwrap().data(), floats);
        // Every tensor begins on a multiple of its element size.
        for (_, t) in file.tensors() {
            let size = t.dtype().bitsize() / 8;
            assert_eq!((t.data().as_ptr() as usize - bytes.as_ptr() as usize) % size, 0);
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn broken_files_are_told_apart() {
        let dir = folder("io-bad");
        let path = dir.join("m.safetensors");
        save(&path, &sample(), &FileMetadata::new()).unwrap();
        let good = std::fs::read(&path).unwrap();
        let fails = |bytes: &[u8], want: &str| {
            std::fs::write(&path, bytes).unwrap();
            let e = load(&path, Device::CPU).unwrap_err();
            assert_eq!(e.kind, ErrorKind::Io);
            assert!(e.message.contains(want) && e.message.contains("m.safetensors"), "{}", e.message);
        };
        fails(b"", "too few for a header");
        fails(&good[..40], "truncated?");
        fails(&good[..good.len() - 1], "truncated?");
        let mut longer = good.clone();
        longer.push(0);
        fails(&longer, "follow");
        let mut huge = good.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        fails(&huge, "more than the format's");
        let mut garbled = good.clone();
        garbled[8] = b'[';
        fails(&garbled, "bad header");
        let header = br#"{"x":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,0]}}"#;
        let mut overflow = (header.len() as u64).to_le_bytes().to_vec();
        overflow.extend_from_slice(header);
        fails(&overflow, "bad header");
        let header = format!(r#"{{"x":{{"dtype":"F32","shape":{:?},"data_offsets":[0,4]}}}}"#, [1; 70]);
        let mut deep = (header.len() as u64).to_le_bytes().to_vec();
        deep.extend_from_slice(header.as_bytes());
        deep.extend_from_slice(&[0; 4]);
        fails(&deep, "at most 64 dimensions, got 70");
        let header = br#"{"x":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}"#;
        let mut foreign = (header.len() as u64).to_le_bytes().to_vec();
        foreign.extend_from_slice(header);
        foreign.extend_from_slice(&[0; 8]);
        fails(&foreign, "not supported");
        std::fs::remove_dir_all(&dir).unwrap();
        let e = load(&path, Device::CPU).unwrap_err();
        assert!(e.message.starts_with("cannot read"), "{}", e.message);
        let e = save(&path, &sample(), &FileMetadata::new()).unwrap_err();
        assert!(e.kind == ErrorKind::Io && e.message.starts_with("cannot write"), "{}", e.message);
    }
}
