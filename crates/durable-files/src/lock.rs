//! A lock between processes: flock on a file that holds the holder's process id, released by the kernel when it dies.
//! Refuses to wait; whoever wants to waits for a condition.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::FileError;

/// A held lock; dropping it releases it. The file stays: removing it would let two holders in.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock, creating the file (0600) if need be, or says at once who has it.
    pub fn acquire(path: &Path) -> Result<Self, FileError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| FileError::io("open the lock", path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FileError::Locked { path: path.to_owned(), holder: read_holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(FileError::io("lock", path, error)),
        }
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .map_err(|error| FileError::io("write the lock", path, error))?;
        Ok(Self { _file: file })
    }

    /// The process id that holds the lock at `path`, if anybody does and wrote it down.
    pub fn holder(path: &Path) -> Result<Option<u32>, FileError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::io("open the lock", path, error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(read_holder(&mut file)),
            Err(TryLockError::Error(error)) => Err(FileError::io("lock", path, error)),
        }
    }
}

fn read_holder(file: &mut File) -> Option<u32> {
    // A process id has at most ten digits; anything longer is not ours.
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
