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
