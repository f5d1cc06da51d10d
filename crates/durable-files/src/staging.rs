//! Names and leftovers of things that are made beside their place and then renamed into it.
//! Makers hold a lock on the parent directory, so that whatever is staged when the lock is taken was left by a crash.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::FileError;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Between a target's name and a number, in the name of what is staged for it.
const MARK: &str = ".staged-";

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Locks the directory that holds `target` against other makers and removes what crashed ones left there.
/// Waits for a maker at work; makers hold the lock for one write only.
pub(crate) fn begin(target: &Path) -> Result<File, FileError> {
    let directory = parent(target);
    let lock = File::open(directory)
        .and_then(|opened| opened.lock().map(|()| opened))
        .map_err(|error| FileError::io("write into", directory, error))?;
    remove_leftovers(target);
    Ok(lock)
}

/// A name beside `target` that nobody uses while the lock is held.
pub(crate) fn fresh_name(target: &Path) -> PathBuf {
    let mut name = prefix(target);
    name.push(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    parent(target).join(name)
}

/// Trouble is left to the write that follows: it meets it too.
fn remove_leftovers(target: &Path) {
    let prefix = prefix(target);
    let Ok(entries) = fs::read_dir(parent(target)) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            let path = entry.path();
            let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let _gone = if directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

fn prefix(target: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(MARK);
    name
}
