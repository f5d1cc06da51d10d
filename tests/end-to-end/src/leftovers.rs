//! Which processes belong to a state directory, by their arguments; none may be left behind.

use std::path::Path;
use std::time::Duration;

use crate::wait::eventually;

/// Pid and command line of every process that names `state_directory` in its arguments, zombies left out.
#[must_use]
pub fn processes_of(state_directory: &Path) -> Vec<(i32, String)> {
    let wanted = state_directory.display().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != std::process::id().cast_signed())
        .filter_map(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(&wanted).then_some((pid, line))
        })
        .collect()
}

/// Waits until no process of `state_directory` is left; panics with the list of those that stay.
pub async fn assert_nothing_left(state_directory: &Path, limit: Duration) {
    eventually("no process is left behind", limit, async || {
        let left = processes_of(state_directory);
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}
