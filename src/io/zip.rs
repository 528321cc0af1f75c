//! Zip archives, as far as files of tensors need them: records that are stored or deflated, of any size.

use super::inflate::{self, Deflate};
use super::sink::{self, Sink};
use super::source::{Blob, Mend, Source};
use crate::backend::memory;
use crate::{DType, Result, Tensor};
use indexmap::IndexMap;

/// A record's data begins at a multiple of this many bytes in what is written here.
const ALIGNMENT: u64 = 64;
const LARGE: u64 = 0xFFFF_FFFF;
/// What compressed records together may grow to, besides twenty times the archive's length.
const INFLATED: u64 = 64 << 20;

/// What the directory says of a record.
#[derive(Clone, Debug)]
pub struct Record {
    pub deflated: bool,
    pub crc: u32,
    pub packed: u64,
    pub size: u64,
    header: u64,
}

/// The directory of an archive.
pub struct Archive {
    pub records: IndexMap<String, Record>,
}

fn u16_at(b: &[u8], at: usize) -> u64 {
    b.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]) as u64)
}
fn u32_at(b: &[u8], at: usize) -> u64 {
    b.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as u64)
}
fn u64_at(b: &[u8], at: usize) -> u64 {
    u32_at(b, at) | u32_at(b, at + 4) << 32
}

impl Archive {
    pub fn open(source: &Source) -> Result<Archive> {
        let bad = |what: &str| source.bad("zip", what);
        // The end record is the last thing but for a comment.
        let tail = source.len().min(22 + 0xFFFF);
        let from = source.len() - tail;
        let end = source.bytes(from, tail)?;
        let found = (0..end.len().saturating_sub(21))
            .rev()
            .find(|i| end[*i..].starts_with(b"PK\x05\x06") && u16_at(&end, i + 20) as usize == end.len() - i - 22);
        let Some(at) = found else { return Err(bad("it has no directory; it is damaged, or was cut")) };
        let (mut count, mut size, mut start) = (u16_at(&end, at + 10), u32_at(&end, at + 12), u32_at(&end, at + 16));
        if at >= 20 && end[at - 20..].starts_with(b"PK\x06\x07") {
            let wide = source.bytes(u64_at(&end, at - 12), 56)?;
            if !wide.starts_with(b"PK\x06\x06") {
                return Err(bad("its directory is damaged"));
            }
            (count, size, start) = (u64_at(&wide, 32), u64_at(&wide, 40), u64_at(&wide, 48));
        }
        if count > size / 46 {
            return Err(bad("its directory is shorter than its records"));
        }
        let directory = source.bytes(start, size)?;
        let mut records = IndexMap::new();
        let (mut at, mut stored, mut grown) = (0usize, 0u64, 0u64);
        for _ in 0..count {
            let Some(head) = directory.get(at..at + 46).filter(|h| h.starts_with(b"PK\x01\x02")) else {
                return Err(bad("its directory is damaged"));
            };
            let (names, extras, comment) = (u16_at(head, 28), u16_at(head, 30), u16_at(head, 32));
            let name_end = at + 46 + names as usize;
            let extra_end = name_end + extras as usize;
            let (Some(name), Some(extra)) = (directory.get(at + 46..name_end), directory.get(name_end..extra_end))
            else {
                return Err(bad("its directory is damaged"));
            };
            let (mut packed, mut size, mut header) = (u32_at(head, 20), u32_at(head, 24), u32_at(head, 42));
            wide_sizes(extra, [&mut size, &mut packed, &mut header]);
            let Ok(name) = std::str::from_utf8(name) else { return Err(bad("a record's name is no UTF-8")) };
            let deflated = match u16_at(head, 10) {
                0 => false,
                8 => true,
                other => {
                    return Err(bad(&format!(
                        "record {name:?} is compressed by method {other}, which is not supported"
                    )))
                }
            };
            if u16_at(head, 8) & 1 != 0 {
                return Err(bad(&format!("record {name:?} is encrypted")));
            }
            if !deflated && packed != size {
                return Err(bad(&format!("record {name:?} has two lengths")));
            }
            stored = stored.saturating_add(packed);
            grown = grown.saturating_add(if deflated { size } else { 0 });
            if stored > source.len() || grown > source.len().saturating_mul(20).saturating_add(INFLATED) {
                return Err(bad(&format!("record {name:?} of {size} bytes is larger than the archive allows")));
            }
            let record = Record { deflated, crc: u32_at(head, 16) as u32, packed, size, header };
            memory::reserve_map(&mut records, 1)?;
            if records.insert(memory::text(name)?, record).is_some() {
                return Err(bad(&format!("two records are called {name:?}")));
            }
            at = extra_end + comment as usize;
        }
        Ok(Archive { records })
    }

    /// Where a record's bytes are, as a blob of bytes.
    pub fn blob(&self, source: &Source, r: &Record) -> Result<Blob> {
        let head: [u8; 30] = source.array(r.header)?;
        if !head.starts_with(b"PK\x03\x04") {
            return Err(source.bad("zip", "a record is not where the directory says"));
        }
        let at = r.header + 30 + u16_at(&head, 26) + u16_at(&head, 28);
        if at.checked_add(r.packed).is_none_or(|end| end > source.len()) {
            return Err(source.bad("zip", "a record reaches beyond its end"));
        }
        Ok(Blob {
            source: 0,
            at,
            packed: r.packed,
            size: r.size,
            deflated: r.deflated,
            crc: Some(r.crc),
            skip: 0,
            dtype: DType::U8,
            mend: Mend::Nothing,
        })
    }

    /// All of a record's bytes, with their checksum looked at.
    pub fn read(&self, source: &Source, r: &Record) -> Result<Vec<u8>> {
        let b = self.blob(source, r)?;
        if b.deflated {
            return inflate::whole(source, &b);
        }
        let bytes = source.bytes(b.at, b.size)?;
        if crc32fast::hash(&bytes) != r.crc {
            return Err(source.bad("zip", "the checksum of a record is wrong: it is damaged"));
        }
        Ok(bytes)
    }

    /// The first bytes of a record, at most `n`.
    pub fn begin(&self, source: &Source, b: &Blob, n: u64) -> Result<Vec<u8>> {
        let n = n.min(b.size);
        match b.deflated {
            true => inflate::inflate(source, b.at, b.packed, n, false),
            false => source.bytes(b.at, n),
        }
    }
}

/// Sizes of 4 GB and more stand in an extra field, in this order.
fn wide_sizes(mut extra: &[u8], fields: [&mut u64; 3]) {
    while extra.len() >= 4 {
        let (id, n) = (u16_at(extra, 0), u16_at(extra, 2) as usize);
        let Some(body) = extra.get(4..4 + n) else { return };
        if id == 1 {
            let mut at = 0;
            for f in fields {
                if *f == LARGE && at + 8 <= n {
                    *f = u64_at(body, at);
                    at += 8;
                }
            }
            return;
        }
        extra = &extra[4 + n..];
    }
}

/// Writes an archive front to back.
pub struct Zip {
    sink: Sink,
    directory: Vec<u8>,
    count: u64,
}

impl Zip {
    pub fn new(sink: Sink) -> Zip {
        Zip { sink, directory: Vec::new(), count: 0 }
    }

    fn begin(&mut self, name: &str, crc: u32, packed: u64, size: u64, deflated: bool) -> Result<()> {
        let offset = self.sink.at();
        let large = packed.max(size) >= LARGE;
        let mut wide = Vec::new();
        if large {
            wide.extend_from_slice(&[1, 0, 16, 0]);
            wide.extend_from_slice(&size.to_le_bytes());
            wide.extend_from_slice(&packed.to_le_bytes());
        }
        let start = offset + 30 + (name.len() + wide.len()) as u64 + 4;
        let pad = start.next_multiple_of(ALIGNMENT) - start;
        let mut extra = wide;
        extra.extend_from_slice(b"FB");
        extra.extend_from_slice(&(pad as u16).to_le_bytes());
        extra.resize(extra.len() + pad as usize, b'Z');
        // Version, flags (the name is UTF-8), method, the first moment of zip's calendar.
        let mut common = Vec::new();
        for v in [if large { 45u16 } else { 20 }, 0x800, if deflated { 8 } else { 0 }, 0, 33] {
            common.extend_from_slice(&v.to_le_bytes());
        }
        common.extend_from_slice(&crc.to_le_bytes());
        for v in [packed, size] {
            common.extend_from_slice(&(if large { LARGE } else { v } as u32).to_le_bytes());
        }
        let mut head = b"PK\x03\x04".to_vec();
        head.extend_from_slice(&common);
        head.extend_from_slice(&(name.len() as u16).to_le_bytes());
        head.extend_from_slice(&(extra.len() as u16).to_le_bytes());
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(&extra);
        self.sink.write(&head)?;

        let mut wide = Vec::new();
        if large {
            wide.extend_from_slice(&size.to_le_bytes());
            wide.extend_from_slice(&packed.to_le_bytes());
        }
        if offset >= LARGE {
            wide.extend_from_slice(&offset.to_le_bytes());
        }
        let mut field = Vec::new();
        if !wide.is_empty() {
            field.extend_from_slice(&[1, 0]);
            field.extend_from_slice(&(wide.len() as u16).to_le_bytes());
            field.extend_from_slice(&wide);
        }
        let d = &mut self.directory;
        memory::reserve(d, 46 + name.len() + field.len())?;
        d.extend_from_slice(b"PK\x01\x02\x2d\0");
        d.extend_from_slice(&common);
        for v in [name.len() as u16, field.len() as u16, 0, 0, 0, 0, 0] {
            d.extend_from_slice(&v.to_le_bytes());
        }
        d.extend_from_slice(&(offset.min(LARGE) as u32).to_le_bytes());
        d.extend_from_slice(name.as_bytes());
        d.extend_from_slice(&field);
        self.count += 1;
        Ok(())
    }

    fn checked(name: &str) -> Result<()> {
        crate::ensure!(name.len() <= 60_000, Value, "a name of {} bytes is too long for a zip archive", name.len());
        Ok(())
    }

    /// A record of bytes.
    pub fn bytes(&mut self, name: &str, data: &[u8]) -> Result<()> {
        Zip::checked(name)?;
        self.begin(name, crc32fast::hash(data), data.len() as u64, data.len() as u64, false)?;
        self.sink.write(data)
    }

    /// A record of some bytes and a tensor's elements.
    pub fn tensor(&mut self, name: &str, head: &[u8], t: &Tensor, deflated: bool) -> Result<()> {
        Zip::checked(name)?;
        let size = head.len() as u64 + (t.numel() * t.dtype().size()) as u64;
        let mut crc = crc32fast::Hasher::new();
        crc.update(head);
        if deflated {
            let mut packed = Deflate::new()?;
            packed.write(head)?;
            sink::pieces(t, &mut |piece| {
                crc.update(piece);
                packed.write(piece)
            })?;
            let packed = packed.finish()?;
            self.begin(name, crc.finalize(), packed.len() as u64, size, true)?;
            return self.sink.write(&packed);
        }
        sink::pieces(t, &mut |piece| {
            crc.update(piece);
            Ok(())
        })?;
        self.begin(name, crc.finalize(), size, size, false)?;
        self.sink.write(head)?;
        self.sink.tensor(t)
    }

    /// The directory, and what `Sink::commit` gives.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        let (start, size, n) = (self.sink.at(), self.directory.len() as u64, self.count);
        self.sink.write(&self.directory)?;
        let mut end = Vec::new();
        if n >= 0xFFFF || start >= LARGE || size >= LARGE {
            end.extend_from_slice(b"PK\x06\x06");
            end.extend_from_slice(&44u64.to_le_bytes());
            end.extend_from_slice(&[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            [n, n, size, start].iter().for_each(|v| end.extend_from_slice(&v.to_le_bytes()));
            end.extend_from_slice(b"PK\x06\x07\0\0\0\0");
            end.extend_from_slice(&(start + size).to_le_bytes());
            end.extend_from_slice(&1u32.to_le_bytes());
        }
        end.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        let many = (n.min(0xFFFF) as u16).to_le_bytes();
        [many, many].iter().for_each(|v| end.extend_from_slice(v));
        [size, start].iter().for_each(|v| end.extend_from_slice(&(v.min(&LARGE).to_owned() as u32).to_le_bytes()));
        end.extend_from_slice(&[0, 0]);
        self.sink.write(&end)?;
        self.sink.commit()
    }
}
