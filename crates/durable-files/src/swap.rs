//! Replacing a directory of files whole, so that no reader ever finds a file missing or half a generation by its path.
//! Refuses to keep the old directory: fsnotify watches its inode and fires on its removal.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::write::{create_file, fill, sync_directory};
use crate::{FileError, staging};

/// Puts a new directory (0700) with exactly these files (name, content; 0600) in the place of `path` and removes the
/// old one at once.
pub fn replace_directory(path: &Path, files: &[(String, Vec<u8>)]) -> Result<(), FileError> {
    let _lock = staging::begin(path)?;
    let staged = staging::fresh_name(path);
    // After the exchange the staged name holds the old directory, or nothing.
    let built = build(&staged, files).and_then(|()| exchange(&staged, path));
    let removed = match fs::remove_dir_all(&staged) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::io("remove the old directory", &staged, error))
        }
        _ => Ok(()),
    };
    built?;
    removed?;
    sync_directory(staging::parent(path))
}

/// Puts a new directory (0700) with exactly these files (0600) at `path`, unless one that is not empty is there; says
/// whether it did. Of several processes that try at once exactly one does, and none leaves half a directory.
pub fn create_directory_once(path: &Path, files: &[(String, Vec<u8>)]) -> Result<bool, FileError> {
    let _lock = staging::begin(path)?;
    if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(false);
    }
    let staged = staging::fresh_name(path);
    let created = build(&staged, files).and_then(|()| {
        fs::rename(&staged, path).map_err(|error| FileError::io("create directory", path, error))
    });
    if created.is_err() {
        let _gone = fs::remove_dir_all(&staged);
    }
    created?;
    sync_directory(staging::parent(path))?;
    Ok(true)
}

fn build(staged: &Path, files: &[(String, Vec<u8>)]) -> Result<(), FileError> {
    DirBuilder::new()
        .mode(0o700)
        .create(staged)
        .map_err(|error| FileError::io("create directory", staged, error))?;
    for (name, bytes) in files {
        let path = staged.join(name);
        create_file(&path, 0o600)
            .and_then(|file| fill(&file, bytes))
            .map_err(|error| FileError::io("write", &path, error))?;
    }
    sync_directory(staged)
}

fn exchange(staged: &Path, path: &Path) -> Result<(), FileError> {
    match renameat2(AT_FDCWD, staged, AT_FDCWD, path, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => Ok(()),
        Err(Errno::ENOENT) => fs::rename(staged, path).map_err(|error| FileError::io("replace", path, error)),
        // File systems without an exchange (some network ones): the path is missing for an instant, never half-filled.
        Err(Errno::EINVAL | Errno::ENOSYS) => replace_in_two_steps(staged, path),
        Err(error) => Err(FileError::io("replace", path, error.into())),
    }
}

fn replace_in_two_steps(staged: &Path, path: &Path) -> Result<(), FileError> {
    let old = staging::fresh_name(path);
    fs::rename(path, &old)
        .and_then(|()| fs::rename(staged, path))
        .and_then(|()| fs::remove_dir_all(&old))
        .map_err(|error| FileError::io("replace", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_exchange_the_directory_is_replaced_in_two_steps() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("leaf");
        replace_directory(&path, &[("tls.crt".into(), b"old".to_vec())]).unwrap();
        let staged = root.path().join("staged");
        build(&staged, &[("tls.crt".into(), b"new".to_vec())]).unwrap();
        replace_in_two_steps(&staged, &path).unwrap();
        assert_eq!(fs::read(path.join("tls.crt")).unwrap(), b"new");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
