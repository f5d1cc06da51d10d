//! The text that kubelet shows when a container ended: why the supervisor gave its child up.
//! Refuses to replace the file: kubelet mounts it, so it is written in place.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// kubelet reads no more than this.
const LONGEST: usize = 4096;

/// Writes `message` into an existing file, or makes one.
pub(crate) fn write(path: &Path, message: &str) -> io::Result<()> {
    let end = message.floor_char_boundary(LONGEST);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(&message.as_bytes()[..end])
}
