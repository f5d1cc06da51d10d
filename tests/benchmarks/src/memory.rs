//! Resident memory of a process, by its kinds.

use anyhow::{Context as _, Result};

/// Pages that are a process's own: program code from files is shared and can be dropped.
pub(crate) const OWN: [&str; 2] = ["RssAnon:", "RssShmem:"];
/// All resident pages.
pub(crate) const ALL: [&str; 1] = ["VmRSS:"];

/// MiB in the named lines of /proc/PID/status.
pub(crate) fn resident(pid: u32, lines: &[&str]) -> Result<f64> {
    let file = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let kilobytes: f64 = status
        .lines()
        .filter(|line| lines.iter().any(|wanted| line.starts_with(wanted)))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
        .sum();
    Ok(kilobytes / 1024.0)
}
