//! Replacing one file whole: written beside its place, fsynced, renamed over it, the parent fsynced.
//! Refuses half-written files and any permission but 0600 and 0644.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::{FileError, staging};

/// Replaces a file that only its owner may read and write (0600).
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_file(path, bytes, 0o600)
}

/// Replaces a file that only its owner may read and write (0600) with all that `source` has; gives its size.
pub fn copy_private(path: &Path, source: &mut dyn Read) -> Result<u64, FileError> {
    let _lock = staging::begin(path)?;
    let staged = staging::fresh_name(path);
    let copied = create_file(&staged, 0o600)
        .and_then(|mut file| {
            let size = io::copy(source, &mut file)?;
            file.sync_all()?;
            fs::rename(&staged, path).map(|()| size)
        })
        .map_err(|error| FileError::io("write", path, error));
    if copied.is_err() {
        let _gone = fs::remove_file(&staged);
    }
    let size = copied?;
    sync_directory(staging::parent(path)).map(|()| size)
}

/// Replaces a file that everybody may read (0644).
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_file(path, bytes, 0o644)
}

/// Removes a file for good; one that is not there is removed already.
pub fn remove_file(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(staging::parent(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::io("remove", path, error)),
    }
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

/// The same for what may be the root of a volume that somebody else made. kubelet's belong to root and are open to a
/// group or to everybody, but only in their own Pod; such a mount is taken as it is, and what is made in it is private.
pub fn take_volume_directory(path: &Path) -> Result<(), FileError> {
    let foreign = path.metadata().is_ok_and(|metadata| metadata.uid() != nix::unistd::geteuid().as_raw());
    if foreign && is_mount_point(path) { Ok(()) } else { create_private_directory(path) }
}

/// By the kernel's own table: a volume may lie on the same device as the directory that it is mounted in.
fn is_mount_point(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else { return false };
    // proc(5): the fifth field; spaces in it are written as octal numbers, and no volume of ours has any.
    table.lines().filter_map(|line| line.split(' ').nth(4)).any(|mounted| Path::new(mounted) == path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_and_private_or_not_there() {
        struct Breaks;
        impl Read for Breaks {
            fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("copy");
        copy_private(&path, &mut b"half".chain(Breaks)).unwrap_err();
        assert!(!path.exists());
        assert_eq!(copy_private(&path, &mut &b"whole"[..]).unwrap(), 5);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn mount_points_are_told_from_directories() {
        assert!(is_mount_point(Path::new("/proc")));
        assert!(is_mount_point(Path::new("/proc/self/../../proc/.")));
        assert!(!is_mount_point(Path::new("/proc/self")));
        assert!(!is_mount_point(Path::new("/does-not-exist")));
    }

    #[test]
    fn a_directory_of_ours_is_made_private_wherever_it_lies() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("volume");
        for _ in 0..2 {
            take_volume_directory(&path).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        }
    }
}
