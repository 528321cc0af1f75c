//! NumPy's files: NPY holds one array, NPZ is a zip archive of them.

use super::contents::{columns, Contents};
use super::sink::Sink;
use super::source::{Blob, Mend, Source};
use super::zip::{Archive, Zip};
use crate::base::layout::{Dims, Layout};
use crate::nn::StateDict;
use crate::{bail, ensure, DType, Result, Tensor};

pub const MAGIC: &[u8] = b"\x93NUMPY";
/// The name of an NPY file's one array.
pub const ONLY: &str = "data";
/// A header of Taper's dtypes takes some hundred bytes.
const MAX_HEADER: usize = 1 << 16;

/// What a header says.
struct Header {
    /// Bytes before the elements.
    skip: u64,
    dtype: DType,
    mend: Mend,
    layout: Layout,
}

/// The length of the header, with what comes before it.
fn length(begin: &[u8]) -> std::result::Result<usize, String> {
    if !begin.starts_with(MAGIC) || begin.len() < 12 {
        return Err("it does not begin as one".into());
    }
    let n = match begin[6] {
        1 => 10 + u16::from_le_bytes([begin[8], begin[9]]) as usize,
        2 | 3 => 12 + u32::from_le_bytes([begin[8], begin[9], begin[10], begin[11]]) as usize,
        v => return Err(format!("version {v} is not known")),
    };
    if n > MAX_HEADER {
        return Err(format!("its header claims {n} bytes"));
    }
    Ok(n)
}

fn parse(begin: &[u8]) -> std::result::Result<Header, String> {
    let n = length(begin)?;
    let from = if begin[6] == 1 { 10 } else { 12 };
    let text = begin.get(from..n).ok_or("it ends in its header")?;
    let text = std::str::from_utf8(text).map_err(|_| "its header is no UTF-8")?;
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    let mut p = Literal(text.trim_end());
    p.expect('{')?;
    while !p.ends('}') {
        let key = p.quoted()?;
        p.expect(':')?;
        match key {
            "descr" if p.begins('[') => return Err("it holds a structured array, which is no tensor".into()),
            "descr" => descr = Some(p.quoted()?),
            "fortran_order" => fortran = Some(p.word()?),
            "shape" => shape = Some(p.tuple()?),
            other => return Err(format!("its header has an unknown entry {other:?}")),
        }
        if !p.begins(',') && !p.begins('}') {
            return Err("its header is no dictionary".into());
        }
        p.ends(',');
    }
    let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
        return Err("its header lacks an entry".into());
    };
    let (order, kind) = descr.split_at_checked(1).unwrap_or(("", ""));
    let dtype = match kind {
        "b1" => DType::Bool,
        "i1" => DType::I8,
        "u1" => DType::U8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "c8" => DType::C64,
        "c16" => DType::C128,
        _ if descr.contains('O') => return Err("it holds Python objects, which are not loaded".into()),
        _ => {
            return Err(format!(
                "its dtype {descr:?} is not supported; supported are b1, i1, u1, i2, i4, i8, f2, f4, f8, c8 and c16"
            ))
        }
    };
    let mend = match (order, dtype.size()) {
        ("<" | "|" | "=", _) => Mend::of(dtype),
        (">", 1) => Mend::of(dtype),
        (">", n) => Mend::Swap(if dtype.is_complex() { n / 2 } else { n }),
        _ => return Err(format!("its dtype {descr:?} is not known")),
    };
    let layout = match fortran {
        "False" => Layout::contiguous(&shape),
        "True" => columns(&shape),
        other => return Err(format!("fortran_order is {other}")),
    };
    Ok(Header { skip: n as u64, dtype, mend, layout })
}

/// Reads the literal of Python that a header is.
struct Literal<'a>(&'a str);
impl<'a> Literal<'a> {
    fn begins(&mut self, c: char) -> bool {
        self.0 = self.0.trim_start();
        self.0.starts_with(c)
    }
    fn ends(&mut self, c: char) -> bool {
        let yes = self.begins(c);
        if yes {
            self.0 = &self.0[1..];
        }
        yes
    }
    fn expect(&mut self, c: char) -> std::result::Result<(), String> {
        match self.ends(c) {
            true => Ok(()),
            false => Err(format!("its header has no {c:?} where one is due")),
        }
    }
    fn quoted(&mut self) -> std::result::Result<&'a str, String> {
        let quote = if self.begins('"') { '"' } else { '\'' };
        self.expect(quote)?;
        let (text, rest) = self.0.split_once(quote).ok_or("a text of its header does not end")?;
        self.0 = rest;
        Ok(text)
    }
    fn word(&mut self) -> std::result::Result<&'a str, String> {
        self.0 = self.0.trim_start();
        let n = self.0.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(n);
        self.0 = rest;
        Ok(word)
    }
    fn tuple(&mut self) -> std::result::Result<Dims, String> {
        self.expect('(')?;
        let mut out = Dims::new();
        while !self.ends(')') {
            let word = self.word()?;
            // Python 2 wrote long integers with an L.
            let n = word.strip_suffix('L').unwrap_or(word).parse::<i64>();
            out.push(n.ok().filter(|n| *n >= 0).ok_or_else(|| format!("a size of its shape is {word:?}"))?);
            if out.len() > crate::base::layout::MAX_DIMS {
                return Err(format!("it has more than {} dimensions", crate::base::layout::MAX_DIMS));
            }
            if !self.begins(')') {
                self.expect(',')?;
            }
        }
        Ok(out)
    }
}

/// One array whose bytes `blob` holds, under a name.
fn add(contents: &mut Contents, name: String, begin: &[u8], mut blob: Blob, exact: bool) -> Result<()> {
    let header = match parse(begin) {
        Ok(h) => h,
        Err(what) => return Err(contents.source().bad("NPY", format_args!("{what} (array \"{name}\")"))),
    };
    (blob.skip, blob.dtype, blob.mend) = (header.skip, header.dtype, header.mend);
    let need = crate::base::layout::checked_numel(&header.layout.shape)
        .ok()
        .and_then(|n| n.checked_mul(header.dtype.size()))
        .and_then(|n| (n as u64).checked_add(header.skip));
    // Elements after the array are another array, which np.save can append; what is too short is damaged.
    if need.is_none_or(|n| n > blob.size || (exact && n < blob.size)) {
        let what = format_args!(
            "array \"{name}\" of sizes {:?} does not fit into its {} bytes",
            &header.layout.shape[..],
            blob.size
        );
        return Err(contents.source().bad("NPY", what));
    }
    if blob.size != need.unwrap_or(0) {
        blob.size = need.unwrap_or(0);
    }
    let blob = contents.blob(blob)?;
    contents.add(name, blob, header.layout)
}

pub fn open(source: Source) -> Result<Contents> {
    let begin = source.bytes(0, source.len().min(MAX_HEADER as u64))?;
    let blob = Blob::plain(0, 0, source.len(), DType::U8);
    let mut contents = Contents::new("NPY", source);
    add(&mut contents, ONLY.into(), &begin, blob, false)?;
    Ok(contents)
}

/// An archive of arrays: every record must be one.
pub fn open_zip<'a>(source: Source<'a>, archive: &Archive) -> Result<Contents<'a>> {
    let mut contents = Contents::new("NPZ", source);
    for (name, record) in &archive.records {
        let Some(short) = name.strip_suffix(".npy") else {
            let what = format_args!("record {name:?} is no array");
            return Err(contents.source().bad("NPZ", what));
        };
        let blob = archive.blob(contents.source(), record)?;
        let first = archive.begin(contents.source(), &blob, 12)?;
        let begin = match length(&first) {
            Ok(n) => archive.begin(contents.source(), &blob, n as u64)?,
            Err(_) => first,
        };
        add(&mut contents, crate::backend::memory::text(short)?, &begin, blob, true)?;
    }
    Ok(contents)
}

fn header(t: &Tensor) -> Result<Vec<u8>> {
    let descr = match t.dtype() {
        DType::Bool => "|b1",
        DType::I8 => "|i1",
        DType::U8 => "|u1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::C64 => "<c8",
        DType::C128 => "<c16",
        other => bail!(Value, "NumPy has no dtype {other}: convert to float32 before saving as NPY"),
    };
    let shape: Vec<String> = t.shape().iter().map(|n| n.to_string()).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", shape.join(", "));
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[1, 0]);
    // The header ends with a newline, and the elements begin at a multiple of 64.
    let n = (10 + text.len() + 1).next_multiple_of(64) - 10;
    out.extend_from_slice(&(n as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    out.resize(10 + n - 1, b' ');
    out.push(b'\n');
    Ok(out)
}

pub fn save(mut sink: Sink, tensors: &StateDict) -> Result<Vec<u8>> {
    ensure!(
        tensors.len() == 1,
        Value,
        "an NPY file holds one array, but there are {} tensors; NPZ holds several",
        tensors.len()
    );
    for t in tensors.values() {
        sink.write(&header(t)?)?;
        sink.tensor(t)?;
    }
    sink.commit()
}

pub fn save_zip(sink: Sink, tensors: &StateDict, deflated: bool) -> Result<Vec<u8>> {
    let mut zip = Zip::new(sink);
    for (name, t) in tensors {
        zip.tensor(&format!("{name}.npy"), &header(t)?, t, deflated)?;
    }
    zip.finish()
}
