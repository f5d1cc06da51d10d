//! Copies the running binary into a shared volume, so that an init container can equip an unmodified upstream image.
//! Refuses half a binary: the copy gets its name only when it is whole.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::FileError;

/// Copies the running binary to `directory/name` (mode 0755) and returns where it is.
pub fn install_running_binary(directory: &Path, name: &str) -> Result<PathBuf, FileError> {
    let target = directory.join(name);
    let unfinished = directory.join(format!(".{name}.{}", std::process::id()));
    let copied = fs::copy("/proc/self/exe", &unfinished)
        .and_then(|_bytes| fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::File::open(&unfinished)?.sync_all())
        .and_then(|()| fs::rename(&unfinished, &target));
    if let Err(error) = copied {
        // What is left of the copy is of no use; the first error is the one to tell.
        let _first_error_counts = fs::remove_file(&unfinished);
        return Err(FileError::io("install this binary as", &target, error));
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_this_binary_and_executable() {
        let directory = tempfile::tempdir().unwrap();
        let target = install_running_binary(directory.path(), "some-supervisor").unwrap();
        assert_eq!(fs::read(&target).unwrap(), fs::read("/proc/self/exe").unwrap());
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = install_running_binary(Path::new("/nonexistent-directory"), "x").unwrap_err();
        assert!(error.to_string().contains("/nonexistent-directory/x"), "{error}");
    }
}
