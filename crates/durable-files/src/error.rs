//! What can go wrong with a file, naming the file and, where there is one, the remedy.
//! Refuses to repeat the operating system's words: they are the source.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file could not be read, written or locked.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase: "write".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Its words.
        #[source]
        source: io::Error,
    },
    /// No space or no quota left.
    #[error("cannot {action} {}: the disk is full or the quota is used up; free space on its file system", path.display())]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// ENOSPC or EDQUOT.
        #[source]
        source: io::Error,
    },
    /// A secret lies open.
    #[error("{} is accessible to others (mode {mode:04o}); if nobody read it: chmod {wanted:o} {}", path.display(), path.display())]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be: 0600 or 0700.
        wanted: u32,
    },
    /// Longer than anything that belongs there.
    #[error("{} is larger than {limit} bytes: this is not the file that belongs there", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Somebody else has the lock.
    #[error("{} is locked by {}", path.display(), holder_text(*holder))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process id that the holder wrote into it.
        holder: Option<u32>,
    },
}

impl FileError {
    /// Wraps an error of the operating system, telling a full disk from everything else.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { action, path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }

    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether it passes when somebody makes space.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }

    /// The file it is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::DiskFull { path, .. }
            | Self::Exposed { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Locked { path, .. } => path,
        }
    }
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_as_such() {
        for number in [nix::errno::Errno::ENOSPC, nix::errno::Errno::EDQUOT] {
            let error = FileError::io("write", Path::new("/disk/file"), number.into());
            assert!(matches!(error, FileError::DiskFull { .. }), "{error:?}");
            assert!(error.to_string().contains("disk is full"), "{error}");
        }
    }
}
