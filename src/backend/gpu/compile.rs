//! Building kernels and keeping them: in memory by what they were made of, on disk by device, driver and source.

use super::driver::{Driver, Kernel};
use crate::backend::kernels;
use crate::base::device::Device;
use crate::base::error::{Error, ErrorKind, Result};
use crate::log;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A kernel ready to launch.
pub struct Compiled {
    pub kernel: Box<dyn Kernel>,
}

static FROM_DISK: AtomicU64 = AtomicU64::new(0);
static FROM_SOURCE: AtomicU64 = AtomicU64::new(0);

/// How many programs were read from the disk cache and how many were compiled, since the start of the process.
pub fn compile_counts() -> (u64, u64) {
    (FROM_DISK.load(Ordering::Relaxed), FROM_SOURCE.load(Ordering::Relaxed))
}

const MAGIC: &[u8; 8] = b"TAPERKC1";

/// FNV-1a, 64 bit, from a chosen start.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf29ce484222325 ^ seed, |h, b| (h ^ *b as u64).wrapping_mul(0x100000001b3))
}

/// A variable that says which code is loaded or where files are written. In a program with more rights than who called it
/// (setuid) that is not for the caller to say: nothing is set there.
pub fn trusted(name: &str) -> Option<std::ffi::OsString> {
    #[cfg(target_os = "linux")]
    // SAFETY: getauxval has no preconditions; it reads what the kernel told the process.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return None;
    }
    std::env::var_os(name)
}

/// The cache folder: `TAPER_CACHE_DIR`, `$XDG_CACHE_HOME/taper/kernels` or `~/.cache/taper/kernels`. None when it
/// cannot be made, belongs to somebody else or others may write to it (a binary there would run as us).
pub fn cache_dir() -> Option<PathBuf> {
    let var = |name: &str| trusted(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let dir = var("TAPER_CACHE_DIR")
        .or_else(|| var("XDG_CACHE_HOME").filter(|p| p.is_absolute()).map(|p| p.join("taper/kernels")))
        .or_else(|| var("HOME").map(|p| p.join(".cache/taper/kernels")))?;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).ok()?;
    let meta = std::fs::symlink_metadata(&dir).ok()?;
    // SAFETY: geteuid has no preconditions.
    let me = unsafe { libc::geteuid() };
    (meta.is_dir() && meta.uid() == me && meta.mode() & 0o022 == 0).then_some(dir)
}

/// Reads a cache entry: its key text must be ours and its checksum right.
pub(super) fn read_entry(path: &Path, key: &str) -> Option<Vec<u8>> {
    let data = std::fs::read(path).ok()?;
    let rest = data.strip_prefix(MAGIC)?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    if hash(0, rest) != u64::from_le_bytes(*sum) {
        return None;
    }
    let (len, rest) = rest.split_first_chunk::<8>()?;
    let len = u64::from_le_bytes(*len) as usize;
    (rest.len() > len && &rest[..len] == key.as_bytes()).then(|| rest[len..].to_vec())
}

/// Writes beside the target and renames, so that a reader never sees half an entry. Failure costs only the cache.
pub(super) fn write_entry(path: &Path, key: &str, binary: &[u8]) -> std::io::Result<()> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let mut body = (key.len() as u64).to_le_bytes().to_vec();
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(binary);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let temp = path.with_extension(format!("{}.{serial}.tmp", std::process::id()));
    let written = (|| {
        let mut f = std::fs::File::create_new(&temp)?;
        f.write_all(MAGIC)?;
        f.write_all(&hash(0, &body).to_le_bytes())?;
        f.write_all(&body)?;
        std::fs::rename(&temp, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temp);
    }
    written
}

/// Builds the kernel `name` of `source` (without preludes), or reads what was built of the same before.
pub(super) fn compile(
    driver: &dyn Driver,
    device: Device,
    kept_in: Option<&Path>,
    name: &'static str,
    source: &str,
) -> Result<Compiled> {
    let full = [&driver.prelude(), kernels::COMMON, source].concat();
    let kernel = built(driver, device, kept_in, name, &full).map_err(|mut e| {
        e.message = format!("{device}: kernel {name} did not build: {}", e.message);
        e
    })?;
    Ok(Compiled { kernel })
}

fn built(
    driver: &dyn Driver,
    device: Device,
    kept_in: Option<&Path>,
    name: &'static str,
    source: &str,
) -> Result<Box<dyn Kernel>> {
    let key = format!("{}\n{name}\n{source}", driver.build_key()?);
    if let Some(dir) = trusted("TAPER_KERNEL_DUMP") {
        // For tests that compile every kernel by other means.
        let file = format!("{name}-{:016x}.cu", hash(0, source.as_bytes()));
        std::fs::write(Path::new(&dir).join(&file), source)
            .map_err(|e| Error::new(ErrorKind::Runtime, format!("TAPER_KERNEL_DUMP: {file} cannot be written: {e}")))?;
    }
    let path = kept_in.map(|dir| {
        dir.join(format!("{:016x}{:016x}.bin", hash(0, key.as_bytes()), hash(0x9e3779b97f4a7c15, key.as_bytes())))
    });
    let binary = path.as_ref().and_then(|p| read_entry(p, &key));
    if let Some(kernel) = binary.and_then(|b| driver.load(name, &b).ok()) {
        FROM_DISK.fetch_add(1, Ordering::Relaxed);
        log!(Debug, "{device}: kernel {name} was read from the cache");
        return Ok(kernel);
    }
    let start = std::time::Instant::now();
    let (kernel, binary) = driver.build(name, source, path.is_some())?;
    FROM_SOURCE.fetch_add(1, Ordering::Relaxed);
    log!(Info, "{device}: kernel {name} was compiled in {} ms", start.elapsed().as_millis());
    if let (Some(path), Some(binary)) = (path, binary) {
        if let Err(e) = write_entry(&path, &key, &binary) {
            log!(Warning, "{device}: the compiled kernel could not be kept in {}: {e}", path.display());
        }
    }
    Ok(kernel)
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn cache_entries_survive_a_round_trip_and_reject_damage() {
        let dir = std::env::temp_dir().join(format!("taper-cache-test-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("entry.bin");
        write_entry(&path, "key text", b"binary bytes").unwrap();
        assert_eq!(read_entry(&path, "key text").as_deref(), Some(&b"binary bytes"[..]));
        assert_eq!(read_entry(&path, "other key"), None);
        let mut data = std::fs::read(&path).unwrap();
        let last = data.len() - 1;
        data[last] ^= 1;
        std::fs::write(&path, &data).unwrap();
        assert_eq!(read_entry(&path, "key text"), None);
        std::fs::write(&path, &data[..10]).unwrap();
        assert_eq!(read_entry(&path, "key text"), None);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
