//! Records that are compressed. How much one may grow to is known, and limited, before it is read.

use super::source::{Blob, Source};
use crate::backend::memory::{self, reserve::grant};
use crate::base::error::{Error, ErrorKind};
use crate::{ensure, Result};
use miniz_oxide::deflate::core::{
    compress_to_output, create_comp_flags_from_zip_params, CompressorOxide, TDEFLFlush, TDEFLStatus,
};
use miniz_oxide::inflate::core::{decompress, inflate_flags, DecompressorOxide};
use miniz_oxide::inflate::TINFLStatus;

/// What is read of the file at a time.
const PIECE: u64 = 64 << 10;

/// The first `n` bytes of what `packed` bytes at `at` hold; more there is an error where `all` is asked for.
pub fn inflate(source: &Source, at: u64, packed: u64, n: u64, all: bool) -> Result<Vec<u8>> {
    // A byte of a record makes at most 1032.
    if all && n > packed.saturating_mul(1032) {
        return Err(damaged(source));
    }
    if n == 0 {
        return Ok(Vec::new());
    }
    let _state = grant(64 << 10)?;
    let mut machine = DecompressorOxide::new();
    let mut out = memory::zeroed::<u8>(n as usize)?;
    let (mut done, mut made) = (0, 0);
    loop {
        let piece = source.bytes(at + done, PIECE.min(packed - done))?;
        let more = done + (piece.len() as u64) < packed;
        let mut flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        if more {
            flags |= inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
        }
        let (status, read, wrote) = decompress(&mut machine, &piece, &mut out, made, flags);
        done += read as u64;
        made += wrote;
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::NeedsMoreInput if more && read > 0 => {}
            TINFLStatus::HasMoreOutput if !all => break,
            _ => return Err(damaged(source)),
        }
    }
    if all && made as u64 != n {
        return Err(damaged(source));
    }
    out.truncate(made);
    Ok(out)
}

#[cold]
fn damaged(source: &Source) -> Error {
    let path = source.path().display();
    Error::new(ErrorKind::Io, format!("{path} is damaged: a compressed record does not hold what it says"))
}

/// All of a compressed blob, whose checksum is looked at.
pub fn whole(source: &Source, b: &Blob) -> Result<Vec<u8>> {
    let bytes = inflate(source, b.at, b.packed, b.size, true)?;
    match b.crc {
        Some(want) if crc32fast::hash(&bytes) != want => Err(damaged(source)),
        _ => Ok(bytes),
    }
}

/// Compresses what comes piece by piece.
pub struct Deflate {
    machine: Box<CompressorOxide>,
    out: Vec<u8>,
}
impl Deflate {
    pub fn new() -> Result<Deflate> {
        let _state = grant(1 << 20)?;
        let flags = create_comp_flags_from_zip_params(6, -15, 0);
        Ok(Deflate { machine: Box::new(CompressorOxide::new(flags)), out: Vec::new() })
    }
    fn run(&mut self, piece: &[u8], flush: TDEFLFlush) -> Result<TDEFLStatus> {
        let mut failed = None;
        let out = &mut self.out;
        let (status, _) = compress_to_output(&mut self.machine, piece, flush, |made| {
            match memory::reserve(out, made.len()) {
                Ok(()) => out.extend_from_slice(made),
                Err(e) => failed = Some(e),
            }
            failed.is_none()
        });
        failed.map_or(Ok(status), Err)
    }
    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        let status = self.run(piece, TDEFLFlush::None)?;
        ensure!(status == TDEFLStatus::Okay, Internal, "compressing failed: {status:?}");
        Ok(())
    }
    pub fn finish(mut self) -> Result<Vec<u8>> {
        let status = self.run(&[], TDEFLFlush::Finish)?;
        ensure!(status == TDEFLStatus::Done, Internal, "compressing failed: {status:?}");
        Ok(self.out)
    }
}

fn memory_only(packed: &[u8], n: usize, flags: u32, longer: bool) -> Result<Option<Vec<u8>>> {
    if n as u64 > (packed.len() as u64).saturating_mul(1032) {
        return Ok(None);
    }
    let _state = grant(64 << 10)?;
    let mut machine = DecompressorOxide::new();
    let mut out = memory::zeroed::<u8>(n)?;
    let flags = flags | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, made) = decompress(&mut machine, packed, &mut out, 0, flags);
    let whole = status == TINFLStatus::Done || (longer && status == TINFLStatus::HasMoreOutput);
    Ok((whole && made == n).then_some(out))
}

/// The first `n` bytes of a zlib stream; None where it is damaged, or has fewer.
pub fn zlib(packed: &[u8], n: usize) -> Result<Option<Vec<u8>>> {
    memory_only(packed, n, inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER, true)
}

const GZIP: &[u8] = &[0x1f, 0x8b, 8];

/// A file's bytes: those that a gzip file of one member holds, whose length and checksum are looked at, or its own.
pub fn plain_or_gzip(source: &Source) -> Result<Vec<u8>> {
    let file = source.bytes(0, source.len())?;
    if !file.starts_with(GZIP) {
        return Ok(file);
    }
    match gzip(&file)? {
        Some(bytes) => Ok(bytes),
        None => Err(source.bad("gzip", "it is damaged, cut short, or has several members")),
    }
}

fn gzip(file: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some((body, tail)) = file.len().checked_sub(8).filter(|n| *n >= 10).map(|n| file.split_at(n)) else {
        return Ok(None);
    };
    let flags = body[3];
    let mut at = 10;
    if flags & 4 != 0 {
        let Some(n) = body.get(at..at + 2) else { return Ok(None) };
        at += 2 + u16::from_le_bytes([n[0], n[1]]) as usize;
    }
    // A name and a comment, each ended by a zero.
    for bit in [8, 16] {
        if flags & bit != 0 {
            let Some(n) = body.get(at..).and_then(|b| b.iter().position(|b| *b == 0)) else { return Ok(None) };
            at += n + 1;
        }
    }
    at += if flags & 2 != 0 { 2 } else { 0 };
    let word = |i: usize| u32::from_le_bytes([tail[i], tail[i + 1], tail[i + 2], tail[i + 3]]);
    let Some(packed) = body.get(at..) else { return Ok(None) };
    let bytes = memory_only(packed, word(4) as usize, 0, false)?;
    Ok(bytes.filter(|b| crc32fast::hash(b) == word(0)))
}
