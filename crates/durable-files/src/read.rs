//! Reading with a limit, and refusing secrets that lie open.
//! Refuses unlimited reads: every file of ours has a size beyond which it is not ours.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::FileError;

/// Reads a file of at most `limit` bytes.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    read_opened(&file, path, limit)
}

/// Reads a secret of at most `limit` bytes; refuses one that group or others may access.
pub fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    let metadata = file.metadata().map_err(|error| FileError::io("inspect", path, error))?;
    check_private(path, &metadata, 0o600)?;
    read_opened(&file, path, limit)
}

/// Reads a secret that may have been put there by kubelet, which decides by uid and fsGroup of the Pod who may read it: 0600,
/// 0640 or 0644 (`pkg/volume/projected`). What kubelet mounts is known by its symbolic link into `..data`; everything else is
/// read as by [`read_private`].
pub fn read_mounted_secret(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let by_kubelet = path.read_link().is_ok_and(|target| target.starts_with("..data"));
    if by_kubelet { read_limited(path, limit) } else { read_private(path, limit) }
}

/// Refuses a file or directory that group or others may access.
pub fn is_private(path: &Path) -> Result<(), FileError> {
    let metadata = path.metadata().map_err(|error| FileError::io("inspect", path, error))?;
    check_private(path, &metadata, if metadata.is_dir() { 0o700 } else { 0o600 })
}

fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|error| FileError::io("open", path, error))
}

fn read_opened(file: &File, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|error| FileError::io("read", path, error))?;
    if content.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(content)
}

#[expect(clippy::verbose_bit_mask, reason = "permission bits are read in octal")]
fn check_private(path: &Path, metadata: &Metadata, wanted: u32) -> Result<(), FileError> {
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(FileError::Exposed { path: path.to_owned(), mode, wanted }) }
}
