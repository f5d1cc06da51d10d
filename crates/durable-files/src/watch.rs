//! Noticing that a file's content changed, by looking at the content: survives replacement, symlinks and network disks.
//! Refuses inotify: it watches inodes, which every replacement changes.

use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::read_limited;

/// How often the content is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Beyond this a watched file counts as unreadable, in bytes.
const LIMIT: u64 = 1024 * 1024;

/// Watches one file's content. A missing or unreadable file is a content of its own.
#[derive(Debug)]
pub struct ContentWatch {
    path: PathBuf,
    seen: Option<[u8; 32]>,
}

impl ContentWatch {
    /// Remembers the content as it is now.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let mut watch = Self { path: path.into(), seen: None };
        watch.seen = watch.digest();
        watch
    }

    /// Returns when the content is another than at the last call, or than at the start. Dropping it loses nothing.
    pub async fn changed(&mut self) {
        loop {
            if self.has_changed() {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks once: whether the content is another than when it was last asked for.
    pub fn has_changed(&mut self) -> bool {
        let now = self.digest();
        let changed = now != self.seen;
        self.seen = now;
        changed
    }

    fn digest(&self) -> Option<[u8; 32]> {
        let content = read_limited(&self.path, LIMIT).ok()?;
        Some(Sha256::digest(content).into())
    }
}
