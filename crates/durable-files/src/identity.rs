//! By what a file is told from one that took its place. Refuses to read it: whoever must know its content reads it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Changes when a file is replaced by another or written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileIdentity {
    /// Of the file that is there now, behind any symbolic links; none where none can be looked at.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}
