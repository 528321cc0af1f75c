//! Writes a file so that at every moment, also after a crash, its name stands for the old content or the new one.
//!
//! The content goes to a new file in the same folder, which is synced and then renamed. A link stays a link: what it
//! points to is replaced. What is no regular file (a pipe, a device, an open descriptor under /proc) is written to.
//!
//! A temporary file is locked as long as its writer lives, so the next writer to the same path knows which ones were left
//! by a process that was killed, and removes those.

use crate::base::error::{Error, ErrorKind};
use crate::{bail, Result};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{ErrorKind as Io, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{fchown, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Names up to this length stand in the temporary file's name; of longer ones a hash does.
const LONGEST: usize = 180;
const RANDOM: usize = 16;

/// Memory that the system had not is an error of that kind, so that a caller may free some and try again.
pub fn io_error(doing: &str, path: &Path, e: std::io::Error) -> Error {
    let kind = if e.kind() == Io::OutOfMemory { ErrorKind::OutOfMemory } else { ErrorKind::Io };
    let mut e = cannot(doing, path, e);
    e.kind = kind;
    e
}
/// An Io error of another cause than the system's.
pub fn cannot(doing: &str, path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("cannot {doing} {}: {why}", path.display()))
}

/// A file being written. Dropped before `commit`, it leaves what stood under the name before.
pub struct Writer {
    /// As the caller gave it, for messages.
    path: PathBuf,
    file: File,
    /// Where a regular file goes, and under what name it is written; None for what is written through.
    places: Option<(PathBuf, Temporary)>,
}

/// Deletes the temporary file unless it was renamed.
struct Temporary(Option<PathBuf>);
impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(p) = self.0.take() {
            let _ = std::fs::remove_file(p);
        }
    }
}

impl Writer {
    /// Opens `path` for new content. Fails with an Io error where the folder does not exist or cannot be written to, and
    /// where the file exists and the caller may not write to it.
    pub fn begin(path: impl AsRef<Path>) -> Result<Writer> {
        let path = path.as_ref().to_path_buf();
        if path.as_os_str().as_bytes().contains(&0) {
            bail!(Value, "embedded null byte in the path {:?}", path);
        }
        let failed = |e: std::io::Error| io_error("write", &path, e);
        let target = resolve(&path).map_err(failed)?;
        let existing = match std::fs::metadata(&target) {
            Ok(m) => Some(m),
            Err(e) if e.kind() == Io::NotFound => None,
            Err(e) => return Err(failed(e)),
        };
        if let Some(m) = &existing {
            if m.is_dir() {
                bail!(Io, "cannot write {}: it is a directory", path.display());
            }
            // Who may not write to the file may not replace it either.
            let through = !m.is_file() || is_descriptor(&target);
            let file = File::options().write(true).truncate(through && m.is_file()).open(&target).map_err(failed)?;
            if through {
                return Ok(Writer { path, file, places: None });
            }
        }
        let folder = folder_of(&target);
        let stem = stem_of(&target);
        remove_abandoned(folder, &stem);
        let (file, temporary) = create(folder, &stem, existing.as_ref()).map_err(|e| match e.kind() {
            Io::NotFound => cannot("write", &path, format_args!("the folder {} does not exist", folder.display())),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => {
                cannot("write", &path, format_args!("the folder {} cannot be written to: {e}", folder.display()))
            }
            _ => failed(e),
        })?;
        Ok(Writer { path, file, places: Some((target, temporary)) })
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| io_error("write", &self.path, e))
    }

    /// Gives the file its name once all is on disk.
    pub fn commit(mut self) -> Result<()> {
        let failed = |e: std::io::Error| io_error("write", &self.path, e);
        let Some((target, temporary)) = &mut self.places else {
            return self.file.flush().map_err(failed);
        };
        self.file.sync_all().map_err(failed)?;
        if let Some(from) = &temporary.0 {
            std::fs::rename(from, &*target).map_err(failed)?;
        }
        temporary.0 = None;
        // The rename itself is on disk once the folder is; a file system that cannot sync folders is no failure.
        if let Ok(folder) = File::open(folder_of(target)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a path names an open descriptor: `/dev/stdout` leads to `/proc/self/fd/1`.
fn is_descriptor(path: &Path) -> bool {
    folder_of(path).canonicalize().is_ok_and(|folder| folder.starts_with("/proc") || folder.starts_with("/dev/fd"))
}

/// Follows links at the end of a path, also to what does not exist yet, but not from a descriptor to its file: whoever
/// reads from that descriptor reads on in the same file.
fn resolve(path: &Path) -> std::io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..40 {
        if is_descriptor(&path) {
            return Ok(path);
        }
        match std::fs::symlink_metadata(&path) {
            Ok(m) if m.file_type().is_symlink() => path = folder_of(&path).join(std::fs::read_link(&path)?),
            _ => return Ok(path),
        }
    }
    Err(std::io::Error::other("too many levels of symbolic links"))
}

/// What the names of all temporary files of a target begin with.
fn stem_of(target: &Path) -> OsString {
    let name = target.file_name().unwrap_or(OsStr::new(""));
    let mut stem = OsString::from(".");
    if name.len() <= LONGEST {
        stem.push(name);
    } else {
        // FNV-1a, the same in every process.
        let hash = name
            .as_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ *b as u64).wrapping_mul(0x100_0000_01b3));
        stem.push(format!("{hash:016x}"));
    }
    stem.push(".taper-");
    stem
}

/// Sixteen digits that nobody can tell in advance.
fn random() -> String {
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    if let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        hasher.write_u128(now.as_nanos());
    }
    format!("{:0RANDOM$x}", hasher.finish())
}

/// A new, locked file. `create_new` opens nothing that is there already, links included.
fn create(folder: &Path, stem: &OsStr, existing: Option<&Metadata>) -> std::io::Result<(File, Temporary)> {
    for _ in 0..100 {
        let mut name = stem.to_owned();
        name.push(random());
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        // Nobody else may open a private file's successor while it is young.
        options.write(true).create_new(true).mode(if existing.is_some() { 0o600 } else { 0o666 });
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == Io::AlreadyExists => continue,
            Err(e) => return Err(e),
        };
        let temporary = Temporary(Some(path));
        // A file system without locks has no abandoned files that could be told apart either.
        let _ = file.lock();
        let here = file.metadata()?;
        if here.nlink() == 0 {
            // Another writer took it for abandoned before it was locked.
            continue;
        }
        if let Some(m) = existing {
            if (m.uid(), m.gid()) != (here.uid(), here.gid()) {
                let _ = fchown(&file, Some(m.uid()), Some(m.gid()));
            }
            file.set_permissions(m.permissions())?;
        }
        return Ok((file, temporary));
    }
    Err(std::io::Error::other("no name is free for a temporary file"))
}

/// Removes temporary files of this target that no living process holds.
fn remove_abandoned(folder: &Path, stem: &OsStr) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.as_bytes().strip_prefix(stem.as_bytes()) else { continue };
        let ours = rest.len() == RANDOM && rest.iter().all(u8::is_ascii_hexdigit);
        if !ours || !entry.file_type().is_ok_and(|t| t.is_file()) {
            continue;
        }
        let open = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(entry.path());
        let Ok(file) = open else { continue };
        match file.try_lock() {
            Ok(()) => drop(std::fs::remove_file(entry.path())),
            // Its writer is at work, or the file system has no locks.
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{symlink, PermissionsExt};

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("taper-file-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }
    fn put(path: &Path, bytes: &[u8]) {
        let mut w = Writer::begin(path).unwrap();
        w.write(bytes).unwrap();
        w.commit().unwrap();
    }
    fn names(dir: &Path) -> Vec<OsString> {
        let mut v: Vec<OsString> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        v.sort();
        v
    }

    #[test]
    fn a_dropped_writer_leaves_the_old_content() {
        let dir = folder("drop");
        let path = dir.join("a");
        put(&path, b"old");
        let mut w = Writer::begin(&path).unwrap();
        w.write(b"new").unwrap();
        assert_eq!(names(&dir).len(), 2);
        drop(w);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(&dir).len(), 1);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn links_and_modes_stay() {
        let dir = folder("links");
        std::fs::create_dir(dir.join("sub")).unwrap();
        symlink("sub/b", dir.join("a")).unwrap();
        symlink("a", dir.join("c")).unwrap();
        put(&dir.join("c"), b"made"); // through two links, to what did not exist
        assert_eq!(std::fs::read(dir.join("sub/b")).unwrap(), b"made");
        std::fs::set_permissions(dir.join("sub/b"), PermissionsExt::from_mode(0o600)).unwrap();
        put(&dir.join("a"), b"again");
        assert_eq!(std::fs::metadata(dir.join("sub/b")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(dir.join("a")).unwrap(), b"again");
        assert!(std::fs::symlink_metadata(dir.join("a")).unwrap().is_symlink());
        symlink("loop", dir.join("loop")).unwrap();
        assert!(Writer::begin(dir.join("loop")).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn abandoned_files_go_and_others_stay() {
        let dir = folder("abandoned");
        let path = dir.join("a");
        std::fs::write(dir.join(".a.taper-0123456789abcdef"), b"left by the dead").unwrap();
        std::fs::write(dir.join(".a.taper-keep"), b"another's").unwrap();
        std::fs::write(dir.join(".ab.taper-0123456789abcdef"), b"another target's").unwrap();
        symlink("/etc/passwd", dir.join(".a.taper-00000000000000aa")).unwrap();
        let alive = Writer::begin(&path).unwrap();
        put(&path, b"new");
        assert_eq!(names(&dir).len(), 5, "{:?}", names(&dir));
        drop(alive);
        assert!(!dir.join(".a.taper-0123456789abcdef").exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_no_regular_file_is_written_to() {
        put(Path::new("/dev/null"), b"gone");
        let Ok(mut w) = Writer::begin("/dev/full") else { return };
        assert!(w.write(b"x").unwrap_err().message.contains("/dev/full"));
        let dir = folder("odd");
        assert!(Writer::begin(&dir).err().unwrap().message.contains("is a directory"));
        assert!(Writer::begin(dir.join("no/a")).err().unwrap().message.contains("does not exist"));
        let long = dir.join("n".repeat(250));
        put(&long, b"long");
        assert_eq!(std::fs::read(&long).unwrap(), b"long");
        // An open descriptor's file stays the file that it is.
        let file = File::create(dir.join("fd")).unwrap();
        let through = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
        put(&through, b"through");
        assert_eq!(file.metadata().unwrap().ino(), std::fs::metadata(dir.join("fd")).unwrap().ino());
        assert_eq!(std::fs::read(dir.join("fd")).unwrap(), b"through");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn many_writers_leave_one_whole_file() {
        let dir = folder("many");
        let path = dir.join("a");
        std::thread::scope(|s| {
            for i in 0..8u8 {
                let path = &path;
                s.spawn(move || {
                    for _ in 0..10 {
                        put(path, &vec![i; 5000]);
                        let seen = std::fs::read(path).unwrap();
                        assert!(seen.len() == 5000 && seen.iter().all(|b| *b == seen[0]));
                    }
                });
            }
        });
        assert_eq!(names(&dir).len(), 1);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
