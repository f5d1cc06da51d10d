//! Replacing one file whole: written beside its place, fsynced, renamed over it, the parent fsynced.
//! Refuses half-written files and any permission but 0600 and 0644.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::{FileError, staging};

/// Replaces a file that only its owner may read and write (0600).
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_file(path, bytes, 0o600)
}

/// Replaces a file that everybody may read (0644).
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_file(path, bytes, 0o644)
}

/// Creates a directory, and its parents, that only its owner may enter (0700). One that exists is made 0700.
pub fn create_private_directory(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| FileError::io("create directory", path, error))?;
    let metadata = path.metadata().map_err(|error| FileError::io("inspect", path, error))?;
    if metadata.permissions().mode() & 0o777 != 0o700 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|error| FileError::io("make private", path, error))?;
    }
    Ok(())
}

fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let _lock = staging::begin(path)?;
    let staged = staging::fresh_name(path);
    let renamed = create_file(&staged, mode)
        .and_then(|file| fill(&file, bytes))
        .and_then(|()| fs::rename(&staged, path))
        .map_err(|error| FileError::io("write", path, error));
    if renamed.is_err() {
        let _gone = fs::remove_file(&staged);
    }
    renamed?;
    sync_directory(staging::parent(path))
}

/// Creates a file exclusively with exactly `mode`, whatever the umask is.
pub(crate) fn create_file(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

pub(crate) fn fill(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| FileError::io("sync", path, error))
}
